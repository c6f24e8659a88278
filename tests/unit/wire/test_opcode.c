/* SPDX-License-Identifier: BSD-3-Clause */
/* The opcode table, against the facts of the specification written out again. */
#include <string.h>

#include "phca_test.h"
#include "phca_wire.h"

static const uint8_t ext_len[PHCA_HDR_COUNT] = {
	[PHCA_HDR_DETH] = 8, [PHCA_HDR_RETH] = 16, [PHCA_HDR_ATOMICETH] = 28, [PHCA_HDR_AETH] = 4,
	[PHCA_HDR_ATOMICACKETH] = 8, [PHCA_HDR_IMMDT] = 4, [PHCA_HDR_IETH] = 4,
	[PHCA_HDR_CNPRES] = 16,
};

static bool name_has(const struct phca_opcode_info *i, const char *part)
{
	return strstr(i->name, part) != NULL;
}

PHCA_TEST(opcode, offsets_and_lengths_follow_from_the_headers)
{
	int rows = 0;

	for (int op = 0; op < 256; op++) {
		const struct phca_opcode_info *i = &phca_opcode_table[op];
		int off = 12;

		if (i->name == NULL) {
			CU_ASSERT_EQUAL(i->flags | i->hdrs | i->hdr_len, 0);
			continue;
		}
		rows++;
		for (int h = 0; h < PHCA_HDR_COUNT; h++) {
			bool has = i->hdrs >> h & 1;

			CU_ASSERT_EQUAL(i->off[h], has ? off : 0);
			off += has ? ext_len[h] : 0;
		}
		CU_ASSERT_EQUAL(i->hdr_len, off);
	}
	CU_ASSERT_EQUAL(rows, 23 + 12 + 2 + 1); /* RC, UC, UD, CNP */
}

PHCA_TEST(opcode, flags_agree_with_the_name)
{
	for (int op = 0; op < 256; op++) {
		const struct phca_opcode_info *i = &phca_opcode_table[op];
		bool first, last, middle, send, imm;

		if (i->name == NULL)
			continue;
		CU_ASSERT_EQUAL(i->transport, op >> 5);
		CU_ASSERT_EQUAL(strncmp(i->name, phca_transport_str(op >> 5),
			strlen(phca_transport_str(op >> 5))), 0);
		CU_ASSERT_TRUE(name_has(i, phca_op_str(i->op)));
		middle = name_has(i, "MIDDLE");
		first = !middle && !name_has(i, "LAST");
		last = !middle && !name_has(i, "FIRST");
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_FIRST) != 0, first);
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_LAST) != 0, last);
		imm = name_has(i, "IMM");
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_IMM) != 0, imm);
		CU_ASSERT_EQUAL(i->hdrs >> PHCA_HDR_IMMDT & 1, imm);
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_INV) != 0, name_has(i, "INV"));
		CU_ASSERT_EQUAL(i->hdrs >> PHCA_HDR_IETH & 1, name_has(i, "INV"));
		send = i->op == PHCA_OP_SEND;
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_RECV) != 0, last && (send || imm));
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_PAYLOAD) != 0,
			send || i->op == PHCA_OP_WRITE || i->op == PHCA_OP_READ_RESP);
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_ACK) != 0,
			name_has(i, "ACK") || name_has(i, "RESP"));
		CU_ASSERT_EQUAL((i->flags & PHCA_OPF_REQUEST) != 0,
			i->op != PHCA_OP_CNP && (i->flags & PHCA_OPF_ACK) == 0);
		CU_ASSERT_EQUAL(i->hdrs >> PHCA_HDR_DETH & 1, i->transport == PHCA_TRANSPORT_UD);
		CU_ASSERT_EQUAL(i->hdrs >> PHCA_HDR_RETH & 1,
			(i->op == PHCA_OP_WRITE && first) || i->op == PHCA_OP_READ_REQ);
	}
}

PHCA_TEST(opcode, numbers_are_those_of_table_38)
{
	CU_ASSERT_EQUAL(PHCA_RC_SEND_ONLY_IMM, 0x05);
	CU_ASSERT_EQUAL(PHCA_RC_WRITE_ONLY_IMM, 0x0b);
	CU_ASSERT_EQUAL(PHCA_RC_READ_REQ, 0x0c);
	CU_ASSERT_EQUAL(PHCA_RC_ACK, 0x11);
	CU_ASSERT_EQUAL(PHCA_RC_ATOMIC_ACK, 0x12);
	CU_ASSERT_EQUAL(PHCA_RC_CMP_SWAP, 0x13);
	CU_ASSERT_EQUAL(PHCA_RC_FETCH_ADD, 0x14);
	CU_ASSERT_EQUAL(PHCA_UC_SEND_ONLY, 0x24);
	CU_ASSERT_EQUAL(PHCA_UC_WRITE_ONLY_IMM, 0x2b);
}

PHCA_TEST(opcode, names_out_of_range_are_question_marks)
{
	CU_ASSERT_STRING_EQUAL(phca_transport_str(PHCA_TRANSPORT_UD), "UD");
	CU_ASSERT_STRING_EQUAL(phca_transport_str(6), "?");
	CU_ASSERT_STRING_EQUAL(phca_transport_str((enum phca_transport)-1), "?");
	CU_ASSERT_STRING_EQUAL(phca_op_str(PHCA_OP_COUNT), "?");
	CU_ASSERT_STRING_EQUAL(phca_op_str((enum phca_op)-1), "?");
}
