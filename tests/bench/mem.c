/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lib/mem costs: ns per look-up, per copy between a packet and a list, and
 * per byte-for-byte copy without any check, as the limit of the same run.
 * Prints, asserts nothing; run it on a quiet machine.
 *
 *   bench-mem [thousand calls a row]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "phca_mem.h"

#define REGIONS 64
#define SIZE    (64 * 1024)
#define ACCESS  (PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_MW_BIND)

static struct phca_mem *mem;
static uint32_t pd, key[REGIONS], rkey[REGIONS];
static uint8_t *base[REGIONS], packet[4096];
static volatile uint64_t sink; /* keeps the compiler from leaving work out */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void setup(void)
{
	struct rte_rcu_qsbr *q = aligned_alloc(64, (rte_rcu_qsbr_get_memsize(1) + 63) & ~(size_t)63);

	rte_rcu_qsbr_init(q, 1);
	mem = phca_mem_create(2 * REGIONS, q);
	pd = phca_pd_alloc(mem);
	for (int i = 0; i < REGIONS; i++) {
		struct phca_mw_bind b = { .length = SIZE, .access = PHCA_ACCESS_REMOTE_READ, .pd = pd };

		base[i] = aligned_alloc(4096, SIZE);
		memset(base[i], i, SIZE);
		if (phca_mr_reg(mem, pd, base[i], SIZE, (uintptr_t)base[i], ACCESS, &key[i]) != 0 ||
				phca_mw_alloc(mem, pd, PHCA_MW_TYPE_1, &b.rkey) != 0)
			exit(1);
		b.new_rkey = rkey[i] = b.rkey ^ 1;
		b.mr_key = key[i];
		b.addr = (uintptr_t)base[i];
		if (phca_mw_bind(mem, &b) != PHCA_MEM_OK)
			exit(1);
	}
}

static double lookup(uint64_t calls, const uint32_t *keys, bool remote)
{
	enum phca_mem_err err;
	uint64_t sum = 0, t = now_ns();

	for (uint64_t i = 0; i < calls; i++) {
		uint32_t k = (uint32_t)(i * 7) % REGIONS;
		uint64_t va = (uintptr_t)base[k] + i % 1024;

		sum += (uintptr_t)(remote ?
			phca_mem_remote(mem, keys[k], pd, 1, va, 64, PHCA_ACCESS_REMOTE_READ, &err) :
			phca_mem_ptr(mem, keys[k], pd, va, 64, 0, &err));
	}
	t = now_ns() - t;
	sink += sum;
	return (double)t / (double)calls;
}

/* Copies len bytes from or to a list of n elements, anywhere in it; eight packets a list. */
static double copy(uint64_t calls, uint32_t len, uint32_t n, bool scatter)
{
	struct phca_sge sge[32];
	uint64_t bad = 0, t = now_ns();

	for (uint64_t i = 0; i < calls; i++) {
		uint64_t at = i / 8 * len % (SIZE - len + 1);

		if (i % 8 == 0)
			for (uint32_t j = 0; j < n; j++)
				sge[j] = (struct phca_sge){ (uintptr_t)base[(i + j) % REGIONS] + SIZE / n * j,
					SIZE / n, key[(i + j) % REGIONS] };
		bad += scatter ? phca_sg_scatter(mem, pd, sge, n, at, packet, len) :
			phca_sg_gather(mem, pd, sge, n, at, packet, len);
	}
	t = now_ns() - t;
	sink += bad;
	return (double)t / (double)calls;
}

static double plain(uint64_t calls, uint32_t len)
{
	uint64_t t = now_ns();

	for (uint64_t i = 0; i < calls; i++) {
		memcpy(packet, base[i / 8 * 8 % REGIONS] + i / 8 * len % (SIZE - len + 1), len);
		__asm__ volatile("" ::: "memory");
	}
	t = now_ns() - t;
	return (double)t / (double)calls;
}

/* The best of five: what others on the machine do makes a run slower, never faster. */
#define BEST(call) __extension__ ({ \
	double best_ = call; \
	for (int r_ = 1; r_ < 5; r_++) { \
		double d_ = call; \
		if (d_ < best_) \
			best_ = d_; \
	} \
	best_; \
})

int main(int argc, char **argv)
{
	static const uint32_t lens[] = { 8, 64, 256, 1024, 4096 };
	uint64_t calls = 200 * (argc > 1 ? strtoull(argv[1], NULL, 10) : 2000);

	setup();
	printf("look-up   %6.1f ns lkey  %6.1f ns rkey of a region  %6.1f ns rkey of a window\n",
		BEST(lookup(calls, key, false)), BEST(lookup(calls, key, true)),
		BEST(lookup(calls, rkey, true)));
	printf("%-9s %12s %12s %12s %12s %12s   (ns)\n", "bytes", "memcpy", "gather 1", "scatter 1",
		"gather 32", "scatter 32");
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint32_t l = lens[i];

		printf("%-9u %12.1f %12.1f %12.1f %12.1f %12.1f\n", l, BEST(plain(calls, l)),
			BEST(copy(calls, l, 1, false)), BEST(copy(calls, l, 1, true)),
			BEST(copy(calls, l, 32, false)), BEST(copy(calls, l, 32, true)));
	}
	return 0;
}
