/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlocks: a search in the graph of who waits for whom, at the time of queueing.
 *
 * A session that waits is taken to give nothing back until it has got what it waits for.
 * It waits for the holders in its way and for those in front of it in the queue who will
 * be in its way. Invariant: without the new wait there is no circle, as each wait was
 * searched when it began and nothing else adds a way from one session to another: a
 * grant turns "in front" into "holds", an upgrade in front of the queue stands in the
 * way of those for whom it already did as a holder. So a new circle goes through the new wait.
 */
#include "core_impl.h"

struct search {
	struct lock_core *c;
	const struct lock_session *from;
	uint32_t steps, n; /* n: sessions on the stack */
	bool found;
};

/* Sessions in the way of one who wants a lock in a mode: in a list, up to and with `last`. */
static void blockers(struct search *x, const struct lock_session *who, const struct lock_claim *k,
		const struct lock_claim *last, uint8_t mode)
{
	for (; k != NULL && !x->found && x->steps < x->c->conf.deadlock_steps; k = k->next) {
		struct lock_session *s = k->session;

		x->steps++;
		if (s != who && lock_conflict(k->mode, mode)) {
			if (s == x->from)
				x->found = true;
			else if (s->epoch != x->c->epoch) {
				s->epoch = x->c->epoch;
				x->c->stack[x->n++] = s;
			}
		}
		if (k == last)
			break;
	}
}

static void look(struct search *x, const struct lock_session *who, const struct lock_state *l, uint8_t mode,
		const struct lock_claim *last_ahead)
{
	blockers(x, who, l->holders.first, NULL, mode);
	if (last_ahead != NULL)
		blockers(x, who, l->waiters.first, last_ahead, mode);
}

bool lock_would_deadlock(struct lock_core *c, const struct lock_session *s, const struct lock_state *l,
		uint8_t mode, const struct lock_claim *last_ahead)
{
	struct search x = { .c = c, .from = s };

	if (c->conf.deadlock_steps == 0)
		return false;
	c->epoch++;
	look(&x, s, l, mode, last_ahead);
	while (!x.found && x.n > 0 && x.steps < c->conf.deadlock_steps) {
		const struct lock_session *b = c->stack[--x.n];

		for (const struct lock_claim *w = b->waits;
				w != NULL && !x.found && x.steps < c->conf.deadlock_steps; w = w->snext)
			look(&x, b, w->lock, w->mode, w->prev);
	}
	c->steps += x.steps;
	if (!x.found && x.steps >= c->conf.deadlock_steps)
		LOCK_ADD(c, searches_cut, 1);
	return x.found;
}
