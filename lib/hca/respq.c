/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is owed to the peers of RC queue pairs: READ and atomic responses, then
 * one acknowledgement or NAK. Requests only note what they owe; each turn pays,
 * round robin, so that a burst of requests is acknowledged once and a long READ
 * starves nobody (9.7.5.1.1).
 *
 * The records of READs and atomics stay after their responses were sent, as many
 * as the peer may have outstanding, and answer duplicates (9.7.5.1.5): an atomic
 * from its record, a READ from memory again.
 *
 * Invariant: responses leave in the order of their PSNs; an acknowledgement
 * speaks of everything before its PSN and so waits until all responses before it
 * were sent. Credits are not used: every AETH says "no end-to-end flow control".
 */
#include <string.h>

#include "hca_impl.h"

#define RESP_BUDGET 96    /* packets of a port a turn, of TX_STAGE */
#define RESP_VISITS 256   /* queue pairs of a port that a turn looks at */
#define RESP_QP_BUDGET 32 /* of one queue pair before the next one's turn */
#define KEPT_TRIES 4      /* queue pairs asked to give up answers, when an answer comes */
#define REC(q, i) (&(q)->rec[(i) % PHCA_RD_ATOMIC_MAX])

/* --------------------------------------------------- the port's list */

void respq_due(struct shard *h, struct phca_qp *qp)
{
	struct port *p = h->ports[qp->port];

	if (qp->on_resp)
		return;
	qp->on_resp = true;
	qp->resp_next = NULL;
	if (p->resp_tail != NULL)
		p->resp_tail->resp_next = qp;
	else
		p->resp_head = qp;
	p->resp_tail = qp;
}

static struct phca_qp *due_pop(struct port *p)
{
	struct phca_qp *qp = p->resp_head;

	p->resp_head = qp->resp_next;
	if (p->resp_head == NULL)
		p->resp_tail = NULL;
	qp->on_resp = false;
	return qp;
}

void respq_remove(struct shard *h, struct phca_qp *qp)
{
	struct port *p = h->ports[qp->port];
	struct phca_qp *prev = NULL;

	if (!qp->on_resp)
		return;
	for (struct phca_qp *q = p->resp_head; q != qp; q = q->resp_next)
		prev = q;
	if (prev != NULL)
		prev->resp_next = qp->resp_next;
	else
		p->resp_head = qp->resp_next;
	if (p->resp_tail == qp)
		p->resp_tail = prev;
	qp->on_resp = false;
}

/* ------------------------------------------------------------- records */

static void rec_unwant(struct respq *q, struct resp_rec *rec)
{
	if (rec->want)
		q->want--;
	rec->want = false;
}

static void kept_unlink(struct shard *h, struct phca_qp *qp)
{
	struct respq *q = qp->respq;

	*(q->kept_prev ? &q->kept_prev->respq->kept_next : &h->kept_head) = q->kept_next;
	*(q->kept_next ? &q->kept_next->respq->kept_prev : &h->kept_tail) = q->kept_prev;
}

/* To the end of the list, of which it is not part. */
static void kept_link(struct shard *h, struct phca_qp *qp)
{
	struct respq *q = qp->respq;

	q->kept_prev = h->kept_tail;
	q->kept_next = NULL;
	*(h->kept_tail ? &h->kept_tail->respq->kept_next : &h->kept_head) = qp;
	h->kept_tail = qp;
}

static void data_free(struct shard *h, struct phca_qp *qp, struct resp_rec *rec)
{
	struct respq *q = qp->respq;

	if (likely(rec->data == NULL))
		return;
	q->kept -= rec->data->nb_segs;
	h->nb_kept -= rec->data->nb_segs;
	if (q->kept == 0)
		kept_unlink(h, qp);
	rte_pktmbuf_free(rec->data);
	rec->data = NULL;
	q->seg_of = NULL;
}

static void data_set(struct shard *h, struct phca_qp *qp, struct resp_rec *rec, struct rte_mbuf *data)
{
	struct respq *q = qp->respq;

	if (q->kept > 0)
		kept_unlink(h, qp);
	kept_link(h, qp);
	q->kept += data->nb_segs;
	h->nb_kept += data->nb_segs;
	rec->data = data;
}

/* Answers that were sent are kept for duplicates as long as buffers are plenty. */
static void data_limit(struct shard *h)
{
	for (unsigned int tries = 0; h->nb_kept > h->max_held_all && tries < KEPT_TRIES; tries++) {
		struct phca_qp *qp = h->kept_head;
		struct respq *q = qp->respq;

		for (uint32_t i = q->first; i != q->first + q->n; i++) {
			struct resp_rec *rec = REC(q, i);

			if (rec->data == NULL || rec->want)
				continue;
			data_free(h, qp, rec);
			rec->gone = true;
		}
		if (q->kept > 0) { /* not sent yet */
			kept_unlink(h, qp);
			kept_link(h, qp);
		}
	}
}

static void rec_free(struct shard *h, struct phca_qp *qp, struct resp_rec *rec)
{
	rec_unwant(qp->respq, rec);
	data_free(h, qp, rec);
	rec->wait = false;
}

/* Forget everything: the queue pair goes to RESET. */
void respq_forget(struct shard *h, struct phca_qp *qp)
{
	struct respq *q = qp->respq;

	if (q == NULL)
		return;
	for (; q->n > 0; q->n--, q->first++)
		rec_free(h, qp, REC(q, q->first));
}

/*
 * A record for a request that was received in order. What the oldest one was is
 * forgotten: a peer that keeps its limit has its response.
 * @return NULL: more than max_dest_rd_atomic are outstanding
 */
struct resp_rec *respq_push(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt, uint8_t op,
		uint32_t len)
{
	uint32_t max = qp->max_dest_rd_atomic;
	struct respq *q = qp->respq;
	struct resp_rec *rec;

	if (unlikely(max == 0))
		return NULL;
	while (q->n >= max) {
		rec = REC(q, q->first);
		if (rec->want && !rec->again)
			return NULL;
		rec_free(h, qp, rec);
		q->first++;
		q->n--;
	}
	rec = REC(q, q->first + q->n++);
	*rec = (struct resp_rec){ .psn = pkt->psn, .npkts = 1, .op = op, .len = len };
	if (op == PHCA_OP_READ_REQ && len > 0)
		rec->npkts = (len + qp->path_mtu - 1) / qp->path_mtu;
	return rec;
}

/* Nothing is sent of what has this PSN or a later one. */
void respq_cut(struct phca_qp *qp, struct phca_psn psn)
{
	struct respq *q = qp->respq;

	for (uint32_t i = q->first; i != q->first + q->n; i++) {
		struct resp_rec *rec = REC(q, i);

		if (phca_psn_diff(phca_psn_add(rec->psn, rec->npkts), psn) > 0)
			rec_unwant(q, rec);
	}
}

/* Nothing is sent but what the proxy has yet to answer: that may be an error to tell. */
void respq_stop(struct phca_qp *qp)
{
	struct respq *q = qp->respq;

	for (uint32_t i = q->first; i != q->first + q->n; i++)
		if (!REC(q, i)->wait)
			rec_unwant(q, REC(q, i));
}

/* @return the record whose responses have this PSN among theirs; NULL */
struct resp_rec *respq_find(struct phca_qp *qp, struct phca_psn psn)
{
	struct respq *q = qp->respq;

	for (uint32_t i = q->first; i != q->first + q->n; i++) {
		struct resp_rec *rec = REC(q, i);
		int32_t d = phca_psn_diff(psn, rec->psn);

		if (d >= 0 && (uint32_t)d < rec->npkts)
			return rec;
	}
	return NULL;
}

/* @return the first record whose responses are to be sent; NULL */
struct resp_rec *respq_head(struct phca_qp *qp)
{
	struct respq *q = qp->respq;

	if (q->want == 0)
		return NULL;
	for (uint32_t i = q->first; i != q->first + q->n; i++)
		if (REC(q, i)->want)
			return REC(q, i);
	return NULL;
}

/* Send its responses: of a READ those from packet `from` to byte `end` of it. */
void respq_want(struct shard *h, struct phca_qp *qp, struct resp_rec *rec, uint32_t from, uint32_t end)
{
	rec->from = rec->at = from;
	rec->end = end;
	if (!rec->want)
		qp->respq->want++;
	rec->want = true;
	respq_due(h, qp);
}

/* ------------------------------------------------- answers of the proxy */

/* By what the proxy names the record in its answer. */
uint32_t respq_tag(const struct phca_qp *qp, const struct resp_rec *rec)
{
	return (uint32_t)(rec - qp->respq->rec);
}

/* What a peer is told of an offload that failed so. */
uint8_t answer_nak(uint8_t status)
{
	switch (status) {
	case PHCA_WC_REM_ACCESS_ERR:
		return PHCA_NAK_REM_ACCESS;
	case PHCA_WC_REM_INV_REQ_ERR:
		return PHCA_NAK_INV_REQ;
	default:
		return PHCA_NAK_REM_OP;
	}
}

/*
 * An offloaded READ or atomic is answered. What comes too late finds no record
 * that waits: in RESET none does, and until the proxy has let go of the queue
 * pair, with which its answers end, it stays there.
 */
void responder_answer(struct shard *h, struct phca_qp *qp, uint32_t tag, uint8_t status, uint64_t value,
		struct rte_mbuf *data)
{
	struct resp_rec *rec = &qp->respq->rec[tag % PHCA_RD_ATOMIC_MAX];

	if (unlikely(!rec->wait)) {
		rte_pktmbuf_free(data);
		return;
	}
	rec->wait = false;
	if (unlikely(data != NULL && data->pkt_len < rec->len))
		status = PHCA_WC_GENERAL_ERR;
	if (unlikely(status != PHCA_WC_SUCCESS || (qp->state == PHCA_QPS_ERR && !qp->resp.fatal) || !rec->want)) {
		rte_pktmbuf_free(data);
		if (status != PHCA_WC_SUCCESS && rec->want) {
			rc_nak_fatal(h, qp, rec->psn, answer_nak(status));
			qp_error(h, qp, PHCA_EVENT_OFFLOAD_FAILED, status);
		}
		rec_unwant(qp->respq, rec);
		return;
	}
	rec->value = value;
	if (data != NULL) {
		data_set(h, qp, rec, data);
		data_limit(h);
	}
	respq_due(h, qp);
}

/* -------------------------------------------------------------- packets */

static struct rte_mbuf *packet_new(struct shard *h, struct port *p)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(h->pool);

	if (unlikely(m == NULL))
		PHCA_STAT_ADD(p->st.tx_no_mbuf, 1);
	return m;
}

/* ACK or NAK. @return false: no buffer */
static bool send_ack(struct shard *h, struct port *p, struct phca_qp *qp, uint8_t syndrome, struct phca_psn psn,
		uint32_t msn)
{
	struct rte_mbuf *m = packet_new(h, p);
	struct phca_wire_hdr hd;

	if (unlikely(m == NULL))
		return false;
	conn_header(qp, p, PHCA_RC_ACK, psn, &hd);
	hd.syndrome = syndrome;
	hd.msn = msn & PHCA_PSN_MASK;
	phca_wire_build(rte_pktmbuf_mtod(m, void *), &hd, 0);
	conn_send(h, p, qp, m, &hd, 0, NULL);
	switch (syndrome & PHCA_AETH_KIND) {
	case PHCA_AETH_ACK:
		PHCA_STAT_ADD(qp->st.tx_acks, 1);
		break;
	case PHCA_AETH_RNR:
		PHCA_STAT_ADD(qp->st.tx_rnr_naks, 1);
		break;
	default:
		PHCA_STAT_ADD(qp->st.tx_naks, 1);
	}
	return true;
}

/* Bytes of an offload's answer; the next packet goes on where this one ended. */
static void copy_data(struct respq *q, const struct resp_rec *rec, uint32_t off, uint8_t *dst, uint32_t len)
{
	if (q->seg_of != rec->data || q->seg_at > off) {
		q->seg_of = q->seg = rec->data;
		q->seg_at = 0;
	}
	while (len > 0) {
		uint32_t in = off - q->seg_at, n;

		if (in >= q->seg->data_len) {
			q->seg_at += q->seg->data_len;
			q->seg = q->seg->next;
			continue;
		}
		n = RTE_MIN(len, q->seg->data_len - in);
		memcpy(dst, rte_pktmbuf_mtod_offset(q->seg, const uint8_t *, in), n);
		dst += n;
		off += n;
		len -= n;
	}
}

enum sent {
	SENT,
	SENT_NOT,     /* no buffer now */
	SENT_REFUSED, /* the memory is not the peer's to read any more, or the answer was given up */
};

static uint8_t read_opcode(bool first, bool last)
{
	if (first)
		return last ? PHCA_RC_READ_RESP_ONLY : PHCA_RC_READ_RESP_FIRST;
	return last ? PHCA_RC_READ_RESP_LAST : PHCA_RC_READ_RESP_MIDDLE;
}

/* The next packet of a READ's response. */
static enum sent send_read(struct shard *h, struct port *p, struct phca_qp *qp, struct resp_rec *rec)
{
	uint32_t off = rec->at * qp->path_mtu, len = RTE_MIN(rec->end - off, qp->path_mtu);
	bool last = off + len == rec->end;
	struct phca_wire_hdr hd;
	struct rte_mbuf *m;
	uint8_t *dst;

	if (unlikely(rec->gone))
		return SENT_REFUSED;
	m = packet_new(h, p);
	if (unlikely(m == NULL))
		return SENT_NOT;
	conn_header(qp, p, read_opcode(rec->at == rec->from, last), phca_psn_add(rec->psn, rec->at), &hd);
	hd.syndrome = PHCA_AETH_ACK | PHCA_AETH_NO_CREDIT;
	hd.msn = rec->msn & PHCA_PSN_MASK;
	dst = rte_pktmbuf_mtod(m, uint8_t *);
	dst += phca_wire_build(dst, &hd, len);
	if (rec->data != NULL) {
		copy_data(qp->respq, rec, off, dst, len);
	} else if (unlikely(phca_mem_read(h->mem, rec->rkey, qp->pd, qp->qpn, rec->va + off, dst, len) !=
			PHCA_MEM_OK)) {
		rte_pktmbuf_free(m);
		return SENT_REFUSED;
	}
	conn_send(h, p, qp, m, &hd, len, NULL);
	rec->at++;
	if (last)
		rec_unwant(qp->respq, rec);
	return SENT;
}

static enum sent send_atomic(struct shard *h, struct port *p, struct phca_qp *qp, struct resp_rec *rec)
{
	struct rte_mbuf *m = packet_new(h, p);
	struct phca_wire_hdr hd;

	if (unlikely(m == NULL))
		return SENT_NOT;
	conn_header(qp, p, PHCA_RC_ATOMIC_ACK, rec->psn, &hd);
	hd.syndrome = PHCA_AETH_ACK | PHCA_AETH_NO_CREDIT;
	hd.msn = rec->msn & PHCA_PSN_MASK;
	hd.cmp = rec->value;
	phca_wire_build(rte_pktmbuf_mtod(m, void *), &hd, 0);
	conn_send(h, p, qp, m, &hd, 0, NULL);
	rec_unwant(qp->respq, rec);
	return SENT;
}

/* ---------------------------------------------------------------- a turn */

/* What comes of a queue pair whose turn it is. */
enum paid {
	PAID,       /* nothing is owed, or somebody else has to do something first */
	PAID_LATER, /* more is owed: it stays on the list */
	PAID_PACED, /* more is owed; congestion_run puts it back on the list */
};

/*
 * The memory of a READ has gone since it was accepted, or an offload's answer. A
 * duplicate gets its NAK alone: it may be one that the network kept from a READ
 * that ended long ago.
 */
static enum paid read_refused(struct shard *h, struct port *p, struct phca_qp *qp, struct resp_rec *rec)
{
	struct phca_psn psn = phca_psn_add(rec->psn, rec->at);

	if (rec->again) {
		if (!send_ack(h, p, qp, rec->gone ? PHCA_NAK_REM_OP : PHCA_NAK_REM_ACCESS, psn, rec->msn))
			return PAID_LATER;
		rec_unwant(qp->respq, rec);
		return PAID_LATER;
	}
	rc_nak_fatal(h, qp, psn, PHCA_NAK_REM_ACCESS);
	qp_error(h, qp, PHCA_EVENT_QP_ACCESS_ERR, PHCA_WC_LOC_ACCESS_ERR);
	return PAID_LATER;
}

/* Responses, as many as the budget has. @return PAID: all of them are sent */
static enum paid pay_responses(struct shard *h, struct port *p, struct phca_qp *qp, unsigned int *budget)
{
	struct resp_rec *rec;

	while ((rec = respq_head(qp)) != NULL && !rec->wait && !withheld(&qp->resp, qp->pass, rec->psn)) {
		do {
			enum sent s;

			if (*budget == 0 || !tx_room(h, p))
				return PAID_LATER;
			if (congestion_paced(h, qp))
				return PAID_PACED;
			s = rec->op == PHCA_OP_READ_REQ ? send_read(h, p, qp, rec) : send_atomic(h, p, qp, rec);
			if (unlikely(s == SENT_REFUSED))
				return read_refused(h, p, qp, rec);
			if (unlikely(s == SENT_NOT))
				return PAID_LATER;
			(*budget)--;
			PHCA_STAT_ADD(qp->st.tx_responses, 1);
		} while (rec->want);
	}
	return PAID;
}

/*
 * Responses wait for the proxy: what came before them is acknowledged without
 * them. An error behind them is told behind them: what it cancelled there fails, and
 * tells that instead.
 */
static enum paid pay_before(struct shard *h, struct port *p, struct phca_qp *qp, struct resp_rec *rec)
{
	if (!rec->ack_before)
		return PAID;
	if (!tx_room(h, p) || !send_ack(h, p, qp, PHCA_AETH_ACK | PHCA_AETH_NO_CREDIT,
			phca_psn_add(rec->psn, PHCA_PSN_MASK), rec->msn - 1))
		return PAID_LATER;
	rec->ack_before = false;
	return PAID;
}

/* What is before a request of which nothing may be said yet; or, of that, that there is no receive for it. */
static enum paid pay_withheld(struct shard *h, struct port *p, struct phca_qp *qp)
{
	uint8_t syndrome = PHCA_AETH_ACK | PHCA_AETH_NO_CREDIT;
	struct passes *ps = qp->pass;
	const struct withheld *w = &ps->withheld[ps->unsaid & ps->mask];
	struct phca_psn psn = phca_psn_add(w->psn, PHCA_PSN_MASK);

	if (ps->rnr) {
		syndrome = PHCA_AETH_RNR | (qp->min_rnr_timer & PHCA_AETH_VALUE);
		psn = w->psn;
	} else if (!ps->ack_before) {
		return PAID;
	}
	if (!tx_room(h, p) || !send_ack(h, p, qp, syndrome, psn, w->msn))
		return PAID_LATER;
	ps->rnr = ps->ack_before = false;
	return PAID;
}

static enum paid pay(struct shard *h, struct phca_qp *qp, unsigned int *budget)
{
	struct port *p = h->ports[qp->port];
	struct responder *r = &qp->resp;
	enum phca_neigh_state way = conn_path(h, p, qp);
	uint8_t syndrome = r->nak ? r->nak : PHCA_AETH_ACK | PHCA_AETH_NO_CREDIT;
	struct phca_psn psn = r->nak ? r->nak_psn : phca_psn_add(r->epsn, PHCA_PSN_MASK);

	if (unlikely(way == PHCA_NEIGH_PENDING))
		return PAID_LATER;
	if (unlikely(way != PHCA_NEIGH_READY)) { /* as a network that drops it */
		respq_stop(qp);
		r->nak = 0;
		r->ack_due = false;
		return PAID;
	}
	if (unlikely(qp->respq->want > 0)) {
		enum paid paid = pay_responses(h, p, qp, budget);
		struct resp_rec *rec;

		if (paid != PAID)
			return paid;
		rec = respq_head(qp);
		if (rec != NULL && !withheld(r, qp->pass, rec->psn))
			return pay_before(h, p, qp, rec);
	}
	if (unlikely(r->withholds) && !r->fatal)
		return pay_withheld(h, p, qp);
	if (r->nak == 0 && !r->ack_due)
		return PAID;
	if (*budget == 0 || !tx_room(h, p) || !send_ack(h, p, qp, syndrome, psn, r->msn))
		return PAID_LATER;
	(*budget)--;
	r->nak = 0;
	r->ack_due = false;
	return PAID;
}

static unsigned int pay_port(struct shard *h, struct port *p)
{
	const struct phca_qp *last = p->resp_tail, *qp = NULL;
	unsigned int left = RESP_BUDGET;

	/* once around the list: those that stay go behind the one that is last now */
	for (unsigned int i = 0; p->resp_head != NULL && qp != last && left > 0 && i < RESP_VISITS; i++) {
		unsigned int budget = RTE_MIN(left, (unsigned int)RESP_QP_BUDGET), had = budget;
		struct phca_qp *due;

		if (unlikely(!tx_room(h, p))) /* the one at the head keeps its place */
			break;
		qp = due = due_pop(p);
		if (pay(h, due, &budget) == PAID_LATER)
			respq_due(h, due);
		left -= had - budget;
	}
	return RESP_BUDGET - left;
}

unsigned int responder_run(struct shard *h)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < h->nb_ports; i++)
		done += pay_port(h, h->ports[i]);
	return done;
}
