/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The target's side of remote memory: regions with a known content, and answers
 * to requests for them. An answer is kept until the send queue takes it; asking
 * again replaces it.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "phca_wire.h"
#include "target.h"

static void put64(uint8_t *p, uint64_t v)
{
	v = rte_cpu_to_be_64(v);
	memcpy(p, &v, 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	v = rte_cpu_to_be_32(v);
	memcpy(p, &v, 4);
}

static int lend(struct app_target *t, const struct phca_app_conf *c, uint64_t iova)
{
	uint64_t total = t->bytes * c->nb_qps;

	t->mem = aligned_alloc(4096, RTE_ALIGN(total, (uint64_t)4096));
	if (t->mem == NULL)
		return -ENOMEM;
	memset(t->mem, 0, total);
	for (unsigned int i = 0; i < c->nb_qps; i++)
		app_pattern_fill(t->mem + i * t->bytes + APP_MEM_UNIT, t->read_len,
			app_key(t->seed, phca_qp_num(c->qps[i]), APP_KIND_READ, 0), 0);
	t->iova = iova != 0 ? iova : (uintptr_t)t->mem;
	return phca_mr_reg(c->mem, c->pd, t->mem, total, t->iova, PHCA_ACCESS_LOCAL_WRITE |
		PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC, &t->rkey);
}

int app_target_init(struct app_target *t, const struct phca_app_conf *c, const struct app_rx *rx, uint64_t bytes,
		uint64_t iova, uint64_t seed)
{
	uint64_t answers = (uint64_t)c->nb_qps * APP_ANSWER_LEN;
	int ret;

	t->conf = c;
	t->rx = rx;
	t->seed = seed;
	t->bytes = bytes & ~(uint64_t)(APP_MEM_UNIT - 1);
	t->answers = calloc(1, answers);
	t->owed = calloc(c->nb_qps, sizeof(*t->owed));
	if (t->answers == NULL || t->owed == NULL)
		return -ENOMEM;
	ret = phca_mr_reg(c->mem, c->pd, t->answers, answers, (uintptr_t)t->answers, 0, &t->lkey);
	if (ret != 0 || t->bytes == 0)
		return ret;
	/* a quarter to read from, the rest to write to */
	t->read_len = (t->bytes - APP_MEM_UNIT) / 4 & ~(uint64_t)(APP_MEM_UNIT - 1);
	t->write_off = APP_MEM_UNIT + t->read_len;
	return lend(t, c, iova);
}

void app_target_fini(struct app_target *t)
{
	if (t->rkey != 0)
		phca_mr_dereg(t->conf->mem, t->rkey);
	if (t->lkey != 0)
		phca_mr_dereg(t->conf->mem, t->lkey);
	free(t->mem);
	free(t->answers);
	free(t->owed);
}

static bool send_answer(struct app_target *t, unsigned int i)
{
	struct phca_sge sge = { (uintptr_t)t->answers + i * APP_ANSWER_LEN, APP_ANSWER_LEN, t->lkey };
	struct phca_send_wr wr = { .wr_id = APP_ID_SEND, .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND };

	return phca_post_send(t->conf->qps[i], &wr, 1) == 1;
}

void app_target_answer(struct app_target *t, unsigned int i, const uint8_t *request)
{
	uint8_t *a = t->answers + (size_t)i * APP_ANSWER_LEN;
	uint64_t *words = t->bytes > 0 ? (uint64_t *)(void *)(t->mem + i * t->bytes) : NULL;

	for (unsigned int w = 0; words != NULL && w < APP_MEM_UNIT / sizeof(*words); w++)
		__atomic_store_n(&words[w], 0, __ATOMIC_SEQ_CST);
	memcpy(a, APP_ANSWER, 8);
	put32(a + 8, APP_MEM_VERSION);
	put32(a + 12, app_rx_of(t->rx, i)->depth);
	memcpy(a + 16, request + 16, 8);
	put64(a + 24, t->iova + i * t->bytes);
	put64(a + 32, t->bytes);
	put32(a + 40, t->rkey);
	put64(a + 48, APP_MEM_UNIT);
	put64(a + 56, t->read_len);
	put64(a + 64, t->write_off);
	put64(a + 72, t->bytes - t->write_off);
	put64(a + 80, t->seed);
	put32(a + 88, phca_qp_num(t->conf->qps[i]));
	PHCA_STAT_ADD(t->answered, 1);
	t->nb_owed += !t->owed[i];
	t->owed[i] = true;
}

unsigned int app_target_turn(struct app_target *t)
{
	unsigned int done = 0;

	for (unsigned int i = 0; t->nb_owed > 0 && i < t->conf->nb_qps; i++) {
		if (!t->owed[i] || !send_answer(t, i))
			continue;
		t->owed[i] = false;
		t->nb_owed--;
		done++;
	}
	return done;
}
