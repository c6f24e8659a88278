/* SPDX-License-Identifier: BSD-3-Clause */
/* The rig: rings below, a clock of the test's, packets whose PSN tells them apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>

#include "rig.h"

#define MBUFS 8191

static struct rte_mempool *the_pool(void)
{
	static struct rte_mempool *pool;

	if (pool == NULL)
		pool = rte_pktmbuf_pool_create("rig", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool;
}

static bool start(struct rig *r)
{
	struct rte_eth_conf conf = {0};

	if (rte_eth_dev_configure(r->port, r->queues, r->queues, &conf) < 0)
		return false;
	for (uint16_t q = 0; q < r->queues; q++)
		if (rte_eth_rx_queue_setup(r->port, q, 512, SOCKET_ID_ANY, NULL, r->pool) < 0 ||
				rte_eth_tx_queue_setup(r->port, q, 512, SOCKET_ID_ANY, NULL) < 0)
			return false;
	rig_at(r, 0);
	return rte_eth_dev_start(r->port) == 0;
}

bool rig_open_queues(struct rig *r, const char *args, uint16_t queues)
{
	char all[1024];
	int lower;

	memset(r, 0, sizeof(*r));
	r->queues = queues;
	r->pool = the_pool();
	r->in = rte_ring_create("rig_in", RIG_RING, SOCKET_ID_ANY, RING_F_EXACT_SZ);
	r->out = rte_ring_create("rig_out", RIG_RING, SOCKET_ID_ANY, RING_F_EXACT_SZ);
	if (r->pool == NULL || r->in == NULL || r->out == NULL)
		return false;
	lower = rte_eth_from_rings("rig", &r->in, 1, &r->out, 1, 0);
	if (lower < 0)
		return false;
	r->lower = (uint16_t)lower;
	snprintf(all, sizeof(all), "lower=%d%s%s", lower, *args ? "," : "", args);
	if (rte_vdev_init("net_impair_rig", all) < 0 ||
			rte_eth_dev_get_port_by_name("net_impair_rig", &r->port) < 0)
		return false;
	return start(r);
}

bool rig_open(struct rig *r, const char *args)
{
	return rig_open_queues(r, args, 1);
}

struct phca_impair_counters rig_balance(const struct rig *r, enum phca_impair_dir dir)
{
	struct phca_impair_counters c = {0};

	CU_ASSERT_EQUAL(phca_impair_stats_get(r->port, dir, &c), 0);
	CU_ASSERT_EQUAL(c.in + c.duplicated, c.out + c.dropped + c.rate_dropped + c.freed + c.held);
	return c;
}

static void empty(struct rte_ring *ring)
{
	void *m;

	while (rte_ring_dequeue(ring, &m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(ring);
}

void rig_close(struct rig *r)
{
	rte_eth_dev_stop(r->port);
	CU_ASSERT_EQUAL(rig_balance(r, RX).held, 0);
	CU_ASSERT_EQUAL(rig_balance(r, TX).held, 0);
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_impair_rig"), 0);
	CU_ASSERT_FALSE(rte_eth_dev_is_valid_port(r->lower));
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_ring_rig"), 0);
	empty(r->in);
	empty(r->out);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(r->pool), 0);
}

void rig_at(struct rig *r, uint64_t now_ns)
{
	r->now_ns = now_ns;
	CU_ASSERT_EQUAL(phca_impair_now_set(r->port, now_ns), 0);
}

struct rte_mbuf *rig_build(struct rig *r, const struct rig_pkt *p)
{
	struct phca_wire_hdr h = {
		.ip6 = p->ip6, .hop_limit = 64, .tclass = p->tclass, .udp_sport = 0xc001, .pkey = PHCA_PKEY_DEFAULT,
		.opcode = p->opcode, .dqpn = p->qpn, .psn = phca_psn(p->psn),
		.sgid = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 }, .dgid = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 2 },
	};
	struct rte_mbuf *m = rte_pktmbuf_alloc(r->pool);
	uint8_t *f, *payload;
	uint32_t n;

	if (p->ip6) {
		memset(h.sgid, 0x20, sizeof(h.sgid));
		memset(h.dgid, 0x21, sizeof(h.dgid));
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	f = rte_pktmbuf_mtod(m, uint8_t *);
	n = phca_wire_build(f, &h, p->len);
	payload = f + n;
	for (uint32_t i = 0; i < p->len; i++)
		payload[i] = (uint8_t)(p->psn + i);
	n = phca_wire_finish(f, &h, p->len);
	m->data_len = (uint16_t)n;
	m->pkt_len = n;
	return m;
}

struct rte_mbuf *rig_send_only(struct rig *r, uint32_t qpn, uint32_t psn)
{
	const struct rig_pkt p = { .qpn = qpn, .psn = psn, .len = 64, .opcode = PHCA_RC_SEND_ONLY, .tclass = 2 };

	return rig_build(r, &p);
}

unsigned int rig_put(struct rig *r, enum phca_impair_dir dir, struct rte_mbuf **m, unsigned int n)
{
	if (dir == RX)
		return rte_ring_enqueue_burst(r->in, (void **)m, n, NULL);
	return rte_eth_tx_burst(r->port, 0, m, (uint16_t)n);
}

void rig_feed(struct rig *r, enum phca_impair_dir dir, uint32_t qpn, uint32_t psn, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m = rig_send_only(r, qpn, (psn + i) & PHCA_PSN_MASK);

		CU_ASSERT_EQUAL_FATAL(rig_put(r, dir, &m, 1), 1);
	}
}

unsigned int rig_get(struct rig *r, enum phca_impair_dir dir, struct rte_mbuf **m, unsigned int n)
{
	if (dir == RX)
		return rte_eth_rx_burst(r->port, 0, m, (uint16_t)n);
	(void)rte_eth_tx_burst(r->port, 0, NULL, 0);
	return rte_ring_dequeue_burst(r->out, (void **)m, n, NULL);
}

unsigned int rig_psns(struct rig *r, enum phca_impair_dir dir, uint32_t psn[RIG_MAX])
{
	struct rte_mbuf *m[RIG_MAX];
	unsigned int n = 0, got;

	while (n < RIG_MAX && (got = rig_get(r, dir, m + n, RTE_MIN(RIG_MAX - n, 64u))) > 0)
		n += got;
	for (unsigned int i = 0; i < n; i++) {
		/* of the bytes as they are: it may be corrupt */
		psn[i] = phca_get24(rig_frame(m[i]) + 14 + 20 + 8 + 9);
		rte_pktmbuf_free(m[i]);
	}
	return n;
}

void rig_expect(struct rig *r, enum phca_impair_dir dir, const char *psns)
{
	uint32_t psn[RIG_MAX];
	unsigned int n = rig_psns(r, dir, psn);
	char text[RIG_MAX * 9 + 1] = "";
	size_t at = 0;
	bool same;

	for (unsigned int i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u", i ? " " : "", psn[i]);
	same = strcmp(text, psns) == 0;
	if (!same)
		fprintf(stderr, "  came out: %s\n  expected: %s\n", text, psns);
	CU_ASSERT(same);
}

const uint8_t *rig_frame(const struct rte_mbuf *m)
{
	static uint8_t copy[16384];

	CU_ASSERT_FATAL(m->pkt_len <= sizeof(copy));
	return rte_pktmbuf_read(m, 0, m->pkt_len, copy);
}

enum phca_verdict rig_verdict(const struct rte_mbuf *m, struct phca_pkt *pkt)
{
	struct phca_pkt own;

	return phca_wire_parse(rig_frame(m), m->pkt_len, PHCA_PARSE_ICRC | PHCA_PARSE_UDP_CSUM,
		pkt != NULL ? pkt : &own);
}

void rig_rules(struct rig *r, const char *text)
{
	char err[PHCA_IMPAIR_ERR_MAX] = "";

	CU_ASSERT_EQUAL(phca_impair_rules_set(r->port, text, err, sizeof(err)), 0);
	CU_ASSERT_STRING_EQUAL(err, "");
}

uint16_t rig_ring_port(const char *name, const char *args, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	uint16_t port = 0;

	CU_ASSERT_EQUAL_FATAL(rte_vdev_init(name, args), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name(name, &port), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_configure(port, 1, 1, &conf), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_rx_queue_setup(port, 0, 512, SOCKET_ID_ANY, NULL, pool), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_tx_queue_setup(port, 0, 512, SOCKET_ID_ANY, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_start(port), 0);
	return port;
}
