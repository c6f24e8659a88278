/* SPDX-License-Identifier: BSD-3-Clause */
/* A port on a cable of two rings, and a peer who speaks byte by byte. */
#ifndef NET_LAB_H
#define NET_LAB_H

#include <string.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "phca_net.h"
#include "phca_test.h"

#define S_NS 1000000000ull

/* 10.0.0.1/24, 2001:db8::1/64, fe80::270:68ff:fe63:6101; gateways .254, ::fe */
struct net_lab {
	struct phca_net *net;
	struct rte_mempool *pool;
	uint64_t now_ns;
};

extern const uint8_t lab_mac[6], lab_ip4[4], lab_ip6[16], lab_local[16];
extern const uint8_t lab_peer_mac[6], lab_peer4[4], lab_peer6[16];

struct net_lab_opts {
	bool vlan;             /* VLAN 7 */
	bool promisc, no_gw, no_start;
	const struct phca_net_neigh *neighs;
	unsigned int nb_neighs;
};
void lab_conf(struct phca_net_conf *c);
struct net_lab *lab_open(const struct net_lab_opts *o);
/* Asserts that no mbuf is missing. */
void lab_close(struct net_lab *l);

/* Give a frame to the port as the HCA does. Answer: copied to f, its length to *n; else *n = 0. */
enum phca_verdict lab_input(struct net_lab *l, uint8_t *f, uint32_t *n);
/* One frame that the port wants to send now: its length, 0 none. */
uint32_t lab_poll(struct net_lab *l, uint8_t *f);
/* Poll until nothing is due; returns how many frames there were. */
unsigned int lab_drain(struct net_lab *l);

/* The same for 4 seconds: announcements and reports that are repeated. */
void lab_quiet(struct net_lab *l);

/* GID 10.a.b.c or 2001:db8::v in one of 4 buffers. */
const uint8_t *lab_gid4(uint8_t a, uint8_t b, uint8_t c);
const uint8_t *lab_gid6(uint16_t v);
enum phca_neigh_state lab_resolve(struct net_lab *l, const uint8_t *gid, uint8_t mac[6]);
/* How many of the dumped entries are static, ready and so on. */
unsigned int lab_neighs(const struct net_lab *l, bool is_static, enum phca_neigh_state state);

/* Frames: return the length. */
uint32_t mk_eth(uint8_t *f, const uint8_t *dmac, const uint8_t *smac, uint16_t type);
uint32_t mk_arp(uint8_t *f, uint16_t op, const uint8_t *sha, const uint8_t *spa, const uint8_t *tpa);
uint32_t mk_nd(uint8_t *f, uint8_t type, const uint8_t *src, const uint8_t *dst, uint8_t flags,
		const uint8_t *target, const uint8_t *mac);
uint32_t mk_echo4(uint8_t *f, uint32_t len);
uint32_t mk_echo6(uint8_t *f, uint32_t len);
/* A query for group gid (NULL: all), with a Router Alert: IGMPv3, or MLDv2; code as on the wire. */
uint32_t mk_igmp(uint8_t *f, const uint8_t *gid, uint8_t code);
uint32_t mk_mld(uint8_t *f, const uint8_t *gid, uint16_t code);
void mk_csum_igmp(uint8_t *l3);
void mk_csum_mld(uint8_t *l3);
/* Set checksums after a field was changed. l3 is the IP header. */
void mk_csum4(uint8_t *l3);
void mk_csum6(uint8_t *l3);
/* Put a VLAN tag into a frame. */
uint32_t mk_vlan(uint8_t *f, uint32_t n, uint16_t tci);

#endif
