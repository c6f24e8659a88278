/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the HCA says about itself: its ports, queue pairs and completion queues
 * by number, names of states and events, and receiving that can be stopped.
 */
#include <string.h>

#include "lab.h"

PHCA_TEST(info, ports_by_index)
{
	struct lab *l = lab_open(NULL);

	CU_ASSERT_EQUAL(phca_hca_nb_ports(l->hca), 1);
	CU_ASSERT_PTR_EQUAL(phca_hca_port(l->hca, 0), l->net);
	CU_ASSERT_PTR_NULL(phca_hca_port(l->hca, 1));
	CU_ASSERT_PTR_NULL(phca_hca_port(l->hca, PHCA_PORT_MAX));
	CU_ASSERT_PTR_NULL(phca_hca_port(l->hca, UINT32_MAX));
	lab_close(l);
}

PHCA_TEST(info, disabled_hca_leaves_packets_in_the_port)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0x20);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, 0x20, 0);
	struct phca_wc wc;

	lab_post(&q, 1);
	phca_hca_enable(l->hca, false);
	lab_send(l, &h, 8, 1);
	lab_turn(l, 5);
	CU_ASSERT_FALSE(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(rte_ring_count(l->in), 1);
	phca_hca_enable(l->hca, true);
	lab_turn(l, 5);
	CU_ASSERT_TRUE(lab_poll(&q, &wc));
	lab_qp_free(l, &q);
	lab_close(l);
}

/* Numbers in the order in which they come. */
struct seen { uint32_t num[8]; unsigned int n; int stop_after; };

static int see(struct seen *s, uint32_t num)
{
	if (s->n < 8)
		s->num[s->n] = num;
	s->n++;
	return s->stop_after != 0 && (int)s->n == s->stop_after ? 42 : 0;
}

static int see_qp(void *arg, struct phca_qp *qp)
{
	return see(arg, phca_qp_num(qp));
}

static int see_cq(void *arg, struct phca_cq *cq)
{
	return see(arg, phca_cq_num(cq));
}

PHCA_TEST(info, each_visits_all_by_number_until_told_to_stop)
{
	static const uint32_t qpn[3] = { 0x30, 0x10, 0x20 };
	struct lab *l = lab_open(NULL);
	struct lab_qp q[3];
	struct seen qps = { .n = 0 }, cqs = { .n = 0 }, some = { .stop_after = 2 };

	for (unsigned int i = 0; i < 3; i++)
		q[i] = lab_qp(l, PHCA_QPT_UD, qpn[i]);
	CU_ASSERT_EQUAL(phca_qp_each(l->hca, see_qp, &qps), 0);
	CU_ASSERT_EQUAL(qps.n, 3);
	CU_ASSERT_EQUAL(qps.num[0], 0x10);
	CU_ASSERT_EQUAL(qps.num[1], 0x20);
	CU_ASSERT_EQUAL(qps.num[2], 0x30);
	CU_ASSERT_EQUAL(phca_cq_each(l->hca, see_cq, &cqs), 0);
	CU_ASSERT_EQUAL(cqs.n, 3);
	for (unsigned int i = 0; i < 3; i++) {
		bool found = false;

		for (unsigned int j = 0; j < 3; j++)
			found |= cqs.num[j] == phca_cq_num(q[i].cq);
		CU_ASSERT_TRUE(found);
	}
	CU_ASSERT_EQUAL(phca_qp_each(l->hca, see_qp, &some), 42);
	CU_ASSERT_EQUAL(some.n, 2);
	for (unsigned int i = 0; i < 3; i++)
		lab_qp_free(l, &q[i]);
	lab_close(l);
}

PHCA_TEST(info, names_of_states_types_and_events)
{
	for (int s = PHCA_QPS_RESET; s <= PHCA_QPS_ERR; s++)
		for (int t = PHCA_QPS_RESET; t < s; t++)
			CU_ASSERT_STRING_NOT_EQUAL(phca_qp_state_str((enum phca_qp_state)s),
				phca_qp_state_str((enum phca_qp_state)t));
	CU_ASSERT_STRING_EQUAL(phca_qp_state_str(PHCA_QPS_RTS), "RTS");
	CU_ASSERT_PTR_NOT_NULL(phca_qp_state_str((enum phca_qp_state)99));
	CU_ASSERT_STRING_EQUAL(phca_qp_type_str(PHCA_QPT_UC), "UC");
	CU_ASSERT_STRING_EQUAL(phca_qp_type_str(PHCA_QPT_UD), "UD");
	CU_ASSERT_PTR_NOT_NULL(phca_qp_type_str((enum phca_qp_type)99));
	for (int e = PHCA_EVENT_QP_FATAL; e <= PHCA_EVENT_SQ_ERR; e++)
		for (int f = PHCA_EVENT_QP_FATAL; f < e; f++)
			CU_ASSERT_STRING_NOT_EQUAL(phca_event_str((enum phca_event_type)e),
				phca_event_str((enum phca_event_type)f));
	CU_ASSERT_PTR_NOT_NULL(phca_event_str((enum phca_event_type)99));
}

PHCA_TEST(info, event_of_a_bad_receive)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0x20);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, 0x20, 0);
	struct phca_sge bad = { 0x1000, 64, 0xdead };
	struct phca_recv_wr wr = { 1, &bad, 1 };
	struct phca_event ev[4];

	CU_ASSERT_EQUAL(phca_hca_events(l->hca, ev, 4), 0);
	CU_ASSERT_EQUAL(phca_post_recv(q.qp, &wr, 1), 1);
	lab_send(l, &h, 8, 1); /* lands on a key that there is not */
	lab_turn(l, 5);
	CU_ASSERT_EQUAL_FATAL(phca_hca_events(l->hca, ev, 4) > 0, 1);
	CU_ASSERT_EQUAL(ev[0].num, 0x20);
	CU_ASSERT_PTR_EQUAL(ev[0].client, l->client);
	CU_ASSERT_EQUAL(phca_hca_events_merged(l->hca), 0);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(info, completions_come_to_an_application_with_a_loop)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q;
	struct phca_wire_hdr h;
	struct phca_wc wc;

	phca_client_loop_set(l->client, l->proxy_loop);
	q = lab_qp(l, PHCA_QPT_UD, 0x20);
	h = lab_hdr(l, PHCA_UD_SEND_ONLY, 0x20, 0);
	lab_post(&q, 1);
	lab_send(l, &h, 8, 1);
	lab_turn(l, 5);
	CU_ASSERT_TRUE(lab_poll(&q, &wc));
	lab_qp_free(l, &q);
	lab_close(l);
}
