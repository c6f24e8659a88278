/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device, CQs and QPs made by hand: rings in memory, no appliance. The test plays
 * the HCA on views of its own: it takes what was posted and writes completions.
 */
#ifndef VERBS_FIXTURE_H
#define VERBS_FIXTURE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "phca_test.h"
#include "verbs_impl.h"

#define MAX_SGE 3
#define MAX_INLINE 100

/* A queue pair, and the HCA's side of it. */
struct fix_qp {
	struct vqp v;
	struct phca_ring sq, rq; /* the HCA's views */
};
/* A completion queue, and the HCA's side of it. */
struct fix_cq {
	struct vcq v;
	struct phca_ring ring;   /* the HCA's view */
};
/* A device. */
struct fix {
	struct vctx ctx;
	struct vdev dev;
	struct phca_ring db;     /* the HCA's view */
	struct ibv_pd pd;
};

static inline void fix_ring(struct phca_ring *ours, struct phca_ring *hca, enum phca_ring_type type, uint32_t size,
		uint32_t stride)
{
	size_t n = phca_ring_bytes(size, stride);
	void *mem = aligned_alloc(PHCA_CACHE_LINE, (n + PHCA_CACHE_LINE - 1) & ~(size_t)(PHCA_CACHE_LINE - 1));

	CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
	memset(mem, 0xa5, n);
	CU_ASSERT_EQUAL_FATAL(phca_ring_format(mem, type, size, stride), 0);
	CU_ASSERT_EQUAL_FATAL(phca_ring_attach(ours, mem, n, type), 0);
	*hca = *ours;
}

/* Let a ring start at an index, as after that many slots. */
static inline void fix_ring_at(struct phca_ring *ours, struct phca_ring *hca, uint32_t index)
{
	ours->own = ours->other = hca->own = hca->other = index;
	ours->hdr->prod = ours->hdr->cons = index;
}

static inline struct fix *fix_open(void)
{
	struct fix *f = calloc(1, sizeof(*f));

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	pthread_mutex_init(&f->ctx.objs_lock, NULL);
	pthread_mutex_init(&f->ctx.admin_lock, NULL);
	pthread_mutex_init(&f->ctx.v.context.mutex, NULL);
	f->ctx.dev = &f->dev;
	f->ctx.sock = f->ctx.async_wr_fd = f->ctx.v.context.async_fd = -1;
	f->ctx.nb_shards = 1;
	f->ctx.pid = getpid();
	pthread_spin_init(&f->ctx.db[0].lock, PTHREAD_PROCESS_PRIVATE);
	f->ctx.db[0].wake_fd = eventfd(0, EFD_NONBLOCK);
	fix_ring(&f->ctx.db[0].ring, &f->db, PHCA_RING_DB, 64, sizeof(uint32_t));
	f->pd.context = &f->ctx.v.context;
	return f;
}

static inline void fix_close(struct fix *f)
{
	close(f->ctx.db[0].wake_fd);
	free(f->ctx.db[0].ring.hdr);
	vtable_fini(&f->ctx.qps);
	vtable_fini(&f->ctx.cqs);
	vtable_fini(&f->ctx.srqs);
	free(f);
}

static inline struct fix_cq *fix_cq(struct fix *f, uint32_t cqn, uint32_t size)
{
	struct fix_cq *c = calloc(1, sizeof(*c));

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->v.cq.context = &f->ctx.v.context;
	c->v.cqn = cqn;
	pthread_mutex_init(&c->v.cq.mutex, NULL);
	pthread_cond_init(&c->v.cq.cond, NULL);
	pthread_spin_init(&c->v.lock, PTHREAD_PROCESS_PRIVATE);
	fix_ring(&c->v.ring, &c->ring, PHCA_RING_CQ, size, sizeof(struct phca_cqe));
	pthread_mutex_lock(&f->ctx.objs_lock); /* threads may look for theirs */
	LIST_INSERT_HEAD(&f->ctx.cq_list, &c->v, entry);
	CU_ASSERT_EQUAL_FATAL(vtable_set(&f->ctx.cqs, cqn, &c->v), 0);
	pthread_mutex_unlock(&f->ctx.objs_lock);
	return c;
}

static inline void fix_cq_free(struct fix *f, struct fix_cq *c)
{
	LIST_REMOVE(&c->v, entry);
	vtable_set(&f->ctx.cqs, c->v.cqn, NULL);
	free(c->v.ring.hdr);
	free(c);
}

static inline void fix_shadow(struct vshadow *s, uint32_t size, uint32_t max)
{
	s->wr = calloc(size, sizeof(*s->wr));
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->wr);
	s->mask = size - 1;
	s->max = max;
}

/* In RTS, depth of both queues. */
static inline struct fix_qp *fix_qp(struct fix *f, uint32_t qpn, enum ibv_qp_type type, struct fix_cq *scq,
		struct fix_cq *rcq, uint32_t depth)
{
	struct fix_qp *q = calloc(1, sizeof(*q));

	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	q->v.qp.context = &f->ctx.v.context;
	q->v.qp.pd = &f->pd;
	q->v.qp.qp_num = qpn;
	q->v.qp.qp_type = type;
	q->v.qp.state = IBV_QPS_RTS;
	q->v.qp.send_cq = &scq->v.cq;
	q->v.qp.recv_cq = &rcq->v.cq;
	pthread_mutex_init(&q->v.qp.mutex, NULL);
	pthread_cond_init(&q->v.qp.cond, NULL);
	pthread_spin_init(&q->v.sq_lock, PTHREAD_PROCESS_PRIVATE);
	pthread_spin_init(&q->v.rq_lock, PTHREAD_PROCESS_PRIVATE);
	q->v.max_send_sge = q->v.max_recv_sge = MAX_SGE;
	q->v.max_inline = MAX_INLINE;
	fix_ring(&q->v.sq, &q->sq, PHCA_RING_SQ, depth, phca_send_stride(MAX_SGE, MAX_INLINE));
	fix_ring(&q->v.rq, &q->rq, PHCA_RING_RQ, depth, phca_recv_stride(MAX_SGE));
	fix_shadow(&q->v.ssh, depth, depth);
	fix_shadow(&q->v.rsh, depth, depth);
	LIST_INSERT_HEAD(&f->ctx.qp_list, &q->v, entry);
	CU_ASSERT_EQUAL_FATAL(vtable_set(&f->ctx.qps, qpn, &q->v), 0);
	return q;
}

static inline void fix_qp_free(struct fix *f, struct fix_qp *q)
{
	LIST_REMOVE(&q->v, entry);
	vtable_set(&f->ctx.qps, q->v.qp.qp_num, NULL);
	free(q->v.sq.hdr);
	free(q->v.rq.hdr);
	free(q->v.ssh.wr);
	free(q->v.rsh.wr);
	free(q);
}

/* As the HCA: the next request, taken; NULL: there is none. It stays until the next is posted into its slot. */
static inline struct phca_send_wqe *hca_send(struct fix_qp *q)
{
	struct phca_send_wqe *w;

	if (phca_ring_avail(&q->sq) <= 0)
		return NULL;
	w = phca_ring_head(&q->sq);
	phca_ring_take(&q->sq, 1);
	phca_ring_release(&q->sq);
	return w;
}
static inline struct phca_recv_wqe *hca_recv(struct phca_ring *r)
{
	struct phca_recv_wqe *w;

	if (phca_ring_avail(r) <= 0)
		return NULL;
	w = phca_ring_head(r);
	phca_ring_take(r, 1);
	phca_ring_release(r);
	return w;
}
/* As the HCA: the next doorbell. @return QPN, 0: none */
static inline uint32_t hca_doorbell(struct fix *f, struct fix_qp *q)
{
	uint32_t qpn;

	if (phca_ring_avail(&f->db) <= 0)
		return 0;
	qpn = *(uint32_t *)phca_ring_head(&f->db);
	phca_ring_take(&f->db, 1);
	phca_ring_release(&f->db);
	__atomic_store_n(&q->sq.hdr->db_pending, 0, __ATOMIC_SEQ_CST);
	return qpn;
}
/* As the HCA: write a completion. */
static inline struct phca_cqe *hca_cqe(struct fix_cq *c, uint32_t qpn, uint64_t wr_id, uint32_t status, uint32_t opcode)
{
	struct phca_cqe *e;

	CU_ASSERT_FATAL(phca_ring_free(&c->ring, 1) > 0);
	e = phca_ring_next(&c->ring);
	*e = (struct phca_cqe){
		.wc = { .wr_id = wr_id, .status = status, .opcode = opcode, .qp_num = qpn },
	};
	phca_ring_publish(&c->ring);
	return e;
}

#endif
