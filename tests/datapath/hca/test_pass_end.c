/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inbound RC requests that are given back when something ends: receives that refuse them,
 * queue pairs in error, reset, destroyed, with other rules.
 */
#include <string.h>

#include "hca_impl.h"
#include "judged.h"
#include "phca_drivers.h"

#define M JUDGE_MARK
#define D 0x10

static void message(struct fx *x, uint32_t psn, uint32_t n, uint8_t seed)
{
	rc_send(&x->c, PHCA_RC_SEND_ONLY, psn, n, seed);
	rc_expect_ack_late(&x->c, psn, psn + 1);
}

static void received(struct fx *x, uint64_t id, uint32_t n, uint8_t seed)
{
	rc_expect_recv(&x->c, id, PHCA_WC_SUCCESS, n);
	CU_ASSERT(lab_is(lab_buf(&x->c.q, id), n, seed));
}

/* Three messages, the first and the last to be passed; the receive of the first refuses it. */
static void refused(struct fx *x, uint32_t status, enum phca_event_type ev)
{
	lab_post(&x->c.q, 3);
	message(x, 0, 20, M);
	message(x, 1, 20, D);
	message(x, 2, 20, M + 1);
	judge_pass(x->c.l, x->j, 0);
	rc_expect_event(&x->c, ev);
	rc_expect_recv(&x->c, 0, status, 0);
	for (uint64_t i = 1; i < 4; i++)
		rc_expect_recv(&x->c, i, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_expect_no_recv(&x->c);
	rc_expect_state(&x->c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_info(&x->c.q).stats.rx_pass_dropped, 2); /* and the one behind it */
	CU_ASSERT_EQUAL(x->j->n, 0); /* the last one is cancelled */
	fx_close(x);
}

PHCA_TEST(pass_end, too_long_for_its_receive)
{
	struct fx x = fx_open(NULL, 0, false);

	fx_post(&x, 19, x.c.q.lkey);
	refused(&x, PHCA_WC_LOC_LEN_ERR, PHCA_EVENT_QP_REQ_ERR);
}

PHCA_TEST(pass_end, receive_whose_memory_is_not_the_applications)
{
	struct fx x = fx_open(NULL, 0, false);

	fx_post(&x, LAB_BUF, x.c.q.lkey ^ 1);
	refused(&x, PHCA_WC_LOC_PROT_ERR, PHCA_EVENT_QP_ACCESS_ERR);
}

PHCA_TEST(pass_end, invalid_receive)
{
	struct fx x = fx_open(NULL, 1, false);
	struct phca_recv_wqe *w = phca_ring_head(&x.c.q.qp->rq);

	w->num_sge = 5; /* more than the queue has room for */
	refused(&x, PHCA_WC_LOC_QP_OP_ERR, PHCA_EVENT_QP_FATAL);
}

PHCA_TEST(pass_end, nonsense_in_the_receive_queue)
{
	struct fx x = fx_open(NULL, 1, false);
	struct phca_event ev;

	message(&x, 0, 20, M);
	x.c.q.qp->rq.hdr->prod += 1000;
	x.c.q.qp->rq.other = x.c.q.qp->rq.own; /* as if all that was seen had been taken */
	judge_pass(x.c.l, x.j, 0);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(phca_hca_events(x.c.l->hca, &ev, 1), 1);
	CU_ASSERT_EQUAL(ev.type, PHCA_EVENT_QP_FATAL);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_pass_dropped, 1);
	fx_close(&x);
}

/* An offload that fails: what is before it is received, what is behind it is flushed. */
PHCA_TEST(pass_end, between_failures_of_offloads)
{
	struct fx x = fx_open(NULL, 4, false);
	struct phca_offload_req *r;

	message(&x, 0, 20, M);
	message(&x, 1, 20, M + 1);
	message(&x, 2, 20, M + 2);
	message(&x, 3, 20, D);
	judge_pass(x.c.l, x.j, 2);
	r = x.j->req[1];
	x.j->n = 1;
	phca_offload_done(r, PHCA_WC_REM_OP_ERR); /* known before the first is decided */
	judge_pass(x.c.l, x.j, 0);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	rc_expect_event(&x.c, PHCA_EVENT_OFFLOAD_FAILED);
	rc_expect_recv(&x.c, 0, PHCA_WC_REM_OP_ERR, 0);
	for (uint64_t i = 1; i < 4; i++)
		rc_expect_recv(&x.c, i, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_expect_no_recv(&x.c);
	fx_close(&x);
}

static void to_error(struct fx *x)
{
	const struct phca_qp_attr a = { .state = PHCA_QPS_ERR };

	CU_ASSERT_EQUAL(phca_qp_modify(x->c.q.qp, &a, PHCA_QP_STATE), 0);
}

PHCA_TEST(pass_end, queue_pair_in_error)
{
	struct fx x = fx_open(NULL, 3, false);

	message(&x, 0, 20, M);
	message(&x, 1, 20, D);
	to_error(&x);
	if (x.j->n > 0) /* not cancelled yet */
		judge_pass(x.c.l, x.j, 0);
	for (uint64_t i = 0; i < 3; i++)
		rc_expect_recv(&x.c, i, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_passed, 0);
	fx_close(&x);
}

/* What the proxy gave back, and the HCA has not looked at. */
PHCA_TEST(pass_end, error_overtakes_what_was_given_back)
{
	struct fx x = fx_open(NULL, 2, false);

	message(&x, 0, 20, M);
	CU_ASSERT_EQUAL(phca_offload_pass(x.j->req[--x.j->n]), 0);
	lab_turn_proxy(x.c.l, 1);
	to_error(&x);
	rc_expect_recv(&x.c, 0, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_expect_recv(&x.c, 1, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_pass_dropped, 1);
	fx_close(&x);
}

/* Reset at each stage: at the driver, on the way back. Then it works as a new one. */
PHCA_TEST(pass_end, reset)
{
	for (unsigned int stage = 0; stage < 2; stage++) {
		struct fx x = fx_open(NULL, 4, false);

		message(&x, 0, 20, M);
		message(&x, 1, 20, D);
		if (stage == 1) {
			CU_ASSERT_EQUAL(phca_offload_deliver(x.j->req[--x.j->n], "0123456789", 10), 0);
			lab_turn_proxy(x.c.l, 1);
		}
		lab_qp_restart(x.c.l, &x.c.q, PHCA_QPS_RTS, 0);
		rc_expect_no_recv(&x.c);
		CU_ASSERT_EQUAL(x.j->n, 0);
		lab_post(&x.c.q, 3);
		message(&x, 0, 20, D + 1); /* nothing is before it */
		received(&x, 4, 20, D + 1);
		message(&x, 1, 20, M + 1);
		message(&x, 2, 20, D + 2);
		judge_pass(x.c.l, x.j, 0);
		received(&x, 5, 20, M + 1);
		received(&x, 6, 20, D + 2);
		fx_close(&x);
	}
}

PHCA_TEST(pass_end, destroy)
{
	struct fx x = fx_open(NULL, 4, false);

	message(&x, 0, 20, M);
	message(&x, 1, 20, D);
	message(&x, 2, 20, M);
	CU_ASSERT_EQUAL(phca_offload_deliver(x.j->req[0], "0123456789", 10), 0);
	x.j->req[0] = x.j->req[--x.j->n];
	lab_turn_proxy(x.c.l, 1); /* two are on their way back */
	fx_close(&x);
}

/* Requests begin under one list of rules whole; the order is kept across. */
PHCA_TEST(pass_end, rules_change_with_requests_in_flight)
{
	struct fx x = fx_open(NULL, 6, false);

	message(&x, 0, 20, M);
	message(&x, 1, 20, M + 1);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(x.c.q.qp, NULL, 0), 0);
	message(&x, 2, 20, M + 2); /* no rule, but behind */
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(x.c.q.qp, x.j->rule, 1), 0);
	message(&x, 3, 20, M + 3);
	CU_ASSERT_EQUAL(x.j->n, 3);
	judge_done(x.c.l, x.j, 2);
	judge_pass(x.c.l, x.j, 1);
	judge_pass(x.c.l, x.j, 0);
	received(&x, 0, 20, M);
	received(&x, 1, 20, M + 1);
	received(&x, 2, 20, M + 2);
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(x.c.q.qp, NULL, 0), 0);
	message(&x, 4, 20, M); /* direct, as all is decided */
	received(&x, 3, 20, M);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_ordered, 1);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_direct, 1);
	fx_close(&x);
}

/* The rest of a message that is half received goes where its first packet chose, in order. */
PHCA_TEST(pass_end, rules_change_in_the_middle_of_a_message)
{
	struct fx x = fx_open(NULL, 3, false);

	memset(x.c.q.buf + 16 * LAB_BUF, 0xee, LAB_MTU);
	rc_send(&x.c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, M);
	lab_turn(x.c.l, 1);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(x.c.q.qp, NULL, 0), 0);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 1, 8, D);
	rc_expect_ack_late(&x.c, 1, 1);
	rc_write(&x.c, PHCA_RC_WRITE_FIRST, 2, 16 * LAB_BUF, LAB_MTU + 8, LAB_MTU, D); /* behind, and held */
	lab_turn(x.c.l, 1);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(x.c.q.qp, x.j->rule, 1), 0);
	rc_send(&x.c, PHCA_RC_WRITE_LAST, 3, 8, D);
	rc_expect_ack_late(&x.c, 3, 2);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 4, 20, D);
	rc_expect_ack_late(&x.c, 4, 3);
	rc_expect_no_recv(&x.c);
	CU_ASSERT_EQUAL(x.c.q.buf[16 * LAB_BUF], 0xee);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_recv(&x.c, 0, PHCA_WC_SUCCESS, LAB_MTU + 8);
	CU_ASSERT(lab_is(lab_buf(&x.c.q, 0), LAB_MTU, M));
	CU_ASSERT(lab_is(x.c.q.buf + 16 * LAB_BUF, LAB_MTU, D));
	received(&x, 1, 20, D);
	fx_close(&x);
}

/* Messages to the proxy find no room: what is given back waits for its completion. */
PHCA_TEST(pass_end, ring_to_the_proxy_is_full)
{
	struct lab_opts lo = { .ring_size = 16 };
	struct fx x = { .c = rc_open(&lo, LAB_DEPTH) };
	uint32_t psn = 0;

	x.j = judge_open(x.c.l, false);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.c.q.qp, x.j->rule, 1, 0) == 0);
	for (; psn < 10; psn++)
		message(&x, psn, 20, (uint8_t)(M + psn));
	while (x.j->n > 0)
		CU_ASSERT_EQUAL(phca_offload_pass(x.j->req[--x.j->n]), 0);
	lab_turn_proxy(x.c.l, 1);
	for (unsigned int i = 0; i < 40; i++) { /* the proxy does not run any more */
		rc_send(&x.c, PHCA_RC_SEND_ONLY, psn, 20, M);
		lab_turn_hca(x.c.l, 1);
		psn += lab_verdict(x.c.l, PHCA_V_PROXY_RING_FULL) == 0;
	}
	CU_ASSERT(lab_verdict(x.c.l, PHCA_V_PROXY_RING_FULL) > 0);
	lab_turn(x.c.l, 4);
	for (uint64_t i = 0; i < 10; i++)
		received(&x, i, 20, (uint8_t)(M + i));
	while (x.j->n > 0)
		judge_done(x.c.l, x.j, 0);
	for (struct rte_mbuf *m; (m = lab_capture(x.c.l)) != NULL;)
		rte_pktmbuf_free(m);
	fx_close(&x);
}

/* A turn copies so much; what then waits for the next one is not overtaken either. */
PHCA_TEST(pass_end, many_long_ones_take_several_turns)
{
	const uint32_t packets = 30, len = packets * LAB_MTU;
	struct fx x = fx_open(NULL, 0, false);
	uint32_t psn = 0;

	for (uint32_t i = 0; i < 6; i++) {
		struct phca_sge sge = { (uintptr_t)x.c.q.buf + i * 4 * LAB_BUF, 4 * LAB_BUF, x.c.q.lkey };
		struct phca_recv_wr wr = { i, &sge, 1 };

		CU_ASSERT_EQUAL(phca_post_recv(x.c.q.qp, &wr, 1), 1);
	}
	for (uint32_t i = 0; i < 4; i++, psn += packets) {
		for (uint32_t k = 0; k < packets; k++)
			rc_send(&x.c, k == 0 ? PHCA_RC_SEND_FIRST : k + 1 == packets ? PHCA_RC_SEND_LAST :
				PHCA_RC_SEND_MIDDLE, psn + k, LAB_MTU, (uint8_t)(M + i));
		rc_expect_ack_late(&x.c, psn + packets - 1, i + 1);
	}
	CU_ASSERT_EQUAL_FATAL(x.j->n, 4);
	while (x.j->n > 0)
		CU_ASSERT_EQUAL(phca_offload_pass(x.j->req[--x.j->n]), 0);
	lab_turn_proxy(x.c.l, 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, psn, 20, D); /* in the turn that copies the first of them */
	lab_turn_hca(x.c.l, 1);
	CU_ASSERT(lab_info(&x.c.q).stats.rx_passed < 4);
	rc_expect_ack_late(&x.c, psn, 5);
	for (uint32_t i = 0; i < 4; i++) {
		rc_expect_recv(&x.c, i, PHCA_WC_SUCCESS, len);
		for (uint32_t k = 0; k < packets; k++)
			CU_ASSERT(lab_is(x.c.q.buf + i * 4 * LAB_BUF + k * LAB_MTU, LAB_MTU, (uint8_t)(M + i)));
	}
	rc_expect_recv(&x.c, 4, PHCA_WC_SUCCESS, 20);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_direct, 0);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_pass_waits, 0);
	fx_close(&x);
}

/* Places of requests that are not ordered lie between; those of before the reset mean nothing. */
PHCA_TEST(pass_end, reset_with_other_offloads_between)
{
	struct phca_filter_param big = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 600 };
	struct phca_rule r[2] = { { .name = "big", .inbound = true } };
	struct fx x = { .c = rc_open(NULL, 3) };
	struct phca_offload *null;

	x.j = judge_open(x.c.l, false);
	null = r[0].offload = lab_offload(x.c.l, "null", phca_offload_driver_find("null"), NULL, 0, 0);
	r[0].filter = lab_filter(x.c.l, "by_size", &big, 1);
	r[1] = x.j->rule[0];
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.c.q.qp, r, 2, 0) == 0);
	for (uint32_t i = 0; i < 3; i++)
		message(&x, i, 20, M);
	lab_qp_restart(x.c.l, &x.c.q, PHCA_QPS_RTS, 0);
	lab_post(&x.c.q, 3);
	message(&x, 0, 20, M);
	message(&x, 1, 700, D); /* the other offload's */
	message(&x, 2, 20, M + 1);
	judge_done(x.c.l, x.j, 0);
	judge_pass(x.c.l, x.j, 0);
	received(&x, 3, 20, M + 1);
	message(&x, 3, 20, M + 2); /* two receives are left, for two */
	message(&x, 4, 20, D);
	judge_pass(x.c.l, x.j, 0);
	received(&x, 4, 20, M + 2);
	received(&x, 5, 20, D);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.tx_rnr_naks, 0);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_pass_waits, 0);
	lab_qp_free(x.c.l, &x.c.q);
	CU_ASSERT_EQUAL(phca_offload_destroy(null), 0);
	judge_close(x.j);
	lab_close(x.c.l);
}
