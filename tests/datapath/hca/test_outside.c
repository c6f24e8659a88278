/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of other processes: where rings lie, whose events they are. */
#include <string.h>

#include "outside.h"

PHCA_TEST(outside, rings_lie_where_the_client_says)
{
	struct lab *l = lab_open(NULL);
	struct outside o;
	struct phca_wc wc[4];

	outside_open(&o, l, false);
	CU_ASSERT_EQUAL(o.nb_live, 1 + 3); /* doorbells, CQ, SQ, RQ */
	CU_ASSERT_PTR_EQUAL(phca_client_priv(o.c), &o);
	CU_ASSERT_PTR_EQUAL(phca_qp_client(o.qp), o.c);
	CU_ASSERT_PTR_EQUAL(phca_cq_client(o.cq), o.c);
	for (unsigned int i = 0; i < 100; i++) {
		outside_post(&o, 2, PHCA_SEND_SIGNALED);
		lab_turn(l, 4);
		CU_ASSERT_EQUAL_FATAL(phca_cq_poll(&o.cqr, wc, 4), 4);
		for (unsigned int k = 0; k < 4; k++)
			CU_ASSERT_EQUAL(wc[k].status, PHCA_WC_SUCCESS);
		CU_ASSERT_EQUAL(memcmp(o.buf + PHCA_GRH_LEN, "outside", 8), 0);
	}
	outside_close(&o);
	lab_close(l);
}

/* A queue pair with an SRQ has no receive ring; what is destroyed is given back. */
PHCA_TEST(outside, rings_are_given_back)
{
	struct lab *l = lab_open(NULL);
	struct outside o;
	struct phca_srq_init si = { .pd = l->pd, .max_wr = 16, .max_sge = 1 };
	struct phca_qp_init i = { .type = PHCA_QPT_RC, .pd = l->pd, .max_send_wr = 4 };
	struct phca_ring_mem sq, rq, srq_mem, none;
	struct phca_ring view;
	struct phca_srq *srq;
	struct phca_qp *qp;

	outside_open(&o, l, false);
	CU_ASSERT_FATAL(phca_srq_create(o.c, &si, &srq) == 0);
	CU_ASSERT_PTR_EQUAL(phca_srq_client(srq), o.c);
	phca_srq_ring(srq, &srq_mem);
	outside_attach(&o, &view, &srq_mem, PHCA_RING_RQ);
	CU_ASSERT_EQUAL(phca_ring_size(&view), 16);
	i.send_cq = i.recv_cq = o.cq;
	i.srq = srq;
	CU_ASSERT_FATAL(phca_qp_create(o.c, &i, &qp) == 0);
	CU_ASSERT_EQUAL(o.nb_live, 4 + 2);
	phca_qp_rings(qp, &sq, &rq);
	CU_ASSERT(sq.bytes == phca_ring_bytes(4, phca_send_stride(0, 0)));
	CU_ASSERT(rq.mem == NULL && rq.bytes == 0);
	phca_client_db(o.c, 1, &none);
	CU_ASSERT(none.mem == NULL);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp), 0);
	CU_ASSERT_EQUAL(phca_srq_destroy(srq), 0);
	CU_ASSERT_EQUAL(o.nb_live, 4);
	i.srq = NULL;
	i.max_send_wr = i.max_recv_wr = PHCA_QP_DEPTH_MAX; /* more than the arena has */
	CU_ASSERT_EQUAL(phca_qp_create(o.c, &i, &qp), -ENOMEM);
	si.max_wr = PHCA_QP_DEPTH_MAX;
	si.max_sge = PHCA_SGE_MAX;
	CU_ASSERT_EQUAL(phca_srq_create(o.c, &si, &srq), -ENOMEM);
	CU_ASSERT_EQUAL(phca_cq_create(o.c, PHCA_CQE_MAX, &(struct phca_cq *){ NULL }), -ENOMEM);
	CU_ASSERT_EQUAL(o.nb_live, 4);
	outside_close(&o);
	lab_close(l);
}

PHCA_TEST(outside, events_know_their_client)
{
	struct lab *l = lab_open(NULL);
	struct outside o;
	struct phca_event qp, cq, srq, gone = { .type = PHCA_EVENT_QP_FATAL, .num = 0xfff };
	struct phca_srq_init si = { .pd = l->pd, .max_wr = 16, .max_sge = 1 };
	struct phca_srq *s;

	outside_open(&o, l, false);
	CU_ASSERT_FATAL(phca_srq_create(o.c, &si, &s) == 0);
	qp = (struct phca_event){ .type = PHCA_EVENT_QP_FATAL, .num = phca_qp_num(o.qp) };
	cq = (struct phca_event){ .type = PHCA_EVENT_CQ_ERR, .num = phca_cq_num(o.cq) };
	srq = (struct phca_event){ .type = PHCA_EVENT_SRQ_LIMIT, .num = phca_srq_num(s) };
	CU_ASSERT_PTR_EQUAL(phca_event_client(l->hca, &qp), o.c);
	CU_ASSERT_PTR_EQUAL(phca_event_client(l->hca, &cq), o.c);
	CU_ASSERT_PTR_EQUAL(phca_event_client(l->hca, &srq), o.c);
	CU_ASSERT_PTR_NULL(phca_event_client(l->hca, &gone));
	cq.num += 1000;
	CU_ASSERT_PTR_NULL(phca_event_client(l->hca, &cq));
	CU_ASSERT_PTR_NULL(phca_event_client(l->hca, &(struct phca_event){ .type = PHCA_EVENT_PORT_ERR }));
	outside_close(&o);
	CU_ASSERT_PTR_NULL(phca_event_client(l->hca, &qp));
	CU_ASSERT_PTR_NULL(phca_event_client(l->hca, &srq));
	lab_close(l);
}

PHCA_TEST(outside, what_is_refused)
{
	struct lab *l = lab_open(NULL);
	struct phca_client_conf c = { .name = NULL, .max_qp = 1 };

	CU_ASSERT_PTR_NULL(phca_client_open_conf(l->hca, &c));
	c.name = "c";
	c.max_qp = 0;
	CU_ASSERT_PTR_NULL(phca_client_open_conf(l->hca, &c));
	c.max_qp = (1u << 20) + 1;
	CU_ASSERT_PTR_NULL(phca_client_open_conf(l->hca, &c));
	lab_close(l);
}
