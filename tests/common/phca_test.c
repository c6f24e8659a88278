/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The runner of all test programs. It keeps: every registered test that was
 * selected is counted exactly once, as passed, failed or skipped, and a test
 * that cannot fail (no assertion) has failed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/TestRun.h>

#include "phca_test.h"

static struct phca_test *tests, **tests_end = &tests;
static unsigned int passed, failed, skipped, asserts_before;
static const char *skip_reason;

void phca_test_register(struct phca_test *t)
{
	*tests_end = t;
	tests_end = &t->next;
}

void phca_test_skip(const char *reason)
{
	skip_reason = reason;
}

bool phca_test_long(void)
{
	const char *s = getenv("PHCA_TEST_LONG");

	return s != NULL && strcmp(s, "") != 0 && strcmp(s, "0") != 0;
}

static void on_start(const CU_pTest test, const CU_pSuite suite)
{
	(void)test;
	(void)suite;
	skip_reason = NULL;
	asserts_before = CU_get_number_of_asserts();
}

static void on_complete(const CU_pTest test, const CU_pSuite suite,
		const CU_pFailureRecord failures)
{
	bool asserted = CU_get_number_of_asserts() != asserts_before;

	for (const CU_FailureRecord *f = failures; f != NULL; f = f->pNext)
		printf("  %s:%u: %s\n", f->strFileName != NULL ? f->strFileName : "?",
			f->uiLineNumber, f->strCondition != NULL ? f->strCondition : "?");
	if (failures != NULL) {
		failed++;
		printf("FAIL %s.%s\n", suite->pName, test->pName);
	} else if (skip_reason != NULL) {
		skipped++;
		printf("SKIP %s.%s: %s\n", suite->pName, test->pName, skip_reason);
	} else if (!asserted) {
		failed++;
		printf("FAIL %s.%s: asserted nothing\n", suite->pName, test->pName);
	} else {
		passed++;
		printf("ok   %s.%s\n", suite->pName, test->pName);
	}
}

static bool selected(const struct phca_test *t, const char *pattern)
{
	char full[256];

	snprintf(full, sizeof(full), "%s.%s", t->suite, t->name);
	return t->run != NULL && (pattern == NULL || strstr(full, pattern) != NULL);
}

/* CUnit's registry from the list. Returns how many tests, negative on error. */
static int registry_fill(const char *pattern)
{
	int n = 0;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return -1;
	for (struct phca_test *t = tests; t != NULL; t = t->next) {
		CU_pSuite s;

		if (!selected(t, pattern))
			continue;
		s = CU_get_suite_by_name(t->suite, CU_get_registry());
		if (s == NULL)
			s = CU_add_suite(t->suite, NULL, NULL);
		if (s == NULL || CU_get_test_by_name(t->name, s) != NULL ||
				CU_add_test(s, t->name, t->run) == NULL) {
			fprintf(stderr, "test %s.%s: cannot add; is the name there twice?\n",
				t->suite, t->name);
			return -1;
		}
		n++;
	}
	return n;
}

/* The build's list of files was made when it was configured: is it still true? */
static bool files_match(void)
{
	int n = 0;
#ifdef PHCA_TEST_DIR
	DIR *dir = opendir(PHCA_TEST_DIR);

	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		size_t len = strlen(e->d_name);

		n += strncmp(e->d_name, "test_", 5) == 0 && len > 2 &&
			strcmp(e->d_name + len - 2, ".c") == 0;
	}
	if (dir != NULL)
		closedir(dir);
	else /* installed elsewhere than it was built: nothing to compare with */
		n = PHCA_TEST_FILES;
	if (n != PHCA_TEST_FILES) {
		fprintf(stderr, "%s: %d test_*.c files, built with %d; run: meson setup --reconfigure\n",
			PHCA_TEST_DIR, n, PHCA_TEST_FILES);
		return false;
	}
#endif
	return n >= 0;
}

/* Options that ask what there is. @return whether it was one */
static bool listed(const char *option)
{
	if (strcmp(option, "-l") == 0) {
		for (struct phca_test *t = tests; t != NULL; t = t->next)
			if (t->run != NULL)
				printf("%s.%s\n", t->suite, t->name);
		return true;
	}
	if (strcmp(option, "--list-clauses") != 0)
		return false;
	for (struct phca_test *t = tests; t != NULL; t = t->next)
		if (t->clause != NULL)
			printf("%s\t%s.%s\t%s\n", t->clause, t->suite, t->name, t->what);
	return true;
}

int phca_test_main(int argc, char **argv)
{
	const char *pattern = argc > 1 ? argv[1] : NULL;
	int n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && listed(argv[1]))
		return 0;
	if (!files_match())
		return 1;
	n = registry_fill(pattern);
	if (n <= 0) {
		fprintf(stderr, "no test%s%s\n", pattern != NULL ? " matches " : "",
			pattern != NULL ? pattern : "");
		return 1;
	}
	CU_set_test_start_handler(on_start);
	CU_set_test_complete_handler(on_complete);
	CU_run_all_tests();
	CU_cleanup_registry();
	if (passed + failed + skipped != (unsigned int)n) {
		fprintf(stderr, "%d tests were to run, %u did\n", n, passed + failed + skipped);
		failed++;
	}
	printf("tests %u passed %u failed %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
