/* SPDX-License-Identifier: BSD-3-Clause */
/* What a driver answers to the port, where the software drivers have no choice. */
#ifndef FAKE_DEV_H
#define FAKE_DEV_H

#include <stdint.h>

#include <rte_ethdev.h>

struct fake_dev {
	uint16_t queues_max;     /* more queues are refused; 0: the device's own answer */
	unsigned int nb_configure; /* calls so far */
	struct rte_eth_conf conf;  /* of the last one */
};
extern struct fake_dev fake_dev;

#endif
