/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The serializer: a window of places, released in order.
 *
 * Invariant: `released` advances by one place at a time, and only over a place
 * that has its outcome; what the place delivers is written at that moment. So
 * completions leave in the order of the sequence, whatever finishes or arrives
 * first. What an error makes of those behind it is decided there, too, in
 * status_seen, so that it cannot depend on the order of arrival; on arrival an
 * error only cancels what drivers need not do any more.
 * `freed` follows it, but never passes a place whose request a driver holds.
 *
 * A place whose turn it is when its outcome arrives is delivered without ever
 * being stored.
 */
#include "proxy_impl.h"

bool cq_deliver(struct phca_proxy_chan *c, struct phca_cqw *cq, const struct phca_wc *wc, bool solicited)
{
	struct phca_proxy *p = c->proxy;
	bool before = cq->overrun;

	if (unlikely(phca_cqw_put(cq, wc, solicited, p->now_ns) != 0)) {
		if (!before) {
			INC(p->c.cq_overruns);
			cq->next_error = c->cq_errors;
			c->cq_errors = cq;
			phca_cqws_add(&p->cqs, cq); /* an error wakes, too */
		}
		return false;
	}
	phca_cqws_add(&p->cqs, cq);
	return true;
}

static void noop_deliver(struct phca_proxy *p, struct phca_pqp *q, struct phca_cqw *cq)
{
	phca_cqw_noop(cq, p->now_ns);
	INC(p->c.noops);
	INC(q->c.noops);
	phca_cqws_add(&p->cqs, cq);
}

static inline void deliver_good(struct phca_proxy *p, struct window *w, struct phca_pqp *q,
		struct outcome out, const struct phca_wc *wc)
{
	if (out.offload && w->dir == PHCA_DIR_RECV)
		noop_deliver(p, q, w->cq);
	else if (!(out.flags & PHCA_PMSG_F_NO_CQE) &&
			cq_deliver(q->chan, w->cq, wc, (out.flags & PHCA_PMSG_F_SOLICITED) != 0))
		INC(q->c.cqes);
}

/* What the application sees of a place, now that its turn has come. */
static uint8_t status_seen(struct window *w, struct outcome out)
{
	if ((out.flags & OUT_FRESH) && w->gone != GONE_OFFLOAD)
		w->gone = GONE_WELL;
	if (w->gone >= GONE_DIRECT)
		return PHCA_WC_WR_FLUSH_ERR;
	if (out.status == PHCA_WC_SUCCESS)
		return w->gone == GONE_WELL ? PHCA_WC_SUCCESS : PHCA_WC_WR_FLUSH_ERR;
	if (out.fails) {
		w->gone = GONE_OFFLOAD;
		w->carry = out.status;
	} else if (out.status == PHCA_WC_WR_FLUSH_ERR) {
		w->gone = GONE_FLUSHED;
	} else {
		w->gone = GONE_DIRECT;
	}
	return out.status;
}

/* A place that failed, or that comes after one that did. */
static void deliver_error(struct phca_proxy *p, struct window *w, struct phca_pqp *q,
		struct outcome out, const struct phca_wc *wc)
{
	struct phca_wc bad;
	uint8_t status = status_seen(w, out);

	p->seen_status = status;
	if (status == PHCA_WC_SUCCESS) {
		deliver_good(p, w, q, out, wc);
		return;
	}
	if (status == PHCA_WC_WR_FLUSH_ERR && (out.offload || out.status != PHCA_WC_WR_FLUSH_ERR)) {
		INC(p->c.flushed);
		INC(q->c.flushed);
	}
	if (w->dir == PHCA_DIR_RECV) {
		if (out.offload || (out.flags & PHCA_PMSG_F_NO_CQE)) {
			noop_deliver(p, q, w->cq);
			return;
		}
		if (w->gone == GONE_OFFLOAD && w->carry != PHCA_WC_SUCCESS) {
			status = w->carry;
			w->carry = PHCA_WC_SUCCESS;
		}
	}
	p->seen_status = status;
	bad = *wc;
	bad.status = status;
	if (cq_deliver(q->chan, w->cq, &bad, (out.flags & PHCA_PMSG_F_SOLICITED) != 0))
		INC(q->c.cqes);
}

/* Of a traced request: the counters tell what became of it. */
static __rte_noinline void deliver_traced(struct phca_proxy *p, struct window *w, struct phca_pqp *q,
		struct outcome out, const struct phca_wc *wc, bool waited)
{
	uint64_t cqes = q->c.cqes, noops = q->c.noops;
	enum phca_trace_result result = PHCA_TRACE_NOTHING;

	p->seen_status = PHCA_WC_SUCCESS;
	deliver_error(p, w, q, out, wc);
	if (q->c.cqes != cqes)
		result = PHCA_TRACE_CQE;
	else if (q->c.noops != noops)
		result = PHCA_TRACE_NOOP;
	trace_released(p, w, waited, result);
}

/* Its turn has come: `released` is behind it. */
static inline void deliver(struct phca_proxy *p, struct window *w, struct outcome out,
		const struct phca_wc *wc, bool waited)
{
	struct phca_pqp *q = window_pqp(w);

	INC(p->c.released);
	INC(q->c.released);
	if (unlikely(out.flags & PHCA_PMSG_F_TRACED))
		deliver_traced(p, w, q, out, wc, waited);
	else if (unlikely(w->gone != GONE_WELL || out.status != PHCA_WC_SUCCESS))
		deliver_error(p, w, q, out, wc);
	else
		deliver_good(p, w, q, out, wc);
}

/* Places were freed: tell the HCA now when they are many, else some time later. */
static inline void credit(struct window *w)
{
	struct phca_proxy_chan *c = window_pqp(w)->chan;

	if (w->freed - w->reported >= w->size / 4) {
		struct phca_preply r = {
			.kind = PHCA_PREPLY_CREDIT, .dir = w->dir, .seq = w->freed,
			.cookie = window_pqp(w)->cookie,
		};

		if (likely(reply_stage(c, &r))) {
			w->reported = w->freed;
			return;
		}
	}
	if (!w->lazy && w->freed != w->reported) {
		w->lazy = true;
		w->next_lazy = c->lazy;
		c->lazy = w;
	}
}

static void freed_advance(struct window *w)
{
	if (likely(window_pqp(w)->zombies == 0))
		w->freed = w->released;
	while (w->freed != w->released && window_place(w, w->freed)->state == PLACE_FREE)
		w->freed++;
	credit(w);
}

/* Times that completions waited; of one turn they are alike. */
struct stall {
	uint64_t since_ns, n;
};

static void stall_add(struct phca_hist *h, uint64_t *sum, uint64_t *max, uint64_t ns, uint64_t n)
{
	phca_hist_add(h, ns, n);
	PHCA_STAT_ADD(*sum, ns * n);
	if (ns > *max)
		__atomic_store_n(max, ns, __ATOMIC_RELAXED);
}

static void stall_count(struct phca_proxy *p, struct phca_pqp *q, const struct stall *s)
{
	uint64_t ns = p->now_ns - s->since_ns;
	struct phca_offload *o = p->ended_by;

	if (s->n == 0)
		return;
	stall_add(&q->stall, &q->c.stall_ns_sum, &q->c.stall_ns_max, ns, s->n);
	if (o == NULL)
		return;
	PHCA_STAT_ADD(o->c.stalled, s->n);
	stall_add(&o->detail.stall, &o->c.stall_ns_sum, &o->c.stall_ns_max, ns, s->n);
}

/* @return false: it is what the others waited for */
static inline bool stalled(struct phca_proxy *p, struct window *w, struct stall *s, uint32_t seq)
{
	uint64_t since_ns = w->ready_ns[seq & w->mask];

	if (seq == p->ended_seq)
		return false;
	if (s->since_ns != since_ns) {
		stall_count(p, window_pqp(w), s);
		*s = (struct stall){ .since_ns = since_ns };
	}
	s->n++;
	return true;
}

void window_release(struct phca_proxy *p, struct window *w)
{
	struct stall s = { 0 };

	while (w->busy > 0) {
		struct place *pl = window_place(w, w->released);
		bool waited;

		if (pl->state != PLACE_READY)
			break;
		waited = stalled(p, w, &s, w->released++);
		DEC(w->busy);
		pl->state = pl->req != NULL ? PLACE_ZOMBIE : PLACE_FREE;
		deliver(p, w, pl->out, &pl->wc, waited);
	}
	stall_count(p, window_pqp(w), &s);
	freed_advance(w);
}

static void place_ready(struct phca_proxy *p, struct window *w, struct place *pl, uint32_t seq,
		struct outcome out, const struct phca_wc *wc)
{
	pl->state = PLACE_READY;
	pl->out = out;
	if (wc != NULL)
		pl->wc = *wc;
	if (seq == w->released) {
		p->ended_seq = seq;
		window_release(p, w);
		return;
	}
	w->ready_ns[seq & w->mask] = p->now_ns;
	INC(p->c.waited);
	INC(window_pqp(w)->c.waited);
}

void window_outcome(struct phca_proxy *p, struct window *w, uint32_t seq, struct outcome out,
		const struct phca_wc *wc)
{
	struct place *pl;

	if (likely(seq == w->released)) {
		w->released++;
		deliver(p, w, out, wc, false);
		if (likely(w->busy == 0 && w->freed == seq)) {
			w->freed = seq + 1;
			credit(w);
		} else {
			p->ended_seq = seq;
			p->ended_by = NULL;
			window_release(p, w);
		}
		return;
	}
	pl = window_place(w, seq);
	pl->req = NULL;
	INC(w->busy);
	place_ready(p, w, pl, seq, out, wc);
}

void window_finish(struct phca_proxy *p, struct window *w, uint32_t seq, struct outcome out,
		const struct phca_wc *wc)
{
	w->pending--;
	place_ready(p, w, window_place(w, seq), seq, out, wc);
}

void window_fail(struct phca_proxy *p, struct window *w, uint32_t seq, uint8_t status)
{
	struct phca_pqp *q = window_pqp(w);

	if (!w->failing || seq_before(seq, w->fail_seq)) {
		w->failing = true;
		w->fail_seq = seq;
		if (!q->cancel) {
			q->cancel = true;
			q->next_cancel = p->cancels;
			p->cancels = q;
		}
	}
	if (!q->error_told) {
		q->error_told = q->error_due = true;
		q->error_status = status;
		q->error_dir = w->dir;
		q->error_seq = seq;
		pqp_due(q);
	}
}

/* Cancel what drivers hold at and after @p from; their places are flushed. */
static void window_cancel(struct phca_proxy *p, struct window *w, uint32_t from)
{
	struct outcome flush = { .offload = 1, .status = PHCA_WC_WR_FLUSH_ERR };
	struct phca_pqp *q = window_pqp(w);
	uint32_t end = w->freed + w->size;

	if (seq_before(from, w->released))
		from = w->released;
	for (uint32_t seq = from; w->pending > 0 && seq_before(seq, end); seq++) {
		struct place *pl = window_place(w, seq);
		struct phca_wc wc = { 0 };

		if (pl->state != PLACE_WAITING)
			continue;
		if (w->dir == PHCA_DIR_SEND)
			wr_completion(q, pl->req->wr, &wc);
		flush.flags = pl->out.flags;
		pl->req = offload_cancel(p, pl->req, false);
		w->pending--;
		place_ready(p, w, pl, seq, flush, &wc);
	}
	order_advance(p, w);
}

/* From where on a flush at seq leaves nothing to drivers. */
static uint32_t flush_from(const struct window *w, uint32_t seq)
{
	uint32_t from = seq + 1;

	if (!w->failing && !w->direct_error)
		return w->released;
	if (w->failing && seq_before(w->fail_seq + 1, from))
		from = w->fail_seq + 1;
	if (w->direct_error && seq_before(w->error_seq + 1, from))
		from = w->error_seq + 1;
	return from;
}

void window_direct_error(struct phca_proxy *p, struct window *w, uint32_t seq, uint8_t status)
{
	uint32_t from;

	if (!w->erred || seq_before(w->err_max, seq))
		w->err_max = seq;
	w->erred = true;
	if (w->direct_error && seq_before(w->error_seq, w->released))
		w->direct_error = false;
	if (status != PHCA_WC_WR_FLUSH_ERR) {
		if (!w->direct_error || seq_before(seq, w->error_seq))
			w->error_seq = seq;
		w->direct_error = true;
		window_cancel(p, w, w->error_seq + 1);
		return;
	}
	from = flush_from(w, seq);
	if (w->flushing && !seq_before(from, w->flush_from))
		return;
	w->flushing = true; /* until another request is offloaded */
	w->flush_from = from;
	window_cancel(p, w, from);
}

void cancels_run(struct phca_proxy *p)
{
	while (p->cancels != NULL) {
		struct phca_pqp *q = p->cancels;

		p->cancels = q->next_cancel;
		q->cancel = false;
		for (int d = 0; d < PHCA_DIR_COUNT; d++)
			if (q->state == PQP_ATTACHED && q->win[d].failing)
				window_cancel(p, &q->win[d], q->win[d].fail_seq + 1);
	}
}

void window_clear(struct phca_proxy *p, struct window *w)
{
	for (uint32_t i = 0; i <= w->mask; i++) {
		struct place *pl = &w->places[i];

		if (pl->state == PLACE_WAITING)
			pl->req = offload_cancel(p, pl->req, false);
		else if (pl->state == PLACE_FREE && pl->req != NULL)
			order_passed_over(w, (uint32_t)i);
		pl->state = pl->req != NULL ? PLACE_ZOMBIE : PLACE_FREE;
	}
	w->pending = 0;
	__atomic_store_n(&w->busy, 0, __ATOMIC_RELAXED);
	order_clear(w);
}
