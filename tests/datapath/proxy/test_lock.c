/* SPDX-License-Identifier: BSD-3-Clause */
/* The lock driver: requests in, answers as children, tables in registered memory, ends of requesters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "phca_lock.h"
#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define NUM(n, v) { n, PHCA_SETTING_UINT, v, NULL }
#define LOCKS 256
#define IOVA 0x100000u
#define QPS 3
#define MS 1000000ull
#define X PHCA_LOCK_EXCLUSIVE
#define S PHCA_LOCK_SHARED
#define LOCK PHCA_LOCK_OP_LOCK
#define TRY PHCA_LOCK_OP_TRY
#define UNLOCK PHCA_LOCK_OP_UNLOCK

static struct rig r;
static struct rig_cq cq[QPS];
static struct phca_pqp *q[QPS];
static uint32_t seq[QPS];
static struct phca_offload *o;
static struct phca_mem *mem;
static struct rte_rcu_qsbr *qsbr;
static uint32_t pd, rkey, key_bare;
static struct phca_lock_table *table;
static uint64_t next_id;
/* Answers that reached the HCA, of each queue pair, in order; and children that are on the way. */
static struct phca_lock_answer got[QPS][1024];
static unsigned int nb_got[QPS], looked[QPS];
static struct phca_child *way[256];
static unsigned int nb_way, probes;

static void setup(const struct phca_setting_arg *args, unsigned int nb_args)
{
	qsbr = aligned_alloc(64, RTE_CACHE_LINE_ROUNDUP(rte_rcu_qsbr_get_memsize(1)));
	rte_rcu_qsbr_init(qsbr, 1);
	mem = phca_mem_create(16, qsbr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
	pd = phca_pd_alloc(mem);
	table = aligned_alloc(4096, RTE_ALIGN_CEIL(phca_lock_table_size(LOCKS), 4096));
	memset(table, 0, sizeof(*table));
	CU_ASSERT_PTR_NOT_NULL_FATAL(phca_lock_table_format(table, LOCKS));
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, table, phca_lock_table_size(LOCKS), IOVA,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_ATOMIC, &rkey), 0);
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, table, phca_lock_table_size(LOCKS), IOVA,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ, &key_bare), 0);
	rig_init_mem(&r, 1024, mem);
	o = rig_offload(&r, "lock", "locks", 0, args, nb_args);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	for (unsigned int i = 0; i < QPS; i++) {
		rig_cq_init(&cq[i], 192, 64);
		q[i] = rig_pqp_rc(&r, 0x40 + i, 64, &cq[i], &o, 1, pd);
		seq[i] = nb_got[i] = looked[i] = 0;
	}
	nb_way = probes = 0;
}

static int take_value(void *arg, const char *name, uint64_t value)
{
	struct { const char *name; uint64_t value; bool found; } *want = arg;

	if (strcmp(name, want->name) == 0) {
		want->value = value;
		want->found = true;
	}
	return 0;
}

static uint64_t counter(const char *name)
{
	struct { const char *name; uint64_t value; bool found; } want = { name, 0, false };

	phca_offload_ops(o)->show(o, take_value, &want);
	CU_ASSERT_TRUE_FATAL(want.found);
	return want.value;
}

/* What the HCA got: it keeps the children until they are let go of. */
static void collect(void)
{
	struct phca_child *c;

	while ((c = rig_child(&r)) != NULL) {
		unsigned int i = phca_pqp_qpn(c->pqp) - 0x40;
		unsigned int n = c->wr.len / sizeof(struct phca_lock_answer);

		CU_ASSERT_TRUE_FATAL(i < QPS && nb_way < 256 && nb_got[i] + n <= 1024);
		way[nb_way++] = c;
		if (c->wr.wqe.opcode == PHCA_WR_RDMA_WRITE) {
			CU_ASSERT_EQUAL(c->wr.len, 0);
			probes++;
			continue;
		}
		CU_ASSERT_EQUAL(c->wr.wqe.opcode, PHCA_WR_SEND);
		CU_ASSERT_EQUAL(c->wr.len % sizeof(struct phca_lock_answer), 0);
		CU_ASSERT(n >= 1 && n <= PHCA_LOCK_ANSWERS);
		memcpy(&got[i][nb_got[i]], c->wr.inline_data, c->wr.len);
		nb_got[i] += n;
	}
}

static void turns(void)
{
	rig_settle(&r);
	collect();
}

/* The peers acknowledge all that is on the way. */
static void acknowledge(enum phca_wc_status status)
{
	while (nb_way > 0) {
		unsigned int n = nb_way;

		for (unsigned int i = 0; i < n; i++)
			rig_child_over(&r, way[i], status);
		nb_way = 0;
		turns();
	}
}

static struct phca_lock_req request(enum phca_lock_op op, uint64_t session, uint32_t lock, enum phca_lock_mode mode)
{
	return (struct phca_lock_req){ .magic = PHCA_LOCK_MAGIC, .version = PHCA_LOCK_VERSION, .op = (uint8_t)op,
		.mode = (uint8_t)mode, .id = ++next_id, .session = session, .table_va = IOVA, .table_rkey = rkey,
		.lock = lock };
}

static void deliver(unsigned int i, const void *data, uint32_t len)
{
	struct rig_in in = { .seq = seq[i]++, .opcode = len > 256 ? PHCA_RC_SEND_FIRST : PHCA_RC_SEND_ONLY,
		.data = data, .len = len, .mtu = 256 };

	rig_message_in(&r, q[i], &in);
}

static uint64_t ask(unsigned int i, enum phca_lock_op op, uint64_t session, uint32_t lock, enum phca_lock_mode mode)
{
	struct phca_lock_req req = request(op, session, lock, mode);

	deliver(i, &req, sizeof(req));
	turns();
	return req.id;
}

static struct phca_lock_answer expect(unsigned int i, uint64_t id, enum phca_lock_status status)
{
	struct phca_lock_answer a;

	CU_ASSERT_TRUE_FATAL(looked[i] < nb_got[i]);
	a = got[i][looked[i]++];
	CU_ASSERT_EQUAL(a.magic, PHCA_LOCK_ANSWER_MAGIC);
	CU_ASSERT_EQUAL(a.id, id);
	CU_ASSERT_STRING_EQUAL(phca_lock_status_str(a.status), phca_lock_status_str(status));
	return a;
}

static uint32_t mode_of(uint32_t lock)
{
	struct phca_lock_entry e = { .mode = UINT32_MAX };

	CU_ASSERT_EQUAL(phca_lock_entry_read(phca_lock_entry_at(table, lock), &e), 0);
	return e.mode;
}

static void teardown(void)
{
	struct phca_offload_stats st;

	for (unsigned int i = 0; i < QPS; i++) {
		CU_ASSERT_EQUAL(looked[i], nb_got[i]);
		if (q[i] != NULL)
			rig_pqp_end(&r, q[i]);
		rig_cq_expect_empty(&cq[i]);
	}
	CU_ASSERT_EQUAL(counter("locks") + counter("held") + counter("waiting") + counter("peers"), 0);
	phca_offload_stats_get(o, &st);
	CU_ASSERT_EQUAL(st.in_flight, 0);
	rig_fini(&r);
	for (unsigned int i = 0; i < QPS; i++)
		rig_cq_fini(&cq[i]);
	phca_mr_dereg(mem, key_bare);
	phca_mr_dereg(mem, rkey);
	phca_mem_destroy(mem);
	free(qsbr);
	free(table);
}

PHCA_TEST(lock, a_waiting_request_keeps_nothing_open)
{
	struct phca_offload_stats st;
	uint64_t a, b, c;

	setup(NULL, 0);
	a = ask(0, LOCK, 1, 7, X);
	b = ask(1, LOCK, 1, 7, X);
	expect(0, a, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(mode_of(7), X);
	phca_offload_stats_get(o, &st);
	CU_ASSERT_EQUAL(st.in_flight, 0);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)0x41, PHCA_DIR_RECV, 0), 1);
	rig_cq_expect_empty(&cq[1]); /* no-ops only */
	CU_ASSERT_EQUAL(counter("waiting"), 1);
	c = ask(0, UNLOCK, 1, 7, 0);
	expect(0, c, PHCA_LOCK_OK);
	expect(1, b, PHCA_LOCK_GRANTED);
	acknowledge(OK);
	teardown();
	/* the requesters' ends gave it back, and the application saw it */
}

PHCA_TEST(lock, requests_of_a_message_are_answered_together)
{
	struct phca_lock_req in[PHCA_LOCK_BATCH];

	setup(NULL, 0);
	for (unsigned int i = 0; i < PHCA_LOCK_BATCH; i++)
		in[i] = request(TRY, 1, i / 2, X);
	in[3].version = 9;
	deliver(0, in, sizeof(in));
	turns();
	for (unsigned int i = 0; i < PHCA_LOCK_BATCH; i++)
		expect(0, in[i].id, i == 3 ? PHCA_LOCK_BAD : PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(nb_way, PHCA_LOCK_BATCH / PHCA_LOCK_ANSWERS);
	CU_ASSERT_EQUAL(counter("answers"), PHCA_LOCK_BATCH);
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, messages_that_are_none_are_answered_and_counted)
{
	struct phca_lock_req in[PHCA_LOCK_BATCH + 1];

	setup(NULL, 0);
	for (unsigned int i = 0; i <= PHCA_LOCK_BATCH; i++)
		in[i] = request(TRY, 1, i, X);
	deliver(0, in, sizeof(in)); /* too many */
	deliver(0, in, sizeof(in[0]) + 1);
	deliver(0, in, 5);
	deliver(0, in, 16);
	turns();
	expect(0, in[0].id, PHCA_LOCK_BAD);
	expect(0, in[0].id, PHCA_LOCK_BAD);
	expect(0, 0, PHCA_LOCK_BAD);
	expect(0, in[0].id, PHCA_LOCK_BAD);
	CU_ASSERT_EQUAL(counter("bad_messages"), 4);
	CU_ASSERT_EQUAL(counter("locks"), 0);
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, the_table_is_the_peers_to_name_only_with_key_and_right)
{
	struct phca_lock_req in[4];

	setup(NULL, 0);
	for (unsigned int i = 0; i < 4; i++)
		in[i] = request(LOCK, 1, 1, X);
	in[0].table_rkey = key_bare; /* may be read only */
	in[1].table_rkey ^= 1;
	in[2].table_va += 64; /* no header there */
	in[3].lock = LOCKS;
	deliver(0, in, sizeof(in));
	turns();
	for (unsigned int i = 0; i < 3; i++)
		expect(0, in[i].id, PHCA_LOCK_REFUSED);
	expect(0, in[3].id, PHCA_LOCK_BAD);
	table->nb_locks = LOCKS + 1; /* the application says more than it registered */
	expect(0, ask(0, LOCK, 1, LOCKS, X), PHCA_LOCK_BAD); /* which is known since before */
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, a_header_that_lies_reaches_no_further_than_the_key)
{
	setup(NULL, 0);
	table->nb_locks = UINT32_MAX;
	expect(0, ask(0, LOCK, 1, LOCKS, X), PHCA_LOCK_REFUSED);
	expect(0, ask(0, LOCK, 1, UINT32_MAX - 1, X), PHCA_LOCK_REFUSED);
	expect(0, ask(0, LOCK, 1, LOCKS - 1, X), PHCA_LOCK_GRANTED);
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, memory_that_is_gone_takes_no_lock_with_it)
{
	uint64_t b;

	setup(NULL, 0);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	b = ask(1, LOCK, 1, 3, X);
	memset(table, 0xff, phca_lock_table_size(LOCKS)); /* nothing of it is read */
	CU_ASSERT_EQUAL(phca_mr_dereg(mem, rkey), 0);
	expect(0, ask(0, LOCK, 1, 4, X), PHCA_LOCK_REFUSED);
	expect(0, ask(0, UNLOCK, 1, 3, 0), PHCA_LOCK_OK);
	expect(1, b, PHCA_LOCK_GRANTED);
	CU_ASSERT(counter("views_lost") > 0);
	CU_ASSERT_EQUAL(phca_mr_reg(mem, pd, table, 4096, IOVA, PHCA_ACCESS_LOCAL_WRITE, &rkey), 0);
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, a_requester_that_takes_no_answers_waits_itself)
{
	unsigned int sent = 0;

	setup(NULL, 0);
	expect(1, ask(1, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	while (counter("messages_held") == 0 && sent < 400) {
		ask(0, PHCA_LOCK_OP_QUERY, 1, 3, 0);
		sent++;
	}
	CU_ASSERT(sent > 48 && sent < 400);
	for (unsigned int i = 0; i < 5; i++, sent++)
		ask(0, PHCA_LOCK_OP_QUERY, 1, 3, 0);
	expect(1, ask(1, UNLOCK, 1, 3, 0), PHCA_LOCK_OK); /* others do not notice */
	CU_ASSERT(nb_got[0] < sent);
	acknowledge(OK);
	CU_ASSERT_EQUAL(nb_got[0], sent);
	for (unsigned int i = 0; i < sent; i++)
		CU_ASSERT_EQUAL(got[0][i].id, got[0][0].id + i);
	looked[0] = sent;
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)0x40, PHCA_DIR_RECV, 0), sent);
	teardown();
}

/* A message of requests for a lock by a session each. */
static void ask_16(unsigned int i, enum phca_lock_op op, uint64_t session, uint32_t lock, enum phca_lock_mode mode)
{
	struct phca_lock_req in[PHCA_LOCK_BATCH];

	for (unsigned int k = 0; k < PHCA_LOCK_BATCH; k++)
		in[k] = request(op, session + k, lock, mode);
	deliver(i, in, sizeof(in));
}

PHCA_TEST(lock, long_searches_for_deadlocks_wait_for_the_next_turn)
{
	unsigned int turn = 0;
	uint64_t before;

	setup(NULL, 0);
	for (unsigned int i = 0; i < 50; i++) { /* 800 holders, whom each search looks at */
		ask_16(0, TRY, i * PHCA_LOCK_BATCH, 0, S);
		turns();
		acknowledge(OK);
	}
	looked[0] = nb_got[0];
	CU_ASSERT_EQUAL(counter("held"), 800);
	for (unsigned int i = 0; i < 10; i++) {
		ask_16(1, LOCK, i * PHCA_LOCK_BATCH, 0, X);
		ask_16(2, LOCK, i * PHCA_LOCK_BATCH, 0, X);
	}
	for (before = 0; counter("waited") < 320 && turn < 100; turn++) {
		rig_turn(&r);
		CU_ASSERT(counter("waited") > before && counter("waited") - before <= 100);
		before = counter("waited");
	}
	CU_ASSERT(turn > 3 && turn < 30);
	CU_ASSERT(counter("messages_held") > 10);
	expect(0, ask(0, PHCA_LOCK_OP_QUERY, 0, 1, 0), PHCA_LOCK_OK); /* and the next turn is as ever */
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, held_messages_are_forgotten_when_the_queue_pair_ends)
{
	unsigned int sent = 0;

	setup(NULL, 0);
	for (; counter("messages_held") < 6 && sent < 400; sent++)
		ask(0, PHCA_LOCK_OP_QUERY, 1, 3, 0);
	CU_ASSERT_EQUAL(counter("messages_held"), 6);
	rig_pqp_end(&r, q[0]);
	q[0] = NULL;
	looked[0] = nb_got[0];
	CU_ASSERT_EQUAL(counter("peers"), 0);
	CU_ASSERT(counter("answers_dropped") > 0);
	expect(1, ask(1, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	nb_way = 0; /* those of the queue pair that ended are not the HCA's any more */
	teardown();
}

PHCA_TEST(lock, an_error_and_an_end_give_back)
{
	uint64_t b, c;

	setup(NULL, 0);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	b = ask(1, LOCK, 1, 3, X);
	c = ask(2, LOCK, 1, 3, X);
	acknowledge(OK);
	rig_kind(&r, PHCA_PMSG_QP_ERROR, q[0]);
	turns();
	expect(1, b, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(mode_of(3), X);
	acknowledge(OK);
	rig_pqp_end(&r, q[1]);
	q[1] = NULL;
	turns();
	expect(2, c, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(counter("dead_peers"), 2);
	CU_ASSERT_EQUAL(counter("dead_locks"), 2);
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, waits_end_by_the_clock)
{
	struct phca_lock_req in;

	setup(NULL, 0);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	in = request(LOCK, 1, 3, S);
	in.wait_us = 500;
	deliver(1, &in, sizeof(in));
	turns();
	r.now_ns += 499999;
	turns();
	CU_ASSERT_EQUAL(nb_got[1], 0);
	r.now_ns++;
	turns();
	expect(1, in.id, PHCA_LOCK_TIMEOUT);
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, the_silent_are_asked_whether_they_live)
{
	const struct phca_setting_arg args[] = { NUM("probe_ms", 10) };
	uint64_t b;

	setup(args, 1);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	expect(2, ask(2, PHCA_LOCK_OP_QUERY, 1, 3, 0), PHCA_LOCK_OK); /* holds nothing: not asked */
	acknowledge(OK);
	for (unsigned int i = 0; i < 4; i++) {
		r.now_ns += 5 * MS;
		turns();
	}
	CU_ASSERT_EQUAL(probes, 1);
	acknowledge(OK); /* it lives */
	r.now_ns += 9 * MS;
	turns();
	CU_ASSERT_EQUAL(probes, 1);
	r.now_ns += 6 * MS;
	turns();
	CU_ASSERT_EQUAL(probes, 2);
	b = ask(1, LOCK, 1, 3, X);
	/* retries ran out: the child fails, the queue pair is in error */
	rig_child_over(&r, way[0], PHCA_WC_RETRY_EXC_ERR);
	nb_way = 0;
	rig_kind(&r, PHCA_PMSG_QP_ERROR, q[0]);
	turns();
	expect(1, b, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(counter("probes_failed"), 1);
	acknowledge(OK);
	teardown();
}

PHCA_TEST(lock, without_probes_nobody_is_asked)
{
	const struct phca_setting_arg args[] = { NUM("probe_ms", 0) };

	setup(args, 1);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	acknowledge(OK);
	for (unsigned int i = 0; i < 20; i++) {
		r.now_ns += 1000 * MS;
		turns();
	}
	CU_ASSERT_EQUAL(probes, 0);
	teardown();
}

PHCA_TEST(lock, one_queue_pair_too_many_is_told)
{
	const struct phca_setting_arg args[] = { NUM("max_qps", 1) };

	setup(args, 1);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	expect(1, ask(1, TRY, 1, 4, X), PHCA_LOCK_LIMIT);
	acknowledge(OK);
	rig_pqp_end(&r, q[0]);
	q[0] = NULL;
	expect(1, ask(1, TRY, 1, 4, X), PHCA_LOCK_GRANTED);
	acknowledge(OK);
	CU_ASSERT_EQUAL(counter("qps_refused"), 1);
	teardown();
}

PHCA_TEST(lock, one_too_many_hears_of_each_request_and_takes_nothing_of_the_others)
{
	const struct phca_setting_arg args[] = { NUM("max_qps", 1) };
	struct phca_lock_req in[PHCA_LOCK_BATCH];
	unsigned int sent = 0, before;

	setup(args, 1);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	for (unsigned int i = 0; i < PHCA_LOCK_BATCH; i++)
		in[i] = request(TRY, 1, i, X);
	deliver(1, in, sizeof(in));
	turns();
	for (unsigned int i = 0; i < PHCA_LOCK_BATCH; i++)
		expect(1, in[i].id, PHCA_LOCK_LIMIT);
	/* it takes no answers, and goes on asking, until its queue pair fails */
	do {
		before = nb_got[1];
		ask(1, TRY, 1, 4, X);
		sent++;
	} while (nb_got[1] > before && sent < 100);
	CU_ASSERT(sent > 30 && sent < 100);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, (void *)0x41), 1);
	looked[1] = nb_got[1];
	expect(0, ask(0, UNLOCK, 1, 3, 0), PHCA_LOCK_OK);
	acknowledge(OK);
	teardown();
}

/* Bytes that only callbacks reach. */
static int far_read(void *arg, uint64_t off, void *dst, uint32_t len)
{
	(void)arg;
	memcpy(dst, (uint8_t *)table + off, len);
	return 0;
}

static int far_write(void *arg, uint64_t off, const void *src, uint32_t len)
{
	(void)arg;
	memcpy((uint8_t *)table + off, src, len);
	return 0;
}

PHCA_TEST(lock, tables_in_memory_that_cannot_be_mapped)
{
	static const struct phca_mr_io io = { far_read, far_write };
	uint32_t near;

	setup(NULL, 0);
	near = rkey;
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg_io(mem, pd, &io, NULL, phca_lock_table_size(LOCKS), IOVA,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ, &rkey), 0);
	expect(0, ask(0, LOCK, 1, 3, S), PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(mode_of(3), S);
	CU_ASSERT(table->token_reserved > 0);
	expect(0, ask(0, UNLOCK, 1, 3, 0), PHCA_LOCK_OK);
	CU_ASSERT_EQUAL(mode_of(3), PHCA_LOCK_FREE);
	CU_ASSERT_EQUAL(counter("views_lost"), 0);
	acknowledge(OK);
	phca_mr_dereg(mem, rkey);
	rkey = near;
	teardown();
}

PHCA_TEST(lock, tables_that_one_queue_pair_may_reach)
{
	struct phca_mw_bind bind = { .addr = IOVA, .length = phca_lock_table_size(LOCKS), .qpn = 0x40,
		.access = PHCA_ACCESS_REMOTE_WRITE };
	uint32_t whole;
	uint64_t b, c;

	setup(NULL, 0);
	whole = rkey;
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, table, bind.length, IOVA,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_MW_BIND, &bind.mr_key), 0);
	CU_ASSERT_EQUAL_FATAL(phca_mw_alloc(mem, pd, PHCA_MW_TYPE_2, &bind.rkey), 0);
	bind.pd = pd;
	bind.new_rkey = rkey = bind.rkey + 1;
	CU_ASSERT_EQUAL_FATAL(phca_mw_bind(mem, &bind), PHCA_MEM_OK);
	expect(1, ask(1, LOCK, 1, 3, X), PHCA_LOCK_REFUSED);
	expect(0, ask(0, LOCK, 1, 3, X), PHCA_LOCK_GRANTED);
	CU_ASSERT(table->token_reserved > 0);
	b = ask(0, LOCK, 2, 3, S);
	c = ask(0, PHCA_LOCK_OP_RELEASE, 1, 0, 0);
	expect(0, b, PHCA_LOCK_GRANTED);
	expect(0, c, PHCA_LOCK_OK);
	CU_ASSERT_EQUAL(mode_of(3), S);
	CU_ASSERT_EQUAL(counter("views_lost"), 0);
	acknowledge(OK);
	phca_mw_dealloc(mem, rkey);
	phca_mr_dereg(mem, bind.mr_key);
	rkey = whole;
	teardown();
}

/* Half of it well formed, so that it gets far. @return its length; *n: answers it will have */
static uint32_t hostile_message(uint64_t *random, uint8_t *to, unsigned int *n)
{
	uint32_t len = phca_test_rand(random) % 800;

	if (phca_test_rand(random) % 2 == 0)
		len = (1 + len % PHCA_LOCK_BATCH) * sizeof(struct phca_lock_req);
	for (uint32_t at = 0; at < len; at += sizeof(struct phca_lock_req)) {
		enum phca_lock_op op = 1 + phca_test_rand(random) % PHCA_LOCK_OP_QUERY;
		struct phca_lock_req req = request(op, phca_test_rand(random) % 3, phca_test_rand(random) % 8,
			op <= TRY ? 1 + phca_test_rand(random) % 2 : PHCA_LOCK_FREE);
		uint8_t *bytes = (uint8_t *)&req;

		req.wait_us = op == LOCK ? phca_test_rand(random) % 2 * 50 : 0;
		req.lock = op == PHCA_LOCK_OP_RELEASE ? 0 : req.lock;
		if (phca_test_rand(random) % 3 == 0)
			bytes[phca_test_rand(random) % sizeof(req)] ^= (uint8_t)(1 << phca_test_rand(random) % 8);
		req.session %= 3; /* else what a changed one has is never given back */
		memcpy(to + at, &req, RTE_MIN(sizeof(req), len - at));
	}
	*n = len / sizeof(struct phca_lock_req);
	if (len % sizeof(struct phca_lock_req) != 0 || *n == 0 || *n > PHCA_LOCK_BATCH)
		*n = 1;
	return len;
}

PHCA_TEST(lock, anything_may_come_from_the_network)
{
	const struct phca_setting_arg args[] = { NUM("max_locks", 7), NUM("max_waiters", 3), NUM("max_sessions", 8),
		NUM("max_wait_us", 500), NUM("probe_ms", 1) };
	uint64_t random = 3, asked[QPS] = { 0 }, answers[QPS] = { 0 };
	uint8_t message[PHCA_LOCK_BATCH * sizeof(struct phca_lock_req) + 64];

	setup(args, RTE_DIM(args));
	for (unsigned int k = 0; k < 6000; k++) {
		unsigned int i = phca_test_rand(&random) % QPS, n;
		uint32_t len = hostile_message(&random, message, &n);

		deliver(i, message, len);
		asked[i] += n;
		turns();
		r.now_ns += phca_test_rand(&random) % 200000;
		if (phca_test_rand(&random) % 3 != 0)
			continue;
		acknowledge(OK);
		for (i = 0; i < QPS; i++) {
			answers[i] += nb_got[i];
			nb_got[i] = 0;
		}
		r.nb_replies = r.child_at = 0;
	}
	r.now_ns += MS; /* the last waits end */
	turns();
	acknowledge(OK);
	for (unsigned int i = 0; i < QPS; i++) {
		answers[i] += nb_got[i];
		looked[i] = nb_got[i];
		CU_ASSERT_EQUAL(answers[i], asked[i]);
	}
	CU_ASSERT_EQUAL(counter("waiting"), 0);
	CU_ASSERT(counter("granted") > 1000 && counter("bad_requests") > 1000 && counter("limits") > 100);
	CU_ASSERT(counter("deadlocks") > 0 && counter("tables_refused") > 0 && probes > 0);
	teardown();
}
