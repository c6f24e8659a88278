/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Filters, and programs of offloads: loading with parameters and map entries, and
 * replacing one while traffic runs. A request sees the old program or the new one,
 * never half of one; the old one is freed after every lcore was quiescent.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "appliance.h"

/* Until every lcore was quiescent; in the open, as ThreadSanitizer follows only what it compiled. */
static void filters_wait(struct appliance *a)
{
	rte_rcu_qsbr_check(a->qsbr, rte_rcu_qsbr_start(a->qsbr), true);
}

/* An object with its parameters; its maps are empty. */
static struct phca_filter *object_load(const struct phca_config_filter *c, const struct phca_filter_kind *kind,
		struct phca_filter *maps_of, char *err, size_t err_len)
{
	const struct phca_filter_spec spec = {
		.name = c->name, .object = c->object, .program = c->program, .params = c->params,
		.nb_params = c->nb_params, .kind = kind, .maps_of = maps_of,
	};

	return phca_filter_load(&spec, err, err_len);
}

/* Set the entries of maps that are its own. @return @p f; NULL with err written and @p f freed */
static struct phca_filter *entries_set(struct phca_filter *f, const struct phca_config_filter *c,
		char *err, size_t err_len)
{
	for (unsigned int i = 0; i < c->nb_entries; i++) {
		const struct phca_config_map_entry *e = &c->entries[i];
		char why[PHCA_FILTER_ERR_MAX] = "";
		int map = phca_filter_map_find(f, e->map), rc;

		if (map >= 0 && phca_filter_map_is_shared(f, (unsigned int)map))
			continue;
		rc = phca_filter_map_set(f, e->map, e->key, e->value, why, sizeof(why));

		if (rc == 0)
			continue;
		if (why[0])
			snprintf(err, err_len, "%s", why); /* filter, map and key are in it */
		else
			snprintf(err, err_len, "filter %s: map %s, key %s, value %s: %s", c->name, e->map,
				e->key, e->value, rte_strerror(-rc));
		phca_filter_free(f);
		rte_errno = -rc;
		return NULL;
	}
	return f;
}

struct phca_filter *filter_load(const struct phca_config_filter *c, const struct phca_filter_kind *kind,
		char *err, size_t err_len)
{
	struct phca_filter *f = object_load(c, kind, NULL, err, err_len);

	return f ? entries_set(f, c, err, err_len) : NULL;
}

/* The configured entries of those maps that the new object has, too. */
static int entries_choose(const struct filter_obj *f, const struct phca_filter *fresh,
		struct phca_config_filter *own)
{
	own->entries = calloc(f->nb_entries + 1, sizeof(*own->entries));
	if (!own->entries)
		return -ENOMEM;
	for (unsigned int i = 0; i < f->nb_entries; i++)
		if (phca_filter_map_find(fresh, f->entries[i].map) >= 0)
			own->entries[own->nb_entries++] = f->entries[i];
	return 0;
}

int filters_add(struct appliance *a, char *err, size_t err_len)
{
	while (a->nb_filters < a->cfg->nb_filters) {
		const struct phca_config_filter *c = &a->cfg->filters[a->nb_filters];
		struct phca_filter *f = filter_load(c, NULL, err, err_len);
		struct filter_obj *o;

		if (!f)
			return rte_errno ? -rte_errno : -EINVAL;
		o = calloc(1, sizeof(*o));
		if (!o) {
			phca_filter_free(f);
			return -ENOMEM;
		}
		o->name = c->name;
		o->slot.cur = f;
		o->entries = c->entries;
		o->nb_entries = c->nb_entries;
		a->filters[a->nb_filters++] = o;
	}
	return 0;
}

void filters_remove(struct appliance *a, unsigned int keep)
{
	if (a->nb_filters > keep)
		filters_wait(a);
	while (a->nb_filters > keep) {
		struct filter_obj *o = a->filters[--a->nb_filters];

		phca_filter_free(o->slot.cur);
		filter_conf_free(o->own);
		free(o);
	}
}

/* Whose program it is; -1: it is a filter. */
static int program_of(const struct appliance *a, const struct filter_obj *f)
{
	for (unsigned int i = 0; i < a->nb_offloads; i++)
		if (&a->offloads[i]->program == f)
			return (int)i;
	return -1;
}

/* Whether all instances of an offload can run it. */
static int program_check(const struct appliance *a, const struct offload_obj *o, const struct phca_filter *f,
		char *err, size_t err_len)
{
	const struct phca_offload_ops *ops = phca_offload_ops(o->on[0]);
	char why[ERR_MAX] = "";
	int rc = 0;

	for (unsigned int i = 0; i < a->nb_proxies && rc == 0 && ops->program_check; i++)
		rc = ops->program_check(o->on[i], f, why, sizeof(why));
	if (rc < 0)
		objects_driver_error(err, err_len, "offload", o->name, ops->name, why);
	return rc;
}

/* What the configuration says of it now. */
static void conf_replace(struct appliance *a, const struct filter_obj *f, int offload,
		const struct phca_config_filter *own)
{
	if (offload >= 0)
		a->cfg->offloads[offload].program = *own;
	for (unsigned int i = 0; offload < 0 && i < a->nb_filters; i++)
		if (a->filters[i] == f)
			a->cfg->filters[i] = *own;
}

int filter_replace(struct appliance *a, struct filter_obj *f, struct phca_config_filter *own,
		char *err, size_t err_len)
{
	int offload = program_of(a, f), rc = 0;
	struct phca_filter *old = phca_filter_slot_get(&f->slot), *fresh = object_load(own,
		phca_filter_kind_of(old), offload >= 0 ? old : NULL, err, err_len);

	if (!fresh)
		return rte_errno ? -rte_errno : -EINVAL;
	if (offload >= 0)
		rc = program_check(a, a->offloads[offload], fresh, err, err_len);
	if (rc < 0) {
		phca_filter_free(fresh);
		return rc;
	}
	if (entries_choose(f, fresh, own) < 0) {
		phca_filter_free(fresh);
		snprintf(err, err_len, "no memory");
		return -ENOMEM;
	}
	fresh = entries_set(fresh, own, err, err_len);
	if (!fresh)
		return rte_errno ? -rte_errno : -EINVAL;
	old = phca_filter_slot_swap(&f->slot, fresh);
	filters_wait(a);
	phca_filter_free(old);
	memset(&f->base, 0, sizeof(f->base));
	conf_replace(a, f, offload, own);
	filter_conf_free(f->own);
	f->own = own;
	return 0;
}

void filter_conf_free(struct phca_config_filter *own)
{
	if (!own)
		return;
	for (unsigned int i = 0; i < own->nb_params; i++) {
		free((void *)(uintptr_t)own->params[i].name);
		free((void *)(uintptr_t)own->params[i].s);
	}
	free(own->params);
	free(own->entries);
	free((void *)(uintptr_t)own->object);
	free((void *)(uintptr_t)own->program);
	free(own);
}
