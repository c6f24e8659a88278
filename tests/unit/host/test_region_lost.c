/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that take their memory away while it is used; and signals of other causes. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>

#include "region_kid.h"
#include "region_rig.h"

#define ROUNDS 400 /* of a client that truncates while others copy */

static uint64_t lost(void)
{
	struct region_stats st;

	region_stats_get(&st);
	return st.client_memory_lost;
}

/* --------------------------------------------------------- what goes away */

struct shrink {
	int fd;
	uint64_t from, to;
	int rounds;
};

static void shrink_run(struct kid *k, void *arg)
{
	const struct shrink *s = arg;

	kid_ready(k);
	for (int i = 0; i < s->rounds; i++) {
		if (ftruncate(s->fd, (off_t)s->to) < 0)
			_exit(1);
		if (s->rounds > 1 && ftruncate(s->fd, (off_t)s->from) < 0)
			_exit(1);
	}
}

static void region_of_fd(struct rig *g, int fd, uint64_t size)
{
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_FILE, 0x10000, size);

	rig_init(g);
	CU_ASSERT_EQUAL_FATAL(rig_open(g, 0x10000, size, RW, &s, 1, &fd), 0);
}

PHCA_TEST(lost, truncated_file_is_zeros_and_broken)
{
	struct shrink sh = { .fd = rig_memfd(4 * PAGE, 0), .to = 2 * PAGE, .rounds = 1 };
	uint64_t before = lost();
	uint8_t page[PAGE], buf[64];
	uint32_t key;
	struct kid k;
	struct rig g;

	memset(page, 0xaa, PAGE);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(pwrite(sh.fd, page, PAGE, i * (off_t)PAGE), PAGE);
	region_of_fd(&g, sh.fd, 4 * PAGE);
	key = rig_reg(&g, RW);
	k = kid_start(shrink_run, &sh);
	kid_go(&k);
	CU_ASSERT_EQUAL(kid_end(&k, 0), 0);
	CU_ASSERT_FALSE(region_broken(g.r)); /* nobody has noticed */
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, 0x10000 + 2 * PAGE - 32, buf, 64), PHCA_MEM_OK);
	CU_ASSERT(buf[0] == 0xaa && buf[31] == 0xaa && buf[32] == 0 && buf[63] == 0);
	CU_ASSERT(region_broken(g.r));
	CU_ASSERT_EQUAL(lost() - before, 1);
	CU_ASSERT_EQUAL(phca_mem_write(g.mem, key, g.pd, 1, 0x10000 + 3 * PAGE, page, 64), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(lost() - before, 2);
	/* the rest is the client's as before */
	CU_ASSERT_EQUAL(phca_mem_write(g.mem, key, g.pd, 1, 0x10000, "x", 1), PHCA_MEM_OK);
	CU_ASSERT(pread(sh.fd, buf, 1, 0) == 1 && buf[0] == 'x');
	close(sh.fd);
	rig_close(&g);
}

PHCA_TEST(lost, disk_file_too)
{
	struct shrink sh = { .fd = rig_file(2 * PAGE), .to = 0, .rounds = 1 };
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_FILE, 0x10000, 2 * PAGE);
	struct kid k;
	struct rig g;

	rig_init(&g);
	if (rig_open(&g, 0x10000, 2 * PAGE, RW, &s, 1, &sh.fd) != 0) {
		close(sh.fd);
		rig_close(&g);
		PHCA_SKIP("the directory of temporary files lies on no disk that is known");
	}
	k = kid_start(shrink_run, &sh);
	kid_go(&k);
	CU_ASSERT_EQUAL(kid_end(&k, 0), 0);
	memset(g.view.base, 1, 2 * PAGE);
	CU_ASSERT(region_broken(g.r));
	close(sh.fd);
	rig_close(&g);
}

struct copier {
	struct rig *g;
	uint64_t from, pages; /* of the region, its own */
	uint32_t *stop;       /* atomic */
};

static void *copier_run(void *arg)
{
	static __thread uint8_t buf[PAGE];
	struct copier *c = arg;

	for (uint64_t i = 0; !__atomic_load_n(c->stop, __ATOMIC_RELAXED); i = (i + 1) % (c->pages - 1)) {
		uint64_t va = c->from + i * PAGE;

		(void)phca_mem_read(c->g->mem, c->g->key, c->g->pd, 1, va + 100, buf, PAGE);
		(void)phca_mem_write(c->g->mem, c->g->key, c->g->pd, 1, va + 50, buf, PAGE);
	}
	return NULL;
}

/* Copies while the file is cut and restored again and again; all regions of the client. */
PHCA_TEST(lost, copies_go_on_while_a_file_is_cut)
{
	const uint64_t size = 16 * PAGE;

	for (int round = 0; round < 8; round++) {
		struct shrink sh = { .fd = rig_memfd(size, 0), .from = size, .rounds = ROUNDS };
		struct copier c[2];
		uint32_t stop = 0;
		pthread_t t[2];
		struct kid k;
		struct rig g;

		region_of_fd(&g, sh.fd, size);
		(void)rig_reg(&g, RW);
		k = kid_start(shrink_run, &sh);
		for (unsigned int i = 0; i < 2; i++) {
			c[i] = (struct copier){ &g, 0x10000 + i * size / 2, size / 2 / PAGE, &stop };
			CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, copier_run, &c[i]), 0);
		}
		kid_go(&k);
		CU_ASSERT_EQUAL(kid_end(&k, 0), 0);
		CU_ASSERT_EQUAL(ftruncate(sh.fd, 0), 0); /* and it stays away */
		while (!region_broken(g.r))
			sched_yield();
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		for (int i = 0; i < 2; i++)
			pthread_join(t[i], NULL);
		close(sh.fd);
		rig_close(&g);
	}
}

PHCA_TEST(lost, huge_page_is_replaced_whole)
{
	const uint64_t huge = 2ull << 20;
	int fd = memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC);
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_FILE, huge, 2 * huge);
	struct rig g;
	uint8_t *b;

	rig_init(&g);
	if (fd < 0 || ftruncate(fd, (off_t)(2 * huge)) < 0 || fallocate(fd, 0, 0, (off_t)(2 * huge)) < 0) {
		if (fd >= 0)
			close(fd);
		rig_close(&g);
		PHCA_SKIP("this machine has no two huge pages");
	}
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, huge, 2 * huge, RW, &s, 1, &fd), 0);
	b = g.view.base;
	memset(b, 1, 2 * huge);
	CU_ASSERT_EQUAL(ftruncate(fd, (off_t)huge), 0);
	CU_ASSERT(b[huge + 5] == 0 && b[2 * huge - 1] == 0 && b[huge - 1] == 1);
	CU_ASSERT(region_broken(g.r));
	close(fd);
	rig_close(&g);
}

PHCA_TEST(lost, holes_are_no_loss)
{
	int fd = rig_memfd(4 * PAGE, F_SEAL_SHRINK);
	struct rig g;

	region_of_fd(&g, fd, 4 * PAGE);
	memset(g.view.base, 1, 4 * PAGE);
	CU_ASSERT_EQUAL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)(3 * PAGE)), 0);
	CU_ASSERT_EQUAL(((uint8_t *)g.view.base)[PAGE], 0);
	memset(g.view.base, 2, 4 * PAGE);
	CU_ASSERT_FALSE(region_broken(g.r));
	close(fd);
	rig_close(&g);
}

/* -------------------------------------------------- signals of other causes */

static sigjmp_buf jump;

static void jump_out(int sig)
{
	siglongjmp(jump, sig);
}

/* A page that is no region's and is gone. */
static volatile char *foreign_hole(void)
{
	int fd = memfd_create("hole", 0);

	return mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
}

PHCA_TEST(guard, other_faults_are_for_who_had_the_signal)
{
	struct sigaction a = { .sa_handler = jump_out }, old;
	volatile char *hole = foreign_hole();
	volatile int sig;
	struct rig g;
	int fd = rig_memfd(2 * PAGE, 0);

	CU_ASSERT_EQUAL(sigaction(SIGBUS, &a, &old), 0);
	region_of_fd(&g, fd, 2 * PAGE);
	CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
	sig = sigsetjmp(jump, 1);
	if (sig == 0) {
		(void)*(volatile char *)g.view.base; /* ours */
		(void)*hole;
		CU_FAIL("a page that is gone was read");
	}
	CU_ASSERT_EQUAL(sig, SIGBUS);
	CU_ASSERT(region_broken(g.r));
	sig = sigsetjmp(jump, 1);
	if (sig == 0) {
		(void)raise(SIGBUS); /* sent, not caused */
		CU_FAIL("a signal that was sent got lost");
	}
	close(fd);
	rig_close(&g);
	/* the handler before is the handler again */
	CU_ASSERT_EQUAL(sigaction(SIGBUS, &old, &a), 0);
	CU_ASSERT(a.sa_handler == jump_out);
	munmap((void *)(uintptr_t)hole, PAGE);
}

static void die_run(struct kid *k, void *arg)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	sigaction(SIGBUS, &dfl, NULL);
	if (region_guard_init() != 0)
		_exit(1);
	kid_ready(k);
	if (*(int *)arg == 0)
		(void)*foreign_hole();
	else
		raise(SIGBUS);
	_exit(0); /* must not be reached */
}

PHCA_TEST(guard, without_a_handler_before_the_process_dies_as_it_would)
{
	for (int i = 0; i < 2; i++) {
		struct kid k = kid_start(die_run, &i);
		int st;

		kid_go(&k);
		st = kid_end(&k, 0);
		CU_ASSERT(WIFSIGNALED(st) && WTERMSIG(st) == SIGBUS);
	}
}
