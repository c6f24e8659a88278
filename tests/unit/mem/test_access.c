/* SPDX-License-Identifier: BSD-3-Clause */
/* Checked accesses: bounds to the byte, domains, rights, scatter and gather. */
#include "mem_fixture.h"

#define IOVA 0x7000000000001000u

PHCA_TEST(access, bounds_are_exact)
{
	struct mem_fixture f;
	uint8_t b[100];
	enum phca_mem_err err;
	uint32_t key;

	mem_setup(&f, 4);
	key = mem_reg(&f, b, sizeof(b), IOVA, 0);
#define PTR(va, len) phca_mem_ptr(f.mem, key, f.pd, va, len, 0, &err)
#define BAD(va, len) do { \
	err = PHCA_MEM_OK; \
	CU_ASSERT_PTR_NULL(PTR(va, len)); \
	CU_ASSERT_EQUAL(err, PHCA_MEM_BOUNDS); \
} while (0)
	CU_ASSERT_PTR_EQUAL(PTR(IOVA, 1), b);
	CU_ASSERT_PTR_EQUAL(PTR(IOVA, 100), b);
	CU_ASSERT_PTR_EQUAL(PTR(IOVA + 99, 1), b + 99);
	BAD(IOVA, 101);
	BAD(IOVA + 100, 1);
	BAD(IOVA + 99, 2);
	BAD(IOVA - 1, 1);
	BAD(IOVA - 1, 101);
	BAD(IOVA + 1, UINT64_MAX);
	BAD(UINT64_MAX, 2);
	BAD(0, UINT64_MAX);
	BAD(IOVA + 50, UINT64_MAX - 49); /* va + len wraps to IOVA + 0 */
	/* no bytes: nothing is checked, nothing is given */
	err = PHCA_MEM_KEY;
	CU_ASSERT_PTR_NULL(phca_mem_ptr(f.mem, 0xbad, f.pd, 0, 0, 0, &err));
	CU_ASSERT_EQUAL(err, PHCA_MEM_OK);
	mem_teardown(&f);
}

PHCA_TEST(access, region_at_the_end_of_the_address_space)
{
	struct mem_fixture f;
	uint8_t b[16];
	enum phca_mem_err err = PHCA_MEM_OK;
	uint32_t key;

	mem_setup(&f, 4);
	key = mem_reg(&f, b, 16, UINT64_MAX - 16, 0);
	CU_ASSERT_PTR_EQUAL(PTR(UINT64_MAX - 1, 1), b + 15);
	BAD(UINT64_MAX, 1);
	BAD(UINT64_MAX - 1, 2);
	BAD(0, 1);
	key = mem_reg(&f, b, 16, 0, 0);
	CU_ASSERT_PTR_EQUAL(PTR(0, 16), b);
	BAD(UINT64_MAX, 1);
	mem_teardown(&f);
}

PHCA_TEST(access, domain_and_each_right_are_needed)
{
	struct mem_fixture f;
	uint8_t b[16];
	enum phca_mem_err err;
	uint32_t key, pd2;

	mem_setup(&f, 64);
	pd2 = phca_pd_alloc(f.mem);
	for (uint32_t has = 0; has <= PHCA_ACCESS_ALL; has++) {
		if (phca_mr_reg(f.mem, f.pd, b, 16, 0, has, &key) != 0)
			continue; /* remote without local write */
		for (uint32_t needs = 0; needs <= PHCA_ACCESS_ALL; needs++) {
			void *p = phca_mem_ptr(f.mem, key, f.pd, 0, 16, needs, &err);

			CU_ASSERT_EQUAL(p == b, (needs & ~has) == 0);
			CU_ASSERT(p != NULL || err == PHCA_MEM_ACCESS);
		}
		CU_ASSERT_PTR_NULL(phca_mem_ptr(f.mem, key, pd2, 0, 16, 0, &err));
		CU_ASSERT_EQUAL(err, PHCA_MEM_PD);
		CU_ASSERT_PTR_NULL(phca_mem_ptr(f.mem, key, 0, 0, 16, 0, &err));
		CU_ASSERT_EQUAL(err, PHCA_MEM_PD);
	}
	CU_ASSERT_EQUAL(phca_mem_nb_mr(f.mem), 20);
	mem_teardown(&f);
}

/* The list as one flat array, by the shortest code there is. */
static uint8_t *flat(const struct phca_sge *sge, uint32_t n, uint64_t i, uint8_t *base)
{
	for (uint32_t k = 0; k < n; k++) {
		if (i < sge[k].length)
			return base + (sge[k].addr - IOVA) + i;
		i -= sge[k].length;
	}
	return NULL;
}

PHCA_TEST(access, scatter_and_gather_agree_with_a_byte_by_byte_model)
{
	struct mem_fixture f;
	uint8_t mem[512], model[512], buf[600], got[600];
	uint64_t seed = 1;
	uint32_t key;

	mem_setup(&f, 4);
	key = mem_reg(&f, mem, sizeof(mem), IOVA, PHCA_ACCESS_LOCAL_WRITE);
	for (int round = 0; round < 20000; round++) {
		struct phca_sge sge[5];
		uint32_t n = phca_test_rand(&seed) % 6, at = 0, off, len;
		uint64_t total;
		enum phca_mem_err e;

		for (uint32_t i = 0; i < n; i++) {
			at += phca_test_rand(&seed) % 8;
			sge[i] = (struct phca_sge){ IOVA + at, phca_test_rand(&seed) % 90, key };
			at += sge[i].length;
		}
		total = phca_sg_len(sge, n);
		off = phca_test_rand(&seed) % (total + 3);
		len = phca_test_rand(&seed) % (total + 3);
		for (uint32_t i = 0; i < sizeof(buf); i++)
			buf[i] = (uint8_t)phca_test_rand(&seed);
		memset(mem, 0xee, sizeof(mem));
		memset(model, 0xee, sizeof(model));
		e = phca_sg_scatter(f.mem, f.pd, sge, n, off, buf, len);
		CU_ASSERT_EQUAL(e, len == 0 || off + (uint64_t)len <= total ?
			PHCA_MEM_OK : PHCA_MEM_BOUNDS);
		for (uint32_t i = 0; i < len && flat(sge, n, off + i, model) != NULL; i++)
			*flat(sge, n, off + i, model) = buf[i];
		CU_ASSERT_EQUAL(memcmp(mem, model, sizeof(mem)), 0);
		if (e != PHCA_MEM_OK)
			continue;
		memset(got, 0, sizeof(got));
		CU_ASSERT_EQUAL(phca_sg_gather(f.mem, f.pd, sge, n, off, got, len), PHCA_MEM_OK);
		CU_ASSERT_EQUAL(memcmp(got, buf, len), 0);
		CU_ASSERT(len == sizeof(got) || got[len] == 0);
	}
	mem_teardown(&f);
}

PHCA_TEST(access, each_element_touched_is_checked)
{
	struct mem_fixture f;
	uint8_t b[64] = {0}, buf[64];
	uint32_t rw, ro;
	struct phca_sge sge[3];

	mem_setup(&f, 4);
	rw = mem_reg(&f, b, 64, IOVA, PHCA_ACCESS_LOCAL_WRITE);
	ro = mem_reg(&f, b, 64, IOVA, 0);
	memset(buf, 0xab, sizeof(buf));
	sge[0] = (struct phca_sge){ IOVA, 8, rw };
	sge[1] = (struct phca_sge){ IOVA + 8, 8, ro };
	sge[2] = (struct phca_sge){ IOVA + 16, 8, rw + 1 };
#define SCATTER(off, len) phca_sg_scatter(f.mem, f.pd, sge, 3, off, buf, len)
#define GATHER(off, len) phca_sg_gather(f.mem, f.pd, sge, 3, off, buf, len)
	CU_ASSERT_EQUAL(SCATTER(0, 8), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(b[7], 0xab);
	CU_ASSERT_EQUAL(SCATTER(0, 9), PHCA_MEM_ACCESS);
	CU_ASSERT_EQUAL(SCATTER(15, 1), PHCA_MEM_ACCESS);
	CU_ASSERT_EQUAL(b[8], 0);
	CU_ASSERT_EQUAL(b[15], 0);
	CU_ASSERT_EQUAL(GATHER(0, 16), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(GATHER(0, 17), PHCA_MEM_KEY);
	CU_ASSERT_EQUAL(SCATTER(16, 1), PHCA_MEM_KEY);
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd, sge, 1, PHCA_ACCESS_LOCAL_WRITE), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd, sge, 2, PHCA_ACCESS_LOCAL_WRITE), PHCA_MEM_ACCESS);
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd, sge, 2, 0), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd, sge, 3, 0), PHCA_MEM_KEY);
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd + 1, sge, 1, 0), PHCA_MEM_PD);
	/* an empty element is not looked at */
	sge[2].length = 0;
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd, sge, 3, 0), PHCA_MEM_OK);
	/* the part that is used decides, and the check covers all of it */
	sge[0].length = 65;
	CU_ASSERT_EQUAL(SCATTER(0, 64), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(SCATTER(0, 65), PHCA_MEM_BOUNDS);
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd, sge, 1, 0), PHCA_MEM_BOUNDS);
	mem_teardown(&f);
}

PHCA_TEST(access, element_that_wraps_around_is_refused)
{
	struct mem_fixture f;
	uint8_t b[64] = {0}, buf[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct phca_sge sge;

	mem_setup(&f, 4);
	/* the region is at 0: 16 bytes into the element its address is 0 again */
	sge = (struct phca_sge){ UINT64_MAX - 15, 64,
		mem_reg(&f, b, 64, 0, PHCA_ACCESS_LOCAL_WRITE) };
	CU_ASSERT_EQUAL(phca_sg_scatter(f.mem, f.pd, &sge, 1, 16, buf, 8), PHCA_MEM_BOUNDS);
	CU_ASSERT_EQUAL(phca_sg_gather(f.mem, f.pd, &sge, 1, 16, buf, 8), PHCA_MEM_BOUNDS);
	CU_ASSERT_EQUAL(phca_sg_check(f.mem, f.pd, &sge, 1, 0), PHCA_MEM_BOUNDS);
	CU_ASSERT_EQUAL(b[0], 0);
	mem_teardown(&f);
}

PHCA_TEST(access, lengths_do_not_wrap)
{
	struct phca_sge sge[4];
	struct mem_fixture f;
	uint8_t b[8] = {0}, buf[8] = {0};
	uint32_t key;

	mem_setup(&f, 4);
	key = mem_reg(&f, b, 8, 0, PHCA_ACCESS_LOCAL_WRITE);
	for (int i = 0; i < 4; i++)
		sge[i] = (struct phca_sge){ 0, UINT32_MAX, key };
	CU_ASSERT_EQUAL(phca_sg_len(sge, 4), 4ull * UINT32_MAX);
	CU_ASSERT_EQUAL(phca_sg_len(sge, 0), 0);
	/* far into the list: the third element's first bytes */
	CU_ASSERT_EQUAL(phca_sg_scatter(f.mem, f.pd, sge, 4, 2ull * UINT32_MAX, buf, 8), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(phca_sg_scatter(f.mem, f.pd, sge, 4, 4ull * UINT32_MAX, buf, 8),
		PHCA_MEM_BOUNDS);
	CU_ASSERT_EQUAL(phca_sg_scatter(f.mem, f.pd, sge, 4, UINT64_MAX, buf, 8), PHCA_MEM_BOUNDS);
	CU_ASSERT_EQUAL(phca_sg_scatter(f.mem, f.pd, sge, 0, 0, buf, 0), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(phca_sg_scatter(f.mem, f.pd, sge, 0, 0, buf, 1), PHCA_MEM_BOUNDS);
	mem_teardown(&f);
}
