/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces by telemetry: the same requests as "show trace" has, each a dictionary. */
#include <errno.h>
#include <stdio.h>

#include <rte_common.h>

#include "telemetry.h"
#include "trace.h"

#define NEWEST 32 /* requests that fit an answer */

static void head(struct rte_tel_data *d, const struct trace_qp *t)
{
	rte_tel_data_add_dict_string(d, "name", t->name);
	rte_tel_data_add_dict_string(d, "tracing", t->on ? "on" : "off");
	if (t->count != PHCA_QP_TRACE_ALL)
		rte_tel_data_add_dict_u64(d, "count", t->count);
	rte_tel_data_add_dict_u64(d, "requests", t->taken);
	rte_tel_data_add_dict_u64(d, "lost", t->lost);
}

static void taken(struct rte_tel_data *d, const struct phca_trace_rec *r)
{
	rte_tel_data_add_dict_u64(d, r->dir == PHCA_DIR_SEND ? "wr_id" : "psn", r->id);
	rte_tel_data_add_dict_string(d, "op", trace_opcode_str(r));
	rte_tel_data_add_dict_u64(d, "bytes", r->len);
	if (r->rule != PHCA_TRACE_RULE_NONE)
		rte_tel_data_add_dict_string(d, "rule", r->name);
	rte_tel_data_add_dict_u64(d, "filters", r->tried);
}

static void released(struct rte_tel_data *d, const struct trace_told *t)
{
	static const char *const results[] = {
		[PHCA_TRACE_NOTHING] = "none", [PHCA_TRACE_CQE] = "completion", [PHCA_TRACE_NOOP] = "no-op",
	};

	rte_tel_data_add_dict_string(d, "result", t->released->result < RTE_DIM(results) ?
		results[t->released->result] : "?");
	rte_tel_data_add_dict_string(d, "status", phca_wc_status_str(t->released->status));
	rte_tel_data_add_dict_u64(d, "waited_ns", t->waited_ns);
	if (t->released->flags & PHCA_TRACE_F_WAITED)
		rte_tel_data_add_dict_u64(d, "waited_for", t->released->id);
}

static void line(struct rte_tel_data *d, const struct trace_line *l)
{
	struct trace_told t;

	trace_tell(l, &t);
	rte_tel_data_add_dict_string(d, "direction", l->dir == PHCA_DIR_SEND ? "send" : "inbound");
	if (l->placed)
		rte_tel_data_add_dict_u64(d, "place", l->seq);
	if (t.taken)
		taken(d, t.taken);
	if (t.submitted) {
		rte_tel_data_add_dict_string(d, "offload", t.submitted->name);
		rte_tel_data_add_dict_u64(d, "ring_ns", t.ring_ns);
		rte_tel_data_add_dict_u64(d, "latency_ns", t.latency_ns);
		rte_tel_data_add_dict_u64(d, "children", t.children);
		rte_tel_data_add_dict_u64(d, "child_errors", t.child_errors);
	}
	if (t.ended)
		rte_tel_data_add_dict_string(d, "end", phca_trace_kind_str(t.ended->kind));
	if (t.released)
		released(d, &t);
	else
		rte_tel_data_add_dict_string(d, "result", l->forgotten ? "forgotten" :
			l->placed ? "under way" : "none");
}

static int one(struct request *r, const struct trace_qp *t)
{
	unsigned int n = trace_nb_lines(t), from = n > NEWEST ? n - NEWEST : 0;
	struct rte_tel_data *in;
	char name[32];

	head(r->d, t);
	for (unsigned int i = from; i < n; i++) {
		in = telemetry_dict();
		if (!in)
			return -ENOMEM;
		line(in, trace_line(t, i));
		snprintf(name, sizeof(name), "request_%u", i - from);
		telemetry_add(r->d, name, in);
	}
	return 0;
}

int telemetry_trace(struct request *r)
{
	const struct trace_qp *t;
	char name[32];
	uint32_t n;

	trace_take(r->a);
	if (r->params) {
		t = telemetry_number(r->params, &n) ? trace_find(r->a, n) : NULL;
		return t ? one(r, t) : -EINVAL;
	}
	for (unsigned int i = 0; (t = trace_at(r->a, i)) != NULL; i++) {
		struct rte_tel_data *in = telemetry_dict();

		if (!in)
			return -ENOMEM;
		head(in, t);
		snprintf(name, sizeof(name), "qp_0x%x", t->qpn);
		telemetry_add(r->d, name, in);
	}
	return 0;
}
