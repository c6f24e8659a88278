/* SPDX-License-Identifier: BSD-3-Clause */
/* The show commands: find what was named, say so when it is not there, print it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "figures.h"
#include "text.h"

static bool is_all(const char *text)
{
	return strcmp(text, "all") == 0;
}

bool command_number(const char *text, uint32_t *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 0);
	*out = (uint32_t)v;
	return !errno && end != text && !*end && text[0] != '-' && v <= UINT32_MAX;
}

/* Call @p fn for the port that was named, or all. */
static void each_port(struct command_args *c, void (*fn)(struct appliance *a, unsigned int i, FILE *out))
{
	uint32_t port = 0;

	if (is_all(c->arg[0])) {
		for (unsigned int i = 0; i < c->a->nb_ports; i++)
			fn(c->a, i, c->out);
		return;
	}
	if (command_number(c->arg[0], &port) && port < c->a->nb_ports) {
		fn(c->a, port, c->out);
		return;
	}
	for (port = 0; port < c->a->nb_ports; port++) {
		if (strcmp(c->a->ports[port]->name, c->arg[0]) == 0) {
			fn(c->a, port, c->out);
			return;
		}
	}
	fprintf(c->out, "port '%s': there is none; there are %u, numbered from 0\n", c->arg[0],
		c->a->nb_ports);
}

void command_show_port_info(struct command_args *c)
{
	each_port(c, text_port_info);
}

void command_show_port_stats(struct command_args *c)
{
	each_port(c, text_port_stats);
}

void command_show_port_verdicts(struct command_args *c)
{
	each_port(c, text_port_verdicts);
}

static void clear_port(struct appliance *a, unsigned int i, FILE *out)
{
	figures_clear_port(a, i);
	fprintf(out, "port %u (%s): statistics cleared\n", i, a->ports[i]->name);
}

void command_clear_port(struct command_args *c)
{
	each_port(c, clear_port);
}

void command_show_verdict(struct command_args *c)
{
	text_totals(c->a, c->out);
}

void command_show_neigh(struct command_args *c)
{
	text_neighbours(c->a, c->out);
}

void command_show_qp(struct command_args *c)
{
	const struct qp_obj *q;
	uint32_t qpn;

	if (is_all(c->arg[0])) {
		text_qps(c->a, c->out);
		return;
	}
	q = command_number(c->arg[0], &qpn) ? objects_qp(c->a, qpn) : NULL;
	if (q)
		text_qp(c->a, q, c->out);
	else
		fprintf(c->out, "qp '%s': there is none with this number; 'show qp all' lists them\n",
			c->arg[0]);
}

void command_show_cq(struct command_args *c)
{
	uint32_t cqn;

	if (is_all(c->arg[0])) {
		text_cqs(c->a, c->out);
		return;
	}
	for (unsigned int i = 0; command_number(c->arg[0], &cqn) && i < c->a->nb_qps; i++) {
		if (phca_cq_num(c->a->qps[i]->cq) == cqn) {
			text_cq(c->a, c->a->qps[i], c->out);
			return;
		}
	}
	fprintf(c->out, "cq '%s': there is none with this number; 'show cq all' lists them\n", c->arg[0]);
}

void command_show_congestion(struct command_args *c)
{
	text_congestion(c->a, c->out);
}

void command_show_srq(struct command_args *c)
{
	text_srqs(c->a, c->out);
}

void command_reset_qp(struct command_args *c)
{
	uint32_t qpn;
	struct qp_obj *q = command_number(c->arg[0], &qpn) ? objects_qp(c->a, qpn) : NULL;
	char err[ERR_MAX];

	if (!q)
		fprintf(c->out, "qp '%s': there is none with this number; 'show qp all' lists them\n",
			c->arg[0]);
	else if (qps_reset(c->a, q, err, sizeof(err)) < 0)
		fprintf(c->out, "%s\n", err);
	else
		fprintf(c->out, "qp 0x%x: in RTS again\n", qpn);
}

void command_show_proxy(struct command_args *c)
{
	text_proxy(c->a, c->out);
}

void command_show_proxy_stats(struct command_args *c)
{
	text_proxy_stats(c->a, c->out);
}

void command_show_offload(struct command_args *c)
{
	const struct offload_obj *o;

	if (is_all(c->arg[0])) {
		for (unsigned int i = 0; i < c->a->nb_offloads; i++)
			text_offload(c->a, c->a->offloads[i], c->out);
		return;
	}
	o = objects_offload(c->a, c->arg[0]);
	if (o)
		text_offload(c->a, o, c->out);
	else
		fprintf(c->out, "offload '%s': there is none; 'show offload all' lists them\n", c->arg[0]);
}

void command_show_filter(struct command_args *c)
{
	const struct filter_obj *f;

	if (is_all(c->arg[0])) {
		text_filters(c->a, c->out);
		return;
	}
	f = objects_program(c->a, c->arg[0]);
	if (f)
		text_filter(c->a, f, c->out);
	else
		fprintf(c->out, "filter '%s': there is none; 'show filter all' lists them\n", c->arg[0]);
}

void command_show_map(struct command_args *c)
{
	const struct filter_obj *f = objects_program(c->a, c->arg[0]);

	if (!f)
		fprintf(c->out, "filter '%s': there is none; 'show filter all' lists them\n", c->arg[0]);
	else if (text_map(f, c->arg[1], c->out) < 0)
		fprintf(c->out, "%s %s: it has no map '%s'; 'show filter %s' lists them\n",
			phca_filter_kind_of(phca_filter_slot_get(&f->slot))->noun, f->name, c->arg[1], f->name);
}

void command_show_app(struct command_args *c)
{
	const struct app_obj *app;

	if (is_all(c->arg[0])) {
		for (unsigned int i = 0; i < c->a->nb_apps; i++)
			text_app(c->a, c->a->apps[i], c->out);
		return;
	}
	app = objects_app(c->a, c->arg[0]);
	if (app)
		text_app(c->a, app, c->out);
	else
		fprintf(c->out, "app '%s': there is none; 'show app all' lists them\n", c->arg[0]);
}

void command_show_lcore(struct command_args *c)
{
	text_lcores(c->a, c->out);
}

void command_show_config(struct command_args *c)
{
	if (phca_config_print(c->a->cfg, c->out) < 0)
		fprintf(c->out, "config: not printed: write error\n");
}

void command_show_events(struct command_args *c)
{
	events_take(c->a); /* the tick may not have come yet */
	text_events(c->a, c->out);
}

void command_show_clients(struct command_args *c)
{
	text_clients(c->a, c->out);
}
