/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports as text: information, statistics, verdicts, neighbours. */
#include <inttypes.h>
#include <string.h>

#include <rte_ethdev.h>

#include "figures.h"
#include "text.h"

#define MAC_FMT "%02X:%02X:%02X:%02X:%02X:%02X"
#define MAC_ARGS(m) (m)[0], (m)[1], (m)[2], (m)[3], (m)[4], (m)[5]

void text_port_info(struct appliance *a, unsigned int i, FILE *out)
{
	const struct phca_net *net = a->ports[i]->net;
	const uint8_t *mac = phca_net_mac(net);
	uint16_t id = phca_net_port_id(net), vlan_id;
	struct rte_eth_dev_info dev;
	struct phca_net_group groups[PHCA_NET_GROUP_MAX];
	unsigned int nb_groups = phca_net_mcast_dump(net, groups, RTE_DIM(groups));
	struct rte_eth_link link;
	char name[RTE_ETH_NAME_MAX_LEN] = "?", text[46];

	text_title(out, "Information for port %u (%s)", i, a->ports[i]->name);
	rte_eth_dev_get_name_by_port(id, name);
	fprintf(out, "  Ethdev: %s, DPDK port %u\n", name, id);
	if (rte_eth_dev_info_get(id, &dev) == 0)
		fprintf(out, "  Driver name: %s\n", dev.driver_name);
	fprintf(out, "  MAC address: " MAC_FMT "\n", MAC_ARGS(mac));
	if (rte_eth_link_get_nowait(id, &link) == 0)
		fprintf(out, "  Link status: %s, speed %u Mbps\n", link.link_status ? "up" : "down",
			link.link_speed);
	fprintf(out, "  Queues: %u receive, %u transmit\n", phca_net_nb_rxq(net), phca_net_nb_txq(net));
	fprintf(out, "  Path MTU: %u\n", phca_net_mtu(net));
	if (phca_net_vlan(net, &vlan_id))
		fprintf(out, "  VLAN: %u\n", vlan_id);
	for (unsigned int g = 0; g < phca_net_nb_gids(net); g++)
		fprintf(out, "  GID %-2u: %s\n", g, phca_gid_str(phca_net_gid(net, g), text));
	for (unsigned int g = 0; g < nb_groups; g++)
		fprintf(out, "  Group: %s, members %u\n", phca_gid_str(groups[g].gid, text),
			groups[g].members);
}

void text_port_stats(struct appliance *a, unsigned int i, FILE *out)
{
	struct phca_port_stats st;
	uint64_t dropped = 0;

	figures_port(a, i, &st);
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
		if (!figures_verdict_used(v))
			dropped += st.verdict[v];
	text_title(out, "NIC statistics for port %u (%s)", i, a->ports[i]->name);
	fprintf(out, "  RX-packets: %-12" PRIu64 " RX-bytes: %-16" PRIu64 " RX-held: %-10" PRIu64
		"\n", st.rx_packets, st.rx_bytes, st.rx_held);
	fprintf(out, "  RX-direct:  %-12" PRIu64 " RX-offloaded: %-12" PRIu64 " RX-dropped: %-10" PRIu64
		"\n", st.verdict[PHCA_V_DIRECT], st.verdict[PHCA_V_OFFLOADED], dropped);
	fprintf(out, "  TX-packets: %-12" PRIu64 " TX-bytes: %-16" PRIu64 "\n", st.tx_packets,
		st.tx_bytes);
	fprintf(out, "  TX-full:    %-12" PRIu64 " TX-no-mbuf: %-14" PRIu64 "\n", st.tx_full,
		st.tx_no_mbuf);
	text_end(out);
}

void text_port_verdicts(struct appliance *a, unsigned int i, FILE *out)
{
	struct phca_port_stats st;

	figures_port(a, i, &st);
	text_title(out, "Verdicts for port %u (%s)", i, a->ports[i]->name);
	text_verdicts(out, st.verdict);
	fprintf(out, "  %-18s %20" PRIu64 " packets\n", "received", st.rx_packets);
	text_end(out);
}

void text_totals(struct appliance *a, FILE *out)
{
	struct port_totals t;

	figures_totals(a, &t);
	text_title(out, "Verdicts for all ports");
	text_verdicts(out, t.verdict);
	fprintf(out, "  received %" PRIu64 ", verdicts %" PRIu64 ", held %" PRIu64 ": %s\n", t.rx,
		t.verdicts, t.held, t.balanced ? "they add up" :
		"THEY DO NOT ADD UP: report this as a bug");
	text_end(out);
}

/* What the HCA lcore is asked to copy. */
struct neigh_read { const struct phca_net *net; struct phca_neigh_info *out; };

static int neigh_read(void *arg)
{
	struct neigh_read *r = arg;

	return (int)phca_net_neigh_dump(r->net, r->out, PHCA_NEIGH_MAX);
}

static const char *neigh_state(const struct phca_neigh_info *n)
{
	if (n->is_static)
		return "static";
	return n->state == PHCA_NEIGH_READY ? "reachable" :
		n->state == PHCA_NEIGH_PENDING ? "asked" : "failed";
}

void text_neighbours(struct appliance *a, FILE *out)
{
	static struct phca_neigh_info table[PHCA_NEIGH_MAX];

	for (unsigned int i = 0; i < a->nb_ports; i++) {
		struct neigh_read r = { a->ports[i]->net, table };
		int n = phca_loop_call(a->hca_lcores[0]->loop, neigh_read, &r);
		char text[46];

		text_title(out, "Neighbours of port %u (%s): %d", i, a->ports[i]->name, n);
		for (int j = 0; j < n; j++)
			fprintf(out, "  %-40s " MAC_FMT " %s\n", phca_gid_str(table[j].gid, text),
				MAC_ARGS(table[j].mac), neigh_state(&table[j]));
	}
}
