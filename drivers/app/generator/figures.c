/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Figures of the generator: latency in a histogram whose steps are 3 % of the
 * value, rates over the last whole second, and what "show app" prints. The
 * generator's lcore writes, any thread reads.
 */
#include <stdio.h>
#include <string.h>

#include <rte_common.h>

#include "generator_impl.h"

#define SECOND_NS 1000000000u

/* Values below HIST_SUB have a step each; above, each power of two has HIST_SUB. */
static unsigned int hist_index(uint64_t v)
{
	unsigned int exp;

	if (v < HIST_SUB)
		return (unsigned int)v;
	exp = 63 - (unsigned int)__builtin_clzll(v);
	return (exp - 4) * HIST_SUB + (unsigned int)(v >> (exp - 5) & (HIST_SUB - 1));
}

/* The greatest value of a step. */
static uint64_t hist_value(unsigned int i)
{
	unsigned int exp = i / HIST_SUB + 4;

	if (i < HIST_SUB)
		return i;
	return ((uint64_t)(HIST_SUB + i % HIST_SUB + 1) << (exp - 5)) - 1;
}

void gen_latency(struct generator *g, uint64_t ns)
{
	PHCA_STAT_ADD(g->hist[hist_index(ns)], 1);
	PHCA_STAT_ADD(g->lat_sum_ns, ns);
	if (g->lat_count == 0 || ns < g->lat_min_ns)
		__atomic_store_n(&g->lat_min_ns, ns, __ATOMIC_RELAXED);
	if (ns > g->lat_max_ns)
		__atomic_store_n(&g->lat_max_ns, ns, __ATOMIC_RELAXED);
	PHCA_STAT_ADD(g->lat_count, 1);
}

void gen_window(struct generator *g)
{
	uint64_t ns = g->now_ns - g->window_ns;

	if (ns < SECOND_NS)
		return;
	if (g->window_ns != 0) {
		double s = (double)ns / 1e9;

		__atomic_store_n(&g->messages_per_s, (uint64_t)((double)(g->completed - g->window_completed) / s),
			__ATOMIC_RELAXED);
		__atomic_store_n(&g->bits_per_s, (uint64_t)((double)(g->bytes - g->window_bytes) * 8 / s),
			__ATOMIC_RELAXED);
	}
	g->window_ns = g->now_ns;
	g->window_completed = g->completed;
	g->window_bytes = g->bytes;
}

void gen_clear(struct phca_app *a)
{
	struct generator *g = phca_app_priv(a);

	for (unsigned int i = 0; i < HIST_LEN; i++)
		__atomic_store_n(&g->hist[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&g->lat_count, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&g->lat_sum_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&g->lat_min_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&g->lat_max_ns, 0, __ATOMIC_RELAXED);
}

int gen_show(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct generator *g = phca_app_priv(a);
	char name[32];
	int ret;

#define EMIT(f) \
	ret = emit(arg, #f, PHCA_STAT_GET(g->f)); \
	if (ret != 0) \
		return ret;
	GEN_COUNTERS(EMIT)
#undef EMIT
	for (unsigned int i = 1; i < PHCA_WC_STATUS_COUNT; i++) {
		uint64_t n = PHCA_STAT_GET(g->by_status[i]);

		if (n == 0)
			continue;
		snprintf(name, sizeof(name), "status_%u", i);
		ret = emit(arg, name, n);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* The latency that @p ppm of a million messages did not exceed. */
static uint64_t percentile(const struct generator *g, uint64_t count, uint64_t ppm)
{
	uint64_t below = 0, want = (count * ppm + 999999) / 1000000;

	for (unsigned int i = 0; i < HIST_LEN; i++) {
		below += PHCA_STAT_GET(g->hist[i]);
		if (below >= want)
			return RTE_MIN(hist_value(i), PHCA_STAT_GET(g->lat_max_ns));
	}
	return PHCA_STAT_GET(g->lat_max_ns);
}

int gen_gauges(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct generator *g = phca_app_priv(a);
	uint64_t n = PHCA_STAT_GET(g->lat_count);
	const struct { const char *name; uint64_t value; } rows[] = {
		{ "under_way", PHCA_STAT_GET(g->under_way) },
		{ "stopped_qps", PHCA_STAT_GET(g->stopped) },
		{ "finished_qps", PHCA_STAT_GET(g->finished) },
		{ "messages_per_s", PHCA_STAT_GET(g->messages_per_s) },
		{ "bits_per_s", PHCA_STAT_GET(g->bits_per_s) },
		{ "latency_min_ns", PHCA_STAT_GET(g->lat_min_ns) },
		{ "latency_avg_ns", n ? PHCA_STAT_GET(g->lat_sum_ns) / n : 0 },
		{ "latency_p50_ns", n ? percentile(g, n, 500000) : 0 },
		{ "latency_p99_ns", n ? percentile(g, n, 990000) : 0 },
		{ "latency_p99_9_ns", n ? percentile(g, n, 999000) : 0 },
		{ "latency_max_ns", PHCA_STAT_GET(g->lat_max_ns) },
	};

	for (unsigned int i = 0; i < RTE_DIM(rows); i++) {
		int ret = emit(arg, rows[i].name, rows[i].value);

		if (ret != 0)
			return ret;
	}
	return 0;
}
