/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IGMP, versions 3 (RFC 3376) and 2 (RFC 2236): queries read, reports written.
 * It keeps: a query that a router of this link would not send has no effect.
 */
#include <rte_ip.h>

#include "net_impl.h"

#define IGMP_QUERY     0x11
#define IGMP2_REPORT   0x16
#define IGMP2_LEAVE    0x17
#define IGMP3_REPORT   0x22
#define IGMP2_LEN      8u
#define IGMP3_QUERY    12u            /* without sources */
#define RECORD_LEN     8u
#define CODE_NS        (ONE_S / 10)   /* unit of the Max Resp Code */
#define OLD_MAX_NS     (10 * ONE_S)   /* of a version 1 query, which does not say */
#define TOS_CONTROL    0xc0           /* RFC 3376 4 */
#define RA_LEN         4u             /* Router Alert option (RFC 2113) */
#define FRAG_MASK      0x3fff

static const uint8_t router_alert[RA_LEN] = { 0x94, 0x04, 0, 0 };
static const uint8_t all_systems[4] = { 224, 0, 0, 1 };
static const uint8_t all_routers[4] = { 224, 0, 0, 2 };
static const uint8_t igmp3_routers[4] = { 224, 0, 0, 22 };

/* Is the option among those of the header? */
static bool has_router_alert(const uint8_t *opt, uint32_t n)
{
	while (n >= 2 && opt[0] != 0) {
		uint32_t len = opt[0] == 1 ? 1 : opt[1];

		if (len == 0 || len > n)
			return false;
		if (opt[0] == router_alert[0])
			return len == RA_LEN;
		opt += len;
		n -= len;
	}
	return false;
}

/* RFC 3376 4.1.1: from 128 on a float with 4 bits of mantissa. */
static uint64_t max_resp_ns(uint8_t code)
{
	uint32_t v = code < 128 ? code : ((code & 0xfu) | 0x10u) << ((code >> 4 & 7u) + 3);

	return v == 0 ? 1 : v * CODE_NS;
}

/* The IP header is good, and the message too: its length, 0 when not. */
static uint32_t message(const uint8_t *f, uint32_t n, const uint8_t **igmp)
{
	uint32_t ihl, total;

	if (n < IP4_HDR || f[0] >> 4 != 4 || f[9] != IPPROTO_IGMP || f[8] != 1 ||
			(phca_get16(f + 6) & FRAG_MASK) != 0)
		return 0;
	ihl = (f[0] & 0xfu) * 4;
	total = phca_get16(f + 2);
	if (ihl < IP4_HDR || total > n || total < ihl + IGMP2_LEN ||
			phca_wire_csum(f, ihl, 0) != 0xffff ||
			phca_wire_csum(f + ihl, total - ihl, 0) != 0xffff)
		return 0;
	*igmp = f + ihl;
	return total - ihl;
}

enum phca_verdict igmp_input(struct phca_net *net, const uint8_t *f, uint32_t n, uint64_t now_ns)
{
	struct group_query q = { .ip6 = false };
	const uint8_t *igmp;
	uint32_t len = message(f, n, &igmp);
	uint8_t gid[16], dst[16];

	if (len == 0 || igmp[0] != IGMP_QUERY || (len > IGMP2_LEN && len < IGMP3_QUERY))
		return PHCA_V_NOT_ROCE;
	q.old = len == IGMP2_LEN;
	q.max_ns = q.old && igmp[1] == 0 ? OLD_MAX_NS : max_resp_ns(igmp[1]);
	/* RFC 3376 9.1: versions 2 and 3 have the option */
	if (!(q.old && igmp[1] == 0) && !has_router_alert(f + IP4_HDR, (f[0] & 0xfu) * 4 - IP4_HDR))
		return PHCA_V_NOT_ROCE;
	phca_gid_from_ip4(gid, igmp + 4);
	phca_gid_from_ip4(dst, f + 16);
	if (load32(igmp + 4) != 0) {
		if (!phca_gid_is_multicast(gid) || (memcmp(dst, gid, 16) != 0 && !phca_net_is_own(net, dst)))
			return PHCA_V_NOT_ROCE;
		q.gid = gid;
	} else if (memcmp(f + 16, all_systems, 4) != 0 && !phca_net_is_own(net, dst)) {
		return PHCA_V_NOT_ROCE;
	}
	group_query(net, &q, now_ns);
	return PHCA_V_GROUP_QUERY;
}

/* Header with Router Alert, len bytes behind it; the message's place, NULL without a buffer. */
static uint8_t *begin(struct phca_net *net, const uint8_t dst[4], uint32_t len, struct rte_mbuf **m)
{
	uint8_t gid[16], dmac[6], *ip;

	phca_gid_from_ip4(gid, dst);
	gid_multicast_mac(gid, dmac);
	*m = frame_new(net, dmac, RTE_ETHER_TYPE_IPV4, IP4_HDR + RA_LEN + len, &ip);
	if (*m == NULL)
		return NULL;
	ip[0] = 0x46;
	ip[1] = TOS_CONTROL;
	phca_put16(ip + 2, (uint16_t)(IP4_HDR + RA_LEN + len));
	ip[8] = 1;
	ip[9] = IPPROTO_IGMP;
	memcpy(ip + 12, &net->ip4[0], 4);
	memcpy(ip + 16, dst, 4);
	memcpy(ip + IP4_HDR, router_alert, RA_LEN);
	phca_put16(ip + 10, (uint16_t)~phca_wire_csum(ip, IP4_HDR + RA_LEN, 0));
	return ip + IP4_HDR + RA_LEN;
}

static struct rte_mbuf *report2(struct phca_net *net, const struct group_record *r)
{
	bool leave = r->type == GROUP_TO_INCLUDE;
	struct rte_mbuf *m;
	uint8_t *p = begin(net, leave ? all_routers : r->gid + 12, IGMP2_LEN, &m);

	if (p == NULL)
		return NULL;
	p[0] = leave ? IGMP2_LEAVE : IGMP2_REPORT;
	memcpy(p + 4, r->gid + 12, 4);
	phca_put16(p + 2, (uint16_t)~phca_wire_csum(p, IGMP2_LEN, 0));
	return m;
}

struct rte_mbuf *igmp_report(struct phca_net *net, const struct group_record *r, unsigned int n,
		bool old)
{
	uint32_t len = 8 + n * RECORD_LEN;
	struct rte_mbuf *m;
	uint8_t *p;

	if (old)
		return report2(net, r);
	p = begin(net, igmp3_routers, len, &m);
	if (p == NULL)
		return NULL;
	p[0] = IGMP3_REPORT;
	phca_put16(p + 6, (uint16_t)n);
	for (unsigned int i = 0; i < n; i++) {
		p[8 + i * RECORD_LEN] = (uint8_t)r[i].type;
		memcpy(p + 8 + i * RECORD_LEN + 4, r[i].gid + 12, 4);
	}
	phca_put16(p + 2, (uint16_t)~phca_wire_csum(p, len, 0));
	return m;
}
