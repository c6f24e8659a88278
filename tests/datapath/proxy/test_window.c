/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The serializer, a ladder: messages as the HCA sends them, drivers that finish
 * when the test says, then what the application sees in its CQs.
 */
#include <string.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define FLUSH PHCA_WC_WR_FLUSH_ERR
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV

struct bench {
	struct rig r;
	struct rig_cq send, recv;
	struct phca_offload *o;
	struct phca_pqp *q;
	void *cookie;
	struct phca_offload_wr wr[64];
};

static struct bench b;

static void setup_limit(uint32_t window, uint32_t seq, uint64_t limit_ns, bool no_cancel)
{
	memset(&b, 0, sizeof(b));
	rig_init(&b.r, 1024);
	rig_cq_init(&b.send, 192, 64);
	rig_cq_init(&b.recv, 192, 64);
	b.o = rig_manual(&b.r, "manual", limit_ns, no_cancel);
	b.q = rig_pqp(&b.r, 0x11, window, &b.send, &b.recv, &b.o, 1, seq);
	b.cookie = (void *)(uintptr_t)0x11;
}

static void setup(uint32_t window)
{
	setup_limit(window, 0, 0, false);
}

static void teardown(void)
{
	struct manual *s = rig_manual_state(b.o);

	if (b.q != NULL)
		rig_pqp_end(&b.r, b.q);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	rig_fini(&b.r);
	rig_cq_fini(&b.send);
	rig_cq_fini(&b.recv);
}

static void complete(enum phca_dir dir, uint32_t seq, enum phca_wc_status status, uint8_t flags)
{
	rig_complete(&b.r, b.q, dir, seq, 100 + seq, status, flags);
}

static void out(uint32_t seq, uint8_t flags)
{
	rig_offload_out(&b.r, b.q, seq, 0, &b.wr[seq % 64], 100 + seq, flags);
}

static void in(uint32_t seq)
{
	rig_offload_in(&b.r, b.q, seq, 0, 32);
}

static void done(enum phca_dir dir, uint32_t seq, enum phca_wc_status status)
{
	rig_manual_done(b.o, dir, seq, status);
}

static void turn(void)
{
	rig_turn(&b.r);
}

PHCA_TEST(window, direct_completions_pass_through_as_they_are)
{
	struct phca_wc want = {
		.wr_id = 7, .opcode = PHCA_WC_RECV, .byte_len = 99, .imm = 5, .qp_num = 0x11,
		.src_qp = 0x22, .wc_flags = PHCA_WC_F_GRH | PHCA_WC_F_WITH_IMM, .pkey_index = 1, .sl = 3,
	}, got;
	struct phca_pmsg m = { .kind = PHCA_PMSG_COMPLETE, .dir = RECV, .seq = 0 };

	setup(16);
	m.pqp = b.q;
	m.wc = want;
	rig_send(&b.r, &m);
	complete(SEND, 0, OK, 0);
	complete(SEND, 1, OK, 0);
	turn();
	CU_ASSERT_TRUE_FATAL(rig_cq_poll(&b.recv, &got));
	CU_ASSERT_EQUAL(memcmp(&want, &got, sizeof(want)), 0);
	rig_cq_expect_empty(&b.recv);
	rig_cq_expect(&b.send, 100, OK);
	rig_cq_expect(&b.send, 101, OK);
	rig_cq_expect_empty(&b.send);
	CU_ASSERT_EQUAL(rig_stats(&b.r).waited, 0);
	CU_ASSERT_EQUAL(rig_stats(&b.r).released, 3);
	teardown();
}

PHCA_TEST(window, unsignaled_success_takes_a_place_and_writes_nothing)
{
	setup(16);
	complete(SEND, 0, OK, PHCA_PMSG_F_NO_CQE);
	out(1, PHCA_PMSG_F_NO_CQE);
	complete(SEND, 2, OK, 0);
	turn();
	rig_cq_expect_empty(&b.send); /* 2 waits for 1 */
	done(SEND, 1, OK);
	turn();
	rig_cq_expect(&b.send, 102, OK);
	rig_cq_expect_empty(&b.send);
	teardown();
}

PHCA_TEST(window, direct_waits_for_an_earlier_offload)
{
	struct phca_pqp_stats st;

	setup(16);
	out(0, 0);
	complete(SEND, 1, OK, 0);
	complete(SEND, 2, OK, 0);
	turn();
	rig_cq_expect_empty(&b.send);
	phca_pqp_stats_get(b.q, &st);
	CU_ASSERT_EQUAL(st.waiting[SEND], 3);
	CU_ASSERT_EQUAL(rig_stats(&b.r).in_flight, 1);
	done(SEND, 0, OK);
	turn();
	for (int i = 0; i < 3; i++)
		rig_cq_expect(&b.send, 100 + (uint64_t)i, OK);
	phca_pqp_stats_get(b.q, &st);
	CU_ASSERT_EQUAL(st.waiting[SEND], 0);
	CU_ASSERT_EQUAL(st.waited, 2);
	CU_ASSERT_EQUAL(st.completions, 2);
	CU_ASSERT_EQUAL(st.offloaded, 1);
	CU_ASSERT_EQUAL(st.offload_ok, 1);
	CU_ASSERT_EQUAL(st.released, 3);
	CU_ASSERT_EQUAL(st.cqes, 3);
	teardown();
}

PHCA_TEST(window, offloads_finish_in_reverse_and_complete_in_order)
{
	setup(16);
	for (uint32_t i = 0; i < 8; i++)
		out(i, 0);
	turn();
	for (uint32_t i = 8; i-- > 1;) {
		done(SEND, i, OK);
		turn();
		rig_cq_expect_empty(&b.send);
	}
	done(SEND, 0, OK);
	turn();
	for (uint32_t i = 0; i < 8; i++)
		rig_cq_expect(&b.send, 100 + i, OK);
	rig_cq_expect_empty(&b.send);
	CU_ASSERT_EQUAL(rig_stats(&b.r).waited, 7);
	teardown();
}

PHCA_TEST(window, completion_may_arrive_behind_a_later_offload)
{
	setup(16);
	out(1, 0); /* an RC WR is acknowledged after the next one was offloaded */
	turn();
	done(SEND, 1, OK);
	turn();
	rig_cq_expect_empty(&b.send);
	complete(SEND, 0, OK, 0);
	turn();
	rig_cq_expect(&b.send, 100, OK);
	rig_cq_expect(&b.send, 101, OK);
	teardown();
}

PHCA_TEST(window, completion_of_a_posted_offload_names_its_request)
{
	struct phca_wc wc;

	setup(16);
	out(0, PHCA_PMSG_F_SOLICITED);
	turn();
	done(SEND, 0, OK);
	turn();
	CU_ASSERT_TRUE_FATAL(rig_cq_poll(&b.send, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 100);
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_SEND);
	CU_ASSERT_EQUAL(wc.qp_num, 0x11);
	CU_ASSERT_EQUAL(((struct phca_cqe *)phca_ring_slot(&b.send.app, 0))->flags, PHCA_CQE_SOLICITED);
	teardown();
}

PHCA_TEST(window, inbound_offload_is_a_noop_in_its_place)
{
	struct phca_cqe *e;

	setup(16);
	complete(RECV, 0, OK, 0);
	in(1);
	complete(RECV, 2, OK, 0);
	turn();
	rig_cq_expect(&b.recv, 100, OK);
	rig_cq_expect_empty(&b.recv);
	done(RECV, 1, OK);
	turn();
	e = phca_ring_slot(&b.recv.app, 1);
	CU_ASSERT_EQUAL(e->flags, PHCA_CQE_NOOP);
	CU_ASSERT_EQUAL(e->count, 1);
	rig_cq_expect(&b.recv, 102, OK);
	rig_cq_expect_empty(&b.recv);
	CU_ASSERT_EQUAL(rig_stats(&b.r).noops, 1);
	CU_ASSERT_EQUAL(b.recv.w.noops, 1);
	teardown();
}

PHCA_TEST(window, the_two_sequences_do_not_wait_for_each_other)
{
	setup(16);
	out(0, 0);
	in(0);
	complete(SEND, 1, OK, 0);
	complete(RECV, 1, OK, 0);
	turn();
	done(RECV, 0, OK);
	turn();
	rig_cq_expect(&b.recv, 101, OK);
	rig_cq_expect_empty(&b.send);
	done(SEND, 0, OK);
	turn();
	rig_cq_expect(&b.send, 100, OK);
	rig_cq_expect(&b.send, 101, OK);
	teardown();
}

PHCA_TEST(window, sequence_wraps_at_32_bits)
{
	setup_limit(16, 0xfffffffau, 0, false);
	for (uint32_t i = 0; i < 12; i++) {
		uint32_t seq = 0xfffffffau + i;

		if (i % 2 == 0)
			rig_offload_out(&b.r, b.q, seq, 0, &b.wr[i], i, 0);
		else
			rig_complete(&b.r, b.q, SEND, seq, i, OK, 0);
	}
	turn();
	for (uint32_t i = 12; i-- > 0;)
		if (i % 2 == 0)
			done(SEND, 0xfffffffau + i, OK);
	rig_settle(&b.r);
	for (uint32_t i = 0; i < 12; i++)
		rig_cq_expect(&b.send, i, OK);
	CU_ASSERT_EQUAL(rig_credit(&b.r, b.cookie, SEND, 1), 6);
	CU_ASSERT_EQUAL(rig_stats(&b.r).bad_messages, 0);
	teardown();
}

PHCA_TEST(window, credits_return_by_the_quarter_and_when_idle)
{
	setup(16);
	for (uint32_t i = 0; i < 3; i++)
		complete(RECV, i, OK, 0);
	turn();
	CU_ASSERT_EQUAL(rig_credit(&b.r, b.cookie, RECV, 999), 999); /* fewer than 4, not idle */
	complete(RECV, 3, OK, 0);
	turn();
	CU_ASSERT_EQUAL(rig_credit(&b.r, b.cookie, RECV, 999), 4);
	complete(RECV, 4, OK, 0);
	turn();
	CU_ASSERT_EQUAL(rig_credit(&b.r, b.cookie, RECV, 999), 4);
	turn(); /* idle */
	CU_ASSERT_EQUAL(rig_credit(&b.r, b.cookie, RECV, 999), 5);
	CU_ASSERT_EQUAL(rig_credit(&b.r, b.cookie, SEND, 999), 999);
	teardown();
}

PHCA_TEST(window, small_credits_return_though_others_keep_it_busy)
{
	struct phca_pqp *other;
	unsigned int turns = 0;

	setup(16);
	other = rig_pqp(&b.r, 0x22, 1024, &b.send, &b.recv, &b.o, 1, 0);
	complete(RECV, 0, OK, 0);
	while (rig_credit(&b.r, b.cookie, RECV, 999) == 999 && turns < 200) {
		rig_complete(&b.r, other, RECV, turns, 0, OK, 0);
		CU_ASSERT_TRUE(rig_turn(&b.r) > 0);
		turns++;
	}
	CU_ASSERT_EQUAL(rig_credit(&b.r, b.cookie, RECV, 999), 1);
	rig_pqp_end(&b.r, other);
	teardown();
}

PHCA_TEST(window, places_outside_the_window_or_taken_are_bad_messages)
{
	struct rte_mempool *pool;
	unsigned int before;

	setup(16);
	pool = b.r.pool;
	before = rte_mempool_avail_count(pool);
	complete(RECV, 16, OK, 0);      /* past the window */
	complete(RECV, 0xffffffffu, OK, 0); /* before it */
	in(16);
	rig_offload_in(&b.r, b.q, 0, 1, 16); /* no such rule */
	turn();
	CU_ASSERT_EQUAL(rig_stats(&b.r).bad_messages, 4);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), before);
	in(0);
	complete(RECV, 2, OK, 0);
	turn();
	complete(RECV, 0, OK, 0);       /* taken by a request in flight */
	in(2);                          /* taken by a completion that waits */
	turn();
	CU_ASSERT_EQUAL(rig_stats(&b.r).bad_messages, 6);
	complete(RECV, 1, OK, 0);
	done(RECV, 0, OK);
	turn();
	rig_cq_expect(&b.recv, 101, OK);
	rig_cq_expect(&b.recv, 102, OK);
	complete(RECV, 1, OK, 0);       /* was released */
	turn();
	CU_ASSERT_EQUAL(rig_stats(&b.r).bad_messages, 7);
	rig_cq_expect_empty(&b.recv);
	rig_pqp_end(&b.r, b.q);
	b.q = NULL;
	teardown();
}

PHCA_TEST(window, messages_for_a_detached_qp_are_bad)
{
	struct phca_pqp_conf conf = { 0 };
	struct phca_pqp *q;

	setup(16);
	conf = (struct phca_pqp_conf){
		.window = { 16, 16 }, .cq = { &b.send.w, &b.recv.w }, .nb_rules = 1, .offloads = { b.o },
		.chan = b.r.chan,
	};
	q = phca_pqp_create(b.r.p, &conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	rig_complete(&b.r, q, SEND, 0, 0, OK, 0);
	rig_offload_in(&b.r, q, 0, 0, 16);
	rig_kind(&b.r, PHCA_PMSG_DETACH, q);
	rig_kind(&b.r, PHCA_PMSG_ATTACH, b.q); /* attached already */
	rig_kind(&b.r, (enum phca_pmsg_kind)77, NULL);
	turn();
	CU_ASSERT_EQUAL(rig_stats(&b.r).bad_messages, 5);
	phca_pqp_destroy(q);
	teardown();
}

PHCA_TEST(window, unsound_configurations_are_refused)
{
	struct phca_pqp_conf good = { 0 }, bad;

	setup(16);
	good = (struct phca_pqp_conf){
		.window = { 16, PHCA_WINDOW_MAX }, .cq = { &b.send.w, &b.recv.w }, .nb_rules = 1,
		.offloads = { b.o }, .chan = b.r.chan,
	};
	bad = good;
	bad.window[0] = 8;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	bad.window[0] = 24;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	bad.window[0] = 2 * PHCA_WINDOW_MAX;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	bad = good;
	bad.cq[RECV] = NULL;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	bad = good;
	bad.nb_tags = PHCA_PROXY_TAG_MAX + 1;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	bad = good;
	bad.chan = NULL;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	bad = good;
	bad.offloads[0] = NULL;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	bad = good;
	bad.nb_rules = PHCA_PROXY_RULE_MAX + 1;
	CU_ASSERT_PTR_NULL(phca_pqp_create(b.r.p, &bad));
	phca_pqp_destroy(NULL);
	teardown();
}
