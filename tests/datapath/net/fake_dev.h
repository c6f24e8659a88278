/* SPDX-License-Identifier: BSD-3-Clause */
/* What a driver answers to the port, where the software drivers have no choice. */
#ifndef FAKE_DEV_H
#define FAKE_DEV_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>

/* All zeros: the device's own answers. */
struct fake_dev {
	uint16_t queues_max;        /* more queues are refused; 0: the device's own answer */
	bool no_modes;              /* no promiscuous mode and no allmulticast */
	bool no_allmulticast;
	unsigned int macs_max;      /* multicast MAC addresses it filters by; 0: the device's own answer */
	const struct rte_eth_link *link; /* what link_get_nowait says; NULL: the device's own answer */
	bool no_link;               /* link_get_nowait is refused */

	/* what was asked of it */
	unsigned int nb_configure, nb_allmulticast, nb_promiscuous, nb_macs;
	struct rte_eth_conf conf;
	struct rte_ether_addr macs[512];
};
extern struct fake_dev fake_dev;

#endif
