/* SPDX-License-Identifier: BSD-3-Clause */
/* What a reduction must come to: one element after the other, nothing clever. */
#ifndef REDUCE_REF_H
#define REDUCE_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "phca_reduce.h"

bool ref_allowed(unsigned int op, unsigned int type);
/* acc[i] = op(acc[i], x[i]); neither need be aligned. */
void ref_combine(unsigned int op, unsigned int type, void *acc, const void *x, uint32_t n);
/* Whether the same; NaNs of a sum are equal to each other, all else by its bits. */
bool ref_equal(unsigned int op, unsigned int type, const void *a, const void *b, uint32_t n);
/* n elements from *random, many of them special: NaN, infinities, both zeros, denormals, extremes. */
void ref_fill(unsigned int type, void *to, uint32_t n, uint64_t *random);
uint64_t ref_random(uint64_t *state);

#endif
