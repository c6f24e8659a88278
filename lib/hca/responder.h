/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The responder: what a queue pair keeps between two inbound packets, and what
 * its files share. All of it belongs to the HCA lcore of the queue pair.
 */
#ifndef RESPONDER_H
#define RESPONDER_H

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

#include "phca_hca.h"

struct port;
struct shard;

/* A receive work request, copied once from the shared ring. */
struct rwqe {
	uint64_t wr_id;
	uint64_t total;  /* bytes of its buffers */
	uint32_t num_sge;
	bool valid;      /* taken from the ring and not completed yet */
	struct phca_sge sge[PHCA_SGE_MAX];
};

/* What the responder of a connected QP is in the middle of. */
enum msg_state {
	MSG_NONE,  /* the next packet must start a message */
	MSG_SEND,
	MSG_WRITE,
	MSG_DROP,  /* UC: the rest of a message whose drop_verdict is known */
};

struct responder {
	uint8_t state;             /* enum msg_state */
	uint8_t drop_verdict;      /* MSG_DROP: verdict of the message's other packets */
	bool offload;              /* MSG_SEND, MSG_WRITE: packets are held for the proxy */
	bool behind;               /* of requests that may yet come back from it: pass.c */
	bool withholds;            /* RC: some of them are not acknowledged: withheld.c */
	uint8_t rule;              /* offload: which rule matched, or PHCA_PMSG_RULE_PASS */
	struct phca_psn epsn;      /* expected PSN */
	uint32_t len;              /* bytes so far */
	uint32_t dma_len;          /* MSG_WRITE: bytes announced */
	uint32_t rkey;
	uint64_t va;
	/* RC */
	uint32_t msn;              /* messages executed (9.7.7.1) */
	struct phca_psn nak_psn;
	uint8_t nak;               /* syndrome of the NAK that is owed; 0: none */
	bool ack_due;              /* an acknowledgement of all that was executed is owed */
	bool gap_told;             /* no NAK for packets ahead before the expected one came (9.7.5.2.8) */
	bool fatal;                /* the NAK owed is the last thing said: the QP is in ERROR */
	bool established;          /* PHCA_EVENT_COMM_EST was given */
	bool last_told;            /* PHCA_EVENT_LAST_WQE was given */
	struct phca_pkt first;     /* offload: record of the first packet */
	struct rte_mbuf *head, *tail; /* offload: packets held */
	uint32_t held;             /* how many */
};

/* A READ or an atomic: what is to be answered, or was. */
struct resp_rec {
	struct phca_psn psn;    /* of its first response packet */
	uint32_t npkts;         /* response packets; atomic: 1 */
	uint32_t from, at;      /* READ: response that is being sent: first packet, next packet */
	uint32_t end;           /* and the byte after its last one; all count from psn and va */
	uint32_t len, rkey;     /* of the request */
	uint32_t msn;           /* with it executed */
	uint64_t va;
	uint64_t value;         /* atomic: what was there before */
	struct rte_mbuf *data;  /* READ: answer of an offload; NULL: read the memory */
	bool gone;              /* READ: that answer was given up, as others needed the buffers */
	uint8_t op;             /* enum phca_op */
	bool want;              /* to be sent */
	bool wait;              /* the proxy has it and did not answer yet */
	bool again;             /* sent before in whole: a duplicate asked for it */
	bool ack_before;        /* wait: what came before it is to be acknowledged now */
};

/* The last READs and atomics of a queue pair in the order of their PSNs: first .. first + n. */
struct respq {
	uint32_t first, n;
	uint32_t want;                /* of them are to be sent */
	const struct rte_mbuf *seg;   /* where the last packet made of offloaded data ended: */
	const struct rte_mbuf *seg_of;/* of this data, */
	uint32_t seg_at;              /* offset of the segment in it */
	uint32_t kept;                /* buffers of offloaded data; while there are any, on the shard's list: */
	struct phca_qp *kept_prev, *kept_next;
	struct resp_rec rec[PHCA_RD_ATOMIC_MAX];
};

static inline const uint8_t *frame_of(const struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, const uint8_t *);
}

/* Payload against the path MTU (9.7.4.1.6, 9.8.2.2.4): full in FIRST and MIDDLE, not empty in LAST. */
static inline bool length_ok(uint32_t mtu, uint32_t len, unsigned int flags)
{
	if (!(flags & PHCA_OPF_LAST))
		return len == mtu;
	return len <= mtu && ((flags & PHCA_OPF_FIRST) || len > 0);
}

/* Bytes of a WRITE's packet against what its RETH announced. */
static inline bool dma_len_ok(uint32_t dma_len, uint64_t total, bool last)
{
	return last ? total == dma_len : total < dma_len;
}

/* responder.c */
void grh_fill(uint8_t grh[PHCA_GRH_LEN], const uint8_t *frame, const struct phca_pkt *pkt);
enum phca_verdict respond(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, bool *kept);
void established(struct shard *h, struct phca_qp *qp);
void responder_abort(struct shard *h, struct phca_qp *qp, enum phca_verdict v);
void responder_reset(struct shard *h, struct phca_qp *qp);

/* recv.c: receive work requests */
enum phca_verdict rwqe_get(struct shard *h, struct phca_qp *qp);
int32_t recv_avail(struct shard *h, struct phca_qp *qp);
bool rwqe_copy(struct shard *h, struct phca_qp *qp);
void recv_source(const struct phca_qp *qp, struct phca_wc *wc, const uint8_t *frame, const struct phca_pkt *pkt);
enum phca_verdict recv_refused(struct shard *h, struct phca_qp *qp, uint32_t status, uint8_t nak,
		enum phca_event_type ev);
enum phca_verdict recv_complete(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, uint32_t byte_len, uint32_t opcode);

/* held.c: messages for the proxy */
void held_settle(struct shard *h, struct phca_qp *qp, enum phca_verdict v, bool free_them);
bool held_room(const struct shard *h, const struct responder *r);
void hold(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m, const struct phca_pkt *pkt,
		bool last);
void hand_over_held(struct shard *h, struct phca_qp *qp, uint8_t last_opcode);
struct phca_pmsg *hand_over(struct phca_qp *qp, struct rte_mbuf *m, const struct phca_pkt *first, uint32_t rule,
		uint8_t last_opcode);

/* A message that came back. */
struct pass {
	const struct phca_offload_req *req; /* the proxy's until it is completed */
	struct rte_mbuf *data;              /* in the place of its payload; or NULL */
	uint32_t seq;                       /* its place */
	uint32_t segs : 31;                 /* buffers of both */
	uint32_t waited : 1;                /* that is counted */
};

/* Of a place, in passes.place. */
enum {
	PLACE_ORDERED = 1,  /* the proxy has not decided on it */
	PLACE_WAITS = 2,    /* it came back, and waits for a receive */
	PLACE_WITHHELD = 4, /* it is not decided and received, and what withheld.c told nobody */
};

/* How far acknowledging may go with a request. */
struct withheld {
	struct phca_psn psn; /* of its last packet */
	uint32_t msn;        /* before it */
};

/* A proxy QP's ordered requests. */
struct passes {
	uint32_t mask;                  /* of the arrays: the window */
	uint32_t ordered;               /* the proxy has so many */
	uint32_t oldest;                /* no ordered one has a place before it */
	uint32_t first, n;              /* of wait */
	struct phca_qp *prev, *next;    /* while n > 0, on the shard's list */
	struct pass *wait;
	uint8_t *place;                 /* PLACE_... */
	/* withheld.c; RC */
	struct withheld *withheld;      /* of each place */
	uint32_t unsaid;                /* resp.withholds: the first that is withheld */
	bool rnr;                       /* its RNR NAK is owed */
	bool ack_before;                /* an acknowledgement of what is before it is owed */
	bool on_list;
	uint64_t until_ns;              /* it is withheld until then, while the proxy has it */
	struct phca_qp *withheld_prev, *withheld_next; /* by until_ns */
};

/* pass.c: ordered requests, and those that come back */
struct passes *passes_make(uint32_t window, bool rc);
void passes_free(struct passes *p);
void pass_reset(struct shard *h, struct phca_qp *qp);
void pass_ordered(struct phca_qp *qp, uint32_t seq);
bool pass_room(const struct shard *h, const struct phca_qp *qp);
void pass_resume(struct shard *h, struct phca_qp *qp, uint32_t count);
void pass_reply(struct shard *h, struct phca_qp *qp, const struct phca_preply *r);
unsigned int pass_run(struct shard *h);

/* Whether nothing may be said yet of this PSN. */
static inline bool withheld(const struct responder *r, const struct passes *p, struct phca_psn psn)
{
	return unlikely(r->withholds) && phca_psn_diff(psn, p->withheld[p->unsaid & p->mask].psn) >= 0;
}

/* withheld.c: ordered requests that are not acknowledged yet */
void withheld_add(struct shard *h, struct phca_qp *qp);
void withheld_over(struct shard *h, struct phca_qp *qp);
void withheld_not_ready(struct shard *h, struct phca_qp *qp, uint32_t seq);
bool withheld_again(struct shard *h, struct phca_qp *qp, struct phca_psn psn);
void withheld_failed(struct shard *h, struct phca_qp *qp, uint32_t seq, uint8_t syndrome);
void withheld_stop(struct shard *h, struct phca_qp *qp);
unsigned int withheld_run(struct shard *h);

/* rc_responder.c */
enum phca_verdict respond_rc(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info, bool *kept);
void rc_nak_fatal(struct shard *h, struct phca_qp *qp, struct phca_psn psn, uint8_t syndrome);

/* respq.c: what is owed to peers */
struct resp_rec *respq_push(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt, uint8_t op,
		uint32_t len);
struct resp_rec *respq_find(struct phca_qp *qp, struct phca_psn psn);
struct resp_rec *respq_head(struct phca_qp *qp);
void respq_want(struct shard *h, struct phca_qp *qp, struct resp_rec *rec, uint32_t from, uint32_t end);
void respq_cut(struct phca_qp *qp, struct phca_psn psn);
void respq_stop(struct phca_qp *qp);
void respq_due(struct shard *h, struct phca_qp *qp);
void respq_remove(struct shard *h, struct phca_qp *qp);
void respq_forget(struct shard *h, struct phca_qp *qp);
uint32_t respq_tag(const struct phca_qp *qp, const struct resp_rec *rec);
void responder_answer(struct shard *h, struct phca_qp *qp, uint32_t tag, uint8_t status, uint64_t value,
		struct rte_mbuf *data);
uint8_t answer_nak(uint8_t status);
unsigned int responder_run(struct shard *h);

#endif
