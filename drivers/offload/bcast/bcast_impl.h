/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the bcast driver share. */
#ifndef BCAST_IMPL_H
#define BCAST_IMPL_H

#include "phca_drivers.h"

#define MEMBER_NAME 80

/* A member of the group: a peer of the instance. Its slot is its for good. */
struct member {
	struct phca_pqp *pqp;      /* NULL: it was destroyed, the slot is free */
	char name[MEMBER_NAME];
	bool ready;                /* it gets what is posted */
	uint64_t window_va, window_len; /* announced; length 0: none */
	uint32_t window_rkey;
	uint64_t acked, failed, missed, drops; /* counters */
};

/*
 * A broadcast under way: from the copies to the members until the last one is over,
 * which may be long after its request has completed.
 */
struct job {
	struct job *next;          /* free ones */
	struct phca_offload_req *req; /* NULL: completed, failed or cancelled */
	uint8_t *buf;              /* of its own, copy_max bytes; NULL: copy_max is 0 */
	uint32_t refs;             /* children that are not over; and start() */
	uint32_t total, over, acked; /* copies to members: wanted, over, acknowledged */
	uint32_t need;             /* acknowledgements that complete it */
	uint8_t error;             /* first error of a member; SUCCESS: none */
	bool copied;               /* children send buf, not the application's memory */
	bool own;                  /* the application's own peer gets it, too */
	/* what members get, but for a WRITE's target; lines that the HCA lcore reads */
	struct phca_offload_wr wr __rte_cache_aligned;
} __rte_cache_aligned;

/* Counters of an instance. X(field) */
#define BCAST_COUNTERS(X) \
	X(copies) X(dropped) X(rejoined) X(missed) X(stragglers) X(announcements) X(bad_announcements)

struct bcast {
	/* settings */
	uint32_t quorum, max_members, outstanding, copy_max;
	uint64_t write_base;
	bool fail, own_peer, copy_only;
	/* state */
	struct member *members;
	unsigned int nb_members;   /* slots that were ever used */
	struct job *jobs, *free_jobs;
	uint8_t *bufs;
	uint32_t under_way;
	struct phca_offload_req *first, *last; /* wait for a job; req->drv[0] next, drv[1] before */
	uint32_t waiting;
#define CTR(f) uint64_t f;
	BCAST_COUNTERS(CTR)
#undef CTR
};

/* bcast.c: how requests and jobs refer to each other */
enum { DRV_NEXT, DRV_PREV, DRV_JOB, DRV_STATE };

/* members.c: who is in the group */
int bcast_peer(struct phca_offload *o, struct phca_pqp *q, const char *name);
void bcast_qp_event(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns);
int bcast_show(const struct phca_offload *o, int (*emit)(void *arg, const char *name, uint64_t value), void *arg);
/* A SEND of a member. */
void bcast_announced(struct bcast *b, struct phca_offload_req *req);
/* @return the member whose queue pair it is; NULL: none */
struct member *bcast_member(const struct bcast *b, const struct phca_pqp *q);
/* It gets nothing from now on. */
void bcast_member_drop(struct bcast *b, struct member *m);

#endif
