/* SPDX-License-Identifier: BSD-3-Clause */
/* What the builder builds, the parser takes back field by field. */
#include <string.h>

#include "phca_test.h"
#include "phca_wire.h"
#include "wire_random.h"

#define EXPECT(a, b) CU_ASSERT_EQUAL((uint64_t)(a), (uint64_t)(b))

static void expect_ext(const uint8_t *frame, const struct phca_pkt *pkt,
		const struct phca_wire_hdr *h)
{
	const struct phca_opcode_info *info = &phca_opcode_table[h->opcode];
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	const struct phca_atomiceth *atomic = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICETH);
	const struct phca_aeth *aeth = phca_pkt_hdr(frame, pkt, PHCA_HDR_AETH);
	const struct phca_atomicacketh *ack = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICACKETH);
	const struct phca_immdt *immdt = phca_pkt_hdr(frame, pkt, PHCA_HDR_IMMDT);
	const struct phca_ieth *ieth = phca_pkt_hdr(frame, pkt, PHCA_HDR_IETH);

	for (int i = 0; i < PHCA_HDR_COUNT; i++)
		EXPECT(phca_pkt_hdr(frame, pkt, i) != NULL, info->hdrs >> i & 1);
	if (deth != NULL) {
		EXPECT(phca_get32(deth->qkey), h->qkey);
		EXPECT(phca_get24(deth->sqpn), h->sqpn);
		EXPECT(deth->rsvd, 0);
	}
	if (reth != NULL) {
		EXPECT(phca_get64(reth->va), h->va);
		EXPECT(phca_get32(reth->rkey), h->rkey);
		EXPECT(phca_get32(reth->len), h->dma_len);
	}
	if (atomic != NULL) {
		EXPECT(phca_get64(atomic->va), h->va);
		EXPECT(phca_get32(atomic->rkey), h->rkey);
		EXPECT(phca_get64(atomic->swap_add), h->swap_add);
		EXPECT(phca_get64(atomic->cmp), h->cmp);
	}
	if (aeth != NULL) {
		EXPECT(aeth->syndrome, h->syndrome);
		EXPECT(phca_get24(aeth->msn), h->msn);
	}
	if (ack != NULL)
		EXPECT(phca_get64(ack->orig), h->cmp);
	if (immdt != NULL)
		CU_ASSERT_EQUAL(memcmp(immdt->imm, &h->imm, 4), 0);
	if (ieth != NULL)
		EXPECT(phca_get32(ieth->rkey), h->inv_rkey);
}

static void expect_pkt(const uint8_t *frame, const struct phca_pkt *pkt,
		const struct phca_wire_hdr *h, uint32_t len)
{
	uint8_t sgid[16], dgid[16];
	bool mc = h->ip6 ? h->dgid[0] == 0xff : h->dgid[12] >> 4 == 0xe;
	uint8_t flags = (h->ip6 ? PHCA_PKT_IP6 : 0) | (h->vlan ? PHCA_PKT_VLAN : 0) |
		(h->solicited ? PHCA_PKT_SOLICITED : 0) | (h->migreq ? PHCA_PKT_MIGREQ : 0) |
		(h->ackreq ? PHCA_PKT_ACKREQ : 0) | (mc ? PHCA_PKT_MULTICAST : 0) |
		(h->opcode == PHCA_CNP ? PHCA_PKT_BECN : 0);

	EXPECT(pkt->dqpn, h->dqpn);
	EXPECT(pkt->psn.v, h->psn.v);
	EXPECT(pkt->opcode, h->opcode);
	EXPECT(pkt->flags, flags);
	EXPECT(pkt->pkey, h->pkey);
	EXPECT(pkt->l3_off, h->vlan ? 18 : 14);
	EXPECT(pkt->bth_off, pkt->l3_off + (h->ip6 ? 48 : 28));
	EXPECT(pkt->payload_off, phca_wire_hdr_len(h));
	EXPECT(pkt->payload_len, len);
	EXPECT(pkt->vlan_tci, h->vlan ? h->vlan_tci : 0);
	EXPECT(pkt->tclass, h->tclass);
	EXPECT(pkt->pad, -len & 3);
	EXPECT(pkt->udp_sport, h->udp_sport);
	phca_pkt_gids(frame, pkt, sgid, dgid);
	EXPECT(phca_gid_is_ip4(sgid) && phca_gid_is_ip4(dgid), !h->ip6);
	CU_ASSERT_EQUAL(memcmp(sgid + (h->ip6 ? 0 : 12), h->sgid + (h->ip6 ? 0 : 12), h->ip6 ? 16 : 4), 0);
	CU_ASSERT_EQUAL(memcmp(dgid + (h->ip6 ? 0 : 12), h->dgid + (h->ip6 ? 0 : 12), h->ip6 ? 16 : 4), 0);
	expect_ext(frame, pkt, h);
}

PHCA_TEST(build, round_trip_of_random_headers)
{
	static uint8_t frame[WIRE_FRAME_MAX], payload[PHCA_MTU_MAX];
	int n = phca_test_long() ? 1000000 : 20000;
	uint64_t seed = 20220107;

	for (int i = 0; i < n; i++) {
		struct phca_wire_hdr h;
		struct phca_pkt pkt;
		uint32_t len, hdr_len, all;

		wire_random_hdr(&seed, &h);
		len = wire_random_len(&seed, h.opcode, i % 16 == 0 ? PHCA_MTU_MAX : 80);
		wire_random_bytes(&seed, payload, len);
		memset(frame, (int)seed, sizeof(frame)); /* what lies there does not matter */
		hdr_len = phca_wire_build(frame, &h, len);
		EXPECT(hdr_len, phca_wire_hdr_len(&h));
		CU_ASSERT_TRUE(hdr_len <= PHCA_WIRE_HDR_MAX);
		memcpy(frame + hdr_len, payload, len);
		all = phca_wire_finish(frame, &h, len);
		EXPECT(all, hdr_len + len + (-len & 3) + PHCA_ICRC_LEN);
		memset(&pkt, 0xa5, sizeof(pkt));
		if (phca_wire_parse(frame, all, PHCA_PARSE_ICRC | PHCA_PARSE_UDP_CSUM, &pkt) !=
				PHCA_V_OK) {
			CU_FAIL("a built packet does not parse");
			break;
		}
		expect_pkt(frame, &pkt, &h, len);
		EXPECT(pkt.rsvd[0] | pkt.rsvd[1] | pkt.rsvd[2], 0);
		CU_ASSERT_EQUAL(memcmp(frame + pkt.payload_off, payload, len), 0);
		if (CU_get_number_of_failures() != 0)
			break;
	}
}

/* One that many packets carry: each gets the iCRC that it would have got by itself. */
PHCA_TEST(build, payload_whose_crc_is_known)
{
	static uint8_t frame[WIRE_FRAME_MAX], again[WIRE_FRAME_MAX], payload[PHCA_MTU_MAX];
	uint64_t seed = 20240214;

	for (int i = 0; i < 3000; i++) {
		struct phca_wire_hdr h;
		struct phca_wire_crc crc;
		uint32_t len, hdr_len, all;

		wire_random_hdr(&seed, &h);
		len = wire_random_len(&seed, h.opcode, i % 4 == 0 ? PHCA_MTU_MAX : 80);
		wire_random_bytes(&seed, payload, len);
		crc = phca_wire_payload_crc(payload, len);
		CU_ASSERT_NOT_EQUAL(crc.shift, 0);
		memset(again, 0x77, sizeof(again));
		hdr_len = phca_wire_build(frame, &h, len);
		phca_wire_build(again, &h, len);
		memcpy(frame + hdr_len, payload, len);
		memcpy(again + hdr_len, payload, len);
		all = phca_wire_finish(frame, &h, len);
		EXPECT(phca_wire_finish_known(again, &h, len, crc), all);
		CU_ASSERT_EQUAL(memcmp(frame, again, all), 0);
		EXPECT(phca_wire_icrc_known(frame + (h.vlan ? 18 : 14), hdr_len - (h.vlan ? 18 : 14), h.ip6, crc),
			phca_wire_icrc(frame + (h.vlan ? 18 : 14), all - PHCA_ICRC_LEN - (h.vlan ? 18 : 14), h.ip6));
		if (CU_get_number_of_failures() != 0)
			break;
	}
}

/* Ethernet pads short frames; the parser must not take that for payload. */
PHCA_TEST(build, ethernet_padding_is_not_payload)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	struct phca_wire_hdr h;
	struct phca_pkt pkt;
	uint64_t seed = 7;
	uint32_t all;

	for (int i = 0; i < 100; i++) {
		wire_random_hdr(&seed, &h);
		all = wire_random_frame(&seed, &h, 0, frame);
		wire_random_bytes(&seed, frame + all, 46);
		EXPECT(phca_wire_parse(frame, all + 46, PHCA_PARSE_ICRC, &pkt), PHCA_V_OK);
		expect_pkt(frame, &pkt, &h, 0);
	}
}

/* What no field of struct phca_pkt shows. */
PHCA_TEST(build, constant_fields_and_pad)
{
	static const uint8_t zeros[PHCA_CNPRES_LEN];
	static uint8_t frame[WIRE_FRAME_MAX];
	uint64_t seed = 4;

	for (uint32_t len = 0; len < 8; len++) {
		struct phca_wire_hdr h;
		uint32_t hdr_len;

		wire_random_hdr(&seed, &h);
		h.opcode = PHCA_UC_SEND_ONLY;
		h.vlan = false;
		h.ip6 = false;
		memset(frame, 0xa5, sizeof(frame));
		hdr_len = phca_wire_build(frame, &h, len);
		phca_wire_finish(frame, &h, len);
		CU_ASSERT_EQUAL(memcmp(frame, h.dmac, 6), 0);
		CU_ASSERT_EQUAL(memcmp(frame + 6, h.smac, 6), 0);
		EXPECT(phca_get16(frame + 14 + 4), 0);      /* identification */
		EXPECT(phca_get16(frame + 14 + 6), 0x4000); /* do not fragment */
		EXPECT(frame[14 + 8], h.hop_limit);
		EXPECT(phca_wire_csum(frame + 14, 20, 0), 0xffff);
		EXPECT(phca_get16(frame + 34 + 6), 0);      /* UDP checksum */
		CU_ASSERT_EQUAL(memcmp(frame + hdr_len + len, zeros, -len & 3), 0);

		h.opcode = PHCA_CNP;
		h.ip6 = true;
		memset(frame, 0xa5, sizeof(frame));
		hdr_len = phca_wire_build(frame, &h, 0);
		EXPECT(phca_get32(frame + 14) & 0xfffff, h.flow_label);
		EXPECT(phca_get16(frame + 54 + 6), 0);      /* UDP checksum */
		CU_ASSERT_EQUAL(memcmp(frame + hdr_len - PHCA_CNPRES_LEN, zeros, sizeof(zeros)), 0);
	}
}
