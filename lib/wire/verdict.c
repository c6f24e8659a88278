/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and meanings of the verdicts, from the one list in phca_wire.h. */
#include "phca_wire.h"

static const struct { const char *name, *help; } verdicts[PHCA_V_COUNT] = {
#define ROW(e, n, h) [PHCA_V_##e] = { n, h },
	PHCA_VERDICTS(ROW)
#undef ROW
};

const char *phca_verdict_str(enum phca_verdict v)
{
	return (unsigned int)v < PHCA_V_COUNT ? verdicts[v].name : "?";
}

const char *phca_verdict_help(enum phca_verdict v)
{
	return (unsigned int)v < PHCA_V_COUNT ? verdicts[v].help : "?";
}
