/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Request packets of a connected queue pair (RC, UC): a work request becomes
 * packets of the path MTU, sent from its copy, for the first time or again.
 *
 * RC: at most PHCA_RC_WINDOW PSNs are outstanding (less after a timeout, see retry.c),
 * those of READ responses included; a READ whose answer is longer than READ_CHUNK packets is asked for
 * in several requests, so that it is bounded, too. Chunks begin at multiples of
 * READ_CHUNK packets of the READ; one that is asked for again ends where it ended.
 *
 * An acknowledgement is asked for with the last packet for now, when the window
 * closes, and at least every ACKREQ_EVERY packets. Should a queue pair find itself
 * stuck behind packets for which it did not ask (conn_nudge), it sends the last
 * one again and asks; so nothing waits for a timer that no packet was lost for.
 *
 * Invariant: sq_psn is behind the last packet ever sent, psn between una_psn and
 * sq_psn; a packet between them has the PSN and the content that it had.
 */
#include <string.h>

#include "hca_impl.h"

/* What one packet of a WR is: PSNs taken, payload. */
struct piece {
	uint32_t off;      /* PSNs of the WR before it */
	uint32_t nb_psn;
	uint32_t byte_off;
	uint32_t len;      /* payload; of a READ request: bytes asked for */
	bool first, last;  /* of its WR */
};

static uint32_t mtu_shift(const struct phca_qp *qp)
{
	return (uint32_t)__builtin_ctz(qp->path_mtu);
}

/* It begins: from now on it has PSNs. */
void conn_begin(struct phca_qp *qp, struct sq_wr *e)
{
	uint32_t shift = mtu_shift(qp);

	e->psn = qp->sq_psn;
	e->nb_psn = 1;
	if (!wr_is_atomic(e) && e->wr->len > qp->path_mtu)
		e->nb_psn = (uint32_t)(((uint64_t)e->wr->len + qp->path_mtu - 1) >> shift);
	sq_wr_begins(&qp->req, e);
}

static struct piece piece_at(const struct phca_qp *qp, const struct sq_wr *e, struct phca_psn psn)
{
	struct piece c = { .off = sq_wr_off(e, psn), .nb_psn = 1 };
	uint32_t shift = mtu_shift(qp), left;

	if (wr_is_read(e)) {
		left = e->nb_psn - c.off;
		c.nb_psn = READ_CHUNK - c.off % READ_CHUNK;
		c.nb_psn = RTE_MIN(c.nb_psn, left);
	}
	c.byte_off = c.off << shift;
	left = e->wr->len - c.byte_off;
	c.len = (uint32_t)RTE_MIN((uint64_t)c.nb_psn << shift, (uint64_t)left);
	c.first = c.off == 0;
	c.last = c.off + c.nb_psn == e->nb_psn;
	return c;
}

/* ----------------------------------------------------------- may it go? */

/* Whether this queue pair may send a packet now: the one place that is asked. */
static enum sq_result may_send(struct shard *h, struct port *p, struct phca_qp *qp)
{
	if (unlikely(!tx_room(h, p)))
		return SQ_WAIT;
	if (conn_path(h, p, qp) == PHCA_NEIGH_PENDING)
		return SQ_WAIT;
	return congestion_paced(h, qp) ? SQ_OFF : SQ_DONE;
}

/* RC: window, READs and atomics outstanding. */
static bool may_be_outstanding(struct phca_qp *qp, const struct sq_wr *e, const struct piece *c)
{
	struct requester *r = &qp->req;
	uint32_t out = (uint32_t)phca_psn_diff(r->psn, r->una_psn);

	/* set to 0 in SQD: what was taken before goes one at a time */
	if ((wr_is_read(e) || wr_is_atomic(e)) && r->nb_rd >= RTE_MAX(qp->max_rd_atomic, 1u))
		return false;
	return out == 0 || out + c->nb_psn <= r->window;
}

/* ------------------------------------------------------------ one packet */

static uint8_t opcode_of(const struct phca_qp *qp, const struct sq_wr *e, const struct piece *c)
{
	uint8_t wr = e->wr->wqe.opcode;
	unsigned int base = PHCA_RC_SEND_FIRST, pos;

	switch (wr) {
	case PHCA_WR_RDMA_READ:
		return PHCA_RC_READ_REQ;
	case PHCA_WR_ATOMIC_CMP_AND_SWP:
		return PHCA_RC_CMP_SWAP;
	case PHCA_WR_ATOMIC_FETCH_AND_ADD:
		return PHCA_RC_FETCH_ADD;
	case PHCA_WR_SEND_WITH_INV:
		if (c->last)
			return c->first ? PHCA_RC_SEND_ONLY_INV : PHCA_RC_SEND_LAST_INV;
		break;
	case PHCA_WR_RDMA_WRITE:
	case PHCA_WR_RDMA_WRITE_WITH_IMM:
		base = PHCA_RC_WRITE_FIRST;
		break;
	default:
		break;
	}
	pos = !c->last ? !c->first : c->first ? 4 : 2; /* FIRST, MIDDLE, LAST, LAST_IMM, ONLY, ONLY_IMM */
	if (c->last && (wr == PHCA_WR_SEND_WITH_IMM || wr == PHCA_WR_RDMA_WRITE_WITH_IMM))
		pos++;
	return (uint8_t)(base + pos + (qp->transport == PHCA_TRANSPORT_UC ? PHCA_UC_SEND_FIRST : 0));
}

static void header(const struct phca_qp *qp, const struct port *p, const struct sq_wr *e, const struct piece *c,
		struct phca_psn psn, struct phca_wire_hdr *hd)
{
	const struct phca_send_wqe *w = &e->wr->wqe;

	conn_header(qp, p, opcode_of(qp, e, c), psn, hd);
	hd->imm = w->imm;
	hd->inv_rkey = w->imm;
	/* the receiver's event is asked for by what completes a receive */
	hd->solicited = c->last && (w->flags & PHCA_SEND_SOLICITED) &&
		(phca_opcode_table[hd->opcode].flags & PHCA_OPF_RECV);
	if (wr_is_atomic(e)) {
		hd->va = w->u.atomic.remote_addr;
		hd->rkey = w->u.atomic.rkey;
		hd->swap_add = w->opcode == PHCA_WR_ATOMIC_CMP_AND_SWP ? w->u.atomic.swap : w->u.atomic.compare_add;
		hd->cmp = w->opcode == PHCA_WR_ATOMIC_CMP_AND_SWP ? w->u.atomic.compare_add : 0;
	} else {
		hd->va = w->u.rdma.remote_addr + (wr_is_read(e) ? c->byte_off : 0);
		hd->rkey = w->u.rdma.rkey;
		hd->dma_len = wr_is_read(e) ? c->len : e->wr->len;
	}
}

/* @return false: its memory refuses */
static bool payload(struct shard *h, const struct sq_wr *e, const struct piece *c, uint8_t *to)
{
	const struct phca_offload_wr *wr = e->wr;

	if (wr->inline_data != NULL) {
		memcpy(to, wr->inline_data + c->byte_off, c->len);
		return true;
	}
	return phca_sg_gather(h->mem, wr->pd, wr->sge, wr->wqe.num_sge, c->byte_off, to, c->len) == PHCA_MEM_OK;
}

/*
 * A buffer. The one after the next is asked for: the proxy lcore may have freed it, and then
 * its lines are that core's: waiting for them is half of a packet's time.
 */
static inline struct rte_mbuf *buffer(struct rte_mempool *pool)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	const struct rte_mempool_cache *c = rte_mempool_default_cache(pool, rte_lcore_id());
	const char *next;

	if (unlikely(c == NULL || c->len < 2))
		return m;
	next = c->objs[c->len - 2];
	prefetch_own(next);
	prefetch_own(next + RTE_CACHE_LINE_SIZE);
	next += sizeof(*m) + rte_pktmbuf_priv_size(pool) + RTE_PKTMBUF_HEADROOM;
	prefetch_own(next);
	prefetch_own(next + RTE_CACHE_LINE_SIZE);
	return m;
}

/* Build and stage one packet. @return SQ_DONE; SQ_WAIT no buffer; SQ_OFF its memory refuses */
static enum sq_result packet(struct shard *h, struct port *p, struct phca_qp *qp, const struct sq_wr *e,
		const struct piece *c, struct phca_psn psn, bool ackreq)
{
	bool bare = wr_is_read(e) || wr_is_atomic(e);
	uint32_t len = bare ? 0 : c->len, n;
	struct phca_wire_hdr hd;
	struct rte_mbuf *m;
	uint8_t *frame;

	if (unlikely(!qp->conn.known)) { /* nobody answers there: as a network that drops it */
		PHCA_STAT_ADD(qp->st.tx_unresolved, 1);
		return SQ_DONE;
	}
	m = buffer(h->pool);
	if (unlikely(m == NULL)) {
		PHCA_STAT_ADD(p->st.tx_no_mbuf, 1);
		return SQ_WAIT;
	}
	header(qp, p, e, c, psn, &hd);
	hd.ackreq = ackreq && !bare;
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	n = phca_wire_build(frame, &hd, len);
	if (unlikely(len > 0 && !payload(h, e, c, frame + n))) {
		rte_pktmbuf_free(m);
		return SQ_OFF;
	}
	conn_send(h, p, qp, m, &hd, len, e->wr->crc.shift != 0 && len == e->wr->len ? &e->wr->crc : NULL);
	return SQ_DONE;
}

/* ---------------------------------------------------------- its requests */

/* Whether a packet, not yet sent, asks for an acknowledgement. */
static bool wants_ack(const struct shard *h, struct phca_qp *qp, const struct sq_wr *e, const struct piece *c)
{
	struct requester *r = &qp->req;
	const struct pseq *s = &qp->pseq[PHCA_DIR_SEND];

	if (qp->transport == PHCA_TRANSPORT_UC)
		return false;
	if (wr_is_read(e) || wr_is_atomic(e))
		return true; /* answered anyway */
	if (r->no_ackreq + 1 >= ACKREQ_EVERY ||
	    (uint32_t)phca_psn_diff(phca_psn_add(r->psn, 1), r->una_psn) >= r->window ||
	    congestion_last(h, qp, c->len))
		return true;
	if (!c->last || r->issued != NULL)
		return false;
	if (s->next - s->freed >= s->size)
		return true;
	/* behind it there is nothing, or one that has to wait */
	return r->cur + 1 == r->begun &&
		(r->place != s->next || r->ordered > 0 || phca_ring_avail(&qp->sq) <= 0);
}

/* A packet of n PSNs was staged: the one place that is told. */
static void sent(struct shard *h, struct phca_qp *qp, const struct sq_wr *e, const struct piece *c, bool ackreq)
{
	struct requester *r = &qp->req;
	bool idle = r->una_psn.v == qp->sq_psn.v;

	r->psn = phca_psn_add(r->psn, c->nb_psn);
	if (phca_psn_diff(r->psn, qp->sq_psn) > 0)
		qp->sq_psn = r->psn;
	else
		PHCA_STAT_ADD(qp->st.tx_resent, 1);
	if (qp->transport == PHCA_TRANSPORT_UC) {
		r->una_psn = r->psn;
		return;
	}
	r->no_ackreq = ackreq ? 0 : r->no_ackreq + 1;
	r->last = r->cur;
	r->last_psn = phca_psn_add(r->psn, PHCA_PSN_MASK);
	if (wr_is_read(e) || wr_is_atomic(e))
		r->nb_rd++;
	if (idle || !phca_timer_armed(&r->timer))
		requester_timer_arm(h, qp);
}

/*
 * Its memory refuses, though it did not when it was checked: it ends here. Those
 * behind it, which have begun when it is sent again, are not sent any more.
 */
static enum sq_result broken(struct phca_qp *qp, struct sq_wr *e)
{
	struct requester *r = &qp->req;

	e->status = PHCA_WC_LOC_PROT_ERR;
	r->cur = r->begun;
	r->psn = qp->sq_psn;
	r->halted = true;
	requester_done(qp);
	return SQ_DONE;
}

/* Send packets of the WR at cur. @return SQ_DONE: it is sent, or *budget used up */
enum sq_result conn_issue(struct shard *h, struct phca_qp *qp, unsigned int *budget)
{
	struct requester *r = &qp->req;
	struct sq_wr *e = sq_wr_at(r, r->cur);
	struct port *p = h->ports[qp->port];
	bool rc = qp->transport == PHCA_TRANSPORT_RC;

	while (*budget > 0) {
		struct piece c = piece_at(qp, e, r->psn);
		enum sq_result s;
		bool ackreq;

		if (rc && unlikely(!may_be_outstanding(qp, e, &c))) {
			r->wait = REQ_WAIT_ACK;
			return SQ_OFF;
		}
		s = may_send(h, p, qp);
		if (unlikely(s == SQ_OFF))
			r->wait = REQ_WAIT_PACE;
		if (unlikely(s != SQ_DONE))
			return s;
		ackreq = wants_ack(h, qp, e, &c);
		s = packet(h, p, qp, e, &c, r->psn, ackreq);
		if (unlikely(s == SQ_OFF))
			return broken(qp, e);
		if (unlikely(s != SQ_DONE))
			return s;
		(*budget)--;
		sent(h, qp, e, &c, ackreq);
		if (c.last) {
			r->cur++;
			if (!rc)
				r->acked = r->cur;
			return SQ_DONE;
		}
	}
	return SQ_DONE;
}

/* Off the ready list, and nothing outstanding asks for an acknowledgement: the last packet does. */
void conn_nudge(struct shard *h, struct phca_qp *qp)
{
	struct requester *r = &qp->req;
	struct port *p = h->ports[qp->port];
	struct sq_wr *e = sq_wr_at(r, r->last);
	enum sq_result s;
	struct piece c;

	if (r->no_ackreq == 0 || phca_psn_diff(r->last_psn, r->una_psn) < 0)
		return;
	s = may_send(h, p, qp);
	if (unlikely(s == SQ_OFF))
		return; /* paced: it comes here again */
	c = piece_at(qp, e, r->last_psn);
	if (s == SQ_DONE)
		s = packet(h, p, qp, e, &c, r->last_psn, true);
	if (unlikely(s == SQ_WAIT)) {
		ready_add(h, qp);
		return;
	}
	r->no_ackreq = 0; /* when its memory refuses now, the timer will find that out, too */
	if (likely(s == SQ_DONE))
		PHCA_STAT_ADD(qp->st.tx_resent, 1);
}
