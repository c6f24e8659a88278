/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs: create, destroy, reset.
 *
 * Destroying takes two steps: on the HCA lcore the queue pair leaves all lists
 * and the table, and DETACH (FENCE, when only its CQs belong to the proxy)
 * follows its last message; when the proxy has answered, nobody knows the queue
 * pair any more and its memory goes.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "hca_impl.h"

#define PUMP_NS 100000ull /* what a pump counts for */

static int init_check(const struct phca_hca *hca, const struct phca_qp_init *i)
{
	if (i->type != PHCA_QPT_RC && i->type != PHCA_QPT_UC && i->type != PHCA_QPT_UD)
		return -EINVAL;
	if (i->port >= hca->nb_ports || i->send_cq == NULL || i->recv_cq == NULL ||
	    i->max_send_wr > PHCA_QP_DEPTH_MAX || i->max_recv_wr > PHCA_QP_DEPTH_MAX ||
	    i->max_send_sge > PHCA_SGE_MAX || i->max_recv_sge > PHCA_SGE_MAX ||
	    i->max_inline > PHCA_INLINE_MAX)
		return -EINVAL;
	if (i->qpn == 1 || i->qpn >= PHCA_QPN_MULTICAST)
		return -EINVAL; /* 0: any; 1 is the GSI; the last is multicast */
	if (i->qpn != 0 && qp_lookup(hca, i->qpn) != NULL)
		return -EEXIST;
	return hca->nb_qp < hca->max_qp ? 0 : -ENOSPC;
}

static uint32_t qpn_any(struct phca_hca *hca)
{
	uint32_t qpn;

	do {
		qpn = hca->next_qpn;
		hca->next_qpn = qpn + 1 < PHCA_QPN_MULTICAST ? qpn + 1 : 2;
	} while (qp_lookup(hca, qpn) != NULL);
	return qpn;
}

static unsigned int shard_idlest(const struct phca_hca *hca)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < hca->nb_shards; i++)
		if (hca->shards[i]->nb_qps < hca->shards[best]->nb_qps)
			best = i;
	return best;
}

/*
 * What a QP uses has one consumer or producer, so all of it is of one shard.
 * @return the shard; -EXDEV
 */
static int shard_pick(const struct phca_client *c, const struct phca_qp_init *i)
{
	const uint8_t has[] = { i->send_cq->shard, i->recv_cq->shard, i->srq ? i->srq->shard : SHARD_NONE };
	unsigned int shard = SHARD_NONE;

	for (unsigned int k = 0; k < RTE_DIM(has); k++) {
		if (has[k] == SHARD_NONE)
			continue;
		if (shard != SHARD_NONE && shard != has[k])
			return -EXDEV;
		shard = has[k];
	}
	if (shard == SHARD_NONE)
		shard = c->home != SHARD_NONE ? c->home : shard_idlest(c->hca);
	return (int)shard;
}

static void qp_free(struct phca_qp *qp)
{
	rules_change_end(qp);
	phca_pqp_destroy(qp->pqp);
	free(qp->rules);
	free(qp->req.wrs);
	free(qp->req.slots);
	free(qp->respq);
	passes_free(qp->pass);
	ring_drop(qp->client, &qp->sq);
	ring_drop(qp->client, &qp->rq);
	free(qp);
}

static int queues_create(struct phca_qp *qp, const struct phca_qp_init *i)
{
	uint32_t data = RTE_MAX(i->max_send_sge * (uint32_t)sizeof(struct phca_sge), i->max_inline);
	int ret;

	qp->send_wr = rte_align32pow2(RTE_MAX(i->max_send_wr, 1u));
	qp->recv_wr = rte_align32pow2(RTE_MAX(i->max_recv_wr, 1u));
	qp->max_send_sge = i->max_send_sge;
	qp->max_recv_sge = i->max_recv_sge;
	qp->max_inline = data; /* the room is there */
	ret = ring_pair(qp->client, PHCA_RING_SQ, qp->send_wr, phca_send_stride(i->max_send_sge, i->max_inline),
		&qp->sq, &qp->user_sq);
	if (ret == 0 && qp->srq == NULL)
		ret = ring_pair(qp->client, PHCA_RING_RQ, qp->recv_wr, phca_recv_stride(i->max_recv_sge),
			&qp->rq, &qp->user_rq);
	if (ret != 0)
		return ret;
	qp->req.stride = RTE_ALIGN((uint32_t)sizeof(struct sq_wr) + data, 64u);
	qp->req.mask = qp->send_wr - 1;
	qp->req.wrs = aligned_alloc(64, (size_t)qp->req.stride * qp->send_wr);
	qp->pseq[PHCA_DIR_SEND].size = qp->send_wr;
	if (qp->transport == PHCA_TRANSPORT_RC) {
		qp->respq = calloc(1, sizeof(*qp->respq));
		if (qp->respq == NULL)
			return -ENOMEM;
	}
	return qp->req.wrs ? 0 : -ENOMEM;
}

/* HCA lcore: into the shard's list. */
static int qp_link(void *arg)
{
	struct phca_qp *qp = arg;
	struct shard *h = shard_of(qp);

	qp->prev = NULL;
	qp->next = h->qps;
	if (h->qps != NULL)
		h->qps->prev = qp;
	h->qps = qp;
	return 0;
}

/* Control thread: number to queue pair, from now on for all shards. */
static int qpn_publish(struct phca_hca *hca, struct phca_qp *qp)
{
	struct phca_qp ***top = &hca->qpn_top[qp->qpn >> QPN_LEAF_BITS];

	if (*top == NULL) {
		struct phca_qp **leaf = calloc(QPN_LEAF, sizeof(*leaf));

		if (leaf == NULL)
			return -ENOMEM;
		__atomic_store_n(top, leaf, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&(*top)[qp->qpn & (QPN_LEAF - 1)], qp, __ATOMIC_RELEASE);
	return 0;
}

static void qpn_unpublish(struct phca_hca *hca, const struct phca_qp *qp)
{
	__atomic_store_n(&hca->qpn_top[qp->qpn >> QPN_LEAF_BITS][qp->qpn & (QPN_LEAF - 1)], NULL, __ATOMIC_RELEASE);
}

static void qp_fill(struct phca_qp *qp, struct phca_client *c, const struct phca_qp_init *i)
{
	static const uint8_t transport[] = {
		[PHCA_QPT_RC] = PHCA_TRANSPORT_RC, [PHCA_QPT_UC] = PHCA_TRANSPORT_UC, [PHCA_QPT_UD] = PHCA_TRANSPORT_UD,
	};

	qp->hca = c->hca;
	qp->client = c;
	qp->type = i->type;
	qp->transport = transport[i->type];
	qp->state = PHCA_QPS_RESET;
	qp->port = (uint8_t)i->port;
	qp->pd = i->pd;
	qp->pkey = PHCA_PKEY_DEFAULT;
	qp->sq_sig_all = i->sq_sig_all;
	qp->path_mtu = phca_net_mtu(c->hca->nets[i->port]);
	qp->cq[PHCA_DIR_SEND] = i->send_cq;
	qp->cq[PHCA_DIR_RECV] = i->recv_cq;
	qp->srq = i->srq;
}

/* Count it where it is used, or (-1) not any more. */
static void qp_refs(struct phca_qp *qp, int n)
{
	struct phca_hca *hca = qp->hca;

	qp->cq[PHCA_DIR_SEND]->refs += (unsigned int)n;
	qp->cq[PHCA_DIR_RECV]->refs += (unsigned int)n;
	qp->cq[PHCA_DIR_SEND]->shard = qp->cq[PHCA_DIR_RECV]->shard = qp->shard;
	if (qp->srq != NULL) {
		qp->srq->refs += (unsigned int)n;
		qp->srq->shard = qp->shard;
	}
	hca->shards[qp->shard]->nb_qps += (unsigned int)n;
	hca->nb_qp += (uint32_t)n;
}

static void client_add(struct phca_client *c, struct phca_qp *qp)
{
	qp->client_prev = NULL;
	qp->client_next = c->qps;
	if (c->qps != NULL)
		c->qps->client_prev = qp;
	c->qps = qp;
}

static void client_remove(struct phca_client *c, struct phca_qp *qp)
{
	if (qp->client_prev != NULL)
		qp->client_prev->client_next = qp->client_next;
	else
		c->qps = qp->client_next;
	if (qp->client_next != NULL)
		qp->client_next->client_prev = qp->client_prev;
}

int phca_qp_create(struct phca_client *c, const struct phca_qp_init *init, struct phca_qp **out)
{
	struct phca_hca *hca = c->hca;
	struct phca_qp *qp;
	int shard, ret = init_check(hca, init);

	if (ret != 0)
		return ret;
	shard = shard_pick(c, init);
	if (shard < 0)
		return shard;
	qp = aligned_alloc(64, RTE_ALIGN(sizeof(*qp), (size_t)64));
	if (qp == NULL)
		return -ENOMEM;
	memset(qp, 0, sizeof(*qp));
	qp_fill(qp, c, init);
	qp->shard = (uint8_t)shard;
	qp->qpn = init->qpn ? init->qpn : qpn_any(hca);
	qp->events.num = qp->qpn;
	qp->events.client = c;
	ret = queues_create(qp, init);
	if (ret == 0)
		ret = phca_pd_get(hca->mem, init->pd);
	if (ret != 0) {
		qp_free(qp);
		return ret;
	}
	ret = qpn_publish(hca, qp);
	if (ret != 0) {
		phca_pd_put(hca->mem, init->pd);
		qp_free(qp);
		return ret;
	}
	qp_refs(qp, 1);
	client_add(c, qp);
	qp_call(qp, qp_link, qp);
	*out = qp;
	return 0;
}

/* -------------------------------------------------------------- destroy */

/* HCA lcore: to RESET, off all lists; held packets are dropped. */
static void qp_quiet(struct shard *h, struct phca_qp *qp)
{
	responder_reset(h, qp);
	requester_reset(h, qp);
	phca_timer_cancel(&h->pace, &qp->pace);
	flush_remove(h, qp);
	qp->let_go = true;
	qp->tell_error = false;
	__atomic_store_n(&qp->state, PHCA_QPS_RESET, __ATOMIC_RELAXED);
	qp->rwqe.valid = false;
}

static void detach_msg(struct px *x, enum phca_pmsg_kind kind, void *about)
{
	struct phca_pmsg *pm = proxy_msg(x);

	pm->kind = (uint8_t)kind;
	pm->dir = pm->rule = pm->flags = 0;
	pm->seq = 0;
	pm->cookie = about;
	px_flush(x);
}

/*
 * HCA lcore: tell the proxy to let go, once: a second message could reach it
 * when the first was answered and the queue pair is gone. A plain queue pair may
 * have its CQs with two of them.
 * @return 0; -EAGAIN no room
 */
static int qp_detach(struct shard *h, struct phca_qp *qp)
{
	struct px *x[PHCA_DIR_COUNT] = { qp->cq[0]->px, qp->cq[1]->px };

	if (qp->leaving)
		return 0;
	phca_cqws_flush(&h->cqs, h->now_ns);
	for (unsigned int d = 0; d < PHCA_DIR_COUNT; d++) {
		if (x[d] == NULL)
			continue;
		px_begin(x[d]);
		if (x[d]->pm_room == 0)
			return -EAGAIN;
	}
	if (qp->proxy) {
		detach_msg(qp->px, PHCA_PMSG_DETACH, qp->pqp);
		return 0;
	}
	for (unsigned int d = 0; d < PHCA_DIR_COUNT; d++) {
		if (x[d] != NULL && (d == 0 || x[d] != x[0]))
			detach_msg(x[d], PHCA_PMSG_FENCE, &qp->detached[d]);
		else
			__atomic_store_n(&qp->detached[d], 1, __ATOMIC_RELAXED);
	}
	return 0;
}

static int qp_stop(void *arg)
{
	struct phca_qp *qp = arg;

	qp_quiet(shard_of(qp), qp);
	return qp_detach(shard_of(qp), qp);
}

static int qp_unlink(void *arg)
{
	struct phca_qp *qp = arg;

	if (qp->prev != NULL)
		qp->prev->next = qp->next;
	else
		shard_of(qp)->qps = qp->next;
	if (qp->next != NULL)
		qp->next->prev = qp->prev;
	return 0;
}

static uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* Control thread: until the data path has got there, but no longer than that. @return 0, -EBUSY */
static int wait_until(struct phca_qp *qp, bool (*there)(struct phca_qp *qp), uint64_t timeout_ns)
{
	struct phca_hca *h = qp->hca;
	uint64_t start = mono_ns(), pumped_ns = 0;

	while (!there(qp)) {
		/* with a fake clock it is turns that count */
		if ((h->pump != NULL ? pumped_ns : mono_ns() - start) >= timeout_ns)
			return -EBUSY;
		hca_wait(h);
		pumped_ns += PUMP_NS;
	}
	return 0;
}

int qp_wait_until(struct phca_qp *qp, bool (*there)(struct phca_qp *qp))
{
	return wait_until(qp, there, WAIT_LIMIT_NS);
}

/* Whether it was stopped; tried again while there is no room for the message. */
static bool stopped(struct phca_qp *qp)
{
	if (!qp->leaving)
		qp->leaving = qp_call(qp, qp_stop, qp) == 0;
	return qp->leaving;
}

/* Whether the proxy has let go. */
static bool detached(struct phca_qp *qp)
{
	return stopped(qp) && __atomic_load_n(&qp->detached[0], __ATOMIC_ACQUIRE) &&
		__atomic_load_n(&qp->detached[1], __ATOMIC_ACQUIRE);
}

/* Control thread: run fn on the HCA lcore until it has room. */
int qp_call_until_room(const struct phca_qp *qp, int (*fn)(void *arg), void *arg)
{
	int ret;

	while ((ret = qp_call(qp, fn, arg)) == -EAGAIN)
		hca_wait(qp->hca);
	return ret;
}

int phca_qp_destroy(struct phca_qp *qp)
{
	return phca_qp_destroy_within(qp, WAIT_LIMIT_NS);
}

int phca_qp_destroy_within(struct phca_qp *qp, uint64_t timeout_ns)
{
	struct phca_hca *hca = qp->hca;

	if (!qp->dead) {
		mcast_leave_all(qp);
		qp->dead = true;
		qpn_unpublish(hca, qp);
	}
	if (wait_until(qp, detached, timeout_ns) != 0)
		return -EBUSY;
	qp_call(qp, qp_unlink, qp);
	hca_quiesce(hca); /* other shards may have looked it up */
	hca_events_drop(hca, &qp->events);
	qp_refs(qp, -1);
	client_remove(qp->client, qp);
	if (qp->px != NULL)
		qp->px->nb_qps--;
	phca_pd_put(hca->mem, qp->pd);
	qp_free(qp);
	return 0;
}

/* ---------------------------------------------------------------- reset */

static int reset_begin(void *arg)
{
	struct phca_qp *qp = arg;

	qp_quiet(shard_of(qp), qp);
	trace_reset(shard_of(qp), qp);
	qp->conn.known = false;
	memset(&qp->cc, 0, sizeof(qp->cc));
	qp->check_peer = false; /* the one attribute that INIT and RTR need not give again */
	/* what is posted is forgotten (10.3.1.1) */
	if (phca_ring_avail_fresh(&qp->sq) > 0)
		phca_ring_take(&qp->sq, qp->sq.other - qp->sq.own);
	phca_ring_release(&qp->sq);
	if (qp->srq == NULL) {
		if (phca_ring_avail_fresh(&qp->rq) > 0)
			phca_ring_take(&qp->rq, qp->rq.other - qp->rq.own);
		phca_ring_release(&qp->rq);
	}
	return qp_detach(shard_of(qp), qp);
}

/* Control thread: to RESET; a proxy QP leaves its proxy and comes back with new windows. */
int qp_reset(struct phca_qp *qp, uint64_t timeout_ns)
{
	qp_call_until_room(qp, reset_begin, qp);
	qp->leaving = true;
	if (wait_until(qp, detached, timeout_ns) != 0)
		return -EBUSY;
	qp->leaving = false;
	memset(qp->detached, 0, sizeof(qp->detached));
	return qp->proxy ? qp_reattach(qp) : 0;
}
