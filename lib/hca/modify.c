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

#define ATTR_UD (PHCA_QP_PKEY | PHCA_QP_QKEY)
#define ATTR_UC (PHCA_QP_PKEY | PHCA_QP_ACCESS)

/* A row of the table; the first that fits counts. */
static const struct transition {
	uint8_t from, to;
	uint8_t transport; /* enum phca_transport */
	uint16_t required, allowed;
} transitions[] = {
	{ PHCA_QPS_RESET, PHCA_QPS_INIT, PHCA_TRANSPORT_UD, ATTR_UD, 0 },
	{ PHCA_QPS_RESET, PHCA_QPS_INIT, PHCA_TRANSPORT_UC, ATTR_UC, 0 },
	{ PHCA_QPS_INIT, PHCA_QPS_INIT, PHCA_TRANSPORT_UD, 0, ATTR_UD },
	{ PHCA_QPS_INIT, PHCA_QPS_INIT, PHCA_TRANSPORT_UC, 0, ATTR_UC },
	{ PHCA_QPS_INIT, PHCA_QPS_RTR, PHCA_TRANSPORT_UD, 0, ATTR_UD },
	{ PHCA_QPS_INIT, PHCA_QPS_RTR, PHCA_TRANSPORT_UC,
	  PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN, ATTR_UC | PHCA_QP_AV },
	{ PHCA_QPS_RTR, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, PHCA_QP_SQ_PSN, PHCA_QP_QKEY },
	{ PHCA_QPS_RTR, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, PHCA_QP_SQ_PSN, PHCA_QP_ACCESS },
	{ PHCA_QPS_RTS, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, 0, PHCA_QP_QKEY },
	{ PHCA_QPS_RTS, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, 0, PHCA_QP_ACCESS },
	{ PHCA_QPS_RTS, PHCA_QPS_SQD, PHCA_TRANSPORT_UD, 0, 0 },
	{ PHCA_QPS_RTS, PHCA_QPS_SQD, PHCA_TRANSPORT_UC, 0, 0 },
	{ PHCA_QPS_SQD, PHCA_QPS_SQD, PHCA_TRANSPORT_UD, 0, ATTR_UD },
	{ PHCA_QPS_SQD, PHCA_QPS_SQD, PHCA_TRANSPORT_UC, 0, ATTR_UC | PHCA_QP_AV },
	{ PHCA_QPS_SQD, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, 0, PHCA_QP_QKEY },
	{ PHCA_QPS_SQD, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, 0, PHCA_QP_ACCESS },
	{ PHCA_QPS_SQE, PHCA_QPS_RTS, PHCA_TRANSPORT_UD, 0, PHCA_QP_QKEY },
	{ PHCA_QPS_SQE, PHCA_QPS_RTS, PHCA_TRANSPORT_UC, 0, PHCA_QP_ACCESS },
};

static const struct transition *transition_find(const struct phca_qp *qp, enum phca_qp_state to)
{
	for (unsigned int i = 0; i < RTE_DIM(transitions); i++)
		if (transitions[i].from == qp->state && transitions[i].to == to &&
		    transitions[i].transport == qp->transport)
			return &transitions[i];
	return NULL;
}

static bool values_ok(const struct phca_qp *qp, const struct phca_qp_attr *a, unsigned int mask)
{
	uint16_t port_mtu = phca_net_mtu(qp->hca->ports[qp->port]->net);

	if (mask & PHCA_QP_PATH_MTU && (a->path_mtu < PHCA_MTU_MIN || a->path_mtu > port_mtu ||
					(a->path_mtu & (a->path_mtu - 1)) != 0))
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
	if (mask & PHCA_QP_AV) {
		qp->av = a->av;
		qp->check_peer = true;
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
		qp_error(qp->hca, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_WR_FLUSH_ERR);
		return 0;
	}
	t = transition_find(qp, m->to); /* the state may have moved since the check */
	if (t == NULL || (m->mask & t->required) != t->required ||
	    m->mask & ~(unsigned int)(t->required | t->allowed))
		return -EINVAL;
	apply(qp, m->attr, m->mask);
	if (qp->state == PHCA_QPS_SQE)
		flush_remove(qp->hca, qp);
	__atomic_store_n(&qp->state, m->to, __ATOMIC_RELAXED);
	if (m->to == PHCA_QPS_RTS)
		ready_add(qp->hca, qp); /* what was posted before */
	return 0;
}

int phca_qp_modify(struct phca_qp *qp, const struct phca_qp_attr *attr, unsigned int mask)
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
			return qp_reset(qp);
	}
	if (qp->leaving)
		return -EBUSY;
	return phca_loop_call(qp->hca->loop, modify, &m);
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
		.sq_psn = qp->sq_psn, .av = qp->av,
	};
	return 0;
}

int phca_qp_query(struct phca_qp *qp, struct phca_qp_attr *attr)
{
	struct query_arg q = { qp, attr };

	return phca_loop_call(qp->hca->loop, query, &q);
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
