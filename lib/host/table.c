/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handles: numbers by which a client names its objects of one kind. The lowest
 * free one is given, so that the table is as long as its client has objects.
 *
 * Invariant: a slot is not NULL exactly while its handle is in use.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host_impl.h"

#define SLOTS_MIN 16u

int table_room(struct table *t)
{
	uint32_t size;
	void **slots;

	if (t->used >= t->limit)
		return -ENOMEM;
	if (t->used < t->size)
		return 0;
	size = RTE_MIN(RTE_MAX(2 * t->size, SLOTS_MIN), t->limit);
	slots = realloc(t->slots, size * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	memset(slots + t->size, 0, (size - t->size) * sizeof(*slots));
	t->slots = slots;
	t->size = size;
	return 0;
}

uint32_t table_add(struct table *t, void *obj)
{
	uint32_t i = t->low;

	while (t->slots[i] != NULL)
		i++;
	t->slots[i] = obj;
	t->used++;
	t->low = i + 1;
	return i;
}

void *table_get(const struct table *t, uint32_t handle)
{
	return handle < t->size ? t->slots[handle] : NULL;
}

void table_remove(struct table *t, uint32_t handle)
{
	t->slots[handle] = NULL;
	t->used--;
	t->low = RTE_MIN(t->low, handle);
}

void *table_next(const struct table *t, uint32_t *handle)
{
	while (*handle < t->size && t->slots[*handle] == NULL)
		(*handle)++;
	return table_get(t, *handle);
}

void table_free(struct table *t)
{
	free(t->slots);
	*t = (struct table){ .slots = NULL };
}
