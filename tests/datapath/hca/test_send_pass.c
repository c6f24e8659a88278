/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posted work requests that an offload gives back: they go on the wire after all, in
 * the order in which they were posted, and complete as if nobody had looked at them.
 */
#include <string.h>

#include "child_lab.h"

static struct child_driver *const d = &child_driver;

/* Give back the i-th that is held. */
static void pass(struct child_lab *x, unsigned int i)
{
	CU_ASSERT_EQUAL(phca_offload_pass(d->held[i]), 0);
	memmove(&d->held[i], &d->held[i + 1], (--d->nb_held - i) * sizeof(d->held[0]));
	lab_turn(x->p.l, 3);
}

static struct child_lab open_with(enum phca_qp_type type, const struct peer_opts *po)
{
	struct child_lab x = child_open(type, true, NULL, po);

	child_attach(&x, 16);
	return x;
}

static void posted(struct child_lab *x, enum phca_wr_opcode op, uint32_t n, uint64_t id, uint32_t flags)
{
	child_app_post(x, op, n, id, flags);
	lab_turn(x->p.l, 3);
}

PHCA_TEST(send_pass, every_opcode_of_rc)
{
	struct child_lab x = open_with(PHCA_QPT_RC, NULL);
	struct phca_qp_info i;

	posted(&x, PHCA_WR_SEND, BIG, 1, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND_WITH_IMM, 200, 2, 0);
	posted(&x, PHCA_WR_RDMA_WRITE, 3 * LAB_MTU, 3, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_RDMA_WRITE_WITH_IMM, BIG, 4, 0);
	posted(&x, PHCA_WR_RDMA_READ, LAB_MTU, 5, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND_WITH_INV, BIG, 6, 0);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 6);
	peer_expect_none(&x.p);
	while (d->nb_held > 0)
		pass(&x, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, BIG, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY_IMM, PEER_PSN + 1, 200, 0);
	child_expect(&x, PHCA_RC_WRITE_FIRST, PEER_PSN + 2, LAB_MTU, 0);
	child_expect(&x, PHCA_RC_WRITE_MIDDLE, PEER_PSN + 3, LAB_MTU, 0);
	child_expect(&x, PHCA_RC_WRITE_LAST, PEER_PSN + 4, LAB_MTU, 0);
	child_expect(&x, PHCA_RC_WRITE_ONLY_IMM, PEER_PSN + 5, BIG, 0);
	child_expect(&x, PHCA_RC_READ_REQ, PEER_PSN + 6, 0, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY_INV, PEER_PSN + 7, BIG, 0);
	peer_expect_none(&x.p);
	peer_no_wc(&x.p);
	peer_ack(&x.p, PEER_PSN + 5, PEER_ACK);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 3, PHCA_WC_SUCCESS);
	peer_no_wc(&x.p);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 6, LAB_MTU, 7);
	peer_wc(&x.p, 5, PHCA_WC_SUCCESS);
	CU_ASSERT(lab_is(x.p.mem, LAB_MTU, 7));
	peer_ack(&x.p, PEER_PSN + 7, PEER_ACK);
	i = lab_info(&x.p.q);
	CU_ASSERT_EQUAL(i.stats.tx_wrs, 6);
	CU_ASSERT_EQUAL(i.stats.tx_offloaded, 6);
	CU_ASSERT_EQUAL(i.stats.tx_passed, 6);
	CU_ASSERT_EQUAL(i.stats.tx_direct, 6);
	child_close(&x);
}

/* Atomics are too short for the rule by size: every work request is offloaded here. */
PHCA_TEST(send_pass, atomics_and_inline)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	struct phca_send_wr w = peer_wr(&x.p, PHCA_WR_SEND, 24);

	x.r.filter = lab_filter(x.p.l, "all", NULL, 0);
	child_attach(&x, 16);
	w.flags = PHCA_SEND_INLINE | PHCA_SEND_SIGNALED;
	w.inline_data = x.p.mem;
	w.inline_len = 24;
	peer_post(&x.p, &w);
	memset(x.p.mem, 0, 24); /* it has its bytes */
	w = peer_wr(&x.p, PHCA_WR_ATOMIC_CMP_AND_SWP, 8);
	w.wr_id = 2;
	w.compare_add = 5;
	w.swap = 6;
	peer_post(&x.p, &w);
	lab_turn(x.p.l, 2);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 2);
	pass(&x, 0);
	pass(&x, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 24, 0);
	child_expect(&x, PHCA_RC_CMP_SWAP, PEER_PSN + 1, 0, 0);
	peer_atomic_ack(&x.p, PEER_PSN + 1, 5);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(memcmp(x.p.mem, &(uint64_t){ 5 }, 8), 0);
	child_close(&x);
}

/* Decided in any order, they are sent in that of the posts, children and direct ones too. */
PHCA_TEST(send_pass, order_is_that_of_the_posts)
{
	struct child_lab x = open_with(PHCA_QPT_RC, NULL);

	posted(&x, PHCA_WR_SEND, BIG, 1, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND, BIG + 1, 2, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND, BIG + 2, 3, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND, 9, 4, PHCA_SEND_SIGNALED);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 3);
	x.q = d->held[0]->pqp;
	pass(&x, 2);
	child_send(&x, 50, d->held[1]);
	phca_offload_done(d->held[1], PHCA_WC_SUCCESS);
	d->nb_held = 1;
	lab_turn(x.p.l, 3);
	peer_expect_none(&x.p);
	pass(&x, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, BIG, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 1, 8, 50);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 2, BIG + 2, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 3, 9, 0);
	peer_expect_none(&x.p);
	peer_ack(&x.p, PEER_PSN + 3, PEER_ACK);
	lab_turn(x.p.l, 2);
	for (uint64_t i = 1; i <= 4; i++)
		peer_wc(&x.p, i, PHCA_WC_SUCCESS);
	child_ended(50, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* With a fence it was not handed over before earlier READs had ended; later ones are no matter. */
PHCA_TEST(send_pass, fences)
{
	struct child_lab x = open_with(PHCA_QPT_RC, NULL);

	posted(&x, PHCA_WR_RDMA_READ, BIG, 1, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND, BIG, 2, PHCA_SEND_SIGNALED | PHCA_SEND_FENCE);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 1);
	pass(&x, 0);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN);
	CU_ASSERT_EQUAL(d->nb_held, 0);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, BIG, 0);
	lab_turn(x.p.l, 100);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 1);
	posted(&x, PHCA_WR_RDMA_READ, BIG, 3, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND, 9, 4, PHCA_SEND_SIGNALED | PHCA_SEND_FENCE);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 2);
	pass(&x, 0);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	pass(&x, 0);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN + 2);
	peer_expect_none(&x.p);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 2, BIG, 0);
	lab_turn(x.p.l, 100);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 3);
	peer_ack(&x.p, PEER_PSN + 3, PEER_ACK);
	for (uint64_t i = 2; i <= 4; i++)
		peer_wc(&x.p, i, PHCA_WC_SUCCESS);
	child_close(&x);
}

PHCA_TEST(send_pass, ud)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	struct lab_qp u = lab_qp(x.p.l, PHCA_QPT_UD, 0);
	struct phca_sge sge = { (uintptr_t)x.p.mem, 300, x.p.key };
	struct phca_send_wr w = { .wr_id = 5, .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND,
		.flags = PHCA_SEND_SIGNALED, .remote_qpn = LAB_PEER_QPN, .remote_qkey = LAB_QKEY,
		.av = { .dgid = { [10] = 0xff, 0xff, 192, 0, 2, 2 } } };
	static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct phca_child *c;
	struct phca_wc wc;

	w.av.sgid_index = (uint8_t)phca_net_gid_find(x.p.l->net, own);
	CU_ASSERT_EQUAL_FATAL(phca_qp_proxy_attach(u.qp, &x.r, 1, 16), 0);
	CU_ASSERT_EQUAL(phca_post_send(u.qp, &w, 1), 1);
	w.flags = 0;
	CU_ASSERT_EQUAL(phca_post_send(u.qp, &w, 1), 1);
	sge.length = 9;
	w.wr_id = 6;
	w.flags = PHCA_SEND_SIGNALED;
	CU_ASSERT_EQUAL(phca_post_send(u.qp, &w, 1), 1);
	lab_turn(x.p.l, 4);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 2);
	peer_expect_none(&x.p);
	x.q = d->held[0]->pqp;
	c = child_make(&x, PHCA_WR_SEND_WITH_IMM, 20, 70);
	c->wr.wqe = d->held[1]->wr->wqe; /* to where the application's goes */
	c->wr.wqe.opcode = PHCA_WR_SEND_WITH_IMM;
	c->wr.wqe.num_sge = 0;
	child_issue(&x, c, d->held[1]);
	phca_offload_done(d->held[1], PHCA_WC_SUCCESS);
	d->nb_held = 1;
	pass(&x, 0);
	peer_expect(&x.p, PHCA_UD_SEND_ONLY, 0);
	CU_ASSERT_EQUAL(x.p.p.payload_len, 300);
	peer_expect(&x.p, PHCA_UD_SEND_ONLY_IMM, 1);
	CU_ASSERT_EQUAL(x.p.p.payload_len, 20);
	CU_ASSERT(lab_is(x.p.frame + x.p.p.payload_off, 20, 70));
	peer_expect(&x.p, PHCA_UD_SEND_ONLY, 2);
	CU_ASSERT_EQUAL(x.p.p.payload_len, 9);
	lab_turn(x.p.l, 2);
	child_ended(70, PHCA_WC_SUCCESS);
	CU_ASSERT(lab_poll(&u, &wc) && wc.wr_id == 5 && wc.status == PHCA_WC_SUCCESS);
	CU_ASSERT(lab_poll(&u, &wc) && wc.wr_id == 6 && wc.status == PHCA_WC_SUCCESS);
	CU_ASSERT_FALSE(lab_poll(&u, &wc));
	lab_qp_free(x.p.l, &u);
	child_close(&x);
}

PHCA_TEST(send_pass, uc)
{
	struct child_lab x = open_with(PHCA_QPT_UC, NULL);

	posted(&x, PHCA_WR_RDMA_WRITE, 2 * LAB_MTU, 1, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND, 9, 2, PHCA_SEND_SIGNALED);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, 1);
	pass(&x, 0);
	child_expect(&x, PHCA_UC_WRITE_FIRST, PEER_PSN, LAB_MTU, 0);
	child_expect(&x, PHCA_UC_WRITE_LAST, PEER_PSN + 1, LAB_MTU, 0);
	child_expect(&x, PHCA_UC_SEND_ONLY, PEER_PSN + 2, 9, 0);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* Sent again after a loss, with what the application's memory holds. */
PHCA_TEST(send_pass, lost)
{
	struct child_lab x = open_with(PHCA_QPT_RC, NULL);

	posted(&x, PHCA_WR_SEND, BIG, 1, PHCA_SEND_SIGNALED);
	pass(&x, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, BIG, 0);
	peer_wait(&x.p, PEER_TIMEOUT_NS + 1000000);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, BIG, 0);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* Given back at the moment of an error: flushed, at its place. */
PHCA_TEST(send_pass, to_a_queue_pair_in_error)
{
	struct child_lab x = open_with(PHCA_QPT_RC, NULL);
	const struct phca_qp_attr a = { .state = PHCA_QPS_ERR };

	posted(&x, PHCA_WR_SEND, BIG, 1, PHCA_SEND_SIGNALED);
	posted(&x, PHCA_WR_SEND, BIG, 2, 0);
	posted(&x, PHCA_WR_SEND, 8, 3, 0);
	CU_ASSERT_EQUAL(phca_offload_pass(d->held[0]), 0);
	d->held[0] = d->held[--d->nb_held];
	CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &a, PHCA_QP_STATE), 0);
	lab_turn(x.p.l, 10);
	CU_ASSERT_EQUAL(d->nb_held, 0);
	peer_expect_none(&x.p);
	for (uint64_t i = 1; i <= 3; i++)
		peer_wc(&x.p, i, PHCA_WC_WR_FLUSH_ERR);
	peer_no_wc(&x.p);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).stats.tx_flushed, 2);
	child_close(&x);
}

/* Its memory went away while the offload looked at it. */
PHCA_TEST(send_pass, memory_is_gone)
{
	struct child_lab x = open_with(PHCA_QPT_RC, NULL);
	static uint8_t mem[BIG];
	struct phca_send_wr w;
	struct phca_sge sge;
	uint32_t key;

	CU_ASSERT_EQUAL(phca_mr_reg(x.p.l->mem, x.p.l->pd, mem, BIG, (uintptr_t)mem, PHCA_ACCESS_ALL, &key), 0);
	sge = (struct phca_sge){ (uintptr_t)mem, BIG, key };
	w = peer_wr(&x.p, PHCA_WR_SEND, BIG);
	w.sge = &sge;
	peer_post(&x.p, &w);
	lab_turn(x.p.l, 2);
	posted(&x, PHCA_WR_SEND, 8, 2, 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.p.l->mem, key), 0);
	pass(&x, 0);
	lab_turn(x.p.l, 5);
	peer_expect_none(&x.p);
	peer_wc(&x.p, 1, PHCA_WC_LOC_PROT_ERR);
	peer_wc(&x.p, 2, PHCA_WC_WR_FLUSH_ERR);
	child_close(&x);
}

PHCA_TEST(send_pass, queue_pair_is_destroyed)
{
	for (unsigned int turns = 0; turns < 4; turns++) {
		struct child_lab x = open_with(PHCA_QPT_RC, NULL);

		posted(&x, PHCA_WR_SEND, BIG, 1, PHCA_SEND_SIGNALED);
		posted(&x, PHCA_WR_SEND, BIG, 2, 0);
		CU_ASSERT_EQUAL(phca_offload_pass(d->held[1]), 0);
		CU_ASSERT_EQUAL(phca_offload_pass(d->held[0]), 0);
		d->nb_held = 0;
		lab_turn(x.p.l, turns);
		child_close(&x);
	}
}

/*
 * The application's queue is as long as the window: each place and each slot of the ring
 * that ends is used again, whatever it was, and no completion comes before its slot is free.
 */
PHCA_TEST(send_pass, queue_goes_round)
{
	struct peer_opts po = { .depth = 16 };
	struct child_lab x = open_with(PHCA_QPT_RC, &po);
	uint64_t sent = 0, done = 0;
	uint32_t psn = PEER_PSN;
	struct phca_wc wc;

	for (unsigned int turn = 0; turn < 4000 && done < 500; turn++) {
		while (sent < 500 && sent - done < 16) /* a completion says that there is room */
			child_app_post(&x, PHCA_WR_SEND, sent % 3 ? BIG : 9, sent, PHCA_SEND_SIGNALED), sent++;
		lab_turn(x.p.l, 1);
		while (d->nb_held > 0) {
			struct phca_offload_req *r = d->held[0];

			if (r->wr->wqe.wr_id % 3 == 1) {
				CU_ASSERT_EQUAL(phca_offload_pass(r), 0);
			} else {
				phca_offload_done(r, PHCA_WC_SUCCESS);
			}
			memmove(&d->held[0], &d->held[1], --d->nb_held * sizeof(d->held[0]));
		}
		while (peer_next(&x.p))
			psn = x.p.p.psn.v;
		if (turn % 4 == 0)
			peer_ack(&x.p, psn, PEER_ACK);
		while (lab_poll(&x.p.q, &wc)) {
			CU_ASSERT_EQUAL(wc.wr_id, done);
			CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
			done++;
		}
	}
	CU_ASSERT_EQUAL(done, 500);
	child_close(&x);
}
