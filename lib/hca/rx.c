/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive: a burst comes in, every packet is parsed once, steered to its queue
 * pair, answered, and settled with exactly one verdict. Packets come from a
 * port's receive queue, from this shard itself (loopback) or from another shard
 * (handoff.c); all take the same way from here.
 *
 * Invariant: rx_packets == sum of verdicts + rx_held. settle is the only place
 * that counts a verdict and frees, but for packets held by the responder, which
 * counts them with the verdict of their message when it ends. A packet that goes
 * to another shard is counted there.
 */
#include <string.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "hca_impl.h"

/* What a burst knows of its packets. */
struct burst {
	struct rte_mbuf *m[RX_BURST];
	struct phca_qp *qp[RX_BURST];
	uint8_t verdict[RX_BURST];
	struct phca_pkt pkt[RX_BURST];
	/* what is to be freed */
	unsigned int nb_done;
	struct rte_mbuf *done[RX_BURST];
};

static enum phca_verdict parse(struct shard *h, struct rte_mbuf *m, struct phca_pkt *pkt)
{
	if (unlikely(m->nb_segs > 1) && rte_pktmbuf_linearize(m) != 0)
		return PHCA_V_SEGMENTED;
	return phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len,
		h->no_icrc ? 0 : PHCA_PARSE_ICRC, pkt);
}

/* A reserved opcode is for an RC queue pair to refuse (9.7.4.1.3); all others drop it. */
static struct phca_qp *steer_reserved(struct shard *h, const struct port *p, const struct rte_mbuf *m,
		const struct phca_pkt *pkt)
{
	struct phca_qp *qp;

	if (phca_opcode_table[pkt->opcode].name != NULL || (pkt->flags & PHCA_PKT_MULTICAST) ||
			!phca_net_is_ours(p->net, rte_pktmbuf_mtod(m, void *), pkt))
		return NULL;
	qp = qp_lookup(h->hca, pkt->dqpn);
	return qp != NULL && qp->transport == PHCA_TRANSPORT_RC ? qp : NULL;
}

/* A packet for the port's queue pairs: which of them; NULL with *v saying why. */
static struct phca_qp *steer(struct shard *h, const struct port *p, const struct rte_mbuf *m,
		const struct phca_pkt *pkt, uint8_t *v)
{
	struct phca_qp *qp;

	if (unlikely(*v != PHCA_V_OK))
		return *v == PHCA_V_OPCODE ? steer_reserved(h, p, m, pkt) : NULL;
	if (unlikely(!phca_net_is_ours(p->net, rte_pktmbuf_mtod(m, void *), pkt))) {
		*v = PHCA_V_NOT_OURS;
		return NULL;
	}
	if (unlikely((pkt->flags & PHCA_PKT_MULTICAST) || pkt->dqpn == PHCA_QPN_MULTICAST)) {
		*v = PHCA_V_MCAST; /* mcast_deliver looks for its members */
		return NULL;
	}
	qp = qp_lookup(h->hca, pkt->dqpn);
	if (unlikely(qp == NULL))
		*v = PHCA_V_QPN;
	return qp; /* of this port? take looks, when it has come from memory */
}

/* Ask for what the packet's execution will read of its queue pair, which may be one of many. */
static void qp_prefetch(const struct phca_qp *qp, const struct phca_pkt *pkt)
{
	rte_prefetch0(qp);
	rte_prefetch0(&qp->rq);
	rte_prefetch0(&qp->st);
	rte_prefetch0(&qp->st.verdict[PHCA_V_DIRECT]);
	if (phca_opcode_table[pkt->opcode].flags & PHCA_OPF_ACK) {
		rte_prefetch0(&qp->sq);
		rte_prefetch0(&qp->req);
		rte_prefetch0(&qp->req.wrs);
		rte_prefetch0(&qp->pseq);
	} else {
		rte_prefetch0(&qp->resp);
		rte_prefetch0((const uint8_t *)&qp->resp + RTE_CACHE_LINE_SIZE);
		rte_prefetch0(&qp->rwqe);
		rte_prefetch0(&qp->respq);
	}
}

/* And behind that, where its pointers lead; another shard's are not for this one to read. */
static void qp_prefetch_far(const struct shard *h, const struct phca_qp *qp, const struct phca_pkt *pkt)
{
	const uint8_t *e;

	if (qp->shard != h->idx || !(phca_opcode_table[pkt->opcode].flags & PHCA_OPF_ACK))
		return;
	e = (const uint8_t *)sq_wr_at(&qp->req, qp->req.acked);
	rte_prefetch0(e);
	rte_prefetch0(e + 2 * RTE_CACHE_LINE_SIZE);
	phca_prefetch_write(&qp->sq.hdr->cons);
}

static void parse_burst(struct shard *h, const struct port *p, struct burst *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(b->m[i + 4], void *));
		b->verdict[i] = (uint8_t)parse(h, b->m[i], &b->pkt[i]);
		b->qp[i] = steer(h, p, b->m[i], &b->pkt[i], &b->verdict[i]);
		if (likely(b->qp[i] != NULL) && (i == 0 || b->qp[i] != b->qp[i - 1]))
			qp_prefetch(b->qp[i], &b->pkt[i]);
	}
}

static void settle(struct port *p, struct phca_qp *qp, enum phca_verdict v, struct rte_mbuf *m, bool kept,
		struct burst *b)
{
	if (likely(v != PHCA_V_OK)) /* else held: its message decides */
		verdict_add(p, qp, v, 1);
	if (!kept)
		b->done[b->nb_done++] = m;
}

/* Not RoCEv2: the owner of the port answers it. @return whether the packet is this shard's */
static bool net_input(struct shard *h, struct port *p, struct rte_mbuf *m, const struct phca_pkt *pkt,
		struct burst *b)
{
	enum phca_verdict v;
	bool kept = false;

	if (unlikely(!p->owner) && handoff_rx(h, 0, HANDOFF_NET, p, m, pkt))
		return false;
	if (unlikely(!p->owner)) {
		settle(p, NULL, PHCA_V_HANDOFF_FULL, m, false, b);
		return true;
	}
	v = phca_net_input(p->net, m, pkt, h->now_ns, &kept);
	if (kept) {
		if (likely(p->nb_tx < TX_STAGE))
			tx_put(h, p, m, false);
		else
			kept = false; /* answer dropped; the asker asks again */
	}
	settle(p, NULL, v, m, kept, b);
	return true;
}

/* One packet whose queue pair is known, or known to be none. @return whether it is this shard's to count */
static bool take(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, enum phca_verdict v, struct burst *b)
{
	bool kept = false;

	if (unlikely(qp != NULL && qp->port != p->idx)) {
		qp = NULL;
		v = PHCA_V_QPN;
	}
	if (likely(qp != NULL)) {
		if (unlikely(qp->shard != h->idx)) {
			if (handoff_rx(h, qp->shard, HANDOFF_RX, p, m, pkt)) {
				PHCA_STAT_ADD(p->st.handed_over, 1);
				return false;
			}
			qp = NULL; /* its counters are the other shard's */
			v = PHCA_V_HANDOFF_FULL;
		} else {
			v = respond(h, p, qp, m, pkt, &kept);
		}
	} else if (v == PHCA_V_NOT_ROCE) {
		return net_input(h, p, m, pkt, b);
	} else if (v == PHCA_V_MCAST) {
		v = mcast_deliver(h, p, m, pkt, &qp, &kept);
	}
	settle(p, qp, v, m, kept, b);
	if (unlikely(v == PHCA_V_MCAST || (pkt->flags & PHCA_PKT_MULTICAST)) && qp != NULL)
		receives_release(qp);
	return true;
}

static void done_free(struct burst *b)
{
	if (b->nb_done > 0)
		rte_pktmbuf_free_bulk(b->done, b->nb_done);
}

/* n packets in b->m, of one port. */
static void run_burst(struct shard *h, struct port *p, struct burst *b, unsigned int n)
{
	uint64_t bytes = 0, packets = 0;

	b->nb_done = 0;
	parse_burst(h, p, b, n);
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = b->m[i]->pkt_len;

		if (i + 2 < n && b->qp[i + 2] != NULL && b->qp[i + 2] != b->qp[i + 1])
			qp_prefetch_far(h, b->qp[i + 2], &b->pkt[i + 2]);
		if (likely(take(h, p, b->qp[i], b->m[i], &b->pkt[i], b->verdict[i], b))) {
			bytes += len;
			packets++;
		}
	}
	for (unsigned int i = 0; i < n; i++)
		if (b->qp[i] != NULL && likely(b->qp[i]->shard == h->idx))
			receives_release(b->qp[i]);
	done_free(b);
	PHCA_STAT_ADD(p->st.rx_packets, packets);
	PHCA_STAT_ADD(p->st.rx_bytes, bytes);
}

unsigned int rx_port(struct shard *h, struct port *p)
{
	struct burst b;
	unsigned int n = rte_eth_rx_burst(p->id, h->idx, b.m, RX_BURST);

	if (n > 0)
		run_burst(h, p, &b, n);
	return n;
}

/* What was sent to own addresses before this turn. */
unsigned int rx_loop(struct shard *h)
{
	unsigned int n = h->nb_loop, i = 0;
	struct rte_mbuf *m[LOOP_STAGE];
	uint8_t port[LOOP_STAGE];
	struct burst b;

	if (likely(n == 0))
		return 0;
	/* what it answers goes behind */
	memcpy(m, h->loop, n * sizeof(m[0]));
	memcpy(port, h->loop_port, n);
	h->nb_loop = 0;
	while (i < n) {
		struct port *p = h->ports[port[i]];
		unsigned int k = 0;

		for (; i < n && k < RX_BURST && port[i] == p->idx; i++)
			b.m[k++] = m[i];
		run_burst(h, p, &b, k);
		PHCA_STAT_ADD(p->st.looped, k);
	}
	return n;
}

/* A packet that another shard received; its queue pair may have gone since. */
void rx_handed(struct shard *h, struct port *p, struct rte_mbuf *m, const struct phca_pkt *pkt, enum phca_verdict v)
{
	struct phca_qp *qp = NULL;
	struct burst b;

	b.nb_done = 0;
	if (v == PHCA_V_OK) {
		qp = qp_lookup(h->hca, pkt->dqpn);
		v = PHCA_V_QPN;
	}
	PHCA_STAT_ADD(p->st.rx_bytes, m->pkt_len);
	if (take(h, p, qp, m, pkt, v, &b))
		PHCA_STAT_ADD(p->st.rx_packets, 1);
	if (qp != NULL && qp->shard == h->idx)
		receives_release(qp);
	done_free(&b);
}

/* A copy of a multicast packet for one more member, of this shard. */
void rx_member(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m, const struct phca_pkt *pkt)
{
	struct burst b;

	b.nb_done = 0;
	PHCA_STAT_ADD(p->st.rx_packets, 1);
	PHCA_STAT_ADD(p->st.rx_bytes, m->pkt_len);
	take(h, p, qp, m, pkt, PHCA_V_OK, &b);
	receives_release(qp);
	done_free(&b);
}
