/* SPDX-License-Identifier: BSD-3-Clause */
/* Inbound RC: what is refused, with which NAK, and what becomes of the QP; 9.7.4.1, 9.9.3. */
#include <string.h>

#include "rc_peer.h"

#define FAR (16 * LAB_BUF)

/* The QP went to ERROR because of a request of the peer, who was told. */
static void expect_refused(struct rc *c, uint8_t syndrome, uint32_t psn, enum phca_verdict v)
{
	rc_expect_nak(c, syndrome, psn);
	rc_expect_state(c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_verdict(c->l, v), 1);
	rc_expect_event(c, syndrome == PHCA_NAK_REM_ACCESS ? PHCA_EVENT_QP_ACCESS_ERR : PHCA_EVENT_QP_REQ_ERR);
	rc_expect_no_event(c);
	CU_ASSERT_EQUAL(lab_info(&c->q).stats.rx_dropped, 1);
	CU_ASSERT_EQUAL(lab_info(&c->q).stats.tx_naks, 1);
	rc_send(c, PHCA_RC_SEND_ONLY, psn, 4, 0);
	rc_expect_nothing(c);
}

PHCA_TEST(rc_err, middle_without_first)
{
	struct rc c = rc_open(NULL, 0);

	rc_send(&c, PHCA_RC_SEND_MIDDLE, 0, LAB_MTU, 0);
	expect_refused(&c, PHCA_NAK_INV_REQ, 0, PHCA_V_SEQUENCE);
	rc_close(&c);
}

PHCA_TEST(rc_err, first_after_first)
{
	struct rc c = rc_open(NULL, 1);

	rc_send(&c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, 0);
	rc_send(&c, PHCA_RC_SEND_FIRST, 1, LAB_MTU, 0);
	expect_refused(&c, PHCA_NAK_INV_REQ, 1, PHCA_V_SEQUENCE);
	rc_expect_recv(&c, 0, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_close(&c);
}

PHCA_TEST(rc_err, read_inside_a_message)
{
	struct rc c = rc_open(NULL, 1);

	rc_write(&c, PHCA_RC_WRITE_FIRST, 0, FAR, 2 * LAB_MTU, LAB_MTU, 0);
	rc_read(&c, 1, FAR, 8);
	expect_refused(&c, PHCA_NAK_INV_REQ, 1, PHCA_V_SEQUENCE);
	rc_close(&c);
}

/* A packet whose opcode RC reserves; icrc: whether the iCRC is of it. */
static void reserved(struct rc *c, uint32_t psn, bool icrc)
{
	struct phca_wire_hdr h = rc_hdr(c, PHCA_RC_SEND_ONLY, psn);
	uint8_t frame[256];
	uint32_t bth = phca_wire_hdr_len(&h) - 12, n = phca_wire_build(frame, &h, 8), crc;

	memset(frame + n, 0, 8);
	frame[bth] = 0x1c;
	n += 8;
	crc = icrc ? phca_wire_icrc(frame + 14, n - 14, false) : 0;
	memcpy(frame + n, &crc, 4);
	lab_raw(c->l, frame, n + 4);
}

PHCA_TEST(rc_err, reserved_opcode)
{
	struct rc c = rc_open(NULL, 0);

	reserved(&c, 0, false);
	rc_expect_nothing(&c);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_ICRC), 1);
	reserved(&c, PHCA_PSN_MASK, true); /* a duplicate of what? */
	rc_expect_nothing(&c);
	rc_expect_state(&c, PHCA_QPS_RTS);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_OPCODE), 1);
	rc_write(&c, PHCA_RC_WRITE_ONLY, 0, FAR, 4, 4, 0);
	rc_expect_ack(&c, 0, 1);
	reserved(&c, 1, true);
	rc_expect_nak(&c, PHCA_NAK_INV_REQ, 1);
	rc_expect_state(&c, PHCA_QPS_ERR);
	rc_expect_event(&c, PHCA_EVENT_QP_REQ_ERR);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_OPCODE), 2);
	rc_close(&c);
}

PHCA_TEST(rc_err, lengths_that_do_not_fit_the_mtu)
{
	static const struct { enum phca_opcode op; uint32_t n; } bad[] = {
		{ PHCA_RC_SEND_FIRST, LAB_MTU - 4 }, { PHCA_RC_SEND_FIRST, LAB_MTU + 4 },
		{ PHCA_RC_SEND_ONLY, LAB_MTU + 1 },
	};

	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		struct rc c = rc_open(NULL, 0);

		rc_send(&c, bad[i].op, 0, bad[i].n, 0);
		expect_refused(&c, PHCA_NAK_INV_REQ, 0, PHCA_V_LENGTH);
		rc_close(&c);
	}
}

PHCA_TEST(rc_err, empty_last)
{
	struct rc c = rc_open(NULL, 0);

	rc_write(&c, PHCA_RC_WRITE_FIRST, 0, FAR, LAB_MTU, LAB_MTU, 0);
	expect_refused(&c, PHCA_NAK_INV_REQ, 0, PHCA_V_LENGTH); /* announces no more than it has */
	rc_close(&c);
	c = rc_open(NULL, 1);
	rc_send(&c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, 0);
	rc_send(&c, PHCA_RC_SEND_LAST, 1, 0, 0);
	expect_refused(&c, PHCA_NAK_INV_REQ, 1, PHCA_V_LENGTH);
	rc_close(&c);
}

PHCA_TEST(rc_err, write_longer_than_announced)
{
	struct rc c = rc_open(NULL, 0);

	rc_write(&c, PHCA_RC_WRITE_FIRST, 0, FAR, LAB_MTU + 4, LAB_MTU, 0);
	memset(c.q.buf + FAR + LAB_MTU, 0xee, 8);
	rc_send(&c, PHCA_RC_WRITE_LAST, 1, 5, 0);
	expect_refused(&c, PHCA_NAK_INV_REQ, 1, PHCA_V_LENGTH);
	CU_ASSERT_EQUAL(c.q.buf[FAR + LAB_MTU], 0xee);
	rc_close(&c);
}

PHCA_TEST(rc_err, lengths_over_the_limit)
{
	struct rc c = rc_open(NULL, 0);

	rc_read(&c, 0, FAR, PHCA_MSG_MAX + 1);
	expect_refused(&c, PHCA_NAK_INV_REQ, 0, PHCA_V_LENGTH);
	rc_close(&c);
	c = rc_open(NULL, 0);
	rc_write(&c, PHCA_RC_WRITE_FIRST, 0, FAR, PHCA_MSG_MAX + 1, LAB_MTU, 0);
	expect_refused(&c, PHCA_NAK_INV_REQ, 0, PHCA_V_LENGTH);
	rc_close(&c);
}

PHCA_TEST(rc_err, keys_and_bounds)
{
	static const enum phca_opcode ops[] = { PHCA_RC_WRITE_ONLY, PHCA_RC_READ_REQ, PHCA_RC_FETCH_ADD };

	for (unsigned int i = 0; i < 3 * RTE_DIM(ops); i++) {
		struct rc c = rc_open(NULL, 0);
		struct phca_wire_hdr h = rc_hdr(&c, ops[i / 3], 0);

		h.va = (uintptr_t)c.q.buf;
		h.dma_len = 8;
		if (i % 3 == 0)
			h.rkey ^= 0x100;
		else if (i % 3 == 1)
			h.va += LAB_DEPTH * LAB_BUF; /* behind its end */
		else
			h.va = UINT64_MAX - 7 - (ops[i / 3] == PHCA_RC_FETCH_ADD ? 0 : 4); /* at the end of all */
		lab_send(c.l, &h, ops[i / 3] == PHCA_RC_WRITE_ONLY ? 8 : 0, 0);
		expect_refused(&c, PHCA_NAK_REM_ACCESS, 0, PHCA_V_RKEY);
		rc_close(&c);
	}
}

PHCA_TEST(rc_err, functions_that_the_qp_does_not_allow)
{
	static const enum phca_opcode ops[] = { PHCA_RC_WRITE_ONLY, PHCA_RC_READ_REQ, PHCA_RC_CMP_SWAP };

	for (unsigned int i = 0; i < RTE_DIM(ops); i++) {
		struct rc c = rc_open(NULL, 0);
		struct phca_wire_hdr h = rc_hdr(&c, ops[i], 0);
		struct phca_qp_attr a = { .access = 0 };

		CU_ASSERT_EQUAL(phca_qp_modify(c.q.qp, &a, PHCA_QP_ACCESS), 0);
		h.va = (uintptr_t)c.q.buf;
		h.dma_len = 8;
		lab_send(c.l, &h, i == 0 ? 8 : 0, 0);
		expect_refused(&c, PHCA_NAK_INV_REQ, 0, PHCA_V_RKEY);
		rc_close(&c);
	}
}

PHCA_TEST(rc_err, atomic_that_is_not_aligned)
{
	struct rc c = rc_open(NULL, 0);

	rc_add(&c, 0, FAR + 4, 1);
	expect_refused(&c, PHCA_NAK_INV_REQ, 0, PHCA_V_ALIGN);
	rc_close(&c);
}

PHCA_TEST(rc_err, more_reads_than_allowed)
{
	struct rc c = rc_open(NULL, 0);

	rc_read(&c, 0, 0, LAB_DEPTH * LAB_BUF); /* more than a turn can send */
	for (uint32_t i = 0; i < LAB_RD_ATOMIC; i++)
		rc_read(&c, 512 + i, FAR, 8);
	lab_turn(c.l, 40);
	for (unsigned int i = 0; i < 512; i++)
		rte_pktmbuf_free(lab_capture(c.l));
	for (uint32_t i = 0; i < LAB_RD_ATOMIC - 1; i++) /* those that are allowed are answered */
		rc_expect_read(&c, 512 + i, FAR, 8);
	expect_refused(&c, PHCA_NAK_INV_REQ, 512 + LAB_RD_ATOMIC - 1, PHCA_V_RD_ATOMIC);
	rc_close(&c);
}

PHCA_TEST(rc_err, send_longer_than_the_receive)
{
	struct rc c = rc_open(NULL, 2);

	for (uint32_t i = 0; i < LAB_BUF / LAB_MTU; i++)
		rc_send(&c, i == 0 ? PHCA_RC_SEND_FIRST : PHCA_RC_SEND_MIDDLE, i, LAB_MTU, 0);
	rc_send(&c, PHCA_RC_SEND_LAST, LAB_BUF / LAB_MTU, 1, 0);
	expect_refused(&c, PHCA_NAK_INV_REQ, LAB_BUF / LAB_MTU, PHCA_V_LENGTH);
	rc_expect_recv(&c, 0, PHCA_WC_LOC_LEN_ERR, 0);
	rc_expect_recv(&c, 1, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_close(&c);
}

PHCA_TEST(rc_err, receive_whose_buffer_refuses)
{
	struct rc c = rc_open(NULL, 0);
	struct phca_sge sge = { (uintptr_t)c.q.buf, 64, c.q.lkey ^ 0x100 };
	struct phca_recv_wr wr = { 9, &sge, 1 };

	CU_ASSERT_EQUAL(phca_post_recv(c.q.qp, &wr, 1), 1);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 0);
	rc_expect_nak(&c, PHCA_NAK_REM_OP, 0);
	rc_expect_recv(&c, 9, PHCA_WC_LOC_PROT_ERR, 0);
	rc_expect_state(&c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_RECV_WQE), 1);
	rc_close(&c);
}

PHCA_TEST(rc_err, responses_before_the_error_are_sent_before_its_nak)
{
	struct rc c = rc_open(NULL, 0);

	rc_read(&c, 0, FAR, 2 * LAB_MTU);
	rc_read(&c, 2, FAR, PHCA_MSG_MAX + 1);
	rc_expect_read(&c, 0, FAR, 2 * LAB_MTU);
	expect_refused(&c, PHCA_NAK_INV_REQ, 2, PHCA_V_LENGTH);
	rc_close(&c);
}

PHCA_TEST(rc_err, memory_that_goes_during_a_read)
{
	struct rc c = rc_open(NULL, 0);
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_READ_REQ, 0);
	uint32_t n = 0;
	struct rte_mbuf *m;

	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(c.l->mem, c.l->pd, c.q.buf, LAB_DEPTH * LAB_BUF, 0,
		PHCA_ACCESS_REMOTE_READ, &h.rkey), 0);
	h.dma_len = LAB_DEPTH * LAB_BUF;
	lab_send(c.l, &h, 0, 0);
	lab_turn(c.l, 2);
	CU_ASSERT_EQUAL(phca_mr_dereg(c.l->mem, h.rkey), 0);
	for (; lab_info(&c.q).stats.tx_responses > n; n++) {
		m = lab_capture(c.l);
		CU_ASSERT_FATAL(m != NULL);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT(n > 0 && n < 512);
	rc_expect_nak(&c, PHCA_NAK_REM_ACCESS, n);
	rc_expect_state(&c, PHCA_QPS_ERR);
	rc_expect_event(&c, PHCA_EVENT_QP_ACCESS_ERR);
	rc_close(&c);
}

PHCA_TEST(rc_err, cq_overrun_is_told)
{
	struct rc c = { .l = lab_open(NULL) };
	uint32_t psn = 0;

	c.q = lab_qp_cqe(c.l, PHCA_QPT_RC, 0, 4); /* 8 slots */
	lab_post(&c.q, 12);
	for (; psn < 8; psn++) {
		rc_send(&c, PHCA_RC_SEND_ONLY, psn, 4, 0);
		rc_expect_ack(&c, psn, psn + 1);
	}
	rc_send(&c, PHCA_RC_SEND_ONLY, psn, 4, 0);
	rc_expect_nak(&c, PHCA_NAK_REM_OP, psn);
	rc_expect_state(&c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_CQ_FULL), 1);
	CU_ASSERT_EQUAL(lab_info(&c.q).stats.rx_dropped, 1);
	rc_close(&c);
}

PHCA_TEST(rc_err, reset_forgets_what_was_owed)
{
	struct rc c = rc_open(NULL, 0);
	struct phca_qp_attr a = { .state = PHCA_QPS_RESET };

	rc_read(&c, 0, 0, LAB_DEPTH * LAB_BUF);
	lab_turn(c.l, 2);
	CU_ASSERT_EQUAL(phca_qp_modify(c.q.qp, &a, PHCA_QP_STATE), 0);
	for (struct rte_mbuf *m; (m = lab_capture(c.l)) != NULL; )
		rte_pktmbuf_free(m);
	lab_qp_restart(c.l, &c.q, PHCA_QPS_RTS, 5);
	rc_expect_nothing(&c);
	lab_post(&c.q, 1);
	rc_send(&c, PHCA_RC_SEND_ONLY, 5, 4, 0);
	rc_expect_ack(&c, 5, 1);
	rc_close(&c);
}
