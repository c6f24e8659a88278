/* SPDX-License-Identifier: BSD-3-Clause */
/* Children: each is over once, parents wait for theirs, and fail with the first that fails. */
#include <errno.h>
#include <string.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define BAD PHCA_WC_REM_ACCESS_ERR
#define FLUSH PHCA_WC_WR_FLUSH_ERR
#define SEND PHCA_DIR_SEND

static struct rig r;
static struct rig_cq cq, cq2;
static struct phca_offload_wr wr[64];
static struct phca_offload *o;
static struct phca_pqp *q;
static struct manual *s;

static void setup_with(uint64_t limit_ns, bool ordered, uint32_t ring)
{
	memset(wr, 0, sizeof(wr));
	rig_init(&r, ring);
	rig_cq_init(&cq, 192, 64);
	rig_cq_init(&cq2, 192, 64);
	o = ordered ? rig_manual_ordered(&r, "m", limit_ns) : rig_manual(&r, "m", limit_ns, false);
	s = rig_manual_state(o);
	q = rig_pqp_rc(&r, 1, 64, &cq, &o, 1, 0);
}

static void setup(void)
{
	setup_with(0, false, 1024);
}

/* All of the pool is back. */
static void pool_whole(void)
{
	struct phca_child *c[MANUAL_POOL];

	for (unsigned int i = 0; i < MANUAL_POOL; i++) {
		c[i] = phca_child_get(o);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c[i]);
	}
	CU_ASSERT_PTR_NULL(phca_child_get(o));
	for (unsigned int i = 0; i < MANUAL_POOL; i++)
		phca_child_put(c[i]);
}

static void teardown(void)
{
	if (q != NULL)
		rig_pqp_end(&r, q);
	pool_whole();
	rig_fini(&r);
	rig_cq_fini(&cq);
	rig_cq_fini(&cq2);
}

static struct phca_offload_stats stats(void)
{
	struct phca_offload_stats st;

	phca_offload_stats_get(o, &st);
	return st;
}

/* The next child that reached the HCA is this one; it is over. */
static void over(uint64_t id, enum phca_wc_status status)
{
	struct phca_child *c = rig_child(&r);
	uint64_t data;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->wr.inline_data);
	memcpy(&data, c->wr.inline_data, sizeof(data));
	CU_ASSERT_EQUAL(data, id);
	rig_child_over(&r, c, status);
	rig_turn(&r);
}

PHCA_TEST(children, the_parent_is_done_when_the_last_one_is_over)
{
	struct phca_offload_req *req;

	setup();
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_complete(&r, q, SEND, 1, 8, OK, 0);
	rig_turn(&r);
	req = rig_manual_req(o, SEND, 0);
	for (uint64_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(rig_manual_child(o, q, req, i), 0);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_CHILD, (void *)1), 3);
	over(0, OK);
	over(1, OK);
	rig_cq_expect_empty(&cq);
	CU_ASSERT_EQUAL(stats().in_flight, 1);
	over(2, OK);
	rig_cq_expect(&cq, 7, OK);
	rig_cq_expect(&cq, 8, OK);
	CU_ASSERT_EQUAL(s->nb_children, 3);
	CU_ASSERT_EQUAL(stats().children, 3);
	CU_ASSERT_EQUAL(stats().succeeded, 1);
	CU_ASSERT_EQUAL(stats().in_flight, 0);
	CU_ASSERT_EQUAL(phca_pqp_qpn(q), 1);
	teardown();
}

PHCA_TEST(children, the_first_error_fails_the_parent_at_once_and_its_place_stays)
{
	struct phca_offload_req *req;

	setup();
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_offload_out(&r, q, 1, 0, &wr[1], 8, 0);
	rig_turn(&r);
	req = rig_manual_req(o, SEND, 0);
	for (uint64_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(rig_manual_child(o, q, req, i), 0);
	rig_manual_forget(o, req);
	rig_turn(&r);
	over(0, BAD);
	rig_settle(&r);
	rig_cq_expect(&cq, 7, BAD);
	rig_cq_expect(&cq, 8, FLUSH);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, (void *)1), 1);
	CU_ASSERT_FALSE(phca_pqp_ready(q));
	CU_ASSERT_EQUAL(rig_manual_child(o, q, NULL, 9), -ENOTCONN);
	CU_ASSERT_EQUAL(stats().child_none, 1);
	/* wr[0] may be in use still: its place is not free */
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 0);
	over(1, FLUSH);
	CU_ASSERT_FALSE(s->orphan[0]);
	CU_ASSERT_TRUE(s->orphan[1]);
	over(2, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 2);
	rig_cq_expect_empty(&cq);
	CU_ASSERT_EQUAL(stats().late, 0);
	CU_ASSERT_EQUAL(stats().failed, 1);
	teardown();
}

PHCA_TEST(children, a_tolerant_one_does_not_fail_the_parent)
{
	struct phca_offload_req *req;
	struct phca_child *c;

	setup();
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	req = rig_manual_req(o, SEND, 0);
	c = phca_child_get(o);
	c->tolerant = true;
	CU_ASSERT_EQUAL(phca_child_post(q, c, req), 0);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	c = rig_child(&r);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	rig_child_over(&r, c, BAD);
	rig_turn(&r);
	rig_cq_expect(&cq, 7, OK);
	CU_ASSERT_EQUAL(s->child_status[0], BAD);
	teardown();
}

static void done_of_parent(struct phca_offload *of, struct phca_child *c, enum phca_wc_status status)
{
	if (c->parent == NULL)
		return;
	if (c->drv[0] < 4) { /* another one, first */
		CU_ASSERT_EQUAL(rig_manual_child(of, c->pqp, c->parent, c->drv[0] + 1), 0);
		return;
	}
	rig_manual_forget(of, c->parent);
	phca_offload_done(c->parent, status);
}

PHCA_TEST(children, child_done_may_post_and_finish_the_parent)
{
	setup();
	s->on_child = done_of_parent;
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 0), 1), 0);
	rig_turn(&r);
	for (uint64_t i = 1; i <= 4; i++) {
		rig_cq_expect_empty(&cq);
		over(i, OK);
	}
	rig_cq_expect(&cq, 7, OK);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	teardown();
}

PHCA_TEST(children, without_a_parent_they_are_of_nobody)
{
	setup();
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, NULL, 1), 0);
	rig_turn(&r);
	over(1, OK);
	CU_ASSERT_TRUE(s->orphan[0]);
	CU_ASSERT_EQUAL(s->child_status[0], OK);
	teardown();
}

PHCA_TEST(children, opcodes_are_those_of_the_transport)
{
	static const struct { uint8_t opcode; int rc; } all[] = {
		{ PHCA_WR_RDMA_WRITE, 0 }, { PHCA_WR_RDMA_READ, 0 }, { PHCA_WR_ATOMIC_FETCH_AND_ADD, 0 },
		{ PHCA_WR_SEND_WITH_INV, 0 }, { PHCA_WR_BIND_MW, -EINVAL }, { PHCA_WR_LOCAL_INV, -EINVAL },
		{ 31, -EINVAL }, { 255, -EINVAL },
	};
	struct phca_pqp *ud;

	setup();
	ud = rig_pqp(&r, 2, 16, &cq2, &cq2, &o, 1, 0);
	rig_turn(&r);
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct phca_child *c = phca_child_get(o);

		c->wr.wqe.opcode = all[i].opcode;
		CU_ASSERT_EQUAL(phca_child_post(ud, c, NULL), -EINVAL);
		CU_ASSERT_EQUAL(phca_child_post(q, c, NULL), all[i].rc);
		if (all[i].rc != 0)
			phca_child_put(c);
	}
	CU_ASSERT_EQUAL(rig_manual_child(o, ud, NULL, 1), 0);
	rig_pqp_end(&r, ud);
	teardown();
}

PHCA_TEST(children, a_cancelled_parent_keeps_its_place_until_they_are_over)
{
	setup_with(1000, false, 1024);
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 0), 1), 0);
	r.now_ns += 2000;
	rig_settle(&r);
	rig_cq_expect(&cq, 7, PHCA_WC_RESP_TIMEOUT_ERR);
	CU_ASSERT_EQUAL(s->cancels, 1);
	CU_ASSERT_EQUAL(stats().timed_out, 1);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 0);
	over(1, FLUSH);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 1);
	CU_ASSERT_TRUE(s->orphan[0]);
	CU_ASSERT_EQUAL(stats().late, 0);
	teardown();
}

/* Two that hold it: neither alone frees the place. */
PHCA_TEST(children, a_driver_that_is_busy_and_a_child)
{
	setup_with(1000, false, 1024);
	s->cancel = MANUAL_BUSY;
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 0), 1), 0);
	r.now_ns += 2000;
	rig_settle(&r);
	rig_manual_done(o, SEND, 0, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 0);
	over(1, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 1);
	CU_ASSERT_EQUAL(stats().late, 1);
	teardown();
}

PHCA_TEST(children, a_late_post_to_a_parent_that_ended_is_refused)
{
	struct phca_offload_req *req;

	setup();
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	req = rig_manual_req(o, SEND, 0);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, req, 1), 0);
	rig_manual_done(o, SEND, 0, OK);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, req, 2), -ECANCELED);
	rig_turn(&r);
	over(1, OK);
	teardown();
}

/* Destroyed at every stage: in the ring, staged, without room, waiting for their turn. */
PHCA_TEST(children, a_qp_that_is_let_go_takes_them_along)
{
	struct phca_offload_req *req;

	for (unsigned int stage = 0; stage < 3; stage++) {
		setup_with(0, true, 64);
		rig_offload_out(&r, q, 0, 0, &wr[0], 7, PHCA_PMSG_F_ORDERED);
		rig_offload_out(&r, q, 1, 0, &wr[1], 8, PHCA_PMSG_F_ORDERED);
		rig_turn(&r);
		req = rig_manual_req(o, SEND, 1); /* it is not its turn */
		CU_ASSERT_EQUAL(rig_manual_child(o, q, req, 100), 0);
		for (uint64_t i = 0; i < (stage == 2 ? 120 : 3); i++)
			CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 0), i), 0);
		if (stage > 0)
			rig_turn(&r);
		rig_pqp_end(&r, q);
		q = NULL;
		CU_ASSERT_EQUAL(s->nb_children, stage == 2 ? 121 : 4);
		for (unsigned int i = 0; i < s->nb_children; i++)
			CU_ASSERT_EQUAL(s->child_status[i], FLUSH);
		CU_ASSERT_EQUAL(stats().in_flight, 0);
		teardown();
	}
}

/* The stage and the ring are smaller than what is posted: all arrive, in order. */
PHCA_TEST(children, those_that_find_no_room_wait_in_order)
{
	setup_with(0, false, 64);
	rig_turn(&r);
	for (uint64_t i = 0; i < MANUAL_POOL; i++)
		CU_ASSERT_EQUAL(rig_manual_child(o, q, NULL, i), 0);
	for (unsigned int i = 0; i < 10; i++)
		rig_turn(&r);
	for (uint64_t i = 0; i < MANUAL_POOL; i++)
		over(i, OK);
	CU_ASSERT_PTR_NULL(rig_child(&r));
	teardown();
}

PHCA_TEST(children, the_parent_of_a_peer_that_is_let_go_fails)
{
	struct phca_pqp *peer;

	setup();
	peer = rig_pqp_rc(&r, 2, 16, &cq2, &o, 1, 0);
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, peer, rig_manual_req(o, SEND, 0), 1), 0);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	rig_pqp_end(&r, peer);
	rig_cq_expect(&cq, 7, FLUSH);
	teardown();
}

/* One work request, and one message for as many ends as it has room for. */
PHCA_TEST(children, some_share_a_work_request_and_end_together)
{
	struct phca_offload_wr shared = {
		.wqe = { .opcode = PHCA_WR_SEND }, .len = 3, .inline_data = (const uint8_t *)"abc",
	};
	struct phca_pmsg m = { .kind = PHCA_PMSG_CHILD };
	struct phca_offload_req *req;
	struct phca_child *c;

	setup();
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	req = rig_manual_req(o, SEND, 0);
	for (unsigned int i = 0; i < PHCA_PMSG_CHILDREN + 1; i++) {
		c = phca_child_get_shared(o, &shared);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c);
		memset(&c->wr, 0x5a, sizeof(c->wr)); /* does not matter */
		c->drv[0] = i;
		CU_ASSERT_EQUAL(phca_child_post(q, c, req), 0);
	}
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	m.pqp = q;
	for (; m.child.nb < PHCA_PMSG_CHILDREN; m.child.nb++) {
		c = m.child.child[m.child.nb] = rig_child(&r);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c);
		CU_ASSERT_EQUAL(c->wr.inline_data, shared.inline_data);
		CU_ASSERT_EQUAL(c->drv[0], m.child.nb);
	}
	rig_send(&r, &m);
	rig_turn(&r);
	CU_ASSERT_EQUAL(s->nb_children, PHCA_PMSG_CHILDREN);
	rig_cq_expect_empty(&cq);
	c = rig_child(&r);
	m.child.nb = PHCA_PMSG_CHILDREN + 1; /* nonsense */
	rig_send(&r, &m);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	CU_ASSERT_EQUAL(s->nb_children, PHCA_PMSG_CHILDREN);
	rig_child_over(&r, c, BAD);
	rig_turn(&r);
	rig_cq_expect(&cq, 7, BAD);
	teardown();
}

PHCA_TEST(children, a_message_about_a_qp_that_is_let_go_is_bad)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_CHILD };
	struct phca_child *c;

	setup();
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, NULL, 1), 0);
	rig_turn(&r);
	c = rig_child(&r);
	m.pqp = q;
	m.child.child[0] = c;
	m.child.nb = 1;
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	rig_send(&r, &m);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	CU_ASSERT_EQUAL(s->nb_children, 1);
	phca_pqp_destroy(q);
	q = NULL;
	teardown();
}

static int posts_and_refuses(struct phca_offload *of, struct phca_offload_req *req)
{
	CU_ASSERT_EQUAL(rig_manual_child(of, q, req, 1), 0);
	return -EIO;
}

/* Its child was queued behind an earlier request: nothing of it is left when submit returns. */
PHCA_TEST(children, of_a_request_that_is_refused_before_its_turn)
{
	setup_with(0, true, 1024);
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, PHCA_PMSG_F_ORDERED);
	rig_turn(&r);
	s->on_submit = posts_and_refuses;
	rig_offload_out(&r, q, 1, 0, &wr[1], 8, PHCA_PMSG_F_ORDERED);
	rig_settle(&r);
	CU_ASSERT_EQUAL(s->nb_children, 1);
	CU_ASSERT_EQUAL(s->child_status[0], FLUSH);
	CU_ASSERT_PTR_NULL(rig_child(&r));
	CU_ASSERT_EQUAL(stats().in_flight, 1);
	rig_manual_done(o, SEND, 0, OK);
	rig_settle(&r);
	rig_cq_expect(&cq, 7, OK);
	rig_cq_expect(&cq, 8, PHCA_WC_LOC_QP_OP_ERR);
	CU_ASSERT_EQUAL(stats().in_flight, 0);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 2);
	teardown();
}

/* The HCA has one, and no rule names the offload any more. */
PHCA_TEST(children, keep_their_offload)
{
	struct phca_pqp_rules none = { { NULL } };
	struct phca_pmsg m = { .kind = PHCA_PMSG_RULES };

	setup();
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, NULL, 1), 0);
	m.pqp = q;
	m.rules = &none;
	rig_send(&r, &m);
	rig_settle(&r);
	phca_pqp_rules_put(&none);
	CU_ASSERT_EQUAL_FATAL(phca_offload_destroy(o), -EBUSY);
	over(1, OK);
	rig_pqp_end(&r, q);
	pool_whole();
	CU_ASSERT_EQUAL(phca_offload_destroy(o), 0);
	rig_fini(&r);
	rig_cq_fini(&cq);
	rig_cq_fini(&cq2);
}

/* --- who watches */

PHCA_TEST(watch, is_told_of_errors_and_of_the_end_once)
{
	int priv;

	setup();
	rig_turn(&r);
	CU_ASSERT_PTR_NULL(phca_pqp_watched(q, o));
	CU_ASSERT_EQUAL(phca_pqp_watch(q, o, &priv), 0);
	CU_ASSERT_EQUAL(phca_pqp_watch(q, o, &priv), 0);
	CU_ASSERT_PTR_EQUAL(phca_pqp_watched(q, o), &priv);
	CU_ASSERT_TRUE(phca_pqp_ready(q));
	rig_kind(&r, PHCA_PMSG_QP_ERROR, q);
	rig_turn(&r);
	CU_ASSERT_FALSE(phca_pqp_ready(q));
	CU_ASSERT_STRING_EQUAL(s->events, "E");
	rig_kind(&r, PHCA_PMSG_QP_ERROR, q);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), -EBUSY);
	rig_pqp_end(&r, q);
	q = NULL;
	CU_ASSERT_STRING_EQUAL(s->events, "EG");
	teardown();
}

/* A rule leaves while the offload has a request and a child: GONE comes behind both. */
PHCA_TEST(watch, a_rule_that_leaves_waits_for_what_the_offload_has)
{
	struct phca_pqp_rules none = { { NULL } }, before;
	struct phca_pmsg m = { .kind = PHCA_PMSG_RULES };
	int priv;

	setup();
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(phca_pqp_watch(q, o, &priv), 0);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, NULL, 1), 0);
	m.pqp = q;
	m.rules = &none;
	rig_send(&r, &m);
	rig_settle(&r);
	before = none; /* what the HCA puts */
	CU_ASSERT_STRING_EQUAL(s->events, "");
	rig_manual_done(o, SEND, 0, OK);
	rig_settle(&r);
	CU_ASSERT_STRING_EQUAL(s->events, "");
	over(1, OK);
	rig_settle(&r);
	CU_ASSERT_STRING_EQUAL(s->events, "G");
	CU_ASSERT_PTR_NULL(phca_pqp_watched(q, o));
	rig_cq_expect(&cq, 7, OK);
	phca_pqp_rules_put(&before);
	rig_pqp_end(&r, q);
	q = NULL;
	CU_ASSERT_STRING_EQUAL(s->events, "G");
	teardown();
}

/* The place of its request is over, but the driver holds on to it; and it asks again. */
PHCA_TEST(watch, a_rule_that_leaves_waits_for_a_driver_that_is_busy)
{
	struct phca_pqp_rules none = { { NULL } };
	struct phca_pmsg m = { .kind = PHCA_PMSG_RULES };
	int priv;

	setup_with(1000, false, 1024);
	s->cancel = MANUAL_BUSY;
	rig_offload_out(&r, q, 0, 0, &wr[0], 7, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(phca_pqp_watch(q, o, &priv), 0);
	r.now_ns += 2000;
	rig_settle(&r);
	rig_cq_expect(&cq, 7, PHCA_WC_RESP_TIMEOUT_ERR);
	m.pqp = q;
	m.rules = &none;
	rig_send(&r, &m);
	rig_settle(&r);
	CU_ASSERT_STRING_EQUAL(s->events, "");
	CU_ASSERT_EQUAL(phca_pqp_watch(q, o, &r), 0);
	CU_ASSERT_PTR_EQUAL(phca_pqp_watched(q, o), &r);
	rig_manual_done(o, SEND, 0, OK);
	rig_settle(&r);
	CU_ASSERT_STRING_EQUAL(s->events, "G");
	phca_pqp_rules_put(&none);
	teardown();
}

PHCA_TEST(watch, a_peer_is_ready_in_error_and_gone)
{
	struct phca_offload *other;
	struct phca_pqp *peer;
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };

	setup();
	other = rig_manual_ordered(&r, "no peers", 0);
	peer = rig_pqp_rc(&r, 2, 16, &cq2, &o, 1, 0);
	CU_ASSERT_EQUAL(phca_offload_peer_add(other, peer, "p"), -ENOTSUP);
	CU_ASSERT_EQUAL(phca_offload_peer_add(o, peer, "p[0]"), 0);
	CU_ASSERT_STRING_EQUAL(s->peer_name, "p[0]");
	CU_ASSERT_PTR_EQUAL(s->peers[0], peer);
	CU_ASSERT_STRING_EQUAL(s->events, "");
	rig_turn(&r); /* takes ATTACH */
	CU_ASSERT_STRING_EQUAL(s->events, "R");
	rig_kind(&r, PHCA_PMSG_QP_ERROR, peer);
	rig_turn(&r);
	rig_kind(&r, PHCA_PMSG_DETACH, peer); /* a reset */
	rig_settle(&r);
	m.pqp = peer;
	rig_send(&r, &m);
	rig_turn(&r);
	CU_ASSERT_STRING_EQUAL(s->events, "REER");
	CU_ASSERT_PTR_EQUAL(s->event_qp, peer);
	rig_pqp_end(&r, peer);
	CU_ASSERT_STRING_EQUAL(s->events, "REEREG");
	teardown();
}
