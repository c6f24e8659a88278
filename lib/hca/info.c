/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be read about queue pairs: counters with relaxed loads while the
 * data path writes them, lists as the control thread knows them.
 */
#include "hca_impl.h"

static void qp_stats(const struct phca_qp *qp, struct phca_qp_stats *st)
{
	uint64_t sum = PHCA_STAT_GET(qp->held);

#define COPY(f, u, w) st->f = PHCA_STAT_GET(qp->st.f);
	PHCA_QP_COUNTERS(COPY)
#undef COPY
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++) {
		st->verdict[v] = PHCA_STAT_GET(qp->st.verdict[v]);
		sum += st->verdict[v];
	}
	/* not counted where they follow from others */
	st->rx_packets = sum;
	st->rx_messages = st->rx_direct + st->rx_offloaded;
}

void phca_qp_info_get(const struct phca_qp *qp, struct phca_qp_info *info)
{
	*info = (struct phca_qp_info){
		.qpn = qp->qpn, .type = qp->type, .state = PHCA_STAT_GET(qp->state),
		.port = qp->port, .shard = qp->shard,
		.proxy = qp->proxy, .nb_rules = qp->nb_rules, .client = qp->client->name,
		.send_cqn = qp->cq[PHCA_DIR_SEND]->w.cqn, .recv_cqn = qp->cq[PHCA_DIR_RECV]->w.cqn,
	};
	if (qp->srq != NULL)
		info->srqn = qp->srq->srqn;
	qp_stats(qp, &info->stats);
	if (qp->pqp != NULL)
		phca_pqp_stats_get(qp->pqp, &info->pqp);
}

void phca_qp_stall_get(const struct phca_qp *qp, struct phca_hist *sum)
{
	if (qp->pqp != NULL)
		phca_pqp_stall_get(qp->pqp, sum);
}

int phca_qp_rule_info(const struct phca_qp *qp, unsigned int rule, struct phca_rule_info *info)
{
	const struct phca_filter *f;
	const struct rule *r;

	if (rule >= qp->nb_rules)
		return -EINVAL;
	r = &qp->rules[rule];
	f = r->filter != NULL ? phca_filter_slot_get(r->filter) : NULL;
	*info = (struct phca_rule_info){
		.name = r->name, .filter = f != NULL ? phca_filter_name(f) : "",
		.offload = phca_offload_name(r->offload), .send = r->send, .inbound = r->inbound,
		.matched = PHCA_STAT_GET(r->matched),
	};
	return 0;
}

int phca_qp_each(struct phca_hca *h, int (*cb)(void *arg, struct phca_qp *qp), void *arg)
{
	for (unsigned int i = 0; i < QPN_LEAF; i++) {
		for (unsigned int k = 0; h->qpn_top[i] != NULL && k < QPN_LEAF; k++) {
			struct phca_qp *qp = h->qpn_top[i][k];
			int ret = qp != NULL ? cb(arg, qp) : 0;

			if (ret != 0)
				return ret;
		}
	}
	return 0;
}

struct phca_qp *phca_qp_find(struct phca_hca *h, uint32_t qpn)
{
	return qpn <= PHCA_QPN_MAX ? qp_lookup(h, qpn) : NULL;
}

uint32_t phca_qp_num(const struct phca_qp *qp)
{
	return qp->qpn;
}

struct phca_client *phca_qp_client(const struct phca_qp *qp)
{
	return qp->client;
}

void phca_qp_rings(const struct phca_qp *qp, struct phca_ring_mem *sq, struct phca_ring_mem *rq)
{
	*sq = ring_mem(&qp->sq);
	*rq = ring_mem(&qp->rq);
}

struct phca_cq *phca_qp_cq(const struct phca_qp *qp, enum phca_dir dir)
{
	return qp->cq[dir];
}
