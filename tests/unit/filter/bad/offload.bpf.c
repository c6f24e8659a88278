/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Offload programs that must be refused, as programs.bpf.c.
 */
#include "phca_offload_ctx.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, uint64_t);
	__type(value, uint64_t);
} pairs SEC(".maps");

const volatile uint32_t param = 1;
uint64_t table[4];

static long (*odd)(void *ctx) = (void *)1999;
/* as an author may get it wrong: other arguments than the helper has */
static long (*reply_nothing)(uint64_t a, const void *buf, uint64_t len, uint64_t flags) = (void *)1010;
static long (*reply_number)(void *ctx, uint64_t a, uint64_t len, uint64_t flags) = (void *)1010;
static long (*reply_length)(void *ctx, const void *buf, const void *len, uint64_t flags) = (void *)1010;
static long (*reply_flags)(void *ctx, const void *buf, uint64_t len, const void *flags) = (void *)1010;

PHCA_OFFLOAD_PROGRAM
int unbounded(struct phca_offload_ctx *ctx)
{
	char buf[64] = {};

	phca_reply(ctx, buf, ctx->va, 0); /* REFUSED: phca_reply: the length, argument 3 (r3), may be any */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int too_long(struct phca_offload_ctx *ctx)
{
	char buf[64] = {};
	uint64_t len = ctx->va;

	if (len > 65)
		return PHCA_PASS_ON;
	phca_reply(ctx, buf, len, 0); /* REFUSED: phca_reply: argument 2 (r2): 65 bytes at offset */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int never_written(struct phca_offload_ctx *ctx)
{
	char buf[64];

	phca_reply(ctx, buf, 8, 0); /* REFUSED: phca_reply: argument 2 (r2): byte 0 of 8 was never written */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int half_written(struct phca_offload_ctx *ctx)
{
	uint64_t len = ctx->len;
	char buf[64];

	if (len > 64)
		return PHCA_PASS_ON;
	phca_payload_read(ctx, 0, buf, len);
	phca_reply(ctx, buf, 64, 0); /* REFUSED: phca_reply: argument 2 (r2): byte 0 of 64 was never written */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int into_context(struct phca_offload_ctx *ctx)
{
	phca_payload_read(ctx, 0, ctx, 8); /* REFUSED: argument 3 (r3) is the context, not memory that can be */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int into_param(struct phca_offload_ctx *ctx)
{
	phca_payload_read(ctx, 0, (void *)&param, 4); /* REFUSED: argument 3 (r3): .rodata is read only */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int behind_global(struct phca_offload_ctx *ctx)
{
	phca_payload_read(ctx, 0, &table[1], 32); /* REFUSED: 32 bytes at offset 8 of globals in .bss, which is 0..31 */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int maybe_null(struct phca_offload_ctx *ctx)
{
	uint64_t key = ctx->qpn, *value = bpf_map_lookup_elem(&pairs, &key);

	phca_reply(ctx, value, 8, 0); /* REFUSED: the result of a look-up in map pairs is used without */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int pointer_out(struct phca_offload_ctx *ctx)
{
	void *volatile p = ctx;

	phca_reply(ctx, (const void *)&p, 8, 0); /* REFUSED: holds a pointer */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int not_context(struct phca_offload_ctx *ctx)
{
	phca_child_same(&ctx->qpn, 0); /* REFUSED: argument 1 (r1) is the context, not the context as the program */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int number_for_context(struct phca_offload_ctx *ctx)
{
	reply_nothing(ctx->va, ctx->payload, 8, 0); /* REFUSED: phca_reply: argument 1 (r1) is a number, not the */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int number_for_pointer(struct phca_offload_ctx *ctx)
{
	reply_number(ctx, ctx->va, 8, 0); /* REFUSED: argument 2 (r2): a number is not a pointer to memory */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int pointer_for_length(struct phca_offload_ctx *ctx)
{
	reply_length(ctx, ctx->payload, ctx, 0); /* REFUSED: argument 3 (r3) is the context, not a number of bytes */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int pointer_for_number(struct phca_offload_ctx *ctx)
{
	reply_flags(ctx, ctx->payload, 8, ctx); /* REFUSED: argument 4 (r4) is the context, not a number */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int unknown_helper(struct phca_offload_ctx *ctx)
{
	odd(ctx); /* REFUSED: helper 1999 (unknown); proxyhca has bpf_map_lookup_elem */
	return PHCA_DONE;
}

PHCA_OFFLOAD_PROGRAM
int behind_context(struct phca_offload_ctx *ctx)
{
	return ((uint64_t *)ctx)[24]; /* REFUSED: 8 bytes at offset 192 of the context, which is 0..191 */
}
