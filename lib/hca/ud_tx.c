/* SPDX-License-Identifier: BSD-3-Clause */
/* A UD SEND is one packet, to where its work request says, and done when it is staged. */
#include <string.h>

#include "hca_impl.h"

static void ud_header(const struct phca_qp *qp, const struct port *p, const struct phca_offload_wr *wr,
		const uint8_t dmac[6], struct phca_wire_hdr *hd)
{
	const struct phca_send_wqe *w = &wr->wqe;
	const struct phca_av *av = &w->u.ud.av;
	uint16_t vid = 0;

	memset(hd, 0, sizeof(*hd));
	memcpy(hd->dmac, dmac, 6);
	memcpy(hd->smac, phca_net_mac(p->net), 6);
	hd->vlan = phca_net_vlan(p->net, &vid);
	hd->vlan_tci = (uint16_t)((av->sl & 7) << 13 | vid);
	memcpy(hd->sgid, phca_net_gid(p->net, av->sgid_index), 16);
	memcpy(hd->dgid, av->dgid, 16);
	hd->ip6 = memcmp(av->dgid, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0;
	hd->tclass = av->traffic_class;
	hd->hop_limit = av->hop_limit ? av->hop_limit : 64;
	hd->flow_label = av->flow_label & 0xfffff;
	hd->udp_sport = (uint16_t)(0xc000 | ((qp->qpn ^ w->u.ud.remote_qpn * 0x9e3779b1u) & 0x3fff));
	hd->pkey = qp->pkey;
	hd->opcode = w->opcode == PHCA_WR_SEND_WITH_IMM ? PHCA_UD_SEND_ONLY_IMM : PHCA_UD_SEND_ONLY;
	hd->solicited = w->flags & PHCA_SEND_SOLICITED;
	hd->dqpn = w->u.ud.remote_qpn;
	hd->psn = qp->sq_psn;
	/* a Q_Key with the top bit set stands for the QP's own (10.2.5) */
	hd->qkey = w->u.ud.remote_qkey & 0x80000000u ? qp->qkey : w->u.ud.remote_qkey;
	hd->sqpn = qp->qpn;
	hd->imm = w->imm;
}

/* @return the packet; NULL: no buffer. *status: the payload could not be read. */
static struct rte_mbuf *ud_packet(struct shard *h, struct phca_qp *qp, const struct port *p,
		const struct phca_offload_wr *wr, const uint8_t dmac[6], uint32_t *status)
{
	struct phca_wire_hdr hd;
	struct rte_mbuf *m;
	uint8_t *frame;
	uint32_t n;

	m = rte_pktmbuf_alloc(h->pool);
	if (m == NULL)
		return NULL;
	ud_header(qp, p, wr, dmac, &hd);
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	n = phca_wire_build(frame, &hd, wr->len);
	if (wr->inline_data != NULL)
		memcpy(frame + n, wr->inline_data, wr->len);
	else if (phca_sg_gather(h->mem, wr->pd, wr->sge, wr->wqe.num_sge, 0, frame + n, wr->len) != PHCA_MEM_OK)
		*status = PHCA_WC_LOC_PROT_ERR;
	m->data_len = (uint16_t)phca_wire_finish(frame, &hd, wr->len);
	m->pkt_len = m->data_len;
	return m;
}

/* It has ended, one way or another. */
static enum sq_result ended(struct phca_qp *qp, struct sq_wr *e, uint32_t status)
{
	struct requester *r = &qp->req;

	e->status = (uint8_t)status;
	sq_wr_begins(r, e);
	r->acked = r->cur = r->begun;
	return SQ_DONE;
}

enum sq_result ud_issue(struct shard *h, struct phca_qp *qp, struct sq_wr *e)
{
	const struct phca_av *av = &e->wr->wqe.u.ud.av;
	struct port *p = h->ports[qp->port];
	enum phca_neigh_state ns = PHCA_NEIGH_READY;
	uint32_t status = PHCA_WC_SUCCESS;
	uint8_t mac[6];
	struct rte_mbuf *m;

	if (!tx_room(h, p))
		return SQ_WAIT;
	memcpy(mac, av->dmac, 6);
	if (memcmp(mac, "\0\0\0\0\0\0", 6) == 0)
		ns = resolve(h, p, qp, av->sgid_index, av->dgid, mac);
	if (ns == PHCA_NEIGH_PENDING)
		return SQ_WAIT;
	if (ns == PHCA_NEIGH_FAILED) { /* as a network that drops it */
		PHCA_STAT_ADD(qp->st.tx_unresolved, 1);
		return ended(qp, e, PHCA_WC_SUCCESS);
	}
	m = ud_packet(h, qp, p, e->wr, mac, &status);
	if (m == NULL) {
		PHCA_STAT_ADD(p->st.tx_no_mbuf, 1);
		return SQ_WAIT;
	}
	if (unlikely(status != PHCA_WC_SUCCESS)) { /* the region went away since the check */
		rte_pktmbuf_free(m);
		return ended(qp, e, status);
	}
	if (unlikely(phca_gid_is_multicast(av->dgid)))
		mcast_loop(h, p, m, av->dgid);
	tx_put(h, p, m, phca_net_is_own(p->net, av->dgid));
	qp->sq_psn = phca_psn_add(qp->sq_psn, 1);
	PHCA_STAT_ADD(qp->st.tx_packets, 1);
	PHCA_STAT_ADD(qp->st.tx_bytes, e->wr->len);
	return ended(qp, e, PHCA_WC_SUCCESS);
}
