/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The delay offload: a request finishes after a seeded random time.
 *
 * Requests wait in a binary heap on an array that init allocates, ordered by
 * the time at which they are due, then by arrival. Invariant: req->drv[0] is the
 * request's index in the heap, so that cancel finds it in O(log n); no entry is
 * due earlier than its parent.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <rte_malloc.h>

#include "phca_drivers.h"

enum { SET_MIN, SET_MAX, SET_SEED, SET_FAIL, SET_CAPACITY, SET_CANCEL };
#define US_MAX 60000000u
#define PPM 1000000u

static const struct phca_setting delay_settings[] = {
	[SET_MIN] = { "delay_min_us", PHCA_SETTING_UINT, 0, US_MAX, 0, NULL, "shortest time, us" },
	[SET_MAX] = { "delay_max_us", PHCA_SETTING_UINT, 0, US_MAX, 100, NULL, "longest time, us" },
	[SET_SEED] = { "seed", PHCA_SETTING_UINT, 0, UINT64_MAX, 1, NULL, "of times and failures" },
	[SET_FAIL] = { "fail_ppm", PHCA_SETTING_UINT, 0, PPM, 0, NULL, "requests of a million that fail" },
	[SET_CAPACITY] = { "capacity", PHCA_SETTING_UINT, 1, 1u << 20, 65536, NULL, "requests held at once" },
	[SET_CANCEL] = { "cancel", PHCA_SETTING_BOOL, 0, 1, 1, NULL, "whether requests can be cancelled" },
	{ .name = NULL },
};

struct entry {
	uint64_t due_ns;
	uint64_t order; /* among those due at the same time: arrival */
	struct phca_offload_req *req;
};

struct delay {
	struct entry *heap;
	uint32_t held, capacity, fail_ppm;
	bool cancel;
	uint64_t min_ns, span_ns; /* times are min_ns .. min_ns + span_ns */
	uint64_t random, order;
	uint64_t held_max;
};

/* splitmix64: the same numbers from the same seed, everywhere. */
static uint64_t next_random(struct delay *d)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0..n-1 for n of any size up to 2^64-1, without bias that matters here. */
static uint64_t random_below(struct delay *d, uint64_t n)
{
	return (uint64_t)((__uint128_t)next_random(d) * n >> 64);
}

static bool before(const struct entry *a, const struct entry *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void place(struct delay *d, uint32_t i, struct entry e)
{
	d->heap[i] = e;
	e.req->drv[0] = i;
}

static void sift_up(struct delay *d, uint32_t i, struct entry e)
{
	while (i > 0 && before(&e, &d->heap[(i - 1) / 2])) {
		place(d, i, d->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(d, i, e);
}

static void sift_down(struct delay *d, uint32_t i, struct entry e)
{
	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c + 1 < d->held && before(&d->heap[c + 1], &d->heap[c]))
			c++;
		if (c >= d->held || !before(&d->heap[c], &e))
			break;
		place(d, i, d->heap[c]);
		i = c;
	}
	place(d, i, e);
}

/* Fill the hole at i with the last entry. */
static void take_out(struct delay *d, uint32_t i)
{
	struct entry last = d->heap[--d->held];

	if (i == d->held)
		return;
	if (i > 0 && before(&last, &d->heap[(i - 1) / 2]))
		sift_up(d, i, last);
	else
		sift_down(d, i, last);
}

static int delay_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	struct delay *d = phca_offload_priv(o);

	if (v[SET_MAX].u < v[SET_MIN].u) {
		snprintf(err, err_len, "setting delay_max_us: %" PRIu64 " is less than delay_min_us, %" PRIu64,
			v[SET_MAX].u, v[SET_MIN].u);
		return -ERANGE;
	}
	d->min_ns = v[SET_MIN].u * 1000;
	d->span_ns = (v[SET_MAX].u - v[SET_MIN].u) * 1000;
	d->random = v[SET_SEED].u;
	d->fail_ppm = (uint32_t)v[SET_FAIL].u;
	d->capacity = (uint32_t)v[SET_CAPACITY].u;
	d->cancel = v[SET_CANCEL].u != 0;
	d->heap = rte_malloc(NULL, d->capacity * sizeof(d->heap[0]), 0);
	if (d->heap == NULL) {
		snprintf(err, err_len, "setting capacity: no memory for %u requests; make it smaller", d->capacity);
		return -ENOMEM;
	}
	return 0;
}

static void delay_fini(struct phca_offload *o)
{
	struct delay *d = phca_offload_priv(o);

	rte_free(d->heap);
}

static int delay_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct delay *d = phca_offload_priv(o);
	struct entry e = { .due_ns = now_ns + d->min_ns, .req = req };

	if (d->held == d->capacity)
		return -EBUSY;
	e.due_ns += random_below(d, d->span_ns + 1);
	e.order = d->order++;
	req->drv[1] = d->fail_ppm != 0 && random_below(d, PPM) < d->fail_ppm ?
		PHCA_WC_REM_OP_ERR : PHCA_WC_SUCCESS;
	sift_up(d, d->held++, e);
	if (d->held > d->held_max)
		__atomic_store_n(&d->held_max, d->held, __ATOMIC_RELAXED);
	return 0;
}

static int delay_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct delay *d = phca_offload_priv(o);

	if (!d->cancel)
		return -EBUSY;
	take_out(d, (uint32_t)req->drv[0]);
	return 0;
}

static unsigned int delay_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct delay *d = phca_offload_priv(o);
	unsigned int n = 0;

	while (d->held > 0 && d->heap[0].due_ns <= now_ns) {
		struct phca_offload_req *req = d->heap[0].req;

		take_out(d, 0);
		phca_offload_done(req, (enum phca_wc_status)req->drv[1]);
		n++;
	}
	return n;
}

static int delay_show(const struct phca_offload *o, int (*emit)(void *arg, const char *name, uint64_t value),
		void *arg)
{
	const struct delay *d = phca_offload_priv(o);
	struct phca_offload_stats st;
	int rc;

	phca_offload_stats_get(o, &st);
	rc = emit(arg, "held", st.in_flight);
	return rc != 0 ? rc : emit(arg, "held_max", PHCA_STAT_GET(d->held_max));
}

const struct phca_offload_ops phca_offload_delay = {
	.name = "delay",
	.help = "finishes each request after a seeded random time",
	.settings = delay_settings,
	.priv_size = sizeof(struct delay),
	.init = delay_init,
	.fini = delay_fini,
	.submit = delay_submit,
	.cancel = delay_cancel,
	.poll = delay_poll,
	.show = delay_show,
};
