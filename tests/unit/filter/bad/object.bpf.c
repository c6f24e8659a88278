/* SPDX-License-Identifier: BSD-3-Clause */
/* Objects that are refused before their program is looked at; CASE says which. */
#include "phca_filter_ctx.h"

#define MAP(name, map_type, entries, k, v) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, k); \
		__type(value, v); \
	} name SEC(".maps")

struct bytes300 { uint8_t b[300]; };
struct bytes5000 { uint8_t b[5000]; };
struct lpm7 { uint32_t len; uint8_t b[7]; };

#if defined(CASE_map_type)
MAP(m, 22, 16, uint32_t, uint32_t); /* queue */
#elif defined(CASE_map_huge)
MAP(m, BPF_MAP_TYPE_HASH, 100000000, uint64_t, uint64_t);
#elif defined(CASE_map_together)
MAP(m, BPF_MAP_TYPE_ARRAY, 20000000, uint32_t, uint64_t);
MAP(m2, BPF_MAP_TYPE_ARRAY, 20000000, uint32_t, uint64_t);
#elif defined(CASE_map_empty)
MAP(m, BPF_MAP_TYPE_HASH, 0, uint32_t, uint32_t);
#elif defined(CASE_array_key)
MAP(m, BPF_MAP_TYPE_ARRAY, 16, uint64_t, uint32_t);
#elif defined(CASE_lpm_key)
MAP(m, BPF_MAP_TYPE_LPM_TRIE, 16, struct lpm7, uint32_t);
#elif defined(CASE_key_size)
MAP(m, BPF_MAP_TYPE_HASH, 16, struct bytes300, uint32_t);
#elif defined(CASE_value_size)
MAP(m, BPF_MAP_TYPE_HASH, 16, uint32_t, struct bytes5000);
#else
MAP(m, BPF_MAP_TYPE_HASH, 16, uint32_t, uint32_t);
#endif

#if defined(CASE_section)
SEC("xdp")
#elif !defined(CASE_no_program)
PHCA_FILTER
#endif
int first(const struct phca_filter_ctx *ctx)
{
	uint32_t key[75] = { ctx->qpn };

#ifdef CASE_extern
	extern uint32_t elsewhere;
	key[0] += elsewhere;
#endif
	return bpf_map_lookup_elem(&m, key) != 0;
}

#ifdef CASE_two_programs
PHCA_FILTER
int second(const struct phca_filter_ctx *ctx)
{
	return ctx->qpn;
}
#endif
