/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator with its peers: every byte that arrives is checked at one end or
 * the other, a wrong one is found, and what cannot work is refused with a reason.
 */
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "pattern.h"
#include "play.h"

#define TURNS 200000
#define TO_1 PLAY_S("peer", "192.0.2.1"), PLAY_U("peer_qpn", PLAY_QPN + 1)

PHCA_TEST(generator, datagrams_come_back_from_echo)
{
	const struct phca_setting_arg gen[] = {
		TO_1, PLAY_B("echo", 1), PLAY_S("operation", "send:3,send_imm:1"), PLAY_S("size", "0-1024"),
		PLAY_U("depth", 8), PLAY_U("messages", 500), PLAY_U("inline_max", 64),
	};
	struct play p;

	play_open(&p, PHCA_QPT_UD, false);
	play_cast(&p, 1, "echo", NULL, 0);
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	lab_turn(p.l, 100);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "posted"), 0); /* not before it is enabled */
	play_enable(&p, 0, true);
	CU_ASSERT(play_until(&p, 0, "finished_qps", 1, TURNS));
	CU_ASSERT_EQUAL(play_counter(&p, 0, "posted"), 500);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "completed"), 500);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "echoes"), 500);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "verified"), 500);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "lost"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "out_of_order"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "under_way"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "received"), 500);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "sent"), 500);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "bytes"), play_counter(&p, 0, "bytes"));
	play_close(&p);
}

static void sink_verifies(enum phca_qp_type type, bool srq, const char *size)
{
	const struct phca_setting_arg gen[] = {
		TO_1, PLAY_S("size", size), PLAY_U("depth", 8), PLAY_U("messages", 1000), PLAY_U("signal_every", 3),
		PLAY_U("seed", 77),
	}, sink[] = { PLAY_B("verify", 1), PLAY_U("seed", 77) };
	struct play p;

	play_open(&p, type, srq);
	play_cast(&p, 1, "sink", sink, RTE_DIM(sink));
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	CU_ASSERT(play_until(&p, 0, "finished_qps", 1, TURNS));
	CU_ASSERT(play_until(&p, 1, "verified", 1000, TURNS));
	CU_ASSERT_EQUAL(play_counter(&p, 1, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "missing"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "out_of_order"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "violations"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "errors"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "completed"), 1000);
	play_close(&p);
}

PHCA_TEST(generator, sink_verifies_datagrams_of_any_size)
{
	sink_verifies(PHCA_QPT_UD, false, "1-1024");
	sink_verifies(PHCA_QPT_UD, false, "0");
	sink_verifies(PHCA_QPT_UD, false, "0:1,1:2,2-7:3,8:1,9-15:4"); /* numbers do not fit */
	sink_verifies(PHCA_QPT_UD, true, "0-64");
}

PHCA_TEST(generator, members_of_a_group_receive)
{
	static const uint8_t group[16] = { [10] = 0xff, 0xff, 239, 1, 1, 1 };
	const struct phca_setting_arg gen[] = { PLAY_S("peer", "239.1.1.1"), PLAY_S("size", "1-1000"),
		PLAY_U("depth", 4), PLAY_U("messages", 100) };
	const struct phca_setting_arg sink[] = { PLAY_B("verify", 1) };
	struct play p;

	play_open(&p, PHCA_QPT_UD, false);
	CU_ASSERT_EQUAL(phca_qp_mcast_attach(p.qp[1], group), 0);
	play_cast(&p, 1, "sink", sink, RTE_DIM(sink));
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	CU_ASSERT(play_until(&p, 1, "verified", 100, TURNS));
	CU_ASSERT_EQUAL(play_counter(&p, 1, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 1, "missing"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "completed"), 100);
	play_close(&p);
}

/* The check is one: with another seed every message is wrong. */
PHCA_TEST(generator, another_seed_is_a_mismatch)
{
	const struct phca_setting_arg gen[] = { TO_1, PLAY_U("messages", 50), PLAY_U("seed", 5) };
	const struct phca_setting_arg sink[] = { PLAY_B("verify", 1), PLAY_U("seed", 6) };
	struct play p;

	play_open(&p, PHCA_QPT_UD, false);
	play_cast(&p, 1, "sink", sink, RTE_DIM(sink));
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	CU_ASSERT(play_until(&p, 1, "verified", 50, TURNS));
	CU_ASSERT_EQUAL(play_counter(&p, 1, "mismatches"), 50);
	play_close(&p);
}

/* Nobody answers: each message is given up in its time, and the next take its place. */
PHCA_TEST(generator, echoes_that_do_not_come_are_lost)
{
	const struct phca_setting_arg gen[] = {
		TO_1, PLAY_B("echo", 1), PLAY_U("depth", 4), PLAY_U("messages", 12), PLAY_U("echo_timeout_us", 50),
	};
	struct play p;

	play_open(&p, PHCA_QPT_UD, false);
	play_cast(&p, 1, "sink", NULL, 0);
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	lab_turn(p.l, 40);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "posted"), 4);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "lost"), 0);
	CU_ASSERT(play_until(&p, 0, "finished_qps", 1, 1000));
	CU_ASSERT_EQUAL(play_counter(&p, 0, "lost"), 12);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "completed"), 0);
	CU_ASSERT_EQUAL(phca_app_ops(p.app[0])->in_flight(p.app[0]), 0);
	play_close(&p);
}

PHCA_TEST(generator, sends_at_its_rate)
{
	const struct phca_setting_arg gen[] = { TO_1, PLAY_U("rate", 100000) };
	struct play p;
	uint64_t n;

	play_open(&p, PHCA_QPT_UD, false);
	play_cast(&p, 1, "sink", NULL, 0);
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	lab_turn(p.l, 5000); /* us */
	n = play_counter(&p, 0, "posted");
	CU_ASSERT(n >= 490 && n <= 510);
	play_enable(&p, 0, false);
	lab_turn(p.l, 100);
	n = play_counter(&p, 0, "posted");
	lab_turn(p.l, 1000);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "posted"), n);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "under_way"), 0);
	play_close(&p);
}

/* With a clock of 1 us a turn all is in whole microseconds. */
PHCA_TEST(generator, latency_and_rates)
{
	const struct phca_setting_arg gen[] = { TO_1, PLAY_B("echo", 1), PLAY_U("depth", 1), PLAY_U("rate", 1000) };
	uint64_t min, p50, p99, max;
	struct play p;

	play_open(&p, PHCA_QPT_UD, false);
	play_cast(&p, 1, "echo", NULL, 0);
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	lab_turn(p.l, 100000);
	min = play_counter(&p, 0, "latency_min_ns");
	p50 = play_counter(&p, 0, "latency_p50_ns");
	p99 = play_counter(&p, 0, "latency_p99_ns");
	max = play_counter(&p, 0, "latency_max_ns");
	CU_ASSERT(min >= 1000 && min <= p50 && p50 <= p99 && p99 <= max && max < 100000);
	CU_ASSERT(play_counter(&p, 0, "latency_avg_ns") >= min && play_counter(&p, 0, "latency_avg_ns") <= max);
	phca_app_ops(p.app[0])->clear(p.app[0]);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "latency_max_ns"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "latency_p99_9_ns"), 0);
	play_close(&p);
}

/* A queue pair that was reset goes on from its first message. */
PHCA_TEST(generator, goes_on_after_a_reset)
{
	const struct phca_setting_arg gen[] = { TO_1, PLAY_B("echo", 1), PLAY_U("messages", 20) };
	const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET }, error = { .state = PHCA_QPS_ERR };
	struct play p;

	play_open(&p, PHCA_QPT_UD, false);
	play_cast(&p, 1, "echo", NULL, 0);
	play_cast(&p, 0, "generator", gen, RTE_DIM(gen));
	play_enable(&p, 0, true);
	CU_ASSERT(play_until(&p, 0, "finished_qps", 1, TURNS));
	for (unsigned int i = PLAY_ACTORS; i-- > 0;) { /* who answers first */
		CU_ASSERT_EQUAL(phca_qp_modify(p.qp[i], &error, PHCA_QP_STATE), 0);
		lab_turn(p.l, 200);
		CU_ASSERT_EQUAL(phca_qp_modify(p.qp[i], &reset, PHCA_QP_STATE), 0);
		play_to_rts(&p, i);
		CU_ASSERT_EQUAL(phca_app_ops(p.app[i])->qp_reset(p.app[i], PLAY_QPN + i), 0);
		CU_ASSERT_EQUAL(phca_app_ops(p.app[i])->qp_reset(p.app[i], 0x999), -ENOENT);
	}
	CU_ASSERT(play_until(&p, 0, "completed", 40, TURNS));
	CU_ASSERT_EQUAL(play_counter(&p, 0, "mismatches"), 0);
	CU_ASSERT_EQUAL(play_counter(&p, 0, "stopped_qps"), 0);
	play_close(&p);
}

static void refused(enum phca_qp_type type, const struct phca_setting_arg *args, unsigned int n, const char *why)
{
	char err[256] = "";
	struct play p;

	play_open(&p, type, false);
	CU_ASSERT_FALSE(play_app(&p, 0, "generator", args, n, err));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	if (strstr(err, why) == NULL)
		printf("  want: %s\n  got:  %s\n", why, err);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, why));
	play_close(&p);
}

PHCA_TEST(generator, what_cannot_work_is_refused)
{
#define REFUSED(type, why, ...) do { \
		const struct phca_setting_arg args[] = { __VA_ARGS__ }; \
		refused(type, args, RTE_DIM(args), why); \
	} while (0)
	REFUSED(PHCA_QPT_UD, "UD needs to know where to", PLAY_S("peer", "192.0.2.1"));
	REFUSED(PHCA_QPT_UD, "is no IP address", PLAY_S("peer", "192.0.2"));
	REFUSED(PHCA_QPT_UD, "a datagram is one packet", TO_1, PLAY_S("size", "1025"));
	REFUSED(PHCA_QPT_UD, "UD has SEND only", TO_1, PLAY_S("operation", "write"));
	REFUSED(PHCA_QPT_UC, "only RC has READ and atomics", PLAY_S("operation", "send,read"));
	REFUSED(PHCA_QPT_UD, "is none of send, send_imm", TO_1, PLAY_S("operation", "sent"));
	REFUSED(PHCA_QPT_UD, "names one twice", TO_1, PLAY_S("operation", "send,send:2"));
	REFUSED(PHCA_QPT_UD, "commas between", TO_1, PLAY_S("operation", "send:0"));
	REFUSED(PHCA_QPT_UD, "commas between", TO_1, PLAY_S("operation", "send,"));
	REFUSED(PHCA_QPT_UD, "give numbers of bytes", TO_1, PLAY_S("size", ""));
	REFUSED(PHCA_QPT_UD, "a range is LOW-HIGH", TO_1, PLAY_S("size", "9-8"));
	REFUSED(PHCA_QPT_UD, "weights 1..1000000", TO_1, PLAY_S("size", "8:1000001"));
	REFUSED(PHCA_QPT_UD, "give numbers of bytes", TO_1, PLAY_S("size", "1073741825"));
}

PHCA_TEST(generator, number_of_a_short_message)
{
	uint8_t b[8];

	app_message_fill(b, 1, 0, 0, APP_KIND_SEND, 0x1ff);
	CU_ASSERT_EQUAL(app_message_seq(b, 1, 0x1f0), 0x1ff);
	CU_ASSERT_EQUAL(app_message_seq(b, 1, 0x200), 0x1ff); /* late */
	CU_ASSERT_EQUAL(app_message_seq(b, 1, 0), 0xff);      /* never below 0 */
	CU_ASSERT_EQUAL(app_message_seq(b, 0, 0x1234), 0x1234);
	app_message_fill(b, 8, 0, 0, APP_KIND_SEND, 0x1ff);
	CU_ASSERT_EQUAL(app_message_seq(b, 8, 0x1000000), 0x1ff);
}

PHCA_TEST(generator, address_vector_to_an_address)
{
	static const uint8_t near[16] = { [10] = 0xff, 0xff, 192, 0, 2, 9 };
	static const uint8_t many[16] = { [10] = 0xff, 0xff, 239, 0, 2, 9 };
	struct phca_av av;
	struct play p;

	play_open(&p, PHCA_QPT_UD, false);
	CU_ASSERT_EQUAL(phca_av_to(p.qp[0], near, &av), 0);
	CU_ASSERT_EQUAL(memcmp(av.dgid, near, 16), 0);
	CU_ASSERT(phca_gid_is_ip4(phca_net_gid(p.l->net, av.sgid_index)));
	CU_ASSERT_EQUAL(phca_av_to(p.qp[0], many, &av), 0);
	CU_ASSERT_EQUAL(memcmp(av.dgid, many, 16), 0);
	play_close(&p);
}
