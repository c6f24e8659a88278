/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lcores that read while regions come and go: phca_mr_dereg returns only when
 * no reader can still be using the region. Made to be run under TSan too.
 */
#include <pthread.h>
#include <sched.h>

#include "mem_fixture.h"

#define KEYS 8

struct shared {
	struct mem_fixture f;
	uint8_t mem[KEYS][64];
	uint32_t key[KEYS];  /* what readers try; atomic */
	uint32_t hits, refused;
	bool stop, held;
};

struct reader {
	struct shared *s;
	unsigned int id;
	uint64_t hits, refused;
	pthread_t thread;
};

/* Reads a region the writer may be about to take back. The plain accesses to
 * its bytes race with the writer's, unless dereg waits as it must. */
static void *read_loop(void *arg)
{
	struct reader *r = arg;
	struct shared *s = r->s;
	struct rte_rcu_qsbr *q = s->f.qsbr;
	uint64_t seed = r->id;

	rte_rcu_qsbr_thread_register(q, r->id);
	rte_rcu_qsbr_thread_online(q, r->id);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint32_t i = phca_test_rand(&seed) % KEYS;
		uint32_t key = __atomic_load_n(&s->key[i], __ATOMIC_RELAXED);
		enum phca_mem_err err = PHCA_MEM_OK;
		const uint8_t *p = phca_mem_ptr(s->f.mem, key, s->f.pd, i, 64, 0, &err);

		if (p == NULL) {
			r->refused++;
			if (err != PHCA_MEM_KEY)
				__atomic_fetch_add(&s->refused, 1, __ATOMIC_RELAXED);
		} else {
			__atomic_store_n(&r->hits, r->hits + 1, __ATOMIC_RELAXED);
			if (p[0] == 0 || p[0] != p[63] || p != s->mem[i])
				__atomic_fetch_add(&s->hits, 1, __ATOMIC_RELAXED);
		}
		rte_rcu_qsbr_quiescent(q, r->id);
		if (r->hits % 64 == 0)
			sched_yield(); /* on a busy machine the writer wants its turn */
	}
	rte_rcu_qsbr_thread_offline(q, r->id);
	rte_rcu_qsbr_thread_unregister(q, r->id);
	return NULL;
}

PHCA_TEST(rcu, readers_never_see_a_region_that_was_taken_back)
{
	static struct shared s;
	struct reader r[2];
	uint32_t rounds = phca_test_long() ? 100000 : 1000;

	memset(&s, 0, sizeof(s));
	mem_setup(&s.f, KEYS);
	for (uint32_t i = 0; i < KEYS; i++) {
		memset(s.mem[i], 1, 64);
		s.key[i] = mem_reg(&s.f, s.mem[i], 64, i, 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		r[i] = (struct reader){ .s = &s, .id = i };
		CU_ASSERT_EQUAL_FATAL(pthread_create(&r[i].thread, NULL, read_loop, &r[i]), 0);
	}
	for (unsigned int i = 0; i < 2; i++) /* on a busy machine they start late */
		while (__atomic_load_n(&r[i].hits, __ATOMIC_RELAXED) == 0)
			sched_yield();
	for (uint32_t n = 0; n < rounds; n++) {
		uint32_t i = n % KEYS, key;

		CU_ASSERT_EQUAL_FATAL(phca_mr_dereg(s.f.mem, s.key[i]), 0);
		memset(s.mem[i], 0, 64);          /* nobody may see this */
		memset(s.mem[i], (int)(n % 255) + 1, 64);
		key = mem_reg(&s.f, s.mem[i], 64, i, 0);
		__atomic_store_n(&s.key[i], key, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(r[i].thread, NULL);
	CU_ASSERT_EQUAL(s.hits, 0);
	CU_ASSERT_EQUAL(s.refused, 0);
	CU_ASSERT(r[0].hits + r[1].hits > 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(s.f.mem), KEYS);
	mem_teardown(&s.f);
}

static void *dereg_one(void *arg)
{
	struct shared *s = arg;
	int ret = phca_mr_dereg(s->f.mem, s->key[0]);

	__atomic_store_n(&s->held, false, __ATOMIC_SEQ_CST);
	return (void *)(intptr_t)ret;
}

PHCA_TEST(rcu, dereg_waits_for_an_online_lcore_and_blocks_nobody_else)
{
	static struct shared s;
	enum phca_mem_err err;
	pthread_t t;
	void *ret = &s;
	uint32_t k;

	memset(&s, 0, sizeof(s));
	mem_setup(&s.f, KEYS);
	s.key[0] = mem_reg(&s.f, s.mem[0], 64, 0, 0);
	rte_rcu_qsbr_thread_register(s.f.qsbr, 3);
	rte_rcu_qsbr_thread_online(s.f.qsbr, 3);
	s.held = true;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, dereg_one, &s), 0);
	/* The key is gone at once ... */
	while (phca_mem_ptr(s.f.mem, s.key[0], s.f.pd, 0, 1, 0, &err) != NULL)
		;
	CU_ASSERT_EQUAL(err, PHCA_MEM_KEY);
	/* ... others register, allocate and hold meanwhile ... */
	k = mem_reg(&s.f, s.mem[1], 64, 0, 0);
	CU_ASSERT_NOT_EQUAL(k >> 8, s.key[0] >> 8);
	CU_ASSERT_NOT_EQUAL(phca_pd_alloc(s.f.mem), 0);
	CU_ASSERT_EQUAL(phca_pd_get(s.f.mem, s.f.pd), 0);
	CU_ASSERT_EQUAL(phca_pd_free(s.f.mem, s.f.pd), -EBUSY);
	/* ... and dereg returns only when this "lcore" was quiescent. */
	CU_ASSERT_TRUE(__atomic_load_n(&s.held, __ATOMIC_SEQ_CST));
	while (__atomic_load_n(&s.held, __ATOMIC_SEQ_CST)) {
		rte_rcu_qsbr_quiescent(s.f.qsbr, 3);
		sched_yield();
	}
	pthread_join(t, &ret);
	CU_ASSERT_PTR_NULL(ret);
	rte_rcu_qsbr_thread_offline(s.f.qsbr, 3);
	CU_ASSERT_EQUAL(phca_mr_dereg(s.f.mem, k), 0); /* nobody to wait for */
	mem_teardown(&s.f);
}
