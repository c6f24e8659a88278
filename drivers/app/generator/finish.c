/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes back: send completions, which end messages in their order, and
 * echoes. A message is done once; every byte that came back for it was checked.
 */
#include <string.h>

#include <rte_common.h>

#include "phca_wire.h"

#include "generator_impl.h"

static void tail_move(const struct generator *g, struct gen_qp *q)
{
	while (q->tail < q->sdone && gen_slot(g, q, q->tail)->done)
		q->tail++;
}

static void message_done(struct generator *g, struct gen_slot *s)
{
	s->done = true;
	PHCA_STAT_ADD(g->under_way, (uint64_t)-1);
	PHCA_STAT_ADD(g->completed, 1);
	PHCA_STAT_ADD(g->bytes, s->len);
}

static void verdict(struct generator *g, bool good)
{
	PHCA_STAT_ADD(g->verified, 1);
	if (!good)
		PHCA_STAT_ADD(g->mismatches, 1);
}

/* The data that the send itself brought: of READs and atomics. */
static void check_sent(struct generator *g, struct gen_qp *q, uint64_t place, const struct gen_slot *s)
{
	const uint8_t *rx = gen_rx(g, q, place);

	if (s->op == GEN_READ && q->read_known)
		verdict(g, app_pattern_is(rx, s->len, q->read_key, s->expect));
	else if (s->op > GEN_READ)
		verdict(g, memcmp(rx, &s->expect, sizeof(s->expect)) == 0);
	else if (s->readback)
		verdict(g, memcmp(rx, gen_tx(g, q, place), s->len) == 0);
}

void gen_stop(struct generator *g, struct gen_qp *q, enum gen_state state)
{
	uint64_t open = 0;

	for (uint64_t i = q->tail; i < q->head; i++)
		open += !gen_slot(g, q, i)->done;
	PHCA_STAT_ADD(g->under_way, -open);
	PHCA_STAT_ADD(g->uncovered, -(uint64_t)q->unsignaled);
	q->unsignaled = 0;
	q->tail = q->sdone = q->head;
	q->etail = q->ehead;
	q->nb_wr = q->wr_at = 0;
	if (q->state < GEN_REFUSED && state >= GEN_REFUSED)
		PHCA_STAT_ADD(g->stopped, 1);
	q->state = state;
}

static void failed(struct generator *g, struct gen_qp *q, uint32_t status)
{
	PHCA_STAT_ADD(g->by_status[RTE_MIN(status, (uint32_t)PHCA_WC_STATUS_COUNT - 1)], 1);
	if (status == PHCA_WC_WR_FLUSH_ERR)
		PHCA_STAT_ADD(g->flushed, 1);
	else
		PHCA_STAT_ADD(g->errors, 1);
	app_rx_of(&g->rx, (unsigned int)(q - g->qps))->stopped |= q->own_rq;
	gen_stop(g, q, GEN_STOPPED);
}

void gen_sent(struct generator *g, struct gen_qp *q, const struct phca_wc *wc)
{
	uint64_t place = (wc->wr_id & ~(APP_ID_SEND | ID_ASK)) >> 1;

	if (unlikely(wc->status != PHCA_WC_SUCCESS)) {
		failed(g, q, wc->status);
		return;
	}
	if (unlikely(place < q->sdone || place >= q->head)) {
		PHCA_STAT_ADD(g->out_of_order, 1);
		PHCA_STAT_ADD(q->out_of_order, 1);
		return;
	}
	for (; q->sdone <= place; q->sdone++) {
		struct gen_slot *s = gen_slot(g, q, q->sdone);

		if (g->conf.verify)
			check_sent(g, q, q->sdone, s);
		if (!s->echo && q->sdone == place)
			gen_latency(g, g->now_ns - s->posted_ns);
		if (!s->echo)
			message_done(g, s);
	}
	tail_move(g, q);
}

/* The oldest echo that is awaited is given up. */
static void echo_lost(struct generator *g, struct gen_qp *q)
{
	struct gen_slot *s = &q->slot[q->echoes[q->etail++ & g->mask]];

	s->done = true;
	PHCA_STAT_ADD(g->under_way, (uint64_t)-1);
	PHCA_STAT_ADD(g->lost, 1);
}

void gen_overdue(struct generator *g, struct gen_qp *q)
{
	while (q->etail < q->ehead && q->type != PHCA_QPT_RC && g->now_ns -
			q->slot[q->echoes[q->etail & g->mask]].posted_ns > g->conf.echo_timeout_ns)
		echo_lost(g, q);
	tail_move(g, q);
}

static bool echo_is(const struct generator *g, const struct gen_qp *q, const struct gen_slot *s,
		const struct phca_wc *wc, const uint8_t *payload, uint32_t len)
{
	bool imm = s->op == GEN_SEND_IMM;

	if (len != s->len || imm != !!(wc->wc_flags & PHCA_WC_F_WITH_IMM))
		return false;
	if (imm && wc->imm != rte_cpu_to_be_32((uint32_t)s->seq))
		return false;
	return app_message_is(payload, len, g->conf.seed, q->qpn, APP_KIND_SEND, s->seq);
}

static void echoed(struct generator *g, struct gen_qp *q, const struct phca_wc *wc, const uint8_t *payload,
		uint32_t len)
{
	struct gen_slot *s = &q->slot[q->echoes[q->etail & g->mask]];
	uint64_t seq = g->conf.verify ? app_message_seq(payload, len, s->seq) : s->seq;

	if (seq < s->seq || seq >= q->seq[APP_KIND_SEND]) {
		/* one that was given up, or came twice, or nobody sent it */
		PHCA_STAT_ADD(g->out_of_order, 1);
		PHCA_STAT_ADD(q->out_of_order, 1);
		return;
	}
	while (q->etail < q->ehead && s->seq < seq) {
		echo_lost(g, q);
		s = &q->slot[q->echoes[q->etail & g->mask]];
	}
	if (q->etail == q->ehead)
		return;
	q->etail++;
	if (g->conf.verify)
		verdict(g, echo_is(g, q, s, wc, payload, len));
	PHCA_STAT_ADD(g->echoes, 1);
	gen_latency(g, g->now_ns - s->posted_ns);
	message_done(g, s);
	tail_move(g, q);
}

void gen_received(struct generator *g, struct gen_qp *q, const struct phca_wc *wc, const uint8_t *buf)
{
	uint32_t off = wc->wc_flags & PHCA_WC_F_GRH ? PHCA_GRH_LEN : 0, len = wc->byte_len - off;

	if (wc->status != PHCA_WC_SUCCESS)
		failed(g, q, wc->status);
	else if (q->state == GEN_ASKED && len == APP_ANSWER_LEN && memcmp(buf + off, APP_ANSWER, 8) == 0)
		gen_answer(g, q, buf + off);
	else if (q->etail < q->ehead)
		echoed(g, q, wc, buf + off, len);
	else
		PHCA_STAT_ADD(g->strays, 1);
}
