/* SPDX-License-Identifier: BSD-3-Clause */
/* Times: latency of requests, and how long completions wait for earlier ones, exactly. */
#include <string.h>

#include "rig.h"

static struct rig r;
static struct rig_cq send, recv;
static struct phca_offload_wr wr[16];
static struct phca_offload_detail d;
static struct phca_hist stall;

static void set_up(void)
{
	rig_init(&r, 64);
	rig_cq_init(&send, 48, 16);
	rig_cq_init(&recv, 48, 16);
}

static void take_down(void)
{
	rig_fini(&r);
	rig_cq_fini(&send);
	rig_cq_fini(&recv);
}

static void detail(const struct phca_offload *o)
{
	memset(&d, 0, sizeof(d));
	phca_offload_detail_get(o, &d);
}

static void stall_of(const struct phca_pqp *q)
{
	memset(&stall, 0, sizeof(stall));
	phca_pqp_stall_get(q, &stall);
}

static struct phca_offload_stats stats(const struct phca_offload *o)
{
	struct phca_offload_stats st;

	phca_offload_stats_get(o, &st);
	return st;
}

PHCA_TEST(times, latency_of_what_is_given_back_at_once_and_later)
{
	struct phca_offload_req *req;
	struct phca_offload *o;
	struct phca_pqp *q;

	set_up();
	o = rig_manual_ordered(&r, "a", 0);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, &o, 1, 0);
	rig_manual_state(o)->pass_all = true;
	for (uint32_t i = 0; i < 3; i++)
		rig_offload_out(&r, q, i, 0, &wr[i], i, PHCA_PMSG_F_ORDERED);
	rig_turn(&r);
	rig_manual_state(o)->pass_all = false;
	rig_offload_out(&r, q, 3, 0, &wr[3], 3, PHCA_PMSG_F_ORDERED);
	rig_turn(&r);
	r.now_ns += 1000;
	rig_turn(&r);
	req = rig_manual_req(o, PHCA_DIR_SEND, 3);
	rig_manual_forget(o, req);
	CU_ASSERT_EQUAL(phca_offload_pass(req), 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(stats(o).passed, 4);
	detail(o);
	CU_ASSERT_EQUAL(d.latency.count[0], 3);
	CU_ASSERT_EQUAL(d.latency.count[phca_hist_bucket(1000)], 1);
	CU_ASSERT_EQUAL(phca_hist_count(&d.latency), 4);
	rig_pqp_end(&r, q);
	take_down();
}

PHCA_TEST(times, latency_of_each_end)
{
	struct phca_offload *o[2];
	struct phca_pqp *q;

	set_up();
	o[0] = rig_manual(&r, "a", 5000, false);
	o[1] = rig_offload(&r, "null", "n", 0, NULL, 0);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, o, 2, 0);
	for (uint32_t i = 0; i < 4; i++)
		rig_offload_out(&r, q, i, 0, &wr[i], i, 0);
	rig_offload_out(&r, q, 4, 1, &wr[4], 4, 0);
	rig_turn(&r);
	for (uint32_t i = 0; i < 2; i++) {
		r.now_ns += 20;
		rig_turn(&r); /* the clock of what ends between turns */
		rig_manual_done(o[0], PHCA_DIR_SEND, i, PHCA_WC_SUCCESS);
	}
	r.now_ns += 960;
	rig_turn(&r);
	rig_manual_done(o[0], PHCA_DIR_SEND, 2, PHCA_WC_SUCCESS);
	detail(o[0]);
	CU_ASSERT_EQUAL(d.latency.count[phca_hist_bucket(20)], 1);
	CU_ASSERT_EQUAL(d.latency.count[phca_hist_bucket(40)], 1);
	CU_ASSERT_EQUAL(d.latency.count[phca_hist_bucket(1000)], 1);
	CU_ASSERT_EQUAL(phca_hist_count(&d.latency), 3);
	CU_ASSERT_EQUAL(stats(o[0]).latency_ns_sum, 1060);
	/* what its time limit ended is no latency of the driver's */
	r.now_ns += 10000;
	rig_settle(&r);
	detail(o[0]);
	CU_ASSERT_EQUAL(phca_hist_count(&d.latency), 3);
	CU_ASSERT_EQUAL(stats(o[0]).timed_out, 1);
	CU_ASSERT_EQUAL(d.failed[PHCA_WC_RESP_TIMEOUT_ERR], 0);
	/* done within submit: no time passed */
	detail(o[1]);
	CU_ASSERT_EQUAL(d.latency.count[0], 1);
	CU_ASSERT_EQUAL(phca_hist_count(&d.latency), 1);
	rig_pqp_end(&r, q);
	take_down();
}

PHCA_TEST(times, failures_by_status)
{
	struct phca_offload *o;
	struct phca_pqp *q;

	set_up();
	o = rig_manual(&r, "a", 0, false);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, &o, 1, 0);
	for (uint32_t i = 0; i < 3; i++)
		rig_offload_out(&r, q, i, 0, &wr[i], i, 0);
	rig_turn(&r);
	rig_manual_done(o, PHCA_DIR_SEND, 2, PHCA_WC_REM_ACCESS_ERR);
	rig_manual_done(o, PHCA_DIR_SEND, 1, PHCA_WC_REM_OP_ERR);
	rig_manual_done(o, PHCA_DIR_SEND, 0, PHCA_WC_REM_OP_ERR);
	rig_settle(&r);
	detail(o);
	CU_ASSERT_EQUAL(d.failed[PHCA_WC_REM_OP_ERR], 2);
	CU_ASSERT_EQUAL(d.failed[PHCA_WC_REM_ACCESS_ERR], 1);
	CU_ASSERT_EQUAL(d.failed[PHCA_WC_SUCCESS], 0);
	CU_ASSERT_EQUAL(stats(o).failed, 3);
	rig_pqp_end(&r, q);
	take_down();
}

PHCA_TEST(times, completions_wait_for_an_offload)
{
	struct phca_pqp_stats st;
	struct phca_offload *o;
	struct phca_pqp *q;

	set_up();
	o = rig_manual(&r, "a", 0, false);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, &o, 1, 0);
	rig_offload_out(&r, q, 0, 0, &wr[0], 0, 0);
	rig_turn(&r);                                       /* t: place 0 is with the driver */
	rig_complete(&r, q, PHCA_DIR_SEND, 2, 2, PHCA_WC_SUCCESS, 0);
	rig_complete(&r, q, PHCA_DIR_SEND, 1, 1, PHCA_WC_SUCCESS, 0);
	r.now_ns += 100;
	rig_turn(&r);                                       /* t + 100: 1 and 2 are ready */
	rig_complete(&r, q, PHCA_DIR_SEND, 3, 3, PHCA_WC_SUCCESS, 0);
	r.now_ns += 2900;
	rig_turn(&r);                                       /* t + 3000: 3 is */
	r.now_ns += 12;
	rig_turn(&r);
	stall_of(q);
	CU_ASSERT_EQUAL(phca_hist_count(&stall), 0);        /* they wait still */
	rig_manual_done(o, PHCA_DIR_SEND, 0, PHCA_WC_SUCCESS);
	rig_settle(&r);
	for (uint32_t i = 0; i < 4; i++)
		rig_cq_expect(&send, i, PHCA_WC_SUCCESS);
	stall_of(q);
	CU_ASSERT_EQUAL(phca_hist_count(&stall), 3);
	CU_ASSERT_EQUAL(stall.count[phca_hist_bucket(2912)], 2);
	CU_ASSERT_EQUAL(stall.count[phca_hist_bucket(12)], 1);
	phca_pqp_stats_get(q, &st);
	CU_ASSERT_EQUAL(st.stall_ns_sum, 2 * 2912 + 12);
	CU_ASSERT_EQUAL(st.stall_ns_max, 2912);
	CU_ASSERT_EQUAL(st.waited, 3);
	detail(o);
	CU_ASSERT_EQUAL(memcmp(&d.stall, &stall, sizeof(stall)), 0);
	CU_ASSERT_EQUAL(stats(o).stalled, 3);
	CU_ASSERT_EQUAL(stats(o).stall_ns_sum, 2 * 2912 + 12);
	CU_ASSERT_EQUAL(stats(o).stall_ns_max, 2912);
	/* what is released at once adds nothing */
	rig_complete(&r, q, PHCA_DIR_SEND, 4, 4, PHCA_WC_SUCCESS, 0);
	rig_settle(&r);
	stall_of(q);
	CU_ASSERT_EQUAL(phca_hist_count(&stall), 3);
	rig_pqp_end(&r, q);
	take_down();
}

/* An offloaded request that was ready waits for a direct one: no offload is to blame. */
PHCA_TEST(times, an_offload_waits_for_the_hca)
{
	struct phca_offload *o;
	struct phca_pqp *q;

	set_up();
	o = rig_offload(&r, "null", "n", 0, NULL, 0);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, &o, 1, 7);
	rig_offload_in(&r, q, 8, 0, 10);
	rig_turn(&r);
	r.now_ns += 500;
	rig_complete(&r, q, PHCA_DIR_RECV, 7, 70, PHCA_WC_SUCCESS, 0);
	rig_settle(&r);
	stall_of(q);
	CU_ASSERT_EQUAL(stall.count[phca_hist_bucket(500)], 1);
	CU_ASSERT_EQUAL(phca_hist_count(&stall), 1);
	CU_ASSERT_EQUAL(stats(o).stalled, 0);
	rig_pqp_end(&r, q);
	take_down();
}

/* The last one that they waited for is told, whichever way it ended. */
PHCA_TEST(times, time_limits_and_cancellation_are_to_blame_too)
{
	struct phca_offload *o[2];
	struct phca_pqp *q;

	set_up();
	o[0] = rig_manual(&r, "a", 1000, false);
	o[1] = rig_manual(&r, "b", 0, false);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, o, 2, 0);
	rig_offload_out(&r, q, 0, 0, &wr[0], 0, 0);
	rig_offload_out(&r, q, 1, 1, &wr[1], 1, 0);
	rig_complete(&r, q, PHCA_DIR_SEND, 2, 2, PHCA_WC_SUCCESS, 0);
	rig_turn(&r);
	r.now_ns += 1000;
	rig_turn(&r); /* 0 times out; 1 is cancelled behind it, and 2, which is flushed, waited for that */
	rig_settle(&r);
	CU_ASSERT_EQUAL(stats(o[0]).timed_out, 1);
	CU_ASSERT_EQUAL(stats(o[1]).cancelled, 1);
	CU_ASSERT_EQUAL(stats(o[0]).stalled, 0);
	CU_ASSERT_EQUAL(stats(o[1]).stalled, 1);
	CU_ASSERT_EQUAL(stats(o[1]).stall_ns_max, 1000);
	rig_pqp_end(&r, q);
	take_down();
}
