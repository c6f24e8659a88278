/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs of section phca/offload: the shipped ones load, compiled and interpreted
 * give the same, and what the check knows of their calls and returns is true. A program
 * that replaces another keeps the maps that it has, too.
 */
#include "filter_test.h"
#include "offload_kind.h"

static struct phca_filter *load(const char *name, struct phca_filter *of, bool no_jit)
{
	const struct phca_filter_spec spec = {
		.name = name, .object = ft_path("PHCA_OFFLOADS", name), .kind = &offload_kind, .maps_of = of,
		.no_jit = no_jit,
	};
	struct phca_filter *f = phca_filter_load(&spec, ft_err, sizeof(ft_err));

	if (f == NULL)
		fprintf(stderr, "%s\n", ft_err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_PTR_EQUAL(phca_filter_kind_of(f), &offload_kind);
	return f;
}

PHCA_TEST(offload_kind, knows_calls_and_returns)
{
	struct phca_filter *f = load("kv_get", NULL, false);

	CU_ASSERT(phca_filter_is_jit(f));
	CU_ASSERT(phca_filter_may_call(f, PHCA_OFFLOAD_HELPER_mem_read));
	CU_ASSERT(phca_filter_may_call(f, PHCA_OFFLOAD_HELPER_reply));
	CU_ASSERT(phca_filter_may_call(f, PHCA_OFFLOAD_HELPER_child_send));
	CU_ASSERT_FALSE(phca_filter_may_call(f, PHCA_OFFLOAD_HELPER_mem_write));
	CU_ASSERT_FALSE(phca_filter_may_call(f, PHCA_OFFLOAD_HELPER_child_same));
	CU_ASSERT_FALSE(phca_filter_may_call(f, 4711));
	CU_ASSERT(phca_filter_may_return(f, PHCA_PASS_ON));
	CU_ASSERT(phca_filter_may_return(f, PHCA_DONE));
	phca_filter_free(f);
	f = load("access_log", NULL, false);
	CU_ASSERT(phca_filter_may_return(f, PHCA_PASS_ON));
	CU_ASSERT_FALSE(phca_filter_may_return(f, PHCA_DONE));
	phca_filter_free(f);
	f = load("wal_mirror", NULL, false);
	CU_ASSERT(phca_filter_may_return(f, PHCA_AGAIN));
	CU_ASSERT(phca_filter_may_return(f, PHCA_DONE_STATUS(PHCA_STATUS_REM_ABORT_ERR)));
	CU_ASSERT_FALSE(phca_filter_may_return(f, PHCA_DONE_STATUS(PHCA_STATUS_REM_ACCESS_ERR)));
	CU_ASSERT(phca_filter_may_call(f, PHCA_OFFLOAD_HELPER_child_same));
	phca_filter_free(f);
}

/* The same contexts give the same results either way; helpers are called for real. */
PHCA_TEST(offload_kind, compiled_and_interpreted_agree)
{
	static const char *const names[] = { "kv_get", "access_log", "wal_mirror" };
	struct phca_filter_env env = { .now_ns = 5, .prandom = 3 };
	uint32_t result[2][256];
	uint64_t calls[2];

	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		for (int no_jit = 0; no_jit < 2; no_jit++) {
			struct phca_filter *f = load(names[i], NULL, no_jit);
			struct phca_filter_stats st;

			offload_kind_calls = 0;
			for (unsigned int k = 0; k < 256; k++) {
				struct phca_offload_ctx ctx = {
					.direction = k & 1, .opcode = k >> 1 & 1, .payload_len = k & 4 ? 64 : 8,
					.len = k, .peers_ready = k >> 3 & 1, .children_free = k >> 4 & 3,
					.payload = { 0x50, 0x4b, 0x56, 0x31, 1, [32] = 8 },
				};

				result[no_jit][k] = phca_filter_call(f, &ctx, &env);
			}
			calls[no_jit] = offload_kind_calls;
			phca_filter_stats_get(f, &st);
			CU_ASSERT_EQUAL(st.runs, 256);
			CU_ASSERT_EQUAL(st.pass + st.offload, 256);
			phca_filter_free(f);
		}
		CU_ASSERT(memcmp(result[0], result[1], sizeof(result[0])) == 0);
		CU_ASSERT_EQUAL(calls[0], calls[1]);
		CU_ASSERT(calls[0] > 0);
	}
}

struct found { const char *key; char value[64]; };

static int find(void *arg, const char *key, const char *value)
{
	struct found *f = arg;

	if (strcmp(key, f->key) == 0)
		snprintf(f->value, sizeof(f->value), "%s", value);
	return 0;
}

PHCA_TEST(offload_kind, replacement_keeps_maps)
{
	struct phca_filter *old = load("wal_mirror", NULL, false), *fresh, *other;
	struct found is = { .key = "7" };

	CU_ASSERT_EQUAL(phca_filter_map_set(old, "logs", "7", "{va=1,mirror=2,rkey=3}", ft_err, sizeof(ft_err)), 0);
	CU_ASSERT_FALSE(phca_filter_map_is_shared(old, 0));
	fresh = load("wal_mirror", old, true);
	CU_ASSERT(phca_filter_map_is_shared(fresh, 0));
	/* while both are there, what either does the other sees */
	CU_ASSERT_EQUAL(phca_filter_map_set(fresh, "logs", "8", "{va=4}", ft_err, sizeof(ft_err)), 0);
	is.key = "8";
	CU_ASSERT_EQUAL(phca_filter_map_each(old, "logs", find, &is), 0);
	CU_ASSERT_STRING_EQUAL(is.value, "{va=4,mirror=0,rkey=0,rsvd=0}");
	phca_filter_free(old);
	is.key = "7";
	CU_ASSERT_EQUAL(phca_filter_map_each(fresh, "logs", find, &is), 0);
	CU_ASSERT_STRING_EQUAL(is.value, "{va=1,mirror=2,rkey=3,rsvd=0}");
	CU_ASSERT_EQUAL(phca_filter_map_set(fresh, "no", "7", "1", ft_err, sizeof(ft_err)), -ENOENT);
	CU_ASSERT_STRING_EQUAL(ft_err, "offload wal_mirror: map no: no such map");
	/* another program's maps are its own */
	other = load("access_log", fresh, false);
	for (unsigned int i = 0; i < phca_filter_nb_maps(other); i++)
		CU_ASSERT_FALSE(phca_filter_map_is_shared(other, i));
	phca_filter_free(fresh);
	phca_filter_free(other);
}
