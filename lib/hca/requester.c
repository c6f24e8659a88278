/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The requester: doorbells put queue pairs on the ready list of their port; each
 * turn serves the lists round robin, a few packets a queue pair. One that finds
 * its port full keeps its place at the head, so that what the port takes next is
 * not for those again that filled it.
 *
 * A work request is copied once and checked (fetch.c); when its turn comes it
 * begins: it is offloaded, executed here, or becomes packets (ud_tx.c,
 * conn_tx.c). When it is done it completes (retire.c), which for RC is when the
 * peer has acknowledged it (ack.c, retry.c).
 *
 * Invariant: a queue pair is on the ready list while it has something to do now;
 * one that waits for its peer, its timer or its proxy is off it, so idle ones
 * cost nothing.
 */
#include <rte_atomic.h>
#include <rte_prefetch.h>

#include "hca_impl.h"

void ready_add(struct shard *h, struct phca_qp *qp)
{
	struct port *p = h->ports[qp->port];

	if (qp->on_ready)
		return;
	qp->on_ready = true;
	qp->ready_next = NULL;
	qp->ready_prev = p->ready_tail;
	if (p->ready_tail != NULL)
		p->ready_tail->ready_next = qp;
	else
		p->ready_head = qp;
	p->ready_tail = qp;
	p->nb_ready++;
}

static void ready_push(struct port *p, struct phca_qp *qp)
{
	qp->on_ready = true;
	qp->ready_prev = NULL;
	qp->ready_next = p->ready_head;
	if (p->ready_head != NULL)
		p->ready_head->ready_prev = qp;
	else
		p->ready_tail = qp;
	p->ready_head = qp;
	p->nb_ready++;
}

void ready_remove(struct shard *h, struct phca_qp *qp)
{
	struct port *p = h->ports[qp->port];

	if (!qp->on_ready)
		return;
	if (qp->ready_prev != NULL)
		qp->ready_prev->ready_next = qp->ready_next;
	else
		p->ready_head = qp->ready_next;
	if (qp->ready_next != NULL)
		qp->ready_next->ready_prev = qp->ready_prev;
	else
		p->ready_tail = qp->ready_prev;
	qp->on_ready = false;
	p->nb_ready--;
}

/* What it waited for has happened. */
void requester_wake(struct shard *h, struct phca_qp *qp)
{
	qp->req.wait = REQ_WAIT_NONE;
	ready_add(h, qp);
}

/*
 * QPNs are the application's word: anything that is not its QP is ignored. So
 * is how many they are: no more than the budget are looked at in a turn.
 */
static unsigned int client_doorbells(struct shard *h, struct client_shard *c)
{
	int32_t n = phca_ring_avail_fresh(&c->db);
	struct phca_qp *qp[DB_BUDGET];

	if (n <= 0) {
		if (unlikely(n < 0)) { /* nonsense; of its queue pairs none can be found any more */
			c->fatal = true;
			hca_event(h, &c->events, PHCA_EVENT_CLIENT_FATAL, PHCA_WC_GENERAL_ERR);
		}
		return 0;
	}
	n = RTE_MIN(n, DB_BUDGET);
	for (int32_t i = 0; i < n; i++) {
		uint32_t qpn = __atomic_load_n((uint32_t *)phca_ring_head(&c->db), __ATOMIC_RELAXED);

		phca_ring_take(&c->db, 1);
		qp[i] = qpn <= PHCA_QPN_MAX ? qp_lookup(h->hca, qpn) : NULL;
		if (likely(qp[i] != NULL)) {
			rte_prefetch0(qp[i]);
			rte_prefetch0(&qp[i]->sq);
			rte_prefetch0(&qp[i]->client);
		}
	}
	/* the slots before the marks: who finds a mark cleared rings again, and must find room */
	phca_ring_release(&c->db);
	for (int32_t i = 0; i < n; i++)
		if (likely(qp[i] != NULL)) /* a shared line, which the application wrote last */
			phca_prefetch_write(&qp[i]->sq.hdr->db_pending);
	for (int32_t i = 0; i < n; i++) {
		if (qp[i] == NULL || qp[i]->client != c->client || qp[i]->shard != h->idx)
			continue;
		/* before reading the queue, so that a later post rings again; what was
		 * posted before an earlier ring is seen, as the exchange reads its mark */
		__atomic_exchange_n(&qp[i]->sq.hdr->db_pending, 0, __ATOMIC_SEQ_CST);
		ready_add(h, qp[i]);
	}
	return (unsigned int)n;
}

unsigned int doorbells(struct shard *h)
{
	unsigned int done = 0;

	for (struct client_shard *c = h->clients; c != NULL; c = c->next)
		if (likely(!c->fatal))
			done += client_doorbells(h, c);
	return done;
}

/* ----------------------------------------------------------------- begin */

/* It begins and ends here: there are no packets. */
enum sq_result sq_ended(struct phca_qp *qp, struct sq_wr *e)
{
	struct requester *r = &qp->req;

	sq_wr_begins(r, e);
	r->cur = r->begun;
	requester_done(qp);
	return SQ_DONE;
}

/* A fence lets READs and atomics end first, those of the proxy too (10.8.3.3). */
static bool fenced(struct phca_qp *qp, const struct sq_wr *e)
{
	struct requester *r = &qp->req;

	if (!(e->wr->wqe.flags & PHCA_SEND_FENCE))
		return false;
	if (r->rd_offloaded && (int32_t)(qp->pseq[PHCA_DIR_SEND].freed - r->rd_place) < 0) {
		r->wait = REQ_WAIT_PLACE;
		return true;
	}
	r->rd_offloaded = false;
	if (r->nb_rd > 0)
		r->wait = REQ_WAIT_ACK;
	return r->nb_rd > 0;
}

/* It is the proxy's, and has no slot. */
static enum sq_result offload_wr(struct phca_qp *qp, struct sq_wr *e)
{
	struct requester *r = &qp->req;
	struct phca_pmsg *pm;

	if (qp->px->pm_room == 0) {
		PHCA_STAT_ADD(qp->st.tx_stalls, 1);
		return SQ_WAIT;
	}
	pm = proxy_msg(qp->px);
	pm->kind = PHCA_PMSG_OFFLOAD;
	pm->dir = PHCA_DIR_SEND;
	pm->rule = (uint8_t)e->rule;
	pm->flags = (e->wr->wqe.flags & PHCA_SEND_SIGNALED) || qp->sq_sig_all ? 0 : PHCA_PMSG_F_NO_CQE;
	pm->flags |= e->traced;
	if (qp->rules[e->rule].ordered & 1u << PHCA_DIR_SEND) {
		pm->flags |= PHCA_PMSG_F_ORDERED;
		r->ordered++;
	}
	pm->seq = r->place++;
	pm->pqp = qp->pqp;
	pm->wr = e->wr;
	e->offloaded = true;
	if (wr_is_read(e) || wr_is_atomic(e)) {
		r->rd_offloaded = true;
		r->rd_place = r->place;
	}
	PHCA_STAT_ADD(qp->rules[e->rule].matched, 1);
	PHCA_STAT_ADD(qp->st.tx_offloaded, 1);
	sq_release(qp);
	return SQ_DONE;
}

/* Operations on memory windows need no peer (10.6.7.2, 10.8.2). */
static enum sq_result local_wr(struct shard *h, struct phca_qp *qp, struct sq_wr *e)
{
	const struct phca_send_wqe *w = &e->wr->wqe;
	struct phca_mw_bind b = {
		.addr = w->u.bind.addr, .length = w->u.bind.length, .rkey = w->u.bind.rkey,
		.new_rkey = w->u.bind.new_rkey, .mr_key = w->u.bind.lkey, .access = w->u.bind.access,
		.pd = qp->pd, .qpn = qp->qpn,
	};

	if (w->opcode == PHCA_WR_BIND_MW) {
		if (phca_mw_bind(h->mem, &b) != PHCA_MEM_OK)
			e->status = PHCA_WC_MW_BIND_ERR;
	} else if (phca_mem_invalidate(h->mem, qp->pd, qp->qpn, w->imm) != PHCA_MEM_OK) {
		e->status = PHCA_WC_LOC_PROT_ERR;
	}
	qp->req.halted = e->status != PHCA_WC_SUCCESS;
	return sq_ended(qp, e);
}

/* A direct one waits for what ordered offloads in front of it may send. */
static bool out_of_order(struct requester *r, const struct sq_wr *e)
{
	if (likely(r->ordered == 0) || e->rule != RULE_NONE)
		return false;
	r->wait = REQ_WAIT_ORDER;
	return true;
}

/* The next WR begins, unless something is in its way. */
static enum sq_result begin(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;
	struct sq_wr *e;

	if (r->halted || r->hold)
		return SQ_OFF;
	if (unlikely(r->issued != NULL))
		return issued_begin(h, qp);
	if (qp->state != PHCA_QPS_RTS)
		return SQ_OFF;
	if (r->place == qp->pseq[PHCA_DIR_SEND].next) {
		enum sq_result s = sq_fetch(h, qp);

		if (s != SQ_DONE)
			return s;
	}
	e = sq_copy_at(r, r->place);
	if (unlikely(out_of_order(r, e)))
		return SQ_OFF;
	if (e->rule == RULE_NONE && unlikely(slots_full(r))) {
		r->wait = REQ_WAIT_ACK;
		return SQ_OFF;
	}
	if (unlikely(e->status != PHCA_WC_SUCCESS)) {
		r->halted = true;
		return sq_ended(qp, e);
	}
	if (unlikely(fenced(qp, e)))
		return SQ_OFF;
	if (e->rule != RULE_NONE)
		return offload_wr(qp, e);
	if (qp->transport == PHCA_TRANSPORT_UD)
		return ud_issue(h, qp, e);
	if (unlikely(wr_is_local(e)))
		return local_wr(h, qp, e);
	conn_begin(qp, e);
	return SQ_DONE;
}

/* ----------------------------------------------------------------- serve */

/* Over those that are not sent again: they have no packets, or one failed, and nothing goes behind that. */
static void skip(struct phca_qp *qp)
{
	struct requester *r = &qp->req;

	while (r->cur != r->begun) {
		const struct sq_wr *e = sq_wr_at(r, r->cur);

		if (e->status != PHCA_WC_SUCCESS) {
			r->psn = qp->sq_psn;
			r->cur = r->begun;
			return;
		}
		if (e->nb_psn != 0)
			break;
		r->cur++;
	}
}

static bool can_send(const struct phca_qp *qp)
{
	return qp->state == PHCA_QPS_RTS || qp->state == PHCA_QPS_SQD;
}

/* Up to *budget packets, or WRs without, of one WR. */
static enum sq_result sq_one(struct shard *h, struct phca_qp *qp, unsigned int *budget)
{
	struct requester *r = &qp->req;
	enum sq_result s = SQ_DONE;

	if (unlikely(r->cur != r->begun))
		skip(qp);
	if (r->cur == r->begun) {
		s = begin(h, qp);
		if (s == SQ_DONE && r->cur == r->begun)
			(*budget)--;
	}
	if (s == SQ_DONE && r->cur != r->begun)
		s = conn_issue(h, qp, budget);
	if (r->una != r->acked && !requester_retire(h, qp))
		return SQ_WAIT;
	return s;
}

static unsigned int serve(struct shard *h, struct phca_qp *qp)
{
	unsigned int budget = SQ_QP_BUDGET;
	enum sq_result s = SQ_DONE;

	if (unlikely(!can_send(qp) || qp->req.wait == REQ_WAIT_RNR))
		return 0;
	qp->req.wait = REQ_WAIT_NONE;
	if (unlikely(qp->req.una != qp->req.acked && !requester_retire(h, qp)))
		return 0; /* it is on the list again */
	while (budget > 0 && s == SQ_DONE && can_send(qp))
		s = sq_one(h, qp, &budget);
	if (unlikely(!can_send(qp)))
		return SQ_QP_BUDGET - budget;
	if (s == SQ_DONE || s == SQ_WAIT)
		ready_add(h, qp);
	else if (unlikely(qp->req.no_ackreq > 0) && qp->req.wait != REQ_WAIT_PACE)
		conn_nudge(h, qp);
	return SQ_QP_BUDGET - budget;
}

/* Two that come later: the struct of one, and where the pointers of the other lead. */
static void prefetch_next(const struct phca_qp *next)
{
	const struct phca_qp *far = next->ready_next;
	const uint8_t *slot = phca_ring_head(&next->sq), *e;

	e = (const uint8_t *)sq_copy_at(&next->req, next->pseq[PHCA_DIR_SEND].next);
	for (unsigned int i = 0; i < 2 * RTE_CACHE_LINE_SIZE; i += RTE_CACHE_LINE_SIZE) {
		rte_prefetch0(slot + i);
		phca_prefetch_write(e + i);
	}
	phca_prefetch_write(e + 2 * RTE_CACHE_LINE_SIZE);
	rte_prefetch0(&next->sq.hdr->prod);
	if (far == NULL)
		return;
	rte_prefetch0(far);
	for (e = (const uint8_t *)&far->sq; e < (const uint8_t *)(&far->pseq + 1); e += RTE_CACHE_LINE_SIZE)
		rte_prefetch0(e);
	rte_prefetch0(&far->st);
}

static unsigned int serve_port(struct shard *h, struct port *p)
{
	unsigned int left = RTE_MIN(p->nb_ready, (unsigned int)SQ_VISITS), done = 0;

	/* once around the list: those that stay go behind the one that is last now */
	for (; left > 0 && p->ready_head != NULL && done < SQ_BUDGET; left--) {
		struct phca_qp *qp = p->ready_head;
		unsigned int n;

		ready_remove(h, qp);
		if (p->ready_head != NULL)
			prefetch_next(p->ready_head);
		n = serve(h, qp);
		if (unlikely(n == 0 && qp->on_ready && !tx_room(h, p))) {
			ready_remove(h, qp);
			ready_push(p, qp);
			break;
		}
		done += n;
	}
	return done;
}

unsigned int requester_run(struct shard *h)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < h->nb_ports; i++)
		done += serve_port(h, h->ports[i]);
	return done;
}
