/* SPDX-License-Identifier: BSD-3-Clause */
/* Inbound RC: duplicates, gaps, not ready; 9.7.5.1.2 to 9.7.5.1.5, 9.7.5.2.8. */
#include <string.h>

#include "rc_peer.h"

#define FAR (16 * LAB_BUF)
#define RNR (PHCA_AETH_RNR | LAB_RNR_TIMER)

PHCA_TEST(rc_dup, send_is_acknowledged_again_and_not_received_again)
{
	struct rc c = rc_open(NULL, 3);

	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 1, 4, 0);
	rc_expect_ack(&c, 1, 2);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 0);
	rc_expect_ack(&c, 1, 2); /* of the newest, C9-105 */
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, 4);
	rc_expect_recv(&c, 1, PHCA_WC_SUCCESS, 4);
	rc_expect_no_recv(&c);
	CU_ASSERT_EQUAL(lab_info(&c.q).stats.rx_duplicates, 1);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_DUPLICATE), 1);
	rc_close(&c);
}

PHCA_TEST(rc_dup, write_does_not_write_again)
{
	struct rc c = rc_open(NULL, 0);

	rc_write(&c, PHCA_RC_WRITE_ONLY, 0, FAR, 4, 4, 1);
	rc_expect_ack(&c, 0, 1);
	memset(c.q.buf + FAR, 0xee, 4);
	rc_write(&c, PHCA_RC_WRITE_ONLY, 0, FAR, 4, 4, 1);
	rc_expect_ack(&c, 0, 1);
	CU_ASSERT_EQUAL(c.q.buf[FAR], 0xee);
	rc_close(&c);
}

PHCA_TEST(rc_dup, atomic_is_answered_from_its_record)
{
	struct rc c = rc_open(NULL, 0);
	uint64_t v = 5;

	memcpy(c.q.buf + FAR, &v, 8);
	rc_add(&c, 0, FAR, 1);
	rc_expect_atomic(&c, 0, 5);
	rc_add(&c, 1, FAR, 1);
	rc_expect_atomic(&c, 1, 6);
	rc_add(&c, 0, FAR, 1);
	rc_expect_atomic(&c, 0, 5);
	memcpy(&v, c.q.buf + FAR, 8);
	CU_ASSERT_EQUAL(v, 7);
	rc_cas(&c, 0, FAR, 7, 9); /* not the request that it was */
	rc_expect_nothing(&c);
	memcpy(&v, c.q.buf + FAR, 8);
	CU_ASSERT_EQUAL(v, 7);
	rc_close(&c);
}

PHCA_TEST(rc_dup, atomic_that_is_forgotten_is_dropped)
{
	struct rc c = rc_open(NULL, 0);
	uint64_t v = 0;

	memcpy(c.q.buf + FAR, &v, 8);
	for (uint32_t i = 0; i <= LAB_RD_ATOMIC; i++) {
		rc_add(&c, i, FAR, 1);
		rc_expect_atomic(&c, i, i);
	}
	rc_add(&c, 0, FAR, 1);
	rc_expect_nothing(&c);
	rc_add(&c, 1, FAR, 1); /* max_dest_rd_atomic back */
	rc_expect_atomic(&c, 1, 1);
	memcpy(&v, c.q.buf + FAR, 8);
	CU_ASSERT_EQUAL(v, LAB_RD_ATOMIC + 1);
	rc_close(&c);
}

PHCA_TEST(rc_dup, read_is_served_again_from_where_it_stopped)
{
	struct rc c = rc_open(NULL, 0);

	rc_read(&c, 0, FAR, 4 * LAB_MTU + 1);
	rc_expect_read(&c, 0, FAR, 4 * LAB_MTU + 1);
	rc_read(&c, 2, FAR + 2 * LAB_MTU, 2 * LAB_MTU + 1);
	rc_expect_read(&c, 2, FAR + 2 * LAB_MTU, 2 * LAB_MTU + 1);
	rc_read(&c, 0, FAR, 4 * LAB_MTU + 1);
	rc_expect_read(&c, 0, FAR, 4 * LAB_MTU + 1);
	rc_read(&c, 1, FAR + LAB_MTU, 1); /* less of it */
	rc_expect_read(&c, 1, FAR + LAB_MTU, 1);
	rc_close(&c);
}

PHCA_TEST(rc_dup, read_outside_what_was_asked_for_is_dropped)
{
	struct rc c = rc_open(NULL, 0);
	struct phca_wire_hdr h;

	rc_read(&c, 0, FAR, 2 * LAB_MTU);
	rc_expect_read(&c, 0, FAR, 2 * LAB_MTU);
	rc_read(&c, 0, FAR + LAB_MTU, LAB_MTU); /* other address */
	rc_read(&c, 1, FAR + LAB_MTU, LAB_MTU + 1); /* longer */
	rc_read(&c, 0, FAR, 0); /* empty */
	h = rc_hdr(&c, PHCA_RC_READ_REQ, 0);
	h.va = (uintptr_t)c.q.buf + FAR;
	h.dma_len = 4;
	h.rkey ^= 0x100; /* other key */
	lab_send(c.l, &h, 0, 0);
	rc_expect_nothing(&c);
	rc_expect_state(&c, PHCA_QPS_RTS);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_DUPLICATE), 4);
	rc_close(&c);
}

PHCA_TEST(rc_dup, old_read_whose_memory_has_gone_is_refused_alone)
{
	struct rc c = rc_open(NULL, 1);
	uint64_t buf[8] = { 0 };
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_READ_REQ, 0);
	struct rte_mbuf *m;

	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(c.l->mem, c.l->pd, buf, sizeof(buf), 0x1000, PHCA_ACCESS_REMOTE_READ,
		&h.rkey), 0);
	h.va = 0x1000;
	h.dma_len = sizeof(buf);
	lab_send(c.l, &h, 0, 0);
	lab_turn(c.l, 3);
	m = lab_capture(c.l);
	CU_ASSERT_FATAL(m != NULL);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(phca_mr_dereg(c.l->mem, h.rkey), 0);
	lab_send(c.l, &h, 0, 0);
	rc_expect_nak(&c, PHCA_NAK_REM_ACCESS, 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 1, 4, 0);
	rc_expect_ack(&c, 1, 2);
	rc_expect_state(&c, PHCA_QPS_RTS);
	rc_close(&c);
}

PHCA_TEST(rc_dup, gap_is_told_once)
{
	struct rc c = rc_open(NULL, 4);

	rc_send(&c, PHCA_RC_SEND_ONLY, 1, 4, 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 2, 4, 0);
	rc_expect_nak(&c, PHCA_NAK_SEQ, 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 3, 4, 0);
	rc_expect_nothing(&c);
	rc_expect_no_recv(&c);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_PSN), 3);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 0);
	rc_expect_ack(&c, 0, 1);
	rc_send(&c, PHCA_RC_SEND_ONLY, 2, 4, 0); /* the next gap */
	rc_expect_nak(&c, PHCA_NAK_SEQ, 1);
	rc_close(&c);
}

PHCA_TEST(rc_dup, window_is_half_of_the_psns)
{
	struct rc c = rc_open(NULL, 4);

	rc_send(&c, PHCA_RC_SEND_ONLY, 0x7fffff, 4, 0); /* farthest ahead */
	rc_expect_nak(&c, PHCA_NAK_SEQ, 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0x800000, 4, 0); /* farthest behind */
	rc_expect_ack(&c, 0xffffff, 0);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_PSN), 1);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_DUPLICATE), 1);
	rc_expect_no_recv(&c);
	rc_close(&c);
}

PHCA_TEST(rc_dup, gap_waits_for_the_responses_before_it)
{
	struct rc c = rc_open(NULL, 4);

	rc_read(&c, 0, FAR, 3 * LAB_MTU);
	rc_send(&c, PHCA_RC_SEND_ONLY, 4, 4, 0);
	rc_expect_read(&c, 0, FAR, 3 * LAB_MTU);
	rc_expect_nak(&c, PHCA_NAK_SEQ, 3);
	rc_close(&c);
}

PHCA_TEST(rc_rnr, send_without_a_receive_is_tried_again)
{
	struct rc c = rc_open(NULL, 0);

	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 1);
	rc_send(&c, PHCA_RC_SEND_ONLY, 1, 4, 2); /* ahead; not told */
	rc_expect_nak(&c, RNR, 0);
	rc_expect_nothing(&c);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_RNR), 1);
	CU_ASSERT_EQUAL(lab_info(&c.q).stats.tx_rnr_naks, 1);
	lab_post(&c.q, 2);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 1);
	rc_send(&c, PHCA_RC_SEND_ONLY, 1, 4, 2);
	rc_expect_ack(&c, 1, 2);
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, 4);
	rc_expect_recv(&c, 1, PHCA_WC_SUCCESS, 4);
	rc_close(&c);
}

PHCA_TEST(rc_rnr, first_of_three_packets)
{
	struct rc c = rc_open(NULL, 0);

	for (int try = 0; try < 2; try++) {
		rc_send(&c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, 1);
		rc_send(&c, PHCA_RC_SEND_LAST, 1, 4, 2);
		if (try == 0)
			rc_expect_nak(&c, RNR, 0);
		lab_post(&c.q, 1);
	}
	rc_expect_ack(&c, 1, 1);
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, LAB_MTU + 4);
	rc_close(&c);
}

PHCA_TEST(rc_rnr, last_packet_of_a_write_with_immediate)
{
	struct rc c = rc_open(NULL, 0);

	rc_write(&c, PHCA_RC_WRITE_FIRST, 0, FAR, LAB_MTU + 4, LAB_MTU, 1);
	memset(c.q.buf + FAR + LAB_MTU, 0xee, 4);
	rc_send(&c, PHCA_RC_WRITE_LAST_IMM, 1, 4, 2);
	rc_expect_nak(&c, RNR, 1);
	CU_ASSERT_EQUAL(c.q.buf[FAR + LAB_MTU], 0xee); /* nothing executed */
	lab_post(&c.q, 1);
	rc_send(&c, PHCA_RC_WRITE_LAST_IMM, 1, 4, 2);
	rc_expect_ack(&c, 1, 1);
	CU_ASSERT(lab_is(c.q.buf + FAR + LAB_MTU, 4, 2));
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, LAB_MTU + 4);
	rc_close(&c);
}

PHCA_TEST(rc_rnr, receive_posted_before_the_nak_leaves_takes_it_back)
{
	struct rc c = rc_open(NULL, 0);

	rc_read(&c, 0, 0, LAB_DEPTH * LAB_BUF); /* 512 packets: NAKs wait behind them */
	rc_send(&c, PHCA_RC_SEND_ONLY, 512, 4, 1);
	lab_turn(c.l, 1);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_RNR), 1);
	lab_post(&c.q, 1);
	rc_send(&c, PHCA_RC_SEND_ONLY, 512, 4, 1);
	lab_turn(c.l, 40);
	for (unsigned int i = 0; i < 512; i++)
		rte_pktmbuf_free(lab_capture(c.l));
	rc_expect_ack(&c, 512, 2);
	rc_close(&c);
}
