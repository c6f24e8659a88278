/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Test programs: CUnit, with tests that register themselves.
 *
 *   #include "phca_test.h"
 *
 *   PHCA_TEST(psn, wraps_at_24_bits)
 *   {
 *           CU_ASSERT_EQUAL(phca_psn_add(phca_psn(0xffffff), 1).v, 0);
 *   }
 *
 * is all that a test needs: no list names it, so none can forget it. Tests of a
 * file run in its order. A program prints one line a test, what failed with file
 * and line, and ends with "tests N passed N failed N skipped". It exits with 1
 * when a test failed, asserted nothing, or when there was none.
 *
 *   unit-wire           run all
 *   unit-wire -l        list them
 *   unit-wire psn.      run those whose suite.name contains the text
 *   unit-wire --list-clauses  those that check a clause of a specification: clause,
 *                       suite.name and what it says, with tabs between; of clauses
 *                       that do not apply also why
 */
#ifndef PHCA_TEST_H
#define PHCA_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include <CUnit/CUnit.h>

/** One test; PHCA_TEST makes them. */
struct phca_test {
	const char *suite, *name;
	void (*run)(void);       /**< NULL: a clause that does not apply */
	struct phca_test *next;
	const char *clause;      /**< of the specification, which it checks; NULL: none */
	const char *what;        /**< what the clause says; or why it does not apply, after it and a tab */
};

/** Put @p t at the end of the list of tests. Called before main. */
void phca_test_register(struct phca_test *t);

/** Define and register the test @p name_ of suite @p suite_ (both identifiers). */
#define PHCA_TEST(suite_, name_) \
	static void phca_test_##suite_##_##name_(void); \
	__attribute__((constructor)) static void phca_test_reg_##suite_##_##name_(void) \
	{ \
		static struct phca_test t = { #suite_, #name_, \
			phca_test_##suite_##_##name_, NULL, NULL, NULL }; \
		phca_test_register(&t); \
	} \
	static void phca_test_##suite_##_##name_(void)

/** As PHCA_TEST, for one clause of a specification: its number, and what it says in a line. */
#define PHCA_CLAUSE(clause_, suite_, name_, what_) \
	static void phca_test_##suite_##_##name_(void); \
	__attribute__((constructor)) static void phca_test_reg_##suite_##_##name_(void) \
	{ \
		static struct phca_test t = { #suite_, #name_, \
			phca_test_##suite_##_##name_, NULL, clause_, what_ }; \
		phca_test_register(&t); \
	} \
	static void phca_test_##suite_##_##name_(void)

/** A clause that does not apply, and why. It is listed, and never run. */
#define PHCA_CLAUSE_NOT_APPLICABLE(clause_, suite_, name_, what_, why_) \
	__attribute__((constructor)) static void phca_test_na_##suite_##_##name_(void) \
	{ \
		static struct phca_test t = { #suite_, #name_, NULL, NULL, clause_, what_ "\t" why_ }; \
		phca_test_register(&t); \
	} \
	_Static_assert(sizeof(why_) > 1, "why it does not apply")

/** Mark the running test as skipped, with a reason that is printed. */
void phca_test_skip(const char *reason);
/** Skip the rest of the running test (in the test function itself). */
#define PHCA_SKIP(reason) do { phca_test_skip(reason); return; } while (0)

/** @return whether the long form of tests was asked for (PHCA_TEST_LONG=1). */
bool phca_test_long(void);

/** @return the next number of the seeded sequence @p state (splitmix64). */
static inline uint64_t phca_test_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/**
 * Run the registered tests.
 * @param argc, argv  of main, without EAL's arguments
 * @return exit status of the program: 0 or 1
 */
int phca_test_main(int argc, char **argv);

#endif
