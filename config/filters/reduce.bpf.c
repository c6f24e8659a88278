/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reduce: offload what peers contribute to reductions (drivers/offload/reduce,
 * doc/offload-reduce.md), known by its magic. Results, which have it too, pass.
 *
 * Parameters:
 *   any      bool: contributions to any group (default true)
 *   group    uint32_t: with any false, the only group that is offloaded (default 0)
 */
#include <stdbool.h>

#include "phca_filter_ctx.h"

#define HDR_LEN 40
#define FLAGS 7           /* offset of the flags */
#define GROUP 8           /* of the group */
#define F_RESULT 0x80

const volatile bool any = true;
const volatile uint32_t group = 0;

static __always_inline uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

PHCA_FILTER
int reduce(const struct phca_filter_ctx *ctx)
{
	if (ctx->direction != PHCA_CTX_INBOUND || ctx->transport != PHCA_CTX_RC ||
			ctx->opcode != PHCA_CTX_OP_SEND || ctx->payload_len < HDR_LEN)
		return PHCA_PASS;
	if (le32(ctx->payload) != 0x44524850 /* "PHRD" */ || (ctx->payload[FLAGS] & F_RESULT))
		return PHCA_PASS;
	return any || le32(ctx->payload + GROUP) == group ? PHCA_OFFLOAD : PHCA_PASS;
}
