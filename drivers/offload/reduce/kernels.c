/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vectors in mbufs: the loops of loops.h run over the segments of a message.
 *
 * An element may lie across segments: its bytes are gathered in `carry`, the whole ones
 * on both sides of it are combined where they are. Invariant: each element is combined
 * once, so the result does not depend on where segments end.
 */
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_cpuflags.h>

#include "kernels.h"
#include "loops.h"

#if RTE_BYTE_ORDER != RTE_LITTLE_ENDIAN
#error "the vectors of messages are little endian and combined where they lie"
#endif

bool reduce_kernel_wide(void)
{
#ifdef RTE_ARCH_X86_64
	return rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX2) == 1;
#else
	return false;
#endif
}

reduce_kernel *reduce_kernel_find(unsigned int op, unsigned int type, bool wide)
{
	if (op >= PHCA_REDUCE_OP_COUNT || type >= PHCA_REDUCE_TYPE_COUNT)
		return NULL;
	return wide ? kernels_wide[type][op] : kernels_any[type][op];
}

/* Where the bytes of a message are: the rest of a segment. */
struct at {
	const struct rte_mbuf *m;
	const uint8_t *p;
	uint32_t len;
};

static struct at at_first(const struct rte_mbuf *m, uint32_t skip)
{
	while (m != NULL && skip >= rte_pktmbuf_data_len(m)) {
		skip -= rte_pktmbuf_data_len(m);
		m = m->next;
	}
	if (m == NULL)
		return (struct at){ .m = NULL };
	return (struct at){ m, rte_pktmbuf_mtod_offset(m, const uint8_t *, skip), rte_pktmbuf_data_len(m) - skip };
}

static void at_next(struct at *a)
{
	a->m = a->m->next;
	if (a->m != NULL) {
		a->p = rte_pktmbuf_mtod(a->m, const uint8_t *);
		a->len = rte_pktmbuf_data_len(a->m);
	}
}

/* One element that lies across segments, of which `have` bytes were at the end of the last one. */
static void carry_one(reduce_kernel *k, uint8_t *acc, struct at *a, uint8_t *carry, uint32_t have, uint32_t size)
{
	while (have < size && a->m != NULL) {
		uint32_t n = RTE_MIN(size - have, a->len);

		memcpy(carry + have, a->p, n);
		have += n;
		a->p += n;
		a->len -= n;
		if (a->len == 0)
			at_next(a);
	}
	if (likely(have == size))
		k(acc, carry, 1);
}

void reduce_combine(reduce_kernel *k, uint8_t *acc, const struct rte_mbuf *m, uint32_t at, uint32_t count,
		uint32_t size)
{
	struct at a = at_first(m, at);
	uint8_t carry[8];

	while (count > 0 && a.m != NULL) {
		uint32_t n = RTE_MIN(count, a.len / size), left;

		k(acc, a.p, n);
		acc += (size_t)n * size;
		count -= n;
		if (count == 0)
			break;
		left = a.len - n * size;
		memcpy(carry, a.p + n * size, left);
		at_next(&a);
		if (left == 0)
			continue;
		carry_one(k, acc, &a, carry, left, size);
		acc += size;
		count--;
	}
}

void reduce_copy(uint8_t *acc, const struct rte_mbuf *m, uint32_t at, uint32_t len)
{
	struct at a = at_first(m, at);

	while (len > 0 && a.m != NULL) {
		uint32_t n = RTE_MIN(len, a.len);

		memcpy(acc, a.p, n);
		acc += n;
		len -= n;
		at_next(&a);
	}
}
