/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory windows, one thread: what may be bound to what, who may use it, what invalidation does. */
#include <errno.h>

#include "mem_fixture.h"

#define IOVA 0x10000u
#define SIZE 256
#define QPN  0x11
#define ALL_REMOTE (PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC)

struct win {
	struct mem_fixture f;
	uint64_t room[SIZE / 8];
	uint8_t *b;         /* the region's bytes */
	uint32_t mr, pd2;
	uint32_t mw[3];     /* [type]: present rkey */
};

static void win_setup(struct win *x)
{
	mem_setup(&x->f, 8);
	memset(x->room, 0, sizeof(x->room));
	x->b = (uint8_t *)x->room;
	x->mr = mem_reg(&x->f, x->b, SIZE, IOVA, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_MW_BIND);
	x->pd2 = phca_pd_alloc(x->f.mem);
	for (int type = PHCA_MW_TYPE_1; type <= PHCA_MW_TYPE_2; type++)
		CU_ASSERT_EQUAL_FATAL(phca_mw_alloc(x->f.mem, x->f.pd, (enum phca_mw_type)type,
			&x->mw[type]), 0);
}

static void win_teardown(struct win *x)
{
	CU_ASSERT_EQUAL(phca_mem_nb_mw(x->f.mem), 2);
	CU_ASSERT_EQUAL(phca_mw_dealloc(x->f.mem, x->mw[1]), 0);
	CU_ASSERT_EQUAL(phca_mw_dealloc(x->f.mem, x->mw[2]), 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mw(x->f.mem), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x->f.mem, x->mr), 0);
	CU_ASSERT_EQUAL(phca_pd_free(x->f.mem, x->f.pd), 0);
	mem_teardown(&x->f);
}

/* The next tag, as ibv_inc_rkey. */
static uint32_t inc(uint32_t rkey)
{
	return (rkey & ~0xffu) | ((rkey + 1) & 0xff);
}

/* A bind that is allowed: 32 bytes from byte 64 of the region. */
static struct phca_mw_bind request(const struct win *x, int type)
{
	return (struct phca_mw_bind){ .rkey = x->mw[type], .new_rkey = inc(x->mw[type]),
		.mr_key = x->mr, .addr = IOVA + 64, .length = 32, .access = ALL_REMOTE,
		.pd = x->f.pd, .qpn = QPN };
}

static void bind_ok(struct win *x, int type, const struct phca_mw_bind *b)
{
	CU_ASSERT_EQUAL_FATAL(phca_mw_bind(x->f.mem, b), PHCA_MEM_OK);
	x->mw[type] = b->new_rkey;
}

#define REMOTE(key, pd, qpn, va, len, acc) phca_mem_remote(x.f.mem, key, pd, qpn, va, len, acc, &err)
#define REFUSED(why, key, pd, qpn, va, len, acc) do { \
	err = PHCA_MEM_OK; \
	CU_ASSERT_PTR_NULL(REMOTE(key, pd, qpn, va, len, acc)); \
	CU_ASSERT_EQUAL(err, why); \
} while (0)
#define READ PHCA_ACCESS_REMOTE_READ

PHCA_TEST(window, alloc_and_dealloc)
{
	struct mem_fixture f;
	uint8_t b[8];
	uint32_t rkey[2], mr, k = 0;

	mem_setup(&f, 3);
	CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd, (enum phca_mw_type)0, &k), -EINVAL);
	CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd, (enum phca_mw_type)3, &k), -EINVAL);
	CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd + 1, PHCA_MW_TYPE_1, &k), -EINVAL);
	CU_ASSERT_EQUAL(phca_mem_nb_mw(f.mem), 0);
	mr = mem_reg(&f, b, 8, 0, 0);
	CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd, PHCA_MW_TYPE_1, &rkey[0]), 0);
	CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd, PHCA_MW_TYPE_2, &rkey[1]), 0);
	CU_ASSERT(rkey[0] >> 8 != rkey[1] >> 8 && rkey[0] >> 8 != mr >> 8 && rkey[1] >> 8 != mr >> 8);
	CU_ASSERT_EQUAL(phca_mem_nb_mw(f.mem), 2);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(f.mem), 1);
	/* one table for both */
	CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd, PHCA_MW_TYPE_1, &k), -ENOSPC);
	CU_ASSERT_EQUAL(phca_mr_reg(f.mem, f.pd, b, 8, 0, 0, &k), -ENOSPC);
	/* each is what it is */
	CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, mr), -EINVAL);
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, rkey[0]), -EINVAL);
	CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, inc(rkey[0])), -EINVAL);
	CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, 0), -EINVAL);
	CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, UINT32_MAX), -EINVAL);
	/* windows hold their domain */
	CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, mr), 0);
	CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, rkey[1]), 0);
	CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, rkey[1]), -EINVAL);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, f.pd), -EBUSY);
	CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, rkey[0]), 0);
	CU_ASSERT_EQUAL(phca_pd_free(f.mem, f.pd), 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mw(f.mem), 0);
	mem_teardown(&f);
}

PHCA_TEST(window, entries_serve_regions_and_windows_in_turn)
{
	struct mem_fixture f;
	enum phca_mem_err err;
	uint8_t b[8];
	uint32_t last = 0, k;

	mem_setup(&f, 1);
	for (int i = 0; i < 600; i++) {
		struct phca_mw_bind bind = { .pd = f.pd };

		k = mem_reg(&f, b, 8, 0, PHCA_ACCESS_LOCAL_WRITE);
		CU_ASSERT_NOT_EQUAL(k, last);
		CU_ASSERT_PTR_EQUAL(phca_mem_remote(f.mem, k, f.pd, QPN, 0, 8, 0, &err), b);
		CU_ASSERT_PTR_NULL(phca_mem_remote(f.mem, last, f.pd, QPN, 0, 8, 0, &err));
		CU_ASSERT_EQUAL(err, PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(phca_mr_dereg(f.mem, k), 0);
		last = k;
		CU_ASSERT_EQUAL(phca_mw_alloc(f.mem, f.pd, PHCA_MW_TYPE_1, &k), 0);
		CU_ASSERT_NOT_EQUAL(k, last);
		CU_ASSERT_PTR_NULL(phca_mem_remote(f.mem, last, f.pd, QPN, 0, 8, 0, &err));
		/* length 0 moves the rkey on without a region */
		bind.rkey = k;
		bind.new_rkey = inc(inc(k));
		CU_ASSERT_EQUAL(phca_mw_bind(f.mem, &bind), PHCA_MEM_OK);
		CU_ASSERT_EQUAL(phca_mw_dealloc(f.mem, bind.new_rkey), 0);
		last = bind.new_rkey;
	}
	mem_teardown(&f);
}

PHCA_TEST(window, unbound_gives_no_access)
{
	enum phca_mem_err err;
	struct win x;

	win_setup(&x);
	for (int type = 1; type <= 2; type++) {
		REFUSED(PHCA_MEM_KEY, x.mw[type], x.f.pd, QPN, IOVA, 1, 0);
		REFUSED(PHCA_MEM_KEY, x.mw[type], x.f.pd, QPN, 0, 1, 0);
	}
	for (uint32_t key = 0; key < 256; key++) /* index 0 is nobody's */
		REFUSED(PHCA_MEM_KEY, key, x.f.pd, QPN, 0, 1, 0);
	REFUSED(PHCA_MEM_KEY, UINT32_MAX, x.f.pd, QPN, 0, 1, 0);
	win_teardown(&x);
}

PHCA_TEST(window, bounds_rights_domain_and_queue_pair_are_checked)
{
	enum phca_mem_err err;
	struct win x;

	win_setup(&x);
	for (int type = 1; type <= 2; type++) {
		struct phca_mw_bind b = request(&x, type);
		const uint64_t at = b.addr;
		uint32_t key;

		b.access = READ;
		bind_ok(&x, type, &b);
		key = b.new_rkey;
		CU_ASSERT_PTR_EQUAL(REMOTE(key, x.f.pd, QPN, at, 32, READ), x.b + 64);
		CU_ASSERT_PTR_EQUAL(REMOTE(key, x.f.pd, QPN, at + 31, 1, READ), x.b + 95);
		REFUSED(PHCA_MEM_BOUNDS, key, x.f.pd, QPN, at, 33, READ);
		REFUSED(PHCA_MEM_BOUNDS, key, x.f.pd, QPN, at + 32, 1, READ);
		REFUSED(PHCA_MEM_BOUNDS, key, x.f.pd, QPN, at - 1, 1, READ);
		REFUSED(PHCA_MEM_BOUNDS, key, x.f.pd, QPN, at + 1, UINT64_MAX, READ);
		REFUSED(PHCA_MEM_BOUNDS, key, x.f.pd, QPN, 0, 1, READ);
		REFUSED(PHCA_MEM_ACCESS, key, x.f.pd, QPN, at, 8, PHCA_ACCESS_REMOTE_WRITE);
		REFUSED(PHCA_MEM_ACCESS, key, x.f.pd, QPN, at, 8, PHCA_ACCESS_REMOTE_ATOMIC);
		REFUSED(PHCA_MEM_ACCESS, key, x.f.pd, QPN, at, 8, READ | PHCA_ACCESS_REMOTE_WRITE);
		REFUSED(PHCA_MEM_PD, key, x.pd2, QPN, at, 8, READ);
		REFUSED(PHCA_MEM_KEY, inc(key), x.f.pd, QPN, at, 8, READ);
		REFUSED(PHCA_MEM_KEY, b.rkey, x.f.pd, QPN, at, 8, READ); /* the one before */
		/* type 2A: nobody else; type 1: the whole domain (10.6.7.2) */
		if (type == PHCA_MW_TYPE_2)
			REFUSED(PHCA_MEM_QP, key, x.f.pd, QPN + 1, at, 8, READ);
		else
			CU_ASSERT_PTR_EQUAL(REMOTE(key, x.f.pd, QPN + 1, at, 8, READ), x.b + 64);
		/* C9-88: no bytes, no check */
		err = PHCA_MEM_KEY;
		CU_ASSERT_PTR_NULL(REMOTE(key ^ 0x80, x.pd2, 0, 0, 0, READ));
		CU_ASSERT_EQUAL(err, PHCA_MEM_OK);
	}
	win_teardown(&x);
}

PHCA_TEST(window, is_no_lkey)
{
	enum phca_mem_err err = PHCA_MEM_OK;
	uint8_t buf[8] = {0};
	struct phca_sge sge;
	struct win x;

	win_setup(&x);
	for (int type = 1; type <= 2; type++) {
		struct phca_mw_bind b = request(&x, type);

		bind_ok(&x, type, &b);
		sge = (struct phca_sge){ b.addr, 8, b.new_rkey };
		CU_ASSERT_PTR_NULL(phca_mem_ptr(x.f.mem, b.new_rkey, x.f.pd, b.addr, 8, 0, &err));
		CU_ASSERT_EQUAL(err, PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(phca_sg_gather(x.f.mem, x.f.pd, &sge, 1, 0, buf, 8), PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(phca_sg_scatter(x.f.mem, x.f.pd, &sge, 1, 0, buf, 8), PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(phca_sg_check(x.f.mem, x.f.pd, &sge, 1, 0), PHCA_MEM_KEY);
	}
	/* and a region's rkey has no queue pair */
	CU_ASSERT_PTR_EQUAL(REMOTE(x.mr, x.f.pd, 77, IOVA, 8, 0), x.b);
	REFUSED(PHCA_MEM_PD, x.mr, x.pd2, 77, IOVA, 8, 0);
	REFUSED(PHCA_MEM_ACCESS, x.mr, x.f.pd, 77, IOVA, 8, READ);
	REFUSED(PHCA_MEM_BOUNDS, x.mr, x.f.pd, 77, IOVA, SIZE + 1, 0);
	win_teardown(&x);
}

PHCA_TEST(window, bind_refuses_what_the_specification_forbids)
{
	uint32_t ro, nobind, other, far;
	enum phca_mem_err err;
	struct win x;

	win_setup(&x);
	ro = mem_reg(&x.f, x.b, SIZE, IOVA, PHCA_ACCESS_MW_BIND);
	nobind = mem_reg(&x.f, x.b, SIZE, IOVA, PHCA_ACCESS_LOCAL_WRITE);
	far = mem_reg(&x.f, x.b, SIZE, UINT64_MAX - SIZE, PHCA_ACCESS_MW_BIND | PHCA_ACCESS_LOCAL_WRITE);
	CU_ASSERT_EQUAL(phca_mr_reg(x.f.mem, x.pd2, x.b, SIZE, IOVA,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_MW_BIND, &other), 0);
#define TRY(why, ...) do { \
	struct phca_mw_bind b_ = request(&x, type), *b = &b_; \
	__VA_ARGS__; \
	CU_ASSERT_EQUAL(phca_mw_bind(x.f.mem, b), why); \
} while (0)
	for (int type = 1; type <= 2; type++) {
		TRY(PHCA_MEM_KEY, b->rkey = inc(b->rkey));
		TRY(PHCA_MEM_KEY, b->rkey = 0, b->new_rkey = 1);
		TRY(PHCA_MEM_KEY, b->rkey = b->new_rkey = UINT32_MAX);
		TRY(PHCA_MEM_KEY, b->rkey = b->new_rkey = x.mr); /* a region */
		TRY(PHCA_MEM_KEY, b->new_rkey += 256);
		TRY(PHCA_MEM_KEY, b->mr_key = inc(b->mr_key));
		TRY(PHCA_MEM_KEY, b->mr_key = 0);
		TRY(PHCA_MEM_KEY, b->mr_key = x.mw[3 - type]);
		TRY(PHCA_MEM_PD, b->pd = x.pd2); /* C10-72 */
		TRY(PHCA_MEM_PD, b->mr_key = other);
		TRY(PHCA_MEM_ACCESS, b->mr_key = nobind); /* C10-73 */
		TRY(PHCA_MEM_ACCESS, b->mr_key = ro, b->access = PHCA_ACCESS_REMOTE_WRITE); /* C10-74 */
		TRY(PHCA_MEM_ACCESS, b->mr_key = ro, b->access = PHCA_ACCESS_REMOTE_ATOMIC);
		TRY(PHCA_MEM_ACCESS, b->access = PHCA_ACCESS_LOCAL_WRITE);
		TRY(PHCA_MEM_ACCESS, b->access = PHCA_ACCESS_MW_BIND);
		TRY(PHCA_MEM_ACCESS, b->access = 0x40);
		TRY(PHCA_MEM_BOUNDS, b->addr = IOVA - 1); /* C10-75 */
		TRY(PHCA_MEM_BOUNDS, b->addr = IOVA, b->length = SIZE + 1);
		TRY(PHCA_MEM_BOUNDS, b->addr = IOVA + SIZE);
		TRY(PHCA_MEM_BOUNDS, b->length = UINT64_MAX);
		TRY(PHCA_MEM_BOUNDS, b->length = UINT64_MAX - 63); /* addr + length wraps to iova */
		TRY(PHCA_MEM_BOUNDS, b->mr_key = far, b->addr = UINT64_MAX - 31);
		REFUSED(PHCA_MEM_KEY, inc(x.mw[type]), x.f.pd, QPN, IOVA + 64, 1, 0);
		REFUSED(PHCA_MEM_KEY, x.mw[type], x.f.pd, QPN, IOVA + 64, 1, 0);
	}
	for (int type = 1; type <= 1; type++)
		TRY(PHCA_MEM_ACCESS, b->access |= PHCA_ACCESS_ZERO_BASED); /* o10-36.2.2 */
	for (int type = 2; type <= 2; type++)
		TRY(PHCA_MEM_BOUNDS, b->length = 0); /* o10-37.2.40 */
	/* nothing of that holds a region */
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, nobind), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, far), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, other), 0);
	/* the limits: all of the region; reading a region that may only be read */
	for (int type = 1; type <= 2; type++) {
		TRY(PHCA_MEM_OK, b->addr = IOVA, b->length = SIZE, b->mr_key = ro, b->access = READ;
			x.mw[type] = b->new_rkey);
		CU_ASSERT_PTR_EQUAL(REMOTE(x.mw[type], x.f.pd, QPN, IOVA, SIZE, READ), x.b);
	}
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, ro), -EBUSY);
#undef TRY
	CU_ASSERT_EQUAL(phca_mw_dealloc(x.f.mem, x.mw[1]), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, ro), -EBUSY);
	CU_ASSERT_EQUAL(phca_mem_invalidate(x.f.mem, x.f.pd, QPN, x.mw[2]), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, ro), 0);
	CU_ASSERT_EQUAL(phca_mw_alloc(x.f.mem, x.f.pd, PHCA_MW_TYPE_1, &x.mw[1]), 0);
	win_teardown(&x);
}

PHCA_TEST(window, type_1_is_bound_again_and_unbound)
{
	enum phca_mem_err err;
	struct phca_mw_bind b;
	uint32_t mr2, first;
	struct win x;

	win_setup(&x);
	first = x.mw[1];
	mr2 = mem_reg(&x.f, x.b, 64, 0, PHCA_ACCESS_MW_BIND);
	b = request(&x, 1);
	bind_ok(&x, 1, &b);
	b = request(&x, 1);
	b.mr_key = mr2;
	b.addr = 8;
	b.length = 16;
	b.access = READ;
	bind_ok(&x, 1, &b);
	REFUSED(PHCA_MEM_KEY, b.rkey, x.f.pd, QPN, IOVA + 64, 8, READ);
	CU_ASSERT_PTR_EQUAL(REMOTE(b.new_rkey, x.f.pd, QPN, 8, 16, READ), x.b + 8);
	REFUSED(PHCA_MEM_BOUNDS, b.new_rkey, x.f.pd, QPN, IOVA + 64, 8, READ);
	/* the region that it left is free, the other one is not */
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, mr2), -EBUSY);
	CU_ASSERT_PTR_EQUAL(phca_mem_ptr(x.f.mem, mr2, x.f.pd, 0, 8, 0, &err), x.b);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, x.mr), 0);
	/* a bind that is refused leaves the binding */
	b = request(&x, 1);
	CU_ASSERT_EQUAL(phca_mw_bind(x.f.mem, &b), PHCA_MEM_KEY);
	CU_ASSERT_PTR_EQUAL(REMOTE(x.mw[1], x.f.pd, QPN, 8, 16, READ), x.b + 8);
	/* length 0: no region is asked for */
	b.length = 0;
	bind_ok(&x, 1, &b);
	REFUSED(PHCA_MEM_KEY, b.rkey, x.f.pd, QPN, 8, 8, READ);
	REFUSED(PHCA_MEM_KEY, b.new_rkey, x.f.pd, QPN, 8, 8, READ);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, mr2), 0);
	/* the rkey of alloc still names it */
	CU_ASSERT_NOT_EQUAL(first, x.mw[1]);
	CU_ASSERT_EQUAL(phca_mw_dealloc(x.f.mem, inc(first)), -EINVAL);
	x.mw[1] = first;
	x.mr = mem_reg(&x.f, x.b, SIZE, IOVA, 0);
	win_teardown(&x);
}

PHCA_TEST(window, type_2_is_invalidated_before_it_is_bound_again)
{
	enum phca_mem_err err;
	struct phca_mw_bind b;
	struct win x;

	win_setup(&x);
#define INV(pd, qpn, key) phca_mem_invalidate(x.f.mem, pd, qpn, key)
	CU_ASSERT_EQUAL(INV(x.f.pd, QPN, x.mw[2]), PHCA_MEM_STATE);
	for (int round = 0; round < 300; round++) {
		const uint32_t qpn = QPN + (uint32_t)round % 3;

		b = request(&x, 2);
		b.qpn = qpn;
		bind_ok(&x, 2, &b);
		b = request(&x, 2);
		CU_ASSERT_EQUAL(phca_mw_bind(x.f.mem, &b), PHCA_MEM_STATE);
		CU_ASSERT_EQUAL(INV(x.f.pd, qpn, b.new_rkey), PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(INV(x.f.pd, qpn + 1, x.mw[2]), PHCA_MEM_QP);
		CU_ASSERT_EQUAL(INV(x.pd2, qpn, x.mw[2]), PHCA_MEM_PD);
		CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, x.mr), -EBUSY);
		CU_ASSERT_PTR_EQUAL(REMOTE(x.mw[2], x.f.pd, qpn, b.addr, 32, ALL_REMOTE), x.b + 64);
		CU_ASSERT_EQUAL(INV(x.f.pd, qpn, x.mw[2]), PHCA_MEM_OK);
		REFUSED(PHCA_MEM_KEY, x.mw[2], x.f.pd, qpn, b.addr, 8, READ);
		CU_ASSERT_EQUAL(INV(x.f.pd, qpn, x.mw[2]), PHCA_MEM_STATE);
	}
	/* what cannot be invalidated */
	b = request(&x, 1);
	bind_ok(&x, 1, &b);
	CU_ASSERT_EQUAL(INV(x.f.pd, QPN, x.mw[1]), PHCA_MEM_TYPE);
	CU_ASSERT_EQUAL(INV(x.f.pd, QPN, x.mr), PHCA_MEM_TYPE);
	CU_ASSERT_EQUAL(INV(x.pd2, QPN, x.mr), PHCA_MEM_PD);
	CU_ASSERT_EQUAL(INV(x.f.pd, QPN, 0), PHCA_MEM_KEY);
	CU_ASSERT_EQUAL(INV(x.f.pd, QPN, UINT32_MAX), PHCA_MEM_KEY);
	CU_ASSERT_PTR_EQUAL(REMOTE(x.mw[1], x.f.pd, QPN, b.addr, 8, READ), x.b + 64);
#undef INV
	win_teardown(&x);
}

PHCA_TEST(window, zero_based_counts_from_its_first_byte)
{
	struct phca_mw_bind b;
	enum phca_mem_err err;
	struct win x;

	win_setup(&x);
	b = request(&x, 2);
	b.access |= PHCA_ACCESS_ZERO_BASED;
	bind_ok(&x, 2, &b);
	CU_ASSERT_PTR_EQUAL(REMOTE(x.mw[2], x.f.pd, QPN, 0, 32, ALL_REMOTE), x.b + 64);
	CU_ASSERT_PTR_EQUAL(REMOTE(x.mw[2], x.f.pd, QPN, 31, 1, READ), x.b + 95);
	REFUSED(PHCA_MEM_BOUNDS, x.mw[2], x.f.pd, QPN, 31, 2, READ);
	REFUSED(PHCA_MEM_BOUNDS, x.mw[2], x.f.pd, QPN, UINT64_MAX, 1, READ);
	REFUSED(PHCA_MEM_BOUNDS, x.mw[2], x.f.pd, QPN, b.addr, 1, READ);
	/* the flag is no right that an access could ask for */
	REFUSED(PHCA_MEM_ACCESS, x.mw[2], x.f.pd, QPN, 0, 1, PHCA_ACCESS_ZERO_BASED);
	win_teardown(&x);
}

PHCA_TEST(window, dealloc_unbinds)
{
	struct phca_mw_bind b;
	enum phca_mem_err err;
	struct win x;

	win_setup(&x);
	for (int type = 1; type <= 2; type++) {
		b = request(&x, type);
		bind_ok(&x, type, &b);
		CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, x.mr), -EBUSY);
		CU_ASSERT_EQUAL(phca_mw_dealloc(x.f.mem, x.mw[type]), 0);
		REFUSED(PHCA_MEM_KEY, x.mw[type], x.f.pd, QPN, b.addr, 8, READ);
		b = request(&x, type);
		CU_ASSERT_EQUAL(phca_mw_bind(x.f.mem, &b), PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(phca_mem_invalidate(x.f.mem, x.f.pd, QPN, x.mw[type]), PHCA_MEM_KEY);
		CU_ASSERT_EQUAL(phca_mw_alloc(x.f.mem, x.f.pd, (enum phca_mw_type)type, &x.mw[type]), 0);
	}
	CU_ASSERT_EQUAL(phca_mr_dereg(x.f.mem, x.mr), 0);
	x.mr = mem_reg(&x.f, x.b, SIZE, IOVA, 0);
	win_teardown(&x);
}

PHCA_TEST(window, errors_have_names)
{
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_QP), "qp");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_TYPE), "type");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_STATE), "state");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_ALIGN), "align");
	CU_ASSERT_STRING_EQUAL(phca_mem_err_str(PHCA_MEM_ERR_COUNT), "?");
}
