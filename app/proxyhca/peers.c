/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs of offloads: peers that a driver issues work requests to. What
 * arrives on one goes to the offload, by a rule without a filter.
 *
 * Invariant: all peers of an offload are with one proxy lcore, its home, and so is
 * every queue pair whose rules name the offload: a driver's instance sees either
 * all peers or none, and requests only where it sees them.
 */
#include <errno.h>
#include <stdio.h>

#include <rte_errno.h>

#include "appliance.h"

struct offload_obj *qp_obj_offload(const struct appliance *a, const struct qp_obj *q)
{
	int index = q->owner ? -1 : a->cfg->qps[q->conf].offload;

	return index < 0 ? NULL : a->offloads[index];
}

void peer_name(const struct appliance *a, const struct qp_obj *q, char *name, size_t len)
{
	const struct phca_config_qp *c = &a->cfg->qps[q->conf];

	if (c->count > 1)
		snprintf(name, len, "%s[%u]", c->name, q->nth);
	else
		snprintf(name, len, "%s", c->name);
}

static bool names(const struct qp_obj *q, int offload)
{
	for (unsigned int i = 0; i < q->rules.n; i++)
		if (q->rules.rule[i].offload == offload)
			return true;
	return false;
}

static int proxy_index(const struct appliance *a, const struct phca_proxy *p)
{
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		if (a->proxies[i].proxy == p)
			return (int)i;
	return -1;
}

/* Where the queue pairs are that use it; else the first. @return -EXDEV: they are in several places */
static int home_find(struct appliance *a, int offload, char *err, size_t err_len)
{
	const struct qp_obj *q, *first = NULL;
	int home = -1;

	for (unsigned int i = 0; (q = appliance_qp(a, i)) != NULL; i++) {
		int at = names(q, offload) ? proxy_index(a, phca_qp_proxy(q->qp)) : -1;

		if (at >= 0 && home >= 0 && at != home) {
			snprintf(err, err_len, "offload %s: QPs 0x%x and 0x%x use it on different proxy lcores, so it "
				"cannot get peers; detach the rules of one, or use one proxy lcore",
				a->offloads[offload]->name, phca_qp_num(first->qp), phca_qp_num(q->qp));
			return -EXDEV;
		}
		if (at >= 0 && home < 0)
			first = q;
		home = at >= 0 ? at : home;
	}
	return home < 0 ? 0 : home;
}

int peer_open(struct appliance *a, struct qp_obj *q, char *err, size_t err_len)
{
	const struct phca_config_qp *c = &a->cfg->qps[q->conf];
	const struct qp_obj *before = q->nth > 0 ? a->qps[a->nb_qps - 1] : NULL;

	if (before) {
		q->client = before->client;
		return 0;
	}
	q->client_own = true;
	return app_client_open(a, &q->client, c->name, c->count, err, err_len);
}

void peer_close(struct appliance *a, struct qp_obj *q)
{
	struct offload_obj *o = qp_obj_offload(a, q);

	if (q->client_own)
		app_client_close(a, &q->client);
	if (q->peer && --o->nb_peers == 0)
		o->home = -1;
}

int peer_attach(struct appliance *a, struct qp_obj *q, char *err, size_t err_len)
{
	const struct phca_config_qp *c = &a->cfg->qps[q->conf];
	const struct phca_config_rule rule = {
		.name = "peer", .filter = -1, .offload = c->offload, .inbound = true,
	};
	struct offload_obj *o = a->offloads[c->offload];
	char from[PHCA_FILTER_NAME_MAX + 16], name[PHCA_FILTER_NAME_MAX + 16];
	int rc = o->home;

	if (rc < 0)
		rc = home_find(a, c->offload, err, err_len);
	if (rc < 0)
		return rc;
	o->home = rc;
	o->nb_peers++;
	q->peer = true;
	snprintf(from, sizeof(from), "offload %s", o->name);
	rc = rules_set(a, q, from, &rule, 1, 0, err, err_len);
	if (rc < 0)
		return rc;
	peer_name(a, q, name, sizeof(name));
	rc = phca_offload_peer_add(o->on[o->home], phca_qp_pqp(q->qp), name);
	if (rc < 0)
		snprintf(err, err_len, "qp %s (0x%x): not taken by offload %s (driver %s): %s", name,
			phca_qp_num(q->qp), o->name, phca_offload_ops(o->on[o->home])->name,
			rc == -ENOSPC ? "it has no room for more peers" : rte_strerror(-rc));
	return rc;
}
