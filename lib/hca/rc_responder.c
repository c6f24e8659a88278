/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The responder of RC: the checks of 9.7.4.1 in their order, then execution. A
 * packet with the expected PSN is executed here and now, or refused; one before
 * it is a duplicate, which is answered and never executed; one ahead of it means
 * a loss, of which the peer is told once. What is owed to the peer is noted for
 * respq.c, which sends it later in the turn.
 *
 * A request that the HCA has no room for (no receive, no place for a completion)
 * leaves no trace: the PSN expected does not move, and the next try finds things
 * as this one did.
 *
 * Invariant: epsn moves only past packets that were executed whole, and the NAK
 * of one that was refused for good is the last thing the peer hears.
 */
#include <string.h>

#include "hca_impl.h"

#define RNR_SHORTEST 1 /* timer code: 10 us */
#define HELD_TURN_NS 100000000u /* a peer that sends nothing for so long holds up no others */

static void nak(struct shard *h, struct phca_qp *qp, uint8_t syndrome)
{
	struct responder *r = &qp->resp;

	r->nak = syndrome;
	r->nak_psn = r->epsn;
	r->gap_told = true;
	respq_due(h, qp);
}

/*
 * The NAK after which nothing is answered any more; of two, that of the earlier request:
 * one of which nothing was said yet fails with the queue pair.
 */
void rc_nak_fatal(struct shard *h, struct phca_qp *qp, struct phca_psn psn, uint8_t syndrome)
{
	struct responder *r = &qp->resp;

	if (withheld(r, qp->pass, psn)) {
		struct phca_psn first = qp->pass->withheld[qp->pass->unsaid & qp->pass->mask].psn;

		if (phca_psn_diff(psn, first) > 0)
			syndrome = PHCA_NAK_REM_OP;
		psn = first;
	}
	if (r->fatal && phca_psn_diff(psn, r->nak_psn) >= 0)
		return;
	r->fatal = true;
	r->nak = syndrome;
	r->nak_psn = psn;
	r->ack_due = false;
	respq_cut(qp, psn);
	respq_due(h, qp);
}

/* Refused for good: NAK, and the QP to ERROR (9.9.3, class C). */
static enum phca_verdict refuse(struct shard *h, struct phca_qp *qp, uint8_t syndrome, enum phca_verdict v)
{
	if (qp->resp.state == MSG_NONE)
		count_dropped(qp); /* else responder_abort does */
	rc_nak_fatal(h, qp, qp->resp.epsn, syndrome);
	if (syndrome == PHCA_NAK_INV_REQ)
		qp_error(h, qp, PHCA_EVENT_QP_REQ_ERR, PHCA_WC_REM_INV_REQ_ERR);
	else if (syndrome == PHCA_NAK_REM_ACCESS)
		qp_error(h, qp, PHCA_EVENT_QP_ACCESS_ERR, PHCA_WC_LOC_ACCESS_ERR);
	else
		qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_REM_OP_ERR);
	return v;
}

/*
 * It would overtake requests that the proxy may yet give back, and cannot follow them
 * there. They are decided soon: the peer is to come again at once, or by itself.
 */
static enum phca_verdict not_yet(struct shard *h, struct phca_qp *qp, const struct phca_opcode_info *info)
{
	if (info->op == PHCA_OP_SEND || info->flags & PHCA_OPF_RECV)
		nak(h, qp, PHCA_AETH_RNR | RNR_SHORTEST);
	else
		qp->resp.gap_told = true;
	return PHCA_V_PROXY_ORDER;
}

/* No receive, or no room for what it would complete: the peer is to try again (9.7.5.2.8). */
static enum phca_verdict not_ready(struct shard *h, struct phca_qp *qp)
{
	nak(h, qp, PHCA_AETH_RNR | (qp->min_rnr_timer & PHCA_AETH_VALUE));
	return PHCA_V_RNR;
}

/*
 * The proxy has no room, or too much is held: not accepted. SENDs, and WRITEs
 * that complete a receive, are told to come again; the others come again by
 * themselves, as they are not acknowledged (9.7.6.1.3).
 */
static enum phca_verdict not_accepted(struct shard *h, struct phca_qp *qp, const struct phca_opcode_info *info,
		enum phca_verdict v)
{
	if (info->op == PHCA_OP_SEND || info->flags & PHCA_OPF_RECV)
		not_ready(h, qp);
	else
		qp->resp.gap_told = true;
	return v;
}

static void acknowledge(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt)
{
	if (!(pkt->flags & PHCA_PKT_ACKREQ))
		return;
	qp->resp.ack_due = true;
	respq_due(h, qp);
}

/* ---------------------------------------------------------- duplicates */

/* The part of a READ that is asked for again must be one of it: whole packets, to its end at most (9.7.5.1.5). */
static bool again_read(struct shard *h, struct phca_qp *qp, const uint8_t *frame, const struct phca_pkt *pkt,
		struct resp_rec *rec)
{
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	uint32_t from = (uint32_t)phca_psn_diff(pkt->psn, rec->psn), off = from * qp->path_mtu;
	uint32_t len = phca_get32(reth->len);

	if (len > rec->len - off || (len == 0) != (rec->len == 0) || phca_get32(reth->rkey) != rec->rkey ||
	    phca_get64(reth->va) != rec->va + off)
		return false;
	rec->again |= !rec->want;
	respq_want(h, qp, rec, from, off + len);
	return true;
}

/* A request that was executed before (9.7.5.1.2): told again, never executed again. */
static enum phca_verdict duplicate(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info)
{
	struct resp_rec *rec;

	PHCA_STAT_ADD(qp->st.rx_duplicates, 1);
	if (info->op == PHCA_OP_SEND || info->op == PHCA_OP_WRITE) {
		rec = respq_head(qp);
		if (rec != NULL && phca_psn_diff(pkt->psn, rec->psn) < 0)
			rec->ack_before = true;
		if (unlikely(qp->resp.withholds) && withheld_again(h, qp, pkt->psn))
			return PHCA_V_DUPLICATE;
		qp->resp.ack_due = true;
		respq_due(h, qp);
		return PHCA_V_DUPLICATE;
	}
	rec = respq_find(qp, pkt->psn);
	if (rec == NULL || rec->op != info->op || rec->wait)
		return PHCA_V_DUPLICATE; /* forgotten, or the answer will come */
	if (info->op == PHCA_OP_READ_REQ) {
		again_read(h, qp, frame, pkt, rec);
	} else {
		rec->again |= !rec->want;
		respq_want(h, qp, rec, 0, 0);
	}
	return PHCA_V_DUPLICATE;
}

/* ------------------------------------------------------ READ and atomics */

/* Accepted, and the proxy answers: hand the packet over; *kept is set. */
static void rec_offload(struct shard *h, struct phca_qp *qp, struct rte_mbuf *m, const struct phca_pkt *pkt,
		struct resp_rec *rec, uint32_t rule)
{
	struct responder *r = &qp->resp;
	struct phca_pmsg *pm;

	rec->wait = true;
	rec->ack_before = r->ack_due; /* they do not wait for the proxy */
	r->ack_due = false;
	pm = hand_over(qp, m, pkt, rule, pkt->opcode);
	offload_traced(h, qp, pm, rec->len);
	pm->in.tag = respq_tag(qp, rec);
	respq_want(h, qp, rec, 0, rec->len);
}

/* Which rule a READ or atomic matches; *v is not OK: it does, or follows one, but the proxy has no room. */
static uint32_t rec_classify(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, uint32_t len, enum phca_verdict *v)
{
	uint32_t rule = RULE_NONE;

	if (qp->nb_rules > 0)
		rule = classify_inbound(h, qp, frame, pkt, len);
	if (unlikely(qp->resp.behind) && rule == RULE_NONE)
		rule = PHCA_PMSG_RULE_PASS;
	if (rule != RULE_NONE)
		proxy_room(qp, qp->px, PHCA_DIR_RECV, v);
	return rule;
}

static enum phca_verdict rc_read(struct shard *h, struct phca_qp *qp, struct rte_mbuf *m, const uint8_t *frame,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info, bool *kept)
{
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	uint32_t len = phca_get32(reth->len), rkey = phca_get32(reth->rkey);
	uint64_t va = phca_get64(reth->va);
	struct responder *r = &qp->resp;
	enum phca_verdict v = PHCA_V_OK;
	uint32_t rule = RULE_NONE;
	struct resp_rec *rec;

	if (unlikely(!(qp->access & PHCA_ACCESS_REMOTE_READ)))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_RKEY);
	if (unlikely(len > PHCA_MSG_MAX))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_LENGTH);
	if (len > 0 && unlikely(phca_mem_check(h->mem, rkey, qp->pd, qp->qpn, va, len,
			PHCA_ACCESS_REMOTE_READ) != PHCA_MEM_OK))
		return refuse(h, qp, PHCA_NAK_REM_ACCESS, PHCA_V_RKEY);
	if (qp->nb_rules > 0 || unlikely(qp->resp.behind))
		rule = rec_classify(h, qp, frame, pkt, len, &v);
	if (unlikely(v != PHCA_V_OK))
		return not_accepted(h, qp, info, v);
	rec = respq_push(h, qp, pkt, PHCA_OP_READ_REQ, len);
	if (unlikely(rec == NULL))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_RD_ATOMIC);
	rec->va = va;
	rec->rkey = rkey;
	rec->msn = ++r->msn;
	r->epsn = phca_psn_add(r->epsn, rec->npkts);
	if (rule != RULE_NONE) {
		rec_offload(h, qp, m, pkt, rec, rule);
		*kept = true;
		return PHCA_V_OFFLOADED;
	}
	r->ack_due = false; /* the response says it */
	respq_want(h, qp, rec, 0, len);
	direct_done(h, qp, pkt, len, false);
	return PHCA_V_DIRECT;
}

/* Whether the peer may have this atomic; when it may not, it has been told. */
static enum phca_verdict atomic_check(struct shard *h, struct phca_qp *qp, const struct phca_atomiceth *ath)
{
	enum phca_mem_err err;

	if (unlikely(!(qp->access & PHCA_ACCESS_REMOTE_ATOMIC)))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_RKEY);
	if (unlikely(phca_get64(ath->va) % sizeof(uint64_t) != 0))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_ALIGN);
	err = phca_mem_check(h->mem, phca_get32(ath->rkey), qp->pd, qp->qpn, phca_get64(ath->va),
		sizeof(uint64_t), PHCA_ACCESS_REMOTE_ATOMIC);
	if (unlikely(err != PHCA_MEM_OK)) /* allowed, but not possible: operation error */
		return refuse(h, qp, err == PHCA_MEM_IO ? PHCA_NAK_REM_OP : PHCA_NAK_REM_ACCESS, PHCA_V_RKEY);
	return PHCA_V_OK;
}

static enum phca_verdict atomic_execute(struct shard *h, struct phca_qp *qp, const struct phca_atomiceth *ath,
		struct resp_rec *rec)
{
	enum phca_mem_err err = PHCA_MEM_OK;

	if (likely(phca_mem_atomic(h->mem, phca_get32(ath->rkey), qp->pd, qp->qpn, phca_get64(ath->va),
			rec->op == PHCA_OP_CMP_SWAP ? PHCA_ATOMIC_CMP_SWAP : PHCA_ATOMIC_FETCH_ADD,
			phca_get64(ath->cmp), phca_get64(ath->swap_add), &rec->value, &err)))
		return PHCA_V_OK;
	if (err == PHCA_MEM_ALIGN) /* the memory is not where its address says */
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_ALIGN);
	return refuse(h, qp, PHCA_NAK_REM_ACCESS, PHCA_V_RKEY);
}

static enum phca_verdict rc_atomic(struct shard *h, struct phca_qp *qp, struct rte_mbuf *m, const uint8_t *frame,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info, bool *kept)
{
	const struct phca_atomiceth *ath = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICETH);
	struct responder *r = &qp->resp;
	uint32_t rule = RULE_NONE;
	struct resp_rec *rec;
	enum phca_verdict v = atomic_check(h, qp, ath);

	if (unlikely(v != PHCA_V_OK))
		return v;
	if (qp->nb_rules > 0 || unlikely(qp->resp.behind))
		rule = rec_classify(h, qp, frame, pkt, sizeof(rec->value), &v);
	if (unlikely(v != PHCA_V_OK))
		return not_accepted(h, qp, info, v);
	rec = respq_push(h, qp, pkt, info->op, 0);
	if (unlikely(rec == NULL))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_RD_ATOMIC);
	if (rule == RULE_NONE)
		v = atomic_execute(h, qp, ath, rec);
	if (unlikely(v != PHCA_V_OK))
		return v;
	rec->msn = ++r->msn;
	r->epsn = phca_psn_add(r->epsn, 1);
	if (rule != RULE_NONE) {
		rec_offload(h, qp, m, pkt, rec, rule);
		*kept = true;
		return PHCA_V_OFFLOADED;
	}
	r->ack_due = false;
	respq_want(h, qp, rec, 0, 0);
	direct_done(h, qp, pkt, sizeof(rec->value), false);
	return PHCA_V_DIRECT;
}

/* -------------------------------------------------------- SEND and WRITE */

/* First packet of a WRITE: RETH, rights and bounds of the whole (9.7.4.1.5). */
static enum phca_verdict write_start(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, bool last)
{
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	struct responder *r = &qp->resp;

	r->va = phca_get64(reth->va);
	r->rkey = phca_get32(reth->rkey);
	r->dma_len = phca_get32(reth->len);
	if (unlikely(!(qp->access & PHCA_ACCESS_REMOTE_WRITE)))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_RKEY);
	if (unlikely(r->dma_len > PHCA_MSG_MAX || !dma_len_ok(r->dma_len, pkt->payload_len, last)))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_LENGTH);
	if (r->dma_len > 0 && unlikely(phca_mem_check(h->mem, r->rkey, qp->pd, qp->qpn, r->va, r->dma_len,
			PHCA_ACCESS_REMOTE_WRITE) != PHCA_MEM_OK))
		return refuse(h, qp, PHCA_NAK_REM_ACCESS, PHCA_V_RKEY);
	return PHCA_V_OK;
}

/* A packet's bytes to where they belong. OK, or the verdict of an error that has been told. */
static enum phca_verdict place(struct shard *h, struct phca_qp *qp, const uint8_t *src, uint32_t len,
		const struct phca_opcode_info *info)
{
	struct responder *r = &qp->resp;

	if (info->op == PHCA_OP_SEND) {
		if (unlikely((uint64_t)r->len + len > qp->rwqe.total))
			return recv_refused(h, qp, PHCA_WC_LOC_LEN_ERR, PHCA_NAK_INV_REQ, PHCA_EVENT_QP_REQ_ERR);
		if (unlikely(phca_sg_scatter(h->mem, recv_pd(qp), qp->rwqe.sge, qp->rwqe.num_sge, r->len,
				src, len) != PHCA_MEM_OK))
			return recv_refused(h, qp, PHCA_WC_LOC_PROT_ERR, PHCA_NAK_REM_OP, PHCA_EVENT_QP_ACCESS_ERR);
		return PHCA_V_OK;
	}
	if (unlikely(phca_mem_write(h->mem, r->rkey, qp->pd, qp->qpn, r->va + r->len, src, len) != PHCA_MEM_OK))
		return refuse(h, qp, PHCA_NAK_REM_ACCESS, PHCA_V_RKEY);
	return PHCA_V_OK;
}

/* SEND with invalidate, last packet (9.4.1.1.3). @return whether the rkey could be */
static bool invalidated(struct shard *h, const struct phca_qp *qp, const uint8_t *frame, const struct phca_pkt *pkt)
{
	const struct phca_ieth *ieth = phca_pkt_hdr(frame, pkt, PHCA_HDR_IETH);

	return phca_mem_invalidate(h->mem, qp->pd, qp->qpn, phca_get32(ieth->rkey)) == PHCA_MEM_OK;
}

static enum phca_verdict rc_execute(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info)
{
	bool send = info->op == PHCA_OP_SEND, last = info->flags & PHCA_OPF_LAST;
	struct responder *r = &qp->resp;
	uint32_t len = pkt->payload_len;
	enum phca_verdict v;

	if (send || info->flags & PHCA_OPF_RECV) {
		if (unlikely(!complete_room(h, qp, PHCA_DIR_RECV, &v)))
			return not_ready(h, qp);
		v = rwqe_get(h, qp);
		if (unlikely(v == PHCA_V_NO_RECV))
			return not_ready(h, qp);
		if (unlikely(v != PHCA_V_OK))
			return v;
	}
	v = place(h, qp, frame + pkt->payload_off, len, info);
	if (unlikely(v != PHCA_V_OK))
		return v;
	r->len += len;
	if (info->flags & PHCA_OPF_RECV) {
		if (unlikely(info->flags & PHCA_OPF_INV) && !invalidated(h, qp, frame, pkt)) {
			recv_refused(h, qp, PHCA_WC_REM_INV_REQ_ERR, PHCA_NAK_REM_ACCESS, PHCA_EVENT_QP_ACCESS_ERR);
			return PHCA_V_RKEY;
		}
		v = recv_complete(h, qp, frame, pkt, r->len, send ? PHCA_WC_RECV : PHCA_WC_RECV_RDMA_WITH_IMM);
		if (unlikely(v != PHCA_V_DIRECT)) {
			if (info->flags & PHCA_OPF_FIRST)
				count_dropped(qp); /* else responder_abort did */
			return v;
		}
	}
	r->epsn = phca_psn_add(r->epsn, 1);
	r->state = last ? MSG_NONE : send ? MSG_SEND : MSG_WRITE;
	if (last) {
		r->msn++;
		direct_done(h, qp, pkt, r->len, info->flags & PHCA_OPF_RECV);
	}
	acknowledge(h, qp, pkt);
	return PHCA_V_DIRECT;
}

/*
 * With too much held in all, those that hold something take turns, so that one
 * of them ends: if all were told to come again, none ever would. A peer that
 * holds still loses its turn.
 */
static bool rc_held_room(struct shard *h, const struct phca_qp *qp)
{
	if (likely(h->nb_held < h->max_held_all))
		return true;
	if (qp->resp.held == 0 || h->nb_held >= 2 * h->max_held_all)
		return false;
	if (h->held_turn != qp->qpn && h->held_turn != 0 && h->now_ns - h->held_turn_ns < HELD_TURN_NS)
		return false;
	h->held_turn = qp->qpn;
	h->held_turn_ns = h->now_ns;
	return true;
}

/*
 * A message that no rule matched is longer than may be held. Once nothing is before it any
 * more, what is held of it is executed, and the rest as it comes.
 */
static enum phca_verdict unhold(struct shard *h, struct phca_qp *qp, const struct phca_opcode_info *info)
{
	struct responder *r = &qp->resp;
	uint32_t skip = r->first.payload_off;
	enum phca_verdict v = PHCA_V_OK;

	if (r->behind)
		return not_yet(h, qp, info);
	if (info->op == PHCA_OP_SEND) {
		if (unlikely(!complete_room(h, qp, PHCA_DIR_RECV, &v)))
			return not_ready(h, qp);
		v = rwqe_get(h, qp);
		if (unlikely(v != PHCA_V_OK))
			return v == PHCA_V_NO_RECV ? not_ready(h, qp) : v;
	}
	r->len = 0;
	for (struct rte_mbuf *m = r->head; m != NULL && v == PHCA_V_OK; m = m->next, skip = 0) {
		uint32_t n = m->data_len - skip;

		v = place(h, qp, rte_pktmbuf_mtod_offset(m, const uint8_t *, skip), n, info);
		if (unlikely(v != PHCA_V_OK)) /* it is gone */
			return v;
		r->len += n;
	}
	held_settle(h, qp, PHCA_V_DIRECT, true);
	r->offload = false;
	if (h->held_turn == qp->qpn)
		h->held_turn = 0;
	return PHCA_V_OK;
}

/* The message is whole. */
static void rc_hand_over(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt)
{
	hand_over_held(h, qp, pkt->opcode);
	if (h->held_turn == qp->qpn)
		h->held_turn = 0;
	qp->resp.msn++;
	if (rule_ordered(qp, qp->resp.rule))
		withheld_add(h, qp);
}

/*
 * A packet of an offloaded message: held by the HCA, and acknowledged when it is; the
 * last one when the proxy has the whole message, or, if it is ordered, is done with it.
 */
static enum phca_verdict rc_offload(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info, bool *kept)
{
	bool last = info->flags & PHCA_OPF_LAST;
	struct responder *r = &qp->resp;
	enum phca_verdict v;

	if (unlikely((uint64_t)r->len + pkt->payload_len > PHCA_MSG_MAX))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_LENGTH);
	if (unlikely(r->held >= h->max_held) && r->rule == PHCA_PMSG_RULE_PASS) {
		v = unhold(h, qp, info);
		return v == PHCA_V_OK ? rc_execute(h, qp, frame_of(m), pkt, info) : v;
	}
	if (unlikely(r->held >= h->max_held)) /* it will never fit */
		return refuse(h, qp, PHCA_NAK_REM_OP, PHCA_V_PROXY_TOO_LONG);
	if (unlikely(!last && !rc_held_room(h, qp)))
		return not_accepted(h, qp, info, PHCA_V_PROXY_TOO_LONG);
	if (last && unlikely(!proxy_room(qp, qp->px, PHCA_DIR_RECV, &v)))
		return not_accepted(h, qp, info, v);
	if (unlikely(!pass_room(h, qp)))
		return not_accepted(h, qp, info, PHCA_V_PROXY_TOO_LONG);
	if (info->flags & PHCA_OPF_INV && r->behind) /* they may yet need that key */
		return not_yet(h, qp, info);
	if (info->flags & PHCA_OPF_INV && unlikely(!invalidated(h, qp, frame_of(m), pkt)))
		return refuse(h, qp, PHCA_NAK_REM_ACCESS, PHCA_V_RKEY);
	hold(h, p, qp, m, pkt, last);
	*kept = true;
	r->epsn = phca_psn_add(r->epsn, 1);
	r->state = last ? MSG_NONE : info->op == PHCA_OP_SEND ? MSG_SEND : MSG_WRITE;
	if (last)
		rc_hand_over(h, qp, pkt);
	acknowledge(h, qp, pkt);
	return last ? PHCA_V_OFFLOADED : PHCA_V_OK;
}

static void rc_classify(struct shard *h, struct phca_qp *qp, const uint8_t *frame, const struct phca_pkt *pkt,
		const struct phca_opcode_info *info)
{
	struct responder *r = &qp->resp;
	uint32_t rule = classify_inbound(h, qp, frame, pkt,
		info->op == PHCA_OP_WRITE ? r->dma_len : pkt->payload_len);

	if (unlikely(r->behind) && rule == RULE_NONE)
		rule = PHCA_PMSG_RULE_PASS;
	r->offload = rule != RULE_NONE;
	r->rule = (uint8_t)rule;
	r->first = *pkt;
}

static enum phca_verdict rc_message(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info, bool *kept)
{
	const uint8_t *frame = frame_of(m);
	bool last = info->flags & PHCA_OPF_LAST;
	struct responder *r = &qp->resp;
	enum phca_verdict v;

	if (unlikely(!length_ok(qp->path_mtu, pkt->payload_len, info->flags)))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_LENGTH);
	if (info->flags & PHCA_OPF_FIRST) {
		r->len = 0;
		r->offload = false;
		if (info->op == PHCA_OP_WRITE) {
			v = write_start(h, qp, frame, pkt, last);
			if (unlikely(v != PHCA_V_OK))
				return v;
		}
		if (qp->nb_rules > 0 || unlikely(r->behind))
			rc_classify(h, qp, frame, pkt, info);
	} else if (info->op == PHCA_OP_WRITE &&
			unlikely(!dma_len_ok(r->dma_len, (uint64_t)r->len + pkt->payload_len, last))) {
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_LENGTH);
	}
	if (r->offload)
		return rc_offload(h, p, qp, m, pkt, info, kept);
	return rc_execute(h, qp, frame, pkt, info);
}

/* Whether the opcode starts or continues a message as it should (9.7.4.1.2). */
static bool sequence_ok(const struct responder *r, const struct phca_opcode_info *info)
{
	if (info->flags & PHCA_OPF_FIRST)
		return r->state == MSG_NONE;
	return r->state == (info->op == PHCA_OP_SEND ? MSG_SEND : MSG_WRITE);
}

enum phca_verdict respond_rc(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info, bool *kept)
{
	const uint8_t *frame = frame_of(m);
	struct responder *r = &qp->resp;
	int32_t ahead = phca_psn_diff(pkt->psn, r->epsn);

	established(h, qp);
	if (unlikely(info->name == NULL) && ahead <= 0) /* reserved (9.7.4.1.3) */
		return ahead < 0 ? PHCA_V_OPCODE : refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_OPCODE);
	if (unlikely(ahead < 0))
		return duplicate(h, qp, frame, pkt, info);
	if (unlikely(ahead > 0)) {
		if (!r->gap_told)
			nak(h, qp, PHCA_NAK_SEQ);
		return PHCA_V_PSN;
	}
	r->gap_told = false;
	r->nak = 0;
	if (unlikely(!sequence_ok(r, info)))
		return refuse(h, qp, PHCA_NAK_INV_REQ, PHCA_V_SEQUENCE);
	if (likely(info->flags & PHCA_OPF_PAYLOAD))
		return rc_message(h, p, qp, m, pkt, info, kept);
	if (info->op == PHCA_OP_READ_REQ)
		return rc_read(h, qp, m, frame, pkt, info, kept);
	return rc_atomic(h, qp, m, frame, pkt, info, kept);
}
