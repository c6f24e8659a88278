/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Offload instances: made and destroyed by control threads, listed and used on the
 * proxy lcore.
 *
 * Invariant: an instance leaves the proxy's list only when no rule uses it and none
 * of its requests or children is under way.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "proxy_impl.h"

static unsigned int table_rows(const struct phca_setting *s)
{
	unsigned int n = 0;

	while (s != NULL && s[n].name != NULL)
		n++;
	return n;
}

static struct phca_offload *offload_new(struct phca_proxy *p, const struct phca_offload_conf *conf,
		char *err, size_t err_len)
{
	struct phca_offload *o;
	int rc;

	if (conf->ops == NULL || conf->ops->submit == NULL || conf->name == NULL ||
			strlen(conf->name) >= sizeof(o->name)) {
		snprintf(err, err_len, "offload %s: needs a driver and a name shorter than %zu bytes",
			conf->name != NULL ? conf->name : "?", sizeof(o->name));
		rte_errno = EINVAL;
		return NULL;
	}
	o = rte_zmalloc(NULL, sizeof(*o) + conf->ops->priv_size, RTE_CACHE_LINE_SIZE);
	if (o == NULL) {
		snprintf(err, err_len, "offload %s: no memory for %zu bytes", conf->name, conf->ops->priv_size);
		rte_errno = ENOMEM;
		return NULL;
	}
	snprintf(o->name, sizeof(o->name), "%s", conf->name);
	o->ops = conf->ops;
	o->time_limit_ns = conf->time_limit_ns;
	o->proxy = p;
	o->ordered = conf->ops->ordered;
	o->program = conf->program;
	if (o->ops->init != NULL) {
		struct phca_setting_value v[table_rows(o->ops->settings) + 1];

		rc = phca_settings_resolve(o->ops->settings, conf->args, conf->nb_args, v, err, err_len);
		o->initing = true;
		if (rc == 0)
			rc = o->ops->init(o, v, err, err_len);
		o->initing = false;
		if (rc != 0) {
			child_pool_free(o);
			rte_free(o);
			rte_errno = -rc;
			return NULL;
		}
	} else if (conf->nb_args > 0) {
		snprintf(err, err_len, "setting %s: unknown; the driver has: none", conf->args[0].name);
		rte_free(o);
		rte_errno = ENOENT;
		return NULL;
	}
	return o;
}

/* Runs between two turns of the proxy. */
static int offload_add(void *arg)
{
	struct phca_offload *o = arg;
	struct phca_proxy *p = o->proxy;

	for (unsigned int i = 0; i < p->nb_offloads; i++)
		if (strcmp(p->offloads[i]->name, o->name) == 0)
			return -EEXIST;
	if (p->nb_offloads == PHCA_PROXY_OFFLOAD_MAX)
		return -ENOSPC;
	p->offloads[p->nb_offloads++] = o;
	return 0;
}

struct phca_offload *phca_offload_create(struct phca_proxy *p, const struct phca_offload_conf *conf,
		char *err, size_t err_len)
{
	struct phca_offload *o = offload_new(p, conf, err, err_len);
	int rc;

	if (o == NULL)
		return NULL;
	rc = phca_loop_call(p->loop, offload_add, o);
	if (rc == 0)
		return o;
	if (rc == -EEXIST)
		snprintf(err, err_len, "offload %s: the proxy has one of that name", o->name);
	else
		snprintf(err, err_len, "offload %s: the proxy has %u already", o->name, PHCA_PROXY_OFFLOAD_MAX);
	if (o->ops->fini != NULL)
		o->ops->fini(o);
	child_pool_free(o);
	rte_free(o);
	rte_errno = -rc;
	return NULL;
}

static int offload_take_out(void *arg)
{
	struct phca_offload *o = arg;
	struct phca_proxy *p = o->proxy;
	unsigned int i = 0;

	if (__atomic_load_n(&o->users, __ATOMIC_ACQUIRE) != 0 || o->c.in_flight != 0 || o->nb_issued != 0)
		return -EBUSY;
	while (i < p->nb_offloads && p->offloads[i] != o)
		i++;
	assert(i < p->nb_offloads);
	p->nb_offloads--;
	memmove(&p->offloads[i], &p->offloads[i + 1], (p->nb_offloads - i) * sizeof(o));
	return 0;
}

int phca_offload_destroy(struct phca_offload *o)
{
	int rc = phca_loop_call(o->proxy->loop, offload_take_out, o);

	if (rc != 0)
		return rc;
	if (o->ops->fini != NULL)
		o->ops->fini(o);
	child_pool_free(o);
	rte_free(o);
	return 0;
}

void phca_offload_get(struct phca_offload *o)
{
	__atomic_fetch_add(&o->users, 1, __ATOMIC_ACQ_REL);
}

void *phca_offload_priv(const struct phca_offload *o)
{
	return (void *)(uintptr_t)o->priv;
}

const char *phca_offload_name(const struct phca_offload *o)
{
	return o->name;
}

const struct phca_offload_ops *phca_offload_ops(const struct phca_offload *o)
{
	return o->ops;
}

struct phca_proxy *phca_offload_proxy(const struct phca_offload *o)
{
	return o->proxy;
}

struct phca_filter_slot *phca_offload_program(const struct phca_offload *o)
{
	return o->program;
}

const struct phca_mem *phca_offload_mem(const struct phca_offload *o)
{
	return o->proxy->mem;
}

void phca_offload_stats_get(const struct phca_offload *o, struct phca_offload_stats *st)
{
#define GET(f, u, h) st->f = PHCA_STAT_GET(o->c.f);
	PHCA_OFFLOAD_COUNTERS(GET)
#undef GET
	st->in_flight = PHCA_STAT_GET(o->c.in_flight);
}

void phca_offload_detail_get(const struct phca_offload *o, struct phca_offload_detail *sum)
{
	phca_hist_merge(&sum->latency, &o->detail.latency);
	phca_hist_merge(&sum->stall, &o->detail.stall);
	for (unsigned int i = 0; i < PHCA_WC_STATUS_COUNT; i++)
		sum->failed[i] += PHCA_STAT_GET(o->detail.failed[i]);
}
