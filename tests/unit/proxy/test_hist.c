/* SPDX-License-Identifier: BSD-3-Clause */
/* Histograms against the sorted times themselves. */
#include <stdlib.h>
#include <string.h>

#include "phca_hist.h"
#include "phca_test.h"

static struct phca_hist h, other;

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Within 1/32, rounded. */
static bool near(uint64_t got, uint64_t want)
{
	uint64_t off = got > want ? got - want : want - got;

	return off * 32 <= want;
}

PHCA_TEST(hist, buckets_follow_each_other)
{
	unsigned int last = 0;

	for (uint64_t ns = 0; ns < 1 << 20; ns++) {
		unsigned int b = phca_hist_bucket(ns);

		if (b != last && b != last + 1)
			CU_FAIL_FATAL("a bucket is left out");
		last = b;
	}
	CU_ASSERT_EQUAL(phca_hist_bucket(0), 0);
	CU_ASSERT_EQUAL(phca_hist_bucket(31), 31);
	CU_ASSERT_EQUAL(phca_hist_bucket((UINT64_C(1) << PHCA_HIST_BITS) - 1), PHCA_HIST_BUCKETS - 1);
	CU_ASSERT_EQUAL(phca_hist_bucket(UINT64_MAX), PHCA_HIST_BUCKETS - 1);
}

PHCA_TEST(hist, each_time_is_told_within_one_thirtysecond)
{
	for (unsigned int e = 0; e < PHCA_HIST_BITS; e++) {
		for (uint64_t i = 0; i < 64; i++) {
			uint64_t ns = (UINT64_C(1) << e) + i * (UINT64_C(1) << e) / 64;

			memset(&h, 0, sizeof(h));
			phca_hist_add(&h, ns, 3);
			CU_ASSERT_EQUAL(phca_hist_count(&h), 3);
			if (ns < 32)
				CU_ASSERT_EQUAL(phca_hist_percentile(&h, 500000), ns);
			CU_ASSERT_TRUE(near(phca_hist_percentile(&h, 1), ns));
			CU_ASSERT_EQUAL(phca_hist_percentile(&h, 1000000), phca_hist_percentile(&h, 1));
		}
	}
}

PHCA_TEST(hist, percentiles_of_many)
{
	enum { N = 20000 };
	static uint64_t t[N];
	uint64_t rnd = 7;
	static const uint32_t ppm[] = { 1, 100000, 500000, 900000, 990000, 999000, 999999, 1000000 };

	memset(&h, 0, sizeof(h));
	for (unsigned int i = 0; i < N; i++) {
		t[i] = (phca_test_rand(&rnd) >> 24) >> (phca_test_rand(&rnd) >> 40) % 38; /* all sizes alike */
		phca_hist_add(&h, t[i], 1);
	}
	qsort(t, N, sizeof(t[0]), by_size);
	for (unsigned int i = 0; i < sizeof(ppm) / sizeof(ppm[0]); i++) {
		uint64_t rank = ((uint64_t)N * ppm[i] + 999999) / 1000000;

		CU_ASSERT_TRUE(near(phca_hist_percentile(&h, ppm[i]), t[rank - 1]));
	}
}

PHCA_TEST(hist, merged_and_since_then)
{
	memset(&h, 0, sizeof(h));
	memset(&other, 0, sizeof(other));
	CU_ASSERT_EQUAL(phca_hist_percentile(&h, 500000), 0);
	phca_hist_add(&other, 5, 2);
	phca_hist_merge(&h, &other);
	phca_hist_add(&other, 20, 1);
	phca_hist_merge(&h, &other);
	CU_ASSERT_EQUAL(phca_hist_count(&h), 5);
	CU_ASSERT_EQUAL(phca_hist_percentile(&h, 800000), 5);
	CU_ASSERT_EQUAL(phca_hist_percentile(&h, 800001), 20);
	phca_hist_subtract(&h, &other);
	CU_ASSERT_EQUAL(phca_hist_count(&h), 2);
	CU_ASSERT_EQUAL(phca_hist_percentile(&h, 1000000), 5);
}
