/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random programs over RC, UC and UD, plain and proxy queue pairs, in all kinds
 * of weather. Each kind is run with PHCA_CHAOS_SEEDS seeds (40; 1000 in the long
 * form), from PHCA_CHAOS_SEED on; what fails says its seed, and
 *
 *   PHCA_CHAOS_SEED=123 PHCA_CHAOS_SEEDS=1 datapath-chaos chaos.drop_10
 *
 * runs it again; PHCA_CHAOS_LINKS=0x1 has only the first kind of links.
 */
#include <stdlib.h>
#include <string.h>

#include "work.h"

#define TURNS_MAX 2000000u /* of a run: more is stuck */
#define LINKS 8

static const struct { enum phca_qp_type type; enum link_proxy proxy; } kinds[LINKS] = {
	{ PHCA_QPT_RC, LINK_PLAIN }, { PHCA_QPT_RC, LINK_SWALLOW }, { PHCA_QPT_UC, LINK_PLAIN },
	{ PHCA_QPT_UC, LINK_SWALLOW }, { PHCA_QPT_UD, LINK_PLAIN },
	{ PHCA_QPT_RC, LINK_MIMIC }, { PHCA_QPT_UC, LINK_MIMIC }, { PHCA_QPT_UD, LINK_MIMIC },
};

static unsigned long env(const char *name, unsigned long def)
{
	const char *v = getenv(name);

	return v != NULL ? strtoul(v, NULL, 0) : def;
}

/* What the runs of a weather met. */
struct met {
	uint64_t spoiled;     /* packets */
	uint64_t cnps;        /* sent, by both ends */
	unsigned int gave_up; /* links */
	unsigned int windows; /* memory windows invalidated */
	unsigned int rules;   /* changes of rules */
	struct mimic_counts mimic;
};

static void run(uint64_t seed, const struct weather *we, struct met *met)
{
	struct world *w = world_open(seed, we);
	unsigned int failures = CU_get_number_of_failures(), turns = 0, open = LINKS;
	struct link *l[LINKS];
	bool over[LINKS] = { false };

	for (unsigned int i = 0; i < LINKS; i++)
		l[i] = link_open(w, kinds[i].type, kinds[i].proxy,
			env("PHCA_CHAOS_LINKS", ~0ul) >> i & 1 ? 64 : 0, we);
	while (open > 0 && turns++ < TURNS_MAX && CU_get_number_of_failures() == failures) {
		for (unsigned int i = 0; i < LINKS; i++) {
			if (over[i] || !link_step(l[i]))
				continue;
			over[i] = true;
			open--;
		}
		world_turn(w);
	}
	if (open > 0) {
		printf("  seed %lu: %u of the links do not get on\n", (unsigned long)seed, open);
		CU_FAIL("stuck");
	}
	met->spoiled += world_spoiled(w);
	met->cnps += world_cnps(w);
	for (unsigned int i = 0; i < 2; i++)
		mimic_add(w->end[i].mimic, &met->mimic);
	for (unsigned int i = 0; i < LINKS; i++) {
		met->rules += l[i]->rule_changes;
		met->gave_up += !l[i]->fails && (l[i]->side[0].gave_up || l[i]->side[1].gave_up);
		met->windows += l[i]->side[0].mw.rounds + l[i]->side[1].mw.rounds;
		link_close(l[i], CU_get_number_of_failures() == failures);
	}
	if (CU_get_number_of_failures() != failures)
		world_tell(w);
	world_close(w);
	if (CU_get_number_of_failures() != failures)
		printf("  again: PHCA_CHAOS_SEED=%lu PHCA_CHAOS_SEEDS=1 datapath-chaos chaos.%s\n",
			(unsigned long)seed, we->name);
}

static void weather(const struct weather *we)
{
	uint64_t first = env("PHCA_CHAOS_SEED", 1), n = env("PHCA_CHAOS_SEEDS", phca_test_long() ? 1000 : 40);
	unsigned int failures = CU_get_number_of_failures();
	struct met met = { 0 };

	for (uint64_t s = first; s < first + n && CU_get_number_of_failures() == failures; s++)
		run(s, we, &met);
	/* the network did what it is for, and connections that gave up are the exception */
	CU_ASSERT(n < 10 || (met.spoiled > 0) == (we->drop || we->dup || we->reorder || we->corrupt || we->delay ||
		we->ecn));
	CU_ASSERT(n < 10 || (met.cnps > 0) == (we->ecn > 0));
	CU_ASSERT(n < 10 || met.windows > n);
	/* each way to carry a request out was gone */
	CU_ASSERT(n < 10 || (met.mimic.passed > n && met.mimic.late > n && met.mimic.children > n &&
		met.mimic.delivered > n && met.rules > n &&
		(n < 2 * MIMIC_FAILS_EVERY || met.mimic.failed > 0)));
	CU_ASSERT(met.gave_up * 10 <= n * LINKS);
}

#define WEATHER(name_, ...) \
	PHCA_TEST(chaos, name_) \
	{ \
		static const struct weather we = { .name = #name_, __VA_ARGS__ }; \
		weather(&we); \
	}

WEATHER(clear)
WEATHER(drop_01, .drop = 1)
WEATHER(drop_1, .drop = 10)
WEATHER(drop_10, .drop = 100)
WEATHER(dup_01, .dup = 1)
WEATHER(dup_1, .dup = 10)
WEATHER(dup_10, .dup = 100)
WEATHER(reorder_01, .reorder = 1)
WEATHER(reorder_1, .reorder = 10)
WEATHER(reorder_10, .reorder = 100)
WEATHER(corrupt_01, .corrupt = 1)
WEATHER(corrupt_1, .corrupt = 10)
WEATHER(corrupt_10, .corrupt = 100)
WEATHER(delay_10, .delay = 100)
WEATHER(ecn_10, .ecn = 100)
WEATHER(ecn_drop_1, .ecn = 300, .drop = 10, .reorder = 10)
WEATHER(all_01, .drop = 1, .dup = 1, .reorder = 1, .corrupt = 1, .delay = 1)
WEATHER(all_1, .drop = 10, .dup = 10, .reorder = 10, .corrupt = 10, .delay = 10)
WEATHER(all_10, .drop = 100, .dup = 100, .reorder = 100, .corrupt = 100, .delay = 100)
