/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Children: work requests that an offload issues on the queue pair of the request that it
 * has, as the peer sees them and as the driver is told of their end.
 */
#include <string.h>

#include "child_lab.h"

static struct child_driver *const d = &child_driver;

static void parent_done(struct child_lab *x, unsigned int i, uint32_t status)
{
	phca_offload_done(d->held[i], status);
	d->held[i] = d->held[--d->nb_held];
	lab_turn(x->p.l, 3);
}

/* ------------------------------------------------------------- what is sent */

PHCA_TEST(child, send_from_its_own_bytes)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;

	child_attach(&x, 0);
	r = child_parent(&x, 7);
	child_send(&x, 40, r);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 8, 40);
	CU_ASSERT(x.p.p.flags & PHCA_PKT_ACKREQ);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_no_wc(&x.p); /* its child is not over */
	child_none_ended();
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	lab_turn(x.p.l, 2);
	child_ended(40, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 7, PHCA_WC_SUCCESS);
	peer_no_wc(&x.p);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).stats.tx_children, 1);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).stats.tx_direct, 0);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).stats.tx_wrs, 1);
	child_close(&x);
}

PHCA_TEST(child, every_opcode_has_its_packet)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	const struct phca_atomiceth *a;
	struct phca_offload_req *r;
	struct phca_child *c;

	child_attach(&x, 0);
	r = child_parent(&x, 7);
	c = child_make(&x, PHCA_WR_SEND_WITH_IMM, 5, 1);
	c->wr.wqe.imm = 0x11223344;
	c->wr.wqe.flags = PHCA_SEND_SOLICITED;
	child_issue(&x, c, r);
	c = child_make_sge(&x, PHCA_WR_RDMA_WRITE_WITH_IMM, 2000, 2);
	c->wr.wqe.imm = 0x55667788;
	child_issue(&x, c, r);
	child_issue(&x, child_make(&x, PHCA_WR_RDMA_WRITE, 0, 3), r);
	c = child_make(&x, PHCA_WR_SEND_WITH_INV, 1, 4);
	c->wr.wqe.imm = 0x99;
	child_issue(&x, c, r);
	child_issue(&x, child_make_sge(&x, PHCA_WR_RDMA_READ, 300, 5), r);
	c = child_make_sge(&x, PHCA_WR_ATOMIC_FETCH_AND_ADD, 8, 6);
	c->wr.wqe.u.atomic.remote_addr = 0x20000;
	c->wr.wqe.u.atomic.compare_add = 77;
	c->wr.wqe.u.atomic.rkey = 0xbeef;
	child_issue(&x, c, r);
	lab_turn(x.p.l, 3);

	child_expect(&x, PHCA_RC_SEND_ONLY_IMM, PEER_PSN, 5, 1);
	CU_ASSERT(x.p.p.flags & PHCA_PKT_SOLICITED);
	CU_ASSERT_EQUAL(memcmp(phca_pkt_hdr(x.p.frame, &x.p.p, PHCA_HDR_IMMDT), &(uint32_t){ 0x11223344 }, 4), 0);
	child_expect(&x, PHCA_RC_WRITE_FIRST, PEER_PSN + 1, LAB_MTU, 2);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&x.p)->len), 2000);
	child_expect(&x, PHCA_RC_WRITE_LAST_IMM, PEER_PSN + 2, 2000 - LAB_MTU, 2);
	child_expect(&x, PHCA_RC_WRITE_ONLY, PEER_PSN + 3, 0, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY_INV, PEER_PSN + 4, 1, 4);
	child_expect(&x, PHCA_RC_READ_REQ, PEER_PSN + 5, 0, 0);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&x.p)->rkey), 0xabcd);
	child_expect(&x, PHCA_RC_FETCH_ADD, PEER_PSN + 6, 0, 0);
	a = phca_pkt_hdr(x.p.frame, &x.p.p, PHCA_HDR_ATOMICETH);
	CU_ASSERT_EQUAL(phca_get64(a->swap_add), 77);
	CU_ASSERT_EQUAL(phca_get32(a->rkey), 0xbeef);
	peer_expect_none(&x.p);

	peer_ack(&x.p, PEER_PSN + 4, PEER_ACK);
	lab_turn(x.p.l, 2);
	for (uint8_t i = 1; i <= 4; i++)
		child_ended(i, PHCA_WC_SUCCESS);
	child_none_ended();
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 5, 300, 200);
	lab_turn(x.p.l, 2);
	child_ended(5, PHCA_WC_SUCCESS);
	CU_ASSERT(lab_is(x.p.mem + 5, 1, 200) && lab_is(x.p.mem + 5 + 50, 250, 250));
	memset(x.p.mem, 0, 64);
	peer_atomic_ack(&x.p, PEER_PSN + 6, 0x1122334455667788);
	lab_turn(x.p.l, 2);
	child_ended(6, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(memcmp(x.p.mem + 6, &(uint64_t){ 0x1122334455667788 }, 8), 0);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 7, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* One work request for all, and the CRC of its payload computed once; more than one message tells of their ends. */
PHCA_TEST(child, many_of_one_work_request)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_wr wr = { .wqe = { .opcode = PHCA_WR_SEND }, .len = 301 };
	uint8_t data[301];

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(9 + i);
	wr.inline_data = data;
	wr.crc = phca_wire_payload_crc(data, sizeof(data));
	child_attach(&x, 0);
	child_parent(&x, 7);
	for (uint8_t i = 0; i < 13; i++) {
		struct phca_child *c = phca_child_get_shared(x.o, &wr);

		CU_ASSERT_PTR_NOT_NULL_FATAL(c);
		c->drv[0] = i;
		child_issue(&x, c, d->held[0]);
		if (i < 4)
			lab_turn(x.p.l, 3);
	}
	lab_turn(x.p.l, 3);
	for (uint32_t i = 0; i < 13; i++)
		child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + i, sizeof(data), 9);
	peer_expect_none(&x.p);
	peer_ack(&x.p, PEER_PSN + 11, PEER_ACK);
	lab_turn(x.p.l, 2);
	for (uint8_t i = 0; i < 12; i++)
		child_ended(i, PHCA_WC_SUCCESS);
	child_none_ended();
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_ack(&x.p, PEER_PSN + 12, PEER_NAK | 2);
	lab_turn(x.p.l, 3);
	child_ended(12, PHCA_WC_REM_ACCESS_ERR);
	peer_wc(&x.p, 7, PHCA_WC_REM_ACCESS_ERR);
	child_close(&x);
}

/* A parent is not needed, nor that its queue pair has anything to send. */
PHCA_TEST(child, without_a_parent)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);

	child_attach(&x, 0);
	child_parent(&x, 7);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 7, PHCA_WC_SUCCESS);
	child_send(&x, 40, NULL);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 8, 40);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	lab_turn(x.p.l, 2);
	child_ended(40, PHCA_WC_SUCCESS);
	peer_no_wc(&x.p);
	child_close(&x);
}

/* The parent's own elements, with its keys. */
PHCA_TEST(child, payload_of_its_parent)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;
	struct phca_child *c;

	child_attach(&x, 0);
	r = child_parent(&x, 7);
	c = child_make(&x, PHCA_WR_SEND, 0, 9);
	c->wr.sge = r->wr->sge;
	c->wr.wqe.num_sge = r->wr->wqe.num_sge;
	c->wr.len = r->wr->len;
	c->wr.pd = r->wr->pd;
	child_issue(&x, c, r);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, BIG, 0);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	lab_turn(x.p.l, 2);
	child_ended(9, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 7, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* Bytes of any length that need no key: a multi-packet one out of the driver's memory. */
PHCA_TEST(child, long_inline)
{
	static uint8_t mem[3 * LAB_MTU + 10];
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;
	struct phca_child *c;

	for (unsigned int i = 0; i < sizeof(mem); i++)
		mem[i] = (uint8_t)(i + 3);
	child_attach(&x, 0);
	r = child_parent(&x, 7);
	c = child_make(&x, PHCA_WR_SEND, 0, 9);
	c->wr.inline_data = mem;
	c->wr.len = sizeof(mem);
	child_issue(&x, c, r);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	child_expect(&x, PHCA_RC_SEND_FIRST, PEER_PSN, LAB_MTU, 3);
	child_expect(&x, PHCA_RC_SEND_MIDDLE, PEER_PSN + 1, LAB_MTU, 3);
	child_expect(&x, PHCA_RC_SEND_MIDDLE, PEER_PSN + 2, LAB_MTU, 3);
	child_expect(&x, PHCA_RC_SEND_LAST, PEER_PSN + 3, 10, 3);
	peer_ack(&x.p, PEER_PSN + 3, PEER_ACK);
	lab_turn(x.p.l, 2);
	child_ended(9, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 7, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* -------------------------------------------------------------------- order */

PHCA_TEST(child, in_front_of_what_has_not_begun)
{
	struct peer_opts o = { .max_rd_atomic = 1 };
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, &o);
	struct phca_offload_req *r;

	child_attach(&x, 0);
	r = child_parent(&x, 1);
	child_app_post(&x, PHCA_WR_RDMA_READ, 8, 2, PHCA_SEND_SIGNALED);
	child_app_post(&x, PHCA_WR_SEND, 9, 3, PHCA_SEND_SIGNALED | PHCA_SEND_FENCE);
	lab_turn(x.p.l, 2);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN); /* the fenced one has its place and waits */
	peer_expect_none(&x.p);
	child_send(&x, 40, r);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 1, 8, 40);
	peer_expect_none(&x.p);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, 8, 0);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 2);
	CU_ASSERT_EQUAL(x.p.p.payload_len, 9);
	peer_ack(&x.p, PEER_PSN + 2, PEER_ACK);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	child_ended(40, PHCA_WC_SUCCESS);
	for (uint64_t i = 1; i <= 3; i++)
		peer_wc(&x.p, i, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* Ordered: direct ones behind it wait until it is decided; offloaded ones go on to the proxy. */
PHCA_TEST(child, ordered_offload_holds_what_is_direct_behind_it)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	struct phca_offload_req *b, *e;

	child_attach(&x, 0);
	child_app_post(&x, PHCA_WR_SEND, 10, 1, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 2);
	b = child_parent(&x, 2);
	child_app_post(&x, PHCA_WR_SEND, 11, 3, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 3);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN);
	peer_expect_none(&x.p); /* 3 is behind 2 */
	child_send(&x, 20, b);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 1, 8, 20);
	peer_expect_none(&x.p);
	phca_offload_emitted(b);
	lab_turn(x.p.l, 3);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 2);
	CU_ASSERT_EQUAL(x.p.p.payload_len, 11);
	e = child_parent(&x, 4);
	child_parent(&x, 5); /* an offloaded one goes on to its driver */
	child_app_post(&x, PHCA_WR_SEND, 12, 6, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 3);
	child_send(&x, 50, d->held[2]); /* behind those of 4 */
	lab_turn(x.p.l, 3);
	peer_expect_none(&x.p);
	child_send(&x, 40, e);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 3, 8, 40);
	peer_expect_none(&x.p);
	for (unsigned int i = 0; i < 3; i++)
		phca_offload_done(d->held[i], PHCA_WC_SUCCESS);
	lab_turn(x.p.l, 4);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 4, 8, 50);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 5);
	CU_ASSERT_EQUAL(x.p.p.payload_len, 12);
	peer_ack(&x.p, PEER_PSN + 5, PEER_ACK);
	lab_turn(x.p.l, 3);
	for (uint64_t i = 1; i <= 6; i++)
		peer_wc(&x.p, i, PHCA_WC_SUCCESS);
	child_ended(20, PHCA_WC_SUCCESS);
	child_ended(40, PHCA_WC_SUCCESS);
	child_ended(50, PHCA_WC_SUCCESS);
	child_close(&x);
}

PHCA_TEST(child, fence_waits_for_reads_of_children_and_of_the_application)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;
	struct phca_child *c;

	child_attach(&x, 0);
	r = child_parent(&x, 1);
	child_app_post(&x, PHCA_WR_RDMA_READ, 8, 2, 0);
	lab_turn(x.p.l, 2);
	child_issue(&x, child_make_sge(&x, PHCA_WR_RDMA_READ, 8, 40), r);
	c = child_make(&x, PHCA_WR_SEND, 8, 41);
	c->wr.wqe.flags = PHCA_SEND_FENCE;
	child_issue(&x, c, r);
	lab_turn(x.p.l, 3);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN + 1);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, 8, 0);
	peer_expect_none(&x.p);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 1, 8, 0);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 2, 8, 41);
	peer_ack(&x.p, PEER_PSN + 2, PEER_ACK);
	child_issue(&x, child_make_sge(&x, PHCA_WR_RDMA_READ, 8, 42), r);
	lab_turn(x.p.l, 3);
	child_app_post(&x, PHCA_WR_SEND, 8, 3, PHCA_SEND_FENCE);
	lab_turn(x.p.l, 3);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN + 3);
	peer_expect_none(&x.p);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 3, 8, 0);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 4);
	child_close(&x); /* with one that is not acknowledged */
}

/* ------------------------------------------------------------ loss, RNR, errors */

PHCA_TEST(child, is_sent_again)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;

	child_attach(&x, 0);
	r = child_parent(&x, 1);
	child_send(&x, 40, r);
	lab_turn(x.p.l, 2);
	child_app_post(&x, PHCA_WR_SEND, 9, 2, 0);
	lab_turn(x.p.l, 2);
	child_send(&x, 42, r);
	lab_turn(x.p.l, 3);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 3);
	peer_wait(&x.p, PEER_TIMEOUT_NS + 1000000);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 8, 40);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 2);
	peer_ack(&x.p, PEER_PSN + 1, PEER_NAK); /* PSN: the second was lost */
	lab_turn(x.p.l, 2);
	child_ended(40, PHCA_WC_SUCCESS);
	child_none_ended();
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 2);
	peer_ack(&x.p, PEER_PSN + 2, PEER_RNR | 1);
	peer_expect_none(&x.p);
	child_send(&x, 43, r); /* does not end the wait */
	lab_turn(x.p.l, 2);
	peer_expect_none(&x.p);
	peer_wait(&x.p, 1000000);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 2);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + 3, 8, 43);
	peer_ack(&x.p, PEER_PSN + 3, PEER_ACK);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	child_ended(42, PHCA_WC_SUCCESS);
	child_ended(43, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	child_close(&x);
}

PHCA_TEST(child, read_is_asked_for_again)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;

	child_attach(&x, 0);
	r = child_parent(&x, 1);
	child_issue(&x, child_make_sge(&x, PHCA_WR_RDMA_READ, 2 * LAB_MTU, 40), r);
	lab_turn(x.p.l, 3);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_FIRST, PEER_PSN, LAB_MTU, 3);
	peer_wait(&x.p, PEER_TIMEOUT_NS + 1000000);
	peer_expect(&x.p, PHCA_RC_READ_REQ, PEER_PSN + 1);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&x.p)->len), LAB_MTU);
	peer_read_resp(&x.p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 1, LAB_MTU, 3);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	child_ended(40, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	CU_ASSERT(lab_is(x.p.mem + 40, 2 * LAB_MTU, 3));
	child_close(&x);
}

/* What is behind it is flushed, each once, in order; what is in front of it is not. */
PHCA_TEST(child, refused_by_the_peer)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;

	d->watch = true;
	child_attach(&x, 0);
	child_app_post(&x, PHCA_WR_SEND, 8, 1, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 2);
	r = child_parent(&x, 2);
	for (uint8_t i = 40; i < 44; i++)
		child_send(&x, i, r);
	lab_turn(x.p.l, 2);
	child_app_post(&x, PHCA_WR_SEND, 8, 3, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 3);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 6);
	peer_ack(&x.p, PEER_PSN + 2, PEER_NAK | 2); /* access: 41 */
	lab_turn(x.p.l, 6);
	child_ended(40, PHCA_WC_SUCCESS);
	child_ended(41, PHCA_WC_REM_ACCESS_ERR);
	child_ended(42, PHCA_WC_WR_FLUSH_ERR);
	child_ended(43, PHCA_WC_WR_FLUSH_ERR);
	child_none_ended();
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_REM_ACCESS_ERR);
	peer_wc(&x.p, 3, PHCA_WC_WR_FLUSH_ERR);
	peer_no_wc(&x.p);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(d->nb_errors, 1);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).stats.tx_children, 4);
	child_close(&x);
}

static void refused_here(uint32_t key_xor, bool dereg, uint32_t status)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;
	struct phca_child *c;
	static uint8_t mem[64];
	uint32_t key;

	child_attach(&x, 0);
	CU_ASSERT_EQUAL(phca_mr_reg(x.p.l->mem, x.p.l->pd, mem, sizeof(mem), (uintptr_t)mem, PHCA_ACCESS_ALL, &key), 0);
	r = child_parent(&x, 1);
	child_send(&x, 40, r);
	c = child_make_sge(&x, PHCA_WR_RDMA_WRITE, 8, 41);
	c->sge[0] = (struct phca_sge){ (uintptr_t)mem, 8, key ^ key_xor };
	child_issue(&x, c, r);
	child_send(&x, 42, r);
	if (dereg)
		CU_ASSERT_EQUAL(phca_mr_dereg(x.p.l->mem, key), 0);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 8, 40);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	lab_turn(x.p.l, 6);
	child_ended(40, PHCA_WC_SUCCESS);
	child_ended(41, status);
	child_ended(42, PHCA_WC_WR_FLUSH_ERR);
	peer_wc(&x.p, 1, status);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).state, PHCA_QPS_ERR);
	if (!dereg)
		CU_ASSERT_EQUAL(phca_mr_dereg(x.p.l->mem, key), 0);
	child_close(&x);
}

PHCA_TEST(child, with_a_wrong_key) { refused_here(1, false, PHCA_WC_LOC_PROT_ERR); }
PHCA_TEST(child, with_a_key_that_is_gone) { refused_here(0, true, PHCA_WC_LOC_PROT_ERR); }

/* Every kind of child that is wrong in itself. */
PHCA_TEST(child, wrong_in_itself)
{
	static const uint32_t status[] = {
		PHCA_WC_LOC_LEN_ERR, PHCA_WC_LOC_LEN_ERR, PHCA_WC_LOC_QP_OP_ERR, PHCA_WC_LOC_LEN_ERR,
		PHCA_WC_LOC_PROT_ERR, PHCA_WC_LOC_QP_OP_ERR,
	};

	for (unsigned int i = 0; i < RTE_DIM(status); i++) {
		struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
		struct phca_offload_req *r;
		struct phca_child *c;

		child_attach(&x, 0);
		r = child_parent(&x, 1);
		c = child_make_sge(&x, i == 3 ? PHCA_WR_ATOMIC_FETCH_AND_ADD : PHCA_WR_SEND, 16, 40);
		switch (i) {
		case 0: /* says more than its elements have */
			c->wr.len = 17;
			break;
		case 1: /* payload from nowhere */
			c->wr.sge = NULL;
			c->wr.wqe.num_sge = 0;
			break;
		case 2: /* a READ into bytes without a key */
			c->wr.sge = NULL;
			c->wr.wqe.num_sge = 0;
			c->wr.inline_data = c->data;
			c->wr.wqe.opcode = PHCA_WR_RDMA_READ;
			break;
		case 4: /* another domain's key */
			c->wr.pd++;
			break;
		case 5: /* elements are counted but not there */
			c->wr.sge = NULL;
			break;
		default:
			break;
		}
		child_issue(&x, c, r);
		lab_turn(x.p.l, 6);
		peer_expect_none(&x.p);
		child_ended(40, status[i]);
		peer_wc(&x.p, 1, status[i]);
		child_close(&x);
	}
}

/* ------------------------------------------------------------ states, ends */

PHCA_TEST(child, queue_pair_is_destroyed_at_every_stage)
{
	/* not begun: the proxy's reply is on its way, or the queue pair is drained; sent; acknowledged */
	for (unsigned int stage = 0; stage < 5; stage++) {
		struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
		const struct phca_qp_attr a = { .state = PHCA_QPS_ERR };
		struct phca_wire_hdr h = lab_hdr(x.p.l, PHCA_RC_ACK, x.p.q.qpn, PEER_PSN + 1);
		struct phca_offload_req *r, *s;

		child_attach(&x, 0);
		r = child_parent(&x, 1);
		s = child_parent(&x, 2);
		for (uint8_t i = 40; i < 44; i++)
			child_send(&x, i, r);
		child_send(&x, 50, s); /* waits for r to be decided */
		if (stage == 1)
			lab_turn_proxy(x.p.l, 2);
		if (stage >= 2)
			lab_turn(x.p.l, 3);
		if (stage == 3) {
			h.syndrome = PEER_ACK;
			lab_send(x.p.l, &h, 0, 0);
			lab_turn_hca(x.p.l, 1);
		}
		if (stage == 4)
			CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &a, PHCA_QP_STATE), 0);
		child_close(&x);
	}
}

PHCA_TEST(child, reset_and_again)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	struct phca_offload_req *r;
	struct phca_qp_attr a = { .state = PHCA_QPS_RESET };

	child_attach(&x, 0);
	for (unsigned int round = 0; round < 5; round++) {
		r = child_parent(&x, 1);
		child_app_post(&x, PHCA_WR_SEND, 8, 2, PHCA_SEND_SIGNALED); /* held */
		for (uint8_t i = 40; i < 60; i++)
			child_send(&x, i, r);
		lab_turn(x.p.l, round);
		CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &a, PHCA_QP_STATE), 0);
		CU_ASSERT_EQUAL(d->nb_held, 0);
		CU_ASSERT_EQUAL(d->nb_ends, d->nb_posted);
		lab_turn(x.p.l, 3);
		peer_drain(&x.p);
		lab_qp_restart(x.p.l, &x.p.q, PHCA_QPS_RTS, 0);
		child_app_post(&x, PHCA_WR_SEND, 8, 3, PHCA_SEND_SIGNALED);
		lab_turn(x.p.l, 3);
		peer_expect(&x.p, PHCA_RC_SEND_ONLY, 0); /* not held by what was before */
		peer_expect_none(&x.p);
		peer_ack(&x.p, 0, PEER_ACK);
		peer_wc(&x.p, 3, PHCA_WC_SUCCESS);
	}
	child_close(&x);
}

/* What was begun includes what the proxy has, and what that has to send (10.3.1.4). */
PHCA_TEST(child, send_queue_drains_with_them)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	struct phca_qp_attr a = { .state = PHCA_QPS_SQD, .en_sqd_notify = true };
	struct phca_offload_req *r;

	child_attach(&x, 0);
	r = child_parent(&x, 1);
	CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &a, PHCA_QP_STATE | PHCA_QP_EN_SQD_NOTIFY), 0);
	child_app_post(&x, PHCA_WR_SEND, 9, 2, PHCA_SEND_SIGNALED);
	child_send(&x, 40, r);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 8, 40);
	CU_ASSERT_EQUAL(phca_qp_query(x.p.q.qp, &a), 0);
	CU_ASSERT(a.sq_draining);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	lab_turn(x.p.l, 100);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(phca_qp_query(x.p.q.qp, &a), 0);
	CU_ASSERT_FALSE(a.sq_draining);
	peer_expect_none(&x.p);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &a, PHCA_QP_STATE), 0);
	lab_turn(x.p.l, 3);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	child_ended(40, PHCA_WC_SUCCESS);
	child_close(&x);
}

PHCA_TEST(child, waits_until_the_queue_pair_may_send)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);

	child_attach(&x, 0);
	child_parent(&x, 1);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	lab_qp_restart(x.p.l, &x.p.q, PHCA_QPS_RTR, 0);
	lab_turn(x.p.l, 2);
	child_send(&x, 40, NULL);
	lab_turn(x.p.l, 5);
	peer_expect_none(&x.p);
	CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &(struct phca_qp_attr){ .state = PHCA_QPS_RTS, .timeout = 14,
		.retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 4 }, PHCA_QP_STATE | PHCA_QP_SQ_PSN |
		PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC), 0);
	lab_turn(x.p.l, 3);
	child_expect(&x, PHCA_RC_SEND_ONLY, 0, 8, 40);
	peer_ack(&x.p, 0, PEER_ACK);
	lab_turn(x.p.l, 2);
	child_ended(40, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* The end of a child that the peer acknowledged waits for room in the ring, and is told once. */
PHCA_TEST(child, ring_to_the_proxy_is_full)
{
	struct lab_opts lo = { .ring_size = 16 };
	struct child_lab x = child_open(PHCA_QPT_RC, false, &lo, NULL);
	struct phca_wire_hdr h = lab_hdr(x.p.l, PHCA_RC_ACK, x.p.q.qpn, PEER_PSN + 59);
	struct phca_offload_req *r;

	child_attach(&x, 64);
	r = child_parent(&x, 1);
	for (uint8_t i = 0; i < 60; i++)
		child_send(&x, i, r);
	phca_offload_done(r, PHCA_WC_SUCCESS);
	lab_turn(x.p.l, 20);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 60);
	h.syndrome = PEER_ACK;
	lab_send(x.p.l, &h, 0, 0);
	lab_turn_hca(x.p.l, 20);
	child_none_ended();
	lab_turn(x.p.l, 20);
	for (uint8_t i = 0; i < 60; i++)
		child_ended(i, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* The same when they are flushed, with the application's. */
PHCA_TEST(child, flush_with_a_full_ring)
{
	struct lab_opts lo = { .ring_size = 16 };
	struct child_lab x = child_open(PHCA_QPT_RC, false, &lo, NULL);
	const struct phca_qp_attr a = { .state = PHCA_QPS_ERR };
	struct phca_offload_req *r;

	child_attach(&x, 64);
	r = child_parent(&x, 1);
	for (uint8_t i = 0; i < 40; i++)
		child_send(&x, i, r);
	lab_turn(x.p.l, 20);
	for (uint64_t i = 2; i < 40; i++)
		child_app_post(&x, PHCA_WR_SEND, 8, i, 0);
	CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &a, PHCA_QP_STATE), 0);
	lab_turn_hca(x.p.l, 20);
	lab_turn(x.p.l, 20);
	for (uint8_t i = 0; i < 40; i++)
		child_ended(i, PHCA_WC_WR_FLUSH_ERR);
	for (uint64_t i = 1; i < 40; i++)
		peer_wc(&x.p, i, PHCA_WC_WR_FLUSH_ERR);
	peer_no_wc(&x.p);
	child_close(&x);
}

/* More than there are slots, of one request: each takes the next, and PSNs go on. */
static struct child_lab *many;
static unsigned int many_left, many_psn;

static unsigned int many_poll(uint64_t now_ns)
{
	struct phca_child *c;
	unsigned int n = 0;

	(void)now_ns;
	while (many_left > 0 && (c = phca_child_get(many->o)) != NULL) {
		c->wr.inline_data = c->data;
		c->wr.len = 4;
		c->drv[0] = many_psn & 0xff;
		memcpy(c->data, &many_psn, 4);
		child_issue(many, c, d->held[0]);
		many_psn++;
		many_left--;
		n++;
	}
	return n;
}

PHCA_TEST(child, a_thousand_of_one_request)
{
	struct child_lab x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	uint32_t got = 0, v;

	child_attach(&x, 16);
	child_parent(&x, 1);
	child_app_post(&x, PHCA_WR_SEND, 8, 2, PHCA_SEND_SIGNALED);
	many = &x;
	many_left = 1000;
	many_psn = 0;
	d->poll = many_poll;
	for (unsigned int turn = 0; turn < 3000 && got < 1000; turn++) {
		lab_turn(x.p.l, 1);
		while (peer_next(&x.p)) {
			memcpy(&v, x.p.frame + x.p.p.payload_off, 4);
			CU_ASSERT_EQUAL(v, got);
			CU_ASSERT_EQUAL(x.p.p.psn.v, PEER_PSN + got);
			got++;
		}
		if (got > 0 && turn % 3 == 0)
			peer_ack(&x.p, PEER_PSN + got - 1, PEER_ACK);
	}
	CU_ASSERT_EQUAL(got, 1000);
	peer_ack(&x.p, PEER_PSN + 999, PEER_ACK);
	d->poll = NULL;
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 1000); /* ordered: behind all of them */
	peer_ack(&x.p, PEER_PSN + 1000, PEER_ACK);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(d->nb_ends, 1000);
	child_close(&x);
}

/* A silent peer: as many as there are slots are sent, the application's next waits with the others. */
PHCA_TEST(child, more_than_there_are_slots)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;
	unsigned int n;

	child_attach(&x, 16);
	r = child_parent(&x, 1);
	for (unsigned int i = 0; i < 128; i++)
		child_send(&x, (uint8_t)i, r);
	lab_turn(x.p.l, 40);
	child_app_post(&x, PHCA_WR_SEND, 9, 2, PHCA_SEND_SIGNALED);
	lab_turn(x.p.l, 10);
	for (unsigned int i = 128; i < 200; i++)
		child_send(&x, (uint8_t)i, r);
	lab_turn(x.p.l, 10);
	for (n = 0; peer_next(&x.p); n++)
		CU_ASSERT_EQUAL(x.p.p.psn.v, PEER_PSN + RTE_MIN(n, 127u)); /* the last one again, to ask */
	CU_ASSERT(n == 128 || n == 129);
	child_none_ended();
	peer_ack(&x.p, PEER_PSN + 127, PEER_ACK);
	lab_turn(x.p.l, 20);
	for (n = 128; n < 200; n++)
		child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN + n, 8, (uint8_t)n);
	peer_expect(&x.p, PHCA_RC_SEND_ONLY, PEER_PSN + 200);
	CU_ASSERT_EQUAL(x.p.p.payload_len, 9);
	peer_ack(&x.p, PEER_PSN + 200, PEER_ACK);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	for (n = 0; n < 200; n++)
		child_ended((uint8_t)n, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* What the application's queue has room for is no matter of what the offload has on the wire. */
PHCA_TEST(child, keeps_no_room_of_the_send_queue)
{
	struct peer_opts po = { .depth = 4 };
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, &po);

	child_attach(&x, 16);
	child_parent(&x, 0);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 0, PHCA_WC_SUCCESS);
	child_send(&x, 40, NULL);
	lab_turn(x.p.l, 3);
	for (uint64_t i = 1; i < 50; i++) {
		child_parent(&x, i);
		parent_done(&x, 0, PHCA_WC_SUCCESS);
		peer_wc(&x.p, i, PHCA_WC_SUCCESS);
	}
	child_none_ended();
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	lab_turn(x.p.l, 2);
	child_ended(40, PHCA_WC_SUCCESS);
	child_close(&x);
}

/* Its memory goes away when it was sent: found out when it is sent again. */
PHCA_TEST(child, memory_is_gone_before_it_is_sent_again)
{
	struct child_lab x = child_open(PHCA_QPT_RC, false, NULL, NULL);
	struct phca_offload_req *r;
	struct phca_child *c;
	static uint8_t mem[64];
	uint32_t key;

	child_attach(&x, 0);
	CU_ASSERT_EQUAL(phca_mr_reg(x.p.l->mem, x.p.l->pd, mem, sizeof(mem), (uintptr_t)mem, PHCA_ACCESS_ALL, &key), 0);
	r = child_parent(&x, 1);
	child_send(&x, 40, r);
	c = child_make_sge(&x, PHCA_WR_SEND, 8, 41);
	c->sge[0] = (struct phca_sge){ (uintptr_t)mem, 8, key };
	child_issue(&x, c, r);
	child_send(&x, 42, r);
	lab_turn(x.p.l, 3);
	CU_ASSERT_EQUAL(peer_drain(&x.p), 3);
	CU_ASSERT_EQUAL(phca_mr_dereg(x.p.l->mem, key), 0);
	peer_wait(&x.p, PEER_TIMEOUT_NS + 1000000);
	child_expect(&x, PHCA_RC_SEND_ONLY, PEER_PSN, 8, 40);
	peer_ack(&x.p, PEER_PSN, PEER_ACK);
	lab_turn(x.p.l, 6);
	child_ended(40, PHCA_WC_SUCCESS);
	child_ended(41, PHCA_WC_LOC_PROT_ERR);
	child_ended(42, PHCA_WC_WR_FLUSH_ERR);
	peer_wc(&x.p, 1, PHCA_WC_LOC_PROT_ERR);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).state, PHCA_QPS_ERR);
	child_close(&x);
}

/* ---------------------------------------------------------------- UC and UD */

PHCA_TEST(child, uc)
{
	struct child_lab x = child_open(PHCA_QPT_UC, true, NULL, NULL);
	struct phca_offload_req *r;
	struct phca_child *c;

	child_attach(&x, 0);
	r = child_parent(&x, 1);
	child_app_post(&x, PHCA_WR_SEND, 9, 2, PHCA_SEND_SIGNALED);
	child_issue(&x, child_make_sge(&x, PHCA_WR_RDMA_WRITE, LAB_MTU + 7, 40), r);
	child_send(&x, 41, r);
	lab_turn(x.p.l, 4);
	child_expect(&x, PHCA_UC_WRITE_FIRST, PEER_PSN, LAB_MTU, 40);
	child_expect(&x, PHCA_UC_WRITE_LAST, PEER_PSN + 1, 7, 40);
	child_expect(&x, PHCA_UC_SEND_ONLY, PEER_PSN + 2, 8, 41);
	peer_expect_none(&x.p);
	child_ended(40, PHCA_WC_SUCCESS);
	child_ended(41, PHCA_WC_SUCCESS);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_expect(&x.p, PHCA_UC_SEND_ONLY, PEER_PSN + 3);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 2, PHCA_WC_SUCCESS);
	c = child_make(&x, PHCA_WR_RDMA_READ, 0, 44);
	CU_ASSERT_EQUAL(phca_child_post(x.q, c, NULL), -EINVAL);
	phca_child_put(c);
	child_close(&x);
}

/* A wrong one: the send queue stops, as for any work request, until it is back in RTS. */
PHCA_TEST(child, uc_send_queue_error)
{
	struct child_lab x = child_open(PHCA_QPT_UC, false, NULL, NULL);
	const struct phca_qp_attr a = { .state = PHCA_QPS_RTS };
	struct phca_child *c;

	child_attach(&x, 0);
	child_parent(&x, 1);
	parent_done(&x, 0, PHCA_WC_SUCCESS);
	peer_wc(&x.p, 1, PHCA_WC_SUCCESS);
	c = child_make_sge(&x, PHCA_WR_SEND, 8, 40);
	c->sge[0].lkey ^= 1;
	child_issue(&x, c, NULL);
	child_send(&x, 41, NULL);
	lab_turn(x.p.l, 5);
	CU_ASSERT_EQUAL(lab_info(&x.p.q).state, PHCA_QPS_SQE);
	child_ended(40, PHCA_WC_LOC_PROT_ERR);
	child_ended(41, PHCA_WC_WR_FLUSH_ERR);
	child_send(&x, 42, NULL);
	lab_turn(x.p.l, 5);
	child_ended(42, PHCA_WC_WR_FLUSH_ERR);
	peer_expect_none(&x.p);
	CU_ASSERT_EQUAL(phca_qp_modify(x.p.q.qp, &a, PHCA_QP_STATE), 0);
	child_send(&x, 43, NULL);
	lab_turn(x.p.l, 5);
	child_expect(&x, PHCA_UC_SEND_ONLY, PEER_PSN, 8, 43);
	child_ended(43, PHCA_WC_SUCCESS);
	child_close(&x);
}
