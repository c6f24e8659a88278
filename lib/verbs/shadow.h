/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shadows of queues: what was posted and not completed, oldest first.
 *
 * Indices are those of the ring beside it: both count what was posted, from 0, and
 * no reset turns either back. Requests of a send queue that were not signaled have
 * no completion of their own, so that one which succeeds tells that those before it
 * are done, too. A request that fails has one, signaled or not.
 */
#ifndef VERBS_SHADOW_H
#define VERBS_SHADOW_H

#include "verbs_impl.h"

/* @return entry at a free-running index. */
static inline struct vwr *shadow_at(const struct vshadow *s, uint32_t i)
{
	return &s->wr[i & s->mask];
}
static inline uint32_t shadow_head(const struct vshadow *s)
{
	return __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);
}
static inline uint32_t shadow_tail(const struct vshadow *s)
{
	return atomic_load_explicit(&s->tail, memory_order_acquire);
}
/* Under the queue's lock. */
static inline bool shadow_full(const struct vshadow *s)
{
	return s->head - shadow_tail(s) >= s->max;
}
/* Under the queue's lock. There is room. */
static inline void shadow_push(struct vshadow *s, uint64_t wr_id, uint8_t opcode, bool signaled)
{
	*shadow_at(s, s->head) = (struct vwr){ .wr_id = wr_id, .opcode = opcode, .signaled = signaled };
	__atomic_store_n(&s->head, s->head + 1, __ATOMIC_RELEASE);
}
/* Under the CQ's lock: those before @p i are the application's again. */
static inline void shadow_tail_set(struct vshadow *s, uint32_t i)
{
	atomic_store_explicit(&s->tail, i, memory_order_release);
}
#endif
