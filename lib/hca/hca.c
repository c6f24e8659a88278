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

static struct rte_ring *ring_new(const char *name, uint32_t elem, unsigned int count, unsigned int flags)
{
	ssize_t n = rte_ring_get_memsize_elem(elem, count);
	struct rte_ring *r = NULL;

	if (n > 0)
		r = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN((size_t)n, RTE_CACHE_LINE_SIZE));
	if (r != NULL && rte_ring_init(r, name, count, flags) != 0) {
		free(r);
		r = NULL;
	}
	return r;
}

static void *zalloc(size_t n)
{
	void *p = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(n, (size_t)RTE_CACHE_LINE_SIZE));

	if (p != NULL)
		memset(p, 0, n);
	return p;
}

static struct px *px_new(struct phca_proxy *proxy, struct phca_loop *loop)
{
	struct px *x = zalloc(sizeof(*x));

	if (x == NULL)
		return NULL;
	x->proxy = proxy;
	x->chan = phca_proxy_chan_create(proxy, loop);
	if (x->chan == NULL) {
		free(x);
		return NULL;
	}
	x->ring = phca_proxy_chan_ring(x->chan);
	x->replies = phca_proxy_chan_replies(x->chan);
	x->mbufs = phca_proxy_chan_mbufs(x->chan);
	x->loop = phca_proxy_loop(proxy);
	return x;
}

/* A shard without its rings to others. */
static struct shard *shard_new(struct phca_hca *hca, const struct phca_hca_conf *conf, unsigned int idx)
{
	struct shard *h = zalloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	h->hca = hca;
	h->idx = (uint8_t)idx;
	h->nb_shards = conf->nb_shards;
	memcpy(h->loops, conf->loops, sizeof(h->loops));
	h->mem = conf->mem;
	h->pool = conf->pool;
	h->max_held_all = conf->pool->size / 4 / conf->nb_shards;
	h->max_held = conf->offload_max_packets ? conf->offload_max_packets : 256;
	h->no_icrc = conf->no_icrc;
	h->congestion = hca->congestion_on ? &hca->congestion : NULL;
	phca_timers_init(&h->timers, 0);
	phca_timers_init(&h->pace, 0);
	h->fenv.prandom = (conf->seed ? conf->seed : rte_get_tsc_cycles() | 1) + idx;
	return h;
}

static int shard_fill(struct shard *h, const struct phca_hca_conf *conf)
{
	for (unsigned int i = 0; i < conf->nb_proxies; i++) {
		h->px[i] = px_new(conf->proxies[i], conf->loops[h->idx]);
		if (h->px[i] == NULL)
			return -ENOMEM;
		h->nb_px++;
	}
	for (unsigned int i = 0; i < conf->nb_shards; i++) {
		struct shard *from = h->hca->shards[i];

		if (from == h)
			continue;
		h->from[i] = ring_new("phca_handoff", sizeof(struct handoff), HANDOFF_RING,
			RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (h->from[i] == NULL)
			return -ENOMEM;
		from->to[h->idx] = h->from[i];
	}
	return 0;
}

/* No lcore runs it any more: what is on its way is dropped. */
static void shard_free(struct shard *h)
{
	struct handoff o;

	if (h == NULL)
		return;
	for (unsigned int i = 0; i < h->nb_ports; i++) {
		rte_pktmbuf_free_bulk(h->ports[i]->tx, h->ports[i]->nb_tx);
		free(h->ports[i]);
	}
	rte_pktmbuf_free_bulk(h->loop, h->nb_loop);
	for (unsigned int i = 0; i < h->nb_shards; i++) {
		while (h->from[i] != NULL && rte_ring_sc_dequeue_elem(h->from[i], &o, sizeof(o)) == 0)
			rte_pktmbuf_free(o.m);
		free(h->from[i]);
	}
	for (unsigned int i = 0; i < h->nb_px; i++)
		free(h->px[i]);
	free(h);
}

static bool conf_ok(const struct phca_hca_conf *c)
{
	if (c->mem == NULL || c->pool == NULL || c->qsbr == NULL || c->max_qp == 0 || c->max_qp > 1u << 20 ||
	    c->nb_shards == 0 || c->nb_shards > PHCA_SHARD_MAX || c->nb_proxies > PHCA_HCA_PROXY_MAX)
		return false;
	if (c->congestion != NULL && (c->congestion->cnp_dscp > 63 ||
				      phca_cc_params_check(&c->congestion->params) != NULL))
		return false;
	for (unsigned int i = 0; i < c->nb_shards; i++)
		if (c->loops[i] == NULL)
			return false;
	return true;
}

struct idle_arg {
	struct shard *h;
	bool add;
};

static int idle_set(void *arg)
{
	const struct idle_arg *a = arg;
	struct phca_loop *l = a->h->loops[a->h->idx];

	return a->add ? phca_loop_idle_add(l, client_idle, a->h) : phca_loop_idle_remove(l, client_idle, a->h);
}

/* Whether the lcores tell the clients that they are about to sleep. */
static int idle_all(struct phca_hca *hca, bool add)
{
	for (unsigned int i = 0; i < hca->nb_shards; i++) {
		struct idle_arg a = { .h = hca->shards[i], .add = add };
		int ret = phca_loop_call(a.h->loops[i], idle_set, &a);

		if (add && ret != 0)
			return ret;
	}
	return 0;
}

static int hca_fill(struct phca_hca *hca, const struct phca_hca_conf *conf)
{
	if (conf->congestion != NULL)
		hca->congestion = *conf->congestion;
	hca->congestion_on = hca->congestion.enabled;
	hca->name = strdup(conf->name ? conf->name : "phca0");
	if (hca->name == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < conf->nb_shards; i++) {
		hca->shards[i] = shard_new(hca, conf, i);
		if (hca->shards[i] == NULL)
			return -ENOMEM;
		hca->nb_shards++;
	}
	for (unsigned int i = 0; i < conf->nb_shards; i++) {
		int ret = shard_fill(hca->shards[i], conf);

		if (ret != 0)
			return ret;
	}
	return idle_all(hca, true);
}

static void hca_free(struct phca_hca *hca)
{
	idle_all(hca, false);
	for (unsigned int i = 0; i < hca->nb_shards; i++)
		shard_free(hca->shards[i]);
	mcast_fini(hca);
	for (unsigned int i = 0; i < QPN_LEAF; i++)
		free(hca->qpn_top[i]);
	free(hca->name);
	free(hca);
}

struct phca_hca *phca_hca_create(const struct phca_hca_conf *conf)
{
	struct phca_hca *hca;

	if (!conf_ok(conf)) {
		rte_errno = EINVAL;
		return NULL;
	}
	hca = zalloc(sizeof(*hca));
	if (hca == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	hca->mem = conf->mem;
	hca->qsbr = conf->qsbr;
	hca->max_qp = conf->max_qp;
	hca->enabled = true;
	hca->next_qpn = 0x11;
	hca->next_cqn = 1;
	hca->next_srqn = 1;
	hca->next_client = 1;
	TAILQ_INIT(&hca->due);
	if (hca_fill(hca, conf) != 0) {
		hca_free(hca);
		rte_errno = ENOMEM;
		return NULL;
	}
	return hca;
}

void phca_hca_destroy(struct phca_hca *hca)
{
	if (hca == NULL)
		return;
	while (hca->clients != NULL) {
		struct phca_client *c = hca->clients;

		phca_client_close(c);
		if (hca->clients == c)
			hca->clients = c->next; /* a driver holds on to its memory: leaked */
	}
	hca_free(hca);
}

void *phca_hca_shard(struct phca_hca *hca, unsigned int shard)
{
	return shard < hca->nb_shards ? hca->shards[shard] : NULL;
}

unsigned int phca_hca_nb_shards(const struct phca_hca *hca)
{
	return hca->nb_shards;
}

struct port_add {
	struct shard *h;
	struct port *p;
};

static int port_add(void *arg)
{
	struct port_add *a = arg;

	a->h->ports[a->p->idx] = a->p;
	a->h->nb_ports = a->p->idx + 1u;
	return 0;
}

int phca_hca_port_add(struct phca_hca *hca, struct phca_net *net)
{
	struct port *p[PHCA_SHARD_MAX];
	unsigned int n, txq = phca_net_nb_txq(net);

	if (hca->nb_ports == PHCA_PORT_MAX)
		return -ENOSPC;
	for (n = 0; n < hca->nb_shards; n++) {
		p[n] = zalloc(sizeof(*p[n]));
		if (p[n] == NULL)
			break;
		p[n]->net = net;
		p[n]->id = phca_net_port_id(net);
		p[n]->idx = (uint8_t)hca->nb_ports;
		p[n]->rx = n < phca_net_nb_rxq(net);
		p[n]->tx_own = n < txq;
		p[n]->tx_by = (uint8_t)(n % txq);
		p[n]->owner = n == 0;
		p[n]->ect = hca->congestion_on && hca->congestion.ecn;
	}
	if (n < hca->nb_shards) {
		while (n > 0)
			free(p[--n]);
		return -ENOMEM;
	}
	hca->nets[hca->nb_ports] = net;
	for (n = 0; n < hca->nb_shards; n++) {
		struct port_add a = { .h = hca->shards[n], .p = p[n] };

		phca_loop_call(a.h->loops[n], port_add, &a);
	}
	return (int)hca->nb_ports++;
}

unsigned int phca_hca_nb_ports(const struct phca_hca *hca)
{
	return hca->nb_ports;
}

struct phca_net *phca_hca_port(const struct phca_hca *hca, unsigned int idx)
{
	return idx < hca->nb_ports ? hca->nets[idx] : NULL;
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

/* Control thread: until no lcore can know what was unpublished before. */
void hca_quiesce(struct phca_hca *hca)
{
	/* as rte_rcu_qsbr_synchronize, but ThreadSanitizer does not see into the library */
	rte_rcu_qsbr_check(hca->qsbr, rte_rcu_qsbr_start(hca->qsbr), true);
}

int phca_port_stats_get(const struct phca_hca *hca, unsigned int port, struct phca_port_stats *st)
{
	if (port >= hca->nb_ports)
		return -EINVAL;
	memset(st, 0, sizeof(*st));
	for (unsigned int i = 0; i < hca->nb_shards; i++) {
		const struct phca_port_stats *s = &hca->shards[i]->ports[port]->st;

#define SUM(f, u, w) st->f += PHCA_STAT_GET(s->f);
		PHCA_PORT_COUNTERS(SUM)
#undef SUM
		for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
			st->verdict[v] += PHCA_STAT_GET(s->verdict[v]);
	}
	return 0;
}
