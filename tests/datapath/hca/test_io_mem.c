/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs over regions that only callbacks reach: nothing is different on the wire,
 * but for atomics, and memory that has gone is an error of the request that wants it.
 */
#include <errno.h>
#include <string.h>

#include "phca_drivers.h"
#include "rc_peer.h"
#include "req_peer.h"

#define FAR (16 * LAB_BUF) /* no receive lands there in these tests */
#define MSG (2 * LAB_MTU + 77)

/* The bytes of another region, for the callbacks alone. */
struct far {
	uint8_t *at;
	uint64_t len;
	unsigned int calls;
	bool gone;
	uint32_t own_key; /* the region whose place it takes */
};

static uint8_t *far_at(struct far *f, uint64_t off, uint32_t len)
{
	f->calls++;
	CU_ASSERT(len > 0 && off <= f->len && len <= f->len - off);
	return f->gone ? NULL : f->at + off;
}

static int far_read(void *arg, uint64_t off, void *dst, uint32_t len)
{
	const uint8_t *p = far_at(arg, off, len);

	if (p == NULL)
		return -EFAULT;
	memcpy(dst, p, len);
	return 0;
}

static int far_write(void *arg, uint64_t off, const void *src, uint32_t len)
{
	uint8_t *p = far_at(arg, off, len);

	if (p == NULL)
		return -EFAULT;
	memcpy(p, src, len);
	return 0;
}

static const struct phca_mr_io far_io = { far_read, far_write };

/* Bytes at `at` are reached by callbacks now; their key is *key. */
static void far_open(struct far *f, struct lab *l, uint8_t *at, uint64_t len, uint32_t *key)
{
	*f = (struct far){ .at = at, .len = len, .own_key = *key };
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg_io(l->mem, l->pd, &far_io, f, len, (uintptr_t)at, PHCA_ACCESS_ALL, key), 0);
}

static void far_close(struct far *f, struct lab *l, uint32_t *key)
{
	CU_ASSERT_EQUAL(phca_mr_dereg(l->mem, *key), 0);
	*key = f->own_key;
}

/* An RC queue pair all of whose memory is reached by callbacks, n receives posted. */
static struct rc open_far(struct far *f, unsigned int n)
{
	struct rc c = rc_open(NULL, 0);

	far_open(f, c.l, c.q.buf, LAB_DEPTH * LAB_BUF, &c.q.lkey);
	lab_post(&c.q, n);
	return c;
}

static void close_far(struct far *f, struct rc *c)
{
	far_close(f, c->l, &c->q.lkey);
	rc_close(c);
}

PHCA_TEST(io_mem, rc_responder_serves_send_write_and_read)
{
	struct far f;
	struct rc c = open_far(&f, 1);

	rc_send(&c, PHCA_RC_SEND_FIRST, 0, LAB_MTU, 0);
	rc_send(&c, PHCA_RC_SEND_LAST, 1, 77, 1);
	rc_expect_recv(&c, 0, PHCA_WC_SUCCESS, LAB_MTU + 77);
	CU_ASSERT(lab_is(lab_buf(&c.q, 0), LAB_MTU, 0));
	CU_ASSERT(lab_is(lab_buf(&c.q, 0) + LAB_MTU, 77, 1));
	rc_expect_ack(&c, 1, 1);
	rc_write(&c, PHCA_RC_WRITE_FIRST, 2, FAR + 3, LAB_MTU + 5, LAB_MTU, 3);
	rc_send(&c, PHCA_RC_WRITE_LAST, 3, 5, 7);
	rc_expect_ack(&c, 3, 2);
	CU_ASSERT(lab_is(c.q.buf + FAR + 3, LAB_MTU, 3));
	CU_ASSERT(lab_is(c.q.buf + FAR + 3 + LAB_MTU, 5, 7));
	f.calls = 0;
	rc_read(&c, 4, FAR + 1, MSG);
	rc_expect_read(&c, 4, FAR + 1, MSG);
	CU_ASSERT_EQUAL(f.calls, 3); /* checking it asked for no byte */
	close_far(&f, &c);
}

PHCA_TEST(io_mem, rc_atomic_is_an_operation_error)
{
	struct far f;
	struct rc c = open_far(&f, 0);
	uint64_t was, is;

	memcpy(&was, c.q.buf + FAR, 8);
	rc_add(&c, 0, FAR, 2);
	rc_expect_nak(&c, PHCA_NAK_REM_OP, 0);
	rc_expect_state(&c, PHCA_QPS_ERR);
	rc_expect_event(&c, PHCA_EVENT_QP_FATAL);
	memcpy(&is, c.q.buf + FAR, 8);
	CU_ASSERT_EQUAL(is, was);
	CU_ASSERT_EQUAL(f.calls, 0);
	close_far(&f, &c);
}

PHCA_TEST(io_mem, rc_write_to_memory_that_is_gone)
{
	struct far f;
	struct rc c = open_far(&f, 0);

	f.gone = true;
	rc_write(&c, PHCA_RC_WRITE_ONLY, 0, FAR, 8, 8, 0);
	rc_expect_nak(&c, PHCA_NAK_REM_ACCESS, 0);
	rc_expect_state(&c, PHCA_QPS_ERR);
	rc_expect_event(&c, PHCA_EVENT_QP_ACCESS_ERR);
	close_far(&f, &c);
}

/* It goes while the response is on its way: what was sent stands, then comes the NAK. */
PHCA_TEST(io_mem, rc_read_of_memory_that_is_gone)
{
	struct far f;
	struct rc c = open_far(&f, 0);

	rc_read(&c, 0, FAR, 8);
	rc_expect_read(&c, 0, FAR, 8);
	f.gone = true;
	rc_read(&c, 1, FAR, MSG);
	rc_expect_nak(&c, PHCA_NAK_REM_ACCESS, 1);
	rc_expect_state(&c, PHCA_QPS_ERR);
	rc_expect_event(&c, PHCA_EVENT_QP_ACCESS_ERR);
	close_far(&f, &c); /* and the packet that was begun is not lost */
}

PHCA_TEST(io_mem, rc_receive_into_memory_that_is_gone)
{
	struct far f;
	struct rc c = open_far(&f, 1);

	f.gone = true;
	rc_send(&c, PHCA_RC_SEND_ONLY, 0, 8, 0);
	rc_expect_recv(&c, 0, PHCA_WC_LOC_PROT_ERR, 0);
	rc_expect_nak(&c, PHCA_NAK_REM_OP, 0);
	rc_expect_state(&c, PHCA_QPS_ERR);
	rc_expect_event(&c, PHCA_EVENT_QP_ACCESS_ERR);
	close_far(&f, &c);
}

PHCA_TEST(io_mem, requester_sends_from_it_and_reads_into_it)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w;
	struct far f;

	far_open(&f, p.l, p.mem, PEER_MEM, &p.key);
	w = peer_wr(&p, PHCA_WR_SEND, LAB_MTU + 5);
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_SEND_FIRST, PEER_PSN);
	CU_ASSERT(lab_is(p.frame + p.p.payload_off, LAB_MTU, 0));
	peer_expect(&p, PHCA_RC_SEND_LAST, PEER_PSN + 1);
	CU_ASSERT(lab_is(p.frame + p.p.payload_off, 5, (uint8_t)LAB_MTU));
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);

	w = peer_wr(&p, PHCA_WR_RDMA_READ, 30);
	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 2);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 2, 30, 200);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	CU_ASSERT(lab_is(p.mem, 30, 200));
	CU_ASSERT_EQUAL(p.mem[30], 30);

	f.gone = true;
	w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 8);
	peer_post(&p, &w);
	peer_expect_none(&p);
	peer_wc(&p, 1, PHCA_WC_LOC_PROT_ERR);
	far_close(&f, p.l, &p.key);
	peer_close(&p);
}

PHCA_TEST(io_mem, uc_write_and_send)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UC, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UC_WRITE_ONLY, q.qpn, 0);
	struct phca_wc wc;
	struct far f;

	far_open(&f, l, q.buf, LAB_DEPTH * LAB_BUF, &q.lkey);
	lab_post(&q, 1);
	h.va = (uintptr_t)q.buf + FAR;
	h.rkey = q.lkey;
	h.dma_len = 40;
	lab_send(l, &h, 40, 5);
	h = lab_hdr(l, PHCA_UC_SEND_ONLY, q.qpn, 1);
	lab_send(l, &h, 9, 6);
	lab_turn(l, 3);
	CU_ASSERT(lab_is(q.buf + FAR, 40, 5));
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT(lab_is(lab_buf(&q, 0), 9, 6));
	/* gone: dropped by its name, as the peer of UC hears of nothing */
	f.gone = true;
	h = lab_hdr(l, PHCA_UC_WRITE_ONLY, q.qpn, 2);
	h.va = (uintptr_t)q.buf + FAR;
	h.rkey = q.lkey;
	h.dma_len = 40;
	lab_send(l, &h, 40, 9);
	lab_turn(l, 3);
	CU_ASSERT_EQUAL(lab_verdict(l, PHCA_V_RKEY), 1);
	CU_ASSERT(lab_is(q.buf + FAR, 40, 5));
	far_close(&f, l, &q.lkey);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(io_mem, offloaded_read_is_executed)
{
	struct phca_filter_param p[] = { { .name = "read", .kind = PHCA_FV_BOOL, .u = true } };
	struct phca_rule rule = { .name = "r", .inbound = true };
	struct far f;
	struct rc c = open_far(&f, 0);

	rule.offload = lab_offload(c.l, "o", phca_offload_driver_find("null"), NULL, 0, 0);
	rule.filter = lab_filter(c.l, "by_opcode", p, 1);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(c.q.qp, &rule, 1, 0) == 0);
	rc_read(&c, 0, FAR, MSG);
	rc_expect_read(&c, 0, FAR, MSG);
	CU_ASSERT_EQUAL(lab_info(&c.q).stats.rx_offloaded, 1);
	far_close(&f, c.l, &c.q.lkey);
	rc_expect_nothing(&c);
	lab_qp_free(c.l, &c.q);
	CU_ASSERT_EQUAL(phca_offload_destroy(rule.offload), 0);
	lab_close(c.l);
}
