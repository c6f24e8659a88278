/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests built call by call: each is what ibv_post_send would have made of it; a
 * session is posted whole or not at all.
 */
#include "verbs_fixture.h"

#define QPN 0x31u
#define OPS_RC 0x3ffu /* IBV_QP_EX_WITH_RDMA_WRITE ... SEND_WITH_INV */
#define OPS_UD (IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM)

static struct fix *f;
static struct fix_cq *cq;
static struct fix_qp *qp;
static struct ibv_qp_ex *ex;

static void open_type(enum ibv_qp_type type, uint64_t ops)
{
	f = fix_open();
	cq = fix_cq(f, 1, 64);
	qp = fix_qp(f, QPN, type, cq, cq, 8);
	ex = &qp->v.qp_ex;
	CU_ASSERT_EQUAL_FATAL(vqp_set_wr_ops(&qp->v, ops), 0);
}

static void shut(void)
{
	fix_qp_free(f, qp);
	fix_cq_free(f, cq);
	fix_close(f);
}

static void start(uint64_t wr_id, unsigned int flags)
{
	ibv_wr_start(ex);
	ex->wr_id = wr_id;
	ex->wr_flags = flags;
}

/* Complete a session of one request, and get it as the HCA. */
static struct phca_send_wqe *posted(unsigned int opcode)
{
	struct phca_send_wqe *w;

	CU_ASSERT_EQUAL(hca_doorbell(f, qp), 0);
	CU_ASSERT_PTR_NULL(hca_send(qp));
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), 0);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), QPN);
	w = hca_send(qp);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	CU_ASSERT_PTR_NULL(hca_send(qp));
	CU_ASSERT_EQUAL(w->wr_id, ex->wr_id);
	CU_ASSERT_EQUAL(w->flags & ~PHCA_SEND_INLINE, ex->wr_flags);
	CU_ASSERT_EQUAL(w->opcode, opcode);
	CU_ASSERT_EQUAL(w->rsvd0, 0);
	return w;
}

static void one_sge(struct phca_send_wqe *w)
{
	CU_ASSERT_EQUAL(w->num_sge, 1);
	CU_ASSERT_EQUAL(phca_send_sge(w)->addr, 0x7000);
	CU_ASSERT_EQUAL(phca_send_sge(w)->length, 70);
	CU_ASSERT_EQUAL(phca_send_sge(w)->lkey, 7);
}

PHCA_TEST(wr, sends)
{
	const struct ibv_sge list[] = { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } };
	struct phca_send_wqe *w;

	open_type(IBV_QPT_RC, OPS_RC);
	start(1, IBV_SEND_SIGNALED | IBV_SEND_FENCE);
	ibv_wr_send(ex);
	ibv_wr_set_sge(ex, 7, 0x7000, 70);
	one_sge(posted(IBV_WR_SEND));
	start(2, IBV_SEND_SOLICITED);
	ibv_wr_send_imm(ex, htobe32(9));
	ibv_wr_set_sge_list(ex, 3, list);
	w = posted(IBV_WR_SEND_WITH_IMM);
	CU_ASSERT_EQUAL(w->imm, htobe32(9));
	CU_ASSERT_EQUAL(w->num_sge, 3);
	CU_ASSERT_EQUAL(memcmp(phca_send_sge(w), list, sizeof(list)), 0);
	start(3, 0);
	ibv_wr_send_inv(ex, 0x901);
	w = posted(IBV_WR_SEND_WITH_INV);
	CU_ASSERT_EQUAL(w->imm, 0x901);
	CU_ASSERT_EQUAL(w->num_sge, 0);
	shut();
}

PHCA_TEST(wr, remote_memory)
{
	struct phca_send_wqe *w;

	open_type(IBV_QPT_RC, OPS_RC);
	for (unsigned int i = 0; i < 3; i++) {
		start(i, IBV_SEND_SIGNALED);
		if (i == 0)
			ibv_wr_rdma_write(ex, 0x66, 0xabcdef000);
		else if (i == 1)
			ibv_wr_rdma_write_imm(ex, 0x66, 0xabcdef000, 5);
		else
			ibv_wr_rdma_read(ex, 0x66, 0xabcdef000);
		ibv_wr_set_sge(ex, 7, 0x7000, 70);
		w = posted(i == 0 ? IBV_WR_RDMA_WRITE : i == 1 ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_READ);
		CU_ASSERT_EQUAL(w->u.rdma.remote_addr, 0xabcdef000);
		CU_ASSERT_EQUAL(w->u.rdma.rkey, 0x66);
		CU_ASSERT_EQUAL(w->imm, i == 1 ? 5 : 0);
		one_sge(w);
	}
	start(4, 0);
	ibv_wr_atomic_cmp_swp(ex, 0x67, 0x8000, 11, 12);
	ibv_wr_set_sge(ex, 7, 0x7000, 70);
	w = posted(IBV_WR_ATOMIC_CMP_AND_SWP);
	CU_ASSERT_EQUAL(w->u.atomic.remote_addr, 0x8000);
	CU_ASSERT_EQUAL(w->u.atomic.compare_add, 11);
	CU_ASSERT_EQUAL(w->u.atomic.swap, 12);
	CU_ASSERT_EQUAL(w->u.atomic.rkey, 0x67);
	one_sge(w);
	start(5, 0);
	ibv_wr_atomic_fetch_add(ex, 0x67, 0x8000, 13);
	ibv_wr_set_sge(ex, 7, 0x7000, 70);
	CU_ASSERT_EQUAL(posted(IBV_WR_ATOMIC_FETCH_AND_ADD)->u.atomic.compare_add, 13);
	shut();
}

PHCA_TEST(wr, windows)
{
	struct ibv_mr mr = { .lkey = 0x55 };
	struct ibv_mw mw = { .rkey = 0x1ff };
	const struct ibv_mw_bind_info info = { &mr, 0x9000, 64, IBV_ACCESS_REMOTE_WRITE };
	const struct ibv_mw_bind_info none = { NULL, 0x9000, 64, 0 };
	struct phca_send_wqe *w;

	open_type(IBV_QPT_RC, OPS_RC);
	start(1, IBV_SEND_SIGNALED);
	ibv_wr_bind_mw(ex, &mw, 0x1aa, &info);
	ibv_wr_set_sge(ex, 7, 0x7000, 70); /* of no request */
	w = posted(IBV_WR_BIND_MW);
	CU_ASSERT_EQUAL(w->u.bind.addr, 0x9000);
	CU_ASSERT_EQUAL(w->u.bind.length, 64);
	CU_ASSERT_EQUAL(w->u.bind.rkey, 0x1ff);
	CU_ASSERT_EQUAL(w->u.bind.new_rkey, 0x1aa);
	CU_ASSERT_EQUAL(w->u.bind.lkey, 0x55);
	CU_ASSERT_EQUAL(w->u.bind.access, IBV_ACCESS_REMOTE_WRITE);
	CU_ASSERT_EQUAL(w->num_sge, 0);
	start(2, IBV_SEND_SIGNALED);
	ibv_wr_local_inv(ex, 0x1aa);
	CU_ASSERT_EQUAL(posted(IBV_WR_LOCAL_INV)->imm, 0x1aa);
	start(3, 0);
	ibv_wr_bind_mw(ex, &mw, 0x1aa, &none);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), EINVAL);
	shut();
}

PHCA_TEST(wr, datagrams)
{
	struct vah ah = { .av = { .dgid = { 9, 8, 7 }, .sgid_index = 2 } };
	struct phca_send_wqe *w;

	open_type(IBV_QPT_UD, OPS_UD);
	start(1, IBV_SEND_SIGNALED);
	ibv_wr_send_imm(ex, 3);
	ibv_wr_set_ud_addr(ex, &ah.ah, 0x123456, 0x22222222);
	ibv_wr_set_sge(ex, 7, 0x7000, 70);
	w = posted(IBV_WR_SEND_WITH_IMM);
	CU_ASSERT_EQUAL(memcmp(&w->u.ud.av, &ah.av, sizeof(ah.av)), 0);
	CU_ASSERT_EQUAL(w->u.ud.remote_qpn, 0x123456);
	CU_ASSERT_EQUAL(w->u.ud.remote_qkey, 0x22222222);
	one_sge(w);
	start(2, 0);
	ibv_wr_send(ex);
	ibv_wr_set_ud_addr(ex, NULL, 1, 1);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), EINVAL);
	shut();
}

PHCA_TEST(wr, inline_data)
{
	char a[MAX_INLINE + 1] = "abcdefgh";
	const struct ibv_data_buf list[] = { { a, 3 }, { NULL, 0 }, { a + 6, 2 } };
	const struct ibv_data_buf wraps[] = { { a, 3 }, { a, SIZE_MAX } };
	struct phca_send_wqe *w;

	open_type(IBV_QPT_RC, OPS_RC);
	start(1, 0);
	ibv_wr_rdma_write(ex, 1, 2);
	ibv_wr_set_inline_data_list(ex, 3, list);
	w = posted(IBV_WR_RDMA_WRITE);
	CU_ASSERT_EQUAL(w->flags, PHCA_SEND_INLINE);
	CU_ASSERT_EQUAL(w->inline_len, 5);
	CU_ASSERT_EQUAL(memcmp(w + 1, "abcgh", 5), 0);
	start(2, 0);
	ibv_wr_send(ex);
	ibv_wr_set_inline_data(ex, a, MAX_INLINE);
	CU_ASSERT_EQUAL(posted(IBV_WR_SEND)->inline_len, MAX_INLINE);
	start(3, 0);
	ibv_wr_send(ex);
	ibv_wr_set_inline_data(ex, a, MAX_INLINE + 1);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), EINVAL);
	start(4, 0);
	ibv_wr_send(ex);
	ibv_wr_set_inline_data_list(ex, 2, wraps);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), EINVAL);
	start(5, 0);
	ibv_wr_rdma_read(ex, 1, 2);
	ibv_wr_set_inline_data(ex, a, 1);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), EINVAL);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), 0);
	shut();
}

PHCA_TEST(wr, session_is_posted_whole_or_not)
{
	static struct ibv_sge too_many[MAX_SGE + 1];
	struct ibv_wc wc[8];

	open_type(IBV_QPT_RC, OPS_RC);
	fix_ring_at(&qp->v.sq, &qp->sq, UINT32_MAX - 2);
	start(1, IBV_SEND_SIGNALED);
	for (unsigned int i = 0; i < 5; i++) {
		ex->wr_id = i;
		ibv_wr_send(ex);
		ibv_wr_set_sge(ex, 7, 0x7000, 70);
	}
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), 0);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), QPN);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), 0);
	start(10, 0); /* the fourth is one too many */
	for (unsigned int i = 0; i < 4; i++)
		ibv_wr_send(ex);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), ENOMEM);
	start(20, 0);
	ibv_wr_send(ex);
	ibv_wr_set_sge_list(ex, MAX_SGE + 1, too_many);
	ibv_wr_send(ex);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), EINVAL);
	start(30, 0);
	ibv_wr_send(ex);
	ibv_wr_abort(ex);
	start(40, 0);
	CU_ASSERT_EQUAL(ibv_wr_complete(ex), 0); /* of nothing */
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), 0);
	for (unsigned int i = 0; i < 5; i++) {
		struct phca_send_wqe *w = hca_send(qp);

		CU_ASSERT_PTR_NOT_NULL_FATAL(w);
		CU_ASSERT_EQUAL(w->wr_id, i);
		one_sge(w);
		hca_cqe(cq, QPN, w->wr_id, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	}
	CU_ASSERT_PTR_NULL(hca_send(qp));
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 8, wc), 5);
	CU_ASSERT_EQUAL(qp->v.ssh.head, atomic_load(&qp->v.ssh.tail));
	shut();
}

PHCA_TEST(wr, states)
{
	open_type(IBV_QPT_RC, OPS_RC);
	for (unsigned int s = IBV_QPS_RESET; s <= IBV_QPS_ERR; s++) {
		qp->v.qp.state = s;
		start(s, 0);
		ibv_wr_send(ex);
		CU_ASSERT_EQUAL(ibv_wr_complete(ex), s < IBV_QPS_RTS ? EINVAL : 0);
	}
	shut();
}

PHCA_TEST(wr, dead_appliance_flushes)
{
	struct ibv_wc wc[8];

	open_type(IBV_QPT_RC, OPS_RC);
	atomic_store(&f->ctx.dead, true);
	for (unsigned int round = 0; round < 8; round++) {
		start(round, 0);
		ibv_wr_send(ex);
		ibv_wr_set_sge(ex, 7, 0x7000, 70);
		/* the thread may poll in between; what is not posted is not flushed */
		CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 8, wc), 0);
		ex->wr_id = 100 + round;
		ibv_wr_rdma_read(ex, 1, 2);
		CU_ASSERT_EQUAL(ibv_wr_complete(ex), 0);
		CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 8, wc), 2);
		CU_ASSERT_EQUAL(wc[0].wr_id, round);
		CU_ASSERT_EQUAL(wc[0].opcode, IBV_WC_SEND);
		CU_ASSERT_EQUAL(wc[1].wr_id, 100 + round);
		CU_ASSERT_EQUAL(wc[1].opcode, IBV_WC_RDMA_READ);
		CU_ASSERT_EQUAL(wc[1].status, IBV_WC_WR_FLUSH_ERR);
	}
	shut();
}

PHCA_TEST(wr, only_what_was_asked_for)
{
	open_type(IBV_QPT_UC, IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_RDMA_WRITE);
	CU_ASSERT_PTR_NOT_NULL(ex->wr_send);
	CU_ASSERT_PTR_NOT_NULL(ex->wr_rdma_write);
	CU_ASSERT_PTR_NULL(ex->wr_send_imm);
	CU_ASSERT_PTR_NULL(ex->wr_rdma_read);
	CU_ASSERT_PTR_NULL(ex->wr_set_ud_addr);
	CU_ASSERT_EQUAL(vqp_set_wr_ops(&qp->v, IBV_QP_EX_WITH_RDMA_READ), EOPNOTSUPP);
	CU_ASSERT_EQUAL(vqp_set_wr_ops(&qp->v, IBV_QP_EX_WITH_TSO), EOPNOTSUPP);
	CU_ASSERT_EQUAL(vqp_set_wr_ops(&qp->v, IBV_QP_EX_WITH_ATOMIC_WRITE), EOPNOTSUPP);
	CU_ASSERT_EQUAL(vqp_set_wr_ops(&qp->v, 1ull << 40), EOPNOTSUPP);
	shut();
	open_type(IBV_QPT_UD, OPS_UD);
	CU_ASSERT_PTR_NOT_NULL(ex->wr_set_ud_addr);
	CU_ASSERT_EQUAL(vqp_set_wr_ops(&qp->v, IBV_QP_EX_WITH_RDMA_WRITE), EOPNOTSUPP);
	shut();
}
