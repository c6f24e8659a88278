/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Modify and query: the state table of a queue pair (10.3.1, 11.2.5.2).
 *
 * Each transition names the attributes it requires and those it also allows; a
 * call that lacks one of the former or has one outside both is refused and
 * changes nothing.
 */
#include <string.h>

#include <rte_common.h>

#include "hca_impl.h"

#define UD_KEYS (PHCA_QP_PKEY | PHCA_QP_QKEY)
#define CONN_KEYS (PHCA_QP_PKEY | PHCA_QP_ACCESS)
#define CONN_RTR (PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN)
#define RC_RTR (CONN_RTR | PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER)
#define RC_RTS (PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC)
#define RC_LIVE (PHCA_QP_CUR_STATE | PHCA_QP_ACCESS | PHCA_QP_MIN_RNR_TIMER)
#define UC_LIVE (PHCA_QP_CUR_STATE | PHCA_QP_ACCESS)
#define UD_LIVE (PHCA_QP_CUR_STATE | PHCA_QP_QKEY)
#define RC_SQD (PHCA_QP_AV | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC | \
	PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_ACCESS | PHCA_QP_PKEY | PHCA_QP_MIN_RNR_TIMER)

/*
 * A row of the table; the first that fits counts. As ib_modify_qp_is_ok of
 * Linux, without what is given at creation (port) or not supported (alternate
 * paths); a UC queue pair need not have an address vector.
 */
static const struct transition {
	uint8_t from, to;
	uint8_t transport; /* enum phca_transport */
	uint32_t required, allowed;
} transitions[] = {
	{ PHCA_QPS_RESET, PHCA_QPS_INIT, PHCA_TRANSPORT_UD, UD_KEYS, 0 },
	{ PHCA_QPS_RESET, PHCA_QPS_INIT, PHCA_TRANSPORT_UC, CONN_KEYS, 0 },
	{ PHCA_QPS_RESET, PHCA_QPS_INIT, PHCA_TRANSPORT_RC, CONN_KEYS, 0 },
	{ PHCA_QPS_INIT, PHCA_QPS_INIT, PHCA_TRANSPORT_UD, 0, UD_KEYS },
	{ PHCA_QPS_INIT, PHCA_QPS_INIT, PHCA_TRANSPORT_UC, 0, CONN_KEYS },
	{ PHCA_QPS_INIT, PHCA_QPS_INIT, PHCA_TRANSPORT_RC, 0, CONN_KEYS },
	{ PHCA_QPS_INIT, PHCA_QPS_RTR, PHCA_TRANSPORT_UD, 0, UD_KEYS },
	{ PHCA_QPS_INIT, PHCA_QPS_RTR, PHCA_TRANSPORT_UC, CONN_RTR, CONN_KEYS | PHCA_QP_AV },
	{ PHCA_QPS_INIT, PHCA_QPS_RTR, PHCA_TRANSPORT_RC, RC_RTR, CONN_KEYS },
	{ PHCA_QPS_RTR, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, PHCA_QP_SQ_PSN, UD_LIVE },
	{ PHCA_QPS_RTR, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, PHCA_QP_SQ_PSN, UC_LIVE },
	{ PHCA_QPS_RTR, PHCA_QPS_RTS, PHCA_TRANSPORT_RC, RC_RTS, RC_LIVE },
	{ PHCA_QPS_RTS, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, 0, UD_LIVE },
	{ PHCA_QPS_RTS, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, 0, UC_LIVE },
	{ PHCA_QPS_RTS, PHCA_QPS_RTS, PHCA_TRANSPORT_RC, 0, RC_LIVE },
	{ PHCA_QPS_RTS, PHCA_QPS_SQD, PHCA_TRANSPORT_UD, 0, PHCA_QP_EN_SQD_NOTIFY },
	{ PHCA_QPS_RTS, PHCA_QPS_SQD, PHCA_TRANSPORT_UC, 0, PHCA_QP_EN_SQD_NOTIFY },
	{ PHCA_QPS_RTS, PHCA_QPS_SQD, PHCA_TRANSPORT_RC, 0, PHCA_QP_EN_SQD_NOTIFY },
	{ PHCA_QPS_SQD, PHCA_QPS_SQD, PHCA_TRANSPORT_UD, 0, UD_KEYS },
	{ PHCA_QPS_SQD, PHCA_QPS_SQD, PHCA_TRANSPORT_UC, 0, CONN_KEYS | PHCA_QP_AV },
	{ PHCA_QPS_SQD, PHCA_QPS_SQD, PHCA_TRANSPORT_RC, 0, RC_SQD },
	{ PHCA_QPS_SQD, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, 0, UD_LIVE },
	{ PHCA_QPS_SQD, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, 0, UC_LIVE },
	{ PHCA_QPS_SQD, PHCA_QPS_RTS, PHCA_TRANSPORT_RC, 0, RC_LIVE },
	{ PHCA_QPS_SQE, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, 0, UD_LIVE },
	{ PHCA_QPS_SQE, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, 0, UC_LIVE },
};

static const struct transition *transition_find(const struct phca_qp *qp, enum phca_qp_state to)
{
	for (unsigned int i = 0; i < RTE_DIM(transitions); i++)
		if (transitions[i].from == qp->state && transitions[i].to == to &&
		    transitions[i].transport == qp->transport)
			return &transitions[i];
	return NULL;
}

/* A connected peer has one address, reached from one of ours. */
static bool av_ok(const struct phca_qp *qp, const struct phca_av *av)
{
	const uint8_t *sgid = phca_net_gid(qp->hca->nets[qp->port], av->sgid_index);

	return sgid != NULL && !phca_gid_is_multicast(av->dgid) && phca_gid_is_ip4(sgid) == phca_gid_is_ip4(av->dgid);
}

static bool values_ok(const struct phca_qp *qp, const struct phca_qp_attr *a, unsigned int mask)
{
	uint16_t port_mtu = phca_net_mtu(qp->hca->nets[qp->port]);

	if (mask & PHCA_QP_PATH_MTU && (a->path_mtu < PHCA_MTU_MIN || a->path_mtu > port_mtu ||
					(a->path_mtu & (a->path_mtu - 1)) != 0))
		return false;
	if (mask & PHCA_QP_AV && !av_ok(qp, &a->av))
		return false;
	if ((mask & PHCA_QP_TIMEOUT && a->timeout > 31) || (mask & PHCA_QP_MIN_RNR_TIMER && a->min_rnr_timer > 31) ||
	    (mask & PHCA_QP_RETRY_CNT && a->retry_cnt > 7) || (mask & PHCA_QP_RNR_RETRY && a->rnr_retry > 7) ||
	    (mask & PHCA_QP_MAX_RD_ATOMIC && a->max_rd_atomic > PHCA_RD_ATOMIC_MAX) ||
	    (mask & PHCA_QP_MAX_DEST_RD_ATOMIC && a->max_dest_rd_atomic > PHCA_RD_ATOMIC_MAX))
		return false;
	if (mask & PHCA_QP_DEST_QPN && a->dest_qpn > PHCA_QPN_MAX)
		return false;
	return !(mask & PHCA_QP_ACCESS) || (a->access & ~PHCA_ACCESS_ALL) == 0;
}

struct modify_arg {
	struct phca_qp *qp;
	const struct phca_qp_attr *attr;
	unsigned int mask;
	enum phca_qp_state to;
	uint64_t line_bps; /* to RTR */
};

/* HCA lcore: apply what was checked. */
static void apply(struct phca_qp *qp, const struct phca_qp_attr *a, unsigned int mask)
{
	if (mask & PHCA_QP_PKEY)
		qp->pkey = a->pkey;
	if (mask & PHCA_QP_QKEY)
		qp->qkey = a->qkey;
	if (mask & PHCA_QP_ACCESS)
		qp->access = a->access;
	if (mask & PHCA_QP_DEST_QPN)
		qp->dest_qpn = a->dest_qpn;
	if (mask & PHCA_QP_PATH_MTU)
		qp->path_mtu = a->path_mtu;
	if (mask & PHCA_QP_RQ_PSN)
		qp->resp.epsn = a->rq_psn;
	if (mask & PHCA_QP_SQ_PSN)
		qp->sq_psn = a->sq_psn;
	if (mask & PHCA_QP_TIMEOUT)
		qp->timeout = a->timeout;
	if (mask & PHCA_QP_RETRY_CNT)
		qp->retry_cnt = a->retry_cnt;
	if (mask & PHCA_QP_RNR_RETRY)
		qp->rnr_retry = a->rnr_retry;
	if (mask & PHCA_QP_MAX_RD_ATOMIC)
		qp->max_rd_atomic = a->max_rd_atomic;
	if (mask & PHCA_QP_MAX_DEST_RD_ATOMIC)
		qp->max_dest_rd_atomic = a->max_dest_rd_atomic;
	if (mask & PHCA_QP_MIN_RNR_TIMER)
		qp->min_rnr_timer = a->min_rnr_timer;
	if (mask & PHCA_QP_AV) {
		qp->av = a->av;
		memcpy(qp->sgid, phca_net_gid(qp->hca->nets[qp->port], a->av.sgid_index), sizeof(qp->sgid));
		qp->check_peer = true;
		qp->conn.known = false;
	}
}

static int modify(void *arg)
{
	struct modify_arg *m = arg;
	struct phca_qp *qp = m->qp;
	const struct transition *t;

	if (m->to == PHCA_QPS_ERR) {
		if (qp->state == PHCA_QPS_RESET)
			return -EINVAL; /* as ib_modify_qp_is_ok: there is nothing to flush */
		qp_error(shard_of(qp), qp, PHCA_EVENT_QP_FATAL, PHCA_WC_WR_FLUSH_ERR);
		return 0;
	}
	if (m->mask & PHCA_QP_CUR_STATE && m->attr->cur_state != qp->state)
		return -EINVAL;
	t = transition_find(qp, m->to); /* the state may have moved since the check */
	if (t == NULL || (m->mask & t->required) != t->required ||
	    m->mask & ~(unsigned int)(t->required | t->allowed))
		return -EINVAL;
	apply(qp, m->attr, m->mask);
	if (m->to == PHCA_QPS_RTR)
		congestion_start(shard_of(qp), qp, m->line_bps);
	if (qp->state == PHCA_QPS_SQE)
		flush_remove(shard_of(qp), qp);
	if (m->to == PHCA_QPS_RTS)
		requester_rts(shard_of(qp), qp); /* what was posted before */
	__atomic_store_n(&qp->state, m->to, __ATOMIC_RELAXED);
	if (m->mask & PHCA_QP_EN_SQD_NOTIFY) {
		qp->req.drain_notify = m->attr->en_sqd_notify;
		requester_drain_check(shard_of(qp), qp);
	}
	return 0;
}

int phca_qp_modify(struct phca_qp *qp, const struct phca_qp_attr *attr, unsigned int mask)
{
	return phca_qp_modify_within(qp, attr, mask, WAIT_LIMIT_NS);
}

int phca_qp_modify_within(struct phca_qp *qp, const struct phca_qp_attr *attr, unsigned int mask, uint64_t timeout_ns)
{
	struct modify_arg m = {
		.qp = qp, .attr = attr, .mask = mask & ~(unsigned int)PHCA_QP_STATE,
		.to = mask & PHCA_QP_STATE ? attr->state : PHCA_STAT_GET(qp->state),
	};

	if (qp->dead || !values_ok(qp, attr, mask))
		return -EINVAL;
	if (m.to == PHCA_QPS_RESET || m.to == PHCA_QPS_ERR) {
		if (m.mask != 0)
			return -EINVAL;
		if (m.to == PHCA_QPS_RESET)
			return qp_reset(qp, timeout_ns);
	}
	if (qp->leaving)
		return -EBUSY;
	if (m.to == PHCA_QPS_RTR)
		m.line_bps = congestion_line_bps(qp->hca, qp->port); /* may ask the device */
	return qp_call(qp, modify, &m);
}

struct query_arg {
	const struct phca_qp *qp;
	struct phca_qp_attr *attr;
};

static int query(void *arg)
{
	struct query_arg *q = arg;
	const struct phca_qp *qp = q->qp;

	*q->attr = (struct phca_qp_attr){
		.state = qp->state, .pkey = qp->pkey, .qkey = qp->qkey, .access = qp->access,
		.dest_qpn = qp->dest_qpn, .path_mtu = qp->path_mtu, .rq_psn = qp->resp.epsn,
		.sq_psn = qp->sq_psn, .av = qp->av, .timeout = qp->timeout, .retry_cnt = qp->retry_cnt,
		.rnr_retry = qp->rnr_retry, .max_rd_atomic = qp->max_rd_atomic,
		.max_dest_rd_atomic = qp->max_dest_rd_atomic, .min_rnr_timer = qp->min_rnr_timer,
		.sq_draining = qp->state == PHCA_QPS_SQD && !requester_drained(qp),
	};
	return 0;
}

int phca_qp_query(struct phca_qp *qp, struct phca_qp_attr *attr)
{
	struct query_arg q = { qp, attr };

	return qp_call(qp, query, &q);
}

const char *phca_qp_state_str(enum phca_qp_state s)
{
	static const char *const str[] = { "RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR" };

	return (unsigned int)s < RTE_DIM(str) ? str[s] : "?";
}

const char *phca_qp_type_str(enum phca_qp_type t)
{
	switch (t) {
	case PHCA_QPT_RC: return "RC";
	case PHCA_QPT_UC: return "UC";
	case PHCA_QPT_UD: return "UD";
	default: return "?";
	}
}
