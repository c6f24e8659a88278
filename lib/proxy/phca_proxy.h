/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The proxy CPU: what the HCA lcore hands it, the serializer that delivers
 * completions in order, and the interface of offload drivers.
 *
 * A proxy QP numbers its work requests: one sequence for the send queue, one
 * for inbound requests. For each sequence the proxy keeps a window. Everything
 * of the QP reaches the proxy over one rte_ring: offloaded requests (OFFLOAD) in
 * the order of the requests; completions of direct requests (COMPLETE) when the
 * HCA has them, which for RC is when the peer has acknowledged, so that a place
 * may be filled after any number of later ones. An offloaded request keeps its
 * place until its driver has finished it; the window releases a place when all
 * earlier ones were released:
 *
 *   send      the completion, or nothing when the WR was unsignaled and succeeded
 *   inbound   a direct request's completion as it is; for an offloaded one a
 *             no-op, which the consumer skips
 *
 * The first error in the order of the requests is what the application sees,
 * whenever it became known; everything behind it in its window is flushed,
 * signaled or not, done or not. Errors are:
 *
 *   an offloaded request that failed: the QP goes to the error state (reply
 *   ERROR); inbound, the next receive in the window carries the error.
 *   Offloaded requests behind it are cancelled. Direct requests in front of it
 *   whose COMPLETE has not arrived are still the HCA's to complete, or flush.
 *
 *   a direct completion with an error. Offloaded requests behind it in its
 *   window are cancelled. UC and UD go on with the first request behind it that
 *   arrives after it and is no flush (SQE to RTS); RC never.
 *
 * An inbound READ or atomic takes a place in the sequence of inbound requests, a
 * no-op when its turn comes. Its answer does not wait for that: it goes to the HCA
 * when the driver is done (reply ANSWER), which keeps responses in order. In error
 * its ANSWER has the status, WR_FLUSH_ERR when it was cancelled.
 *
 * A direct completion that is flushed (WR_FLUSH_ERR) tells that the QP is in error
 * for a reason elsewhere. Nothing behind it succeeds, but the error itself may yet
 * stand there, as when the HCA flushes what stands in front of a failed offload.
 * Offloaded requests of its window are cancelled, except those that stand before
 * it and a known error, which may still finish.
 *
 * The HCA holds the credits: it never has more requests in a window than the
 * window has places, nor puts more on the ring than fits. The proxy returns
 * places over a second ring, the replies. There is such a pair, a channel, for
 * each HCA lcore.
 *
 * Threads: create and destroy functions belong to control threads; the proxy
 * lcore runs phca_proxy_turn and calls the drivers; the HCA lcore fills and
 * empties the rings. No-one else touches a phca_pqp between ATTACH and DETACHED.
 */
#ifndef PHCA_PROXY_H
#define PHCA_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "phca_hist.h"
#include "phca_loop.h"
#include "phca_mem.h"
#include "phca_queue.h"
#include "phca_trace.h"
#include "phca_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_PROXY_RULE_MAX 16      /**< rules of one proxy QP */
#define PHCA_PROXY_OFFLOAD_MAX 64   /**< offload instances of one proxy */
#define PHCA_PROXY_TAG_MAX 65536    /**< tags of one proxy QP */
#define PHCA_WINDOW_MIN 16          /**< places of a window at least */
#define PHCA_WINDOW_MAX (1u << 16)  /**< places of a window at most */

struct phca_proxy;       /**< one proxy lcore */
struct phca_pqp;         /**< a proxy QP as the proxy sees it */
struct phca_offload;     /**< an instance of an offload driver on one proxy */
struct phca_offload_req; /**< an offloaded work request */
struct phca_child;       /**< a work request that the proxy issues itself */
struct phca_filter;      /**< lib/filter: a program */
struct phca_filter_kind; /**< lib/filter: a kind of program */
struct phca_filter_slot; /**< lib/filter: where the program is that runs now */

/** The two sequences of a proxy QP. */
enum phca_dir { PHCA_DIR_SEND = 0, PHCA_DIR_RECV = 1, PHCA_DIR_COUNT = 2 };

/* ------------------------------------------------------------- CQ writing */

/**
 * The HCA's side of a completion queue: one lcore owns it and is its only
 * writer. Completions are staged and become visible with phca_cqw_flush.
 */
struct phca_cqw {
	struct phca_ring ring;   /**< producer's view */
	uint32_t noop_room;      /**< slots that no-ops may take; the ring has cqe + noop_room */
	uint32_t cqn;            /**< number, for messages */
	uint32_t noop_run;       /**< requests of the no-op that was staged last; 0: no no-op */
	bool dirty;              /**< the owner's: staged completions wait for phca_cqw_flush, which clears it */
	bool overrun;            /**< a completion did not fit: the CQ is in error, nothing is written any more */
	struct phca_cqw *next_dirty; /**< the owner's list of dirty CQs */
	struct phca_cqw *next_error; /**< the proxy's list of CQs whose overrun it has to tell */
	struct phca_loop *consumer;  /**< woken by phca_cqw_flush; NULL: none. Any thread stores it atomically */
	uint8_t news;            /**< the owner's: PHCA_CQW_NEWS_*, since the consumer was last thought of */
	uint8_t notify;          /**< enum phca_cqw_notify */
	bool owing;              /**< in the owner's list of those with notes that found no room */
	int notify_fd;           /**< where notes go */
	uint32_t owed;           /**< notes that found no room */
	struct phca_cqw *next_owing;
	uint64_t written;        /**< counter: completions */
	uint64_t noops;          /**< counter: requests that ended in a no-op; neighbours share a slot */
	uint64_t noops_elided;   /**< counter: no-ops left out since the CQ had no spare room */
	uint64_t lost;           /**< counter: completions after the overrun */
	uint64_t notes;          /**< counter: notes written for consumers who armed it */
};
#define PHCA_CQW_NEWS_ANY       0x1 /**< there is a completion, or the CQ overran */
#define PHCA_CQW_NEWS_SOLICITED 0x2 /**< of which one is solicited or failed */

/** How a consumer in another process is told. */
enum phca_cqw_notify { PHCA_CQW_NOTIFY_NONE, PHCA_CQW_NOTIFY_SOCKET, PHCA_CQW_NOTIFY_PIPE };

/**
 * The CQs that an lcore has something to do for. Zeroed: none. A consumer's note is
 * one for each time that it armed the CQ (the exchange of `armed` decides); a note
 * that finds no room is owed and tried again, some a turn, so that consumers who do
 * not read cost little.
 */
struct phca_cqws {
	struct phca_cqw *dirty;   /**< with staged completions, or news */
	struct phca_cqw *owing, *owing_last; /**< with notes that found no room; tried longest ago first */
	uint64_t retry_ns;        /**< not tried again before */
};
/**
 * Stage a completion that the caller fills in at once: all its fields, in place,
 * which saves a copy. Owner lcore, who also keeps its list of dirty CQs.
 * @return the completion, not initialized; NULL: the CQ overran (now or earlier)
 */
struct phca_wc *phca_cqw_next(struct phca_cqw *w, bool solicited, uint64_t now_ns);
/**
 * Stage a completion. Owner lcore, who also keeps its list of dirty CQs.
 * @return 0; -ENOSPC the CQ overran (now or earlier)
 */
int phca_cqw_put(struct phca_cqw *w, const struct phca_wc *wc, bool solicited, uint64_t now_ns);
/**
 * Stage a no-op. It never takes the room of a completion: with no spare slot
 * it is left out and counted, which the consumer, who skips it, cannot tell.
 */
void phca_cqw_noop(struct phca_cqw *w, uint64_t now_ns);
/** Make staged completions visible to the application and wake it, when it is resident. Owner lcore. */
void phca_cqw_flush(struct phca_cqw *w);
/** Something was staged, or it overran: phca_cqws_flush will look at it. Owner lcore. */
static inline void phca_cqws_add(struct phca_cqws *l, struct phca_cqw *w)
{
	if (w->dirty)
		return;
	w->dirty = true;
	w->next_dirty = l->dirty;
	l->dirty = w;
}
/**
 * phca_cqw_flush for all that were added, and notes to consumers in other processes who armed
 * theirs; once a turn. Owner lcore.
 */
void phca_cqws_flush(struct phca_cqws *l, uint64_t now_ns);
/**
 * Where the notes of a CQ go from now on; notes that are owed go there too, or are forgotten.
 * @param l    of its owner; on the owner lcore
 * @param how  PHCA_CQW_NOTIFY_NONE: nowhere
 */
void phca_cqw_notify_set(struct phca_cqws *l, struct phca_cqw *w, enum phca_cqw_notify how, int fd);
/**
 * Go on in another ring, an empty one. What was not consumed stays in the old one, which is
 * not touched any more; its `armed` is that of the new one. Owner lcore, between two turns.
 * @param fresh      the new ring; room for noop_room no-ops more than completions
 */
void phca_cqw_move(struct phca_cqw *w, const struct phca_ring *fresh, uint32_t noop_room);
/**
 * The consumer has the new ring. If it armed the old one after the move, or the new one
 * without looking, it is told. Owner lcore, between two turns.
 */
void phca_cqw_moved(struct phca_cqws *l, struct phca_cqw *w, struct phca_ring_hdr *old);
/** It goes to another owner, who calls phca_cqws_adopt; nothing of it is staged. Owner lcore. */
void phca_cqws_leave(struct phca_cqws *l, struct phca_cqw *w);
/** It came from another owner, if it did not before. New owner lcore. */
void phca_cqws_adopt(struct phca_cqws *l, struct phca_cqw *w);

/* ------------------------------------------------------- HCA lcore <-> proxy */

/** A posted send work request that was offloaded: the HCA's copy, constant until its place is freed. */
struct phca_offload_wr {
	struct phca_send_wqe wqe;     /**< validated copy */
	uint32_t pd;                  /**< protection domain of the QP */
	uint32_t len;                 /**< bytes of payload */
	const struct phca_sge *sge;   /**< wqe.num_sge elements; or NULL */
	const uint8_t *inline_data;   /**< wqe.inline_len bytes; or NULL */
	struct phca_wire_crc crc;     /**< a child's: of all of inline_data; shift 0: nobody has computed it */
};

/** What a message to the proxy is about. */
enum phca_pmsg_kind {
	PHCA_PMSG_ATTACH,   /**< pqp, seq: from now on the proxy owns it; both sequences start at seq */
	PHCA_PMSG_DETACH,   /**< pqp: cancel and discard all; answered by DETACHED */
	PHCA_PMSG_FENCE,    /**< cookie: answered by FENCED when all messages before it in its channel
	                     *   were taken and what they wrote into CQs is visible; does not
	                     *   wait for drivers */
	PHCA_PMSG_COMPLETE, /**< pqp, dir, seq, wc: a direct request completed */
	PHCA_PMSG_OFFLOAD,  /**< pqp, dir, seq, rule: a request to carry out */
	PHCA_PMSG_PLAIN,    /**< cqw, wc: completion of a plain QP on a CQ that the proxy owns */
	PHCA_PMSG_RULES,    /**< pqp, rules: from now on OFFLOAD means these; the former ones are left in
	                     *   their place for the sender, who waits for a FENCE */
	PHCA_PMSG_CHILD,    /**< pqp, child: these are over; once for each CHILD reply while the QP is attached */
	PHCA_PMSG_QP_ERROR, /**< pqp: the QP is in the error state; once, whatever the reason was */
};
#define PHCA_PMSG_F_NO_CQE    0x1 /**< unsignaled: no CQE on success; inbound: none at all, it took no receive */
#define PHCA_PMSG_F_SOLICITED 0x2 /**< completion is solicited */
#define PHCA_PMSG_F_ORDERED   0x4 /**< OFFLOAD: the sender counts it until a RESUME covers it */
#define PHCA_PMSG_F_TRACED    0x8 /**< OFFLOAD, COMPLETE: what happens to it goes to the proxy's trace */
/** OFFLOAD, inbound, ORDERED: no rule matched, it follows one that did; comes back as PASS, in order. */
#define PHCA_PMSG_RULE_PASS 0xff

#define PHCA_PMSG_CHILDREN 5 /**< children of a CHILD at most */

/** An element of the ring to the proxy. */
struct phca_pmsg {
	uint8_t kind;  /**< enum phca_pmsg_kind */
	uint8_t dir;   /**< enum phca_dir */
	uint8_t rule;  /**< OFFLOAD: index of the rule */
	uint8_t flags; /**< PHCA_PMSG_F_* */
	uint32_t seq;  /**< place in the sequence */
	union {
		struct phca_pqp *pqp;
		struct phca_cqw *cqw;
		void *cookie;
	};
	union {
		struct phca_wc wc; /**< COMPLETE, PLAIN */
		struct {
			struct rte_mbuf *m;  /**< the message, owned by the proxy: first
			                      *   packet with its headers, the rest chained
			                      *   as bare payload, tail trimmed. Immediate
			                      *   data is read in front of the last packet's
			                      *   payload: headers are stripped in place */
			struct phca_pkt pkt; /**< of the first packet */
			union {
				uint32_t msg_len; /**< payload bytes of the message */
				uint32_t tag;     /**< READ, atomics: the HCA's, comes back in the
				                   *   ANSWER, before which it is not used again */
			};
			uint8_t last_opcode; /**< BTH opcode of the last packet */
			uint8_t rsvd[3];
		} in;                        /**< OFFLOAD, dir RECV */
		const struct phca_offload_wr *wr; /**< OFFLOAD, dir SEND */
		struct phca_pqp_rules *rules;     /**< RULES */
		struct {
			struct phca_child *child[PHCA_PMSG_CHILDREN]; /**< of pqp; the proxy's again */
			uint32_t nb;              /**< so many of them, 1 at least */
			uint32_t status;          /**< of each, enum phca_wc_status */
		} child;                          /**< CHILD */
	};
};
_Static_assert(sizeof(struct phca_pmsg) == 64, "one cache line");

/** What a reply of the proxy is about. */
enum phca_preply_kind {
	PHCA_PREPLY_CREDIT,   /**< cookie of pqp, dir, seq: places before seq are free */
	PHCA_PREPLY_ERROR,    /**< cookie of pqp, status, dir, seq: move the QP to ERROR since the offload of
	                       *   this place failed; once, the first that was known */
	PHCA_PREPLY_CQ_ERROR, /**< cqw overran; on the channel of the message that overran it */
	PHCA_PREPLY_DETACHED, /**< cookie of pqp: the proxy has let go; the last reply about it */
	PHCA_PREPLY_FENCED,   /**< cookie of FENCE */
	PHCA_PREPLY_ANSWER,   /**< cookie of pqp, tag, status, value, data: what to answer to a READ or
	                       *   atomic; once for each while the QP is attached, in any order */
	PHCA_PREPLY_CHILD,    /**< cookie of pqp, child, wr: put it on the wire behind what has begun and in
	                       *   front of what has not; the child is the HCA's until CHILD or DETACH */
	PHCA_PREPLY_PASS,     /**< cookie of pqp, dir, seq, req, data: carry this one out after all. SEND: the
	                       *   posted work request, as CHILD does; RECV: the message of req, or data
	                       *   instead of its payload when that is not NULL, in the next receive. Its
	                       *   COMPLETE follows; until then req does not change */
	PHCA_PREPLY_RESUME,   /**< cookie of pqp, dir, seq: so many ORDERED requests are decided: what they wanted
	                       *   to put on the wire, or to pass, are replies before this one */
};
/** An element of the ring from the proxy. */
struct phca_preply {
	uint8_t kind;    /**< enum phca_preply_kind */
	uint8_t dir;     /**< enum phca_dir */
	uint8_t status;  /**< enum phca_wc_status */
	uint8_t rsvd;
	union {
		uint32_t seq;
		uint32_t tag; /**< ANSWER: of its OFFLOAD */
	};
	void *cookie;    /**< phca_pqp_conf.cookie, cqw, or the FENCE's cookie */
	union {
		uint64_t value;           /**< ANSWER: an atomic's original value */
		struct phca_child *child; /**< CHILD */
		const struct phca_offload_req *req; /**< PASS, dir RECV */
	};
	union {
		struct rte_mbuf *data; /**< ANSWER of a READ: all its bytes, bare, the HCA's to free; NULL: the
		                        *   HCA lcore reads the memory when it emits the responses */
		const struct phca_offload_wr *wr; /**< CHILD: the work request */
	};
};
_Static_assert(sizeof(struct phca_preply) == 32, "ABI of the reply ring");

/* ------------------------------------------------------------- the proxy */

/** Configuration of a proxy. */
struct phca_proxy_conf {
	const char *name;          /**< unique in the process; names the rings */
	struct phca_loop *loop;    /**< where it runs; the caller adds phca_proxy_turn */
	const struct phca_mem *mem;/**< for drivers that read or write application memory */
	struct rte_mempool *pool;  /**< for answers of READs that drivers write, all of which they may take;
	                            *   NULL: they cannot */
	uint32_t ring_size;        /**< elements of each ring of a channel, a power of two, one of which stays empty */
};
/** @return the proxy, without a channel; NULL with rte_errno */
struct phca_proxy *phca_proxy_create(const struct phca_proxy_conf *conf);
/** Free a proxy, its channels and offloads; no QP is attached and no lcore runs it. NULL is allowed. */
void phca_proxy_destroy(struct phca_proxy *p);
/** Proxy lcore: one turn: messages, drivers, time limits, release, replies. A phca_turn_fn. */
unsigned int phca_proxy_turn(void *proxy, uint64_t now_ns);
/** @return the loop it runs on. */
struct phca_loop *phca_proxy_loop(struct phca_proxy *p);
/**
 * Where the proxy lcore writes of traced requests (PHCA_PMSG_F_TRACED). Control thread.
 * @param t  the caller's, used until the next call; NULL: nowhere
 */
void phca_proxy_trace_set(struct phca_proxy *p, struct phca_trace *t);
/** @return its list of CQs; on its lcore. */
struct phca_cqws *phca_proxy_cqs(struct phca_proxy *proxy);

/* ------------------------------------------------------------- channels */

/**
 * One HCA lcore's way to a proxy lcore and back: three rings, each with a single
 * producer and a single consumer. N HCA lcores and M proxies make N x M channels.
 * Everything about a proxy QP, and about a CQ of plain QPs, goes one way: the
 * channel of the HCA lcore that owns it. A turn serves all channels, each with
 * at most as many messages as any other, a full one keeps no other waiting.
 */
struct phca_proxy_chan;
#define PHCA_PROXY_CHAN_MAX 64 /**< channels of one proxy */
/**
 * Control thread, at any time; never from a turn. The channel goes with the proxy.
 * @param hca_loop  the HCA lcore's, woken after replies; NULL: nobody
 * @return the channel; NULL with rte_errno ENOMEM; ENOSPC: the proxy has PHCA_PROXY_CHAN_MAX
 */
struct phca_proxy_chan *phca_proxy_chan_create(struct phca_proxy *p, struct phca_loop *hca_loop);
/** @return the ring of struct phca_pmsg; single producer (HCA lcore), single consumer. */
struct rte_ring *phca_proxy_chan_ring(struct phca_proxy_chan *c);
/** @return the ring of struct phca_preply; single producer, single consumer (HCA lcore). */
struct rte_ring *phca_proxy_chan_replies(struct phca_proxy_chan *c);
/**
 * Have the mbufs of finished requests go back to the HCA lcore, whose mempool
 * cache then hands out few warm ones again and again, instead of being freed here.
 * Control thread; what no-one takes is freed with the proxy.
 * @return the ring of struct rte_mbuf *; single producer, single consumer (HCA lcore)
 */
struct rte_ring *phca_proxy_chan_mbufs(struct phca_proxy_chan *c);
/** @return the proxy at its other end. */
struct phca_proxy *phca_proxy_chan_proxy(struct phca_proxy_chan *c);
/** @return how many channels there are; any thread. */
unsigned int phca_proxy_nb_chans(const struct phca_proxy *p);
/** @return channel @p idx in the order of creation, idx < phca_proxy_nb_chans; any thread. */
struct phca_proxy_chan *phca_proxy_chan_get(const struct phca_proxy *p, unsigned int idx);

/**
 * Counters of a proxy. X(field, unit, what)
 */
#define PHCA_PROXY_COUNTERS(X) \
	X(completions, "CQEs", "direct completions received from the HCA lcore") \
	X(offloads, "requests", "offloaded requests received") \
	X(plain, "CQEs", "completions of plain QPs on CQs of the proxy") \
	X(released, "requests", "places released in order") \
	X(waited, "requests", "places that had to wait for an earlier one") \
	X(noops, "CQEs", "no-ops given to CQs") \
	X(answers, "replies", "answers to inbound READs and atomics") \
	X(errors, "requests", "offloaded requests that failed") \
	X(timeouts, "requests", "offloaded requests that exceeded their time limit") \
	X(cancelled, "requests", "offloaded requests cancelled (QP destroyed or in error)") \
	X(flushed, "requests", "places flushed behind an error") \
	X(late, "requests", "answers of drivers after time limit or cancellation, ignored") \
	X(cq_overruns, "CQs", "completion queues that overran") \
	X(bad_messages, "messages", "messages refused: unknown rule or sequence") \
	X(reply_ring_full, "turns", "turns that ended with replies waiting for room")
/** Counters of a proxy; see PHCA_PROXY_COUNTERS. */
struct phca_proxy_stats {
#define PHCA_CTR(f, u, h) uint64_t f;
	PHCA_PROXY_COUNTERS(PHCA_CTR)
	uint64_t in_flight; /**< gauge: requests that drivers hold now */
	uint64_t pqps;      /**< gauge: proxy QPs attached */
};
/** Read the counters; any thread. */
void phca_proxy_stats_get(const struct phca_proxy *p, struct phca_proxy_stats *st);

/* ---------------------------------------------------------- a proxy QP */

/**
 * Offloads of a proxy QP's rules, by index; NULL: there is none. One more than
 * a QP may have rules.
 */
struct phca_pqp_rules {
	struct phca_offload *offloads[PHCA_PROXY_RULE_MAX + 1];
};
/** Count the offloads of a list as used: none of them is removed. Any thread. */
void phca_pqp_rules_get(const struct phca_pqp_rules *r);
/** The list is not used any more. Any thread. */
void phca_pqp_rules_put(const struct phca_pqp_rules *r);

/** Configuration of a proxy QP's proxy side. */
struct phca_pqp_conf {
	uint32_t qpn;                            /**< for messages and completions */
	uint32_t pd;                             /**< of the QP, for the peer's READs and atomics */
	uint32_t nb_tags;                        /**< tags of READs and atomics are 0..nb_tags-1;
	                                          *   0..PHCA_PROXY_TAG_MAX, 0: none are offloaded */
	uint8_t transport;                       /**< enum phca_transport, for drivers */
	void *cookie;                            /**< the HCA's; comes back in replies */
	struct phca_proxy_chan *chan;            /**< of this proxy; messages come and replies go here */
	uint32_t window[PHCA_DIR_COUNT];         /**< places, powers of two, PHCA_WINDOW_MIN..MAX */
	struct phca_cqw *cq[PHCA_DIR_COUNT];     /**< send CQ, receive CQ; the proxy writes them */
	unsigned int nb_rules;                   /**< 0..PHCA_PROXY_RULE_MAX */
	struct phca_offload *offloads[PHCA_PROXY_RULE_MAX]; /**< of each rule */
};
/** @return a proxy QP, not attached yet; NULL with rte_errno EINVAL, ENOMEM. Control thread. */
struct phca_pqp *phca_pqp_create(struct phca_proxy *p, const struct phca_pqp_conf *conf);
/** Free a proxy QP that was never attached, or is detached. Control thread. NULL is allowed. */
void phca_pqp_destroy(struct phca_pqp *q);

/** Counters of a proxy QP. X(field, unit, what) */
#define PHCA_PQP_COUNTERS(X) \
	X(completions, "requests", "direct requests completed through the proxy") \
	X(offloaded, "requests", "requests offloaded") \
	X(offload_ok, "requests", "offloaded requests that succeeded") \
	X(offload_failed, "requests", "offloaded requests that failed or timed out") \
	X(cancelled, "requests", "offloaded requests cancelled") \
	X(released, "requests", "places released in order") \
	X(waited, "requests", "places that had to wait for an earlier one") \
	X(stall_ns_sum, "ns", "sum of times that completions waited for an earlier one") \
	X(stall_ns_max, "ns", "longest time that a completion waited for an earlier one") \
	X(passed, "requests", "offloaded requests that went back to be carried out by the HCA lcore") \
	X(children, "WRs", "work requests that offloads issued on the queue pair") \
	X(child_errors, "WRs", "of which failed or were flushed") \
	X(noops, "CQEs", "no-ops") \
	X(cqes, "CQEs", "completions delivered") \
	X(flushed, "requests", "places flushed behind an error, or since the QP is in error")
/** Counters of a proxy QP; see PHCA_PQP_COUNTERS. */
struct phca_pqp_stats {
	PHCA_PQP_COUNTERS(PHCA_CTR)
	uint64_t waiting[PHCA_DIR_COUNT]; /**< gauge: places occupied */
};
/** Read the counters; any thread while the pqp exists. */
void phca_pqp_stats_get(const struct phca_pqp *q, struct phca_pqp_stats *st);
/** Add how long its completions waited for an earlier one to @p sum; any thread while the pqp exists. */
void phca_pqp_stall_get(const struct phca_pqp *q, struct phca_hist *sum);

/** @return its QPN; the driver's callbacks. */
uint32_t phca_pqp_qpn(const struct phca_pqp *q);
/** @return whether work requests can be issued on it: it is attached and not in error. Proxy lcore. */
bool phca_pqp_ready(const struct phca_pqp *q);

/* ------------------------------------------------------- offload drivers */

/** What a driver is told of a queue pair. */
enum phca_pqp_event {
	PHCA_PQP_ERROR, /**< it went to the error state: children are flushed, nothing can be issued */
	PHCA_PQP_GONE,  /**< it was destroyed or reset, or no rule of it names the offload any more: the
	                 *   pointer means nothing after the callback, no child and no request of it is
	                 *   left. A peer that is reset is in ERROR, then READY; destroyed, GONE */
	PHCA_PQP_READY, /**< a peer's QP: work requests can be issued */
};

/** Kinds of a driver's settings. */
enum phca_setting_kind { PHCA_SETTING_UINT, PHCA_SETTING_BOOL, PHCA_SETTING_STRING };
/** A setting that JSON can give to a driver. A table of them ends with name NULL. */
struct phca_setting {
	const char *name;            /**< JSON key, unit last: "delay_max_us" */
	enum phca_setting_kind kind;
	uint64_t min, max, def;      /**< UINT and BOOL */
	const char *def_str;         /**< STRING; NULL: must be given */
	const char *help;            /**< one line, with the unit */
};
/** A setting's value, in the order of the table, defaults filled in. */
struct phca_setting_value {
	uint64_t u;     /**< UINT, BOOL */
	const char *s;  /**< STRING; valid during init */
};
/** A value as given by name. */
struct phca_setting_arg {
	const char *name;
	enum phca_setting_kind kind;
	uint64_t u;
	const char *s;
};
/**
 * Match named values against a driver's table, filling in defaults.
 * @param out  one value for each row of @p table
 * @param err  written on error: names the setting, the value and the range
 * @return 0; -ENOENT unknown name; -EINVAL wrong kind; -ERANGE; -ENODATA not given
 */
int phca_settings_resolve(const struct phca_setting *table, const struct phca_setting_arg *args,
		unsigned int nb_args, struct phca_setting_value *out, char *err, size_t err_len);

/**
 * An offload driver: a const struct of callbacks. All but init and fini run on
 * the proxy lcore and must not block, allocate or make system calls.
 */
struct phca_offload_ops {
	const char *name;                    /**< in JSON: "driver" */
	const char *help;                    /**< one line */
	const struct phca_setting *settings; /**< ends with name NULL; NULL: none */
	size_t priv_size;                    /**< bytes of phca_offload_priv, zeroed */
	/** Control thread. @return 0, or negative errno with @p err written */
	int (*init)(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len);
	/** Control thread; no request is in flight. */
	void (*fini)(struct phca_offload *o);
	/**
	 * Carry out a request: call phca_offload_done once, now or later, from
	 * submit, poll or cancel.
	 * @return 0, or negative errno: refused, the request fails with
	 *         PHCA_WC_LOC_QP_OP_ERR and done must not be called
	 */
	int (*submit)(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns);
	/**
	 * The request is not wanted any more (time limit, QP destroyed or in error).
	 * @return 0: forgotten, done will not be called; -EBUSY: it cannot be
	 *         stopped, done will be called and its result ignored; until then
	 *         its memory stays valid. NULL: as if -EBUSY. May call done for
	 *         requests, this one included, which then counts as let go
	 */
	int (*cancel)(struct phca_offload *o, struct phca_offload_req *req);
	/** Make progress, once a turn. @return how much was done. NULL: nothing to poll */
	unsigned int (*poll)(struct phca_offload *o, uint64_t now_ns);
	/**
	 * A child is over. When the callback returns it is in the pool again. With a
	 * parent that has failed already it is called, too. NULL: nothing to do.
	 * @param status  PHCA_WC_SUCCESS: the peer has acknowledged it (RC), or it was sent
	 */
	void (*child_done)(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status,
			uint64_t now_ns);
	/** Something happened to a queue pair that it watches, or a peer of its own. NULL: it watches none. */
	void (*qp_event)(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns);
	/**
	 * It gets a queue pair of its own, connected to a peer (JSON: "offload" of a QP), before
	 * its first READY. What arrives there is submitted to it. NULL: it has no use for peers.
	 * @param name  of the QP in the configuration, with "[i]" behind when there are several; copy it
	 * @return 0, or negative errno: no more peers. Proxy lcore, between two turns
	 */
	int (*peer)(struct phca_offload *o, struct phca_pqp *q, const char *name);
	/** Directions (1 << PHCA_DIR_SEND, ..) whose requests are ordered: see phca_offload_ordered_set. */
	unsigned int ordered;
	/** Kind of the program that an instance runs (JSON: "program"); NULL: it runs none */
	const struct phca_filter_kind *program;
	/**
	 * Whether an instance could run a program in the place of the one that it has. Control thread.
	 * @return 0, or negative errno with @p err written. NULL: any of the kind
	 */
	int (*program_check)(const struct phca_offload *o, const struct phca_filter *f, char *err, size_t err_len);
	/** Print state of its own behind the common counters; any thread. NULL: none */
	int (*show)(const struct phca_offload *o, int (*emit)(void *arg, const char *name, uint64_t value), void *arg);
};

/** Configuration of an instance. */
struct phca_offload_conf {
	const char *name;                    /**< instance name, unique on the proxy, at most 63 bytes */
	const struct phca_offload_ops *ops;
	const struct phca_setting_arg *args;
	unsigned int nb_args;
	uint64_t time_limit_ns;              /**< a request not finished by then fails; 0: none */
	struct phca_filter_slot *program;    /**< what it runs, outlives it, never empty; NULL: nothing */
};
/**
 * Create an instance and put it to work on the proxy. Control thread.
 * @return the instance; NULL with rte_errno and @p err written
 */
struct phca_offload *phca_offload_create(struct phca_proxy *p, const struct phca_offload_conf *conf,
		char *err, size_t err_len);
/** Remove an instance. @return 0; -EBUSY a proxy QP uses it or requests are in flight. Control thread. */
int phca_offload_destroy(struct phca_offload *o);

/** Count the instance as used, as long as phca_pqp_rules_put has not said otherwise. Any thread. */
void phca_offload_get(struct phca_offload *o);

/** @return the driver's memory of the instance. */
void *phca_offload_priv(const struct phca_offload *o);
/** @return the instance's name. */
const char *phca_offload_name(const struct phca_offload *o);
/** @return its driver. */
const struct phca_offload_ops *phca_offload_ops(const struct phca_offload *o);
/** @return the proxy that it works on. */
struct phca_proxy *phca_offload_proxy(const struct phca_offload *o);
/** @return where the program is that it runs; NULL: it was given none. */
struct phca_filter_slot *phca_offload_program(const struct phca_offload *o);
/** @return the tables for gather and scatter. */
const struct phca_mem *phca_offload_mem(const struct phca_offload *o);

/** Counters of an instance. X(field, unit, what) */
#define PHCA_OFFLOAD_COUNTERS(X) \
	X(submitted, "requests", "given to the driver") \
	X(succeeded, "requests", "finished with success") \
	X(failed, "requests", "finished with an error") \
	X(refused, "requests", "refused by the driver at once") \
	X(timed_out, "requests", "not finished within the time limit") \
	X(cancelled, "requests", "cancelled") \
	X(late, "requests", "finished after time limit or cancellation") \
	X(passed, "requests", "given back to be carried out by the HCA lcore") \
	X(children, "WRs", "work requests issued") \
	X(child_errors, "WRs", "of which failed or were flushed") \
	X(child_none, "WRs", "not issued: no child was free, or the queue pair was in error") \
	X(bytes, "bytes", "payload of requests submitted") \
	X(latency_ns_sum, "ns", "sum of times from submit to finish") \
	X(latency_ns_max, "ns", "longest time from submit to finish") \
	X(stalled, "requests", "completions that had to wait for a request of it") \
	X(stall_ns_sum, "ns", "sum of their times") \
	X(stall_ns_max, "ns", "longest of their times")
/** Counters of an instance; see PHCA_OFFLOAD_COUNTERS. */
struct phca_offload_stats {
	PHCA_OFFLOAD_COUNTERS(PHCA_CTR)
	uint64_t in_flight; /**< gauge */
};
#undef PHCA_CTR
/** Read the counters; any thread. */
void phca_offload_stats_get(const struct phca_offload *o, struct phca_offload_stats *st);
/** More of an instance. */
struct phca_offload_detail {
	struct phca_hist latency; /**< of requests finished or given back, since submit; 0 within a turn */
	struct phca_hist stall;   /**< that completions waited, in the end for a request of it */
	uint64_t failed[PHCA_WC_STATUS_COUNT]; /**< `failed` by status */
};
/** Add it to @p sum; any thread. */
void phca_offload_detail_get(const struct phca_offload *o, struct phca_offload_detail *sum);

/** An offloaded work request as its driver sees it. */
struct phca_offload_req {
	/* for the driver to read */
	uint8_t dir;            /**< enum phca_dir: posted, or from the network */
	uint8_t transport;      /**< enum phca_transport */
	uint8_t op;             /**< enum phca_op */
	uint8_t opcode;         /**< inbound: BTH opcode of the first packet */
	uint32_t qpn;           /**< local queue pair */
	uint32_t peer_qpn;      /**< UD: remote queue pair; else 0 */
	uint32_t len;           /**< bytes of payload; inbound READ, atomics: of the answer */
	uint32_t imm;           /**< immediate data, network order; see has_imm */
	bool has_imm;
	uint32_t pd;            /**< protection domain of the QP */
	uint32_t rkey;          /**< inbound WRITE, READ, atomics: RETH, AtomicETH; else 0 */
	uint64_t va;            /**< as rkey: remote address, host order, as all here */
	uint64_t compare;       /**< inbound CMP_SWAP */
	uint64_t swap_add;      /**< inbound CMP_SWAP, FETCH_ADD */
	struct rte_mbuf *m;     /**< inbound: the message; freed by the proxy */
	struct phca_pkt pkt;    /**< inbound: its first packet; headers are in m */
	const struct phca_offload_wr *wr; /**< send: the posted request */
	/* for the driver to use as it likes */
	uint64_t drv[4];
	/* the proxy's; next and prev also of a pool */
	uint64_t submit_ns;
	struct phca_offload *offload;
	struct phca_pqp *pqp;   /**< also for the driver: where it came from */
	uint32_t seq;
	uint8_t last_opcode;    /**< inbound: BTH opcode of the last packet */
	uint8_t result;         /**< of its children: the first error */
	bool said_done;         /**< the driver has let go; its children have not */
	bool ordered, failed;
	uint32_t children;      /**< not over yet */
	struct phca_child *kids, *kids_tail; /**< that wait for earlier requests to be decided */
	uint8_t state, answer_state;
	uint8_t traced;         /**< PHCA_PMSG_F_TRACED, or 0 */
	uint32_t tag, answered;
	uint64_t value;
	struct rte_mbuf *answer, *answer_tail;
	struct phca_offload_req *prev, *next; /**< in flight, in order of submission */
};
/**
 * A driver finished a request. Proxy lcore.
 * @param status  PHCA_WC_SUCCESS, or the error its completion shall carry
 */
void phca_offload_done(struct phca_offload_req *req, enum phca_wc_status status);
/**
 * Copy payload of a request, inbound or posted.
 * @return bytes copied: len, or less at the end of the payload; -EFAULT an SGE is refused
 */
int phca_offload_read(const struct phca_offload_req *req, uint32_t offset, void *dst, uint32_t len);

/* Inbound READs and atomics: the peer waits for an answer. A driver gives one of
 * its own, or has the request executed; when it does neither and says success, it
 * is executed then. */

#define PHCA_OFFLOAD_COPY_MAX 65536 /**< READs up to this are copied by phca_offload_execute */
/**
 * Write part of the answer. READ: any part of it, again if need be, but no gap:
 * @p offset is at most what was written so far; before success all must be there,
 * else the request fails with PHCA_WC_LOC_LEN_ERR. Atomic: the original value,
 * 8 bytes in host order, at once; memory is left alone.
 * @return 0; -ENOMEM no buffers now, nothing was written: again from poll; -EINVAL
 *         a gap, more than req->len, or no such request; -EALREADY it was executed,
 *         or the value was given; -ECANCELED; -ENOTSUP the proxy has no pool; -E2BIG
 *         more buffers than a packet may have
 */
int phca_offload_answer(struct phca_offload_req *req, uint32_t offset, const void *src, uint32_t len);
/**
 * Do what the HCA would do by itself, now: an atomic is carried out; a READ up to
 * PHCA_OFFLOAD_COPY_MAX bytes is copied, and phca_offload_answer may change the
 * copy; a longer one, and any when the proxy has no pool, is read by the HCA lcore
 * when it emits the responses. Keys, bounds and rights are checked (9.7.4.1.5).
 * @return 0; -EACCES refused: finish with PHCA_WC_REM_ACCESS_ERR; -EINVAL not aligned
 *         (PHCA_WC_REM_INV_REQ_ERR), or no such request; -ENOMEM no buffers now: again from
 *         poll; -EALREADY there is an answer; -ECANCELED; -ENOTSUP the proxy has no memory tables,
 *         or an atomic on memory that only callbacks reach: finish with PHCA_WC_REM_OP_ERR
 */
int phca_offload_execute(struct phca_offload_req *req);

/* --- giving back, delivering */

/**
 * The request is carried out by the HCA after all, as if no rule had matched: a posted
 * one is sent, an inbound one delivered to the application, in the order of the
 * requests. Instead of phca_offload_done; the driver must not touch req any more. Only
 * of an ordered direction. Inbound WRITEs are executed at once, on this lcore, with all
 * checks of the peer's key; READs and atomics as phca_offload_execute does it. What was
 * written as the answer of a READ is dropped; an atomic that was answered keeps that value.
 * @return 0; -EINVAL not ordered, children were issued for it, or it was emitted; -ECANCELED
 */
int phca_offload_pass(struct phca_offload_req *req);
/**
 * As phca_offload_pass, of an inbound SEND: the application receives other bytes.
 * @param data  up to 1 GiB; copied to mbufs of the proxy's pool
 * @return 0; -ENOMEM no buffers now: again from poll; -EINVAL, -ECANCELED; -ENOTSUP the proxy has no pool
 */
int phca_offload_deliver(struct phca_offload_req *req, const void *data, uint32_t len);
/**
 * Requests of a direction are ordered: phca_offload_pass is allowed, and what the driver
 * issues on the queue pair of a posted request keeps the order of the posted requests.
 * Those behind it, of the same direction, that no rule matched wait until it is decided,
 * by done, pass, cancellation, or phca_offload_emitted. Only from init.
 */
void phca_offload_ordered_set(struct phca_offload *o, unsigned int dirs);
/** @return 1 << PHCA_DIR_SEND, 1 << PHCA_DIR_RECV: ordered directions. Any thread. */
unsigned int phca_offload_ordered(const struct phca_offload *o);
/** All that a posted request puts on its own queue pair has been issued; it may go on for long. Idempotent. */
void phca_offload_emitted(struct phca_offload_req *req);

/* --- children: work requests that the proxy issues */

#define PHCA_CHILD_SGE 4       /**< scatter/gather elements in a child */
#define PHCA_CHILD_INLINE 256  /**< bytes of payload in a child */

/** A work request that the proxy issues, from the pool of an offload. */
struct phca_child {
	/* the HCA lcore's, on a line that nobody else writes */
	uint64_t hca[8];
	/* for the driver to fill in; constant from phca_child_post to child_done */
	/**
	 * wqe: opcode, flags (PHCA_SEND_FENCE, _SOLICITED), imm, u.rdma or u.atomic; num_sge.
	 * pd: of the keys in sge; phca_child_get leaves what is needed for no payload.
	 * len: bytes. sge: elements anywhere, or sge[] below, or those of the parent's wr.
	 * inline_data: instead of sge: bytes anywhere, of any length, that do not change;
	 * they need no key. Put into data[] below, or memory of the driver's.
	 */
	struct phca_offload_wr wr;
	struct phca_sge sge[PHCA_CHILD_SGE];
	uint8_t data[PHCA_CHILD_INLINE];
	uint64_t drv[4];
	bool tolerant;                   /**< the driver's: its failure does not fail the parent */
	/* for the driver to read */
	struct phca_pqp *pqp;            /**< where it was issued */
	struct phca_offload_req *parent; /**< or NULL; in child_done also when the parent ended before */
	/* the proxy's */
	const struct phca_offload_wr *shared; /**< instead of wr; or NULL */
	struct phca_offload *offload;
	struct phca_child *next;         /**< whoever has it: a queue of the proxy's, or the HCA lcore's */
	struct phca_child *all_next, *all_prev; /**< issued on pqp */
	uint8_t state;
} __rte_cache_aligned;
/**
 * Make the pool of children of an instance. Only from init.
 * @param n  1..1048576
 * @return 0 or -ENOMEM
 */
int phca_child_pool(struct phca_offload *o, unsigned int n);
/** @return a child without payload, signaled or not does not matter; NULL: none is free. Proxy lcore. */
struct phca_child *phca_child_get(struct phca_offload *o);
/** Give back a child that was not posted. Proxy lcore. */
void phca_child_put(struct phca_child *c);
/**
 * Issue a child. Its end is told by child_done, later, never from within; then it goes back
 * to the pool by itself. On the queue pair of a posted, ordered parent it keeps the order of
 * the posted requests; else it is put on the wire in front of what has not begun.
 *
 * With a parent, which this driver has now: the parent's phca_offload_done takes effect
 * when the last child is over; the first child that fails, if it is not tolerant, fails the
 * parent with its status when its child_done returns: the driver has lost it then, as after
 * phca_offload_done (which it may call in there). What parent->wr points to stays valid
 * until its last child is over.
 * @param parent  or NULL
 * @return 0; -ENOTCONN the QP is in error or not connected, the child is the driver's still;
 *         -EINVAL the opcode is not one of the transport; -ECANCELED the parent is no more,
 *         or phca_offload_emitted said that it issues nothing more on this QP
 */
int phca_child_post(struct phca_pqp *q, struct phca_child *c, struct phca_offload_req *parent);
/**
 * A child whose work request is not its own: to be posted with phca_child_post, one of many that
 * send the same to several queue pairs. That costs less than one of its own for each: what the
 * HCA lcore reads has been written once.
 * @param wr  as in struct phca_child; the driver's memory. Neither it nor what it points to changes
 *            until child_done of all that share it
 * @return a child, whose own wr is nobody's to touch; NULL: none is free. Proxy lcore
 */
struct phca_child *phca_child_get_shared(struct phca_offload *o, const struct phca_offload_wr *wr);

/* --- queue pairs that a driver keeps in mind */

/**
 * Have qp_event called for a queue pair, until GONE. From submit, of a request of this QP.
 * @param priv  not NULL: what phca_pqp_watched returns; the driver's
 * @return 0; -ENOSPC
 */
int phca_pqp_watch(struct phca_pqp *q, struct phca_offload *o, void *priv);
/** @return what was given to phca_pqp_watch; NULL: it does not watch this one. Proxy lcore. */
void *phca_pqp_watched(const struct phca_pqp *q, const struct phca_offload *o);
/**
 * Give a queue pair to an instance as a peer. Control thread.
 * @param q  of the same proxy, attached or not
 * @return 0; -ENOTSUP the driver has no use for peers; what its callback says
 */
int phca_offload_peer_add(struct phca_offload *o, struct phca_pqp *q, const char *name);

#ifdef __cplusplus
}
#endif
#endif
