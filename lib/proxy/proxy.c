/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The proxy's turn: messages, drivers, cancellations, then what became visible:
 * completions first, replies behind them.
 *
 * Invariant: a reply that finds no room stays with its owner (places to report
 * in their window, ERROR and DETACHED with their QP, an overrun with its CQ, a
 * FENCE in its message, which stops the burst) and is tried again; none is lost.
 * DETACHED is the last word about a QP: from then on nothing here points to it.
 */
#include <errno.h>
#include <stdio.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "proxy_impl.h"

RTE_LOG_REGISTER_DEFAULT(phca_proxy_logtype, NOTICE)

#define PREFETCH_QP 4    /* messages ahead */
#define PREFETCH_MBUF 8
#define PREFETCH_PLACE 2

/* --- messages */

static void attach(struct phca_proxy *p, const struct phca_pmsg *m)
{
	struct phca_pqp *q = m->pqp;

	if (q->state != PQP_DETACHED) {
		INC(p->c.bad_messages);
		return;
	}
	for (int d = 0; d < PHCA_DIR_COUNT; d++) {
		struct window *w = &q->win[d];

		w->released = w->freed = w->reported = m->seq;
		w->failing = w->failed = w->direct_error = w->flushing = false;
		w->carry = PHCA_WC_SUCCESS;
		w->size = w->mask + 1;
	}
	q->error_due = q->error_told = false;
	q->state = PQP_ATTACHED;
	INC(p->c.pqps);
}

static void detach(struct phca_proxy *p, struct phca_pqp *q)
{
	if (q->state != PQP_ATTACHED) {
		INC(p->c.bad_messages);
		return;
	}
	q->state = PQP_DETACHING;
	q->error_due = false;
	for (int d = 0; d < PHCA_DIR_COUNT; d++) {
		q->win[d].size = 0;
		window_clear(p, &q->win[d]);
	}
	if (q->zombies == 0)
		pqp_due(q);
}

/* Whether a message's place is one that the HCA may use now. */
static inline bool place_ok(const struct window *w, uint32_t seq)
{
	if (unlikely(seq - w->freed >= w->size))
		return false;
	if (likely(seq == w->released && w->busy == 0))
		return true;
	return !seq_before(seq, w->released) && window_place(w, seq)->state == PLACE_FREE;
}

static inline void complete(struct phca_proxy *p, const struct phca_pmsg *m)
{
	struct phca_pqp *q = m->pqp;
	struct window *w = &q->win[m->dir & 1];
	struct outcome out = { .flags = m->flags, .status = (uint8_t)m->wc.status };

	if (unlikely(m->dir >= PHCA_DIR_COUNT || !place_ok(w, m->seq))) {
		INC(p->c.bad_messages);
		return;
	}
	INC(p->c.completions);
	INC(q->c.completions);
	if (unlikely(out.status != PHCA_WC_SUCCESS))
		window_direct_error(p, w, m->seq, out.status);
	window_outcome(p, w, m->seq, out, &m->wc);
}

static void offload_flush(struct phca_proxy *p, struct window *w, const struct phca_pmsg *m)
{
	const struct outcome out = { .offload = 1, .flags = m->flags, .status = PHCA_WC_WR_FLUSH_ERR };
	struct phca_wc wc = { 0 };

	if (m->dir == PHCA_DIR_RECV)
		mbuf_free_later(p, m->in.m);
	else
		wr_completion(m->pqp, m->wr, &wc);
	window_outcome(p, w, m->seq, out, &wc);
}

static inline void offload(struct phca_proxy *p, const struct phca_pmsg *m)
{
	struct phca_pqp *q = m->pqp;
	struct window *w = &q->win[m->dir & 1];

	if (unlikely(m->dir >= PHCA_DIR_COUNT || m->rule >= q->nb_rules || !place_ok(w, m->seq))) {
		INC(p->c.bad_messages);
		if (m->dir == PHCA_DIR_RECV)
			mbuf_free_later(p, m->in.m);
		return;
	}
	INC(p->c.offloads);
	INC(q->c.offloaded);
	if (unlikely(w->failing && seq_before(w->fail_seq, m->seq)))
		offload_flush(p, w, m);
	else
		offload_submit(p, q, m);
}

/* Overruns of CQs are told. @return false: no room */
static bool cq_errors_tell(struct phca_proxy *p)
{
	while (p->cq_errors != NULL) {
		struct phca_preply r = { .kind = PHCA_PREPLY_CQ_ERROR, .cookie = p->cq_errors };

		if (!reply_stage(p, &r))
			return false;
		p->cq_errors = p->cq_errors->next_error;
	}
	return true;
}

/* @return false: no room for its reply, try again */
static inline bool message(struct phca_proxy *p, const struct phca_pmsg *m)
{
	struct phca_preply fenced = { .kind = PHCA_PREPLY_FENCED, .cookie = m->cookie };

	switch (m->kind) {
	case PHCA_PMSG_COMPLETE:
		complete(p, m);
		return true;
	case PHCA_PMSG_OFFLOAD:
		offload(p, m);
		return true;
	case PHCA_PMSG_PLAIN:
		INC(p->c.plain);
		cq_deliver(p, m->cqw, &m->wc, (m->flags & PHCA_PMSG_F_SOLICITED) != 0);
		return true;
	case PHCA_PMSG_ATTACH:
		attach(p, m);
		return true;
	case PHCA_PMSG_DETACH:
		detach(p, m->pqp);
		return true;
	case PHCA_PMSG_FENCE:
		/* with FENCED the HCA may free the CQ */
		return cq_errors_tell(p) && reply_stage(p, &fenced);
	default:
		INC(p->c.bad_messages);
		return true;
	}
}

/* What message i will touch. */
static inline void prefetch(const struct phca_pmsg *m, bool mbuf)
{
	if (m->kind != PHCA_PMSG_COMPLETE && m->kind != PHCA_PMSG_OFFLOAD)
		return;
	if (mbuf) {
		if (m->kind == PHCA_PMSG_OFFLOAD && m->dir == PHCA_DIR_RECV)
			rte_prefetch0(m->in.m);
		return;
	}
	rte_prefetch0(&m->pqp->win[m->dir & 1]);
	rte_prefetch0(&m->pqp->c);
	if (m->kind == PHCA_PMSG_OFFLOAD) {
		rte_prefetch0(&m->pqp->proxy);
		rte_prefetch0(m->dir == PHCA_DIR_RECV ? rte_pktmbuf_mtod(m->in.m, const void *) : m->wr);
	}
}

/* The place that it will wait in, when something waits there already. */
static inline void prefetch_place(const struct phca_pmsg *m)
{
	const struct window *w;

	if (m->kind != PHCA_PMSG_COMPLETE && m->kind != PHCA_PMSG_OFFLOAD)
		return;
	w = &m->pqp->win[m->dir & 1];
	if (w->busy > 0)
		rte_prefetch0(window_place(w, m->seq));
}

static unsigned int messages(struct phca_proxy *p)
{
	unsigned int i, n = 0;

	if (p->burst_at == p->burst_n) {
		p->burst_at = 0;
		p->burst_n = rte_ring_sc_dequeue_burst_elem(p->ring, p->burst, sizeof(p->burst[0]), BURST, NULL);
		for (i = 0; i < RTE_MIN(p->burst_n, (unsigned int)PREFETCH_MBUF); i++)
			prefetch(&p->burst[i], true);
		for (i = 0; i < RTE_MIN(p->burst_n, (unsigned int)PREFETCH_QP); i++)
			prefetch(&p->burst[i], false);
	}
	for (i = p->burst_at; i < p->burst_n; i++, n++) {
		if (i + PREFETCH_MBUF < p->burst_n)
			prefetch(&p->burst[i + PREFETCH_MBUF], true);
		if (i + PREFETCH_QP < p->burst_n)
			prefetch(&p->burst[i + PREFETCH_QP], false);
		if (i + PREFETCH_PLACE < p->burst_n)
			prefetch_place(&p->burst[i + PREFETCH_PLACE]);
		if (unlikely(!message(p, &p->burst[i])))
			break;
	}
	p->burst_at = i;
	return n;
}

/* --- replies */

/* Forget the windows of a QP that is let go. */
static void lazy_remove(struct phca_proxy *p, struct phca_pqp *q)
{
	struct window **at = &p->lazy;

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

/* @return false: no room */
static bool pqp_tell(struct phca_proxy *p, struct phca_pqp *q)
{
	struct phca_preply r = { .cookie = q->cookie };

	if (q->error_due) {
		r.kind = PHCA_PREPLY_ERROR;
		r.status = q->error_status;
		if (!reply_stage(p, &r))
			return false;
		q->error_due = false;
	}
	if (q->state == PQP_DETACHING && q->zombies == 0) {
		r.kind = PHCA_PREPLY_DETACHED;
		r.status = 0;
		if (!reply_stage(p, &r))
			return false;
		lazy_remove(p, q);
		q->state = PQP_DETACHED;
		DEC(p->c.pqps);
	}
	return true;
}

static void tell_due(struct phca_proxy *p)
{
	if (!cq_errors_tell(p))
		return;
	while (p->due != NULL) {
		struct phca_pqp *q = p->due;

		/* Out of the list first: it may be gone with the reply. */
		p->due = q->next_due;
		q->due = false;
		if (!pqp_tell(p, q)) {
			pqp_due(q);
			return;
		}
	}
}

static void tell_lazy(struct phca_proxy *p)
{
	while (p->lazy != NULL) {
		struct window *w = p->lazy;
		struct phca_preply r = {
			.kind = PHCA_PREPLY_CREDIT, .dir = w->dir, .seq = w->freed,
			.cookie = window_pqp(w)->cookie,
		};

		if (w->freed != w->reported && w->size != 0 && !reply_stage(p, &r))
			return;
		w->reported = w->freed;
		w->lazy = false;
		p->lazy = w->next_lazy;
	}
}

static void replies_flush(struct phca_proxy *p)
{
	unsigned int n;

	if (p->nb_stage == 0)
		return;
	n = rte_ring_sp_enqueue_burst_elem(p->replies, p->stage, sizeof(p->stage[0]), p->nb_stage, NULL);
	if (unlikely(n < p->nb_stage)) {
		INC(p->c.reply_ring_full);
		for (unsigned int i = n; i < p->nb_stage; i++)
			p->stage[i - n] = p->stage[i];
	}
	p->nb_stage -= n;
	if (n > 0 && p->hca_loop != NULL)
		phca_loop_wake(p->hca_loop);
}

static void cqs_flush(struct phca_proxy *p)
{
	while (p->dirty != NULL) {
		struct phca_cqw *cq = p->dirty;

		p->dirty = cq->next_dirty;
		phca_cqw_flush(cq);
	}
}

unsigned int phca_proxy_turn(void *proxy, uint64_t now_ns)
{
	struct phca_proxy *p = proxy;
	unsigned int did;

	p->now_ns = now_ns;
	p->turns++;
	did = messages(p);
	did += offloads_poll(p);
	if (unlikely(p->cancels != NULL))
		cancels_run(p);
	if (unlikely(p->cq_errors != NULL || p->due != NULL))
		tell_due(p);
	if (did == 0 || p->turns % LAZY_TURNS == 0)
		tell_lazy(p);
	cqs_flush(p);
	replies_flush(p);
	if (p->nb_free > 0)
		mbufs_free(p);
	return did;
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

struct phca_proxy *phca_proxy_create(const struct phca_proxy_conf *conf)
{
	char name[RTE_RING_NAMESIZE];
	struct phca_proxy *p;

	if (conf->loop == NULL || conf->ring_size < 2 || !rte_is_power_of_2(conf->ring_size) ||
			conf->ring_size > RTE_RING_SZ_MASK / 2) {
		rte_errno = EINVAL;
		return NULL;
	}
	p = rte_zmalloc(NULL, sizeof(*p), RTE_CACHE_LINE_SIZE);
	if (p == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	p->loop = conf->loop;
	p->hca_loop = conf->hca_loop;
	p->mem = conf->mem;
	snprintf(name, sizeof(name), "px_%s", conf->name != NULL ? conf->name : "");
	p->ring = ring_new(name, sizeof(struct phca_pmsg), conf->ring_size);
	p->replies = ring_new(name, sizeof(struct phca_preply), conf->ring_size);
	p->mbufs = ring_new(name, sizeof(void *), conf->ring_size);
	if (p->ring == NULL || p->replies == NULL || p->mbufs == NULL) {
		LOG(ERR, "%s: no memory for rings of %u elements\n", name, conf->ring_size);
		rte_free(p->ring);
		rte_free(p->replies);
		rte_free(p->mbufs);
		rte_free(p);
		rte_errno = ENOMEM;
		return NULL;
	}
	return p;
}

void phca_proxy_destroy(struct phca_proxy *p)
{
	void *m;

	if (p == NULL)
		return;
	for (unsigned int i = p->nb_offloads; i-- > 0;)
		if (phca_offload_destroy(p->offloads[i]) != 0)
			LOG(ERR, "offload %s: still in use while its proxy is destroyed\n",
				p->offloads[i]->name);
	while (rte_ring_sc_dequeue(p->mbufs, &m) == 0)
		rte_pktmbuf_free(m);
	rte_free(p->ring);
	rte_free(p->replies);
	rte_free(p->mbufs);
	rte_free(p);
}

struct rte_ring *phca_proxy_ring(struct phca_proxy *p)
{
	return p->ring;
}

struct rte_ring *phca_proxy_replies(struct phca_proxy *p)
{
	return p->replies;
}

struct rte_ring *phca_proxy_mbufs_return(struct phca_proxy *p)
{
	p->return_mbufs = true;
	return p->mbufs;
}

struct phca_loop *phca_proxy_loop(struct phca_proxy *p)
{
	return p->loop;
}

void phca_proxy_stats_get(const struct phca_proxy *p, struct phca_proxy_stats *st)
{
#define GET(f, u, h) st->f = PHCA_STAT_GET(p->c.f);
	PHCA_PROXY_COUNTERS(GET)
#undef GET
	st->in_flight = PHCA_STAT_GET(p->c.in_flight);
	st->pqps = PHCA_STAT_GET(p->c.pqps);
}
