/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer of a connected queue pair, played by hand: what the requester sent is
 * looked at packet by packet, answers are made up.
 */
#ifndef REQ_PEER_H
#define REQ_PEER_H

#include "lab.h"

#define PEER_PSN 0x100u     /* first PSN that the requester sends */
#define PEER_TIMEOUT 10     /* local ACK timeout: 4.096 us * 2^10 */
#define PEER_TIMEOUT_NS (4096ull << PEER_TIMEOUT)

/* How the queue pair is made; zero members mean the defaults. */
struct peer_opts {
	uint32_t psn;            /* PEER_PSN */
	uint8_t timeout;         /* PEER_TIMEOUT */
	bool no_timeout;         /* none */
	uint8_t retry_cnt;       /* 3 */
	uint8_t rnr_retry;       /* 2 */
	uint8_t max_rd_atomic;   /* 4 */
	uint32_t depth;          /* LAB_DEPTH: of the send queue */
	uint16_t mtu;            /* LAB_MTU */
	uint32_t sges;           /* 4 */
};

struct peer {
	struct lab *l;
	struct lab_qp q;         /* in RTS */
	uint8_t *mem;            /* what it sends from and reads to: PEER_MEM bytes */
	uint32_t key;
	/* the packet that peer_next took */
	struct phca_pkt p;
	const uint8_t *frame;
	struct rte_mbuf *m;
};
#define PEER_MEM (1u << 20)

struct peer peer_open(struct lab *l, enum phca_qp_type type, const struct peer_opts *o);
/* Frees the queue pair and closes the lab. */
void peer_close(struct peer *p);
/* A signaled work request over n bytes of mem; wr_id 1. The SGE is static. */
struct phca_send_wr peer_wr(struct peer *p, enum phca_wr_opcode op, uint32_t n);
/* Post it and turn. */
void peer_post(struct peer *p, const struct phca_send_wr *wr);
/* The next packet that was sent, valid until the next call; false: none. */
bool peer_next(struct peer *p);
/* Take one that must be of this opcode and PSN. */
void peer_expect(struct peer *p, enum phca_opcode op, uint32_t psn);
/* No packet was sent. */
void peer_expect_none(struct peer *p);
/* Drop what was sent. @return how many packets */
unsigned int peer_drain(struct peer *p);
const struct phca_reth *peer_reth(const struct peer *p);

/* Answer, and turn. syndrome: 0x1f ACK, 0x20 | code RNR NAK, 0x60 | code NAK. */
void peer_ack(struct peer *p, uint32_t psn, uint8_t syndrome);
#define PEER_ACK 0x1f
#define PEER_RNR 0x20
#define PEER_NAK 0x60
/* A READ response of n bytes seed, seed + 1, ... */
void peer_read_resp(struct peer *p, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t seed);
void peer_atomic_ack(struct peer *p, uint32_t psn, uint64_t orig);
/* Take a completion that must be this. */
void peer_wc(struct peer *p, uint64_t wr_id, uint32_t status);
void peer_no_wc(struct peer *p);
/* So much time passes. */
void peer_wait(struct peer *p, uint64_t ns);

#endif
