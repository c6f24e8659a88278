/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ethdev, on any driver. Nothing that a driver may lack is insisted on
 * (setting its MAC address, modes; queues.c: offloads, queues, MTU): what is
 * missing is logged once and done without. It keeps: the port works with
 * software alone, from frames as they are.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "net_impl.h"

RTE_LOG_REGISTER(phca_net_logtype, phca.net, NOTICE)

int fault(char *err, size_t err_len, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return ret;
}

static int conf_check(const struct phca_net_conf *c, char *err, size_t n)
{
	unsigned int p = c->port_id;

	if (!rte_eth_dev_is_valid_port(c->port_id))
		return fault(err, n, -ENODEV, "port %u: no such ethdev", p);
	if (c->mtu < PHCA_MTU_MIN || c->mtu > PHCA_MTU_MAX || (c->mtu & (c->mtu - 1)) != 0)
		return fault(err, n, -EINVAL, "port %u: mtu %u: must be 256, 512, 1024, 2048 or 4096",
			p, c->mtu);
	if (c->vlan && c->vlan_id > 4094)
		return fault(err, n, -EINVAL, "port %u: VLAN %u: must be 0..4094", p, c->vlan_id);
	if (c->nb_queues > PHCA_NET_QUEUE_MAX)
		return fault(err, n, -EINVAL, "port %u: %u queues: must be 1..%u", p, c->nb_queues,
			PHCA_NET_QUEUE_MAX);
	if (c->pool == NULL)
		return fault(err, n, -EINVAL, "port %u: no mempool", p);
	if (c->nb_addrs < 1 || c->nb_addrs > PHCA_GID_MAX - 1)
		return fault(err, n, -EINVAL, "port %u: %u addresses: must be 1..%u", p, c->nb_addrs,
			PHCA_GID_MAX - 1);
	if (c->set_mac && !mac_ok(c->mac))
		return fault(err, n, -EINVAL, "port %u: MAC address " RTE_ETHER_ADDR_PRT_FMT
			" is no station's", p, c->mac[0], c->mac[1], c->mac[2], c->mac[3], c->mac[4], c->mac[5]);
	return 0;
}

/* The MAC address: configured, the driver's, or one of our own making. */
static int mac_init(struct phca_net *net, const struct phca_net_conf *c, char *err, size_t n)
{
	struct rte_ether_addr mac;
	uint8_t load[8] = {0};
	int ret;

	if (c->set_mac) {
		memcpy(net->mac, c->mac, 6);
	} else {
		ret = rte_eth_macaddr_get(c->port_id, &mac);
		if (ret < 0)
			return fault(err, n, ret, "port %u: cannot read its MAC address: %s", c->port_id,
				rte_strerror(-ret));
		/* net_ring has zeros */
		if (!mac_ok(mac.addr_bytes))
			rte_eth_random_addr(mac.addr_bytes);
		memcpy(net->mac, mac.addr_bytes, 6);
	}
	memcpy(load, net->mac, 6);
	net->mac48 = load64(load);
	return 0;
}

static int addrs_init(struct phca_net *net, const struct phca_net_conf *c, char *err, size_t n)
{
	const uint8_t *m = net->mac;
	const uint8_t local[16] = { 0xfe, 0x80, [8] = m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5] };
	char text[46];
	int ret;

	gid_add(net, local, 64, true);
	for (unsigned int i = 0; i < c->nb_addrs; i++) {
		const struct phca_net_addr *a = &c->addrs[i];

		ret = gid_add(net, a->gid, a->prefix_len, a->ip6);
		if (ret < 0)
			return fault(err, n, ret, "port %u: address %s/%u: %s", c->port_id,
				phca_gid_str(a->gid, text), a->prefix_len, ret == -EEXIST ?
				"is there twice" : "is no unicast address, or its prefix is too long");
	}
	if ((c->has_gw4 && (!phca_gid_is_ip4(c->gw4) || !gid_is_unicast(c->gw4))) ||
			(c->has_gw6 && (phca_gid_is_ip4(c->gw6) || !gid_is_unicast(c->gw6))))
		return fault(err, n, -EINVAL, "port %u: gateway is no unicast address of its family",
			c->port_id);
	for (unsigned int i = 0; i < net->nb_gids; i++)
		gid_join_solicited_node(net, i);
	net->has_gw4 = c->has_gw4;
	net->has_gw6 = c->has_gw6;
	memcpy(net->gw4, c->gw4, 16);
	memcpy(net->gw6, c->gw6, 16);
	return 0;
}

static int neighs_init(struct phca_net *net, const struct phca_net_conf *c, char *err, size_t n)
{
	char text[46];
	int ret = neigh_init(net, SOCKET_ID_ANY);

	if (ret < 0)
		return fault(err, n, ret, "port %u: cannot make the neighbour table: %s", c->port_id,
			rte_strerror(-ret));
	for (unsigned int i = 0; i < c->nb_neighs; i++) {
		ret = phca_net_neigh_add(net, c->neighs[i].gid, c->neighs[i].mac);
		if (ret < 0)
			return fault(err, n, ret, "port %u: neighbour %s: %s", c->port_id,
				phca_gid_str(c->neighs[i].gid, text), ret == -ENOSPC ?
				"the table is full" : "its address or MAC address is no other station's");
	}
	return 0;
}

static int dev_init(struct phca_net *net, const struct phca_net_conf *c, char *err, size_t n)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	int ret = rte_eth_dev_info_get(c->port_id, &info);

	if (ret < 0)
		return fault(err, n, ret, "port %u: no information from its driver: %s", c->port_id,
			rte_strerror(-ret));
	ret = queues_init(net, c, &info, err, n);
	if (ret < 0)
		return ret;
	if (rte_eth_macaddr_get(c->port_id, &mac) == 0 && memcmp(&mac, net->mac, 6) != 0) {
		memcpy(&mac, net->mac, 6);
		ret = rte_eth_dev_default_mac_addr_set(c->port_id, &mac);
		net->set_mac = ret < 0; /* then promiscuous mode lets its frames in */
		if (ret < 0)
			NET_LOG(INFO, "port %u: driver keeps its MAC address (%s); all frames are taken\n",
				c->port_id, rte_strerror(-ret));
	}
	return 0;
}

struct phca_net *phca_net_create(const struct phca_net_conf *conf, char *err, size_t err_len)
{
	struct phca_net *net = NULL;
	int ret = conf_check(conf, err, err_len);

	if (ret == 0) {
		net = rte_zmalloc_socket("phca_net", sizeof(*net), RTE_CACHE_LINE_SIZE,
			rte_eth_dev_socket_id(conf->port_id));
		if (net == NULL)
			ret = fault(err, err_len, -ENOMEM, "port %u: out of memory (%zu bytes)",
				conf->port_id, sizeof(*net));
	}
	if (ret < 0) {
		rte_errno = -ret;
		return NULL;
	}
	net->port_id = conf->port_id;
	net->mtu = conf->mtu;
	net->vlan = conf->vlan;
	net->vlan_id = conf->vlan_id;
	net->promisc = conf->promisc;
	net->pool = conf->pool;
	ret = mac_init(net, conf, err, err_len);
	if (ret == 0)
		ret = addrs_init(net, conf, err, err_len);
	if (ret == 0)
		ret = neighs_init(net, conf, err, err_len);
	if (ret == 0)
		ret = dev_init(net, conf, err, err_len);
	if (ret < 0) {
		neigh_fini(net);
		rte_free(net);
		rte_errno = -ret;
		return NULL;
	}
	return net;
}

int phca_net_start(struct phca_net *net)
{
	int ret = rte_eth_dev_start(net->port_id);
	bool all;

	if (ret < 0)
		return ret;
	net->started = true;
	/* Neighbour discovery comes by multicast, too. */
	all = !group_filter_start(net) || net->promisc || net->set_mac;
	if (all && rte_eth_promiscuous_enable(net->port_id) < 0)
		NET_LOG(INFO, "port %u: driver has no promiscuous mode; other MAC addresses and "
			"multicast arrive only if it does not filter\n", net->port_id);
	net->announce_left = ANNOUNCE_NUM;
	net->announce_gid = 0;
	net->announce_ns = 0;
	net->poll_ns = 0;
	group_restart(net);
	return 0;
}

void phca_net_stop(struct phca_net *net)
{
	if (!net->started)
		return;
	net->started = false;
	(void)rte_eth_dev_stop(net->port_id);
}

void phca_net_destroy(struct phca_net *net)
{
	if (net == NULL)
		return;
	phca_net_stop(net);
	neigh_fini(net);
	rte_free(net);
}

bool phca_net_link(const struct phca_net *net)
{
	struct rte_eth_link link;

	if (!net->started)
		return false;
	return rte_eth_link_get_nowait(net->port_id, &link) < 0 || link.link_status == RTE_ETH_LINK_UP;
}

uint16_t phca_net_port_id(const struct phca_net *net)
{
	return net->port_id;
}

uint16_t phca_net_nb_rxq(const struct phca_net *net)
{
	return net->nb_rxq;
}

uint16_t phca_net_nb_txq(const struct phca_net *net)
{
	return net->nb_txq;
}

uint16_t phca_net_mtu(const struct phca_net *net)
{
	return net->mtu;
}

const uint8_t *phca_net_mac(const struct phca_net *net)
{
	return net->mac;
}

bool phca_net_vlan(const struct phca_net *net, uint16_t *vlan_id)
{
	if (net->vlan)
		*vlan_id = net->vlan_id;
	return net->vlan;
}
