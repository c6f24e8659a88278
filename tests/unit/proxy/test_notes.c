/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notes for consumers of CQs in other processes: when one is written, and that
 * none is lost, against a consumer in a thread of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "phca_proxy.h"
#include "phca_test.h"

#define ROUNDS 100000
#define SIZE 64

struct cq {
	void *mem;
	struct phca_cqw w;
	struct phca_ring app;
	int fd[2]; /* consumer's, producer's */
};

static void cq_open(struct cq *c, uint32_t cqn)
{
	memset(c, 0, sizeof(*c));
	c->mem = aligned_alloc(64, phca_ring_bytes(SIZE, sizeof(struct phca_cqe)));
	CU_ASSERT_FATAL(c->mem != NULL);
	CU_ASSERT_EQUAL_FATAL(phca_ring_init(&c->w.ring, c->mem, PHCA_RING_CQ, SIZE, sizeof(struct phca_cqe)), 0);
	c->app = c->w.ring;
	c->w.noop_room = SIZE / 2;
	c->w.cqn = cqn;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, c->fd), 0);
}

static void cq_close(struct cq *c)
{
	close(c->fd[0]);
	close(c->fd[1]);
	free(c->mem);
}

/* One completion; it is visible, and told, after the turn. */
static void put(struct phca_cqws *l, struct cq *c, bool solicited, uint32_t status)
{
	struct phca_wc wc = { .status = status };

	if (phca_cqw_put(&c->w, &wc, solicited, 1) == 0)
		phca_cqws_add(l, &c->w);
}

/* @return notes that are there; all of them are taken */
static unsigned int notes(struct cq *c)
{
	struct phca_cq_note n;
	unsigned int got = 0;

	while (recv(c->fd[0], &n, sizeof(n), 0) == (ssize_t)sizeof(n)) {
		CU_ASSERT_EQUAL(n.cqn, c->w.cqn);
		CU_ASSERT_EQUAL(n.rsvd, 0);
		got++;
	}
	return got;
}

PHCA_TEST(notes, one_for_each_arm)
{
	struct phca_cqws l = { .dirty = NULL };
	struct cq c;

	cq_open(&c, 7);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 1);
	CU_ASSERT_EQUAL(notes(&c), 0); /* not armed */
	phca_cq_arm(&c.app, false);
	phca_cqws_flush(&l, 2);
	CU_ASSERT_EQUAL(notes(&c), 0); /* nothing new: whoever polls once more sees what there was */
	put(&l, &c, false, 0);
	put(&l, &c, false, 0);
	CU_ASSERT_EQUAL(notes(&c), 0); /* not visible yet */
	phca_cqws_flush(&l, 3);
	CU_ASSERT_EQUAL(notes(&c), 1);
	put(&l, &c, true, 0);
	phca_cqws_flush(&l, 4);
	CU_ASSERT_EQUAL(notes(&c), 0); /* it was for one */
	phca_cq_arm(&c.app, false);
	phca_cq_arm(&c.app, true); /* does not weaken it */
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 5);
	CU_ASSERT_EQUAL(notes(&c), 1);
	CU_ASSERT_EQUAL(c.w.notes, 2);
	cq_close(&c);
}

PHCA_TEST(notes, solicited_or_failed)
{
	struct phca_cqws l = { .dirty = NULL };
	struct cq c;

	cq_open(&c, 8);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	phca_cq_arm(&c.app, true);
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 1);
	CU_ASSERT_EQUAL(notes(&c), 0);
	put(&l, &c, true, 0);
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 2);
	CU_ASSERT_EQUAL(notes(&c), 1);
	phca_cq_arm(&c.app, true);
	put(&l, &c, false, PHCA_WC_WR_FLUSH_ERR);
	phca_cqws_flush(&l, 3);
	CU_ASSERT_EQUAL(notes(&c), 1);
	phca_cq_arm(&c.app, true);
	phca_cqw_noop(&c.w, 4);
	phca_cqws_add(&l, &c.w);
	phca_cqws_flush(&l, 4);
	CU_ASSERT_EQUAL(notes(&c), 0);
	phca_cq_arm(&c.app, false); /* stronger */
	phca_cqw_noop(&c.w, 5);
	phca_cqws_add(&l, &c.w);
	phca_cqws_flush(&l, 5);
	CU_ASSERT_EQUAL(notes(&c), 0); /* a no-op never wakes */
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 6);
	CU_ASSERT_EQUAL(notes(&c), 1);
	cq_close(&c);
}

PHCA_TEST(notes, overrun_wakes)
{
	struct phca_cqws l = { .dirty = NULL };
	struct cq c;

	cq_open(&c, 9);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	for (unsigned int i = 0; i < SIZE; i++)
		put(&l, &c, false, 0);
	phca_cqws_flush(&l, 1);
	phca_cq_arm(&c.app, true);
	CU_ASSERT_PTR_NULL(phca_cqw_next(&c.w, false, 2));
	phca_cqws_add(&l, &c.w);
	phca_cqws_flush(&l, 2);
	CU_ASSERT_EQUAL(notes(&c), 1);
	cq_close(&c);
}

/* What is armed before there is a descriptor is told when there is one. */
PHCA_TEST(notes, descriptor_comes_late_and_goes)
{
	struct phca_cqws l = { .dirty = NULL };
	struct cq c;

	cq_open(&c, 10);
	phca_cq_arm(&c.app, false);
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 1);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	CU_ASSERT_EQUAL(notes(&c), 1);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_NONE, -1);
	phca_cq_arm(&c.app, false);
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 2);
	CU_ASSERT_EQUAL(notes(&c), 0);
	cq_close(&c);
}

PHCA_TEST(notes, any_value_of_armed_is_harmless)
{
	struct phca_cqws l = { .dirty = NULL };
	uint64_t rnd = 5;
	struct cq c;

	cq_open(&c, 11);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	for (unsigned int i = 0; i < 1000; i++) {
		uint32_t armed = i < 100 ? i : (uint32_t)phca_test_rand(&rnd);
		struct phca_wc wc[4];

		c.app.hdr->armed = armed;
		put(&l, &c, false, 0);
		phca_cqws_flush(&l, i);
		CU_ASSERT_EQUAL(notes(&c), armed == PHCA_CQ_ARMED_NEXT);
		CU_ASSERT_EQUAL(phca_cq_poll(&c.app, wc, 4), 1);
	}
	cq_close(&c);
}

/* A consumer who does not read keeps its notes waiting, and nobody else's. */
PHCA_TEST(notes, full_descriptor_is_tried_again)
{
	struct phca_cqws l = { .dirty = NULL };
	unsigned int armed = 0, got = 0;
	uint64_t now = 1;
	struct phca_wc wc;
	struct cq c, other;

	cq_open(&c, 12);
	cq_open(&other, 13);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	phca_cqw_notify_set(&l, &other.w, PHCA_CQW_NOTIFY_SOCKET, other.fd[1]);
	for (; c.w.owed < 5 && armed < 100000; armed++) {
		phca_cq_arm(&c.app, false);
		put(&l, &c, false, 0);
		phca_cqws_flush(&l, now++);
		CU_ASSERT_EQUAL(phca_cq_poll(&c.app, &wc, 1), 1);
	}
	CU_ASSERT_EQUAL(c.w.owed, 5);
	phca_cq_arm(&other.app, false);
	put(&l, &other, false, 0);
	phca_cqws_flush(&l, now);
	CU_ASSERT_EQUAL(notes(&other), 1);
	for (unsigned int i = 0; i < 100 && got < armed; i++) {
		got += notes(&c);
		now += 1000000;
		phca_cqws_flush(&l, now);
	}
	CU_ASSERT_EQUAL(got, armed); /* one each, none lost */
	CU_ASSERT_EQUAL(c.w.owed, 0);
	CU_ASSERT_PTR_NULL(l.owing);
	cq_close(&c);
	cq_close(&other);
}

/* One that owes notes can go: to another owner, or for good. */
PHCA_TEST(notes, those_that_are_owed_move_and_are_forgotten)
{
	struct phca_cqws l = { .dirty = NULL }, m = { .dirty = NULL };
	struct phca_wc wc;
	struct cq c[3];

	for (unsigned int i = 0; i < 3; i++) {
		cq_open(&c[i], i);
		phca_cqw_notify_set(&l, &c[i].w, PHCA_CQW_NOTIFY_SOCKET, c[i].fd[1]);
		while (c[i].w.owed == 0) {
			phca_cq_arm(&c[i].app, false);
			put(&l, &c[i], false, 0);
			phca_cqws_flush(&l, 1);
			CU_ASSERT_EQUAL_FATAL(phca_cq_poll(&c[i].app, &wc, 1), 1);
		}
	}
	phca_cqws_leave(&l, &c[2].w);
	phca_cqws_leave(&l, &c[2].w);
	phca_cqws_adopt(&m, &c[2].w);
	phca_cqws_adopt(&m, &c[2].w);
	phca_cqw_notify_set(&l, &c[0].w, PHCA_CQW_NOTIFY_NONE, -1);
	CU_ASSERT_PTR_EQUAL(l.owing, &c[1].w);
	CU_ASSERT_PTR_EQUAL(l.owing_last, &c[1].w);
	phca_cqw_notify_set(&l, &c[1].w, PHCA_CQW_NOTIFY_NONE, -1);
	CU_ASSERT_PTR_NULL(l.owing);
	CU_ASSERT(notes(&c[2]) > 0);
	phca_cqws_flush(&m, 1000000000);
	CU_ASSERT_EQUAL(notes(&c[2]), 1);
	CU_ASSERT_PTR_NULL(m.owing);
	for (unsigned int i = 0; i < 3; i++)
		cq_close(&c[i]);
}

/* Who reads is gone: nothing is owed, nobody is signalled. */
PHCA_TEST(notes, consumer_that_is_gone)
{
	struct phca_cqws l = { .dirty = NULL };
	struct cq c;

	cq_open(&c, 14);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	close(c.fd[0]);
	phca_cq_arm(&c.app, false);
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 1);
	CU_ASSERT_EQUAL(c.w.owed, 0);
	CU_ASSERT_EQUAL(c.w.notes, 0);
	c.fd[0] = dup(c.fd[1]);
	cq_close(&c);
}

/* A pipe will do where the consumer is trusted. */
PHCA_TEST(notes, pipe)
{
	struct phca_cqws l = { .dirty = NULL };
	struct phca_cq_note n;
	struct cq c;
	int p[2];

	cq_open(&c, 15);
	CU_ASSERT_EQUAL_FATAL(pipe2(p, O_NONBLOCK), 0);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_PIPE, p[1]);
	phca_cq_arm(&c.app, false);
	put(&l, &c, false, 0);
	phca_cqws_flush(&l, 1);
	CU_ASSERT_EQUAL(read(p[0], &n, sizeof(n)), (ssize_t)sizeof(n));
	CU_ASSERT_EQUAL(n.cqn, 15);
	close(p[0]);
	close(p[1]);
	cq_close(&c);
}

/* A CQ goes on in another ring: armed as it was; what came before its consumer knew is told. */
PHCA_TEST(notes, move_to_another_ring)
{
	struct phca_cqws l = { .dirty = NULL };
	struct phca_ring_hdr *old;
	struct cq c, d;

	cq_open(&c, 17);
	cq_open(&d, 0);
	phca_cqw_notify_set(&l, &c.w, PHCA_CQW_NOTIFY_SOCKET, c.fd[1]);
	old = c.app.hdr;
	phca_cq_arm(&c.app, true);
	phca_cqw_move(&c.w, &d.app, 8);
	CU_ASSERT_EQUAL(old->armed, 0);
	CU_ASSERT_EQUAL(d.app.hdr->armed, PHCA_CQ_ARMED_SOLICITED);
	put(&l, &c, true, 0);
	phca_cqws_flush(&l, 1);
	CU_ASSERT_EQUAL(notes(&c), 1);
	CU_ASSERT_EQUAL(phca_ring_avail_fresh(&d.app), 1);
	CU_ASSERT_EQUAL(phca_ring_avail_fresh(&c.app), 0);
	phca_cqw_moved(&l, &c.w, old);
	CU_ASSERT_EQUAL(notes(&c), 0); /* not armed */
	phca_cq_arm(&c.app, false); /* the ring that it knew */
	phca_cqw_moved(&l, &c.w, old);
	CU_ASSERT_EQUAL(notes(&c), 1);
	old->armed = 77; /* nonsense */
	phca_cqw_moved(&l, &c.w, old);
	CU_ASSERT_EQUAL(notes(&c), 0);
	CU_ASSERT_EQUAL(d.app.hdr->armed, 0);
	cq_close(&c);
	cq_close(&d);
}

struct race {
	struct cq c;
	uint64_t seen, woken, early;
	bool lost;
};

/* Poll until empty, arm, poll once more, sleep: a completion that does not wake it is lost. */
static void *consumer(void *arg)
{
	struct race *r = arg;
	struct phca_wc wc[8];

	while (r->seen < ROUNDS) {
		struct pollfd p = { .fd = r->c.fd[0], .events = POLLIN };
		int n = phca_cq_poll(&r->c.app, wc, 8);

		if (n == 0) {
			phca_cq_arm(&r->c.app, false);
			n = phca_cq_poll(&r->c.app, wc, 8);
		}
		if (n > 0) {
			__atomic_store_n(&r->seen, r->seen + (unsigned int)n, __ATOMIC_RELEASE);
			continue;
		}
		if (poll(&p, 1, 20000) != 1) {
			r->lost = true;
			break;
		}
		r->woken += notes(&r->c);
	}
	__atomic_store_n(&r->seen, ROUNDS, __ATOMIC_RELEASE);
	return NULL;
}

PHCA_TEST(notes, none_is_lost_against_a_thread)
{
	static struct race r;
	struct phca_cqws l = { .dirty = NULL };
	uint64_t rnd = 9, sent = 0;
	pthread_t t;

	cq_open(&r.c, 16);
	phca_cqw_notify_set(&l, &r.c.w, PHCA_CQW_NOTIFY_SOCKET, r.c.fd[1]);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, consumer, &r), 0);
	while (sent < ROUNDS) {
		uint64_t seen = __atomic_load_n(&r.seen, __ATOMIC_ACQUIRE);
		unsigned int n = 1 + (unsigned int)(phca_test_rand(&rnd) >> 20) % 3;

		if (seen >= ROUNDS)
			break;
		/* mostly wait until it has all, so that it goes to sleep again and again */
		if (sent - seen > ((phca_test_rand(&rnd) >> 20) % 16 == 0 ? SIZE / 2 : 0)) {
			phca_cqws_flush(&l, sent * 1000000);
			continue;
		}
		/* it may be anywhere between its look and its sleep */
		for (unsigned int spin = (unsigned int)(phca_test_rand(&rnd) >> 20) % 256; spin > 0; spin--)
			__asm__ volatile("" : : : "memory");
		for (; n > 0 && sent < ROUNDS; n--, sent++)
			put(&l, &r.c, false, 0);
		phca_cqws_flush(&l, sent * 1000000);
	}
	pthread_join(t, NULL);
	CU_ASSERT_FALSE(r.lost);
	CU_ASSERT_EQUAL(sent, ROUNDS);
	CU_ASSERT_EQUAL(r.c.w.lost, 0);
	CU_ASSERT(r.woken + notes(&r.c) == r.c.w.notes && r.woken > 0);
	cq_close(&r.c);
}
