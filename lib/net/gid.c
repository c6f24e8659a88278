/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses: the port's GID table, prefixes, multicast, text. The table is
 * filled when the port is created and never changes after that. Index 0 is the
 * link-local address made of the MAC address (RFC 4291, appendix A).
 */
#include <arpa/inet.h>
#include <errno.h>

#include "net_impl.h"

/* An address that a host can have. Broadcast of a prefix is not known here. */
bool gid_is_unicast(const uint8_t gid[16])
{
	static const uint8_t zero[16], loopback[16] = { [15] = 1 };

	if (phca_gid_is_ip4(gid))
		return gid[12] != 0 && gid[12] != 127 && gid[12] < 0xe0;
	return gid[0] != 0xff && memcmp(gid, zero, 16) != 0 && memcmp(gid, loopback, 16) != 0;
}

/* Multicast: the MAC address is computed (RFC 1112 6.4, RFC 2464 7). */
bool gid_multicast_mac(const uint8_t gid[16], uint8_t mac[6])
{
	if (!phca_gid_is_multicast(gid))
		return false;
	if (phca_gid_is_ip4(gid)) {
		mac[0] = 0x01;
		mac[1] = 0x00;
		mac[2] = 0x5e;
		mac[3] = gid[13] & 0x7f;
		memcpy(mac + 4, gid + 14, 2);
		return true;
	}
	mac[0] = 0x33;
	mac[1] = 0x33;
	memcpy(mac + 2, gid + 12, 4);
	return true;
}

static const uint8_t solicited_node[13] = { 0xff, 0x02, [11] = 0x01, [12] = 0xff };

/* Neighbours ask for GID idx by its group (RFC 4861 7.2.1). PHCA_GID_MAX groups find room. */
void gid_join_solicited_node(struct phca_net *net, unsigned int idx)
{
	uint8_t group[16];

	if (!net->prefixes[idx].ip6)
		return;
	memcpy(group, solicited_node, sizeof(solicited_node));
	memcpy(group + 13, net->gids[idx] + 13, 3);
	(void)phca_net_mcast_join(net, group);
}

/* ff02::1:ffXX:XXXX of one of the port's addresses (RFC 4291 2.7.1)? */
bool gid_is_solicited_node(const struct phca_net *net, const uint8_t ip6[16])
{
	if (memcmp(ip6, solicited_node, sizeof(solicited_node)) != 0)
		return false;
	for (unsigned int i = 0; i < net->nb_gids; i++)
		if (net->prefixes[i].ip6 && memcmp(ip6 + 13, net->gids[i] + 13, 3) == 0)
			return true;
	return false;
}

static void prefix_set(struct prefix *p, const uint8_t gid[16], unsigned int len, bool ip6)
{
	uint8_t mask[16];

	p->ip6 = ip6;
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int bits = len > 8 * i ? len - 8 * i : 0;

		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00u >> bits);
	}
	p->mask[0] = load64(mask);
	p->mask[1] = load64(mask + 8);
	p->net[0] = load64(gid) & p->mask[0];
	p->net[1] = load64(gid + 8) & p->mask[1];
}

int gid_add(struct phca_net *net, const uint8_t gid[16], uint8_t prefix_len, bool ip6)
{
	unsigned int i = net->nb_gids;

	if (i == PHCA_GID_MAX)
		return -ENOSPC;
	if (ip6 == phca_gid_is_ip4(gid) || prefix_len > (ip6 ? 128 : 32) || !gid_is_unicast(gid))
		return -EINVAL;
	if (phca_net_gid_find(net, gid) >= 0)
		return -EEXIST;
	memcpy(net->gids[i], gid, 16);
	prefix_set(&net->prefixes[i], gid, ip6 ? prefix_len : 96u + prefix_len, ip6);
	if (!ip6)
		net->ip4[net->nb_ip4++] = load32(gid + 12);
	net->nb_gids++;
	return 0;
}

/* Is the destination a station on the port's own link? */
bool gid_on_link(const struct phca_net *net, const uint8_t gid[16], bool ip6)
{
	uint64_t hi = load64(gid), lo = load64(gid + 8);

	for (unsigned int i = 0; i < net->nb_gids; i++) {
		const struct prefix *p = &net->prefixes[i];
		uint64_t host = ~p->mask[1];

		if (p->ip6 != ip6 || (hi & p->mask[0]) != p->net[0] || (lo & p->mask[1]) != p->net[1])
			continue;
		/* IPv4 network and broadcast addresses are nobody's (/31: RFC 3021) */
		if (!ip6 && __builtin_popcountll(host) > 1 &&
				((lo & host) == 0 || (lo & host) == host))
			continue;
		return true;
	}
	return false;
}

unsigned int phca_net_nb_gids(const struct phca_net *net)
{
	return net->nb_gids;
}

const uint8_t *phca_net_gid(const struct phca_net *net, unsigned int idx)
{
	return idx < net->nb_gids ? net->gids[idx] : NULL;
}

int phca_net_gid_find(const struct phca_net *net, const uint8_t gid[16])
{
	uint64_t hi = load64(gid), lo = load64(gid + 8);

	for (unsigned int i = 0; i < net->nb_gids; i++)
		if (load64(net->gids[i]) == hi && load64(net->gids[i] + 8) == lo)
			return (int)i;
	return -ENOENT;
}

bool phca_net_is_own(const struct phca_net *net, const uint8_t gid[16])
{
	return phca_net_gid_find(net, gid) >= 0;
}

int phca_gid_parse(const char *text, uint8_t gid[16], bool *ip6)
{
	uint8_t ip4[4];

	if (inet_pton(AF_INET, text, ip4) == 1)
		phca_gid_from_ip4(gid, ip4);
	else if (inet_pton(AF_INET6, text, gid) != 1)
		return -EINVAL;
	*ip6 = !phca_gid_is_ip4(gid);
	return 0;
}

const char *phca_gid_str(const uint8_t gid[16], char *buf)
{
	/* 46 bytes are INET6_ADDRSTRLEN: this cannot fail. */
	if (phca_gid_is_ip4(gid))
		inet_ntop(AF_INET, gid + 12, buf, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, gid, buf, INET6_ADDRSTRLEN);
	return buf;
}

/* Of link-local scope: an address, or a multicast group (RFC 4291 2.7). */
static bool is_link_local(const uint8_t gid[16])
{
	return (gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80) || (gid[0] == 0xff && (gid[1] & 0xf) == 2);
}

int phca_net_gid_for(const struct phca_net *net, const uint8_t dgid[16])
{
	int best = -ENOENT;

	for (unsigned int i = 0; i < phca_net_nb_gids(net); i++) {
		const uint8_t *gid = phca_net_gid(net, i);

		if (phca_gid_is_ip4(gid) != phca_gid_is_ip4(dgid))
			continue;
		if (is_link_local(gid) == is_link_local(dgid))
			return (int)i;
		if (best < 0)
			best = (int)i;
	}
	return best;
}
