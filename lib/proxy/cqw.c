/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing completion queues.
 *
 * Invariant: a no-op is written only while fewer than noop_room slots are in
 * use, so that no more than noop_room no-ops are ever unconsumed; the ring has
 * noop_room slots more than the CQ has entries, so that an application that
 * leaves no more completions unconsumed than it asked entries for finds room
 * for every completion.
 *
 * No-ops that follow each other before a flush share one slot, which counts them.
 *
 * Notes: the producer publishes, then looks whether the consumer armed; the consumer
 * arms, then looks whether there is something. Each has a full fence between, so that
 * one of both sees the other. `armed` is the consumer's word, taken by an exchange.
 */
#include <errno.h>

#include <rte_branch_prediction.h>

#include "phca_proxy.h"

#define CQE_AHEAD 4 /* how far ahead the consumer's lines are asked for */
#define NOTES 32       /* written in a turn; others are owed */
#define RETRIES 8      /* of those that are owed, in a turn */
#define RETRY_NS 100000u

struct phca_wc *phca_cqw_next(struct phca_cqw *w, bool solicited, uint64_t now_ns)
{
	struct phca_cqe *e;

	if (unlikely(w->overrun || phca_ring_free(&w->ring, 1) == 0)) {
		if (!w->overrun)
			w->news = PHCA_CQW_NEWS_ANY | PHCA_CQW_NEWS_SOLICITED;
		__atomic_store_n(&w->overrun, true, __ATOMIC_RELAXED);
		PHCA_STAT_ADD(w->lost, 1);
		return NULL;
	}
	e = phca_ring_next(&w->ring);
	phca_prefetch_write(phca_ring_slot(&w->ring, w->ring.own + CQE_AHEAD - 1));
	e->timestamp_ns = now_ns;
	e->flags = solicited ? PHCA_CQE_SOLICITED : 0;
	e->count = 0;
	w->news |= solicited ? PHCA_CQW_NEWS_ANY | PHCA_CQW_NEWS_SOLICITED : PHCA_CQW_NEWS_ANY;
	w->noop_run = 0;
	PHCA_STAT_ADD(w->written, 1);
	return &e->wc;
}

int phca_cqw_put(struct phca_cqw *w, const struct phca_wc *wc, bool solicited, uint64_t now_ns)
{
	/* failed ones wake as solicited ones do (11.4.2.2) */
	struct phca_wc *to = phca_cqw_next(w, solicited || wc->status != PHCA_WC_SUCCESS, now_ns);

	if (unlikely(to == NULL))
		return -ENOSPC;
	*to = *wc;
	return 0;
}

void phca_cqw_noop(struct phca_cqw *w, uint64_t now_ns)
{
	struct phca_cqe *e;
	uint32_t size = phca_ring_size(&w->ring);

	if (w->noop_run != 0) {
		e = phca_ring_slot(&w->ring, w->ring.own - 1);
		e->count = ++w->noop_run;
		PHCA_STAT_ADD(w->noops, 1);
		return;
	}
	if (unlikely(w->overrun || w->noop_room == 0 ||
			phca_ring_free(&w->ring, size - w->noop_room + 1) <= size - w->noop_room)) {
		PHCA_STAT_ADD(w->noops_elided, 1);
		return;
	}
	e = phca_ring_next(&w->ring);
	e->wc = (struct phca_wc){ 0 };
	e->timestamp_ns = now_ns;
	e->flags = PHCA_CQE_NOOP;
	e->count = w->noop_run = 1;
	PHCA_STAT_ADD(w->noops, 1);
}

void phca_cqw_flush(struct phca_cqw *w)
{
	struct phca_loop *consumer = __atomic_load_n(&w->consumer, __ATOMIC_RELAXED);

	phca_ring_publish(&w->ring);
	w->noop_run = 0;
	w->dirty = false;
	if (consumer != NULL)
		phca_loop_wake(consumer);
}

static void owing_push(struct phca_cqws *l, struct phca_cqw *w)
{
	w->owing = true;
	w->next_owing = NULL;
	if (l->owing == NULL)
		l->owing = w;
	else
		l->owing_last->next_owing = w;
	l->owing_last = w;
}

/* @return false: no room, it is owed */
static bool note(struct phca_cqw *w)
{
	const struct phca_cq_note n = { .cqn = w->cqn };

	int ret = phca_loop_note(w->notify_fd, w->notify == PHCA_CQW_NOTIFY_SOCKET, &n, sizeof(n));

	if (ret == 0)
		PHCA_STAT_ADD(w->notes, 1);
	return ret != -EAGAIN; /* any other: nobody reads any more */
}

/* Whether its consumer waits for what there is; then it does not any more. */
static bool armed_take(struct phca_cqw *w)
{
	uint32_t *armed = &w->ring.hdr->armed, is = __atomic_load_n(armed, __ATOMIC_RELAXED);
	uint8_t news = w->news;

	w->news = 0;
	if (is != PHCA_CQ_ARMED_NEXT && (is != PHCA_CQ_ARMED_SOLICITED || !(news & PHCA_CQW_NEWS_SOLICITED)))
		return false;
	return __atomic_exchange_n(armed, 0, __ATOMIC_SEQ_CST) != 0;
}

static void notes_write(struct phca_cqws *l, struct phca_cqw *w)
{
	unsigned int left = NOTES;
	struct phca_cqw *next;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* published before armed is read, of all of them */
	for (; w != NULL; w = next) {
		next = w->next_dirty;
		if (!armed_take(w))
			continue;
		if (w->owed == 0 && left > 0) {
			left--;
			if (note(w))
				continue;
		}
		if (w->owed < UINT32_MAX)
			w->owed++;
		if (!w->owing)
			owing_push(l, w);
	}
}

static void notes_retry(struct phca_cqws *l, uint64_t now_ns)
{
	for (unsigned int i = 0; i < RETRIES && l->owing != NULL; i++) {
		struct phca_cqw *w = l->owing;

		l->owing = w->next_owing;
		w->owing = false;
		if (note(w))
			w->owed--;
		else
			l->retry_ns = now_ns + RETRY_NS;
		if (w->owed > 0)
			owing_push(l, w);
	}
}

void phca_cqws_flush(struct phca_cqws *l, uint64_t now_ns)
{
	struct phca_cqw *told = NULL;

	while (l->dirty != NULL) {
		struct phca_cqw *w = l->dirty;

		l->dirty = w->next_dirty;
		phca_cqw_flush(w);
		if (w->notify == PHCA_CQW_NOTIFY_NONE || w->news == 0)
			continue;
		w->next_dirty = told;
		told = w;
	}
	if (unlikely(l->owing != NULL) && now_ns >= l->retry_ns)
		notes_retry(l, now_ns);
	if (unlikely(told != NULL))
		notes_write(l, told);
}

void phca_cqws_leave(struct phca_cqws *l, struct phca_cqw *w)
{
	struct phca_cqw *before = NULL;

	if (!w->owing)
		return;
	for (struct phca_cqw *at = l->owing; at != w; at = at->next_owing)
		before = at;
	if (before == NULL)
		l->owing = w->next_owing;
	else
		before->next_owing = w->next_owing;
	if (l->owing_last == w)
		l->owing_last = before;
	w->owing = false;
}

void phca_cqws_adopt(struct phca_cqws *l, struct phca_cqw *w)
{
	if (w->owed > 0 && !w->owing)
		owing_push(l, w);
}

void phca_cqw_notify_set(struct phca_cqws *l, struct phca_cqw *w, enum phca_cqw_notify how, int fd)
{
	w->notify = (uint8_t)how;
	w->notify_fd = fd;
	if (how == PHCA_CQW_NOTIFY_NONE) {
		phca_cqws_leave(l, w);
		w->owed = 0;
	} else if (w->news != 0 && !w->dirty) {
		w->next_dirty = NULL;
		notes_write(l, w); /* its consumer may have armed it for what is there */
	}
}

static bool armed_ok(uint32_t armed)
{
	return armed == PHCA_CQ_ARMED_NEXT || armed == PHCA_CQ_ARMED_SOLICITED;
}

void phca_cqw_move(struct phca_cqw *w, const struct phca_ring *fresh, uint32_t noop_room)
{
	uint32_t armed = __atomic_exchange_n(&w->ring.hdr->armed, 0, __ATOMIC_SEQ_CST);

	w->ring = *fresh;
	w->noop_room = noop_room;
	w->noop_run = 0;
	w->news = 0;
	__atomic_store_n(&w->ring.hdr->armed, armed_ok(armed) ? armed : 0, __ATOMIC_RELEASE);
}

void phca_cqw_moved(struct phca_cqws *l, struct phca_cqw *w, struct phca_ring_hdr *old)
{
	uint32_t armed = __atomic_exchange_n(&old->armed, 0, __ATOMIC_SEQ_CST), none = 0;

	if (armed_ok(armed))
		__atomic_compare_exchange_n(&w->ring.hdr->armed, &none, armed, false, __ATOMIC_SEQ_CST,
			__ATOMIC_RELAXED);
	if (w->notify == PHCA_CQW_NOTIFY_NONE || w->ring.own == 0 || w->dirty)
		return; /* nothing to tell, or the flush looks */
	w->news = PHCA_CQW_NEWS_ANY | PHCA_CQW_NEWS_SOLICITED;
	w->next_dirty = NULL;
	notes_write(l, w);
}
