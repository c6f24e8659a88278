/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers of inbound READs and atomics: what drivers write, what the proxy does
 * in their place, and the way back to the HCA lcore.
 *
 * Invariant: while a QP is attached, each such request that came gets exactly one
 * answer, in the record of its tag, which the HCA does not use again before. So
 * an answer always has a place to wait for room among the replies. Answer data
 * belong to the request until its end, then to the HCA with the answer, or they
 * are freed here.
 */
#include <errno.h>
#include <string.h>

#include "proxy_impl.h"

/* --- to the HCA */

void answer_send(struct phca_pqp *q, uint32_t tag, uint8_t status, uint64_t value, struct rte_mbuf *data)
{
	struct answer *a = &q->answers[tag];
	struct phca_proxy_chan *c = q->chan;

	a->r = (struct phca_preply){
		.kind = PHCA_PREPLY_ANSWER, .dir = PHCA_DIR_RECV, .status = status, .tag = tag,
		.cookie = q->cookie, .value = value, .data = data,
	};
	a->pqp = q;
	INC(c->proxy->c.answers);
	if (likely(c->answers == NULL && reply_stage(c, &a->r))) {
		a->owed = false;
		return;
	}
	a->next = NULL;
	if (c->answers == NULL)
		c->answers = a;
	else
		c->answers_last->next = a;
	c->answers_last = a;
}

bool chan_tell_answers(struct phca_proxy_chan *c)
{
	while (c->answers != NULL) {
		struct answer *a = c->answers;

		if (!reply_stage(c, &a->r))
			return false;
		c->answers = a->next;
		a->owed = false;
	}
	return true;
}

void answers_drop(struct phca_pqp *q)
{
	struct answer *keep = NULL, **at = &keep, *a = q->chan->answers, *next;

	q->chan->answers_last = NULL;
	for (; a != NULL; a = next) {
		next = a->next;
		if (a->pqp == q) {
			rte_pktmbuf_free(a->r.data);
			continue;
		}
		*at = a;
		at = &a->next;
		a->next = NULL;
		q->chan->answers_last = a;
	}
	q->chan->answers = keep;
	for (uint32_t i = 0; i < q->nb_tags; i++)
		q->answers[i].owed = false;
}

/* --- what an answer is made of */

/* Segments for `need` more bytes behind the last one; empty, but linked. */
static int grow(struct phca_proxy *p, struct phca_offload_req *r, uint32_t need)
{
	uint32_t room = r->answer_tail != NULL ? rte_pktmbuf_tailroom(r->answer_tail) : 0;
	uint32_t seg = rte_pktmbuf_data_room_size(p->pool) - RTE_PKTMBUF_HEADROOM, n, i;
	struct rte_mbuf *head = NULL, **at = &head;

	if (need <= room)
		return 0;
	n = (uint32_t)RTE_ALIGN_MUL_CEIL((uint64_t)need - room, seg) / seg;
	if (n + (r->answer != NULL ? r->answer->nb_segs : 0) > RTE_MBUF_MAX_NB_SEGS)
		return -E2BIG;
	for (i = 0; i < n; i++) {
		*at = rte_pktmbuf_alloc(p->pool);
		if (*at == NULL) {
			rte_pktmbuf_free(head);
			return -ENOMEM;
		}
		at = &(*at)->next;
	}
	if (r->answer == NULL) {
		r->answer = r->answer_tail = head;
		head->nb_segs = (uint16_t)n;
	} else {
		r->answer_tail->next = head;
		r->answer->nb_segs += (uint16_t)n;
	}
	return 0;
}

static void append(struct phca_offload_req *r, const uint8_t *src, uint32_t len)
{
	r->answer->pkt_len += len;
	r->answered += len;
	while (len > 0) {
		struct rte_mbuf *m = r->answer_tail;
		uint32_t n = RTE_MIN(len, (uint32_t)rte_pktmbuf_tailroom(m));

		if (n == 0) {
			r->answer_tail = m->next;
			continue;
		}
		memcpy(rte_pktmbuf_mtod_offset(m, void *, m->data_len), src, n);
		m->data_len = (uint16_t)(m->data_len + n);
		src += n;
		len -= n;
	}
}

static void overwrite(struct phca_offload_req *r, uint32_t offset, const uint8_t *src, uint32_t len)
{
	for (struct rte_mbuf *m = r->answer; len > 0; m = m->next) {
		uint32_t n;

		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		n = RTE_MIN(len, m->data_len - offset);
		memcpy(rte_pktmbuf_mtod_offset(m, void *, offset), src, n);
		src += n;
		len -= n;
		offset = 0;
	}
}

/* Whether the driver may still say something. */
static int open_check(const struct phca_offload_req *r)
{
	if (r->dir != PHCA_DIR_RECV || !op_wants_answer(r->op))
		return -EINVAL;
	if (r->state != REQ_SUBMITTING && r->state != REQ_PENDING)
		return -ECANCELED;
	return 0;
}

int phca_offload_answer(struct phca_offload_req *r, uint32_t offset, const void *src, uint32_t len)
{
	struct phca_proxy *p = r->pqp->proxy;
	uint32_t old;
	int rc = open_check(r);

	if (rc != 0)
		return rc;
	if (r->answer_state == ANSWER_MEMORY || r->answer_state == ANSWER_VALUE)
		return -EALREADY;
	if (r->op != PHCA_OP_READ_REQ) {
		if (offset != 0 || len != sizeof(r->value))
			return -EINVAL;
		memcpy(&r->value, src, sizeof(r->value));
		r->answer_state = ANSWER_VALUE;
		return 0;
	}
	if (offset > r->answered || len > r->len - offset)
		return -EINVAL;
	if (p->pool == NULL)
		return -ENOTSUP;
	old = RTE_MIN(len, r->answered - offset);
	if (len > old) {
		rc = grow(p, r, len - old);
		if (rc != 0)
			return rc;
		append(r, (const uint8_t *)src + old, len - old);
	}
	overwrite(r, offset, src, old);
	r->answer_state = ANSWER_WRITTEN;
	return 0;
}

int answer_fill(struct phca_offload_req *r, const void *src, uint32_t len)
{
	int rc;

	if (r->pqp->proxy->pool == NULL)
		return -ENOTSUP;
	r->answered = 0;
	rc = grow(r->pqp->proxy, r, RTE_MAX(len, 1u)); /* no bytes are bytes, too */
	if (rc == 0)
		append(r, src, len);
	return rc;
}

/* The whole answer is what the peer reads. */
static int copy_read(struct phca_offload_req *r, struct phca_proxy *p)
{
	int rc = grow(p, r, r->len);

	if (rc != 0)
		return rc;
	for (struct rte_mbuf *m = r->answer; r->answered < r->len; m = m->next) {
		uint32_t n = RTE_MIN(r->len - r->answered, (uint32_t)rte_pktmbuf_tailroom(m));

		if (phca_mem_read(p->mem, r->rkey, r->pd, r->qpn, r->va + r->answered,
				rte_pktmbuf_mtod(m, void *), n) != PHCA_MEM_OK) {
			rte_pktmbuf_free(r->answer);
			r->answer = r->answer_tail = NULL;
			r->answered = 0;
			return -EACCES;
		}
		m->data_len = (uint16_t)n;
		r->answered += n;
		r->answer_tail = m;
	}
	r->answer->pkt_len = r->len;
	r->answer_state = ANSWER_WRITTEN;
	return 0;
}

static int execute_read(struct phca_offload_req *r, struct phca_proxy *p, bool copy)
{
	if (phca_mem_check(p->mem, r->rkey, r->pd, r->qpn, r->va, r->len, PHCA_ACCESS_REMOTE_READ) != PHCA_MEM_OK)
		return -EACCES;
	if (copy && r->len > 0 && r->len <= PHCA_OFFLOAD_COPY_MAX && p->pool != NULL)
		return copy_read(r, p);
	r->answer_state = ANSWER_MEMORY;
	return 0;
}

static int execute_atomic(struct phca_offload_req *r, const struct phca_proxy *p)
{
	enum phca_atomic_op op = r->op == PHCA_OP_CMP_SWAP ? PHCA_ATOMIC_CMP_SWAP : PHCA_ATOMIC_FETCH_ADD;
	enum phca_mem_err err = PHCA_MEM_OK;

	if (!phca_mem_atomic(p->mem, r->rkey, r->pd, r->qpn, r->va, op, r->compare, r->swap_add,
			&r->value, &err))
		return err == PHCA_MEM_ALIGN ? -EINVAL : err == PHCA_MEM_IO ? -ENOTSUP : -EACCES;
	r->answer_state = ANSWER_VALUE;
	return 0;
}

static int execute(struct phca_offload_req *r, bool copy)
{
	struct phca_proxy *p = r->pqp->proxy;

	if (p->mem == NULL)
		return -ENOTSUP;
	return r->op == PHCA_OP_READ_REQ ? execute_read(r, p, copy) : execute_atomic(r, p);
}

int phca_offload_execute(struct phca_offload_req *r)
{
	int rc = open_check(r);

	if (rc == 0 && r->answer_state != ANSWER_OPEN)
		rc = -EALREADY;
	return rc == 0 ? execute(r, true) : rc;
}

/* The driver said success: is there an answer, or make it. */
static uint8_t answer_status(struct phca_offload_req *r)
{
	if (r->answer_state == ANSWER_WRITTEN && r->answered < r->len)
		return PHCA_WC_LOC_LEN_ERR;
	if (r->answer_state != ANSWER_OPEN)
		return PHCA_WC_SUCCESS;
	switch (execute(r, false)) {
	case 0:
		return PHCA_WC_SUCCESS;
	case -EACCES:
		return PHCA_WC_REM_ACCESS_ERR;
	case -EINVAL:
		return PHCA_WC_REM_INV_REQ_ERR;
	default:
		return PHCA_WC_REM_OP_ERR;
	}
}

uint8_t answer_end(struct phca_offload_req *r, uint8_t status)
{
	struct phca_pqp *q = r->pqp;
	bool attached = q->state == PQP_ATTACHED;

	if (status == PHCA_WC_SUCCESS && attached)
		status = answer_status(r);
	if (status != PHCA_WC_SUCCESS || !attached) {
		rte_pktmbuf_free(r->answer);
		r->answer = NULL;
		r->value = 0;
	}
	if (attached)
		answer_send(q, r->tag, status, r->value, r->answer);
	r->answer = r->answer_tail = NULL;
	r->answer_state = ANSWER_NONE;
	return status;
}
