/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What combining a contribution costs: a vector of 64 KiB in packets of 4 KiB, header in
 * front, into an accumulator, with the kernels for any CPU and the wide ones. Nanoseconds
 * of CPU time for a KiB and GB/s of contributions; copying is the limit. Prints a table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "kernels.h"

#define VECTOR 65536u
#define PACKET 4096u
#define ROUNDS 400
#define TRIES 7

static const char *const ops[] = { "sum", "min", "max", "and", "or" };
static const char *const types[] = { "int32", "int64", "float32", "float64" };

static struct rte_mbuf *message(struct rte_mempool *pool)
{
	struct rte_mbuf *head = NULL;

	for (uint32_t at = 0; at < VECTOR + PHCA_REDUCE_HDR_LEN; at += PACKET) {
		uint32_t n = RTE_MIN(PACKET, VECTOR + PHCA_REDUCE_HDR_LEN - at);
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		if (m == NULL || rte_pktmbuf_append(m, (uint16_t)n) == NULL)
			exit(1);
		memset(rte_pktmbuf_mtod(m, void *), 0, n);
		if (head == NULL)
			head = m;
		else if (rte_pktmbuf_chain(head, m) != 0)
			exit(1);
	}
	return head;
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The best of some tries, GB/s. NULL: copy. */
static double rate(reduce_kernel *k, uint8_t *acc, const struct rte_mbuf *m, uint32_t size)
{
	double best = 0;

	for (int i = 0; i < TRIES; i++) {
		double start = cpu_ns(), r;

		for (int n = 0; n < ROUNDS; n++)
			if (k != NULL)
				reduce_combine(k, acc, m, PHCA_REDUCE_HDR_LEN, VECTOR / size, size);
			else
				reduce_copy(acc, m, PHCA_REDUCE_HDR_LEN, VECTOR);
		r = (double)VECTOR * ROUNDS / (cpu_ns() - start);
		best = r > best ? r : best;
	}
	return best;
}

int main(int argc, char **argv)
{
	struct rte_mempool *pool;
	struct rte_mbuf *m;
	uint8_t *acc;

	if (rte_eal_init(argc, argv) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("bench", 63, 0, 0, PACKET + RTE_PKTMBUF_HEADROOM, 0);
	acc = rte_zmalloc(NULL, VECTOR, 64);
	if (pool == NULL || acc == NULL)
		return 1;
	m = message(pool);
	printf("| op | type | any CPU, GB/s | AVX2, GB/s |\n|---|---|---|---|\n");
	printf("| copy | - | %.1f | |\n", rate(NULL, acc, m, 1));
	for (uint8_t type = 0; type < PHCA_REDUCE_TYPE_COUNT; type++)
		for (unsigned int op = 0; op < PHCA_REDUCE_OP_COUNT; op++) {
			reduce_kernel *any = reduce_kernel_find(op, type, false);
			uint32_t size = phca_reduce_size(type);

			if (any == NULL)
				continue;
			printf("| %s | %s | %.1f |", ops[op], types[type], rate(any, acc, m, size));
			if (reduce_kernel_wide())
				printf(" %.1f |\n", rate(reduce_kernel_find(op, type, true), acc, m, size));
			else
				printf(" - |\n");
		}
	rte_pktmbuf_free(m);
	rte_eal_cleanup();
	return 0;
}
