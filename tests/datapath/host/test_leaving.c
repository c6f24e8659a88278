/* SPDX-License-Identifier: BSD-3-Clause */
/* A client that is gone while a driver holds a request of it: what stays does nothing any more. */
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
	struct phca_qp_attr now;
	struct phca_offload *o;
	struct peer p;

	held = NULL;
	peer_open(r, &p);
	db = p.ans.u.hello.db[0];
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	a = qp_make(r, &p, p.ans.u.handle[0], &stuck);
	(void)qp_make(r, &p, 0, &other);
	rule.filter = lab_filter(r->lab, "by_size", &param, 1);
	rule.offload = o = lab_offload(r->lab, "o", &keep_ops, NULL, 0, 0);
	CU_ASSERT_EQUAL_FATAL(phca_qp_proxy_attach(stuck, &rule, 1, 0), 0);
	post_nothing(&p, &db, &a);
	lab_turn(r->lab, 20);
	CU_ASSERT_PTR_NOT_NULL_FATAL(held);
	peer_close(&p);
	CU_ASSERT_EQUAL(r->gone, 0);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 1);
	CU_ASSERT_EQUAL(phca_qp_query(other, &now), 0);
	CU_ASSERT_EQUAL(now.state, PHCA_QPS_ERR);
	phca_offload_done(held, PHCA_WC_SUCCESS);
	lab_turn(r->lab, 20);
	phca_host_destroy(r->host);
	r->host = NULL;
	CU_ASSERT_EQUAL(r->gone, 1);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), 0);
	rig_close(r);
}
