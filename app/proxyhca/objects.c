/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a configuration adds while the loops run: filters, offloads, clients,
 * queue pairs, rules, applications, in this order; removed in the opposite one.
 * An addition is there whole or not at all.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "appliance.h"

struct objects_mark objects_mark(const struct appliance *a)
{
	return (struct objects_mark){
		.filters = a->nb_filters, .offloads = a->nb_offloads, .srqs = a->nb_srqs,
		.qps = a->nb_qps,
		.proxy_qps = a->nb_proxy_qps, .apps = a->nb_apps,
	};
}

/* Lists grow here, so that no step below has to. */
static int grow(void *list, unsigned int n)
{
	void **old, **p;

	memcpy(&old, list, sizeof(old));
	p = realloc(old, (n + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	memcpy(list, &p, sizeof(p));
	return 0;
}

static int grow_all(struct appliance *a)
{
	unsigned int nb_qps = 0;

	for (unsigned int i = 0; i < a->cfg->nb_qps; i++)
		nb_qps += a->cfg->qps[i].count;
	if (grow(&a->filters, a->cfg->nb_filters) < 0 || grow(&a->offloads, a->cfg->nb_offloads) < 0 ||
			grow(&a->srqs, a->cfg->nb_srqs) < 0 || grow(&a->qps, nb_qps) < 0 ||
			grow(&a->apps, a->cfg->nb_apps) < 0)
		return -ENOMEM;
	return 0;
}

void objects_driver_error(char *err, size_t err_len, const char *kind, const char *name,
		const char *driver, const char *why)
{
	size_t len = strlen(kind);

	if (strncmp(why, kind, len) == 0 && why[len] == ' ')
		snprintf(err, err_len, "%s", why);
	else
		snprintf(err, err_len, "%s %s: driver %s: %s", kind, name, driver, why);
}

/* Destroy what there is of its instances. @return 0; -EBUSY: one is held, and stays */
static int offload_destroy(struct appliance *a, struct offload_obj *o)
{
	for (unsigned int i = 0; i < a->nb_proxies; i++) {
		int rc = o->on[i] ? phca_offload_destroy(o->on[i]) : 0;

		if (rc < 0)
			return rc;
		o->on[i] = NULL;
	}
	phca_filter_free(o->program.slot.cur);
	filter_conf_free(o->program.own);
	free(o);
	return 0;
}

/* The program that its instances run. @return 0; negative errno with err written */
static int offload_program(struct offload_obj *o, const struct phca_config_filter *c,
		const struct phca_filter_kind *kind, char *err, size_t err_len)
{
	o->program.name = c->name;
	o->program.entries = c->entries;
	o->program.nb_entries = c->nb_entries;
	o->program.slot.cur = filter_load(c, kind, err, err_len);
	if (o->program.slot.cur)
		return 0;
	return rte_errno ? -rte_errno : -EINVAL;
}

static int offload_add(struct appliance *a, const struct phca_config_offload *c,
		char *err, size_t err_len)
{
	struct phca_offload_conf conf = {
		.name = c->name, .ops = a->lookup.offload(c->driver), .args = c->args,
		.nb_args = c->nb_args, .time_limit_ns = c->time_limit_ns,
	};
	struct offload_obj *o;
	char why[ERR_MAX] = "";
	int rc = 0;

	if (!conf.ops) {
		snprintf(err, err_len, "offload %s: there is no driver '%s'", c->name, c->driver);
		return -ENOENT;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->name = c->name;
	o->home = -1;
	if (conf.ops->program) {
		rc = offload_program(o, &c->program, conf.ops->program, why, sizeof(why));
		conf.program = &o->program.slot;
	}
	for (unsigned int i = 0; i < a->nb_proxies && rc == 0; i++) {
		o->on[i] = phca_offload_create(a->proxies[i].proxy, &conf, why, sizeof(why));
		if (!o->on[i])
			rc = rte_errno ? -rte_errno : -EINVAL;
	}
	if (rc == 0) {
		a->offloads[a->nb_offloads++] = o;
		return 0;
	}
	objects_driver_error(err, err_len, "offload", c->name, c->driver, why[0] ? why : rte_strerror(-rc));
	offload_destroy(a, o);
	return rc;
}

static int offloads_add(struct appliance *a, char *err, size_t err_len)
{
	int rc = 0;

	while (rc == 0 && a->nb_offloads < a->cfg->nb_offloads)
		rc = offload_add(a, &a->cfg->offloads[a->nb_offloads], err, err_len);
	return rc;
}

static int offloads_remove(struct appliance *a, unsigned int keep, char *err, size_t err_len)
{
	while (a->nb_offloads > keep) {
		struct offload_obj *o = a->offloads[a->nb_offloads - 1];
		int rc = offload_destroy(a, o);

		if (rc < 0) {
			snprintf(err, err_len, "offload %s: not removed, it is in use", o->name);
			return rc;
		}
		a->nb_offloads--;
	}
	return 0;
}

int objects_remove(struct appliance *a, const struct objects_mark *m, char *err, size_t err_len)
{
	int rc;

	apps_stop(a, m->apps);
	rc = qps_remove(a, m->qps, err, err_len);
	if (rc < 0)
		return rc;
	a->nb_proxy_qps = m->proxy_qps;
	srqs_remove(a, m->srqs);
	apps_close(a, m->apps);
	rc = offloads_remove(a, m->offloads, err, err_len);
	if (rc < 0)
		return rc;
	filters_remove(a, m->filters);
	return 0;
}

/*
 * The last step: new rules for queue pairs that run already. A proxy QP stays
 * one until it is destroyed, so once one of them is attached all stays.
 */
static int attach_running(struct appliance *a, unsigned int end, char *err, size_t err_len)
{
	unsigned int n;
	int rc = qps_attach(a, 0, end, &n, err, err_len);

	if (rc == 0 || n > 0)
		a->nb_proxy_qps = a->cfg->nb_proxy_qps;
	if (rc == 0 || n == 0)
		return rc;
	APP_LOG(ERR, "%s; all else was added\n", err);
	return 0;
}

int objects_add(struct appliance *a, char *err, size_t err_len)
{
	const struct objects_mark m = objects_mark(a);
	char why[ERR_MAX];
	unsigned int n;
	int rc;

	snprintf(err, err_len, "no memory");
	if ((rc = grow_all(a)) < 0)
		return rc;
	if ((rc = filters_add(a, err, err_len)) == 0 &&
			(rc = offloads_add(a, err, err_len)) == 0 &&
			(rc = apps_open(a, err, err_len)) == 0 &&
			(rc = srqs_add(a, err, err_len)) == 0 &&
			(rc = qps_add(a, err, err_len)) == 0 &&
			(rc = qps_attach(a, m.qps, a->nb_qps, &n, err, err_len)) == 0 &&
			(rc = apps_create(a, m.apps, err, err_len)) == 0 &&
			(rc = attach_running(a, m.qps, err, err_len)) == 0)
		return 0;
	if (objects_remove(a, &m, why, sizeof(why)) < 0)
		APP_LOG(ERR, "after an error: %s\n", why);
	return rc;
}

void objects_free(struct appliance *a)
{
	app_rules_free(a);
	free(a->filters);
	free(a->offloads);
	free(a->srqs);
	free(a->qps);
	free(a->apps);
}

struct filter_obj *objects_filter(struct appliance *a, const char *name)
{
	for (unsigned int i = 0; i < a->nb_filters; i++)
		if (strcmp(a->filters[i]->name, name) == 0)
			return a->filters[i];
	return NULL;
}

struct filter_obj *objects_program(struct appliance *a, const char *name)
{
	struct filter_obj *f = objects_filter(a, name);
	struct offload_obj *o = f ? NULL : objects_offload(a, name);

	return o && o->program.slot.cur ? &o->program : f;
}

struct offload_obj *objects_offload(struct appliance *a, const char *name)
{
	for (unsigned int i = 0; i < a->nb_offloads; i++)
		if (strcmp(a->offloads[i]->name, name) == 0)
			return a->offloads[i];
	return NULL;
}

struct app_obj *objects_app(struct appliance *a, const char *name)
{
	for (unsigned int i = 0; i < a->nb_apps; i++)
		if (strcmp(a->apps[i]->name, name) == 0)
			return a->apps[i];
	return NULL;
}

struct qp_obj *objects_qp(struct appliance *a, uint32_t qpn)
{
	for (unsigned int i = 0; i < a->nb_qps; i++)
		if (phca_qp_num(a->qps[i]->qp) == qpn)
			return a->qps[i];
	return app_rules_find(a, qpn);
}
