/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RC connections inside one HCA, through its own address, mostly from one shard to
 * another: what the two ends post, and a model of what their application may see.
 * post and poll belong to the application's lcore, all else to the control thread.
 */
#ifndef MESH_H
#define MESH_H

#include "../hca/lab.h"

#define MESH_SHARDS 3
#define MESH_APPS 2        /* lcores with a proxy and an application */
#define MESH_LINKS 12
#define MESH_DEPTH 16      /* send WRs of an end */
#define MESH_RECVS 32      /* receives of an end without an SRQ */
#define MESH_MSG 2560      /* bytes of a message at most */
#define MESH_IN_BIG 800    /* proxied: from here on inbound messages are offloaded, */
#define MESH_SEND_BIG 1600 /* and from here on outbound ones */
#define MESH_SLOTS 128     /* places that WRITEs with immediate data go to */
#define MESH_SRQ_DEPTH 64
#define MESH_SRQ_SLOTS 2048 /* buffers of an SRQ: those that a dead queue pair held are not used again */

/* An SRQ and its buffers. */
struct pond {
	struct phca_srq *srq;
	uint8_t *mem;
	uint32_t key;
	uint32_t nb_free;
	uint16_t free[MESH_SRQ_SLOTS];
	bool posted[MESH_SRQ_SLOTS];
};

struct mesh_wr {
	uint8_t opcode;
	bool signaled;
	uint32_t len;
	uint64_t number;  /* what its data is made of; atomics: the value that comes back */
};

struct side {
	struct phca_qp *qp;
	struct phca_cq *scq, *rcq;
	struct pond *pond;      /* NULL: receives of its own */
	uint8_t *mem;           /* see the offsets in mesh.c */
	uint32_t key;
	struct mesh_wr wr[MESH_DEPTH];
	uint32_t posted, completed;   /* relaxed: control looks */
	uint32_t rposted, rgot;
	uint32_t sent, received;      /* messages that nobody takes: numbered */
	uint32_t writes, adds;
	bool back;              /* the next one READs what the last one wrote */
	bool failed, rfailed;   /* a completion of the send, the receive queue was not a success */
	uint64_t seed;          /* of its data */
};

/* Left to the control thread; runs; is polled only. */
enum link_phase { LINK_PAUSED, LINK_RUNS, LINK_ENDS };

struct link {
	struct side side[2];
	bool proxied;
	enum link_phase phase;  /* the application's */
	bool ends;              /* control disturbs it: failures are in order */
	uint32_t life;
	uint64_t rnd;
	uint64_t *wrong;        /* what was seen and must not be */
	uint64_t done;          /* completions; relaxed: control looks */
};

/* Say what is wrong, and count it. */
void mesh_wrong(struct link *l, const char *what, uint64_t a, uint64_t b);
/* The model of a connection that begins. */
void mesh_begin(struct link *l);
/* Application: post, poll. @return completions */
unsigned int mesh_turn(struct link *l);
/* Poll only. */
unsigned int mesh_poll(struct link *l, unsigned int side);
/* Bytes of an end's memory. */
size_t mesh_bytes(void);
void mesh_fill(struct side *s);

#endif
