/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What every polling lcore has: a clock read once a turn, a command ring, a
 * report of quiescence, sleep when idle, and timers.
 *
 * A loop runs a list of turn functions (the HCA, a proxy, resident
 * applications), each once a turn with the same time. State that they own is
 * changed from outside only by phca_loop_call, which runs a function on the
 * loop's lcore between two turns.
 */
#ifndef PHCA_LOOP_H
#define PHCA_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_rcu_qsbr.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_LOOP_TURNS_MAX 16 /**< turn functions of one loop */

/** What an idle lcore does. */
enum phca_idle {
	PHCA_IDLE_POLL,  /**< polls on */
	PHCA_IDLE_SLEEP, /**< after some empty turns sleeps, up to 1 ms; who has work for it may carry it */
};

/** Counters of a loop, written by its lcore. */
struct phca_loop_stats {
	uint64_t turns;       /**< turns made */
	uint64_t busy_turns;  /**< turns in which some function did something */
	uint64_t busy_cycles; /**< TSC cycles of those turns */
	uint64_t sleeps;      /**< times it went to sleep */
	uint64_t wakes;       /**< times it was woken before its time was over */
	uint64_t commands;    /**< commands executed */
	uint64_t carried;     /**< turns that another loop made for it */
};

struct phca_loop; /**< one polling lcore */

/**
 * One turn of something; data path. With PHCA_IDLE_SLEEP on whichever thread of a loop makes it, one
 * at a time; all that it is to know of the last turn it sees. @return how much it did, 0 when idle
 */
typedef unsigned int (*phca_turn_fn)(void *arg, uint64_t now_ns);

/**
 * Create a loop.
 * @param name       for messages, shorter than 32 bytes
 * @param qsbr       where it reports quiescence while it runs; NULL: nowhere
 * @param thread_id  its id there, 0..max_threads-1
 * @return the loop; NULL with rte_errno EINVAL, ENOMEM, EMFILE
 */
struct phca_loop *phca_loop_create(const char *name, struct rte_rcu_qsbr *qsbr,
		unsigned int thread_id, enum phca_idle idle);
/** Free a loop that does not run. NULL is allowed. */
void phca_loop_destroy(struct phca_loop *loop);
/** Add a turn function, in the order of calling. Before phca_loop_run, or through phca_loop_call. @return 0, -ENOSPC */
int phca_loop_add(struct phca_loop *loop, const char *name, phca_turn_fn fn, void *arg);
/** Remove a turn function. As phca_loop_add. @return 0, -ENOENT */
int phca_loop_remove(struct phca_loop *loop, phca_turn_fn fn, void *arg);

/**
 * Run until phca_loop_stop; commands that wait are carried out before it ends.
 * The lcore's main function; @return 0.
 */
int phca_loop_run(struct phca_loop *loop);
/**
 * Ask the loop to end after its turn; any thread, also a signal handler. Asked
 * while the loop does not run, its next run ends at once.
 */
void phca_loop_stop(struct phca_loop *loop);
/** @return whether phca_loop_run is under way. */
bool phca_loop_is_running(const struct phca_loop *loop);

/**
 * Run fn(arg) on the loop's lcore and wait for it; control threads. When the
 * loop does not run (before start, in tests) it is called at once, here, under
 * a lock; fn may call its own loop, but no other.
 * @return what fn returned
 */
int phca_loop_call(struct phca_loop *loop, int (*fn)(void *arg), void *arg);

/** One turn by hand, for tests: commands, turn functions, no sleep. @return how much was done */
unsigned int phca_loop_turn(struct phca_loop *loop, uint64_t now_ns);
/**
 * Have work that was published for the loop be seen. Any thread, data path too: a fence and a load when it does not
 * sleep, nothing when it never does. When it sleeps, a thread that runs a loop itself (with PHCA_IDLE_SLEEP, the
 * same qsbr, and not busy for more than a millisecond) makes its turns from now on, behind its own, until both have
 * nothing to do: the loop is carried. Another thread wakes it by its eventfd. None is missed.
 */
void phca_loop_wake(struct phca_loop *loop);
/**
 * Called by whoever makes the loop's turns. true: it is about to sleep; one more turn follows before it does, so
 * that what is published by somebody who cannot see that it sleeps is found in that turn. false: it polls again.
 */
typedef void (*phca_idle_fn)(void *arg, bool sleeps);
/** Add such a function. As phca_loop_add. @return 0, -ENOSPC */
int phca_loop_idle_add(struct phca_loop *loop, phca_idle_fn fn, void *arg);
/** Remove it. As phca_loop_add. @return 0, -ENOENT */
int phca_loop_idle_remove(struct phca_loop *loop, phca_idle_fn fn, void *arg);
/**
 * Whoever writes to eventfd @p fd wakes the loop from its sleep. It is never read, so nothing that another
 * process does to it makes the loop wait; who writes all the time keeps it from sleeping. Any thread.
 * @return 0; -EEXIST; -EPERM, -EBADF no such descriptor; -ENOSPC, -ENOMEM
 */
int phca_loop_fd_add(struct phca_loop *loop, int fd);
/** Forget it; before it is closed. Any thread. */
void phca_loop_fd_remove(struct phca_loop *loop, int fd);
/**
 * The wake-up that a consumer in another process asked for: write a short record. The one system call of
 * the data path besides phca_loop_wake.
 * @param fd      in non-blocking mode
 * @param socket  it is a socket: then whatever its other end does, the caller does not wait, and gets no SIGPIPE
 * @return 0; -EAGAIN no room now; another negative errno: nobody will read it
 */
int phca_loop_note(int fd, bool socket, const void *rec, size_t len);
/** @return nanoseconds of the monotonic clock that loops use (TSC). */
uint64_t phca_loop_now_ns(void);
/** Read the counters; any thread. */
void phca_loop_stats_get(const struct phca_loop *loop, struct phca_loop_stats *st);
/** @return the loop's name. */
const char *phca_loop_name(const struct phca_loop *loop);

/** Add to a counter that this thread alone writes and others read. */
#define PHCA_STAT_ADD(ctr, n) __atomic_store_n(&(ctr), (ctr) + (n), __ATOMIC_RELAXED)
/** Read a counter of another thread. */
#define PHCA_STAT_GET(ctr) __atomic_load_n(&(ctr), __ATOMIC_RELAXED)

/*
 * Timers. A wheel belongs to one lcore and has no clock: the lcore runs it once
 * a turn with the turn's time, tests with a time of their own. Nothing is
 * allocated; a timer is a member of what it times.
 */

#define PHCA_TIMERS_LEVELS 9 /**< levels of a wheel: any 64-bit time fits */
#define PHCA_TIMERS_SLOTS 64 /**< slots of a level */

/**
 * A timer. Zeroed memory is one that is not armed. While armed it must stay
 * where it is. Members are private to lib/loop.
 */
struct phca_timer {
	struct phca_timer *next, **pprev; /**< its list; pprev is NULL when not armed */
	uint64_t at_ns;                   /**< when it expires */
	uint64_t due_ns;                  /**< when the wheel will look at it, not after at_ns */
};

/** The timers of one lcore, about 4.7 KiB. Members are private to lib/loop. */
struct phca_timers {
	uint64_t tick;    /**< how far it has come, in 1024 ns */
	uint64_t next_ns; /**< no run has anything to do before */
	uint64_t now_ns;  /**< time of the run that is under way */
	bool running;     /**< whether one is */
	uint16_t levels;  /**< levels that are not empty */
	uint64_t bits[PHCA_TIMERS_LEVELS]; /**< their slots that are not empty */
	struct phca_timer *slots[PHCA_TIMERS_LEVELS * PHCA_TIMERS_SLOTS + 2]; /**< and two more lists */
};

/** An expired timer; it is not armed any more. Data path. */
typedef void (*phca_timer_fn)(void *arg, struct phca_timer *t);

/** Make a wheel without timers. @param now_ns  the time, of which all others are later */
void phca_timers_init(struct phca_timers *w, uint64_t now_ns);

/**
 * Call fn for each timer whose time is not after now_ns, never early. They come in the order
 * of their times in steps of 1024 ns; within a step in any order. The wheel's lcore.
 *
 * fn may arm and cancel any timer, its own too, and free what holds its own, but must not run
 * the wheel. A timer that it arms for now_ns or earlier waits for the next run, so that no
 * timer expires twice in a run.
 * @param now_ns  the time; it never goes back
 * @param budget  timers looked at, at most: each counts that expires, or was in a slot that was
 *                reached but is for later. What is left over comes first in the next run.
 * @return how many expired
 */
unsigned int phca_timers_run(struct phca_timers *w, uint64_t now_ns, phca_timer_fn fn, void *arg,
		unsigned int budget);

/**
 * A time before which no timer expires: not after the next one's, and not always near it. A
 * run at that time comes closer: to run again and again at what this returns reaches a timer
 * in at most 10 steps, so that virtual time can jump.
 * @return the time, in the past when a run is due; UINT64_MAX when no timer is armed
 */
uint64_t phca_timers_next(const struct phca_timers *w);

/** As phca_timer_arm, but links the timer at its new time at once, whichever that is. */
void phca_timer_place(struct phca_timers *w, struct phca_timer *t, uint64_t at_ns);

/** Disarm a timer; no effect when it is not armed. The wheel's lcore. */
void phca_timer_cancel(struct phca_timers *w, struct phca_timer *t);

/**
 * Arm a timer, or change when an armed one expires. To a later time is a store: it may be done
 * for every acknowledgement. The wheel's lcore.
 * @param w      the same wheel as long as it is armed
 * @param at_ns  when it expires, any time; in the past: in the next run
 */
static inline void phca_timer_arm(struct phca_timers *w, struct phca_timer *t, uint64_t at_ns)
{
	if (t->pprev != NULL && at_ns >= t->due_ns)
		t->at_ns = at_ns;
	else
		phca_timer_place(w, t, at_ns);
}

/** @return whether a timer is armed. */
static inline bool phca_timer_armed(const struct phca_timer *t)
{
	return t->pprev != NULL;
}

#ifdef __cplusplus
}
#endif
#endif
