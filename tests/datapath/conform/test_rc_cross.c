/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders: reliable connection when things cross: errors behind READs that are
 * being answered, late acknowledgements, memory that goes away (9.5, 9.7.5, 9.7.6).
 */
#include <errno.h>

#include "conform.h"

static void fill_region(uint32_t n, uint8_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		c.region[i] = (uint8_t)(seed + i);
}

static uint32_t region_with(uint8_t *p, uint32_t n, uint32_t access)
{
	uint32_t key = 0;

	expect_int(phca_mr_reg(c.l->mem, c.l->pd, p, n, (uintptr_t)p, access, &key), 0);
	return key;
}

/* ------------------------------------------------------------- responder */

LADDER("9.7.4.1.5", rc_resp, one_read_too_many,
	"a READ over the responder resources that come at once: NAK invalid request, behind the answers")
{
	fill_region(REGION, 1);
	c.attr.max_dest_rd_atomic = 2;
	begin();
	c.hold = true;
	for (int32_t i = 0; i < 3; i++)
		give(RC_READ_REQ, .psn = i, .len = MTU);
	c.hold = false;
	expect_pkt(RC_READ_RESP_ONLY, .psn = 0, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 1, .n = MTU, .seed = 1, .msn = 2, .syndrome = ACK);
	expect_nak(NAK_INVALID, 2, 2);
	expect_state(ERR);
}

LADDER("9.5", rc_resp, error_behind_a_read,
	"a request that is refused behind a READ: first the READ's responses, then the NAK")
{
	fill_region(REGION, 1);
	begin();
	c.hold = true;
	give(RC_READ_REQ, .psn = 0, .len = 2 * MTU);
	give(RC_WRITE_ONLY, .psn = 2, .n = 8, .rkey = 0xdead);
	c.hold = false;
	expect_pkt(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_LAST, .psn = 1, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_nak(NAK_ACCESS, 2, 1);
	expect_state(ERR);
}

LADDER("9.5", rc_resp, not_ready_behind_a_read,
	"a SEND without receive behind a READ: first the READ's responses, then the RNR NAK")
{
	fill_region(REGION, 1);
	begin();
	c.hold = true;
	give(RC_READ_REQ, .psn = 0, .len = 2 * MTU);
	give(RC_SEND_ONLY, .psn = 2, .n = 8);
	c.hold = false;
	expect_pkt(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_LAST, .psn = 1, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_rnr(12, 2, 1);
}

LADDER("9.5", rc_resp, gap_behind_a_read,
	"a gap behind a READ: first the READ's responses, then the sequence NAK")
{
	fill_region(REGION, 1);
	recvs(1);
	c.hold = true;
	give(RC_READ_REQ, .psn = 0, .len = 2 * MTU);
	give(RC_SEND_ONLY, .psn = 3, .n = 8);
	c.hold = false;
	expect_pkt(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_LAST, .psn = 1, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_nak(NAK_PSN, 2, 1);
}

LADDER("9.4.4", rc_resp, read_ahead, "a READ ahead is not answered")
{
	begin();
	give(RC_READ_REQ, .psn = 1, .len = 8);
	expect_nak(NAK_PSN, 0, 0);
	expect_nothing();
}

LADDER("9.7.5.1.2", rc_resp, duplicate_after_a_gap,
	"a duplicate behind a gap is acknowledged as far as was received; the gap's NAK is not repeated")
{
	recvs(2);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	give(RC_SEND_ONLY, .psn = 2, .n = 8);
	expect_nak(NAK_PSN, 1, 1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	expect_silence();
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	expect_ack(1, 2);
}

LADDER("9.7.5.2.8", rc_resp, duplicate_while_not_ready,
	"a duplicate is acknowledged while the next request is not received for want of a receive")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	expect_rnr(12, 1, 1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
}

LADDER("9.7.5.2.8", rc_resp, not_ready_again, "each try that finds no receive gets its RNR NAK")
{
	begin();
	for (int i = 0; i < 5; i++) {
		give(RC_SEND_ONLY, .psn = 0, .n = 8);
		expect_rnr(12, 0, 0);
	}
	expect_state(RTS);
}

LADDER("9.7.4.1.4", rc_resp, access_taken_away,
	"access rights that modify takes away count from then on")
{
	begin();
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .seed = 1);
	expect_ack(0, 1);
	c.attr.access = PHCA_ACCESS_REMOTE_READ;
	expect_int(modify(PHCA_QPS_RTS, PHCA_QP_ACCESS), 0);
	give(RC_WRITE_ONLY, .psn = 1, .n = 8, .off = 64);
	expect_nak(NAK_INVALID, 1, 1);
	expect_untouched(64, 8);
}

LADDER("9.7.4.1.5", rc_resp, duplicate_read_of_a_region_that_is_gone,
	"a duplicate READ of a region that is gone returns nothing of it")
{
	uint32_t key = region_with(c.region, 4096, PHCA_ACCESS_REMOTE_READ);

	fill_region(4096, 1);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 64, .rkey = key);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 0, .n = 64, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
	give(RC_READ_REQ, .psn = 0, .len = 64, .rkey = key);
	expect_no_payload();
}

LADDER("9.7.4.1.2", rc_resp, everything_twice,
	"a whole conversation in which every packet comes twice has the same end")
{
	fill_region(REGION, 1);
	recvs(4);
	for (int i = 0; i < 2; i++)
		give(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 7);
	for (int i = 0; i < 2; i++)
		give(RC_SEND_LAST, .psn = 1, .n = 8, .seed = 7);
	for (int i = 0; i < 2; i++)
		give(RC_FETCH_ADD, .psn = 2, .off = 8192, .add = 0);
	for (int i = 0; i < 2; i++)
		give(RC_WRITE_ONLY_IMM, .psn = 3, .n = 8, .off = 128, .imm = 5, .seed = 9);
	for (int i = 0; i < 2; i++)
		give(RC_READ_REQ, .psn = 4, .len = 2 * MTU);
	for (int i = 0; i < 2; i++)
		give(RC_SEND_ONLY, .psn = 6, .n = 3, .seed = 4);
	ignore_sent();
	expect_recv(RECV, .n = MTU + 8, .seed = 7);
	expect_recv(RECV_RDMA_WITH_IMM, .n = 8, .imm = 5);
	expect_recv(RECV, .n = 3, .seed = 4);
	expect_nothing();
	expect_state(RTS);
}

/* ------------------------------------------------------------- requester */

LADDER("9.7.6.1", rc_req, late_ack,
	"an ACK that comes while it sends again ends that; nothing completes twice")
{
	for (int i = 0; i < 3; i++)
		post(SEND, .n = 4);
	ignore_sent();
	c.hold = true;
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	give(RC_ACK, .psn = 2, .syndrome = ACK);
	c.hold = false;
	ignore_sent();
	for (int i = 0; i < 3; i++)
		expect_sent(SUCCESS);
	expect_nothing();
	post(SEND, .n = 5);
	expect_pkt(RC_SEND_ONLY, .psn = 3, .n = 5);
}

LADDER("9.7.5.2.8", rc_req, ack_ends_the_wait,
	"an ACK that comes while it waits after an RNR NAK completes the WR")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = RNR + 20);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	ignore_sent();
	post(SEND, .n = 5);
	pass_us(20000);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 5);
}

LADDER("9.7.6.1.3", rc_req, timeout_while_not_ready,
	"the local ACK timeout does not run while it waits after an RNR NAK")
{
	c.attr.timeout = 8; /* about 1 ms */
	c.attr.retry_cnt = 0;
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = RNR + 24); /* 40.96 ms */
	for (int i = 0; i < 20; i++)
		pass_us(1900);
	expect_nothing();
	pass_us(5000);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.9.2", rc_req, region_gone_before_it_is_sent_again,
	"memory that goes away before a packet is sent again: local protection error")
{
	uint32_t key = region_with(c.local, 4096, 0);

	post(SEND, .n = 4, .lkey = key);
	ignore_sent();
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_silence();
	expect_sent(LOC_PROT_ERR);
	expect_state(ERR);
}

LADDER("9.9.2", rc_req, region_gone_before_the_response,
	"memory that goes away before a READ's response comes: local protection error")
{
	uint32_t key = region_with(c.local, 4096, PHCA_ACCESS_LOCAL_WRITE);

	post(RDMA_READ, .n = 8, .lkey = key);
	ignore_sent();
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .seed = 1, .syndrome = ACK, .msn = 1);
	expect_sent(LOC_PROT_ERR);
	expect_int(c.local[1], 0);
	expect_state(ERR);
}

LADDER("9.9.2.4", rc_req, nak_within_a_read, "a NAK between the responses of a READ ends it")
{
	post(RDMA_READ, .n = 3 * MTU);
	ignore_sent();
	give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	give(RC_ACK, .psn = 1, .syndrome = NAK_ACCESS, .msn = 1);
	expect_sent(REM_ACCESS_ERR);
	expect_state(ERR);
}

LADDER("9.7.6.1", rc_req, sequence_nak_of_a_read,
	"a sequence NAK of a READ: it is asked for again, at once")
{
	post(RDMA_READ, .n = 2 * MTU);
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_pkt(RC_READ_REQ, .psn = 0, .len = 2 * MTU);
	expect_pkt(RC_SEND_ONLY, .psn = 2, .n = 4);
}

LADDER("9.7.6.1", rc_req, reads_answered_out_of_order,
	"the response of a second READ before the first one's: the first is asked for again")
{
	post(RDMA_READ, .n = 8, .off = 0);
	post(RDMA_READ, .n = 8, .off = 64);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 1, .n = 8, .seed = 2, .syndrome = ACK, .msn = 2);
	expect_no_completion();
	expect_pkt(RC_READ_REQ, .psn = 0, .len = 8);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .seed = 1, .syndrome = ACK, .msn = 2);
	give(RC_READ_RESP_ONLY, .psn = 1, .n = 8, .seed = 2, .syndrome = ACK, .msn = 2);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	expect_local(0, 8, 1);
	expect_local(64, 8, 2);
}

LADDER("10.8.3.3", rc_req, fence_and_atomics, "a fenced WR waits for atomics too")
{
	post(ATOMIC_FETCH_AND_ADD, .n = 8, .off = 64, .add = 1);
	post(RDMA_WRITE, .n = 4, .flags = PHCA_SEND_FENCE);
	expect_pkt(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 1);
	expect_nothing();
	give(RC_ATOMIC_ACK, .psn = 0, .cmp = 1, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	expect_pkt(RC_WRITE_ONLY, .psn = 1, .n = 4, .len = 4);
}

LADDER("10.8.3.3", rc_req, fence_without_reads, "a fence with no READ before it waits for nothing")
{
	post(SEND, .n = 4);
	post(SEND, .n = 5, .flags = PHCA_SEND_FENCE);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 5);
}

LADDER("10.8.2.2", rc_req, completions_in_order,
	"completions are in the order in which WRs were posted, whatever their kind")
{
	post(RDMA_READ, .n = 8);
	post(SEND, .n = 4);
	post(RDMA_WRITE, .n = 4);
	post(ATOMIC_FETCH_AND_ADD, .n = 8, .off = 64, .add = 1);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	give(RC_ATOMIC_ACK, .psn = 3, .cmp = 1, .syndrome = ACK, .msn = 4);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	expect_nothing();
}

LADDER("10.3.1.5", rc_req, sqd_waits_for_reads, "SQD has drained when READs are answered, too")
{
	post(RDMA_READ, .n = 2 * MTU);
	ignore_sent();
	c.attr.en_sqd_notify = true;
	expect_int(modify(PHCA_QPS_SQD, PHCA_QP_EN_SQD_NOTIFY), 0);
	give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_no_event();
	give(RC_READ_RESP_LAST, .psn = 1, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	expect_event(SQ_DRAINED);
}

LADDER("11.4.1.1", rc_req, immediate_errors,
	"a WR with too many elements or too much inline data is refused when it is posted")
{
	static struct phca_sge sge[PHCA_SGE_MAX + 1];
	static uint8_t data[4096];
	struct phca_send_wr many = { .opcode = PHCA_WR_SEND, .sge = sge, .num_sge = PHCA_SGE_MAX + 1 };
	struct phca_send_wr inl = {
		.opcode = PHCA_WR_SEND, .flags = PHCA_SEND_INLINE, .inline_data = data, .inline_len = sizeof(data),
	};

	begin();
	expect_int(phca_post_send(c.qp, &many, 1), -EINVAL);
	expect_int(phca_post_send(c.qp, &inl, 1), -EINVAL);
	expect_nothing();
	expect_state(RTS);
}

LADDER("11.4.1.1", rc_req, full_queue, "a full send queue takes no more WRs, and loses none")
{
	struct phca_send_wr wr = { .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED };
	unsigned int taken = 0;
	struct phca_wc wc;

	c.attr.max_rd_atomic = 1;
	post(RDMA_READ, .n = 8);
	post(RDMA_READ, .n = 8); /* waits for the first one's answer */
	wr.wr_id = 2;
	while (taken < 4 * c.depth && phca_post_send(c.qp, &wr, 1) == 1) {
		taken++;
		turns(1);
	}
	expect_int(taken > 0 && taken < 4 * c.depth, 1);
	ignore_sent();
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	turns(20);
	for (unsigned int i = 0; i < taken + 2; i++)
		expect_int(phca_poll_cq(c.scq, 1, &wc), 1);
	expect_int(phca_poll_cq(c.scq, 1, &wc), 0);
}

/* The next READ request: its PSN, from where, how long. @return false: none came */
static bool asked(int32_t *psn, uint64_t *off, uint32_t *len)
{
	const struct phca_reth *r;
	struct rte_mbuf *m;
	struct phca_pkt p;

	turns(3);
	m = lab_capture(c.l);
	if (m == NULL)
		return false;
	expect_int(phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, PHCA_PARSE_ICRC, &p), PHCA_V_OK);
	expect_int(p.opcode, PHCA_RC_READ_REQ);
	r = phca_pkt_hdr(rte_pktmbuf_mtod(m, void *), &p, PHCA_HDR_RETH);
	if (r != NULL) {
		*psn = phca_psn_diff(p.psn, c.attr.sq_psn);
		*off = phca_get64(r->va) - PEER_VA;
		*len = phca_get32(r->len);
	}
	rte_pktmbuf_free(m);
	return r != NULL;
}

/* Answer it, in packets of the path MTU. */
static void answer(int32_t psn, uint32_t len, uint32_t msn)
{
	uint32_t n = (len + MTU - 1) / MTU;

	for (uint32_t i = 0; i < n; i++) {
		const struct given g = {
			.psn = psn + (int32_t)i, .n = RTE_MIN(len - i * MTU, (uint32_t)MTU), .seed = 3,
			.syndrome = ACK, .msn = msn,
		};

		give_pkt(n == 1 ? PHCA_RC_READ_RESP_ONLY : i == 0 ? PHCA_RC_READ_RESP_FIRST :
			i + 1 < n ? PHCA_RC_READ_RESP_MIDDLE : PHCA_RC_READ_RESP_LAST, &g);
	}
}

LADDER("9.7.3.1", rc_req, read_longer_than_the_window,
	"a READ longer than the window is asked for in parts that follow each other, and is one completion")
{
	const uint32_t len = (PHCA_RC_WINDOW + 40) * MTU + 9;
	uint32_t done = 0, n = 0, parts = 0;
	int32_t psn = 0;
	uint64_t off = 0;

	post(RDMA_READ, .n = len);
	while (done < len && asked(&psn, &off, &n)) {
		expect_int(off, done);
		expect_int(psn, done / MTU);
		expect_int(n > 0 && n <= len - done, 1);
		expect_no_completion();
		answer(psn, n, ++parts);
		done += n;
	}
	expect_int(done, len);
	expect_sent(SUCCESS);
	expect_local(0, len, 3);
	expect_nothing();
}

LADDER("10.3.1.5", rc_req, sqd_finishes_the_message, "in SQD a message of which a part was sent is sent to its end")
{
	struct sent s;

	post(RDMA_WRITE, .n = (PHCA_RC_WINDOW + 10) * MTU);
	s = collect();
	expect_int(modify(PHCA_QPS_SQD, 0), 0);
	post(SEND, .n = 4);
	expect_silence();
	give(RC_ACK, .psn = s.last, .syndrome = ACK);
	s = collect();
	expect_int(s.last, PHCA_RC_WINDOW + 9);
	give(RC_ACK, .psn = s.last, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_nothing();
	expect_int(modify(PHCA_QPS_RTS, 0), 0);
	expect_pkt(RC_SEND_ONLY, .psn = PHCA_RC_WINDOW + 10, .n = 4);
}
