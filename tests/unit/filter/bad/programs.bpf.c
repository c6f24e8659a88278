/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs that must be refused. The comment on the offending line is the test:
 * the refusal must hold that text and name this line.
 */
#include <stdbool.h>

#include "phca_filter_ctx.h"

struct pair { uint64_t a, b; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, uint64_t);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, uint32_t);
	__type(value, uint32_t);
} small SEC(".maps");

const volatile uint32_t param = 1;
uint64_t counter;
uint32_t table[16];

static long (*bpf_trace_printk)(const char *fmt, uint32_t size, ...) = (void *)6;
static long (*bpf_odd)(void) = (void *)999;

PHCA_FILTER
int no_null_check(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	return p->a == 1; /* REFUSED: the result of a look-up in map pairs is used without */
}

PHCA_FILTER
int null_check_of_other(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn, key2 = ctx->peer_qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);
	struct pair *q = bpf_map_lookup_elem(&pairs, &key2);

	if (!p)
		return 0;
	return q->a == 1; /* REFUSED: used without a check for NULL */
}

PHCA_FILTER
int null_check_on_one_path(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	if (ctx->msg_len > 100 && !p)
		return 0;
	return p->b == 1; /* REFUSED: used without a check for NULL */
}

PHCA_FILTER
int null_deref(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	volatile struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	if (p)
		return 1;
	asm volatile("%0 = *(u64 *)(%0 + 0)" : "+r"(p)); /* REFUSED: a number is not a pointer */
	return p == 0;
}

PHCA_FILTER
int write_unchecked(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	p->a = 5; /* REFUSED: store: the result of a look-up in map pairs is used without a check */
	return 0;
}

PHCA_FILTER
int past_value(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	if (!p)
		return 0;
	return p[1].a == 1; /* REFUSED: 8 bytes at offset 16 of a value of map pairs, which */
}

PHCA_FILTER
int before_value(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	if (!p)
		return 0;
	return p[-1].b == 1; /* REFUSED: 8 bytes at offset -8 of a value of map pairs */
}

PHCA_FILTER
int variable_past_value(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	uint8_t *p = bpf_map_lookup_elem(&pairs, &key);

	if (!p)
		return 0;
	return p[ctx->dscp & 31]; /* REFUSED: 1 bytes at offset 0..31 of a value of map pairs */
}

PHCA_FILTER
int variable_unbounded(const struct phca_filter_ctx *ctx)
{
	return table[ctx->swap_add]; /* REFUSED: bound it with a mask */
}

PHCA_FILTER
int variable_past_global(const struct phca_filter_ctx *ctx)
{
	return table[ctx->dscp & 31]; /* REFUSED: 4 bytes at offset 0..124 of globals in .bss */
}

PHCA_FILTER
int unaligned_variable(const struct phca_filter_ctx *ctx)
{
	return *(uint32_t *)((uint8_t *)table + (ctx->dscp & 15)); /* REFUSED: not aligned */
}

PHCA_FILTER
int past_ctx(const struct phca_filter_ctx *ctx)
{
	return *(const uint32_t *)(ctx + 1); /* REFUSED: 4 bytes at offset 192 of the context, which is 0..191 */
}

PHCA_FILTER
int before_ctx(const struct phca_filter_ctx *ctx)
{
	return *((const uint32_t *)ctx - 1); /* REFUSED: 4 bytes at offset -4 of the context */
}

PHCA_FILTER
int straddles_ctx_end(const struct phca_filter_ctx *ctx)
{
	return *(const uint64_t *)(ctx->payload + 60); /* REFUSED: 8 bytes at offset 188 of the context */
}

PHCA_FILTER
int unaligned_ctx(const struct phca_filter_ctx *ctx)
{
	return *(const uint32_t *)(ctx->payload + 1); /* REFUSED: 4 bytes at offset 129 of the context are not */
}

PHCA_FILTER
int variable_past_ctx(const struct phca_filter_ctx *ctx)
{
	return ctx->payload[ctx->dscp & 127]; /* REFUSED: 1 bytes at offset 128..255 of the context */
}

PHCA_FILTER
int write_ctx(struct phca_filter_ctx *ctx)
{
	ctx->msg_len = 0; /* REFUSED: the context is read only */
	return 0;
}

PHCA_FILTER
int write_param(const struct phca_filter_ctx *ctx)
{
	*(volatile uint32_t *)&param = ctx->qpn; /* REFUSED: .rodata is read only */
	return 0;
}

PHCA_FILTER
int atomic_on_ctx(struct phca_filter_ctx *ctx)
{
	__sync_fetch_and_add(&ctx->swap_add, 1); /* REFUSED: the context is read only */
	return 0;
}

PHCA_FILTER
int uninitialised_key(const struct phca_filter_ctx *ctx)
{
	uint64_t key;

	return bpf_map_lookup_elem(&pairs, &key) != 0; /* REFUSED: key (r2): byte 0 of 8 was never written */
}

PHCA_FILTER
int half_initialised_key(const struct phca_filter_ctx *ctx)
{
	volatile uint32_t key[2];

	key[0] = ctx->qpn;
	return bpf_map_lookup_elem(&pairs, (void *)key) != 0; /* REFUSED: key (r2): byte 4 of 8 was never */
}

PHCA_FILTER
int padding_in_value(const struct phca_filter_ctx *ctx)
{
	volatile struct { uint32_t a; uint64_t b; } v;
	uint64_t key = ctx->qpn;

	v.a = 1;
	v.b = 2;
	bpf_map_update_elem(&pairs, &key, (void *)&v, BPF_ANY); /* REFUSED: value (r3): byte 4 of 16 */
	return 0;
}

PHCA_FILTER
int key_on_one_path(const struct phca_filter_ctx *ctx)
{
	volatile uint64_t key;

	if (ctx->msg_len > 100)
		key = 5;
	return bpf_map_lookup_elem(&pairs, (void *)&key) != 0; /* REFUSED: key (r2): byte 0 of 8 was never written */
}

PHCA_FILTER
int key_past_stack(const struct phca_filter_ctx *ctx)
{
	uint64_t r;

	asm volatile( /* REFUSED: key (r2): 8 bytes at offset -4 of the stack */
		"r1 = 1\n"
		"*(u32 *)(r10 - 4) = r1\n"
		"r1 = %1 ll\n"
		"r2 = r10\n"
		"r2 += -4\n"
		"call 1\n"
		"%0 = r0\n" : "=r"(r) : "i"(&pairs) : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
	return r != 0;
}

PHCA_FILTER
int stack_too_deep(const struct phca_filter_ctx *ctx)
{
	asm volatile("*(u64 *)(r10 - 520) = %0" : : "r"(1ul)); /* REFUSED: 8 bytes at offset -520 of the stack */
	return 0;
}

PHCA_FILTER
int stack_above(const struct phca_filter_ctx *ctx)
{
	asm volatile("*(u64 *)(r10 + 0) = %0" : : "r"(1ul)); /* REFUSED: 8 bytes at offset 0 of the stack */
	return 0;
}

PHCA_FILTER
int stack_unaligned(const struct phca_filter_ctx *ctx)
{
	asm volatile("*(u64 *)(r10 - 12) = %0" : : "r"(1ul)); /* REFUSED: offset -12 of the stack are not aligned */
	return 0;
}

PHCA_FILTER
int stack_unwritten(const struct phca_filter_ctx *ctx)
{
	uint64_t r;

	asm volatile("%0 = *(u64 *)(r10 - 8)" : "=r"(r)); /* REFUSED: load: byte 0 of 8 was never written */
	return r != 0;
}

PHCA_FILTER
int stack_variable(const struct phca_filter_ctx *ctx)
{
	volatile uint8_t a[16] = { 0 };

	a[3] = 1;
	return a[ctx->dscp & 15]; /* REFUSED: a variable index into the stack */
}

PHCA_FILTER
int key_too_small_a_value(const struct phca_filter_ctx *ctx)
{
	uint32_t zero = 0, *v = bpf_map_lookup_elem(&small, &zero);

	if (!v)
		return 0;
	return bpf_map_lookup_elem(&pairs, v) != 0; /* REFUSED: key (r2): 8 bytes at offset 0 of a value of map small */
}

PHCA_FILTER
int key_is_a_number(const struct phca_filter_ctx *ctx)
{
	return bpf_map_lookup_elem(&pairs, (void *)ctx->wr_id) != 0; /* REFUSED: key (r2): a number is not a pointer */
}

PHCA_FILTER
int map_is_no_map(const struct phca_filter_ctx *ctx)
{
	uint64_t key = 1;

	return bpf_map_lookup_elem((void *)ctx, &key) != 0; /* REFUSED: the first argument is the context, not a map */
}

PHCA_FILTER
int map_as_memory(const struct phca_filter_ctx *ctx)
{
	return *(volatile uint32_t *)&small; /* REFUSED: map small is not a pointer to memory */
}

PHCA_FILTER
int unknown_helper(const struct phca_filter_ctx *ctx)
{
	char fmt[] = "x";

	bpf_trace_printk(fmt, sizeof(fmt)); /* REFUSED: helper 6 (bpf_trace_printk); proxyhca has */
	return 0;
}

PHCA_FILTER
int odd_helper(const struct phca_filter_ctx *ctx)
{
	return bpf_odd(); /* REFUSED: helper 999 (unknown) */
}

PHCA_FILTER
int loop(const struct phca_filter_ctx *ctx)
{
	uint32_t sum = 0;

#pragma clang loop unroll(disable)
	for (uint32_t i = 0; i < ctx->num_sge; i++) /* REFUSED: a loop, back to instruction */
		sum = sum * 3 + i ^ sum >> 3;
	return sum == 7;
}

PHCA_FILTER
int loop_for_ever(const struct phca_filter_ctx *ctx)
{
	asm volatile("1: goto 1b"); /* REFUSED: a loop, back to instruction 0 */
	return 0;
}

static __attribute__((noinline)) int other(const struct phca_filter_ctx *ctx)
{
	asm volatile("");
	return ctx->msg_len > 5;
}

PHCA_FILTER
int calls_function(const struct phca_filter_ctx *ctx)
{
	return other(ctx) + 1; /* REFUSED: call of another eBPF function; rte_bpf has none */
}

PHCA_FILTER
uint64_t returns_pointer(const struct phca_filter_ctx *ctx)
{
	return (uint64_t)ctx; /* REFUSED: the return value is the context */
}

PHCA_FILTER
uint64_t returns_lookup(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;

	return (uint64_t)bpf_map_lookup_elem(&pairs, &key); /* REFUSED: the return value is a look-up in map pairs */
}

PHCA_FILTER
int stores_pointer_in_map(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	if (!p)
		return 0;
	p->a = (uint64_t)ctx; /* REFUSED: a pointer is stored into a value of map pairs */
	return 0;
}

PHCA_FILTER
int stores_pointer_in_global(const struct phca_filter_ctx *ctx)
{
	counter = (uint64_t)ctx; /* REFUSED: a pointer is stored into globals in .bss */
	return 0;
}

PHCA_FILTER
int pointer_in_value(const struct phca_filter_ctx *ctx)
{
	volatile struct pair v = { (uint64_t)ctx, 1 };
	uint64_t key = ctx->qpn;

	bpf_map_update_elem(&pairs, &key, (void *)&v, BPF_ANY); /* REFUSED: value (r3): holds a pointer */
	return 0;
}

PHCA_FILTER
int pointer_arithmetic(const struct phca_filter_ctx *ctx)
{
	uint64_t v = (uint64_t)ctx;

	asm volatile("%0 *= 3" : "+r"(v)); /* REFUSED: this arithmetic on the context is not allowed */
	return v == 1;
}

PHCA_FILTER
int maybe_arithmetic(const struct phca_filter_ctx *ctx)
{
	uint64_t key = ctx->qpn;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	asm volatile("%0 += 8" : "+r"(p)); /* REFUSED: arithmetic on a look-up in map pairs before */
	if (!p)
		return 0;
	return p->a == 1;
}

PHCA_FILTER
int pointer_compare(const struct phca_filter_ctx *ctx)
{
	uint64_t r = 0;

	asm volatile("if %1 > 5 goto +1\n" /* REFUSED: the context is compared with something other than NULL */
		"%0 = 1" : "+r"(r) : "r"(ctx));
	return (int)r;
}

PHCA_FILTER
int part_of_spill(const struct phca_filter_ctx *ctx)
{
	uint64_t r;

	asm volatile("*(u64 *)(r10 - 8) = %0" : : "r"(ctx));
	asm volatile("%0 = *(u32 *)(r10 - 8)" : "=r"(r)); /* REFUSED: load: holds a pointer */
	return (int)r;
}

PHCA_FILTER
int overwritten_spill(const struct phca_filter_ctx *ctx)
{
	uint64_t r = 1;

	asm volatile("*(u64 *)(r10 - 8) = %0" : : "r"(ctx));
	asm volatile("*(u8 *)(r10 - 8) = %0" : : "r"(1ul));
	asm volatile("%0 = *(u64 *)(r10 - 8)" : "=r"(r));
	asm volatile("%0 = *(u32 *)(%0 + 0)" : "+r"(r)); /* REFUSED: a number is not a pointer to memory */
	return (int)r;
}

PHCA_FILTER
int argument_after_call(const struct phca_filter_ctx *ctx)
{
	uint64_t r;

	asm volatile("call 7\n" /* REFUSED: r1 is used but was never set */
		"%0 = r1"
		: "=r"(r) : : "r0", "r2", "r3", "r4", "r5");
	return (int)r;
}

PHCA_FILTER
int frame_pointer(const struct phca_filter_ctx *ctx)
{
	asm volatile("r10 += 8"); /* REFUSED: r10, the frame pointer, is read only */
	return 0;
}

PHCA_FILTER
int divides_by_zero(const struct phca_filter_ctx *ctx)
{
	uint64_t r = ctx->wr_id;

	asm volatile("%0 /= 0" : "+r"(r)); /* REFUSED: division by zero */
	return (int)r;
}

PHCA_FILTER
int shifts_too_far(const struct phca_filter_ctx *ctx)
{
	uint64_t r = ctx->wr_id;

	asm volatile("%0 <<= 200" : "+r"(r)); /* REFUSED: shift by 200, allowed 0..63 */
	return (int)r;
}

PHCA_FILTER
int packet_load(const struct phca_filter_ctx *ctx)
{
	asm volatile("r6 = r1\n" /* REFUSED: packet load */
		"r0 = *(u32 *)skb[4]\n"
		: : : "r0", "r6");
	return 0;
}

PHCA_FILTER
int compare_bounds_only(const struct phca_filter_ctx *ctx)
{
	uint64_t i = ctx->wr_id;

	if (i > 63)
		return 0;
	asm volatile("" : "+r"(i)); /* the bound is known to our pass, not to rte_bpf */
	return ctx->payload[i]; /* REFUSED: rte_bpf refused it: memory boundary violation; bound */
}

/* Refused as a whole, at no instruction: test_refuse.c has the text. */
#define BRANCH(n) if (ctx->payload[n] & 1) { sum = sum * 3 + n; asm volatile("" : "+r"(sum)); }
#define BRANCHES(n) BRANCH(n) BRANCH(n + 1) BRANCH(n + 2) BRANCH(n + 3) BRANCH(n + 4)

PHCA_FILTER
int too_many_paths(const struct phca_filter_ctx *ctx)
{
	uint32_t sum = 0;

	BRANCHES(0)
	BRANCHES(5)
	BRANCHES(10)
	BRANCHES(15)
	BRANCHES(20)
	return sum == 5;
}
