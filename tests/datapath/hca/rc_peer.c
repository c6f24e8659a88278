/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer of rc_peer.h: builds requests, takes the port's packets one by one.
 * Each expectation asserts opcode and PSN of one packet, so no answer goes unseen.
 */
#include <string.h>

#include "rc_peer.h"

struct rc rc_open(const struct lab_opts *o, unsigned int n)
{
	struct rc c = { .l = lab_open(o) };

	c.q = lab_qp(c.l, PHCA_QPT_RC, 0);
	for (uint32_t i = 0; i < LAB_DEPTH * LAB_BUF; i++)
		c.q.buf[i] = (uint8_t)(i * 31 + i / 251);
	lab_post(&c.q, n);
	return c;
}

void rc_close(struct rc *c)
{
	rc_expect_nothing(c);
	lab_qp_free(c->l, &c->q);
	lab_close(c->l);
}

struct phca_wire_hdr rc_hdr(const struct rc *c, enum phca_opcode op, uint32_t psn)
{
	struct phca_wire_hdr h = lab_hdr(c->l, op, c->q.qpn, psn);

	h.ackreq = phca_opcode_table[op].flags & PHCA_OPF_LAST;
	h.rkey = c->q.lkey;
	return h;
}

void rc_send(struct rc *c, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t seed)
{
	struct phca_wire_hdr h = rc_hdr(c, op, psn);

	lab_send(c->l, &h, n, seed);
}

void rc_write(struct rc *c, enum phca_opcode op, uint32_t psn, uint64_t off, uint32_t dma_len, uint32_t n,
		uint8_t seed)
{
	struct phca_wire_hdr h = rc_hdr(c, op, psn);

	h.va = (uintptr_t)c->q.buf + off;
	h.dma_len = dma_len;
	lab_send(c->l, &h, n, seed);
}

void rc_read(struct rc *c, uint32_t psn, uint64_t off, uint32_t len)
{
	rc_write(c, PHCA_RC_READ_REQ, psn, off, len, 0, 0);
}

static void atomic(struct rc *c, enum phca_opcode op, uint32_t psn, uint64_t off, uint64_t cmp, uint64_t swap_add)
{
	struct phca_wire_hdr h = rc_hdr(c, op, psn);

	h.va = (uintptr_t)c->q.buf + off;
	h.cmp = cmp;
	h.swap_add = swap_add;
	lab_send(c->l, &h, 0, 0);
}

void rc_cas(struct rc *c, uint32_t psn, uint64_t off, uint64_t cmp, uint64_t swap)
{
	atomic(c, PHCA_RC_CMP_SWAP, psn, off, cmp, swap);
}

void rc_add(struct rc *c, uint32_t psn, uint64_t off, uint64_t add)
{
	atomic(c, PHCA_RC_FETCH_ADD, psn, off, 0, add);
}

/* The next packet, which has this opcode and PSN; its frame is copied. */
static void next(struct rc *c, enum phca_opcode op, uint32_t psn, uint8_t *frame, struct phca_pkt *pkt)
{
	struct rte_mbuf *m = lab_capture(c->l);

	if (m == NULL) {
		lab_turn(c->l, 3);
		m = lab_capture(c->l);
	}
	CU_ASSERT_FATAL(m != NULL);
	memcpy(frame, rte_pktmbuf_mtod(m, void *), m->data_len);
	CU_ASSERT_EQUAL_FATAL(phca_wire_parse(frame, m->data_len, PHCA_PARSE_ICRC, pkt), PHCA_V_OK);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(pkt->opcode, op);
	CU_ASSERT_EQUAL(pkt->psn.v, psn);
	CU_ASSERT_EQUAL(pkt->dqpn, LAB_PEER_QPN);
	CU_ASSERT_FALSE(pkt->flags & PHCA_PKT_ACKREQ);
}

void rc_expect_ack(struct rc *c, uint32_t psn, uint32_t msn)
{
	uint8_t frame[PHCA_MTU_MAX + 256];
	const struct phca_aeth *aeth;
	struct phca_pkt pkt;

	next(c, PHCA_RC_ACK, psn, frame, &pkt);
	aeth = phca_pkt_hdr(frame, &pkt, PHCA_HDR_AETH);
	CU_ASSERT_EQUAL(aeth->syndrome, PHCA_AETH_ACK | PHCA_AETH_NO_CREDIT);
	CU_ASSERT_EQUAL(phca_get24(aeth->msn), msn);
}

void rc_expect_ack_late(struct rc *c, uint32_t psn, uint32_t msn)
{
	lab_turn(c->l, 3);
	c->l->now_ns += RC_WITHHELD_NS;
	rc_expect_ack(c, psn, msn);
}

void rc_expect_nak(struct rc *c, uint8_t syndrome, uint32_t psn)
{
	uint8_t frame[PHCA_MTU_MAX + 256];
	const struct phca_aeth *aeth;
	struct phca_pkt pkt;

	next(c, PHCA_RC_ACK, psn, frame, &pkt);
	aeth = phca_pkt_hdr(frame, &pkt, PHCA_HDR_AETH);
	CU_ASSERT_EQUAL(aeth->syndrome, syndrome);
}

void rc_expect_atomic(struct rc *c, uint32_t psn, uint64_t value)
{
	uint8_t frame[PHCA_MTU_MAX + 256];
	const struct phca_atomicacketh *a;
	struct phca_pkt pkt;

	next(c, PHCA_RC_ATOMIC_ACK, psn, frame, &pkt);
	a = phca_pkt_hdr(frame, &pkt, PHCA_HDR_ATOMICACKETH);
	CU_ASSERT_FATAL(a != NULL);
	CU_ASSERT_EQUAL(phca_get64(a->orig), value);
}

void rc_expect_resp(struct rc *c, enum phca_opcode op, uint32_t psn, uint64_t off, uint32_t n)
{
	uint8_t frame[PHCA_MTU_MAX + 256];
	struct phca_pkt pkt;

	next(c, op, psn, frame, &pkt);
	CU_ASSERT_EQUAL_FATAL(pkt.payload_len, n);
	CU_ASSERT_EQUAL(memcmp(frame + pkt.payload_off, c->q.buf + off, n), 0);
}

void rc_expect_read(struct rc *c, uint32_t psn, uint64_t off, uint32_t len)
{
	uint32_t k = 0, n = len > LAB_MTU ? (len + LAB_MTU - 1) / LAB_MTU : 1;

	for (; k < n; k++) {
		uint32_t at = k * LAB_MTU;
		enum phca_opcode op = n == 1 ? PHCA_RC_READ_RESP_ONLY : k == 0 ? PHCA_RC_READ_RESP_FIRST :
			k == n - 1 ? PHCA_RC_READ_RESP_LAST : PHCA_RC_READ_RESP_MIDDLE;

		rc_expect_resp(c, op, (psn + k) & PHCA_PSN_MASK, off + at, RTE_MIN(len - at, (uint32_t)LAB_MTU));
	}
}

void rc_expect_nothing(struct rc *c)
{
	struct rte_mbuf *m;

	lab_turn(c->l, 3);
	m = lab_capture(c->l);
	CU_ASSERT(m == NULL);
	rte_pktmbuf_free(m);
}

void rc_expect_recv(struct rc *c, uint64_t id, uint32_t status, uint32_t len)
{
	struct phca_wc wc;

	lab_turn(c->l, 3);
	CU_ASSERT_FATAL(lab_poll(&c->q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, id);
	CU_ASSERT_EQUAL(wc.status, status);
	if (status == PHCA_WC_SUCCESS)
		CU_ASSERT_EQUAL(wc.byte_len, len);
}

void rc_expect_no_recv(struct rc *c)
{
	struct phca_wc wc;

	lab_turn(c->l, 3);
	CU_ASSERT_FALSE(lab_poll(&c->q, &wc));
}

void rc_expect_state(struct rc *c, enum phca_qp_state s)
{
	lab_turn(c->l, 3);
	CU_ASSERT_EQUAL(lab_info(&c->q).state, s);
}

void rc_expect_event(struct rc *c, enum phca_event_type t)
{
	struct phca_event ev = { .type = 0xff };

	lab_turn(c->l, 3);
	CU_ASSERT_EQUAL(phca_hca_events(c->l->hca, &ev, 1), 1);
	CU_ASSERT_EQUAL(ev.type, t);
	CU_ASSERT_EQUAL(ev.num, c->q.qpn);
}

void rc_expect_no_event(struct rc *c)
{
	struct phca_event ev;

	lab_turn(c->l, 3);
	CU_ASSERT_EQUAL(phca_hca_events(c->l->hca, &ev, 1), 0);
}
