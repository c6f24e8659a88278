/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What verbs promise: runs cases and prints one line for each, "ok NAME" or "FAILED NAME".
 *
 *   verbs-conform [NAME]
 *
 * Plain verbs, linked as any program is. Exit status: 0 when all went well; 77: no device.
 */
#include <poll.h>
#include <time.h>

#include "conform.h"

#define PATIENCE_S 10

struct ibv_context *ctx;
struct ibv_device_attr dev;
union ibv_gid gid;
int gid_index;

static unsigned int failures;
static const char *now_runs;

void case_failed(const char *file, int line, const char *what)
{
	printf("FAILED %s: %s:%d: %s (errno %d)\n", now_runs, file, line, what, errno);
	failures++;
}

/* ------------------------------------------------------------------- device */

struct ibv_context *open_again(void)
{
	int n;
	struct ibv_device **list = ibv_get_device_list(&n);
	struct ibv_context *c = list != NULL && n > 0 ? ibv_open_device(list[0]) : NULL;

	ibv_free_device_list(list);
	return c;
}

static bool open_device(void)
{
	ctx = open_again();
	if (ctx == NULL || ibv_query_device(ctx, &dev) != 0)
		return false;
	/* the last one that is no link-local address */
	for (int i = 0; i < 16; i++) {
		union ibv_gid g;

		if (ibv_query_gid(ctx, 1, i, &g) != 0)
			break;
		if (g.raw[0] != 0xfe && g.global.interface_id != 0) {
			gid = g;
			gid_index = i;
		}
	}
	return gid.global.interface_id != 0;
}

/* -------------------------------------------------------------------- states */

bool to_init(struct ibv_qp *qp)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY,
		.qp_access_flags = ALL_ACCESS & ~IBV_ACCESS_MW_BIND };
	int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;

	mask |= qp->qp_type == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS;
	if (qp->qp_type == IBV_QPT_UC)
		a.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
	return ibv_modify_qp(qp, &a, mask) == 0;
}

bool to_rtr(struct ibv_qp *qp, uint32_t peer)
{
	struct ibv_qp_attr a = {
		.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = peer, .rq_psn = 5,
		.max_dest_rd_atomic = 4, .min_rnr_timer = 1,
		.ah_attr = { .is_global = 1, .port_num = 1,
			.grh = { .dgid = gid, .sgid_index = (uint8_t)gid_index, .hop_limit = 1 } },
	};
	int mask = IBV_QP_STATE;

	if (qp->qp_type != IBV_QPT_UD)
		mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
	if (qp->qp_type == IBV_QPT_RC)
		mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	return ibv_modify_qp(qp, &a, mask) == 0;
}

bool to_rts(struct ibv_qp *qp)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7,
		.sq_psn = 5, .max_rd_atomic = 4 };
	int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;

	if (qp->qp_type == IBV_QPT_RC)
		mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
	return ibv_modify_qp(qp, &a, mask) == 0;
}

bool to_state(struct ibv_qp *qp, enum ibv_qp_state s)
{
	struct ibv_qp_attr a = { .qp_state = s };

	return ibv_modify_qp(qp, &a, IBV_QP_STATE) == 0;
}

/* --------------------------------------------------------------------- pairs */

static struct ibv_qp *make_qp(struct pair *p, int i, enum ibv_qp_type type, const struct pair_opts *o)
{
	struct ibv_qp_init_attr_ex a = {
		.qp_type = type, .send_cq = p->cq[i], .recv_cq = p->cq[i], .srq = i == 1 ? p->srq : NULL,
		.cap = { .max_send_wr = o->depth, .max_recv_wr = o->depth, .max_send_sge = o->sge,
			.max_recv_sge = o->sge, .max_inline_data = o->inline_bytes },
		.sq_sig_all = 0, .pd = p->pd[i], .send_ops_flags = o->ops,
		.comp_mask = IBV_QP_INIT_ATTR_PD | (o->ops != 0 ? IBV_QP_INIT_ATTR_SEND_OPS_FLAGS : 0),
	};

	return ibv_create_qp_ex(p->c[i], &a);
}

static bool make_side(struct pair *p, int i, enum ibv_qp_type type, const struct pair_opts *o)
{
	struct ibv_srq_init_attr sa = { .attr = { .max_wr = o->depth, .max_sge = 1 } };

	p->c[i] = i == 1 && o->other != NULL ? o->other : ctx;
	p->pd[i] = i == 1 && o->other == NULL ? p->pd[0] : ibv_alloc_pd(p->c[i]);
	if (i == 1 && o->channel)
		p->ch = ibv_create_comp_channel(p->c[1]);
	p->cq[i] = ibv_create_cq(p->c[i], (int)o->cqe, NULL, i == 1 ? p->ch : NULL, 0);
	p->buf[i] = calloc(1, BUF);
	p->mr[i] = ibv_reg_mr(p->pd[i], p->buf[i], BUF, ALL_ACCESS);
	if (i == 1 && o->srq)
		p->srq = ibv_create_srq(p->pd[1], &sa);
	p->qp[i] = make_qp(p, i, type, o);
	return p->qp[i] != NULL && p->mr[i] != NULL;
}

bool pair_make(struct pair *p, enum ibv_qp_type type, const struct pair_opts *given)
{
	struct pair_opts o = given != NULL ? *given : (struct pair_opts){ .depth = 0 };
	struct ibv_ah_attr ah = { .is_global = 1, .port_num = 1,
		.grh = { .dgid = gid, .sgid_index = (uint8_t)gid_index, .hop_limit = 1 } };

	o.depth = o.depth != 0 ? o.depth : 16;
	o.sge = o.sge != 0 ? o.sge : 2;
	o.cqe = o.cqe != 0 ? o.cqe : 4 * o.depth;
	memset(p, 0, sizeof(*p));
	for (int i = 0; i < 2; i++)
		if (!make_side(p, i, type, &o))
			return false;
	for (int i = 0; i < 2; i++)
		if (!to_init(p->qp[i]) || !to_rtr(p->qp[i], p->qp[1 - i]->qp_num) || !to_rts(p->qp[i]))
			return false;
	p->ah = ibv_create_ah(p->pd[0], &ah);
	return p->ah != NULL;
}

bool pair_free(struct pair *p)
{
	bool ok = ibv_destroy_ah(p->ah) == 0;

	for (int i = 0; i < 2; i++)
		ok &= ibv_destroy_qp(p->qp[i]) == 0;
	if (p->srq != NULL)
		ok &= ibv_destroy_srq(p->srq) == 0;
	for (int i = 0; i < 2; i++) {
		ok &= ibv_dereg_mr(p->mr[i]) == 0;
		ok &= ibv_destroy_cq(p->cq[i]) == 0;
		free(p->buf[i]);
	}
	if (p->ch != NULL)
		ok &= ibv_destroy_comp_channel(p->ch) == 0;
	ok &= ibv_dealloc_pd(p->pd[0]) == 0;
	if (p->pd[1] != p->pd[0])
		ok &= ibv_dealloc_pd(p->pd[1]) == 0;
	return ok;
}

/* ------------------------------------------------------------------- traffic */

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

int wait_wc(struct ibv_cq *cq, struct ibv_wc *wc)
{
	time_t end = seconds() + PATIENCE_S;
	int n;

	do {
		n = ibv_poll_cq(cq, 1, wc);
	} while (n == 0 && seconds() < end);
	return n;
}

int send_one(struct pair *p, int side, enum ibv_wr_opcode op, uint32_t len, uint64_t wr_id)
{
	struct ibv_sge s = { .addr = (uintptr_t)p->buf[side], .length = len, .lkey = p->mr[side]->lkey };
	struct ibv_send_wr *bad, w = { .wr_id = wr_id, .sg_list = &s, .num_sge = 1, .opcode = op,
		.send_flags = IBV_SEND_SIGNALED };

	if (p->qp[side]->qp_type == IBV_QPT_UD) {
		w.wr.ud.ah = p->ah;
		w.wr.ud.remote_qpn = p->qp[1 - side]->qp_num;
		w.wr.ud.remote_qkey = QKEY;
	} else {
		w.wr.rdma.remote_addr = (uintptr_t)p->buf[1 - side];
		w.wr.rdma.rkey = p->mr[1 - side]->rkey;
	}
	return ibv_post_send(p->qp[side], &w, &bad);
}

int recv_one(struct pair *p, int side, uint32_t len, uint64_t wr_id)
{
	struct ibv_sge s = { .addr = (uintptr_t)p->buf[side], .length = len, .lkey = p->mr[side]->lkey };
	struct ibv_recv_wr *bad, w = { .wr_id = wr_id, .sg_list = &s, .num_sge = 1 };

	if (side == 1 && p->srq != NULL)
		return ibv_post_srq_recv(p->srq, &w, &bad);
	return ibv_post_recv(p->qp[side], &w, &bad);
}

bool works(struct pair *p, int side, uint32_t len)
{
	static uint32_t seed;
	uint32_t grh = p->qp[side]->qp_type == IBV_QPT_UD ? 40 : 0;
	struct ibv_wc s, r;

	for (uint32_t i = 0; i < len; i++)
		p->buf[side][i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	memset(p->buf[1 - side], 0, len + grh);
	if (recv_one(p, 1 - side, len + grh, 7) != 0 || send_one(p, side, IBV_WR_SEND, len, 8) != 0)
		return false;
	if (wait_wc(p->cq[side], &s) != 1 || wait_wc(p->cq[1 - side], &r) != 1)
		return false;
	return s.status == IBV_WC_SUCCESS && s.wr_id == 8 && s.opcode == IBV_WC_SEND &&
		r.status == IBV_WC_SUCCESS && r.wr_id == 7 && r.opcode == IBV_WC_RECV && r.byte_len == len + grh &&
		memcmp(p->buf[side], p->buf[1 - side] + grh, len) == 0;
}

int wait_async(struct ibv_context *c, enum ibv_event_type type, struct ibv_async_event *ev)
{
	struct pollfd fd = { .fd = c->async_fd, .events = POLLIN };

	while (poll(&fd, 1, PATIENCE_S * 1000) == 1) {
		if (ibv_get_async_event(c, ev) != 0)
			return 0;
		if (ev->event_type == type)
			return 1;
		ibv_ack_async_event(ev);
	}
	return 0;
}

/* ---------------------------------------------------------------------- cases */

static void run(const struct conform_case *c, const char *only)
{
	for (; c->name != NULL; c++) {
		unsigned int before = failures;

		if (only != NULL && strcmp(only, c->name) != 0)
			continue;
		now_runs = c->name;
		c->run();
		if (failures == before)
			printf("ok %s\n", c->name);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;

	if (!open_device())
		return 77;
	run(control_cases, only);
	run(data_cases, only);
	run(more_cases, only);
	return failures != 0 || ibv_close_device(ctx) != 0;
}
