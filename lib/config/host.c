/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may connect to the socket for applications: permissions as chmod(1) writes
 * them, a group of the machine by name or number. A name is looked up once, when the
 * configuration is read, as users are.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"

#define GID_LAST 4294967294 /* the last one means no group */
#define MODE_DEFAULT 0666u
#define MODE_PATTERN "^0[0-7]{1,3}$"

static int mode_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_host *h = obj;
	const char *s = json_string_value(v);
	char word[32];

	(void)k;
	if (s == NULL)
		return cfg_fail(l, "is %s; give a string of octal digits, \"0660\"", cfg_type_str(v));
	if (s[0] != '0' || strlen(s) < 2 || strlen(s) > 4 || strspn(s, "01234567") != strlen(s))
		return cfg_fail(l, "\"%s\" are no permissions; give 0 and 1 to 3 octal digits, \"0660\"",
			cfg_clean(word, sizeof(word), s));
	h->mode = (uint32_t)strtoul(s, NULL, 8);
	return 0;
}

static int mode_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_host *h = obj;
	char text[8];

	(void)c;
	(void)k;
	snprintf(text, sizeof(text), "0%03o", h->mode & 0777);
	*out = json_string(text);
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *mode_schema(const struct key *k)
{
	(void)k;
	return cfg_schema_text(MODE_PATTERN);
}

const struct kind kind_mode = { mode_parse, mode_print, mode_schema, "octal digits" };

/* @return 0; -ENOENT; -EIO it cannot be known now */
static int lookup(const char *name, uint32_t *gid)
{
	char buf[16384];
	struct group gr, *found = NULL;
	int rc = getgrnam_r(name, &gr, buf, sizeof(buf), &found);

	if (found == NULL)
		return rc == 0 || rc == ENOENT || rc == ESRCH ? -ENOENT : -EIO;
	*gid = found->gr_gid;
	return 0;
}

static int group_name(struct loader *l, struct phca_config_host *h, const char *name)
{
	char word[48];
	int rc;

	if (!cfg_text_fits(CFG_PAT_NAME, CFG_NAME_MAX - 1, name))
		return cfg_fail(l, "\"%s\" is no name of a group; give a name, or the number",
			cfg_clean(word, sizeof(word), name));
	h->group = cfg_strdup(l, name);
	if (h->group == NULL)
		return cfg_fail_mem(l);
	rc = lookup(name, &h->gid);
	if (rc != 0)
		return cfg_fail(l, "there is no group \"%s\" on this machine%s; mend the name, or give the number",
			name, rc == -EIO ? ", or it cannot be looked up now" : "");
	return 0;
}

static int group_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_host *h = obj;
	int64_t i;

	(void)k;
	h->has_group = true;
	if (json_is_string(v))
		return group_name(l, h, json_string_value(v));
	if (!cfg_integer(v, &i))
		return cfg_fail(l, "is %s; give the name of a group, or the number", cfg_type_str(v));
	if (i < 0 || i > GID_LAST)
		return cfg_fail(l, "%" JSON_INTEGER_FORMAT " is out of range; give 0..%lld", (json_int_t)i,
			(long long)GID_LAST);
	h->gid = (uint32_t)i;
	return 0;
}

static int group_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_host *h = obj;

	(void)c;
	(void)k;
	if (!h->has_group)
		return 0;
	*out = h->group != NULL ? json_string(h->group) : json_integer(h->gid);
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *group_schema(const struct key *k)
{
	(void)k;
	return json_pack("{s:[{s:s, s:I, s:I}, o]}", "anyOf", "type", "integer", "minimum", (json_int_t)0,
		"maximum", (json_int_t)GID_LAST, cfg_schema_text(CFG_PAT_NAME));
}

const struct kind kind_group = { group_parse, group_print, group_schema, "number or name" };

/* Without the section there is no socket. */
int cfg_host_finish(struct loader *l, void *obj, const json_t *v)
{
	struct phca_config_host *h = obj;
	struct phca_host_limits def;

	(void)l;
	phca_host_limits_default(&def);
	if (h->limits.mem_bytes == 0) /* not given; it depends on the machine */
		h->limits.mem_bytes = def.mem_bytes;
	h->given = v != NULL;
	if (v == NULL || json_object_get(v, "mode") == NULL)
		h->mode = MODE_DEFAULT;
	return 0;
}
