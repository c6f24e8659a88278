/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of lib/proxy share. Everything here belongs to the proxy lcore. */
#ifndef PROXY_IMPL_H
#define PROXY_IMPL_H

#include <assert.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_log.h>

#include "phca_proxy.h"

#define BURST 64       /* messages of one turn */
#define STAGE 256      /* replies waiting for the reply ring */
#define LAZY_TURNS 32  /* a busy proxy returns small credits that often */

extern int phca_proxy_logtype;
#define LOG(level, ...) rte_log(RTE_LOG_##level, phca_proxy_logtype, "proxy: " __VA_ARGS__)

#define INC(ctr) PHCA_STAT_ADD(ctr, 1)
#define DEC(ctr) PHCA_STAT_ADD(ctr, -1)

/* What is in a place of a window. */
enum place_state {
	PLACE_FREE,    /* nothing has arrived, or all is over */
	PLACE_WAITING, /* a driver works on it */
	PLACE_READY,   /* finished, an earlier place is not; req: its driver holds on to it */
	PLACE_ZOMBIE,  /* released in order, but its driver holds on to req */
};

/* The HCA recovered from a direct error: the first request after it. Beside PHCA_PMSG_F_*. */
#define OUT_FRESH 0x80

/* What a place's request, if it is ordered, has decided. */
enum place_order {
	ORDER_NONE,    /* not ordered, or its turn is over */
	ORDER_OPEN,    /* nothing yet */
	ORDER_DECIDED, /* nothing more comes from it but the children that it has queued */
	ORDER_PASS,    /* the HCA shall carry it out, in its turn */
};

/* How a place ends. */
struct outcome {
	uint8_t offload; /* an offloaded request, not a completion of the HCA's */
	uint8_t flags;   /* PHCA_PMSG_F_*, OUT_FRESH */
	uint8_t status;  /* enum phca_wc_status */
	uint8_t fails;   /* its offload failed: what is behind it is flushed */
};

struct place {
	struct phca_wc wc;            /* READY: the completion, except inbound offloads */
	struct phca_offload_req *req; /* what a driver holds; or NULL */
	struct outcome out;
	uint8_t state;                /* enum place_state */
	uint8_t order;                /* enum place_order */
	uint8_t rsvd[2];
};
_Static_assert(sizeof(struct place) == 64, "one cache line");

/* What was released of a window decides what may follow. The order counts. */
enum gone {
	GONE_WELL,    /* no error yet, or the HCA recovered from it */
	GONE_FLUSHED, /* a place was flushed: none behind it succeeds, but the error may yet come */
	GONE_DIRECT,  /* a direct completion with an error: the rest is flushed */
	GONE_OFFLOAD, /* an offload that failed: the rest is flushed, for good */
};

/*
 * One sequence of a proxy QP. Places freed..released-1 are released, of which
 * the first is a zombie if there is any; released.. are FREE, WAITING or READY,
 * the first of them never READY between two calls of window_release.
 */
struct window {
	uint32_t released;       /* the place whose turn it is */
	uint32_t freed;          /* places before it can be used again */
	uint32_t reported;       /* freed, as the HCA knows it */
	uint32_t size;           /* places; 0 while not attached: refuses everything */
	uint32_t mask;
	uint32_t busy;           /* WAITING and READY */
	uint32_t pending;        /* WAITING */
	uint32_t fail_seq;       /* failing: first failed offload that is known */
	uint32_t error_seq;      /* direct_error: the first place of such a completion */
	uint32_t flush_from, err_max;
	uint8_t dir;             /* enum phca_dir */
	bool failing;            /* an offload failed: those behind it are refused */
	uint8_t gone;            /* enum gone */
	uint8_t carry;           /* inbound: status for the next completion */
	bool direct_error;       /* completions with errors of their own arrived */
	bool flushing;           /* the HCA's flush was seen: from flush_from on drivers hold nothing */
	bool erred;              /* a direct error or flush arrived, the last one at err_max */
	bool lazy;               /* in the list of windows with places to report */
	bool order_stuck;        /* in the list of those whose turn found no room */
	uint32_t order_next;     /* the first ordered request that is not over; */
	uint32_t nb_ordered;     /* there are so many; 0: none */
	uint32_t resume;         /* of those over, the HCA was not told of so many */
	uint32_t passed;         /* messages that the HCA reads until their COMPLETE */
	struct phca_cqw *cq;
	struct place *places;
	uint64_t *ready_ns;      /* of each place that is READY, since when */
	struct window *next_lazy, *next_stuck;
} __rte_cache_aligned;
_Static_assert(sizeof(struct window) <= 2 * RTE_CACHE_LINE_SIZE, "two cache lines");

/* The answer to an inbound READ or atomic; as many as tags. */
struct answer {
	struct phca_preply r;
	struct phca_pqp *pqp;
	struct answer *next;  /* among those that wait for room */
	bool owed;            /* its request came, its answer is not on its way */
};

enum pqp_state { PQP_DETACHED, PQP_ATTACHED, PQP_DETACHING };

struct pqp_counters {
#define CTR(f, u, h) uint64_t f;
	PHCA_PQP_COUNTERS(CTR)
};

/* An offload that wants to know what becomes of a QP. */
struct watch {
	struct phca_offload *offload;
	void *priv;
	bool leaving;  /* no rule names it any more: GONE once nothing of it is left */
};
#define WATCH_MAX (PHCA_PROXY_RULE_MAX + 1)

struct phca_pqp {
	struct window win[PHCA_DIR_COUNT];
	struct pqp_counters c __rte_cache_aligned;
	struct phca_proxy *proxy __rte_cache_aligned;
	struct phca_proxy_chan *chan;
	struct phca_offload_req *free_reqs; /* last used first: warm in the cache */
	void *cookie;
	uint32_t qpn, pd;
	uint32_t nb_tags;
	struct answer *answers;         /* nb_tags */
	uint32_t error_seq;
	uint32_t zombies;               /* requests whose places are over, drivers hold them */
	uint8_t state;                  /* enum pqp_state */
	uint8_t transport;
	uint8_t error_status, error_dir; /* of the ERROR reply */
	bool error_due, error_told;
	bool hca_error;                  /* the HCA says that it is in the error state */
	uint8_t nb_watch;
	bool due;                       /* in the list of those with ERROR or DETACHED to tell */
	bool cancel;                    /* in the list of those with requests to cancel */
	struct phca_pqp *next_due, *next_cancel;
	struct phca_child *kids;         /* issued on it, not over */
	struct phca_offload *owner;      /* whose peer it is; or NULL */
	bool sweep;                      /* in the list of those with watches that leave */
	struct phca_pqp *next_sweep;
	struct watch watch[WATCH_MAX];
	struct phca_pqp_rules rules;
	struct phca_hist stall;          /* times that completions waited for an earlier one */
};

struct offload_counters {
	PHCA_OFFLOAD_COUNTERS(CTR)
	uint64_t in_flight;
};

struct phca_offload {
	const struct phca_offload_ops *ops;
	struct phca_offload_req *head, *tail; /* in the driver, oldest first; no zombies */
	uint64_t time_limit_ns;
	struct offload_counters c;
	struct phca_proxy *proxy;
	struct phca_filter_slot *program;     /* or NULL */
	uint32_t users;                       /* proxy QPs with a rule for it, and watches; control threads */
	unsigned int ordered;                 /* 1 << enum phca_dir */
	struct phca_child *pool, *free_kids;
	unsigned int nb_pool, nb_issued;      /* children; of which are posted and not over */
	bool initing;                         /* init runs */
	char name[64];
	struct phca_offload_detail detail;
	uint8_t priv[] __rte_cache_aligned;
};

struct proxy_counters {
	PHCA_PROXY_COUNTERS(CTR)
	uint64_t in_flight, pqps;
#undef CTR
};

/* What came from one HCA lcore and what waits to go back to it. */
struct phca_proxy_chan {
	struct phca_proxy *proxy;
	struct rte_ring *ring, *replies;
	struct rte_ring *mbufs;               /* back to the HCA lcore, once it is in use */
	struct phca_loop *hca_loop;
	struct phca_cqw *cq_errors;           /* CQs whose overrun is to be told */
	struct window *lazy;                  /* windows with places to report */
	struct phca_pqp *due;                 /* QPs with ERROR, RESUME or DETACHED to tell */
	struct phca_child *kids, *kids_last;  /* that found no room, first to tell first */
	struct window *stuck;                 /* whose ordered requests found no room */
	struct answer *answers, *answers_last;/* that found no room, first to tell first */
	bool return_mbufs;
	unsigned int nb_free, nb_stage;
	unsigned int burst_at, burst_n;       /* messages not yet looked at */
	struct rte_mbuf *to_free[BURST];
	struct phca_preply stage[STAGE];
	struct phca_pmsg burst[BURST] __rte_cache_aligned;
};

struct phca_proxy {
	uint64_t now_ns;
	uint64_t turns;
	struct phca_cqws cqs;                 /* that it owns, and has something to do for */
	struct phca_pqp *cancels, *sweeps;
	uint8_t submit_status;                /* what done said within submit */
	uint8_t seen_status;                  /* traced: with which the place released last was told */
	uint32_t ended_seq;                   /* the place that ended last, */
	struct phca_offload *ended_by;        /* and who ended it; NULL: the HCA */
	struct phca_trace *trace;             /* of requests that are marked; NULL: nowhere */
	unsigned int nb_chans, nb_offloads;
	struct phca_proxy_chan *chans[PHCA_PROXY_CHAN_MAX];
	struct phca_offload *offloads[PHCA_PROXY_OFFLOAD_MAX];
	struct phca_loop *loop;
	const struct phca_mem *mem;
	struct rte_mempool *pool;             /* of answers */
	uint32_t ring_size;
	char name[32];
	struct proxy_counters c __rte_cache_aligned;
};

static inline struct phca_pqp *window_pqp(struct window *w)
{
	return RTE_PTR_SUB(w - w->dir, offsetof(struct phca_pqp, win));
}

static inline struct place *window_place(const struct window *w, uint32_t seq)
{
	return &w->places[seq & w->mask];
}

/* Whether @p a comes before @p b. */
static inline bool seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* --- chan.c: replies, memory to free */

/* The next reply, to be filled in where it lies: all its fields. NULL: no room, the caller comes again. */
static inline struct phca_preply *reply_next(struct phca_proxy_chan *c)
{
	return likely(c->nb_stage < STAGE) ? &c->stage[c->nb_stage++] : NULL;
}

/* Room in the stage, or the caller keeps its reply and comes again. */
static inline bool reply_stage(struct phca_proxy_chan *c, const struct phca_preply *r)
{
	if (unlikely(c->nb_stage == STAGE))
		return false;
	c->stage[c->nb_stage++] = *r;
	return true;
}

/* Tell the HCA at the end of the turn: an ERROR, or that it is detached. */
static inline void pqp_due(struct phca_pqp *q)
{
	if (q->due)
		return;
	q->due = true;
	q->next_due = q->chan->due;
	q->chan->due = q;
}

/* Give the mbufs to be freed back to the HCA lcore; free what it has no room for. */
static inline void mbufs_free(struct phca_proxy_chan *c)
{
	unsigned int n = 0;

	if (__atomic_load_n(&c->return_mbufs, __ATOMIC_RELAXED))
		n = rte_ring_sp_enqueue_burst(c->mbufs, (void **)c->to_free, c->nb_free, NULL);
	if (n < c->nb_free)
		rte_pktmbuf_free_bulk(c->to_free + n, c->nb_free - n);
	c->nb_free = 0;
}

/* Free a chain of mbufs with many others. */
static inline void mbuf_free_later(struct phca_proxy_chan *c, struct rte_mbuf *m)
{
	if (unlikely(c->nb_free == BURST))
		mbufs_free(c);
	c->to_free[c->nb_free++] = m;
}

/* The CQs whose overrun is known are told. @return false: no room */
bool cq_errors_tell(struct phca_proxy_chan *c);
/* ERROR, DETACHED and overruns that wait. */
void chan_tell_due(struct phca_proxy_chan *c);
/* Children and ordered requests that found no room. */
void chan_again(struct phca_proxy_chan *c);
/* Places that were freed in small numbers. */
void chan_tell_lazy(struct phca_proxy_chan *c);
/* At the end of the turn, when completions are visible: replies and mbufs on their way. */
void chan_flush(struct phca_proxy_chan *c);
void chan_free(struct phca_proxy_chan *c);

/* --- window.c */

/* The place seq has its outcome, nothing of it is in its struct place yet. */
void window_outcome(struct phca_proxy *p, struct window *w, uint32_t seq, struct outcome out,
		const struct phca_wc *wc);
/* The place WAITING has its outcome. */
void window_finish(struct phca_proxy *p, struct window *w, uint32_t seq, struct outcome out,
		const struct phca_wc *wc);
/* Release what can be released, free what can be freed. */
void window_release(struct phca_proxy *p, struct window *w);
/* An offload failed at seq: the QP goes to ERROR, what is behind is cancelled this turn. */
void window_fail(struct phca_proxy *p, struct window *w, uint32_t seq, uint8_t status);
/* A completion with an error or flush arrived at seq: cancel what it makes obsolete. */
void window_direct_error(struct phca_proxy *p, struct window *w, uint32_t seq, uint8_t status);
/* Cancel what is behind failures. */
void cancels_run(struct phca_proxy *p);
/* Write a completion to a CQ of the HCA lcore of c. @return whether it is in */
bool cq_deliver(struct phca_proxy_chan *c, struct phca_cqw *cq, const struct phca_wc *wc, bool solicited);
/* Cancel, discard; places of requests that drivers hold become zombies. */
void window_clear(struct phca_proxy *p, struct window *w);

/* --- answer.c */

static inline bool op_wants_answer(uint8_t op)
{
	return op == PHCA_OP_READ_REQ || op == PHCA_OP_CMP_SWAP || op == PHCA_OP_FETCH_ADD;
}

/* Whether an OFFLOAD is a READ or atomic of the peer. */
static inline bool msg_wants_answer(const struct phca_pmsg *m)
{
	return m->dir == PHCA_DIR_RECV && op_wants_answer(phca_opcode_table[m->in.pkt.opcode].op);
}
/* The QP is attached. Takes data. */
void answer_send(struct phca_pqp *q, uint32_t tag, uint8_t status, uint64_t value, struct rte_mbuf *data);
/* A request that wants an answer ends. @return how: the default action may fail */
uint8_t answer_end(struct phca_offload_req *r, uint8_t status);
/* @return false: no room for all */
bool chan_tell_answers(struct phca_proxy_chan *c);
/* Bytes that an inbound SEND delivers in the place of its payload. @return 0, -ENOMEM, -E2BIG, -ENOTSUP */
int answer_fill(struct phca_offload_req *r, const void *src, uint32_t len);
/* The QP is let go: nothing more is told about it. */
void answers_drop(struct phca_pqp *q);

/* --- offload.c */

enum req_state {
	REQ_FREE, REQ_SUBMITTING, REQ_DONE, REQ_PENDING, REQ_CANCELLING,
	REQ_ZOMBIE,  /* its place is over; its driver or a child is not */
	REQ_PASSING, /* the driver gave it back, its turn has not come */
	REQ_PASSED,  /* the HCA has it again, and reads its message */
};

/* What there is of a request's answer. */
enum answer_state {
	ANSWER_NONE,    /* none is wanted */
	ANSWER_OPEN,    /* nothing yet */
	ANSWER_WRITTEN, /* READ: the first `answered` bytes */
	ANSWER_MEMORY,  /* READ: the HCA shall read the memory itself */
	ANSWER_VALUE,   /* atomic */
};

/* A request for the place seq, from its QP's pool. */
struct phca_offload_req *req_take(struct phca_pqp *q);
/* Give a request back, and its message. */
void req_release(struct phca_pqp *q, struct phca_offload_req *r);
/* An OFFLOAD message whose place and rule are right. */
void offload_submit(struct phca_proxy *p, struct phca_pqp *q, const struct phca_pmsg *m, uint8_t flags);
/*
 * Take a request away from its driver, which may hold on to it.
 * @return the request if it does, else NULL: it is released
 */
struct phca_offload_req *offload_cancel(struct phca_proxy *p, struct phca_offload_req *r, bool timeout);
/* Poll all drivers, fail requests that took too long. @return how much was done */
unsigned int offloads_poll(struct phca_proxy *p);
/* A place that waited for a driver ends. Its req is NULL, or what is held on to. */
void place_finish(struct phca_proxy *p, struct phca_pqp *q, struct place *pl, uint8_t dir, uint32_t seq,
		const struct phca_offload_wr *wr, uint8_t status);
/* What a message says of a request. */
void req_fill(struct phca_offload_req *r, const struct phca_pqp *q, const struct phca_pmsg *m);
/* The driver, which held it, has given it back. */
void req_let_go(struct phca_proxy *p, struct phca_offload_req *r);
/* Its last child is over, or its driver let go: a zombie may end, a parent be done. */
void req_children_over(struct phca_proxy *p, struct phca_offload_req *r);
/* A child failed: so does its parent. */
void req_fail(struct phca_proxy *p, struct phca_offload_req *r);
/* A posted request's completion, status success. */
void wr_completion(const struct phca_pqp *q, const struct phca_offload_wr *wr, struct phca_wc *wc);

/* --- trace.c: what is told of requests that are marked */

void trace_place(struct phca_proxy *p, const struct phca_pqp *q, uint8_t dir, uint32_t seq,
		enum phca_trace_kind kind, uint8_t status);
void trace_req(struct phca_proxy *p, const struct phca_offload_req *r, enum phca_trace_kind kind, uint8_t status);
/* Of a request; the child is with it still. */
void trace_child(struct phca_proxy *p, const struct phca_offload_req *parent, const struct phca_child *c,
		enum phca_trace_kind kind, uint8_t status);
/* Of the place before `released`; waited: for ended_seq. */
void trace_released(struct phca_proxy *p, struct window *w, bool waited, enum phca_trace_result result);

/* --- order.c: ordered requests, and those that go back */

/* An ordered request comes. */
void order_begin(struct window *w, uint32_t seq);
/* The same, but those behind it have to wait for order_advance. */
void order_mark(struct window *w, uint32_t seq);
/* What became possible. */
void order_advance(struct phca_proxy *p, struct window *w);
/* It will issue nothing more, but what it has queued. */
void order_decide(struct phca_proxy *p, struct window *w, uint32_t seq);
/* Whether it is its turn to put something on the wire. */
static inline bool order_turn(const struct window *w, uint32_t seq)
{
	return w->nb_ordered > 0 && w->order_next == seq;
}
/* Whether an ordered request in its driver may put something on the wire yet, or be given back. */
static inline bool order_open(const struct window *w, uint32_t seq)
{
	return window_place(w, seq)->order == ORDER_OPEN;
}
/* A message that no rule matched, behind ordered ones. */
void order_rule_pass(struct phca_proxy *p, struct phca_pqp *q, const struct phca_pmsg *m, uint8_t flags);
/* The driver gave it back within submit: its place waits for its turn. */
void order_passing(struct phca_proxy *p, struct window *w, struct phca_offload_req *r, uint8_t flags);
/* It goes neither forth nor back any more: released. */
void order_cancel(struct phca_offload_req *r);
/* Of a place that the HCA completes: the message is not needed any more. @return its mark, when it is traced */
uint8_t order_passed_over(struct window *w, uint32_t seq);
/* The QP is let go. */
void order_clear(struct window *w);
/* Those that found no room. */
void chan_order_again(struct phca_proxy_chan *c);

/* --- child.c */

/* What it does, as long as the proxy has it. */
static inline const struct phca_offload_wr *child_wr(const struct phca_child *c)
{
	return c->shared != NULL ? c->shared : &c->wr;
}
/* The HCA says that it is over, or nobody can carry it out. */
void child_over(struct phca_proxy *p, struct phca_child *c, uint8_t status);
/* Send what a request has queued: it is its turn. */
void children_send(struct phca_offload_req *r);
/* Flush what a request has queued. */
void children_flush(struct phca_proxy *p, struct phca_offload_req *r);
/* The QP is let go: the HCA has dropped what it had. */
void children_clear(struct phca_proxy *p, struct phca_pqp *q);
/* Those that found no room. @return false: some still find none */
bool chan_children_again(struct phca_proxy_chan *c);
void child_pool_free(struct phca_offload *o);

/* --- watch.c */

/* Tell all who watch, and the owner. */
void watch_event(struct phca_pqp *q, enum phca_pqp_event ev);
/* The rules changed. */
void watch_rules(struct phca_proxy *p, struct phca_pqp *q);
/* Those that leave. */
void watch_sweep(struct phca_proxy *p);
/* A peer's QP is destroyed; control thread. */
void peer_forget(struct phca_pqp *q);

#endif
