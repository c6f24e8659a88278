/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The queues that an application and the HCA share: memory layouts and the
 * functions of both sides. This is the ABI between them (PHCA_QUEUE_ABI).
 *
 * Every queue (send, receive, completion, doorbell) is one ring in flat memory:
 * a header of three cache lines, then `size` slots of `stride` bytes. One
 * producer, one consumer; each writes only its own index, on a line of its own.
 * Indices run free and are masked on access, so that full and empty differ.
 *
 * Each side keeps a private view (struct phca_ring) with its own copy of size
 * and stride: what the other side writes into the shared header later is never
 * trusted. An index that makes no sense is reported as corruption (-EIO).
 *
 * No EAL, no locks, no system calls. Memory belongs to whoever mapped it.
 */
#ifndef PHCA_QUEUE_H
#define PHCA_QUEUE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_QUEUE_ABI 3u            /**< version of every layout in this file */
#define PHCA_QUEUE_MAGIC 0x51484350u /**< "PCHQ" */
#define PHCA_CACHE_LINE 64           /**< bytes; part of the ABI */
#define PHCA_QUEUE_SIZE_MAX (1u << 22) /**< slots of one ring at most */

/** What a ring's slots are. */
enum phca_ring_type {
	PHCA_RING_SQ = 1, /**< struct phca_send_wqe; the application produces */
	PHCA_RING_RQ = 2, /**< struct phca_recv_wqe; the application produces; of a QP or an SRQ */
	PHCA_RING_CQ = 3, /**< struct phca_cqe; the HCA produces */
	PHCA_RING_DB = 4, /**< uint32_t QPN; the application produces */
};

/** Scatter/gather element; as struct ibv_sge. */
struct phca_sge {
	uint64_t addr;   /**< virtual address in the owner's address space */
	uint32_t length; /**< bytes; 0 is an empty element */
	uint32_t lkey;   /**< local key of the memory region */
};

/** Address vector of a UD send: where to, carried inline in the work request. */
struct phca_av {
	uint8_t dgid[16];       /**< destination GID (IPv4 as ::ffff:a.b.c.d) */
	uint32_t flow_label;    /**< IPv6 flow label, 20 bits */
	uint8_t dmac[6];        /**< destination MAC; all zero: the HCA resolves it */
	uint8_t sgid_index;     /**< index into the port's GID table */
	uint8_t hop_limit;      /**< TTL or hop limit; 0 counts as 64 */
	uint8_t traffic_class;  /**< DSCP << 2 | ECN */
	uint8_t sl;             /**< service level; VLAN priority */
	uint8_t rsvd[2];
};
_Static_assert(sizeof(struct phca_av) == 32, "ABI");

/** Send opcodes, numbered as enum ibv_wr_opcode. */
enum phca_wr_opcode {
	PHCA_WR_RDMA_WRITE = 0, PHCA_WR_RDMA_WRITE_WITH_IMM = 1,
	PHCA_WR_SEND = 2, PHCA_WR_SEND_WITH_IMM = 3, PHCA_WR_RDMA_READ = 4,
	PHCA_WR_ATOMIC_CMP_AND_SWP = 5, PHCA_WR_ATOMIC_FETCH_AND_ADD = 6,
	PHCA_WR_LOCAL_INV = 7, PHCA_WR_BIND_MW = 8, PHCA_WR_SEND_WITH_INV = 9,
};

/** Send flags, numbered as enum ibv_send_flags. */
#define PHCA_SEND_FENCE     0x01
#define PHCA_SEND_SIGNALED  0x02
#define PHCA_SEND_SOLICITED 0x04
#define PHCA_SEND_INLINE    0x08

/** A posted send work request: 96 bytes, then its SGEs or inline data. */
struct phca_send_wqe {
	uint64_t wr_id;      /**< the application's; returned in its completion */
	uint8_t opcode;      /**< enum phca_wr_opcode */
	uint8_t rsvd0;
	uint16_t flags;      /**< PHCA_SEND_* */
	uint32_t num_sge;    /**< elements behind; 0 with PHCA_SEND_INLINE */
	uint32_t imm;        /**< immediate data, network order; SEND_WITH_INV, LOCAL_INV: rkey to invalidate */
	uint32_t inline_len; /**< bytes behind, with PHCA_SEND_INLINE */
	union {
		/** WRITE, READ */
		struct { uint64_t remote_addr; uint32_t rkey; } rdma;
		/** CMP_AND_SWP, FETCH_AND_ADD */
		struct { uint64_t remote_addr, compare_add, swap; uint32_t rkey; } atomic;
		/** BIND_MW: rkey as it is, as it will be, region, rights (PHCA_ACCESS_*) */
		struct { uint64_t addr, length; uint32_t rkey, new_rkey, lkey, access; } bind;
		/** UD SEND */
		struct { struct phca_av av; uint32_t remote_qpn, remote_qkey; } ud;
		uint8_t space[72];
	} u;
};
_Static_assert(sizeof(struct phca_send_wqe) == 96, "ABI");

/** A posted receive work request, then its SGEs. */
struct phca_recv_wqe {
	uint64_t wr_id;   /**< the application's; returned in its completion */
	uint32_t num_sge; /**< elements behind */
	uint32_t rsvd;
};
_Static_assert(sizeof(struct phca_recv_wqe) == 16, "ABI");

/** @return bytes of a send slot for @p max_sge elements or @p max_inline bytes. */
static inline uint32_t phca_send_stride(uint32_t max_sge, uint32_t max_inline)
{
	uint32_t data = max_sge * (uint32_t)sizeof(struct phca_sge);

	if (max_inline > data)
		data = max_inline;
	return ((uint32_t)sizeof(struct phca_send_wqe) + data + 31) & ~31u;
}
/** @return bytes of a receive slot for @p max_sge elements. */
static inline uint32_t phca_recv_stride(uint32_t max_sge)
{
	return (uint32_t)(sizeof(struct phca_recv_wqe) + max_sge * sizeof(struct phca_sge));
}
/** @return the SGEs of a send slot. */
static inline struct phca_sge *phca_send_sge(struct phca_send_wqe *w) { return (struct phca_sge *)(w + 1); }
/** @return the SGEs of a receive slot. */
static inline struct phca_sge *phca_recv_sge(struct phca_recv_wqe *w) { return (struct phca_sge *)(w + 1); }

/** Completion status, numbered as enum ibv_wc_status. X(ENUM, number, text) */
#define PHCA_WC_STATUSES(X) \
	X(SUCCESS, 0, "success") \
	X(LOC_LEN_ERR, 1, "local length error") \
	X(LOC_QP_OP_ERR, 2, "local QP operation error") \
	X(LOC_EEC_OP_ERR, 3, "local EE context operation error") \
	X(LOC_PROT_ERR, 4, "local protection error") \
	X(WR_FLUSH_ERR, 5, "Work Request Flushed Error") \
	X(MW_BIND_ERR, 6, "memory bind operation error") \
	X(BAD_RESP_ERR, 7, "bad response error") \
	X(LOC_ACCESS_ERR, 8, "local access error") \
	X(REM_INV_REQ_ERR, 9, "remote invalid request error") \
	X(REM_ACCESS_ERR, 10, "remote access error") \
	X(REM_OP_ERR, 11, "remote operation error") \
	X(RETRY_EXC_ERR, 12, "transport retry counter exceeded") \
	X(RNR_RETRY_EXC_ERR, 13, "RNR retry counter exceeded") \
	X(LOC_RDD_VIOL_ERR, 14, "local RDD violation error") \
	X(REM_INV_RD_REQ_ERR, 15, "remote invalid RD request") \
	X(REM_ABORT_ERR, 16, "aborted error") \
	X(INV_EECN_ERR, 17, "invalid EE context number") \
	X(INV_EEC_STATE_ERR, 18, "invalid EE context state") \
	X(FATAL_ERR, 19, "fatal error") \
	X(RESP_TIMEOUT_ERR, 20, "response timeout error") \
	X(GENERAL_ERR, 21, "general error")
/** Completion status; see PHCA_WC_STATUSES. */
enum phca_wc_status {
#define PHCA_WC_ENUM(e, n, h) PHCA_WC_##e = n,
	PHCA_WC_STATUSES(PHCA_WC_ENUM)
#undef PHCA_WC_ENUM
	PHCA_WC_STATUS_COUNT
};
/** @return the status in words, as ibv_wc_status_str says it; "unknown" when out of range. */
const char *phca_wc_status_str(uint32_t status);

/** Completion opcodes, numbered as enum ibv_wc_opcode. */
enum phca_wc_opcode {
	PHCA_WC_SEND = 0, PHCA_WC_RDMA_WRITE = 1, PHCA_WC_RDMA_READ = 2,
	PHCA_WC_COMP_SWAP = 3, PHCA_WC_FETCH_ADD = 4, PHCA_WC_BIND_MW = 5,
	PHCA_WC_LOCAL_INV = 6, PHCA_WC_RECV = 128, PHCA_WC_RECV_RDMA_WITH_IMM = 129,
};
/** Completion flags, numbered as enum ibv_wc_flags. */
#define PHCA_WC_F_GRH      0x01
#define PHCA_WC_F_WITH_IMM 0x02
#define PHCA_WC_F_WITH_INV 0x08

/** A completion as the application sees it; laid out as struct ibv_wc. */
struct phca_wc {
	uint64_t wr_id;
	uint32_t status;     /**< enum phca_wc_status */
	uint32_t opcode;     /**< enum phca_wc_opcode; valid on success */
	uint32_t vendor_err; /**< details of an error */
	uint32_t byte_len;   /**< receive: bytes, UD with PHCA_GRH_LEN; READ: bytes */
	uint32_t imm;        /**< network order, or the invalidated rkey */
	uint32_t qp_num;     /**< local queue pair */
	uint32_t src_qp;     /**< UD: remote queue pair */
	uint32_t wc_flags;   /**< PHCA_WC_F_* */
	uint16_t pkey_index, slid;
	uint8_t sl, dlid_path_bits;
	uint8_t rsvd[2];
};
_Static_assert(sizeof(struct phca_wc) == 48, "as struct ibv_wc");

/** Flags of a CQE. */
#define PHCA_CQE_NOOP      0x1 /**< the consumer skips it; count requests were consumed */
#define PHCA_CQE_SOLICITED 0x2 /**< wakes a consumer armed for solicited events */

/** A slot of a completion queue. */
struct phca_cqe {
	struct phca_wc wc;
	uint64_t timestamp_ns; /**< HCA lcore's or proxy lcore's clock when written */
	uint32_t flags;        /**< PHCA_CQE_* */
	uint32_t count;        /**< PHCA_CQE_NOOP: requests that it stands for; else 0 */
};
_Static_assert(sizeof(struct phca_cqe) == 64, "one cache line");

/** The shared header of a ring. */
struct phca_ring_hdr {
	uint32_t magic, abi, type, size, stride; /**< constant after phca_ring_format */
	uint8_t pad0[PHCA_CACHE_LINE - 20];
	uint32_t prod;       /**< written by the producer: next slot it will fill */
	uint32_t db_pending; /**< SQ: 1 while its QPN waits in the doorbell ring */
	uint8_t pad1[PHCA_CACHE_LINE - 8];
	uint32_t cons;       /**< written by the consumer: next slot it will empty */
	uint32_t armed;      /**< CQ: PHCA_CQ_ARMED_*, set by the consumer, cleared by the producer;
	                      *   DB: 1 while the consumer sleeps, cleared by the producer who wakes it */
	uint8_t pad2[PHCA_CACHE_LINE - 8];
};
_Static_assert(sizeof(struct phca_ring_hdr) == 3 * PHCA_CACHE_LINE, "ABI");

/** What the consumer of a CQ waits for; any other value of `armed` means nothing. */
enum phca_cq_armed {
	PHCA_CQ_ARMED_NEXT = 1,      /**< the next completion */
	PHCA_CQ_ARMED_SOLICITED = 2, /**< the next one that is solicited, or failed */
};
/** What the HCA writes to the descriptor of a CQ, once for each time that it was armed. */
struct phca_cq_note {
	uint32_t cqn;  /**< number of the CQ */
	uint32_t rsvd; /**< 0 */
};
_Static_assert(sizeof(struct phca_cq_note) == 8, "ABI");

/** One side's private view of a ring. */
struct phca_ring {
	struct phca_ring_hdr *hdr; /**< shared */
	uint8_t *slots;            /**< shared */
	uint32_t mask;             /**< size - 1, private copy */
	uint32_t stride;           /**< private copy */
	uint32_t own;              /**< this side's index, not yet published part included */
	uint32_t other;            /**< the other side's index as last read */
};

/** @return bytes of memory of a ring; 0 when size is no power of two or out of range. */
size_t phca_ring_bytes(uint32_t size, uint32_t stride);
/**
 * Format memory as an empty ring. Either side, before the other attaches.
 * @param mem     PHCA_CACHE_LINE aligned, phca_ring_bytes(size, stride) bytes
 * @param size    slots, a power of two, 1..PHCA_QUEUE_SIZE_MAX
 * @param stride  bytes of a slot, a multiple of 4, 4..65536
 * @return 0 or -EINVAL
 */
int phca_ring_format(void *mem, enum phca_ring_type type, uint32_t size, uint32_t stride);
/**
 * Format memory, as phca_ring_format, and make a view of it without reading what
 * was written: the other side may have the memory mapped already.
 * @return 0 or -EINVAL
 */
int phca_ring_init(struct phca_ring *r, void *mem, enum phca_ring_type type, uint32_t size, uint32_t stride);
/**
 * Make a view of a formatted ring, checking the header against what the caller
 * knows of the memory.
 * @return 0; -EPROTO other magic or ABI version; -EINVAL other type, or size and
 *         stride that are out of range or exceed @p mem_len
 */
int phca_ring_attach(struct phca_ring *r, void *mem, size_t mem_len, enum phca_ring_type type);

/** @return slot @p i (free-running index). */
static inline void *phca_ring_slot(const struct phca_ring *r, uint32_t i)
{
	return r->slots + (size_t)(i & r->mask) * r->stride;
}
/** @return slots. */
static inline uint32_t phca_ring_size(const struct phca_ring *r) { return r->mask + 1; }

/** Ask for the cache line of @p p, to write to it; what the other side read last comes from its core. */
static inline void phca_prefetch_write(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p)); /* a no-op where it is not known */
#else
	__builtin_prefetch(p, 1);
#endif
}
/** Producer: @return slots that can be filled now, asking the consumer's index only if @p want are not known free. */
static inline uint32_t phca_ring_free(struct phca_ring *r, uint32_t want)
{
	uint32_t used = r->own - r->other;

	if (r->mask + 1 - used < want) {
		uint32_t cons = __atomic_load_n(&r->hdr->cons, __ATOMIC_ACQUIRE);

		if (r->own - cons <= r->mask + 1) /* else nonsense: counts as full */
			r->other = cons;
		used = r->own - r->other;
	}
	return r->mask + 1 - used;
}
/** Producer: @return the next slot to fill. Room must be known. */
static inline void *phca_ring_next(struct phca_ring *r) { return phca_ring_slot(r, r->own++); }
/** Producer: make the filled slots visible. */
static inline void phca_ring_publish(struct phca_ring *r)
{
	__atomic_store_n(&r->hdr->prod, r->own, __ATOMIC_RELEASE);
}
/**
 * Consumer: asks the producer only if none is known.
 * @return slots that can be emptied now, 0..size; -EIO: index is corrupt
 */
static inline int32_t phca_ring_avail(struct phca_ring *r)
{
	if (r->other == r->own) {
		uint32_t prod = __atomic_load_n(&r->hdr->prod, __ATOMIC_ACQUIRE);

		if (prod - r->own > r->mask + 1)
			return -EIO;
		r->other = prod;
	}
	return (int32_t)(r->other - r->own);
}
/** Consumer: as phca_ring_avail, always asking the producer. */
static inline int32_t phca_ring_avail_fresh(struct phca_ring *r)
{
	uint32_t prod = __atomic_load_n(&r->hdr->prod, __ATOMIC_ACQUIRE);

	if (prod - r->own > r->mask + 1)
		return -EIO;
	r->other = prod;
	return (int32_t)(r->other - r->own);
}
/** Consumer: @return the oldest slot without taking it. */
static inline void *phca_ring_head(const struct phca_ring *r) { return phca_ring_slot(r, r->own); }
/** Consumer: @p n slots are done; not visible to the producer before phca_ring_release. */
static inline void phca_ring_take(struct phca_ring *r, uint32_t n) { r->own += n; }
/** Consumer: make the emptied slots visible to the producer. */
static inline void phca_ring_release(struct phca_ring *r)
{
	__atomic_store_n(&r->hdr->cons, r->own, __ATOMIC_RELEASE);
}

/**
 * Application: poll completions, skipping no-ops.
 * @return completions written to @p wc, 0..n; -EIO when the queue is corrupt
 */
int phca_cq_poll(struct phca_ring *cq, struct phca_wc *wc, unsigned int n);

/**
 * Application: ask for a note when the next completion comes; it is for one note. Whoever
 * polls until the queue is empty, arms, and polls once more, misses none: what is not seen by
 * then makes a note. A queue armed for the next completion stays so when it is armed for a
 * solicited one. Any thread.
 */
void phca_cq_arm(struct phca_ring *cq, bool solicited_only);

/**
 * Application: ring the doorbell of a send queue after publishing WQEs: puts
 * @p qpn into the doorbell ring unless it is still waiting there. The ring has
 * room for every QP, so it never fills. (One atomic exchange and a fence.)
 * @return true: the HCA lcore sleeps, and the caller is the one to wake it: by 8 bytes, a 1,
 *         into its eventfd; resident applications call phca_loop_wake anyway
 */
bool phca_db_ring(struct phca_ring *db, struct phca_ring *sq, uint32_t qpn);

#ifdef __cplusplus
}
#endif
#endif
