/* SPDX-License-Identifier: BSD-3-Clause */
/* Inbound RC on proxy QPs: what the proxy carries out, and what the peer hears of it when. */
#include <string.h>

#include "phca_drivers.h"
#include "rc_peer.h"

#define FAR (16 * LAB_BUF)
#define RNR (PHCA_AETH_RNR | LAB_RNR_TIMER)

/* An offload whose requests wait until the test ends them. */
static struct phca_offload_req *waiting[LAB_DEPTH];
static unsigned int nb_waiting, nb_submitted;

static int wait_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t n)
{
	(void)o, (void)v, (void)err, (void)n;
	nb_waiting = nb_submitted = 0;
	return 0;
}

static int wait_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)o, (void)now_ns;
	nb_submitted++;
	waiting[nb_waiting++] = req;
	return 0;
}

static int wait_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	(void)o;
	for (unsigned int i = 0; i < nb_waiting; i++)
		if (waiting[i] == req)
			waiting[i] = waiting[--nb_waiting];
	return 0;
}

static const struct phca_offload_ops wait_ops = {
	.name = "wait", .init = wait_init, .submit = wait_submit, .cancel = wait_cancel,
};

/* End the oldest request that waits. */
static void finish(struct rc *c, enum phca_wc_status status)
{
	struct phca_offload_req *r = waiting[0];

	CU_ASSERT_FATAL(nb_waiting > 0);
	memmove(waiting, waiting + 1, --nb_waiting * sizeof(waiting[0]));
	phca_offload_done(r, status);
	lab_turn(c->l, 3);
}

struct px {
	struct rc c;
	struct phca_offload *o;
	struct phca_rule rule;
};

static struct px px_open(const struct lab_opts *lo, unsigned int nb_recv, bool send, bool write, bool read, bool atomic)
{
	struct phca_filter_param p[] = {
		{ .name = "send", .kind = PHCA_FV_BOOL, .u = send },
		{ .name = "write", .kind = PHCA_FV_BOOL, .u = write },
		{ .name = "read", .kind = PHCA_FV_BOOL, .u = read },
		{ .name = "atomic", .kind = PHCA_FV_BOOL, .u = atomic },
	};
	struct px x = { .c = rc_open(lo, nb_recv), .rule = { .name = "r", .inbound = true } };

	x.o = x.rule.offload = lab_offload(x.c.l, "o", &wait_ops, NULL, 0, 0);
	x.rule.filter = lab_filter(x.c.l, "by_opcode", p, 4);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.c.q.qp, &x.rule, 1, 0) == 0);
	return x;
}

static void px_close(struct px *x)
{
	rc_expect_nothing(&x->c);
	lab_qp_free(x->c.l, &x->c.q);
	CU_ASSERT_EQUAL(phca_offload_destroy(x->o), 0);
	lab_close(x->c.l);
}

PHCA_TEST(rc_inbound, send_is_acknowledged_when_the_proxy_has_it)
{
	struct px x = px_open(NULL, 1, true, false, false, false);

	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, 3);
	rc_expect_ack(&x.c, 0, 1); /* the offload has not finished */
	CU_ASSERT_EQUAL_FATAL(nb_waiting, 1);
	CU_ASSERT_EQUAL(waiting[0]->len, 20);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, 3);
	rc_expect_ack(&x.c, 0, 1);
	CU_ASSERT_EQUAL(nb_submitted, 1); /* once */
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, 3);
	rc_expect_ack(&x.c, 0, 1);
	CU_ASSERT_EQUAL(nb_submitted, 1);
	rc_expect_no_recv(&x.c); /* it took no receive */
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_OFFLOADED), 1);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_offloaded, 1);
	px_close(&x);
}

PHCA_TEST(rc_inbound, message_of_three_packets_is_handed_over_whole)
{
	struct px x = px_open(NULL, 0, true, false, false, false);
	uint8_t got[2 * LAB_MTU + 9];
	struct phca_wire_hdr h;

	rc_send(&x.c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, 1);
	h = rc_hdr(&x.c, PHCA_RC_SEND_MIDDLE, 1);
	h.ackreq = true;
	lab_send(x.c.l, &h, LAB_MTU, 2);
	rc_expect_ack(&x.c, 1, 0); /* the HCA holds them */
	CU_ASSERT_EQUAL(nb_submitted, 0);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 1, LAB_MTU, 9); /* a duplicate is not held again */
	rc_expect_ack(&x.c, 1, 0);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 2, 9, 3);
	rc_expect_ack(&x.c, 2, 1);
	CU_ASSERT_EQUAL_FATAL(nb_waiting, 1);
	CU_ASSERT_EQUAL_FATAL(waiting[0]->len, sizeof(got));
	CU_ASSERT_EQUAL(phca_offload_read(waiting[0], 0, got, sizeof(got)), (int)sizeof(got));
	CU_ASSERT(lab_is(got, LAB_MTU, 1) && lab_is(got + LAB_MTU, LAB_MTU, 2) && lab_is(got + 2 * LAB_MTU, 9, 3));
	finish(&x.c, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_OFFLOADED), 3);
	px_close(&x);
}

PHCA_TEST(rc_inbound, completions_stay_in_order_behind_an_offloaded_write)
{
	struct px x = px_open(NULL, 2, false, true, false, false);

	memset(x.c.q.buf + FAR, 0xee, 8);
	rc_write(&x.c, PHCA_RC_WRITE_ONLY, 0, FAR, 8, 8, 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 4, 0);
	rc_expect_ack(&x.c, 1, 2);
	rc_expect_no_recv(&x.c); /* the WRITE has not finished */
	CU_ASSERT_EQUAL(x.c.q.buf[FAR], 0xee); /* the offload's to do */
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_expect_recv(&x.c, 0, PHCA_WC_SUCCESS, 4);
	px_close(&x);
}

PHCA_TEST(rc_inbound, ring_full_is_rnr_for_a_send_and_silence_for_others)
{
	struct lab_opts lo = { .ring_size = 16 };
	struct px x = px_open(&lo, 0, true, true, true, true);
	uint32_t psn = 0;

	lab_turn(x.c.l, 1);
	while (lab_verdict(x.c.l, PHCA_V_PROXY_RING_FULL) == 0) { /* the proxy does not run */
		rc_send(&x.c, PHCA_RC_SEND_ONLY, psn++, 4, 0);
		lab_turn_hca(x.c.l, 1);
		rte_pktmbuf_free(lab_capture(x.c.l));
	}
	psn--;
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.tx_rnr_naks, 1);
	rc_write(&x.c, PHCA_RC_WRITE_ONLY, psn, FAR, 4, 4, 0);
	lab_turn_hca(x.c.l, 1);
	rc_read(&x.c, psn, FAR, 4);
	rc_add(&x.c, psn, FAR, 4);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, psn + 1, 4, 0); /* ahead: not told, or retries would be used up */
	lab_turn_hca(x.c.l, 2);
	CU_ASSERT(lab_capture(x.c.l) == NULL);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_RING_FULL), 4);
	lab_turn(x.c.l, 2);
	rc_write(&x.c, PHCA_RC_WRITE_ONLY, psn, FAR, 4, 4, 0);
	rc_expect_ack(&x.c, psn, psn + 1);
	CU_ASSERT_EQUAL(nb_submitted, psn + 1);
	while (nb_waiting > 0)
		finish(&x.c, PHCA_WC_SUCCESS);
	px_close(&x);
}

PHCA_TEST(rc_inbound, message_longer_than_may_be_held)
{
	struct lab_opts lo = { .max_held = 2 };
	struct px x = px_open(&lo, 0, true, false, false, false);

	rc_send(&x.c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, 1);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 1, LAB_MTU, 1);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 2, LAB_MTU, 1);
	rc_expect_nak(&x.c, PHCA_NAK_REM_OP, 2);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_TOO_LONG), 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_ABORTED), 2);
	px_close(&x);
}

PHCA_TEST(rc_inbound, read_is_answered_by_the_offload)
{
	struct px x = px_open(NULL, 1, false, false, true, false);
	const uint32_t len = 2 * LAB_MTU + 5;

	rc_read(&x.c, 0, FAR, len);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 3, 4, 0);
	rc_expect_nothing(&x.c); /* the SEND is not acknowledged before the response, */
	rc_expect_no_recv(&x.c); /* nor completed */
	CU_ASSERT_EQUAL_FATAL(nb_waiting, 1);
	CU_ASSERT_EQUAL(waiting[0]->len, len);
	CU_ASSERT_EQUAL(waiting[0]->va, (uintptr_t)x.c.q.buf + FAR);
	CU_ASSERT_EQUAL(phca_offload_answer(waiting[0], 0, x.c.q.buf + 77, len), 0); /* other bytes than it names */
	rc_read(&x.c, 0, FAR, len);
	rc_expect_nothing(&x.c); /* the answer will come */
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_expect_read(&x.c, 0, 77, len);
	rc_expect_ack(&x.c, 3, 2);
	rc_expect_recv(&x.c, 0, PHCA_WC_SUCCESS, 4);
	rc_read(&x.c, 1, FAR + LAB_MTU, LAB_MTU + 5);
	rc_expect_read(&x.c, 1, 77 + LAB_MTU, LAB_MTU + 5);
	rc_read(&x.c, 0, FAR, len);
	rc_expect_read(&x.c, 0, 77, len);
	CU_ASSERT_EQUAL(nb_submitted, 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_OFFLOADED), 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_DUPLICATE), 3);
	px_close(&x);
}

PHCA_TEST(rc_inbound, read_is_executed_when_the_offload_says_nothing_else)
{
	struct px x = px_open(NULL, 0, false, false, true, false);

	rc_read(&x.c, 0, FAR, LAB_MTU + 1);
	lab_turn(x.c.l, 3);
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_expect_read(&x.c, 0, FAR, LAB_MTU + 1);
	rc_read(&x.c, 2, FAR, 0); /* empty */
	lab_turn(x.c.l, 3);
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_expect_resp(&x.c, PHCA_RC_READ_RESP_ONLY, 2, 0, 0);
	px_close(&x);
}

PHCA_TEST(rc_inbound, what_came_before_is_acknowledged_without_the_answer)
{
	struct px x = px_open(NULL, 2, false, false, true, false);

	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 4, 0);
	rc_read(&x.c, 1, FAR, 4);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 2, 4, 0);
	rc_expect_ack(&x.c, 0, 1);
	rc_expect_nothing(&x.c);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 4, 0); /* the ACK was lost */
	rc_expect_ack(&x.c, 0, 1);
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_expect_read(&x.c, 1, FAR, 4);
	rc_expect_ack(&x.c, 2, 3);
	px_close(&x);
}

PHCA_TEST(rc_inbound, atomics_answer_in_the_order_of_requests)
{
	struct px x = px_open(NULL, 0, false, false, false, true);
	uint64_t v = 100, other = 7;

	memcpy(x.c.q.buf + FAR, &v, 8);
	rc_add(&x.c, 0, FAR, 1);
	rc_add(&x.c, 1, FAR, 1);
	rc_read(&x.c, 2, FAR + 64, 8); /* direct */
	rc_expect_nothing(&x.c);
	CU_ASSERT_EQUAL_FATAL(nb_waiting, 2);
	CU_ASSERT_EQUAL(waiting[0]->swap_add, 1);
	CU_ASSERT_EQUAL(phca_offload_answer(waiting[1], 0, &other, 8), 0);
	phca_offload_done(waiting[1], PHCA_WC_SUCCESS); /* the second first */
	nb_waiting = 1;
	rc_expect_nothing(&x.c);
	finish(&x.c, PHCA_WC_SUCCESS); /* executed, as it has no answer */
	rc_expect_atomic(&x.c, 0, 100);
	rc_expect_atomic(&x.c, 1, 7);
	rc_expect_read(&x.c, 2, FAR + 64, 8);
	rc_add(&x.c, 0, FAR, 1);
	rc_add(&x.c, 1, FAR, 1);
	rc_expect_atomic(&x.c, 0, 100);
	rc_expect_atomic(&x.c, 1, 7);
	CU_ASSERT_EQUAL(nb_submitted, 2);
	memcpy(&v, x.c.q.buf + FAR, 8);
	CU_ASSERT_EQUAL(v, 101);
	px_close(&x);
}

PHCA_TEST(rc_inbound, failed_answer_is_a_nak)
{
	static const struct { enum phca_wc_status status; uint8_t nak; } fail[] = {
		{ PHCA_WC_GENERAL_ERR, PHCA_NAK_REM_OP }, { PHCA_WC_REM_ACCESS_ERR, PHCA_NAK_REM_ACCESS },
		{ PHCA_WC_REM_INV_REQ_ERR, PHCA_NAK_INV_REQ },
	};

	for (unsigned int i = 0; i < RTE_DIM(fail); i++) {
		struct px x = px_open(NULL, 1, false, false, true, false);

		rc_read(&x.c, 0, FAR, 4);
		rc_read(&x.c, 1, FAR, 4);
		rc_send(&x.c, PHCA_RC_SEND_ONLY, 2, 4, 0);
		lab_turn(x.c.l, 3);
		finish(&x.c, fail[i].status);
		rc_expect_nak(&x.c, fail[i].nak, 0);
		rc_expect_state(&x.c, PHCA_QPS_ERR);
		rc_expect_event(&x.c, PHCA_EVENT_OFFLOAD_FAILED);
		CU_ASSERT_EQUAL(nb_waiting, 0); /* the second was cancelled */
		px_close(&x);
	}
}

PHCA_TEST(rc_inbound, error_behind_a_waiting_read_is_told_in_its_place)
{
	struct px x = px_open(NULL, 0, false, false, true, false);

	rc_read(&x.c, 0, FAR, 4);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 1, LAB_MTU, 0);
	lab_turn(x.c.l, 3);
	rc_expect_nothing(&x.c);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	finish(&x.c, PHCA_WC_SUCCESS); /* what is before an error goes on */
	rc_expect_read(&x.c, 0, FAR, 4);
	rc_expect_nak(&x.c, PHCA_NAK_INV_REQ, 1);
	rc_expect_nothing(&x.c);
	px_close(&x);
}

PHCA_TEST(rc_inbound, failed_answer_is_told_behind_those_before_it)
{
	struct px x = px_open(NULL, 0, false, false, true, false);
	struct phca_offload_req *first;

	rc_read(&x.c, 0, FAR, 4);
	rc_read(&x.c, 1, FAR, 4);
	lab_turn(x.c.l, 3);
	CU_ASSERT_EQUAL_FATAL(nb_waiting, 2);
	first = waiting[0];
	waiting[0] = waiting[1];
	waiting[1] = first;
	finish(&x.c, PHCA_WC_REM_ACCESS_ERR); /* the second */
	rc_expect_nothing(&x.c);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL_FATAL(nb_waiting, 1);
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_expect_read(&x.c, 0, FAR, 4);
	rc_expect_nak(&x.c, PHCA_NAK_REM_ACCESS, 1);
	px_close(&x);
}

PHCA_TEST(rc_inbound, reset_with_answers_outstanding)
{
	struct px x = px_open(NULL, 0, false, false, true, true);
	uint64_t v = 3;

	for (int i = 0; i < 3; i++) {
		memcpy(x.c.q.buf + FAR, &v, 8);
		rc_read(&x.c, 0, FAR, LAB_MTU);
		rc_add(&x.c, 1, FAR, 1);
		lab_turn(x.c.l, 2);
		CU_ASSERT_EQUAL_FATAL(nb_waiting, 2);
		CU_ASSERT_EQUAL(phca_offload_answer(waiting[0], 0, x.c.q.buf, LAB_MTU), 0);
		if (i > 0) { /* its answer is on the way */
			phca_offload_done(waiting[0], PHCA_WC_SUCCESS);
			waiting[0] = waiting[--nb_waiting];
			lab_turn_proxy(x.c.l, 1);
		}
		if (i > 1)
			lab_turn_hca(x.c.l, 1); /* and arrived */
		rte_pktmbuf_free(lab_capture(x.c.l));
		lab_qp_restart(x.c.l, &x.c.q, PHCA_QPS_RTS, 0);
		CU_ASSERT_EQUAL(nb_waiting, 0);
		rc_expect_nothing(&x.c);
	}
	rc_read(&x.c, 0, FAR, 8); /* and it goes on as new */
	lab_turn(x.c.l, 2);
	finish(&x.c, PHCA_WC_SUCCESS);
	rc_expect_read(&x.c, 0, FAR, 8);
	px_close(&x);
}

PHCA_TEST(rc_inbound, old_answers_give_way_to_new_ones)
{
	enum { QPS = 40, LEN = 48 * LAB_MTU };
	struct px x = px_open(NULL, 0, false, false, true, false);
	struct rc c[QPS];
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < QPS; i++) {
		c[i] = (struct rc){ .l = x.c.l, .q = lab_qp(x.c.l, PHCA_QPT_RC, 0) };
		CU_ASSERT_FATAL(phca_qp_proxy_attach(c[i].q.qp, &x.rule, 1, 0) == 0);
		for (uint32_t k = 0; k < LAB_RD_ATOMIC; k++) {
			rc_read(&c[i], k * 48, 0, LEN);
			lab_turn(x.c.l, 2);
			CU_ASSERT_EQUAL_FATAL(nb_waiting, 1);
			CU_ASSERT_EQUAL(phca_offload_answer(waiting[0], 0, c[i].q.buf, LEN), 0);
			finish(&x.c, PHCA_WC_SUCCESS);
			lab_turn(x.c.l, 2);
			for (unsigned int n = 0; (m = lab_capture(x.c.l)) != NULL || n < 48; n++)
				rte_pktmbuf_free(m);
		}
	}
	rc_read(&c[0], 0, 0, LEN);
	rc_expect_nak(&c[0], PHCA_NAK_REM_OP, 0); /* the buffers are others' now */
	rc_expect_state(&c[0], PHCA_QPS_RTS);
	rc_read(&c[QPS - 1], 0, 0, LEN);
	rc_expect_read(&c[QPS - 1], 0, 0, LEN);
	for (unsigned int i = 0; i < QPS; i++)
		lab_qp_free(x.c.l, &c[i].q);
	px_close(&x);
}

PHCA_TEST(rc_inbound, those_that_hold_too_much_take_turns)
{
	enum { QPS = 6 };
	struct lab_opts lo = { .max_held = 256 };
	struct px x = px_open(&lo, 0, true, false, false, false);
	uint32_t at[QPS] = { 0 }, done = 0;
	struct rc c[QPS];
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < QPS; i++) {
		c[i] = (struct rc){ .l = x.c.l, .q = lab_qp(x.c.l, PHCA_QPT_RC, 0) };
		CU_ASSERT_FATAL(phca_qp_proxy_attach(c[i].q.qp, &x.rule, 1, 0) == 0);
	}
	/* six messages of 250 packets, packet by packet side by side; about 1000 may be held */
	for (uint32_t round = 0; round < 4000 && done < QPS; round++) {
		for (unsigned int i = 0; i < QPS; i++) {
			enum phca_opcode op = at[i] == 0 ? PHCA_RC_SEND_FIRST :
				at[i] == 249 ? PHCA_RC_SEND_LAST : PHCA_RC_SEND_MIDDLE;
			struct phca_qp_attr a;

			if (at[i] == 250)
				continue;
			rc_send(&c[i], op, at[i], LAB_MTU, 0);
			lab_turn(x.c.l, 1);
			CU_ASSERT_EQUAL(phca_qp_query(c[i].q.qp, &a), 0);
			at[i] = a.rq_psn.v;
			done += at[i] == 250;
			while ((m = lab_capture(x.c.l)) != NULL)
				rte_pktmbuf_free(m);
		}
		while (nb_waiting > 0)
			finish(&x.c, PHCA_WC_SUCCESS);
	}
	CU_ASSERT_EQUAL(done, QPS);
	CU_ASSERT(lab_verdict(x.c.l, PHCA_V_PROXY_TOO_LONG) > 0);
	while ((m = lab_capture(x.c.l)) != NULL)
		rte_pktmbuf_free(m);
	for (unsigned int i = 0; i < QPS; i++)
		lab_qp_free(x.c.l, &c[i].q);
	px_close(&x);
}
