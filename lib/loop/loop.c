/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A polling lcore: turns, commands, sleep.
 *
 * Invariant: turn functions and commands of a loop never run at the same time.
 * While the loop runs they all run on its thread; commands reach it through a
 * ring that is only filled, under the lock, while `running` is set, and that is
 * emptied under the lock when `running` is cleared. While it does not run, they
 * run on the calling threads under the lock.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_pause.h>
#include <rte_ring.h>

#include "loop_impl.h"

#define COMMANDS_MAX 64          /* commands waiting at once; more callers wait */
#define CALL_SPINS 200           /* a caller spins so often before it sleeps */
#define CALL_SLEEP_NS 20000

RTE_LOG_REGISTER_DEFAULT(phca_loop_logtype, NOTICE)
#define LOG(level, ...) rte_log(RTE_LOG_##level, phca_loop_logtype, "loop " __VA_ARGS__)

/* On the caller's stack until done is set. */
struct command {
	int (*fn)(void *arg);
	void *arg;
	int ret;
	uint32_t done;
};

static struct rte_ring *ring_new(void)
{
	size_t len = (size_t)rte_ring_get_memsize(COMMANDS_MAX);
	struct rte_ring *r = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(len));

	if (r != NULL && rte_ring_init(r, "commands", COMMANDS_MAX,
			RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		free(r);
		r = NULL;
	}
	return r;
}

static int lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc == 0) {
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
		rc = pthread_mutex_init(lock, &attr);
		pthread_mutexattr_destroy(&attr);
	}
	return -rc;
}

struct phca_loop *phca_loop_create(const char *name, struct rte_rcu_qsbr *qsbr,
		unsigned int thread_id, enum phca_idle idle)
{
	struct phca_loop *l;

	if (name == NULL || strlen(name) >= sizeof(l->name)) {
		rte_errno = EINVAL;
		return NULL;
	}
	l = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*l));
	if (l == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	memset(l, 0, sizeof(*l));
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->qsbr = qsbr;
	l->thread_id = thread_id;
	l->idle = idle;
	l->clock_scale = loop_clock_scale();
	l->commands = ring_new();
	l->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->commands == NULL || l->event_fd < 0 || l->epoll_fd < 0 ||
			phca_loop_fd_add(l, l->event_fd) != 0 || lock_init(&l->lock) != 0) {
		rte_errno = l->commands == NULL ? ENOMEM : errno;
		if (l->event_fd >= 0)
			close(l->event_fd);
		if (l->epoll_fd >= 0)
			close(l->epoll_fd);
		free(l->commands);
		free(l);
		return NULL;
	}
	return l;
}

void phca_loop_destroy(struct phca_loop *l)
{
	if (l == NULL)
		return;
	pthread_mutex_destroy(&l->lock);
	close(l->event_fd);
	close(l->epoll_fd);
	free(l->commands);
	free(l);
}

int phca_loop_add(struct phca_loop *l, const char *name, phca_turn_fn fn, void *arg)
{
	if (l->nb_turns == PHCA_LOOP_TURNS_MAX)
		return -ENOSPC;
	l->turns[l->nb_turns++] = (struct turn){ fn, arg, name };
	return 0;
}

int phca_loop_remove(struct phca_loop *l, phca_turn_fn fn, void *arg)
{
	for (unsigned int i = 0; i < l->nb_turns; i++) {
		if (l->turns[i].fn != fn || l->turns[i].arg != arg)
			continue;
		l->nb_turns--;
		memmove(&l->turns[i], &l->turns[i + 1], (l->nb_turns - i) * sizeof(l->turns[0]));
		return 0;
	}
	return -ENOENT;
}

int phca_loop_idle_add(struct phca_loop *l, phca_idle_fn fn, void *arg)
{
	if (l->nb_idles == PHCA_LOOP_TURNS_MAX)
		return -ENOSPC;
	l->idles[l->nb_idles++] = (struct idle){ fn, arg };
	return 0;
}

int phca_loop_idle_remove(struct phca_loop *l, phca_idle_fn fn, void *arg)
{
	for (unsigned int i = 0; i < l->nb_idles; i++) {
		if (l->idles[i].fn != fn || l->idles[i].arg != arg)
			continue;
		l->idles[i] = l->idles[--l->nb_idles];
		return 0;
	}
	return -ENOENT;
}

int phca_loop_fd_add(struct phca_loop *l, int fd)
{
	/* Each write is an edge: the count need not be read, which might wait for whoever else reads. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

void phca_loop_fd_remove(struct phca_loop *l, int fd)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int phca_loop_note(int fd, bool socket, const void *rec, size_t len)
{
	ssize_t n = socket ? send(fd, rec, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(fd, rec, len);

	if (n == (ssize_t)len)
		return 0;
	if (n >= 0)
		return -EMSGSIZE;
	return errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : -errno;
}

/* Between two turns, on the thread that owns the state now. */
static unsigned int commands_run(struct phca_loop *l)
{
	unsigned int n = 0;
	void *obj;

	while (rte_ring_sc_dequeue(l->commands, &obj) == 0) {
		struct command *c = obj;

		c->ret = c->fn(c->arg);
		__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE); /* the caller's stack is gone now */
		n++;
	}
	if (n > 0)
		PHCA_STAT_ADD(l->stats.commands, n);
	return n;
}

static unsigned int turns_run(struct phca_loop *l, uint64_t now_ns)
{
	unsigned int n = 0;

	l->last_ns = now_ns;
	for (unsigned int i = 0; i < l->nb_turns; i++)
		n += l->turns[i].fn(l->turns[i].arg, now_ns);
	return n;
}

/* A turn of its own, and one of each that it carries: also of those that it took in this one. */
static unsigned int turn(struct phca_loop *l, uint64_t now_ns)
{
	unsigned int n = commands_run(l);

	n += turns_run(l, now_ns);
	for (unsigned int i = 0; i < l->nb_carried; i++) {
		struct phca_loop *other = l->carried[i];

		PHCA_STAT_ADD(other->stats.carried, 1);
		/* Its own last turn may have begun after this one: its time does not go back. */
		n += turns_run(other, RTE_MAX(now_ns, other->last_ns));
	}
	PHCA_STAT_ADD(l->stats.turns, 1);
	if (n > 0)
		PHCA_STAT_ADD(l->stats.busy_turns, 1);
	return n;
}

static void run_begin(struct phca_loop *l)
{
	sigset_t pipe;

	/* A consumer that is gone is found out by the errno of phca_loop_note. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	pthread_mutex_lock(&l->lock);
	l->thread = pthread_self();
	if (l->qsbr != NULL) {
		rte_rcu_qsbr_thread_register(l->qsbr, l->thread_id);
		rte_rcu_qsbr_thread_online(l->qsbr, l->thread_id);
	}
	loop_rest_begin(l);
	__atomic_store_n(&l->running, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&l->lock);
	LOG(INFO, "%s: runs\n", l->name);
}

static void run_end(struct phca_loop *l)
{
	loop_rest_end(l);
	pthread_mutex_lock(&l->lock);
	commands_run(l);
	if (l->qsbr != NULL) {
		rte_rcu_qsbr_thread_offline(l->qsbr, l->thread_id);
		rte_rcu_qsbr_thread_unregister(l->qsbr, l->thread_id);
	}
	__atomic_store_n(&l->stop, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->running, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&l->lock);
	LOG(INFO, "%s: stopped after %" PRIu64 " turns\n", l->name, l->stats.turns);
}

int phca_loop_run(struct phca_loop *l)
{
	uint64_t tsc;

	run_begin(l);
	tsc = rte_rdtsc();
	while (__atomic_load_n(&l->stop, __ATOMIC_RELAXED) == 0) {
		unsigned int did = turn(l, loop_clock_ns(tsc, l->clock_scale));
		uint64_t before = tsc;

		if (l->qsbr != NULL)
			rte_rcu_qsbr_quiescent(l->qsbr, l->thread_id);
		if (l->idle == PHCA_IDLE_SLEEP)
			loop_rest(l, did, tsc);
		tsc = rte_rdtsc();
		if (did > 0)
			PHCA_STAT_ADD(l->stats.busy_cycles, tsc - before);
	}
	run_end(l);
	return 0;
}

void phca_loop_stop(struct phca_loop *l)
{
	__atomic_store_n(&l->stop, 1, __ATOMIC_SEQ_CST);
	loop_want(l);
}

bool phca_loop_is_running(const struct phca_loop *l)
{
	return __atomic_load_n(&l->running, __ATOMIC_ACQUIRE) != 0;
}

/* Hand over to the running loop. @return false: it does not run */
static bool command_post(struct phca_loop *l, struct command *c)
{
	const struct timespec ts = { .tv_nsec = CALL_SLEEP_NS };

	while (rte_ring_sp_enqueue(l->commands, c) != 0) {
		pthread_mutex_unlock(&l->lock);
		nanosleep(&ts, NULL);
		pthread_mutex_lock(&l->lock);
		if (l->running == 0)
			return false;
	}
	return true;
}

int phca_loop_call(struct phca_loop *l, int (*fn)(void *arg), void *arg)
{
	const struct timespec ts = { .tv_nsec = CALL_SLEEP_NS };
	struct command c = { .fn = fn, .arg = arg };
	unsigned int spins = 0;

	pthread_mutex_lock(&l->lock);
	if (l->running == 0 || pthread_equal(l->thread, pthread_self()) ||
			!command_post(l, &c)) {
		int ret = fn(arg);

		pthread_mutex_unlock(&l->lock);
		return ret;
	}
	pthread_mutex_unlock(&l->lock);
	loop_want(l);
	while (__atomic_load_n(&c.done, __ATOMIC_ACQUIRE) == 0) {
		if (++spins < CALL_SPINS)
			rte_pause();
		else
			nanosleep(&ts, NULL);
	}
	return c.ret;
}

unsigned int phca_loop_turn(struct phca_loop *l, uint64_t now_ns)
{
	unsigned int n;

	pthread_mutex_lock(&l->lock);
	n = turn(l, now_ns);
	pthread_mutex_unlock(&l->lock);
	return n;
}

void phca_loop_stats_get(const struct phca_loop *l, struct phca_loop_stats *st)
{
	st->turns = PHCA_STAT_GET(l->stats.turns);
	st->busy_turns = PHCA_STAT_GET(l->stats.busy_turns);
	st->busy_cycles = PHCA_STAT_GET(l->stats.busy_cycles);
	st->sleeps = PHCA_STAT_GET(l->stats.sleeps);
	st->wakes = PHCA_STAT_GET(l->stats.wakes);
	st->carried = PHCA_STAT_GET(l->stats.carried);
	st->commands = PHCA_STAT_GET(l->stats.commands);
}

const char *phca_loop_name(const struct phca_loop *l)
{
	return l->name;
}
