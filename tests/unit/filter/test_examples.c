/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The example filters of config/filters behave as their comments say, compiled
 * and interpreted.
 */
#include "filter_test.h"

char ft_err[PHCA_FILTER_ERR_MAX];
struct phca_filter_env ft_env = { .prandom = 1 };

const char *ft_path(const char *env, const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s.bpf.o", getenv(env) != NULL ? getenv(env) : ".", name);
	return path;
}

struct phca_filter *ft_load(const char *name, const struct phca_filter_param *params, unsigned int nb,
		bool no_jit)
{
	const struct phca_filter_spec spec = {
		.name = name, .object = ft_path("PHCA_FILTERS", name), .params = params, .nb_params = nb,
		.no_jit = no_jit,
	};
	struct phca_filter *f;

	phca_filter_env_set(&ft_env);
	f = phca_filter_load(&spec, ft_err, sizeof(ft_err));
	if (f == NULL)
		fprintf(stderr, "%s\n", ft_err);
	return f;
}

/* Run @p f on one context that differs from zero in what @p ctx says. */
static uint32_t run(struct phca_filter *f, struct phca_filter_ctx ctx)
{
	return phca_filter_run(f, &ctx);
}

PHCA_TEST(examples, all_and_none)
{
	const struct phca_filter_ctx ctx = { 0 };
	struct phca_filter_stats st;
	struct phca_filter *f;
	int no_jit;

	for (no_jit = 0; no_jit < 2; no_jit++) {
		f = ft_load("all", NULL, 0, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(phca_filter_is_jit(f), !no_jit);
		CU_ASSERT_STRING_EQUAL(phca_filter_program(f), "all");
		CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), PHCA_OFFLOAD);
		CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), PHCA_OFFLOAD);
		phca_filter_stats_get(f, &st);
		CU_ASSERT_EQUAL(st.runs, 2);
		CU_ASSERT_EQUAL(st.offload, 2);
		CU_ASSERT_EQUAL(st.pass + st.bad_return, 0);
		phca_filter_stats_reset(f);
		phca_filter_stats_get(f, &st);
		CU_ASSERT_EQUAL(st.runs + st.offload, 0);
		phca_filter_free(f);

		f = ft_load("none", NULL, 0, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), PHCA_PASS);
		phca_filter_free(f);
	}
}

PHCA_TEST(examples, by_opcode)
{
	const struct phca_filter_param p[] = {
		FT_BOOL("send", 0), FT_BOOL("write", 1), FT_BOOL("atomic", 1), FT_INT("direction", 1),
	};
	struct phca_filter *f;
	int no_jit;

	for (no_jit = 0; no_jit < 2; no_jit++) {
		f = ft_load("by_opcode", NULL, 0, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(run(f, (struct phca_filter_ctx){ .opcode = PHCA_CTX_OP_SEND }), 1);
		CU_ASSERT_EQUAL(run(f, (struct phca_filter_ctx){ .opcode = PHCA_CTX_OP_WRITE }), 0);
		phca_filter_free(f);
		f = ft_load("by_opcode", p, 4, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
#define OP(o, d) run(f, (struct phca_filter_ctx){ .opcode = o, .direction = d })
		CU_ASSERT_EQUAL(OP(PHCA_CTX_OP_SEND, 1), 0);
		CU_ASSERT_EQUAL(OP(PHCA_CTX_OP_WRITE, 1), 1);
		CU_ASSERT_EQUAL(OP(PHCA_CTX_OP_WRITE, 0), 0);
		CU_ASSERT_EQUAL(OP(PHCA_CTX_OP_READ, 1), 0);
		CU_ASSERT_EQUAL(OP(PHCA_CTX_OP_CMP_SWAP, 1), 1);
		CU_ASSERT_EQUAL(OP(PHCA_CTX_OP_FETCH_ADD, 1), 1);
		CU_ASSERT_EQUAL(OP(5, 1), 0);
		phca_filter_free(f);
	}
}

PHCA_TEST(examples, by_size)
{
	const struct phca_filter_param p[] = { FT_UINT("min_len", 64), FT_UINT("max_len", 100) };
	struct phca_filter *f;
	int no_jit;

	for (no_jit = 0; no_jit < 2; no_jit++) {
		f = ft_load("by_size", p, 2, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(run(f, (struct phca_filter_ctx){ .msg_len = 63 }), 0);
		CU_ASSERT_EQUAL(run(f, (struct phca_filter_ctx){ .msg_len = 64 }), 1);
		CU_ASSERT_EQUAL(run(f, (struct phca_filter_ctx){ .msg_len = 100 }), 1);
		CU_ASSERT_EQUAL(run(f, (struct phca_filter_ctx){ .msg_len = 101 }), 0);
		phca_filter_free(f);
	}
}

PHCA_TEST(examples, by_payload_key)
{
	const struct phca_filter_param p[] = {
		FT_UINT("offset", 3), FT_UINT("mask", 0xffffff), FT_UINT("value", 0x060708),
	};
	struct phca_filter_ctx ctx = { .payload_len = 64 };
	struct phca_filter *f;
	unsigned int i;
	int no_jit;

	for (i = 0; i < 8; i++)
		ctx.payload[3 + i] = (uint8_t)(i + 1);
	for (no_jit = 0; no_jit < 2; no_jit++) {
		f = ft_load("by_payload_key", p, 3, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_OFFLOAD);
		CU_ASSERT_EQUAL(phca_filter_map_set(f, "keys", "0x60708", "0x105", ft_err, sizeof(ft_err)), 0);
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_OFFLOAD_RULE(5));
		CU_ASSERT_EQUAL(phca_filter_map_set(f, "keys", "0x60708", "0", ft_err, sizeof(ft_err)), 0);
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_PASS);
		CU_ASSERT_EQUAL(phca_filter_map_del(f, "keys", "0x60708", ft_err, sizeof(ft_err)), 0);
		ctx.payload_len = 10; /* the key ends at byte 11 */
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_PASS);
		ctx.payload_len = 11;
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_OFFLOAD);
		ctx.payload[10]++;
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_PASS);
		ctx.payload[10]--;
		phca_filter_free(f);
	}
}

PHCA_TEST(examples, lock)
{
	struct phca_filter_ctx ctx = { .direction = PHCA_CTX_INBOUND, .payload_len = 48, .payload = "PLKQ" }, other;
	struct phca_filter *f;
	int no_jit;

	for (no_jit = 0; no_jit < 2; no_jit++) {
		f = ft_load("lock", NULL, 0, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_OFFLOAD);
#define OTHER(field, v) other = ctx; other.field = v; CU_ASSERT_EQUAL(run(f, other), PHCA_PASS)
		OTHER(direction, PHCA_CTX_SEND);
		OTHER(transport, PHCA_CTX_UD);
		OTHER(opcode, PHCA_CTX_OP_WRITE);
		OTHER(flags, PHCA_CTX_F_IMM);
		OTHER(payload_len, 3);
		OTHER(payload[3], 'A');
#undef OTHER
		phca_filter_free(f);
	}
}

PHCA_TEST(examples, by_source)
{
	static const uint8_t v4[16] = { [10] = 0xff, 0xff, 10, 1, 2, 3 };
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	struct phca_filter_ctx ctx = { .direction = PHCA_CTX_INBOUND };
	struct phca_filter *f;
	int no_jit;

	for (no_jit = 0; no_jit < 2; no_jit++) {
		f = ft_load("by_source", NULL, 0, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		memcpy(ctx.sgid, v4, 16);
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_PASS);
#define SET(k, v) CU_ASSERT_EQUAL(phca_filter_map_set(f, "sources", k, v, ft_err, sizeof(ft_err)), 0)
		SET("10.0.0.0/8", "1");
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_OFFLOAD);
		SET("10.1.0.0/16", "0");
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_PASS);
		SET("10.1.2.3", "0x102");
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_OFFLOAD_RULE(2));
		SET("2001:db8::/32", "0x10f");
		memcpy(ctx.sgid, v6, 16);
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_OFFLOAD_RULE(15));
		ctx.direction = PHCA_CTX_SEND;
		CU_ASSERT_EQUAL(run(f, ctx), PHCA_PASS);
		ctx.direction = PHCA_CTX_INBOUND;
		phca_filter_free(f);
	}
}

PHCA_TEST(examples, one_in_n)
{
	const struct phca_filter_param third[] = { FT_UINT("n", 3) };
	const struct phca_filter_param rnd[] = { FT_UINT("n", 4), FT_BOOL("random", true) };
	const struct phca_filter_param zero[] = { FT_UINT("n", 0) };
	const struct phca_filter_ctx ctx = { 0 };
	struct phca_filter_stats st;
	struct phca_filter *f;
	int i, no_jit;

	for (no_jit = 0; no_jit < 2; no_jit++) {
		f = ft_load("one_in_n", third, 1, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		for (i = 1; i <= 30; i++)
			CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), i % 3 == 0 ? PHCA_OFFLOAD : PHCA_PASS);
		phca_filter_free(f);

		f = ft_load("one_in_n", rnd, 2, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		for (i = 0; i < 10000; i++)
			phca_filter_run(f, &ctx);
		phca_filter_stats_get(f, &st);
		CU_ASSERT(st.offload > 2200 && st.offload < 2800);
		CU_ASSERT_EQUAL(st.offload + st.pass, 10000);
		phca_filter_free(f);

		f = ft_load("one_in_n", zero, 1, no_jit);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(phca_filter_run(f, &ctx), PHCA_PASS);
		phca_filter_free(f);
	}
}

PHCA_TEST(examples, reduce)
{
	const struct phca_filter_param p[] = { FT_BOOL("any", 0), FT_INT("group", 0x01020304) };
	struct phca_filter_ctx ctx = {
		.direction = PHCA_CTX_INBOUND, .transport = PHCA_CTX_RC, .opcode = PHCA_CTX_OP_SEND, .payload_len = 40,
		.payload = { 'P', 'H', 'R', 'D', 1, 0, 0, 1, 4, 3, 2, 1 },
	};
	struct phca_filter_ctx not;

	for (int no_jit = 0; no_jit < 2; no_jit++) {
		struct phca_filter *all = ft_load("reduce", NULL, 0, no_jit), *one = ft_load("reduce", p, 2, no_jit);

		CU_ASSERT_PTR_NOT_NULL_FATAL(all);
		CU_ASSERT_PTR_NOT_NULL_FATAL(one);
		CU_ASSERT_EQUAL(run(all, ctx), PHCA_OFFLOAD);
		CU_ASSERT_EQUAL(run(one, ctx), PHCA_OFFLOAD);
		not = ctx;
		not.payload[8]++; /* another group */
		CU_ASSERT_EQUAL(run(all, not), PHCA_OFFLOAD);
		CU_ASSERT_EQUAL(run(one, not), PHCA_PASS);
		for (unsigned int i = 0; i < 4; i++) {
			not = ctx;
			not.payload[i] ^= 1;
			CU_ASSERT_EQUAL(run(all, not), PHCA_PASS);
		}
		not = ctx;
		not.payload[7] |= 0x80; /* a result */
		CU_ASSERT_EQUAL(run(all, not), PHCA_PASS);
		not = ctx;
		not.payload_len = 39;
		CU_ASSERT_EQUAL(run(all, not), PHCA_PASS);
		not = ctx;
		not.direction = PHCA_CTX_SEND;
		CU_ASSERT_EQUAL(run(all, not), PHCA_PASS);
		not = ctx;
		not.opcode = PHCA_CTX_OP_WRITE;
		CU_ASSERT_EQUAL(run(all, not), PHCA_PASS);
		not = ctx;
		not.transport = PHCA_CTX_UD;
		CU_ASSERT_EQUAL(run(all, not), PHCA_PASS);
		phca_filter_free(all);
		phca_filter_free(one);
	}
}
