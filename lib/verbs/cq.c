/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completion queues: made, resized and destroyed.
 *
 * Invariant: who polls holds the CQ's lock and finds completions in the order in which the
 * HCA wrote them, across a resize: what was not polled of the old ring is kept in a ring of
 * our own, which is polled first.
 */
#include <string.h>

#include "control.h"

#define WC_FLAGS ((uint64_t)(IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP | \
	IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK))
#define CQ_FLAGS ((uint32_t)IBV_CREATE_CQ_ATTR_SINGLE_THREADED | IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN)

/* ---------------------------------------------------------------------- create */

static void channel_hold(struct ibv_comp_channel *ch, int n)
{
	if (ch == NULL)
		return;
	pthread_mutex_lock(&ch->context->mutex);
	ch->refcnt += n;
	pthread_mutex_unlock(&ch->context->mutex);
}

/* The appliance's half. @return 0 or negative errno; then nothing is left */
static int make(struct vctx *ctx, struct vcq *cq, uint32_t cqe, struct ibv_comp_channel *ch)
{
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc;

	admin_req(&req, PHCA_ADMIN_CQ_CREATE);
	req.u.cq_create.cqe = cqe;
	req.u.cq_create.channel = ch == NULL ? PHCA_ADMIN_NONE : to_vchan(ch)->handle;
	rc = admin_call(ctx, &req, &ans);
	if (rc != 0)
		return rc;
	rc = admin_ring(ctx, &ans.u.cq.ring, PHCA_RING_CQ, &cq->ring);
	cq->cq.handle = ans.u.cq.handle;
	cq->cq.cqe = (int)ans.u.cq.cqe;
	cq->cqn = ans.u.cq.cqn;
	if (rc == 0) {
		pthread_mutex_lock(&ctx->objs_lock);
		rc = vtable_set(&ctx->cqs, cq->cqn, cq);
		if (rc == 0)
			LIST_INSERT_HEAD(&ctx->cq_list, cq, entry);
		pthread_mutex_unlock(&ctx->objs_lock);
	}
	if (rc != 0)
		admin_free(ctx, PHCA_ADMIN_CQ_DESTROY, cq->cq.handle);
	return rc;
}

static struct vcq *create(struct ibv_context *c, uint32_t cqe, void *cq_context,
	struct ibv_comp_channel *ch, uint32_t comp_vector)
{
	struct vctx *ctx = to_vctx(c);
	struct vcq *cq;
	int rc;

	if (cqe == 0 || cqe > ctx->caps.max_cqe || comp_vector >= (uint32_t)c->num_comp_vectors)
		return fail(NULL, -EINVAL);
	cq = calloc(1, sizeof(*cq));
	if (cq == NULL)
		return fail(cq, -ENOMEM);
	cq->cq.context = c;
	cq->cq.channel = ch;
	cq->cq.cq_context = cq_context;
	pthread_mutex_init(&cq->cq.mutex, NULL);
	pthread_cond_init(&cq->cq.cond, NULL);
	pthread_spin_init(&cq->lock, PTHREAD_PROCESS_PRIVATE);
	rc = make(ctx, cq, cqe, ch);
	if (rc != 0)
		return fail(cq, rc);
	channel_hold(ch, 1);
	return cq;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
	struct ibv_comp_channel *channel, int comp_vector)
{
	struct vcq *cq;

	if (cqe < 0)
		return fail(NULL, -EINVAL);
	cq = create(context, (uint32_t)cqe, cq_context, channel, (uint32_t)comp_vector);
	return cq == NULL ? NULL : &cq->cq;
}

struct ibv_cq_ex *verbs_create_cq_ex(struct ibv_context *c, struct ibv_cq_init_attr_ex *attr)
{
	struct vcq *cq;

	if ((attr->comp_mask & ~(uint32_t)IBV_CQ_INIT_ATTR_MASK_FLAGS) || (attr->wc_flags & ~WC_FLAGS) ||
	    ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) && (attr->flags & ~CQ_FLAGS)))
		return fail(NULL, -EOPNOTSUPP);
	cq = create(c, attr->cqe, attr->cq_context, attr->channel, attr->comp_vector);
	if (cq == NULL)
		return NULL;
	cq->is_ex = true;
	cq->wc_flags = (uint32_t)attr->wc_flags;
	vcq_set_ex_ops(cq);
	return &cq->cq_ex;
}

/* ---------------------------------------------------------------------- resize */

static uint32_t pow2_above(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p <<= 1;
	return p;
}

/* Move what `from` has to `to`. Nobody else fills or empties either. */
static void move_cqes(struct phca_ring *from, struct phca_ring *to)
{
	while (phca_ring_avail_fresh(from) > 0 && phca_ring_free(to, 1) > 0) {
		memcpy(phca_ring_next(to), phca_ring_head(from), sizeof(struct phca_cqe));
		phca_ring_take(from, 1);
	}
	phca_ring_publish(to);
}

/* The HCA writes to the new ring by now. Under the CQ's lock; mem has room for both rings' completions. */
static void change_rings(struct vcq *cq, const struct phca_ring *fresh, void *mem, size_t bytes)
{
	struct phca_ring keep;
	uint32_t armed = __atomic_load_n(&cq->ring.hdr->armed, __ATOMIC_ACQUIRE);

	phca_ring_attach(&keep, mem, bytes, PHCA_RING_CQ);
	if (cq->old.hdr != NULL)
		move_cqes(&cq->old, &keep);
	move_cqes(&cq->ring, &keep);
	/* From producer's view to consumer's, of the same memory. */
	phca_ring_attach(&keep, mem, bytes, PHCA_RING_CQ);
	free(cq->old_mem);
	cq->old_mem = mem;
	cq->old = keep;
	cq->ring = *fresh;
	if (armed != 0) /* and no note came for it */
		__atomic_store_n(&cq->ring.hdr->armed, armed, __ATOMIC_SEQ_CST);
}

static uint32_t unpolled(struct vcq *cq)
{
	int32_t n = phca_ring_avail_fresh(&cq->ring), old = 0;

	if (cq->old.hdr != NULL)
		old = phca_ring_avail_fresh(&cq->old);
	return (uint32_t)(n > 0 ? n : 0) + (uint32_t)(old > 0 ? old : 0);
}

static int adopt(struct vctx *ctx, struct vcq *cq, const struct phca_admin_cq_ans *a)
{
	struct phca_ring fresh;
	size_t bytes;
	void *mem;
	int rc;

	rc = admin_ring(ctx, &a->ring, PHCA_RING_CQ, &fresh);
	if (rc != 0) {
		vctx_set_dead(ctx); /* the HCA writes where we cannot read */
		return rc;
	}
	pthread_spin_lock(&cq->lock);
	bytes = phca_ring_bytes(pow2_above(unpolled(cq)), sizeof(struct phca_cqe));
	mem = aligned_alloc(PHCA_CACHE_LINE, bytes);
	rc = mem == NULL ? -ENOMEM : phca_ring_format(mem, PHCA_RING_CQ, pow2_above(unpolled(cq)),
		sizeof(struct phca_cqe));
	if (rc == 0) {
		change_rings(cq, &fresh, mem, bytes);
		cq->cq.cqe = (int)a->cqe;
	}
	pthread_spin_unlock(&cq->lock);
	if (rc != 0)
		vctx_set_dead(ctx);
	return rc;
}

int ibv_resize_cq(struct ibv_cq *ibcq, int cqe)
{
	struct vcq *cq = to_vcq(ibcq);
	struct vctx *ctx = to_vctx(ibcq->context);
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc;

	if (cqe <= 0 || (uint32_t)cqe > ctx->caps.max_cqe)
		return EINVAL;
	admin_req(&req, PHCA_ADMIN_CQ_RESIZE);
	req.u.cq_resize.handle = ibcq->handle;
	req.u.cq_resize.cqe = (uint32_t)cqe;
	rc = admin_call(ctx, &req, &ans);
	if (rc != 0)
		return -rc;
	rc = adopt(ctx, cq, &ans.u.cq);
	if (rc == 0)
		rc = admin_free(ctx, PHCA_ADMIN_CQ_RESIZE_DONE, ibcq->handle);
	return -rc;
}

/* --------------------------------------------------------------------- destroy */

int ibv_destroy_cq(struct ibv_cq *ibcq)
{
	struct vcq *cq = to_vcq(ibcq);
	struct vctx *ctx = to_vctx(ibcq->context);
	int rc = admin_free(ctx, PHCA_ADMIN_CQ_DESTROY, ibcq->handle);

	if (rc != 0)
		return -rc;
	pthread_mutex_lock(&ctx->objs_lock);
	vtable_set(&ctx->cqs, cq->cqn, NULL);
	LIST_REMOVE(cq, entry);
	pthread_mutex_unlock(&ctx->objs_lock);
	vcq_wait_acked(cq);
	channel_hold(ibcq->channel, -1);
	pthread_spin_destroy(&cq->lock);
	pthread_cond_destroy(&ibcq->cond);
	pthread_mutex_destroy(&ibcq->mutex);
	free(cq->old_mem);
	free(cq);
	return 0;
}
