/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects and arrays of objects, walked by their tables, and the sections whose
 * elements have names. An array's count grows element by element, so that an
 * element is checked against those before it; nothing refers to a later one
 * because the sections are read in the order of the tables.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "config_impl.h"

/* --------------------------------------------------------------- sections */

const void *cfg_section(const struct phca_config *c, int section, unsigned int *n, size_t *size)
{
	switch (section) {
	case SEC_PORT:
		*n = c->nb_ports;
		*size = sizeof(*c->ports);
		return c->ports;
	case SEC_FILTER:
		*n = c->nb_filters;
		*size = sizeof(*c->filters);
		return c->filters;
	case SEC_OFFLOAD:
		*n = c->nb_offloads;
		*size = sizeof(*c->offloads);
		return c->offloads;
	case SEC_APP:
		*n = c->nb_apps;
		*size = sizeof(*c->apps);
		return c->apps;
	case SEC_SRQ:
		*n = c->nb_srqs;
		*size = sizeof(*c->srqs);
		return c->srqs;
	default:
		*n = c->nb_qps;
		*size = sizeof(*c->qps);
		return c->qps;
	}
}

const char *cfg_section_name(const struct phca_config *c, int section, unsigned int idx)
{
	const struct cfg_priv *priv = c->priv;
	unsigned int n;
	size_t size;
	const char *list = cfg_section(c, section, &n, &size);

	if (idx < priv->nb_base[section])
		return priv->base_names[section][idx];
	idx -= priv->nb_base[section];
	/* each element begins with its name */
	return idx < n ? *(const char *const *)(list + idx * size) : NULL;
}

int cfg_section_find(const struct phca_config *c, int section, const char *name)
{
	const char *have;

	for (unsigned int i = 0; (have = cfg_section_name(c, section, i)) != NULL; i++)
		if (strcmp(have, name) == 0)
			return (int)i;
	return -1;
}

/* ---------------------------------------------------------------- objects */

static const char *next_key(void *arg, unsigned int i)
{
	const struct table *t = arg;

	return t->keys[i].name;
}

static const struct key *find_key(const struct table *t, const char *name)
{
	for (const struct key *k = t->keys; k->name != NULL; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

static int check_keys(struct loader *l, const struct table *t, const json_t *v)
{
	const char *near;
	char word[CFG_NAME_MAX];

	for (void *it = json_object_iter((json_t *)(uintptr_t)v); it != NULL;
			it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
		const char *name = json_object_iter_key(it);

		if (find_key(t, name) != NULL)
			continue;
		near = cfg_nearest(name, next_key, (void *)(uintptr_t)t);
		cfg_clean(word, sizeof(word), name);
		if (near != NULL)
			return cfg_fail_key(l, name, "%s has no key \"%s\"; did you mean \"%s\"?", t->name, word, near);
		return cfg_fail_key(l, name, "%s has no key \"%s\"; remove it (doc/configuration.md lists the keys)",
			t->name, word);
	}
	return 0;
}

static void set_default(const struct key *k, void *obj)
{
	if (k->kind == &kind_uint)
		cfg_store(cfg_member(obj, k), k->size, k->def * (k->scale != 0 ? k->scale : 1));
	else if (k->kind == &kind_bool)
		*(bool *)cfg_member(obj, k) = k->def != 0;
	else if (k->kind == &kind_ref && (k->flags & KEY_ABSENT) != 0)
		*(int *)cfg_member(obj, k) = -1;
	else if (k->kind == &kind_word || k->kind == &kind_words)
		cfg_store(cfg_member(obj, k), k->size, k->def);
}

static int parse_key(struct loader *l, const struct table *t, const struct key *k, const json_t *v, void *obj)
{
	char types[24];
	int rc;

	if (t->applies != NULL && !t->applies(k, obj))
		return v == NULL ? 0 : cfg_fail_key(l, k->name, "only a QP of type \"%s\" has this; remove it",
			cfg_qp_types(k->only, "\" or \"", types, sizeof(types)));
	set_default(k, obj);
	if (v == NULL && (k->flags & KEY_REQUIRED) != 0)
		return cfg_fail(l, "%s lacks key \"%s\" (%s); add it", t->name, k->name, k->help);
	if (v == NULL) {
		/* an object that is absent has the defaults of its keys, unless that says something */
		return k->kind == &kind_object && (k->flags & KEY_ABSENT) == 0 ?
			cfg_table_parse(l, k->sub, NULL, cfg_member(obj, k)) : 0;
	}
	if ((k->flags & KEY_SINGLE) != 0 && l->base != NULL)
		return cfg_fail_key(l, k->name, "is fixed when the program starts; remove it from the addition");
	cfg_push_key(l, k->name);
	rc = k->kind->parse(l, k, v, obj);
	if (rc == 0)
		cfg_pop(l);
	return rc;
}

int cfg_table_parse(struct loader *l, const struct table *t, const json_t *v, void *obj)
{
	int rc = 0;

	if (v != NULL && !json_is_object(v))
		return cfg_fail(l, "is %s; give an object, %s", cfg_type_str(v), t->name);
	if (v != NULL)
		rc = check_keys(l, t, v);
	for (const struct key *k = t->keys; rc == 0 && k->name != NULL; k++)
		rc = parse_key(l, t, k, v != NULL ? json_object_get(v, k->name) : NULL, obj);
	if (rc == 0 && t->finish != NULL)
		rc = t->finish(l, obj, v);
	return rc;
}

int cfg_table_print(const struct phca_config *c, const struct table *t, const void *obj, json_t **out)
{
	*out = json_object();
	if (*out == NULL)
		return -ENOMEM;
	for (const struct key *k = t->keys; k->name != NULL; k++) {
		json_t *v = NULL;
		int rc;

		if (t->applies != NULL && !t->applies(k, obj))
			continue;
		rc = k->kind->print(c, k, obj, &v);
		if (rc != 0)
			json_decref(v);
		else if (v != NULL && json_object_set_new(*out, k->name, v) != 0)
			rc = -ENOMEM;
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int object_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	if (k->aux != 0)
		*(bool *)((char *)obj + k->aux) = true;
	return cfg_table_parse(l, k->sub, v, cfg_member(obj, k));
}

static int object_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	/* an addition has no sections that are fixed at start */
	if ((k->flags & KEY_SINGLE) != 0 && ((const struct cfg_priv *)c->priv)->is_addition)
		return 0;
	if (k->aux != 0 && !*(const bool *)((const char *)obj + k->aux))
		return 0; /* that it is absent says something */
	return cfg_table_print(c, k->sub, cfg_cmember(obj, k), out);
}

static json_t *object_schema(const struct key *k)
{
	return cfg_table_schema(k->sub);
}

const struct kind kind_object = { object_parse, object_print, object_schema, "object" };

/* ------------------------------------------------------- arrays of objects */

/* The name of element n is not that of an earlier one, nor of the base's. */
static int check_name(struct loader *l, const struct table *t, const char *list, unsigned int n)
{
	const char *name = *(const char *const *)(list + n * t->size);

	for (unsigned int i = 0; i < n; i++)
		if (strcmp(*(const char *const *)(list + i * t->size), name) == 0)
			return cfg_fail_key(l, "name", "\"%s\" is the name of %s [%u] already; give it another",
				name, t->name, i);
	if (l->base != NULL && t->section != SEC_NONE && cfg_section_find(l->base, t->section, name) >= 0)
		return cfg_fail_key(l, "name", "the running configuration has %s \"%s\" already; give it another name",
			t->name, name);
	return 0;
}

static int array_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	unsigned int *nb = (unsigned int *)((char *)obj + k->aux);
	size_t n = json_array_size(v);
	char *list;
	int rc;

	if (!json_is_array(v))
		return cfg_fail(l, "is %s; give an array of objects, %s", cfg_type_str(v), k->sub->name);
	if (n < k->min || n > k->max)
		return cfg_fail(l, "has %zu elements; give %" PRIu64 "..%" PRIu64, n, k->min, k->max);
	list = cfg_alloc(l, n * k->sub->size);
	if (list == NULL)
		return cfg_fail_mem(l);
	*(char **)cfg_member(obj, k) = list;
	for (size_t i = 0; i < n; i++) {
		cfg_push_idx(l, i);
		rc = cfg_table_parse(l, k->sub, json_array_get(v, i), list + i * k->sub->size);
		if (rc == 0 && k->sub->named)
			rc = check_name(l, k->sub, list, (unsigned int)i);
		if (rc != 0)
			return rc;
		cfg_pop(l);
		(*nb)++;
	}
	return 0;
}

static int array_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const char *list = *(char *const *)cfg_cmember(obj, k);
	unsigned int n = *(const unsigned int *)((const char *)obj + k->aux);

	*out = json_array();
	for (unsigned int i = 0; i < n; i++) {
		json_t *e = NULL;
		int rc = cfg_table_print(c, k->sub, list + i * k->sub->size, &e);

		if (rc == 0 && json_array_append_new(*out, e) != 0)
			rc = -ENOMEM;
		else if (rc != 0)
			json_decref(e);
		if (rc != 0)
			return rc;
	}
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *array_schema(const struct key *k)
{
	return json_pack("{s:s, s:I, s:I, s:o}", "type", "array", "minItems", (json_int_t)k->min,
		"maxItems", (json_int_t)k->max, "items", cfg_table_schema(k->sub));
}

const struct kind kind_array = { array_parse, array_print, array_schema, "array of objects" };
