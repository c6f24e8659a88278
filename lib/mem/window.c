/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory windows: entries that lcores change while others read them. It keeps:
 * a reader never uses fields of two binds together; a bind or an invalidation
 * that is refused has changed nothing that a reader sees; a region that a window
 * is bound to stays registered.
 *
 * A change looks at everything first, remembering the word `window`, and begins
 * by exchanging that word: it fails when anything happened since. Fields are
 * written with release and read with acquire instead of fences (which
 * ThreadSanitizer does not know): a reader that saw a new field also sees the
 * word that came before it. No lock: who loses a race is refused.
 */
#include <errno.h>
#include <sched.h>

#include "mem_impl.h"

#define REMOTE (PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC)

static inline uint64_t next_word(uint64_t w, uint32_t low)
{
	return ((w >> 32) + 1) << 32 | low;
}

/* Change the word that was w when the caller looked; false when it is not any more. */
static inline bool word_set(struct mr_entry *e, uint64_t w, uint32_t low)
{
	return __atomic_compare_exchange_n(&e->window, &w, next_word(w, low), false,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline struct mr_entry *entry_of(struct phca_mem *mem, uint32_t key)
{
	uint32_t i = key >> KEY_TAG_BITS;

	return i >= 1 && i <= mem->max_mr ? &mem->entries[i] : NULL;
}

int phca_mw_alloc(struct phca_mem *mem, uint32_t pd, enum phca_mw_type type, uint32_t *rkey)
{
	struct mr_entry *e;
	uint32_t i;

	if ((type != PHCA_MW_TYPE_1 && type != PHCA_MW_TYPE_2) || phca_pd_get(mem, pd) < 0)
		return -EINVAL;
	pthread_mutex_lock(&mem->lock);
	i = entry_take(mem);
	if (i == 0) {
		pthread_mutex_unlock(&mem->lock);
		phca_pd_put(mem, pd);
		return -ENOSPC;
	}
	e = &mem->entries[i];
	e->tag++;
	e->handle_tag = e->tag;
	e->mr.pd = pd;
	e->type = type;
	__atomic_store_n(&e->region, 0, __ATOMIC_RELAXED);
	*rkey = i << KEY_TAG_BITS | e->tag;
	__atomic_store_n(&e->rkey, *rkey, __ATOMIC_RELEASE);
	__atomic_store_n(&mem->nb_mw, mem->nb_mw + 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mem->lock);
	return 0;
}

/* One window less is bound to the region of index i; 0 is none. */
static inline void region_release(struct phca_mem *mem, uint32_t i)
{
	if (i != 0)
		__atomic_fetch_sub(&mem->entries[i].windows, 1, __ATOMIC_RELEASE);
}

/* Take the window from the lcores, once none of them is in the middle of a bind. Under the lock. */
static int window_take_back(struct phca_mem *mem, struct mr_entry *e, uint32_t rkey)
{
	uint32_t now, region;
	uint64_t w;

	for (;; sched_yield()) {
		w = __atomic_load_n(&e->window, __ATOMIC_ACQUIRE);
		if ((uint32_t)w == WINDOW_BUSY)
			continue;
		now = __atomic_load_n(&e->rkey, __ATOMIC_ACQUIRE);
		if (now == KEY_NONE ||
				(rkey != now && (uint8_t)rkey != e->handle_tag))
			return -EINVAL;
		region = __atomic_load_n(&e->region, __ATOMIC_RELAXED);
		if (word_set(e, w, WINDOW_BUSY))
			break;
	}
	e->tag = (uint8_t)now;
	__atomic_store_n(&e->rkey, KEY_NONE, __ATOMIC_RELEASE);
	__atomic_store_n(&e->window, next_word(w, WINDOW_NONE), __ATOMIC_RELEASE);
	region_release(mem, region);
	return 0;
}

int phca_mw_dealloc(struct phca_mem *mem, uint32_t rkey)
{
	struct mr_entry *e = entry_of(mem, rkey);
	uint32_t pd;
	int ret;

	if (e == NULL)
		return -EINVAL;
	pthread_mutex_lock(&mem->lock);
	ret = window_take_back(mem, e, rkey);
	pd = e->mr.pd;
	if (ret == 0)
		__atomic_store_n(&mem->nb_mw, mem->nb_mw - 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mem->lock);
	if (ret < 0)
		return ret;
	entry_give(mem, rkey >> KEY_TAG_BITS);
	phca_pd_put(mem, pd);
	return 0;
}

uint32_t phca_mem_nb_mw(const struct phca_mem *mem)
{
	return __atomic_load_n(&mem->nb_mw, __ATOMIC_RELAXED);
}

/* May this bind be done to the window, as far as the window itself says? */
static enum phca_mem_err bind_window_check(const struct mr_entry *e, uint64_t w,
		const struct phca_mw_bind *b)
{
	uint32_t allowed = REMOTE;

	if (__atomic_load_n(&e->rkey, __ATOMIC_ACQUIRE) != b->rkey || (uint32_t)w == WINDOW_BUSY ||
			b->new_rkey >> KEY_TAG_BITS != b->rkey >> KEY_TAG_BITS)
		return PHCA_MEM_KEY;
	if (e->mr.pd != b->pd) /* C10-72 */
		return PHCA_MEM_PD;
	if (e->type == PHCA_MW_TYPE_2) {
		if ((uint32_t)w != WINDOW_NONE) /* o10-37.2.30 */
			return PHCA_MEM_STATE;
		if (b->length == 0) /* o10-37.2.40 */
			return PHCA_MEM_BOUNDS;
		allowed |= PHCA_ACCESS_ZERO_BASED; /* o10-36.2.2: not type 1 */
	}
	return (b->access & ~allowed) == 0 ? PHCA_MEM_OK : PHCA_MEM_ACCESS;
}

/* Check the region to bind to and hold it. */
static enum phca_mem_err bind_region_hold(struct mr_entry *m, const struct phca_mw_bind *b)
{
	const uint32_t writes = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_ATOMIC;
	uint32_t n;
	uint64_t off;

	if (m == NULL || __atomic_load_n(&m->mr.key, __ATOMIC_ACQUIRE) != b->mr_key)
		return PHCA_MEM_KEY;
	if (m->mr.pd != b->pd)
		return PHCA_MEM_PD;
	if ((m->mr.access & PHCA_ACCESS_MW_BIND) == 0 || /* C10-73, C10-74 */
			((b->access & writes) != 0 && (m->mr.access & PHCA_ACCESS_LOCAL_WRITE) == 0))
		return PHCA_MEM_ACCESS;
	off = b->addr - m->mr.iova; /* C10-75; below iova it is larger than any length */
	if (off > m->mr.length || b->length > m->mr.length - off)
		return PHCA_MEM_BOUNDS;
	n = __atomic_load_n(&m->windows, __ATOMIC_RELAXED);
	do {
		if (n == WINDOWS_CLOSED)
			return PHCA_MEM_KEY;
	} while (!__atomic_compare_exchange_n(&m->windows, &n, n + 1, true,
			__ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return PHCA_MEM_OK;
}

/* What readers use; the word is WINDOW_BUSY. m is NULL for a window that is unbound. */
static void bind_write(struct mr_entry *e, const struct mr_entry *m, uint32_t region,
		const struct phca_mw_bind *b)
{
	if (m != NULL) {
		bool zero_based = (b->access & PHCA_ACCESS_ZERO_BASED) != 0;

		__atomic_store_n(&e->mr.iova, zero_based ? 0 : b->addr, __ATOMIC_RELEASE);
		__atomic_store_n(&e->mr.length, b->length, __ATOMIC_RELEASE);
		uintptr_t base = (uintptr_t)m->mr.base + (b->addr - m->mr.iova);
		uint32_t access = (b->access & REMOTE) | (m->mr.access & MR_PTR);

		__atomic_store_n(&e->mr.base, (uint8_t *)base, __ATOMIC_RELEASE);
		__atomic_store_n(&e->mr.access, access, __ATOMIC_RELEASE);
		__atomic_store_n(&e->qpn, e->type == PHCA_MW_TYPE_2 ? b->qpn : QPN_ANY, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&e->region, region, __ATOMIC_RELEASE);
	__atomic_store_n(&e->rkey, b->new_rkey, __ATOMIC_RELEASE);
}

enum phca_mem_err phca_mw_bind(struct phca_mem *mem, const struct phca_mw_bind *b)
{
	struct mr_entry *e = entry_of(mem, b->rkey), *m = NULL;
	uint32_t region = 0, old;
	enum phca_mem_err err;
	uint64_t w;

	if (e == NULL)
		return PHCA_MEM_KEY;
	w = __atomic_load_n(&e->window, __ATOMIC_ACQUIRE);
	err = bind_window_check(e, w, b);
	if (err != PHCA_MEM_OK)
		return err;
	if (b->length > 0) {
		m = entry_of(mem, b->mr_key);
		err = bind_region_hold(m, b);
		if (err != PHCA_MEM_OK)
			return err;
		region = b->mr_key >> KEY_TAG_BITS;
	}
	old = __atomic_load_n(&e->region, __ATOMIC_RELAXED);
	if (!word_set(e, w, WINDOW_BUSY)) {
		region_release(mem, region);
		return PHCA_MEM_KEY;
	}
	bind_write(e, m, region, b);
	__atomic_store_n(&e->window, next_word(w, m != NULL ? b->new_rkey : WINDOW_NONE),
		__ATOMIC_RELEASE);
	region_release(mem, old);
	return PHCA_MEM_OK;
}

enum phca_mem_err phca_mem_invalidate(struct phca_mem *mem, uint32_t pd, uint32_t qpn, uint32_t rkey)
{
	struct mr_entry *e = entry_of(mem, rkey);
	uint32_t region;
	uint64_t w;

	if (e == NULL)
		return PHCA_MEM_KEY;
	if (__atomic_load_n(&e->mr.key, __ATOMIC_ACQUIRE) == rkey)
		return e->mr.pd == pd ? PHCA_MEM_TYPE : PHCA_MEM_PD;
	w = __atomic_load_n(&e->window, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&e->rkey, __ATOMIC_ACQUIRE) != rkey)
		return PHCA_MEM_KEY;
	if (e->mr.pd != pd)
		return PHCA_MEM_PD;
	if (e->type != PHCA_MW_TYPE_2)
		return PHCA_MEM_TYPE;
	if ((uint32_t)w != rkey)
		return PHCA_MEM_STATE;
	if (__atomic_load_n(&e->qpn, __ATOMIC_RELAXED) != qpn)
		return PHCA_MEM_QP;
	region = __atomic_load_n(&e->region, __ATOMIC_RELAXED);
	if (!word_set(e, w, WINDOW_BUSY))
		return PHCA_MEM_KEY;
	__atomic_store_n(&e->region, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&e->window, next_word(w, WINDOW_NONE), __ATOMIC_RELEASE);
	region_release(mem, region);
	return PHCA_MEM_OK;
}

enum phca_mem_err window_find(const struct mr_entry *e, uint64_t w, uint32_t pd, uint32_t qpn,
		uint64_t va, uint64_t len, uint32_t access, uintptr_t *at, uint32_t *region)
{
	uint64_t off = va - __atomic_load_n(&e->mr.iova, __ATOMIC_ACQUIRE);
	uint64_t length = __atomic_load_n(&e->mr.length, __ATOMIC_ACQUIRE);
	uintptr_t base = (uintptr_t)__atomic_load_n(&e->mr.base, __ATOMIC_ACQUIRE);
	uint32_t rights = __atomic_load_n(&e->mr.access, __ATOMIC_ACQUIRE);
	uint32_t only = __atomic_load_n(&e->qpn, __ATOMIC_ACQUIRE);

	*region = __atomic_load_n(&e->region, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&e->window, __ATOMIC_RELAXED) != w)
		return PHCA_MEM_KEY; /* bound to something else meanwhile */
	if (e->mr.pd != pd)
		return PHCA_MEM_PD;
	if (only != QPN_ANY && only != qpn)
		return PHCA_MEM_QP;
	if (off > length || len > length - off)
		return PHCA_MEM_BOUNDS;
	if ((access & ~rights) != 0)
		return PHCA_MEM_ACCESS;
	*at = base + off;
	return likely(rights & MR_PTR) ? PHCA_MEM_OK : PHCA_MEM_IO;
}
