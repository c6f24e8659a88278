/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Settings of drivers: named values matched against a driver's table.
 *
 * Invariant: after success every row of the table has a value of its kind and
 * within its range; every error text names the setting and what it accepts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "phca_proxy.h"

static const char *const kind_str[] = {
	[PHCA_SETTING_UINT] = "a number",
	[PHCA_SETTING_BOOL] = "true or false",
	[PHCA_SETTING_STRING] = "a string",
};

static const struct phca_setting *row_find(const struct phca_setting *table, const char *name)
{
	for (; table != NULL && table->name != NULL; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

/* "a, b, c" of the table's names. */
static void names_list(const struct phca_setting *table, char *buf, size_t len)
{
	size_t at = 0;

	buf[0] = '\0';
	for (; table != NULL && table->name != NULL && at < len; table++) {
		int n = snprintf(buf + at, len - at, "%s%s", at > 0 ? ", " : "", table->name);

		at += n > 0 ? (size_t)n : 0;
	}
}

static int value_set(const struct phca_setting *row, const struct phca_setting_arg *a,
		struct phca_setting_value *out, char *err, size_t err_len)
{
	if (a->kind != row->kind) {
		snprintf(err, err_len, "setting %s: must be %s", row->name, kind_str[row->kind]);
		return -EINVAL;
	}
	if (row->kind == PHCA_SETTING_STRING) {
		if (a->s == NULL) {
			snprintf(err, err_len, "setting %s: must be a string", row->name);
			return -EINVAL;
		}
		out->s = a->s;
		return 0;
	}
	if (row->kind == PHCA_SETTING_UINT && (a->u < row->min || a->u > row->max)) {
		snprintf(err, err_len, "setting %s: %" PRIu64 " is not within %" PRIu64 "..%" PRIu64,
			row->name, a->u, row->min, row->max);
		return -ERANGE;
	}
	out->u = row->kind == PHCA_SETTING_BOOL ? a->u != 0 : a->u;
	return 0;
}

int phca_settings_resolve(const struct phca_setting *table, const struct phca_setting_arg *args,
		unsigned int nb_args, struct phca_setting_value *out, char *err, size_t err_len)
{
	char names[256];
	int rc;

	for (const struct phca_setting *row = table; row != NULL && row->name != NULL; row++)
		out[row - table] = (struct phca_setting_value){ .u = row->def, .s = row->def_str };
	for (unsigned int i = 0; i < nb_args; i++) {
		const struct phca_setting *row = row_find(table, args[i].name);

		if (row == NULL) {
			names_list(table, names, sizeof(names));
			snprintf(err, err_len, "setting %s: unknown; the driver has: %s",
				args[i].name, names[0] != '\0' ? names : "none");
			return -ENOENT;
		}
		rc = value_set(row, &args[i], &out[row - table], err, err_len);
		if (rc != 0)
			return rc;
	}
	for (const struct phca_setting *row = table; row != NULL && row->name != NULL; row++) {
		if (row->kind == PHCA_SETTING_STRING && out[row - table].s == NULL) {
			snprintf(err, err_len, "setting %s: must be given (%s)", row->name, row->help);
			return -ENODATA;
		}
	}
	return 0;
}
