/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Protection domains, memory regions and windows, key lookup, checked gather
 * and scatter, atomics.
 *
 * A key has 32 bits: the upper 24 index the table, the lower 8 are a tag. Of a
 * region's key the tag changes with each reuse of the entry, so that a stale key
 * is refused; lkey and rkey of a region are the same number. Of a window's rkey
 * the consumer chooses the tag, anew with each bind; a window has no lkey.
 *
 * Threads: alloc, reg and dereg functions belong to control threads and take an
 * internal lock; dereg must not be called by an lcore that reports to the
 * rte_rcu_qsbr variable, as it would wait for itself. phca_pd_get and
 * phca_pd_put take no lock and may be called by any thread. Lookup, gather,
 * scatter, atomics, bind and invalidate belong to data-path lcores, which report
 * to the rte_rcu_qsbr variable and take no locks; dereg and dealloc unpublish the
 * entry, wait until every such lcore was quiescent, then free.
 *
 * A region is memory of this process, or bytes that two callbacks reach: what belongs to
 * another process and cannot be mapped. The latter serve all that copies; the peer's
 * atomics on them are refused.
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
#define PHCA_ACCESS_ALL           0x1f /**< all rights of a region */
/** Windows of type 2: the first byte's address is 0 for the peer. A region says so by its iova. */
#define PHCA_ACCESS_ZERO_BASED    0x20

struct phca_mem; /**< the tables of one HCA */

/** A registered region. Data path reads it; constant while published. */
struct phca_mr {
	uint64_t iova;    /**< first address as requesters name it */
	uint64_t length;  /**< bytes */
	uint8_t *base;    /**< where byte 0 is in this process; of a region of callbacks NULL */
	uint32_t key;     /**< lkey and rkey */
	uint32_t pd;      /**< protection domain */
	uint32_t access;  /**< PHCA_ACCESS_* */
};

/**
 * Create the tables.
 * @param max_mr  regions and windows at most, 1..2^24-1
 * @param qsbr    where the data-path lcores report quiescence; outlives the tables
 * @return the tables; NULL with rte_errno EINVAL, ENOMEM
 */
struct phca_mem *phca_mem_create(uint32_t max_mr, struct rte_rcu_qsbr *qsbr);
/** Free the tables and all that is registered. No lcore uses them any more. NULL is allowed. */
void phca_mem_destroy(struct phca_mem *mem);

/** @return a new protection domain, > 0; 0 with rte_errno ENOSPC (65535 at most). */
uint32_t phca_pd_alloc(struct phca_mem *mem);
/** @return 0; -EINVAL no such domain; -EBUSY regions, windows or references left. */
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
/**
 * How bytes of a region without a pointer are reached. Called by any data-path lcore, by
 * several at once; must not block for long, nor take a lock that a control thread holds.
 * 0 <= off, 0 < len, off + len <= length of the region. @return 0, or anything else: the
 * bytes could not be copied, some of them may have been.
 */
struct phca_mr_io {
	int (*read)(void *arg, uint64_t off, void *dst, uint32_t len);
	int (*write)(void *arg, uint64_t off, const void *src, uint32_t len);
};

/**
 * Register memory that this process cannot map. Each copy is a call, commonly a system
 * call. Windows may be bound to it. Atomics of the peer are refused (PHCA_MEM_IO), even
 * if @p access allows them.
 * @param io, arg  how; owned by the caller, who keeps them until phca_mr_dereg has returned
 * Otherwise as phca_mr_reg.
 */
int phca_mr_reg_io(struct phca_mem *mem, uint32_t pd, const struct phca_mr_io *io, void *arg,
		uint64_t length, uint64_t iova, uint32_t access, uint32_t *key);
/**
 * Deregister; waits for the lcores.
 * @return 0; -EINVAL no such key; -EBUSY windows are bound to it, nothing changed (10.6.7.2.5)
 */
int phca_mr_dereg(struct phca_mem *mem, uint32_t key);
/** @return regions registered now. */
uint32_t phca_mem_nb_mr(const struct phca_mem *mem);

/** Types of memory windows, numbered as enum ibv_mw_type. */
enum phca_mw_type {
	PHCA_MW_TYPE_1 = 1, /**< usable by every queue pair of its domain */
	PHCA_MW_TYPE_2 = 2, /**< type 2A: usable by the queue pair that bound it */
};

/**
 * Allocate a memory window, not bound (10.6.7.1). Its entry counts as a region's.
 * @param pd    protection domain
 * @param rkey  written: the first rkey, which gives no access and names the
 *              window for the first bind and, whatever was bound since, for dealloc
 * @return 0; -EINVAL; -ENOSPC table full
 */
int phca_mw_alloc(struct phca_mem *mem, uint32_t pd, enum phca_mw_type type, uint32_t *rkey);
/**
 * Deallocate a window, bound or not; waits for the lcores.
 * @param rkey  the present one, or the first one
 * @return 0; -EINVAL no such window
 */
int phca_mw_dealloc(struct phca_mem *mem, uint32_t rkey);
/** @return windows allocated now. */
uint32_t phca_mem_nb_mw(const struct phca_mem *mem);

/** Why an access, a bind or an invalidation is refused. X(ENUM, text) */
#define PHCA_MEM_ERRS(X) \
	X(OK, "ok")         /* allowed */ \
	X(KEY, "key")       /* no such key, or no access by it now */ \
	X(PD, "pd")         /* other protection domain */ \
	X(BOUNDS, "bounds") /* outside the region or window, or the address wraps */ \
	X(ACCESS, "access") /* right not granted, or such rights cannot be given */ \
	X(QP, "qp")         /* type 2 window of another queue pair */ \
	X(TYPE, "type")     /* a region or type 1 window, which cannot be invalidated */ \
	X(STATE, "state")   /* type 2 window that must not be bound, or must be */ \
	X(ALIGN, "align")   /* atomic whose address is no multiple of 8 */ \
	X(IO, "io")         /* allowed, but the region has no pointer: atomics */ \
	X(FAULT, "fault")   /* a callback of the region could not copy */
/** See PHCA_MEM_ERRS. */
enum phca_mem_err {
#define PHCA_MEM_ENUM(e, text) PHCA_MEM_##e,
	PHCA_MEM_ERRS(PHCA_MEM_ENUM)
#undef PHCA_MEM_ENUM
	PHCA_MEM_ERR_COUNT
};
/** @return the error in a word; "?" when out of range. */
const char *phca_mem_err_str(enum phca_mem_err e);

/**
 * Data path: check one access and find the memory (10.6.3), for a key that this
 * side's consumer named. The rkey of a window is refused. A region without a pointer is
 * refused with PHCA_MEM_IO, when nothing else refuses: the copies below serve both kinds.
 * @param len     bytes; 0 is allowed whatever the key is (C9-88: no key is checked then)
 * @param access  rights needed; 0 is a local read
 * @param err     written when NULL is returned: why; PHCA_MEM_OK for @p len 0
 * @return the memory, valid until the next quiescent point; NULL refused, or len is 0
 */
void *phca_mem_ptr(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint64_t va,
		uint64_t len, uint32_t access, enum phca_mem_err *err);

/**
 * Data path: as phca_mem_ptr, for a key that the peer named: a region's or a
 * bound window's.
 * @param qpn  the queue pair that the access came to; type 2 windows ask for it
 */
void *phca_mem_remote(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, uint64_t len, uint32_t access, enum phca_mem_err *err);

/**
 * Data path: check an access of the peer without touching a byte.
 * As phca_mem_remote, but a region without a pointer is as good, other than for atomics.
 */
enum phca_mem_err phca_mem_check(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, uint64_t len, uint32_t access);
/**
 * Data path: copy what the peer reads; checked as phca_mem_remote with PHCA_ACCESS_REMOTE_READ.
 * @return PHCA_MEM_OK; PHCA_MEM_FAULT @p dst may have been written to; else it was not
 */
enum phca_mem_err phca_mem_read(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, void *dst, uint32_t len);
/** Data path: copy what the peer writes; PHCA_ACCESS_REMOTE_WRITE. Otherwise as phca_mem_read. */
enum phca_mem_err phca_mem_write(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, const void *src, uint32_t len);

/** Atomic operations. */
enum phca_atomic_op {
	PHCA_ATOMIC_CMP_SWAP,  /**< write swap_add when the value is cmp */
	PHCA_ATOMIC_FETCH_ADD, /**< add swap_add, modulo 2^64 */
};
/**
 * Data path: carry out the peer's atomic on 8 bytes in the host's byte order.
 * Atomic towards every lcore and the application's own atomics (as
 * IBV_ATOMIC_GLOB), and sequentially consistent.
 * @param qpn   as phca_mem_remote
 * @param va    multiple of 8; so must be the address in this process
 * @param cmp   PHCA_ATOMIC_CMP_SWAP: what to compare with
 * @param orig  written when done: the value before
 * @param err   written when refused: why; PHCA_MEM_ALIGN before all others; PHCA_MEM_IO:
 *              the region has no pointer
 * @return whether it was done
 */
bool phca_mem_atomic(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, enum phca_atomic_op op, uint64_t cmp, uint64_t swap_add,
		uint64_t *orig, enum phca_mem_err *err);

/** What to bind a window to. */
struct phca_mw_bind {
	uint64_t addr;     /**< first byte, as the region's iova counts */
	uint64_t length;   /**< bytes; 0 unbinds type 1, and is refused for type 2 */
	uint32_t rkey;     /**< the window's present rkey */
	uint32_t new_rkey; /**< its rkey afterwards: same index, any tag */
	uint32_t mr_key;   /**< lkey of the region; not looked at for length 0 */
	uint32_t access;   /**< PHCA_ACCESS_REMOTE_*; type 2: also PHCA_ACCESS_ZERO_BASED */
	uint32_t pd;       /**< domain of the queue pair that binds */
	uint32_t qpn;      /**< its number */
};
/**
 * Data path: bind a window (10.6.7.2, C10-72 to C10-75). Type 1 may be bound to
 * something else without more ado; type 2 has to be invalidated before. A bind
 * that is refused changes nothing. From its return on, lookups know the new rkey
 * and not the old one; an lcore that looked the old one up before may use what it
 * found until its next quiescent point. Two binds of one window at once, which only
 * an application at odds with itself posts: one of them is refused (PHCA_MEM_KEY).
 */
enum phca_mem_err phca_mw_bind(struct phca_mem *mem, const struct phca_mw_bind *b);
/**
 * Data path: invalidate a bound type 2 window of the queue pair: LOCAL_INV, and
 * SEND with invalidate that arrived. The rkey
 * stays the window's, gives no access, and names it for the next bind.
 * @param pd, qpn  of the queue pair
 * @return PHCA_MEM_OK; _TYPE a region or type 1; _STATE not bound; _QP; _PD; _KEY
 */
enum phca_mem_err phca_mem_invalidate(struct phca_mem *mem, uint32_t pd, uint32_t qpn, uint32_t rkey);

/** Data path: sum of lengths of @p n elements, in 64 bits (cannot wrap for n <= 2^16). */
uint64_t phca_sg_len(const struct phca_sge *sge, uint32_t n);

/**
 * Data path: copy @p len bytes from @p src into the list, starting @p offset
 * bytes into it. Every element touched is checked (LOCAL_WRITE).
 * @return PHCA_MEM_OK; PHCA_MEM_BOUNDS also when the list is too short; bytes
 *         before the refused element may have been written; PHCA_MEM_FAULT
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
