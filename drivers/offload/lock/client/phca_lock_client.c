/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A requester of locks: slots of one registered block for sends and receives.
 *
 * Invariant: a receive is posted for every request without an answer, and `extra` more,
 * as each answer takes one receive at most. Send slots are a ring: slot n is free again when
 * a signaled send from n on has completed; every fourth of the ring is signaled.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "phca_lock_client.h"

#define RECV_BIT (1ull << 63)
#define POLL_BURST 32

struct phca_lock_client {
	struct phca_lock_client_conf conf;
	struct ibv_mr *mr;
	uint8_t *block;           /* slots of sends, then of receives */
	uint32_t slot_bytes, nb_slots;
	uint64_t sent, free_to;   /* sends: posted; those below free_to + nb_slots have a free slot */
	uint32_t staged;          /* requests in the slot of the next send */
	uint64_t asked;           /* ids given */
	uint32_t pending;
	enum ibv_wc_status status;
	uint64_t wanted;          /* id that _call waits for; 0: none */
	struct phca_lock_answer *wanted_to;
};

static uint8_t *send_slot(struct phca_lock_client *c, uint64_t n)
{
	return c->block + n % c->nb_slots * c->slot_bytes;
}

static int post_recv(struct phca_lock_client *c, uint32_t slot)
{
	struct ibv_sge s = { (uintptr_t)(c->block + (c->nb_slots + slot) * (size_t)c->slot_bytes), c->slot_bytes,
		c->mr->lkey };
	struct ibv_recv_wr *bad, w = { .wr_id = RECV_BIT | slot, .sg_list = &s, .num_sge = 1 };

	return ibv_post_recv(c->conf.qp, &w, &bad);
}

struct phca_lock_client *phca_lock_client_create(const struct phca_lock_client_conf *conf)
{
	const uint32_t least = PHCA_LOCK_BATCH * sizeof(struct phca_lock_req);
	struct phca_lock_client *c;
	size_t bytes;

	if (conf->depth == 0 || conf->depth > PHCA_LOCK_CLIENT_DEPTH_MAX ||
			conf->extra > PHCA_LOCK_CLIENT_DEPTH_MAX - conf->depth || conf->max_message > 1u << 20) {
		errno = EINVAL;
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->conf = *conf;
	c->nb_slots = conf->depth + conf->extra;
	c->slot_bytes = ((conf->max_message > least ? conf->max_message : least) + 63) / 64 * 64;
	bytes = ((size_t)2 * c->nb_slots * c->slot_bytes + 4095) / 4096 * 4096;
	c->block = aligned_alloc(4096, bytes);
	if (c->block != NULL)
		c->mr = ibv_reg_mr(conf->qp->pd, c->block, bytes, IBV_ACCESS_LOCAL_WRITE);
	for (uint32_t i = 0; c->mr != NULL && i < c->nb_slots; i++) {
		int rc = post_recv(c, i);

		if (rc != 0) {
			/* Those that were posted are the queue pair's; the block stays with them. */
			ibv_dereg_mr(c->mr);
			c->mr = NULL;
			errno = rc;
		}
	}
	if (c->mr == NULL) {
		int e = errno;

		free(c->block);
		free(c);
		errno = e;
		return NULL;
	}
	return c;
}

void phca_lock_client_destroy(struct phca_lock_client *c)
{
	if (c == NULL)
		return;
	ibv_dereg_mr(c->mr);
	free(c->block);
	free(c);
}

/* ---------------------------------------------------------------- sending */

static bool can_send(const struct phca_lock_client *c)
{
	return c->sent < c->free_to + c->nb_slots;
}

/* Send the next slot, which is filled. */
static int post_slot(struct phca_lock_client *c, uint32_t len)
{
	const uint32_t every = c->nb_slots / 4 > 0 ? c->nb_slots / 4 : 1;
	struct ibv_sge s = { (uintptr_t)send_slot(c, c->sent), len, c->mr->lkey };
	struct ibv_send_wr *bad, w = { .wr_id = c->sent, .sg_list = &s, .num_sge = 1, .opcode = IBV_WR_SEND,
		.send_flags = c->sent % every == every - 1 ? IBV_SEND_SIGNALED : 0 };
	int rc = ibv_post_send(c->conf.qp, &w, &bad);

	if (rc != 0)
		return -rc;
	c->sent++;
	return 0;
}

int phca_lock_client_flush(struct phca_lock_client *c)
{
	uint32_t n = c->staged;
	int rc;

	if (c->status != IBV_WC_SUCCESS)
		return -EIO;
	if (n == 0)
		return 0;
	rc = post_slot(c, n * sizeof(struct phca_lock_req));
	if (rc == 0)
		c->staged = 0;
	return rc;
}

int phca_lock_client_ask(struct phca_lock_client *c, const struct phca_lock_ask *ask, uint64_t *id)
{
	struct phca_lock_req *r;
	int rc;

	if (c->status != IBV_WC_SUCCESS)
		return -EIO;
	if (c->staged == PHCA_LOCK_BATCH) {
		rc = phca_lock_client_flush(c);
		if (rc != 0)
			return rc;
	}
	if (c->pending == c->conf.depth || !can_send(c))
		return -EAGAIN;
	r = (struct phca_lock_req *)(void *)send_slot(c, c->sent) + c->staged;
	*r = (struct phca_lock_req){ .magic = PHCA_LOCK_MAGIC, .version = PHCA_LOCK_VERSION, .op = (uint8_t)ask->op,
		.mode = (uint8_t)ask->mode, .id = ++c->asked, .session = ask->session, .table_va = c->conf.table_va,
		.table_rkey = c->conf.table_rkey, .lock = ask->lock, .wait_us = ask->wait_us };
	c->staged++;
	c->pending++;
	if (id != NULL)
		*id = c->asked;
	return c->staged == PHCA_LOCK_BATCH ? phca_lock_client_flush(c) : 0;
}

int phca_lock_client_send(struct phca_lock_client *c, const void *data, uint32_t len)
{
	int rc = phca_lock_client_flush(c);

	if (rc != 0)
		return rc;
	if (len > c->slot_bytes)
		return -EMSGSIZE;
	if (!can_send(c))
		return -EAGAIN;
	memcpy(send_slot(c, c->sent), data, len);
	return post_slot(c, len);
}

/* ---------------------------------------------------------------- answers */

static void answered(struct phca_lock_client *c, const struct phca_lock_answer *a)
{
	if (c->pending > 0)
		c->pending--;
	if (c->wanted != 0 && a->id == c->wanted) {
		*c->wanted_to = *a;
		c->wanted = 0;
	} else if (c->conf.done != NULL) {
		c->conf.done(c->conf.arg, a);
	}
}

static void message(struct phca_lock_client *c, const uint8_t *data, uint32_t len)
{
	struct phca_lock_answer a;

	if (len < sizeof(a) || memcmp(data, &(uint32_t){ PHCA_LOCK_ANSWER_MAGIC }, 4) != 0) {
		if (c->conf.other != NULL)
			c->conf.other(c->conf.arg, data, len);
		return;
	}
	for (uint32_t at = 0; at + sizeof(a) <= len; at += sizeof(a)) {
		memcpy(&a, data + at, sizeof(a));
		if (a.magic == PHCA_LOCK_ANSWER_MAGIC && a.version == PHCA_LOCK_VERSION)
			answered(c, &a);
	}
}

int phca_lock_client_wc(struct phca_lock_client *c, const struct ibv_wc *wc)
{
	uint32_t slot = (uint32_t)wc->wr_id;

	if (wc->status != IBV_WC_SUCCESS) {
		if (c->status == IBV_WC_SUCCESS || c->status == IBV_WC_WR_FLUSH_ERR)
			c->status = wc->status;
		return -EIO;
	}
	if (!(wc->wr_id & RECV_BIT)) {
		c->free_to = wc->wr_id + 1;
		return 0;
	}
	message(c, c->block + (c->nb_slots + slot) * (size_t)c->slot_bytes, wc->byte_len);
	if (post_recv(c, slot) != 0)
		c->status = IBV_WC_GENERAL_ERR;
	return 0;
}

static int poll_one(struct phca_lock_client *c, struct ibv_cq *cq)
{
	struct ibv_wc wc[POLL_BURST];
	int n = ibv_poll_cq(cq, POLL_BURST, wc);

	for (int i = 0; i < n; i++)
		phca_lock_client_wc(c, &wc[i]);
	if (n < 0)
		c->status = IBV_WC_GENERAL_ERR;
	return n;
}

int phca_lock_client_poll(struct phca_lock_client *c)
{
	int n = poll_one(c, c->conf.qp->recv_cq);

	if (c->conf.qp->send_cq != c->conf.qp->recv_cq)
		n += poll_one(c, c->conf.qp->send_cq);
	return c->status != IBV_WC_SUCCESS ? -EIO : n;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int phca_lock_client_call(struct phca_lock_client *c, const struct phca_lock_ask *ask, int timeout_ms,
		struct phca_lock_answer *answer)
{
	const int64_t end = now_ms() + timeout_ms;
	uint64_t id;
	int rc;

	/* Sends may complete later than their requests are answered. */
	while ((rc = phca_lock_client_ask(c, ask, &id)) == -EAGAIN && c->pending < c->conf.depth) {
		rc = phca_lock_client_poll(c);
		if (rc < 0)
			return rc;
		if (rc == 0 && timeout_ms >= 0 && now_ms() >= end)
			return -EAGAIN;
	}
	if (rc != 0)
		return rc;
	c->wanted = id;
	c->wanted_to = answer;
	rc = phca_lock_client_flush(c);
	while ((rc == 0 || rc == -EAGAIN) && c->wanted != 0) {
		int n = phca_lock_client_poll(c);

		if (n == 0 && timeout_ms >= 0 && now_ms() >= end)
			rc = -ETIMEDOUT;
		else if (n == 0)
			sched_yield();
		else
			rc = n < 0 ? n : phca_lock_client_flush(c);
	}
	if (c->wanted == 0)
		return 0;
	c->wanted = 0;
	return rc;
}

uint32_t phca_lock_client_pending(const struct phca_lock_client *c)
{
	return c->pending;
}

enum ibv_wc_status phca_lock_client_status(const struct phca_lock_client *c)
{
	return c->status;
}
