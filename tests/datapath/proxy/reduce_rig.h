/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peers of a reduce offload on the rig: RC queue pairs 1.. with a rule to it, that
 * contribute and take what comes out.
 */
#ifndef REDUCE_RIG_H
#define REDUCE_RIG_H

#include "phca_reduce.h"
#include "rig.h"

#define RR_PEERS 6
#define RR_COUNT_MAX 400
#define RR_BYTES_MAX (RR_COUNT_MAX * 8)

extern struct rig rr;
extern struct rig_cq rr_cq;
extern struct phca_offload *rr_offload;
extern struct phca_pqp *rr_qp[RR_PEERS]; /* NULL: it has ended */
extern uint32_t rr_seq[RR_PEERS];        /* of the next contribution */

/* The last peer is in another protection domain than the others. */
void rr_setup(const struct phca_setting_arg *args, unsigned int nb_args, uint64_t limit_ns);
/* Asserts that nothing is left. */
void rr_teardown(void);
/* A queue pair is destroyed; another one comes in its place. */
void rr_peer_end(uint32_t i);
void rr_peer_begin(uint32_t i);
/* One of the driver's own figures. */
uint64_t rr_figure(const char *name);
uint64_t rr_in_flight(void);
/* Group 7. */
struct phca_reduce_hdr rr_header(unsigned int op, unsigned int type, uint8_t flags, uint16_t n, uint64_t round,
		uint32_t count);
/* With as many bytes of vector as the header says, or others; mtu 0: packets of 400 bytes. */
void rr_contribute_bytes(uint32_t peer, const struct phca_reduce_hdr *h, uint16_t rank, const void *vector,
		uint32_t bytes, uint32_t mtu);
void rr_contribute(uint32_t peer, const struct phca_reduce_hdr *h, uint16_t rank, const void *vector, uint32_t mtu);
/* A sum of one int32, as the rank that has the peer's number. */
void rr_contribute_one(uint32_t peer, uint16_t n, uint64_t round, uint8_t flags, int32_t value);
/* The next answer, who gets it, its header; it stays on its way. NULL: none. */
struct phca_child *rr_answer(uint32_t *peer, struct phca_reduce_hdr *h);
/* The next answer goes there and says this; it arrives. */
void rr_expect_answer(uint32_t peer, enum phca_reduce_status status);
void rr_expect_no_answer(void);
/* The next request that was given back, now complete; the bytes that it carries instead of its own. NULL: none. */
const struct phca_preply *rr_delivered(uint8_t *data, uint32_t *len);
/* The next is the result of rr_contribute_one. */
void rr_expect_delivered(uint64_t round, int32_t value);
void rr_expect_nothing_delivered(void);
/* All replies so far are forgotten. */
void rr_replies_clear(void);
void rr_time_goes(uint64_t ms);
/* How often the HCA was told to move the peer's queue pair to ERROR. */
unsigned int rr_errors_of(uint32_t peer);

#endif
