/* SPDX-License-Identifier: BSD-3-Clause */
/* Several queues: how many a port gets of a device, that each works, how packets are spread. */
#include <errno.h>
#include <stdio.h>

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "fake_dev.h"
#include "net_lab.h"

#define RX_RINGS 3
#define TX_RINGS 2

static struct rte_ring *rx_rings[RX_RINGS], *tx_rings[TX_RINGS];

static struct rte_ring *ring(const char *kind, unsigned int i)
{
	char name[RTE_RING_NAMESIZE];
	struct rte_ring *r;

	snprintf(name, sizeof(name), "net_q_%s%u", kind, i);
	r = rte_ring_create(name, 64, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	CU_ASSERT_FATAL(r != NULL);
	return r;
}

/* A device of 3 receive and 2 transmit queues. */
static uint16_t rings_device(void)
{
	static int port = -1;

	if (port >= 0)
		return (uint16_t)port;
	for (unsigned int i = 0; i < RX_RINGS; i++)
		rx_rings[i] = ring("rx", i);
	for (unsigned int i = 0; i < TX_RINGS; i++)
		tx_rings[i] = ring("tx", i);
	port = rte_eth_from_rings("net_queues", rx_rings, RX_RINGS, tx_rings, TX_RINGS, 0);
	CU_ASSERT_FATAL(port >= 0);
	return (uint16_t)port;
}

static struct phca_net *open_queues(uint16_t port, uint16_t nb)
{
	struct phca_net_conf c;
	struct phca_net *net;
	char err[256] = "";

	lab_conf(&c);
	c.port_id = port;
	c.nb_queues = nb;
	net = phca_net_create(&c, err, sizeof(err));
	if (net == NULL)
		printf("  %s\n", err);
	CU_ASSERT_FATAL(net != NULL);
	return net;
}

static void expect_queues(uint16_t port, uint16_t want, uint16_t rx, uint16_t tx)
{
	struct phca_net *net = open_queues(port, want);
	struct rte_eth_dev_info info;

	CU_ASSERT_EQUAL(phca_net_nb_rxq(net), rx);
	CU_ASSERT_EQUAL(phca_net_nb_txq(net), tx);
	CU_ASSERT_EQUAL(rte_eth_dev_info_get(port, &info), 0);
	CU_ASSERT_EQUAL(info.nb_rx_queues, rx);
	CU_ASSERT_EQUAL(info.nb_tx_queues, tx);
	phca_net_destroy(net);
}

PHCA_TEST(queues, as_many_as_wanted_and_as_the_device_has)
{
	uint16_t port = rings_device();

	expect_queues(port, 0, 1, 1);
	expect_queues(port, 1, 1, 1);
	expect_queues(port, 2, 2, 2);
	expect_queues(port, 3, 3, 2);
	expect_queues(port, PHCA_NET_QUEUE_MAX, 3, 2);
}

PHCA_TEST(queues, more_than_the_maximum_is_refused)
{
	struct phca_net_conf c;
	char err[256] = "";

	lab_conf(&c);
	c.nb_queues = PHCA_NET_QUEUE_MAX + 1;
	rte_errno = 0;
	CU_ASSERT_PTR_NULL(phca_net_create(&c, err, sizeof(err)));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "17 queues: must be 1..16"));
}

PHCA_TEST(queues, each_receives_and_sends)
{
	uint16_t port = rings_device();
	struct phca_net *net = open_queues(port, PHCA_NET_QUEUE_MAX);
	struct phca_net_conf c;
	struct rte_mbuf *m, *got;
	void *out;

	lab_conf(&c);
	CU_ASSERT_EQUAL_FATAL(phca_net_start(net), 0);
	for (uint16_t q = 0; q < phca_net_nb_rxq(net); q++) {
		m = rte_pktmbuf_alloc(c.pool);
		CU_ASSERT_FATAL(m != NULL && rte_ring_enqueue(rx_rings[q], m) == 0);
		CU_ASSERT_EQUAL(rte_eth_rx_burst(port, q, &got, 1), 1);
		CU_ASSERT_PTR_EQUAL(got, m);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(port, q % phca_net_nb_txq(net), &m, 1), 1);
		CU_ASSERT_EQUAL(rte_ring_dequeue(tx_rings[q % phca_net_nb_txq(net)], &out), 0);
		CU_ASSERT_PTR_EQUAL(out, m);
		rte_pktmbuf_free(m);
	}
	phca_net_destroy(net);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(c.pool), 0);
}

/* How the device was told to spread what it receives. */
static uint64_t spread(uint16_t port, uint16_t nb)
{
	struct phca_net *net = open_queues(port, nb);
	const struct rte_eth_conf *conf = &fake_dev.conf;
	uint64_t flows;

	flows = conf->rxmode.mq_mode == RTE_ETH_MQ_RX_RSS ? conf->rx_adv_conf.rss_conf.rss_hf : 0;
	CU_ASSERT_EQUAL(conf->rxmode.mq_mode == RTE_ETH_MQ_RX_NONE, flows == 0);
	CU_ASSERT_EQUAL(phca_net_start(net), 0);
	phca_net_destroy(net);
	return flows;
}

PHCA_TEST(queues, packets_are_spread_by_addresses_and_udp_ports)
{
	const uint64_t need = RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP |
		RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6;
	struct rte_eth_dev_info info;
	uint64_t flows;
	uint16_t port;

	CU_ASSERT_EQUAL_FATAL(rte_vdev_init("net_null7", ""), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name("net_null7", &port), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_info_get(port, &info), 0);
	CU_ASSERT_EQUAL_FATAL(info.flow_type_rss_offloads & need, need);
	flows = spread(port, 4);
	CU_ASSERT_EQUAL(flows & need, need);
	CU_ASSERT_EQUAL(flows & (RTE_ETH_RSS_TCP | RTE_ETH_RSS_SCTP), 0);
	CU_ASSERT_EQUAL(spread(port, 1), 0);          /* nothing to spread over */
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_null7"), 0);
	CU_ASSERT_EQUAL(spread(rings_device(), 3), 0); /* driver cannot */
}

PHCA_TEST(queues, a_device_that_refuses_several_gives_one)
{
	uint16_t port = rings_device();

	fake_dev = (struct fake_dev){ .queues_max = 1 };
	expect_queues(port, 3, 1, 1);
	CU_ASSERT_EQUAL(fake_dev.nb_configure, 2);
	fake_dev = (struct fake_dev){0};
}
