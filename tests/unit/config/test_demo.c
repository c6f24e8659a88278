/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The built-in configuration against what it names: its filters load with the
 * parameters and map contents that it gives, its offloads and applications
 * exist and their settings fit.
 */
#include <stdio.h>

#include "config_test.h"
#include "phca_drivers.h"

static const struct phca_config_lookup lookup = { .offload = phca_offload_driver_find, .app = phca_app_driver_find };

static struct phca_config *load_default(void)
{
	size_t len;
	const char *text = phca_config_default_text(&len);
	struct phca_config *c = phca_config_parse("built-in", text, len, NULL, &lookup, cfg_err, sizeof(cfg_err));

	if (c == NULL)
		printf("  %s\n", cfg_err);
	return c;
}

/* Whether a filter loads and takes its map contents. */
static bool filter_fits(const struct phca_config_filter *f)
{
	struct phca_filter_spec spec = { .name = f->name, .object = f->object, .program = f->program,
		.params = f->params, .nb_params = f->nb_params };
	char err[PHCA_FILTER_ERR_MAX];
	struct phca_filter *loaded = phca_filter_load(&spec, err, sizeof(err));
	int rc = 0;

	for (unsigned int i = 0; loaded != NULL && rc == 0 && i < f->nb_entries; i++)
		rc = phca_filter_map_set(loaded, f->entries[i].map, f->entries[i].key, f->entries[i].value,
			err, sizeof(err));
	if (loaded == NULL || rc != 0)
		printf("  %s\n", err);
	phca_filter_free(loaded);
	return loaded != NULL && rc == 0;
}

PHCA_TEST(demo, filters_take_their_parameters_and_contents)
{
	struct phca_config *c = load_default();
	unsigned int entries = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->nb_filters, 7);
	for (unsigned int i = 0; i < c->nb_filters; i++) {
		CU_ASSERT(filter_fits(&c->filters[i]));
		entries += c->filters[i].nb_entries;
	}
	CU_ASSERT(entries >= 5);
	phca_config_free(c);
}

/* Numbers, texts and arrays of a map's contents are what filters read. */
PHCA_TEST(demo, forms_of_map_contents)
{
	struct phca_config *c = cfg_text("{\"filters\":[{\"name\":\"f\",\"object\":\"by_source.bpf.o\","
		"\"maps\":{\"sources\":{\"10.0.0.0/8\":1,\"10.1.0.0/16\":\"0x100\",\"2001:db8::/32\":\"256\"}}}]}");
	struct phca_config *bad = cfg_text("{\"filters\":[{\"name\":\"f\",\"object\":\"by_source.bpf.o\","
		"\"maps\":{\"sources\":{\"10.0.0.0/8\":[1]}}}]}");

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bad);
	CU_ASSERT(filter_fits(&c->filters[0]));
	CU_ASSERT_FALSE(filter_fits(&bad->filters[0])); /* the value is no array */
	phca_config_free(c);
	phca_config_free(bad);
}

PHCA_TEST(demo, numbers_that_are_documented)
{
	static const struct { const char *name; uint32_t qpn; bool proxy; } want[] = {
		{ "ud-plain", 0x11, false }, { "ud-echo", 0x12, false }, { "ud-opcode", 0x13, true },
		{ "ud-source", 0x14, true }, { "uc-plain", 0x21, false }, { "uc-size", 0x22, true },
		{ "uc-key", 0x23, true }, { "uc-mixed", 0x24, true }, { "uc-all", 0x25, true },
		{ "uc-none", 0x26, true },
	};
	struct phca_config *c = load_default();

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL_FATAL(c->nb_qps, sizeof(want) / sizeof(want[0]));
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		bool proxy = false;

		for (unsigned int p = 0; p < c->nb_proxy_qps; p++)
			proxy |= c->proxy_qps[p].qps[0] == (int)i;
		CU_ASSERT_STRING_EQUAL(c->qps[i].name, want[i].name);
		CU_ASSERT_EQUAL(c->qps[i].init.qpn, want[i].qpn);
		CU_ASSERT_EQUAL(proxy, want[i].proxy);
	}
	phca_config_free(c);
}
