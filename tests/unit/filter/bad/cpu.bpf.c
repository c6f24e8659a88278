/* SPDX-License-Identifier: BSD-3-Clause */
/* Compiled with -mcpu=v3, as the guide does not say. */
#include "phca_filter_ctx.h"

PHCA_FILTER
int jump32(const struct phca_filter_ctx *ctx)
{
	if (ctx->msg_len > ctx->imm) /* REFUSED: 32-bit jump; compile with -mcpu=v2 */
		return PHCA_OFFLOAD;
	return PHCA_PASS;
}

PHCA_FILTER
int atomic_result(const struct phca_filter_ctx *ctx)
{
	static uint64_t n;

	return __sync_fetch_and_add(&n, 1) & 1; /* REFUSED: atomic operation 0x01; rte_bpf has atomic add */
}
