/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ethdev: what DPDK asks of a driver. What has to do with the wire (queues,
 * addresses, modes, MTU, RSS) is asked of the lower port, which is configured,
 * started, stopped and closed together with this one; rings have none of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>

#include "impair_impl.h"

RTE_LOG_REGISTER(phca_impair_logtype, pmd.net.impair, NOTICE)

#define RING_LEN_MAX 65535

static struct impair *self(const struct rte_eth_dev *eth)
{
	return eth->data->dev_private;
}

static int configure_lower(struct impair *dev, const struct rte_eth_conf *wanted)
{
	struct lower *low = &dev->lower;
	struct rte_eth_conf conf = *wanted;
	struct rte_eth_dev_info info;
	int rc;

	low->nb_rx = low->nb_tx = 1;
	if (low->is_ring)
		return 0;
	rc = rte_eth_dev_info_get(low->port_id, &info);
	if (rc < 0)
		return rc;
	low->nb_rx = RTE_MIN(dev->nb[PHCA_IMPAIR_RX], info.max_rx_queues);
	low->nb_tx = RTE_MIN(dev->nb[PHCA_IMPAIR_TX], info.max_tx_queues);
	lower_stop(low); /* somebody may have started it */
	rc = rte_eth_dev_configure(low->port_id, low->nb_rx, low->nb_tx, &conf);
	if (rc < 0)
		IMPAIR_LOG(ERR, "port %u: lower port %s: %u rx and %u tx queues: not configured: %s\n",
			dev->port_id, low->name, low->nb_rx, low->nb_tx, rte_strerror(-rc));
	return rc;
}

static int dev_configure(struct rte_eth_dev *eth)
{
	struct impair *dev = self(eth);

	dev->nb[PHCA_IMPAIR_RX] = eth->data->nb_rx_queues;
	dev->nb[PHCA_IMPAIR_TX] = eth->data->nb_tx_queues;
	return configure_lower(dev, &eth->data->dev_conf);
}

static int add_lane(struct rte_eth_dev *eth, enum phca_impair_dir dir, uint16_t queue, unsigned int socket,
		struct rte_mempool *pool)
{
	struct impair *dev = self(eth);
	struct lane *l = lane_create(dev, dir, queue, (int)socket);
	uint16_t nb = dir == PHCA_IMPAIR_RX ? dev->lower.nb_rx : dev->lower.nb_tx;

	if (l == NULL) {
		IMPAIR_LOG(ERR, "port %u: no memory to hold %u packets of queue %u; give EAL more (-m), or "
			"the device a smaller hold=\n", dev->port_id, dev->hold, queue);
		return -ENOMEM;
	}
	/* Receive queues that the lower port lacks stay empty; transmit queues share its. */
	l->lower_queue = queue < nb ? queue : UINT16_MAX;
	if (dir == PHCA_IMPAIR_TX) {
		l->lower_queue = (uint16_t)(queue % RTE_MAX(nb, 1));
		l->shared = dev->nb[PHCA_IMPAIR_TX] > nb;
	}
	l->pool = pool;
	pthread_mutex_lock(&impair_lock);
	dev->lane[dir][queue] = l;
	pthread_mutex_unlock(&impair_lock);
	if (dir == PHCA_IMPAIR_RX)
		eth->data->rx_queues[queue] = l;
	else
		eth->data->tx_queues[queue] = l;
	return 0;
}

static int rx_queue_setup(struct rte_eth_dev *eth, uint16_t queue, uint16_t nb_desc, unsigned int socket,
		const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct lower *low = &self(eth)->lower;
	int rc = 0;

	if (!low->is_ring && queue < low->nb_rx)
		rc = rte_eth_rx_queue_setup(low->port_id, queue, nb_desc, socket, conf, pool);
	return rc < 0 ? rc : add_lane(eth, PHCA_IMPAIR_RX, queue, socket, pool);
}

static int tx_queue_setup(struct rte_eth_dev *eth, uint16_t queue, uint16_t nb_desc, unsigned int socket,
		const struct rte_eth_txconf *conf)
{
	struct lower *low = &self(eth)->lower;
	int rc = 0;

	if (!low->is_ring && queue < low->nb_tx)
		rc = rte_eth_tx_queue_setup(low->port_id, queue, nb_desc, socket, conf);
	return rc < 0 ? rc : add_lane(eth, PHCA_IMPAIR_TX, queue, socket, NULL);
}

static void release_lane(struct impair *dev, enum phca_impair_dir dir, uint16_t queue)
{
	struct lane *l = dev->lane[dir][queue];

	pthread_mutex_lock(&impair_lock);
	dev->lane[dir][queue] = NULL;
	pthread_mutex_unlock(&impair_lock);
	lane_free(l);
}

static void rx_queue_release(struct rte_eth_dev *eth, uint16_t queue)
{
	release_lane(self(eth), PHCA_IMPAIR_RX, queue);
}

static void tx_queue_release(struct rte_eth_dev *eth, uint16_t queue)
{
	release_lane(self(eth), PHCA_IMPAIR_TX, queue);
}

static int dev_start(struct rte_eth_dev *eth)
{
	struct impair *dev = self(eth);
	struct program *p;
	int rc = 0;

	pthread_mutex_lock(&impair_lock);
	p = program_create(dev, &dev->rules);
	if (p == NULL) {
		pthread_mutex_unlock(&impair_lock);
		IMPAIR_LOG(ERR, "port %u: no memory for the state of %u rules\n", dev->port_id, dev->rules.nb);
		return -ENOMEM;
	}
	impair_use(dev, p);
	if (!dev->lower.is_ring)
		rc = rte_eth_dev_start(dev->lower.port_id);
	dev->started = rc == 0;
	pthread_mutex_unlock(&impair_lock);
	if (rc < 0)
		IMPAIR_LOG(ERR, "port %u: lower port %s not started: %s\n", dev->port_id, dev->lower.name,
			rte_strerror(-rc));
	return rc;
}

static int dev_stop(struct rte_eth_dev *eth)
{
	struct impair *dev = self(eth);

	pthread_mutex_lock(&impair_lock);
	dev->started = false;
	lower_stop(&dev->lower);
	for (unsigned int i = 0; i < PHCA_IMPAIR_DIRS * QUEUES_MAX; i++) {
		struct lane *l = dev->lane[i / QUEUES_MAX][i % QUEUES_MAX];

		if (l == NULL)
			continue;
		lane_enter(l);
		lane_drop_held(l);
		lane_leave(l);
	}
	pthread_mutex_unlock(&impair_lock);
	return 0;
}

static int dev_close(struct rte_eth_dev *eth)
{
	struct impair *dev = self(eth);

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 0;
	pthread_mutex_lock(&impair_lock);
	impair_use(dev, NULL);
	for (unsigned int i = 0; i < PHCA_IMPAIR_DIRS * QUEUES_MAX; i++)
		release_lane(dev, (enum phca_impair_dir)(i / QUEUES_MAX), (uint16_t)(i % QUEUES_MAX));
	lower_close(&dev->lower);
	impair_unlink(dev);
	pthread_mutex_unlock(&impair_lock);
	return 0;
}

static int dev_infos_get(struct rte_eth_dev *eth, struct rte_eth_dev_info *info)
{
	const struct lower *low = &self(eth)->lower;
	struct rte_eth_dev_info li;

	info->max_rx_queues = info->max_tx_queues = QUEUES_MAX;
	info->max_mac_addrs = 1;
	info->max_rx_pktlen = RING_LEN_MAX;
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (low->is_ring)
		return 0;
	if (low->gone || rte_eth_dev_info_get(low->port_id, &li) < 0)
		return -ENODEV;
	info->if_index = li.if_index;
	info->min_mtu = li.min_mtu;
	info->max_mtu = li.max_mtu;
	info->min_rx_bufsize = li.min_rx_bufsize;
	info->max_rx_pktlen = li.max_rx_pktlen;
	info->max_mac_addrs = li.max_mac_addrs;
	/* Nothing that leaves fields of a packet to the device: rules look into them. */
	info->rx_offload_capa &= li.rx_offload_capa;
	info->tx_offload_capa &= li.tx_offload_capa;
	info->reta_size = li.reta_size;
	info->hash_key_size = li.hash_key_size;
	info->flow_type_rss_offloads = li.flow_type_rss_offloads;
	info->rx_desc_lim = li.rx_desc_lim;
	info->tx_desc_lim = li.tx_desc_lim;
	info->speed_capa = li.speed_capa;
	info->default_rxportconf = li.default_rxportconf;
	info->default_txportconf = li.default_txportconf;
	return 0;
}

static int link_update(struct rte_eth_dev *eth, int wait)
{
	const struct impair *dev = self(eth);
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_100G, .link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_status = dev->started ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN,
	};

	RTE_SET_USED(wait);
	if (!dev->lower.is_ring && rte_eth_link_get_nowait(dev->lower.port_id, &link) < 0)
		return -ENODEV;
	return rte_eth_linkstatus_set(eth, &link);
}

static int stats_get(struct rte_eth_dev *eth, struct rte_eth_stats *st)
{
	struct impair *dev = self(eth);
	struct phca_impair_counters rx, tx;
	struct rte_eth_stats ls = {0};

	pthread_mutex_lock(&impair_lock);
	for (uint16_t q = 0; q < RTE_ETHDEV_QUEUE_STAT_CNTRS; q++) {
		impair_count(dev, PHCA_IMPAIR_RX, q, &rx);
		impair_count(dev, PHCA_IMPAIR_TX, q, &tx);
		st->q_ipackets[q] = rx.out;
		st->q_ibytes[q] = rx.out_bytes;
		st->q_opackets[q] = tx.out;
		st->q_obytes[q] = tx.out_bytes;
	}
	impair_count(dev, PHCA_IMPAIR_RX, -1, &rx);
	impair_count(dev, PHCA_IMPAIR_TX, -1, &tx);
	pthread_mutex_unlock(&impair_lock);
	st->ipackets = rx.out;
	st->ibytes = rx.out_bytes;
	st->opackets = tx.out;
	st->obytes = tx.out_bytes;
	if (!dev->lower.is_ring && rte_eth_stats_get(dev->lower.port_id, &ls) == 0) {
		st->imissed = ls.imissed;
		st->ierrors = ls.ierrors;
		st->oerrors = ls.oerrors;
		eth->data->rx_mbuf_alloc_failed = ls.rx_nombuf;
	}
	return 0;
}

static int stats_reset(struct rte_eth_dev *eth)
{
	struct impair *dev = self(eth);

	pthread_mutex_lock(&impair_lock);
	impair_reset(dev);
	pthread_mutex_unlock(&impair_lock);
	return dev->lower.is_ring ? 0 : rte_eth_stats_reset(dev->lower.port_id);
}

static int xstats_get_names(struct rte_eth_dev *eth, struct rte_eth_xstat_name *names, unsigned int n)
{
	static const char *const dirs[] = { "rx", "tx" };

	RTE_SET_USED(eth);
	if (names == NULL || n < PHCA_IMPAIR_DIRS * IMPAIR_NB_COUNTERS)
		return PHCA_IMPAIR_DIRS * IMPAIR_NB_COUNTERS;
	for (unsigned int i = 0; i < PHCA_IMPAIR_DIRS * IMPAIR_NB_COUNTERS; i++)
		snprintf(names[i].name, sizeof(names[i].name), "%s_impair_%s", dirs[i / IMPAIR_NB_COUNTERS],
			impair_counter_names[i % IMPAIR_NB_COUNTERS]);
	return PHCA_IMPAIR_DIRS * IMPAIR_NB_COUNTERS;
}

static int xstats_get(struct rte_eth_dev *eth, struct rte_eth_xstat *stats, unsigned int n)
{
	struct phca_impair_counters st;

	if (stats == NULL || n < PHCA_IMPAIR_DIRS * IMPAIR_NB_COUNTERS)
		return PHCA_IMPAIR_DIRS * IMPAIR_NB_COUNTERS;
	pthread_mutex_lock(&impair_lock);
	for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		impair_count(self(eth), (enum phca_impair_dir)dir, -1, &st);
		for (unsigned int i = 0; i < IMPAIR_NB_COUNTERS; i++) {
			stats[dir * IMPAIR_NB_COUNTERS + i].id = dir * IMPAIR_NB_COUNTERS + i;
			stats[dir * IMPAIR_NB_COUNTERS + i].value = ((const uint64_t *)&st)[i];
		}
	}
	pthread_mutex_unlock(&impair_lock);
	return PHCA_IMPAIR_DIRS * IMPAIR_NB_COUNTERS;
}

/* What is the lower port's: asked of it, as it answers. Rings agree to all. */
#define ASK_LOWER(eth, call) (self(eth)->lower.is_ring ? 0 : (call))
#define LOWER_ID(eth) (self(eth)->lower.port_id)

static int promiscuous_enable(struct rte_eth_dev *eth)
{
	return ASK_LOWER(eth, rte_eth_promiscuous_enable(LOWER_ID(eth)));
}

static int promiscuous_disable(struct rte_eth_dev *eth)
{
	return ASK_LOWER(eth, rte_eth_promiscuous_disable(LOWER_ID(eth)));
}

static int allmulticast_enable(struct rte_eth_dev *eth)
{
	return ASK_LOWER(eth, rte_eth_allmulticast_enable(LOWER_ID(eth)));
}

static int allmulticast_disable(struct rte_eth_dev *eth)
{
	return ASK_LOWER(eth, rte_eth_allmulticast_disable(LOWER_ID(eth)));
}

static int mtu_set(struct rte_eth_dev *eth, uint16_t mtu)
{
	return ASK_LOWER(eth, rte_eth_dev_set_mtu(LOWER_ID(eth), mtu));
}

static int mac_addr_set(struct rte_eth_dev *eth, struct rte_ether_addr *mac)
{
	return ASK_LOWER(eth, rte_eth_dev_default_mac_addr_set(LOWER_ID(eth), mac));
}

static int set_mc_addr_list(struct rte_eth_dev *eth, struct rte_ether_addr *list, uint32_t nb)
{
	return ASK_LOWER(eth, rte_eth_dev_set_mc_addr_list(LOWER_ID(eth), list, nb));
}

static int reta_update(struct rte_eth_dev *eth, struct rte_eth_rss_reta_entry64 *reta, uint16_t size)
{
	return ASK_LOWER(eth, rte_eth_dev_rss_reta_update(LOWER_ID(eth), reta, size));
}

static int reta_query(struct rte_eth_dev *eth, struct rte_eth_rss_reta_entry64 *reta, uint16_t size)
{
	return ASK_LOWER(eth, rte_eth_dev_rss_reta_query(LOWER_ID(eth), reta, size));
}

static int rss_hash_update(struct rte_eth_dev *eth, struct rte_eth_rss_conf *conf)
{
	return ASK_LOWER(eth, rte_eth_dev_rss_hash_update(LOWER_ID(eth), conf));
}

static int rss_hash_conf_get(struct rte_eth_dev *eth, struct rte_eth_rss_conf *conf)
{
	return ASK_LOWER(eth, rte_eth_dev_rss_hash_conf_get(LOWER_ID(eth), conf));
}

static const struct eth_dev_ops impair_ops = {
	.dev_configure = dev_configure,
	.dev_start = dev_start,
	.dev_stop = dev_stop,
	.dev_close = dev_close,
	.dev_infos_get = dev_infos_get,
	.rx_queue_setup = rx_queue_setup,
	.tx_queue_setup = tx_queue_setup,
	.rx_queue_release = rx_queue_release,
	.tx_queue_release = tx_queue_release,
	.link_update = link_update,
	.stats_get = stats_get,
	.stats_reset = stats_reset,
	.xstats_get = xstats_get,
	.xstats_get_names = xstats_get_names,
	.xstats_reset = stats_reset,
	.promiscuous_enable = promiscuous_enable,
	.promiscuous_disable = promiscuous_disable,
	.allmulticast_enable = allmulticast_enable,
	.allmulticast_disable = allmulticast_disable,
	.mtu_set = mtu_set,
	.mac_addr_set = mac_addr_set,
	.set_mc_addr_list = set_mc_addr_list,
	.reta_update = reta_update,
	.reta_query = reta_query,
	.rss_hash_update = rss_hash_update,
	.rss_hash_conf_get = rss_hash_conf_get,
};

/* The lower port's address; of rings one that belongs to the device's name. */
static int set_mac(struct rte_eth_dev *eth, const char *name)
{
	struct impair *dev = self(eth);
	struct rte_ether_addr *mac = rte_zmalloc("impair_mac", sizeof(*mac), 0);
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	eth->data->mac_addrs = mac;
	if (mac == NULL)
		return -ENOMEM;
	if (!dev->lower.is_ring)
		return rte_eth_macaddr_get(dev->lower.port_id, mac);
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	memcpy(mac->addr_bytes, &h, RTE_ETHER_ADDR_LEN);
	mac->addr_bytes[0] = (mac->addr_bytes[0] & ~RTE_ETHER_GROUP_ADDR) | RTE_ETHER_LOCAL_ADMIN_ADDR;
	return 0;
}

static int create(struct rte_vdev_device *vdev, const struct impair_args *args, const char *name)
{
	struct rte_eth_dev *eth = rte_eth_vdev_allocate(vdev, sizeof(struct impair));
	char err[PHCA_IMPAIR_ERR_MAX];
	struct impair *dev;
	int rc;

	if (eth == NULL) {
		IMPAIR_LOG(ERR, "%s: no ethdev or memory for it; is there one of that name?\n", name);
		return -ENOMEM;
	}
	dev = self(eth);
	dev->port_id = eth->data->port_id;
	dev->seed = args->seed;
	dev->hold = args->hold;
	dev->rules = args->rules;
	memcpy(dev->dir, args->dir, sizeof(dev->dir));
	dev->ns_per_cycle = 1e9 / (double)rte_get_tsc_hz();
	rc = lower_open(dev, args, name, err, sizeof(err));
	if (rc < 0) {
		IMPAIR_LOG(ERR, "%s\n", err);
		rte_eth_dev_release_port(eth);
		return rc;
	}
	rc = set_mac(eth, name);
	if (rc < 0) {
		IMPAIR_LOG(ERR, "%s: no MAC address: %s\n", name, rte_strerror(-rc));
		lower_close(&dev->lower);
		rte_eth_dev_release_port(eth);
		return rc;
	}
	eth->dev_ops = &impair_ops;
	eth->rx_pkt_burst = lane_rx_burst;
	eth->tx_pkt_burst = lane_tx_burst;
	eth->data->promiscuous = 0;
	impair_link(dev);
	rte_eth_dev_probing_finish(eth);
	return 0;
}

static int probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	struct impair_args *args;
	char err[PHCA_IMPAIR_ERR_MAX];
	int rc;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		IMPAIR_LOG(ERR, "%s: only the primary process has it\n", name);
		return -ENOTSUP;
	}
	args = malloc(sizeof(*args));
	if (args == NULL)
		return -ENOMEM;
	rc = args_parse(name, rte_vdev_device_args(vdev), args, err, sizeof(err));
	if (rc < 0)
		IMPAIR_LOG(ERR, "%s\n", err);
	pthread_mutex_lock(&impair_lock);
	if (rc == 0)
		rc = create(vdev, args, name);
	pthread_mutex_unlock(&impair_lock);
	free(args);
	return rc;
}

static int remove_dev(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *eth = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (eth == NULL)
		return 0; /* closed before */
	if (eth->data->dev_started)
		(void)rte_eth_dev_stop(eth->data->port_id);
	return rte_eth_dev_close(eth->data->port_id);
}

static struct rte_vdev_driver impair_driver = { .probe = probe, .remove = remove_dev };

RTE_PMD_REGISTER_VDEV(net_impair, impair_driver);
RTE_PMD_REGISTER_PARAM_STRING(net_impair,
	"lower=<device> rx_ring=<name> tx_ring=<name> ring_size=<n> seed=<n> hold=<n> dir=rx|tx|both "
	"script=<file> rule=<rule>");
