/* SPDX-License-Identifier: BSD-3-Clause */
/* The parameters: all that is known of each comes from the one list, PHCA_CC_PARAMS. */
#include <stddef.h>

#include "phca_cc.h"

void phca_cc_params_default(struct phca_cc_params *p)
{
#define SET(name, def, min, max, help) p->name = def;
	PHCA_CC_PARAMS(SET)
#undef SET
}

const char *phca_cc_params_check(const struct phca_cc_params *p)
{
	static const struct {
		const char *name;
		size_t offset;
		uint64_t min, max;
	} rows[] = {
#define ROW(name, def, min, max, help) { #name, offsetof(struct phca_cc_params, name), min, max },
		PHCA_CC_PARAMS(ROW)
#undef ROW
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t v = *(const uint64_t *)((const char *)p + rows[i].offset);

		if (v < rows[i].min || v > rows[i].max)
			return rows[i].name;
	}
	return NULL;
}
