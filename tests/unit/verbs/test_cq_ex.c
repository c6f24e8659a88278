/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Polling one completion after the other: each field by its function, those that were
 * not asked for have none; flushes; wall-clock times.
 */
#include <sys/socket.h>
#include <time.h>

#include "verbs_fixture.h"

#define QPN 0x41u
#define ALL (IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP | \
	IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK)

static struct fix *f;
static struct fix_cq *cq;
static struct fix_qp *qp;
static struct ibv_cq_ex *ex;
static struct ibv_poll_cq_attr none;

static void open_flags(uint32_t wc_flags)
{
	f = fix_open();
	cq = fix_cq(f, 1, 16);
	qp = fix_qp(f, QPN, IBV_QPT_RC, cq, cq, 8);
	cq->v.wc_flags = wc_flags;
	vcq_set_ex_ops(&cq->v);
	ex = &cq->v.cq_ex;
}

static void shut(void)
{
	fix_qp_free(f, qp);
	fix_cq_free(f, cq);
	fix_close(f);
}

static bool locked(void)
{
	if (pthread_spin_trylock(&cq->v.lock) != 0)
		return true;
	pthread_spin_unlock(&cq->v.lock);
	return false;
}

PHCA_TEST(cq_ex, each_field)
{
	struct phca_cqe *e;

	open_flags(ALL & ~IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK);
	e = hca_cqe(cq, QPN, 0x1234567890, PHCA_WC_SUCCESS, PHCA_WC_RECV_RDMA_WITH_IMM);
	e->wc.vendor_err = 2;
	e->wc.byte_len = 3;
	e->wc.imm = 4;
	e->wc.src_qp = 5;
	e->wc.wc_flags = PHCA_WC_F_WITH_IMM | PHCA_WC_F_GRH;
	e->wc.slid = 7;
	e->wc.sl = 8;
	e->wc.dlid_path_bits = 9;
	e->timestamp_ns = 0xaabbccddeeff;
	CU_ASSERT_EQUAL_FATAL(ibv_start_poll(ex, &none), 0);
	CU_ASSERT_EQUAL(ex->wr_id, 0x1234567890);
	CU_ASSERT_EQUAL(ex->status, IBV_WC_SUCCESS);
	CU_ASSERT_EQUAL(ibv_wc_read_opcode(ex), IBV_WC_RECV_RDMA_WITH_IMM);
	CU_ASSERT_EQUAL(ibv_wc_read_vendor_err(ex), 2);
	CU_ASSERT_EQUAL(ibv_wc_read_byte_len(ex), 3);
	CU_ASSERT_EQUAL(ibv_wc_read_imm_data(ex), 4);
	CU_ASSERT_EQUAL(ibv_wc_read_invalidated_rkey(ex), 4);
	CU_ASSERT_EQUAL(ibv_wc_read_qp_num(ex), QPN);
	CU_ASSERT_EQUAL(ibv_wc_read_src_qp(ex), 5);
	CU_ASSERT_EQUAL(ibv_wc_read_wc_flags(ex), IBV_WC_WITH_IMM | IBV_WC_GRH);
	CU_ASSERT_EQUAL(ibv_wc_read_slid(ex), 7);
	CU_ASSERT_EQUAL(ibv_wc_read_sl(ex), 8);
	CU_ASSERT_EQUAL(ibv_wc_read_dlid_path_bits(ex), 9);
	CU_ASSERT_EQUAL(ibv_wc_read_completion_ts(ex), 0xaabbccddeeff);
	CU_ASSERT_EQUAL(ibv_next_poll(ex), ENOENT);
	ibv_end_poll(ex);
	shut();
}

PHCA_TEST(cq_ex, only_what_was_asked_for)
{
	open_flags(IBV_WC_EX_WITH_BYTE_LEN);
	CU_ASSERT_PTR_NOT_NULL(ex->read_opcode);
	CU_ASSERT_PTR_NOT_NULL(ex->read_vendor_err);
	CU_ASSERT_PTR_NOT_NULL(ex->read_wc_flags);
	CU_ASSERT_PTR_NOT_NULL(ex->read_byte_len);
	CU_ASSERT_PTR_NULL(ex->read_imm_data);
	CU_ASSERT_PTR_NULL(ex->read_qp_num);
	CU_ASSERT_PTR_NULL(ex->read_completion_ts);
	CU_ASSERT_PTR_NULL(ex->read_completion_wallclock_ns);
	CU_ASSERT_PTR_NULL(ex->read_cvlan);
	CU_ASSERT_PTR_NULL(ex->read_flow_tag);
	CU_ASSERT_PTR_NULL(ex->read_tm_info);
	shut();
}

/* The queue is held from the first found to the end, and its slots are given back then. */
PHCA_TEST(cq_ex, one_after_the_other)
{
	struct ibv_poll_cq_attr odd = { .comp_mask = 1 };
	uint64_t put = 0, want = 0;

	open_flags(0);
	fix_ring_at(&cq->v.ring, &cq->ring, UINT32_MAX - 3);
	CU_ASSERT_EQUAL(ibv_start_poll(ex, &odd), EINVAL);
	CU_ASSERT_EQUAL(ibv_start_poll(ex, &none), ENOENT);
	CU_ASSERT(!locked());
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < 16; i++)
			if (i % 4 == 0)
				hca_cqe(cq, QPN, 999, PHCA_WC_SUCCESS, PHCA_WC_SEND)->flags = PHCA_CQE_NOOP;
			else
				hca_cqe(cq, QPN, put++, PHCA_WC_SUCCESS, PHCA_WC_SEND);
		CU_ASSERT_EQUAL_FATAL(ibv_start_poll(ex, &none), 0);
		CU_ASSERT(locked());
		do {
			CU_ASSERT_EQUAL(ex->wr_id, want);
			want++;
		} while (ibv_next_poll(ex) == 0);
		CU_ASSERT_EQUAL(phca_ring_free(&cq->ring, 16), 0);
		ibv_end_poll(ex);
		CU_ASSERT(!locked());
		CU_ASSERT_EQUAL(phca_ring_free(&cq->ring, 16), 16);
	}
	CU_ASSERT_EQUAL(want, put);
	/* no-ops alone are none, and given back */
	hca_cqe(cq, QPN, 999, PHCA_WC_SUCCESS, PHCA_WC_SEND)->flags = PHCA_CQE_NOOP;
	CU_ASSERT_EQUAL(ibv_start_poll(ex, &none), ENOENT);
	CU_ASSERT_EQUAL(phca_ring_free(&cq->ring, 16), 16);
	cq->ring.hdr->prod += 1000;
	CU_ASSERT_EQUAL(ibv_start_poll(ex, &none), EIO);
	CU_ASSERT(!locked());
	shut();
}

PHCA_TEST(cq_ex, requests_are_done)
{
	struct ibv_send_wr *bad, wr = { .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED };

	open_flags(0);
	for (unsigned int i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(vqp_post_send(&qp->v.qp, &wr, &bad), 0);
	CU_ASSERT_EQUAL(vqp_post_send(&qp->v.qp, &wr, &bad), ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(hca_send(qp));
	hca_cqe(cq, QPN, 0, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	CU_ASSERT_EQUAL(ibv_start_poll(ex, &none), 0);
	ibv_end_poll(ex);
	CU_ASSERT_EQUAL(vqp_post_send(&qp->v.qp, &wr, &bad), 0);
	shut();
}

PHCA_TEST(cq_ex, dead_appliance_flushes)
{
	struct ibv_recv_wr *bad, wr = { 0 };
	unsigned int n = 0;

	open_flags(IBV_WC_EX_WITH_QP_NUM);
	for (wr.wr_id = 0; wr.wr_id < 5; wr.wr_id++)
		CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr, &bad), 0);
	hca_cqe(cq, QPN, 0, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	atomic_store(&f->ctx.dead, true);
	CU_ASSERT_EQUAL_FATAL(ibv_start_poll(ex, &none), 0);
	do {
		CU_ASSERT_EQUAL(ex->wr_id, n);
		CU_ASSERT_EQUAL(ex->status, n == 0 ? IBV_WC_SUCCESS : IBV_WC_WR_FLUSH_ERR);
		CU_ASSERT_EQUAL(ibv_wc_read_opcode(ex), IBV_WC_RECV);
		CU_ASSERT_EQUAL(ibv_wc_read_qp_num(ex), QPN);
		n++;
	} while (ibv_next_poll(ex) == 0);
	ibv_end_poll(ex);
	CU_ASSERT_EQUAL(n, 5);
	CU_ASSERT_EQUAL(ibv_start_poll(ex, &none), ENOENT);
	CU_ASSERT(!locked());
	/* the first is a flush, with the lock of the objects held by nobody after */
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr, &bad), 0);
	CU_ASSERT_EQUAL(ibv_start_poll(ex, &none), 0);
	CU_ASSERT_EQUAL(ex->wr_id, 5);
	CU_ASSERT_EQUAL(pthread_mutex_trylock(&f->ctx.objs_lock), 0);
	/* while it is busy there is none; later there is */
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr, &bad), 0);
	CU_ASSERT_EQUAL(ibv_next_poll(ex), ENOENT);
	pthread_mutex_unlock(&f->ctx.objs_lock);
	CU_ASSERT_EQUAL(ibv_next_poll(ex), 0);
	ibv_end_poll(ex);
	shut();
}

/* ------------------------------------------------------------------ wall clock */

#define HCA_NOW 1000000000000u

static void *answer_clock(void *arg)
{
	struct phca_admin_req req;
	struct phca_admin_ans ans = { .magic = PHCA_ADMIN_MAGIC };
	int *sock = arg;

	if (recv(*sock, &req, sizeof(req), 0) <= 0)
		return NULL;
	ans.op = req.op;
	ans.seq = req.seq;
	ans.len = (uint16_t)phca_admin_ans_len(req.op);
	ans.u.now_ns = HCA_NOW;
	return send(*sock, &ans, ans.len, 0) == ans.len && req.op == PHCA_ADMIN_CLOCK ? arg : NULL;
}

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

PHCA_TEST(cq_ex, wall_clock_of_completions)
{
	uint64_t before, after;
	pthread_t server;
	void *ok;
	int s[2];

	open_flags(ALL);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	f->ctx.sock = s[0];
	CU_ASSERT_EQUAL_FATAL(pthread_create(&server, NULL, answer_clock, &s[1]), 0);
	hca_cqe(cq, QPN, 0, PHCA_WC_SUCCESS, PHCA_WC_SEND)->timestamp_ns = HCA_NOW - 5000;
	hca_cqe(cq, QPN, 1, PHCA_WC_SUCCESS, PHCA_WC_SEND)->timestamp_ns = HCA_NOW + 7000;
	before = realtime_ns();
	CU_ASSERT_EQUAL_FATAL(ibv_start_poll(ex, &none), 0);
	after = realtime_ns();
	pthread_join(server, &ok);
	CU_ASSERT_PTR_NOT_NULL(ok);
	/* the HCA's HCA_NOW was between both */
	CU_ASSERT(ibv_wc_read_completion_wallclock_ns(ex) >= before - 5000);
	CU_ASSERT(ibv_wc_read_completion_wallclock_ns(ex) <= after - 5000);
	CU_ASSERT_EQUAL(ibv_wc_read_completion_ts(ex), HCA_NOW - 5000);
	CU_ASSERT_EQUAL(ibv_next_poll(ex), 0);
	CU_ASSERT(ibv_wc_read_completion_wallclock_ns(ex) >= before + 7000);
	CU_ASSERT(ibv_wc_read_completion_wallclock_ns(ex) <= after + 7000);
	ibv_end_poll(ex);
	close(s[0]);
	close(s[1]);
	shut();
}
