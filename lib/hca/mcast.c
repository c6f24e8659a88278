/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Multicast groups: which UD queue pairs receive what is sent to a group
 * (10.5.2).
 *
 * Invariant: a published table never changes. A control thread makes a new one,
 * puts it in the old one's place, and frees the old one when every lcore that
 * could still read it was quiescent.
 */
#include <stdlib.h>
#include <string.h>

#include "hca_impl.h"

static const struct mcast_group *group_find(const struct mcast_table *t, unsigned int port, const uint8_t mgid[16])
{
	for (unsigned int i = 0; t != NULL && i < t->nb_groups; i++)
		if (t->group[i].port == port && memcmp(t->group[i].mgid, mgid, 16) == 0)
			return &t->group[i];
	return NULL;
}

static const struct mcast_table *table(const struct phca_hca *hca)
{
	return __atomic_load_n(&hca->mcast, __ATOMIC_ACQUIRE);
}

/* ------------------------------------------------------------ data path */

/* A packet that is sent to a group reaches the group's members here, too. Room in the stage is known. */
void mcast_loop(struct shard *h, struct port *p, const struct rte_mbuf *m, const uint8_t mgid[16])
{
	struct rte_mbuf *c;

	if (group_find(table(h->hca), p->idx, mgid) == NULL)
		return;
	c = rte_pktmbuf_copy(m, h->pool, 0, UINT32_MAX);
	if (c != NULL)
		tx_put(h, p, c, true);
	else
		PHCA_STAT_ADD(p->st.mcast_no_mbuf, 1);
}

/* A copy for one more member; its verdict is one more packet received. */
static void deliver_copy(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_pkt *pkt)
{
	struct rte_mbuf *c = rte_pktmbuf_copy(m, h->pool, 0, UINT32_MAX);

	if (c == NULL) {
		PHCA_STAT_ADD(p->st.mcast_no_mbuf, 1);
		return;
	}
	PHCA_STAT_ADD(p->st.mcast_copies, 1);
	if (qp->shard != h->idx && handoff_rx(h, qp->shard, HANDOFF_RX, p, c, pkt))
		return; /* the other shard counts it */
	if (qp->shard != h->idx) {
		PHCA_STAT_ADD(p->st.rx_packets, 1);
		PHCA_STAT_ADD(p->st.rx_bytes, c->pkt_len);
		verdict_add(p, NULL, PHCA_V_HANDOFF_FULL, 1);
		rte_pktmbuf_free(c);
		return;
	}
	rx_member(h, p, qp, c, pkt);
}

/*
 * To all members of its group but one by copy. The one, *qp, is of this shard if
 * any is, and gets the packet itself. @return its verdict, MCAST without members
 */
enum phca_verdict mcast_deliver(struct shard *h, struct port *p, struct rte_mbuf *m, const struct phca_pkt *pkt,
		struct phca_qp **one, bool *kept)
{
	const struct mcast_group *g;
	struct phca_pkt to = *pkt;
	struct phca_qp *mine = NULL;
	uint8_t sgid[16], mgid[16];

	if (pkt->dqpn != PHCA_QPN_MULTICAST || !(pkt->flags & PHCA_PKT_MULTICAST))
		return PHCA_V_MCAST;
	phca_pkt_gids(rte_pktmbuf_mtod(m, void *), pkt, sgid, mgid);
	g = group_find(table(h->hca), p->idx, mgid);
	for (unsigned int i = 0; g != NULL && i < g->nb_qps; i++) {
		struct phca_qp *qp = qp_lookup(h->hca, g->qpn[i]);

		if (qp == NULL)
			continue;
		if (mine == NULL && qp->shard == h->idx) {
			mine = qp;
			continue;
		}
		to.dqpn = qp->qpn;
		deliver_copy(h, p, qp, m, &to);
	}
	if (mine == NULL) /* members elsewhere have their copies */
		return g == NULL ? PHCA_V_MCAST : PHCA_V_DIRECT;
	to.dqpn = mine->qpn;
	*one = mine;
	return respond(h, p, mine, m, &to, kept);
}

/* -------------------------------------------------------- control thread */

static void table_free(struct mcast_table *t)
{
	for (unsigned int i = 0; t != NULL && i < t->nb_groups; i++)
		free(t->group[i].qpn);
	free(t);
}

/* No lcore runs the HCA any more. */
void mcast_fini(struct phca_hca *hca)
{
	table_free(hca->mcast);
}

/* A copy with @p group_more empty groups behind. */
static struct mcast_table *table_copy(const struct mcast_table *old, unsigned int group_more)
{
	unsigned int n = old ? old->nb_groups : 0;
	struct mcast_table *t = calloc(1, sizeof(*t) + (n + group_more) * sizeof(t->group[0]));

	for (unsigned int i = 0; t != NULL && i < n; i++) {
		t->group[i] = old->group[i];
		/* one more than there are: who joins finds the room */
		t->group[i].qpn = calloc(old->group[i].nb_qps + 1, sizeof(uint32_t));
		t->nb_groups = i + 1;
		if (t->group[i].qpn == NULL) {
			table_free(t);
			return NULL;
		}
		memcpy(t->group[i].qpn, old->group[i].qpn, old->group[i].nb_qps * sizeof(uint32_t));
	}
	return t;
}

static void publish(struct phca_hca *hca, struct mcast_table *t)
{
	struct mcast_table *old = hca->mcast;

	__atomic_store_n(&hca->mcast, t, __ATOMIC_RELEASE);
	hca_quiesce(hca);
	table_free(old);
}

static int member_find(const struct mcast_group *g, uint32_t qpn)
{
	for (unsigned int i = 0; g != NULL && i < g->nb_qps; i++)
		if (g->qpn[i] == qpn)
			return (int)i;
	return -ENOENT;
}

int phca_qp_mcast_attach(struct phca_qp *qp, const uint8_t mgid[16])
{
	struct phca_hca *hca = qp->hca;
	const struct mcast_group *old = group_find(hca->mcast, qp->port, mgid);
	struct mcast_table *t;
	struct mcast_group *g;
	int ret;

	if (qp->transport != PHCA_TRANSPORT_UD || qp->dead || !phca_gid_is_multicast(mgid))
		return -EINVAL;
	if (member_find(old, qp->qpn) >= 0)
		return 0;
	if (old == NULL && hca->mcast != NULL && hca->mcast->nb_groups == PHCA_MCAST_GROUP_MAX)
		return -ENOSPC;
	t = table_copy(hca->mcast, old == NULL);
	if (t == NULL)
		return -ENOMEM;
	if (old == NULL) {
		g = &t->group[t->nb_groups];
		g->qpn = calloc(1, sizeof(uint32_t));
		ret = g->qpn ? phca_net_mcast_join(hca->nets[qp->port], mgid) : -ENOMEM;
		if (ret != 0) {
			free(g->qpn);
			table_free(t);
			return ret;
		}
		memcpy(g->mgid, mgid, 16);
		g->port = qp->port;
		t->nb_groups++;
	} else {
		g = &t->group[old - hca->mcast->group];
	}
	g->qpn[g->nb_qps++] = qp->qpn;
	qp->nb_mcast++;
	publish(hca, t);
	return 0;
}

int phca_qp_mcast_detach(struct phca_qp *qp, const uint8_t mgid[16])
{
	struct phca_hca *hca = qp->hca;
	const struct mcast_group *old = group_find(hca->mcast, qp->port, mgid);
	int i = member_find(old, qp->qpn);
	struct mcast_table *t;
	struct mcast_group *g;

	if (i < 0)
		return -EINVAL;
	t = table_copy(hca->mcast, 0);
	if (t == NULL)
		return -ENOMEM;
	g = &t->group[old - hca->mcast->group];
	g->qpn[i] = g->qpn[--g->nb_qps];
	if (g->nb_qps == 0) {
		phca_net_mcast_leave(hca->nets[qp->port], mgid);
		free(g->qpn);
		*g = t->group[--t->nb_groups];
	}
	qp->nb_mcast--;
	publish(hca, t);
	return 0;
}

/* Before its queue pair goes. */
void mcast_leave_all(struct phca_qp *qp)
{
	while (qp->nb_mcast > 0) {
		const struct mcast_table *t = qp->hca->mcast;
		uint8_t mgid[16];
		unsigned int i = 0;

		while (member_find(&t->group[i], qp->qpn) < 0)
			i++;
		memcpy(mgid, t->group[i].mgid, 16);
		if (phca_qp_mcast_detach(qp, mgid) != 0)
			hca_wait(qp->hca); /* no memory now */
	}
}
