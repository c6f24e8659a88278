/* SPDX-License-Identifier: BSD-3-Clause */
/* The two rings and the CQs: FENCE, PLAIN, full reply ring, overrun, sharing. */
#include <string.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV

static struct rig r;
static struct rig_cq cq;

static void plain(uint64_t wr_id, uint8_t flags)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_PLAIN, .flags = flags, .cqw = &cq.w, .wc = { .wr_id = wr_id } };

	rig_send(&r, &m);
}

PHCA_TEST(rings, create_refuses_what_cannot_work)
{
	struct phca_proxy_conf conf = { .name = "x", .ring_size = 64 };
	struct phca_loop *loop = phca_loop_create("x", NULL, 0, PHCA_IDLE_POLL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
	CU_ASSERT_PTR_NULL(phca_proxy_create(&conf));
	conf.loop = loop;
	conf.ring_size = 100;
	CU_ASSERT_PTR_NULL(phca_proxy_create(&conf));
	conf.ring_size = 0;
	CU_ASSERT_PTR_NULL(phca_proxy_create(&conf));
	phca_proxy_destroy(NULL);
	phca_loop_destroy(loop);
}

PHCA_TEST(rings, fence_is_answered_behind_what_came_before)
{
	char a, b;

	rig_init(&r, 256);
	rig_cq_init(&cq, 96, 32);
	plain(1, 0);
	rig_kind(&r, PHCA_PMSG_FENCE, &a);
	plain(2, PHCA_PMSG_F_SOLICITED);
	rig_kind(&r, PHCA_PMSG_FENCE, &b);
	rig_turn(&r);
	CU_ASSERT_EQUAL_FATAL(r.nb_replies, 2);
	CU_ASSERT_EQUAL(r.replies[0].kind, PHCA_PREPLY_FENCED);
	CU_ASSERT_PTR_EQUAL(r.replies[0].cookie, &a);
	CU_ASSERT_PTR_EQUAL(r.replies[1].cookie, &b);
	CU_ASSERT_EQUAL(((struct phca_cqe *)phca_ring_slot(&cq.app, 1))->flags, PHCA_CQE_SOLICITED);
	rig_cq_expect(&cq, 1, OK);
	rig_cq_expect(&cq, 2, OK);
	CU_ASSERT_EQUAL(rig_stats(&r).plain, 2);
	rig_fini(&r);
	rig_cq_fini(&cq);
}

PHCA_TEST(rings, full_reply_ring_loses_no_reply)
{
	/* Rings of 16: 15 replies fit. The HCA does not read for a while. */
	struct phca_preply got[64];
	unsigned int n = 0, k;
	uint32_t credit = 0, fences = 0;
	struct phca_pqp *q;
	struct phca_pmsg m;

	rig_init(&r, 16);
	rig_cq_init(&cq, 448, 64);
	q = rig_pqp(&r, 0x11, 16, &cq, &cq, NULL, 0, 0);
	for (uintptr_t round = 0; round < 400; round++) {
		m = (struct phca_pmsg){ .kind = PHCA_PMSG_FENCE, .cookie = (void *)(round + 1) };
		if (rte_ring_sp_enqueue_elem(phca_proxy_chan_ring(r.chan), &m, sizeof(m)) == 0)
			fences++;
		if (round < 16)
			rig_complete(&r, q, RECV, (uint32_t)round, round, OK, 0);
		phca_loop_turn(r.loop, r.now_ns);
	}
	CU_ASSERT_TRUE(rig_stats(&r).reply_ring_full > 0);
	CU_ASSERT_EQUAL(rte_ring_count(phca_proxy_chan_replies(r.chan)), 15);
	CU_ASSERT_TRUE(fences > 256 && fences < 400); /* the stage is full, the ring backs up */
	/* it reads again: every fence once and in order, then the credit */
	for (unsigned int idle = 0; idle < 3;) {
		k = rte_ring_sc_dequeue_burst_elem(phca_proxy_chan_replies(r.chan), got, sizeof(got[0]), 7, NULL);
		idle = k == 0 ? idle + 1 : 0;
		for (unsigned int i = 0; i < k; i++) {
			if (got[i].kind == PHCA_PREPLY_FENCED) {
				CU_ASSERT_PTR_EQUAL(got[i].cookie, (void *)(uintptr_t)(++n));
			} else {
				CU_ASSERT_EQUAL(got[i].kind, PHCA_PREPLY_CREDIT);
				CU_ASSERT_TRUE(got[i].seq > credit);
				credit = got[i].seq;
			}
		}
		phca_loop_turn(r.loop, r.now_ns);
	}
	CU_ASSERT_EQUAL(n, fences);
	CU_ASSERT_EQUAL(credit, 16);
	for (uint64_t i = 0; i < 16; i++)
		rig_cq_expect(&cq, i, OK);
	rig_pqp_end(&r, q);
	rig_fini(&r);
	rig_cq_fini(&cq);
}

PHCA_TEST(rings, error_and_detached_wait_for_room_in_the_reply_ring)
{
	struct phca_offload *o;
	struct phca_preply got;
	unsigned int errors = 0, detached = 0;
	struct phca_pqp *q[24];

	rig_init(&r, 16);
	rig_cq_init(&cq, 448, 64);
	o = rig_manual(&r, "manual", 0, false);
	rig_manual_state(o)->refuse = 5;
	for (uint32_t i = 0; i < 24; i++) {
		q[i] = rig_pqp(&r, i, 16, &cq, &cq, &o, 1, 0);
		rig_offload_in(&r, q[i], 0, 0, 16);
		phca_loop_turn(r.loop, r.now_ns);
	}
	for (uint32_t i = 0; i < 24; i++) {
		rig_kind(&r, PHCA_PMSG_DETACH, q[i]);
		phca_loop_turn(r.loop, r.now_ns);
	}
	CU_ASSERT_EQUAL(rig_stats(&r).pqps, 0); /* told, into the stage */
	for (unsigned int i = 0; i < 200; i++) {
		if (rte_ring_sc_dequeue_elem(phca_proxy_chan_replies(r.chan), &got, sizeof(got)) == 0) {
			errors += got.kind == PHCA_PREPLY_ERROR;
			detached += got.kind == PHCA_PREPLY_DETACHED;
			if (got.kind == PHCA_PREPLY_DETACHED) {
				phca_pqp_destroy(q[(uintptr_t)got.cookie]);
				q[(uintptr_t)got.cookie] = NULL;
			} else {
				CU_ASSERT_PTR_NOT_NULL(q[(uintptr_t)got.cookie]);
			}
		}
		phca_loop_turn(r.loop, r.now_ns);
	}
	CU_ASSERT_EQUAL(errors, 24);
	CU_ASSERT_EQUAL(detached, 24);
	rig_fini(&r);
	rig_cq_fini(&cq);
}

PHCA_TEST(rings, overrun_is_told_once_and_stops_the_cq)
{
	struct phca_pqp *q;

	rig_init(&r, 256);
	rig_cq_init(&cq, 12, 4);
	q = rig_pqp(&r, 0x11, 64, &cq, &cq, NULL, 0, 0);
	for (uint32_t i = 0; i < 20; i++)
		rig_complete(&r, q, SEND, i, i, OK, 0);
	plain(99, 0);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_CQ_ERROR, &cq.w), 1);
	CU_ASSERT_EQUAL(rig_stats(&r).cq_overruns, 1);
	CU_ASSERT_EQUAL(cq.w.lost, 5);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)(uintptr_t)0x11, SEND, 0), 20); /* the QP is not stuck */
	for (uint64_t i = 0; i < 16; i++)
		rig_cq_expect(&cq, i, OK);
	plain(100, 0);
	rig_settle(&r);
	rig_cq_expect_empty(&cq); /* in error for good */
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_CQ_ERROR, &cq.w), 1);
	rig_pqp_end(&r, q);
	rig_fini(&r);
	rig_cq_fini(&cq);
}

PHCA_TEST(rings, one_cq_of_two_proxy_qps_and_a_plain_one)
{
	struct phca_offload *o;
	struct phca_pqp *a, *b;

	rig_init(&r, 256);
	rig_cq_init(&cq, 96, 32);
	o = rig_manual(&r, "manual", 0, false);
	a = rig_pqp(&r, 1, 16, &cq, &cq, &o, 1, 0);
	b = rig_pqp(&r, 2, 16, &cq, &cq, &o, 1, 0);
	rig_offload_in(&r, a, 0, 0, 8);
	rig_complete(&r, a, RECV, 1, 11, OK, 0);
	rig_complete(&r, b, RECV, 0, 20, OK, 0);
	plain(30, 0);
	rig_complete(&r, a, SEND, 0, 12, OK, 0);
	rig_turn(&r);
	rig_cq_expect(&cq, 20, OK);
	rig_cq_expect(&cq, 30, OK);
	rig_cq_expect(&cq, 12, OK);
	rig_cq_expect_empty(&cq);
	rig_manual_done(o, RECV, 0, OK);
	rig_turn(&r);
	rig_cq_expect(&cq, 11, OK);
	rig_pqp_end(&r, a);
	rig_pqp_end(&r, b);
	rig_fini(&r);
	rig_cq_fini(&cq);
}

/* With FENCED the HCA frees the CQ: its overrun must be told before. */
PHCA_TEST(rings, overrun_is_told_before_a_fence_behind_it)
{
	char fence;

	rig_init(&r, 256);
	rig_cq_init(&cq, 12, 4);
	for (unsigned int i = 0; i < 17; i++)
		plain(i, 0);
	rig_kind(&r, PHCA_PMSG_FENCE, &fence);
	rig_turn(&r);
	CU_ASSERT_EQUAL_FATAL(r.nb_replies, 2);
	CU_ASSERT_EQUAL(r.replies[0].kind, PHCA_PREPLY_CQ_ERROR);
	CU_ASSERT_PTR_EQUAL(r.replies[0].cookie, &cq.w);
	CU_ASSERT_EQUAL(r.replies[1].kind, PHCA_PREPLY_FENCED);
	rig_fini(&r);
	rig_cq_fini(&cq);
}

PHCA_TEST(rings, mbufs_go_back_to_the_hca_lcore_and_what_finds_no_room_is_freed)
{
	struct rte_mbuf *got[64];
	struct phca_offload *o;
	struct phca_pqp *q;
	struct rte_ring *back;
	unsigned int all, n;

	rig_init(&r, 16); /* 15 elements a ring */
	rig_cq_init(&cq, 96, 32);
	o = rig_offload(&r, "null", "null", 0, NULL, 0);
	q = rig_pqp(&r, 0x31, 64, &cq, &cq, &o, 1, 0);
	back = phca_proxy_chan_mbufs(r.chan);
	all = rte_mempool_avail_count(r.pool);
	for (unsigned int i = 0; i < 20; i++) {
		rig_offload_in(&r, q, i, 0, 8);
		rig_turn(&r);
	}
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r.pool), all - 15); /* 5 were freed by the proxy */
	n = rte_ring_sc_dequeue_burst(back, (void **)got, 10, NULL);
	CU_ASSERT_EQUAL(n, 10);
	rte_pktmbuf_free_bulk(got, n);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r.pool), all - 5);
	rig_pqp_end(&r, q);
	rig_fini(&r); /* the other 5 go with the proxy: it asserts that all are back */
	rig_cq_fini(&cq);
}
