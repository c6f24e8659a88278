/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules of queue pairs: from the configuration, from app_proxy, or given at the
 * prompt, put in place while the queue pair runs.
 *
 * Invariant: what control knows of a queue pair's rules is what its HCA lcore has:
 * both change together or not at all. A queue pair that has been a proxy QP stays one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "appliance.h"

const char *qp_obj_name(const struct appliance *a, const struct qp_obj *q)
{
	return q->owner ? q->owner->exe : a->cfg->qps[q->conf].name;
}

static void list_free(struct phca_config_rule *rule, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		free((void *)(uintptr_t)rule[i].name);
	free(rule);
}

/* A copy with names of its own. @return NULL: no memory */
static struct phca_config_rule *list_copy(const struct phca_config_rule *rule, unsigned int n)
{
	struct phca_config_rule *to = calloc(n + 1, sizeof(*to));

	for (unsigned int i = 0; to && i < n; i++) {
		to[i] = rule[i];
		to[i].name = strdup(rule[i].name);
		if (!to[i].name) {
			list_free(to, i);
			to = NULL;
		}
	}
	return to;
}

void rules_forget(struct qp_obj *q)
{
	list_free(q->rules.rule, q->rules.n);
	q->rules = (struct qp_rules){ .n = 0 };
}

/*
 * Index of the proxy that the queue pair must be with, also for offloads that have peers; of one
 * that is free, that whose turn it is. @return -EXDEV: there is no such
 */
static int proxy_pick(struct appliance *a, const struct qp_obj *q, const struct phca_config_rule *rule,
		unsigned int n)
{
	const struct phca_proxy *p = phca_qp_proxy(q->qp);
	int at = -1;

	for (unsigned int i = 0; p && i < a->nb_proxies; i++)
		if (a->proxies[i].proxy == p)
			at = (int)i;
	for (unsigned int i = 0; i < n; i++) {
		int home = a->offloads[rule[i].offload]->home;

		if (home >= 0 && at >= 0 && at != home)
			return -EXDEV;
		at = home >= 0 ? home : at;
	}
	return at >= 0 ? at : (int)(a->next_proxy++ % a->nb_proxies);
}

const char *rules_reason(int rc)
{
	switch (rc) {
	case -EXDEV:
		return "its completion queues, and the offloads among these that have peers, belong to "
			"different proxy lcores";
	case -EBUSY:
		return "requests of it did not end within 10 s, or it is being reset or destroyed";
	default:
		return rte_strerror(-rc);
	}
}

/* On the HCA: all instances that one QP uses are on one proxy. */
static int apply(struct appliance *a, const struct qp_obj *q, const struct phca_config_rule *rule, unsigned int n,
		uint32_t window)
{
	struct phca_rule rules[PHCA_PROXY_RULE_MAX];
	int proxy = proxy_pick(a, q, rule, n);
	struct phca_qp_info info;

	if (proxy < 0)
		return proxy;
	for (unsigned int i = 0; i < n; i++)
		rules[i] = (struct phca_rule){
			.name = rule[i].name,
			.filter = rule[i].filter < 0 ? NULL : &a->filters[rule[i].filter]->slot,
			.offload = a->offloads[rule[i].offload]->on[proxy],
			.send = rule[i].send, .inbound = rule[i].inbound,
		};
	phca_qp_info_get(q->qp, &info);
	return info.proxy ? phca_qp_proxy_rules_set(q->qp, rules, n) :
		phca_qp_proxy_attach(q->qp, rules, n, window);
}

int rules_set(struct appliance *a, struct qp_obj *q, const char *from, const struct phca_config_rule *rule,
		unsigned int n, uint32_t window, char *err, size_t err_len)
{
	struct phca_config_rule *copy = list_copy(rule, n);
	int rc = -ENOMEM;

	if (copy && n > PHCA_PROXY_RULE_MAX)
		rc = -E2BIG;
	else if (copy)
		rc = apply(a, q, rule, n, window);
	if (rc < 0) {
		snprintf(err, err_len, "qp 0x%x (%s): its %u rules were not attached: %s", phca_qp_num(q->qp),
			qp_obj_name(a, q), n, rc == -E2BIG ? "16 are the most" : rules_reason(rc));
		if (copy)
			list_free(copy, n);
		return rc;
	}
	list_free(q->rules.rule, q->rules.n);
	q->rules.rule = copy;
	q->rules.n = n;
	snprintf(q->rules.from, sizeof(q->rules.from), "%s", from);
	return 0;
}

int rules_add(struct appliance *a, struct qp_obj *q, const struct phca_config_rule *rule, char *err, size_t err_len)
{
	struct phca_config_rule all[PHCA_PROXY_RULE_MAX + 1];
	unsigned int n = q->rules.n;

	for (unsigned int i = 0; i < n; i++) {
		all[i] = q->rules.rule[i];
		if (strcmp(all[i].name, rule->name) != 0)
			continue;
		snprintf(err, err_len, "qp 0x%x (%s): it has a rule %s already", phca_qp_num(q->qp),
			qp_obj_name(a, q), rule->name);
		return -EEXIST;
	}
	all[n] = *rule;
	return rules_set(a, q, "prompt", all, n + 1, 0, err, err_len);
}

int rules_remove(struct appliance *a, struct qp_obj *q, const char *name, char *err, size_t err_len)
{
	struct phca_config_rule left[PHCA_PROXY_RULE_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; name && i < q->rules.n; i++)
		if (strcmp(q->rules.rule[i].name, name) != 0)
			left[n++] = q->rules.rule[i];
	if (name ? n == q->rules.n : q->rules.n == 0) {
		snprintf(err, err_len, "qp 0x%x (%s): it has no rule%s%s", phca_qp_num(q->qp), qp_obj_name(a, q),
			name ? " " : "", name ? name : "");
		return -ENOENT;
	}
	return rules_set(a, q, "prompt", left, n, 0, err, err_len);
}
