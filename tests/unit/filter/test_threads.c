/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many threads: filters run while they are replaced, while control threads
 * change their maps, and while other threads count. Run under ThreadSanitizer
 * too (scripts/build.sh --tsan).
 */
#include <pthread.h>
#include <sched.h>

#include <rte_rcu_qsbr.h>

#include "filter_test.h"

#define RUNNERS 3
#define TURN 1024 /* runs between two points at which a runner gives its CPU away */

/* What the threads of one test share. */
struct stage {
	struct phca_filter_slot slot;
	struct rte_rcu_qsbr *qsbr;
	int stop;
	unsigned int started;
	uint64_t wrong; /* results that no whole filter gives */
	uint64_t runs;
};

struct runner {
	struct stage *stage;
	unsigned int id;
	pthread_t thread;
};

/* A runner is ready. */
static void start(struct stage *s)
{
	__atomic_fetch_add(&s->started, 1, __ATOMIC_RELEASE);
}

/* Wait until all of them are, or the test would be over before they begin. */
static void await_start(const struct stage *s)
{
	while (__atomic_load_n(&s->started, __ATOMIC_ACQUIRE) < RUNNERS)
		sched_yield();
}

static bool stopped(const struct stage *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED) != 0;
}

/*
 * A runner is between two runs. Control waits for those that are inside: a runner that
 * loses its CPU there, to others that want it, keeps control waiting until it has it back.
 * One that gives it away outside hardly ever does.
 */
static void turn(uint64_t n)
{
	if (n % TURN == 0)
		sched_yield();
}

/* Run whatever is in the slot; lengths alternate so that both answers are asked for. */
static void *run_slot(void *arg)
{
	struct runner *r = arg;
	struct stage *s = r->stage;
	struct phca_filter_env env = { .prandom = r->id + 1 };
	struct phca_filter_ctx ctx = { 0 };
	uint64_t n = 0, wrong = 0;
	uint32_t in, out;

	phca_filter_env_set(&env);
	rte_rcu_qsbr_thread_register(s->qsbr, r->id);
	rte_rcu_qsbr_thread_online(s->qsbr, r->id);
	start(s);
	while (!stopped(s)) {
		struct phca_filter *f = phca_filter_slot_get(&s->slot);

		/* Filter n offloads length n only; n is part of its name. */
		ctx.msg_len = 0;
		in = (uint32_t)strtoul(phca_filter_name(f) + 1, NULL, 10);
		out = phca_filter_run(f, &ctx);
		ctx.msg_len = in;
		wrong += out != PHCA_PASS || phca_filter_run(f, &ctx) != PHCA_OFFLOAD;
		ctx.msg_len = in + 1;
		wrong += phca_filter_run(f, &ctx) != PHCA_PASS;
		rte_rcu_qsbr_quiescent(s->qsbr, r->id);
		turn(n);
		n += 3;
	}
	rte_rcu_qsbr_thread_offline(s->qsbr, r->id);
	rte_rcu_qsbr_thread_unregister(s->qsbr, r->id);
	__atomic_fetch_add(&s->wrong, wrong, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->runs, n, __ATOMIC_RELAXED);
	phca_filter_env_set(NULL);
	return NULL;
}

static struct phca_filter *size_filter(unsigned int n)
{
	const struct phca_filter_param p[] = { FT_UINT("min_len", n), FT_UINT("max_len", n) };
	char name[32];
	struct phca_filter_spec spec = {
		.name = name, .object = ft_path("PHCA_FILTERS", "by_size"), .params = p, .nb_params = 2,
	};

	snprintf(name, sizeof(name), "f%u", n);
	return phca_filter_load(&spec, ft_err, sizeof(ft_err));
}

PHCA_TEST(threads, replaced_while_it_runs)
{
	struct stage s = { 0 };
	struct runner r[RUNNERS];
	struct phca_filter *old;
	struct phca_filter_stats st;
	unsigned int i, swaps = phca_test_long() ? 2000 : 60;
	uint64_t counted = 0;

	s.qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, rte_rcu_qsbr_get_memsize(RUNNERS));
	CU_ASSERT_PTR_NOT_NULL_FATAL(s.qsbr);
	rte_rcu_qsbr_init(s.qsbr, RUNNERS);
	s.slot.cur = size_filter(1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s.slot.cur);
	for (i = 0; i < RUNNERS; i++) {
		r[i] = (struct runner){ .stage = &s, .id = i };
		pthread_create(&r[i].thread, NULL, run_slot, &r[i]);
	}
	await_start(&s);
	for (i = 2; i < swaps; i++) {
		struct phca_filter *f = size_filter(i);

		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		old = phca_filter_slot_swap(&s.slot, f);
		rte_rcu_qsbr_synchronize(s.qsbr, RTE_QSBR_THRID_INVALID);
		phca_filter_stats_get(old, &st);
		CU_ASSERT_EQUAL(st.runs, st.pass + st.offload);
		counted += st.runs;
		phca_filter_free(old);
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < RUNNERS; i++)
		pthread_join(r[i].thread, NULL);
	phca_filter_stats_get(s.slot.cur, &st);
	CU_ASSERT_EQUAL(counted + st.runs, s.runs); /* every run was counted, once */
	CU_ASSERT_EQUAL(s.wrong, 0);
	CU_ASSERT(s.runs > 0);
	phca_filter_free(s.slot.cur);
	free(s.qsbr);
}

/* Run with random keys of 0..255 while the map changes under it. */
static void *run_keys(void *arg)
{
	struct runner *r = arg;
	struct phca_filter_env env = { .prandom = r->id + 1 };
	struct phca_filter_ctx ctx = { .payload_len = 64 };
	uint64_t seed = r->id, n = 0, wrong = 0;
	struct phca_filter *f = r->stage->slot.cur;
	uint32_t out;

	phca_filter_env_set(&env);
	start(r->stage);
	while (!stopped(r->stage)) {
		ctx.payload[7] = (uint8_t)phca_test_rand(&seed);
		ctx.payload[6] = 1; /* key 256 + n */
		out = phca_filter_run(f, &ctx);
		/* Key n only ever has value 256 + n % 16, or is absent. */
		wrong += out != PHCA_PASS && out != PHCA_OFFLOAD_RULE(ctx.payload[7] % 16u);
		turn(++n);
	}
	__atomic_fetch_add(&r->stage->wrong, wrong, __ATOMIC_RELAXED);
	__atomic_fetch_add(&r->stage->runs, n, __ATOMIC_RELAXED);
	phca_filter_env_set(NULL);
	return NULL;
}

PHCA_TEST(threads, map_changes_while_it_runs)
{
	struct stage s = { 0 };
	struct runner r[RUNNERS];
	struct phca_filter_stats st;
	unsigned int i, k, rounds = phca_test_long() ? 200000 : 3000;
	uint64_t seed = 99;
	bool there[256] = { false };
	char key[16], value[16], err[256];
	int rc;

	s.slot.cur = ft_load("by_payload_key", NULL, 0, false);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s.slot.cur);
	for (i = 0; i < RUNNERS; i++) {
		r[i] = (struct runner){ .stage = &s, .id = i };
		pthread_create(&r[i].thread, NULL, run_keys, &r[i]);
	}
	await_start(&s);
	for (i = 0; i < rounds; i++) {
		k = (unsigned int)(phca_test_rand(&seed) % 256);
		snprintf(key, sizeof(key), "%u", 256 + k);
		snprintf(value, sizeof(value), "%u", PHCA_OFFLOAD_RULE(k % 16));
		rc = there[k] ? phca_filter_map_del(s.slot.cur, "keys", key, err, sizeof(err)) :
			phca_filter_map_set(s.slot.cur, "keys", key, value, err, sizeof(err));
		CU_ASSERT_EQUAL(rc, 0);
		there[k] = !there[k];
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < RUNNERS; i++)
		pthread_join(r[i].thread, NULL);
	phca_filter_stats_get(s.slot.cur, &st);
	CU_ASSERT_EQUAL(st.runs, s.runs);
	CU_ASSERT_EQUAL(s.wrong, 0);
	phca_filter_free(s.slot.cur);
}

/* Count keys from several threads with bpf_map_update_elem, inserting as they go. */
static void *run_counting(void *arg)
{
	struct runner *r = arg;
	struct phca_filter_env env = { .now_ns = 1000 + r->id, .prandom = r->id + 1 };
	struct phca_filter_ctx ctx = { 0 };
	uint64_t wrong = 0;
	unsigned int i;

	phca_filter_env_set(&env);
	for (i = 0; i < 20000; i++) {
		ctx.qpn = i % 5000;
		wrong += phca_filter_run(r->stage->slot.cur, &ctx) != PHCA_PASS;
	}
	__atomic_fetch_add(&r->stage->wrong, wrong, __ATOMIC_RELAXED);
	phca_filter_env_set(NULL);
	return NULL;
}

static int add_up(void *arg, const char *key, const char *value)
{
	unsigned long long k = strtoull(key, NULL, 0), n = 0, when = 0;

	CU_ASSERT_EQUAL(sscanf(value, "{n=%llu,when=%llu}", &n, &when), 2);
	CU_ASSERT(when >= 1000 && when < 1000 + RUNNERS);
	if (k < 4096)
		*(uint64_t *)arg += n;
	return 0;
}

PHCA_TEST(threads, filters_insert_at_the_same_time)
{
	const struct phca_filter_spec spec = {
		.name = "count", .object = ft_path("PHCA_BAD_FILTERS", "insert"),
	};
	struct stage s = { 0 };
	struct runner r[RUNNERS];
	struct phca_map_info info;
	uint64_t sum = 0, want = 0;
	unsigned int i;

	s.slot.cur = phca_filter_load(&spec, ft_err, sizeof(ft_err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(s.slot.cur);
	for (i = 0; i < RUNNERS; i++) {
		r[i] = (struct runner){ .stage = &s, .id = i };
		pthread_create(&r[i].thread, NULL, run_counting, &r[i]);
	}
	for (i = 0; i < RUNNERS; i++)
		pthread_join(r[i].thread, NULL);
	/* 5000 keys into room for 4608: full, and each key there once. */
	CU_ASSERT_EQUAL(phca_filter_map_info(s.slot.cur, 0, &info), 0);
	CU_ASSERT_EQUAL(info.nb_entries, 4608);
	CU_ASSERT_EQUAL(phca_filter_map_each(s.slot.cur, "counts", add_up, &sum), 0);
	/* Each thread met each key 4 times; the first 4096 keys always found room. */
	want = 4096 * 4 * RUNNERS;
	CU_ASSERT_EQUAL(sum, want);
	CU_ASSERT_EQUAL(s.wrong, 0);
	phca_filter_free(s.slot.cur);
}

PHCA_TEST(threads, without_env_everything_passes)
{
	const struct phca_filter_ctx ctx = { 0 };
	struct phca_filter_stats st;
	struct phca_filter *f = ft_load("all", NULL, 0, false);

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	phca_filter_env_set(NULL);
	CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), PHCA_PASS);
	phca_filter_env_set(&ft_env);
	CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), PHCA_OFFLOAD);
	phca_filter_stats_get(f, &st);
	CU_ASSERT_EQUAL(st.runs, 1);
	phca_filter_free(f);
}
