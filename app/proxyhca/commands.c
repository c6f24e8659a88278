/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of commands, their help, and the words that complete arguments.
 * Everything that the prompt knows is here; what it does is called from here.
 */
#include <string.h>

#include <rte_common.h>

#include "commands.h"

static const struct command table[] = {
	{ "start", "control", "start receiving", command_start },
	{ "stop", "control", "stop receiving and print statistics", command_stop },
	{ "quit", "control", "stop, print statistics and leave", command_quit },
	{ "delay <milliseconds>", "control", "wait before the next command", command_delay },
	{ "help", "control", "list all commands", command_help },
	{ "help <topic>", "control", "list the commands of one topic", command_help_topic },
	{ "load config <file>", "config", "add filters, offloads, QPs, proxy QPs, rules and applications of a "
		"JSON file, all or none", command_load_config },
	{ "show config", "config", "the configuration as it is now, as JSON with defaults",
		command_show_config },
	{ "show port info <port|all>", "port", "device, addresses, link", command_show_port_info },
	{ "show port stats <port|all>", "port", "counters", command_show_port_stats },
	{ "show port verdicts <port|all>", "port", "what became of the received packets",
		command_show_port_verdicts },
	{ "clear port stats <port|all>", "port", "count from zero again", command_clear_port },
	{ "show verdict", "port", "verdicts of all ports, and whether they add up",
		command_show_verdict },
	{ "clear verdict", "port", "count from zero again, verdicts and counters of all ports",
		command_clear_verdict },
	{ "show impair <port|all>", "port", "rules of ports on a net_impair, and what they did",
		command_show_impair },
	{ "set impair <port|all> <rules...>", "port", "replace the rules while traffic runs: "
		"'drop p=0.01; delay time=1ms qpn=0x12', or 'none'; see doc/impair.md",
		command_set_impair },
	{ "clear impair <port|all>", "port", "count from zero again", command_clear_impair },
	{ "show neigh", "port", "neighbour tables", command_show_neigh },
	{ "show qp <qp|all>", "qp", "a line for each QP; or all counters and rules of one",
		command_show_qp },
	{ "clear qp stats", "qp", "count from zero again, all QPs and CQs", command_clear_qp },
	{ "reset qp <qp>", "qp", "bring a QP from any state back to RTS, with the attributes of the "
		"configuration; what was posted is forgotten", command_reset_qp },
	{ "show cq <cq|all>", "qp", "completion queues", command_show_cq },
	{ "show srq", "qp", "shared receive queues", command_show_srq },
	{ "clear cq stats", "qp", "count from zero again, all CQs", command_clear_cq },
	{ "show clients", "qp", "applications of other processes: who they are, what they have",
		command_show_clients },
	{ "show events", "qp", "the last things that happened to QPs and CQs", command_show_events },
	{ "show congestion", "qp", "congestion control: QPs that are limited or met congestion",
		command_show_congestion },
	{ "show proxy", "proxy", "proxy CPU: rings, proxy QPs and their rules, counters",
		command_show_proxy },
	{ "show proxy stats", "proxy", "counters of the proxy CPU", command_show_proxy_stats },
	{ "clear proxy stats", "proxy", "count from zero again", command_clear_proxy },
	{ "attach qp <qp|all> rules <rules>", "proxy", "give QPs the rules of an entry of app_proxy in the "
		"place of those that they have, while they run; they become proxy QPs",
		command_attach_rules },
	{ "attach qp <qp|all> filter <filter> offload <offload>", "proxy", "a rule more, behind those that they "
		"have: what the filter picks, posted or inbound, goes to the offload", command_attach_rule },
	{ "attach qp <qp|all> filter <filter> offload <offload> <direction>", "proxy",
		"the same for one direction: send, inbound or both", command_attach_rule },
	{ "detach qp <qp|all>", "proxy", "take all rules from QPs while they run; nothing is offloaded any more",
		command_detach },
	{ "detach qp <qp|all> rule <rule>", "proxy", "take one rule from QPs", command_detach_rule },
	{ "show rules", "proxy", "entries of app_proxy: whom they match, how many QPs they took",
		command_show_rules },
	{ "trace qp <qp> on", "proxy", "keep what happens to each request of a proxy QP, by number or name: which "
		"rule matched, what its offload did, what the application got", command_trace_on },
	{ "trace qp <qp> on count <number>", "proxy", "the same for so many requests", command_trace_count },
	{ "trace qp <qp> off", "proxy", "no more", command_trace_off },
	{ "show trace", "proxy", "traces: a line for each request", command_show_trace },
	{ "show trace <qp>", "proxy", "the trace of one queue pair", command_show_trace_qp },
	{ "show offload <offload|all>", "proxy", "counters of offloads; of their times percentiles; what waits for "
		"them", command_show_offload },
	{ "clear offload <offload|all>", "proxy", "count from zero again", command_clear_offload },
	{ "replace offload <offload> <file...>", "proxy", "replace the program of an offload while traffic runs: "
		"FILE [function NAME] [PARAMETER=VALUE ...]; maps of the same name, type and sizes keep "
		"their contents; FILE may lie beside the present object", command_replace_offload },
	{ "show filter <filter|all>", "filter", "a line for each filter; or parameters, globals, maps and "
		"counters of one", command_show_filter },
	{ "clear filter <filter|all>", "filter", "count from zero again", command_clear_filter },
	{ "set filter <filter> object <file...>", "filter", "replace a filter while traffic runs: "
		"FILE [program NAME] [PARAMETER=VALUE ...]; its maps start with the configured "
		"entries of maps of the same name, its counters at 0; FILE may lie beside the present "
		"object", command_set_filter },
	{ "show map <filter> <map>", "filter", "entries of a map", command_show_map },
	{ "set map <filter> <map> <key> <value>", "filter", "set an entry while traffic runs",
		command_set_map },
	{ "del map <filter> <map> <key>", "filter", "remove an entry (array: set it to zero)",
		command_del_map },
	{ "show app <app|all>", "app", "counters of resident applications", command_show_app },
	{ "clear app <app|all>", "app", "count from zero again", command_clear_app },
	{ "show lcore", "app", "lcores: roles, turns, load", command_show_lcore },
	{ "clear all", "control", "count from zero again, everything", command_clear_all },
};

const struct command *commands_at(unsigned int i)
{
	return i < RTE_DIM(table) ? &table[i] : NULL;
}

static bool topic_is_new(unsigned int i)
{
	for (unsigned int j = 0; j < i; j++)
		if (strcmp(table[j].topic, table[i].topic) == 0)
			return false;
	return true;
}

static const char *topic_at(unsigned int n)
{
	for (unsigned int i = 0; i < RTE_DIM(table); i++)
		if (topic_is_new(i) && n-- == 0)
			return table[i].topic;
	return NULL;
}

static bool help_of(FILE *out, const char *topic)
{
	bool any = false;

	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		if (strcmp(table[i].topic, topic) != 0)
			continue;
		if (!any)
			fprintf(out, "\n%s:\n", topic);
		any = true;
		fprintf(out, "  %s\n      %s\n", table[i].syntax, table[i].help);
	}
	return any;
}

void command_help(struct command_args *c)
{
	const char *topic;

	for (unsigned int i = 0; (topic = topic_at(i)) != NULL; i++)
		help_of(c->out, topic);
	fprintf(c->out, "\nNumbers of QPs may be decimal or 0x hexadecimal. Tab completes, ? explains.\n");
}

void command_help_topic(struct command_args *c)
{
	const char *topic;

	if (help_of(c->out, c->arg[0]))
		return;
	fprintf(c->out, "There is no help on '%s'; topics:", c->arg[0]);
	for (unsigned int i = 0; (topic = topic_at(i)) != NULL; i++)
		fprintf(c->out, " %s", topic);
	fputc('\n', c->out);
}

/* Program @p i of all filters and offloads; NULL past the last. */
static const struct phca_filter *program_at(const struct appliance *a, unsigned int i)
{
	if (i < a->nb_filters)
		return phca_filter_slot_get(&a->filters[i]->slot);
	i -= a->nb_filters;
	for (unsigned int o = 0; o < a->nb_offloads; o++)
		if (a->offloads[o]->program.slot.cur && i-- == 0)
			return phca_filter_slot_get(&a->offloads[o]->program.slot);
	return NULL;
}

/* Name @p i of the maps of all filters and offloads. */
static const char *map_name(struct appliance *a, unsigned int i)
{
	const struct phca_filter *filter;

	for (unsigned int f = 0; (filter = program_at(a, f)) != NULL; f++) {
		struct phca_map_info m;

		if (i < phca_filter_nb_maps(filter))
			return phca_filter_map_info(filter, i, &m) == 0 ? m.name : NULL;
		i -= phca_filter_nb_maps(filter);
	}
	return NULL;
}

/* Name @p i of the rules of all QPs; some twice. */
static const char *rule_name(struct appliance *a, unsigned int i)
{
	const struct qp_obj *q;

	for (unsigned int k = 0; (q = appliance_qp(a, k)) != NULL; k++) {
		if (i < q->rules.n)
			return q->rules.rule[i].name;
		i -= q->rules.n;
	}
	return NULL;
}

static const char *object_name(struct appliance *a, const char *kind, unsigned int i,
		char *buf, size_t len)
{
	static const char *const directions[] = { "send", "inbound", "both" };
	struct phca_cq_info cq;

	if (strncmp(kind, "topic", 5) == 0)
		return topic_at(i);
	if (strncmp(kind, "direction", 9) == 0)
		return i < RTE_DIM(directions) ? directions[i] : NULL;
	if (strncmp(kind, "rules", 5) == 0)
		return i < a->cfg->nb_app_proxy ? a->cfg->app_proxy[i].name : NULL;
	if (strncmp(kind, "rule", 4) == 0)
		return rule_name(a, i);
	if (strncmp(kind, "filter", 6) == 0)
		return i < a->nb_filters ? a->filters[i]->name : NULL;
	if (strncmp(kind, "offload", 7) == 0)
		return i < a->nb_offloads ? a->offloads[i]->name : NULL;
	if (strncmp(kind, "app", 3) == 0)
		return i < a->nb_apps ? a->apps[i]->name : NULL;
	if (strncmp(kind, "map", 3) == 0)
		return map_name(a, i);
	if (strncmp(kind, "port", 4) == 0 && i < a->nb_ports)
		snprintf(buf, len, "%u", i);
	else if (strncmp(kind, "qp", 2) == 0 && appliance_qp(a, i))
		snprintf(buf, len, "0x%x", phca_qp_num(appliance_qp(a, i)->qp));
	else if (strncmp(kind, "cq", 2) == 0 && i < a->nb_qps) {
		phca_cq_info_get(a->qps[i]->cq, &cq);
		snprintf(buf, len, "%u", cq.cqn);
	} else {
		return NULL;
	}
	return buf;
}

const char *commands_choice(struct appliance *a, const char *kind, unsigned int i, char *buf, size_t len)
{
	if (strstr(kind, "|all")) {
		if (i == 0)
			return "all";
		i--;
	}
	return object_name(a, kind, i, buf, len);
}
