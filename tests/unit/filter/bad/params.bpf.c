/* SPDX-License-Identifier: BSD-3-Clause */
/* One parameter of every kind, and maps with every kind of key and value. */
#include <stdbool.h>

#include "phca_filter_ctx.h"

enum colour { RED = 1, GREEN = 2, BLUE = 40 };
struct inner { uint16_t x; int8_t y; };
struct outer { uint32_t a; struct inner in; uint8_t ip[4]; enum colour c; };

const volatile uint8_t u8 = 1;
const volatile int8_t s8 = -1;
const volatile uint16_t u16 = 2;
const volatile int16_t s16 = -2;
const volatile uint32_t u32 = 3;
const volatile int32_t s32 = -3;
const volatile uint64_t u64 = 4;
const volatile int64_t s64 = -4;
const volatile bool flag = true;
const volatile enum colour colour = RED;
const volatile char text[8] = "abc";
const volatile uint8_t addr4[4] = { 10, 0, 0, 1 };
const volatile uint8_t addr6[16] = { 0 };
const volatile uint8_t raw[6] = { 1, 2, 3, 4, 5, 6 };
const volatile uint16_t list[3] = { 7, 8, 9 };
const volatile struct outer nested = { 1, { 2, -3 }, { 4, 5, 6, 7 }, GREEN };
const uint32_t constant = 5;
uint32_t variable = 6;
uint64_t result[4];

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, struct outer);
	__type(value, struct outer);
} structs SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, uint32_t);
	__type(value, int16_t);
} numbers SEC(".maps");
struct lpm4 { uint32_t prefixlen; uint8_t addr[4]; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4);
	__type(key, struct lpm4);
	__type(value, uint8_t[16]);
} nets SEC(".maps");

PHCA_FILTER
int params(const struct phca_filter_ctx *ctx)
{
	uint32_t zero = 0;
	struct outer k = { 0 };

	result[0] = u8 + s8 + u16 + s16 + u32 + s32 + u64 + s64;
	result[1] = flag + colour + text[0] + addr4[0] + addr6[0] + raw[0] + list[0];
	result[2] = nested.a + nested.in.y + *(const volatile uint32_t *)&constant + variable;
	bpf_map_lookup_elem(&structs, &k);
	bpf_map_lookup_elem(&numbers, &zero);
	bpf_map_lookup_elem(&nets, ctx->payload);
	return ctx->qpn;
}
