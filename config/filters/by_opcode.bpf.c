/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * by_opcode: offload some operations.
 *
 * Parameters:
 *   send, write, read, atomic   bool: whether such requests are offloaded
 *                               (default: send only)
 *   direction                   0: posted by the application, 1: from the
 *                               network, 2: both (default)
 */
#include <stdbool.h>

#include "phca_filter_ctx.h"

const volatile bool send = true;
const volatile bool write = false;
const volatile bool read = false;
const volatile bool atomic = false;
const volatile uint8_t direction = 2;

PHCA_FILTER
int by_opcode(const struct phca_filter_ctx *ctx)
{
	if (direction != 2 && ctx->direction != direction)
		return PHCA_PASS;
	switch (ctx->opcode) {
	case PHCA_CTX_OP_SEND:
		return send ? PHCA_OFFLOAD : PHCA_PASS;
	case PHCA_CTX_OP_WRITE:
		return write ? PHCA_OFFLOAD : PHCA_PASS;
	case PHCA_CTX_OP_READ:
		return read ? PHCA_OFFLOAD : PHCA_PASS;
	case PHCA_CTX_OP_CMP_SWAP:
	case PHCA_CTX_OP_FETCH_ADD:
		return atomic ? PHCA_OFFLOAD : PHCA_PASS;
	}
	return PHCA_PASS;
}
