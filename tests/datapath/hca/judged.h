/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A judge in front of an RC queue pair whose peer the test plays: what the tests of
 * passed messages begin and end with.
 */
#ifndef JUDGED_H
#define JUDGED_H

#include "judge.h"
#include "rc_peer.h"

struct fx {
	struct rc c;
	struct judge *j;
};

/* lo, nb_recv: as of rc_open. answers: READs and atomics are judged, too. */
static inline struct fx fx_open(const struct lab_opts *lo, unsigned int nb_recv, bool answers)
{
	struct fx x = { .c = rc_open(lo, nb_recv) };

	x.j = judge_open(x.c.l, answers);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.c.q.qp, x.j->rule, 1u + answers, 0) == 0);
	return x;
}

/* Nothing that the peer was not asked about is left. */
static inline void fx_close(struct fx *x)
{
	rc_expect_nothing(&x->c);
	lab_qp_free(x->c.l, &x->c.q);
	judge_close(x->j);
	lab_close(x->c.l);
}

/* A receive of so many bytes with this key. */
static inline void fx_post(struct fx *x, uint32_t len, uint32_t lkey)
{
	struct phca_sge sge = { (uintptr_t)lab_buf(&x->c.q, x->c.q.next_id), len, lkey };
	struct phca_recv_wr wr = { x->c.q.next_id++, &sge, 1 };

	CU_ASSERT_EQUAL(phca_post_recv(x->c.q.qp, &wr, 1), 1);
}

#endif
