/* SPDX-License-Identifier: BSD-3-Clause */
/* Verdict names are counters: each is there, unique, and safe out of range. */
#include <ctype.h>
#include <string.h>

#include "phca_test.h"
#include "phca_wire.h"

PHCA_TEST(verdict, names_are_unique_identifiers)
{
	for (int v = 0; v < PHCA_V_COUNT; v++) {
		const char *name = phca_verdict_str(v);

		CU_ASSERT_TRUE(strlen(name) > 1);
		for (const char *p = name; *p != '\0'; p++)
			CU_ASSERT_TRUE(islower(*p) || isdigit(*p) || *p == '_');
		for (int w = 0; w < v; w++)
			CU_ASSERT_STRING_NOT_EQUAL(name, phca_verdict_str(w));
		CU_ASSERT_TRUE(strlen(phca_verdict_help(v)) > 5);
	}
	CU_ASSERT_STRING_EQUAL(phca_verdict_str(PHCA_V_OK), "ok");
	CU_ASSERT_STRING_EQUAL(phca_verdict_str(PHCA_V_ABORTED), "aborted");
}

PHCA_TEST(verdict, out_of_range_is_a_question_mark)
{
	CU_ASSERT_STRING_EQUAL(phca_verdict_str(PHCA_V_COUNT), "?");
	CU_ASSERT_STRING_EQUAL(phca_verdict_str((enum phca_verdict)-1), "?");
	CU_ASSERT_STRING_EQUAL(phca_verdict_help(PHCA_V_COUNT), "?");
}
