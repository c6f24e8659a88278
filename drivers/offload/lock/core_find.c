/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock core's memory: pools and hashes in one block, and the heap of time limits.
 *
 * Invariant: every struct is in exactly one place: its free list, or its hash and the
 * lists of what it belongs to. A table without locks is in the idle list, too, from which
 * the longest idle makes room for another.
 */
#include "core_impl.h"

static uint32_t buckets(uint32_t n)
{
	uint32_t b = 16;

	while (b < n && b < 1u << 24)
		b *= 2;
	return b;
}

/* Cut an array off the block; with mem NULL only count. */
static void *cut(uint8_t *mem, size_t *at, size_t n, size_t size)
{
	void *p = mem != NULL ? mem + *at : NULL;

	*at += (n * size + 63) / 64 * 64;
	return p;
}

struct arrays {
	struct lock_table *tables;
	struct lock_state *states;
	struct lock_session *sessions;
	struct lock_claim *claims;
	struct lock_note *notes;
	struct lock_peer *peers;
	size_t nb_notes;
};

static size_t carve(uint8_t *mem, const struct lock_conf *f, struct lock_core *c, struct arrays *a)
{
	size_t at = 0;

	cut(mem, &at, 1, sizeof(*c));
	a->nb_notes = (size_t)f->max_waiters + (size_t)f->max_peers * LOCK_PEER_ANSWERS;
	a->tables = cut(mem, &at, f->max_tables, sizeof(*a->tables));
	a->states = cut(mem, &at, f->max_locks, sizeof(*a->states));
	a->sessions = cut(mem, &at, f->max_sessions, sizeof(*a->sessions));
	a->claims = cut(mem, &at, f->max_claims, sizeof(*a->claims));
	a->notes = cut(mem, &at, a->nb_notes, sizeof(*a->notes));
	a->peers = cut(mem, &at, f->max_peers, sizeof(*a->peers));
	c->table_mask = buckets(f->max_tables) - 1;
	c->state_mask = buckets(f->max_locks) - 1;
	c->session_mask = buckets(f->max_sessions) - 1;
	c->claim_mask = buckets(f->max_claims) - 1;
	c->table_hash = cut(mem, &at, c->table_mask + 1, sizeof(void *));
	c->state_hash = cut(mem, &at, c->state_mask + 1, sizeof(void *));
	c->session_hash = cut(mem, &at, c->session_mask + 1, sizeof(void *));
	c->claim_hash = cut(mem, &at, c->claim_mask + 1, sizeof(void *));
	c->heap = cut(mem, &at, f->max_waiters, sizeof(void *));
	c->stack = cut(mem, &at, f->max_sessions, sizeof(void *));
	return at;
}

size_t lock_core_size(const struct lock_conf *f)
{
	struct lock_core c;
	struct arrays a;

	return carve(NULL, f, &c, &a);
}

#define FILL(list, array, n, link) \
	for (size_t i = (n); i-- > 0;) { \
		(array)[i].link = (list); \
		(list) = &(array)[i]; \
	}

struct lock_core *lock_core_init(void *mem, const struct lock_conf *f, const struct lock_ops *ops, void *user)
{
	struct lock_core *c = mem;
	struct arrays a;

	carve(mem, f, c, &a);
	c->conf = *f;
	c->ops = *ops;
	c->user = user;
	FILL(c->free_tables, a.tables, f->max_tables, next);
	FILL(c->free_states, a.states, f->max_locks, chain);
	FILL(c->free_sessions, a.sessions, f->max_sessions, chain);
	FILL(c->free_claims, a.claims, f->max_claims, chain);
	FILL(c->free_notes, a.notes, a.nb_notes, next);
	FILL(c->free_peers, a.peers, f->max_peers, next);
	return c;
}

const struct lock_stats *lock_core_stats(const struct lock_core *c)
{
	return &c->st;
}

uint64_t lock_core_steps(const struct lock_core *c)
{
	return c->steps;
}

/* ---------------------------------------------------------------- tables */

static struct lock_table **table_bucket(struct lock_core *c, const struct lock_name *n)
{
	return &c->table_hash[lock_mix(n->va, (uint64_t)n->rkey << 32 | n->domain) & c->table_mask];
}

static void idle_add(struct lock_core *c, struct lock_table *t)
{
	t->next = NULL;
	t->prev = c->idle_last;
	*(c->idle_last != NULL ? &c->idle_last->next : &c->idle_first) = t;
	c->idle_last = t;
}

static void idle_take(struct lock_core *c, struct lock_table *t)
{
	*(t->prev != NULL ? &t->prev->next : &c->idle_first) = t->next;
	*(t->next != NULL ? &t->next->prev : &c->idle_last) = t->prev;
}

static void table_drop(struct lock_core *c, struct lock_table *t)
{
	struct lock_table **at = table_bucket(c, &t->name);

	while (*at != t)
		at = &(*at)->chain;
	*at = t->chain;
	idle_take(c, t);
	t->next = c->free_tables;
	c->free_tables = t;
	LOCK_ADD(c, tables, -1);
}

void lock_tables_forget(struct lock_core *c)
{
	while (c->idle_first != NULL)
		table_drop(c, c->idle_first);
}

struct lock_table *lock_table_find(struct lock_core *c, const struct lock_name *n)
{
	struct lock_table *t = *table_bucket(c, n);

	while (t != NULL && (t->name.va != n->va || t->name.rkey != n->rkey || t->name.domain != n->domain))
		t = t->chain;
	return t;
}

struct lock_table *lock_table_make(struct lock_core *c, const struct lock_name *n, const struct phca_lock_table *h)
{
	struct lock_table **at = table_bucket(c, n), *t;

	if (c->free_tables == NULL && c->idle_first != NULL)
		table_drop(c, c->idle_first);
	t = c->free_tables;
	if (t == NULL)
		return NULL;
	c->free_tables = t->next;
	t->name = *n;
	t->nb_locks = h->nb_locks;
	t->refs = 0;
	/* The application's word, or its peers': it is about this table and no other. */
	t->token = h->token_reserved;
	t->reserved = 0;
	t->chain = *at;
	*at = t;
	idle_add(c, t);
	LOCK_ADD(c, tables, 1);
	return t;
}

/* ---------------------------------------------------------------- locks */

static struct lock_state **state_bucket(struct lock_core *c, const struct lock_table *t, uint32_t nr)
{
	return &c->state_hash[lock_mix((uintptr_t)t, nr) & c->state_mask];
}

struct lock_state *lock_state_find(struct lock_core *c, const struct lock_table *t, uint32_t nr)
{
	struct lock_state *l = *state_bucket(c, t, nr);

	while (l != NULL && (l->table != t || l->nr != nr))
		l = l->chain;
	return l;
}

struct lock_state *lock_state_make(struct lock_core *c, struct lock_table *t, uint32_t nr)
{
	struct lock_state **at = state_bucket(c, t, nr), *l = c->free_states;

	if (l == NULL)
		return NULL;
	c->free_states = l->chain;
	*l = (struct lock_state){ .table = t, .nr = nr, .chain = *at };
	*at = l;
	if (t->refs++ == 0)
		idle_take(c, t);
	LOCK_ADD(c, locks, 1);
	return l;
}

void lock_state_drop(struct lock_core *c, struct lock_state *l)
{
	struct lock_state **at = state_bucket(c, l->table, l->nr);

	while (*at != l)
		at = &(*at)->chain;
	*at = l->chain;
	if (--l->table->refs == 0)
		idle_add(c, l->table);
	l->chain = c->free_states;
	c->free_states = l;
	LOCK_ADD(c, locks, -1);
}

/* ---------------------------------------------------------------- sessions */

static struct lock_session **session_bucket(struct lock_core *c, const struct lock_peer *p, uint64_t id)
{
	return &c->session_hash[lock_mix((uintptr_t)p, id) & c->session_mask];
}

struct lock_session *lock_session_find(struct lock_core *c, const struct lock_peer *p, uint64_t id)
{
	struct lock_session *s = *session_bucket(c, p, id);

	while (s != NULL && (s->peer != p || s->id != id))
		s = s->chain;
	return s;
}

struct lock_session *lock_session_make(struct lock_core *c, struct lock_peer *p, uint64_t id)
{
	struct lock_session **at = session_bucket(c, p, id), *s = c->free_sessions;

	if (s == NULL)
		return NULL;
	c->free_sessions = s->chain;
	*s = (struct lock_session){ .chain = *at, .peer = p, .id = id, .next = p->sessions };
	*at = s;
	if (p->sessions != NULL)
		p->sessions->prev = s;
	p->sessions = s;
	LOCK_ADD(c, sessions, 1);
	return s;
}

void lock_session_drop(struct lock_core *c, struct lock_session *s)
{
	struct lock_session **at = session_bucket(c, s->peer, s->id);

	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	*(s->prev != NULL ? &s->prev->next : &s->peer->sessions) = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	s->chain = c->free_sessions;
	c->free_sessions = s;
	LOCK_ADD(c, sessions, -1);
}

/* ---------------------------------------------------------------- claims */

static struct lock_claim **claim_bucket(struct lock_core *c, const struct lock_state *l, const struct lock_session *s)
{
	return &c->claim_hash[lock_mix((uintptr_t)l, (uintptr_t)s) & c->claim_mask];
}

struct lock_claim *lock_claim_find(struct lock_core *c, const struct lock_state *l, const struct lock_session *s,
		bool waits)
{
	struct lock_claim *k = *claim_bucket(c, l, s);

	while (k != NULL && (k->lock != l || k->session != s || k->waits != waits))
		k = k->chain;
	return k;
}

struct lock_claim *lock_claim_make(struct lock_core *c, struct lock_state *l, struct lock_session *s, bool waits)
{
	struct lock_claim **at = claim_bucket(c, l, s), *k = c->free_claims;
	struct lock_claim **list = waits ? &s->waits : &s->grants;

	if (k == NULL)
		return NULL;
	c->free_claims = k->chain;
	*k = (struct lock_claim){ .chain = *at, .lock = l, .session = s, .waits = waits, .heap = UINT32_MAX,
		.snext = *list };
	*at = k;
	if (*list != NULL)
		(*list)->sprev = k;
	*list = k;
	s->peer->nb_claims++;
	s->peer->nb_waits += waits;
	if (waits)
		LOCK_ADD(c, waiting, 1);
	else
		LOCK_ADD(c, held, 1);
	return k;
}

void lock_claim_drop(struct lock_core *c, struct lock_claim *k)
{
	struct lock_claim **at = claim_bucket(c, k->lock, k->session);
	struct lock_session *s = k->session;

	while (*at != k)
		at = &(*at)->chain;
	*at = k->chain;
	*(k->sprev != NULL ? &k->sprev->snext : k->waits ? &s->waits : &s->grants) = k->snext;
	if (k->snext != NULL)
		k->snext->sprev = k->sprev;
	s->peer->nb_claims--;
	s->peer->nb_waits -= k->waits;
	if (k->waits)
		LOCK_ADD(c, waiting, -1);
	else
		LOCK_ADD(c, held, -1);
	k->chain = c->free_claims;
	c->free_claims = k;
	if (s->grants == NULL && s->waits == NULL)
		lock_session_drop(c, s);
}

/* ---------------------------------------------------------------- time limits */

static bool before(const struct lock_claim *a, const struct lock_claim *b)
{
	return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->order < b->order;
}

static void place(struct lock_core *c, uint32_t i, struct lock_claim *k)
{
	c->heap[i] = k;
	k->heap = i;
}

static void sift_up(struct lock_core *c, uint32_t i, struct lock_claim *k)
{
	for (; i > 0 && before(k, c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		place(c, i, c->heap[(i - 1) / 2]);
	place(c, i, k);
}

static void sift_down(struct lock_core *c, uint32_t i, struct lock_claim *k)
{
	for (;;) {
		uint32_t d = 2 * i + 1;

		if (d + 1 < c->heap_n && before(c->heap[d + 1], c->heap[d]))
			d++;
		if (d >= c->heap_n || !before(c->heap[d], k))
			break;
		place(c, i, c->heap[d]);
		i = d;
	}
	place(c, i, k);
}

void lock_heap_put(struct lock_core *c, struct lock_claim *k)
{
	sift_up(c, c->heap_n++, k);
}

void lock_heap_take(struct lock_core *c, struct lock_claim *k)
{
	uint32_t i = k->heap;
	struct lock_claim *last;

	if (i == UINT32_MAX)
		return;
	k->heap = UINT32_MAX;
	last = c->heap[--c->heap_n];
	if (last == k)
		return;
	if (i > 0 && before(last, c->heap[(i - 1) / 2]))
		sift_up(c, i, last);
	else
		sift_down(c, i, last);
}
