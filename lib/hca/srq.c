/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared receive queues (10.2.9): one receive queue for many queue pairs of a
 * shard.
 *
 * Invariant: the HCA lcore that consumes it is the one of all queue pairs that
 * use it, so a receive is taken by exactly one of them.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "hca_impl.h"

int phca_srq_create(struct phca_client *c, const struct phca_srq_init *init, struct phca_srq **out)
{
	struct phca_hca *hca = c->hca;
	struct phca_srq *srq;
	int ret;

	if (init->max_wr == 0 || init->max_wr > PHCA_QP_DEPTH_MAX || init->max_sge > PHCA_SGE_MAX ||
	    init->limit > init->max_wr)
		return -EINVAL;
	srq = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*srq), RTE_CACHE_LINE_SIZE));
	if (srq == NULL)
		return -ENOMEM;
	memset(srq, 0, sizeof(*srq));
	ret = ring_pair(c, PHCA_RING_RQ, rte_align32pow2(init->max_wr), phca_recv_stride(init->max_sge),
		&srq->rq, &srq->user);
	if (ret == 0)
		ret = phca_pd_get(hca->mem, init->pd);
	if (ret != 0) {
		ring_drop(c, &srq->rq);
		free(srq);
		return ret;
	}
	srq->client = c;
	srq->pd = init->pd;
	srq->max_sge = init->max_sge;
	srq->limit = init->limit;
	srq->srqn = hca->next_srqn++;
	srq->events.num = srq->srqn;
	srq->events.client = c;
	srq->shard = SHARD_NONE;
	srq->next = hca->srqs;
	srq->link = &hca->srqs;
	if (srq->next != NULL)
		srq->next->link = &srq->next;
	hca->srqs = srq;
	*out = srq;
	return 0;
}

struct limit_arg {
	struct phca_srq *srq;
	uint32_t limit;
};

static int limit_set(void *arg)
{
	struct limit_arg *a = arg;

	__atomic_store_n(&a->srq->limit, a->limit, __ATOMIC_RELAXED);
	return 0;
}

int phca_srq_arm(struct phca_srq *srq, uint32_t limit)
{
	struct limit_arg a = { srq, limit };
	struct shard *h;

	if (limit > phca_ring_size(&srq->rq))
		return -EINVAL;
	if (srq->shard == SHARD_NONE)
		return limit_set(&a); /* no lcore knows it */
	h = srq->client->hca->shards[srq->shard];
	return phca_loop_call(h->loops[h->idx], limit_set, &a);
}

uint32_t phca_srq_limit(struct phca_srq *srq)
{
	return PHCA_STAT_GET(srq->limit);
}

int phca_srq_destroy(struct phca_srq *srq)
{
	if (srq->refs > 0)
		return -EBUSY;
	*srq->link = srq->next;
	if (srq->next != NULL)
		srq->next->link = srq->link;
	hca_events_drop(srq->client->hca, &srq->events);
	phca_pd_put(srq->client->hca->mem, srq->pd);
	ring_drop(srq->client, &srq->rq);
	free(srq);
	return 0;
}

uint32_t phca_srq_num(const struct phca_srq *srq)
{
	return srq->srqn;
}

struct phca_client *phca_srq_client(const struct phca_srq *srq)
{
	return srq->client;
}

void phca_srq_ring(const struct phca_srq *srq, struct phca_ring_mem *m)
{
	*m = ring_mem(&srq->rq);
}

void phca_srq_info_get(const struct phca_srq *srq, struct phca_srq_info *info)
{
	*info = (struct phca_srq_info){
		.srqn = srq->srqn, .max_wr = phca_ring_size(&srq->rq), .max_sge = srq->max_sge,
		.limit = PHCA_STAT_GET(srq->limit), .nb_qps = srq->refs,
		.taken = PHCA_STAT_GET(srq->taken), .client = srq->client->name,
	};
}

int phca_srq_each(struct phca_hca *hca, int (*cb)(void *arg, struct phca_srq *srq), void *arg)
{
	for (struct phca_srq *srq = hca->srqs; srq != NULL; srq = srq->next) {
		int ret = cb(arg, srq);

		if (ret != 0)
			return ret;
	}
	return 0;
}

/* HCA lcore: the application wrote nonsense; its queue pairs go to ERROR as they find out. */
void srq_error(struct shard *h, struct phca_srq *srq)
{
	if (srq->error)
		return;
	srq->error = true;
	hca_event(h, &srq->events, PHCA_EVENT_SRQ_ERR, PHCA_WC_GENERAL_ERR);
}

/* HCA lcore: a receive was taken; once fewer than the limit are left, say so, once (10.2.9.5). */
void srq_taken(struct shard *h, struct phca_srq *srq)
{
	PHCA_STAT_ADD(srq->taken, 1);
	if (likely(srq->limit == 0) || (uint32_t)phca_ring_avail_fresh(&srq->rq) >= srq->limit)
		return;
	__atomic_store_n(&srq->limit, 0, __ATOMIC_RELAXED);
	hca_event(h, &srq->events, PHCA_EVENT_SRQ_LIMIT, PHCA_WC_SUCCESS);
}
