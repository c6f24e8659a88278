/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many RC queue pairs of one HCA, and a peer that acknowledges what asks for it.
 * The port takes as many packets a turn as the test says.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include "lab.h"

#define FLOWS_MEM (1u << 20)   /* bytes of the region that all of them use */
#define FLOWS_PEER 0x100000u   /* the peer of queue pair i is FLOWS_PEER + i */
#define FLOWS_CABLE 1023       /* packets that wait on the cable at most */

struct flow {
	struct phca_qp *qp;
	uint32_t qpn, dest;
	bool refill;           /* a WR of the same kind is posted for each that ended */
	struct phca_send_wr wr;
};

struct flows {
	struct lab *l;
	struct phca_cq *cq;    /* of all */
	uint8_t *mem;
	uint32_t key;
	unsigned int n;
	struct flow *f;
	unsigned int takes;    /* packets that the port takes a turn; 0: all */
	bool mute;             /* the peer does not answer */
};

/* n queue pairs with a send queue of depth, in RTS. */
struct flows flows_open(unsigned int n, uint32_t depth);
void flows_close(struct flows *s);
/* Connect a to b through the HCA's own address. */
void flows_pair(struct flows *s, unsigned int a, unsigned int b);
/* Post a signaled WR of so many bytes. */
void flows_post(struct flows *s, unsigned int i, enum phca_wr_opcode op, uint32_t len);
/* Keep so many of them posted from now on. */
void flows_bulk(struct flows *s, unsigned int i, enum phca_wr_opcode op, uint32_t len, unsigned int n);
/* The peer of i asks for so many bytes. */
void flows_read(struct flows *s, unsigned int i, uint32_t psn, uint32_t len);
/* One turn; then the peer gets what the port took, and answers. */
void flows_turn(struct flows *s, unsigned int n);
/* Turns in which the peer gets nothing, until the port takes nothing any more. */
void flows_jam(struct flows *s);
/* Packets that it staged for the port. */
uint64_t flows_sent(const struct flows *s, unsigned int i);
uint64_t flows_sent_all(const struct flows *s, unsigned int from, unsigned int to);

#endif
