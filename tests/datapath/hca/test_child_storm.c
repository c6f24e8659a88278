/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random programs of posted work requests, direct and offloaded, of all kinds; the offload
 * gives some back, issues children for others, bit by bit, and decides in any order; the
 * network loses packets both ways, and the peer is not ready at times, or refuses.
 *
 * What must hold: the peer accepts what direct requests, given back ones and children
 * carry in the order of the posts, each once; completions come in that order, each once,
 * with one error at most, and behind it flushes alone; each child is told over once.
 */
#include <errno.h>
#include <string.h>

#include "child_lab.h"

#define REQUESTS 20000
#define REQUESTS_LONG 1000000
#define WINDOW 32
#define PENDING 24         /* requests posted and not known to have ended, at most */
#define TAGS 4096
#define TURNS_STUCK 2000000
#define SCRATCH (PEER_MEM / 2)

enum kind { DIRECT, PASSED, PARENT, NOTHING };

struct request {
	uint8_t kind, kids;
	bool signaled;
};

static struct storm {
	struct child_lab x;
	uint64_t rnd;
	unsigned int loss, refuse; /* one in so many; 0: never */
	struct request req[64];    /* by wr_id */
	uint64_t posted, ended;    /* those before have ended, or succeeded unsignaled */
	bool failed;               /* an error was told */
	uint64_t tags[TAGS];       /* that the peer has yet to accept */
	uint32_t first, last;
	uint32_t epsn;
	bool told;                 /* NAK of a gap */
	uint64_t wrong, accepted, lives;
} s;
static struct child_driver *const d = &child_driver;

static uint32_t rnd(uint32_t n)
{
	return (uint32_t)(phca_test_rand(&s.rnd) >> 16) % n;
}

static bool one_in(unsigned int n)
{
	return n > 0 && rnd(n) == 0;
}

static void wrong(const char *what, uint64_t a, uint64_t b)
{
	if (s.wrong++ < 5)
		printf("  wrong: %s: 0x%" PRIx64 ", 0x%" PRIx64 "\n", what, a, b);
}

/* ------------------------------------------------------------- application */

static uint64_t tag_of(uint64_t id, unsigned int kid)
{
	return id << 16 | kid << 4 | 0xf;
}

static void expect(uint64_t tag)
{
	s.tags[s.last++ % TAGS] = tag;
	CU_ASSERT_FATAL(s.last - s.first < TAGS);
}

static void post(void)
{
	static const uint8_t op[] = { PHCA_WR_SEND, PHCA_WR_RDMA_WRITE, PHCA_WR_RDMA_READ, PHCA_WR_SEND_WITH_IMM };
	struct request *q = &s.req[s.posted % RTE_DIM(s.req)];
	uint64_t tag = tag_of(s.posted, 0xfff);
	uint8_t *at = s.x.p.mem + s.posted % 64 * 4096;
	struct phca_sge sge = { (uintptr_t)at, 0, s.x.p.key };
	struct phca_send_wr w = {
		.wr_id = s.posted, .sge = &sge, .num_sge = 1, .opcode = op[rnd(RTE_DIM(op))],
		.remote_addr = tag, .rkey = 7,
	};

	*q = (struct request){ .kind = (uint8_t)rnd(4), .kids = (uint8_t)rnd(7), .signaled = rnd(4) > 0 };
	q->signaled |= s.posted % 8 == 7;
	sge.length = q->kind == DIRECT ? 8 + rnd(BIG - 8) : BIG + rnd(2500);
	w.flags = (q->signaled ? PHCA_SEND_SIGNALED : 0) | (one_in(8) ? PHCA_SEND_FENCE : 0);
	if (w.opcode == PHCA_WR_RDMA_READ)
		sge.addr = (uintptr_t)s.x.p.mem + SCRATCH;
	else
		memcpy(at, &tag, sizeof(tag));
	if (phca_post_send(s.x.p.q.qp, &w, 1) != 1)
		return;
	s.posted++;
	if (q->kind == DIRECT || q->kind == PASSED)
		expect(tag);
	for (unsigned int k = 0; q->kind == PARENT && k < q->kids; k++)
		expect(tag_of(w.wr_id, k));
}

/* Those up to id have ended, and it did with this status. */
static void ended(uint64_t id, uint32_t status)
{
	bool flush = status == PHCA_WC_WR_FLUSH_ERR;

	if (id < s.ended || id >= s.posted)
		wrong("completion twice, or of nothing", id, s.ended);
	for (; s.ended < id; s.ended++)
		if (s.failed || s.req[s.ended % RTE_DIM(s.req)].signaled)
			wrong("completion is missing", s.ended, id);
	s.ended++;
	if (status == PHCA_WC_SUCCESS && (s.failed || !s.req[id % RTE_DIM(s.req)].signaled))
		wrong("success of what failed, or was not signaled", id, 0);
	if (s.failed && !flush)
		wrong("a second error", id, status);
	if (status != PHCA_WC_SUCCESS && s.refuse == 0)
		wrong("an error of nobody's", id, status);
	s.failed |= status != PHCA_WC_SUCCESS;
}

static void poll(void)
{
	struct phca_wc wc;

	while (lab_poll(&s.x.p.q, &wc))
		ended(wc.wr_id, wc.status);
}

/* ------------------------------------------------------------- the offload */

static struct phca_child *kid_make(uint64_t id, unsigned int k)
{
	static const uint8_t op[] = {
		PHCA_WR_SEND, PHCA_WR_RDMA_WRITE, PHCA_WR_SEND_WITH_IMM, PHCA_WR_RDMA_READ,
		PHCA_WR_ATOMIC_FETCH_AND_ADD,
	};
	struct phca_child *c = phca_child_get(s.x.o);
	uint64_t tag = tag_of(id, k);
	struct phca_send_wqe *w;

	if (c == NULL)
		return NULL;
	w = &c->wr.wqe;
	w->opcode = op[rnd(RTE_DIM(op))];
	w->flags = one_in(8) ? PHCA_SEND_FENCE : 0;
	c->drv[0] = tag;
	c->wr.len = 8 + rnd(100);
	w->u.rdma.remote_addr = tag;
	if (w->opcode == PHCA_WR_ATOMIC_FETCH_AND_ADD) {
		w->u.atomic.remote_addr = tag;
		c->wr.len = 8;
	}
	if (w->opcode == PHCA_WR_RDMA_READ || w->opcode == PHCA_WR_ATOMIC_FETCH_AND_ADD) {
		c->sge[0] = (struct phca_sge){ (uintptr_t)s.x.p.mem + SCRATCH, c->wr.len, s.x.p.key };
		c->wr.sge = c->sge;
		w->num_sge = 1;
		c->wr.pd = s.x.p.l->pd;
	} else {
		memcpy(c->data, &tag, sizeof(tag));
		c->wr.inline_data = c->data;
	}
	return c;
}

/* @return whether it let go of the request */
static bool step(struct phca_offload_req *r)
{
	uint64_t id = r->wr->wqe.wr_id;
	const struct request *q = &s.req[id % RTE_DIM(s.req)];

	if (q->kind == PASSED) {
		int rc = phca_offload_pass(r);

		CU_ASSERT(rc == 0 || (rc == -ECANCELED && s.refuse > 0));
		return rc == 0;
	}
	while (q->kind == PARENT && r->drv[0] < q->kids && !one_in(3)) {
		struct phca_child *c = kid_make(id, (unsigned int)r->drv[0]);

		if (c == NULL)
			return false;
		if (phca_child_post(r->pqp, c, r) != 0) { /* the queue pair has failed: it will be cancelled */
			phca_child_put(c);
			return false;
		}
		d->nb_posted++;
		r->drv[0]++;
	}
	if (q->kind == PARENT && r->drv[0] < q->kids)
		return false;
	if (one_in(2)) {
		phca_offload_emitted(r);
		return false;
	}
	phca_offload_done(r, PHCA_WC_SUCCESS);
	return true;
}

static unsigned int progress(uint64_t now_ns)
{
	(void)now_ns;
	for (unsigned int i = 0; i < d->nb_held;) {
		struct phca_offload_req *r = d->held[i];

		if (rnd(3) > 0 || !step(r)) {
			i++;
			continue;
		}
		for (unsigned int k = 0; k < d->nb_held; k++)
			if (d->held[k] == r)
				d->held[k] = d->held[--d->nb_held];
	}
	return 0;
}

/* ---------------------------------------------------------------- the peer */

static void answer(enum phca_opcode op, uint32_t psn, uint8_t syndrome, uint32_t n)
{
	struct phca_wire_hdr h = lab_hdr(s.x.p.l, op, s.x.p.q.qpn, psn);

	h.syndrome = syndrome;
	if (!one_in(s.loss))
		lab_send(s.x.p.l, &h, n, 0);
}

static void accept(uint64_t tag)
{
	s.accepted++;
	if (s.first == s.last)
		wrong("accepted what nobody sent", tag, 0);
	else if (s.tags[s.first++ % TAGS] != tag)
		wrong("out of order", tag, s.tags[(s.first - 1) % TAGS]);
}

static void read_answer(uint32_t psn, uint32_t len)
{
	for (uint32_t off = 0, n = (len + LAB_MTU - 1) / LAB_MTU; off < n; off++) {
		enum phca_opcode op = n == 1 ? PHCA_RC_READ_RESP_ONLY : off == 0 ? PHCA_RC_READ_RESP_FIRST :
			off == n - 1 ? PHCA_RC_READ_RESP_LAST : PHCA_RC_READ_RESP_MIDDLE;

		answer(op, psn + off, PEER_ACK, off == n - 1 ? len - off * LAB_MTU : LAB_MTU);
	}
}

/* One packet that arrived, in its turn or sent again. */
static void take(bool again)
{
	const struct phca_pkt *p = &s.x.p.p;
	bool request = p->opcode == PHCA_RC_READ_REQ || p->opcode == PHCA_RC_FETCH_ADD;
	uint32_t n = 1;
	uint64_t tag;

	if (p->opcode == PHCA_RC_READ_REQ) {
		tag = phca_get64(peer_reth(&s.x.p)->va);
		n = (phca_get32(peer_reth(&s.x.p)->len) + LAB_MTU - 1) / LAB_MTU;
		read_answer(p->psn.v, phca_get32(peer_reth(&s.x.p)->len));
	} else if (p->opcode == PHCA_RC_FETCH_ADD) {
		const struct phca_atomiceth *a = phca_pkt_hdr(s.x.p.frame, p, PHCA_HDR_ATOMICETH);

		tag = phca_get64(a->va);
		answer(PHCA_RC_ATOMIC_ACK, p->psn.v, PEER_ACK, 0);
	} else {
		memcpy(&tag, s.x.p.frame + p->payload_off, sizeof(tag));
	}
	if (!again) {
		s.epsn = (s.epsn + n) & PHCA_PSN_MASK;
		s.told = false;
		if (request || (phca_opcode_table[p->opcode].flags & PHCA_OPF_FIRST))
			accept(tag);
	}
	if (!request && (again || (p->flags & PHCA_PKT_ACKREQ)))
		answer(PHCA_RC_ACK, s.epsn - 1, PEER_ACK, 0);
}

static bool peer(void)
{
	bool any = false;

	while (peer_next(&s.x.p)) {
		int32_t ahead = phca_psn_diff(s.x.p.p.psn, phca_psn(s.epsn));

		any = true;
		if (one_in(s.loss))
			continue;
		if (ahead < 0) {
			take(true);
		} else if (ahead > 0) {
			if (!s.told)
				answer(PHCA_RC_ACK, s.epsn, PEER_NAK, 0);
			s.told = true;
		} else if (one_in(100)) {
			answer(PHCA_RC_ACK, s.epsn, PEER_RNR | 1, 0);
		} else if (one_in(s.refuse)) {
			answer(PHCA_RC_ACK, s.epsn, PEER_NAK | 2, 0);
		} else {
			take(false);
		}
	}
	return any;
}

/* -------------------------------------------------------------------- run */

static void begin_again(void)
{
	lab_turn(s.x.p.l, 3);
	peer_drain(&s.x.p);
	lab_qp_restart(s.x.p.l, &s.x.p.q, PHCA_QPS_RTS, 0);
	s.first = s.last;
	s.epsn = 0;
	s.told = s.failed = false;
	s.lives++;
}

static void renew(void)
{
	for (unsigned int i = 0; i < 3000 && s.ended < s.posted; i++) {
		lab_turn(s.x.p.l, 1);
		poll();
	}
	if (s.ended != s.posted)
		wrong("not flushed", s.ended, s.posted);
	begin_again();
}

static void run(unsigned int loss, unsigned int refuse, uint64_t seed)
{
	uint64_t n = phca_test_long() ? REQUESTS_LONG : REQUESTS;
	unsigned int idle = 0, stuck = 0;

	s = (struct storm){ .rnd = seed, .loss = loss, .refuse = refuse };
	s.x = child_open(PHCA_QPT_RC, true, NULL, NULL);
	child_attach(&s.x, WINDOW);
	d->poll = progress;
	begin_again();
	while ((s.posted < n || (s.ended < s.posted && s.req[(s.posted - 1) % RTE_DIM(s.req)].signaled)) &&
			stuck < TURNS_STUCK && s.wrong == 0) {
		uint64_t was = s.ended;

		while (s.posted < n && s.posted - s.ended < PENDING && rnd(4) > 0)
			post();
		lab_turn(s.x.p.l, 1);
		poll();
		idle = peer() ? 0 : idle + 1;
		if (idle > 50) { /* nothing but a timer can help */
			s.x.p.l->now_ns += 70000000;
			idle = 0;
		}
		if (one_in(3000))
			CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(s.x.p.q.qp, &s.x.r, 1), 0);
		if (lab_info(&s.x.p.q).state == PHCA_QPS_ERR)
			renew();
		stuck = s.ended == was ? stuck + 1 : 0;
	}
	CU_ASSERT(stuck < TURNS_STUCK);
	CU_ASSERT_EQUAL(s.wrong, 0);
	CU_ASSERT(s.accepted > n);
	if (refuse == 0)
		CU_ASSERT_EQUAL(d->nb_failed, 0);
	CU_ASSERT(refuse == 0 || s.lives > 10);
	if (s.wrong > 0 || stuck == TURNS_STUCK)
		printf("  seed %" PRIu64 ": %" PRIu64 " posted, %" PRIu64 " ended\n", seed, s.posted, s.ended);
	child_close(&s.x);
}

PHCA_TEST(child_storm, without_loss) { run(0, 0, 1); }
PHCA_TEST(child_storm, with_loss) { run(20, 0, 2); }
PHCA_TEST(child_storm, with_loss_and_refusals) { run(30, 700, 3); }
