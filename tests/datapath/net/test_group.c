/* SPDX-License-Identifier: BSD-3-Clause */
/* Multicast groups: who is told when, which queries count, what the device lets in. */
#include <errno.h>
#include <pthread.h>

#include "fake_dev.h"
#include "net_lab.h"

#define MS_NS (S_NS / 1000)
#define IS_EX 2
#define TO_IN 3
#define TO_EX 4

static const uint8_t group4[16] = { [10] = 0xff, 0xff, 239, 1, 2, 3 };
static const uint8_t group6[16] = { 0xff, 0x0e, [15] = 0x77 };

/* 239.0.x.x, ff0e::1:x */
static const uint8_t *gid4(uint16_t i)
{
	static uint8_t g[16] = { [10] = 0xff, 0xff, 239 };

	phca_put16(g + 14, i);
	return g;
}

static const uint8_t *gid6(uint16_t i)
{
	static uint8_t g[16] = { 0xff, 0x0e, [13] = 1 };

	phca_put16(g + 14, i);
	return g;
}

/* Records of this type for a group in a version 3 or 2 report. */
static unsigned int told(const uint8_t *f, const uint8_t *gid, uint8_t type)
{
	bool ip6 = f[12] == 0x86;
	const uint8_t *msg = f + 14 + (ip6 ? 48 : 24);
	uint32_t len = ip6 ? 20 : 8, n = phca_get16(msg + 6), hits = 0;

	CU_ASSERT_EQUAL(msg[0], ip6 ? 143 : 0x22);
	CU_ASSERT(n > 0 && n <= 10);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *r = msg + 8 + i * len;

		CU_ASSERT_EQUAL(phca_get16(r + 2), 0); /* no sources */
		hits += ip6 == (gid[0] == 0xff) && r[0] == type &&
			memcmp(r + 4, ip6 ? gid : gid + 12, len - 4) == 0;
	}
	return hits;
}

/* The same in all reports of the next ns, polled each ms. *reports: how many reports. */
static unsigned int told_within(struct net_lab *l, uint64_t ns, const uint8_t *gid, uint8_t type,
		unsigned int *reports)
{
	unsigned int hits = 0;
	uint8_t f[512];

	*reports = 0;
	for (uint64_t end = l->now_ns + ns; l->now_ns <= end; l->now_ns += MS_NS) {
		while (lab_poll(l, f) > 0) {
			(*reports)++;
			hits += told(f, gid, type);
		}
	}
	return hits;
}

static struct net_lab *open_quiet(const struct net_lab_opts *o)
{
	struct net_lab *l = lab_open(o);

	lab_quiet(l);
	return l;
}

static enum phca_verdict ask4(struct net_lab *l, const uint8_t *gid, uint8_t code)
{
	uint8_t f[128];
	uint32_t n = mk_igmp(f, gid, code);

	return lab_input(l, f, &n);
}

static enum phca_verdict ask6(struct net_lab *l, const uint8_t *gid, uint16_t code)
{
	uint8_t f[128];
	uint32_t n = mk_mld(f, gid, code);

	return lab_input(l, f, &n);
}

/* RFC 3376 5.1, RFC 3810 6.1: at once, and again within a second. */
PHCA_TEST(group, first_join_and_last_leave_are_told_twice)
{
	struct net_lab *l = open_quiet(NULL);
	const uint8_t *const gids[2] = { group4, group6 };
	unsigned int n;

	for (int i = 0; i < 2; i++) {
		uint8_t f[256];

		CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gids[i]), 0);
		CU_ASSERT(lab_poll(l, f) > 0);
		CU_ASSERT_EQUAL(told(f, gids[i], TO_EX), 1);
		CU_ASSERT_EQUAL(lab_poll(l, f), 0);
		CU_ASSERT_EQUAL(told_within(l, S_NS, gids[i], TO_EX, &n), 1);
		CU_ASSERT_EQUAL(n, 1);
		CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gids[i]), 0);
		CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, gids[i]), 0);
		CU_ASSERT_EQUAL(told_within(l, 5 * S_NS, gids[i], TO_EX, &n), 0);
		CU_ASSERT_EQUAL(n, 0);
		CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, gids[i]), 0);
		CU_ASSERT(lab_poll(l, f) > 0);
		CU_ASSERT_EQUAL(told(f, gids[i], TO_IN), 1);
		CU_ASSERT_EQUAL(told_within(l, S_NS, gids[i], TO_IN, &n), 1);
		CU_ASSERT_EQUAL(told_within(l, 5 * S_NS, gids[i], TO_IN, &n), 0);
		CU_ASSERT_EQUAL(n, 0);
		CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, gids[i]), -ENOENT);
	}
	lab_close(l);
}

PHCA_TEST(group, what_is_no_group_is_refused)
{
	struct net_lab *l = open_quiet(NULL);
	struct phca_net_conf c;
	char err[256];
	struct phca_net *net;

	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, lab_gid4(0, 0, 1)), -EINVAL);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, lab_ip6), -EINVAL);
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, lab_ip6), -ENOENT);
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, group4), -ENOENT);
	lab_close(l);
	lab_conf(&c); /* a port without IPv4 */
	c.addrs++;
	c.nb_addrs = 1;
	net = phca_net_create(&c, err, sizeof(err));
	CU_ASSERT_FATAL(net != NULL);
	CU_ASSERT_EQUAL(phca_net_mcast_join(net, group4), -EADDRNOTAVAIL);
	CU_ASSERT_EQUAL(phca_net_mcast_join(net, group6), 0);
	phca_net_destroy(net);
}

/* RFC 3376 5, RFC 3810 6: all nodes, and scopes 0 and 1, are never told. */
PHCA_TEST(group, some_are_nobodys_business)
{
	static const uint8_t quiet[][16] = {
		{ [10] = 0xff, 0xff, 224, 0, 0, 1 }, { 0xff, 0x02, [15] = 1 },
		{ 0xff, 0x01, [15] = 9 }, { 0xff, 0x10, [15] = 9 },
	};
	struct net_lab *l = open_quiet(NULL);
	unsigned int n;

	for (unsigned int i = 0; i < RTE_DIM(quiet); i++) {
		CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, quiet[i]), 0);
		told_within(l, 3 * S_NS, quiet[i], TO_EX, &n);
		CU_ASSERT_EQUAL(n, 0);
		CU_ASSERT_EQUAL(i == 0 ? ask4(l, NULL, 10) : ask6(l, NULL, 1000), PHCA_V_GROUP_QUERY);
		CU_ASSERT_EQUAL(told_within(l, 3 * S_NS, quiet[i], IS_EX, &n), 0);
		CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, quiet[i]), 0);
		told_within(l, 3 * S_NS, quiet[i], TO_IN, &n);
		CU_ASSERT_EQUAL(n, 0);
	}
	lab_close(l);
}

/* RFC 3376 5.2, RFC 3810 6.2: once, at some time before the time is over. */
PHCA_TEST(group, queries_are_answered_in_time)
{
	struct net_lab *l = open_quiet(NULL);
	unsigned int n, early = 0;

	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group6), 0);
	lab_quiet(l);
	for (int i = 0; i < 20; i++) {
		unsigned int now;

		CU_ASSERT_EQUAL(ask4(l, i % 2 ? group4 : NULL, 100), PHCA_V_GROUP_QUERY);
		now = told_within(l, 5 * S_NS, group4, IS_EX, &n);
		early += now;
		CU_ASSERT_EQUAL(now + told_within(l, 5 * S_NS, group4, IS_EX, &n), 1);
		CU_ASSERT_EQUAL(told_within(l, 20 * S_NS, group4, IS_EX, &n), 0);
		CU_ASSERT_EQUAL(n, 0);
		CU_ASSERT_EQUAL(ask6(l, i % 2 ? group6 : NULL, 2000), PHCA_V_GROUP_QUERY);
		CU_ASSERT_EQUAL(told_within(l, 2 * S_NS, group6, IS_EX, &n), 1);
		CU_ASSERT_EQUAL(told_within(l, 5 * S_NS, group6, IS_EX, &n), 0);
		CU_ASSERT_EQUAL(n, 0);
	}
	CU_ASSERT(early > 0 && early < 20); /* 1 in 500,000 that it is not so */
	/* asked again, sooner: one answer, in the shorter time */
	CU_ASSERT_EQUAL(ask4(l, NULL, 255), PHCA_V_GROUP_QUERY);
	CU_ASSERT_EQUAL(ask4(l, group4, 10), PHCA_V_GROUP_QUERY);
	CU_ASSERT_EQUAL(told_within(l, S_NS, group4, IS_EX, &n), 1);
	CU_ASSERT_EQUAL(told_within(l, 4000 * S_NS, group4, IS_EX, &n), 0);
	lab_close(l);
}

PHCA_TEST(group, other_groups_queries_are_not_answered)
{
	struct net_lab *l = open_quiet(NULL);
	unsigned int n;

	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	lab_quiet(l);
	CU_ASSERT_EQUAL(ask4(l, gid4(1), 10), PHCA_V_GROUP_QUERY);
	CU_ASSERT_EQUAL(ask6(l, gid6(1), 1000), PHCA_V_GROUP_QUERY);
	told_within(l, 2 * S_NS, group4, IS_EX, &n);
	CU_ASSERT_EQUAL(n, 0);
	/* left before the answer was due */
	CU_ASSERT_EQUAL(ask4(l, NULL, 255), PHCA_V_GROUP_QUERY);
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, group4), 0);
	CU_ASSERT_EQUAL(told_within(l, 2 * S_NS, group4, TO_IN, &n), 2);
	CU_ASSERT_EQUAL(ask4(l, NULL, 10), PHCA_V_GROUP_QUERY);
	told_within(l, 4000 * S_NS, group4, IS_EX, &n);
	CU_ASSERT_EQUAL(n, 0);
	lab_close(l);
}

/* Byte at of a good query becomes v; checksums are mended, or not. Nobody is to answer. */
static void bad_query(struct net_lab *l, bool ip6, const uint8_t *gid, uint32_t at, uint8_t v, bool mend)
{
	uint8_t f[128], *l3 = f + 14;
	uint32_t n = ip6 ? mk_mld(f, gid, 1000) : mk_igmp(f, gid, 10);
	unsigned int reports;

	l3[at] = v;
	if (mend && ip6)
		mk_csum_mld(l3);
	else if (mend)
		mk_csum_igmp(l3);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	told_within(l, 2 * S_NS, gid6(0), IS_EX, &reports);
	CU_ASSERT_EQUAL(reports, 0);
}

PHCA_TEST(group, queries_that_no_router_of_the_link_sends_are_ignored)
{
	struct net_lab *l = open_quiet(NULL);

	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group6), 0);
	lab_quiet(l);
	bad_query(l, false, NULL, 8, 2, true);        /* RFC 3376 4: TTL */
	bad_query(l, false, NULL, 6, 0x20, true);     /* a fragment */
	bad_query(l, false, NULL, 10, 0, false);      /* header checksum */
	bad_query(l, false, NULL, 27, 0xee, false);   /* checksum */
	bad_query(l, false, NULL, 20, 0x44, true);    /* 9.1: no Router Alert */
	bad_query(l, false, NULL, 21, 3, true);       /* its length */
	bad_query(l, false, NULL, 20, 0, true);       /* end of options */
	bad_query(l, false, NULL, 19, 9, true);       /* 9.1: general, to another group */
	bad_query(l, false, group4, 19, 9, true);     /* of a group, to another one */
	bad_query(l, false, group4, 28, 10, true);    /* of no group */
	bad_query(l, false, NULL, 24, 0x22, true);    /* not a query */
	bad_query(l, false, NULL, 3, 35, true);       /* 7.1: no version has 11 bytes */
	bad_query(l, false, NULL, 3, 31, true);       /* too short */
	bad_query(l, false, NULL, 2, 1, false);       /* longer than the frame */
	bad_query(l, true, NULL, 7, 255, true);       /* RFC 3810 6.2: hop limit */
	bad_query(l, true, NULL, 8, 0x20, true);      /* 6.2: source not link-local */
	bad_query(l, true, NULL, 42, 1, true);        /* 6.2: no Router Alert */
	bad_query(l, true, NULL, 45, 1, true);        /* RFC 2711: of another protocol */
	bad_query(l, true, NULL, 43, 9, true);        /* option behind the header's end */
	bad_query(l, true, NULL, 41, 9, true);        /* header behind the packet's end */
	bad_query(l, true, NULL, 40, 59, true);       /* no ICMPv6 */
	bad_query(l, true, NULL, 51, 0xee, false);    /* checksum */
	bad_query(l, true, NULL, 48, 143, true);      /* not a query */
	bad_query(l, true, NULL, 49, 1, true);        /* code */
	bad_query(l, true, NULL, 5, 35, true);        /* 8.1: no version has 27 bytes */
	bad_query(l, true, NULL, 5, 31, true);        /* too short */
	bad_query(l, true, NULL, 4, 1, false);        /* longer than the frame */
	bad_query(l, true, NULL, 39, 9, true);        /* general, to another group */
	bad_query(l, true, group6, 39, 9, true);      /* of a group, to another one */
	bad_query(l, true, group6, 56, 0x20, true);   /* of no group */
	/* and what is left of a frame at every length */
	for (uint32_t len = 14 + 24; len < 14 + 36; len++) {
		uint8_t f[128];
		uint32_t n = len;

		mk_igmp(f, NULL, 10);
		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
		n = len + 40;
		mk_mld(f, NULL, 1000);
		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	}
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	lab_close(l);
}

/* RFC 3376 7.2.1: as long as an older router may be there, its language. */
PHCA_TEST(group, an_older_router_is_forgotten_in_time)
{
	struct net_lab *l = open_quiet(NULL);
	uint8_t f[128], q[128];
	unsigned int n;
	uint32_t len = mk_igmp(q, NULL, 10);

	phca_put16(q + 14 + 2, 32); /* version 2 */
	mk_csum_igmp(q + 14);
	CU_ASSERT_EQUAL(lab_input(l, q, &len), PHCA_V_GROUP_QUERY);
	l->now_ns += 259 * S_NS;
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(lab_poll(l, f), 60);
	CU_ASSERT_EQUAL(f[14 + 24], 0x16);
	l->now_ns += 2 * S_NS;
	CU_ASSERT_EQUAL(told_within(l, S_NS, group4, TO_EX, &n), 1); /* told() checks the version */
	lab_close(l);
}

PHCA_TEST(group, many_are_told_in_several_reports)
{
	struct net_lab *l = open_quiet(NULL);
	unsigned int n, hits = 0;
	uint8_t f[512];

	for (uint16_t i = 0; i < 25; i++) {
		CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid4(i)), 0);
		CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(i)), 0);
	}
	for (n = 0; lab_poll(l, f) > 0; n++)
		for (uint16_t i = 0; i < 25; i++)
			hits += told(f, gid4(i), TO_EX) + told(f, gid6(i), TO_EX);
	CU_ASSERT_EQUAL(hits, 50);
	CU_ASSERT_EQUAL(n, 6);
	lab_close(l);
}

PHCA_TEST(group, reports_wait_for_room_and_for_buffers)
{
	struct net_lab *l = open_quiet(NULL);
	static struct rte_mbuf *all[4096];
	struct rte_mbuf *out[8];
	uint8_t f[256];
	unsigned int n;

	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group6), 0);
	CU_ASSERT_EQUAL(phca_net_poll(l->net, l->now_ns, out, 0), 0);
	CU_ASSERT_EQUAL(phca_net_poll(l->net, l->now_ns, out, 1), 1);
	rte_pktmbuf_free(out[0]);
	n = rte_mempool_avail_count(l->pool);
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(l->pool, all, n), 0);
	CU_ASSERT_EQUAL(phca_net_poll(l->net, l->now_ns, out, 8), 0);
	rte_pktmbuf_free_bulk(all, n);
	CU_ASSERT(lab_poll(l, f) > 0);
	CU_ASSERT_EQUAL(told(f, group6, TO_EX), 1);
	lab_close(l);
}

PHCA_TEST(group, a_place_is_free_when_the_leave_is_told)
{
	struct net_lab *l = open_quiet(NULL);
	uint16_t i = 0;
	unsigned int n;

	while (phca_net_mcast_join(l->net, gid6(i)) == 0)
		i++;
	CU_ASSERT_EQUAL(i, PHCA_NET_GROUP_MAX - 2); /* two solicited-node groups */
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(i)), -ENOSPC);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(0)), 0); /* once more has a place */
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, gid6(0)), 0);
	lab_quiet(l);
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, gid6(5)), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(i)), -ENOSPC);
	CU_ASSERT_EQUAL(told_within(l, 2 * S_NS, gid6(5), TO_IN, &n), 2);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(i)), 0);
	CU_ASSERT_EQUAL(told_within(l, 2 * S_NS, gid6(i), TO_EX, &n), 2);
	CU_ASSERT_EQUAL(n, 2);
	lab_close(l);
}

PHCA_TEST(group, who_is_a_member_is_shown)
{
	struct net_lab *l = open_quiet(NULL);
	struct phca_net_group g[4];

	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group6), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group6), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, group4), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_dump(l->net, g, 1), 1);
	CU_ASSERT_EQUAL_FATAL(phca_net_mcast_dump(l->net, g, 4), 3);
	CU_ASSERT_EQUAL(g[0].members, 1);
	CU_ASSERT_EQUAL(memcmp(g[0].gid, "\xff\x02\0\0\0\0\0\0\0\0\0\1\xff\x63\x61\1", 16), 0);
	CU_ASSERT_EQUAL(memcmp(g[2].gid, group6, 16), 0);
	CU_ASSERT_EQUAL(g[2].members, 2);
	lab_close(l);
}

PHCA_TEST(group, start_tells_of_memberships_and_of_none_that_ended)
{
	struct net_lab *l = lab_open(&(struct net_lab_opts){ .no_start = true });
	unsigned int hits = 0;
	uint8_t f[256];

	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(phca_net_start(l->net), 0);
	lab_quiet(l);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group6), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, group4), 0);
	lab_quiet(l);
	phca_net_stop(l->net);
	CU_ASSERT_EQUAL(phca_net_start(l->net), 0);
	for (int i = 0; i < 4; i++, l->now_ns += S_NS) {
		while (lab_poll(l, f) > 0) {
			if (f[12] == 0x86 && f[20] == 0)
				hits += told(f, group6, TO_EX);
			else
				CU_ASSERT_FALSE(f[12] == 0x08 && f[13] == 0x00); /* no IGMP */
		}
	}
	CU_ASSERT_EQUAL(hits, 2);
	lab_close(l);
}

/* ----------------------------------------------------------- the device's filter */

static bool filtered(const uint8_t mac[6])
{
	unsigned int hits = 0;

	for (unsigned int i = 0; i < fake_dev.nb_macs; i++)
		hits += memcmp(&fake_dev.macs[i], mac, 6) == 0;
	CU_ASSERT(hits <= 1);
	return hits == 1;
}

PHCA_TEST(group, the_device_lets_in_what_was_joined)
{
	static const uint8_t high4[16] = { [10] = 0xff, 0xff, 238, 0x81, 2, 3 };
	static const uint8_t mac4[6] = { 1, 0, 0x5e, 1, 2, 3 }, mac6[6] = { 0x33, 0x33, [5] = 0x77 };
	struct net_lab *l;

	fake_dev = (struct fake_dev){ .macs_max = 6 };
	l = open_quiet(NULL);
	CU_ASSERT_EQUAL(fake_dev.nb_allmulticast, 0);
	CU_ASSERT_EQUAL(fake_dev.nb_macs, 4);
	CU_ASSERT_TRUE(filtered((const uint8_t[6]){ 1, 0, 0x5e, 0, 0, 1 }));
	CU_ASSERT_TRUE(filtered((const uint8_t[6]){ 0x33, 0x33, 0, 0, 0, 1 }));
	CU_ASSERT_TRUE(filtered((const uint8_t[6]){ 0x33, 0x33, 0xff, 0, 0, 1 }));
	CU_ASSERT_TRUE(filtered((const uint8_t[6]){ 0x33, 0x33, 0xff, 0x63, 0x61, 0x01 }));
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_TRUE(filtered(mac4));
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, high4), 0); /* the same MAC address */
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, group4), 0);
	CU_ASSERT_TRUE(filtered(mac4));
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group6), 0);
	CU_ASSERT_TRUE(filtered(mac6));
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, high4), 0);
	CU_ASSERT_FALSE(filtered(mac4));
	CU_ASSERT_EQUAL(fake_dev.nb_macs, 5);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(1)), 0);
	CU_ASSERT_EQUAL(fake_dev.nb_allmulticast, 0);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(2)), 0); /* more than it has room for */
	CU_ASSERT_EQUAL(fake_dev.nb_allmulticast, 1);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, gid6(3)), 0);
	CU_ASSERT_EQUAL(fake_dev.nb_allmulticast, 1);
	lab_close(l);
	fake_dev = (struct fake_dev){0};
}

PHCA_TEST(group, devices_without_such_filters)
{
	struct net_lab *l;

	fake_dev = (struct fake_dev){0}; /* net_ring has no list */
	l = open_quiet(NULL);
	CU_ASSERT_EQUAL(fake_dev.nb_allmulticast, 1);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(fake_dev.nb_allmulticast, 1);
	lab_close(l);
	fake_dev = (struct fake_dev){ .no_allmulticast = true };
	l = open_quiet(NULL);
	CU_ASSERT_EQUAL(fake_dev.nb_promiscuous, 1);
	lab_close(l);
	fake_dev = (struct fake_dev){ .macs_max = 4, .no_modes = true };
	l = open_quiet(NULL); /* a warning; the join counts */
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, group4), 0);
	CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, group4), 0);
	lab_close(l);
	fake_dev = (struct fake_dev){0};
}

/* ----------------------------------------------------------------- real threads */

#define ROUNDS 3000u
#define GROUPS 40u

struct control {
	struct phca_net *net;
	bool done;
	unsigned int failures;
};

static void *control_main(void *arg)
{
	struct control *c = arg;
	bool member[GROUPS] = { false };
	uint64_t seed = 3376;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint16_t g = (uint16_t)(phca_test_rand(&seed) % GROUPS);
		/* others from time to time: places change hands */
		uint8_t gid[16] = { 0xff, 0x0e, [12] = (uint8_t)(i / 1000), [15] = (uint8_t)g };
		int rc;

		if (i % 1000 == 0)
			memset(member, 0, sizeof(member));
		rc = member[g] ? phca_net_mcast_leave(c->net, gid) : phca_net_mcast_join(c->net, gid);
		if (rc == 0)
			member[g] = !member[g];
		c->failures += rc != 0 && rc != -ENOSPC;
	}
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	return NULL;
}

PHCA_TEST(group, joined_and_left_while_the_owner_reports)
{
	struct net_lab *l = open_quiet(NULL);
	struct control c = { .net = l->net };
	pthread_t thread;
	unsigned int reports = 0;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, control_main, &c), 0);
	do {
		CU_ASSERT_EQUAL(ask6(l, NULL, 100), PHCA_V_GROUP_QUERY);
		reports += lab_drain(l);
		l->now_ns += 50 * MS_NS;
	} while (!__atomic_load_n(&c.done, __ATOMIC_ACQUIRE));
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(c.failures, 0);
	lab_quiet(l);
	CU_ASSERT(reports > 0);
	CU_ASSERT_EQUAL(ask6(l, NULL, 100), PHCA_V_GROUP_QUERY);
	l->now_ns += S_NS;
	CU_ASSERT(lab_drain(l) > 0);
	CU_ASSERT_EQUAL(lab_drain(l), 0);
	lab_close(l);
}
