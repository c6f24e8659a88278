/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stands between lib/net and the device (the linker's --wrap), because no driver
 * that runs everywhere refuses, or takes, what real ones do. It keeps: a call
 * that no test speaks about goes to the device.
 */
#include <errno.h>
#include <string.h>

#include "fake_dev.h"

struct fake_dev fake_dev;

int __real_rte_eth_dev_configure(uint16_t port, uint16_t nb_rx, uint16_t nb_tx,
		const struct rte_eth_conf *conf);
int __wrap_rte_eth_dev_configure(uint16_t port, uint16_t nb_rx, uint16_t nb_tx,
		const struct rte_eth_conf *conf);
int __real_rte_eth_dev_set_mc_addr_list(uint16_t port, struct rte_ether_addr *macs, uint32_t n);
int __wrap_rte_eth_dev_set_mc_addr_list(uint16_t port, struct rte_ether_addr *macs, uint32_t n);
int __real_rte_eth_allmulticast_enable(uint16_t port);
int __wrap_rte_eth_allmulticast_enable(uint16_t port);
int __real_rte_eth_promiscuous_enable(uint16_t port);
int __wrap_rte_eth_promiscuous_enable(uint16_t port);
int __real_rte_eth_link_get_nowait(uint16_t port, struct rte_eth_link *link);
int __wrap_rte_eth_link_get_nowait(uint16_t port, struct rte_eth_link *link);

int __wrap_rte_eth_dev_configure(uint16_t port, uint16_t nb_rx, uint16_t nb_tx,
		const struct rte_eth_conf *conf)
{
	fake_dev.nb_configure++;
	fake_dev.conf = *conf;
	if (fake_dev.queues_max != 0 && (nb_rx > fake_dev.queues_max || nb_tx > fake_dev.queues_max))
		return -EINVAL;
	return __real_rte_eth_dev_configure(port, nb_rx, nb_tx, conf);
}

int __wrap_rte_eth_dev_set_mc_addr_list(uint16_t port, struct rte_ether_addr *macs, uint32_t n)
{
	if (fake_dev.macs_max == 0)
		return __real_rte_eth_dev_set_mc_addr_list(port, macs, n);
	if (n > fake_dev.macs_max)
		return -ENOSPC;
	fake_dev.nb_macs = n;
	memcpy(fake_dev.macs, macs, n * sizeof(*macs));
	return 0;
}

int __wrap_rte_eth_allmulticast_enable(uint16_t port)
{
	fake_dev.nb_allmulticast++;
	if (fake_dev.no_modes || fake_dev.no_allmulticast)
		return -ENOTSUP;
	return __real_rte_eth_allmulticast_enable(port);
}

int __wrap_rte_eth_promiscuous_enable(uint16_t port)
{
	fake_dev.nb_promiscuous++;
	return fake_dev.no_modes ? -ENOTSUP : __real_rte_eth_promiscuous_enable(port);
}

int __wrap_rte_eth_link_get_nowait(uint16_t port, struct rte_eth_link *link)
{
	if (fake_dev.no_link)
		return -ENOTSUP;
	if (fake_dev.link == NULL)
		return __real_rte_eth_link_get_nowait(port, link);
	*link = *fake_dev.link;
	return 0;
}
