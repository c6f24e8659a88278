/* SPDX-License-Identifier: BSD-3-Clause */
/* Events: each is told once, whoever else has how many; those of objects that are gone are not. */
#include <stdlib.h>

#include "hca_impl.h"
#include "lab.h"

#define MANY 2000u

static struct phca_qp *datagram_qp(struct lab *l, struct phca_client *c, struct phca_cq *cq)
{
	const struct phca_qp_init i = { .type = PHCA_QPT_UD, .pd = l->pd, .send_cq = cq, .recv_cq = cq };
	const struct phca_qp_attr a = { .state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT };
	struct phca_qp *qp;

	CU_ASSERT_EQUAL_FATAL(phca_qp_create(c, &i, &qp), 0);
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_QKEY), 0);
	return qp;
}

static void fail_qp(struct phca_qp *qp)
{
	const struct phca_qp_attr a = { .state = PHCA_QPS_ERR };

	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE), 0);
}

PHCA_TEST(event, many_of_one_client_leave_those_of_others)
{
	struct lab *l = lab_open(NULL);
	struct phca_client *c = phca_client_open(l->hca, "many", MANY);
	struct phca_qp *qp[MANY];
	struct phca_event ev[300];
	struct phca_cq *cq;
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	unsigned int n, all = 0, others = 0;

	CU_ASSERT_FATAL(c != NULL && phca_cq_create(c, 16, &cq) == 0);
	for (unsigned int i = 0; i < MANY; i++)
		qp[i] = datagram_qp(l, c, cq);
	for (unsigned int i = 0; i < MANY; i++)
		fail_qp(qp[i]);
	fail_qp(q.qp);
	while ((n = phca_hca_events(l->hca, ev, RTE_DIM(ev))) > 0) {
		for (unsigned int i = 0; i < n; i++) {
			CU_ASSERT_EQUAL(ev[i].type, PHCA_EVENT_QP_FATAL);
			CU_ASSERT_EQUAL(ev[i].status, PHCA_WC_WR_FLUSH_ERR);
			others += ev[i].client == l->client && ev[i].num == phca_qp_num(q.qp);
			if (ev[i].client != c)
				continue;
			CU_ASSERT_FATAL(all < MANY);
			CU_ASSERT_EQUAL(ev[i].num, phca_qp_num(qp[all]));
			all++;
		}
	}
	CU_ASSERT_EQUAL(all, MANY);
	CU_ASSERT_EQUAL(others, 1);
	CU_ASSERT_EQUAL(phca_hca_events_merged(l->hca), 0);
	CU_ASSERT_EQUAL(phca_client_close(c), 0);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(event, one_of_each_kind_in_the_order_of_a_life)
{
	struct lab *l = lab_open(NULL);
	struct shard *h = l->hca->shards[0];
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct event_due *d = &q.qp->events;
	struct phca_event ev[8];

	hca_event(h, d, PHCA_EVENT_LAST_WQE, PHCA_WC_SUCCESS);
	hca_event(h, d, PHCA_EVENT_QP_FATAL, PHCA_WC_GENERAL_ERR);
	hca_event(h, d, PHCA_EVENT_COMM_EST, PHCA_WC_SUCCESS);
	hca_event(h, d, PHCA_EVENT_QP_FATAL, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(phca_hca_events_merged(l->hca), 1);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 1), 1);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_COMM_EST);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 1), 1);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_QP_FATAL);
	CU_ASSERT_EQUAL(ev[0].status, PHCA_WC_GENERAL_ERR); /* the first says why */
	hca_event(h, d, PHCA_EVENT_QP_FATAL, PHCA_WC_GENERAL_ERR); /* another one now */
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 8), 2);
	CU_ASSERT_EQUAL(ev[0].type, PHCA_EVENT_QP_FATAL);
	CU_ASSERT_EQUAL(ev[1].type, PHCA_EVENT_LAST_WQE);
	CU_ASSERT_EQUAL(ev[1].num, phca_qp_num(q.qp));
	hca_event(h, d, PHCA_EVENT_SQ_ERR, PHCA_WC_GENERAL_ERR);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 8), 1);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 8), 0);
	CU_ASSERT_EQUAL(phca_hca_events_merged(l->hca), 1);
	lab_qp_free(l, &q);
	lab_close(l);
}

/* With some taken from the shard and some not, the first, one between, and the last of those that wait. */
PHCA_TEST(event, those_of_the_destroyed_go_with_them)
{
	const struct phca_srq_init si = { .max_wr = 16, .max_sge = 1 };
	struct lab *l = lab_open(NULL);
	struct shard *h = l->hca->shards[0];
	struct phca_client *c = phca_client_open(l->hca, "c", 8);
	struct phca_srq_init init = si;
	struct phca_qp *qp[5];
	struct phca_event ev[16];
	struct phca_srq *srq;
	struct phca_cq *cq;

	init.pd = l->pd;
	CU_ASSERT_FATAL(c != NULL && phca_cq_create(c, 16, &cq) == 0 && phca_srq_create(c, &init, &srq) == 0);
	for (unsigned int i = 0; i < 5; i++)
		qp[i] = datagram_qp(l, c, cq);
	fail_qp(qp[4]);
	for (unsigned int i = 0; i < 3; i++)
		fail_qp(qp[i]);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 1), 1);
	CU_ASSERT_EQUAL(ev[0].num, phca_qp_num(qp[4]));
	hca_event(h, &srq->events, PHCA_EVENT_SRQ_LIMIT, 0);
	hca_event(h, &cq->events, PHCA_EVENT_CQ_ERR, 0);
	hca_event(h, &c->sh[0].events, PHCA_EVENT_CLIENT_FATAL, 0);
	fail_qp(qp[3]);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp[0]), 0);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp[2]), 0);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp[3]), 0);
	CU_ASSERT_EQUAL(phca_srq_destroy(srq), 0);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 16), 3);
	CU_ASSERT_EQUAL(ev[0].num, phca_qp_num(qp[1]));
	CU_ASSERT_EQUAL(ev[1].type, PHCA_EVENT_CQ_ERR);
	CU_ASSERT_EQUAL(ev[1].num, phca_cq_num(cq));
	CU_ASSERT_EQUAL(ev[2].type, PHCA_EVENT_CLIENT_FATAL);
	hca_event(h, &cq->events, PHCA_EVENT_CQ_ERR, 0);
	hca_event(h, &c->sh[0].events, PHCA_EVENT_CLIENT_FATAL, 0);
	CU_ASSERT_EQUAL(phca_client_close(c), 0);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 16), 0);
	lab_close(l);
}
