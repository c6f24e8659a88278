/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * all: every work request goes to the proxy CPU. No parameters, no maps.
 */
#include "phca_filter_ctx.h"

PHCA_FILTER
int all(const struct phca_filter_ctx *ctx)
{
	(void)ctx;
	return PHCA_OFFLOAD;
}
