/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders: the responder of reliable connection, first part: PSNs, the sequence of
 * opcodes, acknowledgements, SEND and its receives (9.7.4, 9.7.5).
 */
#include <string.h>

#include "conform.h"

/* The message after the one of the ladder: the connection goes on. */
static void goes_on(int32_t psn, uint32_t msn)
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = psn, .n = 7, .seed = 77);
	expect_ack(psn, msn);
	expect_recv(RECV, .n = 7, .seed = 77);
	expect_nothing();
}

/* The peer's fault: NAK, and the queue pair is in error, silent from then on. */
static void refused(uint8_t code, int32_t psn, uint32_t msn)
{
	expect_nak(code, psn, msn);
	expect_state(ERR);
	give(RC_SEND_ONLY, .psn = psn, .n = 4);
	give(RC_SEND_ONLY, .psn = psn + 1, .n = 4);
	expect_silence();
}

/* ------------------------------------------------------------------ PSN */

LADDER("9.7.4.1.1", rc_resp, psn_in_order,
	"a request with the expected PSN is executed and acknowledged")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .seed = 1);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8, .seed = 1);
	goes_on(1, 2);
}

LADDER("9.7.5.2.2", rc_resp, psn_ahead,
	"a request ahead is not executed; NAK of a sequence error asks for the expected PSN")
{
	recvs(2);
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	expect_nak(NAK_PSN, 0, 0);
	expect_nothing();
	give(RC_SEND_ONLY, .psn = 0, .n = 9, .seed = 2);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 9, .seed = 2);
	give(RC_SEND_ONLY, .psn = 1, .n = 8, .seed = 3);
	expect_ack(1, 2);
	expect_recv(RECV, .n = 8, .seed = 3);
	expect_nothing();
	expect_state(RTS);
}

LADDER("9.7.5.2.2", rc_resp, one_nak_a_gap,
	"one NAK a gap: further packets ahead are dropped in silence until the expected comes")
{
	recvs(4);
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	expect_nak(NAK_PSN, 0, 0);
	give(RC_SEND_ONLY, .psn = 2, .n = 8);
	give(RC_SEND_ONLY, .psn = 3, .n = 8);
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	expect_nothing();
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	give(RC_SEND_ONLY, .psn = 2, .n = 8);
	expect_nak(NAK_PSN, 1, 1);
}

LADDER("C9-105", rc_resp, duplicate_send,
	"a duplicate SEND is acknowledged again, and not executed again")
{
	recvs(3);
	for (int32_t i = 0; i < 2; i++) {
		give(RC_SEND_ONLY, .psn = i, .n = 8, .seed = 1);
		expect_ack(i, (uint32_t)i + 1);
		expect_recv(RECV, .n = 8, .seed = 1);
	}
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .seed = 1);
	expect_ack(1, 2);
	give(RC_SEND_ONLY, .psn = 1, .n = 8, .seed = 1);
	expect_ack(1, 2);
	expect_nothing();
}

LADDER("C9-105", rc_resp, duplicate_write, "a duplicate WRITE does not write again")
{
	begin();
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .off = 16, .seed = 1);
	expect_ack(0, 1);
	expect_region(16, 8, 1);
	memset(c.region + 16, 0, 8);
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .off = 16, .seed = 1);
	expect_ack(0, 1);
	expect_untouched(16, 8);
	goes_on(1, 2);
}

LADDER("C9-105", rc_resp, duplicate_needs_no_receive,
	"a duplicate SEND is acknowledged when no receive is posted")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	goes_on(1, 2);
}

LADDER("9.7.4.1.2", rc_resp, duplicate_within_a_message,
	"a duplicate FIRST leaves the message in progress as it is")
{
	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 3);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 4);
	give(RC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 3);
	give(RC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 4);
	give(RC_SEND_LAST, .psn = 2, .n = 5, .seed = 3);
	turns(3);
	expect_recv(RECV, .n = 2 * MTU + 5, .seed = 3);
	expect_state(RTS);
}

LADDER("9.7.1", rc_resp, far_behind, "2^23 behind the expected PSN is the last duplicate")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = -(1 << 23), .n = 8);
	expect_ack(-1, 0);
	expect_nothing();
	goes_on(0, 1);
}

LADDER("9.7.1", rc_resp, far_ahead, "2^23 - 1 ahead of the expected PSN is ahead")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = (1 << 23) - 1, .n = 8);
	expect_nak(NAK_PSN, 0, 0);
	expect_nothing();
	goes_on(0, 1);
}

LADDER("9.7.1", rc_resp, psn_wraps,
	"after PSN 0xFFFFFF comes 0; duplicates and gaps are told from each other across it")
{
	c.attr.rq_psn = phca_psn(0xfffffe);
	recvs(4);
	for (int32_t i = 0; i < 4; i++) {
		give(RC_SEND_ONLY, .psn = i, .n = 8, .seed = (uint8_t)i);
		expect_ack(i, (uint32_t)i + 1);
		expect_recv(RECV, .n = 8, .seed = (uint8_t)i);
	}
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(3, 4);
	give(RC_SEND_ONLY, .psn = 5, .n = 8);
	expect_nak(NAK_PSN, 4, 4);
}

LADDER("9.7.1", rc_resp, message_across_the_wrap,
	"a message may have its PSNs on both sides of the wrap")
{
	c.attr.rq_psn = phca_psn(0xffffff);
	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 8);
	give(RC_SEND_LAST, .psn = 1, .n = 8, .seed = 8);
	expect_ack(1, 1);
	expect_recv(RECV, .n = MTU + 8, .seed = 8);
	goes_on(2, 2);
}

/* --------------------------------------------------- acknowledgements */

LADDER("9.7.5.1.2", rc_resp, coalesced,
	"one ACK acknowledges all requests before it; without AckReq none is owed")
{
	recvs(3);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .noack = true);
	give(RC_SEND_ONLY, .psn = 1, .n = 8, .noack = true);
	expect_silence();
	give(RC_SEND_ONLY, .psn = 2, .n = 8);
	expect_ack(2, 3);
	expect_silence();
	for (int i = 0; i < 3; i++)
		expect_recv(RECV, .n = 8);
}

LADDER("9.7.5.1.2", rc_resp, burst_is_coalesced,
	"of requests that arrive together the last one's ACK is enough")
{
	recvs(4);
	c.hold = true;
	for (int32_t i = 0; i < 4; i++)
		give(RC_SEND_ONLY, .psn = i, .n = 8);
	c.hold = false;
	expect_ack(3, 4);
	expect_silence();
}

LADDER("9.7.7.1", rc_resp, msn_counts_messages,
	"the MSN grows when a message ends, not with its packets")
{
	recvs(2);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU, .ack = true);
	expect_ack(0, 0);
	give(RC_SEND_MIDDLE, .psn = 1, .n = MTU, .ack = true);
	expect_ack(1, 0);
	give(RC_SEND_LAST, .psn = 2, .n = 8);
	expect_ack(2, 1);
	expect_recv(RECV, .n = 2 * MTU + 8);
	give(RC_WRITE_ONLY, .psn = 3, .n = 8);
	expect_ack(3, 2);
	give(RC_READ_REQ, .psn = 4, .len = 8);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 4, .n = 8, .msn = 3);
	give(RC_FETCH_ADD, .psn = 5, .off = 64, .add = 1);
	expect_pkt(RC_ATOMIC_ACK, .psn = 5, .cmp = 0, .msn = 4);
}

LADDER("9.7.5.1.1", rc_resp, ack_has_no_payload,
	"an ACK is a packet of its own: BTH and AETH, to the peer's QP, with the PSN acknowledged")
{
	c.attr.pkey = 0x8042;
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .pkey = 0x8042);
	expect_pkt(RC_ACK, .psn = 0, .msn = 1, .syndrome = ACK, .pkey = 0x8042, .n = 0);
}

/* ---------------------------------------------------------- SEND */

LADDER("9.4.1", rc_resp, empty_send, "a SEND of length zero consumes a receive")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 0);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 0);
	goes_on(1, 2);
}

LADDER("9.4.1", rc_resp, send_of_three, "FIRST, MIDDLE and LAST make one message")
{
	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 9);
	give(RC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 9);
	expect_nothing();
	give(RC_SEND_LAST, .psn = 2, .n = MTU, .seed = 9);
	expect_ack(2, 1);
	expect_recv(RECV, .n = 3 * MTU, .seed = 9);
	goes_on(3, 2);
}

LADDER("9.2.4", rc_resp, pad_counts, "the pad count takes 0 to 3 bytes off the payload")
{
	recvs(4);
	for (int32_t i = 0; i < 4; i++) {
		give(RC_SEND_ONLY, .psn = i, .n = 61 + (uint32_t)i, .seed = 5);
		expect_ack(i, (uint32_t)i + 1);
		expect_recv(RECV, .n = 61 + (uint32_t)i, .seed = 5);
	}
}

LADDER("9.3.7", rc_resp, send_with_immediate,
	"immediate data in ONLY and LAST is in the completion")
{
	recvs(2);
	give(RC_SEND_ONLY_IMM, .psn = 0, .n = 5, .imm = 0x11223344);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 5, .imm = 0x11223344);
	give(RC_SEND_FIRST, .psn = 1, .n = MTU);
	give(RC_SEND_LAST_IMM, .psn = 2, .n = 5, .imm = 0x55);
	expect_ack(2, 2);
	expect_recv(RECV, .n = MTU + 5, .imm = 0x55);
	goes_on(3, 3);
}

LADDER("9.7.5.2.8", rc_resp, not_ready,
	"a SEND that finds no receive gets an RNR NAK with the QP's timer; its next try is executed")
{
	c.attr.min_rnr_timer = 17;
	begin();
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_rnr(17, 0, 0);
	expect_nothing();
	expect_state(RTS);
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .seed = 4);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8, .seed = 4);
	goes_on(1, 2);
}

LADDER("9.7.5.2.8", rc_resp, rnr_timer_codes, "each of the 32 timer codes is sent as it was set")
{
	begin();
	for (uint8_t t = 0; t < 32; t++) {
		c.attr.min_rnr_timer = t;
		expect_int(modify(PHCA_QPS_RTS, PHCA_QP_MIN_RNR_TIMER), 0);
		give(RC_SEND_ONLY, .psn = 0, .n = 8);
		expect_rnr(t, 0, 0);
	}
	expect_nothing();
}

LADDER("9.7.5.2.8", rc_resp, ahead_after_rnr,
	"what follows a SEND that got an RNR NAK is dropped in silence")
{
	begin();
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_rnr(12, 0, 0);
	recvs(2);
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	give(RC_WRITE_ONLY, .psn = 2, .n = 8);
	expect_nothing();
	expect_untouched(0, 8);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8);
}

LADDER("9.7.5.2.8", rc_resp, rnr_at_first,
	"a message of several packets gets its RNR NAK at its FIRST")
{
	begin();
	give(RC_SEND_FIRST, .psn = 0, .n = MTU);
	expect_rnr(12, 0, 0);
	give(RC_SEND_LAST, .psn = 1, .n = 8);
	expect_nothing();
	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 1);
	give(RC_SEND_LAST, .psn = 1, .n = 8, .seed = 1);
	expect_ack(1, 1);
	expect_recv(RECV, .n = MTU + 8, .seed = 1);
}

LADDER("10.2.9", rc_resp, srq_empty, "an empty shared receive queue is an RNR NAK")
{
	c.with_srq = true;
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8);
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	expect_rnr(12, 1, 1);
	expect_nothing();
	goes_on(1, 2);
}

LADDER("9.7.4.1.7", rc_resp, receive_with_a_wrong_lkey,
	"memory of a receive that refuses: NAK remote operational error, LOC_PROT_ERR, ERR")
{
	c.lkey ^= 0xff00;
	recvs(1);
	c.lkey ^= 0xff00;
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_nak(NAK_OPERATION, 0, 0);
	expect_recv(RECV, .status = PHCA_WC_LOC_PROT_ERR);
	expect_state(ERR);
}

LADDER("9.7.4.1.6", rc_resp, longer_than_the_receive,
	"a message longer than its receive: NAK invalid request, LOC_LEN_ERR, ERR")
{
	c.recv_len = MTU + 8;
	recvs(2);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU);
	give(RC_SEND_LAST, .psn = 1, .n = 9);
	expect_nak(NAK_INVALID, 1, 0);
	expect_recv(RECV, .status = PHCA_WC_LOC_LEN_ERR);
	expect_flushed(1, 0);
	expect_state(ERR);
}

/* ------------------------------------------------- opcode sequence */

/* Packets of which the last one is out of sequence. */
#define SEQUENCE(name_, before_, op_, n_, what_) \
	LADDER("9.7.4.1.3", rc_resp, name_, what_ ": NAK invalid request") \
	{ \
		recvs(2); \
		give(before_, .psn = 0, .n = MTU, .len = 3 * MTU); \
		expect_nothing(); \
		give(op_, .psn = 1, .n = n_, .len = n_ ? n_ : 8); \
		refused(NAK_INVALID, 1, 0); \
		expect_event(QP_REQ_ERR); \
		expect_untouched(MTU, MTU); \
	}
#define ALONE(name_, op_, n_, what_) \
	LADDER("9.7.4.1.3", rc_resp, name_, what_ ": NAK invalid request") \
	{ \
		recvs(1); \
		give(op_, .psn = 0, .n = n_); \
		refused(NAK_INVALID, 0, 0); \
		expect_event(QP_REQ_ERR); \
		expect_flushed(1, 0); \
	}

ALONE(send_middle_alone, RC_SEND_MIDDLE, MTU, "SEND MIDDLE without FIRST")
ALONE(send_last_alone, RC_SEND_LAST, 8, "SEND LAST without FIRST")
ALONE(send_last_imm_alone, RC_SEND_LAST_IMM, 8, "SEND LAST with immediate without FIRST")
ALONE(send_last_inv_alone, RC_SEND_LAST_INV, 8, "SEND LAST with invalidate without FIRST")
ALONE(write_middle_alone, RC_WRITE_MIDDLE, MTU, "WRITE MIDDLE without FIRST")
ALONE(write_last_alone, RC_WRITE_LAST, 8, "WRITE LAST without FIRST")
ALONE(write_last_imm_alone, RC_WRITE_LAST_IMM, 8, "WRITE LAST with immediate without FIRST")
SEQUENCE(send_first_after_first, RC_SEND_FIRST, RC_SEND_FIRST, MTU, "SEND FIRST after SEND FIRST")
SEQUENCE(send_only_after_first, RC_SEND_FIRST, RC_SEND_ONLY, 8, "SEND ONLY after SEND FIRST")
SEQUENCE(write_first_in_send, RC_SEND_FIRST, RC_WRITE_FIRST, MTU, "WRITE FIRST after SEND FIRST")
SEQUENCE(write_middle_in_send, RC_SEND_FIRST, RC_WRITE_MIDDLE, MTU, "WRITE MIDDLE after SEND FIRST")
SEQUENCE(write_last_in_send, RC_SEND_FIRST, RC_WRITE_LAST, 8, "WRITE LAST after SEND FIRST")
SEQUENCE(read_in_send, RC_SEND_FIRST, RC_READ_REQ, 0, "READ after SEND FIRST")
SEQUENCE(atomic_in_send, RC_SEND_FIRST, RC_FETCH_ADD, 0, "atomic after SEND FIRST")
SEQUENCE(write_first_after_first, RC_WRITE_FIRST, RC_WRITE_FIRST, MTU, "WRITE FIRST after WRITE FIRST")
SEQUENCE(write_only_after_first, RC_WRITE_FIRST, RC_WRITE_ONLY, 8, "WRITE ONLY after WRITE FIRST")
SEQUENCE(send_middle_in_write, RC_WRITE_FIRST, RC_SEND_MIDDLE, MTU, "SEND MIDDLE after WRITE FIRST")
SEQUENCE(send_last_in_write, RC_WRITE_FIRST, RC_SEND_LAST, 8, "SEND LAST after WRITE FIRST")
SEQUENCE(read_in_write, RC_WRITE_FIRST, RC_READ_REQ, 0, "READ after WRITE FIRST")

LADDER("9.7.4.1.3", rc_resp, responses_within_a_message,
	"acknowledgements for the requester do not disturb the sequence of requests")
{
	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU);
	give(RC_ACK, .psn = -1, .syndrome = ACK);
	give(RC_SEND_LAST, .psn = 1, .n = 8);
	expect_ack(1, 1);
	expect_recv(RECV, .n = MTU + 8);
}

/* ---------------------------------------------------------- length */

#define LENGTH(name_, clause_, before_, op_, n_, what_) \
	LADDER(clause_, rc_resp, name_, what_ ": NAK invalid request") \
	{ \
		recvs(2); \
		if (before_ >= 0) \
			give_pkt(before_, &(struct given){ .n = MTU, .len = 2 * MTU }); \
		give(op_, .psn = before_ >= 0, .n = n_, .len = n_ + 1024); \
		expect_nak(NAK_INVALID, before_ >= 0, 0); \
		expect_state(ERR); \
		expect_event(QP_REQ_ERR); \
	}

LENGTH(send_first_short, "C9-92", -1, RC_SEND_FIRST, MTU - 4,
	"SEND FIRST shorter than the path MTU")
LENGTH(send_first_padded, "C9-92", -1, RC_SEND_FIRST, MTU - 1, "SEND FIRST with pad")
LENGTH(send_first_empty, "C9-92", -1, RC_SEND_FIRST, 0, "SEND FIRST without payload")
LENGTH(send_first_long, "C9-92", -1, RC_SEND_FIRST, MTU + 4, "SEND FIRST longer than the path MTU")
LENGTH(send_only_long, "C9-92", -1, RC_SEND_ONLY, MTU + 1, "SEND ONLY longer than the path MTU")
LENGTH(send_middle_short, "C9-92", (int)PHCA_RC_SEND_FIRST, RC_SEND_MIDDLE, MTU - 4,
	"SEND MIDDLE shorter than the path MTU")
LENGTH(send_middle_long, "C9-92", (int)PHCA_RC_SEND_FIRST, RC_SEND_MIDDLE, MTU + 4,
	"SEND MIDDLE longer than the path MTU")
LENGTH(send_last_empty, "C9-92", (int)PHCA_RC_SEND_FIRST, RC_SEND_LAST, 0,
	"SEND LAST of length zero")
LENGTH(send_last_long, "C9-92", (int)PHCA_RC_SEND_FIRST, RC_SEND_LAST, MTU + 1,
	"SEND LAST longer than the path MTU")
LENGTH(write_first_short, "C9-92", -1, RC_WRITE_FIRST, MTU - 4,
	"WRITE FIRST shorter than the path MTU")
LENGTH(write_first_long, "C9-92", -1, RC_WRITE_FIRST, MTU + 4,
	"WRITE FIRST longer than the path MTU")
LENGTH(write_middle_short, "C9-92", (int)PHCA_RC_WRITE_FIRST, RC_WRITE_MIDDLE, MTU - 4,
	"WRITE MIDDLE shorter than the path MTU")
LENGTH(write_last_empty, "C9-92", (int)PHCA_RC_WRITE_FIRST, RC_WRITE_LAST, 0,
	"WRITE LAST of length zero")
LENGTH(write_last_early, "9.7.4.1.6", (int)PHCA_RC_WRITE_FIRST, RC_WRITE_LAST, MTU - 4,
	"WRITE LAST with bytes missing")
LENGTH(write_only_short, "9.7.4.1.6", -1, RC_WRITE_ONLY, 8, "WRITE ONLY shorter than RETH says")

LADDER("9.7.4.1.4", rc_resp, reserved_opcode, "a reserved opcode of RC: NAK invalid request")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .xor_with = PHCA_RC_SEND_ONLY ^ 0x1c);
	refused(NAK_INVALID, 0, 0);
}
