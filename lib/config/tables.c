/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration, said once: every object with its keys, and of each key the
 * kind, range, default, place and help. Sections stand in the order in which
 * they may refer to each other.
 */
#include <stddef.h>

#include <rte_config.h>

#include "config_impl.h"

#define AT(T, f) .off = offsetof(struct phca_config_##T, f), .size = sizeof(((struct phca_config_##T *)0)->f)
#define AUX(T, f) .aux = offsetof(struct phca_config_##T, f)
#define NAME(T, what) { .name = "name", .kind = &kind_text, AT(T, name), .max = CFG_NAME_MAX - 1, \
	.pattern = CFG_PAT_NAME, .flags = KEY_REQUIRED, .help = "name of the " what ", unique; others refer to it" }
#define NOTE(T) { .name = "description", .kind = &kind_note, AT(T, description), \
	.help = "a note for people" }
#define END { .name = NULL }

static const struct key neigh_keys[] = {
	{ .name = "address", .kind = &kind_gid, .off = offsetof(struct phca_net_neigh, gid),
		.flags = KEY_REQUIRED, .help = "address of the neighbour" },
	{ .name = "mac", .kind = &kind_mac, .off = offsetof(struct phca_net_neigh, mac),
		.flags = KEY_REQUIRED, .help = "its MAC address" },
	END
};
static const struct table neigh_table = { "neighbour", neigh_keys, sizeof(struct phca_net_neigh),
	.section = SEC_NONE };

static const struct key port_keys[] = {
	NAME(port, "port"),
	NOTE(port),
	{ .name = "device", .kind = &kind_text, AT(port, device), .max = CFG_NAME_MAX - 1,
		.pattern = CFG_PAT_DEVICE, .def_doc = "use `id`",
		.help = "name of the DPDK port: `net_pcap0`, `0000:01:00.0`; give this or `id`" },
	{ .name = "id", .kind = &kind_uint, AT(port, id), .max = RTE_MAX_ETHPORTS - 1, .def = UINT64_MAX,
		.flags = KEY_ABSENT, .def_doc = "use `device`",
		.help = "number of the DPDK port; give this or `device`" },
	{ .name = "addresses", .kind = &kind_addrs, AT(port, addrs), AUX(port, nb_addrs), .min = 1,
		.max = PHCA_GID_MAX - 1, .flags = KEY_REQUIRED,
		.help = "own addresses, each a GID; GID 0 is the link-local address made of the MAC" },
	{ .name = "neighbours", .kind = &kind_array, AT(port, neighs), AUX(port, nb_neighs), .max = PHCA_NEIGH_MAX,
		.sub = &neigh_table, .def_doc = "none", .help = "static neighbours; others are found by ARP and NDP" },
	{ .name = "mtu", .kind = &kind_uint, AT(port, mtu), .min = 256, .max = 4096, .def = 4096,
		.flags = KEY_POW2, .unit = "bytes", .help = "path MTU: payload of a RoCEv2 packet at most" },
	{ .name = "vlan", .kind = &kind_uint, AT(port, vlan_id), AUX(port, vlan), .max = 4094,
		.def_doc = "untagged", .help = "VLAN id that packets carry and need" },
	{ .name = "mac", .kind = &kind_mac, AT(port, mac), AUX(port, set_mac), .def_doc = "the device's",
		.help = "own MAC address" },
	{ .name = "promiscuous", .kind = &kind_bool, AT(port, promisc), .def_doc = "false",
		.help = "accept packets to any MAC address" },
	{ .name = "gateway4", .kind = &kind_gw4, AT(port, gw4), AUX(port, has_gw4), .def_doc = "none",
		.help = "next hop of IPv4 destinations off the prefixes; must be in a prefix" },
	{ .name = "gateway6", .kind = &kind_gw6, AT(port, gw6), AUX(port, has_gw6), .def_doc = "none",
		.help = "next hop of IPv6 destinations off the prefixes; in a prefix or link-local" },
	{ .name = "rx_descriptors", .kind = &kind_uint, AT(port, rx_desc), .min = 32, .max = 32768, .def = 1024,
		.help = "size of the device's receive ring" },
	{ .name = "tx_descriptors", .kind = &kind_uint, AT(port, tx_desc), .min = 32, .max = 32768, .def = 1024,
		.help = "size of the device's transmit ring" },
	END
};
static const struct table port_table = { "port", port_keys, sizeof(struct phca_config_port), true, SEC_PORT,
	.finish = cfg_port_finish };

#define LCORE(f, k, what, d) { .name = #f, .kind = &k, AT(lcores, f), .max = RTE_MAX_LCORE - 1, \
	.def = UINT64_MAX, .flags = KEY_ABSENT, .def_doc = d, .help = what }
static const struct key lcore_keys[] = {
	LCORE(hca, kind_lcores, "lcores of the HCA: packets, filters, direct requests; each has a share of the QPs",
		"first worker lcore, else the main lcore"),
	LCORE(proxy, kind_lcores, "lcores of the proxy CPU: offloads, completion order; each has a share of the "
		"proxy QPs", "second worker lcore, else the main lcore"),
	LCORE(app, kind_uint, "lcore of the resident applications", "main lcore"),
	END
};
static const struct table lcore_table = { "lcores", lcore_keys, sizeof(struct phca_config_lcores),
	.section = SEC_NONE };

static const struct key memory_keys[] = {
	{ .name = "mbufs", .kind = &kind_uint, AT(memory, mbufs), .min = 1024, .max = 1u << 22, .def = 16384,
		.help = "packet buffers of the pool" },
	{ .name = "mbuf_size", .kind = &kind_uint, AT(memory, mbuf_size), .min = 512, .max = 16384, .def = 4608,
		.unit = "bytes", .help = "size of a buffer; at least the greatest `mtu` and 256 for headers" },
	{ .name = "max_qp", .kind = &kind_uint, AT(memory, max_qp), .min = 1, .max = 1u << 20, .def = 1024,
		.help = "queue pairs at most" },
	{ .name = "max_mr", .kind = &kind_uint, AT(memory, max_mr), .min = 1, .max = (1u << 24) - 1, .def = 65536,
		.help = "memory regions and windows at most" },
	END
};
static const struct table memory_table = { "memory", memory_keys, sizeof(struct phca_config_memory),
	.section = SEC_NONE };

static const struct key proxy_keys[] = {
	{ .name = "ring_size", .kind = &kind_uint, AT(proxy, ring_size), .min = 64, .max = 1u << 20, .def = 4096,
		.flags = KEY_POW2, .unit = "elements", .help = "each ring between HCA lcore and proxy lcore" },
	{ .name = "offload_max_packets", .kind = &kind_uint, AT(proxy, offload_max_packets), .min = 1, .max = 4096,
		.def = 256, .unit = "packets", .help = "held for one offloaded inbound message at most" },
	END
};
static const struct table proxy_table = { "proxy", proxy_keys, sizeof(struct phca_config_proxy),
	.section = SEC_NONE };

#define CONG(f) .off = offsetof(struct phca_congestion_conf, f), \
	.size = sizeof(((struct phca_congestion_conf *)0)->f)
#define CONG_PARAM(f, d, lo, hi, what) { .name = #f, .kind = &kind_uint, CONG(params.f), .min = lo, .max = hi, \
	.def = d, .help = what },
static const struct key congestion_keys[] = {
	{ .name = "enabled", .kind = &kind_bool, CONG(enabled), .def = true, .def_doc = "true",
		.help = "answer ECN marks with CNPs, send slower after CNPs" },
	{ .name = "ecn", .kind = &kind_bool, CONG(ecn), .def = true, .def_doc = "true",
		.help = "connected QPs send ECT(0), so that switches mark; false: the ECN of their `traffic_class`" },
	{ .name = "cnp_dscp", .kind = &kind_uint, CONG(cnp_dscp), .max = 63, .def = 48,
		.help = "DSCP of CNPs; its upper 3 bits are their VLAN priority" },
	{ .name = "line_rate_mbps", .kind = &kind_uint, CONG(line_rate_bps), .max = 1000000, .scale = 1000000,
		.unit = "Mb/s", .help = "rate of the ports; 0: their link's, 100000 when it is unknown" },
	PHCA_CC_PARAMS(CONG_PARAM)
	END
};
static const struct table congestion_table = { "congestion", congestion_keys, sizeof(struct phca_congestion_conf),
	.section = SEC_NONE };

#define LIMIT(f) .off = offsetof(struct phca_host_limits, f), .size = sizeof(((struct phca_host_limits *)0)->f)
#define LIMIT_KIND(e, f, d, h) { .name = #f, .kind = &kind_uint, LIMIT(objects[PHCA_HOST_##e]), .min = 1, \
	.max = 1u << 20, .def = d, .help = h " of a client" },
static const struct key limit_keys[] = {
	{ .name = "clients", .kind = &kind_uint, LIMIT(clients), .min = 1, .max = PHCA_HOST_CLIENTS_MAX, .def = 64,
		.help = "processes connected at once; one counts for each device that it opened" },
	PHCA_HOST_KINDS(LIMIT_KIND)
	{ .name = "registered_mib", .kind = &kind_uint, LIMIT(mem_bytes), .min = 1, .max = 1u << 26,
		.def_doc = "the machine's memory", .scale = 1u << 20, .unit = "MiB",
		.help = "memory registered by a client" },
	{ .name = "remote", .kind = &kind_bool, LIMIT(remote), .def = true, .def_doc = "true",
		.help = "memory of a client that cannot be shared is read and written through the kernel; "
			"false: its registration fails" },
	{ .name = "queues_mib", .kind = &kind_uint, LIMIT(arena_bytes), .min = 1, .max = 1u << 20, .def = 4096,
		.scale = 1u << 20, .unit = "MiB", .help = "memory for the queues of a client; used as they are made" },
	END
};
static const struct table limit_table = { "limits", limit_keys, sizeof(struct phca_host_limits),
	.section = SEC_NONE };

static const struct key host_keys[] = {
	{ .name = "socket", .kind = &kind_note, AT(host, socket), .def_doc = "`/run/proxyhca/DEVICE.sock`",
		.help = "path of the socket; its folder is made when it is missing" },
	{ .name = "device", .kind = &kind_text, AT(host, device), .max = PHCA_HOST_NAME_MAX - 1,
		.pattern = CFG_PAT_RDMA, .def_doc = "`phca0`",
		.help = "name of the RDMA device of the first port; those of others have `_1`, `_2`, ... behind" },
	{ .name = "mode", .kind = &kind_mode, .def_doc = "`\"0666\"`",
		.help = "permissions of the socket; who may write to it may use the devices" },
	{ .name = "group", .kind = &kind_group, .def_doc = "the process's", .help = "group of the socket" },
	{ .name = "limits", .kind = &kind_object, AT(host, limits), .sub = &limit_table, .def_doc = "its defaults",
		.help = "what clients may have" },
	END
};
static const struct table host_table = { "host", host_keys, sizeof(struct phca_config_host),
	.section = SEC_NONE, .finish = cfg_host_finish };

static const struct key filter_keys[] = {
	NAME(filter, "filter"),
	NOTE(filter),
	{ .name = "object", .kind = &kind_note, AT(filter, object), .flags = KEY_REQUIRED,
		.help = "compiled filter: a path from the folder of this file, or a file of the filter folders" },
	{ .name = "program", .kind = &kind_text, AT(filter, program), .max = CFG_NAME_MAX - 1,
		.pattern = CFG_PAT_IDENT, .def_doc = "the only one", .help = "function in the object" },
	{ .name = "params", .kind = &kind_params, AT(filter, params), AUX(filter, nb_params), .max = 256,
		.def_doc = "as compiled", .help = "values of `const volatile` globals" },
	{ .name = "maps", .kind = &kind_maps, AT(filter, entries), AUX(filter, nb_entries), .max = 64,
		.def_doc = "empty", .help = "contents of maps" },
	END
};
static const struct table filter_table = { "filter", filter_keys, sizeof(struct phca_config_filter), true,
	SEC_FILTER, .finish = cfg_filter_finish };

static const struct key program_keys[] = {
	{ .name = "object", .kind = &kind_note, AT(filter, object), .flags = KEY_REQUIRED,
		.help = "compiled program: a path from the folder of this file, or a file of the filter folders" },
	{ .name = "function", .kind = &kind_text, AT(filter, program), .max = CFG_NAME_MAX - 1,
		.pattern = CFG_PAT_IDENT, .def_doc = "the only one", .help = "function in the object" },
	{ .name = "params", .kind = &kind_params, AT(filter, params), AUX(filter, nb_params), .max = 256,
		.def_doc = "as compiled", .help = "values of `const volatile` globals" },
	{ .name = "maps", .kind = &kind_maps, AT(filter, entries), AUX(filter, nb_entries), .max = 64,
		.def_doc = "empty", .help = "contents of maps" },
	END
};
static const struct table program_table = { "program", program_keys, sizeof(struct phca_config_filter),
	.section = SEC_NONE, .finish = cfg_filter_finish };

static const struct key offload_keys[] = {
	NAME(offload, "offload"),
	NOTE(offload),
	{ .name = "driver", .kind = &kind_text, AT(offload, driver), .max = CFG_NAME_MAX - 1,
		.pattern = CFG_PAT_DRIVER, .flags = KEY_REQUIRED, .help = "offload driver: `null`, `delay`, ..." },
	{ .name = "settings", .kind = &kind_settings, AT(offload, args), AUX(offload, nb_args), .max = 64,
		.def_doc = "the driver's", .help = "settings of the driver" },
	{ .name = "time_limit_us", .kind = &kind_uint, AT(offload, time_limit_ns), .max = 3600000000u,
		.def = 1000000, .scale = 1000, .unit = "us",
		.help = "a request that the driver has not finished by then fails; 0: no limit" },
	{ .name = "program", .kind = &kind_object, AT(offload, program), AUX(offload, has_program),
		.sub = &program_table, .flags = KEY_ABSENT, .def_doc = "none",
		.help = "of the driver `bpf`: the program that it runs" },
	END
};
static const struct table offload_table = { "offload", offload_keys, sizeof(struct phca_config_offload), true,
	SEC_OFFLOAD, .finish = cfg_offload_finish };

static const struct key app_keys[] = {
	NAME(app, "application"),
	NOTE(app),
	{ .name = "driver", .kind = &kind_text, AT(app, driver), .max = CFG_NAME_MAX - 1,
		.pattern = CFG_PAT_DRIVER, .flags = KEY_REQUIRED,
		.help = "application driver: `sink`, `echo`, `generator`" },
	{ .name = "settings", .kind = &kind_settings, AT(app, args), AUX(app, nb_args), .max = 64,
		.def_doc = "the driver's", .help = "settings of the driver" },
	END
};
static const struct table app_table = { "app", app_keys, sizeof(struct phca_config_app), true, SEC_APP,
	.finish = cfg_app_finish };

static const struct key srq_keys[] = {
	NAME(srq, "shared receive queue"),
	NOTE(srq),
	{ .name = "app", .kind = &kind_ref, AT(srq, app), .section = SEC_APP, .flags = KEY_REQUIRED,
		.help = "application that owns it" },
	{ .name = "max_wr", .kind = &kind_uint, AT(srq, init.max_wr), .min = 1, .max = PHCA_QP_DEPTH_MAX,
		.def = 512, .unit = "WRs", .help = "its depth; rounded up to a power of two" },
	{ .name = "max_sge", .kind = &kind_uint, AT(srq, init.max_sge), .max = PHCA_SGE_MAX, .def = 1,
		.help = "scatter/gather elements of a receive WR" },
	{ .name = "limit", .kind = &kind_uint, AT(srq, init.limit), .max = PHCA_QP_DEPTH_MAX, .unit = "WRs",
		.help = "an event once fewer receives are left; 0: none" },
	END
};
static const struct table srq_table = { "srq", srq_keys, sizeof(struct phca_config_srq), true, SEC_SRQ,
	.finish = cfg_srq_finish };

#define RC (1u << PHCA_QPT_RC)
#define UD (1u << PHCA_QPT_UD)
#define CONN (RC | 1u << PHCA_QPT_UC)
static const struct word qp_types[] = {
	{ "RC", PHCA_QPT_RC, NULL },
	{ "UC", PHCA_QPT_UC, NULL },
	{ "UD", PHCA_QPT_UD, NULL },
	{ NULL, 0, NULL }
};
static const struct word access_words[] = {
	{ "remote_write", PHCA_ACCESS_REMOTE_WRITE, NULL },
	{ "remote_read", PHCA_ACCESS_REMOTE_READ, NULL },
	{ "remote_atomic", PHCA_ACCESS_REMOTE_ATOMIC, NULL },
	{ NULL, 0, NULL }
};
static const struct key qp_keys[] = {
	NAME(qp, "QP"),
	NOTE(qp),
	{ .name = "type", .kind = &kind_word, AT(qp, init.type), .words = qp_types, .flags = KEY_REQUIRED,
		.help = "transport" },
	{ .name = "app", .kind = &kind_ref, AT(qp, app), .section = SEC_APP, .flags = KEY_ABSENT,
		.def_doc = "use `offload`", .help = "application that owns it; give this or `offload`" },
	{ .name = "offload", .kind = &kind_ref, AT(qp, offload), .section = SEC_OFFLOAD, .flags = KEY_ABSENT,
		.def_doc = "use `app`",
		.help = "offload that it is a peer of, RC and UC; give this or `app`" },
	{ .name = "port", .kind = &kind_ref, AT(qp, port), .section = SEC_PORT, .def_doc = "the first",
		.help = "port that it uses" },
	{ .name = "qpn", .kind = &kind_uint, AT(qp, init.qpn), .min = 2, .max = 0xfffffe,
		.flags = KEY_ABSENT | KEY_HEX, .pattern = "^0[xX](?!0{0,5}[01]$)(?![fF]{6}$)[0-9a-fA-F]{1,6}$",
		.def_doc = "any free one", .help = "QP number; of the first when `count` makes several" },
	{ .name = "count", .kind = &kind_uint, AT(qp, count), .min = 1, .max = 4096, .def = 1,
		.help = "QPs to make, with consecutive numbers; all go by the name" },
	{ .name = "max_send_wr", .kind = &kind_uint, AT(qp, init.max_send_wr), .max = PHCA_QP_DEPTH_MAX,
		.def = 128, .unit = "WRs", .help = "depth of the send queue; rounded up to a power of two" },
	{ .name = "srq", .kind = &kind_ref, AT(qp, srq), .section = SEC_SRQ, .flags = KEY_ABSENT,
		.def_doc = "a receive queue of its own", .help = "shared receive queue that receives come from" },
	{ .name = "mcast", .kind = &kind_mcast, AT(qp, mcast), AUX(qp, nb_mcast), .max = 64, .only = UD,
		.def_doc = "none", .help = "multicast groups that it receives from" },
	{ .name = "max_recv_wr", .kind = &kind_uint, AT(qp, init.max_recv_wr), .max = PHCA_QP_DEPTH_MAX,
		.def = 512, .unit = "WRs", .help = "depth of the receive queue; rounded up to a power of two" },
	{ .name = "max_send_sge", .kind = &kind_uint, AT(qp, init.max_send_sge), .max = PHCA_SGE_MAX, .def = 1,
		.help = "scatter/gather elements of a send WR" },
	{ .name = "max_recv_sge", .kind = &kind_uint, AT(qp, init.max_recv_sge), .max = PHCA_SGE_MAX, .def = 1,
		.help = "scatter/gather elements of a receive WR" },
	{ .name = "max_inline", .kind = &kind_uint, AT(qp, init.max_inline), .max = PHCA_INLINE_MAX,
		.unit = "bytes", .help = "inline data of a send WR" },
	{ .name = "sq_sig_all", .kind = &kind_bool, AT(qp, init.sq_sig_all), .def_doc = "false",
		.help = "every send WR is signaled" },
	{ .name = "pkey", .kind = &kind_uint, AT(qp, attr.pkey), .max = 0xffff, .def = 0xffff, .flags = KEY_HEX,
		.help = "partition key; its low 15 bits are not 0" },
	{ .name = "qkey", .kind = &kind_uint, AT(qp, attr.qkey), .max = 0xffffffff, .def = 0x11111111,
		.flags = KEY_HEX, .only = UD, .help = "queue key that datagrams need" },
	{ .name = "sq_psn", .kind = &kind_uint, AT(qp, attr.sq_psn.v), .max = 0xffffff, .flags = KEY_HEX,
		.help = "first packet sequence number sent" },
	{ .name = "rq_psn", .kind = &kind_uint, AT(qp, attr.rq_psn.v), .max = 0xffffff, .flags = KEY_HEX,
		.only = CONN, .help = "first packet sequence number expected" },
	{ .name = "dest_qpn", .kind = &kind_uint, AT(qp, attr.dest_qpn), .max = 0xffffff, .flags = KEY_HEX,
		.only = CONN, .help = "QP number of the peer; of the first when `count` makes several" },
	{ .name = "peer", .kind = &kind_peer, AT(qp, attr.av.dgid), .only = CONN, .def_doc = "any; RC must have it",
		.help = "address of the peer; packets from others are refused" },
	{ .name = "traffic_class", .kind = &kind_uint, AT(qp, attr.av.traffic_class), .max = 255, .flags = KEY_HEX,
		.only = CONN, .help = "of its packets: DSCP times 4, and ECN unless `congestion` sets that" },
	{ .name = "hop_limit", .kind = &kind_uint, AT(qp, attr.av.hop_limit), .min = 1, .max = 255, .def = 64,
		.only = CONN, .help = "TTL or hop limit of its packets" },
	{ .name = "path_mtu", .kind = &kind_uint, AT(qp, attr.path_mtu), .min = 256, .max = 4096,
		.flags = KEY_POW2, .only = CONN, .unit = "bytes", .def_doc = "the port's `mtu`",
		.help = "payload of its packets; at most the port's `mtu`" },
	{ .name = "access", .kind = &kind_words, AT(qp, attr.access), .words = access_words, .only = CONN,
		.def_doc = "none", .help = "what inbound requests may do to memory" },
	{ .name = "timeout", .kind = &kind_uint, AT(qp, attr.timeout), .max = 31, .def = 14, .only = RC,
		.help = "local ACK timeout: 4.096 us times 2 to the power of this; 0: none" },
	{ .name = "retry_cnt", .kind = &kind_uint, AT(qp, attr.retry_cnt), .max = 7, .def = 7, .only = RC,
		.help = "tries after a timeout or a sequence NAK" },
	{ .name = "rnr_retry", .kind = &kind_uint, AT(qp, attr.rnr_retry), .max = 7, .def = 7, .only = RC,
		.help = "tries after an RNR NAK; 7: for ever" },
	{ .name = "min_rnr_timer", .kind = &kind_uint, AT(qp, attr.min_rnr_timer), .max = 31, .def = 12, .only = RC,
		.help = "how long its RNR NAKs ask the peer to wait: code of table 45; 12: 0.64 ms" },
	{ .name = "max_rd_atomic", .kind = &kind_uint, AT(qp, attr.max_rd_atomic), .max = PHCA_RD_ATOMIC_MAX,
		.def = 16, .only = RC, .help = "READs and atomics that it has outstanding" },
	{ .name = "max_dest_rd_atomic", .kind = &kind_uint, AT(qp, attr.max_dest_rd_atomic),
		.max = PHCA_RD_ATOMIC_MAX, .def = 16, .only = RC,
		.help = "READs and atomics that its peer may have outstanding" },
	END
};
static const struct table qp_table = { "qp", qp_keys, sizeof(struct phca_config_qp), true, SEC_QP,
	.finish = cfg_qp_finish, .applies = cfg_qp_applies };

static const struct word directions[] = {
	{ "both", CFG_DIR_SEND | CFG_DIR_INBOUND, NULL },
	{ "send", CFG_DIR_SEND, NULL },
	{ "inbound", CFG_DIR_INBOUND, NULL },
	{ NULL, 0, NULL }
};
static const struct key rule_keys[] = {
	{ .name = "name", .kind = &kind_text, AT(rule, name), .max = CFG_RULE_NAME_MAX - 1,
		.pattern = CFG_PAT_RULE, .def_doc = "`FILTER-OFFLOAD`", .help = "name of the rule in statistics" },
	{ .name = "filter", .kind = &kind_ref, AT(rule, filter), .section = SEC_FILTER, .flags = KEY_REQUIRED,
		.help = "filter that picks requests" },
	{ .name = "offload", .kind = &kind_ref, AT(rule, offload), .section = SEC_OFFLOAD, .flags = KEY_REQUIRED,
		.help = "offload that carries out what the filter picked" },
	{ .name = "direction", .kind = &kind_direction, .words = directions,
		.def = CFG_DIR_SEND | CFG_DIR_INBOUND, .def_doc = "`\"both\"`",
		.help = "requests that it is tried on" },
	END
};
static const struct table rule_table = { "rule", rule_keys, sizeof(struct phca_config_rule), true, SEC_NONE,
	.finish = cfg_rule_finish };

static const struct key proxy_qp_keys[] = {
	NOTE(proxy_qp),
	{ .name = "qps", .kind = &kind_qp_refs, AT(proxy_qp, qps), AUX(proxy_qp, nb_qps), .min = 1, .max = 4096,
		.flags = KEY_REQUIRED, .help = "QPs that become proxy QPs; `\"*\"`: all of this file that apps own" },
	{ .name = "rules", .kind = &kind_array, AT(proxy_qp, rules), AUX(proxy_qp, nb_rules),
		.max = PHCA_PROXY_RULE_MAX, .sub = &rule_table, .def_doc = "none",
		.help = "tried in order, the first match decides; none: nothing is offloaded" },
	{ .name = "window", .kind = &kind_uint, AT(proxy_qp, window), .min = PHCA_WINDOW_MIN,
		.max = PHCA_WINDOW_MAX, .flags = KEY_ZERO, .unit = "WRs",
		.help = "requests in flight of a queue; 0: as deep as the queue" },
	END
};
static const struct table proxy_qp_table = { "proxy QP", proxy_qp_keys, sizeof(struct phca_config_proxy_qp),
	.section = SEC_NONE, .finish = cfg_proxy_qp_finish };

#define DEPTHS(f) .off = offsetof(struct phca_config_depths, f), .size = sizeof(uint32_t)
static const struct key depth_keys[] = {
	{ .name = "min", .kind = &kind_uint, DEPTHS(min), .min = 1, .max = PHCA_CQE_MAX, .def = 1,
		.help = "so many or more" },
	{ .name = "max", .kind = &kind_uint, DEPTHS(max), .min = 1, .max = PHCA_CQE_MAX, .def = PHCA_CQE_MAX,
		.help = "so many or fewer" },
	END
};
static const struct table depth_table = { "cq_depth", depth_keys, sizeof(struct phca_config_depths),
	.section = SEC_NONE, .finish = cfg_depths_finish };

static const struct key match_keys[] = {
	{ .name = "exe", .kind = &kind_text, AT(match, exe), .max = 63, .pattern = CFG_PAT_GLOB,
		.def_doc = "any",
		.help = "name of the program's file without its folder; `*`, `?` and `[...]` as in a shell" },
	{ .name = "user", .kind = &kind_user, .def_doc = "any", .help = "user that it runs as: name or number" },
	{ .name = "transport", .kind = &kind_word, AT(match, transport), .words = qp_types, .def_doc = "any",
		.help = "type of the QP" },
	{ .name = "cq_depth", .kind = &kind_object, AT(match, cq_depth), .sub = &depth_table, .def_doc = "any",
		.help = "completions that its send CQ was asked to hold" },
	{ .name = "peer", .kind = &kind_prefix, AT(match, peer), AUX(match, has_peer), .def_doc = "any",
		.help = "address of the peer, or a prefix that it is in; no UD QP has one" },
	END
};
static const struct table match_table = { "match", match_keys, sizeof(struct phca_config_match),
	.section = SEC_NONE };

static const struct key app_proxy_keys[] = {
	NAME(app_proxy, "rule list"),
	NOTE(app_proxy),
	{ .name = "match", .kind = &kind_object, AT(app_proxy, match), .sub = &match_table, .flags = KEY_REQUIRED,
		.help = "QPs that become proxy QPs: all that is given must fit; `{}`: all QPs" },
	{ .name = "rules", .kind = &kind_array, AT(app_proxy, rules), AUX(app_proxy, nb_rules),
		.max = PHCA_PROXY_RULE_MAX, .sub = &rule_table, .def_doc = "none",
		.help = "tried in order, the first match decides; none: nothing is offloaded" },
	{ .name = "window", .kind = &kind_uint, AT(app_proxy, window), .min = PHCA_WINDOW_MIN,
		.max = PHCA_WINDOW_MAX, .flags = KEY_ZERO, .unit = "WRs",
		.help = "requests in flight of a queue; 0: as deep as the queue" },
	END
};
static const struct table app_proxy_table = { "rule list", app_proxy_keys, sizeof(struct phca_config_app_proxy),
	true, SEC_NONE, .finish = cfg_app_proxy_finish };

#define ROOT(f) .off = offsetof(struct phca_config, f), .size = sizeof(((struct phca_config *)0)->f)
#define LIST(key_, f, nb, t, n, h) { .name = key_, .kind = &kind_array, ROOT(f), \
	.aux = offsetof(struct phca_config, nb), .max = n, .sub = &t, .def_doc = "none", .help = h }
#define PART(key_, f, t, h) { .name = key_, .kind = &kind_object, ROOT(f), .sub = &t, \
	.flags = KEY_SINGLE, .def_doc = "its defaults", .help = h }
static const struct key root_keys[] = {
	{ .name = "$schema", .kind = &kind_note, ROOT(schema), .help = "where the JSON schema is, for editors" },
	{ .name = "description", .kind = &kind_note, ROOT(description), .help = "a note for people" },
	PART("lcores", lcores, lcore_table, "which lcore does what"),
	PART("memory", memory, memory_table, "sizes of pools and tables"),
	PART("proxy", proxy, proxy_table, "the way to the proxy CPU"),
	PART("congestion", congestion, congestion_table, "congestion control: ECN, CNPs, DCQCN"),
	{ .name = "host", .kind = &kind_object, ROOT(host), .aux = offsetof(struct phca_config, host.given),
		.sub = &host_table, .flags = KEY_SINGLE, .def_doc = "no socket",
		.help = "the socket for applications of other processes" },
	LIST("ports", ports, nb_ports, port_table, PHCA_PORT_MAX, "network ports"),
	LIST("filters", filters, nb_filters, filter_table, 256, "eBPF filters"),
	LIST("offloads", offloads, nb_offloads, offload_table, PHCA_PROXY_OFFLOAD_MAX, "what the proxy CPU can do"),
	LIST("apps", apps, nb_apps, app_table, 64, "resident applications"),
	LIST("srqs", srqs, nb_srqs, srq_table, 1024, "shared receive queues"),
	LIST("qps", qps, nb_qps, qp_table, 4096, "queue pairs"),
	LIST("proxy_qps", proxy_qps, nb_proxy_qps, proxy_qp_table, 4096,
		"which queue pairs are proxy QPs, and their rules"),
	LIST("app_proxy", app_proxy, nb_app_proxy, app_proxy_table, 256,
		"which queue pairs of applications become proxy QPs, and their rules"),
	END
};
const struct table cfg_root = { "configuration", root_keys, sizeof(struct phca_config), .section = SEC_NONE,
	.finish = cfg_root_finish };
