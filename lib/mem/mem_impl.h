/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of lib/mem share: the table of regions and windows. */
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

/* The lower half of mr_entry.window: an rkey, or */
#define WINDOW_NONE 0u /* no access */
#define WINDOW_BUSY 1u /* an lcore is binding; of index 0, so never a key */

/*
 * Of mr.access, beside the rights: base is a pointer. Who wants one asks for it as for a
 * right, so that regions without a pointer cost the others no comparison more.
 */
#define MR_PTR 0x80000000u

#define WINDOWS_CLOSED UINT32_MAX /* mr_entry.windows: no more binds, it is deregistered */
#define QPN_ANY        UINT32_MAX /* mr_entry.qpn: type 1 */

/*
 * An entry: one cache line, of a region or of a window.
 *
 * Of a region, mr.key publishes it; the other fields of mr are written only
 * while it is KEY_NONE and no lcore can have seen it otherwise.
 *
 * Of a window, mr.key is always KEY_NONE, so that what looks for regions does
 * not find it; rkey says that it is one. mr.pd and type are as constant as a
 * region's. Fields marked (b) change with a bind while other lcores read: by who
 * has set the lower half of window to WINDOW_BUSY, with atomic stores. The upper
 * half counts the changes: who found the same word before and after reading (b)
 * has read what belongs together.
 */
struct mr_entry {
	struct phca_mr mr;   /* window: (b) iova, length, base, access. Without MR_PTR base is an offset:
			      * 0 of a region, of a window where in its region it begins */
	uint64_t window;     /* window: changes << 32 | rkey that gives access */
	uint32_t rkey;       /* window: (b) by which it is named now; KEY_NONE: no window */
	union {
		uint32_t windows; /* region: bound to it, or WINDOWS_CLOSED; atomic */
		uint32_t region;  /* window: (b) index of what it is bound to; 0: not bound */
	};
	uint32_t qpn;        /* window: (b) the only queue pair, or QPN_ANY */
	uint8_t type;        /* window: enum phca_mw_type */
	uint8_t tag;         /* of the last key; control threads, under the lock */
	uint8_t handle_tag;  /* window: of its first rkey; as tag */
	uint8_t pad;
};
_Static_assert(sizeof(struct mr_entry) == PHCA_CACHE_LINE, "one line an entry");

/* How a region without MR_PTR is reached; written and read as the entry's mr. */
struct mr_io {
	const struct phca_mr_io *ops;
	void *arg;
};

struct phca_mem {
	/* the data path reads these, nobody writes them */
	struct mr_entry *entries; /* max_mr + 1 of them; index 0 is never used */
	struct mr_io *io;         /* as many */
	uint32_t max_mr;

	/* control threads */
	struct rte_rcu_qsbr *qsbr __attribute__((aligned(PHCA_CACHE_LINE)));
	pthread_mutex_t lock;     /* entries' tags, what is below; never held while waiting */
	pthread_mutex_t wait_lock;/* one waits for the lcores at a time */
	uint32_t nb_mr, nb_mw;    /* in use; other threads read them relaxed */
	uint32_t fresh;           /* entries from here on were never used, and take no memory */
	uint32_t *freed;          /* ring of entries to use again, oldest first */
	uint32_t freed_head;      /* 0..max_mr-1: the oldest */
	uint32_t nb_freed;        /* 0..max_mr */
	uint32_t pd_next;         /* where to look for a free domain */
	uint32_t *pd;             /* per domain: 0 free, else 1 + what refers to it; atomic */
	size_t map_len, entries_len, io_len, freed_len; /* bytes that were mapped */
};

/* table.c, for control threads. Take an entry that no lcore knows, 0 when all are in use; under the lock. */
uint32_t entry_take(struct phca_mem *mem);
/* Wait until every lcore was quiescent, then let the entry be taken again. Not under the lock. */
void entry_give(struct phca_mem *mem, uint32_t i);

/*
 * window.c: look up in the window e, where the word window was w. Found: PHCA_MEM_OK and a
 * pointer, or PHCA_MEM_IO, the index of the region that it is bound to and an offset into that.
 */
enum phca_mem_err window_find(const struct mr_entry *e, uint64_t w, uint32_t pd, uint32_t qpn,
		uint64_t va, uint64_t len, uint32_t access, uintptr_t *at, uint32_t *region);

/* io.c: what is done instead of a copy when a look-up says PHCA_MEM_IO. len > 0. */
enum phca_mem_err io_local(const struct phca_mem *mem, uint32_t key, uint64_t va, uint8_t *buf,
		uint32_t len, bool to_region);
enum phca_mem_err io_remote(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, uint8_t *buf, uint32_t len, bool to_region);

#endif
