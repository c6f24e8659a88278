/* SPDX-License-Identifier: BSD-3-Clause */
/* RULES: OFFLOAD means the new list from here on; the old one comes back to its sender. */
#include "rig.h"

static struct rig r;
static struct rig_cq send, recv;

PHCA_TEST(rules, from_here_on_the_new_list)
{
	static struct phca_offload_wr wr[4];
	struct phca_offload *o[2];
	struct phca_pqp_rules list = { { NULL } };
	struct phca_pmsg m = { .kind = PHCA_PMSG_RULES, .rules = &list };

	rig_init(&r, 64);
	rig_cq_init(&send, 48, 16);
	rig_cq_init(&recv, 48, 16);
	o[0] = rig_manual(&r, "a", 0, false);
	o[1] = rig_manual(&r, "b", 0, false);
	m.pqp = rig_pqp(&r, 0x11, 16, &send, &recv, &o[0], 1, 0);
	list.offloads[PHCA_PROXY_RULE_MAX] = o[1]; /* behind the last that a QP may have */
	phca_pqp_rules_get(&list);
	rig_offload_out(&r, m.pqp, 0, 0, &wr[0], 100, 0);
	rig_send(&r, &m);
	rig_offload_out(&r, m.pqp, 1, PHCA_PROXY_RULE_MAX, &wr[1], 101, 0);
	rig_offload_out(&r, m.pqp, 2, 0, &wr[2], 102, 0); /* which is none now */
	rig_kind(&r, PHCA_PMSG_FENCE, &list);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_FENCED, &list), 1);
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	CU_ASSERT_EQUAL(rig_manual_state(o[0])->nb_held, 1);
	CU_ASSERT_EQUAL(rig_manual_state(o[1])->nb_held, 1);
	/* the sender has the old one, and lets it go */
	CU_ASSERT_PTR_EQUAL(list.offloads[0], o[0]);
	CU_ASSERT_PTR_NULL(list.offloads[PHCA_PROXY_RULE_MAX]);
	CU_ASSERT_EQUAL(phca_offload_destroy(o[0]), -EBUSY);
	phca_pqp_rules_put(&list);
	CU_ASSERT_EQUAL(phca_offload_destroy(o[0]), -EBUSY); /* a request is in flight */
	rig_manual_done(o[1], PHCA_DIR_SEND, 1, PHCA_WC_SUCCESS);
	rig_settle(&r);
	rig_cq_expect_empty(&send);
	rig_manual_done(o[0], PHCA_DIR_SEND, 0, PHCA_WC_SUCCESS);
	rig_settle(&r);
	rig_cq_expect(&send, 100, PHCA_WC_SUCCESS);
	rig_cq_expect(&send, 101, PHCA_WC_SUCCESS);
	phca_offload_get(o[0]);
	CU_ASSERT_EQUAL(phca_offload_destroy(o[0]), -EBUSY);
	phca_pqp_rules_put(&(struct phca_pqp_rules){ { o[0] } });
	CU_ASSERT_EQUAL(phca_offload_destroy(o[0]), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(o[1]), -EBUSY); /* the QP's */
	rig_pqp_end(&r, m.pqp);
	rig_fini(&r);
	rig_cq_fini(&send);
	rig_cq_fini(&recv);
}
