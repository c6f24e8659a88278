/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP: requests answered, replies and announcements believed, lies not. */
#include "net_lab.h"

static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t zero4[4];

PHCA_TEST(arp, request_is_answered_and_the_asker_learnt)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[64], mac[6];
	uint32_t n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	CU_ASSERT_EQUAL_FATAL(n, 60);
	CU_ASSERT_EQUAL(memcmp(f, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(f + 6, lab_mac, 6), 0);
	CU_ASSERT_EQUAL(phca_get16(f + 20), 2);
	CU_ASSERT_EQUAL(memcmp(f + 22, lab_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(f + 28, lab_ip4, 4), 0);
	CU_ASSERT_EQUAL(memcmp(f + 32, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(f + 38, lab_peer4, 4), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	lab_close(l);
}

PHCA_TEST(arp, request_for_others_is_not_ours)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[64], other[4] = { 10, 0, 0, 9 };
	uint32_t n = mk_arp(f, 1, lab_peer_mac, lab_peer4, other);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	lab_close(l);
}

PHCA_TEST(arp, unasked_messages_make_no_entry_but_change_one)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[64], mac[6], moved[6] = { 2, 0, 0, 0, 0, 0x33 };
	uint32_t n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_peer4);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS); /* gratuitous request */
	n = mk_arp(f, 2, lab_peer_mac, lab_peer4, lab_ip4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);      /* reply that nobody asked for */
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	n = mk_arp(f, 1, moved, lab_peer4, lab_peer4);         /* it moved, and says so */
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, moved, 6), 0);
	/* believed, but confirmed by asking it */
	CU_ASSERT_EQUAL(lab_poll(l, f), 60);
	CU_ASSERT_EQUAL(memcmp(f, moved, 6), 0);
	lab_close(l);
}

PHCA_TEST(arp, probe_with_sender_zero_is_answered_not_learnt)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[64];
	uint32_t n = mk_arp(f, 1, lab_peer_mac, zero4, lab_ip4);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	CU_ASSERT_EQUAL(n, 60);
	CU_ASSERT_EQUAL(memcmp(f + 28, lab_ip4, 4), 0);
	CU_ASSERT_EQUAL(memcmp(f + 38, zero4, 4), 0);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	lab_close(l);
}

PHCA_TEST(arp, hostile_messages_change_and_send_nothing)
{
	static const struct { uint8_t off, val; const char *what; } bad[] = {
		{ 15, 6, "hardware type" }, { 16, 9, "protocol type" }, { 18, 7, "hlen" },
		{ 19, 16, "plen" }, { 21, 3, "RARP" }, { 21, 0, "operation 0" },
		{ 22, 3, "sender MAC is a group" }, { 28, 224, "sender IP is a group" },
		{ 28, 127, "sender IP is loopback" }, { 6, 1, "frame's source is a group" },
	};
	struct net_lab *l = lab_open(NULL);
	uint8_t f[64];
	uint32_t n;

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
		f[bad[i].off] = bad[i].val;
		if (lab_input(l, f, &n) != PHCA_V_NOT_ROCE || n != 0)
			CU_FAIL(bad[i].what);
	}
	/* the sender claims our address, or our MAC */
	n = mk_arp(f, 1, lab_peer_mac, lab_ip4, lab_ip4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_arp(f, 2, lab_peer_mac, lab_ip4, lab_peer4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
	memcpy(f + 22, lab_mac, 6);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_arp(f, 1, lab_mac, lab_peer4, lab_ip4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	/* every length that is too short */
	for (uint32_t len = 14; len < 42; len++) {
		n = len + 0 * mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
		CU_ASSERT_EQUAL(n, 0);
	}
	n = 42 + 0 * mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	CU_ASSERT_EQUAL(n, 42);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 1);
	lab_close(l);
}

PHCA_TEST(arp, asker_off_the_prefix_is_answered_not_learnt)
{
	static const uint8_t off_link[][4] = { { 10, 0, 1, 2 }, { 10, 0, 0, 0 }, { 10, 0, 0, 255 } };
	struct net_lab *l = lab_open(NULL);
	uint8_t f[64];

	for (int i = 0; i < 3; i++) {
		uint32_t n = mk_arp(f, 1, lab_peer_mac, off_link[i], lab_ip4);

		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
		CU_ASSERT_EQUAL(n, 60);
	}
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	lab_close(l);
}

PHCA_TEST(arp, mac_address_and_vlan_are_checked_first)
{
	struct net_lab *l = lab_open(&(struct net_lab_opts){ .vlan = true });
	uint8_t f[64], other[6] = { 2, 0, 0, 0, 0, 0x44 };
	uint32_t n;

	n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS);
	n = mk_vlan(f, mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4), 8);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS);
	n = mk_vlan(f, mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4), 0x6007);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	CU_ASSERT_EQUAL(n, 64);
	CU_ASSERT_EQUAL(phca_get16(f + 14), 0x6007);
	CU_ASSERT_EQUAL(phca_get16(f + 24), 2);
	lab_close(l);

	l = lab_open(NULL);
	n = mk_vlan(f, mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4), 7);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS);
	n = mk_vlan(f, mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4), 0x6000); /* priority tag */
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
	memcpy(f, other, 6);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS);
	lab_close(l);

	l = lab_open(&(struct net_lab_opts){ .promisc = true });
	n = mk_arp(f, 1, lab_peer_mac, lab_peer4, lab_ip4);
	memcpy(f, other, 6);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
	CU_ASSERT_EQUAL(n, 60);
	lab_close(l);
}

PHCA_TEST(arp, start_announces_each_address_twice)
{
	struct net_lab *l = lab_open(&(struct net_lab_opts){ .no_start = true });
	uint8_t f[128];
	unsigned int arps = 0, nas = 0;
	uint32_t n;

	CU_ASSERT_EQUAL(phca_net_start(l->net), 0);
	for (int round = 0; round < 2; round++, l->now_ns += 2 * S_NS) {
		while ((n = lab_poll(l, f)) > 0) {
			bool arp = phca_get16(f + 12) == 0x0806;

			arps += arp && memcmp(f, all, 6) == 0 && memcmp(f + 28, lab_ip4, 4) == 0 &&
				memcmp(f + 38, lab_ip4, 4) == 0;
			nas += !arp && f[0] == 0x33 && f[54] == 136;
		}
		CU_ASSERT_EQUAL(arps, 1u + round);
		CU_ASSERT_EQUAL(nas, 2u + 2 * round);
		l->now_ns += S_NS;
	}
	l->now_ns += 100 * S_NS;
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	lab_close(l);
}
