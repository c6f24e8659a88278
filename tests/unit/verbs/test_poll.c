/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Polling: what the HCA wrote is what is returned, each once; which requests count as
 * done after each completion, against a model; flushes when the appliance is gone.
 */
#include "verbs_fixture.h"

#define QPN 0x21u

static struct fix *f;
static struct fix_cq *cq;
static struct fix_qp *qp;

static void open_depth(uint32_t depth)
{
	f = fix_open();
	cq = fix_cq(f, 1, 64);
	qp = fix_qp(f, QPN, IBV_QPT_RC, cq, cq, depth);
}

static void shut(void)
{
	fix_qp_free(f, qp);
	fix_cq_free(f, cq);
	fix_close(f);
}

static int poll_one(struct ibv_wc *wc)
{
	memset(wc, 0x5a, sizeof(*wc));
	return vcq_poll(&cq->v.cq, 1, wc);
}

static int send(struct fix_qp *q, uint64_t wr_id, bool signaled)
{
	struct ibv_send_wr *bad, wr = {
		.wr_id = wr_id, .opcode = IBV_WR_SEND, .send_flags = signaled ? IBV_SEND_SIGNALED : 0,
	};

	return vqp_post_send(&q->v.qp, &wr, &bad);
}

static int recv_one(struct fix_qp *q, uint64_t wr_id)
{
	struct ibv_recv_wr *bad, wr = { .wr_id = wr_id };

	return vqp_post_recv(&q->v.qp, &wr, &bad);
}

static uint32_t outstanding(const struct vshadow *s)
{
	return s->head - atomic_load(&s->tail);
}

PHCA_TEST(poll, completion_as_it_was_written)
{
	struct phca_cqe *e;
	struct ibv_wc wc;

	open_depth(4);
	CU_ASSERT_EQUAL(poll_one(&wc), 0);
	e = hca_cqe(cq, QPN, 0x1111222233334444, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	e->wc.vendor_err = 5;
	e->wc.byte_len = 6;
	e->wc.imm = 7;
	e->wc.src_qp = 8;
	e->wc.wc_flags = PHCA_WC_F_GRH | PHCA_WC_F_WITH_IMM;
	e->wc.pkey_index = 9;
	e->wc.slid = 10;
	e->wc.sl = 11;
	e->wc.dlid_path_bits = 12;
	CU_ASSERT_EQUAL(poll_one(&wc), 1);
	CU_ASSERT_EQUAL(wc.wr_id, 0x1111222233334444);
	CU_ASSERT_EQUAL(wc.status, IBV_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.opcode, IBV_WC_RECV);
	CU_ASSERT_EQUAL(wc.vendor_err, 5);
	CU_ASSERT_EQUAL(wc.byte_len, 6);
	CU_ASSERT_EQUAL(wc.imm_data, 7);
	CU_ASSERT_EQUAL(wc.qp_num, QPN);
	CU_ASSERT_EQUAL(wc.src_qp, 8);
	CU_ASSERT_EQUAL(wc.wc_flags, IBV_WC_GRH | IBV_WC_WITH_IMM);
	CU_ASSERT_EQUAL(wc.pkey_index, 9);
	CU_ASSERT_EQUAL(wc.slid, 10);
	CU_ASSERT_EQUAL(wc.sl, 11);
	CU_ASSERT_EQUAL(wc.dlid_path_bits, 12);
	CU_ASSERT_EQUAL(poll_one(&wc), 0);
	shut();
}

PHCA_TEST(poll, noops_are_skipped_and_slots_given_back)
{
	struct ibv_wc wc[64];
	uint64_t want = 0, put = 0;

	open_depth(4);
	fix_ring_at(&cq->v.ring, &cq->ring, UINT32_MAX - 5);
	for (unsigned int round = 0; round < 40; round++) {
		int n;

		for (unsigned int i = 0; i < 48; i++)
			if (i % 3 == 0)
				hca_cqe(cq, QPN, put++, PHCA_WC_SUCCESS, PHCA_WC_RECV);
			else
				hca_cqe(cq, QPN, 999, PHCA_WC_SUCCESS, PHCA_WC_RECV)->flags = PHCA_CQE_NOOP;
		n = vcq_poll(&cq->v.cq, 5, wc);
		CU_ASSERT_EQUAL(n, 5);
		n += vcq_poll(&cq->v.cq, 60, wc + 5);
		CU_ASSERT_EQUAL(n, 16);
		for (int i = 0; i < n; i++)
			CU_ASSERT_EQUAL(wc[i].wr_id, want + (unsigned int)i);
		want += 16;
		CU_ASSERT_EQUAL(phca_ring_free(&cq->ring, 64), 64);
	}
	shut();
}

PHCA_TEST(poll, corrupt_ring_is_an_error)
{
	struct ibv_wc wc;

	open_depth(4);
	cq->ring.hdr->prod = 1000;
	CU_ASSERT(poll_one(&wc) < 0);
	shut();
}

PHCA_TEST(poll, ring_before_a_resize_comes_first)
{
	struct phca_ring next, hca;
	struct ibv_wc wc[4];

	open_depth(4);
	hca_cqe(cq, QPN, 1, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	hca_cqe(cq, QPN, 2, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	fix_ring(&next, &hca, PHCA_RING_CQ, 128, sizeof(struct phca_cqe));
	cq->v.old = cq->v.ring;
	cq->v.ring = next;
	cq->ring = hca;
	hca_cqe(cq, QPN, 3, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 1, wc), 1);
	CU_ASSERT_EQUAL(wc[0].wr_id, 1);
	next = cq->v.old;
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 4, wc), 2);
	CU_ASSERT_EQUAL(wc[0].wr_id, 2);
	CU_ASSERT_EQUAL(wc[1].wr_id, 3);
	CU_ASSERT_PTR_NULL(cq->v.old.hdr);
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 4, wc), 0);
	free(next.hdr);
	shut();
}

PHCA_TEST(poll, receives_count_one_by_one)
{
	struct ibv_wc wc;

	open_depth(4);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(recv_one(qp, i), 0);
	hca_cqe(cq, QPN, 0, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	hca_cqe(cq, QPN, 1, PHCA_WC_LOC_LEN_ERR, PHCA_WC_RECV_RDMA_WITH_IMM);
	CU_ASSERT_EQUAL(poll_one(&wc), 1);
	CU_ASSERT_EQUAL(outstanding(&qp->v.rsh), 2);
	CU_ASSERT_EQUAL(poll_one(&wc), 1);
	CU_ASSERT_EQUAL(wc.status, IBV_WC_LOC_LEN_ERR);
	CU_ASSERT_EQUAL(outstanding(&qp->v.rsh), 1);
	CU_ASSERT_EQUAL(outstanding(&qp->v.ssh), 0);
	shut();
}

/* One too many, and one of a QP that is none: no harm. */
PHCA_TEST(poll, completions_of_nothing)
{
	struct ibv_wc wc;

	open_depth(4);
	hca_cqe(cq, QPN, 0, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	hca_cqe(cq, QPN, 0, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	hca_cqe(cq, QPN, 0, PHCA_WC_WR_FLUSH_ERR, PHCA_WC_SEND);
	hca_cqe(cq, 0xabcdef, 0, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	hca_cqe(cq, UINT32_MAX, 0, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	for (unsigned int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(poll_one(&wc), 1);
	CU_ASSERT_EQUAL(outstanding(&qp->v.ssh), 0);
	CU_ASSERT_EQUAL(outstanding(&qp->v.rsh), 0);
	shut();
}

/*
 * Against a model that knows which request each completion is of: random signaling,
 * posts, completions and polls, then a failure somewhere and flushes.
 */
struct model {
	uint64_t id[4096];
	bool signaled[4096];
	uint32_t posted, done, polled; /* polled: those before it are done as far as was polled */
	uint32_t cqe_of[4096];         /* request of the n-th completion */
	uint32_t nb_cqe, nb_polled;
};

static void model_post(struct model *m, uint64_t *seed, unsigned int ids)
{
	uint64_t id = ids != 0 ? phca_test_rand(seed) % ids : m->posted;
	bool sig = phca_test_rand(seed) % 4 == 0;
	int ret = send(qp, id, sig);

	if (m->posted - m->polled == 16) {
		CU_ASSERT_EQUAL(ret, ENOMEM);
		return;
	}
	CU_ASSERT_EQUAL(ret, 0);
	m->id[m->posted] = id;
	m->signaled[m->posted++] = sig;
}

static void model_complete(struct model *m, uint32_t status)
{
	if (m->done == m->posted)
		return;
	CU_ASSERT_PTR_NOT_NULL(hca_send(qp));
	if (m->signaled[m->done] || status != PHCA_WC_SUCCESS) {
		hca_cqe(cq, QPN, m->id[m->done], status, PHCA_WC_SEND);
		m->cqe_of[m->nb_cqe++] = m->done;
	}
	m->done++;
}

static void model_poll(struct model *m)
{
	struct ibv_wc wc;
	int n = poll_one(&wc);

	CU_ASSERT_EQUAL(n, m->nb_polled != m->nb_cqe);
	if (n != 1)
		return;
	m->polled = m->cqe_of[m->nb_polled++] + 1;
	CU_ASSERT_EQUAL(wc.wr_id, m->id[m->polled - 1]);
}

static void model_run(struct model *m, uint64_t seed, unsigned int ids)
{
	memset(m, 0, sizeof(*m));
	for (unsigned int i = 0; i < 3000; i++) {
		unsigned int r = phca_test_rand(&seed) % 8;

		if (r < 4)
			model_post(m, &seed, ids);
		else if (r < 6)
			model_complete(m, PHCA_WC_SUCCESS);
		else
			model_poll(m);
		CU_ASSERT_EQUAL(outstanding(&qp->v.ssh), m->posted - m->polled);
		if (m->posted - m->polled == 16 && m->done == m->posted && m->nb_polled == m->nb_cqe)
			break; /* all unsignaled: stuck, as it has to be */
	}
	model_complete(m, PHCA_WC_RETRY_EXC_ERR);
	while (m->done != m->posted)
		model_complete(m, PHCA_WC_WR_FLUSH_ERR);
}

PHCA_TEST(poll, unsignaled_requests_against_a_model)
{
	static struct model m;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		open_depth(16);
		fix_ring_at(&qp->v.sq, &qp->sq, 0);
		model_run(&m, seed, 0);
		while (m.nb_polled != m.nb_cqe) {
			model_poll(&m);
			CU_ASSERT_EQUAL(outstanding(&qp->v.ssh), m.posted - m.polled);
		}
		CU_ASSERT(!atomic_load(&qp->v.ssh.inexact));
		shut();
	}
}

/* With few wr_ids it cannot be told which failed; the queue is never taken for emptier than it is. */
PHCA_TEST(poll, failures_with_equal_ids)
{
	static struct model m;
	unsigned int inexact = 0;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct ibv_wc wc[32];
		unsigned int left, room;
		bool lost;

		open_depth(16);
		model_run(&m, seed, 1 + seed % 3);
		while (m.nb_polled != m.nb_cqe) {
			model_poll(&m);
			CU_ASSERT(outstanding(&qp->v.ssh) >= m.posted - m.polled);
		}
		left = m.posted - m.polled;
		lost = outstanding(&qp->v.ssh) != left;
		inexact += lost;
		CU_ASSERT(atomic_load(&qp->v.ssh.inexact) || !lost);
		/* the HCA let go of all: the queue can be filled again, and a dead appliance leaves just that */
		room = 16 - (lost ? 0 : left);
		for (unsigned int i = 0; i < room; i++)
			CU_ASSERT_EQUAL(send(qp, 70 + i, false), 0);
		CU_ASSERT(lost || send(qp, 0, false) == ENOMEM);
		atomic_store(&f->ctx.dead, true);
		CU_ASSERT_EQUAL_FATAL(vcq_poll(&cq->v.cq, 32, wc), 16);
		for (unsigned int i = 0; i < room; i++)
			CU_ASSERT_EQUAL(wc[16 - room + i].wr_id, 70 + i);
		CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 32, wc), 0);
		shut();
	}
	CU_ASSERT(inexact > 0);
}

/* ------------------------------------------------------------------- flushes */

PHCA_TEST(poll, dead_appliance_flushes_each_request_once)
{
	struct fix_qp *other;
	struct fix_cq *rcq;
	struct ibv_wc wc[32];
	uint64_t next_send = 2, next_recv = 100;
	int n, sends = 0, recvs = 0, others = 0;

	open_depth(8);
	rcq = fix_cq(f, 2, 64);
	other = fix_qp(f, QPN + 1, IBV_QPT_RC, cq, rcq, 8);
	for (unsigned int i = 0; i < 6; i++) {
		CU_ASSERT_EQUAL(send(qp, i, i == 1), 0);
		CU_ASSERT_EQUAL(recv_one(qp, 100 + i), 0);
		CU_ASSERT_EQUAL(send(other, 200 + i, true), 0);
		CU_ASSERT_EQUAL(recv_one(other, 300 + i), 0);
	}
	hca_cqe(cq, QPN, 1, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 32, wc), 1);
	hca_cqe(cq, QPN + 1, 200, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	atomic_store(&f->ctx.dead, true);

	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 2, wc), 1); /* what was there comes first */
	CU_ASSERT_EQUAL(wc[0].wr_id, 200);
	CU_ASSERT_EQUAL(wc[0].status, IBV_WC_SUCCESS);
	for (n = vcq_poll(&cq->v.cq, 4, wc); n > 0; n = vcq_poll(&cq->v.cq, 4, wc)) {
		for (int i = 0; i < n; i++) {
			CU_ASSERT_EQUAL(wc[i].status, IBV_WC_WR_FLUSH_ERR);
			if (wc[i].qp_num == QPN + 1) {
				CU_ASSERT_EQUAL(wc[i].wr_id, 201u + (unsigned int)others);
				others++;
			} else if (wc[i].opcode & IBV_WC_RECV) {
				CU_ASSERT_EQUAL(wc[i].wr_id, next_recv);
				next_recv++;
				recvs++;
			} else {
				CU_ASSERT_EQUAL(wc[i].opcode, IBV_WC_SEND);
				CU_ASSERT_EQUAL(wc[i].wr_id, next_send);
				next_send++;
				sends++;
			}
		}
	}
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(sends, 4);
	CU_ASSERT_EQUAL(recvs, 6);
	CU_ASSERT_EQUAL(others, 5);
	CU_ASSERT_EQUAL(vcq_poll(&rcq->v.cq, 32, wc), 6);
	CU_ASSERT_EQUAL(wc[5].wr_id, 305);
	CU_ASSERT_EQUAL(vcq_poll(&rcq->v.cq, 32, wc), 0);
	fix_qp_free(f, other);
	fix_cq_free(f, rcq);
	shut();
}

/* Whoever goes on posting is told each time, as in ERROR, and is not told ENOMEM for ever. */
PHCA_TEST(poll, posts_to_a_dead_appliance_are_flushed)
{
	struct ibv_wc wc;

	open_depth(4);
	CU_ASSERT_EQUAL(send(qp, 1000, true), 0);
	atomic_store(&f->ctx.dead, true);
	CU_ASSERT_EQUAL(poll_one(&wc), 1);
	for (unsigned int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(send(qp, i, false), 0);
		CU_ASSERT_EQUAL(recv_one(qp, i), 0);
		CU_ASSERT_EQUAL(poll_one(&wc), 1);
		CU_ASSERT_EQUAL(wc.wr_id, i);
		CU_ASSERT_EQUAL(poll_one(&wc), 1);
		CU_ASSERT_EQUAL(wc.wr_id, i);
		CU_ASSERT_EQUAL(poll_one(&wc), 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(send(qp, i, false), 0);
	CU_ASSERT_EQUAL(send(qp, 4, false), ENOMEM);
	shut();
}

PHCA_TEST(poll, reset_forgets)
{
	struct fix_qp *other;
	struct ibv_wc wc[8];

	open_depth(4);
	other = fix_qp(f, QPN + 1, IBV_QPT_RC, cq, cq, 4);
	for (unsigned int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(send(qp, i, true), 0);
		CU_ASSERT_EQUAL(recv_one(qp, i), 0);
		CU_ASSERT_EQUAL(send(other, 10 + i, true), 0);
	}
	for (unsigned int i = 0; i < 3; i++) {
		hca_cqe(cq, QPN, i, PHCA_WC_SUCCESS, PHCA_WC_SEND);
		hca_cqe(cq, QPN + 1, 10 + i, PHCA_WC_SUCCESS, PHCA_WC_SEND);
		hca_cqe(cq, QPN, i, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	}
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 1, wc), 1);
	pthread_spin_lock(&cq->v.lock);
	vcq_forget_qp(&qp->v);
	pthread_spin_unlock(&cq->v.lock);
	CU_ASSERT_EQUAL(outstanding(&qp->v.ssh), 0);
	CU_ASSERT_EQUAL(outstanding(&qp->v.rsh), 0);
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 8, wc), 3);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(wc[i].qp_num, QPN + 1);
		CU_ASSERT_EQUAL(wc[i].wr_id, 10 + i);
	}
	CU_ASSERT_EQUAL(outstanding(&other->v.ssh), 1);
	fix_qp_free(f, other);
	shut();
}
