/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path, one turn. Each stage has a budget, takes what is there and
 * leaves what it made for the next one:
 *
 *   receive    burst -> parse -> steer -> respond -> settle (rx.c, responder.c)
 *   hand-over  what other shards hand over, and packets to own addresses
 *   replies    places the proxy freed, QPs it found in error or let go; asked for when the turn
 *              begins, since another core wrote them
 *   passed     messages that the proxy gave back take their receives (pass.c)
 *   withheld   acknowledgements that were withheld for long enough (withheld.c)
 *   pacing     queue pairs that congestion control lets send again (congestion.c)
 *   timers     packets whose answer is late, waits that are over (retry.c)
 *   doorbells  queue pairs whose application posted (requester.c)
 *   responses  what is owed to peers: READ and atomic responses, ACK, NAK (respq.c)
 *   requester  posted work requests -> packets or the proxy
 *   flush      work requests of queue pairs in error (state.c)
 *   net        the port's own packets: ARP, NDP
 *   transmit   staged packets to the driver
 *   proxy      staged messages to the proxy's ring
 *   cq         staged completions become visible, consumers who asked for it are told
 *
 * Invariant: between two turns nothing is staged for the proxy or for a CQ;
 * only packets may wait, when the driver's transmit ring is full.
 */
#include "hca_impl.h"

static unsigned int net_run(struct shard *h, uint64_t now_ns)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < h->nb_ports; i++) {
		struct port *p = h->ports[i];
		struct rte_mbuf *m[8];
		unsigned int room = TX_STAGE - p->nb_tx, n;

		if (!p->owner)
			continue;
		n = phca_net_poll(p->net, now_ns, m, RTE_MIN(room, RTE_DIM(m)));
		for (unsigned int j = 0; j < n; j++)
			tx_put(h, p, m[j], false);
		done += n;
	}
	return done;
}

/*
 * Responses and requests. While a port takes less than there is to send, both
 * would use the room that it leaves; then they take turns at being first.
 */
static unsigned int send_run(struct shard *h)
{
	unsigned int done = 0;

	if (unlikely(h->requests_first))
		done += requester_run(h);
	done += responder_run(h);
	if (likely(!h->requests_first))
		done += requester_run(h);
	return done;
}

static unsigned int transmit(struct shard *h)
{
	unsigned int done = 0;
	bool full = false;

	for (unsigned int i = 0; i < h->nb_ports; i++) {
		done += tx_flush(h, h->ports[i]);
		full |= h->ports[i]->nb_tx > 0;
	}
	h->requests_first = full && !h->requests_first;
	return done;
}

unsigned int phca_hca_turn(void *arg, uint64_t now_ns)
{
	struct shard *h = arg;
	unsigned int done = 0;

	h->now_ns = now_ns;
	h->fenv.now_ns = now_ns;
	phca_filter_env_set(&h->fenv);
	proxy_begin(h);

	if (__atomic_load_n(&h->hca->enabled, __ATOMIC_RELAXED))
		for (unsigned int i = 0; i < h->nb_ports; i++)
			if (h->ports[i]->rx)
				done += rx_port(h, h->ports[i]);
	done += handoff_run(h);
	done += rx_loop(h);
	done += proxy_replies(h);
	done += pass_run(h);
	done += withheld_run(h);
	done += congestion_run(h);
	done += requester_timers(h);
	done += doorbells(h);
	done += send_run(h);
	done += flush_run(h);
	done += net_run(h, now_ns);
	done += transmit(h);
	proxy_flush(h);
	phca_cqws_flush(&h->cqs, now_ns);
	handoff_wake(h);
	return done;
}
