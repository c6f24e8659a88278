/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the lock core share. */
#ifndef LOCK_CORE_IMPL_H
#define LOCK_CORE_IMPL_H

#include "core.h"

/* An answer: free, kept for a wait, or in its requester's list. */
struct lock_note {
	struct lock_note *next;
	bool waited;
	struct phca_lock_answer a;
};

struct lock_table {
	struct lock_table *chain;      /* of the hash */
	struct lock_table *next, *prev; /* idle, the longest idle first; or free */
	struct lock_name name;
	uint32_t nb_locks, refs;       /* refs: locks of it that are held or waited for */
	uint64_t token;                /* none given in it was larger */
	uint64_t reserved;             /* as its header has it; 0: not yet */
};

/* A claim is a grant to a session (in its lock's holders), or a wait (in the queue). */
struct lock_claim {
	struct lock_claim *next, *prev;   /* of the lock */
	struct lock_claim *snext, *sprev; /* of the session: grants, or waits */
	struct lock_claim *chain;         /* of the hash by lock and session */
	struct lock_state *lock;
	struct lock_session *session;
	struct lock_note *note;  /* a wait's */
	uint64_t token;          /* a grant's */
	uint64_t deadline_ns;    /* a wait's; UINT64_MAX: none */
	uint64_t order;
	uint32_t count;          /* a grant's */
	uint32_t heap;           /* a wait's place in the heap, UINT32_MAX: none */
	uint8_t mode;            /* as it is held, or wanted */
	bool waits;
	bool upgrade;            /* a wait of a holder */
};

/* A list with both ends. */
struct lock_list {
	struct lock_claim *first, *last;
	uint32_t n;
};

/* A lock that is held or waited for. */
struct lock_state {
	struct lock_state *chain;
	struct lock_table *table;
	uint32_t nr;
	uint8_t mode;              /* how it is held */
	uint64_t token;            /* of the last grant */
	struct lock_list holders, waiters;
};

struct lock_session {
	struct lock_session *chain;
	struct lock_session *next, *prev; /* of the requester */
	struct lock_peer *peer;
	uint64_t id;
	struct lock_claim *grants, *waits;
	uint64_t epoch; /* of the search that saw it last */
};

struct lock_core {
	struct lock_conf conf;
	struct lock_ops ops;
	void *user;
	struct lock_stats st;
	uint64_t token, view_seq, order, epoch, steps;
	uint32_t nb_late; /* answers of waits: not known yet, or not taken */
	/* hashes: 2^bits buckets */
	struct lock_table **table_hash;
	struct lock_state **state_hash;
	struct lock_session **session_hash;
	struct lock_claim **claim_hash;
	uint32_t table_mask, state_mask, session_mask, claim_mask;
	/* what is free */
	struct lock_table *free_tables;
	struct lock_state *free_states;
	struct lock_session *free_sessions;
	struct lock_claim *free_claims;
	struct lock_note *free_notes;
	struct lock_peer *free_peers;
	struct lock_table *idle_first, *idle_last;
	struct lock_peer *ready_first, *ready_last;
	struct lock_claim **heap; /* waits with a limit, the first to end at 0 */
	uint32_t heap_n;
	struct lock_session **stack;
};

#define LOCK_ADD(c, field, n) \
	__atomic_store_n(&(c)->st.field, (c)->st.field + (uint64_t)(n), __ATOMIC_RELAXED)

static inline uint64_t lock_mix(uint64_t a, uint64_t b)
{
	uint64_t z = a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c15u) * 0xbf58476d1ce4e5b9u;

	z = (z ^ z >> 31) * 0x94d049bb133111ebu;
	return z ^ z >> 29;
}

static inline bool lock_conflict(uint8_t a, uint8_t b)
{
	return a == PHCA_LOCK_EXCLUSIVE || b == PHCA_LOCK_EXCLUSIVE;
}

/* core_find.c: the hashes and pools. find: NULL when there is none; make: NULL at the limit */
struct lock_table *lock_table_find(struct lock_core *c, const struct lock_name *n);
struct lock_table *lock_table_make(struct lock_core *c, const struct lock_name *n, const struct phca_lock_table *h);
void lock_tables_forget(struct lock_core *c); /* those without locks */
struct lock_state *lock_state_find(struct lock_core *c, const struct lock_table *t, uint32_t nr);
struct lock_state *lock_state_make(struct lock_core *c, struct lock_table *t, uint32_t nr);
void lock_state_drop(struct lock_core *c, struct lock_state *l);
struct lock_session *lock_session_find(struct lock_core *c, const struct lock_peer *p, uint64_t id);
struct lock_session *lock_session_make(struct lock_core *c, struct lock_peer *p, uint64_t id);
void lock_session_drop(struct lock_core *c, struct lock_session *s);
struct lock_claim *lock_claim_find(struct lock_core *c, const struct lock_state *l, const struct lock_session *s,
		bool waits);
/* In the session's list and the hash; not in the lock's */
struct lock_claim *lock_claim_make(struct lock_core *c, struct lock_state *l, struct lock_session *s, bool waits);
void lock_claim_drop(struct lock_core *c, struct lock_claim *k);
void lock_heap_put(struct lock_core *c, struct lock_claim *k);
void lock_heap_take(struct lock_core *c, struct lock_claim *k);

/* core_graph.c: whether the session, by waiting, would wait for itself. before: whom it stands behind */
bool lock_would_deadlock(struct lock_core *c, const struct lock_session *s, const struct lock_state *l,
		uint8_t mode, const struct lock_claim *last_ahead);

#endif
