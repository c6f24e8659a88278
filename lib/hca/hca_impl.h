/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of lib/hca. Everything here is written by the HCA lcore only, unless a
 * comment names another owner.
 */
#ifndef HCA_IMPL_H
#define HCA_IMPL_H

#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "phca_hca.h"

#define RX_BURST 64       /* packets of a port a turn */
#define TX_STAGE 128      /* packets staged for a port */
#define PM_STAGE 256      /* messages to the proxy staged in a turn */
#define DB_BUDGET 256     /* doorbells of a client a turn */
#define RWQE_AHEAD 16     /* how far ahead receive work requests are asked for */
#define SQ_BUDGET 64      /* send WRs a turn */
#define SQ_QP_BUDGET 16   /* send WRs of one QP before the next one's turn */
#define FLUSH_BUDGET 64   /* WRs flushed a turn and QP */
#define REPLY_BURST 64    /* replies of the proxy a turn */
#define MBUF_BURST 128    /* mbufs that come back from the proxy a turn */
#define EVENT_RING 1024   /* events kept for the control thread */
#define QPN_LEAF_BITS 12  /* the QPN table has two levels of 2^12 */
#define QPN_LEAF (1u << QPN_LEAF_BITS)

extern int phca_hca_logtype;
#define HCA_LOG(level, ...) rte_log(RTE_LOG_##level, (uint32_t)phca_hca_logtype, "hca: " __VA_ARGS__)

/* A port and what waits to be sent on it. */
struct port {
	struct phca_net *net;
	uint16_t id;
	uint16_t nb_tx;
	struct rte_mbuf *tx[TX_STAGE];
	struct phca_port_stats st;
};

/* A receive work request, copied once from the shared ring. */
struct rwqe {
	uint64_t wr_id;
	uint64_t total;  /* bytes of its buffers */
	uint32_t num_sge;
	bool valid;      /* taken from the ring and not completed yet */
	struct phca_sge sge[PHCA_SGE_MAX];
};

/* What the responder of a UC QP is in the middle of. */
enum msg_state {
	MSG_NONE,  /* the next packet must start a message */
	MSG_SEND,
	MSG_WRITE,
	MSG_DROP,  /* the rest of a message whose drop_verdict is known */
};

struct responder {
	uint8_t state;             /* enum msg_state */
	uint8_t drop_verdict;      /* MSG_DROP: verdict of the message's other packets */
	bool offload;              /* MSG_SEND, MSG_WRITE: packets are held for the proxy */
	uint8_t rule;              /* offload: which rule matched */
	struct phca_psn epsn;      /* expected PSN */
	uint32_t len;              /* bytes so far */
	uint32_t dma_len;          /* MSG_WRITE: bytes announced */
	uint32_t rkey;
	uint64_t va;
	struct phca_pkt first;     /* offload: record of the first packet */
	struct rte_mbuf *head, *tail; /* offload: packets held */
	uint32_t held;             /* how many */
};

/* Places of a sequence: in use are freed .. next. */
struct pseq {
	uint32_t next, freed, size;
};

/* A rule as the data path has it. */
struct rule {
	struct phca_filter_slot *filter;
	bool send, inbound;
	uint64_t matched;
	struct phca_offload *offload; /* control thread */
	char name[PHCA_FILTER_NAME_MAX];
};

/* Reasons for being on the ready list are found by looking at the QP. */
struct phca_qp {
	/* read for every packet */
	uint32_t qpn;
	uint8_t transport;      /* enum phca_transport */
	uint8_t state;          /* enum phca_qp_state */
	uint8_t port;           /* index */
	bool proxy;             /* a proxy QP */
	bool check_peer;        /* av.dgid is the only source allowed */
	uint8_t nb_rules;
	uint16_t pkey;
	uint32_t qkey;
	uint32_t pd;
	uint32_t access;
	uint16_t path_mtu;
	bool sq_sig_all;
	bool in_flush;          /* on the HCA's flush list */
	uint32_t dest_qpn;
	uint32_t rq_released;   /* rq.own as the application knows it */
	struct phca_ring rq;    /* consumer's view */
	struct phca_cq *cq[PHCA_DIR_COUNT];
	struct rule *rules;
	struct phca_pqp *pqp;

	/* responder */
	struct responder resp;
	struct rwqe rwqe;

	/* requester */
	struct phca_ring sq;             /* consumer's view */
	struct phca_qp *ready_next;
	bool on_ready;
	bool sq_have;                    /* the head WR is copied, checked and classified */
	struct phca_offload_wr *sq_cur;  /* the copy */
	uint32_t sq_rule;                /* its rule, or RULE_NONE */
	uint8_t *shadow;                 /* copies, one a place; one when plain */
	uint32_t shadow_stride;
	uint32_t shadow_mask;
	struct phca_psn sq_psn;
	struct phca_av av;

	/* the proxy's windows */
	struct pseq pseq[PHCA_DIR_COUNT];
	uint32_t detached;               /* written by the HCA lcore, read by control */

	/* counters */
	struct phca_qp_stats st;
	uint32_t held;                   /* gauge, part of rx_packets */

	/* control thread */
	struct phca_qp *flush_next;      /* HCA lcore */
	struct phca_hca *hca;
	struct phca_client *client;
	struct phca_qp *prev, *next;     /* all QPs, by number */
	enum phca_qp_type type;
	uint32_t max_send_sge, max_recv_sge, max_inline;
	uint32_t send_wr, recv_wr;
	bool dead;                       /* destroy has begun */
	bool leaving;                    /* DETACH or FENCE is out: detached is its answer */
	void *sq_mem, *rq_mem;
	/* application's side: owned by the application's thread */
	struct phca_ring user_sq __attribute__((aligned(64)));
	struct phca_ring user_rq;
};
#define RULE_NONE UINT32_MAX

struct phca_cq {
	struct phca_cqw w;      /* HCA lcore, or proxy lcore once proxy_owned */
	/* on a line that the proxy lcore does not write: the HCA reads it for every packet */
	bool proxy_owned __attribute__((aligned(64))); /* set once, on the HCA lcore */
	struct phca_client *client;
	uint32_t cqe;
	unsigned int refs;      /* control thread */
	void *mem;
	struct phca_cq *next;   /* control thread */
	struct phca_ring user __attribute__((aligned(64))); /* application's thread */
};

struct phca_client {
	struct phca_hca *hca;
	char *name;
	void *db_mem;
	struct phca_ring db;        /* HCA lcore: consumer */
	struct phca_loop *app_loop; /* woken when completions were written */
	struct phca_client *next;
	struct phca_ring user_db __attribute__((aligned(64))); /* application's thread */
};

struct phca_hca {
	/* read every turn */
	bool enabled;               /* control thread writes, relaxed */
	bool no_icrc;
	uint16_t max_held;          /* packets of one offloaded message */
	uint32_t max_held_all;      /* of all that are not complete: a quarter of the pool */
	uint32_t nb_held;
	unsigned int nb_ports;
	struct port *ports[PHCA_PORT_MAX];
	struct phca_mem *mem;
	struct rte_mempool *pool;
	struct phca_proxy_chan *px_chan; /* our way to the proxy and back; NULL: none */
	struct rte_ring *px_ring;   /* to the proxy; NULL: none */
	struct rte_ring *px_replies;
	struct rte_ring *px_mbufs;  /* of offloaded messages, to be freed here */
	struct phca_loop *px_loop;
	struct phca_client *clients;
	struct phca_filter_env fenv;
	uint64_t now_ns;

	/* messages to the proxy: staged, and room for more in this turn */
	uint32_t nb_pm, pm_room;
	struct phca_wc nowhere;     /* a completion that nobody gets */
	struct phca_cqw *dirty;     /* CQs with staged completions */
	struct phca_qp *ready_head, *ready_tail;
	struct phca_qp *flush_list;
	struct phca_qp **qpn_top[QPN_LEAF]; /* written on the HCA lcore for control */
	struct phca_pmsg pm[PM_STAGE] __attribute__((aligned(64)));

	/* control thread */
	char *name;
	struct phca_loop *loop;
	struct phca_proxy *proxy;
	struct rte_rcu_qsbr *qsbr;
	uint32_t max_qp, nb_qp, next_qpn, next_cqn;
	struct phca_qp *qps;
	struct phca_cq *cqs;
	struct rte_ring *events;    /* HCA lcore to control thread */
	uint64_t events_lost;
	void (*pump)(void *arg);
	void *pump_arg;
};

/* table.c: QPN to QP */
static inline struct phca_qp *qp_lookup(const struct phca_hca *h, uint32_t qpn)
{
	struct phca_qp **leaf = h->qpn_top[(qpn >> QPN_LEAF_BITS) & (QPN_LEAF - 1)];

	return leaf ? leaf[qpn & (QPN_LEAF - 1)] : NULL;
}

/* hca.c */
void hca_event(struct phca_hca *h, enum phca_event_type type, uint32_t status, uint32_t num);
void hca_wait(struct phca_hca *h);

/* client.c */
void *ring_pair(enum phca_ring_type type, uint32_t size, uint32_t stride, struct phca_ring *a, struct phca_ring *b);

/* qp.c */
int qp_reset(struct phca_qp *qp);

/* complete.c: the one way a completion leaves the HCA lcore */
bool complete_room(struct phca_hca *h, const struct phca_qp *qp, enum phca_dir dir, enum phca_verdict *why);
struct phca_wc *complete(struct phca_hca *h, struct phca_qp *qp, enum phca_dir dir, uint64_t wr_id,
		uint32_t status, uint32_t opcode, unsigned int pm_flags);
bool proxy_room(struct phca_hca *h, const struct phca_qp *qp, enum phca_dir dir, enum phca_verdict *why);
struct phca_pmsg *proxy_msg(struct phca_hca *h);
void proxy_begin(struct phca_hca *h);
void proxy_flush(struct phca_hca *h);
unsigned int proxy_replies(struct phca_hca *h);
void cq_flush(struct phca_hca *h);

/* classify.c */
uint32_t classify_inbound(struct phca_hca *h, struct phca_qp *qp, const void *frame,
		const struct phca_pkt *pkt, uint32_t msg_len);
uint32_t classify_send(struct phca_hca *h, struct phca_qp *qp, const struct phca_offload_wr *wr);

/* rx.c */
unsigned int rx_port(struct phca_hca *h, struct port *p, unsigned int port_idx, uint64_t now_ns);
void tx_put(struct port *p, struct rte_mbuf *m);
unsigned int tx_flush(struct port *p);

/* responder.c */
enum phca_verdict respond(struct phca_hca *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, bool *kept);
void responder_abort(struct phca_hca *h, struct phca_qp *qp, enum phca_verdict v);
enum phca_verdict rwqe_get(struct phca_hca *h, struct phca_qp *qp);

/* requester.c */
unsigned int requester_run(struct phca_hca *h, uint64_t now_ns);
unsigned int doorbells(struct phca_hca *h);
void ready_add(struct phca_hca *h, struct phca_qp *qp);
void ready_remove(struct phca_hca *h, struct phca_qp *qp);

/* state.c */
void qp_error(struct phca_hca *h, struct phca_qp *qp, enum phca_event_type ev, uint32_t status);
void sq_error(struct phca_hca *h, struct phca_qp *qp, uint32_t status);
unsigned int flush_run(struct phca_hca *h);
void flush_remove(struct phca_hca *h, struct phca_qp *qp);
void cq_error(struct phca_hca *h, struct phca_cqw *w);

/* Add to the verdicts of a QP and its port. */
static inline void verdict_add(struct port *p, struct phca_qp *qp, enum phca_verdict v, uint64_t n)
{
	PHCA_STAT_ADD(p->st.verdict[v], n);
	if (qp != NULL)
		PHCA_STAT_ADD(qp->st.verdict[v], n);
}

#endif
