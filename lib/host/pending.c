/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that take their time: they go on in steps, between which others are served.
 *
 * Invariant: a client has one such request at most, and while it has one nothing more is
 * received from it; it is answered once, or dropped with its client.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "host_impl.h"

#define BREATH_NS 100000 /* for threads that want the mutex */
#define WAIT_NS 1000000  /* drivers are asked again so often */

static void listen_for(struct client *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(c->host->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		client_kill(c); /* it would never be heard again */
}

void pending_add(struct client *c, const struct msg *m, int how)
{
	c->pending.op = m->in.req.op;
	c->pending.seq = m->in.req.seq;
	c->pending.waits = how == WAITS;
	TAILQ_INSERT_TAIL(&c->host->pending, c, in_pending);
	listen_for(c, EPOLLRDHUP); /* and its end */
}

static void pending_remove(struct client *c)
{
	TAILQ_REMOVE(&c->host->pending, c, in_pending);
	memset(&c->pending, 0, sizeof(c->pending));
}

void pending_drop(struct client *c)
{
	if (c->pending.step == NULL)
		return;
	if (c->pending.drop != NULL)
		c->pending.drop(c);
	pending_remove(c);
}

static void step(struct client *c)
{
	struct phca_host *h = c->host;
	struct msg *m = &h->msg;
	int ret;

	message_begin(m);
	ret = c->pending.step(c, m);
	if (ret > 0) {
		c->pending.waits = ret == WAITS;
		return;
	}
	m->in.req.op = c->pending.op;
	m->in.req.seq = c->pending.seq;
	pending_remove(c);
	listen_for(c, EPOLLIN | EPOLLRDHUP);
	message_answer(c, m, ret);
}

/* One that has something to do, and all that wait for others. */
unsigned int pending_run(struct phca_host *h)
{
	unsigned int done = 0;
	bool moved = false;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&h->pending); c != NULL; c = next) {
		bool waits = c->pending.waits;

		next = TAILQ_NEXT(c, in_pending);
		if (c->dead || (!waits && moved))
			continue;
		moved |= !waits;
		step(c);
		done += !waits || c->pending.step == NULL;
		if (!waits && c->pending.step != NULL) { /* the others' turn */
			TAILQ_REMOVE(&h->pending, c, in_pending);
			TAILQ_INSERT_TAIL(&h->pending, c, in_pending);
		}
	}
	return done;
}

void pending_arm(struct phca_host *h, bool more, bool waits)
{
	struct itimerspec t = { .it_value.tv_nsec = 0 };
	const struct client *c;

	TAILQ_FOREACH(c, &h->pending, in_pending) {
		more |= !c->pending.waits;
		waits |= c->pending.waits;
	}
	if (more || waits)
		t.it_value.tv_nsec = more ? BREATH_NS : WAIT_NS;
	else if (!h->timer_armed)
		return;
	h->timer_armed = more || waits;
	(void)timerfd_settime(h->timer_fd, 0, &t, NULL); /* also: not readable any more */
}
