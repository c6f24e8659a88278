/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ordered requests: those whose drivers may put something on the queue pair that they
 * came from, or give them back to be carried out.
 *
 * Their places are gone through in the order of the requests. It is the turn of the
 * first that is not decided: its children are sent as they are posted. Those behind it
 * queue theirs, and wait to be given back. What is sent is a reply, so the HCA sees all
 * of it in the order of the requests; RESUME, behind it, says how many are over.
 *
 * Invariant: order_next is the place of the first ordered request that is not over, and
 * each that was counted by the HCA (F_ORDERED) is in exactly one RESUME, or its queue
 * pair is let go.
 */
#include <errno.h>

#include "proxy_impl.h"

void order_begin(struct window *w, uint32_t seq)
{
	if (w->nb_ordered++ == 0)
		w->order_next = seq;
	window_place(w, seq)->order = ORDER_OPEN;
}

/* Room for a reply, and none before it that waits. */
static bool room(const struct phca_proxy_chan *c)
{
	return c->kids == NULL && c->nb_stage < STAGE;
}

static void stuck(struct window *w)
{
	struct phca_proxy_chan *c = window_pqp(w)->chan;

	if (w->order_stuck)
		return;
	w->order_stuck = true;
	w->next_stuck = c->stuck;
	c->stuck = w;
}

/* An inbound WRITE, whole, with the checks that the HCA makes (9.7.4.1.5). */
static uint8_t write_memory(struct phca_proxy *p, const struct phca_offload_req *r)
{
	uint32_t at = 0, skip = r->pkt.payload_off;

	if (r->len == 0)
		return PHCA_WC_SUCCESS; /* not even the key is looked at (9.7.4.1.2) */
	if (p->mem == NULL)
		return PHCA_WC_REM_OP_ERR;
	if (phca_mem_check(p->mem, r->rkey, r->pd, r->qpn, r->va, r->len, PHCA_ACCESS_REMOTE_WRITE) != PHCA_MEM_OK)
		return PHCA_WC_REM_ACCESS_ERR;
	for (const struct rte_mbuf *m = r->m; m != NULL && at < r->len; m = m->next) {
		uint32_t n = RTE_MIN((uint32_t)m->data_len - skip, r->len - at);

		if (phca_mem_write(p->mem, r->rkey, r->pd, r->qpn, r->va + at,
				rte_pktmbuf_mtod_offset(m, const void *, skip), n) != PHCA_MEM_OK)
			return PHCA_WC_REM_ACCESS_ERR;
		at += n;
		skip = 0;
	}
	return PHCA_WC_SUCCESS;
}

/* The place is the HCA's to complete. */
static void hand_back(struct window *w, struct place *pl, struct phca_offload_req *r)
{
	struct phca_pqp *q = r->pqp;
	struct phca_preply reply = { .kind = PHCA_PREPLY_PASS, .dir = r->dir, .seq = r->seq, .cookie = q->cookie };

	INC(q->c.passed);
	if (r->dir == PHCA_DIR_RECV) {
		reply.req = r;
		reply.data = r->answer;
		r->answer = r->answer_tail = NULL;
	}
	if (!reply_stage(q->chan, &reply))
		assert(!"room was looked for");
	pl->state = PLACE_FREE;
	pl->req = NULL;
	w->pending--;
	DEC(w->busy);
	if (r->dir == PHCA_DIR_SEND) {
		req_release(q, r);
		return;
	}
	pl->req = r;
	r->state = REQ_PASSED;
	w->passed++;
}

/* Its turn has come. What needs no receive of the application's is done here. */
static void pass_now(struct phca_proxy *p, struct window *w, struct place *pl)
{
	struct phca_offload_req *r = pl->req;
	uint8_t status = PHCA_WC_SUCCESS;
	bool wants_answer = r->dir == PHCA_DIR_RECV && op_wants_answer(r->op);
	bool write = r->dir == PHCA_DIR_RECV && r->op == PHCA_OP_WRITE;

	if (wants_answer)
		status = answer_end(r, PHCA_WC_SUCCESS);
	else if (write)
		status = write_memory(p, r);
	if (!wants_answer && status == PHCA_WC_SUCCESS && (!write || r->has_imm)) {
		hand_back(w, pl, r);
		return;
	}
	INC(r->pqp->c.passed);
	pl->req = NULL;
	if (unlikely(r->traced))
		trace_req(p, r, PHCA_TRACE_DONE, status);
	req_release(r->pqp, r);
	p->ended_by = r->offload;
	place_finish(p, r->pqp, pl, w->dir, r->seq, NULL, status);
}

/* As far as it goes. */
void order_advance(struct phca_proxy *p, struct window *w)
{
	struct phca_pqp *q = window_pqp(w);

	if (unlikely(q->state != PQP_ATTACHED)) /* it is being let go: all that is left is cancelled */
		return;
	while (w->nb_ordered > 0) {
		struct place *pl = window_place(w, w->order_next);
		/* what is behind a failure is cancelled soon, and does nothing any more */
		bool dead = w->failing && seq_before(w->fail_seq, w->order_next);
		bool pass = pl->order == ORDER_PASS && !dead;

		if (pl->order == ORDER_NONE) { /* one that is not ordered */
			w->order_next++;
			continue;
		}
		if (pl->state == PLACE_WAITING && pl->req != NULL && pl->req->kids != NULL && !dead)
			children_send(pl->req);
		if (pl->order == ORDER_OPEN)
			return;
		if (pass && !room(q->chan)) {
			stuck(w);
			return;
		}
		pl->order = ORDER_NONE;
		w->order_next++;
		w->nb_ordered--;
		w->resume++;
		pqp_due(q);
		if (pass)
			pass_now(p, w, pl);
	}
}

void order_mark(struct window *w, uint32_t seq)
{
	struct place *pl = window_place(w, seq);

	if (pl->order != ORDER_NONE)
		pl->order = ORDER_DECIDED;
}

void order_decide(struct phca_proxy *p, struct window *w, uint32_t seq)
{
	order_mark(w, seq);
	if (order_turn(w, seq))
		order_advance(p, w);
}

static void order_pass(struct phca_proxy *p, struct window *w, uint32_t seq)
{
	window_place(w, seq)->order = ORDER_PASS;
	if (order_turn(w, seq))
		order_advance(p, w);
}

void chan_order_again(struct phca_proxy_chan *c)
{
	struct window *w = c->stuck;

	c->stuck = NULL;
	while (w != NULL) {
		struct window *next = w->next_stuck;

		w->order_stuck = false;
		order_advance(c->proxy, w);
		w = next;
	}
}

/* The place waits, though no driver has it. */
static void occupy(struct window *w, struct phca_offload_req *r, uint8_t flags)
{
	struct place *pl = window_place(w, r->seq);

	r->state = REQ_PASSING;
	pl->state = PLACE_WAITING;
	pl->req = r;
	pl->out = (struct outcome){ .offload = 1, .flags = flags };
	INC(w->busy);
	w->pending++;
}

void order_passing(struct phca_proxy *p, struct window *w, struct phca_offload_req *r, uint8_t flags)
{
	occupy(w, r, flags);
	order_pass(p, w, r->seq);
}

void order_rule_pass(struct phca_proxy *p, struct phca_pqp *q, const struct phca_pmsg *m, uint8_t flags)
{
	struct window *w = &q->win[m->dir];
	struct phca_offload_req *r = req_take(q);

	req_fill(r, q, m);
	r->offload = NULL;
	order_passing(p, w, r, flags);
}

void order_cancel(struct phca_offload_req *r)
{
	if (r->answer_state != ANSWER_NONE) {
		answer_end(r, PHCA_WC_WR_FLUSH_ERR);
	} else if (r->dir == PHCA_DIR_RECV) {
		rte_pktmbuf_free(r->answer);
		r->answer = r->answer_tail = NULL;
	}
	req_release(r->pqp, r);
}

uint8_t order_passed_over(struct window *w, uint32_t seq)
{
	struct place *pl = window_place(w, seq);
	struct phca_offload_req *r = pl->req;

	if (r == NULL || r->state != REQ_PASSED)
		return 0;
	pl->req = NULL;
	w->passed--;
	req_release(r->pqp, r);
	return r->traced;
}

void order_clear(struct window *w)
{
	struct window **at = &window_pqp(w)->chan->stuck;

	while (w->order_stuck && *at != w)
		at = &(*at)->next_stuck;
	if (w->order_stuck)
		*at = w->next_stuck;
	w->order_stuck = false;
	w->nb_ordered = w->resume = 0;
	for (uint32_t i = 0; i <= w->mask; i++)
		w->places[i].order = ORDER_NONE;
}

/* --- what drivers call */

void phca_offload_ordered_set(struct phca_offload *o, unsigned int dirs)
{
	assert(o->initing);
	o->ordered = dirs & (1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV);
}

unsigned int phca_offload_ordered(const struct phca_offload *o)
{
	return o->ordered;
}

void phca_offload_emitted(struct phca_offload_req *r)
{
	if (r->ordered && (r->state == REQ_SUBMITTING || r->state == REQ_PENDING))
		order_decide(r->pqp->proxy, &r->pqp->win[r->dir], r->seq);
}

/* Whether the driver may give it back now. */
static int pass_check(const struct phca_offload_req *r)
{
	if (r->state != REQ_SUBMITTING && r->state != REQ_PENDING)
		return -ECANCELED;
	if (!r->ordered || r->children > 0 || r->said_done || !order_open(&r->pqp->win[r->dir], r->seq))
		return -EINVAL;
	return 0;
}

static void pass(struct phca_offload_req *r)
{
	struct phca_proxy *p = r->pqp->proxy;

	INC(r->offload->c.passed);
	if (unlikely(r->traced))
		trace_req(p, r, PHCA_TRACE_PASSED, 0);
	if (r->state == REQ_SUBMITTING) {
		phca_hist_add(&r->offload->detail.latency, 0, 1);
		r->state = REQ_PASSING;
		return;
	}
	req_let_go(p, r);
	r->state = REQ_PASSING;
	order_pass(p, &r->pqp->win[r->dir], r->seq);
}

int phca_offload_pass(struct phca_offload_req *r)
{
	int rc = pass_check(r);

	if (rc != 0)
		return rc;
	if (r->answer_state == ANSWER_WRITTEN) { /* a READ of memory, as if nobody had begun to answer it */
		rte_pktmbuf_free(r->answer);
		r->answer = r->answer_tail = NULL;
		r->answered = 0;
		r->answer_state = ANSWER_OPEN;
	}
	pass(r);
	return 0;
}

int phca_offload_deliver(struct phca_offload_req *r, const void *data, uint32_t len)
{
	int rc = pass_check(r);

	if (rc != 0)
		return rc;
	if (r->dir != PHCA_DIR_RECV || r->op != PHCA_OP_SEND || len > PHCA_MSG_MAX)
		return -EINVAL;
	rc = answer_fill(r, data, len);
	if (rc == 0)
		pass(r);
	return rc;
}
