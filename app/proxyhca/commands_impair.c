/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of ports whose device is a net_impair: its rules and what they
 * did. Of any other port they say so; "all" passes over those.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "phca_impair.h"

#include "commands.h"
#include "figures.h"
#include "text.h"

/* A port by index or name; nb_ports: there is none. */
static unsigned int find_port(const struct appliance *a, const char *text)
{
	unsigned long i;
	char *end;

	for (unsigned int p = 0; p < a->nb_ports; p++)
		if (strcmp(a->ports[p]->name, text) == 0)
			return p;
	errno = 0;
	i = strtoul(text, &end, 0);
	return errno || *end || end == text || text[0] == '-' || i >= a->nb_ports ? a->nb_ports :
		(unsigned int)i;
}

/* Call @p fn for the port that was named, or for all that have a net_impair. */
static void each_impair(struct command_args *c, void (*fn)(struct command_args *c, unsigned int i, uint16_t id))
{
	bool all = strcmp(c->arg[0], "all") == 0;
	unsigned int first = all ? 0 : find_port(c->a, c->arg[0]), found = 0;

	for (unsigned int i = first; i < (all ? c->a->nb_ports : first + 1) && i < c->a->nb_ports; i++) {
		uint16_t id = phca_net_port_id(c->a->ports[i]->net);

		if (!phca_impair_is(id))
			continue;
		fn(c, i, id);
		found++;
	}
	if (found > 0)
		return;
	if (all)
		fprintf(c->out, "No port is a net_impair; give EAL one (--vdev=net_impair0,...) and name it "
			"as a port's device\n");
	else if (first == c->a->nb_ports)
		fprintf(c->out, "port '%s': there is none; there are %u, numbered from 0\n", c->arg[0],
			c->a->nb_ports);
	else
		fprintf(c->out, "port %u (%s): its device is no net_impair\n", first, c->a->ports[first]->name);
}

static void show_rules(struct command_args *c, uint16_t id)
{
	struct phca_impair_rule_info rule;
	unsigned int i;

	for (i = 0; phca_impair_rule_get(id, i, &rule) == 0; i++) {
		fprintf(c->out, "  rule %u: %s\n", i, rule.text);
		fprintf(c->out, "      matched %" PRIu64 ", applied %" PRIu64 "\n", rule.matched, rule.fired);
	}
	if (i == 0)
		fprintf(c->out, "  no rules: all packets pass\n");
}

static void show_impair(struct command_args *c, unsigned int i, uint16_t id)
{
	struct phca_impair_counters rx = {0}, tx = {0};

	phca_impair_stats_get(id, PHCA_IMPAIR_RX, &rx);
	phca_impair_stats_get(id, PHCA_IMPAIR_TX, &tx);
	text_title(c->out, "Impairments of port %u (%s)", i, c->a->ports[i]->name);
	show_rules(c, id);
	fprintf(c->out, "  %-18s %20s %20s\n", "", "rx", "tx");
	for (unsigned int k = 0; k < counters_impair.nb_rows; k++) {
		const struct counter *row = &counters_impair.rows[k];

		fprintf(c->out, "  %-18s %20" PRIu64 " %20" PRIu64 " %s\n", row->name, counter_get(row, &rx),
			counter_get(row, &tx), row->unit);
	}
	text_end(c->out);
}

void command_show_impair(struct command_args *c)
{
	each_impair(c, show_impair);
}

static void set_impair(struct command_args *c, unsigned int i, uint16_t id)
{
	char err[PHCA_IMPAIR_ERR_MAX] = "";
	struct phca_impair_rule_info rule;
	unsigned int n = 0;

	if (phca_impair_rules_set(id, c->arg[1], err, sizeof(err)) < 0) {
		fprintf(c->out, "port %u (%s): %s\nThe rules are unchanged\n", i, c->a->ports[i]->name, err);
		return;
	}
	while (phca_impair_rule_get(id, n, &rule) == 0)
		n++;
	fprintf(c->out, "port %u (%s): %u rule%s\n", i, c->a->ports[i]->name, n, n == 1 ? "" : "s");
}

void command_set_impair(struct command_args *c)
{
	each_impair(c, set_impair);
}

static void clear_impair(struct command_args *c, unsigned int i, uint16_t id)
{
	phca_impair_stats_reset(id);
	fprintf(c->out, "port %u (%s): counters of impairments cleared\n", i, c->a->ports[i]->name);
}

void command_clear_impair(struct command_args *c)
{
	each_impair(c, clear_impair);
}
