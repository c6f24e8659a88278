/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The application's side for applications inside the process: posting work
 * requests into the rings of lib/queue, and answering a datagram.
 *
 * Invariant: only the user_ views of a queue pair are touched here, and of the
 * rest only what never changes.
 */
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>

#include "hca_impl.h"

static int recv_put(struct phca_ring *r, uint32_t max_sge, const struct phca_recv_wr *wr, unsigned int n)
{
	unsigned int room = phca_ring_free(r, n);

	if (n > room)
		n = room;
	for (unsigned int i = 0; i < n; i++)
		if (wr[i].num_sge > max_sge)
			return -EINVAL;
	for (unsigned int i = 0; i < n; i++) {
		struct phca_recv_wqe *w = phca_ring_next(r);

		w->wr_id = wr[i].wr_id;
		w->num_sge = wr[i].num_sge;
		w->rsvd = 0;
		if (wr[i].num_sge > 0)
			memcpy(phca_recv_sge(w), wr[i].sge, wr[i].num_sge * sizeof(struct phca_sge));
	}
	phca_ring_publish(r);
	return (int)n;
}

int phca_post_recv(struct phca_qp *qp, const struct phca_recv_wr *wr, unsigned int n)
{
	/* not qp->srq: the HCA lcore writes beside it for every message */
	return qp->user_rq.hdr != NULL ? recv_put(&qp->user_rq, qp->max_recv_sge, wr, n) : -EINVAL;
}

int phca_post_srq_recv(struct phca_srq *srq, const struct phca_recv_wr *wr, unsigned int n)
{
	return recv_put(&srq->user, srq->max_sge, wr, n);
}

static bool send_wr_ok(const struct phca_qp *qp, const struct phca_send_wr *wr)
{
	if (!send_opcode_ok(qp, wr->opcode))
		return false;
	if (wr->flags & PHCA_SEND_INLINE)
		return wr->inline_len <= qp->max_inline;
	return wr->num_sge <= qp->max_send_sge;
}

/* The part that depends on opcode and transport. */
static void send_wqe_op(struct phca_send_wqe *w, const struct phca_send_wr *wr, bool ud)
{
	switch (wr->opcode) {
	case PHCA_WR_RDMA_WRITE:
	case PHCA_WR_RDMA_WRITE_WITH_IMM:
	case PHCA_WR_RDMA_READ:
		w->u.rdma.remote_addr = wr->remote_addr;
		w->u.rdma.rkey = wr->rkey;
		break;
	case PHCA_WR_ATOMIC_CMP_AND_SWP:
	case PHCA_WR_ATOMIC_FETCH_AND_ADD:
		w->u.atomic.remote_addr = wr->remote_addr;
		w->u.atomic.compare_add = wr->compare_add;
		w->u.atomic.swap = wr->swap;
		w->u.atomic.rkey = wr->rkey;
		break;
	case PHCA_WR_SEND_WITH_INV:
	case PHCA_WR_LOCAL_INV:
		w->imm = wr->rkey;
		break;
	case PHCA_WR_BIND_MW:
		w->u.bind.addr = wr->bind.addr;
		w->u.bind.length = wr->bind.length;
		w->u.bind.rkey = wr->bind.rkey;
		w->u.bind.new_rkey = wr->bind.new_rkey;
		w->u.bind.lkey = wr->bind.lkey;
		w->u.bind.access = wr->bind.access;
		break;
	default:
		break;
	}
	if (ud) {
		w->u.ud.av = wr->av;
		w->u.ud.remote_qpn = wr->remote_qpn;
		w->u.ud.remote_qkey = wr->remote_qkey;
	}
}

static void send_wqe_fill(struct phca_send_wqe *w, const struct phca_send_wr *wr, bool ud)
{
	memset(w, 0, sizeof(*w));
	w->wr_id = wr->wr_id;
	w->opcode = (uint8_t)wr->opcode;
	w->flags = (uint16_t)wr->flags;
	w->imm = wr->imm;
	send_wqe_op(w, wr, ud);
	if (wr->flags & PHCA_SEND_INLINE) {
		w->inline_len = wr->inline_len;
		if (wr->inline_len > 0)
			memcpy(w + 1, wr->inline_data, wr->inline_len);
	} else {
		w->num_sge = wr->num_sge;
		if (wr->num_sge > 0)
			memcpy(phca_send_sge(w), wr->sge, wr->num_sge * sizeof(struct phca_sge));
	}
}

int phca_post_send(struct phca_qp *qp, const struct phca_send_wr *wr, unsigned int n)
{
	struct phca_ring *r = &qp->user_sq;
	unsigned int room = phca_ring_free(r, n);

	if (n > room)
		n = room;
	for (unsigned int i = 0; i < n; i++)
		if (!send_wr_ok(qp, &wr[i]))
			return -EINVAL;
	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		send_wqe_fill(phca_ring_next(r), &wr[i], qp->transport == PHCA_TRANSPORT_UD);
	phca_ring_publish(r);
	phca_db_ring(&qp->client->sh[qp->shard].user_db, r, qp->qpn);
	phca_loop_wake(shard_of(qp)->loops[qp->shard]);
	return (int)n;
}

int phca_av_to(const struct phca_qp *qp, const uint8_t dgid[16], struct phca_av *av)
{
	int idx = phca_net_gid_for(qp->hca->nets[qp->port], dgid);

	if (idx < 0)
		return -EINVAL;
	memset(av, 0, sizeof(*av));
	memcpy(av->dgid, dgid, sizeof(av->dgid));
	av->sgid_index = (uint8_t)idx;
	return 0;
}

int phca_av_from_wc(const struct phca_qp *qp, const struct phca_wc *wc, const void *grh, struct phca_av *av)
{
	const uint8_t *g = grh;
	uint8_t local[16];
	int idx;

	if (!(wc->wc_flags & PHCA_WC_F_GRH))
		return -EINVAL;
	memset(av, 0, sizeof(*av));
	if (g[0] >> 4 == 6) {
		/* nobody's address: it would be taken for an IPv4 one, or for a group */
		if (phca_gid_is_ip4(g + 8) || g[8] == 0xff)
			return -EINVAL;
		memcpy(av->dgid, g + 8, 16);
		memcpy(local, g + 24, 16);
		av->traffic_class = (uint8_t)(g[0] << 4 | g[1] >> 4);
	} else if (g[20] == 0x45) {
		if (g[32] >= 0xe0)
			return -EINVAL;
		phca_gid_from_ip4(av->dgid, g + 32);
		phca_gid_from_ip4(local, g + 36);
		av->traffic_class = g[21];
	} else {
		return -EINVAL;
	}
	idx = phca_net_gid_find(qp->hca->nets[qp->port], local);
	if (idx < 0)
		return -EINVAL;
	av->sgid_index = (uint8_t)idx;
	av->traffic_class &= 0xfc; /* not the ECN marks of the way here */
	av->sl = wc->sl;
	return 0;
}
