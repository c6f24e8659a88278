/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ethdev's queues: one of each kind for every HCA lcore, as far as the
 * device has them. A device that can, spreads what it receives over them by a
 * hash of addresses and UDP ports; with any other, queue 0 receives it all. It
 * keeps: queue 0 of each kind is always there, and all have the same settings.
 */
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "net_impl.h"

#define DESC_DEFAULT 1024
/* Flows of RoCEv2: a queue pair has a UDP source port of its own (A17). */
#define RSS_FLOWS (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP)

/* IP packets of the longest RoCEv2 frame: what an MTU counts, and a VLAN tag. */
static uint16_t l3_len_max(const struct phca_net_conf *c)
{
	return (uint16_t)(c->mtu + (PHCA_WIRE_HDR_MAX - ETH_HDR - VLAN_HDR) + 3 + PHCA_ICRC_LEN +
		(c->vlan ? VLAN_HDR : 0));
}

/* Longer frames than the driver's MTU: ask for them; without, go on. */
static void mtu_init(const struct phca_net_conf *c)
{
	uint16_t need = l3_len_max(c), mtu = 0;
	int ret;

	if (rte_eth_dev_get_mtu(c->port_id, &mtu) == 0 && mtu >= need)
		return;
	ret = rte_eth_dev_set_mtu(c->port_id, need);
	if (ret == 0)
		return;
	if (ret == -ENOTSUP) /* net_ring, net_memif: no such limit */
		NET_LOG(INFO, "port %u: driver has no MTU to set; packets of %u bytes must fit\n",
			c->port_id, need);
	else
		NET_LOG(WARNING, "port %u: cannot set MTU %u (is %u): %s; longer packets may be "
			"lost: raise the interface's own MTU or use a smaller path MTU\n", c->port_id, need,
			mtu, rte_strerror(-ret));
}

/* How many queues to ask for, and how what comes is spread over them. */
static void spread_set(struct phca_net *net, const struct phca_net_conf *c,
		const struct rte_eth_dev_info *info, struct rte_eth_conf *conf, uint16_t nb)
{
	net->nb_rxq = RTE_MAX(1, RTE_MIN(nb, info->max_rx_queues));
	net->nb_txq = RTE_MAX(1, RTE_MIN(nb, info->max_tx_queues));
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	conf->rx_adv_conf.rss_conf.rss_hf = 0;
	if (net->nb_rxq > 1 && (info->flow_type_rss_offloads & RSS_FLOWS) != 0) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & RSS_FLOWS;
	} else if (net->nb_rxq > 1) {
		NET_LOG(INFO, "port %u (%s): driver does not spread packets over its %u receive queues; "
			"who sends to it may\n", c->port_id, info->driver_name, net->nb_rxq);
	}
}

static int configure(struct phca_net *net, const struct phca_net_conf *c,
		const struct rte_eth_dev_info *info, struct rte_eth_conf *conf, char *err, size_t n)
{
	uint16_t nb = RTE_MAX(c->nb_queues, 1);
	int ret;

	spread_set(net, c, info, conf, nb);
	ret = rte_eth_dev_configure(c->port_id, net->nb_rxq, net->nb_txq, conf);
	if (ret < 0 && nb > 1) {
		NET_LOG(WARNING, "port %u (%s): refuses %u receive and %u transmit queues: %s; goes on "
			"with one each\n", c->port_id, info->driver_name, net->nb_rxq, net->nb_txq,
			rte_strerror(-ret));
		spread_set(net, c, info, conf, 1);
		ret = rte_eth_dev_configure(c->port_id, 1, 1, conf);
	}
	if (ret < 0)
		return fault(err, n, ret, "port %u (%s): cannot configure: %s", c->port_id,
			info->driver_name, rte_strerror(-ret));
	return 0;
}

int queues_init(struct phca_net *net, const struct phca_net_conf *c,
		const struct rte_eth_dev_info *info, char *err, size_t n)
{
	unsigned int p = c->port_id, room = rte_pktmbuf_data_room_size(c->pool) - RTE_PKTMBUF_HEADROOM;
	uint16_t rx = c->rx_desc ? c->rx_desc : DESC_DEFAULT, tx = c->tx_desc ? c->tx_desc : DESC_DEFAULT;
	unsigned int socket = (unsigned int)rte_eth_dev_socket_id(c->port_id);
	struct rte_eth_conf conf = {0};
	struct rte_eth_rxconf rxq = info->default_rxconf;
	struct rte_eth_txconf txq = info->default_txconf;
	int ret;

	/* Frames in several buffers cost a copy: only where one does not hold them. */
	if (room < l3_len_max(c) + ETH_HDR + VLAN_HDR)
		conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	ret = configure(net, c, info, &conf, err, n);
	if (ret < 0)
		return ret;
	mtu_init(c);
	ret = rte_eth_dev_adjust_nb_rx_tx_desc(c->port_id, &rx, &tx);
	if (ret < 0)
		return fault(err, n, ret, "port %u (%s): %u, %u descriptors: %s", p, info->driver_name,
			rx, tx, rte_strerror(-ret));
	rxq.offloads = conf.rxmode.offloads;
	txq.offloads = 0;
	for (uint16_t q = 0; q < net->nb_rxq; q++) {
		ret = rte_eth_rx_queue_setup(c->port_id, q, rx, socket, &rxq, c->pool);
		if (ret < 0)
			return fault(err, n, ret, "port %u (%s): receive queue %u of %u descriptors, buffers "
				"of %u bytes: %s; if the driver's frames are longer, use longer buffers",
				p, info->driver_name, q, rx, room, rte_strerror(-ret));
	}
	for (uint16_t q = 0; q < net->nb_txq; q++) {
		ret = rte_eth_tx_queue_setup(c->port_id, q, tx, socket, &txq);
		if (ret < 0)
			return fault(err, n, ret, "port %u (%s): transmit queue %u of %u descriptors: %s",
				p, info->driver_name, q, tx, rte_strerror(-ret));
	}
	return 0;
}
