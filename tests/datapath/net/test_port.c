/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports: configuration that is refused and why, addresses, what is ours. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "fake_dev.h"
#include "net_lab.h"

static void refuse(const struct phca_net_conf *c, int error, const char *says)
{
	char err[256] = "";

	rte_errno = 0;
	CU_ASSERT_PTR_NULL(phca_net_create(c, err, sizeof(err)));
	CU_ASSERT_EQUAL(rte_errno, error);
	if (strstr(err, says) == NULL || strncmp(err, "port ", 5) != 0) {
		printf("  \"%s\" does not say \"%s\"\n", err, says);
		CU_FAIL("error text");
	}
}

PHCA_TEST(port, bad_configurations_are_refused_with_their_reason)
{
	struct phca_net_conf good, c;
	struct phca_net_addr a[3];
	struct phca_net_neigh nb = { .gid = {0} };

	lab_conf(&good);
#define WITH(field, val) (c = good, c.field = (val), &c)
	refuse(WITH(port_id, 31), ENODEV, "port 31: no such ethdev");
	refuse(WITH(mtu, 1000), EINVAL, "mtu 1000");
	refuse(WITH(mtu, 128), EINVAL, "mtu 128");
	refuse(WITH(mtu, 8192), EINVAL, "mtu 8192");
	c = good;
	c.vlan = true;
	c.vlan_id = 4095;
	refuse(&c, EINVAL, "VLAN 4095");
	refuse(WITH(pool, NULL), EINVAL, "no mempool");
	refuse(WITH(nb_addrs, 0), EINVAL, "0 addresses");
	refuse(WITH(nb_addrs, 16), EINVAL, "16 addresses");
	refuse(WITH(mac[0], 1), EINVAL, "MAC address 01:70");
	memcpy(a, good.addrs, 2 * sizeof(a[0]));
	c = good;
	c.addrs = a;
	a[1] = a[0];
	refuse(&c, EEXIST, "10.0.0.1/24: is there twice");
	a[0].prefix_len = 33;
	refuse(&c, EINVAL, "10.0.0.1/33");
	a[0].prefix_len = 24;
	a[0].ip6 = true;
	refuse(&c, EINVAL, "10.0.0.1");
	a[0].ip6 = false;
	a[0].gid[12] = 239;
	refuse(&c, EINVAL, "239.0.0.1");
	c = good;
	memcpy(c.gw4, lab_gid6(1), 16);
	refuse(&c, EINVAL, "gateway");
	c = good;
	c.neighs = &nb;
	c.nb_neighs = 1;
	memcpy(nb.gid, lab_gid4(0, 0, 9), 16);
	refuse(&c, EINVAL, "neighbour 10.0.0.9");
	phca_net_destroy(NULL);
}

PHCA_TEST(port, addresses_in_order_with_the_link_local_one_first)
{
	static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 }, everywhere[16] = { 0xff, 0x0e, [15] = 9 };
	struct net_lab *l = lab_open(NULL);
	uint16_t vid = 99;

	CU_ASSERT_EQUAL(phca_net_nb_gids(l->net), 3);
	CU_ASSERT_EQUAL(memcmp(phca_net_gid(l->net, 0), lab_local, 16), 0);
	CU_ASSERT_EQUAL(memcmp(phca_net_gid(l->net, 1), lab_gid4(0, 0, 1), 16), 0);
	CU_ASSERT_EQUAL(memcmp(phca_net_gid(l->net, 2), lab_ip6, 16), 0);
	CU_ASSERT_PTR_NULL(phca_net_gid(l->net, 3));
	CU_ASSERT_EQUAL(phca_net_gid_find(l->net, lab_ip6), 2);
	CU_ASSERT_EQUAL(phca_net_gid_for(l->net, lab_peer6), 2);
	CU_ASSERT_EQUAL(phca_net_gid_for(l->net, phca_net_gid(l->net, 0)), 0);
	CU_ASSERT_EQUAL(phca_net_gid_for(l->net, lab_gid4(0, 0, 9)), 1);
	CU_ASSERT_EQUAL(phca_net_gid_for(l->net, all_nodes), 0); /* link-local scope */
	CU_ASSERT_EQUAL(phca_net_gid_for(l->net, everywhere), 2);
	CU_ASSERT_EQUAL(phca_net_gid_find(l->net, lab_peer6), -ENOENT);
	CU_ASSERT_EQUAL(memcmp(phca_net_mac(l->net), lab_mac, 6), 0);
	CU_ASSERT_EQUAL(phca_net_mtu(l->net), 1024);
	CU_ASSERT_TRUE(rte_eth_dev_is_valid_port(phca_net_port_id(l->net)));
	CU_ASSERT_FALSE(phca_net_vlan(l->net, &vid));
	CU_ASSERT_EQUAL(vid, 99);
	lab_close(l);
	l = lab_open(&(struct net_lab_opts){ .vlan = true });
	CU_ASSERT_TRUE(phca_net_vlan(l->net, &vid));
	CU_ASSERT_EQUAL(vid, 7);
	lab_close(l);
}

PHCA_TEST(port, gid_texts)
{
	static const char *const good[] = { "10.0.0.1", "255.255.255.255", "2001:db8::1", "fe80::1", "::" };
	static const char *const bad[] = { "", "10.0.0", "10.0.0.256", "2001:db8::1/64", "x", "1.2.3.4 " };
	char text[46];
	uint8_t gid[16];
	bool ip6;

	for (unsigned int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(phca_gid_parse(good[i], gid, &ip6), 0);
		CU_ASSERT_EQUAL(ip6, i >= 2);
		CU_ASSERT_STRING_EQUAL(phca_gid_str(gid, text), good[i]);
	}
	for (unsigned int i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(phca_gid_parse(bad[i], gid, &ip6), -EINVAL);
	CU_ASSERT_EQUAL(phca_gid_parse("::ffff:10.0.0.1", gid, &ip6), 0);
	CU_ASSERT_FALSE(ip6);
	CU_ASSERT_STRING_EQUAL(phca_gid_str(gid, text), "10.0.0.1");
}

/* A RoCEv2 frame to dmac, dgid: is it ours? */
static bool ours(struct net_lab *l, const uint8_t *dmac, const uint8_t *dgid, int vid)
{
	struct phca_wire_hdr h = { .opcode = PHCA_UD_SEND_ONLY, .dqpn = 1, .hop_limit = 64,
		.udp_sport = 0xc000, .vlan = vid >= 0, .vlan_tci = (uint16_t)(vid & 0xffff) };
	struct phca_pkt pkt;
	uint8_t f[256];
	uint32_t n;

	memcpy(h.dmac, dmac, 6);
	memcpy(h.smac, lab_peer_mac, 6);
	memcpy(h.dgid, dgid, 16);
	memcpy(h.sgid, dgid, 16);
	h.ip6 = dgid[0] != 0;
	phca_wire_build(f, &h, 0);
	n = phca_wire_finish(f, &h, 0);
	CU_ASSERT_EQUAL_FATAL(phca_wire_parse(f, n, PHCA_PARSE_ICRC, &pkt), PHCA_V_OK);
	return phca_net_is_ours(l->net, f, &pkt);
}

PHCA_TEST(port, what_is_ours)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t group6[16] = { 0xff, 0x0e, [15] = 9 };
	static const uint8_t group4[16] = { [10] = 0xff, [11] = 0xff, 239, 0, 0, 1 };
	struct net_lab *l = lab_open(NULL);

	CU_ASSERT_TRUE(ours(l, lab_mac, lab_gid4(0, 0, 1), -1));
	CU_ASSERT_TRUE(ours(l, lab_mac, lab_ip6, -1));
	CU_ASSERT_TRUE(ours(l, lab_mac, lab_local, -1));
	CU_ASSERT_TRUE(ours(l, all, lab_gid4(0, 0, 1), -1));
	CU_ASSERT_TRUE(ours(l, all, group6, -1));
	CU_ASSERT_TRUE(ours(l, lab_mac, group4, -1));
	CU_ASSERT_TRUE(ours(l, lab_mac, lab_ip6, 0));      /* priority tag */
	CU_ASSERT_FALSE(ours(l, lab_mac, lab_ip6, 7));
	CU_ASSERT_FALSE(ours(l, lab_peer_mac, lab_ip6, -1));
	CU_ASSERT_FALSE(ours(l, lab_peer_mac, group6, -1));
	CU_ASSERT_FALSE(ours(l, lab_mac, lab_gid4(0, 0, 2), -1));
	CU_ASSERT_FALSE(ours(l, lab_mac, lab_peer6, -1));
	lab_close(l);
	l = lab_open(&(struct net_lab_opts){ .vlan = true, .promisc = true });
	CU_ASSERT_TRUE(ours(l, lab_mac, lab_ip6, 7));
	CU_ASSERT_TRUE(ours(l, lab_mac, lab_ip6, 0xe007));
	CU_ASSERT_TRUE(ours(l, lab_peer_mac, lab_ip6, 7));
	CU_ASSERT_FALSE(ours(l, lab_mac, lab_ip6, -1));
	CU_ASSERT_FALSE(ours(l, lab_mac, lab_ip6, 0));
	CU_ASSERT_FALSE(ours(l, lab_mac, lab_ip6, 8));
	CU_ASSERT_FALSE(ours(l, lab_mac, lab_peer6, 7));
	lab_close(l);
}

/* A pcap without packets; its name is written to path. */
static void empty_pcap(char path[32])
{
	static const uint32_t head[6] = { 0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1 };
	int fd;

	snprintf(path, 32, "/tmp/phca-net-XXXXXX");
	fd = mkstemp(path);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, head, sizeof(head)), sizeof(head));
	close(fd);
}

/*
 * Drivers that need neither hardware nor privileges take a port at the largest MTU.
 * Not net_memif: DPDK 22.11's frees an interrupt handle that EAL's interrupt thread
 * may still look at when a server's port is closed, one run in ten dies of it.
 */
PHCA_TEST(port, software_drivers)
{
	char pcap[32], pcap_args[64], err[256];
	const char *const devs[][2] = {
		{ "net_null0", "" },
		{ "net_pcap0", pcap_args },
	};
	struct phca_net_conf c;

	empty_pcap(pcap);
	snprintf(pcap_args, sizeof(pcap_args), "rx_pcap=%s", pcap);
	for (unsigned int i = 0; i < 2; i++) {
		struct phca_net *net;
		uint16_t port;

		CU_ASSERT_EQUAL_FATAL(rte_vdev_init(devs[i][0], devs[i][1]), 0);
		CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name(devs[i][0], &port), 0);
		lab_conf(&c);
		c.port_id = port;
		c.mtu = 4096;
		c.set_mac = i == 0; /* else the driver's */
		err[0] = '\0';
		net = phca_net_create(&c, err, sizeof(err));
		CU_ASSERT_PTR_NOT_NULL(net);
		CU_ASSERT_STRING_EQUAL(err, "");
		if (net != NULL) {
			CU_ASSERT_EQUAL(phca_net_start(net), 0);
			CU_ASSERT_EQUAL(phca_net_mtu(net), 4096);
			CU_ASSERT_TRUE(phca_net_mac(net)[0] % 2 == 0);
		}
		phca_net_destroy(net);
		CU_ASSERT_EQUAL(rte_vdev_uninit(devs[i][0]), 0);
	}
	unlink(pcap);
}

/* 11.6.3: port active, port error. */
PHCA_TEST(port, link_follows_the_device_while_started)
{
	const struct rte_eth_link up = { .link_status = RTE_ETH_LINK_UP };
	const struct rte_eth_link down = { .link_status = RTE_ETH_LINK_DOWN };
	struct net_lab *l = lab_open(&(struct net_lab_opts){ .no_start = true });

	CU_ASSERT_FALSE(phca_net_link(l->net));
	CU_ASSERT_EQUAL(phca_net_start(l->net), 0);
	CU_ASSERT_TRUE(phca_net_link(l->net)); /* net_ring's own */
	fake_dev.link = &down;
	CU_ASSERT_FALSE(phca_net_link(l->net));
	fake_dev.link = &up;
	CU_ASSERT_TRUE(phca_net_link(l->net));
	phca_net_stop(l->net);
	CU_ASSERT_FALSE(phca_net_link(l->net));
	CU_ASSERT_EQUAL(phca_net_start(l->net), 0);
	fake_dev = (struct fake_dev){ .no_link = true };
	CU_ASSERT_TRUE(phca_net_link(l->net));
	fake_dev = (struct fake_dev){0};
	lab_close(l);
}
