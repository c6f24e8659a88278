/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parser: one pass over the headers, outside in. It keeps: no byte is read
 * that was not found to lie inside the frame, and inside the length that the
 * header before it gives; a length once checked is the only one used later.
 *
 * What is right is straight-line code. What is wrong is sorted out in functions
 * of their own, off the hot path; they also tell malformed RoCEv2, which gets the
 * verdict that names the fault, from other traffic with the same feature (ICMP
 * with IPv4 options, a fragment of NFS), which is NOT_ROCE.
 */
#include <string.h>

#include "phca_wire.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define cold        __attribute__((noinline, cold))

#define ETH_LEN  14u
#define VLAN_LEN 4u
#define IP4_LEN  20u
#define IP6_LEN  40u
#define UDP_LEN  8u
#define BTH_LEN  ((uint32_t)sizeof(struct phca_bth))

#define TYPE_IP4  0x0800
#define TYPE_IP6  0x86dd
#define TYPE_VLAN 0x8100

#define PROTO_HOPOPTS  0
#define PROTO_UDP      17
#define PROTO_ROUTING  43
#define PROTO_FRAGMENT 44
#define PROTO_AH       51
#define PROTO_DSTOPTS  60
#define PROTO_MOBILITY 135
#define PROTO_HIP      139
#define PROTO_SHIM6    140

#define IP4_FRAG_MASK   0x3fff /* more fragments, offset */
#define IP4_OFFSET_MASK 0x1fff

/* Is what lies at off, n bytes being there in all, UDP to another port? */
static bool udp_is_other(const uint8_t *p, uint32_t off, uint32_t n)
{
	return off + 4 <= n && phca_get16(p + off + 2) != PHCA_UDP_PORT;
}

/* An IPv4 header that starts otherwise than 0x45 or is of a fragment. */
cold static enum phca_verdict ip4_fault(const uint8_t *ip, uint32_t n)
{
	uint32_t ihl = (ip[0] & 0xfu) * 4;
	uint16_t frag = phca_get16(ip + 6);

	if (ip[0] >> 4 != 4)
		return PHCA_V_IP4_VERSION;
	if (ihl < IP4_LEN || ihl > n)
		return PHCA_V_IP4_LENGTH;
	if (ip[9] != PROTO_UDP)
		return PHCA_V_NOT_ROCE;
	if ((frag & IP4_OFFSET_MASK) == 0 && udp_is_other(ip, ihl, n))
		return PHCA_V_NOT_ROCE;
	return (frag & IP4_FRAG_MASK) != 0 ? PHCA_V_IP4_FRAGMENT : PHCA_V_IP4_OPTIONS;
}

/* An IPv6 header that is not followed by UDP: walk the chain of extensions. */
cold static enum phca_verdict ip6_fault(const uint8_t *ip, uint32_t n)
{
	uint32_t off = IP6_LEN;
	uint8_t next = ip[6];

	for (int i = 0; i < 8; i++) {
		uint8_t proto = next;

		if (proto == PROTO_UDP)
			return udp_is_other(ip, off, n) ? PHCA_V_NOT_ROCE : PHCA_V_IP6_EXT;
		if (off + 8 > n)
			break;
		next = ip[off];
		switch (proto) {
		case PROTO_FRAGMENT:
			if (phca_get16(ip + off + 2) >> 3 != 0) /* the port is elsewhere */
				return next == PROTO_UDP ? PHCA_V_IP6_EXT : PHCA_V_NOT_ROCE;
			off += 8;
			break;
		case PROTO_AH:
			off += (ip[off + 1] + 2u) * 4;
			break;
		case PROTO_HOPOPTS: case PROTO_ROUTING: case PROTO_DSTOPTS:
		case PROTO_MOBILITY: case PROTO_HIP: case PROTO_SHIM6:
			off += (ip[off + 1] + 1u) * 8;
			break;
		default:
			return PHCA_V_NOT_ROCE;
		}
	}
	return PHCA_V_NOT_ROCE;
}

static inline uint64_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Ones' complement sum of an IPv4 header, checksum included, is it all ones? */
static inline bool ip4_csum_ok(const uint8_t *ip)
{
	uint64_t s = load32(ip) + load32(ip + 4) + load32(ip + 8) + load32(ip + 12) +
		load32(ip + 16);

	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return s == 0xffff;
}

/* n bytes are there from ip on; *l4_len is set to those that IP carries. */
static inline enum phca_verdict parse_ip4(const uint8_t *ip, uint32_t n,
		struct phca_pkt *pkt, uint32_t *l4_len)
{
	uint32_t total;

	if (unlikely(n < IP4_LEN))
		return PHCA_V_IP4_SHORT;
	if (unlikely(ip[0] != 0x45 || (phca_get16(ip + 6) & IP4_FRAG_MASK) != 0))
		return ip4_fault(ip, n);
	if (unlikely(ip[9] != PROTO_UDP))
		return PHCA_V_NOT_ROCE;
	total = phca_get16(ip + 2);
	if (unlikely(n < IP4_LEN + UDP_LEN))
		return total > n || total < IP4_LEN ? PHCA_V_IP4_LENGTH : PHCA_V_UDP_LENGTH;
	if (unlikely(phca_get16(ip + IP4_LEN + 2) != PHCA_UDP_PORT))
		return PHCA_V_NOT_ROCE;
	if (unlikely(total > n || total < IP4_LEN))
		return PHCA_V_IP4_LENGTH;
	if (unlikely(!ip4_csum_ok(ip)))
		return PHCA_V_IP4_CHECKSUM;
	pkt->tclass = ip[1];
	pkt->flags |= (ip[16] & 0xf0) == 0xe0 ? PHCA_PKT_MULTICAST : 0;
	*l4_len = total - IP4_LEN;
	return PHCA_V_OK;
}

static inline enum phca_verdict parse_ip6(const uint8_t *ip, uint32_t n,
		struct phca_pkt *pkt, uint32_t *l4_len)
{
	uint32_t payload;

	if (unlikely(n < IP6_LEN))
		return PHCA_V_IP6_SHORT;
	if (unlikely(ip[0] >> 4 != 6))
		return PHCA_V_IP6_VERSION;
	if (unlikely(ip[6] != PROTO_UDP))
		return ip6_fault(ip, n);
	payload = phca_get16(ip + 4);
	if (unlikely(n < IP6_LEN + UDP_LEN))
		return payload > n - IP6_LEN ? PHCA_V_IP6_LENGTH : PHCA_V_UDP_LENGTH;
	if (unlikely(phca_get16(ip + IP6_LEN + 2) != PHCA_UDP_PORT))
		return PHCA_V_NOT_ROCE;
	if (unlikely(payload > n - IP6_LEN))
		return PHCA_V_IP6_LENGTH;
	pkt->tclass = (uint8_t)(phca_get16(ip) >> 4);
	pkt->flags |= ip[24] == 0xff ? PHCA_PKT_MULTICAST : 0;
	*l4_len = payload;
	return PHCA_V_OK;
}

/* The UDP checksum of l4_len bytes with the pseudo header of RFC 768 or 8200. */
cold static bool udp_csum_ok(const uint8_t *ip, const uint8_t *udp, uint32_t l4_len, bool ip6)
{
	const uint8_t *addr = ip6 ? ip + 8 : ip + 12;
	uint32_t sum = PROTO_UDP + l4_len;

	sum = phca_wire_csum(addr, ip6 ? 32 : 8, sum);
	return phca_wire_csum(udp, l4_len, sum) == 0xffff;
}

/* An opcode without a row: of a transport left out, or of none at all? */
cold static enum phca_verdict opcode_fault(uint8_t opcode)
{
	uint8_t op = opcode & 0x1f;

	switch (opcode >> 5) {
	case PHCA_TRANSPORT_RD: /* 0x15 is RESYNC */
		return op <= 0x15 ? PHCA_V_TRANSPORT : PHCA_V_OPCODE;
	case PHCA_TRANSPORT_XRC:
		return op <= 0x17 && op != 0x15 ? PHCA_V_TRANSPORT : PHCA_V_OPCODE;
	default:
		return PHCA_V_OPCODE;
	}
}

/* body: bytes of payload and pad. Sets pad and payload_len. */
static inline enum phca_verdict parse_pad(const struct phca_opcode_info *info, uint32_t pad,
		uint32_t body, struct phca_pkt *pkt)
{
	if (likely((info->flags & PHCA_OPF_PAYLOAD) != 0)) {
		/* Whether a FIRST or MIDDLE is as long as the path MTU is the queue pair's
		 * to say: RC answers one that is not. */
		if (unlikely(pad > body || (body & 3) != 0))
			return PHCA_V_PAD;
	} else {
		if (unlikely(pad != 0))
			return PHCA_V_PAD;
		if (unlikely(body != 0))
			return PHCA_V_LENGTH;
	}
	pkt->pad = (uint8_t)pad;
	pkt->payload_len = (uint16_t)(body - pad);
	return PHCA_V_OK;
}

/* l4_len: bytes from UDP to the end of the iCRC, all of them in the frame. */
static inline enum phca_verdict parse_bth(const uint8_t *p, uint32_t l4_len, struct phca_pkt *pkt)
{
	const struct phca_bth *bth = (const struct phca_bth *)p;
	const struct phca_opcode_info *info = &phca_opcode_table[bth->opcode];
	uint32_t room = l4_len - UDP_LEN - PHCA_ICRC_LEN;

	if (unlikely((bth->flags & 0x0f) != 0))
		return PHCA_V_BTH_VERSION;
	if (unlikely(info->name == NULL) && bth->opcode >> 5 != PHCA_TRANSPORT_RC)
		return opcode_fault(bth->opcode);
	if (unlikely(room < info->hdr_len))
		return PHCA_V_EXT_SHORT;
	pkt->opcode = bth->opcode;
	pkt->pkey = phca_get16(bth->pkey);
	/* 24 bits: as the low part of a word, one load */
	pkt->dqpn = phca_get32(p + offsetof(struct phca_bth, fecn_becn)) & PHCA_QPN_MAX;
	pkt->psn = phca_psn(phca_get32(p + offsetof(struct phca_bth, ackreq)));
	pkt->flags |= (bth->flags >> 5 & PHCA_PKT_SOLICITED) | (bth->flags >> 3 & PHCA_PKT_MIGREQ) |
		(bth->ackreq >> 3 & PHCA_PKT_ACKREQ) | (bth->fecn_becn >> 2 & PHCA_PKT_FECN) |
		(bth->fecn_becn & PHCA_PKT_BECN);
	if (unlikely(info->name == NULL)) /* what follows BTH is anybody's guess */
		return opcode_fault(bth->opcode);
	pkt->payload_off = (uint16_t)(pkt->bth_off + info->hdr_len);
	return parse_pad(info, bth->flags >> 4 & 3, room - info->hdr_len, pkt);
}

/* From UDP on; l4_len bytes of it are in the frame. */
static inline enum phca_verdict parse_l4(const uint8_t *ip, uint32_t ip_len, uint32_t l4_len,
		unsigned int opts, struct phca_pkt *pkt)
{
	const uint8_t *udp = ip + ip_len;
	bool ip6 = (pkt->flags & PHCA_PKT_IP6) != 0;
	enum phca_verdict v;

	if (unlikely(l4_len < UDP_LEN || phca_get16(udp + 4) != l4_len))
		return PHCA_V_UDP_LENGTH;
	if (unlikely((opts & PHCA_PARSE_UDP_CSUM) != 0) && phca_get16(udp + 6) != 0 &&
			!udp_csum_ok(ip, udp, l4_len, ip6))
		return PHCA_V_UDP_CHECKSUM;
	if (unlikely(l4_len < UDP_LEN + BTH_LEN + PHCA_ICRC_LEN))
		return PHCA_V_BTH_SHORT;
	pkt->udp_sport = phca_get16(udp);
	pkt->bth_off = (uint16_t)(pkt->l3_off + ip_len + UDP_LEN);
	v = parse_bth(udp + UDP_LEN, l4_len, pkt);
	if (unlikely(v != PHCA_V_OK) && phca_opcode_table[pkt->opcode].name != NULL)
		return v; /* else it is RC's, and goes on as far as it goes */
	if (likely((opts & PHCA_PARSE_ICRC) != 0)) {
		uint32_t len = ip_len + l4_len - PHCA_ICRC_LEN;
		uint32_t icrc = phca_wire_icrc(ip, len, ip6);

		/* least significant byte first */
		if (unlikely(phca_get32(ip + len) != __builtin_bswap32(icrc)))
			return PHCA_V_ICRC;
	}
	return v;
}

enum phca_verdict phca_wire_parse(const void *frame, uint32_t len,
		unsigned int opts, struct phca_pkt *pkt)
{
	const uint8_t *f = frame;
	uint32_t off = ETH_LEN, l4_len = 0;
	enum phca_verdict v;
	uint16_t type;

	memset(pkt, 0, sizeof(*pkt));
	if (unlikely(len < ETH_LEN))
		return PHCA_V_ETH_SHORT;
	type = phca_get16(f + 12);
	if (type == TYPE_VLAN) {
		if (unlikely(len < ETH_LEN + VLAN_LEN))
			return PHCA_V_ETH_SHORT;
		pkt->vlan_tci = phca_get16(f + 14);
		pkt->flags = PHCA_PKT_VLAN;
		type = phca_get16(f + 16);
		off += VLAN_LEN;
	}
	pkt->l3_off = (uint16_t)off;
	if (likely(type == TYPE_IP4)) {
		v = parse_ip4(f + off, len - off, pkt, &l4_len);
		if (unlikely(v != PHCA_V_OK))
			return v;
		return parse_l4(f + off, IP4_LEN, l4_len, opts, pkt);
	}
	if (type == TYPE_IP6) {
		pkt->flags |= PHCA_PKT_IP6;
		v = parse_ip6(f + off, len - off, pkt, &l4_len);
		if (unlikely(v != PHCA_V_OK))
			return v;
		return parse_l4(f + off, IP6_LEN, l4_len, opts, pkt);
	}
	return PHCA_V_NOT_ROCE;
}
