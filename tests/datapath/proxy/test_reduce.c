/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes out of the reduce offload, bit by bit, whoever comes first. */
#include <string.h>

#include "reduce_ref.h"
#include "reduce_rig.h"

#define ALL (PHCA_REDUCE_F_DELIVER | PHCA_REDUCE_F_ANSWER)
#define OK PHCA_WC_SUCCESS

/* --- results */

static uint8_t vectors[RR_PEERS][RR_BYTES_MAX], want[RR_BYTES_MAX];

static void shuffle(uint16_t *order, uint16_t n, uint64_t *random)
{
	for (uint16_t i = 0; i < n; i++)
		order[i] = i;
	for (uint16_t i = n; i > 1; i--) {
		uint16_t k = (uint16_t)(ref_random(random) % i), t = order[k];

		order[k] = order[i - 1];
		order[i - 1] = t;
	}
}

/* What came out of h is the reference's, for the application and for each of n ranks. */
static void check_results(const struct phca_reduce_hdr *h, uint32_t bytes)
{
	uint8_t data[PHCA_REDUCE_HDR_LEN + RR_BYTES_MAX];
	struct phca_reduce_hdr got;
	struct phca_child *c;
	uint32_t len, peer, answered = 0;

	while ((c = rr_answer(&peer, &got)) != NULL) {
		CU_ASSERT_FALSE(answered & 1u << peer);
		answered |= 1u << peer;
		CU_ASSERT_EQUAL(c->wr.len, sizeof(got) + bytes);
		CU_ASSERT_TRUE(ref_equal(h->op, h->type, c->wr.inline_data + sizeof(got), want, h->count));
		CU_ASSERT_TRUE(got.round == h->round && got.group == h->group && got.status == PHCA_REDUCE_OK);
		rig_child_over(&rr, c, OK);
	}
	CU_ASSERT_EQUAL(answered, (h->flags & PHCA_REDUCE_F_ANSWER) ? (1u << h->nb_ranks) - 1 : 0);
	if (h->flags & PHCA_REDUCE_F_DELIVER) {
		CU_ASSERT_PTR_NOT_NULL(rr_delivered(data, &len));
		CU_ASSERT_EQUAL(len, sizeof(got) + bytes);
		CU_ASSERT_TRUE(ref_equal(h->op, h->type, data + sizeof(got), want, h->count));
		rig_settle(&rr);
		rig_cq_expect(&rr_cq, 1000 + rr_seq[0] - 1, OK);
	}
	rr_expect_nothing_delivered();
}

static void one_round(unsigned int op, unsigned int type, uint64_t round, uint64_t *random)
{
	uint16_t n = (uint16_t)(2 + ref_random(random) % (RR_PEERS - 2)), order[RR_PEERS];
	uint8_t flags = (uint8_t)(1 + ref_random(random) % 3);
	uint32_t count = 1 + (uint32_t)ref_random(random) % RR_COUNT_MAX;
	struct phca_reduce_hdr h = rr_header(op, type, flags, n, round, count);
	uint32_t bytes = h.count * phca_reduce_size(h.type);

	for (uint16_t i = 0; i < n; i++) {
		ref_fill(type, vectors[i], h.count, random);
		if (i == 0)
			memcpy(want, vectors[0], bytes);
		else
			ref_combine(op, type, want, vectors[i], h.count);
	}
	shuffle(order, n, random);
	for (uint16_t i = 0; i < n; i++) {
		/* packets of any length, in which elements are cut: 41..300 bytes */
		rr_contribute(order[i], &h, order[i], vectors[order[i]], 41 + (uint32_t)ref_random(random) % 260);
		if (ref_random(random) & 1)
			rig_turn(&rr);
	}
	rig_settle(&rr);
	check_results(&h, bytes);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_in_flight(), 0);
	rr_replies_clear();
}

PHCA_TEST(reduce, results_are_the_left_fold_in_the_order_of_ranks)
{
	uint64_t random = 11, round = 0;

	rr_setup(NULL, 0, 0);
	for (unsigned int op = 0; op < PHCA_REDUCE_OP_COUNT; op++)
		for (unsigned int type = 0; type < PHCA_REDUCE_TYPE_COUNT; type++)
			for (unsigned int i = 0; i < 12 && ref_allowed(op, type); i++)
				one_round(op, type, round++, &random);
	CU_ASSERT_EQUAL(rr_figure("reductions"), round);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 0);
	CU_ASSERT_EQUAL(rr_figure("unanswered"), 0);
	CU_ASSERT_TRUE(rr_figure("delivered") > 0 && rr_figure("answers") > round);
	rig_cq_expect_empty(&rr_cq);
	rr_teardown();
}

PHCA_TEST(reduce, several_at_once_each_with_its_own)
{
	rr_setup(NULL, 0, 0);
	for (uint64_t round = 0; round < 10; round++)
		rr_contribute_one(1, 2, round, ALL, (int32_t)round);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 10);
	rr_expect_no_answer();
	for (uint64_t round = 0; round < 10; round++)
		rr_contribute_one(0, 2, round, ALL, 100);
	rig_settle(&rr);
	for (uint64_t round = 0; round < 10; round++)
		rr_expect_delivered(round, 100 + (int32_t)round);
	for (uint64_t round = 0; round < 10; round++) {
		rr_expect_answer(0, PHCA_REDUCE_OK);
		rr_expect_answer(1, PHCA_REDUCE_OK);
	}
	for (uint64_t i = 0; i < 10; i++)
		rig_cq_expect(&rr_cq, 1000 + i, OK);
	rig_cq_expect_empty(&rr_cq);
	rr_teardown();
}

PHCA_TEST(reduce, offset_group_and_domain_are_reductions_of_their_own)
{
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, ALL, 2, 1, 1);
	int32_t v = 1;

	rr_setup(NULL, 0, 0);
	rr_contribute(0, &h, 0, &v, 0);
	h.offset = 1;
	rr_contribute(1, &h, 1, &v, 0);
	h.offset = 0;
	h.group = 8;
	rr_contribute(2, &h, 1, &v, 0);
	h.group = 7;
	rr_contribute(RR_PEERS - 1, &h, 1, &v, 0); /* of another protection domain */
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 4);
	CU_ASSERT_EQUAL(rr_figure("reductions"), 0);
	rr_contribute(3, &h, 1, &v, 0);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("reductions"), 1);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 3);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_answer(3, PHCA_REDUCE_OK);
	rr_expect_delivered(1, 2);
	rr_teardown();
}

PHCA_TEST(reduce, told_without_the_vector)
{
	struct phca_reduce_hdr h;
	struct phca_child *c;
	uint32_t peer;

	rr_setup(NULL, 0, 0);
	rr_contribute_one(0, 2, 1, PHCA_REDUCE_F_TELL, 5);
	rr_contribute_one(1, 2, 1, PHCA_REDUCE_F_TELL, 6);
	rig_settle(&rr);
	for (uint32_t i = 0; i < 2; i++) {
		c = rr_answer(&peer, &h);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c);
		CU_ASSERT_EQUAL(c->wr.len, PHCA_REDUCE_HDR_LEN);
		CU_ASSERT_TRUE(peer == i && h.status == PHCA_REDUCE_OK && h.round == 1);
		rig_child_over(&rr, c, OK);
	}
	rr_expect_nothing_delivered();
	rr_teardown();
}

PHCA_TEST(reduce, ordered_only_when_it_may_deliver)
{
	static const struct phca_setting_arg args[] = { { "deliver", PHCA_SETTING_BOOL, 0, NULL } };

	rr_setup(NULL, 0, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(rr_offload), 1u << PHCA_DIR_RECV);
	rr_teardown();
	rr_setup(args, 1, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(rr_offload), 0);
	rr_contribute_one(0, 2, 1, ALL, 1);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_MALFORMED);
	rr_contribute_one(0, 2, 1, PHCA_REDUCE_F_ANSWER, 1);
	rr_contribute_one(1, 2, 1, PHCA_REDUCE_F_ANSWER, 1);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_answer(1, PHCA_REDUCE_OK);
	rr_teardown();
}

PHCA_TEST(reduce, one_rank_alone_gets_its_own)
{
	rr_setup(NULL, 0, 0);
	rr_contribute_one(0, 1, 3, ALL, 17);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_delivered(3, 17);
	rr_teardown();
}
