/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of values. A generator writes random JSON and notes on which line each
 * value begins; the walk along the value's path has to come to the same. Keys
 * hold escapes, quotes and brackets.
 */
#include <stdio.h>

#include "config_impl.h"
#include "config_test.h"

#define DEPTH 5
#define PLACES 4096

struct place {
	struct step path[DEPTH];
	unsigned int depth, line;
};

struct gen {
	char text[1 << 18];
	size_t len;
	unsigned int line;
	uint64_t seed;
	struct step path[DEPTH];
	struct place places[PLACES];
	unsigned int nb;
};
static struct gen g;

/* A key as JSON writes it, and as it is. Equal ones never stand in one object. */
static const struct { const char *json, *key; } keys[] = {
	{ "a", "a" }, { "\\\"", "\"" }, { "\\\\", "\\" }, { "x\\\\\\\"{[", "x\\\"{[" }, { "}],:", "}],:" },
	{ "\\u0062", "b" }, { "\\n", "\n" }, { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" }, { "\xc3\xa9", "\xc3\xa9" },
	{ "\\/", "/" }, { "", "" }, { "aa", "aa" },
};
static const char *const scalars[] = { "1", "-2.5e3", "true", "null", "\"\"", "\"\\\"}]\"", "\"a\\\\\"", "[]", "{}",
	"\"\\u005d\\u007d\"" };

static void put(const char *s)
{
	size_t n = strlen(s);

	if (g.len + n < sizeof(g.text)) {
		memcpy(g.text + g.len, s, n);
		g.len += n;
	}
}

static unsigned int pick(unsigned int n)
{
	return (unsigned int)(phca_test_rand(&g.seed) % n);
}

static void space(void)
{
	static const char *const some[] = { "", " ", "\n", "\r\n", "\t", "\n\n  " };
	const char *s = some[pick(6)];

	put(s);
	for (; *s != '\0'; s++)
		g.line += *s == '\n';
}

static void value(unsigned int depth)
{
	bool object = pick(2) == 0;
	unsigned int n = pick(5), first = pick(12);

	if (g.nb < PLACES) {
		memcpy(g.places[g.nb].path, g.path, sizeof(g.path));
		g.places[g.nb].depth = depth;
		g.places[g.nb++].line = g.line;
	}
	if (depth == DEPTH || n == 0) {
		put(scalars[pick(10)]);
		return;
	}
	put(object ? "{" : "[");
	for (unsigned int i = 0; i < n; i++) {
		unsigned int k = (first + i) % 12;

		space();
		if (object) {
			put("\"");
			put(keys[k].json);
			put("\"");
			space();
			put(":");
			space();
			g.path[depth] = (struct step){ .key = keys[k].key };
		} else {
			g.path[depth] = (struct step){ .idx = i };
		}
		value(depth + 1);
		space();
		if (i + 1 < n)
			put(",");
	}
	put(object ? "}" : "]");
}

PHCA_TEST(place, lines_of_random_texts)
{
	unsigned int wrong = 0, checked = 0;

	for (unsigned int round = 0; round < 300; round++) {
		json_error_t e;
		json_t *j;

		g.len = g.nb = 0;
		g.line = 1;
		g.seed = round;
		space();
		value(0);
		space();
		j = json_loadb(g.text, g.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &e);
		CU_ASSERT_PTR_NOT_NULL_FATAL(j); /* the walk is promised valid JSON */
		json_decref(j);
		for (unsigned int i = 0; i < g.nb; i++, checked++)
			wrong += cfg_line(g.text, g.len, g.places[i].path, g.places[i].depth) != g.places[i].line;
	}
	CU_ASSERT(checked > 1000);
	CU_ASSERT_EQUAL(wrong, 0);
}

PHCA_TEST(place, what_is_missing_is_on_the_line_of_its_container)
{
	static const char text[] = "{\n\"a\":\n[1,\n2]}";
	struct step path[] = { { .key = "a" }, { .idx = 5 } };

	CU_ASSERT_EQUAL(cfg_line(text, strlen(text), path, 2), 3);
	path[0].key = "b";
	CU_ASSERT_EQUAL(cfg_line(text, strlen(text), path, 2), 1);
	path[0] = (struct step){ .idx = 0 };
	CU_ASSERT_EQUAL(cfg_line(text, strlen(text), path, 2), 1);
}

PHCA_TEST(place, paths_of_odd_keys)
{
	CU_ASSERT(cfg_refused("{\"filters\":[{\"name\":\"f\",\"object\":\"x.o\",\"maps\":{\"m\":\n{\"a\\\"b\":1,\n"
		"\"\\u0061\\\\ c\":null}}}]}",
		"3: filters[0].maps.m[\"a\\ c\"]: is null; give a whole number, a string or an array of numbers"));
	CU_ASSERT(cfg_refused("{\n\"\\n\\t\":1}", "2: [\"??\"]: configuration has no key \"??\"; remove it "
		"(doc/configuration.md lists the keys)"));
}
