/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The messages of the reduce offload: what contributors SEND and what comes back.
 *
 * For programs on both sides; it needs nothing but the C library. Everything is little
 * endian, on any machine; a vector follows the header without a gap:
 *
 *   offset  bytes
 *        0      4  magic     "PHRD"
 *        4      1  version   1
 *        5      1  op        PHCA_REDUCE_SUM, _MIN, _MAX, _AND, _OR
 *        6      1  type      PHCA_REDUCE_INT32, _INT64, _FLOAT32, _FLOAT64
 *        7      1  flags     PHCA_REDUCE_F_*
 *        8      4  group     any number: which reductions belong together
 *       12      2  rank      0..nb_ranks-1; in a result PHCA_REDUCE_NOBODY
 *       14      2  nb_ranks  1..65534: how many contribute
 *       16      8  round     any number
 *       24      4  offset    index of the first element in a longer vector, or 0
 *       28      4  count     elements in this message
 *       32      4  status    PHCA_REDUCE_OK; in an answer PHCA_REDUCE_*
 *       36      4  rsvd      0
 *       40         the vector: count elements
 *
 * A reduction is what has the same group, round and offset, among the queue pairs of one
 * protection domain and one instance of the offload. doc/offload-reduce.md is the guide.
 */
#ifndef PHCA_REDUCE_H
#define PHCA_REDUCE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_REDUCE_MAGIC "PHRD"     /**< four bytes */
#define PHCA_REDUCE_VERSION 1
#define PHCA_REDUCE_NOBODY 0xffffu   /**< rank of a result */

/** What is done with the result so far, a, and the next rank's element, x. X(name, value, text) */
#define PHCA_REDUCE_OPS(X) \
	X(SUM, 0, "sum") /* a + x */ \
	X(MIN, 1, "min") /* x < a ? x : a */ \
	X(MAX, 2, "max") /* x > a ? x : a */ \
	X(AND, 3, "and") /* a & x */ \
	X(OR, 4, "or")   /* a | x */
/** AND and OR are for integers. Integers are signed for MIN and MAX; sums of them wrap. */
enum phca_reduce_op {
#define PHCA_REDUCE_ENUM(e, n, t) PHCA_REDUCE_##e = n,
	PHCA_REDUCE_OPS(PHCA_REDUCE_ENUM)
	PHCA_REDUCE_OP_COUNT
#undef PHCA_REDUCE_ENUM
};

/** Elements. X(name, value, text) */
#define PHCA_REDUCE_TYPES(X) \
	X(INT32, 0, "int32") \
	X(INT64, 1, "int64") \
	X(FLOAT32, 2, "float32") \
	X(FLOAT64, 3, "float64")
enum phca_reduce_type {
#define PHCA_REDUCE_ENUM(e, n, t) PHCA_REDUCE_##e = n,
	PHCA_REDUCE_TYPES(PHCA_REDUCE_ENUM)
	PHCA_REDUCE_TYPE_COUNT
#undef PHCA_REDUCE_ENUM
};

/** Who gets the result: at least one of the first three. */
#define PHCA_REDUCE_F_DELIVER 0x01 /**< the application, on the queue pair of rank 0 */
#define PHCA_REDUCE_F_ANSWER  0x02 /**< all contributors, by a SEND each */
#define PHCA_REDUCE_F_TELL    0x04 /**< all contributors are told that it is done: the header alone */
#define PHCA_REDUCE_F_WHOM    0x07 /**< with ANSWER or TELL errors are answered, too */
#define PHCA_REDUCE_F_RESULT  0x80 /**< the message is a result or an answer, no contribution */

/** How an answer says what became of a contribution. X(name, value, text) */
#define PHCA_REDUCE_STATUSES(X) \
	X(OK, 0, "reduced") \
	X(MALFORMED, 1, "malformed: version, op, type, flags, rank, number of ranks, reserved field or length") \
	X(MISMATCH, 2, "op, type, flags, number of ranks or elements differ from the first contribution's") \
	X(DUPLICATE, 3, "the rank has contributed already, or the queue pair has, for another rank") \
	X(TOO_LARGE, 4, "more elements, or more ranks, than the offload is configured for") \
	X(BUSY, 5, "more reductions at once than the offload, or one queue pair, may have") \
	X(TIMEOUT, 6, "not all ranks contributed in time") \
	X(PEER_LOST, 7, "the queue pair of a rank that had contributed failed")
enum phca_reduce_status {
#define PHCA_REDUCE_ENUM(e, n, t) PHCA_REDUCE_##e = n,
	PHCA_REDUCE_STATUSES(PHCA_REDUCE_ENUM)
	PHCA_REDUCE_STATUS_COUNT
#undef PHCA_REDUCE_ENUM
};

/** The header, in memory as on the wire when the machine is little endian. */
struct phca_reduce_hdr {
	char magic[4];
	uint8_t version;
	uint8_t op;
	uint8_t type;
	uint8_t flags;
	uint32_t group;
	uint16_t rank;
	uint16_t nb_ranks;
	uint64_t round;
	uint32_t offset;
	uint32_t count;
	uint32_t status;
	uint32_t rsvd;
};
#define PHCA_REDUCE_HDR_LEN 40
_Static_assert(sizeof(struct phca_reduce_hdr) == PHCA_REDUCE_HDR_LEN, "wire format");

/** @return bytes of an element. */
static inline uint32_t phca_reduce_size(uint8_t type)
{
	return type == PHCA_REDUCE_INT64 || type == PHCA_REDUCE_FLOAT64 ? 8 : 4;
}

#ifdef __cplusplus
}
#endif
#endif
