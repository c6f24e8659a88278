/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients and completion queues: what an application owns besides queue pairs.
 *
 * Invariant: the HCA lcore sees a client from the call that links it to the
 * call that unlinks it; memory is freed after.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "hca_impl.h"

static void *ring_mem(enum phca_ring_type type, uint32_t size, uint32_t stride)
{
	size_t n = phca_ring_bytes(size, stride);
	void *mem;

	if (n == 0)
		return NULL;
	n = RTE_ALIGN(n, (size_t)PHCA_CACHE_LINE);
	mem = aligned_alloc(PHCA_CACHE_LINE, n);
	if (mem == NULL)
		return NULL;
	memset(mem, 0, n);
	if (phca_ring_format(mem, type, size, stride) != 0) {
		free(mem);
		return NULL;
	}
	return mem;
}

/* A formatted ring and the views of both sides. @return its memory, NULL */
void *ring_pair(enum phca_ring_type type, uint32_t size, uint32_t stride, struct phca_ring *a, struct phca_ring *b)
{
	void *mem = ring_mem(type, size, stride);
	size_t n = phca_ring_bytes(size, stride);

	if (mem == NULL)
		return NULL;
	if (phca_ring_attach(a, mem, n, type) != 0 || phca_ring_attach(b, mem, n, type) != 0) {
		free(mem);
		return NULL;
	}
	return mem;
}

static int client_link(void *arg)
{
	struct client_shard *s = arg;
	struct shard *h = s->client->hca->shards[s - s->client->sh];

	s->next = h->clients;
	h->clients = s;
	return 0;
}

static int client_unlink(void *arg)
{
	struct client_shard *s = arg;
	struct client_shard **pp = &s->client->hca->shards[s - s->client->sh]->clients;

	while (*pp != s)
		pp = &(*pp)->next;
	*pp = s->next;
	return 0;
}

static void client_free(struct phca_client *c)
{
	for (unsigned int i = 0; i < PHCA_SHARD_MAX; i++)
		free(c->sh[i].db_mem);
	free(c->name);
	free(c);
}

struct phca_client *phca_client_open(struct phca_hca *hca, const char *name, uint32_t max_qp)
{
	struct phca_client *c;
	bool ok;

	if (max_qp == 0 || max_qp > 1u << 20) {
		rte_errno = EINVAL;
		return NULL;
	}
	c = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*c), RTE_CACHE_LINE_SIZE));
	if (c == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	memset(c, 0, sizeof(*c));
	c->hca = hca;
	c->name = strdup(name);
	ok = c->name != NULL;
	for (unsigned int i = 0; i < hca->nb_shards && ok; i++) {
		c->sh[i].client = c;
		c->sh[i].db_mem = ring_pair(PHCA_RING_DB, rte_align32pow2(max_qp), sizeof(uint32_t),
			&c->sh[i].db, &c->sh[i].user_db);
		ok = c->sh[i].db_mem != NULL;
	}
	if (!ok) {
		client_free(c);
		rte_errno = ENOMEM;
		return NULL;
	}
	for (unsigned int i = 0; i < hca->nb_shards; i++)
		phca_loop_call(hca->shards[i]->loops[i], client_link, &c->sh[i]);
	c->next = hca->clients;
	hca->clients = c;
	return c;
}

void phca_client_loop_set(struct phca_client *c, struct phca_loop *loop)
{
	c->app_loop = loop;
	for (struct phca_cq *cq = c->hca->cqs; cq != NULL; cq = cq->next)
		if (cq->client == c)
			__atomic_store_n(&cq->w.consumer, loop, __ATOMIC_RELAXED);
}

static struct phca_cq *client_cq(const struct phca_client *c)
{
	struct phca_cq *cq = c->hca->cqs;

	while (cq != NULL && cq->client != c)
		cq = cq->next;
	return cq;
}

static struct phca_srq *client_srq(const struct phca_client *c)
{
	struct phca_srq *srq = c->hca->srqs;

	while (srq != NULL && srq->client != c)
		srq = srq->next;
	return srq;
}

void phca_client_close(struct phca_client *c)
{
	struct phca_hca *hca = c->hca;
	struct phca_client **pp = &hca->clients;
	struct phca_srq *srq;
	struct phca_cq *cq;

	while (c->qps != NULL) {
		if (phca_qp_destroy(c->qps) != 0) {
			HCA_LOG(ERR, "client %s: qp 0x%x: its offload does not let go of a request; the client stays\n",
				c->name, c->qps->qpn);
			return;
		}
	}
	while ((srq = client_srq(c)) != NULL)
		phca_srq_destroy(srq);
	while ((cq = client_cq(c)) != NULL)
		phca_cq_destroy(cq);
	for (unsigned int i = 0; i < hca->nb_shards; i++)
		phca_loop_call(hca->shards[i]->loops[i], client_unlink, &c->sh[i]);
	while (*pp != c)
		pp = &(*pp)->next;
	*pp = c->next;
	client_free(c);
}

/* ------------------------------------------------------------------- CQ */

int phca_cq_create(struct phca_client *c, uint32_t cqe, struct phca_cq **out)
{
	struct phca_hca *h = c->hca;
	struct phca_cq *cq;
	uint32_t size;

	if (cqe == 0 || cqe > PHCA_CQE_MAX)
		return -EINVAL;
	cq = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*cq), RTE_CACHE_LINE_SIZE));
	if (cq == NULL)
		return -ENOMEM;
	memset(cq, 0, sizeof(*cq));
	/* at least as many slots again for no-ops, see phca_cqw_noop */
	size = rte_align32pow2(2 * cqe);
	cq->mem = ring_pair(PHCA_RING_CQ, size, sizeof(struct phca_cqe), &cq->w.ring, &cq->user);
	if (cq->mem == NULL) {
		free(cq);
		return -ENOMEM;
	}
	cq->client = c;
	cq->cqe = cqe;
	cq->shard = SHARD_NONE;
	cq->w.noop_room = size - cqe;
	cq->w.cqn = h->next_cqn++;
	cq->w.consumer = c->app_loop;
	cq->next = h->cqs;
	h->cqs = cq;
	*out = cq;
	return 0;
}

int phca_cq_destroy(struct phca_cq *cq)
{
	struct phca_cq **pp = &cq->client->hca->cqs;

	if (cq->refs > 0)
		return -EBUSY;
	while (*pp != cq)
		pp = &(*pp)->next;
	*pp = cq->next;
	free(cq->mem);
	free(cq);
	return 0;
}

int phca_poll_cq(struct phca_cq *cq, unsigned int n, struct phca_wc *wc)
{
	return phca_cq_poll(&cq->user, wc, n);
}

uint32_t phca_cq_num(const struct phca_cq *cq)
{
	return cq->w.cqn;
}

void phca_cq_info_get(const struct phca_cq *cq, struct phca_cq_info *info)
{
	*info = (struct phca_cq_info){
		.cqn = cq->w.cqn,
		.cqe = cq->cqe,
		.proxy_owned = __atomic_load_n(&cq->px, __ATOMIC_RELAXED) != NULL,
		.overrun = __atomic_load_n(&cq->w.overrun, __ATOMIC_RELAXED),
		.nb_qps = cq->refs,
		.written = PHCA_STAT_GET(cq->w.written),
		.noops = PHCA_STAT_GET(cq->w.noops),
		.noops_elided = PHCA_STAT_GET(cq->w.noops_elided),
		.lost = PHCA_STAT_GET(cq->w.lost),
		.client = cq->client->name,
	};
}

int phca_cq_each(struct phca_hca *h, int (*cb)(void *arg, struct phca_cq *cq), void *arg)
{
	for (struct phca_cq *cq = h->cqs; cq != NULL; cq = cq->next) {
		int ret = cb(arg, cq);

		if (ret != 0)
			return ret;
	}
	return 0;
}
