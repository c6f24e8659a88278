/* SPDX-License-Identifier: BSD-3-Clause */
/* What each impairment does to packets, in both directions. */
#include <string.h>

#include "rig.h"

PHCA_TEST(drop, is_counted)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=drop nth 2"));
	for (int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		struct phca_impair_counters c;

		rig_feed(&r, (enum phca_impair_dir)dir, 1, 1, 6);
		rig_expect(&r, (enum phca_impair_dir)dir, "1 3 5");
		c = rig_balance(&r, (enum phca_impair_dir)dir);
		CU_ASSERT_EQUAL(c.in, 6);
		CU_ASSERT_EQUAL(c.out, 3);
		CU_ASSERT_EQUAL(c.dropped, 3);
		CU_ASSERT_EQUAL(c.in_bytes, 2 * c.out_bytes);
	}
	rig_close(&r);
}

PHCA_TEST(dup, copies_are_packets_of_their_own)
{
	struct rte_mbuf *m[4];
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=dup copies 2 psn 2"));
	for (int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		rig_feed(&r, (enum phca_impair_dir)dir, 1, 2, 1);
		CU_ASSERT_EQUAL_FATAL(rig_get(&r, (enum phca_impair_dir)dir, m, 4), 3);
		CU_ASSERT(m[0] != m[1] && m[1] != m[2] && m[0]->buf_addr != m[1]->buf_addr);
		for (unsigned int i = 0; i < 3; i++) {
			CU_ASSERT_EQUAL(rig_verdict(m[i], NULL), PHCA_V_OK);
			rte_pktmbuf_free(m[i]);
		}
		CU_ASSERT_EQUAL(rig_balance(&r, (enum phca_impair_dir)dir).duplicated, 2);
		rig_feed(&r, (enum phca_impair_dir)dir, 1, 1, 4);
		rig_expect(&r, (enum phca_impair_dir)dir, "1 2 2 2 3 4");
	}
	rig_close(&r);
}

PHCA_TEST(dup, late_copies)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=dup late 10us psn 1"));
	rig_feed(&r, TX, 1, 1, 2);
	rig_expect(&r, TX, "1 2");
	CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), 10 * US);
	rig_at(&r, 10 * US - 1);
	rig_expect(&r, TX, "");
	rig_at(&r, 10 * US);
	rig_expect(&r, TX, "1");
	CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), PHCA_IMPAIR_NEVER);
	rig_close(&r);
}

PHCA_TEST(dup, without_buffers_the_packet_goes_alone)
{
	static struct rte_mbuf *all[8192];
	unsigned int n = 0;
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=dup"));
	m = rig_send_only(&r, 1, 1);
	while (n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(r.pool)) != NULL)
		n++;
	CU_ASSERT_EQUAL(rig_put(&r, TX, &m, 1), 1);
	rig_expect(&r, TX, "1");
	CU_ASSERT_EQUAL(rig_balance(&r, TX).no_mbuf, 1);
	CU_ASSERT_EQUAL(rig_balance(&r, TX).duplicated, 0);
	rte_pktmbuf_free_bulk(all, n);
	rig_close(&r);
}

PHCA_TEST(delay, holds_for_the_time_and_keeps_the_order)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 100us"));
	for (int d = 0; d < PHCA_IMPAIR_DIRS; d++) {
		enum phca_impair_dir dir = (enum phca_impair_dir)d;
		uint64_t t = r.now_ns;

		rig_feed(&r, dir, 1, 1, 3);
		rig_expect(&r, dir, "");
		CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), t + 100 * US);
		rig_at(&r, t + 40 * US);
		rig_feed(&r, dir, 1, 4, 2);
		rig_expect(&r, dir, "");
		CU_ASSERT_EQUAL(rig_balance(&r, dir).held, 5);
		rig_at(&r, t + 100 * US);
		rig_expect(&r, dir, "1 2 3");
		rig_at(&r, t + 139999);
		rig_expect(&r, dir, "");
		rig_at(&r, t + 140 * US);
		rig_expect(&r, dir, "4 5");
		CU_ASSERT_EQUAL(rig_balance(&r, dir).delayed, 5);
	}
	rig_close(&r);
}

PHCA_TEST(delay, chosen_packets_are_overtaken)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 1ms psn 2,rule=delay time 500us psn 2-3"));
	rig_feed(&r, TX, 1, 1, 4);
	rig_expect(&r, TX, "1 4");
	rig_at(&r, 2 * MS); /* both are due, in the order of their times */
	rig_expect(&r, TX, "3 2");
	rig_close(&r);
}

PHCA_TEST(delay, jitter_stays_in_its_bounds_and_is_repeatable)
{
	uint32_t first[RIG_MAX], again[RIG_MAX];
	unsigned int moved = 0;

	for (int turn = 0; turn < 2; turn++) {
		uint32_t *psn = turn == 0 ? first : again;
		struct rig r;

		CU_ASSERT_FATAL(rig_open(&r, "seed=4,rule=delay time 10us jitter 4us"));
		rig_feed(&r, TX, 1, 0, 200);
		rig_at(&r, 6 * US - 1);
		rig_expect(&r, TX, "");
		rig_at(&r, 14 * US);
		CU_ASSERT_EQUAL(rig_psns(&r, TX, psn), 200);
		for (unsigned int i = 0; i < 200; i++)
			moved += psn[i] != i;
		rig_close(&r);
	}
	CU_ASSERT(moved > 200);
	CU_ASSERT_EQUAL(memcmp(first, again, 200 * sizeof(first[0])), 0);
}

PHCA_TEST(reorder, packets_pass)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=reorder by 2 nth 4"));
	for (int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		rig_feed(&r, (enum phca_impair_dir)dir, 1, 1, 10);
		rig_expect(&r, (enum phca_impair_dir)dir, "1 2 3 5 6 4 7 9 10 8");
		CU_ASSERT_EQUAL(rig_balance(&r, (enum phca_impair_dir)dir).reordered, 2);
	}
	rig_close(&r);
}

PHCA_TEST(reorder, not_for_ever)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=reorder by 3 timeout 5us psn 1"));
	rig_feed(&r, TX, 1, 1, 2);
	rig_expect(&r, TX, "2");
	CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), 5 * US);
	rig_at(&r, 5 * US - 1);
	rig_expect(&r, TX, "");
	rig_at(&r, 5 * US);
	rig_expect(&r, TX, "1");
	CU_ASSERT_EQUAL(rig_balance(&r, TX).reorder_expired, 1);
	rig_close(&r);
}

PHCA_TEST(reorder, after_a_delay)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 10us psn 1,rule=reorder by 1 timeout 1ms psn 1"));
	rig_feed(&r, TX, 1, 1, 2);
	rig_expect(&r, TX, "2");
	rig_at(&r, 20 * US);
	rig_expect(&r, TX, "");
	CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), 10 * US + 1 * MS);
	rig_feed(&r, TX, 1, 3, 1);
	rig_expect(&r, TX, "3 1");
	rig_close(&r);
}

/* Bits that differ, from an offset on. */
static unsigned int differ(const uint8_t *a, const uint8_t *b, uint32_t from, uint32_t to)
{
	unsigned int n = 0;

	for (uint32_t i = from; i < to; i++)
		n += (unsigned int)__builtin_popcount(a[i] ^ b[i]);
	return n;
}

/* A packet through the rules; as it was in `was`. The caller frees it. */
static struct rte_mbuf *through(struct rig *r, enum phca_impair_dir dir, struct rte_mbuf *m, uint8_t *was)
{
	struct rte_mbuf *out = NULL;

	memcpy(was, rig_frame(m), m->pkt_len);
	CU_ASSERT_EQUAL_FATAL(rig_put(r, dir, &m, 1), 1);
	CU_ASSERT_EQUAL_FATAL(rig_get(r, dir, &out, 1), 1);
	return out;
}

PHCA_TEST(corrupt, wrong_icrc)
{
	uint8_t was[2048];
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=corrupt bits 3"));
	for (unsigned int i = 0; i < 500; i++) {
		m = through(&r, i & 1 ? RX : TX, rig_send_only(&r, 1, i), was);
		CU_ASSERT_EQUAL(differ(was, rig_frame(m), 0, m->pkt_len), 3);
		CU_ASSERT_EQUAL(differ(was, rig_frame(m), 0, 42), 0);
		CU_ASSERT_NOT_EQUAL(rig_verdict(m, NULL), PHCA_V_OK);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(rig_balance(&r, TX).corrupted, 250);
	rig_close(&r);
}

PHCA_TEST(corrupt, right_icrc_in_payload)
{
	uint8_t was[2048];
	struct phca_pkt pkt;
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=corrupt icrc right at payload bits 5"));
	for (unsigned int i = 0; i < 200; i++) {
		const struct rig_pkt p = { .qpn = 1, .psn = i, .len = 1 + i, .opcode = PHCA_RC_SEND_ONLY,
			.ip6 = i % 3 == 0 };

		m = through(&r, i & 1 ? RX : TX, rig_build(&r, &p), was);
		CU_ASSERT_EQUAL(rig_verdict(m, &pkt), PHCA_V_OK);
		CU_ASSERT_EQUAL(differ(was, rig_frame(m), 0, pkt.payload_off), 0);
		CU_ASSERT_EQUAL(differ(was, rig_frame(m), pkt.payload_off, m->pkt_len - 4), 5);
		CU_ASSERT_NOT_EQUAL(memcmp(was + m->pkt_len - 4, rig_frame(m) + m->pkt_len - 4, 4), 0);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(rig_balance(&r, RX).forged, 100);
	rig_close(&r);
}

/* A header that is wrong under a right iCRC: what a broken peer sends. */
PHCA_TEST(corrupt, right_icrc_in_headers)
{
	uint8_t was[2048];
	struct rte_mbuf *m;
	uint32_t icrc;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=corrupt icrc right at headers"));
	for (unsigned int i = 0; i < 200; i++) {
		m = through(&r, TX, rig_send_only(&r, 1, i), was);
		CU_ASSERT_EQUAL(differ(was, rig_frame(m), 42, 54), 1);
		CU_ASSERT_EQUAL(was[46], rig_frame(m)[46]); /* not covered by the iCRC */
		CU_ASSERT_EQUAL(differ(was, rig_frame(m), 54, m->pkt_len - 4), 0);
		icrc = phca_wire_icrc(rig_frame(m) + 14, m->pkt_len - 14 - 4, false);
		CU_ASSERT_EQUAL(memcmp(rig_frame(m) + m->pkt_len - 4, &icrc, 4), 0);
		rte_pktmbuf_free(m);
	}
	rig_close(&r);
}

PHCA_TEST(corrupt, udp_checksum_is_right_too)
{
	const struct rig_pkt p = { .qpn = 1, .psn = 9, .len = 101, .opcode = PHCA_UC_SEND_ONLY };
	uint8_t was[2048], *f;
	struct rte_mbuf *m;
	uint32_t len, sum;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=corrupt icrc right at payload"));
	m = rig_build(&r, &p);
	f = rte_pktmbuf_mtod(m, uint8_t *);
	len = m->pkt_len - 14 - 20;
	sum = phca_wire_csum(f + 14 + 12, 8, 17 + len);
	phca_put16(f + 40, (uint16_t)~phca_wire_csum(f + 34, len, sum));
	CU_ASSERT_EQUAL(rig_verdict(m, NULL), PHCA_V_OK);
	m = through(&r, TX, m, was);
	CU_ASSERT_EQUAL(rig_verdict(m, NULL), PHCA_V_OK);
	CU_ASSERT_NOT_EQUAL(phca_get16(rig_frame(m) + 40), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(was + 40, rig_frame(m) + 40, 2), 0);
	rte_pktmbuf_free(m);
	rig_close(&r);
}

/* The user may hold the packet, or its payload may be shared memory. */
PHCA_TEST(corrupt, shared_buffers_are_left_alone)
{
	struct rte_mbuf *m, *clone, *out;
	uint8_t was[2048];
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=corrupt,rule=ecn"));
	m = rig_send_only(&r, 1, 1);
	rte_mbuf_refcnt_update(m, 1);
	out = through(&r, TX, m, was);
	CU_ASSERT(out != m);
	CU_ASSERT_EQUAL(memcmp(was, rig_frame(m), m->pkt_len), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(was, rig_frame(out), out->pkt_len), 0);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(m), 1);
	rte_pktmbuf_free(out);

	clone = rte_pktmbuf_clone(m, r.pool);
	out = through(&r, TX, clone, was);
	CU_ASSERT_EQUAL(memcmp(was, rig_frame(m), m->pkt_len), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(was, rig_frame(out), out->pkt_len), 0);
	rte_pktmbuf_free(out);
	rte_pktmbuf_free(m);
	rig_close(&r);
}

/* Put the frame from an offset on into a second segment. */
static struct rte_mbuf *split(struct rig *r, struct rte_mbuf *m, uint16_t at)
{
	struct rte_mbuf *tail = rte_pktmbuf_alloc(r->pool);
	uint16_t n = (uint16_t)(m->data_len - at);

	memcpy(rte_pktmbuf_append(tail, n), rte_pktmbuf_mtod_offset(m, uint8_t *, at), n);
	m->data_len = at;
	m->pkt_len = at;
	CU_ASSERT_EQUAL(rte_pktmbuf_chain(m, tail), 0);
	return m;
}

PHCA_TEST(corrupt, packets_in_segments)
{
	uint8_t was[2048];
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=corrupt icrc right at payload,rule=ecn"));
	for (uint16_t at = 1; at < 120; at++) {
		m = through(&r, TX, split(&r, rig_send_only(&r, 1, at), at), was);
		CU_ASSERT_EQUAL(m->nb_segs, 2);
		CU_ASSERT_EQUAL(rig_verdict(m, NULL), PHCA_V_OK);
		CU_ASSERT_EQUAL(differ(was, rig_frame(m), 54, m->pkt_len - 4), 1);
		CU_ASSERT_EQUAL(rig_frame(m)[15] & 3, 3);
		rte_pktmbuf_free(m);
	}
	rig_close(&r);
}

PHCA_TEST(corrupt, payload_only_of_packets_that_have_some)
{
	const struct rig_pkt ack = { .qpn = 1, .psn = 5, .opcode = PHCA_RC_ACK };
	struct phca_impair_rule_info info;
	uint8_t was[2048];
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=corrupt at payload nth 1"));
	m = through(&r, TX, rig_build(&r, &ack), was);
	CU_ASSERT_EQUAL(rig_verdict(m, NULL), PHCA_V_OK);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(phca_impair_rule_get(r.port, 0, &info), 0);
	CU_ASSERT_EQUAL(info.matched, 0);
	rig_close(&r);
}

static uint8_t ecn_of(const struct rte_mbuf *m, bool ip6)
{
	const uint8_t *f = rig_frame(m);

	return ip6 ? f[15] >> 4 & 3 : f[15] & 3;
}

PHCA_TEST(ecn, marks_what_is_capable)
{
	uint8_t was[2048];
	struct rte_mbuf *m;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=ecn"));
	for (unsigned int i = 0; i < 16; i++) {
		const struct rig_pkt p = { .qpn = 1, .psn = i, .len = 32, .opcode = PHCA_RC_SEND_ONLY,
			.tclass = (uint8_t)(0x68 | (i & 3)), .ip6 = i & 4 };
		struct phca_pkt pkt;

		m = through(&r, i & 8 ? RX : TX, rig_build(&r, &p), was);
		/* the parser checks the header checksum and the iCRC, which a mark leaves right */
		CU_ASSERT_EQUAL(rig_verdict(m, &pkt), PHCA_V_OK);
		CU_ASSERT_EQUAL(pkt.tclass >> 2, 0x68 >> 2);
		CU_ASSERT_EQUAL(ecn_of(m, p.ip6), (i & 3) == 0 ? 0 : 3);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(rig_balance(&r, TX).ce_marked, 6);
	CU_ASSERT_EQUAL(rig_balance(&r, TX).not_ect, 2);
	rig_rules(&r, "ecn force=yes");
	m = through(&r, TX, rig_build(&r, &(struct rig_pkt){ .opcode = PHCA_RC_ACK }), was);
	CU_ASSERT_EQUAL(rig_verdict(m, NULL), PHCA_V_OK);
	CU_ASSERT_EQUAL(ecn_of(m, false), 3);
	rte_pktmbuf_free(m);
	rig_close(&r);
}

/* 122 bytes at 976 Mb/s are 1 us. */
PHCA_TEST(rate, packets_leave_one_after_the_other)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=rate bps 976M"));
	for (int d = 0; d < PHCA_IMPAIR_DIRS; d++) {
		enum phca_impair_dir dir = (enum phca_impair_dir)d;
		uint64_t t = r.now_ns;

		rig_feed(&r, dir, 1, 1, 4);
		rig_expect(&r, dir, "1");
		CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), t + 1 * US);
		rig_at(&r, t + 1 * US);
		rig_expect(&r, dir, "2");
		rig_at(&r, t + 3 * US - 1);
		rig_expect(&r, dir, "3");
		rig_at(&r, t + 3 * US);
		rig_expect(&r, dir, "4");
		rig_at(&r, t + 10 * US); /* unused time is not saved up */
		rig_feed(&r, dir, 1, 5, 2);
		rig_expect(&r, dir, "5");
		rig_at(&r, t + 11 * US);
		rig_expect(&r, dir, "6");
		CU_ASSERT_EQUAL(rig_balance(&r, dir).shaped, 4);
		rig_at(&r, t + 20 * US);
	}
	rig_close(&r);
}

PHCA_TEST(rate, long_run)
{
	uint32_t psn[RIG_MAX];
	unsigned int n = 0;
	struct rig r;

	/* 122 bytes at 1 Gb/s are 976 ns: 1024 packets in a millisecond, and the first at once */
	CU_ASSERT_FATAL(rig_open(&r, "rule=rate bps 1G"));
	for (unsigned int i = 0; i < 15; i++)
		rig_feed(&r, TX, 1, i * 100, 100);
	for (uint64_t t = 0; t <= 1 * MS; t += 10 * US) {
		rig_at(&r, t);
		n += rig_psns(&r, TX, psn);
	}
	CU_ASSERT_EQUAL(n, 1025);
	rig_close(&r);
}

PHCA_TEST(rate, burst_and_queue)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=rate bps 976M burst 244"));
	rig_feed(&r, TX, 1, 1, 4);
	rig_expect(&r, TX, "1 2 3");
	rig_at(&r, 1 * US);
	rig_expect(&r, TX, "4");
	rig_rules(&r, "rate bps=976M queue=244");
	rig_feed(&r, TX, 1, 1, 6);
	rig_expect(&r, TX, "1");
	CU_ASSERT_EQUAL(rig_balance(&r, TX).rate_dropped, 3);
	rig_at(&r, 5 * US);
	rig_expect(&r, TX, "2 3");
	rig_close(&r);
}

PHCA_TEST(rate, only_of_chosen_packets)
{
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=rate bps 976M qpn 1"));
	rig_feed(&r, TX, 1, 1, 2);
	rig_feed(&r, TX, 2, 10, 2);
	rig_expect(&r, TX, "1 10 11");
	rig_at(&r, 1 * US);
	rig_expect(&r, TX, "2");
	rig_close(&r);
}

static uint64_t their_clock(void *arg)
{
	uint64_t *calls = arg;

	return ++*calls * US;
}

PHCA_TEST(clock, of_the_user)
{
	uint64_t calls = 0;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 2us"));
	CU_ASSERT_EQUAL(phca_impair_clock_set(r.port, their_clock, &calls), 0);
	rig_feed(&r, TX, 1, 1, 1);                 /* at 1 us, for 2 */
	CU_ASSERT_EQUAL(phca_impair_next_ns(r.port), 3 * US);
	(void)rte_eth_tx_burst(r.port, 0, NULL, 0);
	CU_ASSERT_EQUAL(rte_ring_count(r.out), 0);
	(void)rte_eth_tx_burst(r.port, 0, NULL, 0);
	CU_ASSERT_EQUAL(rte_ring_count(r.out), 1);
	CU_ASSERT_EQUAL(calls, 3);
	rig_expect(&r, TX, "1");
	rig_close(&r);
}

/* Without a clock of ours time passes by itself. */
PHCA_TEST(clock, tsc)
{
	struct rte_mbuf *m = NULL;
	struct rig r;

	CU_ASSERT_FATAL(rig_open(&r, "rule=delay time 1ns"));
	CU_ASSERT_EQUAL(phca_impair_clock_set(r.port, NULL, NULL), 0);
	rig_feed(&r, TX, 1, 1, 1);
	for (unsigned int i = 0; i < 100000000 && m == NULL; i++)
		if (rig_get(&r, TX, &m, 1) == 0)
			m = NULL;
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	rte_pktmbuf_free(m);
	rig_close(&r);
}
