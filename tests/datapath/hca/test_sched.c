/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs of one shard share it: what moves much lets what moves little
 * through, and those that move much move equally much, whether the port takes all
 * that is sent or less.
 */
#include "flows.h"

#define BULK 8              /* queue pairs that move much: 0..7; the small one is the next */
#define MIB (1u << 20)
#define SLOW 8              /* packets a turn that a slow port takes */
#define ROUND (BULK * 32)   /* packets of others while each of them has one turn, at most */
#define FAIR 0.95

/* The small queue pair sends one packet. @return packets that the others sent before, or in the same turn */
static uint64_t others_first(struct flows *s)
{
	uint64_t before = flows_sent_all(s, 0, BULK), mine = flows_sent(s, BULK);

	flows_post(s, BULK, PHCA_WR_RDMA_WRITE, 64);
	for (unsigned int n = 0; n < 1000 && flows_sent(s, BULK) == mine; n++)
		flows_turn(s, 1);
	CU_ASSERT_EQUAL(flows_sent(s, BULK), mine + 1);
	return flows_sent_all(s, 0, BULK) - before;
}

static void small_gets_through(struct flows *s)
{
	for (unsigned int n = 0; n < 20; n++) {
		uint64_t others = others_first(s);

		CU_ASSERT(others > 0);     /* they do move */
		CU_ASSERT(others <= ROUND);
		if (others > ROUND)
			printf("  behind %lu packets of others, more than %u\n", others, ROUND);
		flows_turn(s, 5);
	}
}

/* Jain's index of what queue pairs 0..n sent in so many turns: 1 is equally much. */
static double fairness(struct flows *s, unsigned int n, unsigned int turns)
{
	double sum = 0, squares = 0, sent[BULK];

	for (unsigned int i = 0; i < n; i++)
		sent[i] = (double)flows_sent(s, i);
	flows_turn(s, turns);
	for (unsigned int i = 0; i < n; i++) {
		sent[i] = (double)flows_sent(s, i) - sent[i];
		sum += sent[i];
		squares += sent[i] * sent[i];
	}
	CU_ASSERT(sum > 10.0 * n); /* enough to speak of */
	return squares > 0 ? sum * sum / (n * squares) : 0;
}

static struct flows writers(unsigned int takes)
{
	struct flows s = flows_open(BULK + 1, 32);

	for (unsigned int i = 0; i < BULK; i++)
		flows_bulk(&s, i, PHCA_WR_RDMA_WRITE, MIB, 8);
	s.takes = takes;
	if (takes > 0)
		flows_jam(&s);
	flows_turn(&s, 200);
	return s;
}

/* Their peers READ from these. */
static struct flows readers(unsigned int takes)
{
	struct flows s = flows_open(BULK + 1, 32);

	for (unsigned int k = 0; k < 4; k++)
		for (unsigned int i = 0; i < BULK; i++)
			flows_read(&s, i, k * 1024, MIB);
	s.takes = takes;
	if (takes > 0)
		flows_jam(&s);
	flows_turn(&s, 20);
	return s;
}

PHCA_TEST(sched, a_small_write_beside_large_writes)
{
	struct flows s = writers(0);

	small_gets_through(&s);
	flows_close(&s);
}

PHCA_TEST(sched, a_small_write_beside_large_writes_on_a_slow_port)
{
	struct flows s = writers(SLOW);

	small_gets_through(&s);
	flows_close(&s);
}

PHCA_TEST(sched, a_small_write_beside_answers_to_large_reads)
{
	struct flows s = readers(0);

	CU_ASSERT(others_first(&s) <= ROUND);
	CU_ASSERT(others_first(&s) <= ROUND);
	flows_close(&s);
}

PHCA_TEST(sched, a_small_write_beside_answers_to_large_reads_on_a_slow_port)
{
	struct flows s = readers(SLOW);

	small_gets_through(&s);
	flows_close(&s);
}

/* READ requests are one packet; their answers come by loopback, a thousand packets each. */
PHCA_TEST(sched, a_small_write_beside_large_reads)
{
	struct flows s = flows_open(BULK + 1, 32);

	for (unsigned int i = 0; i < BULK; i += 2) {
		flows_pair(&s, i, i + 1);
		flows_bulk(&s, i, PHCA_WR_RDMA_READ, MIB, 8);
	}
	flows_turn(&s, 200);
	small_gets_through(&s);
	CU_ASSERT(fairness(&s, BULK, 1000) > 0);
	flows_close(&s);
}

/* A peer's small READ is answered while large WRITEs take all that the port has. */
PHCA_TEST(sched, an_answer_beside_large_writes_on_a_slow_port)
{
	struct flows s = writers(SLOW);

	for (unsigned int n = 0; n < 20; n++) {
		uint64_t before = flows_sent_all(&s, 0, BULK), mine = flows_sent(&s, BULK);

		flows_read(&s, BULK, n, 64);
		for (unsigned int k = 0; k < 1000 && flows_sent(&s, BULK) == mine; k++)
			flows_turn(&s, 1);
		CU_ASSERT_EQUAL(flows_sent(&s, BULK), mine + 1);
		CU_ASSERT(flows_sent_all(&s, 0, BULK) - before <= ROUND);
	}
	flows_close(&s);
}

static void expect_fair(struct flows *s, unsigned int n, unsigned int turns)
{
	double index = fairness(s, n, turns);

	CU_ASSERT(index > FAIR);
	if (index <= FAIR)
		printf("  fairness %.3f\n", index);
}

PHCA_TEST(sched, large_writes_share_evenly)
{
	struct flows s = writers(0);

	expect_fair(&s, BULK, 200);
	flows_close(&s);
}

PHCA_TEST(sched, large_writes_share_a_slow_port_evenly)
{
	struct flows s = writers(SLOW);

	expect_fair(&s, BULK, 200);
	flows_close(&s);
}

PHCA_TEST(sched, answers_to_large_reads_share_evenly)
{
	struct flows s = readers(0);

	expect_fair(&s, BULK, 100);
	flows_close(&s);
}

PHCA_TEST(sched, answers_to_large_reads_share_a_slow_port_evenly)
{
	struct flows s = readers(SLOW);

	expect_fair(&s, BULK, 400);
	flows_close(&s);
}

PHCA_TEST(sched, large_reads_share_evenly)
{
	struct flows s = flows_open(BULK, 16);
	double index, sum = 0, squares = 0;

	for (unsigned int i = 0; i < BULK; i += 2) {
		flows_pair(&s, i, i + 1);
		flows_bulk(&s, i, PHCA_WR_RDMA_READ, MIB, 8);
	}
	flows_turn(&s, 2000);
	for (unsigned int i = 1; i < BULK; i += 2) {
		double sent = (double)flows_sent(&s, i);

		sum += sent;
		squares += sent * sent;
	}
	index = sum * sum / (BULK / 2 * squares);
	CU_ASSERT(sum > 10000 && index > FAIR);
	flows_close(&s);
}

/* Half of the queue pairs write, half are read from: both directions get their share. */
PHCA_TEST(sched, requests_and_answers_share_a_slow_port)
{
	struct flows s = flows_open(BULK, 16);
	uint64_t writes, answers;

	for (unsigned int i = 0; i < BULK / 2; i++) {
		flows_bulk(&s, i, PHCA_WR_RDMA_WRITE, MIB, 8);
		for (unsigned int k = 0; k < 4; k++)
			flows_read(&s, BULK / 2 + i, k * 1024, MIB);
	}
	s.takes = SLOW;
	flows_jam(&s);
	flows_turn(&s, 200);
	writes = flows_sent_all(&s, 0, BULK / 2);
	answers = flows_sent_all(&s, BULK / 2, BULK);
	flows_turn(&s, 200);
	writes = flows_sent_all(&s, 0, BULK / 2) - writes;
	answers = flows_sent_all(&s, BULK / 2, BULK) - answers;
	CU_ASSERT(writes >= 200 * SLOW / 4);
	CU_ASSERT(answers >= 200 * SLOW / 4);
	flows_close(&s);
}
