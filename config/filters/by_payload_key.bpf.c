/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * by_payload_key: offload messages by a 64-bit key in their payload.
 *
 * The key is the 8 payload bytes at `offset`, big endian, and-ed with `mask`.
 *
 * Parameters:
 *   offset   uint8_t, 0..56: where the key is (default 0)
 *   mask     uint64_t (default: all bits)
 *   value    uint64_t: a key that is offloaded (default 0)
 *   any      bool: look in the map only, not at `value` (default false)
 *
 * Maps:
 *   keys     hash, uint64_t -> uint32_t: what the filter returns for the key:
 *            1 offload, 256 + n by the offload of rule n, 0 pass. Tried first.
 */
#include <stdbool.h>

#include "phca_filter_ctx.h"

const volatile uint8_t offset = 0;
const volatile uint64_t mask = UINT64_MAX;
const volatile uint64_t value = 0;
const volatile bool any = false;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, uint64_t);
	__type(value, uint32_t);
} keys SEC(".maps");

PHCA_FILTER
int by_payload_key(const struct phca_filter_ctx *ctx)
{
	uint32_t at = offset;
	uint64_t key = 0;
	uint32_t *verdict;

	if (at > PHCA_CTX_PAYLOAD - 8 || ctx->payload_len < at + 8)
		return PHCA_PASS;
#pragma unroll
	for (int i = 0; i < 8; i++)
		key = key << 8 | ctx->payload[(at + i) & (PHCA_CTX_PAYLOAD - 1)];
	key &= mask;
	verdict = bpf_map_lookup_elem(&keys, &key);
	if (verdict)
		return *verdict;
	return !any && key == value ? PHCA_OFFLOAD : PHCA_PASS;
}
