/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inbound RC requests that an offload gives back: the application receives them as if there were
 * no proxy, in the order in which they came, whenever the offload decides.
 */
#include <string.h>

#include "judge.h"
#include "rc_peer.h"

#define FAR (16 * LAB_BUF)
#define M JUDGE_MARK /* seed of messages that are offloaded */
#define D 0x10       /* of others */
#define RNR (PHCA_AETH_RNR | LAB_RNR_TIMER)
#define RNR_SOON (PHCA_AETH_RNR | 1)

struct fx {
	struct rc c;
	struct judge *j;
};

static struct fx fx_open(const struct lab_opts *lo, unsigned int nb_recv, bool answers)
{
	struct fx x = { .c = rc_open(lo, nb_recv) };

	x.j = judge_open(x.c.l, answers);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.c.q.qp, x.j->rule, 1u + answers, 0) == 0);
	return x;
}

static void fx_close(struct fx *x)
{
	rc_expect_nothing(&x->c);
	lab_qp_free(x->c.l, &x->c.q);
	judge_close(x->j);
	lab_close(x->c.l);
}

/* A SEND of one packet, acknowledged when the HCA or the proxy has it. */
static void message(struct fx *x, uint32_t psn, uint32_t n, uint8_t seed)
{
	rc_send(&x->c, PHCA_RC_SEND_ONLY, psn, n, seed);
	rc_expect_ack(&x->c, psn, psn + 1);
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
	rc_expect_ack(&x.c, 11, 12);
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
	rc_expect_ack(&x.c, 2, 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 3, 5, D);
	rc_expect_ack(&x.c, 3, 2);
	rc_expect_no_recv(&x.c);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_recv(&x.c, 0, PHCA_WC_SUCCESS, 2 * LAB_MTU + 9);
	CU_ASSERT(lab_is(b, LAB_MTU, M) && lab_is(b + LAB_MTU, LAB_MTU, 2) && lab_is(b + 2 * LAB_MTU, 9, 3));
	received(&x, 1, 5, D);
	fx_close(&x);
}

/* As without a proxy, the peer hears of an empty receive queue (9.7.5.2.8). */
PHCA_TEST(pass, receives_that_are_spoken_for_are_not_given_twice)
{
	struct fx x = fx_open(NULL, 1, false);

	message(&x, 0, 20, M);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, D);
	rc_expect_nak(&x.c, RNR, 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, M + 1);
	rc_expect_nak(&x.c, RNR, 1);
	rc_write(&x.c, PHCA_RC_WRITE_ONLY_IMM, 1, FAR, 8, 8, D);
	rc_expect_nak(&x.c, RNR, 1);
	CU_ASSERT_EQUAL(x.j->submitted, 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_RNR), 3);
	judge_done(x.c.l, x.j, 0); /* now it is free */
	message(&x, 1, 20, M + 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 2, 20, D);
	rc_expect_nak(&x.c, RNR, 2);
	lab_post(&x.c.q, 1);
	message(&x, 2, 20, D);
	judge_pass(x.c.l, x.j, 0);
	received(&x, 0, 20, M + 1);
	received(&x, 1, 20, D);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 3, 20, M);
	rc_expect_nak(&x.c, RNR, 3); /* none at all */
	fx_close(&x);
}

PHCA_TEST(pass, request_that_comes_again_is_not_run_again)
{
	struct fx x = fx_open(NULL, 4, false);

	message(&x, 0, 20, M);
	message(&x, 1, 20, D);
	for (unsigned int i = 0; i < 2; i++) {
		rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, M);
		rc_expect_ack(&x.c, 1, 2);
		rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, D);
		rc_expect_ack(&x.c, 1, 2);
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
