/* SPDX-License-Identifier: BSD-3-Clause */
/* Two applications on queue pairs that are connected through the port's own address. */
#include <string.h>

#include "play.h"

static const uint8_t own_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

void play_to_rts(struct play *p, unsigned int i)
{
#define CONN_RTR (PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN | PHCA_QP_AV)
	static const unsigned int mask[][3] = {
		[PHCA_QPT_UD] = { PHCA_QP_PKEY | PHCA_QP_QKEY, 0, PHCA_QP_SQ_PSN },
		[PHCA_QPT_UC] = { PHCA_QP_PKEY | PHCA_QP_ACCESS, CONN_RTR, PHCA_QP_SQ_PSN },
		[PHCA_QPT_RC] = { PHCA_QP_PKEY | PHCA_QP_ACCESS,
			CONN_RTR | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER, PHCA_QP_SQ_PSN |
			PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC },
	};
	struct phca_qp_attr a = {
		.pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY, .path_mtu = 256, .dest_qpn = PLAY_QPN + 1 - i,
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC,
		.timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .min_rnr_timer = 1, .max_rd_atomic = 4,
		.max_dest_rd_atomic = 4, .sq_psn = phca_psn(0xfffff0), .rq_psn = phca_psn(0xfffff0),
	};
	int gid = phca_net_gid_find(p->l->net, own_gid);

	CU_ASSERT_FATAL(gid >= 0);
	memcpy(a.av.dgid, own_gid, 16);
	a.av.sgid_index = (uint8_t)gid;
	for (unsigned int s = 0; s < 3; s++) {
		a.state = PHCA_QPS_INIT + s;
		CU_ASSERT_EQUAL_FATAL(phca_qp_modify(p->qp[i], &a, PHCA_QP_STATE | mask[p->type][s]), 0);
	}
}

void play_open(struct play *p, enum phca_qp_type type, bool srq)
{
	*p = (struct play){ .l = lab_open(NULL), .type = type };
	for (unsigned int i = 0; i < PLAY_ACTORS; i++) {
		struct phca_srq_init si = { .pd = p->l->pd, .max_wr = PLAY_DEPTH, .max_sge = 1 };
		struct phca_qp_init qi = {
			.type = type, .qpn = PLAY_QPN + i, .pd = p->l->pd, .max_send_wr = PLAY_DEPTH,
			.max_recv_wr = PLAY_DEPTH, .max_send_sge = 1, .max_recv_sge = 1, .max_inline = 64,
		};

		if (srq && i == 1) {
			CU_ASSERT_EQUAL_FATAL(phca_srq_create(p->l->client, &si, &p->srq[i]), 0);
			qi.srq = p->srq[i];
			qi.max_recv_wr = 0;
		}
		CU_ASSERT_EQUAL_FATAL(phca_cq_create(p->l->client, 2 * PLAY_DEPTH, &p->cq[i]), 0);
		qi.send_cq = qi.recv_cq = p->cq[i];
		CU_ASSERT_EQUAL_FATAL(phca_qp_create(p->l->client, &qi, &p->qp[i]), 0);
		play_to_rts(p, i);
	}
}

void play_close(struct play *p)
{
	for (unsigned int i = 0; i < PLAY_ACTORS; i++) {
		if (p->app[i] == NULL)
			continue;
		CU_ASSERT_EQUAL(phca_loop_remove(p->l->proxy_loop, phca_app_turn, p->app[i]), 0);
		phca_app_destroy(p->app[i]);
	}
	for (unsigned int i = 0; i < PLAY_ACTORS; i++) {
		CU_ASSERT_EQUAL(phca_qp_destroy(p->qp[i]), 0);
		CU_ASSERT_EQUAL(phca_cq_destroy(p->cq[i]), 0);
		if (p->srq[i] != NULL)
			CU_ASSERT_EQUAL(phca_srq_destroy(p->srq[i]), 0);
	}
	lab_close(p->l);
}

bool play_app(struct play *p, unsigned int i, const char *driver, const struct phca_setting_arg *args,
		unsigned int n, char err[256])
{
	const uint32_t depth = PLAY_DEPTH;
	const struct phca_app_conf c = {
		.name = driver, .ops = phca_app_driver_find(driver), .args = args, .nb_args = n,
		.client = p->l->client, .pd = p->l->pd, .mem = p->l->mem, .qps = &p->qp[i], .cqs = &p->cq[i],
		.depths = &depth, .srqs = &p->srq[i], .nb_qps = 1,
	};

	CU_ASSERT_PTR_NOT_NULL_FATAL(c.ops);
	p->app[i] = phca_app_create(&c, err, 256);
	if (p->app[i] == NULL)
		return false;
	CU_ASSERT_EQUAL(phca_loop_add(p->l->proxy_loop, driver, phca_app_turn, p->app[i]), 0);
	return true;
}

void play_cast(struct play *p, unsigned int i, const char *driver, const struct phca_setting_arg *args,
		unsigned int n)
{
	char err[256] = "";
	bool made = play_app(p, i, driver, args, n, err);

	if (!made)
		printf("play: %s\n", err);
	CU_ASSERT_FATAL(made);
}

void play_enable(struct play *p, unsigned int i, bool on)
{
	lab_turn(p->l, 1); /* it knows the time */
	phca_app_ops(p->app[i])->enable(p->app[i], on);
}

/* What is asked for, and the answer. */
struct wanted { const char *name; uint64_t value; bool found; };

static int wanted_emit(void *arg, const char *name, uint64_t value)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) == 0) {
		w->value = value;
		w->found = true;
	}
	return 0;
}

uint64_t play_counter(const struct play *p, unsigned int i, const char *name)
{
	const struct phca_app_ops *ops = phca_app_ops(p->app[i]);
	struct wanted w = { .name = name };

	CU_ASSERT_EQUAL(ops->show(p->app[i], wanted_emit, &w), 0);
	if (!w.found && ops->gauges != NULL)
		CU_ASSERT_EQUAL(ops->gauges(p->app[i], wanted_emit, &w), 0);
	if (!w.found)
		printf("play: actor %u has no counter %s\n", i, name);
	CU_ASSERT(w.found);
	return w.value;
}

bool play_until(struct play *p, unsigned int i, const char *name, uint64_t value, unsigned int max)
{
	for (unsigned int n = 0; n < max && play_counter(p, i, name) != value; n++)
		lab_turn(p->l, 1);
	return play_counter(p, i, name) == value;
}
