/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look at the BTF before libbpf follows it: every name is a string, every type
 * id a type of the right kind, no type contains itself. libbpf 1.1 checks the
 * lengths of records only; it would take a wrong name for NULL, or follow a
 * typedef of itself for ever.
 */
#include <stdlib.h>

#include <bpf/btf.h>

#include "elf_impl.h"

#define DEPTH_MAX 64 /* types in types */

enum { UNSEEN, OPEN, SOUND };

static const struct btf_type *type_of(const struct btf *btf, uint32_t id)
{
	return id < btf__type_cnt(btf) ? btf__type_by_id(btf, id) : NULL;
}

static bool named(const struct btf *btf, uint32_t off)
{
	return btf__name_by_offset(btf, off) != NULL;
}

static bool contains_itself(const struct btf *btf, uint32_t id, uint8_t *seen, int depth);

static bool members_sound(const struct btf *btf, const struct btf_type *t, uint8_t *seen, int depth)
{
	int i;

	for (i = 0; i < btf_vlen(t); i++)
		if (!named(btf, btf_members(t)[i].name_off) ||
				contains_itself(btf, btf_members(t)[i].type, seen, depth))
			return false;
	return true;
}

/* Whether @p id, held by value, leads back to itself or to no type. */
static bool contains_itself(const struct btf *btf, uint32_t id, uint8_t *seen, int depth)
{
	const struct btf_type *t = type_of(btf, id);
	bool sound = true;

	if (t == NULL || depth > DEPTH_MAX || seen[id] == OPEN)
		return true;
	if (seen[id] == SOUND || id == 0)
		return false;
	seen[id] = OPEN;
	if (btf_is_composite(t))
		sound = members_sound(btf, t, seen, depth + 1);
	else if (btf_is_array(t))
		sound = !contains_itself(btf, btf_array(t)->type, seen, depth + 1) &&
			type_of(btf, btf_array(t)->index_type) != NULL;
	else if (btf_is_mod(t) || btf_is_typedef(t) || btf_is_var(t) || btf_is_func(t) ||
			btf_is_decl_tag(t))
		sound = !contains_itself(btf, t->type, seen, depth + 1);
	seen[id] = SOUND;
	return !sound;
}

static bool datasec_sound(const struct btf *btf, const struct btf_type *t)
{
	const struct btf_var_secinfo *v = btf_var_secinfos(t);
	const struct btf_type *var;
	int i;

	for (i = 0; i < btf_vlen(t); i++) {
		var = type_of(btf, v[i].type);
		if (var == NULL || !(btf_is_var(var) || btf_is_func(var)))
			return false;
	}
	return true;
}

static bool proto_sound(const struct btf *btf, const struct btf_type *t)
{
	int i;

	for (i = 0; i < btf_vlen(t); i++)
		if (!named(btf, btf_params(t)[i].name_off) || type_of(btf, btf_params(t)[i].type) == NULL)
			return false;
	return type_of(btf, t->type) != NULL;
}

static bool enum_sound(const struct btf *btf, const struct btf_type *t)
{
	int i;

	for (i = 0; i < btf_vlen(t); i++)
		if (!named(btf, btf_is_enum64(t) ? btf_enum64(t)[i].name_off : btf_enum(t)[i].name_off))
			return false;
	return true;
}

static bool type_sound(const struct btf *btf, uint32_t id, uint8_t *seen)
{
	const struct btf_type *t = type_of(btf, id), *to;

	if (t == NULL || !named(btf, t->name_off) || contains_itself(btf, id, seen, 0))
		return false;
	switch (btf_kind(t)) {
	case BTF_KIND_PTR:
		return type_of(btf, t->type) != NULL;
	case BTF_KIND_FUNC:
		to = type_of(btf, t->type);
		return to != NULL && btf_is_func_proto(to);
	case BTF_KIND_VAR:
		to = type_of(btf, t->type);
		return to != NULL && !btf_is_var(to) && !btf_is_datasec(to) && !btf_is_func(to);
	case BTF_KIND_DATASEC:
		return datasec_sound(btf, t);
	case BTF_KIND_FUNC_PROTO:
		return proto_sound(btf, t);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return enum_sound(btf, t);
	}
	return true;
}

int filter_btf_check(const void *raw, size_t len, const struct filter_err *e)
{
	struct btf *btf = btf__new(raw, (uint32_t)len);
	uint32_t i, nb;
	uint8_t *seen;
	int rc = 0;

	if (btf == NULL)
		return filter_err(e, -EINVAL, "object: broken BTF; compile with -g");
	nb = btf__type_cnt(btf);
	seen = calloc(nb, 1);
	if (seen == NULL)
		rc = filter_err(e, -ENOMEM, "object: no memory for its BTF");
	for (i = 1; i < nb && rc == 0; i++)
		if (!type_sound(btf, i, seen))
			rc = filter_err(e, -EINVAL, "object: broken BTF, type %u", i);
	free(seen);
	btf__free(btf);
	return rc;
}
