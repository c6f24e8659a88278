/* SPDX-License-Identifier: BSD-3-Clause */
/* Which packets a rule is applied to: seed, probability, count, QPN, PSN, transmission. */
#include <stdio.h>
#include <string.h>

#include "rig.h"

#define MANY 2000

/* A bit for each of MANY packets: did it come out? */
struct fate { uint8_t out[MANY]; unsigned int n; };

static void run(enum phca_impair_dir dir, const char *args, struct fate *f)
{
	uint32_t psn[RIG_MAX];
	struct rig r;

	memset(f, 0, sizeof(*f));
	CU_ASSERT_FATAL(rig_open(&r, args));
	for (unsigned int i = 0; i < MANY; i += 100) {
		unsigned int n;

		rig_feed(&r, dir, 1, i, 100);
		n = rig_psns(&r, dir, psn);
		f->n += n;
		for (unsigned int k = 0; k < n; k++)
			f->out[psn[k]] = 1;
	}
	rig_balance(&r, dir);
	rig_close(&r);
}

static bool same(const struct fate *a, const struct fate *b)
{
	return memcmp(a->out, b->out, MANY) == 0;
}

PHCA_TEST(choice, same_seed_gives_the_same_run)
{
	struct fate a, b;

	for (int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		run((enum phca_impair_dir)dir, "seed=5,rule=drop p 0.2", &a);
		run((enum phca_impair_dir)dir, "seed=5,rule=drop p 0.2", &b);
		CU_ASSERT(same(&a, &b));
		CU_ASSERT(a.n > MANY / 2 && a.n < MANY);
	}
}

PHCA_TEST(choice, other_seeds_directions_and_rules_give_others)
{
	struct fate a, b;

	run(TX, "seed=5,rule=drop p 0.2", &a);
	run(TX, "seed=6,rule=drop p 0.2", &b);
	CU_ASSERT_FALSE(same(&a, &b));
	run(RX, "seed=5,rule=drop p 0.2", &b);
	CU_ASSERT_FALSE(same(&a, &b));
	run(TX, "seed=5,rule=drop p 0.21", &b);
	CU_ASSERT_FALSE(same(&a, &b));
}

PHCA_TEST(choice, start_begins_anew)
{
	uint32_t first[RIG_MAX], again[RIG_MAX];
	unsigned int n, m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "seed=9,rule=drop p 0.5"));
	rig_feed(&r, TX, 1, 0, 500);
	n = rig_psns(&r, TX, first);
	CU_ASSERT_EQUAL(rte_eth_dev_stop(r.port), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_start(r.port), 0);
	rig_feed(&r, TX, 1, 0, 500);
	m = rig_psns(&r, TX, again);
	CU_ASSERT_EQUAL(n, m);
	CU_ASSERT_EQUAL(memcmp(first, again, n * sizeof(*first)), 0);
	rig_close(&r);
}

/* The packets that rule 0 alone drops are those that are missing of its share. */
PHCA_TEST(choice, a_rule_more_moves_no_other)
{
	struct fate one, other, both;

	run(TX, "seed=3,rule=drop p 0.1", &one);
	run(TX, "seed=3,rule=drop p 0.05", &other);
	run(TX, "seed=3,rule=drop p 0.05,rule=ecn p 0.3,rule=drop p 0.1", &both);
	for (unsigned int i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(both.out[i], one.out[i] && other.out[i]);
}

PHCA_TEST(choice, equal_rules_choose_apart)
{
	struct fate one, two;

	run(TX, "rule=drop p 0.1", &one);
	run(TX, "rule=drop p 0.1,rule=drop p 0.1", &two);
	CU_ASSERT(two.n < one.n);
}

PHCA_TEST(choice, probability)
{
	struct fate f;

	run(TX, "rule=drop p 0", &f);
	CU_ASSERT_EQUAL(f.n, MANY);
	run(TX, "rule=drop p 1", &f);
	CU_ASSERT_EQUAL(f.n, 0);
	run(TX, "rule=drop p 10%", &f);
	CU_ASSERT(f.n > MANY * 87 / 100 && f.n < MANY * 93 / 100);
	run(RX, "rule=drop p 1e-3", &f);
	CU_ASSERT(f.n >= MANY - 10 && f.n <= MANY);
}

PHCA_TEST(choice, every_nth_after_some_and_so_many)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop nth 3"));
	rig_feed(&r, TX, 1, 1, 9);
	rig_expect(&r, TX, "1 2 4 5 7 8");
	rig_rules(&r, "drop nth=2 skip=3");
	rig_feed(&r, TX, 1, 1, 9);
	rig_expect(&r, TX, "1 2 3 4 6 8");
	rig_rules(&r, "drop skip=2 max=3");
	rig_feed(&r, TX, 1, 1, 9);
	rig_expect(&r, TX, "1 2 6 7 8 9");
	rig_rules(&r, "drop");
	rig_feed(&r, TX, 1, 1, 9);
	rig_expect(&r, TX, "");
	rig_close(&r);
}

PHCA_TEST(choice, direction)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "dir=rx,rule=drop psn 1,rule=drop psn 2 dir tx,rule=drop psn 3 dir both"));
	rig_feed(&r, TX, 1, 1, 4);
	rig_expect(&r, TX, "1 4");
	rig_feed(&r, RX, 1, 1, 4);
	rig_expect(&r, RX, "2 4");
	rig_close(&r);
}

PHCA_TEST(choice, qpn_and_psn)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop qpn 0x12 psn 7"));
	rig_feed(&r, TX, 0x12, 6, 3);
	rig_expect(&r, TX, "6 8");
	rig_feed(&r, TX, 0x13, 6, 3);
	rig_expect(&r, TX, "6 7 8");
	rig_rules(&r, "drop qpn=0x10-0x12 psn=0xfffffe-1");
	rig_feed(&r, TX, 0x10, 0xfffffd, 6);
	rig_expect(&r, TX, "16777213 2");
	rig_feed(&r, TX, 0x13, 0, 1);
	rig_expect(&r, TX, "0");
	rig_close(&r);
}

/* "Drop the first transmission of PSN 7 of QP 0x12." */
PHCA_TEST(choice, transmission_of_one_psn)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop qpn 0x12 psn 7 xmit 1"));
	rig_feed(&r, TX, 0x12, 6, 3);
	rig_expect(&r, TX, "6 8");
	rig_feed(&r, TX, 0x12, 7, 2);
	rig_expect(&r, TX, "7 8");
	rig_feed(&r, TX, 0x12, 7, 1);
	rig_expect(&r, TX, "7");
	rig_close(&r);
}

PHCA_TEST(choice, transmissions_of_each_psn_and_qp)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop xmit 2-3"));
	for (unsigned int turn = 1; turn <= 4; turn++) {
		for (uint32_t qpn = 1; qpn <= 3; qpn++) {
			rig_feed(&r, TX, qpn, 100, 4);
			rig_expect(&r, TX, turn == 2 || turn == 3 ? "" : "100 101 102 103");
		}
	}
	rig_close(&r);
}

/* An acknowledgement has a PSN of the other side's numbers. */
PHCA_TEST(choice, transmissions_of_requests_and_responses_are_apart)
{
	const struct rig_pkt ack = { .qpn = 1, .psn = 5, .opcode = PHCA_RC_ACK };
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop xmit 2"));
	rig_feed(&r, TX, 1, 5, 1);
	m = rig_build(&r, &ack);
	CU_ASSERT_EQUAL(rig_put(&r, TX, &m, 1), 1);
	rig_expect(&r, TX, "5 5");
	rig_feed(&r, TX, 1, 5, 1);
	rig_expect(&r, TX, "");
	rig_close(&r);
}

/* Each of the last PSNs keeps its count; very old ones may begin anew. */
PHCA_TEST(choice, transmissions_of_many_psns)
{
	uint32_t psn[RIG_MAX];
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop xmit 2"));
	for (uint32_t base = 0; base < 20000; base += 500) {
		rig_feed(&r, TX, 7, base, 500);
		CU_ASSERT_EQUAL(rig_psns(&r, TX, psn), 500);
		rig_feed(&r, TX, 7, base, 500);
		CU_ASSERT_EQUAL(rig_psns(&r, TX, psn), 0);
	}
	rig_close(&r);
}

PHCA_TEST(choice, opcodes_and_length)
{
	const struct rig_pkt p[] = {
		{ .qpn = 1, .psn = 1, .opcode = PHCA_RC_SEND_ONLY }, { .qpn = 1, .psn = 2, .opcode = PHCA_RC_ACK },
		{ .qpn = 1, .psn = 3, .opcode = PHCA_RC_READ_REQ }, { .qpn = 1, .psn = 4, .opcode = PHCA_RC_CMP_SWAP },
		{ .qpn = 1, .psn = 5, .opcode = PHCA_UC_WRITE_ONLY, .len = 256 },
		{ .qpn = 1, .psn = 6, .opcode = PHCA_RC_READ_RESP_ONLY, .len = 8 },
	};
	static const char *const cases[][2] = {
		{ "drop op=rc_ack", "1 3 4 5 6" }, { "drop op=send+ack", "3 4 5 6" }, { "drop op=request", "2 6" },
		{ "drop op=response", "1 3 4 5" }, { "drop op=atomic", "1 2 3 5 6" }, { "drop op=UC", "1 2 3 4 6" },
		{ "drop op=roce", "" }, { "drop op=other", "1 2 3 4 5 6" }, { "drop len=200-2000", "1 2 3 4 6" },
		{ "drop op=read_resp+read_req", "1 2 4 5" },
	};
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, ""));
	for (unsigned int c = 0; c < RTE_DIM(cases); c++) {
		rig_rules(&r, cases[c][0]);
		for (unsigned int i = 0; i < RTE_DIM(p); i++) {
			struct rte_mbuf *m = rig_build(&r, &p[i]);

			CU_ASSERT_EQUAL(rig_put(&r, TX, &m, 1), 1);
		}
		rig_expect(&r, TX, cases[c][1]);
	}
	rig_close(&r);
}

/* What is no RoCEv2 has no PSN; it is dropped by probability, count and length. */
PHCA_TEST(choice, other_packets)
{
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop psn 0-0xffffff,rule=drop op other nth 2"));
	for (unsigned int i = 0; i < 4; i++) {
		m = rte_pktmbuf_alloc(r.pool);
		memset(rte_pktmbuf_append(m, 60), 0, 60);
		CU_ASSERT_EQUAL(rig_put(&r, TX, &m, 1), 1);
	}
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(rig_get(&r, TX, &m, 1), 1);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(rig_get(&r, TX, &m, 1), 0);
	CU_ASSERT_EQUAL(rig_balance(&r, TX).dropped, 2);
	rig_close(&r);
}
