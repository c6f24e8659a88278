/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client as another process would be: its rings lie in a memfd that is mapped
 * twice, once for the HCA and once for the application, which knows nothing but
 * where the rings are and uses the functions of lib/queue.
 */
#ifndef OUTSIDE_H
#define OUTSIDE_H

#include "lab.h"

#define OUTSIDE_ARENA (1u << 21) /* bytes */

struct outside {
	struct lab *l;
	struct phca_client *c;
	struct phca_cq *cq;
	struct phca_qp *qp;          /* a datagram QP in RTS that sends to itself */
	struct phca_ring sq, rq, cqr, db; /* the application's views */
	uint8_t *hca, *app;          /* the arena as either side sees it */
	size_t used, live;           /* bytes given out, and not taken back */
	unsigned int nb_live;
	int fd;
	int wake_fd;                 /* -1: none */
	uint8_t *buf;
	uint32_t key;
};

/* With wake: an eventfd for the first HCA lcore. */
void outside_open(struct outside *o, struct lab *l, bool wake);
/* Closes the client, and asserts that no ring is left. */
void outside_close(struct outside *o);
/* Attach a view of the application to a ring. */
void outside_attach(const struct outside *o, struct phca_ring *r, const struct phca_ring_mem *m,
		enum phca_ring_type type);
/* Post n receives, and n sends of 8 bytes to itself, each numbered from 0. @return as phca_db_ring, which rings */
bool outside_post(struct outside *o, unsigned int n, uint16_t flags);

/* Notes that came for a CQ; all are taken. */
unsigned int outside_notes(int fd, const struct phca_cq *cq);

#endif
