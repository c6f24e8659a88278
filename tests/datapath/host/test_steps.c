/* SPDX-License-Identifier: BSD-3-Clause */
/* Large memory is registered in steps: other clients are served between them, and each step can be the last. */
#include <errno.h>
#include <poll.h>

#include "rig.h"

#define MIB (UINT64_C(1) << 20)
#define LARGE (130 * MIB) /* 64 MiB a step: three */

struct two {
	struct rig *r;
	struct peer p, other;
};

static void two_open(struct two *t)
{
	t->r = rig_open(NULL);
	peer_open(t->r, &t->p);
	peer_open(t->r, &t->other);
	CU_ASSERT_EQUAL(peer_call(&t->p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	CU_ASSERT_EQUAL(peer_share(&t->p), 0);
}

static void two_close(struct two *t)
{
	peer_close(&t->p);
	peer_close(&t->other);
	CU_ASSERT_EQUAL(t->r->gone, 2);
	rig_close(t->r);
}

static void ask_large(struct two *t)
{
	struct {
		struct phca_admin_mr_reg r;
		struct phca_admin_seg s;
	} u = {
		{ .addr = RIG_VA, .length = LARGE, .iova = RIG_VA, .pd = 0, .access = 0xf, .nb_segs = 1 },
		{ .va = RIG_VA, .length = LARGE, .kind = PHCA_ADMIN_SEG_SWAP, .writable = 1 },
	};

	peer_ask(&t->p, PHCA_ADMIN_MR_REG, &u, sizeof(u));
}

/* One look at the sockets, with a request of the other client there. @return whether that was answered */
static bool other_served(struct two *t)
{
	peer_ask(&t->other, PHCA_ADMIN_CLOCK, NULL, 0);
	phca_host_poll(t->r->host);
	return peer_answer(&t->other) == 0;
}

PHCA_TEST(steps, others_are_served_between_them)
{
	struct two t;
	unsigned int n = 0;

	two_open(&t);
	ask_large(&t);
	while (n < 100 && other_served(&t) && peer_answer(&t.p) == -EAGAIN)
		n++;
	CU_ASSERT(n >= 2 && n < 100);
	CU_ASSERT_EQUAL(t.p.ans.op, PHCA_ADMIN_MR_REG);
	CU_ASSERT_EQUAL(t.p.ans.status, 0);
	CU_ASSERT_EQUAL(t.p.ans.seq, t.p.seq);
	CU_ASSERT_EQUAL(t.p.ans_len, phca_admin_ans_len(PHCA_ADMIN_MR_REG));
	CU_ASSERT_EQUAL(phca_mem_nb_mr(t.r->lab->mem), 1);
	CU_ASSERT_EQUAL(rig_stats(t.r).mem_bytes, LARGE);
	CU_ASSERT_EQUAL(peer_handle(&t.p, PHCA_ADMIN_MR_DEREG, t.p.ans.u.handle[0]), 0);
	two_close(&t);
}

/* The server says when it wants to be called again; a client's next request waits for the answer to the last. */
PHCA_TEST(steps, go_on_without_anybody_asking)
{
	struct two t;
	struct pollfd pfd = { .events = POLLIN };

	two_open(&t);
	pfd.fd = phca_host_fd(t.r->host);
	ask_large(&t);
	phca_host_poll(t.r->host);
	CU_ASSERT_EQUAL(peer_answer(&t.p), -EAGAIN);
	peer_ask(&t.p, PHCA_ADMIN_CLOCK, NULL, 0);
	for (unsigned int i = 0; i < 100 && peer_answer(&t.p) == -EAGAIN; i++) {
		CU_ASSERT_EQUAL(poll(&pfd, 1, -1), 1);
		phca_host_poll(t.r->host);
	}
	CU_ASSERT_EQUAL(t.p.ans.op, PHCA_ADMIN_MR_REG);
	CU_ASSERT_EQUAL(t.p.ans.status, 0);
	rig_poll(t.r);
	CU_ASSERT_EQUAL(peer_answer(&t.p), 0);
	CU_ASSERT_EQUAL(t.p.ans.op, PHCA_ADMIN_CLOCK);
	CU_ASSERT_EQUAL(poll(&pfd, 1, 0), 0); /* nothing is due any more */
	two_close(&t);
}

PHCA_TEST(steps, end_of_a_client_between_them)
{
	struct two t;

	for (unsigned int steps = 1; steps <= 2; steps++) {
		two_open(&t);
		ask_large(&t);
		for (unsigned int i = 0; i < steps; i++)
			CU_ASSERT(other_served(&t));
		CU_ASSERT_EQUAL(peer_answer(&t.p), -EAGAIN);
		two_close(&t); /* asserts that nothing is left */
	}
}
