/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server on a laboratory's HCA, and clients that speak the admin protocol by
 * hand, in the same thread: a request is sent, the server polled, the answer read.
 *
 * rig_close asserts what must hold whatever clients did: no object, mapping or
 * descriptor is left.
 */
#ifndef RIG_H
#define RIG_H

#include "../hca/lab.h"
#include "phca_admin.h"
#include "phca_host.h"

#define RIG_VA UINT64_C(0x7e0000000000) /* registered memory begins here, by default */

struct rig {
	struct lab *lab;
	struct phca_host *host;
	char dir[64], path[96];
	unsigned int fds, maps; /* when it was opened */
	/* what the callbacks were told */
	unsigned int created, connected, qps_gone, gone;
	struct phca_host_info who;
	struct phca_host_qp last;
};

/* A message. */
union rig_msg {
	struct phca_admin_req req;
	uint8_t bytes[PHCA_ADMIN_MSG_MAX];
};

/* A client's side. */
struct peer {
	struct rig *r;
	int fd;
	uint32_t seq;
	struct phca_admin_ans ans;
	struct phca_admin_gid gids[PHCA_ADMIN_GIDS_MAX];
	uint32_t ans_len;       /* 0: the connection has ended */
	int fds[PHCA_ADMIN_FDS_MAX];
	unsigned int nb_fds;    /* of the last answer; closed by the next request unless taken */
	int mem;                /* its memory object, -1 */
	int arena, events, wake;
	uint8_t *rings;
	uint64_t arena_bytes;
};

struct rig *rig_open(const struct phca_host_limits *limits);
struct rig *rig_open_proxy(void); /* with an lcore for offloads */
void rig_close(struct rig *r);
void rig_poll(struct rig *r);
struct phca_host_stats rig_stats(const struct rig *r);
unsigned int rig_fds(void);     /* descriptors of this process */
unsigned int rig_maps(void);    /* mappings of shared memory of this process */

/* Connect. @return whether */
bool peer_connect(struct rig *r, struct peer *p);
/* Connect and say HELLO. */
void peer_open(struct rig *r, struct peer *p);
/* End the connection. */
void peer_close(struct peer *p);
/* Send these bytes with these descriptors, poll, and read what comes. @return status; -EPIPE closed */
int peer_send(struct peer *p, const void *msg, size_t len, const int *fds, unsigned int nb_fds);
/* A request of an op with its members of u. */
int peer_call(struct peer *p, enum phca_admin_op op, const void *u, size_t len);
/* Send a request; nobody looks at it yet. */
void peer_ask(struct peer *p, enum phca_admin_op op, const void *u, size_t len);
/* Read what there is. @return status; -EAGAIN nothing; -EPIPE closed */
int peer_answer(struct peer *p);
/* With one handle. */
int peer_handle(struct peer *p, enum phca_admin_op op, uint32_t handle);
/* Share memory, as MEM_SHARE has it. */
int peer_share(struct peer *p);
/* Register bytes of the shared memory. */
int peer_reg(struct peer *p, uint32_t pd, uint64_t addr, uint64_t length, uint32_t access);
/* An RC QP with a CQ, in RTS, that sends to itself. @return its handle */
uint32_t peer_qp(struct peer *p, uint32_t pd, uint32_t cq);
/* Attributes to take a QP to the next state, to @p dest. */
int peer_modify(struct peer *p, uint32_t qp, uint32_t mask, const struct phca_admin_qp_attr *a);
int peer_to_rts(struct peer *p, uint32_t qp, uint32_t dest);

#endif
