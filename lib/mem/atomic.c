/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer's atomics: a check, then one instruction on the memory itself. It
 * keeps: nothing but that instruction orders lcores and applications among
 * each other, so that each of them sees all operations in one order.
 */
#include "mem_impl.h"

bool phca_mem_atomic(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, enum phca_atomic_op op, uint64_t cmp, uint64_t swap_add,
		uint64_t *orig, enum phca_mem_err *err)
{
	uint64_t *p;

	if (unlikely(va % sizeof(*p) != 0)) {
		*err = PHCA_MEM_ALIGN;
		return false;
	}
	p = phca_mem_remote(mem, key, pd, qpn, va, sizeof(*p), PHCA_ACCESS_REMOTE_ATOMIC, err);
	if (unlikely(p == NULL))
		return false;
	/* A region may name its first byte as it likes; the processor counts otherwise. */
	if (unlikely((uintptr_t)p % sizeof(*p) != 0)) {
		*err = PHCA_MEM_ALIGN;
		return false;
	}
	if (op == PHCA_ATOMIC_FETCH_ADD) {
		*orig = __atomic_fetch_add(p, swap_add, __ATOMIC_SEQ_CST);
	} else {
		__atomic_compare_exchange_n(p, &cmp, swap_add, false, __ATOMIC_SEQ_CST,
			__ATOMIC_SEQ_CST);
		*orig = cmp; /* the builtin left there what it found */
	}
	return true;
}
