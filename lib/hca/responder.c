/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The responder of UD and UC queue pairs: a walk through small checks in the
 * order of the specification (9.6 validation, 9.8.2.2 UC, 9.8.3.2 UD), then
 * either execution here or the hand-over to the proxy.
 *
 * Unreliable service answers nothing: a message that fails a check is dropped
 * and counted, the receive work request it had taken stays for the next one.
 * A multi-packet message is classified on its first packet; held packets get
 * their verdict when the message ends.
 *
 * Invariant: no byte is written before the check that allows it, and nothing
 * that completes is executed before complete_room said yes.
 */
#include <string.h>

#include <rte_prefetch.h>

#include <rte_atomic.h>

#include "hca_impl.h"

static bool pkey_match(uint16_t a, uint16_t b)
{
	/* same partition, and not both limited members (10.9.3) */
	return ((a ^ b) & 0x7fff) == 0 && ((a | b) & 0x8000) != 0;
}

static const uint8_t *frame_of(const struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, const uint8_t *);
}

static void count_dropped(struct phca_qp *qp)
{
	PHCA_STAT_ADD(qp->st.rx_dropped, 1);
}

static struct port *port_of(struct shard *h, const struct phca_qp *qp)
{
	return h->ports[qp->port];
}

/* The packets held for a message get verdict v; freed unless they travel on. */
static void held_settle(struct shard *h, struct phca_qp *qp, enum phca_verdict v, bool free_them)
{
	struct responder *r = &qp->resp;
	struct port *p = port_of(h, qp);

	if (r->held == 0)
		return;
	verdict_add(p, qp, v, r->held);
	PHCA_STAT_ADD(p->st.rx_held, (uint64_t)0 - r->held);
	__atomic_store_n(&qp->held, 0, __ATOMIC_RELAXED);
	if (free_them)
		rte_pktmbuf_free(r->head);
	r->head = r->tail = NULL;
	h->nb_held -= r->held;
	r->held = 0;
}

void responder_abort(struct shard *h, struct phca_qp *qp, enum phca_verdict v)
{
	struct responder *r = &qp->resp;

	held_settle(h, qp, v, true);
	if (r->state == MSG_SEND || r->state == MSG_WRITE)
		count_dropped(qp);
	r->state = MSG_NONE;
	r->offload = false;
}

/*
 * Drop the message that this packet belongs to; its later packets follow. With
 * MSG_NONE, an error of the QP has ended and counted it already.
 */
static enum phca_verdict msg_drop(struct shard *h, struct phca_qp *qp, enum phca_verdict v, bool last)
{
	struct responder *r = &qp->resp;

	if (r->state == MSG_NONE)
		return v;
	held_settle(h, qp, v, true);
	count_dropped(qp);
	r->offload = false;
	r->state = last ? MSG_NONE : MSG_DROP;
	r->drop_verdict = (uint8_t)v;
	return v;
}

/* Take the next receive work request unless one is at hand. */
enum phca_verdict rwqe_get(struct shard *h, struct phca_qp *qp)
{
	struct phca_ring *rq = qp->srq ? &qp->srq->rq : &qp->rq;
	uint32_t max_sge = qp->srq ? qp->srq->max_sge : qp->max_recv_sge;
	struct rwqe *w = &qp->rwqe;
	struct phca_recv_wqe *slot;
	int32_t n;

	if (w->valid)
		return PHCA_V_OK;
	n = phca_ring_avail(rq);
	if (unlikely(n <= 0)) {
		if (n == 0)
			return PHCA_V_NO_RECV;
		qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR);
		return PHCA_V_RECV_WQE;
	}
	slot = phca_ring_head(rq);
	/* the application wrote them on another core */
	rte_prefetch0(phca_ring_slot(rq, rq->own + RWQE_AHEAD));
	w->wr_id = slot->wr_id;
	w->num_sge = __atomic_load_n(&slot->num_sge, __ATOMIC_RELAXED);
	if (likely(w->num_sge == 1 && max_sge >= 1)) {
		w->sge[0] = *phca_recv_sge(slot);
		rte_compiler_barrier(); /* the copy is used from here on, the slot may change */
		w->total = w->sge[0].length;
		w->valid = true;
	} else if (w->num_sge <= max_sge) {
		memcpy(w->sge, phca_recv_sge(slot), w->num_sge * sizeof(w->sge[0]));
		rte_compiler_barrier();
		w->total = phca_sg_len(w->sge, w->num_sge);
		w->valid = true;
	}
	phca_ring_take(rq, 1); /* rx.c releases */
	if (qp->srq != NULL)
		srq_taken(h, qp->srq);
	if (likely(w->valid))
		return PHCA_V_OK;
	complete(h, qp, PHCA_DIR_RECV, w->wr_id, PHCA_WC_LOC_QP_OP_ERR, PHCA_WC_RECV, 0);
	qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR);
	return PHCA_V_RECV_WQE;
}

/* The receive buffers refuse: our application's fault. */
static enum phca_verdict recv_refused(struct shard *h, struct phca_qp *qp)
{
	qp->rwqe.valid = false;
	complete(h, qp, PHCA_DIR_RECV, qp->rwqe.wr_id, PHCA_WC_LOC_PROT_ERR, PHCA_WC_RECV, 0);
	count_dropped(qp);
	qp_error(h, qp, PHCA_EVENT_QP_ACCESS_ERR, PHCA_WC_LOC_PROT_ERR);
	return PHCA_V_RECV_WQE;
}

/* @return DIRECT; CQ_FULL: nobody will see the completion */
static enum phca_verdict recv_complete(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, uint32_t byte_len, uint32_t opcode)
{
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	const struct phca_immdt *imm = phca_pkt_hdr(frame, pkt, PHCA_HDR_IMMDT);
	struct phca_wc *wc = complete(h, qp, PHCA_DIR_RECV, qp->rwqe.wr_id, PHCA_WC_SUCCESS, opcode,
		pkt->flags & PHCA_PKT_SOLICITED ? PHCA_PMSG_F_SOLICITED : 0);

	qp->rwqe.valid = false;
	if (unlikely(wc == &h->nowhere)) {
		qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_GENERAL_ERR); /* unless cq_error did */
		return PHCA_V_CQ_FULL;
	}
	wc->byte_len = byte_len;
	if (imm != NULL) {
		memcpy(&wc->imm, imm->imm, sizeof(wc->imm));
		wc->wc_flags = PHCA_WC_F_WITH_IMM;
	}
	if (deth != NULL) {
		wc->src_qp = phca_get24(deth->sqpn);
		wc->wc_flags |= PHCA_WC_F_GRH;
	} else {
		wc->src_qp = qp->dest_qpn;
	}
	if (pkt->flags & PHCA_PKT_VLAN)
		wc->sl = (uint8_t)(pkt->vlan_tci >> 13);
	return PHCA_V_DIRECT;
}

/* Give a whole message to the proxy. Room is known. */
static void hand_over(struct phca_qp *qp, struct rte_mbuf *head,
		const struct phca_pkt *first, uint32_t msg_len, uint8_t last_opcode, uint32_t rule)
{
	struct phca_pmsg *pm = proxy_msg(qp->px);

	pm->kind = PHCA_PMSG_OFFLOAD;
	pm->dir = PHCA_DIR_RECV;
	pm->rule = (uint8_t)rule;
	pm->flags = 0;
	pm->seq = qp->pseq[PHCA_DIR_RECV].next++;
	pm->pqp = qp->pqp;
	pm->in.m = head;
	pm->in.pkt = *first;
	pm->in.msg_len = msg_len;
	pm->in.last_opcode = last_opcode;
	PHCA_STAT_ADD(qp->rules[rule].matched, 1);
	PHCA_STAT_ADD(qp->st.rx_offloaded, 1);
}

/* Cut pad and iCRC off a packet that will be held. */
static void trim_tail(struct rte_mbuf *m, const struct phca_pkt *pkt)
{
	m->data_len = (uint16_t)(pkt->payload_off + pkt->payload_len);
	m->pkt_len = m->data_len;
}

/* ------------------------------------------------------------------- UD */

/* The 40 bytes in front of a UD payload: the IPv6 header, or 20 bytes of zero and the IPv4 header (A17.4.5.1). */
static void grh_fill(uint8_t grh[PHCA_GRH_LEN], const uint8_t *frame, const struct phca_pkt *pkt)
{
	const uint8_t *ip = frame + pkt->l3_off;

	if (pkt->flags & PHCA_PKT_IP6) {
		memcpy(grh, ip, PHCA_GRH_LEN);
	} else {
		memset(grh, 0, 20);
		memcpy(grh + 20, ip, 20);
	}
}

static enum phca_verdict drop_ud(struct phca_qp *qp, enum phca_verdict v)
{
	count_dropped(qp);
	return v;
}

static enum phca_verdict respond_ud(struct shard *h, struct port *p, struct phca_qp *qp,
		struct rte_mbuf *m, const struct phca_pkt *pkt, bool *kept)
{
	const uint8_t *frame = frame_of(m);
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	uint32_t len = pkt->payload_len, rule;
	uint8_t grh[PHCA_GRH_LEN];
	enum phca_verdict v;

	if (unlikely(phca_get32(deth->qkey) != qp->qkey))
		return drop_ud(qp, PHCA_V_QKEY);
	if (unlikely(len > phca_net_mtu(p->net)))
		return drop_ud(qp, PHCA_V_LENGTH);
	if (qp->nb_rules > 0) {
		rule = classify_inbound(h, qp, frame, pkt, len);
		if (rule != RULE_NONE) {
			if (!proxy_room(qp, qp->px, PHCA_DIR_RECV, &v))
				return drop_ud(qp, v);
			trim_tail(m, pkt);
			hand_over(qp, m, pkt, len, pkt->opcode, rule);
			*kept = true;
			return PHCA_V_OFFLOADED;
		}
	}
	if (unlikely(!complete_room(h, qp, PHCA_DIR_RECV, &v)))
		return drop_ud(qp, v);
	v = rwqe_get(h, qp);
	if (unlikely(v != PHCA_V_OK))
		return drop_ud(qp, v);
	if (unlikely(qp->rwqe.total < PHCA_GRH_LEN + (uint64_t)len))
		return drop_ud(qp, PHCA_V_LENGTH);
	grh_fill(grh, frame, pkt);
	if (unlikely(phca_sg_scatter(h->mem, qp->pd, qp->rwqe.sge, qp->rwqe.num_sge, 0,
				grh, sizeof(grh)) != PHCA_MEM_OK ||
		     phca_sg_scatter(h->mem, qp->pd, qp->rwqe.sge, qp->rwqe.num_sge, sizeof(grh),
				frame + pkt->payload_off, len) != PHCA_MEM_OK))
		return recv_refused(h, qp);
	v = recv_complete(h, qp, frame, pkt, PHCA_GRH_LEN + len, PHCA_WC_RECV);
	if (unlikely(v != PHCA_V_DIRECT))
		return drop_ud(qp, v);
	PHCA_STAT_ADD(qp->st.rx_direct, 1);
	return PHCA_V_DIRECT;
}

/* ------------------------------------------------------------------- UC */

/* PSN and opcode sequence (9.8.2.2.1, 9.8.2.2.2). OK: the packet starts or continues a message. */
static enum phca_verdict uc_sequence(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt,
		const struct phca_opcode_info *info)
{
	struct responder *r = &qp->resp;
	uint8_t state = info->op == PHCA_OP_SEND ? MSG_SEND : MSG_WRITE;
	bool last = info->flags & PHCA_OPF_LAST;

	if (info->flags & PHCA_OPF_FIRST) {
		/* any PSN starts a message; one under way is lost */
		responder_abort(h, qp, PHCA_V_ABORTED);
		r->state = state;
		r->len = 0;
	} else if (r->state == MSG_NONE) {
		r->state = state; /* a message whose start was lost */
		return msg_drop(h, qp, PHCA_V_SEQUENCE, last);
	} else if (r->state == MSG_DROP) {
		if (last)
			r->state = MSG_NONE;
		return r->drop_verdict;
	} else if (phca_psn_diff(pkt->psn, r->epsn) != 0) {
		return msg_drop(h, qp, PHCA_V_PSN, last);
	} else if (r->state != state) {
		return msg_drop(h, qp, PHCA_V_SEQUENCE, last);
	}
	r->epsn = phca_psn_add(pkt->psn, 1);
	return PHCA_V_OK;
}

/* Payload against the path MTU (9.8.2.2.4): full in FIRST and MIDDLE, not empty in LAST. */
static bool uc_length_ok(const struct phca_qp *qp, const struct phca_pkt *pkt, unsigned int flags)
{
	uint32_t len = pkt->payload_len;

	if (!(flags & PHCA_OPF_LAST))
		return len == qp->path_mtu;
	return len <= qp->path_mtu && ((flags & PHCA_OPF_FIRST) || len > 0);
}

/* First packet of a WRITE: RETH, rights and bounds of the whole (9.8.2.2.5). */
static enum phca_verdict uc_write_start(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, bool last)
{
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	struct responder *r = &qp->resp;
	enum phca_mem_err err;

	r->va = phca_get64(reth->va);
	r->rkey = phca_get32(reth->rkey);
	r->dma_len = phca_get32(reth->len);
	if (r->dma_len > PHCA_MSG_MAX || (last ? r->dma_len != pkt->payload_len : r->dma_len <= pkt->payload_len))
		return PHCA_V_LENGTH;
	if (!(qp->access & PHCA_ACCESS_REMOTE_WRITE))
		return PHCA_V_RKEY;
	if (r->dma_len > 0 && phca_mem_ptr(h->mem, r->rkey, qp->pd, r->va, r->dma_len,
			PHCA_ACCESS_REMOTE_WRITE, &err) == NULL)
		return PHCA_V_RKEY;
	return PHCA_V_OK;
}

/* First packet of a message: checks, and the decision that holds for all of it. */
static enum phca_verdict uc_start(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, bool last)
{
	struct responder *r = &qp->resp;
	enum phca_verdict v = PHCA_V_OK;
	uint32_t rule = RULE_NONE;

	if (r->state == MSG_WRITE) {
		v = uc_write_start(h, qp, frame, pkt, last);
		if (v != PHCA_V_OK)
			return v;
	}
	if (qp->nb_rules > 0)
		rule = classify_inbound(h, qp, frame, pkt,
			r->state == MSG_WRITE ? r->dma_len : pkt->payload_len);
	r->offload = rule != RULE_NONE;
	if (r->offload) {
		r->rule = (uint8_t)rule;
		r->first = *pkt;
	} else if (r->state == MSG_SEND && complete_room(h, qp, PHCA_DIR_RECV, &v)) {
		v = rwqe_get(h, qp);
	}
	return v;
}

/* A packet of an offloaded message: hold it, or hand the whole over. */
static enum phca_verdict uc_offload(struct shard *h, struct port *p, struct phca_qp *qp,
		struct rte_mbuf *m, const struct phca_pkt *pkt, bool last, bool *kept)
{
	struct responder *r = &qp->resp;
	enum phca_verdict v;

	/* a message too long, or peers that begin many and end none */
	if (r->held >= h->max_held || h->nb_held >= h->max_held_all)
		return msg_drop(h, qp, PHCA_V_PROXY_TOO_LONG, last);
	if (last && !proxy_room(qp, qp->px, PHCA_DIR_RECV, &v))
		return msg_drop(h, qp, v, last);
	trim_tail(m, pkt);
	if (r->head == NULL) {
		r->head = m;
	} else {
		rte_pktmbuf_adj(m, pkt->payload_off);
		r->tail->next = m;
		r->head->nb_segs++;
		r->head->pkt_len += m->data_len;
	}
	r->tail = m;
	*kept = true;
	r->len += pkt->payload_len;
	if (!last) {
		r->held++;
		h->nb_held++;
		PHCA_STAT_ADD(p->st.rx_held, 1);
		__atomic_store_n(&qp->held, r->held, __ATOMIC_RELAXED);
		return PHCA_V_OK;
	}
	hand_over(qp, r->head, &r->first, r->len, pkt->opcode, r->rule);
	r->head = r->tail = NULL;
	held_settle(h, qp, PHCA_V_OFFLOADED, false);
	r->state = MSG_NONE;
	return PHCA_V_OFFLOADED;
}

/* A packet that the HCA executes itself. */
static enum phca_verdict uc_direct(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info)
{
	struct responder *r = &qp->resp;
	uint32_t len = pkt->payload_len;
	bool last = info->flags & PHCA_OPF_LAST;
	enum phca_mem_err err;
	enum phca_verdict v;
	void *dst;

	if (info->flags & PHCA_OPF_RECV) {
		if (!complete_room(h, qp, PHCA_DIR_RECV, &v))
			return msg_drop(h, qp, v, last);
		v = rwqe_get(h, qp);
		if (v != PHCA_V_OK)
			return msg_drop(h, qp, v, last);
	}
	if (r->state == MSG_SEND) {
		if (unlikely(phca_sg_scatter(h->mem, qp->pd, qp->rwqe.sge, qp->rwqe.num_sge, r->len,
				frame + pkt->payload_off, len) != PHCA_MEM_OK)) {
			if (!complete_room(h, qp, PHCA_DIR_RECV, &v))
				return msg_drop(h, qp, v, last);
			r->state = MSG_NONE;
			return recv_refused(h, qp);
		}
	} else if (len > 0) {
		dst = phca_mem_ptr(h->mem, r->rkey, qp->pd, r->va + r->len, len, PHCA_ACCESS_REMOTE_WRITE, &err);
		if (unlikely(dst == NULL))
			return msg_drop(h, qp, PHCA_V_RKEY, last);
		memcpy(dst, frame + pkt->payload_off, len);
	}
	r->len += len;
	if (last) {
		if (info->flags & PHCA_OPF_RECV) {
			v = recv_complete(h, qp, frame, pkt, r->len,
				r->state == MSG_SEND ? PHCA_WC_RECV : PHCA_WC_RECV_RDMA_WITH_IMM);
			if (unlikely(v != PHCA_V_DIRECT))
				return v; /* the error of the QP has ended the message */
		}
		r->state = MSG_NONE;
		PHCA_STAT_ADD(qp->st.rx_direct, 1);
	}
	return PHCA_V_DIRECT;
}

/* Total length of the message so far against what was announced or posted. */
static bool uc_total_ok(const struct phca_qp *qp, const struct phca_pkt *pkt, bool last)
{
	const struct responder *r = &qp->resp;
	uint64_t total = (uint64_t)r->len + pkt->payload_len;

	if (r->state == MSG_WRITE)
		return last ? total == r->dma_len : total < r->dma_len;
	if (r->offload)
		return total <= PHCA_MSG_MAX;
	return total <= qp->rwqe.total;
}

static enum phca_verdict respond_uc(struct shard *h, struct port *p, struct phca_qp *qp,
		struct rte_mbuf *m, const struct phca_pkt *pkt, const struct phca_opcode_info *info, bool *kept)
{
	const uint8_t *frame = frame_of(m);
	bool last = info->flags & PHCA_OPF_LAST;
	enum phca_verdict v;

	v = uc_sequence(h, qp, pkt, info);
	if (unlikely(v != PHCA_V_OK))
		return v;
	if (unlikely(!uc_length_ok(qp, pkt, info->flags)))
		return msg_drop(h, qp, PHCA_V_LENGTH, last);
	if (info->flags & PHCA_OPF_FIRST) {
		v = uc_start(h, qp, frame, pkt, last);
		if (unlikely(v != PHCA_V_OK))
			return msg_drop(h, qp, v, last);
	}
	if (unlikely(!uc_total_ok(qp, pkt, last)))
		return msg_drop(h, qp, PHCA_V_LENGTH, last);
	if (qp->resp.offload)
		return uc_offload(h, p, qp, m, pkt, last, kept);
	return uc_direct(h, qp, frame, pkt, info);
}

/* ------------------------------------------------------------ both */

static bool can_receive(const struct phca_qp *qp)
{
	return qp->state >= PHCA_QPS_RTR && qp->state <= PHCA_QPS_SQE;
}

static bool peer_ok(const struct phca_qp *qp, const uint8_t *frame, const struct phca_pkt *pkt)
{
	const uint8_t *ip = frame + pkt->l3_off;

	if (!qp->check_peer)
		return true;
	if (pkt->flags & PHCA_PKT_IP6)
		return memcmp(ip + 8, qp->av.dgid, 16) == 0;
	return phca_gid_is_ip4(qp->av.dgid) && memcmp(ip + 12, qp->av.dgid + 12, 4) == 0;
}

/*
 * One packet for this queue pair. Returns its verdict; PHCA_V_OK when it is
 * held and its message will decide. *kept: the mbuf is not the caller's any more.
 */
enum phca_verdict respond(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, bool *kept)
{
	const struct phca_opcode_info *info = &phca_opcode_table[pkt->opcode];

	if (unlikely(info->transport != qp->transport && pkt->opcode != PHCA_CNP))
		return PHCA_V_QP_TRANSPORT;
	if (unlikely(!can_receive(qp)))
		return PHCA_V_QP_STATE;
	if (unlikely(!pkey_match(pkt->pkey, qp->pkey)))
		return PHCA_V_PKEY;
	if (unlikely(!peer_ok(qp, frame_of(m), pkt)))
		return PHCA_V_PEER;
	if (unlikely(pkt->opcode == PHCA_CNP))
		return congestion_cnp(h, qp);
	if (unlikely((pkt->tclass & PHCA_ECN_MASK) == PHCA_ECN_CE))
		congestion_marked(h, p, qp, frame_of(m), pkt);
	PHCA_STAT_ADD(qp->st.rx_bytes, pkt->payload_len);
	if (qp->transport == PHCA_TRANSPORT_UC)
		return respond_uc(h, p, qp, m, pkt, info, kept);
	return respond_ud(h, p, qp, m, pkt, kept);
}
