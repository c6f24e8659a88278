/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock service without a network: requests go in, answers come out, time is an
 * argument. The offload driver and phca-lock's own server (serve --self) share it; the
 * unit tests compare it with a model.
 *
 * One thread. All memory is the caller's block, made once; nothing fails for lack of
 * memory but with a limit that is told to the requester. Only libc.
 */
#ifndef LOCK_CORE_H
#define LOCK_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phca_lock.h"

/* Answers of a requester that wait to be sent: as many of requests that did not wait. */
#define LOCK_PEER_ANSWERS 64

struct lock_core;

/* What a table is called. Two names are two tables. */
struct lock_name {
	uint64_t va;
	uint32_t rkey;
	uint32_t domain; /* protection domain of the requester's queue pair */
	uint32_t qpn;    /* no part of it: the queue pair that may use it, of several the last that did */
};

/* A requester: one queue pair. The first part is its user's. */
struct lock_peer {
	uint64_t drv[6];
	uint32_t domain, qpn;
	/* the core's */
	struct lock_peer *next, *prev;      /* free or in use */
	struct lock_peer *next_ready;
	struct lock_session *sessions;
	struct lock_note *first, *last;     /* answers to send, in order */
	uint32_t nb_notes;                  /* of which did not wait for a lock */
	uint32_t nb_claims, nb_waits;
	uint32_t nb_late;                   /* answers of waits: not known yet, or not taken */
	bool ready, dead;
};

/* Limits. All at least 1. */
struct lock_conf {
	uint32_t max_peers;    /* requesters */
	uint32_t max_tables;
	uint32_t max_locks;    /* held or waited for */
	uint32_t max_sessions; /* that hold or wait */
	uint32_t max_claims;   /* grants to sessions, and waits */
	uint32_t max_waiters;
	uint32_t peer_claims;  /* of one requester */
	uint32_t peer_waiters; /* of one requester */
	uint32_t deadlock_steps; /* looked at by one search; 0: no search */
	uint64_t max_wait_ns;  /* 0: for ever */
};

/* How tables are reached. Called from within the core's functions. */
struct lock_ops {
	/* Copy a table's header. @return 0; negative: the requester may not use it, or it cannot be read */
	int (*header)(void *user, const struct lock_peer *p, const struct lock_name *n, struct phca_lock_table *h);
	/* @return 0; negative: the requester may not use this entry */
	int (*check)(void *user, const struct lock_peer *p, const struct lock_name *n, uint32_t lock);
	/* Write through; the memory may be gone. @return 0; negative: it could not be written */
	int (*store)(void *user, const struct lock_name *n, uint32_t lock, const struct phca_lock_entry *e);
	int (*reserve)(void *user, const struct lock_name *n, uint64_t token);
};

/* Counters. X(field, unit, what) */
#define LOCK_COUNTERS(X) \
	X(requests, "requests", "lock requests taken") \
	X(granted, "requests", "granted, at once or later") \
	X(waited, "requests", "of LOCK that had to wait") \
	X(busy, "requests", "answered busy") \
	X(timeouts, "requests", "whose time was over") \
	X(deadlocks, "requests", "refused since they would have closed a circle") \
	X(searches_cut, "searches", "for deadlocks that ended at deadlock_steps") \
	X(waits_cancelled, "requests", "withdrawn while they waited") \
	X(unlocks, "requests", "grants given back by UNLOCK") \
	X(releases, "requests", "RELEASE carried out") \
	X(not_held, "requests", "UNLOCK of what the session has not") \
	X(bad_requests, "requests", "malformed, or of no such lock") \
	X(tables_refused, "requests", "whose table was refused") \
	X(limits, "requests", "answered limit") \
	X(dead_peers, "QPs", "requesters that ended while they held or waited") \
	X(dead_locks, "locks", "taken from requesters that ended") \
	X(answers_dropped, "answers", "to requesters that ended") \
	X(views_lost, "writes", "to tables in memory that is not there any more")
struct lock_stats {
#define LOCK_CTR(f, u, h) uint64_t f;
	LOCK_COUNTERS(LOCK_CTR)
#undef LOCK_CTR
	/* gauges */
	uint64_t tables, locks, sessions, held, waiting, peers;
};

/* @return bytes that the core needs for these limits */
size_t lock_core_size(const struct lock_conf *c);
/* @param mem  lock_core_size bytes, zeroed, aligned to 64 */
struct lock_core *lock_core_init(void *mem, const struct lock_conf *c, const struct lock_ops *ops, void *user);
/* Any thread may read its fields, each by itself. */
const struct lock_stats *lock_core_stats(const struct lock_core *c);

/* @return a new requester, drv zeroed; NULL: too many */
struct lock_peer *lock_peer_add(struct lock_core *c, uint32_t domain, uint32_t qpn);
/* It is no more: what it holds is free, its waits and answers are forgotten. Idempotent. */
void lock_peer_kill(struct lock_core *c, struct lock_peer *p);
/* After lock_peer_kill: the struct is free. */
void lock_peer_put(struct lock_core *c, struct lock_peer *p);
/* @return whether n more requests can be taken: each will have its answer */
bool lock_peer_room(const struct lock_peer *p, unsigned int n);
/* @return whether it holds or waits for something */
static inline bool lock_peer_busy(const struct lock_peer *p)
{
	return p->nb_claims != 0;
}

/* A request; there is room for it. Its answer, and those of others, wait in their requesters. */
void lock_request(struct lock_core *c, struct lock_peer *p, const struct phca_lock_req *req, uint64_t now_ns);
/* Waits whose time is over. @return how many */
unsigned int lock_tick(struct lock_core *c, uint64_t now_ns);
/* @return holders and waiters that searches for deadlocks have looked at since the beginning */
uint64_t lock_core_steps(const struct lock_core *c);
/* @return a requester that has answers to send since it was last returned here; NULL: none */
struct lock_peer *lock_ready(struct lock_core *c);
/* Take answers in order. @return how many, 0..n */
unsigned int lock_take(struct lock_core *c, struct lock_peer *p, struct phca_lock_answer *out, unsigned int n);

#endif
