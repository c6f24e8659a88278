/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The key-value store of the example kv_get: its table in the server's memory, and
 * its messages. Little endian. The offload, the server and the client include it.
 *
 * The table is an array of buckets of KV_WAYS slots; a key lives in one slot of its
 * bucket. Whoever writes a slot makes its version odd, writes, and makes it even again
 * and 2 greater; whoever reads it compares the versions before and after.
 */
#ifndef PHCA_KV_H
#define PHCA_KV_H

#include <stdint.h>

#define KV_MAGIC 0x31564b50u  /**< of a request: "PKV1" */
#define KV_REPLY 0x72564b50u  /**< of its answer: "PKVr" */
#define KV_WAYS 4             /**< slots of a bucket */
#define KV_VALUE_MAX 1008     /**< bytes of a value */

/** Operations. */
enum kv_op { KV_GET = 1, KV_PUT = 2 };

/** A request, one SEND; of a PUT the value follows. */
struct kv_request {
	uint32_t magic;   /**< KV_MAGIC */
	uint8_t op;       /**< enum kv_op */
	uint8_t rsvd[3];  /**< zero */
	uint32_t id;      /**< the client's; comes back */
	uint32_t rkey;    /**< GET: of the table, as the server told the client */
	uint64_t key;     /**< not 0 */
	uint64_t table;   /**< GET: address of the table */
	uint32_t buckets; /**< GET: how many the table has, a power of two */
	uint32_t len;     /**< PUT: bytes of the value */
};

/** The answer, one SEND; of a GET the value follows. */
struct kv_reply {
	uint32_t magic;   /**< KV_REPLY */
	uint32_t id;
	int32_t status;   /**< 0, or -2: no such key; -28: no room */
	uint32_t len;     /**< bytes of the value */
	uint64_t key;
};

/** What is in front of a slot's value. */
struct kv_slot_head {
	uint32_t version; /**< odd: it is being written; 0: it never was */
	uint32_t len;     /**< bytes of the value */
	uint64_t key;     /**< 0: free */
};

/** A slot of the table: 1 KiB. */
struct kv_slot {
	struct kv_slot_head head;
	uint8_t value[KV_VALUE_MAX];
};
_Static_assert(sizeof(struct kv_request) == 40 && sizeof(struct kv_reply) == 24 &&
	sizeof(struct kv_slot) == 1024, "on the wire and in memory");

/** @return the bucket of a key; @p buckets is a power of two. */
static inline __attribute__((always_inline)) uint64_t kv_bucket(uint64_t key, uint32_t buckets)
{
	return (key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (buckets - 1);
}

#endif
