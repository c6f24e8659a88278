/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses: programs name a peer by its GID, the appliance finds its MAC (ARP, neighbour
 * discovery). And the way back: an address from a received datagram.
 *
 * Invariant: an address handle exists only for a destination whose MAC was found.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <netinet/ip.h>
#include <string.h>
#include <time.h>

#include "control.h"

#define RESOLVE_TRIES 3000 /* a millisecond apart */
#define PORT 1
#define NO_VLAN 0xffff
#define HOP_LIMIT 255 /* back over a path whose length is not known */

/* ------------------------------------------------------------------ conversion */

int av_from_attr(const struct ibv_ah_attr *attr, struct phca_av *av)
{
	if (!attr->is_global || attr->port_num > PORT)
		return EINVAL; /* RoCE has no local addresses; port 0 is what some leave there */
	memset(av, 0, sizeof(*av));
	memcpy(av->dgid, attr->grh.dgid.raw, sizeof(av->dgid));
	av->flow_label = attr->grh.flow_label & 0xfffff;
	av->sgid_index = attr->grh.sgid_index;
	av->hop_limit = attr->grh.hop_limit;
	av->traffic_class = attr->grh.traffic_class;
	av->sl = attr->sl;
	return 0;
}

void av_to_attr(const struct phca_av *av, struct ibv_ah_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	memcpy(attr->grh.dgid.raw, av->dgid, sizeof(av->dgid));
	attr->grh.flow_label = av->flow_label;
	attr->grh.sgid_index = av->sgid_index;
	attr->grh.hop_limit = av->hop_limit;
	attr->grh.traffic_class = av->traffic_class;
	attr->sl = av->sl;
	attr->is_global = 1;
	attr->port_num = PORT;
}

int av_resolve(struct vctx *ctx, const struct phca_av *av, uint8_t mac[6])
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct phca_admin_req req;
	struct phca_admin_ans ans;

	for (unsigned int i = 0; i < RESOLVE_TRIES; i++) {
		int rc;

		admin_req(&req, PHCA_ADMIN_RESOLVE);
		memcpy(req.u.resolve.dgid, av->dgid, sizeof(av->dgid));
		req.u.resolve.sgid_index = av->sgid_index;
		rc = admin_call(ctx, &req, &ans);
		if (rc == 0)
			memcpy(mac, ans.u.mac, 6);
		if (rc != -EAGAIN)
			return rc;
		nanosleep(&ms, NULL);
	}
	return -ETIMEDOUT;
}

/* -------------------------------------------------------------------- handles */

struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	struct vah *ah = calloc(1, sizeof(*ah));
	int rc;

	if (ah == NULL)
		return fail(ah, -ENOMEM);
	rc = -av_from_attr(attr, &ah->av);
	if (rc == 0)
		rc = av_resolve(to_vctx(pd->context), &ah->av, ah->av.dmac);
	if (rc != 0)
		return fail(ah, rc);
	ah->ah.context = pd->context;
	ah->ah.pd = pd;
	return &ah->ah;
}

int ibv_destroy_ah(struct ibv_ah *ah)
{
	free(to_vah(ah));
	return 0;
}

int ibv_resolve_eth_l2_from_gid(struct ibv_context *context, struct ibv_ah_attr *attr,
	uint8_t eth_mac[ETHERNET_LL_SIZE], uint16_t *vid)
{
	struct phca_av av;
	int rc = -av_from_attr(attr, &av);

	if (rc == 0)
		rc = av_resolve(to_vctx(context), &av, eth_mac);
	if (rc == 0 && vid != NULL)
		*vid = NO_VLAN;
	return -rc;
}

/* ----------------------------------------------------- from a received datagram */

/*
 * A RoCE v2 datagram over IPv4 leaves its IP header in the last 20 of the 40 bytes; the first
 * 20 are not defined. An IPv6 header fills all 40. Told apart by version, length and checksum.
 */
static bool is_ipv4(const struct ibv_grh *grh)
{
	const uint8_t *b = (const uint8_t *)grh + 20;
	uint32_t sum = 0;

	if (b[0] != 0x45)
		return false;
	for (unsigned int i = 0; i < 20; i += 2)
		sum += ((uint32_t)b[i] << 8) | b[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff || be32toh(grh->version_tclass_flow) >> 28 != 6;
}

static void map_ipv4(const uint8_t *addr, union ibv_gid *gid)
{
	memset(gid, 0, sizeof(*gid));
	gid->raw[10] = gid->raw[11] = 0xff;
	memcpy(gid->raw + 12, addr, 4);
}

static bool is_mapped(const uint8_t *gid)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(gid, prefix, sizeof(prefix)) == 0;
}

static bool is_multicast(const uint8_t *gid)
{
	return gid[0] == 0xff || (is_mapped(gid) && (gid[12] & 0xf0) == 0xe0);
}

/* Where an answer comes from: the address that was the destination, or, when that was a group, our first. */
static bool answers_for(const uint8_t *own, const uint8_t *dest)
{
	return is_multicast(dest) ? is_mapped(own) == is_mapped(dest) : memcmp(own, dest, 16) == 0;
}

/* @return 0 and *index; positive errno */
static int index_of_gid(struct ibv_context *c, const union ibv_gid *gid, uint8_t *index)
{
	struct phca_admin_gid gids[PHCA_ADMIN_GIDS_MAX];
	int n = admin_gids(to_vctx(c), gids);

	for (int i = 0; i < n; i++) {
		if (answers_for(gids[i].gid, gid->raw)) {
			*index = (uint8_t)gids[i].index;
			return 0;
		}
	}
	return n < 0 ? -n : ENOENT;
}

int ibv_init_ah_from_wc(struct ibv_context *context, uint8_t port_num, struct ibv_wc *wc,
	struct ibv_grh *grh, struct ibv_ah_attr *ah_attr)
{
	struct ibv_global_route *r = &ah_attr->grh;
	union ibv_gid mine;
	int rc;

	memset(ah_attr, 0, sizeof(*ah_attr));
	ah_attr->dlid = wc->slid;
	ah_attr->sl = wc->sl;
	ah_attr->src_path_bits = wc->dlid_path_bits;
	ah_attr->port_num = port_num;
	if (!(wc->wc_flags & IBV_WC_GRH))
		return 0;
	ah_attr->is_global = 1;
	if (is_ipv4(grh)) {
		const struct iphdr *ip = (const struct iphdr *)((const uint8_t *)grh + 20);

		map_ipv4((const uint8_t *)&ip->saddr, &r->dgid);
		map_ipv4((const uint8_t *)&ip->daddr, &mine);
		r->traffic_class = ip->tos;
	} else {
		uint32_t flow = be32toh(grh->version_tclass_flow);

		r->dgid = grh->sgid;
		mine = grh->dgid;
		r->flow_label = flow & 0xfffff;
		r->traffic_class = (uint8_t)(flow >> 20);
	}
	r->hop_limit = HOP_LIMIT;
	rc = index_of_gid(context, &mine, &r->sgid_index);
	if (rc != 0) {
		errno = rc;
		return -1;
	}
	return 0;
}

struct ibv_ah *ibv_create_ah_from_wc(struct ibv_pd *pd, struct ibv_wc *wc, struct ibv_grh *grh,
	uint8_t port_num)
{
	struct ibv_ah_attr attr;

	if (ibv_init_ah_from_wc(pd->context, port_num, wc, grh, &attr) != 0)
		return NULL;
	return ibv_create_ah(pd, &attr);
}
