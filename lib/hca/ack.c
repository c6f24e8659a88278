/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the peer answers to an RC requester: acknowledgements, NAKs, READ
 * responses, results of atomics (9.7.5, 9.9).
 *
 * All of them tell first that everything before their PSN has been done. READs
 * and atomics are done by their answers only: an acknowledgement that goes past one
 * says that its answer was lost (9.7.5.1.1, implied NAK), and it is asked for again.
 *
 * Invariant: una_psn moves over a PSN once, and only it says what is
 * acknowledged; what comes again, or was never sent, changes nothing.
 */
#include <string.h>

#include "hca_impl.h"

enum aeth_kind { AETH_ACK, AETH_RNR, AETH_RSVD, AETH_NAK };
enum nak_code { NAK_PSN, NAK_INVALID, NAK_ACCESS, NAK_OPERATION };

static enum aeth_kind aeth_kind(uint8_t syndrome)
{
	return syndrome >> 5 & 3;
}

/* The oldest that is not acknowledged; there is one. */
static struct sq_wr *head(const struct phca_qp *qp)
{
	return sq_wr_at(&qp->req, qp->req.acked);
}

/* una_psn has reached the end of the head. */
static void head_done(struct phca_qp *qp)
{
	qp->req.acked++;
	requester_done(qp);
}

/* The peer has done n PSNs. @return false: it stopped at a READ or atomic, whose answer is missing */
static bool advance(struct phca_qp *qp, uint32_t n)
{
	struct requester *r = &qp->req;

	while (n > 0 && r->acked != r->begun) {
		const struct sq_wr *e = head(qp);
		uint32_t left = e->nb_psn - sq_wr_off(e, r->una_psn);

		if (wr_is_read(e) || wr_is_atomic(e))
			return false;
		r->una_psn = phca_psn_add(r->una_psn, RTE_MIN(n, left));
		if (n < left)
			break;
		n -= left;
		head_done(qp);
	}
	return true;
}

/* After una_psn has moved from where it was. */
static void progress(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	if (unlikely(phca_psn_diff(r->una_psn, r->psn) > 0)) { /* sending again was not needed */
		r->psn = r->una_psn;
		r->cur = r->acked;
		r->nb_rd = 0;
		if (r->acked != r->begun)
			head(qp)->again = true;
	}
	r->retry_left = qp->retry_cnt;
	r->rnr_left = qp->rnr_retry;
	r->recovering = false;
	r->window = RTE_MIN(2 * r->window, (uint32_t)PHCA_RC_WINDOW);
	if (r->una_psn.v != qp->sq_psn.v)
		requester_timer_arm(h, qp);
	if (r->wait != REQ_WAIT_NONE && r->wait != REQ_WAIT_PLACE && r->wait != REQ_WAIT_ORDER)
		requester_wake(h, qp);
	requester_retire(h, qp);
}

/* Something behind una_psn did not arrive, there or here. */
static void missing(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	if (r->recovering || r->wait == REQ_WAIT_RNR || qp->state == PHCA_QPS_ERR)
		return; /* it is being sent again */
	requester_again(h, qp);
	r->recovering = true;
	if (qp->state != PHCA_QPS_ERR)
		requester_timer_arm(h, qp); /* a new try has all of its time */
}

static void nak(struct shard *h, struct phca_qp *qp, unsigned int code)
{
	switch (code) {
	case NAK_PSN:
		missing(h, qp);
		break;
	case NAK_INVALID:
		requester_fail(h, qp, PHCA_WC_REM_INV_REQ_ERR);
		break;
	case NAK_ACCESS:
		requester_fail(h, qp, PHCA_WC_REM_ACCESS_ERR);
		break;
	default:
		requester_fail(h, qp, PHCA_WC_REM_OP_ERR);
	}
}

/* Acknowledge n PSNs. @return false: an answer of the peer is missing in front of that */
static bool acknowledge(struct shard *h, struct phca_qp *qp, uint32_t n)
{
	struct requester *r = &qp->req;
	struct phca_psn before = r->una_psn;
	bool all = advance(qp, n);

	if (before.v != r->una_psn.v)
		progress(h, qp);
	if (unlikely(!all))
		missing(h, qp);
	return all && qp->state != PHCA_QPS_ERR && r->acked != r->begun;
}

static enum phca_verdict ack_input(struct shard *h, struct phca_qp *qp, const struct phca_aeth *aeth, uint32_t rel)
{
	unsigned int value = aeth->syndrome & 31;

	switch (aeth_kind(aeth->syndrome)) {
	case AETH_ACK: /* the value is end-to-end credits, which limit nothing here (9.7.7.2) */
		PHCA_STAT_ADD(qp->st.rx_acks, 1);
		acknowledge(h, qp, rel + 1);
		return PHCA_V_ACK;
	case AETH_RNR:
		PHCA_STAT_ADD(qp->st.rx_rnr_naks, 1);
		if (acknowledge(h, qp, rel))
			requester_rnr(h, qp, value);
		return PHCA_V_ACK;
	case AETH_NAK:
		if (value > NAK_OPERATION)
			return PHCA_V_BAD_RESPONSE;
		PHCA_STAT_ADD(qp->st.rx_naks, 1);
		if (acknowledge(h, qp, rel))
			nak(h, qp, value);
		return PHCA_V_ACK;
	default:
		return PHCA_V_BAD_RESPONSE;
	}
}

/* An answer that contradicts its request (9.9.2.4.2): the peer cannot be trusted to go on. */
static enum phca_verdict bad_response(struct shard *h, struct phca_qp *qp)
{
	requester_fail(h, qp, PHCA_WC_BAD_RESP_ERR);
	return PHCA_V_BAD_RESPONSE;
}

/* The answer of the head's n bytes goes where the application wants it. @return whether it could */
static bool deliver(struct shard *h, struct phca_qp *qp, uint64_t off, const void *data, uint32_t n)
{
	const struct phca_offload_wr *wr = head(qp)->wr;

	if (likely(phca_sg_scatter(h->mem, wr->pd, wr->sge, wr->wqe.num_sge, off, data, n) == PHCA_MEM_OK))
		return true;
	requester_fail(h, qp, PHCA_WC_LOC_PROT_ERR);
	return false;
}

/* The head is answered up to and with una_psn; done: as far as one request asked. */
static void answered(struct shard *h, struct phca_qp *qp, bool done)
{
	struct requester *r = &qp->req;
	const struct sq_wr *e = head(qp);

	r->una_psn = phca_psn_add(r->una_psn, 1);
	PHCA_STAT_ADD(qp->st.rx_responses, 1);
	if (done && r->nb_rd > 0 && phca_psn_diff(r->psn, r->una_psn) >= 0)
		r->nb_rd--;
	if (sq_wr_off(e, r->una_psn) == e->nb_psn)
		head_done(qp);
	progress(h, qp);
}

/* Opcode and length of a READ response against its place in the answer (9.7.5.1.8). */
static bool read_fits(const struct phca_qp *qp, const struct sq_wr *e, const struct phca_pkt *pkt, uint32_t off)
{
	uint64_t left = e->wr->len - (uint64_t)off * qp->path_mtu;
	bool starts = off % READ_CHUNK == 0, ends = off + 1 == e->nb_psn || (off + 1) % READ_CHUNK == 0;
	unsigned int flags = phca_opcode_table[pkt->opcode].flags;

	if (!(flags & PHCA_OPF_LAST) != !ends)
		return false;
	/* the answer to a request made again starts in the middle */
	if (!(flags & PHCA_OPF_FIRST) ? starts : !starts && !e->again)
		return false;
	return pkt->payload_len == RTE_MIN(left, (uint64_t)qp->path_mtu);
}

static enum phca_verdict read_input(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt)
{
	const struct sq_wr *e = head(qp);
	uint32_t off = sq_wr_off(e, qp->req.una_psn);

	if (!wr_is_read(e) || !read_fits(qp, e, pkt, off))
		return bad_response(h, qp);
	if (!deliver(h, qp, (uint64_t)off * qp->path_mtu, frame + pkt->payload_off, pkt->payload_len))
		return PHCA_V_ACK;
	answered(h, qp, phca_opcode_table[pkt->opcode].flags & PHCA_OPF_LAST);
	return PHCA_V_ACK;
}

static enum phca_verdict atomic_input(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt)
{
	const struct phca_atomicacketh *a = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICACKETH);
	uint64_t orig = phca_get64(a->orig);

	if (!wr_is_atomic(head(qp)))
		return bad_response(h, qp);
	if (deliver(h, qp, 0, &orig, sizeof(orig)))
		answered(h, qp, true);
	return PHCA_V_ACK;
}

enum phca_verdict requester_input(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt)
{
	const struct phca_aeth *aeth = phca_pkt_hdr(frame, pkt, PHCA_HDR_AETH);
	struct requester *r = &qp->req;
	uint32_t rel = (uint32_t)phca_psn_diff(pkt->psn, r->una_psn);
	uint8_t op = phca_opcode_table[pkt->opcode].op;

	if (qp->state != PHCA_QPS_RTS && qp->state != PHCA_QPS_SQD)
		return PHCA_V_STALE;
	/* before: a duplicate; not sent yet: a ghost (9.7.5.1.1) */
	if (rel >= (uint32_t)phca_psn_diff(qp->sq_psn, r->una_psn) || r->acked == r->begun)
		return PHCA_V_STALE;
	if (op == PHCA_OP_ACK)
		return ack_input(h, qp, aeth, rel);
	if (aeth != NULL && aeth_kind(aeth->syndrome) != AETH_ACK)
		return PHCA_V_BAD_RESPONSE;
	if (!acknowledge(h, qp, rel))
		return PHCA_V_STALE; /* what is between was lost, and is asked for again */
	return op == PHCA_OP_READ_RESP ? read_input(h, qp, frame, pkt) : atomic_input(h, qp, frame, pkt);
}
