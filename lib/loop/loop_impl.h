/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock between clock.c and loop.c. */
#ifndef LOOP_IMPL_H
#define LOOP_IMPL_H

#include "phca_loop.h"

/* Nanoseconds of a TSC cycle, times 2^32; the same in every call. */
uint64_t loop_clock_scale(void);

/* 128 bits in between: 64 would overflow within seconds. */
static inline uint64_t loop_clock_ns(uint64_t tsc, uint64_t scale)
{
	return (uint64_t)((__uint128_t)tsc * scale >> 32);
}

#endif
