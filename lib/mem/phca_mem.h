/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Protection domains, memory regions, key lookup, checked gather and scatter.
 *
 * A key has 32 bits: the upper 24 index the region table, the lower 8 are a tag
 * that changes with each reuse of the entry, so that a stale key is refused.
 * lkey and rkey of a region are the same number.
 *
 * Threads: alloc, reg and dereg functions belong to control threads and take an
 * internal lock; dereg must not be called by an lcore that reports to the
 * rte_rcu_qsbr variable, as it would wait for itself. phca_pd_get and
 * phca_pd_put take no lock and may be called by any thread. Lookup, gather and
 * scatter belong to data-path lcores, which read the table without locks; dereg
 * unpublishes the entry, waits until every lcore that reports to the rte_rcu_qsbr variable was quiescent, then frees.
 */
#ifndef PHCA_MEM_H
#define PHCA_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_rcu_qsbr.h>

#include "phca_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Access rights, numbered as enum ibv_access_flags. */
#define PHCA_ACCESS_LOCAL_WRITE   0x01 /**< receives, READ responses */
#define PHCA_ACCESS_REMOTE_WRITE  0x02 /**< RDMA WRITE by the peer */
#define PHCA_ACCESS_REMOTE_READ   0x04 /**< RDMA READ by the peer */
#define PHCA_ACCESS_REMOTE_ATOMIC 0x08 /**< atomics by the peer */
#define PHCA_ACCESS_MW_BIND       0x10 /**< memory windows may be bound */
#define PHCA_ACCESS_ALL           0x1f /**< all of them */

struct phca_mem; /**< the tables of one HCA */

/** A registered region. Data path reads it; constant while published. */
struct phca_mr {
	uint64_t iova;    /**< first address as requesters name it */
	uint64_t length;  /**< bytes */
	uint8_t *base;    /**< where byte 0 is in this process */
	uint32_t key;     /**< lkey and rkey */
	uint32_t pd;      /**< protection domain */
	uint32_t access;  /**< PHCA_ACCESS_* */
};

/**
 * Create the tables.
 * @param max_mr  regions at most, 1..2^24-1
 * @param qsbr    where the data-path lcores report quiescence; outlives the tables
 * @return the tables; NULL with rte_errno EINVAL, ENOMEM
 */
struct phca_mem *phca_mem_create(uint32_t max_mr, struct rte_rcu_qsbr *qsbr);
/** Free the tables and all that is registered. No lcore uses them any more. NULL is allowed. */
void phca_mem_destroy(struct phca_mem *mem);

/** @return a new protection domain, > 0; 0 with rte_errno ENOSPC (65535 at most). */
uint32_t phca_pd_alloc(struct phca_mem *mem);
/** @return 0; -EINVAL no such domain; -EBUSY regions or references left. */
int phca_pd_free(struct phca_mem *mem, uint32_t pd);
/** Hold a domain for another object (a queue pair). Any thread. @return 0; -EINVAL no such domain */
int phca_pd_get(struct phca_mem *mem, uint32_t pd);
/** Release what phca_pd_get held. Any thread. */
void phca_pd_put(struct phca_mem *mem, uint32_t pd);

/**
 * Register memory.
 * @param pd      protection domain
 * @param base    where it is in this process; owned by the caller, who keeps it
 *                until phca_mr_dereg has returned
 * @param length  bytes, > 0; base + length and iova + length must not wrap
 * @param iova    address by which requesters name byte 0 (commonly base)
 * @param access  PHCA_ACCESS_*; remote write or atomic need local write (10.6.3.1)
 * @param key     written: lkey and rkey
 * @return 0; -EINVAL; -ENOSPC table full; -ENOMEM
 */
int phca_mr_reg(struct phca_mem *mem, uint32_t pd, void *base, uint64_t length,
		uint64_t iova, uint32_t access, uint32_t *key);
/** Deregister; waits for the lcores. @return 0; -EINVAL no such key */
int phca_mr_dereg(struct phca_mem *mem, uint32_t key);
/** @return regions registered now. */
uint32_t phca_mem_nb_mr(const struct phca_mem *mem);

/** Why an access is refused. */
enum phca_mem_err {
	PHCA_MEM_OK,     /**< allowed */
	PHCA_MEM_KEY,    /**< no such key */
	PHCA_MEM_PD,     /**< other protection domain */
	PHCA_MEM_BOUNDS, /**< outside the region, or the address wraps */
	PHCA_MEM_ACCESS, /**< right not granted */
};
/** @return "ok", "key", "pd", "bounds", "access". */
const char *phca_mem_err_str(enum phca_mem_err e);

/**
 * Data path: check one access and find the memory (10.6.3).
 * @param len     bytes; 0 is allowed whatever the key is (C9-88: no key is checked then)
 * @param access  rights needed; 0 is a local read
 * @param err     written when NULL is returned: why; PHCA_MEM_OK for @p len 0
 * @return the memory, valid until the next quiescent point; NULL refused, or len is 0
 */
void *phca_mem_ptr(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint64_t va,
		uint64_t len, uint32_t access, enum phca_mem_err *err);

/** Data path: sum of lengths of @p n elements, in 64 bits (cannot wrap for n <= 2^16). */
uint64_t phca_sg_len(const struct phca_sge *sge, uint32_t n);

/**
 * Data path: copy @p len bytes from @p src into the list, starting @p offset
 * bytes into it. Every element touched is checked (LOCAL_WRITE).
 * @return PHCA_MEM_OK; PHCA_MEM_BOUNDS also when the list is too short; bytes
 *         before the refused element may have been written
 */
enum phca_mem_err phca_sg_scatter(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint32_t n, uint64_t offset, const void *src, uint32_t len);
/** Data path: copy @p len bytes of the list from @p offset to @p dst. As phca_sg_scatter, local read. */
enum phca_mem_err phca_sg_gather(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint32_t n, uint64_t offset, void *dst, uint32_t len);
/** Data path: check all elements of the list without touching memory (receive WQEs before the first byte). */
enum phca_mem_err phca_sg_check(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint32_t n, uint32_t access);

#ifdef __cplusplus
}
#endif
#endif
