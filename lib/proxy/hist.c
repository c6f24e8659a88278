/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Histograms: what readers do with them.
 *
 * Invariant: buckets only grow, so that of two readings the earlier one can be
 * taken out of the later.
 */
#include "phca_hist.h"

void phca_hist_merge(struct phca_hist *sum, const struct phca_hist *from)
{
	for (unsigned int i = 0; i < PHCA_HIST_BUCKETS; i++)
		sum->count[i] += PHCA_STAT_GET(from->count[i]);
}

void phca_hist_subtract(struct phca_hist *h, const struct phca_hist *earlier)
{
	for (unsigned int i = 0; i < PHCA_HIST_BUCKETS; i++)
		h->count[i] -= earlier->count[i];
}

uint64_t phca_hist_count(const struct phca_hist *h)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < PHCA_HIST_BUCKETS; i++)
		n += h->count[i];
	return n;
}

/* The middle of a bucket; of those one or two ns wide, a time that it has. */
static uint64_t middle(unsigned int bucket)
{
	unsigned int e = bucket >> PHCA_HIST_SUB;
	uint64_t from = bucket & ((1u << PHCA_HIST_SUB) - 1);

	if (e < 2)
		return bucket;
	return ((from + (1u << PHCA_HIST_SUB)) << (e - 1)) + (UINT64_C(1) << (e - 2));
}

uint64_t phca_hist_percentile(const struct phca_hist *h, uint32_t ppm)
{
	uint64_t n = phca_hist_count(h), below = 0, want;

	if (n == 0)
		return 0;
	/* n * ppm / 1000000, rounded up, without overflow */
	want = n / 1000000 * ppm + (n % 1000000 * ppm + 999999) / 1000000;
	for (unsigned int i = 0; i < PHCA_HIST_BUCKETS; i++) {
		below += h->count[i];
		if (below >= want)
			return middle(i);
	}
	return middle(PHCA_HIST_BUCKETS - 1);
}
