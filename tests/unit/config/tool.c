/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration library on the command line, for tests that compare it with
 * a second source: check files, print one, print the schema, print the rows of
 * the documentation. What it prints is only what the library says.
 */
#include <stdio.h>
#include <string.h>

#include "config_impl.h"

/* One line a file: "ok", or the error. */
static int check(int n, char **files)
{
	char err[PHCA_CONFIG_ERR_MAX];
	int bad = 0;

	for (int i = 0; i < n; i++) {
		struct phca_config *c = phca_config_load(files[i], NULL, NULL, err, sizeof(err));

		printf("%s\n", c != NULL ? "ok" : err);
		bad += c == NULL;
		phca_config_free(c);
	}
	return bad != 0;
}

static int print(const char *file)
{
	char err[PHCA_CONFIG_ERR_MAX];
	struct phca_config *c = phca_config_load(file, NULL, NULL, err, sizeof(err));
	int rc;

	if (c == NULL) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	rc = phca_config_print(c, stdout);
	phca_config_free(c);
	return rc != 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && strcmp(argv[1], "check") == 0)
		return check(argc - 2, argv + 2);
	if (argc == 3 && strcmp(argv[1], "print") == 0)
		return print(argv[2]);
	if (argc == 2 && strcmp(argv[1], "schema") == 0)
		return phca_config_schema_print(stdout) != 0;
	if (argc == 2 && strcmp(argv[1], "rows") == 0)
		return cfg_doc_rows(stdout) != 0;
	fprintf(stderr, "usage: config-tool check FILE... | print FILE | schema | rows\n");
	return 2;
}
