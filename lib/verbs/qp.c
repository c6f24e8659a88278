/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs: made and destroyed. What moves them between states is in qp_attr.c.
 *
 * Invariant: a QP is in the table of numbers from before its first completion can come
 * until, under the locks of its CQs, its last one was dropped.
 */
#include <string.h>
#include <unistd.h>

#include "control.h"

#define QP_EX_MASK (IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS | IBV_QP_INIT_ATTR_CREATE_FLAGS)

/* ---------------------------------------------------------------------- create */

static int shadow_init(struct vshadow *s, uint32_t max)
{
	uint32_t size = 1;

	while (size < max)
		size <<= 1;
	s->wr = calloc(size, sizeof(*s->wr));
	s->mask = size - 1;
	s->max = max;
	return s->wr == NULL ? -ENOMEM : 0;
}

static int ask(struct vctx *ctx, const struct ibv_pd *pd, const struct ibv_qp_init_attr *a,
	struct phca_admin_ans *ans)
{
	struct phca_admin_req req;

	admin_req(&req, PHCA_ADMIN_QP_CREATE);
	req.u.qp_create = (struct phca_admin_qp_create){ .type = a->qp_type, .pd = pd->handle,
		.send_cq = a->send_cq->handle, .recv_cq = a->recv_cq->handle,
		.srq = a->srq == NULL ? PHCA_ADMIN_NONE : a->srq->handle,
		.max_send_wr = a->cap.max_send_wr, .max_send_sge = a->cap.max_send_sge,
		.max_recv_wr = a->srq == NULL ? a->cap.max_recv_wr : 0,
		.max_recv_sge = a->srq == NULL ? a->cap.max_recv_sge : 0,
		.max_inline = a->cap.max_inline_data, .sq_sig_all = a->sq_sig_all != 0 };
	return admin_call(ctx, &req, ans);
}

static void qp_fields(struct vqp *qp, struct ibv_pd *pd, const struct ibv_qp_init_attr *a,
	const struct phca_admin_qp_ans *q)
{
	struct ibv_qp *p = &qp->qp;

	p->context = pd->context;
	p->qp_context = a->qp_context;
	p->pd = pd;
	p->send_cq = a->send_cq;
	p->recv_cq = a->recv_cq;
	p->srq = a->srq;
	p->handle = q->handle;
	p->qp_num = q->qpn;
	p->state = IBV_QPS_RESET;
	p->qp_type = a->qp_type;
	qp->sig_all = a->sq_sig_all != 0;
	qp->shard = q->shard;
	qp->max_send_sge = q->max_send_sge;
	qp->max_recv_sge = q->max_recv_sge;
	qp->max_inline = q->max_inline;
	qp->init = *a;
	qp->init.cap = (struct ibv_qp_cap){ .max_send_wr = q->max_send_wr, .max_recv_wr = q->max_recv_wr,
		.max_send_sge = q->max_send_sge, .max_recv_sge = q->max_recv_sge,
		.max_inline_data = q->max_inline };
}

/* Rings and shadows. @return 0 or negative errno; the caller frees what was made */
static int qp_queues(struct vctx *ctx, struct vqp *qp, const struct phca_admin_qp_ans *q)
{
	int rc;

	if (q->shard >= ctx->nb_shards)
		return -EPROTO;
	rc = admin_ring(ctx, &q->sq, PHCA_RING_SQ, &qp->sq);
	if (rc == 0 && qp->sq.stride < phca_send_stride(q->max_send_sge, q->max_inline))
		rc = -EPROTO;
	if (rc == 0)
		rc = shadow_init(&qp->ssh, q->max_send_wr);
	if (rc != 0 || qp->qp.srq != NULL)
		return rc;
	rc = admin_ring(ctx, &q->rq, PHCA_RING_RQ, &qp->rq);
	if (rc == 0 && qp->rq.stride < phca_recv_stride(q->max_recv_sge))
		rc = -EPROTO;
	return rc == 0 ? shadow_init(&qp->rsh, q->max_recv_wr) : rc;
}

static void qp_free(struct vqp *qp)
{
	pthread_spin_destroy(&qp->sq_lock);
	pthread_spin_destroy(&qp->rq_lock);
	pthread_cond_destroy(&qp->qp.cond);
	pthread_mutex_destroy(&qp->qp.mutex);
	free(qp->ssh.wr);
	free(qp->rsh.wr);
	free(qp);
}

static int enlist(struct vctx *ctx, struct vqp *qp)
{
	int rc;

	pthread_mutex_lock(&ctx->objs_lock);
	rc = vtable_set(&ctx->qps, qp->qp.qp_num, qp);
	if (rc == 0)
		LIST_INSERT_HEAD(&ctx->qp_list, qp, entry);
	pthread_mutex_unlock(&ctx->objs_lock);
	return rc;
}

/* @return 0 or negative errno: what the device is too small for, or does not have */
static int check(const struct vctx *ctx, const struct ibv_qp_init_attr *a)
{
	const struct ibv_qp_cap *c = &a->cap;

	if (a->qp_type != IBV_QPT_RC && a->qp_type != IBV_QPT_UC && a->qp_type != IBV_QPT_UD)
		return -EOPNOTSUPP;
	if (a->send_cq == NULL || a->recv_cq == NULL)
		return -EINVAL;
	if (c->max_send_wr > ctx->caps.max_qp_wr || c->max_send_sge > ctx->caps.max_sge ||
	    c->max_inline_data > ctx->caps.max_inline)
		return -EINVAL;
	if (a->srq == NULL && (c->max_recv_wr > ctx->caps.max_qp_wr || c->max_recv_sge > ctx->caps.max_sge))
		return -EINVAL;
	return 0;
}

static struct vqp *create(struct ibv_pd *pd, struct ibv_qp_init_attr *a)
{
	struct vctx *ctx = to_vctx(pd->context);
	struct phca_admin_ans ans;
	struct vqp *qp;
	int rc = check(ctx, a);

	if (rc != 0)
		return fail(NULL, rc);
	qp = calloc(1, sizeof(*qp));
	if (qp == NULL)
		return fail(NULL, -ENOMEM);
	pthread_mutex_init(&qp->qp.mutex, NULL);
	pthread_cond_init(&qp->qp.cond, NULL);
	pthread_spin_init(&qp->sq_lock, PTHREAD_PROCESS_PRIVATE);
	pthread_spin_init(&qp->rq_lock, PTHREAD_PROCESS_PRIVATE);
	rc = ask(ctx, pd, a, &ans);
	if (rc == 0) {
		qp_fields(qp, pd, a, &ans.u.qp);
		rc = qp_queues(ctx, qp, &ans.u.qp);
		if (rc == 0)
			rc = enlist(ctx, qp);
		if (rc != 0)
			admin_free(ctx, PHCA_ADMIN_QP_DESTROY, ans.u.qp.handle);
	}
	if (rc != 0) {
		qp_free(qp);
		return fail(NULL, rc);
	}
	a->cap = qp->init.cap;
	return qp;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct vqp *qp = create(pd, attr);

	return qp == NULL ? NULL : &qp->qp;
}

/* The extended attributes begin as the plain ones. */
struct ibv_qp *verbs_create_qp_ex(struct ibv_context *c, struct ibv_qp_init_attr_ex *attr)
{
	struct vqp *qp;
	int rc;

	(void)c;
	if (attr->comp_mask & ~(uint32_t)QP_EX_MASK ||
	    ((attr->comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS) && attr->create_flags != 0))
		return fail(NULL, -EOPNOTSUPP);
	if (!(attr->comp_mask & IBV_QP_INIT_ATTR_PD) || attr->pd == NULL)
		return fail(NULL, -EINVAL);
	qp = create(attr->pd, (struct ibv_qp_init_attr *)attr);
	if (qp == NULL)
		return NULL;
	if (attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) {
		rc = vqp_set_wr_ops(qp, attr->send_ops_flags);
		if (rc != 0) {
			ibv_destroy_qp(&qp->qp);
			return fail(NULL, -rc);
		}
		qp->is_ex = true;
	}
	return &qp->qp;
}

struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *qp)
{
	return to_vqp(qp)->is_ex ? &to_vqp(qp)->qp_ex : NULL;
}

/* --------------------------------------------------------------------- destroy */

void vqp_lock_cqs(struct vqp *qp)
{
	struct vcq *a = to_vcq(qp->qp.send_cq), *b = to_vcq(qp->qp.recv_cq);

	if (a->cqn > b->cqn) {
		struct vcq *t = a;

		a = b;
		b = t;
	}
	pthread_spin_lock(&a->lock);
	if (a != b)
		pthread_spin_lock(&b->lock);
}

void vqp_unlock_cqs(struct vqp *qp)
{
	struct vcq *a = to_vcq(qp->qp.send_cq), *b = to_vcq(qp->qp.recv_cq);

	pthread_spin_unlock(&a->lock);
	if (a != b)
		pthread_spin_unlock(&b->lock);
}

int ibv_destroy_qp(struct ibv_qp *ibqp)
{
	struct vqp *qp = to_vqp(ibqp);
	struct vctx *ctx = to_vctx(ibqp->context);
	int rc = admin_free(ctx, PHCA_ADMIN_QP_DESTROY, ibqp->handle);

	if (rc != 0)
		return -rc;
	pthread_mutex_lock(&ctx->objs_lock);
	vqp_lock_cqs(qp);
	if (ctx->pid == getpid()) /* else the queues are the parent's */
		vcq_forget_qp(qp);
	vtable_set(&ctx->qps, ibqp->qp_num, NULL);
	vqp_unlock_cqs(qp);
	LIST_REMOVE(qp, entry);
	pthread_mutex_unlock(&ctx->objs_lock);
	vqp_wait_acked(qp);
	qp_free(qp);
	return 0;
}
