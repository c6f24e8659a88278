/* SPDX-License-Identifier: BSD-3-Clause */
/* Ladders: the requester of unreliable connection (9.8.2.1): what it sends is done, nothing is ever sent again. */
#include <errno.h>

#include "conform.h"

LADDER("9.8.2.1", uc_req, one_packet,
	"a SEND of at most a path MTU is one ONLY; it completes when it was sent")
{
	post(SEND, .n = MTU, .seed = 3);
	expect_pkt(UC_SEND_ONLY, .psn = 0, .n = MTU, .seed = 3);
	expect_sent(SUCCESS);
	expect_nothing();
}

LADDER("9.8.2.1", uc_req, three_packets,
	"a longer SEND is FIRST, MIDDLE, LAST with consecutive PSNs")
{
	post(SEND, .n = 2 * MTU + 5, .seed = 3);
	expect_pkt(UC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 3);
	expect_pkt(UC_SEND_MIDDLE, .psn = 1, .n = MTU, .seed = 3);
	expect_pkt(UC_SEND_LAST, .psn = 2, .n = 5, .seed = 3);
	expect_sent(SUCCESS);
	expect_nothing();
}

LADDER("9.7.1", uc_req, psn_wraps, "after PSN 0xFFFFFF comes 0")
{
	c.attr.sq_psn = phca_psn(0xffffff);
	post(SEND, .n = MTU + 1);
	expect_pkt(UC_SEND_FIRST, .psn = 0, .n = MTU);
	expect_pkt(UC_SEND_LAST, .psn = 1, .n = 1);
	expect_sent(SUCCESS);
}

LADDER("9.4.1", uc_req, empty_send, "a SEND of length zero is a packet without payload")
{
	post(SEND, .n = 0);
	expect_pkt(UC_SEND_ONLY, .n = 0);
	expect_sent(SUCCESS);
}

LADDER("9.3.7", uc_req, immediate, "immediate data is in the packet that ends the message")
{
	post(SEND_WITH_IMM, .n = 4, .imm = 0x04030201);
	expect_pkt(UC_SEND_ONLY_IMM, .psn = 0, .n = 4, .imm = 0x04030201);
	post(SEND_WITH_IMM, .n = MTU + 4, .imm = 5);
	expect_pkt(UC_SEND_FIRST, .psn = 1, .n = MTU);
	expect_pkt(UC_SEND_LAST_IMM, .psn = 2, .n = 4, .imm = 5);
}

LADDER("9.2.2", uc_req, solicited_event,
	"SE is set in the packet that ends the message, in no other")
{
	post(SEND, .n = MTU + 4, .flags = PHCA_SEND_SOLICITED);
	expect_pkt(UC_SEND_FIRST, .psn = 0, .n = MTU);
	expect_pkt(UC_SEND_LAST, .psn = 1, .n = 4, .solicited = true);
}

LADDER("9.4.3", uc_req, write, "a WRITE has RETH in its first packet, with the length of all of it")
{
	post(RDMA_WRITE, .n = 8, .off = 100);
	expect_pkt(UC_WRITE_ONLY, .psn = 0, .n = 8, .off = 100, .len = 8);
	post(RDMA_WRITE, .n = 2 * MTU + 8, .off = 200);
	expect_pkt(UC_WRITE_FIRST, .psn = 1, .n = MTU, .off = 200, .len = 2 * MTU + 8);
	expect_pkt(UC_WRITE_MIDDLE, .psn = 2, .n = MTU);
	expect_pkt(UC_WRITE_LAST, .psn = 3, .n = 8);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
}

LADDER("9.4.3", uc_req, write_with_immediate, "a WRITE with immediate carries RETH and ImmDt")
{
	post(RDMA_WRITE_WITH_IMM, .n = 8, .off = 100, .imm = 9);
	expect_pkt(UC_WRITE_ONLY_IMM, .psn = 0, .n = 8, .off = 100, .len = 8, .imm = 9);
	post(RDMA_WRITE_WITH_IMM, .n = MTU + 8, .imm = 10);
	expect_pkt(UC_WRITE_FIRST, .psn = 1, .n = MTU, .len = MTU + 8);
	expect_pkt(UC_WRITE_LAST_IMM, .psn = 2, .n = 8, .imm = 10);
}

LADDER("9.4.3", uc_req, write_of_length_zero,
	"a WRITE of length zero is a packet with RETH length 0")
{
	post(RDMA_WRITE, .n = 0);
	expect_pkt(UC_WRITE_ONLY, .n = 0, .len = 0, .any_key = true);
	expect_sent(SUCCESS);
}

LADDER("11.4.1.1", uc_req, operations_that_uc_has_not,
	"READ, atomics and SEND with invalidate are no UC requests")
{
	static const enum phca_wr_opcode op[] = {
		PHCA_WR_RDMA_READ, PHCA_WR_ATOMIC_CMP_AND_SWP, PHCA_WR_ATOMIC_FETCH_AND_ADD, PHCA_WR_SEND_WITH_INV,
	};

	begin();
	for (unsigned int i = 0; i < RTE_DIM(op); i++) {
		struct phca_send_wr wr = { .opcode = op[i], .flags = PHCA_SEND_SIGNALED };

		expect_int(phca_post_send(c.qp, &wr, 1), -EINVAL);
	}
	expect_nothing();
}

LADDER("9.8.2", uc_req, nothing_is_sent_again, "no time and no NAK makes a UC requester send again")
{
	post(SEND, .n = 8);
	expect_pkt(UC_SEND_ONLY, .n = 8);
	expect_sent(SUCCESS);
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	pass_us(100000000);
	expect_nothing();
	expect_verdict(QP_TRANSPORT, 1);
}

LADDER("9.9.2", uc_req, wrong_lkey,
	"a WR whose memory refuses: local protection error, SQE, the rest flushed")
{
	post(SEND, .n = 4, .lkey = 0xdead00);
	post(SEND, .n = 4);
	expect_silence();
	expect_sent(LOC_PROT_ERR);
	expect_flushed(0, 1);
	expect_state(SQE);
	expect_event(SQ_ERR);
	expect_int(modify(PHCA_QPS_RTS, 0), 0);
	post(SEND, .n = 5);
	expect_pkt(UC_SEND_ONLY, .psn = 0, .n = 5);
	expect_sent(SUCCESS);
}

LADDER("10.3.1.5", uc_req, sqd_holds, "in SQD what is posted waits; back in RTS it is sent")
{
	expect_int(modify(PHCA_QPS_SQD, 0), 0);
	post(SEND, .n = 4);
	expect_nothing();
	expect_int(modify(PHCA_QPS_RTS, 0), 0);
	expect_pkt(UC_SEND_ONLY, .n = 4);
	expect_sent(SUCCESS);
}

LADDER("10.3.1.7", uc_req, error_flushes, "in ERR what is posted is flushed in order")
{
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	post(SEND, .n = 4);
	post(RDMA_WRITE, .n = 4);
	expect_silence();
	expect_flushed(0, 2);
}

LADDER("10.2.5", uc_req, partition, "packets carry the QP's P_Key and the peer's QPN")
{
	c.attr.pkey = 0x8042;
	c.attr.dest_qpn = 0xfedcba;
	post(SEND, .n = 4);
	expect_pkt(UC_SEND_ONLY, .n = 4, .pkey = 0x8042, .dqpn = 0xfedcba);
}
