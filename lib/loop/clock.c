/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loops' clock: TSC cycles scaled to nanoseconds.
 *
 * Invariant: the scale is fixed at the first call, so that the clock never
 * jumps, whether or not EAL is initialised later.
 */
#include <pthread.h>
#include <time.h>

#include <rte_cycles.h>

#include "loop_impl.h"

#define NS_PER_SEC 1000000000u
#define CALIBRATE_NS 10000000u /* without EAL: how long the TSC is measured */

static pthread_once_t scale_once = PTHREAD_ONCE_INIT;
static uint64_t scale; /* nanoseconds of a cycle, times 2^32 */

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* EAL knows the frequency; before rte_eal_init it says 0. */
static uint64_t tsc_hz(void)
{
	uint64_t hz = rte_get_tsc_hz(), ns0, ns, tsc0;

	if (hz != 0)
		return hz;
	ns0 = monotonic_ns();
	tsc0 = rte_rdtsc();
	do
		ns = monotonic_ns() - ns0;
	while (ns < CALIBRATE_NS);
	return (uint64_t)((__uint128_t)(rte_rdtsc() - tsc0) * NS_PER_SEC / ns);
}

static void scale_set(void)
{
	scale = (uint64_t)(((__uint128_t)NS_PER_SEC << 32) / tsc_hz());
}

uint64_t loop_clock_scale(void)
{
	pthread_once(&scale_once, scale_set);
	return scale;
}

uint64_t phca_loop_now_ns(void)
{
	return loop_clock_ns(rte_rdtsc(), loop_clock_scale());
}
