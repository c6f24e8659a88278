/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Maps through their text forms: limits, errors, what is shown can be set again.
 */
#include "filter_test.h"

static struct phca_filter *load(void)
{
	const struct phca_filter_spec spec = {
		.name = "m", .object = ft_path("PHCA_BAD_FILTERS", "params"),
	};

	phca_filter_env_set(&ft_env);
	return phca_filter_load(&spec, ft_err, sizeof(ft_err));
}

static int set(struct phca_filter *f, const char *map, const char *key, const char *value)
{
	ft_err[0] = '\0';
	return phca_filter_map_set(f, map, key, value, ft_err, sizeof(ft_err));
}

static int del(struct phca_filter *f, const char *map, const char *key)
{
	ft_err[0] = '\0';
	return phca_filter_map_del(f, map, key, ft_err, sizeof(ft_err));
}

/* Entries as "key value" lines, sorted by arrival. */
struct list {
	char text[1024];
	unsigned int nb;
	unsigned int stop_at; /* 0: do not stop */
};

static int on_entry(void *arg, const char *key, const char *value)
{
	struct list *l = arg;
	size_t used = strlen(l->text);

	snprintf(l->text + used, sizeof(l->text) - used, "%s %s\n", key, value);
	l->nb++;
	return l->nb == l->stop_at ? -EINTR : 0;
}

static uint32_t entries(const struct phca_filter *f, const char *map)
{
	struct phca_map_info info;

	CU_ASSERT_EQUAL(phca_filter_map_info(f, (unsigned int)phca_filter_map_find(f, map), &info), 0);
	return info.nb_entries;
}

PHCA_TEST(maps, info)
{
	struct phca_filter *f = load();
	struct phca_map_info info;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(phca_filter_nb_maps(f), 3);
	CU_ASSERT_EQUAL(phca_filter_map_info(f, 3, &info), -ENOENT);
	CU_ASSERT_EQUAL(phca_filter_map_find(f, "nothing"), -ENOENT);
	CU_ASSERT_EQUAL(phca_filter_map_info(f, (unsigned int)phca_filter_map_find(f, "structs"), &info), 0);
	CU_ASSERT_STRING_EQUAL(info.name, "structs");
	CU_ASSERT_EQUAL(info.type, PHCA_MAP_HASH);
	CU_ASSERT_EQUAL(info.key_size, 16);
	CU_ASSERT_EQUAL(info.value_size, 16);
	CU_ASSERT_EQUAL(info.max_entries, 4);
	CU_ASSERT_EQUAL(info.nb_entries, 0);
	CU_ASSERT_EQUAL(phca_filter_map_info(f, (unsigned int)phca_filter_map_find(f, "nets"), &info), 0);
	CU_ASSERT_EQUAL(info.type, PHCA_MAP_LPM);
	CU_ASSERT_EQUAL(entries(f, "numbers"), 3);
	phca_filter_free(f);
}

PHCA_TEST(maps, array)
{
	struct phca_filter *f = load();
	struct list l = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(set(f, "numbers", "1", "-32768"), 0);
	CU_ASSERT_EQUAL(set(f, "numbers", "0x2", "0x7fff"), 0);
	CU_ASSERT_EQUAL(set(f, "numbers", "3", "1"), -E2BIG);
	CU_ASSERT(strstr(ft_err, "filter m: map numbers: index 3, the array has 3 entries, 0..2") != NULL);
	CU_ASSERT_EQUAL(set(f, "numbers", "0", "32768"), -EINVAL);
	CU_ASSERT(strstr(ft_err, "map numbers: value \"32768\": 32768 out of range, short takes") != NULL);
	CU_ASSERT_EQUAL(set(f, "numbers", "-1", "1"), -EINVAL);
	CU_ASSERT_EQUAL(set(f, "numbers", "1x", "1"), -EINVAL);
	CU_ASSERT_EQUAL(set(f, "numbers", "", "1"), -EINVAL);
	CU_ASSERT_EQUAL(set(f, "nothing", "1", "1"), -ENOENT);
	CU_ASSERT_EQUAL(phca_filter_map_each(f, "numbers", on_entry, &l), 0);
	CU_ASSERT_STRING_EQUAL(l.text, "0 0\n1 -32768\n2 32767\n");
	CU_ASSERT_EQUAL(del(f, "numbers", "1"), 0);
	CU_ASSERT_EQUAL(del(f, "numbers", "7"), -E2BIG);
	l = (struct list){ .stop_at = 2 };
	CU_ASSERT_EQUAL(phca_filter_map_each(f, "numbers", on_entry, &l), -EINTR);
	CU_ASSERT_STRING_EQUAL(l.text, "0 0\n1 0\n");
	CU_ASSERT_EQUAL(phca_filter_map_each(f, "nothing", on_entry, &l), -ENOENT);
	phca_filter_free(f);
}

PHCA_TEST(maps, hash_fills_and_empties)
{
	struct phca_filter *f = load();
	struct list l = { 0 };
	char key[32], value[160];
	unsigned int i, round;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	for (round = 0; round < 100; round++) {
		for (i = 0; i < 4; i++) {
			snprintf(key, sizeof(key), "{a=%u}", round * 4 + i);
			CU_ASSERT_EQUAL(set(f, "structs", key, "{}"), 0);
			CU_ASSERT_EQUAL(entries(f, "structs"), i + 1);
		}
		CU_ASSERT_EQUAL(set(f, "structs", "{a=99999}", "{}"), -ENOSPC);
		CU_ASSERT(strstr(ft_err, "map structs: full with 4 entries") != NULL);
		snprintf(value, sizeof(value), "{a=%u,in={x=1,y=-1},ip=1.2.3.4,c=GREEN}", round);
		CU_ASSERT_EQUAL(set(f, "structs", key, value), 0); /* full, but the key is there */
		for (i = 0; i < 3; i++) {
			snprintf(key, sizeof(key), "{a=%u}", round * 4 + i);
			CU_ASSERT_EQUAL(del(f, "structs", key), 0);
			CU_ASSERT_EQUAL(del(f, "structs", key), -ENOENT);
		}
		l = (struct list){ 0 };
		CU_ASSERT_EQUAL(phca_filter_map_each(f, "structs", on_entry, &l), 0);
		snprintf(value, sizeof(value), "{a=%u,in={x=0,y=0},ip=0.0.0.0,c=0} "
			"{a=%u,in={x=1,y=-1},ip=1.2.3.4,c=2}\n", round * 4 + 3, round);
		CU_ASSERT_STRING_EQUAL(l.text, value);
		CU_ASSERT_EQUAL(l.nb, 1);
		snprintf(key, sizeof(key), "{a=%u}", round * 4 + 3);
		CU_ASSERT_EQUAL(del(f, "structs", key), 0);
	}
	CU_ASSERT_EQUAL(entries(f, "structs"), 0);
	phca_filter_free(f);
}

PHCA_TEST(maps, prefixes)
{
	struct phca_filter *f = load();
	struct list l = { 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(set(f, "nets", "10.1.2.3/8", "2001:db8::1"), 0);
	CU_ASSERT_EQUAL(phca_filter_map_each(f, "nets", on_entry, &l), 0);
	CU_ASSERT_STRING_EQUAL(l.text, "10.0.0.0/8 2001:db8::1\n"); /* bits behind the length are dropped */
	CU_ASSERT_EQUAL(set(f, "nets", "10.9.9.9/8", "::2"), 0);
	CU_ASSERT_EQUAL(entries(f, "nets"), 1);
	CU_ASSERT_EQUAL(set(f, "nets", "0.0.0.0/0", "::3"), 0);
	CU_ASSERT_EQUAL(set(f, "nets", "10.0.0.1", "::4"), 0);
	CU_ASSERT_EQUAL(entries(f, "nets"), 3);
	CU_ASSERT_EQUAL(set(f, "nets", "10.0.0.0/33", "::"), -EINVAL);
	CU_ASSERT(strstr(ft_err, "prefix length 33, allowed 0..32") != NULL);
	CU_ASSERT_EQUAL(set(f, "nets", "10.0.0.0/", "::"), -EINVAL);
	CU_ASSERT_EQUAL(set(f, "nets", "10.0.0.0/-1", "::"), -EINVAL);
	CU_ASSERT_EQUAL(set(f, "nets", "2001:db8::/32", "::"), -EINVAL);
	CU_ASSERT_EQUAL(set(f, "nets", "ten/8", "::"), -EINVAL);
	CU_ASSERT_EQUAL(del(f, "nets", "10.0.0.0/9"), -ENOENT);
	CU_ASSERT_EQUAL(del(f, "nets", "10.200.0.0/8"), 0);
	CU_ASSERT_EQUAL(entries(f, "nets"), 2);
	phca_filter_free(f);
}

/* A slow and plain LPM: the longest of the prefixes that match. */
struct prefix { uint32_t net; unsigned int len; uint32_t value; };

PHCA_TEST(maps, lpm_against_linear_search)
{
	struct prefix p[200];
	struct phca_filter_ctx ctx = { .direction = PHCA_CTX_INBOUND, .sgid = { [10] = 0xff, 0xff } };
	struct phca_filter *f = ft_load("by_source", NULL, 0, false);
	uint64_t seed = 7;
	unsigned int i, k, nb = 0, best_len;
	uint32_t addr, best;
	char key[64], value[16];

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	for (i = 0; i < RTE_DIM(p); i++) {
		p[nb].len = (unsigned int)(phca_test_rand(&seed) % 33);
		p[nb].net = (uint32_t)phca_test_rand(&seed) & 0x0f0f0f0f;
		p[nb].net &= p[nb].len == 0 ? 0 : UINT32_MAX << (32 - p[nb].len);
		p[nb].value = PHCA_OFFLOAD_RULE(i % 16);
		for (k = 0; k < nb; k++)
			if (p[k].len == p[nb].len && p[k].net == p[nb].net)
				break;
		if (k < nb)
			continue;
		snprintf(key, sizeof(key), "%u.%u.%u.%u/%u", p[nb].net >> 24, p[nb].net >> 16 & 255,
			p[nb].net >> 8 & 255, p[nb].net & 255, p[nb].len);
		snprintf(value, sizeof(value), "%u", p[nb].value);
		CU_ASSERT_EQUAL(set(f, "sources", key, value), 0);
		nb++;
	}
	for (i = 0; i < 20000; i++) {
		addr = (uint32_t)phca_test_rand(&seed) & 0x0f0f0f0f;
		best = PHCA_PASS;
		best_len = 0;
		for (k = 0; k < nb; k++)
			if ((p[k].len == 0 || (addr ^ p[k].net) >> (32 - p[k].len) == 0) &&
					(best == PHCA_PASS || p[k].len > best_len)) {
				best = p[k].value;
				best_len = p[k].len;
			}
		for (k = 0; k < 4; k++)
			ctx.sgid[12 + k] = (uint8_t)(addr >> (24 - 8 * k));
		CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), best);
	}
	phca_filter_free(f);
}
