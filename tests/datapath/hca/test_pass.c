/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inbound RC requests that an offload gives back: the application receives them as if there were
 * no proxy, in the order in which they came, whenever the offload decides.
 */
#include <string.h>

#include "hca_impl.h"
#include "judged.h"

#define FAR (16 * LAB_BUF)
#define M JUDGE_MARK /* seed of messages that are offloaded */
#define D 0x10       /* of others */
#define RNR (PHCA_AETH_RNR | LAB_RNR_TIMER)
#define RNR_SOON (PHCA_AETH_RNR | 1)

/* A SEND of one packet, acknowledged when the HCA or the proxy has it. */
static void message(struct fx *x, uint32_t psn, uint32_t n, uint8_t seed)
{
	rc_send(&x->c, PHCA_RC_SEND_ONLY, psn, n, seed);
	rc_expect_ack_late(&x->c, psn, psn + 1);
}

/* The next receive has these bytes. */
static void received(struct fx *x, uint64_t id, uint32_t n, uint8_t seed)
{
	rc_expect_recv(&x->c, id, PHCA_WC_SUCCESS, n);
	CU_ASSERT(lab_is(lab_buf(&x->c.q, id), n, seed));
}

static struct phca_qp_stats stats(const struct fx *x)
{
	return lab_info(&x->c.q).stats;
}

PHCA_TEST(pass, at_once_among_direct_ones)
{
	struct fx x = fx_open(NULL, 12, false);

	x.j->policy = judge_pass_all;
	for (uint32_t i = 0; i < 12; i++)
		rc_send(&x.c, PHCA_RC_SEND_ONLY, i, 20 + i, i % 3 ? (uint8_t)(D + i) : (uint8_t)(M + i));
	rc_expect_ack_late(&x.c, 11, 12);
	for (uint32_t i = 0; i < 12; i++)
		received(&x, i, 20 + i, i % 3 ? (uint8_t)(D + i) : (uint8_t)(M + i));
	CU_ASSERT_EQUAL(x.j->submitted, 4);
	CU_ASSERT_EQUAL(stats(&x).rx_messages, 12);
	CU_ASSERT_EQUAL(stats(&x).rx_passed, stats(&x).rx_offloaded);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).pqp.passed, stats(&x).rx_passed);
	CU_ASSERT_EQUAL(stats(&x).rx_pass_waits, 0);
	fx_close(&x);
}

PHCA_TEST(pass, decided_late_and_out_of_order)
{
	struct fx x = fx_open(NULL, 5, false);

	message(&x, 0, 20, D); /* in front of all: direct */
	received(&x, 0, 20, D);
	message(&x, 1, 20, M);
	message(&x, 2, 20, D + 1);
	message(&x, 3, 20, M + 1);
	message(&x, 4, 20, D + 2);
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(stats(&x).rx_direct, 1);
	CU_ASSERT_EQUAL(stats(&x).rx_ordered, 2);
	judge_pass(x.c.l, x.j, 1);
	rc_expect_no_recv(&x.c); /* the first one is not decided */
	judge_pass(x.c.l, x.j, 0);
	received(&x, 1, 20, M);
	received(&x, 2, 20, D + 1);
	received(&x, 3, 20, M + 1);
	received(&x, 4, 20, D + 2);
	lab_post(&x.c.q, 1);
	message(&x, 5, 20, D + 3); /* nothing in front of it: direct again */
	received(&x, 5, 20, D + 3);
	CU_ASSERT_EQUAL(stats(&x).rx_direct, 2);
	CU_ASSERT_EQUAL(stats(&x).rx_ordered, 2);
	fx_close(&x);
}

PHCA_TEST(pass, what_is_consumed_takes_no_receive)
{
	struct fx x = fx_open(NULL, 4, false);

	message(&x, 0, 20, M);
	message(&x, 1, 20, D);
	message(&x, 2, 20, M + 1);
	message(&x, 3, 20, M + 2);
	judge_done(x.c.l, x.j, 1);
	rc_expect_no_recv(&x.c);
	judge_done(x.c.l, x.j, 0);
	received(&x, 0, 20, D); /* does not wait for the last one */
	judge_pass(x.c.l, x.j, 0);
	received(&x, 1, 20, M + 2);
	rc_expect_no_recv(&x.c);
	fx_close(&x);
}

PHCA_TEST(pass, other_bytes_are_delivered)
{
	struct fx x = fx_open(NULL, 4, false);

	for (uint32_t i = 0; i < 4; i++)
		message(&x, i, 20, (uint8_t)(M + i));
	judge_deliver(x.c.l, x.j, 0, 7, 3);
	judge_deliver(x.c.l, x.j, 0, LAB_BUF, 4); /* several buffers */
	judge_deliver(x.c.l, x.j, 0, 0, 0);
	judge_pass(x.c.l, x.j, 0);
	received(&x, 0, 7, 3);
	received(&x, 1, LAB_BUF, 4);
	received(&x, 2, 0, 0);
	received(&x, 3, 20, M + 3);
	fx_close(&x);
}

PHCA_TEST(pass, message_of_three_packets)
{
	struct fx x = fx_open(NULL, 3, false);
	const uint8_t *b = lab_buf(&x.c.q, 0);

	rc_send(&x.c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, M);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 1, LAB_MTU, 2);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 2, 9, 3);
	rc_expect_ack_late(&x.c, 2, 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 3, 5, D);
	rc_expect_ack_late(&x.c, 3, 2);
	rc_expect_no_recv(&x.c);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_recv(&x.c, 0, PHCA_WC_SUCCESS, 2 * LAB_MTU + 9);
	CU_ASSERT(lab_is(b, LAB_MTU, M) && lab_is(b + LAB_MTU, LAB_MTU, 2) && lab_is(b + 2 * LAB_MTU, 9, 3));
	received(&x, 1, 5, D);
	fx_close(&x);
}

/* Receives are for what is given back: the rest goes on without, as much as the window has room for at a time. */
PHCA_TEST(pass, what_is_consumed_needs_no_receive)
{
	struct fx x = fx_open(NULL, 0, false);
	const uint32_t window = LAB_DEPTH;
	uint32_t psn = 0;

	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < window; i++)
			rc_send(&x.c, PHCA_RC_SEND_ONLY, psn++, 20, (uint8_t)(M + i % 16));
		rc_expect_ack_late(&x.c, psn - 1, psn);
		rc_write(&x.c, PHCA_RC_WRITE_ONLY_IMM, psn, FAR, 8, 8, D);
		rc_expect_nak(&x.c, RNR, psn);
		CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_WINDOW_FULL), round + 1);
		while (x.j->n > 0)
			judge_done(x.c.l, x.j, 0);
	}
	message(&x, psn, 20, M);
	message(&x, psn + 1, 20, M + 1);
	judge_pass(x.c.l, x.j, 1);
	judge_done(x.c.l, x.j, 0);
	rc_expect_no_recv(&x.c); /* this one needs one */
	CU_ASSERT_EQUAL(stats(&x).rx_pass_waits, 1);
	lab_post(&x.c.q, 1);
	received(&x, 0, 20, M + 1);
	CU_ASSERT_EQUAL(x.j->submitted, 2 * window + 2);
	fx_close(&x);
}

PHCA_TEST(pass, request_that_comes_again_is_not_run_again)
{
	struct fx x = fx_open(NULL, 4, false);

	message(&x, 0, 20, M);
	message(&x, 1, 20, D);
	for (unsigned int i = 0; i < 2; i++) {
		rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, M);
		rc_expect_ack_late(&x.c, 1, 2);
		rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, D);
		rc_expect_ack_late(&x.c, 1, 2);
		if (i == 0)
			judge_pass(x.c.l, x.j, 0);
	}
	CU_ASSERT_EQUAL(x.j->submitted, 1);
	received(&x, 0, 20, M);
	received(&x, 1, 20, D);
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_DUPLICATE), 4);
	fx_close(&x);
}

/* ------------------------------------------------------ every operation */

static struct phca_wc expect_wc(struct fx *x, uint64_t id, uint32_t opcode, uint32_t len)
{
	struct phca_wc wc = { .status = PHCA_WC_GENERAL_ERR };

	lab_turn(x->c.l, 3);
	CU_ASSERT_FATAL(lab_poll(&x->c.q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, id);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.opcode, opcode);
	CU_ASSERT_EQUAL(wc.byte_len, len);
	CU_ASSERT_EQUAL(wc.src_qp, LAB_PEER_QPN);
	return wc;
}

/* The next completion is a solicited one; asked before it is polled. */
static bool next_is_solicited(const struct fx *x)
{
	const struct phca_ring *r = &x->c.q.cq->user;
	const struct phca_cqe *e = phca_ring_head(r);

	return e->flags & PHCA_CQE_SOLICITED;
}

/* Immediate data and the solicited bit are those of the last packet (9.2.3, 9.4.1). */
PHCA_TEST(pass, immediate_data_and_solicited)
{
	struct fx x = fx_open(NULL, 4, false);
	struct phca_wire_hdr h;
	struct phca_wc wc;

	for (uint32_t i = 0, psn = 0; i < 4; i++, psn++) {
		bool several = i > 1, sol = i & 1;

		if (several)
			rc_send(&x.c, PHCA_RC_SEND_FIRST, psn++, LAB_MTU, M);
		h = rc_hdr(&x.c, several ? PHCA_RC_SEND_LAST_IMM : PHCA_RC_SEND_ONLY_IMM, psn);
		h.imm = 0x11223344 + i;
		h.solicited = sol;
		lab_send(x.c.l, &h, 11, M);
		rc_expect_ack_late(&x.c, psn, i + 1);
		judge_pass(x.c.l, x.j, 0);
		CU_ASSERT_EQUAL(next_is_solicited(&x), sol);
		wc = expect_wc(&x, i, PHCA_WC_RECV, several * LAB_MTU + 11);
		CU_ASSERT_EQUAL(wc.wc_flags, PHCA_WC_F_WITH_IMM);
		CU_ASSERT_EQUAL(wc.imm, 0x11223344 + i);
	}
	fx_close(&x);
}

PHCA_TEST(pass, write_with_immediate_takes_a_receive)
{
	struct fx x = fx_open(NULL, 3, false);
	uint8_t *far = x.c.q.buf + FAR;
	struct phca_wire_hdr h;
	struct phca_wc wc;

	memset(far, 0xee, 2 * LAB_MTU);
	rc_write(&x.c, PHCA_RC_WRITE_ONLY_IMM, 0, FAR, 30, 30, M);
	rc_expect_ack_late(&x.c, 0, 1);
	rc_write(&x.c, PHCA_RC_WRITE_FIRST, 1, FAR + 100, LAB_MTU + 9, LAB_MTU, D); /* behind: held, and passed */
	h = rc_hdr(&x.c, PHCA_RC_WRITE_LAST_IMM, 2);
	h.imm = 7;
	lab_send(x.c.l, &h, 9, D + 1);
	rc_expect_ack_late(&x.c, 2, 2);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 3, 20, D + 2);
	rc_expect_ack_late(&x.c, 3, 3);
	CU_ASSERT_EQUAL(far[0], 0xee);
	CU_ASSERT_EQUAL(far[100], 0xee);
	rc_expect_no_recv(&x.c);
	judge_pass(x.c.l, x.j, 0);
	wc = expect_wc(&x, 0, PHCA_WC_RECV_RDMA_WITH_IMM, 30);
	CU_ASSERT_EQUAL(wc.wc_flags, PHCA_WC_F_WITH_IMM);
	CU_ASSERT(lab_is(far, 30, M));
	wc = expect_wc(&x, 1, PHCA_WC_RECV_RDMA_WITH_IMM, LAB_MTU + 9);
	CU_ASSERT_EQUAL(wc.imm, 7);
	CU_ASSERT(lab_is(far + 100, LAB_MTU, D) && lab_is(far + 100 + LAB_MTU, 9, D + 1));
	received(&x, 2, 20, D + 2);
	CU_ASSERT_EQUAL(stats(&x).rx_ordered, 2);
	fx_close(&x);
}

/* Requests of a connection are executed in their order (9.5): none sees what is behind it, all what is before it. */
PHCA_TEST(pass, memory_is_seen_in_order)
{
	struct fx x = fx_open(NULL, 1, false);
	uint64_t *word = (uint64_t *)(x.c.q.buf + FAR + 64);

	memset(x.c.q.buf + FAR, 0, 128);
	rc_write(&x.c, PHCA_RC_WRITE_ONLY, 0, FAR, 64, 64, M);
	rc_expect_ack_late(&x.c, 0, 1);
	rc_read(&x.c, 1, FAR, 64); /* behind: waits */
	rc_add(&x.c, 2, FAR + 64, 5);
	rc_write(&x.c, PHCA_RC_WRITE_ONLY, 3, FAR + 64, 8, 8, D);
	rc_cas(&x.c, 4, FAR + 64, 0x1716151413121110ull, 99);
	rc_expect_nothing(&x.c);
	CU_ASSERT_EQUAL(*word, 0);
	judge_pass(x.c.l, x.j, 0);
	CU_ASSERT(lab_is(x.c.q.buf + FAR, 64, M));
	rc_expect_read(&x.c, 1, FAR, 64);
	rc_expect_atomic(&x.c, 2, 0);
	rc_expect_atomic(&x.c, 4, 0x1716151413121110ull); /* acknowledges the WRITE, too */
	CU_ASSERT_EQUAL(*word, 99);
	rc_expect_no_recv(&x.c);
	fx_close(&x);
}

PHCA_TEST(pass, read_and_atomic_are_given_back)
{
	struct fx x = fx_open(NULL, 1, true);
	uint64_t *word = (uint64_t *)(x.c.q.buf + FAR);

	*word = 40;
	rc_read(&x.c, 0, FAR + 64, 3 * LAB_MTU - 1);
	rc_add(&x.c, 3, FAR, 2);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 4, 20, D);
	rc_expect_nothing(&x.c);
	CU_ASSERT_EQUAL_FATAL(x.j->n, 2);
	judge_pass(x.c.l, x.j, 1);
	rc_expect_nothing(&x.c);
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(*word, 40);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_read(&x.c, 0, FAR + 64, 3 * LAB_MTU - 1);
	rc_expect_atomic(&x.c, 3, 40);
	rc_expect_ack_late(&x.c, 4, 3);
	CU_ASSERT_EQUAL(*word, 42);
	received(&x, 0, 20, D);
	fx_close(&x);
}

/* The key may be needed by what is before it: it is not invalidated while that waits (9.4.1.1.3). */
PHCA_TEST(pass, invalidate_waits_for_what_is_before_it)
{
	struct fx x = fx_open(NULL, 2, false);
	struct phca_wire_hdr w = rc_hdr(&x.c, PHCA_RC_WRITE_ONLY, 0), h;
	struct phca_mw_bind b = {
		.addr = (uintptr_t)x.c.q.buf + FAR, .length = 64, .mr_key = x.c.q.lkey,
		.access = PHCA_ACCESS_REMOTE_WRITE, .pd = x.c.l->pd, .qpn = x.c.q.qpn,
	};
	struct phca_wc wc;

	CU_ASSERT_EQUAL_FATAL(phca_mw_alloc(x.c.l->mem, x.c.l->pd, PHCA_MW_TYPE_2, &b.rkey), 0);
	b.new_rkey = w.rkey = b.rkey + 1;
	CU_ASSERT_EQUAL_FATAL(phca_mw_bind(x.c.l->mem, &b), PHCA_MEM_OK);
	w.va = b.addr;
	w.dma_len = 16;
	lab_send(x.c.l, &w, 16, M);
	rc_expect_ack_late(&x.c, 0, 1);
	for (uint32_t i = 0; i < 2; i++) { /* whether a rule matches or not */
		h = rc_hdr(&x.c, PHCA_RC_SEND_ONLY_INV, 1);
		h.inv_rkey = b.new_rkey;
		lab_send(x.c.l, &h, 12, i ? D : M);
		rc_expect_nak(&x.c, RNR_SOON, 1);
	}
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_ORDER), 2);
	judge_pass(x.c.l, x.j, 0);
	CU_ASSERT(lab_is(x.c.q.buf + FAR, 16, M)); /* the key was good */
	lab_send(x.c.l, &h, 12, M);
	rc_expect_ack_late(&x.c, 1, 2);
	judge_pass(x.c.l, x.j, 0);
	wc = expect_wc(&x, 0, PHCA_WC_RECV, 12);
	CU_ASSERT_EQUAL(wc.wc_flags, PHCA_WC_F_WITH_INV);
	CU_ASSERT_EQUAL(wc.imm, b.new_rkey);
	w.psn = phca_psn(2);
	lab_send(x.c.l, &w, 16, D);
	rc_expect_nak(&x.c, PHCA_NAK_REM_ACCESS, 2);
	rc_expect_recv(&x.c, 1, PHCA_WC_WR_FLUSH_ERR, 0);
	CU_ASSERT_EQUAL(phca_mw_dealloc(x.c.l->mem, b.new_rkey), 0);
	fx_close(&x);
}

/* ------------------------------------------------- messages of several packets */

PHCA_TEST(pass, send_of_several_packets_does_not_overtake)
{
	struct fx x = fx_open(NULL, 3, false);

	message(&x, 0, 20, M);
	rc_send(&x.c, PHCA_RC_SEND_FIRST, 1, LAB_MTU, D); /* held, and follows it */
	judge_pass(x.c.l, x.j, 0);
	received(&x, 0, 20, M);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 2, 5, D);
	rc_expect_ack_late(&x.c, 2, 2);
	rc_expect_recv(&x.c, 1, PHCA_WC_SUCCESS, LAB_MTU + 5);
	CU_ASSERT(lab_is(lab_buf(&x.c.q, 1), LAB_MTU, D) && lab_is(lab_buf(&x.c.q, 1) + LAB_MTU, 5, D));
	rc_send(&x.c, PHCA_RC_SEND_FIRST, 3, LAB_MTU, D);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 4, 5, D);
	rc_expect_ack_late(&x.c, 4, 3);
	rc_expect_recv(&x.c, 2, PHCA_WC_SUCCESS, LAB_MTU + 5);
	CU_ASSERT_EQUAL(stats(&x).rx_direct, 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_ORDER), 0);
	fx_close(&x);
}

/* What is too long to be held goes on when all before it is decided: as a direct one. */
PHCA_TEST(pass, longer_send_than_may_be_held)
{
	struct lab_opts lo = { .max_held = 2 };
	struct fx x = fx_open(&lo, 2, false);
	const uint8_t *b = lab_buf(&x.c.q, 1);

	message(&x, 0, 20, M);
	rc_send(&x.c, PHCA_RC_SEND_FIRST, 1, LAB_MTU, D);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 2, LAB_MTU, D + 1);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 3, LAB_MTU, D + 2);
	rc_expect_nak(&x.c, RNR_SOON, 3);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 4, 5, D);
	rc_expect_nothing(&x.c); /* ahead: told already */
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_ORDER), 1);
	judge_pass(x.c.l, x.j, 0);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 3, LAB_MTU, D + 2);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 4, 5, D + 3);
	rc_expect_ack_late(&x.c, 4, 2);
	received(&x, 0, 20, M);
	rc_expect_recv(&x.c, 1, PHCA_WC_SUCCESS, 3 * LAB_MTU + 5);
	for (uint32_t k = 0; k < 4; k++)
		CU_ASSERT(lab_is(b + k * LAB_MTU, k < 3 ? LAB_MTU : 5, (uint8_t)(D + k)));
	CU_ASSERT_EQUAL(stats(&x).rx_direct, 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_DIRECT), 4);
	fx_close(&x);
}

/* It is as a direct one also when its receive refuses it. */
PHCA_TEST(pass, longer_send_than_its_receive)
{
	struct lab_opts lo = { .max_held = 2 };
	struct fx x = fx_open(&lo, 1, false);
	struct phca_sge sge = { (uintptr_t)lab_buf(&x.c.q, 1), LAB_MTU + 9, x.c.q.lkey };
	struct phca_recv_wr wr = { 1, &sge, 1 };

	CU_ASSERT_EQUAL(phca_post_recv(x.c.q.qp, &wr, 1), 1);
	message(&x, 0, 20, M);
	rc_send(&x.c, PHCA_RC_SEND_FIRST, 1, LAB_MTU, D);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 2, LAB_MTU, D);
	judge_pass(x.c.l, x.j, 0);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 3, LAB_MTU, D);
	rc_expect_nak(&x.c, PHCA_NAK_INV_REQ, 3);
	received(&x, 0, 20, M);
	rc_expect_recv(&x.c, 1, PHCA_WC_LOC_LEN_ERR, 0);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(stats(&x).rx_dropped, 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_ABORTED), 2);
	fx_close(&x);
}

/* A WRITE longer than what may be held is not told of: the peer comes again by itself (9.7.6.1.3). */
PHCA_TEST(pass, longer_write_than_may_be_held)
{
	struct lab_opts lo = { .max_held = 2 };
	struct fx x = fx_open(&lo, 1, false);

	memset(x.c.q.buf + FAR, 0xee, 8);
	message(&x, 0, 20, M);
	rc_write(&x.c, PHCA_RC_WRITE_FIRST, 1, FAR, 2 * LAB_MTU + 1, LAB_MTU, D);
	rc_send(&x.c, PHCA_RC_WRITE_MIDDLE, 2, LAB_MTU, D + 1);
	rc_send(&x.c, PHCA_RC_WRITE_LAST, 3, 1, D + 2);
	rc_expect_nothing(&x.c);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_ORDER), 1);
	CU_ASSERT_EQUAL(x.c.q.buf[FAR], 0xee);
	judge_pass(x.c.l, x.j, 0);
	rc_send(&x.c, PHCA_RC_WRITE_LAST, 3, 1, D + 2);
	rc_expect_ack_late(&x.c, 3, 2);
	CU_ASSERT(lab_is(x.c.q.buf + FAR, LAB_MTU, D) && lab_is(x.c.q.buf + FAR + LAB_MTU, LAB_MTU, D + 1));
	received(&x, 0, 20, M);
	fx_close(&x);
}
