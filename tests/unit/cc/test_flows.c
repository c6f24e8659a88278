/* SPDX-License-Identifier: BSD-3-Clause */
/* Pacing, notification, and flows that share a link through a switch that marks. */
#include <math.h>
#include <string.h>

#include "phca_cc.h"
#include "phca_test.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define GBPS UINT64_C(1000000000)

static struct phca_cc_params defaults(void)
{
	struct phca_cc_params p;

	phca_cc_params_default(&p);
	return p;
}

PHCA_TEST(pacing, keeps_the_rate_and_allows_a_small_burst)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;
	uint64_t now_ns = 10 * MS, first = 0, bytes = 0;

	p.rate_timer_us = 10000000; /* the rate stays */
	p.burst_bytes = 4 * 1000;
	phca_cc_init(&cc, 16 * GBPS);
	phca_cc_cnp(&cc, &p, now_ns); /* 8 Gb/s: 1000 bytes in 1 us */
	while (phca_cc_next_send(&cc, now_ns) == now_ns && first < 100) {
		phca_cc_sent(&cc, &p, 1000, now_ns);
		first++;
	}
	CU_ASSERT_EQUAL(first, 5); /* a burst, and the packet that is due now */
	CU_ASSERT_EQUAL(phca_cc_next_send(&cc, now_ns), now_ns + 1000);
	for (int i = 0; i < 1000; i++) {
		now_ns = phca_cc_next_send(&cc, now_ns);
		phca_cc_sent(&cc, &p, 1000, now_ns);
		bytes += 1000;
	}
	CU_ASSERT_EQUAL(now_ns, 10 * MS + 1000 * US);
	/* a late caller catches up within a burst */
	for (uint64_t i = 0; i < 500; i++, now_ns += 3 * US)
		while (phca_cc_next_send(&cc, now_ns) == now_ns) {
			phca_cc_sent(&cc, &p, 1000, now_ns);
			bytes += 1000;
		}
	CU_ASSERT_TRUE(bytes >= 2490 * 1000 && bytes <= 2505 * 1000);
}

PHCA_TEST(pacing, no_burst_no_credit_and_rounding_never_exceeds_the_rate)
{
	struct phca_cc_params p = defaults();
	struct phca_cc cc;
	uint64_t now_ns = MS, sent = 0;

	p.rate_timer_us = 10000000;
	p.burst_bytes = 0;
	phca_cc_init(&cc, 7 * GBPS);
	phca_cc_cnp(&cc, &p, now_ns);
	for (; now_ns < 2 * MS; now_ns = phca_cc_next_send(&cc, now_ns)) {
		phca_cc_sent(&cc, &p, 100, now_ns);
		sent += 800;
	}
	CU_ASSERT_TRUE(sent <= 3500000 + 800);
	CU_ASSERT_TRUE(sent >= 3480000);
	/* the largest packet that is allowed */
	p.byte_counter_bytes = 4000000000;
	phca_cc_sent(&cc, &p, INT32_MAX, now_ns);
	CU_ASSERT_EQUAL((phca_cc_next_send(&cc, now_ns) - now_ns) / MS, 4908);
}

PHCA_TEST(np, one_cnp_an_interval)
{
	struct phca_cc_params p = defaults();
	struct phca_cc_np np = { 0 }, other = { 0 };
	unsigned int n = 0;

	CU_ASSERT_TRUE(phca_cc_np_mark(&np, &p, 0));
	CU_ASSERT_FALSE(phca_cc_np_mark(&np, &p, 0));
	CU_ASSERT_FALSE(phca_cc_np_mark(&np, &p, 50 * US - 1));
	CU_ASSERT_TRUE(phca_cc_np_mark(&other, &p, 50 * US - 1));
	CU_ASSERT_TRUE(phca_cc_np_mark(&np, &p, 50 * US));
	for (uint64_t now_ns = MS; now_ns < 2 * MS; now_ns += 100)
		n += phca_cc_np_mark(&np, &p, now_ns);
	CU_ASSERT_EQUAL(n, 20);
	p.cnp_interval_us = 0;
	CU_ASSERT_TRUE(phca_cc_np_mark(&np, &p, 3 * MS));
	CU_ASSERT_TRUE(phca_cc_np_mark(&np, &p, 3 * MS));
}

/*
 * A link with a queue that marks as the paper's switches do: from 5 KB with a
 * probability that rises to 1 % at 200 KB, all above. CNPs come back after the
 * time in the queue and a round trip.
 */

#define FLOWS_MAX 16
#define CNPS_MAX 64
#define PACKET 1048
#define LINK (40 * GBPS)
#define RTT_NS (8 * US)

struct flow {
	struct phca_cc cc;
	struct phca_cc_np np;
	uint64_t ready_ns;              /* its port is free again */
	uint64_t cnp_ns[CNPS_MAX];      /* on their way, a ring */
	unsigned int cnp_head, cnp_tail;
	uint64_t bytes, cnps;           /* since the measurement began */
};

struct net {
	struct phca_cc_params p;
	struct flow f[FLOWS_MAX];
	unsigned int nb;
	uint64_t seed, now_ns;
	double queue, queue_max;        /* bytes */
};

static bool marked(struct net *n)
{
	double prob = n->queue <= 5000 ? 0 : n->queue >= 200000 ? 1 :
		0.01 * (n->queue - 5000) / 195000;

	return (double)(phca_test_rand(&n->seed) >> 11) * 0x1p-53 < prob;
}

static void cnps_arrive(struct net *n, struct flow *f)
{
	for (; f->cnp_head != f->cnp_tail && f->cnp_ns[f->cnp_head % CNPS_MAX] <= n->now_ns;
			f->cnp_head++) {
		phca_cc_cnp(&f->cc, &n->p, f->cnp_ns[f->cnp_head % CNPS_MAX]);
		f->cnps++;
	}
}

static void packet(struct net *n, struct flow *f)
{
	n->queue += PACKET;
	n->queue_max = fmax(n->queue_max, n->queue);
	f->bytes += PACKET;
	f->ready_ns = n->now_ns + (PACKET * UINT64_C(8000000000) + LINK - 1) / LINK;
	phca_cc_sent(&f->cc, &n->p, PACKET, n->now_ns);
	if (marked(n)) {
		uint64_t at_ns = n->now_ns + (uint64_t)(n->queue * 8e9 / LINK) + RTT_NS;

		if (phca_cc_np_mark(&f->np, &n->p, at_ns))
			f->cnp_ns[f->cnp_tail++ % CNPS_MAX] = at_ns;
	}
}

/* Always the flow that may send first. */
static void run_until(struct net *n, uint64_t end_ns)
{
	while (n->now_ns < end_ns) {
		uint64_t first_ns = UINT64_MAX;
		struct flow *f = NULL;

		for (unsigned int i = 0; i < n->nb; i++) {
			uint64_t at_ns = phca_cc_next_send(&n->f[i].cc, n->f[i].ready_ns);

			if (at_ns < first_ns) {
				first_ns = at_ns;
				f = &n->f[i];
			}
		}
		if (first_ns > n->now_ns) {
			n->queue = fmax(0, n->queue - (double)(first_ns - n->now_ns) * LINK / 8e9);
			n->now_ns = first_ns;
		}
		cnps_arrive(n, f);
		if (phca_cc_next_send(&f->cc, n->now_ns) == n->now_ns)
			packet(n, f);
	}
}

static void net_init(struct net *n, unsigned int flows, uint64_t apart_ns, uint64_t seed)
{
	memset(n, 0, sizeof(*n));
	n->p = defaults();
	n->nb = flows;
	n->seed = seed;
	for (unsigned int i = 0; i < flows; i++) {
		phca_cc_init(&n->f[i].cc, LINK);
		n->f[i].ready_ns = i * apart_ns;
	}
}

/* Run on, and measure. @return Jain's index of fairness, 1 when all are equal; the link's use */
static double measure(struct net *n, uint64_t ns, double *use)
{
	double sum = 0, squares = 0;

	for (unsigned int i = 0; i < n->nb; i++)
		n->f[i].bytes = n->f[i].cnps = 0;
	n->queue_max = 0;
	run_until(n, n->now_ns + ns);
	for (unsigned int i = 0; i < n->nb; i++) {
		sum += (double)n->f[i].bytes;
		squares += (double)n->f[i].bytes * (double)n->f[i].bytes;
	}
	*use = sum * 8e9 / (double)ns / LINK;
	return sum * sum / (n->nb * squares);
}

PHCA_TEST(flows, one_alone_is_never_told_and_fills_the_link)
{
	static struct net n;
	double use;

	net_init(&n, 1, 0, 1);
	measure(&n, 10 * MS, &use);
	CU_ASSERT_EQUAL(n.f[0].cnps, 0);
	CU_ASSERT_EQUAL(phca_cc_rate(&n.f[0].cc), LINK);
	CU_ASSERT_TRUE(use > 0.99 && use < 1.01);
}

PHCA_TEST(flows, two_converge_to_equal_shares_when_one_joins_late)
{
	static struct net n;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		double fair, use;

		net_init(&n, 2, 20 * MS, seed);
		run_until(&n, 150 * MS);
		fair = measure(&n, 100 * MS, &use);
		CU_ASSERT_TRUE(fair > 0.97);
		CU_ASSERT_TRUE(use > 0.9 && use < 1.01);
		CU_ASSERT_TRUE(n.queue_max < 1e6);
		CU_ASSERT_TRUE(n.f[0].cnps > 0 && n.f[1].cnps > 0);
	}
}

PHCA_TEST(flows, many_share_and_take_over_when_others_leave)
{
	static struct net n;
	double fair, use;

	net_init(&n, 8, 0, 7);
	run_until(&n, 100 * MS);
	fair = measure(&n, 100 * MS, &use);
	CU_ASSERT_TRUE(fair > 0.95);
	CU_ASSERT_TRUE(use > 0.9 && use < 1.01);
	n.nb = 1;
	run_until(&n, n.now_ns + 100 * MS);
	measure(&n, 20 * MS, &use);
	CU_ASSERT_TRUE(use > 0.95);
}
