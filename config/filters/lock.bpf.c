/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lock: offload lock requests (drivers/offload/lock) to a queue pair of an application.
 *
 * They are inbound SENDs, without immediate data, of RC, that begin with the four bytes
 * "PLKQ". Everything else passes.
 *
 * Parameters:
 *   magic    uint32_t, little endian in the message (default: lock requests)
 */
#include "phca_filter_ctx.h"

const volatile uint32_t magic = 0x514b4c50; /* PHCA_LOCK_MAGIC */

PHCA_FILTER
int lock(const struct phca_filter_ctx *ctx)
{
	uint32_t m;

	if (ctx->direction != PHCA_CTX_INBOUND || ctx->transport != PHCA_CTX_RC ||
			ctx->opcode != PHCA_CTX_OP_SEND || ctx->flags & (PHCA_CTX_F_IMM | PHCA_CTX_F_INV) ||
			ctx->payload_len < 4)
		return PHCA_PASS;
	m = ctx->payload[0] | (uint32_t)ctx->payload[1] << 8 | (uint32_t)ctx->payload[2] << 16 |
		(uint32_t)ctx->payload[3] << 24;
	return m == magic ? PHCA_OFFLOAD : PHCA_PASS;
}
