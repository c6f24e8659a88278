/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs that call one helper or return one code each, for test_bpf.c. What they saw
 * is in map seen; what they are to do comes with the payload: see struct order.
 */
#include "phca_offload_ctx.h"

/* Payload of inbound messages and posted SENDs. */
struct order { uint64_t va; uint32_t key, len; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, uint32_t);
	__type(value, uint64_t);
} seen SEC(".maps");

const volatile uint32_t code = 0;
const volatile uint32_t times = 0;

static __always_inline void note(uint32_t at, uint64_t value)
{
	bpf_map_update_elem(&seen, &at, &value, BPF_ANY);
}

static __always_inline struct order order_of(struct phca_offload_ctx *ctx)
{
	struct order o;

	__builtin_memcpy(&o, ctx->payload, sizeof(o));
	return o;
}

PHCA_OFFLOAD_PROGRAM
int says(struct phca_offload_ctx *ctx)
{
	note(0, ctx->calls);
	return code;
}

/* Never passes anything on, nor emits. */
PHCA_OFFLOAD_PROGRAM
int swallow(struct phca_offload_ctx *ctx)
{
	note(0, ctx->now_ns);
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int context(struct phca_offload_ctx *ctx)
{
#pragma unroll
	for (uint32_t i = 0; i < sizeof(*ctx) / 8; i++)
		note(i, ((uint64_t *)ctx)[i]);
	note(24, bpf_ktime_get_ns());
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int third_time(struct phca_offload_ctx *ctx)
{
	note(0, ctx->calls);
	return ctx->calls < 2 ? PHCA_AGAIN : PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int payload(struct phca_offload_ctx *ctx)
{
	uint64_t a = 1, b = 1, c = 1, len = ctx->imm & 7;

	note(0, phca_payload_read(ctx, 0, &a, sizeof(a)));
	note(1, a);
	note(2, phca_payload_read(ctx, ctx->len - 4, &b, sizeof(b)));
	note(3, b);
	note(4, phca_payload_read(ctx, ctx->len, &c, sizeof(c)));
	note(5, c);
	c = UINT64_MAX;
	note(6, phca_payload_read(ctx, 1, &c, len)); /* of a length that is not constant */
	note(7, c);
	return PHCA_DONE;
}

/* Adds 1 to 8 bytes of the application's memory. */
PHCA_OFFLOAD_PROGRAM
int memory(struct phca_offload_ctx *ctx)
{
	struct order o = order_of(ctx);
	uint64_t v = 77;

	note(0, phca_mem_read(ctx, o.va, o.key, &v, sizeof(v)));
	note(1, v);
	v++;
	note(2, phca_mem_write(ctx, o.va, o.key, &v, sizeof(v)));
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int reply(struct phca_offload_ctx *ctx)
{
	note(0, phca_reply(ctx, "pong", 4, PHCA_C_SOLICITED | PHCA_C_FENCE));
	note(1, phca_reply(ctx, ctx->payload, 16, PHCA_C_IMM(0x12345678)));
	note(2, phca_reply(ctx, ctx->payload, 8, PHCA_C_OUT));
	return PHCA_DONE;
}

/* Two outgoing messages, the first sent twice. */
PHCA_OFFLOAD_PROGRAM
int out(struct phca_offload_ctx *ctx)
{
	struct order o = order_of(ctx);

	note(0, phca_child_send(ctx, PHCA_SELF, PHCA_C_OUT));
	note(1, phca_out(ctx, 1, "x", 1));
	note(2, phca_out(ctx, 0, "head", 4));
	note(3, phca_out_mem(ctx, 4, o.va, o.key, o.len));
	note(4, phca_out_payload(ctx, 4 + o.len, 0, 16));
	note(5, phca_out(ctx, 0, "H", 1));
	note(6, phca_child_send(ctx, PHCA_SELF, PHCA_C_OUT));
	note(7, phca_child_send(ctx, PHCA_SELF, PHCA_C_OUT));
	note(8, phca_reply_mem(ctx, o.va, o.key, 4, 0));
	note(9, phca_out_payload(ctx, 0, ctx->len - 1, 2));
	note(10, phca_out_mem(ctx, 0, o.va, o.key + 1, 4));
	note(11, phca_out(ctx, 5, "x", 1));
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int deliver(struct phca_offload_ctx *ctx)
{
	struct order o = order_of(ctx);

	if (o.len > 0) {
		phca_out(ctx, 0, "new:", 4);
		phca_out_payload(ctx, 4, 0, 8);
	}
	return PHCA_DELIVER;
}

/* READs: half from here, half from memory; atomics: a value of our own. */
PHCA_OFFLOAD_PROGRAM
int answer(struct phca_offload_ctx *ctx)
{
	uint64_t v = 4711;

	if (ctx->opcode == PHCA_CTX_OP_READ) {
		note(0, phca_answer(ctx, 4, "x", 1));
		note(1, phca_answer(ctx, 0, "mine", 4));
		note(2, phca_answer_mem(ctx, 4, ctx->va, ctx->rkey, ctx->len - 4));
		note(3, phca_answer_mem(ctx, 4, ctx->va, ctx->rkey + 1, 4));
	} else if (ctx->opcode == PHCA_CTX_OP_FETCH_ADD) {
		note(4, phca_answer(ctx, 0, &v, 8));
	} else {
		note(5, phca_answer(ctx, 0, &v, 8));
	}
	return code;
}

PHCA_OFFLOAD_PROGRAM
int posted(struct phca_offload_ctx *ctx)
{
	note(0, phca_child_same(ctx, PHCA_SELF));
	note(1, phca_child_write(ctx, 0, 0x7000, 0x99, PHCA_C_IMM(0x55)));
	note(2, phca_child_send(ctx, 1, PHCA_C_TOLERANT));
	note(3, phca_child_send(ctx, 2, 0));
	note(4, phca_child_same(ctx, 0));
	return PHCA_DONE;
}

/* Inbound payload to a peer, then pass on, which cannot be any more, when code says so. */
PHCA_OFFLOAD_PROGRAM
int forward(struct phca_offload_ctx *ctx)
{
	note(0, phca_child_send(ctx, 0, 0));
	note(1, phca_child_same(ctx, 0));
	return code;
}

PHCA_OFFLOAD_PROGRAM
int fetch(struct phca_offload_ctx *ctx)
{
	note(0, phca_sge_write(ctx, 2, "data", 4));
	note(1, phca_sge_write(ctx, 30, "data", 4));
	return PHCA_DONE;
}

/* As many helper calls as it is told, of 64 bytes each. */
PHCA_OFFLOAD_PROGRAM
int greedy(struct phca_offload_ctx *ctx)
{
	char buf[64];

#pragma unroll
	for (uint32_t i = 0; i < 8; i++)
		if (i < times)
			note(i, phca_payload_read(ctx, 0, buf, sizeof(buf)));
	return code;
}
