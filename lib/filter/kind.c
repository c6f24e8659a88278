/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kinds of program. A kind says what its programs see and may call; all else,
 * loading, check, maps and parameters, is the same for every kind.
 */
#include <string.h>

#include "filter_impl.h"

const struct phca_filter_kind filter_kind_filter = {
	.noun = "filter", .section = "phca/filter", .mark = "PHCA_FILTER",
	.ctx_size = sizeof(struct phca_filter_ctx),
};

const struct phca_filter_helper *filter_kind_helper(const struct phca_filter_kind *k, uint32_t number)
{
	const struct phca_filter_helper *h = k->helpers;

	while (h != NULL && h->number != 0 && h->number != number)
		h++;
	return h != NULL && h->number != 0 ? h : NULL;
}

bool phca_filter_may_call(const struct phca_filter *f, uint32_t number)
{
	const struct phca_filter_helper *h = filter_kind_helper(f->kind, number);

	return h != NULL && (f->calls >> (h - f->kind->helpers) & 1) != 0;
}

bool phca_filter_may_return(const struct phca_filter *f, uint32_t value)
{
	unsigned int i;

	if (f->nb_ret > FILTER_RETURNS)
		return true;
	for (i = 0; i < f->nb_ret; i++) /* of 64 bits the lower 32 are what it returns */
		if (f->ret[i].hi > UINT32_MAX || (f->ret[i].lo <= value && f->ret[i].hi >= value))
			return true;
	return false;
}
