/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ladder of malformed packets: a good packet with one thing wrong, one test
 * for each verdict. Each frame lies in memory of its own, exactly as long as it
 * is, so that AddressSanitizer sees a byte read behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "phca_test.h"
#include "phca_wire.h"

#define ALL (PHCA_PARSE_ICRC | PHCA_PARSE_UDP_CSUM)

/* Offsets without VLAN. */
#define IP  14
#define UDP4 (IP + 20)
#define UDP6 (IP + 40)
#define BTH4 (UDP4 + 8)
#define BTH6 (UDP6 + 8)

struct frame {
	uint8_t b[512];
	uint32_t len;
};

static struct phca_wire_hdr hdr(bool ip6, uint8_t opcode)
{
	struct phca_wire_hdr h = {
		.dmac = { 2, 0, 0, 0, 0, 1 }, .smac = { 2, 0, 0, 0, 0, 2 }, .ip6 = ip6,
		.sgid = { 0xfd, [10] = 0xff, 0xff, 10, 0, 0, 2 },
		.dgid = { 0xfd, [10] = 0xff, 0xff, 10, 0, 0, 1 },
		.hop_limit = 64, .udp_sport = 0xc123, .pkey = 0xffff, .opcode = opcode,
		.dqpn = 0x123, .psn = phca_psn(77), .qkey = 0x11111111, .sqpn = 4,
	};

	return h;
}

static struct frame good(bool ip6, uint8_t opcode, uint32_t payload)
{
	struct phca_wire_hdr h = hdr(ip6, opcode);
	struct frame f = { .len = 0 };
	uint32_t n = phca_wire_build(f.b, &h, payload);

	for (uint32_t i = 0; i < payload; i++)
		f.b[n + i] = (uint8_t)(i + 1);
	f.len = phca_wire_finish(f.b, &h, payload);
	return f;
}

static void put16(struct frame *f, uint32_t at, uint16_t v)
{
	phca_put16(f->b + at, v);
}

/* Make lengths and IPv4 checksum agree with f->len again. */
static void mend_lengths(struct frame *f)
{
	bool ip6 = f->b[12] == 0x86;
	uint32_t udp = ip6 ? UDP6 : UDP4;

	put16(f, udp + 4, (uint16_t)(f->len - udp));
	if (ip6) {
		put16(f, IP + 4, (uint16_t)(f->len - udp));
	} else {
		put16(f, IP + 2, (uint16_t)(f->len - IP));
		put16(f, IP + 10, 0);
		put16(f, IP + 10, (uint16_t)~phca_wire_csum(f->b + IP, 20, 0));
	}
}

/* And the iCRC too. */
static void mend(struct frame *f)
{
	uint32_t icrc;

	mend_lengths(f);
	icrc = phca_wire_icrc(f->b + IP, f->len - IP - 4, f->b[12] == 0x86);
	phca_put32(f->b + f->len - 4, __builtin_bswap32(icrc));
}

static enum phca_verdict parse_opts(const struct frame *f, unsigned int opts, struct phca_pkt *pkt)
{
	uint8_t *exact = malloc(f->len + (f->len == 0));
	enum phca_verdict v;

	memcpy(exact, f->b, f->len);
	v = phca_wire_parse(exact, f->len, opts, pkt);
	free(exact);
	return v;
}

static enum phca_verdict parse(const struct frame *f)
{
	struct phca_pkt pkt;

	return parse_opts(f, ALL, &pkt);
}

#define EXPECT(f, verdict) do { \
	CU_ASSERT_STRING_EQUAL(phca_verdict_str(parse(&(f))), phca_verdict_str(PHCA_V_##verdict)); \
} while (0)

/* The good packets of this file are good: else no test here says anything. */
PHCA_TEST(parse, good_packets_are_ok)
{
	for (int ip6 = 0; ip6 < 2; ip6++) {
		struct frame f = good(ip6, PHCA_UD_SEND_ONLY, 21);

		EXPECT(f, OK);
		mend(&f);
		EXPECT(f, OK);
	}
}

PHCA_TEST(parse, not_roce)
{
	static const uint16_t types[] = { 0x0806, 0x88cc, 0x88a8, 0x8915, 0x0000 };
	static const uint8_t protocols[] = { 1, 2, 6, 132 };
	struct frame f;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		f = good(false, PHCA_UD_SEND_ONLY, 16);
		put16(&f, 12, types[i]);
		EXPECT(f, NOT_ROCE);
	}
	for (size_t i = 0; i < sizeof(protocols); i++) {
		f = good(false, PHCA_UD_SEND_ONLY, 16);
		f.b[IP + 9] = protocols[i];
		EXPECT(f, NOT_ROCE);
		f = good(true, PHCA_UD_SEND_ONLY, 16);
		f.b[IP + 6] = protocols[i] == 1 ? 58 : protocols[i];
		EXPECT(f, NOT_ROCE);
	}
	for (int ip6 = 0; ip6 < 2; ip6++) {
		f = good(ip6, PHCA_UD_SEND_ONLY, 16);
		put16(&f, (ip6 ? UDP6 : UDP4) + 2, 4790);
		EXPECT(f, NOT_ROCE);
	}
}

PHCA_TEST(parse, not_roce_says_where_ip_is)
{
	struct phca_wire_hdr h = hdr(true, PHCA_UD_SEND_ONLY);
	struct frame f = { .len = 0 };
	struct phca_pkt pkt;

	h.vlan = true;
	h.vlan_tci = 0xa123;
	phca_wire_build(f.b, &h, 0);
	f.len = phca_wire_finish(f.b, &h, 0);
	CU_ASSERT_EQUAL(parse_opts(&f, ALL, &pkt), PHCA_V_OK);
	f.b[18 + 6] = 58; /* ICMPv6 */
	CU_ASSERT_EQUAL(parse_opts(&f, ALL, &pkt), PHCA_V_NOT_ROCE);
	CU_ASSERT_EQUAL(pkt.l3_off, 18);
	CU_ASSERT_EQUAL(pkt.vlan_tci, 0xa123);
	CU_ASSERT_EQUAL(pkt.flags, PHCA_PKT_IP6 | PHCA_PKT_VLAN);
}

PHCA_TEST(parse, vlan_one_tag_is_read_two_are_not_roce)
{
	for (int vid = 0; vid < 2; vid++) { /* VID 0: only a priority */
		struct phca_wire_hdr h = hdr(false, PHCA_UD_SEND_ONLY);
		struct frame f = { .len = 0 };
		struct phca_pkt pkt;

		h.vlan = true;
		h.vlan_tci = (uint16_t)(0x6000 | vid);
		phca_wire_build(f.b, &h, 0);
		f.len = phca_wire_finish(f.b, &h, 0);
		CU_ASSERT_EQUAL(parse_opts(&f, ALL, &pkt), PHCA_V_OK);
		CU_ASSERT_EQUAL(pkt.vlan_tci, 0x6000 | vid);
		put16(&f, 16, 0x8100);
		EXPECT(f, NOT_ROCE);
		put16(&f, 12, 0x88a8);
		EXPECT(f, NOT_ROCE);
	}
}

PHCA_TEST(parse, eth_short)
{
	struct frame f = good(false, PHCA_UD_SEND_ONLY, 16);

	for (f.len = 0; f.len < 14; f.len++)
		EXPECT(f, ETH_SHORT);
	put16(&f, 12, 0x8100);
	for (f.len = 14; f.len < 18; f.len++)
		EXPECT(f, ETH_SHORT);
}

PHCA_TEST(parse, ip_short)
{
	struct frame f = good(false, PHCA_UD_SEND_ONLY, 16);

	for (f.len = IP; f.len < IP + 20; f.len++)
		EXPECT(f, IP4_SHORT);
	f = good(true, PHCA_UD_SEND_ONLY, 16);
	for (f.len = IP; f.len < IP + 40; f.len++)
		EXPECT(f, IP6_SHORT);
}

PHCA_TEST(parse, ip_version)
{
	struct frame f;

	for (int v = 0; v < 16; v++) {
		f = good(false, PHCA_UD_SEND_ONLY, 16);
		f.b[IP] = (uint8_t)(v << 4 | 5);
		if (v == 4)
			EXPECT(f, OK);
		else
			EXPECT(f, IP4_VERSION);
		f = good(true, PHCA_UD_SEND_ONLY, 16);
		f.b[IP] = (uint8_t)(v << 4);
		if (v == 6)
			EXPECT(f, OK);
		else
			EXPECT(f, IP6_VERSION);
	}
}

/* A good packet with n words of options. */
static struct frame with_options(uint32_t n)
{
	struct frame f = good(false, PHCA_UD_SEND_ONLY, 16);

	memmove(f.b + UDP4 + 4 * n, f.b + UDP4, f.len - UDP4);
	memset(f.b + UDP4, 1, 4 * n); /* no operation */
	f.len += 4 * n;
	f.b[IP] = (uint8_t)(0x45 + n);
	put16(&f, IP + 2, (uint16_t)(f.len - IP));
	put16(&f, IP + 10, 0);
	put16(&f, IP + 10, (uint16_t)~phca_wire_csum(f.b + IP, 20 + 4 * n, 0));
	return f;
}

PHCA_TEST(parse, ip4_options)
{
	for (uint32_t n = 1; n <= 10; n++) {
		struct frame f = with_options(n);

		EXPECT(f, IP4_OPTIONS);
		put16(&f, UDP4 + 4 * n + 2, 53); /* but other traffic may have them */
		EXPECT(f, NOT_ROCE);
		f = with_options(n);
		f.b[IP + 9] = 2; /* IGMP has router alert */
		EXPECT(f, NOT_ROCE);
	}
}

PHCA_TEST(parse, ip4_fragment)
{
	static const uint16_t fragments[] = { 0x2000, 0x0001, 0x1fff, 0x2001, 0x6000 };
	struct frame f;

	for (size_t i = 0; i < sizeof(fragments) / sizeof(fragments[0]); i++) {
		f = good(false, PHCA_UD_SEND_ONLY, 16);
		put16(&f, IP + 6, fragments[i]);
		EXPECT(f, IP4_FRAGMENT);
	}
	f = good(false, PHCA_UD_SEND_ONLY, 16);
	put16(&f, IP + 6, 0x2000); /* the first fragment shows another port */
	put16(&f, UDP4 + 2, 2049);
	EXPECT(f, NOT_ROCE);
	put16(&f, IP + 6, 0x2001); /* in a later one that is payload */
	EXPECT(f, IP4_FRAGMENT);
}

PHCA_TEST(parse, ip4_length)
{
	struct frame f = good(false, PHCA_UD_SEND_ONLY, 16);
	uint16_t total = phca_get16(f.b + IP + 2);

	put16(&f, IP + 2, (uint16_t)(total + 1));
	EXPECT(f, IP4_LENGTH);
	put16(&f, IP + 2, 0xffff);
	EXPECT(f, IP4_LENGTH);
	put16(&f, IP + 2, 19);
	EXPECT(f, IP4_LENGTH);
	put16(&f, IP + 2, 0);
	EXPECT(f, IP4_LENGTH);
	for (int ihl = 0; ihl < 5; ihl++) {
		f = good(false, PHCA_UD_SEND_ONLY, 16);
		f.b[IP] = (uint8_t)(0x40 | ihl);
		EXPECT(f, IP4_LENGTH);
	}
	f = good(false, PHCA_UD_SEND_ONLY, 16);
	for (f.len--; f.len >= IP + 20; f.len--)
		EXPECT(f, IP4_LENGTH);
	f = with_options(10);
	f.len = IP + 59;
	EXPECT(f, IP4_LENGTH);
}

PHCA_TEST(parse, ip4_checksum)
{
	struct frame f = good(false, PHCA_UD_SEND_ONLY, 16);

	for (int bit = 0; bit < 16; bit++) {
		f.b[IP + 10 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		EXPECT(f, IP4_CHECKSUM);
		f.b[IP + 10 + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	f.b[IP + 8]--; /* a router that does not correct it */
	EXPECT(f, IP4_CHECKSUM);
	f.b[IP + 10]++;
	EXPECT(f, OK);
}

PHCA_TEST(parse, ip6_length)
{
	struct frame f = good(true, PHCA_UD_SEND_ONLY, 16);
	uint16_t payload = phca_get16(f.b + IP + 4);

	put16(&f, IP + 4, (uint16_t)(payload + 1));
	EXPECT(f, IP6_LENGTH);
	put16(&f, IP + 4, 0xffff);
	EXPECT(f, IP6_LENGTH);
	put16(&f, IP + 4, payload);
	for (f.len--; f.len >= IP + 40; f.len--)
		EXPECT(f, IP6_LENGTH);
}

/* Puts an extension header of len bytes, of which len - 8 are in its length field. */
static struct frame with_ext(uint8_t type, uint8_t len_field, uint32_t len)
{
	struct frame f = good(true, PHCA_UD_SEND_ONLY, 16);

	memmove(f.b + UDP6 + len, f.b + UDP6, f.len - UDP6);
	memset(f.b + UDP6, 0, len);
	f.len += len;
	f.b[IP + 6] = type;
	f.b[UDP6] = 17;
	f.b[UDP6 + 1] = len_field;
	put16(&f, IP + 4, (uint16_t)(f.len - UDP6));
	return f;
}

PHCA_TEST(parse, ip6_ext)
{
	static const struct { uint8_t type, len_field, len; } ext[] = {
		{ 0, 0, 8 }, { 0, 1, 16 }, { 43, 2, 24 }, { 60, 0, 8 }, { 135, 0, 8 },
		{ 139, 0, 8 }, { 140, 0, 8 }, { 44, 0, 8 }, { 51, 4, 24 },
	};
	struct frame f;

	for (size_t i = 0; i < sizeof(ext) / sizeof(ext[0]); i++) {
		f = with_ext(ext[i].type, ext[i].len_field, ext[i].len);
		EXPECT(f, IP6_EXT);
		put16(&f, UDP6 + ext[i].len + 2u, 53);
		EXPECT(f, NOT_ROCE);
		f.b[UDP6] = 58; /* multicast listener report: hop-by-hop, then ICMPv6 */
		EXPECT(f, NOT_ROCE);
	}
	f = with_ext(44, 0, 8);
	put16(&f, UDP6 + 2, 8 << 3); /* a later fragment has no ports */
	put16(&f, UDP6 + 8 + 2, 53);
	EXPECT(f, IP6_EXT);
	f = with_ext(0, 255, 8); /* the chain leaves the frame */
	EXPECT(f, IP6_EXT);
	f = with_ext(0, 0, 8);
	f.b[UDP6] = 0; /* and one that does not end */
	for (uint32_t i = UDP6 + 8; i + 8 <= f.len; i += 8)
		f.b[i] = f.b[i + 1] = 0;
	EXPECT(f, NOT_ROCE);
}

PHCA_TEST(parse, udp_length)
{
	for (int ip6 = 0; ip6 < 2; ip6++) {
		uint32_t udp = ip6 ? UDP6 : UDP4;
		struct frame f = good(ip6, PHCA_UD_SEND_ONLY, 16);
		uint16_t len = phca_get16(f.b + udp + 4);

		put16(&f, udp + 4, (uint16_t)(len - 1));
		EXPECT(f, UDP_LENGTH);
		put16(&f, udp + 4, (uint16_t)(len + 1));
		EXPECT(f, UDP_LENGTH);
		put16(&f, udp + 4, 0);
		EXPECT(f, UDP_LENGTH);
		f = good(ip6, PHCA_UD_SEND_ONLY, 16);
		for (f.len = udp; f.len < udp + 8; f.len++) { /* IP is right, but no room */
			mend_lengths(&f);
			EXPECT(f, UDP_LENGTH);
			f.len += 64; /* nor when Ethernet padding follows */
			EXPECT(f, UDP_LENGTH);
			f.len -= 64;
		}
	}
}

PHCA_TEST(parse, udp_checksum)
{
	for (int ip6 = 0; ip6 < 2; ip6++) {
		struct frame f = good(ip6, PHCA_UD_SEND_ONLY, 16);
		uint32_t udp = ip6 ? UDP6 : UDP4, len = f.len - udp, sum = 17 + len;
		struct phca_pkt pkt;

		sum = phca_wire_csum(f.b + IP + (ip6 ? 8 : 12), ip6 ? 32 : 8, sum);
		put16(&f, udp + 6, (uint16_t)~phca_wire_csum(f.b + udp, len, sum));
		EXPECT(f, OK);
		f.b[udp + 7] ^= 1;
		EXPECT(f, UDP_CHECKSUM);
		CU_ASSERT_EQUAL(parse_opts(&f, PHCA_PARSE_ICRC, &pkt), PHCA_V_OK);
		put16(&f, udp + 6, 0);
		EXPECT(f, OK);
	}
}

PHCA_TEST(parse, bth_short)
{
	for (int ip6 = 0; ip6 < 2; ip6++) {
		struct frame f = good(ip6, PHCA_UC_SEND_ONLY, 0);
		uint32_t bth = ip6 ? BTH6 : BTH4;

		EXPECT(f, OK);
		for (f.len = bth + 15; f.len >= bth; f.len--) {
			mend_lengths(&f);
			EXPECT(f, BTH_SHORT);
		}
	}
}

PHCA_TEST(parse, bth_version)
{
	for (uint8_t v = 1; v < 16; v++) {
		struct frame f = good(false, PHCA_UD_SEND_ONLY, 16);

		f.b[BTH4 + 1] |= v;
		mend(&f);
		EXPECT(f, BTH_VERSION);
	}
}

PHCA_TEST(parse, opcode_reserved_or_of_another_transport)
{
	int ok = 0, transport = 0, reserved = 0;

	for (int op = 0; op < 256; op++) {
		struct frame f = good(false, PHCA_UC_SEND_ONLY, 0);
		enum phca_verdict v;

		memset(f.b + BTH4 + 12, 0, 64); /* room for any header */
		f.len = BTH4 + phca_opcode_table[op].hdr_len + 4u;
		if (phca_opcode_table[op].name == NULL)
			f.len = BTH4 + 12 + 28 + 4;
		f.b[BTH4] = (uint8_t)op;
		mend(&f);
		v = parse(&f);
		ok += v == PHCA_V_OK;
		transport += v == PHCA_V_TRANSPORT;
		reserved += v == PHCA_V_OPCODE;
		CU_ASSERT_EQUAL(v == PHCA_V_OK, phca_opcode_table[op].name != NULL);
		if (v == PHCA_V_TRANSPORT)
			CU_ASSERT_TRUE(op >> 5 == PHCA_TRANSPORT_RD || op >> 5 == PHCA_TRANSPORT_XRC);
	}
	CU_ASSERT_EQUAL(ok, 38);
	CU_ASSERT_EQUAL(transport, 22 + 23); /* RD with RESYNC; XRC with invalidate */
	CU_ASSERT_EQUAL(ok + transport + reserved, 256);
}

PHCA_TEST(parse, ext_short)
{
	for (int op = 0; op < 256; op++) {
		uint32_t hdr_len = phca_opcode_table[op].hdr_len;
		struct frame f;

		if (phca_opcode_table[op].name == NULL || hdr_len == 12)
			continue;
		f = good(false, (uint8_t)op, 0);
		EXPECT(f, OK);
		for (f.len--; f.len >= BTH4 + 12 + 4; f.len--) {
			mend(&f);
			EXPECT(f, EXT_SHORT);
		}
	}
}

/* op's packet with that many bytes of payload and pad, and that pad count. */
static enum phca_verdict parse_pad(uint8_t op, uint32_t body, uint32_t pad)
{
	struct frame f = good(false, op, 0);

	memset(f.b + f.len, 0, 64);
	f.b[BTH4 + 1] = (uint8_t)((f.b[BTH4 + 1] & ~0x30) | pad << 4);
	f.len += body;
	mend(&f);
	return parse(&f);
}

PHCA_TEST(parse, pad)
{
	for (uint32_t pad = 0; pad < 4; pad++) {
		enum phca_verdict with_pad = pad == 0 ? PHCA_V_OK : PHCA_V_PAD;

		CU_ASSERT_EQUAL(parse_pad(PHCA_UC_SEND_ONLY, 8, pad), PHCA_V_OK);
		CU_ASSERT_EQUAL(parse_pad(PHCA_UC_SEND_LAST, 4, pad), PHCA_V_OK);
		/* larger than what is there */
		CU_ASSERT_EQUAL(parse_pad(PHCA_UC_SEND_ONLY, 0, pad), with_pad);
		/* not the last packet of its message: too short for a queue pair, which says so */
		CU_ASSERT_EQUAL(parse_pad(PHCA_UC_SEND_FIRST, 8, pad), PHCA_V_OK);
		CU_ASSERT_EQUAL(parse_pad(PHCA_UC_WRITE_MIDDLE, 8, pad), PHCA_V_OK);
		/* no payload to pad */
		CU_ASSERT_EQUAL(parse_pad(PHCA_RC_READ_REQ, 0, pad), with_pad);
		CU_ASSERT_EQUAL(parse_pad(PHCA_RC_ACK, 0, pad), with_pad);
		/* not a multiple of four */
		CU_ASSERT_EQUAL(parse_pad(PHCA_UC_SEND_ONLY, 5, pad), PHCA_V_PAD);
	}
}

PHCA_TEST(parse, length_payload_where_none_may_be)
{
	CU_ASSERT_EQUAL(parse_pad(PHCA_RC_READ_REQ, 4, 0), PHCA_V_LENGTH);
	CU_ASSERT_EQUAL(parse_pad(PHCA_RC_ACK, 4, 0), PHCA_V_LENGTH);
	CU_ASSERT_EQUAL(parse_pad(PHCA_RC_FETCH_ADD, 8, 0), PHCA_V_LENGTH);
	CU_ASSERT_EQUAL(parse_pad(PHCA_CNP, 4, 0), PHCA_V_LENGTH);
}

PHCA_TEST(parse, icrc)
{
	for (int ip6 = 0; ip6 < 2; ip6++) {
		struct frame f = good(ip6, PHCA_UD_SEND_ONLY, 16);
		struct phca_pkt pkt;

		for (uint32_t bit = 0; bit < 32; bit++) {
			f.b[f.len - 1 - bit / 8] ^= (uint8_t)(1 << bit % 8);
			EXPECT(f, ICRC);
			CU_ASSERT_EQUAL(parse_opts(&f, 0, &pkt), PHCA_V_OK);
			f.b[f.len - 1 - bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		f.b[f.len - 5] ^= 0x10; /* payload */
		EXPECT(f, ICRC);
	}
}

/* What a router changes does not hurt. */
PHCA_TEST(parse, routed_packets_are_ok)
{
	struct frame f = good(true, PHCA_UD_SEND_ONLY, 16);

	f.b[IP] |= 0x0f;
	f.b[IP + 1] = 0xe7;
	f.b[IP + 7]--;
	f.b[BTH6 + 4] |= 0x80; /* FECN */
	EXPECT(f, OK);
	f = good(false, PHCA_UD_SEND_ONLY, 16);
	f.b[IP + 1] = 0x03; /* congestion experienced */
	f.b[IP + 8] -= 3;
	put16(&f, IP + 10, 0);
	put16(&f, IP + 10, (uint16_t)~phca_wire_csum(f.b + IP, 20, 0));
	EXPECT(f, OK);
}
