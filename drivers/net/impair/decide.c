/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the rules say of one packet. Each rule decides for itself, from the
 * packet, its own counts and its own random sequence; no rule sees what another
 * one decided. So the same packets and seed give the same decisions, and a rule
 * more or less changes none of the others'.
 */
#include <string.h>

#include "impair_impl.h"

#define TYPE_AT 12
#define TYPE_IP6 0x86dd
#define TYPE_VLAN 0x8100
#define PROTO_UDP 17

/* An IPv6 frame whose extension headers may lie beyond what was read? */
static bool ip6_other(const uint8_t *f, uint32_t there)
{
	uint32_t at = TYPE_AT;

	if (there >= at + 2 && phca_get16(f + at) == TYPE_VLAN)
		at += 4;
	return there >= at + 2 + 7 && phca_get16(f + at) == TYPE_IP6 && f[at + 2 + 6] != PROTO_UDP;
}

void view_init(struct view *v, const struct rte_mbuf *m)
{
	uint32_t there = RTE_MIN(rte_pktmbuf_pkt_len(m), (uint32_t)HEADERS_LEN);
	uint8_t copy[HEADERS_LEN];
	const uint8_t *f = rte_pktmbuf_read(m, 0, there, copy);

	v->len = rte_pktmbuf_pkt_len(m);
	v->roce = f != NULL && !ip6_other(f, there) &&
		phca_wire_parse(f, v->len, 0, &v->pkt) == PHCA_V_OK;
}

static bool in(const struct range *r, uint32_t x)
{
	return !r->set || (r->lo <= r->hi ? r->lo <= x && x <= r->hi : r->lo <= x || x <= r->hi);
}

/* Which transmission of its PSN this packet is, from 1. */
static uint32_t xmit_count(struct xmit_table *t, const struct phca_pkt *pkt)
{
	uint64_t kind = (phca_opcode_table[pkt->opcode].flags & PHCA_OPF_ACK) != 0;
	uint64_t key = (uint64_t)pkt->dqpn << 40 | (uint64_t)pkt->psn.v << 16 | kind << 15;
	uint64_t *set = t->set[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 55], entry = key;
	unsigned int i;

	/* a count of 0 is an empty place; nothing is behind it */
	for (i = 0; i < XMIT_WAYS - 1 && (set[i] & 0x7fff) != 0; i++)
		if ((set[i] & ~UINT64_C(0x7fff)) == key)
			break;
	if ((set[i] & ~UINT64_C(0x7fff)) == key)
		entry = set[i];
	entry += (entry & 0x7fff) != 0x7fff;
	memmove(set + 1, set, i * sizeof(*set));
	set[0] = entry;
	return entry & 0x7fff;
}

static bool matches(const struct rule *r, struct rule_state *s, const struct view *v)
{
	const struct phca_pkt *pkt = &v->pkt;

	if (!in(&r->len, v->len))
		return false;
	if (!v->roce)
		return !r->roce_only && (!r->has_op || r->op_other);
	if (r->has_op && !(r->op[pkt->opcode / 64] >> (pkt->opcode % 64) & 1))
		return false;
	if (!in(&r->qpn, pkt->dqpn) || !in(&r->psn, pkt->psn.v))
		return false;
	if (r->action == ACTION_CORRUPT && r->region == REGION_PAYLOAD && pkt->payload_len == 0)
		return false;
	return !r->xmit.set || in(&r->xmit, xmit_count(s->xmit, pkt));
}

/* Probability p of 2^64. */
static bool chance(uint64_t *rng, double p)
{
	uint64_t x = random_next(rng);

	return p >= 1 || (double)(x >> 11) * 0x1p-53 < p;
}

/* Of the packets that meet the conditions, is it one to apply the rule to? */
static bool choose(const struct rule *r, struct rule_state *s)
{
	COUNT(s->matched, 1);
	if (s->matched <= r->skip)
		return false;
	if (r->nth > 0 && (s->matched - r->skip) % r->nth != 0)
		return false;
	/* the draw comes before max, so that max does not move the sequence */
	if (r->has_p && !chance(&s->rng, r->p))
		return false;
	if (r->max > 0 && s->fired >= r->max)
		return false;
	COUNT(s->fired, 1);
	return true;
}

/* A number from -jitter to jitter. */
static int64_t spread(uint64_t x, uint64_t jitter)
{
	return jitter == 0 ? 0 : (int64_t)(x % (2 * jitter + 1)) - (int64_t)jitter;
}

static void note(struct decision *d, const struct rule *r, uint64_t event)
{
	int64_t delay;

	switch ((enum action)r->action) {
	case ACTION_DROP:
		d->drop = true;
		break;
	case ACTION_DUP:
		d->copies = (uint8_t)(d->copies + r->copies);
		d->late_ns = RTE_MAX(d->late_ns, r->late_ns);
		break;
	case ACTION_DELAY:
		delay = (int64_t)r->time_ns + spread(event, r->jitter_ns);
		d->delay_ns += delay > 0 ? (uint64_t)delay : 0;
		break;
	case ACTION_REORDER:
		d->by = RTE_MAX(d->by, r->by);
		d->timeout_ns = RTE_MAX(d->timeout_ns, r->timeout_ns);
		break;
	case ACTION_CORRUPT:
	case ACTION_ECN:
	case ACTION_RATE:
	case ACTION_COUNT:
		break; /* by the caller */
	}
}

void decide(struct lane *l, const struct view *v, struct decision *d)
{
	const struct program *p = l->prog;

	d->drop = false;
	d->copies = 0;
	d->by = 0;
	d->timeout_ns = d->delay_ns = d->late_ns = d->fired = 0;
	for (unsigned int i = 0; i < p->nb[l->dir]; i++) {
		unsigned int k = p->index[l->dir][i];
		const struct rule *r = &p->rules.rule[k];

		if (!matches(r, &l->state[k], v) || !choose(r, &l->state[k]))
			continue;
		d->event[k] = random_next(&l->state[k].rng);
		d->fired |= UINT64_C(1) << k;
		note(d, r, d->event[k]);
	}
}
