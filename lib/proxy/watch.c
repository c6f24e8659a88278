/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which drivers want to know what becomes of a queue pair, and whose peer it is.
 *
 * Invariant: a driver that watches is told GONE exactly once, when no request and no
 * child of it is left on the queue pair; until then its instance counts as used.
 */
#include <errno.h>

#include "proxy_impl.h"

uint32_t phca_pqp_qpn(const struct phca_pqp *q)
{
	return q->qpn;
}

bool phca_pqp_ready(const struct phca_pqp *q)
{
	return q->state == PQP_ATTACHED && !q->hca_error && !q->error_told;
}

static struct watch *find(struct phca_pqp *q, const struct phca_offload *o)
{
	for (unsigned int i = 0; i < q->nb_watch; i++)
		if (q->watch[i].offload == o)
			return &q->watch[i];
	return NULL;
}

int phca_pqp_watch(struct phca_pqp *q, struct phca_offload *o, void *priv)
{
	struct watch *w = find(q, o);

	if (w == NULL) {
		if (q->nb_watch == WATCH_MAX)
			return -ENOSPC;
		w = &q->watch[q->nb_watch++];
		*w = (struct watch){ .offload = o };
		phca_offload_get(o);
	}
	w->priv = priv; /* one that leaves goes on leaving */
	return 0;
}

void *phca_pqp_watched(const struct phca_pqp *q, const struct phca_offload *o)
{
	const struct watch *w = find((struct phca_pqp *)(uintptr_t)q, o);

	return w != NULL ? w->priv : NULL;
}

static void event(struct phca_pqp *q, struct phca_offload *o, enum phca_pqp_event ev)
{
	if (o->ops->qp_event != NULL)
		o->ops->qp_event(o, q, ev, q->proxy->now_ns);
}

/* Told, while it can still ask what it keeps of the QP; then forgotten. */
static void gone(struct phca_pqp *q, struct watch *w)
{
	struct phca_offload *o = w->offload;

	event(q, o, PHCA_PQP_GONE);
	*w = q->watch[--q->nb_watch];
	__atomic_fetch_sub(&o->users, 1, __ATOMIC_ACQ_REL);
}

void watch_event(struct phca_pqp *q, enum phca_pqp_event ev)
{
	if (q->owner != NULL)
		event(q, q->owner, ev == PHCA_PQP_GONE ? PHCA_PQP_ERROR : ev);
	if (ev == PHCA_PQP_READY)
		return;
	if (ev == PHCA_PQP_GONE) {
		while (q->nb_watch > 0)
			gone(q, &q->watch[0]);
		return;
	}
	for (unsigned int i = 0; i < q->nb_watch; i++)
		event(q, q->watch[i].offload, ev);
}

static bool named(const struct phca_pqp *q, const struct phca_offload *o)
{
	for (unsigned int i = 0; i < RTE_DIM(q->rules.offloads); i++)
		if (q->rules.offloads[i] == o)
			return true;
	return false;
}

void watch_rules(struct phca_proxy *p, struct phca_pqp *q)
{
	bool any = false;

	for (unsigned int i = 0; i < q->nb_watch; i++) {
		q->watch[i].leaving = !named(q, q->watch[i].offload);
		any |= q->watch[i].leaving;
	}
	if (!any || q->sweep)
		return;
	q->sweep = true;
	q->next_sweep = p->sweeps;
	p->sweeps = q;
}

/* Whether a driver, or a child, holds on to a request whose place is over. */
static bool zombie_of(const struct phca_pqp *q, const struct phca_offload *o)
{
	for (int d = 0; q->zombies > 0 && d < PHCA_DIR_COUNT; d++) {
		const struct window *w = &q->win[d];

		for (uint32_t i = 0; i <= w->mask; i++) {
			const struct phca_offload_req *r = w->places[i].req;

			if (r != NULL && r->state == REQ_ZOMBIE && r->offload == o)
				return true;
		}
	}
	return false;
}

/* Whether a driver has something of the QP. */
static bool holds(const struct phca_pqp *q, const struct phca_offload *o)
{
	for (const struct phca_child *c = q->kids; c != NULL; c = c->all_next)
		if (c->offload == o)
			return true;
	for (const struct phca_offload_req *r = o->head; r != NULL; r = r->next)
		if (r->pqp == q)
			return true;
	return zombie_of(q, o);
}

void watch_sweep(struct phca_proxy *p)
{
	struct phca_pqp **at = &p->sweeps;

	while (*at != NULL) {
		struct phca_pqp *q = *at;
		bool more = false;

		for (unsigned int i = 0; q->state == PQP_ATTACHED && i < q->nb_watch;) {
			struct watch *w = &q->watch[i];

			if (!w->leaving || holds(q, w->offload)) {
				more |= w->leaving;
				i++;
				continue;
			}
			gone(q, w);
		}
		if (more) {
			at = &q->next_sweep;
			continue;
		}
		*at = q->next_sweep;
		q->sweep = false;
	}
}

/* --- peers */

struct peer_arg {
	struct phca_offload *o;
	struct phca_pqp *q;
	const char *name;
};

/* Between two turns of the proxy. */
static int peer_add(void *arg)
{
	struct peer_arg *a = arg;
	int rc = a->o->ops->peer(a->o, a->q, a->name);

	if (rc != 0)
		return rc;
	a->q->owner = a->o;
	if (phca_pqp_ready(a->q))
		event(a->q, a->o, PHCA_PQP_READY);
	return 0;
}

int phca_offload_peer_add(struct phca_offload *o, struct phca_pqp *q, const char *name)
{
	struct peer_arg a = { .o = o, .q = q, .name = name };

	if (o->ops->peer == NULL || q->proxy != o->proxy)
		return -ENOTSUP;
	return phca_loop_call(o->proxy->loop, peer_add, &a);
}

static int peer_remove(void *arg)
{
	struct phca_pqp *q = arg;

	event(q, q->owner, PHCA_PQP_GONE);
	q->owner = NULL;
	return 0;
}

void peer_forget(struct phca_pqp *q)
{
	if (q->owner != NULL)
		phca_loop_call(q->proxy->loop, peer_remove, q);
}
