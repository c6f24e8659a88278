/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a ladder stands on: the laboratory, and one queue pair whose peer is the
 * ladder itself. Its memory is two regions: one that the peer names, and one
 * that work requests use.
 *
 * Invariant: whatever a ladder did, conform_run destroys all of it and closes
 * the laboratory, which holds it to its sums.
 */
#include <stdlib.h>
#include <string.h>

#include "conform.h"

struct conform c;

#define ACCESS_REMOTE (PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC)

/* What a ladder has when it says nothing. */
static void defaults(const char *suite)
{
	struct phca_wire_hdr h = lab_hdr(c.l, PHCA_UC_SEND_ONLY, 0, 0);

	c.type = suite[0] == 'r' ? PHCA_QPT_RC : suite[1] == 'c' ? PHCA_QPT_UC : PHCA_QPT_UD;
	c.recv_len = c.type == PHCA_QPT_UD ? PHCA_GRH_LEN + RECV_LEN : RECV_LEN;
	c.depth = 32;
	c.attr = (struct phca_qp_attr){
		.state = PHCA_QPS_RTS, .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY, .access = ACCESS_REMOTE,
		.dest_qpn = LAB_PEER_QPN, .path_mtu = MTU, .rq_psn = phca_psn(0x1000), .sq_psn = phca_psn(0x2000),
		.timeout = 14, .retry_cnt = 3, .rnr_retry = 3, .max_rd_atomic = 4, .max_dest_rd_atomic = 4,
		.min_rnr_timer = 12,
	};
	memcpy(c.attr.av.dgid, h.sgid, 16);
	c.attr.av.sgid_index = (uint8_t)phca_net_gid_find(c.l->net, h.dgid);
}

int modify(enum phca_qp_state state, unsigned int mask)
{
	struct phca_qp_attr a = c.attr;

	begin();
	a.state = state;
	return phca_qp_modify(c.qp, &a, PHCA_QP_STATE | mask);
}

/* What each transition needs (11.2.5.2). */
static unsigned int needs(enum phca_qp_state to)
{
	static const unsigned int rtr = PHCA_QP_AV | PHCA_QP_PATH_MTU | PHCA_QP_DEST_QPN | PHCA_QP_RQ_PSN;
	bool rc = c.type == PHCA_QPT_RC, ud = c.type == PHCA_QPT_UD;

	if (to == PHCA_QPS_INIT)
		return PHCA_QP_PKEY | (ud ? PHCA_QP_QKEY : PHCA_QP_ACCESS);
	if (to == PHCA_QPS_RTR)
		return ud ? 0 : rtr | (rc ? PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER : 0u);
	return PHCA_QP_SQ_PSN | (rc ? PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY |
		PHCA_QP_MAX_RD_ATOMIC : 0u);
}

static void queues(void)
{
	struct phca_qp_init i = {
		.type = c.type, .pd = c.l->pd, .max_send_wr = c.depth, .max_recv_wr = c.depth,
		.max_send_sge = PHCA_SGE_MAX, .max_recv_sge = PHCA_SGE_MAX, .max_inline = 128, .sq_sig_all = c.sig_all,
	};
	struct phca_srq_init si = { .pd = c.l->pd, .max_wr = c.depth, .max_sge = 1, .limit = c.srq_limit };
	uint32_t cqe = c.one_cq_entry ? 1 : 2 * c.depth;

	CU_ASSERT_FATAL(phca_cq_create(c.l->client, cqe, &c.scq) == 0);
	CU_ASSERT_FATAL(phca_cq_create(c.l->client, cqe, &c.rcq) == 0);
	if (c.with_srq)
		CU_ASSERT_FATAL(phca_srq_create(c.l->client, &si, &c.srq) == 0);
	i.send_cq = c.scq;
	i.recv_cq = c.rcq;
	i.srq = c.srq;
	if (c.with_srq)
		i.max_recv_wr = i.max_recv_sge = 0;
	CU_ASSERT_FATAL(phca_qp_create(c.l->client, &i, &c.qp) == 0);
	c.qpn = phca_qp_num(c.qp);
}

static void memory(void)
{
	c.region = calloc(1, REGION);
	c.local = calloc(1, REGION);
	CU_ASSERT_FATAL(c.region != NULL && c.local != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(c.l->mem, c.l->pd, c.region, REGION, (uintptr_t)c.region,
		PHCA_ACCESS_LOCAL_WRITE | ACCESS_REMOTE | PHCA_ACCESS_MW_BIND, &c.rkey) == 0);
	CU_ASSERT_FATAL(phca_mr_reg(c.l->mem, c.l->pd, c.local, REGION, (uintptr_t)c.local,
		PHCA_ACCESS_LOCAL_WRITE, &c.lkey) == 0);
}

void begin(void)
{
	static const enum phca_qp_state way[] = { PHCA_QPS_INIT, PHCA_QPS_RTR, PHCA_QPS_RTS };
	enum phca_qp_state to = c.attr.state;
	struct phca_event ev;

	if (c.begun)
		return;
	c.begun = true;
	queues();
	for (unsigned int i = 0; i < RTE_DIM(way) && way[i] <= to; i++)
		expect_int(modify(way[i], needs(way[i])), 0);
	while (phca_hca_events(c.l->hca, &ev, 1) == 1)
		; /* the port's */
}

void conform_run(const char *suite, void (*ladder)(void))
{
	struct phca_congestion_conf congestion;
	struct lab_opts o = { .mtu = PORT_MTU, .no_proxy = true, .two_ip4 = true, .congestion = &congestion };

	phca_congestion_default(&congestion);
	memset(&c, 0, sizeof(c));
	c.l = lab_open(&o);
	memory();
	defaults(suite);
	ladder();
	if (c.begun) {
		expect_int(phca_qp_destroy(c.qp), 0);
		if (c.srq != NULL)
			expect_int(phca_srq_destroy(c.srq), 0);
		expect_int(phca_cq_destroy(c.scq), 0);
		expect_int(phca_cq_destroy(c.rcq), 0);
	}
	expect_int(phca_mr_dereg(c.l->mem, c.rkey), 0);
	expect_int(phca_mr_dereg(c.l->mem, c.lkey), 0);
	lab_close(c.l);
	free(c.region);
	free(c.local);
}

/* Receives are the upper half of c.local. */
static uint8_t *recv_buf(uint32_t id)
{
	return c.local + REGION / 2 + (size_t)id * c.recv_len % (REGION / 2 - c.recv_len + 1);
}

void recvs(unsigned int n)
{
	begin();
	for (; n > 0; n--, c.nb_recv++) {
		struct phca_sge sge = { (uintptr_t)recv_buf(c.nb_recv), c.recv_len, c.lkey };
		struct phca_recv_wr wr = { c.nb_recv, &sge, c.recv_len > 0 };

		expect_int(c.srq ? phca_post_srq_recv(c.srq, &wr, 1) : phca_post_recv(c.qp, &wr, 1), 1);
	}
}

void turns(unsigned int n)
{
	begin();
	if (!c.hold)
		lab_turn(c.l, n);
}

bool draining(void)
{
	struct phca_qp_attr a = { .sq_draining = false };

	expect_int(phca_qp_query(c.qp, &a), 0);
	return a.sq_draining;
}

void ignore_sent(void)
{
	struct rte_mbuf *m;

	turns(3);
	while ((m = lab_capture(c.l)) != NULL)
		rte_pktmbuf_free(m);
}

void pass_us(uint64_t us)
{
	begin();
	c.l->now_ns += us * 1000;
	turns(2);
}

void record(char way, const void *frame, uint32_t len)
{
	const char *name = getenv("PHCA_CONFORM_FRAMES");
	static FILE *f;

	if (f == NULL && name != NULL)
		f = fopen(name, "wb");
	if (f == NULL)
		return;
	CU_ASSERT(fwrite(&way, 1, 1, f) == 1);
	CU_ASSERT(fwrite(&len, sizeof(len), 1, f) == 1);
	CU_ASSERT(fwrite(frame, 1, len, f) == len);
	fflush(f);
}

/* ------------------------------------------------------- completions */

static bool says(struct at at, bool ok, const char *text)
{
	return CU_assertImplementation(ok, at.line, text, at.file, "", CU_FALSE);
}

void expect_recv_at(struct at at, enum phca_wc_opcode op, const struct received *r)
{
	uint32_t grh = c.type == PHCA_QPT_UD ? PHCA_GRH_LEN : 0, id = c.nb_recv_done++;
	uint32_t flags = (r->imm ? PHCA_WC_F_WITH_IMM : 0u) | (r->inv ? PHCA_WC_F_WITH_INV : 0u) |
		(grh ? PHCA_WC_F_GRH : 0u);
	struct phca_wc wc;

	turns(3);
	if (!says(at, phca_poll_cq(c.rcq, 1, &wc) == 1, "a receive completes"))
		return;
	expect_int_at(at, "wr_id", (int64_t)wc.wr_id, id);
	expect_int_at(at, "status", wc.status, r->status);
	expect_int_at(at, "qp_num", wc.qp_num, c.qpn);
	if (r->status != PHCA_WC_SUCCESS)
		return;
	expect_int_at(at, "opcode", wc.opcode, op);
	expect_int_at(at, "byte_len", wc.byte_len, r->n + grh);
	expect_int_at(at, "wc_flags", wc.wc_flags, flags);
	if (r->imm != 0 || r->inv != 0)
		expect_int_at(at, "imm", wc.imm, r->imm ? r->imm : r->inv);
	if (r->sqpn != 0)
		expect_int_at(at, "src_qp", wc.src_qp, r->sqpn);
	if (op == PHCA_WC_RECV)
		says(at, lab_is(recv_buf(id) + grh, r->n, r->seed), "data of the receive");
}

void expect_sent_at(struct at at, enum phca_wc_status status)
{
	static const uint8_t opcode[] = {
		[PHCA_WR_RDMA_WRITE] = PHCA_WC_RDMA_WRITE, [PHCA_WR_RDMA_WRITE_WITH_IMM] = PHCA_WC_RDMA_WRITE,
		[PHCA_WR_SEND] = PHCA_WC_SEND, [PHCA_WR_SEND_WITH_IMM] = PHCA_WC_SEND,
		[PHCA_WR_SEND_WITH_INV] = PHCA_WC_SEND, [PHCA_WR_RDMA_READ] = PHCA_WC_RDMA_READ,
		[PHCA_WR_ATOMIC_CMP_AND_SWP] = PHCA_WC_COMP_SWAP, [PHCA_WR_ATOMIC_FETCH_AND_ADD] = PHCA_WC_FETCH_ADD,
		[PHCA_WR_LOCAL_INV] = PHCA_WC_LOCAL_INV, [PHCA_WR_BIND_MW] = PHCA_WC_BIND_MW,
	};
	struct phca_wc wc;
	uint8_t op;

	turns(3);
	if (!says(at, phca_poll_cq(c.scq, 1, &wc) == 1, "a send completes"))
		return;
	expect_int_at(at, "wr_id", (int64_t)wc.wr_id, c.nb_sent_done++);
	expect_int_at(at, "status", wc.status, status);
	expect_int_at(at, "qp_num", wc.qp_num, c.qpn);
	if (status != PHCA_WC_SUCCESS)
		return;
	op = c.sent_op[wc.wr_id % RTE_DIM(c.sent_op)];
	expect_int_at(at, "opcode", wc.opcode, opcode[op]);
	if (opcode[op] == PHCA_WC_RDMA_READ || opcode[op] == PHCA_WC_COMP_SWAP || opcode[op] == PHCA_WC_FETCH_ADD)
		expect_int_at(at, "byte_len", wc.byte_len, c.sent_len[wc.wr_id % RTE_DIM(c.sent_op)]);
}

void expect_sent_in_error_at(struct at at)
{
	struct phca_wc wc;

	turns(3);
	if (!says(at, phca_poll_cq(c.scq, 1, &wc) == 1, "a send completes"))
		return;
	expect_int_at(at, "wr_id", (int64_t)wc.wr_id, c.nb_sent_done++);
	says(at, wc.status != PHCA_WC_SUCCESS && wc.status != PHCA_WC_WR_FLUSH_ERR, phca_wc_status_str(wc.status));
}

void expect_no_success_at(struct at at)
{
	struct phca_wc wc;

	turns(3);
	while (phca_poll_cq(c.scq, 1, &wc) == 1)
		says(at, wc.status != PHCA_WC_SUCCESS, "a send has succeeded");
	expect_int_at(at, "sends left", 0, 0);
}

void expect_flushed_at(struct at at, unsigned int nb_recvs, unsigned int nb_sends)
{
	const struct received r = { .status = PHCA_WC_WR_FLUSH_ERR };

	for (unsigned int i = 0; i < nb_recvs; i++)
		expect_recv_at(at, PHCA_WC_RECV, &r);
	for (unsigned int i = 0; i < nb_sends; i++)
		expect_sent_at(at, PHCA_WC_WR_FLUSH_ERR);
	expect_no_completion_at(at);
}

void expect_no_completion_at(struct at at)
{
	struct phca_wc wc = { .wr_id = 0 };

	turns(3);
	expect_int_at(at, "receives completed", phca_poll_cq(c.rcq, 1, &wc), 0);
	expect_int_at(at, "sends completed", phca_poll_cq(c.scq, 1, &wc), 0);
}

/* ------------------------------------------------- memory, counters, state */

void expect_int_at(struct at at, const char *what, int64_t got, int64_t want)
{
	char text[160];

	snprintf(text, sizeof(text), "%s is 0x%llx, wanted 0x%llx", what, (unsigned long long)got,
		(unsigned long long)want);
	says(at, got == want, text);
}

void expect_region_at(struct at at, uint64_t off, uint32_t n, uint8_t seed)
{
	turns(3);
	says(at, lab_is(c.region + off, n, seed), "the region's bytes");
}

void expect_local_at(struct at at, uint64_t off, uint32_t n, uint8_t seed)
{
	turns(3);
	says(at, lab_is(c.local + off, n, seed), "the local bytes");
}

void expect_untouched_at(struct at at, uint64_t off, uint32_t n)
{
	bool zero = true;

	turns(3);
	for (uint32_t i = 0; i < n; i++)
		zero = zero && c.region[off + i] == 0;
	says(at, zero, "nothing was written");
}

uint64_t value(uint64_t off)
{
	uint64_t v;

	memcpy(&v, c.region + off, 8);
	return v;
}

void value_set(uint64_t off, uint64_t v)
{
	memcpy(c.region + off, &v, 8);
}

void expect_value_at(struct at at, uint64_t off, uint64_t v)
{
	turns(3);
	expect_int_at(at, "the value", (int64_t)value(off), (int64_t)v);
}

void expect_verdict_at(struct at at, enum phca_verdict v, uint64_t n)
{
	char what[80];

	turns(3);
	snprintf(what, sizeof(what), "packets with the verdict %s:", phca_verdict_str(v));
	expect_int_at(at, what, (int64_t)lab_verdict(c.l, v), (int64_t)n);
}

void expect_state_at(struct at at, enum phca_qp_state s)
{
	struct phca_qp_attr a;

	turns(3);
	expect_int_at(at, "phca_qp_query", phca_qp_query(c.qp, &a), 0);
	expect_int_at(at, "state", a.state, s);
}

void expect_event_at(struct at at, enum phca_event_type t)
{
	struct phca_event ev;

	turns(3);
	if (!says(at, phca_hca_events(c.l->hca, &ev, 1) == 1, phca_event_str(t)))
		return;
	says(at, ev.type == t, phca_event_str(t));
	expect_int_at(at, "event.num", ev.num, t == PHCA_EVENT_SRQ_LIMIT ? phca_srq_num(c.srq) :
		t == PHCA_EVENT_CQ_ERR ? phca_cq_num(c.rcq) : c.qpn);
}

void expect_no_event_at(struct at at)
{
	struct phca_event ev;

	turns(3);
	says(at, phca_hca_events(c.l->hca, &ev, 1) == 0, "no event");
}
