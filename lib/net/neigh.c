/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The neighbour table: who is where, asked for and confirmed as RFC 4861 7.3
 * has it, for ARP and NDP alike. One HCA lcore owns it; the others see what
 * state_set() publishes of it (lookup.c), and their use counts as the owner's.
 *
 * A full table evicts by one rule, so that neither a flood of ARP nor an
 * application that sends to everyone takes the places of peers in use:
 *  - static entries are never evicted, by anything;
 *  - what others tell us takes only the place of an entry that was told in the
 *    same way and that our own traffic never used;
 *  - our own traffic may also take the place of an entry that did not answer or
 *    was not used for a minute; never of one that is in use or being asked for;
 *  - a static entry takes any place that is not static.
 * Victims are found by a clock hand, so the oldest goes first. No place: what was
 * told is ignored, and our own request fails. Only stations on the port's
 * prefixes and its gateways get a place at all.
 *
 * Invariant: an entry is on the probe list exactly while it is ASKING or PROBE,
 * on the held list exactly while it is NO_ANSWER; both are ordered by due_ns.
 */
#include <errno.h>
#include <stdio.h>

#include <rte_errno.h>
#include <rte_jhash.h>
#include <rte_random.h>

#include "net_impl.h"

/* A GID lies anywhere in a frame: rte_jhash() would read it as words. */
static uint32_t gid_hash(const void *gid, uint32_t len, uint32_t seed)
{
	uint32_t words[4];

	(void)len;
	memcpy(words, gid, sizeof(words));
	return rte_jhash_32b(words, 4, seed);
}

int neigh_init(struct phca_net *net, int socket_id)
{
	char name[RTE_HASH_NAMESIZE];
	/* Twice the room, so that no set of addresses is refused; keyed, so that
	 * nobody outside can make them collide. */
	struct rte_hash_parameters p = {
		.name = name, .entries = 2 * PHCA_NEIGH_MAX, .key_len = 16,
		.hash_func = gid_hash, .hash_func_init_val = (uint32_t)rte_rand(),
		.socket_id = socket_id,
		/* Other lcores look up meanwhile. What they find may have been taken
		 * away and its place used again: they check the entry itself. */
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	snprintf(name, sizeof(name), "phca_neigh_%u", net->port_id);
	TAILQ_INIT(&net->probe_list);
	TAILQ_INIT(&net->held_list);
	net->hash = rte_hash_create(&p);
	return net->hash == NULL ? -rte_errno : 0;
}

void neigh_fini(struct phca_net *net)
{
	rte_hash_free(net->hash);
}

struct neigh *neigh_find(const struct phca_net *net, const uint8_t gid[16])
{
	void *e;

	if (rte_hash_lookup_data(net->hash, gid, &e) < 0)
		return NULL;
	return e;
}

static bool has_mac(const struct neigh *e)
{
	return e->state == NEIGH_STATIC || e->state == NEIGH_REACHABLE ||
		e->state == NEIGH_STALE || e->state == NEIGH_PROBE;
}

static bool probing(const struct neigh *e)
{
	return e->state == NEIGH_ASKING || e->state == NEIGH_PROBE;
}

/* What users are told of it. */
static enum phca_neigh_state state_told(const struct neigh *e)
{
	return has_mac(e) ? PHCA_NEIGH_READY :
		e->state == NEIGH_NO_ANSWER ? PHCA_NEIGH_FAILED : PHCA_NEIGH_PENDING;
}

/* Where a state changes and, before it, the MAC address: keeps the lists, tells the others. */
static void state_set(struct phca_net *net, struct neigh *e, enum neigh_is state, uint64_t now_ns)
{
	if (probing(e))
		TAILQ_REMOVE(&net->probe_list, e, listed);
	else if (e->state == NEIGH_NO_ANSWER)
		TAILQ_REMOVE(&net->held_list, e, listed);
	e->state = (uint8_t)state;
	if (probing(e)) {
		e->probes = 0;
		e->due_ns = now_ns;
		TAILQ_INSERT_HEAD(&net->probe_list, e, listed); /* nothing is due earlier */
		net->poll_ns = RTE_MIN(net->poll_ns, now_ns);
	} else if (state == NEIGH_NO_ANSWER) {
		e->due_ns = now_ns + HOLD_NS;
		TAILQ_INSERT_TAIL(&net->held_list, e, listed); /* all are held equally long */
	}
	view_write(net, e, state_told(e));
}

static void forget(struct phca_net *net, struct neigh *e)
{
	int32_t pos;

	state_set(net, e, NEIGH_FREE, 0);
	pos = rte_hash_del_key(net->hash, e->gid);
	if (pos >= 0)
		rte_hash_free_key_with_position(net->hash, pos);
	net->nb_neighs--;
}

/* On whose behalf a place is wanted. */
enum wanted { FOR_TOLD, FOR_OWN_TRAFFIC, FOR_STATIC };

static bool evictable(const struct neigh *e, enum wanted why, uint64_t now_ns)
{
	if (e->state == NEIGH_STATIC)
		return false;
	if (why == FOR_STATIC || (e->state == NEIGH_STALE && !e->used))
		return true;
	if (why == FOR_TOLD || probing(e))
		return false;
	return e->state == NEIGH_NO_ANSWER || now_ns - e->used_ns >= IN_USE_NS;
}

/* Find a place for gid, which is not in the table. NULL: none to be had. */
static struct neigh *place(struct phca_net *net, const uint8_t gid[16], enum wanted why,
		uint64_t now_ns)
{
	struct neigh *e = NULL;

	for (uint32_t i = 0; i < PHCA_NEIGH_MAX && e == NULL; i++) {
		struct neigh *c = &net->neighs[net->hand];

		net->hand = (net->hand + 1) % PHCA_NEIGH_MAX;
		if (c->state == NEIGH_FREE)
			e = c;
		else if (net->nb_neighs == PHCA_NEIGH_MAX && evictable(c, why, now_ns))
			e = c;
	}
	if (e == NULL)
		return NULL;
	if (e->state != NEIGH_FREE)
		forget(net, e);
	if (rte_hash_add_key_data(net->hash, gid, e) < 0)
		return NULL;
	memset(e, 0, sizeof(*e));
	memcpy(e->gid, gid, 16);
	(void)touched_take(net, (unsigned int)(e - net->neighs)); /* whoever had the place */
	e->used_ns = now_ns;
	net->nb_neighs++;
	return e;
}

static bool wanted_station(const struct phca_net *net, const uint8_t gid[16])
{
	return (net->has_gw4 && memcmp(gid, net->gw4, 16) == 0) ||
		(net->has_gw6 && memcmp(gid, net->gw6, 16) == 0) ||
		gid_on_link(net, gid, !phca_gid_is_ip4(gid));
}

/* A neighbour tells its MAC address. Returns whether it is in the table. */
bool neigh_hear(struct phca_net *net, const uint8_t gid[16], const uint8_t mac[6],
		enum neigh_heard how, uint64_t now_ns)
{
	struct neigh *e = neigh_find(net, gid);
	bool asked, same;

	if (e == NULL) {
		if (how != HEARD_ASKING_US || !wanted_station(net, gid))
			return false;
		e = place(net, gid, FOR_TOLD, now_ns);
		if (e == NULL)
			return false;
		memcpy(e->mac, mac, 6);
		state_set(net, e, NEIGH_STALE, now_ns);
		return true;
	}
	if (e->state == NEIGH_STATIC)
		return true;
	asked = probing(e);
	same = has_mac(e) && memcmp(e->mac, mac, 6) == 0;
	memcpy(e->mac, mac, 6);
	if (how == HEARD_ANSWERING && asked) {
		e->confirmed_ns = now_ns;
		state_set(net, e, NEIGH_REACHABLE, now_ns);
	} else if (!same) {
		/* Believed, but to be confirmed when it is used. */
		state_set(net, e, NEIGH_STALE, now_ns);
	}
	return true;
}

/* Somebody says otherwise, without the right to override (RFC 4861 7.2.5). */
void neigh_doubt(struct neigh *e)
{
	if (e->state == NEIGH_REACHABLE)
		e->state = NEIGH_STALE;
}

static enum phca_neigh_state ask(struct phca_net *net, struct neigh *e, unsigned int sgid,
		uint64_t now_ns)
{
	e->sgid = (uint8_t)sgid;
	e->used = true;
	e->used_ns = now_ns;
	state_set(net, e, NEIGH_ASKING, now_ns);
	return PHCA_NEIGH_PENDING;
}

/* Own traffic goes there: confirm what is in doubt. */
static void use(struct phca_net *net, struct neigh *e, unsigned int sgid, uint64_t now_ns)
{
	e->used = true;
	e->used_ns = now_ns;
	if (unlikely(e->state == NEIGH_STALE || (e->state == NEIGH_REACHABLE &&
			now_ns - e->confirmed_ns >= REACHABLE_NS))) {
		e->sgid = (uint8_t)sgid;
		state_set(net, e, NEIGH_PROBE, now_ns);
	}
}

static enum phca_neigh_state resolve(struct phca_net *net, unsigned int sgid, const uint8_t gid[16],
		uint8_t mac[6], uint64_t now_ns)
{
	struct neigh *e = neigh_find(net, gid);

	if (unlikely(e == NULL)) {
		e = place(net, gid, FOR_OWN_TRAFFIC, now_ns);
		return e == NULL ? PHCA_NEIGH_FAILED : ask(net, e, sgid, now_ns);
	}
	if (unlikely(!has_mac(e))) {
		if (e->state == NEIGH_ASKING)
			return PHCA_NEIGH_PENDING;
		if (now_ns < e->due_ns)
			return PHCA_NEIGH_FAILED;
		return ask(net, e, sgid, now_ns);
	}
	memcpy(mac, e->mac, 6);
	use(net, e, sgid, now_ns);
	return PHCA_NEIGH_READY;
}

enum hop next_hop(const struct phca_net *net, unsigned int sgid, const uint8_t dgid[16],
		uint8_t mac[6], const uint8_t **gw)
{
	bool ip6 = !phca_gid_is_ip4(dgid);

	*gw = NULL;
	if (unlikely(sgid >= net->nb_gids || net->prefixes[sgid].ip6 != ip6))
		return HOP_NONE;
	if (unlikely(gid_multicast_mac(dgid, mac)))
		return HOP_MAC;
	if (unlikely(!gid_is_unicast(dgid)))
		return HOP_NONE;
	if (unlikely(phca_net_is_own(net, dgid))) {
		memcpy(mac, net->mac, 6);
		return HOP_MAC;
	}
	if (likely(gid_on_link(net, dgid, ip6)))
		return HOP_LINK;
	if (ip6 ? net->has_gw6 : net->has_gw4)
		*gw = ip6 ? net->gw6 : net->gw4;
	return HOP_FAR;
}

enum phca_neigh_state phca_net_resolve(struct phca_net *net, unsigned int sgid_index,
		const uint8_t dgid[16], uint8_t mac[6], uint64_t now_ns)
{
	const uint8_t *gw;

	switch (next_hop(net, sgid_index, dgid, mac, &gw)) {
	case HOP_MAC:
		return PHCA_NEIGH_READY;
	case HOP_LINK:
		return resolve(net, sgid_index, dgid, mac, now_ns);
	case HOP_FAR:
		/* A static neighbour need not be on a prefix. */
		if (neigh_find(net, dgid) != NULL)
			return resolve(net, sgid_index, dgid, mac, now_ns);
		return gw == NULL ? PHCA_NEIGH_FAILED : resolve(net, sgid_index, gw, mac, now_ns);
	default:
		return PHCA_NEIGH_FAILED;
	}
}

int phca_net_neigh_add(struct phca_net *net, const uint8_t gid[16], const uint8_t mac[6])
{
	struct neigh *e;

	if (!gid_is_unicast(gid) || !mac_ok(mac) || phca_net_gid_find(net, gid) >= 0)
		return -EINVAL;
	e = neigh_find(net, gid);
	if (e == NULL)
		e = place(net, gid, FOR_STATIC, 0);
	if (e == NULL)
		return -ENOSPC;
	memcpy(e->mac, mac, 6);
	state_set(net, e, NEIGH_STATIC, 0);
	return 0;
}

/* Three probes went unanswered. Whoever is in use is asked for by broadcast. */
static void no_answer(struct phca_net *net, struct neigh *e, uint64_t now_ns)
{
	state_set(net, e, e->state == NEIGH_PROBE ? NEIGH_ASKING : NEIGH_NO_ANSWER, now_ns);
}

static struct rte_mbuf *probe_frame(struct phca_net *net, const struct neigh *e)
{
	const uint8_t *dmac = e->state == NEIGH_PROBE ? e->mac : NULL;

	if (phca_gid_is_ip4(e->gid))
		return arp_request(net, e->sgid, e->gid + 12, dmac);
	return nd_solicit(net, e->sgid, e->gid, dmac);
}

/* Probes that are due. *next: when the next one is. */
static unsigned int probes_run(struct phca_net *net, uint64_t now_ns, struct rte_mbuf **out,
		unsigned int n, uint64_t *next)
{
	unsigned int done = 0;
	struct neigh *e;

	while ((e = TAILQ_FIRST(&net->probe_list)) != NULL && e->due_ns <= now_ns) {
		if (e->probes == PROBE_MAX) {
			no_answer(net, e, now_ns);
			continue;
		}
		if (done == n || (out[done] = probe_frame(net, e)) == NULL) {
			*next = now_ns; /* no room or no buffer: go on next time */
			return done;
		}
		done++;
		e->probes++;
		e->due_ns = now_ns + PROBE_GAP_NS;
		TAILQ_REMOVE(&net->probe_list, e, listed);
		TAILQ_INSERT_TAIL(&net->probe_list, e, listed);
	}
	if (e != NULL)
		*next = RTE_MIN(*next, e->due_ns);
	return done;
}

static unsigned int announce_run(struct phca_net *net, uint64_t now_ns, struct rte_mbuf **out,
		unsigned int n, uint64_t *next)
{
	unsigned int done = 0;

	if (net->announce_left == 0)
		return 0;
	if (now_ns < net->announce_ns) {
		*next = RTE_MIN(*next, net->announce_ns);
		return 0;
	}
	for (; net->announce_gid < net->nb_gids; net->announce_gid++) {
		unsigned int i = net->announce_gid;

		if (done == n) {
			*next = now_ns;
			return done;
		}
		out[done] = net->prefixes[i].ip6 ? nd_announce(net, i) :
			arp_request(net, i, net->gids[i] + 12, NULL);
		if (out[done] == NULL) {
			*next = now_ns;
			return done;
		}
		done++;
	}
	net->announce_gid = 0;
	net->announce_ns = now_ns + ANNOUNCE_NS;
	if (--net->announce_left > 0)
		*next = RTE_MIN(*next, net->announce_ns);
	return done;
}

/* Whoever did not answer may be asked again. */
static void held_run(struct phca_net *net, uint64_t now_ns, uint64_t *next)
{
	struct neigh *e;

	while ((e = TAILQ_FIRST(&net->held_list)) != NULL && e->due_ns <= now_ns)
		forget(net, e);
	if (e != NULL)
		*next = RTE_MIN(*next, e->due_ns);
}

/* What other lcores used since the last time is as if the owner had used it now. */
static void touched_run(struct phca_net *net, uint64_t now_ns)
{
	for (unsigned int i = 0; i < PHCA_NEIGH_MAX; i++) {
		unsigned int touched = touched_take(net, i);
		struct neigh *e = &net->neighs[i];

		/* the place may have changed hands since */
		if (touched != 0 && has_mac(e) &&
				net->prefixes[touched - 1].ip6 == !phca_gid_is_ip4(e->gid))
			use(net, e, touched - 1, now_ns);
	}
}

/* Forget what nobody used for long; some entries a second. */
static void sweep_run(struct phca_net *net, uint64_t now_ns, uint64_t *next)
{
	if (now_ns >= net->sweep_ns) {
		touched_run(net, now_ns);
		for (uint32_t i = 0; i < SWEEP_STEP; i++) {
			struct neigh *e = &net->neighs[net->sweep];

			net->sweep = (net->sweep + 1) % PHCA_NEIGH_MAX;
			if (e->state == NEIGH_FREE || e->state == NEIGH_STATIC || probing(e))
				continue;
			if (now_ns - e->used_ns >= AGE_NS)
				forget(net, e);
		}
		net->sweep_ns = now_ns + SWEEP_NS;
	}
	*next = RTE_MIN(*next, net->sweep_ns);
}

unsigned int phca_net_poll(struct phca_net *net, uint64_t now_ns, struct rte_mbuf **out, unsigned int n)
{
	uint64_t next = UINT64_MAX;
	unsigned int done;

	if (likely(now_ns < net->poll_ns && !__atomic_load_n(&net->group_news, __ATOMIC_RELAXED)))
		return 0;
	done = announce_run(net, now_ns, out, n, &next);
	done += group_run(net, now_ns, out + done, n - done, &next);
	sweep_run(net, now_ns, &next); /* may find neighbours to probe */
	done += probes_run(net, now_ns, out + done, n - done, &next);
	held_run(net, now_ns, &next);
	net->poll_ns = next;
	return done;
}

unsigned int phca_net_neigh_dump(const struct phca_net *net, struct phca_neigh_info *out, unsigned int n)
{
	unsigned int done = 0;

	for (uint32_t i = 0; i < PHCA_NEIGH_MAX && done < n; i++) {
		const struct neigh *e = &net->neighs[i];

		if (e->state == NEIGH_FREE)
			continue;
		memset(&out[done], 0, sizeof(out[done]));
		memcpy(out[done].gid, e->gid, 16);
		if (has_mac(e))
			memcpy(out[done].mac, e->mac, 6);
		out[done].is_static = e->state == NEIGH_STATIC;
		out[done].state = state_told(e);
		done++;
	}
	return done;
}
