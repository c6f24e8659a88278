/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator on connected queue pairs: every operation, each verified byte for
 * byte, with memory that the peer lends and the generator asks for.
 */
#include <string.h>

#include <rte_common.h>

#include "play.h"

#define TURNS 400000
#define MEMORY PLAY_U("memory_bytes", 1 << 20)

/* A generator against a target; all of its messages complete and are as they should be. */
static void run(enum phca_qp_type type, const char *target, bool srq, const struct phca_setting_arg *gen,
		unsigned int n, struct play *p)
{
	const struct phca_setting_arg args[] = { MEMORY, PLAY_B("verify", 1) };

	play_open(p, type, srq);
	play_cast(p, 1, target, args, strcmp(target, "sink") == 0 ? 2 : 1);
	play_cast(p, 0, "generator", gen, n);
	play_enable(p, 0, true);
	CU_ASSERT(play_until(p, 0, "finished_qps", 1, TURNS));
	CU_ASSERT_EQUAL(play_counter(p, 0, "completed"), play_counter(p, 0, "posted"));
	CU_ASSERT_EQUAL(play_counter(p, 0, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 0, "errors"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 0, "lost"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 0, "strays"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 0, "out_of_order"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 0, "refused"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 0, "under_way"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 1, "errors"), 0);
	lab_turn(p->l, 100);
}

static void sink_is_content(const struct play *p, uint64_t messages)
{
	CU_ASSERT_EQUAL(play_counter(p, 1, "verified"), messages);
	CU_ASSERT_EQUAL(play_counter(p, 1, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 1, "missing"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 1, "out_of_order"), 0);
	CU_ASSERT_EQUAL(play_counter(p, 1, "violations"), 0);
}

static void echo_brings_all_back(enum phca_qp_type type, bool srq)
{
	const struct phca_setting_arg gen[] = {
		PLAY_B("echo", 1), PLAY_S("operation", "send,send_imm"), PLAY_S("size", "0-3000"),
		PLAY_U("depth", 8), PLAY_U("messages", 300), PLAY_U("signal_every", 4), PLAY_U("inline_max", 64),
	};
	struct play p;

	run(type, "echo", srq, gen, RTE_DIM(gen), &p);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "echoes"), 300);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "verified"), 300);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "received"), 300);
	play_close(&p);
}

PHCA_TEST(generator_conn, echo)
{
	echo_brings_all_back(PHCA_QPT_UC, false);
	echo_brings_all_back(PHCA_QPT_RC, false);
	echo_brings_all_back(PHCA_QPT_RC, true);
}

static void sink_verifies(enum phca_qp_type type, bool srq)
{
	const struct phca_setting_arg gen[] = {
		PLAY_S("operation", "send,send_imm,write_imm"), PLAY_S("size", "1-3000"), PLAY_U("depth", 8),
		PLAY_U("messages", 300), PLAY_U("signal_every", 3),
	};
	struct play p;

	run(type, "sink", srq, gen, RTE_DIM(gen), &p);
	sink_is_content(&p, 300);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "memory_answers"), 1);
	play_close(&p);
}

PHCA_TEST(generator_conn, sink_verifies_sends_and_writes_with_immediate)
{
	sink_verifies(PHCA_QPT_UC, false);
	sink_verifies(PHCA_QPT_RC, false);
	sink_verifies(PHCA_QPT_RC, true);
}

PHCA_TEST(generator_conn, rc_operations_one_by_one)
{
	static const char *const ops[] = { "write", "read", "cas", "fetch_add" };
	struct play p;

	for (unsigned int i = 0; i < RTE_DIM(ops); i++) {
		const struct phca_setting_arg gen[] = {
			PLAY_S("operation", ops[i]), PLAY_S("size", "0-3000"), PLAY_U("depth", 8),
			PLAY_U("messages", 200),
		};

		run(PHCA_QPT_RC, "sink", false, gen, RTE_DIM(gen), &p);
		CU_ASSERT_EQUAL(play_counter(&p, 0, "verified"), 200);
		play_close(&p);
	}
}

PHCA_TEST(generator_conn, rc_everything_mixed)
{
	const struct phca_setting_arg gen[] = {
		PLAY_S("operation", "send,send_imm,write,write_imm,read,cas,fetch_add"), PLAY_U("signal_every", 5),
		PLAY_S("size", "1:1,64:4,1000-3000:1"), PLAY_U("depth", 16), PLAY_U("messages", 700),
		PLAY_U("readback", 2),
	};
	struct play p;

	run(PHCA_QPT_RC, "sink", false, gen, RTE_DIM(gen), &p);
	CU_ASSERT(play_counter(&p, 0, "readbacks") > 20);
	CU_ASSERT(play_counter(&p, 0, "verified") > 300);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "missing"), 0);
	CU_ASSERT(play_counter(&p, 1, "verified") > 200);
	play_close(&p);
}

/* UC WRITE goes without a look back; what the target lends must be enough. */
PHCA_TEST(generator_conn, memory_that_is_too_small_is_refused)
{
	const struct phca_setting_arg write[] = { PLAY_S("operation", "write"), PLAY_U("messages", 100) };
	const struct phca_setting_arg large[] = { PLAY_S("operation", "write"), PLAY_S("size", "100000") };
	struct play p;

	run(PHCA_QPT_UC, "echo", false, write, RTE_DIM(write), &p);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "readbacks"), 0);
	play_close(&p);
	play_open(&p, PHCA_QPT_UC, false);
	play_cast(&p, 1, "echo", NULL, 0); /* lends none */
	play_cast(&p, 0, "generator", write, RTE_DIM(write));
	play_enable(&p, 0, true);
	CU_ASSERT(play_until(&p, 0, "refused", 1, 1000));
	CU_ASSERT_EQUAL(play_counter(&p, 0, "stopped_qps"), 1);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "posted"), 0);
	play_close(&p);
	play_open(&p, PHCA_QPT_RC, false);
	play_cast(&p, 1, "sink", (const struct phca_setting_arg[]){ MEMORY }, 1);
	play_cast(&p, 0, "generator", large, RTE_DIM(large));
	play_enable(&p, 0, true);
	CU_ASSERT(play_until(&p, 0, "refused", 1, 1000));
	play_close(&p);
}

/* The peer is in error: the queue pair stops with a status, and goes on when both ends were reset. */
PHCA_TEST(generator_conn, goes_on_after_an_error_and_a_reset)
{
	const struct phca_setting_arg gen[] = { PLAY_B("echo", 1), PLAY_U("messages", 50) };
	const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET }, error = { .state = PHCA_QPS_ERR };
	struct play p;

	play_open(&p, PHCA_QPT_RC, false);
	play_cast(&p, 1, "echo", NULL, 0);
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	lab_turn(p.l, 20);
	CU_ASSERT_EQUAL(phca_qp_modify(p.qp[0], &error, PHCA_QP_STATE), 0);
	CU_ASSERT(play_until(&p, 0, "stopped_qps", 1, TURNS));
	CU_ASSERT_EQUAL(phca_app_ops(p.app[0])->in_flight(p.app[0]), 0);
	for (unsigned int i = PLAY_ACTORS; i-- > 0;) {
		CU_ASSERT_EQUAL(phca_qp_modify(p.qp[i], &reset, PHCA_QP_STATE), 0);
		play_to_rts(&p, i);
		CU_ASSERT_EQUAL(phca_app_ops(p.app[i])->qp_reset(p.app[i], PLAY_QPN + i), 0);
	}
	CU_ASSERT(play_until(&p, 0, "finished_qps", 1, TURNS));
	CU_ASSERT_EQUAL(play_counter(&p, 0, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "stopped_qps"), 0);
	play_close(&p);
}
