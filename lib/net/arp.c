/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ARP (RFC 826) for IPv4 over Ethernet. It keeps: nothing is learnt from, and
 * nothing sent to, a sender that claims one of the port's own addresses, or a
 * MAC or IP address that no station can have.
 */
#include "net_impl.h"

#define OP_REQUEST 1
#define OP_REPLY   2

/* struct rte_arp_hdr holds these as rte_be16_t; bytes cannot be read unswapped. */
struct arp {
	uint8_t htype[2], ptype[2], hlen, plen, op[2];
	uint8_t sha[6], spa[4], tha[6], tpa[4];
};
_Static_assert(sizeof(struct arp) == ARP_LEN, "RFC 826");

static bool is_own(const struct phca_net *net, const uint8_t ip[4])
{
	uint32_t v = load32(ip);

	for (unsigned int i = 0; i < net->nb_ip4; i++)
		if (net->ip4[i] == v)
			return true;
	return false;
}

static bool well_formed(const struct phca_net *net, const struct arp *a, uint32_t n)
{
	if (n < ARP_LEN || phca_get16(a->htype) != 1 || phca_get16(a->ptype) != RTE_ETHER_TYPE_IPV4 ||
			a->hlen != 6 || a->plen != 4)
		return false;
	if (phca_get16(a->op) != OP_REQUEST && phca_get16(a->op) != OP_REPLY)
		return false;
	return mac_ok(a->sha) && memcmp(a->sha, net->mac, 6) != 0 && !is_own(net, a->spa);
}

static void answer(const struct phca_net *net, struct rte_mbuf *m, struct arp *a)
{
	uint8_t own[4];

	memcpy(own, a->tpa, 4);
	frame_answer(net, m, a->sha);
	phca_put16(a->op, OP_REPLY);
	memcpy(a->tha, a->sha, 6);
	memcpy(a->tpa, a->spa, 4);
	memcpy(a->sha, net->mac, 6);
	memcpy(a->spa, own, 4);
}

enum phca_verdict arp_input(struct phca_net *net, struct rte_mbuf *m, uint8_t *f, uint32_t n,
		uint64_t now_ns, bool *reply)
{
	struct arp *a = (struct arp *)f;
	enum neigh_heard how = HEARD_ANNOUNCING;
	bool for_us, known = false, probe;
	uint8_t gid[16];

	if (!well_formed(net, a, n))
		return PHCA_V_NOT_ROCE;
	probe = load32(a->spa) == 0; /* RFC 5227: asks before it takes an address */
	phca_gid_from_ip4(gid, a->spa);
	for_us = is_own(net, a->tpa);
	if (!probe && !gid_is_unicast(gid))
		return PHCA_V_NOT_ROCE;
	if (for_us)
		how = phca_get16(a->op) == OP_REQUEST ? HEARD_ASKING_US : HEARD_ANSWERING;
	if (!probe)
		known = neigh_hear(net, gid, a->sha, how, now_ns);
	if (!for_us)
		return known ? PHCA_V_ARP : PHCA_V_NOT_OURS;
	if (phca_get16(a->op) == OP_REQUEST) {
		answer(net, m, a);
		*reply = true;
	}
	return PHCA_V_ARP;
}

/* Ask who has tip; with tip our own this announces it (RFC 5227 2.3). */
struct rte_mbuf *arp_request(struct phca_net *net, unsigned int sgid, const uint8_t tip[4],
		const uint8_t *dmac)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t *l3;
	struct rte_mbuf *m = frame_new(net, dmac != NULL ? dmac : all, RTE_ETHER_TYPE_ARP, ARP_LEN, &l3);
	struct arp *a;

	if (m == NULL)
		return NULL;
	a = (struct arp *)l3;
	phca_put16(a->htype, 1);
	phca_put16(a->ptype, RTE_ETHER_TYPE_IPV4);
	a->hlen = 6;
	a->plen = 4;
	phca_put16(a->op, OP_REQUEST);
	memcpy(a->sha, net->mac, 6);
	memcpy(a->spa, net->gids[sgid] + 12, 4);
	memcpy(a->tpa, tip, 4);
	return m;
}
