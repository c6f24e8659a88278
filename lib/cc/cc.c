/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reaction point of DCQCN: cut at a CNP, fast recovery, additive and hyper
 * increase, pacing.
 *
 * Invariant: min(min_rate, line) <= rate <= target <= line, and the state after a
 * call is what it would be had each round of a timer been executed at its time.
 * Rounds that passed since are not repeated one by one: alpha falls by a power,
 * and once the rate follows the target at a constant distance, any number of
 * rounds is one multiplication.
 */
#include <string.h>

#include "phca_cc.h"

#define NS_PER_SEC UINT64_C(1000000000)

_Static_assert(sizeof(struct phca_cc) <= 64, "the state of a queue pair is one cache line");

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void phca_cc_init(struct phca_cc *cc, uint64_t line_bps)
{
	memset(cc, 0, sizeof(*cc));
	cc->line_bps = min_u64(max_u64(line_bps, PHCA_CC_LINE_MIN_BPS), PHCA_CC_LINE_MAX_BPS);
	cc->rate_bps = cc->line_bps;
	cc->target_bps = cc->line_bps;
	cc->alpha = PHCA_CC_ALPHA_ONE;
	cc->alpha_ns = UINT64_MAX;
	cc->raise_ns = UINT64_MAX;
}

/* How many rounds of a timer are due; moves it behind now_ns. */
static uint64_t rounds_due(uint64_t *at_ns, uint64_t period_us, uint64_t now_ns)
{
	uint64_t n;

	if (now_ns < *at_ns)
		return 0;
	n = (now_ns - *at_ns) / (period_us * 1000) + 1;
	*at_ns += n * period_us * 1000;
	return n;
}

/* alpha = (1 - g) alpha, n times (equation 2 of the paper) */
static void alpha_fall(struct phca_cc *cc, const struct phca_cc_params *p, uint64_t n)
{
	uint64_t factor = (UINT64_C(1) << 32) - (UINT64_C(1) << 32) / p->gain_divisor;
	uint64_t alpha = cc->alpha;

	for (; n > 0 && alpha > 0; n >>= 1) {
		if (n & 1)
			alpha = alpha * factor >> 32;
		factor = factor * factor >> 32;
	}
	cc->alpha = (uint32_t)alpha;
}

/* What a raise adds to the target (figure 7 of the paper). */
static uint64_t target_step(const struct phca_cc *cc, const struct phca_cc_params *p)
{
	uint64_t most = max_u64(cc->time_rounds, cc->byte_rounds);
	uint64_t least = min_u64(cc->time_rounds, cc->byte_rounds);

	if (most < p->fast_recovery_rounds)
		return 0;
	return least > p->fast_recovery_rounds ? p->hai_rate_bps : p->ai_rate_bps;
}

/*
 * n raises of a kind, whose counter is rounds: equations 3 and 4 of the paper.
 * The distance of rate and target goes to that of a step, or to 0 at line rate,
 * by half of the difference each round: in some 40 rounds it does not change any
 * more. Rounded up, so that the rate arrives at the target.
 */
static void rate_raise(struct phca_cc *cc, const struct phca_cc_params *p, uint8_t *rounds,
		uint64_t n)
{
	while (n > 0 && phca_cc_limited(cc)) {
		uint64_t gap = cc->target_bps - cc->rate_bps, step, skip;

		*rounds += *rounds <= p->fast_recovery_rounds;
		step = target_step(cc, p);
		cc->target_bps = min_u64(cc->target_bps + step, cc->line_bps);
		cc->rate_bps = (cc->target_bps + cc->rate_bps + 1) / 2;
		n--;
		if (*rounds <= p->fast_recovery_rounds || cc->target_bps - cc->rate_bps != gap)
			continue;
		skip = min_u64(n, (cc->line_bps - cc->target_bps) / step);
		cc->target_bps += skip * step;
		cc->rate_bps += skip * step;
		n -= skip;
	}
}

static void rate_catch_up(struct phca_cc *cc, const struct phca_cc_params *p, uint64_t now_ns)
{
	if (phca_cc_limited(cc))
		rate_raise(cc, p, &cc->time_rounds,
				rounds_due(&cc->raise_ns, p->rate_timer_us, now_ns));
}

void phca_cc_cnp(struct phca_cc *cc, const struct phca_cc_params *p, uint64_t now_ns)
{
	uint64_t floor_bps = min_u64(p->min_rate_bps, cc->line_bps), cut_bps;

	phca_cc_timer(cc, p, now_ns);
	cut_bps = (uint64_t)((__uint128_t)cc->rate_bps * cc->alpha >> 32); /* alpha / 2 */
	cc->target_bps = max_u64(cc->rate_bps, floor_bps);
	cc->rate_bps = max_u64(cc->rate_bps - cut_bps, floor_bps);
	cc->alpha += (uint32_t)((PHCA_CC_ALPHA_ONE - cc->alpha) / p->gain_divisor);
	cc->alpha_ns = now_ns + p->alpha_timer_us * 1000;
	cc->raise_ns = now_ns + p->rate_timer_us * 1000;
	cc->bytes = 0;
	cc->time_rounds = 0;
	cc->byte_rounds = 0;
}

/* Rounded up, so that the rate is never exceeded. */
static inline uint64_t ns_of(uint64_t bytes, uint64_t rate_bps)
{
	return (bytes * 8 * NS_PER_SEC + rate_bps - 1) / rate_bps;
}

/* An idle or late queue pair has credit, but not for more than a burst. */
static void send_charge(struct phca_cc *cc, const struct phca_cc_params *p, uint32_t bytes,
		uint64_t now_ns)
{
	uint64_t send_ns = cc->send_ns;

	if (send_ns < now_ns) {
		uint64_t credit_ns = min_u64(ns_of(p->burst_bytes, cc->rate_bps), now_ns);

		send_ns = max_u64(send_ns, now_ns - credit_ns);
	}
	cc->send_ns = send_ns + ns_of(bytes, cc->rate_bps);
}

void phca_cc_sent(struct phca_cc *cc, const struct phca_cc_params *p, uint32_t bytes,
		uint64_t now_ns)
{
	uint64_t sum, n;

	rate_catch_up(cc, p, now_ns);
	if (!phca_cc_limited(cc))
		return;
	send_charge(cc, p, bytes, now_ns);
	sum = (uint64_t)cc->bytes + bytes;
	if (sum >= p->byte_counter_bytes) {
		n = sum / p->byte_counter_bytes;
		sum -= n * p->byte_counter_bytes;
		rate_raise(cc, p, &cc->byte_rounds, n);
	}
	cc->bytes = (uint32_t)sum;
}

bool phca_cc_last(const struct phca_cc *cc, const struct phca_cc_params *p, uint32_t bytes,
		uint64_t now_ns)
{
	struct phca_cc after = *cc;

	phca_cc_sent(&after, p, bytes, now_ns);
	return phca_cc_next_send(&after, now_ns) > now_ns;
}

uint64_t phca_cc_timer(struct phca_cc *cc, const struct phca_cc_params *p, uint64_t now_ns)
{
	alpha_fall(cc, p, rounds_due(&cc->alpha_ns, p->alpha_timer_us, now_ns));
	rate_catch_up(cc, p, now_ns);
	return phca_cc_limited(cc) ? cc->raise_ns : UINT64_MAX;
}
