/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IPv6 neighbour discovery (RFC 4861): solicitations and advertisements. It
 * keeps: a message that fails one of the checks of sections 7.1.1 and 7.1.2
 * changes nothing and is not answered. Checksum and lengths up to the ICMPv6
 * header were checked by icmp6_input.
 */
#include <rte_ip.h>

#include "net_impl.h"

#define ND_NS 135
#define ND_NA 136
#define OPT_SRC_MAC 1
#define OPT_DST_MAC 2
#define F_SOLICITED 0x40
#define F_OVERRIDE  0x20

static const uint8_t unspecified[16];
static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 0x01 };

struct nd {
	uint8_t type, code, csum[2], flags, rsvd[3], target[16];
};
_Static_assert(sizeof(struct nd) == ND_LEN, "RFC 4861");

/* Walk the options behind the message. *mac: the option of this kind, or NULL. */
static bool options_ok(const uint8_t *opt, uint32_t n, uint8_t kind, const uint8_t **mac)
{
	*mac = NULL;
	while (n > 0) {
		uint32_t len;

		if (n < 2 || opt[1] == 0)
			return false;
		len = opt[1] * 8u;
		if (len > n)
			return false;
		if (opt[0] == kind) {
			if (len != ND_OPT || !mac_ok(opt + 2))
				return false;
			*mac = opt + 2;
		}
		opt += len;
		n -= len;
	}
	return true;
}

/* Write a message with one MAC option into the zeroed or old bytes at ip. */
static void nd_write(uint8_t *ip, const uint8_t src[16], const uint8_t dst[16], uint8_t type,
		uint8_t flags, const uint8_t target[16], const uint8_t mac[6])
{
	struct nd *nd = (struct nd *)(ip + IP6_HDR);
	uint8_t *opt = (uint8_t *)(nd + 1);
	uint8_t hdr[8] = { 0x60, [5] = ND_LEN + ND_OPT, [6] = IPPROTO_ICMPV6, [7] = 255 };

	memcpy(ip, hdr, sizeof(hdr));
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
	memset(nd, 0, sizeof(*nd));
	nd->type = type;
	nd->flags = flags;
	memcpy(nd->target, target, 16);
	opt[0] = type == ND_NS ? OPT_SRC_MAC : OPT_DST_MAC;
	opt[1] = 1;
	memcpy(opt + 2, mac, 6);
	phca_put16(nd->csum, (uint16_t)~icmp6_csum(ip, (uint8_t *)nd, ND_LEN + ND_OPT));
}

/* Make an advertisement of the solicitation in m (section 7.2.4). */
static bool advertise(const struct phca_net *net, struct rte_mbuf *m, uint8_t *ip, const uint8_t *mac)
{
	struct nd *nd = (struct nd *)(ip + IP6_HDR);
	uint32_t off = (uint32_t)(ip - rte_pktmbuf_mtod(m, uint8_t *));
	uint32_t len = off + IP6_HDR + ND_LEN + ND_OPT;
	bool dad = memcmp(ip + 8, unspecified, 16) == 0;
	uint8_t dst[16], target[16], dmac[6];

	if (len > m->data_len && rte_pktmbuf_append(m, (uint16_t)(len - m->data_len)) == NULL)
		return false;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	memcpy(dst, dad ? all_nodes : ip + 8, 16);
	memcpy(target, nd->target, 16);
	if (dad)
		gid_multicast_mac(all_nodes, dmac);
	else
		memcpy(dmac, mac != NULL ? mac : rte_pktmbuf_mtod(m, uint8_t *) + 6, 6);
	frame_answer(net, m, dmac);
	nd_write(ip, target, dst, ND_NA, F_OVERRIDE | (dad ? 0 : F_SOLICITED), target, net->mac);
	return true;
}

static enum phca_verdict solicitation(struct phca_net *net, struct rte_mbuf *m, uint8_t *ip,
		uint32_t len, uint64_t now_ns, bool *reply)
{
	const struct nd *nd = (const struct nd *)(ip + IP6_HDR);
	const uint8_t *src = ip + 8, *mac;
	bool dad = memcmp(src, unspecified, 16) == 0;

	if (!options_ok((const uint8_t *)(nd + 1), len - ND_LEN, OPT_SRC_MAC, &mac))
		return PHCA_V_NOT_ROCE;
	/* Duplicate address detection: to the group, and without a MAC address. */
	if (dad ? mac != NULL || !gid_is_solicited_node(net, ip + 24) :
			!gid_is_unicast(src) || phca_net_gid_find(net, src) >= 0)
		return PHCA_V_NOT_ROCE;
	if (mac != NULL && memcmp(mac, net->mac, 6) == 0)
		return PHCA_V_NOT_ROCE;
	if (phca_net_gid_find(net, nd->target) < 0)
		return PHCA_V_NOT_OURS;
	if (mac != NULL)
		neigh_hear(net, src, mac, HEARD_ASKING_US, now_ns);
	*reply = advertise(net, m, ip, mac);
	return PHCA_V_NDP;
}

static enum phca_verdict advertisement(struct phca_net *net, const uint8_t *ip, uint32_t len,
		uint64_t now_ns)
{
	const struct nd *nd = (const struct nd *)(ip + IP6_HDR);
	bool solicited = (nd->flags & F_SOLICITED) != 0;
	const uint8_t *mac;
	struct neigh *e;

	if (!options_ok((const uint8_t *)(nd + 1), len - ND_LEN, OPT_DST_MAC, &mac))
		return PHCA_V_NOT_ROCE;
	if ((solicited && ip[24] == 0xff) || phca_net_gid_find(net, nd->target) >= 0)
		return PHCA_V_NOT_ROCE;
	if (mac != NULL && memcmp(mac, net->mac, 6) == 0)
		return PHCA_V_NOT_ROCE;
	e = neigh_find(net, nd->target);
	if (e == NULL || e->state == NEIGH_STATIC)
		return PHCA_V_NDP; /* section 7.2.5: nothing to update */
	if (mac == NULL) {
		/* Without the option it can only confirm what is known. */
		if (e->state == NEIGH_ASKING || e->state == NEIGH_NO_ANSWER)
			return PHCA_V_NDP;
		mac = e->mac;
	} else if ((nd->flags & F_OVERRIDE) == 0 && memcmp(mac, e->mac, 6) != 0 &&
			e->state != NEIGH_ASKING && e->state != NEIGH_NO_ANSWER) {
		neigh_doubt(e);
		return PHCA_V_NDP;
	}
	neigh_hear(net, nd->target, mac, solicited ? HEARD_ANSWERING : HEARD_ANNOUNCING, now_ns);
	return PHCA_V_NDP;
}

enum phca_verdict nd_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *ip, uint32_t len,
		uint64_t now_ns, bool *reply)
{
	const struct nd *nd = (const struct nd *)(ip + IP6_HDR);

	if (ip[7] != 255 || len < ND_LEN || nd->code != 0 || !gid_is_unicast(nd->target))
		return PHCA_V_NOT_ROCE;
	if (nd->type == ND_NS)
		return solicitation(net, m, ip, len, now_ns, reply);
	return advertisement(net, ip, len, now_ns);
}

/* Ask for target (section 7.2.2): its group, or the one that was known. */
struct rte_mbuf *nd_solicit(struct phca_net *net, unsigned int sgid, const uint8_t target[16],
		const uint8_t *dmac)
{
	uint8_t group[16] = { 0xff, 0x02, [11] = 0x01, [12] = 0xff }, group_mac[6], *ip;
	struct rte_mbuf *m;

	memcpy(group + 13, target + 13, 3);
	gid_multicast_mac(group, group_mac);
	m = frame_new(net, dmac != NULL ? dmac : group_mac, RTE_ETHER_TYPE_IPV6,
		IP6_HDR + ND_LEN + ND_OPT, &ip);
	if (m != NULL)
		nd_write(ip, net->gids[sgid], dmac != NULL ? target : group, ND_NS, 0, target, net->mac);
	return m;
}

/* Tell all nodes of an own address (section 7.2.6). */
struct rte_mbuf *nd_announce(struct phca_net *net, unsigned int gid)
{
	uint8_t dmac[6], *ip;
	struct rte_mbuf *m;

	gid_multicast_mac(all_nodes, dmac);
	m = frame_new(net, dmac, RTE_ETHER_TYPE_IPV6, IP6_HDR + ND_LEN + ND_OPT, &ip);
	if (m != NULL)
		nd_write(ip, net->gids[gid], all_nodes, ND_NA, F_OVERRIDE, net->gids[gid], net->mac);
	return m;
}
