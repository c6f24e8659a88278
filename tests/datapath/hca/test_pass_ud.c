/* SPDX-License-Identifier: BSD-3-Clause */
/* Inbound UD and UC requests that are given back, and receives that queue pairs of RC share. */
#include <stdlib.h>
#include <string.h>

#include "hca_impl.h"
#include "judge.h"

#define FAR (16 * LAB_BUF)
#define M JUDGE_MARK
#define D 0x10

struct fx {
	struct lab *l;
	struct lab_qp q;
	struct judge *j;
};

static struct fx fx_open(const struct lab_opts *lo, enum phca_qp_type type, unsigned int nb_recv)
{
	struct fx x = { .l = lab_open(lo) };

	x.q = lab_qp(x.l, type, 0);
	lab_post(&x.q, nb_recv);
	x.j = judge_open(x.l, false);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.q.qp, x.j->rule, 1, 0) == 0);
	return x;
}

static void fx_close(struct fx *x)
{
	lab_qp_free(x->l, &x->q);
	judge_close(x->j);
	lab_close(x->l);
}

static void pkt(struct fx *x, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t seed)
{
	struct phca_wire_hdr h = lab_hdr(x->l, op, x->q.qpn, psn);

	h.imm = 5;
	h.va = (uintptr_t)x->q.buf + FAR;
	h.rkey = x->q.lkey;
	h.dma_len = op == PHCA_UC_WRITE_FIRST ? 2 * LAB_MTU : n;
	lab_send(x->l, &h, n, seed);
	lab_turn(x->l, 3);
}

static struct phca_wc received(struct fx *x, uint64_t id, uint32_t n, uint8_t seed)
{
	uint32_t grh = lab_info(&x->q).type == PHCA_QPT_UD ? PHCA_GRH_LEN : 0;
	struct phca_wc wc = { .status = PHCA_WC_GENERAL_ERR };

	CU_ASSERT_FATAL(lab_poll(&x->q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.wr_id, id);
	CU_ASSERT_EQUAL(wc.byte_len, grh + n);
	CU_ASSERT(lab_is(lab_buf(&x->q, id) + grh, n, seed));
	return wc;
}

static void no_receive(struct fx *x)
{
	struct phca_wc wc;

	lab_turn(x->l, 3);
	CU_ASSERT_FALSE(lab_poll(&x->q, &wc));
}

/* What is passed looks as what is direct does: source, immediate data, and the 40 bytes in front (11.4.2.1). */
PHCA_TEST(pass_ud, is_received_as_a_direct_one)
{
	struct fx x = fx_open(NULL, PHCA_QPT_UD, 4);
	struct phca_wc direct, passed, behind;

	pkt(&x, PHCA_UD_SEND_ONLY_IMM, 0, 50, D);
	pkt(&x, PHCA_UD_SEND_ONLY_IMM, 1, 50, M);
	pkt(&x, PHCA_UD_SEND_ONLY_IMM, 2, 50, D);
	direct = received(&x, 0, 50, D);
	no_receive(&x);
	judge_pass(x.l, x.j, 0);
	passed = received(&x, 1, 50, M);
	behind = received(&x, 2, 50, D);
	CU_ASSERT_EQUAL(direct.wc_flags, PHCA_WC_F_WITH_IMM | PHCA_WC_F_GRH);
	direct.wr_id = 1;
	CU_ASSERT_EQUAL(memcmp(&direct, &passed, sizeof(direct)), 0);
	direct.wr_id = 2;
	CU_ASSERT_EQUAL(memcmp(&direct, &behind, sizeof(direct)), 0);
	CU_ASSERT_EQUAL(memcmp(lab_buf(&x.q, 0), lab_buf(&x.q, 1), PHCA_GRH_LEN), 0);
	CU_ASSERT_EQUAL(memcmp(lab_buf(&x.q, 0), lab_buf(&x.q, 2), PHCA_GRH_LEN), 0);
	pkt(&x, PHCA_UD_SEND_ONLY, 3, 20, M);
	judge_deliver(x.l, x.j, 0, 333, 1);
	received(&x, 3, 333, 1);
	fx_close(&x);
}

/* A datagram that no receive takes is dropped (9.8.3.2.3); one that is consumed needs none. */
PHCA_TEST(pass_ud, no_receive)
{
	struct fx x = fx_open(NULL, PHCA_QPT_UD, 2);

	pkt(&x, PHCA_UD_SEND_ONLY, 0, 20, M);
	pkt(&x, PHCA_UD_SEND_ONLY, 1, 20, M + 1);
	pkt(&x, PHCA_UD_SEND_ONLY, 2, 20, D);
	pkt(&x, PHCA_UD_SEND_ONLY, 3, 20, M + 2);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_dropped, 0);
	judge_pass(x.l, x.j, 2);
	judge_done(x.l, x.j, 0);
	judge_pass(x.l, x.j, 0);
	received(&x, 0, 20, M + 1);
	received(&x, 1, 20, D);
	no_receive(&x);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_pass_dropped, 1);
	lab_post(&x.q, 1);
	no_receive(&x); /* it does not wait for one */
	pkt(&x, PHCA_UD_SEND_ONLY, 4, 20, D + 1);
	received(&x, 2, 20, D + 1);
	fx_close(&x);
}

/* As a direct one: dropped, the receive takes the next message. */
PHCA_TEST(pass_ud, too_long_for_its_receive)
{
	struct fx x = fx_open(NULL, PHCA_QPT_UD, 0);
	struct phca_sge sge = { (uintptr_t)lab_buf(&x.q, 0), PHCA_GRH_LEN + 19, x.q.lkey };
	struct phca_recv_wr wr = { 0, &sge, 1 };

	CU_ASSERT_EQUAL(phca_post_recv(x.q.qp, &wr, 1), 1);
	pkt(&x, PHCA_UD_SEND_ONLY, 0, 20, M);
	judge_pass(x.l, x.j, 0);
	no_receive(&x);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_pass_dropped, 1);
	CU_ASSERT_EQUAL(lab_info(&x.q).state, PHCA_QPS_RTS);
	pkt(&x, PHCA_UD_SEND_ONLY, 1, 19, D);
	received(&x, 0, 19, D);
	fx_close(&x);
}

PHCA_TEST(pass_uc, every_operation_in_order)
{
	struct fx x = fx_open(NULL, PHCA_QPT_UC, 5);
	struct phca_wc wc;

	memset(x.q.buf + FAR, 0xee, 64);
	pkt(&x, PHCA_UC_SEND_FIRST, 0, LAB_MTU, M);
	pkt(&x, PHCA_UC_SEND_LAST, 1, 7, 1);
	pkt(&x, PHCA_UC_WRITE_ONLY, 2, 40, D);
	pkt(&x, PHCA_UC_SEND_ONLY_IMM, 3, 20, D);
	pkt(&x, PHCA_UC_WRITE_ONLY_IMM, 4, 41, M);
	pkt(&x, PHCA_UC_SEND_ONLY, 5, 21, D);
	no_receive(&x);
	CU_ASSERT_EQUAL(x.q.buf[FAR], 0xee);
	judge_pass(x.l, x.j, 0);
	CU_ASSERT_FATAL(lab_poll(&x.q, &wc));
	CU_ASSERT_EQUAL(wc.byte_len, LAB_MTU + 7);
	CU_ASSERT(lab_is(lab_buf(&x.q, 0), LAB_MTU, M) && lab_is(lab_buf(&x.q, 0) + LAB_MTU, 7, 1));
	wc = received(&x, 1, 20, D);
	CU_ASSERT_EQUAL(wc.imm, 5);
	no_receive(&x);
	CU_ASSERT(lab_is(x.q.buf + FAR, 40, D));
	judge_pass(x.l, x.j, 0);
	CU_ASSERT_FATAL(lab_poll(&x.q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 2);
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_RECV_RDMA_WITH_IMM);
	CU_ASSERT_EQUAL(wc.byte_len, 41);
	CU_ASSERT(lab_is(x.q.buf + FAR, 41, M));
	received(&x, 3, 21, D);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_direct, 0);
	fx_close(&x);
}

PHCA_TEST(pass_uc, messages_of_several_packets)
{
	struct lab_opts lo = { .max_held = 2 };
	struct fx x = fx_open(&lo, PHCA_QPT_UC, 4);
	struct phca_wc wc;

	pkt(&x, PHCA_UC_SEND_ONLY, 0, 20, M);
	pkt(&x, PHCA_UC_SEND_FIRST, 1, LAB_MTU, D); /* too long to be held */
	pkt(&x, PHCA_UC_SEND_MIDDLE, 2, LAB_MTU, D);
	pkt(&x, PHCA_UC_SEND_LAST, 3, 20, D);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_PROXY_ORDER), 3);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_dropped, 1);
	pkt(&x, PHCA_UC_WRITE_FIRST, 4, LAB_MTU, D);
	pkt(&x, PHCA_UC_WRITE_LAST, 5, LAB_MTU, D);
	pkt(&x, PHCA_UC_SEND_FIRST, 6, LAB_MTU, D);
	pkt(&x, PHCA_UC_SEND_LAST, 7, 30, D);
	judge_pass(x.l, x.j, 0);
	received(&x, 0, 20, M);
	CU_ASSERT(lab_is(x.q.buf + FAR + LAB_MTU, LAB_MTU, D));
	CU_ASSERT_FATAL(lab_poll(&x.q, &wc));
	CU_ASSERT_EQUAL(wc.byte_len, LAB_MTU + 30);
	pkt(&x, PHCA_UC_SEND_FIRST, 8, LAB_MTU, D);
	pkt(&x, PHCA_UC_SEND_LAST, 9, 20, D);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_direct, 1);
	fx_close(&x);
}

PHCA_TEST(pass_uc, longer_write_than_may_be_held)
{
	struct lab_opts lo = { .max_held = 1 };
	struct fx x = fx_open(&lo, PHCA_QPT_UC, 1);

	x.q.buf[FAR] = 0xee;
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 20, M);
	pkt(&x, PHCA_UC_WRITE_FIRST, 1, LAB_MTU, D);
	pkt(&x, PHCA_UC_WRITE_LAST, 2, LAB_MTU, D);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_PROXY_ORDER), 2);
	CU_ASSERT_EQUAL(x.q.buf[FAR], 0xee);
	judge_pass(x.l, x.j, 0);
	received(&x, 0, 20, M);
	fx_close(&x);
}

PHCA_TEST(pass_uc, no_receive_and_too_long)
{
	struct fx x = fx_open(NULL, PHCA_QPT_UC, 0);
	struct phca_sge sge = { (uintptr_t)lab_buf(&x.q, 0), 19, x.q.lkey };
	struct phca_recv_wr wr = { 0, &sge, 1 };

	pkt(&x, PHCA_UC_SEND_FIRST, 0, LAB_MTU, M);
	pkt(&x, PHCA_UC_SEND_LAST, 1, 20, M);
	pkt(&x, PHCA_UC_WRITE_ONLY_IMM, 2, 20, M);
	CU_ASSERT_EQUAL(x.j->n, 2);
	judge_pass(x.l, x.j, 0);
	judge_pass(x.l, x.j, 0);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_pass_dropped, 2);
	CU_ASSERT_EQUAL(phca_post_recv(x.q.qp, &wr, 1), 1);
	pkt(&x, PHCA_UC_SEND_ONLY, 3, 20, M);
	judge_pass(x.l, x.j, 0);
	no_receive(&x);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_pass_dropped, 3);
	pkt(&x, PHCA_UC_SEND_ONLY, 4, 19, D);
	received(&x, 0, 19, D);
	fx_close(&x);
}

/* ---------------------------------------------------- shared receive queue */

#define BUF 2048

struct srq {
	struct lab *l;
	struct phca_srq *srq;
	struct phca_cq *cq;
	struct phca_qp *qp[3]; /* two proxy QPs, and a plain one that takes receives at once */
	struct judge *j;
	uint8_t *buf;
	uint32_t key;
	uint64_t next_id;
	uint32_t psn[3];
};

static struct srq srq_open(void)
{
	struct srq x = { .l = lab_open(NULL) };
	struct phca_srq_init si = { .pd = x.l->pd, .max_wr = 16, .max_sge = 1 };

	x.j = judge_open(x.l, false);
	CU_ASSERT_FATAL(phca_srq_create(x.l->client, &si, &x.srq) == 0);
	CU_ASSERT_FATAL(phca_cq_create(x.l->client, 64, &x.cq) == 0);
	for (unsigned int i = 0; i < 3; i++) {
		struct phca_qp_init qi = {
			.type = PHCA_QPT_RC, .pd = x.l->pd, .send_cq = x.cq, .recv_cq = x.cq, .srq = x.srq,
		};

		CU_ASSERT_FATAL(phca_qp_create(x.l->client, &qi, &x.qp[i]) == 0);
		lab_qp_up(x.l, x.qp[i], PHCA_QPT_RC, PHCA_QPS_RTR, 0);
		if (i < 2)
			CU_ASSERT_FATAL(phca_qp_proxy_attach(x.qp[i], x.j->rule, 1, 0) == 0);
	}
	x.buf = calloc(16, BUF);
	CU_ASSERT_FATAL(phca_mr_reg(x.l->mem, x.l->pd, x.buf, 16 * BUF, (uintptr_t)x.buf,
		PHCA_ACCESS_LOCAL_WRITE, &x.key) == 0);
	return x;
}

static void srq_close(struct srq *x)
{
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(phca_qp_destroy(x->qp[i]), 0);
	CU_ASSERT_EQUAL(phca_srq_destroy(x->srq), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(x->cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x->l->mem, x->key), 0);
	free(x->buf);
	judge_close(x->j);
	lab_close(x->l);
}

static void srq_post(struct srq *x, unsigned int n)
{
	for (; n > 0; n--, x->next_id++) {
		struct phca_sge sge = { (uintptr_t)x->buf + x->next_id % 16 * BUF, BUF, x->key };
		struct phca_recv_wr wr = { .wr_id = x->next_id, .sge = &sge, .num_sge = 1 };

		CU_ASSERT_EQUAL(phca_post_srq_recv(x->srq, &wr, 1), 1);
	}
	lab_turn(x->l, 3);
}

static void send_to(struct srq *x, unsigned int i, uint8_t seed)
{
	struct phca_wire_hdr h = lab_hdr(x->l, PHCA_RC_SEND_ONLY, phca_qp_num(x->qp[i]), x->psn[i]++);

	lab_send(x->l, &h, 64, seed);
	lab_turn(x->l, 3);
}

static void srq_received(struct srq *x, uint64_t id, unsigned int i, uint8_t seed)
{
	struct phca_wc wc = { .status = PHCA_WC_GENERAL_ERR };

	CU_ASSERT_FATAL(phca_poll_cq(x->cq, 1, &wc) == 1);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.wr_id, id);
	CU_ASSERT_EQUAL(wc.qp_num, phca_qp_num(x->qp[i]));
	CU_ASSERT(lab_is(x->buf + id % 16 * BUF, 64, seed));
}

/* Whose the next completion is. */
static unsigned int srq_first(const struct srq *x)
{
	const struct phca_cqe *e = phca_ring_head(&x->cq->user);

	return e->wc.qp_num == phca_qp_num(x->qp[0]) ? 0 : 1;
}

static void srq_nothing(struct srq *x)
{
	struct phca_wc wc;

	lab_turn(x->l, 3);
	CU_ASSERT_EQUAL(phca_poll_cq(x->cq, 1, &wc), 0);
}

static struct phca_qp_stats srq_stats(const struct srq *x, unsigned int i)
{
	struct phca_qp_info info;

	phca_qp_info_get(x->qp[i], &info);
	return info.stats;
}

/* Another queue pair takes the receive first: what was given back waits, and nothing overtakes it. */
PHCA_TEST(pass_srq, receive_that_another_took_is_waited_for)
{
	struct srq x = srq_open();

	srq_post(&x, 2);
	send_to(&x, 0, M);
	send_to(&x, 0, D);
	send_to(&x, 2, D + 1);
	send_to(&x, 2, D + 2);
	srq_received(&x, 0, 2, D + 1);
	srq_received(&x, 1, 2, D + 2);
	judge_pass(x.l, x.j, 0);
	srq_nothing(&x);
	CU_ASSERT_EQUAL(srq_stats(&x, 0).rx_pass_waits, 1);
	srq_post(&x, 1);
	srq_received(&x, 2, 0, M);
	srq_nothing(&x);
	send_to(&x, 0, D + 3); /* what waits needs the next one */
	srq_nothing(&x);
	srq_post(&x, 3);
	srq_received(&x, 3, 0, D);
	srq_received(&x, 4, 0, D + 3);
	send_to(&x, 0, D + 4);
	srq_received(&x, 5, 0, D + 4);
	CU_ASSERT_EQUAL(srq_stats(&x, 0).rx_direct, 1);
	srq_close(&x);
}

/* Both have two messages that wait. */
static void both_wait(struct srq *x)
{
	srq_post(x, 2);
	for (uint8_t i = 0; i < 4; i++)
		send_to(x, i & 1, M + i);
	CU_ASSERT_EQUAL_FATAL(x->j->n, 4);
	for (uint8_t i = 0; i < 2; i++) {
		send_to(x, 2, D + i);
		srq_received(x, i, 2, D + i);
	}
	for (uint8_t i = 0; i < 4; i += 2) {
		judge_pass(x->l, x->j, 0);
		judge_deliver(x->l, x->j, 0, 64, M + i + 1); /* no other bytes, but in other buffers */
	}
	srq_nothing(x);
}

PHCA_TEST(pass_srq, queue_pairs_that_wait_take_turns)
{
	struct srq x = srq_open();

	both_wait(&x);
	for (uint8_t i = 0; i < 2; i++) {
		srq_post(&x, 1);
		srq_post(&x, 1);
		CU_ASSERT_EQUAL(srq_stats(&x, 0).rx_passed, i + 1);
		CU_ASSERT_EQUAL(srq_stats(&x, 1).rx_passed, i + 1);
		srq_received(&x, 2 + 2 * i, srq_first(&x), M + 2 * i + (uint8_t)srq_first(&x));
		srq_received(&x, 3 + 2 * i, srq_first(&x), M + 2 * i + (uint8_t)srq_first(&x));
	}
	srq_close(&x);
}

/* What waits for a queue pair that goes to ERROR is dropped; the receive that comes is another's. */
PHCA_TEST(pass_srq, error_while_it_waits)
{
	const struct phca_qp_attr err = { .state = PHCA_QPS_ERR };
	struct srq x = srq_open();

	both_wait(&x);
	CU_ASSERT_EQUAL(phca_qp_modify(x.qp[0], &err, PHCA_QP_STATE), 0);
	srq_nothing(&x);
	CU_ASSERT_EQUAL(srq_stats(&x, 0).rx_pass_dropped, 2);
	srq_post(&x, 2);
	srq_received(&x, 2, 1, M + 1);
	srq_received(&x, 3, 1, M + 3);
	srq_close(&x);
}

PHCA_TEST(pass_srq, destroy_while_it_waits)
{
	struct srq x = srq_open();

	both_wait(&x);
	srq_close(&x);
}
