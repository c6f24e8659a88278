/* SPDX-License-Identifier: BSD-3-Clause */
/* Proxy QPs end to end: packets in, rules, offloads, completions in order. */
#include <string.h>

#include "lab.h"
#include "phca_drivers.h"

/* An offload that finishes when the test says so. */
#define HELD_MAX 512
static struct phca_offload_req *held[HELD_MAX];
static unsigned int nb_held;
static int cancel_ret, submit_ret;

static int hold_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t n)
{
	(void)o, (void)v, (void)err, (void)n;
	nb_held = 0;
	cancel_ret = submit_ret = 0;
	return 0;
}

static int hold_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)o, (void)now_ns;
	if (submit_ret == 0)
		held[nb_held++] = req;
	return submit_ret;
}

static int hold_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	(void)o;
	if (cancel_ret == 0)
		for (unsigned int i = 0; i < nb_held; i++)
			if (held[i] == req)
				held[i] = held[--nb_held];
	return cancel_ret;
}

static const struct phca_offload_ops hold_ops = {
	.name = "hold", .init = hold_init, .submit = hold_submit, .cancel = hold_cancel,
};

struct px {
	struct lab *l;
	struct lab_qp q;
	struct phca_offload *o;
};

/* A UC QP with one rule: payloads of 100 bytes and more are offloaded. */
static struct px px_open(const struct lab_opts *lo, const struct phca_offload_ops *ops,
		uint64_t limit_ns, uint32_t window)
{
	struct phca_filter_param p = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 100 };
	struct px x = { .l = lab_open(lo) };
	struct phca_rule r = { .name = "big", .send = true, .inbound = true };

	x.q = lab_qp(x.l, PHCA_QPT_UC, 0);
	x.o = lab_offload(x.l, "o", ops, NULL, 0, limit_ns);
	r.filter = lab_filter(x.l, "by_size", &p, 1);
	r.offload = x.o;
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.q.qp, &r, 1, window) == 0);
	lab_post(&x.q, LAB_DEPTH);
	return x;
}

static void px_close(struct px *x)
{
	lab_qp_free(x->l, &x->q);
	CU_ASSERT_EQUAL(phca_offload_destroy(x->o), 0);
	lab_close(x->l);
}

static void msg(struct px *x, uint32_t len, uint8_t seed)
{
	struct phca_wire_hdr h = lab_hdr(x->l, PHCA_UC_SEND_ONLY, x->q.qpn, 0);

	lab_send(x->l, &h, len, seed);
}

static void expect(struct px *x, uint64_t id, uint32_t status, uint32_t len)
{
	struct phca_wc wc;

	CU_ASSERT_FATAL(lab_poll(&x->q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, id);
	CU_ASSERT_EQUAL(wc.status, status);
	if (status == PHCA_WC_SUCCESS)
		CU_ASSERT_EQUAL(wc.byte_len, len);
}

static void expect_none(struct px *x)
{
	struct phca_wc wc;

	CU_ASSERT_FALSE(lab_poll(&x->q, &wc));
}

PHCA_TEST(proxy, match_is_offloaded_the_rest_is_direct)
{
	struct px x = px_open(NULL, phca_offload_driver_find("null"), 0, 0);
	struct phca_offload_stats os;
	struct phca_rule_info ri;
	struct phca_qp_info qi;
	struct phca_cq_info ci;

	msg(&x, 10, 1);
	msg(&x, 100, 2);
	msg(&x, 20, 3);
	lab_turn(x.l, 4);
	expect(&x, 0, PHCA_WC_SUCCESS, 10);
	expect(&x, 1, PHCA_WC_SUCCESS, 20); /* the offloaded one took no receive */
	expect_none(&x);
	CU_ASSERT(lab_is(lab_buf(&x.q, 1), 20, 3));
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_DIRECT), 2);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_OFFLOADED), 1);
	qi = lab_info(&x.q);
	CU_ASSERT(qi.proxy);
	CU_ASSERT_EQUAL(qi.stats.rx_direct, 2);
	CU_ASSERT_EQUAL(qi.stats.rx_offloaded, 1);
	CU_ASSERT_EQUAL(qi.pqp.completions, 2);
	CU_ASSERT_EQUAL(qi.pqp.offload_ok, 1);
	CU_ASSERT_EQUAL(qi.pqp.noops, 1);
	CU_ASSERT_EQUAL(qi.pqp.cqes, 2);
	CU_ASSERT_EQUAL(phca_qp_rule_info(x.q.qp, 0, &ri), 0);
	CU_ASSERT_EQUAL(ri.matched, 1);
	phca_cq_info_get(x.q.cq, &ci);
	CU_ASSERT(ci.proxy_owned);
	CU_ASSERT_EQUAL(ci.noops, 1);
	phca_offload_stats_get(x.o, &os);
	CU_ASSERT_EQUAL(os.submitted, 1);
	CU_ASSERT_EQUAL(os.bytes, 100);
	px_close(&x);
}

PHCA_TEST(proxy, completions_wait_for_an_earlier_offload)
{
	struct px x = px_open(NULL, &hold_ops, 0, 0);

	msg(&x, 10, 1);
	msg(&x, 100, 2);
	msg(&x, 20, 3);
	msg(&x, 101, 2);
	msg(&x, 30, 3);
	lab_turn(x.l, 4);
	expect(&x, 0, PHCA_WC_SUCCESS, 10);
	expect_none(&x);
	CU_ASSERT_EQUAL_FATAL(nb_held, 2);
	phca_offload_done(held[1], PHCA_WC_SUCCESS); /* out of order */
	lab_turn(x.l, 4);
	expect_none(&x);
	phca_offload_done(held[0], PHCA_WC_SUCCESS);
	lab_turn(x.l, 4);
	expect(&x, 1, PHCA_WC_SUCCESS, 20);
	expect(&x, 2, PHCA_WC_SUCCESS, 30);
	expect_none(&x);
	px_close(&x);
}

PHCA_TEST(proxy, driver_sees_the_whole_multi_packet_message)
{
	struct px x = px_open(NULL, &hold_ops, 0, 0);
	struct phca_wire_hdr h = lab_hdr(x.l, PHCA_UC_SEND_FIRST, x.q.qpn, 0);
	uint8_t buf[3 * LAB_MTU];

	/* the decision on the first packet holds for all: the last is small */
	lab_send(x.l, &h, LAB_MTU, 0);
	h.opcode = PHCA_UC_SEND_MIDDLE, h.psn.v = 1;
	lab_send(x.l, &h, LAB_MTU, 50);
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL(nb_held, 0);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_OFFLOADED), 0); /* held: no verdict yet */
	h.opcode = PHCA_UC_SEND_LAST_IMM, h.psn.v = 2;
	memcpy(&h.imm, "wxyz", 4);
	lab_send(x.l, &h, 7, 99);
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL_FATAL(nb_held, 1);
	CU_ASSERT_EQUAL(held[0]->len, 2 * LAB_MTU + 7);
	CU_ASSERT_EQUAL(held[0]->op, PHCA_OP_SEND);
	CU_ASSERT_EQUAL(held[0]->qpn, x.q.qpn);
	CU_ASSERT_EQUAL(held[0]->has_imm, true);
	CU_ASSERT_EQUAL(memcmp(&held[0]->imm, "wxyz", 4), 0);
	CU_ASSERT_EQUAL(phca_offload_read(held[0], 0, buf, sizeof(buf)), 2 * LAB_MTU + 7);
	CU_ASSERT(lab_is(buf, LAB_MTU, 0));
	CU_ASSERT(lab_is(buf + LAB_MTU, LAB_MTU, 50));
	CU_ASSERT(lab_is(buf + 2 * LAB_MTU, 7, 99));
	CU_ASSERT_EQUAL(phca_offload_read(held[0], LAB_MTU - 1, buf, 2), 2);
	CU_ASSERT_EQUAL(buf[1], 50);
	phca_offload_done(held[0], PHCA_WC_SUCCESS);
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_OFFLOADED), 3);
	px_close(&x);
}

PHCA_TEST(proxy, gap_in_a_held_message_frees_it)
{
	struct px x = px_open(NULL, &hold_ops, 0, 0);
	struct phca_wire_hdr h = lab_hdr(x.l, PHCA_UC_SEND_FIRST, x.q.qpn, 0);

	lab_send(x.l, &h, LAB_MTU, 0);
	h.opcode = PHCA_UC_SEND_LAST, h.psn.v = 2;
	lab_send(x.l, &h, 9, 0);
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL(nb_held, 0);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_PSN), 2);
	h.opcode = PHCA_UC_SEND_FIRST; /* held when the QP goes */
	lab_send(x.l, &h, LAB_MTU, 0);
	lab_turn(x.l, 3);
	px_close(&x);
}

PHCA_TEST(proxy, message_of_too_many_packets)
{
	struct px x = px_open(&(struct lab_opts){ .max_held = 2 }, &hold_ops, 0, 0);
	struct phca_wire_hdr h = lab_hdr(x.l, PHCA_UC_SEND_FIRST, x.q.qpn, 0);

	lab_send(x.l, &h, LAB_MTU, 0);
	for (uint32_t i = 1; i < 4; i++) {
		h.opcode = i < 3 ? PHCA_UC_SEND_MIDDLE : PHCA_UC_SEND_LAST;
		h.psn.v = i;
		lab_send(x.l, &h, LAB_MTU, 0);
	}
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_PROXY_TOO_LONG), 4);
	CU_ASSERT_EQUAL(nb_held, 0);
	px_close(&x);
}

PHCA_TEST(proxy, messages_that_never_end_cannot_take_all_buffers)
{
	struct lab *l = lab_open(NULL);
	struct phca_rule r = {
		.name = "all", .inbound = true, .filter = lab_filter(l, "all", NULL, 0),
		.offload = lab_offload(l, "o", phca_offload_driver_find("null"), NULL, 0, 0),
	};
	struct phca_port_stats st;
	struct lab_qp q[5];

	for (unsigned int i = 0; i < 5; i++) {
		q[i] = lab_qp(l, PHCA_QPT_UC, 0);
		CU_ASSERT_FATAL(phca_qp_proxy_attach(q[i].qp, &r, 1, 0) == 0);
		for (uint32_t psn = 0; psn < 256; psn++) {
			struct phca_wire_hdr h = lab_hdr(l, psn ? PHCA_UC_SEND_MIDDLE : PHCA_UC_SEND_FIRST,
				q[i].qpn, psn);

			lab_send(l, &h, LAB_MTU, 0);
		}
		lab_turn(l, 8);
	}
	CU_ASSERT_EQUAL(phca_port_stats_get(l->hca, 0, &st), 0);
	CU_ASSERT(st.rx_held < 1024); /* a quarter of the laboratory's 4095 */
	CU_ASSERT(st.rx_held > 512);
	CU_ASSERT(st.verdict[PHCA_V_PROXY_TOO_LONG] > 0);
	for (unsigned int i = 0; i < 5; i++)
		lab_qp_free(l, &q[i]);
	CU_ASSERT_EQUAL(phca_offload_destroy(r.offload), 0);
	lab_close(l);
}

PHCA_TEST(proxy, ring_full_drops_and_counts_and_loses_nothing)
{
	struct px x = px_open(&(struct lab_opts){ .ring_size = 16 }, phca_offload_driver_find("null"), 0, 0);
	struct phca_qp_info qi;
	struct phca_wc wc;
	unsigned int n = 0;

	for (unsigned int i = 0; i < 40; i++)
		msg(&x, i & 1 ? 100 : 10, 0);
	lab_turn_hca(x.l, 5); /* the proxy is away */
	CU_ASSERT(lab_verdict(x.l, PHCA_V_PROXY_RING_FULL) >= 20);
	lab_turn(x.l, 5);
	qi = lab_info(&x.q);
	while (lab_poll(&x.q, &wc)) {
		CU_ASSERT_EQUAL(wc.wr_id, n);
		n++;
	}
	CU_ASSERT_EQUAL(n, qi.stats.rx_direct);
	CU_ASSERT_EQUAL(qi.pqp.offload_ok, qi.stats.rx_offloaded);
	CU_ASSERT_EQUAL(qi.stats.rx_direct + qi.stats.rx_offloaded + qi.stats.rx_dropped, 40);
	msg(&x, 10, 0);
	lab_turn(x.l, 4);
	CU_ASSERT(lab_poll(&x.q, &wc));
	px_close(&x);
}

PHCA_TEST(proxy, window_full_drops_and_recovers)
{
	struct px x = px_open(NULL, &hold_ops, 0, 16);

	for (unsigned int i = 0; i < 20; i++)
		msg(&x, 100, 0);
	lab_turn(x.l, 5);
	CU_ASSERT_EQUAL(nb_held, 16);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_PROXY_WINDOW_FULL), 4);
	while (nb_held > 0)
		phca_offload_done(held[--nb_held], PHCA_WC_SUCCESS);
	lab_turn(x.l, 5);
	msg(&x, 10, 0);
	lab_turn(x.l, 5);
	expect(&x, 0, PHCA_WC_SUCCESS, 10);
	px_close(&x);
}

PHCA_TEST(proxy, failed_offload_puts_the_qp_in_error_and_flushes_in_order)
{
	struct px x = px_open(NULL, &hold_ops, 0, 0);
	struct phca_event ev;

	msg(&x, 10, 0);
	msg(&x, 100, 0);
	msg(&x, 11, 0); /* executed, but behind the failure */
	lab_turn(x.l, 4);
	expect(&x, 0, PHCA_WC_SUCCESS, 10);
	phca_offload_done(held[0], PHCA_WC_REM_OP_ERR);
	lab_turn(x.l, 8);
	expect(&x, 1, PHCA_WC_REM_OP_ERR, 0);
	for (unsigned int i = 2; i < LAB_DEPTH; i++)
		expect(&x, i, PHCA_WC_WR_FLUSH_ERR, 0);
	expect_none(&x);
	CU_ASSERT_EQUAL(lab_info(&x.q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(phca_hca_events(x.l->hca, &ev, 1), 1);
	CU_ASSERT_EQUAL(ev.type, PHCA_EVENT_OFFLOAD_FAILED);
	CU_ASSERT_EQUAL(ev.status, PHCA_WC_REM_OP_ERR);
	px_close(&x);
}

PHCA_TEST(proxy, refused_by_the_driver)
{
	struct px x = px_open(NULL, &hold_ops, 0, 0);
	struct phca_wc wc;

	submit_ret = -ENOSPC;
	msg(&x, 100, 0);
	lab_turn(x.l, 8);
	CU_ASSERT_EQUAL(lab_info(&x.q).state, PHCA_QPS_ERR);
	CU_ASSERT_FATAL(lab_poll(&x.q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_LOC_QP_OP_ERR);
	px_close(&x);
}

PHCA_TEST(proxy, driver_that_never_answers_hits_the_time_limit)
{
	struct px x = px_open(NULL, &hold_ops, 50000, 0);
	struct phca_offload_stats os;

	msg(&x, 100, 0);
	msg(&x, 10, 0);
	lab_turn(x.l, 10);
	expect_none(&x);
	lab_turn(x.l, 60);
	expect(&x, 0, PHCA_WC_RESP_TIMEOUT_ERR, 0);
	phca_offload_stats_get(x.o, &os);
	CU_ASSERT_EQUAL(os.timed_out, 1);
	CU_ASSERT_EQUAL(lab_info(&x.q).state, PHCA_QPS_ERR);
	px_close(&x);
}

PHCA_TEST(proxy, late_answer_is_ignored)
{
	struct px x = px_open(NULL, &hold_ops, 50000, 2 * LAB_DEPTH); /* its place stays taken */
	struct phca_offload_stats os;
	struct phca_wc wc;
	unsigned int n = 0;

	cancel_ret = -EBUSY;
	msg(&x, 100, 0);
	lab_turn(x.l, 100);
	while (lab_poll(&x.q, &wc))
		n++;
	CU_ASSERT_EQUAL(n, LAB_DEPTH);
	CU_ASSERT_EQUAL_FATAL(nb_held, 1);
	phca_offload_done(held[0], PHCA_WC_SUCCESS);
	lab_turn(x.l, 4);
	expect_none(&x);
	phca_offload_stats_get(x.o, &os);
	CU_ASSERT_EQUAL(os.late, 1);
	CU_ASSERT_EQUAL(os.in_flight, 0);
	px_close(&x);
}

PHCA_TEST(proxy, destroy_cancels_what_is_in_flight)
{
	struct px x = px_open(NULL, &hold_ops, 0, 0);
	struct phca_offload_stats os;

	for (unsigned int i = 0; i < 10; i++)
		msg(&x, 100 + i, 0);
	msg(&x, 10, 0);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(nb_held, 10);
	CU_ASSERT_EQUAL(phca_offload_destroy(x.o), -EBUSY);
	CU_ASSERT_EQUAL(phca_qp_destroy(x.q.qp), 0);
	CU_ASSERT_EQUAL(nb_held, 0);
	phca_offload_stats_get(x.o, &os);
	CU_ASSERT_EQUAL(os.cancelled, 10);
	CU_ASSERT_EQUAL(phca_cq_destroy(x.q.cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.l->mem, x.q.lkey), 0);
	free(x.q.buf);
	CU_ASSERT_EQUAL(phca_offload_destroy(x.o), 0);
	lab_close(x.l);
}

PHCA_TEST(proxy, reset_starts_new_windows)
{
	struct px x = px_open(NULL, &hold_ops, 0, 16);
	struct phca_qp_attr a = { .state = PHCA_QPS_RESET, .pkey = 0xffff, .path_mtu = LAB_MTU };

	msg(&x, 100, 0);
	msg(&x, 10, 0);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(phca_qp_modify(x.q.qp, &a, PHCA_QP_STATE), 0);
	CU_ASSERT_EQUAL(nb_held, 0);
	a.state = PHCA_QPS_INIT;
	CU_ASSERT_EQUAL(phca_qp_modify(x.q.qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(x.q.qp, &a,
		PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN), 0);
	x.q.next_id = 500;
	lab_post(&x.q, 2);
	msg(&x, 10, 0);
	msg(&x, 11, 0);
	lab_turn(x.l, 4);
	expect(&x, 500, PHCA_WC_SUCCESS, 10);
	expect(&x, 501, PHCA_WC_SUCCESS, 11);
	px_close(&x);
}

PHCA_TEST(proxy, filter_replaced_while_traffic_runs)
{
	struct px x = px_open(NULL, phca_offload_driver_find("null"), 0, 0);
	struct phca_filter *old;
	struct phca_filter_slot *none = lab_filter(x.l, "none", NULL, 0);

	msg(&x, 100, 0);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_offloaded, 1);
	old = phca_filter_slot_swap(&x.l->slots[0], none->cur);
	none->cur = old; /* freed with the lab */
	msg(&x, 100, 0);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_offloaded, 1);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_direct, 1);
	px_close(&x);
}

PHCA_TEST(proxy, plain_qp_on_a_shared_cq_goes_through_the_proxy_too)
{
	struct px x = px_open(NULL, &hold_ops, 0, 0);
	struct phca_qp_init i = {
		.type = PHCA_QPT_UC, .pd = x.l->pd, .max_recv_wr = 4, .max_recv_sge = 1,
		.send_cq = x.q.cq, .recv_cq = x.q.cq,
	};
	struct phca_qp_attr a = { .state = PHCA_QPS_INIT, .pkey = 0xffff, .path_mtu = LAB_MTU };
	struct phca_sge sge = { (uintptr_t)x.q.buf, LAB_BUF, x.q.lkey };
	struct phca_recv_wr wr = { 77, &sge, 1 };
	struct phca_wire_hdr h;
	struct phca_qp *plain;

	CU_ASSERT_FATAL(phca_qp_create(x.l->client, &i, &plain) == 0);
	CU_ASSERT_EQUAL(phca_qp_modify(plain, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(plain, &a,
		PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN), 0);
	CU_ASSERT_EQUAL(phca_post_recv(plain, &wr, 1), 1);
	h = lab_hdr(x.l, PHCA_UC_SEND_ONLY, phca_qp_num(plain), 0);
	msg(&x, 100, 0); /* the proxy QP waits for its offload, the plain one does not */
	lab_send(x.l, &h, 200, 0);
	lab_turn(x.l, 4);
	expect(&x, 77, PHCA_WC_SUCCESS, 200);
	CU_ASSERT_EQUAL(phca_qp_destroy(plain), 0);
	px_close(&x);
}

PHCA_TEST(proxy, rules_in_order_and_a_filter_may_name_another)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UC, 0);
	struct phca_offload *a = lab_offload(l, "a", phca_offload_driver_find("null"), NULL, 0, 0);
	struct phca_offload *b = lab_offload(l, "b", phca_offload_driver_find("null"), NULL, 0, 0);
	struct phca_filter_param big = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 500 };
	struct phca_filter_param mid = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 100 };
	struct phca_rule r[3] = {
		{ .name = "send only", .filter = lab_filter(l, "all", NULL, 0), .offload = b, .send = true },
		{ .name = "big", .filter = lab_filter(l, "by_size", &big, 1), .offload = a, .inbound = true },
		{ .name = "mid", .filter = lab_filter(l, "by_size", &mid, 1), .offload = b, .inbound = true },
	};
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UC_SEND_ONLY, q.qpn, 0);
	struct phca_rule_info ri;

	CU_ASSERT_FATAL(phca_qp_proxy_attach(q.qp, r, 3, 0) == 0);
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(q.qp, r, 3, 0), -EBUSY);
	lab_post(&q, 8);
	lab_send(l, &h, 600, 0);
	lab_send(l, &h, 200, 0);
	lab_send(l, &h, 201, 0);
	lab_send(l, &h, 20, 0);
	lab_turn(l, 4);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(phca_qp_rule_info(q.qp, i, &ri), 0);
		CU_ASSERT_EQUAL(ri.matched, i);
	}
	CU_ASSERT_EQUAL(phca_qp_rule_info(q.qp, 3, &ri), -EINVAL);
	CU_ASSERT_EQUAL(lab_info(&q).stats.rx_direct, 1);
	lab_qp_free(l, &q);
	CU_ASSERT_EQUAL(phca_offload_destroy(a), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(b), 0);
	lab_close(l);
}

/* --------------------------------------------------------- posted requests */

static struct px send_open(const struct phca_offload_ops *ops, uint32_t window)
{
	struct phca_filter_param p = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 30 };
	struct px x = { .l = lab_open(NULL) };
	struct phca_rule r = { .name = "big", .send = true };

	x.q = lab_qp(x.l, PHCA_QPT_UD, 0);
	x.o = lab_offload(x.l, "o", ops, NULL, 0, 0);
	r.filter = lab_filter(x.l, "by_size", &p, 1);
	r.offload = x.o;
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.q.qp, &r, 1, window) == 0);
	return x;
}

static void post(struct px *x, uint64_t id, uint32_t len, uint32_t flags)
{
	struct phca_sge sge = { (uintptr_t)x->q.buf, len, x->q.lkey };
	struct phca_send_wr w = {
		.wr_id = id, .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND, .flags = flags, .remote_qpn = 9,
		.av.dgid = { [10] = 0xff, 0xff, 192, 0, 2, 2 },
	};
	uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

	w.av.sgid_index = (uint8_t)phca_net_gid_find(x->l->net, own);
	CU_ASSERT_EQUAL(phca_post_send(x->q.qp, &w, 1), 1);
}

PHCA_TEST(proxy_send, matching_requests_go_to_the_proxy_not_to_the_wire)
{
	struct px x = send_open(&hold_ops, 0);
	uint8_t buf[64];
	struct rte_mbuf *m;

	for (int i = 0; i < 64; i++)
		x.q.buf[i] = (uint8_t)i;
	post(&x, 1, 10, PHCA_SEND_SIGNALED);
	post(&x, 2, 40, PHCA_SEND_SIGNALED);
	post(&x, 3, 11, PHCA_SEND_SIGNALED);
	post(&x, 4, 12, 0);
	lab_turn(x.l, 4);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT((m = lab_capture(x.l)) != NULL);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_PTR_NULL(lab_capture(x.l));
	CU_ASSERT_EQUAL_FATAL(nb_held, 1);
	CU_ASSERT_EQUAL(held[0]->dir, PHCA_DIR_SEND);
	CU_ASSERT_EQUAL(held[0]->len, 40);
	CU_ASSERT_EQUAL(held[0]->wr->wqe.wr_id, 2);
	CU_ASSERT_EQUAL(phca_offload_read(held[0], 0, buf, 64), 40);
	CU_ASSERT(lab_is(buf, 40, 0));
	expect(&x, 1, PHCA_WC_SUCCESS, 0);
	expect_none(&x);
	phca_offload_done(held[0], PHCA_WC_SUCCESS);
	lab_turn(x.l, 4);
	expect(&x, 2, PHCA_WC_SUCCESS, 0);
	expect(&x, 3, PHCA_WC_SUCCESS, 0);
	expect_none(&x); /* the last was unsignaled */
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.tx_offloaded, 1);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.tx_direct, 3);
	px_close(&x);
}

PHCA_TEST(proxy_send, failure_flushes_the_later_ones)
{
	struct px x = send_open(&hold_ops, 0);

	post(&x, 1, 40, 0); /* unsignaled, but it fails */
	post(&x, 2, 10, 0);
	post(&x, 3, 41, PHCA_SEND_SIGNALED);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL_FATAL(nb_held, 2);
	phca_offload_done(held[0], PHCA_WC_REM_ACCESS_ERR);
	lab_turn(x.l, 8);
	post(&x, 4, 10, PHCA_SEND_SIGNALED);
	lab_turn(x.l, 8);
	expect(&x, 1, PHCA_WC_REM_ACCESS_ERR, 0);
	expect(&x, 2, PHCA_WC_WR_FLUSH_ERR, 0);
	expect(&x, 3, PHCA_WC_WR_FLUSH_ERR, 0);
	expect(&x, 4, PHCA_WC_WR_FLUSH_ERR, 0);
	px_close(&x);
}

PHCA_TEST(proxy_send, full_window_makes_the_send_queue_wait)
{
	struct px x = send_open(&hold_ops, 16);

	for (unsigned int i = 0; i < 20; i++)
		post(&x, i, 40, PHCA_SEND_SIGNALED);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(nb_held, 16);
	CU_ASSERT(lab_info(&x.q).stats.tx_stalls > 0);
	for (unsigned int i = 0; i < 16; i++)
		phca_offload_done(held[i], PHCA_WC_SUCCESS);
	lab_turn(x.l, 6);
	CU_ASSERT_EQUAL(nb_held, 20);
	for (unsigned int i = 16; i < 20; i++)
		phca_offload_done(held[i], PHCA_WC_SUCCESS);
	lab_turn(x.l, 4);
	for (unsigned int i = 0; i < 20; i++)
		expect(&x, i, PHCA_WC_SUCCESS, 0);
	px_close(&x);
}

PHCA_TEST(proxy_send, seeded_random_mix_completes_once_and_in_order)
{
	struct phca_setting_arg args[2] = {
		{ .name = "delay_max_us", .kind = PHCA_SETTING_UINT, .u = 40 },
		{ .name = "seed", .kind = PHCA_SETTING_UINT, .u = 7 },
	};
	struct phca_filter_param p = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 30 };
	struct px x = { .l = lab_open(NULL) };
	struct phca_rule r = { .name = "big", .send = true };
	uint64_t rnd = 5, posted = 0, got = 0;
	struct rte_mbuf *m;
	struct phca_wc wc;

	x.q = lab_qp(x.l, PHCA_QPT_UD, 0);
	x.o = lab_offload(x.l, "o", phca_offload_driver_find("delay"), args, 2, 0);
	r.filter = lab_filter(x.l, "by_size", &p, 1);
	r.offload = x.o;
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.q.qp, &r, 1, 32) == 0);
	while (got < 20000) {
		if (posted < 20000 && posted - got < LAB_DEPTH)
			post(&x, posted++, (uint32_t)(phca_test_rand(&rnd) % 60), PHCA_SEND_SIGNALED);
		lab_turn(x.l, phca_test_rand(&rnd) % 3);
		while (lab_poll(&x.q, &wc)) {
			if (wc.wr_id != got || wc.status != PHCA_WC_SUCCESS) {
				CU_FAIL_FATAL("out of order");
			}
			got++;
		}
		while ((m = lab_capture(x.l)) != NULL)
			rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.tx_direct + lab_info(&x.q).stats.tx_offloaded, 20000);
	CU_ASSERT(lab_info(&x.q).pqp.waited > 0);
	px_close(&x);
}
