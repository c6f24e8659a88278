/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What programs compiled against rdma-core 44 or newer rely on without asking: where
 * members are, that functions they call through pointers are there, and texts and rates,
 * compared with the distribution's own libibverbs.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include <infiniband/sa.h>
#include <rdma/ib_user_sa.h>
#include <rdma/ib_user_verbs.h>

#include "control.h"
#include "phca_test.h"

PHCA_TEST(abi, public_structs_are_where_programs_look)
{
	CU_ASSERT_EQUAL(sizeof(struct ibv_context), 328);
	CU_ASSERT_EQUAL(offsetof(struct ibv_context, ops.poll_cq), 96);
	CU_ASSERT_EQUAL(offsetof(struct ibv_context, ops.post_send), 208);
	CU_ASSERT_EQUAL(offsetof(struct ibv_context, cmd_fd), 264);
	CU_ASSERT_EQUAL(offsetof(struct ibv_context, abi_compat), 320);
	CU_ASSERT_EQUAL(sizeof(struct ibv_device), 664);
	CU_ASSERT_EQUAL(sizeof(struct ibv_device_attr), 232);
	CU_ASSERT_EQUAL(sizeof(struct ibv_device_attr_ex), 400);
	CU_ASSERT_EQUAL(sizeof(struct ibv_qp), 160);
	CU_ASSERT_EQUAL(sizeof(struct ibv_cq), 128);
	CU_ASSERT_EQUAL(sizeof(struct ibv_cq_ex), 288);
	CU_ASSERT_EQUAL(sizeof(struct ibv_srq), 128);
	CU_ASSERT_EQUAL(sizeof(struct ibv_mr), 48);
	CU_ASSERT_EQUAL(sizeof(struct ibv_wc), sizeof(struct phca_wc));
	CU_ASSERT_EQUAL(sizeof(struct ibv_send_wr), 128);
}

PHCA_TEST(abi, ours_begin_with_the_public_struct_and_have_slack)
{
	/* struct verbs_device of rdma-core: ops right behind the public part. */
	CU_ASSERT_EQUAL(offsetof(struct vdev, ops), sizeof(struct ibv_device));
	CU_ASSERT(offsetof(struct vdev, entry) >= sizeof(struct ibv_device) + 128);
	/* Newer headers have 48 bytes more in front, whose size sz tells. */
	CU_ASSERT(offsetof(struct vctx, v) >= 64);
	CU_ASSERT_EQUAL(offsetof(struct verbs_context, context), offsetof(struct verbs_context, sz) + sizeof(size_t));
	CU_ASSERT(offsetof(struct vqp, entry) >= 360); /* ibv_qp_ex of newer headers */
	CU_ASSERT_EQUAL(offsetof(struct vqp, qp), 0);
	CU_ASSERT_EQUAL(offsetof(struct vcq, cq), 0);
	CU_ASSERT_EQUAL(offsetof(struct vsrq, srq), 0);
	CU_ASSERT_EQUAL(offsetof(struct vmr, mr), 0);
	CU_ASSERT_EQUAL(offsetof(struct vah, ah), 0);
	CU_ASSERT_EQUAL(offsetof(struct vchan, channel), 0);
}

PHCA_TEST(abi, numbers_are_found_again)
{
	struct vtable *t = calloc(1, sizeof(*t));
	int a, b;

	CU_ASSERT_PTR_NULL(vtable_get(t, 5));
	CU_ASSERT_EQUAL(vtable_set(t, 0xffffff, &a), 0);
	CU_ASSERT_EQUAL(vtable_set(t, 5, &b), 0);
	CU_ASSERT_PTR_EQUAL(vtable_get(t, 0xffffff), &a);
	CU_ASSERT_PTR_EQUAL(vtable_get(t, 5), &b);
	CU_ASSERT_PTR_NULL(vtable_get(t, 6));
	CU_ASSERT_EQUAL(vtable_set(t, 5, NULL), 0);
	CU_ASSERT_PTR_NULL(vtable_get(t, 5));
	CU_ASSERT_EQUAL(vtable_set(t, 1u << 24, &a), -EINVAL);
	CU_ASSERT_PTR_NULL(vtable_get(t, UINT32_MAX));
	vtable_fini(t);
	free(t);
}

/* ----------------------------------------------- as the distribution's library says it */

#define THEIRS "libibverbs.so.1"
#define CALL(ret, lib, name, arg) \
	(((ret (*)(int))(uintptr_t)dlsym(lib, name))(arg))

PHCA_TEST(words, texts_are_those_of_the_distribution)
{
	void *lib = dlopen(THEIRS, RTLD_NOW | RTLD_LOCAL);

	if (lib == NULL)
		PHCA_SKIP("libibverbs1 is not installed");
	for (int i = -1; i < 30; i++) {
		CU_ASSERT_STRING_EQUAL(ibv_wc_status_str((enum ibv_wc_status)i),
			CALL(const char *, lib, "ibv_wc_status_str", i));
		CU_ASSERT_STRING_EQUAL(ibv_event_type_str((enum ibv_event_type)i),
			CALL(const char *, lib, "ibv_event_type_str", i));
		CU_ASSERT_STRING_EQUAL(ibv_port_state_str((enum ibv_port_state)i),
			CALL(const char *, lib, "ibv_port_state_str", i));
		CU_ASSERT_STRING_EQUAL(ibv_node_type_str((enum ibv_node_type)i),
			CALL(const char *, lib, "ibv_node_type_str", i));
	}
	dlclose(lib);
}

PHCA_TEST(words, rates_are_those_of_the_distribution)
{
	static const int mbps[] = { -1, 0, 1, 2500, 5000, 10000, 14062, 20000, 25781, 28125, 40000, 53125,
		56250, 100000, 103125, 112500, 168750, 206250, 309375, 425000, 637500, 850000, 1275000 };
	void *lib = dlopen(THEIRS, RTLD_NOW | RTLD_LOCAL);

	if (lib == NULL)
		PHCA_SKIP("libibverbs1 is not installed");
	for (int i = 0; i < 40; i++) {
		CU_ASSERT_EQUAL(ibv_rate_to_mult((enum ibv_rate)i), CALL(int, lib, "ibv_rate_to_mult", i));
		CU_ASSERT_EQUAL(ibv_rate_to_mbps((enum ibv_rate)i), CALL(int, lib, "ibv_rate_to_mbps", i));
	}
	for (int i = -1; i < 500; i++)
		CU_ASSERT_EQUAL((int)mult_to_ibv_rate(i), CALL(int, lib, "mult_to_ibv_rate", i));
	for (size_t i = 0; i < sizeof(mbps) / sizeof(mbps[0]); i++)
		CU_ASSERT_EQUAL((int)mbps_to_ibv_rate(mbps[i]), CALL(int, lib, "mbps_to_ibv_rate", mbps[i]));
	dlclose(lib);
}

/* Structs of bytes that are all different, copied by both libraries. */
static void count_up(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)(i * 7 + 1);
}

#define COPY(lib, name, dst, src) \
	(((void (*)(void *, void *))(uintptr_t)dlsym(lib, name))(dst, src))

void ibv_copy_ah_attr_from_kern(struct ibv_ah_attr *dst, struct ib_uverbs_ah_attr *src);
void ibv_copy_qp_attr_from_kern(struct ibv_qp_attr *dst, struct ib_uverbs_qp_attr *src);
void ibv_copy_path_rec_from_kern(struct ibv_sa_path_rec *dst, struct ib_user_path_rec *src);
void ibv_copy_path_rec_to_kern(struct ib_user_path_rec *dst, struct ibv_sa_path_rec *src);

PHCA_TEST(kern, copies_are_those_of_the_distribution)
{
	void *lib = dlopen(THEIRS, RTLD_NOW | RTLD_LOCAL);
	struct ib_uverbs_ah_attr kah;
	struct ib_uverbs_qp_attr kqp;
	struct ib_user_path_rec kpath, to[2];
	struct ibv_ah_attr ah[2];
	struct ibv_qp_attr qp[2];
	struct ibv_sa_path_rec path[2];

	if (lib == NULL)
		PHCA_SKIP("libibverbs1 is not installed");
	count_up(&kah, sizeof(kah));
	count_up(&kqp, sizeof(kqp));
	count_up(&kpath, sizeof(kpath));
	memset(ah, 0, sizeof(ah));
	memset(qp, 0, sizeof(qp));
	memset(path, 0, sizeof(path));
	memset(to, 0, sizeof(to));
	ibv_copy_ah_attr_from_kern(&ah[0], &kah);
	COPY(lib, "ibv_copy_ah_attr_from_kern", &ah[1], &kah);
	CU_ASSERT_EQUAL(memcmp(&ah[0], &ah[1], sizeof(ah[0])), 0);
	CU_ASSERT_EQUAL(ah[0].sl, kah.sl);
	ibv_copy_qp_attr_from_kern(&qp[0], &kqp);
	COPY(lib, "ibv_copy_qp_attr_from_kern", &qp[1], &kqp);
	CU_ASSERT_EQUAL(memcmp(&qp[0], &qp[1], sizeof(qp[0])), 0);
	CU_ASSERT_EQUAL(qp[0].alt_timeout, kqp.alt_timeout);
	ibv_copy_path_rec_from_kern(&path[0], &kpath);
	COPY(lib, "ibv_copy_path_rec_from_kern", &path[1], &kpath);
	CU_ASSERT_EQUAL(memcmp(&path[0], &path[1], sizeof(path[0])), 0);
	CU_ASSERT_EQUAL(path[0].preference, kpath.preference);
	ibv_copy_path_rec_to_kern(&to[0], &path[0]);
	COPY(lib, "ibv_copy_path_rec_to_kern", &to[1], &path[0]);
	CU_ASSERT_EQUAL(memcmp(&to[0], &to[1], sizeof(to[0])), 0);
	CU_ASSERT_EQUAL(memcmp(to[0].dgid, kpath.dgid, 16), 0);
	dlclose(lib);
}
