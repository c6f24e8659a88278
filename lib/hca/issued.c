/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the proxy issues on the send queue of a proxy queue pair: children, and posted
 * work requests that it was handed and passes back. They wait in one list, in the
 * order of its replies, and begin in front of what the application posted and did not
 * begin; from then on they are as any other work request.
 *
 * A child is a work request without a place: it completes with a message to the proxy.
 *
 * Invariant: each child that came is told once that it is over, or is dropped when
 * DETACH goes out, from which on it is the proxy's again.
 */
#include <stdlib.h>

#include <rte_common.h>

#include "hca_impl.h"

/* One for each place, and more. @p any  what nobody may use yet, but prefetch */
int slots_make(uint32_t places, struct sq_wr ***slots, uint32_t *mask, void *any)
{
	uint32_t n = rte_align32pow2(places + SLOTS_MORE);

	*slots = malloc(n * sizeof(**slots));
	if (*slots == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		(*slots)[i] = any;
	*mask = n - 1;
	return 0;
}

/* ------------------------------------------------------- what comes back */

static void issued_add(struct shard *h, struct phca_qp *qp, struct sq_wr *e)
{
	struct requester *r = &qp->req;

	e->rule = RULE_NONE;
	e->offloaded = e->again = false;
	e->issued = true;
	e->next = NULL;
	if (r->issued != NULL)
		r->issued_last->next = e;
	else
		r->issued = e;
	r->issued_last = e;
	if (r->wait != REQ_WAIT_RNR) /* then its timer looks */
		requester_wake(h, qp);
}

void sq_child_add(struct shard *h, struct phca_qp *qp, struct phca_child *c, const struct phca_offload_wr *wr)
{
	struct sq_wr *e = (struct sq_wr *)c->hca;

	if (unlikely(qp->let_go))
		return; /* the proxy has it back, or will */
	e->wr = wr;
	if (wr->inline_data != NULL)
		rte_prefetch0(wr->inline_data);
	e->child = true;
	e->status = PHCA_WC_SUCCESS;
	issued_add(h, qp, e);
}

/* The posted one at a place is to be sent after all. */
void sq_passed_back(struct shard *h, struct phca_qp *qp, uint32_t place)
{
	struct sq_wr *e = sq_copy_at(&qp->req, place);

	if (unlikely(qp->let_go))
		return;
	RTE_ASSERT(e->place == place && e->offloaded);
	PHCA_STAT_ADD(qp->st.tx_passed, 1);
	issued_add(h, qp, e);
}

/* n ordered ones have nothing to send any more. */
void sq_resume(struct shard *h, struct phca_qp *qp, uint32_t n)
{
	struct requester *r = &qp->req;

	if (unlikely(qp->let_go))
		return;
	RTE_ASSERT(n <= r->ordered);
	r->ordered -= n;
	if (r->ordered == 0 && r->wait == REQ_WAIT_ORDER)
		requester_wake(h, qp);
}

/* ----------------------------------------------------------- they begin */

/* The first of the list leaves it. There is one. */
struct sq_wr *issued_take(struct requester *r)
{
	struct sq_wr *e = r->issued;

	r->issued = e->next;
	e->nb_psn = 0; /* in the place of next */
	return e;
}

/* A posted one was checked when it was copied. */
static uint32_t child_check(struct shard *h, const struct phca_qp *qp, const struct sq_wr *e)
{
	const struct phca_offload_wr *wr = e->wr;
	uint64_t len = wr->len;

	if (wr_is_local(e) || (wr->sge == NULL && wr->wqe.num_sge != 0))
		return PHCA_WC_LOC_QP_OP_ERR;
	if (wr->inline_data == NULL)
		len = wr->sge != NULL ? phca_sg_len(wr->sge, wr->wqe.num_sge) : 0;
	if (len != wr->len || len > PHCA_MSG_MAX)
		return PHCA_WC_LOC_LEN_ERR;
	return check_wr(h, qp, e);
}

/* The next one of the list begins, unless something is in its way. In SQD too: who waits for it has begun. */
enum sq_result issued_begin(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;
	struct sq_wr *e = r->issued, *next = e->next;
	enum sq_result s;

	if (next != NULL) {
		rte_prefetch0(next->next);
		rte_prefetch0(next->wr);
	}

	/* those offloaded READs that it has to wait for have ended, or wait for it */
	if (unlikely(slots_full(r)) || ((e->wr->wqe.flags & PHCA_SEND_FENCE) && r->nb_rd > 0)) {
		r->wait = REQ_WAIT_ACK;
		return SQ_OFF;
	}
	if (e->child)
		e->status = (uint8_t)child_check(h, qp, e);
	if (unlikely(e->status != PHCA_WC_SUCCESS)) {
		r->halted = true;
		return sq_ended(qp, issued_take(r));
	}
	if (qp->transport == PHCA_TRANSPORT_UD) {
		s = ud_issue(h, qp, e);
		if (s == SQ_DONE)
			r->issued = next;
		return s;
	}
	conn_begin(qp, issued_take(r));
	return SQ_DONE;
}

/* -------------------------------------------------------------- the end */

/* The message staged last, when it tells of children of this queue pair that ended so, and of one more; or NULL. */
static struct phca_pmsg *told_last(const struct phca_qp *qp, uint32_t status)
{
	struct px *x = qp->px;
	struct phca_pmsg *pm;

	if (x->nb_pm == 0)
		return NULL;
	pm = &x->pm[x->nb_pm - 1];
	return pm->kind == PHCA_PMSG_CHILD && pm->pqp == qp->pqp && pm->child.status == status &&
		pm->child.nb < PHCA_PMSG_CHILDREN ? pm : NULL;
}

/* Room is known. */
void sq_child_over(struct phca_qp *qp, const struct sq_wr *e, uint32_t status)
{
	struct phca_child *c = RTE_PTR_SUB(e, offsetof(struct phca_child, hca));
	struct phca_pmsg *pm = told_last(qp, status);

	PHCA_STAT_ADD(qp->st.tx_children, 1);
	if (pm != NULL) {
		pm->child.child[pm->child.nb++] = c;
		return;
	}
	pm = proxy_msg(qp->px);
	pm->kind = PHCA_PMSG_CHILD;
	pm->dir = PHCA_DIR_SEND;
	pm->rule = pm->flags = 0;
	pm->seq = 0;
	pm->pqp = qp->pqp;
	pm->child.child[0] = c;
	pm->child.nb = 1;
	pm->child.status = status;
}

/* @return false: there is no room */
bool qp_error_tell(struct phca_qp *qp)
{
	struct phca_pmsg *pm;

	if (qp->px->pm_room == 0)
		return false;
	pm = proxy_msg(qp->px);
	pm->kind = PHCA_PMSG_QP_ERROR;
	pm->dir = pm->rule = pm->flags = 0;
	pm->seq = 0;
	pm->pqp = qp->pqp;
	return true;
}
