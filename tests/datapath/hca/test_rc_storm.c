/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile peer of RC queue pairs: packets whose form is right, with any opcode, PSNs
 * in and around the windows, any length, key, address and syndrome, over and over;
 * at queue pairs, plain and proxy, that have work requests of all kinds outstanding.
 *
 * What must hold: memory that the peer has no right to is neither written nor sent; each posted
 * request completes once, in order, and behind a failure only flushed ones do; a
 * connection beside them on the same lcore does not notice; a turn does a bounded amount
 * of work; and what lab_close asserts.
 */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "lab.h"
#include "phca_drivers.h"

#define PACKETS 500000
#define PACKETS_LONG 5000000
#define NB 4           /* queue pairs that are attacked; the last two proxy QPs: one of offload delay, one of a judge */
#define AREA 8192      /* each of the areas of memory */
#define SECRET "never to be sent"
#define TX_TURN 192    /* packets that a turn may send: what a port stages, and what is left from the last */
#define DONE_TURN 1024 /* what a turn may do: the sum of the stages' budgets */

/* Areas: guard, open to the peer, guard, only readable, guard, closed, guard. */
enum { OPEN = 1, READABLE = 3, CLOSED = 5, AREAS = 7 };

struct victim {
	struct lab_qp q;
	uint64_t posted, completed, received;
	bool failed;
	uint32_t psn, sq_psn; /* expected and next, as of the last look */
};

struct rc_storm {
	struct lab *l;
	uint64_t rnd, wrong, lives, done_max, responses;
	struct victim v[NB];
	uint8_t *mem, *local;
	uint32_t key[AREAS], k_local;
	struct phca_wire_hdr last;
	uint32_t last_len;
	struct phca_offload *o;
	struct judge *j;
	uint64_t judged;      /* a state of its own, as it is asked within turns */
	struct lab_qp good[2];
	uint64_t good_sent, good_got;
};

static uint32_t rnd(struct rc_storm *x, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&x->rnd) >> 16) % n;
}

static void wrong(struct rc_storm *x, const char *what, uint64_t a, uint64_t b)
{
	if (x->wrong++ < 5)
		printf("  wrong: %s: %" PRIu64 ", %" PRIu64 "\n", what, a, b);
}

/* ---------------------------------------------------------- the application */

static void post(struct rc_storm *x, struct victim *v)
{
	static const uint8_t op[] = {
		PHCA_WR_SEND, PHCA_WR_SEND_WITH_IMM, PHCA_WR_RDMA_WRITE, PHCA_WR_RDMA_READ, PHCA_WR_RDMA_READ,
		PHCA_WR_ATOMIC_CMP_AND_SWP, PHCA_WR_ATOMIC_FETCH_AND_ADD, PHCA_WR_RDMA_WRITE_WITH_IMM,
	};
	struct phca_sge sge = { (uintptr_t)x->local + rnd(x, AREA), 1 + rnd(x, 6 * LAB_MTU), x->k_local };
	struct phca_send_wr w = {
		.wr_id = v->posted, .sge = &sge, .num_sge = 1, .opcode = op[rnd(x, RTE_DIM(op))],
		.flags = PHCA_SEND_SIGNALED | (rnd(x, 8) == 0 ? PHCA_SEND_FENCE : 0), .remote_addr = 4096, .rkey = 7,
	};

	if (w.opcode == PHCA_WR_ATOMIC_CMP_AND_SWP || w.opcode == PHCA_WR_ATOMIC_FETCH_AND_ADD)
		sge.length = 8;
	if (v->posted - v->completed < LAB_DEPTH / 2)
		v->posted += phca_post_send(v->q.qp, &w, 1) == 1;
	if (v->q.next_id - v->received < LAB_DEPTH / 2)
		lab_post(&v->q, rnd(x, 3));
}

/* Sends have ids from 0 on; receives those of lab_post: told apart by the opcode. */
static void poll(struct rc_storm *x, struct victim *v)
{
	struct phca_wc wc;

	while (lab_poll(&v->q, &wc)) {
		bool recv = wc.opcode & PHCA_WC_RECV;
		uint64_t *next = recv ? &v->received : &v->completed;
		uint64_t end = recv ? v->q.next_id : v->posted;

		if (wc.wr_id != *next || *next == end)
			wrong(x, recv ? "receive twice or out of order" : "completion twice or out of order", wc.wr_id,
				*next);
		++*next;
		if (!recv && v->failed && wc.status == PHCA_WC_SUCCESS)
			wrong(x, "success behind a failure", wc.wr_id, 0);
		v->failed |= !recv && wc.status != PHCA_WC_SUCCESS;
	}
}

/* In ERR everything that was posted is flushed; then from the beginning. */
static void renew(struct rc_storm *x, struct victim *v)
{
	for (unsigned int i = 0; i < 2000 && (v->completed != v->posted || v->received != v->q.next_id); i++) {
		lab_turn(x->l, 1);
		poll(x, v);
	}
	if (v->completed != v->posted || v->received != v->q.next_id)
		wrong(x, "requests of a QP in ERR are not flushed", v->posted - v->completed,
			v->q.next_id - v->received);
	v->psn = rnd(x, 2) ? PHCA_PSN_MASK - rnd(x, 20) : rnd(x, PHCA_PSN_MASK);
	lab_qp_restart(x->l, &v->q, PHCA_QPS_RTS, v->psn);
	v->sq_psn = 0;
	v->failed = false;
	x->lives++;
}

static void look(struct rc_storm *x, struct victim *v)
{
	struct phca_qp_attr a;

	poll(x, v);
	CU_ASSERT_EQUAL(phca_qp_query(v->q.qp, &a), 0);
	v->psn = a.rq_psn.v;
	v->sq_psn = a.sq_psn.v;
	if (a.state == PHCA_QPS_ERR)
		renew(x, v);
}

/* -------------------------------------------------------------- the peer */

static uint32_t any_psn(struct rc_storm *x, const struct victim *v, bool response)
{
	uint32_t base = response ? v->sq_psn - rnd(x, 24) : v->psn;

	switch (rnd(x, 8)) {
	case 0:
		return (base + rnd(x, 40) - 20) & PHCA_PSN_MASK;
	case 1:
		return rnd(x, PHCA_PSN_MASK);
	case 2:
		return (base + (1u << 23) - 2 + rnd(x, 4)) & PHCA_PSN_MASK;
	default:
		return base & PHCA_PSN_MASK;
	}
}

static uint32_t any_len(struct rc_storm *x, uint8_t opcode)
{
	bool full = opcode == PHCA_RC_SEND_FIRST || opcode == PHCA_RC_SEND_MIDDLE || opcode == PHCA_RC_WRITE_FIRST ||
		opcode == PHCA_RC_WRITE_MIDDLE || opcode == PHCA_RC_READ_RESP_FIRST ||
		opcode == PHCA_RC_READ_RESP_MIDDLE;
	bool none = !(phca_opcode_table[opcode].flags & PHCA_OPF_PAYLOAD) && opcode != PHCA_RC_READ_RESP_LAST &&
		opcode != PHCA_RC_READ_RESP_ONLY;

	if (rnd(x, 64) == 0)
		return rnd(x, LAB_MTU + 64);
	return full ? LAB_MTU : none ? 0 : rnd(x, 2) ? rnd(x, LAB_MTU + 1) : rnd(x, 64);
}

/* An address and a key that go together, nearly, or not at all. */
static void any_target(struct rc_storm *x, struct phca_wire_hdr *h, uint32_t len)
{
	unsigned int area = rnd(x, 40) ? OPEN : rnd(x, AREAS);

	h->va = (uintptr_t)x->mem + area * AREA + rnd(x, AREA / 16) * 8;
	h->rkey = x->key[area];
	h->dma_len = len;
	switch (rnd(x, 100)) {
	case 0:
		h->va = (uintptr_t)x->mem + area * AREA + AREA - rnd(x, LAB_MTU);
		break;
	case 1:
		h->va = UINT64_MAX - rnd(x, 2000);
		break;
	case 2:
		h->rkey = x->key[1 + 2 * rnd(x, 3)];
		break;
	case 3:
		h->rkey ^= 1u << rnd(x, 32);
		break;
	case 4:
		h->dma_len = rnd(x, 2) ? rnd(x, AREA) : rnd(x, UINT32_MAX);
		break;
	case 5:
		h->va |= rnd(x, 8);
		break;
	default:
		break;
	}
}

static uint8_t any_syndrome(struct rc_storm *x)
{
	static const uint8_t some[] = {
		0x1f, 0x00, 0x1f, PHCA_AETH_RNR | 1, PHCA_NAK_SEQ, PHCA_NAK_SEQ, 0x1f, 0x1f,
	};

	return rnd(x, 16) ? some[rnd(x, RTE_DIM(some))] : (uint8_t)rnd(x, 256);
}

static void attack(struct rc_storm *x, struct victim *v)
{
	static const uint8_t often[] = {
		PHCA_RC_SEND_ONLY, PHCA_RC_SEND_ONLY_IMM, PHCA_RC_WRITE_ONLY, PHCA_RC_WRITE_ONLY_IMM,
		PHCA_RC_READ_REQ, PHCA_RC_CMP_SWAP, PHCA_RC_FETCH_ADD, PHCA_RC_ACK, PHCA_RC_ACK,
	};
	uint8_t op = rnd(x, 6) ? often[rnd(x, RTE_DIM(often))] : (uint8_t)rnd(x, PHCA_RC_SEND_ONLY_INV + 1);
	struct phca_wire_hdr h;
	uint32_t len;

	if (op == 0x15)
		op = PHCA_RC_ACK;
	h = lab_hdr(x->l, op, v->q.qpn, 0);
	len = any_len(x, op);
	any_target(x, &h, op == PHCA_RC_WRITE_FIRST ? LAB_MTU * (1 + rnd(x, 3)) + rnd(x, 100) :
		op == PHCA_RC_READ_REQ ? rnd(x, 4096) : len);
	h.psn = phca_psn(any_psn(x, v, phca_opcode_table[op].flags & PHCA_OPF_ACK));
	h.syndrome = any_syndrome(x);
	h.msn = rnd(x, 1 << 24);
	h.ackreq = rnd(x, 2);
	h.imm = rnd(x, UINT32_MAX);
	h.inv_rkey = rnd(x, 4) ? rnd(x, UINT32_MAX) : x->key[OPEN];
	h.cmp = rnd(x, 3);
	h.swap_add = phca_test_rand(&x->rnd);
	if (rnd(x, 8) == 0) { /* again what was sent before, to whomever */
		h = x->last;
		len = x->last_len;
	}
	x->last = h;
	x->last_len = len;
	lab_send(x->l, &h, len, rnd(x, 2) ? JUDGE_MARK : 0);
	v->psn = (v->psn + (h.psn.v == v->psn && !(phca_opcode_table[op].flags & PHCA_OPF_ACK))) & PHCA_PSN_MASK;
}

/* What the HCA sent to the peer must not have what the peer may not read. */
static void listen(struct rc_storm *x)
{
	struct rte_mbuf *m;

	while ((m = lab_capture(x->l)) != NULL) {
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

		if (m->data_len > 120 && memmem(p, m->data_len, SECRET, strlen(SECRET)) != NULL)
			wrong(x, "a packet has what the peer may not read", m->data_len, 0);
		x->responses++;
		rte_pktmbuf_free(m);
	}
}

static void turn(struct rc_storm *x)
{
	unsigned int before = rte_ring_count(x->l->out), done = phca_loop_turn(x->l->hca_loop, x->l->now_ns);

	if (done > DONE_TURN)
		wrong(x, "a turn did too much", done, DONE_TURN);
	if (rte_ring_count(x->l->out) - before > TX_TURN)
		wrong(x, "a turn sent too much", rte_ring_count(x->l->out) - before, TX_TURN);
	x->done_max = RTE_MAX(x->done_max, done);
	lab_turn_proxy(x->l, 1);
	listen(x);
}

/* ---------------------------------------------------------- the neighbour */

static void connect_good(struct rc_storm *x)
{
	static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

	for (unsigned int i = 0; i < 2; i++) {
		struct phca_qp_attr a = { .state = PHCA_QPS_RESET };

		x->good[i] = lab_qp(x->l, PHCA_QPT_RC, 0x200 + i);
		CU_ASSERT_EQUAL(phca_qp_query(x->good[i].qp, &a), 0);
		a.state = PHCA_QPS_RESET;
		CU_ASSERT_EQUAL(phca_qp_modify(x->good[i].qp, &a, PHCA_QP_STATE), 0);
		memcpy(a.av.dgid, own, 16);
		a.dest_qpn = 0x201 - i;
		a.state = PHCA_QPS_INIT;
		CU_ASSERT_EQUAL(phca_qp_modify(x->good[i].qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
		a.state = PHCA_QPS_RTR;
		CU_ASSERT_EQUAL(phca_qp_modify(x->good[i].qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU |
			PHCA_QP_RQ_PSN | PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER), 0);
		a.state = PHCA_QPS_RTS;
		CU_ASSERT_EQUAL(phca_qp_modify(x->good[i].qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT |
			PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC), 0);
	}
}

/* One message there, and its two completions. */
static void neighbour(struct rc_storm *x)
{
	uint8_t data[48];
	struct phca_send_wr w = {
		.wr_id = x->good_sent, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED | PHCA_SEND_INLINE,
		.inline_data = data, .inline_len = sizeof(data),
	};
	struct phca_wc wc = { .status = PHCA_WC_GENERAL_ERR };
	bool sent = false, got = false;

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(x->good_sent + i);
	lab_post(&x->good[1], 1);
	CU_ASSERT_EQUAL(phca_post_send(x->good[0].qp, &w, 1), 1);
	x->good_sent++;
	for (unsigned int i = 0; i < 20 && !(sent && got); i++) {
		turn(x);
		x->l->now_ns += 1000;
		if (lab_poll(&x->good[0], &wc))
			sent = wc.status == PHCA_WC_SUCCESS;
		if (lab_poll(&x->good[1], &wc))
			got = wc.status == PHCA_WC_SUCCESS && wc.byte_len == sizeof(data) &&
				lab_is(lab_buf(&x->good[1], wc.wr_id), sizeof(data), (uint8_t)x->good_got++);
	}
	if (!sent || !got)
		wrong(x, "the neighbour's message did not arrive", sent, got);
}

/* ------------------------------------------------------------ begin, end */

static void areas(struct rc_storm *x)
{
	static const uint32_t access[AREAS] = {
		[OPEN] = PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ |
			PHCA_ACCESS_REMOTE_ATOMIC,
		[READABLE] = PHCA_ACCESS_REMOTE_READ, [CLOSED] = PHCA_ACCESS_LOCAL_WRITE,
	};

	x->mem = malloc(AREAS * AREA);
	x->local = calloc(1, 2 * AREA);
	CU_ASSERT_FATAL(x->mem != NULL && x->local != NULL);
	for (uint32_t i = 0; i < AREAS * AREA; i++)
		x->mem[i] = (uint8_t)SECRET[i % strlen(SECRET)];
	memset(x->mem + OPEN * AREA, 0, AREA);
	memset(x->mem + READABLE * AREA, 0x11, AREA);
	for (unsigned int i = OPEN; i < AREAS; i += 2)
		CU_ASSERT_FATAL(phca_mr_reg(x->l->mem, x->l->pd, x->mem + i * AREA, AREA, (uintptr_t)x->mem + i * AREA,
			access[i], &x->key[i]) == 0);
	CU_ASSERT_FATAL(phca_mr_reg(x->l->mem, x->l->pd, x->local, 2 * AREA, (uintptr_t)x->local,
		PHCA_ACCESS_LOCAL_WRITE, &x->k_local) == 0);
}

static struct rc_storm *judging;

static enum judge_verdict any_verdict(const struct phca_offload_req *req)
{
	(void)req;
	return (enum judge_verdict)(phca_test_rand(&judging->judged) >> 16) % 3;
}

/* Some of what waits is decided; all of it, when there is much. */
static void judge_some(struct rc_storm *x)
{
	while (x->j->n > 0 && (x->j->n > LAB_DEPTH || rnd(x, 2))) {
		unsigned int i = rnd(x, x->j->n);

		if (rnd(x, 2))
			judge_pass(x->l, x->j, i);
		else
			judge_done(x->l, x->j, i);
	}
}

static void storm_open(struct rc_storm *x)
{
	static const struct phca_setting_arg delay = { .name = "delay_max_us", .kind = PHCA_SETTING_UINT, .u = 5 };
	struct phca_filter_param big = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 600 };
	struct phca_rule r = { .name = "big", .send = true, .inbound = true };

	memset(x, 0, sizeof(*x));
	x->rnd = x->judged = 17;
	x->l = lab_open(NULL);
	x->j = judge_open(x->l, true);
	x->j->policy = any_verdict;
	judging = x;
	areas(x);
	x->o = r.offload = lab_offload(x->l, "o", phca_offload_driver_find("delay"), &delay, 1, 0);
	r.filter = lab_filter(x->l, "by_size", &big, 1);
	for (unsigned int i = 0; i < NB; i++) {
		x->v[i].q = lab_qp(x->l, PHCA_QPT_RC, 0x100 + i);
		if (i == NB - 2)
			CU_ASSERT_EQUAL(phca_qp_proxy_attach(x->v[i].q.qp, &r, 1, 0), 0);
		if (i == NB - 1)
			CU_ASSERT_EQUAL(phca_qp_proxy_attach(x->v[i].q.qp, x->j->rule, 2, 0), 0);
	}
	x->last = lab_hdr(x->l, PHCA_RC_SEND_ONLY, 0x100, 0);
	connect_good(x);
}

static void storm_close(struct rc_storm *x)
{
	uint32_t spoilt = 0;

	for (uint32_t i = 0; i < AREAS * AREA; i++) {
		uint8_t was = i / AREA == READABLE ? 0x11 : (uint8_t)SECRET[i % strlen(SECRET)];

		spoilt += i / AREA != OPEN && x->mem[i] != was;
	}
	CU_ASSERT_EQUAL(spoilt, 0);
	for (unsigned int i = 0; i < NB; i++)
		lab_qp_free(x->l, &x->v[i].q);
	lab_qp_free(x->l, &x->good[0]);
	lab_qp_free(x->l, &x->good[1]);
	lab_turn(x->l, 4);
	for (unsigned int i = OPEN; i < AREAS; i += 2)
		CU_ASSERT_EQUAL(phca_mr_dereg(x->l->mem, x->key[i]), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x->l->mem, x->k_local), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(x->o), 0);
	judge_close(x->j);
	free(x->mem);
	free(x->local);
	lab_close(x->l);
}

PHCA_TEST(rc_storm, a_hostile_peer_harms_nobody)
{
	unsigned long packets = phca_test_long() ? PACKETS_LONG : PACKETS;
	struct phca_qp_info info;
	static struct rc_storm x;
	struct phca_event ev[64];
	uint64_t direct = 0, offloaded = 0, sent = 0, passed = 0, dropped = 0;

	storm_open(&x);
	for (unsigned long n = 0; n < packets && x.wrong == 0;) {
		struct victim *v = &x.v[rnd(&x, NB)];
		unsigned int burst = 1 + rnd(&x, 6);

		look(&x, v);
		if (rnd(&x, 2))
			post(&x, v);
		for (unsigned int i = 0; i < burst; i++, n++)
			attack(&x, v);
		turn(&x);
		judge_some(&x);
		x.l->now_ns += rnd(&x, 64) ? 1000 : 100000000; /* now and then a timeout */
		if (rnd(&x, 64) == 0)
			neighbour(&x);
		phca_hca_events(x.l->hca, ev, 64);
	}
	CU_ASSERT_EQUAL(x.wrong, 0);
	for (unsigned int i = 0; i < NB; i++) {
		info = lab_info(&x.v[i].q);
		direct += info.stats.rx_direct;
		offloaded += info.stats.rx_offloaded;
		sent += x.v[i].completed;
		passed += info.stats.rx_passed;
		dropped += info.stats.rx_pass_dropped;
	}
	printf("  rc_storm: %lu packets, %" PRIu64 " answers; %" PRIu64 " direct, %" PRIu64 " offloaded, ", packets,
		x.responses, direct, offloaded);
	printf("%" PRIu64 " passed, %" PRIu64 " not, ", passed, dropped);
	printf("%" PRIu64 " WRs, %" PRIu64 " lives; a turn did %" PRIu64 " at most\n", sent, x.lives, x.done_max);
	/* it was not only noise */
	CU_ASSERT(direct > packets / 100 && offloaded > 0 && sent > packets / 100 && x.lives > 10 && x.good_got > 100);
	CU_ASSERT(passed > 1000 && dropped > 0);
	storm_close(&x);
}
