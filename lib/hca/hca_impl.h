/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of lib/hca. Everything here is written by the HCA lcore only, unless a
 * comment names another owner.
 */
#ifndef HCA_IMPL_H
#define HCA_IMPL_H

#include <sys/queue.h>

#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "phca_hca.h"
#include "requester.h"
#include "responder.h"

#define RX_BURST 64       /* packets of a port a turn */
#define TX_STAGE 128      /* packets staged for a port */
#define PM_STAGE 256      /* messages to the proxy staged in a turn */
#define DB_BUDGET 256     /* doorbells of a client a turn */
#define RWQE_AHEAD 16     /* how far ahead receive work requests are asked for */
#define SQ_BUDGET 64      /* request packets of a port a turn */
#define SQ_VISITS 256     /* queue pairs of a port that a turn looks at, whatever they send */
#define SQ_QP_BUDGET 16   /* of one QP before the next one's turn */
#define FLUSH_BUDGET 64   /* WRs flushed a turn and QP */
#define FLUSH_QPS 32      /* QPs in error that a turn looks at */
#define REPLY_BURST 64    /* replies of the proxy a turn */
#define MBUF_BURST 128    /* mbufs that come back from the proxy a turn */
#define HANDOFF_RING 512  /* elements of the ring between two shards */
#define HANDOFF_BURST 64  /* of which a turn takes so many from each */
#define RESOLVE_AGAIN_NS 10000000u
#define TX_STUCK_NS 200000000u /* a port whose driver takes nothing for so long is a link that is down */
#define LOOP_STAGE 256    /* packets to own addresses that wait for the next turn */
#define ETH_WIRE_EXTRA 24 /* bytes that a frame loads the line with, besides itself: FCS, preamble, gap */
#define WAIT_LIMIT_NS (10 * 1000000000ull) /* how long a control thread waits for drivers */
#define QPN_LEAF_BITS 12  /* the QPN table has two levels of 2^12 */
#define QPN_LEAF (1u << QPN_LEAF_BITS)

extern int phca_hca_logtype;
#define HCA_LOG(level, ...) rte_log(RTE_LOG_##level, (uint32_t)phca_hca_logtype, "hca: " __VA_ARGS__)

struct shard;

/* What happened to an object and was not told yet: event.c. */
struct event_due {
	uint32_t kinds;             /* bit of each enum phca_event_type; the object's HCA lcore sets, control clears */
	uint32_t num;               /* constant, as client */
	struct phca_client *client;
	struct event_due *below;    /* while on its shard's list */
	TAILQ_ENTRY(event_due) listed; /* control thread */
	uint8_t status[PHCA_EVENT_COUNT]; /* enum phca_wc_status, of kinds */
};
TAILQ_HEAD(event_list, event_due);

/* A port as one shard has it, and what waits to be sent on it. */
struct port {
	struct phca_net *net;
	uint16_t id;
	uint8_t idx;       /* in the HCA's list */
	bool rx;           /* this shard has a receive queue */
	bool tx_own;       /* this shard has a transmit queue; else */
	uint8_t tx_by;     /* the shard that sends for it */
	bool owner;        /* this shard runs its ARP, NDP, and timers: shard 0 */
	bool ect;          /* connected queue pairs send ECT(0) */
	uint16_t nb_tx;
	struct phca_qp *ready_head, *ready_tail; /* queue pairs of this shard with something to send, */
	unsigned int nb_ready;                   /* so many; */
	struct phca_qp *resp_head, *resp_tail;   /* with something to answer */
	struct rte_mbuf *tx[TX_STAGE];
	uint64_t full_ns;  /* since when the stage is full and the driver takes nothing; 0: it is not */
	struct phca_port_stats st;
};

/* Places of a sequence: in use are freed .. next. */
struct pseq {
	uint32_t next, freed, size;
};

/* A rule as the data path has it. */
struct rule {
	struct phca_filter_slot *filter;
	bool send, inbound;
	uint8_t ordered;   /* 1 << enum phca_dir: requests behind it must not overtake it */
	uint64_t matched;
	struct phca_offload *offload; /* control thread */
	char name[PHCA_FILTER_NAME_MAX];
};

/* What filters said of a request. */
struct trace_why {
	uint32_t said;
	uint8_t tried, by;
};

/* The way to a connected peer. */
struct conn {
	uint8_t dmac[6];
	bool known;        /* dmac is, since known_ns */
	bool own;          /* the peer's address is the port's: loopback */
	uint64_t known_ns;
};

/* Reasons for being on the ready list are found by looking at the QP. */
struct phca_qp {
	/* read for every packet, and when the application posts: written seldom */
	uint32_t qpn;
	uint8_t transport;      /* enum phca_transport */
	uint8_t state;          /* enum phca_qp_state */
	uint8_t port;           /* index */
	uint8_t shard;          /* index */
	bool proxy;             /* a proxy QP */
	bool check_peer;        /* av.dgid is the only source allowed, sgid the only destination */
	uint8_t nb_rules;
	uint16_t pkey;
	uint32_t qkey;
	uint32_t pd;
	uint32_t access;
	uint16_t path_mtu;
	bool sq_sig_all;
	bool in_flush;          /* on the HCA's flush list */
	bool let_go;            /* DETACH is out, or will be: what the proxy says of it means nothing */
	bool tell_error;        /* QP_ERROR waits for room */
	bool trace;             /* tell of requests that come; trace.c */
	uint32_t dest_qpn;
	struct phca_ring rq;    /* consumer's view; hdr NULL with an SRQ. What it writes, own, begins the next line */
	struct phca_srq *srq;   /* where receives come from; NULL: rq */
	struct phca_cq *cq[PHCA_DIR_COUNT];
	struct rule *rules;
	struct phca_pqp *pqp;
	struct px *px;          /* to pqp's proxy */
	uint32_t rq_released;   /* rq.own as the application knows it */

	/* responder */
	struct responder resp;
	struct rwqe rwqe;
	struct respq *respq;             /* RC */
	struct passes *pass;             /* a proxy QP's */
	struct phca_qp *resp_next;       /* on its port's list of those with something to answer */
	bool on_resp;

	/* requester */
	struct phca_ring sq;             /* consumer's view */
	struct phca_qp *ready_prev, *ready_next;
	bool on_ready;
	struct phca_psn sq_psn;          /* behind the last packet ever sent */
	struct requester req;
	struct phca_av av;
	uint8_t sgid[16];                /* own address that av.sgid_index names */
	struct conn conn;
	uint8_t timeout, retry_cnt, rnr_retry, max_rd_atomic; /* RC, as modify set them */
	uint8_t max_dest_rd_atomic, min_rnr_timer;

	/* congestion.c: reaction point, when it may send again, notification point */
	struct phca_cc cc;
	struct phca_timer pace;
	struct phca_cc_np np;

	/* the proxy's windows; a plain QP has the places of its send WRs, too */
	struct pseq pseq[PHCA_DIR_COUNT];
	uint32_t detached[PHCA_DIR_COUNT]; /* written by the HCA lcore, read by control */

	/* trace.c */
	uint32_t trace_left;             /* requests to tell of, or PHCA_QP_TRACE_ALL */
	struct trace_why why[PHCA_DIR_COUNT]; /* of the request classified last */

	/* counters */
	struct phca_qp_stats st;
	uint32_t held;                   /* gauge, part of rx_packets */

	struct phca_qp *flush_prev, *flush_next;
	struct phca_qp *prev, *next;     /* all QPs of the shard */
	uint64_t asked_ns;               /* when the owner of the neighbour table was asked last */
	uint64_t failed_ns;              /* when it said that it cannot find failed_gid; 0: never */
	uint8_t failed_gid[16];

	/* control thread */
	struct phca_hca *hca;
	struct phca_client *client;
	struct phca_qp *client_prev, *client_next; /* all QPs of the client */
	unsigned int nb_mcast;           /* groups that it is a member of */
	enum phca_qp_type type;
	uint32_t max_send_sge, max_recv_sge, max_inline;
	uint32_t send_wr, recv_wr;
	struct event_due events;
	bool dead;                       /* destroy has begun */
	bool leaving;                    /* DETACH or FENCE is out: detached is its answer */
	struct rules_change *change;     /* of its rules, that the proxy may not have taken yet; or NULL */
	/* application's side: owned by the application's thread */
	struct phca_ring user_sq __attribute__((aligned(64)));
	struct phca_ring user_rq;
};
_Static_assert(offsetof(struct phca_qp, rq) + offsetof(struct phca_ring, own) == 64, "not on the application's line");
_Static_assert(sizeof(struct phca_qp) + sizeof(struct respq) <= 4096, "an idle queue pair without its queues");
#define RULE_NONE UINT32_MAX

#define SHARD_NONE UINT8_MAX

struct phca_cq {
	struct phca_cqw w;      /* HCA lcore, or proxy lcore once px is set */
	/* on a line that the proxy lcore does not write: the HCA reads it for every packet */
	struct px *px __attribute__((aligned(64))); /* its proxy owns the CQ; set once, on the HCA lcore */
	struct phca_client *client;
	uint32_t cqe;
	unsigned int refs;      /* control thread */
	uint8_t shard;          /* control thread: index, or SHARD_NONE before the first QP */
	struct phca_cq *next, **link; /* control thread; what points to it */
	struct event_due events;
	struct phca_ring old;   /* control thread: before a resize, until the consumer has left it; hdr NULL: none */
	struct phca_ring user __attribute__((aligned(64))); /* application's thread */
	struct phca_ring user_next; /* goes on with it when `moved` is set, which it clears */
	bool moved;
};

struct phca_srq {
	struct phca_ring rq;    /* HCA lcore: consumer */
	uint32_t released;      /* rq.own as the application knows it */
	uint32_t limit;         /* 0: its event is not armed */
	uint32_t max_sge;
	uint32_t srqn;
	uint32_t pd;
	bool error;             /* its index was nonsense; told */
	uint64_t taken;
	struct phca_client *client;
	unsigned int refs;      /* control thread */
	uint8_t shard;          /* control thread: as of a CQ */
	struct phca_srq *next, **link; /* control thread; what points to it */
	struct event_due events;
	struct phca_ring user __attribute__((aligned(64))); /* application's thread */
};

/* A client as one shard sees it: its doorbells there. */
struct client_shard {
	struct phca_ring db;        /* HCA lcore: consumer */
	struct phca_client *client;
	struct client_shard *next;  /* HCA lcore */
	bool fatal;                 /* HCA lcore: its index is nonsense, doorbells are ignored */
	struct event_due events;
	int wake_fd;                /* the client's process writes it while the lcore sleeps; -1: none */
	struct phca_ring user_db __attribute__((aligned(64))); /* application's thread */
};

struct phca_client {
	struct phca_hca *hca;
	char *name;
	void *(*ring_alloc)(void *arg, size_t bytes); /* where its rings lie */
	void (*ring_free)(void *arg, void *mem, size_t bytes);
	void *ring_arg, *priv;
	uint32_t num;
	bool resident;              /* its application is in this process: uses the user_ views */
	uint8_t home;               /* shard of all its QPs, or SHARD_NONE */
	struct phca_loop *app_loop; /* woken when completions were written */
	struct phca_client *next;
	struct phca_qp *qps;        /* control thread */
	struct client_shard sh[PHCA_SHARD_MAX] __attribute__((aligned(64)));
};

/* The way to one proxy and back; messages are staged, with room for more in this turn. */
struct px {
	struct rte_ring *ring;
	struct rte_ring *replies;
	struct rte_ring *mbufs;     /* of offloaded messages, to be freed here */
	struct phca_loop *loop;
	struct phca_proxy *proxy;
	struct phca_proxy_chan *chan;
	uint32_t nb_pm, pm_room;
	uint32_t known_room;        /* elements of ring that are free, at least */
	unsigned int nb_qps;        /* control thread: proxy QPs */
	struct phca_pmsg pm[PM_STAGE] __attribute__((aligned(64)));
};

/* What one shard hands to another. */
enum handoff_kind {
	HANDOFF_RX,      /* a parsed packet for a queue pair of the other shard */
	HANDOFF_NET,     /* a packet for the port itself: ARP, NDP, echo, multicast membership */
	HANDOFF_TX,      /* a packet for a port on which the sender has no transmit queue */
	HANDOFF_RESOLVE, /* ask for a neighbour, dgid */
	HANDOFF_FAILED,  /* answer to that: nobody there can be found */
};
struct handoff {
	uint8_t kind;          /* enum handoff_kind */
	uint8_t port;          /* index */
	uint8_t sgid_index;    /* RESOLVE */
	uint8_t rsvd;
	uint32_t qpn;          /* RESOLVE, FAILED: who asks */
	struct rte_mbuf *m;
	union {
		struct phca_pkt pkt;   /* RX, NET */
		uint8_t dgid[16];      /* RESOLVE, FAILED */
	};
};
_Static_assert(sizeof(struct handoff) == 48, "fixed-size element");

/* One HCA lcore: everything here is written by it only. */
struct shard {
	/* read every turn */
	struct phca_hca *hca;
	uint8_t idx;
	bool no_icrc;
	uint16_t max_held;          /* packets of one offloaded message */
	uint32_t max_held_all;      /* of all that are not complete: a quarter of the pool, by shards */
	uint32_t nb_held;
	uint32_t held_turn;         /* QPN of the one that may hold more than that; 0: nobody's */
	uint64_t held_turn_ns;      /* when it last did */
	unsigned int nb_ports, nb_px, nb_shards;
	struct port *ports[PHCA_PORT_MAX];
	struct phca_mem *mem;
	struct rte_mempool *pool;
	const struct phca_congestion_conf *congestion; /* NULL: off */
	struct px *px[PHCA_HCA_PROXY_MAX];
	struct client_shard *clients;
	struct phca_filter_env fenv;
	uint64_t now_ns;
	struct rte_ring *from[PHCA_SHARD_MAX]; /* what other shards hand over; NULL for its own */
	struct rte_ring *to[PHCA_SHARD_MAX];
	struct phca_loop *loops[PHCA_SHARD_MAX]; /* of all shards, to wake them */
	uint32_t to_wake;           /* bit of each that was handed something in this turn */
	bool requests_first;        /* before responses; else behind them */

	struct event_due *due;      /* objects with events, the last on top; the control thread takes all of them */
	uint64_t events_merged;

	struct phca_trace *trace;   /* what is told of traced queue pairs goes here; NULL: nowhere */
	struct phca_wc nowhere;     /* a completion that nobody gets */
	struct phca_cqws cqs;       /* CQs that it owns, and has something to do for */
	struct phca_qp *kept_head, *kept_tail; /* those that keep answers of offloads; asked for longest ago first */
	uint32_t nb_kept;                      /* buffers of such answers */
	struct phca_qp *pass_head, *pass_tail; /* those with messages that the proxy passed, and that wait */
	uint32_t nb_pass;           /* buffers of those messages */
	struct phca_qp *withheld_head, *withheld_tail; /* those that withhold acknowledgements, by how long they do */
	struct phca_qp *flush_head, *flush_tail;
	struct phca_qp *qps;
	struct phca_timers timers;
	struct phca_timers pace;    /* queue pairs that congestion control holds back */

	/* packets to own addresses, received in the next turn */
	unsigned int nb_loop;
	struct rte_mbuf *loop[LOOP_STAGE];
	uint8_t loop_port[LOOP_STAGE];

	/* control thread */
	unsigned int nb_qps, nb_homes; /* of queue pairs; of clients that keep to it */
};

/* Members of a multicast group; constant while published. */
struct mcast_group {
	uint8_t mgid[16];
	unsigned int port;
	unsigned int nb_qps;
	uint32_t *qpn;
};
struct mcast_table {
	unsigned int nb_groups;
	struct mcast_group group[];
};

struct phca_hca {
	bool enabled;               /* control thread writes, relaxed */
	unsigned int nb_shards, nb_ports;
	struct shard *shards[PHCA_SHARD_MAX];
	/* control thread writes, all shards read: acquire, release; two levels */
	struct phca_qp **qpn_top[QPN_LEAF];
	struct mcast_table *mcast;  /* the same; NULL: no groups */

	struct phca_congestion_conf congestion; /* constant; only when congestion_on */
	bool congestion_on;

	/* control thread */
	char *name;
	struct phca_net *nets[PHCA_PORT_MAX];
	struct phca_mem *mem;
	struct rte_rcu_qsbr *qsbr;
	struct phca_client *clients;
	uint32_t max_qp, nb_qp, next_qpn, next_cqn, next_srqn, next_client;
	struct phca_cq *cqs;
	struct phca_srq *srqs;
	struct event_list due;      /* objects with events, taken from the shards */
	void (*pump)(void *arg);
	void *pump_arg;
};

/*
 * Ask for a line that is going to be written and that another core has. __builtin_prefetch(p, 1)
 * asks for it as a reader unless the target is said to know more, and then the write waits all the same.
 */
static inline void prefetch_own(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p)); /* does nothing where it is unknown */
#else
	__builtin_prefetch(p, 1);
#endif
}

/* table.c: QPN to QP */
static inline struct phca_qp *qp_lookup(const struct phca_hca *hca, uint32_t qpn)
{
	struct phca_qp **leaf = __atomic_load_n(&hca->qpn_top[(qpn >> QPN_LEAF_BITS) & (QPN_LEAF - 1)],
		__ATOMIC_ACQUIRE);

	return leaf ? __atomic_load_n(&leaf[qpn & (QPN_LEAF - 1)], __ATOMIC_ACQUIRE) : NULL;
}

static inline struct shard *shard_of(const struct phca_qp *qp)
{
	return qp->hca->shards[qp->shard];
}

/* Control thread: run fn on the lcore of a queue pair. */
static inline int qp_call(const struct phca_qp *qp, int (*fn)(void *arg), void *arg)
{
	return phca_loop_call(shard_of(qp)->loops[qp->shard], fn, arg);
}

/* event.c */
void hca_event(struct shard *h, struct event_due *d, enum phca_event_type type, uint32_t status);
void hca_events_drop(struct phca_hca *hca, struct event_due *d);

/* hca.c */
void hca_wait(struct phca_hca *hca);
void hca_quiesce(struct phca_hca *hca);

/* client.c */
/* An empty ring in memory of the client, and the views of both sides. @return 0, -EINVAL, -ENOMEM */
int ring_pair(const struct phca_client *c, enum phca_ring_type type, uint32_t size, uint32_t stride,
		struct phca_ring *a, struct phca_ring *b);
/* Where a ring lies; nowhere, if it was never made. */
struct phca_ring_mem ring_mem(const struct phca_ring *r);
/* Free its memory; none is allowed. */
void ring_drop(const struct phca_client *c, struct phca_ring *r);

/* qp.c */
int qp_reset(struct phca_qp *qp, uint64_t timeout_ns);
int qp_wait_until(struct phca_qp *qp, bool (*there)(struct phca_qp *qp));
int qp_call_until_room(const struct phca_qp *qp, int (*fn)(void *arg), void *arg);

/* attach.c */
int qp_reattach(struct phca_qp *qp);

/* rules.c */
int rules_make(const struct phca_rule *rules, unsigned int n, struct rule **out);
void rules_change_end(struct phca_qp *qp);

/* conn.c */
enum phca_neigh_state conn_path(struct shard *h, struct port *p, struct phca_qp *qp);
void conn_header(const struct phca_qp *qp, const struct port *p, uint8_t opcode, struct phca_psn psn,
		struct phca_wire_hdr *hd);
void conn_send(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_wire_hdr *hd, uint32_t payload_len, const struct phca_wire_crc *crc);

/* congestion.c */
void congestion_marked(struct shard *h, struct port *p, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt);
enum phca_verdict congestion_cnp(struct shard *h, struct phca_qp *qp);
uint64_t congestion_line_bps(const struct phca_hca *hca, unsigned int port);
void congestion_start(struct shard *h, struct phca_qp *qp, uint64_t line_bps);

unsigned int congestion_run(struct shard *h);
bool congestion_wait(struct shard *h, struct phca_qp *qp);

/*
 * Whether the queue pair has to let time pass before its next packet: then it goes off
 * its lists, and congestion_run puts it back when the time has come.
 */
static inline bool congestion_paced(struct shard *h, struct phca_qp *qp)
{
	return unlikely(phca_cc_limited(&qp->cc)) && congestion_wait(h, qp);
}

/* Whether a packet with so much payload would be its last for now, or nearly. */
static inline bool congestion_last(const struct shard *h, const struct phca_qp *qp, uint32_t payload_len)
{
	return unlikely(phca_cc_limited(&qp->cc)) &&
		phca_cc_last(&qp->cc, &h->congestion->params,
			payload_len + PHCA_WIRE_HDR_MAX + PHCA_ICRC_LEN + ETH_WIRE_EXTRA, h->now_ns);
}

/* It sent a packet, a frame of so many bytes without FCS. */
static inline void congestion_sent(const struct shard *h, struct phca_qp *qp, uint32_t bytes)
{
	if (unlikely(phca_cc_limited(&qp->cc)))
		phca_cc_sent(&qp->cc, &h->congestion->params, bytes + ETH_WIRE_EXTRA, h->now_ns);
}

/* srq.c */
void srq_taken(struct shard *h, struct phca_srq *srq);
void srq_error(struct shard *h, struct phca_srq *srq);

/* complete.c: the one way a completion leaves the HCA lcore */
bool complete_room(struct shard *h, const struct phca_qp *qp, enum phca_dir dir, enum phca_verdict *why);
struct phca_wc *complete(struct shard *h, struct phca_qp *qp, enum phca_dir dir, uint64_t wr_id,
		uint32_t status, uint32_t opcode, unsigned int pm_flags);
struct phca_wc *complete_at(struct shard *h, struct phca_qp *qp, enum phca_dir dir, uint32_t place, uint64_t wr_id,
		uint32_t status, uint32_t opcode, unsigned int pm_flags);
bool proxy_room(const struct phca_qp *qp, const struct px *x, enum phca_dir dir, enum phca_verdict *why);
struct phca_pmsg *proxy_msg(struct px *x);
void px_begin(struct px *x);
void px_flush(struct px *x);
void proxy_begin(struct shard *h);
void proxy_flush(struct shard *h);
unsigned int proxy_replies(struct shard *h);

/* trace.c; of queue pairs that are traced */
void trace_reset(struct shard *h, const struct phca_qp *qp);
void trace_said(struct phca_qp *qp, bool inbound, uint32_t said, unsigned int by, unsigned int tried);
void trace_posted(struct shard *h, struct phca_qp *qp, struct sq_wr *e, uint8_t flags);
void trace_offloaded(struct shard *h, struct phca_qp *qp, struct phca_pmsg *pm, uint32_t len);
/* An inbound one of len bytes is about to go to the proxy. */
static inline void offload_traced(struct shard *h, struct phca_qp *qp, struct phca_pmsg *pm, uint32_t len)
{
	if (unlikely(qp->trace))
		trace_offloaded(h, qp, pm, len);
}
/* An inbound one was executed here; placed: with a completion. */
void trace_direct(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt, uint32_t len, bool placed);
/* The mark for the completion of an inbound one, before trace_direct. */
static inline unsigned int trace_mark(const struct phca_qp *qp)
{
	return unlikely(qp->trace) ? PHCA_PMSG_F_TRACED : 0;
}
/* An inbound request ended here. */
static inline void direct_done(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt, uint32_t len,
		bool placed)
{
	PHCA_STAT_ADD(qp->st.rx_direct, 1);
	if (unlikely(qp->trace))
		trace_direct(h, qp, pkt, len, placed);
}

/* classify.c */
uint32_t classify_inbound(struct shard *h, struct phca_qp *qp, const void *frame,
		const struct phca_pkt *pkt, uint32_t msg_len);
uint32_t classify_send(struct shard *h, struct phca_qp *qp, const struct phca_offload_wr *wr);

/* rx.c */
unsigned int rx_port(struct shard *h, struct port *p);
unsigned int rx_loop(struct shard *h);
void rx_handed(struct shard *h, struct port *p, struct rte_mbuf *m, const struct phca_pkt *pkt, enum phca_verdict v);
void rx_member(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m, const struct phca_pkt *pkt);

/* handoff.c */
bool handoff_rx(struct shard *h, unsigned int to, enum handoff_kind kind, const struct port *p, struct rte_mbuf *m,
		const struct phca_pkt *pkt);
unsigned int handoff_tx(struct shard *h, const struct port *p, struct rte_mbuf **m, unsigned int n);
enum phca_neigh_state resolve(struct shard *h, struct port *p, struct phca_qp *qp, uint8_t sgid_index,
		const uint8_t dgid[16], uint8_t mac[6]);
unsigned int handoff_run(struct shard *h);
void handoff_wake(struct shard *h);

/* mcast.c */
enum phca_verdict mcast_deliver(struct shard *h, struct port *p, struct rte_mbuf *m, const struct phca_pkt *pkt,
		struct phca_qp **qp, bool *kept);
void mcast_loop(struct shard *h, struct port *p, const struct rte_mbuf *m, const uint8_t mgid[16]);
void mcast_leave_all(struct phca_qp *qp);
void mcast_fini(struct phca_hca *hca);

/* tx.c */
bool tx_room(const struct shard *h, const struct port *p);
void tx_put(struct shard *h, struct port *p, struct rte_mbuf *m, bool own);
unsigned int tx_flush(struct shard *h, struct port *p);

static inline bool tx_stuck(const struct shard *h, const struct port *p)
{
	return unlikely(p->full_ns != 0) && h->now_ns - p->full_ns >= TX_STUCK_NS;
}

/* fetch.c; the rest of the requester: requester.h */
bool send_opcode_ok(const struct phca_qp *qp, unsigned int opcode);

/* state.c */
void qp_error(struct shard *h, struct phca_qp *qp, enum phca_event_type ev, uint32_t status);
void sq_error(struct shard *h, struct phca_qp *qp, uint32_t status);
unsigned int flush_run(struct shard *h);
void flush_remove(struct shard *h, struct phca_qp *qp);
void cq_error(struct shard *h, struct phca_cqw *w);

/* client.c */
void client_idle(void *shard, bool sleeps);

/* Whether inbound requests behind one of this rule must not overtake it. */
static inline bool rule_ordered(const struct phca_qp *qp, uint32_t rule)
{
	return rule == PHCA_PMSG_RULE_PASS || (qp->rules[rule].ordered & (1u << PHCA_DIR_RECV));
}

/* Tell the application that the receives taken so far are its again. */
static inline void receives_release(struct phca_qp *qp)
{
	struct phca_srq *srq = qp->srq;

	if (srq != NULL) {
		if (srq->released != srq->rq.own) {
			srq->released = srq->rq.own;
			phca_ring_release(&srq->rq);
		}
	} else if (qp->rq_released != qp->rq.own) {
		qp->rq_released = qp->rq.own;
		phca_ring_release(&qp->rq);
	}
}

static inline void count_dropped(struct phca_qp *qp)
{
	PHCA_STAT_ADD(qp->st.rx_dropped, 1);
}

/* The domain of receive buffers: an SRQ has one of its own (10.2.9.2). */
static inline uint32_t recv_pd(const struct phca_qp *qp)
{
	return qp->srq != NULL ? qp->srq->pd : qp->pd;
}

/* Add to the verdicts of a QP and its port. */
static inline void verdict_add(struct port *p, struct phca_qp *qp, enum phca_verdict v, uint64_t n)
{
	PHCA_STAT_ADD(p->st.verdict[v], n);
	if (qp != NULL)
		PHCA_STAT_ADD(qp->st.verdict[v], n);
}

#endif
