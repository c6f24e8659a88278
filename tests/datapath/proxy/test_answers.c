/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inbound READs and atomics: what drivers see and answer, what is done by
 * default, and that the HCA gets exactly one answer for each, whatever happens.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define FLUSH PHCA_WC_WR_FLUSH_ERR
#define BAD PHCA_WC_REM_OP_ERR
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV
#define TAGS 16
#define WINDOW 16
#define BYTES (1u << 17)
#define IOVA 0x100000u

static struct rig r;
static struct rig_cq scq, rcq;
static struct phca_offload *o;
static struct manual *s;
static struct phca_pqp *q;
static struct phca_mem *mem;
static struct rte_rcu_qsbr *qsbr;
static uint32_t pd, rkey;
static uint8_t *memory;      /* BYTES of the application's */
static unsigned int at;      /* replies looked at */
static char cookie;

static void memory_make(void)
{
	qsbr = aligned_alloc(64, RTE_CACHE_LINE_ROUNDUP(rte_rcu_qsbr_get_memsize(1)));
	CU_ASSERT_PTR_NOT_NULL_FATAL(qsbr);
	rte_rcu_qsbr_init(qsbr, 1);
	mem = phca_mem_create(16, qsbr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
	pd = phca_pd_alloc(mem);
	memory = aligned_alloc(4096, BYTES);
	CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
	for (unsigned int i = 0; i < BYTES; i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 8));
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, memory, BYTES, IOVA, PHCA_ACCESS_LOCAL_WRITE |
		PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC, &rkey), 0);
}

/* A proxy QP whose one rule offloads to `to`. */
static void qp_make(struct phca_offload *to)
{
	struct phca_pqp_conf conf = {
		.qpn = 0x11, .transport = PHCA_TRANSPORT_RC, .cookie = &cookie, .chan = r.chan, .pd = pd,
		.window = { WINDOW, WINDOW }, .cq = { &scq.w, &rcq.w }, .nb_rules = 1, .offloads = { to },
		.nb_tags = TAGS,
	};
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };

	m.pqp = q = phca_pqp_create(r.p, &conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	rig_send(&r, &m);
}

static void setup_ring(uint32_t ring_size, uint64_t limit_ns, bool no_cancel)
{
	memory_make();
	rig_init_mem(&r, ring_size, mem);
	rig_cq_init(&scq, 192, 64);
	rig_cq_init(&rcq, 192, 64);
	o = rig_manual(&r, "manual", limit_ns, no_cancel);
	s = rig_manual_state(o);
	qp_make(o);
	at = 0;
}

static void setup(void)
{
	setup_ring(1024, 0, false);
}

static void teardown(void)
{
	if (q != NULL)
		rig_pqp_end(&r, q);
	for (; at < r.nb_replies; at++)
		CU_ASSERT_NOT_EQUAL(r.replies[at].kind, PHCA_PREPLY_ANSWER); /* one too many */
	rig_fini(&r);
	rig_cq_fini(&scq);
	rig_cq_fini(&rcq);
	phca_mem_destroy(mem);
	free(qsbr);
	free(memory);
}

/* A request packet up to its extended header. */
static void *packet(struct phca_pmsg *m, uint8_t opcode, uint32_t seq, uint32_t tag)
{
	uint16_t ext = phca_opcode_table[opcode].hdr_len;
	uint8_t *d;

	*m = (struct phca_pmsg){ .kind = PHCA_PMSG_OFFLOAD, .dir = RECV, .seq = seq, .pqp = q };
	m->in.m = rte_pktmbuf_alloc(r.pool);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m->in.m);
	d = (uint8_t *)rte_pktmbuf_append(m->in.m, (uint16_t)(42 + ext));
	memset(d, 0, 42u + ext);
	m->in.pkt = (struct phca_pkt){
		.opcode = opcode, .l3_off = 14, .bth_off = 42, .payload_off = (uint16_t)(42 + ext),
	};
	m->in.last_opcode = opcode;
	m->in.tag = tag;
	return d + 42 + sizeof(struct phca_bth);
}

static void read_key(uint32_t seq, uint32_t tag, uint64_t va, uint32_t key, uint32_t len)
{
	struct phca_pmsg m;
	struct phca_reth *h = packet(&m, PHCA_RC_READ_REQ, seq, tag);

	phca_put64(h->va, va);
	phca_put32(h->rkey, key);
	phca_put32(h->len, len);
	rig_send(&r, &m);
	rig_turn(&r);
}

static void read_req(uint32_t seq, uint32_t tag, uint32_t offset, uint32_t len)
{
	read_key(seq, tag, IOVA + offset, rkey, len);
}

static void atomic_req(uint8_t opcode, uint32_t seq, uint32_t tag, uint32_t offset, uint64_t cmp, uint64_t swap_add)
{
	struct phca_pmsg m;
	struct phca_atomiceth *h = packet(&m, opcode, seq, tag);

	phca_put64(h->va, IOVA + offset);
	phca_put32(h->rkey, rkey);
	phca_put64(h->cmp, cmp);
	phca_put64(h->swap_add, swap_add);
	rig_send(&r, &m);
	rig_turn(&r);
}

/* The next answer, others than answers are skipped. @return NULL: none */
static const struct phca_preply *answer(void)
{
	while (at < r.nb_replies)
		if (r.replies[at++].kind == PHCA_PREPLY_ANSWER)
			return &r.replies[at - 1];
	return NULL;
}

/* The next answer is of that tag and status. @return its data, the caller's */
static struct rte_mbuf *expect(uint32_t tag, enum phca_wc_status status, uint64_t value)
{
	const struct phca_preply *p;

	rig_turn(&r);
	p = answer();
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_PTR_EQUAL(p->cookie, &cookie);
	CU_ASSERT_EQUAL(p->tag, tag);
	CU_ASSERT_EQUAL(p->status, (uint8_t)status);
	CU_ASSERT_EQUAL(p->value, value);
	return p->data;
}

static void expect_none(void)
{
	rig_settle(&r);
	CU_ASSERT_PTR_NULL(answer());
}

/* Compares and frees. */
static void expect_data(struct rte_mbuf *m, const void *bytes, uint32_t len)
{
	uint8_t *buf = malloc(len + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(rte_pktmbuf_pkt_len(m), len);
	CU_ASSERT_EQUAL(rte_mbuf_check(m, 1, (const char *[]){ NULL }), 0);
	if (rte_pktmbuf_pkt_len(m) == len) {
		const void *p = rte_pktmbuf_read(m, 0, len, buf);

		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		CU_ASSERT_EQUAL(memcmp(p, bytes, len), 0);
	}
	free(buf);
	rte_pktmbuf_free(m);
}

static uint64_t word(uint32_t offset)
{
	uint64_t v;

	memcpy(&v, memory + offset, sizeof(v));
	return v;
}

PHCA_TEST(answers, a_driver_sees_what_the_peer_wants)
{
	struct phca_offload_req *req;
	struct phca_pmsg m;
	struct phca_reth *h;
	uint8_t buf[8];

	setup();
	read_req(0, 3, 64, 1000);
	req = s->held[0];
	CU_ASSERT_EQUAL(req->dir, RECV);
	CU_ASSERT_EQUAL(req->op, PHCA_OP_READ_REQ);
	CU_ASSERT_EQUAL(req->transport, PHCA_TRANSPORT_RC);
	CU_ASSERT_EQUAL(req->qpn, 0x11);
	CU_ASSERT_EQUAL(req->pd, pd);
	CU_ASSERT_EQUAL(req->va, IOVA + 64);
	CU_ASSERT_EQUAL(req->rkey, rkey);
	CU_ASSERT_EQUAL(req->len, 1000);
	CU_ASSERT_FALSE(req->has_imm);
	CU_ASSERT_EQUAL(phca_offload_read(req, 0, buf, 8), 0); /* it has no payload */
	atomic_req(PHCA_RC_CMP_SWAP, 1, 4, 8, 0x1122334455667788u, 99);
	req = s->held[1];
	CU_ASSERT_EQUAL(req->op, PHCA_OP_CMP_SWAP);
	CU_ASSERT_EQUAL(req->va, IOVA + 8);
	CU_ASSERT_EQUAL(req->compare, 0x1122334455667788u);
	CU_ASSERT_EQUAL(req->swap_add, 99);
	CU_ASSERT_EQUAL(req->len, 8);
	CU_ASSERT_EQUAL(phca_offload_read(req, 0, buf, 8), 0);
	h = packet(&m, PHCA_RC_WRITE_ONLY, 2, 0);
	phca_put64(h->va, 0x123456789abcu);
	phca_put32(h->rkey, 0x77);
	m.in.msg_len = 0;
	rig_send(&r, &m);
	rig_turn(&r);
	req = s->held[2];
	CU_ASSERT_EQUAL(req->va, 0x123456789abcu);
	CU_ASSERT_EQUAL(req->rkey, 0x77);
	CU_ASSERT_EQUAL(req->len, 0);
	CU_ASSERT_EQUAL(phca_offload_answer(req, 0, buf, 1), -EINVAL); /* nobody waits for one */
	CU_ASSERT_EQUAL(phca_offload_execute(req), -EINVAL);
	expect_none();
	teardown();
}

PHCA_TEST(answers, default_of_a_read_is_the_memory)
{
	setup();
	read_req(0, 1, 100, 5000);
	rig_complete(&r, q, RECV, 1, 101, OK, 0);
	rig_turn(&r);
	rig_cq_expect_empty(&rcq); /* the receive behind it waits */
	expect_none();
	rig_manual_done(o, RECV, 0, OK);
	CU_ASSERT_PTR_NULL(expect(1, OK, 0));
	rig_cq_expect(&rcq, 101, OK);
	rig_cq_expect_empty(&rcq); /* the READ itself: a no-op */
	CU_ASSERT_EQUAL(rig_stats(&r).noops, 1);
	CU_ASSERT_EQUAL(rig_stats(&r).answers, 1);
	read_key(2, 1, 0, 0, 0); /* no bytes: no key is looked at (C9-88) */
	rig_manual_done(o, RECV, 2, OK);
	CU_ASSERT_PTR_NULL(expect(1, OK, 0));
	teardown();
}

static void refused(uint64_t va, uint32_t key, uint32_t len, uint32_t domain)
{
	setup_ring(1024, 0, false);
	rig_pqp_end(&r, q);
	pd = domain != 0 ? domain : pd;
	qp_make(o);
	at = r.nb_replies;
	read_key(0, 2, va, rkey ^ key, len);
	rig_manual_done(o, RECV, 0, OK);
	CU_ASSERT_PTR_NULL(expect(2, PHCA_WC_REM_ACCESS_ERR, 0));
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, &cookie), 1);
	rig_complete(&r, q, RECV, 1, 101, OK, 0);
	rig_turn(&r);
	rig_cq_expect(&rcq, 101, PHCA_WC_REM_ACCESS_ERR);
	teardown();
}

PHCA_TEST(answers, default_of_a_read_is_checked)
{
	refused(IOVA, 0x100, 8, 0);          /* no such key */
	refused(IOVA + BYTES - 7, 0, 8, 0);  /* beyond the end */
	refused(UINT64_MAX - 3, 0, 8, 0);    /* wraps */
	refused(IOVA, 0, 8, 4711);           /* another domain */
}

PHCA_TEST(answers, default_of_atomics_is_to_do_them_once)
{
	uint64_t v;

	setup();
	v = word(16);
	atomic_req(PHCA_RC_FETCH_ADD, 0, 0, 16, 0, 5);
	CU_ASSERT_EQUAL(word(16), v); /* not before the driver says so */
	rig_manual_done(o, RECV, 0, OK);
	CU_ASSERT_EQUAL(word(16), v + 5);
	CU_ASSERT_PTR_NULL(expect(0, OK, v));
	atomic_req(PHCA_RC_CMP_SWAP, 1, 0, 16, v, 77); /* not equal */
	rig_manual_done(o, RECV, 1, OK);
	CU_ASSERT_PTR_NULL(expect(0, OK, v + 5));
	CU_ASSERT_EQUAL(word(16), v + 5);
	atomic_req(PHCA_RC_CMP_SWAP, 2, 0, 16, v + 5, 77);
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), 0);
	CU_ASSERT_EQUAL(word(16), 77); /* now */
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), -EALREADY);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, &v, 8), -EALREADY);
	rig_manual_done(o, RECV, 2, OK);
	CU_ASSERT_EQUAL(word(16), 77);
	CU_ASSERT_PTR_NULL(expect(0, OK, v + 5));
	atomic_req(PHCA_RC_FETCH_ADD, 3, 9, 20, 0, 5); /* 9.7.4.1.7: aligned */
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), -EINVAL);
	rig_manual_done(o, RECV, 3, OK);
	CU_ASSERT_PTR_NULL(expect(9, PHCA_WC_REM_INV_REQ_ERR, 0));
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, &cookie), 1);
	teardown();
}

PHCA_TEST(answers, atomic_of_the_drivers_own)
{
	uint64_t v, mine = 0xfedcba9876543210u;

	setup();
	v = word(0);
	atomic_req(PHCA_RC_FETCH_ADD, 0, 15, 0, 0, 1);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, &mine, 4), -EINVAL);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 1, &mine, 8), -EINVAL);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, &mine, 8), 0);
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), -EALREADY);
	rig_manual_done(o, RECV, 0, OK);
	CU_ASSERT_PTR_NULL(expect(15, OK, mine));
	CU_ASSERT_EQUAL(word(0), v);
	teardown();
}

PHCA_TEST(answers, read_written_by_the_driver_in_pieces)
{
	static uint8_t want[3000];
	struct phca_offload_req *req;

	setup();
	for (unsigned int i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 13 + 1);
	read_req(0, 7, 0, sizeof(want));
	req = s->held[0];
	CU_ASSERT_EQUAL(phca_offload_answer(req, 1, want, 1), -EINVAL); /* a gap */
	CU_ASSERT_EQUAL(phca_offload_answer(req, 0, want, 0), 0);
	CU_ASSERT_EQUAL(phca_offload_answer(req, 0, want, 1), 0);
	CU_ASSERT_EQUAL(phca_offload_answer(req, 0, memory, 511), 0); /* all over again, and more */
	CU_ASSERT_EQUAL(phca_offload_answer(req, 511, want + 511, 1), 0); /* the first buffer is full */
	CU_ASSERT_EQUAL(phca_offload_answer(req, 512, memory, 1300), 0);
	CU_ASSERT_EQUAL(phca_offload_answer(req, 1813, want, 1), -EINVAL);
	CU_ASSERT_EQUAL(phca_offload_answer(req, 0, want, 1700), 0); /* across buffers */
	CU_ASSERT_EQUAL(phca_offload_answer(req, 1700, want + 1700, 1301), -EINVAL); /* more than it wants */
	CU_ASSERT_EQUAL(phca_offload_answer(req, UINT32_MAX, want, 2), -EINVAL);
	CU_ASSERT_EQUAL(phca_offload_answer(req, 1700, want + 1700, 1300), 0);
	CU_ASSERT_EQUAL(phca_offload_execute(req), -EALREADY);
	rig_manual_done(o, RECV, 0, OK);
	expect_data(expect(7, OK, 0), want, sizeof(want));
	teardown();
}

PHCA_TEST(answers, read_that_lacks_bytes_fails)
{
	setup();
	read_req(0, 7, 0, 2000);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, memory, 1999), 0);
	rig_manual_done(o, RECV, 0, OK);
	CU_ASSERT_PTR_NULL(expect(7, PHCA_WC_LOC_LEN_ERR, 0));
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, &cookie), 1);
	teardown();
}

PHCA_TEST(answers, executed_read_is_a_copy_that_can_be_changed)
{
	static uint8_t want[PHCA_OFFLOAD_COPY_MAX];

	setup();
	read_req(0, 1, 9, sizeof(want));
	memcpy(want, memory + 9, sizeof(want));
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), 0);
	memset(memory, 0, BYTES); /* later changes do not show */
	memset(want + 1000, 0xee, 50);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 1000, want + 1000, 50), 0);
	rig_manual_done(o, RECV, 0, OK);
	expect_data(expect(1, OK, 0), want, sizeof(want));
	read_req(1, 1, 9, sizeof(want) + 1); /* too long to copy */
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), 0);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, want, 1), -EALREADY);
	rig_manual_done(o, RECV, 1, OK);
	CU_ASSERT_PTR_NULL(expect(1, OK, 0));
	read_key(2, 1, IOVA, rkey ^ 1, 16);
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), -EACCES);
	rig_manual_done(o, RECV, 2, PHCA_WC_REM_ACCESS_ERR);
	CU_ASSERT_PTR_NULL(expect(1, PHCA_WC_REM_ACCESS_ERR, 0));
	teardown();
}

/* Memory that only callbacks reach. */
static bool far_gone;

static int far_read(void *arg, uint64_t off, void *dst, uint32_t len)
{
	(void)arg;
	if (far_gone)
		return -EFAULT;
	memcpy(dst, memory + off, len);
	return 0;
}

static int far_write(void *arg, uint64_t off, const void *src, uint32_t len)
{
	(void)arg, (void)off, (void)src, (void)len;
	return -EFAULT;
}

PHCA_TEST(answers, memory_without_a_pointer_is_read_and_has_no_atomics)
{
	static const struct phca_mr_io io = { far_read, far_write };
	unsigned int n;

	setup();
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg_io(mem, pd, &io, NULL, BYTES, IOVA, PHCA_ACCESS_LOCAL_WRITE |
		PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC, &rkey), 0);
	far_gone = false;
	read_req(0, 1, 9, 3000);
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), 0);
	rig_manual_done(o, RECV, 0, OK);
	expect_data(expect(1, OK, 0), memory + 9, 3000);
	read_req(1, 2, 0, 3000);
	far_gone = true;
	n = rte_mempool_avail_count(r.pool);
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), -EACCES);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r.pool), n);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, memory, 3000), 0); /* the driver's own */
	rig_manual_done(o, RECV, 1, OK);
	expect_data(expect(2, OK, 0), memory, 3000);
	atomic_req(PHCA_RC_FETCH_ADD, 2, 3, 0, 0, 1);
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[0]), -ENOTSUP);
	rig_manual_done(o, RECV, 2, OK);
	CU_ASSERT_PTR_NULL(expect(3, PHCA_WC_REM_OP_ERR, 0));
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, &cookie), 1);
	teardown();
}

PHCA_TEST(answers, without_buffers_a_driver_tries_again)
{
	static struct rte_mbuf *all[8192];
	unsigned int n;

	setup();
	read_req(0, 1, 0, 4000);
	read_req(1, 2, 0, 4000);
	n = rte_mempool_avail_count(r.pool);
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(r.pool, all, n - 3), 0);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, memory, 512), 0); /* 1 of 3 */
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 512, memory + 512, 4000 - 512), -ENOMEM);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r.pool), 2); /* nothing is kept */
	CU_ASSERT_EQUAL(phca_offload_execute(s->held[1]), -ENOMEM);
	rig_manual_done(o, RECV, 1, OK); /* the default needs none */
	CU_ASSERT_PTR_NULL(expect(2, OK, 0));
	rte_pktmbuf_free_bulk(all, n - 3);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 512, memory + 512, 4000 - 512), 0);
	rig_manual_done(o, RECV, 0, OK);
	expect_data(expect(1, OK, 0), memory, 4000);
	teardown();
}

PHCA_TEST(answers, errors_of_drivers_are_told_and_leave_nothing)
{
	setup();
	read_req(0, 1, 0, 4000);
	read_req(1, 2, 0, 4000);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, memory, 4000), 0);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[1], 0, memory, 100), 0);
	rig_manual_done(o, RECV, 0, BAD);
	CU_ASSERT_PTR_NULL(expect(1, BAD, 0));
	CU_ASSERT_PTR_NULL(expect(2, FLUSH, 0)); /* behind it: cancelled */
	CU_ASSERT_EQUAL(s->nb_held, 0);
	atomic_req(PHCA_RC_FETCH_ADD, 2, 3, 0, 0, 1); /* was on its way: no driver sees it */
	CU_ASSERT_PTR_NULL(expect(3, FLUSH, 0));
	CU_ASSERT_EQUAL(s->nb_held, 0);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, &cookie), 1);
	teardown();
}

PHCA_TEST(answers, refused_by_the_driver)
{
	uint64_t v;

	setup();
	v = word(0);
	s->refuse = ENOSPC;
	atomic_req(PHCA_RC_FETCH_ADD, 0, 0, 0, 0, 1);
	CU_ASSERT_PTR_NULL(expect(0, PHCA_WC_LOC_QP_OP_ERR, 0));
	CU_ASSERT_EQUAL(word(0), v);
	teardown();
}

PHCA_TEST(answers, time_limit_answers_though_the_driver_holds_on)
{
	struct phca_offload_req *req;
	uint64_t v;

	setup_ring(1024, 5000, true);
	v = word(0);
	read_req(0, 1, 0, 600);
	req = s->held[0];
	CU_ASSERT_EQUAL(phca_offload_answer(req, 0, memory, 600), 0);
	r.now_ns += 1;
	atomic_req(PHCA_RC_FETCH_ADD, 1, 2, 0, 0, 1);
	r.now_ns += 4999;
	CU_ASSERT_PTR_NULL(expect(1, PHCA_WC_RESP_TIMEOUT_ERR, 0));
	CU_ASSERT_PTR_NULL(expect(2, FLUSH, 0));
	CU_ASSERT_EQUAL(s->nb_held, 2);
	CU_ASSERT_EQUAL(phca_offload_answer(req, 0, memory, 600), -ECANCELED);
	CU_ASSERT_EQUAL(phca_offload_execute(req), -ECANCELED);
	rig_manual_done(o, RECV, 0, OK); /* late */
	rig_manual_done(o, RECV, 1, OK);
	expect_none();
	CU_ASSERT_EQUAL(word(0), v); /* nothing was done for them */
	teardown();
}

PHCA_TEST(answers, detached_none_is_owed_and_nothing_leaks)
{
	setup();
	read_req(0, 1, 0, 4000);
	atomic_req(PHCA_RC_FETCH_ADD, 1, 2, 0, 0, 1);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, memory, 4000), 0);
	rig_pqp_end(&r, q);
	q = NULL;
	expect_none();
	teardown(); /* all mbufs are back */
}

PHCA_TEST(answers, detached_while_a_driver_holds_on)
{
	setup_ring(1024, 0, true);
	read_req(0, 1, 0, 4000);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, memory, 4000), 0);
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, &cookie), 0);
	CU_ASSERT_EQUAL(phca_offload_answer(s->held[0], 0, memory, 4000), -ECANCELED);
	rig_manual_done(o, RECV, 0, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, &cookie), 1);
	phca_pqp_destroy(q);
	q = NULL;
	expect_none();
	teardown();
}

PHCA_TEST(answers, tags_are_used_one_at_a_time)
{
	setup();
	read_req(0, TAGS, 0, 8); /* none such */
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 1);
	read_req(0, TAGS - 1, 0, 8);
	read_req(1, TAGS - 1, 0, 8); /* its answer is still owed */
	CU_ASSERT_EQUAL(rig_stats(&r).bad_messages, 2);
	CU_ASSERT_EQUAL(s->nb_held, 1);
	rig_manual_done(o, RECV, 0, OK);
	CU_ASSERT_PTR_NULL(expect(TAGS - 1, OK, 0));
	read_req(1, TAGS - 1, 0, 8);
	CU_ASSERT_EQUAL(s->nb_held, 1);
	rig_manual_done(o, RECV, 1, OK);
	CU_ASSERT_PTR_NULL(expect(TAGS - 1, OK, 0));
	teardown();
}

/* Fill the reply ring, and what the proxy stages before it. No message waits then. */
static void replies_block(void)
{
	for (unsigned int i = 0; i < 15 + 256; i++) {
		rig_kind(&r, PHCA_PMSG_FENCE, NULL);
		phca_loop_turn(r.loop, r.now_ns);
	}
}

/* Only now the HCA reads: @return how many answers, all with status; data are freed */
static unsigned int replies_unblock(enum phca_wc_status status, uint32_t *tags)
{
	struct rte_ring *from = phca_proxy_chan_replies(r.chan);
	struct phca_preply got;
	unsigned int n = 0;
	bool error = false;

	for (int idle = 0; idle < 4; idle++) {
		while (rte_ring_sc_dequeue_elem(from, &got, sizeof(got)) == 0) {
			idle = 0;
			error |= got.kind == PHCA_PREPLY_ERROR;
			if (got.kind != PHCA_PREPLY_ANSWER)
				continue;
			CU_ASSERT_FALSE(error); /* the answers of a turn are before its errors */
			CU_ASSERT_EQUAL(got.status, (uint8_t)status);
			*tags |= 1u << got.tag;
			rte_pktmbuf_free(got.data);
			n++;
		}
		phca_loop_turn(r.loop, r.now_ns);
	}
	return n;
}

PHCA_TEST(answers, full_reply_ring_loses_no_answer)
{
	uint32_t tags = 0;

	setup_ring(16, 0, false);
	for (uint32_t i = 0; i < 8; i++) {
		read_req(i, i, 0, 700);
		CU_ASSERT_EQUAL(phca_offload_answer(s->held[i], 0, memory, 700), 0);
	}
	replies_block();
	for (uint32_t i = 0; i < 8; i++)
		rig_manual_done(o, RECV, 7 - i, OK);
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_EQUAL(rig_stats(&r).answers, 8);
	CU_ASSERT_EQUAL(replies_unblock(OK, &tags), 8);
	CU_ASSERT_EQUAL(tags, 0xff);
	teardown();
}

PHCA_TEST(answers, errors_wait_behind_answers_that_wait)
{
	uint32_t tags = 0;

	setup_ring(16, 0, false);
	for (uint32_t i = 0; i < 4; i++)
		read_req(i, i, 0, 700);
	replies_block();
	for (uint32_t i = 4; i > 0; i--)
		rig_manual_done(o, RECV, i - 1, BAD);
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_EQUAL(replies_unblock(BAD, &tags), 4);
	CU_ASSERT_EQUAL(tags, 0xf);
	teardown();
}

PHCA_TEST(answers, that_wait_for_room_go_with_detach)
{
	uint32_t tags = 0;

	setup_ring(16, 0, false);
	for (uint32_t i = 0; i < 8; i++) {
		read_req(i, i, 0, 700);
		CU_ASSERT_EQUAL(phca_offload_answer(s->held[i], 0, memory, 700), 0);
	}
	replies_block();
	for (uint32_t i = 0; i < 7; i++)
		rig_manual_done(o, RECV, i, OK);
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_EQUAL(rig_stats(&r).answers, 7);
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_EQUAL(s->nb_held, 0);
	CU_ASSERT_EQUAL(replies_unblock(OK, &tags), 0);
	CU_ASSERT_EQUAL(rig_stats(&r).pqps, 0);
	phca_pqp_destroy(q);
	q = NULL;
	teardown();
}

PHCA_TEST(answers, that_nobody_took_go_with_the_proxy)
{
	setup_ring(16, 0, false);
	for (uint32_t i = 0; i < 8; i++) {
		read_req(i, i, 0, 700);
		CU_ASSERT_EQUAL(phca_offload_answer(s->held[i], 0, memory, 700), 0);
	}
	for (uint32_t i = 0; i < 8; i++)
		rig_manual_done(o, RECV, i, OK);
	phca_loop_turn(r.loop, r.now_ns);
	rig_kind(&r, PHCA_PMSG_DETACH, q);
	phca_loop_turn(r.loop, r.now_ns);
	CU_ASSERT_EQUAL(rig_stats(&r).pqps, 0);
	phca_pqp_destroy(q); /* DETACHED is in the ring, which nobody reads */
	q = NULL;
	r.chan = phca_proxy_chan_create(r.p, NULL); /* the rig reads this one from now on */
	CU_ASSERT_PTR_NOT_NULL_FATAL(r.chan);
	teardown();
}

PHCA_TEST(answers, null_and_delay_tell_the_truth)
{
	/* Atomics at random times: each value is seen once, the sum is right; failed ones did nothing. */
	const struct phca_setting_arg args[] = {
		{ "delay_max_us", PHCA_SETTING_UINT, 50, NULL }, { "seed", PHCA_SETTING_UINT, 5, NULL },
	};
	static const char *const drivers[] = { "null", "delay" };
	uint32_t busy, seq, done, wait;
	uint64_t seen[64], x = 42;

	for (unsigned int d = 0; d < 2; d++) {
		setup();
		rig_pqp_end(&r, q);
		qp_make(rig_offload(&r, drivers[d], drivers[d], 0, args, d == 0 ? 0 : 2));
		memset(memory, 0, 8);
		memset(seen, 0, sizeof(seen));
		busy = seq = done = wait = 0;
		at = r.nb_replies;
		while (done < 4096) {
			const struct phca_preply *a;
			uint32_t tag = (uint32_t)(phca_test_rand(&x) % TAGS);

			CU_ASSERT_TRUE_FATAL(wait++ < 1000000);
			if (seq < 4096 && !(busy >> tag & 1) && seq - rig_credit(&r, &cookie, RECV, 0) < WINDOW) {
				busy |= 1u << tag;
				atomic_req(PHCA_RC_FETCH_ADD, seq++, tag, 0, 0, 1);
			}
			r.now_ns += 1000;
			rig_settle(&r);
			while ((a = answer()) != NULL) {
				CU_ASSERT_EQUAL(a->status, OK);
				CU_ASSERT_TRUE_FATAL(a->value < 4096 && (busy >> a->tag & 1) != 0);
				CU_ASSERT_EQUAL(seen[a->value / 64] >> a->value % 64 & 1, 0);
				seen[a->value / 64] |= UINT64_C(1) << a->value % 64;
				busy &= ~(1u << a->tag);
				done++;
			}
			if (r.nb_replies > RIG_REPLIES / 2) { /* keep the last credit only */
				r.replies[0] = (struct phca_preply){
					.kind = PHCA_PREPLY_CREDIT, .dir = RECV, .cookie = &cookie,
					.seq = rig_credit(&r, &cookie, RECV, 0),
				};
				r.nb_replies = at = 1;
			}
		}
		CU_ASSERT_EQUAL(word(0), 4096);
		CU_ASSERT_EQUAL(busy, 0);
		teardown();
	}
}
