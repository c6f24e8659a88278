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
	qp->flush_next = h->flush_list;
	h->flush_list = qp;
}

void flush_remove(struct shard *h, struct phca_qp *qp)
{
	struct phca_qp **pp = &h->flush_list;

	if (!qp->in_flush)
		return;
	while (*pp != qp)
		pp = &(*pp)->flush_next;
	*pp = qp->flush_next;
	qp->in_flush = false;
}

void qp_error(struct shard *h, struct phca_qp *qp, enum phca_event_type ev, uint32_t status)
{
	if (qp->state == PHCA_QPS_ERR || qp->state == PHCA_QPS_RESET)
		return;
	responder_abort(h, qp, PHCA_V_ABORTED);
	__atomic_store_n(&qp->state, PHCA_QPS_ERR, __ATOMIC_RELAXED);
	flush_add(h, qp);
	hca_event(h, ev, status, qp->qpn);
}

void sq_error(struct shard *h, struct phca_qp *qp, uint32_t status)
{
	if (qp->state != PHCA_QPS_RTS && qp->state != PHCA_QPS_SQD)
		return;
	__atomic_store_n(&qp->state, PHCA_QPS_SQE, __ATOMIC_RELAXED);
	flush_add(h, qp);
	hca_event(h, PHCA_EVENT_SQ_ERR, status, qp->qpn);
}

void cq_error(struct shard *h, struct phca_cqw *w)
{
	hca_event(h, PHCA_EVENT_CQ_ERR, PHCA_WC_GENERAL_ERR, w->cqn);
	for (struct phca_qp *qp = h->qps; qp != NULL; qp = qp->next)
		if (&qp->cq[PHCA_DIR_SEND]->w == w || &qp->cq[PHCA_DIR_RECV]->w == w)
			qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_GENERAL_ERR);
}

static void flush_one(struct shard *h, struct phca_qp *qp, enum phca_dir dir, uint64_t wr_id)
{
	complete(h, qp, dir, wr_id, PHCA_WC_WR_FLUSH_ERR, dir == PHCA_DIR_SEND ? PHCA_WC_SEND : PHCA_WC_RECV, 0);
	if (dir == PHCA_DIR_SEND)
		PHCA_STAT_ADD(qp->st.tx_flushed, 1);
	else
		PHCA_STAT_ADD(qp->st.rx_flushed, 1);
}

static unsigned int flush_send(struct shard *h, struct phca_qp *qp)
{
	enum phca_verdict why;
	unsigned int n = 0;

	for (; n < FLUSH_BUDGET && complete_room(h, qp, PHCA_DIR_SEND, &why); n++) {
		if (qp->sq_have) {
			qp->sq_have = false;
			flush_one(h, qp, PHCA_DIR_SEND, qp->sq_cur->wqe.wr_id);
			continue;
		}
		if (phca_ring_avail(&qp->sq) <= 0)
			break;
		flush_one(h, qp, PHCA_DIR_SEND, ((struct phca_send_wqe *)phca_ring_head(&qp->sq))->wr_id);
		PHCA_STAT_ADD(qp->st.tx_wrs, 1);
		phca_ring_take(&qp->sq, 1);
		phca_ring_release(&qp->sq);
	}
	return n;
}

static unsigned int flush_recv(struct shard *h, struct phca_qp *qp)
{
	enum phca_verdict why;
	unsigned int n = 0;

	for (; n < FLUSH_BUDGET && complete_room(h, qp, PHCA_DIR_RECV, &why); n++) {
		if (qp->rwqe.valid) {
			qp->rwqe.valid = false;
			flush_one(h, qp, PHCA_DIR_RECV, qp->rwqe.wr_id);
			continue;
		}
		if (phca_ring_avail(&qp->rq) <= 0)
			break;
		flush_one(h, qp, PHCA_DIR_RECV, ((struct phca_recv_wqe *)phca_ring_head(&qp->rq))->wr_id);
		phca_ring_take(&qp->rq, 1);
		phca_ring_release(&qp->rq);
	}
	/* it holds none, and takes no more (10.2.9.3) */
	if (qp->srq != NULL && !qp->rwqe.valid && !qp->resp.last_told) {
		qp->resp.last_told = true;
		hca_event(h, PHCA_EVENT_LAST_WQE, PHCA_WC_SUCCESS, qp->qpn);
	}
	return n;
}

unsigned int flush_run(struct shard *h)
{
	unsigned int done = 0;

	for (struct phca_qp *qp = h->flush_list; qp != NULL; qp = qp->flush_next) {
		done += flush_send(h, qp);
		if (qp->state == PHCA_QPS_ERR)
			done += flush_recv(h, qp);
	}
	return done;
}
