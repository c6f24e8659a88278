/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The admin protocol: how an application's process (lib/verbs) asks the
 * appliance (lib/host) for objects. What is posted and polled does not go this
 * way: it lies in rings of lib/queue, in memory that both have mapped.
 *
 * A UNIX socket, SOCK_SEQPACKET. The client sends one request, the server sends
 * one answer; a client has one request outstanding. Integers are in the host's
 * byte order, GIDs and GUIDs in the network's. Every reserved byte is 0, and the
 * server refuses a request where it is not. A request of another length than its
 * op says, an unknown op, a magic that is wrong: the server closes the connection.
 *
 * Numbers of states, types, rights, attribute masks and events are those of
 * rdma-core's verbs.h.
 *
 * No EAL, no DPDK. Both sides include this header and phca_queue.h, nothing else
 * of each other.
 */
#ifndef PHCA_ADMIN_H
#define PHCA_ADMIN_H

#include <stdint.h>

#include "phca_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_ADMIN_MAGIC 0x41484350u    /**< "PCHA" */
#define PHCA_ADMIN_VERSION 1u           /**< of this file; client and server must agree */
#define PHCA_ADMIN_DIR "/run/proxyhca"  /**< sockets are here, one for each appliance, by default */
#define PHCA_ADMIN_SUFFIX ".sock"       /**< and are called so */
#define PHCA_ADMIN_FDS_MAX 32           /**< descriptors of a message at most */
#define PHCA_ADMIN_SEGS_MAX 256         /**< segments of a memory region at most */
#define PHCA_ADMIN_GIDS_MAX 64          /**< entries of a GID table at most */
#define PHCA_ADMIN_MSG_MAX 16384        /**< bytes of a message at most */
#define PHCA_ADMIN_SHARDS_MAX 8         /**< HCA lcores at most */
#define PHCA_ADMIN_NONE UINT32_MAX      /**< no object */

/** What is asked. X(ENUM, number, name) */
#define PHCA_ADMIN_OPS(X) \
	X(HELLO, 1, "hello")                   /* first; u.hello */ \
	X(PORT_QUERY, 2, "port query")         /* - */ \
	X(GIDS_QUERY, 3, "GIDs query")         /* -; answer: struct phca_admin_gid behind */ \
	X(CLOCK, 4, "clock")                   /* -; the clock of completion timestamps */ \
	X(RESOLVE, 5, "resolve")               /* u.resolve */ \
	X(PD_ALLOC, 10, "pd alloc")            /* - */ \
	X(PD_FREE, 11, "pd free")              /* handle */ \
	X(MEM_SHARE, 12, "memory share")       /* u.mem_share, descriptors */ \
	X(MR_REG, 13, "mr reg")                /* u.mr_reg, segments behind, descriptors */ \
	X(MR_DEREG, 14, "mr dereg")            /* handle */ \
	X(MW_ALLOC, 15, "mw alloc")            /* u.mw_alloc */ \
	X(MW_DEALLOC, 16, "mw dealloc")        /* handle */ \
	X(CHANNEL_CREATE, 20, "channel create")  /* -; answer with a descriptor */ \
	X(CHANNEL_DESTROY, 21, "channel destroy") /* handle */ \
	X(CQ_CREATE, 22, "cq create")          /* u.cq_create */ \
	X(CQ_RESIZE, 23, "cq resize")          /* u.cq_resize */ \
	X(CQ_RESIZE_DONE, 24, "cq resize done") /* handle */ \
	X(CQ_DESTROY, 25, "cq destroy")        /* handle */ \
	X(SRQ_CREATE, 26, "srq create")        /* u.srq_create */ \
	X(SRQ_ARM, 27, "srq arm")              /* u.srq_arm */ \
	X(SRQ_QUERY, 28, "srq query")          /* handle */ \
	X(SRQ_DESTROY, 29, "srq destroy")      /* handle */ \
	X(QP_CREATE, 30, "qp create")          /* u.qp_create */ \
	X(QP_MODIFY, 31, "qp modify")          /* u.qp_modify */ \
	X(QP_QUERY, 32, "qp query")            /* handle */ \
	X(QP_DESTROY, 33, "qp destroy")        /* handle */ \
	X(MCAST_ATTACH, 34, "multicast attach") /* u.mcast */ \
	X(MCAST_DETACH, 35, "multicast detach") /* u.mcast */
/** See PHCA_ADMIN_OPS. */
enum phca_admin_op {
#define PHCA_ADMIN_ENUM(e, n, s) PHCA_ADMIN_##e = n,
	PHCA_ADMIN_OPS(PHCA_ADMIN_ENUM)
#undef PHCA_ADMIN_ENUM
};

/* -------------------------------------------------------------- requests */

/** Flags of HELLO. */
#define PHCA_ADMIN_HELLO_PROBE 0x1u /**< only tell the device; no client is made, nothing else may be asked */

/** HELLO. */
struct phca_admin_hello {
	uint32_t version;   /**< PHCA_ADMIN_VERSION */
	uint32_t queue_abi; /**< PHCA_QUEUE_ABI */
	uint32_t flags;     /**< PHCA_ADMIN_HELLO_* */
	uint32_t port;      /**< index of the appliance's port; each is a device, with port 1 only */
};
/** RESOLVE: find the MAC of a destination; ask again while the answer is -EAGAIN. */
struct phca_admin_resolve {
	uint8_t dgid[16];
	uint32_t sgid_index;
	uint32_t rsvd;
};
/**
 * MEM_SHARE: the process's sparse memory objects; file offset is virtual address.
 * Once each. Sealed with F_SEAL_SHRINK. Descriptors in the order of the flags' bits.
 */
#define PHCA_ADMIN_MEM_SWAP 0x1u /**< of base pages */
#define PHCA_ADMIN_MEM_HUGE 0x2u /**< of huge pages of 2 MiB */
struct phca_admin_mem_share {
	uint32_t which; /**< PHCA_ADMIN_MEM_* of the descriptors that come along */
	uint32_t rsvd;
};
/** Where bytes of a memory region are. */
enum phca_admin_seg_kind {
	PHCA_ADMIN_SEG_SWAP = 1,   /**< in the object PHCA_ADMIN_MEM_SWAP, at offset == va */
	PHCA_ADMIN_SEG_HUGE = 2,   /**< in the object PHCA_ADMIN_MEM_HUGE, at offset == va; multiples of 2 MiB */
	PHCA_ADMIN_SEG_FILE = 3,   /**< in the file whose descriptor comes along (the next one), at offset */
	PHCA_ADMIN_SEG_MAPPED = 4, /**< in a shared mapping of which the client has no descriptor:
	                            *   /proc/PID/map_files/vma_start-vma_end, at offset in that file */
	PHCA_ADMIN_SEG_SYSV = 5,   /**< in the System V segment shmid, at offset */
	PHCA_ADMIN_SEG_REMOTE = 6, /**< cannot be shared: the appliance uses /proc/PID/mem. Then
	                            *   the whole region is accessed so */
};
/** A part of a memory region; parts follow each other without gap, page-aligned. */
struct phca_admin_seg {
	uint64_t va;        /**< first address in the client */
	uint64_t length;    /**< bytes */
	uint64_t offset;    /**< FILE, MAPPED, SYSV: of va in the object */
	uint64_t vma_start, vma_end; /**< MAPPED */
	uint32_t kind;      /**< enum phca_admin_seg_kind */
	uint32_t shmid;     /**< SYSV */
	uint32_t writable;  /**< 1: the client may write there; else 0 */
	uint32_t rsvd;
};
_Static_assert(sizeof(struct phca_admin_seg) == 56, "protocol");
/** MR_REG. Segments cover addr..addr+length-1, widened to pages. */
struct phca_admin_mr_reg {
	uint64_t addr, length; /**< in the client */
	uint64_t iova;         /**< how requesters name addr */
	uint32_t pd;           /**< handle */
	uint32_t access;       /**< PHCA_ACCESS_* of lib/mem, as enum ibv_access_flags; nothing else */
	uint32_t nb_segs;      /**< struct phca_admin_seg behind the request; 0 with length 0 is refused */
	uint32_t rsvd;
};
/** MW_ALLOC. */
struct phca_admin_mw_alloc {
	uint32_t pd;   /**< handle */
	uint32_t type; /**< 1, 2: enum ibv_mw_type */
};
/** CQ_CREATE. */
struct phca_admin_cq_create {
	uint32_t cqe;     /**< completions that it must hold */
	uint32_t channel; /**< handle, or PHCA_ADMIN_NONE */
};
/** CQ_RESIZE. Until CQ_RESIZE_DONE the old ring stays mapped, with what was not polled. */
struct phca_admin_cq_resize {
	uint32_t handle;
	uint32_t cqe;
};
/** SRQ_CREATE. */
struct phca_admin_srq_create {
	uint32_t pd; /**< handle */
	uint32_t max_wr, max_sge, limit;
};
/** SRQ_ARM. */
struct phca_admin_srq_arm {
	uint32_t handle;
	uint32_t limit;
};
/** QP_CREATE. */
struct phca_admin_qp_create {
	uint32_t type;    /**< 2 RC, 3 UC, 4 UD: enum ibv_qp_type */
	uint32_t pd, send_cq, recv_cq; /**< handles */
	uint32_t srq;     /**< handle, or PHCA_ADMIN_NONE */
	uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline;
	uint32_t sq_sig_all; /**< 0, 1 */
	uint32_t rsvd;
};
/** Attributes of a QP; as struct ibv_qp_attr. */
struct phca_admin_qp_attr {
	struct phca_av av;    /**< dmac is 0: the HCA resolves */
	uint32_t state, cur_state; /**< enum ibv_qp_state */
	uint32_t path_mtu;    /**< bytes */
	uint32_t qkey;
	uint32_t rq_psn, sq_psn, dest_qpn;
	uint32_t access;      /**< enum ibv_access_flags */
	uint16_t pkey_index;  /**< 0 */
	uint8_t port_num;     /**< 1 */
	uint8_t en_sqd_notify, sq_draining;
	uint8_t max_rd_atomic, max_dest_rd_atomic;
	uint8_t min_rnr_timer, timeout, retry_cnt, rnr_retry;
	uint8_t rsvd[5];
};
_Static_assert(sizeof(struct phca_admin_qp_attr) == 80, "protocol");
/** QP_MODIFY. */
struct phca_admin_qp_modify {
	uint32_t handle;
	uint32_t mask;  /**< enum ibv_qp_attr_mask of what attr has */
	struct phca_admin_qp_attr attr;
};
/** MCAST_ATTACH, MCAST_DETACH. */
struct phca_admin_mcast {
	uint32_t qp;     /**< handle */
	uint32_t rsvd;
	uint8_t mgid[16];
};

/** A request: this, without the members of u that its op does not have, then segments. */
struct phca_admin_req {
	uint32_t magic; /**< PHCA_ADMIN_MAGIC */
	uint16_t op;    /**< enum phca_admin_op */
	uint16_t len;   /**< bytes of the whole message */
	uint32_t seq;   /**< comes back in the answer */
	uint32_t nb_fds;/**< descriptors that come along */
	union {
		uint32_t handle[2]; /**< of ops that have nothing else; [1] is 0 */
		struct phca_admin_hello hello;
		struct phca_admin_resolve resolve;
		struct phca_admin_mem_share mem_share;
		struct phca_admin_mr_reg mr_reg;
		struct phca_admin_mw_alloc mw_alloc;
		struct phca_admin_cq_create cq_create;
		struct phca_admin_cq_resize cq_resize;
		struct phca_admin_srq_create srq_create;
		struct phca_admin_srq_arm srq_arm;
		struct phca_admin_qp_create qp_create;
		struct phca_admin_qp_modify qp_modify;
		struct phca_admin_mcast mcast;
	} u;
};
#define PHCA_ADMIN_REQ_HDR 16 /**< bytes in front of u */
_Static_assert(__builtin_offsetof(struct phca_admin_req, u) == PHCA_ADMIN_REQ_HDR, "protocol");

/**
 * @return bytes of a request of this op without segments; 0: no such op. Ops
 *         without parameters have the header only.
 */
uint32_t phca_admin_req_len(uint32_t op);
/** @return the op in words; "?" when there is none. */
const char *phca_admin_op_str(uint32_t op);

/* --------------------------------------------------------------- answers */

/** A ring in the queue arena. */
struct phca_admin_ring {
	uint64_t offset; /**< of its header in the arena; a multiple of PHCA_CACHE_LINE */
	uint64_t bytes;  /**< all of it, header included */
};

/** What the device is like; as struct ibv_device_attr. */
struct phca_admin_device {
	char name[32];            /**< "phca0" */
	char fw_ver[32];          /**< proxyhca's version */
	uint8_t node_guid[8];
	uint64_t max_mr_size;     /**< bytes of one region; the client's limit */
	uint32_t vendor_id, vendor_part_id, hw_ver;
	uint32_t nb_ports;        /**< ports of the appliance: devices that this socket has */
	uint32_t max_qp, max_qp_wr, max_sge, max_inline;
	uint32_t max_cq, max_cqe, max_mr, max_mw, max_pd;
	uint32_t max_rd_atomic;   /**< of a QP, either way */
	uint32_t max_srq, max_srq_wr, max_srq_sge;
	uint32_t max_mcast_grp, max_mcast_qp_attach; /**< groups; QPs of one */
	uint32_t max_channel;
	uint32_t rsvd;
};

/** HELLO. Descriptors (none for a probe): arena, events, then one to wake each shard. */
struct phca_admin_hello_ans {
	uint32_t version;      /**< the server's; also when status is -EPROTO, since they differ */
	uint32_t queue_abi;
	struct phca_admin_device device;
	uint64_t arena_bytes;  /**< of the arena, which never changes its size */
	uint32_t nb_shards;    /**< HCA lcores, 1..PHCA_ADMIN_SHARDS_MAX */
	uint32_t sleeps;       /**< 1: HCA lcores sleep when idle; look whether to wake them */
	struct phca_admin_ring db[PHCA_ADMIN_SHARDS_MAX]; /**< doorbell ring of each shard */
};
/** PORT_QUERY; as struct ibv_port_attr. */
struct phca_admin_port {
	uint32_t state;         /**< enum ibv_port_state */
	uint32_t max_mtu, active_mtu; /**< bytes: 256, 512, 1024, 2048, 4096 */
	uint32_t gid_tbl_len;   /**< entries */
	uint32_t max_msg_sz;    /**< bytes */
	uint32_t rsvd;
	uint64_t speed_bps;     /**< of the link; 0: not known */
	uint8_t mac[6];
	uint8_t rsvd1[2];
	char netdev[32];        /**< DPDK's name of the port */
};
/** An entry of the GID table, all of which are RoCE v2. */
struct phca_admin_gid {
	uint8_t gid[16];
	uint32_t index;
	uint32_t rsvd;
};
/** CQ_CREATE, CQ_RESIZE. */
struct phca_admin_cq_ans {
	uint32_t handle, cqn;
	uint32_t cqe;           /**< completions that it holds */
	uint32_t rsvd;
	struct phca_admin_ring ring;
};
/** SRQ_CREATE, SRQ_QUERY. */
struct phca_admin_srq_ans {
	uint32_t handle, srqn;
	uint32_t max_wr, max_sge, limit;
	uint32_t rsvd;
	struct phca_admin_ring ring;
};
/** QP_CREATE. */
struct phca_admin_qp_ans {
	uint32_t handle, qpn;
	uint32_t shard;         /**< whose doorbell ring it uses */
	uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline; /**< as made */
	struct phca_admin_ring sq, rq; /**< rq.bytes is 0 with an SRQ */
};

/** An answer: this, without the members of u that its op does not have; all of u only on status 0. */
struct phca_admin_ans {
	uint32_t magic; /**< PHCA_ADMIN_MAGIC */
	uint16_t op;    /**< the request's */
	uint16_t len;   /**< bytes of the whole message */
	uint32_t seq;   /**< the request's */
	int32_t status; /**< 0 or negative errno */
	union {
		/** PD_ALLOC, CHANNEL_CREATE: handle; MR_REG, MW_ALLOC: handle, key (lkey == rkey) */
		uint32_t handle[2];
		uint8_t mac[8];     /**< RESOLVE: 6 bytes */
		uint64_t now_ns;    /**< CLOCK */
		struct phca_admin_hello_ans hello;
		struct phca_admin_port port;
		struct phca_admin_cq_ans cq;
		struct phca_admin_srq_ans srq;
		struct phca_admin_qp_ans qp;
		struct phca_admin_qp_attr attr; /**< QP_MODIFY, QP_QUERY: as they are now */
		uint32_t nb_gids;   /**< GIDS_QUERY: struct phca_admin_gid follow at offset PHCA_ADMIN_ANS_HDR + 8 */
	} u;
};
#define PHCA_ADMIN_ANS_HDR 16 /**< bytes in front of u */
_Static_assert(__builtin_offsetof(struct phca_admin_ans, u) == PHCA_ADMIN_ANS_HDR, "protocol");

/** @return bytes of an answer of this op with status 0, without GIDs; with another status: PHCA_ADMIN_ANS_HDR
 *          (HELLO: always whole). */
uint32_t phca_admin_ans_len(uint32_t op);

/* ---------------------------------------------------------------- events */

/** An asynchronous event, as the client reads it from the events' descriptor (a socket). */
struct phca_admin_event {
	uint32_t type; /**< enum ibv_event_type */
	uint32_t num;  /**< number of the QP, CQ or SRQ; the port: 1; device: 0 */
};
/** A completion event, as the client reads it from a channel's descriptor (a socket). */
struct phca_admin_note {
	uint32_t cqn;
	uint32_t rsvd;
};

#ifdef __cplusplus
}
#endif
#endif
