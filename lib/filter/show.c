/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What control threads see and change of a loaded filter: names, map entries
 * and globals as text. Everything here that walks or changes a map holds the
 * filter's control lock, so that an entry is not recycled under the walk; the
 * data path never takes it.
 */
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>

#include "filter_impl.h"

#define TEXT_MAX 16384 /* room for a key or value as text */

const char *phca_filter_name(const struct phca_filter *f)
{
	return f->name;
}

const char *phca_filter_program(const struct phca_filter *f)
{
	return f->program;
}

const char *phca_filter_object(const struct phca_filter *f)
{
	return f->object;
}

bool phca_filter_is_jit(const struct phca_filter *f)
{
	return f->func != NULL;
}

uint32_t phca_filter_ctx_words(const struct phca_filter *f)
{
	return f->ctx_words;
}

unsigned int phca_filter_nb_insns(const struct phca_filter *f)
{
	return f->nb_insns;
}

unsigned int phca_filter_nb_maps(const struct phca_filter *f)
{
	return f->nb_maps;
}

int phca_filter_map_info(const struct phca_filter *f, unsigned int idx, struct phca_map_info *info)
{
	const struct filter_map *m;

	if (idx >= f->nb_maps)
		return -ENOENT;
	m = f->maps[idx];
	info->name = m->name;
	info->type = m->type;
	info->key_size = m->key_size;
	info->value_size = m->value_size;
	info->max_entries = m->max_entries;
	info->nb_entries = m->type == PHCA_MAP_ARRAY ? m->max_entries :
		__atomic_load_n(&m->nb_entries, __ATOMIC_RELAXED);
	return 0;
}

const struct phca_filter_kind *phca_filter_kind_of(const struct phca_filter *f)
{
	return f->kind;
}

bool phca_filter_map_is_shared(const struct phca_filter *f, unsigned int idx)
{
	return idx < f->nb_maps && (f->shared >> idx & 1) != 0;
}

int phca_filter_map_find(const struct phca_filter *f, const char *name)
{
	unsigned int i;

	for (i = 0; i < f->nb_maps; i++)
		if (strcmp(f->maps[i]->name, name) == 0)
			return (int)i;
	return -ENOENT;
}

/* Find map @p name and turn @p text into its key. */
static int key_parse(const struct phca_filter *f, const char *name, const char *text,
		int *idx, void *key, const struct filter_err *e)
{
	const struct filter_map *m;
	char why[256];
	int i = phca_filter_map_find(f, name), rc;

	if (i < 0)
		return filter_err(e, -ENOENT, "map %s: no such map", name);
	*idx = i;
	m = f->maps[i];
	if (m->type == PHCA_MAP_LPM)
		rc = filter_text_parse_prefix(text, m->key_size, key, why, sizeof(why));
	else
		rc = filter_text_parse(f->btf, f->key_type[i], text, key, m->key_size, why, sizeof(why));
	if (rc != 0)
		filter_err(e, rc, "map %s: key \"%s\": %s", name, text, why);
	return rc;
}

int phca_filter_map_set(struct phca_filter *f, const char *map, const char *key, const char *value,
		char *err, size_t err_len)
{
	const struct filter_err e = { .buf = err, .len = err_len, .noun = f->kind->noun, .filter = f->name };
	uint64_t k[FILTER_KEY_MAX / 8], v[FILTER_VALUE_MAX / 8];
	struct filter_map *m;
	char why[256];
	int rc, i = 0;

	rc = key_parse(f, map, key, &i, k, &e);
	if (rc != 0)
		return rc;
	m = f->maps[i];
	rc = filter_text_parse(f->btf, f->value_type[i], value, v, m->value_size, why, sizeof(why));
	if (rc != 0)
		return filter_err(&e, rc, "map %s: value \"%s\": %s", map, value, why);
	pthread_mutex_lock(&f->control);
	rc = filter_map_update(m, k, v, 0);
	pthread_mutex_unlock(&f->control);
	if (rc == -E2BIG)
		filter_err(&e, rc, "map %s: index %s, the array has %u entries, 0..%u", map, key,
			m->max_entries, m->max_entries - 1);
	else if (rc == -ENOSPC)
		filter_err(&e, rc, "map %s: full with %u entries; remove some or raise max_entries", map,
			m->max_entries);
	else if (rc != 0)
		filter_err(&e, rc, "map %s: key %s: %s", map, key, strerror(-rc));
	return rc;
}

int phca_filter_map_del(struct phca_filter *f, const char *map, const char *key, char *err,
		size_t err_len)
{
	const struct filter_err e = { .buf = err, .len = err_len, .noun = f->kind->noun, .filter = f->name };
	uint64_t k[FILTER_KEY_MAX / 8];
	struct filter_map *m;
	int rc, i = 0;

	rc = key_parse(f, map, key, &i, k, &e);
	if (rc != 0)
		return rc;
	m = f->maps[i];
	pthread_mutex_lock(&f->control);
	rc = filter_map_delete(f, m, k);
	pthread_mutex_unlock(&f->control);
	if (rc == -E2BIG)
		filter_err(&e, rc, "map %s: index %s, the array has %u entries, 0..%u", map, key,
			m->max_entries, m->max_entries - 1);
	else if (rc != 0)
		filter_err(&e, rc, "map %s: no key %s", map, key);
	return rc;
}

/* One entry as text, to the callback. @p text: two times TEXT_MAX. */
static int entry_show(const struct phca_filter *f, int i, const void *key, const void *slot, char *text,
		int (*cb)(void *arg, const char *key, const char *value),
		void *arg)
{
	const struct filter_map *m = f->maps[i];
	uint64_t v[FILTER_VALUE_MAX / 8];

	filter_map_read(m, slot, v);
	if (m->type == PHCA_MAP_LPM)
		filter_text_print_prefix(key, m->key_size, text, TEXT_MAX);
	else
		filter_text_print(f->btf, f->key_type[i], key, m->key_size, text, TEXT_MAX);
	filter_text_print(f->btf, f->value_type[i], v, m->value_size, text + TEXT_MAX, TEXT_MAX);
	return cb(arg, text, text + TEXT_MAX);
}

int phca_filter_map_each(const struct phca_filter *f, const char *map,
		int (*cb)(void *arg, const char *key, const char *value), void *arg)
{
	int i = phca_filter_map_find(f, map), rc = 0;
	pthread_mutex_t *control = (pthread_mutex_t *)(uintptr_t)&f->control;
	const struct filter_map *m;
	uint32_t n, s;
	char *text;

	if (i < 0)
		return -ENOENT;
	m = f->maps[i];
	text = malloc(2 * TEXT_MAX);
	if (text == NULL)
		return -ENOMEM;
	pthread_mutex_lock(control);
	if (m->type == PHCA_MAP_ARRAY) {
		for (n = 0; n < m->max_entries && rc == 0; n++)
			rc = entry_show(f, i, &n, m->values + (size_t)n * m->value_stride, text, cb, arg);
	} else {
		for (n = 0; n <= m->mask; n++) {
			s = __atomic_load_n(&m->heads[n], __ATOMIC_ACQUIRE);
			for (; s != 0 && rc == 0; s = __atomic_load_n(&m->next[s - 1], __ATOMIC_ACQUIRE))
				rc = entry_show(f, i, m->keys + (size_t)(s - 1) * m->key_stride,
					m->values + (size_t)(s - 1) * m->value_stride, text, cb, arg);
		}
	}
	pthread_mutex_unlock(control);
	free(text);
	return rc;
}

/* A copy of a global; filters may be writing it. */
static void global_read(const struct filter_globals *g, uint32_t off, uint32_t size, uint8_t *out)
{
	uint32_t i = 0;

	if (off % 8 == 0)
		for (; i + 8 <= size; i += 8) {
			uint64_t w = __atomic_load_n((uint64_t *)(g->mem + off + i), __ATOMIC_RELAXED);

			memcpy(out + i, &w, 8);
		}
	if (off % 4 == 0)
		for (; i + 4 <= size; i += 4) {
			uint32_t w = __atomic_load_n((uint32_t *)(g->mem + off + i), __ATOMIC_RELAXED);

			memcpy(out + i, &w, 4);
		}
	if (off % 2 == 0)
		for (; i + 2 <= size; i += 2) {
			uint16_t w = __atomic_load_n((uint16_t *)(g->mem + off + i), __ATOMIC_RELAXED);

			memcpy(out + i, &w, 2);
		}
	for (; i < size; i++)
		out[i] = __atomic_load_n(g->mem + off + i, __ATOMIC_RELAXED);
}

static int section_each(const struct phca_filter *f, const struct filter_globals *g, char *text,
		int (*cb)(void *arg, const char *name, const char *value, bool is_param), void *arg)
{
	const struct btf_type *sec = btf__type_by_id(f->btf, g->datasec), *var;
	const struct btf_var_secinfo *v = btf_var_secinfos(sec);
	uint8_t *copy;
	int i, rc = 0;

	for (i = 0; i < btf_vlen(sec) && rc == 0; i++, v++) {
		if (v->size == 0 || (uint64_t)v->offset + v->size > g->size)
			continue;
		copy = malloc(v->size);
		if (copy == NULL)
			return -ENOMEM;
		var = btf__type_by_id(f->btf, v->type);
		global_read(g, v->offset, v->size, copy);
		filter_text_print(f->btf, var->type, copy, v->size, text, TEXT_MAX);
		free(copy);
		rc = cb(arg, btf__name_by_offset(f->btf, var->name_off), text,
			g->read_only && filter_var_is_param(f->btf, v->type));
	}
	return rc;
}

int phca_filter_global_each(const struct phca_filter *f,
		int (*cb)(void *arg, const char *name, const char *value, bool is_param), void *arg)
{
	unsigned int i;
	int rc = 0;
	char *text = malloc(TEXT_MAX);

	if (text == NULL)
		return -ENOMEM;
	for (i = 0; i < f->nb_globals && rc == 0; i++)
		if (f->globals[i].datasec != 0)
			rc = section_each(f, &f->globals[i], text, cb, arg);
	free(text);
	return rc;
}
