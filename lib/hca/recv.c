/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive work requests: taken one at a time, and only when an inbound message
 * needs one; completed here.
 *
 * Invariant: a slot of the shared ring is read once, into qp->rwqe, and what is
 * checked and used is the copy. rwqe_get and recv_complete are only called when
 * complete_room has said yes.
 */
#include <string.h>

#include <rte_atomic.h>
#include <rte_prefetch.h>

#include "hca_impl.h"

/* Our application's fault, or our queue's: to ERROR, and an RC peer is told. */
static void recv_error(struct shard *h, struct phca_qp *qp, enum phca_event_type ev, uint32_t status, uint8_t nak)
{
	if (qp->transport == PHCA_TRANSPORT_RC)
		rc_nak_fatal(h, qp, qp->resp.epsn, nak);
	qp_error(h, qp, ev, status);
}

/* @return whether there are receives, and how many at least, with the one at hand; -EIO: nonsense in the index */
int32_t recv_avail(struct shard *h, struct phca_qp *qp)
{
	int32_t n;

	if (qp->rwqe.valid)
		return 1;
	n = phca_ring_avail(qp->srq ? &qp->srq->rq : &qp->rq);
	if (unlikely(n < 0) && qp->srq != NULL)
		srq_error(h, qp->srq);
	return n;
}

/* Copy the next receive work request, which is there, unless one is at hand. @return false: it is invalid */
bool rwqe_copy(struct shard *h, struct phca_qp *qp)
{
	struct phca_ring *rq = qp->srq ? &qp->srq->rq : &qp->rq;
	uint32_t max_sge = qp->srq ? qp->srq->max_sge : qp->max_recv_sge;
	struct rwqe *w = &qp->rwqe;
	struct phca_recv_wqe *slot;

	if (w->valid)
		return true;
	slot = phca_ring_head(rq);
	/* the application wrote them on another core */
	rte_prefetch0(phca_ring_slot(rq, rq->own + RWQE_AHEAD));
	w->wr_id = slot->wr_id;
	w->num_sge = __atomic_load_n(&slot->num_sge, __ATOMIC_RELAXED);
	if (likely(w->num_sge == 1 && max_sge >= 1)) {
		w->sge[0] = *phca_recv_sge(slot);
		rte_compiler_barrier(); /* the copy is used from here on, the slot may change */
		w->total = RTE_MIN(w->sge[0].length, PHCA_MSG_MAX);
		w->valid = true;
	} else if (w->num_sge <= max_sge) {
		memcpy(w->sge, phca_recv_sge(slot), w->num_sge * sizeof(w->sge[0]));
		rte_compiler_barrier();
		/* no message is longer, whatever fits (9.7.7) */
		w->total = RTE_MIN(phca_sg_len(w->sge, w->num_sge), (uint64_t)PHCA_MSG_MAX);
		w->valid = true;
	}
	phca_ring_take(rq, 1); /* rx.c releases */
	if (qp->srq != NULL)
		srq_taken(h, qp->srq);
	return w->valid;
}

static enum phca_verdict recv_corrupt(struct shard *h, struct phca_qp *qp)
{
	recv_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR, PHCA_NAK_REM_OP);
	return PHCA_V_RECV_WQE;
}

/* Take the next receive work request unless one is at hand. */
enum phca_verdict rwqe_get(struct shard *h, struct phca_qp *qp)
{
	int32_t n = recv_avail(h, qp);

	if (unlikely(n <= 0))
		return n == 0 ? PHCA_V_NO_RECV : recv_corrupt(h, qp);
	if (likely(rwqe_copy(h, qp)))
		return PHCA_V_OK;
	complete(h, qp, PHCA_DIR_RECV, qp->rwqe.wr_id, PHCA_WC_LOC_QP_OP_ERR, PHCA_WC_RECV, 0);
	recv_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR, PHCA_NAK_REM_OP);
	return PHCA_V_RECV_WQE;
}

/* The receive work request at hand ends with an error. Room for its completion is known. */
enum phca_verdict recv_refused(struct shard *h, struct phca_qp *qp, uint32_t status, uint8_t nak,
		enum phca_event_type ev)
{
	qp->rwqe.valid = false;
	qp->resp.state = MSG_NONE; /* counted here, once */
	complete(h, qp, PHCA_DIR_RECV, qp->rwqe.wr_id, status, PHCA_WC_RECV, 0);
	count_dropped(qp);
	recv_error(h, qp, ev, status, nak);
	return status == PHCA_WC_LOC_LEN_ERR ? PHCA_V_LENGTH : PHCA_V_RECV_WQE;
}

/* Where the message came from; frame and pkt are of its first packet, or its last. */
void recv_source(const struct phca_qp *qp, struct phca_wc *wc, const uint8_t *frame, const struct phca_pkt *pkt)
{
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);

	if (deth != NULL) {
		wc->src_qp = phca_get24(deth->sqpn);
		wc->wc_flags |= PHCA_WC_F_GRH;
	} else {
		wc->src_qp = qp->dest_qpn;
	}
	if (pkt->flags & PHCA_PKT_VLAN)
		wc->sl = (uint8_t)(pkt->vlan_tci >> 13);
}

/* @return DIRECT; CQ_FULL: nobody will see the completion */
enum phca_verdict recv_complete(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, uint32_t byte_len, uint32_t opcode)
{
	const struct phca_immdt *imm = phca_pkt_hdr(frame, pkt, PHCA_HDR_IMMDT);
	const struct phca_ieth *inv = phca_pkt_hdr(frame, pkt, PHCA_HDR_IETH);
	struct phca_wc *wc = complete(h, qp, PHCA_DIR_RECV, qp->rwqe.wr_id, PHCA_WC_SUCCESS, opcode,
		(pkt->flags & PHCA_PKT_SOLICITED ? PHCA_PMSG_F_SOLICITED : 0) | trace_mark(qp));

	qp->rwqe.valid = false;
	if (unlikely(wc == &h->nowhere)) {
		recv_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_GENERAL_ERR, PHCA_NAK_REM_OP); /* unless cq_error did */
		return PHCA_V_CQ_FULL;
	}
	wc->byte_len = byte_len;
	if (imm != NULL) {
		memcpy(&wc->imm, imm->imm, sizeof(wc->imm));
		wc->wc_flags = PHCA_WC_F_WITH_IMM;
	}
	if (inv != NULL) {
		wc->imm = phca_get32(inv->rkey);
		wc->wc_flags = PHCA_WC_F_WITH_INV;
	}
	recv_source(qp, wc, frame, pkt);
	return PHCA_V_DIRECT;
}
