/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock core: requests, queues, grants, answers.
 *
 * A lock has holders and a queue. The queue is served from its front, as far as what
 * stands there goes with the holders: nobody overtakes, so shared requests do not starve
 * an exclusive one. Only a holder's upgrade goes to the front, behind other upgrades.
 *
 * Invariants: holders are one exclusive, or all shared. The front of a queue conflicts
 * with the holders. A request has one answer: its note is taken when it comes, kept by
 * its wait, and put into the requester's list when that is decided.
 */
#include "core_impl.h"

#define TOKEN_STEP 65536         /* tokens reserved in a table's header at a time */
#define TOKEN_MAX (UINT64_MAX / 2) /* in a header: enough is left for all grants that there will be */

/* ---------------------------------------------------------------- requesters and answers */

struct lock_peer *lock_peer_add(struct lock_core *c, uint32_t domain, uint32_t qpn)
{
	struct lock_peer *p = c->free_peers;

	if (p == NULL)
		return NULL;
	c->free_peers = p->next;
	memset(p, 0, sizeof(*p));
	p->domain = domain;
	p->qpn = qpn;
	LOCK_ADD(c, peers, 1);
	return p;
}

bool lock_peer_room(const struct lock_peer *p, unsigned int n)
{
	return p->nb_notes + n <= LOCK_PEER_ANSWERS;
}

static struct lock_note *note_take(struct lock_core *c)
{
	struct lock_note *n = c->free_notes;

	c->free_notes = n->next;
	return n;
}

static void note_put(struct lock_core *c, struct lock_note *n)
{
	n->next = c->free_notes;
	c->free_notes = n;
}

static void answer(struct lock_core *c, struct lock_peer *p, struct lock_note *n)
{
	n->next = NULL;
	*(p->last != NULL ? &p->last->next : &p->first) = n;
	p->last = n;
	if (!n->waited)
		p->nb_notes++;
	if (p->ready)
		return;
	p->ready = true;
	p->next_ready = NULL;
	*(c->ready_last != NULL ? &c->ready_last->next_ready : &c->ready_first) = p;
	c->ready_last = p;
}

struct lock_peer *lock_ready(struct lock_core *c)
{
	struct lock_peer *p = c->ready_first;

	if (p != NULL) {
		c->ready_first = p->next_ready;
		if (c->ready_first == NULL)
			c->ready_last = NULL;
		p->ready = false;
	}
	return p;
}

static void ready_remove(struct lock_core *c, struct lock_peer *p)
{
	struct lock_peer *before = NULL, *q = c->ready_first;

	if (!p->ready)
		return;
	while (q != p) {
		before = q;
		q = q->next_ready;
	}
	*(before != NULL ? &before->next_ready : &c->ready_first) = p->next_ready;
	if (c->ready_last == p)
		c->ready_last = before;
	p->ready = false;
}

unsigned int lock_take(struct lock_core *c, struct lock_peer *p, struct phca_lock_answer *out, unsigned int n)
{
	unsigned int i = 0;

	while (i < n && p->first != NULL) {
		struct lock_note *a = p->first;

		p->first = a->next;
		if (p->first == NULL)
			p->last = NULL;
		if (a->waited) {
			p->nb_late--;
			c->nb_late--;
		} else {
			p->nb_notes--;
		}
		out[i++] = a->a;
		note_put(c, a);
	}
	return i;
}

/* ---------------------------------------------------------------- grants */

static void list_add(struct lock_list *l, struct lock_claim *k)
{
	k->next = NULL;
	k->prev = l->last;
	*(l->last != NULL ? &l->last->next : &l->first) = k;
	l->last = k;
	l->n++;
}

static void list_put_behind(struct lock_list *l, struct lock_claim *before, struct lock_claim *k)
{
	struct lock_claim **link = before != NULL ? &before->next : &l->first;

	k->prev = before;
	k->next = *link;
	*link = k;
	*(k->next != NULL ? &k->next->prev : &l->last) = k;
	l->n++;
}

static void list_take(struct lock_list *l, struct lock_claim *k)
{
	*(k->prev != NULL ? &k->prev->next : &l->first) = k->next;
	*(k->next != NULL ? &k->next->prev : &l->last) = k->prev;
	l->n--;
}

/* Write the lock through to its table; what nobody has and wants is forgotten. */
static void settle(struct lock_core *c, struct lock_state *l)
{
	const struct lock_claim *k = l->holders.first;
	struct phca_lock_entry e = { .seq = c->view_seq += 2, .mode = l->mode, .holders = l->holders.n,
		.waiters = l->waiters.n, .token = l->token };

	if (k != NULL) {
		e.owner_qpn = k->session->peer->qpn;
		e.owner_session = k->session->id;
	}
	if (c->ops.store(c->user, &l->table->name, l->nr, &e) != 0)
		LOCK_ADD(c, views_lost, 1);
	if (k == NULL && l->waiters.n == 0)
		lock_state_drop(c, l);
}

static uint64_t new_token(struct lock_core *c, struct lock_table *t)
{
	t->token = ++c->token > t->token ? c->token : t->token + 1;
	if (t->token > t->reserved) {
		t->reserved = t->token + TOKEN_STEP;
		if (c->ops.reserve(c->user, &t->name, t->reserved) != 0)
			LOCK_ADD(c, views_lost, 1);
	}
	return t->token;
}

static void said_granted(struct lock_core *c, struct lock_note *n, const struct lock_claim *k)
{
	n->a.status = PHCA_LOCK_GRANTED;
	n->a.mode = k->mode;
	n->a.token = k->token;
	n->a.count = k->count;
	LOCK_ADD(c, granted, 1);
	answer(c, k->session->peer, n);
}

/* The holder gets it in a mode, again or anew. */
static void grant(struct lock_core *c, struct lock_claim *k, uint8_t mode, struct lock_note *n)
{
	struct lock_state *l = k->lock;

	if (k->count == 0)
		list_add(&l->holders, k);
	if (mode > k->mode) {
		k->mode = l->mode = mode;
		k->token = l->token = new_token(c, l->table);
	}
	k->count++;
	said_granted(c, n, k);
}

/* A wait is over: its note is the caller's. */
static struct lock_note *wait_end(struct lock_core *c, struct lock_claim *k)
{
	struct lock_note *n = k->note;

	lock_heap_take(c, k);
	list_take(&k->lock->waiters, k);
	return n;
}

/* Serve the queue as far as it goes. The lock is settled by the caller. */
static void serve(struct lock_core *c, struct lock_state *l)
{
	struct lock_claim *w, *k;

	while ((w = l->waiters.first) != NULL) {
		struct lock_session *s = w->session;
		uint8_t mode = w->mode;
		struct lock_note *n;

		if (w->upgrade ? l->holders.n > 1 : l->holders.n > 0 && lock_conflict(l->mode, mode))
			return;
		n = wait_end(c, w);
		if (w->upgrade) {
			k = lock_claim_find(c, l, s, false);
			lock_claim_drop(c, w);
		} else {
			/* The wait's own struct becomes the grant, so that there is room for it. */
			struct lock_peer *p = s->peer;
			uint64_t id = s->id;

			lock_claim_drop(c, w);
			s = lock_session_find(c, p, id);
			if (s == NULL)
				s = lock_session_make(c, p, id);
			k = lock_claim_make(c, l, s, false);
		}
		grant(c, k, mode, n);
	}
}

/* A grant ends, whatever its count is. @return its lock, to be settled */
static struct lock_state *give_back(struct lock_core *c, struct lock_claim *k)
{
	struct lock_state *l = k->lock;

	list_take(&l->holders, k);
	lock_claim_drop(c, k);
	if (l->holders.n == 0)
		l->mode = PHCA_LOCK_FREE;
	serve(c, l);
	return l;
}

static void wait_over(struct lock_core *c, struct lock_claim *w, enum phca_lock_status status)
{
	struct lock_peer *p = w->session->peer;
	struct lock_state *l = w->lock;
	struct lock_note *n = wait_end(c, w);

	lock_claim_drop(c, w);
	n->a.status = status;
	answer(c, p, n);
	serve(c, l);
	settle(c, l);
}

/* ---------------------------------------------------------------- requests */

struct ask {
	struct lock_core *c;
	struct lock_peer *p;
	const struct phca_lock_req *req;
	struct lock_note *n; /* NULL: the request waits, or was granted */
	uint64_t now_ns;
};

static void say(struct ask *a, enum phca_lock_status status)
{
	a->n->a.status = status;
	answer(a->c, a->p, a->n);
	a->n = NULL;
}

#define SAY(a, status, ctr) do { LOCK_ADD((a)->c, ctr, 1); say(a, PHCA_LOCK_##status); } while (0)

static bool well_formed(const struct phca_lock_req *r)
{
	if (r->magic != PHCA_LOCK_MAGIC || r->version != PHCA_LOCK_VERSION || r->flags != 0 || r->rsvd != 0)
		return false;
	switch (r->op) {
	case PHCA_LOCK_OP_LOCK:
	case PHCA_LOCK_OP_TRY:
		return (r->mode == PHCA_LOCK_SHARED || r->mode == PHCA_LOCK_EXCLUSIVE) && r->table_va % 8 == 0 &&
			(r->op == PHCA_LOCK_OP_LOCK || r->wait_us == 0);
	case PHCA_LOCK_OP_UNLOCK:
	case PHCA_LOCK_OP_QUERY:
		return r->mode == 0 && r->table_va % 8 == 0 && r->wait_us == 0;
	case PHCA_LOCK_OP_RELEASE:
		return r->mode == 0 && r->lock == 0 && r->wait_us == 0;
	}
	return false;
}

/* The request's table, which exists from now on; NULL: it was answered. */
static struct lock_table *table_of(struct ask *a)
{
	const struct phca_lock_req *r = a->req;
	struct lock_name n = { .va = r->table_va, .rkey = r->table_rkey, .domain = a->p->domain,
		.qpn = a->p->qpn };
	struct lock_table *t = lock_table_find(a->c, &n);
	struct phca_lock_table h;

	if (t == NULL) {
		if (a->c->ops.header(a->c->user, a->p, &n, &h) != 0 || h.magic != PHCA_LOCK_TABLE_MAGIC ||
				h.version != PHCA_LOCK_VERSION || h.entry_size != sizeof(struct phca_lock_entry) ||
				h.nb_locks == 0 || h.token_reserved > TOKEN_MAX) {
			SAY(a, REFUSED, tables_refused);
			return NULL;
		}
		t = lock_table_make(a->c, &n, &h);
		if (t == NULL) {
			SAY(a, LIMIT, limits);
			return NULL;
		}
	}
	if (r->lock >= t->nb_locks) {
		SAY(a, BAD, bad_requests);
		return NULL;
	}
	if (a->c->ops.check(a->c->user, a->p, &n, r->lock) != 0) {
		SAY(a, REFUSED, tables_refused);
		return NULL;
	}
	t->name.qpn = n.qpn;
	return t;
}

/* Stand in the queue, or be told why not. The session exists when it is a holder's upgrade. */
static void queue_up(struct ask *a, struct lock_state *l, struct lock_session *s, bool upgrade)
{
	struct lock_core *c = a->c;
	struct lock_claim *behind = l->waiters.last, *w;
	uint64_t limit = c->conf.max_wait_ns, asked = (uint64_t)a->req->wait_us * 1000;

	if (upgrade)
		for (behind = NULL, w = l->waiters.first; w != NULL && w->upgrade; w = w->next)
			behind = w;
	if (lock_would_deadlock(c, s, l, a->req->mode, behind)) {
		SAY(a, DEADLOCK, deadlocks);
		return;
	}
	w = lock_claim_make(c, l, s, true);
	w->mode = a->req->mode;
	w->upgrade = upgrade;
	w->note = a->n;
	w->order = c->order++;
	if (asked != 0 && (limit == 0 || asked < limit))
		limit = asked;
	w->deadline_ns = limit != 0 ? a->now_ns + limit : UINT64_MAX;
	if (limit != 0)
		lock_heap_put(c, w);
	list_put_behind(&l->waiters, behind, w);
	a->n->waited = true;
	a->n = NULL;
	a->p->nb_late++;
	c->nb_late++;
	LOCK_ADD(c, waited, 1);
}

static bool room_for_claim(const struct ask *a)
{
	return a->c->free_claims != NULL && a->p->nb_claims < a->c->conf.peer_claims;
}

static bool room_for_wait(const struct ask *a)
{
	return a->c->nb_late < a->c->conf.max_waiters && a->p->nb_late < a->c->conf.peer_waiters;
}

/* Of a session that has the lock. */
static void lock_again(struct ask *a, struct lock_claim *k)
{
	struct lock_state *l = k->lock;

	if (k->count == PHCA_LOCK_COUNT_MAX) {
		SAY(a, LIMIT, limits);
	} else if (a->req->mode <= k->mode || l->holders.n == 1) {
		grant(a->c, k, a->req->mode, a->n);
		a->n = NULL;
	} else if (a->req->op == PHCA_LOCK_OP_TRY) {
		SAY(a, BUSY, busy);
	} else if (!room_for_claim(a) || !room_for_wait(a)) {
		SAY(a, LIMIT, limits);
	} else {
		queue_up(a, l, k->session, true);
	}
	settle(a->c, l);
}

static void lock_new(struct ask *a, struct lock_state *l, struct lock_session *s)
{
	struct lock_core *c = a->c;
	bool busy = l->waiters.n > 0 || (l->holders.n > 0 && lock_conflict(l->mode, a->req->mode));

	if (busy && a->req->op == PHCA_LOCK_OP_TRY) {
		SAY(a, BUSY, busy);
	} else if (!room_for_claim(a) || (busy && !room_for_wait(a))) {
		SAY(a, LIMIT, limits);
	} else if (s == NULL && (s = lock_session_make(c, a->p, a->req->session)) == NULL) {
		SAY(a, LIMIT, limits);
	} else if (busy) {
		queue_up(a, l, s, false);
	} else {
		grant(c, lock_claim_make(c, l, s, false), a->req->mode, a->n);
		a->n = NULL;
	}
	if (s != NULL && s->grants == NULL && s->waits == NULL)
		lock_session_drop(c, s);
	settle(c, l);
}

static void do_lock(struct ask *a, struct lock_table *t)
{
	struct lock_session *s = lock_session_find(a->c, a->p, a->req->session);
	struct lock_state *l = lock_state_find(a->c, t, a->req->lock);
	struct lock_claim *k = l != NULL && s != NULL ? lock_claim_find(a->c, l, s, false) : NULL;

	if (l != NULL && s != NULL && lock_claim_find(a->c, l, s, true) != NULL) {
		SAY(a, BUSY, busy);
		return;
	}
	if (k != NULL) {
		lock_again(a, k);
		return;
	}
	if (l == NULL)
		l = lock_state_make(a->c, t, a->req->lock);
	if (l == NULL)
		SAY(a, LIMIT, limits);
	else
		lock_new(a, l, s);
}

static void do_unlock(struct ask *a, struct lock_state *l)
{
	struct lock_session *s = lock_session_find(a->c, a->p, a->req->session);
	struct lock_claim *w = l != NULL && s != NULL ? lock_claim_find(a->c, l, s, true) : NULL;
	struct lock_claim *k = l != NULL && s != NULL ? lock_claim_find(a->c, l, s, false) : NULL;

	if (w != NULL) {
		a->n->a.count = k != NULL ? k->count : 0;
		LOCK_ADD(a->c, waits_cancelled, 1);
		say(a, PHCA_LOCK_OK);
		wait_over(a->c, w, PHCA_LOCK_CANCELLED);
	} else if (k == NULL) {
		SAY(a, NOT_HELD, not_held);
	} else {
		a->n->a.count = --k->count;
		SAY(a, OK, unlocks);
		if (k->count == 0)
			settle(a->c, give_back(a->c, k));
	}
}

/* All of a session, which is gone then. @return locks given back */
static uint32_t release(struct lock_core *c, struct lock_peer *p, uint64_t id, bool dead)
{
	struct lock_session *s;
	uint32_t n = 0;

	/* Waits first: what is given back must not go to this session. */
	while ((s = lock_session_find(c, p, id)) != NULL && s->waits != NULL) {
		struct lock_claim *w = s->waits;

		if (!dead)
			LOCK_ADD(c, waits_cancelled, 1);
		wait_over(c, w, PHCA_LOCK_CANCELLED);
	}
	while ((s = lock_session_find(c, p, id)) != NULL) {
		settle(c, give_back(c, s->grants));
		n++;
	}
	return n;
}

static void do_query(struct ask *a, const struct lock_state *l)
{
	if (l != NULL) {
		uint32_t h = l->holders.n < 0xffff ? l->holders.n : 0xffff;
		uint32_t w = l->waiters.n < 0xffff ? l->waiters.n : 0xffff;

		a->n->a.mode = l->mode;
		a->n->a.token = h > 0 ? l->token : 0;
		a->n->a.count = h | w << 16;
	}
	say(a, PHCA_LOCK_OK);
}

/* An UNLOCK needs no more than that the lock is the session's, so it works when the table is gone. */
static bool do_unlock_known(struct ask *a)
{
	const struct phca_lock_req *r = a->req;
	struct lock_name n = { .va = r->table_va, .rkey = r->table_rkey, .domain = a->p->domain };
	struct lock_table *t = lock_table_find(a->c, &n);
	struct lock_session *s = lock_session_find(a->c, a->p, r->session);
	struct lock_state *l = t != NULL && s != NULL ? lock_state_find(a->c, t, r->lock) : NULL;

	if (l == NULL || (lock_claim_find(a->c, l, s, true) == NULL && lock_claim_find(a->c, l, s, false) == NULL))
		return false;
	do_unlock(a, l);
	return true;
}

void lock_request(struct lock_core *c, struct lock_peer *p, const struct phca_lock_req *req, uint64_t now_ns)
{
	struct ask a = { .c = c, .p = p, .req = req, .now_ns = now_ns };
	struct lock_table *t;

	if (p->dead)
		return;
	a.n = note_take(c);
	a.n->waited = false;
	a.n->a = (struct phca_lock_answer){ .magic = PHCA_LOCK_ANSWER_MAGIC, .version = PHCA_LOCK_VERSION,
		.op = req->op, .id = req->id, .lock = req->lock };
	LOCK_ADD(c, requests, 1);
	if (!well_formed(req)) {
		SAY(&a, BAD, bad_requests);
		return;
	}
	if (req->op == PHCA_LOCK_OP_RELEASE) {
		LOCK_ADD(c, releases, 1);
		a.n->a.count = release(c, p, req->session, false);
		say(&a, PHCA_LOCK_OK);
		return;
	}
	if (req->op == PHCA_LOCK_OP_UNLOCK && do_unlock_known(&a))
		return;
	t = table_of(&a);
	if (t == NULL)
		return;
	if (req->op == PHCA_LOCK_OP_UNLOCK)
		do_unlock(&a, NULL);
	else if (req->op == PHCA_LOCK_OP_QUERY)
		do_query(&a, lock_state_find(c, t, req->lock));
	else
		do_lock(&a, t);
}

unsigned int lock_tick(struct lock_core *c, uint64_t now_ns)
{
	unsigned int n = 0;

	for (; c->heap_n > 0 && c->heap[0]->deadline_ns <= now_ns; n++) {
		LOCK_ADD(c, timeouts, 1);
		wait_over(c, c->heap[0], PHCA_LOCK_TIMEOUT);
	}
	return n;
}

void lock_peer_kill(struct lock_core *c, struct lock_peer *p)
{
	struct phca_lock_answer drop;

	if (p->dead)
		return;
	p->dead = true;
	if (p->sessions != NULL)
		LOCK_ADD(c, dead_peers, 1);
	while (p->sessions != NULL)
		LOCK_ADD(c, dead_locks, release(c, p, p->sessions->id, true));
	while (lock_take(c, p, &drop, 1) != 0)
		LOCK_ADD(c, answers_dropped, 1);
	ready_remove(c, p);
	/* Its domain may be another's next time, and the application's tables other ones. */
	lock_tables_forget(c);
}

void lock_peer_put(struct lock_core *c, struct lock_peer *p)
{
	p->next = c->free_peers;
	c->free_peers = p;
	LOCK_ADD(c, peers, -1);
}
