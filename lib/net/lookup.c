/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours, as HCA lcores see them that do not own the port. The owner keeps a
 * view of each entry, under a version that is odd while it writes (a seqlock); a
 * reader that sees the version change looks again, some times, and then knows
 * nothing. It keeps: what a reader takes from a view belongs together, GID, MAC
 * address and state; no reader ever waits for the owner.
 *
 * Why no fence is needed: the owner stores words with release, so whoever has
 * read a new word with acquire has the odd version before it, too.
 */
#include "net_impl.h"

#define READ_TRIES 4

static uint64_t view_pack(const uint8_t mac[6], enum phca_neigh_state state)
{
	uint8_t b[8] = { [6] = (uint8_t)state };

	memcpy(b, mac, 6);
	return load64(b);
}

/* The owner: entry e is now in this state. */
void view_write(struct phca_net *net, const struct neigh *e, enum phca_neigh_state state)
{
	struct neigh_view *v = &net->views[e - net->neighs];
	bool used = e->state != NEIGH_FREE;
	uint64_t gid0 = used ? load64(e->gid) : 0, gid1 = used ? load64(e->gid + 8) : 0;
	uint64_t what = view_pack(e->mac, state);

	/* The only writer may read plainly. */
	if (v->gid[0] == gid0 && v->gid[1] == gid1 && v->what == what)
		return;
	__atomic_store_n(&v->version, v->version + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&v->gid[0], gid0, __ATOMIC_RELEASE);
	__atomic_store_n(&v->gid[1], gid1, __ATOMIC_RELEASE);
	__atomic_store_n(&v->what, what, __ATOMIC_RELEASE);
	__atomic_store_n(&v->version, v->version + 1, __ATOMIC_RELEASE);
}

/* The owner: own GID + 1 that others used entry idx with since the last call; 0: none did. */
unsigned int touched_take(struct phca_net *net, unsigned int idx)
{
	uint8_t *t = &net->touched[idx];
	unsigned int v = __atomic_load_n(t, __ATOMIC_RELAXED);

	if (unlikely(v != 0))
		__atomic_store_n(t, 0, __ATOMIC_RELAXED);
	return v;
}

/* What gid's view says; false: nobody's, or written too often just now. */
static bool view_read(const struct phca_net *net, unsigned int idx, const uint8_t gid[16],
		uint64_t *what)
{
	const struct neigh_view *v = &net->views[idx];

	for (unsigned int i = 0; i < READ_TRIES; i++) {
		uint32_t version = __atomic_load_n(&v->version, __ATOMIC_ACQUIRE);
		uint64_t gid0 = __atomic_load_n(&v->gid[0], __ATOMIC_ACQUIRE);
		uint64_t gid1 = __atomic_load_n(&v->gid[1], __ATOMIC_ACQUIRE);

		*what = __atomic_load_n(&v->what, __ATOMIC_ACQUIRE);
		if ((version & 1) == 0 && __atomic_load_n(&v->version, __ATOMIC_RELAXED) == version)
			return gid0 == load64(gid) && gid1 == load64(gid + 8);
	}
	return false;
}

/* Returns whether gid is in the table. */
static bool look(struct phca_net *net, unsigned int sgid, const uint8_t gid[16], uint8_t mac[6],
		enum phca_neigh_state *state)
{
	struct neigh *e = neigh_find(net, gid);
	unsigned int idx;
	uint64_t what;
	uint8_t b[8];

	*state = PHCA_NEIGH_PENDING;
	if (e == NULL)
		return false;
	idx = (unsigned int)(e - net->neighs);
	if (!view_read(net, idx, gid, &what))
		return false;
	memcpy(b, &what, sizeof(b));
	*state = (enum phca_neigh_state)b[6];
	if (*state != PHCA_NEIGH_READY)
		return true;
	memcpy(mac, b, 6);
	/* Read first: the line stays shared while the owner does not clear it. */
	if (__atomic_load_n(&net->touched[idx], __ATOMIC_RELAXED) == 0)
		__atomic_store_n(&net->touched[idx], (uint8_t)(sgid + 1), __ATOMIC_RELAXED);
	return true;
}

enum phca_neigh_state phca_net_lookup(struct phca_net *net, unsigned int sgid_index,
		const uint8_t dgid[16], uint8_t mac[6])
{
	enum phca_neigh_state state = PHCA_NEIGH_FAILED;
	const uint8_t *gw;

	switch (next_hop(net, sgid_index, dgid, mac, &gw)) {
	case HOP_MAC:
		return PHCA_NEIGH_READY;
	case HOP_LINK:
		(void)look(net, sgid_index, dgid, mac, &state);
		return state;
	case HOP_FAR:
		if (look(net, sgid_index, dgid, mac, &state))
			return state;
		if (gw == NULL)
			return PHCA_NEIGH_FAILED;
		(void)look(net, sgid_index, gw, mac, &state);
		return state;
	default:
		return PHCA_NEIGH_FAILED;
	}
}
