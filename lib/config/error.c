/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of an error: "FILE:LINE: JSON.PATH: what is wrong, what to do". All
 * errors of the library are made here, from the loader's present path, and
 * whatever a hostile file brings into one is made printable.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

#include "config_impl.h"

/* In an object that is always linked, so that the log type is registered. */
RTE_LOG_REGISTER_DEFAULT(phca_config_logtype, NOTICE);

const char *cfg_clean(char *dst, size_t size, const char *src)
{
	size_t n = 0;

	for (; *src != '\0' && n + 1 < size; src++)
		dst[n++] = (unsigned char)*src < 0x20 || *src == 0x7f ? '?' : *src;
	if (*src != '\0' && n > 3)
		memcpy(dst + n - 3, "...", 3);
	dst[n] = '\0';
	return dst;
}

static bool is_plain(const char *key)
{
	return *key != '\0' && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$")
		== strlen(key);
}

static void path_str(const struct loader *l, char *buf, size_t size)
{
	size_t n = 0;

	snprintf(buf, size, "%s", "(top)");
	for (unsigned int i = 0; i < l->depth && n < size; i++) {
		const struct step *s = &l->path[i];
		char key[CFG_NAME_MAX];
		int w;

		if (s->key == NULL)
			w = snprintf(buf + n, size - n, "[%zu]", s->idx);
		else if (is_plain(s->key))
			w = snprintf(buf + n, size - n, "%s%s", n > 0 ? "." : "",
				cfg_clean(key, sizeof(key), s->key));
		else
			w = snprintf(buf + n, size - n, "[\"%s\"]", cfg_clean(key, sizeof(key), s->key));
		n += w > 0 ? (size_t)w : 0;
	}
}

static void fail(struct loader *l, const char *fmt, va_list ap)
{
	unsigned int line = cfg_line(l->text, l->len, l->path, l->depth);
	char path[512], what[PHCA_CONFIG_ERR_MAX];

	path_str(l, path, sizeof(path));
	vsnprintf(what, sizeof(what), fmt, ap);
	if (l->err != NULL && l->err_len > 0)
		snprintf(l->err, l->err_len, "%s:%u: %s: %s", l->file, line, path, what);
}

int cfg_fail(struct loader *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(l, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int cfg_fail_key(struct loader *l, const char *key, const char *fmt, ...)
{
	va_list ap;

	cfg_push_key(l, key);
	va_start(ap, fmt);
	fail(l, fmt, ap);
	va_end(ap);
	cfg_pop(l);
	return -EINVAL;
}

int cfg_fail_mem(struct loader *l)
{
	if (l->err != NULL && l->err_len > 0)
		snprintf(l->err, l->err_len, "%s: out of memory", l->file);
	return -ENOMEM;
}

void cfg_push_key(struct loader *l, const char *key)
{
	if (l->depth < CFG_DEPTH_MAX)
		l->path[l->depth] = (struct step){ .key = key };
	l->depth++;
}

void cfg_push_idx(struct loader *l, size_t idx)
{
	if (l->depth < CFG_DEPTH_MAX)
		l->path[l->depth] = (struct step){ .idx = idx };
	l->depth++;
}

void cfg_pop(struct loader *l)
{
	l->depth--;
}

const char *cfg_type_str(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "an array";
	case JSON_STRING: return "a string";
	case JSON_INTEGER: return "a number";
	case JSON_REAL: return "a number";
	case JSON_TRUE: return "true";
	case JSON_FALSE: return "false";
	case JSON_NULL: return "null";
	}
	return "something else";
}

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Edits (insert, delete, replace, swap of neighbours) between two short words. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[3][CFG_NAME_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *cur = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		cur[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned int best = up[j - 1] + !same(a[i - 1], b[j - 1]);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (cur[j - 1] + 1 < best)
				best = cur[j - 1] + 1;
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) &&
					up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			cur[j] = best;
		}
	}
	return row[la % 3][lb];
}

const char *cfg_nearest(const char *word, const char *(*next)(void *arg, unsigned int i), void *arg)
{
	const char *name, *best = NULL;
	size_t len = strlen(word);
	unsigned int limit = len < 3 ? 1 : len < 9 ? 2 : 3, least = limit + 1;

	if (len > CFG_NAME_MAX)
		return NULL;
	for (unsigned int i = 0; (name = next(arg, i)) != NULL; i++) {
		unsigned int d;

		if (strlen(name) > CFG_NAME_MAX)
			continue;
		d = distance(word, name);
		if (d < least && d < strlen(name)) {
			least = d;
			best = name;
		}
	}
	return best;
}
