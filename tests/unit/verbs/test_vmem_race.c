/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmem beside other threads: what they write into pages that come and go is never lost,
 * whichever guard holds them off; their stacks can be registered; forks are apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "vmem_test.h"

enum { WORDS = 4, PAGES = 4, NUMBERS = 4096 };

/* Counts in words of its own on pages that all share. Nothing of it is on those pages. */
struct writer {
	pthread_t thread;
	_Atomic uint64_t *word[PAGES]; /* the bytes are on the pages */
	uint64_t count[PAGES];
	uint64_t lost, refused;
	int fd; /* a file of numbers; -1: plain stores */
};

static atomic_bool stop;
static atomic_uint started;

/* Plain loads and stores, as an application does: each must find what it stored last. */
static void *store(void *arg)
{
	struct writer *w = arg;

	atomic_fetch_add(&started, 1);
	while (!atomic_load(&stop)) {
		for (unsigned int i = 0; i < PAGES; i++) {
			uint64_t v = atomic_load_explicit(w->word[i], memory_order_relaxed);

			w->lost += v != w->count[i];
			w->count[i] = v + 1;
			atomic_store_explicit(w->word[i], v + 1, memory_order_relaxed);
		}
	}
	return NULL;
}

/* The same by system calls. EFAULT is not lost: the caller knows. */
static void *store_by_read(void *arg)
{
	struct writer *w = arg;

	atomic_fetch_add(&started, 1);
	while (!atomic_load(&stop)) {
		for (unsigned int i = 0; i < PAGES; i++) {
			uint64_t next = (w->count[i] + 1) % NUMBERS;
			ssize_t n;

			w->lost += atomic_load_explicit(w->word[i], memory_order_relaxed) != w->count[i];
			n = pread(w->fd, (void *)w->word[i], sizeof(next), (off_t)(next * sizeof(next)));
			if (n == sizeof(next))
				w->count[i] = next;
			else
				w->refused++;
			w->lost += n != sizeof(next) && (n >= 0 || errno != EFAULT);
		}
	}
	return NULL;
}

static int numbers(void)
{
	int fd = memfd_create("numbers", MFD_CLOEXEC);

	for (uint64_t i = 0; i < NUMBERS; i++)
		if (pwrite(fd, &i, sizeof(i), (off_t)(i * sizeof(i))) != sizeof(i))
			return -1;
	return fd;
}

/* Registered and not, a page more and a page less, while writers write. */
static int rounds(char *base, unsigned int n_rounds)
{
	struct vmem_seg s[SEGS];
	unsigned int n;

	for (unsigned int k = 0; k < n_rounds; k++) {
		size_t len = (1 + k % PAGES) * PAGE - 100, second = PAGE * (k % 3);

		NEED(vmem_reg(base + 50, len, true, s, SEGS, &n) == 0 && n == 1);
		NEED(vmem_reg(base + second, PAGE, true, s, SEGS, &n) == 0 && n == 1);
		vmem_dereg(base + 50, len);
		vmem_dereg(base + second, PAGE);
	}
	return vmem_test_idle() ? 0 : __LINE__;
}

static int race_at(char *base, unsigned int n_rounds, bool may_refuse)
{
	struct writer w[3] = { { .fd = -1 }, { .fd = -1 }, { .fd = numbers() } };
	int line;

	NEED(w[2].fd >= 0);
	atomic_store(&stop, false);
	atomic_store(&started, 0);
	for (unsigned int t = 0; t < 3; t++) {
		for (unsigned int i = 0; i < PAGES; i++) {
			w[t].word[i] = (_Atomic uint64_t *)(void *)(base + i * PAGE + 512 + 8 * t);
			atomic_init(w[t].word[i], 0);
		}
		NEED(pthread_create(&w[t].thread, NULL, t < 2 ? store : store_by_read, &w[t]) == 0);
	}
	while (atomic_load(&started) < 3)
		sched_yield();
	line = rounds(base, n_rounds);
	atomic_store(&stop, true);
	for (unsigned int t = 0; t < 3; t++) {
		pthread_join(w[t].thread, NULL);
		for (unsigned int i = 0; i < PAGES; i++)
			w[t].lost += atomic_load(w[t].word[i]) != w[t].count[i];
	}
	close(w[2].fd);
	NEED(line == 0);
	NEED(w[0].lost == 0 && w[1].lost == 0 && w[2].lost == 0);
	NEED(may_refuse || w[2].refused == 0);
	return 0;
}

static unsigned int how_many(void)
{
	return phca_test_long() ? 20000 : VMEM_TSAN || VMEM_ASAN ? 100 : 300;
}

static int race(void)
{
	char *base = vmem_test_pages(PAGES);
	int line;

	NEED(base != NULL);
	line = race_at(base, how_many(), vmem_guard_mode() != VMEM_GUARD_UFFD);
	munmap(base, PAGES * PAGE);
	return line;
}

/* Initialized data is a private mapping of the program, which userfaultfd does not take. */
static char data[(PAGES + 1) * 4096] = { 1 };

static int race_data(void)
{
	char *base = (char *)(((uintptr_t)data + PAGE - 1) & ~(PAGE - 1));

	return race_at(base, how_many() / 2, true);
}

PHCA_TEST(vmem_race, no_write_is_lost)
{
	VMEM_SCENARIO(race());
}

PHCA_TEST(vmem_race, no_write_is_lost_in_user_mode)
{
	vmem_guard_limit(VMEM_GUARD_UFFD_USER);
	VMEM_SCENARIO(race());
	vmem_guard_limit(VMEM_GUARD_UFFD);
}

PHCA_TEST(vmem_race, no_write_is_lost_without_userfaultfd)
{
	vmem_guard_limit(VMEM_GUARD_SEGV);
	VMEM_SCENARIO(race());
	vmem_guard_limit(VMEM_GUARD_UFFD);
}

PHCA_TEST(vmem_race, no_write_is_lost_in_initialized_data)
{
	VMEM_SCENARIO(race_data());
}

PHCA_TEST(vmem_race, no_write_is_lost_as_nobody)
{
	VMEM_SCENARIO(vmem_test_child(race, vmem_test_nobody));
}

/* ----------------------------------------------------- everybody registers */

/* Small blocks of one heap: neighbours on a page come and go while others register theirs. */
static int small_blocks(uint64_t seed, unsigned int n_rounds)
{
	struct vmem_seg s[SEGS];
	unsigned int n;

	for (unsigned int k = 0; k < n_rounds; k++) {
		size_t len = 16 + phca_test_rand(&seed) % 6000;
		unsigned char *p = malloc(len), c = (unsigned char)phca_test_rand(&seed) | 1;

		NEED(p != NULL);
		memset(p, c, len);
		NEED(vmem_reg(p, len, true, s, SEGS, &n) == 0 && n >= 1);
		NEED(vmem_test_peek(p + len - 1) == (char)c);
		memset(p, c ^ 0x80, len);
		NEED(vmem_test_peek(p) == (char)(c ^ 0x80));
		NEED(vmem_test_poke(p + len / 2, (char)(c ^ 0x40)) && p[len / 2] == (c ^ 0x40));
		p[len / 2] ^= 0xc0;
		if (k % 7 == 0)
			free(malloc(200000)); /* another mapping */
		vmem_dereg(p, len);
		for (size_t i = 0; i < len; i++)
			NEED(p[i] == (c ^ 0x80));
		free(p);
	}
	return 0;
}

static void *blocks_thread(void *arg)
{
	int *line = arg;

	*line = small_blocks((uint64_t)*line, how_many());
	return NULL;
}

static int everybody(void)
{
	enum { THREADS = 4 };
	int line[THREADS];
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++) {
		line[i] = i + 1;
		NEED(pthread_create(&t[i], NULL, blocks_thread, &line[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < THREADS; i++)
		NEED(line[i] == 0);
	return vmem_test_idle() ? 0 : __LINE__;
}

PHCA_TEST(vmem_race, threads_register_blocks_of_one_heap)
{
	static const enum vmem_guard guard[] = { VMEM_GUARD_SEGV, VMEM_GUARD_UFFD_USER, VMEM_GUARD_UFFD };

	for (unsigned int i = 0; i < 3; i++) {
		vmem_guard_limit(guard[i]);
		VMEM_SCENARIO(everybody());
	}
}

/* ------------------------------------------------------------------ stacks */

struct stack_user {
	char *buf;
	int line;
	atomic_int phase;
};

static int stack_of_thread(void)
{
	char buf[6000];
	struct vmem_seg s[SEGS];
	unsigned int n;

	memset(buf, 't', sizeof(buf));
	for (unsigned int k = 0; k < 20; k++) {
		NEED(vmem_reg(buf, sizeof(buf), true, s, SEGS, &n) == 0 && n == 1);
		NEED(s[0].kind == VMEM_SWAP && vmem_test_same(buf, sizeof(buf)));
		buf[k] = 'u';
		NEED(vmem_test_peek(buf + k) == 'u' && vmem_test_poke(buf + k, 'v') && buf[k] == 'v');
		vmem_dereg(buf, sizeof(buf));
		NEED(buf[k] == 'v' && buf[5999] == 't');
	}
	return 0;
}

static void *stack_thread(void *arg)
{
	*(int *)arg = stack_of_thread();
	return NULL;
}

PHCA_TEST(vmem_race, the_stacks_of_threads)
{
	pthread_t t[3];
	int line[3] = { -1, -1, -1 };

	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(pthread_create(&t[i], NULL, stack_thread, &line[i]), 0);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(pthread_join(t[i], NULL), 0);
		CU_ASSERT_EQUAL(line[i], 0);
	}
	CU_ASSERT(vmem_test_idle());
}

/* All of a thread's stack, with what the C library and the kernel keep at its top. */
static void *whole_stack(void *arg)
{
	struct vmem_seg s[SEGS];
	pthread_attr_t attr;
	unsigned int n;
	void *addr;
	size_t len;
	int *line = arg;

	*line = __LINE__;
	if (pthread_getattr_np(pthread_self(), &attr) != 0 ||
			pthread_attr_getstack(&attr, &addr, &len) != 0)
		return NULL;
	pthread_attr_destroy(&attr);
	*line = __LINE__;
	for (unsigned int k = 0; k < 5; k++) {
		if (vmem_reg(addr, len, true, s, SEGS, &n) != 0 || n != 1)
			return NULL;
		sched_yield();
		vmem_dereg(addr, len);
	}
	*line = 0;
	return NULL;
}

static int whole_stacks(void)
{
	pthread_attr_t attr;
	pthread_t t;
	int line = -1;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1 << 20);
	NEED(pthread_create(&t, &attr, whole_stack, &line) == 0);
	NEED(pthread_join(t, NULL) == 0);
	pthread_attr_destroy(&attr);
	return line;
}

PHCA_TEST(vmem_race, the_whole_stack_of_a_thread)
{
	if (VMEM_TSAN)
		PHCA_SKIP("ThreadSanitizer keeps its state of a thread at the top of the stack");
	VMEM_SCENARIO(whole_stacks());
	VMEM_SCENARIO(vmem_test_child(whole_stacks, vmem_test_nobody));
}

/* Ends with its stack still registered, while main waits for it already or not yet. */
static void *ends_registered(void *arg)
{
	struct vmem_seg s[SEGS];
	unsigned int n;
	int *rc = arg;
	char *here = (char *)(uintptr_t)pthread_self();

	usleep(*rc);
	*rc = vmem_reg(here, 1024, true, s, SEGS, &n);
	usleep(1000);
	return NULL;
}

static int ends(void)
{
	for (int k = 0; k < 6; k++) {
		int rc = k % 2 * 2000;
		void *tcb;
		pthread_t t;

		NEED(pthread_create(&t, NULL, ends_registered, &rc) == 0);
		tcb = (void *)(uintptr_t)t;
		if (k % 3 == 1)
			usleep(1000);
		NEED(pthread_join(t, NULL) == 0 && rc == 0);
		vmem_dereg(tcb, 1024);
	}
	return vmem_test_idle() ? 0 : __LINE__;
}

PHCA_TEST(vmem_race, a_thread_ends_with_its_stack_registered)
{
	if (VMEM_TSAN)
		PHCA_SKIP("ThreadSanitizer keeps its state of a thread at the top of the stack");
	VMEM_SCENARIO(ends());
}

/* -------------------------------------------------------------------- fork */

static char in_data[8192] = "data";

static int forks(void)
{
	char *heap = malloc(5000), stack[5000];
	char *where[] = { heap, stack, in_data };
	struct vmem_seg s[SEGS];
	unsigned int n;
	int st = -1;
	pid_t pid;

	memset(heap, 'p', 5000);
	memset(stack, 'p', 5000);
	memset(in_data, 'p', 5000);
	for (unsigned int i = 0; i < 3; i++)
		NEED(vmem_reg(where[i], 5000, true, s, SEGS, &n) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		int line = vmem_test_idle() && vmem_fd() == -1 ? 0 : 1;

		for (unsigned int i = 0; i < 3; i++) {
			line |= where[i][4999] != 'p' || where[i][0] != 'p' ? 2 : 0;
			memset(where[i], 'c', 5000);
			vmem_dereg(where[i], 5000); /* it has none */
		}
		/* and may register its own */
		if (vmem_reg(stack, 5000, true, s, SEGS, &n) != 0 || vmem_test_peek(stack) != 'c')
			line |= 4;
		vmem_dereg(stack, 5000);
		_exit(line);
	}
	NEED(waitpid(pid, &st, 0) == pid);
	NEED(st == 0);
	for (unsigned int i = 0; i < 3; i++) {
		NEED(where[i][0] == 'p' && where[i][4999] == 'p');
		NEED(vmem_test_same(where[i], 5000)); /* the parent's are shared as before */
		where[i][1] = 'q';
		NEED(vmem_test_peek(where[i] + 1) == 'q');
		vmem_dereg(where[i], 5000);
		NEED(where[i][1] == 'q');
	}
	free(heap);
	return vmem_test_idle() ? 0 : __LINE__;
}

PHCA_TEST(vmem_race, fork_makes_private_copies)
{
	VMEM_SCENARIO(forks());
	VMEM_SCENARIO(vmem_test_child(forks, vmem_test_nobody));
}

static void *forker(void *arg)
{
	int *failed = arg;

	for (unsigned int k = 0; k < 10; k++) {
		pid_t pid = fork();
		int st = -1;

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, &st, 0) != pid || st != 0)
			(*failed)++;
	}
	return NULL;
}

/* fork() in one thread, registration in another. */
PHCA_TEST(vmem_race, fork_beside_registrations)
{
	char *base = vmem_test_pages(PAGES);
	int failed = 0;
	pthread_t t;

	CU_ASSERT_EQUAL(pthread_create(&t, NULL, forker, &failed), 0);
	VMEM_SCENARIO(rounds(base, how_many()));
	pthread_join(t, NULL);
	CU_ASSERT_EQUAL(failed, 0);
	munmap(base, PAGES * PAGE);
}

/* --------------------------------------------- the application's own SIGSEGV */

static sigjmp_buf escape;
static volatile sig_atomic_t caught, caught_code;

static void on_segv(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	caught++;
	caught_code = si->si_code;
	siglongjmp(escape, 1);
}

static int fault_at(volatile char *p)
{
	if (sigsetjmp(escape, 1) == 0) {
		*p = 1;
		return 0;
	}
	return 1;
}

/* By a process, not by a fault. */
static int sent(void)
{
	if (sigsetjmp(escape, 1) == 0) {
		raise(SIGSEGV);
		return 0;
	}
	return 1;
}

static int chained(void)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
	char *p = vmem_test_pages(2);
	struct vmem_seg s[SEGS];
	unsigned int n;

	vmem_guard_limit(VMEM_GUARD_SEGV);
	caught = 0;
	NEED(sigaction(SIGSEGV, &sa, NULL) == 0);
	NEED(vmem_reg(p, PAGE, true, s, SEGS, &n) == 0); /* the guard is installed before it now */
	NEED(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	for (int k = 1; k <= 3; k++) {
		NEED(fault_at(p + PAGE) == 1 && caught == k && caught_code == SEGV_ACCERR);
		NEED(fault_at(p) == 0);
	}
	munmap(p + PAGE, PAGE);
	NEED(fault_at(p + PAGE) == 1 && caught == 4 && caught_code == SEGV_MAPERR);
	NEED(sent() == 1);
	NEED(caught == 5 && caught_code == SI_TKILL);
	vmem_dereg(p, PAGE);
	return 0;
}

/* Without one: the process ends by its fault. */
static int not_chained(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	char *p = vmem_test_pages(1);
	struct vmem_seg s[SEGS];
	unsigned int n;

	vmem_guard_limit(VMEM_GUARD_SEGV);
	sigaction(SIGSEGV, &sa, NULL);
	if (vmem_reg(p, PAGE, true, s, SEGS, &n) == 0 && mprotect(p, PAGE, PROT_READ) == 0)
		*(volatile char *)p = 1;
	return 0;
}

PHCA_TEST(vmem_race, faults_of_the_application_are_its_own)
{
	int st = 0;
	pid_t pid;

	VMEM_SCENARIO(vmem_test_child(chained, NULL));
	pid = fork();
	if (pid == 0)
		_exit(not_chained());
	CU_ASSERT_EQUAL(waitpid(pid, &st, 0), pid);
	CU_ASSERT(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
}
