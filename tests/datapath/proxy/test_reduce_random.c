/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reduce offload under everything at once: ranks that run ahead, lag, are missing, send
 * nonsense, die and come again; answers that take their time or fail. Whatever happens: what
 * is called a result is one, and each contribution ends once.
 */
#include <stdlib.h>
#include <string.h>

#include "reduce_ref.h"
#include "reduce_rig.h"

#define RANKS 4
#define AHEAD 6 /* rounds between the first and the last rank */
#define KIDS 256
#define NUM(n, v) { n, PHCA_SETTING_UINT, v, NULL }

struct model {
	uint64_t random, sent, deaths;
	uint64_t round[RANKS];           /* each rank's next */
	uint64_t results, errors;        /* answers by what they said */
	struct phca_child *kids[KIDS];   /* on their way */
	unsigned int nb_kids;
	uint64_t last_delivered, deliveries;
};

static uint64_t pick(struct model *m, uint64_t n)
{
	return ref_random(&m->random) % n;
}

static int64_t value_of(uint64_t round, uint32_t rank)
{
	uint64_t seed = round * RANKS + rank;

	return (int64_t)ref_random(&seed);
}

static int64_t sum_of(uint64_t round)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < RANKS; i++)
		sum += (uint64_t)value_of(round, i);
	return (int64_t)sum;
}

/* One contribution; sometimes one that must be refused. */
static void contributes(struct model *m, uint32_t rank)
{
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT64,
			PHCA_REDUCE_F_DELIVER | PHCA_REDUCE_F_ANSWER, RANKS, m->round[rank], 1);
	int64_t v = value_of(m->round[rank], rank);

	m->sent++;
	switch (pick(m, 16)) {
	case 0: h.count = 2; break;
	case 1: h.nb_ranks = 3; break;     /* opens a reduction of its own, or mismatches */
	case 2: h.version = 7; break;
	default: m->round[rank]++;
	}
	/* those of 3 ranks are of another group: else they would keep the right ones out */
	if (h.nb_ranks == 3)
		h.group = 8;
	rr_contribute_bytes(rank, &h, h.nb_ranks == 3 ? (uint16_t)(rank % 3) : (uint16_t)rank, &v, 8, 0);
}

static void answer_look(struct model *m, const struct phca_child *c)
{
	struct phca_reduce_hdr h;
	int64_t got;

	memcpy(&h, c->wr.inline_data, sizeof(h));
	if (h.status != PHCA_REDUCE_OK) {
		CU_ASSERT_EQUAL(c->wr.len, sizeof(h));
		m->errors++;
		return;
	}
	m->results++;
	CU_ASSERT_EQUAL(c->wr.len, sizeof(h) + sizeof(got));
	memcpy(&got, c->wr.inline_data + sizeof(h), sizeof(got));
	if (h.group == 7)
		CU_ASSERT_EQUAL(got, sum_of(h.round));
}

/* What the proxy said since the last time. */
static void collect(struct model *m)
{
	struct phca_reduce_hdr h;
	struct phca_child *c;
	uint8_t data[256];
	uint32_t peer, len;
	struct phca_wc wc;
	int64_t got;

	while ((c = rr_answer(&peer, &h)) != NULL) {
		answer_look(m, c);
		CU_ASSERT_TRUE_FATAL(m->nb_kids < KIDS);
		m->kids[m->nb_kids++] = c;
	}
	while (rr_delivered(data, &len) != NULL) {
		CU_ASSERT_EQUAL(len, sizeof(h) + sizeof(got));
		memcpy(&h, data, sizeof(h));
		memcpy(&got, data + sizeof(h), sizeof(got));
		if (h.group == 7) {
			CU_ASSERT_EQUAL(got, sum_of(h.round));
			CU_ASSERT_TRUE(m->deliveries == 0 || h.round > m->last_delivered);
			m->last_delivered = h.round;
		}
		m->deliveries++;
	}
	rr_replies_clear();
	while (rig_cq_poll(&rr_cq, &wc))
		CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
}

static void turn(struct model *m)
{
	rig_turn(&rr);
	collect(m);
}

static void answers_arrive(struct model *m, uint64_t n)
{
	for (; n > 0 && m->nb_kids > 0; n--) {
		unsigned int i = (unsigned int)pick(m, m->nb_kids);

		rig_child_over(&rr, m->kids[i], PHCA_WC_SUCCESS);
		m->kids[i] = m->kids[--m->nb_kids];
	}
	turn(m);
}

/* Its answers are flushed with it. */
static void dies(struct model *m, uint32_t rank)
{
	if (pick(m, 2))
		rig_kind(&rr, PHCA_PMSG_QP_ERROR, rr_qp[rank]);
	turn(m); /* all of its answers have come, none comes in the turn in which it ends */
	for (unsigned int i = 0; i < m->nb_kids;)
		if (m->kids[i]->pqp == rr_qp[rank])
			m->kids[i] = m->kids[--m->nb_kids];
		else
			i++;
	rr_peer_end(rank);
	collect(m);
	rr_peer_begin(rank);
	m->deaths++;
}

static uint64_t slowest(const struct model *m)
{
	uint64_t min = m->round[0];

	for (uint32_t i = 1; i < RANKS; i++)
		min = RTE_MIN(min, m->round[i]);
	return min;
}

/* The HCA keeps more than the window has places to itself. */
static bool has_place(uint32_t rank)
{
	struct phca_pqp_stats st;

	phca_pqp_stats_get(rr_qp[rank], &st);
	return rr_seq[rank] - st.released < 64;
}

static void step(struct model *m)
{
	uint32_t rank = (uint32_t)pick(m, RANKS);
	uint64_t what = pick(m, 200);

	if (what < 130 && m->round[rank] < slowest(m) + AHEAD && has_place(rank))
		contributes(m, rank);
	else if (what < 160)
		turn(m);
	else if (what < 190)
		answers_arrive(m, pick(m, 12));
	else if (what < 196)
		rr.now_ns += pick(m, 3) * 1000000;
	else if (what == 196)
		dies(m, rank);
}

static void run(uint64_t seed, unsigned int steps)
{
	static const struct phca_setting_arg args[] = {
		{ "on_missing", PHCA_SETTING_STRING, 0, "drop" }, NUM("wait_ms", 4), NUM("max_reductions", 12),
		NUM("children", 24), NUM("max_per_qp", 8),
	};
	struct model m = { .random = seed };
	struct phca_offload_stats st;

	rr_setup(args, RTE_DIM(args), 0);
	for (unsigned int i = 0; i < steps; i++)
		step(&m);
	for (unsigned int i = 0; i < 50; i++) {
		rr.now_ns += 1000000;
		turn(&m);
		answers_arrive(&m, KIDS);
	}
	rig_settle(&rr);
	phca_offload_stats_get(rr_offload, &st);
	CU_ASSERT_EQUAL(st.in_flight, 0);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 0);
	CU_ASSERT_EQUAL(m.nb_kids, 0);
	/* each contribution was answered, could not be, or died with its queue pair */
	CU_ASSERT_EQUAL(rr_figure("answers") + rr_figure("unanswered") + st.cancelled, m.sent);
	/* those that waited for earlier ones of a queue pair that died are lost with it */
	CU_ASSERT_TRUE(rr_figure("delivered") >= m.deliveries);
	CU_ASSERT_TRUE(rr_figure("delivered") - m.deliveries <= m.deaths * 8);
	CU_ASSERT_TRUE(m.results > steps / 50 && m.errors > 0 && m.deaths > 0);
	rr_teardown();
}

PHCA_TEST(reduce_random, results_are_results_and_all_ends_once)
{
	const char *first = getenv("PHCA_SEED");
	uint64_t seed = first != NULL ? strtoull(first, NULL, 0) : 1;
	unsigned int runs = first != NULL ? 1 : phca_test_long() ? 1000 : 12;

	for (unsigned int i = 0; i < runs; i++) {
		unsigned int failed = CU_get_number_of_failures();

		run(seed + i, 3000);
		if (CU_get_number_of_failures() != failed) {
			printf("  seed %lu\n", (unsigned long)(seed + i));
			return;
		}
	}
}

/* Headers with few right values and many wrong ones, of any length, from all peers. */
static void nonsense(struct model *m, uint32_t peer)
{
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, PHCA_REDUCE_F_WHOM, 2, pick(m, 3), 1);
	uint8_t vector[64] = { 0 };

	if (pick(m, 3) == 0) { /* right, but for who says it how often */
		rr_contribute(peer, &h, (uint16_t)pick(m, 2), vector, 0);
		return;
	}
	h.op = (uint8_t)pick(m, 6);
	h.type = (uint8_t)pick(m, 5);
	h.flags = (uint8_t)(1 + pick(m, 8));
	h.nb_ranks = (uint16_t)pick(m, 4);
	h.count = (uint32_t)pick(m, 4);
	for (uint64_t n = pick(m, 4); n > 1; n--)
		((uint8_t *)&h)[4 + pick(m, sizeof(h) - 4)] = (uint8_t)ref_random(&m->random);
	rr_contribute_bytes(peer, &h, (uint16_t)pick(m, 4), vector, (uint32_t)pick(m, 5) * 4,
		(uint32_t)pick(m, 2) * 41);
}

static void take_all(struct model *m)
{
	struct phca_reduce_hdr h;
	struct phca_child *c;
	uint8_t data[256];
	uint32_t peer, len;
	struct phca_wc wc;

	rig_turn(&rr);
	while ((c = rr_answer(&peer, &h)) != NULL) {
		CU_ASSERT_TRUE(h.status < PHCA_REDUCE_STATUS_COUNT);
		m->results += h.status == PHCA_REDUCE_OK;
		m->errors += h.status != PHCA_REDUCE_OK;
		rig_child_over(&rr, c, PHCA_WC_SUCCESS);
	}
	while (rr_delivered(data, &len) != NULL)
		;
	for (uint32_t i = 0; i < RR_PEERS; i++)
		CU_ASSERT_EQUAL(rr_errors_of(i), 0);
	rr_replies_clear();
	while (rig_cq_poll(&rr_cq, &wc))
		;
}

PHCA_TEST(reduce_random, anything_may_come_and_nobody_is_harmed)
{
	static const struct phca_setting_arg args[] = {
		{ "on_missing", PHCA_SETTING_STRING, 0, "drop" }, NUM("wait_ms", 2), NUM("max_reductions", 8),
		NUM("max_ranks", 4), NUM("max_bytes", 16), NUM("max_per_qp", 4),
	};
	struct model m = { .random = 5 };
	struct phca_offload_stats st;

	rr_setup(args, RTE_DIM(args), 0);
	for (unsigned int i = 0; i < (phca_test_long() ? 1000000u : 20000u); i++) {
		uint32_t peer = (uint32_t)pick(&m, RR_PEERS);
		struct phca_pqp_stats qs;

		phca_pqp_stats_get(rr_qp[peer], &qs);
		if (rr_seq[peer] - qs.released < 64)
			nonsense(&m, peer);
		if (pick(&m, 8) == 0)
			take_all(&m);
		rr.now_ns += pick(&m, 20) == 0 ? 1000000 : 0;
	}
	for (unsigned int i = 0; i < 20; i++) {
		rr.now_ns += 1000000;
		take_all(&m);
	}
	phca_offload_stats_get(rr_offload, &st);
	CU_ASSERT_EQUAL(st.in_flight, 0);
	CU_ASSERT_EQUAL(rr_figure("waiting"), 0);
	printf("  %lu results, %lu errors\n", (unsigned long)m.results, (unsigned long)m.errors);
	CU_ASSERT_TRUE(m.results > 100 && m.errors > 1000 && rr_figure("delivered") > 10);
	/* and a proper reduction works as ever */
	rr_contribute_one(1, 2, 77, PHCA_REDUCE_F_DELIVER, 30);
	rr_contribute_one(0, 2, 77, PHCA_REDUCE_F_DELIVER, 12);
	rig_settle(&rr);
	rr_expect_delivered(77, 42);
	rr_teardown();
}
