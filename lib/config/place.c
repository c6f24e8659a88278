/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where in the text a value stands. jansson reads the values and keeps no lines,
 * so when something is wrong with one, this walks the text along the value's
 * path and counts. The text has been parsed by jansson before: it is valid JSON
 * and holds no key twice, therefore the walk needs to know only where values
 * end. Keys with escapes are decoded by jansson.
 */
#include <string.h>

#include "config_impl.h"

struct scan {
	const char *p, *end;
	unsigned int line;
};

static void skip_space(struct scan *s)
{
	for (; s->p < s->end && strchr(" \t\r\n", *s->p) != NULL && *s->p != '\0'; s->p++)
		s->line += *s->p == '\n';
}

/* At a quote; a string of valid JSON holds no newline. */
static void skip_string(struct scan *s)
{
	for (s->p++; s->p < s->end && *s->p != '"'; s->p++)
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
	if (s->p < s->end)
		s->p++;
}

static void skip_value(struct scan *s)
{
	unsigned int depth = 0;

	while (s->p < s->end) {
		char c = *s->p;

		if (c == '"') {
			skip_string(s);
			if (depth == 0)
				return;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		if (c == '}' || c == ']') {
			if (depth == 0)
				return;
			if (--depth == 0) {
				s->p++;
				return;
			}
		}
		if (c == ',' && depth == 0)
			return;
		s->line += c == '\n';
		s->p++;
	}
}

/* Whether the string token at tok is this key. */
static bool is_key(const char *tok, size_t len, const char *key)
{
	json_t *j;
	bool same;

	if (len < 2)
		return false;
	if (memchr(tok, '\\', len) == NULL)
		return len - 2 == strlen(key) && memcmp(tok + 1, key, len - 2) == 0;
	j = json_loadb(tok, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	same = j != NULL && json_string_length(j) == strlen(key) && strcmp(json_string_value(j), key) == 0;
	json_decref(j);
	return same;
}

/* From the start of a container to the start of its element. False: it has none such. */
static bool enter(struct scan *s, const struct step *step)
{
	struct scan start = *s;

	if (s->p >= s->end || *s->p != (step->key != NULL ? '{' : '['))
		return false;
	s->p++;
	for (size_t i = 0;; i++) {
		skip_space(s);
		if (s->p >= s->end || *s->p == '}' || *s->p == ']') {
			*s = start;
			return false;
		}
		if (step->key != NULL) {
			const char *tok = s->p;
			bool found;

			skip_string(s);
			found = is_key(tok, (size_t)(s->p - tok), step->key);
			skip_space(s);
			s->p++; /* the colon */
			skip_space(s);
			if (found)
				return true;
		} else if (i == step->idx) {
			return true;
		}
		skip_value(s);
		skip_space(s);
		if (s->p < s->end && *s->p == ',')
			s->p++;
	}
}

unsigned int cfg_line(const char *text, size_t len, const struct step *path, unsigned int depth)
{
	struct scan s = { .p = text, .end = text + len, .line = 1 };

	skip_space(&s);
	for (unsigned int i = 0; i < depth && enter(&s, &path[i]); i++)
		;
	return s.line;
}
