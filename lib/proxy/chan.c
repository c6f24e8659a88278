/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Channels: what waits to go back to an HCA lcore, and the rings.
 *
 * Invariant: a reply that finds no room stays with its owner (places to report
 * in their window, ERROR, RESUME, DETACHED and answers with their QP, children in a list, an overrun with its CQ, a
 * FENCE in its message, which stops the burst) and is tried again; none is lost.
 * What waits in one channel keeps no other waiting.
 * DETACHED is the last word about a QP: from then on nothing here points to it.
 */
#include <rte_errno.h>
#include <rte_malloc.h>

#include "proxy_impl.h"

bool cq_errors_tell(struct phca_proxy_chan *c)
{
	while (c->cq_errors != NULL) {
		struct phca_preply r = { .kind = PHCA_PREPLY_CQ_ERROR, .cookie = c->cq_errors };

		if (!reply_stage(c, &r))
			return false;
		c->cq_errors = c->cq_errors->next_error;
	}
	return true;
}

/* Forget the windows of a QP that is let go. */
static void lazy_remove(struct phca_proxy_chan *c, const struct phca_pqp *q)
{
	struct window **at = &c->lazy;

	while (*at != NULL) {
		struct window *w = *at;

		if (window_pqp(w) == q) {
			*at = w->next_lazy;
			w->lazy = false;
		} else {
			at = &w->next_lazy;
		}
	}
}

/* RESUME, behind all that it is about. @return false: no room */
static bool resume_tell(struct phca_proxy_chan *c, struct phca_pqp *q)
{
	for (uint8_t d = 0; d < PHCA_DIR_COUNT; d++) {
		struct phca_preply r = {
			.kind = PHCA_PREPLY_RESUME, .dir = d, .seq = q->win[d].resume, .cookie = q->cookie,
		};

		if (r.seq == 0)
			continue;
		if (c->kids != NULL || !reply_stage(c, &r))
			return false;
		q->win[d].resume = 0;
	}
	return true;
}

void chan_again(struct phca_proxy_chan *c)
{
	if (!chan_children_again(c))
		return;
	chan_order_again(c);
}

/* @return false: no room */
static bool pqp_tell(struct phca_proxy_chan *c, struct phca_pqp *q)
{
	struct phca_preply r = { .cookie = q->cookie };

	if (q->error_due) {
		r.kind = PHCA_PREPLY_ERROR;
		r.status = q->error_status;
		r.dir = q->error_dir;
		r.seq = q->error_seq;
		if (!reply_stage(c, &r))
			return false;
		q->error_due = false;
	}
	if (q->state == PQP_ATTACHED && !resume_tell(c, q))
		return false;
	if (q->state == PQP_DETACHING && q->zombies == 0) {
		r.kind = PHCA_PREPLY_DETACHED;
		r.status = r.dir = 0;
		r.seq = 0;
		if (!reply_stage(c, &r))
			return false;
		lazy_remove(c, q);
		q->state = PQP_DETACHED;
		DEC(c->proxy->c.pqps);
	}
	return true;
}

void chan_tell_due(struct phca_proxy_chan *c)
{
	if (!chan_tell_answers(c) || !cq_errors_tell(c))
		return;
	while (c->due != NULL) {
		struct phca_pqp *q = c->due;

		/* Out of the list first: it may be gone with the reply. */
		c->due = q->next_due;
		q->due = false;
		if (!pqp_tell(c, q)) {
			pqp_due(q);
			return;
		}
	}
}

void chan_tell_lazy(struct phca_proxy_chan *c)
{
	while (c->lazy != NULL) {
		struct window *w = c->lazy;
		struct phca_preply r = {
			.kind = PHCA_PREPLY_CREDIT, .dir = w->dir, .seq = w->freed,
			.cookie = window_pqp(w)->cookie,
		};

		if (w->freed != w->reported && w->size != 0 && !reply_stage(c, &r))
			return;
		w->reported = w->freed;
		w->lazy = false;
		c->lazy = w->next_lazy;
	}
}

static void replies_flush(struct phca_proxy_chan *c)
{
	unsigned int n;

	if (c->nb_stage == 0)
		return;
	n = rte_ring_sp_enqueue_burst_elem(c->replies, c->stage, sizeof(c->stage[0]), c->nb_stage, NULL);
	if (unlikely(n < c->nb_stage)) {
		INC(c->proxy->c.reply_ring_full);
		for (unsigned int i = n; i < c->nb_stage; i++)
			c->stage[i - n] = c->stage[i];
	}
	c->nb_stage -= n;
	if (n > 0 && c->hca_loop != NULL)
		phca_loop_wake(c->hca_loop);
}

void chan_flush(struct phca_proxy_chan *c)
{
	replies_flush(c);
	if (c->nb_free > 0)
		mbufs_free(c);
}

/* --- create, destroy */

/* A ring in memory of its own: it needs no name that is unique in EAL. */
static struct rte_ring *ring_new(const char *name, unsigned int esize, uint32_t count)
{
	ssize_t len = rte_ring_get_memsize_elem(esize, count);
	struct rte_ring *r;

	if (len < 0)
		return NULL;
	r = rte_zmalloc(NULL, (size_t)len, RTE_CACHE_LINE_SIZE);
	if (r != NULL && rte_ring_init(r, name, count, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		rte_free(r);
		r = NULL;
	}
	return r;
}

static void reply_free(const struct phca_preply *r)
{
	if (r->kind == PHCA_PREPLY_ANSWER || r->kind == PHCA_PREPLY_PASS)
		rte_pktmbuf_free(r->data);
}

void chan_free(struct phca_proxy_chan *c)
{
	struct phca_preply r;
	void *m;

	for (unsigned int i = 0; i < c->nb_stage; i++) /* what nobody took */
		reply_free(&c->stage[i]);
	while (c->replies != NULL && rte_ring_sc_dequeue_elem(c->replies, &r, sizeof(r)) == 0)
		reply_free(&r);
	while (c->mbufs != NULL && rte_ring_sc_dequeue(c->mbufs, &m) == 0)
		rte_pktmbuf_free(m);
	rte_free(c->ring);
	rte_free(c->replies);
	rte_free(c->mbufs);
	rte_free(c);
}

/* Runs between two turns of the proxy. */
static int chan_add(void *arg)
{
	struct phca_proxy_chan *c = arg;
	struct phca_proxy *p = c->proxy;

	if (p->nb_chans == PHCA_PROXY_CHAN_MAX)
		return -ENOSPC;
	p->chans[p->nb_chans] = c;
	__atomic_store_n(&p->nb_chans, p->nb_chans + 1, __ATOMIC_RELEASE);
	return 0;
}

struct phca_proxy_chan *phca_proxy_chan_create(struct phca_proxy *p, struct phca_loop *hca_loop)
{
	struct phca_proxy_chan *c = rte_zmalloc(NULL, sizeof(*c), RTE_CACHE_LINE_SIZE);
	int rc;

	if (c == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	c->proxy = p;
	c->hca_loop = hca_loop;
	c->ring = ring_new(p->name, sizeof(struct phca_pmsg), p->ring_size);
	c->replies = ring_new(p->name, sizeof(struct phca_preply), p->ring_size);
	c->mbufs = ring_new(p->name, sizeof(void *), p->ring_size);
	if (c->ring == NULL || c->replies == NULL || c->mbufs == NULL) {
		LOG(ERR, "%s: no memory for rings of %u elements\n", p->name, p->ring_size);
		rc = -ENOMEM;
	} else {
		rc = phca_loop_call(p->loop, chan_add, c);
	}
	if (rc == 0)
		return c;
	chan_free(c);
	rte_errno = -rc;
	return NULL;
}

struct rte_ring *phca_proxy_chan_ring(struct phca_proxy_chan *c)
{
	return c->ring;
}

struct rte_ring *phca_proxy_chan_replies(struct phca_proxy_chan *c)
{
	return c->replies;
}

struct rte_ring *phca_proxy_chan_mbufs(struct phca_proxy_chan *c)
{
	__atomic_store_n(&c->return_mbufs, true, __ATOMIC_RELAXED);
	return c->mbufs;
}

struct phca_proxy *phca_proxy_chan_proxy(struct phca_proxy_chan *c)
{
	return c->proxy;
}

unsigned int phca_proxy_nb_chans(const struct phca_proxy *p)
{
	return __atomic_load_n(&p->nb_chans, __ATOMIC_ACQUIRE);
}

struct phca_proxy_chan *phca_proxy_chan_get(const struct phca_proxy *p, unsigned int idx)
{
	return p->chans[idx];
}
