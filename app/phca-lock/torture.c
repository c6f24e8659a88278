/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * phca-lock torture: sessions that ask at random, ordinary messages in between, and a
 * history of it, which tests/system/lib/locks.py checks.
 *
 * A line a request when it is asked, and one when it is answered, written before anything
 * is sent that could depend on it, so that a killed program has written what it did:
 *
 *   ask CONN SESSION ID NS OP MODE LOCK WAIT_US
 *   ans CONN SESSION ID NS OP STATUS MODE LOCK TOKEN COUNT
 *   end CONN NS
 *
 * A session that was answered `deadlock` gives back all that it has. Invariant: a session has
 * one request at a time, but for an unlock while it waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define SESSIONS_MAX 64
#define HELD_MAX 3
#define LOG_BYTES 65536
#define ECHO_MAX 512

struct session {
	uint64_t id, cancel_id; /* of requests without an answer; 0: none */
	uint64_t due_ns;        /* when it goes on */
	uint32_t held[HELD_MAX], nb_held, wants;
	bool release;
};

struct runner {
	struct link l;
	const struct options *o;
	uint32_t index, nb_sessions;
	uint64_t random, now_ns;
	struct session s[SESSIONS_MAX];
	uint64_t echo_sent, echo_got, answers;
	bool ending;
};

static int log_fd = -1;
static char log_buf[LOG_BYTES];
static size_t log_n;

static void log_flush(void)
{
	if (log_n > 0 && log_fd >= 0 && write(log_fd, log_buf, log_n) != (ssize_t)log_n)
		fail("the history cannot be written: %s", strerror(errno));
	log_n = 0;
}

static void log_line(const char *what, ...) __attribute__((format(printf, 1, 2)));
static void log_line(const char *what, ...)
{
	va_list args;

	if (log_n + 256 > LOG_BYTES)
		log_flush();
	va_start(args, what);
	log_n += (size_t)vsnprintf(log_buf + log_n, 256, what, args);
	va_end(args);
}

static uint32_t below(struct runner *r, uint32_t n)
{
	uint64_t z = r->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

/* ---------------------------------------------------------------- ordinary messages */

static uint32_t echo_fill(const struct runner *r, uint64_t n, uint8_t *to)
{
	uint32_t len = 16 + (uint32_t)(n * 37 % (ECHO_MAX - 16));

	memset(to, (int)(n * 7 + r->index), len);
	memcpy(to, &n, sizeof(n));
	return len;
}

static void other(void *arg, const void *data, uint32_t len)
{
	struct runner *r = arg;
	uint8_t want[ECHO_MAX];

	if (len != echo_fill(r, r->echo_got, want) || memcmp(data, want, len) != 0)
		fail("connection %u: echo %" PRIu64 " is not what was sent", r->index, r->echo_got);
	r->echo_got++;
}

static void echo_some(struct runner *r)
{
	uint8_t message[ECHO_MAX];

	if (r->ending || r->echo_sent - r->echo_got >= CLIENT_EXTRA / 2 || below(r, 4) != 0)
		return;
	if (phca_lock_client_send(r->l.c, message, echo_fill(r, r->echo_sent, message)) == 0)
		r->echo_sent++;
}

/* ---------------------------------------------------------------- requests */

static uint64_t ask(struct runner *r, uint32_t i, enum phca_lock_op op, enum phca_lock_mode mode, uint32_t lock,
		uint32_t wait_us)
{
	const struct phca_lock_ask a = { .op = op, .mode = mode, .session = i, .lock = lock, .wait_us = wait_us };
	uint64_t id;

	if (phca_lock_client_ask(r->l.c, &a, &id) != 0)
		return 0;
	log_line("ask %u %u %" PRIu64 " %" PRIu64 " %s %u %u %u\n", r->index, i, id, now_ns(), phca_lock_op_str(op),
		mode, lock, wait_us);
	return id;
}

static void forget(struct session *s, uint32_t lock)
{
	for (uint32_t k = 0; k < s->nb_held; k++) {
		if (s->held[k] == lock) {
			s->held[k] = s->held[--s->nb_held];
			return;
		}
	}
}

/* What a session does when it is free to. */
static void next_step(struct runner *r, uint32_t i)
{
	struct session *s = &r->s[i];
	enum phca_lock_mode mode = below(r, 2) != 0 ? PHCA_LOCK_SHARED : PHCA_LOCK_EXCLUSIVE;
	uint32_t what = below(r, 16), lock = r->o->first + below(r, r->o->nb_locks);

	if (r->ending || s->release || what == 0) {
		if (r->ending && s->nb_held == 0 && !s->release)
			return;
		s->id = ask(r, i, PHCA_LOCK_OP_RELEASE, 0, 0, 0);
	} else if (s->nb_held == HELD_MAX || (s->nb_held > 0 && what < 7)) {
		s->id = ask(r, i, PHCA_LOCK_OP_UNLOCK, 0, s->held[below(r, s->nb_held)], 0);
	} else if (what == 7) {
		s->id = ask(r, i, PHCA_LOCK_OP_QUERY, 0, lock, 0);
	} else if (what < 11) {
		s->id = ask(r, i, PHCA_LOCK_OP_TRY, mode, lock, 0);
	} else {
		s->id = ask(r, i, PHCA_LOCK_OP_LOCK, mode, lock, below(r, 3) != 0 ? 1 + below(r, 30000) : 0);
		s->wants = lock;
	}
}

static void after(struct runner *r, struct session *s, const struct phca_lock_answer *a)
{
	switch (a->status) {
	case PHCA_LOCK_GRANTED:
		s->held[s->nb_held++] = a->lock;
		break;
	case PHCA_LOCK_OK:
		if (a->op == PHCA_LOCK_OP_UNLOCK)
			forget(s, a->lock);
		if (a->op == PHCA_LOCK_OP_RELEASE) {
			s->nb_held = 0;
			s->release = false;
		}
		break;
	case PHCA_LOCK_DEADLOCK:
	case PHCA_LOCK_LIMIT:
		s->release = true;
		break;
	case PHCA_LOCK_BUSY:
	case PHCA_LOCK_TIMEOUT:
	case PHCA_LOCK_CANCELLED:
		break;
	default:
		fail("session: %s of lock %u: %s", phca_lock_op_str(a->op), a->lock, phca_lock_status_str(a->status));
	}
	s->due_ns = r->now_ns + below(r, 4) * 100000;
}

static void done(void *arg, const struct phca_lock_answer *a)
{
	struct runner *r = arg;

	for (uint32_t i = 0; i < r->nb_sessions; i++) {
		struct session *s = &r->s[i];

		if (s->id != a->id && s->cancel_id != a->id)
			continue;
		log_line("ans %u %u %" PRIu64 " %" PRIu64 " %s %u %u %u %" PRIu64 " %u\n", r->index, i, a->id, now_ns(),
			phca_lock_op_str(a->op), a->status, a->mode, a->lock, a->token, a->count);
		r->answers++;
		if (s->id == a->id) {
			s->id = 0;
			after(r, s, a);
		} else {
			s->cancel_id = 0;
			if (a->status == PHCA_LOCK_OK && s->id == 0) /* it was granted before: that was a real unlock */
				forget(s, a->lock);
		}
		return;
	}
	fail("connection %u: an answer to %" PRIu64 ", which was not asked or is answered", r->index, a->id);
}

/* One that waits may change its mind. */
static void impatient(struct runner *r, uint32_t i)
{
	struct session *s = &r->s[i];

	if (s->wants == UINT32_MAX || s->cancel_id != 0 || below(r, 2000) != 0)
		return;
	s->cancel_id = ask(r, i, PHCA_LOCK_OP_UNLOCK, 0, s->wants, 0);
	if (s->cancel_id != 0)
		s->wants = UINT32_MAX;
}

static bool go(struct runner *r, bool ending)
{
	bool busy = false;

	r->now_ns = now_ns();
	r->ending = ending;
	link_poll(&r->l);
	for (uint32_t i = 0; i < r->nb_sessions; i++) {
		struct session *s = &r->s[i];

		if (s->id == 0 && s->cancel_id == 0 && (ending || s->due_ns <= r->now_ns)) {
			s->wants = UINT32_MAX;
			next_step(r, i);
		} else if (s->id != 0 && !ending) {
			impatient(r, i);
		}
		busy |= s->id != 0 || s->cancel_id != 0 || s->nb_held > 0 || s->release;
	}
	log_flush();
	link_flush(&r->l);
	echo_some(r);
	return busy || r->echo_got != r->echo_sent;
}

static void open_runner(struct runner *r, struct device *d, const struct options *o, uint32_t index)
{
	struct phca_lock_client_conf conf = { .done = done, .other = other, .arg = r };

	r->o = o;
	r->index = index;
	r->nb_sessions = o->depth != 0 ? o->depth : 8;
	if (r->nb_sessions > SESSIONS_MAX)
		fail("-q %u: torture has %u sessions at most", o->depth, SESSIONS_MAX);
	conf.depth = 2 * r->nb_sessions;
	r->random = o->seed * 1000 + index;
	for (uint32_t i = 0; i < r->nb_sessions; i++)
		r->s[i].wants = UINT32_MAX;
	link_open(&r->l, d, o, &conf);
	if (r->l.nb_locks < o->first + o->nb_locks)
		fail("locks %u to %u: the table has %u; use -n", o->first, o->first + o->nb_locks - 1, r->l.nb_locks);
}

int do_torture(const struct options *o)
{
	struct runner *all = calloc(o->clients, sizeof(*all));
	const uint64_t end = now_ns() + (uint64_t)(o->seconds * 1e9);
	uint64_t answers = 0, echoes = 0;
	struct device d;
	bool busy;

	if (all == NULL)
		fail("no memory");
	if (o->file != NULL) {
		log_fd = open(o->file, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0666);
		if (log_fd < 0)
			fail("%s: %s", o->file, strerror(errno));
	}
	device_open(&d, o);
	for (uint32_t i = 0; i < o->clients; i++)
		open_runner(&all[i], &d, o, i);
	do {
		bool ending = stop || now_ns() >= end;

		busy = !ending;
		for (uint32_t i = 0; i < o->clients; i++)
			busy |= go(&all[i], ending);
		sched_yield();
	} while (busy);
	for (uint32_t i = 0; i < o->clients; i++) {
		log_line("end %u %" PRIu64 "\n", i, now_ns());
		answers += all[i].answers;
		echoes += all[i].echo_got;
		link_close(&all[i].l);
	}
	log_flush();
	printf("requests %" PRIu64 ", all answered once; messages %" PRIu64 ", all echoed in order\n", answers, echoes);
	free(all);
	device_close(&d);
	return 0;
}
