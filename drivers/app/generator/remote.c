/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer's memory: asked for over the queue pair before anything else is sent,
 * or given by the settings. See target.h for the messages. Where messages go in
 * it is decided once: a slot is not written again before the peer can have
 * looked at it.
 */
#include <string.h>

#include "generator_impl.h"

#define ASK_AGAIN_NS 20000000u /* UC may lose a request or an answer */

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return rte_be_to_cpu_64(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return rte_be_to_cpu_32(v);
}

unsigned int gen_ask(struct generator *g, struct gen_qp *q)
{
	uint8_t *ask = gen_tx(g, q, 0);
	struct phca_sge sge = { (uintptr_t)ask, APP_ASK_LEN, g->lkey };
	struct phca_send_wr wr = { .wr_id = APP_ID_SEND | ID_ASK, .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND };
	uint32_t version = rte_cpu_to_be_32(APP_MEM_VERSION);
	uint64_t nonce = rte_cpu_to_be_64(q->qpn);

	if (q->state == GEN_ASKED && (q->type == PHCA_QPT_RC || g->now_ns - q->ask_ns < ASK_AGAIN_NS))
		return 0;
	memset(ask, 0, APP_ASK_LEN);
	memcpy(ask, APP_ASK, 8);
	memcpy(ask + 8, &version, 4);
	memcpy(ask + 16, &nonce, 8);
	if (phca_post_send(q->qp, &wr, 1) != 1)
		return 0;
	q->ask_ns = g->now_ns;
	q->state = GEN_ASKED;
	return 1;
}

/* Where WRITEs go, with and without immediate, in the write area. @return whether there is room */
static bool layout(const struct generator *g, struct gen_qp *q, uint64_t len, uint32_t receives)
{
	const struct gen_conf *c = &g->conf;
	uint64_t half = c->weight[GEN_WRITE] > 0 && c->weight[GEN_WRITE_IMM] > 0 ?
		len / 2 & ~(uint64_t)(APP_MEM_UNIT - 1) : c->weight[GEN_WRITE] > 0 ? len : 0;
	uint64_t slots;

	q->slot_len = (c->max_size + APP_MEM_UNIT - 1) / APP_MEM_UNIT * APP_MEM_UNIT;
	if (q->slot_len == 0)
		q->slot_len = APP_MEM_UNIT;
	q->imm_at = q->write_at + half;
	slots = half / q->slot_len;
	q->write_slots = slots > UINT32_MAX ? UINT32_MAX : (uint32_t)slots;
	slots = (len - half) / q->slot_len;
	q->imm_slots = slots > UINT32_MAX ? UINT32_MAX : (uint32_t)slots;
	if (c->weight[GEN_WRITE] > 0 && q->write_slots < c->depth)
		return false;
	/* as many as the peer has receives may wait to be looked at, and the next is on its way */
	return c->weight[GEN_WRITE_IMM] == 0 || q->imm_slots >= (uint64_t)receives + 2;
}

static void begin(struct generator *g, struct gen_qp *q, bool enough)
{
	if (enough) {
		q->state = GEN_RUN;
		return;
	}
	PHCA_STAT_ADD(g->refused, 1);
	gen_stop(g, q, GEN_REFUSED);
}

void gen_answer(struct generator *g, struct gen_qp *q, const uint8_t *a)
{
	uint64_t bytes = get64(a + 32), write_len = get64(a + 72);

	if (get32(a + 8) != APP_MEM_VERSION || get64(a + 16) != q->qpn)
		return; /* not an answer to this request */
	q->addr = get64(a + 24);
	q->rkey = get32(a + 40);
	q->read_at = get64(a + 48);
	q->read_len = get64(a + 56);
	q->write_at = get64(a + 64);
	q->read_key = app_key(get64(a + 80), get32(a + 88), APP_KIND_READ, 0);
	q->read_known = true;
	q->sum = q->cas = 0;
	begin(g, q, bytes > 0 && (g->conf.weight[GEN_READ] == 0 || q->read_len >= g->conf.max_size) &&
		layout(g, q, write_len, get32(a + 12)));
}

void gen_remote_given(struct generator *g, struct gen_qp *q)
{
	const struct gen_conf *c = &g->conf;
	uint64_t area = c->remote_len > APP_MEM_UNIT ? c->remote_len - APP_MEM_UNIT : 0;

	q->addr = c->remote_addr + (uint64_t)(q - g->qps) * c->remote_len;
	q->rkey = c->rkey;
	q->read_at = q->write_at = APP_MEM_UNIT;
	q->read_len = area;
	begin(g, q, (c->weight[GEN_READ] == 0 || area >= c->max_size) && layout(g, q, area, 0));
}
