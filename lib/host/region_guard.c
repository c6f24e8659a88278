/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGBUS of clients' memory. Who may shrink a file can take pages from under a mapping
 * of it, at any time; then the next access to them is a SIGBUS in the lcore that
 * copies. The handler puts zeros in the place of the page and marks the region.
 *
 * It keeps: what it looks up it finds without a lock and without waiting, and what it
 * finds is there. Addresses are divided into granules, each of which belongs to one
 * region at most: a table of two levels from granule to region, whose second level is
 * never freed. A region leaves the table when nobody touches its memory any more.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "region_impl.h"

#define GRANULE_BITS 21
#define LEAF_BITS    14
#define TOP_BITS     13 /* addresses of 48 bits */

struct slot { struct region *r; }; /* atomic */

static struct slot *top[1u << TOP_BITS];
static uint64_t lost;          /* pages; atomic */
static struct sigaction before;
static unsigned int users;     /* of the guard */

/* The slot of an address; NULL: there is none. */
static struct slot *slot_of(uint64_t addr)
{
	uint64_t g = addr >> GRANULE_BITS;
	struct slot *leaf;

	if (g >> (TOP_BITS + LEAF_BITS) != 0)
		return NULL;
	leaf = __atomic_load_n(&top[g >> LEAF_BITS], __ATOMIC_ACQUIRE);
	return leaf == NULL ? NULL : &leaf[g & ((1u << LEAF_BITS) - 1)];
}

/* -------------------------------------------------- in the signal handler */

static void *zeros(void *at, uint64_t len)
{
	/* The system call itself: what wraps it may do things that a handler must not. */
	return (void *)syscall(SYS_mmap, at, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0L);
}

static bool replace(uint64_t addr)
{
	struct slot *s = slot_of(addr);
	struct region *r = s != NULL ? __atomic_load_n(&s->r, __ATOMIC_ACQUIRE) : NULL;
	uint64_t off, i = 0, from;

	if (r == NULL || addr < (uintptr_t)r->base)
		return false;
	off = addr - (uintptr_t)r->base;
	if (off >= r->len)
		return false;
	while (off >= r->parts[i].end)
		i++;
	/* page boundaries of a part are those of addresses, as base is aligned to the largest page */
	from = addr & ~(r->parts[i].page - 1);
	if (zeros((void *)from, r->parts[i].page) == MAP_FAILED &&
			zeros(r->base, r->len) == MAP_FAILED) /* no more mappings: the whole is one, again */
		return false;
	__atomic_store_n(&r->broken, 1, __ATOMIC_RELEASE);
	__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
	return true;
}

static void pass_on(int sig, siginfo_t *si, void *ctx)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, si, ctx);
	} else if (before.sa_handler == SIG_DFL || (before.sa_handler == SIG_IGN && si->si_code > 0)) {
		/* it faults again, or is sent again: then it is what it would have been */
		sigaction(sig, &dfl, NULL);
		if (si->si_code <= 0)
			raise(sig);
	} else if (before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	}
}

static void on_sigbus(int sig, siginfo_t *si, void *ctx)
{
	int saved = errno;
	bool ours = si->si_code > 0 && si->si_code != BUS_MCEERR_AO && replace((uintptr_t)si->si_addr);

	errno = saved;
	if (!ours)
		pass_on(sig, si, ctx);
}

/* -------------------------------------------------------- control threads */

int region_guard_init(void)
{
	struct sigaction a = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	if (users > 0) {
		users++;
		return 0;
	}
	sigemptyset(&a.sa_mask);
	if (sigaction(SIGBUS, NULL, &before) < 0 || sigaction(SIGBUS, &a, NULL) < 0)
		return -errno;
	users = 1;
	return 0;
}

void region_guard_fini(void)
{
	struct sigaction now;

	if (users == 0 || --users > 0)
		return;
	if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction == on_sigbus)
		sigaction(SIGBUS, &before, NULL);
	for (uint32_t i = 0; i < 1u << TOP_BITS; i++) {
		free(top[i]);
		top[i] = NULL;
	}
}

uint64_t region_guard_lost(void)
{
	return __atomic_load_n(&lost, __ATOMIC_RELAXED);
}

/* The granules of a region, all of them its own: from here, that many. */
static uint64_t granules(const struct region *r, uint64_t *nb)
{
	uint64_t from = (uintptr_t)r->base & ~(GRANULE - 1), end = (uintptr_t)r->base + r->len;

	*nb = (end - from + GRANULE - 1) >> GRANULE_BITS;
	return from;
}

int region_room(struct region *r, uint64_t va, uint64_t align)
{
	uint64_t head = va & (GRANULE - 1), in = va & (align - 1);
	uint64_t body = (head + r->len + GRANULE - 1) & ~(GRANULE - 1), all = body + align, at;
	uint8_t *p = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	/* The first address behind p that is va modulo align, with its whole granule. */
	at = ((uintptr_t)p + head + align - 1 - in) & ~(align - 1);
	at += in;
	r->base = p;
	r->len = all;
	r->delta = at - va;
	region_trim(r, at - head, at - head + body);
	return 0;
}

void region_trim(struct region *r, uint64_t from, uint64_t to)
{
	uint64_t base = (uintptr_t)r->base, end = base + r->len;

	if (from > base)
		munmap(r->base, from - base);
	if (to < end)
		munmap((void *)to, end - to);
	r->base = (uint8_t *)from;
	r->len = to - from;
}

static struct slot *slot_make(uint64_t addr)
{
	uint64_t g = addr >> GRANULE_BITS;
	struct slot *leaf;

	if (g >> (TOP_BITS + LEAF_BITS) != 0)
		return NULL;
	if (top[g >> LEAF_BITS] == NULL) {
		leaf = calloc(1u << LEAF_BITS, sizeof(*leaf));
		if (leaf == NULL)
			return NULL;
		__atomic_store_n(&top[g >> LEAF_BITS], leaf, __ATOMIC_RELEASE);
	}
	return slot_of(addr);
}

int region_guard(struct region *r)
{
	uint64_t nb, at = granules(r, &nb);

	for (uint64_t i = 0; i < nb; i++) {
		struct slot *s = slot_make(at + i * GRANULE);

		if (s == NULL)
			return -ENOMEM;
		__atomic_store_n(&s->r, r, __ATOMIC_RELEASE);
	}
	return 0;
}

void region_room_free(struct region *r)
{
	uint64_t nb, at = granules(r, &nb);

	for (uint64_t i = 0; i < nb; i++) {
		struct slot *s = slot_of(at + i * GRANULE);

		if (s != NULL)
			__atomic_store_n(&s->r, NULL, __ATOMIC_RELEASE);
	}
	munmap(r->base, r->len);
}
