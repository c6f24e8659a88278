/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mempool handler: a stack under a lock. DPDK's own are in shared libraries, where
 * ThreadSanitizer does not see them, and it would take a buffer that one lcore freed
 * and another one got for a race.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#include "pool.h"

#define NAME "stress"

struct stack {
	bool lock;
	unsigned int n;
	void *obj[];
};

static void stack_lock(struct stack *s)
{
	while (__atomic_exchange_n(&s->lock, true, __ATOMIC_ACQUIRE))
		rte_pause();
}

static void stack_unlock(struct stack *s)
{
	__atomic_store_n(&s->lock, false, __ATOMIC_RELEASE);
}

static int pool_alloc(struct rte_mempool *mp)
{
	mp->pool_data = calloc(1, sizeof(struct stack) + mp->size * sizeof(void *));
	return mp->pool_data != NULL ? 0 : -ENOMEM;
}

static void pool_free(struct rte_mempool *mp)
{
	free(mp->pool_data);
}

static int pool_enqueue(struct rte_mempool *mp, void *const *obj, unsigned int n)
{
	struct stack *s = mp->pool_data;

	stack_lock(s);
	memcpy(s->obj + s->n, obj, n * sizeof(*obj));
	s->n += n;
	stack_unlock(s);
	return 0;
}

static int pool_dequeue(struct rte_mempool *mp, void **obj, unsigned int n)
{
	struct stack *s = mp->pool_data;
	bool enough;

	stack_lock(s);
	enough = s->n >= n;
	if (enough) {
		s->n -= n;
		memcpy(obj, s->obj + s->n, n * sizeof(*obj));
	}
	stack_unlock(s);
	return enough ? 0 : -ENOBUFS;
}

static unsigned int pool_count(const struct rte_mempool *mp)
{
	struct stack *s = mp->pool_data;
	unsigned int n;

	stack_lock(s);
	n = s->n;
	stack_unlock(s);
	return n;
}

static const struct rte_mempool_ops ops = {
	.name = NAME, .alloc = pool_alloc, .free = pool_free, .enqueue = pool_enqueue, .dequeue = pool_dequeue,
	.get_count = pool_count,
};
RTE_MEMPOOL_REGISTER_OPS(ops);

int pool_seen(void)
{
	return rte_mbuf_set_user_mempool_ops(NAME);
}
