/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders: the requester of reliable connection, first part: packets, acknowledgements,
 * NAKs, SEND and WRITE (9.7.3, 9.7.6, 9.9.2).
 */
#include <errno.h>

#include "conform.h"

/* The WR behind those of the ladder: the connection goes on. */
static void goes_on(int32_t psn)
{
	post(SEND, .n = 7, .seed = 77);
	expect_pkt(RC_SEND_ONLY, .psn = psn, .n = 7, .seed = 77, .ackreq = true);
	give(RC_ACK, .psn = psn, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_nothing();
}

/* ---------------------------------------------------------- what is sent */

LADDER("9.7.3", rc_req, one_packet,
	"a SEND of at most a path MTU is one ONLY that asks for an ACK; it completes with that ACK")
{
	post(SEND, .n = MTU, .seed = 3);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = MTU, .seed = 3, .ackreq = true);
	expect_nothing();
	give(RC_ACK, .psn = 0, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	goes_on(1);
}

LADDER("9.7.3", rc_req, three_packets,
	"a longer SEND is FIRST, MIDDLE, LAST with consecutive PSNs; the LAST asks for an ACK")
{
	post(SEND, .n = 2 * MTU + 5, .seed = 3);
	expect_pkt(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 3);
	expect_pkt(RC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 3);
	expect_pkt(RC_SEND_LAST, .psn = 2, .n = 5, .seed = 3, .ackreq = true);
	expect_nothing();
	give(RC_ACK, .psn = 2, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	goes_on(3);
}

LADDER("9.7.1", rc_req, psn_wraps, "after PSN 0xFFFFFF comes 0, in requests and acknowledgements")
{
	c.attr.sq_psn = phca_psn(0xfffffe);
	for (int32_t i = 0; i < 4; i++) {
		post(SEND, .n = 4, .seed = (uint8_t)i);
		expect_pkt(RC_SEND_ONLY, .psn = i, .n = 4, .seed = (uint8_t)i);
	}
	give(RC_ACK, .psn = 1, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	expect_no_completion();
	give(RC_ACK, .psn = 3, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	goes_on(4);
}

LADDER("9.4.1", rc_req, empty_send, "a SEND of length zero is a packet without payload")
{
	post(SEND, .n = 0);
	expect_pkt(RC_SEND_ONLY, .n = 0, .ackreq = true);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.2.4", rc_req, pad_counts, "payload is padded to a multiple of four bytes")
{
	for (int32_t i = 0; i < 4; i++) {
		post(SEND, .n = 61 + (uint32_t)i, .seed = 5);
		expect_pkt(RC_SEND_ONLY, .psn = i, .n = 61 + (uint32_t)i, .seed = 5);
	}
}

LADDER("9.3.7", rc_req, immediate, "immediate data is in the packet that ends the message")
{
	post(SEND_WITH_IMM, .n = 4, .imm = 0x04030201);
	expect_pkt(RC_SEND_ONLY_IMM, .psn = 0, .n = 4, .imm = 0x04030201);
	post(SEND_WITH_IMM, .n = MTU + 4, .imm = 5);
	expect_pkt(RC_SEND_FIRST, .psn = 1, .n = MTU);
	expect_pkt(RC_SEND_LAST_IMM, .psn = 2, .n = 4, .imm = 5, .ackreq = true);
}

LADDER("9.4.1.1", rc_req, invalidate,
	"SEND with invalidate has IETH in the packet that ends the message")
{
	post(SEND_WITH_INV, .n = 4, .inv = 0x1234567);
	expect_pkt(RC_SEND_ONLY_INV, .psn = 0, .n = 4, .inv = 0x1234567);
	post(SEND_WITH_INV, .n = MTU + 4, .inv = 0x7654321);
	expect_pkt(RC_SEND_FIRST, .psn = 1, .n = MTU);
	expect_pkt(RC_SEND_LAST_INV, .psn = 2, .n = 4, .inv = 0x7654321);
}

LADDER("9.2.2", rc_req, solicited_event,
	"SE is set in the packet that ends the message, in no other")
{
	post(SEND, .n = MTU + 4, .flags = PHCA_SEND_SOLICITED);
	expect_pkt(RC_SEND_FIRST, .psn = 0, .n = MTU);
	expect_pkt(RC_SEND_LAST, .psn = 1, .n = 4, .solicited = true);
}

LADDER("9.4.3", rc_req, write, "a WRITE has RETH in its first packet, with the length of all of it")
{
	post(RDMA_WRITE, .n = 8, .off = 100);
	expect_pkt(RC_WRITE_ONLY, .psn = 0, .n = 8, .off = 100, .len = 8, .ackreq = true);
	post(RDMA_WRITE, .n = 2 * MTU + 8, .off = 200);
	expect_pkt(RC_WRITE_FIRST, .psn = 1, .n = MTU, .off = 200, .len = 2 * MTU + 8);
	expect_pkt(RC_WRITE_MIDDLE, .psn = 2, .n = MTU);
	expect_pkt(RC_WRITE_LAST, .psn = 3, .n = 8, .ackreq = true);
	give(RC_ACK, .psn = 3, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
}

LADDER("9.4.3", rc_req, write_with_immediate, "a WRITE with immediate carries RETH and ImmDt")
{
	post(RDMA_WRITE_WITH_IMM, .n = 8, .off = 100, .imm = 9);
	expect_pkt(RC_WRITE_ONLY_IMM, .psn = 0, .n = 8, .off = 100, .len = 8, .imm = 9);
	post(RDMA_WRITE_WITH_IMM, .n = MTU + 8, .imm = 10);
	expect_pkt(RC_WRITE_FIRST, .psn = 1, .n = MTU, .len = MTU + 8);
	expect_pkt(RC_WRITE_LAST_IMM, .psn = 2, .n = 8, .imm = 10);
}

LADDER("9.4.3", rc_req, write_of_length_zero,
	"a WRITE of length zero is a packet with RETH length 0")
{
	post(RDMA_WRITE, .n = 0);
	expect_pkt(RC_WRITE_ONLY, .n = 0, .len = 0, .any_key = true, .ackreq = true);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("11.4.1.1", rc_req, list_of_32_elements,
	"the elements of a WR are one message, over packet boundaries")
{
	post(SEND, .n = 32 * 20, .nb_sge = 32, .seed = 9);
	expect_pkt(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 9);
	expect_pkt(RC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 9);
	expect_pkt(RC_SEND_LAST, .psn = 2, .n = 128, .seed = 9);
}

LADDER("11.4.1.1", rc_req, inline_data,
	"inline data is taken when it is posted, and sent again from there")
{
	post(SEND, .n = 100, .flags = PHCA_SEND_INLINE, .seed = 9);
	memset(c.local, 0, 4096);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 100, .seed = 9);
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 100, .seed = 9);
}

LADDER("9.2.6", rc_req, partition, "packets carry the QP's P_Key and the peer's QPN")
{
	c.attr.pkey = 0x8042;
	c.attr.dest_qpn = 0xfedcba;
	post(SEND, .n = 4);
	expect_pkt(RC_SEND_ONLY, .n = 4, .pkey = 0x8042, .dqpn = 0xfedcba);
}

LADDER("9.7.3", rc_req, bounded_window,
	"packets without acknowledgement are bounded; at the bound one of them has asked for an ACK")
{
	struct sent s;

	post(RDMA_WRITE, .n = (PHCA_RC_WINDOW + 44) * MTU);
	s = collect();
	expect_int(s.n <= PHCA_RC_WINDOW && s.n > 1, 1);
	expect_int(s.first, 0);
	expect_int(s.last, s.n - 1);
	expect_int(s.ackreqs > 0, 1);
	give(RC_ACK, .psn = s.last, .syndrome = ACK);
	expect_int(collect().first, s.n);
	expect_no_completion();
	give(RC_ACK, .psn = PHCA_RC_WINDOW + 43, .syndrome = ACK);
	expect_sent(SUCCESS);
}

/* ------------------------------------------------------ acknowledgements */

LADDER("9.7.5.1.2", rc_req, ack_of_several,
	"an ACK acknowledges all before it: their completions come in order")
{
	for (int32_t i = 0; i < 3; i++) {
		post(SEND, .n = 4);
		expect_pkt(RC_SEND_ONLY, .psn = i, .n = 4);
	}
	give(RC_ACK, .psn = 2, .syndrome = ACK, .msn = 3);
	for (int32_t i = 0; i < 3; i++)
		expect_sent(SUCCESS);
	goes_on(3);
}

LADDER("9.7.6.1", rc_req, ack_within_a_message,
	"an ACK of some packets of a message does not complete it")
{
	post(SEND, .n = 3 * MTU);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_nothing();
	give(RC_ACK, .psn = 1, .syndrome = ACK);
	expect_nothing();
	give(RC_ACK, .psn = 2, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
}

LADDER("9.7.6.1", rc_req, duplicate_ack, "an ACK received before changes nothing")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	give(RC_ACK, .psn = -1, .syndrome = ACK);
	expect_nothing();
	goes_on(1);
}

LADDER("9.7.6.1", rc_req, ghost_ack, "an ACK of what was never sent is dropped")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = ACK);
	give(RC_ACK, .psn = 100, .syndrome = ACK);
	give(RC_ACK, .psn = (1 << 23) - 1, .syndrome = ACK);
	give(RC_ACK, .psn = -(1 << 23), .syndrome = ACK);
	expect_nothing();
	expect_state(RTS);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	goes_on(1);
}

LADDER("9.7.6.1", rc_req, ghost_nak, "a NAK of what was never sent is dropped, whatever its code")
{
	post(SEND, .n = 4);
	ignore_sent();
	for (uint8_t code = NAK_PSN; code <= NAK_OPERATION; code++) {
		give(RC_ACK, .psn = 5, .syndrome = code);
		give(RC_ACK, .psn = -5, .syndrome = code);
	}
	give(RC_ACK, .psn = 5, .syndrome = RNR + 1);
	give(RC_ACK, .psn = -5, .syndrome = RNR + 1);
	pass_us(1000);
	expect_nothing();
	expect_state(RTS);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.7.5.2", rc_req, reserved_syndrome, "reserved syndromes and NAK codes are dropped")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = 0x40);
	give(RC_ACK, .psn = 0, .syndrome = 0x5f);
	give(RC_ACK, .psn = 0, .syndrome = 0x65);
	give(RC_ACK, .psn = 0, .syndrome = 0x7f);
	expect_nothing();
	expect_state(RTS);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.7.5.2.1", rc_req, credit_counts,
	"any credit count in an ACK acknowledges; without credits to wait for, sending goes on")
{
	for (int32_t i = 0; i < 32; i++) {
		post(SEND, .n = 4);
		expect_pkt(RC_SEND_ONLY, .psn = i, .n = 4);
		give(RC_ACK, .psn = i, .syndrome = (uint8_t)i, .msn = (uint32_t)i + 1);
		expect_sent(SUCCESS);
	}
}

LADDER("9.6.1.1", rc_req, ack_of_another_partition,
	"an ACK with another partition's P_Key is dropped")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = ACK, .pkey = 0x8123);
	expect_nothing();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.6.1.2", rc_req, ack_of_another_host,
	"an ACK that is not from the connected peer is dropped")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = ACK, .from = 99);
	expect_nothing();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("A17.3.3", rc_req, ack_with_wrong_icrc, "an ACK with a wrong invariant CRC is dropped")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = ACK, .bad_icrc = true);
	expect_nothing();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.2.3", rc_req, migreq_either_way, "responses with MigReq 0 and 1 are accepted")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = ACK, .migreq0 = true);
	expect_sent(SUCCESS);
}

LADDER("10.7.3.1", rc_req, unsignaled,
	"a WR that is not signaled completes nothing, the one behind it does")
{
	post(SEND, .n = 4, .unsignaled = true);
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = ACK);
	c.nb_sent_done = 1;
	expect_sent(SUCCESS);
	expect_nothing();
}

/* ------------------------------------------------------------------ NAKs */

LADDER("9.7.5.2.2", rc_req, nak_sequence,
	"a sequence NAK acknowledges what is before it; from its PSN on all is sent again, at once")
{
	for (int32_t i = 0; i < 3; i++)
		post(SEND, .n = 4, .seed = (uint8_t)i);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = NAK_PSN, .msn = 1);
	expect_sent(SUCCESS);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 4, .seed = 1);
	expect_pkt(RC_SEND_ONLY, .psn = 2, .n = 4, .seed = 2, .ackreq = true);
	expect_nothing();
	give(RC_ACK, .psn = 2, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	goes_on(3);
}

LADDER("9.7.5.2.2", rc_req, nak_within_a_message,
	"a message is sent again from the packet that the NAK names, not from its beginning")
{
	post(SEND, .n = 3 * MTU, .seed = 6);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = NAK_PSN);
	expect_pkt(RC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 6);
	expect_pkt(RC_SEND_LAST, .psn = 2, .n = MTU, .seed = 6, .ackreq = true);
	expect_nothing();
	give(RC_ACK, .psn = 2, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.7.5.2.2", rc_req, nak_within_a_write,
	"a WRITE goes on within: no second RETH but at its FIRST")
{
	post(RDMA_WRITE, .n = 3 * MTU, .seed = 6);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_pkt(RC_WRITE_FIRST, .psn = 0, .n = MTU, .seed = 6, .len = 3 * MTU);
	expect_pkt(RC_WRITE_MIDDLE, .psn = 1, .n = MTU, .seed = 6);
	expect_pkt(RC_WRITE_LAST, .psn = 2, .n = MTU, .seed = 6);
	give(RC_ACK, .psn = 2, .syndrome = NAK_PSN);
	expect_pkt(RC_WRITE_LAST, .psn = 2, .n = MTU, .seed = 6, .ackreq = true);
	expect_nothing();
}

LADDER("9.7.1", rc_req, nak_across_the_wrap, "a NAK behind the wrap acknowledges what is before it")
{
	c.attr.sq_psn = phca_psn(0xffffff);
	for (int32_t i = 0; i < 3; i++)
		post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = NAK_PSN);
	expect_sent(SUCCESS);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 4);
	expect_pkt(RC_SEND_ONLY, .psn = 2, .n = 4);
}

LADDER("9.7.6.1.2", rc_req, nak_sequence_counts,
	"sequence NAKs count as tries, as timeouts do: one more than retry_cnt ends the QP")
{
	c.attr.retry_cnt = 2;
	post(SEND, .n = 4);
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	ignore_sent();
	pass_us(4 * 67109);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_silence();
	expect_sent(RETRY_EXC_ERR);
	expect_flushed(0, 1);
	expect_state(ERR);
}

/* A NAK that ends the connection. */
#define FATAL(name_, code_, status_, what_) \
	LADDER("9.9.2.4", rc_req, name_, what_ ": what is before is done, the WR fails, the rest is flushed, ERR") \
	{ \
		for (int32_t i = 0; i < 4; i++) \
			post(SEND, .n = 4); \
		ignore_sent(); \
		give(RC_ACK, .psn = 1, .syndrome = code_, .msn = 1); \
		expect_silence(); \
		expect_sent(SUCCESS); \
		expect_sent(status_); \
		expect_flushed(0, 2); \
		expect_state(ERR); \
		post(SEND, .n = 4); \
		expect_silence(); \
		expect_flushed(0, 1); \
	}

FATAL(nak_invalid_request, NAK_INVALID, REM_INV_REQ_ERR, "NAK invalid request")
FATAL(nak_remote_access, NAK_ACCESS, REM_ACCESS_ERR, "NAK remote access error")
FATAL(nak_remote_operation, NAK_OPERATION, REM_OP_ERR, "NAK remote operational error")

LADDER("9.9.2.4", rc_req, fatal_nak_of_an_unsignaled,
	"a WR that fails completes, signaled or not; so do those flushed behind it")
{
	post(SEND, .n = 4, .unsignaled = true);
	post(SEND, .n = 4, .unsignaled = true);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = NAK_ACCESS);
	expect_sent(REM_ACCESS_ERR);
	expect_flushed(0, 1);
}

LADDER("9.9.2.4", rc_req, fatal_nak_within_a_message, "a NAK of any packet of a message ends it")
{
	post(RDMA_WRITE, .n = 3 * MTU);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = NAK_ACCESS);
	expect_sent(REM_ACCESS_ERR);
	expect_state(ERR);
}

/* ---------------------------------------------------------- local errors */

LADDER("9.9.2", rc_req, wrong_lkey,
	"a WR whose memory refuses: local protection error, the rest flushed, ERR")
{
	post(SEND, .n = 4, .unsignaled = true, .lkey = 0xdead00);
	post(SEND, .n = 4);
	expect_silence();
	expect_sent(LOC_PROT_ERR);
	expect_flushed(0, 1);
	expect_state(ERR);
}

LADDER("9.9.2", rc_req, wrong_lkey_behind_others,
	"a WR that cannot be sent fails in its turn: what is outstanding before it is waited for")
{
	post(SEND, .n = 4);
	post(SEND, .n = 4, .lkey = 0xdead00);
	post(SEND, .n = 4);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	expect_nothing();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(LOC_PROT_ERR);
	expect_flushed(0, 1);
	expect_state(ERR);
}

LADDER("9.9.2", rc_req, message_over_2_31, "a message of more than 2^31 bytes is not sent")
{
	begin();
	post(SEND, .n = 0x80000001u, .nb_sge = 2);
	expect_silence();
	expect_sent(LOC_LEN_ERR);
	expect_state(ERR);
}

LADDER("9.9.2", rc_req, read_into_read_only_memory,
	"a READ into memory without local write: local protection error")
{
	uint32_t key;

	expect_int(phca_mr_reg(c.l->mem, c.l->pd, c.local, 4096, (uintptr_t)c.local, 0, &key), 0);
	post(RDMA_READ, .n = 8, .lkey = key);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .seed = 1, .syndrome = ACK, .msn = 1);
	expect_sent(LOC_PROT_ERR);
	expect_int(c.local[1], 0);
	expect_state(ERR);
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
}

/* ---------------------------------------------------------------- states */

LADDER("10.3.1.3", rc_req, rtr_sends_nothing,
	"in RTR nothing is sent; acknowledgements are dropped")
{
	c.attr.state = PHCA_QPS_RTR;
	begin();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_nothing();
	expect_state(RTR);
}

LADDER("10.3.1.5", rc_req, sqd_drains,
	"SQD: what was begun is finished, what is posted waits; the event says when it has drained")
{
	post(SEND, .n = 4);
	ignore_sent();
	c.attr.en_sqd_notify = true;
	expect_int(modify(PHCA_QPS_SQD, PHCA_QP_EN_SQD_NOTIFY), 0);
	post(SEND, .n = 5);
	expect_nothing();
	expect_no_event();
	expect_int(draining(), true);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_event(SQ_DRAINED);
	expect_int(draining(), false);
	expect_nothing();
	expect_int(modify(PHCA_QPS_RTS, 0), 0);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 5);
	give(RC_ACK, .psn = 1, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_no_event();
}

LADDER("10.3.1.5", rc_req, sqd_sends_again, "in SQD what was begun is sent again when it is lost")
{
	post(SEND, .n = 4);
	ignore_sent();
	expect_int(modify(PHCA_QPS_SQD, 0), 0);
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_no_event();
}

LADDER("10.3.1.5", rc_req, sqd_of_an_empty_queue,
	"an SQ with nothing begun has drained when it gets to SQD")
{
	c.attr.en_sqd_notify = true;
	expect_int(modify(PHCA_QPS_SQD, PHCA_QP_EN_SQD_NOTIFY), 0);
	expect_event(SQ_DRAINED);
	expect_no_event();
}

LADDER("10.3.1.7", rc_req, error_flushes,
	"ERR: what is outstanding and what was posted is flushed in order, and not sent again")
{
	post(SEND, .n = 4);
	post(RDMA_READ, .n = 4);
	post(SEND, .n = 4);
	ignore_sent();
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_flushed(0, 3);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	pass_us(10000000);
	expect_nothing();
}

LADDER("10.3.1.1", rc_req, reset_forgets,
	"RESET forgets what is outstanding; a new connection starts with its PSN")
{
	post(SEND, .n = 4);
	ignore_sent();
	expect_int(modify(PHCA_QPS_RESET, 0), 0);
	c.nb_sent_done = 1;
	c.attr.sq_psn = phca_psn(0x123456);
	expect_int(modify(PHCA_QPS_INIT, PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	expect_int(modify(PHCA_QPS_RTR, PHCA_QP_AV | PHCA_QP_PATH_MTU | PHCA_QP_DEST_QPN | PHCA_QP_RQ_PSN |
		PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER), 0);
	expect_int(modify(PHCA_QPS_RTS, PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY |
		PHCA_QP_MAX_RD_ATOMIC), 0);
	pass_us(10000000);
	expect_nothing();
	goes_on(0);
}
