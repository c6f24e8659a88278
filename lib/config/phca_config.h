/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * JSON configuration: what an appliance shall be, as plain structs.
 *
 * phca_config_load reads a file, checks it completely (unknown keys, types,
 * ranges, duplicates, dangling references) and returns one allocation that
 * phca_config_free frees. It touches no device and no data path; the
 * application turns it into objects. config/proxyhca.schema.json says the same
 * as a JSON schema. doc/configuration.md is the reference.
 *
 * Threads: any control thread.
 */
#ifndef PHCA_CONFIG_H
#define PHCA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "phca_filter.h"
#include "phca_hca.h"
#include "phca_host.h"
#include "phca_net.h"
#include "phca_proxy.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_CONFIG_ERR_MAX 1024 /**< room that every error text fits, bytes */

/** "ports": an array of these. */
struct phca_config_port {
	const char *name;       /**< "name": unique */
	const char *description; /**< "description": a note for people; NULL: none */
	const char *device;     /**< "device": ethdev name ("net_pcap0", "0000:01:00.0"); NULL: use "id" */
	int id;                 /**< "id": DPDK port id; -1: use device */
	struct phca_net_addr *addrs; unsigned int nb_addrs;   /**< "addresses": ["10.0.0.1/24", "2001:db8::1/64"] */
	struct phca_net_neigh *neighs; unsigned int nb_neighs;/**< "neighbours": [{"address":, "mac":}] */
	uint16_t mtu;           /**< "mtu": path MTU 256..4096, default 4096 */
	bool vlan; uint16_t vlan_id; /**< "vlan": 0..4094 or absent */
	bool set_mac; uint8_t mac[6];/**< "mac": or absent */
	bool promisc;           /**< "promiscuous": default false */
	bool has_gw4, has_gw6; uint8_t gw4[16], gw6[16]; /**< "gateway4", "gateway6" */
	uint16_t rx_desc, tx_desc; /**< "rx_descriptors", "tx_descriptors"; 0 default */
};
#define PHCA_CONFIG_LCORES_MAX 8 /**< lcores of one role */
/** Lcores of one role. */
struct phca_config_lcore_list {
	unsigned int n;         /**< 0: the default (see doc/configuration.md) */
	uint16_t id[PHCA_CONFIG_LCORES_MAX];
};
/** "lcores": which lcore does what. */
struct phca_config_lcores {
	struct phca_config_lcore_list hca;   /**< "hca": of the HCA data path, one shard each */
	struct phca_config_lcore_list proxy; /**< "proxy": of the proxy CPU */
	int app;   /**< "app": lcore id of resident applications; -1: the default */
};
/** "memory". */
struct phca_config_memory {
	uint32_t mbufs;       /**< "mbufs": buffers of the pool; default 16384 */
	uint32_t mbuf_size;   /**< "mbuf_size": data room with headroom; default fits mtu 4096 */
	uint32_t max_qp;      /**< "max_qp": default 1024 */
	uint32_t max_mr;      /**< "max_mr": default 65536 */
};
/** "proxy". */
struct phca_config_proxy {
	uint32_t ring_size;           /**< "ring_size": elements, power of two, default 4096 */
	uint16_t offload_max_packets; /**< "offload_max_packets": default 256 */
};
/** "filters": an array. */
struct phca_config_map_entry { const char *map, *key, *value; };
struct phca_config_filter {
	const char *name;     /**< "name": unique */
	const char *description; /**< "description": a note for people; NULL: none */
	const char *object;   /**< "object": absolute path of the file that was found; see doc/configuration.md */
	const char *program;  /**< "program": or NULL */
	struct phca_filter_param *params; unsigned int nb_params; /**< "params": {name: number|bool|string} */
	struct phca_config_map_entry *entries; unsigned int nb_entries; /**< "maps": {map: {key: value}} */
};
/** "offloads": an array. */
struct phca_config_offload {
	const char *name;     /**< "name": unique */
	const char *description; /**< "description": a note for people; NULL: none */
	const char *driver;   /**< "driver": null, delay, ... */
	struct phca_setting_arg *args; unsigned int nb_args; /**< "settings": {name: number|bool|string} */
	uint64_t time_limit_ns; /**< "time_limit_us": default 1000000, 0 none */
	bool has_program;     /**< "program" is given */
	struct phca_config_filter program; /**< "program": as a filter, by the name of the offload;
	                       *   "function" is its program */
};
/** "srqs": an array. */
struct phca_config_srq {
	const char *name;     /**< "name": unique */
	const char *description; /**< "description": a note for people; NULL: none */
	int app;              /**< index into apps; "app": name, required */
	struct phca_srq_init init; /**< "max_wr", "max_sge", "limit"; pd is not set */
};
/** "qps": an array. "count" makes several with consecutive numbers. */
struct phca_config_qp {
	const char *name;     /**< "name": unique; with count > 1 all go by it */
	const char *description; /**< "description": a note for people; NULL: none */
	unsigned int count;   /**< "count": 1..4096 */
	struct phca_qp_init init; /**< "type", "qpn" (of the first; 0: any), ...; pd and cqs are not set */
	struct phca_qp_attr attr; /**< "pkey", "qkey", "access", "dest_qpn" (of the first), "path_mtu", "peer", ... */
	unsigned int attr_mask;   /**< which of attr were given or defaulted */
	int port;             /**< index into ports; "port": name; default the first */
	int app;              /**< index into apps; "app": name; -1: it is an offload's */
	int offload;          /**< index into offloads; "offload": name: a peer of it; -1: an application's */
	int srq;              /**< index into srqs; "srq": name; -1: a receive queue of its own */
	uint8_t (*mcast)[16]; unsigned int nb_mcast; /**< "mcast": groups, UD */
};
/** A rule of a proxy QP: "rules". */
struct phca_config_rule {
	const char *name;     /**< "name"; default "FILTER-OFFLOAD" */
	int filter;           /**< index; "filter": name */
	int offload;          /**< index; "offload": name */
	bool send, inbound;   /**< "direction": "send", "inbound", "both" (default) */
};
/** "proxy_qps": an array. */
struct phca_config_proxy_qp {
	const char *description; /**< as in a port */
	int *qps; unsigned int nb_qps; /**< indices; "qps": [names], or "*" for all */
	struct phca_config_rule *rules; unsigned int nb_rules; /**< "rules" */
	uint32_t window;      /**< "window": 0 default */
};
/** "cq_depth" of a match: completions that the send CQ was asked to hold. */
struct phca_config_depths {
	uint32_t min, max;    /**< "min", "max": 1..PHCA_CQE_MAX; default: any */
};
/** "match" of app_proxy: which QPs of applications. Keys that are not given take any. */
struct phca_config_match {
	const char *exe;      /**< "exe": base name of the program's file, a pattern of fnmatch(3); NULL: any */
	const char *user;     /**< "user": as given, when by name; else NULL */
	bool has_user; uint32_t uid; /**< the user's number */
	enum phca_qp_type transport; /**< "transport": 0: any */
	struct phca_config_depths cq_depth; /**< "cq_depth" */
	bool has_peer; struct phca_net_addr peer; /**< "peer": a prefix that the peer's address is in */
};
/** "app_proxy": an array, tried in order. */
struct phca_config_app_proxy {
	const char *name;     /**< "name": unique */
	const char *description; /**< "description": a note for people; NULL: none */
	struct phca_config_match match; /**< "match" */
	struct phca_config_rule *rules; unsigned int nb_rules; /**< "rules" */
	uint32_t window;      /**< "window": 0 default */
};
/** "apps": an array. */
struct phca_config_app {
	const char *name;     /**< "name": unique */
	const char *description; /**< "description": a note for people; NULL: none */
	const char *driver;   /**< "driver": sink, echo */
	struct phca_setting_arg *args; unsigned int nb_args; /**< "settings" */
};
/** "host": the socket for applications of other processes. */
struct phca_config_host {
	bool given;           /**< the section is there: there is a socket */
	const char *socket;   /**< "socket": its path; NULL: of the device's name, in PHCA_ADMIN_DIR */
	const char *device;   /**< "device": name of the first port's device; NULL: phca0 */
	uint32_t mode;        /**< "mode": permissions */
	bool has_group;       /**< "group" is given */
	const char *group;    /**< by name; NULL: by number */
	uint32_t gid;         /**< the group */
	struct phca_host_limits limits; /**< "limits" */
};
/** A whole configuration. */
struct phca_config {
	const char *path;     /**< file it came from */
	const char *schema;   /**< "$schema": for editors, not used; NULL: none */
	const char *description; /**< "description"; NULL: none */
	struct phca_config_port *ports; unsigned int nb_ports;
	struct phca_config_lcores lcores;
	struct phca_config_memory memory;
	struct phca_config_proxy proxy;
	struct phca_congestion_conf congestion; /**< "congestion": its members, and those of params, are keys */
	struct phca_config_host host; /**< "host" */
	struct phca_config_filter *filters; unsigned int nb_filters;
	struct phca_config_offload *offloads; unsigned int nb_offloads;
	struct phca_config_srq *srqs; unsigned int nb_srqs;
	struct phca_config_qp *qps; unsigned int nb_qps;
	struct phca_config_proxy_qp *proxy_qps; unsigned int nb_proxy_qps;
	struct phca_config_app_proxy *app_proxy; unsigned int nb_app_proxy;
	struct phca_config_app *apps; unsigned int nb_apps;
	void *priv;           /**< the loader's */
};

/** What the loader asks the application about drivers. NULL members: not checked. */
struct phca_config_lookup {
	/** @return settings table of an offload driver; NULL: unknown driver */
	const struct phca_offload_ops *(*offload)(const char *name);
	/** @return the app driver; NULL: unknown */
	const struct phca_app_ops *(*app)(const char *name);
	const char *const *offload_names; /**< what there is, ends with NULL; for "did you mean" */
	const char *const *app_names;     /**< the same of applications */
};

/**
 * Load and check a configuration.
 * @param path   file
 * @param base   NULL; or a running configuration that this one adds to ("load"
 *               at the prompt): names may refer to it and must not repeat it
 * @param err    written on error: "FILE:LINE: JSON.PATH: what is wrong, what to do";
 *               text that is no JSON: "FILE:LINE: column C: ..."; PHCA_CONFIG_ERR_MAX is enough
 * @return the configuration; NULL with rte_errno ENOENT, EINVAL, ENOMEM.
 *         With a base, indices >= 0 count the base's elements first.
 */
struct phca_config *phca_config_load(const char *path, const struct phca_config *base,
		const struct phca_config_lookup *lookup, char *err, size_t err_len);
/** As phca_config_load, from text; @p name stands for the file. */
struct phca_config *phca_config_parse(const char *name, const char *text, size_t len,
		const struct phca_config *base, const struct phca_config_lookup *lookup, char *err, size_t err_len);
/** Free a configuration. NULL is allowed. */
void phca_config_free(struct phca_config *c);
/** Print a configuration as JSON with all defaults filled in ("show config"). @return 0, -EIO */
int phca_config_print(const struct phca_config *c, FILE *out);
/**
 * Join an addition to the configuration that it was loaded on, so that the
 * next addition and "show config" know both.
 * @param base  what phca_config_load was given as base when @p add was loaded; takes over all of @p add
 * @param add   the addition; freed on success
 * @return 0; -EINVAL @p add is no addition to @p base; -ENOMEM. Both are unchanged on error.
 */
int phca_config_merge(struct phca_config *base, struct phca_config *add);
/** Print the JSON schema of configurations, as config/proxyhca.schema.json has it. @return 0, -EIO, -ENOMEM */
int phca_config_schema_print(FILE *out);
/** A QP of an application, as app_proxy looks at it. */
struct phca_config_app_qp {
	const char *exe;        /**< base name of the program */
	uint32_t uid;           /**< of its process */
	enum phca_qp_type type;
	uint32_t cq_depth;      /**< completions that its send CQ was asked to hold */
	const uint8_t *dgid;    /**< of its peer, 16 bytes; NULL: not known yet; UD: not looked at */
};
/**
 * Find the first entry of app_proxy that fits.
 * @return its index; -ENOENT none; -EAGAIN it depends on dgid
 */
int phca_config_app_proxy_find(const struct phca_config *c, const struct phca_config_app_qp *q);
/** @return the text of the embedded configuration, config/demo.json; @p len is written: its bytes without NUL. */
const char *phca_config_default_text(size_t *len);

#ifdef __cplusplus
}
#endif
#endif
