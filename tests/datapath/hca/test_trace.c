/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces: what the HCA lcore tells of requests, and that the proxy lcore tells of the same ones. */
#include <string.h>

#include "child_lab.h"
#include "phca_drivers.h"
#include "rc_peer.h"

static struct phca_trace *of_hca, *of_proxy;

static void trace_open(struct lab *l)
{
	of_hca = phca_trace_create(64);
	of_proxy = phca_trace_create(64);
	CU_ASSERT_FATAL(of_hca != NULL && of_proxy != NULL);
	phca_proxy_trace_set(l->proxy, of_proxy);
	CU_ASSERT_EQUAL(phca_hca_trace_set(l->hca, 0, of_hca), 0);
	CU_ASSERT_EQUAL(phca_hca_trace_set(l->hca, 1, of_hca), -EINVAL);
}

static void trace_close(struct lab *l)
{
	CU_ASSERT_EQUAL(phca_trace_used(of_hca), 0);
	CU_ASSERT_EQUAL(phca_trace_used(of_proxy), 0);
	CU_ASSERT_EQUAL(phca_hca_trace_set(l->hca, 0, NULL), 0);
	phca_proxy_trace_set(l->proxy, NULL);
	phca_trace_destroy(of_hca);
	phca_trace_destroy(of_proxy);
}

/* The next record of the HCA: a request at a place, of which rule. */
static struct phca_trace_rec taken(enum phca_dir dir, uint32_t seq, uint64_t id, uint32_t len, uint8_t rule)
{
	struct phca_trace_rec t = { .kind = PHCA_TRACE_KIND_COUNT };

	CU_ASSERT_EQUAL(phca_trace_get(of_hca, &t, 1), 1);
	if (t.dir != dir || t.seq != seq || t.id != id || t.len != len || t.rule != rule)
		printf("  taken: %u/%u id %lu, %u bytes, rule %u; expected %u/%u id %lu, %u bytes, rule %u\n", t.dir,
			t.seq, (unsigned long)t.id, t.len, t.rule, dir, seq, (unsigned long)id, len, rule);
	CU_ASSERT(t.kind == PHCA_TRACE_TAKEN && t.dir == dir && t.seq == seq && t.id == id && t.len == len &&
		t.rule == rule);
	return t;
}

/* The next one of the proxy. */
static void told(enum phca_trace_kind kind, enum phca_dir dir, uint32_t seq)
{
	struct phca_trace_rec t = { .kind = PHCA_TRACE_KIND_COUNT };

	CU_ASSERT_EQUAL(phca_trace_get(of_proxy, &t, 1), 1);
	if (t.kind != kind || t.dir != dir || t.seq != seq)
		printf("  %s %u/%u, expected %s %u/%u\n", phca_trace_kind_str(t.kind), t.dir, t.seq,
			phca_trace_kind_str(kind), dir, seq);
	CU_ASSERT(t.kind == kind && t.dir == dir && t.seq == seq);
}

#define IN PHCA_DIR_RECV
#define OUT PHCA_DIR_SEND
#define NONE PHCA_TRACE_RULE_NONE

PHCA_TEST(trace, inbound_requests)
{
	struct phca_filter_param min = { .name = "min_len", .kind = PHCA_FV_UINT, .u = BIG };
	struct rc c = rc_open(NULL, 8);
	struct phca_rule rule[2] = { { .name = "never", .send = true }, { .name = "big", .inbound = true } };
	struct phca_trace_rec t;
	struct phca_hist stall = { .count = { 0 } };

	trace_open(c.l);
	CU_ASSERT_EQUAL(phca_qp_trace_set(c.q.qp, 1), -EINVAL); /* no proxy QP */
	phca_qp_stall_get(c.q.qp, &stall);
	for (unsigned int i = 0; i < 2; i++) {
		rule[i].filter = lab_filter(c.l, "by_size", &min, 1);
		rule[i].offload = lab_offload(c.l, i ? "b" : "a", &phca_offload_null, NULL, 0, 0);
	}
	CU_ASSERT_FATAL(phca_qp_proxy_attach(c.q.qp, rule, 2, 0) == 0);
	CU_ASSERT_EQUAL(phca_qp_trace_set(c.q.qp, 4), 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 20, 1);
	rc_send(&c, PHCA_RC_SEND_FIRST, 1, LAB_MTU, 1);
	rc_send(&c, PHCA_RC_SEND_LAST, 2, 30, 1);
	rc_write(&c, PHCA_RC_WRITE_ONLY, 3, 0, 8, 8, 1);
	rc_read(&c, 4, 0, 200);
	rc_send(&c, PHCA_RC_SEND_ONLY, 5, 20, 1); /* one too many */
	rc_expect_ack(&c, 3, 3);
	rc_expect_read(&c, 4, 0, 200);
	rc_expect_ack(&c, 5, 5);
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, 20);
	rc_expect_recv(&c, 1, PHCA_WC_SUCCESS, 20);
	t = taken(IN, 0, 0, 20, NONE);
	CU_ASSERT_EQUAL(t.tried, 1);
	CU_ASSERT_EQUAL(t.opcode, PHCA_RC_SEND_ONLY);
	t = taken(IN, 1, 1, LAB_MTU + 30, 1);
	CU_ASSERT_EQUAL(t.by, 1);
	CU_ASSERT_EQUAL(t.said, PHCA_OFFLOAD);
	CU_ASSERT_STRING_EQUAL(t.name, "big");
	t = taken(IN, 0, 3, 8, NONE);
	CU_ASSERT_EQUAL(t.flags, PHCA_TRACE_F_NO_PLACE);
	taken(IN, 2, 4, 200, 1);
	told(PHCA_TRACE_COMPLETED, IN, 0);
	told(PHCA_TRACE_RELEASED, IN, 0);
	for (uint32_t i = 1; i < 3; i++) {
		told(PHCA_TRACE_SUBMITTED, IN, i);
		told(PHCA_TRACE_DONE, IN, i);
		told(PHCA_TRACE_RELEASED, IN, i);
	}
	/* without rules, and of a message of several packets the PSN of the first */
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(c.q.qp, NULL, 0), 0);
	CU_ASSERT_EQUAL(phca_qp_trace_set(c.q.qp, PHCA_QP_TRACE_ALL), 0);
	rc_send(&c, PHCA_RC_SEND_FIRST, 6, LAB_MTU, 1);
	rc_send(&c, PHCA_RC_SEND_MIDDLE, 7, LAB_MTU, 1);
	rc_send(&c, PHCA_RC_SEND_LAST, 8, LAB_MTU, 1);
	rc_expect_ack(&c, 8, 6);
	rc_expect_recv(&c, 2, PHCA_WC_SUCCESS, 3 * LAB_MTU);
	t = taken(IN, 4, 6, 3 * LAB_MTU, NONE);
	CU_ASSERT_EQUAL(t.tried, 0);
	told(PHCA_TRACE_COMPLETED, IN, 4);
	told(PHCA_TRACE_RELEASED, IN, 4);
	CU_ASSERT_EQUAL(phca_qp_trace_set(c.q.qp, 0), 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 9, 20, 1);
	rc_expect_ack(&c, 9, 7);
	rc_expect_recv(&c, 3, PHCA_WC_SUCCESS, 20);
	phca_qp_stall_get(c.q.qp, &stall);
	CU_ASSERT_EQUAL(phca_hist_count(&stall), lab_info(&c.q).pqp.waited);
	trace_close(c.l);
	rc_close(&c);
}

PHCA_TEST(trace, posted_requests)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	struct phca_offload_req *req;
	struct phca_trace_rec t;

	child_attach(&x, 0);
	trace_open(x.p.l);
	CU_ASSERT_EQUAL(phca_qp_trace_set(x.p.q.qp, PHCA_QP_TRACE_ALL), 0);
	child_app_post(&x, PHCA_WR_SEND, 20, 0x2a, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 2);
	t = taken(OUT, 0, 0x2a, 20, NONE);
	CU_ASSERT_EQUAL(t.tried, 1);
	CU_ASSERT_EQUAL(t.opcode, PHCA_WR_SEND);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 20, x.p.mem[0]);
	req = child_parent(&x, 0x2b);
	t = taken(OUT, 1, 0x2b, req->len, 0);
	CU_ASSERT_EQUAL(t.flags, PHCA_TRACE_F_ORDERED);
	told(PHCA_TRACE_SUBMITTED, OUT, 1);
	child_send(&x, 7, req);
	told(PHCA_TRACE_CHILD, OUT, 1);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 1, 8, 7);
	phca_offload_done(req, PHCA_WC_SUCCESS);
	peer_ack(&x.p, PEER_PSN + 1, PEER_ACK);
	lab_turn(x.p.l, 2);
	told(PHCA_TRACE_COMPLETED, OUT, 0);
	told(PHCA_TRACE_RELEASED, OUT, 0);
	told(PHCA_TRACE_CHILD_DONE, OUT, 1);
	told(PHCA_TRACE_DONE, OUT, 1);
	told(PHCA_TRACE_RELEASED, OUT, 1);
	child_ended(7, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 0x2a, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 0x2b, PHCA_WC_SUCCESS);
	/* in error: what was posted is flushed, and told of */
	CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &(struct phca_qp_attr){ .state = PHCA_QPS_ERR }, PHCA_QP_STATE), 0);
	child_app_post(&x, PHCA_WR_SEND, 20, 0x2c, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 4);
	t = taken(OUT, 2, 0x2c, 0, NONE);
	CU_ASSERT_EQUAL(t.flags, PHCA_TRACE_F_FLUSHED);
	told(PHCA_TRACE_COMPLETED, OUT, 2);
	told(PHCA_TRACE_RELEASED, OUT, 2);
	peer_wc(&x.p, 0x2c, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(phca_qp_trace_set(x.p.q.qp, 0), 0);
	trace_close(x.p.l);
	child_close(&x);
}
