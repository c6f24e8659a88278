/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Multicast groups: which ones the port is a member of, what its device lets in,
 * and when routers and snooping switches are told (RFC 3376 5, RFC 3810 6; a
 * member takes every source). Control threads count members in slots; the owner
 * of the port sees a slot's change by its number, reports it as often as the
 * robustness variable says, and answers queries after a random time.
 *
 * Invariant: a slot's GID does not change while done differs from want; the owner
 * makes them equal when there is no member and no report left, and reads the GID
 * only before that.
 */
#include <errno.h>

#include <rte_ethdev.h>
#include <rte_random.h>

#include "net_impl.h"

#define ROBUSTNESS  2u                /* RFC 3376 8.1, RFC 3810 9.1 */
#define REPEAT_NS   ONE_S             /* Unsolicited Report Interval, both */
#define OLD_NS      (260 * ONE_S)     /* Older Version Querier Present Timeout, by default */
#define NEVER       UINT64_MAX
#define MACS_MAX    (PHCA_NET_GROUP_MAX + 2)

/* --------------------------------------------------------- control threads */

static int slot_find(const struct phca_net *net, const uint8_t mgid[16])
{
	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX; i++)
		if (net->slots[i].want != 0 && memcmp(net->slots[i].gid, mgid, 16) == 0)
			return (int)i;
	return -ENOENT;
}

/* A slot without a member, and with nothing left to tell of the last one. */
static int slot_free(const struct phca_net *net)
{
	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX; i++) {
		const struct group_slot *s = &net->slots[i];

		if (net->members[i] == 0 && __atomic_load_n(&s->done, __ATOMIC_ACQUIRE) == s->want)
			return (int)i;
	}
	return -ENOSPC;
}

static void slot_change(struct phca_net *net, struct group_slot *s)
{
	__atomic_store_n(&s->want, s->want + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&net->group_news, true, __ATOMIC_RELEASE);
}

static unsigned int mac_put(struct rte_ether_addr *macs, unsigned int n, const uint8_t gid[16])
{
	struct rte_ether_addr mac;

	gid_multicast_mac(gid, mac.addr_bytes);
	for (unsigned int i = 0; i < n; i++)
		if (memcmp(&macs[i], &mac, sizeof(mac)) == 0)
			return n;
	macs[n] = mac;
	return n + 1;
}

/* The groups' MAC addresses to the device. */
static int filter_list(struct phca_net *net)
{
	static const uint8_t all4[16] = { [10] = 0xff, 0xff, 224, 0, 0, 1 };
	static const uint8_t all6[16] = { 0xff, 0x02, [15] = 1 };
	struct rte_ether_addr macs[MACS_MAX];
	unsigned int n = mac_put(macs, 0, all4); /* queries, advertisements */

	n = mac_put(macs, n, all6);
	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX; i++)
		if (net->members[i] != 0)
			n = mac_put(macs, n, net->slots[i].gid);
	return rte_eth_dev_set_mc_addr_list(net->port_id, macs, n);
}

bool group_filter_start(struct phca_net *net)
{
	net->mc_list = filter_list(net) == 0;
	return net->mc_list || rte_eth_allmulticast_enable(net->port_id) == 0;
}

static void filter_update(struct phca_net *net)
{
	if (!net->started || !net->mc_list || filter_list(net) == 0)
		return;
	net->mc_list = false; /* too many for the device, say */
	if (rte_eth_allmulticast_enable(net->port_id) < 0 &&
			rte_eth_promiscuous_enable(net->port_id) < 0)
		NET_LOG(WARNING, "port %u: driver refuses the multicast groups' MAC addresses and has no "
			"mode that lets all in; packets to some groups may not arrive: use fewer\n",
			net->port_id);
}

int phca_net_mcast_join(struct phca_net *net, const uint8_t mgid[16])
{
	int i;

	if (!phca_gid_is_multicast(mgid))
		return -EINVAL;
	if (phca_gid_is_ip4(mgid) && net->nb_ip4 == 0)
		return -EADDRNOTAVAIL;
	i = slot_find(net, mgid);
	if (i < 0) {
		i = slot_free(net);
		if (i < 0)
			return i;
		memcpy(net->slots[i].gid, mgid, 16);
	}
	if (net->members[i]++ > 0)
		return 0;
	slot_change(net, &net->slots[i]);
	filter_update(net);
	return 0;
}

int phca_net_mcast_leave(struct phca_net *net, const uint8_t mgid[16])
{
	int i = slot_find(net, mgid);

	if (i < 0 || net->members[i] == 0)
		return -ENOENT;
	if (--net->members[i] > 0)
		return 0;
	slot_change(net, &net->slots[i]);
	filter_update(net);
	return 0;
}

unsigned int phca_net_mcast_dump(const struct phca_net *net, struct phca_net_group *out, unsigned int n)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX && done < n; i++) {
		if (net->members[i] == 0)
			continue;
		memcpy(out[done].gid, net->slots[i].gid, 16);
		out[done++].members = net->members[i];
	}
	return done;
}

/* ----------------------------------------------------------- the port's owner */

/* Nobody needs to know (RFC 3376 5, RFC 3810 6): all nodes, and what stays on the link or host. */
static bool reported(const uint8_t gid[16])
{
	static const uint8_t all4[4] = { 224, 0, 0, 1 }, all6[16] = { 0xff, 0x02, [15] = 1 };

	if (phca_gid_is_ip4(gid))
		return memcmp(gid + 12, all4, 4) != 0;
	return (gid[1] & 0xf) > 1 && memcmp(gid, all6, 16) != 0;
}

/* 1 ns to max. */
static uint64_t random_ns(uint64_t max_ns)
{
	return 1 + rte_rand() % max_ns;
}

static void due(struct phca_net *net, uint64_t at_ns)
{
	net->groups_ns = RTE_MIN(net->groups_ns, at_ns);
	net->poll_ns = RTE_MIN(net->poll_ns, at_ns);
}

static void slot_take(struct phca_net *net, unsigned int i, uint32_t want, uint64_t now_ns)
{
	struct group_slot *s = &net->slots[i];
	struct group *g = &net->groups[i];

	g->seen = want;
	g->member = want % 2 != 0;
	g->answer_ns = NEVER;
	g->change_ns = now_ns;
	g->left = reported(s->gid) ? ROBUSTNESS : 0;
	if (g->left > 0)
		due(net, now_ns);
	else if (!g->member)
		__atomic_store_n(&s->done, want, __ATOMIC_RELEASE);
}

static void news_take(struct phca_net *net, uint64_t now_ns)
{
	/* Cleared first: what comes meanwhile is news again. */
	__atomic_store_n(&net->group_news, false, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX; i++) {
		uint32_t want = __atomic_load_n(&net->slots[i].want, __ATOMIC_ACQUIRE);

		if (want != net->groups[i].seen)
			slot_take(net, i, want, now_ns);
	}
}

void group_restart(struct phca_net *net)
{
	net->groups_ns = NEVER;
	net->old_until_ns[0] = net->old_until_ns[1] = 0;
	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX; i++)
		if (net->slots[i].want != net->slots[i].done)
			slot_take(net, i, net->slots[i].want, 0);
}

void group_query(struct phca_net *net, const struct group_query *q, uint64_t now_ns)
{
	if (q->old)
		net->old_until_ns[q->ip6] = now_ns + OLD_NS;
	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX; i++) {
		struct group *g = &net->groups[i];
		const uint8_t *gid = net->slots[i].gid;

		if (!g->member || phca_gid_is_ip4(gid) == q->ip6 || !reported(gid) ||
				(q->gid != NULL && memcmp(gid, q->gid, 16) != 0))
			continue;
		g->answer_ns = RTE_MIN(g->answer_ns, now_ns + random_ns(q->max_ns));
		due(net, g->answer_ns);
	}
}

static bool change_due(const struct group *g, uint64_t now_ns)
{
	return g->left > 0 && g->change_ns <= now_ns;
}

/* What is due of a family, as records of one report. Returns how many. */
static unsigned int records(const struct phca_net *net, bool ip6, uint64_t now_ns,
		struct group_record *r, unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX && n < max; i++) {
		const struct group *g = &net->groups[i];

		if (change_due(g, now_ns))
			r[n].type = g->member ? GROUP_TO_EXCLUDE : GROUP_TO_INCLUDE;
		else if (g->member && g->answer_ns <= now_ns)
			r[n].type = GROUP_IS_EXCLUDE;
		else
			continue; /* its GID may be changing */
		if (phca_gid_is_ip4(net->slots[i].gid) == ip6)
			continue;
		r[n].slot = i;
		r[n++].gid = net->slots[i].gid;
	}
	return n;
}

/* The report has these records: what they said need not be said now. */
static void records_sent(struct phca_net *net, const struct group_record *r, unsigned int n,
		uint64_t now_ns)
{
	for (unsigned int i = 0; i < n; i++) {
		struct group *g = &net->groups[r[i].slot];

		g->answer_ns = NEVER;
		if (r[i].type == GROUP_IS_EXCLUDE)
			continue;
		g->change_ns = now_ns + random_ns(REPEAT_NS);
		if (--g->left == 0 && !g->member)
			__atomic_store_n(&net->slots[r[i].slot].done, g->seen, __ATOMIC_RELEASE);
	}
}

static unsigned int reports(struct phca_net *net, bool ip6, uint64_t now_ns, struct rte_mbuf **out,
		unsigned int n, bool *stuck)
{
	bool old = now_ns < net->old_until_ns[ip6];
	struct group_record r[GROUP_RECORDS];
	unsigned int done = 0, nb;

	while ((nb = records(net, ip6, now_ns, r, old ? 1 : GROUP_RECORDS)) > 0) {
		*stuck = done == n || (out[done] = ip6 ? mld_report(net, r, nb, old) :
			igmp_report(net, r, nb, old)) == NULL;
		if (*stuck)
			break;
		done++;
		records_sent(net, r, nb, now_ns);
	}
	return done;
}

unsigned int group_run(struct phca_net *net, uint64_t now_ns, struct rte_mbuf **out, unsigned int n,
		uint64_t *next)
{
	bool stuck4 = false, stuck6 = false;
	unsigned int done;

	if (__atomic_load_n(&net->group_news, __ATOMIC_ACQUIRE))
		news_take(net, now_ns);
	if (now_ns < net->groups_ns) {
		*next = RTE_MIN(*next, net->groups_ns);
		return 0;
	}
	done = reports(net, false, now_ns, out, n, &stuck4);
	done += reports(net, true, now_ns, out + done, n - done, &stuck6);
	net->groups_ns = NEVER;
	for (unsigned int i = 0; i < PHCA_NET_GROUP_MAX; i++) {
		const struct group *g = &net->groups[i];

		if (g->left > 0)
			net->groups_ns = RTE_MIN(net->groups_ns, g->change_ns);
		if (g->member)
			net->groups_ns = RTE_MIN(net->groups_ns, g->answer_ns);
	}
	if (stuck4 || stuck6) /* no room or no buffer: go on next time */
		net->groups_ns = now_ns;
	*next = RTE_MIN(*next, net->groups_ns);
	return done;
}
