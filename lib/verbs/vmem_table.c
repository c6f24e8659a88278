/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is swapped, and for whom: two sorted arrays. A range counts the registrations of its
 * pages; a hold remembers in which ranges a registration counts. Ranges never overlap, and
 * have the number of the swap that made them: a hold of an earlier one at the same
 * addresses, which the application has unmapped since, does not count in them.
 *
 * The arrays lie in an arena that is reserved once, between pages without access, so that
 * the kernel never merges it with memory of the application.
 */
#include <string.h>
#include <sys/mman.h>

#include "vmem_impl.h"

/* Reserved, of which nothing is used but what is needed. */
#define STATE_SIZE (UINT64_C(64) << 10)
#define STACK_SIZE (UINT64_C(256) << 10)
#define RANGES_SIZE (UINT64_C(64) << 20)
#define HOLDS_SIZE (UINT64_C(192) << 20)
#define PLAN_SIZE (UINT64_C(16) << 20)
#define ARENA_SIZE (STATE_SIZE + STACK_SIZE + RANGES_SIZE + HOLDS_SIZE + PLAN_SIZE)

_Static_assert(sizeof(struct vmem) <= STATE_SIZE, "the state has its place");

struct vmem *vmem;

int vmem_arena_make(void)
{
	struct vmem *made, *none = NULL;
	char *base;

	if (__atomic_load_n(&vmem, __ATOMIC_ACQUIRE) != NULL)
		return 0;
	base = vmem_mmap(ARENA_SIZE + 2 * VMEM_PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == NULL)
		return -ENOMEM;
	base += VMEM_PAGE;
	if (mprotect(base, STATE_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE) != 0) {
		vmem_munmap(base - VMEM_PAGE, ARENA_SIZE + 2 * VMEM_PAGE);
		return -ENOMEM;
	}
	made = (struct vmem *)base;
	pthread_mutex_init(&made->lock, NULL);
	made->mem.fd = made->huge.fd = made->maps.fd = made->uffd.fd = -1;
	base += STATE_SIZE + STACK_SIZE;
	made->stack_top = base;
	made->ranges_mem = (struct vmem_array){ .base = base, .used_max = RANGES_SIZE };
	made->ranges = (struct vmem_range *)base;
	base += RANGES_SIZE;
	made->holds_mem = (struct vmem_array){ .base = base, .used_max = HOLDS_SIZE };
	made->holds = (struct vmem_hold *)base;
	base += HOLDS_SIZE;
	made->plan_mem = (struct vmem_array){ .base = base, .used_max = PLAN_SIZE };
	made->plan = (struct vmem_plan *)base;
	made->next_gen = made->next_seq = 1;
	/* two threads may be the first; and nothing is written to this word ever after */
	if (!__atomic_compare_exchange_n(&vmem, &none, made, false, __ATOMIC_ACQ_REL,
			__ATOMIC_ACQUIRE))
		vmem_munmap((char *)made - VMEM_PAGE, ARENA_SIZE + 2 * VMEM_PAGE);
	return 0;
}

bool vmem_arena_has(uint64_t start, uint64_t end)
{
	uint64_t base = (uint64_t)(uintptr_t)vmem;

	return start < base + ARENA_SIZE && end > base;
}

static int array_reserve(struct vmem_array *a, size_t bytes)
{
	size_t room = a->room;

	if (bytes <= room)
		return 0;
	if (bytes > a->used_max)
		return -ENOMEM;
	while (room < bytes)
		room = room == 0 ? 64 << 10 : 2 * room;
	if (room > a->used_max)
		room = a->used_max;
	if (mprotect(a->base, room, PROT_READ | PROT_WRITE) != 0)
		return -ENOMEM;
	a->room = room;
	return 0;
}

/* Room for so many entries more. */
int vmem_table_reserve(unsigned int ranges, unsigned int holds)
{
	int rc = array_reserve(&vmem->ranges_mem,
		(vmem->n_ranges + (size_t)ranges) * sizeof(vmem->ranges[0]));

	return rc != 0 ? rc : array_reserve(&vmem->holds_mem,
		(vmem->n_holds + (size_t)holds) * sizeof(vmem->holds[0]));
}

/* Room for a plan of n entries. */
int vmem_plan_reserve(unsigned int n)
{
	return array_reserve(&vmem->plan_mem, (size_t)n * sizeof(vmem->plan[0]));
}

/* @return the first range that ends after addr; n_ranges when there is none */
unsigned int vmem_range_find(uint64_t addr)
{
	unsigned int lo = 0, hi = vmem->n_ranges;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (vmem->ranges[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void range_insert(unsigned int at, const struct vmem_range *r)
{
	memmove(&vmem->ranges[at + 1], &vmem->ranges[at],
		(vmem->n_ranges - at) * sizeof(*r));
	vmem->ranges[at] = *r;
	vmem->n_ranges++;
	vmem->n_limbo += r->count == 0;
}

static void range_delete(unsigned int at)
{
	vmem->n_limbo -= vmem->ranges[at].count == 0;
	vmem->n_ranges--;
	memmove(&vmem->ranges[at], &vmem->ranges[at + 1],
		(vmem->n_ranges - at) * sizeof(vmem->ranges[0]));
}

/* Make addr a boundary. @return the first range that starts at addr or after it */
static unsigned int range_split(uint64_t addr)
{
	unsigned int at = vmem_range_find(addr);
	struct vmem_range r;

	if (at == vmem->n_ranges || vmem->ranges[at].start >= addr)
		return at;
	r = vmem->ranges[at];
	vmem->ranges[at].end = addr;
	r.start = addr;
	range_insert(at + 1, &r);
	return at + 1;
}

/* Add a range where there is none. */
void vmem_range_add(uint64_t start, uint64_t end, uint64_t gen, uint32_t count, uint32_t huge)
{
	struct vmem_range r = { start, end, gen, count, huge };

	range_insert(vmem_range_find(start), &r);
}

/* Forget [start, end). */
void vmem_range_cut(uint64_t start, uint64_t end)
{
	unsigned int at = vmem_range_find(start);

	if (at == vmem->n_ranges || vmem->ranges[at].start >= end)
		return;
	at = range_split(start);
	range_split(end);
	while (at < vmem->n_ranges && vmem->ranges[at].start < end)
		range_delete(at);
}

static void range_merge(unsigned int at)
{
	struct vmem_range *a, *b;

	if (at == 0 || at >= vmem->n_ranges)
		return;
	a = &vmem->ranges[at - 1];
	b = &vmem->ranges[at];
	if (a->end != b->start || a->gen != b->gen || a->count != b->count || a->huge != b->huge)
		return;
	a->end = b->end;
	range_delete(at);
}

/* One registration more or less (add 1 or -1) in what swap gen made of [start, end). */
void vmem_range_count(uint64_t start, uint64_t end, uint64_t gen, int add)
{
	unsigned int first = vmem_range_find(start), at;

	if (first == vmem->n_ranges || vmem->ranges[first].start >= end)
		return;
	first = range_split(start);
	range_split(end);
	for (at = first; at < vmem->n_ranges && vmem->ranges[at].start < end; at++) {
		struct vmem_range *r = &vmem->ranges[at];

		if (r->gen != gen)
			continue;
		vmem->n_limbo -= r->count == 0;
		r->count += add;
		vmem->n_limbo += r->count == 0;
	}
	for (;; at--) {
		range_merge(at);
		if (at <= first)
			break;
	}
}

/* @return the first hold of the oldest registration of exactly (addr, len), or n_holds */
unsigned int vmem_hold_find(uint64_t addr, uint64_t len)
{
	unsigned int lo = 0, hi = vmem->n_holds;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct vmem_hold *h = &vmem->holds[mid];

		if (h->addr > addr || (h->addr == addr && h->len >= len))
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo < vmem->n_holds && vmem->holds[lo].addr == addr && vmem->holds[lo].len == len)
		return lo;
	return vmem->n_holds;
}

/* Behind all of the same (addr, len): seq ascends. */
void vmem_hold_add(uint64_t addr, uint64_t len, uint64_t seq, uint64_t start, uint64_t end,
		uint64_t gen)
{
	struct vmem_hold h = { addr, len, seq, start, end, gen };
	unsigned int lo = 0, hi = vmem->n_holds;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct vmem_hold *m = &vmem->holds[mid];

		if (m->addr > addr || (m->addr == addr && m->len > len))
			hi = mid;
		else
			lo = mid + 1;
	}
	memmove(&vmem->holds[lo + 1], &vmem->holds[lo], (vmem->n_holds - lo) * sizeof(h));
	vmem->holds[lo] = h;
	vmem->n_holds++;
}

void vmem_hold_del(unsigned int at, unsigned int n)
{
	memmove(&vmem->holds[at], &vmem->holds[at + n],
		(vmem->n_holds - at - n) * sizeof(vmem->holds[0]));
	vmem->n_holds -= n;
}
