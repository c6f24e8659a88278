/* SPDX-License-Identifier: BSD-3-Clause */
/* What the two halves of lib/mem share: the table of regions. */
#ifndef MEM_IMPL_H
#define MEM_IMPL_H

#include <pthread.h>

#include "phca_mem.h"

#define PD_MAX 65535u     /* protection domains are 1..PD_MAX */
#define MR_MAX 0xffffffu  /* table indices are 1..MR_MAX */
#define KEY_TAG_BITS 8
#define KEY_NONE 0u       /* key of an entry that is not published: index 0 is never one */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/*
 * An entry: one cache line. mr.key publishes it; the other fields of mr are
 * written only while it is KEY_NONE and no lcore can have seen it otherwise.
 */
struct mr_entry {
	struct phca_mr mr;
	uint8_t tag;      /* of the last key; control threads, under the lock */
	uint8_t pad[PHCA_CACHE_LINE - sizeof(struct phca_mr) - 1];
};
_Static_assert(sizeof(struct mr_entry) == PHCA_CACHE_LINE, "one line an entry");

struct phca_mem {
	/* the data path reads these, nobody writes them */
	struct mr_entry *entries; /* max_mr + 1 of them; index 0 is never used */
	uint32_t max_mr;

	/* control threads */
	struct rte_rcu_qsbr *qsbr __attribute__((aligned(PHCA_CACHE_LINE)));
	pthread_mutex_t lock;     /* entries' tags, what is below; never held while waiting */
	pthread_mutex_t wait_lock;/* one waits for the lcores at a time */
	uint32_t nb_mr;           /* registered; other threads read it relaxed */
	uint32_t fresh;           /* entries from here on were never used */
	uint32_t *freed;          /* ring of entries to use again, oldest first */
	uint32_t freed_head;      /* 0..max_mr-1: the oldest */
	uint32_t nb_freed;        /* 0..max_mr */
	uint32_t pd_next;         /* where to look for a free domain */
	uint32_t *pd;             /* per domain: 0 free, else 1 + what refers to it; atomic */
	size_t map_len, entries_len, freed_len; /* bytes that were mapped */
};

#endif
