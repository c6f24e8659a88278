/* SPDX-License-Identifier: BSD-3-Clause */
/* Resolving: who is asked, when, what happens without answer or without room. */
#include <errno.h>

#include "net_lab.h"

static const uint8_t static_mac[6] = { 2, 0, 0, 0, 0, 0x77 };

/* A reply to whoever asked for 10.0.0.x. */
static void answer4(struct net_lab *l, uint8_t last, const uint8_t mac[6])
{
	uint8_t f[64], ip[4] = { 10, 0, 0, last };
	uint32_t n = mk_arp(f, 2, mac, ip, lab_ip4);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
}

PHCA_TEST(neigh, asked_answered_used)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128], mac[6];

	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_poll(l, f), 60);
	CU_ASSERT_EQUAL(memcmp(f, "\xff\xff\xff\xff\xff\xff", 6), 0);
	CU_ASSERT_EQUAL(memcmp(f + 6, lab_mac, 6), 0);
	CU_ASSERT_EQUAL(phca_get16(f + 20), 1);
	CU_ASSERT_EQUAL(memcmp(f + 28, lab_ip4, 4), 0);
	CU_ASSERT_EQUAL(memcmp(f + 38, lab_peer4, 4), 0);
	CU_ASSERT_EQUAL(lab_poll(l, f), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_poll(l, f), 0); /* not asked twice */
	answer4(l, 2, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	l->now_ns += 29 * S_NS;
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	lab_close(l);
}

PHCA_TEST(neigh, three_questions_then_failed_then_again)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128], mac[6];

	for (int round = 0; round < 2; round++) {
		CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_PENDING);
		for (int i = 0; i < 3; i++) {
			CU_ASSERT_EQUAL(lab_poll(l, f), 60);
			l->now_ns += S_NS - 1;
			CU_ASSERT_EQUAL(lab_poll(l, f), 0);
			CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_PENDING);
			l->now_ns += 1;
		}
		CU_ASSERT_EQUAL(lab_poll(l, f), 0);
		CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_FAILED);
		CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_FAILED), 1);
		l->now_ns += 3 * S_NS - 1;
		CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_FAILED);
		l->now_ns += 1;
	}
	/* a late message still counts */
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_PENDING);
	for (int i = 0; i < 4; i++, l->now_ns += S_NS)
		lab_drain(l);
	answer4(l, 2, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	lab_close(l);
}

PHCA_TEST(neigh, in_use_it_is_confirmed_and_found_again_when_it_moved)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128], mac[6], moved[6] = { 2, 0, 0, 0, 0, 0x33 };

	lab_resolve(l, lab_gid4(0, 0, 2), mac);
	lab_drain(l);
	answer4(l, 2, lab_peer_mac);
	l->now_ns += 31 * S_NS;
	CU_ASSERT_EQUAL(lab_drain(l), 0); /* unused: nobody asks */
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(lab_poll(l, f), 60);
	CU_ASSERT_EQUAL(memcmp(f, lab_peer_mac, 6), 0); /* by unicast */
	answer4(l, 2, lab_peer_mac);
	l->now_ns += 29 * S_NS;
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	/* gone: three by unicast, sending goes on; then by broadcast */
	l->now_ns += S_NS;
	for (int i = 0; i < 3; i++, l->now_ns += S_NS) {
		CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
		CU_ASSERT_EQUAL(lab_poll(l, f), 60);
		CU_ASSERT_EQUAL(memcmp(f, lab_peer_mac, 6), 0);
	}
	CU_ASSERT_EQUAL(lab_poll(l, f), 60);
	CU_ASSERT_EQUAL(f[0], 0xff);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_PENDING);
	answer4(l, 2, moved);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, moved, 6), 0);
	lab_close(l);
}

PHCA_TEST(neigh, solicitations_go_to_the_group_then_to_the_station)
{
	struct net_lab *l = lab_open(&(struct net_lab_opts){ .vlan = true });
	uint8_t f[128], mac[6];
	uint32_t n;

	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_poll(l, f), 90);
	CU_ASSERT_EQUAL(memcmp(f, "\x33\x33\xff\0\0\2", 6), 0);
	CU_ASSERT_EQUAL(phca_get16(f + 12), 0x8100);
	CU_ASSERT_EQUAL(phca_get16(f + 14), 7);
	CU_ASSERT_EQUAL(memcmp(f + 26, lab_ip6, 16), 0);
	CU_ASSERT_EQUAL(f[58], 135);
	CU_ASSERT_EQUAL(memcmp(f + 66, lab_peer6, 16), 0);
	n = mk_vlan(f, mk_nd(f, 136, lab_peer6, lab_ip6, 0x60, lab_peer6, lab_peer_mac), 7);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	l->now_ns += 30 * S_NS;
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_poll(l, f), 90);
	CU_ASSERT_EQUAL(memcmp(f, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(f + 42, lab_peer6, 16), 0);
	lab_close(l);
}

PHCA_TEST(neigh, off_the_prefixes_the_gateway_is_asked)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128], mac[6], gw[4] = { 10, 0, 0, 254 }, far6[16] = { 0x20, 0x02, [15] = 1 };

	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(9, 9, 9), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_poll(l, f), 60);
	CU_ASSERT_EQUAL(memcmp(f + 38, gw, 4), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(8, 8, 8), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_poll(l, f), 0); /* one gateway, one question */
	answer4(l, 254, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(8, 8, 8), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, far6, mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_poll(l, f), 86);
	CU_ASSERT_EQUAL(memcmp(f + 62, lab_gid6(0xfe), 16), 0);
	lab_close(l);

	l = lab_open(&(struct net_lab_opts){ .no_gw = true });
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(9, 9, 9), mac), PHCA_NEIGH_FAILED);
	CU_ASSERT_EQUAL(lab_resolve(l, far6, mac), PHCA_NEIGH_FAILED);
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	lab_close(l);
}

PHCA_TEST(neigh, special_destinations)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t mac[6], g[16] = { [10] = 0xff, [11] = 0xff, 239, 0x81, 2, 3 };
	uint8_t link[16] = { 0xfe, 0x80, [15] = 9 }, group[16] = { 0xff, 0x0e, [12] = 1, 2, 3, 4 };

	CU_ASSERT_EQUAL(phca_net_resolve(l->net, 1, g, mac, 0), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, "\x01\x00\x5e\x01\x02\x03", 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, group, mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, "\x33\x33\x01\x02\x03\x04", 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 1), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_local, mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, link, mac), PHCA_NEIGH_PENDING);
	/* family or index wrong, nobody's address */
	CU_ASSERT_EQUAL(phca_net_resolve(l->net, 2, lab_gid4(0, 0, 2), mac, 0), PHCA_NEIGH_FAILED);
	CU_ASSERT_EQUAL(phca_net_resolve(l->net, 1, lab_gid6(2), mac, 0), PHCA_NEIGH_FAILED);
	CU_ASSERT_EQUAL(phca_net_resolve(l->net, 3, lab_gid6(2), mac, 0), PHCA_NEIGH_FAILED);
	memset(g + 12, 255, 4);
	CU_ASSERT_EQUAL(phca_net_resolve(l->net, 1, g, mac, 0), PHCA_NEIGH_FAILED);
	memset(g, 0, 16);
	CU_ASSERT_EQUAL(phca_net_resolve(l->net, 2, g, mac, 0), PHCA_NEIGH_FAILED);
	lab_close(l);
}

PHCA_TEST(neigh, static_entries_never_change)
{
	struct phca_net_neigh st = { .gid = {0} };
	struct net_lab *l;
	uint8_t f[64], mac[6];
	uint32_t n;

	memcpy(st.gid, lab_gid4(0, 0, 2), 16);
	memcpy(st.mac, static_mac, 6);
	l = lab_open(&(struct net_lab_opts){ .neighs = &st, .nb_neighs = 1 });
	n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	CU_ASSERT_EQUAL(n, 60); /* answered, not believed */
	l->now_ns += 10000 * S_NS;
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, static_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	/* off every prefix too */
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid4(7, 7, 7), lab_peer_mac), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(7, 7, 7), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	/* refused: groups, ourselves */
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid4(0, 0, 1), lab_peer_mac), -EINVAL);
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid4(0, 0, 3),
		(const uint8_t[6]){ 1, 2, 3, 4, 5, 6 }), -EINVAL);
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, (const uint8_t[16]){ 0xff, 2 }, lab_peer_mac), -EINVAL);
	CU_ASSERT_EQUAL(lab_neighs(l, true, PHCA_NEIGH_READY), 2);
	lab_close(l);
}

/* Many stations ask for us: 2001:db8::v, each with its own MAC address. */
static void flood(struct net_lab *l, uint32_t from, uint32_t n)
{
	uint8_t f[128], mac[6] = { 2, 0, 0, 1 };

	for (uint32_t i = from; i < from + n; i++) {
		uint32_t len;

		phca_put16(mac + 4, (uint16_t)i);
		len = mk_nd(f, 135, lab_gid6((uint16_t)i), lab_ip6, 0, lab_ip6, mac);
		memcpy(f + 6, mac, 6);
		CU_ASSERT_EQUAL(lab_input(l, f, &len), PHCA_V_NDP);
		CU_ASSERT_EQUAL(len, 86); /* answered in any case */
	}
}

PHCA_TEST(neigh, flood_of_askers_takes_no_place_in_use)
{
	struct phca_net_neigh st = { .gid = {0} };
	struct net_lab *l;
	uint8_t mac[6];

	memcpy(st.gid, lab_gid4(0, 0, 5), 16);
	memcpy(st.mac, static_mac, 6);
	l = lab_open(&(struct net_lab_opts){ .neighs = &st, .nb_neighs = 1 });
	lab_resolve(l, lab_gid4(0, 0, 2), mac);
	lab_drain(l);
	answer4(l, 2, lab_peer_mac);                                  /* in use */
	lab_resolve(l, lab_gid4(0, 0, 3), mac);                       /* being asked for */
	flood(l, 0x100, 3 * PHCA_NEIGH_MAX);
	CU_ASSERT_EQUAL(lab_neighs(l, true, PHCA_NEIGH_READY), 1);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_PENDING), 1);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), PHCA_NEIGH_MAX - 2);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 5), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, static_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 3), mac), PHCA_NEIGH_PENDING);
	/* own traffic gets a place all the same: the oldest asker's */
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 4), mac), PHCA_NEIGH_PENDING);
	/* the newest askers are known */
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(0x100 + 3 * PHCA_NEIGH_MAX - 1), mac), PHCA_NEIGH_READY);
	lab_drain(l);
	lab_close(l);
}

PHCA_TEST(neigh, table_full_of_own_traffic)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t mac[6];
	uint32_t n = PHCA_NEIGH_MAX;

	for (uint32_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6((uint16_t)(0x100 + i)), mac), PHCA_NEIGH_PENDING);
	/* all are being asked for: no place */
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_FAILED);
	CU_ASSERT_EQUAL(lab_drain(l), n);
	flood(l, 0x100, n); /* they ask for us themselves: known now */
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), n);
	/* all in use: no place, for strangers or for us */
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_FAILED);
	flood(l, 0x9000, 10);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(0x9000), mac), PHCA_NEIGH_FAILED);
	/* but a static entry has one */
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid4(0, 0, 6), static_mac), 0);
	CU_ASSERT_EQUAL(lab_neighs(l, true, PHCA_NEIGH_READY), 1);
	/* a minute later those not used since give way; 0x104 is used */
	l->now_ns += 59 * S_NS;
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(0x104), mac), PHCA_NEIGH_READY);
	l->now_ns += 2 * S_NS;
	for (uint32_t i = 0; i < n - 2; i++)
		CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6((uint16_t)(0x2000 + i)), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(0x2fff), mac), PHCA_NEIGH_FAILED);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(0x104), mac), PHCA_NEIGH_READY);
	lab_drain(l);
	lab_close(l);
}

PHCA_TEST(neigh, static_table_can_be_full)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t mac[6];

	for (uint32_t i = 0; i < PHCA_NEIGH_MAX; i++)
		CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid6((uint16_t)(0x100 + i)), static_mac), 0);
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid6(0x99), static_mac), -ENOSPC);
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid6(0x100), lab_peer_mac), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(0x100), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(0x99), mac), PHCA_NEIGH_FAILED);
	flood(l, 0x9000, 10);
	CU_ASSERT_EQUAL(lab_neighs(l, true, PHCA_NEIGH_READY), PHCA_NEIGH_MAX);
	lab_close(l);
}

PHCA_TEST(neigh, forgotten_when_unused_for_ten_minutes)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t mac[6];

	flood(l, 0x100, 100);
	lab_resolve(l, lab_gid6(0x5000), mac); /* never answers */
	for (int i = 0; i < 500; i++, l->now_ns += S_NS)
		lab_drain(l);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_FAILED), 0);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 100);
	for (int i = 0; i < 120; i++, l->now_ns += S_NS)
		lab_drain(l);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	lab_close(l);
}

PHCA_TEST(neigh, probes_wait_for_room_and_for_buffers)
{
	struct net_lab *l = lab_open(NULL);
	static struct rte_mbuf *all[4096];
	struct rte_mbuf *out[8];
	uint8_t mac[6];
	unsigned int n;

	for (uint8_t i = 0; i < 20; i++)
		lab_resolve(l, lab_gid4(0, 0, 10 + i), mac);
	CU_ASSERT_EQUAL(phca_net_poll(l->net, l->now_ns, out, 0), 0);
	CU_ASSERT_EQUAL(phca_net_poll(l->net, l->now_ns, out, 8), 8);
	rte_pktmbuf_free_bulk(out, 8);
	n = rte_mempool_avail_count(l->pool);
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(l->pool, all, n), 0);
	CU_ASSERT_EQUAL(phca_net_poll(l->net, l->now_ns, out, 8), 0);
	rte_pktmbuf_free_bulk(all, n);
	CU_ASSERT_EQUAL(lab_drain(l), 12);
	lab_close(l);
}
