/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several HCA lcores and proxies: whatever queue a packet comes in on, its queue
 * pair's shard executes it; what a shard cannot send itself, another sends.
 */
#include <string.h>

#include "phca_drivers.h"
#include "lab.h"

#define SHARDS 3

/* One queue pair on each shard, in order: each has a CQ of its own. */
static struct lab *open_shards(unsigned int queues, unsigned int proxies, struct lab_qp q[SHARDS],
		enum phca_qp_type type)
{
	struct lab_opts o = { .nb_shards = SHARDS, .nb_queues = queues, .nb_proxies = proxies };
	struct lab *l = lab_open(&o);

	for (unsigned int i = 0; i < SHARDS; i++) {
		q[i] = lab_qp(l, type, 0);
		CU_ASSERT_EQUAL(lab_info(&q[i]).shard, i);
		lab_post(&q[i], 8);
	}
	return l;
}

static void close_shards(struct lab *l, struct lab_qp q[SHARDS])
{
	for (unsigned int i = 0; i < SHARDS; i++)
		lab_qp_free(l, &q[i]);
	lab_close(l);
}

static void expect_one(struct lab_qp *q, uint32_t bytes)
{
	struct phca_wc wc;

	CU_ASSERT_FATAL(lab_poll(q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.byte_len, bytes);
	CU_ASSERT_FALSE(lab_poll(q, &wc));
}

/* A port with one queue: shard 0 receives for all. */
PHCA_TEST(shards, packets_go_to_the_shard_of_their_qp)
{
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 1, q, PHCA_QPT_UD);
	struct phca_port_stats st;

	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q[i].qpn, 0);

		lab_send(l, &h, 32, (uint8_t)i);
	}
	lab_turn(l, 3);
	for (unsigned int i = 0; i < SHARDS; i++) {
		expect_one(&q[i], PHCA_GRH_LEN + 32);
		CU_ASSERT(lab_is(lab_buf(&q[i], 0) + PHCA_GRH_LEN, 32, (uint8_t)i));
	}
	phca_port_stats_get(l->hca, 0, &st);
	CU_ASSERT_EQUAL(st.handed_over, 2);
	CU_ASSERT_EQUAL(st.rx_packets, 3);
	CU_ASSERT_EQUAL(st.verdict[PHCA_V_DIRECT], 3);
	close_shards(l, q);
}

/* Messages of several packets stay whole and in order on their way over. */
PHCA_TEST(shards, messages_stay_whole)
{
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 1, q, PHCA_QPT_UC);

	for (uint32_t part = 0; part < 3; part++) {
		for (unsigned int i = 0; i < SHARDS; i++) {
			struct phca_wire_hdr h = lab_hdr(l, PHCA_UC_SEND_FIRST + part, q[i].qpn, part);

			lab_send(l, &h, part < 2 ? LAB_MTU : 100, (uint8_t)(part + i));
		}
	}
	lab_turn(l, 3);
	for (unsigned int i = 0; i < SHARDS; i++) {
		expect_one(&q[i], 2 * LAB_MTU + 100);
		CU_ASSERT(lab_is(lab_buf(&q[i], 0) + 2 * LAB_MTU, 100, (uint8_t)(2 + i)));
	}
	close_shards(l, q);
}

/* The second queue's packets come to shard 1, whose queue pair is not meant. */
PHCA_TEST(shards, each_queue_may_have_packets_for_any_shard)
{
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(2, 1, q, PHCA_QPT_UD);
	struct rte_ring *first = l->in;

	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q[i].qpn, 0);

		lab_send(l, &h, 32, 0);
		l->in = l->in2;
		lab_send(l, &h, 64, 0);
		l->in = first;
	}
	lab_turn(l, 4);
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_wc wc[3];

		CU_ASSERT_EQUAL(phca_poll_cq(q[i].cq, 3, wc), 2);
		CU_ASSERT_EQUAL(wc[0].byte_len + wc[1].byte_len, 2 * PHCA_GRH_LEN + 96);
	}
	close_shards(l, q);
}

static void post_ud(struct lab *l, struct lab_qp *q, const uint8_t dgid[16], uint32_t qpn)
{
	struct phca_send_wr wr = {
		.opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED | PHCA_SEND_INLINE, .inline_data = "12345678",
		.inline_len = 8, .remote_qpn = qpn, .remote_qkey = LAB_QKEY,
	};

	memcpy(wr.av.dgid, dgid, 16);
	wr.av.sgid_index = (uint8_t)phca_net_gid_for(l->net, dgid);
	CU_ASSERT_EQUAL(phca_post_send(q->qp, &wr, 1), 1);
}

/* Shards without a transmit queue send through one that has it. */
PHCA_TEST(shards, every_shard_can_send)
{
	static const uint8_t peer[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 1, q, PHCA_QPT_UD);
	struct phca_port_stats st;
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < SHARDS; i++)
		post_ud(l, &q[i], peer, LAB_PEER_QPN);
	lab_turn(l, 4);
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_wc wc;

		CU_ASSERT(lab_poll(&q[i], &wc) && wc.status == PHCA_WC_SUCCESS);
		m = lab_capture(l);
		CU_ASSERT_PTR_NOT_NULL(m);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_PTR_NULL(lab_capture(l));
	phca_port_stats_get(l->hca, 0, &st);
	CU_ASSERT(st.tx_packets >= 3);
	close_shards(l, q);
}

/*
 * The driver takes nothing: in the end it is a link that loses what is sent, so
 * that what others received for its shard still comes.
 */
PHCA_TEST(shards, a_port_that_is_stuck_does_not_stop_the_rest)
{
	static const uint8_t peer[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(2, 1, q, PHCA_QPT_UD);
	struct rte_ring *first = l->in;
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q[0].qpn, 0);
	struct phca_port_stats st;
	struct phca_wc wc;
	struct rte_mbuf *m;

	lab_turn(l, 2);
	while (rte_ring_free_count(l->out) > 0)
		CU_ASSERT_FATAL(rte_ring_enqueue(l->out, rte_pktmbuf_alloc(l->pool)) == 0);
	for (unsigned int i = 0; i < 3 * LAB_DEPTH; i++) {
		if (i % LAB_DEPTH == 0) { /* more than the stage holds */
			lab_turn(l, 8);
			while (lab_poll(&q[0], &wc))
				;
		}
		post_ud(l, &q[0], peer, LAB_PEER_QPN);
	}
	lab_turn(l, 8);
	while (lab_poll(&q[0], &wc))
		;
	post_ud(l, &q[2], peer, LAB_PEER_QPN); /* by shard 0's queue */
	l->in = l->in2;                        /* received by shard 1 */
	lab_send(l, &h, 32, 0);
	l->in = first;
	lab_turn(l, 4);
	CU_ASSERT_FALSE(lab_poll(&q[0], &wc)); /* it waits for the driver, which may be slow */
	l->now_ns += 100000000;
	lab_turn(l, 4);
	CU_ASSERT_FALSE(lab_poll(&q[0], &wc));
	l->now_ns += 200000000;
	lab_turn(l, 4);
	do {
		CU_ASSERT_FATAL(lab_poll(&q[0], &wc)); /* sends end, too: the network took them */
	} while (wc.opcode != PHCA_WC_RECV);
	CU_ASSERT_EQUAL(wc.byte_len, PHCA_GRH_LEN + 32);
	phca_port_stats_get(l->hca, 0, &st);
	CU_ASSERT(st.tx_stuck > 100);
	while (rte_ring_dequeue(l->out, (void **)&m) == 0) /* it is well again */
		rte_pktmbuf_free(m);
	while (lab_poll(&q[0], &wc))
		;
	post_ud(l, &q[0], peer, LAB_PEER_QPN);
	lab_turn(l, 4);
	m = lab_capture(l);
	CU_ASSERT_FATAL(m != NULL);
	rte_pktmbuf_free(m);
	close_shards(l, q);
}

/* An unknown neighbour is asked for by the port's owner, whichever shard sends. */
PHCA_TEST(shards, the_owner_asks_for_neighbours)
{
	static const uint8_t other[16] = { [10] = 0xff, 0xff, 192, 0, 2, 77 };
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 1, q, PHCA_QPT_UD);
	bool asked = false;
	void *m;

	lab_turn(l, 3);
	while (rte_ring_dequeue(l->out, &m) == 0) /* gratuitous ones */
		rte_pktmbuf_free(m);
	post_ud(l, &q[2], other, 5);
	lab_turn(l, 5);
	while (rte_ring_dequeue(l->out, &m) == 0) {
		const uint8_t *f = rte_pktmbuf_mtod((struct rte_mbuf *)m, const uint8_t *);

		asked |= f[12] == 8 && f[13] == 6 && f[21] == 1 && memcmp(f + 38, other + 12, 4) == 0;
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_TRUE(asked);
	close_shards(l, q);
}

/* The owner's table has no room: whichever shard sends, its WR ends as on a network that drops it. */
PHCA_TEST(shards, a_full_neighbour_table_ends_a_send)
{
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 1, q, PHCA_QPT_UD);
	uint8_t gid[16] = { 0x20, 0x01, 0x0d, 0xb8 }, other[16] = { [10] = 0xff, 0xff, 192, 0, 2, 77 };
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
	unsigned int n = 1;

	do {
		gid[14] = (uint8_t)(++n >> 8);
		gid[15] = (uint8_t)n;
	} while (phca_net_neigh_add(l->net, gid, mac) == 0);
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_wc wc;

		post_ud(l, &q[i], other, 5);
		post_ud(l, &q[i], other, 5);
		lab_turn(l, 10);
		for (unsigned int k = 0; k < 2; k++)
			CU_ASSERT(lab_poll(&q[i], &wc) && wc.status == PHCA_WC_SUCCESS);
		CU_ASSERT_EQUAL(lab_info(&q[i]).stats.tx_unresolved, 2);
		CU_ASSERT_EQUAL(lab_info(&q[i]).stats.tx_packets, 0);
	}
	close_shards(l, q);
}

/* Loopback reaches queue pairs of other shards with the same checks, and never the port. */
PHCA_TEST(shards, loopback_between_shards)
{
	static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 1, q, PHCA_QPT_UD);
	struct phca_port_stats st;
	struct phca_wc wc;

	for (unsigned int i = 0; i < SHARDS; i++)
		post_ud(l, &q[i], own, q[(i + 1) % SHARDS].qpn);
	post_ud(l, &q[0], own, 0x999999); /* no such QP */
	lab_turn(l, 4);
	for (unsigned int i = 0; i < SHARDS; i++) {
		unsigned int sends = 0, recvs = 0;

		while (lab_poll(&q[i], &wc)) {
			CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
			if (wc.opcode == PHCA_WC_RECV) {
				recvs++;
				CU_ASSERT_EQUAL(wc.src_qp, q[(i + SHARDS - 1) % SHARDS].qpn);
			} else {
				sends++;
			}
		}
		CU_ASSERT_EQUAL(recvs, 1);
		CU_ASSERT_EQUAL(sends, i == 0 ? 2 : 1);
	}
	CU_ASSERT_PTR_NULL(lab_capture(l));
	phca_port_stats_get(l->hca, 0, &st);
	CU_ASSERT_EQUAL(st.looped, 4);
	CU_ASSERT_EQUAL(st.verdict[PHCA_V_QPN], 1);
	close_shards(l, q);
}

/* Each proxy QP has its proxy; requests of each are offloaded there. */
PHCA_TEST(shards, queue_pairs_of_several_proxies)
{
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 2, q, PHCA_QPT_UD);
	struct phca_filter_slot *all = lab_filter(l, "all", NULL, 0);
	struct phca_offload *o[2];
	struct phca_offload_stats st;
	char err[256];

	for (unsigned int i = 0; i < 2; i++) {
		struct phca_offload_conf c = { .name = "null", .ops = phca_offload_driver_find("null") };

		o[i] = phca_offload_create(l->proxies[i], &c, err, sizeof(err));
		CU_ASSERT_FATAL(o[i] != NULL);
	}
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_rule rules[2] = {
			{ .name = "all", .filter = all, .offload = o[i & 1], .inbound = true },
			{ .name = "other", .filter = all, .offload = o[~i & 1], .inbound = true },
		};

		CU_ASSERT_EQUAL(phca_qp_proxy_attach(q[i].qp, rules, 2, 0), -EXDEV);
		CU_ASSERT_EQUAL(phca_qp_proxy_attach(q[i].qp, rules, 1, 0), 0);
	}
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q[i].qpn, 0);

		lab_send(l, &h, 32, 0);
	}
	lab_turn(l, 5);
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct phca_qp_info info = lab_info(&q[i]);

		CU_ASSERT_EQUAL(info.stats.rx_offloaded, 1);
		CU_ASSERT_EQUAL(info.pqp.noops, 1);
	}
	phca_offload_stats_get(o[0], &st);
	CU_ASSERT_EQUAL(st.succeeded, 2);
	phca_offload_stats_get(o[1], &st);
	CU_ASSERT_EQUAL(st.succeeded, 1);
	close_shards(l, q);
}

/* Applications in other processes use any CQ with any other; each is spread over the shards as a whole. */
PHCA_TEST(shards, a_client_can_keep_to_one)
{
	const struct lab_opts o = { .nb_shards = 2, .nb_queues = 1 };
	const struct phca_client_conf conf = { .name = "one", .max_qp = 16, .one_shard = true };
	struct lab *l = lab_open(&o);
	struct phca_client *first = NULL, *c;
	struct phca_qp_info info;
	unsigned int used[2] = { 0, 0 };

	for (unsigned int k = 0; k < 2; k++) {
		struct phca_qp_init i = { .type = PHCA_QPT_UD, .pd = l->pd };
		struct phca_cq *cq[4];
		struct phca_qp *qp;

		c = phca_client_open_conf(l->hca, &conf);
		CU_ASSERT_FATAL(c != NULL);
		if (k == 0)
			first = c;
		for (unsigned int n = 0; n < 4; n++)
			CU_ASSERT_FATAL(phca_cq_create(c, 8, &cq[n]) == 0);
		/* two pairs of CQs that have nothing to do with each other, then one of each */
		for (unsigned int n = 0; n < 5; n++) {
			i.send_cq = cq[n < 4 ? n : 0];
			i.recv_cq = cq[n < 4 ? n ^ 1 : 2];
			CU_ASSERT_FATAL(phca_qp_create(c, &i, &qp) == 0);
			phca_qp_info_get(qp, &info);
			used[k] |= 1u << info.shard;
		}
		CU_ASSERT(used[k] == 1 || used[k] == 2);
		if (k == 1)
			CU_ASSERT_EQUAL(used[0] | used[1], 3);
		if (k == 0)
			continue;
		CU_ASSERT_EQUAL(phca_client_close(c), 0);
		c = phca_client_open_conf(l->hca, &conf); /* takes the place of the one that went */
		CU_ASSERT_FATAL(c != NULL && phca_cq_create(c, 8, &cq[0]) == 0);
		i.send_cq = i.recv_cq = cq[0];
		CU_ASSERT_FATAL(phca_qp_create(c, &i, &qp) == 0);
		phca_qp_info_get(qp, &info);
		CU_ASSERT_EQUAL(1u << info.shard, used[1]);
		CU_ASSERT_EQUAL(phca_client_close(c), 0);
	}
	CU_ASSERT_EQUAL(phca_client_close(first), 0);
	lab_close(l);
}

/* A CQ has one writer: queue pairs of two shards cannot share it. */
PHCA_TEST(shards, a_cq_is_of_one_shard)
{
	struct lab_qp q[SHARDS];
	struct lab *l = open_shards(1, 1, q, PHCA_QPT_UD);
	struct phca_qp_init i = { .type = PHCA_QPT_UD, .pd = l->pd, .send_cq = q[0].cq, .recv_cq = q[1].cq };
	struct phca_qp_info info;
	struct phca_qp *qp;

	CU_ASSERT_EQUAL(phca_qp_create(l->client, &i, &qp), -EXDEV);
	i.send_cq = q[1].cq;
	CU_ASSERT_FATAL(phca_qp_create(l->client, &i, &qp) == 0);
	phca_qp_info_get(qp, &info);
	CU_ASSERT_EQUAL(info.shard, 1);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp), 0);
	CU_ASSERT_PTR_NULL(phca_hca_shard(l->hca, SHARDS));
	CU_ASSERT_EQUAL(phca_hca_nb_shards(l->hca), SHARDS);
	close_shards(l, q);
}
