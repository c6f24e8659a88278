/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What members of a broadcast say to the appliance. Needs nothing but libc.
 *
 * A member that shall receive RDMA WRITEs announces its window: it SENDs a struct
 * phca_bcast_announce on the queue pair that is connected to the appliance. A later
 * announcement takes the place of the one before. Any thread.
 */
#ifndef PHCA_BCAST_H
#define PHCA_BCAST_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_BCAST_MAGIC   0x57434250u /**< "PBCW" */
#define PHCA_BCAST_VERSION 1

/** An announcement: 32 bytes, little-endian. */
struct phca_bcast_announce {
	uint32_t magic;   /**< PHCA_BCAST_MAGIC */
	uint16_t version; /**< PHCA_BCAST_VERSION */
	uint16_t rsvd0;   /**< 0 */
	uint32_t rkey;    /**< of a memory region with remote write */
	uint32_t rsvd1;   /**< 0 */
	uint64_t va;      /**< where the window begins, as the region knows it */
	uint64_t length;  /**< bytes; 0: there is no window any more */
};

/**
 * Fill in an announcement.
 * @param rkey    of the region, as in struct ibv_mr
 * @param va      address of the window's first byte in that region
 * @param length  bytes; 0: no window
 */
static inline void phca_bcast_announce_fill(struct phca_bcast_announce *a, uint32_t rkey, uint64_t va,
		uint64_t length)
{
	memset(a, 0, sizeof(*a));
	a->magic = htole32(PHCA_BCAST_MAGIC);
	a->version = htole16(PHCA_BCAST_VERSION);
	a->rkey = htole32(rkey);
	a->va = htole64(va);
	a->length = htole64(length);
}

#ifdef __cplusplus
}
#endif
#endif
