/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets that scapy made (golden.py): every opcode, IPv4 and IPv6, VLAN and none,
 * many sizes. The parser must find in them what scapy put there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>

#include "phca_test.h"
#include "phca_wire.h"

/* RECORD of golden.py. */
struct golden {
	uint32_t frame_len;
	uint32_t dqpn, psn, qkey, sqpn;
	uint32_t rkey, dma_len, msn, inv_rkey;
	uint64_t va, swap_add, cmp, orig;
	uint16_t pkey, l3_off, bth_off, payload_off, payload_len, vlan_tci, udp_sport;
	uint8_t opcode, flags, tclass, pad, syndrome, ip6, vlan;
	uint8_t imm[4];
	uint32_t payload_crc;
} __attribute__((packed));

#define EXPECT(a, b) CU_ASSERT_EQUAL((uint64_t)(a), (uint64_t)(b))
#define CHECKED (PHCA_PARSE_ICRC | PHCA_PARSE_UDP_CSUM)

static FILE *golden_open(void)
{
	const char *name = getenv("PHCA_GOLDEN");
	FILE *f = fopen(name != NULL ? name : "tests/unit/wire/golden.bin", "rb");

	if (f == NULL)
		CU_FAIL("no golden packets: run in the build folder, or set PHCA_GOLDEN");
	return f;
}

/* The next record and its frame; false at the end. */
static bool golden_next(FILE *f, struct golden *g, uint8_t *frame, size_t room)
{
	if (fread(g, sizeof(*g), 1, f) != 1)
		return false;
	if (g->frame_len > room || fread(frame, g->frame_len, 1, f) != 1) {
		CU_FAIL("golden packets are cut short");
		return false;
	}
	return true;
}

static void expect_pkt(const struct golden *g, const struct phca_pkt *pkt)
{
	EXPECT(pkt->dqpn, g->dqpn);
	EXPECT(pkt->psn.v, g->psn);
	EXPECT(pkt->opcode, g->opcode);
	EXPECT(pkt->flags, g->flags);
	EXPECT(pkt->pkey, g->pkey);
	EXPECT(pkt->l3_off, g->l3_off);
	EXPECT(pkt->bth_off, g->bth_off);
	EXPECT(pkt->payload_off, g->payload_off);
	EXPECT(pkt->payload_len, g->payload_len);
	EXPECT(pkt->vlan_tci, g->vlan_tci);
	EXPECT(pkt->tclass, g->tclass);
	EXPECT(pkt->pad, g->pad);
	EXPECT(pkt->udp_sport, g->udp_sport);
}

/* How many extended headers were there. */
static int expect_ext(const struct golden *g, const uint8_t *frame, const struct phca_pkt *pkt)
{
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	const struct phca_atomiceth *atomic = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICETH);
	const struct phca_aeth *aeth = phca_pkt_hdr(frame, pkt, PHCA_HDR_AETH);
	const struct phca_atomicacketh *ack = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICACKETH);
	const struct phca_immdt *immdt = phca_pkt_hdr(frame, pkt, PHCA_HDR_IMMDT);
	const struct phca_ieth *ieth = phca_pkt_hdr(frame, pkt, PHCA_HDR_IETH);

	if (deth != NULL) {
		EXPECT(phca_get32(deth->qkey), g->qkey);
		EXPECT(phca_get24(deth->sqpn), g->sqpn);
	}
	if (reth != NULL) {
		EXPECT(phca_get64(reth->va), g->va);
		EXPECT(phca_get32(reth->rkey), g->rkey);
		EXPECT(phca_get32(reth->len), g->dma_len);
	}
	if (atomic != NULL) {
		EXPECT(phca_get64(atomic->va), g->va);
		EXPECT(phca_get32(atomic->rkey), g->rkey);
		EXPECT(phca_get64(atomic->swap_add), g->swap_add);
		EXPECT(phca_get64(atomic->cmp), g->cmp);
	}
	if (aeth != NULL) {
		EXPECT(aeth->syndrome, g->syndrome);
		EXPECT(phca_get24(aeth->msn), g->msn);
	}
	if (ack != NULL)
		EXPECT(phca_get64(ack->orig), g->orig);
	if (immdt != NULL)
		CU_ASSERT_EQUAL(memcmp(immdt->imm, g->imm, 4), 0);
	if (ieth != NULL)
		EXPECT(phca_get32(ieth->rkey), g->inv_rkey);
	return (deth != NULL) + (reth != NULL) + (atomic != NULL) + (aeth != NULL) +
		(ack != NULL) + (immdt != NULL) + (ieth != NULL);
}

PHCA_TEST(golden, every_field_and_icrc)
{
	static uint8_t frame[8192];
	bool opcodes[256][2][2] = { 0 };
	int headers = 0;
	struct golden g;
	FILE *f = golden_open();

	while (f != NULL && golden_next(f, &g, frame, sizeof(frame))) {
		struct phca_pkt pkt;
		enum phca_verdict v = phca_wire_parse(frame, g.frame_len, CHECKED, &pkt);

		if (v != PHCA_V_OK) {
			printf("  opcode %#x, IPv%d, payload %u: %s\n", g.opcode, g.ip6 ? 6 : 4,
				g.payload_len, phca_verdict_str(v));
			CU_FAIL("a golden packet is refused");
			continue;
		}
		expect_pkt(&g, &pkt);
		headers += expect_ext(&g, frame, &pkt);
		EXPECT(crc32_gzip_refl(0, frame + pkt.payload_off, pkt.payload_len),
			g.payload_crc);
		opcodes[g.opcode][g.ip6][g.vlan] = true;
	}
	CU_ASSERT_TRUE(headers > 0);
	for (int op = 0; op < 256; op++)
		for (int i = 0; i < 4; i++)
			EXPECT(opcodes[op][i / 2][i % 2], phca_opcode_table[op].name != NULL);
	if (f != NULL)
		fclose(f);
}

/*
 * What a router may change (the fields that the iCRC leaves out) may change; any
 * other bit of the packet from IP on may not.
 */
static bool is_variant(const struct golden *g, uint32_t byte)
{
	uint32_t ip = byte - g->l3_off, udp = g->bth_off - 8u, bth = g->bth_off;

	if (byte == udp + 6 || byte == udp + 7 || byte == bth + 4)
		return true;
	return g->ip6 ? (ip >= 1 && ip <= 3) || ip == 7 : ip == 1 || ip == 8 || ip == 10 || ip == 11;
}

PHCA_TEST(golden, icrc_covers_what_is_invariant)
{
	static uint8_t frame[8192];
	uint64_t seed = 1;
	int flips = 0;
	struct golden g;
	FILE *f = golden_open();

	while (f != NULL && golden_next(f, &g, frame, sizeof(frame))) {
		uint32_t n = g.frame_len - g.l3_off - PHCA_ICRC_LEN;
		uint32_t icrc = phca_wire_icrc(frame + g.l3_off, n, g.ip6);

		EXPECT(__builtin_bswap32(icrc), phca_get32(frame + g.frame_len - PHCA_ICRC_LEN));
		for (uint32_t i = g.l3_off; i < g.l3_off + n; i++) {
			uint8_t bit = (uint8_t)(1u << (phca_test_rand(&seed) & 7));
			bool same;

			if (i > g.payload_off + 16u) /* enough of the payload */
				break;
			if (g.ip6 && i == g.l3_off) /* half of it is of the traffic class */
				bit |= 0x80;
			frame[i] ^= bit;
			same = phca_wire_icrc(frame + g.l3_off, n, g.ip6) == icrc;
			frame[i] ^= bit;
			if (same != is_variant(&g, i)) {
				printf("  opcode %#x, IPv%d: byte %u\n", g.opcode, g.ip6 ? 6 : 4, i);
				CU_FAIL("a byte is wrongly covered or left out");
			}
			flips++;
		}
	}
	CU_ASSERT_TRUE(flips > 1000);
	if (f != NULL)
		fclose(f);
}
