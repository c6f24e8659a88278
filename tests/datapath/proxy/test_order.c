/* SPDX-License-Identifier: BSD-3-Clause */
/* Ordered requests: what they issue and give back reaches the HCA in the order of the requests. */
#include <errno.h>
#include <string.h>

#include <rte_rcu_qsbr.h>
#include <rte_malloc.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define BAD PHCA_WC_REM_OP_ERR
#define FLUSH PHCA_WC_WR_FLUSH_ERR
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV
#define ORD PHCA_PMSG_F_ORDERED

static struct rig r;
static struct rig_cq cq;
static struct phca_offload_wr wr[64];
static struct phca_offload *o;
static struct phca_pqp *q;
static struct manual *s;
static struct phca_mem *mem;
static struct rte_rcu_qsbr *qsbr;
static uint32_t pd;

static void setup(void)
{
	memset(wr, 0, sizeof(wr));
	qsbr = rte_zmalloc(NULL, rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(qsbr);
	rte_rcu_qsbr_init(qsbr, 1);
	mem = phca_mem_create(64, qsbr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
	pd = phca_pd_alloc(mem);
	rig_init_mem(&r, 1024, mem);
	rig_cq_init(&cq, 192, 64);
	o = rig_manual_ordered(&r, "m", 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(o), 3);
	s = rig_manual_state(o);
	q = rig_pqp_rc(&r, 1, 64, &cq, &o, 1, pd);
}

static void teardown(void)
{
	if (q != NULL)
		rig_pqp_end(&r, q);
	rig_fini(&r);
	rig_cq_fini(&cq);
	phca_mem_destroy(mem);
	rte_free(qsbr);
}

static void posted(uint32_t seq)
{
	rig_offload_out(&r, q, seq, 0, &wr[seq], 100 + seq, ORD);
}

static void inbound(uint32_t seq, uint8_t rule, const char *text)
{
	struct rig_in in = {
		.seq = seq, .rule = rule, .flags = ORD, .opcode = PHCA_RC_SEND_ONLY,
		.data = text, .len = (uint32_t)strlen(text),
	};

	rig_message_in(&r, q, &in);
}

/*
 * What is told in order of the replies: a letter each, Child, Pass, Resume, with the id
 * or place behind; other kinds are left out.
 */
static void expect(unsigned int *at, const char *want)
{
	char got[256] = "";
	size_t n = 0;

	for (; *at < r.nb_replies && n < sizeof(got) - 16; (*at)++) {
		const struct phca_preply *p = &r.replies[*at];

		if (p->kind == PHCA_PREPLY_CHILD)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "C%lu ", (unsigned long)p->child->drv[0]);
		else if (p->kind == PHCA_PREPLY_PASS)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "P%u ", p->seq);
		else if (p->kind == PHCA_PREPLY_RESUME)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%c%u ", p->dir == SEND ? 'S' : 'R', p->seq);
	}
	if (strcmp(got, want) != 0)
		printf("  told \"%s\", expected \"%s\"\n", got, want);
	CU_ASSERT_STRING_EQUAL(got, want);
}

/* The HCA's part: the passed one is complete. */
static void passed(enum phca_dir dir, uint32_t seq, uint64_t wr_id, enum phca_wc_status status, uint8_t flags)
{
	rig_complete(&r, q, dir, seq, wr_id, status, flags);
	rig_turn(&r);
}

static void give_back(enum phca_dir dir, uint32_t seq)
{
	struct phca_offload_req *req = rig_manual_req(o, dir, seq);

	rig_manual_forget(o, req);
	CU_ASSERT_EQUAL(phca_offload_pass(req), 0);
}

PHCA_TEST(order, what_later_requests_issue_waits_for_the_earlier)
{
	unsigned int at = 0;

	setup();
	for (uint32_t i = 0; i < 3; i++)
		posted(i);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 2), 20), 0);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 1), 10), 0);
	give_back(SEND, 0); /* then 1 may issue */
	rig_turn(&r);
	expect(&at, "P0 C10 S1 ");
	CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 1), 11), 0);
	rig_turn(&r);
	expect(&at, "C11 ");
	phca_offload_emitted(rig_manual_req(o, SEND, 1));
	phca_offload_emitted(rig_manual_req(o, SEND, 1));
	rig_turn(&r);
	expect(&at, "C20 S1 ");
	rig_manual_done(o, SEND, 2, OK);
	rig_turn(&r);
	expect(&at, "S1 ");
	rig_manual_done(o, SEND, 1, OK);
	for (struct phca_child *c; (c = rig_child(&r)) != NULL;)
		rig_child_over(&r, c, OK);
	rig_turn(&r);
	rig_cq_expect_empty(&cq);
	passed(SEND, 0, 100, OK, 0);
	for (uint32_t i = 0; i < 3; i++)
		rig_cq_expect(&cq, 100 + i, OK);
	expect(&at, "");
	teardown();
}

/* A driver that goes on all the same. */
PHCA_TEST(order, after_emitted_nothing_more_is_issued)
{
	struct phca_offload_req *req;
	unsigned int at = 0;

	setup();
	posted(0);
	rig_turn(&r);
	req = rig_manual_req(o, SEND, 0);
	phca_offload_emitted(req);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, req, 1), -ECANCELED);
	CU_ASSERT_EQUAL(phca_offload_pass(req), -EINVAL);
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	expect(&at, "S1 ");
	rig_cq_expect(&cq, 100, OK);
	teardown();
}

static void gives_the_next_back(struct phca_offload *of, struct phca_offload_req *req)
{
	if (req->seq == 0)
		give_back(SEND, 1);
	(void)of;
}

/* The first of two is cancelled, and the driver gives the other back in there. */
PHCA_TEST(order, nothing_goes_back_to_a_qp_that_is_let_go)
{
	unsigned int at = 0;

	setup();
	posted(0);
	posted(1);
	rig_turn(&r);
	phca_offload_emitted(rig_manual_req(o, SEND, 0)); /* it is the turn of the other */
	rig_turn(&r);
	expect(&at, "S1 ");
	s->on_cancel = gives_the_next_back;
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	rig_settle(&r);
	expect(&at, "");
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, (void *)1), 1);
	CU_ASSERT_EQUAL(rig_stats(&r).in_flight, 0);
	phca_pqp_destroy(q);
	q = NULL;
	teardown();
}

PHCA_TEST(order, those_decided_early_are_told_in_turn)
{
	unsigned int at = 0;

	setup();
	for (uint32_t i = 0; i < 4; i++)
		posted(i);
	rig_turn(&r);
	give_back(SEND, 2);
	rig_manual_done(o, SEND, 1, OK);
	rig_turn(&r);
	expect(&at, "");
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	expect(&at, "P2 S3 ");
	rig_cq_expect(&cq, 100, OK);
	rig_cq_expect(&cq, 101, OK);
	rig_cq_expect_empty(&cq);
	give_back(SEND, 3);
	rig_turn(&r);
	expect(&at, "P3 S1 ");
	passed(SEND, 3, 103, OK, 0);
	passed(SEND, 2, 102, OK, PHCA_PMSG_F_NO_CQE);
	rig_cq_expect(&cq, 103, OK);
	teardown();
}

PHCA_TEST(order, within_submit)
{
	unsigned int at = 0;

	setup();
	posted(0);
	rig_turn(&r);
	s->pass_all = true;
	posted(1);
	inbound(0, 0, "hello");
	rig_turn(&r);
	expect(&at, "P0 R1 ");
	rig_manual_done(o, SEND, 0, OK);
	rig_turn(&r);
	expect(&at, "P1 S2 ");
	passed(SEND, 1, 101, OK, 0);
	passed(RECV, 0, 55, OK, 0);
	rig_cq_expect(&cq, 100, OK);
	rig_cq_expect(&cq, 101, OK);
	rig_cq_expect(&cq, 55, OK);
	teardown();
}

/* Messages that match nothing come back behind those that are not decided. */
PHCA_TEST(order, messages_without_a_rule_keep_their_place)
{
	const struct phca_offload_req *req;
	const struct phca_preply *p = NULL;
	unsigned int at = 0;
	char text[8];

	setup();
	inbound(0, 0, "first");
	inbound(1, PHCA_PMSG_RULE_PASS, "second");
	inbound(2, 0, "third");
	inbound(3, PHCA_PMSG_RULE_PASS, "fourth");
	rig_turn(&r);
	expect(&at, "");
	rig_manual_done(o, RECV, 0, OK); /* consumed */
	rig_turn(&r);
	expect(&at, "P1 R2 ");
	for (unsigned int i = 0; i < r.nb_replies; i++)
		if (r.replies[i].kind == PHCA_PREPLY_PASS)
			p = &r.replies[i];
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_PTR_NULL(p->data);
	req = p->req;
	CU_ASSERT_EQUAL(req->len, 6);
	CU_ASSERT_EQUAL(phca_offload_read(req, 0, text, 6), 6);
	CU_ASSERT_EQUAL(memcmp(text, "second", 6), 0);
	give_back(RECV, 2);
	rig_turn(&r);
	expect(&at, "P2 P3 R2 ");
	passed(RECV, 1, 11, OK, 0);
	passed(RECV, 2, 12, OK, 0);
	passed(RECV, 3, 13, OK, 0);
	for (uint64_t i = 11; i <= 13; i++)
		rig_cq_expect(&cq, i, OK);
	teardown();
}

PHCA_TEST(order, other_bytes_are_delivered)
{
	const struct phca_preply *p = NULL;
	static uint8_t big[5000];
	struct rte_mbuf *data;

	setup();
	memset(big, 7, sizeof(big));
	inbound(0, 0, "abc");
	inbound(1, 0, "abc");
	rig_turn(&r);
	CU_ASSERT_EQUAL(phca_offload_deliver(rig_manual_req(o, RECV, 0), big, sizeof(big)), 0);
	rig_manual_forget(o, s->held[0]);
	CU_ASSERT_EQUAL(phca_offload_deliver(rig_manual_req(o, RECV, 1), NULL, 0), 0);
	rig_manual_forget(o, s->held[0]);
	rig_turn(&r);
	for (unsigned int i = 0, n = 0; i < r.nb_replies; i++) {
		p = &r.replies[i];
		if (p->kind != PHCA_PREPLY_PASS)
			continue;
		data = p->data;
		CU_ASSERT_PTR_NOT_NULL_FATAL(data);
		CU_ASSERT_EQUAL(data->pkt_len, n == 0 ? sizeof(big) : 0);
		CU_ASSERT_EQUAL(p->seq, n++);
		for (uint32_t k = 0; k < data->pkt_len; k++) {
			uint8_t b, *d = (uint8_t *)(uintptr_t)rte_pktmbuf_read(data, k, 1, &b);

			CU_ASSERT_EQUAL(*d, 7);
		}
		rte_pktmbuf_free(data); /* as the HCA does */
	}
	passed(RECV, 0, 1, OK, 0);
	passed(RECV, 1, 2, OK, 0);
	rig_cq_expect(&cq, 1, OK);
	rig_cq_expect(&cq, 2, OK);
	teardown();
}

PHCA_TEST(order, what_cannot_be_given_back)
{
	struct phca_offload *plain;
	struct phca_offload_req *req;

	setup();
	plain = rig_manual(&r, "plain", 0, false);
	rig_pqp_end(&r, q);
	q = rig_pqp_rc(&r, 2, 64, &cq, (struct phca_offload *[]){ plain, o }, 2, pd);
	rig_offload_out(&r, q, 0, 0, &wr[0], 1, 0);
	posted(1);
	rig_turn(&r);
	CU_ASSERT_EQUAL(phca_offload_ordered(plain), 0);
	CU_ASSERT_EQUAL(phca_offload_pass(rig_manual_req(plain, SEND, 0)), -EINVAL);
	rig_manual_done(plain, SEND, 0, OK);
	/* place 1 went to rule 0, too */
	req = rig_manual_req(plain, SEND, 1);
	CU_ASSERT_EQUAL(rig_manual_child(plain, q, req, 5), 0);
	CU_ASSERT_EQUAL(phca_offload_pass(req), -EINVAL);
	CU_ASSERT_EQUAL(phca_offload_deliver(req, "x", 1), -EINVAL);
	rig_manual_done(plain, SEND, 1, OK);
	rig_turn(&r);
	rig_child_over(&r, rig_child(&r), OK);
	rig_turn(&r);
	teardown();
}

PHCA_TEST(order, writes_are_executed_in_turn_with_the_peers_rights)
{
	static uint8_t buf[64];
	static const char *const text[] = { "aaaaaaaa", "bbbb", "cc" };
	struct rig_in in = { .flags = ORD, .opcode = PHCA_RC_WRITE_ONLY, .data = text[0], .len = 8 };
	uint32_t rkey;

	setup();
	memset(buf, 0, sizeof(buf));
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, buf, sizeof(buf), (uintptr_t)buf,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &rkey), 0);
	in.va = (uintptr_t)buf;
	in.rkey = rkey;
	rig_message_in(&r, q, &in);
	for (uint32_t i = 1; i < 3; i++) {
		in.seq = i;
		in.rule = i == 1 ? PHCA_PMSG_RULE_PASS : 0;
		in.data = text[i];
		in.len = (uint32_t)strlen(text[i]);
		rig_message_in(&r, q, &in);
	}
	rig_turn(&r);
	give_back(RECV, 2);
	rig_turn(&r);
	CU_ASSERT_EQUAL(buf[0], 0); /* not its turn */
	give_back(RECV, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(memcmp(buf, "ccbbaaaa", 9), 0);
	/* several packets, and immediate data, for which the HCA takes a receive */
	in = (struct rig_in){ .seq = 3, .rule = PHCA_PMSG_RULE_PASS, .flags = ORD, .opcode = PHCA_RC_WRITE_FIRST,
		.data = "0123456789", .len = 10, .mtu = 4, .va = (uintptr_t)buf + 10, .rkey = rkey };
	rig_message_in(&r, q, &in);
	in = (struct rig_in){ .seq = 4, .rule = PHCA_PMSG_RULE_PASS, .flags = ORD, .opcode = PHCA_RC_WRITE_ONLY_IMM,
		.data = "imm", .len = 3, .va = (uintptr_t)buf + 30, .rkey = rkey };
	rig_message_in(&r, q, &in);
	rig_turn(&r);
	CU_ASSERT_EQUAL(memcmp(buf + 10, "0123456789", 11), 0);
	CU_ASSERT_EQUAL(memcmp(buf + 30, "imm", 4), 0);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_PASS, (void *)1), 1);
	passed(RECV, 4, 9, OK, 0);
	rig_cq_expect(&cq, 9, OK);
	/* no right: nothing is written, the QP fails */
	in.seq = 5;
	in.va = (uintptr_t)buf + sizeof(buf) - 2;
	rig_message_in(&r, q, &in);
	rig_settle(&r);
	CU_ASSERT_EQUAL(buf[sizeof(buf) - 2], 0);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, (void *)1), 1);
	teardown();
}

PHCA_TEST(order, reads_come_after_writes_that_were_given_back)
{
	static uint64_t word;
	struct rig_in in = { .flags = ORD, .opcode = PHCA_RC_WRITE_ONLY, .data = "12345678", .len = 8 };
	uint32_t rkey;

	setup();
	word = 0;
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, &word, sizeof(word), (uintptr_t)&word,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ, &rkey), 0);
	in.va = (uintptr_t)&word;
	in.rkey = rkey;
	rig_message_in(&r, q, &in);
	in = (struct rig_in){ .seq = 1, .rule = PHCA_PMSG_RULE_PASS, .flags = ORD, .opcode = PHCA_RC_READ_REQ,
		.len = 8, .va = (uintptr_t)&word, .rkey = rkey, .tag = 3, .mtu = 1, .data = "        " };
	rig_message_in(&r, q, &in);
	rig_turn(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ANSWER, (void *)1), 0);
	give_back(RECV, 0);
	rig_settle(&r);
	CU_ASSERT_EQUAL(memcmp(&word, "12345678", 8), 0);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ANSWER, (void *)1), 1);
	teardown();
}

PHCA_TEST(order, a_read_that_is_given_back_is_of_memory_whatever_was_written)
{
	static uint64_t word;
	struct rig_in in = { .flags = ORD, .opcode = PHCA_RC_READ_REQ, .len = 8, .mtu = 1, .data = "        ",
		.va = (uintptr_t)&word };
	static const uint32_t written[] = { 3, 8 };

	setup();
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, &word, sizeof(word), (uintptr_t)&word,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ, &in.rkey), 0);
	for (uint32_t i = 0; i < RTE_DIM(written); i++) {
		const struct phca_preply *a;

		in.seq = in.tag = i;
		rig_message_in(&r, q, &in);
		rig_turn(&r);
		CU_ASSERT_EQUAL(phca_offload_answer(rig_manual_req(o, RECV, i), 0, "mine own", written[i]), 0);
		give_back(RECV, i);
		rig_settle(&r);
		a = &r.replies[r.nb_replies - 1];
		while (a->kind != PHCA_PREPLY_ANSWER)
			a--;
		CU_ASSERT_EQUAL(a->tag, i);
		CU_ASSERT_EQUAL(a->status, OK);
		CU_ASSERT_PTR_NULL(a->data); /* the HCA lcore reads it */
	}
	teardown();
}

/* A failure in front: those behind it are neither sent nor given back. */
PHCA_TEST(order, nothing_behind_a_failure_happens)
{
	unsigned int at = 0;

	setup();
	for (uint32_t i = 0; i < 4; i++)
		posted(i);
	rig_turn(&r);
	give_back(SEND, 1);
	CU_ASSERT_EQUAL(rig_manual_child(o, q, rig_manual_req(o, SEND, 2), 20), 0);
	rig_manual_done(o, SEND, 0, BAD);
	rig_settle(&r);
	expect(&at, "S4 ");
	rig_cq_expect(&cq, 100, BAD);
	for (uint32_t i = 1; i < 4; i++)
		rig_cq_expect(&cq, 100 + i, FLUSH);
	CU_ASSERT_EQUAL(s->nb_children, 1);
	CU_ASSERT_EQUAL(s->child_status[0], FLUSH);
	posted(4); /* on its way when the HCA did not know */
	rig_settle(&r);
	rig_cq_expect(&cq, 104, FLUSH);
	expect(&at, "S1 ");
	teardown();
}

/* The HCA has it, and its QP fails: the receive that it did not take completes nothing. */
PHCA_TEST(order, a_passed_message_is_flushed_without_a_completion)
{
	setup();
	s->pass_all = true;
	inbound(0, 0, "abc");
	inbound(1, 0, "def");
	rig_turn(&r);
	passed(RECV, 0, 0, FLUSH, PHCA_PMSG_F_NO_CQE);
	passed(RECV, 1, 0, FLUSH, PHCA_PMSG_F_NO_CQE);
	rig_complete(&r, q, RECV, 2, 77, FLUSH, 0); /* a receive that was posted */
	rig_turn(&r);
	rig_cq_expect(&cq, 77, FLUSH);
	rig_cq_expect_empty(&cq);
	teardown();
}

/* Given back, waiting for their turn, with the HCA: all mbufs come back. */
PHCA_TEST(order, a_qp_that_is_let_go)
{
	unsigned int at = 0;

	setup();
	inbound(0, 0, "decided late");
	inbound(1, 0, "waits");
	inbound(2, PHCA_PMSG_RULE_PASS, "waits");
	posted(0);
	posted(1);
	rig_turn(&r);
	CU_ASSERT_EQUAL(phca_offload_deliver(rig_manual_req(o, RECV, 1), "xyz", 3), 0);
	rig_manual_forget(o, s->held[1]);
	give_back(SEND, 1);
	rig_turn(&r);
	expect(&at, "");
	rig_pqp_end(&r, q);
	q = rig_pqp_rc(&r, 3, 64, &cq, &o, 1, pd);
	s->pass_all = true;
	inbound(0, 0, "with the HCA");
	posted(0);
	rig_turn(&r);
	expect(&at, "P0 P0 S1 R1 ");
	teardown();
}

/* Thousands, decided in a random order: each is told once, in order. */
PHCA_TEST(order, random_decisions)
{
	uint32_t next = 0, told = 0, resumed = 0, held = 0, state = 12345;

	setup();
	for (unsigned int turn = 0; turn < 20000; turn++) {
		state = state * 1664525 + 1013904223;
		if (held < 60 && next - told < 60 && (state >> 16) % 3 != 0) {
			rig_offload_out(&r, q, next, 0, &wr[next % 64], next, ORD);
			next++;
			rig_turn(&r);
		} else if (s->nb_held > 0) {
			struct phca_offload_req *req = s->held[(state >> 8) % s->nb_held];

			rig_manual_forget(o, req);
			CU_ASSERT_EQUAL(phca_offload_pass(req), 0);
			rig_turn(&r);
		}
		for (unsigned int i = 0; i < r.nb_replies; i++) {
			if (r.replies[i].kind == PHCA_PREPLY_PASS) {
				CU_ASSERT_EQUAL(r.replies[i].seq, told);
				rig_complete(&r, q, SEND, told, told, OK, 0);
				told++;
			} else if (r.replies[i].kind == PHCA_PREPLY_RESUME) {
				resumed += r.replies[i].seq;
				CU_ASSERT_EQUAL(resumed, told);
			}
		}
		r.nb_replies = 0;
		rig_turn(&r);
		held = s->nb_held;
		for (struct phca_wc wc; rig_cq_poll(&cq, &wc);)
			CU_ASSERT_EQUAL(wc.status, OK);
	}
	CU_ASSERT_TRUE(told > 5000);
	teardown();
}
