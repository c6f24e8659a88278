/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is contributed and what must come out of it.
 *
 * The vector of a round depends on the round modulo depth only, so that neither side
 * computes while it is measured; the expected result is made in the plainest way, one
 * element after the other, with no code of the offload.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

#define NAME(e, n, t) [n] = t,
static const char *const ops[] = { PHCA_REDUCE_OPS(NAME) };
static const char *const types[] = { PHCA_REDUCE_TYPES(NAME) };
static const char *const statuses[] = { PHCA_REDUCE_STATUSES(NAME) };

static int find(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

int op_find(const char *name)
{
	return find(ops, PHCA_REDUCE_OP_COUNT, name);
}

int type_find(const char *name)
{
	return find(types, PHCA_REDUCE_TYPE_COUNT, name);
}

const char *op_name(uint32_t op)
{
	return ops[op];
}

const char *type_name(uint32_t type)
{
	return types[type];
}

const char *status_name(uint32_t status)
{
	return status < PHCA_REDUCE_STATUS_COUNT ? statuses[status] : "unknown status";
}

void header_fill(const struct job *j, struct phca_reduce_hdr *h, uint32_t rank, uint64_t round)
{
	*h = (struct phca_reduce_hdr){
		.magic = { 'P', 'H', 'R', 'D' }, .version = PHCA_REDUCE_VERSION, .op = (uint8_t)j->op,
		.type = (uint8_t)j->type, .flags = (uint8_t)j->flags, .group = j->group, .rank = (uint16_t)rank,
		.nb_ranks = (uint16_t)j->nb_ranks, .round = round, .count = j->count,
	};
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

union element {
	int32_t i32;
	int64_t i64;
	float f32;
	double f64;
};

static union element element_of(const struct job *j, uint32_t rank, uint32_t slot, uint32_t i)
{
	uint64_t r = mix(((uint64_t)rank << 48 | (uint64_t)slot << 32 | i) + 0x9e3779b97f4a7c15u);
	double real = ((double)(r >> 11) / 4503599627370496.0 - 1.0) * (double)(1u << (r & 15));
	union element e = { .i64 = 0 };

	switch (j->type) {
	case PHCA_REDUCE_INT32: e.i32 = (int32_t)r; break;
	case PHCA_REDUCE_INT64: e.i64 = (int64_t)r; break;
	case PHCA_REDUCE_FLOAT32: e.f32 = (float)real; break;
	default: e.f64 = real;
	}
	return e;
}

void vector_fill(const struct job *j, void *to, uint32_t rank, uint32_t slot)
{
	size_t size = phca_reduce_size((uint8_t)j->type);

	for (uint32_t i = 0; i < j->count; i++) {
		union element e = element_of(j, rank, slot, i);

		memcpy((uint8_t *)to + i * size, &e, size);
	}
}

#define OPERATE(a, x, sum, bits_and, bits_or) do { \
	switch (op) { \
	case PHCA_REDUCE_SUM: a = sum; break; \
	case PHCA_REDUCE_MIN: a = x < a ? x : a; break; \
	case PHCA_REDUCE_MAX: a = x > a ? x : a; break; \
	case PHCA_REDUCE_AND: a = bits_and; break; \
	default: a = bits_or; \
	} \
} while (0)

static void operate(uint32_t op, uint32_t type, union element *a, union element x)
{
	switch (type) {
	case PHCA_REDUCE_INT32:
		OPERATE(a->i32, x.i32, (int32_t)((uint32_t)a->i32 + (uint32_t)x.i32), a->i32 & x.i32, a->i32 | x.i32);
		break;
	case PHCA_REDUCE_INT64:
		OPERATE(a->i64, x.i64, (int64_t)((uint64_t)a->i64 + (uint64_t)x.i64), a->i64 & x.i64, a->i64 | x.i64);
		break;
	case PHCA_REDUCE_FLOAT32:
		OPERATE(a->f32, x.f32, a->f32 + x.f32, a->f32, a->f32);
		break;
	default:
		OPERATE(a->f64, x.f64, a->f64 + x.f64, a->f64, a->f64);
	}
}

uint8_t *expected_make(const struct job *j)
{
	size_t size = phca_reduce_size((uint8_t)j->type), bytes = job_bytes(j);
	uint8_t *to = malloc(bytes * j->depth);

	if (to == NULL)
		fail("no memory for %u vectors of %zu bytes: smaller --count or --depth", j->depth, bytes);
	for (uint32_t s = 0; s < j->depth; s++)
		for (uint32_t i = 0; i < j->count; i++) {
			union element a = element_of(j, 0, s, i);

			for (uint32_t rank = 1; rank < j->nb_ranks; rank++)
				operate(j->op, j->type, &a, element_of(j, rank, s, i));
			memcpy(to + s * bytes + i * size, &a, size);
		}
	return to;
}

uint64_t result_check(const struct job *j, const struct phca_reduce_hdr *h, uint32_t len, bool vector,
		const uint8_t *expected, const char *who)
{
	size_t bytes = vector ? job_bytes(j) : 0;

	if (len < PHCA_REDUCE_HDR_LEN || memcmp(h->magic, PHCA_REDUCE_MAGIC, sizeof(h->magic)) != 0)
		fail("%s: a message of %u bytes that is none of a reduction", who, len);
	if (!(h->flags & PHCA_REDUCE_F_RESULT))
		fail("%s: rank %u's contribution came itself: no reduce offload is in front of the queue pair, "
			"use --self or see doc/offload-reduce.md", who, h->rank);
	if (h->status != PHCA_REDUCE_OK)
		fail("%s: round %llu: %s (status %u)", who, (unsigned long long)h->round, status_name(h->status),
			h->status);
	if (len != PHCA_REDUCE_HDR_LEN + bytes || h->group != j->group || h->round >= j->rounds ||
			h->count != j->count || h->op != j->op || h->type != j->type)
		fail("%s: a result of %u bytes, group %u, round %llu, %u elements: not what was asked for", who, len,
			h->group, (unsigned long long)h->round, h->count);
	if (vector && expected != NULL && memcmp(h + 1, expected + h->round % j->depth * bytes, bytes) != 0)
		fail("%s: round %llu: the result is wrong", who, (unsigned long long)h->round);
	return h->round;
}

double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void figures_print(const struct job *j, const char *who, uint32_t ranks, double seconds)
{
	double bits = (double)j->rounds * ranks * (double)job_bytes(j) * 8;

	printf("%s: %llu rounds of %s of %u %s, %u of %u ranks: %.0f rounds/s, %.3f Gb/s contributed%s\n", who,
		(unsigned long long)j->rounds, op_name(j->op), j->count, type_name(j->type), ranks, j->nb_ranks,
		(double)j->rounds / seconds, bits / seconds / 1e9, j->check ? ", all results right" : ", not checked");
}
