/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arithmetic: one loop for each operation and type, compiled twice, for any CPU and
 * for those with AVX2; the compiler makes vector code of both. Included once in a program;
 * needs only phca_reduce.h.
 *
 * Each element is combined with its own kind only, in the order of the calls, so that the
 * result does not depend on vectors or the CPU. The floating-point loops contain no
 * multiplication (nothing to fuse), and comparisons as phca_reduce.h has them: a comparison
 * with a NaN is false, so the result so far stays.
 */
#ifndef REDUCE_LOOPS_H
#define REDUCE_LOOPS_H

#include <stdint.h>

#include "phca_reduce.h"

/* acc[i] = op(acc[i], x[i]) for i < n; x need not be aligned, and is not acc. */
typedef void reduce_kernel(void *acc, const void *x, uint32_t n);

/* Elements of a message, at any address. */
struct i32 { uint32_t v; } __attribute__((packed, may_alias));
struct i64 { uint64_t v; } __attribute__((packed, may_alias));
struct f32 { float v; } __attribute__((packed, may_alias));
struct f64 { double v; } __attribute__((packed, may_alias));

#define LOOP(name, isa, elem, arith, expr) \
static isa void name(void *acc, const void *from, uint32_t n) \
{ \
	struct elem *restrict as = acc; \
	const struct elem *restrict xs = from; \
\
	for (uint32_t i = 0; i < n; i++) { \
		const arith a = (arith)as[i].v, x = (arith)xs[i].v; \
\
		as[i].v = (__typeof__(as[i].v))(expr); \
	} \
}

/* Sums of integers are made unsigned: they wrap. */
#define LOOPS(suffix, isa) \
	LOOP(sum_i32_##suffix, isa, i32, uint32_t, a + x) \
	LOOP(min_i32_##suffix, isa, i32, int32_t, x < a ? x : a) \
	LOOP(max_i32_##suffix, isa, i32, int32_t, x > a ? x : a) \
	LOOP(and_i32_##suffix, isa, i32, uint32_t, a & x) \
	LOOP(or_i32_##suffix, isa, i32, uint32_t, a | x) \
	LOOP(sum_i64_##suffix, isa, i64, uint64_t, a + x) \
	LOOP(min_i64_##suffix, isa, i64, int64_t, x < a ? x : a) \
	LOOP(max_i64_##suffix, isa, i64, int64_t, x > a ? x : a) \
	LOOP(and_i64_##suffix, isa, i64, uint64_t, a & x) \
	LOOP(or_i64_##suffix, isa, i64, uint64_t, a | x) \
	LOOP(sum_f32_##suffix, isa, f32, float, a + x) \
	LOOP(min_f32_##suffix, isa, f32, float, x < a ? x : a) \
	LOOP(max_f32_##suffix, isa, f32, float, x > a ? x : a) \
	LOOP(sum_f64_##suffix, isa, f64, double, a + x) \
	LOOP(min_f64_##suffix, isa, f64, double, x < a ? x : a) \
	LOOP(max_f64_##suffix, isa, f64, double, x > a ? x : a) \
\
static reduce_kernel *const kernels_##suffix[PHCA_REDUCE_TYPE_COUNT][PHCA_REDUCE_OP_COUNT] = { \
	[PHCA_REDUCE_INT32] = { sum_i32_##suffix, min_i32_##suffix, max_i32_##suffix, and_i32_##suffix, \
		or_i32_##suffix }, \
	[PHCA_REDUCE_INT64] = { sum_i64_##suffix, min_i64_##suffix, max_i64_##suffix, and_i64_##suffix, \
		or_i64_##suffix }, \
	[PHCA_REDUCE_FLOAT32] = { sum_f32_##suffix, min_f32_##suffix, max_f32_##suffix }, \
	[PHCA_REDUCE_FLOAT64] = { sum_f64_##suffix, min_f64_##suffix, max_f64_##suffix }, \
};

LOOPS(any, )
#ifdef __x86_64__
LOOPS(wide, __attribute__((target("avx2"))))
#else
#define kernels_wide kernels_any
#endif

#endif
