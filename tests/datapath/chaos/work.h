/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link: a pair of queue pairs, one at each end, both of which post a random
 * program of work requests; and a model that says what the applications may see.
 *
 *   RC   every completion once, in order, with success; every SEND received once,
 *        in order, byte for byte; READs return what the peer's memory holds;
 *        WRITEs leave what the program says; atomics return and sum exactly
 *        memory windows show what they are bound to, until they are invalidated
 *   UC   what is received is whole and was sent; without loss all of it, in order
 *   UD   the same for datagrams
 *
 * With proxy rules, requests of OFFLOAD_SEND bytes and more are swallowed where
 * they are posted, and inbound ones of OFFLOAD_IN bytes and more where they
 * arrive (of a SEND the first packet counts): their completions are there in order, their data is nowhere. READs
 * that a proxy answers return the same as ever.
 *
 * With `mimic` a proxy has offloads that do what the HCA would do, and its rules come and
 * go at any time: the model is that of a plain queue pair. Messages of
 * several packets that match no rule are kept off while such an offload has not decided,
 * which UC does not survive: its rules match everything.
 */
#ifndef WORK_H
#define WORK_H

#include "world.h"

#define DEPTH 32
#define MSG_MAX 8192
#define SGES 32
#define REGION 65536
#define COUNTERS 16
#define OFFLOAD_SEND 4096
#define OFFLOAD_IN 1024

/* A posted request, as the model has it. */
struct wrec {
	uint8_t opcode;        /* enum phca_wr_opcode */
	bool signaled;
	bool swallowed;        /* by the proxy of the sender */
	bool taken;            /* by the proxy of the receiver */
	uint32_t len;
	uint32_t imm;
	uint32_t roff;         /* READ: where in the peer's region */
	uint64_t value;        /* atomics: what must come back */
	bool via_mw;           /* READ: through the peer's window */
};

/* A memory window of type 2, over what the peer may read: bound, read through, invalidated, bound again. */
enum mw_state { MW_UNBOUND, MW_BINDING, MW_BOUND, MW_GOING };
struct mw {
	uint32_t rkey, next_rkey;
	uint8_t state;         /* enum mw_state; GOING: somebody has posted its invalidation */
	uint32_t reads;        /* of the peer through it, not completed */
	uint32_t rounds;       /* times it was invalidated */
};

enum link_proxy { LINK_PLAIN, LINK_SWALLOW, LINK_MIMIC };

struct side {
	struct end *e;
	struct phca_qp *qp;
	struct phca_cq *scq, *rcq;
	uint32_t qpn;
	/* memory that the peer reads, writes and counts in; that it may not; and keys */
	uint8_t *fixed, *written, *send, *land, *recv;
	uint64_t *counter;
	uint32_t k_fixed, k_written, k_counter, k_local;
	uint8_t *local;        /* send, land and recv in one piece */
	/* model */
	uint8_t *written_model;           /* of the peer's written */
	uint64_t counter_model[COUNTERS]; /* of the peer's counters */
	struct wrec *wr;
	uint32_t nb_wr;        /* of the program */
	uint32_t posted, completed; /* WRs; completed: the model knows that they are over */
	uint32_t received;     /* of my WRs, at the peer: those before it were received or need not be */
	uint32_t got;          /* messages of the peer that I received */
	uint64_t next_recv;    /* receives posted */
	struct mw mw;
	struct phca_rule rule[2];
	bool ruled;            /* mimic: it has its rules now */
	bool gave_up;          /* RETRY_EXC_ERR, or its offload failed: the rest is flushed */
	bool failed;           /* its offload did */
};

struct link {
	struct world *w;
	enum phca_qp_type type;
	uint8_t proxy;         /* enum link_proxy */
	bool lossy, hopeless, fails; /* fails: its offloads do, sometimes */
	uint32_t rule_changes;
	struct side side[2];
};

/* A link in RTS whose sides will post n requests each. */
struct link *link_open(struct world *w, enum phca_qp_type type, enum link_proxy proxy,
		uint32_t n, const struct weather *we);
/* Post and poll what can be. @return whether all is over; what is wrong fails the test */
bool link_step(struct link *l);
/* After the last step: memory and counters against the model, if the run is whole, then destroy. */
void link_close(struct link *l, bool whole);

#endif
