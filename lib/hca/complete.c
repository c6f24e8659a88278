/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one way a completion leaves the HCA lcore: into the CQ when the HCA owns
 * it, else as a message to the proxy, staged here and put on the ring once a
 * turn. Also the replies that come back.
 *
 * Invariant: a message is staged only when the ring has room for it (pm_room
 * counts down from the free elements that are known at the start of the turn) and, for
 * a proxy QP, when its window has a free place. So proxy_flush always finds room, and
 * nothing that was executed loses its completion.
 */
#include <string.h>

#include <rte_prefetch.h>

#include "hca_impl.h"

/*
 * Free elements of the ring whose only producer we are; rte_ring_free_count is no atomic read.
 * ring_put writes to them without another look: the consumer has read what was there.
 */
static unsigned int ring_room(const struct rte_ring *r)
{
	return r->capacity - ((r->prod.tail - __atomic_load_n(&r->cons.tail, __ATOMIC_ACQUIRE)) & r->mask);
}

static struct phca_pmsg *ring_slots(const struct rte_ring *r)
{
	return (struct phca_pmsg *)(uintptr_t)&r[1];
}

/* The proxy lcore's index is read when the room that is known may not do: it is a cache miss. */
void px_begin(struct px *x)
{
	if (unlikely(x->known_room < PM_STAGE))
		x->known_room = ring_room(x->ring);
	x->pm_room = RTE_MIN(x->known_room, (unsigned int)PM_STAGE);
}

/* Also asks for the replies, which proxy_replies looks at later in the turn. */
void proxy_begin(struct shard *h)
{
	for (unsigned int i = 0; i < h->nb_px; i++) {
		const struct rte_ring *r = h->px[i]->replies;
		const struct phca_preply *slots = (const void *)&r[1];

		rte_prefetch0(&r->prod);
		rte_prefetch0(&slots[r->cons.head & r->mask]);
		px_begin(h->px[i]);
	}
}

bool proxy_room(const struct phca_qp *qp, const struct px *x, enum phca_dir dir, enum phca_verdict *why)
{
	const struct pseq *s = &qp->pseq[dir];

	if (unlikely(x->pm_room == 0)) {
		*why = PHCA_V_PROXY_RING_FULL;
		return false;
	}
	if (unlikely(qp->proxy && s->next - s->freed >= s->size)) {
		*why = PHCA_V_PROXY_WINDOW_FULL;
		return false;
	}
	return true;
}

bool complete_room(struct shard *h, const struct phca_qp *qp, enum phca_dir dir, enum phca_verdict *why)
{
	const struct px *x = qp->cq[dir]->px;

	(void)h;
	return x == NULL || proxy_room(qp, x, dir, why);
}

/* Room is known. The caller fills the message in before the turn ends. */
struct phca_pmsg *proxy_msg(struct px *x)
{
	const struct rte_ring *r = x->ring;

	RTE_ASSERT(x->pm_room > 0 && x->nb_pm < PM_STAGE);
	/* where it will go: the proxy lcore's core has read it last */
	prefetch_own(&ring_slots(r)[(r->prod.head + x->nb_pm) & r->mask]);
	x->pm_room--;
	return &x->pm[x->nb_pm++];
}

/* rte_ring_sp_enqueue_bulk_elem without its look at the consumer's index: there is room. */
static void ring_put(struct rte_ring *r, const struct phca_pmsg *m, unsigned int n)
{
	struct phca_pmsg *slots = ring_slots(r);
	uint32_t at = r->prod.head & r->mask;
	unsigned int first = RTE_MIN(n, r->size - at);

	memcpy(&slots[at], m, first * sizeof(*m));
	memcpy(slots, m + first, (n - first) * sizeof(*m));
	r->prod.head += n;
	__atomic_store_n(&r->prod.tail, r->prod.head, __ATOMIC_RELEASE);
}

void px_flush(struct px *x)
{
	unsigned int n = x->nb_pm;

	if (n == 0)
		return;
	ring_put(x->ring, x->pm, n);
	x->known_room -= n;
	x->nb_pm = 0;
	phca_loop_wake(x->loop);
}

void proxy_flush(struct shard *h)
{
	for (unsigned int i = 0; i < h->nb_px; i++)
		px_flush(h->px[i]);
}

static struct phca_wc *cq_next(struct shard *h, struct phca_cq *cq, bool solicited)
{
	bool before = cq->w.overrun;
	struct phca_wc *wc = phca_cqw_next(&cq->w, solicited, h->now_ns);

	if (unlikely(wc == NULL)) {
		if (!before) {
			phca_cqws_add(&h->cqs, &cq->w); /* an error wakes, too */
			cq_error(h, &cq->w);
		}
		return &h->nowhere;
	}
	phca_cqws_add(&h->cqs, &cq->w);
	return wc;
}

static struct phca_wc *proxy_next(struct phca_qp *qp, enum phca_dir dir, uint32_t place, unsigned int pm_flags)
{
	struct phca_pmsg *pm = proxy_msg(qp->cq[dir]->px);

	pm->dir = (uint8_t)dir;
	pm->rule = 0;
	pm->flags = (uint8_t)pm_flags;
	if (qp->proxy) {
		pm->kind = PHCA_PMSG_COMPLETE;
		pm->seq = place;
		pm->pqp = qp->pqp;
	} else {
		pm->kind = PHCA_PMSG_PLAIN;
		pm->seq = 0;
		pm->cqw = &qp->cq[dir]->w;
	}
	return &pm->wc;
}

/*
 * Of a WR that has its place. Room is known. The completion is made where it will
 * lie, since a copy right after would wait for these stores; the caller may fill in
 * more of it.
 */
struct phca_wc *complete_at(struct shard *h, struct phca_qp *qp, enum phca_dir dir, uint32_t place, uint64_t wr_id,
		uint32_t status, uint32_t opcode, unsigned int pm_flags)
{
	struct phca_cq *cq = qp->cq[dir];
	struct phca_wc *wc = &h->nowhere;

	if (qp->proxy || (cq->px != NULL && !(pm_flags & PHCA_PMSG_F_NO_CQE)))
		wc = proxy_next(qp, dir, place, pm_flags);
	else if (!(pm_flags & PHCA_PMSG_F_NO_CQE))
		/* failed ones wake as solicited ones do (11.4.2.2) */
		wc = cq_next(h, cq, (pm_flags & PHCA_PMSG_F_SOLICITED) || status != PHCA_WC_SUCCESS);
	*wc = (struct phca_wc){
		.wr_id = wr_id, .status = status, .opcode = opcode, .qp_num = qp->qpn,
	};
	return wc;
}

/* As complete_at, with the next place. */
struct phca_wc *complete(struct shard *h, struct phca_qp *qp, enum phca_dir dir, uint64_t wr_id,
		uint32_t status, uint32_t opcode, unsigned int pm_flags)
{
	uint32_t place = qp->proxy ? qp->pseq[dir].next++ : 0;

	return complete_at(h, qp, dir, place, wr_id, status, opcode, pm_flags);
}

static void reply(struct shard *h, const struct phca_preply *r)
{
	struct phca_qp *qp = r->cookie;

	switch (r->kind) {
	case PHCA_PREPLY_CREDIT:
		qp->pseq[r->dir].freed = r->seq;
		if (r->dir == PHCA_DIR_SEND)
			requester_credit(h, qp);
		break;
	case PHCA_PREPLY_ERROR:
		if (r->dir == PHCA_DIR_RECV)
			withheld_failed(h, qp, r->seq, answer_nak((uint8_t)r->status));
		qp_error(h, qp, PHCA_EVENT_OFFLOAD_FAILED, r->status);
		break;
	case PHCA_PREPLY_ANSWER:
		responder_answer(h, qp, r->tag, r->status, r->value, r->data);
		break;
	case PHCA_PREPLY_CHILD:
		sq_child_add(h, qp, r->child, r->wr);
		break;
	case PHCA_PREPLY_PASS:
		if (r->dir == PHCA_DIR_RECV)
			pass_reply(h, qp, r);
		else
			sq_passed_back(h, qp, r->seq);
		break;
	case PHCA_PREPLY_RESUME:
		if (r->dir == PHCA_DIR_RECV)
			pass_resume(h, qp, r->seq);
		else
			sq_resume(h, qp, r->seq);
		break;
	case PHCA_PREPLY_CQ_ERROR:
		cq_error(h, r->cookie);
		break;
	case PHCA_PREPLY_DETACHED:
		for (unsigned int d = 0; d < PHCA_DIR_COUNT; d++)
			__atomic_store_n(&qp->detached[d], 1, __ATOMIC_RELEASE);
		break;
	case PHCA_PREPLY_FENCED:
		__atomic_store_n((uint32_t *)r->cookie, 1, __ATOMIC_RELEASE);
		break;
	default:
		rte_panic("hca %s: proxy replied with kind %u\n", h->hca->name, r->kind);
	}
}

/* Into this lcore's mempool cache, so that the driver receives into warm memory. */
static unsigned int mbufs_returned(struct px *x)
{
	struct rte_mbuf *m[MBUF_BURST];
	unsigned int n = rte_ring_sc_dequeue_burst(x->mbufs, (void **)m, RTE_DIM(m), NULL);

	if (n > 0)
		rte_pktmbuf_free_bulk(m, n);
	return n;
}

/* What this lcore will write, and what the proxy lcore has just written; what is shared came with the first. */
static void child_prefetch(const struct phca_preply *r)
{
	prefetch_own(r->child);
	rte_prefetch0(r->wr);
	rte_prefetch0((const char *)r->wr + RTE_CACHE_LINE_SIZE);
}

static unsigned int px_replies(struct shard *h, struct px *x)
{
	struct phca_preply r[REPLY_BURST];
	unsigned int n = rte_ring_sc_dequeue_burst_elem(x->replies, r, sizeof(r[0]), RTE_DIM(r), NULL);

	for (unsigned int i = 0; i < n; i++)
		if (r[i].kind == PHCA_PREPLY_CHILD)
			child_prefetch(&r[i]);
	for (unsigned int i = 0; i < n; i++)
		reply(h, &r[i]);
	return n + mbufs_returned(x);
}

unsigned int proxy_replies(struct shard *h)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < h->nb_px; i++)
		n += px_replies(h, h->px[i]);
	return n;
}
