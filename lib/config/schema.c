/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables as others read them: the JSON schema that config/ publishes, and
 * the rows of doc/configuration.md. Both are made from the tables; tests compare
 * the committed files with what is made here.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "config_impl.h"

/* The default as JSON, when it is one value. */
static json_t *key_default(const struct key *k)
{
	char hex[24];

	if (k->kind == &kind_bool && k->def != 0)
		return json_true();
	if (k->def_doc != NULL || (k->flags & (KEY_REQUIRED | KEY_ABSENT)) != 0 || k->kind != &kind_uint)
		return NULL;
	snprintf(hex, sizeof(hex), "0x%" PRIx64, k->def);
	return (k->flags & KEY_HEX) != 0 ? json_string(hex) : json_integer((json_int_t)k->def);
}

/* Help, unit and default in words. The documentation's back quotes go. */
static json_t *key_description(const struct key *k)
{
	char text[320];
	size_t n = 0;

	snprintf(text, sizeof(text), "%s%s%s%s%s%s", k->help, k->unit != NULL ? " [" : "",
		k->unit != NULL ? k->unit : "", k->unit != NULL ? "]" : "",
		k->def_doc != NULL ? "; default: " : "", k->def_doc != NULL ? k->def_doc : "");
	for (const char *s = text; *s != '\0'; s++)
		if (*s != '`')
			text[n++] = *s;
	text[n] = '\0';
	return json_string(text);
}

static json_t *key_schema(const struct key *k)
{
	json_t *body = k->kind->schema(k), *s = json_object(), *def = key_default(k);

	json_object_set_new(s, "description", key_description(k));
	json_object_update(s, body);
	json_decref(body);
	if (def != NULL)
		json_object_set_new(s, "default", def);
	return s;
}

/* "if type is T then not these keys" for keys that only another type has. */
static json_t *only_schema(const struct table *t, const char *type, unsigned int bit)
{
	json_t *no = json_object();

	for (const struct key *k = t->keys; k->name != NULL; k++)
		if (k->only != 0 && (k->only & bit) == 0)
			json_object_set_new(no, k->name, json_false());
	return json_pack("{s:{s:{s:{s:s}}}, s:{s:o}}", "if", "properties", "type", "const", type,
		"then", "properties", no);
}

/* What cfg_qp_finish wants of RC. */
static json_t *rc_schema(void)
{
	return json_pack("{s:{s:{s:{s:s}}}, s:{s:[s, s]}}", "if", "properties", "type", "const", "RC",
		"then", "required", "peer", "dest_qpn");
}

json_t *cfg_table_schema(const struct table *t)
{
	json_t *props = json_object(), *required = json_array(), *s;

	for (const struct key *k = t->keys; k->name != NULL; k++) {
		json_object_set_new(props, k->name, key_schema(k));
		if ((k->flags & KEY_REQUIRED) != 0)
			json_array_append_new(required, json_string(k->name));
	}
	s = json_pack("{s:s, s:b, s:o}", "type", "object", "additionalProperties", 0, "properties", props);
	if (json_array_size(required) > 0)
		json_object_set(s, "required", required);
	json_decref(required);
	if (t->applies != NULL)
		json_object_set_new(s, "allOf", json_pack("[o, o, o, o]", rc_schema(),
			only_schema(t, "RC", 1u << PHCA_QPT_RC), only_schema(t, "UC", 1u << PHCA_QPT_UC),
			only_schema(t, "UD", 1u << PHCA_QPT_UD)));
	if (t->section == SEC_PORT)
		json_object_set_new(s, "oneOf", json_pack("[{s:[s]}, {s:[s]}]", "required", "device",
			"required", "id"));
	if (t->section == SEC_QP)
		json_object_set_new(s, "oneOf", json_pack("[{s:[s]}, {s:[s]}]", "required", "app",
			"required", "offload"));
	return s;
}

int phca_config_schema_print(FILE *out)
{
	json_t *body = cfg_table_schema(&cfg_root), *s;
	int rc = 0;

	s = json_pack("{s:s, s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema",
		"title", "proxyhca configuration", "$comment",
		"Made from lib/config/tables.c. The loader also checks what a schema cannot say: references, "
		"duplicate names, keys, QP numbers and addresses, unicast addresses, files of filters, "
		"settings of drivers.");
	if (s == NULL || body == NULL || json_object_update(s, body) != 0)
		rc = -ENOMEM;
	else if (json_dumpf(s, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF || fflush(out) != 0)
		rc = -EIO;
	json_decref(body);
	json_decref(s);
	return rc;
}

/* ---------------------------------------------------------- documentation */

static void doc_words(const struct word *w, FILE *out)
{
	const char *sep = "";

	for (; w->name != NULL; w++) {
		if (w->refuse == NULL) {
			fprintf(out, "%s`\"%s\"`", sep, w->name);
			sep = ", ";
		}
	}
}

static void doc_range(const struct key *k, FILE *out)
{
	if (k->words != NULL)
		doc_words(k->words, out);
	else if (k->kind == &kind_uint && (k->flags & KEY_HEX) != 0)
		fprintf(out, "0x%" PRIx64 "..0x%" PRIx64, k->min, k->max);
	else if (k->kind == &kind_uint)
		fprintf(out, "%s%" PRIu64 "..%" PRIu64 "%s%s%s", (k->flags & KEY_ZERO) != 0 ? "0, " : "",
			k->min, k->max, k->unit != NULL ? " " : "", k->unit != NULL ? k->unit : "",
			(k->flags & KEY_POW2) != 0 ? ", power of two" : "");
	else if (k->kind == &kind_array || k->kind == &kind_addrs || k->kind == &kind_qp_refs ||
			k->kind == &kind_mcast)
		fprintf(out, "%" PRIu64 "..%" PRIu64 " elements", k->min, k->max);
	else if (k->kind == &kind_lcores)
		fprintf(out, "0..%" PRIu64 "; 1..%d elements", k->max, PHCA_CONFIG_LCORES_MAX);
	else if (k->kind == &kind_text)
		fprintf(out, "1..%" PRIu64 " characters", k->max);
	else if (k->max > 0 && (k->kind == &kind_settings || k->kind == &kind_params || k->kind == &kind_maps))
		fprintf(out, "0..%" PRIu64 " entries", k->max);
	else
		fputs("-", out);
}

static void doc_row(const struct key *k, FILE *out)
{
	char types[24];

	fprintf(out, "| `%s` | %s%s | ", k->name, k->kind->doc, (k->flags & KEY_HEX) != 0 ? " or `\"0x...\"`" : "");
	doc_range(k, out);
	fputs(" | ", out);
	if ((k->flags & KEY_REQUIRED) != 0)
		fputs("required", out);
	else if (k->def_doc != NULL)
		fputs(k->def_doc, out);
	else if (k->kind == &kind_uint)
		fprintf(out, (k->flags & KEY_HEX) != 0 ? "0x%" PRIx64 : "%" PRIu64, k->def);
	else
		fputs("none", out);
	fprintf(out, " | %s", k->help);
	if (k->only != 0)
		fprintf(out, " (%s only)", cfg_qp_types(k->only, " and ", types, sizeof(types)));
	fputs(" |\n", out);
}

static void doc_table(const char *path, const struct table *t, FILE *out)
{
	fprintf(out, "\n### `%s`\n\n| key | type | range | default | what |\n|---|---|---|---|---|\n", path);
	for (const struct key *k = t->keys; k->name != NULL; k++)
		doc_row(k, out);
	for (const struct key *k = t->keys; k->name != NULL; k++) {
		char sub[96];

		if (k->sub == NULL)
			continue;
		snprintf(sub, sizeof(sub), "%s%s%s%s", t == &cfg_root ? "" : path, t == &cfg_root ? "" : ".",
			k->name, k->kind == &kind_array ? "[]" : "");
		doc_table(sub, k->sub, out);
	}
}

int cfg_doc_rows(FILE *out)
{
	doc_table("(top)", &cfg_root, out);
	return fflush(out) != 0 ? -EIO : 0;
}
