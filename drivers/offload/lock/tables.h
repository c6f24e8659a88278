/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables in the applications' memory, for the lock core. */
#ifndef LOCK_TABLES_H
#define LOCK_TABLES_H

#include "core.h"
#include "phca_mem.h"

struct lock_tables {
	const struct phca_mem *mem;
	/* the entry that was checked last, good for the request that is being carried out; or NULL */
	struct phca_lock_entry *entry;
	struct lock_name entry_name;
	uint32_t entry_lock;
};

/* Their user is a struct lock_tables. */
extern const struct lock_ops lock_tables_ops;

#endif
