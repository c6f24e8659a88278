/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The prompt's commands: one table. Syntax is words; <kind> is an argument that
 * completes from what exists, <kind...> takes the rest of the line.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdio.h>

#include "appliance.h"

#define COMMAND_ARGS_MAX 4

/** A command as it was typed. */
struct command_args {
	struct appliance *a;
	const char *arg[COMMAND_ARGS_MAX]; /* arguments in the order of the syntax; NULL past the last */
	FILE *out;                         /* where it answers */
};

/** A command. */
struct command {
	const char *syntax;  /* "show qp <qp|all>" */
	const char *topic;   /* for "help <topic>" */
	const char *help;    /* one line */
	void (*run)(struct command_args *c);
};

/** @return command @p i, NULL past the last. */
const struct command *commands_at(unsigned int i);
/** @return possible word @p i of an argument of this kind, NULL past the last. */
const char *commands_choice(struct appliance *a, const char *kind, unsigned int i, char *buf, size_t len);

/** A number of an object; decimal or hexadecimal. @return whether it is one */
bool command_number(const char *text, uint32_t *out);

/* commands_show.c, commands_change.c, commands_rules.c: what the table calls */
#define COMMANDS(X) \
	X(start) X(stop) X(quit) X(delay) X(help) X(help_topic) \
	X(show_port_info) X(show_port_stats) X(show_port_verdicts) X(show_verdict) X(clear_port) \
	X(show_qp) X(reset_qp) X(show_cq) X(show_srq) X(clear_qp) X(show_proxy) X(show_proxy_stats) X(show_filter) \
	X(show_map) X(set_map) X(del_map) X(set_filter) X(replace_offload) X(show_offload) X(show_app) X(show_lcore) \
	X(show_config) X(show_neigh) X(show_events) X(show_congestion) X(load_config) X(clear_all) \
	X(clear_cq) X(clear_proxy) X(clear_filter) X(clear_offload) X(clear_app) X(clear_verdict) \
	X(show_clients) X(show_impair) X(set_impair) X(clear_impair) \
	X(attach_rules) X(attach_rule) X(detach) X(detach_rule) X(show_rules) \
	X(trace_on) X(trace_count) X(trace_off) X(show_trace) X(show_trace_qp)
#define COMMANDS_DECLARE(name) void command_##name(struct command_args *c);
COMMANDS(COMMANDS_DECLARE)
#undef COMMANDS_DECLARE

#endif
