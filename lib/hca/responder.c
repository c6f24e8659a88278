/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The responder: what holds for all transports, and UD and UC queue pairs (RC
 * is in rc_responder.c): a walk through small checks in the
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

#include "hca_impl.h"

static bool pkey_match(uint16_t a, uint16_t b)
{
	/* same partition, and not both limited members (10.9.3) */
	return ((a ^ b) & 0x7fff) == 0 && ((a | b) & 0x8000) != 0;
}

void responder_abort(struct shard *h, struct phca_qp *qp, enum phca_verdict v)
{
	struct responder *r = &qp->resp;

	held_settle(h, qp, v, true);
	if (r->state == MSG_SEND || r->state == MSG_WRITE)
		count_dropped(qp);
	r->state = MSG_NONE;
	r->offload = false;
	if (qp->respq != NULL && !r->fatal)
		respq_stop(qp);
}

/* To RESET: nothing is owed any more. */
void responder_reset(struct shard *h, struct phca_qp *qp)
{
	responder_abort(h, qp, PHCA_V_ABORTED);
	respq_remove(h, qp);
	respq_forget(h, qp);
	qp->resp = (struct responder){ .state = MSG_NONE };
	pass_reset(h, qp);
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

/* ------------------------------------------------------------------- UD */

/* The 40 bytes in front of a UD payload: the IPv6 header, or 20 bytes of zero and the IPv4 header (A17.4.5.1). */
void grh_fill(uint8_t grh[PHCA_GRH_LEN], const uint8_t *frame, const struct phca_pkt *pkt)
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

/* The first packet in RTR says that the peer is there (11.6.3.1). */
void established(struct shard *h, struct phca_qp *qp)
{
	if (likely(qp->state != PHCA_QPS_RTR || qp->resp.established))
		return;
	qp->resp.established = true;
	hca_event(h, &qp->events, PHCA_EVENT_COMM_EST, PHCA_WC_SUCCESS);
}

static enum phca_verdict ud_offload(struct shard *h, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, uint32_t rule, bool *kept)
{
	enum phca_verdict v;

	if (unlikely(!proxy_room(qp, qp->px, PHCA_DIR_RECV, &v)))
		return drop_ud(qp, v);
	if (unlikely(!pass_room(h, qp)))
		return drop_ud(qp, PHCA_V_PROXY_TOO_LONG);
	offload_traced(h, qp, hand_over(qp, m, pkt, rule, pkt->opcode), pkt->payload_len);
	*kept = true;
	return PHCA_V_OFFLOADED;
}

static enum phca_verdict respond_ud(struct shard *h, struct port *p, struct phca_qp *qp,
		struct rte_mbuf *m, const struct phca_pkt *pkt, bool *kept)
{
	const uint8_t *frame = frame_of(m);
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	uint32_t len = pkt->payload_len, rule = RULE_NONE;
	uint8_t grh[PHCA_GRH_LEN];
	enum phca_verdict v;

	if (unlikely(phca_get32(deth->qkey) != qp->qkey))
		return drop_ud(qp, PHCA_V_QKEY);
	established(h, qp);
	if (unlikely(len > phca_net_mtu(p->net)))
		return drop_ud(qp, PHCA_V_LENGTH);
	if (qp->nb_rules > 0)
		rule = classify_inbound(h, qp, frame, pkt, len);
	if (unlikely(qp->resp.behind) && rule == RULE_NONE)
		rule = PHCA_PMSG_RULE_PASS;
	if (rule != RULE_NONE)
		return ud_offload(h, qp, m, pkt, rule, kept);
	if (unlikely(!complete_room(h, qp, PHCA_DIR_RECV, &v)))
		return drop_ud(qp, v);
	v = rwqe_get(h, qp);
	if (unlikely(v != PHCA_V_OK))
		return drop_ud(qp, v);
	if (unlikely(qp->rwqe.total < PHCA_GRH_LEN + (uint64_t)len))
		return drop_ud(qp, PHCA_V_LENGTH);
	grh_fill(grh, frame, pkt);
	if (unlikely(phca_sg_scatter(h->mem, recv_pd(qp), qp->rwqe.sge, qp->rwqe.num_sge, 0,
				grh, sizeof(grh)) != PHCA_MEM_OK ||
		     phca_sg_scatter(h->mem, recv_pd(qp), qp->rwqe.sge, qp->rwqe.num_sge, sizeof(grh),
				frame + pkt->payload_off, len) != PHCA_MEM_OK))
		return recv_refused(h, qp, PHCA_WC_LOC_PROT_ERR, 0, PHCA_EVENT_QP_ACCESS_ERR);
	v = recv_complete(h, qp, frame, pkt, PHCA_GRH_LEN + len, PHCA_WC_RECV);
	if (unlikely(v != PHCA_V_DIRECT))
		return drop_ud(qp, v);
	direct_done(h, qp, pkt, len, true);
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

/* First packet of a WRITE: RETH, rights and bounds of the whole (9.8.2.2.5). */
static enum phca_verdict uc_write_start(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, bool last)
{
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	struct responder *r = &qp->resp;

	r->va = phca_get64(reth->va);
	r->rkey = phca_get32(reth->rkey);
	r->dma_len = phca_get32(reth->len);
	if (r->dma_len > PHCA_MSG_MAX || (last ? r->dma_len != pkt->payload_len : r->dma_len <= pkt->payload_len))
		return PHCA_V_LENGTH;
	if (!(qp->access & PHCA_ACCESS_REMOTE_WRITE))
		return PHCA_V_RKEY;
	if (r->dma_len > 0 && phca_mem_check(h->mem, r->rkey, qp->pd, qp->qpn, r->va, r->dma_len,
			PHCA_ACCESS_REMOTE_WRITE) != PHCA_MEM_OK)
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
	if (unlikely(r->behind) && rule == RULE_NONE) {
		if (!last && r->state == MSG_WRITE && r->dma_len > (uint64_t)h->max_held * qp->path_mtu)
			return PHCA_V_PROXY_ORDER;
		rule = PHCA_PMSG_RULE_PASS;
	}
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

	if (!held_room(h, r) || !pass_room(h, qp))
		return msg_drop(h, qp, r->rule == PHCA_PMSG_RULE_PASS ? PHCA_V_PROXY_ORDER : PHCA_V_PROXY_TOO_LONG,
			last);
	if (last && !proxy_room(qp, qp->px, PHCA_DIR_RECV, &v))
		return msg_drop(h, qp, v, last);
	hold(h, p, qp, m, pkt, last);
	*kept = true;
	if (!last)
		return PHCA_V_OK;
	hand_over_held(h, qp, pkt->opcode);
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
	enum phca_verdict v;

	if (info->flags & PHCA_OPF_RECV) {
		if (!complete_room(h, qp, PHCA_DIR_RECV, &v))
			return msg_drop(h, qp, v, last);
		v = rwqe_get(h, qp);
		if (v != PHCA_V_OK)
			return msg_drop(h, qp, v, last);
	}
	if (r->state == MSG_SEND) {
		if (unlikely(phca_sg_scatter(h->mem, recv_pd(qp), qp->rwqe.sge, qp->rwqe.num_sge, r->len,
				frame + pkt->payload_off, len) != PHCA_MEM_OK)) {
			if (!complete_room(h, qp, PHCA_DIR_RECV, &v))
				return msg_drop(h, qp, v, last);
			return recv_refused(h, qp, PHCA_WC_LOC_PROT_ERR, 0, PHCA_EVENT_QP_ACCESS_ERR);
		}
	} else if (unlikely(phca_mem_write(h->mem, r->rkey, qp->pd, qp->qpn, r->va + r->len,
			frame + pkt->payload_off, len) != PHCA_MEM_OK)) {
		return msg_drop(h, qp, PHCA_V_RKEY, last);
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
		direct_done(h, qp, pkt, r->len, info->flags & PHCA_OPF_RECV);
	}
	return PHCA_V_DIRECT;
}

/* Total length of the message so far against what was announced or posted. */
static bool uc_total_ok(const struct phca_qp *qp, const struct phca_pkt *pkt, bool last)
{
	const struct responder *r = &qp->resp;
	uint64_t total = (uint64_t)r->len + pkt->payload_len;

	if (r->state == MSG_WRITE)
		return dma_len_ok(r->dma_len, total, last);
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

	established(h, qp);
	v = uc_sequence(h, qp, pkt, info);
	if (unlikely(v != PHCA_V_OK))
		return v;
	if (unlikely(!length_ok(qp->path_mtu, pkt->payload_len, info->flags)))
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

/* ------------------------------------------------------------------ all */

static bool can_receive(const struct phca_qp *qp)
{
	return qp->state >= PHCA_QPS_RTR && qp->state <= PHCA_QPS_SQE;
}

/* From the peer's address to the one that the connection has here (9.6.1.2). */
static bool peer_ok(const struct phca_qp *qp, const uint8_t *frame, const struct phca_pkt *pkt)
{
	const uint8_t *ip = frame + pkt->l3_off;

	if (!qp->check_peer)
		return true;
	if (pkt->flags & PHCA_PKT_IP6)
		return memcmp(ip + 8, qp->av.dgid, 16) == 0 && memcmp(ip + 24, qp->sgid, 16) == 0;
	return phca_gid_is_ip4(qp->av.dgid) && memcmp(ip + 12, qp->av.dgid + 12, 4) == 0 &&
		memcmp(ip + 16, qp->sgid + 12, 4) == 0;
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
	if (unlikely(info->flags & PHCA_OPF_ACK))
		return requester_input(h, qp, frame_of(m), pkt);
	if (qp->transport == PHCA_TRANSPORT_RC)
		return respond_rc(h, p, qp, m, pkt, info, kept);
	if (qp->transport == PHCA_TRANSPORT_UC)
		return respond_uc(h, p, qp, m, pkt, info, kept);
	return respond_ud(h, p, qp, m, pkt, kept);
}
