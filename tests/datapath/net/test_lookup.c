/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking up neighbours without owning the port: what is told, what it keeps alive, with real threads. */
#include <pthread.h>
#include <stdio.h>

#include "net_lab.h"

static enum phca_neigh_state lookup(struct net_lab *l, const uint8_t *gid, uint8_t mac[6])
{
	unsigned int sgid = gid[0] == 0x20 || gid[0] == 0xff ? 2 : gid[0] == 0xfe ? 0 : 1;

	memset(mac, 0, 6);
	return phca_net_lookup(l->net, sgid, gid, mac);
}

static void answer4(struct net_lab *l, uint8_t last, const uint8_t mac[6])
{
	uint8_t f[64], ip[4] = { 10, 0, 0, last };
	uint32_t n = mk_arp(f, 2, mac, ip, lab_ip4);

	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ARP);
}

PHCA_TEST(lookup, tells_what_the_owner_knows_and_asks_nobody)
{
	const uint8_t *peer = (const uint8_t[16]){ [10] = 0xff, 0xff, 10, 0, 0, 2 };
	uint8_t f[128], mac[6], moved[6] = { 2, 0, 0, 0, 0, 0x33 };
	struct net_lab *l = lab_open(NULL);

	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	CU_ASSERT_EQUAL(lab_neighs(l, false, PHCA_NEIGH_PENDING), 0);
	CU_ASSERT_EQUAL(lab_resolve(l, peer, mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_drain(l), 1); /* the owner's question */
	answer4(l, 2, lab_peer_mac);
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	answer4(l, 2, moved);
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, moved, 6), 0);
	/* told by the neighbour itself */
	CU_ASSERT_EQUAL(lookup(l, lab_peer6, mac), PHCA_NEIGH_PENDING);
	(void)lab_input(l, f, &(uint32_t){ mk_nd(f, 135, lab_peer6, lab_ip6, 0, lab_ip6, lab_peer_mac) });
	CU_ASSERT_EQUAL(lookup(l, lab_peer6, mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	lab_close(l);
}

PHCA_TEST(lookup, failed_while_it_is_not_to_be_asked_for)
{
	const uint8_t *peer = (const uint8_t[16]){ [10] = 0xff, 0xff, 10, 0, 0, 2 };
	struct net_lab *l = lab_open(NULL);
	uint8_t mac[6];

	lab_resolve(l, peer, mac);
	for (int i = 0; i < 3; i++, l->now_ns += S_NS) {
		lab_drain(l);
		CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_PENDING);
	}
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_FAILED);
	l->now_ns += 3 * S_NS - 1;
	lab_drain(l);
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_FAILED);
	l->now_ns += 1;
	lab_drain(l);
	/* the owner may be asked to try again, without a resolve of its own */
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_resolve(l, peer, mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_drain(l), 1);
	lab_close(l);
}

PHCA_TEST(lookup, routes_as_resolve_does)
{
	static const uint8_t far_mac[6] = { 2, 0, 0, 0, 0, 0x55 };
	struct net_lab *l = lab_open(NULL);
	uint8_t mac[6], g[16] = { 0xff, 0x0e, [12] = 1, 2, 3, 4 };

	/* groups, ourselves */
	CU_ASSERT_EQUAL(lookup(l, g, mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, "\x33\x33\1\2\3\4", 6), 0);
	CU_ASSERT_EQUAL(lookup(l, lab_gid4(0, 0, 1), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_mac, 6), 0);
	CU_ASSERT_TRUE(phca_net_is_own(l->net, lab_gid4(0, 0, 1)));
	CU_ASSERT_TRUE(phca_net_is_own(l->net, lab_ip6));
	CU_ASSERT_TRUE(phca_net_is_own(l->net, lab_local));
	CU_ASSERT_FALSE(phca_net_is_own(l->net, lab_peer6));
	CU_ASSERT_FALSE(phca_net_is_own(l->net, g));
	/* no GID of this family, no such GID, nobody's address */
	CU_ASSERT_EQUAL(phca_net_lookup(l->net, 2, lab_gid4(0, 0, 2), mac), PHCA_NEIGH_FAILED);
	CU_ASSERT_EQUAL(phca_net_lookup(l->net, 3, lab_gid6(2), mac), PHCA_NEIGH_FAILED);
	memset(g, 0, 16);
	CU_ASSERT_EQUAL(phca_net_lookup(l->net, 2, g, mac), PHCA_NEIGH_FAILED);
	/* off the prefix: the gateway's, or a static neighbour's own */
	CU_ASSERT_EQUAL(lookup(l, lab_gid4(7, 7, 7), mac), PHCA_NEIGH_PENDING);
	CU_ASSERT_EQUAL(lab_resolve(l, lab_gid4(7, 7, 7), mac), PHCA_NEIGH_PENDING);
	lab_drain(l);
	answer4(l, 254, lab_peer_mac);
	CU_ASSERT_EQUAL(lookup(l, lab_gid4(7, 7, 7), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, lab_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(phca_net_neigh_add(l->net, lab_gid4(7, 7, 7), far_mac), 0);
	CU_ASSERT_EQUAL(lookup(l, lab_gid4(7, 7, 7), mac), PHCA_NEIGH_READY);
	CU_ASSERT_EQUAL(memcmp(mac, far_mac, 6), 0);
	lab_close(l);
	l = lab_open(&(struct net_lab_opts){ .no_gw = true });
	CU_ASSERT_EQUAL(lookup(l, lab_gid4(7, 7, 7), mac), PHCA_NEIGH_FAILED);
	lab_close(l);
}

/* Somebody else's use counts as the owner's: confirmed by unicast, found again, not forgotten. */
PHCA_TEST(lookup, use_keeps_a_neighbour_alive)
{
	const uint8_t *peer = (const uint8_t[16]){ [10] = 0xff, 0xff, 10, 0, 0, 2 };
	struct net_lab *l = lab_open(NULL);
	unsigned int asked = 0;
	uint8_t f[128], mac[6];

	lab_resolve(l, peer, mac);
	lab_drain(l);
	answer4(l, 2, lab_peer_mac);
	for (int i = 0; i < 1500; i++, l->now_ns += S_NS) {
		CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_READY);
		if (lab_poll(l, f) > 0) {
			asked++;
			CU_ASSERT_EQUAL(memcmp(f, lab_peer_mac, 6), 0);
			CU_ASSERT_EQUAL(memcmp(f + 28, lab_ip4, 4), 0);
			answer4(l, 2, lab_peer_mac);
		}
	}
	CU_ASSERT(asked >= 40 && asked <= 50); /* every 30 s and a little */
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_READY);
	/* it goes: three questions by unicast, then to all */
	for (int i = 0; i < 40 && lookup(l, peer, mac) == PHCA_NEIGH_READY; i++, l->now_ns += S_NS)
		while (lab_poll(l, f) > 0)
			CU_ASSERT(memcmp(f, lab_peer_mac, 6) == 0 || f[0] == 0xff);
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_PENDING);
	/* nobody uses it: forgotten */
	answer4(l, 2, lab_peer_mac);
	for (int i = 0; i < 640; i++, l->now_ns += S_NS)
		lab_drain(l);
	CU_ASSERT_EQUAL(lookup(l, peer, mac), PHCA_NEIGH_PENDING);
	lab_close(l);
}

/* ---------------------------------------------------------- real threads */

#define READERS 2
#define PLACES 2u    /* left by static neighbours: who comes takes somebody's place */
#define STATIONS 5u
#define ROUNDS 100000u
#define READS_MIN 1000u

struct reader {
	pthread_t thread;
	struct phca_net *net;
	const bool *stop;
	uint64_t seed, ready, wrong;
};

/* Station v is at 2001:db8::v with MAC 02:gg:gg:gg:vv:vv, where gg says which of its addresses. */
static void station_mac(uint8_t mac[6], uint16_t v, uint8_t generation)
{
	mac[0] = 2;
	memset(mac + 1, generation, 3);
	phca_put16(mac + 4, v);
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	uint8_t gid[16], mac[6], want[6];

	memcpy(gid, lab_ip6, 16);
	while (!__atomic_load_n(r->stop, __ATOMIC_RELAXED)) {
		uint16_t v = (uint16_t)(2 + phca_test_rand(&r->seed) % STATIONS);

		phca_put16(gid + 14, v);
		if (phca_net_lookup(r->net, 2, gid, mac) != PHCA_NEIGH_READY)
			continue;
		__atomic_store_n(&r->ready, r->ready + 1, __ATOMIC_RELAXED);
		station_mac(want, v, mac[1]);
		r->wrong += memcmp(mac, want, 6) != 0;
	}
	return NULL;
}

static bool all_read(const struct reader *r)
{
	for (unsigned int i = 0; i < READERS; i++)
		if (__atomic_load_n(&r[i].ready, __ATOMIC_RELAXED) < READS_MIN)
			return false;
	return true;
}

/* Neighbours come, move and are evicted, until the readers have seen enough of it. */
static void churn(struct net_lab *l, const struct reader *r)
{
	uint64_t seed = 826;

	for (unsigned int i = 0; i < ROUNDS || !all_read(r); i++) {
		uint16_t v = (uint16_t)(2 + phca_test_rand(&seed) % STATIONS);
		uint8_t f[128], mac[6];
		uint32_t n;

		station_mac(mac, v, (uint8_t)i);
		n = mk_nd(f, 135, lab_gid6(v), lab_ip6, 0, lab_ip6, mac);
		memcpy(f + 6, mac, 6);
		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NDP);
		if (i % 64 == 0)
			lab_drain(l);
		l->now_ns += S_NS / 50;
	}
}

PHCA_TEST(lookup, gid_and_mac_address_belong_together_while_the_owner_writes)
{
	struct net_lab *l = lab_open(NULL);
	struct reader r[READERS];
	bool stop = false;

	for (uint16_t i = 0; i < PHCA_NEIGH_MAX - PLACES; i++)
		CU_ASSERT_EQUAL_FATAL(phca_net_neigh_add(l->net, lab_gid6((uint16_t)(0x100 + i)),
			lab_peer_mac), 0);
	for (unsigned int i = 0; i < READERS; i++) {
		r[i] = (struct reader){ .net = l->net, .stop = &stop, .seed = 4861 + i };
		CU_ASSERT_EQUAL_FATAL(pthread_create(&r[i].thread, NULL, reader_main, &r[i]), 0);
	}
	churn(l, r);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		CU_ASSERT_EQUAL(r[i].wrong, 0);
	}
	lab_drain(l);
	lab_close(l);
}
