/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * none: no work request goes to the proxy CPU. No parameters, no maps. For
 * measuring what a filter costs.
 */
#include "phca_filter_ctx.h"

PHCA_FILTER
int none(const struct phca_filter_ctx *ctx)
{
	(void)ctx;
	return PHCA_PASS;
}
