/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * phca-lock bench: sessions that lock and unlock as fast as they are answered.
 *
 * Each connection has depth sessions. A session takes a random lock exclusively, gives it
 * back when it was granted, and begins anew when that is answered: a pair. What is
 * asked in one round goes in as few messages as it fits into.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define DEPTH_MAX 1024
#define SUB 32 /* classes of a power of two */
#define CLASSES (40 * SUB)

struct session {
	uint64_t begun_ns, id;
	uint32_t lock;
	enum phca_lock_op again; /* could not be asked, as no send was free: later */
};

struct runner {
	struct link l;
	const struct options *o;
	uint32_t depth;
	uint64_t now_ns, random;
	bool ending;
	uint32_t nb_again;
	struct session s[DEPTH_MAX];
	/* The session of a request, at its id modulo; one that waits long loses its place to later ones. */
	uint32_t by_id[DEPTH_MAX * 2];
};

static uint64_t pairs, refused, times[CLASSES], time_max;

static uint32_t next_random(struct runner *r, uint32_t n)
{
	uint64_t z = r->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

/* Classes of 1/32 of their power of two. */
static void take_time(uint64_t ns)
{
	unsigned int e = ns < SUB ? 0 : 63 - (unsigned int)__builtin_clzll(ns) - 5;
	unsigned int i = ns < SUB ? (unsigned int)ns : (e + 1) * SUB + (unsigned int)(ns >> e) - SUB;

	times[i < CLASSES ? i : CLASSES - 1]++;
	if (ns > time_max)
		time_max = ns;
}

static double percentile_us(double p)
{
	uint64_t want = (uint64_t)((double)pairs * p), n = 0;

	for (unsigned int i = 0; i < CLASSES; i++) {
		n += times[i];
		if (n > want) {
			unsigned int e = i / SUB;

			return (double)(e == 0 ? i : (uint64_t)(i % SUB + SUB) << (e - 1)) / 1000;
		}
	}
	return (double)time_max / 1000;
}

static void ask(struct runner *r, uint32_t i, enum phca_lock_op op)
{
	struct session *s = &r->s[i];
	const struct phca_lock_ask a = { .op = op, .mode = op == PHCA_LOCK_OP_LOCK ? PHCA_LOCK_EXCLUSIVE : 0,
		.session = i, .lock = s->lock };
	int rc = phca_lock_client_ask(r->l.c, &a, &s->id);

	s->again = rc == -EAGAIN ? op : PHCA_LOCK_OP_NONE;
	if (rc == -EAGAIN) {
		r->nb_again++;
		return;
	}
	if (rc != 0)
		fail("the connection failed: %s", ibv_wc_status_str(phca_lock_client_status(r->l.c)));
	r->by_id[s->id % (DEPTH_MAX * 2)] = i;
}

static void begin(struct runner *r, uint32_t i)
{
	r->s[i].lock = r->o->first + next_random(r, r->o->nb_locks);
	r->s[i].begun_ns = r->now_ns;
	ask(r, i, PHCA_LOCK_OP_LOCK);
}

static uint32_t asker(const struct runner *r, uint64_t id)
{
	uint32_t i = r->by_id[id % (DEPTH_MAX * 2)];

	if (r->s[i].id == id)
		return i;
	for (i = 0; i < r->depth && r->s[i].id != id; i++)
		;
	return i;
}

static void done(void *arg, const struct phca_lock_answer *a)
{
	struct runner *r = arg;
	uint32_t i = asker(r, a->id);
	struct session *s = &r->s[i];

	if (i == r->depth)
		fail("an answer to request %" PRIu64 ", which was not asked or is answered", a->id);
	s->id = 0;
	if (a->op == PHCA_LOCK_OP_LOCK && a->status == PHCA_LOCK_GRANTED) {
		ask(r, i, PHCA_LOCK_OP_UNLOCK);
		return;
	}
	if (a->op == PHCA_LOCK_OP_UNLOCK && a->status == PHCA_LOCK_OK) {
		pairs++;
		take_time(r->now_ns - s->begun_ns);
	} else {
		refused++;
		if (a->status == PHCA_LOCK_REFUSED || a->status == PHCA_LOCK_BAD)
			fail("lock %u: %s", a->lock, phca_lock_status_str(a->status));
	}
	if (!r->ending)
		begin(r, i);
}

static void ask_again(struct runner *r)
{
	r->nb_again = 0;
	for (uint32_t i = 0; i < r->depth; i++)
		if (r->s[i].again != PHCA_LOCK_OP_NONE)
			ask(r, i, r->s[i].again);
}

static void open_runner(struct runner *r, struct device *d, const struct options *o, uint32_t index)
{
	struct phca_lock_client_conf conf = { .depth = o->depth != 0 ? o->depth : 1, .done = done, .arg = r };

	r->o = o;
	r->depth = conf.depth;
	r->random = o->seed * 1000 + index;
	link_open(&r->l, d, o, &conf);
	if (r->l.nb_locks < o->first + o->nb_locks)
		fail("locks %u to %u: the table has %u; use -n", o->first, o->first + o->nb_locks - 1, r->l.nb_locks);
}

int do_bench(const struct options *o)
{
	struct runner *all = calloc(o->clients, sizeof(*all));
	struct device d;
	uint64_t begun, now;
	uint32_t pending;
	double s;

	if (all == NULL)
		fail("no memory");
	device_open(&d, o);
	for (uint32_t i = 0; i < o->clients; i++)
		open_runner(&all[i], &d, o, i);
	begun = now = now_ns();
	for (uint32_t i = 0; i < o->clients; i++) {
		all[i].now_ns = now;
		for (uint32_t k = 0; k < all[i].depth; k++)
			begin(&all[i], k);
		link_flush(&all[i].l);
	}
	do {
		bool end = stop || (double)(now - begun) >= o->seconds * 1e9;
		int n = 0;

		pending = 0;
		now = now_ns();
		for (uint32_t i = 0; i < o->clients; i++) {
			all[i].now_ns = now;
			all[i].ending = end;
			n += link_poll(&all[i].l);
			if (all[i].nb_again > 0)
				ask_again(&all[i]);
			link_flush(&all[i].l);
			pending += phca_lock_client_pending(all[i].l.c) + all[i].nb_again;
		}
		if (n == 0)
			sched_yield();
	} while (pending > 0);
	s = (double)(now_ns() - begun) / 1e9;
	printf("pairs %" PRIu64 " in %.2f s: %.0f a second; clients %u, depth %u, locks %u; not granted %" PRIu64 "\n",
		pairs, s, (double)pairs / s, o->clients, all[0].depth, o->nb_locks, refused);
	printf("time of a pair, us: p50 %.1f, p99 %.1f, p99.9 %.1f, max %.1f\n", percentile_us(0.5),
		percentile_us(0.99), percentile_us(0.999), (double)time_max / 1000);
	for (uint32_t i = 0; i < o->clients; i++)
		link_close(&all[i].l);
	free(all);
	device_close(&d);
	return 0;
}
