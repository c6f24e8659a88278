/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kv_get: key-value GETs answered from the application's memory, without waking it.
 *
 * A client SENDs a struct kv_request; the offload looks the key up in the table that lies
 * in a memory region of the server (kv.h) and SENDs a struct kv_reply with the value. PUTs,
 * other messages, and GETs that meet a slot which is just being written go to the
 * application, in order.
 *
 * The table's address and rkey come with the request; the server told them to the client,
 * and they are checked as those of an RDMA READ are. Or the operator sets them, for
 * all clients: map table, key 0.
 *
 * Maps:
 *   table    array of 1: {va=..., buckets=..., rkey=...}; va 0: as the request says
 *   stats    array of 4 counters: 0 served, 1 no such key, 2 to the application, 3 refused
 *
 * Rights that the region needs: remote read.
 */
#include "phca_offload_ctx.h"

#include "kv.h"

struct table { uint64_t va; uint32_t buckets, rkey; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct table);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, uint32_t);
	__type(value, uint64_t);
} stats SEC(".maps");

enum { SERVED, MISSING, PASSED, REFUSED };

static __always_inline void count(uint32_t what)
{
	uint64_t *n = bpf_map_lookup_elem(&stats, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline int pass(uint32_t why)
{
	count(why);
	return PHCA_PASS_ON;
}

PHCA_OFFLOAD_PROGRAM
int kv_get(struct phca_offload_ctx *ctx)
{
	struct kv_reply reply = { .magic = KV_REPLY };
	struct kv_slot_head head = {}, again = {};
	struct kv_request req;
	uint64_t slot, found = 0;
	struct table *set;
	uint32_t zero = 0;

	if (ctx->direction != PHCA_CTX_INBOUND || ctx->opcode != PHCA_CTX_OP_SEND ||
			ctx->payload_len < sizeof(req))
		return PHCA_PASS_ON;
	__builtin_memcpy(&req, ctx->payload, sizeof(req));
	if (req.magic != KV_MAGIC || req.op != KV_GET)
		return PHCA_PASS_ON;
	set = bpf_map_lookup_elem(&table, &zero);
	if (set && set->va != 0) {
		req.table = set->va;
		req.buckets = set->buckets;
		req.rkey = set->rkey;
	}
	if (req.buckets == 0 || ctx->children_free == 0)
		return pass(PASSED);
	slot = req.table + kv_bucket(req.key, req.buckets) * KV_WAYS * sizeof(struct kv_slot);
#pragma unroll
	for (int i = 0; i < KV_WAYS; i++) {
		if (found == 0) {
			if (phca_mem_read(ctx, slot, req.rkey, &head, sizeof(head)) < 0)
				return pass(REFUSED);
			if (head.version & 1)
				return pass(PASSED);
			if (head.key == req.key)
				found = slot;
			slot += sizeof(struct kv_slot);
		}
	}
	reply.id = req.id;
	reply.key = req.key;
	if (found == 0) {
		reply.status = -2;
		count(MISSING);
		return phca_reply(ctx, &reply, sizeof(reply), 0) < 0 ? PHCA_PASS_ON : PHCA_DONE;
	}
	if (head.len > KV_VALUE_MAX)
		return pass(REFUSED);
	reply.len = head.len;
	if (phca_out(ctx, 0, &reply, sizeof(reply)) < 0 || phca_out_mem(ctx, sizeof(reply),
			found + sizeof(head), req.rkey, head.len) < 0 ||
			phca_mem_read(ctx, found, req.rkey, &again, sizeof(again)) < 0)
		return pass(REFUSED);
	if (again.version != head.version)
		return pass(PASSED);
	if (phca_child_send(ctx, PHCA_SELF, PHCA_C_OUT) < 0)
		return pass(PASSED);
	count(SERVED);
	return PHCA_DONE;
}
