/* SPDX-License-Identifier: BSD-3-Clause */
/* Combining vectors, wherever their elements lie: in mbufs, across their segments. */
#ifndef REDUCE_KERNELS_H
#define REDUCE_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "phca_reduce.h"

/* acc[i] = op(acc[i], x[i]) for i < n; x need not be aligned, and is not acc. As loops.h has it. */
typedef void reduce_kernel(void *acc, const void *x, uint32_t n);

/* NULL: the operation is not one for the type. wide: for CPUs that have AVX2. */
reduce_kernel *reduce_kernel_find(unsigned int op, unsigned int type, bool wide);
/* Whether this CPU has what the wide kernels need. */
bool reduce_kernel_wide(void);

/*
 * Combine a message's payload from byte `at` on, count elements of size bytes, into acc.
 * The message is that long: the caller has checked it.
 */
void reduce_combine(reduce_kernel *k, uint8_t *acc, const struct rte_mbuf *m, uint32_t at, uint32_t count,
		uint32_t size);
/* Copy instead: what the first rank contributes. */
void reduce_copy(uint8_t *acc, const struct rte_mbuf *m, uint32_t at, uint32_t len);

#endif
