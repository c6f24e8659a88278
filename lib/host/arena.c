/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of a client's rings: one sparse memory object that this process and
 * the client's map, and whose size nobody can change (sealed), so that no access
 * of this process to it can fault for ever.
 *
 * Invariant: what is used and what is free is known from memory of this process
 * only. Ranges are whole pages; a range is zero when it is handed out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host_impl.h"

#define PAGE ((uint64_t)4096)

static struct extent *extent_new(uint64_t offset, uint64_t bytes, struct extent *next)
{
	struct extent *e = malloc(sizeof(*e));

	if (e != NULL)
		*e = (struct extent){ offset, bytes, next };
	return e;
}

static int memory_object(uint64_t bytes)
{
	int fd = memfd_create("proxyhca-queues", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

int arena_open(struct arena *a, uint64_t bytes)
{
	void *mem;

	*a = (struct arena){ .bytes = bytes };
	a->fd = memory_object(bytes);
	if (a->fd < 0)
		return a->fd;
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, a->fd, 0);
	if (mem != MAP_FAILED)
		a->base = mem;
	a->free = extent_new(0, bytes, NULL);
	if (a->base != NULL && a->free != NULL)
		return 0;
	arena_close(a);
	return -ENOMEM;
}

void arena_close(struct arena *a)
{
	while (a->free != NULL) {
		struct extent *next = a->free->next;

		free(a->free);
		a->free = next;
	}
	if (a->base != NULL)
		munmap(a->base, a->bytes);
	if (a->fd >= 0)
		close(a->fd);
	*a = (struct arena){ .fd = -1 };
}

static void punch(const struct arena *a, uint64_t offset, uint64_t bytes)
{
	if (fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) != 0)
		memset(a->base + offset, 0, bytes);
}

/* The HCA lcore shall not be the one that waits for pages. */
static int populate(const struct arena *a, uint64_t offset, uint64_t bytes)
{
	if (fallocate(a->fd, 0, (off_t)offset, (off_t)bytes) != 0)
		return -ENOMEM;
	if (madvise(a->base + offset, bytes, MADV_POPULATE_WRITE) != 0)
		for (uint64_t i = 0; i < bytes; i += PAGE)
			*(volatile uint8_t *)(a->base + offset + i) = 0;
	return 0;
}

void *arena_alloc(void *arena, size_t n)
{
	struct arena *a = arena;
	uint64_t bytes = RTE_ALIGN(n, PAGE), offset;
	struct extent **pp = &a->free, *e;

	while (*pp != NULL && (*pp)->bytes < bytes)
		pp = &(*pp)->next;
	e = *pp;
	if (e == NULL || n == 0)
		return NULL;
	offset = e->offset;
	punch(a, offset, bytes); /* the client can write to ranges that are free, too */
	if (populate(a, offset, bytes) != 0) {
		punch(a, offset, bytes);
		return NULL;
	}
	e->offset += bytes;
	e->bytes -= bytes;
	if (e->bytes == 0) {
		*pp = e->next;
		free(e);
	}
	a->used += bytes;
	return a->base + offset;
}

void arena_free(void *arena, void *mem, size_t n)
{
	struct arena *a = arena;
	uint64_t bytes = RTE_ALIGN(n, PAGE), offset = (uint64_t)((uint8_t *)mem - a->base);
	struct extent **pp = &a->free, *prev = NULL, *next;

	if (!a->keep)
		punch(a, offset, bytes);
	a->used -= bytes;
	while (*pp != NULL && (*pp)->offset < offset) {
		prev = *pp;
		pp = &prev->next;
	}
	next = *pp;
	if (prev != NULL && prev->offset + prev->bytes == offset) {
		prev->bytes += bytes;
		if (next != NULL && offset + bytes == next->offset) {
			prev->bytes += next->bytes;
			prev->next = next->next;
			free(next);
		}
	} else if (next != NULL && offset + bytes == next->offset) {
		next->offset = offset;
		next->bytes += bytes;
	} else {
		struct extent *e = extent_new(offset, bytes, next);

		if (e != NULL) /* else the range is lost to this client */
			*pp = e;
	}
}

void arena_ring(const struct arena *a, const struct phca_ring_mem *m, struct phca_admin_ring *r)
{
	*r = (struct phca_admin_ring){ .bytes = m->bytes };
	if (m->mem != NULL)
		r->offset = (uint64_t)((uint8_t *)m->mem - a->base);
}
