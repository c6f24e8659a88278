/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs of clients: create, modify in the terms of verbs, query, multicast.
 *
 * Invariant: what lib/hca is asked for, verbs would allow too; attributes that
 * only verbs know (port, partition index) are checked here against the same state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host_impl.h"

#define SHORT_NS 1000000           /* others wait while a proxy lets go of a queue pair */
#define LONG_NS UINT64_C(10000000000) /* the client waits for a driver */

/* enum ibv_qp_attr_mask, what lib/hca does not know */
#define IBV_PKEY_INDEX 0x10u
#define IBV_PORT 0x20u
#define IBV_ALT_PATH 0x4000u
#define IBV_PATH_MIG_STATE 0x40000u
#define IBV_CAP 0x80000u
#define IBV_RATE_LIMIT 0x2000000u
#define NOT_SUPPORTED (IBV_ALT_PATH | IBV_PATH_MIG_STATE | IBV_CAP | IBV_RATE_LIMIT)
/* lib/hca numbers its bits as verbs do; the partition is given by index */
#define SAME (PHCA_QP_STATE | PHCA_QP_CUR_STATE | PHCA_QP_EN_SQD_NOTIFY | PHCA_QP_ACCESS | PHCA_QP_QKEY | \
	PHCA_QP_AV | PHCA_QP_PATH_MTU | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | \
	PHCA_QP_RQ_PSN | PHCA_QP_MAX_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER | PHCA_QP_SQ_PSN | \
	PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_DEST_QPN)
#define ACCESS_OPTIONAL 0x3ff00000u /* IBV_ACCESS_OPTIONAL_RANGE: may be ignored */

static void told(const struct client *c, const struct obj_qp *o, const uint8_t dgid[16],
		void (*fn)(void *arg, const struct phca_host_qp *q))
{
	struct phca_host_qp q = {
		.qp = o->qp, .client = &c->info, .type = o->type,
		.send_cqe = o->send_cqe, .recv_cqe = o->recv_cqe,
	};

	if (fn == NULL)
		return;
	if (dgid != NULL)
		memcpy(q.dgid, dgid, sizeof(q.dgid));
	fn(c->host->conf.cb.arg, &q);
}

static void qp_answer(const struct client *c, const struct obj_qp *o, const struct phca_qp_init *init,
		uint32_t handle, struct phca_admin_qp_ans *a)
{
	struct phca_ring_mem sq, rq;
	struct phca_qp_info info;

	phca_qp_info_get(o->qp, &info);
	phca_qp_rings(o->qp, &sq, &rq);
	*a = (struct phca_admin_qp_ans){
		.handle = handle, .qpn = info.qpn, .shard = info.shard,
		.max_send_wr = rte_align32pow2(RTE_MAX(init->max_send_wr, 1u)),
		.max_recv_wr = init->srq != NULL ? 0 : rte_align32pow2(RTE_MAX(init->max_recv_wr, 1u)),
		.max_send_sge = init->max_send_sge,
		.max_recv_sge = init->srq != NULL ? 0 : init->max_recv_sge,
		.max_inline = init->max_inline,
	};
	arena_ring(&c->arena, &sq, &a->sq);
	if (init->srq == NULL)
		arena_ring(&c->arena, &rq, &a->rq);
}

/* @return 0; -EINVAL an object that is not there, or a reserved value */
static int init_fill(const struct client *c, const struct phca_admin_qp_create *q, struct phca_qp_init *init,
		struct obj_qp *o)
{
	const struct obj_pd *pd = client_obj(c, PHCA_HOST_PD, q->pd);
	const struct obj_cq *scq = client_obj(c, PHCA_HOST_CQ, q->send_cq);
	const struct obj_cq *rcq = client_obj(c, PHCA_HOST_CQ, q->recv_cq);
	const struct obj_srq *srq = client_obj(c, PHCA_HOST_SRQ, q->srq);
	struct phca_cq_info info;

	if (pd == NULL || scq == NULL || rcq == NULL || (srq == NULL && q->srq != PHCA_ADMIN_NONE) ||
	    q->rsvd != 0 || q->sq_sig_all > 1)
		return -EINVAL;
	*init = (struct phca_qp_init){
		.type = (enum phca_qp_type)q->type, .port = c->info.port, .pd = pd->pd,
		.send_cq = scq->cq, .recv_cq = rcq->cq, .srq = srq != NULL ? srq->srq : NULL,
		.max_send_wr = q->max_send_wr, .max_recv_wr = srq != NULL ? 0 : q->max_recv_wr,
		.max_send_sge = q->max_send_sge, .max_recv_sge = srq != NULL ? 0 : q->max_recv_sge,
		.max_inline = q->max_inline, .sq_sig_all = q->sq_sig_all != 0,
	};
	o->type = init->type;
	phca_cq_info_get(scq->cq, &info);
	o->send_cqe = info.cqe;
	phca_cq_info_get(rcq->cq, &info);
	o->recv_cqe = info.cqe;
	return 0;
}

int op_qp_create(struct client *c, struct msg *m)
{
	int ret = client_room(c, PHCA_HOST_QP);
	struct phca_qp_init init;
	struct obj_qp *o;

	if (ret != 0)
		return ret;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	ret = init_fill(c, &m->in.req.u.qp_create, &init, o);
	if (ret == 0)
		ret = phca_qp_create(c->hca, &init, &o->qp);
	if (ret != 0) {
		free(o);
		return ret;
	}
	told(c, o, NULL, c->host->conf.cb.qp_created);
	qp_answer(c, o, &init, client_add(c, PHCA_HOST_QP, o), &m->out.ans.u.qp);
	return 0;
}

/* --------------------------------------------------------------- modify */

/* What ib_modify_qp_is_ok of Linux asks for and lib/hca does not know. */
static int verbs_check(const struct obj_qp *o, const struct phca_admin_qp_modify *q, enum phca_qp_state from)
{
	enum phca_qp_state to = q->mask & PHCA_QP_STATE ? (enum phca_qp_state)q->attr.state : from;
	bool from_reset = from == PHCA_QPS_RESET && to == PHCA_QPS_INIT;

	if (q->mask & ~(SAME | IBV_PKEY_INDEX | IBV_PORT | NOT_SUPPORTED))
		return -EINVAL;
	if (q->mask & NOT_SUPPORTED)
		return -EOPNOTSUPP;
	if (q->mask & IBV_PKEY_INDEX && q->attr.pkey_index != 0)
		return -EINVAL;
	if (q->mask & IBV_PORT && (q->attr.port_num != 1 || to != PHCA_QPS_INIT))
		return -EINVAL;
	if (from_reset && !(q->mask & IBV_PORT))
		return -EINVAL;
	if (from == PHCA_QPS_INIT && to == PHCA_QPS_RTR && o->type != PHCA_QPT_UD && !(q->mask & PHCA_QP_AV))
		return -EINVAL;
	return 0;
}

static bool rsvd_ok(const struct phca_admin_qp_attr *a)
{
	static const uint8_t zero[sizeof(a->rsvd)];

	return memcmp(a->rsvd, zero, sizeof(zero)) == 0 && memcmp(a->av.rsvd, zero, sizeof(a->av.rsvd)) == 0;
}

static void attr_in(const struct phca_admin_qp_attr *a, struct phca_qp_attr *h)
{
	*h = (struct phca_qp_attr){
		.state = (enum phca_qp_state)a->state, .cur_state = (enum phca_qp_state)a->cur_state,
		.en_sqd_notify = a->en_sqd_notify != 0, .access = a->access & ~ACCESS_OPTIONAL,
		.pkey = PHCA_PKEY_DEFAULT, .qkey = a->qkey, .av = a->av,
		.path_mtu = (uint16_t)RTE_MIN(a->path_mtu, (uint32_t)UINT16_MAX),
		.timeout = a->timeout, .retry_cnt = a->retry_cnt, .rnr_retry = a->rnr_retry,
		.rq_psn = phca_psn(a->rq_psn), .sq_psn = phca_psn(a->sq_psn),
		.max_rd_atomic = a->max_rd_atomic, .max_dest_rd_atomic = a->max_dest_rd_atomic,
		.min_rnr_timer = a->min_rnr_timer, .dest_qpn = a->dest_qpn,
	};
}

static void attr_out(const struct phca_qp_attr *h, struct phca_admin_qp_attr *a)
{
	*a = (struct phca_admin_qp_attr){
		.av = h->av, .state = (uint32_t)h->state, .cur_state = (uint32_t)h->state,
		.path_mtu = h->path_mtu, .qkey = h->qkey, .rq_psn = h->rq_psn.v, .sq_psn = h->sq_psn.v,
		.dest_qpn = h->dest_qpn, .access = h->access, .port_num = 1,
		.sq_draining = h->sq_draining, .max_rd_atomic = h->max_rd_atomic,
		.max_dest_rd_atomic = h->max_dest_rd_atomic, .min_rnr_timer = h->min_rnr_timer,
		.timeout = h->timeout, .retry_cnt = h->retry_cnt, .rnr_retry = h->rnr_retry,
	};
}

static void connected_check(const struct client *c, struct obj_qp *o, const struct phca_qp_attr *now)
{
	if (now->state == PHCA_QPS_RESET || now->state == PHCA_QPS_INIT)
		o->connected = false;
	if (now->state != PHCA_QPS_RTR || o->type == PHCA_QPT_UD || o->connected)
		return;
	o->connected = true;
	told(c, o, now->av.dgid, c->host->conf.cb.qp_connected);
}

static int qp_modified(struct client *c, struct obj_qp *o, struct msg *m)
{
	struct phca_qp_attr now;
	int ret = phca_qp_query(o->qp, &now);

	if (ret != 0)
		return ret;
	connected_check(c, o, &now);
	attr_out(&now, &m->out.ans.u.attr);
	return 0;
}

/* Its proxy has not let go of it. */
static int qp_reset_step(struct client *c, struct msg *m)
{
	const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET };
	struct obj_qp *o = client_obj(c, PHCA_HOST_QP, c->pending.handle);
	int ret = phca_qp_modify_within(o->qp, &reset, PHCA_QP_STATE, 0);

	if (ret == -EBUSY && phca_loop_now_ns() < c->pending.until_ns)
		return WAITS;
	return ret == 0 ? qp_modified(c, o, m) : ret;
}

int op_qp_modify(struct client *c, struct msg *m)
{
	const struct phca_admin_qp_modify *q = &m->in.req.u.qp_modify;
	struct obj_qp *o = client_obj(c, PHCA_HOST_QP, q->handle);
	struct phca_qp_attr attr, now;
	unsigned int mask = q->mask & SAME;
	int ret;

	if (o == NULL || !rsvd_ok(&q->attr) || q->attr.state > PHCA_QPS_ERR || q->attr.cur_state > PHCA_QPS_ERR)
		return -EINVAL;
	ret = phca_qp_query(o->qp, &now);
	if (ret == 0)
		ret = verbs_check(o, q, now.state);
	if (ret != 0)
		return ret;
	if (q->mask & IBV_PKEY_INDEX)
		mask |= PHCA_QP_PKEY;
	attr_in(&q->attr, &attr);
	ret = phca_qp_modify_within(o->qp, &attr, mask, SHORT_NS);
	if (ret == -EBUSY && mask == PHCA_QP_STATE && attr.state == PHCA_QPS_RESET) {
		c->pending = (struct pending){ .step = qp_reset_step, .handle = q->handle,
			.until_ns = phca_loop_now_ns() + LONG_NS };
		return WAITS;
	}
	return ret == 0 ? qp_modified(c, o, m) : ret;
}

int op_qp_query(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_qp *o = client_obj(c, PHCA_HOST_QP, q[0]);
	struct phca_qp_attr now;
	int ret;

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	ret = phca_qp_query(o->qp, &now);
	if (ret == 0)
		attr_out(&now, &m->out.ans.u.attr);
	return ret;
}

/* -------------------------------------------------------------- destroy */

static int qp_destroy(struct client *c, uint32_t handle, struct obj_qp *o, uint64_t wait_ns)
{
	int ret;

	if (!o->gone && c->host->conf.cb.qp_gone != NULL)
		c->host->conf.cb.qp_gone(c->host->conf.cb.arg, o->qp);
	o->gone = true;
	ret = phca_qp_destroy_within(o->qp, wait_ns);
	if (ret != 0)
		return ret;
	client_remove(c, PHCA_HOST_QP, handle);
	free(o);
	return 0;
}

static int qp_destroy_step(struct client *c, struct msg *m)
{
	uint32_t handle = c->pending.handle;
	int ret = qp_destroy(c, handle, client_obj(c, PHCA_HOST_QP, handle), 0);

	(void)m;
	return ret == -EBUSY && phca_loop_now_ns() < c->pending.until_ns ? WAITS : ret;
}

int op_qp_destroy(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_qp *o = client_obj(c, PHCA_HOST_QP, q[0]);

	int ret;

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	ret = qp_destroy(c, q[0], o, SHORT_NS);
	if (ret != -EBUSY)
		return ret;
	c->pending = (struct pending){ .step = qp_destroy_step, .handle = q[0],
		.until_ns = phca_loop_now_ns() + LONG_NS };
	return WAITS;
}

/* All are stopped before one is waited for: nobody reaches the client's memory through them. */
int qps_close(struct client *c, const struct span *t)
{
	uint64_t wait_ns = t->wait_ns;
	struct obj_qp *o;
	bool left = false;

	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_QP], &i)) != NULL; i++) {
		if (!o->gone && span_over(t))
			return MORE;
		left |= qp_destroy(c, i, o, 0) != 0;
	}
	for (uint32_t i = 0; left && (o = table_next(&c->tables[PHCA_HOST_QP], &i)) != NULL; i++) {
		if (span_over(t))
			return MORE;
		if (qp_destroy(c, i, o, wait_ns) != 0)
			wait_ns = 0; /* took its time */
	}
	return c->info.objects[PHCA_HOST_QP] > 0 ? WAITS : 0;
}

/* ------------------------------------------------------------ multicast */

static int mcast(struct client *c, struct msg *m, int (*fn)(struct phca_qp *qp, const uint8_t mgid[16]))
{
	const struct phca_admin_mcast *q = &m->in.req.u.mcast;
	struct obj_qp *o = client_obj(c, PHCA_HOST_QP, q->qp);

	return o != NULL && q->rsvd == 0 ? fn(o->qp, q->mgid) : -EINVAL;
}

int op_mcast_attach(struct client *c, struct msg *m)
{
	return mcast(c, m, phca_qp_mcast_attach);
}

int op_mcast_detach(struct client *c, struct msg *m)
{
	return mcast(c, m, phca_qp_mcast_detach);
}
