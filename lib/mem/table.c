/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control side: what is registered. It keeps: a published region does not
 * change; an entry is written again only after every lcore was quiescent since
 * its key was taken back; freed entries are used again oldest first and with
 * another tag, so that a stale key stays refused as long as possible.
 *
 * A domain's count holds it while regions, windows or queue pairs refer to it. Counts
 * are atomic, not under the lock.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_errno.h>

#include "mem_impl.h"

#define REUSE_MIN 4096u /* freed entries from which on none is touched that was never used */

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Only a wish: fewer TLB misses where the kernel has huge pages to give. */
	(void)madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static void unmap(void *p, size_t len)
{
	if (p != NULL)
		munmap(p, len);
}

struct phca_mem *phca_mem_create(uint32_t max_mr, struct rte_rcu_qsbr *qsbr)
{
	struct phca_mem *mem;

	if (max_mr < 1 || max_mr > MR_MAX || qsbr == NULL) {
		rte_errno = EINVAL;
		return NULL;
	}
	mem = map(sizeof(*mem) + (PD_MAX + 1) * sizeof(uint32_t));
	if (mem == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	mem->map_len = sizeof(*mem) + (PD_MAX + 1) * sizeof(uint32_t);
	mem->entries_len = ((size_t)max_mr + 1) * sizeof(struct mr_entry);
	mem->io_len = ((size_t)max_mr + 1) * sizeof(struct mr_io);
	mem->freed_len = (size_t)max_mr * sizeof(uint32_t);
	mem->pd = (uint32_t *)(mem + 1);
	mem->max_mr = max_mr;
	mem->qsbr = qsbr;
	mem->fresh = 1;
	mem->pd_next = 1;
	pthread_mutex_init(&mem->lock, NULL);
	pthread_mutex_init(&mem->wait_lock, NULL);
	mem->entries = map(mem->entries_len);
	mem->io = map(mem->io_len);
	mem->freed = map(mem->freed_len);
	if (mem->entries == NULL || mem->io == NULL || mem->freed == NULL) {
		phca_mem_destroy(mem);
		rte_errno = ENOMEM;
		return NULL;
	}
	/* Entry 0 would match keys of index 0: give it one of another index. */
	mem->entries[0].mr.key = UINT32_MAX;
	mem->entries[0].window = UINT32_MAX;
	return mem;
}

void phca_mem_destroy(struct phca_mem *mem)
{
	if (mem == NULL)
		return;
	unmap(mem->entries, mem->entries_len);
	unmap(mem->io, mem->io_len);
	unmap(mem->freed, mem->freed_len);
	pthread_mutex_destroy(&mem->lock);
	pthread_mutex_destroy(&mem->wait_lock);
	unmap(mem, mem->map_len);
}

uint32_t phca_pd_alloc(struct phca_mem *mem)
{
	uint32_t pd = 0;

	pthread_mutex_lock(&mem->lock);
	for (uint32_t i = 0; i < PD_MAX && pd == 0; i++) {
		uint32_t unused = 0;

		if (__atomic_compare_exchange_n(&mem->pd[mem->pd_next], &unused, 1, false,
				__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			pd = mem->pd_next;
		mem->pd_next = mem->pd_next % PD_MAX + 1;
	}
	pthread_mutex_unlock(&mem->lock);
	if (pd == 0)
		rte_errno = ENOSPC;
	return pd;
}

int phca_pd_free(struct phca_mem *mem, uint32_t pd)
{
	uint32_t alone = 1;

	if (pd < 1 || pd > PD_MAX)
		return -EINVAL;
	if (__atomic_compare_exchange_n(&mem->pd[pd], &alone, 0, false,
			__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return 0;
	return alone == 0 ? -EINVAL : -EBUSY;
}

int phca_pd_get(struct phca_mem *mem, uint32_t pd)
{
	uint32_t n;

	if (pd < 1 || pd > PD_MAX)
		return -EINVAL;
	n = __atomic_load_n(&mem->pd[pd], __ATOMIC_RELAXED);
	do {
		if (n == 0 || n == UINT32_MAX)
			return -EINVAL;
	} while (!__atomic_compare_exchange_n(&mem->pd[pd], &n, n + 1, true,
			__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return 0;
}

void phca_pd_put(struct phca_mem *mem, uint32_t pd)
{
	uint32_t n;

	if (pd < 1 || pd > PD_MAX)
		return;
	n = __atomic_load_n(&mem->pd[pd], __ATOMIC_RELAXED);
	do {
		if (n <= 1) /* nobody held it: the domain itself is not given away */
			return;
	} while (!__atomic_compare_exchange_n(&mem->pd[pd], &n, n - 1, true,
			__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

uint32_t entry_take(struct phca_mem *mem)
{
	uint32_t i;

	if (mem->nb_freed < REUSE_MIN && mem->fresh <= mem->max_mr)
		return mem->fresh++;
	if (mem->nb_freed == 0)
		return 0;
	i = mem->freed[mem->freed_head];
	mem->freed_head = (mem->freed_head + 1) % mem->max_mr;
	mem->nb_freed--;
	return i;
}

void entry_give(struct phca_mem *mem, uint32_t i)
{
	uint64_t token, at;

	pthread_mutex_lock(&mem->wait_lock);
	token = rte_rcu_qsbr_start(mem->qsbr);
	/* Yield, not spin: the lcore may need this very processor to get there. */
	while (rte_rcu_qsbr_check(mem->qsbr, token, false) == 0)
		sched_yield();
	pthread_mutex_unlock(&mem->wait_lock);

	pthread_mutex_lock(&mem->lock);
	at = (uint64_t)mem->freed_head + mem->nb_freed;
	mem->freed[at % mem->max_mr] = i;
	mem->nb_freed++;
	pthread_mutex_unlock(&mem->lock);
}

static bool reg_args_ok(uint64_t length, uint64_t iova, uint32_t access)
{
	const uint32_t writes = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_ATOMIC;

	return length > 0 && iova <= UINT64_MAX - length && (access & ~(uint32_t)PHCA_ACCESS_ALL) == 0 &&
		((access & writes) == 0 || (access & PHCA_ACCESS_LOCAL_WRITE) != 0);
}

/* A region with a pointer, access has MR_PTR, or one with callbacks. */
static int reg(struct phca_mem *mem, const struct phca_mr *mr, const struct mr_io *io, uint32_t *key)
{
	struct mr_entry *e;
	uint32_t i;

	if (phca_pd_get(mem, mr->pd) < 0)
		return -EINVAL;
	pthread_mutex_lock(&mem->lock);
	i = entry_take(mem);
	if (i == 0) {
		pthread_mutex_unlock(&mem->lock);
		phca_pd_put(mem, mr->pd);
		return -ENOSPC;
	}
	e = &mem->entries[i];
	e->tag++;
	e->mr.iova = mr->iova;
	e->mr.length = mr->length;
	e->mr.base = mr->base;
	e->mr.pd = mr->pd;
	e->mr.access = mr->access;
	if (io != NULL)
		mem->io[i] = *io;
	__atomic_store_n(&e->windows, 0, __ATOMIC_RELAXED);
	*key = i << KEY_TAG_BITS | e->tag;
	__atomic_store_n(&e->mr.key, *key, __ATOMIC_RELEASE);
	__atomic_store_n(&mem->nb_mr, mem->nb_mr + 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mem->lock);
	return 0;
}

int phca_mr_reg(struct phca_mem *mem, uint32_t pd, void *base, uint64_t length,
		uint64_t iova, uint32_t access, uint32_t *key)
{
	const struct phca_mr mr = { .iova = iova, .length = length, .base = base, .pd = pd,
		.access = access | MR_PTR };

	if (base == NULL || !reg_args_ok(length, iova, access) || (uintptr_t)base > UINT64_MAX - length)
		return -EINVAL;
	return reg(mem, &mr, NULL, key);
}

int phca_mr_reg_io(struct phca_mem *mem, uint32_t pd, const struct phca_mr_io *io, void *arg,
		uint64_t length, uint64_t iova, uint32_t access, uint32_t *key)
{
	const struct phca_mr mr = { .iova = iova, .length = length, .pd = pd, .access = access };
	const struct mr_io how = { .ops = io, .arg = arg };

	if (io == NULL || io->read == NULL || io->write == NULL || !reg_args_ok(length, iova, access))
		return -EINVAL;
	return reg(mem, &mr, &how, key);
}

int phca_mr_dereg(struct phca_mem *mem, uint32_t key)
{
	uint32_t i = key >> KEY_TAG_BITS, pd, unbound = 0;
	struct mr_entry *e;

	if (i < 1 || i > mem->max_mr)
		return -EINVAL;
	e = &mem->entries[i];
	pthread_mutex_lock(&mem->lock);
	if (e->mr.key != key) {
		pthread_mutex_unlock(&mem->lock);
		return -EINVAL;
	}
	/* Closed before it is unpublished: no lcore binds a window to it from here on. */
	if (!__atomic_compare_exchange_n(&e->windows, &unbound, WINDOWS_CLOSED, false,
			__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		pthread_mutex_unlock(&mem->lock);
		return -EBUSY;
	}
	pd = e->mr.pd;
	__atomic_store_n(&e->mr.key, KEY_NONE, __ATOMIC_RELEASE);
	__atomic_store_n(&mem->nb_mr, mem->nb_mr - 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mem->lock);

	entry_give(mem, i);
	phca_pd_put(mem, pd);
	return 0;
}

uint32_t phca_mem_nb_mr(const struct phca_mem *mem)
{
	return __atomic_load_n(&mem->nb_mr, __ATOMIC_RELAXED);
}
