/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completions of direct requests that arrive out of order, as those of RC do: a
 * place is taken when the request is issued and filled when the peer has
 * acknowledged. Volume 1, 10.8.5 and 10.3.1.6: completions in order, the first
 * error, then flushed ones.
 */
#include <string.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define FLUSH PHCA_WC_WR_FLUSH_ERR
#define BAD PHCA_WC_REM_OP_ERR
#define RETRY PHCA_WC_RETRY_EXC_ERR
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV

static struct rig r;
static struct rig_cq scq, rcq;
static struct phca_offload *o;
static struct manual *s;
static struct phca_pqp *q;
static struct phca_offload_wr wr[64];
static void *const cookie = (void *)(uintptr_t)0x11;

static void setup(uint8_t transport)
{
	struct phca_pqp_conf conf = {
		.qpn = 0x11, .transport = transport, .cookie = cookie, .window = { 16, 16 }, .nb_rules = 1,
	};
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };

	rig_init(&r, 1024);
	rig_cq_init(&scq, 192, 64);
	rig_cq_init(&rcq, 192, 64);
	o = rig_manual(&r, "manual", 0, false);
	s = rig_manual_state(o);
	conf.chan = r.chan;
	conf.cq[SEND] = &scq.w;
	conf.cq[RECV] = &rcq.w;
	conf.offloads[0] = o;
	m.pqp = q = phca_pqp_create(r.p, &conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	rig_send(&r, &m);
}

static void teardown(void)
{
	rig_pqp_end(&r, q);
	rig_fini(&r);
	rig_cq_fini(&scq);
	rig_cq_fini(&rcq);
}

static void complete(enum phca_dir dir, uint32_t seq, enum phca_wc_status status)
{
	rig_complete(&r, q, dir, seq, 100 + seq, status, 0);
	rig_turn(&r);
}

static void out(uint32_t seq)
{
	rig_offload_out(&r, q, seq, 0, &wr[seq % 64], 100 + seq, 0);
	rig_turn(&r);
}

static void in(uint32_t seq)
{
	rig_offload_in(&r, q, seq, 0, 32);
	rig_turn(&r);
}

/* Statuses of all completions, from wr_id 100 + seq on. */
static void expect(struct rig_cq *cq, uint32_t seq, const enum phca_wc_status *st, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rig_cq_expect(cq, 100 + seq + i, st[i]);
	rig_cq_expect_empty(cq);
}
#define EXPECT(cq, seq, ...) expect(cq, seq, (const enum phca_wc_status[]){ __VA_ARGS__ }, \
		sizeof((const enum phca_wc_status[]){ __VA_ARGS__ }) / sizeof(enum phca_wc_status))

PHCA_TEST(arrival, backwards_through_the_whole_window)
{
	setup(PHCA_TRANSPORT_RC);
	for (uint32_t seq = 15; seq > 0; seq--)
		complete(SEND, seq, OK);
	rig_cq_expect_empty(&scq);
	CU_ASSERT_EQUAL(rig_credit(&r, cookie, SEND, 0), 0);
	complete(SEND, 0, OK);
	for (uint32_t seq = 0; seq < 16; seq++)
		rig_cq_expect(&scq, 100 + seq, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_credit(&r, cookie, SEND, 0), 16);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 0);
	teardown();
}

PHCA_TEST(arrival, the_same_place_twice_is_refused)
{
	setup(PHCA_TRANSPORT_RC);
	complete(SEND, 3, OK);
	complete(SEND, 3, OK);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	complete(SEND, 0, OK);
	complete(SEND, 0, OK); /* released */
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 2);
	complete(SEND, 2, OK);
	complete(SEND, 1, OK);
	EXPECT(&scq, 0, OK, OK, OK, OK);
	teardown();
}

PHCA_TEST(arrival, acknowledged_after_later_offloads_were_done)
{
	setup(PHCA_TRANSPORT_RC);
	out(1);
	out(3);
	rig_manual_done(o, SEND, 3, OK);
	rig_manual_done(o, SEND, 1, OK);
	rig_turn(&r);
	rig_cq_expect_empty(&scq);
	complete(SEND, 2, OK);
	complete(SEND, 0, OK);
	EXPECT(&scq, 0, OK, OK, OK, OK);
	teardown();
}

PHCA_TEST(arrival, error_after_later_offloads_were_done_or_began)
{
	setup(PHCA_TRANSPORT_RC);
	out(1);
	out(2);
	out(4);
	rig_manual_done(o, SEND, 1, OK); /* done, but behind the error */
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 2);
	complete(SEND, 0, RETRY);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	CU_ASSERT_EQUAL(s->cancels, 2);
	EXPECT(&scq, 0, RETRY, FLUSH, FLUSH);
	complete(SEND, 3, FLUSH);
	EXPECT(&scq, 3, FLUSH, FLUSH);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, cookie), 0);
	CU_ASSERT_EQUAL(rig_stats(&r).flushed, 3);
	teardown();
}

PHCA_TEST(arrival, error_hides_a_later_offload_that_failed_before)
{
	setup(PHCA_TRANSPORT_RC);
	out(2);
	rig_manual_done(o, SEND, 2, BAD);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, cookie), 1); /* told at once */
	complete(SEND, 1, RETRY);
	complete(SEND, 3, FLUSH);
	rig_cq_expect_empty(&scq);
	complete(SEND, 0, OK);
	EXPECT(&scq, 0, OK, RETRY, FLUSH, FLUSH);
	teardown();
}

PHCA_TEST(arrival, failed_offload_leaves_earlier_ones_to_the_hca)
{
	setup(PHCA_TRANSPORT_RC);
	out(2);
	out(4);
	complete(SEND, 3, OK);
	rig_manual_done(o, SEND, 2, BAD);
	rig_settle(&r);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, cookie), 1);
	for (unsigned int i = 0; i < r.nb_replies; i++) {
		if (r.replies[i].kind == PHCA_PREPLY_ERROR) {
			CU_ASSERT_EQUAL(r.replies[i].seq, 2); /* where to stop */
			CU_ASSERT_EQUAL(r.replies[i].dir, SEND);
			CU_ASSERT_EQUAL(r.replies[i].status, BAD);
		}
	}
	rig_cq_expect_empty(&scq);
	complete(SEND, 1, OK);
	complete(SEND, 0, OK);
	EXPECT(&scq, 0, OK, OK, BAD, FLUSH, FLUSH);
	complete(SEND, 5, FLUSH);
	EXPECT(&scq, 5, FLUSH);
	teardown();
}

PHCA_TEST(arrival, failed_offload_behind_flushed_ones_still_carries_its_error)
{
	setup(PHCA_TRANSPORT_RC);
	out(2);
	complete(SEND, 3, OK);
	rig_manual_done(o, SEND, 2, BAD);
	rig_turn(&r);
	complete(SEND, 4, FLUSH);
	complete(SEND, 1, FLUSH);
	complete(SEND, 0, OK);
	EXPECT(&scq, 0, OK, FLUSH, BAD, FLUSH, FLUSH);
	teardown();
}

PHCA_TEST(arrival, flushes_in_any_order_leave_no_success_behind_them)
{
	setup(PHCA_TRANSPORT_RC);
	out(1);
	out(3);
	out(5);
	rig_manual_done(o, SEND, 3, OK);
	complete(SEND, 4, FLUSH);
	CU_ASSERT_EQUAL(s->nb_held, 0); /* no error is known: nothing may go on */
	complete(SEND, 0, OK);
	EXPECT(&scq, 0, OK, FLUSH);
	complete(SEND, 2, FLUSH);
	EXPECT(&scq, 2, FLUSH, FLUSH, FLUSH, FLUSH);
	teardown();
}

PHCA_TEST(arrival, flush_cancels_what_is_behind_it_and_in_front_of_a_failed_offload)
{
	setup(PHCA_TRANSPORT_RC);
	out(0);
	out(2);
	out(4);
	out(5);
	rig_manual_done(o, SEND, 5, BAD);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 3); /* all may still finish */
	complete(SEND, 3, FLUSH);
	CU_ASSERT_EQUAL(s->nb_held, 2); /* 4 cannot succeed any more */
	complete(SEND, 1, FLUSH);
	CU_ASSERT_EQUAL(s->nb_held, 1);
	rig_cq_expect_empty(&scq);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	EXPECT(&scq, 0, OK, FLUSH, FLUSH, FLUSH, FLUSH, BAD);
	teardown();
}

PHCA_TEST(arrival, rc_does_not_go_on_after_an_error)
{
	setup(PHCA_TRANSPORT_RC);
	complete(SEND, 0, RETRY);
	complete(SEND, 1, OK);
	complete(SEND, 2, RETRY);
	EXPECT(&scq, 0, RETRY, FLUSH, FLUSH);
	teardown();
}

PHCA_TEST(arrival, ud_goes_on_after_sqe_though_earlier_places_wait)
{
	setup(PHCA_TRANSPORT_UD);
	out(0);
	complete(SEND, 1, PHCA_WC_LOC_PROT_ERR);
	complete(SEND, 2, FLUSH);
	complete(SEND, 3, OK); /* RTS again */
	complete(SEND, 4, PHCA_WC_LOC_LEN_ERR);
	complete(SEND, 5, FLUSH);
	out(6); /* and again */
	complete(SEND, 7, OK);
	CU_ASSERT_EQUAL(s->nb_held, 2);
	rig_manual_done(o, SEND, 0, OK);
	rig_manual_done(o, SEND, 6, OK);
	rig_turn(&r);
	EXPECT(&scq, 0, OK, PHCA_WC_LOC_PROT_ERR, FLUSH, OK, PHCA_WC_LOC_LEN_ERR, FLUSH, OK, OK);
	teardown();
}

PHCA_TEST(arrival, ud_does_not_go_on_after_a_failed_offload)
{
	setup(PHCA_TRANSPORT_UD);
	complete(SEND, 0, PHCA_WC_LOC_PROT_ERR);
	out(1);
	rig_manual_done(o, SEND, 1, BAD);
	rig_turn(&r);
	complete(SEND, 2, OK);
	out(3);
	EXPECT(&scq, 0, PHCA_WC_LOC_PROT_ERR, BAD, FLUSH, FLUSH);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	teardown();
}

PHCA_TEST(arrival, failed_inbound_is_carried_by_the_next_receive_in_order)
{
	setup(PHCA_TRANSPORT_RC);
	in(1);
	rig_manual_done(o, RECV, 1, BAD);
	rig_turn(&r);
	complete(RECV, 3, OK);
	complete(RECV, 2, FLUSH);
	rig_cq_expect_empty(&rcq);
	complete(RECV, 0, OK);
	rig_cq_expect(&rcq, 100, OK);
	EXPECT(&rcq, 2, BAD, FLUSH); /* 1 is a no-op */
	teardown();
}
