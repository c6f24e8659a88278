/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completion queues.
 *
 * Invariant: a completion queue has one writer at a time, the HCA lcore of its
 * queue pairs, or the proxy lcore once one of them is a proxy QP. What is changed
 * of it is changed between two turns of that lcore. A resized one is two rings,
 * the second of which is read when the first is empty for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rte_branch_prediction.h>
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
	cq->events.num = cq->w.cqn;
	cq->events.client = c;
	cq->w.consumer = c->app_loop;
	cq->next = h->cqs;
	cq->link = &h->cqs;
	if (cq->next != NULL)
		cq->next->link = &cq->next;
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

/* ---------------------------------------------------------------- resize */

struct resize_arg {
	struct notify_arg to; /* first */
	struct phca_ring fresh;
	uint32_t noop_room;
};

static int cq_move(void *arg)
{
	struct resize_arg *a = arg;

	phca_cqw_move(&a->to.cq->w, &a->fresh, a->noop_room);
	return 0;
}

static int cq_moved(void *arg)
{
	struct notify_arg *a = arg;

	phca_cqw_moved(a->owner, &a->cq->w, a->cq->old.hdr);
	return 0;
}

/*
 * Completions in the ring; no-ops do not count. What the consumer says is believed as far as it can be. A slot
 * that is written meanwhile was consumed meanwhile: the number is one of a moment ago.
 */
__attribute__((noinline, no_sanitize("thread"))) static uint32_t outstanding(const struct phca_ring *r)
{
	uint32_t cons = __atomic_load_n(&r->hdr->cons, __ATOMIC_RELAXED);
	uint32_t prod = __atomic_load_n(&r->hdr->prod, __ATOMIC_ACQUIRE), n = 0;

	if (prod - cons > phca_ring_size(r))
		return phca_ring_size(r);
	for (; cons != prod; cons++)
		n += !(((const struct phca_cqe *)phca_ring_slot(r, cons))->flags & PHCA_CQE_NOOP);
	return n;
}

int phca_cq_resize_done(struct phca_cq *cq)
{
	struct notify_arg a = { .cq = cq };

	if (cq->old.hdr == NULL)
		return 0;
	if (__atomic_load_n(&cq->moved, __ATOMIC_ACQUIRE))
		return -EBUSY;
	cq_call(&a, cq_moved);
	ring_drop(cq->client, &cq->old);
	return 0;
}

int phca_cq_resize(struct phca_cq *cq, uint32_t cqe)
{
	struct resize_arg a = { .to.cq = cq };
	struct phca_ring user;
	uint32_t size;
	int ret;

	if (cqe == 0 || cqe > PHCA_CQE_MAX || cqe < outstanding(&cq->w.ring) ||
	    __atomic_load_n(&cq->w.overrun, __ATOMIC_RELAXED))
		return -EINVAL;
	ret = phca_cq_resize_done(cq);
	if (ret != 0)
		return ret;
	size = rte_align32pow2(2 * cqe);
	ret = ring_pair(cq->client, PHCA_RING_CQ, size, sizeof(struct phca_cqe), &a.fresh, &user);
	if (ret != 0)
		return ret;
	a.noop_room = size - cqe;
	/* where it lies; its indices are the lcore's */
	cq->old = (struct phca_ring){ .hdr = cq->w.ring.hdr, .mask = cq->w.ring.mask, .stride = cq->w.ring.stride };
	cq_call(&a.to, cq_move);
	cq->cqe = cqe;
	if (cq->client->resident) {
		cq->user_next = user;
		__atomic_store_n(&cq->moved, true, __ATOMIC_RELEASE);
	}
	return 0;
}

int phca_cq_destroy(struct phca_cq *cq)
{
	if (cq->refs > 0)
		return -EBUSY;
	if (cq->w.notify != PHCA_CQW_NOTIFY_NONE)
		phca_cq_notify_set(cq, -1);
	hca_events_drop(cq->client->hca, &cq->events);
	*cq->link = cq->next; /* there may be very many, and a client destroys all of its at once */
	if (cq->next != NULL)
		cq->next->link = cq->link;
	ring_drop(cq->client, &cq->old);
	ring_drop(cq->client, &cq->w.ring);
	free(cq);
	return 0;
}

int phca_poll_cq(struct phca_cq *cq, unsigned int n, struct phca_wc *wc)
{
	int got = phca_cq_poll(&cq->user, wc, n);

	if (likely(got != 0 || !__atomic_load_n(&cq->moved, __ATOMIC_ACQUIRE)))
		return got;
	got = phca_cq_poll(&cq->user, wc, n); /* written between the look and the move */
	if (got != 0)
		return got;
	cq->user = cq->user_next;
	__atomic_store_n(&cq->moved, false, __ATOMIC_RELEASE);
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
