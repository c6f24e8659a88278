/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A seeded storm of right and wrong packets at plain and proxy queue pairs,
 * against a model of the responder. The model is written from the specification
 * (9.6 to 9.8.3, C9-88, 10.9.3) and from the list of verdicts, not from lib/hca:
 * it says of each packet which verdict it or its held message gets, and which
 * completion follows, and it compares what the receive buffers then hold.
 */
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "phca_drivers.h"

#define PACKETS 200000
#define NB_QPS 7
#define SLOTS 32          /* receives posted at most */
#define MSG_MAX 6         /* packets of a message that the sender makes */
#define REGION 32768      /* bytes that WRITEs may go to */
#define GUARD 4096        /* bytes on both sides that they may not */
#define FILL 0xa5
#define OFFLOAD_LEN 700   /* messages from here on match the proxy QPs' rule */
#define MAX_HELD 4        /* packets of an offloaded message */

/* What the model knows of a queue pair. */
struct mq {
	struct lab_qp q;
	bool ud, proxy, deaf;    /* deaf: in INIT */
	/* receives: ids used .. posted */
	uint64_t posted, used;
	uint32_t cap[SLOTS];     /* bytes of each */
	/* responder */
	enum { IDLE, IN_SEND, IN_WRITE, DROPPING } state;
	bool offload;
	enum phca_verdict why;   /* DROPPING */
	uint32_t epsn, len, dma_len, held, va_off;
	uint8_t msg[MSG_MAX * LAB_MTU + LAB_MTU + 64];
	uint64_t dropped, direct, offloaded;
	/* sender: the message that it is in */
	unsigned int left, total;
	bool write, imm;
	uint32_t psn, last_len;
};

struct expected {
	uint64_t wr_id;
	uint32_t qp, byte_len, opcode, imm, flags, src_qp;
};

struct storm {
	struct lab *l;
	uint64_t rnd;
	struct mq m[NB_QPS];
	uint64_t verdict[PHCA_V_COUNT];
	uint8_t *region;         /* GUARD, REGION, GUARD */
	uint32_t rkey;
	struct expected exp[64];
	unsigned int nb_exp;
	bool contents;           /* one packet a turn: buffers can be compared */
	uint64_t bad;
};

static uint32_t rnd(struct storm *s, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&s->rnd) >> 16) % n;
}

static bool chance(struct storm *s, uint32_t percent)
{
	return rnd(s, 100) < percent;
}

/* --- the packet, as the sender means it */

struct shot {
	struct phca_wire_hdr h;
	uint32_t len;
	uint8_t payload[LAB_MTU + 64];
	struct mq *m;            /* NULL: to nobody */
	enum { WHOLE, BIT_FLIPPED, CUT, BAD_OPCODE } damage;
};

/* Facts of a UC opcode's low bits (9.2.1, table 38). */
static bool op_first(uint8_t op) { op &= 0x1f; return op == 0 || op == 4 || op == 5 || op == 6 || op >= 0xa; }
static bool op_last(uint8_t op) { op &= 0x1f; return op != 0 && op != 1 && op != 6 && op != 7; }
static bool op_write(uint8_t op) { return (op & 0x1f) >= 6; }
static bool op_imm(uint8_t op) { op &= 0x1f; return op == 3 || op == 5 || op == 9 || op == 0xb; }

static uint8_t uc_op(bool write, bool first, bool last, bool imm)
{
	uint8_t op = first ? last ? 4 + imm : 0 : last ? 2 + imm : 1;

	return 0x20 | (uint8_t)(write ? op + 6 : op);
}

static void natural_uc(struct storm *s, struct mq *m, struct shot *p)
{
	bool first = m->left == 0, last;

	if (first) {
		m->total = m->left = chance(s, 50) ? 1 : 1 + rnd(s, MSG_MAX);
		m->write = chance(s, 40);
		m->imm = chance(s, 40);
		m->last_len = m->left == 1 ? rnd(s, LAB_MTU + 1) : 1 + rnd(s, LAB_MTU);
	}
	last = --m->left == 0;
	p->h.opcode = uc_op(m->write, first, last, m->imm);
	p->h.psn = phca_psn(m->psn++);
	p->len = last ? m->last_len : LAB_MTU;
	p->h.rkey = s->rkey;
	p->h.dma_len = (m->total - 1) * LAB_MTU + m->last_len;
	p->h.va = (uintptr_t)s->region + GUARD + rnd(s, REGION - MSG_MAX * LAB_MTU);
}

/* What a faulty or hostile peer makes of it. */
static void mutate(struct storm *s, struct shot *p)
{
	if (chance(s, 4))
		p->h.psn = phca_psn(p->h.psn.v + 1 + rnd(s, 5));
	if (chance(s, 4) && !p->m->ud)
		p->h.opcode = 0x20 + (uint8_t)rnd(s, 12);
	if (chance(s, 1))
		p->h.opcode = p->m->ud ? PHCA_UC_SEND_ONLY : PHCA_UD_SEND_ONLY;
	if (chance(s, 1))
		p->h.opcode = PHCA_RC_SEND_ONLY;
	if (chance(s, 4))
		p->len = chance(s, 50) ? rnd(s, LAB_MTU + 40) : LAB_MTU - 4 + 8 * rnd(s, 2);
	if (chance(s, 1))
		p->len = 0;
	if (chance(s, 2))
		p->h.dma_len += chance(s, 50) ? 1 + rnd(s, 2000) : 0u - 1 - rnd(s, 10);
	if (chance(s, 1))
		p->h.dma_len = 0x80000001u + rnd(s, 100);
	if (chance(s, 2))
		p->h.rkey ^= 1u << rnd(s, 32);
	if (chance(s, 1))
		p->h.va = chance(s, 50) ? UINT64_MAX - rnd(s, 64) : p->h.va - GUARD - REGION;
	if (chance(s, 1))
		p->h.va = (uintptr_t)s->region + GUARD + REGION - rnd(s, 64);
	if (chance(s, 1))
		p->h.pkey = chance(s, 50) ? 0x7fff : 0x8001;
	if (chance(s, 3))
		p->h.qkey ^= 1u << rnd(s, 32);
	if (chance(s, 2))
		p->damage = 1 + rnd(s, 3);
}

static void shot_make(struct storm *s, struct shot *p)
{
	struct mq *m = &s->m[rnd(s, NB_QPS)];

	memset(p, 0, offsetof(struct shot, payload));
	p->m = m;
	p->damage = WHOLE;
	p->h = lab_hdr(s->l, PHCA_UD_SEND_ONLY, m->q.qpn, rnd(s, 1 << 24));
	p->h.sqpn = rnd(s, 1 << 24);
	p->h.imm = rnd(s, UINT32_MAX);
	p->h.solicited = chance(s, 20);
	if (m->ud) {
		p->h.opcode = chance(s, 50) ? PHCA_UD_SEND_ONLY : PHCA_UD_SEND_ONLY_IMM;
		p->len = chance(s, 30) ? rnd(s, 20) : rnd(s, LAB_MTU + 4);
	} else {
		natural_uc(s, m, p);
		if (chance(s, 2) && m->left > 0) { /* lost on the way */
			m->left--, m->psn++;
			if (m->left == 0)
				p->h.opcode = uc_op(m->write, false, true, m->imm), p->len = m->last_len;
		}
	}
	mutate(s, p);
	for (uint32_t i = 0; i < p->len; i++)
		p->payload[i] = (uint8_t)phca_test_rand(&s->rnd);
	if (chance(s, 1)) {
		p->h.dqpn = chance(s, 50) ? 0xffffffu : 0x4000 + rnd(s, 1000);
		p->m = NULL;
	}
}

static void shot_send(struct storm *s, const struct shot *p)
{
	uint8_t frame[PHCA_WIRE_HDR_MAX + sizeof(p->payload) + 8];
	uint32_t off = phca_wire_build(frame, &p->h, p->len), n;

	memcpy(frame + off, p->payload, p->len);
	n = phca_wire_finish(frame, &p->h, p->len);
	if (p->damage == BIT_FLIPPED)
		frame[off + rnd(s, n - off)] ^= (uint8_t)(1u << rnd(s, 8));
	else if (p->damage == CUT)
		n -= 1 + rnd(s, 8);
	else if (p->damage == BAD_OPCODE)
		frame[14 + 20 + 8] = 0x3f;
	lab_raw(s->l, frame, n);
}

/* --- the model */

static void count(struct storm *s, enum phca_verdict v, uint64_t n)
{
	s->verdict[v] += n;
}

static void drop(struct storm *s, struct mq *m, enum phca_verdict v, bool last)
{
	count(s, v, 1 + m->held);
	m->held = 0;
	m->dropped++;
	m->why = v;
	m->state = last ? IDLE : DROPPING;
}

static void expect(struct storm *s, struct mq *m, const struct shot *p, uint32_t byte_len, bool write)
{
	struct expected *e = &s->exp[s->nb_exp++];

	*e = (struct expected){
		.wr_id = m->used++, .qp = (uint32_t)(m - s->m), .byte_len = byte_len,
		.opcode = write ? PHCA_WC_RECV_RDMA_WITH_IMM : PHCA_WC_RECV,
		.flags = (m->ud ? PHCA_WC_F_GRH : 0) |
			((m->ud ? p->h.opcode & 1 : op_imm(p->h.opcode)) ? PHCA_WC_F_WITH_IMM : 0),
		.src_qp = m->ud ? p->h.sqpn : LAB_PEER_QPN,
	};
	e->imm = e->flags & PHCA_WC_F_WITH_IMM ? p->h.imm : 0;
}

/* 9.8.3.2: Q_Key, length, receive; else dropped in silence. */
static void model_ud(struct storm *s, struct mq *m, const struct shot *p)
{
	enum phca_verdict v = PHCA_V_DIRECT;

	if (p->h.qkey != LAB_QKEY)
		v = PHCA_V_QKEY;
	else if (p->len > LAB_MTU)
		v = PHCA_V_LENGTH;
	else if (m->proxy && p->len >= OFFLOAD_LEN)
		v = PHCA_V_OFFLOADED;
	else if (m->posted == m->used)
		v = PHCA_V_NO_RECV;
	else if (m->cap[m->used % SLOTS] < PHCA_GRH_LEN + p->len)
		v = PHCA_V_LENGTH;
	count(s, v, 1);
	if (v == PHCA_V_OFFLOADED) {
		m->offloaded++;
	} else if (v == PHCA_V_DIRECT) {
		m->direct++;
		memcpy(m->msg, p->payload, p->len);
		expect(s, m, p, PHCA_GRH_LEN + p->len, false);
	} else {
		m->dropped++;
	}
}

/* 9.8.2.2.5 and C9-88: the key of an empty WRITE is not looked at. */
static bool write_ok(const struct storm *s, const struct shot *p)
{
	uint64_t lo = (uintptr_t)s->region + GUARD;

	return p->h.dma_len == 0 || (p->h.rkey == s->rkey && p->h.va >= lo &&
		p->h.va - lo <= REGION && p->h.dma_len <= REGION - (p->h.va - lo));
}

/* The start of a message: PHCA_V_OK, or why it is dropped. */
static enum phca_verdict uc_begin(struct storm *s, struct mq *m, const struct shot *p, bool last)
{
	bool write = op_write(p->h.opcode);

	m->len = 0;
	m->offload = m->proxy && (write ? p->h.dma_len : p->len) >= OFFLOAD_LEN;
	if (write) {
		if (p->h.dma_len > 1u << 31 || (last ? p->h.dma_len != p->len : p->h.dma_len <= p->len))
			return PHCA_V_LENGTH;
		if (!write_ok(s, p))
			return PHCA_V_RKEY;
		m->dma_len = p->h.dma_len;
		m->va_off = (uint32_t)(p->h.va - (uintptr_t)s->region);
	} else if (!m->offload && m->posted == m->used) {
		return PHCA_V_NO_RECV;
	}
	return PHCA_V_OK;
}

/* The packet is part of a message that goes on. */
static void uc_accept(struct storm *s, struct mq *m, const struct shot *p, bool last)
{
	bool write = m->state == IN_WRITE;
	bool recv = last && (!write || op_imm(p->h.opcode));
	uint64_t total = (uint64_t)m->len + p->len;

	if (write ? last ? total != m->dma_len : total >= m->dma_len :
	    !m->offload && total > m->cap[m->used % SLOTS]) {
		drop(s, m, PHCA_V_LENGTH, last);
		return;
	}
	if (m->offload) {
		if (m->held == MAX_HELD) {
			drop(s, m, PHCA_V_PROXY_TOO_LONG, last);
			return;
		}
		m->held++;
		m->len += p->len;
		if (last) {
			count(s, PHCA_V_OFFLOADED, m->held);
			m->offloaded++;
			m->held = 0;
			m->state = IDLE;
		}
		return;
	}
	if (recv && m->posted == m->used) {
		drop(s, m, PHCA_V_NO_RECV, last);
		return;
	}
	if (write && s->contents && p->len > 0) {
		lab_turn(s->l, 2);
		s->bad += memcmp(s->region + m->va_off + m->len, p->payload, p->len) != 0;
	}
	memcpy(m->msg + m->len, p->payload, p->len);
	m->len += p->len;
	count(s, PHCA_V_DIRECT, 1);
	if (!last)
		return;
	m->direct++;
	m->state = IDLE;
	if (recv)
		expect(s, m, p, m->len, write);
}

/* 9.8.2.2: PSN, opcode sequence, length, rights. */
static void model_uc(struct storm *s, struct mq *m, const struct shot *p)
{
	bool first = op_first(p->h.opcode), last = op_last(p->h.opcode);
	enum phca_verdict v;

	if (first) {
		if (m->state == IN_SEND || m->state == IN_WRITE) {
			m->dropped++;
			count(s, PHCA_V_ABORTED, m->held);
			m->held = 0;
		}
		m->state = op_write(p->h.opcode) ? IN_WRITE : IN_SEND;
	} else if (m->state == IDLE) {
		drop(s, m, PHCA_V_SEQUENCE, last);
		return;
	} else if (m->state == DROPPING) {
		count(s, m->why, 1);
		m->state = last ? IDLE : DROPPING;
		return;
	} else if (p->h.psn.v != m->epsn) {
		drop(s, m, PHCA_V_PSN, last);
		return;
	} else if (op_write(p->h.opcode) != (m->state == IN_WRITE)) {
		drop(s, m, PHCA_V_SEQUENCE, last);
		return;
	}
	m->epsn = (p->h.psn.v + 1) & 0xffffff;
	if (last ? p->len > LAB_MTU || (!first && p->len == 0) : p->len != LAB_MTU) {
		drop(s, m, PHCA_V_LENGTH, last);
		return;
	}
	v = first ? uc_begin(s, m, p, last) : PHCA_V_OK;
	if (v != PHCA_V_OK)
		drop(s, m, v, last);
	else
		uc_accept(s, m, p, last);
}

static void model(struct storm *s, const struct shot *p)
{
	uint8_t op = p->h.opcode;
	struct mq *m = p->m;

	if (p->damage == CUT)
		count(s, PHCA_V_IP4_LENGTH, 1);
	else if (p->damage == BAD_OPCODE)
		count(s, PHCA_V_OPCODE, 1);
	else if (p->damage == BIT_FLIPPED)
		count(s, PHCA_V_ICRC, 1);
	else if (m == NULL)
		count(s, p->h.dqpn == PHCA_QPN_MULTICAST ? PHCA_V_MCAST : PHCA_V_QPN, 1);
	else if (op >> 5 != (m->ud ? PHCA_TRANSPORT_UD : PHCA_TRANSPORT_UC))
		count(s, PHCA_V_QP_TRANSPORT, 1);
	else if (m->deaf)
		count(s, PHCA_V_QP_STATE, 1);
	else if (p->h.pkey != 0xffff && p->h.pkey != 0x7fff) /* ours is a full member */
		count(s, PHCA_V_PKEY, 1);
	else if (m->ud)
		model_ud(s, m, p);
	else
		model_uc(s, m, p);
}

/* --- receives and completions */

/* A receive of some bytes in one to three elements that lie side by side. */
static void post(struct storm *s, struct mq *m)
{
	static const uint32_t caps[] = { 16, 60, 200, 1064, 1064, 4096, LAB_BUF };
	uint32_t cap = caps[rnd(s, 7)], at = 0;
	uint8_t *buf = lab_buf(&m->q, m->posted);
	struct phca_sge sge[3];
	struct phca_recv_wr wr = { m->posted, sge, 1 + rnd(s, 3) };

	memset(buf, FILL, LAB_BUF);
	for (uint32_t i = 0; i < wr.num_sge; i++) {
		uint32_t n = i + 1 == wr.num_sge ? cap - at : rnd(s, cap - at + 1);

		sge[i] = (struct phca_sge){ (uintptr_t)buf + at, n, m->q.lkey };
		at += n;
	}
	m->cap[m->posted % SLOTS] = cap;
	CU_ASSERT_EQUAL(phca_post_recv(m->q.qp, &wr, 1), 1);
	m->posted++;
}

static void check_contents(struct storm *s, const struct mq *m, const struct expected *e)
{
	const uint8_t *buf = lab_buf(&m->q, e->wr_id);
	uint32_t skip = m->ud ? PHCA_GRH_LEN : 0;

	if (e->opcode == PHCA_WC_RECV)
		s->bad += memcmp(buf + skip, m->msg, e->byte_len - skip) != 0;
	if (m->ud) /* IPv4 header in the second half (A17.4.5.1) */
		s->bad += buf[0] != 0 || buf[20] != 0x45;
	for (uint32_t i = m->cap[e->wr_id % SLOTS]; i < LAB_BUF; i++)
		s->bad += buf[i] != FILL;
}

static void completions(struct storm *s)
{
	for (unsigned int i = 0; i < s->nb_exp; i++) {
		const struct expected *e = &s->exp[i];
		struct mq *m = &s->m[e->qp];
		struct phca_wc wc;

		if (!lab_poll(&m->q, &wc)) {
			s->bad++;
			continue;
		}
		s->bad += wc.wr_id != e->wr_id || wc.status != PHCA_WC_SUCCESS || wc.opcode != e->opcode ||
			wc.byte_len != e->byte_len || wc.wc_flags != e->flags || wc.imm != e->imm ||
			wc.src_qp != e->src_qp || wc.qp_num != m->q.qpn;
		if (s->contents)
			check_contents(s, m, e);
	}
	s->nb_exp = 0;
	for (unsigned int i = 0; i < NB_QPS; i++) {
		struct phca_wc wc;

		s->bad += lab_poll(&s->m[i].q, &wc);
	}
}

/* @return whether HCA and model agree; says what does not. */
static bool agree(struct storm *s, uint64_t at)
{
	struct phca_port_stats st;
	bool same = s->bad == 0;

	phca_port_stats_get(s->l->hca, 0, &st);
	if (s->bad > 0)
		printf("  packet %lu: completions or contents differ\n", (unsigned long)at);
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++) {
		if (st.verdict[v] == s->verdict[v])
			continue;
		printf("  packet %lu: verdict %s: %lu, model %lu\n", (unsigned long)at, phca_verdict_str(v),
			(unsigned long)st.verdict[v], (unsigned long)s->verdict[v]);
		same = false;
	}
	return same;
}

/* --- the storm */

static struct phca_offload *storm_qps(struct storm *s)
{
	struct phca_filter_param p = { .name = "min_len", .kind = PHCA_FV_UINT, .u = OFFLOAD_LEN };
	struct phca_offload *o = lab_offload(s->l, "o", phca_offload_driver_find("null"), NULL, 0, 0);
	struct phca_rule r = { .name = "big", .inbound = true, .offload = o };

	r.filter = lab_filter(s->l, "by_size", &p, 1);
	for (unsigned int i = 0; i < NB_QPS; i++) {
		struct phca_qp_attr a = { .state = PHCA_QPS_RESET, .pkey = 0xffff };
		struct mq *m = &s->m[i];

		m->ud = i >= 4 && i < 6;
		m->proxy = i & 1;
		m->deaf = i == 6;
		m->q = lab_qp(s->l, m->ud ? PHCA_QPT_UD : PHCA_QPT_UC, 0);
		m->psn = rnd(s, 1 << 24);
		if (m->proxy)
			CU_ASSERT_FATAL(phca_qp_proxy_attach(m->q.qp, &r, 1, 1024) == 0);
		if (!m->deaf)
			continue;
		CU_ASSERT_EQUAL(phca_qp_modify(m->q.qp, &a, PHCA_QP_STATE), 0);
		a.state = PHCA_QPS_INIT;
		CU_ASSERT_EQUAL(phca_qp_modify(m->q.qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	}
	s->region = malloc(REGION + 2 * GUARD);
	CU_ASSERT_FATAL(s->region != NULL);
	memset(s->region, FILL, REGION + 2 * GUARD);
	CU_ASSERT_FATAL(phca_mr_reg(s->l->mem, s->l->pd, s->region + GUARD, REGION, (uintptr_t)s->region + GUARD,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &s->rkey) == 0);
	return o;
}

static void storm_end(struct storm *s, struct phca_offload *o)
{
	for (unsigned int i = 0; i < GUARD; i++)
		s->bad += s->region[i] != FILL || s->region[GUARD + REGION + i] != FILL;
	CU_ASSERT_EQUAL(s->bad, 0);
	for (unsigned int i = 0; i < NB_QPS; i++) {
		struct phca_qp_stats st = lab_info(&s->m[i].q).stats;

		CU_ASSERT_EQUAL(st.rx_direct, s->m[i].direct);
		CU_ASSERT_EQUAL(st.rx_offloaded, s->m[i].offloaded);
		CU_ASSERT_EQUAL(st.rx_dropped, s->m[i].dropped);
		lab_qp_free(s->l, &s->m[i].q);
	}
	CU_ASSERT_EQUAL(phca_mr_dereg(s->l->mem, s->rkey), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), 0);
	lab_close(s->l);
	free(s->region);
}

static void storm(uint64_t seed, uint64_t packets, unsigned int burst)
{
	static struct storm s;
	static struct shot p;
	struct phca_offload *o;
	uint64_t n = 0;

	memset(&s, 0, sizeof(s));
	s.rnd = seed;
	s.contents = burst == 1;
	s.l = lab_open(&(struct lab_opts){ .max_held = MAX_HELD, .ring_size = 1024 });
	o = storm_qps(&s);
	while (n < packets) {
		for (unsigned int i = 0; i < NB_QPS; i++)
			while (!s.m[i].deaf && s.m[i].posted - s.m[i].used < SLOTS && chance(&s, burst == 1 ? 2 : 15))
				post(&s, &s.m[i]);
		for (unsigned int i = 0; i < burst; i++) {
			shot_make(&s, &p);
			shot_send(&s, &p);
			model(&s, &p);
		}
		n += burst;
		lab_turn(s.l, 2);
		completions(&s);
		if (!agree(&s, n)) {
			CU_FAIL("the HCA and the model of the specification disagree");
			break;
		}
	}
	for (unsigned int v = 0; v < PHCA_V_COUNT && n >= 20000; v++) /* the storm reaches all that it means to */
		if (v == PHCA_V_DIRECT || v == PHCA_V_OFFLOADED || v == PHCA_V_ABORTED ||
		    (v >= PHCA_V_QPN && v <= PHCA_V_QKEY) || v == PHCA_V_PSN || v == PHCA_V_SEQUENCE ||
		    v == PHCA_V_LENGTH || v == PHCA_V_RKEY || v == PHCA_V_NO_RECV || v == PHCA_V_PROXY_TOO_LONG)
			if (s.verdict[v] <= 20) {
				printf("  verdict %s: %lu\n", phca_verdict_str(v), (unsigned long)s.verdict[v]);
				CU_FAIL("the storm does not reach a verdict that it means to");
			}
	storm_end(&s, o);
}

PHCA_TEST(storm, every_packet_as_the_model_says)
{
	storm(1, phca_test_long() ? 10 * PACKETS : PACKETS, 1);
}

PHCA_TEST(storm, bursts_as_the_model_says)
{
	storm(2, phca_test_long() ? 10 * PACKETS : PACKETS, 32);
}
