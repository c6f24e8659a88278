/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a turn does for the queue pairs that have something to do does not depend on
 * how many others there are. It is the instructions of a turn that are counted, by
 * single-stepping it: no clock, the same number on a busy machine.
 */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

#include "flows.h"

#define MANY 10000u
#define FEW 100u
#define SETTLE 100     /* turns after which all that became ready to send was looked at once */
#define IDLE_MAX 4096u /* bytes of an idle queue pair, without its queues */

/* ------------------------------------------------------- outstanding timers */

static uint64_t sum_timeouts(const struct flows *s, uint64_t *resent)
{
	uint64_t n = 0;

	*resent = 0;
	for (unsigned int i = 0; i < s->n; i++) {
		struct phca_qp_info info;

		phca_qp_info_get(s->f[i].qp, &info);
		n += info.stats.timeouts;
		*resent += info.stats.tx_resent;
	}
	return n;
}

/* All time out at once: each is sent again once, and all of them soon. */
PHCA_TEST(scale, ten_thousand_timeouts)
{
	struct flows s = flows_open(MANY, 1);
	uint64_t resent;

	s.mute = true;
	for (unsigned int i = 0; i < MANY; i++)
		flows_post(&s, i, PHCA_WR_RDMA_WRITE, 64);
	flows_turn(&s, MANY / 64 + 10);
	CU_ASSERT_EQUAL(flows_sent_all(&s, 0, MANY), MANY);
	CU_ASSERT_EQUAL(sum_timeouts(&s, &resent), 0);
	s.l->now_ns += UINT64_C(4096) << LAB_TIMEOUT;
	flows_turn(&s, MANY / 64 + MANY / 100); /* a few turns more: the wheel's own work is bounded, too */
	CU_ASSERT_EQUAL(sum_timeouts(&s, &resent), MANY);
	CU_ASSERT_EQUAL(resent, MANY);
	flows_close(&s);
}

/* ----------------------------------------------------------------- memory */

/* Sanitizers have an allocator of their own, and add to the instructions. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(PHCA_TSAN)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
static size_t allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* The requester's copies of work requests count: they are no queue of the application. */
static void memory_of(enum phca_qp_type type)
{
	struct lab *l = lab_open(NULL);
	struct phca_qp_init i = { .type = type, .pd = l->pd, .max_send_wr = 1, .max_recv_wr = 1 };
	size_t queues = phca_ring_bytes(1, phca_send_stride(0, 0)) + phca_ring_bytes(1, phca_recv_stride(0)), each;
	struct phca_qp *qp[1000];

	CU_ASSERT_FATAL(phca_cq_create(l->client, 4, &i.send_cq) == 0);
	i.recv_cq = i.send_cq;
	CU_ASSERT_FATAL(phca_qp_create(l->client, &i, &qp[0]) == 0); /* and what comes with the first */
	each = allocated();
	for (unsigned int k = 1; k < RTE_DIM(qp); k++)
		CU_ASSERT_FATAL(phca_qp_create(l->client, &i, &qp[k]) == 0);
	each = (allocated() - each) / (RTE_DIM(qp) - 1);
	CU_ASSERT(each > queues && each - queues <= IDLE_MAX);
	if (each - queues > IDLE_MAX)
		printf("  %zu bytes, %zu of them queues\n", each, queues);
	for (unsigned int k = 0; k < RTE_DIM(qp); k++)
		CU_ASSERT_EQUAL(phca_qp_destroy(qp[k]), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(i.send_cq), 0);
	lab_close(l);
}

PHCA_TEST(scale, memory_of_an_idle_rc_queue_pair) { memory_of(PHCA_QPT_RC); }
PHCA_TEST(scale, memory_of_an_idle_ud_queue_pair) { memory_of(PHCA_QPT_UD); }
#endif

/* ----------------------------------------------------------- instructions */

#if defined(__x86_64__) && !defined(SANITIZED)

static volatile uint64_t steps;

static void step(int sig)
{
	(void)sig;
	steps++;
}

/* From here on the processor traps after each instruction, or not any more; below the red zone. */
#define TRAP(how) __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" how "\n\tpopfq\n\tlea 128(%%rsp), %%rsp" \
	::: "cc", "memory")

static uint64_t count(void (*fn)(void *arg), void *arg)
{
	struct sigaction sa = { .sa_handler = step }, old;
	uint64_t n;

	sigaction(SIGTRAP, &sa, &old);
	steps = 0;
	TRAP("orq $0x100, (%%rsp)");
	fn(arg);
	TRAP("andq $~0x100, (%%rsp)");
	n = steps;
	sigaction(SIGTRAP, &old, NULL);
	CU_ASSERT(n > 100); /* it does count */
	return n;
}

static void one_turn(void *arg)
{
	lab_turn_hca(arg, 1);
}

/* The turns in which queue pair 0 sends one packet and gets its acknowledgement: the cheapest of some. */
static uint64_t message(struct flows *s)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int k = 0; k < 3; k++) {
		uint64_t sent = flows_sent(s, 0), n;

		flows_post(s, 0, PHCA_WR_RDMA_WRITE, 64);
		n = count(one_turn, s->l);
		CU_ASSERT_EQUAL(flows_sent(s, 0), sent + 1);
		flows_turn(s, 1);
		n += count(one_turn, s->l);
		flows_turn(s, 1);
		best = RTE_MIN(best, n);
	}
	return best;
}

static void expect_no_more(uint64_t many, uint64_t few)
{
	CU_ASSERT(many <= few + few / 10);
	if (many > few + few / 10)
		printf("  %lu instructions, with few %lu\n", many, few);
}

static uint64_t beside_idle(unsigned int n)
{
	struct flows s = flows_open(n, 1);
	uint64_t cost;

	flows_turn(&s, SETTLE);
	cost = message(&s);
	flows_close(&s);
	return cost;
}

PHCA_TEST(scale, idle_queue_pairs_cost_a_turn_nothing)
{
	expect_no_more(beside_idle(MANY), beside_idle(1));
}

/* A turn in which k of n queue pairs ring the doorbell. */
static uint64_t ringing(unsigned int n, unsigned int k)
{
	struct flows s = flows_open(n, 1);
	uint64_t cost;

	s.mute = true;
	flows_turn(&s, SETTLE);
	for (unsigned int i = 0; i < k; i++)
		flows_post(&s, i * (n / k), PHCA_WR_RDMA_WRITE, 64);
	cost = count(one_turn, s.l);
	CU_ASSERT_EQUAL(flows_sent_all(&s, 0, n), k);
	flows_close(&s);
	return cost;
}

PHCA_TEST(scale, doorbells_cost_by_how_many_ring)
{
	uint64_t many = ringing(MANY, 32), few = ringing(FEW, 4);

	expect_no_more(many, ringing(32, 32));
	CU_ASSERT(many < 8 * few);
}

static uint64_t beside_error(unsigned int n)
{
	const struct phca_qp_attr err = { .state = PHCA_QPS_ERR };
	struct flows s = flows_open(n, 1);
	uint64_t cost;

	for (unsigned int i = 1; i < n; i++)
		CU_ASSERT_EQUAL(phca_qp_modify(s.f[i].qp, &err, PHCA_QP_STATE), 0);
	flows_turn(&s, SETTLE);
	cost = message(&s);
	flows_close(&s);
	return cost;
}

PHCA_TEST(scale, queue_pairs_in_error_cost_a_turn_no_more_the_more_they_are)
{
	expect_no_more(beside_error(MANY), beside_error(FEW));
}

static uint64_t beside_outstanding(unsigned int n)
{
	struct flows s = flows_open(MANY, 1);
	uint64_t cost;

	s.mute = true;
	for (unsigned int i = 1; i <= n; i++)
		flows_post(&s, i, PHCA_WR_RDMA_WRITE, 64);
	flows_turn(&s, MANY / 64 + 10);
	CU_ASSERT_EQUAL(flows_sent_all(&s, 0, MANY), n);
	s.mute = false;
	cost = message(&s);
	flows_close(&s);
	return cost;
}

PHCA_TEST(scale, timers_of_others_cost_a_turn_nothing)
{
	expect_no_more(beside_outstanding(MANY - 1), beside_outstanding(FEW));
}

struct life {
	struct lab *l;
	struct phca_qp_init init;
	struct phca_qp *qp;
};

static void create(void *arg)
{
	struct life *f = arg;

	CU_ASSERT_FATAL(phca_qp_create(f->l->client, &f->init, &f->qp) == 0);
}

static void destroy(void *arg)
{
	struct life *f = arg;

	CU_ASSERT_EQUAL(phca_qp_destroy(f->qp), 0);
}

static uint64_t create_and_destroy(struct life *f)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int k = 0; k < 3; k++) {
		uint64_t n = count(create, f);

		n += count(destroy, f);
		best = RTE_MIN(best, n);
	}
	return best;
}

/* Ten thousand queue pairs take a hundred times as long to make as a hundred, not more. */
PHCA_TEST(scale, one_more_queue_pair_costs_the_same)
{
	const struct lab_opts o = { .max_qp = MANY + 1 };
	struct life f = { .l = lab_open(&o), .init = { .type = PHCA_QPT_RC, .max_send_wr = 1, .max_recv_wr = 1 } };
	struct phca_qp **all = calloc(MANY, sizeof(*all));
	uint64_t few = 0;

	CU_ASSERT_FATAL(all != NULL && phca_cq_create(f.l->client, 4, &f.init.send_cq) == 0);
	f.init.recv_cq = f.init.send_cq;
	f.init.pd = f.l->pd;
	for (unsigned int i = 0; i < MANY; i++) {
		if (i == FEW)
			few = create_and_destroy(&f);
		create(&f);
		all[i] = f.qp;
	}
	expect_no_more(create_and_destroy(&f), few);
	for (unsigned int i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(phca_qp_destroy(all[i]), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(f.init.send_cq), 0);
	free(all);
	lab_close(f.l);
}

#endif
