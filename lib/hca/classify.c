/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Classification: build the filter context of a work request, try the rules of
 * the proxy QP in order.
 *
 * Invariant: a rule's filter is read once from its slot for each request, so a
 * request sees one filter whole, the old one or the new one.
 */
#include <string.h>

#include <rte_common.h>

#include "hca_impl.h"

/* The filters of a QP's rules as they are for one request. */
struct shot {
	uint32_t words; /* of the context, that some of them may read */
	uint32_t n;     /* rules to try */
	uint32_t rest;  /* what matches when none of these did: a rule without a filter, or RULE_NONE */
	struct phca_filter *f[PHCA_PROXY_RULE_MAX]; /* NULL: rule not tried */
};

static void shot_take(const struct phca_qp *qp, bool inbound, struct shot *s)
{
	s->words = 0;
	s->rest = RULE_NONE;
	for (s->n = 0; s->n < qp->nb_rules; s->n++) {
		const struct rule *r = &qp->rules[s->n];
		uint32_t i = s->n;

		s->f[i] = NULL;
		if (!(inbound ? r->inbound : r->send))
			continue;
		if (r->filter == NULL) {
			s->rest = i;
			break;
		}
		s->f[i] = phca_filter_slot_get(r->filter);
		if (s->f[i] != NULL)
			s->words |= phca_filter_ctx_words(s->f[i]);
	}
}

/* What decided; of filters that ran, rule `by` was the last. */
static void said(struct phca_qp *qp, const struct shot *s, bool inbound, uint32_t by, uint32_t ret)
{
	unsigned int tried = 0;

	for (uint32_t i = 0; i < s->n && i <= by; i++)
		tried += s->f[i] != NULL;
	trace_said(qp, inbound, ret, by, tried);
}

static inline uint32_t run_rules(struct phca_qp *qp, const struct shot *s, bool inbound,
		const struct phca_filter_ctx *ctx)
{
	uint32_t rule = s->rest, by = s->rest, said_last = PHCA_PASS;

	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t ret;

		if (s->f[i] == NULL)
			continue;
		ret = phca_filter_run(s->f[i], ctx);
		if (ret == PHCA_PASS)
			continue;
		if (ret == PHCA_OFFLOAD || (ret & 0xff) < qp->nb_rules) {
			rule = ret == PHCA_OFFLOAD ? i : ret & 0xff;
			by = i;
			said_last = ret;
			break;
		}
		PHCA_STAT_ADD(qp->st.bad_rule, 1);
	}
	if (unlikely(qp->trace))
		said(qp, s, inbound, by, said_last);
	return rule;
}

static uint16_t inbound_flags(const struct phca_pkt *pkt, const struct phca_opcode_info *info)
{
	uint16_t f = 0;

	if (info->flags & PHCA_OPF_IMM)
		f |= PHCA_CTX_F_IMM;
	if (info->flags & PHCA_OPF_INV)
		f |= PHCA_CTX_F_INV;
	if (pkt->flags & PHCA_PKT_SOLICITED)
		f |= PHCA_CTX_F_SOLICITED;
	if (pkt->flags & PHCA_PKT_IP6)
		f |= PHCA_CTX_F_IP6;
	if (pkt->flags & PHCA_PKT_MULTICAST)
		f |= PHCA_CTX_F_MULTICAST;
	if (info->op == PHCA_OP_SEND && !(info->flags & PHCA_OPF_LAST))
		f |= PHCA_CTX_F_LEN_PART;
	return f;
}

#define WORD(field) (1u << offsetof(struct phca_filter_ctx, field) / 8)
#define WORDS(from, to) ((WORD(to) - 1) & ~(WORD(from) - 1)) /* from.. before to */
#define WORDS_ADDR WORDS(sgid, payload)
#define WORDS_HEAD WORDS(direction, sgid)
#define WORDS_PAYLOAD (~(WORD(payload) - 1))

/* The fixed part, without addresses and payload. */
static void ctx_head(struct shard *h, const struct phca_qp *qp, const void *frame,
		const struct phca_pkt *pkt, const struct phca_opcode_info *info, struct phca_filter_ctx *c)
{
	const struct phca_deth *deth = phca_pkt_hdr(frame, pkt, PHCA_HDR_DETH);
	const struct phca_reth *reth = phca_pkt_hdr(frame, pkt, PHCA_HDR_RETH);
	const struct phca_atomiceth *ath = phca_pkt_hdr(frame, pkt, PHCA_HDR_ATOMICETH);
	const struct phca_immdt *imm = phca_pkt_hdr(frame, pkt, PHCA_HDR_IMMDT);

	memset(c, 0, offsetof(struct phca_filter_ctx, sgid));
	c->direction = PHCA_CTX_INBOUND;
	c->transport = info->transport;
	c->opcode = info->op;
	c->bth_opcode = pkt->opcode;
	c->flags = inbound_flags(pkt, info);
	c->port = h->ports[qp->port]->id;
	c->qpn = qp->qpn;
	c->peer_qpn = deth != NULL ? phca_get24(deth->sqpn) : qp->dest_qpn;
	if (imm != NULL)
		memcpy(&c->imm, imm->imm, sizeof(c->imm));
	if (reth != NULL) {
		c->remote_addr = phca_get64(reth->va);
		c->rkey = phca_get32(reth->rkey);
	}
	if (ath != NULL) {
		c->remote_addr = phca_get64(ath->va);
		c->rkey = phca_get32(ath->rkey);
		c->compare = phca_get64(ath->cmp);
		c->swap_add = phca_get64(ath->swap_add);
	}
	if (deth != NULL)
		c->qkey = phca_get32(deth->qkey);
	c->pkey = pkt->pkey;
	c->dscp = pkt->tclass >> 2;
}

/* Only what the filters may read is filled in; the check at their loading knows it. */
uint32_t classify_inbound(struct shard *h, struct phca_qp *qp, const void *frame,
		const struct phca_pkt *pkt, uint32_t msg_len)
{
	const struct phca_opcode_info *info = &phca_opcode_table[pkt->opcode];
	uint32_t n = RTE_MIN((uint32_t)pkt->payload_len, (uint32_t)PHCA_CTX_PAYLOAD);
	struct phca_filter_ctx c;
	struct shot s;

	shot_take(qp, true, &s);
	if (s.words & WORDS_HEAD) {
		ctx_head(h, qp, frame, pkt, info, &c);
		c.msg_len = msg_len;
		c.payload_len = n;
	}
	if (s.words & WORDS_ADDR) {
		memset(c.rsvd, 0, sizeof(c.rsvd));
		phca_pkt_gids(frame, pkt, c.sgid, c.dgid);
	}
	if (s.words & WORDS_PAYLOAD) {
		memset(c.payload, 0, sizeof(c.payload));
		memcpy(c.payload, (const uint8_t *)frame + pkt->payload_off, n);
	}
	return run_rules(qp, &s, true, &c);
}

static uint8_t send_op(uint8_t wr_opcode)
{
	switch (wr_opcode) {
	case PHCA_WR_RDMA_WRITE:
	case PHCA_WR_RDMA_WRITE_WITH_IMM:
		return PHCA_CTX_OP_WRITE;
	case PHCA_WR_RDMA_READ:
		return PHCA_CTX_OP_READ;
	case PHCA_WR_ATOMIC_CMP_AND_SWP:
		return PHCA_CTX_OP_CMP_SWAP;
	case PHCA_WR_ATOMIC_FETCH_AND_ADD:
		return PHCA_CTX_OP_FETCH_ADD;
	default:
		return PHCA_CTX_OP_SEND;
	}
}

static uint16_t send_flags(const struct phca_qp *qp, const struct phca_send_wqe *w)
{
	uint16_t f = 0;

	if (w->opcode == PHCA_WR_SEND_WITH_IMM || w->opcode == PHCA_WR_RDMA_WRITE_WITH_IMM)
		f |= PHCA_CTX_F_IMM;
	if (w->flags & PHCA_SEND_SOLICITED)
		f |= PHCA_CTX_F_SOLICITED;
	if ((w->flags & PHCA_SEND_SIGNALED) || qp->sq_sig_all)
		f |= PHCA_CTX_F_SIGNALED;
	if (w->flags & PHCA_SEND_FENCE)
		f |= PHCA_CTX_F_FENCE;
	if (w->flags & PHCA_SEND_INLINE)
		f |= PHCA_CTX_F_INLINE;
	if (w->opcode == PHCA_WR_SEND_WITH_INV)
		f |= PHCA_CTX_F_INV;
	return f;
}

/* READs and atomics bring, they do not send. */
static bool send_has_payload(const struct phca_send_wqe *w)
{
	return w->opcode != PHCA_WR_RDMA_READ && w->opcode != PHCA_WR_ATOMIC_CMP_AND_SWP &&
		w->opcode != PHCA_WR_ATOMIC_FETCH_AND_ADD;
}

/* Which queue pair, and which memory of it. */
static void send_target(const struct phca_qp *qp, const struct phca_send_wqe *w, struct phca_filter_ctx *c)
{
	if (qp->transport == PHCA_TRANSPORT_UD) {
		c->peer_qpn = w->u.ud.remote_qpn;
		c->qkey = w->u.ud.remote_qkey;
		return;
	}
	c->peer_qpn = qp->dest_qpn;
	if (c->opcode == PHCA_CTX_OP_CMP_SWAP || c->opcode == PHCA_CTX_OP_FETCH_ADD) {
		c->remote_addr = w->u.atomic.remote_addr;
		c->rkey = w->u.atomic.rkey;
	} else if (c->opcode != PHCA_CTX_OP_SEND) {
		c->remote_addr = w->u.rdma.remote_addr;
		c->rkey = w->u.rdma.rkey;
	}
}

/* The fixed part, without addresses, and how much of the payload there is to see. */
static void send_head(struct shard *h, const struct phca_qp *qp, const struct phca_offload_wr *wr,
		const struct phca_av *av, struct phca_filter_ctx *c)
{
	const struct phca_send_wqe *w = &wr->wqe;

	memset(c, 0, offsetof(struct phca_filter_ctx, sgid));
	c->direction = PHCA_CTX_SEND;
	c->transport = qp->transport;
	c->opcode = send_op(w->opcode);
	c->flags = send_flags(qp, w);
	if (!phca_gid_is_ip4(av->dgid)) /* of the family that the source is of: check_wr */
		c->flags |= PHCA_CTX_F_IP6;
	c->port = h->ports[qp->port]->id;
	c->qpn = qp->qpn;
	send_target(qp, w, c);
	c->msg_len = wr->len;
	c->imm = w->imm;
	c->pkey = qp->pkey;
	c->dscp = av->traffic_class >> 2;
	c->num_sge = (uint8_t)w->num_sge;
	c->wr_id = w->wr_id;
}

/* @return bytes of it */
static uint32_t send_payload(struct shard *h, const struct phca_qp *qp, const struct phca_offload_wr *wr,
		uint8_t payload[PHCA_CTX_PAYLOAD])
{
	uint32_t n = RTE_MIN(wr->len, (uint32_t)PHCA_CTX_PAYLOAD);

	memset(payload, 0, PHCA_CTX_PAYLOAD);
	if (wr->inline_data != NULL)
		memcpy(payload, wr->inline_data, n);
	else if (!send_has_payload(&wr->wqe) ||
		 phca_sg_gather(h->mem, qp->pd, wr->sge, wr->wqe.num_sge, 0, payload, n) != PHCA_MEM_OK)
		n = 0;
	return n;
}

/* As classify_inbound. */
uint32_t classify_send(struct shard *h, struct phca_qp *qp, const struct phca_offload_wr *wr)
{
	const struct phca_av *av = qp->transport == PHCA_TRANSPORT_UD ? &wr->wqe.u.ud.av : &qp->av;
	struct phca_filter_ctx c;
	struct shot s;

	shot_take(qp, false, &s);
	if (s.words & WORDS_HEAD)
		send_head(h, qp, wr, av, &c);
	if (s.words & WORDS_ADDR) {
		memset(c.rsvd, 0, sizeof(c.rsvd));
		memcpy(c.sgid, phca_net_gid(h->ports[qp->port]->net, av->sgid_index), 16);
		memcpy(c.dgid, av->dgid, 16);
	}
	if (s.words & (WORDS_PAYLOAD | WORD(payload_len)))
		c.payload_len = send_payload(h, qp, wr, c.payload);
	return run_rules(qp, &s, false, &c);
}
