/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that attach rules to queue pairs that run, and detach them. */
#include <string.h>

#include "commands.h"
#include "text.h"

/* Do something to the queue pair that was named, or to all. Errors are told one by one. */
static void each_qp(struct command_args *c, const char *done,
		int (*fn)(struct command_args *c, struct qp_obj *q, char *err, size_t err_len))
{
	bool all = strcmp(c->arg[0], "all") == 0;
	unsigned int n = 0, bad = 0;
	uint32_t qpn = 0;

	if (!all && (!command_number(c->arg[0], &qpn) || !objects_qp(c->a, qpn))) {
		fprintf(c->out, "qp '%s': there is none with this number; 'show qp all' lists them\n", c->arg[0]);
		return;
	}
	for (unsigned int i = 0; appliance_qp(c->a, i); i++) {
		struct qp_obj *q = appliance_qp(c->a, i);
		char err[ERR_MAX] = "";

		if (all ? qp_obj_offload(c->a, q) != NULL : phca_qp_num(q->qp) != qpn)
			continue;
		if (qp_obj_offload(c->a, q)) {
			fprintf(c->out, "qp 0x%x (%s): it belongs to offload %s, which gets all its requests\n", qpn,
				qp_obj_name(c->a, q), qp_obj_offload(c->a, q)->name);
			return;
		}
		n++;
		if (fn(c, q, err, sizeof(err)) < 0) {
			bad++;
			fprintf(c->out, "%s\n", err);
		}
	}
	if (all)
		fprintf(c->out, "%u of %u queue pairs: %s\n", n - bad, n, done);
	else if (bad == 0)
		fprintf(c->out, "qp 0x%x: %s\n", qpn, done);
}

static const struct phca_config_app_proxy *list_named(const struct appliance *a, const char *name)
{
	for (unsigned int i = 0; i < a->cfg->nb_app_proxy; i++)
		if (strcmp(a->cfg->app_proxy[i].name, name) == 0)
			return &a->cfg->app_proxy[i];
	return NULL;
}

static int attach_list(struct command_args *c, struct qp_obj *q, char *err, size_t err_len)
{
	const struct phca_config_app_proxy *l = list_named(c->a, c->arg[1]);
	char from[PHCA_FILTER_NAME_MAX + 16];

	snprintf(from, sizeof(from), "app_proxy %s", l->name);
	return rules_set(c->a, q, from, l->rules, l->nb_rules, l->window, err, err_len);
}

void command_attach_rules(struct command_args *c)
{
	char done[128];

	snprintf(done, sizeof(done), "the rules of %.63s are attached", c->arg[1]);
	if (list_named(c->a, c->arg[1]))
		each_qp(c, done, attach_list);
	else
		fprintf(c->out, "rules '%s': there is no such entry of app_proxy; 'show rules' lists them\n",
			c->arg[1]);
}

/* The filter and the offload that were named, as a rule. @return false: said what is wrong */
static bool rule_words(const struct command_args *c, struct phca_config_rule *r, char *name, size_t len)
{
	const char *direction = c->arg[3] ? c->arg[3] : "both";
	struct appliance *a = c->a;

	*r = (struct phca_config_rule){ .name = name, .filter = -1, .offload = -1 };
	for (unsigned int i = 0; i < a->nb_filters; i++)
		if (strcmp(a->filters[i]->name, c->arg[1]) == 0)
			r->filter = (int)i;
	for (unsigned int i = 0; i < a->nb_offloads; i++)
		if (strcmp(a->offloads[i]->name, c->arg[2]) == 0)
			r->offload = (int)i;
	r->send = strcmp(direction, "inbound") != 0;
	r->inbound = strcmp(direction, "send") != 0;
	snprintf(name, len, "%s-%s", c->arg[1], c->arg[2]);
	if (r->filter < 0)
		fprintf(c->out, "filter '%s': there is none; 'show filter all' lists them\n", c->arg[1]);
	else if (r->offload < 0)
		fprintf(c->out, "offload '%s': there is none; 'show offload all' lists them\n", c->arg[2]);
	else if (strcmp(direction, "both") != 0 && r->send == r->inbound)
		fprintf(c->out, "direction '%s': 'send', 'inbound' or 'both' expected\n", direction);
	else
		return true;
	return false;
}

static int attach_one(struct command_args *c, struct qp_obj *q, char *err, size_t err_len)
{
	char name[2 * PHCA_FILTER_NAME_MAX];
	struct phca_config_rule r;

	rule_words(c, &r, name, sizeof(name));
	return rules_add(c->a, q, &r, err, err_len);
}

void command_attach_rule(struct command_args *c)
{
	char name[2 * PHCA_FILTER_NAME_MAX], done[sizeof(name) + 32];
	struct phca_config_rule r;

	if (!rule_words(c, &r, name, sizeof(name)))
		return;
	snprintf(done, sizeof(done), "rule %s is attached", name);
	each_qp(c, done, attach_one);
}

/* Of all QPs, those without rules are as they should be. */
static int detach_all(struct command_args *c, struct qp_obj *q, char *err, size_t err_len)
{
	if (q->rules.n == 0 && strcmp(c->arg[0], "all") == 0)
		return 0;
	return rules_remove(c->a, q, NULL, err, err_len);
}

void command_detach(struct command_args *c)
{
	each_qp(c, "no rules are attached any more", detach_all);
}

static int detach_one(struct command_args *c, struct qp_obj *q, char *err, size_t err_len)
{
	return rules_remove(c->a, q, c->arg[1], err, err_len);
}

void command_detach_rule(struct command_args *c)
{
	char done[160];

	snprintf(done, sizeof(done), "rule %.127s is detached", c->arg[1]);
	each_qp(c, done, detach_one);
}

void command_show_rules(struct command_args *c)
{
	text_rules(c->a, c->out);
}
