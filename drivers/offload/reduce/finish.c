/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What poll does for reductions: contributions are combined in the order of the ranks;
 * when all are, or something is missing, each is let go in the order of the ranks.
 *
 * Invariant: r->turn is the rank that comes next; whatever stops the work (budget, no
 * child, no mbufs) leaves it there, and the next turn goes on. The accumulator does not
 * change from the first child that sends it to the end of the last.
 */
#include <errno.h>
#include <string.h>

#include "reduce.h"

#define ANSWERED (PHCA_REDUCE_F_ANSWER | PHCA_REDUCE_F_TELL)

/* What a child is about: drv[0] the reduction whose accumulator it sends, or 0; drv[1] the member, or 0. */
static struct phca_child *answer_get(struct phca_offload *o, struct reduction *r, struct member *m)
{
	struct phca_child *c = phca_child_get(o);

	if (c == NULL)
		return NULL;
	c->wr.wqe.opcode = PHCA_WR_SEND;
	c->drv[0] = (uintptr_t)r;
	c->drv[1] = (uintptr_t)m;
	return c;
}

/* @return whether it is on its way */
static bool answer_post(struct reduce *d, struct phca_pqp *q, struct phca_child *c, struct reduction *r,
		struct member *m)
{
	if (phca_child_post(q, c, NULL) != 0) {
		phca_child_put(c);
		REDUCE_ADD(d, unanswered, 1);
		return false;
	}
	(*(m != NULL ? &m->answers : &d->strange))++;
	if (r != NULL)
		r->children++;
	return true;
}

void reduce_error_answer(struct reduce *d, struct phca_offload *o, struct phca_pqp *q, struct member *m,
		const struct phca_reduce_hdr *h, enum phca_reduce_status status)
{
	const uint32_t out = m != NULL ? m->answers : d->strange, max = m != NULL ? 2 * d->per_qp : d->strange_max;
	struct phca_reduce_hdr answer = *h;
	struct phca_child *c;

	if (!(h->flags & ANSWERED))
		return;
	/* one that does not acknowledge shall not use up what all need */
	c = out < max ? answer_get(o, NULL, m) : NULL;
	if (c == NULL) {
		REDUCE_ADD(d, unanswered, 1);
		return;
	}
	answer.flags |= PHCA_REDUCE_F_RESULT;
	answer.status = status;
	memcpy(c->data, &answer, sizeof(answer));
	c->wr.inline_data = c->data;
	c->wr.len = sizeof(answer);
	answer_post(d, q, c, NULL, m);
}

void reduce_answer_over(struct reduce *d, const struct phca_child *c, enum phca_wc_status status)
{
	struct reduction *r = (struct reduction *)(uintptr_t)c->drv[0];
	struct member *m = (struct member *)(uintptr_t)c->drv[1];

	if (status == PHCA_WC_SUCCESS)
		REDUCE_ADD(d, answers, 1);
	else
		REDUCE_ADD(d, unanswered, 1);
	(*(m != NULL ? &m->answers : &d->strange))--;
	if (r != NULL && --r->children == 0 && r->state == REDUCE_DRAINING)
		reduce_table_free(d, r);
}

void reduce_fail(struct reduce *d, struct reduction *r, enum phca_reduce_status why)
{
	if (why == PHCA_REDUCE_TIMEOUT)
		REDUCE_ADD(d, timeouts, 1);
	else
		REDUCE_ADD(d, lost, 1);
	r->why = (uint8_t)why;
	reduce_table_close(d, r, REDUCE_FAILING);
	reduce_table_work(d, r);
}

/* --- the steps; each does one rank, @return false: not now, or nothing is left */

static bool combine_next(struct reduce *d, struct reduction *r, uint64_t now_ns, uint32_t *did)
{
	const struct phca_reduce_hdr *h = r->result;
	struct phca_offload_req *req = r->slots[r->turn].req;
	uint32_t size = phca_reduce_size(h->type);
	uint8_t *acc = (uint8_t *)(r->result + 1);

	if (req == NULL)
		return false;
	if (r->turn == 0)
		reduce_copy(acc, req->m, req->pkt.payload_off + PHCA_REDUCE_HDR_LEN, h->count * size);
	else
		reduce_combine(r->kernel, acc, req->m, req->pkt.payload_off + PHCA_REDUCE_HDR_LEN, h->count, size);
	*did = h->count * size;
	REDUCE_ADD(d, combined_bytes, h->count * size);
	if (++r->turn == h->nb_ranks) {
		REDUCE_ADD(d, reductions, 1);
		reduce_table_close(d, r, REDUCE_FINISHING);
		r->since_ns = now_ns;
	}
	return true;
}

/* @return false: no child is free */
static bool result_send(struct reduce *d, struct phca_offload *o, struct reduction *r, struct slot *s, uint32_t len)
{
	bool whole = (r->result->flags & PHCA_REDUCE_F_ANSWER) != 0;
	struct phca_child *c;

	s->answered = true;
	if (!phca_pqp_ready(s->member->pqp)) {
		REDUCE_ADD(d, unanswered, 1);
		return true;
	}
	c = answer_get(o, r, s->member);
	if (c == NULL) {
		s->answered = false;
		return false;
	}
	c->wr.inline_data = (const uint8_t *)r->result;
	c->wr.len = whole ? len : PHCA_REDUCE_HDR_LEN;
	answer_post(d, s->member->pqp, c, r, s->member);
	return true;
}

/* @return false: no mbufs now */
static bool result_deliver(struct reduce *d, struct reduction *r, struct slot *s, uint32_t len, uint64_t now_ns)
{
	struct phca_offload_req *req = s->req;
	int rc = phca_offload_deliver(req, r->result, len);

	if (rc == -ENOMEM && (d->wait_ns == 0 || now_ns - r->since_ns < d->wait_ns))
		return false;
	reduce_slot_clear(s);
	if (rc == 0) {
		REDUCE_ADD(d, delivered, 1);
		return true;
	}
	REDUCE_ADD(d, undelivered, 1);
	if (rc != -ECANCELED)
		phca_offload_done(req, PHCA_WC_LOC_QP_OP_ERR);
	return true;
}

static bool finish_next(struct reduce *d, struct phca_offload *o, struct reduction *r, uint64_t now_ns, uint32_t *did)
{
	const struct phca_reduce_hdr *h = r->result;
	struct slot *s = &r->slots[r->turn];
	uint32_t len = PHCA_REDUCE_HDR_LEN + h->count * phca_reduce_size(h->type);

	if (s->req != NULL) {
		if ((h->flags & ANSWERED) && !s->answered && !result_send(d, o, r, s, len))
			return false;
		if (r->turn == 0 && (h->flags & PHCA_REDUCE_F_DELIVER)) {
			if (!result_deliver(d, r, s, len, now_ns))
				return false;
			*did = len;
		} else {
			phca_offload_done(reduce_slot_clear(s), PHCA_WC_SUCCESS);
		}
	}
	r->turn++;
	return true;
}

static bool fail_next(struct reduce *d, struct phca_offload *o, struct reduction *r)
{
	struct slot *s = &r->slots[r->turn];
	struct phca_reduce_hdr h = *r->result;
	enum phca_wc_status status = PHCA_WC_SUCCESS;

	if (s->req != NULL) {
		h.flags &= (uint8_t)~PHCA_REDUCE_F_RESULT;
		h.rank = (uint16_t)r->turn;
		if (!d->drop)
			status = r->why == PHCA_REDUCE_TIMEOUT ? PHCA_WC_RESP_TIMEOUT_ERR : PHCA_WC_REM_ABORT_ERR;
		else
			reduce_error_answer(d, o, s->member->pqp, s->member, &h, r->why);
		phca_offload_done(reduce_slot_clear(s), status);
	}
	r->turn++;
	return true;
}

static bool step(struct reduce *d, struct phca_offload *o, struct reduction *r, uint64_t now_ns, uint32_t *did)
{
	*did = 0;
	if (r->state == REDUCE_GATHERING)
		return combine_next(d, r, now_ns, did);
	if (r->turn < r->result->nb_ranks)
		return r->state == REDUCE_FINISHING ? finish_next(d, o, r, now_ns, did) : fail_next(d, o, r);
	return false;
}

static void work_end(struct reduce *d, struct reduction *r)
{
	TAILQ_REMOVE(&d->work, r, by_work);
	r->working = false;
	if (r->state == REDUCE_GATHERING)
		return; /* until the next contribution comes */
	if (r->children > 0)
		r->state = REDUCE_DRAINING;
	else
		reduce_table_free(d, r);
}

unsigned int reduce_work_run(struct reduce *d, struct phca_offload *o, uint64_t now_ns, uint32_t budget)
{
	struct reduction *last = TAILQ_LAST(&d->work, reduction_list), *r, *next;
	unsigned int n = 0;

	for (r = TAILQ_FIRST(&d->work); r != NULL && budget > 0; r = next) {
		uint32_t did;

		next = r == last ? NULL : TAILQ_NEXT(r, by_work);
		while (budget > 0 && step(d, o, r, now_ns, &did)) {
			budget -= RTE_MIN(budget, did);
			n++;
		}
		if (r->state == REDUCE_GATHERING ? r->slots[r->turn].req == NULL : r->turn == r->result->nb_ranks)
			work_end(d, r);
	}
	return n;
}
