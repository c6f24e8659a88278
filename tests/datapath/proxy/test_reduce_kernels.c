/* SPDX-License-Identifier: BSD-3-Clause */
/* The arithmetic of the reduce offload: every operation, type, length, alignment and way of lying in mbufs. */
#include <string.h>

#include <rte_cpuflags.h>
#include <rte_mbuf.h>

#include "kernels.h"
#include "reduce_ref.h"
#include "rig.h"

#define COUNT_MAX 700
#define BYTES_MAX (COUNT_MAX * 8)
#define SKIP 40

static struct rig r;

/* A message of SKIP + len bytes whose segments have random lengths, some none, from 0 to seg_max. */
static struct rte_mbuf *message(const uint8_t *data, uint32_t len, uint32_t seg_max, uint64_t *random)
{
	struct rte_mbuf *head = NULL;
	uint32_t at = 0, total = SKIP + len;

	while (at < total || head == NULL) {
		uint32_t n = (uint32_t)ref_random(random) % (seg_max + 1);
		struct rte_mbuf *m = rte_pktmbuf_alloc(r.pool);
		uint8_t *p;

		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		/* at any address, and the last one goes to the end of the data */
		m->data_off = (uint16_t)(m->data_off - ref_random(random) % 16);
		n = RTE_MIN(n, total - at);
		p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)n);
		for (uint32_t i = 0; i < n; i++)
			p[i] = at + i < SKIP ? 0xee : data[at + i - SKIP];
		at += n;
		if (head == NULL)
			head = m;
		else
			CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(head, m), 0);
	}
	return head;
}

static bool agrees(unsigned int op, unsigned int type, bool wide, uint32_t n, uint32_t seg_max, uint64_t *random)
{
	static uint8_t start[BYTES_MAX], x[BYTES_MAX], want[BYTES_MAX];
	static uint8_t got[BYTES_MAX + 64] __rte_aligned(64);
	uint32_t size = phca_reduce_size((uint8_t)type);
	struct rte_mbuf *m;

	ref_fill(type, start, n, random);
	ref_fill(type, x, n, random);
	memcpy(want, start, n * size);
	ref_combine(op, type, want, x, n);
	memset(got, 0x5a, sizeof(got));
	m = message(start, n * size, seg_max, random);
	reduce_copy(got, m, SKIP, n * size);
	rte_pktmbuf_free(m);
	if (memcmp(got, start, n * size) != 0)
		return false;
	m = message(x, n * size, seg_max, random);
	reduce_combine(reduce_kernel_find(op, type, wide), got, m, SKIP, n, size);
	rte_pktmbuf_free(m);
	for (uint32_t i = n * size; i < sizeof(got); i++)
		if (got[i] != 0x5a)
			return false;
	return ref_equal(op, type, got, want, n);
}

static void all_ops(bool wide)
{
	static const uint32_t counts[] = { 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 699 };
	static const uint32_t segs[] = { 3, 7, 13, 64, 255, 480 };
	uint64_t random = 7;

	rig_init(&r, 64);
	for (unsigned int op = 0; op < PHCA_REDUCE_OP_COUNT; op++)
		for (unsigned int type = 0; type < PHCA_REDUCE_TYPE_COUNT; type++) {
			CU_ASSERT_EQUAL(reduce_kernel_find(op, type, wide) != NULL, ref_allowed(op, type));
			if (!ref_allowed(op, type))
				continue;
			for (unsigned int c = 0; c < RTE_DIM(counts); c++)
				for (unsigned int s = 0; s < RTE_DIM(segs); s++)
					CU_ASSERT_TRUE(agrees(op, type, wide, counts[c], segs[s], &random));
		}
	CU_ASSERT_PTR_NULL(reduce_kernel_find(PHCA_REDUCE_OP_COUNT, PHCA_REDUCE_INT32, wide));
	CU_ASSERT_PTR_NULL(reduce_kernel_find(PHCA_REDUCE_SUM, PHCA_REDUCE_TYPE_COUNT, wide));
	rig_fini(&r);
}

PHCA_TEST(reduce_kernels, agree_with_the_reference_on_any_cpu)
{
	all_ops(false);
}

PHCA_TEST(reduce_kernels, agree_with_the_reference_with_wide_vectors)
{
	if (reduce_kernel_wide())
		all_ops(true);
#ifdef RTE_ARCH_X86_64
	CU_ASSERT_EQUAL(reduce_kernel_wide(), rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX2) == 1);
#endif
}

PHCA_TEST(reduce_kernels, min_and_max_keep_the_first_of_equals_and_of_nan)
{
	static const union { uint32_t u; float f; } nan = { .u = 0x7fc01234 };
	static const struct { float a, x, min, max; } rows[] = {
		{ 0.0f, -0.0f, 0.0f, 0.0f }, { -0.0f, 0.0f, -0.0f, -0.0f }, { 1.0f, 2.0f, 1.0f, 2.0f },
	};
	const bool wide = reduce_kernel_wide();

	for (unsigned int i = 0; i < RTE_DIM(rows); i++) {
		float a[9], x[9], b[9];

		for (unsigned int k = 0; k < 9; k++) {
			a[k] = b[k] = rows[i].a;
			x[k] = rows[i].x;
		}
		reduce_kernel_find(PHCA_REDUCE_MIN, PHCA_REDUCE_FLOAT32, wide)(a, x, 9);
		reduce_kernel_find(PHCA_REDUCE_MAX, PHCA_REDUCE_FLOAT32, wide)(b, x, 9);
		for (unsigned int k = 0; k < 9; k++) {
			CU_ASSERT_EQUAL(memcmp(&a[k], &rows[i].min, 4), 0);
			CU_ASSERT_EQUAL(memcmp(&b[k], &rows[i].max, 4), 0);
		}
	}
	for (unsigned int op = PHCA_REDUCE_MIN; op <= PHCA_REDUCE_MAX; op++) {
		float a = nan.f, x = 1.0f, b = 1.0f;

		reduce_kernel_find(op, PHCA_REDUCE_FLOAT32, wide)(&a, &x, 1);
		CU_ASSERT_EQUAL(memcmp(&a, &nan, 4), 0); /* the first rank's stays */
		reduce_kernel_find(op, PHCA_REDUCE_FLOAT32, wide)(&b, &nan.f, 1);
		CU_ASSERT_EQUAL(b, 1.0f);                /* a later one is nothing */
	}
}
