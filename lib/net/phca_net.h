/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Ports as the HCA sees them: the ethdev, its addresses (GIDs), neighbours
 * (ARP, NDP), and answers to ARP, neighbour solicitation and echo requests.
 *
 * Threads: create, start, stop, destroy belong to a control thread while no
 * lcore uses the port. Everything marked "HCA lcore" belongs to the one lcore
 * that owns the port: its neighbour table, and the frames that the port answers
 * and sends by itself. What is marked "any HCA lcore", or reads what never
 * changes after create, may be called by all that poll one of the port's queues.
 */
#ifndef PHCA_NET_H
#define PHCA_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "phca_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_GID_MAX 16        /**< GIDs of one port */
#define PHCA_NEIGH_MAX 1024    /**< neighbours of one port, static ones included */
#define PHCA_NET_GROUP_MAX 256 /**< multicast groups of one port */
#define PHCA_NET_QUEUE_MAX 16  /**< receive queues, and transmit queues, of one port */

/** An address of a port. IPv4 as ::ffff:a.b.c.d. */
struct phca_net_addr {
	uint8_t gid[16];       /**< the address, network order */
	uint8_t prefix_len;    /**< IPv4 0..32, IPv6 0..128 */
	bool ip6;              /**< IPv6; else IPv4-mapped */
};
/** A static neighbour. */
struct phca_net_neigh {
	uint8_t gid[16];       /**< its address */
	uint8_t mac[6];        /**< its MAC address */
};
/** Configuration of one port. */
struct phca_net_conf {
	uint16_t port_id;      /**< ethdev */
	bool vlan;             /**< packets carry and need this tag */
	uint16_t vlan_id;      /**< 0..4094 */
	uint16_t mtu;          /**< path MTU of RoCE payload: 256, 512, 1024, 2048, 4096 */
	bool set_mac;          /**< use mac instead of the ethdev's */
	uint8_t mac[6];
	bool promisc;          /**< accept frames to any MAC address (mirrored traffic, benchmarks) */
	uint16_t nb_queues;    /**< wanted of each kind, 1..PHCA_NET_QUEUE_MAX; 0: 1 */
	uint16_t rx_desc, tx_desc; /**< of each queue; 0: 1024 */
	struct rte_mempool *pool;  /**< receive buffers; also used for what the port itself sends */
	const struct phca_net_addr *addrs;
	unsigned int nb_addrs; /**< 1..PHCA_GID_MAX-1; GID 0 is the link-local address made of the MAC */
	const struct phca_net_neigh *neighs;
	unsigned int nb_neighs;
	bool has_gw4, has_gw6;
	uint8_t gw4[16], gw6[16]; /**< gateways for destinations off the prefixes */
};

struct phca_net; /**< one port */

/**
 * Configure the ethdev (queues, MTU for the path MTU's frames) and build the
 * address tables. A device with fewer queues than wanted gives those it has; one
 * that cannot spread packets by a hash receives them all on queue 0.
 * @return the port; NULL with rte_errno, @p err says object, what, values
 */
struct phca_net *phca_net_create(const struct phca_net_conf *conf, char *err, size_t err_len);
/** Start the ethdev. @return 0 or negative errno */
int phca_net_start(struct phca_net *net);
/** Stop the ethdev. */
void phca_net_stop(struct phca_net *net);
/** Stop and free. The ethdev stays, for who attached it to close or use again. NULL is allowed. */
void phca_net_destroy(struct phca_net *net);

/**
 * Control thread: is the port up? Cheap enough to ask each second; what the
 * specification calls port active and port error (11.6.3) are its changes. A
 * driver that does not know its link counts as up while the port is started.
 * @return whether the port is started and its link is up
 */
bool phca_net_link(const struct phca_net *net);

uint16_t phca_net_port_id(const struct phca_net *net);   /**< @return the ethdev's id */
uint16_t phca_net_nb_rxq(const struct phca_net *net);    /**< @return receive queues, 1..nb_queues; poll all */
uint16_t phca_net_nb_txq(const struct phca_net *net);    /**< @return transmit queues, 1..nb_queues */
uint16_t phca_net_mtu(const struct phca_net *net);       /**< @return path MTU, bytes */
const uint8_t *phca_net_mac(const struct phca_net *net); /**< @return own MAC, 6 bytes */
bool phca_net_vlan(const struct phca_net *net, uint16_t *vlan_id); /**< @return whether tagged, and the id */
unsigned int phca_net_nb_gids(const struct phca_net *net); /**< @return GIDs, link-local one included */
/** @return GID @p idx, 16 bytes; NULL when out of range. */
const uint8_t *phca_net_gid(const struct phca_net *net, unsigned int idx);
/** @return the index of a GID, -ENOENT when it is not the port's. */
int phca_net_gid_find(const struct phca_net *net, const uint8_t gid[16]);
/**
 * @return the index of the GID to send from to @p dgid: one of its family, for
 *         IPv6 one of its scope if there is; -ENOENT. Any thread.
 */
int phca_net_gid_for(const struct phca_net *net, const uint8_t dgid[16]);
/** @return whether a GID is one of the port's: what goes there is loopback. Any thread. */
bool phca_net_is_own(const struct phca_net *net, const uint8_t gid[16]);

/**
 * Become a member of a multicast group, once more: the device lets its packets in,
 * and routers and snooping switches are told (IGMP, RFC 3376; MLD, RFC 3810) by
 * the port's owner, with phca_net_poll. One control thread at a time, also while
 * lcores use the port. The port is a member of its addresses' solicited-node
 * groups by itself.
 * @param mgid  a multicast GID, IPv4 as ::ffff:224.x.y.z
 * @return 0; -EINVAL not a multicast GID; -EADDRNOTAVAIL IPv4, and the port has no
 * IPv4 address; -ENOSPC no place, or places of left groups that are still told of
 */
int phca_net_mcast_join(struct phca_net *net, const uint8_t mgid[16]);
/** Take back one join; the last one leaves the group. @return 0; -ENOENT not a member */
int phca_net_mcast_leave(struct phca_net *net, const uint8_t mgid[16]);
/** A group that the port is a member of, for show. */
struct phca_net_group {
	uint8_t gid[16];       /**< multicast GID */
	uint32_t members;      /**< joins, > 0; the port's own of solicited-node groups included */
};
/** The control thread that joins and leaves: @return entries written, 0..n. */
unsigned int phca_net_mcast_dump(const struct phca_net *net, struct phca_net_group *out, unsigned int n);

/**
 * Any HCA lcore: is this parsed RoCEv2 frame for this port? Checks destination MAC
 * (own or multicast/broadcast, unless promisc), VLAN and destination address
 * (a GID; multicast is allowed: which groups have members, the HCA knows). Cheap: a few compares for the common case.
 */
bool phca_net_is_ours(const struct phca_net *net, const void *frame, const struct phca_pkt *pkt);

/**
 * HCA lcore: a frame that is not RoCEv2. ARP requests, neighbour solicitations
 * and echo requests for own addresses are answered in place; replies and
 * gratuitous messages teach the neighbour table; queries for multicast groups are
 * answered later by phca_net_poll. All lengths, options and checksums are checked
 * (RFC 826, 4861 incl. hop limit 255, 4443, 792, 3376, 3810).
 * @param m      the frame, in one segment; may be rewritten
 * @param pkt    what phca_wire_parse filled in
 * @param reply  written: true when @p m now is an answer to transmit
 * @return ARP, NDP, ICMP_ECHO, GROUP_QUERY, NOT_OURS or NOT_ROCE
 */
enum phca_verdict phca_net_input(struct phca_net *net, struct rte_mbuf *m,
		const struct phca_pkt *pkt, uint64_t now_ns, bool *reply);

/** Outcome of phca_net_resolve. */
enum phca_neigh_state {
	PHCA_NEIGH_READY,   /**< mac is written */
	PHCA_NEIGH_PENDING, /**< asked; try again later */
	PHCA_NEIGH_FAILED,  /**< no answer to 3 probes 1 s apart, for the next 3 s; or no route or table full */
};
/**
 * HCA lcore: the MAC address for a destination: multicast is computed, own
 * addresses give the own MAC, on-link ones come from the neighbour table, others
 * go to the gateway.
 * @param sgid_index  own GID to use (its family must fit)
 */
enum phca_neigh_state phca_net_resolve(struct phca_net *net, unsigned int sgid_index,
		const uint8_t dgid[16], uint8_t mac[6], uint64_t now_ns);
/**
 * Any HCA lcore: the same, without asking: what the port's owner knows. Lock-free,
 * and nothing is sent. Use of an entry keeps it alive and has it confirmed, as if
 * the owner had resolved it.
 * @return READY; FAILED; PENDING: not known, or changing just now: have the owner
 * call phca_net_resolve, and look again
 */
enum phca_neigh_state phca_net_lookup(struct phca_net *net, unsigned int sgid_index,
		const uint8_t dgid[16], uint8_t mac[6]);
/** HCA lcore: add or change a static entry. @return 0; -EINVAL no other station's address; -ENOSPC */
int phca_net_neigh_add(struct phca_net *net, const uint8_t gid[16], const uint8_t mac[6]);

/**
 * HCA lcore: frames of the port's own that are due (ARP requests, neighbour
 * solicitations; gratuitous ones after start; multicast memberships).
 * @return frames written to @p out, 0..n, owned by the caller
 */
unsigned int phca_net_poll(struct phca_net *net, uint64_t now_ns, struct rte_mbuf **out, unsigned int n);

/** An entry of the neighbour table, for show. */
struct phca_neigh_info {
	uint8_t gid[16], mac[6];
	bool is_static;
	enum phca_neigh_state state;
};
/** HCA lcore (through a command): @return entries written, 0..n. */
unsigned int phca_net_neigh_dump(const struct phca_net *net, struct phca_neigh_info *out, unsigned int n);

/** Text to GID: "10.0.0.1" gives ::ffff:10.0.0.1. @return 0, -EINVAL */
int phca_gid_parse(const char *text, uint8_t gid[16], bool *ip6);
/** GID to text; @p buf of 46 bytes. @return buf */
const char *phca_gid_str(const uint8_t gid[16], char *buf);

#ifdef __cplusplus
}
#endif
#endif
