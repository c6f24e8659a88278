/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors of queue pairs and completion queues, and flushing: in ERROR (and for
 * the send queue in SQE) every posted work request completes with
 * WR_FLUSH_ERR, in order, as room for completions allows (10.3.1.5, 10.3.1.7).
 *
 * Invariant: a queue pair is on the flush list exactly while it is in ERROR or
 * SQE.
 */
#include "hca_impl.h"

static void flush_add(struct shard *h, struct phca_qp *qp)
{
	if (qp->in_flush)
		return;
	qp->in_flush = true;
	qp->flush_next = NULL;
	qp->flush_prev = h->flush_tail;
	if (h->flush_tail != NULL)
		h->flush_tail->flush_next = qp;
	else
		h->flush_head = qp;
	h->flush_tail = qp;
}

void flush_remove(struct shard *h, struct phca_qp *qp)
{
	if (!qp->in_flush)
		return;
	if (qp->flush_prev != NULL)
		qp->flush_prev->flush_next = qp->flush_next;
	else
		h->flush_head = qp->flush_next;
	if (qp->flush_next != NULL)
		qp->flush_next->flush_prev = qp->flush_prev;
	else
		h->flush_tail = qp->flush_prev;
	qp->in_flush = false;
}

void qp_error(struct shard *h, struct phca_qp *qp, enum phca_event_type ev, uint32_t status)
{
	if (qp->state == PHCA_QPS_ERR || qp->state == PHCA_QPS_RESET)
		return;
	responder_abort(h, qp, PHCA_V_ABORTED);
	withheld_stop(h, qp);
	__atomic_store_n(&qp->state, PHCA_QPS_ERR, __ATOMIC_RELAXED);
	qp->tell_error = qp->proxy && !qp->let_go;
	requester_stop(h, qp);
	flush_add(h, qp);
	hca_event(h, &qp->events, ev, status);
}

/* A send WR failed. RC knows no SQE (10.3.1.6). */
void sq_error(struct shard *h, struct phca_qp *qp, uint32_t status)
{
	if (qp->transport == PHCA_TRANSPORT_RC) {
		qp_error(h, qp, PHCA_EVENT_QP_FATAL, status);
		return;
	}
	if (qp->state != PHCA_QPS_RTS && qp->state != PHCA_QPS_SQD)
		return;
	__atomic_store_n(&qp->state, PHCA_QPS_SQE, __ATOMIC_RELAXED);
	requester_stop(h, qp);
	flush_add(h, qp);
	hca_event(h, &qp->events, PHCA_EVENT_SQ_ERR, status);
}

void cq_error(struct shard *h, struct phca_cqw *w)
{
	hca_event(h, &container_of(w, struct phca_cq, w)->events, PHCA_EVENT_CQ_ERR, PHCA_WC_GENERAL_ERR);
	for (struct phca_qp *qp = h->qps; qp != NULL; qp = qp->next)
		if (&qp->cq[PHCA_DIR_SEND]->w == w || &qp->cq[PHCA_DIR_RECV]->w == w)
			qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_GENERAL_ERR);
}

static void flush_one(struct shard *h, struct phca_qp *qp, uint64_t wr_id)
{
	complete(h, qp, PHCA_DIR_RECV, wr_id, PHCA_WC_WR_FLUSH_ERR, PHCA_WC_RECV, 0);
	PHCA_STAT_ADD(qp->st.rx_flushed, 1);
}

static unsigned int flush_recv(struct shard *h, struct phca_qp *qp)
{
	enum phca_verdict why;
	unsigned int n = 0;

	for (; n < FLUSH_BUDGET && complete_room(h, qp, PHCA_DIR_RECV, &why); n++) {
		if (qp->rwqe.valid) {
			qp->rwqe.valid = false;
			flush_one(h, qp, qp->rwqe.wr_id);
			continue;
		}
		if (qp->srq != NULL || phca_ring_avail(&qp->rq) <= 0)
			break;
		flush_one(h, qp, ((struct phca_recv_wqe *)phca_ring_head(&qp->rq))->wr_id);
		phca_ring_take(&qp->rq, 1);
		phca_ring_release(&qp->rq);
	}
	/* it holds none, and takes no more (10.2.9.3) */
	if (qp->srq != NULL && !qp->rwqe.valid && !qp->resp.last_told) {
		qp->resp.last_told = true;
		hca_event(h, &qp->events, PHCA_EVENT_LAST_WQE, PHCA_WC_SUCCESS);
	}
	return n;
}

/* Receives are posted without a doorbell, so each queue pair is looked at again and again, some a turn. */
unsigned int flush_run(struct shard *h)
{
	const struct phca_qp *last = h->flush_tail;
	unsigned int done = 0;

	for (unsigned int i = 0; i < FLUSH_QPS && h->flush_head != NULL; i++) {
		struct phca_qp *qp = h->flush_head;

		flush_remove(h, qp);
		flush_add(h, qp);
		if (unlikely(qp->tell_error))
			qp->tell_error = !qp_error_tell(qp);
		done += requester_flush(h, qp, FLUSH_BUDGET);
		if (qp->state == PHCA_QPS_ERR)
			done += flush_recv(h, qp);
		if (qp == last)
			break;
	}
	return done;
}
