/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer with a lossy way sends requests of all kinds to an RC queue pair, go-back-N; an
 * offload decides on those that match at random, in any order: passes, consumes, delivers
 * other bytes. Rules come and go, and so do connections. Now and then the application posts
 * no receives for a while, or one that is too short.
 *
 * What must hold: the application cannot tell. Its receives complete in the order in which it posted
 * them, with the messages in the order in which they were sent, without those that were
 * consumed; each request runs once, also when it was sent again; a READ sees what was
 * written before it; the peer of a message that no receive takes hears RNR NAK, that of one
 * which is too long a NAK of it, unless it was acknowledged before; and what lab_close asserts.
 */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "rc_peer.h"

#define LIVES 60
#define LIVES_LONG 3000
#define OPS 400       /* requests of a connection */
#define PSNS (OPS * 3)
#define SLOTS 4
#define SLOT (4 * LAB_MTU)
#define BUFS 32       /* buffers of receives; behind them: */
#define FAR (BUFS * LAB_BUF)
#define COUNTER (FAR + SLOTS * SLOT) /* that the atomics add to */
#define READ_LEN 64
#define AHEAD 24      /* packets that the peer sends before it wants to hear */

enum kind { SEND, SEND_IMM, WRITE, WRITE_IMM, READ, ADD, KINDS };

struct op {
	uint8_t kind, npkts, slot;
	bool marked, submitted, decided, consumed;
	uint32_t len, psn, imm;
	uint32_t other;    /* SEND: so many other bytes were delivered, plus 1; 0: its own */
	uint32_t seen;     /* READ: which WRITE's bytes */
	uint64_t value;    /* ADD */
	bool answered;
};

struct storm {
	struct rc c;
	struct judge *j;
	bool answers;
	uint16_t max_held;
	uint64_t rnd, wrong;
	struct op op[OPS];
	uint16_t of_psn[PSNS];
	uint32_t nb_ops, end, una, next, rnr; /* of the peer */
	uint32_t quiet;       /* turns since it heard something new */
	uint32_t at;          /* the application: no operation before it completes a receive any more */
	uint64_t received;
	uint32_t starve;      /* steps without a receive */
	uint64_t short_id;    /* the receive that is too short; UINT64_MAX: none in this life */
	uint32_t failed;      /* the operation that it refused, plus 1 */
	uint32_t nak_psn;     /* what the peer was told of it */
	uint8_t nak;
	uint64_t passed, done, other, resent, refused, told;
};
static struct storm s;

static uint32_t rnd(uint32_t n)
{
	return (uint32_t)(phca_test_rand(&s.rnd) >> 16) % n;
}

static void wrong(const char *what, uint64_t a, uint64_t b)
{
	if (s.wrong++ < 5)
		printf("  wrong: %s: %" PRIu64 ", %" PRIu64 "\n", what, a, b);
}

/* -------------------------------------------------------------- requests */

static void ops_make(void)
{
	memset(s.op, 0, sizeof(s.op));
	s.end = 0;
	s.nb_ops = 50 + rnd(OPS - 50);
	for (uint32_t i = 0; i < s.nb_ops; i++) {
		static const uint8_t kinds[] = { SEND, SEND, SEND, SEND_IMM, WRITE, WRITE, WRITE_IMM, READ, ADD };
		struct op *o = &s.op[i];

		o->kind = kinds[rnd(RTE_DIM(kinds))];
		o->npkts = o->kind >= READ || rnd(4) ? 1 : (uint8_t)(2 + rnd(2));
		o->marked = rnd(3) == 0 && (s.max_held == 0 || o->npkts <= s.max_held);
		o->len = o->kind >= READ ? 0 : (o->npkts - 1u) * LAB_MTU + 8 + rnd(200);
		o->slot = (uint8_t)rnd(SLOTS);
		o->imm = rnd(UINT32_MAX);
		o->psn = s.end;
		for (uint32_t k = 0; k < o->npkts; k++)
			s.of_psn[s.end++] = (uint16_t)i;
	}
}

/* Byte `at` of message i: a mark, or none; its number; the rest follows from that. */
static uint8_t byte_of(uint32_t i, uint32_t at)
{
	if (at == 0)
		return s.op[i].marked ? JUDGE_MARK : 1;
	if (at < 4)
		return 0;
	return at < 8 ? (uint8_t)((i + 1) >> 8 * (at - 4)) : (uint8_t)(i * 7 + at);
}

static uint8_t opcode(const struct op *o, uint32_t k)
{
	bool imm = o->kind == SEND_IMM || o->kind == WRITE_IMM, write = o->kind >= WRITE, last = k + 1 == o->npkts;

	if (o->kind >= READ)
		return o->kind == READ ? PHCA_RC_READ_REQ : PHCA_RC_FETCH_ADD;
	if (o->npkts == 1)
		return write ? imm ? PHCA_RC_WRITE_ONLY_IMM : PHCA_RC_WRITE_ONLY :
			imm ? PHCA_RC_SEND_ONLY_IMM : PHCA_RC_SEND_ONLY;
	if (last)
		return write ? imm ? PHCA_RC_WRITE_LAST_IMM : PHCA_RC_WRITE_LAST :
			imm ? PHCA_RC_SEND_LAST_IMM : PHCA_RC_SEND_LAST;
	if (k > 0)
		return write ? PHCA_RC_WRITE_MIDDLE : PHCA_RC_SEND_MIDDLE;
	return write ? PHCA_RC_WRITE_FIRST : PHCA_RC_SEND_FIRST;
}

static void send_psn(uint32_t psn)
{
	uint8_t frame[PHCA_WIRE_HDR_MAX + LAB_MTU + 64];
	uint32_t i = s.of_psn[psn], k = psn - s.op[i].psn, n, off;
	const struct op *o = &s.op[i];
	struct phca_wire_hdr h = rc_hdr(&s.c, opcode(o, k), psn);

	h.ackreq = k + 1u == o->npkts || rnd(2);
	h.imm = o->imm;
	h.va = (uintptr_t)s.c.q.buf + (o->kind == ADD ? COUNTER : FAR + o->slot * SLOT);
	h.dma_len = o->kind == READ ? READ_LEN : o->len;
	h.swap_add = 1;
	n = o->kind >= READ ? 0 : RTE_MIN(o->len - k * LAB_MTU, (uint32_t)LAB_MTU);
	off = phca_wire_build(frame, &h, n);
	for (uint32_t b = 0; b < n; b++)
		frame[off + b] = byte_of(i, k * LAB_MTU + b);
	lab_raw(s.c.l, frame, phca_wire_finish(frame, &h, n));
}

/* ---------------------------------------------------------------- the peer */

/* READs and atomics on their way. */
static unsigned int outstanding(void)
{
	unsigned int n = 0;

	for (uint32_t p = s.una; p < s.next; p++)
		n += s.op[s.of_psn[p]].kind >= READ;
	return n;
}

static void peer_sends(void)
{
	if (s.rnr > 0) {
		s.rnr--;
		return;
	}
	for (uint32_t n = rnd(7); n > 0 && s.next < s.end && s.next - s.una < AHEAD; n--) {
		if (s.op[s.of_psn[s.next]].kind >= READ && outstanding() >= LAB_RD_ATOMIC)
			break;
		if (rnd(12) != 0)
			send_psn(s.next);
		s.next++;
	}
	if (s.una > 0 && rnd(16) == 0) /* one of long ago */
		send_psn(s.una - 1 - rnd(RTE_MIN(s.una, 8u)));
	if (++s.quiet > 40) {
		s.next = s.una;
		s.quiet = 0;
		s.resent++;
	}
}

static void heard(uint32_t until)
{
	if (until <= s.una)
		return;
	s.una = until;
	s.next = RTE_MAX(s.next, s.una);
	s.quiet = 0;
}

static void answer(const uint8_t *frame, const struct phca_pkt *pkt)
{
	struct op *o = &s.op[s.of_psn[pkt->psn.v]];
	const struct phca_atomicacketh *a = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICACKETH);
	const uint8_t *p = frame + pkt->payload_off;
	uint64_t value = a ? phca_get64(a->orig) : 0;

	if (o->kind != (a ? ADD : READ)) {
		wrong("an answer to no question", pkt->psn.v, pkt->opcode);
		return;
	}
	if (a && o->answered && o->value != value)
		wrong("an atomic ran twice", o->value, value);
	if (!o->answered) {
		o->value = value;
		if (!a)
			o->seen = (uint32_t)p[4] | (uint32_t)p[5] << 8;
	}
	o->answered = true;
	heard(pkt->psn.v + 1);
}

static void peer_hears(void)
{
	struct rte_mbuf *m;

	while ((m = lab_capture(s.c.l)) != NULL) {
		const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
		const struct phca_aeth *aeth;
		struct phca_pkt pkt;

		CU_ASSERT_EQUAL_FATAL(phca_wire_parse(frame, m->data_len, PHCA_PARSE_ICRC, &pkt), PHCA_V_OK);
		aeth = phca_pkt_hdr(frame, &pkt, PHCA_HDR_AETH);
		if (pkt.opcode != PHCA_RC_ACK) {
			answer(frame, &pkt);
		} else if ((aeth->syndrome & PHCA_AETH_KIND) == PHCA_AETH_ACK) {
			heard(pkt.psn.v + 1);
		} else if (aeth->syndrome == PHCA_NAK_SEQ || (aeth->syndrome & PHCA_AETH_KIND) == PHCA_AETH_RNR) {
			heard(pkt.psn.v);
			s.next = RTE_MAX(s.una, RTE_MIN(s.next, pkt.psn.v));
			s.rnr = aeth->syndrome == PHCA_NAK_SEQ ? 0 : rnd(5);
		} else if (s.short_id == UINT64_MAX || s.nak != 0) {
			wrong("refused", aeth->syndrome, pkt.psn.v);
		} else {
			heard(pkt.psn.v);
			s.nak = aeth->syndrome;
			s.nak_psn = pkt.psn.v;
		}
		rte_pktmbuf_free(m);
	}
}

/* ------------------------------------------------------------- the offload */

static enum judge_verdict decide(const struct phca_offload_req *req)
{
	struct op *o = &s.op[s.of_psn[req->pkt.psn.v]];

	if (o->submitted)
		wrong("it runs twice", req->pkt.psn.v, req->opcode);
	o->submitted = true;
	o->decided = rnd(2);
	if (!o->decided)
		return JUDGE_WAIT;
	o->consumed = o->kind < READ && rnd(3) == 0; /* done executes a READ or atomic, in no order */
	return o->consumed ? JUDGE_DONE : JUDGE_PASS;
}

static void decide_some(void)
{
	while (s.j->n > 0 && rnd(3) == 0) {
		unsigned int i = rnd(s.j->n), how = rnd(3);
		struct phca_offload_req *r = s.j->req[i];
		struct op *o = &s.op[s.of_psn[r->pkt.psn.v]];
		uint8_t bytes[3 * LAB_MTU];

		memmove(&s.j->req[i], &s.j->req[i + 1], (--s.j->n - i) * sizeof(s.j->req[0]));
		o->decided = true;
		if (how == 0 && o->kind < READ) {
			o->consumed = true;
			phca_offload_done(r, PHCA_WC_SUCCESS);
			s.done++;
		} else if (how == 1 && o->kind <= SEND_IMM) {
			o->other = 1 + rnd(sizeof(bytes));
			memset(bytes, (uint8_t)o->psn, sizeof(bytes));
			CU_ASSERT_EQUAL(phca_offload_deliver(r, bytes, o->other - 1), 0);
			s.other++;
		} else {
			CU_ASSERT_EQUAL(phca_offload_pass(r), 0);
			s.passed++;
		}
	}
}

/* --------------------------------------------------------- the application */

static bool takes_receive(const struct op *o)
{
	return o->kind != WRITE && o->kind < READ && !o->consumed;
}

static void content(const struct op *o, uint32_t i, const struct phca_wc *wc)
{
	const uint8_t *b = s.c.q.buf + wc->wr_id % BUFS * LAB_BUF;
	uint32_t len = o->other ? o->other - 1 : o->len;
	bool imm = o->kind == SEND_IMM || o->kind == WRITE_IMM;

	if (wc->byte_len != len)
		wrong("length", wc->byte_len, len);
	if (imm != !!(wc->wc_flags & PHCA_WC_F_WITH_IMM) || (imm && wc->imm != o->imm))
		wrong("immediate data", wc->imm, o->imm);
	if (wc->opcode != (o->kind == WRITE_IMM ? PHCA_WC_RECV_RDMA_WITH_IMM : PHCA_WC_RECV))
		wrong("opcode", wc->opcode, i);
	for (uint32_t k = 0; o->kind <= SEND_IMM && k < len; k++)
		if (b[k] != (o->other ? (uint8_t)o->psn : byte_of(i, k))) {
			wrong("other bytes", i, k);
			return;
		}
}

static void post(void)
{
	uint64_t id = s.c.q.next_id++;
	struct phca_sge sge = { (uintptr_t)s.c.q.buf + id % BUFS * LAB_BUF, LAB_BUF, s.c.q.lkey };
	struct phca_recv_wr wr = { id, &sge, 1 };

	if (id == s.short_id)
		sge.length = 4;
	CU_ASSERT_EQUAL(phca_post_recv(s.c.q.qp, &wr, 1), 1);
}

/* A receive that completed with an error: the one that was too short, or one behind it. */
static void failed(const struct phca_wc *wc)
{
	if (s.failed != 0 ? wc->status != PHCA_WC_WR_FLUSH_ERR :
	    wc->wr_id != s.short_id || wc->status != PHCA_WC_LOC_LEN_ERR)
		wrong("receive", wc->wr_id, wc->status);
	else if (s.failed == 0)
		s.failed = s.at + 1;
}

/* The connection failed with an operation. */
static void told(void)
{
	const struct op *o = &s.op[s.failed - 1];
	uint32_t end = o->psn + o->npkts;

	lab_turn(s.c.l, 8);
	peer_hears();
	s.refused++;
	if (s.nak != 0 && s.nak_psn >= o->psn && s.nak_psn < end) {
		s.told++;
		if (s.nak != PHCA_NAK_INV_REQ)
			wrong("NAK", s.nak, s.nak_psn);
	} else if (s.una < end || (s.nak != 0 && (s.nak_psn < end || s.nak != PHCA_NAK_REM_OP))) {
		wrong("what failed is not told", s.una, end);
	}
}

static void application(void)
{
	struct phca_wc wc;

	if (s.starve > 0)
		s.starve--;
	else if (rnd(200) == 0)
		s.starve = rnd(60);
	for (uint32_t n = rnd(3); n > 0 && s.starve == 0 && s.c.q.next_id - s.received < 20; n--)
		post();
	while (lab_poll(&s.c.q, &wc)) {
		if (wc.wr_id != s.received++)
			wrong("receive", wc.wr_id, wc.status);
		if (s.failed != 0) {
			failed(&wc);
			continue;
		}
		while (s.at < s.nb_ops && !takes_receive(&s.op[s.at]) &&
				(!s.op[s.at].submitted || s.op[s.at].decided))
			s.at++;
		if (s.at == s.nb_ops || (s.op[s.at].submitted && !s.op[s.at].decided)) {
			wrong("it overtook", s.at, s.nb_ops);
			return;
		}
		if (wc.status != PHCA_WC_SUCCESS) {
			failed(&wc);
			continue;
		}
		content(&s.op[s.at], s.at, &wc);
		s.at++;
	}
}

/* ---------------------------------------------------------------- a life */

static void step(void)
{
	peer_sends();
	lab_turn_hca(s.c.l, rnd(2));
	if (rnd(4) != 0)
		lab_turn_proxy(s.c.l, 1 + rnd(2));
	lab_turn_hca(s.c.l, 1);
	peer_hears();
	decide_some();
	application();
	if (rnd(300) == 0) {
		unsigned int n = rnd(3) == 0 ? 0 : 1u + s.answers;

		CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(s.c.q.qp, s.j->rule, n), 0);
	}
}

/* What READs and atomics brought, and what there is now. */
static void memory(void)
{
	uint64_t adds = 0, now, before = 0;
	uint32_t last[SLOTS] = { 0 };

	for (uint32_t i = 0; i < s.nb_ops; i++) {
		const struct op *o = &s.op[i];

		if ((o->kind == WRITE || o->kind == WRITE_IMM) && !o->consumed)
			last[o->slot] = i + 1;
		if (o->kind == READ && (!o->answered || o->seen < last[o->slot] || o->seen > s.nb_ops ||
				(o->seen > 0 && (s.op[o->seen - 1].slot != o->slot || s.op[o->seen - 1].consumed))))
			wrong("a READ saw", o->seen, last[o->slot]);
		if (o->kind == ADD && (!o->answered || o->value != adds++))
			wrong("an atomic brought", o->value, before);
		before = o->kind == ADD ? o->value : before;
	}
	memcpy(&now, s.c.q.buf + COUNTER, sizeof(now));
	if (now != adds)
		wrong("the counter is", now, adds);
	for (uint32_t k = 0; k < SLOTS; k++) {
		const uint8_t *p = s.c.q.buf + FAR + k * SLOT;
		uint32_t is = (uint32_t)p[4] | (uint32_t)p[5] << 8;

		if (is != last[k])
			wrong("the last WRITE was", is, last[k]);
	}
}

static bool over(void)
{
	if (s.una < s.end || s.j->n > 0)
		return false;
	lab_turn(s.c.l, 8); /* the last one may be acknowledged, and on its way */
	if (s.j->n > 0)
		return false;
	application();
	while (s.at < s.nb_ops && !takes_receive(&s.op[s.at]))
		s.at++;
	return s.at == s.nb_ops;
}

/* A connection to its end, or cut in the middle. */
static void life(bool cut)
{
	uint32_t steps = 0, most = cut ? rnd(400) : 200000;

	ops_make();
	s.una = s.next = s.rnr = s.quiet = s.at = s.failed = s.nak = 0;
	s.short_id = rnd(4) ? UINT64_MAX : s.c.q.next_id + rnd(20);
	memset(s.c.q.buf + FAR, 0, SLOTS * SLOT + 8);
	while (s.wrong == 0 && steps++ < most && s.failed == 0 && !over())
		step();
	if (s.failed != 0) {
		told();
	} else if (!cut) {
		if (!over())
			wrong("it does not end", s.una, s.end);
		memory();
	}
	lab_turn(s.c.l, rnd(4));
	lab_qp_restart(s.c.l, &s.c.q, PHCA_QPS_RTS, 0);
	CU_ASSERT_EQUAL(s.j->n, 0);
	lab_turn(s.c.l, 4);
	for (struct rte_mbuf *m; (m = lab_capture(s.c.l)) != NULL;)
		rte_pktmbuf_free(m);
	for (struct phca_wc wc; lab_poll(&s.c.q, &wc);)
		; /* of the life that was cut */
	s.received = s.c.q.next_id; /* forgotten by the reset */
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(s.c.q.qp, s.j->rule, 1u + s.answers), 0);
}

static void storm(bool answers, uint16_t max_held, uint64_t seed)
{
	struct lab_opts lo = { .max_held = max_held };
	unsigned int lives = phca_test_long() ? LIVES_LONG : LIVES;
	struct phca_qp_info info;

	s = (struct storm){ .rnd = seed, .answers = answers, .max_held = max_held };
	s.c = rc_open(&lo, 0);
	s.j = judge_open(s.c.l, answers);
	s.j->policy = decide;
	CU_ASSERT_FATAL(phca_qp_proxy_attach(s.c.q.qp, s.j->rule, 1u + answers, 0) == 0);
	for (unsigned int i = 0; i < lives && s.wrong == 0; i++)
		life(i % 3 == 2);
	CU_ASSERT_EQUAL(s.wrong, 0);
	info = lab_info(&s.c.q);
	printf("  pass_storm: %" PRIu64 " received, %" PRIu64 " direct, %" PRIu64 " behind, %" PRIu64 " passed; ",
		s.received, info.stats.rx_direct, info.stats.rx_ordered, info.stats.rx_passed);
	printf("%" PRIu64 " duplicates, %" PRIu64 " RNR NAKs, ", info.stats.rx_duplicates, info.stats.tx_rnr_naks);
	printf("%" PRIu64 " refused, of which %" PRIu64 " told\n", s.refused, s.told);
	/* it was not only noise */
	CU_ASSERT(info.stats.rx_direct > lives && info.stats.rx_ordered > lives && info.stats.rx_passed > lives);
	CU_ASSERT(info.stats.tx_rnr_naks > lives && info.stats.rx_duplicates > lives && info.stats.tx_naks > lives);
	CU_ASSERT(s.passed > lives && s.done > lives && s.other > lives && s.resent > 0);
	CU_ASSERT(s.refused > lives / 20 && s.told * 2 > s.refused);
	lab_qp_free(s.c.l, &s.c.q);
	judge_close(s.j);
	lab_close(s.c.l);
}

PHCA_TEST(pass_storm, the_application_cannot_tell)
{
	storm(false, 0, 23);
}

PHCA_TEST(pass_storm, the_application_cannot_tell_with_answers_offloaded)
{
	storm(true, 0, 42);
}

/* Messages that no rule matches, and that are longer. */
PHCA_TEST(pass_storm, the_application_cannot_tell_when_little_may_be_held)
{
	storm(false, 1, 77);
	storm(true, 2, 78);
}
