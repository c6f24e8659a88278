/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control at the edges of a queue pair: a marked packet that is its
 * is answered with a CNP, at most one an interval (notification point); a CNP
 * for it lowers its rate (reaction point). The arithmetic is lib/cc's.
 *
 * A CNP takes the way back that the marked packet came: its addresses are the
 * packet's, exchanged, so that nothing has to be resolved. It is not put off:
 * without room or a buffer now, the next marked packet is answered.
 *
 * Invariant: only RC and UC queue pairs that went to RTR with congestion control
 * on are ever limited; h->congestion is not NULL for them.
 */
#include <string.h>

#include <rte_ethdev.h>

#include "hca_impl.h"

#define CNP_DSCP_DEFAULT 48
#define PACE_BUDGET 256 /* timers a turn */
#define LINE_UNKNOWN_BPS (100 * UINT64_C(1000000000))

void phca_congestion_default(struct phca_congestion_conf *c)
{
	*c = (struct phca_congestion_conf){ .enabled = true, .ecn = true, .cnp_dscp = CNP_DSCP_DEFAULT };
	phca_cc_params_default(&c->params);
}

const struct phca_congestion_conf *phca_hca_congestion(const struct phca_hca *hca)
{
	return hca->congestion_on ? &hca->congestion : NULL;
}

/* --------------------------------------------------- notification point */

/* The addresses of a received packet, exchanged. */
static void way_back(const struct port *p, const uint8_t *frame, const struct phca_pkt *pkt, struct phca_wire_hdr *hd)
{
	memcpy(hd->dmac, frame + 6, 6);
	memcpy(hd->smac, phca_net_mac(p->net), 6);
	hd->ip6 = pkt->flags & PHCA_PKT_IP6;
	phca_pkt_gids(frame, pkt, hd->dgid, hd->sgid);
}

/* The headers that A17.9.3 asks for: PSN, SE and M are 0, the P_Key is the marked packet's. */
static void cnp_header(const struct shard *h, const struct port *p, const struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt, struct phca_wire_hdr *hd)
{
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	uint8_t dscp = h->congestion->cnp_dscp;
	uint16_t vid = 0;

	memset(hd, 0, sizeof(*hd));
	way_back(p, frame, pkt, hd);
	hd->vlan = phca_net_vlan(p->net, &vid);
	hd->vlan_tci = (uint16_t)((dscp >> 3) << 13 | vid);
	hd->tclass = (uint8_t)(dscp << 2); /* Not-ECT: a CNP is not marked */
	hd->hop_limit = 64;
	hd->dqpn = deth != NULL ? phca_get24(deth->sqpn) : qp->dest_qpn;
	hd->udp_sport = (uint16_t)(0xc000 | ((qp->qpn ^ hd->dqpn * 0x9e3779b1u) & 0x3fff));
	hd->pkey = pkt->pkey;
	hd->opcode = PHCA_CNP;
}

static void cnp_send(struct shard *h, struct port *p, struct phca_qp *qp, struct rte_mbuf *m,
		const struct phca_wire_hdr *hd)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);

	phca_wire_build(frame, hd, 0);
	m->data_len = (uint16_t)phca_wire_finish(frame, hd, 0);
	m->pkt_len = m->data_len;
	tx_put(h, p, m, phca_net_is_own(p->net, hd->dgid));
	PHCA_STAT_ADD(qp->st.tx_cnps, 1);
	PHCA_STAT_ADD(qp->st.tx_packets, 1);
}

/*
 * A marked packet for this queue pair passed the checks of its headers. Of
 * datagrams, those with a wrong Q_Key are not valid, and those to a group would
 * have each member answer.
 */
void congestion_marked(struct shard *h, struct port *p, struct phca_qp *qp, const uint8_t *frame,
		const struct phca_pkt *pkt)
{
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	struct phca_wire_hdr hd;
	struct rte_mbuf *m;

	PHCA_STAT_ADD(qp->st.rx_ecn_marked, 1);
	if (h->congestion == NULL || (pkt->flags & PHCA_PKT_MULTICAST) ||
	    (deth != NULL && phca_get32(deth->qkey) != qp->qkey))
		return;
	if (h->now_ns < qp->np.next_ns || !tx_room(h, p))
		return;
	m = rte_pktmbuf_alloc(h->pool);
	if (unlikely(m == NULL))
		return;
	phca_cc_np_mark(&qp->np, &h->congestion->params, h->now_ns);
	cnp_header(h, p, qp, frame, pkt, &hd);
	cnp_send(h, p, qp, m, &hd);
}

/* ------------------------------------------------------- reaction point */

/* A CNP from the peer. A UD queue pair has many, and is not limited by one of them. */
enum phca_verdict congestion_cnp(struct shard *h, struct phca_qp *qp)
{
	PHCA_STAT_ADD(qp->st.rx_cnps, 1);
	if (qp->cc.line_bps != 0)
		phca_cc_cnp(&qp->cc, &h->congestion->params, h->now_ns);
	return PHCA_V_CNP;
}

/* Control thread: the rate of the line that a queue pair on this port starts with. */
uint64_t congestion_line_bps(const struct phca_hca *hca, unsigned int port)
{
	struct rte_eth_link link = { .link_speed = 0 };

	if (hca->congestion.line_rate_bps != 0)
		return hca->congestion.line_rate_bps;
	if (rte_eth_link_get_nowait(phca_net_port_id(hca->nets[port]), &link) != 0 || link.link_speed == 0 ||
	    link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN)
		return LINE_UNKNOWN_BPS;
	return link.link_speed * UINT64_C(1000000);
}

/* ---------------------------------------------------------------- pacing */

/* A limited queue pair wants to send. @return true: not yet, its timer is armed */
bool congestion_wait(struct shard *h, struct phca_qp *qp)
{
	uint64_t when_ns = phca_cc_next_send(&qp->cc, h->now_ns);

	if (when_ns <= h->now_ns)
		return false;
	phca_timer_arm(&h->pace, &qp->pace, when_ns);
	return true;
}

static void may_again(void *arg, struct phca_timer *t)
{
	struct phca_qp *qp = container_of(t, struct phca_qp, pace);
	struct shard *h = arg;

	if (qp->respq != NULL && qp->respq->want > 0)
		respq_due(h, qp);
	if (qp->req.wait != REQ_WAIT_RNR)
		requester_wake(h, qp);
}

/* Those whose time has come. */
unsigned int congestion_run(struct shard *h)
{
	return phca_timers_run(&h->pace, h->now_ns, may_again, h, PACE_BUDGET);
}

/* -------------------------------------------------------------- its life */

/* A new connection knows of no congestion. */
void congestion_start(struct shard *h, struct phca_qp *qp, uint64_t line_bps)
{
	memset(&qp->np, 0, sizeof(qp->np));
	if (h->congestion != NULL && qp->transport != PHCA_TRANSPORT_UD)
		phca_cc_init(&qp->cc, line_bps);
}

struct rate_get {
	struct phca_qp *qp;
	struct phca_qp_rate *rate;
};

static int rate_get(void *arg)
{
	struct rate_get *g = arg;
	struct phca_qp *qp = g->qp;
	const struct shard *h = shard_of(qp);

	*g->rate = (struct phca_qp_rate){ .controlled = qp->cc.line_bps != 0 };
	if (!g->rate->controlled)
		return 0;
	phca_cc_timer(&qp->cc, &h->congestion->params, h->now_ns);
	g->rate->limited = phca_cc_limited(&qp->cc);
	g->rate->rate_bps = phca_cc_rate(&qp->cc);
	g->rate->target_bps = qp->cc.target_bps;
	g->rate->line_bps = qp->cc.line_bps;
	g->rate->alpha_ppm = (uint32_t)((uint64_t)qp->cc.alpha * 1000000 / PHCA_CC_ALPHA_ONE);
	return 0;
}

void phca_qp_rate_get(struct phca_qp *qp, struct phca_qp_rate *rate)
{
	struct rate_get g = { qp, rate };

	qp_call(qp, rate_get, &g);
}
