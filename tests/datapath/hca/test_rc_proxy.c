/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Proxy QPs of RC, outbound: a direct request completes when the peer has
 * acknowledged it, an offloaded one when its driver has finished; the
 * application sees them in the order in which it posted, whoever is first.
 */
#include <stdlib.h>

#include "req_peer.h"

#define BIG 100 /* bytes of a message that is offloaded */

static struct phca_offload_req *held[64];
static unsigned int nb_held;

static int hold_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t n)
{
	(void)o, (void)v, (void)err, (void)n;
	nb_held = 0;
	return 0;
}

static int hold_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)o, (void)now_ns;
	held[nb_held++] = req;
	return 0;
}

static int hold_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	(void)o, (void)req;
	return 0;
}

static const struct phca_offload_ops hold_ops = {
	.name = "hold", .init = hold_init, .submit = hold_submit, .cancel = hold_cancel,
};

struct px {
	struct peer p;
	struct phca_offload *o;
	struct phca_rule r;
};

static struct px px_open(const struct lab_opts *lo, const struct peer_opts *o)
{
	struct phca_filter_param min = { .name = "min_len", .kind = PHCA_FV_UINT, .u = BIG };
	struct px x = { .p = peer_open(lab_open(lo), PHCA_QPT_RC, o), .r = { .name = "big", .send = true } };

	x.o = lab_offload(x.p.l, "o", &hold_ops, NULL, 0, 0);
	x.r.filter = lab_filter(x.p.l, "by_size", &min, 1);
	x.r.offload = x.o;
	return x;
}

static void px_attach(struct px *x, uint32_t window)
{
	CU_ASSERT_EQUAL_FATAL(phca_qp_proxy_attach(x->p.q.qp, &x->r, 1, window), 0);
}

static void px_close(struct px *x)
{
	peer_drain(&x->p);
	CU_ASSERT_EQUAL(phca_qp_destroy(x->p.q.qp), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(x->p.q.cq), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(x->o), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x->p.l->mem, x->p.key), 0);
	free(x->p.mem);
	lab_close(x->p.l);
}

static void post(struct px *x, enum phca_wr_opcode op, uint32_t n, uint64_t id, uint32_t flags)
{
	struct phca_send_wr w = peer_wr(&x->p, op, n);

	w.wr_id = id;
	w.flags |= flags;
	CU_ASSERT_EQUAL(phca_post_send(x->p.q.qp, &w, 1), 1);
}

PHCA_TEST(rc_proxy, completions_come_in_the_order_of_the_requests)
{
	struct px x = px_open(NULL, NULL);

	px_attach(&x, 0);
	post(&x, PHCA_WR_SEND, 8, 1, 0);
	post(&x, PHCA_WR_SEND, BIG, 2, 0);
	post(&x, PHCA_WR_SEND, 8, 3, 0);
	post(&x, PHCA_WR_SEND, BIG, 4, 0);
	lab_turn(x.p.l, 4);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 1); /* the offloaded one has no PSN */
	CU_ASSERT_EQUAL_FATAL(nb_held, 2);
	phca_offload_done(held[0], PHCA_WC_SUCCESS);
	lab_turn(x.p.l, 2);
	peer_no_wc(&x.p);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	peer_no_wc(&x.p);
	phca_offload_done(held[1], PHCA_WC_SUCCESS);
	lab_turn(x.p.l, 2);
	peer_no_wc(&x.p);
	peer_ack(&x.p, PEER_PSN + 1, PEER_ACK);
	peer_wc(&x.p, 3, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 4, PHCA_WC_SUCCESS);
	px_close(&x);
}

PHCA_TEST(rc_proxy, fence_waits_for_an_offloaded_read)
{
	struct px x = px_open(NULL, NULL);

	px_attach(&x, 0);
	post(&x, PHCA_WR_RDMA_READ, BIG, 1, 0);
	post(&x, PHCA_WR_SEND, 8, 2, PHCA_SEND_FENCE);
	lab_turn(x.p.l, 10);
	CU_ASSERT_EQUAL_FATAL(nb_held, 1);
	peer_expect_none(&x.p);
	phca_offload_done(held[0], PHCA_WC_SUCCESS);
	lab_turn(x.p.l, 100); /* the proxy returns places when it has nothing else to do */
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	px_close(&x);
}

PHCA_TEST(rc_proxy, full_window_asks_for_an_acknowledgement)
{
	struct peer_opts o = { .no_timeout = true };
	struct px x = px_open(NULL, &o);

	px_attach(&x, 16);
	for (unsigned int i = 0; i < 20; i++)
		post(&x, PHCA_WR_SEND, 8, i, 0);
	lab_turn(x.p.l, 10);
	for (unsigned int i = 0; i < 16; i++)
		peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + i);
	CU_ASSERT(x.p.p.flags & PHCA_PKT_ACKREQ);
	peer_expect_none(&x.p);
	peer_ack(&x.p, PEER_PSN + 15, PEER_ACK);
	lab_turn(x.p.l, 50);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 4);
	peer_ack(&x.p, PEER_PSN + 19, PEER_ACK);
	for (unsigned int i = 0; i < 20; i++)
		peer_wc(&x.p, i, PHCA_WC_SUCCESS);
	px_close(&x);
}

PHCA_TEST(rc_proxy, acknowledged_requests_wait_for_room_in_the_ring)
{
	struct lab_opts lo = { .ring_size = 16 };
	struct px x = px_open(&lo, NULL);
	struct phca_wire_hdr h = lab_hdr(x.p.l, PHCA_RC_ACK, x.p.q.qpn, PEER_PSN + 49);

	px_attach(&x, 64);
	lab_turn(x.p.l, 2);
	for (unsigned int i = 0; i < 50; i++)
		post(&x, PHCA_WR_SEND, 8, i, 0);
	lab_turn_hca(x.p.l, 20);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 50);
	h.syndrome = PEER_ACK;
	lab_send(x.p.l, &h, 0, 0);
	lab_turn_hca(x.p.l, 20); /* the proxy's lcore is busy elsewhere */
	peer_no_wc(&x.p);
	lab_turn(x.p.l, 20);
	for (unsigned int i = 0; i < 50; i++)
		peer_wc(&x.p, i, PHCA_WC_SUCCESS);
	peer_no_wc(&x.p);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).stats.tx_direct, 50);
	px_close(&x);
}

PHCA_TEST(rc_proxy, error_behind_requests_that_wait_for_room)
{
	struct lab_opts lo = { .ring_size = 16 };
	struct px x = px_open(&lo, NULL);
	struct phca_wire_hdr h = lab_hdr(x.p.l, PHCA_RC_ACK, x.p.q.qpn, PEER_PSN + 40);

	px_attach(&x, 64);
	lab_turn(x.p.l, 2);
	for (unsigned int i = 0; i < 50; i++)
		post(&x, PHCA_WR_SEND, 8, i, 0);
	lab_turn_hca(x.p.l, 20);
	h.syndrome = PEER_NAK | 2;
	lab_send(x.p.l, &h, 0, 0);
	lab_turn_hca(x.p.l, 20);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).state, PHCA_QPS_ERR);
	lab_turn(x.p.l, 20);
	for (unsigned int i = 0; i < 50; i++)
		peer_wc(&x.p, i, i < 40 ? PHCA_WC_SUCCESS : i == 40 ? PHCA_WC_REM_ACCESS_ERR : PHCA_WC_WR_FLUSH_ERR);
	peer_no_wc(&x.p);
	px_close(&x);
}

PHCA_TEST(rc_proxy, becomes_one_when_what_is_under_way_has_ended)
{
	struct px x = px_open(NULL, NULL);
	struct phca_wire_hdr h = lab_hdr(x.p.l, PHCA_RC_ACK, x.p.q.qpn, PEER_PSN);

	post(&x, PHCA_WR_SEND, BIG, 1, 0);
	lab_turn(x.p.l, 2);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN);
	h.syndrome = PEER_ACK;
	lab_send(x.p.l, &h, 0, 0);
	px_attach(&x, 0); /* turns the lab while it waits */
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	post(&x, PHCA_WR_SEND, BIG, 2, 0);
	post(&x, PHCA_WR_SEND, 8, 3, 0);
	lab_turn(x.p.l, 4);
	CU_ASSERT_EQUAL_FATAL(nb_held, 1);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	peer_ack(&x.p, PEER_PSN + 1, PEER_ACK);
	phca_offload_done(held[0], PHCA_WC_SUCCESS);
	lab_turn(x.p.l, 4);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 3, PHCA_WC_SUCCESS);
	px_close(&x);
}

PHCA_TEST(rc_proxy, cannot_become_one_while_the_peer_is_silent)
{
	struct peer_opts o = { .no_timeout = true };
	struct px x = px_open(NULL, &o);

	post(&x, PHCA_WR_SEND, 8, 1, 0);
	lab_turn(x.p.l, 2);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN);
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(x.p.q.qp, &x.r, 1, 0), -EBUSY);
	CU_ASSERT_FALSE(lab_info(&x.p.q).proxy);
	post(&x, PHCA_WR_SEND, 8, 2, 0); /* it goes on as it was */
	lab_turn(x.p.l, 2);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	peer_ack(&x.p, PEER_PSN + 1, PEER_ACK);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	px_close(&x);
}

PHCA_TEST(rc_proxy, offload_that_fails_flushes_what_is_under_way)
{
	struct px x = px_open(NULL, NULL);

	px_attach(&x, 0);
	post(&x, PHCA_WR_SEND, BIG, 1, 0);
	post(&x, PHCA_WR_SEND, 8, 2, 0);
	lab_turn(x.p.l, 4);
	CU_ASSERT_EQUAL_FATAL(nb_held, 1);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 1);
	phca_offload_done(held[0], PHCA_WC_REM_OP_ERR);
	lab_turn(x.p.l, 6);
	peer_wc(&x.p, 1, PHCA_WC_REM_OP_ERR);
	peer_wc(&x.p, 2, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).state, PHCA_QPS_ERR);
	px_close(&x);
}
