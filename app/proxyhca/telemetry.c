/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Telemetry: the same figures as the prompt's, as JSON under /phca/.
 * Callbacks run on telemetry's thread, which has no argument of ours: a static
 * pointer, changed and followed only with its mutex held, is the appliance or
 * NULL before and after its life.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_telemetry.h>

#include "figures.h"
#include "telemetry.h"

#define ENTRIES_MAX 128   /* entries of a map, which fit an answer; more are counted as "left_out" */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct appliance *current;

static void add_counters(struct rte_tel_data *d, const struct counter_group *g, const void *st)
{
	for (unsigned int i = 0; i < g->nb_rows; i++)
		rte_tel_data_add_dict_u64(d, g->rows[i].name, counter_get(&g->rows[i], st));
}

void telemetry_add(struct rte_tel_data *d, const char *name, struct rte_tel_data *in)
{
	int rc = name ? rte_tel_data_add_dict_container(d, name, in, 0) :
		rte_tel_data_add_array_container(d, in, 0);

	if (rc < 0)
		rte_tel_data_free(in);
}

struct rte_tel_data *telemetry_dict(void)
{
	struct rte_tel_data *d = rte_tel_data_alloc();

	if (d)
		rte_tel_data_start_dict(d);
	return d;
}

static void add_group(struct rte_tel_data *d, const char *name, const struct counter_group *g,
		const void *st)
{
	struct rte_tel_data *in = telemetry_dict();

	if (!in)
		return;
	add_counters(in, g, st);
	telemetry_add(d, name, in);
}

static void add_verdicts(struct rte_tel_data *d, const uint64_t *verdict)
{
	struct rte_tel_data *in = telemetry_dict();

	if (!in)
		return;
	for (unsigned int v = PHCA_V_OK + 1; v < PHCA_V_COUNT; v++)
		rte_tel_data_add_dict_u64(in, phca_verdict_str(v), verdict[v]);
	telemetry_add(d, "verdict", in);
}

bool telemetry_number(const char *text, uint32_t *out)
{
	unsigned long v;
	char *end;

	if (!text || !*text)
		return false;
	errno = 0;
	v = strtoul(text, &end, 0);
	*out = (uint32_t)v;
	return !errno && !*end && text[0] != '-' && v <= UINT32_MAX;
}

static int info(struct request *r)
{
	rte_tel_data_add_dict_string(r->d, "version", PHCA_VERSION);
	rte_tel_data_add_dict_string(r->d, "config", r->a->cfg->path ? r->a->cfg->path : "built-in");
	rte_tel_data_add_dict_string(r->d, "receiving", r->a->started ? "yes" : "no");
	rte_tel_data_add_dict_u64(r->d, "ports", r->a->nb_ports);
	rte_tel_data_add_dict_u64(r->d, "qps", r->a->nb_qps);
	rte_tel_data_add_dict_u64(r->d, "filters", r->a->nb_filters);
	rte_tel_data_add_dict_u64(r->d, "offloads", r->a->nb_offloads);
	rte_tel_data_add_dict_u64(r->d, "apps", r->a->nb_apps);
	rte_tel_data_add_dict_u64(r->d, "events", r->a->nb_events);
	return 0;
}

static int count_qp(void *n, struct phca_qp *qp)
{
	(void)qp;
	++*(uint64_t *)n;
	return 0;
}

static int count_cq(void *n, struct phca_cq *cq)
{
	(void)cq;
	++*(uint64_t *)n;
	return 0;
}

static int count_srq(void *n, struct phca_srq *srq)
{
	(void)srq;
	++*(uint64_t *)n;
	return 0;
}

/* What there is of each kind, whoever owns it: to see that what ended left nothing. */
static int objects(struct request *r)
{
	uint64_t qps = 0, cqs = 0, srqs = 0;

	phca_qp_each(r->a->hca, count_qp, &qps);
	phca_cq_each(r->a->hca, count_cq, &cqs);
	phca_srq_each(r->a->hca, count_srq, &srqs);
	rte_tel_data_add_dict_u64(r->d, "qps", qps);
	rte_tel_data_add_dict_u64(r->d, "cqs", cqs);
	rte_tel_data_add_dict_u64(r->d, "srqs", srqs);
	rte_tel_data_add_dict_u64(r->d, "mrs", phca_mem_nb_mr(r->a->mem));
	rte_tel_data_add_dict_u64(r->d, "mws", phca_mem_nb_mw(r->a->mem));
	rte_tel_data_add_dict_u64(r->d, "mbufs", rte_mempool_in_use_count(r->a->pool));
	return 0;
}

static int port(struct request *r)
{
	struct phca_port_stats st;
	uint32_t i;

	if (!telemetry_number(r->params, &i) || i >= r->a->nb_ports)
		return -EINVAL;
	figures_port(r->a, i, &st);
	rte_tel_data_add_dict_string(r->d, "name", r->a->ports[i]->name);
	add_counters(r->d, &counters_port, &st);
	add_verdicts(r->d, st.verdict);
	return 0;
}

static int verdicts(struct request *r)
{
	struct port_totals t;

	figures_totals(r->a, &t);
	rte_tel_data_add_dict_u64(r->d, "rx_packets", t.rx);
	rte_tel_data_add_dict_u64(r->d, "rx_held", t.held);
	rte_tel_data_add_dict_u64(r->d, "sum", t.verdicts);
	rte_tel_data_add_dict_string(r->d, "balanced", t.balanced ? "yes" : "no");
	add_verdicts(r->d, t.verdict);
	return 0;
}

/* By number: a dictionary holds no array of dictionaries. */
static void qp_rules(struct rte_tel_data *d, const struct qp_obj *q)
{
	struct rte_tel_data *list = telemetry_dict();
	struct phca_rule_info rule;
	char number[16];

	if (!list)
		return;
	for (unsigned int i = 0; phca_qp_rule_info(q->qp, i, &rule) == 0; i++) {
		struct rte_tel_data *in = telemetry_dict();

		if (!in)
			break;
		rte_tel_data_add_dict_string(in, "name", rule.name);
		rte_tel_data_add_dict_string(in, "filter", rule.filter);
		rte_tel_data_add_dict_string(in, "offload", rule.offload);
		rte_tel_data_add_dict_u64(in, "matched", rule.matched);
		snprintf(number, sizeof(number), "rule_%u", i);
		telemetry_add(list, number, in);
	}
	telemetry_add(d, "rules", list);
}

static void qp_rate(struct rte_tel_data *d, const struct qp_obj *q)
{
	struct phca_qp_rate rate;

	phca_qp_rate_get(q->qp, &rate);
	if (!rate.controlled)
		return;
	rte_tel_data_add_dict_u64(d, "rate_bps", rate.rate_bps);
	rte_tel_data_add_dict_u64(d, "target_bps", rate.target_bps);
	rte_tel_data_add_dict_u64(d, "line_rate_bps", rate.line_bps);
	rte_tel_data_add_dict_u64(d, "alpha_ppm", rate.alpha_ppm);
	rte_tel_data_add_dict_string(d, "limited", rate.limited ? "yes" : "no");
}

/* Of RC and UC. */
static void qp_attributes(struct rte_tel_data *d, const struct qp_obj *q)
{
	struct rte_tel_data *in = telemetry_dict();
	struct phca_qp_attr attr;
	char text[64];

	if (!in)
		return;
	phca_qp_query(q->qp, &attr);
	rte_tel_data_add_dict_string(in, "peer", phca_gid_str(attr.av.dgid, text));
	rte_tel_data_add_dict_u64(in, "dest_qpn", attr.dest_qpn);
	rte_tel_data_add_dict_u64(in, "path_mtu", attr.path_mtu);
	rte_tel_data_add_dict_u64(in, "sq_psn", attr.sq_psn.v);
	rte_tel_data_add_dict_u64(in, "rq_psn", attr.rq_psn.v);
	rte_tel_data_add_dict_u64(in, "timeout", attr.timeout);
	rte_tel_data_add_dict_u64(in, "retry_cnt", attr.retry_cnt);
	rte_tel_data_add_dict_u64(in, "rnr_retry", attr.rnr_retry);
	telemetry_add(d, "attributes", in);
}

static int srq_entry(void *arg, struct phca_srq *srq)
{
	struct rte_tel_data *in = telemetry_dict();
	struct phca_srq_info i;
	char name[16];

	if (!in)
		return -ENOMEM;
	phca_srq_info_get(srq, &i);
	rte_tel_data_add_dict_string(in, "client", i.client);
	rte_tel_data_add_dict_u64(in, "capacity", i.max_wr);
	rte_tel_data_add_dict_u64(in, "max_sge", i.max_sge);
	rte_tel_data_add_dict_u64(in, "limit", phca_srq_limit(srq));
	rte_tel_data_add_dict_u64(in, "qps", i.nb_qps);
	rte_tel_data_add_dict_u64(in, "taken", i.taken);
	snprintf(name, sizeof(name), "srq_%u", i.srqn);
	telemetry_add(arg, name, in);
	return 0;
}

static int srqs(struct request *r)
{
	return phca_srq_each(r->a->hca, srq_entry, r->d);
}

static int qp(struct request *r)
{
	const struct qp_obj *q;
	struct qp_figures f;
	uint32_t n;

	q = telemetry_number(r->params, &n) ? objects_qp(r->a, n) : NULL;
	if (!q)
		return -EINVAL;
	figures_qp(r->a, q, &f);
	rte_tel_data_add_dict_u64(r->d, "qpn", f.info.qpn);
	rte_tel_data_add_dict_string(r->d, "name", qp_obj_name(r->a, q));
	if (qp_obj_offload(r->a, q))
		rte_tel_data_add_dict_string(r->d, "offload", qp_obj_offload(r->a, q)->name);
	if (q->owner) {
		rte_tel_data_add_dict_u64(r->d, "pid", (uint64_t)q->owner->pid);
		rte_tel_data_add_dict_string(r->d, "exe", q->owner->exe);
		rte_tel_data_add_dict_string(r->d, "user", q->owner->user);
	}
	rte_tel_data_add_dict_string(r->d, "type", phca_qp_type_str(f.info.type));
	rte_tel_data_add_dict_string(r->d, "state", phca_qp_state_str(f.info.state));
	rte_tel_data_add_dict_u64(r->d, "port", f.info.port);
	rte_tel_data_add_dict_u64(r->d, "cq", f.info.recv_cqn);
	rte_tel_data_add_dict_string(r->d, "proxy", f.info.proxy ? "yes" : "no");
	qp_rate(r->d, q);
	if (f.info.type != PHCA_QPT_UD)
		qp_attributes(r->d, q);
	if (f.info.srqn != 0)
		rte_tel_data_add_dict_u64(r->d, "srq", f.info.srqn);
	add_counters(r->d, &counters_qp, &f.info.stats);
	rte_tel_data_add_dict_u64(r->d, "completed", f.cq.written);
	rte_tel_data_add_dict_u64(r->d, "dropped", f.dropped);
	if (f.has_order)
		rte_tel_data_add_dict_u64(r->d, "out_of_order", f.out_of_order);
	if (f.info.proxy) {
		rte_tel_data_add_dict_string(r->d, "rules_from", q->rules.from);
		add_group(r->d, "pqp", &counters_pqp, &f.info.pqp);
		telemetry_qp_stall(r, q);
		qp_rules(r->d, q);
	}
	add_verdicts(r->d, f.info.stats.verdict);
	return 0;
}

static int cq(struct request *r)
{
	uint32_t n;

	if (!telemetry_number(r->params, &n))
		return -EINVAL;
	for (unsigned int i = 0; i < r->a->nb_qps; i++) {
		struct qp_figures f;

		if (phca_cq_num(r->a->qps[i]->cq) != n)
			continue;
		figures_qp(r->a, r->a->qps[i], &f);
		rte_tel_data_add_dict_u64(r->d, "cq", f.cq.cqn);
		rte_tel_data_add_dict_u64(r->d, "qpn", f.info.qpn);
		rte_tel_data_add_dict_u64(r->d, "capacity", f.cq.cqe);
		rte_tel_data_add_dict_string(r->d, "owner", f.cq.proxy_owned ? "proxy" : "hca");
		rte_tel_data_add_dict_string(r->d, "state", f.cq.overrun ? "overrun" : "ok");
		add_counters(r->d, &counters_cq, &f.cq);
		return 0;
	}
	return -EINVAL;
}

static int rules(struct request *r)
{
	for (unsigned int i = 0; i < RTE_MIN(r->a->cfg->nb_app_proxy, (unsigned int)RTE_TEL_MAX_DICT_ENTRIES); i++) {
		struct rule_list l = app_rules_list(r->a, i);
		struct rte_tel_data *in = telemetry_dict();

		if (!in)
			return -ENOMEM;
		rte_tel_data_add_dict_u64(in, "rules", r->a->cfg->app_proxy[i].nb_rules);
		rte_tel_data_add_dict_u64(in, "taken", l.taken);
		rte_tel_data_add_dict_u64(in, "failed", l.failed);
		if (l.failed > 0)
			rte_tel_data_add_dict_string(in, "last_error", rules_reason(l.last_error));
		telemetry_add(r->d, r->a->cfg->app_proxy[i].name, in);
	}
	return 0;
}

static int proxy(struct request *r)
{
	struct phca_proxy_stats st;

	figures_proxy(r->a, &st);
	add_counters(r->d, &counters_proxy, &st);
	for (unsigned int i = 0; r->a->nb_proxies > 1 && i < r->a->nb_proxies; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lcore_%u", r->a->proxies[i].lcore->lcore);
		figures_proxy_one(&r->a->proxies[i], &st);
		add_group(r->d, name, &counters_proxy, &st);
	}
	return 0;
}

static struct rte_tel_data *strings(void)
{
	struct rte_tel_data *d = rte_tel_data_alloc();

	if (d)
		rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	return d;
}

/* Globals by name, parameters apart from the others. */
struct globals { struct rte_tel_data *params, *others; };

static int global_entry(void *arg, const char *name, const char *value, bool is_param)
{
	struct globals *g = arg;
	struct rte_tel_data *d = is_param ? g->params : g->others;

	if (d)
		rte_tel_data_add_dict_string(d, name, value);
	return 0;
}

static int filter(struct request *r)
{
	const struct filter_obj *o = r->params ? objects_program(r->a, r->params) : NULL;
	struct rte_tel_data *maps;
	struct globals g;
	const struct phca_filter *f;
	struct phca_filter_stats st;
	struct phca_map_info m;

	if (!o)
		return -EINVAL;
	f = phca_filter_slot_get(&o->slot);
	rte_tel_data_add_dict_string(r->d, "name", o->name);
	rte_tel_data_add_dict_string(r->d, "object", phca_filter_object(f));
	rte_tel_data_add_dict_string(r->d, "program", phca_filter_program(f));
	rte_tel_data_add_dict_u64(r->d, "instructions", phca_filter_nb_insns(f));
	rte_tel_data_add_dict_string(r->d, "jit", phca_filter_is_jit(f) ? "yes" : "no");
	figures_filter(o, &st);
	add_counters(r->d, &counters_filter, &st);
	g = (struct globals){ telemetry_dict(), telemetry_dict() };
	phca_filter_global_each(f, global_entry, &g);
	if (g.params)
		telemetry_add(r->d, "parameters", g.params);
	if (g.others)
		telemetry_add(r->d, "globals", g.others);
	maps = strings();
	for (unsigned int i = 0; maps && phca_filter_map_info(f, i, &m) == 0; i++)
		rte_tel_data_add_array_string(maps, m.name);
	if (maps)
		telemetry_add(r->d, "maps", maps);
	return 0;
}

/* Entries of a map: two arrays of the same length. */
struct entries { struct rte_tel_data *keys, *values; unsigned int n; uint64_t left_out; };

static int map_entry(void *arg, const char *key, const char *value)
{
	struct entries *e = arg;

	if (e->n >= ENTRIES_MAX) {
		e->left_out++;
		return 0;
	}
	e->n++;
	rte_tel_data_add_array_string(e->keys, key);
	rte_tel_data_add_array_string(e->values, value);
	return 0;
}

static int map_answer(struct request *r, const struct filter_obj *o, const char *name)
{
	struct entries e = { strings(), strings(), 0, 0 };
	int rc = -ENOMEM;

	if (e.keys && e.values)
		rc = phca_filter_map_each(phca_filter_slot_get(&o->slot), name, map_entry, &e);
	rte_tel_data_add_dict_string(r->d, "filter", o->name);
	rte_tel_data_add_dict_string(r->d, "map", name);
	rte_tel_data_add_dict_u64(r->d, "left_out", e.left_out);
	if (e.keys)
		telemetry_add(r->d, "keys", e.keys);
	if (e.values)
		telemetry_add(r->d, "values", e.values);
	return rc;
}

/* "FILTER,MAP" */
static int map(struct request *r)
{
	char *name = r->params ? strdup(r->params) : NULL, *comma = name ? strchr(name, ',') : NULL;
	const struct filter_obj *o;
	int rc = -EINVAL;

	if (comma) {
		*comma = '\0';
		o = objects_program(r->a, name);
		if (o && phca_filter_map_find(phca_filter_slot_get(&o->slot), comma + 1) >= 0)
			rc = map_answer(r, o, comma + 1);
	}
	free(name);
	return rc;
}

static int own_entry(void *arg, const char *name, uint64_t value)
{
	char key[RTE_TEL_MAX_STRING_LEN];
	unsigned int i;

	/* telemetry takes letters, digits, '_' and '/' */
	for (i = 0; name[i] && i < sizeof(key) - 1; i++)
		key[i] = strchr(".-: []", name[i]) ? '_' : name[i];
	key[i] = '\0';
	rte_tel_data_add_dict_u64(arg, key, value);
	return 0;
}

/* The queue pairs that are its own. */
static void offload_peers(struct request *r, const struct offload_obj *o)
{
	struct rte_tel_data *all = telemetry_dict();
	char name[PHCA_FILTER_NAME_MAX + 16], key[16];
	unsigned int n = 0;

	for (unsigned int i = 0; all && i < r->a->nb_qps && n < RTE_TEL_MAX_DICT_ENTRIES; i++) {
		const struct qp_obj *q = r->a->qps[i];
		struct rte_tel_data *in = qp_obj_offload(r->a, q) == o ? telemetry_dict() : NULL;
		struct phca_qp_info info;

		if (!in)
			continue;
		phca_qp_info_get(q->qp, &info);
		peer_name(r->a, q, name, sizeof(name));
		rte_tel_data_add_dict_string(in, "name", name);
		rte_tel_data_add_dict_u64(in, "qpn", info.qpn);
		rte_tel_data_add_dict_string(in, "state", phca_qp_state_str(info.state));
		snprintf(key, sizeof(key), "peer_%u", n++);
		telemetry_add(all, key, in);
	}
	if (all)
		telemetry_add(r->d, "peers", all);
}

static int offload(struct request *r)
{
	const struct offload_obj *o = r->params ? objects_offload(r->a, r->params) : NULL;
	const struct phca_offload_ops *ops;
	struct phca_offload_stats st;
	struct rte_tel_data *own;

	if (!o)
		return -EINVAL;
	ops = phca_offload_ops(o->on[0]);
	figures_offload(o, &st);
	rte_tel_data_add_dict_string(r->d, "name", o->name);
	rte_tel_data_add_dict_string(r->d, "driver", ops->name);
	add_counters(r->d, &counters_offload, &st);
	if (o->nb_peers > 0)
		offload_peers(r, o);
	telemetry_offload_detail(r, o);
	for (unsigned int i = 0; ops->show && i < r->a->nb_proxies; i++) {
		char key[32] = "own";

		if (o->home >= 0 && (int)i != o->home)
			continue; /* nobody uses that one */
		if (r->a->nb_proxies > 1)
			snprintf(key, sizeof(key), "own_lcore_%u", r->a->proxies[i].lcore->lcore);
		own = telemetry_dict();
		if (!own)
			break;
		ops->show(o->on[i], own_entry, own);
		telemetry_add(r->d, key, own);
	}
	return 0;
}

static int app(struct request *r)
{
	const struct app_obj *o = r->params ? objects_app(r->a, r->params) : NULL;
	struct rte_tel_data *own;

	if (!o)
		return -EINVAL;
	rte_tel_data_add_dict_string(r->d, "name", o->name);
	rte_tel_data_add_dict_string(r->d, "driver", phca_app_ops(o->app)->name);
	rte_tel_data_add_dict_u64(r->d, "qps", phca_app_conf(o->app)->nb_qps);
	own = telemetry_dict();
	if (own) {
		figures_app(o, own_entry, own);
		figures_app_gauges(o, own_entry, own);
		telemetry_add(r->d, "own", own);
	}
	return 0;
}

static int lcores(struct request *r)
{
	for (unsigned int i = 0; i < r->a->nb_lcores; i++) {
		struct rte_tel_data *in = telemetry_dict();
		struct phca_loop_stats st;
		char name[32];

		if (!in)
			return -ENOMEM;
		snprintf(name, sizeof(name), "lcore_%u", r->a->lcores[i].lcore);
		figures_lcore(&r->a->lcores[i], &st);
		rte_tel_data_add_dict_string(in, "roles", lcores_roles_str(&r->a->lcores[i]));
		add_counters(in, &counters_lcore, &st);
		telemetry_add(r->d, name, in);
	}
	return 0;
}

static int client(void *arg, const struct phca_host_info *i)
{
	static const char *const kinds[] = {
#define KIND(e, f, d, h) #f,
		PHCA_HOST_KINDS(KIND)
#undef KIND
	};
	struct rte_tel_data *in = telemetry_dict();
	char name[32];

	if (!in)
		return -ENOMEM;
	snprintf(name, sizeof(name), "client_%" PRIu32, i->id);
	rte_tel_data_add_dict_int(in, "pid", i->pid);
	rte_tel_data_add_dict_u64(in, "uid", i->uid);
	rte_tel_data_add_dict_string(in, "user", i->user);
	rte_tel_data_add_dict_string(in, "exe", i->exe);
	rte_tel_data_add_dict_u64(in, "port", i->port);
	rte_tel_data_add_dict_string(in, "leaving", i->leaving ? "yes" : "no");
	for (unsigned int k = 0; k < PHCA_HOST_KIND_COUNT; k++)
		rte_tel_data_add_dict_u64(in, kinds[k], i->objects[k]);
	rte_tel_data_add_dict_u64(in, "mem_bytes", i->mem_bytes);
	rte_tel_data_add_dict_u64(in, "arena_used", i->arena_used);
	rte_tel_data_add_dict_u64(in, "requests", i->requests);
	rte_tel_data_add_dict_u64(in, "failed", i->failed);
	rte_tel_data_add_dict_u64(in, "events", i->events);
	rte_tel_data_add_dict_u64(in, "events_waiting", i->events_waiting);
	rte_tel_data_add_dict_u64(in, "events_lost", i->events_lost);
	telemetry_add(arg, name, in);
	return 0;
}

static int clients(struct request *r)
{
	return r->a->host ? phca_host_each(r->a->host, client, r->d) : 0;
}

static int host(struct request *r)
{
	struct phca_host_stats st;

	if (!r->a->host)
		return 0;
	figures_host(r->a, &st);
	rte_tel_data_add_dict_string(r->d, "socket", phca_host_path(r->a->host));
	add_counters(r->d, &counters_host, &st);
	return 0;
}

static int names(struct request *r, const char *(*name)(struct appliance *a, unsigned int i))
{
	rte_tel_data_start_array(r->d, RTE_TEL_STRING_VAL);
	for (unsigned int i = 0; i < RTE_TEL_MAX_ARRAY_ENTRIES && name(r->a, i); i++)
		rte_tel_data_add_array_string(r->d, name(r->a, i));
	return 0;
}

static const char *filter_name(struct appliance *a, unsigned int i)
{
	return i < a->nb_filters ? a->filters[i]->name : NULL;
}

static const char *offload_name(struct appliance *a, unsigned int i)
{
	return i < a->nb_offloads ? a->offloads[i]->name : NULL;
}

static const char *app_name(struct appliance *a, unsigned int i)
{
	return i < a->nb_apps ? a->apps[i]->name : NULL;
}

static int filters(struct request *r)
{
	return names(r, filter_name);
}

static int offloads(struct request *r)
{
	return names(r, offload_name);
}

static int apps(struct request *r)
{
	return names(r, app_name);
}

static int qps(struct request *r)
{
	rte_tel_data_start_array(r->d, RTE_TEL_U64_VAL);
	for (unsigned int i = 0; i < RTE_TEL_MAX_ARRAY_ENTRIES && appliance_qp(r->a, i); i++)
		rte_tel_data_add_array_u64(r->d, phca_qp_num(appliance_qp(r->a, i)->qp));
	return 0;
}

/* What telemetry offers. fn fills a dictionary unless it starts an array. */
struct endpoint {
	const char *cmd;
	int (*fn)(struct request *r);      /* with a parameter, or always when plain is NULL */
	int (*list)(struct request *r);    /* without a parameter; NULL: fn */
	const char *help;
};
static const struct endpoint endpoints[] = {
	{ "/phca/info", info, NULL, "Version, configuration, numbers of objects" },
	{ "/phca/objects", objects, NULL, "Numbers of objects of all owners, and buffers in use" },
	{ "/phca/port", port, NULL, "Counters and verdicts of a port. Parameter: index, from 0" },
	{ "/phca/verdicts", verdicts, NULL, "Verdicts of all ports, and whether they add up" },
	{ "/phca/qp", qp, qps, "QP numbers; with a parameter, QPN: counters of one QP" },
	{ "/phca/cq", cq, NULL, "Counters of a completion queue. Parameter: CQ number" },
	{ "/phca/srq", srqs, NULL, "Shared receive queues" },
	{ "/phca/rules", rules, NULL, "Rule lists of app_proxy, and what they did" },
	{ "/phca/proxy", proxy, NULL, "Counters of the proxy CPU" },
	{ "/phca/filters", filters, NULL, "Names of filters" },
	{ "/phca/filter", filter, filters, "Counters and globals of a filter. Parameter: name" },
	{ "/phca/map", map, NULL, "Entries of a map. Parameters: filter, map" },
	{ "/phca/offloads", offloads, NULL, "Names of offloads" },
	{ "/phca/offload", offload, offloads, "Counters of an offload. Parameter: name" },
	{ "/phca/trace", telemetry_trace, NULL, "Queue pairs that are or were traced; with a parameter, QPN: what "
		"happened to the newest of its requests" },
	{ "/phca/apps", apps, NULL, "Names of resident applications" },
	{ "/phca/app", app, apps, "Counters of an application. Parameter: name" },
	{ "/phca/clients", clients, NULL, "Applications of other processes" },
	{ "/phca/host", host, NULL, "Socket and counters of the admin server" },
	{ "/phca/lcores", lcores, NULL, "Roles and counters of lcores" },
};

static bool is_list(int (*fn)(struct request *r))
{
	return fn == filters || fn == offloads || fn == apps || fn == qps;
}

static int answer(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct request r = { .params = params && *params ? params : NULL, .d = d };
	int rc = -ENODEV;

	pthread_mutex_lock(&lock);
	r.a = current;
	for (unsigned int i = 0; r.a && i < RTE_DIM(endpoints); i++) {
		const struct endpoint *e = &endpoints[i];
		int (*fn)(struct request *r) = r.params || !e->list ? e->fn : e->list;

		if (strcmp(e->cmd, cmd) != 0)
			continue;
		if (!is_list(fn))
			rte_tel_data_start_dict(d);
		pthread_mutex_lock(&r.a->control);
		rc = fn(&r);
		pthread_mutex_unlock(&r.a->control);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

int telemetry_register(void)
{
	for (unsigned int i = 0; i < RTE_DIM(endpoints); i++) {
		int rc = rte_telemetry_register_cmd(endpoints[i].cmd, answer, endpoints[i].help);

		if (rc < 0) {
			fprintf(stderr, "dpdk-proxyhca: telemetry: %s not registered: %s\n",
				endpoints[i].cmd, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

void telemetry_init(struct appliance *a)
{
	pthread_mutex_lock(&lock);
	current = a;
	pthread_mutex_unlock(&lock);
}

void telemetry_fini(struct appliance *a)
{
	pthread_mutex_lock(&lock);
	if (current == a)
		current = NULL;
	pthread_mutex_unlock(&lock);
}
