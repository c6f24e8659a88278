/* SPDX-License-Identifier: BSD-3-Clause */
/* Ladders: the responder of unreliable connection (9.8.2.2). It never answers; what does not fit is dropped. */
#include <string.h>

#include "conform.h"

/* A whole message to show that the responder goes on after what was dropped. */
static void goes_on(int32_t psn)
{
	give(UC_SEND_ONLY, .psn = psn, .n = 7, .seed = 77);
	expect_recv(RECV, .n = 7, .seed = 77);
	expect_nothing();
}

LADDER("9.8.2.2.1", uc_resp, psn_in_order, "packets in order are messages")
{
	recvs(2);
	give(UC_SEND_ONLY, .psn = 0, .n = 8, .seed = 1);
	expect_recv(RECV, .n = 8, .seed = 1);
	give(UC_SEND_ONLY, .psn = 1, .n = 9, .seed = 2);
	expect_recv(RECV, .n = 9, .seed = 2);
	expect_nothing();
}

LADDER("9.8.2.2.1", uc_resp, psn_ahead_starts_a_message,
	"an ONLY ahead of the expected PSN is a new message; the gap is forgotten")
{
	recvs(2);
	give(UC_SEND_ONLY, .psn = 5, .n = 8, .seed = 1);
	expect_recv(RECV, .n = 8, .seed = 1);
	goes_on(6);
}

LADDER("9.8.2.2.1", uc_resp, psn_past_starts_a_message,
	"an ONLY behind the expected PSN is a new message: UC knows no duplicates")
{
	recvs(3);
	give(UC_SEND_ONLY, .psn = 0, .n = 8, .seed = 1);
	expect_recv(RECV, .n = 8, .seed = 1);
	give(UC_SEND_ONLY, .psn = 0, .n = 8, .seed = 1);
	expect_recv(RECV, .n = 8, .seed = 1);
	goes_on(1);
}

LADDER("9.8.2.2.1", uc_resp, gap_in_a_message,
	"a MIDDLE ahead drops the message in progress and all that is left of it")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_MIDDLE, .psn = 2, .n = MTU);
	give(UC_SEND_LAST, .psn = 3, .n = 8);
	expect_nothing();
	expect_verdict(PSN, 2);
	goes_on(4);
}

LADDER("9.8.2.2.1", uc_resp, duplicate_middle, "a MIDDLE behind drops the message in progress")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_MIDDLE, .psn = 1, .n = MTU);
	give(UC_SEND_MIDDLE, .psn = 1, .n = MTU);
	give(UC_SEND_LAST, .psn = 2, .n = 8);
	expect_nothing();
	expect_verdict(PSN, 2);
	goes_on(3);
}

LADDER("9.8.2.2.1", uc_resp, gap_before_last,
	"a LAST ahead drops its message; the next one is not touched")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_LAST, .psn = 2, .n = 8);
	expect_nothing();
	goes_on(3);
}

LADDER("9.7.1", uc_resp, psn_wraps_in_a_message, "after PSN 0xFFFFFF comes 0")
{
	c.attr.rq_psn = phca_psn(0xfffffe);
	recvs(2);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 9);
	give(UC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 9);
	give(UC_SEND_LAST, .psn = 2, .n = 3, .seed = 9);
	expect_recv(RECV, .n = 2 * MTU + 3, .seed = 9);
	goes_on(3);
}

LADDER("9.8.2.2", uc_resp, message_of_three, "FIRST, MIDDLE and LAST make one message")
{
	recvs(2);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 9);
	give(UC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 9);
	expect_nothing();
	give(UC_SEND_LAST, .psn = 2, .n = MTU, .seed = 9);
	expect_recv(RECV, .n = 3 * MTU, .seed = 9);
	goes_on(3);
}

LADDER("9.4.1", uc_resp, empty_send, "a SEND of length zero consumes a receive")
{
	recvs(2);
	give(UC_SEND_ONLY, .n = 0);
	expect_recv(RECV, .n = 0);
	goes_on(1);
}

LADDER("9.3.7", uc_resp, send_with_immediate,
	"immediate data in ONLY and LAST is in the completion")
{
	recvs(3);
	give(UC_SEND_ONLY_IMM, .psn = 0, .n = 5, .imm = 0x11223344);
	expect_recv(RECV, .n = 5, .imm = 0x11223344);
	give(UC_SEND_FIRST, .psn = 1, .n = MTU);
	give(UC_SEND_LAST_IMM, .psn = 2, .n = 5, .imm = 0x55);
	expect_recv(RECV, .n = MTU + 5, .imm = 0x55);
	goes_on(3);
}

LADDER("9.8.2.2.2", uc_resp, middle_without_first, "a MIDDLE that no FIRST came before is dropped")
{
	recvs(1);
	give(UC_SEND_MIDDLE, .psn = 0, .n = MTU);
	give(UC_SEND_LAST, .psn = 1, .n = 8);
	expect_nothing();
	expect_verdict(SEQUENCE, 2);
	goes_on(2);
}

LADDER("9.8.2.2.2", uc_resp, last_without_first, "a LAST that no FIRST came before is dropped")
{
	recvs(1);
	give(UC_SEND_LAST, .psn = 0, .n = 8);
	expect_nothing();
	expect_verdict(SEQUENCE, 1);
	goes_on(1);
}

LADDER("9.8.2.2.2", uc_resp, first_after_first,
	"a FIRST within a message drops that message and starts another")
{
	recvs(2);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 1);
	give(UC_SEND_FIRST, .psn = 1, .n = MTU, .seed = 2);
	give(UC_SEND_LAST, .psn = 2, .n = 4, .seed = 2);
	expect_recv(RECV, .n = MTU + 4, .seed = 2);
	goes_on(3);
}

LADDER("9.8.2.2.2", uc_resp, only_after_first,
	"an ONLY within a message drops that message and is one")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 1);
	goes_on(1);
}

LADDER("9.8.2.2.2", uc_resp, send_continued_by_write, "a WRITE does not continue a SEND")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_WRITE_MIDDLE, .psn = 1, .n = MTU);
	give(UC_SEND_LAST, .psn = 2, .n = 4);
	expect_nothing();
	goes_on(3);
}

LADDER("9.8.2.2.2", uc_resp, write_continued_by_send, "a SEND does not continue a WRITE")
{
	recvs(1);
	give(UC_WRITE_FIRST, .psn = 0, .n = MTU, .len = MTU + 8);
	give(UC_SEND_LAST, .psn = 1, .n = 8);
	expect_nothing();
	expect_untouched(MTU, 8);
	goes_on(2);
}

LADDER("9.8.2.2.3", uc_resp, opcodes_that_uc_has_not,
	"READ, atomics and invalidation are no UC requests: dropped")
{
	recvs(1);
	give(UC_SEND_ONLY, .n = 8, .xor_with = 0x08); /* 0x2c: where RC has READ */
	give(UC_SEND_ONLY, .n = 8, .xor_with = 0x17); /* 0x33: CMP_SWAP */
	give(UC_SEND_ONLY, .n = 8, .xor_with = 0x13); /* 0x37: SEND with invalidate */
	expect_nothing();
	expect_verdict(OPCODE, 3);
	goes_on(0);
}

LADDER("9.6.1.1", uc_resp, opcodes_of_other_transports, "RC and UD packets for a UC QP are dropped")
{
	recvs(1);
	give(RC_SEND_ONLY, .n = 8);
	give(RC_READ_REQ, .len = 8);
	give(RC_ACK, .syndrome = ACK);
	give(UD_SEND_ONLY, .n = 8);
	expect_nothing();
	expect_verdict(QP_TRANSPORT, 4);
	goes_on(0);
}

LADDER("9.8.2.2.4", uc_resp, first_shorter_than_mtu, "a FIRST is exactly as long as the path MTU")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU - 4);
	give(UC_SEND_LAST, .psn = 1, .n = 8);
	expect_nothing();
	expect_verdict(LENGTH, 2);
	goes_on(2);
}

LADDER("9.8.2.2.4", uc_resp, first_longer_than_mtu, "a FIRST longer than the path MTU is dropped")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU + 4);
	give(UC_SEND_LAST, .psn = 1, .n = 8);
	expect_nothing();
	goes_on(2);
}

LADDER("9.8.2.2.4", uc_resp, middle_shorter_than_mtu, "a MIDDLE is exactly as long as the path MTU")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_MIDDLE, .psn = 1, .n = MTU - 1);
	give(UC_SEND_LAST, .psn = 2, .n = 8);
	expect_nothing();
	goes_on(3);
}

LADDER("9.8.2.2.4", uc_resp, middle_longer_than_mtu, "a MIDDLE longer than the path MTU is dropped")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_MIDDLE, .psn = 1, .n = 2 * MTU);
	give(UC_SEND_LAST, .psn = 2, .n = 8);
	expect_nothing();
	goes_on(3);
}

LADDER("9.8.2.2.4", uc_resp, last_of_length_zero, "a LAST has a byte at least")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_LAST, .psn = 1, .n = 0);
	expect_nothing();
	expect_verdict(LENGTH, 1);
	goes_on(2);
}

LADDER("9.8.2.2.4", uc_resp, last_longer_than_mtu, "a LAST longer than the path MTU is dropped")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_LAST, .psn = 1, .n = MTU + 1);
	expect_nothing();
	goes_on(2);
}

LADDER("9.8.2.2.4", uc_resp, only_as_long_as_mtu,
	"an ONLY has 0 to path MTU bytes; more is dropped")
{
	recvs(2);
	give(UC_SEND_ONLY, .psn = 0, .n = MTU, .seed = 3);
	expect_recv(RECV, .n = MTU, .seed = 3);
	give(UC_SEND_ONLY, .psn = 1, .n = MTU + 1);
	expect_nothing();
	goes_on(2);
}

LADDER("9.8.2.2.4", uc_resp, longer_than_the_receive,
	"a message longer than its receive is dropped, the receive is kept")
{
	c.recv_len = MTU + 8;
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	give(UC_SEND_LAST, .psn = 1, .n = 9);
	expect_nothing();
	goes_on(2);
}

LADDER("9.8.2.2.6", uc_resp, no_receive,
	"a SEND that finds no receive is dropped in silence, all of it")
{
	begin();
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	recvs(1);
	give(UC_SEND_LAST, .psn = 1, .n = 8);
	expect_nothing();
	goes_on(2);
}

LADDER("9.4.3", uc_resp, write_only,
	"a WRITE puts its bytes where RETH says, and completes nothing")
{
	recvs(1);
	give(UC_WRITE_ONLY, .psn = 0, .n = 100, .off = 500, .seed = 6);
	expect_region(500, 100, 6);
	expect_untouched(499, 1);
	expect_untouched(600, 1);
	goes_on(1);
}

LADDER("9.4.3", uc_resp, write_of_three,
	"a WRITE of three packets goes on where the one before ended")
{
	recvs(1);
	give(UC_WRITE_FIRST, .psn = 0, .n = MTU, .len = 2 * MTU + 1, .off = 8, .seed = 6);
	give(UC_WRITE_MIDDLE, .psn = 1, .n = MTU, .seed = 6);
	give(UC_WRITE_LAST, .psn = 2, .n = 1, .seed = 6);
	expect_region(8, 2 * MTU + 1, 6);
	expect_untouched(8 + 2 * MTU + 1, 8);
	goes_on(3);
}

LADDER("9.4.3", uc_resp, write_with_immediate,
	"a WRITE with immediate completes a receive with the WRITE's length")
{
	recvs(3);
	give(UC_WRITE_ONLY_IMM, .psn = 0, .n = 10, .imm = 7);
	expect_recv(RECV_RDMA_WITH_IMM, .n = 10, .imm = 7);
	give(UC_WRITE_FIRST, .psn = 1, .n = MTU, .len = MTU + 10);
	give(UC_WRITE_LAST_IMM, .psn = 2, .n = 10, .imm = 8);
	expect_recv(RECV_RDMA_WITH_IMM, .n = MTU + 10, .imm = 8);
	goes_on(3);
}

LADDER("9.4.3", uc_resp, write_with_immediate_needs_a_receive,
	"a WRITE with immediate that finds no receive is dropped")
{
	begin();
	give(UC_WRITE_ONLY_IMM, .psn = 0, .n = 10, .imm = 7);
	expect_nothing();
	expect_verdict(NO_RECV, 1);
	recvs(1);
	goes_on(1);
}

LADDER("9.4.3", uc_resp, write_of_length_zero,
	"a WRITE of length zero needs no rkey and writes nothing")
{
	recvs(2);
	give(UC_WRITE_ONLY, .psn = 0, .n = 0, .rkey = 0xdead, .va = 1);
	give(UC_WRITE_ONLY_IMM, .psn = 1, .n = 0, .rkey = 0xdead, .va = 1, .imm = 3);
	expect_recv(RECV_RDMA_WITH_IMM, .n = 0, .imm = 3);
	expect_untouched(0, 64);
	goes_on(2);
}

LADDER("9.8.2.2.5", uc_resp, unknown_rkey, "a WRITE with an rkey that does not exist is dropped")
{
	recvs(1);
	give(UC_WRITE_ONLY, .psn = 0, .n = 8, .rkey = c.rkey ^ 0x100);
	give(UC_WRITE_ONLY, .psn = 1, .n = 8, .rkey = c.rkey ^ 1);
	expect_untouched(0, 64);
	expect_verdict(RKEY, 2);
	goes_on(2);
}

LADDER("9.8.2.2.5", uc_resp, rkey_without_the_right,
	"a WRITE to memory that does not allow remote writes is dropped")
{
	uint32_t key;

	recvs(1);
	expect_int(phca_mr_reg(c.l->mem, c.l->pd, c.region, 64, (uintptr_t)c.region,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ, &key), 0);
	give(UC_WRITE_ONLY, .psn = 0, .n = 8, .rkey = key);
	expect_untouched(0, 64);
	expect_verdict(RKEY, 1);
	goes_on(1);
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
}

LADDER("9.8.2.2.5", uc_resp, rkey_of_another_domain,
	"a WRITE with the rkey of another protection domain is dropped")
{
	uint32_t key, pd = phca_pd_alloc(c.l->mem);

	recvs(1);
	expect_int(phca_mr_reg(c.l->mem, pd, c.region, 64, (uintptr_t)c.region,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &key), 0);
	give(UC_WRITE_ONLY, .psn = 0, .n = 8, .rkey = key);
	expect_untouched(0, 64);
	expect_verdict(RKEY, 1);
	goes_on(1);
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
	expect_int(phca_pd_free(c.l->mem, pd), 0);
}

LADDER("9.8.2.2.5", uc_resp, write_outside_the_region,
	"a WRITE that begins before or ends behind the region is dropped")
{
	recvs(1);
	give(UC_WRITE_ONLY, .psn = 0, .n = 8, .va = (uintptr_t)c.region - 1);
	give(UC_WRITE_ONLY, .psn = 1, .n = 8, .off = REGION - 7);
	give(UC_WRITE_FIRST, .psn = 2, .n = MTU, .len = 2 * MTU, .off = REGION - 2 * MTU + 1);
	expect_untouched(0, REGION);
	expect_verdict(RKEY, 3);
	goes_on(3);
}

LADDER("9.8.2.2.5", uc_resp, address_wraps, "a WRITE whose address wraps at 2^64 is dropped")
{
	recvs(1);
	give(UC_WRITE_ONLY, .psn = 0, .n = 8, .va = UINT64_MAX - 3);
	give(UC_WRITE_ONLY, .psn = 1, .n = 8, .va = UINT64_MAX - 7);
	expect_untouched(0, REGION);
	expect_verdict(RKEY, 2);
	goes_on(2);
}

LADDER("9.8.2.2.3", uc_resp, writes_not_enabled, "WRITE to a QP that does not allow it is dropped")
{
	c.attr.access = 0;
	recvs(1);
	give(UC_WRITE_ONLY, .psn = 0, .n = 8);
	expect_untouched(0, 64);
	goes_on(1);
}

LADDER("C9-94", uc_resp, write_longer_than_2_31, "a RETH length over 2^31 is dropped")
{
	recvs(1);
	give(UC_WRITE_FIRST, .psn = 0, .n = MTU, .len = 0x80000001u);
	give(UC_WRITE_FIRST, .psn = 1, .n = MTU, .len = UINT32_MAX);
	expect_untouched(0, MTU);
	expect_verdict(LENGTH, 2);
	give(UC_WRITE_FIRST, .psn = 2, .n = MTU, .len = 0x80000000u); /* allowed, the region is not so long */
	expect_verdict(RKEY, 1);
	goes_on(3);
}

LADDER("9.8.2.2.4", uc_resp, write_only_not_as_long_as_reth,
	"the payload of a WRITE ONLY is as long as RETH says")
{
	recvs(1);
	give(UC_WRITE_ONLY, .psn = 0, .n = 8, .len = 9);
	give(UC_WRITE_ONLY, .psn = 1, .n = 8, .len = 7);
	give(UC_WRITE_ONLY, .psn = 2, .n = 8, .len0 = true);
	expect_untouched(0, 64);
	expect_verdict(LENGTH, 3);
	goes_on(3);
}

LADDER("9.8.2.2.4", uc_resp, write_ends_too_early, "a LAST with bytes missing drops the message")
{
	recvs(1);
	give(UC_WRITE_FIRST, .psn = 0, .n = MTU, .len = MTU + 8);
	give(UC_WRITE_LAST_IMM, .psn = 1, .n = 7, .imm = 1);
	expect_nothing();
	expect_verdict(LENGTH, 1);
	goes_on(2);
}

LADDER("9.8.2.2.4", uc_resp, write_goes_on_too_long, "what goes over RETH's length is not written")
{
	recvs(1);
	give(UC_WRITE_FIRST, .psn = 0, .n = MTU, .len = MTU + 8, .seed = 1);
	give(UC_WRITE_LAST, .psn = 1, .n = 9);
	expect_untouched(MTU, 64);
	expect_verdict(LENGTH, 1);
	goes_on(2);
}

LADDER("9.8.2.2.4", uc_resp, write_first_that_is_all, "a WRITE FIRST has less than RETH's length")
{
	recvs(1);
	give(UC_WRITE_FIRST, .psn = 0, .n = MTU, .len = MTU);
	give(UC_WRITE_LAST, .psn = 1, .n = 1);
	expect_untouched(MTU, 64);
	expect_verdict(LENGTH, 2);
	goes_on(2);
}

LADDER("9.6.1.1", uc_resp, p_key, "a P_Key of another partition drops the packet")
{
	recvs(1);
	give(UC_SEND_ONLY, .psn = 0, .n = 8, .pkey = 0x8123);
	expect_nothing();
	expect_verdict(PKEY, 1);
	goes_on(0);
}

LADDER("9.6.1.2", uc_resp, packet_of_another_host,
	"a packet that is not from the connected peer is dropped")
{
	recvs(1);
	give(UC_SEND_ONLY, .psn = 0, .n = 8, .from = 99);
	expect_nothing();
	expect_verdict(PEER, 1);
	goes_on(0);
}

LADDER("9.2.3", uc_resp, migreq_either_way, "MigReq 0 and 1 are accepted")
{
	recvs(2);
	give(UC_SEND_ONLY, .psn = 0, .n = 8, .migreq0 = true);
	expect_recv(RECV, .n = 8);
	goes_on(1);
}

LADDER("10.3.1.2", uc_resp, init_drops, "in INIT packets are dropped and receives kept")
{
	c.attr.state = PHCA_QPS_INIT;
	recvs(1);
	give(UC_SEND_ONLY, .psn = 0, .n = 8);
	expect_nothing();
	expect_verdict(QP_STATE, 1);
}

LADDER("10.3.1.7", uc_resp, error_ends_the_message,
	"ERR flushes the receive of a message in progress first")
{
	recvs(3);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_flushed(3, 0);
	give(UC_SEND_LAST, .psn = 1, .n = 8);
	expect_nothing();
	expect_verdict(QP_STATE, 1);
}

LADDER("10.3.1.1", uc_resp, reset_forgets_the_message,
	"RESET ends a message in progress; the new connection starts with its own PSN")
{
	recvs(1);
	give(UC_SEND_FIRST, .psn = 0, .n = MTU);
	expect_int(modify(PHCA_QPS_RESET, 0), 0);
	c.nb_recv = c.nb_recv_done = 0;
	c.attr.rq_psn = phca_psn(0x777777);
	expect_int(modify(PHCA_QPS_INIT, PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	expect_int(modify(PHCA_QPS_RTR, PHCA_QP_AV | PHCA_QP_PATH_MTU | PHCA_QP_DEST_QPN | PHCA_QP_RQ_PSN), 0);
	recvs(1);
	give(UC_SEND_LAST, .psn = 0, .n = 8);
	expect_nothing();
	expect_verdict(SEQUENCE, 1);
	goes_on(1);
}

LADDER("9.9.3", uc_resp, receive_with_a_wrong_lkey,
	"a receive whose memory refuses completes in error, the QP goes to ERR")
{
	c.lkey ^= 0xff00;
	recvs(1);
	c.lkey ^= 0xff00;
	give(UC_SEND_ONLY, .psn = 0, .n = 8);
	expect_recv(RECV, .status = PHCA_WC_LOC_PROT_ERR);
	expect_state(ERR);
	expect_event(QP_ACCESS_ERR);
}

LADDER("10.2.9", uc_resp, shared_receive_queue,
	"receives come from the shared receive queue; when it is empty the message is dropped")
{
	c.with_srq = true;
	recvs(1);
	goes_on(0);
	give(UC_SEND_ONLY, .psn = 1, .n = 8);
	expect_nothing();
	expect_verdict(NO_RECV, 1);
	recvs(1);
	goes_on(2);
}

LADDER("10.3.1.3", uc_resp, rtr_receives,
	"in RTR packets are executed, and the event says that the peer talks")
{
	c.attr.state = PHCA_QPS_RTR;
	recvs(1);
	goes_on(0);
	expect_event(COMM_EST);
}
