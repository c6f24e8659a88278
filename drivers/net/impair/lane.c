/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lane: one queue in one direction. A packet that comes in is decided on,
 * changed, and then is in one of three places until it goes out: `timed` waits
 * for a time (delay, rate), `passed` for later packets to pass (reorder), `ready`
 * for the next stage to take it. Every packet is in exactly one place or
 * counted: in + duplicated == out + dropped + rate_dropped + freed + held. A
 * packet is taken only when there is room for all that it can become, so none
 * is lost inside.
 */
#include <sched.h>

#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "impair_impl.h"

#define BITS_NS UINT64_C(8000000000) /* bits of a byte, nanoseconds of a second */

struct lane *lane_create(struct impair *dev, enum phca_impair_dir dir, uint16_t queue, int socket)
{
	struct lane *l = rte_zmalloc_socket("impair_lane", sizeof(*l), RTE_CACHE_LINE_SIZE, socket);

	if (l == NULL)
		return NULL;
	l->dev = dev;
	l->dir = (uint8_t)dir;
	l->queue = queue;
	l->hold = dev->hold;
	l->next_deadline_ns = l->next_after = l->next_ns = PHCA_IMPAIR_NEVER;
	l->ready = rte_malloc_socket("impair_ready", l->hold * sizeof(*l->ready), 0, socket);
	l->timed = rte_malloc_socket("impair_timed", l->hold * sizeof(*l->timed), 0, socket);
	l->passed = rte_malloc_socket("impair_passed", l->hold * sizeof(*l->passed), 0, socket);
	l->frame = rte_malloc_socket("impair_frame", FRAME_MAX, 0, socket);
	if (l->ready && l->timed && l->passed && l->frame)
		return l;
	lane_free(l);
	return NULL;
}

void lane_free(struct lane *l)
{
	if (l == NULL)
		return;
	lane_drop_held(l);
	rte_free(l->ready);
	rte_free(l->timed);
	rte_free(l->passed);
	rte_free(l->frame);
	rte_free(l);
}

void lane_enter(struct lane *l)
{
	for (unsigned int i = 1; !lane_try(l); i++) {
		if (i % 1024 == 0)
			sched_yield(); /* its owner may want this CPU */
		rte_pause();
	}
}

static uint64_t lane_now(const struct lane *l)
{
	const struct impair *dev = l->dev;

	if (dev->clock != NULL)
		return dev->clock(dev->clock_arg);
	if (dev->fixed)
		return __atomic_load_n(&dev->now_ns, __ATOMIC_RELAXED);
	return (uint64_t)((double)rte_rdtsc() * dev->ns_per_cycle);
}

/* ready: a ring */

static void ready_put(struct lane *l, struct rte_mbuf *m)
{
	uint32_t at = l->ready_head + l->nb_ready++;

	l->ready[at < l->hold ? at : at - l->hold] = m;
}

/* As many of the first ones as lie together. */
static uint32_t ready_peek(const struct lane *l, struct rte_mbuf ***m)
{
	*m = &l->ready[l->ready_head];
	return RTE_MIN(l->nb_ready, l->hold - l->ready_head);
}

static void ready_drop(struct lane *l, uint32_t n)
{
	l->ready_head += n;
	l->ready_head -= l->ready_head >= l->hold ? l->hold : 0;
	l->nb_ready -= n;
}

/* passed: packets that wait for `by` others */

static void passed_next(struct lane *l)
{
	l->next_after = l->next_deadline_ns = PHCA_IMPAIR_NEVER;
	for (uint32_t i = 0; i < l->nb_passed; i++) {
		l->next_after = RTE_MIN(l->next_after, l->passed[i].after);
		l->next_deadline_ns = RTE_MIN(l->next_deadline_ns, l->passed[i].deadline_ns);
	}
}

static void passed_put(struct lane *l, struct rte_mbuf *m, uint16_t by, uint64_t deadline_ns)
{
	const struct passed p = { l->gone + by, deadline_ns, m };

	l->passed[l->nb_passed++] = p;
	l->next_after = RTE_MIN(l->next_after, p.after);
	l->next_deadline_ns = RTE_MIN(l->next_deadline_ns, p.deadline_ns);
	COUNT(l->st.reordered, 1);
}

/* Let go those that enough packets passed, or whose time is over. */
static void passed_release(struct lane *l, uint64_t now_ns)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < l->nb_passed; i++) {
		struct passed *p = &l->passed[i];

		if (p->after > l->gone && p->deadline_ns > now_ns) {
			l->passed[left++] = *p;
			continue;
		}
		if (p->after > l->gone)
			COUNT(l->st.reorder_expired, 1);
		ready_put(l, p->m);
	}
	l->nb_passed = left;
	passed_next(l);
}

/* A packet that waits for nothing any more. */
static void go(struct lane *l, struct rte_mbuf *m, uint64_t now_ns)
{
	ready_put(l, m);
	l->gone++;
	if (unlikely(l->gone >= l->next_after))
		passed_release(l, now_ns);
}

/* Its time has come; it may have to wait for others yet. */
static void timed_over(struct lane *l, struct rte_mbuf *m, uint16_t by, uint64_t timeout_ns, uint64_t due_ns)
{
	if (by > 0)
		passed_put(l, m, by, due_ns + timeout_ns);
	else
		go(l, m, due_ns);
}

/* timed: a binary heap */

static bool earlier(const struct timed *a, const struct timed *b)
{
	return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->seq < b->seq);
}

static void timed_put(struct lane *l, const struct timed *t)
{
	uint32_t i = l->nb_timed++;

	for (; i > 0 && earlier(t, &l->timed[(i - 1) / 2]); i = (i - 1) / 2)
		l->timed[i] = l->timed[(i - 1) / 2];
	l->timed[i] = *t;
}

static struct timed timed_take(struct lane *l)
{
	struct timed first = l->timed[0], last = l->timed[--l->nb_timed];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < l->nb_timed) {
		if (child + 1 < l->nb_timed && earlier(&l->timed[child + 1], &l->timed[child]))
			child++;
		if (!earlier(&l->timed[child], &last))
			break;
		l->timed[i] = l->timed[child];
		i = child;
	}
	l->timed[i] = last;
	return first;
}

/* All that is due by now, in the order in which it was due. */
static void expire(struct lane *l, uint64_t now_ns)
{
	for (;;) {
		uint64_t due = l->nb_timed > 0 ? l->timed[0].due_ns : PHCA_IMPAIR_NEVER;

		if (RTE_MIN(due, l->next_deadline_ns) > now_ns)
			return;
		if (l->next_deadline_ns < due) {
			passed_release(l, l->next_deadline_ns);
		} else {
			struct timed t = timed_take(l);

			timed_over(l, t.m, t.by, t.timeout_ns, t.due_ns);
		}
	}
}

/*
 * When a packet may leave by a rule 'rate': the link is busy until free_ns, and
 * may be ahead of time by the burst. false: the queue is full.
 */
static bool rate_pass(const struct rule *r, struct rule_state *s, uint32_t len, uint64_t now_ns,
		uint64_t *at_ns)
{
	uint64_t ahead = r->burst_bytes * BITS_NS / r->bps, cost = len * BITS_NS + s->free_rem;
	uint64_t start = RTE_MAX(s->free_ns, now_ns), wait = start > now_ns + ahead ? start - now_ns - ahead : 0;

	if (r->queue_bytes > 0 && (double)wait * (double)r->bps > (double)r->queue_bytes * (double)BITS_NS)
		return false;
	s->free_ns = start + cost / r->bps;
	s->free_rem = cost % r->bps;
	*at_ns = RTE_MAX(*at_ns, now_ns + wait);
	return true;
}

/* All rules 'rate' that chose the packet. false: one had no room; its due time is set. */
static bool shape(struct lane *l, const struct decision *d, uint32_t len, uint64_t now_ns, uint64_t *at_ns)
{
	const struct program *p = l->prog;

	for (uint64_t left = d->fired; left != 0; left &= left - 1) {
		unsigned int k = (unsigned int)__builtin_ctzll(left);

		if (p->rules.rule[k].action != ACTION_RATE)
			continue;
		if (!rate_pass(&p->rules.rule[k], &l->state[k], len, now_ns, at_ns))
			return false;
	}
	if (*at_ns > now_ns)
		COUNT(l->st.shaped, 1);
	return true;
}

static struct rte_mbuf *change(struct lane *l, struct rte_mbuf *m, const struct view *v,
		const struct decision *d)
{
	const struct program *p = l->prog;

	for (uint64_t left = d->fired; left != 0; left &= left - 1) {
		unsigned int k = (unsigned int)__builtin_ctzll(left);
		const struct rule *r = &p->rules.rule[k];

		if (r->action == ACTION_CORRUPT)
			m = modify_corrupt(l, m, r, v, d->event[k]);
		else if (r->action == ACTION_ECN)
			m = modify_ce(l, m, r);
	}
	return m;
}

/* Into `timed`, or on at once when there is nothing to wait for. */
static void schedule(struct lane *l, struct rte_mbuf *m, const struct decision *d, uint64_t due_ns,
		uint64_t now_ns)
{
	const struct timed t = { due_ns, l->seq++, d->timeout_ns, m, d->by };

	if (due_ns > now_ns)
		timed_put(l, &t);
	else
		timed_over(l, m, d->by, d->timeout_ns, now_ns);
}

static void impair(struct lane *l, struct rte_mbuf *m, const struct view *v, uint64_t now_ns)
{
	struct rte_mbuf *copy[RULES_COPIES_MAX];
	unsigned int nb_copies = 0;
	uint64_t at_ns = now_ns;
	struct decision d;

	decide(l, v, &d);
	if (d.drop) {
		COUNT(l->st.dropped, 1);
		rte_pktmbuf_free(m);
		return;
	}
	if (!shape(l, &d, v->len, now_ns, &at_ns)) {
		COUNT(l->st.rate_dropped, 1);
		rte_pktmbuf_free(m);
		return;
	}
	m = change(l, m, v, &d);
	for (; nb_copies < d.copies; nb_copies++) {
		copy[nb_copies] = modify_copy(l, m);
		if (copy[nb_copies] == NULL)
			break;
	}
	if (d.delay_ns > 0)
		COUNT(l->st.delayed, 1);
	COUNT(l->st.duplicated, nb_copies);
	schedule(l, m, &d, at_ns + d.delay_ns, now_ns);
	d.by = 0; /* only the packet itself waits for others */
	for (unsigned int i = 0; i < nb_copies; i++)
		schedule(l, copy[i], &d, at_ns + d.delay_ns + d.late_ns, now_ns);
}

static void take(struct lane *l, struct rte_mbuf **m, uint16_t n, uint64_t now_ns)
{
	const struct program *p = l->prog;
	struct view v = { .roce = false };
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < n; i++) {
		bytes += rte_pktmbuf_pkt_len(m[i]);
		if (p->nb[l->dir] == 0) {
			go(l, m[i], now_ns);
			continue;
		}
		v.len = rte_pktmbuf_pkt_len(m[i]);
		if (p->parse[l->dir])
			view_init(&v, m[i]);
		impair(l, m[i], &v, now_ns);
	}
	COUNT(l->st.in, n);
	COUNT(l->st.in_bytes, bytes);
}

/* How many packets may come in: each may become several. */
static uint16_t room(const struct lane *l, uint16_t wanted)
{
	uint32_t held = l->nb_ready + l->nb_timed + l->nb_passed;
	uint32_t n = (l->hold - held) / l->prog->places[l->dir];

	return (uint16_t)RTE_MIN(RTE_MIN(n, (uint32_t)BURST), (uint32_t)wanted);
}

/* What others may read without the flag. */
static void publish(struct lane *l)
{
	uint64_t due = l->nb_timed > 0 ? l->timed[0].due_ns : PHCA_IMPAIR_NEVER;

	__atomic_store_n(&l->held, l->nb_ready + l->nb_timed + l->nb_passed, __ATOMIC_RELAXED);
	__atomic_store_n(&l->next_ns, RTE_MIN(due, l->next_deadline_ns), __ATOMIC_RELAXED);
}

/* tx: give the lower port what is ready. It keeps what does not fit. */
static void push(struct lane *l)
{
	struct lower *low = &l->dev->lower;
	uint32_t *busy = &low->tx_busy[l->lower_queue];
	uint64_t len[BURST];
	struct rte_mbuf **m;
	uint16_t n, sent;

	if (l->nb_ready == 0)
		return;
	if (l->shared && __atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE) != 0)
		return; /* another lane sends there now */
	do {
		uint64_t bytes = 0;

		n = (uint16_t)RTE_MIN(ready_peek(l, &m), (uint32_t)BURST);
		for (uint16_t i = 0; i < n; i++)
			len[i] = rte_pktmbuf_pkt_len(m[i]);
		sent = lower_tx(low, l->lower_queue, m, n);
		for (uint16_t i = 0; i < sent; i++)
			bytes += len[i];
		ready_drop(l, sent);
		COUNT(l->st.out, sent);
		COUNT(l->st.out_bytes, bytes);
	} while (sent == n && l->nb_ready > 0);
	if (l->shared)
		__atomic_store_n(busy, 0, __ATOMIC_RELEASE);
}

uint16_t lane_tx_burst(void *lane, struct rte_mbuf **m, uint16_t n)
{
	struct lane *l = lane;
	uint16_t done = 0, k;
	uint64_t now_ns;

	if (!lane_try(l))
		return 0;
	now_ns = lane_now(l);
	expire(l, now_ns);
	push(l);
	while (done < n && l->nb_ready == 0) {
		k = room(l, (uint16_t)(n - done));
		if (k == 0)
			break;
		take(l, m + done, k, now_ns);
		done = (uint16_t)(done + k);
		push(l);
	}
	if (done < n)
		COUNT(l->st.stalled, 1);
	publish(l);
	lane_leave(l);
	return done;
}

/* Held packets of tx lanes leave when their owner polls receive queues, too. */
static void pump_tx(struct lane *rx)
{
	const uint16_t *nb = rx->dev->nb;

	for (unsigned int q = rx->queue; q < nb[PHCA_IMPAIR_TX]; q += nb[PHCA_IMPAIR_RX]) {
		struct lane *l = rx->dev->lane[PHCA_IMPAIR_TX][q];

		if (l == NULL || __atomic_load_n(&l->held, __ATOMIC_RELAXED) == 0 || !lane_try(l))
			continue;
		expire(l, lane_now(l));
		push(l);
		publish(l);
		lane_leave(l);
	}
}

/* rx: what is ready goes to the user. */
static uint16_t deliver(struct lane *l, struct rte_mbuf **out, uint16_t n)
{
	struct rte_mbuf **m;
	uint64_t bytes = 0;
	uint16_t done = 0;

	while (done < n && l->nb_ready > 0) {
		uint32_t k = RTE_MIN(ready_peek(l, &m), (uint32_t)(n - done));

		for (uint32_t i = 0; i < k; i++) {
			m[i]->port = l->dev->port_id;
			bytes += rte_pktmbuf_pkt_len(m[i]);
			out[done++] = m[i];
		}
		ready_drop(l, k);
	}
	COUNT(l->st.out, done);
	COUNT(l->st.out_bytes, bytes);
	return done;
}

uint16_t lane_rx_burst(void *lane, struct rte_mbuf **out, uint16_t n)
{
	struct rte_mbuf *m[BURST];
	struct lane *l = lane;
	uint16_t done, wanted, got;
	uint64_t now_ns;

	if (!lane_try(l))
		return 0;
	now_ns = lane_now(l);
	expire(l, now_ns);
	done = deliver(l, out, n);
	while (done < n && l->lower_queue != UINT16_MAX) {
		wanted = room(l, (uint16_t)(n - done));
		if (wanted == 0) {
			COUNT(l->st.stalled, 1);
			break;
		}
		got = lower_rx(&l->dev->lower, l->lower_queue, m, wanted);
		take(l, m, got, now_ns);
		done = (uint16_t)(done + deliver(l, out + done, (uint16_t)(n - done)));
		if (got < wanted)
			break;
	}
	publish(l);
	lane_leave(l);
	pump_tx(l);
	return done;
}

void lane_drop_held(struct lane *l)
{
	struct rte_mbuf **m;
	uint32_t n;

	COUNT(l->st.freed, l->nb_ready + l->nb_timed + l->nb_passed);
	while ((n = ready_peek(l, &m)) > 0) {
		rte_pktmbuf_free_bulk(m, n);
		ready_drop(l, n);
	}
	while (l->nb_timed > 0)
		rte_pktmbuf_free(l->timed[--l->nb_timed].m);
	while (l->nb_passed > 0)
		rte_pktmbuf_free(l->passed[--l->nb_passed].m);
	passed_next(l);
	publish(l);
}
