/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules of net_impair take any text: they give rules or an error with a line
 * that exists. A rule that is accepted prints in full, and what is printed is
 * the same rule with the same random sequence.
 */
#include <string.h>

#include "fuzz_check.h"
#include "rules.h"

static const bool both[PHCA_IMPAIR_DIRS] = { true, true };

static void check_accepted(const struct rules *r)
{
	static struct rules again;
	static char all[PHCA_IMPAIR_RULES_MAX * PHCA_IMPAIR_RULE_LEN];
	char text[PHCA_IMPAIR_RULE_LEN], err[PHCA_IMPAIR_ERR_MAX];
	size_t n = 0;

	FUZZ_CHECK(r->nb <= PHCA_IMPAIR_RULES_MAX);
	for (unsigned int i = 0; i < r->nb; i++) {
		FUZZ_CHECK(r->rule[i].dir[0] || r->rule[i].dir[1]);
		rule_print(&r->rule[i], text, sizeof(text));
		FUZZ_CHECK(strlen(text) < sizeof(text) - 1); /* not cut */
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s\n", text);
	}
	all[n] = '\0';
	FUZZ_CHECK(rules_parse(all, "again", both, &again, err, sizeof(err)) == 0);
	FUZZ_CHECK(again.nb == r->nb);
	for (unsigned int i = 0; i < r->nb; i++)
		FUZZ_CHECK(again.rule[i].id == r->rule[i].id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[PHCA_IMPAIR_ERR_MAX] = "", head[32];
	static struct rules r;
	unsigned int line, lines = 1;
	char *text = malloc(size + 1);

	FUZZ_CHECK(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (rules_parse(text, "in", both, &r, err, sizeof(err)) == 0) {
		check_accepted(&r);
	} else {
		for (const char *p = text; *p != '\0'; p++)
			lines += *p == '\n';
		line = (unsigned int)strtoul(err + 3, NULL, 10);
		snprintf(head, sizeof(head), "in:%u: ", line);
		FUZZ_CHECK(strncmp(err, head, strlen(head)) == 0);
		FUZZ_CHECK(line >= 1 && line <= lines);
		FUZZ_CHECK(strlen(err) < sizeof(err) - 1);
	}
	free(text);
	return 0;
}
