/* SPDX-License-Identifier: BSD-3-Clause */
/* Latencies in TSC cycles as a log-linear histogram; of the one thread that measures. */
#ifndef LAT_H
#define LAT_H

#include <stdint.h>
#include <string.h>

#include <rte_cycles.h>

#define LAT_BITS 5           /* 32 steps of a histogram for each power of two */
#define LAT_SLOTS (64 << LAT_BITS)

static uint64_t lat[LAT_SLOTS], lat_n;

static inline void lat_add(uint64_t cycles)
{
	unsigned int e = cycles < 1u << LAT_BITS ? 0 : 63 - (unsigned int)__builtin_clzll(cycles) - LAT_BITS;

	lat[(e << LAT_BITS) + (cycles >> e)]++;
	lat_n++;
}

/* From zero again. */
static inline void lat_clear(void)
{
	memset(lat, 0, sizeof(lat));
	lat_n = 0;
}

/* @return the time that this share of them did not exceed, ns */
static inline double lat_ns(double share)
{
	uint64_t want = (uint64_t)((double)lat_n * share), n = 0;

	for (unsigned int i = 0; i < LAT_SLOTS; i++) {
		n += lat[i];
		if (n > want) {
			unsigned int e = i < 2u << LAT_BITS ? 0 : (i >> LAT_BITS) - 1;
			uint64_t cycles = ((uint64_t)i - ((uint64_t)e << LAT_BITS)) << e;

			return (double)cycles * 1e9 / (double)rte_get_tsc_hz();
		}
	}
	return 0;
}

#endif
