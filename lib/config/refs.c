/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kinds of values that name an element of another section. A name becomes an
 * index that counts the base's elements first; one that nothing has is an error
 * that offers the nearest name there is.
 */
#include <errno.h>
#include <string.h>

#include "config_impl.h"

static const char *const section_word[SEC_COUNT] = {
	[SEC_PORT] = "port", [SEC_FILTER] = "filter", [SEC_OFFLOAD] = "offload",
	[SEC_APP] = "app", [SEC_SRQ] = "SRQ", [SEC_QP] = "QP",
};

struct names {
	const struct phca_config *c;
	int section;
};

static const char *next_name(void *arg, unsigned int i)
{
	const struct names *n = arg;

	return cfg_section_name(n->c, n->section, i);
}

static int resolve(struct loader *l, int section, const json_t *v, int *idx)
{
	struct names names = { l->c, section };
	const char *what = section_word[section], *near;
	char word[CFG_NAME_MAX + 4];

	if (!json_is_string(v))
		return cfg_fail(l, "is %s; give the name of a %s", cfg_type_str(v), what);
	*idx = cfg_section_find(l->c, section, json_string_value(v));
	if (*idx >= 0)
		return 0;
	near = cfg_nearest(json_string_value(v), next_name, &names);
	cfg_clean(word, sizeof(word), json_string_value(v));
	if (near != NULL)
		return cfg_fail(l, "no %s named \"%s\"; did you mean \"%s\"?", what, word, near);
	return cfg_fail(l, "no %s named \"%s\"; add it to \"%ss\", or mend the name", what, word,
		section == SEC_QP ? "qp" : section == SEC_SRQ ? "srq" : what);
}

static int ref_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	return resolve(l, k->section, v, cfg_member(obj, k));
}

static int ref_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	int idx = *(const int *)cfg_cmember(obj, k);

	if (idx < 0)
		return 0;
	*out = json_string(cfg_section_name(c, k->section, (unsigned int)idx));
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *ref_schema(const struct key *k)
{
	(void)k;
	return cfg_schema_text(CFG_PAT_NAME);
}

const struct kind kind_ref = { ref_parse, ref_print, ref_schema, "name" };

/* -------------------------------------------------- QPs of a proxy_qps entry */

/* All QPs of applications of this file; those of a base have been started. */
static int all_qps(struct loader *l, struct phca_config_proxy_qp *p)
{
	unsigned int first = l->priv->nb_base[SEC_QP], n = 0;

	p->qps = cfg_alloc(l, (l->c->nb_qps + 1) * sizeof(*p->qps));
	if (p->qps == NULL)
		return cfg_fail_mem(l);
	for (unsigned int i = 0; i < l->c->nb_qps; i++)
		if (l->c->qps[i].offload < 0)
			p->qps[n++] = (int)(first + i);
	p->nb_qps = n;
	if (n == 0)
		return cfg_fail(l, "\"*\" means all QPs, and there is none that belongs to an app; add one to \"qps\"");
	return 0;
}

static int qp_refs_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_proxy_qp *p = obj;
	size_t n = json_array_size(v);

	if (json_is_string(v) && strcmp(json_string_value(v), "*") == 0)
		return all_qps(l, p);
	if (!json_is_array(v))
		return cfg_fail(l, "is %s; give an array of names, or \"*\" for all QPs", cfg_type_str(v));
	if (n < k->min || n > k->max)
		return cfg_fail(l, "has %zu elements; give %u..%u", n, (unsigned int)k->min, (unsigned int)k->max);
	p->qps = cfg_alloc(l, n * sizeof(*p->qps));
	if (p->qps == NULL)
		return cfg_fail_mem(l);
	for (size_t i = 0; i < n; i++) {
		int rc;

		cfg_push_idx(l, i);
		rc = resolve(l, SEC_QP, json_array_get(v, i), &p->qps[i]);
		for (size_t j = 0; rc == 0 && j < i; j++)
			if (p->qps[j] == p->qps[i])
				rc = cfg_fail(l, "QP \"%s\" is there twice; remove one",
					json_string_value(json_array_get(v, i)));
		if (rc != 0)
			return rc;
		cfg_pop(l);
		p->nb_qps++;
	}
	return 0;
}

static int qp_refs_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_proxy_qp *p = obj;

	(void)k;
	*out = json_array();
	for (unsigned int i = 0; i < p->nb_qps; i++)
		if (json_array_append_new(*out,
				json_string(cfg_section_name(c, SEC_QP, (unsigned int)p->qps[i]))) != 0)
			return -ENOMEM;
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *qp_refs_schema(const struct key *k)
{
	return json_pack("{s:[{s:s}, {s:s, s:I, s:I, s:o}]}", "anyOf", "const", "*",
		"type", "array", "minItems", (json_int_t)k->min, "maxItems", (json_int_t)k->max,
		"items", cfg_schema_text(CFG_PAT_NAME));
}

const struct kind kind_qp_refs = { qp_refs_parse, qp_refs_print, qp_refs_schema, "array of names, or `\"*\"`" };
