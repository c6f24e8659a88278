/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transmit: packets are staged for their port and given to its driver once a
 * turn. A packet to an address of the port itself is staged for this shard's
 * own receive path instead (loopback): it meets every check that one from the
 * network meets.
 *
 * Invariant: who puts a packet has asked tx_room in the same turn, so a staged
 * packet is never dropped, but for a port whose driver has taken nothing for
 * TX_STUCK_NS: who waits there has timers, and other ports do not wait for it.
 */
#include <rte_ethdev.h>

#include "hca_impl.h"

bool tx_room(const struct shard *h, const struct port *p)
{
	return p->nb_tx < TX_STAGE && h->nb_loop < LOOP_STAGE;
}

void tx_put(struct shard *h, struct port *p, struct rte_mbuf *m, bool own)
{
	if (unlikely(own)) {
		RTE_ASSERT(h->nb_loop < LOOP_STAGE);
		h->loop_port[h->nb_loop] = p->idx;
		h->loop[h->nb_loop++] = m;
		return;
	}
	RTE_ASSERT(p->nb_tx < TX_STAGE);
	p->tx[p->nb_tx++] = m;
}

/* The driver took nothing. From some time on it is a link that is down, which loses what is sent. */
static void stuck_check(const struct shard *h, struct port *p)
{
	if (p->full_ns == 0 && p->nb_tx == TX_STAGE)
		p->full_ns = h->now_ns;
	if (!tx_stuck(h, p))
		return;
	rte_pktmbuf_free_bulk(p->tx, p->nb_tx);
	PHCA_STAT_ADD(p->st.tx_stuck, p->nb_tx);
	p->nb_tx = 0;
}

unsigned int tx_flush(struct shard *h, struct port *p)
{
	unsigned int n = p->nb_tx, sent;
	uint64_t bytes = 0;

	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		bytes += p->tx[i]->pkt_len;
	if (likely(p->tx_own))
		sent = rte_eth_tx_burst(p->id, h->idx, p->tx, (uint16_t)n);
	else
		sent = handoff_tx(h, p, p->tx, n);
	if (sent < n) {
		for (unsigned int i = sent; i < n; i++) {
			bytes -= p->tx[i]->pkt_len;
			p->tx[i - sent] = p->tx[i];
		}
		PHCA_STAT_ADD(p->st.tx_full, 1);
	}
	p->nb_tx = (uint16_t)(n - sent);
	if (likely(sent > 0))
		p->full_ns = 0;
	else
		stuck_check(h, p);
	if (likely(p->tx_own)) { /* else the shard that sends it counts */
		PHCA_STAT_ADD(p->st.tx_packets, sent);
		PHCA_STAT_ADD(p->st.tx_bytes, bytes);
	}
	return sent;
}
