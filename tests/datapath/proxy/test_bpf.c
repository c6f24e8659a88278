/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver bpf: what programs see, what each helper and each return code does, that the
 * budget holds, and that a program is replaced between two requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "bpf_rig.h"

static struct phca_child *next(const char *bytes, uint32_t len)
{
	struct phca_child *c = rig_child(&bpf.r);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->wr.len, len);
	if (bytes != NULL) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(c->wr.inline_data);
		CU_ASSERT(memcmp(c->wr.inline_data, bytes, len) == 0);
	}
	return c;
}

static void over(struct phca_child *c, enum phca_wc_status status)
{
	rig_child_over(&bpf.r, c, status);
	rig_turn(&bpf.r);
}

static const struct phca_preply *last_reply(enum phca_preply_kind kind)
{
	for (unsigned int i = bpf.r.nb_replies; i-- > 0;)
		if (bpf.r.replies[i].kind == kind)
			return &bpf.r.replies[i];
	CU_FAIL_FATAL("no such reply");
	return NULL;
}

/* Both sides are done with a PASS of an inbound request. */
static void passed(uint32_t seq, uint64_t wr_id)
{
	rig_complete(&bpf.r, bpf.q, PHCA_DIR_RECV, seq, wr_id, OK, 0);
	rig_settle(&bpf.r);
}

PHCA_TEST(bpf, context_says_what_the_request_is)
{
	struct phca_offload_ctx c;
	struct rig_in in = { .flags = ORD, .opcode = PHCA_RC_WRITE_ONLY_IMM, .data = "0123456789", .len = 10,
		.va = 0x1122334455667788, .rkey = 0x99 };

	bpf_setup("context", NULL, 0, NULL, 0);
	bpf.r.now_ns = 123456789;
	rig_message_in(&bpf.r, bpf.q, &in);
	rig_turn(&bpf.r);
	bpf_seen_words(&c, sizeof(c) / 8);
	CU_ASSERT_EQUAL(c.direction, PHCA_CTX_INBOUND);
	CU_ASSERT_EQUAL(c.transport, PHCA_CTX_RC);
	CU_ASSERT_EQUAL(c.opcode, PHCA_CTX_OP_WRITE);
	CU_ASSERT_EQUAL(c.bth_opcode, PHCA_RC_WRITE_ONLY_IMM);
	CU_ASSERT_EQUAL(c.flags, PHCA_CTX_F_IMM);
	CU_ASSERT_EQUAL(c.qpn, 1);
	CU_ASSERT_EQUAL(c.len, 10);
	CU_ASSERT_EQUAL(memcmp(&c.imm, "\1\2\3\4", 4), 0);
	CU_ASSERT_EQUAL(c.va, 0x1122334455667788);
	CU_ASSERT_EQUAL(c.rkey, 0x99);
	CU_ASSERT_EQUAL(c.payload_len, 10);
	CU_ASSERT_EQUAL(memcmp(c.payload, "0123456789\0\0", 12), 0);
	CU_ASSERT_EQUAL(c.now_ns, 123456789);
	CU_ASSERT_EQUAL(bpf_seen(24), 123456789);
	CU_ASSERT_EQUAL(c.from_peer, PHCA_SELF);
	CU_ASSERT_EQUAL(c.children_free, 1024);
	CU_ASSERT_EQUAL(c.nb_peers, 0);
	CU_ASSERT_EQUAL(c.peers_ready, 0);
	CU_ASSERT_EQUAL(c.sgid[10], 0xff);
	bpf_post(0, PHCA_WR_RDMA_WRITE, 7);
	bpf.wr[0].wqe.flags = PHCA_SEND_SIGNALED | PHCA_SEND_FENCE;
	bpf.wr[0].wqe.u.rdma.remote_addr = 0x5000;
	bpf.wr[0].wqe.u.rdma.rkey = 0x77;
	rig_turn(&bpf.r);
	bpf_seen_words(&c, sizeof(c) / 8);
	CU_ASSERT_EQUAL(c.direction, PHCA_CTX_SEND);
	CU_ASSERT_EQUAL(c.opcode, PHCA_CTX_OP_WRITE);
	CU_ASSERT_EQUAL(c.flags, PHCA_CTX_F_SIGNALED | PHCA_CTX_F_FENCE);
	CU_ASSERT_EQUAL(c.wr_id, 7);
	CU_ASSERT_EQUAL(c.num_sge, 1);
	CU_ASSERT_EQUAL(c.va, 0x5000);
	CU_ASSERT_EQUAL(c.rkey, 0x77);
	CU_ASSERT_EQUAL(c.len, 32);
	CU_ASSERT_EQUAL(c.payload_len, 32);
	CU_ASSERT_EQUAL(memcmp(c.payload, bpf.memory + 1024, 32), 0);
	CU_ASSERT_EQUAL(c.sgid[10], 0);
	rig_cq_expect(&bpf.cq, 7, OK);
	bpf_teardown();
}

PHCA_TEST(bpf, done_consumes_and_status_fails)
{
	const struct phca_filter_param p = { .name = "code", .kind = PHCA_FV_UINT,
		.u = PHCA_DONE_STATUS(PHCA_STATUS_REM_ACCESS_ERR) };

	bpf_setup("swallow", NULL, 0, NULL, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(bpf.o), 0);
	bpf_send_in(0, 0, "abc", 3);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL(rig_credit(&bpf.r, (void *)1, PHCA_DIR_RECV, 0), 1);
	rig_cq_expect_empty(&bpf.cq);
	bpf_teardown();
	bpf_setup("says", &p, 1, NULL, 0);
	bpf_post(0, PHCA_WR_SEND, 5);
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 5, PHCA_WC_REM_ACCESS_ERR);
	CU_ASSERT_EQUAL(bpf_counter("errors"), 1);
	bpf_teardown();
}

PHCA_TEST(bpf, pass_on_gives_back_both_directions)
{
	bpf_setup("says", NULL, 0, NULL, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(bpf.o), 1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV);
	bpf_send_in(0, ORD, "abc", 3);
	bpf_post(0, PHCA_WR_SEND, 9);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL(rig_count(&bpf.r, PHCA_PREPLY_PASS, (void *)1), 2);
	CU_ASSERT_EQUAL(bpf_counter("passed_on"), 2);
	rig_complete(&bpf.r, bpf.q, PHCA_DIR_SEND, 0, 9, OK, 0);
	passed(0, 4);
	rig_cq_expect(&bpf.cq, 9, OK);
	rig_cq_expect(&bpf.cq, 4, OK);
	bpf_teardown();
}

PHCA_TEST(bpf, bad_return_fails_the_request)
{
	static const uint64_t codes[] = { 4, 99, PHCA_DONE_STATUS(0), PHCA_DONE_STATUS(PHCA_WC_STATUS_COUNT),
		0xffffffff, PHCA_DELIVER };

	for (unsigned int i = 0; i < RTE_DIM(codes); i++) {
		const struct phca_filter_param p = { .name = "code", .kind = PHCA_FV_UINT, .u = codes[i] };

		bpf_setup("says", &p, 1, NULL, 0);
		bpf_post(0, PHCA_WR_SEND, 5);
		rig_settle(&bpf.r);
		rig_cq_expect(&bpf.cq, 5, PHCA_WC_LOC_QP_OP_ERR);
		CU_ASSERT_EQUAL(bpf_counter("bad_return"), 1);
		bpf_teardown();
	}
}

PHCA_TEST(bpf, again_runs_in_later_turns_and_can_be_cancelled)
{
	bpf_setup("third_time", NULL, 0, NULL, 0);
	bpf_post(0, PHCA_WR_SEND, 1);
	bpf_post(1, PHCA_WR_SEND, 2);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(bpf_counter("again"), 4); /* submitted, and polled in the same turn */
	rig_cq_expect_empty(&bpf.cq);
	rig_turn(&bpf.r);
	rig_cq_expect(&bpf.cq, 1, OK);
	rig_cq_expect(&bpf.cq, 2, OK);
	CU_ASSERT_EQUAL(bpf_counter("runs"), 6);
	CU_ASSERT_EQUAL(bpf_seen(0), 2);
	for (unsigned int i = 2; i < 6; i++)
		bpf_post(i, PHCA_WR_SEND, i);
	rig_turn(&bpf.r);
	bpf_teardown(); /* while they wait */
}

PHCA_TEST(bpf, payload_read_stays_inside)
{
	bpf_setup("payload", NULL, 0, NULL, 0);
	bpf_send_in(0, 0, "0123456789ab", 12);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(bpf_seen(0), 8);
	CU_ASSERT_EQUAL(bpf_seen(1), bpf_word("01234567"));
	CU_ASSERT_EQUAL(bpf_seen(2), 4);
	CU_ASSERT_EQUAL(bpf_seen(3), bpf_word("89ab\0\0\0\0")); /* what is behind the end is zero */
	CU_ASSERT_EQUAL(bpf_seen(4), 0);
	CU_ASSERT_EQUAL(bpf_seen(5), 0);
	CU_ASSERT_EQUAL(bpf_seen(6), 0);
	CU_ASSERT_EQUAL(bpf_seen(7), UINT64_MAX);
	/* a posted one whose key is wrong */
	bpf_post(0, PHCA_WR_SEND, 1);
	bpf.sge[0].lkey ^= 1;
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(0), -EACCES);
	CU_ASSERT_EQUAL(bpf_seen(1), 0);
	CU_ASSERT(bpf_counter("refused_access") > 0);
	bpf_teardown();
}

PHCA_TEST(bpf, memory_by_the_right_key_only)
{
	struct { uint64_t va; uint32_t key, len; } order = { IOVA + 8, 0, 8 };
	uint64_t *word;

	bpf_setup("memory", NULL, 0, NULL, 0);
	word = (uint64_t *)(void *)(bpf.memory + 8);
	*word = 1000;
	order.key = bpf.rkey;
	bpf_send_in(0, 0, &order, sizeof(order));
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(bpf_seen(0), 0);
	CU_ASSERT_EQUAL(bpf_seen(1), 1000);
	CU_ASSERT_EQUAL(bpf_seen(2), 0);
	CU_ASSERT_EQUAL(*word, 1001);
	order.va = IOVA + BYTES - 7; /* one byte behind the end */
	bpf_send_in(1, 0, &order, sizeof(order));
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(0), -EACCES);
	CU_ASSERT_EQUAL(bpf_seen(1), 0);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(2), -EACCES);
	order.va = IOVA + 8;
	order.key = bpf.read_only; /* the peer may read it */
	bpf_send_in(2, 0, &order, sizeof(order));
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(bpf_seen(0), 0);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(2), -EACCES);
	order.key = bpf.local; /* the application may, the peer may not */
	bpf_send_in(3, 0, &order, sizeof(order));
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(0), -EACCES);
	CU_ASSERT_EQUAL(*word, 1001);
	memcpy(bpf.memory + 1024, &order, sizeof(order));
	bpf_post(0, PHCA_WR_SEND, 1);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(bpf_seen(0), 0);
	CU_ASSERT_EQUAL(bpf_seen(1), 1001);
	CU_ASSERT_EQUAL(*word, 1002);
	CU_ASSERT_EQUAL(bpf_counter("refused_access"), 5);
	bpf_teardown();
}

PHCA_TEST(bpf, reply_is_a_send_on_the_same_queue_pair)
{
	struct phca_child *a, *b;

	bpf_setup("reply", NULL, 0, NULL, 0);
	bpf_send_in(0, 0, "0123456789abcdef", 16);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(2), -EINVAL);
	a = next("pong", 4);
	CU_ASSERT_PTR_EQUAL(a->pqp, bpf.q);
	CU_ASSERT_EQUAL(a->wr.wqe.opcode, PHCA_WR_SEND);
	CU_ASSERT_EQUAL(a->wr.wqe.flags, PHCA_SEND_SOLICITED | PHCA_SEND_FENCE);
	b = next("0123456789abcdef", 16);
	CU_ASSERT_EQUAL(b->wr.wqe.opcode, PHCA_WR_SEND_WITH_IMM);
	CU_ASSERT_EQUAL(b->wr.wqe.imm, 0x12345678);
	over(a, OK);
	CU_ASSERT_EQUAL(rig_credit(&bpf.r, (void *)1, PHCA_DIR_RECV, 0), 0);
	over(b, OK);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL(rig_credit(&bpf.r, (void *)1, PHCA_DIR_RECV, 0), 1);
	bpf_teardown();
}

PHCA_TEST(bpf, outgoing_message_is_built_in_pieces)
{
	struct { uint64_t va; uint32_t key, len; } order = { IOVA, 0, 100 };
	struct phca_child *c[3];
	uint8_t want[120];

	bpf_setup("out", NULL, 0, NULL, 0);
	order.key = bpf.rkey;
	bpf_send_in(0, 0, &order, sizeof(order));
	rig_turn(&bpf.r);
	memcpy(want, "Head", 4);
	memcpy(want + 4, bpf.memory, 100);
	memcpy(want + 104, &order, 16);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(0), -EINVAL); /* nothing was written */
	CU_ASSERT_EQUAL((int64_t)bpf_seen(1), -EINVAL); /* a gap */
	for (unsigned int i = 2; i < 9; i++)
		CU_ASSERT_EQUAL(bpf_seen(i), 0);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(9), -EINVAL); /* behind the payload */
	CU_ASSERT_EQUAL((int64_t)bpf_seen(10), -EACCES);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(11), -EINVAL);
	c[0] = next((const char *)want, 120);
	c[1] = next((const char *)want, 120);
	CU_ASSERT_PTR_EQUAL(c[0]->wr.inline_data, c[1]->wr.inline_data); /* nothing is copied */
	c[2] = next((const char *)bpf.memory, 4);
	for (unsigned int i = 0; i < 3; i++)
		over(c[i], OK);
	CU_ASSERT_EQUAL(bpf_counter("no_message"), 0);
	bpf_teardown();
}

PHCA_TEST(bpf, deliver_gives_the_application_other_bytes)
{
	struct { uint64_t va; uint32_t key, len; } order = { bpf_word("original"), 0, 1 };
	const struct phca_preply *p;

	bpf_setup("deliver", NULL, 0, NULL, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(bpf.o) & 1u << PHCA_DIR_RECV, 1u << PHCA_DIR_RECV);
	bpf_send_in(0, ORD, &order, sizeof(order));
	rig_settle(&bpf.r);
	p = last_reply(PHCA_PREPLY_PASS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->data);
	CU_ASSERT_EQUAL(p->data->pkt_len, 12);
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(p->data, void *), "new:original", 12), 0);
	rte_pktmbuf_free(p->data);
	passed(0, 3);
	rig_cq_expect(&bpf.cq, 3, OK);
	bpf_teardown();
}

PHCA_TEST(bpf, answers_of_reads_and_atomics)
{
	const struct phca_filter_param p = { .name = "code", .kind = PHCA_FV_UINT, .u = PHCA_DONE };
	struct rig_in in = { .flags = ORD, .opcode = PHCA_RC_READ_REQ, .len = 12, .mtu = 1,
		.data = "            ", .va = IOVA + 64, .tag = 3 };
	const struct phca_preply *a;

	bpf_setup("answer", &p, 1, NULL, 0);
	in.rkey = bpf.rkey;
	rig_message_in(&bpf.r, bpf.q, &in);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(0), -EINVAL);
	CU_ASSERT_EQUAL(bpf_seen(1), 0);
	CU_ASSERT_EQUAL(bpf_seen(2), 0);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(3), -EACCES);
	a = last_reply(PHCA_PREPLY_ANSWER);
	CU_ASSERT_EQUAL(a->status, OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a->data);
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(a->data, void *), "mine", 4), 0);
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod_offset(a->data, void *, 4), bpf.memory + 64, 8), 0);
	rte_pktmbuf_free(a->data);
	in = (struct rig_in){ .seq = 1, .flags = ORD, .opcode = PHCA_RC_FETCH_ADD, .tag = 4, .data = "" };
	rig_message_in(&bpf.r, bpf.q, &in);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL(bpf_seen(4), 0);
	a = last_reply(PHCA_PREPLY_ANSWER);
	CU_ASSERT_EQUAL(a->value, 4711);
	CU_ASSERT_EQUAL(a->tag, 4);
	bpf_send_in(2, ORD, "no READ", 7);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(5), -EINVAL);
	bpf_teardown();
}

PHCA_TEST(bpf, posted_requests_to_peers_and_to_their_own)
{
	struct phca_pqp *peer[2];
	struct phca_child *c[4];

	bpf_setup("posted", NULL, 0, NULL, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(bpf.o), 1u << PHCA_DIR_SEND); /* it emits, and passes nothing */
	for (unsigned int i = 0; i < 2; i++) {
		peer[i] = rig_pqp_rc(&bpf.r, 2 + i, 64, &bpf.cq2, &bpf.o, 1, 0);
		rig_turn(&bpf.r);
		CU_ASSERT_EQUAL(phca_offload_peer_add(bpf.o, peer[i], "peer"), 0);
	}
	CU_ASSERT_EQUAL(bpf_counter("peers"), 2);
	bpf_post(0, PHCA_WR_SEND_WITH_IMM, 5);
	bpf.wr[0].wqe.imm = 0xabcd;
	bpf.wr[0].wqe.flags = PHCA_SEND_SIGNALED | PHCA_SEND_SOLICITED;
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(3), -ENOENT);
	for (unsigned int i = 0; i < 4; i++) {
		c[i] = next(NULL, 32);
		CU_ASSERT_PTR_EQUAL(c[i]->wr.sge, &bpf.sge[0]); /* the application's own buffers and keys */
		CU_ASSERT_EQUAL(c[i]->wr.wqe.num_sge, 1);
		CU_ASSERT_EQUAL(c[i]->wr.pd, bpf.pd);
	}
	CU_ASSERT_PTR_EQUAL(c[0]->pqp, bpf.q);
	CU_ASSERT_EQUAL(c[0]->wr.wqe.opcode, PHCA_WR_SEND_WITH_IMM);
	CU_ASSERT_EQUAL(c[0]->wr.wqe.imm, 0xabcd);
	CU_ASSERT_EQUAL(c[0]->wr.wqe.flags, PHCA_SEND_SOLICITED);
	CU_ASSERT_PTR_EQUAL(c[1]->pqp, peer[0]);
	CU_ASSERT_EQUAL(c[1]->wr.wqe.opcode, PHCA_WR_RDMA_WRITE_WITH_IMM);
	CU_ASSERT_EQUAL(c[1]->wr.wqe.u.rdma.remote_addr, 0x7000);
	CU_ASSERT_EQUAL(c[1]->wr.wqe.u.rdma.rkey, 0x99);
	CU_ASSERT_EQUAL(c[1]->wr.wqe.imm, 0x55);
	CU_ASSERT_PTR_EQUAL(c[2]->pqp, peer[1]);
	CU_ASSERT_EQUAL(c[2]->wr.wqe.opcode, PHCA_WR_SEND);
	CU_ASSERT_PTR_EQUAL(c[3]->pqp, peer[0]);
	over(c[2], PHCA_WC_REM_OP_ERR); /* tolerated */
	over(c[0], OK);
	over(c[1], OK);
	rig_cq_expect_empty(&bpf.cq);
	over(c[3], OK);
	rig_cq_expect(&bpf.cq, 5, OK);
	bpf_post(1, PHCA_WR_SEND, 6);
	rig_turn(&bpf.r);
	for (unsigned int i = 0; i < 4; i++)
		c[i] = next(NULL, 32);
	over(c[1], PHCA_WC_RETRY_EXC_ERR); /* not this one */
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 6, PHCA_WC_RETRY_EXC_ERR);
	over(c[0], PHCA_WC_WR_FLUSH_ERR);
	over(c[2], OK);
	over(c[3], OK);
	rig_pqp_end(&bpf.r, peer[0]);
	rig_pqp_end(&bpf.r, peer[1]);
	bpf_teardown();
}

PHCA_TEST(bpf, inbound_payload_goes_to_a_peer)
{
	const struct phca_filter_param p = { .name = "code", .kind = PHCA_FV_UINT, .u = PHCA_DONE };
	struct rig_in in = { .opcode = PHCA_RC_SEND_FIRST, .data = "in three pieces", .len = 15, .mtu = 5 };
	struct phca_pqp *peer;

	bpf_setup("forward", &p, 1, NULL, 0);
	peer = rig_pqp_rc(&bpf.r, 2, 64, &bpf.cq2, &bpf.o, 1, 0);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(phca_offload_peer_add(bpf.o, peer, "peer"), 0);
	bpf_send_in(0, ORD, "one piece", 9);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(1), -EINVAL); /* it was not posted */
	over(next("one piece", 9), OK);
	in.seq = 1;
	in.flags = ORD;
	rig_message_in(&bpf.r, bpf.q, &in);
	rig_turn(&bpf.r);
	over(next("in three pieces", 15), OK);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL(rig_credit(&bpf.r, (void *)1, PHCA_DIR_RECV, 0), 2);
	rig_pqp_end(&bpf.r, peer);
	rig_settle(&bpf.r);
	bpf_send_in(2, ORD, "x", 1);
	rig_turn(&bpf.r);
	CU_ASSERT((int64_t)bpf_seen(0) < 0);
	bpf_teardown();
}

PHCA_TEST(bpf, neither_pass_nor_again_after_children)
{
	static const uint64_t codes[] = { PHCA_PASS_ON, PHCA_AGAIN };

	for (unsigned int i = 0; i < RTE_DIM(codes); i++) {
		const struct phca_filter_param p = { .name = "code", .kind = PHCA_FV_UINT, .u = codes[i] };
		struct phca_pqp *peer;

		bpf_setup("forward", &p, 1, NULL, 0);
		peer = rig_pqp_rc(&bpf.r, 2, 64, &bpf.cq2, &bpf.o, 1, 0);
		rig_turn(&bpf.r);
		CU_ASSERT_EQUAL(phca_offload_peer_add(bpf.o, peer, "peer"), 0);
		bpf_send_in(0, ORD, "x", 1);
		rig_settle(&bpf.r);
		CU_ASSERT_EQUAL(bpf_counter("bad_return"), 1);
		CU_ASSERT_EQUAL(rig_count(&bpf.r, PHCA_PREPLY_ERROR, (void *)1), 1);
		over(next("x", 1), OK);
		rig_pqp_end(&bpf.r, peer);
		bpf_teardown();
	}
}

PHCA_TEST(bpf, what_a_peer_sends_is_dropped_when_passed_on)
{
	struct rig_in in = { .flags = ORD, .opcode = PHCA_RC_SEND_ONLY, .data = "hello", .len = 5 };
	struct phca_pqp *peer;

	bpf_setup("says", NULL, 0, NULL, 0);
	peer = rig_pqp_rc(&bpf.r, 2, 64, &bpf.cq2, &bpf.o, 1, 0);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(phca_offload_peer_add(bpf.o, peer, "peer"), 0);
	rig_message_in(&bpf.r, peer, &in);
	rig_settle(&bpf.r);
	CU_ASSERT_EQUAL(rig_count(&bpf.r, PHCA_PREPLY_PASS, (void *)2), 0);
	CU_ASSERT_EQUAL(rig_credit(&bpf.r, (void *)2, PHCA_DIR_RECV, 0), 1);
	CU_ASSERT_EQUAL(bpf_counter("passed_on"), 1);
	rig_pqp_end(&bpf.r, peer);
	bpf_teardown();
}

PHCA_TEST(bpf, posted_read_is_served_here)
{
	bpf_setup("fetch", NULL, 0, NULL, 0);
	memset(bpf.memory + 1024, '.', 32);
	bpf_post(0, PHCA_WR_RDMA_READ, 8);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(bpf_seen(0), 0);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(1), -EACCES); /* its buffer has 32 bytes */
	CU_ASSERT_EQUAL(memcmp(bpf.memory + 1024, "..data..", 8), 0);
	rig_cq_expect(&bpf.cq, 8, OK);
	bpf_post(1, PHCA_WR_SEND, 9);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(0), -EINVAL);
	bpf_teardown();
}

PHCA_TEST(bpf, budget_ends_in_an_error)
{
	const struct phca_filter_param p[] = {
		{ .name = "code", .kind = PHCA_FV_UINT, .u = PHCA_DONE },
		{ .name = "times", .kind = PHCA_FV_UINT, .u = 4 },
	};
	const struct phca_setting_arg bytes[] = { { "budget_bytes", PHCA_SETTING_UINT, 3 * 64, NULL } },
		calls[] = { { "budget_calls", PHCA_SETTING_UINT, 3, NULL } },
		enough[] = { { "budget_calls", PHCA_SETTING_UINT, 4, NULL },
			{ "budget_bytes", PHCA_SETTING_UINT, 256, NULL } };

	for (unsigned int i = 0; i < 2; i++) {
		bpf_setup("greedy", p, 2, i == 0 ? bytes : calls, 1);
		bpf_post(0, PHCA_WR_SEND, 1);
		rig_settle(&bpf.r);
		rig_cq_expect(&bpf.cq, 1, PHCA_WC_LOC_QP_OP_ERR);
		CU_ASSERT_EQUAL(bpf_counter("over_budget"), 1);
		CU_ASSERT_EQUAL(bpf_seen(2), 32);
		CU_ASSERT_EQUAL((int64_t)bpf_seen(3), -E2BIG);
		bpf_teardown();
	}
	bpf_setup("greedy", p, 2, enough, 2);
	bpf_post(0, PHCA_WR_SEND, 1);
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 1, OK);
	CU_ASSERT_EQUAL(bpf_counter("helper_calls"), 4);
	CU_ASSERT_EQUAL(bpf_counter("helper_bytes"), 256);
	bpf_teardown();
}

PHCA_TEST(bpf, what_is_not_free_is_told)
{
	const struct phca_setting_arg few[] = { { "children", PHCA_SETTING_UINT, 1, NULL },
		{ "messages", PHCA_SETTING_UINT, 1, NULL } };
	struct { uint64_t va; uint32_t key, len; } order = { IOVA, 0, 8 };

	bpf_setup("out", NULL, 0, few, 2);
	order.key = bpf.rkey;
	bpf_send_in(0, 0, &order, sizeof(order));
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(bpf_seen(6), 0);
	CU_ASSERT_EQUAL((int64_t)bpf_seen(7), -ENOMEM); /* the child is on its way */
	CU_ASSERT_EQUAL((int64_t)bpf_seen(8), -ENOMEM); /* the message, too */
	CU_ASSERT(bpf_counter("no_child") > 0);
	CU_ASSERT(bpf_counter("no_message") > 0);
	over(next(NULL, 28), OK);
	bpf_teardown();
}

/* Replaced between two requests: the map stays, the order must fit. */
PHCA_TEST(bpf, replaced_by_another_program)
{
	char err[PHCA_FILTER_ERR_MAX];
	struct phca_filter *fresh, *old;

	bpf_setup("third_time", NULL, 0, NULL, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(bpf.o), 0);
	bpf_post(0, PHCA_WR_SEND, 1);
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 1, OK);
	old = phca_filter_slot_get(&bpf.slot);
	fresh = bpf_load("says", NULL, 0, old);
	CU_ASSERT_EQUAL(phca_offload_ops(bpf.o)->program_check(bpf.o, fresh, err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "begin with setting ordered true"));
	phca_filter_free(fresh);
	fresh = bpf_load("swallow", NULL, 0, old);
	CU_ASSERT_EQUAL(phca_offload_ops(bpf.o)->program_check(bpf.o, fresh, err, sizeof(err)), 0);
	bpf_post(1, PHCA_WR_SEND, 2); /* waits in the old one, ends in the new one */
	rig_turn(&bpf.r);
	CU_ASSERT_PTR_EQUAL(phca_filter_slot_swap(&bpf.slot, fresh), old);
	CU_ASSERT_EQUAL(bpf_seen(0), 1); /* as the old one left it */
	phca_filter_free(old);
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 2, OK);
	CU_ASSERT_EQUAL(bpf_seen(0), bpf.r.now_ns);
	CU_ASSERT_PTR_EQUAL(phca_offload_program(bpf.o), &bpf.slot);
	bpf_teardown();
}

PHCA_TEST(bpf, no_instance_without_a_program_or_beyond_its_size)
{
	struct phca_offload_conf conf = { .name = "none", .ops = &phca_offload_bpf };
	const struct phca_setting_arg tiny = { "budget_instructions", PHCA_SETTING_UINT, 2, NULL };
	char err[256] = "";

	bpf_setup("swallow", NULL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(phca_offload_create(bpf.r.p, &conf, err, sizeof(err)));
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "it has no program"));
	conf.program = &bpf.slot;
	conf.args = &tiny;
	conf.nb_args = 1;
	CU_ASSERT_PTR_NULL(phca_offload_create(bpf.r.p, &conf, err, sizeof(err)));
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "instructions, setting budget_instructions allows 2"));
	bpf_teardown();
}
