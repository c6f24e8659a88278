/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs: create, destroy, become a proxy QP.
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

#define WINDOW_DEFAULT_MIN 64
#define DESTROY_LIMIT_NS (10 * 1000000000ull)
#define PUMP_LIMIT 100000u

static int init_check(const struct phca_hca *h, const struct phca_qp_init *i)
{
	if (i->type == PHCA_QPT_RC)
		return -ENOTSUP;
	if (i->type != PHCA_QPT_UC && i->type != PHCA_QPT_UD)
		return -EINVAL;
	if (i->port >= h->nb_ports || i->send_cq == NULL || i->recv_cq == NULL ||
	    i->max_send_wr > PHCA_QP_DEPTH_MAX || i->max_recv_wr > PHCA_QP_DEPTH_MAX ||
	    i->max_send_sge > PHCA_SGE_MAX || i->max_recv_sge > PHCA_SGE_MAX ||
	    i->max_inline > PHCA_INLINE_MAX)
		return -EINVAL;
	if (i->qpn == 1 || i->qpn >= PHCA_QPN_MULTICAST)
		return -EINVAL; /* 0: any; 1 is the GSI; the last is multicast */
	if (i->qpn != 0 && qp_lookup(h, i->qpn) != NULL)
		return -EEXIST;
	return h->nb_qp < h->max_qp ? 0 : -ENOSPC;
}

static uint32_t qpn_any(struct phca_hca *h)
{
	uint32_t qpn;

	do {
		qpn = h->next_qpn;
		h->next_qpn = qpn + 1 < PHCA_QPN_MULTICAST ? qpn + 1 : 2;
	} while (qp_lookup(h, qpn) != NULL);
	return qpn;
}

static void qp_free(struct phca_qp *qp)
{
	phca_pqp_destroy(qp->pqp);
	free(qp->rules);
	free(qp->shadow);
	free(qp->sq_mem);
	free(qp->rq_mem);
	free(qp);
}

static int queues_create(struct phca_qp *qp, const struct phca_qp_init *i)
{
	uint32_t data = RTE_MAX(i->max_send_sge * (uint32_t)sizeof(struct phca_sge), i->max_inline);

	qp->send_wr = rte_align32pow2(RTE_MAX(i->max_send_wr, 1u));
	qp->recv_wr = rte_align32pow2(RTE_MAX(i->max_recv_wr, 1u));
	qp->max_send_sge = i->max_send_sge;
	qp->max_recv_sge = i->max_recv_sge;
	qp->max_inline = data; /* the room is there */
	qp->sq_mem = ring_pair(PHCA_RING_SQ, qp->send_wr, phca_send_stride(i->max_send_sge, i->max_inline),
		&qp->sq, &qp->user_sq);
	qp->rq_mem = ring_pair(PHCA_RING_RQ, qp->recv_wr, phca_recv_stride(i->max_recv_sge),
		&qp->rq, &qp->user_rq);
	qp->shadow_stride = RTE_ALIGN((uint32_t)sizeof(struct phca_offload_wr) + data, 64u);
	qp->shadow = aligned_alloc(64, qp->shadow_stride);
	return qp->sq_mem && qp->rq_mem && qp->shadow ? 0 : -ENOMEM;
}

struct qp_arg {
	struct phca_hca *h;
	struct phca_qp *qp;
	struct phca_qp **leaf; /* a new leaf of the table, or NULL */
};

/* HCA lcore: into table and list. */
static int qp_link(void *arg)
{
	struct qp_arg *a = arg;
	struct phca_qp ***top = &a->h->qpn_top[a->qp->qpn >> QPN_LEAF_BITS];
	struct phca_qp **pp = &a->h->qps;
	struct phca_qp *prev = NULL;

	if (*top == NULL)
		*top = a->leaf;
	(*top)[a->qp->qpn & (QPN_LEAF - 1)] = a->qp;
	while (*pp != NULL && (*pp)->qpn < a->qp->qpn) {
		prev = *pp;
		pp = &(*pp)->next;
	}
	a->qp->prev = prev;
	a->qp->next = *pp;
	if (*pp != NULL)
		(*pp)->prev = a->qp;
	*pp = a->qp;
	return 0;
}

static void qp_fill(struct phca_qp *qp, struct phca_client *c, const struct phca_qp_init *i)
{
	qp->hca = c->hca;
	qp->client = c;
	qp->type = i->type;
	qp->transport = i->type == PHCA_QPT_UD ? PHCA_TRANSPORT_UD : PHCA_TRANSPORT_UC;
	qp->state = PHCA_QPS_RESET;
	qp->port = (uint8_t)i->port;
	qp->pd = i->pd;
	qp->pkey = PHCA_PKEY_DEFAULT;
	qp->sq_sig_all = i->sq_sig_all;
	qp->path_mtu = phca_net_mtu(c->hca->ports[i->port]->net);
	qp->cq[PHCA_DIR_SEND] = i->send_cq;
	qp->cq[PHCA_DIR_RECV] = i->recv_cq;
	qp->sq_rule = RULE_NONE;
}

int phca_qp_create(struct phca_client *c, const struct phca_qp_init *init, struct phca_qp **out)
{
	struct phca_hca *h = c->hca;
	struct qp_arg a = { .h = h };
	struct phca_qp *qp;
	int ret = init_check(h, init);

	if (ret != 0)
		return ret;
	qp = aligned_alloc(64, RTE_ALIGN(sizeof(*qp), (size_t)64));
	if (qp == NULL)
		return -ENOMEM;
	memset(qp, 0, sizeof(*qp));
	qp_fill(qp, c, init);
	qp->qpn = init->qpn ? init->qpn : qpn_any(h);
	a.qp = qp;
	ret = queues_create(qp, init);
	if (ret == 0 && h->qpn_top[qp->qpn >> QPN_LEAF_BITS] == NULL) {
		a.leaf = calloc(QPN_LEAF, sizeof(*a.leaf));
		ret = a.leaf ? 0 : -ENOMEM;
	}
	if (ret == 0)
		ret = phca_pd_get(h->mem, init->pd);
	if (ret != 0) {
		free(a.leaf);
		qp_free(qp);
		return ret;
	}
	init->send_cq->refs++;
	init->recv_cq->refs++;
	h->nb_qp++;
	phca_loop_call(h->loop, qp_link, &a);
	*out = qp;
	return 0;
}

/* -------------------------------------------------------------- destroy */

/* HCA lcore: to RESET, off all lists; held packets are dropped. */
static void qp_quiet(struct phca_hca *h, struct phca_qp *qp)
{
	responder_abort(h, qp, PHCA_V_ABORTED);
	ready_remove(h, qp);
	flush_remove(h, qp);
	__atomic_store_n(&qp->state, PHCA_QPS_RESET, __ATOMIC_RELAXED);
	qp->rwqe.valid = false;
	qp->sq_have = false;
}

/*
 * HCA lcore: tell the proxy to let go, once: a second message could reach it
 * when the first was answered and the queue pair is gone.
 * @return 0; -EAGAIN no room; 1 nothing to wait for
 */
static int qp_detach(struct phca_hca *h, struct phca_qp *qp)
{
	struct phca_pmsg *pm;

	if (qp->leaving)
		return 0;
	cq_flush(h);
	if (!qp->cq[0]->proxy_owned && !qp->cq[1]->proxy_owned)
		return 1;
	proxy_begin(h);
	if (h->pm_room == 0)
		return -EAGAIN;
	pm = proxy_msg(h);
	pm->kind = qp->proxy ? PHCA_PMSG_DETACH : PHCA_PMSG_FENCE;
	pm->dir = pm->rule = pm->flags = 0;
	pm->seq = 0;
	if (qp->proxy)
		pm->pqp = qp->pqp;
	else
		pm->cookie = &qp->detached;
	proxy_flush(h);
	return 0;
}

static int qp_stop(void *arg)
{
	struct qp_arg *a = arg;
	struct phca_qp *qp = a->qp;

	qp_quiet(a->h, qp);
	if (qp_lookup(a->h, qp->qpn) == qp) {
		a->h->qpn_top[qp->qpn >> QPN_LEAF_BITS][qp->qpn & (QPN_LEAF - 1)] = NULL;
	}
	return qp_detach(a->h, qp);
}

static int qp_unlink(void *arg)
{
	struct qp_arg *a = arg;
	struct phca_qp *qp = a->qp;

	if (qp->prev != NULL)
		qp->prev->next = qp->next;
	else
		a->h->qps = qp->next;
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

/* Control thread: until the proxy has let go. @return 0, -EBUSY */
static int wait_detached(struct phca_hca *h, struct phca_qp *qp)
{
	uint64_t start = mono_ns();
	unsigned int pumps = 0;

	while (!__atomic_load_n(&qp->detached, __ATOMIC_ACQUIRE)) {
		/* with a fake clock it is turns that count */
		if (h->pump != NULL ? pumps++ > PUMP_LIMIT : mono_ns() - start > DESTROY_LIMIT_NS)
			return -EBUSY;
		hca_wait(h);
	}
	return 0;
}

/* Control thread: run fn on the HCA lcore until it has room. */
static int call_until_room(struct phca_hca *h, int (*fn)(void *arg), void *arg)
{
	int ret;

	while ((ret = phca_loop_call(h->loop, fn, arg)) == -EAGAIN)
		hca_wait(h);
	return ret;
}

int phca_qp_destroy(struct phca_qp *qp)
{
	struct phca_hca *h = qp->hca;
	struct qp_arg a = { .h = h, .qp = qp };

	if (!qp->dead) {
		qp->dead = true;
		if (call_until_room(h, qp_stop, &a) == 1)
			__atomic_store_n(&qp->detached, 1, __ATOMIC_RELAXED);
		qp->leaving = true;
	}
	if (wait_detached(h, qp) != 0)
		return -EBUSY;
	phca_loop_call(h->loop, qp_unlink, &a);
	qp->cq[0]->refs--;
	qp->cq[1]->refs--;
	phca_pd_put(h->mem, qp->pd);
	h->nb_qp--;
	qp_free(qp);
	return 0;
}

/* -------------------------------------------------------- proxy QPs */

struct attach_arg {
	struct phca_hca *h;
	struct phca_qp *qp;
	struct phca_pqp *pqp;
	struct rule *rules;
	uint8_t *shadow, *old_shadow;
	uint32_t window[PHCA_DIR_COUNT];
	unsigned int n;
};

/* HCA lcore: from here on everything of the QP goes to the proxy. */
static int attach(void *arg)
{
	struct attach_arg *a = arg;
	struct phca_qp *qp = a->qp;
	struct phca_pmsg *pm;

	cq_flush(a->h);
	proxy_begin(a->h);
	if (a->h->pm_room == 0)
		return -EAGAIN;
	for (unsigned int d = 0; d < PHCA_DIR_COUNT; d++) {
		__atomic_store_n(&qp->cq[d]->proxy_owned, true, __ATOMIC_RELAXED);
		qp->pseq[d] = (struct pseq){ .size = a->window[d] };
	}
	if (a->pqp != NULL) {
		qp->pqp = a->pqp;
		qp->rules = a->rules;
		qp->nb_rules = (uint8_t)a->n;
		/* a copy that waits moves to the first place */
		if (qp->sq_have) {
			memcpy(a->shadow, qp->shadow, qp->shadow_stride);
			qp->sq_cur = (struct phca_offload_wr *)a->shadow;
			if (qp->sq_cur->sge != NULL)
				qp->sq_cur->sge = (const struct phca_sge *)(qp->sq_cur + 1);
			if (qp->sq_cur->inline_data != NULL)
				qp->sq_cur->inline_data = (const uint8_t *)(qp->sq_cur + 1);
		}
		a->old_shadow = qp->shadow;
		qp->shadow = a->shadow;
		qp->shadow_mask = a->window[PHCA_DIR_SEND] - 1;
		qp->proxy = true;
	}
	qp->detached = 0;
	pm = proxy_msg(a->h);
	pm->kind = PHCA_PMSG_ATTACH;
	pm->dir = pm->rule = pm->flags = 0;
	pm->seq = 0;
	pm->pqp = qp->pqp;
	proxy_flush(a->h);
	return 0;
}

static uint32_t window_size(uint32_t want, uint32_t depth)
{
	uint32_t w = want ? want : RTE_MAX(depth, (uint32_t)WINDOW_DEFAULT_MIN);

	w = rte_align32pow2(w);
	if (w < PHCA_WINDOW_MIN)
		return PHCA_WINDOW_MIN;
	return w < PHCA_WINDOW_MAX ? w : PHCA_WINDOW_MAX;
}

static int rules_copy(struct attach_arg *a, const struct phca_rule *rules, struct phca_pqp_conf *pc)
{
	a->rules = calloc(RTE_MAX(a->n, 1u), sizeof(*a->rules));
	if (a->rules == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < a->n; i++) {
		struct rule *r = &a->rules[i];

		if (rules[i].filter == NULL || rules[i].offload == NULL)
			return -EINVAL;
		r->filter = rules[i].filter;
		r->offload = rules[i].offload;
		r->send = rules[i].send;
		r->inbound = rules[i].inbound;
		snprintf(r->name, sizeof(r->name), "%s", rules[i].name ? rules[i].name : "");
		pc->offloads[i] = rules[i].offload;
	}
	return 0;
}

int phca_qp_proxy_attach(struct phca_qp *qp, const struct phca_rule *rules, unsigned int n, uint32_t window)
{
	struct phca_hca *h = qp->hca;
	struct attach_arg a = { .h = h, .qp = qp, .n = n };
	struct phca_pqp_conf pc = {
		.qpn = qp->qpn, .transport = qp->transport, .cookie = qp, .nb_rules = n,
		.chan = h->px_chan,
		.cq = { &qp->cq[0]->w, &qp->cq[1]->w },
	};
	int ret;

	if (h->proxy == NULL)
		return -ENOTSUP;
	if (qp->proxy || qp->dead || qp->leaving)
		return -EBUSY;
	if (n > PHCA_PROXY_RULE_MAX || window > PHCA_WINDOW_MAX)
		return -EINVAL;
	a.window[PHCA_DIR_SEND] = pc.window[PHCA_DIR_SEND] = window_size(window, qp->send_wr);
	a.window[PHCA_DIR_RECV] = pc.window[PHCA_DIR_RECV] = window_size(window, qp->recv_wr);
	ret = rules_copy(&a, rules, &pc);
	if (ret == 0) {
		a.shadow = aligned_alloc(64, (size_t)qp->shadow_stride * a.window[PHCA_DIR_SEND]);
		ret = a.shadow ? 0 : -ENOMEM;
	}
	if (ret == 0) {
		a.pqp = phca_pqp_create(h->proxy, &pc);
		ret = a.pqp ? 0 : -rte_errno;
	}
	if (ret != 0) {
		free(a.shadow);
		free(a.rules);
		return ret;
	}
	call_until_room(h, attach, &a);
	free(a.old_shadow);
	return 0;
}

/* ---------------------------------------------------------------- reset */

static int reset_begin(void *arg)
{
	struct qp_arg *a = arg;
	struct phca_qp *qp = a->qp;

	qp_quiet(a->h, qp);
	qp->check_peer = false; /* the one attribute that INIT and RTR need not give again */
	/* what is posted is forgotten (10.3.1.1) */
	if (phca_ring_avail_fresh(&qp->sq) > 0)
		phca_ring_take(&qp->sq, qp->sq.other - qp->sq.own);
	phca_ring_release(&qp->sq);
	if (phca_ring_avail_fresh(&qp->rq) > 0)
		phca_ring_take(&qp->rq, qp->rq.other - qp->rq.own);
	phca_ring_release(&qp->rq);
	return qp_detach(a->h, qp);
}

/* Control thread: to RESET; a proxy QP leaves its proxy and comes back with new windows. */
int qp_reset(struct phca_qp *qp)
{
	struct phca_hca *h = qp->hca;
	struct qp_arg a = { .h = h, .qp = qp };
	struct attach_arg at = { .h = h, .qp = qp };

	if (call_until_room(h, reset_begin, &a) == 1)
		return 0;
	qp->leaving = true;
	if (wait_detached(h, qp) != 0)
		return -EBUSY;
	qp->leaving = false;
	if (!qp->proxy) {
		__atomic_store_n(&qp->detached, 0, __ATOMIC_RELAXED);
		return 0;
	}
	at.window[0] = qp->pseq[0].size;
	at.window[1] = qp->pseq[1].size;
	return call_until_room(h, attach, &at);
}
