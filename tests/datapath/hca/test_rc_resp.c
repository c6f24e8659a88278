/* SPDX-License-Identifier: BSD-3-Clause */
/* Inbound RC: execution, acknowledgement, order of responses; 9.7.4, 9.7.5. */
#include <string.h>

#include "rc_peer.h"

#define FAR (16 * LAB_BUF) /* no receive lands there in these tests */

PHCA_TEST(rc_resp, send_only_is_received_and_acknowledged)
{
	struct rc c = rc_open(NULL, 2);

	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 13, 9);
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, 13);
	CU_ASSERT(lab_is(lab_buf(&c.q, 0), 13, 9));
	rc_expect_ack(&c, 0, 1);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_DIRECT), 1);
	rc_close(&c);
}

PHCA_TEST(rc_resp, message_of_three_packets_is_acknowledged_once)
{
	struct rc c = rc_open(NULL, 2);

	rc_send(&c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, 0);
	rc_send(&c, PHCA_RC_SEND_MIDDLE, 1, LAB_MTU, 1);
	rc_send(&c, PHCA_RC_SEND_LAST, 2, 77, 2);
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, 2 * LAB_MTU + 77);
	CU_ASSERT(lab_is(lab_buf(&c.q, 0) + 2 * LAB_MTU, 77, 2));
	rc_expect_ack(&c, 2, 1);
	rc_close(&c);
}

PHCA_TEST(rc_resp, burst_is_acknowledged_once)
{
	struct rc c = rc_open(NULL, 8);

	for (uint32_t i = 0; i < 8; i++)
		rc_send(&c, PHCA_RC_SEND_ONLY, i, 4, (uint8_t)i);
	rc_expect_ack(&c, 7, 8);
	for (uint32_t i = 0; i < 8; i++)
		rc_expect_recv(&c, i, PHCA_WC_SUCCESS, 4);
	CU_ASSERT_EQUAL(lab_info(&c.q).stats.tx_acks, 1);
	rc_close(&c);
}

PHCA_TEST(rc_resp, no_ack_without_ackreq)
{
	struct rc c = rc_open(NULL, 1);
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_SEND_ONLY, 0);

	h.ackreq = false;
	lab_send(c.l, &h, 4, 0);
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, 4);
	rc_close(&c);
}

PHCA_TEST(rc_resp, write_goes_to_memory_and_completes_nothing)
{
	struct rc c = rc_open(NULL, 1);

	rc_write(&c, PHCA_RC_WRITE_FIRST, 0, FAR, LAB_MTU + 5, LAB_MTU, 3);
	rc_send(&c, PHCA_RC_WRITE_LAST, 1, 5, 7);
	rc_expect_ack(&c, 1, 1);
	CU_ASSERT(lab_is(c.q.buf + FAR, LAB_MTU, 3));
	CU_ASSERT(lab_is(c.q.buf + FAR + LAB_MTU, 5, 7));
	rc_expect_no_recv(&c);
	rc_close(&c);
}

PHCA_TEST(rc_resp, write_with_immediate_completes_a_receive)
{
	struct rc c = rc_open(NULL, 1);
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_WRITE_ONLY_IMM, 0);
	struct phca_wc wc;

	h.va = (uintptr_t)c.q.buf + FAR;
	h.dma_len = 6;
	h.imm = 0x01020304;
	lab_send(c.l, &h, 6, 1);
	rc_expect_ack(&c, 0, 1);
	CU_ASSERT_FATAL(lab_poll(&c.q, &wc));
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_RECV_RDMA_WITH_IMM);
	CU_ASSERT_EQUAL(wc.byte_len, 6);
	CU_ASSERT_EQUAL(wc.imm, 0x01020304);
	CU_ASSERT_EQUAL(wc.wc_flags, PHCA_WC_F_WITH_IMM);
	rc_close(&c);
}

PHCA_TEST(rc_resp, empty_write_asks_no_key)
{
	struct rc c = rc_open(NULL, 0);
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_WRITE_ONLY, 0);

	h.rkey = 0xdeadbeef; /* C9-88 */
	lab_send(c.l, &h, 0, 0);
	rc_expect_ack(&c, 0, 1);
	rc_close(&c);
}

PHCA_TEST(rc_resp, read_is_answered_from_memory)
{
	struct rc c = rc_open(NULL, 0);

	rc_read(&c, 0, FAR, 2 * LAB_MTU + 9);
	rc_expect_read(&c, 0, FAR, 2 * LAB_MTU + 9);
	rc_read(&c, 3, 5, 8); /* its responses took PSNs 0 to 2 */
	rc_expect_read(&c, 3, 5, 8);
	CU_ASSERT_EQUAL(lab_info(&c.q).stats.tx_responses, 4);
	rc_close(&c);
}

PHCA_TEST(rc_resp, empty_read_is_one_packet)
{
	struct rc c = rc_open(NULL, 0);
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_READ_REQ, 0);

	h.rkey = 0xdeadbeef;
	lab_send(c.l, &h, 0, 0);
	rc_expect_resp(&c, PHCA_RC_READ_RESP_ONLY, 0, 0, 0);
	rc_read(&c, 1, 0, 4);
	rc_expect_read(&c, 1, 0, 4);
	rc_close(&c);
}

PHCA_TEST(rc_resp, atomics_change_memory_and_return_what_was)
{
	struct rc c = rc_open(NULL, 0);
	uint64_t v = 40;

	memcpy(c.q.buf + FAR, &v, 8);
	rc_add(&c, 0, FAR, 2);
	rc_expect_atomic(&c, 0, 40);
	rc_cas(&c, 1, FAR, 42, 7);
	rc_expect_atomic(&c, 1, 42);
	rc_cas(&c, 2, FAR, 42, 8); /* does not match any more */
	rc_expect_atomic(&c, 2, 7);
	memcpy(&v, c.q.buf + FAR, 8);
	CU_ASSERT_EQUAL(v, 7);
	rc_close(&c);
}

PHCA_TEST(rc_resp, responses_and_acks_keep_the_order_of_requests)
{
	struct rc c = rc_open(NULL, 4);

	memset(c.q.buf + FAR, 0, 8);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 0);
	rc_read(&c, 1, FAR + 64, LAB_MTU + 1);
	rc_add(&c, 3, FAR, 1);
	rc_read(&c, 4, FAR + 64, 3);
	rc_send(&c, PHCA_RC_SEND_ONLY, 5, 4, 0);
	rc_expect_read(&c, 1, FAR + 64, LAB_MTU + 1); /* says that PSN 0 arrived */
	rc_expect_atomic(&c, 3, 0);
	rc_expect_read(&c, 4, FAR + 64, 3);
	rc_expect_ack(&c, 5, 5);
	rc_close(&c);
}

PHCA_TEST(rc_resp, psn_wraps)
{
	struct rc c = rc_open(NULL, 4);

	lab_qp_restart(c.l, &c.q, PHCA_QPS_RTS, 0xfffffe);
	lab_post(&c.q, 4);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0xfffffe, 4, 0);
	rc_read(&c, 0xffffff, FAR, 2 * LAB_MTU);
	rc_send(&c, PHCA_RC_SEND_ONLY, 1, 4, 0);
	rc_expect_read(&c, 0xffffff, FAR, 2 * LAB_MTU);
	rc_expect_ack(&c, 1, 3);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0xfffffe, 4, 0); /* a duplicate across the wrap */
	rc_expect_ack(&c, 1, 3);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_DUPLICATE), 1);
	rc_close(&c);
}

PHCA_TEST(rc_resp, long_read_leaves_room_for_others)
{
	struct rc c = rc_open(NULL, 0);
	struct lab_qp other = lab_qp(c.l, PHCA_QPT_RC, 0);
	struct phca_wire_hdr h;
	struct rte_mbuf *m;
	struct phca_pkt pkt;
	unsigned int before = 0;

	lab_post(&other, 1);
	rc_read(&c, 0, 0, LAB_DEPTH * LAB_BUF);
	h = lab_hdr(c.l, PHCA_RC_SEND_ONLY, other.qpn, 0);
	h.ackreq = true;
	lab_send(c.l, &h, 64, 0);
	lab_turn(c.l, 1);
	while ((m = lab_capture(c.l)) != NULL) { /* the first turn's packets */
		CU_ASSERT_EQUAL(phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, 0, &pkt), PHCA_V_OK);
		rte_pktmbuf_free(m);
		if (pkt.opcode == PHCA_RC_ACK)
			break;
		before++;
	}
	CU_ASSERT_EQUAL(pkt.opcode, PHCA_RC_ACK);
	CU_ASSERT(before > 0 && before < LAB_DEPTH * LAB_BUF / LAB_MTU);
	while (before < LAB_DEPTH * LAB_BUF / LAB_MTU) {
		lab_turn(c.l, 1);
		for (; (m = lab_capture(c.l)) != NULL; before++) {
			CU_ASSERT_EQUAL(phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, 0, &pkt), PHCA_V_OK);
			CU_ASSERT_EQUAL(pkt.psn.v, before);
			CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod_offset(m, uint8_t *, pkt.payload_off),
				c.q.buf + before * LAB_MTU, LAB_MTU), 0);
			rte_pktmbuf_free(m);
		}
	}
	CU_ASSERT_EQUAL(pkt.opcode, PHCA_RC_READ_RESP_LAST);
	lab_qp_free(c.l, &other);
	rc_close(&c);
}

PHCA_TEST(rc_resp, first_packet_in_rtr_is_told_once)
{
	struct rc c = { .l = lab_open(NULL) };

	c.q = lab_qp(c.l, PHCA_QPT_RC, 0);
	lab_qp_restart(c.l, &c.q, PHCA_QPS_RTR, 0);
	lab_post(&c.q, 2);
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 4, 0);
	rc_send(&c, PHCA_RC_SEND_ONLY, 1, 4, 0);
	rc_expect_ack(&c, 1, 2); /* it responds */
	rc_expect_event(&c, PHCA_EVENT_COMM_EST);
	rc_expect_no_event(&c);
	rc_close(&c);
}

/* SEND with invalidate, whose rkey is a window of type 2 (9.4.1.1.3). */
PHCA_TEST(rc_resp, send_with_invalidate)
{
	struct rc c = rc_open(NULL, 2);
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_SEND_ONLY_INV, 0);
	struct phca_mw_bind b = {
		.addr = (uintptr_t)c.q.buf + FAR, .length = 64, .mr_key = c.q.lkey,
		.access = PHCA_ACCESS_REMOTE_READ, .pd = c.l->pd, .qpn = c.q.qpn,
	};
	struct phca_wc wc;

	CU_ASSERT_EQUAL_FATAL(phca_mw_alloc(c.l->mem, c.l->pd, PHCA_MW_TYPE_2, &b.rkey), 0);
	b.new_rkey = b.rkey + 1;
	CU_ASSERT_EQUAL_FATAL(phca_mw_bind(c.l->mem, &b), PHCA_MEM_OK);
	h.inv_rkey = b.new_rkey;
	lab_send(c.l, &h, 4, 0);
	rc_expect_ack(&c, 0, 1);
	CU_ASSERT_FATAL(lab_poll(&c.q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.wc_flags, PHCA_WC_F_WITH_INV);
	CU_ASSERT_EQUAL(wc.imm, b.new_rkey);
	h = rc_hdr(&c, PHCA_RC_READ_REQ, 1);
	h.rkey = b.new_rkey;
	h.va = b.addr;
	h.dma_len = 4;
	lab_send(c.l, &h, 0, 0); /* the window gives no access any more */
	rc_expect_nak(&c, PHCA_NAK_REM_ACCESS, 1);
	rc_expect_recv(&c, 1, PHCA_WC_WR_FLUSH_ERR, 0);
	CU_ASSERT_EQUAL(phca_mw_dealloc(c.l->mem, b.new_rkey), 0);
	rc_close(&c);
}

PHCA_TEST(rc_resp, send_that_invalidates_what_cannot_be)
{
	struct rc c = rc_open(NULL, 1);
	struct phca_wire_hdr h = rc_hdr(&c, PHCA_RC_SEND_ONLY_INV, 0);

	h.inv_rkey = c.q.lkey; /* a region */
	lab_send(c.l, &h, 4, 0);
	rc_expect_nak(&c, PHCA_NAK_REM_ACCESS, 0);
	rc_expect_recv(&c, 0, PHCA_WC_REM_INV_REQ_ERR, 0);
	rc_expect_state(&c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_verdict(c.l, PHCA_V_RKEY), 1);
	rc_close(&c);
}
