/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What arrives: is it for this port, and which protocol has it? And the frames
 * that leave by the port's own will: their Ethernet header. It keeps: no
 * protocol sees a frame whose MAC address or VLAN is not the port's.
 */
#include <rte_ip.h>

#include "net_impl.h"

#if RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN
#define MAC48_MASK  0x0000ffffffffffffull
#define MAC48_GROUP 0x0000000000000001ull
#else
#define MAC48_MASK  0xffffffffffff0000ull
#define MAC48_GROUP 0x0100000000000000ull
#endif

/* The frame has at least an Ethernet header, so that 8 bytes can be loaded. */
static inline bool l2_is_ours(const struct phca_net *net, const void *frame, const struct phca_pkt *pkt)
{
	uint64_t dst = load64(frame) & MAC48_MASK;

	if (unlikely(dst != net->mac48 && (dst & MAC48_GROUP) == 0 && !net->promisc))
		return false;
	if (unlikely(net->vlan))
		return (pkt->flags & PHCA_PKT_VLAN) != 0 && (pkt->vlan_tci & 0xfff) == net->vlan_id;
	/* VID 0 is a priority tag: no VLAN */
	return likely((pkt->flags & PHCA_PKT_VLAN) == 0) || (pkt->vlan_tci & 0xfff) == 0;
}

bool phca_net_is_ours(const struct phca_net *net, const void *frame, const struct phca_pkt *pkt)
{
	const uint8_t *l3 = (const uint8_t *)frame + pkt->l3_off;
	uint32_t dip;

	if (unlikely(!l2_is_ours(net, frame, pkt)))
		return false;
	if (unlikely((pkt->flags & PHCA_PKT_MULTICAST) != 0))
		return true;
	if ((pkt->flags & PHCA_PKT_IP6) != 0)
		return phca_net_gid_find(net, l3 + 24) >= 0;
	dip = load32(l3 + 16);
	for (unsigned int i = 0; i < net->nb_ip4; i++)
		if (net->ip4[i] == dip)
			return true;
	return false;
}

enum phca_verdict phca_net_input(struct phca_net *net, struct rte_mbuf *m,
		const struct phca_pkt *pkt, uint64_t now_ns, bool *reply)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t off = pkt->l3_off, len = m->data_len;

	*reply = false;
	if (m->nb_segs != 1 || off < ETH_HDR || off > len)
		return PHCA_V_NOT_ROCE;
	if (!l2_is_ours(net, frame, pkt))
		return PHCA_V_NOT_OURS;
	/* Nobody answers to a group, and nobody is at our own address but us. */
	if (!mac_ok(frame + 6) || memcmp(frame + 6, net->mac, 6) == 0)
		return PHCA_V_NOT_ROCE;
	switch (phca_get16(frame + off - 2)) {
	case RTE_ETHER_TYPE_ARP:
		return arp_input(net, m, frame + off, len - off, now_ns, reply);
	case RTE_ETHER_TYPE_IPV4:
		if (len - off >= IP4_HDR && frame[off + 9] == IPPROTO_IGMP)
			return igmp_input(net, frame + off, len - off, now_ns);
		return icmp4_input(net, m, frame + off, len - off, reply);
	case RTE_ETHER_TYPE_IPV6:
		if (len - off >= IP6_HDR && frame[off + 6] == IPPROTO_HOPOPTS)
			return mld_input(net, frame + off, len - off, now_ns);
		return icmp6_input(net, m, frame + off, len - off, now_ns, reply);
	default:
		return PHCA_V_NOT_ROCE;
	}
}

/* The frame in m goes back, its tag as it is, to dmac (which may lie in m). */
void frame_answer(const struct phca_net *net, struct rte_mbuf *m, const uint8_t dmac[6])
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);

	memmove(frame, dmac, 6);
	memcpy(frame + 6, net->mac, 6);
	m->ol_flags = 0; /* what the driver said of the frame that came */
}

/* A new frame: Ethernet header, VLAN tag, l3_len bytes of zeros to fill in. */
struct rte_mbuf *frame_new(struct phca_net *net, const uint8_t dmac[6], uint16_t type,
		uint32_t l3_len, uint8_t **l3)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(net->pool);
	uint32_t off = ETH_HDR + (net->vlan ? VLAN_HDR : 0);
	uint32_t len = RTE_MAX(off + l3_len, FRAME_MIN);
	uint8_t *f;

	if (m == NULL)
		return NULL;
	f = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
	if (f == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	memset(f, 0, len);
	memcpy(f, dmac, 6);
	memcpy(f + 6, net->mac, 6);
	if (net->vlan) {
		phca_put16(f + 12, RTE_ETHER_TYPE_VLAN);
		phca_put16(f + 14, net->vlan_id);
	}
	phca_put16(f + off - 2, type);
	*l3 = f + off;
	return m;
}
