/* SPDX-License-Identifier: BSD-3-Clause */
/* Loops that sleep and are woken by others, which make their turns for them. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "phca_loop.h"
#include "phca_test.h"

#define ROUNDS 3000

/* A loop of a ring of loops: what it gets it gives to the next one. */
struct stage {
	struct phca_loop *loop;
	struct stage *next;
	pthread_t thread;
	uint64_t last_ns;
	uint64_t seen;     /* not atomic: one thread at a time makes the turns */
	uint64_t box;      /* written by the stage before */
	uint32_t inside;   /* turns under way */
	uint32_t own;      /* turns on the loop's own thread */
	uint32_t asleep;   /* what the idle function was told */
	bool clash, back, twice, busy, late;
};

static void ms_sleep(unsigned int ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000L };

	nanosleep(&ts, NULL);
}

static void give(struct stage *s, uint64_t n)
{
	__atomic_store_n(&s->box, n, __ATOMIC_RELEASE);
	phca_loop_wake(s->loop);
}

/* In a turn: until the next stage made one of its own meanwhile, and sleeps again. */
static void late(const struct stage *next)
{
	const uint32_t own = __atomic_load_n(&next->own, __ATOMIC_RELAXED);

	for (unsigned int i = 0; i < 1000 && __atomic_load_n(&next->own, __ATOMIC_RELAXED) == own; i++)
		sched_yield();
	for (unsigned int i = 0; i < 1000 && __atomic_load_n(&next->asleep, __ATOMIC_RELAXED) == 0; i++)
		sched_yield();
	for (unsigned int i = 0; i < 20; i++)
		sched_yield();
}

static unsigned int stage_turn(void *arg, uint64_t now_ns)
{
	struct stage *s = arg;
	uint64_t n = __atomic_load_n(&s->box, __ATOMIC_ACQUIRE);
	bool news = n != s->seen;

	s->back |= now_ns < s->last_ns;
	s->last_ns = now_ns;
	s->clash |= __atomic_exchange_n(&s->inside, 1, __ATOMIC_RELAXED) != 0;
	if (pthread_equal(pthread_self(), s->thread))
		__atomic_store_n(&s->own, s->own + 1, __ATOMIC_RELAXED);
	s->seen = n;
	if (news && s->late)
		late(s->next);
	if (news && s->next != NULL)
		give(s->next, n);
	__atomic_store_n(&s->inside, 0, __ATOMIC_RELAXED);
	return news || __atomic_load_n(&s->busy, __ATOMIC_RELAXED);
}

static void stage_idle(void *arg, bool sleeps)
{
	struct stage *s = arg;

	s->twice |= s->asleep == sleeps;
	__atomic_store_n(&s->asleep, sleeps, __ATOMIC_RELAXED);
}

static void *run(void *arg)
{
	return (void *)(intptr_t)phca_loop_run(arg);
}

static int self_set(void *arg)
{
	*(pthread_t *)arg = pthread_self();
	return 0;
}

static void stages_start(struct stage *s, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		s[i].loop = phca_loop_create("stage", NULL, 0, PHCA_IDLE_SLEEP);
		CU_ASSERT_PTR_NOT_NULL_FATAL(s[i].loop);
		phca_loop_add(s[i].loop, "stage", stage_turn, &s[i]);
		phca_loop_idle_add(s[i].loop, stage_idle, &s[i]);
	}
	for (unsigned int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL_FATAL(pthread_create(&s[i].thread, NULL, run, s[i].loop), 0);
		while (!phca_loop_is_running(s[i].loop))
			ms_sleep(1);
	}
}

static void stages_end(struct stage *s, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		phca_loop_stop(s[i].loop);
		pthread_join(s[i].thread, NULL);
	}
	for (unsigned int i = 0; i < n; i++) {
		CU_ASSERT_FALSE(s[i].clash);
		CU_ASSERT_FALSE(s[i].back); /* its time */
		CU_ASSERT_FALSE(s[i].twice);
		CU_ASSERT_EQUAL(s[i].asleep, 0);
		phca_loop_destroy(s[i].loop);
	}
}

static uint64_t carried(const struct stage *s)
{
	struct phca_loop_stats st;

	phca_loop_stats_get(s->loop, &st);
	return st.carried;
}

static bool waits_for(const uint64_t *box, uint64_t n)
{
	for (unsigned int i = 0; i < 10000; i++) {
		if (__atomic_load_n(box, __ATOMIC_ACQUIRE) == n)
			return true;
		if (i < 100)
			sched_yield();
		else
			ms_sleep(1);
	}
	return false;
}

/* Round after round through three loops, some of which have fallen asleep meanwhile. */
PHCA_TEST(carry, what_goes_from_loop_to_loop_arrives_whoever_makes_the_turns)
{
	struct stage s[4] = { 0 };
	uint64_t n;

	for (unsigned int i = 0; i < 3; i++)
		s[i].next = &s[i + 1];
	stages_start(s, 4);
	for (n = 1; n <= ROUNDS; n++) {
		give(&s[0], n);
		if (!waits_for(&s[3].box, n))
			break;
		if (n % 16 == 0)
			ms_sleep(1); /* they fall asleep */
	}
	CU_ASSERT_EQUAL(n, ROUNDS + 1);
	CU_ASSERT_TRUE(carried(&s[1]) > 0);
	CU_ASSERT_TRUE(carried(&s[2]) > 0);
	stages_end(s, 4);
	CU_ASSERT_EQUAL(s[3].seen, ROUNDS);
}

/* The turn in which another loop takes it began before its own last one. */
PHCA_TEST(carry, time_does_not_go_back)
{
	struct stage s[2] = { { .next = &s[1], .late = true } };

	stages_start(s, 2);
	for (uint64_t n = 1; n <= 50; n++) {
		ms_sleep(1);
		give(&s[0], n);
		CU_ASSERT_TRUE(waits_for(&s[1].box, n));
	}
	stages_end(s, 2);
}

/* Commands run on the loop's own thread, which gets its turns back for them; none waits for ever. */
PHCA_TEST(carry, who_is_carried_gets_its_turns_back_for_commands)
{
	struct stage s[2] = { { .next = &s[1] } };
	pthread_t on;

	stages_start(s, 2);
	/* It is busy, so it never lets go by itself. */
	__atomic_store_n(&s[0].busy, true, __ATOMIC_RELAXED);
	for (uint64_t n = 1; n <= 200; n++) {
		give(&s[0], n);
		if (n % 3 == 0)
			ms_sleep(1);
		on = pthread_self();
		CU_ASSERT_EQUAL(phca_loop_call(s[1].loop, self_set, &on), 0);
		CU_ASSERT_TRUE(pthread_equal(on, s[1].thread));
		CU_ASSERT_TRUE(waits_for(&s[1].box, n));
	}
	stages_end(s, 2);
	CU_ASSERT_EQUAL(s[1].seen, 200);
}

/* A loop that always has work carries the other for a while, then its lcore has to do it. */
PHCA_TEST(carry, who_is_full_gives_back)
{
	struct stage s[2] = { { .next = &s[1] } };
	uint32_t own;
	uint64_t n = 0;

	stages_start(s, 2);
	for (unsigned int i = 0; i < 2000 && carried(&s[1]) == 0; i++) {
		ms_sleep(2); /* both sleep; the first is woken, and takes the second */
		give(&s[0], ++n);
		ms_sleep(1);
	}
	CU_ASSERT_TRUE(carried(&s[1]) > 0);
	__atomic_store_n(&s[1].busy, true, __ATOMIC_RELAXED);
	__atomic_store_n(&s[0].busy, true, __ATOMIC_RELAXED);
	own = __atomic_load_n(&s[1].own, __ATOMIC_RELAXED);
	give(&s[0], ++n);
	for (unsigned int i = 0; i < 5000 && __atomic_load_n(&s[1].own, __ATOMIC_RELAXED) < own + 100; i++)
		ms_sleep(1);
	CU_ASSERT_TRUE(__atomic_load_n(&s[1].own, __ATOMIC_RELAXED) >= own + 100);
	CU_ASSERT_TRUE(waits_for(&s[1].box, n));
	stages_end(s, 2);
}

/* The one that carries stops first: the others go on by themselves. */
PHCA_TEST(carry, who_stops_gives_back)
{
	for (unsigned int i = 0; i < 20; i++) {
		struct stage s[3] = { { .next = &s[1] }, { .next = &s[2] } };

		stages_start(s, 3);
		ms_sleep(1);
		give(&s[0], 1);
		if (i % 2 == 0)
			CU_ASSERT_TRUE(waits_for(&s[2].box, 1));
		phca_loop_stop(s[0].loop);
		pthread_join(s[0].thread, NULL);
		for (uint64_t n = 2; n < 6; n++) {
			give(&s[1], n);
			CU_ASSERT_TRUE(waits_for(&s[2].box, n));
			ms_sleep(n == 4);
		}
		CU_ASSERT_EQUAL_FATAL(pthread_create(&s[0].thread, NULL, run, s[0].loop), 0);
		while (!phca_loop_is_running(s[0].loop))
			ms_sleep(1);
		stages_end(s, 3);
	}
}
