/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An instance of the reduce offload: its reductions and its members, the queue pairs.
 *
 *   FREE -> GATHERING -> FINISHING -> DRAINING -> FREE
 *                     `-> FAILING --'
 *
 * GATHERING: found by its key, contributions come. FINISHING: all are combined, results go
 * out; FAILING: something is missing, contributions are let go. Both may have to wait for
 * children or mbufs. DRAINING: results are on their way, which hold the accumulator.
 */
#ifndef REDUCE_H
#define REDUCE_H

#include <sys/queue.h>

#include "phca_proxy.h"
#include "kernels.h"

/* Figures of its own. X(name): doc/counters.md says what they mean. */
#define REDUCE_COUNTERS(X) \
	X(reductions) X(contributions) X(combined_bytes) X(delivered) X(undelivered) \
	X(answers) X(unanswered) X(timeouts) X(lost) X(malformed) X(mismatches) X(duplicates) \
	X(too_large) X(busy) X(foreign)

struct reduce_counters {
#define REDUCE_COUNTER(n) uint64_t n;
	REDUCE_COUNTERS(REDUCE_COUNTER)
#undef REDUCE_COUNTER
	uint64_t waiting; /* gauge: GATHERING */
};

enum reduce_state { REDUCE_FREE, REDUCE_GATHERING, REDUCE_FINISHING, REDUCE_FAILING, REDUCE_DRAINING };

/* A queue pair that has contributed, until it is gone. */
struct member {
	struct phca_pqp *pqp;  /* NULL: in the free list */
	uint32_t open;         /* contributions that it has in reductions */
	uint32_t answers;      /* children on their way to it */
	struct member *next;
};

struct slot {
	struct phca_offload_req *req; /* NULL: has not come, or is over */
	struct member *member;        /* of req */
	bool answered;
};

struct reduction {
	TAILQ_ENTRY(reduction) by_age;  /* GATHERING: oldest first */
	TAILQ_ENTRY(reduction) by_work; /* poll has something to do for it */
	struct reduction *next;         /* in its bucket, or free */
	uint64_t since_ns;              /* GATHERING: its first contribution came; then: all had come */
	struct phca_reduce_hdr *result; /* the result's header, then the accumulator */
	reduce_kernel *kernel;
	uint32_t pd, bucket;
	uint32_t turn;                  /* GATHERING: rank to be combined next; then: to be finished */
	uint32_t children;              /* that send the result */
	uint8_t state;                  /* enum reduce_state */
	uint8_t why;                    /* FAILING: enum phca_reduce_status */
	bool working;                   /* in the list of work */
	struct slot *slots;             /* by rank */
};
TAILQ_HEAD(reduction_list, reduction);

struct reduce {
	struct reduction_list gathering, work;
	struct reduction *free, *all;
	struct reduction **buckets;
	struct member *free_members, *members;
	uint32_t strange, strange_max;  /* answers on their way to those that are no members */
	uint32_t mask, seed;            /* of the buckets */
	uint32_t max_reductions, max_bytes, max_ranks, per_qp, max_qps;
	uint64_t wait_ns;               /* 0: for ever */
	bool drop;                      /* contributions of a failed reduction end with success */
	bool deliver;                   /* ordered: results and other messages may go to the application */
	bool wide;
	struct reduce_counters c;
};

#define REDUCE_ADD(d, name, n) PHCA_STAT_ADD((d)->c.name, n)

/* --- table.c: memory, and who is found where */

/* Memory of an instance whose limits are set. @return 0 or -ENOMEM with err written */
int reduce_table_init(struct reduce *d, char *err, size_t err_len);
void reduce_table_fini(struct reduce *d);
struct reduction *reduce_table_find(const struct reduce *d, uint32_t pd, const struct phca_reduce_hdr *h);
/* A reduction GATHERING for what h describes. @return NULL: all are in use */
struct reduction *reduce_table_open(struct reduce *d, uint32_t pd, const struct phca_reduce_hdr *h, uint64_t now_ns);
/* GATHERING ends: a contribution of the same key opens another. */
void reduce_table_close(struct reduce *d, struct reduction *r, enum reduce_state state);
/* All is over. */
void reduce_table_free(struct reduce *d, struct reduction *r);
/* Have poll look at it. */
void reduce_table_work(struct reduce *d, struct reduction *r);
/* The member of a queue pair, which is watched from now on. @return NULL: too many */
struct member *reduce_member_get(struct reduce *d, struct phca_offload *o, struct phca_pqp *q);
/* Its queue pair is gone: no slot and no child names it any more. */
void reduce_member_gone(struct reduce *d, struct member *m);
/* The contribution of a rank is over: @return its request */
struct phca_offload_req *reduce_slot_clear(struct slot *s);

/* --- finish.c: what comes out of a reduction */

/* A reduction cannot be completed. */
void reduce_fail(struct reduce *d, struct reduction *r, enum phca_reduce_status why);
/* Tell a contributor what became of it, when it wants to know. m NULL: it is none of the members. */
void reduce_error_answer(struct reduce *d, struct phca_offload *o, struct phca_pqp *q, struct member *m,
		const struct phca_reduce_hdr *h, enum phca_reduce_status status);
/*
 * Go on with what was found incomplete: combine, send, deliver, let go; about `budget` bytes of it.
 * @return how much was done
 */
unsigned int reduce_work_run(struct reduce *d, struct phca_offload *o, uint64_t now_ns, uint32_t budget);
/* A child is over. */
void reduce_answer_over(struct reduce *d, const struct phca_child *c, enum phca_wc_status status);

#endif
