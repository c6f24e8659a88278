/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pacing: when a queue pair is limited by CNPs, its packets leave at its rate, in
 * virtual time. Requests of UC and RC, responses to READs; others are not held up.
 */
#include <string.h>

#include "rc_peer.h"
#include "req_peer.h"

#define LINE_BPS UINT64_C(200000000)
#define NS_PER_BYTE 80 /* at half of it */
#define ETH_EXTRA 24   /* FCS, preamble and gap of a frame load the line, too */

/* The rate after a CNP stays: nothing raises it; no credit. */
static struct phca_congestion_conf steady(void)
{
	struct phca_congestion_conf c;

	phca_congestion_default(&c);
	c.line_rate_bps = LINE_BPS;
	c.params.rate_timer_us = 10000000;
	c.params.alpha_timer_us = 10000000;
	c.params.byte_counter_bytes = 4000000000;
	c.params.burst_bytes = 0;
	return c;
}

static struct peer open_uc(const struct phca_congestion_conf *c)
{
	return peer_open(lab_open(&(struct lab_opts){ .congestion = c }), PHCA_QPT_UC, NULL);
}

static void cnp(struct lab *l, uint32_t qpn)
{
	struct phca_wire_hdr h = lab_hdr(l, PHCA_CNP, qpn, 0);

	lab_send(l, &h, 0, 0);
	lab_turn(l, 1);
}

static uint32_t on_line(const struct rte_mbuf *m)
{
	return m->pkt_len + ETH_EXTRA;
}

/*
 * Take n packets as they come. The time between two is what the first needs at
 * ns_per_byte, and little more: a turn, and a step of the timer wheel.
 */
static void expect_spaced(struct lab *l, unsigned int n, uint64_t ns_per_byte)
{
	uint64_t next_ns = 0, limit = l->now_ns + 20 * n * 1200 * ns_per_byte;

	for (unsigned int i = 0; i < n && l->now_ns < limit;) {
		uint64_t turn_ns = l->now_ns;
		struct rte_mbuf *m;

		lab_turn(l, 1);
		m = lab_capture(l);
		if (m == NULL)
			continue;
		CU_ASSERT(turn_ns >= next_ns);
		if (next_ns != 0)
			CU_ASSERT(turn_ns <= next_ns + 3000);
		next_ns = turn_ns + on_line(m) * ns_per_byte;
		rte_pktmbuf_free(m);
		i++;
		CU_ASSERT_EQUAL(lab_capture(l), NULL); /* one at a time */
	}
	CU_ASSERT(l->now_ns < limit);
}

PHCA_TEST(pacing, packets_of_uc_are_spaced)
{
	struct phca_congestion_conf c = steady();
	struct peer p = open_uc(&c);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 20 * LAB_MTU);

	cnp(p.l, p.q.qpn);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	expect_spaced(p.l, 20, NS_PER_BYTE);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(pacing, short_messages_are_spaced_by_their_length)
{
	struct phca_congestion_conf c = steady();
	struct peer p = open_uc(&c);

	cnp(p.l, p.q.qpn);
	for (uint32_t i = 1; i <= 20; i++) {
		struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, i * 40);

		CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	}
	expect_spaced(p.l, 20, NS_PER_BYTE);
	peer_close(&p);
}

PHCA_TEST(pacing, without_cnps_nothing_is_paced)
{
	struct phca_congestion_conf c = steady();
	struct peer p = open_uc(&c);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 30 * LAB_MTU);

	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 30);
	peer_close(&p);
}

/* A credit of four packets: with the one that may always go, five. */
PHCA_TEST(pacing, idle_queue_pair_sends_a_burst_at_once)
{
	struct phca_congestion_conf c = steady();
	struct phca_send_wr w;
	struct peer p;

	c.params.burst_bytes = 4 * (14 + 20 + 8 + 12 + LAB_MTU + 4 + ETH_EXTRA);
	p = open_uc(&c);
	w = peer_wr(&p, PHCA_WR_SEND, 12 * LAB_MTU);
	cnp(p.l, p.q.qpn);
	peer_wait(&p, 10000000);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 5);
	lab_turn(p.l, 60);
	CU_ASSERT_EQUAL(peer_drain(&p), 0);
	lab_turn(p.l, 7 * 90);
	CU_ASSERT_EQUAL(peer_drain(&p), 7);
	peer_close(&p);
}

PHCA_TEST(pacing, ends_when_the_rate_has_recovered)
{
	struct phca_congestion_conf c = steady();
	struct phca_send_wr w;
	struct peer p;

	phca_cc_params_default(&c.params);
	c.params.burst_bytes = 0;
	p = open_uc(&c);
	w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 30 * LAB_MTU);
	cnp(p.l, p.q.qpn);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 1);
	peer_wait(&p, UINT64_C(2000000000));
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 29);
	peer_close(&p);
}

PHCA_TEST(pacing, others_are_not_held_up)
{
	struct phca_congestion_conf c = steady();
	struct peer p = open_uc(&c);
	struct lab_qp other = lab_qp(p.l, PHCA_QPT_RC, 0);
	struct phca_send_wr slow = peer_wr(&p, PHCA_WR_RDMA_WRITE, 100 * LAB_MTU), fast = slow;
	struct phca_sge sge = { (uintptr_t)other.buf, 20 * LAB_MTU, other.lkey };

	cnp(p.l, p.q.qpn);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &slow, 1), 1);
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 1);
	fast.sge = &sge;
	CU_ASSERT_EQUAL(phca_post_send(other.qp, &fast, 1), 1);
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 20);
	lab_qp_free(p.l, &other);
	peer_close(&p);
}

/*
 * RC: 64 packets at 20 Mb/s take 28 ms, the timeout is 4 ms. What is sent last for now
 * asks for an acknowledgement, so that none is late.
 */
PHCA_TEST(pacing, rc_does_not_time_out_for_being_slow)
{
	struct phca_congestion_conf c = steady();
	struct phca_send_wr w;
	struct peer p;

	c.line_rate_bps = LINE_BPS / 5;
	p = peer_open(lab_open(&(struct lab_opts){ .congestion = &c }), PHCA_QPT_RC, NULL);
	w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 64 * LAB_MTU);
	cnp(p.l, p.q.qpn);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	for (unsigned int got = 0, turns = 0; got < 64 && turns < 40000; turns++) {
		lab_turn(p.l, 1);
		if (!peer_next(&p))
			continue;
		CU_ASSERT_EQUAL(p.p.psn.v, PEER_PSN + got);
		got++;
		if (p.p.flags & PHCA_PKT_ACKREQ)
			peer_ack(&p, p.p.psn.v, PEER_ACK);
	}
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 0);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.tx_resent, 0);
	peer_close(&p);
}

PHCA_TEST(pacing, what_rc_sends_again_is_spaced)
{
	struct phca_congestion_conf c = steady();
	struct peer p = peer_open(lab_open(&(struct lab_opts){ .congestion = &c }), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 16 * LAB_MTU);

	peer_post(&p, &w);
	CU_ASSERT_EQUAL(peer_drain(&p), 16);
	cnp(p.l, p.q.qpn);
	peer_ack(&p, PEER_PSN, PEER_NAK); /* sequence: again from the first */
	CU_ASSERT_EQUAL(peer_drain(&p), 1);
	lab_turn(p.l, 100);
	peer_drain(&p);
	expect_spaced(p.l, 12, NS_PER_BYTE);
	peer_close(&p);
}

PHCA_TEST(pacing, responses_to_a_read_are_spaced)
{
	struct phca_congestion_conf c = steady();
	struct rc r = rc_open(&(struct lab_opts){ .congestion = &c }, 0);

	cnp(r.l, r.q.qpn);
	rc_read(&r, 0, 0, 16 * LAB_MTU);
	rc_add(&r, 16, 0, 1); /* answered behind it */
	expect_spaced(r.l, 17, NS_PER_BYTE);
	CU_ASSERT_EQUAL(lab_info(&r.q).stats.tx_responses, 17);
	rc_close(&r);
}

PHCA_TEST(pacing, acknowledgements_are_not_held_back)
{
	struct phca_congestion_conf c = steady();
	struct rc r = rc_open(&(struct lab_opts){ .congestion = &c }, 4);

	cnp(r.l, r.q.qpn);
	for (uint32_t i = 0; i < 4; i++) {
		rc_send(&r, PHCA_RC_SEND_ONLY, i, 8, 1);
		rc_expect_ack(&r, i, i + 1);
	}
	rc_close(&r);
}

/* A CNP every 10 us: the queue pair still gets on, at min_rate_bps. */
PHCA_TEST(pacing, flood_of_cnps_does_not_stop_it)
{
	struct phca_congestion_conf c = steady();
	struct phca_send_wr w;
	struct peer p;

	phca_cc_params_default(&c.params);
	c.params.burst_bytes = 0;
	p = open_uc(&c);
	w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 5 * LAB_MTU);
	for (unsigned int i = 0; i < 10; i++)
		cnp(p.l, p.q.qpn);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	for (unsigned int i = 0; i < 300; i++) { /* 3 ms; a packet takes 0.89 */
		cnp(p.l, p.q.qpn);
		lab_turn(p.l, 9);
	}
	CU_ASSERT_EQUAL(peer_drain(&p), 4);
	peer_close(&p);
}

PHCA_TEST(pacing, queue_pair_that_waits_can_be_reset_and_destroyed)
{
	struct phca_congestion_conf c = steady();
	struct phca_qp_attr a = { .state = PHCA_QPS_RESET };
	struct peer p = open_uc(&c);
	struct lab_qp other = lab_qp(p.l, PHCA_QPT_RC, 0);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 20 * LAB_MTU), o = w;
	struct phca_sge sge = { (uintptr_t)other.buf, 20 * LAB_MTU, other.lkey };

	o.sge = &sge;
	cnp(p.l, p.q.qpn);
	cnp(p.l, other.qpn);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(other.qp, &o, 1), 1);
	lab_turn(p.l, 4);
	CU_ASSERT_EQUAL(peer_drain(&p), 2);
	lab_qp_free(p.l, &other);
	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_STATE), 0);
	lab_turn(p.l, 200);
	CU_ASSERT_EQUAL(peer_drain(&p), 0);
	peer_close(&p);
}

/* ------------------------------------------------------------------ ECN */

static void send_marked(struct lab *l, enum phca_opcode op, uint32_t qpn, uint32_t psn, uint32_t n)
{
	struct phca_wire_hdr h = lab_hdr(l, op, qpn, psn);

	h.tclass = 3;
	h.ackreq = true;
	h.syndrome = PEER_ACK;
	lab_send(l, &h, n, 1);
	lab_turn(l, 2);
}

PHCA_TEST(pacing, marked_request_of_rc_has_an_acknowledgement_and_a_cnp)
{
	struct phca_congestion_conf c = steady();
	struct peer p = peer_open(lab_open(&(struct lab_opts){ .congestion = &c }), PHCA_QPT_RC, NULL);
	unsigned int cnps = 0, acks = 0;

	send_marked(p.l, PHCA_RC_WRITE_ONLY, p.q.qpn, 0, 0);
	while (peer_next(&p)) {
		cnps += p.p.opcode == PHCA_CNP;
		acks += p.p.opcode == PHCA_RC_ACK;
	}
	CU_ASSERT(cnps == 1 && acks == 1);
	peer_close(&p);
}

/* So that who answers a READ goes slower. */
PHCA_TEST(pacing, marked_response_has_a_cnp)
{
	struct phca_congestion_conf c = steady();
	struct peer p = peer_open(lab_open(&(struct lab_opts){ .congestion = &c }), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 8);

	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	send_marked(p.l, PHCA_RC_READ_RESP_ONLY, p.q.qpn, PEER_PSN, 8);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	CU_ASSERT_FATAL(peer_next(&p));
	CU_ASSERT_EQUAL(p.p.opcode, PHCA_CNP);
	CU_ASSERT(p.p.flags & PHCA_PKT_BECN);
	CU_ASSERT_FALSE(peer_next(&p));
	peer_close(&p);
}

static uint8_t tclass_of(struct peer *p)
{
	struct phca_send_wr w = peer_wr(p, PHCA_WR_SEND, 8);

	peer_post(p, &w);
	CU_ASSERT_FATAL(peer_next(p));
	return p->p.tclass;
}

/* Give the connection an address vector with this traffic class. */
static void set_tclass(struct peer *p, uint8_t tclass)
{
	struct phca_qp_attr a;

	CU_ASSERT_EQUAL(phca_qp_query(p->q.qp, &a), 0);
	a.av.traffic_class = tclass;
	a.state = PHCA_QPS_SQD;
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE), 0);
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE | PHCA_QP_AV), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE), 0);
}

PHCA_TEST(pacing, connected_packets_are_ect0_and_keep_their_dscp)
{
	struct phca_congestion_conf c = steady();
	struct peer p = open_uc(&c);

	CU_ASSERT_EQUAL(tclass_of(&p), 2);
	set_tclass(&p, 26 << 2 | 1);
	CU_ASSERT_EQUAL(tclass_of(&p), 26 << 2 | 2);
	peer_close(&p);
}

PHCA_TEST(pacing, ecn_off_leaves_the_traffic_class)
{
	struct phca_congestion_conf c = steady();

	for (unsigned int i = 0; i < 2; i++) {
		struct peer p;

		c.ecn = i == 1; /* which is for nothing while off */
		c.enabled = i == 0;
		p = open_uc(&c);
		set_tclass(&p, 26 << 2 | 1);
		CU_ASSERT_EQUAL(tclass_of(&p), 26 << 2 | 1);
		peer_close(&p);
	}
}
