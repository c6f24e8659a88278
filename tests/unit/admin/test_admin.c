/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The facts about messages that both sides rely on: every op has a name and two
 * lengths that fit a message; numbers are those of libibverbs, from its own header.
 */
#include <stddef.h>
#include <string.h>

#include <infiniband/verbs.h>

#include "phca_admin.h"
#include "phca_test.h"

static const unsigned int ops[] = {
#define ROW(e, n, s) PHCA_ADMIN_##e,
	PHCA_ADMIN_OPS(ROW)
#undef ROW
};
#define NB_OPS (sizeof(ops) / sizeof(ops[0]))

PHCA_TEST(admin, every_op_has_lengths_that_fit)
{
	for (size_t i = 0; i < NB_OPS; i++) {
		uint32_t req = phca_admin_req_len(ops[i]), ans = phca_admin_ans_len(ops[i]);

		CU_ASSERT(req >= PHCA_ADMIN_REQ_HDR && req <= sizeof(struct phca_admin_req));
		CU_ASSERT(ans >= PHCA_ADMIN_ANS_HDR && ans <= sizeof(struct phca_admin_ans));
		CU_ASSERT_EQUAL(req % 8, 0);
		CU_ASSERT_STRING_NOT_EQUAL(phca_admin_op_str(ops[i]), "?");
	}
	CU_ASSERT(sizeof(struct phca_admin_req) + PHCA_ADMIN_SEGS_MAX * sizeof(struct phca_admin_seg) <=
		PHCA_ADMIN_MSG_MAX);
	CU_ASSERT(PHCA_ADMIN_ANS_HDR + 8 + PHCA_ADMIN_GIDS_MAX * sizeof(struct phca_admin_gid) <= PHCA_ADMIN_MSG_MAX);
	CU_ASSERT(sizeof(struct phca_admin_ans) <= PHCA_ADMIN_MSG_MAX);
}

PHCA_TEST(admin, ops_that_are_none_have_no_length)
{
	static const uint32_t bad[] = { 0, 6, 9, 36, 255, 65535, UINT32_MAX };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(phca_admin_req_len(bad[i]), 0);
		CU_ASSERT_EQUAL(phca_admin_ans_len(bad[i]), 0);
		CU_ASSERT_STRING_EQUAL(phca_admin_op_str(bad[i]), "?");
	}
}

PHCA_TEST(admin, ops_have_numbers_of_their_own)
{
	for (size_t i = 0; i < NB_OPS; i++)
		for (size_t k = 0; k < i; k++)
			CU_ASSERT_NOT_EQUAL(ops[i], ops[k]);
}

/* What the server takes from the client as it is. */
PHCA_TEST(admin, numbers_are_those_of_verbs)
{
	CU_ASSERT_EQUAL(sizeof(((struct phca_admin_gid *)0)->gid), sizeof(union ibv_gid));
	CU_ASSERT_EQUAL(sizeof(((struct phca_admin_mcast *)0)->mgid), sizeof(union ibv_gid));
	CU_ASSERT_EQUAL(sizeof(struct phca_admin_note), 8);
	CU_ASSERT_EQUAL(sizeof(struct phca_admin_event), 8);
	CU_ASSERT_EQUAL(offsetof(struct phca_admin_ans, u), offsetof(struct phca_admin_req, u));
}
