/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases of the data path: what posting refuses, what completions say, windows, regions, groups. */
#include <unistd.h>

#include "conform.h"

/* -------------------------------------------------------------------- posting */

static void all_types(void)
{
	const enum ibv_qp_type types[] = { IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD };
	struct pair p;

	for (unsigned int i = 0; i < 3; i++) {
		CHECK(pair_make(&p, types[i], NULL));
		CHECK(works(&p, 0, 1000) && works(&p, 1, 1) && works(&p, 0, 0));
		CHECK(types[i] == IBV_QPT_UD || works(&p, 0, 20000));
		CHECK(pair_free(&p));
	}
}

static void bad_requests(void)
{
	struct ibv_sge s[40] = { { .length = 8 } };
	struct ibv_send_wr w[4] = { 0 }, *bad;
	struct ibv_recv_wr r[2] = { 0 }, *rbad;
	struct ibv_wc wc;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	for (unsigned int i = 0; i < 4; i++) {
		s[i] = (struct ibv_sge){ (uintptr_t)p.buf[0], 8, p.mr[0]->lkey };
		w[i] = (struct ibv_send_wr){ .wr_id = i, .next = i < 3 ? &w[i + 1] : NULL, .sg_list = &s[i],
			.num_sge = 1, .opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED,
			.wr.rdma = { (uintptr_t)p.buf[1], p.mr[1]->rkey } };
	}
	w[2].num_sge = 33;
	CHECK(ibv_post_send(p.qp[0], w, &bad) == EINVAL && bad == &w[2]);
	for (unsigned int i = 0; i < 2; i++)
		CHECK(wait_wc(p.cq[0], &wc) == 1 && wc.wr_id == i && wc.status == IBV_WC_SUCCESS);
	CHECK(ibv_poll_cq(p.cq[0], 1, &wc) == 0);
	w[2].num_sge = 1;
	w[2].opcode = (enum ibv_wr_opcode)99;
	CHECK(ibv_post_send(p.qp[0], &w[2], &bad) == EINVAL && bad == &w[2]);
	w[2].opcode = IBV_WR_SEND;
	s[2].length = 1 << 16;
	w[2].send_flags = IBV_SEND_INLINE;
	CHECK(ibv_post_send(p.qp[0], &w[2], &bad) == EINVAL && bad == &w[2]);
	r[0] = (struct ibv_recv_wr){ .num_sge = 33, .sg_list = s };
	CHECK(ibv_post_recv(p.qp[0], r, &rbad) == EINVAL && rbad == r);
	CHECK(works(&p, 0, 100));
	CHECK(to_state(p.qp[0], IBV_QPS_RESET));
	w[0].next = NULL;
	r[0].num_sge = 0;
	CHECK(ibv_post_send(p.qp[0], w, &bad) == EINVAL && bad == w);
	CHECK(ibv_post_recv(p.qp[0], r, &rbad) == EINVAL && rbad == r);
	CHECK(to_init(p.qp[0]) && ibv_post_recv(p.qp[0], r, &rbad) == 0);
	CHECK(ibv_post_send(p.qp[0], w, &bad) == EINVAL && bad == w);
	CHECK(pair_free(&p));
}

static void queues_fill(void)
{
	struct ibv_qp_init_attr ia;
	struct ibv_qp_attr a;
	struct ibv_wc wc;
	struct pair p;
	uint32_t n;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	CHECK(ibv_query_qp(p.qp[1], &a, IBV_QP_CAP, &ia) == 0);
	for (n = 0; recv_one(&p, 1, 8, n) == 0; n++)
		CHECK(n <= ia.cap.max_recv_wr);
	CHECK(n == ia.cap.max_recv_wr && recv_one(&p, 1, 8, 0) == ENOMEM);
	CHECK(to_state(p.qp[1], IBV_QPS_ERR)); /* all of them are flushed, in order */
	for (uint32_t i = 0; i < n; i++)
		CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.wr_id == i && wc.status == IBV_WC_WR_FLUSH_ERR &&
			wc.qp_num == p.qp[1]->qp_num);
	CHECK(recv_one(&p, 1, 8, 77) == 0 && send_one(&p, 1, IBV_WR_SEND, 8, 78) == 0);
	for (unsigned int i = 0; i < 2; i++)
		CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.status == IBV_WC_WR_FLUSH_ERR &&
			(wc.wr_id == 77 || wc.wr_id == 78));
	/* back to work from the beginning, nothing of before is left */
	for (int i = 0; i < 2; i++)
		CHECK(to_state(p.qp[i], IBV_QPS_RESET) && to_init(p.qp[i]) && to_rtr(p.qp[i], p.qp[1 - i]->qp_num) &&
			to_rts(p.qp[i]));
	CHECK(works(&p, 0, 500) && works(&p, 1, 500));
	CHECK(pair_free(&p));
}

/* Sends that are not signaled and fail, all with one wr_id: there is a completion of each. */
static void unsignaled_fail(void)
{
	struct ibv_send_wr *bad, w = { .wr_id = 1, .opcode = IBV_WR_RDMA_WRITE };
	struct ibv_sge s;
	struct ibv_wc wc;
	struct pair p;

	for (int round = 0; round < 4; round++) {
		unsigned int posted = 0, good = (unsigned int)round * 3;

		CHECK(pair_make(&p, IBV_QPT_RC, NULL));
		s = (struct ibv_sge){ (uintptr_t)p.buf[0], 8, p.mr[0]->lkey };
		w.sg_list = &s;
		w.num_sge = 1;
		w.wr.rdma.remote_addr = (uintptr_t)p.buf[1];
		for (; posted < 14; posted++) {
			w.wr.rdma.rkey = p.mr[1]->rkey + (posted >= good ? 0x1000 : 0);
			CHECK(ibv_post_send(p.qp[0], &w, &bad) == 0);
		}
		CHECK(wait_wc(p.cq[0], &wc) == 1 && wc.wr_id == 1 && wc.status == IBV_WC_REM_ACCESS_ERR);
		for (unsigned int i = good + 1; i < posted; i++)
			CHECK(wait_wc(p.cq[0], &wc) == 1 && wc.status == IBV_WC_WR_FLUSH_ERR);
		/* there is room for as many as at first, and each is flushed */
		for (unsigned int i = 0; i < 16; i++)
			CHECK(ibv_post_send(p.qp[0], &w, &bad) == 0);
		for (unsigned int i = 0; i < 16; i++)
			CHECK(wait_wc(p.cq[0], &wc) == 1 && wc.status == IBV_WC_WR_FLUSH_ERR);
		CHECK(pair_free(&p));
	}
}

static void inline_and_sges(void)
{
	struct pair_opts o = { .inline_bytes = 256, .sge = (uint32_t)dev.max_sge };
	struct ibv_send_wr *bad, w = { .opcode = IBV_WR_RDMA_WRITE };
	struct ibv_sge s[64];
	struct ibv_wc wc;
	struct pair p;
	uint32_t n = o.sge < 64 ? o.sge : 64;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	for (uint32_t i = 0; i < BUF; i++)
		p.buf[0][i] = (uint8_t)(i * 7 + (i >> 8));
	for (uint32_t i = 0; i < n; i++) /* backwards, of lengths 0, 1, ... */
		s[i] = (struct ibv_sge){ (uintptr_t)p.buf[0] + 100 * (n - i), i, p.mr[0]->lkey };
	w.sg_list = s;
	w.num_sge = (int)n;
	w.send_flags = IBV_SEND_SIGNALED;
	w.wr.rdma.remote_addr = (uintptr_t)p.buf[1];
	w.wr.rdma.rkey = p.mr[1]->rkey;
	CHECK(ibv_post_send(p.qp[0], &w, &bad) == 0 && wait_wc(p.cq[0], &wc) == 1 && wc.status == IBV_WC_SUCCESS);
	for (uint32_t i = 0, at = 0; i < n; at += i, i++)
		CHECK(memcmp(p.buf[1] + at, p.buf[0] + 100 * (n - i), i) == 0);
	s[0] = (struct ibv_sge){ (uintptr_t)p.buf[0] + 3, 256, 0xdead }; /* no key is looked at */
	w.num_sge = 1;
	w.send_flags |= IBV_SEND_INLINE;
	CHECK(ibv_post_send(p.qp[0], &w, &bad) == 0);
	memset(p.buf[0], 0, BUF); /* the buffer is the program's again */
	CHECK(wait_wc(p.cq[0], &wc) == 1 && wc.status == IBV_WC_SUCCESS);
	for (uint32_t i = 0; i < 256; i++)
		CHECK(p.buf[1][i] == (uint8_t)((i + 3) * 7 + ((i + 3) >> 8)));
	CHECK(pair_free(&p));
}

/* ------------------------------------------------------------------- windows */

static bool write_by(struct pair *p, uint32_t rkey, uint64_t addr, enum ibv_wc_status expected)
{
	struct ibv_sge s = { (uintptr_t)p->buf[0], 8, p->mr[0]->lkey };
	struct ibv_send_wr *bad, w = { .sg_list = &s, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED, .wr.rdma = { addr, rkey } };
	struct ibv_wc wc;

	return ibv_post_send(p->qp[0], &w, &bad) == 0 && wait_wc(p->cq[0], &wc) == 1 && wc.status == expected;
}

static void windows_type_1(void)
{
	struct ibv_mw_bind b = { .wr_id = 5, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_mw *mw;
	struct ibv_wc wc;
	struct pair p;
	uint32_t first;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	mw = ibv_alloc_mw(p.pd[1], IBV_MW_TYPE_1);
	CHECK(mw != NULL && mw->type == IBV_MW_TYPE_1);
	first = mw->rkey;
	b.bind_info = (struct ibv_mw_bind_info){ p.mr[1], (uintptr_t)p.buf[1] + 64, 128, IBV_ACCESS_REMOTE_WRITE };
	CHECK(ibv_bind_mw(p.qp[1], mw, &b) == 0 && mw->rkey != first);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.status == IBV_WC_SUCCESS);
	CHECK(wc.wr_id == 5 && wc.opcode == IBV_WC_BIND_MW);
	memset(p.buf[0], 0x5a, 8);
	CHECK(write_by(&p, mw->rkey, (uintptr_t)p.buf[1] + 64, IBV_WC_SUCCESS) && p.buf[1][64] == 0x5a);
	CHECK(ibv_dereg_mr(p.mr[1]) == EBUSY); /* a window is bound to it */
	CHECK(write_by(&p, mw->rkey, (uintptr_t)p.buf[1] + 64 + 121, IBV_WC_REM_ACCESS_ERR)); /* a byte too far */
	CHECK(ibv_dealloc_mw(mw) == 0);
	CHECK(pair_free(&p));
}

static void windows_type_2(void)
{
	struct ibv_send_wr *bad, w = { .wr_id = 6, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_mw *mw;
	struct ibv_wc wc;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	mw = ibv_alloc_mw(p.pd[1], IBV_MW_TYPE_2);
	CHECK(mw != NULL && mw->type == IBV_MW_TYPE_2);
	CHECK(ibv_bind_mw(p.qp[1], mw, &(struct ibv_mw_bind){ .wr_id = 1 }) == EINVAL); /* is for type 1 */
	w.bind_mw.mw = mw;
	w.bind_mw.rkey = ibv_inc_rkey(mw->rkey);
	w.bind_mw.bind_info = (struct ibv_mw_bind_info){ p.mr[1], (uintptr_t)p.buf[1], 128,
		IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_ZERO_BASED };
	CHECK(ibv_post_send(p.qp[1], &w, &bad) == 0);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.opcode == IBV_WC_BIND_MW && wc.status == IBV_WC_SUCCESS);
	memset(p.buf[0], 0x6b, 8);
	CHECK(write_by(&p, w.bind_mw.rkey, 16, IBV_WC_SUCCESS) && p.buf[1][16] == 0x6b);
	/* the peer invalidates it with a send */
	CHECK(recv_one(&p, 1, 8, 9) == 0);
	w = (struct ibv_send_wr){ .opcode = IBV_WR_SEND_WITH_INV, .send_flags = IBV_SEND_SIGNALED,
		.invalidate_rkey = w.bind_mw.rkey };
	CHECK(ibv_post_send(p.qp[0], &w, &bad) == 0 && wait_wc(p.cq[0], &wc) == 1 && wc.status == IBV_WC_SUCCESS);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.status == IBV_WC_SUCCESS && (wc.wc_flags & IBV_WC_WITH_INV) &&
		wc.invalidated_rkey == w.invalidate_rkey);
	CHECK(write_by(&p, w.invalidate_rkey, 16, IBV_WC_REM_ACCESS_ERR));
	CHECK(ibv_dealloc_mw(mw) == 0);
	CHECK(pair_free(&p));
}

/* ------------------------------------------------------------------- regions */

static void rereg(void)
{
	static uint8_t other[10000];
	struct pair p;
	struct ibv_pd *pd;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	CHECK(ibv_rereg_mr(p.mr[1], IBV_REREG_MR_CHANGE_TRANSLATION, NULL, other, sizeof(other), 0) == 0);
	CHECK(p.mr[1]->addr == other && p.mr[1]->length == sizeof(other));
	memset(p.buf[0], 0x11, 8);
	CHECK(write_by(&p, p.mr[1]->rkey, (uintptr_t)other + 5000, IBV_WC_SUCCESS) && other[5007] == 0x11);
	pd = ibv_alloc_pd(ctx);
	CHECK(ibv_rereg_mr(p.mr[1], IBV_REREG_MR_CHANGE_PD, pd, NULL, 0, 0) == 0 && p.mr[1]->pd == pd);
	CHECK(ibv_dealloc_pd(pd) == EBUSY);
	CHECK(ibv_rereg_mr(p.mr[1], IBV_REREG_MR_CHANGE_PD | IBV_REREG_MR_CHANGE_ACCESS, p.pd[1], NULL, 0,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ) == 0);
	CHECK(ibv_dealloc_pd(pd) == 0);
	CHECK(write_by(&p, p.mr[1]->rkey, (uintptr_t)other, IBV_WC_REM_ACCESS_ERR));
	CHECK(pair_free(&p));
}

static void iova(void)
{
	const uint64_t at[] = { UINT64_C(0x7000000000000000), 0, 12345 };
	struct ibv_mr *mr;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	for (unsigned int i = 0; i < 3; i++) {
		mr = ibv_reg_mr_iova(p.pd[1], p.buf[1] + 100, 1000, at[i], ALL_ACCESS);
		CHECK(mr != NULL && mr->addr == p.buf[1] + 100);
		memset(p.buf[0], 0x21 + (int)i, 8);
		CHECK(write_by(&p, mr->rkey, at[i] + 992, IBV_WC_SUCCESS) && p.buf[1][1099] == 0x21 + i);
		CHECK(ibv_dereg_mr(mr) == 0);
	}
	mr = ibv_reg_mr(p.pd[1], p.buf[1] + 200, 1000, ALL_ACCESS | IBV_ACCESS_ZERO_BASED);
	CHECK(mr != NULL);
	memset(p.buf[0], 0x55, 8);
	CHECK(write_by(&p, mr->rkey, 8, IBV_WC_SUCCESS) && p.buf[1][208] == 0x55);
	CHECK(write_by(&p, mr->rkey, 993, IBV_WC_REM_ACCESS_ERR));
	CHECK(ibv_dereg_mr(mr) == 0);
	CHECK(pair_free(&p));
}

/* ----------------------------------------------------------------- datagrams */

static void answer_to_datagram(void)
{
	struct ibv_ah *ah;
	struct ibv_wc wc;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_UD, NULL));
	CHECK(recv_one(&p, 1, 140, 1) == 0 && send_one(&p, 0, IBV_WR_SEND, 100, 2) == 0);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.status == IBV_WC_SUCCESS && (wc.wc_flags & IBV_WC_GRH));
	CHECK(wc.byte_len == 140 && wc.src_qp == p.qp[0]->qp_num && wc.qp_num == p.qp[1]->qp_num);
	ah = ibv_create_ah_from_wc(p.pd[1], &wc, (struct ibv_grh *)p.buf[1], 1);
	CHECK(ah != NULL && wait_wc(p.cq[0], &wc) == 1);
	CHECK(ibv_destroy_ah(p.ah) == 0);
	p.ah = ah;
	CHECK(works(&p, 1, 200));
	CHECK(pair_free(&p));
}

static void group(void)
{
	union ibv_gid mgid = { .raw = { [10] = 0xff, 0xff, 239 } }, mgid6 = { .raw = { 0xff, 0x0e } };
	uint32_t pid = (uint32_t)getpid(); /* a group of this process */
	struct ibv_context *c = open_again();
	struct pair_opts o = { .other = c };
	struct ibv_ah_attr a = { .is_global = 1, .port_num = 1 };
	struct ibv_wc wc;
	struct pair p;
	struct ibv_ah *own;

	for (unsigned int i = 13; i < 16; i++, pid >>= 8)
		mgid.raw[i] = mgid6.raw[i] = (uint8_t)pid;
	CHECK(c != NULL && pair_make(&p, IBV_QPT_UD, &o));
	own = p.ah;
	a.grh.dgid = gid.raw[10] == 0xff ? mgid : mgid6;
	a.grh.sgid_index = (uint8_t)gid_index;
	p.ah = ibv_create_ah(p.pd[0], &a);
	CHECK(p.ah != NULL);
	for (int i = 0; i < 2; i++)
		CHECK(ibv_attach_mcast(p.qp[i], &a.grh.dgid, 0) == 0 && recv_one(&p, i, 200, 3) == 0);
	{
		struct ibv_sge s = { (uintptr_t)p.buf[0] + 1000, 100, p.mr[0]->lkey };
		struct ibv_send_wr *bad, w = { .sg_list = &s, .num_sge = 1, .opcode = IBV_WR_SEND_WITH_IMM,
			.imm_data = 0x1234, .wr.ud = { p.ah, 0xffffff, QKEY } };

		memset(p.buf[0] + 1000, 0x3c, 100);
		CHECK(ibv_post_send(p.qp[0], &w, &bad) == 0);
	}
	for (int i = 0; i < 2; i++) {
		CHECK(wait_wc(p.cq[i], &wc) == 1 && wc.status == IBV_WC_SUCCESS && wc.byte_len == 140);
		CHECK((wc.wc_flags & IBV_WC_WITH_IMM) && wc.imm_data == 0x1234 && wc.src_qp == p.qp[0]->qp_num);
		CHECK(p.buf[i][40] == 0x3c && p.buf[i][139] == 0x3c);
		CHECK(ibv_detach_mcast(p.qp[i], &a.grh.dgid, 0) == 0);
	}
	CHECK(ibv_destroy_ah(own) == 0 && pair_free(&p));
	CHECK(ibv_close_device(c) == 0);
}

const struct conform_case data_cases[] = {
	CASE(all_types), CASE(bad_requests), CASE(queues_fill), CASE(unsignaled_fail), CASE(inline_and_sges),
	CASE(windows_type_1), CASE(windows_type_2), CASE(rereg), CASE(iova), CASE(answer_to_datagram), CASE(group),
	{ NULL, NULL },
};
