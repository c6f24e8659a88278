/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * access_log: counts requests by peer and by what they ask for, keeps the last 256 of
 * them, and passes them on unchanged.
 *
 * What is asked for is a 64-bit key: of WRITEs, READs and atomics the remote address
 * without its lower `region_shift` bits; of SENDs the 8 bytes of payload at `key_offset`,
 * as they are on the wire, or 0 in shorter ones.
 *
 * Parameters:
 *   key_offset     uint32_t, bytes: where the key of a SEND is (default 0)
 *   region_shift   uint8_t, 0..63: lower bits of addresses that do not count (default 12)
 *   by_key         bool: count by key, too (default true)
 *
 * Maps:
 *   peers    hash of {gid=..., qpn=..., opcode=..., direction=...} -> {requests=..., bytes=...};
 *            gid is the sender's, of posted requests 0
 *   keys     hash of a key -> how often; keys beyond max_entries are not counted, `lost` says
 *            how many requests had one
 *   last     array of 256, a ring: entry (recorded - 1) % 256 is the newest
 *
 * Globals: recorded, lost.
 */
#include <stdbool.h>

#include "phca_offload_ctx.h"

#define LAST 256

const volatile uint32_t key_offset = 0;
const volatile uint8_t region_shift = 12;
const volatile bool by_key = true;

uint64_t recorded, lost;

struct peer { uint8_t gid[16]; uint32_t qpn; uint16_t opcode, direction; };
struct sum { uint64_t requests, bytes; };
struct record { uint64_t time_ns, key; uint32_t qpn, len; uint32_t opcode, direction; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct peer);
	__type(value, struct sum);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, uint64_t);
	__type(value, uint64_t);
} keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LAST);
	__type(key, uint32_t);
	__type(value, struct record);
} last SEC(".maps");

static __always_inline uint64_t key_of(struct phca_offload_ctx *ctx)
{
	uint64_t key = 0;

	if (ctx->opcode != PHCA_CTX_OP_SEND)
		return ctx->va >> (region_shift & 63);
	if (phca_payload_read(ctx, key_offset, &key, sizeof(key)) < (long)sizeof(key))
		return 0;
	return key;
}

static __always_inline void count_peer(struct phca_offload_ctx *ctx)
{
	struct peer who = { .qpn = ctx->qpn, .opcode = ctx->opcode, .direction = ctx->direction };
	struct sum first = { .requests = 1, .bytes = ctx->len }, *sum;

	__builtin_memcpy(who.gid, ctx->sgid, sizeof(who.gid));
	sum = bpf_map_lookup_elem(&peers, &who);
	if (sum) {
		__sync_fetch_and_add(&sum->requests, 1);
		__sync_fetch_and_add(&sum->bytes, ctx->len);
	} else if (bpf_map_update_elem(&peers, &who, &first, BPF_NOEXIST) < 0) {
		__sync_fetch_and_add(&lost, 1);
	}
}

static __always_inline void count_key(uint64_t key)
{
	uint64_t one = 1, *n = bpf_map_lookup_elem(&keys, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else if (bpf_map_update_elem(&keys, &key, &one, BPF_NOEXIST) < 0)
		__sync_fetch_and_add(&lost, 1);
}

PHCA_OFFLOAD_PROGRAM
int access_log(struct phca_offload_ctx *ctx)
{
	uint64_t key = key_of(ctx);
	struct record r = { .time_ns = ctx->now_ns, .key = key, .qpn = ctx->qpn, .len = ctx->len,
		.opcode = ctx->opcode, .direction = ctx->direction };
	uint32_t at = recorded % LAST;

	recorded++;
	bpf_map_update_elem(&last, &at, &r, BPF_ANY);
	count_peer(ctx);
	if (by_key)
		count_key(key);
	return PHCA_PASS_ON;
}
