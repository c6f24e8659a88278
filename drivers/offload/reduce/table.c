/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of an instance: reductions found by their key while they gather, members
 * found by their queue pair.
 *
 * Invariant: a reduction is in a bucket and in the list by age exactly while it is
 * GATHERING; a slot has a request exactly while the proxy counts that request as ours.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_jhash.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include "reduce.h"

#define ALIGN 64
#define HDR_AT (ALIGN - PHCA_REDUCE_HDR_LEN) /* so that the accumulator is aligned */

static int reductions_init(struct reduce *d, struct slot *slots)
{
	size_t len = ALIGN + RTE_ALIGN_CEIL((size_t)d->max_bytes, ALIGN);

	for (uint32_t i = 0; i < d->max_reductions; i++) {
		struct reduction *r = &d->all[i];
		uint8_t *mem = rte_malloc(NULL, len, ALIGN);

		if (mem == NULL)
			return -ENOMEM;
		r->result = (void *)(mem + HDR_AT);
		r->slots = slots + (size_t)i * d->max_ranks;
		r->next = d->free;
		d->free = r;
	}
	return 0;
}

int reduce_table_init(struct reduce *d, char *err, size_t err_len)
{
	uint32_t nb_buckets = rte_align32pow2(d->max_reductions * 2);
	size_t nb_slots = (size_t)d->max_reductions * d->max_ranks;

	TAILQ_INIT(&d->gathering);
	TAILQ_INIT(&d->work);
	d->mask = nb_buckets - 1;
	d->seed = (uint32_t)rte_rand();
	d->buckets = rte_zmalloc(NULL, nb_buckets * sizeof(d->buckets[0]), 0);
	d->members = rte_zmalloc(NULL, d->max_qps * sizeof(d->members[0]), 0);
	d->all = rte_zmalloc(NULL, d->max_reductions * sizeof(d->all[0]) + nb_slots * sizeof(struct slot), 0);
	if (d->buckets == NULL || d->members == NULL || d->all == NULL ||
			reductions_init(d, (struct slot *)(d->all + d->max_reductions)) != 0) {
		reduce_table_fini(d);
		snprintf(err, err_len, "no memory for %u reductions of %u bytes and %u ranks, and %u queue pairs; "
			"make max_reductions, max_bytes, max_ranks or max_qps smaller",
			d->max_reductions, d->max_bytes, d->max_ranks, d->max_qps);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < d->max_qps; i++) {
		d->members[i].next = d->free_members;
		d->free_members = &d->members[i];
	}
	return 0;
}

void reduce_table_fini(struct reduce *d)
{
	for (uint32_t i = 0; d->all != NULL && i < d->max_reductions; i++)
		if (d->all[i].result != NULL)
			rte_free(RTE_PTR_SUB(d->all[i].result, HDR_AT));
	rte_free(d->all);
	rte_free(d->members);
	rte_free(d->buckets);
}

static uint32_t bucket_of(const struct reduce *d, uint32_t pd, const struct phca_reduce_hdr *h)
{
	const uint32_t key[] = { pd, h->group, h->offset, (uint32_t)h->round, (uint32_t)(h->round >> 32) };

	return rte_jhash_32b(key, RTE_DIM(key), d->seed) & d->mask;
}

struct reduction *reduce_table_find(const struct reduce *d, uint32_t pd, const struct phca_reduce_hdr *h)
{
	struct reduction *r = d->buckets[bucket_of(d, pd, h)];

	while (r != NULL && (r->pd != pd || r->result->group != h->group || r->result->round != h->round ||
			r->result->offset != h->offset))
		r = r->next;
	return r;
}

struct reduction *reduce_table_open(struct reduce *d, uint32_t pd, const struct phca_reduce_hdr *h, uint64_t now_ns)
{
	struct reduction *r = d->free;

	if (r == NULL)
		return NULL;
	d->free = r->next;
	*r->result = *h;
	r->result->flags |= PHCA_REDUCE_F_RESULT;
	r->result->rank = PHCA_REDUCE_NOBODY;
	r->result->status = PHCA_REDUCE_OK;
	r->kernel = reduce_kernel_find(h->op, h->type, d->wide);
	r->pd = pd;
	r->bucket = bucket_of(d, pd, h);
	r->since_ns = now_ns;
	r->turn = 0;
	r->children = 0;
	r->state = REDUCE_GATHERING;
	memset(r->slots, 0, h->nb_ranks * sizeof(r->slots[0]));
	r->next = d->buckets[r->bucket];
	d->buckets[r->bucket] = r;
	TAILQ_INSERT_TAIL(&d->gathering, r, by_age);
	REDUCE_ADD(d, waiting, 1);
	return r;
}

void reduce_table_close(struct reduce *d, struct reduction *r, enum reduce_state state)
{
	struct reduction **at = &d->buckets[r->bucket];

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	TAILQ_REMOVE(&d->gathering, r, by_age);
	REDUCE_ADD(d, waiting, -(uint64_t)1);
	r->state = state;
	r->turn = 0;
}

void reduce_table_free(struct reduce *d, struct reduction *r)
{
	r->state = REDUCE_FREE;
	r->next = d->free;
	d->free = r;
}

void reduce_table_work(struct reduce *d, struct reduction *r)
{
	if (r->working)
		return;
	r->working = true;
	TAILQ_INSERT_TAIL(&d->work, r, by_work);
}

struct member *reduce_member_get(struct reduce *d, struct phca_offload *o, struct phca_pqp *q)
{
	struct member *m = phca_pqp_watched(q, o);

	if (m != NULL)
		return m;
	m = d->free_members;
	if (m == NULL || phca_pqp_watch(q, o, m) != 0)
		return NULL;
	d->free_members = m->next;
	m->pqp = q;
	m->open = m->answers = 0;
	return m;
}

void reduce_member_gone(struct reduce *d, struct member *m)
{
	m->pqp = NULL;
	m->next = d->free_members;
	d->free_members = m;
}

struct phca_offload_req *reduce_slot_clear(struct slot *s)
{
	struct phca_offload_req *req = s->req;

	s->member->open--;
	s->member = NULL;
	s->req = NULL;
	return req;
}
