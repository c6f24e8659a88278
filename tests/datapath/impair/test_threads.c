/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads: one sends, one receives on the queue of the same number (and so moves
 * what is held on transmit), control replaces rules and reads counters. Made for
 * ThreadSanitizer, so all of it is code that it sees: the device is on a ring of
 * its own, and buffers come from before the threads and are freed after them.
 */
#include <pthread.h>
#include <stdlib.h>

#include <rte_bus_vdev.h>

#include "rig.h"

#define PACKETS 6000u

struct worker {
	uint16_t port;
	pthread_t thread;
	struct rte_mbuf *m[PACKETS];
	unsigned int done;
};

/* Send all; what is not accepted is offered again. */
static void *sender(void *arg)
{
	struct worker *w = arg;

	while (w->done < PACKETS)
		w->done += rte_eth_tx_burst(w->port, 0, w->m + w->done, (uint16_t)RTE_MIN(8u, PACKETS - w->done));
	return NULL;
}

static void *receiver(void *arg)
{
	struct worker *w = arg;

	while (w->done < PACKETS)
		w->done += rte_eth_rx_burst(w->port, 0, w->m + w->done, (uint16_t)RTE_MIN(32u, PACKETS - w->done));
	return NULL;
}

static uint64_t running(void *arg)
{
	return __atomic_add_fetch((uint64_t *)arg, 100, __ATOMIC_RELAXED);
}

static bool balanced(uint16_t port, enum phca_impair_dir dir)
{
	struct phca_impair_counters c;

	return phca_impair_stats_get(port, dir, &c) == 0 && c.in == c.out + c.held && c.dropped == 0;
}

PHCA_TEST(threads, send_receive_and_control)
{
	static const char *const rules[] = {
		"delay time=1us p=0.5; reorder p=0.1 by=3 timeout=2us; corrupt p=0.1; ecn",
		"drop qpn=2; delay time=500ns jitter=500ns xmit=1; rate bps=100G", "none",
	};
	static struct worker tx, rx;
	struct phca_impair_rule_info info;
	uint64_t clock = 0;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "")); /* for its packets */
	tx.port = rx.port = rig_ring_port("net_impair_loop", "rx_ring=loop,tx_ring=loop", r.pool);
	CU_ASSERT_EQUAL(phca_impair_clock_set(tx.port, running, &clock), 0);
	tx.done = rx.done = 0;
	for (unsigned int i = 0; i < PACKETS; i++)
		tx.m[i] = rig_send_only(&r, 1, i);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&tx.thread, NULL, sender, &tx), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&rx.thread, NULL, receiver, &rx), 0);
	for (unsigned int i = 0; i < 300; i++) {
		char err[PHCA_IMPAIR_ERR_MAX];

		CU_ASSERT_EQUAL(phca_impair_rules_set(tx.port, rules[i % RTE_DIM(rules)], err, sizeof(err)), 0);
		CU_ASSERT(balanced(tx.port, TX));
		CU_ASSERT(balanced(tx.port, RX));
		(void)phca_impair_rule_get(tx.port, 0, &info);
		(void)phca_impair_next_ns(tx.port);
	}
	pthread_join(tx.thread, NULL);
	pthread_join(rx.thread, NULL);
	CU_ASSERT_EQUAL(tx.done, PACKETS);
	CU_ASSERT_EQUAL(rx.done, PACKETS);
	rte_pktmbuf_free_bulk(rx.m, PACKETS);
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_impair_loop"), 0);
	rig_close(&r);
}
