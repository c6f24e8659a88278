/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs become proxy QPs and get other rules while they are loaded: RC, UC and
 * UD connected to themselves through the port's address, with one send CQ, two
 * receive CQs and an SRQ for all of them, and an application that posts and polls in
 * every turn, also in those in which a control function waits.
 *
 * The model: each message has a number, and ends once: received, or in an offload of
 * its sender, or of its receiver. Which one is what its length says under a list of
 * rules that was in force between when it was posted and when it was seen. Signaled
 * send WRs complete in order; messages come in order. UC and UD may lose what finds
 * the proxy's window or ring full. One of the offloads is ordered and gives some of its
 * requests back: those are sent, or received, as if no rule had matched, in order all the
 * same. UC and UD may also lose what cannot wait behind such a one, or finds no receive
 * behind those that they may take.
 */
#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define QPS 6           /* RC, UC, UD; end 0 and end 1 of each */
#define DEPTH 32
#define RECVS 32
#define RECV_BUF 4096
#define MSG_MAX 2500
#define LISTS 4         /* rules of a list at most */
#define NOBODY 255      /* which is an outcome: it was received */
#define OFFLOADS 4
#define ORDERED 3       /* decides late, in any order; of requests that it gives back the rest decides */
#define OPEN_MAX 4096   /* messages of a queue pair that are under way at most */
#define ROUNDS 1500

/* A list of rules as the model has it: the first that matches decides. */
struct list {
	unsigned int n;
	struct { uint8_t filter, offload; bool send, inbound; } rule[LISTS];
};

struct mqp {
	struct phca_qp *qp;
	enum phca_qp_type type;
	bool attached;
	uint64_t posted, completed;     /* send WRs: completed is what the last completion says */
	uint64_t numbers, seen;         /* messages, of them ended */
	uint64_t last_seen;             /* by the receiver, + 1 */
	struct { uint32_t len; uint32_t from, peer_from; bool open; } msg[OPEN_MAX];
	bool signaled[OPEN_MAX];
	/* lists since the beginning: those before `settled` are not in force any more */
	struct list *lists;
	uint32_t settled, latest;
	uint64_t received;              /* receives, without an SRQ */
};

struct world {
	struct lab *l;
	uint64_t rnd;
	struct mqp q[QPS];
	struct phca_cq *scq, *rcq[2];
	struct phca_srq *srq;
	uint8_t *mem;
	uint32_t key;
	struct phca_filter_slot *filter[3];
	struct phca_offload *offload[OFFLOADS];
	uint64_t wrong, received, offloaded, given_back, changes;
	bool posting;
};

static const uint32_t filter_min[3] = { 200, 700, 1024 };
static struct world *world; /* the drivers', too */

static uint32_t below(uint32_t n)
{
	return (uint32_t)(phca_test_rand(&world->rnd) >> 20) % n;
}

static void wrong(const char *what, uint64_t a, uint64_t b)
{
	if (world->wrong++ < 10)
		printf("  wrong: %s: %" PRIu64 ", %" PRIu64 "\n", what, a, b);
}

/* ------------------------------------------------------------------ model */

static unsigned int decide(const struct list *l, bool send, uint32_t len)
{
	for (unsigned int i = 0; i < l->n; i++)
		if ((send ? l->rule[i].send : l->rule[i].inbound) && len >= filter_min[l->rule[i].filter])
			return l->rule[i].offload;
	return NOBODY;
}

/* Whether one of the lists that may have been in force says so. */
static bool may(const struct mqp *q, uint32_t from, bool send, uint32_t len, unsigned int outcome)
{
	for (uint32_t i = from; i <= q->latest; i++)
		if (decide(&q->lists[i], send, len) == outcome)
			return true;
	return false;
}

/* A message of q has ended: with the sender's offload, the receiver's, or in its memory. */
static void ended(unsigned int qi, uint64_t number, bool at_sender, unsigned int outcome)
{
	struct mqp *q = &world->q[qi], *peer = &world->q[qi ^ 1];
	uint32_t len = q->msg[number % OPEN_MAX].len, part = RTE_MIN(len, (uint32_t)LAB_MTU);
	bool ok;

	if (number >= q->numbers || !q->msg[number % OPEN_MAX].open) {
		wrong("a message ended twice, or never began", qi, number);
		return;
	}
	q->msg[number % OPEN_MAX].open = false;
	q->seen++;
	ok = may(q, q->msg[number % OPEN_MAX].from, true, len, at_sender ? outcome : NOBODY) ||
		(!at_sender && may(q, q->msg[number % OPEN_MAX].from, true, len, ORDERED));
	if (!at_sender)
		ok = ok && (may(peer, q->msg[number % OPEN_MAX].peer_from, false, part, outcome) ||
			(outcome == NOBODY && may(peer, q->msg[number % OPEN_MAX].peer_from, false, part, ORDERED)));
	if (!ok)
		wrong(at_sender ? "no list sends this message there" : "no list leaves this message there", len,
			outcome);
	if (outcome == NOBODY)
		world->received++;
	else
		world->offloaded++;
}

/* -------------------------------------------------------------- offloads */

/* Finishes what it has after some turns, in any order. */
struct rec {
	struct phca_offload_req *held[1024];
	unsigned int n, idx;
};

static int rec_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t n)
{
	struct rec *r = phca_offload_priv(o);

	(void)v, (void)err, (void)n;
	r->idx = (unsigned int)(phca_offload_name(o)[0] - '0');
	return 0;
}

static int rec_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct rec *r = phca_offload_priv(o);
	uint64_t id;

	(void)now_ns;
	if (req->op == PHCA_OP_SEND) {
		if (phca_offload_read(req, 0, &id, sizeof(id)) != sizeof(id))
			wrong("the number of a message cannot be read", req->qpn, req->len);
		ended((unsigned int)(id >> 48), id << 16 >> 16, req->dir == PHCA_DIR_SEND, r->idx);
	}
	if (r->n == RTE_DIM(r->held) || below(4) == 0)
		phca_offload_done(req, PHCA_WC_SUCCESS);
	else
		r->held[r->n++] = req;
	return 0;
}

static unsigned int rec_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct rec *r = phca_offload_priv(o);

	(void)now_ns;
	for (unsigned int k = 0; k < 3 && r->n > 0; k++) {
		unsigned int i = below(r->n);
		struct phca_offload_req *req = r->held[i];

		r->held[i] = r->held[--r->n];
		phca_offload_done(req, PHCA_WC_SUCCESS);
	}
	return r->n;
}

static const struct phca_offload_ops rec_ops = {
	.name = "rec", .priv_size = sizeof(struct rec), .init = rec_init, .submit = rec_submit, .poll = rec_poll,
};

/* Ordered: a message has ended here when it is done, not when it is given back. */
static int judge_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct rec *r = phca_offload_priv(o);

	(void)now_ns;
	if (req->op == PHCA_OP_SEND && phca_offload_read(req, 0, &req->drv[0], sizeof(req->drv[0])) != 8)
		wrong("the number of a message cannot be read", req->qpn, req->len);
	if (r->n == RTE_DIM(r->held))
		return -ENOSPC;
	r->held[r->n++] = req;
	return 0;
}

static unsigned int judge_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct rec *r = phca_offload_priv(o);

	(void)now_ns;
	for (unsigned int k = 0; k < 6 && r->n > 0; k++) {
		unsigned int i = below(r->n);
		struct phca_offload_req *req = r->held[i];

		r->held[i] = r->held[--r->n];
		if (below(2)) {
			CU_ASSERT_EQUAL(phca_offload_pass(req), 0);
			world->given_back++;
			continue;
		}
		if (req->op == PHCA_OP_SEND)
			ended((unsigned int)(req->drv[0] >> 48), req->drv[0] << 16 >> 16, req->dir == PHCA_DIR_SEND,
				r->idx);
		phca_offload_done(req, PHCA_WC_SUCCESS);
	}
	return r->n;
}

static const struct phca_offload_ops judge_ops = {
	.name = "judge", .priv_size = sizeof(struct rec), .init = rec_init, .submit = judge_submit, .poll = judge_poll,
	.ordered = 1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV,
};

/* ------------------------------------------------------------ application */

static uint8_t *buffer(unsigned int area, uint64_t n)
{
	return world->mem + ((size_t)area * RECVS + n % RECVS) * RECV_BUF;
}

/* RC and UC of end 1 take receives of the SRQ; its buffers are those of queue pair 1. */
static bool has_srq(unsigned int qi)
{
	return qi == 1 || qi == 3;
}

/* The wr_id of an SRQ's receive is the buffer: it may come back out of order. */
static void post_recv(unsigned int qi, uint64_t id)
{
	struct phca_sge sge = { 0, RECV_BUF, world->key };
	struct phca_recv_wr wr = { id, &sge, 1 };

	if (has_srq(qi)) {
		sge.addr = (uintptr_t)buffer(1, id);
		CU_ASSERT_EQUAL(phca_post_srq_recv(world->srq, &wr, 1), 1);
		return;
	}
	sge.addr = (uintptr_t)buffer(qi, id);
	CU_ASSERT_EQUAL(phca_post_recv(world->q[qi].qp, &wr, 1), 1);
}

static void post_send(unsigned int qi)
{
	struct mqp *q = &world->q[qi];
	uint32_t max = q->type == PHCA_QPT_UD ? LAB_MTU : MSG_MAX, at = q->posted % DEPTH;
	bool read = q->type == PHCA_QPT_RC && below(6) == 0;
	uint8_t *data = buffer(QPS + qi, at);
	struct phca_sge sge = { (uintptr_t)data, 8 + below(below(2) ? 300 : max - 8), world->key };
	struct phca_send_wr w = {
		.wr_id = (uint64_t)qi << 48 | q->posted, .sge = &sge, .num_sge = 1,
		.opcode = read ? PHCA_WR_RDMA_READ : PHCA_WR_SEND, .flags = below(4) ? PHCA_SEND_SIGNALED : 0,
		.remote_qpn = phca_qp_num(world->q[qi ^ 1].qp), .remote_qkey = LAB_QKEY,
		.remote_addr = (uintptr_t)buffer(3 * QPS, 0), .rkey = world->key,
	};
	uint64_t id = (uint64_t)qi << 48 | q->numbers;

	if (below(8) == 0)
		w.flags |= PHCA_SEND_FENCE;
	memcpy(w.av.dgid, (const uint8_t[16]){ [10] = 0xff, 0xff, 192, 0, 2, 1 }, 16);
	w.av.sgid_index = (uint8_t)phca_net_gid_find(world->l->net, w.av.dgid);
	if (q->posted - q->completed >= DEPTH - 1)
		w.flags |= PHCA_SEND_SIGNALED;
	if (read)
		sge.addr = (uintptr_t)buffer(2 * QPS + qi, at);
	else
		memcpy(data, &id, sizeof(id));
	if (phca_post_send(q->qp, &w, 1) != 1)
		return;
	q->signaled[q->posted++ % OPEN_MAX] = w.flags & PHCA_SEND_SIGNALED;
	if (read)
		return;
	q->msg[q->numbers % OPEN_MAX].len = sge.length;
	q->msg[q->numbers % OPEN_MAX].from = q->settled;
	q->msg[q->numbers % OPEN_MAX].peer_from = world->q[qi ^ 1].settled;
	q->msg[q->numbers++ % OPEN_MAX].open = true;
}

static void sent(const struct phca_wc *wc)
{
	struct mqp *q = &world->q[wc->wr_id >> 48];
	uint64_t n = wc->wr_id << 16 >> 16;

	if (wc->status != PHCA_WC_SUCCESS || wc->qp_num != phca_qp_num(q->qp))
		wrong("a send failed", wc->status, wc->wr_id);
	while (q->completed < n && !q->signaled[q->completed % OPEN_MAX])
		q->completed++; /* those that nobody asked for */
	if (n != q->completed || n >= q->posted || !q->signaled[n % OPEN_MAX])
		wrong("a send completed twice, or out of order", n, q->completed);
	q->completed = n + 1;
}

static void received(const struct phca_wc *wc)
{
	unsigned int qi = 0;
	uint64_t id;
	struct mqp *from;

	while (qi < QPS && phca_qp_num(world->q[qi].qp) != wc->qp_num)
		qi++;
	if (qi == QPS || wc->status != PHCA_WC_SUCCESS) {
		wrong("a receive failed", wc->status, wc->qp_num);
		return;
	}
	memcpy(&id, buffer(has_srq(qi) ? 1 : qi, wc->wr_id) + (qi >= 4 ? PHCA_GRH_LEN : 0), sizeof(id));
	if (!has_srq(qi) && wc->wr_id != world->q[qi].received++)
		wrong("a receive completed out of order", wc->wr_id, qi);
	post_recv(qi, wc->wr_id + (has_srq(qi) ? 0 : RECVS));
	if (id >> 48 != (qi ^ 1)) {
		wrong("a message of another queue pair", id >> 48, qi);
		return;
	}
	id = id << 16 >> 16;
	from = &world->q[qi ^ 1];
	if (id < from->last_seen)
		wrong("a message behind a later one", id, from->last_seen);
	from->last_seen = id + 1;
	ended(qi ^ 1, id, false, NOBODY);
}

static void application(void)
{
	struct phca_wc wc[16];
	int n;

	while ((n = phca_poll_cq(world->scq, 16, wc)) > 0)
		for (int i = 0; i < n; i++)
			sent(&wc[i]);
	for (unsigned int e = 0; e < 2; e++)
		while ((n = phca_poll_cq(world->rcq[e], 16, wc)) > 0)
			for (int i = 0; i < n; i++)
				received(&wc[i]);
	for (unsigned int i = 0; i < QPS && world->posting; i++)
		for (unsigned int k = below(4); k > 0 && world->q[i].posted - world->q[i].completed < DEPTH; k--)
			post_send(i);
}

static void turn(void *arg)
{
	(void)arg;
	application();
	lab_turn(world->l, 1);
}

/* -------------------------------------------------------------- open, close */

static void connect(unsigned int qi)
{
	struct mqp *q = &world->q[qi];
	bool ud = q->type == PHCA_QPT_UD, rc = q->type == PHCA_QPT_RC;
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY, .path_mtu = LAB_MTU,
		.dest_qpn = phca_qp_num(world->q[qi ^ 1].qp), .access = PHCA_ACCESS_REMOTE_READ, .timeout = 14,
		.retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 4, .max_dest_rd_atomic = 4, .min_rnr_timer = 1,
		.av.dgid = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
	};

	a.av.sgid_index = (uint8_t)phca_net_gid_find(world->l->net, a.av.dgid);
	CU_ASSERT_EQUAL(phca_qp_modify(q->qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | (ud ? PHCA_QP_QKEY :
		PHCA_QP_ACCESS)), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(q->qp, &a, PHCA_QP_STATE | (ud ? 0 : PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU |
		PHCA_QP_RQ_PSN | PHCA_QP_AV) | (rc ? PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER : 0)), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(q->qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | (rc ? PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC : 0)), 0);
}

static void qp_open(unsigned int qi)
{
	static const enum phca_qp_type type[] = { PHCA_QPT_RC, PHCA_QPT_UC, PHCA_QPT_UD };
	struct phca_qp_init i = {
		.type = type[qi / 2], .pd = world->l->pd, .max_send_wr = DEPTH, .max_recv_wr = RECVS,
		.max_send_sge = 1, .max_recv_sge = 1, .send_cq = world->scq, .recv_cq = world->rcq[qi % 2],
		.srq = has_srq(qi) ? world->srq : NULL,
	};

	world->q[qi].type = i.type;
	world->q[qi].lists = calloc(8 * ROUNDS, sizeof(struct list));
	CU_ASSERT_FATAL(world->q[qi].lists != NULL);
	CU_ASSERT_FATAL(phca_qp_create(world->l->client, &i, &world->q[qi].qp) == 0);
}

static void world_open(struct world *w)
{
	const size_t bytes = (size_t)(3 * QPS + 1) * RECVS * RECV_BUF;
	struct phca_srq_init si = { .max_wr = RECVS, .max_sge = 1 };
	static const char *name[OFFLOADS] = { "0", "1", "2", "3" };

	memset(w, 0, sizeof(*w));
	world = w;
	w->rnd = 11;
	w->l = lab_open(&(struct lab_opts){ .ring_size = 128 });
	phca_hca_pump_set(w->l->hca, turn, NULL);
	w->mem = calloc(1, bytes);
	CU_ASSERT_FATAL(w->mem != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(w->l->mem, w->l->pd, w->mem, bytes, (uintptr_t)w->mem, PHCA_ACCESS_ALL,
		&w->key) == 0);
	CU_ASSERT_FATAL(phca_cq_create(w->l->client, QPS * DEPTH, &w->scq) == 0);
	CU_ASSERT_FATAL(phca_cq_create(w->l->client, QPS * RECVS, &w->rcq[0]) == 0);
	CU_ASSERT_FATAL(phca_cq_create(w->l->client, QPS * RECVS, &w->rcq[1]) == 0);
	si.pd = w->l->pd;
	CU_ASSERT_FATAL(phca_srq_create(w->l->client, &si, &w->srq) == 0);
	for (unsigned int i = 0; i < 3; i++) {
		struct phca_filter_param p = { .name = "min_len", .kind = PHCA_FV_UINT, .u = filter_min[i] };

		w->filter[i] = lab_filter(w->l, "by_size", &p, 1);
	}
	for (unsigned int i = 0; i < OFFLOADS; i++)
		w->offload[i] = lab_offload(w->l, name[i], i == ORDERED ? &judge_ops : &rec_ops, NULL, 0, 0);
	for (unsigned int i = 0; i < QPS; i++)
		qp_open(i);
	for (unsigned int i = 0; i < QPS; i++) {
		connect(i);
		for (unsigned int k = 0; k < (has_srq(i) ? RECVS / 2 : RECVS); k++)
			post_recv(i, k + (i == 3 ? RECVS / 2 : 0));
	}
}

static void world_close(struct world *w)
{
	for (unsigned int i = 0; i < QPS; i++) {
		CU_ASSERT_EQUAL(phca_qp_destroy(w->q[i].qp), 0);
		free(w->q[i].lists);
	}
	phca_hca_pump_set(w->l->hca, NULL, NULL);
	CU_ASSERT_EQUAL(phca_cq_destroy(w->scq), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(w->rcq[0]), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(w->rcq[1]), 0);
	CU_ASSERT_EQUAL(phca_srq_destroy(w->srq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(w->l->mem, w->key), 0);
	free(w->mem);
	lab_close(w->l);
}

/* ---------------------------------------------------------------- control */

/* The list for a queue pair from now on: one of two at first, then the only one. */
static void apply(unsigned int qi, const struct list *l)
{
	struct mqp *q = &world->q[qi];
	struct phca_rule rule[LISTS];
	int ret;

	for (unsigned int i = 0; i < l->n; i++)
		rule[i] = (struct phca_rule){
			"r", world->filter[l->rule[i].filter], world->offload[l->rule[i].offload],
			l->rule[i].send, l->rule[i].inbound,
		};
	q->lists[++q->latest] = *l;
	ret = q->attached ? phca_qp_proxy_rules_set(q->qp, rule, l->n) :
		phca_qp_proxy_attach(q->qp, rule, l->n, below(2) ? 0 : 16u << below(6));
	CU_ASSERT_EQUAL(ret, 0);
	q->attached = true;
	q->settled = q->latest;
	world->changes++;
}

static void change(unsigned int qi)
{
	struct list l = { .n = below(8) ? 1 + below(LISTS) : 0 };

	for (unsigned int i = 0; i < l.n; i++) {
		l.rule[i].filter = (uint8_t)below(3);
		l.rule[i].offload = (uint8_t)below(OFFLOADS);
		l.rule[i].send = below(2);
		l.rule[i].inbound = below(2);
	}
	apply(qi, &l);
}

/* Until all that was posted has ended. */
static void settle(void)
{
	uint64_t open;

	world->posting = false;
	for (unsigned int i = 0; i < 2000; i++) {
		open = 0;
		turn(NULL);
		for (unsigned int k = 0; k < QPS; k++)
			open += world->q[k].numbers - world->q[k].seen;
		if (open == 0)
			break;
	}
	for (unsigned int i = 0; i < 200; i++)
		turn(NULL);
	world->posting = true;
}

static void check_totals(void)
{
	for (unsigned int i = 0; i < QPS; i++) {
		struct mqp *q = &world->q[i];
		struct phca_qp_info qi, peer;

		phca_qp_info_get(q->qp, &qi);
		phca_qp_info_get(world->q[i ^ 1].qp, &peer);
		while (q->completed < q->posted && !q->signaled[q->completed % OPEN_MAX])
			q->completed++;
		CU_ASSERT_EQUAL(q->completed, q->posted);
		CU_ASSERT_EQUAL(q->seen + peer.stats.rx_dropped, q->numbers);
		CU_ASSERT(peer.stats.rx_dropped == 0 || q->type != PHCA_QPT_RC);
		CU_ASSERT(peer.stats.rx_dropped <= peer.stats.verdict[PHCA_V_PROXY_WINDOW_FULL] +
			peer.stats.verdict[PHCA_V_PROXY_RING_FULL] + peer.stats.verdict[PHCA_V_PROXY_ORDER] +
			peer.stats.verdict[PHCA_V_NO_RECV]);
		CU_ASSERT_EQUAL(qi.stats.tx_wrs, q->posted);
		CU_ASSERT_EQUAL(qi.stats.tx_direct + qi.stats.tx_offloaded - qi.stats.tx_passed, q->posted);
		CU_ASSERT_EQUAL(qi.pqp.waiting[0] + qi.pqp.waiting[1], 0);
	}
}

PHCA_TEST(rules, replaced_under_load_no_completion_is_lost_or_late)
{
	unsigned int rounds = phca_test_long() ? 7 * ROUNDS : ROUNDS;
	static struct world w;

	world_open(&w);
	w.posting = true;
	for (unsigned int i = 0; i < 50; i++)
		turn(NULL); /* plain at first */
	for (unsigned int i = 0; i < rounds && w.wrong == 0; i++) {
		for (unsigned int k = below(12); k > 0; k--)
			turn(NULL);
		change(below(QPS));
		if (below(100) == 0)
			settle();
	}
	settle();
	check_totals();
	CU_ASSERT_EQUAL(w.wrong, 0);
	CU_ASSERT(w.received > rounds && w.offloaded > rounds && w.given_back > rounds);
	/* what no rule uses can go, while the queue pairs stay */
	for (unsigned int i = 0; i < QPS; i++)
		apply(i, &(struct list){ .n = 1, .rule[0] = { 0, 0, true, true } });
	for (unsigned int i = 0; i < QPS; i++) {
		CU_ASSERT_EQUAL(phca_offload_destroy(w.offload[0]), -EBUSY);
		apply(i, &(struct list){ .n = 0 });
	}
	w.posting = false;
	for (unsigned int i = 0; i < 500; i++)
		turn(NULL);
	for (unsigned int i = 0; i < OFFLOADS; i++)
		CU_ASSERT_EQUAL(phca_offload_destroy(w.offload[i]), 0);
	printf("  rules: %" PRIu64 " changes; %" PRIu64 " messages received, %" PRIu64 " offloaded; %" PRIu64
		" requests given back\n", w.changes, w.received, w.offloaded, w.given_back);
	world_close(&w);
}

/* --------------------------------------------------------------- one by one */

/* Payloads of two packets and what became of them. */
struct two {
	struct lab *l;
	struct lab_qp q;
	struct phca_offload *o[2];
	struct phca_rule r[2]; /* all inbound to the one, to the other */
};

static unsigned int got[2];
static uint32_t got_len;

static int two_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)now_ns;
	got[phca_offload_name(o)[0] - '0']++;
	got_len = req->len;
	phca_offload_done(req, PHCA_WC_SUCCESS);
	return 0;
}

static const struct phca_offload_ops two_ops = { .name = "two", .submit = two_submit };

static struct two two_open(enum phca_qp_type type)
{
	struct two t = { .l = lab_open(NULL) };
	static const char *name[2] = { "0", "1" };

	memset(got, 0, sizeof(got));
	t.q = lab_qp(t.l, type, 0);
	for (unsigned int i = 0; i < 2; i++) {
		t.o[i] = lab_offload(t.l, name[i], &two_ops, NULL, 0, 0);
		t.r[i] = (struct phca_rule){ name[i], lab_filter(t.l, "all", NULL, 0), t.o[i], false, true };
	}
	lab_post(&t.q, 4);
	return t;
}

static void two_close(struct two *t)
{
	lab_qp_free(t->l, &t->q);
	CU_ASSERT_EQUAL(phca_offload_destroy(t->o[0]), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(t->o[1]), 0);
	lab_close(t->l);
}

static void two_packet(struct two *t, enum phca_opcode op, uint32_t psn, uint32_t len)
{
	struct phca_wire_hdr h = lab_hdr(t->l, op, t->q.qpn, psn);

	lab_send(t->l, &h, len, (uint8_t)psn);
	lab_turn(t->l, 3);
}

/* A message of two packets; between them `between` happens to the rules. */
static void half(struct two *t, uint32_t psn, const struct phca_rule *between, unsigned int n)
{
	bool rc = lab_info(&t->q).type == PHCA_QPT_RC;

	two_packet(t, rc ? PHCA_RC_SEND_FIRST : PHCA_UC_SEND_FIRST, psn, LAB_MTU);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(t->q.qp, between, n), 0);
	two_packet(t, rc ? PHCA_RC_SEND_LAST : PHCA_UC_SEND_LAST, psn + 1, 76);
}

static void half_received(enum phca_qp_type type)
{
	struct two t = two_open(type);
	struct phca_wc wc;

	CU_ASSERT_EQUAL(phca_qp_proxy_attach(t.q.qp, t.r, 1, 0), 0);
	half(&t, 0, &t.r[1], 1);
	CU_ASSERT(got[0] == 1 && got[1] == 0 && got_len == LAB_MTU + 76);
	half(&t, 2, t.r, 2);
	CU_ASSERT(got[0] == 1 && got[1] == 1);
	half(&t, 4, NULL, 0);
	CU_ASSERT(got[0] == 2 && got[1] == 1 && got_len == LAB_MTU + 76);
	CU_ASSERT_EQUAL(phca_offload_destroy(t.o[0]), -EBUSY); /* the list knows it */
	half(&t, 6, &t.r[0], 1); /* began with no rule: to the end */
	CU_ASSERT(got[0] == 2 && got[1] == 1);
	CU_ASSERT(lab_poll(&t.q, &wc) && wc.wr_id == 0 && wc.byte_len == LAB_MTU + 76);
	/* twice while it is received */
	two_packet(&t, type == PHCA_QPT_RC ? PHCA_RC_SEND_FIRST : PHCA_UC_SEND_FIRST, 8, LAB_MTU);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(t.q.qp, NULL, 0), 0);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(t.q.qp, &t.r[1], 1), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(t.o[0]), -EBUSY);
	two_packet(&t, type == PHCA_QPT_RC ? PHCA_RC_SEND_LAST : PHCA_UC_SEND_LAST, 9, 1);
	CU_ASSERT(got[0] == 3 && got[1] == 1);
	CU_ASSERT_EQUAL(lab_info(&t.q).stats.rx_offloaded, 4);
	two_close(&t);
}

PHCA_TEST(rules, a_message_half_received_ends_as_it_began_rc) { half_received(PHCA_QPT_RC); }
PHCA_TEST(rules, a_message_half_received_ends_as_it_began_uc) { half_received(PHCA_QPT_UC); }

PHCA_TEST(rules, detached_and_idle_its_offload_can_go)
{
	struct two t = two_open(PHCA_QPT_UC);
	struct phca_wc wc;

	CU_ASSERT_EQUAL(phca_qp_proxy_attach(t.q.qp, t.r, 2, 0), 0);
	two_packet(&t, PHCA_UC_SEND_ONLY, 0, 10);
	CU_ASSERT_EQUAL(got[0], 1);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(t.q.qp, NULL, 0), 0);
	CU_ASSERT(lab_info(&t.q).proxy && lab_info(&t.q).nb_rules == 0);
	two_packet(&t, PHCA_UC_SEND_ONLY, 1, 20);
	CU_ASSERT(got[0] == 1 && got[1] == 0);
	CU_ASSERT(lab_poll(&t.q, &wc) && wc.byte_len == 20);
	CU_ASSERT_EQUAL(phca_offload_destroy(t.o[0]), 0);
	t.o[0] = t.r[0].offload = lab_offload(t.l, "0", &two_ops, NULL, 0, 0);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(t.q.qp, t.r, 1), 0);
	two_packet(&t, PHCA_UC_SEND_ONLY, 2, 30);
	CU_ASSERT_EQUAL(got[0], 2);
	two_close(&t);
}

PHCA_TEST(rules, a_rule_that_stays_goes_on_counting)
{
	struct two t = two_open(PHCA_QPT_UC);
	struct phca_rule both[2] = { t.r[1], t.r[0] };
	struct phca_rule_info ri;

	both[0].send = true;
	both[0].inbound = false;
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(t.q.qp, t.r, 1, 0), 0);
	two_packet(&t, PHCA_UC_SEND_ONLY, 0, 10);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(t.q.qp, both, 2), 0);
	two_packet(&t, PHCA_UC_SEND_ONLY, 1, 10);
	CU_ASSERT_EQUAL(phca_qp_rule_info(t.q.qp, 0, &ri), 0);
	CU_ASSERT_EQUAL(ri.matched, 0);
	CU_ASSERT_EQUAL(phca_qp_rule_info(t.q.qp, 1, &ri), 0);
	CU_ASSERT_EQUAL(ri.matched, 2);
	CU_ASSERT_EQUAL(phca_qp_rule_info(t.q.qp, 2, &ri), -EINVAL);
	two_close(&t);
}

/* In its direction it matches what those before it did not, and nothing behind it is asked. */
PHCA_TEST(rules, a_rule_without_a_filter_matches_every_request)
{
	struct two t = two_open(PHCA_QPT_UC);
	struct phca_filter_param min = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 100 };
	struct phca_filter_slot *large = lab_filter(t.l, "by_size", &min, 1);
	struct phca_rule list[3] = {
		{ "large", large, t.o[0], true, true }, { "rest", NULL, t.o[1], false, true }, t.r[0],
	};
	struct phca_rule_info ri;

	list[2].name = "never";
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(t.q.qp, list, 3, 0), 0);
	CU_ASSERT_PTR_NOT_NULL(phca_qp_pqp(t.q.qp));
	two_packet(&t, PHCA_UC_SEND_ONLY, 0, 100);
	CU_ASSERT(got[0] == 1 && got[1] == 0);
	two_packet(&t, PHCA_UC_SEND_ONLY, 1, 99);
	CU_ASSERT(got[0] == 1 && got[1] == 1);
	CU_ASSERT_EQUAL(phca_qp_rule_info(t.q.qp, 1, &ri), 0);
	CU_ASSERT(ri.matched == 1 && ri.filter[0] == '\0' && strcmp(ri.name, "rest") == 0);
	CU_ASSERT_EQUAL(phca_qp_rule_info(t.q.qp, 2, &ri), 0);
	CU_ASSERT_EQUAL(ri.matched, 0);
	two_close(&t);
}

PHCA_TEST(rules, what_cannot_be_is_refused)
{
	struct lab *l = lab_open(&(struct lab_opts){ .nb_proxies = 2 });
	struct lab_qp q = lab_qp(l, PHCA_QPT_UC, 0);
	struct lab other = { .proxy = l->proxies[1] };
	struct phca_rule r = { "r", lab_filter(l, "all", NULL, 0), lab_offload(l, "0", &two_ops, NULL, 0, 0),
		true, true };
	struct phca_rule far = { "far", r.filter, lab_offload(&other, "0", &two_ops, NULL, 0, 0), true, true };
	struct phca_rule many[PHCA_PROXY_RULE_MAX + 1], none = { .name = "none", .filter = r.filter };

	for (unsigned int i = 0; i < RTE_DIM(many); i++)
		many[i] = r;
	CU_ASSERT_PTR_EQUAL(phca_qp_cq(q.qp, PHCA_DIR_RECV), q.cq);
	CU_ASSERT_PTR_NULL(phca_qp_proxy(q.qp));
	CU_ASSERT_PTR_NULL(phca_qp_pqp(q.qp));
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(q.qp, &r, 1), -EINVAL); /* a plain one */
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(q.qp, &r, 1, 0), 0);
	CU_ASSERT_PTR_EQUAL(phca_qp_proxy(q.qp), l->proxies[0]);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(q.qp, &far, 1), -EXDEV);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(q.qp, &none, 1), -EINVAL);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(q.qp, many, RTE_DIM(many)), -EINVAL);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(q.qp, many, PHCA_PROXY_RULE_MAX), 0);
	CU_ASSERT_EQUAL(lab_info(&q).nb_rules, PHCA_PROXY_RULE_MAX);
	lab_qp_restart(l, &q, PHCA_QPS_RTS, 0); /* they outlive a reset */
	CU_ASSERT_EQUAL(lab_info(&q).nb_rules, PHCA_PROXY_RULE_MAX);
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(q.qp, &r, 1), 0);
	lab_qp_free(l, &q);
	CU_ASSERT_EQUAL(phca_offload_destroy(r.offload), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(far.offload), 0);
	lab_close(l);
}

/* A peer that acknowledges nothing: attach gives up, and the queue pair goes on as it was. */
PHCA_TEST(rules, attach_does_not_wait_for_ever)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_RC, 0);
	struct phca_send_wr w = { .wr_id = 1, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED };
	struct phca_wire_hdr h = lab_hdr(l, PHCA_RC_ACK, q.qpn, 0);
	struct rte_mbuf *m;
	struct phca_wc wc;

	h.syndrome = 0x1f;
	CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), 1);
	lab_turn(l, 2);
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(q.qp, NULL, 0, 0), -EBUSY);
	CU_ASSERT_FALSE(lab_info(&q).proxy);
	w.wr_id = 2;
	CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), 1);
	lab_turn(l, 4);
	for (h.psn = phca_psn(0); h.psn.v < 2; h.psn.v++) {
		lab_send(l, &h, 0, 0);
		lab_turn(l, 4);
		CU_ASSERT(lab_poll(&q, &wc) && wc.wr_id == h.psn.v + 1 && wc.status == PHCA_WC_SUCCESS);
	}
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(q.qp, NULL, 0, 0), 0);
	CU_ASSERT_EQUAL(phca_post_send(q.qp, &w, 1), 1);
	lab_turn(l, 4);
	lab_send(l, &h, 0, 0);
	lab_turn(l, 4);
	CU_ASSERT(lab_poll(&q, &wc) && wc.status == PHCA_WC_SUCCESS);
	while ((m = lab_capture(l)) != NULL)
		rte_pktmbuf_free(m);
	lab_qp_free(l, &q);
	lab_close(l);
}
