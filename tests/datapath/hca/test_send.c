/* SPDX-License-Identifier: BSD-3-Clause */
/* Outbound UD SEND, its errors, and the states of a queue pair. */
#include <string.h>

#include "lab.h"

static const uint8_t peer_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };

static int gid4_index(const struct lab *l)
{
	uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

	return phca_net_gid_find(l->net, own);
}

static struct phca_send_wr send_wr(const struct lab *l, const struct phca_sge *sge, unsigned int n)
{
	struct phca_send_wr w = {
		.wr_id = 42, .sge = sge, .num_sge = n, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED,
		.remote_qpn = 0x1234, .remote_qkey = 0xabcd,
	};

	memcpy(w.av.dgid, peer_gid, 16);
	w.av.sgid_index = (uint8_t)gid4_index(l);
	return w;
}

PHCA_TEST(send, ud_packet_is_right_in_every_field)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0x55);
	struct phca_sge sge[2] = { { (uintptr_t)q.buf, 3, q.lkey }, { (uintptr_t)q.buf + 8, 30, q.lkey } };
	struct phca_send_wr w = send_wr(l, sge, 2);
	const struct phca_deth *deth;
	const struct phca_immdt *imm;
	struct rte_mbuf *m;
	struct phca_pkt p;
	struct phca_wc wc;
	uint8_t *f;

	for (int i = 0; i < 64; i++)
		q.buf[i] = (uint8_t)(i < 3 ? i : i - 5);
	w.opcode = PHCA_WR_SEND_WITH_IMM;
	w.flags |= PHCA_SEND_SOLICITED;
	memcpy(&w.imm, "abcd", 4);
	w.av.traffic_class = 0x68;
	CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), 1);
	lab_turn(l, 3);
	CU_ASSERT_FATAL((m = lab_capture(l)) != NULL);
	f = rte_pktmbuf_mtod(m, uint8_t *);
	CU_ASSERT_EQUAL(phca_wire_parse(f, m->data_len, PHCA_PARSE_ICRC, &p), PHCA_V_OK);
	CU_ASSERT_EQUAL(memcmp(f, "\2\0\0\0\0\2", 6), 0);
	CU_ASSERT_EQUAL(p.opcode, PHCA_UD_SEND_ONLY_IMM);
	CU_ASSERT_EQUAL(p.dqpn, 0x1234);
	CU_ASSERT_EQUAL(p.psn.v, 0);
	CU_ASSERT_EQUAL(p.pkey, 0xffff);
	CU_ASSERT_EQUAL(p.tclass, 0x68);
	CU_ASSERT_EQUAL(p.payload_len, 33);
	CU_ASSERT(p.flags & PHCA_PKT_SOLICITED);
	CU_ASSERT_FATAL((deth = phca_pkt_hdr(f, &p, PHCA_HDR_DETH)) != NULL);
	CU_ASSERT_EQUAL(phca_get32(deth->qkey), 0xabcd);
	CU_ASSERT_EQUAL(phca_get24(deth->sqpn), 0x55);
	CU_ASSERT_FATAL((imm = phca_pkt_hdr(f, &p, PHCA_HDR_IMMDT)) != NULL);
	CU_ASSERT_EQUAL(memcmp(imm->imm, "abcd", 4), 0);
	CU_ASSERT(lab_is(f + p.payload_off, 33, 0));
	rte_pktmbuf_free(m);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 42);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_SEND);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(send, psn_counts_and_unsignaled_gives_no_completion)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_send_wr w = send_wr(l, NULL, 0);
	struct rte_mbuf *m;
	struct phca_pkt p;
	struct phca_wc wc;

	w.flags = PHCA_SEND_INLINE;
	w.inline_data = "hello";
	w.inline_len = 5;
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), 1);
	lab_turn(l, 3);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_FATAL((m = lab_capture(l)) != NULL);
		phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, PHCA_PARSE_ICRC, &p);
		CU_ASSERT_EQUAL(p.psn.v, i);
		CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(m, uint8_t *) + p.payload_off, "hello", 5), 0);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_FALSE(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(lab_info(&q).stats.tx_direct, 3);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(send, top_bit_of_the_qkey_stands_for_the_qps_own)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_send_wr w = send_wr(l, NULL, 0);
	struct rte_mbuf *m;
	struct phca_pkt p;

	w.remote_qkey = 0x80000000u;
	CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), 1);
	lab_turn(l, 3);
	CU_ASSERT_FATAL((m = lab_capture(l)) != NULL);
	phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, 0, &p);
	CU_ASSERT_EQUAL(phca_get32(((const struct phca_deth *)phca_pkt_hdr(rte_pktmbuf_mtod(m, void *), &p,
		PHCA_HDR_DETH))->qkey), LAB_QKEY);
	rte_pktmbuf_free(m);
	lab_qp_free(l, &q);
	lab_close(l);
}

static void expect_error(struct lab *l, struct lab_qp *q, const struct phca_send_wr *w, uint32_t status)
{
	struct phca_qp_attr a = { .state = PHCA_QPS_RTS };
	struct phca_send_wr ok = send_wr(l, NULL, 0);
	struct phca_wc wc;

	ok.flags = 0; /* unsignaled: but a flush is always told */
	ok.wr_id = 43;
	CU_ASSERT_EQUAL(phca_post_send(q->qp, w, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(q->qp, &ok, 1), 1);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 42);
	CU_ASSERT_EQUAL(wc.status, status);
	CU_ASSERT_FATAL(lab_poll(q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 43);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_PTR_NULL(lab_capture(l));
	CU_ASSERT_EQUAL(lab_info(q).state, PHCA_QPS_SQE);
	/* and it recovers */
	CU_ASSERT_EQUAL(phca_qp_modify(q->qp, &a, PHCA_QP_STATE), 0);
	ok.flags = PHCA_SEND_SIGNALED;
	CU_ASSERT_EQUAL(phca_post_send(q->qp, &ok, 1), 1);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	rte_pktmbuf_free(lab_capture(l));
}

PHCA_TEST(send, bad_work_requests_stop_the_send_queue_only)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_sge sge = { (uintptr_t)q.buf, 8, q.lkey };
	struct phca_send_wr w = send_wr(l, &sge, 1);
	struct phca_send_wr bad;
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_wc wc;

	sge.lkey ^= 1;
	expect_error(l, &q, &w, PHCA_WC_LOC_PROT_ERR);
	sge.lkey ^= 1;
	sge.length = LAB_MTU + 1;
	expect_error(l, &q, &w, PHCA_WC_LOC_LEN_ERR);
	sge.length = 8;
	bad = w;
	bad.av.sgid_index = 15;
	expect_error(l, &q, &bad, PHCA_WC_LOC_QP_OP_ERR);
	bad = w;
	memset(bad.av.dgid, 0x20, 16); /* IPv6 destination, IPv4 source */
	expect_error(l, &q, &bad, PHCA_WC_LOC_QP_OP_ERR);
	bad = w;
	bad.remote_qpn = PHCA_QPN_MAX + 1;
	expect_error(l, &q, &bad, PHCA_WC_LOC_QP_OP_ERR);
	lab_post(&q, 1); /* it still receives */
	lab_send(l, &h, 8, 0);
	lab_turn(l, 3);
	CU_ASSERT(lab_poll(&q, &wc));
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(send, post_refuses_what_does_not_fit_and_takes_what_does)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0), uc = lab_qp(l, PHCA_QPT_UC, 0);
	struct phca_sge sge[5];
	struct phca_send_wr w = send_wr(l, sge, 5), many[LAB_DEPTH + 5];
	struct phca_recv_wr r = { 1, sge, 5 };

	memset(sge, 0, sizeof(sge));
	CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), -EINVAL);
	CU_ASSERT_EQUAL(phca_post_recv(q.qp, &r, 1), -EINVAL);
	CU_ASSERT_EQUAL(phca_post_send(uc.qp, &w, 1), -EINVAL);
	w.num_sge = 1;
	for (unsigned int op = 0; op < 12; op++) { /* table 91 */
		bool both = op == PHCA_WR_SEND || op == PHCA_WR_SEND_WITH_IMM;
		bool write = op == PHCA_WR_RDMA_WRITE || op == PHCA_WR_RDMA_WRITE_WITH_IMM;

		w.opcode = op;
		if (!both)
			CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), -EINVAL);
		if (!both && !write)
			CU_ASSERT_EQUAL(phca_post_send(uc.qp, &w, 1), -EINVAL);
	}
	for (unsigned int i = 0; i < LAB_DEPTH + 5; i++)
		many[i] = send_wr(l, NULL, 0);
	CU_ASSERT_EQUAL(phca_post_send(q.qp, many, LAB_DEPTH + 5), LAB_DEPTH);
	CU_ASSERT_EQUAL(phca_post_send(q.qp, many, 1), 0);
	lab_turn(l, 5);
	CU_ASSERT_EQUAL(phca_post_send(q.qp, many, 1), 1);
	lab_qp_free(l, &q);
	lab_qp_free(l, &uc);
	lab_close(l);
}

PHCA_TEST(send, unresolved_neighbour_is_asked_then_dropped)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_send_wr w = send_wr(l, NULL, 0);
	struct phca_wc wc;

	w.av.dgid[15] = 200;
	CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), 1);
	lab_turn(l, 10);
	CU_ASSERT_FALSE(lab_poll(&q, &wc));
	for (int i = 0; i < 60; i++) { /* 6 s */
		l->now_ns += 100000000;
		lab_turn(l, 2);
	}
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_info(&q).stats.tx_unresolved, 1);
	CU_ASSERT_EQUAL(lab_info(&q).stats.tx_packets, 0);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(send, one_busy_qp_does_not_starve_another)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp a = lab_qp_cqe(l, PHCA_QPT_UD, 0, 1024), b = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_send_wr w = send_wr(l, NULL, 0);
	struct rte_mbuf *m;
	unsigned int seen = 0, n = 0;

	for (unsigned int i = 0; i < LAB_DEPTH; i++)
		CU_ASSERT_EQUAL(phca_post_send(a.qp, &w, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(b.qp, &w, 1), 1);
	lab_turn(l, 10);
	while ((m = lab_capture(l)) != NULL) {
		struct phca_pkt p;

		phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, 0, &p);
		if (phca_get24(((const struct phca_deth *)phca_pkt_hdr(rte_pktmbuf_mtod(m, void *), &p,
				PHCA_HDR_DETH))->sqpn) == b.qpn)
			seen = n;
		n++;
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(n, LAB_DEPTH + 1);
	CU_ASSERT(seen > 0 && seen < LAB_DEPTH / 2);
	lab_qp_free(l, &a);
	lab_qp_free(l, &b);
	lab_close(l);
}

/* ------------------------------------------------------------- states */

PHCA_TEST(state, transitions_need_their_attributes)
{
	struct lab *l = lab_open(NULL);
	struct phca_qp_init i = { .type = PHCA_QPT_UC, .pd = l->pd, .max_recv_wr = 4, .max_recv_sge = 1 };
	struct phca_qp_attr a = { .state = PHCA_QPS_INIT, .pkey = 0xffff, .path_mtu = 512, .dest_qpn = 3 };
	struct phca_qp_attr got;
	struct phca_cq *cq;
	struct phca_qp *qp;

	CU_ASSERT_FATAL(phca_cq_create(l->client, 8, &cq) == 0);
	i.send_cq = i.recv_cq = cq;
	CU_ASSERT_FATAL(phca_qp_create(l->client, &i, &qp) == 0);
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE), -EINVAL);              /* lacks */
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS | PHCA_QP_QKEY),
		-EINVAL);                                                             /* too much */
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN), -EINVAL); /* not from INIT */
	a.state = PHCA_QPS_RTR;
	a.path_mtu = 2048; /* the port has 1024 */
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a,
		PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN), -EINVAL);
	a.path_mtu = 513;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a,
		PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN), -EINVAL);
	a.path_mtu = 512;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a,
		PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN), 0);
	CU_ASSERT_EQUAL(phca_qp_query(qp, &got), 0);
	CU_ASSERT_EQUAL(got.state, PHCA_QPS_RTR);
	CU_ASSERT_EQUAL(got.path_mtu, 512);
	CU_ASSERT_EQUAL(got.dest_qpn, 3);
	CU_ASSERT_EQUAL(phca_cq_destroy(cq), -EBUSY);
	CU_ASSERT_EQUAL(phca_pd_free(l->mem, l->pd), -EBUSY);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(cq), 0);
	lab_close(l);
}

PHCA_TEST(state, bad_creations_are_refused)
{
	struct lab *l = lab_open(NULL);
	struct phca_cq *cq;
	struct phca_qp_init good = { .type = PHCA_QPT_UD, .pd = l->pd, .qpn = 0x30 }, i;
	struct phca_qp *qp, *qp2;

	CU_ASSERT_EQUAL(phca_cq_create(l->client, 0, &cq), -EINVAL);
	CU_ASSERT_FATAL(phca_cq_create(l->client, 8, &cq) == 0);
	good.send_cq = good.recv_cq = cq;
	i = good, i.type = 1;
	CU_ASSERT_EQUAL(phca_qp_create(l->client, &i, &qp), -EINVAL);
	i = good, i.port = 1;
	CU_ASSERT_EQUAL(phca_qp_create(l->client, &i, &qp), -EINVAL);
	i = good, i.max_recv_sge = PHCA_SGE_MAX + 1;
	CU_ASSERT_EQUAL(phca_qp_create(l->client, &i, &qp), -EINVAL);
	i = good, i.qpn = 0xffffff;
	CU_ASSERT_EQUAL(phca_qp_create(l->client, &i, &qp), -EINVAL);
	i = good, i.pd = 9999;
	CU_ASSERT_EQUAL(phca_qp_create(l->client, &i, &qp), -EINVAL);
	CU_ASSERT_FATAL(phca_qp_create(l->client, &good, &qp) == 0);
	CU_ASSERT_EQUAL(phca_qp_create(l->client, &good, &qp2), -EEXIST);
	CU_ASSERT_PTR_EQUAL(phca_qp_find(l->hca, 0x30), qp);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp), 0);
	CU_ASSERT_PTR_NULL(phca_qp_find(l->hca, 0x30));
	CU_ASSERT_EQUAL(phca_cq_destroy(cq), 0);
	lab_close(l);
}
