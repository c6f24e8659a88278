/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables in the applications' memory, as the requesters name them.
 *
 * Each access is checked as that of the requester would be, with its queue pair.
 * Invariant: a pointer lives no longer than the request that it was looked up for.
 */
#include <errno.h>

#include "tables.h"

/* Memory that a requester may change. @return 0, or -EACCES; *ptr NULL: only callbacks reach it */
static int reach(const struct lock_tables *d, const struct lock_name *n, uint64_t off, uint32_t len, void **ptr)
{
	enum phca_mem_err err;
	uint64_t va = n->va + off;

	*ptr = phca_mem_remote(d->mem, n->rkey, n->domain, n->qpn, va, len, PHCA_ACCESS_REMOTE_WRITE, &err);
	if (*ptr == NULL && err == PHCA_MEM_ACCESS)
		*ptr = phca_mem_remote(d->mem, n->rkey, n->domain, n->qpn, va, len, PHCA_ACCESS_REMOTE_ATOMIC, &err);
	if (*ptr == NULL)
		return err == PHCA_MEM_IO ? 0 : -EACCES;
	return (uintptr_t)*ptr % 8 != 0 ? -EACCES : 0;
}

static uint64_t entry_offset(uint32_t lock)
{
	return sizeof(struct phca_lock_table) + (uint64_t)lock * sizeof(struct phca_lock_entry);
}

static int table_header(void *user, const struct lock_peer *p, const struct lock_name *n, struct phca_lock_table *h)
{
	const struct lock_tables *d = user;
	void *ptr;

	(void)p;
	if (reach(d, n, 0, sizeof(*h), &ptr) != 0)
		return -EACCES;
	if (ptr == NULL)
		return phca_mem_read(d->mem, n->rkey, n->domain, n->qpn, n->va, h, sizeof(*h)) == PHCA_MEM_OK ?
			0 : -EACCES;
	memcpy(h, ptr, sizeof(*h));
	return 0;
}

static int table_check(void *user, const struct lock_peer *p, const struct lock_name *n, uint32_t lock)
{
	struct lock_tables *d = user;
	void *ptr;

	(void)p;
	if (reach(d, n, entry_offset(lock), sizeof(struct phca_lock_entry), &ptr) != 0)
		return -EACCES;
	d->entry = ptr;
	d->entry_name = *n;
	d->entry_lock = lock;
	return 0;
}

/* Through callbacks, in the same three steps as phca_lock_entry_write. */
static int store_slow(const struct lock_tables *d, const struct lock_name *n, uint32_t lock,
		const struct phca_lock_entry *e)
{
	uint64_t va = n->va + entry_offset(lock), odd = e->seq - 1;

	return phca_mem_write(d->mem, n->rkey, n->domain, n->qpn, va, &odd, 8) == PHCA_MEM_OK &&
		phca_mem_write(d->mem, n->rkey, n->domain, n->qpn, va + 8, &e->mode, sizeof(*e) - 8) == PHCA_MEM_OK &&
		phca_mem_write(d->mem, n->rkey, n->domain, n->qpn, va, &e->seq, 8) == PHCA_MEM_OK ? 0 : -EACCES;
}

static int table_store(void *user, const struct lock_name *n, uint32_t lock, const struct phca_lock_entry *e)
{
	const struct lock_tables *d = user;
	void *ptr = d->entry;

	if (ptr == NULL || d->entry_lock != lock || d->entry_name.va != n->va || d->entry_name.rkey != n->rkey ||
			d->entry_name.domain != n->domain) {
		if (reach(d, n, entry_offset(lock), sizeof(*e), &ptr) != 0)
			return -EACCES;
		if (ptr == NULL)
			return store_slow(d, n, lock, e);
	}
	phca_lock_entry_write(ptr, e);
	return 0;
}

static int table_reserve(void *user, const struct lock_name *n, uint64_t token)
{
	const struct lock_tables *d = user;
	const uint32_t off = offsetof(struct phca_lock_table, token_reserved);
	void *ptr;

	if (reach(d, n, off, 8, &ptr) != 0)
		return -EACCES;
	if (ptr == NULL)
		return phca_mem_write(d->mem, n->rkey, n->domain, n->qpn, n->va + off, &token, 8) == PHCA_MEM_OK ?
			0 : -EACCES;
	__atomic_store_n((uint64_t *)ptr, token, __ATOMIC_RELAXED);
	return 0;
}

const struct lock_ops lock_tables_ops = { table_header, table_check, table_store, table_reserve };
