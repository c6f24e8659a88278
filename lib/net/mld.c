/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MLD, versions 2 (RFC 3810) and 1 (RFC 2710): queries read, reports written. It
 * keeps: a query without what RFC 3810 6.2 asks for (link-local source, hop limit
 * 1, Router Alert) has no effect.
 */
#include <rte_ip.h>

#include "net_impl.h"

#define MLD_QUERY     130
#define MLD1_REPORT   131
#define MLD1_DONE     132
#define MLD2_REPORT   143
#define MLD1_LEN      24u
#define MLD2_QUERY    28u            /* without sources */
#define RECORD_LEN    20u
#define CODE_NS       (ONE_S / 1000) /* unit of the Maximum Response Code */
#define HBH_LEN       8u             /* hop-by-hop header: Router Alert, padding */
#define OPT_ROUTER_ALERT 5

static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 0x01 };
static const uint8_t all_routers[16] = { 0xff, 0x02, [15] = 0x02 };
static const uint8_t mld2_routers[16] = { 0xff, 0x02, [15] = 0x16 };

/* Is the option, for MLD (value 0, RFC 2711), among these? */
static bool has_router_alert(const uint8_t *opt, uint32_t n)
{
	while (n >= 1) {
		uint32_t len = opt[0] == 0 ? 1 : n < 2 ? n + 1 : opt[1] + 2u;

		if (len > n)
			return false;
		if (opt[0] == OPT_ROUTER_ALERT)
			return len == 4 && phca_get16(opt + 2) == 0;
		opt += len;
		n -= len;
	}
	return false;
}

/* RFC 3810 5.1.3: from 32768 on a float with 12 bits of mantissa. */
static uint64_t max_resp_ns(uint16_t code, bool old)
{
	uint64_t v = code < 32768 || old ? code :
		(uint64_t)((code & 0xfffu) | 0x1000u) << ((code >> 12 & 7u) + 3);

	return v == 0 ? 1 : v * CODE_NS;
}

/* Headers are good, and the message too: its length, 0 when not. */
static uint32_t message(const uint8_t *ip, uint32_t n, const uint8_t **mld)
{
	const uint8_t *hbh = ip + IP6_HDR;
	uint32_t len, hbh_len;

	if (n < IP6_HDR + HBH_LEN || ip[0] >> 4 != 6 || ip[6] != IPPROTO_HOPOPTS || ip[7] != 1)
		return 0;
	len = phca_get16(ip + 4);
	hbh_len = (hbh[1] + 1u) * 8;
	if (len > n - IP6_HDR || len < hbh_len + MLD1_LEN || hbh[0] != IPPROTO_ICMPV6 ||
			!has_router_alert(hbh + 2, hbh_len - 2))
		return 0;
	*mld = hbh + hbh_len;
	return icmp6_csum(ip, *mld, len - hbh_len) == 0xffff ? len - hbh_len : 0;
}

enum phca_verdict mld_input(struct phca_net *net, const uint8_t *ip, uint32_t n, uint64_t now_ns)
{
	static const uint8_t general[16];
	struct group_query q = { .ip6 = true };
	const uint8_t *mld, *dst = ip + 24;
	uint32_t len = message(ip, n, &mld);

	if (len == 0 || mld[0] != MLD_QUERY || mld[1] != 0 || (len > MLD1_LEN && len < MLD2_QUERY) ||
			ip[8] != 0xfe || (ip[9] & 0xc0) != 0x80)
		return PHCA_V_NOT_ROCE;
	q.old = len == MLD1_LEN;
	q.max_ns = max_resp_ns(phca_get16(mld + 4), q.old);
	if (memcmp(mld + 8, general, 16) != 0) {
		if (mld[8] != 0xff || (memcmp(dst, mld + 8, 16) != 0 && !phca_net_is_own(net, dst)))
			return PHCA_V_NOT_ROCE;
		q.gid = mld + 8;
	} else if (memcmp(dst, all_nodes, 16) != 0 && !phca_net_is_own(net, dst)) {
		return PHCA_V_NOT_ROCE;
	}
	group_query(net, &q, now_ns);
	return PHCA_V_GROUP_QUERY;
}

/* Headers, len bytes behind them; the message's place, NULL without a buffer. */
static uint8_t *begin(struct phca_net *net, const uint8_t dst[16], uint32_t len, struct rte_mbuf **m,
		uint8_t **ip)
{
	static const uint8_t hbh[HBH_LEN] = { IPPROTO_ICMPV6, 0, OPT_ROUTER_ALERT, 2, 0, 0, 1, 0 };
	uint8_t dmac[6];

	gid_multicast_mac(dst, dmac);
	*m = frame_new(net, dmac, RTE_ETHER_TYPE_IPV6, IP6_HDR + HBH_LEN + len, ip);
	if (*m == NULL)
		return NULL;
	(*ip)[0] = 0x60;
	phca_put16(*ip + 4, (uint16_t)(HBH_LEN + len));
	(*ip)[6] = IPPROTO_HOPOPTS;
	(*ip)[7] = 1;
	memcpy(*ip + 8, net->gids[0], 16); /* the link-local one */
	memcpy(*ip + 24, dst, 16);
	memcpy(*ip + IP6_HDR, hbh, HBH_LEN);
	return *ip + IP6_HDR + HBH_LEN;
}

static struct rte_mbuf *report1(struct phca_net *net, const struct group_record *r)
{
	bool leave = r->type == GROUP_TO_INCLUDE;
	struct rte_mbuf *m;
	uint8_t *ip, *p = begin(net, leave ? all_routers : r->gid, MLD1_LEN, &m, &ip);

	if (p == NULL)
		return NULL;
	p[0] = leave ? MLD1_DONE : MLD1_REPORT;
	memcpy(p + 8, r->gid, 16);
	phca_put16(p + 2, (uint16_t)~icmp6_csum(ip, p, MLD1_LEN));
	return m;
}

struct rte_mbuf *mld_report(struct phca_net *net, const struct group_record *r, unsigned int n,
		bool old)
{
	uint32_t len = 8 + n * RECORD_LEN;
	struct rte_mbuf *m;
	uint8_t *p, *ip;

	if (old)
		return report1(net, r);
	p = begin(net, mld2_routers, len, &m, &ip);
	if (p == NULL)
		return NULL;
	p[0] = MLD2_REPORT;
	phca_put16(p + 6, (uint16_t)n);
	for (unsigned int i = 0; i < n; i++) {
		p[8 + i * RECORD_LEN] = (uint8_t)r[i].type;
		memcpy(p + 8 + i * RECORD_LEN + 4, r[i].gid, 16);
	}
	phca_put16(p + 2, (uint16_t)~icmp6_csum(ip, p, len));
	return m;
}
