/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kinds of plain values: numbers, booleans, words out of a list, names and
 * texts. Each kind reads, prints and describes its values, and accepts exactly
 * what its schema accepts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"

void cfg_store(void *dst, size_t size, uint64_t v)
{
	uint8_t u8 = (uint8_t)v;
	uint16_t u16 = (uint16_t)v;
	uint32_t u32 = (uint32_t)v;

	if (size == 1)
		memcpy(dst, &u8, 1);
	else if (size == 2)
		memcpy(dst, &u16, 2);
	else if (size == 4)
		memcpy(dst, &u32, 4);
	else
		memcpy(dst, &v, 8);
}

uint64_t cfg_fetch(const void *src, size_t size)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	if (size == 1)
		return memcpy(&u8, src, 1), u8;
	if (size == 2)
		return memcpy(&u16, src, 2), u16;
	if (size == 4)
		return memcpy(&u32, src, 4), u32;
	return memcpy(&u64, src, 8), u64;
}

bool cfg_integer(const json_t *v, int64_t *out)
{
	double d;

	if (json_is_integer(v)) {
		*out = json_integer_value(v);
		return true;
	}
	if (!json_is_real(v))
		return false;
	d = json_real_value(v);
	if (!(d >= -0x1p63 && d < 0x1p63) || (double)(int64_t)d != d)
		return false; /* the schema's "integer" is the same: 1.0 is one, 1.5 is none */
	*out = (int64_t)d;
	return true;
}

/* ---------------------------------------------------------------- numbers */

static unsigned int hex_digits(uint64_t max)
{
	unsigned int n = 0;

	for (; max != 0; max >>= 4)
		n++;
	return n;
}

/* "0x" and 1..digits hexadecimal digits. */
static bool hex_value(const char *s, unsigned int digits, uint64_t *out)
{
	size_t n;

	if (s[0] != '0' || (s[1] != 'x' && s[1] != 'X'))
		return false;
	n = strspn(s + 2, "0123456789abcdefABCDEF");
	if (n < 1 || n > digits || s[2 + n] != '\0')
		return false;
	*out = strtoull(s + 2, NULL, 16);
	return true;
}

static void range_str(const struct key *k, char *buf, size_t size)
{
	if ((k->flags & KEY_POW2) != 0)
		snprintf(buf, size, "a power of two, %" PRIu64 "..%" PRIu64, k->min, k->max);
	else
		snprintf(buf, size, "%s%" PRIu64 "..%" PRIu64 "%s", (k->flags & KEY_ZERO) != 0 ? "0 or " : "",
			k->min, k->max, (k->flags & KEY_HEX) != 0 ? ", or a string \"0x...\"" : "");
}

static int uint_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	char range[96], word[32];
	uint64_t u = 0;
	int64_t i;
	bool ok;

	range_str(k, range, sizeof(range));
	if (cfg_integer(v, &i)) {
		u = (uint64_t)i;
		ok = i >= 0;
	} else if ((k->flags & KEY_HEX) != 0 && json_is_string(v)) {
		if (!hex_value(json_string_value(v), hex_digits(k->max), &u))
			return cfg_fail(l, "\"%s\" is no hexadecimal number of 1 to %u digits; give %s",
				cfg_clean(word, sizeof(word), json_string_value(v)), hex_digits(k->max), range);
		i = (int64_t)u;
		ok = true;
	} else {
		return cfg_fail(l, "is %s; give %s%s", json_is_real(v) ? "no whole number" : cfg_type_str(v),
			(k->flags & KEY_POW2) != 0 ? "" : "a whole number, ", range);
	}
	if (ok && (k->flags & KEY_ZERO) != 0 && u == 0)
		ok = true;
	else
		ok = ok && u >= k->min && u <= k->max && ((k->flags & KEY_POW2) == 0 || (u & (u - 1)) == 0);
	if (!ok)
		return cfg_fail(l, "%" PRId64 " is out of range; give %s%s%s", i, range,
			k->unit != NULL ? " " : "", k->unit != NULL ? k->unit : "");
	cfg_store(cfg_member(obj, k), k->size, u * (k->scale != 0 ? k->scale : 1));
	if (k->aux != 0)
		*((bool *)obj + k->aux) = true;
	return 0;
}

static int uint_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	uint64_t u = cfg_fetch(cfg_cmember(obj, k), k->size), none = 0;
	char hex[24];

	(void)c;
	cfg_store(&none, k->size, k->def);
	if (((k->flags & KEY_ABSENT) != 0 && u == none) || (k->aux != 0 && !*((const bool *)obj + k->aux)))
		return 0;
	u /= k->scale != 0 ? k->scale : 1;
	snprintf(hex, sizeof(hex), "0x%" PRIx64, u);
	*out = (k->flags & KEY_HEX) != 0 ? json_string(hex) : json_integer((json_int_t)u);
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *uint_schema(const struct key *k)
{
	json_t *num, *list;
	char pattern[64];

	if ((k->flags & KEY_POW2) != 0) {
		list = json_array();
		for (uint64_t u = k->min; u <= k->max; u *= 2)
			json_array_append_new(list, json_integer((json_int_t)u));
		return json_pack("{s:o}", "enum", list);
	}
	num = json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)k->min,
		"maximum", (json_int_t)k->max);
	if ((k->flags & KEY_ZERO) != 0)
		return json_pack("{s:[{s:i}, o]}", "anyOf", "const", 0, num);
	if ((k->flags & KEY_HEX) == 0)
		return num;
	snprintf(pattern, sizeof(pattern), "^0[xX][0-9a-fA-F]{1,%u}$", hex_digits(k->max));
	return json_pack("{s:[o, o]}", "anyOf", num,
		cfg_schema_text(k->pattern != NULL ? k->pattern : pattern));
}

const struct kind kind_uint = { uint_parse, uint_print, uint_schema, "number" };

/* --------------------------------------------------------------- booleans */

static int bool_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	if (!json_is_boolean(v))
		return cfg_fail(l, "is %s; give true or false", cfg_type_str(v));
	*(bool *)cfg_member(obj, k) = json_is_true(v);
	return 0;
}

static int bool_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	(void)c;
	*out = json_boolean(*(const bool *)cfg_cmember(obj, k));
	return 0;
}

static json_t *bool_schema(const struct key *k)
{
	(void)k;
	return json_pack("{s:s}", "type", "boolean");
}

const struct kind kind_bool = { bool_parse, bool_print, bool_schema, "boolean" };

/* ------------------------------------------------------------------ words */

static const char *next_word(void *arg, unsigned int i)
{
	const struct word *w = arg;

	/* one that is refused is never near */
	return w[i].name == NULL || w[i].refuse == NULL ? w[i].name : "";
}

/* "UC", "UD": those that are not refused. */
static void words_str(const struct word *w, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (; w->name != NULL && n < size; w++) {
		int r = w->refuse != NULL ? 0 : snprintf(buf + n, size - n, "%s\"%s\"", n > 0 ? ", " : "", w->name);

		n += r > 0 ? (size_t)r : 0;
	}
}

static int word_find(struct loader *l, const struct key *k, const json_t *v, uint64_t *value)
{
	char list[160], word[40];
	const char *near;

	words_str(k->words, list, sizeof(list));
	if (!json_is_string(v))
		return cfg_fail(l, "is %s; give one of %s", cfg_type_str(v), list);
	for (const struct word *w = k->words; w->name != NULL; w++) {
		if (strcmp(w->name, json_string_value(v)) != 0)
			continue;
		if (w->refuse != NULL)
			return cfg_fail(l, "\"%s\" %s; give one of %s", w->name, w->refuse, list);
		*value = w->value;
		return 0;
	}
	near = cfg_nearest(json_string_value(v), next_word, (void *)(uintptr_t)k->words);
	cfg_clean(word, sizeof(word), json_string_value(v));
	if (near != NULL)
		return cfg_fail(l, "there is no \"%s\" (known: %s); did you mean \"%s\"?", word, list, near);
	return cfg_fail(l, "there is no \"%s\"; give one of %s", word, list);
}

static int word_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	uint64_t value;
	int rc = word_find(l, k, v, &value);

	if (rc == 0)
		cfg_store(cfg_member(obj, k), k->size, value);
	return rc;
}

static int word_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	uint64_t value = cfg_fetch(cfg_cmember(obj, k), k->size);

	(void)c;
	for (const struct word *w = k->words; w->name != NULL; w++) {
		if (w->value == value && w->refuse == NULL) {
			*out = json_string(w->name);
			return *out != NULL ? 0 : -ENOMEM;
		}
	}
	return 0;
}

static json_t *word_schema(const struct key *k)
{
	json_t *list = json_array();

	for (const struct word *w = k->words; w->name != NULL; w++)
		if (w->refuse == NULL)
			json_array_append_new(list, json_string(w->name));
	return json_pack("{s:o}", "enum", list);
}

const struct kind kind_word = { word_parse, word_print, word_schema, "word" };

/* A set of words: the sum of their bits. */
static int words_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	uint64_t all = 0, value;

	if (!json_is_array(v))
		return cfg_fail(l, "is %s; give an array of words", cfg_type_str(v));
	for (size_t i = 0; i < json_array_size(v); i++) {
		int rc;

		cfg_push_idx(l, i);
		rc = word_find(l, k, json_array_get(v, i), &value);
		if (rc == 0 && (all & value) != 0)
			rc = cfg_fail(l, "is there twice; remove one");
		if (rc != 0)
			return rc;
		cfg_pop(l);
		all |= value;
	}
	cfg_store(cfg_member(obj, k), k->size, all);
	return 0;
}

static int words_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	uint64_t value = cfg_fetch(cfg_cmember(obj, k), k->size);

	(void)c;
	*out = json_array();
	for (const struct word *w = k->words; w->name != NULL; w++)
		if ((w->value & value) != 0 && json_array_append_new(*out, json_string(w->name)) != 0)
			return -ENOMEM;
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *words_schema(const struct key *k)
{
	return json_pack("{s:s, s:o, s:b}", "type", "array", "items", word_schema(k), "uniqueItems", 1);
}

const struct kind kind_words = { words_parse, words_print, words_schema, "array of words" };

/* ------------------------------------------------------------------ texts */

/* Texts are of printable ASCII without space when the key has a pattern; the
 * patterns are few, and each has its set of characters here. */
static const struct {
	const char *pattern, *first, *rest, *words;
} text_sets[] = {
	{ CFG_PAT_NAME, CFG_SET_ALNUM "_", CFG_SET_ALNUM "_.-", "letters, digits, _ . -, not . or - first" },
	{ CFG_PAT_RULE, CFG_SET_ALNUM "_", CFG_SET_ALNUM "_.-", "letters, digits, _ . -, not . or - first" },
	{ CFG_PAT_IDENT, CFG_SET_ALPHA "_", CFG_SET_ALNUM "_", "letters, digits, _, no digit first" },
	{ CFG_PAT_DRIVER, CFG_SET_ALPHA, CFG_SET_ALNUM "_-", "letters, digits, _ -, a letter first" },
	{ CFG_PAT_RDMA, CFG_SET_ALPHA, CFG_SET_ALNUM "_-", "letters, digits, _ -, a letter first" },
	{ CFG_PAT_GLOB, CFG_SET_ALNUM CFG_SET_PUNCT, CFG_SET_ALNUM CFG_SET_PUNCT, "printable ASCII, no space, no /" },
	{ CFG_PAT_DEVICE, CFG_SET_ALNUM "_", CFG_SET_ALNUM "_.:-", "letters, digits, _ . : -" },
};

static const char *text_words(const char *pattern)
{
	for (size_t i = 0; i < sizeof(text_sets) / sizeof(text_sets[0]); i++)
		if (strcmp(text_sets[i].pattern, pattern) == 0)
			return text_sets[i].words;
	return pattern;
}

bool cfg_text_fits(const char *pattern, size_t max, const char *s)
{
	for (size_t i = 0; i < sizeof(text_sets) / sizeof(text_sets[0]); i++) {
		if (strcmp(text_sets[i].pattern, pattern) != 0)
			continue;
		return *s != '\0' && strchr(text_sets[i].first, *s) != NULL && strlen(s) <= max &&
			strspn(s + 1, text_sets[i].rest) == strlen(s + 1);
	}
	return false;
}

static int text_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	char word[48];
	char *s;

	if (!json_is_string(v))
		return cfg_fail(l, "is %s; give a string", cfg_type_str(v));
	if (!cfg_text_fits(k->pattern, k->max, json_string_value(v)))
		return cfg_fail(l, "\"%s\" does not fit; give 1 to %" PRIu64 " characters: %s",
			cfg_clean(word, sizeof(word), json_string_value(v)), k->max, text_words(k->pattern));
	s = cfg_strdup(l, json_string_value(v));
	if (s == NULL)
		return cfg_fail_mem(l);
	*(const char **)cfg_member(obj, k) = s;
	return 0;
}

static int text_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const char *s = *(const char *const *)cfg_cmember(obj, k);

	(void)c;
	if (s == NULL)
		return 0;
	*out = json_string(s);
	return *out != NULL ? 0 : -ENOMEM;
}

json_t *cfg_schema_text(const char *pattern)
{
	return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *text_schema(const struct key *k)
{
	return cfg_schema_text(k->pattern);
}

const struct kind kind_text = { text_parse, text_print, text_schema, "string" };

/* A note for people, or a path: any string that is not empty. */
static int note_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	if (!json_is_string(v) || json_string_length(v) == 0)
		return cfg_fail(l, "is %s; give a string", json_is_string(v) ? "empty" : cfg_type_str(v));
	*(const char **)cfg_member(obj, k) = cfg_strdup(l, json_string_value(v));
	return *(const char **)cfg_member(obj, k) != NULL ? 0 : cfg_fail_mem(l);
}

static json_t *note_schema(const struct key *k)
{
	(void)k;
	return json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
}

const struct kind kind_note = { note_parse, text_print, note_schema, "string" };
