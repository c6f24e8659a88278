/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kinds of dictionaries whose keys the file chooses: settings of a driver,
 * parameters of a filter, contents of maps. Names are checked for form here;
 * what they mean is known to the driver (check.c asks it) or to the filter.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "config_impl.h"

#define MAP_KEY "^[ -~]{1,255}$"
#define MAP_VALUE "^[ -~]{1,2047}$"
#define MAP_ARRAY_MAX 64

#define EACH(it, v) \
	(void *it = json_object_iter((json_t *)(uintptr_t)(v)); it != NULL; \
		it = json_object_iter_next((json_t *)(uintptr_t)(v), it))

static int need_object(struct loader *l, const struct key *k, const json_t *v)
{
	if (!json_is_object(v))
		return cfg_fail(l, "is %s; give an object", cfg_type_str(v));
	if (json_object_size(v) > k->max)
		return cfg_fail(l, "has %zu entries; give at most %" PRIu64, json_object_size(v), k->max);
	return 0;
}

static int need_ident(struct loader *l, const char *name)
{
	if (cfg_text_fits(CFG_PAT_IDENT, CFG_NAME_MAX - 1, name))
		return 0;
	return cfg_fail(l, "is no name; give letters, digits and _, at most %d", CFG_NAME_MAX - 1);
}

/* Dictionary of idents; minimum: of its numbers. */
static json_t *scalar_dict_schema(const struct key *k, json_int_t minimum)
{
	return json_pack("{s:s, s:I, s:{s:s}, s:{s:[s, s, s], s:I, s:I}}", "type", "object",
		"maxProperties", (json_int_t)k->max, "propertyNames", "pattern", CFG_PAT_IDENT,
		"additionalProperties", "type", "integer", "boolean", "string",
		"minimum", minimum, "maximum", (json_int_t)INT64_MAX);
}

/* --------------------------------------------------------------- settings */

static int setting_value(struct loader *l, const json_t *v, struct phca_setting_arg *a)
{
	int64_t i;

	if (json_is_boolean(v)) {
		a->kind = PHCA_SETTING_BOOL;
		a->u = json_is_true(v);
	} else if (json_is_string(v)) {
		a->kind = PHCA_SETTING_STRING;
		a->s = cfg_strdup(l, json_string_value(v));
		return a->s != NULL ? 0 : cfg_fail_mem(l);
	} else if (cfg_integer(v, &i) && i >= 0) {
		a->kind = PHCA_SETTING_UINT;
		a->u = (uint64_t)i;
	} else if (json_is_number(v)) {
		return cfg_fail(l, "is %s; give a whole number, 0 or more",
			json_is_integer(v) ? "negative" : "no whole number");
	} else {
		return cfg_fail(l, "is %s; give a number, true, false or a string", cfg_type_str(v));
	}
	return 0;
}

static int settings_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	unsigned int *nb = (unsigned int *)((char *)obj + k->aux);
	struct phca_setting_arg *list;
	int rc = need_object(l, k, v);

	if (rc != 0)
		return rc;
	list = cfg_alloc(l, json_object_size(v) * sizeof(*list));
	if (list == NULL)
		return cfg_fail_mem(l);
	*(struct phca_setting_arg **)cfg_member(obj, k) = list;
	for EACH(it, v) {
		cfg_push_key(l, json_object_iter_key(it));
		list[*nb].name = cfg_strdup(l, json_object_iter_key(it));
		rc = list[*nb].name != NULL ? need_ident(l, list[*nb].name) : cfg_fail_mem(l);
		if (rc == 0)
			rc = setting_value(l, json_object_iter_value(it), &list[*nb]);
		if (rc != 0)
			return rc;
		cfg_pop(l);
		(*nb)++;
	}
	return 0;
}

static int settings_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_setting_arg *list = *(struct phca_setting_arg *const *)cfg_cmember(obj, k);
	unsigned int n = *(const unsigned int *)((const char *)obj + k->aux);

	(void)c;
	*out = json_object();
	for (unsigned int i = 0; i < n; i++) {
		const struct phca_setting_arg *a = &list[i];
		json_t *v = a->kind == PHCA_SETTING_BOOL ? json_boolean(a->u) :
			a->kind == PHCA_SETTING_STRING ? json_string(a->s) : json_integer((json_int_t)a->u);

		if (json_object_set_new(*out, a->name, v) != 0)
			return -ENOMEM;
	}
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *settings_schema(const struct key *k)
{
	return scalar_dict_schema(k, 0);
}

const struct kind kind_settings = { settings_parse, settings_print, settings_schema,
	"object: name to number, boolean or string" };

/* -------------------------------------------------------------- parameters */

static int param_value(struct loader *l, const json_t *v, struct phca_filter_param *p)
{
	if (json_is_boolean(v)) {
		p->kind = PHCA_FV_BOOL;
		p->u = json_is_true(v);
	} else if (json_is_string(v)) {
		p->kind = PHCA_FV_STRING;
		p->s = cfg_strdup(l, json_string_value(v));
		return p->s != NULL ? 0 : cfg_fail_mem(l);
	} else if (cfg_integer(v, &p->i)) {
		p->kind = PHCA_FV_INT;
	} else {
		return cfg_fail(l, "is %s; give a whole number, true, false or a string",
			json_is_real(v) ? "no whole number" : cfg_type_str(v));
	}
	return 0;
}

static int params_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_filter *f = obj;
	int rc = need_object(l, k, v);

	if (rc != 0)
		return rc;
	f->params = cfg_alloc(l, json_object_size(v) * sizeof(*f->params));
	if (f->params == NULL)
		return cfg_fail_mem(l);
	for EACH(it, v) {
		struct phca_filter_param *p = &f->params[f->nb_params];

		cfg_push_key(l, json_object_iter_key(it));
		p->name = cfg_strdup(l, json_object_iter_key(it));
		rc = p->name != NULL ? need_ident(l, p->name) : cfg_fail_mem(l);
		if (rc == 0)
			rc = param_value(l, json_object_iter_value(it), p);
		if (rc != 0)
			return rc;
		cfg_pop(l);
		f->nb_params++;
	}
	return 0;
}

static int params_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_filter *f = obj;

	(void)c;
	(void)k;
	*out = json_object();
	for (unsigned int i = 0; i < f->nb_params; i++) {
		const struct phca_filter_param *p = &f->params[i];
		json_t *v = p->kind == PHCA_FV_BOOL ? json_boolean(p->u) :
			p->kind == PHCA_FV_STRING ? json_string(p->s) : json_integer(p->i);

		if (json_object_set_new(*out, p->name, v) != 0)
			return -ENOMEM;
	}
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *params_schema(const struct key *k)
{
	return scalar_dict_schema(k, INT64_MIN);
}

const struct kind kind_params = { params_parse, params_print, params_schema,
	"object: name to number, boolean or string" };

/* ------------------------------------------------------------ map contents */

static bool map_text_fits(const char *s, size_t max)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return false;
	return n >= 1 && n <= max;
}

/* An array as filters read it: "[1,2]". */
static int map_array(struct loader *l, const json_t *v, char *text, size_t size)
{
	size_t n = json_array_size(v), len = 0;

	if (n < 1 || n > MAP_ARRAY_MAX)
		return cfg_fail(l, "has %zu elements; give 1..%d whole numbers", n, MAP_ARRAY_MAX);
	for (size_t i = 0; i < n; i++) {
		int64_t e;

		if (!cfg_integer(json_array_get(v, i), &e)) {
			cfg_push_idx(l, i);
			return cfg_fail(l, "is no whole number; give one");
		}
		/* 64 numbers of 20 digits are less than size */
		len += (size_t)snprintf(text + len, size - len, "%s%" PRId64, i > 0 ? "," : "[", e);
	}
	snprintf(text + len, size - len, "]");
	return 0;
}

static int map_entry(struct loader *l, const char *map, const char *key, const json_t *v,
		struct phca_config_map_entry *e)
{
	char text[2048];
	int64_t i;
	int rc = 0;

	if (!map_text_fits(key, 255))
		return cfg_fail(l, "is no key; give 1..255 printable ASCII characters");
	if (json_is_string(v)) {
		if (!map_text_fits(json_string_value(v), sizeof(text) - 1))
			return cfg_fail(l, "is no value; give 1..%zu printable ASCII characters", sizeof(text) - 1);
		snprintf(text, sizeof(text), "%s", json_string_value(v));
	} else if (json_is_array(v)) {
		rc = map_array(l, v, text, sizeof(text));
	} else if (cfg_integer(v, &i)) {
		snprintf(text, sizeof(text), "%" PRId64, i);
	} else {
		return cfg_fail(l, "is %s; give a whole number, a string or an array of numbers",
			json_is_real(v) ? "no whole number" : cfg_type_str(v));
	}
	if (rc != 0)
		return rc;
	e->map = map;
	e->key = cfg_strdup(l, key);
	e->value = cfg_strdup(l, text);
	return e->key != NULL && e->value != NULL ? 0 : cfg_fail_mem(l);
}

static int map_parse(struct loader *l, const json_t *v, const char *name, struct phca_config_filter *f)
{
	const char *map = cfg_strdup(l, name);
	int rc = map != NULL ? need_ident(l, name) : cfg_fail_mem(l);

	if (rc != 0)
		return rc;
	if (!json_is_object(v))
		return cfg_fail(l, "is %s; give an object of keys and values", cfg_type_str(v));
	for EACH(it, v) {
		cfg_push_key(l, json_object_iter_key(it));
		rc = map_entry(l, map, json_object_iter_key(it), json_object_iter_value(it),
			&f->entries[f->nb_entries]);
		if (rc != 0)
			return rc;
		cfg_pop(l);
		f->nb_entries++;
	}
	return 0;
}

static int maps_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_filter *f = obj;
	size_t n = 0;
	int rc = need_object(l, k, v);

	if (rc != 0)
		return rc;
	for EACH(it, v)
		n += json_object_size(json_object_iter_value(it)); /* 0 for what is no object */
	f->entries = cfg_alloc(l, n * sizeof(*f->entries));
	if (f->entries == NULL)
		return cfg_fail_mem(l);
	for EACH(it2, v) {
		cfg_push_key(l, json_object_iter_key(it2));
		rc = map_parse(l, json_object_iter_value(it2), json_object_iter_key(it2), f);
		if (rc != 0)
			return rc;
		cfg_pop(l);
	}
	return 0;
}

static int maps_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_filter *f = obj;

	(void)c;
	(void)k;
	*out = json_object();
	for (unsigned int i = 0; i < f->nb_entries; i++) {
		const struct phca_config_map_entry *e = &f->entries[i];
		json_t *map = json_object_get(*out, e->map);

		if (map == NULL) {
			map = json_object();
			if (json_object_set_new(*out, e->map, map) != 0)
				return -ENOMEM;
		}
		if (json_object_set_new(map, e->key, json_string(e->value)) != 0)
			return -ENOMEM;
	}
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *maps_schema(const struct key *k)
{
	json_t *number = json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)INT64_MIN,
		"maximum", (json_int_t)INT64_MAX);
	json_t *array = json_pack("{s:s, s:i, s:i, s:O}", "type", "array", "minItems", 1,
		"maxItems", MAP_ARRAY_MAX, "items", number);
	json_t *value = json_pack("{s:[o, o, o]}", "anyOf", number, cfg_schema_text(MAP_VALUE), array);
	json_t *map = json_pack("{s:s, s:{s:s}, s:o}", "type", "object", "propertyNames",
		"pattern", MAP_KEY, "additionalProperties", value);

	return json_pack("{s:s, s:I, s:{s:s}, s:o}", "type", "object", "maxProperties", (json_int_t)k->max,
		"propertyNames", "pattern", CFG_PAT_IDENT, "additionalProperties", map);
}

const struct kind kind_maps = { maps_parse, maps_print, maps_schema,
	"object: map to object: key to number, string or array of numbers" };
