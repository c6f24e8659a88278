/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbered messages between two queue pairs of a program.
 *
 * Invariant: a slot is posted when it is not outstanding, and completes once. Message n
 * is all bytes of n, in its first eight bytes n itself, and comes as the n-th.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pair.h"
#include "torture.h"

#define RECV_ID 0x100u

static void must(bool ok, const char *what)
{
	if (!ok)
		die(EXIT_CALL, "%s: failed: %s\n", what, strerror(errno));
}

struct ibv_context *device_open(const char *name)
{
	struct ibv_context *ctx = NULL;
	struct ibv_device **list;
	int n;

	errno = 0;
	list = ibv_get_device_list(&n);
	for (int i = 0; list != NULL && i < n && ctx == NULL; i++)
		if (name == NULL || strcmp(name, ibv_get_device_name(list[i])) == 0)
			ctx = ibv_open_device(list[i]);
	if (list != NULL)
		ibv_free_device_list(list);
	return ctx;
}

int device_gid(struct ibv_context *ctx, union ibv_gid *gid)
{
	int found = -1;

	for (int i = 0; i < 16; i++) {
		union ibv_gid g;

		if (ibv_query_gid(ctx, 1, i, &g) != 0)
			break;
		if (g.raw[0] != 0xfe && g.global.interface_id != 0) {
			*gid = g;
			found = i;
		}
	}
	must(found >= 0, "a GID");
	return found;
}

void qp_connect(struct ibv_qp *qp, uint32_t dest, const union ibv_gid *gid, int gid_index)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ };

	errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	must(errno == 0, "to INIT");
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = dest,
		.max_dest_rd_atomic = 1, .min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1,
			.grh = { .dgid = *gid, .sgid_index = (uint8_t)gid_index, .hop_limit = 64 } } };
	errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	must(errno == 0, "to RTR");
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTS, .timeout = 17, .retry_cnt = 7, .rnr_retry = 7,
		.max_rd_atomic = 1 };
	errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
		IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	must(errno == 0, "to RTS");
}

void pair_make(struct pair *p, struct ibv_context *ctx, bool channel)
{
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC, .sq_sig_all = 1,
		.cap = { .max_send_wr = PAIR_DEPTH, .max_recv_wr = PAIR_DEPTH, .max_send_sge = 1, .max_recv_sge = 1 } };
	union ibv_gid gid;
	int index = device_gid(ctx, &gid);

	memset(p, 0, sizeof(*p));
	p->pd = ibv_alloc_pd(ctx);
	must(p->pd != NULL, "ibv_alloc_pd");
	if (channel) {
		p->ch = ibv_create_comp_channel(ctx);
		must(p->ch != NULL, "ibv_create_comp_channel");
	}
	p->cq = ibv_create_cq(ctx, 4 * PAIR_DEPTH, NULL, p->ch, 0);
	must(p->cq != NULL, "ibv_create_cq");
	p->buf = aligned_alloc(4096, 2 * PAIR_DEPTH * PAIR_BYTES);
	must(p->buf != NULL, "memory");
	memset(p->buf, 0, 2 * PAIR_DEPTH * PAIR_BYTES);
	p->mr = ibv_reg_mr(p->pd, p->buf, 2 * PAIR_DEPTH * PAIR_BYTES,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ);
	must(p->mr != NULL, "ibv_reg_mr");
	a.send_cq = a.recv_cq = p->cq;
	for (unsigned int i = 0; i < 2; i++) {
		p->qp[i] = ibv_create_qp(p->pd, &a);
		must(p->qp[i] != NULL, "ibv_create_qp");
	}
	for (unsigned int i = 0; i < 2; i++)
		qp_connect(p->qp[i], p->qp[!i]->qp_num, &gid, index);
}

void pair_destroy(struct pair *p)
{
	for (unsigned int i = 0; i < 2; i++) {
		errno = ibv_destroy_qp(p->qp[i]);
		must(errno == 0, "ibv_destroy_qp");
	}
	errno = ibv_dereg_mr(p->mr);
	must(errno == 0, "ibv_dereg_mr");
	errno = ibv_destroy_cq(p->cq);
	must(errno == 0, "ibv_destroy_cq");
	if (p->ch != NULL) {
		errno = ibv_destroy_comp_channel(p->ch);
		must(errno == 0, "ibv_destroy_comp_channel");
	}
	errno = ibv_dealloc_pd(p->pd);
	must(errno == 0, "ibv_dealloc_pd");
	free(p->buf);
}

/* ---------------------------------------------------------------- messages */

static uint8_t *message(const struct pair *p, unsigned int side, unsigned int slot)
{
	return p->buf + (side * PAIR_DEPTH + slot) * PAIR_BYTES;
}

int pair_recv(struct pair *p, unsigned int slot)
{
	struct ibv_sge s = { (uintptr_t)message(p, 1, slot), PAIR_BYTES, p->mr->lkey };
	struct ibv_recv_wr *bad, w = { .wr_id = RECV_ID + slot, .sg_list = &s, .num_sge = 1 };
	int rc = ibv_post_recv(p->qp[1], &w, &bad);

	if (rc == 0) {
		p->posted[1]++;
		p->state[1][slot] = 1;
	}
	return rc;
}

int pair_send(struct pair *p, unsigned int slot)
{
	struct ibv_sge s = { (uintptr_t)message(p, 0, slot), PAIR_BYTES, p->mr->lkey };
	struct ibv_send_wr *bad, w = { .wr_id = slot, .sg_list = &s, .num_sge = 1, .opcode = IBV_WR_SEND };
	uint8_t *m = message(p, 0, slot);
	int rc;

	memset(m, (int)(p->posted[0] & 0xff), PAIR_BYTES);
	memcpy(m, &p->posted[0], sizeof(p->posted[0]));
	rc = ibv_post_send(p->qp[0], &w, &bad);
	if (rc == 0) {
		p->posted[0]++;
		p->state[0][slot] = 1;
	}
	return rc;
}

void pair_start(struct pair *p)
{
	for (unsigned int i = 0; i < PAIR_DEPTH; i++) {
		errno = pair_recv(p, i);
		must(errno == 0, "ibv_post_recv");
	}
	for (unsigned int i = 0; i < PAIR_DEPTH; i++) {
		errno = pair_send(p, i);
		must(errno == 0, "ibv_post_send");
	}
}

static void check_message(const struct pair *p, unsigned int slot)
{
	const uint8_t *m = message(p, 1, slot);
	uint64_t n;

	memcpy(&n, m, sizeof(n));
	if (n != p->good[1])
		die(EXIT_MEMORY, "message %llu came as the %lluth\n", (unsigned long long)n,
			(unsigned long long)p->good[1]);
	for (unsigned int i = sizeof(n); i < PAIR_BYTES; i++)
		if (m[i] != (n & 0xff))
			die(EXIT_MEMORY, "message %llu: byte %u is %u\n", (unsigned long long)n, i, m[i]);
}

static void complete(struct pair *p, const struct ibv_wc *wc)
{
	unsigned int side = wc->wr_id >= RECV_ID, slot = (unsigned int)wc->wr_id & (PAIR_DEPTH - 1);

	if (!p->state[side][slot])
		die(EXIT_CALL, "request %#llx completed twice\n", (unsigned long long)wc->wr_id);
	if (wc->qp_num != p->qp[side]->qp_num)
		die(EXIT_CALL, "a completion of QP %#x is not its own\n", wc->qp_num);
	p->state[side][slot] = 0;
	p->done[side]++;
	if (wc->status == IBV_WC_WR_FLUSH_ERR) {
		p->flushed[side]++;
		return;
	}
	if (wc->status != IBV_WC_SUCCESS)
		die(EXIT_CALL, "request %#llx: %s\n", (unsigned long long)wc->wr_id, ibv_wc_status_str(wc->status));
	if (p->flushed[side] != 0)
		die(EXIT_CALL, "request %#llx succeeded after one was flushed\n", (unsigned long long)wc->wr_id);
	if (side == 1)
		check_message(p, slot);
	p->good[side]++;
	errno = side == 1 ? pair_recv(p, slot) : pair_send(p, slot);
	must(errno == 0, "posting again");
}

int pair_poll(struct pair *p)
{
	struct ibv_wc wc[PAIR_DEPTH];
	int n = ibv_poll_cq(p->cq, PAIR_DEPTH, wc);

	must(n >= 0, "ibv_poll_cq");
	for (int i = 0; i < n; i++)
		complete(p, &wc[i]);
	return n;
}

void pair_run(struct pair *p, uint64_t messages)
{
	const uint64_t end = p->good[1] + messages;

	while (p->good[1] < end) {
		pair_poll(p);
		if (p->flushed[1] != 0)
			die(EXIT_CALL, "the device failed\n");
	}
}

unsigned int pair_outstanding(const struct pair *p)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PAIR_DEPTH; i++)
		n += p->state[0][i] + p->state[1][i];
	return n;
}
