/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posting work requests: checked, written into the ring, published once a call with
 * one doorbell. No system call, unless an HCA lcore that sleeps has to be woken.
 *
 * Invariant: what was pushed onto a shadow was written to the same index of its
 * ring, while the appliance lives. When it is gone, requests are remembered only:
 * poll.c flushes them, as it does with what the appliance left.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shadow.h"

#define RC (1u << IBV_QPT_RC)
#define UC (1u << IBV_QPT_UC)
#define UD (1u << IBV_QPT_UD)
#define FLAGS_KNOWN (PHCA_SEND_FENCE | PHCA_SEND_SIGNALED | PHCA_SEND_SOLICITED | PHCA_SEND_INLINE)

/* Table 91 of 11.4.1.1: types that take an opcode, whether from our memory, what its completion is. */
static const struct send_op {
	uint8_t types;
	bool inlines; /* data may be inline */
	uint8_t wc;   /* enum ibv_wc_opcode */
} send_ops[] = {
	[IBV_WR_RDMA_WRITE] = { RC | UC, true, IBV_WC_RDMA_WRITE },
	[IBV_WR_RDMA_WRITE_WITH_IMM] = { RC | UC, true, IBV_WC_RDMA_WRITE },
	[IBV_WR_SEND] = { RC | UC | UD, true, IBV_WC_SEND },
	[IBV_WR_SEND_WITH_IMM] = { RC | UC | UD, true, IBV_WC_SEND },
	[IBV_WR_RDMA_READ] = { RC, false, IBV_WC_RDMA_READ },
	[IBV_WR_ATOMIC_CMP_AND_SWP] = { RC, false, IBV_WC_COMP_SWAP },
	[IBV_WR_ATOMIC_FETCH_AND_ADD] = { RC, false, IBV_WC_FETCH_ADD },
	[IBV_WR_LOCAL_INV] = { RC, false, IBV_WC_LOCAL_INV },
	[IBV_WR_BIND_MW] = { RC, false, IBV_WC_BIND_MW },
	[IBV_WR_SEND_WITH_INV] = { RC, true, IBV_WC_SEND },
};

bool vqp_send_op_ok(const struct vqp *qp, unsigned int opcode)
{
	return opcode < sizeof(send_ops) / sizeof(send_ops[0]) && (send_ops[opcode].types >> qp->qp.qp_type & 1);
}

static enum ibv_qp_state state_of(const struct vqp *qp)
{
	return __atomic_load_n(&qp->qp.state, __ATOMIC_RELAXED);
}

/* -------------------------------------------------------------------- sends */

int vqp_send_state(const struct vqp *qp)
{
	enum ibv_qp_state s = state_of(qp);

	return s == IBV_QPS_RESET || s == IBV_QPS_INIT || s == IBV_QPS_RTR ? EINVAL : 0; /* 10.3.1 */
}

int vqp_send_room(struct vqp *qp, bool dead)
{
	struct vshadow *s = &qp->ssh;

	if (shadow_full(s)) {
		/* What poll.c could not tell from completions, the HCA tells: what it has let go of is done. */
		if (dead || !atomic_load_explicit(&s->inexact, memory_order_acquire))
			return ENOMEM;
		return qp->sq.own - __atomic_load_n(&qp->sq.hdr->cons, __ATOMIC_ACQUIRE) >= s->max ? ENOMEM : 0;
	}
	return dead || phca_ring_free(&qp->sq, 1) > 0 ? 0 : ENOMEM;
}

void vqp_send_push(struct vqp *qp, const struct phca_send_wqe *w, bool dead)
{
	shadow_push(&qp->ssh, w->wr_id, send_ops[w->opcode].wc, qp->sig_all || (w->flags & PHCA_SEND_SIGNALED));
	if (!dead)
		qp->sq.own++;
}

void vqp_send_publish(struct vqp *qp)
{
	struct vdb *db = &to_vctx(qp->qp.context)->db[qp->shard];
	const uint64_t one = 1;
	bool sleeps;

	phca_ring_publish(&qp->sq);
	pthread_spin_lock(&db->lock);
	sleeps = phca_db_ring(&db->ring, &qp->sq, qp->qp.qp_num);
	pthread_spin_unlock(&db->lock);
	if (sleeps && write(db->wake_fd, &one, sizeof(one)) < 0)
		verbs_debug("phca: shard %u is not woken", qp->shard);
}

/* @return bytes of the elements */
static uint64_t sge_bytes(const struct ibv_sge *sge, int n)
{
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += sge[i].length;
	return len;
}

/* What can be wrong with a request before it is in the queue (10.8.2.1). @return 0 or EINVAL */
static int send_check(const struct vqp *qp, const struct ibv_send_wr *wr)
{
	if (!vqp_send_op_ok(qp, wr->opcode) || wr->num_sge < 0 || (wr->send_flags & IBV_SEND_IP_CSUM))
		return EINVAL;
	if (wr->opcode == IBV_WR_LOCAL_INV)
		return 0;
	if (wr->opcode == IBV_WR_BIND_MW) {
		const struct ibv_mw_bind_info *b = &wr->bind_mw.bind_info;

		if (wr->bind_mw.mw == NULL || (b->mr == NULL && (b->addr != 0 || b->length != 0)))
			return EINVAL;
		return 0;
	}
	if (wr->send_flags & IBV_SEND_INLINE) {
		if (!send_ops[wr->opcode].inlines || sge_bytes(wr->sg_list, wr->num_sge) > qp->max_inline)
			return EINVAL;
	} else if ((uint32_t)wr->num_sge > qp->max_send_sge) {
		return EINVAL;
	}
	return qp->qp.qp_type == IBV_QPT_UD && wr->wr.ud.ah == NULL ? EINVAL : 0;
}

void vqp_bind_fill(struct phca_send_wqe *w, const struct ibv_mw *mw, uint32_t rkey, const struct ibv_mw_bind_info *b)
{
	w->u.bind.addr = b->addr;
	w->u.bind.length = b->length;
	w->u.bind.rkey = mw->rkey;
	w->u.bind.new_rkey = rkey;
	w->u.bind.lkey = b->mr != NULL ? b->mr->lkey : 0;
	w->u.bind.access = b->mw_access_flags;
}

/* The part that depends on opcode and type. */
static void send_fill_op(struct phca_send_wqe *w, const struct vqp *qp, const struct ibv_send_wr *wr)
{
	if (qp->qp.qp_type == IBV_QPT_UD) {
		w->u.ud.av = to_vah(wr->wr.ud.ah)->av;
		w->u.ud.remote_qpn = wr->wr.ud.remote_qpn;
		w->u.ud.remote_qkey = wr->wr.ud.remote_qkey;
		return;
	}
	switch (wr->opcode) {
	case IBV_WR_RDMA_WRITE:
	case IBV_WR_RDMA_WRITE_WITH_IMM:
	case IBV_WR_RDMA_READ:
		w->u.rdma.remote_addr = wr->wr.rdma.remote_addr;
		w->u.rdma.rkey = wr->wr.rdma.rkey;
		break;
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		w->u.atomic.remote_addr = wr->wr.atomic.remote_addr;
		w->u.atomic.compare_add = wr->wr.atomic.compare_add;
		w->u.atomic.swap = wr->wr.atomic.swap;
		w->u.atomic.rkey = wr->wr.atomic.rkey;
		break;
	case IBV_WR_BIND_MW:
		vqp_bind_fill(w, wr->bind_mw.mw, wr->bind_mw.rkey, &wr->bind_mw.bind_info);
		break;
	default:
		break;
	}
}

static void data_fill(struct phca_send_wqe *w, const struct ibv_send_wr *wr)
{
	uint8_t *to = (uint8_t *)(w + 1);

	w->num_sge = 0;
	w->inline_len = 0;
	if (wr->opcode == IBV_WR_LOCAL_INV || wr->opcode == IBV_WR_BIND_MW) {
		w->flags &= (uint16_t)~PHCA_SEND_INLINE;
	} else if (wr->send_flags & IBV_SEND_INLINE) {
		for (int i = 0; i < wr->num_sge; i++) {
			const struct ibv_sge *sge = &wr->sg_list[i];

			if (sge->length > 0)
				memcpy(to + w->inline_len, (const void *)(uintptr_t)sge->addr, sge->length);
			w->inline_len += sge->length;
		}
	} else if (wr->num_sge > 0) {
		_Static_assert(sizeof(struct ibv_sge) == sizeof(struct phca_sge), "the same layout");
		w->num_sge = (uint32_t)wr->num_sge;
		memcpy(to, wr->sg_list, (size_t)wr->num_sge * sizeof(struct phca_sge));
	}
}

static void send_fill(struct phca_send_wqe *w, const struct vqp *qp, const struct ibv_send_wr *wr)
{
	w->wr_id = wr->wr_id;
	w->opcode = (uint8_t)wr->opcode;
	w->rsvd0 = 0;
	w->flags = (uint16_t)(wr->send_flags & FLAGS_KNOWN);
	w->imm = wr->imm_data; /* or the key to invalidate */
	send_fill_op(w, qp, wr);
	data_fill(w, wr);
}

int vqp_post_send(struct ibv_qp *ibqp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct vqp *qp = to_vqp(ibqp);
	unsigned int n = 0;
	int err = vqp_send_state(qp);
	bool dead;

	if (err != 0) {
		*bad = wr;
		return err;
	}
	pthread_spin_lock(&qp->sq_lock);
	dead = vctx_dead(to_vctx(ibqp->context));
	for (; wr != NULL; wr = wr->next, n++) {
		struct phca_send_wqe *w = phca_ring_slot(&qp->sq, qp->sq.own);

		err = send_check(qp, wr);
		if (err == 0)
			err = vqp_send_room(qp, dead);
		if (err != 0) {
			*bad = wr;
			break;
		}
		send_fill(w, qp, wr);
		vqp_send_push(qp, w, dead);
	}
	if (n > 0 && !dead)
		vqp_send_publish(qp);
	pthread_spin_unlock(&qp->sq_lock);
	return err;
}

int vqp_bind_mw(struct ibv_qp *ibqp, struct ibv_mw *mw, struct ibv_mw_bind *bind)
{
	struct ibv_send_wr *bad, wr = {
		.wr_id = bind->wr_id,
		.opcode = IBV_WR_BIND_MW,
		.send_flags = bind->send_flags,
	};
	int err;

	if (mw->pd != ibqp->pd)
		return EPERM;
	if (bind->bind_info.mw_access_flags & IBV_ACCESS_ZERO_BASED) /* windows of type 1 are not */
		return EINVAL;
	wr.bind_mw.mw = mw;
	wr.bind_mw.rkey = ibv_inc_rkey(mw->rkey);
	wr.bind_mw.bind_info = bind->bind_info;
	err = vqp_post_send(ibqp, &wr, &bad);
	if (err == 0)
		mw->rkey = wr.bind_mw.rkey;
	return err;
}

/* ----------------------------------------------------------------- receives */

static void recv_fill(struct phca_recv_wqe *w, const struct ibv_recv_wr *wr)
{
	w->wr_id = wr->wr_id;
	w->num_sge = (uint32_t)wr->num_sge;
	w->rsvd = 0;
	if (wr->num_sge > 0)
		memcpy(phca_recv_sge(w), wr->sg_list, (size_t)wr->num_sge * sizeof(struct phca_sge));
}

int vqp_post_recv(struct ibv_qp *ibqp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct vqp *qp = to_vqp(ibqp);
	int err = 0;
	bool dead;

	if (qp->rq.hdr == NULL || state_of(qp) == IBV_QPS_RESET) { /* with an SRQ there is none to post to */
		*bad = wr;
		return EINVAL;
	}
	pthread_spin_lock(&qp->rq_lock);
	dead = vctx_dead(to_vctx(ibqp->context));
	for (; wr != NULL; wr = wr->next) {
		if (wr->num_sge < 0 || (uint32_t)wr->num_sge > qp->max_recv_sge)
			err = EINVAL;
		else if (shadow_full(&qp->rsh) || (!dead && phca_ring_free(&qp->rq, 1) == 0))
			err = ENOMEM;
		if (err != 0) {
			*bad = wr;
			break;
		}
		shadow_push(&qp->rsh, wr->wr_id, IBV_WC_RECV, true);
		if (!dead)
			recv_fill(phca_ring_next(&qp->rq), wr);
	}
	if (!dead)
		phca_ring_publish(&qp->rq);
	pthread_spin_unlock(&qp->rq_lock);
	return err;
}

/* An SRQ's requests belong to no QP before one takes them, nobody flushes them. */
int vsrq_post_recv(struct ibv_srq *ibsrq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct vsrq *srq = to_vsrq(ibsrq);
	struct phca_ring *r = &srq->ring;
	uint32_t spare = phca_ring_size(r) > srq->max_wr ? phca_ring_size(r) - srq->max_wr : 0;
	int err = 0;

	pthread_spin_lock(&srq->lock);
	for (; wr != NULL; wr = wr->next) {
		if (wr->num_sge < 0 || (uint32_t)wr->num_sge > srq->max_sge)
			err = EINVAL;
		else if (phca_ring_free(r, spare + 1) <= spare)
			err = ENOMEM;
		if (err != 0) {
			*bad = wr;
			break;
		}
		recv_fill(phca_ring_next(r), wr);
	}
	phca_ring_publish(r);
	pthread_spin_unlock(&srq->lock);
	return err;
}
