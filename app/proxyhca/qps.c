/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs: each with a CQ of its own that holds all it can have
 * outstanding, brought to RTS before its application starts; and the rules that
 * make some of them proxy QPs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "appliance.h"

/* RESET to INIT to RTR to RTS, each with the attributes that belong to it. */
static int qp_to_rts(const struct phca_hca *hca, unsigned int port, struct qp_obj *q, const struct phca_config_qp *c,
		char *err, size_t err_len)
{
	static const struct { enum phca_qp_state state; unsigned int mask; } steps[] = {
		{ PHCA_QPS_INIT, PHCA_QP_PKEY | PHCA_QP_QKEY | PHCA_QP_ACCESS },
		{ PHCA_QPS_RTR, PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN | PHCA_QP_AV |
			PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER },
		{ PHCA_QPS_RTS, PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY |
			PHCA_QP_MAX_RD_ATOMIC },
	};
	struct phca_qp_attr attr = c->attr;
	const struct phca_net *net = phca_hca_port(hca, port);
	int gid = phca_net_gid_for(net, attr.av.dgid);

	if (attr.dest_qpn != 0)
		attr.dest_qpn += q->nth;
	if (c->attr_mask & PHCA_QP_AV && gid < 0) {
		snprintf(err, err_len, "qp %s: peer: port %u has no address of its family", c->name, port);
		return -EINVAL;
	}
	attr.av.sgid_index = gid < 0 ? 0 : (uint8_t)gid;
	for (unsigned int i = 0; i < RTE_DIM(steps); i++) {
		int rc;

		attr.state = steps[i].state;
		rc = phca_qp_modify(q->qp, &attr, PHCA_QP_STATE | (steps[i].mask & c->attr_mask));
		if (rc < 0) {
			snprintf(err, err_len, "qp %s (0x%x): not moved to %s: %s", c->name,
				phca_qp_num(q->qp), phca_qp_state_str(attr.state), rte_strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static int join_groups(struct qp_obj *q, const struct phca_config_qp *c, char *err, size_t err_len)
{
	char text[64];

	for (unsigned int i = 0; i < c->nb_mcast; i++) {
		int rc = phca_qp_mcast_attach(q->qp, c->mcast[i]);

		if (rc == 0)
			continue;
		snprintf(err, err_len, "qp %s (0x%x): group %s not joined: %s", c->name, phca_qp_num(q->qp),
			phca_gid_str(c->mcast[i], text), rte_strerror(-rc));
		return rc;
	}
	return 0;
}

int srqs_add(struct appliance *a, char *err, size_t err_len)
{
	while (a->nb_srqs < a->cfg->nb_srqs) {
		const struct phca_config_srq *c = &a->cfg->srqs[a->nb_srqs];
		const struct client_obj *client = &a->apps[c->app]->client;
		struct phca_srq_init init = c->init;
		struct srq_obj *o = calloc(1, sizeof(*o));
		int rc;

		if (!o)
			return -ENOMEM;
		init.pd = client->pd;
		o->depth = init.max_wr;
		rc = phca_srq_create(client->client, &init, &o->srq);
		if (rc < 0) {
			snprintf(err, err_len, "srq %s: not created: %s", c->name, rte_strerror(-rc));
			free(o);
			return rc;
		}
		a->srqs[a->nb_srqs++] = o;
	}
	return 0;
}

void srqs_remove(struct appliance *a, unsigned int keep)
{
	while (a->nb_srqs > keep) {
		struct srq_obj *o = a->srqs[--a->nb_srqs];

		phca_srq_destroy(o->srq);
		free(o);
	}
}

static int qp_create(struct appliance *a, struct qp_obj *q, const struct phca_config_qp *c,
		char *err, size_t err_len)
{
	const struct client_obj *client = c->app >= 0 ? &a->apps[c->app]->client : &q->client;
	struct phca_qp_init init = c->init;
	uint32_t cqe;
	int rc = c->app >= 0 ? 0 : peer_open(a, q, err, err_len);

	if (rc < 0)
		return rc;
	q->srq = c->srq < 0 ? NULL : a->srqs[c->srq];
	q->depth = q->srq ? q->srq->depth : init.max_recv_wr;
	cqe = rte_align32pow2(RTE_MAX(init.max_send_wr, 1u)) + rte_align32pow2(RTE_MAX(q->depth, 1u));
	if (c->app < 0)
		cqe = 0; /* its requests are the driver's, who needs no completions */
	rc = phca_cq_create(client->client, RTE_MAX(cqe, 16u), &q->cq);
	if (rc < 0) {
		snprintf(err, err_len, "qp %s: its CQ of %u completions was not created: %s", c->name, cqe,
			rte_strerror(-rc));
		return rc;
	}
	init.pd = client->pd;
	init.port = c->port < 0 ? 0 : (unsigned int)c->port;
	init.send_cq = init.recv_cq = q->cq;
	if (init.qpn != 0)
		init.qpn += q->nth;
	init.srq = q->srq ? q->srq->srq : NULL;
	rc = phca_qp_create(client->client, &init, &q->qp);
	if (rc < 0) {
		snprintf(err, err_len, "qp %s (0x%x): not created: %s", c->name, init.qpn,
			rc == -EEXIST ? "the number is taken" : rte_strerror(-rc));
		return rc;
	}
	rc = qp_to_rts(a->hca, init.port, q, c, err, err_len);
	if (rc < 0)
		return rc;
	return c->app < 0 ? peer_attach(a, q, err, err_len) : join_groups(q, c, err, err_len);
}

struct reset_call { struct phca_app *app; uint32_t qpn; };

static int app_qp_hold(void *arg)
{
	struct reset_call *r = arg;

	phca_app_ops(r->app)->qp_hold(r->app, r->qpn);
	return 0;
}

static int app_qp_reset(void *arg)
{
	struct reset_call *r = arg;

	return phca_app_ops(r->app)->qp_reset(r->app, r->qpn);
}

int qps_reset(struct appliance *a, struct qp_obj *q, char *err, size_t err_len)
{
	static const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET };
	const struct phca_config_qp *c = q->owner ? NULL : &a->cfg->qps[q->conf];
	const struct app_obj *app = c && c->app >= 0 ? a->apps[c->app] : NULL;
	struct reset_call r = { app ? app->app : NULL, phca_qp_num(q->qp) };
	int rc = 0;

	if (!c) {
		snprintf(err, err_len, "qp 0x%x: it is process %d's (%s), which resets it itself", r.qpn,
			(int)q->owner->pid, q->owner->exe);
		return -EPERM;
	}
	if (app && !phca_app_ops(app->app)->qp_reset) {
		snprintf(err, err_len, "qp 0x%x: its application %s (driver %s) cannot go on after a reset", r.qpn,
			app->name, phca_app_ops(app->app)->name);
		return -ENOTSUP;
	}
	if (app)
		rc = phca_loop_call(a->app_lcore->loop, app_qp_hold, &r);
	if (rc == 0)
		rc = phca_qp_modify(q->qp, &reset, PHCA_QP_STATE);
	if (rc < 0) {
		snprintf(err, err_len, "qp 0x%x: not reset: %s%s", r.qpn, rte_strerror(-rc),
			rc == -EBUSY ? "; an offload driver holds one of its requests, try again" : "");
		return rc;
	}
	rc = qp_to_rts(a->hca, c->port < 0 ? 0 : (unsigned int)c->port, q, c, err, err_len);
	return rc < 0 || !app ? rc : phca_loop_call(a->app_lcore->loop, app_qp_reset, &r);
}

static int qp_remove(struct appliance *a, struct qp_obj *q)
{
	int rc = q->qp ? phca_qp_destroy(q->qp) : 0;

	if (rc < 0)
		return rc;
	if (q->cq)
		phca_cq_destroy(q->cq);
	peer_close(a, q);
	rules_forget(q);
	free(q->stall_base);
	free(q);
	return 0;
}

static int qp_add(struct appliance *a, unsigned int conf, uint32_t nth, char *err, size_t err_len)
{
	struct qp_obj *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return -ENOMEM;
	q->conf = conf;
	q->nth = nth;
	rc = qp_create(a, q, &a->cfg->qps[conf], err, err_len);
	if (rc < 0)
		qp_remove(a, q);
	else
		a->qps[a->nb_qps++] = q;
	return rc;
}

int qps_add(struct appliance *a, char *err, size_t err_len)
{
	unsigned int conf = a->nb_qps > 0 ? a->qps[a->nb_qps - 1]->conf + 1 : 0;
	int rc = 0;

	for (; conf < a->cfg->nb_qps && rc == 0; conf++) {
		const struct phca_config_qp *c = &a->cfg->qps[conf];

		if (c->app >= 0 && a->apps[c->app]->app) {
			snprintf(err, err_len, "qp %s: app %s runs already and takes no more queue pairs; "
				"add an app with another name", c->name, a->apps[c->app]->name);
			return -EBUSY;
		}
		for (uint32_t n = 0; n < c->count && rc == 0; n++)
			rc = qp_add(a, conf, n, err, err_len);
	}
	return rc;
}

int qps_remove(struct appliance *a, unsigned int keep, char *err, size_t err_len)
{
	while (a->nb_qps > keep) {
		struct qp_obj *q = a->qps[a->nb_qps - 1];
		uint32_t qpn = phca_qp_num(q->qp);
		int rc = qp_remove(a, q);

		if (rc < 0) {
			snprintf(err, err_len, "qp 0x%x: not destroyed: %s; an offload driver holds one of its "
				"requests", qpn, rte_strerror(-rc));
			return rc;
		}
		a->nb_qps--;
	}
	return 0;
}

static bool entry_names(const struct phca_config_proxy_qp *c, unsigned int conf)
{
	for (unsigned int i = 0; i < c->nb_qps; i++)
		if (c->qps[i] == (int)conf)
			return true;
	return false;
}

static int qp_attach(struct appliance *a, struct qp_obj *q, unsigned int entry, char *err, size_t err_len)
{
	const struct phca_config_proxy_qp *c = &a->cfg->proxy_qps[entry];
	struct phca_qp_info info;
	char from[32];

	phca_qp_info_get(q->qp, &info);
	if (info.proxy) {
		snprintf(err, err_len, "qp 0x%x (%s): it is a proxy QP already; 'attach qp' changes its rules",
			info.qpn, a->cfg->qps[q->conf].name);
		return -EBUSY;
	}
	snprintf(from, sizeof(from), "proxy_qps[%u]", entry);
	return rules_set(a, q, from, c->rules, c->nb_rules, c->window, err, err_len);
}

int qps_attach(struct appliance *a, unsigned int first, unsigned int end, unsigned int *nb_attached,
		char *err, size_t err_len)
{
	int rc = 0;

	*nb_attached = 0;
	for (unsigned int i = a->nb_proxy_qps; i < a->cfg->nb_proxy_qps; i++) {
		for (unsigned int j = first; j < end && rc == 0; j++) {
			if (!entry_names(&a->cfg->proxy_qps[i], a->qps[j]->conf))
				continue;
			rc = qp_attach(a, a->qps[j], i, err, err_len);
			*nb_attached += rc == 0;
		}
	}
	return rc;
}
