/* SPDX-License-Identifier: BSD-3-Clause */
/* Echo, both families: any length, tagged or not, and what is not answered. */
#include "net_lab.h"

static void expect_echo4(struct net_lab *l, uint32_t len, bool tagged, uint32_t pad)
{
	uint8_t f[2000], want[2000];
	uint32_t off = tagged ? 18 : 14, n = mk_echo4(want, len);

	if (tagged)
		n = mk_vlan(want, n, 0x2007);
	memcpy(f, want, n);
	memset(f + n, 0x55, pad);
	/* what the answer must be, made by other code than the one that answers */
	memcpy(want, lab_peer_mac, 6);
	memcpy(want + 6, lab_mac, 6);
	memcpy(want + off + 12, lab_ip4, 4);
	memcpy(want + off + 16, lab_peer4, 4);
	want[off + 8] = 64;
	want[off + 20] = 0;
	mk_csum4(want + off);
	n += pad;
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ICMP_ECHO);
	CU_ASSERT_EQUAL_FATAL(n, off + 28 + len);
	CU_ASSERT_EQUAL(memcmp(f, want, n), 0);
}

static void expect_echo6(struct net_lab *l, uint32_t len, bool tagged, uint32_t pad)
{
	uint8_t f[2000], want[2000];
	uint32_t off = tagged ? 18 : 14, n = mk_echo6(want, len);

	if (tagged)
		n = mk_vlan(want, n, 0x2007);
	memcpy(f, want, n);
	memset(f + n, 0x55, pad);
	memcpy(want, lab_peer_mac, 6);
	memcpy(want + 6, lab_mac, 6);
	memcpy(want + off + 8, lab_ip6, 16);
	memcpy(want + off + 24, lab_peer6, 16);
	want[off + 7] = 64;
	want[off + 40] = 129;
	mk_csum6(want + off);
	n += pad;
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_ICMP_ECHO);
	CU_ASSERT_EQUAL_FATAL(n, off + 48 + len);
	CU_ASSERT_EQUAL(memcmp(f, want, n), 0);
}

PHCA_TEST(icmp, echo_of_every_length)
{
	struct net_lab *l = lab_open(NULL);

	for (uint32_t len = 0; len < 1473; len = len < 70 ? len + 1 : len + 37) {
		expect_echo4(l, len, false, 0);
		expect_echo6(l, len, false, 0);
		expect_echo4(l, len, false, 7);
		expect_echo6(l, len, false, 7);
	}
	lab_close(l);
}

PHCA_TEST(icmp, echo_keeps_the_vlan_tag)
{
	struct net_lab *l = lab_open(&(struct net_lab_opts){ .vlan = true });
	uint8_t f[200];
	uint32_t n;

	expect_echo4(l, 56, true, 0);
	expect_echo4(l, 57, true, 0);
	expect_echo6(l, 56, true, 0);
	expect_echo6(l, 57, true, 0);
	n = mk_echo4(f, 56);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_OURS);
	lab_close(l);
}

/* Change a byte, mend the checksums, and nothing must come back. */
static void refuse(struct net_lab *l, bool ip6, uint32_t off, uint8_t val, enum phca_verdict v)
{
	uint8_t f[200];
	uint32_t n = ip6 ? mk_echo6(f, 16) : mk_echo4(f, 16);

	f[off] = val;
	if (ip6)
		mk_csum6(f + 14);
	else
		mk_csum4(f + 14);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), v);
	CU_ASSERT_EQUAL(n, 0);
}

PHCA_TEST(icmp, what_is_not_answered_ip4)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[200];
	uint32_t n;

	refuse(l, false, 34, 0, PHCA_V_NOT_ROCE);   /* a reply */
	refuse(l, false, 35, 1, PHCA_V_NOT_ROCE);   /* code */
	refuse(l, false, 20, 0x20, PHCA_V_NOT_ROCE);/* more fragments */
	refuse(l, false, 21, 1, PHCA_V_NOT_ROCE);   /* a later fragment */
	refuse(l, false, 23, 2, PHCA_V_NOT_ROCE);   /* IGMP */
	refuse(l, false, 26, 224, PHCA_V_NOT_ROCE); /* from a group */
	refuse(l, false, 26, 0, PHCA_V_NOT_ROCE);
	refuse(l, false, 26, 127, PHCA_V_NOT_ROCE);
	refuse(l, false, 29, 1, PHCA_V_NOT_ROCE);   /* from our own address */
	refuse(l, false, 33, 9, PHCA_V_NOT_OURS);
	refuse(l, false, 33, 255, PHCA_V_NOT_OURS); /* broadcast */
	/* wrong checksums and lengths, not mended */
	for (uint32_t bit = 0; bit < 44 * 8; bit++) {
		n = mk_echo4(f, 16);
		f[14 + bit / 8] ^= 1 << bit % 8;
		if (bit / 8 == 0) /* version, header length: the parser's */
			continue;
		(void)lab_input(l, f, &n);
		CU_ASSERT_EQUAL(n, 0);
	}
	for (uint32_t len = 34; len < 58; len++) {
		n = len + 0 * mk_echo4(f, 16);
		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
		CU_ASSERT_EQUAL(n, 0);
	}
	n = mk_echo4(f, 16);
	phca_put16(f + 16, 27); /* shorter than its headers */
	phca_put16(f + 24, 0);
	phca_put16(f + 24, (uint16_t)~phca_wire_csum(f + 14, 20, 0));
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	/* frames from groups and from ourselves */
	n = mk_echo4(f, 16);
	f[6] |= 1;
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	n = mk_echo4(f, 16);
	memcpy(f + 6, lab_mac, 6);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	lab_close(l);
}

PHCA_TEST(icmp, what_is_not_answered_ip6)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[200];
	uint32_t n;

	refuse(l, true, 54, 129, PHCA_V_NOT_ROCE);  /* a reply */
	refuse(l, true, 54, 133, PHCA_V_NOT_ROCE);  /* router solicitation */
	refuse(l, true, 55, 1, PHCA_V_NOT_ROCE);    /* code */
	refuse(l, true, 20, 44, PHCA_V_NOT_ROCE);   /* fragment header */
	refuse(l, true, 22, 0xff, PHCA_V_NOT_ROCE); /* from a group */
	refuse(l, true, 37, 1, PHCA_V_NOT_ROCE);    /* from our own address */
	refuse(l, true, 53, 9, PHCA_V_NOT_OURS);
	for (uint32_t bit = 0; bit < 64 * 8; bit++) {
		n = mk_echo6(f, 16);
		/* traffic class, flow label and hop limit are not in the checksum */
		if (bit / 8 < 4 || bit / 8 == 7)
			continue;
		f[14 + bit / 8] ^= 1 << bit % 8;
		(void)lab_input(l, f, &n);
		CU_ASSERT_EQUAL(n, 0);
	}
	for (uint32_t len = 54; len < 78; len++) {
		n = len + 0 * mk_echo6(f, 16);
		CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
		CU_ASSERT_EQUAL(n, 0);
	}
	lab_close(l);
}

PHCA_TEST(icmp, other_protocols_are_left_alone)
{
	struct net_lab *l = lab_open(NULL);
	uint8_t f[100] = {0};
	uint32_t n = 60;

	mk_eth(f, lab_mac, lab_peer_mac, 0x88cc); /* LLDP */
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	CU_ASSERT_EQUAL(n, 0);
	n = 14 + 0 * mk_eth(f, lab_mac, lab_peer_mac, 0x0806);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	/* a second tag */
	n = mk_vlan(f, mk_vlan(f, mk_echo4(f, 16), 0), 0);
	CU_ASSERT_EQUAL(lab_input(l, f, &n), PHCA_V_NOT_ROCE);
	lab_close(l);
}
