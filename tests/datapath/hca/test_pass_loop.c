/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two queue pairs of one HCA, on one lcore and on two: the requester of one, and the offload
 * that gives back what arrives at the other.
 */
#include <string.h>

#include "judge.h"

#define N 60
#define LEN 3000 /* three packets */

struct loop {
	struct lab *l;
	struct lab_qp q[2];
	struct judge *j;
	uint8_t src[N][LEN];
	uint32_t key;
};
static struct loop x;

static void loop_open(unsigned int nb_shards)
{
	struct lab_opts lo = { .nb_shards = nb_shards };

	memset(&x, 0, sizeof(x));
	x.l = lab_open(&lo);
	for (unsigned int i = 0; i < 2; i++)
		x.q[i] = lab_qp(x.l, PHCA_QPT_RC, 0x300 + i);
	lab_connect(x.l, &x.q[0], &x.q[1]);
	x.j = judge_open(x.l, false);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.q[1].qp, x.j->rule, 1, 0) == 0);
	CU_ASSERT_FATAL(phca_mr_reg(x.l->mem, x.l->pd, x.src, sizeof(x.src), (uintptr_t)x.src, 0, &x.key) == 0);
}

static void loop_close(void)
{
	lab_qp_free(x.l, &x.q[0]);
	lab_qp_free(x.l, &x.q[1]);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.l->mem, x.key), 0);
	judge_close(x.j);
	lab_close(x.l);
}

static bool marked(uint32_t i)
{
	return i % 3 == 0;
}

static uint32_t len_of(uint32_t i)
{
	return i % 5 == 0 ? LEN : 20 + i;
}

static void send(uint32_t i)
{
	struct phca_sge sge = { (uintptr_t)x.src[i], len_of(i), x.key };
	struct phca_send_wr w = {
		.wr_id = i, .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED,
	};

	for (uint32_t k = 0; k < LEN; k++)
		x.src[i][k] = (uint8_t)((marked(i) ? JUDGE_MARK : 1) + k);
	CU_ASSERT_EQUAL(phca_post_send(x.q[0].qp, &w, 1), 1);
}

/* The last one that waits first; every sixth message is consumed. */
static void decide(void)
{
	while (x.j->n > 0) {
		unsigned int i = x.j->n - 1;

		if (x.j->req[i]->len == 20 + 6 || x.j->req[i]->len == 20 + 36)
			judge_done(x.l, x.j, i);
		else
			judge_pass(x.l, x.j, i);
	}
}

static void messages_arrive_in_order(unsigned int nb_shards)
{
	uint32_t sent = 0, got = 0, acked = 0;
	uint64_t id = 0;
	struct phca_wc wc;

	loop_open(nb_shards);
	for (unsigned int turn = 0; turn < 20000 && (acked < N || got < N); turn++) {
		if (sent < N && sent - acked < 16)
			send(sent++);
		if (turn % 7 == 0 && x.q[1].next_id - id < 8)
			lab_post(&x.q[1], 2); /* now and then there is none */
		lab_turn(x.l, 1);
		x.l->now_ns += 20000;
		if (turn % 11 == 0)
			decide();
		while (lab_poll(&x.q[0], &wc)) {
			CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
			CU_ASSERT_EQUAL(wc.wr_id, acked++);
		}
		while (lab_poll(&x.q[1], &wc)) {
			got += got == 6 || got == 36; /* consumed */
			CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
			CU_ASSERT_EQUAL(wc.wr_id, id++);
			CU_ASSERT_EQUAL(wc.byte_len, len_of(got));
			CU_ASSERT(lab_is(lab_buf(&x.q[1], wc.wr_id), wc.byte_len, marked(got) ? JUDGE_MARK : 1));
			got++;
		}
	}
	CU_ASSERT_EQUAL(acked, N);
	CU_ASSERT_EQUAL(got, N);
	CU_ASSERT_EQUAL(lab_info(&x.q[1]).stats.rx_messages, N);
	CU_ASSERT_EQUAL(x.j->submitted, N / 3);
	CU_ASSERT(lab_info(&x.q[1]).stats.rx_ordered > 0);
	CU_ASSERT(lab_info(&x.q[0]).stats.rx_rnr_naks > 0);
	loop_close();
}

PHCA_TEST(pass_loop, messages_arrive_in_order)
{
	messages_arrive_in_order(1);
}

PHCA_TEST(pass_loop, messages_arrive_in_order_from_another_lcore)
{
	messages_arrive_in_order(2);
}
