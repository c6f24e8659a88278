/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is below a net_impair: an ethdev that it owns from then on and closes, or
 * two rings. Rings that do not exist are made, so that two devices can name each
 * other's; who makes the last use of a ring that was made here frees it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_errno.h>

#include <ethdev_driver.h>

#include "impair_impl.h"

/* A ring in use: how often, and whether it was made here. */
struct ring_use {
	struct rte_ring *ring;
	unsigned int count;
	bool made;
	struct ring_use *next;
};
static struct ring_use *ring_uses; /* under impair_lock */

static struct rte_ring *ring_get(const char *name, uint32_t size)
{
	struct rte_ring *r = rte_ring_lookup(name);
	struct ring_use *u;

	for (u = ring_uses; u != NULL; u = u->next) {
		if (r == NULL || u->ring != r)
			continue;
		u->count++;
		return r;
	}
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return NULL;
	u->made = r == NULL;
	u->ring = r != NULL ? r : rte_ring_create(name, size, SOCKET_ID_ANY,
		RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	if (u->ring == NULL) {
		free(u);
		return NULL;
	}
	u->count = 1;
	u->next = ring_uses;
	ring_uses = u;
	return u->ring;
}

static void ring_put(struct rte_ring *r)
{
	for (struct ring_use **at = &ring_uses; *at != NULL; at = &(*at)->next) {
		struct ring_use *u = *at;
		void *m;

		if (u->ring != r)
			continue;
		if (--u->count > 0)
			return;
		while (u->made && rte_ring_dequeue(r, &m) == 0)
			rte_pktmbuf_free(m);
		if (u->made)
			rte_ring_free(r);
		*at = u->next;
		free(u);
		return;
	}
}

/* The lower port goes before this one does: at the end of the program, or by hotplug. */
static int lower_destroyed(uint16_t port_id, enum rte_eth_event_type event, void *arg, void *ret)
{
	struct lower *low = arg;

	RTE_SET_USED(event);
	RTE_SET_USED(ret);
	if (low->port_id == port_id)
		low->gone = true;
	return 0;
}

static int open_rings(struct lower *low, const struct impair_args *a, const char *name, char *err,
		size_t err_len)
{
	low->is_ring = true;
	for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		rte_errno = 0;
		low->ring[dir] = ring_get(a->ring[dir], a->ring_size);
		if (low->ring[dir] != NULL)
			continue;
		snprintf(err, err_len, "%s: ring '%s' of %u places: not made: %s", name, a->ring[dir],
			a->ring_size, rte_strerror(rte_errno ? rte_errno : ENOMEM));
		lower_close(low);
		return -ENOMEM;
	}
	return 0;
}

static int find_port(const char *text, uint16_t *port_id)
{
	unsigned long id;
	char *end;

	if (rte_eth_dev_get_port_by_name(text, port_id) == 0)
		return 0;
	errno = 0;
	id = strtoul(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || id >= RTE_MAX_ETHPORTS ||
			!rte_eth_dev_is_valid_port((uint16_t)id))
		return -ENODEV;
	*port_id = (uint16_t)id;
	return 0;
}

int lower_open(struct impair *dev, const struct impair_args *a, const char *name, char *err, size_t err_len)
{
	struct lower *low = &dev->lower;
	int rc;

	if (a->lower[0] == '\0')
		return open_rings(low, a, name, err, err_len);
	if (find_port(a->lower, &low->port_id) < 0) {
		snprintf(err, err_len, "%s: lower: there is no ethdev '%s'; give EAL its --vdev or -a, a "
			"--vdev before that of %s", name, a->lower, name);
		return -ENODEV;
	}
	rte_eth_dev_get_name_by_port(low->port_id, low->name);
	rc = rte_eth_dev_owner_new(&low->owner.id);
	if (rc == 0) {
		snprintf(low->owner.name, sizeof(low->owner.name), "%s", name);
		rc = rte_eth_dev_owner_set(low->port_id, &low->owner);
	}
	if (rc == 0) {
		rc = rte_eth_dev_callback_register(low->port_id, RTE_ETH_EVENT_DESTROY, lower_destroyed, low);
		if (rc < 0)
			(void)rte_eth_dev_owner_unset(low->port_id, low->owner.id);
	}
	if (rc < 0)
		snprintf(err, err_len, "%s: lower: %s cannot be taken, perhaps it is another device's: %s",
			name, low->name, rte_strerror(-rc));
	return rc;
}

void lower_stop(struct lower *low)
{
	if (!low->is_ring && !low->gone && rte_eth_devices[low->port_id].data->dev_started)
		(void)rte_eth_dev_stop(low->port_id);
}

void lower_close(struct lower *low)
{
	if (low->is_ring) {
		for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++)
			if (low->ring[dir] != NULL)
				ring_put(low->ring[dir]);
		return;
	}
	if (low->gone)
		return;
	(void)rte_eth_dev_callback_unregister(low->port_id, RTE_ETH_EVENT_DESTROY, lower_destroyed, low);
	(void)rte_eth_dev_owner_unset(low->port_id, low->owner.id);
	lower_stop(low);
	(void)rte_eth_dev_close(low->port_id);
}

uint16_t lower_rx(struct lower *low, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	if (low->is_ring)
		return (uint16_t)rte_ring_dequeue_burst(low->ring[PHCA_IMPAIR_RX], (void **)m, n, NULL);
	return rte_eth_rx_burst(low->port_id, queue, m, n);
}

uint16_t lower_tx(struct lower *low, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	if (low->is_ring)
		return (uint16_t)rte_ring_enqueue_burst(low->ring[PHCA_IMPAIR_TX], (void **)m, n, NULL);
	return rte_eth_tx_burst(low->port_id, queue, m, n);
}
