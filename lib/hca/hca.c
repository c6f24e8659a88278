/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An HCA's life, its ports and its events.
 *
 * Invariant: after phca_hca_destroy every buffer that the HCA held is back in
 * its pool: packets held by queue pairs, packets staged for a port.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "hca_impl.h"

RTE_LOG_REGISTER(phca_hca_logtype, phca.hca, NOTICE)

static int ring_new(struct phca_hca *h)
{
	ssize_t n = rte_ring_get_memsize_elem(sizeof(struct phca_event), EVENT_RING);

	if (n < 0)
		return -ENOMEM;
	h->events = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN((size_t)n, RTE_CACHE_LINE_SIZE));
	if (h->events == NULL)
		return -ENOMEM;
	return rte_ring_init(h->events, "phca_events", EVENT_RING, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

struct phca_hca *phca_hca_create(const struct phca_hca_conf *conf)
{
	struct phca_hca *h;

	if (conf->mem == NULL || conf->loop == NULL || conf->pool == NULL || conf->qsbr == NULL ||
	    conf->max_qp == 0 || conf->max_qp > 1u << 20) {
		rte_errno = EINVAL;
		return NULL;
	}
	h = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*h), RTE_CACHE_LINE_SIZE));
	if (h == NULL)
		goto nomem;
	memset(h, 0, sizeof(*h));
	h->name = strdup(conf->name ? conf->name : "phca0");
	if (h->name == NULL || ring_new(h) != 0)
		goto nomem;
	h->loop = conf->loop;
	h->proxy = conf->proxy;
	h->mem = conf->mem;
	h->qsbr = conf->qsbr;
	h->pool = conf->pool;
	h->max_qp = conf->max_qp;
	h->max_held_all = conf->pool->size / 4;
	h->max_held = conf->offload_max_packets ? conf->offload_max_packets : 256;
	h->no_icrc = conf->no_icrc;
	h->enabled = true;
	h->next_qpn = 0x11;
	h->next_cqn = 1;
	h->fenv.prandom = conf->seed ? conf->seed : rte_get_tsc_cycles() | 1;
	if (h->proxy != NULL) {
		h->px_chan = phca_proxy_chan_create(h->proxy, h->loop);
		if (h->px_chan == NULL)
			goto nomem;
		h->px_ring = phca_proxy_chan_ring(h->px_chan);
		h->px_replies = phca_proxy_chan_replies(h->px_chan);
		h->px_mbufs = phca_proxy_chan_mbufs(h->px_chan);
		h->px_loop = phca_proxy_loop(h->proxy);
	}
	return h;
nomem:
	if (h != NULL) {
		free(h->events);
		free(h->name);
		free(h);
	}
	rte_errno = ENOMEM;
	return NULL;
}

void phca_hca_destroy(struct phca_hca *h)
{
	if (h == NULL)
		return;
	while (h->clients != NULL) {
		struct phca_client *c = h->clients;

		phca_client_close(c);
		if (h->clients == c)
			h->clients = c->next; /* a driver holds on to its memory: leaked */
	}
	for (unsigned int i = 0; i < h->nb_ports; i++) {
		rte_pktmbuf_free_bulk(h->ports[i]->tx, h->ports[i]->nb_tx);
		free(h->ports[i]);
	}
	for (unsigned int i = 0; i < QPN_LEAF; i++)
		free(h->qpn_top[i]);
	free(h->events);
	free(h->name);
	free(h);
}

struct port_add {
	struct phca_hca *h;
	struct port *p;
};

static int port_add(void *arg)
{
	struct port_add *a = arg;

	a->h->ports[a->h->nb_ports] = a->p;
	return (int)a->h->nb_ports++;
}

int phca_hca_port_add(struct phca_hca *h, struct phca_net *net)
{
	struct port_add a = { .h = h };

	if (h->nb_ports == PHCA_PORT_MAX)
		return -ENOSPC;
	a.p = calloc(1, sizeof(*a.p));
	if (a.p == NULL)
		return -ENOMEM;
	a.p->net = net;
	a.p->id = phca_net_port_id(net);
	return phca_loop_call(h->loop, port_add, &a);
}

unsigned int phca_hca_nb_ports(const struct phca_hca *h)
{
	return h->nb_ports;
}

struct phca_net *phca_hca_port(const struct phca_hca *h, unsigned int idx)
{
	return idx < h->nb_ports ? h->ports[idx]->net : NULL;
}

void phca_hca_enable(struct phca_hca *h, bool on)
{
	__atomic_store_n(&h->enabled, on, __ATOMIC_RELAXED);
}

void phca_hca_pump_set(struct phca_hca *h, void (*pump)(void *arg), void *arg)
{
	h->pump = pump;
	h->pump_arg = arg;
}

/* Control thread: let the data path get on. */
void hca_wait(struct phca_hca *h)
{
	static const struct timespec nap = { .tv_nsec = 50000 };

	if (h->pump != NULL)
		h->pump(h->pump_arg);
	else
		nanosleep(&nap, NULL);
}

int phca_port_stats_get(const struct phca_hca *h, unsigned int port, struct phca_port_stats *st)
{
	const struct phca_port_stats *s;

	if (port >= h->nb_ports)
		return -EINVAL;
	s = &h->ports[port]->st;
#define COPY(f, u, w) st->f = PHCA_STAT_GET(s->f);
	PHCA_PORT_COUNTERS(COPY)
#undef COPY
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
		st->verdict[v] = PHCA_STAT_GET(s->verdict[v]);
	return 0;
}

/* -------------------------------------------------------------- events */

void hca_event(struct phca_hca *h, enum phca_event_type type, uint32_t status, uint32_t num)
{
	struct phca_event e = { .type = (uint8_t)type, .status = (uint8_t)status, .num = num };

	if (rte_ring_sp_enqueue_elem(h->events, &e, sizeof(e)) != 0)
		PHCA_STAT_ADD(h->events_lost, 1);
}

unsigned int phca_hca_events(struct phca_hca *h, struct phca_event *ev, unsigned int n)
{
	return rte_ring_sc_dequeue_burst_elem(h->events, ev, sizeof(*ev), n, NULL);
}

uint64_t phca_hca_events_lost(const struct phca_hca *h)
{
	return PHCA_STAT_GET(h->events_lost);
}

const char *phca_event_str(enum phca_event_type t)
{
	static const char *const str[] = {
		[PHCA_EVENT_QP_FATAL] = "QP fatal",
		[PHCA_EVENT_QP_ACCESS_ERR] = "QP access error",
		[PHCA_EVENT_CQ_ERR] = "CQ error",
		[PHCA_EVENT_OFFLOAD_FAILED] = "offload failed",
		[PHCA_EVENT_SQ_ERR] = "send queue error",
	};

	return (unsigned int)t < RTE_DIM(str) ? str[t] : "?";
}
