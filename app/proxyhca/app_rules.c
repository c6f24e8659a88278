/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs of applications in other processes: who they belong to, and which
 * entry of app_proxy makes them proxy QPs.
 *
 * Invariant: each is decided once, when it is created, or when its peer is known if
 * an entry depends on that. What cannot be attached leaves a plain queue pair: the
 * application does not notice, the operator is told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance.h"

struct qp_obj *app_rules_find(struct appliance *a, uint32_t qpn)
{
	for (unsigned int i = 0; i < a->nb_app_qps; i++)
		if (phca_qp_num(a->app_qps[i]->qp) == qpn)
			return a->app_qps[i];
	return NULL;
}

static struct qp_obj *find(const struct appliance *a, const struct phca_qp *qp)
{
	for (unsigned int i = 0; i < a->nb_app_qps; i++)
		if (a->app_qps[i]->qp == qp)
			return a->app_qps[i];
	return NULL;
}

/* Lists are added at the prompt. @return false: no memory */
static bool lists_grow(struct appliance *a)
{
	unsigned int n = a->cfg->nb_app_proxy;
	struct rule_list *p;

	if (n <= a->nb_rule_lists)
		return true;
	p = realloc(a->rule_lists, n * sizeof(*p));
	if (!p)
		return false;
	memset(p + a->nb_rule_lists, 0, (n - a->nb_rule_lists) * sizeof(*p));
	a->rule_lists = p;
	a->nb_rule_lists = n;
	return true;
}

struct rule_list app_rules_list(const struct appliance *a, unsigned int entry)
{
	return entry < a->nb_rule_lists ? a->rule_lists[entry] : (struct rule_list){ .taken = 0 };
}

/* Told once for each entry; then it is counted. */
static void failed(struct appliance *a, unsigned int entry, const struct qp_obj *q, int rc, const char *why)
{
	struct rule_list *l = &a->rule_lists[entry];

	if (l->failed++ == 0)
		APP_LOG(WARNING, "app_proxy %s: %s; process %d, user %s: it stays a plain one. Others will only be "
			"counted, see 'show rules'\n", a->cfg->app_proxy[entry].name, why, (int)q->owner->pid,
			q->owner->user);
	l->last_error = rc;
}

/* Attach what fits. */
static void decide(struct appliance *a, struct qp_obj *q, const uint8_t *dgid)
{
	struct phca_config_app_qp m = {
		.exe = q->owner->exe, .uid = q->owner->uid, .cq_depth = q->cq_depth, .dgid = dgid,
	};
	const struct phca_config_app_proxy *c;
	struct phca_qp_info info;
	char from[PHCA_FILTER_NAME_MAX + 16], err[ERR_MAX];
	int entry, rc;

	phca_qp_info_get(q->qp, &info);
	m.type = info.type;
	entry = phca_config_app_proxy_find(a->cfg, &m);
	q->undecided = entry == -EAGAIN;
	if (entry < 0 || !lists_grow(a))
		return;
	c = &a->cfg->app_proxy[entry];
	snprintf(from, sizeof(from), "app_proxy %s", c->name);
	rc = rules_set(a, q, from, c->rules, c->nb_rules, c->window, err, sizeof(err));
	if (rc < 0)
		failed(a, (unsigned int)entry, q, rc, err);
	else
		a->rule_lists[entry].taken++;
}

void app_rules_created(struct appliance *a, const struct qp_owner *who, struct phca_qp *qp, uint32_t cq_depth)
{
	/* one block: the owner lies behind */
	struct { struct qp_obj q; struct qp_owner who; } *o = calloc(1, sizeof(*o));
	struct qp_obj **all = realloc(a->app_qps, (a->nb_app_qps + 1) * sizeof(*all));

	if (all)
		a->app_qps = all;
	if (!all || !o) {
		APP_LOG(ERR, "qp 0x%x of process %d: no memory, it stays a plain one and is not shown\n",
			phca_qp_num(qp), (int)who->pid);
		free(o);
		return;
	}
	o->who = *who;
	o->q.owner = &o->who;
	o->q.qp = qp;
	o->q.cq = phca_qp_cq(qp, PHCA_DIR_RECV);
	o->q.cq_depth = cq_depth;
	phca_cq_info_get(o->q.cq, &o->q.cq_base);
	a->app_qps[a->nb_app_qps++] = &o->q;
	decide(a, &o->q, NULL);
}

void app_rules_connected(struct appliance *a, const struct phca_qp *qp, const uint8_t dgid[16])
{
	struct qp_obj *q = find(a, qp);

	if (q && q->undecided)
		decide(a, q, dgid);
}

void app_rules_gone(struct appliance *a, const struct phca_qp *qp)
{
	for (unsigned int i = 0; i < a->nb_app_qps; i++) {
		struct qp_obj *q = a->app_qps[i];

		if (q->qp != qp)
			continue;
		a->nb_app_qps--;
		memmove(&a->app_qps[i], &a->app_qps[i + 1], (a->nb_app_qps - i) * sizeof(q));
		rules_forget(q);
		free(q->stall_base);
		free(q);
		return;
	}
}

void app_rules_free(struct appliance *a)
{
	while (a->nb_app_qps > 0)
		app_rules_gone(a, a->app_qps[a->nb_app_qps - 1]->qp);
	free(a->app_qps);
	free(a->rule_lists);
	a->app_qps = NULL;
	a->rule_lists = NULL;
	a->nb_rule_lists = 0;
}
