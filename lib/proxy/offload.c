/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a request that was offloaded.
 *
 *   req_take -> SUBMITTING -> PENDING -> finished, released
 *                    |            `-> CANCELLING -> released, or ZOMBIE -> released
 *                    `-> DONE (within submit) or refused, released
 *
 * Invariant: the memory of a request, its message and the place it came from
 * stay valid until the driver has let go of it: it called done, refused, or
 * said 0 to cancel.
 */
#include <errno.h>
#include <string.h>

#include "proxy_impl.h"

/* What a posted request's opcode means. */
static const struct {
	uint8_t wc, op;
	bool imm;
} wr_info[] = {
	[PHCA_WR_RDMA_WRITE] = { PHCA_WC_RDMA_WRITE, PHCA_OP_WRITE, false },
	[PHCA_WR_RDMA_WRITE_WITH_IMM] = { PHCA_WC_RDMA_WRITE, PHCA_OP_WRITE, true },
	[PHCA_WR_SEND] = { PHCA_WC_SEND, PHCA_OP_SEND, false },
	[PHCA_WR_SEND_WITH_IMM] = { PHCA_WC_SEND, PHCA_OP_SEND, true },
	[PHCA_WR_RDMA_READ] = { PHCA_WC_RDMA_READ, PHCA_OP_READ_REQ, false },
	[PHCA_WR_ATOMIC_CMP_AND_SWP] = { PHCA_WC_COMP_SWAP, PHCA_OP_CMP_SWAP, false },
	[PHCA_WR_ATOMIC_FETCH_AND_ADD] = { PHCA_WC_FETCH_ADD, PHCA_OP_FETCH_ADD, false },
	[PHCA_WR_LOCAL_INV] = { PHCA_WC_LOCAL_INV, PHCA_OP_SEND, false },
	[PHCA_WR_BIND_MW] = { PHCA_WC_BIND_MW, PHCA_OP_SEND, false },
	[PHCA_WR_SEND_WITH_INV] = { PHCA_WC_SEND, PHCA_OP_SEND, false },
};

void wr_completion(const struct phca_pqp *q, const struct phca_offload_wr *wr, struct phca_wc *wc)
{
	*wc = (struct phca_wc){
		.wr_id = wr->wqe.wr_id, .opcode = wr_info[wr->wqe.opcode].wc, .qp_num = q->qpn,
		.byte_len = wr->wqe.opcode == PHCA_WR_RDMA_READ ? wr->len : 0,
	};
}

struct phca_offload_req *req_take(struct phca_pqp *q)
{
	struct phca_offload_req *r = q->free_reqs;

	assert(r != NULL); /* as many as places */
	q->free_reqs = r->next;
	return r;
}

void req_release(struct phca_pqp *q, struct phca_offload_req *r)
{
	if (r->m != NULL)
		mbuf_free_later(q->chan, r->m);
	r->state = REQ_FREE;
	r->next = q->free_reqs;
	q->free_reqs = r;
}

static void req_link(struct phca_offload *o, struct phca_offload_req *r)
{
	r->next = NULL;
	r->prev = o->tail;
	if (o->tail != NULL)
		o->tail->next = r;
	else
		o->head = r;
	o->tail = r;
}

static void req_unlink(struct phca_offload *o, struct phca_offload_req *r)
{
	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		o->head = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	else
		o->tail = r->prev;
}

/* The driver has let go of a request that it held after submit. */
static void let_go(struct phca_proxy *p, struct phca_offload_req *r)
{
	DEC(r->offload->c.in_flight);
	DEC(p->c.in_flight);
	req_release(r->pqp, r);
}

static void count_result(struct phca_proxy *p, struct phca_offload_req *r, uint8_t status)
{
	struct phca_offload *o = r->offload;

	if (likely(status == PHCA_WC_SUCCESS)) {
		INC(o->c.succeeded);
		INC(r->pqp->c.offload_ok);
		return;
	}
	INC(o->c.failed);
	INC(o->detail.failed[status]);
	INC(p->c.errors);
	INC(r->pqp->c.offload_failed);
}

/* The HCA is answered, when it waits for that. @return how the request ends */
static inline uint8_t end_status(struct phca_offload_req *r, uint8_t status)
{
	return likely(r->answer_state == ANSWER_NONE) ? status : answer_end(r, status);
}

static void count_latency(struct phca_proxy *p, struct phca_offload_req *r)
{
	struct phca_offload *o = r->offload;
	uint64_t ns = p->now_ns - r->submit_ns;

	phca_hist_add(&o->detail.latency, ns, 1);
	PHCA_STAT_ADD(o->c.latency_ns_sum, ns);
	if (ns > o->c.latency_ns_max)
		__atomic_store_n(&o->c.latency_ns_max, ns, __ATOMIC_RELAXED);
}

/* Immediate data of an inbound message; ImmDt is always the last header. */
static void imm_read(struct phca_offload_req *r, uint8_t last_opcode)
{
	const struct rte_mbuf *last;
	const uint8_t *imm;

	r->has_imm = (phca_opcode_table[last_opcode].flags & PHCA_OPF_IMM) != 0;
	r->imm = 0;
	if (!r->has_imm)
		return;
	if (r->m->next == NULL) {
		imm = rte_pktmbuf_mtod_offset(r->m, const uint8_t *, r->pkt.payload_off);
	} else {
		last = rte_pktmbuf_lastseg(r->m);
		imm = rte_pktmbuf_mtod(last, const uint8_t *);
	}
	memcpy(&r->imm, imm - sizeof(r->imm), sizeof(r->imm));
}

/* RETH or AtomicETH: what the peer wants to do where. */
static void remote_read(struct phca_offload_req *r, const struct phca_pmsg *m)
{
	const void *frame = rte_pktmbuf_mtod(r->m, const void *);
	const struct phca_reth *reth = phca_pkt_hdr(frame, &r->pkt, PHCA_HDR_RETH);
	const struct phca_atomiceth *ath = phca_pkt_hdr(frame, &r->pkt, PHCA_HDR_ATOMICETH);

	r->va = r->compare = r->swap_add = 0;
	r->rkey = 0;
	if (reth != NULL) {
		r->va = phca_get64(reth->va);
		r->rkey = phca_get32(reth->rkey);
	}
	if (ath != NULL) {
		r->va = phca_get64(ath->va);
		r->rkey = phca_get32(ath->rkey);
		r->compare = phca_get64(ath->cmp);
		r->swap_add = phca_get64(ath->swap_add);
	}
	r->answer_state = ANSWER_NONE;
	r->answer = r->answer_tail = NULL;
	if (likely(!op_wants_answer(r->op)))
		return;
	r->answer_state = ANSWER_OPEN;
	r->answered = 0;
	r->value = 0;
	r->tag = m->in.tag;
	r->len = reth != NULL ? phca_get32(reth->len) : sizeof(r->value);
}

static void fill_inbound(struct phca_offload_req *r, const struct phca_pqp *q, const struct phca_pmsg *m)
{
	const struct phca_opcode_info *info = &phca_opcode_table[m->in.pkt.opcode];
	uint8_t deth = info->off[PHCA_HDR_DETH];

	r->m = m->in.m;
	r->pkt = m->in.pkt;
	r->len = m->in.msg_len;
	r->opcode = m->in.pkt.opcode;
	r->last_opcode = m->in.last_opcode;
	r->transport = info->transport;
	r->op = info->op;
	r->pd = q->pd;
	r->wr = NULL;
	r->peer_qpn = 0;
	if (deth != 0) {
		const struct phca_deth *h = rte_pktmbuf_mtod_offset(r->m, const struct phca_deth *,
				r->pkt.bth_off + deth);

		r->peer_qpn = phca_get24(h->sqpn);
	}
	imm_read(r, m->in.last_opcode);
	remote_read(r, m);
}

static void fill_posted(struct phca_offload_req *r, const struct phca_pqp *q, const struct phca_pmsg *m)
{
	const struct phca_offload_wr *wr = m->wr;

	r->m = NULL;
	r->answer_state = ANSWER_NONE;
	r->va = r->compare = r->swap_add = 0;
	r->rkey = 0;
	r->wr = wr;
	r->len = wr->len;
	r->pd = wr->pd;
	r->opcode = 0;
	r->transport = q->transport;
	r->op = wr_info[wr->wqe.opcode].op;
	r->peer_qpn = q->transport == PHCA_TRANSPORT_UD ? wr->wqe.u.ud.remote_qpn : 0;
	r->has_imm = wr_info[wr->wqe.opcode].imm;
	r->imm = r->has_imm ? wr->wqe.imm : 0;
}

void req_fill(struct phca_offload_req *r, const struct phca_pqp *q, const struct phca_pmsg *m)
{
	r->dir = m->dir;
	r->seq = m->seq;
	r->submit_ns = q->proxy->now_ns;
	r->result = PHCA_WC_SUCCESS;
	r->said_done = r->failed = false;
	r->ordered = (m->flags & PHCA_PMSG_F_ORDERED) != 0;
	r->traced = m->flags & PHCA_PMSG_F_TRACED;
	r->children = 0;
	r->kids = NULL;
	if (m->dir == PHCA_DIR_RECV)
		fill_inbound(r, q, m);
	else
		fill_posted(r, q, m);
}

/* The driver works on it: its place waits. */
static void pend(struct phca_proxy *p, struct window *w, struct phca_offload_req *r, uint8_t flags)
{
	struct place *pl = window_place(w, r->seq);

	r->state = REQ_PENDING;
	req_link(r->offload, r);
	INC(r->offload->c.in_flight);
	INC(p->c.in_flight);
	pl->state = PLACE_WAITING;
	pl->req = r;
	pl->out = (struct outcome){ .offload = 1, .flags = flags };
	INC(w->busy);
	w->pending++;
}

/* After submit it has children: what the driver said meanwhile, and what came of them. */
static void submitted(struct phca_proxy *p, struct phca_offload_req *r, int rc)
{
	if (rc != 0 && !r->said_done) { /* refused, after all */
		r->said_done = true;
		if (r->result == PHCA_WC_SUCCESS)
			r->result = PHCA_WC_LOC_QP_OP_ERR;
	}
	if (r->result != PHCA_WC_SUCCESS) {
		req_fail(p, r);
		if (r->children == 0) /* all of them were queued here */
			req_children_over(p, r);
	} else if (r->said_done && r->ordered) {
		order_decide(p, &r->pqp->win[r->dir], r->seq);
	}
}

void offload_submit(struct phca_proxy *p, struct phca_pqp *q, const struct phca_pmsg *m, uint8_t flags)
{
	struct phca_offload *o = q->rules.offloads[m->rule];
	struct phca_offload_req *r = req_take(q);
	struct window *w = &q->win[m->dir];
	struct outcome out = { .offload = 1, .flags = flags };
	struct phca_wc wc;
	int rc;

	w->flushing = false;
	r->offload = o;
	req_fill(r, q, m);
	INC(o->c.submitted);
	PHCA_STAT_ADD(o->c.bytes, r->len);
	if (unlikely(r->traced))
		trace_req(p, r, PHCA_TRACE_SUBMITTED, 0);
	r->state = REQ_SUBMITTING;
	rc = o->ops->submit(o, r, p->now_ns);
	if (likely(r->state == REQ_DONE)) {
		out.status = end_status(r, p->submit_status);
		count_result(p, r, out.status);
		phca_hist_add(&o->detail.latency, 0, 1);
	} else if (unlikely(r->state == REQ_PASSING)) {
		order_passing(p, w, r, flags);
		return;
	} else if (rc != 0 && r->children == 0) {
		out.status = end_status(r, PHCA_WC_LOC_QP_OP_ERR);
		INC(o->c.refused);
		INC(p->c.errors);
		INC(q->c.offload_failed);
	} else {
		pend(p, w, r, flags);
		if (unlikely(r->children > 0))
			submitted(p, r, rc);
		return;
	}
	if (unlikely(r->traced))
		trace_req(p, r, r->state == REQ_DONE ? PHCA_TRACE_DONE : PHCA_TRACE_REFUSED, out.status);
	req_release(q, r);
	if (unlikely(out.status != PHCA_WC_SUCCESS)) {
		out.fails = 1;
		window_fail(p, w, m->seq, out.status);
	}
	if (m->dir == PHCA_DIR_SEND)
		wr_completion(q, m->wr, &wc);
	window_outcome(p, w, m->seq, out, m->dir == PHCA_DIR_SEND ? &wc : NULL);
	if (unlikely(m->flags & PHCA_PMSG_F_ORDERED))
		order_decide(p, w, m->seq);
}

void place_finish(struct phca_proxy *p, struct phca_pqp *q, struct place *pl, uint8_t dir, uint32_t seq,
		const struct phca_offload_wr *wr, uint8_t status)
{
	struct outcome out = { .offload = 1, .flags = pl->out.flags, .status = status };
	struct window *w = &q->win[dir];
	struct phca_wc wc;

	if (unlikely(status != PHCA_WC_SUCCESS)) {
		out.fails = 1;
		window_fail(p, w, seq, status);
	}
	if (dir == PHCA_DIR_SEND)
		wr_completion(q, wr, &wc);
	window_finish(p, w, seq, out, dir == PHCA_DIR_SEND ? &wc : NULL);
}

void req_let_go(struct phca_proxy *p, struct phca_offload_req *r)
{
	req_unlink(r->offload, r);
	count_latency(p, r);
	p->ended_by = r->offload;
	DEC(r->offload->c.in_flight);
	DEC(p->c.in_flight);
}

static void done_pending(struct phca_proxy *p, struct phca_offload_req *r, uint8_t status)
{
	struct phca_pqp *q = r->pqp;
	struct place *pl = window_place(&q->win[r->dir], r->seq);
	const struct phca_offload_wr *wr = r->wr;
	bool ordered = r->ordered;
	uint32_t seq = r->seq;
	uint8_t dir = r->dir;

	status = end_status(r, status);
	count_result(p, r, status);
	if (unlikely(r->traced))
		trace_req(p, r, PHCA_TRACE_DONE, status);
	req_let_go(p, r);
	req_release(q, r);
	pl->req = NULL;
	if (likely(q->state == PQP_ATTACHED))
		place_finish(p, q, pl, dir, seq, wr, status);
	else
		pl->state = PLACE_FREE; /* another request's cancel finished this one */
	if (unlikely(ordered))
		order_decide(p, &q->win[dir], seq);
}

/* Nobody holds it any more. */
static void zombie_end(struct phca_proxy *p, struct phca_offload_req *r)
{
	struct phca_pqp *q = r->pqp;
	struct window *w = &q->win[r->dir];
	struct place *pl = window_place(w, r->seq);

	if (unlikely(r->traced))
		trace_req(p, r, PHCA_TRACE_LATE, 0);
	let_go(p, r);
	q->zombies--;
	pl->req = NULL;
	if (pl->state == PLACE_ZOMBIE)
		pl->state = PLACE_FREE;
	if (q->state == PQP_ATTACHED)
		window_release(p, w);
	else if (q->zombies == 0)
		pqp_due(q);
}

static void done_zombie(struct phca_proxy *p, struct phca_offload_req *r)
{
	if (r->said_done) {
		assert(!"the driver called phca_offload_done of a request that it had lost");
		return;
	}
	INC(p->c.late);
	INC(r->offload->c.late);
	r->said_done = true;
	if (r->children == 0)
		zombie_end(p, r);
}

void req_children_over(struct phca_proxy *p, struct phca_offload_req *r)
{
	if (!r->said_done)
		return; /* its driver has it */
	if (r->state == REQ_ZOMBIE)
		zombie_end(p, r);
	else if (r->state == REQ_PENDING)
		done_pending(p, r, r->result);
}

/* Its place ends now; what it refers to stays until its last child is over. */
void req_fail(struct phca_proxy *p, struct phca_offload_req *r)
{
	struct phca_pqp *q = r->pqp;
	struct window *w = &q->win[r->dir];

	if (r->state != REQ_PENDING)
		return; /* a zombie, or within submit */
	r->said_done = r->failed = true;
	req_unlink(r->offload, r);
	r->result = end_status(r, r->result);
	count_result(p, r, r->result);
	count_latency(p, r);
	if (unlikely(r->traced))
		trace_req(p, r, PHCA_TRACE_DONE, r->result);
	p->ended_by = r->offload;
	r->state = REQ_ZOMBIE;
	q->zombies++;
	place_finish(p, q, window_place(w, r->seq), r->dir, r->seq, r->wr, r->result);
	order_mark(w, r->seq);
	r->children++; /* it stays, while these end */
	children_flush(p, r);
	r->children--;
	order_advance(p, w);
}

/* It takes effect when its children are over; an error does at once. */
static void done_with_children(struct phca_proxy *p, struct phca_offload_req *r, uint8_t status)
{
	r->said_done = true;
	if (r->result == PHCA_WC_SUCCESS)
		r->result = status;
	if (r->state == REQ_SUBMITTING)
		return; /* offload_submit goes on */
	if (r->result != PHCA_WC_SUCCESS) {
		req_fail(p, r);
		if (r->children == 0)
			req_children_over(p, r);
	} else if (r->ordered) {
		order_decide(p, &r->pqp->win[r->dir], r->seq);
	}
}

void phca_offload_done(struct phca_offload_req *r, enum phca_wc_status status)
{
	struct phca_proxy *p = r->offload->proxy;

	if (unlikely((unsigned int)status >= PHCA_WC_STATUS_COUNT))
		status = PHCA_WC_GENERAL_ERR;
	switch ((enum req_state)r->state) {
	case REQ_SUBMITTING:
		if (unlikely(r->children > 0)) {
			done_with_children(p, r, (uint8_t)status);
			break;
		}
		p->submit_status = (uint8_t)status;
		r->state = REQ_DONE;
		break;
	case REQ_PENDING:
		if (unlikely(r->children > 0))
			done_with_children(p, r, (uint8_t)status);
		else
			done_pending(p, r, (uint8_t)status);
		break;
	case REQ_CANCELLING:
		r->said_done = true;
		break;
	case REQ_ZOMBIE:
		done_zombie(p, r);
		break;
	case REQ_FREE:
	case REQ_DONE:
	case REQ_PASSING:
	case REQ_PASSED:
		assert(!"the driver called phca_offload_done twice");
		INC(p->c.late);
		INC(r->offload->c.late);
	}
}

struct phca_offload_req *offload_cancel(struct phca_proxy *p, struct phca_offload_req *r, bool timeout)
{
	struct phca_offload *o = r->offload;
	struct window *w = &r->pqp->win[r->dir];
	bool had = !r->said_done;
	int rc = 0;

	order_mark(w, r->seq);
	if (unlikely(r->traced))
		trace_req(p, r, timeout ? PHCA_TRACE_TIMED_OUT : PHCA_TRACE_CANCELLED, 0);
	if (r->state == REQ_PASSING) { /* no driver has it */
		INC(p->c.cancelled);
		INC(r->pqp->c.cancelled);
		order_cancel(r);
		return NULL;
	}
	req_unlink(o, r);
	if (timeout) {
		INC(o->c.timed_out);
		INC(p->c.timeouts);
		INC(p->c.errors);
		INC(r->pqp->c.offload_failed);
	} else {
		INC(o->c.cancelled);
		INC(p->c.cancelled);
		INC(r->pqp->c.cancelled);
	}
	r->state = REQ_CANCELLING;
	r->failed = true;
	if (had)
		rc = o->ops->cancel != NULL ? o->ops->cancel(o, r) : -EBUSY;
	if (had && r->said_done) {
		INC(p->c.late);
		INC(o->c.late);
		rc = 0;
	}
	r->said_done = rc == 0;
	end_status(r, timeout ? PHCA_WC_RESP_TIMEOUT_ERR : PHCA_WC_WR_FLUSH_ERR);
	children_flush(p, r);
	p->ended_by = o;
	if (r->said_done && r->children == 0) {
		let_go(p, r);
		return NULL;
	}
	r->state = REQ_ZOMBIE;
	r->pqp->zombies++;
	return r;
}

static void offload_timeout(struct phca_proxy *p, struct phca_offload_req *r)
{
	struct phca_pqp *q = r->pqp;
	struct place *pl = window_place(&q->win[r->dir], r->seq);
	const struct phca_offload_wr *wr = r->wr;
	uint32_t seq = r->seq;
	uint8_t dir = r->dir;

	pl->req = offload_cancel(p, r, true);
	place_finish(p, q, pl, dir, seq, wr, PHCA_WC_RESP_TIMEOUT_ERR);
	order_advance(p, &q->win[dir]);
}

unsigned int offloads_poll(struct phca_proxy *p)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < p->nb_offloads; i++) {
		struct phca_offload *o = p->offloads[i];

		if (o->ops->poll != NULL)
			n += o->ops->poll(o, p->now_ns);
		if (o->time_limit_ns == 0)
			continue;
		while (o->head != NULL && p->now_ns - o->head->submit_ns >= o->time_limit_ns) {
			offload_timeout(p, o->head);
			n++;
		}
	}
	return n;
}

static int posted_read(const struct phca_offload_req *r, uint32_t offset, void *dst, uint32_t len)
{
	const struct phca_offload_wr *wr = r->wr;
	const struct phca_mem *mem = r->offload->proxy->mem;

	if (wr->inline_data != NULL) {
		memcpy(dst, wr->inline_data + offset, len);
		return (int)len;
	}
	if (mem == NULL || phca_sg_gather(mem, wr->pd, wr->sge, wr->wqe.num_sge, offset, dst, len) != PHCA_MEM_OK)
		return -EFAULT;
	return (int)len;
}

int phca_offload_read(const struct phca_offload_req *r, uint32_t offset, void *dst, uint32_t len)
{
	const void *at;

	if (offset >= r->len || len == 0 || (r->dir == PHCA_DIR_RECV && op_wants_answer(r->op)))
		return 0;
	len = RTE_MIN(len, r->len - offset);
	if (r->dir == PHCA_DIR_SEND)
		return posted_read(r, offset, dst, len);
	at = rte_pktmbuf_read(r->m, r->pkt.payload_off + offset, len, dst);
	if (at == NULL)
		return -EFAULT;
	if (at != dst)
		memcpy(dst, at, len);
	return (int)len;
}
