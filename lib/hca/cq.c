/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completion queues.
 *
 * Invariant: a completion queue has one writer at a time, the HCA lcore of its
 * queue pairs, or the proxy lcore once one of them is a proxy QP.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rte_common.h>

#include "hca_impl.h"

int phca_cq_create(struct phca_client *c, uint32_t cqe, struct phca_cq **out)
{
	struct phca_hca *h = c->hca;
	struct phca_cq *cq;
	uint32_t size;
	int ret;

	if (cqe == 0 || cqe > PHCA_CQE_MAX)
		return -EINVAL;
	cq = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*cq), RTE_CACHE_LINE_SIZE));
	if (cq == NULL)
		return -ENOMEM;
	memset(cq, 0, sizeof(*cq));
	/* at least as many slots again for no-ops, see phca_cqw_noop */
	size = rte_align32pow2(2 * cqe);
	ret = ring_pair(c, PHCA_RING_CQ, size, sizeof(struct phca_cqe), &cq->w.ring, &cq->user);
	if (ret != 0) {
		free(cq);
		return ret;
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

struct notify_arg {
	struct phca_cq *cq;
	struct phca_cqws *owner;
	enum phca_cqw_notify how;
	int fd;
};

static int notify_set(void *arg)
{
	struct notify_arg *a = arg;

	phca_cqw_notify_set(a->owner, &a->cq->w, a->how, a->fd);
	return 0;
}

/* Control thread: run fn between two turns of the lcore that writes the CQ. */
static int cq_call(struct notify_arg *a, int (*fn)(void *arg))
{
	struct phca_cq *cq = a->cq;
	struct phca_cqws nobody = { .dirty = NULL };
	struct shard *h;

	if (cq->px != NULL) {
		a->owner = phca_proxy_cqs(cq->px->proxy);
		return phca_loop_call(cq->px->loop, fn, a);
	}
	if (cq->shard != SHARD_NONE) {
		h = cq->client->hca->shards[cq->shard];
		a->owner = &h->cqs;
		return phca_loop_call(h->loops[h->idx], fn, a);
	}
	a->owner = &nobody; /* no lcore knows it, nothing was written */
	return fn(a);
}

int phca_cq_notify_set(struct phca_cq *cq, int fd)
{
	struct notify_arg a = { .cq = cq, .fd = fd, .how = PHCA_CQW_NOTIFY_NONE };
	struct stat st;

	if (fd >= 0) {
		if (fstat(fd, &st) != 0)
			return -errno;
		if (!S_ISSOCK(st.st_mode) && !S_ISFIFO(st.st_mode))
			return -EINVAL;
		a.how = S_ISSOCK(st.st_mode) ? PHCA_CQW_NOTIFY_SOCKET : PHCA_CQW_NOTIFY_PIPE;
		if (a.how == PHCA_CQW_NOTIFY_PIPE && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
			return -EINVAL;
	}
	return cq_call(&a, notify_set);
}

int phca_cq_destroy(struct phca_cq *cq)
{
	struct phca_cq **pp = &cq->client->hca->cqs;

	if (cq->refs > 0)
		return -EBUSY;
	if (cq->w.notify != PHCA_CQW_NOTIFY_NONE)
		phca_cq_notify_set(cq, -1);
	while (*pp != cq)
		pp = &(*pp)->next;
	*pp = cq->next;
	ring_drop(cq->client, &cq->w.ring);
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

struct phca_client *phca_cq_client(const struct phca_cq *cq)
{
	return cq->client;
}

void phca_cq_ring(const struct phca_cq *cq, struct phca_ring_mem *m)
{
	*m = ring_mem(&cq->w.ring);
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
		.notes = PHCA_STAT_GET(cq->w.notes),
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
