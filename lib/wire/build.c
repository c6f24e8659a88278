/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The builder: headers of a packet from struct phca_wire_hdr, then pad and iCRC.
 * It keeps: every byte of the headers is written (the buffer may hold anything),
 * and what it builds the parser takes back field by field.
 *
 * The UDP checksum is zero, as the iCRC already covers all that it would: IPv4
 * leaves it optional, and RFC 6936 allows zero over IPv6 to a protocol that
 * checks its own packets, as RoCEv2 does.
 */
#include <string.h>

#include "phca_wire.h"

#define IP4_LEN 20
#define IP6_LEN 40
#define UDP_LEN 8

static inline uint32_t pad_len(uint32_t payload_len)
{
	return -payload_len & 3;
}

static inline uint32_t l3_off(const struct phca_wire_hdr *h)
{
	return h->vlan ? 18 : 14;
}

uint32_t phca_wire_hdr_len(const struct phca_wire_hdr *h)
{
	return l3_off(h) + (h->ip6 ? IP6_LEN : IP4_LEN) + UDP_LEN +
		phca_opcode_table[h->opcode].hdr_len;
}

static uint8_t *build_eth(uint8_t *p, const struct phca_wire_hdr *h)
{
	memcpy(p, h->dmac, 6);
	memcpy(p + 6, h->smac, 6);
	p += 12;
	if (h->vlan) {
		phca_put16(p, 0x8100);
		phca_put16(p + 2, h->vlan_tci);
		p += 4;
	}
	phca_put16(p, h->ip6 ? 0x86dd : 0x0800);
	return p + 2;
}

static uint8_t *build_ip4(uint8_t *p, const struct phca_wire_hdr *h, uint32_t l4_len)
{
	const uint8_t *src = h->sgid + 12, *dst = h->dgid + 12;
	/* From the values: reading back what was just stored in pieces is slow. */
	uint32_t sum = (0x4500u | h->tclass) + (IP4_LEN + l4_len) + 0x4000u +
		((uint32_t)h->hop_limit << 8 | 17) + phca_get16(src) + phca_get16(src + 2) +
		phca_get16(dst) + phca_get16(dst + 2);

	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	p[0] = 0x45;
	p[1] = h->tclass;
	phca_put16(p + 2, (uint16_t)(IP4_LEN + l4_len));
	phca_put16(p + 4, 0);
	phca_put16(p + 6, 0x4000); /* do not fragment */
	p[8] = h->hop_limit;
	p[9] = 17; /* UDP */
	phca_put16(p + 10, (uint16_t)~sum);
	memcpy(p + 12, src, 4);
	memcpy(p + 16, dst, 4);
	return p + IP4_LEN;
}

static uint8_t *build_ip6(uint8_t *p, const struct phca_wire_hdr *h, uint32_t l4_len)
{
	phca_put32(p, 6u << 28 | (uint32_t)h->tclass << 20 | (h->flow_label & 0xfffff));
	phca_put16(p + 4, (uint16_t)l4_len);
	p[6] = 17; /* UDP */
	p[7] = h->hop_limit;
	memcpy(p + 8, h->sgid, 16);
	memcpy(p + 24, h->dgid, 16);
	return p + IP6_LEN;
}

static void build_bth(uint8_t *p, const struct phca_wire_hdr *h, uint32_t pad)
{
	struct phca_bth *bth = (struct phca_bth *)p;

	bth->opcode = h->opcode;
	bth->flags = (uint8_t)(h->solicited << 7 | h->migreq << 6 | pad << 4);
	phca_put16(bth->pkey, h->pkey);
	/* A congestion notification is a packet with BECN set (A17.9.4). */
	bth->fecn_becn = h->opcode == PHCA_CNP ? 0x40 : 0;
	phca_put24(bth->dqpn, h->dqpn);
	bth->ackreq = (uint8_t)(h->ackreq << 7);
	phca_put24(bth->psn, h->psn.v);
}

/* p is BTH; the row says which headers are wanted and where. */
static void build_ext(uint8_t *p, const struct phca_wire_hdr *h)
{
	const struct phca_opcode_info *info = &phca_opcode_table[h->opcode];
	const uint8_t *off = info->off;

	if (off[PHCA_HDR_DETH] != 0) {
		struct phca_deth *deth = (struct phca_deth *)(p + off[PHCA_HDR_DETH]);

		phca_put32(deth->qkey, h->qkey);
		deth->rsvd = 0;
		phca_put24(deth->sqpn, h->sqpn);
	}
	if (off[PHCA_HDR_RETH] != 0) {
		struct phca_reth *reth = (struct phca_reth *)(p + off[PHCA_HDR_RETH]);

		phca_put64(reth->va, h->va);
		phca_put32(reth->rkey, h->rkey);
		phca_put32(reth->len, h->dma_len);
	}
	if (off[PHCA_HDR_ATOMICETH] != 0) {
		struct phca_atomiceth *eth =
			(struct phca_atomiceth *)(p + off[PHCA_HDR_ATOMICETH]);

		phca_put64(eth->va, h->va);
		phca_put32(eth->rkey, h->rkey);
		phca_put64(eth->swap_add, h->swap_add);
		phca_put64(eth->cmp, h->cmp);
	}
	if (off[PHCA_HDR_AETH] != 0) {
		struct phca_aeth *aeth = (struct phca_aeth *)(p + off[PHCA_HDR_AETH]);

		aeth->syndrome = h->syndrome;
		phca_put24(aeth->msn, h->msn);
	}
	if (off[PHCA_HDR_ATOMICACKETH] != 0)
		phca_put64(p + off[PHCA_HDR_ATOMICACKETH], h->cmp);
	if (off[PHCA_HDR_IMMDT] != 0)
		memcpy(p + off[PHCA_HDR_IMMDT], &h->imm, 4);
	if (off[PHCA_HDR_IETH] != 0)
		phca_put32(p + off[PHCA_HDR_IETH], h->inv_rkey);
	if (off[PHCA_HDR_CNPRES] != 0)
		memset(p + off[PHCA_HDR_CNPRES], 0, PHCA_CNPRES_LEN);
}

uint32_t phca_wire_build(void *frame, const struct phca_wire_hdr *h, uint32_t payload_len)
{
	uint32_t pad = pad_len(payload_len);
	uint32_t hdr_len = phca_opcode_table[h->opcode].hdr_len;
	uint32_t l4_len = UDP_LEN + hdr_len + payload_len + pad + PHCA_ICRC_LEN;
	uint8_t *p = build_eth(frame, h);

	p = h->ip6 ? build_ip6(p, h, l4_len) : build_ip4(p, h, l4_len);
	phca_put16(p, h->udp_sport);
	phca_put16(p + 2, PHCA_UDP_PORT);
	phca_put16(p + 4, (uint16_t)l4_len);
	phca_put16(p + 6, 0);
	p += UDP_LEN;
	build_bth(p, h, pad);
	build_ext(p, h);
	return (uint32_t)(p - (uint8_t *)frame) + hdr_len;
}

/* Of zeros. @return where the iCRC goes */
static uint8_t *pad_put(uint8_t *frame, const struct phca_wire_hdr *h, uint32_t payload_len)
{
	uint8_t *end = frame + phca_wire_hdr_len(h) + payload_len;

	for (uint32_t pad = pad_len(payload_len); pad > 0; pad--)
		*end++ = 0;
	return end;
}

static uint32_t icrc_put(uint8_t *frame, uint8_t *end, uint32_t icrc)
{
	phca_put32(end, __builtin_bswap32(icrc)); /* least significant byte first */
	return (uint32_t)(end - frame) + PHCA_ICRC_LEN;
}

uint32_t phca_wire_finish(void *frame, const struct phca_wire_hdr *h, uint32_t payload_len)
{
	uint8_t *f = frame, *end = pad_put(f, h, payload_len);
	uint32_t l3 = l3_off(h);

	return icrc_put(f, end, phca_wire_icrc(f + l3, (uint32_t)(end - f) - l3, h->ip6));
}

uint32_t phca_wire_finish_known(void *frame, const struct phca_wire_hdr *h, uint32_t payload_len,
		struct phca_wire_crc known)
{
	uint8_t *f = frame, *end = pad_put(f, h, payload_len);
	uint32_t l3 = l3_off(h);

	return icrc_put(f, end, phca_wire_icrc_known(f + l3, phca_wire_hdr_len(h) - l3, h->ip6, known));
}
