/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * one_in_n: offload every nth work request, or a random one in n.
 *
 * Parameters:
 *   n        uint32_t: 1 offloads all, 0 none (default 2)
 *   random   bool: choose at random, one in n on average (default false)
 *
 * The count is shared by all queue pairs that use the filter, and kept in a
 * global: `count`. Lcores that run the filter at the same moment may count one
 * request for two, which does not matter here; use an atomic add
 * (__sync_fetch_and_add) where it does.
 */
#include <stdbool.h>

#include "phca_filter_ctx.h"

const volatile uint32_t n = 2;
const volatile bool random = false;

uint64_t count;

PHCA_FILTER
int one_in_n(const struct phca_filter_ctx *ctx)
{
	uint64_t turn;

	(void)ctx;
	if (n == 0)
		return PHCA_PASS;
	turn = random ? bpf_get_prandom_u32() : ++count;
	return turn % n == 0 ? PHCA_OFFLOAD : PHCA_PASS;
}
