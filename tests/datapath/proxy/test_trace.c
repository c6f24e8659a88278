/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces: what the proxy lcore tells of requests that are marked, for each way to end. */
#include <string.h>

#include <rte_errno.h>

#include "rig.h"

#define T PHCA_PMSG_F_TRACED

static struct rig r;
static struct rig_cq send, recv;
static struct phca_offload_wr wr[16];
static struct phca_trace *trace;
static struct phca_pqp *q;

static void set_up(struct phca_offload **o, unsigned int n, uint64_t limit_ns)
{
	static const char *const names[] = { "a", "b" };

	rig_init(&r, 64);
	rig_cq_init(&send, 48, 16);
	rig_cq_init(&recv, 48, 16);
	trace = phca_trace_create(64);
	CU_ASSERT_PTR_NOT_NULL_FATAL(trace);
	phca_proxy_trace_set(r.p, trace);
	for (unsigned int i = 0; i < n; i++)
		o[i] = rig_manual(&r, names[i], limit_ns, false);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, o, n, 0);
}

static void take_down(void)
{
	CU_ASSERT_EQUAL(phca_trace_used(trace), 0);
	CU_ASSERT_EQUAL(phca_trace_lost(trace), 0);
	rig_pqp_end(&r, q);
	phca_proxy_trace_set(r.p, NULL);
	phca_trace_destroy(trace);
	rig_fini(&r);
	rig_cq_fini(&send);
	rig_cq_fini(&recv);
}

/* The next record is this. */
static struct phca_trace_rec expect(enum phca_trace_kind kind, enum phca_dir dir, uint32_t seq, uint64_t ns,
		enum phca_wc_status status)
{
	struct phca_trace_rec t = { .kind = PHCA_TRACE_KIND_COUNT };

	CU_ASSERT_EQUAL(phca_trace_get(trace, &t, 1), 1);
	if (t.kind != kind || t.seq != seq || t.dir != dir || t.ns != ns || t.status != status)
		printf("  record: %s of %u/%u at %lu, status %u; expected %s of %u/%u at %lu, status %u\n",
			phca_trace_kind_str(t.kind), t.dir, t.seq, (unsigned long)t.ns, t.status,
			phca_trace_kind_str(kind), dir, seq, (unsigned long)ns, status);
	CU_ASSERT_TRUE(t.kind == kind && t.seq == seq && t.dir == dir && t.ns == ns && t.status == status);
	CU_ASSERT_EQUAL(t.qpn, 0x11);
	return t;
}

static void expect_released(enum phca_dir dir, uint32_t seq, uint64_t ns, enum phca_wc_status status,
		enum phca_trace_result result, int waited_for)
{
	struct phca_trace_rec t = expect(PHCA_TRACE_RELEASED, dir, seq, ns, status);

	CU_ASSERT_EQUAL(t.result, result);
	CU_ASSERT_EQUAL(t.flags, waited_for < 0 ? 0 : PHCA_TRACE_F_WAITED);
	if (waited_for >= 0)
		CU_ASSERT_EQUAL(t.id, (uint64_t)waited_for);
}

PHCA_TEST(trace, a_ring_of_records)
{
	struct phca_trace_rec t = { .seq = 1 }, got[4];

	CU_ASSERT_PTR_NULL(phca_trace_create(0));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	CU_ASSERT_PTR_NULL(phca_trace_create(3));
	trace = phca_trace_create(4);
	CU_ASSERT_PTR_NOT_NULL_FATAL(trace);
	for (t.seq = 0; t.seq < 5; t.seq++)
		phca_trace_put(trace, &t);
	CU_ASSERT_EQUAL(phca_trace_used(trace), 3);
	CU_ASSERT_EQUAL(phca_trace_lost(trace), 2);
	CU_ASSERT_EQUAL(phca_trace_get(trace, got, 4), 3);
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(got[i].seq, i);
	CU_ASSERT_EQUAL(phca_trace_get(trace, got, 4), 0);
	CU_ASSERT_STRING_EQUAL(phca_trace_kind_str(PHCA_TRACE_RELEASED), "released");
	CU_ASSERT_STRING_EQUAL(phca_trace_kind_str(PHCA_TRACE_KIND_COUNT), "?");
	phca_trace_destroy(trace);
	phca_trace_destroy(NULL);
}

PHCA_TEST(trace, done_and_waited)
{
	struct phca_offload *o[1];
	struct phca_trace_rec t;

	set_up(o, 1, 0);
	rig_offload_out(&r, q, 0, 0, &wr[0], 100, T);
	rig_complete(&r, q, PHCA_DIR_SEND, 1, 101, PHCA_WC_SUCCESS, T);
	rig_complete(&r, q, PHCA_DIR_SEND, 2, 102, PHCA_WC_SUCCESS, 0); /* not marked */
	rig_offload_out(&r, q, 3, 0, &wr[3], 103, T | PHCA_PMSG_F_NO_CQE);
	rig_turn(&r);
	t = expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 0, 1000, 0);
	CU_ASSERT_STRING_EQUAL(t.name, "a");
	expect(PHCA_TRACE_COMPLETED, PHCA_DIR_SEND, 1, 1000, PHCA_WC_SUCCESS);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 3, 1000, 0);
	r.now_ns = 4000;
	rig_turn(&r);
	rig_manual_done(o[0], PHCA_DIR_SEND, 3, PHCA_WC_SUCCESS);
	rig_manual_done(o[0], PHCA_DIR_SEND, 0, PHCA_WC_SUCCESS);
	expect(PHCA_TRACE_DONE, PHCA_DIR_SEND, 3, 4000, PHCA_WC_SUCCESS);
	expect(PHCA_TRACE_DONE, PHCA_DIR_SEND, 0, 4000, PHCA_WC_SUCCESS);
	expect_released(PHCA_DIR_SEND, 0, 4000, PHCA_WC_SUCCESS, PHCA_TRACE_CQE, -1);
	expect_released(PHCA_DIR_SEND, 1, 4000, PHCA_WC_SUCCESS, PHCA_TRACE_CQE, 0);
	expect_released(PHCA_DIR_SEND, 3, 4000, PHCA_WC_SUCCESS, PHCA_TRACE_NOTHING, 0);
	rig_settle(&r);
	for (uint64_t i = 100; i < 103; i++)
		rig_cq_expect(&send, i, PHCA_WC_SUCCESS);
	/* inbound: a no-op */
	rig_offload_in(&r, q, 0, 0, 8);
	rig_turn(&r);
	CU_ASSERT_EQUAL(phca_trace_used(trace), 0);
	rig_manual_done(o[0], PHCA_DIR_RECV, 0, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(phca_trace_used(trace), 0);
	rig_message_in(&r, q, &(struct rig_in){ .seq = 1, .flags = T, .opcode = PHCA_RC_SEND_ONLY, .data = "x",
		.len = 1 });
	rig_turn(&r);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_RECV, 1, 4000, 0);
	rig_manual_done(o[0], PHCA_DIR_RECV, 1, PHCA_WC_SUCCESS);
	expect(PHCA_TRACE_DONE, PHCA_DIR_RECV, 1, 4000, 0);
	expect_released(PHCA_DIR_RECV, 1, 4000, PHCA_WC_SUCCESS, PHCA_TRACE_NOOP, -1);
	take_down();
}

PHCA_TEST(trace, refused_and_what_is_behind)
{
	struct phca_offload *o[2];

	set_up(o, 2, 0);
	rig_offload_out(&r, q, 0, 1, &wr[0], 0, T);
	rig_manual_state(o[0])->refuse = 22;
	rig_offload_out(&r, q, 1, 0, &wr[1], 1, T);
	rig_offload_out(&r, q, 2, 1, &wr[2], 2, T);
	rig_turn(&r);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 0, 1000, 0);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 1, 1000, 0);
	expect(PHCA_TRACE_REFUSED, PHCA_DIR_SEND, 1, 1000, PHCA_WC_LOC_QP_OP_ERR);
	expect(PHCA_TRACE_FLUSHED, PHCA_DIR_SEND, 2, 1000, PHCA_WC_WR_FLUSH_ERR);
	rig_manual_done(o[1], PHCA_DIR_SEND, 0, PHCA_WC_SUCCESS);
	expect(PHCA_TRACE_DONE, PHCA_DIR_SEND, 0, 1000, PHCA_WC_SUCCESS);
	expect_released(PHCA_DIR_SEND, 0, 1000, PHCA_WC_SUCCESS, PHCA_TRACE_CQE, -1);
	expect_released(PHCA_DIR_SEND, 1, 1000, PHCA_WC_LOC_QP_OP_ERR, PHCA_TRACE_CQE, 0);
	expect_released(PHCA_DIR_SEND, 2, 1000, PHCA_WC_WR_FLUSH_ERR, PHCA_TRACE_CQE, 0);
	take_down();
}

PHCA_TEST(trace, timed_out_cancelled_and_late)
{
	struct phca_offload *o[1];
	struct manual *m;

	set_up(o, 1, 500);
	m = rig_manual_state(o[0]);
	m->cancel = MANUAL_BUSY;
	rig_offload_out(&r, q, 0, 0, &wr[0], 0, T);
	rig_turn(&r);
	r.now_ns = 1400;
	rig_offload_out(&r, q, 1, 0, &wr[1], 1, T);
	rig_turn(&r);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 0, 1000, 0);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 1, 1400, 0);
	r.now_ns = 1500;
	rig_turn(&r);
	expect(PHCA_TRACE_TIMED_OUT, PHCA_DIR_SEND, 0, 1500, 0);
	expect_released(PHCA_DIR_SEND, 0, 1500, PHCA_WC_RESP_TIMEOUT_ERR, PHCA_TRACE_CQE, -1);
	expect(PHCA_TRACE_CANCELLED, PHCA_DIR_SEND, 1, 1500, 0);
	expect_released(PHCA_DIR_SEND, 1, 1500, PHCA_WC_WR_FLUSH_ERR, PHCA_TRACE_CQE, -1);
	r.now_ns = 9000;
	rig_turn(&r);
	rig_manual_done(o[0], PHCA_DIR_SEND, 1, PHCA_WC_SUCCESS);
	expect(PHCA_TRACE_LATE, PHCA_DIR_SEND, 1, 9000, 0);
	rig_manual_done(o[0], PHCA_DIR_SEND, 0, PHCA_WC_SUCCESS);
	expect(PHCA_TRACE_LATE, PHCA_DIR_SEND, 0, 9000, 0);
	take_down();
}

PHCA_TEST(trace, children)
{
	struct phca_offload *o[1];
	struct phca_trace_rec t;

	set_up(o, 1, 0);
	rig_offload_out(&r, q, 0, 0, &wr[0], 0, T);
	rig_turn(&r);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 0, 1000, 0);
	CU_ASSERT_EQUAL(rig_manual_child(o[0], q, rig_manual_req(o[0], PHCA_DIR_SEND, 0), 7), 0);
	t = expect(PHCA_TRACE_CHILD, PHCA_DIR_SEND, 0, 1000, 0);
	CU_ASSERT_EQUAL(t.opcode, PHCA_WR_SEND);
	CU_ASSERT_EQUAL(t.len, 8);
	CU_ASSERT_EQUAL(t.id, 0x11);
	CU_ASSERT_EQUAL(rig_manual_child(o[0], q, NULL, 8), 0); /* nobody's: not told */
	r.now_ns = 2000;
	rig_turn(&r);
	rig_manual_done(o[0], PHCA_DIR_SEND, 0, PHCA_WC_SUCCESS);
	rig_child_over(&r, rig_child(&r), PHCA_WC_REM_ACCESS_ERR);
	rig_child_over(&r, rig_child(&r), PHCA_WC_SUCCESS);
	rig_turn(&r);
	expect(PHCA_TRACE_CHILD_DONE, PHCA_DIR_SEND, 0, 2000, PHCA_WC_REM_ACCESS_ERR);
	expect(PHCA_TRACE_DONE, PHCA_DIR_SEND, 0, 2000, PHCA_WC_REM_ACCESS_ERR);
	expect_released(PHCA_DIR_SEND, 0, 2000, PHCA_WC_REM_ACCESS_ERR, PHCA_TRACE_CQE, -1);
	expect(PHCA_TRACE_LATE, PHCA_DIR_SEND, 0, 2000, 0); /* the request is free again */
	take_down();
}

PHCA_TEST(trace, given_back)
{
	struct phca_offload *o;
	uint64_t now;

	set_up(&o, 0, 0);
	rig_pqp_end(&r, q); /* takes time */
	r.now_ns += 1000;
	now = r.now_ns;
	o = rig_manual_ordered(&r, "o", 0);
	q = rig_pqp(&r, 0x11, 16, &send, &recv, &o, 1, 0);
	rig_offload_out(&r, q, 0, 0, &wr[0], 50, T | PHCA_PMSG_F_ORDERED);
	rig_message_in(&r, q, &(struct rig_in){ .seq = 0, .flags = T | PHCA_PMSG_F_ORDERED,
		.opcode = PHCA_RC_SEND_ONLY, .data = "x", .len = 1 });
	rig_turn(&r);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_SEND, 0, now, 0);
	expect(PHCA_TRACE_SUBMITTED, PHCA_DIR_RECV, 0, now, 0);
	for (enum phca_dir d = PHCA_DIR_SEND; d <= PHCA_DIR_RECV; d++) {
		struct phca_offload_req *req = rig_manual_req(o, d, 0);

		rig_manual_forget(o, req);
		CU_ASSERT_EQUAL(phca_offload_pass(req), 0);
		expect(PHCA_TRACE_PASSED, d, 0, now, 0);
	}
	rig_turn(&r);
	r.now_ns = now + 2000;
	/* the HCA's copy of a posted request has the mark; of an inbound one the proxy remembers it */
	rig_complete(&r, q, PHCA_DIR_SEND, 0, 50, PHCA_WC_SUCCESS, T);
	rig_complete(&r, q, PHCA_DIR_RECV, 0, 60, PHCA_WC_SUCCESS, 0);
	rig_turn(&r);
	for (enum phca_dir d = PHCA_DIR_SEND; d <= PHCA_DIR_RECV; d++) {
		expect(PHCA_TRACE_COMPLETED, d, 0, now + 2000, PHCA_WC_SUCCESS);
		expect_released(d, 0, now + 2000, PHCA_WC_SUCCESS, PHCA_TRACE_CQE, -1);
	}
	take_down();
}
