/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The port's surroundings: rings for a cable, a clock in a variable, frames made
 * field by field. It keeps: every mbuf is back in the pool when the lab closes.
 */
#include <stdio.h>
#include <stdlib.h>

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>

#include "net_lab.h"

const uint8_t lab_mac[6] = { 0x00, 0x70, 0x68, 0x63, 0x61, 0x01 };
const uint8_t lab_ip4[4] = { 10, 0, 0, 1 };
const uint8_t lab_ip6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
const uint8_t lab_local[16] = { 0xfe, 0x80, [8] = 0x02, 0x70, 0x68, 0xff, 0xfe, 0x63, 0x61, 0x01 };
const uint8_t lab_peer_mac[6] = { 0x02, 0, 0, 0, 0, 0x22 };
const uint8_t lab_peer4[4] = { 10, 0, 0, 2 };
const uint8_t lab_peer6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };

static struct phca_net_addr addrs[2];
static struct rte_mempool *pool;
static int port = -1;

static void cable(void)
{
	struct rte_ring *in, *out;

	if (port >= 0)
		return;
	in = rte_ring_create("net_in", 256, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	out = rte_ring_create("net_out", 256, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	pool = rte_pktmbuf_pool_create("net_lab", 2047, 0, 0, 2176, SOCKET_ID_ANY);
	CU_ASSERT_FATAL(in != NULL && out != NULL && pool != NULL);
	port = rte_eth_from_rings("net_lab", &in, 1, &out, 1, 0);
	CU_ASSERT_FATAL(port >= 0);
}

void lab_conf(struct phca_net_conf *c)
{
	cable();
	memset(c, 0, sizeof(*c));
	addrs[0] = (struct phca_net_addr){ .prefix_len = 24 };
	memcpy(addrs[0].gid, lab_gid4(0, 0, 1), 16);
	addrs[1] = (struct phca_net_addr){ .prefix_len = 64, .ip6 = true };
	memcpy(addrs[1].gid, lab_ip6, 16);
	c->port_id = (uint16_t)port;
	c->mtu = 1024;
	c->set_mac = true;
	memcpy(c->mac, lab_mac, 6);
	c->pool = pool;
	c->addrs = addrs;
	c->nb_addrs = 2;
	c->has_gw4 = c->has_gw6 = true;
	memcpy(c->gw4, lab_gid4(0, 0, 254), 16);
	memcpy(c->gw6, lab_gid6(0xfe), 16);
}

struct net_lab *lab_open(const struct net_lab_opts *o)
{
	static const struct net_lab_opts none;
	static struct net_lab lab;
	struct phca_net_conf c;
	char err[256] = "";

	o = o != NULL ? o : &none;
	lab_conf(&c);
	c.vlan = o->vlan;
	c.vlan_id = 7;
	c.promisc = o->promisc;
	c.neighs = o->neighs;
	c.nb_neighs = o->nb_neighs;
	if (o->no_gw)
		c.has_gw4 = c.has_gw6 = false;
	lab.pool = pool;
	lab.now_ns = 5 * S_NS;
	lab.net = phca_net_create(&c, err, sizeof(err));
	if (lab.net == NULL)
		printf("  lab: %s\n", err);
	CU_ASSERT_FATAL(lab.net != NULL);
	if (!o->no_start) {
		CU_ASSERT_EQUAL_FATAL(phca_net_start(lab.net), 0);
		lab_drain(&lab); /* announcements, both rounds */
		lab.now_ns += 2 * S_NS;
		lab_drain(&lab);
	}
	return &lab;
}

void lab_close(struct net_lab *l)
{
	phca_net_destroy(l->net);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(l->pool), 0);
}

enum phca_verdict lab_input(struct net_lab *l, uint8_t *f, uint32_t *n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);
	struct phca_pkt pkt;
	enum phca_verdict v;
	bool reply = true;

	CU_ASSERT_FATAL(m != NULL);
	memcpy(rte_pktmbuf_append(m, (uint16_t)*n), f, *n);
	v = phca_wire_parse(f, *n, PHCA_PARSE_ICRC, &pkt);
	CU_ASSERT_EQUAL(v, PHCA_V_NOT_ROCE);
	v = phca_net_input(l->net, m, &pkt, l->now_ns, &reply);
	*n = 0;
	if (reply) {
		CU_ASSERT_EQUAL(m->pkt_len, m->data_len);
		*n = m->data_len;
		memcpy(f, rte_pktmbuf_mtod(m, void *), *n);
	}
	rte_pktmbuf_free(m);
	return v;
}

uint32_t lab_poll(struct net_lab *l, uint8_t *f)
{
	struct rte_mbuf *m;
	uint32_t n;

	if (phca_net_poll(l->net, l->now_ns, &m, 1) == 0)
		return 0;
	n = m->data_len;
	memcpy(f, rte_pktmbuf_mtod(m, void *), n);
	rte_pktmbuf_free(m);
	return n;
}

unsigned int lab_drain(struct net_lab *l)
{
	uint8_t f[512];
	unsigned int n = 0;

	while (lab_poll(l, f) > 0)
		n++;
	return n;
}

void lab_quiet(struct net_lab *l)
{
	for (int i = 0; i < 4; i++, l->now_ns += S_NS)
		lab_drain(l);
}

static uint8_t *buffer(void)
{
	static uint8_t b[4][16];
	static unsigned int next;

	return memset(b[next++ % 4], 0, 16);
}

const uint8_t *lab_gid4(uint8_t a, uint8_t b, uint8_t c)
{
	uint8_t *g = buffer();

	g[10] = g[11] = 0xff;
	g[12] = 10;
	g[13] = a;
	g[14] = b;
	g[15] = c;
	return g;
}

const uint8_t *lab_gid6(uint16_t v)
{
	uint8_t *g = buffer();

	memcpy(g, lab_ip6, 16);
	phca_put16(g + 14, v);
	return g;
}

enum phca_neigh_state lab_resolve(struct net_lab *l, const uint8_t *gid, uint8_t mac[6])
{
	unsigned int sgid = gid[0] == 0x20 || gid[0] == 0xff ? 2 : gid[0] == 0xfe ? 0 : 1;

	memset(mac, 0, 6);
	return phca_net_resolve(l->net, sgid, gid, mac, l->now_ns);
}

unsigned int lab_neighs(const struct net_lab *l, bool is_static, enum phca_neigh_state state)
{
	static struct phca_neigh_info info[PHCA_NEIGH_MAX];
	unsigned int n = phca_net_neigh_dump(l->net, info, PHCA_NEIGH_MAX), hits = 0;

	for (unsigned int i = 0; i < n; i++)
		hits += info[i].is_static == is_static && info[i].state == state;
	return hits;
}

uint32_t mk_eth(uint8_t *f, const uint8_t *dmac, const uint8_t *smac, uint16_t type)
{
	memcpy(f, dmac, 6);
	memcpy(f + 6, smac, 6);
	phca_put16(f + 12, type);
	return 14;
}

uint32_t mk_arp(uint8_t *f, uint16_t op, const uint8_t *sha, const uint8_t *spa, const uint8_t *tpa)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t head[6] = { 0, 1, 8, 0, 6, 4 };
	uint8_t *a = f + mk_eth(f, op == 1 ? all : lab_mac, sha, 0x0806);

	memcpy(a, head, 6);
	phca_put16(a + 6, op);
	memcpy(a + 8, sha, 6);
	memcpy(a + 14, spa, 4);
	memset(a + 18, 0, 6);
	memcpy(a + 24, tpa, 4);
	memset(a + 28, 0, 18);
	return 60;
}

static uint32_t mk_ip6(uint8_t *f, const uint8_t *src, const uint8_t *dst, uint32_t len, uint8_t hops)
{
	uint8_t *ip = f + mk_eth(f, lab_mac, lab_peer_mac, 0x86dd);

	memset(ip, 0, 40);
	ip[0] = 0x60;
	phca_put16(ip + 4, (uint16_t)len);
	ip[6] = 58;
	ip[7] = hops;
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
	return 54;
}

/* RFC 1071, by the book: not what lib/wire does. */
static uint16_t csum(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += (uint32_t)p[i] << (i % 2 == 0 ? 8 : 0);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void mk_csum6(uint8_t *l3)
{
	uint32_t len = phca_get16(l3 + 4), sum = len + 58;

	for (uint32_t i = 8; i < 40; i += 2)
		sum += phca_get16(l3 + i);
	phca_put16(l3 + 42, 0);
	phca_put16(l3 + 42, csum(l3 + 40, len, sum));
}

void mk_csum4(uint8_t *l3)
{
	phca_put16(l3 + 10, 0);
	phca_put16(l3 + 10, csum(l3, 20, 0));
	phca_put16(l3 + 22, 0);
	phca_put16(l3 + 22, csum(l3 + 20, phca_get16(l3 + 2) - 20u, 0));
}

void mk_csum_igmp(uint8_t *l3)
{
	phca_put16(l3 + 10, 0);
	phca_put16(l3 + 10, csum(l3, (l3[0] & 15u) * 4, 0));
	phca_put16(l3 + 26, 0);
	phca_put16(l3 + 26, csum(l3 + 24, phca_get16(l3 + 2) - 24u, 0));
}

void mk_csum_mld(uint8_t *l3)
{
	uint32_t len = phca_get16(l3 + 4) - 8u, sum = len + 58;

	for (uint32_t i = 8; i < 40; i += 2)
		sum += phca_get16(l3 + i);
	phca_put16(l3 + 50, 0);
	phca_put16(l3 + 50, csum(l3 + 48, len, sum));
}

uint32_t mk_igmp(uint8_t *f, const uint8_t *gid, uint8_t code)
{
	static const uint8_t all_mac[6] = { 0x01, 0, 0x5e, 0, 0, 1 }, all[4] = { 224, 0, 0, 1 };
	static const uint8_t router[4] = { 10, 0, 0, 254 }, alert[4] = { 0x94, 4, 0, 0 };
	uint8_t *ip = f + mk_eth(f, all_mac, lab_peer_mac, 0x0800);

	memset(ip, 0, 46);
	ip[0] = 0x46;
	phca_put16(ip + 2, 36);
	ip[8] = 1;
	ip[9] = 2;
	memcpy(ip + 12, router, 4);
	memcpy(ip + 16, gid != NULL ? gid + 12 : all, 4);
	memcpy(ip + 20, alert, 4);
	ip[24] = 0x11;
	ip[25] = code;
	if (gid != NULL)
		memcpy(ip + 28, gid + 12, 4);
	mk_csum_igmp(ip);
	return 60;
}

uint32_t mk_mld(uint8_t *f, const uint8_t *gid, uint16_t code)
{
	static const uint8_t router[16] = { 0xfe, 0x80, [15] = 0x22 }, all[16] = { 0xff, 2, [15] = 1 };
	static const uint8_t alert[8] = { 58, 0, 5, 2, 0, 0, 1, 0 };
	uint8_t *ip = f + 14;

	mk_ip6(f, router, gid != NULL ? gid : all, 36, 1);
	memcpy(f, "\x33\x33\0\0\0\1", 6);
	ip[6] = 0;
	memcpy(ip + 40, alert, 8);
	memset(ip + 48, 0, 28);
	ip[48] = 130;
	phca_put16(ip + 52, code);
	if (gid != NULL)
		memcpy(ip + 56, gid, 16);
	mk_csum_mld(ip);
	return 14 + 40 + 36;
}

uint32_t mk_nd(uint8_t *f, uint8_t type, const uint8_t *src, const uint8_t *dst, uint8_t flags,
		const uint8_t *target, const uint8_t *mac)
{
	uint32_t len = mac != NULL ? 32 : 24;
	uint8_t *nd = f + mk_ip6(f, src, dst, len, 255);

	memset(nd, 0, 32);
	nd[0] = type;
	nd[4] = flags;
	memcpy(nd + 8, target, 16);
	if (mac != NULL) {
		nd[24] = type == 135 ? 1 : 2;
		nd[25] = 1;
		memcpy(nd + 26, mac, 6);
	}
	mk_csum6(f + 14);
	return 54 + len;
}

uint32_t mk_echo4(uint8_t *f, uint32_t len)
{
	uint8_t *ip = f + mk_eth(f, lab_mac, lab_peer_mac, 0x0800);

	memset(ip, 0, 28);
	ip[0] = 0x45;
	phca_put16(ip + 2, (uint16_t)(28 + len));
	phca_put16(ip + 4, 0x1234);
	ip[8] = 1;
	ip[9] = 1;
	memcpy(ip + 12, lab_peer4, 4);
	memcpy(ip + 16, lab_ip4, 4);
	ip[20] = 8;
	phca_put32(ip + 24, 0xabcd0001);
	for (uint32_t i = 0; i < len; i++)
		ip[28 + i] = (uint8_t)(i * 7 + 1);
	mk_csum4(ip);
	return 14 + 28 + len;
}

uint32_t mk_echo6(uint8_t *f, uint32_t len)
{
	uint8_t *icmp = f + mk_ip6(f, lab_peer6, lab_ip6, 8 + len, 1);

	memset(icmp, 0, 8);
	icmp[0] = 128;
	phca_put32(icmp + 4, 0xabcd0001);
	for (uint32_t i = 0; i < len; i++)
		icmp[8 + i] = (uint8_t)(i * 7 + 1);
	mk_csum6(f + 14);
	return 54 + 8 + len;
}

uint32_t mk_vlan(uint8_t *f, uint32_t n, uint16_t tci)
{
	memmove(f + 16, f + 12, n - 12);
	phca_put16(f + 12, 0x8100);
	phca_put16(f + 14, tci);
	return n + 4;
}
