/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traffic of one program with itself: an RC queue pair connected to another by the
 * device's own GID, whose messages are numbered and checked. Plain verbs.
 */
#ifndef PAIR_H
#define PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniband/verbs.h>

#define PAIR_DEPTH 16
#define PAIR_BYTES 512 /* of a message */

struct pair {
	struct ibv_pd *pd;
	struct ibv_comp_channel *ch; /* of the CQ; NULL: it is polled */
	struct ibv_cq *cq;
	struct ibv_qp *qp[2]; /* the first sends, the second receives */
	struct ibv_mr *mr;
	uint8_t *buf;         /* PAIR_DEPTH messages to send, then as many to receive */
	uint64_t posted[2], done[2], good[2], flushed[2];
	uint8_t state[2][PAIR_DEPTH]; /* of each slot: 1 outstanding */
};

/* @return the device of that name (NULL: the first), open; NULL: there is none, errno says why */
struct ibv_context *device_open(const char *name);
/* Its last GID that is not link-local. @return index */
int device_gid(struct ibv_context *ctx, union ibv_gid *gid);

/* All of these end the program (die.c) when a call fails. */
void pair_make(struct pair *p, struct ibv_context *ctx, bool channel);
void pair_destroy(struct pair *p);
/* @return the errno that ibv_post_recv or ibv_post_send gave */
int pair_recv(struct pair *p, unsigned int slot);
int pair_send(struct pair *p, unsigned int slot);
/* Receives of all slots, then sends of all. */
void pair_start(struct pair *p);
/*
 * Poll once. What succeeded is compared and posted again; what was flushed is counted.
 * A completion of a slot that is not outstanding ends the program.
 * @return completions
 */
int pair_poll(struct pair *p);
/* Poll until so many messages came. */
void pair_run(struct pair *p, uint64_t messages);
/* @return requests that are outstanding */
unsigned int pair_outstanding(const struct pair *p);
/* To INIT, RTR, RTS, connected to the QP with that number behind the GID. */
void qp_connect(struct ibv_qp *qp, uint32_t dest, const union ibv_gid *gid, int gid_index);

#endif
