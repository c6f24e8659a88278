/* SPDX-License-Identifier: BSD-3-Clause */
/* The clear commands of what is not a port: what was named counts from zero again. */
#include <string.h>

#include "commands.h"
#include "figures.h"

static bool named(const struct command_args *c, const char *name)
{
	return strcmp(c->arg[0], "all") == 0 || strcmp(c->arg[0], name) == 0;
}

/* Say what was cleared, or that it does not exist; "all" of nothing is no mistake. */
static void say(const struct command_args *c, const char *kind, unsigned int cleared)
{
	if (cleared == 0 && strcmp(c->arg[0], "all") != 0)
		fprintf(c->out, "%s '%s': there is none; 'show %s all' lists them\n", kind, c->arg[0], kind);
	else
		fprintf(c->out, "%u %s%s: statistics cleared\n", cleared, kind, cleared == 1 ? "" : "s");
}

void command_clear_qp(struct command_args *c)
{
	for (unsigned int i = 0; appliance_qp(c->a, i); i++)
		figures_clear_qp(c->a, appliance_qp(c->a, i));
	fprintf(c->out, "%u queue pairs: statistics cleared\n", c->a->nb_qps + c->a->nb_app_qps);
}

void command_clear_cq(struct command_args *c)
{
	for (unsigned int i = 0; i < c->a->nb_qps; i++)
		figures_clear_cq(c->a->qps[i]);
	fprintf(c->out, "%u completion queues: statistics cleared\n", c->a->nb_qps);
}

void command_clear_proxy(struct command_args *c)
{
	figures_clear_proxy(c->a);
	fprintf(c->out, "proxy: statistics cleared\n");
}

void command_clear_offload(struct command_args *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->a->nb_offloads; i++) {
		if (!named(c, c->a->offloads[i]->name))
			continue;
		figures_clear_offload(c->a->offloads[i]);
		n++;
	}
	say(c, "offload", n);
}

void command_clear_filter(struct command_args *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->a->nb_filters; i++) {
		if (!named(c, c->a->filters[i]->name))
			continue;
		figures_clear_filter(c->a->filters[i]);
		n++;
	}
	say(c, "filter", n);
}

void command_clear_app(struct command_args *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->a->nb_apps; i++) {
		if (!named(c, c->a->apps[i]->name))
			continue;
		figures_clear_app(c->a, c->a->apps[i]);
		n++;
	}
	say(c, "app", n);
}

/* Verdicts and received packets have one base, or they would not add up. */
void command_clear_verdict(struct command_args *c)
{
	for (unsigned int i = 0; i < c->a->nb_ports; i++)
		figures_clear_port(c->a, i);
	fprintf(c->out, "%u ports: verdicts and statistics cleared\n", c->a->nb_ports);
}
