/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests that pass, fail, skip, assert nothing or die, for check_runner.py. */
#include <stdlib.h>

#include "phca_test.h"

static const int yes = 1;

PHCA_TEST(pass, one)
{
	CU_ASSERT_TRUE(yes);
}

PHCA_TEST(pass, two)
{
	CU_ASSERT_EQUAL(yes, 1);
}

PHCA_TEST(fail, many)
{
	for (int i = 0; i < 256; i++) /* as an exit status, 256 would be 0 */
		CU_ASSERT_EQUAL(i, -1);
}

PHCA_TEST(fail, fatal)
{
	CU_ASSERT_TRUE_FATAL(!yes);
}

PHCA_TEST(skip, reason)
{
	PHCA_SKIP("no such hardware");
}

PHCA_TEST(skip, after_failure)
{
	CU_ASSERT_TRUE(!yes);
	PHCA_SKIP("a failure stays one");
}

PHCA_TEST(empty, asserts_nothing)
{
}

PHCA_TEST(die, aborts)
{
	abort();
}

int main(int argc, char **argv)
{
	return phca_test_main(argc, argv);
}
