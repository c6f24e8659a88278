/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * by_source: offload inbound requests by the network that they come from.
 *
 * Maps:
 *   sources   LPM trie, prefix -> uint32_t: what the filter returns for the
 *             longest prefix that holds the source address: 1 offload, 256 + n
 *             by the offload of rule n, 0 pass. No prefix: pass. IPv4 and IPv6
 *             ("10.0.0.0/8", "2001:db8::/32").
 */
#include "phca_filter_ctx.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct phca_lpm_key);
	__type(value, uint32_t);
} sources SEC(".maps");

PHCA_FILTER
int by_source(const struct phca_filter_ctx *ctx)
{
	struct phca_lpm_key key = { .prefixlen = 128 };
	uint32_t *verdict;

	if (ctx->direction != PHCA_CTX_INBOUND)
		return PHCA_PASS;
	__builtin_memcpy(key.addr, ctx->sgid, sizeof(key.addr));
	verdict = bpf_map_lookup_elem(&sources, &key);
	return verdict ? *verdict : PHCA_PASS;
}
