/* SPDX-License-Identifier: BSD-3-Clause */
/* Ladders: the requester of unreliable datagram (9.8.3), and its queue in error. */
#include "conform.h"

LADDER("9.8.3.1", ud_req, one_packet,
	"a SEND is one packet with DETH: Q_Key of the WR, QPN of the sender")
{
	post(SEND, .n = 100, .seed = 3, .qkey = 0x1357, .dqpn = 0xabcde);
	expect_pkt(UD_SEND_ONLY, .psn = 0, .n = 100, .seed = 3, .qkey = 0x1357, .dqpn = 0xabcde);
	expect_sent(SUCCESS);
	expect_nothing();
}

LADDER("9.8.3.1", ud_req, psn_of_each_packet,
	"the PSN grows by one with each packet and wraps at 2^24")
{
	c.attr.sq_psn = phca_psn(0xfffffe);
	for (int i = 0; i < 4; i++)
		post(SEND, .n = 4, .seed = (uint8_t)i);
	for (int i = 0; i < 4; i++) {
		expect_pkt(UD_SEND_ONLY, .psn = i, .n = 4, .seed = (uint8_t)i);
		expect_sent(SUCCESS);
	}
}

LADDER("10.2.5", ud_req, controlled_q_key, "a Q_Key with the top bit set stands for the QP's own")
{
	post(SEND, .n = 4, .qkey = 0x80000005u);
	expect_pkt(UD_SEND_ONLY, .n = 4, .qkey = LAB_QKEY);
	expect_sent(SUCCESS);
}

LADDER("9.4.1", ud_req, empty_message, "a SEND of length zero is a packet without payload")
{
	post(SEND, .n = 0);
	expect_pkt(UD_SEND_ONLY, .n = 0);
	expect_sent(SUCCESS);
}

LADDER("9.2.4", ud_req, pad_counts, "payload is padded to a multiple of four bytes")
{
	for (uint32_t n = 61; n < 65; n++) {
		post(SEND, .n = n, .seed = (uint8_t)n);
		expect_pkt(UD_SEND_ONLY, .psn = (int32_t)n - 61, .n = n, .seed = (uint8_t)n);
		expect_sent(SUCCESS);
	}
}

LADDER("9.3.7", ud_req, immediate, "SEND with immediate carries ImmDt as it was posted")
{
	post(SEND_WITH_IMM, .n = 4, .imm = 0x04030201);
	expect_pkt(UD_SEND_ONLY_IMM, .n = 4, .imm = 0x04030201);
	expect_sent(SUCCESS);
}

LADDER("9.2.2", ud_req, solicited_event, "SE is set in the packet of a WR that asks for it")
{
	post(SEND, .n = 4, .flags = PHCA_SEND_SOLICITED);
	expect_pkt(UD_SEND_ONLY, .psn = 0, .n = 4, .solicited = true);
	post(SEND, .n = 4);
	expect_pkt(UD_SEND_ONLY, .psn = 1, .n = 4);
}

LADDER("9.2.6", ud_req, p_key, "packets carry the QP's P_Key")
{
	c.attr.pkey = 0x8042;
	post(SEND, .n = 4);
	expect_pkt(UD_SEND_ONLY, .n = 4, .pkey = 0x8042);
}

LADDER("9.8.3", ud_req, longest_message, "a message as long as the path MTU is one packet")
{
	post(SEND, .n = PORT_MTU, .seed = 5);
	expect_pkt(UD_SEND_ONLY, .n = PORT_MTU, .seed = 5);
	expect_sent(SUCCESS);
}

LADDER("9.9.2", ud_req, message_longer_than_mtu,
	"a longer message is not sent: local length error, SQE")
{
	post(SEND, .n = PORT_MTU + 1);
	expect_silence();
	expect_sent(LOC_LEN_ERR);
	expect_state(SQE);
	expect_event(SQ_ERR);
}

LADDER("11.4.1.1", ud_req, list_of_32_elements,
	"the elements of a WR are one message, in their order")
{
	post(SEND, .n = 32 * 7, .nb_sge = 32, .seed = 9);
	expect_pkt(UD_SEND_ONLY, .n = 32 * 7, .seed = 9);
	expect_sent(SUCCESS);
}

LADDER("11.4.1.1", ud_req, inline_data, "inline data is taken when it is posted")
{
	post(SEND, .n = 100, .flags = PHCA_SEND_INLINE, .seed = 9);
	expect_pkt(UD_SEND_ONLY, .n = 100, .seed = 9);
	expect_sent(SUCCESS);
}

LADDER("10.7.3.1", ud_req, unsignaled,
	"a WR that is not signaled completes nothing, the one behind it does")
{
	post(SEND, .n = 4, .unsignaled = true);
	post(SEND, .n = 4);
	expect_pkt(UD_SEND_ONLY, .psn = 0, .n = 4);
	expect_pkt(UD_SEND_ONLY, .psn = 1, .n = 4);
	c.nb_sent_done = 1;
	expect_sent(SUCCESS);
	expect_nothing();
}

LADDER("10.7.3.1", ud_req, all_signaled, "with every WR signaled the flag is not looked at")
{
	c.sig_all = true;
	post(SEND, .n = 4, .unsignaled = true);
	expect_sent(SUCCESS);
}

LADDER("9.9.2", ud_req, wrong_lkey,
	"a WR whose memory refuses is not sent: local protection error, SQE, the rest flushed in order")
{
	post(SEND, .n = 4, .unsignaled = true, .lkey = 0xdead00);
	post(SEND, .n = 4, .unsignaled = true);
	post(SEND, .n = 4);
	expect_silence();
	expect_sent(LOC_PROT_ERR);
	expect_flushed(0, 2);
	expect_state(SQE);
	expect_event(SQ_ERR);
}

LADDER("10.3.1.6", ud_req, sqe_flushes, "in SQE what is posted is flushed; back in RTS it is sent")
{
	post(SEND, .n = 4, .lkey = 0xdead00);
	expect_sent(LOC_PROT_ERR);
	post(SEND, .n = 4);
	expect_sent(WR_FLUSH_ERR);
	expect_int(modify(PHCA_QPS_RTS, 0), 0);
	post(SEND, .n = 4, .seed = 2);
	expect_pkt(UD_SEND_ONLY, .psn = 0, .n = 4, .seed = 2);
	expect_sent(SUCCESS);
	expect_nothing();
}

LADDER("10.3.1.5", ud_req, sqd_holds, "in SQD what is posted waits; back in RTS it is sent")
{
	expect_int(modify(PHCA_QPS_SQD, 0), 0);
	post(SEND, .n = 4);
	expect_nothing();
	expect_int(modify(PHCA_QPS_RTS, 0), 0);
	expect_pkt(UD_SEND_ONLY, .n = 4);
	expect_sent(SUCCESS);
}

LADDER("10.3.1.7", ud_req, error_flushes_sends, "in ERR what is posted is flushed in order")
{
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	post(SEND, .n = 4, .unsignaled = true);
	post(SEND, .n = 4);
	expect_silence();
	expect_flushed(0, 2);
}

LADDER("9.8.3", ud_req, acknowledgements_are_not_known, "what claims to acknowledge is dropped")
{
	post(SEND, .n = 4);
	expect_pkt(UD_SEND_ONLY, .n = 4);
	expect_sent(SUCCESS);
	give(RC_ACK, .psn = 0, .syndrome = NAK_PSN);
	expect_nothing();
	expect_verdict(QP_TRANSPORT, 1);
}

LADDER("11.4.1.1", ud_req, operations_that_ud_has_not,
	"WRITE, READ, atomics and invalidation are no UD requests")
{
	static const enum phca_wr_opcode op[] = {
		PHCA_WR_RDMA_WRITE, PHCA_WR_RDMA_WRITE_WITH_IMM, PHCA_WR_RDMA_READ, PHCA_WR_ATOMIC_CMP_AND_SWP,
		PHCA_WR_ATOMIC_FETCH_AND_ADD, PHCA_WR_SEND_WITH_INV,
	};

	begin();
	for (unsigned int i = 0; i < RTE_DIM(op); i++) {
		struct phca_send_wr wr = { .opcode = op[i], .flags = PHCA_SEND_SIGNALED, .av = c.attr.av };

		expect_int(phca_post_send(c.qp, &wr, 1), -EINVAL);
	}
	expect_nothing();
	expect_state(RTS);
}
