/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What applications rely on: numbers and layouts are those of libibverbs, taken
 * from its own header, and statuses read as ibv_wc_status_str says them.
 */
#include <stddef.h>
#include <string.h>

#include <infiniband/verbs.h>

#include "phca_queue.h"
#include "phca_test.h"

#define SAME_FIELD(f) CU_ASSERT_EQUAL(offsetof(struct phca_wc, f), offsetof(struct ibv_wc, f))

PHCA_TEST(abi, completions_are_laid_out_as_in_verbs)
{
	CU_ASSERT_EQUAL(sizeof(struct phca_wc), sizeof(struct ibv_wc));
	SAME_FIELD(wr_id);
	SAME_FIELD(status);
	SAME_FIELD(opcode);
	SAME_FIELD(vendor_err);
	SAME_FIELD(byte_len);
	SAME_FIELD(qp_num);
	SAME_FIELD(src_qp);
	SAME_FIELD(wc_flags);
	SAME_FIELD(pkey_index);
	SAME_FIELD(slid);
	SAME_FIELD(sl);
	SAME_FIELD(dlid_path_bits);
	CU_ASSERT_EQUAL(offsetof(struct phca_wc, imm), offsetof(struct ibv_wc, imm_data));
	CU_ASSERT_EQUAL(sizeof(struct phca_sge), sizeof(struct ibv_sge));
	CU_ASSERT_EQUAL(offsetof(struct phca_sge, length), offsetof(struct ibv_sge, length));
	CU_ASSERT_EQUAL(offsetof(struct phca_sge, lkey), offsetof(struct ibv_sge, lkey));
}

PHCA_TEST(abi, opcodes_and_flags_are_numbered_as_in_verbs)
{
	static const struct { unsigned int ours, theirs; } pairs[] = {
		{ PHCA_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE },
		{ PHCA_WR_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_WRITE_WITH_IMM },
		{ PHCA_WR_SEND, IBV_WR_SEND }, { PHCA_WR_SEND_WITH_IMM, IBV_WR_SEND_WITH_IMM },
		{ PHCA_WR_RDMA_READ, IBV_WR_RDMA_READ },
		{ PHCA_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_CMP_AND_SWP },
		{ PHCA_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_ATOMIC_FETCH_AND_ADD },
		{ PHCA_WR_LOCAL_INV, IBV_WR_LOCAL_INV }, { PHCA_WR_BIND_MW, IBV_WR_BIND_MW },
		{ PHCA_WR_SEND_WITH_INV, IBV_WR_SEND_WITH_INV },
		{ PHCA_SEND_FENCE, IBV_SEND_FENCE }, { PHCA_SEND_SIGNALED, IBV_SEND_SIGNALED },
		{ PHCA_SEND_SOLICITED, IBV_SEND_SOLICITED }, { PHCA_SEND_INLINE, IBV_SEND_INLINE },
		{ PHCA_WC_SEND, IBV_WC_SEND }, { PHCA_WC_RDMA_WRITE, IBV_WC_RDMA_WRITE },
		{ PHCA_WC_RDMA_READ, IBV_WC_RDMA_READ }, { PHCA_WC_COMP_SWAP, IBV_WC_COMP_SWAP },
		{ PHCA_WC_FETCH_ADD, IBV_WC_FETCH_ADD }, { PHCA_WC_BIND_MW, IBV_WC_BIND_MW },
		{ PHCA_WC_LOCAL_INV, IBV_WC_LOCAL_INV }, { PHCA_WC_RECV, IBV_WC_RECV },
		{ PHCA_WC_RECV_RDMA_WITH_IMM, IBV_WC_RECV_RDMA_WITH_IMM },
		{ PHCA_WC_F_GRH, IBV_WC_GRH }, { PHCA_WC_F_WITH_IMM, IBV_WC_WITH_IMM },
		{ PHCA_WC_F_WITH_INV, IBV_WC_WITH_INV },
	};

	for (unsigned int i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		CU_ASSERT_EQUAL(pairs[i].ours, pairs[i].theirs);
}

PHCA_TEST(abi, statuses_are_numbered_as_in_verbs)
{
#define ROW(e, n, h) CU_ASSERT_EQUAL((unsigned int)PHCA_WC_##e, (unsigned int)IBV_WC_##e);
	PHCA_WC_STATUSES(ROW)
#undef ROW
}

PHCA_TEST(abi, statuses_are_told_apart_in_words)
{
	for (uint32_t s = 0; s < PHCA_WC_STATUS_COUNT; s++) {
		const char *text = phca_wc_status_str(s);

		CU_ASSERT_PTR_NOT_NULL_FATAL(text);
		CU_ASSERT_STRING_NOT_EQUAL(text, "unknown");
		for (uint32_t other = 0; other < s; other++)
			CU_ASSERT_STRING_NOT_EQUAL(text, phca_wc_status_str(other));
	}
	CU_ASSERT_STRING_EQUAL(phca_wc_status_str(PHCA_WC_STATUS_COUNT), "unknown");
	CU_ASSERT_STRING_EQUAL(phca_wc_status_str(UINT32_MAX), "unknown");
}
