/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions that callbacks reach: what they serve as well as others, what they refuse. */
#include <errno.h>

#include "mem_fixture.h"

#define IOVA 0x10000u
#define SIZE 256
#define QPN  0x11
#define READ PHCA_ACCESS_REMOTE_READ
#define WRITE PHCA_ACCESS_REMOTE_WRITE
#define ATOMIC PHCA_ACCESS_REMOTE_ATOMIC

/* Memory elsewhere: counts what is asked of it, notes what was outside. */
struct far {
	uint8_t b[SIZE];
	unsigned int reads, writes, outside;
	bool gone;
};

static bool far_has(struct far *m, uint64_t off, uint32_t len)
{
	bool inside = len > 0 && off <= SIZE && len <= SIZE - off;

	m->outside += !inside;
	return inside && !m->gone;
}

static int far_read(void *arg, uint64_t off, void *dst, uint32_t len)
{
	struct far *m = arg;

	m->reads++;
	if (!far_has(m, off, len))
		return -EFAULT;
	memcpy(dst, m->b + off, len);
	return 0;
}

static int far_write(void *arg, uint64_t off, const void *src, uint32_t len)
{
	struct far *m = arg;

	m->writes++;
	if (!far_has(m, off, len))
		return -EFAULT;
	memcpy(m->b + off, src, len);
	return 0;
}

static const struct phca_mr_io far_io = { far_read, far_write };

struct io {
	struct mem_fixture f;
	struct far m;
	uint32_t key;
};

static void io_setup(struct io *x, uint32_t access)
{
	mem_setup(&x->f, 8);
	memset(&x->m, 0, sizeof(x->m));
	for (uint32_t i = 0; i < SIZE; i++)
		x->m.b[i] = (uint8_t)i;
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg_io(x->f.mem, x->f.pd, &far_io, &x->m, SIZE, IOVA, access, &x->key), 0);
}

static void io_teardown(struct io *x)
{
	CU_ASSERT_EQUAL(x->m.outside, 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x->f.mem, x->key), 0);
	CU_ASSERT_EQUAL(phca_pd_free(x->f.mem, x->f.pd), 0);
	mem_teardown(&x->f);
}

PHCA_TEST(io, registration_is_checked)
{
	static const struct phca_mr_io no_read = { NULL, far_write }, no_write = { far_read, NULL };
	struct mem_fixture f;
	struct far m;
	uint32_t k;

	mem_setup(&f, 1);
#define REG(io, pd, len, iova, acc) phca_mr_reg_io(f.mem, pd, io, &m, len, iova, acc, &k)
	CU_ASSERT_EQUAL(REG(NULL, f.pd, 8, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(&no_read, f.pd, 8, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(&no_write, f.pd, 8, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(&far_io, f.pd, 0, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(&far_io, f.pd + 1, 8, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(&far_io, f.pd, 8, UINT64_MAX - 6, 0), -EINVAL);
	CU_ASSERT_EQUAL(REG(&far_io, f.pd, 8, 0, WRITE), -EINVAL);
	CU_ASSERT_EQUAL(REG(&far_io, f.pd, 8, 0, 0x80000000u), -EINVAL);
	CU_ASSERT_EQUAL(phca_mr_reg(f.mem, f.pd, &m, 8, 0, 0x80000000u, &k), -EINVAL);
	CU_ASSERT_EQUAL(REG(&far_io, f.pd, UINT64_MAX, 0, 0), 0); /* a whole address space */
	CU_ASSERT_EQUAL(REG(&far_io, f.pd, 8, 0, 0), -ENOSPC);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(f.mem), 1);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, k), 0);
	mem_teardown(&f);
}

PHCA_TEST(io, peer_reads_and_writes)
{
	uint8_t buf[SIZE];
	struct io x;

	io_setup(&x, PHCA_ACCESS_LOCAL_WRITE | READ | WRITE);
	CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, x.key, x.f.pd, QPN, IOVA + 7, buf, 100), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(memcmp(buf, x.m.b + 7, 100), 0);
	memset(buf, 0xee, sizeof(buf));
	CU_ASSERT_EQUAL(phca_mem_write(x.f.mem, x.key, x.f.pd, QPN, IOVA + SIZE - 3, buf, 3), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(memcmp(x.m.b + SIZE - 3, buf, 3), 0);
	CU_ASSERT_EQUAL(x.m.b[SIZE - 4], SIZE - 4);
	CU_ASSERT(x.m.reads == 1 && x.m.writes == 1);
	/* no bytes: no call, whatever the key is (C9-88) */
	CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, 0xbad, x.f.pd, QPN, 0, buf, 0), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(phca_mem_write(x.f.mem, x.key, x.f.pd, QPN, 0, buf, 0), PHCA_MEM_OK);
	CU_ASSERT(x.m.reads == 1 && x.m.writes == 1);
	io_teardown(&x);
}

/* Both kinds of regions refuse the same, and nothing reaches the callbacks or the memory. */
PHCA_TEST(io, refusals_are_those_of_memory)
{
	static const uint32_t rights[] = { 0, READ, PHCA_ACCESS_LOCAL_WRITE | WRITE,
		PHCA_ACCESS_LOCAL_WRITE | READ | WRITE };

	for (size_t n = 0; n < sizeof(rights) / sizeof(rights[0]); n++) {
		uint32_t acc = rights[n], key[2];
		uint8_t near[SIZE], buf[SIZE] = { 0 };
		struct io x;

		io_setup(&x, acc);
		memcpy(near, x.m.b, SIZE);
		key[0] = mem_reg(&x.f, near, SIZE, IOVA, acc);
		key[1] = x.key;
		for (int i = 0; i < 2; i++) {
			uint32_t k = key[i], pd = x.f.pd;
			enum phca_mem_err r = acc & READ ? PHCA_MEM_OK : PHCA_MEM_ACCESS;
			enum phca_mem_err w = acc & WRITE ? PHCA_MEM_OK : PHCA_MEM_ACCESS;

			CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, k, pd, QPN, IOVA, buf, SIZE), r);
			CU_ASSERT_EQUAL(phca_mem_check(x.f.mem, k, pd, QPN, IOVA, SIZE, READ), r);
			CU_ASSERT_EQUAL(phca_mem_write(x.f.mem, k, pd, QPN, IOVA, near, SIZE), w);
			CU_ASSERT_EQUAL(phca_mem_check(x.f.mem, k, pd, QPN, IOVA, SIZE, WRITE), w);
			x.m.reads = x.m.writes = 0;
			CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, k ^ 1, pd, QPN, IOVA, buf, 1), PHCA_MEM_KEY);
			CU_ASSERT_EQUAL(phca_mem_write(x.f.mem, k ^ 1, pd, QPN, IOVA, buf, 1), PHCA_MEM_KEY);
			CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, k, pd + 1, QPN, IOVA, buf, 1), PHCA_MEM_PD);
			CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, k, pd, QPN, IOVA - 1, buf, 1), PHCA_MEM_BOUNDS);
			CU_ASSERT_EQUAL(phca_mem_write(x.f.mem, k, pd, QPN, IOVA + 1, buf, SIZE), PHCA_MEM_BOUNDS);
			CU_ASSERT_EQUAL(phca_mem_check(x.f.mem, k, pd, QPN, IOVA + SIZE, 1, READ), PHCA_MEM_BOUNDS);
			CU_ASSERT_EQUAL(phca_mem_check(x.f.mem, k, pd, QPN, UINT64_MAX, 2, READ), PHCA_MEM_BOUNDS);
			CU_ASSERT(x.m.reads == 0 && x.m.writes == 0);
		}
		CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, key[0]), 0);
		io_teardown(&x);
	}
}

PHCA_TEST(io, nobody_gets_a_pointer)
{
	enum phca_mem_err err = PHCA_MEM_OK;
	uint64_t orig = 1;
	struct io x;

	io_setup(&x, PHCA_ACCESS_ALL);
	CU_ASSERT_PTR_NULL(phca_mem_ptr(x.f.mem, x.key, x.f.pd, IOVA, 8, 0, &err));
	CU_ASSERT_EQUAL(err, PHCA_MEM_IO);
	CU_ASSERT_PTR_NULL(phca_mem_remote(x.f.mem, x.key, x.f.pd, QPN, IOVA + 8, 8, READ, &err));
	CU_ASSERT_EQUAL(err, PHCA_MEM_IO);
	CU_ASSERT_FALSE(phca_mem_atomic(x.f.mem, x.key, x.f.pd, QPN, IOVA, PHCA_ATOMIC_FETCH_ADD, 0, 1, &orig, &err));
	CU_ASSERT_EQUAL(err, PHCA_MEM_IO);
	CU_ASSERT_FALSE(phca_mem_atomic(x.f.mem, x.key, x.f.pd, QPN, IOVA + 4, PHCA_ATOMIC_FETCH_ADD, 0, 1, &orig,
		&err));
	CU_ASSERT_EQUAL(err, PHCA_MEM_ALIGN);
	CU_ASSERT_EQUAL(phca_mem_check(x.f.mem, x.key, x.f.pd, QPN, IOVA, 8, ATOMIC), PHCA_MEM_IO);
	CU_ASSERT_EQUAL(phca_mem_check(x.f.mem, x.key, x.f.pd, QPN, IOVA, 8, READ | WRITE), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(x.m.b[0], 0);
	CU_ASSERT(x.m.reads == 0 && x.m.writes == 0);
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_IO), "io");
	io_teardown(&x);
}

PHCA_TEST(io, lists_of_both_kinds)
{
	uint8_t near[64], buf[SIZE], out[SIZE];
	struct phca_sge sge[3];
	uint32_t key;
	struct io x;

	io_setup(&x, PHCA_ACCESS_LOCAL_WRITE);
	memset(near, 0xaa, sizeof(near));
	key = mem_reg(&x.f, near, sizeof(near), 0, PHCA_ACCESS_LOCAL_WRITE);
	sge[0] = (struct phca_sge){ IOVA + 10, 20, x.key };
	sge[1] = (struct phca_sge){ 8, 30, key };
	sge[2] = (struct phca_sge){ IOVA + 100, 50, x.key };
	CU_ASSERT_EQUAL(phca_sg_check(x.f.mem, x.f.pd, sge, 3, PHCA_ACCESS_LOCAL_WRITE), PHCA_MEM_OK);
	for (uint32_t off = 0; off < 100; off++) { /* every way to lie over the seams */
		uint32_t len = 100 - off;

		for (uint32_t i = 0; i < len; i++)
			buf[i] = (uint8_t)(off * 3 + i);
		CU_ASSERT_EQUAL(phca_sg_scatter(x.f.mem, x.f.pd, sge, 3, off, buf, len), PHCA_MEM_OK);
		memset(out, 0, sizeof(out));
		CU_ASSERT_EQUAL(phca_sg_gather(x.f.mem, x.f.pd, sge, 3, off, out, len), PHCA_MEM_OK);
		CU_ASSERT_EQUAL(memcmp(buf, out, len), 0);
	}
	/* neighbours are as they were */
	CU_ASSERT(x.m.b[9] == 9 && x.m.b[30] == 30 && x.m.b[99] == 99 && x.m.b[150] == 150);
	CU_ASSERT(near[7] == 0xaa && near[38] == 0xaa);
	/* refused before a byte moves */
	sge[0].lkey ^= 1;
	x.m.reads = x.m.writes = 0;
	CU_ASSERT_EQUAL(phca_sg_scatter(x.f.mem, x.f.pd, sge, 1, 0, buf, 20), PHCA_MEM_KEY);
	CU_ASSERT_EQUAL(phca_sg_check(x.f.mem, x.f.pd, sge, 1, 0), PHCA_MEM_KEY);
	sge[0] = (struct phca_sge){ IOVA + SIZE - 8, 16, x.key };
	CU_ASSERT_EQUAL(phca_sg_gather(x.f.mem, x.f.pd, sge, 1, 0, out, 16), PHCA_MEM_BOUNDS);
	/* an element that wraps */
	sge[0] = (struct phca_sge){ UINT64_MAX - 8, 64, x.key };
	CU_ASSERT_EQUAL(phca_sg_gather(x.f.mem, x.f.pd, sge, 1, 16, out, 8), PHCA_MEM_BOUNDS);
	CU_ASSERT(x.m.reads == 0 && x.m.writes == 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, key), 0);
	io_teardown(&x);
}

PHCA_TEST(io, list_may_not_write_what_is_read_only)
{
	uint8_t buf[16] = { 1 };
	struct io x;

	io_setup(&x, READ);
	struct phca_sge sge = { IOVA, 16, x.key };

	CU_ASSERT_EQUAL(phca_sg_scatter(x.f.mem, x.f.pd, &sge, 1, 0, buf, 16), PHCA_MEM_ACCESS);
	CU_ASSERT_EQUAL(phca_sg_check(x.f.mem, x.f.pd, &sge, 1, PHCA_ACCESS_LOCAL_WRITE), PHCA_MEM_ACCESS);
	CU_ASSERT_EQUAL(phca_sg_gather(x.f.mem, x.f.pd, &sge, 1, 0, buf, 16), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(x.m.writes, 0);
	io_teardown(&x);
}

PHCA_TEST(io, memory_that_is_gone_is_a_fault)
{
	uint8_t buf[16];
	struct io x;

	io_setup(&x, PHCA_ACCESS_LOCAL_WRITE | READ | WRITE);
	struct phca_sge sge = { IOVA, 16, x.key };

	x.m.gone = true;
	CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, x.key, x.f.pd, QPN, IOVA, buf, 16), PHCA_MEM_FAULT);
	CU_ASSERT_EQUAL(phca_mem_write(x.f.mem, x.key, x.f.pd, QPN, IOVA, buf, 16), PHCA_MEM_FAULT);
	CU_ASSERT_EQUAL(phca_sg_gather(x.f.mem, x.f.pd, &sge, 1, 0, buf, 16), PHCA_MEM_FAULT);
	CU_ASSERT_EQUAL(phca_sg_scatter(x.f.mem, x.f.pd, &sge, 1, 0, buf, 16), PHCA_MEM_FAULT);
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_FAULT), "fault");
	io_teardown(&x);
}

PHCA_TEST(io, windows)
{
	for (int type = PHCA_MW_TYPE_1; type <= PHCA_MW_TYPE_2; type++) {
		bool two = type == PHCA_MW_TYPE_2;
		enum phca_mem_err err;
		uint64_t orig;
		uint8_t buf[8];
		uint32_t rkey;
		struct io x;

		io_setup(&x, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_MW_BIND);
		CU_ASSERT_EQUAL_FATAL(phca_mw_alloc(x.f.mem, x.f.pd, (enum phca_mw_type)type, &rkey), 0);
		struct phca_mw_bind b = { .addr = IOVA + 64, .length = 32, .rkey = rkey, .new_rkey = rkey ^ 1,
			.mr_key = x.key, .access = READ | WRITE | ATOMIC | (two ? PHCA_ACCESS_ZERO_BASED : 0),
			.pd = x.f.pd, .qpn = QPN };
		uint64_t va = two ? 0 : IOVA + 64;

		CU_ASSERT_EQUAL_FATAL(phca_mw_bind(x.f.mem, &b), PHCA_MEM_OK);
		rkey = b.new_rkey;
		CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, rkey, x.f.pd, QPN, va + 24, buf, 8), PHCA_MEM_OK);
		CU_ASSERT(buf[0] == 88 && buf[7] == 95);
		CU_ASSERT_EQUAL(phca_mem_write(x.f.mem, rkey, x.f.pd, QPN, va, buf, 8), PHCA_MEM_OK);
		CU_ASSERT(x.m.b[64] == 88 && x.m.b[71] == 95 && x.m.b[63] == 63 && x.m.b[72] == 72);
		CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, rkey, x.f.pd, QPN, va + 25, buf, 8), PHCA_MEM_BOUNDS);
		CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, rkey, x.f.pd, QPN + 1, va, buf, 8),
			two ? PHCA_MEM_QP : PHCA_MEM_OK);
		CU_ASSERT_FALSE(phca_mem_atomic(x.f.mem, rkey, x.f.pd, QPN, va, PHCA_ATOMIC_FETCH_ADD, 0, 1, &orig,
			&err));
		CU_ASSERT_EQUAL(err, PHCA_MEM_IO);
		/* the region's own rkey gives nothing, and it stays while a window is bound to it */
		CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, x.key, x.f.pd, QPN, IOVA, buf, 8), PHCA_MEM_ACCESS);
		CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, x.key), -EBUSY);
		CU_ASSERT_EQUAL(phca_mw_dealloc(x.f.mem, rkey), 0);
		CU_ASSERT_EQUAL(phca_mem_read(x.f.mem, rkey, x.f.pd, QPN, va, buf, 8), PHCA_MEM_KEY);
		io_teardown(&x);
	}
}

PHCA_TEST(io, entries_serve_both_kinds_in_turn)
{
	struct mem_fixture f;
	struct far m = { .gone = false };
	uint8_t near[8] = "memory", buf[8];
	uint32_t k;

	mem_setup(&f, 1);
	memcpy(m.b, "callback", 8);
	for (int i = 0; i < 300; i++) {
		k = mem_reg(&f, near, 8, 0, READ);
		CU_ASSERT_EQUAL(phca_mem_read(f.mem, k, f.pd, QPN, 0, buf, 8), PHCA_MEM_OK);
		CU_ASSERT_EQUAL(memcmp(buf, "memory\0", 8), 0);
		CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, k), 0);
		CU_ASSERT_EQUAL(phca_mr_reg_io(f.mem, f.pd, &far_io, &m, 8, 0, READ, &k), 0);
		CU_ASSERT_EQUAL(phca_mem_read(f.mem, k, f.pd, QPN, 0, buf, 8), PHCA_MEM_OK);
		CU_ASSERT_EQUAL(memcmp(buf, "callback", 8), 0);
		CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, k), 0);
		CU_ASSERT_EQUAL(phca_mem_read(f.mem, k, f.pd, QPN, 0, buf, 8), PHCA_MEM_KEY);
	}
	CU_ASSERT_EQUAL(m.reads, 300);
	mem_teardown(&f);
}
