/* SPDX-License-Identifier: BSD-3-Clause */
/* Every arithmetic and jump instruction, for test_equivalence.c. Not refused. */
#include "phca_filter_ctx.h"

uint64_t table[64];

#define FOLD(x) (sum = sum * 31 + (x))

PHCA_FILTER
int arith(const struct phca_filter_ctx *ctx)
{
	uint64_t a = ctx->wr_id, b = ctx->compare, c = ctx->swap_add, sum = 0;
	int64_t sa = (int64_t)a, sb = (int64_t)b;
	uint32_t a32 = ctx->imm, b32 = ctx->qpn;

	FOLD(a + b);
	FOLD(a - b);
	FOLD(a * c);
	FOLD(b / (c >> 40));
	FOLD(a % (c >> 50));
	FOLD(a / 7 + b % 1000000);
	FOLD((a & b) ^ (c | 0x1234));
	FOLD(a << (b & 63));
	FOLD(a >> (c & 63));
	FOLD((uint64_t)(sa >> (b & 63)));
	FOLD((uint64_t)(sb >> 3) - (a >> 9) + (c << 17));
	FOLD(-a);
	FOLD(__builtin_bswap16((uint16_t)a));
	FOLD(__builtin_bswap32(a32));
	FOLD(__builtin_bswap64(b));
	FOLD((uint32_t)(a32 * b32) + (a32 ^ b32));
	if (a > b)
		FOLD(1);
	if (a >= c)
		FOLD(2);
	if (sa > sb)
		FOLD(3);
	if (sa <= (int64_t)c)
		FOLD(4);
	if (sa < -5)
		FOLD(5);
	if (a32 & 0x10)
		FOLD(6);
	if (a32 < 0x80000000)
		FOLD(7);
	table[ctx->dscp & 63] += sum;
	FOLD(table[a & 63]);
	FOLD(ctx->payload[sum & 63]);
	asm volatile("r1 = %0\nw1 += 5\nw1 *= w1\nw1 >>= 3\nw1 ^= -1\nw1 = -w1\n%0 ^= r1"
		: "+r"(sum) : : "r1");
	return (sum ^ sum >> 32) & 0x10f;
}
