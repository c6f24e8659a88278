/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets of a connected queue pair (RC, UC), requests and responses alike:
 * where they go and what all of them have in their headers.
 *
 * Invariant: a packet is only built when tx_room and conn_path said yes, so one
 * that is built is sent.
 */
#include <string.h>

#include "hca_impl.h"

#define PATH_FRESH_NS 100000000u /* a MAC address is asked for again after that */

/* The way to the peer: READY, then conn_header can be called; else later, or never (FAILED). */
enum phca_neigh_state conn_path(struct shard *h, struct port *p, struct phca_qp *qp)
{
	struct conn *c = &qp->conn;
	enum phca_neigh_state s;

	if (likely(c->known && h->now_ns - c->known_ns < PATH_FRESH_NS))
		return PHCA_NEIGH_READY;
	memcpy(c->dmac, qp->av.dmac, 6);
	s = PHCA_NEIGH_READY;
	if (memcmp(c->dmac, "\0\0\0\0\0\0", 6) == 0)
		s = resolve(h, p, qp, qp->av.sgid_index, qp->av.dgid, c->dmac);
	c->known = s == PHCA_NEIGH_READY;
	c->known_ns = h->now_ns;
	c->own = phca_net_is_own(p->net, qp->av.dgid);
	return s;
}

/* All headers but the extended ones, which the caller fills in. */
void conn_header(const struct phca_qp *qp, const struct port *p, uint8_t opcode, struct phca_psn psn,
		struct phca_wire_hdr *hd)
{
	const struct phca_av *av = &qp->av;
	uint16_t vid = 0;

	memset(hd, 0, sizeof(*hd));
	memcpy(hd->dmac, qp->conn.dmac, 6);
	memcpy(hd->smac, phca_net_mac(p->net), 6);
	hd->vlan = phca_net_vlan(p->net, &vid);
	hd->vlan_tci = (uint16_t)((av->sl & 7) << 13 | vid);
	memcpy(hd->sgid, phca_net_gid(p->net, av->sgid_index), 16);
	memcpy(hd->dgid, av->dgid, 16);
	hd->ip6 = !phca_gid_is_ip4(av->dgid);
	hd->tclass = p->ect ? (uint8_t)((av->traffic_class & 0xfc) | PHCA_ECN_ECT0) : av->traffic_class;
	hd->hop_limit = av->hop_limit ? av->hop_limit : 64;
	hd->flow_label = av->flow_label & 0xfffff;
	/* one flow of the network for a connection, both ways different (A17.9.2) */
	hd->udp_sport = (uint16_t)(0xc000 | ((qp->qpn ^ qp->dest_qpn * 0x9e3779b1u) & 0x3fff));
	hd->pkey = qp->pkey;
	hd->migreq = true; /* migrated, as all do that do not migrate */
	hd->opcode = opcode;
	hd->dqpn = qp->dest_qpn;
	hd->psn = psn;
}

/* The payload is in place behind the headers, *m as phca_wire_build left it. @param crc  of it, or NULL */
void conn_send(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_wire_hdr *hd, uint32_t payload_len, const struct phca_wire_crc *crc)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);

	if (crc != NULL)
		m->data_len = (uint16_t)phca_wire_finish_known(frame, hd, payload_len, *crc);
	else
		m->data_len = (uint16_t)phca_wire_finish(frame, hd, payload_len);
	m->pkt_len = m->data_len;
	tx_put(h, p, m, qp->conn.own);
	congestion_sent(h, qp, m->pkt_len);
	PHCA_STAT_ADD(qp->st.tx_packets, 1);
	PHCA_STAT_ADD(qp->st.tx_bytes, payload_len);
}
