/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running a filter: the thread's clock and random state, the counters, and how
 * a control thread waits until nobody is inside.
 *
 * Each thread counts on a cache line of its own, found by its slot number: the
 * lcore id, or a spare number for other threads. The counters double as the
 * grace period: `runs` is stored before the program runs and one of the others
 * after it, so a thread is inside while runs > pass + offload + bad_return. The
 * data path pays no fence for that; filter_grace_wait makes all threads pay one
 * with membarrier(2) instead. After the barrier, every thread either shows that
 * it is inside, or will see what the control thread stored before.
 */
#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_branch_prediction.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "filter_impl.h"

/* What this thread is to filters. */
struct filter_thread {
	struct phca_filter_env *env;
	unsigned int slot;
};
static __thread struct filter_thread self;

static uint64_t extra_used; /* bit set: that spare slot belongs to a thread */
static pthread_key_t extra_key;
static bool have_membarrier;

/* Thread-exit destructor: the spare slot is free again. @p arg: slot + 1. */
static void extra_put(void *arg)
{
	unsigned int bit = (unsigned int)((uintptr_t)arg - 1) - RTE_MAX_LCORE;

	__atomic_and_fetch(&extra_used, ~(UINT64_C(1) << bit), __ATOMIC_RELEASE);
}

static void once_init(void)
{
	pthread_key_create(&extra_key, extra_put);
	have_membarrier = syscall(__NR_membarrier,
		MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void filter_grace_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, once_init);
}

/* @return a spare slot number, or FILTER_SLOTS if all are taken. */
static unsigned int extra_get(void)
{
	uint64_t used = __atomic_load_n(&extra_used, __ATOMIC_RELAXED);
	unsigned int bit;

	do {
		if (used == UINT64_MAX)
			return FILTER_SLOTS;
		bit = (unsigned int)__builtin_ctzll(~used);
	} while (!__atomic_compare_exchange_n(&extra_used, &used, used | UINT64_C(1) << bit, false,
			__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return RTE_MAX_LCORE + bit;
}

void phca_filter_env_set(struct phca_filter_env *env)
{
	void *mine;

	filter_grace_init();
	if (env == NULL) {
		mine = pthread_getspecific(extra_key);
		if (mine != NULL) {
			extra_put(mine);
			pthread_setspecific(extra_key, NULL);
		}
		self.env = NULL;
		return;
	}
	if (self.env == NULL) {
		self.slot = rte_lcore_id();
		if (self.slot >= RTE_MAX_LCORE) {
			self.slot = extra_get();
			if (self.slot == FILTER_SLOTS) {
				rte_log(RTE_LOG_ERR, (uint32_t)phca_filter_logtype,
					"filter: more than %u threads that are no lcores; "
					"this one takes every filter as pass\n",
					FILTER_EXTRA_THREADS);
				return;
			}
			pthread_setspecific(extra_key, (void *)(uintptr_t)(self.slot + 1));
		}
	}
	if (env->prandom == 0)
		env->prandom = 1;
	self.env = env;
}

struct phca_filter_env *filter_env(void)
{
	return self.env;
}

#define COUNT(c, order) __atomic_store_n(&(c), (c) + 1, order)

uint32_t phca_filter_run(struct phca_filter *f, const struct phca_filter_ctx *ctx)
{
	struct phca_filter_stats *st;
	uint32_t rc;

	if (unlikely(self.env == NULL))
		return PHCA_PASS;
	st = &f->counts[self.slot].st;
	COUNT(st->runs, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(f->func != NULL))
		rc = (uint32_t)f->func((void *)(uintptr_t)ctx);
	else
		rc = (uint32_t)rte_bpf_exec(f->bpf, (void *)(uintptr_t)ctx);
	if (rc == PHCA_PASS) {
		COUNT(st->pass, __ATOMIC_RELEASE);
	} else if (rc == PHCA_OFFLOAD || rc - PHCA_OFFLOAD_RULE(0) < PHCA_FILTER_RULE_MAX) {
		COUNT(st->offload, __ATOMIC_RELEASE);
	} else {
		COUNT(st->bad_return, __ATOMIC_RELEASE);
		rc = PHCA_PASS;
	}
	return rc;
}

uint32_t phca_filter_call(struct phca_filter *f, void *ctx, struct phca_filter_env *env)
{
	static __thread struct phca_filter_env own; /* of a thread that has none: it keeps its place */
	struct phca_filter_env *before;
	struct phca_filter_stats *st;
	uint32_t rc;

	if (unlikely(self.env == NULL)) {
		phca_filter_env_set(&own);
		if (self.env == NULL)
			return 0;
	}
	before = self.env;
	self.env = env;
	st = &f->counts[self.slot].st;
	COUNT(st->runs, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	rc = likely(f->func != NULL) ? (uint32_t)f->func(ctx) : (uint32_t)rte_bpf_exec(f->bpf, ctx);
	if (rc == 0)
		COUNT(st->pass, __ATOMIC_RELEASE);
	else
		COUNT(st->offload, __ATOMIC_RELEASE);
	self.env = before;
	return rc;
}

static uint64_t done(const struct phca_filter_stats *st)
{
	return __atomic_load_n(&st->pass, __ATOMIC_ACQUIRE) +
		__atomic_load_n(&st->offload, __ATOMIC_ACQUIRE) +
		__atomic_load_n(&st->bad_return, __ATOMIC_ACQUIRE);
}

void filter_grace_wait(const struct phca_filter *f)
{
	const struct phca_filter_stats *st;
	unsigned int i;
	uint64_t begun;

	/* Without membarrier: a store buffer is empty long before a millisecond is over. */
	if (!have_membarrier ||
			syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
		usleep(1000);
	for (i = 0; i < FILTER_SLOTS; i++) {
		st = &f->counts[i].st;
		begun = __atomic_load_n(&st->runs, __ATOMIC_ACQUIRE);
		while (done(st) < begun)
			sched_yield();
	}
}

static void sum(const struct phca_filter *f, struct phca_filter_stats *st)
{
	const struct phca_filter_stats *c;
	unsigned int i;

	memset(st, 0, sizeof(*st));
	for (i = 0; i < FILTER_SLOTS; i++) {
		c = &f->counts[i].st;
		st->pass += __atomic_load_n(&c->pass, __ATOMIC_ACQUIRE);
		st->offload += __atomic_load_n(&c->offload, __ATOMIC_ACQUIRE);
		st->bad_return += __atomic_load_n(&c->bad_return, __ATOMIC_ACQUIRE);
	}
	/* What is done has begun: a run under way is not counted yet. */
	st->runs = st->pass + st->offload + st->bad_return;
}

void phca_filter_stats_get(const struct phca_filter *f, struct phca_filter_stats *st)
{
	pthread_mutex_t *control = (pthread_mutex_t *)(uintptr_t)&f->control;

	pthread_mutex_lock(control);
	sum(f, st);
	st->runs -= f->base.runs;
	st->pass -= f->base.pass;
	st->offload -= f->base.offload;
	st->bad_return -= f->base.bad_return;
	pthread_mutex_unlock(control);
}

void phca_filter_stats_reset(struct phca_filter *f)
{
	pthread_mutex_lock(&f->control);
	sum(f, &f->base);
	pthread_mutex_unlock(&f->control);
}
