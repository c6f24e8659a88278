/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loader takes any text: it gives a configuration or an error with file and
 * line, never both. What it accepts is printed, loads again, and prints the
 * same; and it is no addition to itself.
 */
#include <string.h>

#include "fuzz_check.h"
#include "phca_config.h"

static char *printed(const struct phca_config *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	FUZZ_CHECK(f != NULL);
	FUZZ_CHECK(phca_config_print(c, f) == 0);
	fclose(f);
	return text;
}

/* References lead into their sections. */
static void check_refs(const struct phca_config *c)
{
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		FUZZ_CHECK((unsigned int)c->qps[i].app < c->nb_apps);
		FUZZ_CHECK((unsigned int)c->qps[i].port < c->nb_ports);
		FUZZ_CHECK(c->qps[i].count >= 1 && c->qps[i].init.qpn + c->qps[i].count - 1 <= 0xfffffe);
	}
	for (unsigned int i = 0; i < c->nb_proxy_qps; i++) {
		const struct phca_config_proxy_qp *p = &c->proxy_qps[i];

		for (unsigned int j = 0; j < p->nb_qps; j++)
			FUZZ_CHECK((unsigned int)p->qps[j] < c->nb_qps);
		for (unsigned int j = 0; j < p->nb_rules; j++) {
			FUZZ_CHECK((unsigned int)p->rules[j].filter < c->nb_filters);
			FUZZ_CHECK((unsigned int)p->rules[j].offload < c->nb_offloads);
			FUZZ_CHECK(p->rules[j].send || p->rules[j].inbound);
		}
	}
}

static void check_accepted(const struct phca_config *c)
{
	unsigned int names = c->nb_ports + c->nb_filters + c->nb_offloads + c->nb_apps + c->nb_qps;
	char *first = printed(c), *second, err[PHCA_CONFIG_ERR_MAX];
	struct phca_config *again = phca_config_parse("again", first, strlen(first), NULL, NULL, err, sizeof(err));

	if (again == NULL)
		fprintf(stderr, "%s\n%s\n", err, first);
	FUZZ_CHECK(again != NULL);
	second = printed(again);
	FUZZ_CHECK(strcmp(first, second) == 0);
	phca_config_free(again);
	/* "memory" is printed and no addition may have it */
	again = phca_config_parse("again", first, strlen(first), c, NULL, err, sizeof(err));
	FUZZ_CHECK(again == NULL && (names > 0 || strstr(err, "is fixed when the program starts") != NULL));
	free(first);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[PHCA_CONFIG_ERR_MAX], head[32];
	struct phca_config *c;
	unsigned int line = 0, lines = 1;

	memset(err, '~', sizeof(err));
	c = phca_config_parse("in", (const char *)data, size, NULL, NULL, err, sizeof(err));
	if (c != NULL) {
		check_refs(c);
		check_accepted(c);
		phca_config_free(c);
		return 0;
	}
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	FUZZ_CHECK(memchr(err, '\0', sizeof(err)) != NULL);
	line = (unsigned int)strtoul(err + 3, NULL, 10);
	snprintf(head, sizeof(head), "in:%u: ", line);
	FUZZ_CHECK(strncmp(err, head, strlen(head)) == 0);
	FUZZ_CHECK(line >= 1 && line <= lines);
	return 0;
}
