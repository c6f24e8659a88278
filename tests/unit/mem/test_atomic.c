/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer's atomics: results, alignment, rights; that they are atomic is test_window_threads.c's. */
#include "mem_fixture.h"

#define QPN 5
#define RW (PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ)

#define ATOMIC(key, pd, va, op, cmp, val) \
	phca_mem_atomic(f.mem, key, pd, QPN, va, op, cmp, val, &orig, &err)
#define REFUSED(why, key, pd, va) do { \
	err = PHCA_MEM_OK; \
	CU_ASSERT_FALSE(ATOMIC(key, pd, va, PHCA_ATOMIC_FETCH_ADD, 0, 1)); \
	CU_ASSERT_EQUAL(err, why); \
} while (0)

PHCA_TEST(atomic, results)
{
	struct mem_fixture f;
	uint64_t v[4] = { 10, 20, 30, 40 }, orig = 0;
	enum phca_mem_err err;
	uint32_t key;

	mem_setup(&f, 4);
	key = mem_reg(&f, v, sizeof(v), 0x1000, RW | PHCA_ACCESS_REMOTE_ATOMIC);
	CU_ASSERT_TRUE(ATOMIC(key, f.pd, 0x1008, PHCA_ATOMIC_FETCH_ADD, 99, 5));
	CU_ASSERT(orig == 20 && v[1] == 25);
	CU_ASSERT_TRUE(ATOMIC(key, f.pd, 0x1008, PHCA_ATOMIC_FETCH_ADD, 0, UINT64_MAX));
	CU_ASSERT(orig == 25 && v[1] == 24); /* modulo 2^64 */
	CU_ASSERT_TRUE(ATOMIC(key, f.pd, 0x1018, PHCA_ATOMIC_CMP_SWAP, 41, 7));
	CU_ASSERT(orig == 40 && v[3] == 40);
	CU_ASSERT_TRUE(ATOMIC(key, f.pd, 0x1018, PHCA_ATOMIC_CMP_SWAP, 40, 7));
	CU_ASSERT(orig == 40 && v[3] == 7);
	CU_ASSERT(v[0] == 10 && v[2] == 30);
	mem_teardown(&f);
}

PHCA_TEST(atomic, refused_changes_nothing)
{
	struct mem_fixture f;
	uint64_t v[4] = { 1, 2, 3, 4 }, orig = 77;
	enum phca_mem_err err;
	uint32_t key, noright, odd;

	mem_setup(&f, 4);
	key = mem_reg(&f, v, 32, 0x1000, RW | PHCA_ACCESS_REMOTE_ATOMIC);
	noright = mem_reg(&f, v, 32, 0x1000, RW);
	odd = mem_reg(&f, (uint8_t *)v + 1, 24, 0x1000, RW | PHCA_ACCESS_REMOTE_ATOMIC);
	REFUSED(PHCA_MEM_ACCESS, noright, f.pd, 0x1000);
	REFUSED(PHCA_MEM_PD, key, f.pd + 1, 0x1000);
	REFUSED(PHCA_MEM_KEY, key + 1, f.pd, 0x1000);
	REFUSED(PHCA_MEM_BOUNDS, key, f.pd, 0x1020);
	REFUSED(PHCA_MEM_BOUNDS, key, f.pd, 0xff8);
	REFUSED(PHCA_MEM_BOUNDS, key, f.pd, UINT64_MAX - 7);
	for (uint32_t i = 1; i < 8; i++)
		REFUSED(PHCA_MEM_ALIGN, key, f.pd, 0x1000 + i);
	REFUSED(PHCA_MEM_ALIGN, key + 1, f.pd, 0x1001); /* before the key */
	/* aligned for the peer, not for the processor; and the other way round */
	REFUSED(PHCA_MEM_ALIGN, odd, f.pd, 0x1000);
	REFUSED(PHCA_MEM_ALIGN, odd, f.pd, 0x1007);
	CU_ASSERT_EQUAL(orig, 77);
	CU_ASSERT(v[0] == 1 && v[1] == 2 && v[2] == 3 && v[3] == 4);
	mem_teardown(&f);
}

PHCA_TEST(atomic, through_a_window)
{
	struct mem_fixture f;
	uint64_t v[4] = { 1, 2, 3, 4 }, orig = 0;
	enum phca_mem_err err;
	struct phca_mw_bind b;
	uint32_t key, rkey;

	mem_setup(&f, 4);
	key = mem_reg(&f, v, 32, 0x1000, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_MW_BIND);
	CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd, PHCA_MW_TYPE_2, &rkey), 0);
	b = (struct phca_mw_bind){ .rkey = rkey, .new_rkey = rkey ^ 1, .mr_key = key, .addr = 0x1008,
		.length = 16, .access = PHCA_ACCESS_REMOTE_ATOMIC | PHCA_ACCESS_ZERO_BASED,
		.pd = f.pd, .qpn = QPN };
	CU_ASSERT_EQUAL(phca_mw_bind(f.mem, &b), PHCA_MEM_OK);
	CU_ASSERT_TRUE(ATOMIC(rkey ^ 1, f.pd, 8, PHCA_ATOMIC_FETCH_ADD, 0, 100));
	CU_ASSERT(orig == 3 && v[2] == 103);
	REFUSED(PHCA_MEM_BOUNDS, rkey ^ 1, f.pd, 16);
	REFUSED(PHCA_MEM_ACCESS, key, f.pd, 0x1008); /* the region itself gives no such right */
	b.qpn++;
	CU_ASSERT_FALSE(phca_mem_atomic(f.mem, rkey ^ 1, f.pd, b.qpn, 8, PHCA_ATOMIC_FETCH_ADD, 0, 1,
		&orig, &err));
	CU_ASSERT_EQUAL(err, PHCA_MEM_QP);
	/* bound where 8 of the peer is not 8 of the processor */
	CU_ASSERT_EQUAL(phca_mem_invalidate(f.mem, f.pd, QPN, rkey ^ 1), PHCA_MEM_OK);
	b.rkey = rkey ^ 1;
	b.new_rkey = rkey ^ 2;
	b.addr = 0x1004;
	b.qpn = QPN;
	CU_ASSERT_EQUAL(phca_mw_bind(f.mem, &b), PHCA_MEM_OK);
	REFUSED(PHCA_MEM_ALIGN, rkey ^ 2, f.pd, 8);
	CU_ASSERT_EQUAL(v[2], 103);
	mem_teardown(&f);
}
