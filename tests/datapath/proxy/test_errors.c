/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What fails, and what follows in order: errors of drivers, time limits,
 * cancellation, flush, DETACH with requests in flight.
 */
#include <errno.h>
#include <string.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define FLUSH PHCA_WC_WR_FLUSH_ERR
#define BAD PHCA_WC_REM_OP_ERR
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV

static struct rig r;
static struct rig_cq scq, rcq;
static struct phca_offload *o;
static struct manual *s;
static struct phca_pqp *q;
static struct phca_offload_wr wr[64];
static void *const cookie = (void *)(uintptr_t)0x11;

static void setup(uint64_t limit_ns, bool no_cancel)
{
	rig_init(&r, 1024);
	rig_cq_init(&scq, 192, 64);
	rig_cq_init(&rcq, 192, 64);
	o = rig_manual(&r, "manual", limit_ns, no_cancel);
	s = rig_manual_state(o);
	q = rig_pqp(&r, 0x11, 16, &scq, &rcq, &o, 1, 0);
}

static void teardown(void)
{
	if (q != NULL)
		rig_pqp_end(&r, q);
	rig_fini(&r);
	rig_cq_fini(&scq);
	rig_cq_fini(&rcq);
}

static void complete(enum phca_dir dir, uint32_t seq, enum phca_wc_status status)
{
	rig_complete(&r, q, dir, seq, 100 + seq, status, 0);
}

static void out(uint32_t seq, uint8_t flags)
{
	rig_offload_out(&r, q, seq, 0, &wr[seq % 64], 100 + seq, flags);
}

static void in(uint32_t seq)
{
	rig_offload_in(&r, q, seq, 0, 32);
}

static struct phca_offload_stats stats(void)
{
	struct phca_offload_stats st;

	phca_offload_stats_get(o, &st);
	return st;
}

/* The one ERROR reply of the QP. */
static void expect_error(enum phca_wc_status status)
{
	unsigned int n = 0;

	rig_settle(&r);
	for (unsigned int i = 0; i < r.nb_replies; i++) {
		if (r.replies[i].kind != PHCA_PREPLY_ERROR)
			continue;
		CU_ASSERT_PTR_EQUAL(r.replies[i].cookie, cookie);
		CU_ASSERT_EQUAL(r.replies[i].status, (uint8_t)status);
		n++;
	}
	CU_ASSERT_EQUAL(n, 1);
}

PHCA_TEST(errors, failed_send_carries_its_status_and_the_rest_is_flushed)
{
	struct phca_pqp_stats st;

	setup(0, false);
	complete(SEND, 0, OK);
	out(1, PHCA_PMSG_F_NO_CQE); /* fails though unsignaled: it is told */
	complete(SEND, 2, OK);
	out(3, 0);
	rig_complete(&r, q, SEND, 4, 104, OK, PHCA_PMSG_F_NO_CQE);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, OK);
	rig_manual_done(o, SEND, 1, BAD);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->cancels, 1); /* 3 is not wanted any more */
	rig_cq_expect(&scq, 101, BAD);
	rig_cq_expect(&scq, 102, FLUSH);
	rig_cq_expect(&scq, 103, FLUSH);
	rig_cq_expect(&scq, 104, FLUSH);
	expect_error(BAD);
	out(5, 0); /* was on its way: never given to the driver */
	complete(SEND, 6, FLUSH);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	rig_cq_expect(&scq, 105, FLUSH);
	rig_cq_expect(&scq, 106, FLUSH);
	phca_pqp_stats_get(q, &st);
	CU_ASSERT_EQUAL(st.offload_failed, 1);
	CU_ASSERT_EQUAL(st.cancelled, 1);
	CU_ASSERT_EQUAL(st.flushed, 4);
	CU_ASSERT_EQUAL(st.released, 7);
	CU_ASSERT_EQUAL(stats().failed, 1);
	CU_ASSERT_EQUAL(stats().submitted, 2);
	teardown();
}

PHCA_TEST(errors, failed_send_waits_for_earlier_ones_which_still_succeed)
{
	setup(0, false);
	for (uint32_t i = 0; i < 4; i++)
		out(i, 0);
	rig_turn(&r);
	rig_manual_done(o, SEND, 2, BAD);
	rig_turn(&r);
	rig_cq_expect_empty(&scq);
	expect_error(BAD); /* the QP is in error before its completion comes */
	CU_ASSERT_EQUAL(s->nb_held, 2);
	rig_manual_done(o, SEND, 1, OK);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, OK);
	rig_cq_expect(&scq, 101, OK);
	rig_cq_expect(&scq, 102, BAD);
	rig_cq_expect(&scq, 103, FLUSH);
	teardown();
}

PHCA_TEST(errors, earlier_one_that_fails_too_is_the_error)
{
	setup(0, false);
	for (uint32_t i = 0; i < 3; i++)
		out(i, 0);
	rig_turn(&r);
	rig_manual_done(o, SEND, 1, BAD);
	rig_manual_done(o, SEND, 0, PHCA_WC_REM_ACCESS_ERR);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, PHCA_WC_REM_ACCESS_ERR);
	rig_cq_expect(&scq, 101, FLUSH);
	rig_cq_expect(&scq, 102, FLUSH);
	expect_error(BAD); /* the first that was known */
	teardown();
}

PHCA_TEST(errors, failed_inbound_is_carried_by_the_next_receive)
{
	setup(0, false);
	in(0);
	in(1);
	complete(RECV, 2, OK);
	complete(RECV, 3, OK);
	rig_turn(&r);
	rig_manual_done(o, RECV, 0, BAD);
	rig_turn(&r);
	rig_cq_expect(&rcq, 102, BAD);
	rig_cq_expect(&rcq, 103, FLUSH);
	rig_cq_expect_empty(&rcq);
	expect_error(BAD);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	complete(RECV, 4, FLUSH); /* the HCA flushes its receive queue */
	rig_turn(&r);
	rig_cq_expect(&rcq, 104, FLUSH);
	teardown();
}

PHCA_TEST(errors, refused_by_the_driver)
{
	setup(0, false);
	s->refuse = ENOSPC;
	out(0, 0);
	in(0);
	complete(SEND, 1, OK);
	complete(RECV, 1, OK);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, PHCA_WC_LOC_QP_OP_ERR);
	rig_cq_expect(&scq, 101, FLUSH);
	rig_cq_expect(&rcq, 101, PHCA_WC_LOC_QP_OP_ERR);
	expect_error(PHCA_WC_LOC_QP_OP_ERR);
	CU_ASSERT_EQUAL(stats().refused, 2);
	CU_ASSERT_EQUAL(stats().in_flight, 0);
	CU_ASSERT_EQUAL(rig_stats(&r).errors, 2);
	teardown();
}

PHCA_TEST(errors, time_limit_fails_what_never_answers)
{
	setup(5000, false);
	out(0, 0);
	rig_turn(&r);
	r.now_ns += 2000;
	out(1, 0);
	rig_turn(&r);
	r.now_ns += 2999;
	rig_turn(&r);
	rig_cq_expect_empty(&scq);
	CU_ASSERT_EQUAL(s->nb_held, 2);
	r.now_ns += 1;
	rig_turn(&r);
	rig_cq_expect(&scq, 100, PHCA_WC_RESP_TIMEOUT_ERR);
	rig_cq_expect(&scq, 101, FLUSH);
	expect_error(PHCA_WC_RESP_TIMEOUT_ERR);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	CU_ASSERT_EQUAL(stats().timed_out, 1);
	CU_ASSERT_EQUAL(stats().cancelled, 1);
	CU_ASSERT_EQUAL(rig_stats(&r).timeouts, 1);
	teardown();
}

static void busy_zombie(bool no_cancel)
{
	setup(5000, no_cancel);
	s->cancel = MANUAL_BUSY;
	out(0, 0);
	rig_turn(&r);
	r.now_ns += 5000;
	rig_settle(&r);
	rig_cq_expect(&scq, 100, PHCA_WC_RESP_TIMEOUT_ERR);
	CU_ASSERT_EQUAL(s->nb_held, 1);
	CU_ASSERT_EQUAL(stats().in_flight, 1);
	/* released, but its memory is in use: the place does not come back */
	for (uint32_t i = 1; i < 16; i++)
		complete(SEND, i, FLUSH);
	rig_settle(&r);
	for (uint32_t i = 1; i < 16; i++)
		rig_cq_expect(&scq, 100 + i, FLUSH);
	CU_ASSERT_EQUAL(rig_credit(&r, cookie, SEND, 0), 0);
	complete(SEND, 16, FLUSH);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), -EBUSY);
	rig_manual_done(o, SEND, 0, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_credit(&r, cookie, SEND, 0), 16);
	CU_ASSERT_EQUAL(stats().late, 1);
	CU_ASSERT_EQUAL(stats().succeeded, 0);
	CU_ASSERT_EQUAL(stats().in_flight, 0);
	rig_cq_expect_empty(&scq); /* its answer is ignored */
	teardown();
}

PHCA_TEST(errors, late_answer_of_a_busy_driver_frees_the_place)
{
	busy_zombie(false);
}

PHCA_TEST(errors, driver_without_cancel_counts_as_busy)
{
	busy_zombie(true);
}

PHCA_TEST(errors, done_within_cancel_lets_go)
{
	setup(5000, false);
	s->cancel = MANUAL_DONE_IN_CANCEL;
	in(0);
	rig_turn(&r);
	r.now_ns += 5000;
	rig_settle(&r);
	CU_ASSERT_EQUAL(stats().in_flight, 0);
	CU_ASSERT_EQUAL(stats().late, 1);
	CU_ASSERT_EQUAL(rig_credit(&r, cookie, RECV, 0), 1);
	teardown();
}

PHCA_TEST(errors, cancelled_place_that_waits_keeps_its_request)
{
	setup(0, false);
	s->cancel = MANUAL_BUSY;
	out(0, 0);
	out(1, 0);
	out(2, 0);
	rig_turn(&r);
	rig_manual_done(o, SEND, 1, BAD); /* 2 is cancelled, 0 goes on */
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->cancels, 1);
	rig_manual_done(o, SEND, 2, OK); /* late, before its place was released */
	rig_turn(&r);
	rig_cq_expect_empty(&scq);
	rig_manual_done(o, SEND, 0, OK);
	rig_settle(&r);
	rig_cq_expect(&scq, 100, OK);
	rig_cq_expect(&scq, 101, BAD);
	rig_cq_expect(&scq, 102, FLUSH);
	CU_ASSERT_EQUAL(rig_credit(&r, cookie, SEND, 0), 3);
	CU_ASSERT_EQUAL(rig_stats(&r).late, 1);
	teardown();
}

PHCA_TEST(errors, direct_error_is_delivered_and_cancels_what_is_behind)
{
	setup(0, false);
	out(0, 0);
	complete(SEND, 1, PHCA_WC_LOC_PROT_ERR);
	out(2, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 2); /* 2 came after the error: the HCA's word */
	complete(SEND, 3, PHCA_WC_LOC_LEN_ERR);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 1); /* cancelled: it stands behind 1 */
	rig_cq_expect_empty(&scq);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, OK);
	rig_cq_expect(&scq, 101, PHCA_WC_LOC_PROT_ERR);
	rig_cq_expect(&scq, 102, FLUSH);
	rig_cq_expect(&scq, 103, PHCA_WC_LOC_LEN_ERR);
	complete(SEND, 4, OK); /* the HCA recovered (SQE to RTS) */
	rig_turn(&r);
	rig_cq_expect(&scq, 104, OK);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, cookie), 0);
	teardown();
}

PHCA_TEST(errors, flush_of_the_hca_cancels_the_window)
{
	setup(0, false);
	in(0);
	out(0, 0);
	out(1, 0);
	complete(SEND, 2, OK);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 3);
	complete(SEND, 3, FLUSH);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 1); /* the other sequence goes on */
	rig_cq_expect(&scq, 100, FLUSH);
	rig_cq_expect(&scq, 101, FLUSH);
	rig_cq_expect(&scq, 102, FLUSH); /* behind those that were flushed */
	rig_cq_expect(&scq, 103, FLUSH);
	complete(RECV, 1, FLUSH);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	rig_cq_expect(&rcq, 101, FLUSH);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, cookie), 0);
	teardown();
}

PHCA_TEST(errors, flush_leaves_alone_what_stands_before_the_error)
{
	setup(0, false);
	out(0, 0);
	complete(SEND, 1, PHCA_WC_LOC_PROT_ERR);
	complete(SEND, 2, FLUSH);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_held, 1);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, OK);
	rig_cq_expect(&scq, 101, PHCA_WC_LOC_PROT_ERR);
	rig_cq_expect(&scq, 102, FLUSH);
	teardown();
}

PHCA_TEST(errors, detach_cancels_discards_and_answers_once)
{
	setup(0, false);
	in(0);
	out(0, 0);
	complete(SEND, 1, OK);
	complete(RECV, 1, OK);
	rig_turn(&r);
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, cookie), 1);
	CU_ASSERT_EQUAL(r.replies[r.nb_replies - 1].kind, PHCA_PREPLY_DETACHED);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	CU_ASSERT_EQUAL(s->cancels, 2);
	CU_ASSERT_EQUAL(rig_stats(&r).pqps, 0);
	rig_cq_expect_empty(&scq);
	rig_cq_expect_empty(&rcq);
	phca_pqp_destroy(q);
	q = NULL;
	teardown();
}

PHCA_TEST(errors, detach_waits_for_drivers_that_hold_on)
{
	setup(0, true);
	in(0);
	out(0, 0);
	rig_turn(&r);
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, cookie), 0);
	rig_manual_done(o, SEND, 0, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, cookie), 0);
	rig_manual_done(o, RECV, 0, BAD);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, cookie), 1);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, cookie), 0);
	CU_ASSERT_EQUAL(rig_stats(&r).late, 2);
	phca_pqp_destroy(q);
	q = NULL;
	teardown();
}

PHCA_TEST(errors, attached_again_after_an_error_it_starts_afresh)
{
	setup(0, false);
	out(0, 0);
	in(0);
	complete(SEND, 1, OK);
	rig_turn(&r);
	rig_manual_done(o, SEND, 0, BAD);
	rig_manual_done(o, RECV, 0, BAD);
	rig_settle(&r);
	rig_cq_expect(&scq, 100, BAD);
	rig_cq_expect(&scq, 101, FLUSH);
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, cookie), 1);
	rig_kind(&r, PHCA_PMSG_ATTACH, q);
	complete(SEND, 0, OK);
	complete(RECV, 0, OK);
	out(1, 0);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, OK);
	rig_cq_expect(&rcq, 100, OK);
	rig_manual_done(o, SEND, 1, BAD);
	rig_settle(&r);
	rig_cq_expect(&scq, 101, BAD);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, cookie), 2);
	teardown();
}

PHCA_TEST(errors, status_out_of_range_is_a_general_error)
{
	setup(0, false);
	out(0, 0);
	rig_turn(&r);
	rig_manual_done(o, SEND, 0, (enum phca_wc_status)200);
	rig_turn(&r);
	rig_cq_expect(&scq, 100, PHCA_WC_GENERAL_ERR);
	teardown();
}
