/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue pair becomes a proxy QP, at any time in its life, and comes back as one
 * after a reset.
 *
 * Invariant: it changes hands while none of its send WRs is under way, and its CQs
 * with all that was written into them visible. So each completion is either in the
 * CQ before the proxy's first, or goes through the proxy. Inbound, a message is in
 * the middle of nothing that the proxy would have to know.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "hca_impl.h"

#define WINDOW_DEFAULT_MIN 64

struct attach_arg {
	struct phca_qp *qp;
	struct px *px;
	struct phca_pqp *pqp;
	struct rule *rules;
	struct passes *pass;
	uint8_t *wrs, *old_wrs;
	struct sq_wr **slots;
	uint32_t slot_mask;
	uint32_t window[PHCA_DIR_COUNT];
	unsigned int n;
};

/* A place for each of the window; a copy that waits, one at most, moves to the first. */
static void copies_move(struct attach_arg *a)
{
	struct requester *r = &a->qp->req;
	struct sq_wr *e = (struct sq_wr *)a->wrs;

	if (a->qp->pseq[PHCA_DIR_SEND].next != r->place) {
		memcpy(e, sq_copy_at(r, r->place), r->stride);
		e->place = 0;
		e->wr = &e->own;
		if (e->own.sge != NULL)
			e->own.sge = (const struct phca_sge *)(e + 1);
		if (e->own.inline_data != NULL)
			e->own.inline_data = (const uint8_t *)(e + 1);
	}
	a->old_wrs = r->wrs;
	r->wrs = a->wrs;
	r->mask = a->window[PHCA_DIR_SEND] - 1;
	r->slots = a->slots;
	r->slot_mask = a->slot_mask;
}

/* HCA lcore: nothing begins any more. @return 0: and nothing is under way; -EAGAIN */
static int attach_hold(void *arg)
{
	struct phca_qp *qp = arg;

	qp->req.hold = true;
	return qp->req.una == qp->req.begun ? 0 : -EAGAIN;
}

/* Control thread. */
static bool held(struct phca_qp *qp)
{
	return qp_call(qp, attach_hold, qp) == 0;
}

static int unhold(void *arg)
{
	struct phca_qp *qp = arg;

	qp->req.hold = false;
	ready_add(shard_of(qp), qp);
	return 0;
}

/* HCA lcore: from here on everything of the QP goes to the proxy. */
static int attach(void *arg)
{
	struct attach_arg *a = arg;
	struct phca_qp *qp = a->qp;
	struct phca_pmsg *pm;
	uint32_t waits;

	phca_cqws_flush(&shard_of(qp)->cqs, shard_of(qp)->now_ns);
	px_begin(a->px);
	if (a->px->pm_room == 0)
		return -EAGAIN;
	if (a->pqp != NULL)
		copies_move(a);
	waits = qp->pseq[PHCA_DIR_SEND].next - qp->req.place;
	for (unsigned int d = 0; d < PHCA_DIR_COUNT; d++) {
		if (qp->cq[d]->px == NULL)
			phca_cqws_leave(&shard_of(qp)->cqs, &qp->cq[d]->w);
		__atomic_store_n(&qp->cq[d]->px, a->px, __ATOMIC_RELAXED);
		qp->pseq[d] = (struct pseq){ .size = a->window[d] };
	}
	qp->pseq[PHCA_DIR_SEND].next = waits;
	if (a->pqp != NULL) {
		qp->pqp = a->pqp;
		qp->rules = a->rules;
		qp->nb_rules = (uint8_t)a->n;
		qp->px = a->px;
		qp->pass = a->pass;
		qp->proxy = true;
	}
	qp->req.una = qp->req.acked = qp->req.cur = qp->req.begun = qp->req.released = qp->req.place = 0;
	qp->req.hold = qp->req.rd_offloaded = false;
	qp->let_go = false;
	qp->tell_error = qp->state == PHCA_QPS_ERR;
	sq_classify_again(shard_of(qp), qp);
	ready_add(shard_of(qp), qp);
	pm = proxy_msg(a->px);
	pm->kind = PHCA_PMSG_ATTACH;
	pm->dir = pm->rule = pm->flags = 0;
	pm->seq = 0;
	pm->pqp = qp->pqp;
	px_flush(a->px);
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

/*
 * The proxy is that of the rules' offloads, and of the CQs that have one; without
 * either, the one with the fewest QPs.
 * @return 0; -EXDEV they are of different proxies; -ENOTSUP none of the HCA's
 */
static int px_pick(const struct phca_qp *qp, const struct phca_rule *rules, unsigned int n, struct px **px)
{
	const struct shard *h = shard_of(qp);
	struct px *x = NULL, *cq[] = { qp->cq[0]->px, qp->cq[1]->px };

	for (unsigned int i = 0; i < n; i++) {
		const struct phca_proxy *want = phca_offload_proxy(rules[i].offload);

		if (x != NULL && x->proxy != want)
			return -EXDEV;
		for (unsigned int k = 0; k < h->nb_px && x == NULL; k++)
			if (h->px[k]->proxy == want)
				x = h->px[k];
		if (x == NULL)
			return -ENOTSUP;
	}
	for (unsigned int d = 0; d < PHCA_DIR_COUNT; d++) {
		if (x != NULL && cq[d] != NULL && cq[d] != x)
			return -EXDEV;
		if (cq[d] != NULL)
			x = cq[d];
	}
	*px = h->px[0];
	for (unsigned int k = 1; k < h->nb_px; k++)
		if (h->px[k]->nb_qps < (*px)->nb_qps)
			*px = h->px[k];
	if (x != NULL)
		*px = x;
	return 0;
}

struct phca_proxy *phca_qp_proxy(const struct phca_qp *qp)
{
	const struct px *of[] = { qp->px, qp->cq[0]->px, qp->cq[1]->px };

	for (unsigned int i = 0; i < RTE_DIM(of); i++)
		if (of[i] != NULL)
			return of[i]->proxy;
	return NULL;
}

struct phca_pqp *phca_qp_pqp(const struct phca_qp *qp)
{
	return qp->pqp;
}

static int attach_prepare(struct attach_arg *a, const struct phca_rule *rules, struct phca_pqp_conf *pc)
{
	int ret = px_pick(a->qp, rules, a->n, &a->px);

	if (ret != 0)
		return ret;
	pc->chan = a->px->chan;
	pc->pd = a->qp->pd;
	a->wrs = aligned_alloc(64, (size_t)a->qp->req.stride * a->window[PHCA_DIR_SEND]);
	a->pass = passes_make(a->window[PHCA_DIR_RECV], a->qp->transport == PHCA_TRANSPORT_RC);
	if (a->wrs == NULL || a->pass == NULL ||
	    slots_make(a->window[PHCA_DIR_SEND], &a->slots, &a->slot_mask, a->wrs) != 0)
		return -ENOMEM;
	a->pqp = phca_pqp_create(a->px->proxy, pc);
	return a->pqp ? 0 : -rte_errno;
}

int phca_qp_proxy_attach(struct phca_qp *qp, const struct phca_rule *rules, unsigned int n, uint32_t window)
{
	struct attach_arg a = { .qp = qp, .n = n };
	struct phca_pqp_conf pc = {
		.qpn = qp->qpn, .transport = qp->transport, .cookie = qp, .nb_rules = n,
		.nb_tags = qp->respq != NULL ? PHCA_RD_ATOMIC_MAX : 0,
		.cq = { &qp->cq[0]->w, &qp->cq[1]->w },
	};
	int ret;

	if (shard_of(qp)->nb_px == 0)
		return -ENOTSUP;
	if (qp->proxy || qp->dead || qp->leaving)
		return -EBUSY;
	if (n > PHCA_PROXY_RULE_MAX || window > PHCA_WINDOW_MAX)
		return -EINVAL;
	a.window[PHCA_DIR_SEND] = pc.window[PHCA_DIR_SEND] = window_size(window, qp->send_wr);
	a.window[PHCA_DIR_RECV] = pc.window[PHCA_DIR_RECV] = window_size(window, qp->recv_wr);
	ret = rules_make(rules, n, &a.rules);
	for (unsigned int i = 0; i < n && ret == 0; i++)
		pc.offloads[i] = rules[i].offload;
	if (ret == 0)
		ret = attach_prepare(&a, rules, &pc);
	if (ret == 0)
		ret = qp_wait_until(qp, held);
	if (ret != 0) {
		qp_call(qp, unhold, qp);
		phca_pqp_destroy(a.pqp);
		passes_free(a.pass);
		free(a.wrs);
		free(a.slots);
		free(a.rules);
		return ret;
	}
	a.px->nb_qps++;
	qp_call_until_room(qp, attach, &a);
	free(a.old_wrs);
	return 0;
}

/* Control thread: back from RESET, with new windows. */
int qp_reattach(struct phca_qp *qp)
{
	struct attach_arg a = { .qp = qp, .px = qp->px };

	a.window[0] = qp->pseq[0].size;
	a.window[1] = qp->pseq[1].size;
	return qp_call_until_room(qp, attach, &a);
}
