/* SPDX-License-Identifier: BSD-3-Clause */
/* The requester of UC: nobody acknowledges, a request is done when its last packet is out (9.8). */
#include <string.h>

#include "req_peer.h"

PHCA_TEST(uc_send, messages_complete_without_an_answer)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_UC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND_WITH_IMM, 2 * LAB_MTU + 3);
	struct phca_wc wc;

	peer_post(&p, &w);
	peer_expect(&p, PHCA_UC_SEND_FIRST, PEER_PSN);
	peer_expect(&p, PHCA_UC_SEND_MIDDLE, PEER_PSN + 1);
	peer_expect(&p, PHCA_UC_SEND_LAST_IMM, PEER_PSN + 2);
	CU_ASSERT_FALSE(p.p.flags & PHCA_PKT_ACKREQ);
	CU_ASSERT_EQUAL(p.p.payload_len, 3);
	CU_ASSERT_FATAL(lab_poll(&p.q, &wc));
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_SEND);
	w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 9);
	w.wr_id = 2;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_UC_WRITE_ONLY, PEER_PSN + 3);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), 9);
	CU_ASSERT_FATAL(lab_poll(&p.q, &wc));
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_RDMA_WRITE);
	w.opcode = PHCA_WR_RDMA_WRITE_WITH_IMM;
	peer_post(&p, &w);
	peer_expect(&p, PHCA_UC_WRITE_ONLY_IMM, PEER_PSN + 4);
	peer_close(&p);
}

PHCA_TEST(uc_send, has_no_window)
{
	struct peer_opts o = { .mtu = 256 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_UC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 256 * 600);

	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 60);
	CU_ASSERT_EQUAL(peer_drain(&p), 600);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(uc_send, error_stops_the_send_queue_and_it_recovers)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_UC, NULL);
	struct phca_send_wr ok = peer_wr(&p, PHCA_WR_SEND, 8), bad = ok;
	struct phca_sge sge = { (uintptr_t)p.mem, 8, p.key ^ 1 };
	struct phca_qp_attr a = { .state = PHCA_QPS_RTS };

	bad.sge = &sge;
	bad.wr_id = 2;
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &ok, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &bad, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &ok, 1), 1);
	lab_turn(p.l, 4);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_LOC_PROT_ERR);
	peer_wc(&p, 1, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_SQE);
	CU_ASSERT_EQUAL(peer_drain(&p), 1);
	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_STATE), 0);
	peer_post(&p, &ok);
	peer_expect(&p, PHCA_UC_SEND_ONLY, PEER_PSN + 1);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}
