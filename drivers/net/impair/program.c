/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs: rules with the state that each lane has for each of them. A random
 * sequence is seeded by the device's seed, direction, queue and the rule's text,
 * so it is the same in each run and next to any other rules.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "impair_impl.h"

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t seed_of(uint64_t seed, unsigned int dir, unsigned int queue, uint64_t id)
{
	uint64_t x = seed;

	x = random_next(&x) ^ id;
	x = random_next(&x) ^ ((uint64_t)dir << 32 | queue);
	return random_next(&x);
}

/* Lanes are numbered rx queues first. */
static int lane_states(const struct impair *dev, struct program *p, const struct lane *l, unsigned int lane)
{
	for (unsigned int k = 0; k < p->rules.nb; k++) {
		struct rule_state *s = &p->state[lane * p->rules.nb + k];
		const struct rule *r = &p->rules.rule[k];

		s->rng = seed_of(dev->seed, l->dir, l->queue, r->id);
		if (!r->xmit.set || !r->dir[l->dir])
			continue;
		s->xmit = rte_zmalloc("impair_xmit", sizeof(*s->xmit), RTE_CACHE_LINE_SIZE);
		if (s->xmit == NULL)
			return -1;
	}
	return 0;
}

static void index_rules(struct program *p)
{
	for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		p->places[dir] = 1;
		for (unsigned int k = 0; k < p->rules.nb; k++) {
			const struct rule *r = &p->rules.rule[k];

			if (!r->dir[dir])
				continue;
			p->index[dir][p->nb[dir]++] = (uint8_t)k;
			p->parse[dir] |= r->roce_only || r->has_op || r->action == ACTION_CORRUPT;
			if (r->action == ACTION_DUP)
				p->places[dir] = (uint16_t)(p->places[dir] + r->copies);
		}
	}
}

struct program *program_create(const struct impair *dev, const struct rules *rules)
{
	struct program *p = calloc(1, sizeof(*p));
	unsigned int lane = 0;

	if (p == NULL)
		return NULL;
	p->rules = *rules;
	index_rules(p);
	for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++)
		for (unsigned int q = 0; q < QUEUES_MAX; q++)
			p->nb_lanes += dev->lane[dir][q] != NULL;
	p->state = rte_zmalloc("impair_rules", (size_t)(p->nb_lanes * rules->nb + 1) * sizeof(*p->state),
		RTE_CACHE_LINE_SIZE);
	if (p->state == NULL) {
		free(p);
		return NULL;
	}
	for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		for (unsigned int q = 0; q < QUEUES_MAX; q++) {
			if (dev->lane[dir][q] == NULL)
				continue;
			if (lane_states(dev, p, dev->lane[dir][q], lane++) == 0)
				continue;
			program_free(p);
			return NULL;
		}
	}
	return p;
}

void program_free(struct program *p)
{
	if (p == NULL)
		return;
	for (unsigned int i = 0; i < p->nb_lanes * p->rules.nb; i++)
		rte_free(p->state[i].xmit);
	rte_free(p->state);
	free(p);
}
