/* SPDX-License-Identifier: BSD-3-Clause */
/* A loop by hand, a running one, its commands, sleep and quiescence. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_errno.h>

#include "phca_loop.h"
#include "phca_test.h"

struct probe {
	struct phca_loop *loop;
	uint32_t calls;
	uint64_t last_ns;
	uint32_t did;
	pthread_t thread;
	char order[8];
	unsigned int nb;
};

static void ms_sleep(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

static unsigned int probe_turn(void *arg, uint64_t now_ns)
{
	struct probe *p = arg;

	__atomic_store_n(&p->last_ns, now_ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&p->calls, 1, __ATOMIC_RELAXED);
	return __atomic_load_n(&p->did, __ATOMIC_RELAXED);
}

static void *run(void *arg)
{
	return (void *)(intptr_t)phca_loop_run(arg);
}

static void start(struct probe *p)
{
	CU_ASSERT_EQUAL_FATAL(pthread_create(&p->thread, NULL, run, p->loop), 0);
	while (!phca_loop_is_running(p->loop))
		ms_sleep(1);
}

static void stop(struct probe *p)
{
	void *ret = p;

	phca_loop_stop(p->loop);
	pthread_join(p->thread, &ret);
	CU_ASSERT_PTR_NULL(ret);
	CU_ASSERT_FALSE(phca_loop_is_running(p->loop));
}

static unsigned int letter_a(void *arg, uint64_t now_ns)
{
	struct probe *p = arg;

	(void)now_ns;
	p->order[p->nb++] = 'a';
	return 1;
}

static unsigned int letter_b(void *arg, uint64_t now_ns)
{
	struct probe *p = arg;

	(void)now_ns;
	p->order[p->nb++] = 'b';
	return 2;
}

PHCA_TEST(loop, turn_by_hand_calls_in_order_with_the_given_time)
{
	struct probe p = { 0 };
	struct phca_loop_stats st;

	p.loop = phca_loop_create("hand", NULL, 0, PHCA_IDLE_POLL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
	CU_ASSERT_STRING_EQUAL(phca_loop_name(p.loop), "hand");
	CU_ASSERT_EQUAL(phca_loop_add(p.loop, "a", letter_a, &p), 0);
	CU_ASSERT_EQUAL(phca_loop_add(p.loop, "b", letter_b, &p), 0);
	CU_ASSERT_EQUAL(phca_loop_add(p.loop, "p", probe_turn, &p), 0);
	CU_ASSERT_EQUAL(phca_loop_turn(p.loop, 1234), 3);
	CU_ASSERT_STRING_EQUAL(p.order, "ab");
	CU_ASSERT_EQUAL(p.last_ns, 1234);
	CU_ASSERT_EQUAL(phca_loop_remove(p.loop, letter_a, &p), 0);
	CU_ASSERT_EQUAL(phca_loop_remove(p.loop, letter_a, &p), -ENOENT);
	CU_ASSERT_EQUAL(phca_loop_turn(p.loop, 1235), 2);
	CU_ASSERT_STRING_EQUAL(p.order, "abb");
	CU_ASSERT_EQUAL(phca_loop_remove(p.loop, letter_b, &p), 0);
	CU_ASSERT_EQUAL(phca_loop_turn(p.loop, 1236), 0);
	phca_loop_stats_get(p.loop, &st);
	CU_ASSERT_EQUAL(st.turns, 3);
	CU_ASSERT_EQUAL(st.busy_turns, 2);
	phca_loop_destroy(p.loop);
	phca_loop_destroy(NULL);
}

PHCA_TEST(loop, full_list_and_bad_name_are_refused)
{
	struct probe p = { .loop = phca_loop_create("full", NULL, 0, PHCA_IDLE_POLL) };

	CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
	for (int i = 0; i < PHCA_LOOP_TURNS_MAX; i++)
		CU_ASSERT_EQUAL(phca_loop_add(p.loop, "p", probe_turn, &p), 0);
	CU_ASSERT_EQUAL(phca_loop_add(p.loop, "p", probe_turn, &p), -ENOSPC);
	phca_loop_destroy(p.loop);
	rte_errno = 0;
	CU_ASSERT_PTR_NULL(phca_loop_create("a name that is far too long for a loop", NULL, 0,
			PHCA_IDLE_POLL));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
}

/* @return how far the two clocks are apart after 50 ms, in a thousand */
static int64_t clocks_differ(void)
{
	struct timespec t0, t1;
	uint64_t n0, n1;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	n0 = phca_loop_now_ns();
	ms_sleep(50);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	n1 = phca_loop_now_ns();
	ns = (t1.tv_sec - t0.tv_sec) * 1000000000LL + t1.tv_nsec - t0.tv_nsec;
	return n1 > n0 ? llabs((int64_t)(n1 - n0) - ns) * 1000 / ns : INT64_MAX;
}

PHCA_TEST(loop, clock_agrees_with_the_monotonic_clock)
{
	int64_t best = INT64_MAX;

	/* more than once: the thread may be off its CPU between two readings */
	for (int i = 0; i < 10 && best > 10; i++) {
		int64_t d = clocks_differ();

		best = d < best ? d : best;
	}
	CU_ASSERT_TRUE(best <= 10);
}

struct job {
	struct probe *p;
	pthread_t ran_on;
	int n, nested;
};

static int job_run(void *arg)
{
	struct job *j = arg;

	j->ran_on = pthread_self();
	return ++j->n;
}

static int job_nested(void *arg)
{
	struct job *j = arg;

	j->nested = phca_loop_call(j->p->loop, job_run, j);
	return 100;
}

PHCA_TEST(loop, call_runs_here_when_it_does_not_run)
{
	struct probe p = { .loop = phca_loop_create("idle", NULL, 0, PHCA_IDLE_POLL) };
	struct job j = { .p = &p };

	CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
	CU_ASSERT_EQUAL(phca_loop_call(p.loop, job_run, &j), 1);
	CU_ASSERT_TRUE(pthread_equal(j.ran_on, pthread_self()));
	CU_ASSERT_EQUAL(phca_loop_call(p.loop, job_nested, &j), 100);
	CU_ASSERT_EQUAL(j.nested, 2);
	phca_loop_destroy(p.loop);
}

PHCA_TEST(loop, call_runs_on_its_thread_when_it_runs)
{
	struct probe p = { .loop = phca_loop_create("run", NULL, 0, PHCA_IDLE_SLEEP) };
	struct job j = { .p = &p };
	struct phca_loop_stats st;

	CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
	start(&p);
	CU_ASSERT_EQUAL(phca_loop_call(p.loop, job_run, &j), 1);
	CU_ASSERT_TRUE(pthread_equal(j.ran_on, p.thread));
	CU_ASSERT_EQUAL(phca_loop_call(p.loop, job_nested, &j), 100);
	CU_ASSERT_EQUAL(j.nested, 2);
	stop(&p);
	phca_loop_stats_get(p.loop, &st);
	CU_ASSERT_EQUAL(st.commands, 2);
	CU_ASSERT_EQUAL(phca_loop_call(p.loop, job_run, &j), 3);
	CU_ASSERT_TRUE(pthread_equal(j.ran_on, pthread_self()));
	phca_loop_destroy(p.loop);
}

PHCA_TEST(loop, sleeps_when_idle_and_wakes)
{
	struct probe p = { .loop = phca_loop_create("sleep", NULL, 0, PHCA_IDLE_SLEEP) };
	struct phca_loop_stats st;

	CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
	phca_loop_add(p.loop, "p", probe_turn, &p);
	start(&p);
	for (int i = 0; i < 2000; i++) {
		phca_loop_stats_get(p.loop, &st);
		if (st.sleeps > 3 && st.wakes > 0)
			break;
		phca_loop_wake(p.loop);
		ms_sleep(1);
	}
	CU_ASSERT_TRUE(st.sleeps > 3);
	CU_ASSERT_TRUE(st.wakes > 0);
	/* busy: it does not sleep */
	__atomic_store_n(&p.did, 1, __ATOMIC_RELAXED);
	ms_sleep(5);
	phca_loop_stats_get(p.loop, &st);
	uint64_t sleeps = st.sleeps, busy = st.busy_turns;
	for (int i = 0; i < 2000 && st.busy_turns < busy + 1000; i++) {
		ms_sleep(1);
		phca_loop_stats_get(p.loop, &st);
	}
	CU_ASSERT_TRUE(st.busy_turns >= busy + 1000);
	CU_ASSERT_TRUE(st.sleeps <= sleeps + 1);
	CU_ASSERT_TRUE(st.busy_cycles > 0);
	stop(&p);
	phca_loop_destroy(p.loop);
}

struct sleeper {
	struct probe p;
	uint32_t asleep, calls;
	bool twice;
};

static void idle(void *arg, bool sleeps)
{
	struct sleeper *s = arg;

	s->twice |= __atomic_load_n(&s->asleep, __ATOMIC_RELAXED) == sleeps;
	__atomic_store_n(&s->asleep, sleeps, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&s->calls, 1, __ATOMIC_RELAXED);
}

/* Who cannot see that it sleeps is told so, and wakes it through a descriptor that it does not read. */
PHCA_TEST(loop, tells_that_it_sleeps_and_is_woken_by_descriptors)
{
	struct sleeper s = { .p.loop = phca_loop_create("idle", NULL, 0, PHCA_IDLE_SLEEP) };
	int fd[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	struct phca_loop_stats st = { 0 };
	const uint64_t one = 1;
	uint64_t count;

	CU_ASSERT_FATAL(s.p.loop != NULL && fd[0] >= 0 && fd[1] >= 0);
	CU_ASSERT_EQUAL(phca_loop_idle_add(s.p.loop, idle, &s), 0);
	CU_ASSERT_EQUAL(phca_loop_fd_add(s.p.loop, fd[0]), 0);
	CU_ASSERT_EQUAL(phca_loop_fd_add(s.p.loop, fd[1]), 0);
	CU_ASSERT_EQUAL(phca_loop_fd_add(s.p.loop, fd[0]), -EEXIST);
	CU_ASSERT_EQUAL(phca_loop_fd_add(s.p.loop, -1), -EBADF);
	start(&s.p);
	for (int i = 0; i < 20000 && st.wakes < 10; i++) {
		if (__atomic_load_n(&s.asleep, __ATOMIC_SEQ_CST) != 0)
			CU_ASSERT_EQUAL(write(fd[i % 2], &one, sizeof(one)), (ssize_t)sizeof(one));
		ms_sleep(1);
		phca_loop_stats_get(s.p.loop, &st);
	}
	CU_ASSERT_TRUE(st.wakes >= 10);
	CU_ASSERT_TRUE(__atomic_load_n(&s.calls, __ATOMIC_RELAXED) >= 20);
	CU_ASSERT_EQUAL(read(fd[0], &count, sizeof(count)), (ssize_t)sizeof(count));
	CU_ASSERT_TRUE(count > 0); /* nobody else reads it */
	phca_loop_fd_remove(s.p.loop, fd[0]);
	phca_loop_fd_remove(s.p.loop, fd[1]);
	stop(&s.p);
	CU_ASSERT_FALSE(s.twice);
	CU_ASSERT_EQUAL(s.asleep, 0);
	CU_ASSERT_EQUAL(phca_loop_idle_remove(s.p.loop, idle, &s), 0);
	CU_ASSERT_EQUAL(phca_loop_idle_remove(s.p.loop, idle, &s), -ENOENT);
	for (int i = 0; i < PHCA_LOOP_TURNS_MAX; i++)
		CU_ASSERT_EQUAL(phca_loop_idle_add(s.p.loop, idle, &s), 0);
	CU_ASSERT_EQUAL(phca_loop_idle_add(s.p.loop, idle, &s), -ENOSPC);
	close(fd[0]);
	close(fd[1]);
	phca_loop_destroy(s.p.loop);
}

PHCA_TEST(loop, notes_are_written_or_say_why_not)
{
	uint64_t rec = 42, got = 0;
	int s[2], p[2], n = 0, ret = 0;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0); /* it does not block all the same */
	CU_ASSERT_EQUAL_FATAL(pipe2(p, O_NONBLOCK), 0);
	CU_ASSERT_EQUAL(phca_loop_note(s[1], true, &rec, sizeof(rec)), 0);
	CU_ASSERT_EQUAL(phca_loop_note(p[1], false, &rec, sizeof(rec)), 0);
	CU_ASSERT_EQUAL(read(s[0], &got, sizeof(got)), (ssize_t)sizeof(got));
	CU_ASSERT_EQUAL(got, 42);
	got = 0;
	CU_ASSERT_EQUAL(read(p[0], &got, sizeof(got)), (ssize_t)sizeof(got));
	CU_ASSERT_EQUAL(got, 42);
	while (n < 1000000 && (ret = phca_loop_note(s[1], true, &rec, sizeof(rec))) == 0)
		n++;
	CU_ASSERT_EQUAL(ret, -EAGAIN);
	CU_ASSERT_TRUE(n > 16);
	close(s[0]);
	ret = phca_loop_note(s[1], true, &rec, sizeof(rec)); /* of what was not read */
	CU_ASSERT_TRUE(ret == -EPIPE || ret == -ECONNRESET);
	CU_ASSERT_EQUAL(phca_loop_note(s[1], true, &rec, sizeof(rec)), -EPIPE); /* and no SIGPIPE */
	close(s[1]);
	close(p[0]);
	close(p[1]);
}

PHCA_TEST(loop, stop_before_run_ends_the_run)
{
	struct probe p = { .loop = phca_loop_create("stopped", NULL, 0, PHCA_IDLE_POLL) };

	CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
	phca_loop_stop(p.loop);
	CU_ASSERT_EQUAL(phca_loop_run(p.loop), 0);
	start(&p); /* the stop is used up */
	stop(&p);
	phca_loop_destroy(p.loop);
}

#define CALLERS 4

struct caller {
	struct phca_loop *loop;
	int *shared;
	uint32_t *end;
	unsigned int calls;
	pthread_t thread;
};

static int add_one(void *arg)
{
	int *n = arg;

	return ++*n; /* not atomic: the loop makes it exclusive */
}

static void *caller_main(void *arg)
{
	struct caller *c = arg;

	do { /* at least once, however late it comes to run */
		phca_loop_call(c->loop, add_one, c->shared);
		c->calls++;
	} while (__atomic_load_n(c->end, __ATOMIC_RELAXED) == 0);
	return NULL;
}

PHCA_TEST(loop, calls_are_exclusive_and_none_is_lost_while_it_starts_and_stops)
{
	struct probe p = { .loop = phca_loop_create("churn", NULL, 0, PHCA_IDLE_SLEEP) };
	struct caller c[CALLERS];
	uint32_t end = 0;
	int shared = 0, sum = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
	for (int i = 0; i < CALLERS; i++) {
		c[i] = (struct caller){ .loop = p.loop, .shared = &shared, .end = &end };
		CU_ASSERT_EQUAL_FATAL(pthread_create(&c[i].thread, NULL, caller_main, &c[i]), 0);
	}
	for (int i = 0; i < 50; i++) {
		start(&p);
		ms_sleep(1);
		stop(&p);
	}
	__atomic_store_n(&end, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(c[i].thread, NULL);
		CU_ASSERT_TRUE(c[i].calls > 0);
		sum += (int)c[i].calls;
	}
	CU_ASSERT_EQUAL(shared, sum);
	phca_loop_destroy(p.loop);
}

PHCA_TEST(loop, quiescent_while_it_runs_sleeps_and_not_at_all)
{
	size_t len = rte_rcu_qsbr_get_memsize(4);
	struct rte_rcu_qsbr *v = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(len));
	struct probe p = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(v);
	CU_ASSERT_EQUAL_FATAL(rte_rcu_qsbr_init(v, 4), 0);
	for (int mode = PHCA_IDLE_POLL; mode <= PHCA_IDLE_SLEEP; mode++) {
		p.loop = phca_loop_create("qsbr", v, 3, (enum phca_idle)mode);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p.loop);
		start(&p);
		for (int i = 0; i < 20; i++) {
			rte_rcu_qsbr_synchronize(v, RTE_QSBR_THRID_INVALID); /* returns, or the test hangs */
			ms_sleep(1);
		}
		stop(&p);
		CU_ASSERT_EQUAL(v->num_threads, 0);
		rte_rcu_qsbr_synchronize(v, RTE_QSBR_THRID_INVALID);
		phca_loop_destroy(p.loop);
	}
	free(v);
}
