/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traces: rings of records, and what the proxy lcore writes into its own.
 *
 * Invariant: a record is written whole or counted as lost; its writer never waits.
 */
#include <errno.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>
#include <rte_string_fns.h>

#include "proxy_impl.h"

#define RECORDS_MAX (1u << 20)

struct phca_trace {
	struct rte_ring *ring;
	uint64_t lost;
};

struct phca_trace *phca_trace_create(uint32_t records)
{
	struct phca_trace *t;
	ssize_t len;

	if (records < 2 || records > RECORDS_MAX || !rte_is_power_of_2(records)) {
		rte_errno = EINVAL;
		return NULL;
	}
	len = rte_ring_get_memsize_elem(sizeof(struct phca_trace_rec), records);
	t = rte_zmalloc(NULL, sizeof(*t), RTE_CACHE_LINE_SIZE);
	if (t != NULL && len > 0)
		t->ring = rte_zmalloc(NULL, (size_t)len, RTE_CACHE_LINE_SIZE);
	if (t == NULL || t->ring == NULL ||
			rte_ring_init(t->ring, "trace", records, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		phca_trace_destroy(t);
		rte_errno = ENOMEM;
		return NULL;
	}
	return t;
}

void phca_trace_destroy(struct phca_trace *t)
{
	if (t == NULL)
		return;
	rte_free(t->ring);
	rte_free(t);
}

void phca_trace_put(struct phca_trace *t, const struct phca_trace_rec *r)
{
	if (rte_ring_sp_enqueue_elem(t->ring, (void *)(uintptr_t)r, sizeof(*r)) != 0)
		INC(t->lost);
}

unsigned int phca_trace_get(struct phca_trace *t, struct phca_trace_rec *r, unsigned int n)
{
	return rte_ring_sc_dequeue_burst_elem(t->ring, r, sizeof(*r), n, NULL);
}

unsigned int phca_trace_used(const struct phca_trace *t)
{
	return (__atomic_load_n(&t->ring->prod.tail, __ATOMIC_ACQUIRE) - t->ring->cons.tail) & t->ring->mask;
}

uint64_t phca_trace_lost(const struct phca_trace *t)
{
	return PHCA_STAT_GET(t->lost);
}

const char *phca_trace_kind_str(unsigned int kind)
{
	static const char *const names[] = {
		[PHCA_TRACE_TAKEN] = "taken", [PHCA_TRACE_SUBMITTED] = "submitted", [PHCA_TRACE_DONE] = "done",
		[PHCA_TRACE_REFUSED] = "refused", [PHCA_TRACE_TIMED_OUT] = "timed out",
		[PHCA_TRACE_CANCELLED] = "cancelled", [PHCA_TRACE_LATE] = "let go",
		[PHCA_TRACE_PASSED] = "passed", [PHCA_TRACE_CHILD] = "child",
		[PHCA_TRACE_CHILD_DONE] = "child done", [PHCA_TRACE_COMPLETED] = "completed",
		[PHCA_TRACE_FLUSHED] = "flushed", [PHCA_TRACE_RELEASED] = "released", [PHCA_TRACE_RESET] = "reset",
	};

	return kind < RTE_DIM(names) ? names[kind] : "?";
}

/* --- what the proxy lcore writes */

void trace_place(struct phca_proxy *p, const struct phca_pqp *q, uint8_t dir, uint32_t seq,
		enum phca_trace_kind kind, uint8_t status)
{
	struct phca_trace_rec r = {
		.ns = p->now_ns, .qpn = q->qpn, .seq = seq, .kind = (uint8_t)kind, .dir = dir, .status = status,
	};

	if (p->trace != NULL)
		phca_trace_put(p->trace, &r);
}

void trace_req(struct phca_proxy *p, const struct phca_offload_req *req, enum phca_trace_kind kind, uint8_t status)
{
	struct phca_trace_rec r = {
		.ns = p->now_ns, .qpn = req->qpn, .seq = req->seq, .kind = (uint8_t)kind, .dir = req->dir,
		.status = status,
	};

	if (p->trace == NULL)
		return;
	if (kind == PHCA_TRACE_SUBMITTED)
		rte_strscpy(r.name, req->offload->name, sizeof(r.name));
	phca_trace_put(p->trace, &r);
}

void trace_child(struct phca_proxy *p, const struct phca_offload_req *parent, const struct phca_child *c,
		enum phca_trace_kind kind, uint8_t status)
{
	struct phca_trace_rec r = {
		.ns = p->now_ns, .qpn = parent->qpn, .seq = parent->seq, .kind = (uint8_t)kind,
		.dir = parent->dir, .status = status, .opcode = child_wr(c)->wqe.opcode, .len = child_wr(c)->len,
		.id = c->pqp->qpn,
	};

	if (p->trace != NULL)
		phca_trace_put(p->trace, &r);
}

void trace_released(struct phca_proxy *p, struct window *w, bool waited, enum phca_trace_result result)
{
	struct phca_trace_rec r = {
		.ns = p->now_ns, .qpn = window_pqp(w)->qpn, .seq = w->released - 1,
		.kind = PHCA_TRACE_RELEASED, .dir = w->dir, .status = p->seen_status, .result = (uint8_t)result,
	};

	if (p->trace == NULL)
		return;
	if (waited) {
		r.flags = PHCA_TRACE_F_WAITED;
		r.id = p->ended_seq;
	}
	phca_trace_put(p->trace, &r);
}

struct trace_arg {
	struct phca_proxy *p;
	struct phca_trace *t;
};

static int trace_set(void *arg)
{
	struct trace_arg *a = arg;

	a->p->trace = a->t;
	return 0;
}

void phca_proxy_trace_set(struct phca_proxy *p, struct phca_trace *t)
{
	phca_loop_call(p->loop, trace_set, &(struct trace_arg){ p, t });
}
