/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device arguments. rte_kvargs splits them; it takes '=' and ',' for itself, so
 * rules in arguments are written with spaces or ':'. Every mistake is an error
 * that names the argument, its value and what is possible.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>

#include "impair_impl.h"

static const char *const known[] = {
	"lower", "rx_ring", "tx_ring", "ring_size", "seed", "hold", "dir", "script", "rule",
};

#define FORM "there are lower, rx_ring, tx_ring, ring_size, seed, hold, dir, script, rule"

struct errors { const char *name; char *err; size_t len; };

static bool is_known(const char *key)
{
	for (unsigned int i = 0; i < RTE_DIM(known); i++)
		if (strcmp(key, known[i]) == 0)
			return true;
	return false;
}

static int check_keys(const struct rte_kvargs *kv, const struct errors *e)
{
	for (unsigned int i = 0; i < kv->count; i++) {
		const char *key = kv->pairs[i].key, *value = kv->pairs[i].value;

		if (!is_known(key)) {
			snprintf(e->err, e->len, "%s: unknown argument '%.60s'; " FORM " (a rule in an "
				"argument is written without '=' and ',': 'rule=drop p 0.01')", e->name, key);
			return -EINVAL;
		}
		if (value == NULL || value[0] == '\0') {
			snprintf(e->err, e->len, "%s: argument '%s' needs a value", e->name, key);
			return -EINVAL;
		}
		if (strcmp(key, "rule") != 0 && rte_kvargs_count(kv, key) > 1) {
			snprintf(e->err, e->len, "%s: argument '%s' is there twice", e->name, key);
			return -EINVAL;
		}
	}
	return 0;
}

static int get_number(const struct rte_kvargs *kv, const char *key, uint64_t min, uint64_t max,
		uint64_t *out, const struct errors *e)
{
	const char *v = rte_kvargs_get(kv, key);
	unsigned long long x;
	char *end;

	if (v == NULL)
		return 0;
	errno = 0;
	x = strtoull(v, &end, 0);
	if (errno || *end || v[0] == '-' || x < min || x > max) {
		snprintf(e->err, e->len, "%s: %s '%.40s': a number %llu..%llu expected", e->name, key, v,
			(unsigned long long)min, (unsigned long long)max);
		return -EINVAL;
	}
	*out = x;
	return 0;
}

static int get_text(const struct rte_kvargs *kv, const char *key, char *out, size_t len, const struct errors *e)
{
	const char *v = rte_kvargs_get(kv, key);

	if (v == NULL || (size_t)snprintf(out, len, "%s", v) < len)
		return 0;
	snprintf(e->err, e->len, "%s: %s '%.60s...': at most %zu characters", e->name, key, v, len - 1);
	return -EINVAL;
}

static int get_dir(const struct rte_kvargs *kv, bool dir[PHCA_IMPAIR_DIRS], const struct errors *e)
{
	const char *v = rte_kvargs_get(kv, "dir");

	dir[PHCA_IMPAIR_RX] = v == NULL || strcmp(v, "tx") != 0;
	dir[PHCA_IMPAIR_TX] = v == NULL || strcmp(v, "rx") != 0;
	if (v == NULL || strcmp(v, "rx") == 0 || strcmp(v, "tx") == 0 || strcmp(v, "both") == 0)
		return 0;
	snprintf(e->err, e->len, "%s: dir '%.40s': rx, tx or both expected", e->name, v);
	return -EINVAL;
}

/* The script, then the rules that are arguments, behind `*text`. */
static int read_script(const char *path, char **text, size_t *n, const struct errors *e)
{
	FILE *f = fopen(path, "re");
	size_t got;
	char *p;

	if (f == NULL) {
		snprintf(e->err, e->len, "%s: script %.160s: %s", e->name, path, strerror(errno));
		return -EINVAL;
	}
	p = malloc(PHCA_IMPAIR_TEXT_MAX + 1);
	got = p != NULL ? fread(p, 1, PHCA_IMPAIR_TEXT_MAX + 1, f) : 0;
	fclose(f);
	if (p == NULL || got > PHCA_IMPAIR_TEXT_MAX || memchr(p, '\0', got) != NULL) {
		free(p);
		snprintf(e->err, e->len, "%s: script %.160s: at most %u bytes of text", e->name, path,
			PHCA_IMPAIR_TEXT_MAX);
		return -EINVAL;
	}
	p[got] = '\0';
	*text = p;
	*n = got;
	return 0;
}

static int get_rules(const struct rte_kvargs *kv, struct impair_args *a, const struct errors *e)
{
	const char *script = rte_kvargs_get(kv, "script");
	struct rules *more = malloc(sizeof(*more));
	char *text = NULL, where[200];
	size_t n = 0;
	int rc = more == NULL ? -ENOMEM : 0;

	if (rc == 0 && script != NULL)
		rc = read_script(script, &text, &n, e);
	snprintf(where, sizeof(where), "%s: script %.150s", e->name, script ? script : "");
	if (rc == 0 && text != NULL)
		rc = rules_parse(text, where, a->dir, &a->rules, e->err, e->len);
	snprintf(where, sizeof(where), "%s: rule", e->name);
	for (unsigned int i = 0; rc == 0 && i < kv->count; i++) {
		if (strcmp(kv->pairs[i].key, "rule") != 0)
			continue;
		rc = rules_parse(kv->pairs[i].value, where, a->dir, more, e->err, e->len);
		if (rc == 0)
			rc = rules_append(&a->rules, more, where, e->err, e->len);
	}
	free(text);
	free(more);
	return rc;
}

static int check_lower(const struct impair_args *a, const struct errors *e)
{
	bool port = a->lower[0] != '\0', rx = a->ring[PHCA_IMPAIR_RX][0] != '\0',
		tx = a->ring[PHCA_IMPAIR_TX][0] != '\0';

	if (port != rx && rx == tx)
		return 0;
	snprintf(e->err, e->len, "%s: give it what is below: either lower=DEVICE (an ethdev by name or "
		"number) or both rx_ring=NAME and tx_ring=NAME", e->name);
	return -EINVAL;
}

int args_parse(const char *name, const char *text, struct impair_args *a, char *err, size_t err_len)
{
	const struct errors e = { name, err, err_len };
	uint64_t ring_size = RING_DEFAULT, hold = HOLD_DEFAULT;
	struct rte_kvargs *kv = rte_kvargs_parse(text, NULL);
	int rc;

	memset(a, 0, sizeof(*a));
	a->seed = 1;
	if (kv == NULL) {
		snprintf(err, err_len, "%s: arguments '%.120s' cannot be read: at most %u of them, "
			"key=value,key=value", name, text, RTE_KVARGS_MAX);
		return -EINVAL;
	}
	rc = check_keys(kv, &e);
	if (rc == 0)
		rc = get_text(kv, "lower", a->lower, sizeof(a->lower), &e);
	if (rc == 0)
		rc = get_text(kv, "rx_ring", a->ring[PHCA_IMPAIR_RX], sizeof(a->ring[0]), &e);
	if (rc == 0)
		rc = get_text(kv, "tx_ring", a->ring[PHCA_IMPAIR_TX], sizeof(a->ring[0]), &e);
	if (rc == 0)
		rc = get_number(kv, "ring_size", 1, 1 << 20, &ring_size, &e);
	if (rc == 0)
		rc = get_number(kv, "seed", 0, UINT64_MAX, &a->seed, &e);
	if (rc == 0)
		rc = get_number(kv, "hold", HOLD_MIN, HOLD_MAX, &hold, &e);
	if (rc == 0)
		rc = get_dir(kv, a->dir, &e);
	if (rc == 0)
		rc = check_lower(a, &e);
	if (rc == 0)
		rc = get_rules(kv, a, &e);
	a->ring_size = (uint32_t)ring_size;
	a->hold = (uint32_t)hold;
	rte_kvargs_free(kv);
	return rc;
}
