/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The HCA: queue pairs, completion queues, responder, requester, and the
 * data-path turn that joins them.
 *
 * Objects: a client (an application) owns completion queues and queue pairs of
 * one HCA; it posts and polls through rings of lib/queue from one thread at a
 * time per queue. A queue pair becomes a proxy QP when rules are attached: each
 * an eBPF filter and an offload, tried in order; the first match hands the
 * request to the proxy lcore, everything else is executed here. All completions
 * of a proxy QP are delivered by the proxy lcore, in order.
 *
 * Threads: create, modify, query, attach and destroy functions belong to
 * control threads; they run their critical part on the HCA lcore by
 * phca_loop_call. phca_hca_turn belongs to the HCA lcore. post and poll belong
 * to the application's thread. Counters may be read by any thread.
 */
#ifndef PHCA_HCA_H
#define PHCA_HCA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phca_cc.h"
#include "phca_filter.h"
#include "phca_loop.h"
#include "phca_mem.h"
#include "phca_net.h"
#include "phca_proxy.h"
#include "phca_trace.h"
#include "phca_queue.h"
#include "phca_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_SGE_MAX 32       /**< scatter/gather elements of a work request */
#define PHCA_INLINE_MAX 512   /**< bytes of inline data */
#define PHCA_QP_DEPTH_MAX 32768 /**< work requests of a queue */
#define PHCA_CQE_MAX (1u << 20) /**< completions of a completion queue */
#define PHCA_PORT_MAX 4       /**< ports of an HCA */
#define PHCA_SHARD_MAX 8      /**< HCA lcores of an HCA */
#define PHCA_HCA_PROXY_MAX 8  /**< proxy lcores of an HCA */
#define PHCA_RD_ATOMIC_MAX 16 /**< READs and atomics outstanding of an RC QP, either way */
#define PHCA_RC_WINDOW 256    /**< packets of a QP that wait for acknowledgement at most */
#define PHCA_MCAST_GROUP_MAX 1024 /**< multicast groups of an HCA */

struct phca_hca;    /**< one HCA */
struct phca_client; /**< one application of an HCA */
struct phca_cq;     /**< a completion queue */
struct phca_srq;    /**< a shared receive queue */
struct phca_qp;     /**< a queue pair */

/* ------------------------------------------------------------------- HCA */

/** Congestion control of an HCA (A17.9; DCQCN of lib/cc; doc/congestion.md). */
struct phca_congestion_conf {
	bool enabled;           /**< marked packets are answered with CNPs; CNPs lower the rate of their QP */
	bool ecn;               /**< connected QPs send ECT(0), so that switches mark and do not drop; false:
	                         *   the ECN field of their AV. Only while enabled */
	uint8_t cnp_dscp;       /**< of CNPs, 0..63; its upper 3 bits are their VLAN priority */
	uint64_t line_rate_bps; /**< of the ports; 0: their link's when a QP goes to RTR, else 100 Gb/s */
	struct phca_cc_params params; /**< those that phca_cc_params_check passes */
};
/** Defaults: enabled, ECN, DSCP 48, the link's rate, those of lib/cc. */
void phca_congestion_default(struct phca_congestion_conf *c);

/** Configuration of an HCA. */
struct phca_hca_conf {
	const char *name;            /**< for messages */
	struct phca_loop *loops[PHCA_SHARD_MAX]; /**< where it runs: shard i on loops[i]; the caller adds
	                              *   phca_hca_turn with phca_hca_shard(hca, i) to each */
	unsigned int nb_shards;      /**< 1..PHCA_SHARD_MAX */
	struct phca_proxy *proxies[PHCA_HCA_PROXY_MAX]; /**< its proxies */
	unsigned int nb_proxies;     /**< 0: no proxy QPs */
	struct phca_mem *mem;        /**< regions and domains */
	struct rte_rcu_qsbr *qsbr;   /**< quiescence of all lcores that read shared state */
	struct rte_mempool *pool;    /**< buffers for what it sends, one segment each */
	uint32_t max_qp;             /**< queue pairs at most, 1..2^20 */
	uint16_t offload_max_packets;/**< packets held for one offloaded message; 0: 256. All messages that
	                              *   are not complete hold a quarter of the pool at most */
	bool no_icrc;                /**< accept packets without checking the iCRC (comparisons only) */
	uint64_t seed;               /**< for bpf_get_prandom_u32; 0: from the clock */
	const struct phca_congestion_conf *congestion; /**< copied; NULL: off */
};
/** @return the HCA; NULL with rte_errno */
struct phca_hca *phca_hca_create(const struct phca_hca_conf *conf);
/** Free an HCA that no lcore runs; destroys what clients left. NULL is allowed. */
void phca_hca_destroy(struct phca_hca *hca);
/** Give it a port, which it polls from now on. The port is the caller's. @return its index 0..; -ENOSPC */
int phca_hca_port_add(struct phca_hca *hca, struct phca_net *net);
/** @return ports. */
unsigned int phca_hca_nb_ports(const struct phca_hca *hca);
/** @return port @p idx; NULL out of range. */
struct phca_net *phca_hca_port(const struct phca_hca *hca, unsigned int idx);
/** @return the argument of phca_hca_turn for HCA lcore @p shard; NULL out of range. */
void *phca_hca_shard(struct phca_hca *hca, unsigned int shard);
/** @return HCA lcores. */
unsigned int phca_hca_nb_shards(const struct phca_hca *hca);
/** One turn of one shard's data path. A phca_turn_fn; its HCA lcore. */
unsigned int phca_hca_turn(void *shard, uint64_t now_ns);
/** Receive packets (true) or leave them in the port ("stop" at the prompt). Control thread. */
void phca_hca_enable(struct phca_hca *hca, bool on);
/**
 * Called while a control function waits for the data path, in place of sleeping:
 * tests turn their loops by hand here.
 */
void phca_hca_pump_set(struct phca_hca *hca, void (*pump)(void *arg), void *arg);

/** Counters of a port, besides its verdicts. X(field, unit, what) */
#define PHCA_PORT_COUNTERS(X) \
	X(rx_packets, "packets", "received") \
	X(rx_bytes, "bytes", "received, without FCS") \
	X(rx_held, "packets", "gauge: held for offloaded messages that are not complete; no verdict yet") \
	X(tx_packets, "packets", "given to the driver") \
	X(tx_bytes, "bytes", "given to the driver") \
	X(tx_full, "turns", "transmit ring was full; packets waited") \
	X(tx_stuck, "packets", "dropped, as the driver has taken nothing for 200 ms") \
	X(tx_no_mbuf, "turns", "no buffer to build a packet; work requests waited") \
	X(looped, "packets", "sent to an address of the port itself, received without it; in rx_packets too") \
	X(mcast_copies, "packets", "further copies of multicast packets with several receivers; in rx_packets too") \
	X(mcast_no_mbuf, "packets", "copies not made, no buffer; the member did not receive it") \
	X(handed_over, "packets", "received by another HCA lcore than their queue pair's")
#define PHCA_HCA_CTR(f, u, h) uint64_t f;
/** Counters of a port: rx_packets == sum of verdict + rx_held. */
struct phca_port_stats {
	PHCA_PORT_COUNTERS(PHCA_HCA_CTR)
	uint64_t verdict[PHCA_V_COUNT];
};
/** @return 0; -EINVAL no such port. Any thread. */
int phca_port_stats_get(const struct phca_hca *hca, unsigned int port, struct phca_port_stats *st);

/** Things that happen to objects; asynchronous events in verbs. */
enum phca_event_type {
	PHCA_EVENT_QP_FATAL,        /**< QP went to ERROR */
	PHCA_EVENT_QP_ACCESS_ERR,   /**< receive buffers of a QP refuse access; to ERROR */
	PHCA_EVENT_CQ_ERR,          /**< CQ overran */
	PHCA_EVENT_OFFLOAD_FAILED,  /**< an offload of the QP failed; to ERROR */
	PHCA_EVENT_SQ_ERR,          /**< send queue of a UD or UC QP went to SQE */
	PHCA_EVENT_QP_REQ_ERR,      /**< RC: the peer sent an invalid request; to ERROR */
	PHCA_EVENT_COMM_EST,        /**< first packet on a QP in RTR */
	PHCA_EVENT_SQ_DRAINED,      /**< SQD: all that was begun has ended */
	PHCA_EVENT_LAST_WQE,        /**< QP with an SRQ in ERROR: it takes no more receives */
	PHCA_EVENT_SRQ_LIMIT,       /**< fewer receives in an SRQ than its limit, which is 0 now */
	PHCA_EVENT_PORT_ACTIVE,     /**< link up; num is the port's index */
	PHCA_EVENT_PORT_ERR,        /**< link down; num is the port's index */
	PHCA_EVENT_SRQ_ERR,         /**< nonsense in the index of an SRQ; its QPs go to ERROR as they receive */
	PHCA_EVENT_CLIENT_FATAL,    /**< nonsense in the index of a client's doorbell ring: its doorbells are ignored
	                             *   from now on, so it can only be closed; num is the client's number */
};
#define PHCA_EVENT_COUNT (PHCA_EVENT_CLIENT_FATAL + 1) /**< kinds of events */
/** One event. */
struct phca_event {
	uint8_t type;    /**< enum phca_event_type */
	uint8_t status;  /**< enum phca_wc_status that explains it */
	uint32_t num;    /**< number of the QP, CQ, SRQ, client or port */
	struct phca_client *client; /**< whose object it is, until that is closed; NULL: a port's */
};
/**
 * Take what happened since the last call; never of an object that is destroyed. As many wait as there are objects and
 * kinds: none is lost, and one that is due already is not due twice.
 * @return events written to @p ev, 0..n. One control thread.
 */
unsigned int phca_hca_events(struct phca_hca *hca, struct phca_event *ev, unsigned int n);
/** @return events that were one with an earlier one of their object and kind, not taken yet. Any thread. */
uint64_t phca_hca_events_merged(const struct phca_hca *hca);
/** @return the event in words: "QP fatal". */
const char *phca_event_str(enum phca_event_type t);

/* --------------------------------------------------------------- clients */

/** Where a ring of lib/queue lies: phca_ring_attach takes both. {NULL, 0}: there is none. */
struct phca_ring_mem {
	void *mem;    /**< its header; slots follow */
	size_t bytes; /**< header and slots */
};
/** How to open a client. */
struct phca_client_conf {
	const char *name;  /**< for messages and show; copied */
	uint32_t max_qp;   /**< room for so many QPs, 1..2^20 */
	/**
	 * Memory for a ring, such that the client's process has it, too: zeroed, PHCA_CACHE_LINE aligned.
	 * NULL: memory of this process, ring_free must be NULL then, too. Control thread. @return NULL: none left
	 */
	void *(*ring_alloc)(void *arg, size_t bytes);
	/** Take it back, with the same @p bytes; no lcore touches it any more. Control thread. */
	void (*ring_free)(void *arg, void *mem, size_t bytes);
	void *arg;         /**< of both */
	void *priv;        /**< the caller's; phca_client_priv gives it back */
	/**
	 * All its QPs belong to one HCA lcore, the one with the fewest such clients, so that it may
	 * share its CQs and SRQs among them as it likes; else each goes where there are the fewest
	 * QPs, and phca_qp_create may say -EXDEV.
	 */
	bool one_shard;
	/**
	 * Of each HCA lcore (phca_hca_nb_shards), an eventfd in non-blocking mode that the client's
	 * process writes to wake a sleeping lcore; NULL, or -1 in it: none. The caller's, open until
	 * the client is closed; the array is copied.
	 */
	const int *wake_fds;
};
/** @return a client; NULL with rte_errno: EINVAL, ENOMEM. Control thread. */
struct phca_client *phca_client_open_conf(struct phca_hca *hca, const struct phca_client_conf *conf);
/** @return a client of this process, for resident applications, as phca_client_open_conf. Control thread. */
struct phca_client *phca_client_open(struct phca_hca *hca, const char *name, uint32_t max_qp);
/** @return phca_client_conf.priv. Any thread. */
void *phca_client_priv(const struct phca_client *c);
/** Where its doorbell ring for the QPs of an HCA lcore lies; {NULL, 0}: no such lcore. Any thread. */
void phca_client_db(const struct phca_client *c, unsigned int shard, struct phca_ring_mem *m);
/** Name the loop that runs the client's application: it is woken after completions were written. Control thread. */
void phca_client_loop_set(struct phca_client *c, struct phca_loop *loop);
/**
 * Destroy all that the client left, and the client. Control thread.
 * @return 0; -EBUSY: phca_qp_destroy of one of its QPs said so, which is logged; the
 *         client stays, with its rings and descriptors (call again)
 */
int phca_client_close(struct phca_client *c);

/* -------------------------------------------------------------------- CQ */

/**
 * Create a completion queue.
 * @param cqe  completions that it must hold at least, 1..PHCA_CQE_MAX
 * @return 0, -EINVAL, -ENOMEM. Control thread.
 */
int phca_cq_create(struct phca_client *c, uint32_t cqe, struct phca_cq **cq);
/** @return 0; -EBUSY a QP uses it. Control thread. */
int phca_cq_destroy(struct phca_cq *cq);
/** Application: @return completions written, 0..n; -EIO */
int phca_poll_cq(struct phca_cq *cq, unsigned int n, struct phca_wc *wc);
/** @return its number. */
uint32_t phca_cq_num(const struct phca_cq *cq);
/**
 * Say where notes for its consumer go. For each time that the consumer armed the CQ (phca_cq_arm), the lcore
 * that owns it writes one struct phca_cq_note: after a completion that the consumer asked for, or when the
 * CQ overran. When there is no room the lcore tries again in later turns; nothing is lost.
 * @param fd  a socket of a socketpair (SOCK_SEQPACKET, SOCK_STREAM) whose other end the client's process has; or
 *            the writing end of a pipe in non-blocking mode, only for a process that is trusted: who reads a
 *            pipe into memory that does not answer makes its writers wait. -1: no notes. It stays the caller's,
 *            open until another is set or the CQ is destroyed. Several CQs may have the same
 * @return 0; -EBADF; -EINVAL something else, or a pipe that blocks. Control thread.
 */
int phca_cq_notify_set(struct phca_cq *cq, int fd);
/**
 * Give it another size (11.2.6.3). It goes on in a new ring: completions that were not polled stay in the old
 * one, which the consumer polls until it is empty; then it goes on with the new one (phca_cq_ring), as
 * phca_poll_cq does by itself. The old ring is freed by phca_cq_resize_done, the next resize or destroy.
 * A CQ that is armed stays so.
 * @param cqe  as of phca_cq_create
 * @return 0; -EINVAL out of range, less than the completions in it now, or it overran; -EBUSY a resident
 *         application has not emptied the ring of the last resize; -ENOMEM. Control thread.
 */
int phca_cq_resize(struct phca_cq *cq, uint32_t cqe);
/**
 * The consumer reads the old ring no more: free it. If the CQ is armed, in either ring, and completions came
 * since the resize, there is a note now, since it may have armed before it knew of the new ring.
 * @return 0, also without a resize; -EBUSY as above. Control thread.
 */
int phca_cq_resize_done(struct phca_cq *cq);
/** @return whose it is. Control thread. */
struct phca_client *phca_cq_client(const struct phca_cq *cq);
/** Where its ring lies. Control thread. */
void phca_cq_ring(const struct phca_cq *cq, struct phca_ring_mem *m);
/** What a CQ is like. */
struct phca_cq_info {
	uint32_t cqn, cqe;      /**< number, capacity */
	bool proxy_owned;       /**< the proxy lcore writes it; else the HCA lcore */
	bool overrun;           /**< in error */
	unsigned int nb_qps;    /**< queue references of QPs */
	uint64_t written, noops, noops_elided, lost, notes; /**< see struct phca_cqw */
	const char *client;
};
/** Read it; any thread while it exists. */
void phca_cq_info_get(const struct phca_cq *cq, struct phca_cq_info *info);

/* ------------------------------------------------------------------- SRQ */

/** How to create a shared receive queue. */
struct phca_srq_init {
	uint32_t pd;       /**< protection domain */
	uint32_t max_wr;   /**< 1..PHCA_QP_DEPTH_MAX, rounded up to a power of two */
	uint32_t max_sge;  /**< 0..PHCA_SGE_MAX */
	uint32_t limit;    /**< 0: no event; else PHCA_EVENT_SRQ_LIMIT once fewer are left */
};
/** @return 0, -EINVAL, -ENOMEM. Control thread. */
int phca_srq_create(struct phca_client *c, const struct phca_srq_init *init, struct phca_srq **srq);
/** Set the limit, which arms its event (10.2.9.5). @return 0, -EINVAL more than max_wr. Control thread. */
int phca_srq_arm(struct phca_srq *srq, uint32_t limit);
/** @return the limit, 0 when its event has happened. Control thread. */
uint32_t phca_srq_limit(struct phca_srq *srq);
/** @return 0; -EBUSY a QP uses it. Control thread. */
int phca_srq_destroy(struct phca_srq *srq);
/** @return its number. */
uint32_t phca_srq_num(const struct phca_srq *srq);
/** @return whose it is. Control thread. */
struct phca_client *phca_srq_client(const struct phca_srq *srq);
/** Where its ring lies. Control thread. */
void phca_srq_ring(const struct phca_srq *srq, struct phca_ring_mem *m);
/** What an SRQ is like. */
struct phca_srq_info {
	uint32_t srqn, max_wr, max_sge, limit;
	unsigned int nb_qps;       /**< QPs that use it */
	uint64_t taken;            /**< receives taken */
	const char *client;
};
/** Read it; any thread while it exists. */
void phca_srq_info_get(const struct phca_srq *srq, struct phca_srq_info *info);
/** Call @p cb for each SRQ; control thread. @return what cb returned if not 0 */
int phca_srq_each(struct phca_hca *hca, int (*cb)(void *arg, struct phca_srq *srq), void *arg);

/* -------------------------------------------------------------------- QP */

/** QP types, numbered as enum ibv_qp_type. */
enum phca_qp_type { PHCA_QPT_RC = 2, PHCA_QPT_UC = 3, PHCA_QPT_UD = 4 };
/** QP states, numbered as enum ibv_qp_state. */
enum phca_qp_state {
	PHCA_QPS_RESET, PHCA_QPS_INIT, PHCA_QPS_RTR, PHCA_QPS_RTS,
	PHCA_QPS_SQD, PHCA_QPS_SQE, PHCA_QPS_ERR,
};
/** @return "RESET", "INIT", ... */
const char *phca_qp_state_str(enum phca_qp_state s);
/** @return "RC", "UC", "UD" */
const char *phca_qp_type_str(enum phca_qp_type t);

/** How to create a QP. */
struct phca_qp_init {
	enum phca_qp_type type;
	uint32_t qpn;             /**< number wanted, 2..2^24-2; 0: any */
	unsigned int port;        /**< index of the HCA's port */
	uint32_t pd;              /**< protection domain */
	struct phca_cq *send_cq, *recv_cq;
	struct phca_srq *srq;     /**< where receives come from; NULL: an RQ of its own */
	uint32_t max_send_wr, max_recv_wr;   /**< 0..PHCA_QP_DEPTH_MAX, rounded up to powers of two */
	uint32_t max_send_sge, max_recv_sge; /**< 0..PHCA_SGE_MAX */
	uint32_t max_inline;      /**< bytes, 0..PHCA_INLINE_MAX */
	bool sq_sig_all;          /**< every send WR is signaled */
};
/**
 * Create a QP. Its shard is that of its CQs and SRQ; one that no QP used before
 * goes to the shard with the fewest QPs.
 * @return 0; -EINVAL; -EEXIST the number is taken; -ENOSPC; -ENOMEM; -EXDEV its CQs
 *         and SRQ belong to different shards. Control thread.
 */
int phca_qp_create(struct phca_client *c, const struct phca_qp_init *init, struct phca_qp **qp);
/** Destroy; cancels what is offloaded and waits for the proxy to let go. @return 0; -EBUSY a driver holds a request
 *  that cannot be cancelled for longer than 10 s (call again). Control thread. */
int phca_qp_destroy(struct phca_qp *qp);
/** phca_qp_destroy that waits for @p timeout_ns at most, 0: not at all; then -EBUSY: call it again. Nothing of the QP
 *  is carried out any more, whatever it returns. Control thread. */
int phca_qp_destroy_within(struct phca_qp *qp, uint64_t timeout_ns);

/** Attributes, for modify and query. */
struct phca_qp_attr {
	enum phca_qp_state state;
	enum phca_qp_state cur_state; /**< what the caller takes the state to be */
	bool en_sqd_notify;     /**< to SQD: PHCA_EVENT_SQ_DRAINED when it is */
	uint32_t access;        /**< PHCA_ACCESS_REMOTE_*: what inbound requests may do; UC, RC */
	uint16_t pkey;          /**< partition key */
	uint32_t qkey;          /**< UD */
	struct phca_av av;      /**< UC, RC: the peer; packets from other addresses are refused. RC must
	                         *   have one, UC may */
	uint16_t path_mtu;      /**< UC, RC: bytes, 256..4096, at most the port's */
	uint8_t timeout;        /**< RC: local ACK timeout, 4.096 us x 2^n, 0..31; 0: none */
	uint8_t retry_cnt;      /**< RC: tries after a timeout or sequence NAK, 0..7 */
	uint8_t rnr_retry;      /**< RC: tries after an RNR NAK, 0..6; 7: for ever */
	struct phca_psn rq_psn; /**< UC, RC: expected PSN */
	uint8_t max_rd_atomic;  /**< RC: READs and atomics it has outstanding, 0..PHCA_RD_ATOMIC_MAX */
	uint8_t min_rnr_timer;  /**< RC: code of 9.7.5.2.8 in RNR NAKs that it sends, 0..31 */
	struct phca_psn sq_psn; /**< first PSN sent; query: next */
	uint8_t max_dest_rd_atomic; /**< RC: READs and atomics its peer may have outstanding */
	uint32_t dest_qpn;      /**< UC, RC */
	bool sq_draining;       /**< query: in SQD, and not drained yet */
};
#define PHCA_QP_STATE         0x000001 /**< state is given; numbered as enum ibv_qp_attr_mask, as all of these */
#define PHCA_QP_CUR_STATE     0x000002 /**< cur_state is given */
#define PHCA_QP_EN_SQD_NOTIFY 0x000004 /**< en_sqd_notify is given */
#define PHCA_QP_ACCESS        0x000008 /**< access is given */
#define PHCA_QP_PKEY          0x000010 /**< pkey is given */
#define PHCA_QP_QKEY          0x000040 /**< qkey is given */
#define PHCA_QP_AV            0x000080 /**< av is given */
#define PHCA_QP_PATH_MTU      0x000100 /**< path_mtu is given */
#define PHCA_QP_TIMEOUT       0x000200 /**< timeout is given */
#define PHCA_QP_RETRY_CNT     0x000400 /**< retry_cnt is given */
#define PHCA_QP_RNR_RETRY     0x000800 /**< rnr_retry is given */
#define PHCA_QP_RQ_PSN        0x001000 /**< rq_psn is given */
#define PHCA_QP_MAX_RD_ATOMIC 0x002000 /**< max_rd_atomic is given */
#define PHCA_QP_MIN_RNR_TIMER 0x008000 /**< min_rnr_timer is given */
#define PHCA_QP_SQ_PSN        0x010000 /**< sq_psn is given */
#define PHCA_QP_MAX_DEST_RD_ATOMIC 0x020000 /**< max_dest_rd_atomic is given */
#define PHCA_QP_DEST_QPN      0x100000 /**< dest_qpn is given */
/**
 * Modify a QP (10.3.1, 11.2.5.2): RESET to INIT to RTR to RTS, RTS to SQD and
 * back, SQE to RTS, any but RESET to ERR, any to RESET.
 * @param mask  PHCA_QP_* of @p attr that are given; a transition that lacks what
 *              it needs, or has what it does not allow, is refused
 * @return 0; -EINVAL; -EBUSY to RESET: a driver holds a request that cannot be
 *         cancelled for longer than 10 s. The QP is in RESET then; until a
 *         further call to RESET succeeds, it can only be destroyed. Control thread.
 */
int phca_qp_modify(struct phca_qp *qp, const struct phca_qp_attr *attr, unsigned int mask);
/** phca_qp_modify that waits for @p timeout_ns at most on the way to RESET, 0: not at all; then -EBUSY: call it again.
 *  Control thread. */
int phca_qp_modify_within(struct phca_qp *qp, const struct phca_qp_attr *attr, unsigned int mask, uint64_t timeout_ns);
/** Read attributes as they are now. Control thread. */
int phca_qp_query(struct phca_qp *qp, struct phca_qp_attr *attr);

/**
 * Have a UD QP receive what is sent to a multicast group (10.5.2). Its port joins.
 * @param mgid  multicast GID; IPv4 as ::ffff:224.x.y.z
 * @return 0, also when it is attached already; -EINVAL; -ENOSPC. Control thread.
 */
int phca_qp_mcast_attach(struct phca_qp *qp, const uint8_t mgid[16]);
/** @return 0; -EINVAL not attached. Control thread. */
int phca_qp_mcast_detach(struct phca_qp *qp, const uint8_t mgid[16]);

/** A rule of a proxy QP. */
struct phca_rule {
	const char *name;                /**< for show; copied */
	struct phca_filter_slot *filter; /**< the named filter; replaced live by swapping the slot.
	                                  *   NULL: every request matches, and inbound ones cannot be passed */
	struct phca_offload *offload;    /**< what carries out a match */
	bool send, inbound;              /**< which requests it is tried on */
};
/**
 * Make a QP a proxy QP. From now on all its completions, and all completions of
 * its CQs, go through the proxy lcore, until it is destroyed.
 * @param window  places of each window; 0: as deep as the queue, at least 64
 * @param n       rules, 0..PHCA_PROXY_RULE_MAX; 0: nothing matches
 * @return 0; -EINVAL; -ENOTSUP the HCA has no proxy; -EBUSY it is one already
 *         (phca_qp_proxy_rules_set replaces its rules), or is being destroyed, or
 *         send WRs that have begun did not end within 10 s; -EXDEV its CQs, or the
 *         offloads, belong to different proxies; -ENOMEM. Control thread.
 */
int phca_qp_proxy_attach(struct phca_qp *qp, const struct phca_rule *rules, unsigned int n, uint32_t window);
/**
 * Replace all rules of a proxy QP while it runs. A request begins under the old rules
 * or the new ones; what has begun ends under those it began with, and order and number
 * of completions do not change. When it returns the old offloads are used no more,
 * except by requests that drivers still hold and by a message that is half received.
 * @param rules  of the QP's proxy; a rule that was there before goes on counting
 * @param n      0..PHCA_PROXY_RULE_MAX; 0: nothing matches any more, the QP's completions
 *               still go through the proxy
 * @return 0; -EINVAL it is no proxy QP, too many rules, one without offload;
 *         -EXDEV an offload of another proxy; -EBUSY it is being destroyed or reset,
 *         or the proxy has not taken an earlier change within 10 s; -ENOMEM. Control thread.
 */
int phca_qp_proxy_rules_set(struct phca_qp *qp, const struct phca_rule *rules, unsigned int n);
/**
 * Tell the HCA lcore's trace, and that of the QP's proxy, what happens to requests that are
 * taken from now on; those that are under way are told to their ends.
 * @param count  of so many requests; PHCA_QP_TRACE_ALL: of all; 0: of no more
 * @return 0; -EINVAL it is no proxy QP; -EBUSY it is being destroyed. Control thread.
 */
int phca_qp_trace_set(struct phca_qp *qp, uint32_t count);
#define PHCA_QP_TRACE_ALL UINT32_MAX
/**
 * Where an HCA lcore writes of traced QPs.
 * @param t  the caller's, used until the next call; NULL: nowhere
 * @return 0; -EINVAL no such shard. Control thread.
 */
int phca_hca_trace_set(struct phca_hca *h, unsigned int shard, struct phca_trace *t);
/** @return the proxy that the QP, or else one of its CQs, belongs to for good; NULL: any will do. Control thread. */
struct phca_proxy *phca_qp_proxy(const struct phca_qp *qp);
/** @return its proxy side, the same from the attach until it is destroyed; NULL: a plain QP. Control thread. */
struct phca_pqp *phca_qp_pqp(const struct phca_qp *qp);

/** Counters of a QP, besides its verdicts. X(field, unit, what) */
#define PHCA_QP_COUNTERS(X) \
	X(rx_packets, "packets", "received for this QP") \
	X(rx_bytes, "bytes", "payload received") \
	X(rx_messages, "messages", "inbound messages that ended: direct + offloaded") \
	X(rx_direct, "messages", "inbound messages executed by the HCA lcore") \
	X(rx_offloaded, "messages", "inbound messages handed to the proxy lcore") \
	X(rx_ordered, "messages", "of rx_offloaded: matched no rule, but follow some that an offload may pass") \
	X(rx_passed, "messages", "of rx_offloaded: given back, and received by the HCA lcore") \
	X(rx_pass_dropped, "messages", \
		"of rx_offloaded: given back, and dropped: the receive refused them, or error; UC, UD: no receive") \
	X(rx_pass_waits, "messages", "given back when no receive was posted, or no room for the completion") \
	X(rx_dropped, "messages", "inbound messages dropped, counted on the packet that caused it") \
	X(tx_packets, "packets", "sent") \
	X(tx_bytes, "bytes", "payload sent") \
	X(tx_wrs, "WRs", "send work requests fetched: tx_direct, tx_offloaded less tx_passed, tx_errors, tx_flushed, " \
		"and those under way") \
	X(tx_direct, "WRs", "send work requests executed by the HCA lcore") \
	X(tx_offloaded, "WRs", "send work requests handed to the proxy lcore") \
	X(tx_passed, "WRs", "of tx_offloaded: the proxy lcore gave them back, to be carried out by the HCA lcore") \
	X(tx_children, "WRs", "work requests that offloads issued, done or flushed; in no other count of WRs") \
	X(tx_errors, "WRs", "send work requests completed with an error") \
	X(tx_unresolved, "packets", "packets dropped: destination not found by ARP or NDP") \
	X(tx_stalls, "turns", "send queue waited for the proxy's ring or window") \
	X(bad_rule, "requests", "a filter named a rule that the QP does not have; taken as pass") \
	X(tx_flushed, "WRs", "send work requests flushed by the HCA lcore") \
	X(rx_flushed, "WRs", "receive work requests flushed by the HCA lcore") \
	X(rx_duplicates, "packets", "RC: requests received before; acknowledged or answered again") \
	X(tx_acks, "packets", "RC: acknowledgements sent") \
	X(tx_naks, "packets", "RC: NAKs sent, other than RNR") \
	X(tx_rnr_naks, "packets", "RC: RNR NAKs sent") \
	X(rx_acks, "packets", "RC: acknowledgements received") \
	X(rx_naks, "packets", "RC: NAKs received, other than RNR") \
	X(rx_rnr_naks, "packets", "RC: RNR NAKs received") \
	X(tx_resent, "packets", "RC: sent again") \
	X(timeouts, "times", "RC: local ACK timeout expired") \
	X(tx_responses, "packets", "RC: READ and atomic responses sent") \
	X(rx_responses, "packets", "RC: READ and atomic responses received") \
	X(rx_ecn_marked, "packets", "received with ECN CE: there was congestion on their way") \
	X(tx_cnps, "packets", "CNPs sent for packets received with ECN CE; in tx_packets too") \
	X(rx_cnps, "packets", "CNPs received")
/** Counters of a QP. */
struct phca_qp_stats {
	PHCA_QP_COUNTERS(PHCA_HCA_CTR)
	uint64_t verdict[PHCA_V_COUNT]; /**< of its packets */
};
#undef PHCA_HCA_CTR
/** What a QP is like. */
struct phca_qp_info {
	uint32_t qpn;
	enum phca_qp_type type;
	enum phca_qp_state state;
	unsigned int port, shard;
	bool proxy;                  /**< it is a proxy QP */
	unsigned int nb_rules;
	const char *client;
	uint32_t send_cqn, recv_cqn; /**< completion queues */
	uint32_t srqn;               /**< shared receive queue; 0: none */
	struct phca_qp_stats stats;
	struct phca_pqp_stats pqp;   /**< when proxy */
};
/** Read it; control thread. */
void phca_qp_info_get(const struct phca_qp *qp, struct phca_qp_info *info);
/** The rate of a QP, from congestion control. */
struct phca_qp_rate {
	bool controlled;     /**< RC or UC since RTR, and congestion control is on; else all is 0 */
	bool limited;        /**< rate_bps is below line_bps: its packets are paced */
	uint64_t rate_bps;   /**< it may send, bits a second */
	uint64_t target_bps; /**< fast recovery goes there */
	uint64_t line_bps;   /**< of its port */
	uint32_t alpha_ppm;  /**< congestion estimate, parts of 10^6: the next CNP cuts by half of it */
};
/** Read it as of the HCA lcore's last turn. Control thread. */
void phca_qp_rate_get(struct phca_qp *qp, struct phca_qp_rate *rate);
/** @return the HCA's congestion control; NULL: off. */
const struct phca_congestion_conf *phca_hca_congestion(const struct phca_hca *hca);
/** Add how long completions of a proxy QP waited for an earlier one to @p sum; of a plain one nothing. Any thread. */
void phca_qp_stall_get(const struct phca_qp *qp, struct phca_hist *sum);
/** A rule of a proxy QP and what it did. */
struct phca_rule_info {
	const char *name, *filter, *offload; /**< filter is the current one's name; "": every request matches */
	bool send, inbound;
	uint64_t matched; /**< requests offloaded by it */
};
/** @return 0; -EINVAL out of range. Control thread. */
int phca_qp_rule_info(const struct phca_qp *qp, unsigned int rule, struct phca_rule_info *info);
/** Call @p cb for each QP, by number; control thread. @return what cb returned if not 0 */
int phca_qp_each(struct phca_hca *hca, int (*cb)(void *arg, struct phca_qp *qp), void *arg);
/** Call @p cb for each CQ; control thread. @return what cb returned if not 0 */
int phca_cq_each(struct phca_hca *hca, int (*cb)(void *arg, struct phca_cq *cq), void *arg);
/** @return the QP with this number, NULL: none. Control thread. */
struct phca_qp *phca_qp_find(struct phca_hca *hca, uint32_t qpn);
/** @return its number. */
uint32_t phca_qp_num(const struct phca_qp *qp);
/** @return its send or receive CQ. */
struct phca_cq *phca_qp_cq(const struct phca_qp *qp, enum phca_dir dir);
/** @return whose it is. Control thread. */
struct phca_client *phca_qp_client(const struct phca_qp *qp);
/** Where its rings lie; with an SRQ it has no receive ring: {NULL, 0}. Control thread. */
void phca_qp_rings(const struct phca_qp *qp, struct phca_ring_mem *sq, struct phca_ring_mem *rq);

/* ------------------------------------------------------ post, application */

/** A receive work request. */
struct phca_recv_wr {
	uint64_t wr_id;
	const struct phca_sge *sge;
	uint32_t num_sge;
};
/** A send work request. */
struct phca_send_wr {
	uint64_t wr_id;
	const struct phca_sge *sge;
	uint32_t num_sge;
	const void *inline_data;  /**< with PHCA_SEND_INLINE */
	uint32_t inline_len;
	enum phca_wr_opcode opcode;
	uint32_t flags;           /**< PHCA_SEND_* */
	uint32_t imm;             /**< network order */
	struct phca_av av;        /**< UD */
	uint32_t remote_qpn, remote_qkey; /**< UD */
	uint64_t remote_addr;     /**< WRITE, READ, atomics */
	uint32_t rkey;            /**< the same; SEND_WITH_INV, LOCAL_INV: the one to invalidate */
	uint64_t compare_add;     /**< CMP_AND_SWP: compare; FETCH_AND_ADD: add; host order */
	uint64_t swap;            /**< CMP_AND_SWP */
	struct {
		uint64_t addr, length; /**< what the window shows; length 0: nothing (type 1) */
		uint32_t rkey;         /**< of the window now */
		uint32_t new_rkey;     /**< and from then on: same upper 24 bits */
		uint32_t lkey;         /**< of the region */
		uint32_t access;       /**< PHCA_ACCESS_REMOTE_*, ZERO_BASED */
	} bind;                   /**< BIND_MW */
};
/**
 * Post receive work requests. The QP's application thread.
 * @return how many were taken, 0..n (queue full); -EINVAL too many SGEs
 */
int phca_post_recv(struct phca_qp *qp, const struct phca_recv_wr *wr, unsigned int n);
/** Post receive work requests to an SRQ. One thread at a time. As phca_post_recv. */
int phca_post_srq_recv(struct phca_srq *srq, const struct phca_recv_wr *wr, unsigned int n);
/**
 * Post send work requests and ring the doorbell. As phca_post_recv; also
 * -EINVAL: an opcode that the QP's type does not have (11.4.1.1, table 91).
 */
int phca_post_send(struct phca_qp *qp, const struct phca_send_wr *wr, unsigned int n);
/**
 * Make an address vector that answers a UD completion: source becomes
 * destination (11.2.2.2, "create address handle from work completion").
 * @param wc   of a successful UD receive
 * @param grh  the PHCA_GRH_LEN bytes in front of its payload
 * @return 0; -EINVAL the GRH is not one, its source no unicast address, or its
 *         destination not an address of the port
 */
int phca_av_from_wc(const struct phca_qp *qp, const struct phca_wc *wc, const void *grh, struct phca_av *av);

/**
 * Make an address vector to an address, a multicast one too, from the GID that
 * fits it best (11.2.2.1, "create address handle").
 * @return 0; -EINVAL the port has no address of its family
 */
int phca_av_to(const struct phca_qp *qp, const uint8_t dgid[16], struct phca_av *av);

/* --------------------------------------------------- resident applications */

struct phca_app; /**< an instance of a resident application */

/**
 * A resident application: a const struct of callbacks. turn runs on the lcore
 * with the app role; the others on control threads.
 */
struct phca_app_ops {
	const char *name;                    /**< in JSON: "driver" */
	const char *help;                    /**< one line */
	const struct phca_setting *settings; /**< ends with name NULL */
	size_t priv_size;                    /**< bytes of phca_app_priv, zeroed */
	/** QPs are in RTS. @return 0, or negative errno with err written */
	int (*init)(struct phca_app *a, const struct phca_setting_value *v, char *err, size_t err_len);
	void (*fini)(struct phca_app *a);    /**< no turn runs any more; before its QPs are destroyed */
	/** One turn. @return how much was done */
	unsigned int (*turn)(struct phca_app *a, uint64_t now_ns);
	/**
	 * Completions of one QP that came out of order; any thread. NULL: the
	 * driver does not look. @return 0; -ENOENT the QP is not the instance's
	 */
	int (*qp_out_of_order)(const struct phca_app *a, uint32_t qpn, uint64_t *n);
	/** Counters: name, unit and what are constant; any thread. */
	int (*show)(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg);
	/** As show, values that are of now and not counts; any thread. NULL: none. */
	int (*gauges)(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg);
	/** The HCA receives from now on, or will soon not any more; app's lcore. NULL: the app only answers. */
	void (*enable)(struct phca_app *a, bool on);
	/** @return messages that it began and that have not ended; any thread. NULL: never any */
	uint64_t (*in_flight)(const struct phca_app *a);
	/** Begin the statistics behind gauges anew; app's lcore. NULL: there are none. */
	void (*clear)(struct phca_app *a);
	/** One of its QPs is about to be reset: post nothing until qp_reset; app's lcore. */
	void (*qp_hold)(struct phca_app *a, uint32_t qpn);
	/**
	 * One of its QPs was reset and is in RTS again: what was posted is forgotten.
	 * Take its old completions, post receives; app's lcore. NULL, as qp_hold: QPs cannot be reset.
	 */
	int (*qp_reset)(struct phca_app *a, uint32_t qpn);
};
/** How to create an instance. */
struct phca_app_conf {
	const char *name;
	const struct phca_app_ops *ops;
	const struct phca_setting_arg *args;
	unsigned int nb_args;
	struct phca_client *client;  /**< owns the QPs */
	uint32_t pd;                 /**< for its memory */
	struct phca_mem *mem;
	struct phca_qp *const *qps;  /**< its QPs; outlive the instance */
	struct phca_cq *const *cqs;  /**< receive CQ of each QP (its send CQ too) */
	const uint32_t *depths;      /**< receive queue depth of each QP, or of its SRQ */
	struct phca_srq *const *srqs; /**< SRQ of each QP, NULL: a receive queue of its own; NULL: none has one */
	unsigned int nb_qps;
};
/** @return the instance; NULL with rte_errno and @p err written. Control thread. */
struct phca_app *phca_app_create(const struct phca_app_conf *conf, char *err, size_t err_len);
/** Control thread; its turn function is not in any loop any more. */
void phca_app_destroy(struct phca_app *a);
/** A phca_turn_fn for the loop with the app role. */
unsigned int phca_app_turn(void *app, uint64_t now_ns);
void *phca_app_priv(const struct phca_app *a);                       /**< @return the driver's memory */
const struct phca_app_conf *phca_app_conf(const struct phca_app *a); /**< @return its configuration (arrays copied) */
const struct phca_app_ops *phca_app_ops(const struct phca_app *a);   /**< @return its driver */

#ifdef __cplusplus
}
#endif
#endif
