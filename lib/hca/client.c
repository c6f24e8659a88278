/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients, and the memory of their rings.
 *
 * Invariant: the HCA lcore sees a client from the call that links it to the
 * call that unlinks it; memory is freed after. What a ring is like is known from
 * its private views: the shared header is written here and never read back, as
 * the client may have it mapped already.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "hca_impl.h"

static void *own_alloc(void *arg, size_t bytes)
{
	void *mem = aligned_alloc(PHCA_CACHE_LINE, RTE_ALIGN(bytes, (size_t)PHCA_CACHE_LINE));

	(void)arg;
	if (mem != NULL)
		memset(mem, 0, bytes);
	return mem;
}

static void own_free(void *arg, void *mem, size_t bytes)
{
	(void)arg;
	(void)bytes;
	free(mem);
}

int ring_pair(const struct phca_client *c, enum phca_ring_type type, uint32_t size, uint32_t stride,
		struct phca_ring *a, struct phca_ring *b)
{
	size_t n = phca_ring_bytes(size, stride);
	void *mem;

	if (n == 0)
		return -EINVAL;
	mem = c->ring_alloc(c->ring_arg, n);
	if (mem == NULL)
		return -ENOMEM;
	if (phca_ring_init(a, mem, type, size, stride) != 0) {
		c->ring_free(c->ring_arg, mem, n);
		return -EINVAL; /* not aligned */
	}
	*b = *a;
	return 0;
}

struct phca_ring_mem ring_mem(const struct phca_ring *r)
{
	if (r->hdr == NULL)
		return (struct phca_ring_mem){ NULL, 0 };
	return (struct phca_ring_mem){ r->hdr, phca_ring_bytes(phca_ring_size(r), r->stride) };
}

void ring_drop(const struct phca_client *c, struct phca_ring *r)
{
	struct phca_ring_mem m = ring_mem(r);

	if (m.mem != NULL)
		c->ring_free(c->ring_arg, m.mem, m.bytes);
	r->hdr = NULL;
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

/* HCA lcore: about to sleep, or not any more; the clients of other processes are to know. */
void client_idle(void *shard, bool sleeps)
{
	struct shard *h = shard;

	for (struct client_shard *c = h->clients; c != NULL; c = c->next)
		if (c->wake_fd >= 0)
			__atomic_store_n(&c->db.hdr->armed, sleeps, __ATOMIC_RELAXED);
}

/* Descriptors that wake the lcores. @return 0, or as phca_loop_fd_add: then none does */
static int wake_add(struct phca_client *c, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		int ret = c->sh[i].wake_fd >= 0 ? phca_loop_fd_add(c->hca->shards[i]->loops[i], c->sh[i].wake_fd) : 0;

		if (ret == 0)
			continue;
		while (i-- > 0)
			if (c->sh[i].wake_fd >= 0)
				phca_loop_fd_remove(c->hca->shards[i]->loops[i], c->sh[i].wake_fd);
		return ret;
	}
	return 0;
}

static void client_free(struct phca_client *c)
{
	for (unsigned int i = 0; i < PHCA_SHARD_MAX; i++)
		ring_drop(c, &c->sh[i].db);
	free(c->name);
	free(c);
}

static int client_fill(struct phca_client *c, const struct phca_client_conf *conf)
{
	c->ring_alloc = conf->ring_alloc != NULL ? conf->ring_alloc : own_alloc;
	c->ring_free = conf->ring_alloc != NULL ? conf->ring_free : own_free;
	c->ring_arg = conf->arg;
	c->resident = conf->ring_alloc == NULL;
	c->priv = conf->priv;
	c->name = strdup(conf->name);
	if (c->name == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->hca->nb_shards; i++) {
		int ret;

		c->sh[i].client = c;
		c->sh[i].events.client = c;
		c->sh[i].events.num = c->num;
		c->sh[i].wake_fd = conf->wake_fds != NULL ? conf->wake_fds[i] : -1;
		ret = ring_pair(c, PHCA_RING_DB, rte_align32pow2(conf->max_qp), sizeof(uint32_t), &c->sh[i].db,
			&c->sh[i].user_db);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* For a client whose queue pairs keep together. */
static uint8_t home_pick(const struct phca_hca *hca)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < hca->nb_shards; i++)
		if (hca->shards[i]->nb_homes < hca->shards[best]->nb_homes)
			best = i;
	hca->shards[best]->nb_homes++;
	return (uint8_t)best;
}

struct phca_client *phca_client_open_conf(struct phca_hca *hca, const struct phca_client_conf *conf)
{
	struct phca_client *c;
	int ret;

	if (conf->name == NULL || conf->max_qp == 0 || conf->max_qp > 1u << 20 ||
	    (conf->ring_alloc == NULL) != (conf->ring_free == NULL)) {
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
	c->num = hca->next_client++;
	ret = client_fill(c, conf);
	if (ret == 0)
		ret = wake_add(c, hca->nb_shards);
	if (ret != 0) {
		client_free(c);
		rte_errno = -ret;
		return NULL;
	}
	c->home = conf->one_shard ? home_pick(hca) : SHARD_NONE;
	for (unsigned int i = 0; i < hca->nb_shards; i++)
		phca_loop_call(hca->shards[i]->loops[i], client_link, &c->sh[i]);
	c->next = hca->clients;
	hca->clients = c;
	return c;
}

struct phca_client *phca_client_open(struct phca_hca *hca, const char *name, uint32_t max_qp)
{
	const struct phca_client_conf conf = { .name = name, .max_qp = max_qp };

	return phca_client_open_conf(hca, &conf);
}

void *phca_client_priv(const struct phca_client *c)
{
	return c->priv;
}

void phca_client_db(const struct phca_client *c, unsigned int shard, struct phca_ring_mem *m)
{
	*m = shard < c->hca->nb_shards ? ring_mem(&c->sh[shard].db) : (struct phca_ring_mem){ NULL, 0 };
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

int phca_client_close(struct phca_client *c)
{
	struct phca_hca *hca = c->hca;
	struct phca_client **pp = &hca->clients;
	struct phca_srq *srq;
	struct phca_cq *cq;

	while (c->qps != NULL) {
		if (phca_qp_destroy(c->qps) != 0) {
			HCA_LOG(ERR, "client %s: qp 0x%x: its offload does not let go of a request; the client stays\n",
				c->name, c->qps->qpn);
			return -EBUSY;
		}
	}
	while ((srq = client_srq(c)) != NULL)
		phca_srq_destroy(srq);
	while ((cq = client_cq(c)) != NULL)
		phca_cq_destroy(cq);
	for (unsigned int i = 0; i < hca->nb_shards; i++) {
		phca_loop_call(hca->shards[i]->loops[i], client_unlink, &c->sh[i]);
		hca_events_drop(hca, &c->sh[i].events);
		if (c->sh[i].wake_fd >= 0)
			phca_loop_fd_remove(hca->shards[i]->loops[i], c->sh[i].wake_fd);
	}
	if (c->home != SHARD_NONE)
		hca->shards[c->home]->nb_homes--;
	while (*pp != c)
		pp = &(*pp)->next;
	*pp = c->next;
	client_free(c);
	return 0;
}
