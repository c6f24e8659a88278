/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posting: what the HCA finds in the ring is what was asked; what is refused leaves
 * no trace, and names the request.
 */
#include "verbs_fixture.h"

#define QPN 0x11u

static struct fix *f;
static struct fix_cq *cq;
static struct fix_qp *qp;

static void open_type(enum ibv_qp_type type, uint32_t depth)
{
	f = fix_open();
	cq = fix_cq(f, 1, 64);
	qp = fix_qp(f, QPN, type, cq, cq, depth);
}

static void shut(void)
{
	fix_qp_free(f, qp);
	fix_cq_free(f, cq);
	fix_close(f);
}

static int post(struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad = NULL;
	int ret = vqp_post_send(&qp->v.qp, wr, &bad);

	CU_ASSERT_PTR_EQUAL(bad, ret != 0 ? wr : NULL);
	return ret;
}

/* Post one, get it as the HCA. */
static struct phca_send_wqe *posted(struct ibv_send_wr *wr)
{
	struct phca_send_wqe *w;

	CU_ASSERT_EQUAL(post(wr), 0);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), QPN);
	w = hca_send(qp);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	CU_ASSERT_PTR_NULL(hca_send(qp));
	CU_ASSERT_EQUAL(w->wr_id, wr->wr_id);
	CU_ASSERT_EQUAL(w->opcode, wr->opcode);
	CU_ASSERT_EQUAL(w->flags, wr->send_flags);
	CU_ASSERT_EQUAL(w->rsvd0, 0);
	return w;
}

static struct ibv_sge sges[] = { { 0x1000, 10, 1 }, { 0x2000, 0, 2 }, { 0x3000, 30, 3 }, { 0x4000, 40, 4 } };

static void sges_are(struct phca_send_wqe *w, uint32_t n)
{
	CU_ASSERT_EQUAL(w->num_sge, n);
	for (uint32_t i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(phca_send_sge(w)[i].addr, sges[i].addr);
		CU_ASSERT_EQUAL(phca_send_sge(w)[i].length, sges[i].length);
		CU_ASSERT_EQUAL(phca_send_sge(w)[i].lkey, sges[i].lkey);
	}
}

PHCA_TEST(post, sends_of_each_kind)
{
	struct ibv_send_wr wr = {
		.wr_id = 0x1122334455667788, .sg_list = sges, .num_sge = 3, .opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED | IBV_SEND_FENCE,
	};

	open_type(IBV_QPT_RC, 4);
	sges_are(posted(&wr), 3);
	wr.num_sge = 0;
	sges_are(posted(&wr), 0);
	wr.opcode = IBV_WR_SEND_WITH_IMM;
	wr.imm_data = htobe32(0xcafe);
	wr.send_flags = IBV_SEND_SOLICITED;
	CU_ASSERT_EQUAL(posted(&wr)->imm, htobe32(0xcafe));
	wr.opcode = IBV_WR_SEND_WITH_INV;
	wr.invalidate_rkey = 0x801;
	CU_ASSERT_EQUAL(posted(&wr)->imm, 0x801);
	shut();
}

PHCA_TEST(post, remote_memory)
{
	struct ibv_send_wr wr = {
		.wr_id = 5, .sg_list = sges, .num_sge = 1,
		.wr.rdma = { .remote_addr = 0xdeadbeef0000, .rkey = 0x77 }, .imm_data = htobe32(3),
	};
	static const enum ibv_wr_opcode ops[] = { IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_READ };

	open_type(IBV_QPT_RC, 4);
	for (unsigned int i = 0; i < 3; i++) {
		struct phca_send_wqe *w;

		wr.opcode = ops[i];
		w = posted(&wr);
		CU_ASSERT_EQUAL(w->u.rdma.remote_addr, 0xdeadbeef0000);
		CU_ASSERT_EQUAL(w->u.rdma.rkey, 0x77);
		CU_ASSERT_EQUAL(w->imm, htobe32(3));
		sges_are(w, 1);
	}
	shut();
}

PHCA_TEST(post, atomics)
{
	struct ibv_send_wr wr = {
		.wr_id = 6, .sg_list = sges, .num_sge = 1,
		.wr.atomic = { .remote_addr = 0x8000, .compare_add = 0x1111222233334444, .swap = 99, .rkey = 0x78 },
	};

	open_type(IBV_QPT_RC, 4);
	for (unsigned int op = IBV_WR_ATOMIC_CMP_AND_SWP; op <= IBV_WR_ATOMIC_FETCH_AND_ADD; op++) {
		struct phca_send_wqe *w;

		wr.opcode = op;
		w = posted(&wr);
		CU_ASSERT_EQUAL(w->u.atomic.remote_addr, 0x8000);
		CU_ASSERT_EQUAL(w->u.atomic.compare_add, 0x1111222233334444);
		CU_ASSERT_EQUAL(w->u.atomic.swap, 99);
		CU_ASSERT_EQUAL(w->u.atomic.rkey, 0x78);
		sges_are(w, 1);
	}
	shut();
}

PHCA_TEST(post, windows)
{
	struct ibv_mr mr = { .lkey = 0x55 };
	struct ibv_mw mw = { .rkey = 0x1ff, .type = IBV_MW_TYPE_2 };
	struct ibv_send_wr wr = {
		.wr_id = 7, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED,
		.bind_mw = { .mw = &mw, .rkey = 0x133,
			.bind_info = { &mr, 0x9000, 64, IBV_ACCESS_REMOTE_WRITE } },
	};
	struct phca_send_wqe *w;

	open_type(IBV_QPT_RC, 4);
	w = posted(&wr);
	CU_ASSERT_EQUAL(w->u.bind.addr, 0x9000);
	CU_ASSERT_EQUAL(w->u.bind.length, 64);
	CU_ASSERT_EQUAL(w->u.bind.rkey, 0x1ff);
	CU_ASSERT_EQUAL(w->u.bind.new_rkey, 0x133);
	CU_ASSERT_EQUAL(w->u.bind.lkey, 0x55);
	CU_ASSERT_EQUAL(w->u.bind.access, IBV_ACCESS_REMOTE_WRITE);
	sges_are(w, 0);
	CU_ASSERT_EQUAL(mw.rkey, 0x1ff); /* the application's to change */
	wr.bind_mw.bind_info.mr = NULL;
	CU_ASSERT_EQUAL(post(&wr), EINVAL);

	wr = (struct ibv_send_wr){ .wr_id = 8, .opcode = IBV_WR_LOCAL_INV, .invalidate_rkey = 0x133 };
	CU_ASSERT_EQUAL(posted(&wr)->imm, 0x133);
	shut();
}

PHCA_TEST(post, bind_of_type_1_takes_the_next_key)
{
	struct ibv_pd other;
	struct ibv_mr mr = { .lkey = 0x55 };
	struct ibv_mw mw = { .rkey = 0x1ff, .type = IBV_MW_TYPE_1 };
	struct ibv_mw_bind b = { .wr_id = 9, .send_flags = IBV_SEND_SIGNALED,
		.bind_info = { &mr, 0x9000, 64, IBV_ACCESS_REMOTE_READ } };
	struct phca_send_wqe *w;

	open_type(IBV_QPT_RC, 4);
	mw.pd = &f->pd;
	CU_ASSERT_EQUAL(vqp_bind_mw(&qp->v.qp, &mw, &b), 0);
	w = hca_send(qp);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	CU_ASSERT_EQUAL(w->wr_id, 9);
	CU_ASSERT_EQUAL(w->opcode, IBV_WR_BIND_MW);
	CU_ASSERT_EQUAL(w->flags, IBV_SEND_SIGNALED);
	CU_ASSERT_EQUAL(w->u.bind.rkey, 0x1ff);
	CU_ASSERT_EQUAL(w->u.bind.new_rkey, 0x100);
	CU_ASSERT_EQUAL(mw.rkey, 0x100);
	b.bind_info.mw_access_flags = IBV_ACCESS_ZERO_BASED;
	CU_ASSERT_EQUAL(vqp_bind_mw(&qp->v.qp, &mw, &b), EINVAL);
	mw.pd = &other;
	CU_ASSERT_EQUAL(vqp_bind_mw(&qp->v.qp, &mw, &b), EPERM);
	CU_ASSERT_EQUAL(mw.rkey, 0x100);
	CU_ASSERT_PTR_NULL(hca_send(qp));
	shut();
}

PHCA_TEST(post, datagrams_carry_their_address)
{
	struct vah ah = {
		.av = { .dgid = { 1, 2, 3 }, .dmac = { 4, 5, 6, 7, 8, 9 }, .sgid_index = 3, .hop_limit = 9 },
	};
	struct ibv_send_wr wr = {
		.wr_id = 10, .sg_list = sges, .num_sge = 2, .opcode = IBV_WR_SEND_WITH_IMM, .imm_data = 4,
		.wr.ud = { .ah = &ah.ah, .remote_qpn = 0x123456, .remote_qkey = 0x11111111 },
	};
	struct phca_send_wqe *w;

	open_type(IBV_QPT_UD, 4);
	w = posted(&wr);
	CU_ASSERT_EQUAL(memcmp(&w->u.ud.av, &ah.av, sizeof(ah.av)), 0);
	CU_ASSERT_EQUAL(w->u.ud.remote_qpn, 0x123456);
	CU_ASSERT_EQUAL(w->u.ud.remote_qkey, 0x11111111);
	CU_ASSERT_EQUAL(w->imm, 4);
	sges_are(w, 2);
	wr.wr.ud.ah = NULL;
	CU_ASSERT_EQUAL(post(&wr), EINVAL);
	shut();
}

PHCA_TEST(post, inline_data_is_copied_together)
{
	char a[] = "abcdefghij", b[] = "0123456789";
	struct ibv_sge sge[] = {
		{ (uintptr_t)a, 10, 0 }, { (uintptr_t)b, 3, 0 }, { 0, 0, 0 }, { (uintptr_t)a + 2, 1, 0 },
	};
	struct ibv_send_wr wr = {
		.wr_id = 11, .sg_list = sge, .num_sge = 4, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_INLINE,
	};
	struct phca_send_wqe *w;

	open_type(IBV_QPT_RC, 4);
	w = posted(&wr); /* more elements than max_send_sge: they do not go into the ring */
	CU_ASSERT_EQUAL(w->num_sge, 0);
	CU_ASSERT_EQUAL(w->inline_len, 14);
	CU_ASSERT_EQUAL(memcmp(w + 1, "abcdefghij012c", 14), 0);
	sge[0] = (struct ibv_sge){ (uintptr_t)f, MAX_INLINE, 0 };
	wr.num_sge = 1;
	CU_ASSERT_EQUAL(posted(&wr)->inline_len, MAX_INLINE);
	sge[0].length++;
	CU_ASSERT_EQUAL(post(&wr), EINVAL);
	sge[0].length = UINT32_MAX; /* a sum that wraps in 32 bits */
	sge[1].length = 2;
	wr.num_sge = 2;
	CU_ASSERT_EQUAL(post(&wr), EINVAL);
	sge[0].length = 8;
	wr.num_sge = 1;
	wr.opcode = IBV_WR_RDMA_READ;
	CU_ASSERT_EQUAL(post(&wr), EINVAL);
	wr.num_sge = 0;
	wr.opcode = IBV_WR_SEND;
	CU_ASSERT_EQUAL(posted(&wr)->inline_len, 0);
	shut();
}

PHCA_TEST(post, each_type_takes_its_opcodes)
{
	static const struct { enum ibv_qp_type type; uint32_t ops; } want[] = {
		{ IBV_QPT_RC, 0x3ff }, { IBV_QPT_UC, 0xf }, { IBV_QPT_UD, 0xc },
	};

	for (unsigned int t = 0; t < 3; t++) {
		open_type(want[t].type, 64);
		for (unsigned int op = 0; op < 20; op++) {
			struct vah ah = { 0 };
			struct ibv_mw mw = { 0 };
			struct ibv_send_wr wr = { .opcode = op };

			if (want[t].type == IBV_QPT_UD)
				wr.wr.ud.ah = &ah.ah;
			if (op == IBV_WR_BIND_MW)
				wr.bind_mw.mw = &mw;
			CU_ASSERT_EQUAL(post(&wr), op < 10 && (want[t].ops >> op & 1) ? 0 : EINVAL);
		}
		shut();
	}
}

PHCA_TEST(post, states_that_take_requests)
{
	open_type(IBV_QPT_RC, 8);
	for (unsigned int s = IBV_QPS_RESET; s <= IBV_QPS_ERR; s++) {
		struct ibv_send_wr wr = { .opcode = IBV_WR_SEND };
		struct ibv_recv_wr rwr = { .wr_id = s }, *bad = NULL;

		qp->v.qp.state = s;
		CU_ASSERT_EQUAL(post(&wr), s < IBV_QPS_RTS ? EINVAL : 0);
		CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &rwr, &bad), s == IBV_QPS_RESET ? EINVAL : 0);
		CU_ASSERT_PTR_EQUAL(bad, s == IBV_QPS_RESET ? &rwr : NULL);
	}
	shut();
}

PHCA_TEST(post, list_is_posted_up_to_the_bad_one)
{
	struct ibv_send_wr wr[5], *bad = NULL;

	open_type(IBV_QPT_RC, 8);
	for (unsigned int i = 0; i < 5; i++)
		wr[i] = (struct ibv_send_wr){ .wr_id = i, .next = i < 4 ? &wr[i + 1] : NULL, .opcode = IBV_WR_SEND };
	wr[3].num_sge = MAX_SGE + 1;
	wr[3].sg_list = sges;
	CU_ASSERT_EQUAL(vqp_post_send(&qp->v.qp, wr, &bad), EINVAL);
	CU_ASSERT_PTR_EQUAL(bad, &wr[3]);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), QPN);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), 0); /* one for all of them */
	for (unsigned int i = 0; i < 3; i++) {
		struct phca_send_wqe *w = hca_send(qp);

		CU_ASSERT_PTR_NOT_NULL_FATAL(w);
		CU_ASSERT_EQUAL(w->wr_id, i);
	}
	CU_ASSERT_PTR_NULL(hca_send(qp));
	wr[3].num_sge = -1;
	CU_ASSERT_EQUAL(vqp_post_send(&qp->v.qp, &wr[3], &bad), EINVAL);
	wr[3].num_sge = 0;
	wr[3].send_flags = IBV_SEND_IP_CSUM;
	CU_ASSERT_EQUAL(vqp_post_send(&qp->v.qp, &wr[3], &bad), EINVAL);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), 0);
	shut();
}

/* Who finds the lcore asleep wakes it, once. */
PHCA_TEST(post, wakes_an_hca_that_sleeps)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND };
	uint64_t woken = 0;

	open_type(IBV_QPT_RC, 8);
	CU_ASSERT_EQUAL(post(&wr), 0);
	CU_ASSERT(read(f->ctx.db[0].wake_fd, &woken, sizeof(woken)) < 0);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), QPN);
	__atomic_store_n(&f->db.hdr->armed, 1, __ATOMIC_SEQ_CST);
	CU_ASSERT_EQUAL(post(&wr), 0);
	CU_ASSERT_EQUAL(post(&wr), 0);
	CU_ASSERT_EQUAL(read(f->ctx.db[0].wake_fd, &woken, sizeof(woken)), sizeof(woken));
	CU_ASSERT_EQUAL(woken, 1);
	shut();
}

/* Full is max_wr posted and not polled, whatever the HCA is done with. */
PHCA_TEST(post, full_until_polled)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_wc wc[8];

	open_type(IBV_QPT_RC, 8);
	qp->v.ssh.max = 5; /* as asked for; the ring is larger */
	fix_ring_at(&qp->v.sq, &qp->sq, UINT32_MAX - 1);
	for (unsigned int round = 0; round < 4; round++) {
		for (unsigned int i = 0; i < 5; i++) {
			wr.wr_id = i;
			CU_ASSERT_EQUAL(post(&wr), 0);
		}
		CU_ASSERT_EQUAL(post(&wr), ENOMEM);
		for (unsigned int i = 0; i < 5; i++) {
			struct phca_send_wqe *w = hca_send(qp);

			CU_ASSERT_PTR_NOT_NULL_FATAL(w);
			hca_cqe(cq, QPN, w->wr_id, PHCA_WC_SUCCESS, PHCA_WC_SEND);
		}
		CU_ASSERT_EQUAL(post(&wr), ENOMEM);
		CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 1, wc), 1);
		CU_ASSERT_EQUAL(post(&wr), 0);
		CU_ASSERT_EQUAL(post(&wr), ENOMEM);
		CU_ASSERT_PTR_NOT_NULL(hca_send(qp));
		hca_cqe(cq, QPN, wr.wr_id, PHCA_WC_SUCCESS, PHCA_WC_SEND);
		CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 8, wc), 5);
	}
	shut();
}

PHCA_TEST(post, receives)
{
	struct ibv_recv_wr wr[10], *bad = NULL;
	struct ibv_wc wc;

	open_type(IBV_QPT_UD, 8);
	fix_ring_at(&qp->v.rq, &qp->rq, UINT32_MAX - 3);
	for (unsigned int i = 0; i < 10; i++)
		wr[i] = (struct ibv_recv_wr){ .wr_id = 100 + i, .next = i < 9 ? &wr[i + 1] : NULL, .sg_list = sges,
			.num_sge = (int)(i % (MAX_SGE + 1)) };
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, wr, &bad), ENOMEM);
	CU_ASSERT_PTR_EQUAL(bad, &wr[8]);
	for (unsigned int i = 0; i < 8; i++) {
		struct phca_recv_wqe *w = hca_recv(&qp->rq);

		CU_ASSERT_PTR_NOT_NULL_FATAL(w);
		CU_ASSERT_EQUAL(w->wr_id, 100 + i);
		CU_ASSERT_EQUAL(w->num_sge, i % (MAX_SGE + 1));
		CU_ASSERT_EQUAL(memcmp(phca_recv_sge(w), sges, w->num_sge * sizeof(sges[0])), 0);
	}
	CU_ASSERT_PTR_NULL(hca_recv(&qp->rq));
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr[9], &bad), ENOMEM);
	hca_cqe(cq, QPN, 100, PHCA_WC_SUCCESS, PHCA_WC_RECV);
	CU_ASSERT_EQUAL(vcq_poll(&cq->v.cq, 1, &wc), 1);
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr[9], &bad), 0);
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr[9], &bad), ENOMEM);
	wr[9].num_sge = MAX_SGE + 1;
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr[9], &bad), EINVAL);
	CU_ASSERT_PTR_EQUAL(bad, &wr[9]);
	CU_ASSERT_EQUAL(hca_doorbell(f, qp), 0); /* a receive needs none */
	shut();
}

PHCA_TEST(post, receives_of_an_srq)
{
	struct vsrq srq = { .max_wr = 3, .max_sge = MAX_SGE };
	struct ibv_recv_wr wr[4], *bad = NULL;
	struct phca_ring hca;
	struct phca_recv_wqe *w;

	f = fix_open();
	srq.srq.context = &f->ctx.v.context;
	pthread_spin_init(&srq.lock, PTHREAD_PROCESS_PRIVATE);
	fix_ring(&srq.ring, &hca, PHCA_RING_RQ, 4, phca_recv_stride(MAX_SGE));
	for (unsigned int i = 0; i < 4; i++)
		wr[i] = (struct ibv_recv_wr){ .wr_id = i, .next = i < 3 ? &wr[i + 1] : NULL, .sg_list = sges,
			.num_sge = 2 };
	CU_ASSERT_EQUAL(vsrq_post_recv(&srq.srq, wr, &bad), ENOMEM);
	CU_ASSERT_PTR_EQUAL(bad, &wr[3]);
	w = hca_recv(&hca);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	CU_ASSERT_EQUAL(w->wr_id, 0);
	CU_ASSERT_EQUAL(w->num_sge, 2);
	CU_ASSERT_EQUAL(phca_recv_sge(w)[0].addr, sges[0].addr);
	CU_ASSERT_EQUAL(vsrq_post_recv(&srq.srq, &wr[3], &bad), 0);
	CU_ASSERT_EQUAL(vsrq_post_recv(&srq.srq, &wr[3], &bad), ENOMEM);
	wr[3].num_sge = MAX_SGE + 1;
	CU_ASSERT_EQUAL(vsrq_post_recv(&srq.srq, &wr[3], &bad), EINVAL);
	free(srq.ring.hdr);
	fix_close(f);
}

PHCA_TEST(post, qp_with_an_srq_takes_no_receives)
{
	struct ibv_recv_wr wr = { .wr_id = 1 }, *bad = NULL;
	struct phca_ring_hdr *hdr;

	open_type(IBV_QPT_RC, 4);
	hdr = qp->v.rq.hdr;
	qp->v.rq.hdr = NULL;
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr, &bad), EINVAL);
	CU_ASSERT_PTR_EQUAL(bad, &wr);
	qp->v.rq.hdr = hdr;
	shut();
}

/* ---------------------------------------------------------------- threads */

#define NB_QPS 4
#define ROUNDS 3000

struct poster {
	struct fix_qp *qp;
	pthread_t thread;
	unsigned int refused;
};

static void *poster_run(void *arg)
{
	struct poster *p = arg;
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED }, *bad;

	for (unsigned int i = 0; i < ROUNDS;) {
		int ret;

		wr.wr_id = i;
		ret = vqp_post_send(&p->qp->v.qp, &wr, &bad);
		if (ret == 0)
			i++;
		else if (ret != ENOMEM)
			p->refused++;
	}
	return NULL;
}

/* As the HCA lcore: a doorbell, all that is in that queue, completions. @return requests done */
static unsigned int serve(struct fix *dev, struct fix_qp **qps, struct fix_cq *c, uint64_t *next, unsigned int *wrong)
{
	unsigned int n = 0, i;
	uint32_t qpn;

	if (phca_ring_avail(&dev->db) <= 0)
		return 0;
	qpn = *(uint32_t *)phca_ring_head(&dev->db);
	i = qpn - QPN;
	if (i >= NB_QPS) {
		*wrong += 1;
		return 0;
	}
	hca_doorbell(dev, qps[i]);
	for (struct phca_send_wqe *w; (w = hca_send(qps[i])) != NULL; n++) {
		uint64_t id = w->wr_id;

		*wrong += id != next[i];
		next[i] = id + 1;
		hca_cqe(c, qpn, id, PHCA_WC_SUCCESS, PHCA_WC_SEND);
	}
	return n;
}

/* QPs share a doorbell ring and a CQ; nothing is lost, and each queue keeps its order. */
PHCA_TEST(post, threads_share_a_doorbell_ring)
{
	struct poster p[NB_QPS] = { 0 };
	struct fix_qp *qps[NB_QPS];
	uint64_t next[NB_QPS] = { 0 }, polled[NB_QPS] = { 0 };
	unsigned int done = 0, wrong = 0;
	struct ibv_wc wc[16];

	f = fix_open();
	cq = fix_cq(f, 1, 256);
	for (unsigned int i = 0; i < NB_QPS; i++) {
		qps[i] = fix_qp(f, QPN + i, IBV_QPT_RC, cq, cq, 16);
		p[i].qp = qps[i];
		CU_ASSERT_EQUAL_FATAL(pthread_create(&p[i].thread, NULL, poster_run, &p[i]), 0);
	}
	while (done < NB_QPS * ROUNDS && wrong == 0) {
		int n;

		if (serve(f, qps, cq, next, &wrong) == 0)
			sched_yield();
		n = vcq_poll(&cq->v.cq, 16, wc);
		CU_ASSERT_FATAL(n >= 0);
		for (int i = 0; i < n; i++)
			wrong += polled[wc[i].qp_num - QPN]++ != wc[i].wr_id;
		done += (unsigned int)n;
	}
	CU_ASSERT_EQUAL_FATAL(wrong, 0);
	for (unsigned int i = 0; i < NB_QPS; i++) {
		pthread_join(p[i].thread, NULL);
		CU_ASSERT_EQUAL(p[i].refused, 0);
		CU_ASSERT_EQUAL(polled[i], ROUNDS);
		fix_qp_free(f, qps[i]);
	}
	fix_cq_free(f, cq);
	fix_close(f);
}

PHCA_TEST(post, threads_share_a_queue)
{
	struct poster p[2] = { 0 };
	unsigned int done = 0, signaled = 0;
	struct ibv_wc wc[16];

	open_type(IBV_QPT_RC, 16);
	for (unsigned int i = 0; i < 2; i++) {
		p[i].qp = qp;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&p[i].thread, NULL, poster_run, &p[i]), 0);
	}
	while (done < 2 * ROUNDS) {
		int n;

		hca_doorbell(f, qp);
		for (struct phca_send_wqe *w; (w = hca_send(qp)) != NULL; signaled++)
			hca_cqe(cq, QPN, w->wr_id, PHCA_WC_SUCCESS, PHCA_WC_SEND);
		n = vcq_poll(&cq->v.cq, 16, wc);
		CU_ASSERT_FATAL(n >= 0);
		done += (unsigned int)n;
		if (n == 0)
			sched_yield();
	}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(p[i].thread, NULL);
	CU_ASSERT_EQUAL(signaled, 2 * ROUNDS);
	CU_ASSERT_PTR_NULL(hca_send(qp));
	shut();
}
