/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer of one RC queue pair, played by a test: it sends requests packet by
 * packet and looks at each packet that comes back.
 */
#ifndef RC_PEER_H
#define RC_PEER_H

#include "lab.h"

#define RC_WITHHELD_NS 1000000u /* acknowledgements of ordered requests are withheld no longer */

struct rc {
	struct lab *l;
	struct lab_qp q;
};

/* An RC queue pair in RTS that expects PSN 0, with n receives posted. */
struct rc rc_open(const struct lab_opts *o, unsigned int n);
/* Asserts that nothing was sent that the test did not look at. */
void rc_close(struct rc *c);

/* Header of a request: AckReq set unless it is a MIDDLE or FIRST. */
struct phca_wire_hdr rc_hdr(const struct rc *c, enum phca_opcode op, uint32_t psn);
/* SEND and WRITE packets without RETH: n bytes seed, seed + 1, ... */
void rc_send(struct rc *c, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t seed);
/* WRITE FIRST and ONLY: to offset off of the QP's buffer. */
void rc_write(struct rc *c, enum phca_opcode op, uint32_t psn, uint64_t off, uint32_t dma_len, uint32_t n,
		uint8_t seed);
void rc_read(struct rc *c, uint32_t psn, uint64_t off, uint32_t len);
void rc_cas(struct rc *c, uint32_t psn, uint64_t off, uint64_t cmp, uint64_t swap);
void rc_add(struct rc *c, uint32_t psn, uint64_t off, uint64_t add);

/* What came back, checked: turns first. All count as assertions. */
void rc_expect_ack(struct rc *c, uint32_t psn, uint32_t msn);
/* The same, of requests that are ordered: the peer waits for as long as an acknowledgement is withheld at most. */
void rc_expect_ack_late(struct rc *c, uint32_t psn, uint32_t msn);
void rc_expect_nak(struct rc *c, uint8_t syndrome, uint32_t psn);
void rc_expect_atomic(struct rc *c, uint32_t psn, uint64_t value);
/* A READ response packet: n bytes as they lie at offset off of the QP's buffer. */
void rc_expect_resp(struct rc *c, enum phca_opcode op, uint32_t psn, uint64_t off, uint32_t n);
/* The response of a READ of len bytes from packet `from` of it on, read from its first byte. */
void rc_expect_read(struct rc *c, uint32_t psn, uint64_t off, uint32_t len);
void rc_expect_nothing(struct rc *c);
/* The next completion. */
void rc_expect_recv(struct rc *c, uint64_t id, uint32_t status, uint32_t len);
void rc_expect_no_recv(struct rc *c);
void rc_expect_state(struct rc *c, enum phca_qp_state s);
/* The next event, and that it is of this type. */
void rc_expect_event(struct rc *c, enum phca_event_type t);
void rc_expect_no_event(struct rc *c);

#endif
