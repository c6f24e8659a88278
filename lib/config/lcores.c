/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kind of value that names the lcores of a role: one number, or an array of
 * different ones. One that is alone prints as a number.
 */
#include <errno.h>
#include <inttypes.h>

#include "config_impl.h"

static int lcore_read(struct loader *l, const struct key *k, const json_t *v, struct phca_config_lcore_list *list)
{
	int64_t i;

	if (!cfg_integer(v, &i))
		return cfg_fail(l, "is %s; give a whole number, 0..%" PRIu64,
			json_is_real(v) ? "no whole number" : cfg_type_str(v), k->max);
	if (i < 0 || (uint64_t)i > k->max)
		return cfg_fail(l, "%" PRId64 " is out of range; give 0..%" PRIu64, i, k->max);
	for (unsigned int j = 0; j < list->n; j++)
		if (list->id[j] == i)
			return cfg_fail(l, "lcore %" PRId64 " is there twice; remove one", i);
	list->id[list->n++] = (uint16_t)i;
	return 0;
}

static int lcores_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_lcore_list *list = cfg_member(obj, k);
	size_t n = json_array_size(v);

	list->n = 0;
	if (!json_is_array(v) && json_is_number(v))
		return lcore_read(l, k, v, list);
	if (!json_is_array(v))
		return cfg_fail(l, "is %s; give a number or an array of numbers", cfg_type_str(v));
	if (n < 1 || n > PHCA_CONFIG_LCORES_MAX)
		return cfg_fail(l, "has %zu elements; give 1..%d", n, PHCA_CONFIG_LCORES_MAX);
	for (size_t i = 0; i < n; i++) {
		int rc;

		cfg_push_idx(l, i);
		rc = lcore_read(l, k, json_array_get(v, i), list);
		if (rc != 0)
			return rc;
		cfg_pop(l);
	}
	return 0;
}

static int lcores_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_lcore_list *list = cfg_cmember(obj, k);

	(void)c;
	if (list->n == 0)
		return 0;
	if (list->n == 1) {
		*out = json_integer(list->id[0]);
		return *out != NULL ? 0 : -ENOMEM;
	}
	*out = json_array();
	for (unsigned int i = 0; i < list->n; i++)
		if (json_array_append_new(*out, json_integer(list->id[i])) != 0)
			return -ENOMEM;
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *number_schema(const struct key *k)
{
	return json_pack("{s:s, s:i, s:I}", "type", "integer", "minimum", 0, "maximum", (json_int_t)k->max);
}

static json_t *lcores_schema(const struct key *k)
{
	return json_pack("{s:[o, {s:s, s:i, s:i, s:b, s:o}]}", "anyOf", number_schema(k), "type", "array",
		"minItems", 1, "maxItems", PHCA_CONFIG_LCORES_MAX, "uniqueItems", 1, "items", number_schema(k));
}

const struct kind kind_lcores = { lcores_parse, lcores_print, lcores_schema, "number, or array of numbers" };
