/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of every kind, and threads that write to it all the time.
 *
 * Invariant: the first WRITERS_BYTES of each page of a piece belong to the
 * writers, 16 bytes to each. A writer counts there: what it reads back is what it
 * wrote last, whatever is registered, deregistered or forked meanwhile; else an
 * update was lost. One of them writes by read(2), which the kernel carries out.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "torture.h"

#define PAGE 4096u
#define WRITERS 2u
#define READONLY_LEN (3 * PAGE)

static uint8_t data_piece[5 * PAGE + 123] = { 1 };
static uint8_t bss_piece[4 * PAGE];
static const uint8_t readonly_piece[READONLY_LEN] __attribute__((aligned(PAGE))) = { [0 ... READONLY_LEN - 1] = 0x5a };

static void add(struct piece *p, unsigned int *n, unsigned int max, const char *kind, void *base, size_t len)
{
	if (base == NULL || base == MAP_FAILED || *n == max)
		return;
	p[(*n)++] = (struct piece){ .kind = kind, .base = base, .len = len };
}

static void *map(size_t len, int flags, int fd)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
}

static void *map_memfd(size_t len)
{
	int fd = memfd_create("torture", MFD_CLOEXEC);
	void *p = fd >= 0 && ftruncate(fd, (off_t)len) == 0 ? map(len, MAP_SHARED, fd) : NULL;

	return p; /* the descriptor stays: where a client finds it */
}

static void *map_file(size_t len)
{
	char path[] = "/tmp/torture-XXXXXX";
	int fd = mkstemp(path);
	void *p = fd >= 0 && ftruncate(fd, (off_t)len) == 0 ? map(len, MAP_SHARED, fd) : NULL;

	if (fd >= 0) {
		unlink(path);
		close(fd); /* and this one has none */
	}
	return p;
}

static void *map_sysv(size_t len)
{
	int id = shmget(IPC_PRIVATE, len, IPC_CREAT | 0600);
	void *p = id >= 0 ? shmat(id, NULL, 0) : NULL;

	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	return p == (void *)-1 ? NULL : p;
}

unsigned int pieces_make(struct piece *p, unsigned int max, uint8_t *stack, size_t stack_len)
{
	unsigned int n = 0;

	add(p, &n, max, "heap", malloc(1000), 1000);
	add(p, &n, max, "heap", malloc(70001), 70001);
	add(p, &n, max, "heap mapped", malloc(1 << 20), 1 << 20);
	add(p, &n, max, "anonymous", map(16 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1), 16 * PAGE);
	add(p, &n, max, "shared anonymous", map(8 * PAGE, MAP_SHARED | MAP_ANONYMOUS, -1), 8 * PAGE);
	add(p, &n, max, "memfd", map_memfd(8 * PAGE), 8 * PAGE);
	add(p, &n, max, "file", map_file(8 * PAGE), 8 * PAGE);
	add(p, &n, max, "System V", map_sysv(8 * PAGE), 8 * PAGE);
	add(p, &n, max, "data", data_piece, sizeof(data_piece));
	add(p, &n, max, "bss", bss_piece, sizeof(bss_piece));
	add(p, &n, max, "stack", stack, stack_len);
	add(p, &n, max, "huge", map(2 << 20, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1), 2 << 20);
	for (unsigned int i = 0; i < n; i++)
		memset(p[i].base, 0, p[i].len);
	add(p, &n, max, "read-only", (void *)(uintptr_t)readonly_piece, sizeof(readonly_piece));
	p[n - 1].readonly = true;
	return n;
}

void pieces_check(const struct piece *p, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (size_t k = 0; p[i].readonly && k < p[i].len; k++)
			if (p[i].base[k] != 0x5a)
				die(EXIT_MEMORY, "%s: byte %zu is 0x%x\n", p[i].kind, k, p[i].base[k]);
}

static struct {
	struct piece *p;
	unsigned int n;
	uint64_t seed;
	pthread_t threads[WRITERS];
	bool stop;
	int zero[2];
} w;

/* The 16 bytes of writer @who in the page of the piece, or NULL: no room. */
static volatile uint64_t *place(const struct piece *p, size_t page, unsigned int who)
{
	uintptr_t at = ((uintptr_t)p->base + page * PAGE + 15) & ~(uintptr_t)15;

	at += 16 * who;
	return at + 16 <= (uintptr_t)p->base + p->len && !p->readonly ? (volatile uint64_t *)at : NULL;
}

static void expect(const struct piece *p, size_t page, uint64_t got, uint64_t want)
{
	if (got != want)
		die(EXIT_MEMORY, "%s, page %zu: an update was lost: %llu, not %llu\n", p->kind, page,
			(unsigned long long)got, (unsigned long long)want);
}

static void count(const struct piece *p, size_t page, volatile uint64_t *v)
{
	uint64_t before = *v;

	for (unsigned int i = 1; i <= 8; i++)
		*v = before + i;
	expect(p, page, *v, before + 8);
}

/* The same, but that the kernel writes. A place that it must not write to now says EFAULT: then it tries again. */
static void count_by_kernel(const struct piece *p, size_t page, volatile uint64_t *v)
{
	uint64_t next = v[0] + 1;

	if (write(w.zero[1], &next, sizeof(next)) != (ssize_t)sizeof(next))
		return;
	while (read(w.zero[0], (void *)(uintptr_t)v, sizeof(next)) < 0)
		if (errno != EFAULT && errno != EINTR)
			die(EXIT_CALL, "%s: read into page %zu: %s\n", p->kind, page, strerror(errno));
	expect(p, page, *v, next);
}

static void *writer(void *arg)
{
	unsigned int who = (unsigned int)(uintptr_t)arg;
	uint64_t s = w.seed + 77 * who + 1;

	while (!__atomic_load_n(&w.stop, __ATOMIC_RELAXED)) {
		const struct piece *p = &w.p[rnd(&s) % w.n];
		size_t page = rnd(&s) % ((p->len + PAGE - 1) / PAGE);
		volatile uint64_t *v = place(p, page, who);

		if (v == NULL)
			continue;
		if (who == 0)
			count(p, page, v);
		else
			count_by_kernel(p, page, v);
	}
	return NULL;
}

void writers_start(struct piece *p, unsigned int n, uint64_t seed)
{
	w.p = p;
	w.n = n;
	w.seed = seed;
	if (pipe(w.zero) != 0)
		die(EXIT_CALL, "pipe: %s\n", strerror(errno));
	for (unsigned int i = 0; i < WRITERS; i++)
		if (pthread_create(&w.threads[i], NULL, writer, (void *)(uintptr_t)i) != 0)
			die(EXIT_CALL, "thread: not created\n");
}

void writers_stop(void)
{
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(w.threads[i], NULL);
}
