/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What verbs promise, in cases of a few lines: a device of its own, two queue pairs that
 * are connected to each other, requests and their completions.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniband/verbs.h>

/* A case ends at its first one that is not so. */
void case_failed(const char *file, int line, const char *what);
#define CHECK(is) \
	do { \
		if (!(is)) { \
			case_failed(__FILE__, __LINE__, #is); \
			return; \
		} \
	} while (0)

#define BUF 65536
#define QKEY 0x1234
#define ALL_ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | \
	IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND)

/* The device of all cases, and the GID that they use. */
extern struct ibv_context *ctx;
extern struct ibv_device_attr dev;
extern union ibv_gid gid;
extern int gid_index;

struct ibv_context *open_again(void);

/* Two queue pairs, each other's peers: RC and UC connected, UD with an address of the other. */
struct pair {
	struct ibv_context *c[2];
	struct ibv_pd *pd[2];
	struct ibv_cq *cq[2]; /* of all completions of that side */
	struct ibv_comp_channel *ch; /* NULL: none; of cq[1] */
	struct ibv_srq *srq;  /* NULL: none; of qp[1] */
	struct ibv_qp *qp[2];
	struct ibv_mr *mr[2];
	uint8_t *buf[2];      /* of BUF bytes */
	struct ibv_ah *ah;
};
struct pair_opts {
	struct ibv_context *other; /* of side 1, when it is another */
	uint32_t depth, sge, inline_bytes, cqe; /* 0: some */
	uint64_t ops;        /* of ibv_create_qp_ex */
	bool srq, channel, not_all_signaled, one_pd;
};
bool pair_make(struct pair *p, enum ibv_qp_type type, const struct pair_opts *o);
/* @return whether all went without an error */
bool pair_free(struct pair *p);

bool to_init(struct ibv_qp *qp);
bool to_rtr(struct ibv_qp *qp, uint32_t peer);
bool to_rts(struct ibv_qp *qp);
bool to_state(struct ibv_qp *qp, enum ibv_qp_state s);

/* @return 1: a completion came within seconds; 0: none */
int wait_wc(struct ibv_cq *cq, struct ibv_wc *wc);
/* Post one of this opcode, signaled, from buf[side] to the other's, at offset 0. @return 0 or errno */
int send_one(struct pair *p, int side, enum ibv_wr_opcode op, uint32_t len, uint64_t wr_id);
int recv_one(struct pair *p, int side, uint32_t len, uint64_t wr_id);
/* @return whether a message of len bytes goes from side to the other and is the same there */
bool works(struct pair *p, int side, uint32_t len);
/* @return 1 and the event when one of the type comes within seconds, others are acknowledged; 0 */
int wait_async(struct ibv_context *c, enum ibv_event_type type, struct ibv_async_event *ev);

/* Lists of cases, the last one's name is NULL. */
struct conform_case {
	const char *name;
	void (*run)(void);
};
extern const struct conform_case control_cases[], data_cases[], more_cases[];
#define CASE(name) { #name, name }

#endif
