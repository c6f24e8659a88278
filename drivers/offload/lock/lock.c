/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock offload: the lock core (core.h) between requests that arrive and children
 * that carry the answers.
 *
 * A request is finished in submit: what waits is a claim in the core, not the inbound
 * request, so completions never wait for locks. Only a requester that does not take its
 * answers finds its requests held, those of its own queue pair. Invariant: an answer leaves
 * the core when the child that carries it is posted, and the core has room for the answer
 * of every request that it was given; so none is lost and none is told twice.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <rte_malloc.h>

#include "tables.h"
#include "phca_drivers.h"

#define SENDING_MAX 8  /* children with answers on the way to one requester */
#define SPARE 64       /* children for those who find no place as a requester */
#define CHECKS_MAX 16  /* requesters looked at in a turn */
#define STEPS_MAX 20000 /* of searches for deadlocks in a turn, and what one more message needs */

enum {
	SET_QPS, SET_TABLES, SET_LOCKS, SET_SESSIONS, SET_CLAIMS, SET_WAITERS, SET_QP_CLAIMS, SET_QP_WAITERS,
	SET_WAIT, SET_STEPS, SET_PROBE,
};

static const struct phca_setting lock_settings[] = {
	[SET_QPS] = { "max_qps", PHCA_SETTING_UINT, 1, 16384, 256, NULL, "queue pairs with requesters" },
	[SET_TABLES] = { "max_tables", PHCA_SETTING_UINT, 1, 65536, 64, NULL, "tables in use" },
	[SET_LOCKS] = { "max_locks", PHCA_SETTING_UINT, 1, 1u << 22, 16384, NULL, "locks held or waited for" },
	[SET_SESSIONS] = { "max_sessions", PHCA_SETTING_UINT, 1, 1u << 22, 16384, NULL, "sessions that hold or wait" },
	[SET_CLAIMS] = { "max_claims", PHCA_SETTING_UINT, 1, 1u << 22, 32768, NULL, "grants and waits" },
	[SET_WAITERS] = { "max_waiters", PHCA_SETTING_UINT, 1, 1u << 22, 8192, NULL, "waits" },
	[SET_QP_CLAIMS] = { "max_qp_claims", PHCA_SETTING_UINT, 1, 1u << 22, 4096, NULL,
		"grants and waits of one queue pair" },
	[SET_QP_WAITERS] = { "max_qp_waiters", PHCA_SETTING_UINT, 1, 1u << 22, 1024, NULL, "waits of one queue pair" },
	[SET_WAIT] = { "max_wait_us", PHCA_SETTING_UINT, 0, 3600000000u, 10000000, NULL,
		"a wait that is not over by then is, us; 0: none" },
	[SET_STEPS] = { "deadlock_steps", PHCA_SETTING_UINT, 0, 1000000, 1000, NULL,
		"holders and waiters that a search for a deadlock looks at; 0: no search" },
	[SET_PROBE] = { "probe_ms", PHCA_SETTING_UINT, 0, 3600000, 1000, NULL,
		"a silent requester that holds or waits is asked whether it lives, ms; 0: never" },
	{ .name = NULL },
};

/* Counters of the driver. X(field, unit, what) */
#define LOCK_DRIVER_COUNTERS(X) \
	X(messages, "messages", "of requesters") \
	X(bad_messages, "messages", "that are no whole number of requests, or too many") \
	X(messages_held, "messages", "that waited until answers were taken, or for a turn with fewer searches") \
	X(answers, "answers", "sent") \
	X(answer_messages, "messages", "in which they were") \
	X(answers_unsent, "answers", "that could not be sent, as the queue pair is in error") \
	X(qps_refused, "messages", "answered limit: max_qps") \
	X(probes, "WRs", "zero-length WRITEs to silent requesters") \
	X(probes_failed, "WRs", "of which failed")

/* A queue pair with a requester at its other end. */
struct requester {
	struct lock_peer *peer;
	struct phca_pqp *q;
	struct phca_offload_req *first, *last;  /* messages that wait for room; drv[0]: the next one */
	struct requester *next, *prev;          /* in use, the one to be looked at next first; or free */
	struct requester *next_retry;
	uint64_t heard_ns, check_ns;
	uint32_t sending;                       /* children with answers */
	bool probing, retry;
};

struct lock {
	struct phca_offload *o;
	struct lock_core *core;
	struct lock_tables tables;
	void *block;
	struct requester *requesters, *free, *check_first, *check_last;
	struct requester *retry, *retry_last; /* poll looks at them */
	uint64_t steps_end; /* of the core's, in this turn */
	unsigned int away;  /* children with answers to those who found no place */
	uint64_t probe_ns, now_ns;
#define LOCK_CTR(f, u, h) uint64_t f;
	LOCK_DRIVER_COUNTERS(LOCK_CTR)
#undef LOCK_CTR
};

/* ---------------------------------------------------------------- requesters */

static void check_add(struct lock *d, struct requester *r)
{
	r->check_ns = d->now_ns + d->probe_ns / 2;
	r->next = NULL;
	r->prev = d->check_last;
	*(d->check_last != NULL ? &d->check_last->next : &d->check_first) = r;
	d->check_last = r;
}

static void check_take(struct lock *d, struct requester *r)
{
	*(r->prev != NULL ? &r->prev->next : &d->check_first) = r->next;
	*(r->next != NULL ? &r->next->prev : &d->check_last) = r->prev;
}

static struct requester *requester_add(struct lock *d, const struct phca_offload_req *req)
{
	struct requester *r = d->free;
	struct lock_peer *p;

	if (r == NULL)
		return NULL;
	p = lock_peer_add(d->core, req->pd, req->qpn);
	if (p == NULL)
		return NULL;
	if (phca_pqp_watch(req->pqp, d->o, r) != 0) {
		lock_peer_put(d->core, p);
		return NULL;
	}
	d->free = r->next;
	*r = (struct requester){ .peer = p, .q = req->pqp };
	p->drv[0] = (uintptr_t)r;
	check_add(d, r);
	return r;
}

static void retry_later(struct lock *d, struct requester *r)
{
	if (r->retry)
		return;
	r->retry = true;
	r->next_retry = NULL;
	*(d->retry_last != NULL ? &d->retry_last->next_retry : &d->retry) = r;
	d->retry_last = r;
}

static void retry_no_more(struct lock *d, struct requester *r)
{
	struct requester *before = NULL, *at = d->retry;

	for (; at != r; at = at->next_retry)
		before = at;
	*(before != NULL ? &before->next_retry : &d->retry) = r->next_retry;
	if (d->retry_last == r)
		d->retry_last = before;
	r->retry = false;
}

static void requester_put(struct lock *d, struct requester *r)
{
	if (r->retry)
		retry_no_more(d, r);
	check_take(d, r);
	lock_peer_put(d->core, r->peer);
	r->next = d->free;
	d->free = r;
}

/* ---------------------------------------------------------------- answers */

static bool post(struct lock *d, struct phca_pqp *q, struct phca_child *c, struct requester *r,
		const struct phca_lock_answer *a, unsigned int n)
{
	c->wr.wqe.opcode = PHCA_WR_SEND;
	c->wr.wqe.flags = PHCA_SEND_SOLICITED;
	c->wr.inline_data = (const uint8_t *)a;
	c->wr.len = n * sizeof(*a);
	c->drv[0] = (uintptr_t)r;
	c->drv[1] = n;
	if (phca_child_post(q, c, NULL) != 0) {
		phca_child_put(c);
		PHCA_STAT_ADD(d->answers_unsent, n);
		return false;
	}
	if (r == NULL)
		d->away++;
	PHCA_STAT_ADD(d->answers, n);
	PHCA_STAT_ADD(d->answer_messages, 1);
	return true;
}

/* Send what there is for a requester, as far as it takes it. */
static void send_answers(struct lock *d, struct requester *r)
{
	while (!r->peer->dead && r->peer->first != NULL && r->sending < SENDING_MAX) {
		struct phca_child *c = phca_pqp_ready(r->q) ? phca_child_get(d->o) : NULL;
		struct phca_lock_answer *a;
		unsigned int n;

		if (c == NULL) {
			retry_later(d, r);
			return;
		}
		a = (struct phca_lock_answer *)(void *)c->data;
		n = lock_take(d->core, r->peer, a, PHCA_LOCK_ANSWERS);
		if (!post(d, r->q, c, r, a, n))
			return;
		r->sending++;
	}
}

static void send_all(struct lock *d)
{
	struct lock_peer *p;

	while ((p = lock_ready(d->core)) != NULL)
		send_answers(d, (struct requester *)(uintptr_t)p->drv[0]);
}

/* ---------------------------------------------------------------- requests */

/* @return how many requests the message has; one that is none of ours counts as a bad one */
static unsigned int fetch(struct lock *d, const struct phca_offload_req *req, struct phca_lock_req *out)
{
	unsigned int n = req->len / sizeof(out[0]);

	if (n >= 1 && n <= PHCA_LOCK_BATCH && req->len % sizeof(out[0]) == 0 &&
			phca_offload_read(req, 0, out, req->len) == (int)req->len)
		return n;
	PHCA_STAT_ADD(d->bad_messages, 1);
	memset(out, 0, sizeof(out[0]));
	phca_offload_read(req, 0, out, sizeof(out[0]));
	out[0].version = 0;
	return 1;
}

static void carry_out(struct lock *d, struct requester *r, struct phca_offload_req *req)
{
	struct phca_lock_req in[PHCA_LOCK_BATCH];
	unsigned int n = fetch(d, req, in);

	for (unsigned int i = 0; i < n; i++) {
		d->tables.entry = NULL;
		lock_request(d->core, r->peer, &in[i], d->now_ns);
	}
	d->tables.entry = NULL;
	phca_offload_done(req, PHCA_WC_SUCCESS);
}

/* Whether searches have taken from all others in this turn what they may. */
static bool searched_enough(const struct lock *d)
{
	return lock_core_steps(d->core) >= d->steps_end;
}

/* Messages that waited. @return how many */
static unsigned int go_on(struct lock *d, struct requester *r)
{
	unsigned int n = 0;

	for (; r->first != NULL && lock_peer_room(r->peer, PHCA_LOCK_BATCH); n++) {
		struct phca_offload_req *req = r->first;

		if (searched_enough(d)) {
			retry_later(d, r);
			break;
		}
		r->first = (struct phca_offload_req *)(uintptr_t)req->drv[0];
		if (r->first == NULL)
			r->last = NULL;
		carry_out(d, r, req);
		send_answers(d, r);
	}
	return n;
}

/* Requests of one message of answers are told that there is no room. */
static void say_limit(struct lock *d, struct phca_pqp *q, const struct phca_lock_req *in, unsigned int n)
{
	struct phca_child *c = phca_child_get(d->o);
	struct phca_lock_answer *a;

	if (c == NULL)
		return; /* requesters and `away` have their bounds: there is one */
	a = (struct phca_lock_answer *)(void *)c->data;
	for (unsigned int i = 0; i < n; i++)
		a[i] = (struct phca_lock_answer){ .magic = PHCA_LOCK_ANSWER_MAGIC, .version = PHCA_LOCK_VERSION,
			.op = in[i].op, .status = PHCA_LOCK_LIMIT, .id = in[i].id, .lock = in[i].lock };
	post(d, q, c, NULL, a, n);
}

/* No place for another queue pair: say so, without one. Who does not take that takes nothing of the others'. */
static int turn_away(struct lock *d, struct phca_offload_req *req)
{
	struct phca_lock_req in[PHCA_LOCK_BATCH];
	unsigned int n;

	PHCA_STAT_ADD(d->qps_refused, 1);
	if (d->away > SPARE - PHCA_LOCK_BATCH / PHCA_LOCK_ANSWERS)
		return -ENOSPC;
	n = fetch(d, req, in);
	for (unsigned int i = 0; i < n; i += PHCA_LOCK_ANSWERS)
		say_limit(d, req->pqp, &in[i], RTE_MIN(n - i, (unsigned int)PHCA_LOCK_ANSWERS));
	phca_offload_done(req, PHCA_WC_SUCCESS);
	return 0;
}

static int lock_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct lock *d = phca_offload_priv(o);
	struct requester *r;

	if (req->dir != PHCA_DIR_RECV || req->transport != PHCA_TRANSPORT_RC || req->op != PHCA_OP_SEND)
		return -ENOTSUP;
	d->now_ns = now_ns;
	PHCA_STAT_ADD(d->messages, 1);
	r = phca_pqp_watched(req->pqp, o);
	if (r == NULL)
		r = requester_add(d, req);
	if (r == NULL)
		return turn_away(d, req);
	r->heard_ns = now_ns;
	if (r->first != NULL || !lock_peer_room(r->peer, PHCA_LOCK_BATCH) || searched_enough(d)) {
		req->drv[0] = 0;
		if (r->last != NULL)
			r->last->drv[0] = (uintptr_t)req;
		else
			r->first = req;
		r->last = req;
		PHCA_STAT_ADD(d->messages_held, 1);
		if (searched_enough(d))
			retry_later(d, r);
		return 0;
	}
	carry_out(d, r, req);
	send_all(d);
	return 0;
}

static int lock_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct requester *r = phca_pqp_watched(req->pqp, o);
	struct phca_offload_req *before = NULL, *k = r->first;

	while (k != req) {
		before = k;
		k = (struct phca_offload_req *)(uintptr_t)k->drv[0];
	}
	if (before != NULL)
		before->drv[0] = req->drv[0];
	else
		r->first = (struct phca_offload_req *)(uintptr_t)req->drv[0];
	if (r->last == req)
		r->last = before;
	return 0;
}

/* ---------------------------------------------------------------- time, ends */

static void probe(struct lock *d, struct requester *r)
{
	struct phca_child *c;

	if (r->peer->dead || !lock_peer_busy(r->peer) || r->probing || r->sending != 0 ||
			d->now_ns - r->heard_ns < d->probe_ns || !phca_pqp_ready(r->q))
		return;
	c = phca_child_get(d->o);
	if (c == NULL)
		return;
	c->wr.wqe.opcode = PHCA_WR_RDMA_WRITE;
	c->drv[0] = (uintptr_t)r;
	c->drv[1] = 0;
	if (phca_child_post(r->q, c, NULL) != 0) {
		phca_child_put(c);
		return;
	}
	r->probing = true;
	PHCA_STAT_ADD(d->probes, 1);
}

static unsigned int check_requesters(struct lock *d)
{
	unsigned int n = 0;

	for (; d->check_first != NULL && d->check_first->check_ns <= d->now_ns && n < CHECKS_MAX; n++) {
		struct requester *r = d->check_first;

		check_take(d, r);
		check_add(d, r);
		probe(d, r);
	}
	return n;
}

/* Once around; when searches end it, those that are left are the first in the next turn. */
static unsigned int retry_run(struct lock *d)
{
	const struct requester *last = d->retry_last;
	unsigned int n = 0;
	struct requester *r;

	while ((r = d->retry) != NULL && !searched_enough(d)) {
		retry_no_more(d, r);
		send_answers(d, r);
		n += go_on(d, r);
		if (r == last)
			break;
	}
	return n;
}

static unsigned int lock_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct lock *d = phca_offload_priv(o);
	unsigned int n;

	d->now_ns = now_ns;
	n = lock_tick(d->core, now_ns);
	if (d->probe_ns != 0)
		n += check_requesters(d);
	d->steps_end = lock_core_steps(d->core) + STEPS_MAX;
	n += retry_run(d);
	send_all(d);
	return n;
}

static void lock_child_done(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status, uint64_t now_ns)
{
	struct lock *d = phca_offload_priv(o);
	struct requester *r = (struct requester *)(uintptr_t)c->drv[0];

	d->now_ns = now_ns;
	if (r == NULL) {
		d->away--;
		return;
	}
	if (c->drv[1] != 0) {
		r->sending--;
	} else {
		r->probing = false;
		if (status != PHCA_WC_SUCCESS)
			PHCA_STAT_ADD(d->probes_failed, 1);
	}
	if (status != PHCA_WC_SUCCESS)
		return;
	r->heard_ns = now_ns;
	send_answers(d, r);
	go_on(d, r);
	send_all(d);
}

static void lock_qp_event(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns)
{
	struct lock *d = phca_offload_priv(o);
	struct requester *r = phca_pqp_watched(q, o);

	d->now_ns = now_ns;
	if (r == NULL || ev == PHCA_PQP_READY)
		return;
	lock_peer_kill(d->core, r->peer);
	if (ev == PHCA_PQP_GONE)
		requester_put(d, r);
	send_all(d);
}

/* ---------------------------------------------------------------- an instance */

static int lock_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	struct lock *d = phca_offload_priv(o);
	const uint32_t qps = (uint32_t)v[SET_QPS].u;
	const struct lock_conf conf = {
		.max_peers = qps, .max_tables = (uint32_t)v[SET_TABLES].u, .max_locks = (uint32_t)v[SET_LOCKS].u,
		.max_sessions = (uint32_t)v[SET_SESSIONS].u, .max_claims = (uint32_t)v[SET_CLAIMS].u,
		.max_waiters = (uint32_t)v[SET_WAITERS].u, .peer_claims = (uint32_t)v[SET_QP_CLAIMS].u,
		.peer_waiters = (uint32_t)v[SET_QP_WAITERS].u, .deadlock_steps = (uint32_t)v[SET_STEPS].u,
		.max_wait_ns = v[SET_WAIT].u * 1000,
	};

	d->o = o;
	d->tables.mem = phca_offload_mem(o);
	d->probe_ns = v[SET_PROBE].u * 1000000;
	if (d->tables.mem == NULL) {
		snprintf(err, err_len, "offload %s: its proxy has no memory tables", phca_offload_name(o));
		return -EINVAL;
	}
	d->block = rte_zmalloc(NULL, lock_core_size(&conf), 64);
	d->requesters = rte_zmalloc(NULL, qps * sizeof(d->requesters[0]), 64);
	if (d->block == NULL || d->requesters == NULL || phca_child_pool(o, qps * (SENDING_MAX + 1) + SPARE) != 0) {
		rte_free(d->block);
		rte_free(d->requesters);
		snprintf(err, err_len, "offload %s: no memory, %zu bytes and %u work requests; make its max_ settings "
			"smaller", phca_offload_name(o), lock_core_size(&conf), qps * (SENDING_MAX + 1) + SPARE);
		return -ENOMEM;
	}
	d->core = lock_core_init(d->block, &conf, &lock_tables_ops, &d->tables);
	d->steps_end = STEPS_MAX;
	for (uint32_t i = qps; i-- > 0;) {
		d->requesters[i].next = d->free;
		d->free = &d->requesters[i];
	}
	return 0;
}

static void lock_fini(struct phca_offload *o)
{
	struct lock *d = phca_offload_priv(o);

	rte_free(d->requesters);
	rte_free(d->block);
}

static int lock_show(const struct phca_offload *o, int (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct lock *d = phca_offload_priv(o);
	const struct lock_stats *st = lock_core_stats(d->core);
	int rc = 0;

#define LOCK_CTR(f, u, h) if (rc == 0) rc = emit(arg, #f, PHCA_STAT_GET(d->f));
	LOCK_DRIVER_COUNTERS(LOCK_CTR)
#undef LOCK_CTR
#define LOCK_CTR(f, u, h) if (rc == 0) rc = emit(arg, #f, PHCA_STAT_GET(st->f));
	LOCK_COUNTERS(LOCK_CTR)
	LOCK_CTR(tables, "", "")
	LOCK_CTR(locks, "", "")
	LOCK_CTR(sessions, "", "")
	LOCK_CTR(held, "", "")
	LOCK_CTR(waiting, "", "")
	LOCK_CTR(peers, "", "")
#undef LOCK_CTR
	return rc;
}

const struct phca_offload_ops phca_offload_lock = {
	.name = "lock",
	.help = "takes and gives back locks of a distributed database for remote requesters",
	.settings = lock_settings,
	.priv_size = sizeof(struct lock),
	.init = lock_init,
	.fini = lock_fini,
	.submit = lock_submit,
	.cancel = lock_cancel,
	.poll = lock_poll,
	.child_done = lock_child_done,
	.qp_event = lock_qp_event,
	.show = lock_show,
};
