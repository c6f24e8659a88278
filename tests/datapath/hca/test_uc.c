/* SPDX-License-Identifier: BSD-3-Clause */
/* Inbound UC: messages, PSNs, opcode sequence, WRITE; 9.8.2.2. */
#include <string.h>

#include "lab.h"

struct uc {
	struct lab *l;
	struct lab_qp q;
};

static struct uc uc_open(void)
{
	struct uc u = { .l = lab_open(NULL) };

	u.q = lab_qp(u.l, PHCA_QPT_UC, 0);
	lab_post(&u.q, 4);
	return u;
}

static void uc_close(struct uc *u)
{
	lab_qp_free(u->l, &u->q);
	lab_close(u->l);
}

static void pkt(struct uc *u, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t seed)
{
	struct phca_wire_hdr h = lab_hdr(u->l, op, u->q.qpn, psn);

	lab_send(u->l, &h, n, seed);
}

static void rdma(struct uc *u, enum phca_opcode op, uint32_t psn, uint32_t n, uint64_t off,
		uint32_t dma_len, uint8_t seed)
{
	struct phca_wire_hdr h = lab_hdr(u->l, op, u->q.qpn, psn);

	h.va = (uintptr_t)u->q.buf + off;
	h.rkey = u->q.lkey;
	h.dma_len = dma_len;
	lab_send(u->l, &h, n, seed);
}

static void expect_message(struct uc *u, uint64_t id, uint32_t len)
{
	struct phca_wc wc;

	lab_turn(u->l, 3);
	CU_ASSERT_FATAL(lab_poll(&u->q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.wr_id, id);
	CU_ASSERT_EQUAL(wc.byte_len, len);
	CU_ASSERT_FALSE(lab_poll(&u->q, &wc));
}

static void expect_none(struct uc *u, enum phca_verdict v, uint64_t n)
{
	struct phca_wc wc;

	lab_turn(u->l, 3);
	CU_ASSERT_EQUAL(lab_verdict(u->l, v), n);
	CU_ASSERT_FALSE(lab_poll(&u->q, &wc));
}

PHCA_TEST(uc, send_only)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_ONLY, 0, 13, 9);
	expect_message(&u, 0, 13);
	CU_ASSERT(lab_is(lab_buf(&u.q, 0), 13, 9));
	uc_close(&u);
}

PHCA_TEST(uc, empty_message)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_ONLY, 0, 0, 0);
	expect_message(&u, 0, 0);
	uc_close(&u);
}

PHCA_TEST(uc, three_packets_are_one_message)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_FIRST, 0xffffff, LAB_MTU, 0); /* PSN wraps */
	pkt(&u, PHCA_UC_SEND_MIDDLE, 0, LAB_MTU, 1);
	pkt(&u, PHCA_UC_SEND_LAST, 1, 77, 2);
	expect_message(&u, 0, 2 * LAB_MTU + 77);
	CU_ASSERT(lab_is(lab_buf(&u.q, 0), LAB_MTU, 0));
	CU_ASSERT(lab_is(lab_buf(&u.q, 0) + LAB_MTU, LAB_MTU, 1));
	CU_ASSERT(lab_is(lab_buf(&u.q, 0) + 2 * LAB_MTU, 77, 2));
	CU_ASSERT_EQUAL(lab_info(&u.q).stats.rx_direct, 1);
	CU_ASSERT_EQUAL(lab_verdict(u.l, PHCA_V_DIRECT), 3);
	uc_close(&u);
}

PHCA_TEST(uc, psn_gap_drops_the_message_and_the_next_is_whole)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_FIRST, 10, LAB_MTU, 0);
	pkt(&u, PHCA_UC_SEND_MIDDLE, 12, LAB_MTU, 0); /* 11 is lost */
	pkt(&u, PHCA_UC_SEND_LAST, 13, 5, 0);
	expect_none(&u, PHCA_V_PSN, 2);
	pkt(&u, PHCA_UC_SEND_ONLY, 14, 5, 50);
	expect_message(&u, 0, 5); /* the receive was kept */
	CU_ASSERT(lab_is(lab_buf(&u.q, 0), 5, 50));
	CU_ASSERT_EQUAL(lab_info(&u.q).stats.rx_dropped, 1);
	uc_close(&u);
}

PHCA_TEST(uc, any_psn_starts_a_message)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_ONLY, 1000, 5, 0);
	expect_message(&u, 0, 5);
	pkt(&u, PHCA_UC_SEND_ONLY, 7, 6, 0);
	expect_message(&u, 1, 6);
	uc_close(&u);
}

PHCA_TEST(uc, middle_without_first)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_MIDDLE, 0, LAB_MTU, 0);
	pkt(&u, PHCA_UC_SEND_LAST, 1, 4, 0);
	expect_none(&u, PHCA_V_SEQUENCE, 2);
	uc_close(&u);
}

PHCA_TEST(uc, first_after_first_aborts_the_first)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_FIRST, 0, LAB_MTU, 0);
	pkt(&u, PHCA_UC_SEND_FIRST, 1, LAB_MTU, 60);
	pkt(&u, PHCA_UC_SEND_LAST, 2, 4, 70);
	expect_message(&u, 0, LAB_MTU + 4);
	CU_ASSERT(lab_is(lab_buf(&u.q, 0), LAB_MTU, 60));
	CU_ASSERT_EQUAL(lab_info(&u.q).stats.rx_dropped, 1);
	uc_close(&u);
}

PHCA_TEST(uc, write_continues_no_send)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_FIRST, 0, LAB_MTU, 0);
	pkt(&u, PHCA_UC_WRITE_LAST, 1, 4, 0);
	expect_none(&u, PHCA_V_SEQUENCE, 1);
	uc_close(&u);
}

PHCA_TEST(uc, first_must_fill_the_mtu)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_FIRST, 0, LAB_MTU - 4, 0);
	pkt(&u, PHCA_UC_SEND_LAST, 1, 4, 0);
	expect_none(&u, PHCA_V_LENGTH, 2);
	uc_close(&u);
}

PHCA_TEST(uc, last_must_not_be_empty)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_FIRST, 0, LAB_MTU, 0);
	pkt(&u, PHCA_UC_SEND_LAST, 1, 0, 0);
	expect_none(&u, PHCA_V_LENGTH, 1);
	uc_close(&u);
}

PHCA_TEST(uc, only_longer_than_the_mtu)
{
	struct uc u = uc_open();

	pkt(&u, PHCA_UC_SEND_ONLY, 0, LAB_MTU + 4, 0);
	expect_none(&u, PHCA_V_LENGTH, 1);
	uc_close(&u);
}

PHCA_TEST(uc, message_longer_than_the_receive)
{
	struct uc u = uc_open();
	unsigned int n = LAB_BUF / LAB_MTU;

	pkt(&u, PHCA_UC_SEND_FIRST, 0, LAB_MTU, 0);
	for (unsigned int i = 1; i < n; i++)
		pkt(&u, PHCA_UC_SEND_MIDDLE, i, LAB_MTU, 0);
	pkt(&u, PHCA_UC_SEND_LAST, n, 1, 0);
	expect_none(&u, PHCA_V_LENGTH, 1);
	pkt(&u, PHCA_UC_SEND_ONLY, 0, 3, 0);
	expect_message(&u, 0, 3);
	uc_close(&u);
}

PHCA_TEST(uc, no_receive_drops_the_whole_message)
{
	struct uc u = uc_open();
	struct phca_wc wc;

	for (unsigned int i = 0; i < 4; i++) {
		pkt(&u, PHCA_UC_SEND_ONLY, i, 1, 0);
		expect_message(&u, i, 1);
	}
	pkt(&u, PHCA_UC_SEND_FIRST, 4, LAB_MTU, 0);
	lab_turn(u.l, 3);
	lab_post(&u.q, 1); /* too late for this message */
	pkt(&u, PHCA_UC_SEND_LAST, 5, 1, 0);
	expect_none(&u, PHCA_V_NO_RECV, 2);
	CU_ASSERT_FALSE(lab_poll(&u.q, &wc));
	uc_close(&u);
}

PHCA_TEST(uc, write_only)
{
	struct uc u = uc_open();

	rdma(&u, PHCA_UC_WRITE_ONLY, 0, 100, 5000, 100, 33);
	expect_none(&u, PHCA_V_DIRECT, 1); /* no completion */
	CU_ASSERT(lab_is(u.q.buf + 5000, 100, 33));
	CU_ASSERT_EQUAL(u.q.buf[4999], 0);
	CU_ASSERT_EQUAL(u.q.buf[5100], 0);
	uc_close(&u);
}

PHCA_TEST(uc, write_of_three_packets_with_immediate)
{
	struct uc u = uc_open();
	struct phca_wc wc;

	rdma(&u, PHCA_UC_WRITE_FIRST, 5, LAB_MTU, 100, 2 * LAB_MTU + 10, 1);
	pkt(&u, PHCA_UC_WRITE_MIDDLE, 6, LAB_MTU, 2);
	pkt(&u, PHCA_UC_WRITE_LAST_IMM, 7, 10, 3);
	lab_turn(u.l, 3);
	CU_ASSERT_FATAL(lab_poll(&u.q, &wc));
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_RECV_RDMA_WITH_IMM);
	CU_ASSERT_EQUAL(wc.byte_len, 2 * LAB_MTU + 10);
	CU_ASSERT_EQUAL(wc.wr_id, 0);
	CU_ASSERT(lab_is(u.q.buf + 100, LAB_MTU, 1));
	CU_ASSERT(lab_is(u.q.buf + 100 + LAB_MTU, LAB_MTU, 2));
	CU_ASSERT(lab_is(u.q.buf + 100 + 2 * LAB_MTU, 10, 3));
	uc_close(&u);
}

PHCA_TEST(uc, write_with_wrong_key_bounds_or_rights)
{
	struct uc u = uc_open();
	struct phca_wire_hdr h = lab_hdr(u.l, PHCA_UC_WRITE_ONLY, u.q.qpn, 0);
	uint32_t ro;

	CU_ASSERT_EQUAL(phca_mr_reg(u.l->mem, u.l->pd, u.q.buf, 4096, (uintptr_t)u.q.buf,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ, &ro), 0);
	h.va = (uintptr_t)u.q.buf;
	h.dma_len = 8;
	h.rkey = u.q.lkey ^ 0x100;
	lab_send(u.l, &h, 8, 1);
	expect_none(&u, PHCA_V_RKEY, 1);
	h.rkey = ro;
	lab_send(u.l, &h, 8, 1);
	expect_none(&u, PHCA_V_RKEY, 2);
	h.rkey = u.q.lkey;
	h.va = (uintptr_t)u.q.buf + (uint64_t)LAB_DEPTH * LAB_BUF - 7;
	lab_send(u.l, &h, 8, 1);
	expect_none(&u, PHCA_V_RKEY, 3);
	h.va = UINT64_MAX - 3; /* wraps at 2^64 */
	lab_send(u.l, &h, 8, 1);
	expect_none(&u, PHCA_V_RKEY, 4);
	CU_ASSERT_EQUAL(u.q.buf[0], 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(u.l->mem, ro), 0);
	uc_close(&u);
}

PHCA_TEST(uc, write_needs_the_qps_permission)
{
	struct uc u = uc_open();
	struct phca_qp_attr a = { .access = 0 };

	CU_ASSERT_EQUAL(phca_qp_modify(u.q.qp, &a, PHCA_QP_ACCESS), 0);
	rdma(&u, PHCA_UC_WRITE_ONLY, 0, 8, 0, 8, 1);
	expect_none(&u, PHCA_V_RKEY, 1);
	uc_close(&u);
}

PHCA_TEST(uc, write_lengths_must_agree)
{
	struct uc u = uc_open();

	rdma(&u, PHCA_UC_WRITE_ONLY, 0, 8, 0, 9, 1);
	expect_none(&u, PHCA_V_LENGTH, 1);
	rdma(&u, PHCA_UC_WRITE_FIRST, 1, LAB_MTU, 0, LAB_MTU, 1); /* nothing left for LAST */
	expect_none(&u, PHCA_V_LENGTH, 2);
	rdma(&u, PHCA_UC_WRITE_FIRST, 2, LAB_MTU, 0, LAB_MTU + 8, 1);
	pkt(&u, PHCA_UC_WRITE_LAST, 3, 9, 1); /* one too many */
	expect_none(&u, PHCA_V_LENGTH, 3);
	rdma(&u, PHCA_UC_WRITE_FIRST, 4, LAB_MTU, 0, LAB_MTU + 8, 1);
	pkt(&u, PHCA_UC_WRITE_LAST, 5, 7, 1); /* one too few */
	expect_none(&u, PHCA_V_LENGTH, 4);
	rdma(&u, PHCA_UC_WRITE_FIRST, 6, LAB_MTU, 0, 0x80000001u, 1); /* over 2^31 */
	expect_none(&u, PHCA_V_LENGTH, 5);
	uc_close(&u);
}

PHCA_TEST(uc, empty_write_needs_no_key)
{
	struct uc u = uc_open();
	struct phca_wire_hdr h = lab_hdr(u.l, PHCA_UC_WRITE_ONLY, u.q.qpn, 0);

	lab_send(u.l, &h, 0, 0);
	expect_none(&u, PHCA_V_DIRECT, 1);
	uc_close(&u);
}

PHCA_TEST(uc, region_gone_in_the_middle_of_a_write)
{
	struct uc u = uc_open();
	struct phca_wire_hdr h = lab_hdr(u.l, PHCA_UC_WRITE_FIRST, u.q.qpn, 0);
	uint32_t key;

	CU_ASSERT_EQUAL(phca_mr_reg(u.l->mem, u.l->pd, u.q.buf, 8192, 0x1000,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &key), 0);
	h.va = 0x1000;
	h.rkey = key;
	h.dma_len = 2 * LAB_MTU;
	lab_send(u.l, &h, LAB_MTU, 1);
	lab_turn(u.l, 2);
	CU_ASSERT(lab_is(u.q.buf, LAB_MTU, 1));
	CU_ASSERT_EQUAL(phca_mr_dereg(u.l->mem, key), 0);
	pkt(&u, PHCA_UC_WRITE_LAST, 1, LAB_MTU, 1);
	expect_none(&u, PHCA_V_RKEY, 1);
	CU_ASSERT_EQUAL(u.q.buf[LAB_MTU], 0);
	uc_close(&u);
}

PHCA_TEST(uc, packets_of_another_peer)
{
	struct uc u = uc_open();
	struct phca_qp_attr a = { .state = PHCA_QPS_SQD };
	struct phca_wire_hdr h = lab_hdr(u.l, PHCA_UC_SEND_ONLY, u.q.qpn, 0);

	CU_ASSERT_EQUAL(phca_qp_modify(u.q.qp, &a, PHCA_QP_STATE), 0);
	memcpy(a.av.dgid, h.sgid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_find(u.l->net, h.dgid);
	CU_ASSERT_EQUAL(phca_qp_modify(u.q.qp, &a, PHCA_QP_AV), 0);
	lab_send(u.l, &h, 4, 0);
	expect_message(&u, 0, 4);
	h.sgid[15] = 99;
	lab_send(u.l, &h, 4, 0);
	expect_none(&u, PHCA_V_PEER, 1);
	uc_close(&u);
}

PHCA_TEST(uc, error_state_flushes_receives_posted_before_and_after)
{
	struct uc u = uc_open();
	struct phca_qp_attr a = { .state = PHCA_QPS_ERR };
	struct phca_wc wc;

	pkt(&u, PHCA_UC_SEND_FIRST, 0, LAB_MTU, 0); /* takes receive 0 */
	lab_turn(u.l, 2);
	CU_ASSERT_EQUAL(phca_qp_modify(u.q.qp, &a, PHCA_QP_STATE), 0);
	lab_turn(u.l, 3);
	lab_post(&u.q, 2);
	lab_turn(u.l, 3);
	for (unsigned int i = 0; i < 6; i++) {
		CU_ASSERT_FATAL(lab_poll(&u.q, &wc));
		CU_ASSERT_EQUAL(wc.wr_id, i);
		CU_ASSERT_EQUAL(wc.status, PHCA_WC_WR_FLUSH_ERR);
	}
	pkt(&u, PHCA_UC_SEND_LAST, 1, 4, 0);
	expect_none(&u, PHCA_V_QP_STATE, 1);
	uc_close(&u);
}
