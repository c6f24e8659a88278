/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * echo: answers every SEND with the same payload: on a connected queue pair to
 * its peer, a datagram to the queue pair and address it came from.
 *
 * A receive buffer goes round: posted, received, sent back, posted again. So the
 * peer cannot have more messages here than there are receives: RC holds it back
 * by RNR NAKs, and answers keep the order of what they answer. What the send
 * queue has no room for waits in a ring of as many places as there are buffers,
 * so nothing is lost and nothing overflows.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "phca_drivers.h"
#include "phca_wire.h"
#include "target.h"

#define BURST 32
#define QKEY_OWN 0x80000000u /* stands for the QP's own Q_Key (10.2.5) */

enum { SET_BUFFER_BYTES, SET_MEMORY_BYTES, SET_MEMORY_IOVA, SET_SEED };

static const struct phca_setting settings[] = {
	{ "buffer_bytes", PHCA_SETTING_UINT, 0, 1u << 30, 0, NULL,
	  "bytes of each receive buffer; 0: 4136, the largest path MTU and the 40 bytes of GRH" },
	{ "memory_bytes", PHCA_SETTING_UINT, 0, 1ull << 34, 0, NULL,
	  "memory for WRITE, READ and atomics of the peer, bytes for each QP; 0: none" },
	{ "memory_iova", PHCA_SETTING_UINT, 0, INT64_MAX, 0, NULL,
	  "address of that memory as peers name it; 0: where it is" },
	{ "seed", PHCA_SETTING_UINT, 0, INT64_MAX, 1, NULL, "seed of what that memory holds" },
	{ .name = NULL },
};

#define ECHO_COUNTERS(X) X(received) X(sent) X(bytes) X(errors) X(flushed) X(unanswerable) X(written) X(strays)

/* A message to be sent back. */
struct echo_slot {
	struct phca_av av;
	uint64_t id;       /* of its receive */
	uint32_t off, len; /* payload in the buffer */
	uint32_t qpn, imm; /* where to, UD */
	bool has_imm;
};

struct echo_qp {
	struct phca_qp *qp;
	struct echo_slot *wait;      /* to be sent */
	uint32_t mask, head, tail;
	bool stopped;
};

struct echo {
	struct app_rx rx;
	struct app_target target;
	struct echo_qp *qps;
#define FIELD(f) uint64_t f;
	ECHO_COUNTERS(FIELD)
#undef FIELD
};

/* Send what waits, as far as the send queue has room. */
static unsigned int drain(struct echo *e, unsigned int qi)
{
	const struct app_rxq *rq = app_rx_of(&e->rx, qi);
	struct echo_qp *q = &e->qps[qi];
	unsigned int n = 0;

	while (q->head != q->tail && !q->stopped) {
		const struct echo_slot *s = &q->wait[q->head & q->mask];
		struct phca_sge sge = {
			(uintptr_t)app_rxq_buf(rq, s->id) + s->off, s->len, rq->lkey,
		};
		struct phca_send_wr wr = {
			.wr_id = APP_ID_SEND | s->id, .sge = &sge, .num_sge = 1,
			.opcode = s->has_imm ? PHCA_WR_SEND_WITH_IMM : PHCA_WR_SEND,
			.flags = PHCA_SEND_SIGNALED, .imm = s->imm, .av = s->av,
			.remote_qpn = s->qpn, .remote_qkey = QKEY_OWN,
		};

		if (phca_post_send(q->qp, &wr, 1) != 1)
			break;
		q->head++;
		n++;
	}
	return n;
}

/* A buffer that needs no answer, or has been sent. */
static void done_with(struct echo *e, unsigned int qi, uint64_t id)
{
	struct app_rxq *rq = app_rx_of(&e->rx, qi);

	app_rxq_put(rq, id);
	app_rxq_fill(rq);
}

static void received(struct echo *e, unsigned int qi, const struct phca_wc *wc)
{
	const uint8_t *buf = app_rxq_buf(app_rx_of(&e->rx, qi), wc->wr_id);
	struct echo_qp *q = &e->qps[qi];
	struct echo_slot *s = &q->wait[q->tail & q->mask];
	bool grh = wc->wc_flags & PHCA_WC_F_GRH;
	uint32_t off = grh ? PHCA_GRH_LEN : 0;

	if (app_target_asked(buf + off, wc->byte_len - off)) {
		app_target_answer(&e->target, qi, buf + off);
		done_with(e, qi, wc->wr_id);
		return;
	}
	PHCA_STAT_ADD(e->received, 1);
	PHCA_STAT_ADD(e->bytes, wc->byte_len - off);
	if (grh && phca_av_from_wc(q->qp, wc, buf, &s->av) != 0) {
		PHCA_STAT_ADD(e->unanswerable, 1); /* came to a multicast address, say */
		done_with(e, qi, wc->wr_id);
		return;
	}
	s->id = wc->wr_id;
	s->off = off;
	s->len = wc->byte_len - off;
	s->qpn = wc->src_qp;
	s->has_imm = wc->wc_flags & PHCA_WC_F_WITH_IMM;
	s->imm = wc->imm;
	q->tail++;
}

/* What waits to be sent back is not posted; an SRQ wants the buffers for others. */
static void forget(struct echo *e, unsigned int qi)
{
	struct app_rxq *rq = app_rx_of(&e->rx, qi);
	struct echo_qp *q = &e->qps[qi];

	for (; q->head != q->tail; q->head++)
		app_rxq_put(rq, q->wait[q->head & q->mask].id);
}

static void failed(struct echo *e, unsigned int qi, const struct phca_wc *wc)
{
	struct app_rxq *rq = app_rx_of(&e->rx, qi);

	if (wc->status == PHCA_WC_WR_FLUSH_ERR)
		PHCA_STAT_ADD(e->flushed, 1);
	else
		PHCA_STAT_ADD(e->errors, 1);
	e->qps[qi].stopped = true;
	rq->stopped |= rq->srq == NULL;
	forget(e, qi);
}

static void consume(struct echo *e, const struct phca_wc *wc)
{
	int i = app_rx_find(&e->rx, wc->qp_num);
	uint64_t id = wc->wr_id & ~APP_ID_SEND;

	if (i < 0) {
		PHCA_STAT_ADD(e->strays, 1); /* a completion that is nobody's */
		return;
	}
	if (unlikely(wc->status != PHCA_WC_SUCCESS)) {
		failed(e, (unsigned int)i, wc);
		if (wc->wr_id != APP_ID_SEND) /* an answer about memory has no buffer */
			done_with(e, (unsigned int)i, id);
	} else if (wc->wr_id & APP_ID_SEND) {
		PHCA_STAT_ADD(e->sent, 1);
		done_with(e, (unsigned int)i, id);
	} else if (wc->opcode == PHCA_WC_RECV_RDMA_WITH_IMM) {
		PHCA_STAT_ADD(e->written, 1);
		done_with(e, (unsigned int)i, id);
	} else {
		received(e, (unsigned int)i, wc);
	}
}

static unsigned int echo_turn(struct phca_app *a, uint64_t now_ns)
{
	struct echo *e = phca_app_priv(a);
	unsigned int done = 0;
	struct phca_wc wc[BURST];

	(void)now_ns;
	for (unsigned int c = 0; c < e->rx.nb_cqs; c++) {
		int n = phca_poll_cq(e->rx.cqs[c], BURST, wc);

		for (int i = 0; i < n; i++)
			consume(e, &wc[i]);
		if (n > 0)
			done += (unsigned int)n;
	}
	done += app_target_turn(&e->target);
	for (unsigned int i = 0; i < e->rx.nb_qps; i++)
		done += drain(e, i);
	return done;
}

static void echo_qp_hold(struct phca_app *a, uint32_t qpn)
{
	struct echo *e = phca_app_priv(a);
	int i = app_rx_find(&e->rx, qpn);

	if (i < 0)
		return;
	e->qps[i].stopped = true;
	app_rxq_hold(app_rx_of(&e->rx, (unsigned int)i));
}

static int echo_qp_reset(struct phca_app *a, uint32_t qpn)
{
	struct echo *e = phca_app_priv(a);
	int i = app_rx_find(&e->rx, qpn);

	if (i < 0)
		return -ENOENT;
	while (echo_turn(a, 0) > 0)
		;
	forget(e, (unsigned int)i);
	e->qps[i].stopped = false;
	app_rxq_restart(app_rx_of(&e->rx, (unsigned int)i));
	return 0;
}

static void echo_fini(struct phca_app *a)
{
	struct echo *e = phca_app_priv(a);

	app_target_fini(&e->target);
	for (unsigned int i = 0; e->qps != NULL && i < e->rx.nb_qps; i++)
		free(e->qps[i].wait);
	app_rx_fini(&e->rx);
	free(e->qps);
}

static int echo_memory(struct echo *e, const struct phca_app_conf *c, const struct phca_setting_value *v)
{
	uint32_t buf_len = v[SET_BUFFER_BYTES].u ? (uint32_t)v[SET_BUFFER_BYTES].u : PHCA_MTU_MAX + PHCA_GRH_LEN;
	int ret = app_rx_init(&e->rx, c, buf_len, false);

	e->qps = calloc(c->nb_qps, sizeof(*e->qps));
	if (ret != 0 || e->qps == NULL)
		return ret != 0 ? ret : -ENOMEM;
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		struct echo_qp *q = &e->qps[i];
		uint32_t n = rte_align32pow2(RTE_MAX(app_rx_of(&e->rx, i)->depth, 1u));

		q->qp = c->qps[i];
		q->mask = n - 1;
		q->wait = calloc(n, sizeof(*q->wait));
		if (q->wait == NULL)
			return -ENOMEM;
	}
	return app_target_init(&e->target, c, &e->rx, v[SET_MEMORY_BYTES].u, v[SET_MEMORY_IOVA].u, v[SET_SEED].u);
}

static int echo_init(struct phca_app *a, const struct phca_setting_value *v, char *err, size_t err_len)
{
	const struct phca_app_conf *c = phca_app_conf(a);
	struct echo *e = phca_app_priv(a);
	int ret;

	if (c->nb_qps == 0) {
		snprintf(err, err_len, "app %s: no QPs; name it in \"app\" of at least one", c->name);
		return -EINVAL;
	}
	ret = echo_memory(e, c, v);
	if (ret != 0) {
		snprintf(err, err_len, "app %s: buffers of %u QPs: %s", c->name, c->nb_qps, strerror(-ret));
		echo_fini(a);
		return ret;
	}
	for (unsigned int i = 0; i < e->rx.nb_q; i++)
		app_rxq_fill(&e->rx.q[i]);
	return 0;
}

static int echo_show(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct echo *e = phca_app_priv(a);
	int ret;

#define EMIT(f) \
	ret = emit(arg, #f, PHCA_STAT_GET(e->f)); \
	if (ret != 0) \
		return ret;
	ECHO_COUNTERS(EMIT)
#undef EMIT
	return emit(arg, "memory_answers", PHCA_STAT_GET(e->target.answered));
}

const struct phca_app_ops phca_app_echo = {
	.name = "echo",
	.help = "answers every SEND with the same payload",
	.settings = settings,
	.priv_size = sizeof(struct echo),
	.init = echo_init,
	.fini = echo_fini,
	.turn = echo_turn,
	.show = echo_show,
	.qp_hold = echo_qp_hold,
	.qp_reset = echo_qp_reset,
};
