/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock core against a model that knows the rules and nothing of speed: two arrays,
 * searched from one end to the other. Random requests, deaths and times from seeds; after
 * each step the answers and the tables are what the model says.
 */
#include <stdio.h>
#include <stdlib.h>

#include "phca_test.h"
#include "world.h"

#define PEERS 5
#define SESSIONS 3
#define LOCKS 4
#define MANY 4096

struct claim {
	unsigned int peer, session, table, lock, mode, count;
	bool upgrade;
	uint64_t id, deadline, order, token;
};

struct expected {
	struct claim of;
	unsigned int peer, status, mode, count;
	uint64_t id;
	bool fresh, seen; /* fresh: a new token */
	uint64_t token;
};

struct model {
	struct world w;
	struct lock_peer *p[PEERS];
	struct claim held[MANY], queue[MANY]; /* queue: in order, of all locks */
	unsigned int nb_held, nb_queue, nb_expected;
	struct expected expected[MANY];
	uint64_t order, random, token_max[WORLD_TABLES], step;
};

static uint32_t below(struct model *m, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&m->random) % n);
}

static bool same_lock(const struct claim *a, const struct claim *b)
{
	return a->table == b->table && a->lock == b->lock;
}

static bool same_owner(const struct claim *a, const struct claim *b)
{
	return a->peer == b->peer && a->session == b->session;
}

static bool conflict(const struct claim *a, const struct claim *b)
{
	return a->mode == PHCA_LOCK_EXCLUSIVE || b->mode == PHCA_LOCK_EXCLUSIVE;
}

static struct claim *find(struct claim *list, unsigned int n, const struct claim *c)
{
	for (unsigned int i = 0; i < n; i++)
		if (same_lock(&list[i], c) && same_owner(&list[i], c))
			return &list[i];
	return NULL;
}

static void take_out(struct claim *list, unsigned int *n, unsigned int i)
{
	memmove(&list[i], &list[i + 1], (*n - i - 1) * sizeof(list[0]));
	--*n;
}

static struct expected *expect(struct model *m, const struct claim *c, unsigned int status)
{
	struct expected *e = &m->expected[m->nb_expected++];

	*e = (struct expected){ .of = *c, .peer = c->peer, .id = c->id, .status = status };
	return e;
}

/* ---------------------------------------------------------------- the rules */

/* It goes with all holders but the owner itself. */
static bool goes(const struct model *m, const struct claim *c)
{
	for (unsigned int i = 0; i < m->nb_held; i++)
		if (same_lock(&m->held[i], c) && !same_owner(&m->held[i], c) && conflict(&m->held[i], c))
			return false;
	return true;
}

static bool queued(const struct model *m, const struct claim *c)
{
	for (unsigned int i = 0; i < m->nb_queue; i++)
		if (same_lock(&m->queue[i], c))
			return true;
	return false;
}

static void grant(struct model *m, const struct claim *c)
{
	struct claim *h = find(m->held, m->nb_held, c);
	struct expected *e = expect(m, c, PHCA_LOCK_GRANTED);

	if (h == NULL) {
		h = &m->held[m->nb_held++];
		*h = *c;
		h->count = h->mode = 0;
	}
	e->fresh = c->mode > h->mode;
	if (e->fresh)
		h->mode = c->mode;
	e->mode = h->mode;
	e->count = ++h->count;
}

static void serve(struct model *m, unsigned int table, unsigned int lock)
{
	const struct claim at = { .table = table, .lock = lock };

	for (unsigned int i = 0; i < m->nb_queue; i++) {
		struct claim c = m->queue[i];

		if (!same_lock(&c, &at))
			continue;
		if (!goes(m, &c))
			return;
		take_out(m->queue, &m->nb_queue, i);
		grant(m, &c);
		i = (unsigned int)-1; /* from the front again */
	}
}

/* Where it would stand. */
static unsigned int place_of(const struct model *m, const struct claim *c)
{
	if (c->upgrade)
		for (unsigned int i = 0; i < m->nb_queue; i++)
			if (same_lock(&m->queue[i], c) && !m->queue[i].upgrade)
				return i;
	return m->nb_queue;
}

static unsigned int owner(const struct claim *c)
{
	return c->peer * SESSIONS + c->session;
}

/* Whether a way leads from it to itself, when it stands there. */
static bool deadlock(const struct model *m, const struct claim *c)
{
	static bool way[PEERS * SESSIONS][PEERS * SESSIONS];
	const unsigned int n = PEERS * SESSIONS, at = place_of(m, c);

	memset(way, 0, sizeof(way));
	for (unsigned int i = 0; i <= m->nb_queue; i++) {
		const struct claim *w = i < m->nb_queue ? &m->queue[i] : c;
		unsigned int end = i < m->nb_queue ? i : at;

		for (unsigned int k = 0; k < m->nb_held; k++)
			if (same_lock(&m->held[k], w) && conflict(&m->held[k], w) && !same_owner(&m->held[k], w))
				way[owner(w)][owner(&m->held[k])] = true;
		for (unsigned int k = 0; k < end; k++)
			if (same_lock(&m->queue[k], w) && conflict(&m->queue[k], w) && !same_owner(&m->queue[k], w))
				way[owner(w)][owner(&m->queue[k])] = true;
	}
	for (unsigned int k = 0; k < n; k++)
		for (unsigned int i = 0; i < n; i++)
			for (unsigned int j = 0; j < n; j++)
				way[i][j] |= way[i][k] && way[k][j];
	return way[owner(c)][owner(c)];
}

static void model_lock(struct model *m, struct claim *c, bool try, uint32_t wait_us)
{
	struct claim *h = find(m->held, m->nb_held, c);
	unsigned int at;

	if (find(m->queue, m->nb_queue, c) != NULL) {
		expect(m, c, PHCA_LOCK_BUSY);
	} else if (goes(m, c) && (h != NULL || !queued(m, c))) {
		grant(m, c);
	} else if (h != NULL && c->mode <= h->mode) {
		grant(m, c);
	} else if (try) {
		expect(m, c, PHCA_LOCK_BUSY);
	} else {
		c->upgrade = h != NULL;
		if (deadlock(m, c)) {
			expect(m, c, PHCA_LOCK_DEADLOCK);
			return;
		}
		c->deadline = wait_us != 0 ? m->w.now_ns + wait_us * 1000ull : UINT64_MAX;
		c->order = m->order++;
		at = place_of(m, c);
		memmove(&m->queue[at + 1], &m->queue[at], (m->nb_queue - at) * sizeof(*c));
		m->queue[at] = *c;
		m->nb_queue++;
	}
}

static void wait_over(struct model *m, struct claim *q, unsigned int status)
{
	struct claim c = *q;

	take_out(m->queue, &m->nb_queue, (unsigned int)(q - m->queue));
	expect(m, &c, status);
	serve(m, c.table, c.lock);
}

static void model_unlock(struct model *m, const struct claim *c)
{
	struct claim *q = find(m->queue, m->nb_queue, c), *h = find(m->held, m->nb_held, c);
	struct expected *e = expect(m, c, q != NULL || h != NULL ? PHCA_LOCK_OK : PHCA_LOCK_NOT_HELD);

	if (q != NULL) {
		e->count = h != NULL ? h->count : 0;
		wait_over(m, q, PHCA_LOCK_CANCELLED);
	} else if (h != NULL) {
		e->count = --h->count;
		if (h->count == 0) {
			take_out(m->held, &m->nb_held, (unsigned int)(h - m->held));
			serve(m, c->table, c->lock);
		}
	}
}

/* All of an owner, or of a requester with all its sessions. @return locks given back */
static unsigned int model_release(struct model *m, const struct claim *c, bool dead)
{
	unsigned int n = 0;

	for (unsigned int i = m->nb_queue; i-- > 0;) {
		if (m->queue[i].peer != c->peer || (!dead && m->queue[i].session != c->session))
			continue;
		if (!dead)
			expect(m, &m->queue[i], PHCA_LOCK_CANCELLED);
		take_out(m->queue, &m->nb_queue, i);
	}
	for (unsigned int i = m->nb_held; i-- > 0;) {
		if (m->held[i].peer == c->peer && (dead || m->held[i].session == c->session)) {
			take_out(m->held, &m->nb_held, i);
			n++;
		}
	}
	for (unsigned int t = 0; t < WORLD_TABLES; t++)
		for (unsigned int l = 0; l < LOCKS; l++)
			serve(m, t, l);
	return n;
}

static void model_release_asked(struct model *m, const struct claim *c)
{
	struct expected *e = expect(m, c, PHCA_LOCK_OK);

	e->count = model_release(m, c, false);
}

static void model_query(struct model *m, const struct claim *c)
{
	struct expected *e = expect(m, c, PHCA_LOCK_OK);

	for (unsigned int i = 0; i < m->nb_held; i++) {
		if (same_lock(&m->held[i], c)) {
			e->count++;
			e->mode = m->held[i].mode > e->mode ? m->held[i].mode : e->mode;
		}
	}
	for (unsigned int i = 0; i < m->nb_queue; i++)
		e->count += same_lock(&m->queue[i], c) ? 1u << 16 : 0;
}

static void model_tick(struct model *m)
{
	for (;;) {
		struct claim *first = NULL;

		for (unsigned int i = 0; i < m->nb_queue; i++) {
			struct claim *q = &m->queue[i];

			if (q->deadline <= m->w.now_ns && (first == NULL || q->deadline < first->deadline ||
					(q->deadline == first->deadline && q->order < first->order)))
				first = q;
		}
		if (first == NULL)
			return;
		wait_over(m, first, PHCA_LOCK_TIMEOUT);
	}
}

/* ---------------------------------------------------------------- compare */

static bool answer_is(struct model *m, unsigned int peer, const struct phca_lock_answer *a)
{
	for (unsigned int i = 0; i < m->nb_expected; i++) {
		struct expected *e = &m->expected[i];
		struct claim *h;

		if (e->peer != peer || e->id != a->id || e->seen)
			continue;
		e->seen = true;
		if (e->status != a->status || e->count != a->count ||
				(a->status == PHCA_LOCK_GRANTED && e->mode != a->mode))
			return false;
		if (a->status != PHCA_LOCK_GRANTED)
			return true;
		h = find(m->held, m->nb_held, &e->of);
		e->token = a->token;
		if (!e->fresh)
			return h == NULL || h->token == a->token;
		if (h != NULL)
			h->token = a->token;
		return true;
	}
	return false;
}

/* @return what differs; NULL: nothing */
static const char *compare(struct model *m)
{
	struct phca_lock_answer a;
	uint64_t before[WORLD_TABLES];

	memcpy(before, m->token_max, sizeof(before));

	for (unsigned int p = 0; p < PEERS; p++) {
		while (lock_take(m->w.c, m->p[p], &a, 1) == 1)
			if (!answer_is(m, p, &a))
				return "an answer is not the model's";
	}
	for (unsigned int i = 0; i < m->nb_expected; i++) {
		const struct expected *e = &m->expected[i];

		if (!e->seen)
			return "an answer is missing";
		if (!e->fresh || e->status != PHCA_LOCK_GRANTED)
			continue;
		if (e->token <= before[e->of.table])
			return "a token did not grow";
		if (e->token > m->token_max[e->of.table])
			m->token_max[e->of.table] = e->token;
	}
	for (unsigned int i = 0; i < WORLD_TABLES * LOCKS; i++) {
		const struct claim c = { .table = i / LOCKS, .lock = i % LOCKS };
		struct phca_lock_entry e = world_entry(&m->w, c.table, c.lock);
		unsigned int mode = 0, holders = 0, waiters = 0;

		for (unsigned int k = 0; k < m->nb_held; k++) {
			if (same_lock(&m->held[k], &c)) {
				holders++;
				mode = m->held[k].mode;
			}
		}
		for (unsigned int k = 0; k < m->nb_queue; k++)
			waiters += same_lock(&m->queue[k], &c);
		if (e.mode != mode || e.holders != holders || e.waiters != waiters)
			return "the table is not the model's";
		if (mode == PHCA_LOCK_EXCLUSIVE && holders != 1)
			return "two hold it exclusively";
	}
	m->nb_expected = 0;
	return NULL;
}

/* ---------------------------------------------------------------- runs */

static void ask(struct model *m)
{
	static const enum phca_lock_op ops[] = { PHCA_LOCK_OP_LOCK, PHCA_LOCK_OP_LOCK, PHCA_LOCK_OP_LOCK,
		PHCA_LOCK_OP_TRY, PHCA_LOCK_OP_UNLOCK, PHCA_LOCK_OP_UNLOCK, PHCA_LOCK_OP_UNLOCK,
		PHCA_LOCK_OP_QUERY, PHCA_LOCK_OP_RELEASE };
	const enum phca_lock_op op = ops[below(m, sizeof(ops) / sizeof(ops[0]))];
	struct claim c = { .peer = below(m, PEERS), .session = below(m, SESSIONS), .table = below(m, WORLD_TABLES),
		.lock = below(m, LOCKS) };
	struct phca_lock_req r = world_req(&m->w, op, c.session, c.lock, PHCA_LOCK_FREE);

	c.id = r.id;
	r.table_va += c.table * 0x10000ull;
	if (op == PHCA_LOCK_OP_LOCK || op == PHCA_LOCK_OP_TRY)
		r.mode = (uint8_t)(c.mode = 1 + below(m, 2));
	if (op == PHCA_LOCK_OP_LOCK && below(m, 2) == 0)
		r.wait_us = 1 + below(m, 50);
	if (op == PHCA_LOCK_OP_RELEASE)
		r.lock = 0;
	if (op == PHCA_LOCK_OP_LOCK || op == PHCA_LOCK_OP_TRY)
		model_lock(m, &c, op == PHCA_LOCK_OP_TRY, r.wait_us);
	else if (op == PHCA_LOCK_OP_UNLOCK)
		model_unlock(m, &c);
	else if (op == PHCA_LOCK_OP_QUERY)
		model_query(m, &c);
	else
		model_release_asked(m, &c);
	lock_request(m->w.c, m->p[c.peer], &r, m->w.now_ns);
}

static void die(struct model *m)
{
	const struct claim c = { .peer = below(m, PEERS) };

	model_release(m, &c, true);
	lock_peer_kill(m->w.c, m->p[c.peer]);
	lock_peer_put(m->w.c, m->p[c.peer]);
	m->p[c.peer] = lock_peer_add(m->w.c, WORLD_DOMAIN, 0x40 + c.peer);
}

static const char *run(struct model *m, uint64_t seed, unsigned int steps)
{
	const struct lock_conf conf = world_conf();
	const struct lock_stats *st;
	const char *wrong = NULL;

	memset(m, 0, sizeof(*m));
	world_init(&m->w, &conf);
	m->random = seed;
	for (unsigned int i = 0; i < PEERS; i++)
		m->p[i] = lock_peer_add(m->w.c, WORLD_DOMAIN, 0x40 + i);
	for (m->step = 0; m->step < steps && wrong == NULL; m->step++) {
		uint32_t what = below(m, 100);

		if (what == 0) {
			die(m);
		} else if (what < 20) {
			m->w.now_ns += below(m, 20000);
			model_tick(m);
			lock_tick(m->w.c, m->w.now_ns);
		} else {
			ask(m);
		}
		wrong = compare(m);
	}
	for (unsigned int i = 0; i < PEERS; i++)
		lock_peer_kill(m->w.c, m->p[i]);
	st = lock_core_stats(m->w.c);
	if (wrong == NULL && st->locks + st->held + st->waiting + st->sessions != 0)
		wrong = "not all is free at the end";
	if (wrong == NULL && (st->deadlocks == 0 || st->timeouts == 0 || st->waited < steps / 20))
		wrong = "the run was dull";
	world_fini(&m->w);
	return wrong;
}

PHCA_TEST(model, random_requests_deaths_and_times)
{
	struct model *m = malloc(sizeof(*m));
	const unsigned int seeds = phca_test_long() ? 2000 : 40;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		const char *wrong = run(m, seed, 2000);

		if (wrong != NULL)
			printf("  seed %llu, step %llu: %s\n", (unsigned long long)seed, (unsigned long long)m->step,
				wrong);
		CU_ASSERT_PTR_NULL(wrong);
	}
	free(m);
}

/* Limits so small that all are met: nothing is promised but an answer to each, and that nothing is left. */
PHCA_TEST(model, every_request_is_answered_once_at_the_limits)
{
	const struct lock_conf conf = { .max_peers = 4, .max_tables = 1, .max_locks = 3, .max_sessions = 5,
		.max_claims = 7, .max_waiters = 4, .peer_claims = 5, .peer_waiters = 3, .deadlock_steps = 3,
		.max_wait_ns = 20000 };
	static uint8_t answered[40001];
	struct phca_lock_answer a;
	struct lock_peer *p[4];
	uint64_t random = 7;
	struct world w;

	world_init(&w, &conf);
	memset(answered, 0, sizeof(answered));
	for (unsigned int i = 0; i < 4; i++)
		p[i] = lock_peer_add(w.c, WORLD_DOMAIN, i);
	while (w.next_id < 40000) {
		unsigned int i = phca_test_rand(&random) % 4, op = 1 + phca_test_rand(&random) % 5;
		struct phca_lock_req r = world_req(&w, op, phca_test_rand(&random) % 3, phca_test_rand(&random) % 5, 0);

		r.table_va += phca_test_rand(&random) % 2 * 0x10000;
		if (op <= PHCA_LOCK_OP_TRY)
			r.mode = 1 + phca_test_rand(&random) % 2;
		if (op == PHCA_LOCK_OP_RELEASE)
			r.lock = 0;
		lock_request(w.c, p[i], &r, w.now_ns);
		w.now_ns += phca_test_rand(&random) % 3000;
		lock_tick(w.c, w.now_ns);
		/* Answers are fetched seldom. */
		if (phca_test_rand(&random) % 4 == 0 || !lock_peer_room(p[i], 1))
			while (lock_take(w.c, p[i], &a, 1) == 1)
				answered[a.id]++;
	}
	w.now_ns += 20000;
	lock_tick(w.c, w.now_ns);
	for (unsigned int i = 0; i < 4; i++)
		while (lock_take(w.c, p[i], &a, 1) == 1)
			answered[a.id]++;
	for (unsigned int id = 1; id <= 40000; id++)
		if (answered[id] != 1)
			CU_ASSERT_EQUAL(answered[id], 1);
	CU_ASSERT(lock_core_stats(w.c)->limits > 1000);
	CU_ASSERT(lock_core_stats(w.c)->searches_cut > 0);
	for (unsigned int i = 0; i < 4; i++)
		lock_peer_kill(w.c, p[i]);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->locks + lock_core_stats(w.c)->sessions, 0);
	world_fini(&w);
}
