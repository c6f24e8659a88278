/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Send work requests complete, in order, each once: when what was to be done is
 * done, and there is room for the completion.
 *
 * Invariant: a WR that fails moves its queue pair to an error state with its
 * completion, or before it when that has to wait for room; those behind it are
 * flushed. So at most one completion has an error status of its own.
 */
#include "hca_impl.h"

static uint32_t wc_opcode(uint8_t wr_opcode)
{
	static const uint8_t op[] = {
		[PHCA_WR_RDMA_WRITE] = PHCA_WC_RDMA_WRITE, [PHCA_WR_RDMA_WRITE_WITH_IMM] = PHCA_WC_RDMA_WRITE,
		[PHCA_WR_SEND] = PHCA_WC_SEND, [PHCA_WR_SEND_WITH_IMM] = PHCA_WC_SEND,
		[PHCA_WR_SEND_WITH_INV] = PHCA_WC_SEND, [PHCA_WR_RDMA_READ] = PHCA_WC_RDMA_READ,
		[PHCA_WR_ATOMIC_CMP_AND_SWP] = PHCA_WC_COMP_SWAP, [PHCA_WR_ATOMIC_FETCH_AND_ADD] = PHCA_WC_FETCH_ADD,
		[PHCA_WR_LOCAL_INV] = PHCA_WC_LOCAL_INV, [PHCA_WR_BIND_MW] = PHCA_WC_BIND_MW,
	};

	return wr_opcode < RTE_DIM(op) ? op[wr_opcode] : PHCA_WC_SEND;
}

/* Whether a completion of a place that the WR has already can be told. */
static bool room(const struct phca_qp *qp)
{
	const struct px *x = qp->cq[PHCA_DIR_SEND]->px;

	return x == NULL || x->pm_room > 0;
}

static void finish(struct shard *h, struct phca_qp *qp, const struct sq_wr *e, uint32_t status)
{
	const struct phca_send_wqe *w = &e->wr->wqe;
	bool signaled = (w->flags & PHCA_SEND_SIGNALED) || qp->sq_sig_all || status != PHCA_WC_SUCCESS;
	struct phca_wc *wc;

	if (unlikely(e->child)) {
		sq_child_over(qp, e, status);
		return;
	}
	wc = complete_at(h, qp, PHCA_DIR_SEND, e->place, w->wr_id, status, wc_opcode(w->opcode),
		(signaled ? 0 : PHCA_PMSG_F_NO_CQE) | e->traced);
	if (wr_is_read(e) || wr_is_atomic(e))
		wc->byte_len = e->wr->len;
	if (likely(status == PHCA_WC_SUCCESS))
		PHCA_STAT_ADD(qp->st.tx_direct, 1);
	else if (status == PHCA_WC_WR_FLUSH_ERR)
		PHCA_STAT_ADD(qp->st.tx_flushed, 1);
	else
		PHCA_STAT_ADD(qp->st.tx_errors, 1);
}

/* Slots before una are free. */
static void una_moved(struct phca_qp *qp)
{
	if (!qp->proxy)
		qp->pseq[PHCA_DIR_SEND].freed = qp->req.una;
	sq_release(qp);
}

/* What needs nothing of the peer is done as soon as all before it is. */
void requester_done(struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	while (r->acked != r->begun) {
		const struct sq_wr *e = sq_wr_at(r, r->acked);

		if (e->nb_psn != 0 && e->status == PHCA_WC_SUCCESS)
			break;
		r->acked++;
	}
	if ((int32_t)(r->acked - r->cur) > 0)
		r->cur = r->acked;
}

/* Complete what is done. @return false: the rest has to wait for room, on the ready list */
bool requester_retire(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;
	uint32_t una = r->una, status = PHCA_WC_SUCCESS;

	while (r->una != r->acked && status == PHCA_WC_SUCCESS) {
		const struct sq_wr *e = sq_wr_at(r, r->una);

		if (unlikely(!room(qp)))
			break;
		status = e->status;
		finish(h, qp, e, status);
		r->una++;
	}
	if (likely(una != r->una))
		una_moved(qp);
	if (unlikely(status != PHCA_WC_SUCCESS)) {
		sq_error(h, qp, status);
		return true;
	}
	if (unlikely(qp->state == PHCA_QPS_SQD))
		requester_drain_check(h, qp);
	if (likely(r->una == r->acked))
		return true;
	ready_add(h, qp);
	return false;
}

/* The oldest WR that is not done fails. */
void requester_fail(struct shard *h, struct phca_qp *qp, uint32_t status)
{
	struct requester *r = &qp->req;

	sq_wr_at(r, r->acked)->status = (uint8_t)status;
	r->acked++;
	if ((int32_t)(r->acked - r->cur) > 0)
		r->cur = r->acked;
	requester_retire(h, qp);
	sq_error(h, qp, status); /* already, unless there was no room */
}

/* In ERR or SQE: nothing is sent any more. What is done keeps its status, the rest is flushed. */
void requester_stop(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	ready_remove(h, qp);
	phca_timer_cancel(&h->timers, &r->timer);
	r->cur = r->begun;
	r->una_psn = r->psn = qp->sq_psn;
	r->wait = REQ_WAIT_NONE;
	r->nb_rd = 0;
}

/* A WR that was never copied gets a place for its completion. */
static struct sq_wr *posted_take(struct phca_qp *qp)
{
	const struct phca_send_wqe *slot = phca_ring_head(&qp->sq);
	uint32_t place = qp->pseq[PHCA_DIR_SEND].next++;
	struct sq_wr *e = sq_copy_at(&qp->req, place);

	e->wr = &e->own;
	e->own.wqe.wr_id = slot->wr_id;
	e->own.wqe.opcode = slot->opcode;
	e->own.wqe.flags = 0;
	e->own.len = 0;
	e->place = place;
	e->offloaded = e->issued = e->child = false;
	e->traced = 0;
	if (unlikely(qp->trace))
		trace_posted(shard_of(qp), qp, e, PHCA_TRACE_F_FLUSHED);
	phca_ring_take(&qp->sq, 1);
	PHCA_STAT_ADD(qp->st.tx_wrs, 1);
	return e;
}

/* The next WR that did not begin; all that did are over. @return NULL: there is none, or no place for it */
static struct sq_wr *flush_next(struct phca_qp *qp)
{
	const struct pseq *s = &qp->pseq[PHCA_DIR_SEND];
	struct requester *r = &qp->req;

	if (r->issued != NULL)
		return issued_take(r);
	if (r->place != s->next)
		return sq_copy_at(r, r->place);
	if (s->next - s->freed >= s->size || phca_ring_avail(&qp->sq) <= 0)
		return NULL;
	return posted_take(qp);
}

/* @return WRs that left the queue, up to budget */
unsigned int requester_flush(struct shard *h, struct phca_qp *qp, unsigned int budget)
{
	struct requester *r = &qp->req;
	unsigned int n = 0;

	for (; n < budget && room(qp); n++) {
		uint32_t status = PHCA_WC_WR_FLUSH_ERR;
		struct sq_wr *e;

		if (r->una == r->begun) {
			e = flush_next(qp);
			if (e == NULL)
				break;
			sq_wr_begins(r, e);
			r->cur = r->begun;
		} else {
			e = sq_wr_at(r, r->una);
		}
		if (r->acked != r->una)
			status = e->status; /* it was done before */
		else
			r->acked++;
		finish(h, qp, e, status);
		r->una++;
		una_moved(qp);
	}
	return n;
}

/* Everything is forgotten, posted or not (10.3.1.1). The places are the caller's to renew. */
void requester_reset(struct shard *h, struct phca_qp *qp)
{
	struct pseq *s = &qp->pseq[PHCA_DIR_SEND];
	struct requester *r = &qp->req;

	requester_stop(h, qp);
	if (!qp->proxy) /* else its proxy holds copies until it has let go */
		s->next = s->freed = 0;
	r->place = s->next;
	r->una = r->acked = r->cur = r->begun = r->released = 0;
	r->issued = NULL; /* children are the proxy's again, with DETACH */
	r->ordered = 0;
	r->halted = r->hold = r->recovering = r->drain_notify = r->rd_offloaded = false;
	r->no_ackreq = 0;
}

/* To RTS, from RTR, SQE or SQD. */
void requester_rts(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	r->drain_notify = false;
	if (qp->state != PHCA_QPS_SQD) {
		r->psn = r->una_psn = qp->sq_psn;
		r->halted = false;
		r->window = PHCA_RC_WINDOW;
	}
	if (r->una_psn.v == qp->sq_psn.v) {
		r->retry_left = qp->retry_cnt;
		r->rnr_left = qp->rnr_retry;
	} else if (r->wait != REQ_WAIT_RNR) {
		requester_timer_arm(h, qp); /* there may have been no timeout before */
	}
	ready_add(h, qp);
}

/* SQD: whether all that was begun has ended (10.3.1.4). */
bool requester_drained(const struct phca_qp *qp)
{
	const struct requester *r = &qp->req;

	return r->una == r->begun && r->issued == NULL &&
		(!qp->proxy || (int32_t)(qp->pseq[PHCA_DIR_SEND].freed - r->place) >= 0);
}

void requester_drain_check(struct shard *h, struct phca_qp *qp)
{
	if (!qp->req.drain_notify || !requester_drained(qp))
		return;
	qp->req.drain_notify = false;
	hca_event(h, &qp->events, PHCA_EVENT_SQ_DRAINED, PHCA_WC_SUCCESS);
}

/* The proxy has freed places. */
void requester_credit(struct shard *h, struct phca_qp *qp)
{
	if (qp->req.wait == REQ_WAIT_PLACE)
		requester_wake(h, qp);
	if (unlikely(qp->state == PHCA_QPS_SQD))
		requester_drain_check(h, qp);
}
