/* SPDX-License-Identifier: BSD-3-Clause */
/* The reference of the reduce offload's tests: what reduce_ref.h says. */
#include <math.h>
#include <string.h>

#include <rte_common.h>

#include "reduce_ref.h"

uint64_t ref_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

bool ref_allowed(unsigned int op, unsigned int type)
{
	bool bits = op == PHCA_REDUCE_AND || op == PHCA_REDUCE_OR;

	return !bits || type == PHCA_REDUCE_INT32 || type == PHCA_REDUCE_INT64;
}

static int64_t int_of(unsigned int op, int64_t a, int64_t x)
{
	switch (op) {
	case PHCA_REDUCE_SUM: return (int64_t)((uint64_t)a + (uint64_t)x);
	case PHCA_REDUCE_MIN: return a <= x ? a : x;
	case PHCA_REDUCE_MAX: return a >= x ? a : x;
	case PHCA_REDUCE_AND: return a & x;
	default: return a | x;
	}
}

/* The result so far stays unless the next is really less or greater: also with a NaN, and of two zeros. */
#define FLOAT_OF(name, type) \
static type name(unsigned int op, type a, type x) \
{ \
	if (op == PHCA_REDUCE_SUM) \
		return a + x; \
	if (isnan(a) || isnan(x) || a == x) \
		return a; \
	return (op == PHCA_REDUCE_MIN) == (x < a) ? x : a; \
}
FLOAT_OF(float_of, float)
FLOAT_OF(double_of, double)

#define EACH(type, call) do { \
	type a, b; \
\
	memcpy(&a, acc + i * sizeof(a), sizeof(a)); \
	memcpy(&b, x + i * sizeof(b), sizeof(b)); \
	a = (type)call(op, a, b); \
	memcpy(acc + i * sizeof(a), &a, sizeof(a)); \
} while (0)

void ref_combine(unsigned int op, unsigned int type, void *accs, const void *xs, uint32_t n)
{
	uint8_t *acc = accs;
	const uint8_t *x = xs;

	for (size_t i = 0; i < n; i++) {
		switch (type) {
		case PHCA_REDUCE_INT32: EACH(int32_t, int_of); break;
		case PHCA_REDUCE_INT64: EACH(int64_t, int_of); break;
		case PHCA_REDUCE_FLOAT32: EACH(float, float_of); break;
		default: EACH(double, double_of);
		}
	}
}

static bool is_nan(unsigned int type, const uint8_t *at)
{
	float f;
	double d;

	memcpy(&f, at, sizeof(f));
	if (type == PHCA_REDUCE_FLOAT32)
		return isnan(f);
	if (type != PHCA_REDUCE_FLOAT64)
		return false;
	memcpy(&d, at, sizeof(d));
	return isnan(d);
}

bool ref_equal(unsigned int op, unsigned int type, const void *a, const void *b, uint32_t n)
{
	size_t size = phca_reduce_size((uint8_t)type);

	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = (const uint8_t *)a + i * size, *q = (const uint8_t *)b + i * size;

		if (memcmp(p, q, size) != 0 && !(op == PHCA_REDUCE_SUM && is_nan(type, p) && is_nan(type, q)))
			return false;
	}
	return true;
}

static double special(uint64_t r)
{
	static const double values[] = {
		0.0, -0.0, INFINITY, -INFINITY, NAN, -NAN, 1e-310, -1e-42, 3.4e38, -3.4e38, 1.0, 1.7e308,
	};

	return values[r % RTE_DIM(values)];
}

void ref_fill(unsigned int type, void *to, uint32_t n, uint64_t *random)
{
	static const int64_t ints[] = { INT64_MIN, INT64_MAX, INT32_MIN, INT32_MAX, -1, 0 };
	uint8_t *at = to;

	for (uint32_t i = 0; i < n; i++, at += phca_reduce_size((uint8_t)type)) {
		uint64_t r = ref_random(random), pick = r >> 60;
		double d = pick < 4 ? special(r) : ((double)(int64_t)r) / (double)(1 + (r & 0xfffffff));
		int64_t v = pick < 4 ? ints[r % RTE_DIM(ints)] : (int64_t)r;
		float f = (float)d;

		if (type == PHCA_REDUCE_FLOAT32)
			memcpy(at, &f, sizeof(f));
		else if (type == PHCA_REDUCE_FLOAT64)
			memcpy(at, &d, sizeof(d));
		else
			memcpy(at, &v, phca_reduce_size((uint8_t)type));
	}
}
