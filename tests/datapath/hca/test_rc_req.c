/* SPDX-License-Identifier: BSD-3-Clause */
/* The requester of RC on a clean network: packets that come out, answers that go in (9.7, 9.9). */
#include <string.h>

#include "req_peer.h"

PHCA_TEST(rc_req, send_of_one_packet_completes_with_its_ack)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 5);

	w.flags |= PHCA_SEND_SOLICITED;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	CU_ASSERT_EQUAL(p.p.payload_len, 5);
	CU_ASSERT(p.p.flags & PHCA_PKT_ACKREQ);
	CU_ASSERT(p.p.flags & PHCA_PKT_SOLICITED);
	CU_ASSERT(lab_is(p.frame + p.p.payload_off, 5, 0));
	peer_expect_none(&p);
	peer_no_wc(&p);
	peer_ack(&p, PEER_PSN, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_no_wc(&p);
	CU_ASSERT_EQUAL(lab_verdict(p.l, PHCA_V_ACK), 1);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.rx_acks, 1);
	peer_close(&p);
}

PHCA_TEST(rc_req, message_is_split_by_the_path_mtu)
{
	struct peer_opts o = { .mtu = 256, .psn = 0xfffffe }; /* and the PSN wraps */
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND_WITH_IMM, 3 * 256 + 1);
	static const uint8_t op[] = {
		PHCA_RC_SEND_FIRST, PHCA_RC_SEND_MIDDLE, PHCA_RC_SEND_MIDDLE, PHCA_RC_SEND_LAST_IMM,
	};
	const struct phca_immdt *imm;

	w.flags |= PHCA_SEND_SOLICITED;
	memcpy(&w.imm, "wxyz", 4);
	peer_post(&p, &w);
	for (unsigned int i = 0; i < 4; i++) {
		peer_expect(&p, op[i], o.psn + i);
		CU_ASSERT_EQUAL(p.p.payload_len, i < 3 ? 256 : 1);
		CU_ASSERT(lab_is(p.frame + p.p.payload_off, p.p.payload_len, (uint8_t)(i * 256)));
		CU_ASSERT_EQUAL(!!(p.p.flags & PHCA_PKT_ACKREQ), i == 3);
		CU_ASSERT_EQUAL(!!(p.p.flags & PHCA_PKT_SOLICITED), i == 3);
	}
	CU_ASSERT_FATAL((imm = phca_pkt_hdr(p.frame, &p.p, PHCA_HDR_IMMDT)) != NULL);
	CU_ASSERT_EQUAL(memcmp(imm->imm, "wxyz", 4), 0);
	peer_ack(&p, 0, PEER_ACK); /* of the first three */
	peer_no_wc(&p);
	peer_ack(&p, 1, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_req, empty_messages)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 0);

	w.num_sge = 0;
	peer_post(&p, &w);
	w.opcode = PHCA_WR_RDMA_WRITE;
	peer_post(&p, &w);
	w.opcode = PHCA_WR_RDMA_READ;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	CU_ASSERT_EQUAL(p.p.payload_len, 0);
	peer_expect(&p, PHCA_RC_WRITE_ONLY, PEER_PSN + 1);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), 0);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 2);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 2, 0, 0);
	for (unsigned int i = 0; i < 3; i++)
		peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_req, write_names_its_memory_once)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE_WITH_IMM, LAB_MTU + 10);

	w.remote_addr = 0x123456789abcdef0;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_WRITE_FIRST, PEER_PSN);
	CU_ASSERT_EQUAL(phca_get64(peer_reth(&p)->va), 0x123456789abcdef0);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->rkey), 0xabcd);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), LAB_MTU + 10);
	peer_expect(&p, PHCA_RC_WRITE_LAST_IMM, PEER_PSN + 1);
	CU_ASSERT_EQUAL(p.p.payload_len, 10);
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	w.opcode = PHCA_WR_RDMA_WRITE;
	w.num_sge = 1;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_WRITE_FIRST, PEER_PSN + 2);
	peer_expect(&p, PHCA_RC_WRITE_LAST, PEER_PSN + 3);
	peer_close(&p);
}

PHCA_TEST(rc_req, send_with_invalidate)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND_WITH_INV, 8);
	const struct phca_ieth *ieth;

	w.rkey = 0x1234567;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_SEND_ONLY_INV, PEER_PSN);
	CU_ASSERT_FATAL((ieth = phca_pkt_hdr(p.frame, &p.p, PHCA_HDR_IETH)) != NULL);
	CU_ASSERT_EQUAL(phca_get32(ieth->rkey), 0x1234567);
	w = peer_wr(&p, PHCA_WR_SEND_WITH_INV, LAB_MTU + 1);
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_SEND_FIRST, PEER_PSN + 1);
	peer_expect(&p, PHCA_RC_SEND_LAST_INV, PEER_PSN + 2);
	peer_ack(&p, PEER_PSN + 2, PEER_ACK); /* one for both */
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_req, read_lands_in_order_and_completes_with_its_last_response)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 2 * LAB_MTU + 7);
	struct phca_wc wc;

	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	CU_ASSERT_EQUAL(p.p.payload_len, 0);
	CU_ASSERT_EQUAL(phca_get64(peer_reth(&p)->va), 0x10000);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), 2 * LAB_MTU + 7);
	w = peer_wr(&p, PHCA_WR_SEND, 1);
	w.wr_id = 2;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 3); /* behind the PSNs of the responses (9.7.3.1) */
	peer_read_resp(&p, PHCA_RC_READ_RESP_FIRST, PEER_PSN, LAB_MTU, 1);
	peer_read_resp(&p, PHCA_RC_READ_RESP_MIDDLE, PEER_PSN + 1, LAB_MTU, 2);
	peer_no_wc(&p);
	peer_read_resp(&p, PHCA_RC_READ_RESP_LAST, PEER_PSN + 2, 7, 3);
	CU_ASSERT_FATAL(lab_poll(&p.q, &wc));
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_RDMA_READ);
	CU_ASSERT_EQUAL(wc.byte_len, 2 * LAB_MTU + 7);
	CU_ASSERT(lab_is(p.mem, LAB_MTU, 1));
	CU_ASSERT(lab_is(p.mem + LAB_MTU, LAB_MTU, 2));
	CU_ASSERT(lab_is(p.mem + 2 * LAB_MTU, 7, 3));
	peer_no_wc(&p);
	peer_ack(&p, PEER_PSN + 3, PEER_ACK);
	peer_wc(&p, 2, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.rx_responses, 3);
	peer_close(&p);
}

PHCA_TEST(rc_req, read_response_acknowledges_what_was_sent_before)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 1);

	peer_post(&p, &w);
	w = peer_wr(&p, PHCA_WR_RDMA_READ, 9);
	w.wr_id = 2;
	peer_post(&p, &w);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 1, 9, 1);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_req, atomics)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_ATOMIC_CMP_AND_SWP, 8);
	const struct phca_atomiceth *a;
	struct phca_wc wc;
	uint64_t orig;

	w.compare_add = 0x1112131415161718;
	w.swap = 0x2122232425262728;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_CMP_SWAP, PEER_PSN);
	CU_ASSERT_FATAL((a = phca_pkt_hdr(p.frame, &p.p, PHCA_HDR_ATOMICETH)) != NULL);
	CU_ASSERT_EQUAL(phca_get64(a->va), 0x10000);
	CU_ASSERT_EQUAL(phca_get32(a->rkey), 0xabcd);
	CU_ASSERT_EQUAL(phca_get64(a->swap_add), 0x2122232425262728);
	CU_ASSERT_EQUAL(phca_get64(a->cmp), 0x1112131415161718);
	peer_atomic_ack(&p, PEER_PSN, 0x0102030405060708);
	CU_ASSERT_FATAL(lab_poll(&p.q, &wc));
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_COMP_SWAP);
	CU_ASSERT_EQUAL(wc.byte_len, 8);
	memcpy(&orig, p.mem, 8);
	CU_ASSERT_EQUAL(orig, 0x0102030405060708);
	w.opcode = PHCA_WR_ATOMIC_FETCH_AND_ADD;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_FETCH_ADD, PEER_PSN + 1);
	CU_ASSERT_FATAL((a = phca_pkt_hdr(p.frame, &p.p, PHCA_HDR_ATOMICETH)) != NULL);
	CU_ASSERT_EQUAL(phca_get64(a->swap_add), 0x1112131415161718);
	peer_atomic_ack(&p, PEER_PSN + 1, 1);
	CU_ASSERT_FATAL(lab_poll(&p.q, &wc));
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_FETCH_ADD);
	peer_close(&p);
}

PHCA_TEST(rc_req, window_closes_and_the_last_packet_asks)
{
	struct peer_opts o = { .mtu = 256 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 256 * (PHCA_RC_WINDOW + 40));
	unsigned int n = 0, asked = 0, since = 0;

	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 40);
	for (; peer_next(&p); n++) {
		since++;
		if (p.p.flags & PHCA_PKT_ACKREQ) {
			CU_ASSERT(since <= 32);
			since = 0;
			asked++;
		}
	}
	CU_ASSERT_EQUAL(n, PHCA_RC_WINDOW);
	CU_ASSERT_EQUAL(since, 0);
	CU_ASSERT(asked <= PHCA_RC_WINDOW / 32);
	peer_ack(&p, PEER_PSN + PHCA_RC_WINDOW - 1, PEER_ACK);
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 40);
	peer_ack(&p, PEER_PSN + PHCA_RC_WINDOW + 39, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.tx_resent, 0);
	peer_close(&p);
}

PHCA_TEST(rc_req, acknowledgement_is_asked_for_with_the_last_of_what_is_queued)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 64);

	for (unsigned int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 3);
	for (unsigned int i = 0; i < 10; i++) {
		peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + i);
		CU_ASSERT_EQUAL(!!(p.p.flags & PHCA_PKT_ACKREQ), i == 9);
	}
	peer_ack(&p, PEER_PSN + 9, PEER_ACK);
	for (unsigned int i = 0; i < 10; i++)
		peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_req, slots_are_free_again_when_requests_have_completed)
{
	struct peer_opts o = { .depth = 4 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 64), many[5] = { w, w, w, w, w };

	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, many, 5), 4);
	lab_turn(p.l, 3);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, many, 1), 0);
	CU_ASSERT_EQUAL(peer_drain(&p), 4);
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, many, 5), 2);
	lab_turn(p.l, 3);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 4);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 5);
	CU_ASSERT(p.p.flags & PHCA_PKT_ACKREQ);
	peer_close(&p);
}

PHCA_TEST(rc_req, no_more_reads_and_atomics_than_allowed)
{
	struct peer_opts o = { .max_rd_atomic = 2 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 8);

	for (unsigned int i = 0; i < 4; i++)
		peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 1);
	peer_expect_none(&p);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, 8, 0);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 2);
	peer_expect_none(&p);
	peer_close(&p);
}

PHCA_TEST(rc_req, fence_waits_for_reads)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 8);

	peer_post(&p, &w);
	w = peer_wr(&p, PHCA_WR_SEND, 8);
	w.flags |= PHCA_SEND_FENCE;
	w.wr_id = 2;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	peer_expect_none(&p);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, 8, 0);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_req, long_read_is_asked_for_in_pieces_that_fit_the_window)
{
	struct peer_opts o = { .mtu = 256 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 256 * 300);
	unsigned int off = 0;

	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), 256 * 128);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 128);
	CU_ASSERT_EQUAL(phca_get64(peer_reth(&p)->va), 0x10000 + 256 * 128);
	peer_expect_none(&p);
	for (; off < 300; off++) {
		bool first = off % 128 == 0, last = off % 128 == 127 || off == 299;

		peer_read_resp(&p, last ? PHCA_RC_READ_RESP_LAST : first ? PHCA_RC_READ_RESP_FIRST :
			PHCA_RC_READ_RESP_MIDDLE, PEER_PSN + off, 256, (uint8_t)off);
	}
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 256);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), 256 * 44);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	for (off = 0; off < 300; off++)
		CU_ASSERT(lab_is(p.mem + 256 * off, 256, (uint8_t)off));
	peer_close(&p);
}

PHCA_TEST(rc_req, unsignaled_requests_give_no_completion_but_are_freed)
{
	struct peer_opts o = { .depth = 2 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 8);

	w.flags = 0;
	for (unsigned int i = 0; i < 7; i++) {
		peer_post(&p, &w);
		peer_ack(&p, PEER_PSN + i, PEER_ACK);
	}
	peer_no_wc(&p);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.tx_direct, 7);
	peer_close(&p);
}

PHCA_TEST(rc_req, list_of_32_elements_and_inline_data)
{
	struct peer_opts o = { .sges = 32, .mtu = 256 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 0);
	struct phca_sge sge[32];

	for (unsigned int i = 0; i < 32; i++)
		sge[i] = (struct phca_sge){ (uintptr_t)p.mem + 11 * i, 11, p.key };
	w.sge = sge;
	w.num_sge = 32;
	peer_post(&p, &w);
	memset(sge, 0, sizeof(sge));
	peer_expect(&p, PHCA_RC_SEND_FIRST, PEER_PSN);
	CU_ASSERT(lab_is(p.frame + p.p.payload_off, 256, 0));
	peer_expect(&p, PHCA_RC_SEND_LAST, PEER_PSN + 1);
	CU_ASSERT_EQUAL(p.p.payload_len, 32 * 11 - 256);
	CU_ASSERT(lab_is(p.frame + p.p.payload_off, 32 * 11 - 256, 0));
	w = peer_wr(&p, PHCA_WR_SEND, 0);
	w.flags |= PHCA_SEND_INLINE;
	w.inline_data = "inline";
	w.inline_len = 6;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 2);
	CU_ASSERT_EQUAL(memcmp(p.frame + p.p.payload_off, "inline", 6), 0);
	peer_close(&p);
}

PHCA_TEST(rc_req, bulk_does_not_starve_a_small_one)
{
	struct peer_opts o = { .mtu = 256 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, PEER_MEM);
	struct lab_qp ud = lab_qp(p.l, PHCA_QPT_UD, 0);
	struct phca_send_wr small = { .wr_id = 9, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED,
		.av = { .dgid = { [10] = 0xff, 0xff, 192, 0, 2, 2 } }, .remote_qpn = LAB_PEER_QPN };
	static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct phca_wc wc;

	small.av.sgid_index = (uint8_t)phca_net_gid_find(p.l->net, own);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(ud.qp, &small, 1), 1);
	lab_turn(p.l, 1);
	CU_ASSERT(lab_poll(&ud, &wc));
	CU_ASSERT(lab_info(&p.q).stats.tx_packets <= 16);
	lab_qp_free(p.l, &ud);
	peer_close(&p);
}

PHCA_TEST(rc_req, drained_is_told_once_when_all_that_was_begun_has_ended)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 8);
	struct phca_qp_attr a = { .state = PHCA_QPS_SQD, .en_sqd_notify = true }, q;
	struct phca_event ev[4];

	peer_post(&p, &w);
	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_STATE | PHCA_QP_EN_SQD_NOTIFY), 0);
	peer_post(&p, &w); /* does not begin */
	CU_ASSERT_EQUAL(peer_drain(&p), 1);
	CU_ASSERT_EQUAL(phca_qp_query(p.q.qp, &q), 0);
	CU_ASSERT(q.sq_draining);
	CU_ASSERT_EQUAL(phca_hca_events(p.l->hca, ev, 4), 0);
	peer_ack(&p, PEER_PSN, PEER_ACK);
	CU_ASSERT_EQUAL(phca_hca_events(p.l->hca, ev, 4), 1);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_SQ_DRAINED);
	CU_ASSERT_EQUAL(phca_qp_query(p.q.qp, &q), 0);
	CU_ASSERT_FALSE(q.sq_draining);
	peer_expect_none(&p);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_STATE), 0);
	lab_turn(p.l, 2);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	CU_ASSERT_EQUAL(phca_hca_events(p.l->hca, ev, 4), 0);
	peer_close(&p);
}
