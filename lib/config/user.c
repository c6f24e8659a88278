/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user of the machine, by name or number. A name is looked up once, when the
 * configuration is read: one that is not there is an error of the configuration, and
 * nothing that may wait for a directory service runs later.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"

#define UID_LAST 4294967294 /* the last one means nobody in particular */

/* @return 0; -ENOENT; -EIO it cannot be known now */
static int lookup(const char *name, uint32_t *uid)
{
	char buf[16384];
	struct passwd pw, *found = NULL;
	int rc = getpwnam_r(name, &pw, buf, sizeof(buf), &found);

	if (found == NULL)
		return rc == 0 || rc == ENOENT || rc == ESRCH ? -ENOENT : -EIO;
	*uid = found->pw_uid;
	return 0;
}

/* Digits only. */
static bool number(const char *s, uint64_t *n)
{
	if (strspn(s, "0123456789") != strlen(s) || strlen(s) > 10)
		return false;
	*n = strtoull(s, NULL, 10);
	return true;
}

static int user_name(struct loader *l, struct phca_config_match *m, const char *name)
{
	uint64_t n;
	int rc;

	if (!cfg_text_fits(CFG_PAT_NAME, CFG_NAME_MAX - 1, name)) {
		char word[48];

		return cfg_fail(l, "\"%s\" is no name of a user; give a name, or the number",
			cfg_clean(word, sizeof(word), name));
	}
	m->user = cfg_strdup(l, name);
	if (m->user == NULL)
		return cfg_fail_mem(l);
	rc = lookup(name, &m->uid);
	if (rc == -ENOENT && number(name, &n) && n <= UID_LAST) {
		m->uid = (uint32_t)n;
		rc = 0;
	}
	if (rc != 0)
		return cfg_fail(l, "there is no user \"%s\" on this machine%s; mend the name, or give the number",
			name, rc == -EIO ? ", or it cannot be looked up now" : "");
	return 0;
}

static int user_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_match *m = obj;
	int64_t i;

	(void)k;
	m->has_user = true;
	if (json_is_string(v))
		return user_name(l, m, json_string_value(v));
	if (!cfg_integer(v, &i))
		return cfg_fail(l, "is %s; give the name of a user, or the number", cfg_type_str(v));
	if (i < 0 || i > UID_LAST)
		return cfg_fail(l, "%" JSON_INTEGER_FORMAT " is out of range; give 0..%lld", (json_int_t)i,
			(long long)UID_LAST);
	m->uid = (uint32_t)i;
	return 0;
}

static int user_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_match *m = obj;

	(void)c;
	(void)k;
	if (!m->has_user)
		return 0;
	*out = m->user != NULL ? json_string(m->user) : json_integer(m->uid);
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *user_schema(const struct key *k)
{
	(void)k;
	return json_pack("{s:[{s:s, s:I, s:I}, o]}", "anyOf", "type", "integer", "minimum", (json_int_t)0,
		"maximum", (json_int_t)UID_LAST, cfg_schema_text(CFG_PAT_NAME));
}

const struct kind kind_user = { user_parse, user_print, user_schema, "number or name" };
