/* SPDX-License-Identifier: BSD-3-Clause */
/* The rate: the paper's numbers by hand, a reference of real numbers, time that passes at once. */
#include <stdio.h>
#include <string.h>

#include "cc_reference.h"
#include "phca_test.h"

#define US UINT64_C(1000)
#define SEC UINT64_C(1000000000)
#define GBPS UINT64_C(1000000000)
#define LINE (40 * GBPS)

static struct phca_cc_params defaults(void)
{
	struct phca_cc_params p;

	phca_cc_params_default(&p);
	return p;
}

static bool near_to(double a, double b, double slack)
{
	return fabs(a - b) <= slack;
}

PHCA_TEST(rate, starts_at_line_rate_and_stays_there_without_cnps)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;

	phca_cc_init(&cc, LINE);
	CU_ASSERT_FALSE(phca_cc_limited(&cc));
	for (uint64_t now_ns = 0; now_ns < SEC; now_ns += SEC / 100) {
		phca_cc_sent(&cc, &p, 4096, now_ns);
		CU_ASSERT_EQUAL(phca_cc_timer(&cc, &p, now_ns), UINT64_MAX);
		CU_ASSERT_EQUAL(phca_cc_next_send(&cc, now_ns), now_ns);
		CU_ASSERT_EQUAL(phca_cc_rate(&cc), LINE);
	}
	phca_cc_init(&cc, 0);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), PHCA_CC_LINE_MIN_BPS);
	phca_cc_init(&cc, UINT64_MAX);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), PHCA_CC_LINE_MAX_BPS);
}

/* Equation 1: alpha begins with 1, so that the first CNP halves. */
PHCA_TEST(rate, first_cnp_halves_and_the_second_too)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;

	phca_cc_init(&cc, LINE);
	phca_cc_cnp(&cc, &p, SEC);
	CU_ASSERT_TRUE(phca_cc_limited(&cc));
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), LINE / 2);
	CU_ASSERT_EQUAL(cc.target_bps, LINE);
	CU_ASSERT_EQUAL(cc.alpha, PHCA_CC_ALPHA_ONE);
	phca_cc_cnp(&cc, &p, SEC + 50 * US);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), LINE / 4);
	CU_ASSERT_EQUAL(cc.target_bps, LINE / 2);
}

/* Equation 2: without CNPs alpha falls by g each 55 us; a CNP brings it up by g. */
PHCA_TEST(rate, alpha_falls_without_cnps_and_the_next_cut_is_smaller)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;
	double alpha = 1;

	phca_cc_init(&cc, LINE);
	phca_cc_cnp(&cc, &p, 0);
	phca_cc_timer(&cc, &p, 55 * US - 1);
	CU_ASSERT_EQUAL(cc.alpha, PHCA_CC_ALPHA_ONE);
	for (int i = 1; i <= 300; i++) {
		phca_cc_timer(&cc, &p, (uint64_t)i * 55 * US);
		alpha *= 255.0 / 256;
	}
	CU_ASSERT_TRUE(near_to(cc.alpha / 2147483648.0, alpha, 1e-6));
	double before = (double)phca_cc_rate(&cc);
	phca_cc_cnp(&cc, &p, 300 * 55 * US + 1);
	CU_ASSERT_TRUE(near_to((double)phca_cc_rate(&cc), before * (1 - alpha / 2), 1e-6 * before));
	CU_ASSERT_TRUE(near_to(cc.alpha / 2147483648.0, alpha * 255 / 256 + 1.0 / 256, 1e-6));
}

/* Equation 3, then 4: F - 1 rounds towards the target, then the target moves. */
PHCA_TEST(rate, fast_recovery_then_additive_increase_by_time)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;
	uint64_t rate = 10 * GBPS;

	phca_cc_init(&cc, LINE);
	phca_cc_cnp(&cc, &p, 0);
	phca_cc_cnp(&cc, &p, 0);
	CU_ASSERT_EQUAL(phca_cc_timer(&cc, &p, 0), 55 * US);
	for (uint64_t i = 1; i <= 4; i++) {
		CU_ASSERT_EQUAL(phca_cc_timer(&cc, &p, i * 55 * US - 1), i * 55 * US);
		CU_ASSERT_EQUAL(phca_cc_rate(&cc), rate);
		CU_ASSERT_EQUAL(phca_cc_timer(&cc, &p, i * 55 * US), (i + 1) * 55 * US);
		rate = (rate + 20 * GBPS) / 2;
		CU_ASSERT_EQUAL(phca_cc_rate(&cc), rate);
		CU_ASSERT_EQUAL(cc.target_bps, 20 * GBPS);
	}
	phca_cc_timer(&cc, &p, 5 * 55 * US);
	CU_ASSERT_EQUAL(cc.target_bps, 20 * GBPS + 40000000);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), (rate + 20 * GBPS + 40000000) / 2);
	/* only time, no bytes: it never becomes hyper increase */
	phca_cc_timer(&cc, &p, 105 * 55 * US);
	CU_ASSERT_EQUAL(cc.target_bps, 20 * GBPS + 101 * UINT64_C(40000000));
}

PHCA_TEST(rate, bytes_raise_it_too_and_both_make_hyper_increase)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;

	phca_cc_init(&cc, LINE);
	phca_cc_cnp(&cc, &p, 0);
	phca_cc_cnp(&cc, &p, 0);
	for (int i = 0; i < 9; i++)
		phca_cc_sent(&cc, &p, 1111111, 0);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), 10 * GBPS); /* one byte is missing */
	phca_cc_sent(&cc, &p, 1, 0);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), 15 * GBPS);
	phca_cc_sent(&cc, &p, 50000000, 0); /* 6 rounds now */
	CU_ASSERT_EQUAL(cc.target_bps, 20 * GBPS + 2 * UINT64_C(40000000));
	phca_cc_timer(&cc, &p, 5 * 55 * US); /* 5 rounds of time: not more than F */
	CU_ASSERT_EQUAL(cc.target_bps, 20 * GBPS + 7 * UINT64_C(40000000));
	phca_cc_timer(&cc, &p, 6 * 55 * US);
	CU_ASSERT_EQUAL(cc.target_bps, 20 * GBPS + 7 * UINT64_C(40000000) + 400000000);
	/* a CNP begins anew */
	phca_cc_cnp(&cc, &p, 6 * 55 * US);
	CU_ASSERT_EQUAL(cc.time_rounds + cc.byte_rounds, 0);
	CU_ASSERT_EQUAL(phca_cc_timer(&cc, &p, 6 * 55 * US), 7 * 55 * US);
}

PHCA_TEST(rate, no_number_of_cnps_cuts_below_the_least_rate)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;

	phca_cc_init(&cc, LINE);
	for (int i = 0; i < 1000; i++)
		phca_cc_cnp(&cc, &p, (uint64_t)i);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), p.min_rate_bps);
	CU_ASSERT_EQUAL(cc.target_bps, p.min_rate_bps);
	CU_ASSERT_TRUE(cc.alpha <= PHCA_CC_ALPHA_ONE);
	/* a line slower than that is not limited at all */
	p.min_rate_bps = GBPS;
	phca_cc_init(&cc, GBPS / 10);
	phca_cc_cnp(&cc, &p, 0);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), GBPS / 10);
	CU_ASSERT_FALSE(phca_cc_limited(&cc));
}

PHCA_TEST(rate, recovers_to_exactly_line_rate_and_is_free_again)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;
	uint64_t due_ns = 0, last = 0;
	unsigned int steps = 0;

	phca_cc_init(&cc, LINE);
	for (int i = 0; i < 20; i++)
		phca_cc_cnp(&cc, &p, 0);
	while ((due_ns = phca_cc_timer(&cc, &p, due_ns)) != UINT64_MAX && steps++ < 2000) {
		CU_ASSERT_TRUE(phca_cc_rate(&cc) >= last && phca_cc_rate(&cc) < LINE);
		last = phca_cc_rate(&cc);
	}
	/* 40 Gb/s in steps of 40 Mb/s, and some to come close */
	CU_ASSERT_TRUE(steps > 990 && steps < 1050);
	CU_ASSERT_EQUAL(phca_cc_rate(&cc), LINE);
	CU_ASSERT_FALSE(phca_cc_limited(&cc));
}

static struct phca_cc_params some_params(uint64_t *seed)
{
	struct phca_cc_params p = {
		.gain_divisor = 1 + phca_test_rand(seed) % 1024,
		.alpha_timer_us = 1 + phca_test_rand(seed) % 300,
		.rate_timer_us = 1 + phca_test_rand(seed) % 300,
		.byte_counter_bytes = 4096 + phca_test_rand(seed) % 20000000,
		.fast_recovery_rounds = 1 + phca_test_rand(seed) % 10,
		.ai_rate_bps = 1 + phca_test_rand(seed) % 100000000,
		.hai_rate_bps = 1 + phca_test_rand(seed) % 1000000000,
		.min_rate_bps = 1000000 + phca_test_rand(seed) % 100000000,
		.cnp_interval_us = 50,
		.burst_bytes = 16384,
	};

	return p;
}

/* One seed: random CNPs, packets and pauses. @return whether the two agree all along */
static bool follows(uint64_t seed)
{
	struct phca_cc_params p = some_params(&seed);
	uint64_t line = PHCA_CC_LINE_MIN_BPS * 100 + phca_test_rand(&seed) % (400 * GBPS), now_ns = 0;
	struct reference r;
	struct phca_cc cc;
	bool ok = phca_cc_params_check(&p) == NULL;

	phca_cc_init(&cc, line);
	reference_init(&r, &p, (double)line);
	for (int i = 0; i < 1000 && ok; i++) {
		uint64_t x = phca_test_rand(&seed);
		uint32_t bytes = 1 + (uint32_t)(x >> 32) % (x & 64 ? 5000 : 3000000);

		now_ns += (x >> 8) % (x & 1 ? 1000 : 300 * US);
		switch (x >> 1 & 7) {
		case 0:
			phca_cc_cnp(&cc, &p, now_ns);
			reference_cnp(&r, now_ns);
			break;
		case 1:
			now_ns += (x >> 8) % (10000 * US);
			phca_cc_timer(&cc, &p, now_ns);
			reference_time(&r, now_ns);
			break;
		default:
			phca_cc_sent(&cc, &p, bytes, now_ns);
			reference_sent(&r, bytes, now_ns);
			break;
		}
		ok = near_to((double)phca_cc_rate(&cc), r.r_c, 1e-6 * r.r_c + 16) &&
			near_to((double)cc.target_bps, r.r_t, 1e-6 * r.r_t + 16) &&
			cc.rate_bps <= cc.target_bps && cc.target_bps <= line;
	}
	phca_cc_timer(&cc, &p, now_ns);
	return ok && near_to(cc.alpha / 2147483648.0, r.alpha, 1e-6);
}

PHCA_TEST(rate, follows_the_equations_of_the_paper)
{
	uint64_t seeds = phca_test_long() ? 20000 : 300;

	for (uint64_t s = 1; s <= seeds; s++) {
		bool ok = follows(s);

		CU_ASSERT_TRUE(ok);
		if (!ok) {
			fprintf(stderr, "equations: seed %llu\n", (unsigned long long)s);
			break;
		}
	}
}

/* Time that is accounted for at once is the same, to the bit, as round by round. */
PHCA_TEST(rate, idle_time_at_once_equals_idle_time_round_by_round)
{
	for (uint64_t s = 1; s <= 300; s++) {
		uint64_t seed = s, now_ns = 0, due_ns;
		struct phca_cc_params p = some_params(&seed);
		struct phca_cc one, steps;

		phca_cc_init(&one, 400 * GBPS);
		for (uint64_t n = 1 + phca_test_rand(&seed) % 30; n > 0; n--)
			phca_cc_cnp(&one, &p, 0);
		for (uint64_t n = phca_test_rand(&seed) % 10; n > 0; n--)
			phca_cc_sent(&one, &p, 10000000, 0);
		steps = one;
		now_ns = phca_test_rand(&seed) % (SEC / 5);
		for (due_ns = 0; due_ns <= now_ns;)
			due_ns = phca_cc_timer(&steps, &p, due_ns);
		phca_cc_timer(&steps, &p, now_ns);
		phca_cc_timer(&one, &p, now_ns);
		CU_ASSERT_EQUAL(one.rate_bps, steps.rate_bps);
		CU_ASSERT_EQUAL(one.target_bps, steps.target_bps);
		CU_ASSERT_EQUAL(one.time_rounds, steps.time_rounds);
		CU_ASSERT_EQUAL(one.alpha_ns, steps.alpha_ns);
		CU_ASSERT_TRUE(phca_cc_limited(&one) == phca_cc_limited(&steps));
		if (phca_cc_limited(&one))
			CU_ASSERT_EQUAL(one.raise_ns, steps.raise_ns);
		CU_ASSERT_TRUE(near_to(one.alpha, steps.alpha, 1e-6 * PHCA_CC_ALPHA_ONE));
	}
}

/* 10^12 rounds of 1 us, the smallest step to the fastest line: this would not end otherwise. */
PHCA_TEST(rate, idle_weeks_cost_no_more_than_idle_moments)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;

	p.alpha_timer_us = p.rate_timer_us = 1;
	p.ai_rate_bps = 1;
	p.gain_divisor = 65536;
	phca_cc_init(&cc, PHCA_CC_LINE_MAX_BPS);
	phca_cc_cnp(&cc, &p, 0);
	phca_cc_cnp(&cc, &p, 0);
	phca_cc_timer(&cc, &p, UINT64_C(1000000000004) * US);
	/* from the 5th round on, the target rose by 1 bit/s in each */
	CU_ASSERT_EQUAL(cc.target_bps, PHCA_CC_LINE_MAX_BPS);
	CU_ASSERT_EQUAL(cc.alpha, 0);
	phca_cc_init(&cc, PHCA_CC_LINE_MAX_BPS);
	phca_cc_cnp(&cc, &p, 0);
	phca_cc_cnp(&cc, &p, 0);
	phca_cc_timer(&cc, &p, UINT64_C(400000000004) * US);
	CU_ASSERT_EQUAL(cc.target_bps, PHCA_CC_LINE_MAX_BPS / 2 + UINT64_C(400000000000));
	CU_ASSERT_TRUE(cc.target_bps - cc.rate_bps <= 1);
}

/* Said before the packet is sent, it is what comes after. */
PHCA_TEST(rate, last_packet_is_the_one_after_which_it_waits)
{
	struct phca_cc_params p;
	struct phca_cc cc;
	unsigned int last = 0;

	phca_cc_params_default(&p);
	p.burst_bytes = 4000;
	phca_cc_init(&cc, 1000000000);
	CU_ASSERT_FALSE(phca_cc_last(&cc, &p, 1000, 1000000)); /* not limited */
	phca_cc_cnp(&cc, &p, 1000000);
	for (uint64_t now_ns = 1000000; now_ns < 1100000; now_ns += 5000) {
		bool said = phca_cc_last(&cc, &p, 1000, now_ns);

		if (phca_cc_next_send(&cc, now_ns) > now_ns)
			continue;
		phca_cc_sent(&cc, &p, 1000, now_ns);
		CU_ASSERT_EQUAL(said, phca_cc_next_send(&cc, now_ns) > now_ns);
		last += said;
	}
	CU_ASSERT(last > 0);
}

PHCA_TEST(params, defaults_are_the_papers_and_in_range)
{
	struct phca_cc_params p = defaults();

	CU_ASSERT_PTR_NULL(phca_cc_params_check(&p));
	CU_ASSERT_EQUAL(p.gain_divisor, 256);
	CU_ASSERT_EQUAL(p.alpha_timer_us, 55);
	CU_ASSERT_EQUAL(p.rate_timer_us, 55);
	CU_ASSERT_EQUAL(p.byte_counter_bytes, 10000000);
	CU_ASSERT_EQUAL(p.fast_recovery_rounds, 5);
	CU_ASSERT_EQUAL(p.ai_rate_bps, 40000000);
	CU_ASSERT_EQUAL(p.cnp_interval_us, 50);
}

PHCA_TEST(params, each_out_of_its_range_is_named)
{
	struct phca_cc_params p = defaults();

#define TRY(name_, value, what) \
	p = defaults(); \
	p.name_ = (value); \
	CU_ASSERT_STRING_EQUAL(phca_cc_params_check(&p), what)
#define TRY_BOTH(name_, def, min, max, help) \
	TRY(name_, UINT64_C(max) + 1, #name_); \
	p.name_ = (max); \
	CU_ASSERT_PTR_NULL(phca_cc_params_check(&p)); \
	p.name_ = (min); \
	CU_ASSERT_PTR_NULL(phca_cc_params_check(&p));
	PHCA_CC_PARAMS(TRY_BOTH)
	TRY(gain_divisor, 0, "gain_divisor");
	TRY(fast_recovery_rounds, 0, "fast_recovery_rounds");
	TRY(min_rate_bps, 999999, "min_rate_bps");
}
