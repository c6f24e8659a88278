/* SPDX-License-Identifier: BSD-3-Clause */
/* Contributions to the reduce offload that are refused; what is missing; who dies, and when. */
#include <string.h>

#include "reduce_ref.h"
#include "reduce_rig.h"

#define ALL (PHCA_REDUCE_F_DELIVER | PHCA_REDUCE_F_ANSWER)
#define NUM(n, v) { n, PHCA_SETTING_UINT, v, NULL }
#define TEXT(n, v) { n, PHCA_SETTING_STRING, 0, v }
#define OK PHCA_WC_SUCCESS
#define MS 1000000ull

/* --- what is refused changes nothing */

PHCA_TEST(reduce, malformed_contributions_are_refused_and_the_others_go_on)
{
	static const struct {
		size_t at;
		uint8_t value;
	} rows[] = {
		{ offsetof(struct phca_reduce_hdr, version), 2 }, { offsetof(struct phca_reduce_hdr, op), 5 },
		{ offsetof(struct phca_reduce_hdr, type), 4 }, { offsetof(struct phca_reduce_hdr, flags), 0x0a },
		{ offsetof(struct phca_reduce_hdr, nb_ranks), 1 }, { offsetof(struct phca_reduce_hdr, nb_ranks), 0 },
		{ offsetof(struct phca_reduce_hdr, count), 0 }, { offsetof(struct phca_reduce_hdr, count), 2 },
		{ offsetof(struct phca_reduce_hdr, count) + 3, 0x40 }, { offsetof(struct phca_reduce_hdr, status), 1 },
		{ offsetof(struct phca_reduce_hdr, rsvd) + 3, 1 },
	};
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, ALL, 2, 1, 1), bad;
	int32_t v = 4;

	rr_setup(NULL, 0, 0);
	rr_contribute(0, &h, 0, &v, 0);
	for (unsigned int i = 0; i < RTE_DIM(rows); i++) {
		bad = h;
		((uint8_t *)&bad)[rows[i].at] = rows[i].value;
		rr_contribute_bytes(1, &bad, 1, &v, 4, 0);
		rig_settle(&rr);
		CU_ASSERT_EQUAL(rr_figure("malformed"), i + 1);
		rr_expect_answer(1, PHCA_REDUCE_MALFORMED);
	}
	rr_contribute_bytes(1, &h, 2, &v, 4, 0); /* there is no rank 2 */
	rig_settle(&rr);
	rr_expect_answer(1, PHCA_REDUCE_MALFORMED);
	bad = rr_header(PHCA_REDUCE_AND, PHCA_REDUCE_FLOAT32, ALL, 2, 1, 1);
	rr_contribute(1, &bad, 1, &v, 0);
	bad = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT64, ALL, 2, 1, 1);
	rr_contribute_bytes(1, &bad, 1, &v, 4, 0);
	bad = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, 0, 2, 1, 1); /* for nobody: no answer either */
	rr_contribute(1, &bad, 1, &v, 0);
	rig_settle(&rr);
	rr_expect_answer(1, PHCA_REDUCE_MALFORMED);
	rr_expect_answer(1, PHCA_REDUCE_MALFORMED);
	rr_expect_no_answer();
	CU_ASSERT_EQUAL(rr_figure("malformed"), RTE_DIM(rows) + 4);
	rr_contribute(1, &h, 1, &v, 0);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_answer(1, PHCA_REDUCE_OK);
	rr_expect_delivered(1, 8);
	for (uint32_t i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(rig_count(&rr, PHCA_PREPLY_ERROR, (void *)(uintptr_t)(i + 1)), 0);
	rr_teardown();
}

PHCA_TEST(reduce, mismatches_and_duplicates_are_refused)
{
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, ALL, 3, 1, 2), bad;
	int32_t v[4] = { 1, 2, 3, 4 };
	static const int32_t twice[2] = { 3, 6 };
	uint8_t data[64];
	uint32_t len;

	rr_setup(NULL, 0, 0);
	rr_contribute(0, &h, 0, v, 0);
	bad = h;
	bad.op = PHCA_REDUCE_MAX;
	rr_contribute(1, &bad, 1, v, 0);
	bad = h;
	bad.type = PHCA_REDUCE_INT64;
	rr_contribute(1, &bad, 1, v, 0);
	bad = h;
	bad.count = 3;
	rr_contribute(1, &bad, 1, v, 0);
	bad = h;
	bad.nb_ranks = 4;
	rr_contribute(1, &bad, 1, v, 0);
	bad = h;
	bad.flags = PHCA_REDUCE_F_ANSWER;
	rr_contribute(1, &bad, 1, v, 0);
	rig_settle(&rr);
	for (unsigned int i = 0; i < 5; i++)
		rr_expect_answer(1, PHCA_REDUCE_MISMATCH);
	CU_ASSERT_EQUAL(rr_figure("mismatches"), 5);
	rr_contribute(0, &h, 0, v, 0); /* again */
	rr_contribute(1, &h, 0, v, 0); /* in another's name */
	rr_contribute(0, &h, 1, v, 0); /* for another, too */
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_DUPLICATE);
	rr_expect_answer(1, PHCA_REDUCE_DUPLICATE);
	rr_expect_answer(0, PHCA_REDUCE_DUPLICATE);
	CU_ASSERT_EQUAL(rr_figure("duplicates"), 3);
	rr_contribute(2, &h, 2, v, 0);
	rr_contribute(1, &h, 1, v, 0);
	rig_settle(&rr);
	for (uint32_t i = 0; i < 3; i++)
		rr_expect_answer(i, PHCA_REDUCE_OK);
	CU_ASSERT_EQUAL(rr_figure("reductions"), 1);
	CU_ASSERT_EQUAL(rr_figure("contributions"), 3);
	CU_ASSERT_PTR_NOT_NULL(rr_delivered(data, &len));
	CU_ASSERT_EQUAL(len, sizeof(h) + sizeof(twice));
	CU_ASSERT_EQUAL(memcmp(data + sizeof(h), twice, sizeof(twice)), 0);
	rr_teardown();
}

PHCA_TEST(reduce, limits_refuse_what_is_beyond_them)
{
	static const struct phca_setting_arg args[] = {
		NUM("max_reductions", 3), NUM("max_bytes", 16), NUM("max_ranks", 4), NUM("max_per_qp", 2),
	};
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, ALL, 4, 1, 5);
	int32_t v[8] = { 0 };

	rr_setup(args, RTE_DIM(args), 0);
	rr_contribute(0, &h, 0, v, 0);
	h.count = 4;
	h.nb_ranks = 5;
	rr_contribute(0, &h, 0, v, 0);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_TOO_LARGE);
	rr_expect_answer(0, PHCA_REDUCE_TOO_LARGE);
	CU_ASSERT_EQUAL(rr_figure("too_large"), 2);
	rr_contribute_one(0, 2, 1, ALL, 1);
	rr_contribute_one(0, 2, 2, ALL, 1);
	rr_contribute_one(0, 2, 3, ALL, 1); /* a third of one queue pair */
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_BUSY);
	rr_contribute_one(1, 2, 3, ALL, 1);
	rr_contribute_one(1, 2, 4, ALL, 1); /* a fourth */
	rig_settle(&rr);
	rr_expect_answer(1, PHCA_REDUCE_BUSY);
	CU_ASSERT_EQUAL(rr_figure("busy"), 2);
	rr_contribute_one(1, 2, 2, ALL, 1);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_answer(1, PHCA_REDUCE_OK);
	rr_expect_nothing_delivered(); /* in the order of rank 0's: round 1 comes first */
	rr_contribute_one(0, 2, 3, ALL, 1); /* now there is room */
	rr_contribute_one(1, 2, 1, ALL, 1);
	rig_settle(&rr);
	for (unsigned int i = 0; i < 2; i++) {
		rr_expect_answer(0, PHCA_REDUCE_OK);
		rr_expect_answer(1, PHCA_REDUCE_OK);
	}
	for (uint64_t round = 1; round <= 3; round++)
		rr_expect_delivered(round, 2);
	rr_teardown();
}

PHCA_TEST(reduce, who_does_not_acknowledge_gets_no_more_answers)
{
	static const struct phca_setting_arg args[] = { NUM("max_per_qp", 2), NUM("children", 64) };
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, ALL, 2, 1, 1), got;
	struct phca_child *c[4];
	uint32_t peer;
	int32_t v = 0;

	rr_setup(args, RTE_DIM(args), 0);
	h.version = 9;
	for (unsigned int i = 0; i < 20; i++)
		rr_contribute(1, &h, 1, &v, 0);
	rig_settle(&rr);
	for (unsigned int i = 0; i < 4; i++) {
		c[i] = rr_answer(&peer, &got);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c[i]);
	}
	rr_expect_no_answer();
	CU_ASSERT_EQUAL(rr_figure("unanswered"), 16);
	rr_contribute_one(1, 2, 1, ALL, 1);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("busy"), 1);
	for (unsigned int i = 0; i < 4; i++)
		rig_child_over(&rr, c[i], OK);
	rr_contribute_one(1, 2, 1, ALL, 1);
	rr_contribute_one(0, 2, 1, ALL, 1);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_answer(1, PHCA_REDUCE_OK);
	rr_expect_delivered(1, 2);
	rr_teardown();
}

PHCA_TEST(reduce, one_queue_pair_too_many_is_told)
{
	static const struct phca_setting_arg args[] = { NUM("max_qps", 1), NUM("children", 16) };
	struct phca_reduce_hdr got;
	struct phca_child *c[4];
	uint32_t peer;

	rr_setup(args, RTE_DIM(args), 0);
	rr_contribute_one(0, 1, 1, ALL, 7);
	rr_contribute_one(1, 2, 2, ALL, 1);
	rig_settle(&rr);
	rr_expect_answer(1, PHCA_REDUCE_BUSY);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_delivered(1, 7);
	/* and does not get what all need, when it takes no answers */
	for (unsigned int i = 0; i < 20; i++)
		rr_contribute_one(1, 2, 2, ALL, 1);
	rig_settle(&rr);
	for (unsigned int i = 0; i < 4; i++) {
		c[i] = rr_answer(&peer, &got);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c[i]);
		CU_ASSERT_EQUAL(got.status, PHCA_REDUCE_BUSY);
	}
	rr_expect_no_answer();
	rr_contribute_one(0, 1, 2, ALL, 8);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_delivered(2, 8);
	for (unsigned int i = 0; i < 4; i++)
		rig_child_over(&rr, c[i], OK);
	rr_teardown();
}

PHCA_TEST(reduce, other_messages_pass_to_the_application)
{
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, ALL | PHCA_REDUCE_F_RESULT, 2, 1, 1);
	struct rig_in in = {
		.flags = PHCA_PMSG_F_ORDERED, .opcode = PHCA_RC_SEND_ONLY, .data = "PHRD is no header", .len = 17,
	};
	struct phca_offload_wr wr = { .len = 0 };
	uint8_t data[64];
	uint32_t len;
	int32_t v = 1;

	rr_setup(NULL, 0, 0);
	in.seq = rr_seq[0]++;
	rig_message_in(&rr, rr_qp[0], &in);
	rr_contribute(0, &h, 0, &v, 0); /* a result is none */
	h.flags = ALL;
	h.magic[0] = 'Q';
	rr_contribute(0, &h, 0, &v, 0);
	rig_settle(&rr);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_PTR_NOT_NULL(rr_delivered(data, &len));
		CU_ASSERT_EQUAL(len, 0); /* as it is */
	}
	rig_settle(&rr);
	for (uint64_t i = 0; i < 3; i++)
		rig_cq_expect(&rr_cq, 1000 + i, OK);
	CU_ASSERT_EQUAL(rr_figure("foreign"), 3);
	CU_ASSERT_EQUAL(rr_figure("contributions"), 0);
	rig_offload_out(&rr, rr_qp[1], 0, 0, &wr, 5, 0); /* posted ones are not for it */
	rig_settle(&rr);
	rig_cq_expect(&rr_cq, 5, PHCA_WC_LOC_QP_OP_ERR);
	rr_teardown();
}

/* --- something is missing */

PHCA_TEST(reduce, a_missing_rank_fails_those_who_came)
{
	static const struct phca_setting_arg args[] = { NUM("wait_ms", 10) };

	rr_setup(args, 1, 0);
	rr_contribute_one(0, 3, 1, ALL, 1);
	rig_settle(&rr);
	rr_time_goes(5);
	rr_contribute_one(2, 3, 1, ALL, 1);
	rr_contribute_one(1, 2, 2, ALL, 1); /* a later one, of another reduction */
	rr_time_goes(4);
	CU_ASSERT_EQUAL(rr_figure("timeouts"), 0);
	rr_time_goes(1);
	CU_ASSERT_EQUAL(rr_figure("timeouts"), 1);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 1);
	CU_ASSERT_TRUE(rr_errors_of(0) == 1 && rr_errors_of(1) == 0 && rr_errors_of(2) == 1);
	for (unsigned int i = 0; i < rr.nb_replies; i++)
		if (rr.replies[i].kind == PHCA_PREPLY_ERROR)
			CU_ASSERT_EQUAL(rr.replies[i].status, PHCA_WC_RESP_TIMEOUT_ERR);
	CU_ASSERT_EQUAL(rr_in_flight(), 1);
	rr_expect_nothing_delivered();
	rr_expect_no_answer();
	rr_teardown();
}

PHCA_TEST(reduce, a_missing_rank_drops_it_and_the_next_round_works)
{
	static const struct phca_setting_arg args[] = { NUM("wait_ms", 10), TEXT("on_missing", "drop") };

	rr_setup(args, 2, 0);
	rr_contribute_one(0, 2, 1, ALL, 1);
	rr_contribute_one(1, 2, 2, PHCA_REDUCE_F_DELIVER, 1); /* wants no answer */
	rig_settle(&rr);
	rr_time_goes(10);
	CU_ASSERT_EQUAL(rr_figure("timeouts"), 2);
	CU_ASSERT_TRUE(rr_errors_of(0) == 0 && rr_errors_of(1) == 0);
	rr_expect_answer(0, PHCA_REDUCE_TIMEOUT);
	rr_expect_no_answer();
	rr_expect_nothing_delivered();
	CU_ASSERT_EQUAL(rr_in_flight(), 0);
	rr_contribute_one(1, 2, 3, ALL, 1);
	rr_contribute_one(0, 2, 3, ALL, 1);
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_answer(1, PHCA_REDUCE_OK);
	rr_expect_delivered(3, 2);
	rr_teardown();
}

PHCA_TEST(reduce, without_a_limit_it_waits)
{
	static const struct phca_setting_arg args[] = { NUM("wait_ms", 0) };

	rr_setup(args, 1, 0);
	rr_contribute_one(0, 2, 1, ALL, 1);
	rr_time_goes(10000000);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 1);
	rr_contribute_one(1, 2, 1, ALL, 1);
	rig_settle(&rr);
	rr_expect_delivered(1, 2);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	rr_expect_answer(1, PHCA_REDUCE_OK);
	rr_teardown();
}

PHCA_TEST(reduce, the_instances_time_limit_takes_the_reduction_down)
{
	static const struct phca_setting_arg args[] = { NUM("wait_ms", 0), TEXT("on_missing", "drop") };

	rr_setup(args, 2, 5 * MS);
	rr_contribute_one(0, 3, 1, ALL, 1);
	rig_settle(&rr);
	rr_time_goes(3);
	rr_contribute_one(1, 3, 1, ALL, 1);
	rig_settle(&rr);
	rr_time_goes(2); /* that of rank 0 is over; rank 1 is let go */
	CU_ASSERT_EQUAL(rr_figure("lost"), 1);
	CU_ASSERT_TRUE(rr_errors_of(0) == 1 && rr_errors_of(1) == 0);
	rr_expect_answer(1, PHCA_REDUCE_PEER_LOST);
	CU_ASSERT_EQUAL(rr_in_flight(), 0);
	rr_teardown();
}

/* --- who dies, when */

PHCA_TEST(reduce, a_contributor_that_dies_takes_its_reductions_down_at_once)
{
	static const struct phca_setting_arg args[] = { TEXT("on_missing", "drop") };

	rr_setup(args, 1, 0);
	rr_contribute_one(0, 3, 1, ALL, 1);
	rr_contribute_one(1, 3, 1, ALL, 1);
	rr_contribute_one(0, 2, 2, ALL, 1);
	rr_contribute_one(2, 3, 3, ALL, 1);
	rig_settle(&rr);
	rig_kind(&rr, PHCA_PMSG_QP_ERROR, rr_qp[1]);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("lost"), 1);
	rr_expect_answer(0, PHCA_REDUCE_PEER_LOST);
	rr_expect_no_answer(); /* none to the dead */
	CU_ASSERT_EQUAL(rr_figure("waiting"), 2);
	rr_peer_end(0); /* destroyed */
	CU_ASSERT_EQUAL(rr_figure("lost"), 2);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 1);
	CU_ASSERT_EQUAL(rr_in_flight(), 1);
	rr_teardown();
}

PHCA_TEST(reduce, a_death_fails_the_others_unless_told_otherwise)
{
	rr_setup(NULL, 0, 0);
	rr_contribute_one(0, 3, 1, ALL, 1);
	rr_contribute_one(1, 3, 1, ALL, 1);
	rig_settle(&rr);
	rr_peer_end(1);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_errors_of(0), 1);
	CU_ASSERT_EQUAL(rr_errors_of(2), 0);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 0);
	rr_teardown();
}

PHCA_TEST(reduce, death_while_results_wait_for_children)
{
	static const struct phca_setting_arg args[] = { NUM("children", 1) };
	struct phca_reduce_hdr h;
	struct phca_child *c;
	uint32_t peer;

	rr_setup(args, 1, 0);
	for (uint32_t i = 0; i < 4; i++)
		rr_contribute_one(i, 4, 1, ALL, 1);
	rig_settle(&rr);
	c = rr_answer(&peer, &h); /* the only one is on its way to rank 0 */
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(peer, 0);
	rr_expect_delivered(1, 4);
	rr_peer_end(1);           /* waits for it */
	CU_ASSERT_EQUAL(rr_in_flight(), 2);
	rig_child_over(&rr, c, OK);
	rig_settle(&rr);
	rr_expect_answer(2, PHCA_REDUCE_OK);
	rig_settle(&rr);
	rr_expect_answer(3, PHCA_REDUCE_OK);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_in_flight(), 0);
	CU_ASSERT_EQUAL(rr_figure("answers"), 3);
	rr_teardown();
}

PHCA_TEST(reduce, death_while_results_are_on_their_way)
{
	static const struct phca_setting_arg args[] = { NUM("max_reductions", 1) };
	struct phca_reduce_hdr h;
	struct phca_child *c;
	uint32_t peer;

	rr_setup(args, 1, 0);
	rr_contribute_one(0, 2, 1, ALL, 1);
	rr_contribute_one(1, 2, 1, ALL, 1);
	rig_settle(&rr);
	rr_expect_delivered(1, 2);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	c = rr_answer(&peer, &h);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	rr_contribute_one(2, 3, 2, ALL, 1);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("busy"), 1); /* the accumulator is still being sent */
	rr_expect_answer(2, PHCA_REDUCE_BUSY);
	rr_peer_end(1);
	CU_ASSERT_EQUAL(rr_figure("unanswered"), 1);
	rr_contribute_one(2, 3, 2, ALL, 1);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 1);
	rr_teardown();
}

PHCA_TEST(reduce, rank_0_dies_before_the_result_is_delivered)
{
	struct rte_mbuf *all[8192];
	unsigned int n;

	rr_setup(NULL, 0, 0);
	rr_contribute_one(1, 2, 1, ALL, 1);
	rig_settle(&rr);
	rr_contribute_one(0, 2, 1, ALL, 1);
	for (n = 0; n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(rr.pool)) != NULL; n++)
		;
	rig_settle(&rr);
	rr_expect_answer(0, PHCA_REDUCE_OK);
	CU_ASSERT_EQUAL(rr_in_flight(), 2); /* no mbufs for the result: both wait */
	rr_peer_end(0);
	rig_settle(&rr);
	CU_ASSERT_EQUAL(rr_figure("undelivered"), 1);
	rr_expect_answer(1, PHCA_REDUCE_OK);
	CU_ASSERT_EQUAL(rr_in_flight(), 0);
	rte_pktmbuf_free_bulk(all, n);
	rr_teardown();
}

PHCA_TEST(reduce, a_result_waits_for_mbufs)
{
	struct rte_mbuf *all[8192];
	unsigned int n;

	rr_setup(NULL, 0, 0);
	rr_contribute_one(0, 1, 1, PHCA_REDUCE_F_DELIVER, 9);
	for (n = 0; n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(rr.pool)) != NULL; n++)
		;
	rig_settle(&rr);
	rr_expect_nothing_delivered();
	rte_pktmbuf_free_bulk(all, n);
	rig_settle(&rr);
	rr_expect_delivered(1, 9);
	rr_contribute_one(0, 1, 2, PHCA_REDUCE_F_DELIVER, 9);
	for (n = 0; n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(rr.pool)) != NULL; n++)
		;
	rig_settle(&rr);
	rr_time_goes(999);
	CU_ASSERT_EQUAL(rr_in_flight(), 1);
	rr_time_goes(1); /* not for ever */
	CU_ASSERT_EQUAL(rr_in_flight(), 0);
	CU_ASSERT_EQUAL(rr_figure("undelivered"), 1);
	CU_ASSERT_EQUAL(rr_errors_of(0), 1);
	rte_pktmbuf_free_bulk(all, n);
	rr_teardown();
}

PHCA_TEST(reduce, settings_are_checked)
{
	static const struct phca_setting_arg bad[] = { TEXT("on_missing", "wait") };
	struct phca_offload_conf conf = {
		.name = "x", .ops = phca_offload_driver_find("reduce"), .args = bad, .nb_args = 1,
	};
	char err[256] = "";

	rr_setup(NULL, 0, 0);
	CU_ASSERT_PTR_NULL(phca_offload_create(rr.p, &conf, err, sizeof(err)));
	CU_ASSERT_STRING_EQUAL(err, "setting on_missing: wait is none of fail, drop");
	rr_teardown();
}
