/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared receive queues: who takes what, the limit event, what is refused. */
#include <string.h>

#include "lab.h"

#define BUF 2048

struct fx {
	struct lab *l;
	struct phca_srq *srq;
	struct phca_cq *cq;
	struct phca_qp *qp[2];
	uint8_t *buf;
	uint32_t key;
};

static struct fx fx_open(uint32_t limit)
{
	struct fx x = { .l = lab_open(NULL) };
	struct phca_srq_init si = { .pd = x.l->pd, .max_wr = 16, .max_sge = 1, .limit = limit };
	struct phca_qp_attr a = { .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY };

	CU_ASSERT_FATAL(phca_srq_create(x.l->client, &si, &x.srq) == 0);
	CU_ASSERT_FATAL(phca_cq_create(x.l->client, 64, &x.cq) == 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct phca_qp_init qi = {
			.type = PHCA_QPT_UD, .pd = x.l->pd, .send_cq = x.cq, .recv_cq = x.cq, .srq = x.srq,
		};

		CU_ASSERT_FATAL(phca_qp_create(x.l->client, &qi, &x.qp[i]) == 0);
		a.state = PHCA_QPS_INIT;
		CU_ASSERT_EQUAL(phca_qp_modify(x.qp[i], &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_QKEY), 0);
		a.state = PHCA_QPS_RTR;
		CU_ASSERT_EQUAL(phca_qp_modify(x.qp[i], &a, PHCA_QP_STATE), 0);
	}
	x.buf = calloc(16, BUF);
	CU_ASSERT_FATAL(phca_mr_reg(x.l->mem, x.l->pd, x.buf, 16 * BUF, (uintptr_t)x.buf,
		PHCA_ACCESS_LOCAL_WRITE, &x.key) == 0);
	return x;
}

static void fx_close(struct fx *x)
{
	CU_ASSERT_EQUAL(phca_srq_destroy(x->srq), -EBUSY);
	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(phca_qp_destroy(x->qp[i]), 0);
	CU_ASSERT_EQUAL(phca_srq_destroy(x->srq), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(x->cq), 0);
	phca_mr_dereg(x->l->mem, x->key);
	free(x->buf);
	lab_close(x->l);
}

static void post(struct fx *x, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct phca_sge sge = { (uintptr_t)x->buf + i * BUF, BUF, x->key };
		struct phca_recv_wr wr = { .wr_id = i, .sge = &sge, .num_sge = 1 };

		CU_ASSERT_EQUAL(phca_post_srq_recv(x->srq, &wr, 1), 1);
	}
}

static void send_to(struct fx *x, unsigned int i)
{
	struct phca_wire_hdr h = lab_hdr(x->l, PHCA_UD_SEND_ONLY, phca_qp_num(x->qp[i]), 0);

	lab_send(x->l, &h, 64, (uint8_t)i);
	lab_turn(x->l, 2);
}

/* Receives go to whichever queue pair has a message, in the order of posting (10.2.9.1). */
PHCA_TEST(srq, receives_are_shared_in_order)
{
	struct fx x = fx_open(0);
	struct phca_srq_info info;
	struct phca_wc wc;

	post(&x, 3);
	for (unsigned int i = 0; i < 3; i++) {
		send_to(&x, i & 1);
		CU_ASSERT_FATAL(phca_poll_cq(x.cq, 1, &wc) == 1);
		CU_ASSERT_EQUAL(wc.wr_id, i);
		CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
		CU_ASSERT_EQUAL(wc.qp_num, phca_qp_num(x.qp[i & 1]));
		CU_ASSERT(lab_is(x.buf + i * BUF + PHCA_GRH_LEN, 64, (uint8_t)(i & 1)));
	}
	send_to(&x, 0); /* none left */
	CU_ASSERT_EQUAL(phca_poll_cq(x.cq, 1, &wc), 0);
	CU_ASSERT_EQUAL(lab_verdict(x.l, PHCA_V_NO_RECV), 1);
	phca_srq_info_get(x.srq, &info);
	CU_ASSERT_EQUAL(info.taken, 3);
	CU_ASSERT_EQUAL(info.nb_qps, 2);
	CU_ASSERT_EQUAL(info.srqn, phca_srq_num(x.srq));
	post(&x, 16); /* all places are free again */
	fx_close(&x);
}

/* Buffers are those of the SRQ's domain, not of the queue pair's (10.2.9.2). */
PHCA_TEST(srq, has_a_domain_of_its_own)
{
	struct fx x = fx_open(0);
	uint32_t pd = phca_pd_alloc(x.l->mem);
	struct phca_srq_init si = { .pd = pd, .max_wr = 4, .max_sge = 1 };
	struct phca_qp_attr a = { .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY };
	struct phca_qp_init qi = { .type = PHCA_QPT_UD, .pd = x.l->pd, .send_cq = x.cq, .recv_cq = x.cq };
	struct phca_sge sge = { (uintptr_t)x.buf, BUF, 0 };
	struct phca_recv_wr wr = { .wr_id = 77, .sge = &sge, .num_sge = 1 };
	struct phca_wire_hdr h;
	struct phca_srq *srq;
	struct phca_qp *qp;
	struct phca_wc wc;

	CU_ASSERT_FATAL(phca_srq_create(x.l->client, &si, &srq) == 0);
	CU_ASSERT_EQUAL(phca_pd_free(x.l->mem, pd), -EBUSY);
	qi.srq = srq;
	CU_ASSERT_FATAL(phca_qp_create(x.l->client, &qi, &qp) == 0);
	a.state = PHCA_QPS_INIT;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_QKEY), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE), 0);
	CU_ASSERT_FATAL(phca_mr_reg(x.l->mem, pd, x.buf, BUF, (uintptr_t)x.buf, PHCA_ACCESS_LOCAL_WRITE,
		&sge.lkey) == 0);
	CU_ASSERT_EQUAL(phca_post_srq_recv(srq, &wr, 1), 1);
	h = lab_hdr(x.l, PHCA_UD_SEND_ONLY, phca_qp_num(qp), 0);
	lab_send(x.l, &h, 64, 9);
	lab_turn(x.l, 2);
	CU_ASSERT_FATAL(phca_poll_cq(x.cq, 1, &wc) == 1);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT(lab_is(x.buf + PHCA_GRH_LEN, 64, 9));
	CU_ASSERT_EQUAL(phca_qp_destroy(qp), 0);
	CU_ASSERT_EQUAL(phca_srq_destroy(srq), 0);
	phca_mr_dereg(x.l->mem, sge.lkey);
	CU_ASSERT_EQUAL(phca_pd_free(x.l->mem, pd), 0);
	fx_close(&x);
}

/* The event comes once, and disarms the limit (10.2.9.5). */
PHCA_TEST(srq, limit_event_once)
{
	struct fx x = fx_open(3);
	struct phca_event ev[4];

	post(&x, 4);
	send_to(&x, 0);
	CU_ASSERT_EQUAL(phca_hca_events(x.l->hca, ev, 4), 1);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_COMM_EST); /* the QPs are in RTR */
	CU_ASSERT_EQUAL(phca_srq_limit(x.srq), 3);
	send_to(&x, 1);
	CU_ASSERT_FATAL(phca_hca_events(x.l->hca, ev, 4) == 2);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_COMM_EST);
	CU_ASSERT_EQUAL(ev[1].type, PHCA_EVENT_SRQ_LIMIT);
	CU_ASSERT_EQUAL(ev[1].num, phca_srq_num(x.srq));
	CU_ASSERT_EQUAL(phca_srq_limit(x.srq), 0);
	send_to(&x, 0);
	CU_ASSERT_EQUAL(phca_hca_events(x.l->hca, ev, 4), 0);
	CU_ASSERT_EQUAL(phca_srq_arm(x.srq, 1), 0);
	send_to(&x, 0);
	CU_ASSERT_EQUAL(phca_hca_events(x.l->hca, ev, 4), 1);
	CU_ASSERT_EQUAL(phca_srq_arm(x.srq, 17), -EINVAL);
	fx_close(&x);
}

/* Nonsense in its index: said once; each queue pair goes to ERROR when it wants to receive. */
PHCA_TEST(srq, index_that_makes_no_sense)
{
	struct fx x = fx_open(0);
	struct phca_ring_mem m;
	struct phca_event ev[8];
	unsigned int n, errors = 0, fatal = 0;

	phca_srq_ring(x.srq, &m);
	((struct phca_ring_hdr *)m.mem)->prod += 100;
	send_to(&x, 0);
	send_to(&x, 1);
	n = phca_hca_events(x.l->hca, ev, 8);
	for (unsigned int i = 0; i < n; i++) {
		errors += ev[i].type == PHCA_EVENT_SRQ_ERR && ev[i].num == phca_srq_num(x.srq);
		fatal += ev[i].type == PHCA_EVENT_QP_FATAL;
	}
	CU_ASSERT_EQUAL(errors, 1);
	CU_ASSERT_EQUAL(fatal, 2);
	fx_close(&x);
}

static int count(void *arg, struct phca_srq *srq)
{
	(void)srq;
	++*(unsigned int *)arg;
	return 0;
}

PHCA_TEST(srq, what_is_refused)
{
	struct fx x = fx_open(0);
	struct phca_srq_init si = { .pd = x.l->pd, .max_wr = 16, .max_sge = 1 }, bad;
	struct phca_recv_wr wr = { .num_sge = 2 };
	struct phca_srq *srq;
	unsigned int n = 0;

	bad = si, bad.max_wr = 0;
	CU_ASSERT_EQUAL(phca_srq_create(x.l->client, &bad, &srq), -EINVAL);
	bad = si, bad.max_sge = PHCA_SGE_MAX + 1;
	CU_ASSERT_EQUAL(phca_srq_create(x.l->client, &bad, &srq), -EINVAL);
	bad = si, bad.limit = 17;
	CU_ASSERT_EQUAL(phca_srq_create(x.l->client, &bad, &srq), -EINVAL);
	bad = si, bad.pd = 9999;
	CU_ASSERT_EQUAL(phca_srq_create(x.l->client, &bad, &srq), -EINVAL);
	CU_ASSERT_EQUAL(phca_post_srq_recv(x.srq, &wr, 1), -EINVAL);
	CU_ASSERT_EQUAL(phca_post_recv(x.qp[0], &wr, 1), -EINVAL); /* its receives come from the SRQ */
	CU_ASSERT_EQUAL(phca_srq_each(x.l->hca, count, &n), 0);
	CU_ASSERT_EQUAL(n, 1);
	fx_close(&x);
}
