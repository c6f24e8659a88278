/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Send work requests come out of the shared ring: copied once, checked, and for
 * a proxy queue pair classified. Only the copy is used from then on.
 *
 * Invariant: the copy of an offloaded request is not touched before the proxy
 * has freed its place, and that of another before it has completed.
 */
#include <string.h>

#include "hca_impl.h"

/* Table 91 of 11.4.1.1, by bit of the opcode. */
#define OPS_UD (1u << PHCA_WR_SEND | 1u << PHCA_WR_SEND_WITH_IMM)
#define OPS_UC (OPS_UD | 1u << PHCA_WR_RDMA_WRITE | 1u << PHCA_WR_RDMA_WRITE_WITH_IMM)
#define OPS_ATOMIC (1u << PHCA_WR_ATOMIC_CMP_AND_SWP | 1u << PHCA_WR_ATOMIC_FETCH_AND_ADD)
#define OPS_LOCAL (1u << PHCA_WR_LOCAL_INV | 1u << PHCA_WR_BIND_MW)
#define OPS_RC (OPS_UC | OPS_ATOMIC | OPS_LOCAL | 1u << PHCA_WR_RDMA_READ | 1u << PHCA_WR_SEND_WITH_INV)

bool send_opcode_ok(const struct phca_qp *qp, unsigned int opcode)
{
	static const uint32_t ops[] = {
		[PHCA_TRANSPORT_RC] = OPS_RC, [PHCA_TRANSPORT_UC] = OPS_UC, [PHCA_TRANSPORT_UD] = OPS_UD,
	};

	return opcode < 32 && (ops[qp->transport] >> opcode & 1);
}

static uint32_t check_ud(const struct port *p, const struct phca_offload_wr *wr)
{
	const struct phca_av *av = &wr->wqe.u.ud.av;
	const uint8_t *sgid = phca_net_gid(p->net, av->sgid_index);

	if (wr->wqe.u.ud.remote_qpn > PHCA_QPN_MAX)
		return PHCA_WC_LOC_QP_OP_ERR;
	if (wr->len > phca_net_mtu(p->net))
		return PHCA_WC_LOC_LEN_ERR;
	if (sgid == NULL || phca_gid_is_ip4(sgid) != phca_gid_is_ip4(av->dgid))
		return PHCA_WC_LOC_QP_OP_ERR;
	return PHCA_WC_SUCCESS;
}

static uint32_t check_conn(const struct phca_qp *qp, const struct sq_wr *e)
{
	if (!qp->check_peer) /* UC without an address vector can only receive */
		return PHCA_WC_LOC_QP_OP_ERR;
	if (wr_is_read(e) || wr_is_atomic(e)) {
		if (qp->max_rd_atomic == 0 || e->wr->inline_data != NULL)
			return PHCA_WC_LOC_QP_OP_ERR;
		if (wr_is_atomic(e) && e->wr->len != sizeof(uint64_t))
			return PHCA_WC_LOC_LEN_ERR;
	}
	return PHCA_WC_SUCCESS;
}

/* Everything that the copy can be wrong in (10.8.2, 11.6.2). */
uint32_t check_wr(struct shard *h, const struct phca_qp *qp, const struct sq_wr *e)
{
	const struct phca_send_wqe *w = &e->wr->wqe;
	uint32_t access = wr_is_read(e) || wr_is_atomic(e) ? PHCA_ACCESS_LOCAL_WRITE : 0, status;

	if (!send_opcode_ok(qp, w->opcode))
		return PHCA_WC_LOC_QP_OP_ERR;
	if (wr_is_local(e))
		return PHCA_WC_SUCCESS; /* where it is executed */
	status = qp->transport == PHCA_TRANSPORT_UD ? check_ud(h->ports[qp->port], e->wr) : check_conn(qp, e);
	if (status == PHCA_WC_SUCCESS && e->wr->sge != NULL &&
	    phca_sg_check(h->mem, e->wr->pd, e->wr->sge, w->num_sge, access) != PHCA_MEM_OK)
		return PHCA_WC_LOC_PROT_ERR;
	return status;
}

/* Copy the head of the ring. @return status of the copy */
static uint32_t copy_wr(struct shard *h, struct phca_qp *qp, struct sq_wr *e)
{
	struct phca_send_wqe *slot = phca_ring_head(&qp->sq);
	struct phca_offload_wr *wr = &e->own;
	struct phca_send_wqe *w = &wr->wqe;
	uint64_t len;

	e->wr = wr;
	memcpy(w, slot, sizeof(*w));
	rte_compiler_barrier(); /* the copy is used from here on, the slot may change */
	wr->pd = qp->pd;
	wr->sge = NULL;
	wr->inline_data = NULL;
	wr->crc.shift = 0;
	wr->len = 0;
	e->nb_psn = 0;
	e->rule = RULE_NONE;
	e->offloaded = e->again = e->issued = e->child = false;
	e->traced = 0;
	if (w->flags & PHCA_SEND_INLINE) {
		if (w->inline_len > qp->max_inline)
			return PHCA_WC_LOC_LEN_ERR;
		memcpy(e + 1, slot + 1, w->inline_len);
		wr->inline_data = (const uint8_t *)(e + 1);
		wr->len = w->inline_len;
		w->num_sge = 0;
	} else {
		if (w->num_sge > qp->max_send_sge)
			return PHCA_WC_LOC_QP_OP_ERR;
		memcpy(e + 1, phca_send_sge(slot), w->num_sge * sizeof(struct phca_sge));
		rte_compiler_barrier();
		wr->sge = (const struct phca_sge *)(e + 1);
		len = phca_sg_len(wr->sge, w->num_sge);
		if (len > PHCA_MSG_MAX)
			return PHCA_WC_LOC_LEN_ERR;
		wr->len = (uint32_t)len;
	}
	return check_wr(h, qp, e);
}

/* Place of the application's first WR that was not offloaded and has not completed. */
static uint32_t oldest_place(struct requester *r)
{
	if (r->slots == NULL)
		return r->una;
	if ((int32_t)(r->una - r->released) > 0)
		r->released = r->una;
	while (r->released != r->begun && sq_wr_at(r, r->released)->issued)
		r->released++;
	return r->released != r->begun ? sq_wr_at(r, r->released)->place : r->place;
}

/* Room in the ring up to there is the application's again; an offloaded WR is the copy alone. */
void sq_release(struct phca_qp *qp)
{
	uint32_t held = qp->pseq[PHCA_DIR_SEND].next - oldest_place(&qp->req);

	__atomic_store_n(&qp->sq.hdr->cons, qp->sq.own - held, __ATOMIC_RELEASE);
}

/* Which rule a WR matches. What is wrong with it, or local, is the HCA's to tell and to do. */
static void sq_classify(struct shard *h, struct phca_qp *qp, struct sq_wr *e)
{
	if (e->status == PHCA_WC_SUCCESS && !wr_is_local(e))
		e->rule = classify_send(h, qp, e->wr);
}

/* Give the head of the ring a place. @return SQ_DONE: it has one, at which its status is known */
enum sq_result sq_fetch(struct shard *h, struct phca_qp *qp)
{
	struct pseq *s = &qp->pseq[PHCA_DIR_SEND];
	struct sq_wr *e = sq_copy_at(&qp->req, s->next);
	int32_t n;

	if (unlikely(s->next - s->freed >= s->size)) {
		PHCA_STAT_ADD(qp->st.tx_stalls, 1);
		qp->req.wait = qp->proxy ? REQ_WAIT_PLACE : REQ_WAIT_ACK;
		return SQ_OFF;
	}
	n = phca_ring_avail(&qp->sq);
	if (n == 0)
		return SQ_EMPTY;
	if (unlikely(n < 0)) {
		qp_error(h, qp, PHCA_EVENT_QP_FATAL, PHCA_WC_LOC_QP_OP_ERR);
		return SQ_OFF;
	}
	e->status = (uint8_t)copy_wr(h, qp, e);
	e->place = s->next++;
	phca_ring_take(&qp->sq, 1);
	PHCA_STAT_ADD(qp->st.tx_wrs, 1);
	if (qp->nb_rules > 0)
		sq_classify(h, qp, e);
	if (unlikely(qp->trace))
		trace_posted(h, qp, e, 0);
	return SQ_DONE;
}

/* The rules have changed: a WR that has its place and did not begin, begins under the new ones. */
void sq_classify_again(struct shard *h, struct phca_qp *qp)
{
	struct sq_wr *e = sq_copy_at(&qp->req, qp->req.place);

	if (qp->req.place == qp->pseq[PHCA_DIR_SEND].next)
		return;
	e->rule = RULE_NONE;
	if (qp->nb_rules > 0)
		sq_classify(h, qp, e);
	if (unlikely(e->traced != 0))
		trace_posted(h, qp, e, 0);
}
