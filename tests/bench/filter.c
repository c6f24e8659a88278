/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a filter costs: ns per call of each example, native code and interpreted.
 * Prints, asserts nothing; run it on a quiet machine.
 *
 *   bench-filter FOLDER-OF-OBJECTS [thousand calls a row]
 *
 * Contexts differ from call to call, so that branches are not learned by heart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "phca_filter.h"

#define CONTEXTS 256

static struct phca_filter_ctx ctxs[CONTEXTS];
static struct phca_filter_env env = { .now_ns = 1, .prandom = 1 };
static volatile uint32_t sink; /* keeps the compiler from leaving work out */

/* Time that this thread ran: what others take of the core does not count. */
static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fill(void)
{
	uint64_t state = 1;

	for (unsigned int i = 0; i < CONTEXTS; i++) {
		struct phca_filter_ctx *c = &ctxs[i];

		state = state * 6364136223846793005u + 1442695040888963407u;
		c->direction = PHCA_CTX_INBOUND;
		c->opcode = (uint8_t)(state >> 33 & 1);
		c->msg_len = (uint32_t)(state >> 40) & 8191;
		c->payload_len = PHCA_CTX_PAYLOAD;
		c->payload[7] = (uint8_t)(state >> 50);
		c->sgid[10] = c->sgid[11] = 0xff;
		c->sgid[12] = 10;
		c->sgid[15] = (uint8_t)i;
	}
}

static double per_call(const char *dir, const char *name, bool no_jit, uint64_t calls)
{
	char path[4096], err[PHCA_FILTER_ERR_MAX], key[32];
	const struct phca_filter_spec spec = { .name = name, .object = path, .no_jit = no_jit };
	struct phca_filter *f;
	uint64_t t;

	snprintf(path, sizeof(path), "%s/%s.bpf.o", dir, name);
	f = phca_filter_load(&spec, err, sizeof(err));
	if (f == NULL) {
		fprintf(stderr, "%s\n", err);
		exit(1);
	}
	for (int i = 0; i < 128; i++) { /* half of the keys are there */
		snprintf(key, sizeof(key), "%d", 2 * i);
		if (phca_filter_map_find(f, "keys") >= 0)
			phca_filter_map_set(f, "keys", key, "1", err, sizeof(err));
		snprintf(key, sizeof(key), "10.0.0.%d", 2 * i);
		if (phca_filter_map_find(f, "sources") >= 0)
			phca_filter_map_set(f, "sources", key, "1", err, sizeof(err));
	}
	if (phca_filter_map_find(f, "sources") >= 0)
		phca_filter_map_set(f, "sources", "10.0.0.0/8", "0", err, sizeof(err));
	for (uint64_t i = 0; i < calls / 10; i++)
		sink += phca_filter_run(f, &ctxs[i % CONTEXTS]);
	t = now_ns();
	for (uint64_t i = 0; i < calls; i++)
		sink += phca_filter_run(f, &ctxs[i % CONTEXTS]);
	t = now_ns() - t;
	phca_filter_free(f);
	return (double)t / (double)calls;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
		"none", "all", "by_opcode", "by_size", "one_in_n", "by_payload_key", "by_source", "lock",
	};
	uint64_t calls = 1000u * (argc > 2 ? strtoull(argv[2], NULL, 10) : 5000);

	if (argc < 2 || calls == 0) {
		fprintf(stderr, "usage: bench-filter FOLDER-OF-OBJECTS [thousand calls a row]\n");
		return 1;
	}
	phca_filter_env_set(&env);
	fill();
	printf("%-16s %12s %12s\n", "filter", "native ns", "interpreted");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		printf("%-16s %12.1f %12.1f\n", names[i], per_call(argv[1], names[i], false, calls),
			per_call(argv[1], names[i], true, calls));
	return 0;
}
