/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The impair device as its users meet it: arguments, rules while it runs,
 * back-pressure, stop, statistics, queues, rings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_eth_ring.h>
#include <rte_log.h>

#include "rig.h"

/* An error has these words. */
static void check_words(const char *input, const char *text, const char *words)
{
	bool there = strstr(text, words) != NULL;

	if (!there)
		fprintf(stderr, "  '%s' said: %s\n  expected: %s\n", input, text, words);
	CU_ASSERT(there);
}

/* What the driver logs when the device is refused. */
static void refused(const char *args, const char *words)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	rte_openlog_stream(f);
	rc = rte_vdev_init("net_impair_bad", args);
	rte_openlog_stream(NULL);
	fclose(f);
	CU_ASSERT(rc < 0);
	check_words(args, text, words);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "net_impair_bad"));
	free(text);
}

PHCA_TEST(args, mistakes_are_told)
{
	static const char *const cases[][2] = {
		{ "", "either lower=DEVICE" }, { "seed=1", "either lower=DEVICE" },
		{ "rx_ring=a", "both rx_ring=NAME and tx_ring=NAME" },
		{ "lower=x,rx_ring=a,tx_ring=b", "either lower=DEVICE" },
		{ "lower=nothing", "lower: there is no ethdev 'nothing'" }, { "lower=77", "there is no ethdev '77'" },
		{ "lower=x,lowr=1", "unknown argument 'lowr'; there are lower," },
		{ "lower=x,rule=drop p=0.1", "is written without '='" },
		{ "lower", "'lower' needs a value" }, { "lower=x,seed=", "'seed' needs a value" },
		{ "lower=x,seed=1,seed=2", "'seed' is there twice" },
		{ "lower=x,seed=many", "seed 'many': a number 0..18446744073709551615 expected" },
		{ "lower=x,hold=63", "hold '63': a number 64..65536 expected" },
		{ "lower=x,dir=up", "dir 'up': rx, tx or both expected" },
		{ "lower=x,script=/nonexistent/rules", "script /nonexistent/rules: No such file" },
		{ "lower=x,rule=drop p 2", "rule:1: drop: p '2': expected a probability" },
		{ "rx_ring=a,tx_ring=b,ring_size=0", "ring_size '0'" },
	};

	for (unsigned int i = 0; i < RTE_DIM(cases); i++)
		refused(cases[i][0], cases[i][1]);
}

PHCA_TEST(args, a_port_has_one_device_on_it)
{
	char args[32];
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, ""));
	snprintf(args, sizeof(args), "lower=%u", r.lower);
	refused(args, "cannot be taken");
	rig_close(&r);
}

PHCA_TEST(args, script)
{
	char path[] = "impair_script_XXXXXX", args[64];
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	struct rig r;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fprintf(f, "# what is lost\n\n  drop psn=1  # the first\ndrop psn=3; drop psn=5\n");
	fclose(f);
	snprintf(args, sizeof(args), "script=%s,rule=drop:psn:7", path);
	CU_ASSERT(rig_open(&r, args));
	rig_feed(&r, TX, 1, 1, 8);
	rig_expect(&r, TX, "2 4 6 8");
	rig_close(&r);
	f = fopen(path, "w");
	fprintf(f, "drop psn=1\n\nlose psn=2\n");
	fclose(f);
	snprintf(args, sizeof(args), "lower=x,script=%s", path);
	refused(args, ":3: there is no action 'lose'; there are drop, dup,");
	remove(path);
}

PHCA_TEST(rules, mistakes_are_told_and_change_nothing)
{
	static const char *const cases[][2] = {
		{ "drop p=1.5", "rules:1: drop: p '1.5': expected a probability 0..1" },
		{ "drop p=-1", "p '-1'" }, { "drop p=nan", "p 'nan'" }, { "drop p=0x1", "p '0x1'" },
		{ "\ndrop p", "rules:2: drop: 'p' needs a value" }, { "drop nth=0", "nth '0'" },
		{ "drop qpn=0x1000000", "qpn '0x1000000': expected a QP number" }, { "drop qpn=5-4", "qpn '5-4'" },
		{ "drop psn=1-", "psn '1-'" }, { "drop xmit=0", "xmit '0'" }, { "drop len=70000", "len '70000'" },
		{ "drop op=nonsense", "op 'nonsense'" }, { "drop op=send++ack", "op 'send++ack'" },
		{ "drop dir=up", "dir 'up': expected rx, tx or both" },
		{ "drop time=1us", "drop: it has no key 'time'; there are dir, op," },
		{ "delay", "delay: give it a time" }, { "delay time=5", "time '5': expected a time with its unit" },
		{ "delay time=61s", "time '61s'" }, { "rate", "rate: give it a rate" }, { "rate bps=1", "bps '1'" },
		{ "rate bps=2000G", "bps '2000G'" }, { "reorder by=0", "by '0'" },
		{ "reorder timeout=0", "timeout '0': expected a time above 0" },
		{ "corrupt bits=65", "bits '65'" }, { "corrupt icrc=maybe", "expected wrong or right" },
		{ "corrupt at=tail", "expected any, headers or payload" },
		{ "corrupt icrc=right op=other", "'op other' is what is not RoCEv2" },
		{ "dup copies=9", "copies '9'" }, { "dup copies=8; dup copies=8; dup copies=8; dup copies=8",
			"32 copies of a packet by all rules together, at most 31" },
		{ "drop p=0.1 p=0.2", "'p' is there twice" }, { "none drop", "there is no action 'none'" },
		{ "lose", "there is no action 'lose'; there are drop, dup, delay, reorder, corrupt, ecn, rate" },
	};
	char err[PHCA_IMPAIR_ERR_MAX], many[1024] = "";
	struct phca_impair_rule_info info;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop psn 2"));
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		CU_ASSERT_EQUAL(phca_impair_rules_set(r.port, cases[i][0], err, sizeof(err)), -EINVAL);
		check_words(cases[i][0], err, cases[i][1]);
	}
	for (unsigned int i = 0; i <= PHCA_IMPAIR_RULES_MAX; i++)
		snprintf(many + 5 * i, sizeof(many) - 5 * i, "drop;");
	CU_ASSERT_EQUAL(phca_impair_rules_set(r.port, many, err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "too many rules: at most 64"));
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 0, &info), 0);
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 1, &info), -ENOENT);
	rig_feed(&r, TX, 1, 1, 3);
	rig_expect(&r, TX, "1 3");
	rig_close(&r);
}

/* A rule as it is shown is the same rule. */
PHCA_TEST(rules, text_is_complete)
{
	static const char *const cases[][2] = {
		{ "drop", "drop dir both" }, { "drop:p:50%", "drop dir both p 0.5" },
		{ "drop p=1e-9 dir=rx", "drop dir rx p 1e-09" },
		{ "drop p=0.1234567891", "drop dir both p 0.1234567891" },
		{ "drop qpn=18 psn=0x10-0x0f xmit=2 len=64-128 nth=3 skip=4 max=5",
			"drop dir both qpn 0x12 psn 16-15 xmit 2 len 64-128 nth 3 skip 4 max 5" },
		{ "drop op=RC_SEND_ONLY+ack", "drop dir both op rc_send_only+ack" },
		{ "dup late=1.5ms copies=3", "dup copies 3 late 1500us dir both" },
		{ "delay time=1s jitter=10us", "delay time 1s jitter 10us dir both" },
		{ "reorder", "reorder by 1 timeout 10ms dir both" },
		{ "corrupt bits=2 icrc=right at=payload dir=tx", "corrupt bits 2 icrc right at payload dir tx" },
		{ "ecn force=yes", "ecn force yes dir both" },
		{ "rate bps=2.5G burst=1k queue=64k", "rate bps 2500000000 burst 1000 queue 64000 dir both" },
	};
	struct phca_impair_rule_info info;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, ""));
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		for (unsigned int k = 0; k < 2; k++) {
			rig_rules(&r, cases[i][k]);
			CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 0, &info), 0);
			CU_ASSERT_STRING_EQUAL(info.text, cases[i][1]);
		}
	}
	rig_rules(&r, "none");
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 0, &info), -ENOENT);
	rig_close(&r);
}

PHCA_TEST(rules, say_what_they_did)
{
	struct phca_impair_rule_info info;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop qpn 1 nth 4,rule=ecn"));
	rig_feed(&r, TX, 1, 1, 10);
	rig_feed(&r, RX, 2, 1, 10);
	rig_expect(&r, TX, "1 2 3 5 6 7 9 10");
	rig_expect(&r, RX, "1 2 3 4 5 6 7 8 9 10");
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 0, &info), 0);
	CU_ASSERT_EQUAL(info.matched, 10);
	CU_ASSERT_EQUAL(info.fired, 2);
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 1, &info), 0);
	CU_ASSERT_EQUAL(info.fired, 20);
	rig_close(&r);
}

PHCA_TEST(rules, replaced_while_packets_are_held)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 1ms"));
	rig_feed(&r, TX, 1, 1, 2);
	rig_rules(&r, "drop psn=4");
	rig_feed(&r, TX, 1, 3, 3);
	rig_expect(&r, TX, "3 5");
	rig_at(&r, 1 * MS);
	rig_expect(&r, TX, "1 2");
	rig_close(&r);
}

PHCA_TEST(rules, replaced_while_stopped)
{
	struct phca_impair_rule_info info;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop psn 1"));
	rig_feed(&r, TX, 1, 1, 2);
	rig_expect(&r, TX, "2");
	CU_ASSERT_EQUAL(rte_eth_dev_stop(r.port), 0);
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 0, &info), 0);
	CU_ASSERT_EQUAL(info.fired, 1); /* still told */
	rig_rules(&r, "drop psn=2; drop psn=3; ecn");
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 2, &info), 0);
	CU_ASSERT_STRING_EQUAL(info.text, "ecn dir both");
	CU_ASSERT_EQUAL(info.fired, 0);
	CU_ASSERT_EQUAL(rte_eth_dev_start(r.port), 0);
	rig_feed(&r, TX, 1, 1, 4);
	rig_expect(&r, TX, "1 4");
	rig_close(&r);
}

/* Configured anew with other queues. */
PHCA_TEST(device, reconfigured)
{
	struct rte_eth_conf conf = {0};
	struct rte_mbuf *m[2];
	struct rig r;

	CU_ASSERT_FATAL(rig_open_queues(&r, "rule=drop nth 2,rule=delay time 1s psn 9", 3));
	rig_feed(&r, TX, 1, 9, 1);
	CU_ASSERT_EQUAL(rte_eth_dev_stop(r.port), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_configure(r.port, 1, 2, &conf), 0);
	CU_ASSERT_EQUAL(rte_eth_rx_queue_setup(r.port, 0, 512, SOCKET_ID_ANY, NULL, r.pool), 0);
	for (uint16_t q = 0; q < 2; q++)
		CU_ASSERT_EQUAL(rte_eth_tx_queue_setup(r.port, q, 512, SOCKET_ID_ANY, NULL), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_start(r.port), 0);
	m[0] = rig_send_only(&r, 1, 1);
	m[1] = rig_send_only(&r, 1, 2);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(r.port, 1, m, 2), 2);
	rig_expect(&r, TX, "1");
	rig_close(&r);
}

PHCA_TEST(device, others_are_none)
{
	struct phca_impair_counters c;
	struct phca_impair_rule_info info;
	char err[PHCA_IMPAIR_ERR_MAX];
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, ""));
	CU_ASSERT_TRUE(phca_impair_is(r.port));
	CU_ASSERT_FALSE(phca_impair_is(r.lower));
	CU_ASSERT_EQUAL(phca_impair_now_set(r.lower, 1), -ENODEV);
	CU_ASSERT_EQUAL(phca_impair_clock_set(r.lower, NULL, NULL), -ENODEV);
	CU_ASSERT_EQUAL(phca_impair_next_ns(r.lower), PHCA_IMPAIR_NEVER);
	CU_ASSERT_EQUAL(phca_impair_stats_get(r.lower, RX, &c), -ENODEV);
	CU_ASSERT_EQUAL(phca_impair_stats_get(r.port, PHCA_IMPAIR_DIRS, &c), -EINVAL);
	CU_ASSERT_EQUAL(phca_impair_stats_reset(r.lower), -ENODEV);
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.lower, 0, &info), -ENODEV);
	CU_ASSERT_EQUAL(phca_impair_rules_set(r.lower, "drop", err, sizeof(err)), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "it is no net_impair"));
	rig_close(&r);
}

/* The lower port is the device's alone. */
PHCA_TEST(device, hides_the_lower_port)
{
	unsigned int before = rte_eth_dev_count_avail();
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, ""));
	CU_ASSERT_EQUAL(rte_eth_dev_count_avail(), before + 1);
	rig_close(&r);
	CU_ASSERT_EQUAL(rte_eth_dev_count_avail(), before);
}

PHCA_TEST(device, full_ring_pushes_back_and_nothing_is_lost)
{
	struct rte_mbuf *m[64], *out[64];
	unsigned int offered = 0, accepted = 0, got, n;
	uint32_t expected = 0;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, ""));
	for (unsigned int turn = 0; turn < 60; turn++) {
		for (unsigned int i = 0; i < RTE_DIM(m); i++)
			m[i] = rig_send_only(&r, 1, accepted + i);
		n = rte_eth_tx_burst(r.port, 0, m, RTE_DIM(m));
		offered += RTE_DIM(m);
		accepted += n;
		rte_pktmbuf_free_bulk(m + n, (unsigned int)(RTE_DIM(m) - n));
	}
	CU_ASSERT(accepted < offered);
	/* the ring's, and one burst more */
	CU_ASSERT(accepted >= RIG_RING && accepted <= RIG_RING + 32);
	CU_ASSERT_EQUAL(rig_balance(&r, TX).held, accepted - RIG_RING);
	CU_ASSERT(rig_balance(&r, TX).stalled > 0);
	while ((got = rig_get(&r, TX, out, RTE_DIM(out))) > 0) {
		for (unsigned int i = 0; i < got; i++)
			CU_ASSERT_EQUAL(phca_get24(rig_frame(out[i]) + 51), expected++);
		rte_pktmbuf_free_bulk(out, got);
	}
	CU_ASSERT_EQUAL(expected, accepted);
	rig_close(&r);
}

/* No more than `hold` packets wait; the rest stays where it is. */
PHCA_TEST(device, hold_is_a_limit)
{
	struct rte_mbuf *m[256];
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "hold=64,rule=delay time 1ms"));
	for (unsigned int i = 0; i < 100; i++)
		m[i] = rig_send_only(&r, 1, i);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(r.port, 0, m, 100), 64);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(r.port, 0, m + 64, 36), 0);
	CU_ASSERT_EQUAL(rte_ring_enqueue_burst(r.in, (void **)(m + 64), 36, NULL), 36);
	rig_feed(&r, RX, 1, 0, 60);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(r.port, 0, m, 256), 0);
	CU_ASSERT_EQUAL(rig_balance(&r, RX).held, 64);
	CU_ASSERT_EQUAL(rte_ring_count(r.in), 96 - 64);
	rig_close(&r);
}

PHCA_TEST(device, stop_frees_what_is_held)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 1s psn 0-9,rule=reorder by 1000 psn 10-19"));
	rig_feed(&r, TX, 1, 0, 25);
	rig_feed(&r, RX, 1, 0, 25);
	rig_expect(&r, TX, "20 21 22 23 24");
	rig_expect(&r, RX, "20 21 22 23 24");
	CU_ASSERT_EQUAL(rte_eth_dev_stop(r.port), 0);
	CU_ASSERT_EQUAL(rig_balance(&r, TX).freed, 20);
	CU_ASSERT_EQUAL(rig_balance(&r, RX).freed, 20);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(r.pool), 0);
	CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), PHCA_IMPAIR_NEVER);
	rig_close(&r);
}

/* Everything at once, any seed, random times and burst sizes: nothing is lost, nothing invented. */
static void storm(uint64_t seed)
{
	struct phca_impair_counters c;
	unsigned int accepted[2] = {0}, out[2] = {0};
	struct rte_mbuf *m[64];
	char args[512];
	struct rig r;

	snprintf(args, sizeof(args), "hold=200,seed=%llu,rule=drop p 0.1,rule=dup p 0.1 copies 2 late 3us,"
		"rule=delay p 0.2 time 5us jitter 5us,rule=reorder p 0.1 by 5 timeout 20us,"
		"rule=corrupt p 0.05,rule=corrupt p 0.05 icrc right,rule=ecn p 0.1,"
		"rule=rate bps 1G queue 5k dir tx", (unsigned long long)seed);
	CU_ASSERT_FATAL(rig_open(&r, args));
	for (unsigned int turn = 0; turn < 300; turn++) {
		enum phca_impair_dir dir = turn & 1 ? RX : TX;
		unsigned int n = 1 + phca_test_rand(&seed) % 64, k;

		rig_at(&r, r.now_ns + phca_test_rand(&seed) % 20000);
		for (unsigned int i = 0; i < n; i++)
			m[i] = rig_send_only(&r, 1, i);
		k = rig_put(&r, dir, m, n);
		accepted[dir] += k;
		rte_pktmbuf_free_bulk(m + k, n - k);
		k = rig_get(&r, dir, m, (unsigned int)(phca_test_rand(&seed) % 65));
		out[dir] += k;
		rte_pktmbuf_free_bulk(m, k);
		rig_balance(&r, dir);
	}
	for (unsigned int i = 0; i < 100; i++) {
		rig_at(&r, r.now_ns + 1 * MS);
		for (int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
			unsigned int k = rig_get(&r, (enum phca_impair_dir)dir, m, RTE_DIM(m));

			out[dir] += k;
			rte_pktmbuf_free_bulk(m, k);
		}
	}
	for (int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		c = rig_balance(&r, (enum phca_impair_dir)dir);
		CU_ASSERT_EQUAL(c.held, 0);
		CU_ASSERT_EQUAL(c.in, accepted[dir]);
		CU_ASSERT_EQUAL(c.out, out[dir]);
		CU_ASSERT(c.dropped && c.duplicated && c.delayed && c.reordered);
		CU_ASSERT(c.corrupted && c.forged && c.ce_marked);
	}
	rig_close(&r);
}

PHCA_TEST(device, storms)
{
	uint64_t seeds = phca_test_long() ? 200 : 10;

	for (uint64_t seed = 1; seed <= seeds; seed++)
		storm(seed);
}

static uint64_t xstat(uint16_t port, const char *name)
{
	uint64_t id = 0, value = 0;

	CU_ASSERT_EQUAL(rte_eth_xstats_get_id_by_name(port, name, &id), 0);
	CU_ASSERT_EQUAL(rte_eth_xstats_get_by_id(port, &id, &value, 1), 1);
	return value;
}

PHCA_TEST(device, statistics)
{
	struct rte_eth_stats st;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop nth 4,rule=delay psn 1 time 1us"));
	rig_feed(&r, TX, 1, 1, 8);
	rig_feed(&r, RX, 1, 1, 4);
	rig_expect(&r, TX, "2 3 5 6 7");
	rig_expect(&r, RX, "2 3");
	CU_ASSERT_EQUAL(rte_eth_stats_get(r.port, &st), 0);
	CU_ASSERT_EQUAL(st.opackets, 5);
	CU_ASSERT_EQUAL(st.obytes, 5 * 122);
	CU_ASSERT_EQUAL(st.ipackets, 2);
	CU_ASSERT_EQUAL(st.q_opackets[0], 5);
	CU_ASSERT_EQUAL(xstat(r.port, "tx_impair_dropped"), 2);
	CU_ASSERT_EQUAL(xstat(r.port, "tx_impair_held"), 1);
	CU_ASSERT_EQUAL(xstat(r.port, "rx_impair_in"), 4);
	CU_ASSERT_EQUAL(phca_impair_stats_reset(r.port), 0);
	CU_ASSERT_EQUAL(rig_balance(&r, TX).in, 1); /* the one that is held */
	CU_ASSERT_EQUAL(xstat(r.port, "tx_impair_dropped"), 0);
	rig_feed(&r, TX, 1, 9, 1);
	CU_ASSERT_EQUAL(rte_eth_xstats_reset(r.port), 0);
	CU_ASSERT_EQUAL(xstat(r.port, "tx_impair_out"), 0);
	rig_close(&r);
}

/* Held packets of a transmit queue leave when receive queues are polled. */
PHCA_TEST(device, polling_moves_both_directions)
{
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 1us dir tx"));
	rig_feed(&r, TX, 1, 1, 1);
	rig_at(&r, 1 * US);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(r.port, 0, &m, 1), 0);
	CU_ASSERT_EQUAL(rte_ring_count(r.out), 1);
	rig_close(&r);
}

PHCA_TEST(device, more_queues_than_the_lower_port)
{
	struct rte_mbuf *m[4];
	struct rig r;

	CU_ASSERT_FATAL(rig_open_queues(&r, "rule=drop nth 2", 4));
	for (uint16_t q = 0; q < 4; q++) {
		for (unsigned int i = 0; i < 4; i++)
			m[i] = rig_send_only(&r, q, 10 * q + i);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(r.port, q, m, 4), 4);
	}
	rig_expect(&r, TX, "0 2 10 12 20 22 30 32"); /* each queue counts for itself */
	rig_feed(&r, RX, 1, 1, 3);
	for (uint16_t q = 1; q < 4; q++)
		CU_ASSERT_EQUAL(rte_eth_rx_burst(r.port, q, m, 4), 0);
	rig_expect(&r, RX, "1 3");
	rig_close(&r);
}

PHCA_TEST(rings, two_devices_back_to_back)
{
	struct rte_mbuf *m[8];
	uint16_t a, b;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "")); /* for its packets */
	a = rig_ring_port("net_impair_a", "rx_ring=ba,tx_ring=ab,ring_size=5,rule=drop psn 2 dir tx", r.pool);
	b = rig_ring_port("net_impair_b", "rx_ring=ab,tx_ring=ba", r.pool);
	for (unsigned int i = 0; i < 8; i++)
		m[i] = rig_send_only(&r, 1, i);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(a, 0, m, 8), 8); /* one dropped, two wait */
	CU_ASSERT_EQUAL(rte_eth_rx_burst(b, 0, m, 8), 5);
	for (unsigned int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(m[i]->port, b);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(b, 0, m, 5), 5);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(a, 0, m, 8), 5); /* and lets go the two */
	rte_pktmbuf_free_bulk(m, 5);
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_impair_a"), 0);
	CU_ASSERT_PTR_NOT_NULL(rte_ring_lookup("ab")); /* b uses it */
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_impair_b"), 0);
	CU_ASSERT_PTR_NULL(rte_ring_lookup("ab"));
	CU_ASSERT_PTR_NULL(rte_ring_lookup("ba"));
	rig_close(&r); /* no buffer is missing */
}

/* A device on a device. */
PHCA_TEST(rings, stacked)
{
	uint16_t low, high;
	struct rte_mbuf *m[8];
	char args[64];
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, ""));
	CU_ASSERT_EQUAL_FATAL(rte_vdev_init("net_impair_low", "rx_ring=x,tx_ring=x,rule=drop psn 1 dir tx"), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name("net_impair_low", &low), 0);
	snprintf(args, sizeof(args), "lower=%u,rule=drop psn 2 dir rx", low);
	high = rig_ring_port("net_impair_high", args, r.pool);
	for (unsigned int i = 0; i < 4; i++)
		m[i] = rig_send_only(&r, 1, i);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(high, 0, m, 4), 4);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(high, 0, m, 8), 2);
	rte_pktmbuf_free_bulk(m, 2);
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_impair_high"), 0);
	CU_ASSERT_FALSE(rte_eth_dev_is_valid_port(low));
	CU_ASSERT_EQUAL(rte_vdev_uninit("net_impair_low"), 0);
	rig_close(&r);
}
