/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A laboratory: one HCA and one proxy in this thread, turned by hand with a fake
 * clock; a port whose cable ends in two rings, so that a test puts packets in and
 * looks at what came out.
 *
 * lab_close asserts what must hold at every teardown: received packets are the
 * sum of the verdicts, and no buffer is missing.
 */
#ifndef LAB_H
#define LAB_H

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "phca_hca.h"
#include "phca_test.h"

#define LAB_MTU 1024
#define LAB_DEPTH 64
#define LAB_BUF (8 * 1024) /* bytes of one receive buffer */
#define LAB_QKEY 0x11111111u
#define LAB_LCORES 4   /* shards at most, and proxies */
#define LAB_PEER_QPN 0x77u
#define LAB_TIMEOUT 14   /* RC: 67 ms */
#define LAB_RNR_TIMER 12 /* RC: 0.64 ms */
#define LAB_RD_ATOMIC 4  /* RC: either way */

/* How to open one; zero members mean the defaults. */
struct lab_opts {
	uint16_t mtu;            /* LAB_MTU */
	uint32_t ring_size;      /* 256: elements of the ring to the proxy */
	uint16_t max_held;       /* packets of an offloaded message */
	bool no_proxy;
	bool sleeps;             /* the loops do when they run: a test that does not turn them by hand */
	bool two_ip4;            /* lab_gid2 is an own address, too */
	unsigned int nb_shards;  /* 1 */
	unsigned int nb_proxies; /* 1 */
	unsigned int nb_queues;  /* 1, or as many as shards; of the port */
	bool vlan;
	uint32_t max_qp;         /* 4096 */
	const struct phca_congestion_conf *congestion; /* NULL: off */
};

extern const uint8_t lab_gid2[16];

struct lab_qp {
	struct phca_qp *qp;
	struct phca_cq *cq;      /* of both queues */
	uint32_t qpn;
	uint8_t *buf;            /* LAB_DEPTH receive buffers of LAB_BUF */
	uint32_t lkey;
	uint64_t next_id;        /* of the next receive posted */
};

struct lab {
	uint64_t now_ns;
	struct rte_mempool *pool;
	struct rte_ring *in, *out;  /* the cable */
	struct rte_ring *in2, *out2; /* of the second queue, if there is one */
	uint16_t port;
	struct rte_rcu_qsbr *qsbr;
	struct phca_mem *mem;
	struct phca_loop *hca_loop, *proxy_loop;     /* the first of each */
	struct phca_loop *hca_loops[LAB_LCORES], *proxy_loops[LAB_LCORES];
	unsigned int nb_shards, nb_proxies;
	struct phca_proxy *proxy;                    /* the first */
	struct phca_proxy *proxies[LAB_LCORES];
	struct phca_net *net;
	struct phca_hca *hca;
	struct phca_client *client;
	uint32_t pd;
	struct phca_filter_slot slots[8];
	unsigned int nb_slots;
	uint64_t injected;
};

struct lab *lab_open(const struct lab_opts *o);
void lab_close(struct lab *l);

/* n turns of both lcores, 1 us apart. */
void lab_turn(struct lab *l, unsigned int n);
/* Turns of only one of them. */
void lab_turn_hca(struct lab *l, unsigned int n);
void lab_turn_proxy(struct lab *l, unsigned int n);

/* A QP in RTS with its own CQ; qpn 0: any. Receives are posted by lab_post. */
struct lab_qp lab_qp(struct lab *l, enum phca_qp_type type, uint32_t qpn);
struct lab_qp lab_qp_cqe(struct lab *l, enum phca_qp_type type, uint32_t qpn, uint32_t cqe);
/* From RESET to RTR or RTS with this PSN expected. */
void lab_qp_up(const struct lab *l, struct phca_qp *qp, enum phca_qp_type type, enum phca_qp_state to,
		uint32_t rq_psn);
/* To RESET, then to RTR or RTS with this PSN expected. */
void lab_qp_restart(struct lab *l, struct lab_qp *q, enum phca_qp_state to, uint32_t rq_psn);
void lab_qp_free(struct lab *l, struct lab_qp *q);
/* Connect two RC ones through the HCA's own address. */
void lab_connect(struct lab *l, struct lab_qp *a, struct lab_qp *b);
/* Post n receives of LAB_BUF bytes; ids go on from the last. */
void lab_post(struct lab_qp *q, unsigned int n);
/* Where receive @p id lands. */
uint8_t *lab_buf(const struct lab_qp *q, uint64_t id);
/* One completion; false: none. */
bool lab_poll(struct lab_qp *q, struct phca_wc *wc);

/* Load an example filter into a new slot. */
struct phca_filter_slot *lab_filter(struct lab *l, const char *name, const struct phca_filter_param *p, unsigned int n);
/* Load a shipped offload of the driver bpf into a new slot. */
struct phca_filter_slot *lab_program(struct lab *l, const char *name);
/* An instance of a driver. */
struct phca_offload *lab_offload(struct lab *l, const char *name, const struct phca_offload_ops *ops,
		const struct phca_setting_arg *args, unsigned int n, uint64_t limit_ns);

/* A header for a packet to qpn, from the peer, right in all respects. */
struct phca_wire_hdr lab_hdr(const struct lab *l, enum phca_opcode op, uint32_t qpn, uint32_t psn);
/* Put a packet of n payload bytes (seed, seed + 1, ...) on the cable. */
void lab_send(struct lab *l, const struct phca_wire_hdr *h, uint32_t n, uint8_t seed);
/* Put raw bytes on the cable. */
void lab_raw(struct lab *l, const void *frame, uint32_t len);
/* The next RoCEv2 packet the HCA sent; NULL: none. Free with rte_pktmbuf_free. */
struct rte_mbuf *lab_capture(struct lab *l);
/* Whether n bytes at p are seed, seed + 1, ... */
bool lab_is(const uint8_t *p, uint32_t n, uint8_t seed);

/* Counters, read now. */
uint64_t lab_verdict(const struct lab *l, enum phca_verdict v);
struct phca_qp_info lab_info(const struct lab_qp *q);

#endif
