/* SPDX-License-Identifier: BSD-3-Clause */
/* Drivers' settings: defaults, ranges, and errors that say what is wrong. */
#include <errno.h>
#include <string.h>

#include "phca_proxy.h"
#include "phca_test.h"

static const struct phca_setting table[] = {
	{ "delay_us", PHCA_SETTING_UINT, 2, 10, 5, NULL, "a time, us" },
	{ "verbose", PHCA_SETTING_BOOL, 0, 1, 1, NULL, "a switch" },
	{ "path", PHCA_SETTING_STRING, 0, 0, 0, "here", "a name" },
	{ "must", PHCA_SETTING_STRING, 0, 0, 0, NULL, "a name that has no default" },
	{ .name = NULL },
};
static const struct phca_setting_arg must = { "must", PHCA_SETTING_STRING, 0, "x" };
static struct phca_setting_value v[4];
static char err[256];

static int resolve(struct phca_setting_arg a)
{
	struct phca_setting_arg args[2] = { must, a };

	err[0] = '\0';
	return phca_settings_resolve(table, args, 2, v, err, sizeof(err));
}

PHCA_TEST(settings, defaults_are_filled_in)
{
	CU_ASSERT_EQUAL(phca_settings_resolve(table, &must, 1, v, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(v[0].u, 5);
	CU_ASSERT_EQUAL(v[1].u, 1);
	CU_ASSERT_STRING_EQUAL(v[2].s, "here");
	CU_ASSERT_STRING_EQUAL(v[3].s, "x");
}

PHCA_TEST(settings, values_are_taken_up_to_their_limits)
{
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "delay_us", PHCA_SETTING_UINT, 2, NULL }), 0);
	CU_ASSERT_EQUAL(v[0].u, 2);
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "delay_us", PHCA_SETTING_UINT, 10, NULL }), 0);
	CU_ASSERT_EQUAL(v[0].u, 10);
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "verbose", PHCA_SETTING_BOOL, 0, NULL }), 0);
	CU_ASSERT_EQUAL(v[1].u, 0);
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "path", PHCA_SETTING_STRING, 0, "there" }), 0);
	CU_ASSERT_STRING_EQUAL(v[2].s, "there");
}

PHCA_TEST(settings, out_of_range_names_value_and_range)
{
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "delay_us", PHCA_SETTING_UINT, 11, NULL }), -ERANGE);
	CU_ASSERT_STRING_EQUAL(err, "setting delay_us: 11 is not within 2..10");
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "delay_us", PHCA_SETTING_UINT, 1, NULL }), -ERANGE);
}

PHCA_TEST(settings, unknown_name_lists_the_known_ones)
{
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "dealy_us", PHCA_SETTING_UINT, 3, NULL }), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err, "setting dealy_us: unknown; the driver has: delay_us, verbose, path, must");
	err[0] = '\0';
	CU_ASSERT_EQUAL(phca_settings_resolve(NULL, &must, 1, v, err, sizeof(err)), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err, "setting must: unknown; the driver has: none");
	CU_ASSERT_EQUAL(phca_settings_resolve(NULL, NULL, 0, v, err, sizeof(err)), 0);
}

PHCA_TEST(settings, wrong_kind_says_the_right_one)
{
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "delay_us", PHCA_SETTING_STRING, 0, "5" }), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err, "setting delay_us: must be a number");
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "verbose", PHCA_SETTING_UINT, 1, NULL }), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err, "setting verbose: must be true or false");
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "path", PHCA_SETTING_BOOL, 1, NULL }), -EINVAL);
	CU_ASSERT_EQUAL(resolve((struct phca_setting_arg){ "path", PHCA_SETTING_STRING, 0, NULL }), -EINVAL);
}

PHCA_TEST(settings, missing_value_without_default)
{
	CU_ASSERT_EQUAL(phca_settings_resolve(table, NULL, 0, v, err, sizeof(err)), -ENODATA);
	CU_ASSERT_STRING_EQUAL(err, "setting must: must be given (a name that has no default)");
}
