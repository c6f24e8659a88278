/* SPDX-License-Identifier: BSD-3-Clause */
/* A table of regions, its RCU variable and one domain, without EAL. */
#ifndef MEM_FIXTURE_H
#define MEM_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "phca_mem.h"
#include "phca_test.h"

#define READERS 4 /* threads that may report quiescence */

struct mem_fixture {
	struct rte_rcu_qsbr *qsbr;
	struct phca_mem *mem;
	uint32_t pd;
};

static inline void mem_setup(struct mem_fixture *f, uint32_t max_mr)
{
	size_t len = (rte_rcu_qsbr_get_memsize(READERS) + 63) & ~(size_t)63;

	f->qsbr = aligned_alloc(64, len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->qsbr);
	CU_ASSERT_EQUAL_FATAL(rte_rcu_qsbr_init(f->qsbr, READERS), 0);
	f->mem = phca_mem_create(max_mr, f->qsbr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->mem);
	f->pd = phca_pd_alloc(f->mem);
	CU_ASSERT_NOT_EQUAL_FATAL(f->pd, 0);
}

static inline void mem_teardown(struct mem_fixture *f)
{
	phca_mem_destroy(f->mem);
	free(f->qsbr);
}

/* Register len bytes at base, named by iova. */
static inline uint32_t mem_reg(struct mem_fixture *f, void *base, uint64_t len, uint64_t iova,
		uint32_t access)
{
	uint32_t key = 0;

	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(f->mem, f->pd, base, len, iova, access, &key), 0);
	return key;
}

#endif
