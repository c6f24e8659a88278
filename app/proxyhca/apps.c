/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Resident applications: each is a client of the HCA with its own protection
 * domain, owns the queue pairs that name it, and has its turn on the lcore with
 * the app role. It leaves the loop before it is destroyed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_errno.h>

#include "appliance.h"

int app_client_open(struct appliance *a, struct client_obj *c, const char *name, uint32_t max_qp,
		char *err, size_t err_len)
{
	c->client = phca_client_open(a->hca, name, max_qp);
	if (c->client)
		c->pd = phca_pd_alloc(a->mem);
	if (c->client && c->pd) {
		phca_client_loop_set(c->client, a->app_lcore->loop);
		return 0;
	}
	snprintf(err, err_len, "client %s: not opened for %u queue pairs: %s", name, max_qp,
		rte_strerror(rte_errno));
	return rte_errno ? -rte_errno : -ENOMEM;
}

void app_client_close(struct appliance *a, struct client_obj *c)
{
	if (c->client)
		phca_client_close(c->client);
	if (c->pd && phca_pd_free(a->mem, c->pd) < 0)
		APP_LOG(ERR, "protection domain %u: still referenced\n", c->pd);
	*c = (struct client_obj){ 0 };
}

int apps_open(struct appliance *a, char *err, size_t err_len)
{
	while (a->nb_apps < a->cfg->nb_apps) {
		unsigned int index = a->nb_apps;
		struct app_obj *o = calloc(1, sizeof(*o));
		uint32_t nb_qps = 0;
		int rc;

		if (!o)
			return -ENOMEM;
		o->name = a->cfg->apps[index].name;
		a->apps[a->nb_apps++] = o;
		for (unsigned int i = 0; i < a->cfg->nb_qps; i++)
			if (a->cfg->qps[i].app == (int)index)
				nb_qps += a->cfg->qps[i].count;
		rc = app_client_open(a, &o->client, o->name, nb_qps > 0 ? nb_qps : 1, err, err_len);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Turn functions are added and removed on the loop's own lcore. */
struct turn_call { struct appliance *a; struct app_obj *app; };

static int turn_add(void *arg)
{
	struct turn_call *t = arg;

	return phca_loop_add(t->a->app_lcore->loop, t->app->name, phca_app_turn, t->app->app);
}

static int turn_remove(void *arg)
{
	struct turn_call *t = arg;

	return phca_loop_remove(t->a->app_lcore->loop, phca_app_turn, t->app->app);
}

struct enable_call { struct phca_app *app; bool on; };

static int enable(void *arg)
{
	struct enable_call *e = arg;

	phca_app_ops(e->app)->enable(e->app, e->on);
	return 0;
}

static void app_enable(struct appliance *a, struct app_obj *o, bool on)
{
	struct enable_call e = { o->app, on };

	if (o->app && phca_app_ops(o->app)->enable)
		phca_loop_call(a->app_lcore->loop, enable, &e);
}

void apps_enable(struct appliance *a, bool on)
{
	for (unsigned int i = 0; i < a->nb_apps; i++)
		app_enable(a, a->apps[i], on);
}

uint64_t apps_in_flight(const struct appliance *a)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < a->nb_apps; i++) {
		const struct phca_app *app = a->apps[i]->app;

		if (app && phca_app_ops(app)->in_flight)
			n += phca_app_ops(app)->in_flight(app);
	}
	return n;
}

/* The instance, with its queue pairs in arrays of n. */
static int app_instance(struct appliance *a, struct app_obj *o, const struct phca_config_app *c,
		struct phca_app_conf *conf, char *err, size_t err_len)
{
	struct turn_call t = { a, o };
	char why[ERR_MAX] = "";
	int rc;

	o->app = phca_app_create(conf, why, sizeof(why));
	if (!o->app) {
		objects_driver_error(err, err_len, "app", o->name, c->driver,
			why[0] ? why : rte_strerror(rte_errno));
		return rte_errno ? -rte_errno : -EINVAL;
	}
	rc = phca_loop_call(a->app_lcore->loop, turn_add, &t);
	if (rc < 0)
		snprintf(err, err_len, "app %s: lcore %u has no room for another turn function (%d at most)",
			o->name, a->app_lcore->lcore, PHCA_LOOP_TURNS_MAX);
	o->turning = rc == 0;
	if (rc == 0 && a->started)
		app_enable(a, o, true);
	return rc;
}

static int app_create(struct appliance *a, unsigned int index, char *err, size_t err_len)
{
	const struct phca_config_app *c = &a->cfg->apps[index];
	struct app_obj *o = a->apps[index];
	struct phca_qp **qps = calloc(a->nb_qps + 1, sizeof(*qps));
	struct phca_cq **cqs = calloc(a->nb_qps + 1, sizeof(*cqs));
	uint32_t *depths = calloc(a->nb_qps + 1, sizeof(*depths));
	struct phca_srq **srqs = calloc(a->nb_qps + 1, sizeof(*srqs));
	struct phca_app_conf conf = {
		.name = o->name, .ops = a->lookup.app(c->driver), .args = c->args, .nb_args = c->nb_args,
		.client = o->client.client, .pd = o->client.pd, .mem = a->mem, .qps = qps, .cqs = cqs,
		.depths = depths, .srqs = srqs,
	};
	int rc = -ENOMEM;

	for (unsigned int i = 0; qps && cqs && depths && srqs && i < a->nb_qps; i++) {
		if (a->cfg->qps[a->qps[i]->conf].app != (int)index)
			continue;
		qps[conf.nb_qps] = a->qps[i]->qp;
		cqs[conf.nb_qps] = a->qps[i]->cq;
		srqs[conf.nb_qps] = a->qps[i]->srq ? a->qps[i]->srq->srq : NULL;
		depths[conf.nb_qps++] = a->qps[i]->depth;
	}
	if (qps && cqs && depths && srqs)
		rc = app_instance(a, o, c, &conf, err, err_len);
	free(qps);
	free(cqs);
	free(depths);
	free(srqs);
	return rc;
}

int apps_create(struct appliance *a, unsigned int first, char *err, size_t err_len)
{
	int rc = 0;

	for (unsigned int i = first; i < a->nb_apps && rc == 0; i++)
		rc = app_create(a, i, err, err_len);
	return rc;
}

void apps_stop(struct appliance *a, unsigned int keep)
{
	for (unsigned int i = a->nb_apps; i-- > keep;) {
		struct turn_call t = { a, a->apps[i] };

		if (t.app->turning)
			phca_loop_call(a->app_lcore->loop, turn_remove, &t);
		t.app->turning = false;
		if (t.app->app)
			phca_app_destroy(t.app->app);
		t.app->app = NULL;
	}
}

void apps_close(struct appliance *a, unsigned int keep)
{
	while (a->nb_apps > keep) {
		struct app_obj *o = a->apps[--a->nb_apps];

		app_client_close(a, &o->client);
		free(o->base);
		free(o);
	}
}
