/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared receive queues, of the basic type: made, armed, asked and destroyed. */
#include <string.h>

#include "control.h"

static int make(struct vctx *ctx, struct vsrq *srq, const struct ibv_srq_attr *attr,
	struct phca_admin_ans *ans)
{
	struct phca_admin_req req;
	int rc;

	admin_req(&req, PHCA_ADMIN_SRQ_CREATE);
	req.u.srq_create = (struct phca_admin_srq_create){ .pd = srq->srq.pd->handle,
		.max_wr = attr->max_wr, .max_sge = attr->max_sge, .limit = attr->srq_limit };
	rc = admin_call(ctx, &req, ans);
	if (rc != 0)
		return rc;
	srq->srq.handle = ans->u.srq.handle;
	srq->srqn = ans->u.srq.srqn;
	srq->max_wr = ans->u.srq.max_wr;
	srq->max_sge = ans->u.srq.max_sge;
	rc = admin_ring(ctx, &ans->u.srq.ring, PHCA_RING_RQ, &srq->ring);
	if (rc == 0 && srq->ring.stride < phca_recv_stride(srq->max_sge))
		rc = -EPROTO;
	if (rc == 0) {
		pthread_mutex_lock(&ctx->objs_lock);
		rc = vtable_set(&ctx->srqs, srq->srqn, srq);
		if (rc == 0)
			LIST_INSERT_HEAD(&ctx->srq_list, srq, entry);
		pthread_mutex_unlock(&ctx->objs_lock);
	}
	if (rc != 0)
		admin_free(ctx, PHCA_ADMIN_SRQ_DESTROY, srq->srq.handle);
	return rc;
}

static struct ibv_srq *create(struct ibv_pd *pd, void *srq_context, struct ibv_srq_attr *attr)
{
	struct vctx *ctx = to_vctx(pd->context);
	struct phca_admin_ans ans;
	struct vsrq *srq;
	int rc;

	if (attr->max_wr == 0 || attr->max_wr > ctx->caps.max_srq_wr ||
	    attr->max_sge > ctx->caps.max_srq_sge)
		return fail(NULL, -EINVAL);
	srq = calloc(1, sizeof(*srq));
	if (srq == NULL)
		return fail(srq, -ENOMEM);
	srq->srq.context = pd->context;
	srq->srq.srq_context = srq_context;
	srq->srq.pd = pd;
	pthread_mutex_init(&srq->srq.mutex, NULL);
	pthread_cond_init(&srq->srq.cond, NULL);
	pthread_spin_init(&srq->lock, PTHREAD_PROCESS_PRIVATE);
	rc = make(ctx, srq, attr, &ans);
	if (rc != 0)
		return fail(srq, rc);
	attr->max_wr = srq->max_wr;
	attr->max_sge = srq->max_sge;
	return &srq->srq;
}

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	return create(pd, attr->srq_context, &attr->attr);
}

struct ibv_srq *verbs_create_srq_ex(struct ibv_context *c, struct ibv_srq_init_attr_ex *attr)
{
	const uint32_t known = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD;

	(void)c;
	if ((attr->comp_mask & ~known) ||
	    ((attr->comp_mask & IBV_SRQ_INIT_ATTR_TYPE) && attr->srq_type != IBV_SRQT_BASIC))
		return fail(NULL, -EOPNOTSUPP);
	if (!(attr->comp_mask & IBV_SRQ_INIT_ATTR_PD) || attr->pd == NULL)
		return fail(NULL, -EINVAL);
	return create(attr->pd, attr->srq_context, &attr->attr);
}

int ibv_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr, int mask)
{
	struct phca_admin_req req;

	if (mask & ~IBV_SRQ_LIMIT)
		return EOPNOTSUPP; /* IBV_DEVICE_SRQ_RESIZE is not advertised */
	if (mask == 0)
		return 0;
	admin_req(&req, PHCA_ADMIN_SRQ_ARM);
	req.u.srq_arm.handle = srq->handle;
	req.u.srq_arm.limit = attr->srq_limit;
	return -admin_call(to_vctx(srq->context), &req, NULL);
}

int ibv_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr)
{
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc;

	admin_req(&req, PHCA_ADMIN_SRQ_QUERY);
	req.u.handle[0] = srq->handle;
	rc = admin_call(to_vctx(srq->context), &req, &ans);
	if (rc != 0)
		return -rc;
	attr->max_wr = ans.u.srq.max_wr;
	attr->max_sge = ans.u.srq.max_sge;
	attr->srq_limit = ans.u.srq.limit;
	return 0;
}

int verbs_get_srq_num(struct ibv_srq *srq, uint32_t *num)
{
	*num = to_vsrq(srq)->srqn;
	return 0;
}

int verbs_close_xrcd(struct ibv_xrcd *xrcd)
{
	(void)xrcd; /* none was ever opened */
	return EOPNOTSUPP;
}

int ibv_destroy_srq(struct ibv_srq *ibsrq)
{
	struct vsrq *srq = to_vsrq(ibsrq);
	struct vctx *ctx = to_vctx(ibsrq->context);
	int rc = admin_free(ctx, PHCA_ADMIN_SRQ_DESTROY, ibsrq->handle);

	if (rc != 0)
		return -rc;
	pthread_mutex_lock(&ctx->objs_lock);
	vtable_set(&ctx->srqs, srq->srqn, NULL);
	LIST_REMOVE(srq, entry);
	pthread_mutex_unlock(&ctx->objs_lock);
	vsrq_wait_acked(srq);
	pthread_spin_destroy(&srq->lock);
	pthread_cond_destroy(&ibsrq->cond);
	pthread_mutex_destroy(&ibsrq->mutex);
	free(srq);
	return 0;
}
