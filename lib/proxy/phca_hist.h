/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Histograms of times: 16 buckets for each power of two, so that a percentile is
 * wrong by 1/32 at most, and exact below 32 ns. One thread adds, any thread reads.
 */
#ifndef PHCA_HIST_H
#define PHCA_HIST_H

#include <stdint.h>

#include "phca_loop.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_HIST_SUB 4   /**< 1 << SUB buckets for each power of two */
#define PHCA_HIST_BITS 40 /**< times from 1 << BITS ns on, 18 minutes, count as just below */
#define PHCA_HIST_BUCKETS ((PHCA_HIST_BITS - PHCA_HIST_SUB + 1) << PHCA_HIST_SUB)

/** A histogram; zeroed: empty. */
struct phca_hist {
	uint64_t count[PHCA_HIST_BUCKETS];
};

/** @return the bucket of a time. */
static inline unsigned int phca_hist_bucket(uint64_t ns)
{
	unsigned int e;

	if (ns < 1u << PHCA_HIST_SUB)
		return (unsigned int)ns;
	if (ns >= UINT64_C(1) << PHCA_HIST_BITS)
		return PHCA_HIST_BUCKETS - 1;
	e = 63 - (unsigned int)__builtin_clzll(ns) - PHCA_HIST_SUB;
	return ((e + 1) << PHCA_HIST_SUB) + ((unsigned int)(ns >> e) & ((1u << PHCA_HIST_SUB) - 1));
}
/** Count @p n times of @p ns. The writer. */
static inline void phca_hist_add(struct phca_hist *h, uint64_t ns, uint64_t n)
{
	PHCA_STAT_ADD(h->count[phca_hist_bucket(ns)], n);
}
/** Add a copy of @p from to @p sum, the caller's. Any thread. */
void phca_hist_merge(struct phca_hist *sum, const struct phca_hist *from);
/** Take what @p h had earlier out of it, both the caller's. */
void phca_hist_subtract(struct phca_hist *h, const struct phca_hist *earlier);
/** @return how many times were counted; of a copy. */
uint64_t phca_hist_count(const struct phca_hist *h);
/**
 * @param ppm  500000 for the median; 1..1000000
 * @return ns that so many of a million times do not exceed: the middle of their bucket; 0: it is empty
 */
uint64_t phca_hist_percentile(const struct phca_hist *h, uint32_t ppm);

#ifdef __cplusplus
}
#endif
#endif
