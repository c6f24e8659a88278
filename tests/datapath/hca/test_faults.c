/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes wrong at the seams: queue pairs that cannot be reset or destroyed
 * yet, completion queues that overrun, doorbells that make no sense, datagrams
 * that nobody can answer. Each asserts what is counted, once.
 */
#include <stdlib.h>
#include <string.h>

#include "hca_impl.h"
#include "lab.h"
#include "phca_drivers.h"

/* An offload that never lets go before the test says so. */
static struct phca_offload_req *kept;

static int keep_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)o, (void)now_ns;
	kept = req;
	return 0;
}

static const struct phca_offload_ops keep_ops = { .name = "keep", .submit = keep_submit };

struct fx {
	struct lab *l;
	struct lab_qp q;
	struct phca_offload *o;
};

static struct fx fx_open(enum phca_qp_type type, unsigned int receives)
{
	struct fx x = { .l = lab_open(NULL) };

	x.q = lab_qp(x.l, type, 0);
	lab_post(&x.q, receives);
	return x;
}

static void fx_close(struct fx *x)
{
	lab_qp_free(x->l, &x->q);
	if (x->o != NULL)
		CU_ASSERT_EQUAL(phca_offload_destroy(x->o), 0);
	lab_close(x->l);
}

/* Everything inbound is offloaded to the driver that keeps it. */
static void keep_all(struct fx *x)
{
	struct phca_rule r = { .name = "all", .inbound = true };

	x->o = lab_offload(x->l, "keep", &keep_ops, NULL, 0, 0);
	r.filter = lab_filter(x->l, "all", NULL, 0);
	r.offload = x->o;
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x->q.qp, &r, 1, 0) == 0);
}

static void pkt(struct fx *x, enum phca_opcode op, uint32_t psn, uint32_t n)
{
	struct phca_wire_hdr h = lab_hdr(x->l, op, x->q.qpn, psn);

	h.va = (uintptr_t)x->q.buf, h.rkey = x->q.lkey, h.dma_len = n; /* of a WRITE */
	lab_send(x->l, &h, n, 1);
	lab_turn(x->l, 2);
}

static int to(struct lab_qp *q, enum phca_qp_state s, unsigned int mask)
{
	struct phca_qp_attr a = {
		.state = s, .pkey = PHCA_PKEY_DEFAULT, .dest_qpn = LAB_PEER_QPN, .path_mtu = LAB_MTU,
	};

	return phca_qp_modify(q->qp, &a, PHCA_QP_STATE | mask);
}

#define TO_INIT (PHCA_QP_PKEY | PHCA_QP_ACCESS)
#define TO_RTR (PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN)

PHCA_TEST(faults, reset_forgets_the_peers_address)
{
	struct fx x = fx_open(PHCA_QPT_UC, 0);
	struct phca_qp_attr a = { .av.dgid = { 0xfe, [15] = 9 } };

	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_SQD, 0), 0);
	CU_ASSERT_EQUAL(phca_qp_modify(x.q.qp, &a, PHCA_QP_AV), 0);
	lab_post(&x.q, 1);
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 4);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_PEER), 1);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RESET, 0), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_INIT, TO_INIT), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RTR, TO_RTR), 0); /* without an address vector */
	lab_post(&x.q, 1);
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 4);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_DIRECT), 1);
	fx_close(&x);
}

PHCA_TEST(faults, reset_has_nothing_to_flush)
{
	struct fx x = fx_open(PHCA_QPT_UC, 0);

	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RESET, 0), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_ERR, 0), -EINVAL);
	CU_ASSERT_EQUAL(lab_info(&x.q).state, PHCA_QPS_RESET);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_INIT, TO_INIT), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_ERR, 0), 0);
	CU_ASSERT_EQUAL(lab_info(&x.q).state, PHCA_QPS_ERR);
	fx_close(&x);
}

/* A driver that holds on: reset says so, the QP stays in RESET and unused, and whatever follows is safe. */
PHCA_TEST(faults, reset_that_has_to_wait_can_be_repeated)
{
	struct fx x = fx_open(PHCA_QPT_UC, 4);
	struct phca_proxy_stats ps;
	struct phca_wc wc;

	keep_all(&x);
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 4);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RESET, 0), -EBUSY);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_INIT, TO_INIT), -EBUSY);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RESET, 0), -EBUSY);
	phca_offload_done(kept, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RESET, 0), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_INIT, TO_INIT), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RTR, TO_RTR), 0);
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 4);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_offloaded, 2);
	phca_offload_done(kept, PHCA_WC_SUCCESS);
	lab_turn(x.l, 2);
	CU_ASSERT_EQUAL(lab_info(&x.q).pqp.released, 1);
	CU_ASSERT_FALSE(lab_poll(&x.q, &wc));
	phca_proxy_stats_get(x.l->proxy, &ps);
	CU_ASSERT_EQUAL(ps.bad_messages, 0);
	fx_close(&x);
}

/* Who does not want to wait is told to come again. */
PHCA_TEST(faults, reset_and_destroy_without_waiting)
{
	struct fx x = fx_open(PHCA_QPT_UC, 4);
	const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET };
	uint32_t qpn = phca_qp_num(x.q.qp);

	keep_all(&x);
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 4);
	CU_ASSERT_EQUAL(phca_qp_modify_within(x.q.qp, &reset, PHCA_QP_STATE, 0), -EBUSY);
	CU_ASSERT_EQUAL(phca_qp_modify_within(x.q.qp, &reset, PHCA_QP_STATE, 0), -EBUSY);
	phca_offload_done(kept, PHCA_WC_SUCCESS);
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL(phca_qp_modify_within(x.q.qp, &reset, PHCA_QP_STATE, 0), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_INIT, TO_INIT), 0);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RTR, TO_RTR), 0);
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 4);
	CU_ASSERT_EQUAL(phca_qp_destroy_within(x.q.qp, 0), -EBUSY);
	CU_ASSERT_PTR_NULL(phca_qp_find(x.l->hca, qpn)); /* nothing reaches it any more */
	CU_ASSERT_EQUAL(phca_qp_destroy_within(x.q.qp, 1000000), -EBUSY);
	phca_offload_done(kept, PHCA_WC_SUCCESS);
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL(phca_qp_destroy_within(x.q.qp, 0), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(x.q.cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.l->mem, x.q.lkey), 0);
	free(x.q.buf);
	CU_ASSERT_EQUAL(phca_offload_destroy(x.o), 0);
	lab_close(x.l);
}

PHCA_TEST(faults, destroy_after_a_reset_that_had_to_wait)
{
	struct fx x = fx_open(PHCA_QPT_UC, 4);
	struct phca_proxy_stats ps;

	keep_all(&x);
	pkt(&x, PHCA_UC_SEND_ONLY, 0, 4);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_RESET, 0), -EBUSY);
	phca_offload_done(kept, PHCA_WC_SUCCESS);
	lab_turn(x.l, 3); /* DETACHED has come: nothing may be sent about the QP any more */
	CU_ASSERT_EQUAL(phca_qp_destroy(x.q.qp), 0);
	lab_turn(x.l, 3);
	phca_proxy_stats_get(x.l->proxy, &ps);
	CU_ASSERT_EQUAL(ps.bad_messages, 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(x.q.cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.l->mem, x.q.lkey), 0);
	free(x.q.buf);
	CU_ASSERT_EQUAL(phca_offload_destroy(x.o), 0);
	lab_close(x.l);
}

/* An HCA without ports, loops stopped for good: it ends, whatever a driver does. */
PHCA_TEST(faults, hca_ends_though_a_client_cannot_be_closed)
{
	struct fx x = fx_open(PHCA_QPT_UC, 0);
	struct phca_hca_conf hc = {
		.name = "second", .max_qp = 4, .seed = 1, .loops = { x.l->hca_loop }, .nb_shards = 1, .mem = x.l->mem,
		.qsbr = x.l->qsbr, .pool = x.l->pool,
	};
	struct phca_hca *h = phca_hca_create(&hc);
	static struct phca_client *c; /* leaked, but reachable */
	static struct phca_cq *cq;
	static struct phca_qp *qp;
	struct phca_qp_init i = { .type = PHCA_QPT_UC, .pd = x.l->pd };

	CU_ASSERT_FATAL(h != NULL && phca_hca_port_add(h, x.l->net) == 0);
	phca_hca_pump_set(h, x.l->hca->pump, x.l);
	c = phca_client_open(h, "c", 1);
	CU_ASSERT_FATAL(c != NULL && phca_cq_create(c, 8, &cq) == 0);
	i.send_cq = i.recv_cq = cq;
	CU_ASSERT_FATAL(phca_qp_create(c, &i, &qp) == 0);
	qp->dead = qp->leaving = true; /* as after a destroy that nobody answered */
	phca_hca_destroy(h);
	CU_ASSERT_PTR_EQUAL(qp->client, c);
	phca_pd_put(x.l->mem, x.l->pd);
	fx_close(&x);
}

PHCA_TEST(faults, lost_start_is_one_message_dropped)
{
	struct fx x = fx_open(PHCA_QPT_UC, 2);

	pkt(&x, PHCA_UC_SEND_MIDDLE, 1, LAB_MTU);
	pkt(&x, PHCA_UC_SEND_MIDDLE, 2, LAB_MTU);
	pkt(&x, PHCA_UC_SEND_LAST, 3, 4);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_SEQUENCE), 3);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_dropped, 1);
	pkt(&x, PHCA_UC_SEND_ONLY, 4, 4);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_DIRECT), 1);
	fx_close(&x);
}

PHCA_TEST(faults, invalid_receive_is_one_message_dropped)
{
	struct fx x = fx_open(PHCA_QPT_UC, 2);
	struct phca_recv_wqe *w = phca_ring_head(&x.q.qp->rq);
	struct phca_wc wc;

	w->num_sge = 5; /* more than the queue has room for */
	pkt(&x, PHCA_UC_SEND_FIRST, 0, LAB_MTU);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_RECV_WQE), 1);
	CU_ASSERT_EQUAL(lab_info(&x.q).stats.rx_dropped, 1);
	CU_ASSERT_EQUAL(lab_info(&x.q).state, PHCA_QPS_ERR);
	CU_ASSERT_FATAL(lab_poll(&x.q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_LOC_QP_OP_ERR);
	CU_ASSERT_EQUAL(wc.wr_id, 0);
	CU_ASSERT_FATAL(lab_poll(&x.q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(wc.wr_id, 1);
	CU_ASSERT_FALSE(lab_poll(&x.q, &wc));
	fx_close(&x);
}

/* What found no room in the CQ was not received (11.6.3.1: the QPs of a CQ in error go to error). */
static void overrun(enum phca_qp_type type, enum phca_opcode op)
{
	struct fx x = { .l = lab_open(NULL) };
	struct phca_qp_info qi;
	struct phca_event ev[4];
	unsigned int n;

	x.q = lab_qp_cqe(x.l, type, 0, 4); /* 8 slots */
	lab_post(&x.q, 12);
	for (unsigned int i = 0; i < 10; i++)
		pkt(&x, op, i, 4);
	qi = lab_info(&x.q);
	CU_ASSERT_EQUAL(qi.stats.rx_direct, 8);
	CU_ASSERT_EQUAL(qi.stats.verdict[PHCA_V_DIRECT], 8);
	CU_ASSERT_EQUAL(qi.stats.verdict[PHCA_V_CQ_FULL], 1);
	CU_ASSERT_EQUAL(qi.stats.verdict[PHCA_V_QP_STATE], 1);
	CU_ASSERT_EQUAL(qi.stats.rx_dropped, 1);
	CU_ASSERT_EQUAL(qi.state, PHCA_QPS_ERR);
	n = phca_hca_events(x.l->hca, ev, 4);
	CU_ASSERT_EQUAL(n, 2);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_CQ_ERR);
	CU_ASSERT_EQUAL(ev[1].type, PHCA_EVENT_QP_FATAL);
	fx_close(&x);
}

PHCA_TEST(faults, overrun_by_uc_send)
{
	overrun(PHCA_QPT_UC, PHCA_UC_SEND_ONLY);
}

PHCA_TEST(faults, overrun_by_uc_write_with_immediate)
{
	overrun(PHCA_QPT_UC, PHCA_UC_WRITE_ONLY_IMM);
}

PHCA_TEST(faults, overrun_by_ud_send)
{
	overrun(PHCA_QPT_UD, PHCA_UD_SEND_ONLY);
}

PHCA_TEST(faults, send_requests_add_up_when_they_are_flushed)
{
	struct fx x = fx_open(PHCA_QPT_UD, 3);
	struct phca_send_wr w = { .wr_id = 1, .opcode = PHCA_WR_SEND, .av = { .sgid_index = 15 } }; /* no such GID */
	struct phca_qp_stats st;

	CU_ASSERT_EQUAL(phca_post_send(x.q.qp, &w, 1), 1);
	for (unsigned int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(phca_post_send(x.q.qp, &w, 1), 1);
	lab_turn(x.l, 3);
	CU_ASSERT_EQUAL(to(&x.q, PHCA_QPS_ERR, 0), 0);
	lab_turn(x.l, 3);
	st = lab_info(&x.q).stats;
	CU_ASSERT_EQUAL(st.tx_wrs, 6);
	CU_ASSERT_EQUAL(st.tx_errors, 1);
	CU_ASSERT_EQUAL(st.tx_flushed, 5);
	CU_ASSERT_EQUAL(st.rx_flushed, 3);
	fx_close(&x);
}

/* How many doorbells there are is the application's word; its neighbours do not wait for them. */
PHCA_TEST(faults, doorbells_have_a_budget)
{
	struct fx x = fx_open(PHCA_QPT_UD, 0);
	struct phca_ring_hdr *db = x.l->client->sh[0].db.hdr;
	unsigned int turns = 0;

	db->prod = db->cons + db->size; /* each of them 0: no such QP */
	while (db->cons != db->prod && turns++ < 100)
		CU_ASSERT(phca_hca_turn(phca_hca_shard(x.l->hca, 0), x.l->now_ns) <= 512);
	CU_ASSERT_EQUAL(db->cons, db->prod);
	fx_close(&x);
}

/* Nonsense in a doorbell ring: its client's are ignored, which is said once; others go on. */
PHCA_TEST(faults, doorbell_ring_that_makes_no_sense)
{
	struct fx x = fx_open(PHCA_QPT_UD, 0);
	struct phca_client *c = phca_client_open(x.l->hca, "bad", 4);
	struct phca_ring_hdr *db;
	struct phca_event ev[4];
	uint32_t cons;

	CU_ASSERT_FATAL(c != NULL);
	db = c->sh[0].db.hdr;
	cons = db->cons;
	db->prod = cons + db->size + 1;
	lab_turn(x.l, 2);
	CU_ASSERT_FATAL(phca_hca_events(x.l->hca, ev, 4) == 1);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_CLIENT_FATAL);
	CU_ASSERT_PTR_EQUAL(ev[0].client, c);
	CU_ASSERT_STRING_EQUAL(phca_event_str(PHCA_EVENT_CLIENT_FATAL), "client fatal");
	db->prod = cons + 1;
	lab_turn(x.l, 2);
	CU_ASSERT_EQUAL(db->cons, cons); /* nobody looks any more */
	CU_ASSERT_EQUAL(phca_hca_events(x.l->hca, ev, 4), 0);
	CU_ASSERT_EQUAL(phca_client_close(c), 0);
	fx_close(&x);
}

/* A source that is no station's: answering it would put the QP's send queue in error, or reach a group. */
PHCA_TEST(faults, datagram_that_cannot_be_answered)
{
	struct fx x = fx_open(PHCA_QPT_UD, 0);
	struct phca_wc wc = { .wc_flags = PHCA_WC_F_GRH };
	uint8_t grh[PHCA_GRH_LEN] = { [20] = 0x45, [32] = 192, 0, 2, 2, 192, 0, 2, 1 };
	const uint8_t own6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	struct phca_av av;

	CU_ASSERT_EQUAL(phca_av_from_wc(x.q.qp, &wc, grh, &av), 0);
	grh[32] = 224;
	CU_ASSERT_EQUAL(phca_av_from_wc(x.q.qp, &wc, grh, &av), -EINVAL);
	memset(grh, 255, sizeof(grh));
	grh[20] = 0x45, grh[0] = 0;
	CU_ASSERT_EQUAL(phca_av_from_wc(x.q.qp, &wc, grh, &av), -EINVAL);
	memset(grh, 0, sizeof(grh));
	grh[0] = 0x60;
	memcpy(grh + 8, own6, 16);
	grh[23] = 2;
	memcpy(grh + 24, own6, 16);
	CU_ASSERT_EQUAL(phca_av_from_wc(x.q.qp, &wc, grh, &av), 0);
	memset(grh + 8, 0, 10);
	memcpy(grh + 18, "\xff\xff\xc0\x00\x02\x02", 6); /* ::ffff:192.0.2.2 */
	CU_ASSERT_EQUAL(phca_av_from_wc(x.q.qp, &wc, grh, &av), -EINVAL);
	grh[8] = 0xff, grh[9] = 0x02;
	CU_ASSERT_EQUAL(phca_av_from_wc(x.q.qp, &wc, grh, &av), -EINVAL);
	fx_close(&x);
}
