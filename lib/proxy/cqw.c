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
 */
#include <rte_branch_prediction.h>

#include "phca_proxy.h"

#define CQE_AHEAD 4 /* how far ahead the consumer's lines are asked for */

struct phca_wc *phca_cqw_next(struct phca_cqw *w, bool solicited, uint64_t now_ns)
{
	struct phca_cqe *e;

	if (unlikely(w->overrun || phca_ring_free(&w->ring, 1) == 0)) {
		__atomic_store_n(&w->overrun, true, __ATOMIC_RELAXED);
		PHCA_STAT_ADD(w->lost, 1);
		return NULL;
	}
	e = phca_ring_next(&w->ring);
	phca_prefetch_write(phca_ring_slot(&w->ring, w->ring.own + CQE_AHEAD - 1));
	e->timestamp_ns = now_ns;
	e->flags = solicited ? PHCA_CQE_SOLICITED : 0;
	e->count = 0;
	w->noop_run = 0;
	PHCA_STAT_ADD(w->written, 1);
	return &e->wc;
}

int phca_cqw_put(struct phca_cqw *w, const struct phca_wc *wc, bool solicited, uint64_t now_ns)
{
	struct phca_wc *to = phca_cqw_next(w, solicited, now_ns);

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
