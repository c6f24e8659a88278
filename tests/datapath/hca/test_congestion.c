/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control at the edges of a queue pair, A17.9: which marked packets
 * are answered with a CNP, and how it looks (scapy says, golden_cnp.py); what a
 * CNP does to the rate, and what one that is not the peer's does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define CE 3
#define LINE_BPS UINT64_C(40000000000)
#define INTERVAL_NS 50000 /* between CNPs */
#define CNP_DSCP 40
#define UD 0x55
#define UC 0x66

static const uint8_t peer_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };

static struct phca_congestion_conf conf(void)
{
	struct phca_congestion_conf c;

	phca_congestion_default(&c);
	c.line_rate_bps = LINE_BPS;
	c.cnp_dscp = CNP_DSCP;
	return c;
}

struct cong {
	struct lab *l;
	struct lab_qp q; /* UC, connected to 192.0.2.2 */
	uint32_t psn;
};

/* From any state to RTS, with the peer's address. */
static void connect_qp(struct phca_qp *qp)
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_RESET, .pkey = PHCA_PKEY_DEFAULT, .dest_qpn = LAB_PEER_QPN, .path_mtu = LAB_MTU,
		.av = { .sgid_index = 1 },
	};

	memcpy(a.av.dgid, peer_gid, 16);
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE), 0);
	a.state = PHCA_QPS_INIT;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU |
		PHCA_QP_RQ_PSN | PHCA_QP_AV), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN), 0);
}

static struct cong cong_open_with(const struct phca_congestion_conf *c)
{
	struct cong g = { .l = lab_open(&(struct lab_opts){ .congestion = c }) };

	g.q = lab_qp(g.l, PHCA_QPT_UC, UC);
	connect_qp(g.q.qp);
	lab_post(&g.q, 16);
	return g;
}

static struct cong cong_open(void)
{
	struct phca_congestion_conf c = conf();

	return cong_open_with(&c);
}

static void cong_close(struct cong *g)
{
	lab_qp_free(g->l, &g->q);
	lab_close(g->l);
}

/* A message for the UC queue pair that comes with this traffic class, and a turn. */
static void marked(struct cong *g, uint8_t tclass)
{
	struct phca_wire_hdr h = lab_hdr(g->l, PHCA_UC_SEND_ONLY, g->q.qpn, g->psn++);

	h.tclass = tclass;
	lab_send(g->l, &h, 8, 1);
	lab_turn(g->l, 1);
}

static struct phca_wire_hdr cnp_hdr(const struct cong *g)
{
	struct phca_wire_hdr h = lab_hdr(g->l, PHCA_CNP, g->q.qpn, 0);

	h.tclass = CNP_DSCP << 2;
	return h;
}

/* The peer says that there is congestion, and a turn. */
static void cnp(struct cong *g)
{
	struct phca_wire_hdr h = cnp_hdr(g);

	lab_send(g->l, &h, 0, 0);
	lab_turn(g->l, 1);
}

static struct phca_qp_rate rate(const struct cong *g)
{
	struct phca_qp_rate r;

	phca_qp_rate_get(g->q.qp, &r);
	return r;
}

/* CNPs on the cable; all that is there is one. */
static unsigned int cnps(struct lab *l)
{
	struct rte_mbuf *m;
	unsigned int n = 0;

	while ((m = lab_capture(l)) != NULL) {
		struct phca_pkt pkt;

		CU_ASSERT_EQUAL(phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, PHCA_PARSE_ICRC, &pkt),
			PHCA_V_OK);
		CU_ASSERT_EQUAL(pkt.opcode, PHCA_CNP);
		rte_pktmbuf_free(m);
		n++;
	}
	return n;
}

/* -------------------------------------------------- notification point */

/* PAIR of golden_cnp.py; both frames follow. */
struct cnp_pair {
	uint8_t ip6, vlan;
	uint16_t marked_len, cnp_len;
} __attribute__((packed));

static void one_pair(bool vlan, const uint8_t *in, uint32_t in_len, const uint8_t *want, uint32_t want_len)
{
	struct phca_congestion_conf c = conf();
	struct lab *l = lab_open(&(struct lab_opts){ .vlan = vlan, .congestion = &c });
	struct lab_qp ud = lab_qp(l, PHCA_QPT_UD, UD), uc = lab_qp(l, PHCA_QPT_UC, UC);
	struct rte_mbuf *m;

	lab_post(&ud, 1);
	lab_post(&uc, 1);
	lab_raw(l, in, in_len);
	lab_turn(l, 2);
	CU_ASSERT_EQUAL(lab_verdict(l, PHCA_V_DIRECT), 1);
	m = lab_capture(l);
	CU_ASSERT_FATAL(m != NULL);
	CU_ASSERT_EQUAL_FATAL(m->data_len, want_len);
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(m, void *), want, want_len), 0);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(lab_capture(l), NULL);
	lab_qp_free(l, &ud);
	lab_qp_free(l, &uc);
	lab_close(l);
}

PHCA_TEST(congestion, cnp_is_what_scapy_makes)
{
	const char *name = getenv("PHCA_CNP_GOLDEN");
	FILE *f = fopen(name != NULL ? name : "tests/datapath/hca/cnp_golden.bin", "rb");
	uint8_t in[256], want[256];
	unsigned int n = 0;
	struct cnp_pair p;

	if (f == NULL)
		CU_FAIL_FATAL("no golden CNPs: run in the build folder, or set PHCA_CNP_GOLDEN");
	while (fread(&p, sizeof(p), 1, f) == 1) {
		CU_ASSERT_FATAL(p.marked_len <= sizeof(in) && p.cnp_len <= sizeof(want));
		CU_ASSERT_EQUAL_FATAL(fread(in, 1, p.marked_len, f), p.marked_len);
		CU_ASSERT_EQUAL_FATAL(fread(want, 1, p.cnp_len, f), p.cnp_len);
		one_pair(p.vlan, in, p.marked_len, want, p.cnp_len);
		n++;
	}
	CU_ASSERT_EQUAL(n, 12);
	fclose(f);
}

PHCA_TEST(congestion, one_cnp_an_interval_and_queue_pair)
{
	struct cong g = cong_open();
	struct lab_qp other = lab_qp(g.l, PHCA_QPT_UC, 0);
	struct phca_wire_hdr h = lab_hdr(g.l, PHCA_UC_SEND_ONLY, other.qpn, 0);
	uint64_t first;

	first = g.l->now_ns;
	for (unsigned int i = 0; i < 5; i++)
		marked(&g, CE);
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	h.tclass = CE;
	lab_send(g.l, &h, 8, 1); /* another queue pair has an interval of its own */
	lab_turn(g.l, 1);
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	g.l->now_ns = first + INTERVAL_NS - 1;
	marked(&g, CE);
	CU_ASSERT_EQUAL(cnps(g.l), 0);
	g.l->now_ns = first + INTERVAL_NS;
	marked(&g, CE);
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_ecn_marked, 7);
	CU_ASSERT_EQUAL(lab_info(&g.q).stats.tx_cnps, 2);
	CU_ASSERT_EQUAL(lab_info(&other).stats.tx_cnps, 1);
	lab_qp_free(g.l, &other);
	cong_close(&g);
}

PHCA_TEST(congestion, only_ce_is_a_mark)
{
	struct cong g = cong_open();

	for (uint8_t ecn = 0; ecn < CE; ecn++)
		marked(&g, (uint8_t)(26 << 2 | ecn));
	CU_ASSERT_EQUAL(cnps(g.l), 0);
	CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_ecn_marked, 0);
	marked(&g, 26 << 2 | CE);
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	cong_close(&g);
}

/* A17.9.2 asks for a CNP to a valid packet only. */
PHCA_TEST(congestion, packet_that_is_refused_has_no_cnp)
{
	struct cong g = cong_open();
	struct lab_qp ud = lab_qp(g.l, PHCA_QPT_UD, UD);
	struct phca_wire_hdr h = lab_hdr(g.l, PHCA_UC_SEND_ONLY, g.q.qpn, 0);

	h.tclass = CE;
	h.pkey = 0x8001;
	lab_send(g.l, &h, 8, 1);
	h = lab_hdr(g.l, PHCA_UC_SEND_ONLY, g.q.qpn, 0);
	h.tclass = CE;
	h.sgid[15] = 9;
	lab_send(g.l, &h, 8, 1);
	h = lab_hdr(g.l, PHCA_UD_SEND_ONLY, ud.qpn, 0);
	h.tclass = CE;
	h.qkey = LAB_QKEY ^ 1;
	lab_send(g.l, &h, 8, 1);
	h = cnp_hdr(&g); /* nor has a CNP */
	h.tclass |= CE;
	lab_send(g.l, &h, 0, 0);
	lab_turn(g.l, 2);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_PKEY), 1);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_PEER), 1);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_QKEY), 1);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_CNP), 1);
	CU_ASSERT_EQUAL(cnps(g.l), 0);
	lab_qp_free(g.l, &ud);
	cong_close(&g);
}

PHCA_TEST(congestion, message_that_finds_no_receive_has_its_cnp)
{
	struct cong g = cong_open();

	for (unsigned int i = 0; i < 16; i++)
		marked(&g, 0);
	marked(&g, CE);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_NO_RECV), 1);
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	cong_close(&g);
}

PHCA_TEST(congestion, without_a_buffer_the_next_mark_is_answered)
{
	struct cong g = cong_open();
	static struct rte_mbuf *all[8192];
	struct phca_wire_hdr h;
	unsigned int n = 0;

	h = lab_hdr(g.l, PHCA_UC_SEND_ONLY, g.q.qpn, 0);
	h.tclass = CE;
	lab_send(g.l, &h, 8, 1);
	while (n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(g.l->pool)) != NULL)
		n++;
	lab_turn(g.l, 1);
	rte_pktmbuf_free_bulk(all, n);
	CU_ASSERT_EQUAL(cnps(g.l), 0);
	CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_ecn_marked, 1);
	g.psn = 1;
	marked(&g, CE);
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	cong_close(&g);
}

/* ------------------------------------------------------ reaction point */

PHCA_TEST(congestion, queue_pair_begins_at_line_rate)
{
	struct cong g = cong_open();
	struct phca_qp_rate r = rate(&g);

	CU_ASSERT(r.controlled && !r.limited);
	CU_ASSERT_EQUAL(r.rate_bps, LINE_BPS);
	CU_ASSERT_EQUAL(r.line_bps, LINE_BPS);
	cong_close(&g);
}

PHCA_TEST(congestion, line_rate_is_the_links)
{
	struct phca_congestion_conf c = conf();
	struct cong g;

	c.line_rate_bps = 0;
	g = cong_open_with(&c);
	CU_ASSERT_EQUAL(rate(&g).line_bps, UINT64_C(10000000000)); /* net_ring's */
	cong_close(&g);
}

/* The first CNP finds alpha 1: half is left (equation 1). */
PHCA_TEST(congestion, cnp_cuts_the_rate_and_time_raises_it)
{
	struct cong g = cong_open();
	uint64_t before;

	cnp(&g);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_CNP), 1);
	CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_cnps, 1);
	CU_ASSERT(rate(&g).limited);
	CU_ASSERT_EQUAL(rate(&g).rate_bps, LINE_BPS / 2);
	CU_ASSERT_EQUAL(rate(&g).target_bps, LINE_BPS);
	CU_ASSERT_EQUAL(rate(&g).alpha_ppm, 1000000);
	before = g.l->now_ns;
	g.l->now_ns = before + 60000; /* a round of 55 us: half the way back */
	lab_turn(g.l, 1);
	CU_ASSERT_EQUAL(rate(&g).rate_bps, LINE_BPS / 4 * 3);
	CU_ASSERT(rate(&g).alpha_ppm < 1000000);
	cnp(&g); /* again: the target is what it had */
	CU_ASSERT_EQUAL(rate(&g).target_bps, LINE_BPS / 4 * 3);
	CU_ASSERT(rate(&g).rate_bps < LINE_BPS / 2);
	g.l->now_ns += UINT64_C(1000000000);
	lab_turn(g.l, 1);
	CU_ASSERT_FALSE(rate(&g).limited);
	CU_ASSERT_EQUAL(rate(&g).rate_bps, LINE_BPS);
	cong_close(&g);
}

PHCA_TEST(congestion, cnp_that_is_not_the_peers_is_refused)
{
	struct cong g = cong_open();
	struct phca_wire_hdr h = cnp_hdr(&g);

	h.sgid[15] = 9;
	lab_send(g.l, &h, 0, 0);
	h = cnp_hdr(&g);
	h.pkey = 0x8001;
	lab_send(g.l, &h, 0, 0);
	h = cnp_hdr(&g);
	h.dqpn = 0x777;
	lab_send(g.l, &h, 0, 0);
	lab_turn(g.l, 2);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_PEER), 1);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_PKEY), 1);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_QPN), 1);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_CNP), 0);
	CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_cnps, 0);
	CU_ASSERT_FALSE(rate(&g).limited);
	cong_close(&g);
}

PHCA_TEST(congestion, cnp_for_a_queue_pair_that_cannot_receive_is_refused)
{
	struct cong g = cong_open();
	struct phca_qp_attr a = { .state = PHCA_QPS_ERR };

	CU_ASSERT_EQUAL(phca_qp_modify(g.q.qp, &a, PHCA_QP_STATE), 0);
	cnp(&g);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_QP_STATE), 1);
	CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_cnps, 0);
	cong_close(&g);
}

/* Whatever a hostile peer sends: the rate stays at min_rate_bps, and comes back. */
PHCA_TEST(congestion, flood_of_cnps_leaves_the_least_rate)
{
	struct phca_congestion_conf c = conf();
	struct cong g = cong_open_with(&c);

	for (unsigned int i = 0; i < 2000; i++)
		cnp(&g);
	CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_CNP), 2000);
	CU_ASSERT_EQUAL(rate(&g).rate_bps, c.params.min_rate_bps);
	g.l->now_ns += UINT64_C(2000000000);
	lab_turn(g.l, 1);
	CU_ASSERT_FALSE(rate(&g).limited);
	cong_close(&g);
}

PHCA_TEST(congestion, new_connection_begins_at_line_rate)
{
	struct cong g = cong_open();

	cnp(&g);
	CU_ASSERT(rate(&g).limited);
	marked(&g, CE);
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	connect_qp(g.q.qp);
	CU_ASSERT_FALSE(rate(&g).limited);
	lab_post(&g.q, 1);
	g.psn = 0;
	marked(&g, CE); /* nor does it wait for the interval of the last one */
	CU_ASSERT_EQUAL(cnps(g.l), 1);
	cong_close(&g);
}

/* A UD queue pair has many peers: it sends CNPs, and is not limited by them. */
PHCA_TEST(congestion, ud_is_not_limited)
{
	struct phca_congestion_conf c = conf();
	struct cong g = cong_open_with(&c);
	struct lab_qp ud = lab_qp(g.l, PHCA_QPT_UD, UD);
	struct phca_wire_hdr h = cnp_hdr(&g);
	struct phca_qp_rate r;

	h.dqpn = ud.qpn;
	lab_send(g.l, &h, 0, 0);
	lab_turn(g.l, 1);
	CU_ASSERT_EQUAL(lab_info(&ud).stats.rx_cnps, 1);
	phca_qp_rate_get(ud.qp, &r);
	CU_ASSERT_FALSE(r.controlled || r.limited);
	lab_qp_free(g.l, &ud);
	cong_close(&g);
}

PHCA_TEST(congestion, off_counts_and_does_nothing)
{
	struct phca_congestion_conf c = conf();

	c.enabled = false;
	for (unsigned int i = 0; i < 2; i++) {
		struct cong g = cong_open_with(i == 0 ? NULL : &c);

		CU_ASSERT_EQUAL(phca_hca_congestion(g.l->hca), NULL);
		marked(&g, CE);
		cnp(&g);
		CU_ASSERT_EQUAL(cnps(g.l), 0);
		CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_ecn_marked, 1);
		CU_ASSERT_EQUAL(lab_info(&g.q).stats.rx_cnps, 1);
		CU_ASSERT_EQUAL(lab_verdict(g.l, PHCA_V_CNP), 1);
		CU_ASSERT_FALSE(rate(&g).controlled);
		cong_close(&g);
	}
}

PHCA_TEST(congestion, configuration_out_of_range_is_refused)
{
	struct cong g = cong_open();
	struct phca_congestion_conf c = conf();
	struct phca_hca_conf hc = {
		.name = "refused", .loops = { g.l->hca_loop }, .nb_shards = 1, .mem = g.l->mem, .qsbr = g.l->qsbr,
		.pool = g.l->pool, .max_qp = 1, .congestion = &c,
	};

	c.cnp_dscp = 64;
	CU_ASSERT_EQUAL(phca_hca_create(&hc), NULL);
	c = conf();
	c.params.gain_divisor = 0;
	CU_ASSERT_EQUAL(phca_hca_create(&hc), NULL);
	cong_close(&g);
}
