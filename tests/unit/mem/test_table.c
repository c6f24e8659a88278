/* SPDX-License-Identifier: BSD-3-Clause */
/* Domains and regions: what may be registered, keys and their reuse. */
#include <errno.h>

#include <rte_errno.h>

#include "mem_fixture.h"

PHCA_TEST(table, create_refuses_what_is_out_of_range)
{
	struct mem_fixture f;

	mem_setup(&f, 1);
	rte_errno = 0;
	CU_ASSERT_PTR_NULL(phca_mem_create(0, f.qsbr));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	rte_errno = 0;
	CU_ASSERT_PTR_NULL(phca_mem_create(1u << 24, f.qsbr));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	rte_errno = 0;
	CU_ASSERT_PTR_NULL(phca_mem_create(1, NULL));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	phca_mem_destroy(NULL);
	mem_teardown(&f);
}

PHCA_TEST(table, largest_table_can_be_made)
{
	struct mem_fixture f;
	uint8_t b[8];

	mem_setup(&f, 0xffffff);
	CU_ASSERT_EQUAL(mem_reg(&f, b, sizeof(b), 0, 0) >> 8, 1);
	mem_teardown(&f);
}

PHCA_TEST(table, domains_are_counted)
{
	struct mem_fixture f;
	uint8_t b[8];
	uint32_t key;

	mem_setup(&f, 4);
	key = mem_reg(&f, b, sizeof(b), 0, 0);
	CU_ASSERT_EQUAL(phca_pd_get(f.mem, f.pd), 0);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, f.pd), -EBUSY);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, key), 0);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, f.pd), -EBUSY);
	phca_pd_put(f.mem, f.pd);
	phca_pd_put(f.mem, f.pd); /* one too many gives nothing away */
	CU_ASSERT_EQUAL(phca_pd_get(f.mem, f.pd), 0);
	phca_pd_put(f.mem, f.pd);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, f.pd), 0);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, f.pd), -EINVAL);
	CU_ASSERT_EQUAL(phca_pd_get(f.mem, f.pd), -EINVAL);
	CU_ASSERT_EQUAL(phca_pd_get(f.mem, 0), -EINVAL);
	CU_ASSERT_EQUAL(phca_pd_get(f.mem, 65536), -EINVAL);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, UINT32_MAX), -EINVAL);
	phca_pd_put(f.mem, UINT32_MAX);
	CU_ASSERT_EQUAL(phca_mr_reg(f.mem, f.pd, b, 8, 0, 0, &key), -EINVAL);
	mem_teardown(&f);
}

PHCA_TEST(table, domains_run_out_at_65535)
{
	struct mem_fixture f;
	uint32_t n = 1, last = 0, pd;

	mem_setup(&f, 1);
	while (n <= 65536 && (pd = phca_pd_alloc(f.mem)) != 0) {
		CU_ASSERT(pd != last && pd <= 65535);
		last = pd;
		n++;
	}
	CU_ASSERT_EQUAL(n, 65535);
	CU_ASSERT_EQUAL(rte_errno, ENOSPC);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, 777), 0);
	CU_ASSERT_EQUAL(phca_pd_alloc(f.mem), 777);
	mem_teardown(&f);
}

PHCA_TEST(table, reg_refuses_bad_arguments)
{
	struct mem_fixture f;
	uint8_t b[8];
	uint32_t key = 0;

	mem_setup(&f, 4);
#define REG(pd, base, len, iova, acc) phca_mr_reg(f.mem, pd, base, len, iova, acc, &key)
	CU_ASSERT_EQUAL(REG(0, b, 8, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd + 1, b, 8, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd, NULL, 8, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd, b, 0, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd, b, UINT64_MAX, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd, b, 8, UINT64_MAX - 7, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd, b, 8, 0, 0x20), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd, b, 8, 0, PHCA_ACCESS_REMOTE_WRITE), -EINVAL);
	CU_ASSERT_EQUAL(REG(f.pd, b, 8, 0, PHCA_ACCESS_REMOTE_ATOMIC), -EINVAL);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(f.mem), 0);
	CU_ASSERT_EQUAL(REG(f.pd, b, 8, UINT64_MAX - 8, PHCA_ACCESS_ALL), 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(f.mem), 1);
#undef REG
	mem_teardown(&f);
}

PHCA_TEST(table, full_table_takes_one_more_after_dereg)
{
	struct mem_fixture f;
	uint8_t b[8];
	uint32_t key[3], k;

	mem_setup(&f, 3);
	for (int i = 0; i < 3; i++)
		key[i] = mem_reg(&f, b, 8, 0, 0);
	CU_ASSERT(key[0] != key[1] && key[1] != key[2] && key[0] != key[2]);
	CU_ASSERT_EQUAL(phca_mr_reg(f.mem, f.pd, b, 8, 0, 0, &k), -ENOSPC);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, key[1]), 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(f.mem), 2);
	k = mem_reg(&f, b, 8, 0, 0);
	CU_ASSERT_EQUAL(k >> 8, key[1] >> 8);
	CU_ASSERT_NOT_EQUAL(k, key[1]);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, f.pd), -EBUSY);
	mem_teardown(&f);
}

PHCA_TEST(table, stale_and_invented_keys_are_refused)
{
	struct mem_fixture f;
	uint8_t b[8];
	enum phca_mem_err err;
	uint32_t key, next;

	mem_setup(&f, 2);
	key = mem_reg(&f, b, 8, 0, 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, key ^ 1), -EINVAL);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, 0), -EINVAL);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, UINT32_MAX), -EINVAL);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, key), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, key), -EINVAL);
	/* the same entry again, 255 times: never the same key */
	for (int i = 0; i < 2 * 255; i++) {
		next = mem_reg(&f, b, 8, 0, 0);
		CU_ASSERT_NOT_EQUAL(next, key);
		CU_ASSERT_PTR_NULL(phca_mem_ptr(f.mem, key, f.pd, 0, 1, 0, &err));
		CU_ASSERT_EQUAL(err, PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, next), 0);
	}
	mem_teardown(&f);
}

/* Few regions that come and go take the room of few, though there is room for many. */
PHCA_TEST(table, freed_entries_are_used_again)
{
	enum { ROOM = 65536, KEPT = 4096 };
	static uint32_t keys[ROOM];
	struct mem_fixture f;
	uint8_t b[8];
	uint32_t most = 0;

	mem_setup(&f, ROOM);
	for (unsigned int i = 0; i < 3 * KEPT; i++) {
		uint32_t key = mem_reg(&f, b, 8, 0, 0);

		most = key >> 8 > most ? key >> 8 : most;
		for (unsigned int k = i >= KEPT ? i - KEPT + 1 : 0; i % 97 == 0 && k < i; k++)
			CU_ASSERT_NOT_EQUAL(keys[k] >> 8, key >> 8); /* not soon */
		keys[i] = key;
		CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, key), 0);
	}
	CU_ASSERT(most <= KEPT + 1);
	for (unsigned int i = 0; i < ROOM; i++)
		keys[i] = mem_reg(&f, b, 8, 0, 0); /* asserts that it works */
	for (unsigned int i = 0; i < ROOM; i++)
		CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, keys[i]), 0);
	mem_teardown(&f);
}

PHCA_TEST(table, no_key_of_an_empty_table_is_known)
{
	struct mem_fixture f;
	enum phca_mem_err err;

	mem_setup(&f, 5);
	for (uint32_t i = 0; i <= 7; i++) {
		for (uint32_t tag = 0; tag < 256; tag++) {
			err = PHCA_MEM_OK;
			CU_ASSERT_PTR_NULL(phca_mem_ptr(f.mem, i << 8 | tag, 0, 0, 1, 0, &err));
			CU_ASSERT_EQUAL(err, PHCA_MEM_KEY);
		}
	}
	CU_ASSERT_PTR_NULL(phca_mem_ptr(f.mem, UINT32_MAX, 0, 0, 1, 0, &err));
	CU_ASSERT_EQUAL(err, PHCA_MEM_KEY);
	mem_teardown(&f);
}

PHCA_TEST(table, errors_have_names)
{
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_OK), "ok");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_KEY), "key");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_PD), "pd");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_BOUNDS), "bounds");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_ACCESS), "access");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str((enum phca_mem_err)99), "?");
}
