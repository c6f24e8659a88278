/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The requester: doorbells put queue pairs on the ready list; each turn serves
 * the list round robin, a few work requests a queue pair.
 *
 * A work request is copied once, checked, classified, and then either offloaded
 * or sent. When it cannot go on (transmit stage full, no buffer, address not
 * resolved yet) its copy stays the head of its queue, with the decision made.
 *
 * Invariant: the copy of an offloaded request is not touched before the proxy
 * has freed its place.
 */
#include <string.h>

#include <rte_atomic.h>

#include "hca_impl.h"

void ready_add(struct shard *h, struct phca_qp *qp)
{
	if (qp->on_ready)
		return;
	qp->on_ready = true;
	qp->ready_next = NULL;
	if (h->ready_tail != NULL)
		h->ready_tail->ready_next = qp;
	else
		h->ready_head = qp;
	h->ready_tail = qp;
}

static struct phca_qp *ready_pop(struct shard *h)
{
	struct phca_qp *qp = h->ready_head;

	if (qp == NULL)
		return NULL;
	h->ready_head = qp->ready_next;
	if (h->ready_head == NULL)
		h->ready_tail = NULL;
	qp->on_ready = false;
	return qp;
}

void ready_remove(struct shard *h, struct phca_qp *qp)
{
	struct phca_qp *prev = NULL;

	if (!qp->on_ready)
		return;
	for (struct phca_qp *q = h->ready_head; q != qp; q = q->ready_next)
		prev = q;
	if (prev != NULL)
		prev->ready_next = qp->ready_next;
	else
		h->ready_head = qp->ready_next;
	if (h->ready_tail == qp)
		h->ready_tail = prev;
	qp->on_ready = false;
}

/*
 * QPNs are the application's word: anything that is not its QP is ignored. So
 * is how many they are: no more than the budget are looked at in a turn.
 */
static unsigned int client_doorbells(struct shard *h, struct client_shard *c)
{
	int32_t n = phca_ring_avail_fresh(&c->db);

	if (n <= 0) {
		if (unlikely(n < 0)) { /* nonsense: start again from what it says */
			c->db.own = c->db.other = __atomic_load_n(&c->db.hdr->prod, __ATOMIC_ACQUIRE);
			phca_ring_release(&c->db);
		}
		return 0;
	}
	n = RTE_MIN(n, DB_BUDGET);
	for (int32_t i = 0; i < n; i++) {
		uint32_t qpn = __atomic_load_n((uint32_t *)phca_ring_head(&c->db), __ATOMIC_RELAXED);
		struct phca_qp *qp = qpn <= PHCA_QPN_MAX ? qp_lookup(h->hca, qpn) : NULL;

		phca_ring_take(&c->db, 1);
		if (qp == NULL || qp->client != c->client || qp->shard != h->idx)
			continue;
		/* before reading the queue, so that a later post rings again; what was
		 * posted before an earlier ring is seen, as the exchange reads its mark */
		__atomic_exchange_n(&qp->sq.hdr->db_pending, 0, __ATOMIC_SEQ_CST);
		ready_add(h, qp);
	}
	phca_ring_release(&c->db);
	return (unsigned int)n;
}

unsigned int doorbells(struct shard *h)
{
	unsigned int done = 0;

	for (struct client_shard *c = h->clients; c != NULL; c = c->next)
		done += client_doorbells(h, c);
	return done;
}

/* ------------------------------------------------- copy, check, classify */

static uint32_t check_av(const struct port *p, const struct phca_av *av)
{
	const uint8_t *sgid = phca_net_gid(p->net, av->sgid_index);

	if (sgid == NULL)
		return PHCA_WC_LOC_QP_OP_ERR;
	if (phca_gid_is_ip4(sgid) != phca_gid_is_ip4(av->dgid))
		return PHCA_WC_LOC_QP_OP_ERR;
	return PHCA_WC_SUCCESS;
}

/* Everything that the copy can be wrong in (10.8.2, 11.6.2). */
static uint32_t check_wr(struct shard *h, const struct phca_qp *qp, const struct phca_offload_wr *wr)
{
	const struct phca_send_wqe *w = &wr->wqe;
	const struct port *p = h->ports[qp->port];

	if (qp->transport != PHCA_TRANSPORT_UD ||
	    (w->opcode != PHCA_WR_SEND && w->opcode != PHCA_WR_SEND_WITH_IMM) ||
	    w->u.ud.remote_qpn > PHCA_QPN_MAX)
		return PHCA_WC_LOC_QP_OP_ERR;
	if (wr->len > phca_net_mtu(p->net))
		return PHCA_WC_LOC_LEN_ERR;
	if (wr->sge != NULL && phca_sg_check(h->mem, qp->pd, wr->sge, w->num_sge, 0) != PHCA_MEM_OK)
		return PHCA_WC_LOC_PROT_ERR;
	return check_av(p, &w->u.ud.av);
}

static void sq_taken(struct phca_qp *qp)
{
	phca_ring_take(&qp->sq, 1);
	phca_ring_release(&qp->sq);
	PHCA_STAT_ADD(qp->st.tx_wrs, 1);
}

/* The place of the next copy: by its sequence for a proxy QP, else the only one. */
static struct phca_offload_wr *copy_place(struct phca_qp *qp)
{
	uint32_t i = qp->proxy ? qp->pseq[PHCA_DIR_SEND].next & qp->shadow_mask : 0;

	return (struct phca_offload_wr *)(qp->shadow + (size_t)i * qp->shadow_stride);
}

/* Copy the head of the ring. @return status of the copy */
static uint32_t copy_wr(struct shard *h, struct phca_qp *qp)
{
	struct phca_offload_wr *wr = copy_place(qp);
	struct phca_send_wqe *slot = phca_ring_head(&qp->sq);
	struct phca_send_wqe *w = &wr->wqe;
	uint64_t len;

	qp->sq_cur = wr;
	memcpy(w, slot, sizeof(*w));
	rte_compiler_barrier(); /* the copy is used from here on, the slot may change */
	wr->pd = qp->pd;
	wr->sge = NULL;
	wr->inline_data = NULL;
	wr->len = 0;
	if (w->flags & PHCA_SEND_INLINE) {
		if (w->inline_len > qp->max_inline)
			return PHCA_WC_LOC_LEN_ERR;
		memcpy(wr + 1, slot + 1, w->inline_len);
		wr->inline_data = (const uint8_t *)(wr + 1);
		wr->len = w->inline_len;
		w->num_sge = 0;
	} else {
		if (w->num_sge > qp->max_send_sge)
			return PHCA_WC_LOC_QP_OP_ERR;
		memcpy(wr + 1, phca_send_sge(slot), w->num_sge * sizeof(struct phca_sge));
		rte_compiler_barrier();
		wr->sge = (const struct phca_sge *)(wr + 1);
		len = phca_sg_len(wr->sge, w->num_sge);
		if (len > PHCA_MSG_MAX)
			return PHCA_WC_LOC_LEN_ERR;
		wr->len = (uint32_t)len;
	}
	return check_wr(h, qp, wr);
}

static void send_complete(struct shard *h, struct phca_qp *qp, uint32_t status)
{
	const struct phca_send_wqe *w = &qp->sq_cur->wqe;
	bool signaled = (w->flags & PHCA_SEND_SIGNALED) || qp->sq_sig_all || status != PHCA_WC_SUCCESS;

	qp->sq_have = false;
	complete(h, qp, PHCA_DIR_SEND, w->wr_id, status, PHCA_WC_SEND, signaled ? 0 : PHCA_PMSG_F_NO_CQE);
}

/* Outcome of looking at or executing the head of a send queue. */
enum sq_result {
	SQ_DONE,  /* a work request left the queue */
	SQ_EMPTY, /* nothing posted: off the ready list until the next doorbell */
	SQ_WAIT,  /* it cannot go on now: stays on the ready list */
	SQ_STOP,  /* the queue is in error: off the list */
};

/* Make the head's copy, unless there is one. Room for its completion is known. */
static enum sq_result sq_fetch(struct shard *h, struct phca_qp *qp)
{
	uint32_t status;
	int32_t n;

	if (qp->sq_have)
		return SQ_DONE;
	n = phca_ring_avail(&qp->sq);
	if (n == 0)
		return SQ_EMPTY;
	if (unlikely(n < 0)) {
		qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR);
		return SQ_STOP;
	}
	status = copy_wr(h, qp);
	qp->sq_have = true;
	sq_taken(qp);
	if (unlikely(status != PHCA_WC_SUCCESS)) {
		PHCA_STAT_ADD(qp->st.tx_errors, 1);
		send_complete(h, qp, status);
		sq_error(h, qp, status);
		return SQ_STOP;
	}
	qp->sq_rule = qp->nb_rules > 0 ? classify_send(h, qp, qp->sq_cur) : RULE_NONE;
	return SQ_DONE;
}

static enum sq_result offload_wr(struct phca_qp *qp)
{
	const struct phca_send_wqe *w = &qp->sq_cur->wqe;
	struct phca_pmsg *pm = proxy_msg(qp->px);

	pm->kind = PHCA_PMSG_OFFLOAD;
	pm->dir = PHCA_DIR_SEND;
	pm->rule = (uint8_t)qp->sq_rule;
	pm->flags = (w->flags & PHCA_SEND_SIGNALED) || qp->sq_sig_all ? 0 : PHCA_PMSG_F_NO_CQE;
	pm->seq = qp->pseq[PHCA_DIR_SEND].next++;
	pm->pqp = qp->pqp;
	pm->wr = qp->sq_cur;
	qp->sq_have = false;
	PHCA_STAT_ADD(qp->rules[qp->sq_rule].matched, 1);
	PHCA_STAT_ADD(qp->st.tx_offloaded, 1);
	return SQ_DONE;
}

/* ------------------------------------------------------------- UD send */

static void ud_header(const struct phca_qp *qp, const struct port *p, const struct phca_offload_wr *wr,
		const uint8_t dmac[6], struct phca_wire_hdr *hd)
{
	const struct phca_send_wqe *w = &wr->wqe;
	const struct phca_av *av = &w->u.ud.av;
	uint16_t vid = 0;

	memset(hd, 0, sizeof(*hd));
	memcpy(hd->dmac, dmac, 6);
	memcpy(hd->smac, phca_net_mac(p->net), 6);
	hd->vlan = phca_net_vlan(p->net, &vid);
	hd->vlan_tci = (uint16_t)((av->sl & 7) << 13 | vid);
	memcpy(hd->sgid, phca_net_gid(p->net, av->sgid_index), 16);
	memcpy(hd->dgid, av->dgid, 16);
	hd->ip6 = memcmp(av->dgid, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0;
	hd->tclass = av->traffic_class;
	hd->hop_limit = av->hop_limit ? av->hop_limit : 64;
	hd->flow_label = av->flow_label & 0xfffff;
	hd->udp_sport = (uint16_t)(0xc000 | ((qp->qpn ^ w->u.ud.remote_qpn * 0x9e3779b1u) & 0x3fff));
	hd->pkey = qp->pkey;
	hd->opcode = w->opcode == PHCA_WR_SEND_WITH_IMM ? PHCA_UD_SEND_ONLY_IMM : PHCA_UD_SEND_ONLY;
	hd->solicited = w->flags & PHCA_SEND_SOLICITED;
	hd->dqpn = w->u.ud.remote_qpn;
	hd->psn = qp->sq_psn;
	/* a Q_Key with the top bit set stands for the QP's own (10.2.5) */
	hd->qkey = w->u.ud.remote_qkey & 0x80000000u ? qp->qkey : w->u.ud.remote_qkey;
	hd->sqpn = qp->qpn;
	hd->imm = w->imm;
}

/* @return the packet; NULL: no buffer. *status: the payload could not be read. */
static struct rte_mbuf *ud_packet(struct shard *h, struct phca_qp *qp, const struct port *p,
		const uint8_t dmac[6], uint32_t *status)
{
	const struct phca_offload_wr *wr = qp->sq_cur;
	struct phca_wire_hdr hd;
	struct rte_mbuf *m;
	uint8_t *frame;
	uint32_t n;

	m = rte_pktmbuf_alloc(h->pool);
	if (m == NULL)
		return NULL;
	ud_header(qp, p, wr, dmac, &hd);
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	n = phca_wire_build(frame, &hd, wr->len);
	if (wr->inline_data != NULL)
		memcpy(frame + n, wr->inline_data, wr->len);
	else if (phca_sg_gather(h->mem, qp->pd, wr->sge, wr->wqe.num_sge, 0, frame + n, wr->len) != PHCA_MEM_OK)
		*status = PHCA_WC_LOC_PROT_ERR;
	m->data_len = (uint16_t)phca_wire_finish(frame, &hd, wr->len);
	m->pkt_len = m->data_len;
	return m;
}

static enum sq_result send_ud(struct shard *h, struct phca_qp *qp)
{
	const struct phca_av *av = &qp->sq_cur->wqe.u.ud.av;
	struct port *p = h->ports[qp->port];
	enum phca_neigh_state ns = PHCA_NEIGH_READY;
	uint32_t status = PHCA_WC_SUCCESS;
	uint8_t mac[6];
	struct rte_mbuf *m;

	if (!tx_room(h, p))
		return SQ_WAIT;
	memcpy(mac, av->dmac, 6);
	if (memcmp(mac, "\0\0\0\0\0\0", 6) == 0)
		ns = resolve(h, p, qp, av->sgid_index, av->dgid, mac);
	if (ns == PHCA_NEIGH_PENDING)
		return SQ_WAIT;
	if (ns == PHCA_NEIGH_FAILED) { /* as a network that drops it */
		PHCA_STAT_ADD(qp->st.tx_unresolved, 1);
		PHCA_STAT_ADD(qp->st.tx_direct, 1);
		send_complete(h, qp, PHCA_WC_SUCCESS);
		return SQ_DONE;
	}
	m = ud_packet(h, qp, p, mac, &status);
	if (m == NULL) {
		PHCA_STAT_ADD(p->st.tx_no_mbuf, 1);
		return SQ_WAIT;
	}
	if (unlikely(status != PHCA_WC_SUCCESS)) { /* the region went away since the check */
		rte_pktmbuf_free(m);
		PHCA_STAT_ADD(qp->st.tx_errors, 1);
		send_complete(h, qp, status);
		sq_error(h, qp, status);
		return SQ_STOP;
	}
	if (unlikely(phca_gid_is_multicast(av->dgid)))
		mcast_loop(h, p, m, av->dgid);
	tx_put(h, p, m, phca_net_is_own(p->net, av->dgid));
	qp->sq_psn = phca_psn_add(qp->sq_psn, 1);
	PHCA_STAT_ADD(qp->st.tx_packets, 1);
	PHCA_STAT_ADD(qp->st.tx_bytes, qp->sq_cur->len);
	PHCA_STAT_ADD(qp->st.tx_direct, 1);
	send_complete(h, qp, PHCA_WC_SUCCESS);
	return SQ_DONE;
}

/* ---------------------------------------------------------------- serve */

static enum sq_result sq_one(struct shard *h, struct phca_qp *qp)
{
	enum phca_verdict why;
	enum sq_result r;

	if (qp->state != PHCA_QPS_RTS)
		return SQ_STOP;
	if (!complete_room(h, qp, PHCA_DIR_SEND, &why)) {
		PHCA_STAT_ADD(qp->st.tx_stalls, 1);
		return SQ_WAIT;
	}
	r = sq_fetch(h, qp);
	if (r != SQ_DONE)
		return r;
	if (qp->sq_rule != RULE_NONE)
		return offload_wr(qp);
	return send_ud(h, qp);
}

unsigned int requester_run(struct shard *h)
{
	struct phca_qp *last = h->ready_tail;
	unsigned int done = 0;

	/* once around the list: those that stay go behind the one that is last now */
	while (h->ready_head != NULL && done < SQ_BUDGET) {
		struct phca_qp *qp = ready_pop(h);
		enum sq_result r = SQ_DONE;

		for (unsigned int i = 0; i < SQ_QP_BUDGET && r == SQ_DONE; i++) {
			r = sq_one(h, qp);
			if (r == SQ_DONE)
				done++;
		}
		if (r == SQ_DONE || r == SQ_WAIT)
			ready_add(h, qp);
		if (qp == last)
			break;
	}
	return done;
}
