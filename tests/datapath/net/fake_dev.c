/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stands between lib/net and the device (the linker's --wrap), because no driver
 * that runs everywhere refuses, or takes, what real ones do. It keeps: a call
 * that no test speaks about goes to the device.
 */
#include <errno.h>

#include "fake_dev.h"

struct fake_dev fake_dev;

int __real_rte_eth_dev_configure(uint16_t port, uint16_t nb_rx, uint16_t nb_tx,
		const struct rte_eth_conf *conf);
int __wrap_rte_eth_dev_configure(uint16_t port, uint16_t nb_rx, uint16_t nb_tx,
		const struct rte_eth_conf *conf);
int __wrap_rte_eth_dev_configure(uint16_t port, uint16_t nb_rx, uint16_t nb_tx,
		const struct rte_eth_conf *conf)
{
	fake_dev.nb_configure++;
	fake_dev.conf = *conf;
	if (fake_dev.queues_max != 0 && (nb_rx > fake_dev.queues_max || nb_tx > fake_dev.queues_max))
		return -EINVAL;
	return __real_rte_eth_dev_configure(port, nb_rx, nb_tx, conf);
}
