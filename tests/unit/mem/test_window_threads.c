/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Windows that one thread binds and invalidates while others use them, races
 * for one window, binds against deregistration, atomics of many. What is checked
 * is what no order of the threads may change. Made to be run under TSan too.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "mem_fixture.h"

#define THREADS 2
#define QPN     7
#define READ    PHCA_ACCESS_REMOTE_READ
#define BINDABLE (PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_MW_BIND)

struct race {
	struct mem_fixture f;
	uint8_t small[64], large[4096];
	uint32_t mr, mw;      /* atomic: present keys */
	uint32_t bad;         /* atomic: what must not happen */
	uint64_t word;        /* atomic */
	bool stop;            /* atomic */
};

struct worker {
	struct race *s;
	unsigned int id;
	uint64_t done, refused;
	pthread_t thread;
};

#define GET(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define SET(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define BAD(s, cond) do { \
	if (cond) \
		__atomic_fetch_add(&(s)->bad, 1, __ATOMIC_RELAXED); \
} while (0)

static uint32_t inc(uint32_t rkey)
{
	return (rkey & ~0xffu) | ((rkey + 1) & 0xff);
}

/* Be an lcore: report, and on a busy machine let others run now and then. */
static void lcore_turn(struct worker *w)
{
	rte_rcu_qsbr_quiescent(w->s->f.qsbr, w->id);
	if ((w->done + w->refused) % 1024 == 0)
		sched_yield();
}

static void start(struct race *s, struct worker *w, unsigned int n, void *(*run)(void *))
{
	for (unsigned int i = 0; i < n; i++) {
		w[i] = (struct worker){ .s = s, .id = i };
		rte_rcu_qsbr_thread_register(s->f.qsbr, i);
		rte_rcu_qsbr_thread_online(s->f.qsbr, i);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, run, &w[i]), 0);
	}
}

static void join(struct worker *w, unsigned int n)
{
	SET(w->s->stop, true);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
}

/* The thread's end as an lcore; nobody waits for it any more. */
static void *leave(struct worker *w)
{
	rte_rcu_qsbr_thread_offline(w->s->f.qsbr, w->id);
	rte_rcu_qsbr_thread_unregister(w->s->f.qsbr, w->id);
	return NULL;
}

/* Even tags: all of small, by its address 0x1000. Odd tags: all of large, zero based. */
static struct phca_mw_bind binding(const struct race *s, uint32_t mr_small, uint32_t mr_large)
{
	uint32_t to = inc(s->mw);
	struct phca_mw_bind b = { .rkey = s->mw, .new_rkey = to, .pd = s->f.pd, .qpn = QPN + (to & 1) };

	b.mr_key = (to & 1) != 0 ? mr_large : mr_small;
	b.addr = (to & 1) != 0 ? 0x900000 : 0x1000;
	b.length = (to & 1) != 0 ? sizeof(s->large) : sizeof(s->small);
	b.access = (to & 1) != 0 ? READ | PHCA_ACCESS_ZERO_BASED : READ | PHCA_ACCESS_REMOTE_WRITE;
	return b;
}

/* Uses whatever the window is bound to, all of it, and never finds half a binding. */
static void *use_loop(void *arg)
{
	struct worker *w = arg;
	struct race *s = w->s;
	uint64_t seed = w->id;

	while (!GET(s->stop)) {
		uint32_t key = GET(s->mw);
		bool odd;
		enum phca_mem_err err = PHCA_MEM_OK;
		const uint8_t *p;
		uint64_t len;

		if (phca_test_rand(&seed) % 4 == 0)
			key = inc(key); /* perhaps the next one already */
		odd = (key & 1) != 0;
		len = odd ? sizeof(s->large) : sizeof(s->small);
		p = phca_mem_remote(s->f.mem, key, s->f.pd, QPN + odd, odd ? 0 : 0x1000, len,
			odd ? READ : READ | PHCA_ACCESS_REMOTE_WRITE, &err);
		if (p == NULL) {
			SET(w->refused, w->refused + 1);
			BAD(s, err != PHCA_MEM_KEY);
		} else {
			SET(w->done, w->done + 1);
			/* the plain read races with the writer's poison, unless dereg waits */
			BAD(s, p != (odd ? s->large : s->small) || p[0] == 0 || p[len - 1] == 0);
		}
		lcore_turn(w);
	}
	return leave(w);
}

PHCA_TEST(window_threads, readers_never_see_half_a_binding)
{
	static struct race s;
	struct worker w[THREADS];
	const uint32_t rounds = phca_test_long() ? 500000 : 20000;
	uint32_t mr[2];

	memset(&s, 0, sizeof(s));
	mem_setup(&s.f, 8);
	memset(s.small, 1, sizeof(s.small));
	memset(s.large, 1, sizeof(s.large));
	mr[0] = mem_reg(&s.f, s.small, sizeof(s.small), 0x1000, BINDABLE);
	mr[1] = mem_reg(&s.f, s.large, sizeof(s.large), 0x900000, BINDABLE);
	CU_ASSERT_EQUAL_FATAL(phca_mw_alloc(s.f.mem, s.f.pd, PHCA_MW_TYPE_2, &s.mw), 0);
	start(&s, w, THREADS, use_loop);
	for (uint32_t n = 0; n < rounds || GET(w[0].done) == 0 || GET(w[1].done) == 0; n++) {
		struct phca_mw_bind b = binding(&s, mr[0], mr[1]);

		CU_ASSERT_EQUAL_FATAL(phca_mw_bind(s.f.mem, &b), PHCA_MEM_OK);
		SET(s.mw, b.new_rkey);
		if (n % 256 == 0)
			sched_yield();
		CU_ASSERT_EQUAL_FATAL(phca_mem_invalidate(s.f.mem, s.f.pd, b.qpn, b.new_rkey), PHCA_MEM_OK);
		if (n % 256 == 0) { /* unbound: the region can go, and nobody uses it any more */
			CU_ASSERT_EQUAL_FATAL(phca_mr_dereg(s.f.mem, mr[0]), 0);
			memset(s.small, 0, sizeof(s.small));
			memset(s.small, 1, sizeof(s.small));
			mr[0] = mem_reg(&s.f, s.small, sizeof(s.small), 0x1000, BINDABLE);
		}
	}
	join(w, THREADS);
	CU_ASSERT_EQUAL(s.bad, 0);
	CU_ASSERT_EQUAL(phca_mw_dealloc(s.f.mem, s.mw), 0);
	mem_teardown(&s.f);
}

/* Both lcores bind the same type 1 window, from whatever rkey it has just now. */
static void *bind_loop(void *arg)
{
	struct worker *w = arg;
	struct race *s = w->s;

	while (!GET(s->stop)) {
		uint32_t key = GET(s->mw);
		struct phca_mw_bind b = { .rkey = key, .new_rkey = inc(key), .mr_key = s->mr,
			.addr = w->id, .length = 8, .access = READ, .pd = s->f.pd, .qpn = QPN };

		if (w->done % 16 == 3)
			b.length = 0;
		switch (phca_mw_bind(s->f.mem, &b)) {
		case PHCA_MEM_OK: /* until this store the other lcore only has a stale rkey */
			SET(s->mw, b.new_rkey);
			SET(w->done, w->done + 1);
			break;
		case PHCA_MEM_KEY:
			w->refused++;
			break;
		default:
			BAD(s, true);
		}
		lcore_turn(w);
	}
	return leave(w);
}

PHCA_TEST(window_threads, of_two_binds_at_once_one_is_done)
{
	static struct race s;
	struct worker w[THREADS];
	const uint64_t rounds = phca_test_long() ? 500000 : 20000;
	uint32_t first;

	memset(&s, 0, sizeof(s));
	mem_setup(&s.f, 8);
	s.mr = mem_reg(&s.f, s.small, sizeof(s.small), 0, BINDABLE);
	CU_ASSERT_EQUAL_FATAL(phca_mw_alloc(s.f.mem, s.f.pd, PHCA_MW_TYPE_1, &s.mw), 0);
	first = s.mw;
	start(&s, w, THREADS, bind_loop);
	while (GET(w[0].done) < rounds || GET(w[1].done) < rounds)
		sched_yield();
	join(w, THREADS);
	CU_ASSERT_EQUAL(s.bad, 0);
	/* each bind that was done moved the tag on by one, and each hold on the region ended */
	CU_ASSERT_EQUAL(s.mw & 0xff, (first + w[0].done + w[1].done) & 0xff);
	CU_ASSERT_EQUAL(phca_mw_dealloc(s.f.mem, s.mw), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(s.f.mem, s.mr), 0);
	mem_teardown(&s.f);
}

/* Binds a window of its own to the region that the other thread tries to take away. */
static void *hold_loop(void *arg)
{
	struct worker *w = arg;
	struct race *s = w->s;
	uint32_t rkey = 0;

	BAD(s, phca_mw_alloc(s->f.mem, s->f.pd, PHCA_MW_TYPE_2, &rkey) != 0);
	while (!GET(s->stop)) {
		struct phca_mw_bind b = { .rkey = rkey, .new_rkey = inc(rkey), .mr_key = GET(s->mr),
			.addr = 8, .length = 8, .access = READ, .pd = s->f.pd, .qpn = QPN + w->id };
		enum phca_mem_err err = phca_mw_bind(s->f.mem, &b);

		if (err != PHCA_MEM_OK) {
			SET(w->refused, w->refused + 1);
			BAD(s, err != PHCA_MEM_KEY);
		} else {
			rkey = b.new_rkey;
			for (int i = 0; i < 3; i++) { /* while it is bound, the region is there */
				const uint8_t *p = phca_mem_remote(s->f.mem, rkey, s->f.pd, b.qpn, 8, 8,
					READ, &err);

				BAD(s, p != s->small + 8 || p[0] == 0);
				rte_rcu_qsbr_quiescent(s->f.qsbr, w->id);
			}
			BAD(s, phca_mem_invalidate(s->f.mem, s->f.pd, b.qpn, rkey) != PHCA_MEM_OK);
			SET(w->done, w->done + 1);
		}
		lcore_turn(w);
	}
	leave(w);
	BAD(s, phca_mw_dealloc(s->f.mem, rkey) != 0);
	return NULL;
}

PHCA_TEST(window_threads, region_goes_only_when_no_window_is_bound)
{
	static struct race s;
	struct worker w[THREADS];
	const uint32_t rounds = phca_test_long() ? 5000 : 300;
	uint32_t gone = 0;

	memset(&s, 0, sizeof(s));
	mem_setup(&s.f, 8);
	memset(s.small, 1, sizeof(s.small));
	s.mr = mem_reg(&s.f, s.small, sizeof(s.small), 0, BINDABLE);
	start(&s, w, THREADS, hold_loop);
	while (gone < rounds || GET(w[0].done) == 0 || GET(w[1].done) == 0) {
		int ret = phca_mr_dereg(s.f.mem, s.mr);

		CU_ASSERT_FATAL(ret == 0 || ret == -EBUSY);
		if (ret == 0) {
			memset(s.small, 0, sizeof(s.small)); /* nobody may see this */
			memset(s.small, 1, sizeof(s.small));
			SET(s.mr, mem_reg(&s.f, s.small, sizeof(s.small), 0, BINDABLE));
			gone++;
		}
		sched_yield();
	}
	join(w, THREADS);
	CU_ASSERT_EQUAL(s.bad, 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mw(s.f.mem), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(s.f.mem, s.mr), 0);
	mem_teardown(&s.f);
}

/* One half adds, the other half counts up by compare and swap. */
static void *count_loop(void *arg)
{
	struct worker *w = arg;
	struct race *s = w->s;
	uint64_t seen = 0, orig = 0;

	while (!GET(s->stop)) {
		enum phca_mem_err err;
		bool cas = w->id % 2 != 0;
		bool ok = phca_mem_atomic(s->f.mem, s->mr, s->f.pd, QPN, 0,
			cas ? PHCA_ATOMIC_CMP_SWAP : PHCA_ATOMIC_FETCH_ADD, seen, cas ? seen + 1 : 1,
			&orig, &err);

		BAD(s, !ok);
		if (!cas || orig == seen)
			SET(w->done, w->done + 1);
		else
			w->refused++;
		seen = orig;
		lcore_turn(w);
	}
	return leave(w);
}

PHCA_TEST(window_threads, atomics_of_lcores_and_application_sum_exactly)
{
	static struct race s;
	struct worker w[THREADS];
	const uint64_t rounds = phca_test_long() ? 500000 : 20000;
	uint64_t own = 0;

	memset(&s, 0, sizeof(s));
	mem_setup(&s.f, 8);
	s.mr = mem_reg(&s.f, &s.word, sizeof(s.word), 0,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_ATOMIC);
	start(&s, w, THREADS, count_loop);
	while (GET(w[0].done) < rounds || GET(w[1].done) < rounds) {
		__atomic_fetch_add(&s.word, 1, __ATOMIC_SEQ_CST); /* the application's */
		if (++own % 64 == 0)
			sched_yield();
	}
	join(w, THREADS);
	CU_ASSERT_EQUAL(s.bad, 0);
	CU_ASSERT_EQUAL(s.word, own + w[0].done + w[1].done);
	mem_teardown(&s.f);
}
