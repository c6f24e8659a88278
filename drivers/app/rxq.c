/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive queues of resident applications. A buffer is posted, or in the hands
 * of the application, or in the list of free ones, which therefore never
 * overflows.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "rxq.h"

#define REPOST 16 /* receives posted together */

static int post(struct app_rxq *q, const struct phca_recv_wr *wr, unsigned int n)
{
	return q->srq != NULL ? phca_post_srq_recv(q->srq, wr, n) : phca_post_recv(q->qp, wr, n);
}

void app_rxq_fill(struct app_rxq *q)
{
	struct phca_sge sge[REPOST];
	struct phca_recv_wr wr[REPOST];

	while (q->nb_free > 0 && !q->stopped) {
		unsigned int n = RTE_MIN(q->nb_free, (uint32_t)REPOST);
		int got;

		for (unsigned int i = 0; i < n; i++) {
			uint64_t buf = q->free[q->nb_free - 1 - i];

			sge[i] = (struct phca_sge){ (uintptr_t)q->mem + buf * q->stride, q->buf_len, q->lkey };
			wr[i] = (struct phca_recv_wr){ (q->next + i) << 15 | buf, &sge[i], 1 };
		}
		got = post(q, wr, n);
		if (got <= 0)
			break;
		q->next += (unsigned int)got;
		q->nb_free -= (unsigned int)got;
	}
}

void app_rxq_restart(struct app_rxq *q)
{
	if (q->srq != NULL)
		return; /* it lives on */
	q->stopped = false;
	for (q->nb_free = 0; q->nb_free < q->depth; q->nb_free++)
		q->free[q->nb_free] = (uint16_t)(q->depth - 1 - q->nb_free);
	app_rxq_fill(q);
}

static int index_qps(struct app_rx *r, const struct phca_app_conf *c)
{
	uint32_t lo = UINT32_MAX, hi = 0;

	for (unsigned int i = 0; i < c->nb_qps; i++) {
		lo = RTE_MIN(lo, phca_qp_num(c->qps[i]));
		hi = RTE_MAX(hi, phca_qp_num(c->qps[i]));
	}
	r->base = lo;
	r->span = hi - lo + 1;
	r->by_qpn = malloc(r->span * sizeof(*r->by_qpn));
	r->cqs = calloc(c->nb_qps, sizeof(*r->cqs));
	if (r->by_qpn == NULL || r->cqs == NULL)
		return -ENOMEM;
	memset(r->by_qpn, 0xff, r->span * sizeof(*r->by_qpn));
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		unsigned int j = 0;

		r->by_qpn[phca_qp_num(c->qps[i]) - lo] = i;
		while (j < r->nb_cqs && r->cqs[j] != c->cqs[i])
			j++;
		if (j == r->nb_cqs)
			r->cqs[r->nb_cqs++] = c->cqs[i];
	}
	return 0;
}

/* One queue for each QP, or for those that share it. */
static int find_queues(struct app_rx *r, const struct phca_app_conf *c)
{
	r->q = calloc(c->nb_qps, sizeof(*r->q));
	r->of = calloc(c->nb_qps, sizeof(*r->of));
	if (r->q == NULL || r->of == NULL)
		return -ENOMEM;
	r->nb_qps = c->nb_qps;
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		struct phca_srq *srq = c->srqs != NULL ? c->srqs[i] : NULL;
		unsigned int j = 0;

		while (j < r->nb_q && (srq == NULL || r->q[j].srq != srq))
			j++;
		r->of[i] = j;
		if (j < r->nb_q)
			continue;
		r->q[r->nb_q++] = (struct app_rxq){
			.qp = srq == NULL ? c->qps[i] : NULL, .srq = srq, .depth = c->depths[i],
			.next = 1,
		};
	}
	return 0;
}

static int make_buffers(struct app_rx *r, const struct phca_app_conf *c, uint32_t buf_len, bool shared)
{
	uint64_t total = 0, at = 0;

	for (unsigned int i = 0; i < r->nb_q; i++)
		total += (uint64_t)buf_len * (shared ? 1 : RTE_MAX(r->q[i].depth, 1u));
	r->mem = aligned_alloc(4096, RTE_ALIGN(total, (uint64_t)4096));
	if (r->mem == NULL)
		return -ENOMEM;
	memset(r->mem, 0, total);
	for (unsigned int i = 0; i < r->nb_q; i++) {
		struct app_rxq *q = &r->q[i];

		q->mem = r->mem + at;
		q->buf_len = buf_len;
		q->stride = shared ? 0 : buf_len;
		at += (uint64_t)buf_len * (shared ? 1 : RTE_MAX(q->depth, 1u));
		q->free = calloc(RTE_MAX(q->depth, 1u), sizeof(*q->free));
		if (q->free == NULL)
			return -ENOMEM;
		for (; q->nb_free < q->depth; q->nb_free++)
			q->free[q->nb_free] = (uint16_t)(q->depth - 1 - q->nb_free);
	}
	return phca_mr_reg(c->mem, c->pd, r->mem, total, (uintptr_t)r->mem, PHCA_ACCESS_LOCAL_WRITE, &r->lkey);
}

int app_rx_init(struct app_rx *r, const struct phca_app_conf *c, uint32_t buf_len, bool shared)
{
	int ret = index_qps(r, c);

	r->tables = c->mem;
	if (ret == 0)
		ret = find_queues(r, c);
	if (ret == 0)
		ret = make_buffers(r, c, buf_len, shared);
	for (unsigned int i = 0; i < r->nb_q && ret == 0; i++)
		r->q[i].lkey = r->lkey;
	return ret;
}

void app_rx_fini(struct app_rx *r)
{
	if (r->lkey != 0)
		phca_mr_dereg(r->tables, r->lkey);
	for (unsigned int i = 0; i < r->nb_q; i++)
		free(r->q[i].free);
	free(r->q);
	free(r->of);
	free(r->by_qpn);
	free(r->cqs);
	free(r->mem);
}
