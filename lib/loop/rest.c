/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a loop does between turns with --idle sleep: yield, sleep, be woken, be carried.
 *
 * To wake another thread takes two context switches, longer than most work that it is woken for.
 * So a loop that has work for one that sleeps makes the turns of that one, too: it carries it,
 * until both have nothing to do, or until it is full and the other has a CPU for itself.
 *
 * Invariant: at any time one thread at most makes a loop's turns, its lcore's when the state is
 * AWAKE or DROWSY, that of the loop that carries it when it is CARRIED or CARRIED_DROWSY, none when
 * it is ASLEEP. Who takes it from ASLEEP does so by a compare-and-swap. Whoever publishes work
 * for it looks at the state behind a fence; who is about to let go sets DROWSY, and after a fence
 * makes one more turn: that finds the work, or the publisher finds DROWSY and takes it away, so that the
 * loop does not fall asleep. No work waits for a sleeper's time to be over.
 */
#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "loop_impl.h"

#define EMPTY_TURNS 1000         /* polls that many times in vain before it sleeps */
#define YIELD_TURNS 32           /* and lets who shares its CPU run after that many */
#define CROWDED_NS 50000u        /* a yield that took so long: somebody else wants the CPU for a whole time slice */
#define CROWDED_NAPS 4096        /* then it does not yield but sleeps, which ends when there is work, so many times */
#define SLEEP_MIN_NS 50000u
#define SLEEP_MAX_NS 1000000u
#define EDGES 16                 /* eventfds of others that it looks at after one sleep */
#define FULL_NS 1000000u         /* so long without an empty turn: what it carries should run elsewhere */
#define TRIAL_NS 2000000u        /* one that was given back looks so often whether it has its CPU */
#define TRIAL_SHARE 90u          /* of it, in percent */
#define CONTESTED_NS 200000000u  /* if not, it is carried by who is full, too, for so long */

static __thread struct phca_loop *here; /* that this thread runs */

static uint32_t state_get(const struct phca_loop *l)
{
	return __atomic_load_n(&l->state, __ATOMIC_ACQUIRE);
}

static bool state_change(struct phca_loop *l, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&l->state, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

static uint64_t cycles_to_ns(const struct phca_loop *l, uint64_t cycles)
{
	return loop_clock_ns(cycles, l->clock_scale);
}

static void event_write(const struct phca_loop *l)
{
	uint64_t one = 1;

	if (write(l->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		return; /* the count is at its limit: after 584 years at one a nanosecond */
}

/* --- by whoever makes the loop's turns */

static void tell(struct phca_loop *l, bool sleeps)
{
	if (l->announced == sleeps)
		return;
	l->announced = sleeps;
	for (unsigned int i = 0; i < l->nb_idles; i++)
		l->idles[i].fn(l->idles[i].arg, sleeps);
}

static bool full(const struct phca_loop *l, const struct phca_loop *other)
{
	return l->turn_tsc > l->empty_tsc && cycles_to_ns(l, l->turn_tsc - l->empty_tsc) > FULL_NS &&
		l->turn_tsc > __atomic_load_n(&other->contested_tsc, __ATOMIC_RELAXED);
}

/* Take one that sleeps. @return false: somebody else was faster, or it has to run elsewhere */
static bool carry(struct phca_loop *l)
{
	if (here == NULL || here->idle != PHCA_IDLE_SLEEP || here->qsbr != l->qsbr ||
			here->nb_carried == CARRIED_MAX || full(here, l) ||
			!state_change(l, LOOP_ASLEEP, LOOP_CARRIED))
		return false;
	tell(l, false);
	here->carried[here->nb_carried++] = l;
	return true;
}

static void carried_remove(struct phca_loop *l, unsigned int i)
{
	l->carried[i] = l->carried[--l->nb_carried];
}

static void give_back(struct phca_loop *l, unsigned int i)
{
	struct phca_loop *other = l->carried[i];

	carried_remove(l, i);
	tell(other, false);
	__atomic_store_n(&other->given, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&other->state, LOOP_AWAKE, __ATOMIC_RELEASE);
	event_write(other);
}

static void carried_check(struct phca_loop *l)
{
	for (unsigned int i = l->nb_carried; i-- > 0;)
		if (__atomic_load_n(&l->carried[i]->wanted, __ATOMIC_RELAXED) != 0 || full(l, l->carried[i]))
			give_back(l, i);
}

/* Say of itself and of all that it carries that the next turn is the last. */
static void drowse(struct phca_loop *l)
{
	/* What it was wanted for so far, the next turn finds. */
	if (__atomic_load_n(&l->wanted, __ATOMIC_RELAXED) != 0)
		__atomic_exchange_n(&l->wanted, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->state, LOOP_DROWSY, __ATOMIC_RELAXED);
	tell(l, true);
	for (unsigned int i = 0; i < l->nb_carried; i++) {
		__atomic_store_n(&l->carried[i]->state, LOOP_CARRIED_DROWSY, __ATOMIC_RELAXED);
		tell(l->carried[i], true);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void rouse(struct phca_loop *l)
{
	__atomic_store_n(&l->state, LOOP_AWAKE, __ATOMIC_RELAXED);
	tell(l, false);
	for (unsigned int i = 0; i < l->nb_carried; i++) {
		__atomic_store_n(&l->carried[i]->state, LOOP_CARRIED, __ATOMIC_RELAXED);
		tell(l->carried[i], false);
	}
}

/* What nobody has woken sleeps now. @return false: something that it carries was woken */
static bool let_go(struct phca_loop *l)
{
	for (unsigned int i = l->nb_carried; i-- > 0;) {
		struct phca_loop *other = l->carried[i];

		if (!state_change(other, LOOP_CARRIED_DROWSY, LOOP_ASLEEP))
			continue;
		carried_remove(l, i);
		/* Who wanted it and found it carried has not written the event. */
		if (__atomic_load_n(&other->wanted, __ATOMIC_SEQ_CST) != 0 &&
				state_change(other, LOOP_ASLEEP, LOOP_AWAKE))
			event_write(other);
	}
	return l->nb_carried == 0;
}

/* --- sleep */

/* After a sleep: @return whether the loop's turns are its lcore's again */
static bool taken_back(struct phca_loop *l, bool woken)
{
	for (;;) {
		uint32_t s = state_get(l);

		if (s == LOOP_AWAKE || (s == LOOP_ASLEEP && state_change(l, s, LOOP_AWAKE)))
			return true;
		/* A descriptor's writer means whoever makes the turns. */
		if (s == LOOP_CARRIED || (s == LOOP_CARRIED_DROWSY && (!woken || state_change(l, s, LOOP_CARRIED))))
			return false;
	}
}

/* Sleep until woken or sleep_ns is over, and as long as the loop is carried. */
static void nap(struct phca_loop *l)
{
	struct epoll_event edges[EDGES];
	bool woken;

	if (l->qsbr != NULL)
		rte_rcu_qsbr_thread_offline(l->qsbr, l->thread_id);
	PHCA_STAT_ADD(l->stats.sleeps, 1);
	do {
		struct timespec ts = { .tv_nsec = (long)l->sleep_ns };

		woken = epoll_pwait2(l->epoll_fd, edges, EDGES, &ts, NULL) > 0;
		l->sleep_ns = RTE_MIN(2 * l->sleep_ns, SLEEP_MAX_NS);
	} while (!taken_back(l, woken));
	if (l->qsbr != NULL)
		rte_rcu_qsbr_thread_online(l->qsbr, l->thread_id);
	if (woken) {
		PHCA_STAT_ADD(l->stats.wakes, 1);
		l->sleep_ns = 0;
		l->empty_turns = 0;
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void trial_begin(struct phca_loop *l)
{
	l->trial_tsc = rte_rdtsc();
	l->trial_cpu_ns = cpu_ns();
}

/* One that was given back and shares its CPU is better carried. */
static void trial(struct phca_loop *l, uint64_t tsc)
{
	uint64_t ns = cycles_to_ns(l, tsc - l->trial_tsc);

	if (ns < TRIAL_NS)
		return;
	if ((cpu_ns() - l->trial_cpu_ns) * 100 >= ns * TRIAL_SHARE) {
		trial_begin(l);
		return;
	}
	l->trial_tsc = 0;
	l->quits = true;
	__atomic_store_n(&l->contested_tsc, tsc + (uint64_t)(((__uint128_t)CONTESTED_NS << 32) / l->clock_scale),
		__ATOMIC_RELAXED);
}

/*
 * Another thread may want the CPU. If it keeps it, yielding is no way to share it: a
 * sleeper is put on the CPU when there is work for it, who yielded when a slice is over.
 */
static void yield(struct phca_loop *l)
{
	uint64_t before = rte_rdtsc();

	if (l->crowded == 0) {
		sched_yield();
		l->empty_tsc = rte_rdtsc();
		if (cycles_to_ns(l, l->empty_tsc - before) > CROWDED_NS)
			l->crowded = CROWDED_NAPS;
	}
	if (l->crowded > 0) {
		l->crowded--;
		l->empty_turns = EMPTY_TURNS;
	}
}

/* After the last turn, which was empty. */
static void sleep_now(struct phca_loop *l)
{
	if (!let_go(l) || !state_change(l, LOOP_DROWSY, LOOP_ASLEEP)) {
		l->sleep_ns = 0;
		l->empty_turns = 0;
		return;
	}
	l->trial_tsc = 0;
	l->quits = false;
	nap(l);
	l->empty_tsc = rte_rdtsc();
	if (__atomic_exchange_n(&l->given, 0, __ATOMIC_RELAXED) != 0)
		trial_begin(l);
}

void loop_rest(struct phca_loop *l, unsigned int did, uint64_t tsc)
{
	l->turn_tsc = tsc;
	if (l->nb_carried > 0)
		carried_check(l);
	if (l->trial_tsc != 0)
		trial(l, tsc);
	if (did > 0) {
		l->empty_turns = 0;
		l->sleep_ns = 0;
	} else {
		l->empty_tsc = tsc;
		if (++l->empty_turns < EMPTY_TURNS && !l->quits) {
			if (l->empty_turns % YIELD_TURNS == 0)
				yield(l);
			return;
		}
		if (!l->announced) {
			if (l->sleep_ns == 0)
				l->sleep_ns = SLEEP_MIN_NS;
			drowse(l);
			return; /* one more turn, then sleep */
		}
		sleep_now(l);
	}
	if (l->announced)
		rouse(l);
}

void loop_rest_begin(struct phca_loop *l)
{
	here = l;
	l->empty_turns = 0;
	l->sleep_ns = 0;
	l->empty_tsc = l->turn_tsc = rte_rdtsc();
}

void loop_rest_end(struct phca_loop *l)
{
	rouse(l);
	while (l->nb_carried > 0)
		give_back(l, l->nb_carried - 1);
	here = NULL;
}

/* --- any thread */

static void wake(struct phca_loop *l, bool may_carry)
{
	for (;;) {
		uint32_t s = state_get(l);

		if (s == LOOP_AWAKE || s == LOOP_CARRIED)
			return;
		if (s == LOOP_DROWSY && state_change(l, s, LOOP_AWAKE))
			return;
		if (s == LOOP_CARRIED_DROWSY && state_change(l, s, LOOP_CARRIED))
			return;
		if (s != LOOP_ASLEEP)
			continue;
		if (may_carry && carry(l))
			return;
		if (state_change(l, s, LOOP_AWAKE)) {
			event_write(l);
			return;
		}
	}
}

void phca_loop_wake(struct phca_loop *l)
{
	if (l->idle != PHCA_IDLE_SLEEP)
		return;
	if (l != here)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wake(l, true);
}

void loop_want(struct phca_loop *l)
{
	if (l->idle != PHCA_IDLE_SLEEP)
		return;
	__atomic_store_n(&l->wanted, 1, __ATOMIC_SEQ_CST);
	wake(l, false);
}
