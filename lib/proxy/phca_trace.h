/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Records of what happens to requests of traced queue pairs.
 *
 * A trace is a ring of records: one lcore writes, one control thread reads. The
 * HCA lcore decides which requests are traced; the mark travels with them
 * (PHCA_PMSG_F_TRACED), so that the proxy lcore tells of the same ones. Both
 * lcores stamp records with the time of their turn, of one clock.
 */
#ifndef PHCA_TRACE_H
#define PHCA_TRACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_TRACE_NAME_MAX 64 /**< bytes of a name with its NUL; longer ones are cut */

/** What a record tells. */
enum phca_trace_kind {
	PHCA_TRACE_TAKEN,      /**< HCA: a request; again when rules changed before it began */
	PHCA_TRACE_SUBMITTED,  /**< to the driver of the offload `name` */
	PHCA_TRACE_DONE,       /**< the driver finished it, or its children did: status */
	PHCA_TRACE_REFUSED,    /**< the driver did not take it: status */
	PHCA_TRACE_TIMED_OUT,  /**< not finished within the time limit */
	PHCA_TRACE_CANCELLED,  /**< taken back from the driver */
	PHCA_TRACE_LATE,       /**< the driver has let go of what was taken back */
	PHCA_TRACE_PASSED,     /**< the driver gave it back to be carried out by the HCA */
	PHCA_TRACE_CHILD,      /**< a work request was issued for it: opcode, len, id: QPN */
	PHCA_TRACE_CHILD_DONE, /**< one of these is over: status */
	PHCA_TRACE_COMPLETED,  /**< the HCA's completion of it reached the proxy: status */
	PHCA_TRACE_FLUSHED,    /**< it came behind a failure, no driver got it */
	PHCA_TRACE_RELEASED,   /**< its turn came: status, result; id: the place that it waited for */
	PHCA_TRACE_RESET,      /**< HCA: the queue pair; what was under way is forgotten, places begin anew */
	PHCA_TRACE_KIND_COUNT
};
#define PHCA_TRACE_F_NO_PLACE 0x1 /**< TAKEN: the application hears nothing of it */
#define PHCA_TRACE_F_ORDERED  0x2 /**< TAKEN: its offload is ordered; without a rule: it follows such a one */
#define PHCA_TRACE_F_WAITED   0x4 /**< RELEASED: it had to wait for an earlier one */
#define PHCA_TRACE_F_FLUSHED  0x8 /**< TAKEN: never looked at, the queue pair was in error */
#define PHCA_TRACE_RULE_NONE 0xff /**< no rule matched */

/** RELEASED: what the application gets. */
enum phca_trace_result { PHCA_TRACE_NOTHING, PHCA_TRACE_CQE, PHCA_TRACE_NOOP };

/** A record; what it does not tell is 0. */
struct phca_trace_rec {
	uint64_t ns;      /**< of the turn */
	uint64_t id;      /**< TAKEN: wr_id of a posted request, PSN of an inbound one's first packet */
	uint32_t qpn;
	uint32_t seq;     /**< place in its sequence */
	uint32_t len;     /**< TAKEN, CHILD: bytes of payload */
	uint32_t said;    /**< TAKEN: what the filter returned that decided */
	uint8_t kind;     /**< enum phca_trace_kind */
	uint8_t dir;      /**< enum phca_dir */
	uint8_t opcode;   /**< TAKEN, CHILD: posted enum phca_wr_opcode, inbound BTH opcode */
	uint8_t rule;     /**< TAKEN: index, or PHCA_TRACE_RULE_NONE */
	uint8_t tried;    /**< TAKEN: filters that ran */
	uint8_t by;       /**< TAKEN: index of the rule whose filter decided */
	uint8_t status;   /**< enum phca_wc_status */
	uint8_t flags;    /**< PHCA_TRACE_F_* */
	uint8_t result;   /**< enum phca_trace_result */
	uint8_t rsvd[7];
	char name[PHCA_TRACE_NAME_MAX]; /**< TAKEN: of the rule; SUBMITTED: of the offload */
};
_Static_assert(sizeof(struct phca_trace_rec) == 112, "fixed-size element");

struct phca_trace; /**< a ring of records */

/**
 * Control thread.
 * @param records  room; a power of two, 2..1048576
 * @return the trace; NULL with rte_errno EINVAL, ENOMEM
 */
struct phca_trace *phca_trace_create(uint32_t records);
/** Nobody writes any more. NULL is allowed. */
void phca_trace_destroy(struct phca_trace *t);
/** Add a record; without room it is counted as lost. The writing lcore. */
void phca_trace_put(struct phca_trace *t, const struct phca_trace_rec *r);
/** @return records taken out, oldest first. The reading thread. */
unsigned int phca_trace_get(struct phca_trace *t, struct phca_trace_rec *r, unsigned int n);
/** @return records in it now. The reading thread. */
unsigned int phca_trace_used(const struct phca_trace *t);
/** @return records that found no room. Any thread. */
uint64_t phca_trace_lost(const struct phca_trace *t);
/** @return its name, "submitted"; "?" when it is none. */
const char *phca_trace_kind_str(unsigned int kind);

#ifdef __cplusplus
}
#endif
#endif
