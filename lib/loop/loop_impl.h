/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of lib/loop: the loop, its clock, its rest. */
#ifndef LOOP_IMPL_H
#define LOOP_IMPL_H

#include <pthread.h>

#include <rte_common.h>
#include <rte_ring.h>

#include "phca_loop.h"

#define CARRIED_MAX 15 /* other loops whose turns a loop makes at most */

struct turn {
	phca_turn_fn fn;
	void *arg;
	const char *name;
};

struct idle {
	phca_idle_fn fn;
	void *arg;
};

/* Who makes a loop's turns (rest.c). */
enum loop_state {
	LOOP_AWAKE,          /* its lcore */
	LOOP_DROWSY,         /* its lcore the last one before it sleeps */
	LOOP_ASLEEP,         /* nobody */
	LOOP_CARRIED,        /* another loop */
	LOOP_CARRIED_DROWSY, /* another loop the last one before it lets go */
};

struct phca_loop {
	/* of whoever makes its turns */
	struct turn turns[PHCA_LOOP_TURNS_MAX];
	struct idle idles[PHCA_LOOP_TURNS_MAX];
	unsigned int nb_turns, nb_idles;
	bool announced;              /* that it will sleep; the next turn is the last before */
	uint64_t last_ns;            /* its last turn's time */
	struct phca_loop_stats stats;
	/* the lcore's own */
	uint64_t clock_scale;
	uint64_t sleep_ns;           /* next sleep; 0: polls */
	unsigned int empty_turns;
	unsigned int crowded;        /* naps before it yields again */
	unsigned int nb_carried;
	struct phca_loop *carried[CARRIED_MAX]; /* whose turns it makes, too */
	uint64_t turn_tsc;           /* its last turn's time */
	uint64_t empty_tsc;          /* when it had nothing to do last */
	uint64_t trial_tsc;          /* it was given back: when a trial began of having the CPU; 0: none */
	uint64_t trial_cpu_ns;       /* CPU time that it had used then */
	bool quits;                  /* it had not: sleeps as soon as a turn is empty */
	/* shared */
	uint32_t state __rte_cache_aligned; /* enum loop_state */
	uint32_t wanted;             /* it has to make its turns itself: commands, or its end */
	uint32_t given;              /* it was carried, and is awake because it was given back */
	uint32_t stop;
	uint32_t running;
	uint64_t contested_tsc;      /* until then somebody else uses its CPU */
	/* constant, control threads */
	struct rte_ring *commands __rte_cache_aligned;
	struct rte_rcu_qsbr *qsbr;
	unsigned int thread_id;
	enum phca_idle idle;
	int event_fd;                /* in epoll_fd, never read: each write is an edge */
	int epoll_fd;                /* eventfds of others that wake it */
	pthread_mutex_t lock;        /* recursive: a command may call its own loop */
	pthread_t thread;            /* valid while running */
	char name[32];
};

/* Nanoseconds of a TSC cycle, times 2^32; the same in every call. */
uint64_t loop_clock_scale(void);

/* 128 bits in between: 64 would overflow within seconds. */
static inline uint64_t loop_clock_ns(uint64_t tsc, uint64_t scale)
{
	return (uint64_t)((__uint128_t)tsc * scale >> 32);
}

/* The thread that calls runs the loop from now on; and does not any more: what it carries is given back. */
void loop_rest_begin(struct phca_loop *l);
void loop_rest_end(struct phca_loop *l);

/* What follows a turn that began at tsc, when idle is PHCA_IDLE_SLEEP: poll on, yield, or sleep. */
void loop_rest(struct phca_loop *l, unsigned int did, uint64_t tsc);

/* Wake the loop and have its own lcore make its turns; any thread. */
void loop_want(struct phca_loop *l);

#endif
