/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parser takes any bytes: it gives one of its own verdicts, reads nothing
 * outside the frame, and what it accepts lies inside the frame, can be built and
 * parses again to the same. The frame is the input; checksums and iCRC are tried
 * as they are and then mended, or hardly an input would come past them.
 */
#include <string.h>

#include "fuzz_check.h"
#include "phca_wire.h"

static uint32_t ip_len(const struct phca_pkt *pkt)
{
	return pkt->bth_off - pkt->l3_off - 8u;
}

static void check_inside(const uint8_t *frame, uint32_t len, const struct phca_pkt *pkt)
{
	const struct phca_opcode_info *info = &phca_opcode_table[pkt->opcode];

	FUZZ_CHECK(info->name != NULL);
	FUZZ_CHECK(pkt->l3_off == ((pkt->flags & PHCA_PKT_VLAN) != 0 ? 18 : 14));
	FUZZ_CHECK(ip_len(pkt) == ((pkt->flags & PHCA_PKT_IP6) != 0 ? 40u : 20u));
	FUZZ_CHECK(pkt->payload_off == pkt->bth_off + info->hdr_len);
	FUZZ_CHECK((uint32_t)pkt->payload_off + pkt->payload_len + pkt->pad + 4u <= len);
	FUZZ_CHECK(pkt->dqpn <= PHCA_QPN_MAX && pkt->psn.v <= PHCA_PSN_MASK);
	FUZZ_CHECK((pkt->payload_len + pkt->pad) % 4 == 0 && pkt->pad < 4);
	FUZZ_CHECK((info->flags & PHCA_OPF_PAYLOAD) != 0 || pkt->payload_len == 0);
	for (int h = 0; h < PHCA_HDR_COUNT; h++) {
		const uint8_t *p = phca_pkt_hdr(frame, pkt, h);

		FUZZ_CHECK(p == NULL || p < frame + pkt->payload_off);
	}
}

/* A header with the fields that struct phca_pkt holds; the others do not matter. */
static void check_rebuild(const struct phca_pkt *pkt)
{
	static uint8_t frame[65536 + 64];
	struct phca_wire_hdr h = {
		.vlan = (pkt->flags & PHCA_PKT_VLAN) != 0, .vlan_tci = pkt->vlan_tci,
		.ip6 = (pkt->flags & PHCA_PKT_IP6) != 0, .tclass = pkt->tclass,
		.udp_sport = pkt->udp_sport, .pkey = pkt->pkey, .opcode = pkt->opcode,
		.solicited = (pkt->flags & PHCA_PKT_SOLICITED) != 0,
		.migreq = (pkt->flags & PHCA_PKT_MIGREQ) != 0,
		.ackreq = (pkt->flags & PHCA_PKT_ACKREQ) != 0,
		.dqpn = pkt->dqpn, .psn = pkt->psn,
	};
	uint8_t marks = PHCA_PKT_FECN | PHCA_PKT_BECN | PHCA_PKT_MULTICAST;
	struct phca_pkt again, want = *pkt;
	uint32_t len;

	phca_wire_build(frame, &h, pkt->payload_len);
	len = phca_wire_finish(frame, &h, pkt->payload_len);
	FUZZ_CHECK(phca_wire_parse(frame, len, PHCA_PARSE_ICRC, &again) == PHCA_V_OK);
	again.flags &= (uint8_t)~marks; /* the builder does not take them */
	want.flags &= (uint8_t)~marks;
	FUZZ_CHECK(memcmp(&again, &want, sizeof(want)) == 0);
}

static enum phca_verdict parse(const uint8_t *frame, uint32_t len, unsigned int opts,
		struct phca_pkt *pkt)
{
	enum phca_verdict v;

	memset(pkt, 0x5a, sizeof(*pkt));
	v = phca_wire_parse(frame, len, opts, pkt);
	FUZZ_CHECK(v == PHCA_V_OK || v == PHCA_V_NOT_ROCE || v == PHCA_V_LENGTH ||
		v == PHCA_V_ETH_SHORT || (v >= PHCA_V_IP4_SHORT && v <= PHCA_V_ICRC));
	if (v == PHCA_V_OK)
		check_inside(frame, len, pkt);
	return v;
}

/* Right checksum of an IPv4 header, right iCRC of what then parses. */
static void mend(uint8_t *frame, uint32_t len)
{
	uint32_t off = len >= 18 && phca_get16(frame + 12) == 0x8100 ? 18 : 14;
	struct phca_pkt pkt;

	if (len >= off + 20 && phca_get16(frame + off - 2) == 0x0800) {
		uint8_t *ip = frame + off;

		phca_put16(ip + 10, 0);
		phca_put16(ip + 10, (uint16_t)~phca_wire_csum(ip, 20, 0));
	}
	if (phca_wire_parse(frame, len, 0, &pkt) == PHCA_V_OK) {
		uint32_t end = (uint32_t)pkt.payload_off + pkt.payload_len + pkt.pad;
		uint32_t icrc = phca_wire_icrc(frame + pkt.l3_off, end - pkt.l3_off,
			(pkt.flags & PHCA_PKT_IP6) != 0);

		phca_put32(frame + end, __builtin_bswap32(icrc));
		FUZZ_CHECK(phca_wire_parse(frame, len, PHCA_PARSE_ICRC, &pkt) == PHCA_V_OK);
		check_rebuild(&pkt);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t len = size > 65535 ? 65535 : (uint32_t)size;
	enum phca_verdict bare, full;
	struct phca_pkt pkt;
	uint8_t *frame;

	bare = parse(data, len, 0, &pkt);
	full = parse(data, len, PHCA_PARSE_ICRC | PHCA_PARSE_UDP_CSUM, &pkt);
	/* checks that are asked for only add */
	FUZZ_CHECK(bare == full || full == PHCA_V_ICRC || full == PHCA_V_UDP_CHECKSUM);
	frame = malloc(len + 1); /* one more, as malloc(0) may be NULL */
	FUZZ_CHECK(frame != NULL);
	if (len > 0)
		memcpy(frame, data, len);
	mend(frame, len);
	parse(frame, len, PHCA_PARSE_ICRC | PHCA_PARSE_UDP_CSUM, &pkt);
	free(frame);
	return 0;
}
