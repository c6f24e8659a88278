/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Attributes of queue pairs: moved between states, asked, and the answers about
 * capabilities that peers would negotiate (ECE).
 *
 * Invariant: qp.state, which programs read, is what the appliance last said.
 */
#include <string.h>

#include "control.h"

#define MASK (IBV_QP_STATE | IBV_QP_CUR_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY | IBV_QP_ACCESS_FLAGS | \
	IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_TIMEOUT | \
	IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_RQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC | \
	IBV_QP_MIN_RNR_TIMER | IBV_QP_SQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_DEST_QPN)
#define OPTIONAL_ACCESS ((unsigned int)IBV_ACCESS_OPTIONAL_RANGE)

/* Only what the mask names is read: the rest of the application's struct may be anything. */
static int from_attr(const struct ibv_qp_attr *a, int mask, struct phca_admin_qp_attr *q)
{
	memset(q, 0, sizeof(*q));
#define GIVEN(bit, field, value) \
	do { \
		if (mask & (bit)) \
			q->field = (value); \
	} while (0)
	GIVEN(IBV_QP_STATE, state, a->qp_state);
	GIVEN(IBV_QP_CUR_STATE, cur_state, a->cur_qp_state);
	GIVEN(IBV_QP_EN_SQD_ASYNC_NOTIFY, en_sqd_notify, a->en_sqd_async_notify != 0);
	GIVEN(IBV_QP_ACCESS_FLAGS, access, a->qp_access_flags & ~OPTIONAL_ACCESS);
	GIVEN(IBV_QP_PKEY_INDEX, pkey_index, a->pkey_index);
	GIVEN(IBV_QP_PORT, port_num, a->port_num);
	GIVEN(IBV_QP_QKEY, qkey, a->qkey);
	GIVEN(IBV_QP_PATH_MTU, path_mtu, mtu_to_bytes(a->path_mtu));
	GIVEN(IBV_QP_TIMEOUT, timeout, a->timeout);
	GIVEN(IBV_QP_RETRY_CNT, retry_cnt, a->retry_cnt);
	GIVEN(IBV_QP_RNR_RETRY, rnr_retry, a->rnr_retry);
	GIVEN(IBV_QP_RQ_PSN, rq_psn, a->rq_psn & 0xffffff);
	GIVEN(IBV_QP_MAX_QP_RD_ATOMIC, max_rd_atomic, a->max_rd_atomic);
	GIVEN(IBV_QP_MIN_RNR_TIMER, min_rnr_timer, a->min_rnr_timer);
	GIVEN(IBV_QP_SQ_PSN, sq_psn, a->sq_psn & 0xffffff);
	GIVEN(IBV_QP_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic, a->max_dest_rd_atomic);
	GIVEN(IBV_QP_DEST_QPN, dest_qpn, a->dest_qp_num & 0xffffff);
#undef GIVEN
	if ((mask & IBV_QP_PATH_MTU) && q->path_mtu == 0)
		return -EINVAL;
	return mask & IBV_QP_AV ? -av_from_attr(&a->ah_attr, &q->av) : 0;
}

static void to_attr(const struct phca_admin_qp_attr *q, const struct vqp *qp, struct ibv_qp_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->qp_state = (enum ibv_qp_state)q->state;
	a->cur_qp_state = (enum ibv_qp_state)q->cur_state;
	a->path_mtu = q->path_mtu == 0 ? IBV_MTU_1024 : bytes_to_mtu(q->path_mtu);
	a->path_mig_state = IBV_MIG_MIGRATED;
	a->qkey = q->qkey;
	a->rq_psn = q->rq_psn;
	a->sq_psn = q->sq_psn;
	a->dest_qp_num = q->dest_qpn;
	a->qp_access_flags = q->access;
	a->cap = qp->init.cap;
	av_to_attr(&q->av, &a->ah_attr);
	a->pkey_index = q->pkey_index;
	a->en_sqd_async_notify = q->en_sqd_notify;
	a->sq_draining = q->sq_draining;
	a->max_rd_atomic = q->max_rd_atomic;
	a->max_dest_rd_atomic = q->max_dest_rd_atomic;
	a->min_rnr_timer = q->min_rnr_timer;
	a->port_num = q->port_num;
	a->timeout = q->timeout;
	a->retry_cnt = q->retry_cnt;
	a->rnr_retry = q->rnr_retry;
}

/* The QP forgot what was posted; so do we. */
static void emptied(struct vctx *ctx, struct vqp *qp)
{
	pthread_mutex_lock(&ctx->objs_lock);
	vqp_lock_cqs(qp);
	vcq_forget_qp(qp);
	vqp_unlock_cqs(qp);
	pthread_mutex_unlock(&ctx->objs_lock);
}

int ibv_modify_qp(struct ibv_qp *ibqp, struct ibv_qp_attr *attr, int attr_mask)
{
	struct vqp *qp = to_vqp(ibqp);
	struct vctx *ctx = to_vctx(ibqp->context);
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int mask = attr_mask, rc;
	uint8_t mac[6];

	if ((mask & IBV_QP_PATH_MIG_STATE) && attr->path_mig_state == IBV_MIG_MIGRATED)
		mask &= ~IBV_QP_PATH_MIG_STATE; /* as it always is */
	if (mask & ~MASK)
		return EOPNOTSUPP;
	admin_req(&req, PHCA_ADMIN_QP_MODIFY);
	req.u.qp_modify.handle = ibqp->handle;
	req.u.qp_modify.mask = (uint32_t)mask;
	rc = from_attr(attr, mask, &req.u.qp_modify.attr);
	if (rc == 0 && (mask & IBV_QP_AV))
		rc = av_resolve(ctx, &req.u.qp_modify.attr.av, mac); /* so that it is known when data comes */
	if (rc == 0)
		rc = admin_call(ctx, &req, &ans);
	if (rc != 0)
		return -rc;
	if ((mask & IBV_QP_STATE) && attr->qp_state == IBV_QPS_RESET)
		emptied(ctx, qp);
	ibqp->state = (enum ibv_qp_state)ans.u.attr.state;
	return 0;
}

int ibv_query_qp(struct ibv_qp *ibqp, struct ibv_qp_attr *attr, int attr_mask,
	struct ibv_qp_init_attr *init_attr)
{
	struct vqp *qp = to_vqp(ibqp);
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc;

	(void)attr_mask; /* all of them, always */
	admin_req(&req, PHCA_ADMIN_QP_QUERY);
	req.u.handle[0] = ibqp->handle;
	rc = admin_call(to_vctx(ibqp->context), &req, &ans);
	if (rc != 0)
		return -rc;
	to_attr(&ans.u.attr, qp, attr);
	*init_attr = qp->init;
	ibqp->state = attr->qp_state;
	return 0;
}

/* Enhanced connection establishment: there is nothing that this device would negotiate. */
int ibv_set_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
	(void)qp;
	if (ece->comp_mask != 0)
		return EINVAL;
	return ece->vendor_id == 0 && ece->options == 0 ? 0 : EOPNOTSUPP;
}

int ibv_query_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
	(void)qp;
	memset(ece, 0, sizeof(*ece));
	return 0;
}

/* Whether bytes of a WRITE or a receive can be polled in ascending order: not promised. */
int ibv_query_qp_data_in_order(struct ibv_qp *qp, enum ibv_wr_opcode op, uint32_t flags)
{
	(void)qp, (void)op, (void)flags;
	return 0;
}
