/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive and transmit: a burst comes in, every packet is parsed once, steered
 * to its queue pair, answered, and settled with exactly one verdict.
 *
 * Invariant: rx_packets == sum of verdicts + rx_held. settle is the only place
 * that counts a verdict and frees, but for packets held by the responder, which
 * counts them with the verdict of their message when it ends.
 */
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "hca_impl.h"

void tx_put(struct port *p, struct rte_mbuf *m)
{
	RTE_ASSERT(p->nb_tx < TX_STAGE);
	p->tx[p->nb_tx++] = m;
}

unsigned int tx_flush(struct port *p)
{
	unsigned int n = p->nb_tx, sent;
	uint64_t bytes = 0;

	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		bytes += p->tx[i]->pkt_len;
	sent = rte_eth_tx_burst(p->id, 0, p->tx, (uint16_t)n);
	if (sent < n) {
		for (unsigned int i = sent; i < n; i++) {
			bytes -= p->tx[i]->pkt_len;
			p->tx[i - sent] = p->tx[i];
		}
		PHCA_STAT_ADD(p->st.tx_full, 1);
	}
	p->nb_tx = (uint16_t)(n - sent);
	PHCA_STAT_ADD(p->st.tx_packets, sent);
	PHCA_STAT_ADD(p->st.tx_bytes, bytes);
	return sent;
}

/* What a burst knows of its packets. */
struct burst {
	struct rte_mbuf *m[RX_BURST];
	struct phca_qp *qp[RX_BURST];
	uint8_t verdict[RX_BURST];
	struct phca_pkt pkt[RX_BURST];
};

static enum phca_verdict parse(struct phca_hca *h, struct rte_mbuf *m, struct phca_pkt *pkt)
{
	if (unlikely(m->nb_segs > 1) && rte_pktmbuf_linearize(m) != 0)
		return PHCA_V_SEGMENTED;
	return phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len,
		h->no_icrc ? 0 : PHCA_PARSE_ICRC, pkt);
}

/* The packet's queue pair; NULL with *v saying why. */
static struct phca_qp *steer(struct phca_hca *h, struct port *p, unsigned int port_idx,
		const struct rte_mbuf *m, const struct phca_pkt *pkt, uint8_t *v)
{
	struct phca_qp *qp;

	if (unlikely(*v != PHCA_V_OK))
		return NULL;
	if (unlikely(!phca_net_is_ours(p->net, rte_pktmbuf_mtod(m, void *), pkt))) {
		*v = PHCA_V_NOT_OURS;
		return NULL;
	}
	qp = qp_lookup(h, pkt->dqpn);
	if (unlikely(qp == NULL || qp->port != port_idx)) {
		*v = PHCA_V_QPN;
		return NULL;
	}
	return qp;
}

static void parse_burst(struct phca_hca *h, struct port *p, unsigned int port_idx, struct burst *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(b->m[i + 4], void *));
		b->verdict[i] = (uint8_t)parse(h, b->m[i], &b->pkt[i]);
		b->qp[i] = steer(h, p, port_idx, b->m[i], &b->pkt[i], &b->verdict[i]);
	}
}

/* Tell the applications which receives were taken, once a burst. */
static void receives_release(struct burst *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct phca_qp *qp = b->qp[i];

		if (qp != NULL && qp->rq_released != qp->rq.own) {
			qp->rq_released = qp->rq.own;
			phca_ring_release(&qp->rq);
		}
	}
}

unsigned int rx_port(struct phca_hca *h, struct port *p, unsigned int port_idx, uint64_t now_ns)
{
	struct rte_mbuf *done[RX_BURST];
	unsigned int n, nb_done = 0;
	uint64_t bytes = 0;
	struct burst b;

	/* An answer (ARP, echo) needs a place in the transmit stage. */
	n = rte_eth_rx_burst(p->id, 0, b.m, RX_BURST);
	if (n == 0)
		return 0;
	parse_burst(h, p, port_idx, &b, n);

	for (unsigned int i = 0; i < n; i++) {
		struct phca_qp *qp = b.qp[i];
		enum phca_verdict v = b.verdict[i];
		bool kept = false;

		bytes += b.m[i]->pkt_len;
		if (likely(qp != NULL)) {
			v = respond(h, p, qp, b.m[i], &b.pkt[i], &kept);
		} else if (v == PHCA_V_NOT_ROCE) {
			v = phca_net_input(p->net, b.m[i], &b.pkt[i], now_ns, &kept);
			if (kept) {
				if (likely(p->nb_tx < TX_STAGE))
					tx_put(p, b.m[i]);
				else
					kept = false; /* answer dropped; the asker asks again */
			}
		}
		if (likely(v != PHCA_V_OK)) /* else held: its message decides */
			verdict_add(p, qp, v, 1);
		if (!kept)
			done[nb_done++] = b.m[i];
	}
	receives_release(&b, n);
	if (nb_done > 0)
		rte_pktmbuf_free_bulk(done, nb_done);
	PHCA_STAT_ADD(p->st.rx_packets, n);
	PHCA_STAT_ADD(p->st.rx_bytes, bytes);
	return n;
}
