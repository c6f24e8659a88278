/* SPDX-License-Identifier: BSD-3-Clause */
/* Several HCA lcores and one proxy: each has its own way there and back, none keeps another waiting. */
#include <errno.h>
#include <string.h>

#include <rte_errno.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV
#define COOKIE(n) ((void *)(uintptr_t)(n))

static struct rig r;
static struct rig_cq cq[2];
static struct phca_proxy_chan *chan[2];

static void setup(uint32_t ring_size)
{
	rig_init(&r, ring_size);
	chan[0] = r.chan;
	chan[1] = phca_proxy_chan_create(r.p, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(chan[1]);
	for (int i = 0; i < 2; i++)
		rig_cq_init(&cq[i], 448, 64);
}

static void teardown(void)
{
	rig_fini(&r);
	for (int i = 0; i < 2; i++)
		rig_cq_fini(&cq[i]);
}

static bool to_proxy(unsigned int c, const struct phca_pmsg *m)
{
	return rte_ring_sp_enqueue_elem(phca_proxy_chan_ring(chan[c]), (void *)(uintptr_t)m, sizeof(*m)) == 0;
}

static bool from_proxy(unsigned int c, struct phca_preply *got)
{
	return rte_ring_sc_dequeue_elem(phca_proxy_chan_replies(chan[c]), got, sizeof(*got)) == 0;
}

/* A proxy QP of HCA lcore c; its number is its cookie. */
static struct phca_pqp *qp_of(unsigned int c, uint32_t qpn, struct phca_offload *o)
{
	struct phca_pqp_conf conf = {
		.qpn = qpn, .transport = PHCA_TRANSPORT_UD, .cookie = COOKIE(qpn), .chan = chan[c],
		.window = { 64, 64 }, .cq = { &cq[c].w, &cq[c].w }, .nb_rules = 1, .offloads = { o },
	};
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };

	m.pqp = phca_pqp_create(r.p, &conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m.pqp);
	CU_ASSERT_TRUE_FATAL(to_proxy(c, &m));
	return m.pqp;
}

static void qp_end(unsigned int c, struct phca_pqp *q, uint32_t qpn)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_DETACH, .pqp = q };
	struct phca_preply got = { 0 };

	CU_ASSERT_TRUE_FATAL(to_proxy(c, &m));
	for (int i = 0; i < 100 && got.kind != PHCA_PREPLY_DETACHED; i++) {
		phca_loop_turn(r.loop, r.now_ns);
		while (got.kind != PHCA_PREPLY_DETACHED && from_proxy(c, &got))
			;
	}
	CU_ASSERT_EQUAL(got.kind, PHCA_PREPLY_DETACHED);
	CU_ASSERT_PTR_EQUAL(got.cookie, COOKIE(qpn));
	phca_pqp_destroy(q);
}

static void complete_on(unsigned int c, struct phca_pqp *q, uint32_t seq)
{
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_COMPLETE, .dir = SEND, .seq = seq, .pqp = q, .wc = { .wr_id = seq },
	};

	CU_ASSERT_TRUE_FATAL(to_proxy(c, &m));
}

PHCA_TEST(chans, are_counted_and_limited)
{
	rig_init(&r, 16);
	CU_ASSERT_EQUAL(phca_proxy_nb_chans(r.p), 1);
	CU_ASSERT_PTR_EQUAL(phca_proxy_chan_get(r.p, 0), r.chan);
	for (unsigned int i = 1; i < PHCA_PROXY_CHAN_MAX; i++) {
		struct phca_proxy_chan *c = phca_proxy_chan_create(r.p, NULL);

		CU_ASSERT_PTR_NOT_NULL_FATAL(c);
		CU_ASSERT_PTR_EQUAL(phca_proxy_chan_get(r.p, i), c);
		CU_ASSERT_PTR_EQUAL(phca_proxy_chan_proxy(c), r.p);
	}
	CU_ASSERT_EQUAL(phca_proxy_nb_chans(r.p), PHCA_PROXY_CHAN_MAX);
	CU_ASSERT_PTR_NULL(phca_proxy_chan_create(r.p, NULL));
	CU_ASSERT_EQUAL(rte_errno, ENOSPC);
	rig_fini(&r);
}

PHCA_TEST(chans, replies_go_to_the_lcore_of_the_qp)
{
	struct phca_offload *o;
	struct phca_preply got;
	struct phca_pqp *q[2];

	setup(256);
	o = rig_manual(&r, "manual", 0, false);
	rig_manual_state(o)->refuse = EIO;
	for (unsigned int c = 0; c < 2; c++)
		q[c] = qp_of(c, 0x20 + c, o);
	for (unsigned int c = 0; c < 2; c++) {
		struct phca_offload_wr wr = { .wqe = { .wr_id = 99, .opcode = PHCA_WR_SEND } };
		struct phca_pmsg m = {
			.kind = PHCA_PMSG_OFFLOAD, .dir = SEND, .seq = 16, .pqp = q[c], .wr = &wr,
		};

		for (uint32_t i = 0; i < 16; i++) /* a quarter of the window */
			complete_on(c, q[c], i);
		CU_ASSERT_TRUE_FATAL(to_proxy(c, &m)); /* fails */
		phca_loop_turn(r.loop, r.now_ns);
		CU_ASSERT_FALSE(from_proxy(1 - c, &got));
		CU_ASSERT_TRUE(from_proxy(c, &got));
		CU_ASSERT_EQUAL(got.kind, PHCA_PREPLY_CREDIT);
		CU_ASSERT_EQUAL(got.seq, 16);
		CU_ASSERT_PTR_EQUAL(got.cookie, COOKIE(0x20 + c));
		CU_ASSERT_TRUE(from_proxy(c, &got));
		CU_ASSERT_EQUAL(got.kind, PHCA_PREPLY_ERROR);
		CU_ASSERT_PTR_EQUAL(got.cookie, COOKIE(0x20 + c));
		/* The place of the error is reported when the proxy has nothing else to do. */
		phca_loop_turn(r.loop, r.now_ns);
		CU_ASSERT_FALSE(from_proxy(1 - c, &got));
		CU_ASSERT_TRUE(from_proxy(c, &got));
		CU_ASSERT_EQUAL(got.kind, PHCA_PREPLY_CREDIT);
		CU_ASSERT_EQUAL(got.seq, 17);
	}
	for (unsigned int c = 0; c < 2; c++)
		qp_end(c, q[c], 0x20 + c);
	teardown();
}

PHCA_TEST(chans, overrun_is_told_to_the_lcore_of_the_cq)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_PLAIN };
	struct phca_preply got;
	struct phca_pqp *q;
	struct rig_cq small[2];

	setup(256);
	for (int i = 0; i < 2; i++)
		rig_cq_init(&small[i], 12, 4);
	for (unsigned int i = 0; i < 17; i++) { /* plain, on the second */
		m.cqw = &small[1].w;
		CU_ASSERT_TRUE_FATAL(to_proxy(1, &m));
	}
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_FALSE(from_proxy(0, &got));
	CU_ASSERT_TRUE(from_proxy(1, &got));
	CU_ASSERT_EQUAL(got.kind, PHCA_PREPLY_CQ_ERROR);
	CU_ASSERT_PTR_EQUAL(got.cookie, &small[1].w);
	/* of a proxy QP, on the first */
	rig_cq_fini(&cq[0]);
	rig_cq_init(&cq[0], 12, 4);
	q = qp_of(0, 0x30, rig_offload(&r, "null", "null", 0, NULL, 0));
	for (uint32_t i = 0; i < 17; i++)
		complete_on(0, q, i);
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_FALSE(from_proxy(1, &got));
	got.kind = 0;
	while (got.kind != PHCA_PREPLY_CQ_ERROR && from_proxy(0, &got))
		;
	CU_ASSERT_EQUAL(got.kind, PHCA_PREPLY_CQ_ERROR);
	CU_ASSERT_PTR_EQUAL(got.cookie, &cq[0].w);
	qp_end(0, q, 0x30);
	for (int i = 0; i < 2; i++)
		rig_cq_fini(&small[i]);
	teardown();
}

PHCA_TEST(chans, a_lcore_that_reads_no_replies_keeps_no_other_waiting)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_FENCE };
	unsigned int stuck = 0, answered = 0, n = 0;
	struct phca_preply got;

	setup(16);
	for (unsigned int i = 0; i < 1000; i++) { /* the first sends as long as it can, and reads nothing */
		m.cookie = COOKIE(n + 1);
		n += to_proxy(0, &m);
		m.cookie = COOKIE(i + 1);
		stuck += !to_proxy(1, &m);
		phca_loop_turn(r.loop, r.now_ns);
		while (from_proxy(1, &got)) {
			CU_ASSERT_EQUAL(got.kind, PHCA_PREPLY_FENCED);
			CU_ASSERT_PTR_EQUAL(got.cookie, COOKIE(++answered));
		}
	}
	CU_ASSERT_TRUE(n < 1000); /* it is blocked */
	CU_ASSERT_EQUAL(stuck, 0);
	CU_ASSERT_EQUAL(answered, 1000);
	/* and loses nothing */
	for (unsigned int i = 1; i <= n; i++) {
		phca_loop_turn(r.loop, r.now_ns);
		CU_ASSERT_TRUE_FATAL(from_proxy(0, &got));
		CU_ASSERT_PTR_EQUAL(got.cookie, COOKIE(i));
	}
	CU_ASSERT_FALSE(from_proxy(0, &got));
	teardown();
}

PHCA_TEST(chans, all_full_are_served_alike)
{
	/* Four channels are kept full; of a turn each gets the same, and another one begins. */
	struct phca_proxy_chan *c[4];
	unsigned int n[4] = { 0 }, began = 0;
	struct phca_pmsg m = { .kind = PHCA_PMSG_PLAIN };
	struct phca_wc wc;

	rig_init(&r, 512);
	rig_cq_init(&cq[0], 448, 64);
	c[0] = r.chan;
	for (unsigned int i = 1; i < 4; i++)
		c[i] = phca_proxy_chan_create(r.p, NULL);
	m.cqw = &cq[0].w;
	for (unsigned int turn = 0; turn < 40; turn++) {
		bool first = true;

		for (unsigned int i = 0; i < 4; i++) {
			m.wc.wr_id = i;
			while (rte_ring_sp_enqueue_elem(phca_proxy_chan_ring(c[i]), &m, sizeof(m)) == 0)
				;
		}
		phca_loop_turn(r.loop, r.now_ns);
		while (rig_cq_poll(&cq[0], &wc)) {
			CU_ASSERT_TRUE_FATAL(wc.wr_id < 4);
			n[wc.wr_id]++;
			if (first)
				began |= 1u << wc.wr_id;
			first = false;
		}
		CU_ASSERT_TRUE(n[0] > turn);
		for (unsigned int i = 1; i < 4; i++)
			CU_ASSERT_EQUAL(n[i], n[0]);
	}
	CU_ASSERT_EQUAL(began, 0xf);
	for (unsigned int i = 0; i < 4; i++) /* what is left in the rings */
		while (rte_ring_sc_dequeue_elem(phca_proxy_chan_ring(c[i]), &m, sizeof(m)) == 0)
			;
	rig_fini(&r);
	rig_cq_fini(&cq[0]);
}

PHCA_TEST(chans, mbufs_go_back_to_the_lcore_they_came_from)
{
	struct phca_offload *o;
	struct rte_mbuf *got[2];
	struct rte_ring *back[2];
	struct phca_pqp *q[2];

	setup(64);
	o = rig_offload(&r, "null", "null", 0, NULL, 0);
	for (unsigned int c = 0; c < 2; c++) {
		back[c] = phca_proxy_chan_mbufs(chan[c]);
		q[c] = qp_of(c, 0x40 + c, o);
	}
	for (unsigned int c = 0; c < 2; c++) {
		r.chan = chan[c]; /* the rig sends there */
		rig_offload_in(&r, q[c], 0, 0, 8);
		phca_loop_turn(r.loop, r.now_ns);
		CU_ASSERT_EQUAL(rte_ring_sc_dequeue_burst(back[1 - c], (void **)got, 2, NULL), 0);
		CU_ASSERT_EQUAL(rte_ring_sc_dequeue_burst(back[c], (void **)got, 2, NULL), 1);
		rte_pktmbuf_free(got[0]);
	}
	for (unsigned int c = 0; c < 2; c++)
		qp_end(c, q[c], 0x40 + c);
	teardown();
}

PHCA_TEST(chans, a_qp_cannot_attach_through_another_lcores_channel)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };
	struct phca_pqp_conf conf = {
		.qpn = 1, .transport = PHCA_TRANSPORT_UD, .window = { 16, 16 },
	};

	setup(64);
	conf.chan = chan[0];
	conf.cq[0] = conf.cq[1] = &cq[0].w;
	m.pqp = phca_pqp_create(r.p, &conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m.pqp);
	CU_ASSERT_TRUE_FATAL(to_proxy(1, &m));
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	CU_ASSERT_EQUAL(rig_stats(&r).pqps, 0);
	phca_pqp_destroy(m.pqp);
	teardown();
}
