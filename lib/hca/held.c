/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages for the proxy: packets are held until the last one came, then handed
 * over as one chain.
 *
 * Invariant: a packet that is held has no verdict yet, and is counted in rx_held
 * of its port; held_settle gives all of a message theirs.
 */
#include "hca_impl.h"

/* The packets held for a message get verdict v; freed unless they travel on. */
void held_settle(struct shard *h, struct phca_qp *qp, enum phca_verdict v, bool free_them)
{
	struct responder *r = &qp->resp;
	struct port *p = h->ports[qp->port];

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

/* Whether one more packet may be held: not of a message too long, nor for peers that begin many and end none. */
bool held_room(const struct shard *h, const struct responder *r)
{
	return r->held < h->max_held && h->nb_held < h->max_held_all;
}

/* Cut pad and iCRC off a packet. */
static void trim_tail(struct rte_mbuf *m, const struct phca_pkt *pkt)
{
	m->data_len = (uint16_t)(pkt->payload_off + pkt->payload_len);
	m->pkt_len = m->data_len;
}

/* Add a packet to the message; held_room said yes. The last one is handed over at once, and not counted. */
void hold(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m, const struct phca_pkt *pkt,
		bool last)
{
	struct responder *r = &qp->resp;

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
	r->len += pkt->payload_len;
	if (last)
		return;
	r->held++;
	h->nb_held++;
	PHCA_STAT_ADD(p->st.rx_held, 1);
	__atomic_store_n(&qp->held, r->held, __ATOMIC_RELAXED);
}

/* Give a whole message to the proxy. Room is known. The caller fills in what is left of it. */
struct phca_pmsg *hand_over(struct phca_qp *qp, struct rte_mbuf *m, const struct phca_pkt *first, uint32_t rule,
		uint8_t last_opcode)
{
	struct phca_pmsg *pm = proxy_msg(qp->px);

	if (rte_pktmbuf_is_contiguous(m))
		trim_tail(m, first);
	pm->kind = PHCA_PMSG_OFFLOAD;
	pm->dir = PHCA_DIR_RECV;
	pm->rule = (uint8_t)rule;
	pm->flags = 0;
	pm->seq = qp->pseq[PHCA_DIR_RECV].next++;
	pm->pqp = qp->pqp;
	pm->in.m = m;
	pm->in.pkt = *first;
	pm->in.msg_len = first->payload_len;
	pm->in.last_opcode = last_opcode;
	if (rule_ordered(qp, rule)) {
		pm->flags = PHCA_PMSG_F_ORDERED;
		pass_ordered(qp, pm->seq);
	}
	if (unlikely(rule == PHCA_PMSG_RULE_PASS))
		PHCA_STAT_ADD(qp->st.rx_ordered, 1);
	else
		PHCA_STAT_ADD(qp->rules[rule].matched, 1);
	PHCA_STAT_ADD(qp->st.rx_offloaded, 1);
	return pm;
}

/* The message that is held is whole. Room is known. */
void hand_over_held(struct shard *h, struct phca_qp *qp, uint8_t last_opcode)
{
	struct responder *r = &qp->resp;
	struct phca_pmsg *pm = hand_over(qp, r->head, &r->first, r->rule, last_opcode);

	pm->in.msg_len = r->len;
	offload_traced(h, qp, pm, r->len);
	r->head = r->tail = NULL;
	r->offload = false; /* the next one may find no rules that would say so */
	held_settle(h, qp, PHCA_V_OFFLOADED, false);
}
