/* SPDX-License-Identifier: BSD-3-Clause */
/* Neighbour discovery: RFC 4861 sections 7.1 and 7.2, message by message. */
#include "net_lab.h"

#define NS 135
#define NA 136
#define S 0x40
#define O 0x20

static const uint8_t group[16] = { 0xff, 0x02, [11] = 1, [12] = 0xff, [15] = 1 };
static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };
static const uint8_t nobody[16];
static const uint8_t moved[6] = { 2, 0, 0, 0, 0, 0x33 };

static enum phca_verdict give(struct net_lab *l, uint8_t *f, uint32_t *n)
{
	mk_csum6(f + 14);
	return lab_input(l, f, n);
}

/* Bring the peer into the table, REACHABLE. */
static void meet(struct net_lab *l)
{
	uint8_t f[128], mac[6];
	uint32_t n;

	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_poll(l, f), 86);
	n = mk_nd(f, NA, lab_peer6, lab_ip6, S | O, lab_peer6, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_poll(l, f), 0); /* confirmed: no probe on use */
}

PHCA_TEST(ndp, solicitation_is_answered_and_the_asker_learnt)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128], mac[6];
	uint32_t n = mk_nd(f, NS, lab_peer6, group, 0, lab_ip6, lab_peer_mac);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL_FATAL(n, 86);
	CU_ASSERT_EQUAL(memcmp(f, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(f + 6, lab_mac, 6), 0);
	CU_ASSERT_EQUAL(f[21], 255);
	CU_ASSERT_EQUAL(memcmp(f + 22, lab_ip6, 16), 0);
	CU_ASSERT_EQUAL(memcmp(f + 38, lab_peer6, 16), 0);
	CU_ASSERT_EQUAL(f[54], NA);
	CU_ASSERT_EQUAL(f[58], S | O);
	CU_ASSERT_EQUAL(memcmp(f + 62, lab_ip6, 16), 0);
	CU_ASSERT_EQUAL(f[78], 2);
	CU_ASSERT_EQUAL(memcmp(f + 80, lab_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	lab_close(l);
}

PHCA_TEST(ndp, unicast_solicitation_without_option_is_answered_in_full)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128];
	uint32_t n = mk_nd(f, NS, lab_peer6, lab_local, 0, lab_local, NULL);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(n, 86); /* longer than the question */
	CU_ASSERT_EQUAL(memcmp(f + 62, lab_local, 16), 0);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	lab_close(l);
}

PHCA_TEST(ndp, duplicate_address_detection_is_answered_to_all)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128];
	uint32_t n = mk_nd(f, NS, nobody, group, 0, lab_ip6, NULL);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(n, 86);
	CU_ASSERT_EQUAL(memcmp(f, "\x33\x33\0\0\0\1", 6), 0);
	CU_ASSERT_EQUAL(memcmp(f + 38, all_nodes, 16), 0);
	CU_ASSERT_EQUAL(f[58], O);
	/* with a MAC address, or not to the group, it is malformed */
	n = mk_nd(f, NS, nobody, group, 0, lab_ip6, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_nd(f, NS, nobody, lab_ip6, 0, lab_ip6, NULL);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	CU_ASSERT_EQUAL(n, 0);
	lab_close(l);
}

PHCA_TEST(ndp, malformed_messages_change_and_send_nothing)
{
	static const struct { uint8_t off, val; const char *what; } bad[] = {
		{ 21, 254, "hop limit" }, { 55, 1, "code" }, { 62, 0xff, "target is a group" },
		{ 79, 0, "option of length 0" }, { 79, 2, "option longer than the message" },
		{ 80, 1, "MAC address is a group" }, { 22, 0xff, "source is a group" },
		{ 20, 44, "fragment header" },
		{ 19, 8, "no room for the target" }, { 19, 31, "half an option" },
		{ 19, 25, "one byte of an option" }, { 18, 1, "longer than the frame" },
	};
	static const uint8_t types[2] = { NS, NA };
	struct net_lab *l = lab_open(NULL);
	uint8_t f[400] = {0};
	uint32_t n;

	for (unsigned int i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {
		n = mk_nd(f, types[i & 1], lab_peer6, lab_ip6, 0, i & 1 ? lab_peer6 : lab_ip6, lab_peer_mac);
		f[bad[i / 2].off] = bad[i / 2].val;
		/* the source of an advertisement does not matter */
		if ((i & 1) && bad[i / 2].off == 22)
			continue;
		if (give(l, f, &n) != PHCA_V_NOT_ROCE || n != 0)
			CU_FAIL(bad[i / 2].what);
	}
	/* checksum, one bit anywhere */
	for (uint32_t bit = 0; bit < 32 * 8; bit++) {
		n = mk_nd(f, NS, lab_peer6, lab_ip6, 0, lab_ip6, lab_peer_mac);
		f[54 + bit / 8] ^= 1 << bit % 8;
		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
		CU_ASSERT_EQUAL(n, 0);
	}
	for (uint32_t len = 14; len < 86; len++) {
		n = len + 0 * mk_nd(f, NS, lab_peer6, lab_ip6, 0, lab_ip6, lab_peer_mac);
		if (len >= 54) { /* else the parser names it */
			CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
			CU_ASSERT_EQUAL(n, 0);
		}
	}
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	lab_close(l);
}

PHCA_TEST(ndp, liars_about_our_own_addresses_are_ignored)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128];
	uint32_t n = mk_nd(f, NS, lab_ip6, lab_local, 0, lab_local, lab_peer_mac);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_nd(f, NA, lab_ip6, all_nodes, O, lab_ip6, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_nd(f, NS, lab_peer6, lab_ip6, 0, lab_ip6, lab_mac);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_nd(f, NA, lab_peer6, all_nodes, S | O, lab_peer6, lab_peer_mac); /* 7.1.2 */
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	lab_close(l);
}

PHCA_TEST(ndp, questions_to_others_are_not_ours)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128];
	uint32_t n = mk_nd(f, NS, lab_peer6, group, 0, lab_gid6(0x101), lab_peer_mac);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS); /* same group, other address */
	n = mk_nd(f, NS, lab_peer6, lab_gid6(9), 0, lab_ip6, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS);
	CU_ASSERT_EQUAL(n, 0);
	lab_close(l);
}

PHCA_TEST(ndp, other_options_are_skipped)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128];
	uint32_t n = mk_nd(f, NS, lab_peer6, lab_ip6, 0, lab_ip6, lab_peer_mac);

	memmove(f + 86, f + 78, 8);
	memcpy(f + 78, "\x0e\x01nonce!", 8); /* RFC 3971 nonce before the MAC address */
	f[19] = 40;
	n += 8;
	CU_ASSERT_EQUAL(give(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(n, 86);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 1);
	lab_close(l);
}

PHCA_TEST(ndp, advertisements_as_7_2_5_has_it)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[128], mac[6];
	uint32_t n;

	/* no entry: nothing happens */
	n = mk_nd(f, NA, lab_peer6, all_nodes, O, lab_peer6, lab_peer_mac);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_READY), 0);
	/* asking, answer without MAC: still asking */
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_PENDING);
	n = mk_nd(f, NA, lab_peer6, lab_ip6, S | O, lab_peer6, NULL);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_PENDING);
	lab_drain(l);
	l->now_ns += S_NS;
	meet(l);
	/* other MAC, no override: keeps the old one, but asks on next use */
	n = mk_nd(f, NA, lab_peer6, lab_ip6, S, lab_peer6, moved);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(lab_poll(l, f), 86);
	CU_ASSERT_EQUAL(memcmp(f, lab_peer_mac, 6), 0);
	/* the answer, without MAC, confirms */
	n = mk_nd(f, NA, lab_peer6, lab_ip6, S, lab_peer6, NULL);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	l->now_ns += 5 * S_NS;
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	/* override: the new MAC, to be confirmed */
	n = mk_nd(f, NA, lab_peer6, all_nodes, O, lab_peer6, moved);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid6(2), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, moved, 6), 0);
	CU_ASSERT_EQUAL(lab_drain(l), 1);
	lab_close(l);
}
