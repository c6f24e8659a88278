/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Staging and posting: what the next message is, its bytes, its work requests.
 * What is staged is posted in its order before more is staged, so a send queue
 * that is full only delays.
 */
#include <rte_common.h>

#include "phca_wire.h"

#include "generator_impl.h"

static const struct {
	uint8_t opcode, kind;
} ops[] = {
#define GEN_ROW(e, name, opcode, kind) { opcode, kind },
	GEN_OPS_LIST(GEN_ROW)
#undef GEN_ROW
};

static enum gen_op pick_op(const struct gen_conf *c, struct gen_qp *q)
{
	unsigned int op = 0;
	uint32_t at;

	if (c->weight[GEN_SEND] == c->op_total)
		return GEN_SEND;
	at = (uint32_t)(gen_random(q) % c->op_total);
	while (at >= c->weight[op])
		at -= c->weight[op++];
	return op;
}

static uint32_t pick_size(const struct gen_conf *c, struct gen_qp *q)
{
	const struct gen_size *z = c->size;
	uint64_t r;
	uint32_t at;

	if (c->nb_sizes == 1 && z->lo == z->hi)
		return z->lo;
	r = gen_random(q);
	at = (uint32_t)(r >> 32) % c->size_total;
	while (at >= z->weight)
		at -= (z++)->weight;
	return z->lo + (uint32_t)((r & UINT32_MAX) % ((uint64_t)z->hi - z->lo + 1));
}

/* The next work request, with one element of the place's buffer. */
static struct phca_send_wr *stage(struct generator *g, struct gen_qp *q, uint8_t *buf, uint32_t len)
{
	struct phca_send_wr *wr = &q->wr[q->nb_wr];

	q->sge[q->nb_wr] = (struct phca_sge){ (uintptr_t)buf, len, g->lkey };
	*wr = (struct phca_send_wr){ .sge = &q->sge[q->nb_wr++], .num_sge = 1, .rkey = q->rkey };
	return wr;
}

static void stage_send(struct generator *g, struct gen_qp *q, struct gen_slot *s, struct phca_send_wr *wr)
{
	const struct gen_conf *c = &g->conf;

	if (s->op == GEN_SEND_IMM)
		wr->imm = rte_cpu_to_be_32((uint32_t)s->seq);
	if (q->type == PHCA_QPT_UD) {
		wr->av = q->av;
		wr->remote_qpn = phca_gid_is_multicast(c->peer) ? PHCA_QPN_MULTICAST :
			c->peer_qpn + (uint32_t)(q - g->qps);
		wr->remote_qkey = c->peer_qkey;
	}
	s->echo = c->echo;
	if (s->echo)
		q->echoes[q->ehead++ & g->mask] = (uint32_t)(q->head & g->mask);
}

static void stage_write(struct gen_qp *q, const struct gen_slot *s, uint64_t place, struct phca_send_wr *wr)
{
	uint64_t at;

	if (s->op == GEN_WRITE) {
		wr->remote_addr = q->addr + q->write_at + place % q->write_slots * q->slot_len;
		return;
	}
	at = q->imm_at + s->seq % q->imm_slots * q->slot_len;
	wr->remote_addr = q->addr + at;
	wr->imm = rte_cpu_to_be_32((uint32_t)((at - q->write_at) / APP_MEM_UNIT));
}

static void stage_read(struct gen_qp *q, struct gen_slot *s, struct phca_send_wr *wr)
{
	uint64_t room = q->read_len - s->len;

	s->expect = room < 8 ? 0 : gen_random(q) % (room / 8) * 8;
	wr->remote_addr = q->addr + q->read_at + s->expect;
}

/* Word 0 is added to, word 1 is swapped; every fourth comparison fails on purpose. */
static void stage_atomic(struct gen_qp *q, struct gen_slot *s, struct phca_send_wr *wr)
{
	bool miss = q->count % 4 == 3;

	wr->remote_addr = q->addr + (s->op == GEN_CAS ? 8 : 0);
	if (s->op == GEN_FETCH_ADD) {
		wr->compare_add = 1 + q->count % 1000;
		s->expect = q->sum;
		q->sum += wr->compare_add;
		return;
	}
	s->expect = q->cas;
	wr->compare_add = miss ? ~q->cas : q->cas;
	wr->swap = app_mix(q->count);
	if (!miss)
		q->cas = wr->swap;
}

/* The READ behind a WRITE: RC carries it out when the WRITE is done. */
static void stage_readback(struct generator *g, struct gen_qp *q, const struct phca_send_wr *write)
{
	const struct gen_slot *s = gen_slot(g, q, q->head);
	struct phca_send_wr *wr = stage(g, q, gen_rx(g, q, q->head), s->len);

	wr->wr_id = write->wr_id | ID_READBACK;
	wr->opcode = PHCA_WR_RDMA_READ;
	wr->flags = PHCA_SEND_SIGNALED;
	wr->remote_addr = write->remote_addr;
	PHCA_STAT_ADD(g->readbacks, 1);
}

/* READs, atomics and the last that is possible now are signaled, others every so often. */
static bool is_signaled(struct generator *g, struct gen_qp *q, const struct gen_slot *s)
{
	bool last = q->head + 1 - q->tail >= g->conf.depth || q->count + 1 == g->conf.messages;

	if (q->unsignaled + 1 >= g->conf.signal_every || last || s->op >= GEN_READ || s->readback) {
		PHCA_STAT_ADD(g->uncovered, -(uint64_t)q->unsignaled);
		q->unsignaled = 0;
		return true;
	}
	PHCA_STAT_ADD(g->uncovered, 1);
	q->unsignaled++;
	return false;
}

/* One message: its place, its bytes, its work requests. */
static void stage_message(struct generator *g, struct gen_qp *q)
{
	const struct gen_conf *c = &g->conf;
	struct gen_slot *s = gen_slot(g, q, q->head);
	struct phca_send_wr *wr;
	bool signaled;
	uint8_t *buf;

	*s = (struct gen_slot){ .op = (uint8_t)pick_op(c, q), .posted_ns = g->now_ns };
	s->len = s->op >= GEN_CAS ? 8 : pick_size(c, q);
	s->seq = q->seq[ops[s->op].kind]++;
	buf = s->op >= GEN_READ ? gen_rx(g, q, q->head) : gen_tx(g, q, q->head);
	if (s->op < GEN_READ && c->verify)
		app_message_fill(buf, s->len, c->seed, q->qpn, ops[s->op].kind, s->seq);
	wr = stage(g, q, buf, s->len);
	wr->wr_id = APP_ID_SEND | q->head << 1;
	wr->opcode = ops[s->op].opcode;
	if (s->op <= GEN_SEND_IMM)
		stage_send(g, q, s, wr);
	else if (s->op <= GEN_WRITE_IMM)
		stage_write(q, s, q->head, wr);
	else if (s->op == GEN_READ)
		stage_read(q, s, wr);
	else
		stage_atomic(q, s, wr);
	if (s->len <= c->inline_max && s->op < GEN_READ) {
		wr->flags |= PHCA_SEND_INLINE;
		wr->inline_data = buf;
		wr->inline_len = s->len;
		wr->num_sge = 0;
	}
	s->readback = s->op == GEN_WRITE && q->type == PHCA_QPT_RC && c->readback > 0 &&
		q->writes++ % c->readback == 0;
	signaled = is_signaled(g, q, s);
	if (s->readback)
		stage_readback(g, q, wr);
	else if (signaled)
		wr->flags |= PHCA_SEND_SIGNALED;
	q->head++;
	q->count++;
	PHCA_STAT_ADD(g->posted, 1);
	PHCA_STAT_ADD(g->under_way, 1);
}

static unsigned int flush(struct gen_qp *q)
{
	int n = q->nb_wr > q->wr_at ? phca_post_send(q->qp, &q->wr[q->wr_at], q->nb_wr - q->wr_at) : 0;

	if (n > 0)
		q->wr_at += (unsigned int)n;
	if (q->wr_at == q->nb_wr)
		q->wr_at = q->nb_wr = 0;
	return n > 0 ? (unsigned int)n : 0;
}

/* Messages that the rate allows now. What could not be sent in time is not made up for beyond a burst. */
static uint64_t allowed(struct generator *g)
{
	uint64_t rate = g->conf.rate, ns = g->now_ns - g->due_from_ns, due;

	if (rate == 0)
		return UINT64_MAX;
	due = ns / 1000000000u * rate + ns % 1000000000u * rate / 1000000000u;
	if (due > g->due_sent + 64 + rate / 1000) {
		g->due_from_ns = g->now_ns;
		g->due_sent = 0;
		return 1;
	}
	return due > g->due_sent ? due - g->due_sent : 0;
}

unsigned int gen_send(struct generator *g, struct gen_qp *q)
{
	const struct gen_conf *c = &g->conf;
	uint64_t n = g->enabled && q->state == GEN_RUN && q->nb_wr == 0 ? allowed(g) : 0;
	uint64_t left = c->messages != 0 ? c->messages - q->count : UINT64_MAX;

	n = RTE_MIN(n, RTE_MIN(left, c->depth - (q->head - q->tail)));
	while (n-- > 0 && q->nb_wr + 2 <= STAGE) {
		stage_message(g, q);
		g->due_sent++;
	}
	return flush(q);
}
