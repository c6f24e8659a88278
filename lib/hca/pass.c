/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ordered requests: inbound ones whose offload may give them back (pass), and all that
 * came behind them.
 *
 * While the proxy has such a request, one that no rule matches goes there, too, and comes
 * back in its turn: so the messages of a queue pair take receives in the order in which
 * they came, whoever looked at them. What comes back waits here, first come first served,
 * for a receive of the application's, and for room for its completion. Receives are posted
 * without a doorbell, so each queue pair that waits is looked at again and again, some a
 * turn.
 *
 * Receives are looked at here, and nowhere before: what an offload consumes needs none.
 * Without one a message of RC waits, and its peer is told (withheld.c); one of UD or UC is
 * dropped, as a direct one is. What goes wrong here completes the receive, moves the queue
 * pair to ERROR, and a peer that has no acknowledgement yet gets its NAK.
 *
 * Invariant: resp.behind is set exactly while the proxy has ordered requests, or messages
 * wait here. Each message that came back gets one completion at its place, and what it
 * points to is not touched after that, nor after the queue pair was reset.
 */
#include <stdlib.h>
#include <string.h>

#include "hca_impl.h"

#define BTH_SE 0x80       /* solicited, in bth.flags */
#define PASS_QPS 32       /* queue pairs that wait, looked at in a turn */
#define PASS_QP_BUDGET 64 /* messages and further packets of one of them */

struct passes *passes_make(uint32_t window, bool rc)
{
	size_t wait = RTE_ALIGN(sizeof(struct passes), sizeof(uint64_t));
	size_t withheld = wait + window * sizeof(struct pass);
	size_t place = withheld + (rc ? window * sizeof(struct withheld) : 0);
	struct passes *p = calloc(1, place + window);

	if (p == NULL)
		return NULL;
	p->mask = window - 1;
	p->wait = (struct pass *)((uint8_t *)p + wait);
	p->withheld = (struct withheld *)((uint8_t *)p + withheld);
	p->place = (uint8_t *)p + place;
	return p;
}

void passes_free(struct passes *p)
{
	free(p);
}

static void behind_set(struct phca_qp *qp)
{
	qp->resp.behind = qp->pass->ordered > 0 || qp->pass->n > 0;
}

/* ------------------------------------------------------------- the list */

static void list_add(struct shard *h, struct phca_qp *qp)
{
	qp->pass->next = NULL;
	qp->pass->prev = h->pass_tail;
	*(h->pass_tail ? &h->pass_tail->pass->next : &h->pass_head) = qp;
	h->pass_tail = qp;
}

static void list_remove(struct shard *h, struct phca_qp *qp)
{
	struct passes *p = qp->pass;

	*(p->prev ? &p->prev->pass->next : &h->pass_head) = p->next;
	*(p->next ? &p->next->pass->prev : &h->pass_tail) = p->prev;
}

/* The first one waits no more. */
static void wait_pop(struct shard *h, struct passes *p)
{
	const struct pass *w = &p->wait[p->first & p->mask];

	rte_pktmbuf_free(w->data);
	h->nb_pass -= w->segs;
	p->first++;
	p->n--;
}

/* To RESET: what comes from the proxy until it has let go is of no more use. */
void pass_reset(struct shard *h, struct phca_qp *qp)
{
	struct passes *p = qp->pass;

	if (p == NULL)
		return;
	if (p->n > 0)
		list_remove(h, qp);
	while (p->n > 0)
		wait_pop(h, p);
	p->ordered = 0;
	memset(p->place, 0, p->mask + 1);
	withheld_stop(h, qp);
	behind_set(qp);
}

/* -------------------------------------------------------- to the proxy */

void pass_ordered(struct phca_qp *qp, uint32_t seq)
{
	struct passes *p = qp->pass;

	if (p->ordered++ == 0)
		p->oldest = seq;
	p->place[seq & p->mask] = PLACE_ORDERED;
	qp->resp.behind = true;
}

/* Whether one more request may come, as far as messages that wait here use up buffers. */
bool pass_room(const struct shard *h, const struct phca_qp *qp)
{
	return h->nb_pass < h->max_held_all || qp->pass == NULL || qp->pass->n == 0;
}

/* ------------------------------------------------------ from the proxy */

/* So many of the oldest ordered ones are decided: those that will come back have come. */
void pass_resume(struct shard *h, struct phca_qp *qp, uint32_t count)
{
	struct passes *p = qp->pass;

	if (qp->state == PHCA_QPS_RESET)
		return;
	RTE_ASSERT(count <= p->ordered);
	for (; count > 0 && p->ordered > 0; p->oldest++) {
		uint8_t *f = &p->place[p->oldest & p->mask];

		if (!(*f & PLACE_ORDERED))
			continue;
		*f = *f & PLACE_WAITS ? *f & (uint8_t)~PLACE_ORDERED : 0;
		p->ordered--;
		count--;
	}
	behind_set(qp);
	withheld_over(h, qp);
}

void pass_reply(struct shard *h, struct phca_qp *qp, const struct phca_preply *r)
{
	struct passes *p = qp->pass;
	struct pass *w;

	if (qp->state == PHCA_QPS_RESET) {
		rte_pktmbuf_free(r->data);
		return;
	}
	RTE_ASSERT(p->n <= p->mask);
	w = &p->wait[(p->first + p->n) & p->mask];
	*w = (struct pass){ .req = r->req, .data = r->data, .seq = r->seq };
	w->segs = r->req->m->nb_segs + (r->data != NULL ? r->data->nb_segs : 0u);
	h->nb_pass += w->segs;
	p->place[r->seq & p->mask] |= PLACE_WAITS;
	if (p->n++ == 0)
		list_add(h, qp);
	qp->resp.behind = true;
}

/* -------------------------------------------------------------- receive */

static uint32_t pass_len(const struct pass *w)
{
	return w->data != NULL ? w->data->pkt_len : w->req->len;
}

/* The payload to the receive at hand, which is long enough. */
static bool scatter(struct shard *h, const struct phca_qp *qp, const struct pass *w)
{
	const struct rte_mbuf *m = w->data ? w->data : w->req->m;
	uint32_t skip = w->data ? 0 : w->req->pkt.payload_off, at = 0, len = pass_len(w);
	const struct rwqe *to = &qp->rwqe;
	uint8_t grh[PHCA_GRH_LEN];

	if (qp->transport == PHCA_TRANSPORT_UD) {
		grh_fill(grh, frame_of(w->req->m), &w->req->pkt);
		if (phca_sg_scatter(h->mem, recv_pd(qp), to->sge, to->num_sge, 0, grh, sizeof(grh)) != PHCA_MEM_OK)
			return false;
		at = sizeof(grh);
		len += at;
	}
	for (; m != NULL && at < len; m = m->next, skip = 0) {
		uint32_t n = RTE_MIN((uint32_t)m->data_len - skip, len - at);

		if (phca_sg_scatter(h->mem, recv_pd(qp), to->sge, to->num_sge, at,
				rte_pktmbuf_mtod_offset(m, const uint8_t *, skip), n) != PHCA_MEM_OK)
			return false;
		at += n;
	}
	return true;
}

/* What the last packet says; of a message of several, its headers lie in front of its payload. */
static bool solicited(const struct phca_offload_req *r)
{
	const struct rte_mbuf *last = rte_pktmbuf_lastseg(r->m);
	const struct phca_bth *bth;

	if (last == r->m)
		return r->pkt.flags & PHCA_PKT_SOLICITED;
	bth = (const struct phca_bth *)(rte_pktmbuf_mtod(last, const uint8_t *) -
		phca_opcode_table[r->last_opcode].hdr_len);
	return bth->flags & BTH_SE;
}

/* The key that the peer invalidated, when the message was accepted. */
static uint32_t invalidated(const struct phca_offload_req *r)
{
	const struct rte_mbuf *last = rte_pktmbuf_lastseg(r->m);
	const uint8_t *payload = rte_pktmbuf_mtod(last, const uint8_t *);

	if (last == r->m)
		payload += r->pkt.payload_off;
	return phca_get32(payload - sizeof(struct phca_ieth)); /* always the last header */
}

static void succeed(struct shard *h, struct phca_qp *qp, const struct pass *w)
{
	const struct phca_offload_req *r = w->req;
	bool send = r->op == PHCA_OP_SEND;
	struct phca_wc *wc = complete_at(h, qp, PHCA_DIR_RECV, w->seq, qp->rwqe.wr_id, PHCA_WC_SUCCESS,
		send ? PHCA_WC_RECV : PHCA_WC_RECV_RDMA_WITH_IMM, solicited(r) ? PHCA_PMSG_F_SOLICITED : 0);

	qp->rwqe.valid = false;
	wc->byte_len = pass_len(w) + (qp->transport == PHCA_TRANSPORT_UD ? PHCA_GRH_LEN : 0);
	if (r->has_imm) {
		wc->imm = r->imm;
		wc->wc_flags = PHCA_WC_F_WITH_IMM;
	}
	if (phca_opcode_table[r->last_opcode].flags & PHCA_OPF_INV) {
		wc->imm = invalidated(r);
		wc->wc_flags = PHCA_WC_F_WITH_INV;
	}
	recv_source(qp, wc, frame_of(r->m), &r->pkt);
	PHCA_STAT_ADD(qp->st.rx_passed, 1);
}

/* The receive at hand ends with an error. */
static void fail(struct shard *h, struct phca_qp *qp, const struct pass *w, enum phca_event_type ev, uint32_t status)
{
	qp->rwqe.valid = false;
	complete_at(h, qp, PHCA_DIR_RECV, w->seq, qp->rwqe.wr_id, status, PHCA_WC_RECV, 0);
	PHCA_STAT_ADD(qp->st.rx_pass_dropped, 1);
	withheld_failed(h, qp, w->seq, status == PHCA_WC_LOC_LEN_ERR ? PHCA_NAK_INV_REQ : PHCA_NAK_REM_OP);
	qp_error(h, qp, ev, status);
}

/* It takes no receive. */
static void leave(struct shard *h, struct phca_qp *qp, const struct pass *w, uint32_t status)
{
	complete_at(h, qp, PHCA_DIR_RECV, w->seq, 0, status, PHCA_WC_RECV, PHCA_PMSG_F_NO_CQE);
	PHCA_STAT_ADD(qp->st.rx_pass_dropped, 1);
}

static void receive(struct shard *h, struct phca_qp *qp, const struct pass *w)
{
	uint64_t len = pass_len(w) + (qp->transport == PHCA_TRANSPORT_UD ? (uint64_t)PHCA_GRH_LEN : 0);

	if (unlikely(!rwqe_copy(h, qp))) {
		fail(h, qp, w, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR);
	} else if (w->req->op != PHCA_OP_SEND) { /* a WRITE: its memory was written */
		succeed(h, qp, w);
	} else if (unlikely(len > qp->rwqe.total)) {
		if (qp->transport == PHCA_TRANSPORT_RC)
			fail(h, qp, w, PHCA_EVENT_QP_REQ_ERR, PHCA_WC_LOC_LEN_ERR);
		else
			leave(h, qp, w, PHCA_WC_SUCCESS); /* dropped, the receive stays for the next one */
	} else if (unlikely(!scatter(h, qp, w))) {
		fail(h, qp, w, PHCA_EVENT_QP_ACCESS_ERR, PHCA_WC_LOC_PROT_ERR);
	} else {
		succeed(h, qp, w);
	}
}

/* @return false: it waits */
static bool pass_one(struct shard *h, struct phca_qp *qp, const struct pass *w)
{
	int32_t n = 1;

	if (unlikely(qp->px->pm_room == 0))
		return false;
	if (likely(qp->state != PHCA_QPS_ERR))
		n = recv_avail(h, qp);
	if (n == 0 && qp->transport == PHCA_TRANSPORT_RC)
		return false;
	if (unlikely(n < 0)) {
		withheld_failed(h, qp, w->seq, PHCA_NAK_REM_OP);
		qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR);
	}
	if (unlikely(qp->state == PHCA_QPS_ERR))
		leave(h, qp, w, PHCA_WC_WR_FLUSH_ERR);
	else if (unlikely(n == 0))
		leave(h, qp, w, PHCA_WC_SUCCESS); /* as any that finds none (9.8.2.2.6, 9.8.3.2.3) */
	else
		receive(h, qp, w);
	return true;
}

/* The first one waits: it is counted, and the peer told, once; then when it asks. */
static void wait_on(struct shard *h, struct phca_qp *qp, struct pass *w)
{
	if (w->waited)
		return;
	PHCA_STAT_ADD(qp->st.rx_pass_waits, 1);
	w->waited = true;
	withheld_not_ready(h, qp, w->seq);
}

/* As many as the budget has, and receives. */
static unsigned int pass_qp(struct shard *h, struct phca_qp *qp)
{
	struct passes *p = qp->pass;
	unsigned int used = 0, done = 0;
	struct pass *waits = NULL;

	while (p->n > 0 && used < PASS_QP_BUDGET) {
		struct pass *w = &p->wait[p->first & p->mask];

		used += w->segs;
		if (!pass_one(h, qp, w)) {
			waits = w;
			break;
		}
		p->place[w->seq & p->mask] &= PLACE_ORDERED;
		wait_pop(h, p);
		done++;
	}
	if (done > 0) {
		receives_release(qp);
		withheld_over(h, qp);
	}
	if (waits != NULL)
		wait_on(h, qp, waits);
	return done;
}

/* Those that took a receive go behind those that found none: an SRQ's go round. */
unsigned int pass_run(struct shard *h)
{
	const struct phca_qp *last = h->pass_tail;
	struct phca_qp *again[PASS_QPS];
	unsigned int done = 0, nb_again = 0;

	for (unsigned int i = 0; i < PASS_QPS && h->pass_head != NULL; i++) {
		struct phca_qp *qp = h->pass_head;
		unsigned int n = pass_qp(h, qp);

		list_remove(h, qp);
		if (qp->pass->n > 0 && n > 0)
			again[nb_again++] = qp;
		else if (qp->pass->n > 0)
			list_add(h, qp);
		behind_set(qp);
		done += n;
		if (qp == last)
			break;
	}
	for (unsigned int i = 0; i < nb_again; i++)
		list_add(h, again[i]);
	return done;
}
