/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Children: work requests that offloads issue.
 *
 *   get -> TAKEN -> WAITING (for its parent's turn) -> QUEUED (no room) -> OUT -> over
 *
 * Invariant: each child that was posted is over exactly once: by the HCA's CHILD, or
 * here, when it never got there or its queue pair is let go. child_done is called then,
 * and never from within phca_child_post.
 */
#include <errno.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "proxy_impl.h"

enum child_state { CHILD_FREE, CHILD_TAKEN, CHILD_WAITING, CHILD_QUEUED, CHILD_OUT };

int phca_child_pool(struct phca_offload *o, unsigned int n)
{
	assert(o->initing);
	if (o->pool != NULL || n == 0 || n > 1u << 20)
		return -EINVAL;
	o->pool = rte_zmalloc(NULL, (size_t)n * sizeof(*o->pool), RTE_CACHE_LINE_SIZE);
	if (o->pool == NULL)
		return -ENOMEM;
	o->nb_pool = n;
	for (unsigned int i = n; i-- > 0;) {
		o->pool[i].offload = o;
		o->pool[i].next = o->free_kids;
		o->free_kids = &o->pool[i];
	}
	return 0;
}

void child_pool_free(struct phca_offload *o)
{
	rte_free(o->pool);
	o->pool = o->free_kids = NULL;
}

struct phca_child *phca_child_get_shared(struct phca_offload *o, const struct phca_offload_wr *wr)
{
	struct phca_child *c = o->free_kids;

	if (unlikely(c == NULL)) {
		INC(o->c.child_none);
		return NULL;
	}
	o->free_kids = c->next;
	c->state = CHILD_TAKEN;
	c->shared = wr;
	c->tolerant = false;
	c->parent = NULL;
	c->pqp = NULL;
	return c;
}

struct phca_child *phca_child_get(struct phca_offload *o)
{
	struct phca_child *c = phca_child_get_shared(o, NULL);

	if (likely(c != NULL))
		c->wr = (struct phca_offload_wr){ .wqe = { .opcode = PHCA_WR_SEND }, .sge = NULL };
	return c;
}

static void give_back(struct phca_child *c)
{
	c->state = CHILD_FREE;
	c->next = c->offload->free_kids;
	c->offload->free_kids = c;
}

void phca_child_put(struct phca_child *c)
{
	assert(c->state == CHILD_TAKEN);
	give_back(c);
}

/* Opcodes that a child may have (table 91 of 11.4.1.1, without what concerns windows). */
static bool opcode_ok(uint8_t transport, uint8_t opcode)
{
	static const uint32_t ud = 1u << PHCA_WR_SEND | 1u << PHCA_WR_SEND_WITH_IMM,
		uc = 1u << PHCA_WR_RDMA_WRITE | 1u << PHCA_WR_RDMA_WRITE_WITH_IMM,
		rc = 1u << PHCA_WR_RDMA_READ | 1u << PHCA_WR_ATOMIC_CMP_AND_SWP |
			1u << PHCA_WR_ATOMIC_FETCH_AND_ADD | 1u << PHCA_WR_SEND_WITH_INV;
	uint32_t ops = ud;

	if (transport != PHCA_TRANSPORT_UD)
		ops |= uc;
	if (transport == PHCA_TRANSPORT_RC)
		ops |= rc;
	return opcode < 32 && (ops >> opcode & 1);
}

static void link_to(struct phca_pqp *q, struct phca_child *c)
{
	c->pqp = q;
	c->all_prev = NULL;
	c->all_next = q->kids;
	if (q->kids != NULL)
		q->kids->all_prev = c;
	q->kids = c;
}

static void unlink_from(struct phca_pqp *q, struct phca_child *c)
{
	if (c->all_prev != NULL)
		c->all_prev->all_next = c->all_next;
	else
		q->kids = c->all_next;
	if (c->all_next != NULL)
		c->all_next->all_prev = c->all_prev;
}

static bool tell(struct phca_proxy_chan *chan, struct phca_child *c)
{
	struct phca_preply *r = reply_next(chan);

	if (r == NULL)
		return false;
	r->kind = PHCA_PREPLY_CHILD;
	r->dir = r->status = r->rsvd = 0;
	r->seq = 0;
	r->cookie = c->pqp->cookie;
	r->child = c;
	r->wr = child_wr(c);
	c->state = CHILD_OUT;
	return true;
}

static void issue(struct phca_child *c)
{
	struct phca_proxy_chan *chan = c->pqp->chan;

	if (likely(chan->kids == NULL) && likely(tell(chan, c)))
		return;
	c->state = CHILD_QUEUED;
	c->next = NULL;
	if (chan->kids != NULL)
		chan->kids_last->next = c;
	else
		chan->kids = c;
	chan->kids_last = c;
}

bool chan_children_again(struct phca_proxy_chan *chan)
{
	while (chan->kids != NULL) {
		struct phca_child *c = chan->kids, *next = c->next;

		if (!tell(chan, c))
			return false;
		chan->kids = next;
	}
	return true;
}

/* Whether children of a parent keep the order of the requests of its queue pair. */
static bool queues(const struct phca_pqp *q, const struct phca_offload_req *parent)
{
	return parent->dir == PHCA_DIR_SEND && parent->ordered && parent->pqp == q;
}

static int post_check(const struct phca_pqp *q, const struct phca_child *c, const struct phca_offload_req *parent)
{
	if (!opcode_ok(q->transport, child_wr(c)->wqe.opcode))
		return -EINVAL;
	if (parent == NULL)
		return 0;
	if ((parent->state != REQ_SUBMITTING && parent->state != REQ_PENDING) || parent->said_done ||
	    parent->failed || parent->offload != c->offload)
		return -ECANCELED;
	if (queues(q, parent) && !order_open(&q->win[PHCA_DIR_SEND], parent->seq))
		return -ECANCELED; /* it said that there is nothing more */
	return 0;
}

int phca_child_post(struct phca_pqp *q, struct phca_child *c, struct phca_offload_req *parent)
{
	int rc = post_check(q, c, parent);

	assert(c->state == CHILD_TAKEN);
	if (rc == 0 && unlikely(!phca_pqp_ready(q)))
		rc = -ENOTCONN;
	if (unlikely(rc != 0)) {
		INC(c->offload->c.child_none);
		return rc;
	}
	INC(c->offload->c.children);
	INC(q->c.children);
	c->offload->nb_issued++;
	link_to(q, c);
	c->parent = parent;
	if (parent != NULL) {
		parent->children++;
		if (unlikely(parent->traced))
			trace_child(q->proxy, parent, c, PHCA_TRACE_CHILD, 0);
		if (queues(q, parent) && !order_turn(&q->win[PHCA_DIR_SEND], parent->seq)) {
			c->state = CHILD_WAITING;
			c->next = NULL;
			if (parent->kids != NULL)
				parent->kids_tail->next = c;
			else
				parent->kids = c;
			parent->kids_tail = c;
			return 0;
		}
	}
	issue(c);
	return 0;
}

void children_send(struct phca_offload_req *r)
{
	while (r->kids != NULL) {
		struct phca_child *c = r->kids;

		r->kids = c->next;
		issue(c);
	}
}

void children_flush(struct phca_proxy *p, struct phca_offload_req *r)
{
	while (r->kids != NULL) {
		struct phca_child *c = r->kids;

		r->kids = c->next;
		child_over(p, c, PHCA_WC_WR_FLUSH_ERR);
	}
}

/* Out of the queue of those that found no room. */
static void unqueue(struct phca_proxy_chan *chan, const struct phca_child *c)
{
	struct phca_child **at = &chan->kids, *last = NULL;

	while (*at != c) {
		last = *at;
		at = &(*at)->next;
	}
	*at = c->next;
	if (chan->kids_last == c)
		chan->kids_last = last;
}

static void wait_no_more(struct phca_offload_req *r, const struct phca_child *c)
{
	struct phca_child **at = &r->kids, *last = NULL;

	while (*at != c) {
		last = *at;
		at = &(*at)->next;
	}
	*at = c->next;
	if (r->kids_tail == c)
		r->kids_tail = last;
}

void child_over(struct phca_proxy *p, struct phca_child *c, uint8_t status)
{
	struct phca_offload_req *parent = c->parent;
	struct phca_offload *o = c->offload;

	unlink_from(c->pqp, c);
	if (unlikely(status != PHCA_WC_SUCCESS)) {
		INC(o->c.child_errors);
		INC(c->pqp->c.child_errors);
	}
	if (unlikely(parent != NULL && parent->traced))
		trace_child(p, parent, c, PHCA_TRACE_CHILD_DONE, status);
	if (parent != NULL && parent->failed)
		c->parent = NULL;
	if (o->ops->child_done != NULL)
		o->ops->child_done(o, c, status, p->now_ns);
	if (parent != NULL) {
		/* only now: what the driver did in there found the request alive */
		parent->children--;
		if (unlikely(status != PHCA_WC_SUCCESS) && !c->tolerant && !parent->failed) {
			if (parent->result == PHCA_WC_SUCCESS)
				parent->result = status;
			req_fail(p, parent);
		}
		if (parent->children == 0)
			req_children_over(p, parent);
	}
	o->nb_issued--;
	give_back(c);
}

void children_clear(struct phca_proxy *p, struct phca_pqp *q)
{
	while (q->kids != NULL) {
		struct phca_child *c = q->kids;

		if (c->state == CHILD_QUEUED)
			unqueue(q->chan, c);
		else if (c->state == CHILD_WAITING)
			wait_no_more(c->parent, c);
		child_over(p, c, PHCA_WC_WR_FLUSH_ERR);
	}
}
