/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the peer of an RC queue pair hears of ordered requests: nothing until they are
 * decided and received, then what it would hear without a proxy; or, when that takes too
 * long, an acknowledgement.
 */
#include <string.h>

#include "hca_impl.h"
#include "judged.h"

#define FAR (16 * LAB_BUF)
#define M JUDGE_MARK
#define D 0x10
#define RNR (PHCA_AETH_RNR | LAB_RNR_TIMER)

/* A SEND of one packet, of which the peer hears nothing. */
static void silent(struct fx *x, uint32_t psn, uint8_t seed)
{
	rc_send(&x->c, PHCA_RC_SEND_ONLY, psn, 20, seed);
	rc_expect_nothing(&x->c);
}

static void received(struct fx *x, uint64_t id, uint8_t seed)
{
	rc_expect_recv(&x->c, id, PHCA_WC_SUCCESS, 20);
	CU_ASSERT(lab_is(lab_buf(&x->c.q, id), 20, seed));
}

/* Acknowledged as far as all is decided. */
PHCA_TEST(pass_told, acknowledged_when_decided)
{
	struct fx x = fx_open(NULL, 4, false);

	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, D);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, M); /* in the same turn */
	rc_expect_ack(&x.c, 0, 1);
	silent(&x, 2, D + 1);
	silent(&x, 3, M + 1);
	silent(&x, 4, M + 2);
	judge_pass(x.c.l, x.j, 1);
	rc_expect_nothing(&x.c);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_ack(&x.c, 3, 4);
	judge_done(x.c.l, x.j, 0);
	rc_expect_ack(&x.c, 4, 5);
	received(&x, 0, D);
	received(&x, 1, M);
	received(&x, 2, D + 1);
	received(&x, 3, M + 1);
	rc_expect_no_recv(&x.c);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 4, 20, M + 2);
	rc_expect_ack(&x.c, 4, 5);
	fx_close(&x);
}

/* Packets in front of the last one are acknowledged when they are held. */
PHCA_TEST(pass_told, only_the_last_packet_is_withheld)
{
	struct fx x = fx_open(NULL, 1, false);
	struct phca_wire_hdr h = rc_hdr(&x.c, PHCA_RC_SEND_MIDDLE, 1);

	rc_send(&x.c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, M);
	h.ackreq = true;
	lab_send(x.c.l, &h, LAB_MTU, 2);
	rc_send(&x.c, PHCA_RC_SEND_LAST, 2, 9, 3);
	rc_expect_ack(&x.c, 1, 0);
	rc_expect_nothing(&x.c);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_ack(&x.c, 2, 1);
	rc_expect_recv(&x.c, 0, PHCA_WC_SUCCESS, 2 * LAB_MTU + 9);
	fx_close(&x);
}

/* The peer is not kept waiting: nor is one that asks. */
PHCA_TEST(pass_told, acknowledged_when_it_takes_long)
{
	struct fx x = fx_open(NULL, 2, false);

	silent(&x, 0, M);
	x.c.l->now_ns += RC_WITHHELD_NS / 2;
	silent(&x, 1, D);
	x.c.l->now_ns += RC_WITHHELD_NS / 2;
	rc_expect_ack(&x.c, 1, 2);
	silent(&x, 2, M + 1); /* this one has its own time, */
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 2, 20, M + 1); /* but here it comes again */
	rc_expect_ack(&x.c, 2, 3);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, D);
	rc_expect_ack(&x.c, 2, 3);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_DUPLICATE), 2);
	judge_pass(x.c.l, x.j, 0);
	judge_done(x.c.l, x.j, 0);
	received(&x, 0, M);
	received(&x, 1, D);
	fx_close(&x);
}

/* ------------------------------------------------------------- refused */

/* A message is received, the next one refused by its receive, one is behind it. */
static void refused(struct fx *x, uint32_t status, uint8_t syndrome)
{
	lab_post(&x->c.q, 1);
	rc_send(&x->c, PHCA_RC_SEND_ONLY, 0, 10, M);
	rc_send(&x->c, PHCA_RC_SEND_ONLY, 1, 20, M + 1);
	rc_send(&x->c, PHCA_RC_SEND_ONLY, 2, 20, D);
	rc_expect_nothing(&x->c);
	judge_pass(x->c.l, x->j, 1);
	judge_pass(x->c.l, x->j, 0);
	rc_expect_nak(&x->c, syndrome, 1); /* acknowledges the first one, too */
	rc_expect_recv(&x->c, 0, PHCA_WC_SUCCESS, 10);
	rc_expect_recv(&x->c, 1, status, 0);
	rc_expect_recv(&x->c, 2, PHCA_WC_WR_FLUSH_ERR, 0);
	rc_expect_state(&x->c, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_info(&x->c.q).stats.rx_pass_dropped, 2); /* and the one behind it */
	CU_ASSERT_EQUAL(lab_info(&x->c.q).stats.tx_naks, 1);
	fx_close(x);
}

PHCA_TEST(pass_told, too_long_for_its_receive)
{
	struct fx x = fx_open(NULL, 1, false);

	fx_post(&x, 19, x.c.q.lkey);
	refused(&x, PHCA_WC_LOC_LEN_ERR, PHCA_NAK_INV_REQ);
}

PHCA_TEST(pass_told, receive_whose_memory_is_not_the_applications)
{
	struct fx x = fx_open(NULL, 1, false);

	fx_post(&x, LAB_BUF, x.c.q.lkey ^ 1);
	refused(&x, PHCA_WC_LOC_PROT_ERR, PHCA_NAK_REM_OP);
}

PHCA_TEST(pass_told, invalid_receive)
{
	struct fx x = fx_open(NULL, 2, false);
	struct phca_ring *rq = &x.c.q.qp->rq;

	((struct phca_recv_wqe *)phca_ring_slot(rq, rq->own + 1))->num_sge = 5; /* more than there is room for */
	refused(&x, PHCA_WC_LOC_QP_OP_ERR, PHCA_NAK_REM_OP);
}

PHCA_TEST(pass_told, nonsense_in_the_receive_queue)
{
	struct fx x = fx_open(NULL, 1, false);

	silent(&x, 0, M);
	x.c.q.qp->rq.hdr->prod += 1000;
	x.c.q.qp->rq.other = x.c.q.qp->rq.own; /* as if all that was seen had been taken */
	judge_pass(x.c.l, x.j, 0);
	rc_expect_nak(&x.c, PHCA_NAK_REM_OP, 0);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	fx_close(&x);
}

/* It has been acknowledged by then: the next one that has not been is NAKed, if there is one. */
PHCA_TEST(pass_told, refused_when_it_was_acknowledged)
{
	for (unsigned int more = 0; more < 2; more++) {
		struct fx x = fx_open(NULL, 0, false);

		fx_post(&x, 19, x.c.q.lkey);
		rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, M);
		rc_expect_ack_late(&x.c, 0, 1);
		if (more)
			silent(&x, 1, D);
		judge_pass(x.c.l, x.j, 0);
		if (more)
			rc_expect_nak(&x.c, PHCA_NAK_REM_OP, 1);
		rc_expect_recv(&x.c, 0, PHCA_WC_LOC_LEN_ERR, 0);
		rc_expect_state(&x.c, PHCA_QPS_ERR);
		fx_close(&x);
	}
}

/* The memory of a WRITE goes while its offload looks at it (9.7.4.1.5). */
PHCA_TEST(pass_told, write_whose_key_is_gone)
{
	struct fx x = fx_open(NULL, 0, false);
	struct phca_wire_hdr h = rc_hdr(&x.c, PHCA_RC_WRITE_ONLY, 0);
	static uint8_t mem[64];
	uint32_t key;

	CU_ASSERT_FATAL(phca_mr_reg(x.c.l->mem, x.c.l->pd, mem, sizeof(mem), (uintptr_t)mem,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &key) == 0);
	h.va = (uintptr_t)mem;
	h.rkey = key;
	h.dma_len = 20;
	lab_send(x.c.l, &h, 20, M);
	rc_expect_nothing(&x.c);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.c.l->mem, key), 0);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_nak(&x.c, PHCA_NAK_REM_ACCESS, 0);
	rc_expect_state(&x.c, PHCA_QPS_ERR);
	fx_close(&x);
}

/* The oldest that fails is told; what is in front of the one to blame fails with the queue pair. */
PHCA_TEST(pass_told, offload_that_fails)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct fx x = fx_open(NULL, 0, false);
		struct phca_offload_req *r;

		silent(&x, 0, M);
		silent(&x, 1, M + 1);
		r = x.j->req[i];
		x.j->req[0] = x.j->req[1 - i];
		x.j->n = 1;
		phca_offload_done(r, PHCA_WC_REM_INV_REQ_ERR);
		rc_expect_nak(&x.c, i == 0 ? PHCA_NAK_INV_REQ : PHCA_NAK_REM_OP, 0);
		rc_expect_state(&x.c, PHCA_QPS_ERR);
		CU_ASSERT_EQUAL(x.j->n, i); /* those behind it are cancelled */
		if (i > 0)
			judge_done(x.c.l, x.j, 0);
		fx_close(&x);
	}
}

/* A request behind is refused, which ends what is not decided: that is what the peer is told. */
PHCA_TEST(pass_told, what_is_behind_is_refused)
{
	struct fx x = fx_open(NULL, 1, false);

	silent(&x, 0, M);
	rc_send(&x.c, PHCA_RC_SEND_MIDDLE, 1, LAB_MTU, D);
	rc_expect_nak(&x.c, PHCA_NAK_REM_OP, 0);
	rc_expect_recv(&x.c, 0, PHCA_WC_WR_FLUSH_ERR, 0);
	fx_close(&x);
}

/* A queue pair that its application moves to ERR says nothing any more, also of what ends thereby. */
PHCA_TEST(pass_told, application_ends_it)
{
	const struct phca_qp_attr err = { .state = PHCA_QPS_ERR };
	struct fx x = fx_open(NULL, 1, false);

	silent(&x, 0, M);
	silent(&x, 1, D);
	CU_ASSERT_EQUAL(phca_qp_modify(x.c.q.qp, &err, PHCA_QP_STATE), 0);
	rc_expect_nothing(&x.c);
	x.c.l->now_ns += 2 * RC_WITHHELD_NS;
	rc_expect_nothing(&x.c);
	rc_expect_recv(&x.c, 0, PHCA_WC_WR_FLUSH_ERR, 0);
	CU_ASSERT_EQUAL(x.j->n, 0);
	lab_qp_restart(x.c.l, &x.c.q, PHCA_QPS_RTS, 0);
	lab_post(&x.c.q, 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, D + 1); /* nothing is left of that */
	rc_expect_ack(&x.c, 0, 1);
	received(&x, 1, D + 1);
	fx_close(&x);
}

/* Reset and destroyed while something is withheld, and while something waits for a receive. */
PHCA_TEST(pass_told, reset_and_destroy)
{
	for (unsigned int stage = 0; stage < 4; stage++) {
		struct fx x = fx_open(NULL, 0, false);

		silent(&x, 0, M);
		if (stage & 1) {
			judge_pass(x.c.l, x.j, 0);
			rc_expect_nak(&x.c, RNR, 0);
		}
		if (stage & 2) {
			lab_qp_restart(x.c.l, &x.c.q, PHCA_QPS_RTS, 5);
			x.c.l->now_ns += 2 * RC_WITHHELD_NS;
			rc_expect_nothing(&x.c);
			silent(&x, 5, M);
			judge_done(x.c.l, x.j, 0);
			rc_expect_ack(&x.c, 5, 1);
		}
		fx_close(&x);
	}
}

/* ----------------------------------------------------- receive not ready */

/* As without a proxy, the peer hears of an empty receive queue (9.7.5.2.8), and comes again. */
PHCA_TEST(pass_told, no_receive)
{
	struct fx x = fx_open(NULL, 0, false);

	silent(&x, 0, M);
	silent(&x, 1, D);
	rc_read(&x.c, 2, FAR, 64); /* is not answered before them */
	judge_pass(x.c.l, x.j, 0);
	rc_expect_nak(&x.c, RNR, 0);
	x.c.l->now_ns += 2 * RC_WITHHELD_NS;
	rc_expect_nothing(&x.c); /* it may wait for as long as the application likes */
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, M);
	rc_expect_nak(&x.c, RNR, 0);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, D); /* it has begun again */
	rc_expect_nothing(&x.c);
	lab_post(&x.c.q, 1);
	rc_expect_nak(&x.c, RNR, 1); /* acknowledges the first one */
	received(&x, 0, M);
	lab_post(&x.c.q, 1);
	rc_expect_read(&x.c, 2, FAR, 64); /* acknowledges the second one */
	received(&x, 1, D);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, D);
	rc_expect_ack(&x.c, 4 - 2, 3);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_pass_waits, 2);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.tx_rnr_naks, 3);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_passed, 2);
	fx_close(&x);
}

/* One that was acknowledged waits in silence. */
PHCA_TEST(pass_told, no_receive_for_what_was_acknowledged)
{
	struct fx x = fx_open(NULL, 0, false);

	rc_send(&x.c, PHCA_RC_SEND_ONLY, 0, 20, M);
	rc_expect_ack_late(&x.c, 0, 1);
	judge_pass(x.c.l, x.j, 0);
	rc_expect_nothing(&x.c);
	lab_post(&x.c.q, 1);
	received(&x, 0, M);
	fx_close(&x);
}

/* What waits must leave buffers to the others: a queue pair that has something waiting gets no more. */
PHCA_TEST(pass_told, buffers_of_what_waits)
{
	const uint32_t packets = 60;
	struct fx x = fx_open(NULL, 0, false);
	uint32_t psn = 0, epsn;

	x.j->policy = judge_pass_all;
	while (lab_verdict(x.c.l, PHCA_V_PROXY_TOO_LONG) == 0 && psn < LAB_DEPTH * packets) {
		for (uint32_t k = 0; k < packets; k++, psn++)
			rc_send(&x.c, k == 0 ? PHCA_RC_SEND_FIRST : k + 1 == packets ? PHCA_RC_SEND_LAST :
				PHCA_RC_SEND_MIDDLE, psn, LAB_MTU, M);
		lab_turn(x.c.l, 4);
	}
	epsn = psn - packets;
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PROXY_TOO_LONG), 1);
	CU_ASSERT_EQUAL(lab_verdict(x.c.l, PHCA_V_PSN), packets - 1);
	rc_expect_nak(&x.c, RNR, packets - 1); /* of the first one, which waits */
	rc_expect_nothing(&x.c);
	for (uint32_t psn_done = 0; psn_done < epsn; psn_done += packets) {
		struct phca_sge sge = { (uintptr_t)x.c.q.buf, packets * LAB_MTU, x.c.q.lkey };
		struct phca_recv_wr wr = { psn_done, &sge, 1 };

		CU_ASSERT_EQUAL(phca_post_recv(x.c.q.qp, &wr, 1), 1);
		rc_expect_recv(&x.c, psn_done, PHCA_WC_SUCCESS, packets * LAB_MTU);
		rc_expect_nak(&x.c, RNR, psn_done + packets < epsn ? psn_done + 2 * packets - 1 : epsn);
	}
	rc_send(&x.c, PHCA_RC_SEND_ONLY, epsn, 20, M);
	rc_expect_nak(&x.c, RNR, epsn);
	CU_ASSERT_EQUAL(lab_info(&x.c.q).stats.rx_pass_waits, epsn / packets + 1);
	fx_close(&x);
}

/* A packet is missing: the peer is told when all before it is decided. */
PHCA_TEST(pass_told, gap)
{
	struct fx x = fx_open(NULL, 1, false);

	silent(&x, 0, M);
	silent(&x, 2, D);
	judge_done(x.c.l, x.j, 0);
	rc_expect_nak(&x.c, PHCA_NAK_SEQ, 1);
	rc_send(&x.c, PHCA_RC_SEND_ONLY, 1, 20, D);
	rc_expect_ack(&x.c, 1, 2);
	received(&x, 0, D);
	fx_close(&x);
}

/* Many queue pairs' time ends at once. */
PHCA_TEST(pass_told, many_wait)
{
	struct lab_qp q[40];
	struct fx x = fx_open(NULL, 0, false);
	struct phca_wire_hdr h;

	for (unsigned int i = 0; i < RTE_DIM(q); i++) {
		q[i] = lab_qp(x.c.l, PHCA_QPT_RC, 0);
		CU_ASSERT_FATAL(phca_qp_proxy_attach(q[i].qp, x.j->rule, 1, 0) == 0);
		h = lab_hdr(x.c.l, PHCA_RC_SEND_ONLY, q[i].qpn, 0);
		h.ackreq = true;
		lab_send(x.c.l, &h, 20, M);
	}
	rc_expect_nothing(&x.c);
	x.c.l->now_ns += RC_WITHHELD_NS;
	for (unsigned int i = 0; i < RTE_DIM(q); i++)
		rc_expect_ack(&x.c, 0, 1);
	rc_expect_nothing(&x.c);
	while (x.j->n > 0)
		judge_done(x.c.l, x.j, 0);
	for (unsigned int i = 0; i < RTE_DIM(q); i++)
		lab_qp_free(x.c.l, &q[i]);
	fx_close(&x);
}
