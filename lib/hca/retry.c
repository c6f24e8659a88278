/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending again (9.7.5.1.2, 9.9.2): when a timer says that the answer is late, or the
 * peer says what it misses, packets are sent again from there (go back N).
 *
 * A queue pair has one timer. While it waits after an RNR NAK it ends that wait,
 * else it is the local ACK timeout, armed while something is outstanding. It
 * is not disarmed by the last acknowledgement: it expires to find nothing.
 *
 * After a timeout only SLOW_WINDOW packets go out, and with each progress twice as
 * many: where the queues on the way are full, a whole window would keep them so, and
 * queue pairs would run out of tries behind copies of what others have sent before.
 *
 * Invariant: every try that is not progress costs one of retry_cnt or rnr_retry,
 * and progress, which is una_psn moving, restores both (C9-140, C9-141).
 */
#include <rte_common.h>

#include "hca_impl.h"

#define TIMER_BUDGET 256
#define RNR_RETRY_FOREVER 7
#define SLOW_WINDOW 4 /* PSNs: after a timeout */

/* Time of an RNR NAK's code, in units of 10 us (9.7.5.2.8, table 46). */
static const uint32_t rnr_10us[32] = {
	65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192,
	256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152,
};

/* Something is outstanding, and its answer should come soon. */
void requester_timer_arm(struct shard *h, struct phca_qp *qp)
{
	if (qp->timeout != 0)
		phca_timer_arm(&h->timers, &qp->req.timer, h->now_ns + (UINT64_C(4096) << qp->timeout));
}

/* From the oldest packet that is not acknowledged; a READ from where its answer stopped. */
void requester_rewind(struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	r->psn = r->una_psn;
	r->cur = r->acked;
	r->nb_rd = 0;
	r->no_ackreq = 0;
	if (r->acked != r->begun)
		sq_wr_at(r, r->acked)->again = true;
}

/* One more try, if there is one. */
void requester_again(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	if (r->retry_left == 0) {
		requester_fail(h, qp, PHCA_WC_RETRY_EXC_ERR);
		return;
	}
	r->retry_left--;
	requester_rewind(qp);
	requester_wake(h, qp);
}

/* The peer was not ready for the oldest one. */
void requester_rnr(struct shard *h, struct phca_qp *qp, unsigned int code)
{
	struct requester *r = &qp->req;

	if (r->wait == REQ_WAIT_RNR)
		return; /* it has said so before */
	if (r->rnr_left == 0) {
		requester_fail(h, qp, PHCA_WC_RNR_RETRY_EXC_ERR);
		return;
	}
	if (qp->rnr_retry != RNR_RETRY_FOREVER)
		r->rnr_left--;
	requester_rewind(qp);
	ready_remove(h, qp);
	r->wait = REQ_WAIT_RNR;
	phca_timer_arm(&h->timers, &r->timer, h->now_ns + UINT64_C(10000) * rnr_10us[code & 31]);
}

static void expired(void *arg, struct phca_timer *t)
{
	struct phca_qp *qp = container_of(t, struct phca_qp, req.timer);
	struct requester *r = &qp->req;
	struct shard *h = arg;

	if (r->wait == REQ_WAIT_RNR) {
		requester_wake(h, qp);
		return;
	}
	if (r->una_psn.v == qp->sq_psn.v || r->acked == r->begun || qp->timeout == 0)
		return;
	PHCA_STAT_ADD(qp->st.timeouts, 1);
	r->recovering = false;
	r->window = SLOW_WINDOW;
	requester_again(h, qp);
}

unsigned int requester_timers(struct shard *h)
{
	return phca_timers_run(&h->timers, h->now_ns, expired, h, TIMER_BUDGET);
}
