/* SPDX-License-Identifier: BSD-3-Clause */
/* Ladders: the responder of unreliable datagram (9.6, 9.8.3). It never answers. */
#include <string.h>

#include "conform.h"

LADDER("9.8.3", ud_resp, message_is_one_packet, "a message of one packet completes one receive")
{
	recvs(2);
	give(UD_SEND_ONLY, .n = 100, .seed = 3, .sqpn = 0xabcdef);
	expect_recv(RECV, .n = 100, .seed = 3, .sqpn = 0xabcdef);
	expect_nothing();
	expect_verdict(DIRECT, 1);
}

LADDER("9.4.1", ud_resp, empty_message, "a SEND of length zero consumes a receive")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 0);
	expect_recv(RECV, .n = 0);
	expect_nothing();
}

LADDER("9.2.4", ud_resp, pad_counts, "the pad count takes 0 to 3 bytes off the payload")
{
	recvs(4);
	for (uint32_t n = 61; n < 65; n++) {
		give(UD_SEND_ONLY, .n = n, .seed = (uint8_t)n);
		expect_recv(RECV, .n = n, .seed = (uint8_t)n);
	}
	expect_nothing();
}

LADDER("9.2.4", ud_resp, pad_longer_than_payload,
	"a pad count that the payload does not have is dropped")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 0, .xor_at = 1, .xor_with = 0x30);
	expect_nothing();
	expect_verdict(PAD, 1);
}

LADDER("9.2.5", ud_resp, transport_header_version, "a TVer other than 0 is dropped")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .xor_at = 1, .xor_with = 0x01);
	expect_nothing();
	expect_verdict(BTH_VERSION, 1);
}

LADDER("9.2.1", ud_resp, reserved_opcode, "a reserved opcode is dropped")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .xor_with = 0x04); /* 0x60: there is no UD SEND First */
	give(UD_SEND_ONLY, .n = 8, .xor_with = 0x0f);
	expect_nothing();
	expect_verdict(OPCODE, 2);
}

LADDER("9.2.1", ud_resp, opcode_of_another_transport, "opcodes of RC and UC are dropped")
{
	recvs(1);
	give(RC_SEND_ONLY, .n = 8);
	give(UC_SEND_ONLY, .n = 8);
	give(RC_ACK, .syndrome = ACK);
	expect_nothing();
	expect_verdict(QP_TRANSPORT, 3);
}

LADDER("9.6.1.1", ud_resp, no_such_queue_pair,
	"a destination QP that does not exist drops the packet")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .qpn = 0x345678);
	expect_nothing();
	expect_verdict(QPN, 1);
}

LADDER("9.6.1.4", ud_resp, wrong_q_key, "a Q_Key that is not the QP's drops the packet")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .qkey = LAB_QKEY ^ 1);
	give(UD_SEND_ONLY, .n = 8, .qkey = LAB_QKEY | 0x80000000u);
	expect_nothing();
	expect_verdict(QKEY, 2);
}

LADDER("9.6.1.4", ud_resp, q_key_modified, "the Q_Key that modify sets counts from then on")
{
	recvs(1);
	c.attr.qkey = 0x1234;
	expect_int(modify(PHCA_QPS_RTS, PHCA_QP_QKEY), 0);
	give(UD_SEND_ONLY, .n = 4, .qkey = 0x1234);
	expect_recv(RECV, .n = 4);
	c.attr.qkey = 0x4321;
	expect_int(modify(PHCA_QPS_RTS, PHCA_QP_QKEY), 0);
	recvs(1);
	give(UD_SEND_ONLY, .n = 4, .qkey = 0x1234);
	expect_nothing();
	give(UD_SEND_ONLY, .n = 4, .qkey = 0x4321);
	expect_recv(RECV, .n = 4);
}

LADDER("9.6.1.1", ud_resp, p_key_of_another_partition,
	"a P_Key of another partition drops the packet")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .pkey = 0xfffe);
	give(UD_SEND_ONLY, .n = 8, .pkey = 0x8001);
	expect_nothing();
	expect_verdict(PKEY, 2);
}

LADDER("10.9.3", ud_resp, limited_member_to_full, "a limited member talks to a full member")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .pkey = 0x7fff);
	expect_recv(RECV, .n = 8);
}

LADDER("10.9.3", ud_resp, limited_member_to_limited, "two limited members do not talk")
{
	c.attr.pkey = 0x7fff;
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .pkey = 0x7fff);
	expect_nothing();
	expect_verdict(PKEY, 1);
	give(UD_SEND_ONLY, .n = 8, .pkey = 0xffff);
	expect_recv(RECV, .n = 8);
}

LADDER("9.8.3.2", ud_resp, psn_is_not_checked, "PSNs past, equal and ahead are all received")
{
	static const int32_t psn[] = { 0, 0, 1, 7, -3, 1 << 23, -(1 << 23), 0xffffff };

	recvs(RTE_DIM(psn));
	for (unsigned int i = 0; i < RTE_DIM(psn); i++) {
		give(UD_SEND_ONLY, .psn = psn[i], .n = 5, .seed = (uint8_t)i);
		expect_recv(RECV, .n = 5, .seed = (uint8_t)i);
	}
	expect_nothing();
}

LADDER("9.3.7", ud_resp, immediate, "immediate data is in the completion, not in the buffer")
{
	recvs(1);
	give(UD_SEND_ONLY_IMM, .n = 12, .seed = 9, .imm = 0x0a0b0c0d);
	expect_recv(RECV, .n = 12, .seed = 9, .imm = 0x0a0b0c0d);
}

LADDER("9.3.7", ud_resp, immediate_without_data, "immediate data alone is a message")
{
	recvs(1);
	give(UD_SEND_ONLY_IMM, .n = 0, .imm = 1);
	expect_recv(RECV, .n = 0, .imm = 1);
}

LADDER("9.8.3", ud_resp, longest_message, "a message as long as the path MTU is received")
{
	c.recv_len = PHCA_GRH_LEN + PORT_MTU;
	recvs(1);
	give(UD_SEND_ONLY, .n = PORT_MTU, .seed = 1);
	expect_recv(RECV, .n = PORT_MTU, .seed = 1);
}

LADDER("9.8.3.2", ud_resp, longer_than_the_receive,
	"a message longer than the receive is dropped, the receive is kept")
{
	c.recv_len = PHCA_GRH_LEN + 64;
	recvs(1);
	give(UD_SEND_ONLY, .n = 65);
	expect_nothing();
	expect_verdict(LENGTH, 1);
	give(UD_SEND_ONLY, .n = 64, .seed = 5);
	expect_recv(RECV, .n = 64, .seed = 5);
}

LADDER("11.4.1.2", ud_resp, room_for_the_grh, "a receive has to have 40 bytes for the GRH in front")
{
	c.recv_len = PHCA_GRH_LEN - 1;
	recvs(1);
	give(UD_SEND_ONLY, .n = 0);
	expect_nothing();
	expect_verdict(LENGTH, 1);
}

LADDER("A17.4.5.1", ud_resp, grh_of_ipv4,
	"the 40 bytes end with the IPv4 header, 20 bytes are in front of it")
{
	static const uint8_t peer[4] = { 192, 0, 2, 2 }, own[4] = { 192, 0, 2, 1 };
	const uint8_t *grh;

	recvs(1);
	give(UD_SEND_ONLY, .n = 4);
	expect_recv(RECV, .n = 4);
	grh = c.local + REGION / 2;
	expect_int(grh[20], 0x45);
	expect_int(memcmp(grh + 32, peer, 4), 0);
	expect_int(memcmp(grh + 36, own, 4), 0);
}

LADDER("11.2.2.2", ud_resp, answer_from_completion,
	"an address made from the completion leads back to the sender")
{
	struct phca_wc wc;
	struct phca_av av;

	recvs(1);
	give(UD_SEND_ONLY, .n = 4);
	turns(2);
	expect_int(phca_poll_cq(c.rcq, 1, &wc), 1);
	expect_int(phca_av_from_wc(c.qp, &wc, c.local + REGION / 2, &av), 0);
	expect_int(memcmp(av.dgid, c.attr.av.dgid, 16), 0);
	expect_int(av.sgid_index, c.attr.av.sgid_index);
	expect_int(wc.src_qp, LAB_PEER_QPN);
}

LADDER("9.8.3.2", ud_resp, no_receive_posted, "without a receive the message is dropped in silence")
{
	turns(1);
	give(UD_SEND_ONLY, .n = 4);
	expect_nothing();
	expect_verdict(NO_RECV, 1);
	expect_state(RTS);
	recvs(1);
	give(UD_SEND_ONLY, .n = 6, .seed = 2);
	expect_recv(RECV, .n = 6, .seed = 2);
}

LADDER("A17.3.3", ud_resp, wrong_icrc, "a wrong invariant CRC drops the packet")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .bad_icrc = true);
	expect_nothing();
	expect_verdict(ICRC, 1);
}

LADDER("9.2.3", ud_resp, migreq_either_way, "MigReq is not looked at")
{
	recvs(2);
	give(UD_SEND_ONLY, .n = 8, .migreq0 = true);
	expect_recv(RECV, .n = 8);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
}

LADDER("9.6.1.1", ud_resp, multicast_qpn_to_unicast_address,
	"QP 0xFFFFFF at a unicast address is dropped")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .qpn = PHCA_QPN_MULTICAST);
	expect_nothing();
	expect_verdict(MCAST, 1);
}

LADDER("10.3.1.2", ud_resp, init_drops,
	"in INIT inbound messages are not processed; receives may be posted")
{
	c.attr.state = PHCA_QPS_INIT;
	recvs(1);
	give(UD_SEND_ONLY, .n = 8);
	expect_nothing();
	expect_verdict(QP_STATE, 1);
	expect_int(modify(PHCA_QPS_RTR, 0), 0);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
}

LADDER("10.3.1.3", ud_resp, rtr_receives, "in RTR inbound messages are processed")
{
	c.attr.state = PHCA_QPS_RTR;
	recvs(1);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
}

LADDER("10.3.1.6", ud_resp, sqe_receives,
	"an error of the send queue leaves the receive queue working")
{
	recvs(1);
	post(SEND, .n = 8, .lkey = 0xdead00);
	expect_sent(LOC_PROT_ERR);
	expect_state(SQE);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
}

LADDER("10.3.1.5", ud_resp, sqd_receives, "a drained send queue leaves the receive queue working")
{
	recvs(1);
	expect_int(modify(PHCA_QPS_SQD, 0), 0);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
}

LADDER("10.3.1.7", ud_resp, error_flushes_receives,
	"in ERR receives posted before and after are flushed in order; packets are dropped")
{
	recvs(3);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_flushed(3, 0);
	recvs(2);
	expect_flushed(2, 0);
	give(UD_SEND_ONLY, .n = 8);
	expect_nothing();
	expect_verdict(QP_STATE, 1);
}

LADDER("10.3.1.1", ud_resp, reset_forgets_receives,
	"RESET removes what was posted without completing it")
{
	recvs(3);
	expect_int(modify(PHCA_QPS_RESET, 0), 0);
	expect_nothing();
	expect_int(modify(PHCA_QPS_INIT, PHCA_QP_PKEY | PHCA_QP_QKEY), 0);
	expect_int(modify(PHCA_QPS_RTR, 0), 0);
	give(UD_SEND_ONLY, .n = 8);
	expect_nothing();
	expect_verdict(NO_RECV, 1);
}

LADDER("9.9.3", ud_resp, receive_with_a_wrong_lkey,
	"a receive whose memory refuses completes in error, the QP goes to ERR")
{
	uint32_t good = c.lkey;

	c.lkey ^= 0xff00;
	recvs(1);
	c.lkey = good;
	recvs(1);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .status = PHCA_WC_LOC_PROT_ERR);
	expect_flushed(1, 0);
	expect_state(ERR);
	expect_event(QP_ACCESS_ERR);
}

LADDER("10.2.9", ud_resp, shared_receive_queue, "receives come from the shared receive queue")
{
	c.with_srq = true;
	recvs(2);
	give(UD_SEND_ONLY, .n = 8, .seed = 4);
	expect_recv(RECV, .n = 8, .seed = 4);
	give(UD_SEND_ONLY, .n = 9, .seed = 5);
	expect_recv(RECV, .n = 9, .seed = 5);
	give(UD_SEND_ONLY, .n = 9);
	expect_nothing();
	expect_verdict(NO_RECV, 1);
}

LADDER("10.2.9.5", ud_resp, srq_limit_event,
	"the limit event comes once, when fewer receives are left than the limit")
{
	c.with_srq = true;
	c.srq_limit = 2;
	recvs(3);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
	expect_no_event();
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
	expect_event(SRQ_LIMIT);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
	expect_no_event();
	expect_int(phca_srq_limit(c.srq), 0);
}

LADDER("11.6.3.5", ud_resp, cq_overrun, "a completion that finds no room puts CQ and QP in error")
{
	c.one_cq_entry = true;
	recvs(3);
	give(UD_SEND_ONLY, .n = 8);
	give(UD_SEND_ONLY, .n = 8);
	give(UD_SEND_ONLY, .n = 8);
	expect_event(CQ_ERR);
	expect_state(ERR);
}

LADDER("11.6.3.1", ud_resp, communication_established,
	"the first message in RTR raises the event, later ones do not")
{
	c.attr.state = PHCA_QPS_RTR;
	recvs(2);
	expect_no_event();
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
	expect_event(COMM_EST);
	give(UD_SEND_ONLY, .n = 8);
	expect_recv(RECV, .n = 8);
	expect_no_event();
}

LADDER("11.6.3.2", ud_resp, last_wqe_reached,
	"a QP with an SRQ in ERR takes no more receives, and says so once")
{
	c.with_srq = true;
	recvs(2);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_event(QP_FATAL);
	expect_event(LAST_WQE);
	expect_no_event();
	expect_no_completion();
}
