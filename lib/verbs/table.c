/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers of QPs, CQs and SRQs to objects, in two levels. Leaves are never freed
 * before the table is, so that readers need no lock.
 */
#include <errno.h>
#include <stdlib.h>

#include "verbs_impl.h"

#define LEAF (1u << VTABLE_BITS)

int vtable_set(struct vtable *t, uint32_t num, void *obj)
{
	_Atomic(void *) *leaf;

	if (num >> (2 * VTABLE_BITS))
		return obj == NULL ? 0 : -EINVAL;
	leaf = atomic_load_explicit(&t->leaf[num >> VTABLE_BITS], memory_order_relaxed);
	if (leaf == NULL) {
		if (obj == NULL)
			return 0;
		leaf = calloc(LEAF, sizeof(*leaf));
		if (leaf == NULL)
			return -ENOMEM;
		atomic_store_explicit(&t->leaf[num >> VTABLE_BITS], leaf, memory_order_release);
	}
	atomic_store_explicit(&leaf[num & (LEAF - 1)], obj, memory_order_release);
	return 0;
}

void vtable_fini(struct vtable *t)
{
	for (uint32_t i = 0; i < LEAF; i++)
		free((void *)atomic_load_explicit(&t->leaf[i], memory_order_relaxed));
}
