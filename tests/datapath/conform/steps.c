/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets and work requests of a ladder: a zero member of a step is what a right
 * packet has, so that a ladder only says what its clause is about.
 */
#include <string.h>

#include "conform.h"

static bool is_response(enum phca_opcode op)
{
	return phca_opcode_table[op].flags & PHCA_OPF_ACK;
}

static void fill(struct phca_wire_hdr *h, const struct given *g)
{
	h->va = g->va ? g->va : (uintptr_t)c.region + g->off;
	h->rkey = g->rkey ? g->rkey : c.rkey;
	h->dma_len = g->len0 ? 0 : g->len ? g->len : g->n;
	h->swap_add = g->add;
	h->cmp = g->cmp;
	h->syndrome = g->syndrome;
	h->msn = g->msn;
	h->imm = g->imm;
	h->inv_rkey = g->inv;
	h->pkey = g->pkey ? g->pkey : h->pkey;
	h->qkey = g->qkey ? g->qkey : h->qkey;
	h->sqpn = g->sqpn ? g->sqpn : h->sqpn;
	h->solicited = g->solicited;
	h->migreq = !g->migreq0;
	h->tclass = g->ecn;
	if (c.ip6) {
		h->ip6 = true;
		memcpy(h->sgid, c.attr.av.dgid, 16);
		memcpy(h->dgid, phca_net_gid(c.l->net, c.attr.av.sgid_index), 16);
	}
	if (g->from != 0)
		h->sgid[15] = g->from;
	if (g->to != NULL) {
		memcpy(h->dgid, g->to, 16);
		if (phca_gid_is_multicast(g->to))
			memcpy(h->dmac, (const uint8_t[]){ 1, 0, 0x5e, g->to[13] & 0x7f, g->to[14], g->to[15] }, 6);
	}
}

static void put(const struct phca_wire_hdr *h, const struct given *g)
{
	uint8_t frame[PHCA_WIRE_HDR_MAX + PHCA_MTU_MAX + 64];
	uint32_t off = phca_wire_build(frame, h, g->n), len;

	for (uint32_t i = 0; i < g->n; i++)
		frame[off + i] = (uint8_t)(g->seed + i);
	frame[off - phca_opcode_table[h->opcode].hdr_len + g->xor_at] ^= g->xor_with;
	len = phca_wire_finish(frame, h, g->n);
	frame[len - 1] ^= g->bad_icrc;
	if (g->xor_with == 0 && !g->bad_icrc)
		record('g', frame, len);
	lab_raw(c.l, frame, len);
}

void give_pkt(enum phca_opcode op, const struct given *g)
{
	const struct phca_opcode_info *info = &phca_opcode_table[op];
	struct phca_psn base;
	struct phca_wire_hdr h;

	begin();
	base = is_response(op) ? c.attr.sq_psn : c.attr.rq_psn;
	h = lab_hdr(c.l, op, g->qpn ? g->qpn : c.qpn, phca_psn_add(base, (uint32_t)g->psn).v);
	fill(&h, g);
	/* a requester asks for an acknowledgement at the end of its message */
	h.ackreq = g->ack || (info->transport == PHCA_TRANSPORT_RC && !is_response(op) &&
		(info->flags & PHCA_OPF_LAST) && !g->noack);
	put(&h, g);
	turns(2);
}

/* ------------------------------------------------------------ what comes */

static void check(struct at at, bool ok, const char *what, uint64_t got, uint64_t want)
{
	if (!ok)
		expect_int_at(at, what, (int64_t)got, (int64_t)want);
}

static void same(struct at at, const char *what, uint64_t got, uint64_t want)
{
	check(at, got == want, what, got, want);
}

static void check_aeth(struct at at, const struct phca_aeth *a, const struct wanted *w)
{
	bool ack = (w->syndrome & 0x60) == 0;

	same(at, "syndrome", ack ? a->syndrome & 0xe0 : a->syndrome, ack ? 0 : w->syndrome);
	if (!w->any_msn)
		same(at, "MSN", phca_get24(a->msn), w->msn & 0xffffff);
}

static void check_reth(struct at at, const struct phca_reth *r, const struct wanted *w)
{
	same(at, "RETH length", phca_get32(r->len), w->len);
	if (w->any_key)
		return;
	same(at, "RETH address", phca_get64(r->va), PEER_VA + w->off);
	same(at, "RETH rkey", phca_get32(r->rkey), PEER_RKEY);
}

static void check_atomic(struct at at, const struct phca_atomiceth *a, const struct wanted *w)
{
	same(at, "AtomicETH address", phca_get64(a->va), PEER_VA + w->off);
	same(at, "AtomicETH rkey", phca_get32(a->rkey), PEER_RKEY);
	same(at, "AtomicETH swap or add", phca_get64(a->swap_add), w->add);
	same(at, "AtomicETH compare", phca_get64(a->cmp), w->cmp);
}

static void check_bth(struct at at, const struct phca_pkt *p, enum phca_opcode op, const struct wanted *w)
{
	struct phca_psn base = is_response(op) ? c.attr.rq_psn : c.attr.sq_psn;

	same(at, "opcode", p->opcode, op);
	same(at, "PSN", (uint64_t)phca_psn_diff(p->psn, base), (uint64_t)w->psn);
	same(at, "destination QP", p->dqpn, w->dqpn ? w->dqpn : LAB_PEER_QPN);
	same(at, "P_Key", p->pkey, w->pkey ? w->pkey : PHCA_PKEY_DEFAULT);
	same(at, "payload", p->payload_len, w->n);
	same(at, "pad count", p->pad, (0u - w->n) & 3);
	same(at, "SE", (p->flags & PHCA_PKT_SOLICITED) != 0, w->solicited);
	if (w->ackreq)
		same(at, "AckReq", (p->flags & PHCA_PKT_ACKREQ) != 0, 1);
}

static void check_ext(struct at at, const void *frame, const struct phca_pkt *p, const struct wanted *w)
{
	const struct phca_immdt *imm = phca_pkt_hdr(frame, p, PHCA_HDR_IMMDT);
	const struct phca_ieth *ieth = phca_pkt_hdr(frame, p, PHCA_HDR_IETH);
	const struct phca_deth *deth = phca_pkt_hdr(frame, p, PHCA_HDR_DETH);
	const struct phca_aeth *aeth = phca_pkt_hdr(frame, p, PHCA_HDR_AETH);
	const struct phca_reth *reth = phca_pkt_hdr(frame, p, PHCA_HDR_RETH);
	const struct phca_atomiceth *ath = phca_pkt_hdr(frame, p, PHCA_HDR_ATOMICETH);
	const struct phca_atomicacketh *orig = phca_pkt_hdr(frame, p, PHCA_HDR_ATOMICACKETH);

	if (imm != NULL)
		same(at, "immediate", memcmp(imm->imm, &w->imm, 4) != 0, 0);
	if (ieth != NULL)
		same(at, "IETH rkey", phca_get32(ieth->rkey), w->inv);
	if (deth != NULL) {
		same(at, "Q_Key", phca_get32(deth->qkey), w->qkey ? w->qkey : LAB_QKEY);
		same(at, "source QP", phca_get24(deth->sqpn), c.qpn);
	}
	if (aeth != NULL)
		check_aeth(at, aeth, w);
	if (reth != NULL)
		check_reth(at, reth, w);
	if (ath != NULL)
		check_atomic(at, ath, w);
	if (orig != NULL)
		same(at, "AtomicAckETH", phca_get64(orig->orig), w->cmp);
}

void expect_pkt_at(struct at at, enum phca_opcode op, const struct wanted *w)
{
	char text[80];
	struct phca_pkt p;
	struct rte_mbuf *m;
	const uint8_t *frame;

	turns(3);
	snprintf(text, sizeof(text), "a packet %s comes", phca_opcode_table[op].name);
	m = lab_capture(c.l);
	CU_assertImplementation(m != NULL, at.line, text, at.file, "", CU_FALSE);
	if (m == NULL)
		return;
	frame = rte_pktmbuf_mtod(m, const uint8_t *);
	record('s', frame, m->data_len);
	expect_int_at(at, "phca_wire_parse", phca_wire_parse(frame, m->data_len, PHCA_PARSE_ICRC, &p), PHCA_V_OK);
	check_bth(at, &p, op, w);
	if (p.opcode == op)
		check_ext(at, frame, &p, w);
	if (p.payload_len == w->n)
		same(at, "payload as posted", lab_is(frame + p.payload_off, w->n, w->seed), 1);
	rte_pktmbuf_free(m);
}

/* The next packet that came, parsed. @return whether there was one */
static bool next(struct phca_pkt *p, uint8_t *syndrome)
{
	struct rte_mbuf *m = lab_capture(c.l);
	const struct phca_aeth *a;
	const uint8_t *frame;

	if (m == NULL)
		return false;
	frame = rte_pktmbuf_mtod(m, const uint8_t *);
	record('s', frame, m->data_len);
	if (phca_wire_parse(frame, m->data_len, PHCA_PARSE_ICRC, p) != PHCA_V_OK)
		memset(p, 0xff, sizeof(*p));
	a = phca_pkt_hdr(frame, p, PHCA_HDR_AETH);
	*syndrome = a != NULL ? a->syndrome : ACK;
	rte_pktmbuf_free(m);
	return true;
}

struct sent collect(void)
{
	struct sent s = { .n = 0 };
	struct phca_pkt p;
	uint8_t syndrome;

	for (unsigned int i = 0; i < 16; i++) {
		turns(8);
		while (next(&p, &syndrome)) {
			s.last = phca_psn_diff(p.psn, c.attr.sq_psn);
			s.first = s.n++ == 0 ? s.last : s.first;
			s.ackreqs += (p.flags & PHCA_PKT_ACKREQ) != 0;
		}
	}
	return s;
}

unsigned int cnps(void)
{
	unsigned int n = 0;
	struct phca_pkt p;
	uint8_t syndrome;

	turns(3);
	while (next(&p, &syndrome))
		n += p.opcode == PHCA_CNP && p.dqpn == LAB_PEER_QPN && p.flags & PHCA_PKT_BECN;
	return n;
}

void expect_order_at(struct at at, const int32_t *psn, unsigned int n)
{
	struct phca_pkt p;
	uint8_t syndrome;

	turns(3);
	for (unsigned int i = 0; i < n; i++) {
		if (!next(&p, &syndrome)) {
			expect_int_at(at, "packets", i, n);
			return;
		}
		same(at, "PSN in order", (uint64_t)phca_psn_diff(p.psn, c.attr.rq_psn), (uint64_t)psn[i]);
	}
	expect_silence_at(at);
}

void expect_no_payload_at(struct at at)
{
	struct phca_pkt p;
	uint8_t syndrome;

	turns(3);
	while (next(&p, &syndrome)) {
		same(at, "opcode of an answer", p.opcode, PHCA_RC_ACK);
		same(at, "payload of an answer", p.payload_len, 0);
	}
	expect_int_at(at, "answers left", 0, 0);
}

void expect_no_ack_of_at(struct at at, int32_t psn)
{
	struct phca_pkt p;
	uint8_t syndrome;

	turns(3);
	while (next(&p, &syndrome))
		if ((syndrome & 0x60) == 0 && phca_psn_diff(p.psn, c.attr.rq_psn) >= psn)
			expect_int_at(at, "PSN acknowledged", phca_psn_diff(p.psn, c.attr.rq_psn), psn - 1);
	expect_int_at(at, "answers left", 0, 0);
}

void expect_silence_at(struct at at)
{
	struct phca_pkt p = { .opcode = 0 };
	struct rte_mbuf *m;
	char text[120];

	turns(3);
	m = lab_capture(c.l);
	if (m != NULL)
		phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, 0, &p);
	snprintf(text, sizeof(text), "no packet comes (but %s, PSN 0x%x)",
		m ? phca_opcode_table[p.opcode].name : "-", p.psn.v);
	CU_assertImplementation(m == NULL, at.line, text, at.file, "", CU_FALSE);
	rte_pktmbuf_free(m);
}

void expect_nothing_at(struct at at)
{
	expect_silence_at(at);
	expect_no_completion_at(at);
}

/* -------------------------------------------------------- what is posted */

/* READs and atomics write where others read from. */
static bool is_read(enum phca_wr_opcode op)
{
	return op == PHCA_WR_RDMA_READ || op == PHCA_WR_ATOMIC_CMP_AND_SWP || op == PHCA_WR_ATOMIC_FETCH_AND_ADD;
}

static void peer_av(struct phca_send_wr *wr, const struct posted *p)
{
	wr->av = c.attr.av;
	wr->remote_qpn = p->dqpn ? p->dqpn : LAB_PEER_QPN;
	wr->remote_qkey = p->qkey ? p->qkey : LAB_QKEY;
}

/* A window onto n bytes of the region at off: rkey, swap its new rkey, add the rights. */
static void bind_wr(struct phca_send_wr *wr, const struct posted *p)
{
	wr->num_sge = 0;
	wr->bind.addr = (uintptr_t)c.region + p->off;
	wr->bind.length = p->n;
	wr->bind.rkey = p->rkey;
	wr->bind.new_rkey = (uint32_t)p->swap;
	wr->bind.lkey = p->lkey ? p->lkey : c.rkey;
	wr->bind.access = (uint32_t)p->add;
}

void post_wr(enum phca_wr_opcode op, const struct posted *p)
{
	struct phca_sge sge[PHCA_SGE_MAX];
	uint32_t k = p->n == 0 && p->nb_sge == 0 ? 0 : p->nb_sge == 0 ? 1 : p->nb_sge;
	/* data of each WR has its place, so that a retransmission finds it */
	uint8_t *data = is_read(op) ? c.local + p->off : c.local + (c.nb_sent % 8) * 4096;
	struct phca_send_wr wr = {
		.wr_id = c.nb_sent++, .sge = sge, .num_sge = k, .opcode = op, .imm = p->imm,
		.flags = p->flags | (p->unsignaled ? 0 : PHCA_SEND_SIGNALED), .remote_addr = PEER_VA + p->off,
		.rkey = p->inv ? p->inv : p->rkey ? p->rkey : PEER_RKEY, .compare_add = p->add, .swap = p->swap,
	};

	begin();
	if (p->flags & PHCA_SEND_INLINE) {
		wr.num_sge = 0;
		wr.inline_data = data;
		wr.inline_len = p->n;
	}
	for (uint32_t i = 0; !is_read(op) && i < p->n && i < REGION / 2; i++)
		data[i] = (uint8_t)(p->seed + i);
	for (uint32_t i = 0; i < k; i++)
		sge[i] = (struct phca_sge){ (uintptr_t)data + (uint64_t)p->n / k * i,
			i + 1 == k ? p->n - p->n / k * i : p->n / k, p->lkey ? p->lkey : c.lkey };
	if (c.type == PHCA_QPT_UD)
		peer_av(&wr, p);
	if (op == PHCA_WR_BIND_MW)
		bind_wr(&wr, p);
	c.sent_op[wr.wr_id % RTE_DIM(c.sent_op)] = (uint8_t)op;
	c.sent_len[wr.wr_id % RTE_DIM(c.sent_op)] = p->n;
	expect_int(phca_post_send(c.qp, &wr, 1), 1);
	turns(2);
}
