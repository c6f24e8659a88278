/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Echo requests, ICMP (RFC 792) and ICMPv6 (RFC 4443), answered in place. It
 * keeps: an answer has as many bytes as the request, all of them received, and
 * goes only to a unicast sender that is not the port itself.
 */
#include <rte_ip.h>

#include "net_impl.h"

#define ECHO4_REPLY   0
#define ECHO4_REQUEST 8
#define ECHO6_REQUEST 128
#define ECHO6_REPLY   129
#define ND_NS         135
#define ND_NA         136
#define TTL           64

#define FRAG_MASK 0x3fff /* more fragments, offset */

static bool sender_ok(const struct phca_net *net, const uint8_t gid[16])
{
	return gid_is_unicast(gid) && phca_net_gid_find(net, gid) < 0;
}

/* The frame ends where IP says: padding of a short frame is not echoed. */
static void frame_cut(struct rte_mbuf *m, const uint8_t *l3, uint32_t l3_len)
{
	uint32_t len = (uint32_t)(l3 - rte_pktmbuf_mtod(m, uint8_t *)) + l3_len;

	m->data_len = (uint16_t)len;
	m->pkt_len = len;
}

enum phca_verdict icmp4_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *f, uint32_t n,
		bool *reply)
{
	uint8_t *icmp = f + IP4_HDR, src[16], dst[16];
	uint32_t total;

	if (n < IP4_HDR + ICMP_HDR || f[0] != 0x45 || f[9] != IPPROTO_ICMP ||
			(phca_get16(f + 6) & FRAG_MASK) != 0)
		return PHCA_V_NOT_ROCE;
	total = phca_get16(f + 2);
	if (total > n || total < IP4_HDR + ICMP_HDR || phca_wire_csum(f, IP4_HDR, 0) != 0xffff)
		return PHCA_V_NOT_ROCE;
	phca_gid_from_ip4(src, f + 12);
	phca_gid_from_ip4(dst, f + 16);
	if (phca_net_gid_find(net, dst) < 0)
		return PHCA_V_NOT_OURS;
	if (icmp[0] != ECHO4_REQUEST || icmp[1] != 0 || !sender_ok(net, src) ||
			phca_wire_csum(icmp, total - IP4_HDR, 0) != 0xffff)
		return PHCA_V_NOT_ROCE;

	frame_answer(net, m, rte_pktmbuf_mtod(m, uint8_t *) + 6);
	frame_cut(m, f, total);
	memcpy(f + 12, dst + 12, 4);
	memcpy(f + 16, src + 12, 4);
	f[8] = TTL;
	phca_put16(f + 10, 0);
	phca_put16(f + 10, (uint16_t)~phca_wire_csum(f, IP4_HDR, 0));
	icmp[0] = ECHO4_REPLY;
	phca_put16(icmp + 2, 0);
	phca_put16(icmp + 2, (uint16_t)~phca_wire_csum(icmp, total - IP4_HDR, 0));
	*reply = true;
	return PHCA_V_ICMP_ECHO;
}

/* Folded sum with the pseudo header of RFC 8200 8.1; 0xffff when it is right. */
uint16_t icmp6_csum(const uint8_t *ip, const uint8_t *l4, uint32_t len)
{
	return phca_wire_csum(l4, len, phca_wire_csum(ip + 8, 32, len + IPPROTO_ICMPV6));
}

enum phca_verdict echo6_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *ip, uint32_t len,
		bool *reply)
{
	uint8_t *icmp = ip + IP6_HDR, own[16];

	if (icmp[1] != 0 || !sender_ok(net, ip + 8) || phca_net_gid_find(net, ip + 24) < 0)
		return PHCA_V_NOT_ROCE;
	frame_answer(net, m, rte_pktmbuf_mtod(m, uint8_t *) + 6);
	frame_cut(m, ip, IP6_HDR + len);
	memcpy(own, ip + 24, 16);
	memcpy(ip + 24, ip + 8, 16);
	memcpy(ip + 8, own, 16);
	ip[7] = TTL;
	icmp[0] = ECHO6_REPLY;
	phca_put16(icmp + 2, 0);
	phca_put16(icmp + 2, (uint16_t)~icmp6_csum(ip, icmp, len));
	*reply = true;
	return PHCA_V_ICMP_ECHO;
}

/* ICMPv6 right behind the IPv6 header, for one of our addresses or groups. */
enum phca_verdict icmp6_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *f, uint32_t n,
		uint64_t now_ns, bool *reply)
{
	static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 0x01 };
	uint32_t len;

	if (n < IP6_HDR + ICMP_HDR || f[0] >> 4 != 6 || f[6] != IPPROTO_ICMPV6)
		return PHCA_V_NOT_ROCE;
	len = phca_get16(f + 4);
	if (len > n - IP6_HDR || len < ICMP_HDR)
		return PHCA_V_NOT_ROCE;
	if (phca_net_gid_find(net, f + 24) < 0 && memcmp(f + 24, all_nodes, 16) != 0 &&
			!gid_is_solicited_node(net, f + 24))
		return PHCA_V_NOT_OURS;
	if (icmp6_csum(f, f + IP6_HDR, len) != 0xffff)
		return PHCA_V_NOT_ROCE;
	switch (f[IP6_HDR]) {
	case ECHO6_REQUEST:
		return echo6_input(net, m, f, len, reply);
	case ND_NS:
	case ND_NA:
		return nd_input(net, m, f, len, now_ns, reply);
	default:
		return PHCA_V_NOT_ROCE;
	}
}
