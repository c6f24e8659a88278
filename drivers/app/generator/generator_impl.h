/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator: what its files share.
 *
 * A message takes a place in its queue pair's ring of `depth` places when it is
 * staged, and leaves it when it is done: its send completion came, its data was
 * checked, and its echo arrived if one is expected. Places are
 *
 *   tail  <=  sdone  <=  head  <=  tail + depth
 *
 * from tail on they are in use, up to sdone their sends have completed. Send
 * completions come in order, so one stands for all unsignaled sends before it.
 */
#ifndef GENERATOR_IMPL_H
#define GENERATOR_IMPL_H

#include "target.h"

#define STAGE 16       /* work requests posted together */
#define SIZES_MAX 16   /* entries of "size" */
#define HIST_SUB 32    /* steps of a power of two in the histogram: 3 % */
#define HIST_LEN (60 * HIST_SUB)
#define ID_READBACK 1u /* bit of a send's wr_id: it is the READ behind a WRITE */
#define ID_ASK (1ull << 62) /* the same: the request for the peer's memory */

#define GEN_OPS_LIST(X) \
	X(SEND, "send", PHCA_WR_SEND, APP_KIND_SEND) \
	X(SEND_IMM, "send_imm", PHCA_WR_SEND_WITH_IMM, APP_KIND_SEND) \
	X(WRITE, "write", PHCA_WR_RDMA_WRITE, APP_KIND_WRITE) \
	X(WRITE_IMM, "write_imm", PHCA_WR_RDMA_WRITE_WITH_IMM, APP_KIND_WRITE_IMM) \
	X(READ, "read", PHCA_WR_RDMA_READ, APP_KIND_READ) \
	X(CAS, "cas", PHCA_WR_ATOMIC_CMP_AND_SWP, APP_KIND_READ) \
	X(FETCH_ADD, "fetch_add", PHCA_WR_ATOMIC_FETCH_AND_ADD, APP_KIND_READ)
enum gen_op {
#define GEN_ENUM(e, name, opcode, kind) GEN_##e,
	GEN_OPS_LIST(GEN_ENUM)
#undef GEN_ENUM
	GEN_OPS
};

/* Sizes from lo to hi, each as often as the weight says. */
struct gen_size {
	uint32_t lo, hi, weight;
};

struct gen_conf {
	uint32_t weight[GEN_OPS], op_total;
	struct gen_size size[SIZES_MAX];
	unsigned int nb_sizes;
	uint32_t size_total, max_size;
	uint32_t depth;
	uint64_t messages;     /* of each QP; 0: for ever */
	uint64_t rate;         /* messages a second of all QPs; 0: as fast as possible */
	uint32_t signal_every;
	uint32_t inline_max;
	uint32_t readback;     /* every so many WRITEs are read back; 0: none */
	bool verify, echo;
	uint64_t seed;
	uint64_t echo_timeout_ns;
	struct phca_av av;     /* UD: where to */
	uint8_t peer[16];
	bool has_peer;
	uint32_t peer_qpn, peer_qkey;
	uint64_t remote_addr, remote_len; /* given instead of asked for */
	uint32_t rkey;
};

enum gen_state {
	GEN_ASK,      /* the request for the peer's memory is due */
	GEN_ASKED,    /* and has been sent */
	GEN_RUN,
	GEN_REFUSED,  /* the peer has no memory, or too little */
	GEN_STOPPED,  /* the queue pair is in error */
};

/* A message. */
struct gen_slot {
	uint64_t seq;       /* number in its kind */
	uint64_t posted_ns;
	uint64_t expect;    /* atomics: the value before; READ: offset in the read area */
	uint32_t len;
	uint8_t op;         /* enum gen_op */
	bool readback, echo, done;
};

struct gen_qp {
	struct phca_qp *qp;
	uint32_t qpn;
	enum phca_qp_type type;
	enum gen_state state;
	bool own_rq;                 /* no SRQ */
	bool finished;               /* all messages are done */
	bool held;                   /* about to be reset: nothing is posted */
	struct gen_slot *slot;       /* depth places, rounded up to a power of two */
	uint64_t head, sdone, tail;
	uint32_t *echoes;            /* places of which the echo is awaited, oldest first */
	uint64_t ehead, etail;
	uint8_t *tx, *rx;            /* a buffer a place */
	uint64_t seq[APP_KIND_COUNT], count; /* next numbers; messages staged */
	uint64_t random;
	uint32_t unsignaled, writes;
	uint64_t ask_ns;
	uint64_t out_of_order;
	/* staged work requests, posted as far as the queue has room */
	struct phca_send_wr wr[STAGE];
	struct phca_sge sge[STAGE];
	unsigned int nb_wr, wr_at;
	/* the peer's memory */
	uint64_t addr, read_at, read_len, write_at, write_len, imm_at, imm_len;
	uint64_t read_key;
	uint32_t rkey, slot_len, write_slots, imm_slots;
	bool read_known;             /* what the read area holds is */
	uint64_t sum, cas;           /* what its atomic words hold */
	struct phca_av av;           /* UD */
};

#define GEN_COUNTERS(X) \
	X(posted) X(completed) X(bytes) X(errors) X(flushed) X(verified) X(mismatches) X(out_of_order) X(echoes) \
	X(lost) X(strays) X(readbacks) X(refused)

struct generator {
	struct gen_conf conf;
	struct app_rx rx;
	struct gen_qp *qps;
	unsigned int nb_qps, turn_at;
	uint32_t mask;               /* places less one */
	uint32_t stride;             /* bytes of a buffer */
	uint8_t *mem;
	uint32_t lkey;
	struct phca_mem *tables;
	bool enabled;
	uint64_t now_ns;
	uint64_t due_from_ns, due_sent; /* rate: messages since then */
	uint64_t under_way;          /* gauge */
	uint64_t uncovered;          /* of these, unsignaled ones that no signaled one follows */
	uint64_t stopped, finished;  /* gauges: QPs */
	uint64_t by_status[PHCA_WC_STATUS_COUNT];
	/* a window of a second */
	uint64_t window_ns, window_completed, window_bytes;
	uint64_t messages_per_s, bits_per_s;
	uint64_t lat_min_ns, lat_max_ns, lat_sum_ns, lat_count;
	uint64_t hist[HIST_LEN];
#define GEN_FIELD(f) uint64_t f;
	GEN_COUNTERS(GEN_FIELD)
#undef GEN_FIELD
};

static inline struct gen_slot *gen_slot(const struct generator *g, const struct gen_qp *q, uint64_t i)
{
	return &q->slot[i & g->mask];
}
static inline uint8_t *gen_tx(const struct generator *g, const struct gen_qp *q, uint64_t i)
{
	return q->tx + (size_t)(i & g->mask) * g->stride;
}
static inline uint8_t *gen_rx(const struct generator *g, const struct gen_qp *q, uint64_t i)
{
	return q->rx + (size_t)(i & g->mask) * g->stride;
}
static inline bool gen_needs_memory(const struct gen_conf *c)
{
	return c->weight[GEN_SEND] + c->weight[GEN_SEND_IMM] != c->op_total;
}
static inline uint64_t gen_random(struct gen_qp *q)
{
	q->random += APP_GOLDEN;
	return app_mix(q->random);
}

/* options.c */
extern const struct phca_setting gen_settings[];
int gen_options(struct gen_conf *c, const struct phca_setting_value *v, char *err, size_t err_len);

/* send.c: stage and post. @return work requests posted */
unsigned int gen_send(struct generator *g, struct gen_qp *q);

/* finish.c: completions */
void gen_sent(struct generator *g, struct gen_qp *q, const struct phca_wc *wc);
void gen_received(struct generator *g, struct gen_qp *q, const struct phca_wc *wc, const uint8_t *buf);
void gen_overdue(struct generator *g, struct gen_qp *q); /* echoes that do not come */
void gen_stop(struct generator *g, struct gen_qp *q, enum gen_state state);

/* remote.c: the peer's memory. */
/* @return work requests posted */
unsigned int gen_ask(struct generator *g, struct gen_qp *q);
void gen_answer(struct generator *g, struct gen_qp *q, const uint8_t *answer);
void gen_remote_given(struct generator *g, struct gen_qp *q);

/* figures.c */
void gen_latency(struct generator *g, uint64_t ns);
void gen_window(struct generator *g);
void gen_clear(struct phca_app *a);
int gen_show(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg);
int gen_gauges(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg);

#endif
