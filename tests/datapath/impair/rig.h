/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A net_impair on a net_ring: packets go in at one end of a direction and are
 * taken out at the other, with a clock that the test sets. Closing checks that
 * every packet was accounted for and every buffer came back.
 */
#ifndef RIG_H
#define RIG_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "phca_impair.h"
#include "phca_test.h"
#include "phca_wire.h"

#define RX PHCA_IMPAIR_RX
#define TX PHCA_IMPAIR_TX
#define RIG_RING 1024
#define RIG_MAX 1024     /* packets that rig_psns takes */
#define US 1000u
#define MS 1000000u

struct rig {
	uint16_t port, lower, queues;
	struct rte_ring *in, *out;   /* rx and tx ring of the lower port */
	struct rte_mempool *pool;
	uint64_t now_ns;
};

/* A packet to build. */
struct rig_pkt { uint32_t qpn, psn, len; uint8_t opcode, tclass; bool ip6; uint16_t sport; };

/* Create, configure and start; args behind "lower=...,". Time is 0. */
bool rig_open(struct rig *r, const char *args);
/* As many queues as asked on a lower port of one. */
bool rig_open_queues(struct rig *r, const char *args, uint16_t queues);
void rig_close(struct rig *r);
/* Check the sum of a direction. @return its counters */
struct phca_impair_counters rig_balance(const struct rig *r, enum phca_impair_dir dir);

/* Move the clock. */
void rig_at(struct rig *r, uint64_t now_ns);

/* An RC SEND_ONLY with the iCRC in place. */
struct rte_mbuf *rig_build(struct rig *r, const struct rig_pkt *p);
struct rte_mbuf *rig_send_only(struct rig *r, uint32_t qpn, uint32_t psn);
/* Put packets in. @return how many were taken */
unsigned int rig_put(struct rig *r, enum phca_impair_dir dir, struct rte_mbuf **m, unsigned int n);
/* n packets for a QP from a PSN on, one burst each. */
void rig_feed(struct rig *r, enum phca_impair_dir dir, uint32_t qpn, uint32_t psn, unsigned int n);
/* What came out. @return how many */
unsigned int rig_get(struct rig *r, enum phca_impair_dir dir, struct rte_mbuf **m, unsigned int n);
/* PSNs of all that came out; the packets are freed. */
unsigned int rig_psns(struct rig *r, enum phca_impair_dir dir, uint32_t psn[RIG_MAX]);
/* The same, and whether they are these. */
void rig_expect(struct rig *r, enum phca_impair_dir dir, const char *psns);
/* The frame in one piece. */
const uint8_t *rig_frame(const struct rte_mbuf *m);
/* What the parser says of it, iCRC checked. */
enum phca_verdict rig_verdict(const struct rte_mbuf *m, struct phca_pkt *pkt);
/* One more device, on rings, with one queue, started. @return its port */
uint16_t rig_ring_port(const char *name, const char *args, struct rte_mempool *pool);
/* Replace the rules, which must be good. */
void rig_rules(struct rig *r, const char *text);

#endif
