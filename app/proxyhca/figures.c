/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Values of counters since the last clear: what the libraries count, minus the
 * base that clear kept. Of one HCA lcore ports are read between two turns, so
 * that received packets equal the sum of verdicts at any time; of several, which
 * hand packets to each other, once that is so, or after some tries.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_string_fns.h>

#include "phca_impair.h"

#include "figures.h"

#define PORT_TRIES 50

static void subtract(const struct counter_group *g, void *st, const void *base)
{
	for (unsigned int i = 0; i < g->nb_rows; i++) {
		const struct counter *c = &g->rows[i];

		if (!c->gauge)
			*(uint64_t *)((char *)st + c->offset) -= counter_get(c, base);
	}
}

static void subtract_verdicts(uint64_t *v, const uint64_t *base)
{
	for (unsigned int i = 0; i < PHCA_V_COUNT; i++)
		v[i] -= base[i];
}

bool figures_verdict_used(enum phca_verdict v)
{
	switch (v) {
	case PHCA_V_OK: case PHCA_V_DIRECT: case PHCA_V_OFFLOADED: case PHCA_V_ACK: case PHCA_V_DUPLICATE:
	case PHCA_V_CNP: case PHCA_V_ARP: case PHCA_V_NDP: case PHCA_V_ICMP_ECHO: case PHCA_V_GROUP_QUERY:
	case PHCA_V_NOT_ROCE:
		return true;
	default:
		return false;
	}
}

/* What port_read is told and tells. */
struct port_read { struct appliance *a; unsigned int port; struct phca_port_stats *st; };

static int port_read(void *arg)
{
	struct port_read *r = arg;

	return phca_port_stats_get(r->a->hca, r->port, r->st);
}

/* Counters of a port since start. */
static void port_raw(struct appliance *a, unsigned int i, struct phca_port_stats *st)
{
	struct port_read r = { a, i, st };

	for (unsigned int n = 0; n < (a->nb_shards > 1 ? PORT_TRIES : 1); n++) {
		uint64_t sum = 0;

		memset(st, 0, sizeof(*st));
		phca_loop_call(a->hca_lcores[0]->loop, port_read, &r);
		for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
			sum += st->verdict[v];
		if (st->rx_packets == sum + st->rx_held)
			return;
	}
}

void figures_port(struct appliance *a, unsigned int i, struct phca_port_stats *st)
{
	port_raw(a, i, st);
	subtract(&counters_port, st, &a->ports[i]->base);
	subtract_verdicts(st->verdict, a->ports[i]->base.verdict);
}

void figures_totals(struct appliance *a, struct port_totals *t)
{
	*t = (struct port_totals){ .balanced = true };
	for (unsigned int i = 0; i < a->nb_ports; i++) {
		const struct phca_port_stats *base = &a->ports[i]->base;
		struct phca_port_stats st;
		uint64_t sum = 0;

		port_raw(a, i, &st);
		for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
			sum += st.verdict[v];
		t->balanced &= st.rx_packets == sum + st.rx_held;
		t->rx += st.rx_packets - base->rx_packets;
		t->held += st.rx_held;
		for (unsigned int v = 0; v < PHCA_V_COUNT; v++) {
			t->verdict[v] += st.verdict[v] - base->verdict[v];
			t->verdicts += st.verdict[v] - base->verdict[v];
		}
	}
}

/* What the QP's application saw out of order, since start. @return whether it looks */
static bool order_raw(struct appliance *a, const struct qp_obj *q, uint64_t *n)
{
	int index = q->owner ? -1 : a->cfg->qps[q->conf].app;
	const struct phca_app *app = index < 0 ? NULL : a->apps[index]->app;
	const struct phca_app_ops *ops = app ? phca_app_ops(app) : NULL;

	*n = 0;
	return ops && ops->qp_out_of_order && ops->qp_out_of_order(app, phca_qp_num(q->qp), n) == 0;
}

void figures_qp(struct appliance *a, const struct qp_obj *q, struct qp_figures *f)
{
	memset(f, 0, sizeof(*f));
	phca_qp_info_get(q->qp, &f->info);
	phca_cq_info_get(q->cq, &f->cq);
	subtract(&counters_qp, &f->info.stats, &q->base.stats);
	subtract_verdicts(f->info.stats.verdict, q->base.stats.verdict);
	subtract(&counters_pqp, &f->info.pqp, &q->base.pqp);
	subtract(&counters_cq, &f->cq, &q->cq_base);
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
		if (!figures_verdict_used(v))
			f->dropped += f->info.stats.verdict[v];
	f->has_order = order_raw(a, q, &f->out_of_order);
	f->out_of_order -= q->order_base;
}

/* Counters and gauges of several objects in one; of what is the longest, the longest. */
static void add(const struct counter_group *g, void *sum, const void *st)
{
	for (unsigned int i = 0; i < g->nb_rows; i++) {
		const struct counter *c = &g->rows[i];
		uint64_t *to = (uint64_t *)((char *)sum + c->offset);

		if (c->maximum)
			*to = RTE_MAX(*to, counter_get(c, st));
		else
			*to += counter_get(c, st);
	}
}

void figures_proxy_one(const struct proxy_obj *p, struct phca_proxy_stats *st)
{
	phca_proxy_stats_get(p->proxy, st);
	subtract(&counters_proxy, st, &p->base);
}

void figures_proxy(struct appliance *a, struct phca_proxy_stats *st)
{
	memset(st, 0, sizeof(*st));
	for (unsigned int i = 0; i < a->nb_proxies; i++) {
		struct phca_proxy_stats one;

		figures_proxy_one(&a->proxies[i], &one);
		add(&counters_proxy, st, &one);
	}
}

/* Sum of an offload's instances since start. */
static void offload_raw(const struct offload_obj *o, struct phca_offload_stats *st)
{
	memset(st, 0, sizeof(*st));
	for (unsigned int i = 0; i < RTE_DIM(o->on) && o->on[i]; i++) {
		struct phca_offload_stats one;

		phca_offload_stats_get(o->on[i], &one);
		add(&counters_offload, st, &one);
	}
}

void figures_offload(const struct offload_obj *o, struct phca_offload_stats *st)
{
	offload_raw(o, st);
	subtract(&counters_offload, st, &o->base);
}

static void detail_raw(const struct offload_obj *o, struct phca_offload_detail *d)
{
	memset(d, 0, sizeof(*d));
	for (unsigned int i = 0; i < RTE_DIM(o->on) && o->on[i]; i++)
		phca_offload_detail_get(o->on[i], d);
}

void figures_offload_detail(const struct offload_obj *o, struct phca_offload_detail *d)
{
	detail_raw(o, d);
	phca_hist_subtract(&d->latency, &o->detail_base.latency);
	phca_hist_subtract(&d->stall, &o->detail_base.stall);
	for (unsigned int i = 0; i < PHCA_WC_STATUS_COUNT; i++)
		d->failed[i] -= o->detail_base.failed[i];
}

void figures_queue(struct appliance *a, const struct offload_obj *o, struct queue_figures *f)
{
	struct phca_rule_info rule;
	struct phca_qp_info info;
	const struct qp_obj *q;

	*f = (struct queue_figures){ 0 };
	for (unsigned int i = 0; i < a->nb_proxies; i++) {
		struct phca_proxy *p = a->proxies[i].proxy;

		for (unsigned int c = 0; c < phca_proxy_nb_chans(p); c++) {
			struct rte_ring *r = phca_proxy_chan_ring(phca_proxy_chan_get(p, c));

			f->rings += ring_used(r);
			f->rings_room += rte_ring_get_capacity(r);
		}
	}
	for (unsigned int i = 0; (q = appliance_qp(a, i)) != NULL; i++) {
		bool its = false;

		for (unsigned int r = 0; phca_qp_rule_info(q->qp, r, &rule) == 0; r++)
			its |= strcmp(rule.offload, o->name) == 0;
		if (!its)
			continue;
		phca_qp_info_get(q->qp, &info);
		f->qps++;
		for (unsigned int d = 0; d < PHCA_DIR_COUNT; d++)
			f->window[d] += info.pqp.waiting[d];
	}
}

void figures_stall(const struct qp_obj *q, struct phca_hist *h)
{
	memset(h, 0, sizeof(*h));
	phca_qp_stall_get(q->qp, h);
	if (q->stall_base)
		phca_hist_subtract(h, q->stall_base);
}

void figures_filter(const struct filter_obj *f, struct phca_filter_stats *st)
{
	phca_filter_stats_get(phca_filter_slot_get(&f->slot), st);
	subtract(&counters_filter, st, &f->base);
}

void figures_lcore(const struct lcore_obj *l, struct phca_loop_stats *st)
{
	phca_loop_stats_get(l->loop, st);
	subtract(&counters_lcore, st, &l->base);
}

/* Puts an application's base between its counters and a reader. */
struct app_reader {
	const struct app_obj *app;
	int (*emit)(void *arg, const char *name, uint64_t value);
	void *arg;
};

static int app_emit(void *arg, const char *name, uint64_t value)
{
	struct app_reader *r = arg;

	for (unsigned int i = 0; i < r->app->nb_base; i++)
		if (strcmp(r->app->base[i].name, name) == 0)
			return r->emit(r->arg, name, value - r->app->base[i].value);
	return r->emit(r->arg, name, value);
}

int figures_app(const struct app_obj *app, int (*emit)(void *arg, const char *name, uint64_t value),
		void *arg)
{
	const struct phca_app_ops *ops = phca_app_ops(app->app);
	struct app_reader r = { app, emit, arg };

	return ops->show ? ops->show(app->app, app_emit, &r) : 0;
}

int figures_app_gauges(const struct app_obj *app, int (*emit)(void *arg, const char *name, uint64_t value),
		void *arg)
{
	const struct phca_app_ops *ops = phca_app_ops(app->app);

	return ops->gauges ? ops->gauges(app->app, emit, arg) : 0;
}

static int app_keep(void *arg, const char *name, uint64_t value)
{
	struct app_obj *app = arg;

	if (app->nb_base == APP_COUNTERS_MAX)
		return 0;
	rte_strscpy(app->base[app->nb_base].name, name, sizeof(app->base->name));
	app->base[app->nb_base++].value = value;
	return 0;
}

static int app_clear(void *arg)
{
	phca_app_ops(arg)->clear(arg);
	return 0;
}

void figures_clear_app(struct appliance *a, struct app_obj *app)
{
	const struct phca_app_ops *ops = phca_app_ops(app->app);

	if (ops->clear)
		phca_loop_call(a->app_lcore->loop, app_clear, app->app);
	if (!app->base)
		app->base = calloc(APP_COUNTERS_MAX, sizeof(*app->base));
	app->nb_base = 0;
	if (app->base && ops->show)
		ops->show(app->app, app_keep, app);
}

void figures_clear_port(struct appliance *a, unsigned int i)
{
	port_raw(a, i, &a->ports[i]->base);
}

void figures_clear_qp(struct appliance *a, struct qp_obj *q)
{
	order_raw(a, q, &q->order_base);
	phca_qp_info_get(q->qp, &q->base);
	if (!q->stall_base && q->base.proxy)
		q->stall_base = calloc(1, sizeof(*q->stall_base));
	if (q->stall_base) {
		memset(q->stall_base, 0, sizeof(*q->stall_base));
		phca_qp_stall_get(q->qp, q->stall_base);
	}
	figures_clear_cq(q);
}

void figures_clear_cq(struct qp_obj *q)
{
	phca_cq_info_get(q->cq, &q->cq_base);
}

void figures_clear_proxy(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		phca_proxy_stats_get(a->proxies[i].proxy, &a->proxies[i].base);
}

void figures_clear_offload(struct offload_obj *o)
{
	offload_raw(o, &o->base);
	detail_raw(o, &o->detail_base);
}

void figures_clear_filter(struct filter_obj *f)
{
	phca_filter_stats_get(phca_filter_slot_get(&f->slot), &f->base);
}

void figures_host(struct appliance *a, struct phca_host_stats *st)
{
	phca_host_stats_get(a->host, st);
	subtract(&counters_host, st, &a->host_base);
}

void figures_clear_all(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_ports; i++) {
		figures_clear_port(a, i);
		(void)phca_impair_stats_reset(phca_net_port_id(a->ports[i]->net)); /* of others: no */
	}
	for (unsigned int i = 0; appliance_qp(a, i); i++)
		figures_clear_qp(a, appliance_qp(a, i));
	for (unsigned int i = 0; i < a->nb_offloads; i++)
		figures_clear_offload(a->offloads[i]);
	for (unsigned int i = 0; i < a->nb_filters; i++)
		figures_clear_filter(a->filters[i]);
	for (unsigned int i = 0; i < a->nb_lcores; i++) {
		phca_loop_stats_get(a->lcores[i].loop, &a->lcores[i].base);
		a->lcores[i].base_tsc = rte_rdtsc();
	}
	for (unsigned int i = 0; i < a->nb_apps; i++)
		figures_clear_app(a, a->apps[i]);
	figures_clear_proxy(a);
	if (a->host)
		phca_host_stats_get(a->host, &a->host_base);
}
