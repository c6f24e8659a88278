/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loader takes any bytes as an object, of a filter or of an offload program: it
 * refuses with a reason, or gives a program that can run on any context without harm,
 * calls helpers with nothing but memory that it may use, gives an answer that a filter
 * can give, and gives the same one compiled and interpreted.
 */
#include <string.h>

#include "fuzz_check.h"
#include "offload_kind.h"
#include "phca_filter.h"

#define RUNS 16

static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	return z ^ z >> 27;
}

static struct phca_filter *load(const uint8_t *data, size_t size, const struct phca_filter_kind *kind,
		bool no_jit)
{
	const char *begin = kind != NULL ? "offload fuzz: " : "filter fuzz: ";
	const struct phca_filter_spec spec = {
		.name = "fuzz", .object = "fuzz", .image = data, .image_len = size, .kind = kind, .no_jit = no_jit,
	};
	char err[PHCA_FILTER_ERR_MAX];
	struct phca_filter *f = phca_filter_load(&spec, err, sizeof(err));

	FUZZ_CHECK(f != NULL || strncmp(err, begin, strlen(begin)) == 0);
	FUZZ_CHECK(f != NULL || strlen(err) > strlen(begin));
	return f;
}

static void run(struct phca_filter *f, uint32_t *out)
{
	struct phca_filter_env env = { .now_ns = 12345, .prandom = 77 };
	uint64_t state = 99, *words;
	union { struct phca_filter_ctx filter; struct phca_offload_ctx offload; } ctx;
	bool filter = strcmp(phca_filter_kind_of(f)->noun, "filter") == 0;
	unsigned int i, k;

	phca_filter_env_set(&env);
	offload_kind_calls = 0;
	words = (uint64_t *)(void *)&ctx;
	for (i = 0; i < RUNS; i++) {
		for (k = 0; k < sizeof(ctx) / 8; k++)
			words[k] = i % 4 == 0 ? mix(&state) & 0x0101010101010101u : mix(&state);
		if (!filter) {
			out[i] = phca_filter_call(f, &ctx.offload, &env);
			FUZZ_CHECK(phca_filter_may_return(f, out[i]));
			continue;
		}
		out[i] = phca_filter_run(f, &ctx.filter);
		FUZZ_CHECK(out[i] == PHCA_PASS || out[i] == PHCA_OFFLOAD ||
			(out[i] >= PHCA_OFFLOAD_RULE(0) && out[i] <= PHCA_OFFLOAD_RULE(15)));
	}
}

static int ignore(void *arg, const char *key, const char *value)
{
	(void)arg;
	FUZZ_CHECK(key != NULL && value != NULL);
	return 0;
}

static int ignore_global(void *arg, const char *name, const char *value, bool is_param)
{
	(void)is_param;
	return ignore(arg, name, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t compiled[RUNS], interpreted[RUNS];
	const struct phca_filter_kind *kind = NULL;
	struct phca_filter *f = load(data, size, kind, false), *g;
	struct phca_map_info info;
	unsigned int i;

	if (f == NULL) {
		kind = &offload_kind;
		f = load(data, size, kind, false);
	}
	if (f == NULL)
		return 0;
	g = load(data, size, kind, true);
	FUZZ_CHECK(g != NULL);
	run(f, compiled);
	run(g, interpreted);
	FUZZ_CHECK(memcmp(compiled, interpreted, sizeof(compiled)) == 0);
	phca_filter_global_each(f, ignore_global, NULL);
	for (i = 0; i < phca_filter_nb_maps(f); i++) {
		FUZZ_CHECK(phca_filter_map_info(f, i, &info) == 0);
		if (info.max_entries <= 4096 && info.value_size <= 64)
			phca_filter_map_each(f, info.name, ignore, NULL);
	}
	phca_filter_free(f);
	phca_filter_free(g);
	return 0;
}
