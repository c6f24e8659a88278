/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the requester of a queue pair keeps: a copy of each send work request
 * from when it is taken out of the shared ring until it has completed, and how
 * far the requests before and behind it have come.
 *
 * A copy has a place, numbered without end; of a proxy queue pair it is the
 * place in the proxy's window. What is carried out here has a slot, in the order
 * on the wire; slots are numbered without end, too, and a slot's order never changes:
 *
 *   una <= acked <= cur <= begun
 *
 * The work requests of a plain queue pair have slots and places of the same
 * numbers. Those of a proxy queue pair that are offloaded have a place and no slot;
 * children, which the proxy issues and whose copies are its own, a slot and no place;
 * one that was offloaded and passed a place, and the slot of when it came back.
 *
 * place is that of the application's next work request that begins; when it is not
 * pseq[PHCA_DIR_SEND].next of the queue pair, that one is copied already. PSNs lie in
 * the order of the slots: una_psn <= psn <= sq_psn of the queue pair; psn is behind
 * only while packets are sent again.
 */
#ifndef REQUESTER_H
#define REQUESTER_H

#include "phca_loop.h"
#include "phca_proxy.h"
#include "phca_wire.h"

#define ACKREQ_EVERY 32  /* packets of a queue pair, of which one at least asks for an acknowledgement */
#define READ_CHUNK 128   /* packets of the answer to one READ request; a longer READ is several */
#define SLOTS_MORE 64    /* slots of a proxy queue pair at least, beyond one for each place */

/*
 * A send work request: the copy, validated, and what became of it. Its SGEs or inline data
 * follow. A child's lies in its struct phca_child and has no copy of its own.
 */
struct sq_wr {
	const struct phca_offload_wr *wr; /* own; a child's: as the proxy has it, perhaps shared */
	union {
		struct {
			struct phca_psn psn;  /* of its first packet, once it has begun */
			uint32_t nb_psn;      /* PSNs that it takes: a READ those of its answer; 0: none */
		};
		struct sq_wr *next;   /* while it is in the list of those that the proxy issued */
	};
	uint32_t rule;        /* which rule of the proxy QP matched, or RULE_NONE */
	uint32_t place;       /* not of a child */
	uint8_t status;       /* enum phca_wc_status that it ends with */
	bool offloaded;       /* the proxy has it */
	bool again;           /* READ: asked for again, so that an answer may start anywhere */
	bool issued;          /* by the proxy: a child, or one that it passed */
	bool child;
	uint8_t traced;       /* PHCA_PMSG_F_TRACED, or 0 */
	uint8_t rsvd[2];
	struct phca_offload_wr own;
};
_Static_assert(sizeof(struct sq_wr) == 160, "part of the stride of copies");
_Static_assert(offsetof(struct phca_child, hca) == 0 &&
	offsetof(struct sq_wr, own) <= sizeof(((struct phca_child *)0)->hca),
	"a child has room for what the HCA keeps");

/* Why a queue pair with something to send is off the ready list. */
enum req_wait {
	REQ_WAIT_NONE,
	REQ_WAIT_ACK,    /* window, max_rd_atomic, fence: an answer of the peer */
	REQ_WAIT_PLACE,  /* places, or a fence behind an offloaded READ: the proxy */
	REQ_WAIT_ORDER,  /* what ordered offloads in front have to send: the proxy */
	REQ_WAIT_RNR,    /* the timer: the peer was not ready */
	REQ_WAIT_PACE,   /* congestion control lets it send later */
};

struct requester {
	uint32_t una;       /* oldest that has not completed */
	uint32_t acked;     /* oldest that has something to be done yet */
	uint32_t cur;       /* the one whose packets are sent next */
	uint32_t begun;     /* the one that begins next: those before have PSNs */
	uint32_t place;     /* of the application's that begins next */
	struct phca_psn psn;     /* of the next packet */
	struct phca_psn una_psn; /* oldest that the peer has not acknowledged */
	uint32_t last;      /* place of the packet that was sent last */
	struct phca_psn last_psn; /* its PSN */
	uint32_t no_ackreq; /* packets since the last one that the peer must answer */
	uint32_t nb_rd;     /* READ requests and atomics outstanding */
	uint32_t window;    /* PSNs from una_psn on that may be sent */
	uint32_t ordered;   /* offloaded WRs of which something may have to be sent in front of direct ones */
	uint32_t released;  /* proxy QP: no slot before is an application's that has not completed */
	uint32_t rd_place;  /* behind the last READ or atomic that was offloaded; */
	bool rd_offloaded;  /* there was one */
	uint8_t wait;       /* enum req_wait */
	bool halted;        /* a WR failed here: nothing behind it begins */
	bool hold;          /* becoming a proxy QP: nothing begins */
	bool recovering;    /* sent again from una_psn, no progress since */
	bool drain_notify;  /* SQD: an event is wanted when drained */
	uint8_t retry_left, rnr_left;
	uint32_t slot_mask;
	uint8_t *wrs;       /* the copies, by place */
	uint32_t stride, mask;
	struct sq_wr **slots; /* proxy QP: those that have begun; NULL: as wrs */
	struct sq_wr *issued, *issued_last; /* by the proxy, and not begun: they go first */
	struct phca_timer timer;
};

/* The copy at a place. */
static inline struct sq_wr *sq_copy_at(const struct requester *r, uint32_t place)
{
	return (struct sq_wr *)(r->wrs + (size_t)(place & r->mask) * r->stride);
}

/* The work request in a slot. */
static inline struct sq_wr *sq_wr_at(const struct requester *r, uint32_t slot)
{
	return r->slots != NULL ? r->slots[slot & r->slot_mask] : sq_copy_at(r, slot);
}

/* It begins: it gets the next slot. There is one. */
static inline void sq_wr_begins(struct requester *r, struct sq_wr *e)
{
	if (r->slots != NULL)
		r->slots[r->begun & r->slot_mask] = e;
	r->begun++;
	if (!e->issued)
		r->place++;
}

static inline bool slots_full(const struct requester *r)
{
	return r->slots != NULL && r->begun - r->una > r->slot_mask;
}

/* How many PSNs of a WR are before psn. */
static inline uint32_t sq_wr_off(const struct sq_wr *e, struct phca_psn psn)
{
	return (psn.v - e->psn.v) & PHCA_PSN_MASK;
}

static inline bool wr_is_read(const struct sq_wr *e)
{
	return e->wr->wqe.opcode == PHCA_WR_RDMA_READ;
}

static inline bool wr_is_atomic(const struct sq_wr *e)
{
	return e->wr->wqe.opcode == PHCA_WR_ATOMIC_CMP_AND_SWP || e->wr->wqe.opcode == PHCA_WR_ATOMIC_FETCH_AND_ADD;
}

static inline bool wr_is_local(const struct sq_wr *e)
{
	return e->wr->wqe.opcode == PHCA_WR_LOCAL_INV || e->wr->wqe.opcode == PHCA_WR_BIND_MW;
}

/* Outcome of looking at or executing the head of a send queue. */
enum sq_result {
	SQ_DONE,  /* got on */
	SQ_EMPTY, /* nothing to send: off the ready list until the next doorbell */
	SQ_WAIT,  /* it cannot go on now: stays on the ready list */
	SQ_OFF,   /* off the list until what it waits for puts it back, or for good */
};

struct shard;
struct port;
struct phca_qp;

/* requester.c */
unsigned int requester_run(struct shard *h);
unsigned int doorbells(struct shard *h);
void ready_add(struct shard *h, struct phca_qp *qp);
void ready_remove(struct shard *h, struct phca_qp *qp);
void requester_wake(struct shard *h, struct phca_qp *qp);
enum sq_result sq_ended(struct phca_qp *qp, struct sq_wr *e);

/* fetch.c: out of the shared ring */
enum sq_result sq_fetch(struct shard *h, struct phca_qp *qp);
void sq_classify_again(struct shard *h, struct phca_qp *qp);
void sq_release(struct phca_qp *qp);
uint32_t check_wr(struct shard *h, const struct phca_qp *qp, const struct sq_wr *e);

/* retire.c: completions, and the ends of a send queue */
void requester_done(struct phca_qp *qp);
bool requester_retire(struct shard *h, struct phca_qp *qp);
void requester_fail(struct shard *h, struct phca_qp *qp, uint32_t status);
unsigned int requester_flush(struct shard *h, struct phca_qp *qp, unsigned int budget);
void requester_stop(struct shard *h, struct phca_qp *qp);
void requester_reset(struct shard *h, struct phca_qp *qp);
void requester_rts(struct shard *h, struct phca_qp *qp);
bool requester_drained(const struct phca_qp *qp);
void requester_drain_check(struct shard *h, struct phca_qp *qp);
void requester_credit(struct shard *h, struct phca_qp *qp);

/* ud_tx.c, conn_tx.c: packets */
enum sq_result ud_issue(struct shard *h, struct phca_qp *qp, struct sq_wr *e);
void conn_begin(struct phca_qp *qp, struct sq_wr *e);
enum sq_result conn_issue(struct shard *h, struct phca_qp *qp, unsigned int *budget);
void conn_nudge(struct shard *h, struct phca_qp *qp);

/* issued.c: what the proxy issues */
int slots_make(uint32_t places, struct sq_wr ***slots, uint32_t *mask, void *any);
void sq_child_add(struct shard *h, struct phca_qp *qp, struct phca_child *c, const struct phca_offload_wr *wr);
void sq_passed_back(struct shard *h, struct phca_qp *qp, uint32_t place);
void sq_resume(struct shard *h, struct phca_qp *qp, uint32_t n);
enum sq_result issued_begin(struct shard *h, struct phca_qp *qp);
struct sq_wr *issued_take(struct requester *r);
void sq_child_over(struct phca_qp *qp, const struct sq_wr *e, uint32_t status);
bool qp_error_tell(struct phca_qp *qp);

/* ack.c: what the peer answers */
enum phca_verdict requester_input(struct shard *h, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt);

/* retry.c */
void requester_timer_arm(struct shard *h, struct phca_qp *qp);
unsigned int requester_timers(struct shard *h);
void requester_rewind(struct phca_qp *qp);
void requester_again(struct shard *h, struct phca_qp *qp);
void requester_rnr(struct shard *h, struct phca_qp *qp, unsigned int code);

#endif
