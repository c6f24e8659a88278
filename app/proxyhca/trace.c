/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traces: switched on and off, and what the lcores wrote merged by request.
 *
 * The rings of records exist while a queue pair is traced. The HCA lcore writes of
 * a request before the proxy lcore can; so proxies' rings are read up to where they
 * were before those of the HCA lcores were read to their end. What then belongs to no
 * line is of a request that newer ones have pushed out, or whose first record was lost.
 *
 * Invariant: no lcore has a ring that is freed: it was taken from it by a call that
 * ran between two of its turns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_string_fns.h>

#include "trace.h"

#define RECORDS 8192 /* room of each ring, for 100 ms */
#define BURST 64

struct traces {
	struct phca_trace *hca[PHCA_SHARD_MAX], *proxy[PHCA_HCA_PROXY_MAX];
	bool rings;
	uint64_t lost;      /* of rings that are freed */
	struct trace_qp *qp[TRACE_QPS];
};

struct trace_qp *trace_at(const struct appliance *a, unsigned int i)
{
	return a->traces && i < TRACE_QPS ? a->traces->qp[i] : NULL;
}

struct trace_qp *trace_find(const struct appliance *a, uint32_t qpn)
{
	struct trace_qp *t;

	for (unsigned int i = 0; (t = trace_at(a, i)) != NULL; i++)
		if (t->qpn == qpn)
			return t;
	return NULL;
}

/* --- rings */

static uint64_t lost(const struct appliance *a)
{
	const struct traces *s = a->traces;
	uint64_t n = s->lost;

	if (!s->rings)
		return n;
	for (unsigned int i = 0; i < a->nb_shards; i++)
		n += phca_trace_lost(s->hca[i]);
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		n += phca_trace_lost(s->proxy[i]);
	return n;
}

static void rings_drop(struct appliance *a)
{
	struct traces *s = a->traces;

	for (unsigned int i = 0; i < a->nb_shards; i++) {
		phca_trace_destroy(s->hca[i]);
		s->hca[i] = NULL;
	}
	for (unsigned int i = 0; i < a->nb_proxies; i++) {
		phca_trace_destroy(s->proxy[i]);
		s->proxy[i] = NULL;
	}
}

/* The proxies first: they must have theirs when a request is marked. */
static int rings_make(struct appliance *a)
{
	struct traces *s = a->traces;
	bool ok = true;

	if (s->rings)
		return 0;
	for (unsigned int i = 0; i < a->nb_shards; i++)
		ok &= (s->hca[i] = phca_trace_create(RECORDS)) != NULL;
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		ok &= (s->proxy[i] = phca_trace_create(RECORDS)) != NULL;
	if (!ok) {
		rings_drop(a);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		phca_proxy_trace_set(a->proxies[i].proxy, s->proxy[i]);
	for (unsigned int i = 0; i < a->nb_shards; i++)
		phca_hca_trace_set(a->hca, i, s->hca[i]);
	s->rings = true;
	return 0;
}

/* Nothing is traced any more. */
static void rings_free(struct appliance *a)
{
	struct traces *s = a->traces;

	if (!s->rings)
		return;
	for (unsigned int i = 0; i < a->nb_shards; i++)
		phca_hca_trace_set(a->hca, i, NULL);
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		phca_proxy_trace_set(a->proxies[i].proxy, NULL);
	trace_take(a);
	s->lost = lost(a);
	s->rings = false;
	rings_drop(a);
}

/* --- records */

static struct trace_line *line_new(struct trace_qp *t, const struct phca_trace_rec *r)
{
	uint16_t i = (uint16_t)(t->taken++ % TRACE_LINES);
	struct trace_line *l = &t->lines[i];

	*l = (struct trace_line){
		.seq = r->seq, .dir = r->dir, .placed = !(r->flags & PHCA_TRACE_F_NO_PLACE),
	};
	l->over = !l->placed;
	if (l->placed)
		t->last[r->dir][r->seq % TRACE_LINES] = i;
	return l;
}

/* The line that a record belongs to, NULL: none. One that was released has a place that is used again. */
static struct trace_line *line_of(struct trace_qp *t, const struct phca_trace_rec *r)
{
	struct trace_line *l = &t->lines[t->last[r->dir][r->seq % TRACE_LINES]];
	bool known = l->n > 0 && l->placed && l->dir == r->dir && l->seq == r->seq;

	if (r->kind != PHCA_TRACE_TAKEN)
		return known ? l : NULL;
	if (known && !l->over && !(r->flags & PHCA_TRACE_F_NO_PLACE))
		return l; /* again, under other rules */
	return line_new(t, r);
}

/* What is under way will not end. */
static void forget(struct trace_qp *t)
{
	for (unsigned int i = 0; i < trace_nb_lines(t); i++) {
		struct trace_line *l = &t->lines[i];

		l->forgotten |= !l->over;
		l->over = true;
	}
}

static void keep(struct appliance *a, const struct phca_trace_rec *r)
{
	struct trace_qp *t = trace_find(a, r->qpn);
	struct trace_line *l;

	if (!t || r->dir >= PHCA_DIR_COUNT)
		return;
	if (r->kind == PHCA_TRACE_RESET) {
		forget(t);
		return;
	}
	l = line_of(t, r);
	if (!l)
		return;
	/* the last record, how it was released, always has room */
	if (l->n < TRACE_RECS - 1 || (l->n < TRACE_RECS && r->kind == PHCA_TRACE_RELEASED))
		l->rec[l->n++] = *r;
	else
		l->left_out++;
	if (r->kind == PHCA_TRACE_RELEASED)
		l->over = true;
}

static void take(struct appliance *a, struct phca_trace *from, unsigned int max)
{
	struct phca_trace_rec r[BURST];
	unsigned int n;

	for (; max > 0; max -= n) {
		n = phca_trace_get(from, r, RTE_MIN(max, (unsigned int)BURST));
		if (n == 0)
			return;
		for (unsigned int i = 0; i < n; i++)
			keep(a, &r[i]);
	}
}

void trace_take(struct appliance *a)
{
	unsigned int used[PHCA_HCA_PROXY_MAX];
	struct traces *s = a->traces;
	struct trace_qp *t;

	if (!s || !s->rings)
		return;
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		used[i] = phca_trace_used(s->proxy[i]);
	for (unsigned int i = 0; i < a->nb_shards; i++)
		take(a, s->hca[i], RECORDS);
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		take(a, s->proxy[i], used[i]);
	for (unsigned int i = 0; (t = trace_at(a, i)) != NULL; i++)
		if (t->on)
			t->lost = lost(a) - t->lost_base;
}

unsigned int trace_nb_lines(const struct trace_qp *t)
{
	return (unsigned int)RTE_MIN(t->taken, (uint64_t)TRACE_LINES);
}

const struct trace_line *trace_line(const struct trace_qp *t, unsigned int i)
{
	unsigned int n = trace_nb_lines(t);

	return i < n ? &t->lines[(t->taken - n + i) % TRACE_LINES] : NULL;
}

/* --- on and off */

/* Room for one more: a free one, or the first that is off. */
static struct trace_qp **place(struct appliance *a, uint32_t qpn)
{
	struct trace_qp **off = NULL;

	for (unsigned int i = 0; i < TRACE_QPS; i++) {
		struct trace_qp **t = &a->traces->qp[i];

		if (!*t || (*t)->qpn == qpn)
			return t;
		if (!(*t)->on && !off)
			off = t;
	}
	return off;
}

int trace_start(struct appliance *a, struct qp_obj *q, uint32_t count, char *err, size_t err_len)
{
	struct trace_qp **at, *t;
	uint32_t qpn = phca_qp_num(q->qp);
	int rc;

	if (!a->traces)
		a->traces = calloc(1, sizeof(*a->traces));
	at = a->traces ? place(a, qpn) : NULL;
	if (a->traces && !at) {
		snprintf(err, err_len, "qp 0x%x: %u queue pairs are traced already; 'trace qp N off' ends one", qpn,
			TRACE_QPS);
		return -ENOSPC;
	}
	if (at && *at && (*at)->on)
		trace_stop(a, (*at)->qpn);
	t = at ? calloc(1, sizeof(*t)) : NULL;
	rc = t ? rings_make(a) : -ENOMEM;
	if (rc == 0)
		rc = phca_qp_trace_set(q->qp, count);
	if (rc < 0) {
		snprintf(err, err_len, "qp 0x%x (%s): not traced: %s", qpn, qp_obj_name(a, q),
			rc == -EINVAL ? "it is no proxy QP, no rule could match; 'attach qp' gives it rules" :
			rte_strerror(-rc));
		free(t);
		return rc;
	}
	t->qpn = qpn;
	t->on = true;
	t->count = count;
	t->lost_base = lost(a);
	rte_strscpy(t->name, qp_obj_name(a, q), sizeof(t->name));
	free(*at);
	*at = t;
	return 0;
}

/* The rings go with the last. */
static void ended(struct appliance *a, struct trace_qp *gone)
{
	struct trace_qp *t;

	trace_take(a);
	gone->on = false;
	for (unsigned int i = 0; (t = trace_at(a, i)) != NULL; i++)
		if (t->on)
			return;
	rings_free(a);
}

int trace_stop(struct appliance *a, uint32_t qpn)
{
	struct trace_qp *t = trace_find(a, qpn);
	struct qp_obj *q = objects_qp(a, qpn);

	if (!t || !t->on)
		return -ENOENT;
	if (q)
		phca_qp_trace_set(q->qp, 0);
	ended(a, t);
	return 0;
}

void trace_gone(struct appliance *a, uint32_t qpn)
{
	struct trace_qp *t = trace_find(a, qpn);

	if (!t || !t->on)
		return;
	ended(a, t);
	forget(t);
}

void trace_free(struct appliance *a)
{
	struct trace_qp *t;

	if (!a->traces)
		return;
	for (unsigned int i = 0; (t = trace_at(a, i)) != NULL; i++) {
		trace_stop(a, t->qpn);
		free(t);
	}
	rings_free(a);
	free(a->traces);
	a->traces = NULL;
}
