/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the two files of datacheck share: datacheck.c has the objects and the connection,
 * phases.c what is sent and how it is checked. One thread.
 */
#ifndef DATACHECK_H
#define DATACHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include <infiniband/verbs.h>

#define DC_DEPTH 16U		/* sends that are under way at most */
#define DC_RECEIVES 64U		/* receives that are posted */
#define DC_READS 4		/* READs and atomics under way, either direction */
#define DC_TARGET (1U << 20)	/* bytes that the other end may read and write */
#define DC_ATOMICS 64U		/* of these the first bytes are for atomics */
#define DC_GRH 40U		/* in front of each datagram */
#define DC_QKEY 0x11111111U

/* What one end tells the other; both are of the same byte order. */
struct dc_party {
	uint32_t qpn;
	uint32_t psn;
	uint32_t rkey;
	uint64_t addr;
	union ibv_gid gid;
};

struct dc {
	enum ibv_qp_type type;
	enum ibv_mtu mtu;
	uint32_t mtu_bytes;
	uint32_t messages;	/* of each phase */
	uint32_t max_bytes;	/* of a message */
	uint64_t seed;
	bool client;
	int tcp;

	struct ibv_context *context;
	struct ibv_device_attr attr;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_ah *ah;
	struct ibv_mr *send_mr, *recv_mr, *target_mr;
	struct dc_party ours, theirs;

	uint32_t room;		/* bytes of a slot */
	uint8_t *send;		/* DC_DEPTH slots */
	uint8_t *recv;		/* DC_RECEIVES slots */
	uint8_t *target;	/* DC_TARGET bytes */
	uint8_t *wanted;	/* what ours or their target should hold */

	uint64_t key;		/* of the phase */
	uint32_t posted;	/* sends of the phase */
	uint32_t done;		/* of those, completed */
	uint32_t received;	/* of the phase */
	uint32_t next_recv;	/* slot that is received into next */
	uint32_t checked;
	uint64_t checked_bytes;
};

/* Print and leave: what is wrong is wrong for good. */
void dc_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Number index of the sequence of a key. */
uint64_t dc_random(uint64_t key, uint64_t index);
/* The pattern of a key. */
void dc_fill(uint8_t *p, uint32_t length, uint64_t key);
/* Two pieces of memory are the same, or this is the end. */
void dc_same(const char *what, uint32_t number, const uint8_t *is, const uint8_t *wanted,
	     uint32_t length);
uint64_t dc_now_ms(void);
/* Wait until the other end is there too. */
void dc_meet(const struct dc *d, const char *where);
/* Post so many receives. */
void dc_receives(struct dc *d, uint32_t count);
/* All phases; active: this end asks, else it is asked. */
void dc_phases(struct dc *d, bool active);

#endif
