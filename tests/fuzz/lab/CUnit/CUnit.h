/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In place of CUnit's header for the laboratory (tests/datapath/hca/lab.c) in a
 * fuzz target, where no test runs: what it asserts aborts.
 */
#ifndef FUZZ_LAB_CUNIT_H
#define FUZZ_LAB_CUNIT_H

#include "fuzz_check.h"

#define CU_ASSERT(c) FUZZ_CHECK(c)
#define CU_ASSERT_FATAL(c) FUZZ_CHECK(c)
#define CU_ASSERT_EQUAL(a, b) FUZZ_CHECK((a) == (b))

#endif
