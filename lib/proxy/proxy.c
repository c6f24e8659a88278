/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The proxy's turn: messages of all channels, drivers, cancellations, then what
 * became visible: completions first, replies behind them.
 *
 * Invariant: in a turn every channel is served once, for at most BURST messages,
 * and another channel begins each turn. A message that needs a reply that finds
 * no room stops its own channel only.
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

static void attach(struct phca_proxy_chan *c, const struct phca_pmsg *m)
{
	struct phca_proxy *p = c->proxy;
	struct phca_pqp *q = m->pqp;

	if (q->state != PQP_DETACHED || q->chan != c) {
		INC(p->c.bad_messages);
		return;
	}
	for (int d = 0; d < PHCA_DIR_COUNT; d++) {
		struct window *w = &q->win[d];

		w->released = w->freed = w->reported = m->seq;
		w->failing = w->direct_error = w->flushing = w->erred = false;
		w->gone = GONE_WELL;
		w->carry = PHCA_WC_SUCCESS;
		w->size = w->mask + 1;
		phca_cqws_adopt(&p->cqs, w->cq); /* the HCA lcore's until now, perhaps */
	}
	q->error_due = q->error_told = q->hca_error = false;
	q->state = PQP_ATTACHED;
	INC(p->c.pqps);
	if (q->owner != NULL)
		watch_event(q, PHCA_PQP_READY);
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
	children_clear(p, q);
	answers_drop(q);
	watch_event(q, PHCA_PQP_GONE);
	if (q->zombies == 0)
		pqp_due(q);
}

/* Requests that drivers hold know their offload. */
static void rules(struct phca_proxy *p, struct phca_pqp *q, struct phca_pqp_rules *fresh)
{
	struct phca_pqp_rules former = q->rules;

	q->rules = *fresh;
	*fresh = former;
	watch_rules(p, q);
}

static void qp_failed(struct phca_proxy *p, struct phca_pqp *q)
{
	if (q->state != PQP_ATTACHED || q->hca_error) {
		INC(p->c.bad_messages);
		return;
	}
	q->hca_error = true;
	watch_event(q, PHCA_PQP_ERROR);
}

/* What the HCA had when its QP was let go is over already. */
static void child(struct phca_proxy *p, const struct phca_pmsg *m)
{
	if (unlikely(m->pqp->state != PQP_ATTACHED || m->child.status >= PHCA_WC_STATUS_COUNT ||
			m->child.nb > PHCA_PMSG_CHILDREN)) {
		INC(p->c.bad_messages);
		return;
	}
	for (uint32_t i = 0; i < m->child.nb; i++)
		child_over(p, m->child.child[i], (uint8_t)m->child.status);
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

/*
 * Whether a request that went well, or begins, tells that the HCA recovered from
 * a direct error: SQE to RTS, or an error that stopped nothing. It stands behind
 * the error and came after it. RC does not recover, nor does an offload's failure.
 */
static inline uint8_t fresh(const struct phca_pqp *q, struct window *w, uint32_t seq)
{
	if (likely(!w->erred) || w->failing || q->transport == PHCA_TRANSPORT_RC || !seq_before(w->err_max, seq))
		return 0;
	w->erred = false;
	return OUT_FRESH;
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
	out.flags &= (uint8_t)~OUT_FRESH;
	if (unlikely(w->passed > 0))
		out.flags |= order_passed_over(w, m->seq);
	if (unlikely(out.flags & PHCA_PMSG_F_TRACED))
		trace_place(p, q, m->dir, m->seq, PHCA_TRACE_COMPLETED, out.status);
	if (unlikely(out.status != PHCA_WC_SUCCESS))
		window_direct_error(p, w, m->seq, out.status);
	else
		out.flags |= fresh(q, w, m->seq);
	window_outcome(p, w, m->seq, out, &m->wc);
}

static void offload_flush(struct phca_proxy *p, struct window *w, const struct phca_pmsg *m)
{
	const struct outcome out = { .offload = 1, .flags = m->flags, .status = PHCA_WC_WR_FLUSH_ERR };
	struct phca_wc wc = { 0 };

	if (m->dir == PHCA_DIR_RECV)
		mbuf_free_later(m->pqp->chan, m->in.m);
	if (msg_wants_answer(m))
		answer_send(m->pqp, m->in.tag, PHCA_WC_WR_FLUSH_ERR, 0, NULL);
	if (m->dir == PHCA_DIR_SEND)
		wr_completion(m->pqp, m->wr, &wc);
	if (unlikely(m->flags & PHCA_PMSG_F_TRACED))
		trace_place(p, m->pqp, m->dir, m->seq, PHCA_TRACE_FLUSHED, PHCA_WC_WR_FLUSH_ERR);
	window_outcome(p, w, m->seq, out, &wc);
	if (m->flags & PHCA_PMSG_F_ORDERED) {
		order_begin(w, m->seq);
		order_decide(p, w, m->seq);
	}
}

/* From now on its answer is owed. @return false: the tag is none, or in use */
static bool tag_take(struct phca_pqp *q, const struct phca_pmsg *m)
{
	if (m->in.tag >= q->nb_tags || q->answers[m->in.tag].owed)
		return false;
	q->answers[m->in.tag].owed = true;
	return true;
}

static inline bool rule_ok(const struct phca_pqp *q, const struct phca_pmsg *m)
{
	if (unlikely(m->rule == PHCA_PMSG_RULE_PASS))
		return m->dir == PHCA_DIR_RECV && (m->flags & PHCA_PMSG_F_ORDERED);
	return m->rule < RTE_DIM(q->rules.offloads) && q->rules.offloads[m->rule] != NULL;
}

static inline void offload(struct phca_proxy_chan *c, const struct phca_pmsg *m)
{
	struct phca_proxy *p = c->proxy;
	struct phca_pqp *q = m->pqp;
	struct window *w = &q->win[m->dir & 1];
	uint8_t flags;

	if (unlikely(m->dir >= PHCA_DIR_COUNT || !rule_ok(q, m) || !place_ok(w, m->seq) ||
			(msg_wants_answer(m) && !tag_take(q, m)))) {
		INC(p->c.bad_messages);
		if (m->dir == PHCA_DIR_RECV)
			mbuf_free_later(c, m->in.m);
		return;
	}
	INC(p->c.offloads);
	INC(q->c.offloaded);
	if (unlikely(w->failing && seq_before(w->fail_seq, m->seq))) {
		offload_flush(p, w, m);
		return;
	}
	if (unlikely(m->flags & PHCA_PMSG_F_ORDERED))
		order_begin(w, m->seq);
	flags = (uint8_t)(m->flags & ~OUT_FRESH) | fresh(q, w, m->seq);
	if (unlikely(m->rule == PHCA_PMSG_RULE_PASS))
		order_rule_pass(p, q, m, flags);
	else
		offload_submit(p, q, m, flags);
}

/* @return false: no room for its reply, try again */
static inline bool message(struct phca_proxy_chan *c, const struct phca_pmsg *m)
{
	struct phca_proxy *p = c->proxy;
	struct phca_preply fenced = { .kind = PHCA_PREPLY_FENCED, .cookie = m->cookie };

	switch (m->kind) {
	case PHCA_PMSG_COMPLETE:
		complete(p, m);
		return true;
	case PHCA_PMSG_OFFLOAD:
		offload(c, m);
		return true;
	case PHCA_PMSG_PLAIN:
		INC(p->c.plain);
		cq_deliver(c, m->cqw, &m->wc, (m->flags & PHCA_PMSG_F_SOLICITED) != 0);
		return true;
	case PHCA_PMSG_ATTACH:
		attach(c, m);
		return true;
	case PHCA_PMSG_DETACH:
		detach(p, m->pqp);
		return true;
	case PHCA_PMSG_RULES:
		rules(p, m->pqp, m->rules);
		return true;
	case PHCA_PMSG_CHILD:
		child(p, m);
		return true;
	case PHCA_PMSG_QP_ERROR:
		qp_failed(p, m->pqp);
		return true;
	case PHCA_PMSG_FENCE:
		/* with FENCED the HCA may free the CQ; fences keep no answer waiting */
		return chan_tell_answers(c) && cq_errors_tell(c) && reply_stage(c, &fenced);
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

static unsigned int messages(struct phca_proxy_chan *c)
{
	unsigned int i, n = 0;

	if (c->burst_at == c->burst_n) {
		c->burst_at = 0;
		c->burst_n = rte_ring_sc_dequeue_burst_elem(c->ring, c->burst, sizeof(c->burst[0]), BURST, NULL);
		for (i = 0; i < RTE_MIN(c->burst_n, (unsigned int)PREFETCH_MBUF); i++)
			prefetch(&c->burst[i], true);
		for (i = 0; i < RTE_MIN(c->burst_n, (unsigned int)PREFETCH_QP); i++)
			prefetch(&c->burst[i], false);
	}
	for (i = c->burst_at; i < c->burst_n; i++, n++) {
		if (i + PREFETCH_MBUF < c->burst_n)
			prefetch(&c->burst[i + PREFETCH_MBUF], true);
		if (i + PREFETCH_QP < c->burst_n)
			prefetch(&c->burst[i + PREFETCH_QP], false);
		if (i + PREFETCH_PLACE < c->burst_n)
			prefetch_place(&c->burst[i + PREFETCH_PLACE]);
		if (unlikely(!message(c, &c->burst[i])))
			break;
	}
	c->burst_at = i;
	return n;
}

/* --- replies */

unsigned int phca_proxy_turn(void *proxy, uint64_t now_ns)
{
	struct phca_proxy *p = proxy;
	unsigned int did = 0;

	p->now_ns = now_ns;
	p->turns++;
	for (unsigned int i = 0; i < p->nb_chans; i++)
		did += messages(p->chans[(p->turns + i) % p->nb_chans]);
	did += offloads_poll(p);
	if (unlikely(p->cancels != NULL))
		cancels_run(p);
	if (unlikely(p->sweeps != NULL))
		watch_sweep(p);
	phca_cqws_flush(&p->cqs, now_ns);
	for (unsigned int i = 0; i < p->nb_chans; i++) {
		struct phca_proxy_chan *c = p->chans[i];

		if (unlikely(c->kids != NULL || c->stuck != NULL))
			chan_again(c);
		if (unlikely(c->answers != NULL || c->cq_errors != NULL || c->due != NULL))
			chan_tell_due(c);
		if (did == 0 || p->turns % LAZY_TURNS == 0)
			chan_tell_lazy(c);
		chan_flush(c);
	}
	return did;
}

/* --- create, destroy */

struct phca_proxy *phca_proxy_create(const struct phca_proxy_conf *conf)
{
	struct phca_proxy *p;

	if (conf->loop == NULL || conf->ring_size < 2 || !rte_is_power_of_2(conf->ring_size) ||
			conf->ring_size > RTE_RING_SZ_MASK / 2 || (conf->pool != NULL &&
			rte_pktmbuf_data_room_size(conf->pool) <= RTE_PKTMBUF_HEADROOM)) {
		rte_errno = EINVAL;
		return NULL;
	}
	p = rte_zmalloc(NULL, sizeof(*p), RTE_CACHE_LINE_SIZE);
	if (p == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	p->loop = conf->loop;
	p->mem = conf->mem;
	p->pool = conf->pool;
	p->ring_size = conf->ring_size;
	snprintf(p->name, sizeof(p->name), "px_%s", conf->name != NULL ? conf->name : "");
	return p;
}

void phca_proxy_destroy(struct phca_proxy *p)
{
	if (p == NULL)
		return;
	for (unsigned int i = p->nb_offloads; i-- > 0;)
		if (phca_offload_destroy(p->offloads[i]) != 0)
			LOG(ERR, "offload %s: still in use while its proxy is destroyed\n",
				p->offloads[i]->name);
	for (unsigned int i = 0; i < p->nb_chans; i++)
		chan_free(p->chans[i]);
	rte_free(p);
}

struct phca_loop *phca_proxy_loop(struct phca_proxy *p)
{
	return p->loop;
}

struct phca_cqws *phca_proxy_cqs(struct phca_proxy *p)
{
	return &p->cqs;
}

void phca_proxy_stats_get(const struct phca_proxy *p, struct phca_proxy_stats *st)
{
#define GET(f, u, h) st->f = PHCA_STAT_GET(p->c.f);
	PHCA_PROXY_COUNTERS(GET)
#undef GET
	st->in_flight = PHCA_STAT_GET(p->c.in_flight);
	st->pqps = PHCA_STAT_GET(p->c.pqps);
}
