/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Order under stress, against a model.
 *
 * A model of the HCA and of the applications sends seeded random requests for
 * many QPs and polls the CQs; direct requests get their place when they are
 * issued, and complete at any time after that, in any order, well, with an error
 * or flushed; a driver ("chaos") finishes, fails, refuses and cancels at random
 * and notes for every place what became of it. Of RC some inbound requests are
 * atomics, which are owed an answer. From the notes
 * the model computes, place by place and in order, what each CQ must say: so a
 * completion that is early, late, missing, twice or with the wrong status is
 * seen at once. The same model runs with the proxy turned by hand, and with the
 * proxy on a thread of its own.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

#define QPS 64
#define CQS 16
#define WINDOW 32
#define CQE 448
#define TAGS 8
#define HELD_MAX (QPS * WINDOW * 2)
#define DRAIN_NS 20000000000ull /* what is not there by then is lost */
#define PLAIN_BIT (1ull << 63)
#define FLUSH PHCA_WC_WR_FLUSH_ERR

#ifdef PHCA_TSAN
#define REQUESTS 300000u
#else
#define REQUESTS 3000000u
#endif

/* What became of an offloaded request, noted by the driver. */
enum fate { NEVER_SEEN, HELD, FINISHED, CANCELLED };

/* An answer that the proxy owes. */
struct tag {
	bool owed;
	uint8_t fate, status; /* as in the cell, which may be in use again */
	uint64_t value;
};

struct cell {
	uint8_t offload, silent, direct_status; /* the model's */
	uint8_t issued;                         /* direct: its completion has not been sent */
	struct tag *tag;                        /* atomic: of its answer */
	uint64_t wr_id;
	uint8_t fate, status;                   /* the driver's */
	struct phca_offload_wr wr;
};

struct seqs {
	uint32_t next, freed;  /* as the HCA knows them */
	uint32_t seen;         /* all before it were checked */
	unsigned int issued;   /* cells that are */
	bool error;            /* the HCA knows of an error at error_at */
	uint32_t error_at;
	enum { WELL, FLUSHED, FAILED } gone;
	uint8_t carry;
	struct cell cell[WINDOW];
};

enum life { LIVE, IN_ERROR, DETACHING, DETACHED };

struct mqp {
	struct seqs s[PHCA_DIR_COUNT];
	enum life life;
	struct tag tag[TAGS];
	unsigned int flushes;  /* in error: WRs still to flush before DETACH */
	bool rc;
	struct phca_pqp *q;
	struct rig_cq *cq[PHCA_DIR_COUNT];
};

struct chaos {
	struct phca_offload_req *held[HELD_MAX];
	unsigned int nb_held;
	uint64_t seed;
	unsigned int fail_of_64k;
	unsigned int overwritten; /* requests whose memory was reused while held, or that took no answer */
};

static struct rig r;
static struct phca_offload *offloads[2];
static struct rig_cq cqs[CQS];
static uint32_t cq_owed[CQS];      /* places and plain completions not yet checked */
static uint64_t plain_next[CQS], plain_seen[CQS];
static struct mqp qps[QPS];
static uint64_t answers;
static uint64_t seed, sent, plain_sent, wrong, received, errors, attaches;
static bool turns_elsewhere;       /* the proxy has a thread of its own */
static uint32_t direct_error_of;   /* one of so many direct requests has an error */
static bool notes;                 /* the drivers note fates; else all succeed */

/* --- the driver */

static struct cell *req_cell(const struct phca_offload_req *req)
{
	return &qps[req->qpn].s[req->dir].cell[req->seq % WINDOW];
}

/* What became of a request, in its cell and in its tag. */
static void note(struct cell *cell, enum fate fate, uint8_t status)
{
	cell->fate = (uint8_t)fate;
	cell->status = status;
	if (cell->tag != NULL) {
		cell->tag->fate = (uint8_t)fate;
		cell->tag->status = status;
	}
}

static enum phca_wc_status chaos_status(struct chaos *c)
{
	return phca_test_rand(&c->seed) % 65536 < c->fail_of_64k ? PHCA_WC_REM_OP_ERR : PHCA_WC_SUCCESS;
}

static void chaos_finish(struct chaos *c, struct phca_offload_req *req)
{
	enum phca_wc_status status = chaos_status(c);
	struct cell *cell = req_cell(req);

	if (req->wr != NULL && req->wr->wqe.wr_id != req->drv[2])
		c->overwritten++;
	if (req->drv[1] == 0) { /* not cancelled: its answer counts */
		if (cell->tag != NULL && phca_offload_answer(req, 0, &cell->tag->value, 8) != 0)
			c->overwritten++;
		note(cell, FINISHED, (uint8_t)status);
	}
	phca_offload_done(req, status);
}

static void chaos_finish_one(struct chaos *c, unsigned int i)
{
	struct phca_offload_req *req = c->held[i];

	c->held[i] = c->held[--c->nb_held];
	c->held[i]->drv[0] = i;
	chaos_finish(c, req);
}

static int chaos_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct chaos *c = phca_offload_priv(o);
	uint64_t x = phca_test_rand(&c->seed);
	struct cell *cell = req_cell(req);

	(void)now_ns;
	req->drv[1] = 0;
	req->drv[2] = req->wr != NULL ? req->wr->wqe.wr_id : 0;
	if (x % 4 == 0) {
		chaos_finish(c, req);
		return 0;
	}
	if ((x >> 8) % 65536 < c->fail_of_64k) {
		note(cell, FINISHED, PHCA_WC_LOC_QP_OP_ERR);
		return -ENOSPC;
	}
	cell->fate = HELD;
	req->drv[0] = c->nb_held;
	c->held[c->nb_held++] = req;
	if (x % 16 == 1) /* another one, from within submit */
		chaos_finish_one(c, (unsigned int)((x >> 32) % c->nb_held));
	return 0;
}

static int chaos_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct chaos *c = phca_offload_priv(o);
	uint64_t x = phca_test_rand(&c->seed) % 3;

	note(req_cell(req), CANCELLED, 0);
	req->drv[1] = 1;
	if (phca_test_rand(&c->seed) % 4 == 0 && c->nb_held > 1) {
		/* another one ends first, perhaps with an error */
		chaos_finish_one(c, req->drv[0] == 0 ? 1 : 0);
	}
	if (x == 0)
		return -EBUSY;
	c->held[req->drv[0]] = c->held[--c->nb_held];
	c->held[req->drv[0]]->drv[0] = req->drv[0];
	if (x == 1)
		return 0;
	phca_offload_done(req, PHCA_WC_SUCCESS);
	return -EBUSY;
}

static unsigned int chaos_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct chaos *c = phca_offload_priv(o);
	unsigned int n = (unsigned int)(phca_test_rand(&c->seed) % 32), did = 0;

	(void)now_ns;
	while (did < n && c->nb_held > 0) {
		uint64_t x = phca_test_rand(&c->seed);

		did++;
		if (c->held[x % c->nb_held]->drv[1] == 0 || x >> 32 < UINT32_MAX / 256)
			chaos_finish_one(c, (unsigned int)(x % c->nb_held)); /* cancelled: long after */
	}
	return did;
}

static const struct phca_offload_ops chaos_ops = {
	.name = "chaos", .help = "anything that a driver may do", .priv_size = sizeof(struct chaos),
	.submit = chaos_submit, .cancel = chaos_cancel, .poll = chaos_poll,
};

/* --- what the application must see */

static void complain(const struct phca_wc *wc, const char *what)
{
	if (wrong++ < 5)
		printf("  wr_id 0x%lx %s: %s\n", (unsigned long)wc->wr_id, phca_wc_status_str(wc->status), what);
}

/*
 * The first error that is no flush is seen, all behind it are flushed; behind a
 * flush nothing succeeds. @return the status that the place has for the application
 */
static uint8_t place_status(struct seqs *s, const struct cell *c)
{
	uint8_t status = c->direct_status;

	if (c->offload)
		status = c->fate == FINISHED ? c->status : FLUSH;
	if (s->gone == FAILED || (s->gone == FLUSHED && status == PHCA_WC_SUCCESS))
		return FLUSH;
	if (status == FLUSH) {
		s->gone = FLUSHED;
	} else if (status != PHCA_WC_SUCCESS) {
		s->gone = FAILED;
		s->carry = c->offload ? status : PHCA_WC_SUCCESS;
	}
	return status;
}

/* The place is over: @return the status that its completion must have, -1: none must come */
static int place_expect(struct seqs *s, int dir, const struct cell *c)
{
	uint8_t carry = s->carry, status = place_status(s, c);

	if (dir == PHCA_DIR_RECV) {
		if (c->offload)
			return -1;
		if (carry != PHCA_WC_SUCCESS) {
			s->carry = PHCA_WC_SUCCESS;
			return carry;
		}
	}
	return status == PHCA_WC_SUCCESS && c->silent ? -1 : status;
}

/* The next unchecked place of a sequence is over. @return as place_expect */
static int place_next(struct mqp *q, int dir, const struct phca_wc *wc)
{
	struct seqs *s = &q->s[dir];
	const struct cell *c = &s->cell[s->seen++ % WINDOW];

	if (c->offload && c->fate == HELD)
		complain(wc, "overtook a request that its driver still has");
	if (c->issued)
		complain(wc, "overtook a direct request that has not completed");
	cq_owed[q->cq[dir] - cqs]--;
	return place_expect(s, dir, c);
}

static void completion(unsigned int cq, const struct phca_wc *wc)
{
	struct mqp *q = &qps[wc->wr_id >> 33 & 0x3fffff];
	int dir = (int)(wc->wr_id >> 32 & 1);
	struct seqs *s = &q->s[dir];
	uint32_t seq = (uint32_t)wc->wr_id;
	int want = -1;

	received++;
	if (wc->wr_id & PLAIN_BIT) {
		cq_owed[cq]--;
		if ((wc->wr_id & ~PLAIN_BIT) != plain_seen[cq]++)
			complain(wc, "plain completions out of order");
		return;
	}
	if ((int32_t)(seq - s->seen) < 0 || seq - s->seen >= WINDOW || q->cq[dir] != &cqs[cq]) {
		complain(wc, "came twice, or too early, or elsewhere");
		return;
	}
	while (s->seen != seq)
		if (place_next(q, dir, wc) != -1)
			complain(wc, "an earlier completion is missing");
	want = place_next(q, dir, wc);
	if (want != (int)wc->status)
		complain(wc, want < 0 ? "must not come" : "has the wrong status");
}

static void cqs_poll(void)
{
	struct phca_wc wc[16];

	for (unsigned int i = 0; i < CQS; i++)
		for (int n; (n = phca_cq_poll(&cqs[i].app, wc, 16)) > 0;)
			for (int k = 0; k < n; k++)
				completion(i, &wc[k]);
}

/* --- the HCA */

static bool send_msg(const struct phca_pmsg *m)
{
	return rte_ring_sp_enqueue_elem(phca_proxy_chan_ring(r.chan), (void *)(uintptr_t)m, sizeof(*m)) == 0;
}

/* An atomic when there is a tag, else a SEND. */
static struct rte_mbuf *message_make(struct phca_pmsg *m, struct tag *tag, unsigned int n)
{
	struct rte_mbuf *mb = rte_pktmbuf_alloc(r.pool);

	if (mb == NULL)
		return NULL;
	rte_pktmbuf_append(mb, 80);
	m->in.m = mb;
	m->in.pkt = (struct phca_pkt){ .opcode = PHCA_UD_SEND_ONLY, .bth_off = 42, .payload_off = 62 };
	m->in.msg_len = 18;
	if (tag != NULL) {
		m->in.pkt.opcode = PHCA_RC_FETCH_ADD;
		m->in.tag = n;
		*tag = (struct tag){ .owed = true, .value = phca_test_rand(&seed) };
	}
	m->in.last_opcode = m->in.pkt.opcode;
	return mb;
}

static void in_error(struct mqp *q, int dir, uint32_t seq)
{
	struct seqs *s = &q->s[dir];

	if (!s->error || (int32_t)(seq - s->error_at) < 0)
		s->error_at = seq;
	s->error = true;
	if (q->life != LIVE)
		return;
	q->life = IN_ERROR;
	q->flushes = (unsigned int)(phca_test_rand(&seed) % 200);
	errors++;
}

/* How the HCA completes a direct request at seq. */
static uint8_t direct_status(struct mqp *q, int dir, uint32_t seq)
{
	uint64_t x = phca_test_rand(&seed);
	struct seqs *s = &q->s[dir];

	if (!notes)
		return PHCA_WC_SUCCESS;
	if (x % direct_error_of == 0 || (q->life == IN_ERROR && q->rc && x % 64 == 0)) {
		in_error(q, dir, seq);
		return PHCA_WC_LOC_PROT_ERR;
	}
	if (q->life == LIVE)
		return PHCA_WC_SUCCESS;
	/* Another success behind an error would tell that a UD QP has recovered. */
	if (q->rc || (s->error && (int32_t)(seq - s->error_at) < 0))
		return x >> 32 & 1 ? PHCA_WC_SUCCESS : FLUSH;
	return FLUSH;
}

/* A direct request that was issued completes. */
static void arrive(struct mqp *q, int dir, uint32_t seq)
{
	struct seqs *s = &q->s[dir];
	struct cell *c = &s->cell[seq % WINDOW];
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_COMPLETE, .dir = (uint8_t)dir, .seq = seq, .pqp = q->q,
		.flags = c->silent ? PHCA_PMSG_F_NO_CQE : 0,
	};

	if (rte_ring_free_count(phca_proxy_chan_ring(r.chan)) == 0)
		return;
	c->direct_status = direct_status(q, dir, seq);
	m.wc = (struct phca_wc){ .wr_id = c->wr_id, .status = c->direct_status };
	c->issued = false;
	s->issued--;
	sent++;
	CU_ASSERT_TRUE_FATAL(send_msg(&m));
}

/* Any one of those that were issued. */
static void arrive_any(struct mqp *q, int dir)
{
	struct seqs *s = &q->s[dir];
	uint32_t places = s->next - s->freed, at;

	if (s->issued == 0)
		return;
	at = (uint32_t)(phca_test_rand(&seed) % places);
	while (!s->cell[(s->freed + at) % WINDOW].issued)
		at = (at + 1) % places;
	arrive(q, dir, s->freed + at);
}

/* One request of a QP, if window, CQ and ring allow. */
static void request(unsigned int i, int dir, bool flush)
{
	uint64_t x = phca_test_rand(&seed);
	struct mqp *q = &qps[i];
	struct seqs *s = &q->s[dir];
	struct cell *c = &s->cell[s->next % WINDOW];
	unsigned int tag, cq = (unsigned int)(q->cq[dir] - cqs);
	struct phca_pmsg m = { .kind = PHCA_PMSG_OFFLOAD, .dir = (uint8_t)dir, .seq = s->next, .pqp = q->q };

	if (s->next - s->freed >= WINDOW || cq_owed[cq] >= CQE ||
			rte_ring_free_count(phca_proxy_chan_ring(r.chan)) == 0)
		return;
	*c = (struct cell){
		.offload = !flush && x % 2, .silent = dir == PHCA_DIR_SEND && (x >> 8 & 1),
		.wr_id = (uint64_t)i << 33 | (uint64_t)dir << 32 | s->next,
	};
	if (!notes)
		c->fate = FINISHED;
	if (c->offload) {
		m.flags = c->silent ? PHCA_PMSG_F_NO_CQE : 0;
		m.rule = (uint8_t)(x >> 16 & 1);
		c->wr.wqe.wr_id = c->wr_id;
		c->wr.wqe.opcode = PHCA_WR_SEND;
		m.wr = &c->wr;
		tag = (unsigned int)(x >> 28) % TAGS;
		if (notes && q->rc && dir == PHCA_DIR_RECV && (x >> 17 & 1) && !q->tag[tag].owed)
			c->tag = &q->tag[tag];
		if (dir == PHCA_DIR_RECV && message_make(&m, c->tag, tag) == NULL)
			return;
		sent++;
		CU_ASSERT_TRUE_FATAL(send_msg(&m));
	}
	cq_owed[cq]++; /* never more than the CQ holds */
	s->next++;
	if (c->offload)
		return;
	c->issued = true;
	s->issued++;
	if (x >> 24 & 1) /* at once */
		arrive(q, dir, s->next - 1);
}

static void attach(struct mqp *q)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH, .pqp = q->q };

	m.seq = (uint32_t)phca_test_rand(&seed) % 4 == 0 ? 0xfffffff0u : 0;
	if (!send_msg(&m))
		return;
	for (int d = 0; d < PHCA_DIR_COUNT; d++) {
		struct seqs *s = &q->s[d];

		s->next = s->freed = s->seen = m.seq;
		s->issued = 0;
		s->error = false;
		s->gone = WELL;
		s->carry = PHCA_WC_SUCCESS;
	}
	q->life = LIVE;
	attaches++;
}

static void detach(struct mqp *q)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_DETACH, .pqp = q->q };

	if (send_msg(&m))
		q->life = DETACHING;
}

static void plain(unsigned int cq)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_PLAIN, .cqw = &cqs[cq].w };

	m.wc.wr_id = PLAIN_BIT | plain_next[cq];
	if (cq_owed[cq] >= CQE || !send_msg(&m))
		return;
	cq_owed[cq]++;
	plain_next[cq]++;
	plain_sent++;
	sent++;
}

/* Each atomic is answered once, and as its driver said. */
static void answer(struct mqp *q, const struct phca_preply *p)
{
	const struct phca_wc none = { 0 };
	struct tag *t = &q->tag[p->tag % TAGS];
	uint8_t want = t->fate == FINISHED ? t->status : FLUSH;

	answers++;
	if (p->tag >= TAGS || !t->owed || q->life == DETACHED)
		complain(&none, "an answer that was not owed");
	if (p->status != want || p->data != NULL ||
			p->value != (want == PHCA_WC_SUCCESS ? t->value : 0))
		complain(&none, "a wrong answer");
	t->owed = false;
}

static void reply(const struct phca_preply *p)
{
	const struct phca_wc none = { 0 };
	struct mqp *q = p->cookie;

	switch (p->kind) {
	case PHCA_PREPLY_CREDIT:
		q->s[p->dir].freed = p->seq;
		/* the CQs were polled: what was released without a completion is known */
		while ((int32_t)(p->seq - q->s[p->dir].seen) > 0)
			if (place_next(q, p->dir, &none) != -1)
				complain(&none, "a completion is missing, its place is free");
		break;
	case PHCA_PREPLY_ERROR:
		in_error(q, p->dir, p->seq);
		break;
	case PHCA_PREPLY_ANSWER:
		answer(q, p);
		break;
	case PHCA_PREPLY_DETACHED:
		memset(q->tag, 0, sizeof(q->tag));
		for (int d = 0; d < PHCA_DIR_COUNT; d++)
			cq_owed[q->cq[d] - cqs] -= q->s[d].next - q->s[d].seen;
		q->life = DETACHED;
		break;
	default:
		complain(&none, "unexpected reply");
	}
}

/* Replies first, then CQs, then what the replies say: a CQ is never behind a reply. */
static unsigned int replies_read(void)
{
	struct phca_preply got[64];
	struct rte_ring *back = phca_proxy_chan_replies(r.chan);
	unsigned int n = rte_ring_sc_dequeue_burst_elem(back, got, sizeof(got[0]), 64, NULL);

	cqs_poll();
	for (unsigned int i = 0; i < n; i++)
		reply(&got[i]);
	return n;
}

static void qp_step(unsigned int i)
{
	struct mqp *q = &qps[i];
	uint64_t x = phca_test_rand(&seed);

	switch (q->life) {
	case LIVE:
		for (unsigned int k = 0; k < x % 8 && q->life == LIVE; k++)
			request(i, (int)(x >> (8 + k) & 1), false);
		for (unsigned int k = 0; k < (x >> 16) % 8; k++)
			arrive_any(q, (int)(x >> (20 + k) & 1));
		if (notes && x >> 32 < UINT32_MAX / 5000)
			detach(q);
		break;
	case IN_ERROR:
		if (q->flushes > 0) {
			q->flushes--;
			request(i, (int)(x & 1), true);
			arrive_any(q, (int)(x >> 1 & 1));
		} else {
			detach(q);
		}
		break;
	case DETACHED:
		attach(q);
		break;
	case DETACHING:
		break;
	}
}

/* --- the runs */

static void world_init(unsigned int fail_of_64k)
{
	direct_error_of = fail_of_64k > 0 ? 1000000 / fail_of_64k : UINT32_MAX;
	struct phca_offload **o = offloads;
	const struct phca_setting_arg args[] = { { "delay_max_us", PHCA_SETTING_UINT, 20, NULL } };

	rig_init(&r, 256);
	turns_elsewhere = false;
	answers = sent = plain_sent = received = wrong = errors = attaches = 0;
	seed = 42;
	memset(cq_owed, 0, sizeof(cq_owed));
	memset(plain_next, 0, sizeof(plain_next));
	memset(plain_seen, 0, sizeof(plain_seen));
	memset(qps, 0, sizeof(qps));
	for (unsigned int i = 0; i < 2; i++) {
		struct phca_offload_conf conf = { .name = i == 0 ? "chaos0" : "chaos1", .ops = &chaos_ops };
		struct chaos *c;

		if (!notes) {
			o[i] = rig_offload(&r, i == 0 ? "delay" : "null", i == 0 ? "d" : "n", 0, args, 1 - i);
			continue;
		}
		o[i] = phca_offload_create(r.p, &conf, NULL, 0);
		CU_ASSERT_PTR_NOT_NULL_FATAL(o[i]);
		c = phca_offload_priv(o[i]);
		c->seed = 7 + i;
		c->fail_of_64k = fail_of_64k;
	}
	for (unsigned int i = 0; i < CQS; i++)
		rig_cq_init(&cqs[i], CQE, 512 - CQE);
	for (unsigned int i = 0; i < QPS; i++) {
		struct phca_pqp_conf conf = {
			.qpn = i, .transport = i % 2 ? PHCA_TRANSPORT_RC : PHCA_TRANSPORT_UD,
			.cookie = &qps[i], .chan = r.chan,
			.window = { WINDOW, WINDOW }, .nb_tags = TAGS, .nb_rules = 2, .offloads = { o[0], o[1] },
		};

		for (int d = 0; d < PHCA_DIR_COUNT; d++) {
			qps[i].cq[d] = &cqs[(i + 3 * (unsigned int)d) % CQS];
			conf.cq[d] = &qps[i].cq[d]->w;
		}
		qps[i].life = DETACHED;
		qps[i].rc = i % 2;
		qps[i].q = phca_pqp_create(r.p, &conf);
		CU_ASSERT_PTR_NOT_NULL_FATAL(qps[i].q);
	}
}

static unsigned int tags_owed(const struct mqp *q)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < TAGS; i++)
		n += q->tag[i].owed;
	return n;
}

/* @return sequences of living QPs whose places are not all checked and free */
static unsigned int world_open(void)
{
	unsigned int open = 0;

	for (unsigned int i = 0; i < QPS; i++)
		for (int d = 0; d < PHCA_DIR_COUNT; d++)
			open += qps[i].life == LIVE && (tags_owed(&qps[i]) > 0 ||
					qps[i].s[d].seen != qps[i].s[d].next ||
					qps[i].s[d].freed != qps[i].s[d].next);
	return open;
}

/* Stop asking; every QP that lives gets all its completions; then detach all. */
static void world_drain(void (*turns)(void))
{
	uint64_t end_ns = phca_loop_now_ns() + DRAIN_NS;
	unsigned int attached = 1;

	while (world_open() > 0 && phca_loop_now_ns() < end_ns) {
		for (unsigned int i = 0; i < 2 * QPS; i++)
			if (qps[i / 2].life == LIVE)
				arrive_any(&qps[i / 2], (int)(i & 1));
		turns();
		replies_read();
	}
	CU_ASSERT_EQUAL(world_open(), 0);
	while (attached > 0) {
		attached = 0;
		for (unsigned int i = 0; i < QPS; i++) {
			if (qps[i].life == LIVE || qps[i].life == IN_ERROR)
				detach(&qps[i]);
			attached += qps[i].life != DETACHED;
		}
		turns();
		replies_read();
	}
	for (unsigned int i = 0; i < CQS; i++)
		CU_ASSERT_EQUAL(cq_owed[i], 0);
}

static void world_fini(void)
{
	struct phca_proxy_stats st = rig_stats(&r);

	printf("  %lu requests, %lu completions, %lu errors, %lu attaches, %lu late, %lu cancelled, "
		"%lu flushed, %lu waited, reply ring full %lu times\n", (unsigned long)sent,
		(unsigned long)received, (unsigned long)errors, (unsigned long)attaches,
		(unsigned long)st.late, (unsigned long)st.cancelled, (unsigned long)st.flushed,
		(unsigned long)st.waited, (unsigned long)st.reply_ring_full);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(st.bad_messages, 0);
	CU_ASSERT_EQUAL(st.cq_overruns, 0);
	CU_ASSERT_TRUE(st.waited > 0);
	CU_ASSERT_TRUE(st.reply_ring_full > 0 || turns_elsewhere);
	CU_ASSERT_EQUAL(st.completions + st.offloads + st.plain, sent);
	if (notes) {
		CU_ASSERT_TRUE(answers > sent / 1000);
		CU_ASSERT_TRUE(errors > 0 && attaches > QPS && st.cancelled > 0 && st.late > 0);
		for (unsigned int i = 0; i < 2; i++)
			CU_ASSERT_EQUAL(((struct chaos *)phca_offload_priv(offloads[i]))->overwritten, 0);
	} else {
		CU_ASSERT_EQUAL(st.released + st.plain, sent);
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct phca_offload_stats o;

		phca_offload_stats_get(offloads[i], &o);
		CU_ASSERT_EQUAL(o.in_flight, 0);
		CU_ASSERT_EQUAL(o.succeeded + o.failed + o.refused + o.timed_out + o.cancelled, o.submitted);
	}
	for (unsigned int i = 0; i < QPS; i++)
		phca_pqp_destroy(qps[i].q);
	rig_fini(&r);
	for (unsigned int i = 0; i < CQS; i++)
		rig_cq_fini(&cqs[i]);
}

static void turn_by_hand(void)
{
	unsigned int n = (unsigned int)(phca_test_rand(&seed) % 4);

	/* now and then the HCA is away, so that rings fill */
	if (phca_test_rand(&seed) % 512 == 0)
		n = 40;
	for (unsigned int i = 0; i <= n; i++)
		phca_loop_turn(r.loop, r.now_ns += 1000);
}

static void run(uint64_t requests, void (*turns)(void))
{
	unsigned int deaf = 0;

	while (sent < requests && wrong == 0) {
		for (unsigned int k = 0; k < 16; k++) {
			qp_step((unsigned int)(phca_test_rand(&seed) % QPS));
			if (plain_sent < sent / 8)
				plain((unsigned int)(phca_test_rand(&seed) % CQS));
		}
		turns();
		/* now and then the HCA does not read, so that the reply ring fills */
		if (deaf > 0)
			deaf--;
		else if (phca_test_rand(&seed) % 1000 == 0)
			deaf = 100;
		else if (phca_test_rand(&seed) % 4 != 0)
			replies_read();
	}
	world_drain(turns);
}

PHCA_TEST(stress, delay_and_null_in_order_by_hand)
{
	notes = false;
	world_init(0);
	run(REQUESTS * (phca_test_long() ? 10 : 1), turn_by_hand);
	world_fini();
}

PHCA_TEST(stress, chaos_by_hand)
{
	notes = true;
	world_init(60);
	run(REQUESTS * (phca_test_long() ? 10 : 1), turn_by_hand);
	world_fini();
}

/* Errors so often that most windows see several. */
PHCA_TEST(stress, chaos_with_many_errors)
{
	notes = true;
	world_init(3000);
	run(REQUESTS / 4 * (phca_test_long() ? 10 : 1), turn_by_hand);
	world_fini();
}

/* --- the proxy on a thread of its own */

static void *proxy_main(void *arg)
{
	(void)arg;
	phca_loop_run(r.loop);
	return NULL;
}

static void turn_elsewhere(void)
{
	static uint64_t before;

	if (sent == before)
		sched_yield(); /* nothing could be sent: the proxy's turn */
	before = sent;
}

static void run_threaded(void)
{
	pthread_t t;

	turns_elsewhere = true;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, proxy_main, NULL), 0);
	run(REQUESTS / 4 * (phca_test_long() ? 10 : 1), turn_elsewhere);
	phca_loop_stop(r.loop);
	pthread_join(t, NULL);
}

PHCA_TEST(stress, delay_and_null_in_order_on_two_threads)
{
	notes = false;
	world_init(0);
	run_threaded();
	world_fini();
}

PHCA_TEST(stress, chaos_on_two_threads)
{
	notes = true;
	world_init(60);
	run_threaded();
	world_fini();
}
