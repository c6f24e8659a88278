/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * echo: answers every UD message with the same payload, to the queue pair and
 * address it came from.
 *
 * A receive buffer goes round: posted, received, sent back, posted again. What
 * the send queue has no room for waits in a ring of as many places as there are
 * buffers, so nothing is lost and nothing overflows.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "phca_hca.h"
#include "phca_drivers.h"

#define BURST 32
#define ID_SEND (1ull << 63) /* wr_id of a send; the rest is QP << 32 | slot */
#define QKEY_OWN 0x80000000u /* stands for the QP's own Q_Key (10.2.5) */

static const struct phca_setting settings[] = { { .name = NULL } };

#define ECHO_COUNTERS(X) X(received) X(sent) X(bytes) X(errors) X(flushed) X(unanswerable)

struct echo_slot {
	struct phca_av av;
	uint32_t len;      /* payload */
	uint32_t qpn, imm; /* where to */
	bool has_imm;
};

struct echo_qp {
	struct phca_qp *qp;
	uint8_t *buf;
	uint32_t depth;
	struct echo_slot *slots;
	uint32_t *wait;              /* slots to be sent */
	uint32_t wait_head, wait_tail;
	bool stopped;
};

struct echo {
	struct echo_qp *qps;
	unsigned int nb_qps, nb_cqs;
	struct phca_cq **cqs;
	uint32_t buf_len, lkey;
	uint8_t *mem;
#define FIELD(f) uint64_t f;
	ECHO_COUNTERS(FIELD)
#undef FIELD
};

static uint8_t *buf_of(const struct echo *e, const struct echo_qp *q, uint32_t slot)
{
	return q->buf + (size_t)slot * e->buf_len;
}

static void post(struct echo *e, unsigned int qi, uint32_t slot)
{
	struct echo_qp *q = &e->qps[qi];
	struct phca_sge sge = { (uintptr_t)buf_of(e, q, slot), e->buf_len, e->lkey };
	struct phca_recv_wr wr = { (uint64_t)qi << 32 | slot, &sge, 1 };

	if (!q->stopped && phca_post_recv(q->qp, &wr, 1) != 1)
		PHCA_STAT_ADD(e->errors, 1); /* cannot be: as many slots as receives */
}

/* Send what waits, as far as the send queue has room. */
static unsigned int drain(struct echo *e, unsigned int qi)
{
	struct echo_qp *q = &e->qps[qi];
	unsigned int n = 0;

	while (q->wait_head != q->wait_tail && !q->stopped) {
		uint32_t slot = q->wait[q->wait_head & (q->depth - 1)];
		const struct echo_slot *s = &q->slots[slot];
		struct phca_sge sge = {
			(uintptr_t)buf_of(e, q, slot) + PHCA_GRH_LEN, s->len, e->lkey,
		};
		struct phca_send_wr wr = {
			.wr_id = ID_SEND | (uint64_t)qi << 32 | slot, .sge = &sge, .num_sge = 1,
			.opcode = s->has_imm ? PHCA_WR_SEND_WITH_IMM : PHCA_WR_SEND,
			.flags = PHCA_SEND_SIGNALED, .imm = s->imm, .av = s->av,
			.remote_qpn = s->qpn, .remote_qkey = QKEY_OWN,
		};

		if (phca_post_send(q->qp, &wr, 1) != 1)
			break;
		q->wait_head++;
		n++;
	}
	return n;
}

static void received(struct echo *e, unsigned int qi, uint32_t slot, const struct phca_wc *wc)
{
	struct echo_qp *q = &e->qps[qi];
	struct echo_slot *s = &q->slots[slot];

	PHCA_STAT_ADD(e->received, 1);
	PHCA_STAT_ADD(e->bytes, wc->byte_len - PHCA_GRH_LEN);
	if (phca_av_from_wc(q->qp, wc, buf_of(e, q, slot), &s->av) != 0) {
		PHCA_STAT_ADD(e->unanswerable, 1); /* came to a multicast address, say */
		post(e, qi, slot);
		return;
	}
	s->len = wc->byte_len - PHCA_GRH_LEN;
	s->qpn = wc->src_qp;
	s->has_imm = wc->wc_flags & PHCA_WC_F_WITH_IMM;
	s->imm = wc->imm;
	q->wait[q->wait_tail++ & (q->depth - 1)] = slot;
}

static void consume(struct echo *e, const struct phca_wc *wc)
{
	unsigned int qi = (unsigned int)(wc->wr_id >> 32 & 0x7fffffff);
	uint32_t slot = (uint32_t)wc->wr_id;

	if (unlikely(wc->status != PHCA_WC_SUCCESS)) {
		if (wc->status == PHCA_WC_WR_FLUSH_ERR)
			PHCA_STAT_ADD(e->flushed, 1);
		else
			PHCA_STAT_ADD(e->errors, 1);
		e->qps[qi].stopped = true;
	} else if (wc->wr_id & ID_SEND) {
		PHCA_STAT_ADD(e->sent, 1);
		post(e, qi, slot);
	} else {
		received(e, qi, slot, wc);
	}
}

static unsigned int echo_turn(struct phca_app *a, uint64_t now_ns)
{
	struct echo *e = phca_app_priv(a);
	unsigned int done = 0;
	struct phca_wc wc[BURST];

	(void)now_ns;
	for (unsigned int c = 0; c < e->nb_cqs; c++) {
		int n = phca_poll_cq(e->cqs[c], BURST, wc);

		for (int i = 0; i < n; i++)
			consume(e, &wc[i]);
		if (n > 0)
			done += (unsigned int)n;
	}
	for (unsigned int i = 0; i < e->nb_qps; i++)
		done += drain(e, i);
	return done;
}

static void echo_fini(struct phca_app *a)
{
	struct echo *e = phca_app_priv(a);

	if (e->lkey != 0)
		phca_mr_dereg(phca_app_conf(a)->mem, e->lkey);
	for (unsigned int i = 0; e->qps != NULL && i < e->nb_qps; i++) {
		free(e->qps[i].slots);
		free(e->qps[i].wait);
	}
	free(e->qps);
	free(e->cqs);
	free(e->mem);
}

static void cq_add(struct echo *e, struct phca_cq *cq)
{
	for (unsigned int i = 0; i < e->nb_cqs; i++)
		if (e->cqs[i] == cq)
			return;
	e->cqs[e->nb_cqs++] = cq;
}

static int echo_memory(struct echo *e, const struct phca_app_conf *c)
{
	uint64_t total = 0;
	uint8_t *p;

	e->qps = calloc(c->nb_qps, sizeof(*e->qps));
	e->cqs = calloc(c->nb_qps, sizeof(*e->cqs));
	for (unsigned int i = 0; i < c->nb_qps; i++)
		total += (uint64_t)e->buf_len * rte_align32pow2(c->depths[i]);
	e->mem = aligned_alloc(4096, RTE_ALIGN(total, (uint64_t)4096));
	if (e->qps == NULL || e->cqs == NULL || e->mem == NULL)
		return -ENOMEM;
	memset(e->mem, 0, total);
	p = e->mem;
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		struct echo_qp *q = &e->qps[i];

		q->qp = c->qps[i];
		q->buf = p;
		q->depth = rte_align32pow2(c->depths[i]);
		q->slots = calloc(q->depth, sizeof(*q->slots));
		q->wait = calloc(q->depth, sizeof(*q->wait));
		if (q->slots == NULL || q->wait == NULL)
			return -ENOMEM;
		p += (uint64_t)e->buf_len * q->depth;
		cq_add(e, c->cqs[i]);
	}
	return phca_mr_reg(c->mem, c->pd, e->mem, total, (uintptr_t)e->mem, PHCA_ACCESS_LOCAL_WRITE, &e->lkey);
}

static int echo_init(struct phca_app *a, const struct phca_setting_value *v, char *err, size_t err_len)
{
	const struct phca_app_conf *c = phca_app_conf(a);
	struct echo *e = phca_app_priv(a);
	int ret;

	(void)v;
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		struct phca_qp_info info;

		phca_qp_info_get(c->qps[i], &info);
		if (info.type != PHCA_QPT_UD) {
			snprintf(err, err_len, "app %s: qp 0x%x is %s; echo answers UD only", c->name,
				info.qpn, phca_qp_type_str(info.type));
			return -EINVAL;
		}
	}
	if (c->nb_qps == 0) {
		snprintf(err, err_len, "app %s: no QPs; name it in \"app\" of at least one", c->name);
		return -EINVAL;
	}
	e->nb_qps = c->nb_qps;
	e->buf_len = PHCA_MTU_MAX + PHCA_GRH_LEN;
	ret = echo_memory(e, c);
	if (ret != 0) {
		snprintf(err, err_len, "app %s: buffers of %u QPs: %s", c->name, c->nb_qps, strerror(-ret));
		echo_fini(a);
		return ret;
	}
	for (unsigned int i = 0; i < e->nb_qps; i++)
		for (uint32_t slot = 0; slot < c->depths[i]; slot++)
			post(e, i, slot);
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
	return 0;
}

const struct phca_app_ops phca_app_echo = {
	.name = "echo",
	.help = "answers UD messages with their payload",
	.settings = settings,
	.priv_size = sizeof(struct echo),
	.init = echo_init,
	.fini = echo_fini,
	.turn = echo_turn,
	.show = echo_show,
};
