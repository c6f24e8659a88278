/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What exists from start to end: buffers, tables, loops, proxy, HCA, ports.
 * Destroying goes the other way round and ends by counting the buffers: none
 * may be missing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "appliance.h"

#define MBUF_CACHE 256

struct phca_config *appliance_config(struct appliance *a, char *err, size_t err_len)
{
	const char *text;
	size_t len;

	if (a->opt.config)
		return phca_config_load(a->opt.config, NULL, &a->lookup, err, err_len);
	text = phca_config_default_text(&len);
	return phca_config_parse("built-in", text, len, NULL, &a->lookup, err, err_len);
}

static int fail(char *err, size_t err_len, const char *what)
{
	int rc = rte_errno ? -rte_errno : -ENOMEM;

	snprintf(err, err_len, "%s: %s", what, rte_strerror(-rc));
	return rc;
}

static int create_pool(struct appliance *a, char *err, size_t err_len)
{
	const struct phca_config_memory *m = &a->cfg->memory;
	uint64_t rings = 0;

	for (unsigned int i = 0; i < a->cfg->nb_ports; i++)
		rings += (uint64_t)a->nb_shards * a->cfg->ports[i].rx_desc;
	if (rings >= m->mbufs) {
		snprintf(err, err_len, "memory.mbufs: %" PRIu32 " buffers, but receive rings of the ports on %u "
			"HCA lcores hold %" PRIu64 "; raise it, or lower rx_descriptors", m->mbufs,
			a->nb_shards, rings);
		return -ENOSPC;
	}
	a->pool = rte_pktmbuf_pool_create("phca_mbufs", check_mbufs(a), MBUF_CACHE, 0,
		(uint16_t)m->mbuf_size, SOCKET_ID_ANY);
	if (a->pool)
		return 0;
	snprintf(err, err_len, "memory.mbufs: no room for %" PRIu32 " buffers of %" PRIu32 " bytes: %s; "
		"give EAL more memory (-m), or configure fewer", m->mbufs, m->mbuf_size,
		rte_strerror(rte_errno));
	return -rte_errno;
}

static int create_qsbr(struct appliance *a, char *err, size_t err_len)
{
	a->qsbr = rte_zmalloc("phca_qsbr", rte_rcu_qsbr_get_memsize(LCORES_MAX), RTE_CACHE_LINE_SIZE);
	if (!a->qsbr || rte_rcu_qsbr_init(a->qsbr, LCORES_MAX) != 0)
		return fail(err, err_len, "quiescent state variable: not created");
	return 0;
}

static int create_tables(struct appliance *a, char *err, size_t err_len)
{
	a->mem = phca_mem_create(a->cfg->memory.max_mr, a->qsbr);
	return a->mem ? 0 : fail(err, err_len, "memory.max_mr: region table not created");
}

static int create_proxy(struct appliance *a, struct proxy_obj *p, char *err, size_t err_len)
{
	struct phca_loop *loop = p->lcore->loop;
	char name[16];
	const struct phca_proxy_conf conf = {
		.name = name, .loop = loop, .mem = a->mem, .pool = a->pool,
		.ring_size = a->cfg->proxy.ring_size,
	};
	int rc;

	snprintf(name, sizeof(name), "proxy%u", (unsigned int)(p - a->proxies));
	p->proxy = phca_proxy_create(&conf);
	if (!p->proxy)
		return fail(err, err_len, "proxy: not created");
	rc = phca_loop_add(loop, "proxy", phca_proxy_turn, p->proxy);
	if (rc < 0)
		snprintf(err, err_len, "lcore %u: no room for the proxy", p->lcore->lcore);
	return rc;
}

static int create_proxies(struct appliance *a, char *err, size_t err_len)
{
	int rc = 0;

	for (unsigned int i = 0; i < a->nb_proxies && rc == 0; i++)
		rc = create_proxy(a, &a->proxies[i], err, err_len);
	return rc;
}

static int create_hca(struct appliance *a, char *err, size_t err_len)
{
	struct phca_hca_conf conf = {
		.name = "hca", .nb_shards = a->nb_shards, .nb_proxies = a->nb_proxies,
		.mem = a->mem, .qsbr = a->qsbr, .pool = a->pool, .max_qp = a->cfg->memory.max_qp,
		.offload_max_packets = a->cfg->proxy.offload_max_packets, .congestion = &a->cfg->congestion,
	};
	int rc = 0;

	for (unsigned int i = 0; i < a->nb_shards; i++)
		conf.loops[i] = a->hca_lcores[i]->loop;
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		conf.proxies[i] = a->proxies[i].proxy;
	a->hca = phca_hca_create(&conf);
	if (!a->hca)
		return fail(err, err_len, "hca: not created");
	phca_hca_enable(a->hca, false);
	for (unsigned int i = 0; i < a->nb_shards && rc == 0; i++) {
		rc = phca_loop_add(conf.loops[i], "hca", phca_hca_turn, phca_hca_shard(a->hca, i));
		if (rc < 0)
			snprintf(err, err_len, "lcore %u: no room for the HCA", a->hca_lcores[i]->lcore);
	}
	return rc;
}

/* The ethdev that a port's configuration names. */
static int port_device(const struct phca_config_port *c, uint16_t *port_id, char *err, size_t err_len)
{
	if (!c->device) {
		*port_id = (uint16_t)c->id;
		if (c->id >= 0 && c->id < RTE_MAX_ETHPORTS && rte_eth_dev_is_valid_port(*port_id))
			return 0;
		snprintf(err, err_len, "port %s: there is no ethdev with id %d (%u are there); "
			"give EAL a device (-a, --vdev)", c->name, c->id, rte_eth_dev_count_avail());
		return -ENODEV;
	}
	if (rte_eth_dev_get_port_by_name(c->device, port_id) == 0)
		return 0;
	snprintf(err, err_len, "port %s: there is no ethdev '%s' (%u are there); give EAL the device "
		"(-a, --vdev=%s,...), or mend the configuration", c->name, c->device,
		rte_eth_dev_count_avail(), c->device);
	return -ENODEV;
}

static int create_port(struct appliance *a, const struct phca_config_port *c, char *err, size_t err_len)
{
	struct phca_net_conf conf = {
		.vlan = c->vlan, .vlan_id = c->vlan_id, .mtu = c->mtu, .set_mac = c->set_mac,
		.promisc = c->promisc, .rx_desc = c->rx_desc, .tx_desc = c->tx_desc, .pool = a->pool,
		.nb_queues = (uint16_t)a->nb_shards,
		.addrs = c->addrs, .nb_addrs = c->nb_addrs, .neighs = c->neighs,
		.nb_neighs = c->nb_neighs, .has_gw4 = c->has_gw4, .has_gw6 = c->has_gw6,
	};
	struct port_obj *p = calloc(1, sizeof(*p));
	struct phca_config_port dev = { .name = c->name, .device = c->device, .id = c->id };
	char name[RTE_ETH_NAME_MAX_LEN];
	int rc;

	if (!p)
		return fail(err, err_len, "port: no memory");
	p->name = c->name;
	a->ports[a->nb_ports++] = p;
	if (a->opt.check_config) {
		rc = check_device(a, a->nb_ports - 1, name, sizeof(name), err, err_len);
		if (rc < 0)
			return rc;
		dev.device = name;
	}
	memcpy(conf.mac, c->mac, sizeof(conf.mac));
	memcpy(conf.gw4, c->gw4, sizeof(conf.gw4));
	memcpy(conf.gw6, c->gw6, sizeof(conf.gw6));
	rc = port_device(&dev, &conf.port_id, err, err_len);
	if (rc < 0)
		return rc;
	p->net = phca_net_create(&conf, err, err_len);
	if (!p->net)
		return rte_errno ? -rte_errno : -EIO;
	rc = phca_net_start(p->net);
	if (rc < 0) {
		snprintf(err, err_len, "port %s: not started: %s", c->name, rte_strerror(-rc));
		return rc;
	}
	p->started = true;
	p->up = phca_net_link(p->net);
	rc = phca_hca_port_add(a->hca, p->net);
	if (rc < 0)
		snprintf(err, err_len, "port %s: the HCA has %d ports at most", c->name, PHCA_PORT_MAX);
	return rc < 0 ? rc : 0;
}

static int create_ports(struct appliance *a, char *err, size_t err_len)
{
	int rc = 0;

	a->ports = calloc(a->cfg->nb_ports + 1, sizeof(*a->ports));
	if (!a->ports)
		return fail(err, err_len, "ports: no memory");
	for (unsigned int i = 0; i < a->cfg->nb_ports && rc == 0; i++)
		rc = create_port(a, &a->cfg->ports[i], err, err_len);
	return rc;
}

int appliance_create(struct appliance *a, char *err, size_t err_len)
{
	int rc;

	if ((rc = create_qsbr(a, err, err_len)) < 0 ||
			(rc = lcores_create(a, err, err_len)) < 0 ||
			(rc = create_pool(a, err, err_len)) < 0 ||
			(rc = create_tables(a, err, err_len)) < 0 ||
			(rc = create_proxies(a, err, err_len)) < 0 ||
			(rc = create_hca(a, err, err_len)) < 0)
		return rc;
	return create_ports(a, err, err_len);
}

/*
 * Some drivers (net_ring) forget packets that nobody received: take them. No
 * lcore polls the port any more. Sources without end are left after a while.
 */
static void queue_empty(uint16_t port_id, uint16_t queue)
{
	struct rte_mbuf *m[64];
	uint16_t n;

	for (unsigned int i = 0; i < 128; i++) {
		n = rte_eth_rx_burst(port_id, queue, m, RTE_DIM(m));
		if (n == 0)
			return;
		rte_pktmbuf_free_bulk(m, n);
	}
}

/* The ethdev is closed too: drivers free the buffers that they still hold only then. */
static void destroy_port(struct port_obj *p)
{
	if (p->net) {
		uint16_t id = phca_net_port_id(p->net);

		for (uint16_t q = 0; p->started && q < phca_net_nb_rxq(p->net); q++)
			queue_empty(id, q);
		phca_net_destroy(p->net);
		if (rte_eth_dev_is_valid_port(id))
			rte_eth_dev_close(id);
	}
	free(p);
}

unsigned int appliance_destroy(struct appliance *a)
{
	unsigned int missing = 0;

	phca_hca_destroy(a->hca);
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		phca_proxy_destroy(a->proxies[i].proxy);
	while (a->nb_ports > 0)
		destroy_port(a->ports[--a->nb_ports]);
	free(a->ports);
	lcores_destroy(a);
	phca_mem_destroy(a->mem);
	rte_free(a->qsbr);
	if (a->pool) {
		missing = rte_mempool_in_use_count(a->pool);
		rte_mempool_free(a->pool);
	}
	phca_config_free(a->cfg);
	return missing;
}
