/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kind of program of section phca/offload with helpers that only touch the memory
 * that they are given: for tests of the check and of compiled code, where there is
 * no proxy. What they return depends on numbers only, not on addresses.
 */
#ifndef OFFLOAD_KIND_H
#define OFFLOAD_KIND_H

#include <string.h>

#include "phca_offload_helpers.h"

static uint64_t offload_kind_calls; /* of all helpers */
static uint64_t offload_kind_sum;   /* of the bytes that they read */

/* What a helper does: arguments as its row in the table says. */
static inline uint64_t offload_kind_call(const uint8_t kinds[PHCA_HELPER_ARGS], const uint64_t *a)
{
	uint64_t h = ++offload_kind_calls;

	for (unsigned int i = 0; i < PHCA_HELPER_ARGS && kinds[i] != PHCA_HELPER_END; i++) {
		uint8_t *p = (uint8_t *)(uintptr_t)a[i];

		if (kinds[i] == PHCA_HELPER_NUM || kinds[i] == PHCA_HELPER_LEN)
			h = h * 31 + a[i];
		for (uint64_t k = 0; kinds[i] == PHCA_HELPER_IN && k < a[i + 1]; k++)
			offload_kind_sum += p[k];
		if (kinds[i] == PHCA_HELPER_OUT && a[i + 1] > 0)
			memset(p, (int)(h & 0xff), a[i + 1]);
	}
	return h % 3 == 0 ? (uint64_t)-13 : h % 5;
}

#define OFFLOAD_KIND_FN(number, name, args) \
static PHCA_HELPER_FN uint64_t help_##name(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) \
{ \
	static const uint8_t kinds[PHCA_HELPER_ARGS] = PHCA_OFFLOAD_ARGS args; \
	const uint64_t a[PHCA_HELPER_ARGS] = { a1, a2, a3, a4, a5 }; \
	return offload_kind_call(kinds, a); \
}
PHCA_OFFLOAD_HELPERS(OFFLOAD_KIND_FN)
#undef OFFLOAD_KIND_FN

static const struct phca_filter_helper offload_kind_helpers[] = {
	PHCA_OFFLOAD_HELPERS(PHCA_OFFLOAD_HELPER_ROW)
	{ .number = 0 }
};

static const struct phca_filter_kind offload_kind = {
	.noun = "offload", .section = "phca/offload", .mark = "PHCA_OFFLOAD_PROGRAM",
	.ctx_size = sizeof(struct phca_offload_ctx), .helpers = offload_kind_helpers,
};

#endif
