/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Drivers and their settings, checked with tables as the program gives them.
 */
#include "config_test.h"

static const struct phca_setting settings[] = {
	{ "delay_max_us", PHCA_SETTING_UINT, 1, 1000, 100, NULL, "longest time, us" },
	{ "cancel", PHCA_SETTING_BOOL, 0, 1, 1, NULL, "whether it can be cancelled" },
	{ "file", PHCA_SETTING_STRING, 0, 0, 0, "", "a file" },
	{ .name = NULL }
};
static const struct phca_setting needed[] = {
	{ "program", PHCA_SETTING_STRING, 0, 0, 0, NULL, "what to run" },
	{ .name = NULL }
};
static const struct phca_offload_ops delay_ops = { .name = "delay", .settings = settings },
	null_ops = { .name = "null" }, bpf_ops = { .name = "bpf", .settings = needed };
static const struct phca_filter_kind kind = { .noun = "offload" };
static const struct phca_offload_ops run_ops = { .name = "run", .program = &kind };
static const struct phca_app_ops sink_ops = { .name = "sink", .settings = settings };
static const char *const offload_names[] = { "null", "delay", "bpf", NULL }, *const app_names[] = { "sink", NULL };

static const struct phca_offload_ops *find_offload(const char *name)
{
	return strcmp(name, "delay") == 0 ? &delay_ops : strcmp(name, "null") == 0 ? &null_ops :
		strcmp(name, "bpf") == 0 ? &bpf_ops : strcmp(name, "run") == 0 ? &run_ops : NULL;
}

static const struct phca_app_ops *find_app(const char *name)
{
	return strcmp(name, "sink") == 0 ? &sink_ops : NULL;
}

static const struct phca_config_lookup lookup = { find_offload, find_app, offload_names, app_names };
static const struct phca_config_lookup unnamed = { find_offload, find_app, NULL, NULL };

#define OFFLOAD(driver, set) "{\"offloads\":[{\"name\":\"o\",\"driver\":\"" driver "\",\n\"settings\":{" set "}}]}"
#define REFUSED(text, want) CU_ASSERT(cfg_refused_on(text, want, NULL, &lookup))

PHCA_TEST(drivers, settings_are_kept_as_given)
{
	struct phca_config *c = cfg_text_on(OFFLOAD("delay",
		"\"delay_max_us\":1e3,\"cancel\":false,\"file\":\"a\\nb\""), NULL, &lookup);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL_FATAL(c->offloads[0].nb_args, 3);
	CU_ASSERT_STRING_EQUAL(c->offloads[0].args[0].name, "delay_max_us");
	CU_ASSERT_EQUAL(c->offloads[0].args[0].kind, PHCA_SETTING_UINT);
	CU_ASSERT_EQUAL(c->offloads[0].args[0].u, 1000);
	CU_ASSERT_EQUAL(c->offloads[0].args[1].kind, PHCA_SETTING_BOOL);
	CU_ASSERT_EQUAL(c->offloads[0].args[1].u, 0);
	CU_ASSERT_EQUAL(c->offloads[0].args[2].kind, PHCA_SETTING_STRING);
	CU_ASSERT_STRING_EQUAL(c->offloads[0].args[2].s, "a\nb");
	phca_config_free(c);
}

static int no_peer(struct phca_offload *o, struct phca_pqp *q, const char *name)
{
	(void)o;
	(void)q;
	(void)name;
	return -1;
}

static const struct phca_offload_ops cast_ops = { .name = "cast", .peer = no_peer };

static const struct phca_offload_ops *find_cast(const char *name)
{
	return strcmp(name, "cast") == 0 ? &cast_ops : find_offload(name);
}

#define PEER(o) "{" PORT ",\"qps\":[{\"name\":\"a\",\"type\":\"RC\",\"peer\":\"192.0.2.2\"," \
	"\"dest_qpn\":5,\n\"offload\":\"" o "\"}]"
#define OWNERS "\"offloads\":[{\"name\":\"c\",\"driver\":\"cast\"},{\"name\":\"n\",\"driver\":\"null\"}]"

PHCA_TEST(drivers, only_some_have_queue_pairs_of_their_own)
{
	const struct phca_config_lookup casts = { find_cast, find_app, NULL, NULL };
	struct phca_config *base, *c = cfg_text_on(PEER("c") "," OWNERS "}", NULL, &casts);
	char *text;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT(c->qps[0].offload == 0 && c->qps[0].app == -1);
	text = cfg_printed(c);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"offload\": \"c\""));
	CU_ASSERT_PTR_NULL(strstr(text, "\"app\": \""));
	free(text);
	phca_config_free(c);
	CU_ASSERT(cfg_refused_on(PEER("n") "," OWNERS "}", "2: qps[0].offload: driver \"null\" of offload \"n\" has "
		"no use for QPs of its own; give the QP to an app", NULL, &casts));
	/* an addition to what runs */
	base = cfg_text_on("{" OWNERS "}", NULL, &casts);
	CU_ASSERT_PTR_NOT_NULL_FATAL(base);
	CU_ASSERT(cfg_refused_on(PEER("n") "}", "2: qps[0].offload: driver \"null\" of offload \"n\" has no use "
		"for QPs of its own; give the QP to an app", base, &casts));
	c = cfg_text_on(PEER("c") "}", base, &casts);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->qps[0].offload, 0);
	phca_config_free(c);
	phca_config_free(base);
}

#define RUN(driver, rest) "{\"offloads\":[{\"name\":\"o\",\"driver\":\"" driver "\"\n" rest "}]}"

PHCA_TEST(drivers, programs)
{
	struct phca_config *c = cfg_text_on(RUN("run", ",\"program\":{\"object\":\"x.o\",\"function\":\"f\","
		"\"params\":{\"n\":-3},\"maps\":{\"m\":{\"1\":\"{a=2}\"}}}"), NULL, &lookup);
	const struct phca_config_filter *p;
	char *text;

	if (c == NULL)
		printf("  %s\n", cfg_err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_TRUE(c->offloads[0].has_program);
	p = &c->offloads[0].program;
	CU_ASSERT_STRING_EQUAL(p->name, "o");
	CU_ASSERT_EQUAL(p->object[0], '/');
	CU_ASSERT_STRING_EQUAL(p->program, "f");
	CU_ASSERT_EQUAL_FATAL(p->nb_params, 1);
	CU_ASSERT_EQUAL(p->params[0].i, -3);
	CU_ASSERT_EQUAL_FATAL(p->nb_entries, 1);
	CU_ASSERT_STRING_EQUAL(p->entries[0].value, "{a=2}");
	text = cfg_printed(c);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"function\": \"f\""));
	free(text);
	phca_config_free(c);
	c = cfg_text_on(RUN("null", ""), NULL, &lookup);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_FALSE(c->offloads[0].has_program);
	text = cfg_printed(c);
	CU_ASSERT_PTR_NULL(strstr(text, "program"));
	free(text);
	phca_config_free(c);
	REFUSED(RUN("run", ""), "1: offloads[0]: offload lacks key \"program\" (the program that driver \"run\" "
		"runs); add it");
	REFUSED(RUN("null", ",\"program\":{\"object\":\"x.o\"}"), "2: offloads[0].program: driver \"null\" runs "
		"no program; remove it");
	REFUSED(RUN("run", ",\"program\":{}"), "2: offloads[0].program: program lacks key \"object\" (compiled "
		"program: a path from the folder of this file, or a file of the filter folders); add it");
}

PHCA_TEST(drivers, unknown)
{
	REFUSED(OFFLOAD("dealy", ""),
		"1: offloads[0].driver: there is no offload driver \"dealy\"; did you mean \"delay\"?");
	REFUSED(OFFLOAD("reduce", ""), "1: offloads[0].driver: there is no offload driver \"reduce\"; "
		"give one that this program has: null, delay, bpf");
	REFUSED("{\"apps\":[{\"name\":\"a\",\n\"driver\":\"sing\"}]}",
		"2: apps[0].driver: there is no application driver \"sing\"; did you mean \"sink\"?");
	CU_ASSERT(cfg_refused_on("{\"apps\":[{\"name\":\"a\",\n\"driver\":\"sing\"}]}",
		"2: apps[0].driver: there is no application driver \"sing\"; give one that this program has",
		NULL, &unnamed));
}

PHCA_TEST(drivers, settings_that_do_not_fit)
{
	REFUSED(OFFLOAD("delay", "\"delay_min_us\":1"), "2: offloads[0].settings.delay_min_us: "
		"driver \"delay\" has no setting \"delay_min_us\"; did you mean \"delay_max_us\"?");
	REFUSED(OFFLOAD("null", "\"x\":1"),
		"2: offloads[0].settings.x: driver \"null\" has no setting \"x\"; remove it");
	REFUSED(OFFLOAD("delay", "\"delay_max_us\":\"1\""),
		"2: offloads[0].settings.delay_max_us: is a string; give a number: longest time, us");
	REFUSED(OFFLOAD("delay", "\"cancel\":1"),
		"2: offloads[0].settings.cancel: is a number; give true or false: whether it can be cancelled");
	REFUSED(OFFLOAD("delay", "\"file\":true"),
		"2: offloads[0].settings.file: is true or false; give a string: a file");
	REFUSED(OFFLOAD("delay", "\"delay_max_us\":1001"),
		"2: offloads[0].settings.delay_max_us: 1001 is out of range; give 1..1000: longest time, us");
	REFUSED(OFFLOAD("bpf", ""),
		"2: offloads[0].settings: driver \"bpf\" needs setting \"program\" (what to run); add it");
	REFUSED("{\"apps\":[{\"name\":\"a\",\"driver\":\"sink\",\"settings\":{\n\"delay_max_us\":0}}]}",
		"2: apps[0].settings.delay_max_us: 0 is out of range; give 1..1000: longest time, us");
}
