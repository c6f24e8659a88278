/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parameters: `const volatile` globals, set by name before the program first
 * runs. The type that BTF gives decides what fits; nothing is converted
 * silently. After this the section is never written again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>

#include "filter_impl.h"

/* A variable found by name. */
struct var {
	uint8_t *mem;
	uint32_t size;
	uint32_t type; /* BTF id of its type */
};

bool filter_var_is_param(const struct btf *btf, uint32_t var_type)
{
	const struct btf_type *t = btf__type_by_id(btf, var_type);
	bool is_const = false, is_volatile = false;
	int i;

	for (i = 0; i < 32 && t != NULL; i++) {
		if (btf_is_array(t)) {
			t = btf__type_by_id(btf, btf_array(t)->type);
			continue;
		}
		if (!btf_is_var(t) && !btf_is_mod(t) && !btf_is_typedef(t))
			break;
		is_const |= btf_is_const(t);
		is_volatile |= btf_is_volatile(t);
		t = btf__type_by_id(btf, t->type);
	}
	return is_const && is_volatile;
}

/* Look for the global @p name. @return 0, -ENOENT, or -EACCES: it is no parameter. */
static int find(const struct phca_filter *f, const char *name, struct var *out)
{
	const struct filter_globals *g;
	const struct btf_var_secinfo *v;
	const struct btf_type *sec, *var;
	const char *n;
	unsigned int i;
	int k;

	for (i = 0; i < f->nb_globals; i++) {
		g = &f->globals[i];
		if (g->datasec == 0)
			continue;
		sec = btf__type_by_id(f->btf, g->datasec);
		v = btf_var_secinfos(sec);
		for (k = 0; k < btf_vlen(sec); k++, v++) {
			var = btf__type_by_id(f->btf, v->type);
			n = var != NULL ? btf__name_by_offset(f->btf, var->name_off) : NULL;
			if (n == NULL || strcmp(n, name) != 0)
				continue;
			if (!g->read_only || !filter_var_is_param(f->btf, v->type))
				return -EACCES;
			if (v->size == 0 || (uint64_t)v->offset + v->size > g->size)
				return -EINVAL;
			*out = (struct var){ g->mem + v->offset, v->size, var->type };
			return 0;
		}
	}
	return -ENOENT;
}

/* The parameters that there are, for the text of an error. */
static void list(const struct phca_filter *f, char *out, size_t len)
{
	const struct btf_var_secinfo *v;
	const struct btf_type *sec, *var;
	unsigned int i;
	size_t used = 0;
	int k, n;

	snprintf(out, len, "none");
	for (i = 0; i < f->nb_globals; i++) {
		if (!f->globals[i].read_only || f->globals[i].datasec == 0)
			continue;
		sec = btf__type_by_id(f->btf, f->globals[i].datasec);
		v = btf_var_secinfos(sec);
		for (k = 0; k < btf_vlen(sec); k++, v++) {
			var = btf__type_by_id(f->btf, v->type);
			if (!filter_var_is_param(f->btf, v->type))
				continue;
			n = snprintf(out + used, len - used, "%s%s", used > 0 ? ", " : "",
				btf__name_by_offset(f->btf, var->name_off));
			if (n < 0 || (size_t)n >= len - used)
				return;
			used += (size_t)n;
		}
	}
}

static int set_int(const struct phca_filter *f, const struct phca_filter_param *p, const struct var *v,
		const struct filter_err *e)
{
	char name[64];
	uint64_t max, u;
	int64_t min;
	bool fits;

	if (filter_int_range(f->btf, v->type, &min, &max, name, sizeof(name)) != 0)
		return filter_err(e, -EINVAL, "parameter %s: a number was given, the global is no integer",
			p->name);
	if (p->kind == PHCA_FV_BOOL && (max != 1 || p->u > 1))
		return filter_err(e, -EINVAL, "parameter %s: true or false was given, it is a %s that takes "
			"%" PRId64 "..%" PRIu64, p->name, name, min, max);
	if (p->kind == PHCA_FV_INT) {
		u = (uint64_t)p->i;
		fits = p->i < 0 ? p->i >= min : u <= max;
	} else {
		u = p->u;
		fits = u <= max;
	}
	if (!fits && p->kind == PHCA_FV_INT)
		return filter_err(e, -EINVAL, "parameter %s: %" PRId64 " is out of range, %s takes %" PRId64
			"..%" PRIu64, p->name, p->i, name, min, max);
	if (!fits)
		return filter_err(e, -EINVAL, "parameter %s: %" PRIu64 " is out of range, %s takes %" PRId64
			"..%" PRIu64, p->name, u, name, min, max);
	return filter_int_store(v->mem, v->size, u);
}

static int set_string(const struct phca_filter *f, const struct phca_filter_param *p,
		const struct var *v, const struct filter_err *e)
{
	const struct btf_type *t = btf__type_by_id(f->btf, filter_type_skip(f->btf, v->type));
	char why[256], name[64];
	uint64_t max;
	int64_t min;
	int rc;

	if (t != NULL && btf_is_int(t)) {
		if (filter_int_range(f->btf, v->type, &min, &max, name, sizeof(name)) != 0)
			return filter_err(e, -EINVAL, "parameter %s: a string was given", p->name);
		return filter_err(e, -EINVAL, "parameter %s: a string was given, it is a %s that takes "
			"%" PRId64 "..%" PRIu64, p->name, name, min, max);
	}
	rc = filter_text_parse(f->btf, v->type, p->s, v->mem, v->size, why, sizeof(why));
	if (rc != 0)
		return filter_err(e, -EINVAL, "parameter %s: %s", p->name, why);
	return 0;
}

int filter_params_set(struct phca_filter *f, const struct phca_filter_param *params, unsigned int nb,
		const struct filter_err *e)
{
	char names[256];
	struct var v;
	unsigned int i;
	int rc;

	for (i = 0; i < nb; i++) {
		rc = find(f, params[i].name, &v);
		if (rc == -EACCES)
			return filter_err(e, -EINVAL, "parameter %s: this global is no parameter; declare it "
				"const volatile", params[i].name);
		if (rc == -ENOENT) {
			list(f, names, sizeof(names));
			return filter_err(e, -ENOENT, "parameter %s: no such parameter; there are: %s",
				params[i].name, names);
		}
		if (rc != 0)
			return filter_err(e, rc, "parameter %s: the object's BTF is wrong about it",
				params[i].name);
		if (params[i].kind == PHCA_FV_STRING)
			rc = set_string(f, &params[i], &v, e);
		else
			rc = set_int(f, &params[i], &v, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}
