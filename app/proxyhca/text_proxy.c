/* SPDX-License-Identifier: BSD-3-Clause */
/* The proxy CPU and what belongs to it as text: filters, maps, offloads; applications, lcores, events. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_ring.h>

#include "figures.h"
#include "text.h"

void text_proxy_stats(struct appliance *a, FILE *out)
{
	struct phca_proxy_stats st;

	figures_proxy(a, &st);
	text_title(out, "Proxy statistics");
	text_counters(out, &counters_proxy, &st, true);
	for (unsigned int i = 0; a->nb_proxies > 1 && i < a->nb_proxies; i++) {
		figures_proxy_one(&a->proxies[i], &st);
		fprintf(out, "  -- of lcore %u:\n", a->proxies[i].lcore->lcore);
		text_counters(out, &counters_proxy, &st, true);
	}
	text_end(out);
}

static void proxy_rings(struct appliance *a, FILE *out)
{
	for (unsigned int i = 0; i < a->nb_proxies; i++) {
		struct phca_proxy *p = a->proxies[i].proxy;

		for (unsigned int c = 0; c < phca_proxy_nb_chans(p); c++) {
			struct phca_proxy_chan *chan = phca_proxy_chan_get(p, c);
			struct rte_ring *in = phca_proxy_chan_ring(chan);
			struct rte_ring *back = phca_proxy_chan_replies(chan);

			fprintf(out, "  lcore %u; ring from lcore %u: %u of %u used; replies: %u of %u used\n",
				a->proxies[i].lcore->lcore, a->hca_lcores[c]->lcore, ring_used(in),
				rte_ring_get_capacity(in), ring_used(back), rte_ring_get_capacity(back));
		}
	}
}

/* A line for a proxy QP. */
static void proxy_qp(struct appliance *a, const struct qp_obj *q, FILE *out)
{
	struct phca_rule_info rule;
	struct phca_qp_info info;

	phca_qp_info_get(q->qp, &info);
	if (!info.proxy)
		return;
	fprintf(out, "  QP 0x%-6x %-12.12s ", info.qpn, qp_obj_name(a, q));
	if (q->owner)
		fprintf(out, "process %d, user %s, ", (int)q->owner->pid, q->owner->user);
	fprintf(out, "rules %u by %s:", info.nb_rules, q->rules.from);
	for (unsigned int r = 0; phca_qp_rule_info(q->qp, r, &rule) == 0; r++)
		fprintf(out, "%s %s -> %s", r ? "," : "", rule.filter[0] ? rule.filter : "all", rule.offload);
	fputc('\n', out);
}

void text_proxy(struct appliance *a, FILE *out)
{
	text_title(out, "Proxy");
	proxy_rings(a, out);
	for (unsigned int i = 0; appliance_qp(a, i); i++)
		proxy_qp(a, appliance_qp(a, i), out);
	text_proxy_stats(a, out);
}

static void match_text(const struct phca_config_match *m, FILE *out)
{
	const char *sep = "";
	char text[64];

	if (m->exe)
		fprintf(out, "exe %s", m->exe), sep = ", ";
	if (m->user)
		fprintf(out, "%suser %s", sep, m->user), sep = ", ";
	else if (m->has_user)
		fprintf(out, "%suser %u", sep, m->uid), sep = ", ";
	if (m->transport)
		fprintf(out, "%s%s", sep, phca_qp_type_str(m->transport)), sep = ", ";
	if (m->cq_depth.min > 1 || m->cq_depth.max < PHCA_CQE_MAX)
		fprintf(out, "%sCQ depth %u..%u", sep, m->cq_depth.min, m->cq_depth.max), sep = ", ";
	if (m->has_peer)
		fprintf(out, "%speer %s/%u", sep, phca_gid_str(m->peer.gid, text), m->peer.prefix_len), sep = ", ";
	if (!*sep)
		fputs("any", out);
}

void text_rules(struct appliance *a, FILE *out)
{
	text_title(out, "Rules for queue pairs of applications");
	for (unsigned int i = 0; i < a->cfg->nb_app_proxy; i++) {
		const struct phca_config_app_proxy *c = &a->cfg->app_proxy[i];
		struct rule_list l = app_rules_list(a, i);

		fprintf(out, "  %s: ", c->name);
		match_text(&c->match, out);
		fprintf(out, "; taken %" PRIu64 ", not attached %" PRIu64, l.taken, l.failed);
		if (l.failed > 0)
			fprintf(out, " (the last: %s)", rules_reason(l.last_error));
		fputc('\n', out);
		for (unsigned int r = 0; r < c->nb_rules; r++)
			fprintf(out, "    rule %u: %s: filter %s, offload %s, direction %s\n", r, c->rules[r].name,
				a->filters[c->rules[r].filter]->name, a->offloads[c->rules[r].offload]->name,
				c->rules[r].send && c->rules[r].inbound ? "both" : c->rules[r].send ? "send" :
				"inbound");
	}
	text_end(out);
}

static int global_line(void *arg, const char *name, const char *value, bool is_param)
{
	fprintf(arg, "  %s %s = %s\n", is_param ? "parameter" : "global   ", name, value);
	return 0;
}

static const char *map_type(enum phca_map_type t)
{
	return t == PHCA_MAP_ARRAY ? "array" : t == PHCA_MAP_HASH ? "hash" : "LPM trie";
}

void text_filter(struct appliance *a, const struct filter_obj *o, FILE *out)
{
	const struct phca_filter *f = phca_filter_slot_get(&o->slot);
	struct phca_filter_stats st;
	struct phca_map_info m;

	(void)a;
	text_title(out, phca_filter_kind_of(f)->helpers ? "Program of offload %s" : "Filter %s", o->name);
	fprintf(out, "  object %s, program %s, %u instructions, %s\n", phca_filter_object(f),
		phca_filter_program(f), phca_filter_nb_insns(f),
		phca_filter_is_jit(f) ? "JIT-compiled" : "interpreted");
	phca_filter_global_each(f, global_line, out);
	for (unsigned int i = 0; phca_filter_map_info(f, i, &m) == 0; i++)
		fprintf(out, "  map %s: %s, key %u bytes, value %u bytes, %u of %u entries\n", m.name,
			map_type(m.type), m.key_size, m.value_size, m.nb_entries, m.max_entries);
	figures_filter(o, &st);
	text_counters(out, &counters_filter, &st, true);
	text_end(out);
}

void text_filters(struct appliance *a, FILE *out)
{
	text_title(out, "Filters, %u", a->nb_filters);
	fprintf(out, "  %-16s %-16s %-6s %5s %4s %12s %12s %12s %8s\n", "name", "program", "code", "insns",
		"maps", "runs", "pass", "offload", "bad");
	for (unsigned int i = 0; i < a->nb_filters; i++) {
		const struct phca_filter *f = phca_filter_slot_get(&a->filters[i]->slot);
		struct phca_filter_stats st;

		figures_filter(a->filters[i], &st);
		fprintf(out, "  %-16s %-16s %-6s %5u %4u %12" PRIu64 " %12" PRIu64 " %12" PRIu64
			" %8" PRIu64 "\n", a->filters[i]->name, phca_filter_program(f),
			phca_filter_is_jit(f) ? "jit" : "interp", phca_filter_nb_insns(f),
			phca_filter_nb_maps(f), st.runs, st.pass, st.offload, st.bad_return);
	}
	text_end(out);
}

static int map_line(void *arg, const char *key, const char *value)
{
	fprintf(arg, "  %s = %s\n", key, value);
	return 0;
}

int text_map(const struct filter_obj *o, const char *map, FILE *out)
{
	const struct phca_filter *f = phca_filter_slot_get(&o->slot);
	struct phca_map_info m;
	int idx = phca_filter_map_find(f, map);

	if (idx < 0)
		return idx;
	phca_filter_map_info(f, (unsigned int)idx, &m);
	text_title(out, "Map %s of %s %s", map, phca_filter_kind_of(f)->noun, o->name);
	fprintf(out, "  %s, %u of %u entries\n", map_type(m.type), m.nb_entries, m.max_entries);
	phca_filter_map_each(f, map, map_line, out);
	text_end(out);
	return 0;
}

static int own_line(void *arg, const char *name, uint64_t value)
{
	fprintf(arg, "  %-32s %20" PRIu64 "\n", name, value);
	return 0;
}

/* The queue pairs that are its own. */
static void peers(struct appliance *a, const struct offload_obj *o, FILE *out)
{
	char name[PHCA_FILTER_NAME_MAX + 16];
	struct phca_qp_info info;

	for (unsigned int i = 0; i < a->nb_qps; i++) {
		const struct qp_obj *q = a->qps[i];

		if (qp_obj_offload(a, q) != o)
			continue;
		phca_qp_info_get(q->qp, &info);
		peer_name(a, q, name, sizeof(name));
		fprintf(out, "  peer %s: QP 0x%x, %s\n", name, info.qpn, phca_qp_state_str(info.state));
	}
}

static void program_line(const struct filter_obj *o, FILE *out)
{
	const struct phca_filter *f = phca_filter_slot_get(&o->slot);

	fprintf(out, "  program %s of %s, %u instructions, %s; 'show filter %s' has its globals and maps\n",
		phca_filter_program(f), phca_filter_object(f), phca_filter_nb_insns(f),
		phca_filter_is_jit(f) ? "JIT-compiled" : "interpreted", o->name);
}

static void failed_with(const struct phca_offload_detail *d, FILE *out)
{
	for (uint32_t i = 0; i < PHCA_WC_STATUS_COUNT; i++)
		if (d->failed[i] > 0)
			fprintf(out, "  failed with        %20" PRIu64 " requests  %s\n", d->failed[i],
				phca_wc_status_str(i));
}

static void queue(struct appliance *a, const struct offload_obj *o, FILE *out)
{
	struct queue_figures f;

	figures_queue(a, o, &f);
	fprintf(out, "  queue              %u of %u in the rings to the proxy CPU; in windows of its %u queue pairs: "
		"send %" PRIu64 ", inbound %" PRIu64 "\n", f.rings, f.rings_room, f.qps,
		f.window[PHCA_DIR_SEND], f.window[PHCA_DIR_RECV]);
}

void text_offload(struct appliance *a, const struct offload_obj *o, FILE *out)
{
	const struct phca_offload_ops *ops = phca_offload_ops(o->on[0]);
	struct phca_offload_detail d;
	struct phca_offload_stats st;
	uint64_t n;

	figures_offload(o, &st);
	figures_offload_detail(o, &d);
	text_title(out, "Offload %s (driver %s)", o->name, ops->name);
	peers(a, o, out);
	if (o->program.slot.cur)
		program_line(&o->program, out);
	text_counters(out, &counters_offload, &st, true);
	n = phca_hist_count(&d.latency);
	fprintf(out, "  %-18s %20" PRIu64 " ns\n", "latency_mean", n ? st.latency_ns_sum / n : 0);
	failed_with(&d, out);
	text_times(out, "latency", &d.latency, st.latency_ns_max);
	text_times(out, "stall", &d.stall, st.stall_ns_max);
	queue(a, o, out);
	for (unsigned int i = 0; ops->show && i < a->nb_proxies; i++) {
		if (o->home >= 0 && (int)i != o->home)
			continue; /* nobody uses that one */
		if (a->nb_proxies > 1)
			fprintf(out, "  -- its own of lcore %u:\n", a->proxies[i].lcore->lcore);
		ops->show(o->on[i], own_line, out);
	}
	text_end(out);
}

void text_app(struct appliance *a, const struct app_obj *app, FILE *out)
{
	text_title(out, "Application %s (driver %s)", app->name, phca_app_ops(app->app)->name);
	fprintf(out, "  queue pairs %u, lcore %u\n", phca_app_conf(app->app)->nb_qps,
		a->app_lcore->lcore);
	figures_app(app, own_line, out);
	figures_app_gauges(app, own_line, out);
	text_end(out);
}

void text_lcores(struct appliance *a, FILE *out)
{
	text_title(out, "Lcores");
	fprintf(out, "  %-5s %-13s %14s %14s %7s %9s %10s %9s %14s %9s\n", "lcore", "roles", "turns",
		"busy-turns", "busy %", "cyc/turn", "sleeps", "wakes", "carried", "commands");
	for (unsigned int i = 0; i < a->nb_lcores; i++) {
		const struct lcore_obj *l = &a->lcores[i];
		double elapsed = (double)(rte_rdtsc() - l->base_tsc);
		struct phca_loop_stats st;

		figures_lcore(l, &st);
		fprintf(out, "  %-5u %-13s %14" PRIu64 " %14" PRIu64 " %7.2f %9.0f %10" PRIu64 " %9" PRIu64
			" %14" PRIu64 " %9" PRIu64 "\n", l->lcore, lcores_roles_str(l), st.turns, st.busy_turns,
			100.0 * (double)st.busy_cycles / elapsed,
			st.busy_turns ? (double)st.busy_cycles / (double)st.busy_turns : 0.0,
			st.sleeps, st.wakes, st.carried, st.commands);
	}
	fprintf(out, "  busy %%: of the time; cyc/turn: cycles of a busy turn\n");
	text_end(out);
}

void text_events(struct appliance *a, FILE *out)
{
	uint64_t first = a->nb_events > EVENTS_KEPT ? a->nb_events - EVENTS_KEPT : 0;

	text_title(out, "Events: %" PRIu64 " since start, newest last", a->nb_events);
	if (phca_hca_events_merged(a->hca) > 0)
		fprintf(out, "  %" PRIu64 " more came while the same was waiting\n", phca_hca_events_merged(a->hca));
	for (uint64_t i = first; i < a->nb_events; i++) {
		const struct event_obj *e = &a->events[i % EVENTS_KEPT];
		time_t t = (time_t)e->time_s;
		struct tm tm;
		char when[32] = "?", text[128];

		if (gmtime_r(&t, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
		event_text(&e->ev, text, sizeof(text));
		fprintf(out, "  %s  %s\n", when, text);
	}
	text_end(out);
}
