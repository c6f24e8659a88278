/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver that does not let go of a request: who destroys its queue pair waits, others do not; of a client that is
 * gone what stays does nothing any more.
 */
#include <errno.h>

#include "rig.h"

static struct phca_offload_req *held;

static int keep_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)o, (void)now_ns;
	held = req;
	return 0;
}

static int keep_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	(void)o, (void)req;
	return -EBUSY;
}

static const struct phca_offload_ops keep_ops = { .name = "keep", .submit = keep_submit, .cancel = keep_cancel };

/* A connected QP with a CQ of its own. */
static struct phca_admin_qp_ans qp_make(struct rig *r, struct peer *p, uint32_t pd, struct phca_qp **qp)
{
	const struct phca_admin_cq_create cc = { .cqe = 32, .channel = PHCA_ADMIN_NONE };
	struct phca_admin_qp_ans a;

	CU_ASSERT_EQUAL(peer_call(p, PHCA_ADMIN_CQ_CREATE, &cc, sizeof(cc)), 0);
	(void)peer_qp(p, pd, p->ans.u.cq.handle);
	a = p->ans.u.qp;
	*qp = r->last.qp;
	CU_ASSERT_EQUAL(peer_to_rts(p, a.handle, a.qpn), 0);
	return a;
}

static void post_nothing(struct peer *p, const struct phca_admin_ring *db, const struct phca_admin_qp_ans *qp)
{
	struct phca_ring sq, bell;

	CU_ASSERT_EQUAL(phca_ring_attach(&sq, p->rings + qp->sq.offset, qp->sq.bytes, PHCA_RING_SQ), 0);
	CU_ASSERT_EQUAL(phca_ring_attach(&bell, p->rings + db->offset, db->bytes, PHCA_RING_DB), 0);
	*(struct phca_send_wqe *)phca_ring_next(&sq) = (struct phca_send_wqe){ .wr_id = 1,
		.opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED };
	phca_ring_publish(&sq);
	phca_db_ring(&bell, &sq, qp->qpn);
}

PHCA_TEST(leaving, its_other_queue_pairs_stop)
{
	struct phca_filter_param param = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 0 };
	struct rig *r = rig_open_proxy();
	struct phca_rule rule = { .name = "all", .send = true };
	struct phca_qp *stuck, *other;
	struct phca_admin_ring db;
	struct phca_admin_qp_ans a;
	struct phca_offload *o;
	uint32_t qpn;
	struct peer p;

	held = NULL;
	peer_open(r, &p);
	db = p.ans.u.hello.db[0];
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	a = qp_make(r, &p, p.ans.u.handle[0], &stuck);
	qpn = qp_make(r, &p, 0, &other).qpn;
	rule.filter = lab_filter(r->lab, "by_size", &param, 1);
	rule.offload = o = lab_offload(r->lab, "o", &keep_ops, NULL, 0, 0);
	CU_ASSERT_EQUAL_FATAL(phca_qp_proxy_attach(stuck, &rule, 1, 0), 0);
	post_nothing(&p, &db, &a);
	lab_turn(r->lab, 20);
	CU_ASSERT_PTR_NOT_NULL_FATAL(held);
	peer_close(&p);
	CU_ASSERT_EQUAL(r->gone, 0);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 1);
	CU_ASSERT_EQUAL(r->qps_gone, 2);
	CU_ASSERT_PTR_NULL(phca_qp_find(r->lab->hca, qpn)); /* the other one is not kept for it */
	phca_offload_done(held, PHCA_WC_SUCCESS);
	lab_turn(r->lab, 20);
	phca_host_destroy(r->host);
	r->host = NULL;
	CU_ASSERT_EQUAL(r->gone, 1);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), 0);
	rig_close(r);
}

/* A client with a queue pair of which a driver holds a request, and another client. */
struct stuck {
	struct rig *r;
	struct peer p, other;
	struct phca_admin_qp_ans qp;
	struct phca_offload *o;
};

static void stuck_open(struct stuck *s)
{
	struct phca_filter_param param = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 0 };
	struct phca_rule rule = { .name = "all", .send = true };
	struct phca_admin_ring db;
	struct phca_qp *qp;

	held = NULL;
	s->r = rig_open_proxy();
	peer_open(s->r, &s->other);
	peer_open(s->r, &s->p);
	db = s->p.ans.u.hello.db[0];
	CU_ASSERT_EQUAL(peer_call(&s->p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	s->qp = qp_make(s->r, &s->p, s->p.ans.u.handle[0], &qp);
	rule.filter = lab_filter(s->r->lab, "by_size", &param, 1);
	rule.offload = s->o = lab_offload(s->r->lab, "o", &keep_ops, NULL, 0, 0);
	CU_ASSERT_EQUAL_FATAL(phca_qp_proxy_attach(qp, &rule, 1, 0), 0);
	post_nothing(&s->p, &db, &s->qp);
	lab_turn(s->r->lab, 20);
	CU_ASSERT_PTR_NOT_NULL_FATAL(held);
}

static void let_go(struct stuck *s)
{
	phca_offload_done(held, PHCA_WC_SUCCESS);
	lab_turn(s->r->lab, 20);
	rig_poll(s->r);
}

static void stuck_close(struct stuck *s)
{
	peer_close(&s->p);
	peer_close(&s->other);
	CU_ASSERT_EQUAL(s->r->gone, 2);
	CU_ASSERT_EQUAL(phca_offload_destroy(s->o), 0);
	rig_close(s->r);
}

/* Whether the first one's request is not answered, and those of the other are. */
static bool only_it_waits(struct stuck *s)
{
	bool ok = true;

	for (unsigned int i = 0; i < 3; i++) {
		ok &= peer_call(&s->other, PHCA_ADMIN_CLOCK, NULL, 0) == 0;
		ok &= peer_answer(&s->p) == -EAGAIN;
	}
	return ok;
}

PHCA_TEST(leaving, others_do_not_wait_for_a_queue_pair_to_be_destroyed)
{
	struct stuck s;
	uint32_t u[2] = { 0, 0 };

	stuck_open(&s);
	u[0] = s.qp.handle;
	peer_ask(&s.p, PHCA_ADMIN_QP_DESTROY, u, sizeof(u));
	CU_ASSERT(only_it_waits(&s));
	peer_ask(&s.p, PHCA_ADMIN_CLOCK, NULL, 0); /* its next one waits for it */
	CU_ASSERT(only_it_waits(&s));
	let_go(&s);
	CU_ASSERT_EQUAL(peer_answer(&s.p), 0);
	CU_ASSERT_EQUAL(s.p.ans.op, PHCA_ADMIN_QP_DESTROY);
	CU_ASSERT_EQUAL(s.p.ans.seq, s.p.seq - 1);
	CU_ASSERT_EQUAL(s.p.ans_len, phca_admin_ans_len(PHCA_ADMIN_QP_DESTROY));
	CU_ASSERT_EQUAL(peer_answer(&s.p), 0);
	CU_ASSERT_EQUAL(s.p.ans.op, PHCA_ADMIN_CLOCK);
	CU_ASSERT_EQUAL(s.r->qps_gone, 1);
	CU_ASSERT_EQUAL(peer_handle(&s.p, PHCA_ADMIN_QP_DESTROY, s.qp.handle), -EINVAL);
	stuck_close(&s);
}

PHCA_TEST(leaving, others_do_not_wait_for_a_reset)
{
	struct stuck s;
	struct phca_admin_qp_modify u;

	stuck_open(&s);
	u = (struct phca_admin_qp_modify){ .handle = s.qp.handle, .mask = 1, .attr = { .state = 0 } };
	peer_ask(&s.p, PHCA_ADMIN_QP_MODIFY, &u, sizeof(u));
	CU_ASSERT(only_it_waits(&s));
	let_go(&s);
	CU_ASSERT_EQUAL(peer_answer(&s.p), 0);
	CU_ASSERT_EQUAL(s.p.ans.op, PHCA_ADMIN_QP_MODIFY);
	CU_ASSERT_EQUAL(s.p.ans.u.attr.state, 0);
	CU_ASSERT_EQUAL(peer_to_rts(&s.p, s.qp.handle, s.qp.qpn), 0);
	stuck_close(&s);
}

PHCA_TEST(leaving, end_of_a_client_that_waits)
{
	struct stuck s;
	uint32_t u[2] = { 0, 0 };

	stuck_open(&s);
	u[0] = s.qp.handle;
	peer_ask(&s.p, PHCA_ADMIN_QP_DESTROY, u, sizeof(u));
	CU_ASSERT(only_it_waits(&s));
	peer_close(&s.p);
	CU_ASSERT_EQUAL(s.r->gone, 0);
	CU_ASSERT_EQUAL(peer_call(&s.other, PHCA_ADMIN_CLOCK, NULL, 0), 0);
	let_go(&s);
	CU_ASSERT_EQUAL(peer_call(&s.other, PHCA_ADMIN_CLOCK, NULL, 0), 0);
	CU_ASSERT_EQUAL(s.r->gone, 1);
	stuck_close(&s);
}
