/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parameters of every type: what fits is set and seen by the program, what does
 * not is an error that names the parameter and what is allowed.
 */
#include <limits.h>

#include "filter_test.h"

static struct phca_filter *load(const struct phca_filter_param *p, unsigned int nb)
{
	const struct phca_filter_spec spec = {
		.name = "p", .object = ft_path("PHCA_BAD_FILTERS", "params"), .params = p, .nb_params = nb,
	};

	phca_filter_env_set(&ft_env);
	rte_errno = 0;
	return phca_filter_load(&spec, ft_err, sizeof(ft_err));
}

/* One global that is looked for. */
struct want {
	const char *name;
	char value[128];
	bool is_param;
	unsigned int seen;
};

static int on_global(void *arg, const char *name, const char *value, bool is_param)
{
	struct want *w = arg;

	if (strcmp(name, w->name) == 0) {
		snprintf(w->value, sizeof(w->value), "%s", value);
		w->is_param = is_param;
		w->seen++;
	}
	return 0;
}

static const char *shown(const struct phca_filter *f, const char *name)
{
	static struct want w;

	w = (struct want){ .name = name };
	CU_ASSERT_EQUAL(phca_filter_global_each(f, on_global, &w), 0);
	CU_ASSERT_EQUAL(w.seen, 1);
	return w.value;
}

/* Setting @p p works and shows as @p text. */
static void takes(struct phca_filter_param p, const char *text)
{
	struct phca_filter *f = load(&p, 1);

	if (f == NULL || strcmp(shown(f, p.name), text) != 0)
		fprintf(stderr, "%s: want %s, got %s\n", p.name, text, f == NULL ? ft_err : shown(f, p.name));
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_STRING_EQUAL(shown(f, p.name), text);
	phca_filter_free(f);
}

/* Setting @p p is refused with a text that holds the name and @p text. */
static void refuses(struct phca_filter_param p, int err, const char *text)
{
	struct phca_filter *f = load(&p, 1);
	char want[128];

	snprintf(want, sizeof(want), "filter p: program params: parameter %s: ", p.name);
	CU_ASSERT_PTR_NULL(f);
	phca_filter_free(f);
	CU_ASSERT_EQUAL(rte_errno, err);
	if (strstr(ft_err, want) == NULL || strstr(ft_err, text) == NULL)
		fprintf(stderr, "%s: want %s, got %s\n", p.name, text, ft_err);
	CU_ASSERT(strstr(ft_err, want) != NULL);
	CU_ASSERT(strstr(ft_err, text) != NULL);
}

PHCA_TEST(params, defaults)
{
	static const struct { const char *name, *value; bool is_param; } t[] = {
		{ "u8", "1", true }, { "s8", "-1", true }, { "u16", "2", true }, { "s16", "-2", true },
		{ "u32", "3", true }, { "s32", "-3", true }, { "u64", "4", true }, { "s64", "-4", true },
		{ "flag", "1", true }, { "colour", "1", true }, { "text", "abc", true },
		{ "addr4", "10.0.0.1", true }, { "addr6", "::", true }, { "raw", "01:02:03:04:05:06", true },
		{ "list", "[7,8,9]", true }, { "nested", "{a=1,in={x=2,y=-3},ip=4.5.6.7,c=2}", true },
		{ "constant", "5", false }, { "variable", "6", false }, { "result", "[0,0,0,0]", false },
	};
	struct phca_filter *f = load(NULL, 0);
	struct want w;
	unsigned int i;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_STRING_EQUAL(phca_filter_name(f), "p");
	CU_ASSERT_STRING_EQUAL(phca_filter_object(f), ft_path("PHCA_BAD_FILTERS", "params"));
	CU_ASSERT(phca_filter_nb_insns(f) > 30);
	for (i = 0; i < RTE_DIM(t); i++) {
		w = (struct want){ .name = t[i].name };
		CU_ASSERT_EQUAL(phca_filter_global_each(f, on_global, &w), 0);
		CU_ASSERT_EQUAL(w.seen, 1);
		CU_ASSERT_STRING_EQUAL(w.value, t[i].value);
		CU_ASSERT_EQUAL(w.is_param, t[i].is_param);
	}
	phca_filter_free(f);
}

PHCA_TEST(params, integers_take_their_range)
{
	takes((struct phca_filter_param)FT_UINT("u8", 255), "255");
	refuses((struct phca_filter_param)FT_UINT("u8", 256), EINVAL,
		"256 is out of range, unsigned char takes 0..255");
	refuses((struct phca_filter_param)FT_INT("u8", -1), EINVAL, "-1 is out of range, unsigned char takes 0..255");
	takes((struct phca_filter_param)FT_INT("s8", -128), "-128");
	takes((struct phca_filter_param)FT_INT("s8", 127), "127");
	refuses((struct phca_filter_param)FT_INT("s8", 128), EINVAL, "signed char takes -128..127");
	refuses((struct phca_filter_param)FT_INT("s8", -129), EINVAL, "takes -128..127");
	takes((struct phca_filter_param)FT_INT("u16", 65535), "65535");
	refuses((struct phca_filter_param)FT_INT("u16", 65536), EINVAL, "takes 0..65535");
	takes((struct phca_filter_param)FT_INT("s16", -32768), "-32768");
	refuses((struct phca_filter_param)FT_INT("s16", 32768), EINVAL, "takes -32768..32767");
	takes((struct phca_filter_param)FT_INT("u32", 4294967295), "4294967295");
	refuses((struct phca_filter_param)FT_INT("u32", 4294967296), EINVAL, "unsigned int takes 0..4294967295");
	takes((struct phca_filter_param)FT_INT("s32", INT_MIN), "-2147483648");
	refuses((struct phca_filter_param)FT_INT("s32", 2147483648), EINVAL, "takes -2147483648..2147483647");
	takes((struct phca_filter_param)FT_UINT("u64", UINT64_MAX), "18446744073709551615");
	refuses((struct phca_filter_param)FT_INT("u64", -1), EINVAL, "takes 0..18446744073709551615");
	takes((struct phca_filter_param)FT_INT("s64", INT64_MIN), "-9223372036854775808");
	refuses((struct phca_filter_param)FT_UINT("s64", UINT64_C(1) << 63), EINVAL,
		"takes -9223372036854775808..9223372036854775807");
}

PHCA_TEST(params, other_types)
{
	takes((struct phca_filter_param)FT_BOOL("flag", 0), "0");
	takes((struct phca_filter_param)FT_INT("flag", 0), "0");
	refuses((struct phca_filter_param)FT_INT("flag", 2), EINVAL, "2 is out of range, _Bool takes 0..1");
	refuses((struct phca_filter_param)FT_BOOL("u32", 1), EINVAL, "true or false was given, it is a unsigned int");
	takes((struct phca_filter_param)FT_STR("colour", "BLUE"), "40");
	takes((struct phca_filter_param)FT_INT("colour", 2), "2");
	refuses((struct phca_filter_param)FT_STR("colour", "PINK"), EINVAL, "\"PINK\" is not a number (enum colour)");
	takes((struct phca_filter_param)FT_STR("text", "12345678"), "12345678");
	refuses((struct phca_filter_param)FT_STR("text", "123456789"), EINVAL, "9 characters, char[8] takes 0..8");
	refuses((struct phca_filter_param)FT_INT("text", 5), EINVAL, "a number was given, the global is no integer");
	refuses((struct phca_filter_param)FT_STR("u32", "5"), EINVAL, "a string was given, it is a unsigned int");
	takes((struct phca_filter_param)FT_STR("addr4", "192.168.1.2"), "192.168.1.2");
	refuses((struct phca_filter_param)FT_STR("addr4", "192.168.1"), EINVAL, "nor an IPv4 address");
	takes((struct phca_filter_param)FT_STR("addr6", "2001:db8::7"), "2001:db8::7");
	takes((struct phca_filter_param)FT_STR("addr6", "10.0.0.9"), "::ffff:10.0.0.9");
	takes((struct phca_filter_param)FT_STR("raw", "de:ad:BE:EF:00:01"), "de:ad:be:ef:00:01");
	refuses((struct phca_filter_param)FT_STR("raw", "de:ad"), EINVAL, "is not 6 bytes");
	takes((struct phca_filter_param)FT_STR("list", "[1, 0x10]"), "[1,16,0]");
	refuses((struct phca_filter_param)FT_STR("list", "[1,2,3,4]"), EINVAL, "more than 3 elements");
	refuses((struct phca_filter_param)FT_STR("list", "[1,70000]"), EINVAL, "70000 out of range");
	takes((struct phca_filter_param)FT_STR("nested", "{c=BLUE, in={y=-7}, ip=1.2.3.4}"),
		"{a=0,in={x=0,y=-7},ip=1.2.3.4,c=40}");
	refuses((struct phca_filter_param)FT_STR("nested", "{z=1}"), EINVAL, "no member \"z\"");
	refuses((struct phca_filter_param)FT_STR("nested", "{a=1"), EINVAL, "expected , or }");
	refuses((struct phca_filter_param)FT_STR("nested", "{a=1} x"), EINVAL, "behind the value");
}

PHCA_TEST(params, names)
{
	refuses((struct phca_filter_param)FT_INT("u9", 1), ENOENT, "no such parameter; there are: ");
	CU_ASSERT(strstr(ft_err, "s64") != NULL);
	refuses((struct phca_filter_param)FT_INT("variable", 1), EINVAL, "no parameter; declare it const volatile");
	refuses((struct phca_filter_param)FT_INT("constant", 1), EINVAL, "no parameter; declare it const volatile");
}

PHCA_TEST(params, the_program_sees_them)
{
	const struct phca_filter_param p[] = { FT_INT("u8", 10), FT_INT("s64", -100), FT_BOOL("flag", 0) };
	const struct phca_filter_ctx ctx = { .qpn = 1 };
	struct phca_filter *f = load(p, 3);

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), PHCA_OFFLOAD);
	/* 10-1+2-2+3-3+4-100; 0+1+'a'+10+0+1+7; 1-3+5+6 */
	CU_ASSERT_STRING_EQUAL(shown(f, "result"), "[18446744073709551529,116,9,0]");
	phca_filter_free(f);
}
