/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * by_size: offload messages of min_len to max_len bytes.
 *
 * Parameters:
 *   min_len   uint32_t, bytes (default 4096)
 *   max_len   uint32_t, bytes (default 4294967295)
 *
 * The length of an inbound SEND of several packets is not known on its first
 * one; it is at least one packet of the path's MTU.
 */
#include "phca_filter_ctx.h"

const volatile uint32_t min_len = 4096;
const volatile uint32_t max_len = UINT32_MAX;

PHCA_FILTER
int by_size(const struct phca_filter_ctx *ctx)
{
	if (ctx->msg_len < min_len || ctx->msg_len > max_len)
		return PHCA_PASS;
	return PHCA_OFFLOAD;
}
