/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What shards hand to each other: a ring for each ordered pair of them, whose
 * elements are packets received for the other's queue pairs, packets to send on
 * a port on which this one has no transmit queue, questions to the owner of a
 * port's neighbour table, and its answer when there is nothing to find.
 *
 * Invariant: nothing is taken from a ring that cannot be finished in this turn:
 * there is room in every transmit stage for all that is taken. A port whose driver
 * has long taken nothing is left out, or it would stop the packets of all others:
 * what is to be sent there is dropped.
 */
#include <string.h>

#include "hca_impl.h"

static bool put(struct shard *h, unsigned int to, struct handoff *o)
{
	if (unlikely(rte_ring_sp_enqueue_elem(h->to[to], o, sizeof(*o)) != 0))
		return false;
	h->to_wake |= 1u << to;
	return true;
}

/* @return false: the ring is full */
bool handoff_rx(struct shard *h, unsigned int to, enum handoff_kind kind, const struct port *p, struct rte_mbuf *m,
		const struct phca_pkt *pkt)
{
	struct handoff o = { .kind = (uint8_t)kind, .port = p->idx, .m = m, .pkt = *pkt };

	return put(h, to, &o);
}

/* @return packets taken, 0..n */
unsigned int handoff_tx(struct shard *h, const struct port *p, struct rte_mbuf **m, unsigned int n)
{
	struct handoff o = { .kind = HANDOFF_TX, .port = p->idx };
	unsigned int i;

	for (i = 0; i < n; i++) {
		o.m = m[i];
		if (!put(h, p->tx_by, &o))
			break;
	}
	return i;
}

/*
 * The MAC address of a destination. A shard that does not own the table looks,
 * and has the owner ask the network at most every RESOLVE_AGAIN_NS for a queue pair.
 * What is in the table is seen there; that it has no room for a neighbour the owner
 * says, and that holds as long.
 */
enum phca_neigh_state resolve(struct shard *h, struct port *p, struct phca_qp *qp, uint8_t sgid_index,
		const uint8_t dgid[16], uint8_t mac[6])
{
	struct handoff o = { .kind = HANDOFF_RESOLVE, .port = p->idx, .sgid_index = sgid_index, .qpn = qp->qpn };
	enum phca_neigh_state s;

	if (likely(p->owner))
		return phca_net_resolve(p->net, sgid_index, dgid, mac, h->now_ns);
	s = phca_net_lookup(p->net, sgid_index, dgid, mac);
	if (likely(s != PHCA_NEIGH_PENDING))
		return s;
	if (qp->failed_ns != 0 && h->now_ns - qp->failed_ns < RESOLVE_AGAIN_NS && memcmp(qp->failed_gid, dgid, 16) == 0)
		return PHCA_NEIGH_FAILED;
	if (qp->asked_ns == 0 || h->now_ns - qp->asked_ns >= RESOLVE_AGAIN_NS) {
		memcpy(o.dgid, dgid, 16);
		if (put(h, 0, &o))
			qp->asked_ns = h->now_ns;
	}
	return PHCA_NEIGH_PENDING;
}

/* For another shard, which waits for it to appear in the table. */
static void resolve_for(struct shard *h, struct port *p, unsigned int from, struct handoff *o)
{
	uint8_t mac[6];

	if (phca_net_resolve(p->net, o->sgid_index, o->dgid, mac, h->now_ns) != PHCA_NEIGH_FAILED)
		return;
	o->kind = HANDOFF_FAILED;
	put(h, from, o); /* no room: it asks again */
}

static void failed(struct shard *h, const struct handoff *o)
{
	struct phca_qp *qp = qp_lookup(h->hca, o->qpn);

	if (qp == NULL || qp->shard != h->idx)
		return;
	qp->failed_ns = h->now_ns;
	memcpy(qp->failed_gid, o->dgid, 16);
}

static void send_for(struct shard *h, struct port *p, struct rte_mbuf *m)
{
	if (likely(p->nb_tx < TX_STAGE)) {
		tx_put(h, p, m, false);
		return;
	}
	PHCA_STAT_ADD(p->st.tx_stuck, 1);
	rte_pktmbuf_free(m);
}

static void one(struct shard *h, unsigned int from, struct handoff *o)
{
	struct port *p = h->ports[o->port];

	switch (o->kind) {
	case HANDOFF_RX:
	case HANDOFF_NET:
		rx_handed(h, p, o->m, &o->pkt, o->kind == HANDOFF_RX ? PHCA_V_OK : PHCA_V_NOT_ROCE);
		break;
	case HANDOFF_TX:
		send_for(h, p, o->m);
		break;
	case HANDOFF_RESOLVE:
		resolve_for(h, p, from, o);
		break;
	default:
		failed(h, o);
	}
}

unsigned int handoff_run(struct shard *h)
{
	struct handoff o[HANDOFF_BURST];
	unsigned int done = 0;

	for (unsigned int s = 0; s < h->nb_shards; s++) {
		unsigned int n = HANDOFF_BURST;

		if (h->from[s] == NULL)
			continue;
		for (unsigned int i = 0; i < h->nb_ports; i++)
			if (!tx_stuck(h, h->ports[i]))
				n = RTE_MIN(n, (unsigned int)(TX_STAGE - h->ports[i]->nb_tx));
		n = rte_ring_sc_dequeue_burst_elem(h->from[s], o, sizeof(o[0]), n, NULL);
		for (unsigned int i = 0; i < n; i++)
			one(h, s, &o[i]);
		done += n;
	}
	return done;
}

/* At the end of a turn: wake those that have something now. */
void handoff_wake(struct shard *h)
{
	while (h->to_wake != 0) {
		unsigned int to = (unsigned int)__builtin_ctz(h->to_wake);

		h->to_wake &= h->to_wake - 1;
		phca_loop_wake(h->loops[to]);
	}
}
