/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What resident applications share on the receive side: the QPs by number, the
 * CQs each once, and the receive queues (of a QP, or shared ones) with their
 * buffers. All in turns of one lcore, except init and fini.
 */
#ifndef RXQ_H
#define RXQ_H

#include "phca_hca.h"

#define APP_ID_SEND (1ull << 63) /* bit of the wr_id of what an application sends */

/* A receive queue. The wr_id of a receive is its number in the queue and its buffer. */
struct app_rxq {
	struct phca_qp *qp;     /* whose it is; NULL: srq */
	struct phca_srq *srq;
	uint8_t *mem;
	uint16_t *free;         /* buffers that are not posted */
	uint32_t depth, nb_free;
	uint32_t buf_len, lkey;
	uint32_t stride;        /* 0: all receives use one buffer */
	bool stopped;
	uint64_t next;          /* number of the next receive, from 1 */
};

struct app_rx {
	struct app_rxq *q;
	unsigned int nb_q, nb_qps, nb_cqs;
	uint32_t *of;           /* QP i uses q[of[i]] */
	struct phca_cq **cqs;   /* each once */
	uint32_t *by_qpn;       /* index of a QP, by its number less base */
	uint32_t base, span;
	uint8_t *mem;
	struct phca_mem *tables;
	uint32_t lkey;
};

/**
 * Find queues, make and register buffers; nothing is posted.
 * @param shared  all receives of a queue use one buffer
 * @return 0; negative errno, app_rx_fini frees what there is
 */
int app_rx_init(struct app_rx *r, const struct phca_app_conf *c, uint32_t buf_len, bool shared);
void app_rx_fini(struct app_rx *r);
/** @return index of a QP by its number, -1: none of the application's. */
static inline int app_rx_find(const struct app_rx *r, uint32_t qpn)
{
	uint32_t i = qpn - r->base;

	return i < r->span && r->by_qpn[i] != UINT32_MAX ? (int)r->by_qpn[i] : -1;
}
/** @return the queue of QP @p i. */
static inline struct app_rxq *app_rx_of(const struct app_rx *r, unsigned int i)
{
	return &r->q[r->of[i]];
}
/** Post all free buffers that find room. */
void app_rxq_fill(struct app_rxq *q);
/** Post nothing until app_rxq_restart: the QP is about to be reset. A shared queue lives on. */
static inline void app_rxq_hold(struct app_rxq *q)
{
	q->stopped |= q->srq == NULL;
}
/** Forget what was posted to the queue of a QP that was reset, and fill it again. */
void app_rxq_restart(struct app_rxq *q);
static inline uint8_t *app_rxq_buf(const struct app_rxq *q, uint64_t wr_id)
{
	return q->mem + (wr_id & 0x7fff) * q->stride;
}
/** The buffer of a completion may be posted again. */
static inline void app_rxq_put(struct app_rxq *q, uint64_t wr_id)
{
	q->free[q->nb_free++] = wr_id & 0x7fff;
}
/** @return the number of a receive in its queue. */
static inline uint64_t app_rxq_number(uint64_t wr_id)
{
	return wr_id >> 15;
}

#endif
