/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Polling completions, and flushing what has none when the appliance is gone.
 *
 * Invariant: a completion is taken from its ring, and the request that it is of from
 * its queue's shadow, in one go under the CQ's lock. So a request is completed once:
 * by the appliance, or by the flush that begins when the rings of a dead appliance
 * are empty.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "polling.h"
#include "shadow.h"

#define IDLE_POLLS 32

_Static_assert(sizeof(struct ibv_wc) == sizeof(struct phca_wc) &&
	offsetof(struct ibv_wc, wc_flags) == offsetof(struct phca_wc, wc_flags) &&
	offsetof(struct ibv_wc, dlid_path_bits) == offsetof(struct phca_wc, dlid_path_bits), "the same layout");

/* ----------------------------------------------------------- shadows follow */

/* A request that succeeded ends those before it that were not signaled. */
static void sent(struct vshadow *s)
{
	uint32_t i = shadow_tail(s), end = shadow_head(s);

	while (i != end && !shadow_at(s, i)->signaled)
		i++;
	if (i != end)
		shadow_tail_set(s, i + 1);
}

/*
 * One that failed may be any up to the oldest that is signaled: the oldest with its
 * wr_id. Applications that do not look at wr_id give it to many; then requests that are
 * done may stay in the shadow, and the queue is marked.
 */
static void send_failed(struct vshadow *s, uint64_t wr_id)
{
	uint32_t i = shadow_tail(s), end = shadow_head(s), found = end;

	for (; i != end; i++) {
		const struct vwr *w = shadow_at(s, i);

		if (w->wr_id == wr_id) {
			if (found != end) {
				atomic_store_explicit(&s->inexact, true, memory_order_release);
				break;
			}
			found = i;
		}
		if (w->signaled)
			break;
	}
	if (found != end)
		shadow_tail_set(s, found + 1);
}

static void retire(struct vctx *ctx, const struct phca_wc *wc)
{
	struct vqp *qp = vtable_get(&ctx->qps, wc->qp_num);

	if (qp == NULL)
		return;
	if (wc->opcode & PHCA_WC_RECV) {
		if (qp->rsh.wr != NULL && shadow_tail(&qp->rsh) != shadow_head(&qp->rsh))
			shadow_tail_set(&qp->rsh, shadow_tail(&qp->rsh) + 1);
	} else if (wc->status == PHCA_WC_SUCCESS) {
		sent(&qp->ssh);
	} else {
		send_failed(&qp->ssh, wc->wr_id);
	}
}

/* ------------------------------------------------------------------ polling */

/* @return as vcq_take, from one ring */
static int ring_take(struct phca_ring *r, struct phca_cqe *e)
{
	for (;;) {
		int32_t avail = phca_ring_avail(r);

		if (avail <= 0)
			return avail;
		*e = *(const struct phca_cqe *)phca_ring_head(r);
		phca_ring_take(r, 1);
		if (!(e->flags & PHCA_CQE_NOOP))
			return 1;
	}
}

int vcq_take(struct vcq *cq, struct phca_cqe *e)
{
	int ret = 0;

	if (cq->old.hdr != NULL) {
		ret = ring_take(&cq->old, e);
		if (ret == 0)
			cq->old.hdr = NULL;
	}
	if (ret == 0)
		ret = ring_take(&cq->ring, e);
	if (ret > 0) {
		retire(to_vctx(cq->cq.context), &e->wc);
		cq->idle = 0;
	}
	return ret < 0 ? -1 : ret;
}

bool vcq_idle(struct vcq *cq)
{
	return ++cq->idle % IDLE_POLLS == 0 && to_vctx(cq->cq.context)->sleeps;
}

void vcq_release(struct vcq *cq)
{
	if (cq->ring.own != __atomic_load_n(&cq->ring.hdr->cons, __ATOMIC_RELAXED))
		phca_ring_release(&cq->ring);
}

/* The appliance is gone: what it left, then what it never completed. */
static int poll_dead(struct vcq *cq, int n, struct ibv_wc *wc)
{
	struct vctx *ctx = to_vctx(cq->cq.context);
	struct phca_cqe e;
	int got = 0;

	pthread_mutex_lock(&ctx->objs_lock);
	pthread_spin_lock(&cq->lock);
	for (; got < n && vcq_take(cq, &e) > 0; got++)
		memcpy(&wc[got], &e.wc, sizeof(e.wc));
	got += vcq_flush(cq, wc + got, n - got);
	pthread_spin_unlock(&cq->lock);
	pthread_mutex_unlock(&ctx->objs_lock);
	return got;
}

int vcq_poll(struct ibv_cq *ibcq, int n, struct ibv_wc *wc)
{
	struct vcq *cq = to_vcq(ibcq);
	struct phca_cqe e;
	int got = 0, ret = 0;
	bool yield;

	pthread_spin_lock(&cq->lock);
	for (; got < n; got++) {
		ret = vcq_take(cq, &e);
		if (ret <= 0)
			break;
		memcpy(&wc[got], &e.wc, sizeof(e.wc));
	}
	vcq_release(cq);
	yield = got == 0 && vcq_idle(cq);
	pthread_spin_unlock(&cq->lock);
	if (yield)
		sched_yield();
	if (got == 0 && n > 0 && vctx_dead(to_vctx(ibcq->context)))
		return poll_dead(cq, n, wc);
	return got > 0 ? got : ret;
}

/* ----------------------------------------------------------------- flushing */

/* Of one queue, under its lock. @return completions written, up to n */
static int flush_shadow(const struct vqp *qp, struct vshadow *s, struct ibv_wc *wc, int n)
{
	uint32_t tail = shadow_tail(s);
	int i;

	for (i = 0; i < n && tail != s->head; i++, tail++) {
		const struct vwr *w = shadow_at(s, tail);

		memset(&wc[i], 0, sizeof(wc[i]));
		wc[i].wr_id = w->wr_id;
		wc[i].status = IBV_WC_WR_FLUSH_ERR;
		wc[i].opcode = w->opcode;
		wc[i].qp_num = qp->qp.qp_num;
	}
	shadow_tail_set(s, tail);
	return i;
}

/* Where tail may be too low, what the HCA let go of counts. Once: no completion comes any more. */
static void settle(struct vqp *qp)
{
	struct vshadow *s = &qp->ssh;
	uint32_t cons = __atomic_load_n(&qp->sq.hdr->cons, __ATOMIC_ACQUIRE);

	if (!atomic_exchange_explicit(&s->inexact, false, memory_order_acq_rel))
		return;
	if (cons - shadow_tail(s) <= s->head - shadow_tail(s))
		shadow_tail_set(s, cons);
}

int vcq_flush(struct vcq *cq, struct ibv_wc *wc, int n)
{
	struct vctx *ctx = to_vctx(cq->cq.context);
	struct vqp *qp;
	int got = 0;

	LIST_FOREACH(qp, &ctx->qp_list, entry) {
		if (got == n)
			break;
		/* Busy: a thread posts, or is between ibv_wr_start and ibv_wr_complete and may be this one. */
		if (qp->qp.send_cq == &cq->cq && pthread_spin_trylock(&qp->sq_lock) == 0) {
			settle(qp);
			got += flush_shadow(qp, &qp->ssh, wc + got, n - got);
			pthread_spin_unlock(&qp->sq_lock);
		}
		if (qp->qp.recv_cq == &cq->cq && qp->rsh.wr != NULL) {
			pthread_spin_lock(&qp->rq_lock);
			got += flush_shadow(qp, &qp->rsh, wc + got, n - got);
			pthread_spin_unlock(&qp->rq_lock);
		}
	}
	return got;
}

bool vcq_pending(struct vcq *cq)
{
	struct vctx *ctx = to_vctx(cq->cq.context);
	struct vqp *qp;

	if (cq->old.hdr != NULL || phca_ring_avail(&cq->ring) > 0)
		return true;
	LIST_FOREACH(qp, &ctx->qp_list, entry) {
		if (qp->qp.send_cq == &cq->cq && shadow_head(&qp->ssh) != shadow_tail(&qp->ssh))
			return true;
		if (qp->qp.recv_cq == &cq->cq && qp->rsh.wr != NULL && shadow_head(&qp->rsh) != shadow_tail(&qp->rsh))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- forgetting */

/* Slots that were not taken are ours to change: the HCA does not look at them again. */
static void ring_forget(struct phca_ring *r, uint32_t qpn)
{
	int32_t n = r->hdr != NULL ? phca_ring_avail_fresh(r) : 0;

	for (int32_t i = 0; i < n; i++) {
		struct phca_cqe *e = phca_ring_slot(r, r->own + (uint32_t)i);

		if (!(e->flags & PHCA_CQE_NOOP) && e->wc.qp_num == qpn) {
			e->flags = PHCA_CQE_NOOP;
			e->count = 0;
		}
	}
}

void vcq_forget_qp(struct vqp *qp)
{
	struct vcq *cqs[2] = { to_vcq(qp->qp.send_cq), to_vcq(qp->qp.recv_cq) };

	for (unsigned int i = 0; i < 2; i++) {
		ring_forget(&cqs[i]->old, qp->qp.qp_num);
		ring_forget(&cqs[i]->ring, qp->qp.qp_num);
	}
	pthread_spin_lock(&qp->sq_lock);
	shadow_tail_set(&qp->ssh, qp->ssh.head);
	atomic_store_explicit(&qp->ssh.inexact, false, memory_order_release);
	pthread_spin_unlock(&qp->sq_lock);
	if (qp->rsh.wr == NULL)
		return;
	pthread_spin_lock(&qp->rq_lock);
	shadow_tail_set(&qp->rsh, qp->rsh.head);
	pthread_spin_unlock(&qp->rq_lock);
}
