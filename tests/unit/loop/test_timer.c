/* SPDX-License-Identifier: BSD-3-Clause */
/* The timer wheel on virtual time: by hand, then against a model that looks at every timer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phca_loop.h"
#include "phca_test.h"

#define ALL UINT32_MAX /* a budget that is never used up */
#define MS UINT64_C(1000000)
#define SEC (1000 * MS)
#define HOUR (3600 * SEC)

struct fired {
	struct phca_timer *t[64];
	unsigned int n;
};

static void note(void *arg, struct phca_timer *t)
{
	struct fired *f = arg;

	CU_ASSERT_FALSE(phca_timer_armed(t));
	if (f->n < 64)
		f->t[f->n] = t;
	f->n++;
}

/* @return when the one timer that is armed expires, found by jumping to phca_timers_next */
static uint64_t jump(struct phca_timers *w, uint64_t now_ns, unsigned int *steps)
{
	struct fired f = { .n = 0 };

	for (*steps = 0; *steps < 100; ++*steps) {
		uint64_t next_ns = phca_timers_next(w);

		if (next_ns == UINT64_MAX)
			return UINT64_MAX;
		now_ns = next_ns > now_ns ? next_ns : now_ns;
		if (phca_timers_run(w, now_ns, note, &f, ALL) > 0)
			return now_ns;
	}
	return 0;
}

PHCA_TEST(timer, expires_at_its_time_once_and_not_before)
{
	struct phca_timer t = { 0 };
	struct phca_timers w;
	struct fired f = { .n = 0 };

	phca_timers_init(&w, 5000);
	CU_ASSERT_FALSE(phca_timer_armed(&t));
	CU_ASSERT_EQUAL(phca_timers_next(&w), UINT64_MAX);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 5000, note, &f, ALL), 0);
	phca_timer_arm(&w, &t, 7001);
	CU_ASSERT_TRUE(phca_timer_armed(&t));
	CU_ASSERT_TRUE(phca_timers_next(&w) <= 7001);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 7000, note, &f, ALL), 0);
	CU_ASSERT_EQUAL(phca_timers_next(&w), 7001);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 7001, note, &f, ALL), 1);
	CU_ASSERT_EQUAL(f.n, 1);
	CU_ASSERT_PTR_EQUAL(f.t[0], &t);
	CU_ASSERT_EQUAL(phca_timers_next(&w), UINT64_MAX);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 1 * HOUR, note, &f, ALL), 0);
}

PHCA_TEST(timer, past_and_present_times_expire_in_the_next_run)
{
	struct phca_timer t[3] = { { 0 } };
	struct phca_timers w;
	struct fired f = { .n = 0 };

	phca_timers_init(&w, SEC);
	phca_timer_arm(&w, &t[0], 0);
	phca_timer_arm(&w, &t[1], SEC - 1);
	phca_timer_arm(&w, &t[2], SEC);
	CU_ASSERT_EQUAL(phca_timers_run(&w, SEC, note, &f, 0), 0);
	CU_ASSERT_EQUAL(phca_timers_run(&w, SEC, note, &f, ALL), 3);
	CU_ASSERT_EQUAL(f.n, 3);
}

PHCA_TEST(timer, cancelled_one_does_not_expire_and_may_be_cancelled_again)
{
	struct phca_timer t[3] = { { 0 } };
	struct phca_timers w;
	struct fired f = { .n = 0 };

	phca_timers_init(&w, 0);
	for (int i = 0; i < 3; i++)
		phca_timer_arm(&w, &t[i], 3 * SEC);
	phca_timer_cancel(&w, &t[1]);
	phca_timer_cancel(&w, &t[1]);
	CU_ASSERT_FALSE(phca_timer_armed(&t[1]));
	CU_ASSERT_EQUAL(phca_timers_run(&w, HOUR, note, &f, ALL), 2);
	for (unsigned int i = 0; i < f.n; i++)
		CU_ASSERT_PTR_NOT_EQUAL(f.t[i], &t[1]);
	phca_timer_arm(&w, &t[0], 2 * HOUR);
	phca_timer_cancel(&w, &t[0]);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 3 * HOUR, note, &f, ALL), 0);
	CU_ASSERT_EQUAL(phca_timers_next(&w), UINT64_MAX);
}

PHCA_TEST(timer, arming_again_moves_it_both_ways)
{
	struct phca_timer t = { 0 };
	struct phca_timers w;
	struct fired f = { .n = 0 };

	phca_timers_init(&w, 0);
	phca_timer_arm(&w, &t, MS);
	for (uint64_t at_ns = MS; at_ns <= SEC; at_ns += MS) /* as acknowledgements do */
		phca_timer_arm(&w, &t, at_ns);
	for (uint64_t now_ns = 0; now_ns < SEC; now_ns += MS / 2)
		CU_ASSERT_EQUAL(phca_timers_run(&w, now_ns, note, &f, ALL), 0);
	phca_timer_arm(&w, &t, 5 * SEC);
	phca_timer_arm(&w, &t, SEC + 10);
	CU_ASSERT_EQUAL(phca_timers_run(&w, SEC + 9, note, &f, ALL), 0);
	CU_ASSERT_EQUAL(phca_timers_run(&w, SEC + 10, note, &f, ALL), 1);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 9 * SEC, note, &f, ALL), 0);
}

PHCA_TEST(timer, placed_one_is_at_its_new_time_at_once)
{
	struct phca_timer t = { 0 };
	struct phca_timers w;
	struct fired f = { .n = 0 };

	phca_timers_init(&w, 0);
	phca_timer_arm(&w, &t, MS);
	phca_timer_place(&w, &t, SEC);
	CU_ASSERT_TRUE(phca_timer_armed(&t));
	CU_ASSERT_EQUAL(phca_timers_run(&w, MS, note, &f, ALL), 0);
	CU_ASSERT_TRUE(phca_timers_next(&w) > 500 * MS && phca_timers_next(&w) <= SEC);
	phca_timer_place(&w, &t, 2 * MS);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 2 * MS - 1, note, &f, ALL), 0);
	CU_ASSERT_EQUAL(phca_timers_run(&w, 2 * MS, note, &f, ALL), 1);
}

PHCA_TEST(timer, every_local_ack_timeout_is_reached_by_jumps_of_virtual_time)
{
	struct phca_timer t = { 0 }, first = { 0 };
	struct phca_timers w;
	struct fired f = { .n = 0 };
	unsigned int steps;
	uint64_t now_ns = 123456789;

	phca_timers_init(&w, now_ns);
	for (unsigned int n = 1; n <= 31; n++) { /* 4.096 us x 2^n: 8 us to 2.4 h */
		uint64_t at_ns = now_ns + (UINT64_C(4096) << n);

		phca_timer_arm(&w, &first, now_ns + 1);
		phca_timer_arm(&w, &t, at_ns);
		CU_ASSERT_EQUAL(phca_timers_run(&w, now_ns + 1, note, &f, ALL), 1);
		now_ns = jump(&w, now_ns + 1, &steps);
		CU_ASSERT_EQUAL(now_ns, at_ns);
		CU_ASSERT_TRUE(steps < 10);
	}
	/* and the longest times there are */
	phca_timer_arm(&w, &first, now_ns + 1);
	phca_timer_arm(&w, &t, UINT64_MAX - 1);
	CU_ASSERT_EQUAL(phca_timers_run(&w, now_ns + 1, note, &f, ALL), 1);
	CU_ASSERT_EQUAL(jump(&w, now_ns + 1, &steps), UINT64_MAX - 1);
	CU_ASSERT_TRUE(steps > 1 && steps < 10);
}

PHCA_TEST(timer, one_jump_over_centuries_expires_all_in_order)
{
	struct phca_timer t[50] = { { 0 } };
	struct phca_timers w;
	struct fired f = { .n = 0 };

	phca_timers_init(&w, 0);
	for (int i = 0; i < 50; i++)
		phca_timer_arm(&w, &t[49 - i], UINT64_C(1) << (10 + i)); /* 1 us to 18 years */
	CU_ASSERT_EQUAL(phca_timers_run(&w, UINT64_MAX / 2, note, &f, ALL), 50);
	for (int i = 0; i < 50; i++)
		CU_ASSERT_PTR_EQUAL(f.t[i], &t[49 - i]);
}

PHCA_TEST(timer, budget_is_kept_and_the_rest_comes_first)
{
	struct phca_timer t[60] = { { 0 } };
	struct phca_timers w;
	struct fired f = { .n = 0 };
	unsigned int runs = 0;

	phca_timers_init(&w, 0);
	for (int i = 0; i < 60; i++)
		phca_timer_arm(&w, &t[i], i < 40 ? 70 * MS : 80 * MS);
	while (f.n < 60 && runs++ < 60) {
		unsigned int before = f.n;

		CU_ASSERT_TRUE(phca_timers_run(&w, 100 * MS, note, &f, 7) <= 7);
		CU_ASSERT_TRUE(f.n - before <= 7);
		CU_ASSERT_TRUE(f.n == 60 || phca_timers_next(&w) <= 100 * MS);
	}
	CU_ASSERT_EQUAL(f.n, 60);
	for (unsigned int i = 0; i < 60; i++)
		CU_ASSERT_EQUAL(f.t[i] - t < 40, i < 40);
	CU_ASSERT_EQUAL(phca_timers_next(&w), UINT64_MAX);
}

struct again {
	struct phca_timers w;
	struct phca_timer t;
	uint64_t now_ns, period_ns;
	unsigned int n;
};

static void arm_again(void *arg, struct phca_timer *t)
{
	struct again *a = arg;

	a->n++;
	phca_timer_arm(&a->w, t, a->now_ns + a->period_ns);
}

PHCA_TEST(timer, one_that_arms_itself_for_now_comes_once_a_run)
{
	struct again a = { .n = 0 };

	phca_timers_init(&a.w, 0);
	phca_timer_arm(&a.w, &a.t, 0);
	for (a.now_ns = 1; a.now_ns < 50 * MS; a.now_ns = a.now_ns * 3 / 2 + 1) {
		unsigned int before = a.n;

		CU_ASSERT_EQUAL(phca_timers_run(&a.w, a.now_ns, arm_again, &a, ALL), 1);
		CU_ASSERT_EQUAL(a.n, before + 1);
		CU_ASSERT_TRUE(phca_timers_next(&a.w) <= a.now_ns);
	}
	a.period_ns = MS;
	CU_ASSERT_EQUAL(phca_timers_run(&a.w, a.now_ns, arm_again, &a, ALL), 1);
	CU_ASSERT_EQUAL(phca_timers_run(&a.w, a.now_ns + MS - 1, arm_again, &a, ALL), 0);
	a.now_ns += MS;
	CU_ASSERT_EQUAL(phca_timers_run(&a.w, a.now_ns, arm_again, &a, ALL), 1);
}

/* The model: every timer with its time, searched one by one. */

#define TIMERS 200

struct model {
	struct phca_timers w;
	uint64_t now_ns, seed;
	uint64_t last_tick;      /* of the run: the order so far */
	bool in_run;
	unsigned int errors;
	struct entry {
		struct phca_timer t;
		uint64_t at_ns;
		bool armed;
		bool touched; /* armed by fn in this run */
		bool past;    /* armed for a time that was over */
		bool fired;   /* in this run */
	} e[TIMERS];
};

static uint64_t below(struct model *m, uint64_t n)
{
	return phca_test_rand(&m->seed) % n;
}

/* Times of any size, many of them equal. */
static uint64_t some_ns(struct model *m)
{
	uint64_t ns = phca_test_rand(&m->seed) >> (63 - below(m, 46));

	return below(m, 4) == 0 ? ns & ~UINT64_C(0xfffff) : ns;
}

static void check(struct model *m, bool ok)
{
	m->errors += !ok;
}

static void model_arm(struct model *m, struct entry *e)
{
	uint64_t ns = some_ns(m);

	if (below(m, 8) == 0)
		e->at_ns = m->now_ns - (ns < m->now_ns ? ns : m->now_ns);
	else if (below(m, 4) == 0)
		e->at_ns = m->now_ns + below(m, 3000);
	else
		e->at_ns = m->now_ns + ns;
	e->armed = true;
	e->touched = m->in_run;
	e->past = e->at_ns <= m->now_ns;
	phca_timer_arm(&m->w, &e->t, e->at_ns);
	check(m, phca_timer_armed(&e->t));
}

static void model_change(struct model *m)
{
	struct entry *e = &m->e[below(m, TIMERS)];

	if (below(m, 3) > 0) {
		model_arm(m, e);
		return;
	}
	check(m, phca_timer_armed(&e->t) == e->armed);
	phca_timer_cancel(&m->w, &e->t);
	e->armed = false;
	check(m, !phca_timer_armed(&e->t));
}

static void model_fired(void *arg, struct phca_timer *t)
{
	struct model *m = arg;
	struct entry *e = (struct entry *)t; /* the first member */

	check(m, e->armed && e->at_ns <= m->now_ns && !e->fired);
	if (!e->past) {
		check(m, e->at_ns >> 10 >= m->last_tick);
		m->last_tick = e->at_ns >> 10;
	}
	e->armed = false;
	e->fired = true;
	while (below(m, 3) == 0)
		model_change(m);
	if (below(m, 4) == 0)
		model_arm(m, e);
}

/* One run and what must hold after it. */
static void model_run(struct model *m, unsigned int budget)
{
	uint64_t first_ns = UINT64_MAX, next_ns;
	unsigned int n, fired = 0;

	for (int i = 0; i < TIMERS; i++)
		m->e[i].fired = m->e[i].touched = false;
	m->last_tick = 0;
	m->in_run = true;
	n = phca_timers_run(&m->w, m->now_ns, model_fired, m, budget);
	m->in_run = false;
	next_ns = phca_timers_next(&m->w);
	for (int i = 0; i < TIMERS; i++) {
		struct entry *e = &m->e[i];

		fired += e->fired;
		check(m, phca_timer_armed(&e->t) == e->armed);
		if (!e->armed)
			continue;
		first_ns = e->at_ns < first_ns ? e->at_ns : first_ns;
		if (budget == ALL)
			check(m, e->at_ns > m->now_ns || e->touched);
	}
	check(m, n == fired && n <= budget);
	check(m, next_ns <= first_ns || next_ns <= m->now_ns);
	check(m, first_ns != UINT64_MAX || next_ns == UINT64_MAX);
}

static void model_advance(struct model *m)
{
	uint64_t next_ns = phca_timers_next(&m->w);

	switch (below(m, 4)) {
	case 0:
		m->now_ns += below(m, 5000);
		break;
	case 1:
		m->now_ns += some_ns(m);
		break;
	case 2:
		if (next_ns != UINT64_MAX && next_ns > m->now_ns)
			m->now_ns = next_ns;
		break;
	default:
		break; /* again at the same time */
	}
}

PHCA_TEST(timer, does_what_a_search_through_all_timers_does)
{
	unsigned int seeds = phca_test_long() ? 2000 : 60;
	struct model *m = malloc(sizeof(*m));

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	for (unsigned int s = 1; s <= seeds; s++) {
		memset(m, 0, sizeof(*m));
		m->seed = s;
		m->now_ns = some_ns(m);
		phca_timers_init(&m->w, m->now_ns);
		for (int step = 0; step < 400 && m->errors == 0; step++) {
			for (uint64_t i = below(m, 30); i > 0; i--)
				model_change(m);
			model_advance(m);
			model_run(m, below(m, 3) == 0 ? (unsigned int)below(m, 20) : ALL);
		}
		CU_ASSERT_EQUAL(m->errors, 0);
		if (m->errors > 0) {
			fprintf(stderr, "timer model: seed %u\n", s);
			break;
		}
	}
	free(m);
}
