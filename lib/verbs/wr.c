/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Building work requests call by call (ibv_wr_start, ibv_wr_send, ..., ibv_wr_complete).
 * Each is built where it will lie in the ring.
 *
 * Invariant: from ibv_wr_start to ibv_wr_complete or ibv_wr_abort this thread holds the
 * send queue, and nothing of the session is published; when anything in it was refused,
 * all of it is taken back.
 */
#include <errno.h>
#include <string.h>

#include "shadow.h"

#define FLAGS_KNOWN (PHCA_SEND_FENCE | PHCA_SEND_SIGNALED | PHCA_SEND_SOLICITED)

static void refuse(struct vqp *qp, int err)
{
	if (qp->wr_err == 0)
		qp->wr_err = err;
	qp->wqe = NULL;
}

/* A new request, without data yet. @return NULL: refused */
static struct phca_send_wqe *begin(struct ibv_qp_ex *ex, unsigned int opcode)
{
	struct vqp *qp = ex_to_vqp(ex);
	struct phca_send_wqe *w = phca_ring_slot(&qp->sq, qp->sq.own);

	if (qp->wr_err == 0)
		qp->wr_err = vqp_send_room(qp, qp->wr_dead);
	if (qp->wr_err != 0) {
		qp->wqe = NULL;
		return NULL;
	}
	memset(w, 0, sizeof(*w));
	w->wr_id = ex->wr_id;
	w->opcode = (uint8_t)opcode;
	w->flags = (uint16_t)(ex->wr_flags & FLAGS_KNOWN);
	vqp_send_push(qp, w, qp->wr_dead);
	qp->wqe = w;
	return w;
}

/* ---------------------------------------------------------------- opcodes */

static void wr_send(struct ibv_qp_ex *ex)
{
	begin(ex, IBV_WR_SEND);
}

static void wr_send_imm(struct ibv_qp_ex *ex, __be32 imm)
{
	struct phca_send_wqe *w = begin(ex, IBV_WR_SEND_WITH_IMM);

	if (w != NULL)
		w->imm = imm;
}

static void wr_send_inv(struct ibv_qp_ex *ex, uint32_t rkey)
{
	struct phca_send_wqe *w = begin(ex, IBV_WR_SEND_WITH_INV);

	if (w != NULL)
		w->imm = rkey;
}

static struct phca_send_wqe *rdma(struct ibv_qp_ex *ex, unsigned int opcode, uint32_t rkey, uint64_t addr)
{
	struct phca_send_wqe *w = begin(ex, opcode);

	if (w != NULL) {
		w->u.rdma.remote_addr = addr;
		w->u.rdma.rkey = rkey;
	}
	return w;
}

static void wr_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	rdma(ex, IBV_WR_RDMA_READ, rkey, addr);
}

static void wr_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	rdma(ex, IBV_WR_RDMA_WRITE, rkey, addr);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, __be32 imm)
{
	struct phca_send_wqe *w = rdma(ex, IBV_WR_RDMA_WRITE_WITH_IMM, rkey, addr);

	if (w != NULL)
		w->imm = imm;
}

static void atomic(struct ibv_qp_ex *ex, unsigned int opcode, uint32_t rkey, uint64_t addr, uint64_t compare_add,
		uint64_t swap)
{
	struct phca_send_wqe *w = begin(ex, opcode);

	if (w != NULL) {
		w->u.atomic.remote_addr = addr;
		w->u.atomic.compare_add = compare_add;
		w->u.atomic.swap = swap;
		w->u.atomic.rkey = rkey;
	}
}

static void wr_atomic_cmp_swp(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, uint64_t compare, uint64_t swap)
{
	atomic(ex, IBV_WR_ATOMIC_CMP_AND_SWP, rkey, addr, compare, swap);
}

static void wr_atomic_fetch_add(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, uint64_t add)
{
	atomic(ex, IBV_WR_ATOMIC_FETCH_AND_ADD, rkey, addr, add, 0);
}

static void wr_local_inv(struct ibv_qp_ex *ex, uint32_t rkey)
{
	struct phca_send_wqe *w = begin(ex, IBV_WR_LOCAL_INV);

	if (w != NULL)
		w->imm = rkey;
	ex_to_vqp(ex)->wqe = NULL; /* it has no data */
}

static void wr_bind_mw(struct ibv_qp_ex *ex, struct ibv_mw *mw, uint32_t rkey, const struct ibv_mw_bind_info *info)
{
	struct phca_send_wqe *w;

	if (mw == NULL || (info->mr == NULL && (info->addr != 0 || info->length != 0))) {
		refuse(ex_to_vqp(ex), EINVAL);
		return;
	}
	w = begin(ex, IBV_WR_BIND_MW);
	if (w != NULL)
		vqp_bind_fill(w, mw, rkey, info);
	ex_to_vqp(ex)->wqe = NULL;
}

/* -------------------------------------------------------- address and data */

static void wr_set_ud_addr(struct ibv_qp_ex *ex, struct ibv_ah *ah, uint32_t qpn, uint32_t qkey)
{
	struct vqp *qp = ex_to_vqp(ex);
	struct phca_send_wqe *w = qp->wqe;

	if (ah == NULL) {
		refuse(qp, EINVAL);
	} else if (w != NULL) {
		w->u.ud.av = to_vah(ah)->av;
		w->u.ud.remote_qpn = qpn;
		w->u.ud.remote_qkey = qkey;
	}
}

static void wr_set_sge_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_sge *sge)
{
	struct vqp *qp = ex_to_vqp(ex);

	if (n > qp->max_send_sge)
		refuse(qp, EINVAL);
	if (qp->wqe == NULL)
		return;
	qp->wqe->num_sge = (uint32_t)n;
	if (n > 0)
		memcpy(phca_send_sge(qp->wqe), sge, n * sizeof(*sge));
}

static void wr_set_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t addr, uint32_t length)
{
	const struct ibv_sge sge = { .addr = addr, .length = length, .lkey = lkey };

	wr_set_sge_list(ex, 1, &sge);
}

static bool takes_inline(const struct phca_send_wqe *w)
{
	return w->opcode != IBV_WR_RDMA_READ && w->opcode != IBV_WR_ATOMIC_CMP_AND_SWP &&
		w->opcode != IBV_WR_ATOMIC_FETCH_AND_ADD;
}

static void wr_set_inline_data_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_data_buf *buf)
{
	struct vqp *qp = ex_to_vqp(ex);
	struct phca_send_wqe *w = qp->wqe;
	size_t len = 0;

	if (w == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		if (buf[i].length > qp->max_inline - len) {
			refuse(qp, EINVAL);
			return;
		}
		if (buf[i].length > 0)
			memcpy((uint8_t *)(w + 1) + len, buf[i].addr, buf[i].length);
		len += buf[i].length;
	}
	if (!takes_inline(w)) {
		refuse(qp, EINVAL);
		return;
	}
	w->flags |= PHCA_SEND_INLINE;
	w->inline_len = (uint32_t)len;
}

static void wr_set_inline_data(struct ibv_qp_ex *ex, void *addr, size_t length)
{
	const struct ibv_data_buf buf = { .addr = addr, .length = length };

	wr_set_inline_data_list(ex, 1, &buf);
}

/* ---------------------------------------------------------------- sessions */

static void wr_start(struct ibv_qp_ex *ex)
{
	struct vqp *qp = ex_to_vqp(ex);

	pthread_spin_lock(&qp->sq_lock);
	qp->wr_dead = vctx_dead(to_vctx(qp->qp.context));
	qp->wr_first = qp->sq.own;
	qp->wr_shead = qp->ssh.head;
	qp->wr_err = vqp_send_state(qp);
	qp->wqe = NULL;
}

static void take_back(struct vqp *qp)
{
	qp->sq.own = qp->wr_first;
	__atomic_store_n(&qp->ssh.head, qp->wr_shead, __ATOMIC_RELEASE);
}

static int wr_complete(struct ibv_qp_ex *ex)
{
	struct vqp *qp = ex_to_vqp(ex);
	int err = qp->wr_err;

	if (err != 0)
		take_back(qp);
	else if (qp->sq.own != qp->wr_first)
		vqp_send_publish(qp);
	qp->wqe = NULL;
	pthread_spin_unlock(&qp->sq_lock);
	return err;
}

static void wr_abort(struct ibv_qp_ex *ex)
{
	struct vqp *qp = ex_to_vqp(ex);

	take_back(qp);
	qp->wqe = NULL;
	pthread_spin_unlock(&qp->sq_lock);
}

int vqp_set_wr_ops(struct vqp *qp, uint64_t flags)
{
	struct ibv_qp_ex *ex = &qp->qp_ex;
	uint64_t left = flags;

#define SET(flag, what) do { \
	if ((flags & IBV_QP_EX_WITH_##flag) && vqp_send_op_ok(qp, IBV_WR_##flag)) { \
		ex->what = what; \
		left &= ~(uint64_t)IBV_QP_EX_WITH_##flag; \
	} \
} while (0)
	SET(RDMA_WRITE, wr_rdma_write);
	SET(RDMA_WRITE_WITH_IMM, wr_rdma_write_imm);
	SET(SEND, wr_send);
	SET(SEND_WITH_IMM, wr_send_imm);
	SET(RDMA_READ, wr_rdma_read);
	SET(ATOMIC_CMP_AND_SWP, wr_atomic_cmp_swp);
	SET(ATOMIC_FETCH_AND_ADD, wr_atomic_fetch_add);
	SET(LOCAL_INV, wr_local_inv);
	SET(BIND_MW, wr_bind_mw);
	SET(SEND_WITH_INV, wr_send_inv);
#undef SET
	if (left != 0)
		return EOPNOTSUPP;
	if (qp->qp.qp_type == IBV_QPT_UD)
		ex->wr_set_ud_addr = wr_set_ud_addr;
	ex->wr_set_sge = wr_set_sge;
	ex->wr_set_sge_list = wr_set_sge_list;
	ex->wr_set_inline_data = wr_set_inline_data;
	ex->wr_set_inline_data_list = wr_set_inline_data_list;
	ex->wr_start = wr_start;
	ex->wr_complete = wr_complete;
	ex->wr_abort = wr_abort;
	return 0;
}
