/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A proxy QP whose offload issues work requests: a driver that keeps what it is
 * handed, so that a test decides when it issues what, and a peer played by hand.
 *
 * child_close asserts that each child that was issued was told over once, and that all are
 * back in the pool.
 */
#ifndef CHILD_LAB_H
#define CHILD_LAB_H

#include "req_peer.h"

#define BIG 100       /* bytes of a message that is offloaded, or more */
#define CHILD_POOL 240
#define CHILD_ENDS 4096

struct child_end {
	uint64_t tag;
	uint32_t status;
};

/* What the driver has seen; of the one instance that there is. */
struct child_driver {
	struct phca_offload_req *held[256];
	unsigned int nb_held;
	struct child_end ends[CHILD_ENDS];   /* the last ones */
	unsigned int nb_ends, nb_failed, next_end, nb_posted;
	unsigned int nb_errors, nb_gone;
	bool watch;                          /* the queue pair of the first request */
	unsigned int (*poll)(uint64_t now_ns);
};
extern struct child_driver child_driver;

struct child_lab {
	struct peer p;
	struct phca_offload *o;
	struct phca_rule r;
	struct phca_pqp *q;                  /* of the last request that was held */
};

/* lo, po: NULL for the defaults. */
struct child_lab child_open(enum phca_qp_type type, bool ordered, const struct lab_opts *lo,
		const struct peer_opts *po);
/* Makes p.q a proxy QP with that window. */
void child_attach(struct child_lab *x, uint32_t window);
void child_close(struct child_lab *x);

/* Post one of n bytes of mem; offloaded when n >= BIG. */
void child_app_post(struct child_lab *x, enum phca_wr_opcode op, uint32_t n, uint64_t id, uint32_t flags);
/* Post one that is offloaded, and turn. @return the request */
struct phca_offload_req *child_parent(struct child_lab *x, uint64_t id);
/* A child with n bytes tag, tag + 1, .. inside; not issued yet. */
struct phca_child *child_make(struct child_lab *x, enum phca_wr_opcode op, uint32_t n, uint8_t tag);
/* The same over an SGE of mem. */
struct phca_child *child_make_sge(struct child_lab *x, enum phca_wr_opcode op, uint32_t n, uint8_t tag);
/* Issue it on x->q. */
void child_issue(struct child_lab *x, struct phca_child *c, struct phca_offload_req *parent);
/* child_make and child_issue of a SEND of 8 bytes. */
void child_send(struct child_lab *x, uint8_t tag, struct phca_offload_req *parent);
/* The next end that was told. */
void child_ended(uint8_t tag, uint32_t status);
void child_none_ended(void);
/* The next packet is this, and its payload of n bytes begins with tag, tag + 1, .. */
void child_expect(struct child_lab *x, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t tag);

#endif
