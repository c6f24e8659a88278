/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The context of a run: what the program sees of its request. What costs something is
 * left out when the program does not look at it; the check of programs told.
 */
#include <string.h>

#include "bpf_impl.h"

/* The context's words from member a to member b. */
#define WORDS(a, b) ((uint32_t)(UINT64_MAX >> (63 - offsetof(struct phca_offload_ctx, b) / 8) & \
	UINT64_MAX << offsetof(struct phca_offload_ctx, a) / 8))
#define WORDS_GIDS (WORDS(sgid, dgid) | WORDS(dgid, dgid) << 1)
#define WORDS_PAYLOAD (UINT32_MAX << offsetof(struct phca_offload_ctx, payload) / 8)

static void fill_inbound(struct phca_offload_ctx *c, const struct phca_offload_req *req)
{
	bool inv = req->last_opcode == PHCA_RC_SEND_LAST_INV || req->last_opcode == PHCA_RC_SEND_ONLY_INV;
	const uint8_t *bth = rte_pktmbuf_mtod_offset(req->m, const uint8_t *, req->pkt.bth_off);

	c->bth_opcode = req->opcode;
	c->flags = (uint16_t)((req->has_imm ? PHCA_CTX_F_IMM : 0) | (inv ? PHCA_CTX_F_INV : 0) |
		((bth[1] & 0x80) != 0 ? PHCA_CTX_F_SOLICITED : 0) |
		((req->pkt.flags & PHCA_PKT_IP6) != 0 ? PHCA_CTX_F_IP6 : 0));
	c->va = req->va;
	c->rkey = req->rkey;
	c->compare = req->compare;
	c->swap_add = req->swap_add;
}

static void fill_posted(struct phca_offload_ctx *c, const struct phca_offload_req *req)
{
	const struct phca_send_wqe *w = &req->wr->wqe;

	c->flags = (uint16_t)((req->has_imm ? PHCA_CTX_F_IMM : 0) |
		(w->opcode == PHCA_WR_SEND_WITH_INV ? PHCA_CTX_F_INV : 0) |
		((w->flags & PHCA_SEND_SOLICITED) != 0 ? PHCA_CTX_F_SOLICITED : 0) |
		((w->flags & PHCA_SEND_SIGNALED) != 0 ? PHCA_CTX_F_SIGNALED : 0) |
		((w->flags & PHCA_SEND_FENCE) != 0 ? PHCA_CTX_F_FENCE : 0) |
		(req->wr->inline_data != NULL ? PHCA_CTX_F_INLINE : 0));
	c->num_sge = (uint8_t)w->num_sge;
	c->wr_id = w->wr_id;
	switch (w->opcode) {
	case PHCA_WR_SEND_WITH_INV:
		c->imm = w->imm;
		break;
	case PHCA_WR_RDMA_WRITE: case PHCA_WR_RDMA_WRITE_WITH_IMM: case PHCA_WR_RDMA_READ:
		c->va = w->u.rdma.remote_addr;
		c->rkey = w->u.rdma.rkey;
		break;
	case PHCA_WR_ATOMIC_CMP_AND_SWP: case PHCA_WR_ATOMIC_FETCH_AND_ADD:
		c->va = w->u.atomic.remote_addr;
		c->rkey = w->u.atomic.rkey;
		c->compare = w->opcode == PHCA_WR_ATOMIC_CMP_AND_SWP ? w->u.atomic.compare_add : 0;
		c->swap_add = w->opcode == PHCA_WR_ATOMIC_CMP_AND_SWP ? w->u.atomic.swap :
			w->u.atomic.compare_add;
		break;
	}
}

static void fill_peers(struct phca_offload_ctx *c, const struct bpf *b, const struct phca_offload_req *req)
{
	c->nb_peers = (uint8_t)b->nb_peers;
	c->from_peer = PHCA_SELF;
	for (unsigned int i = 0; i < b->nb_peers; i++) {
		if (b->peers[i].q == NULL)
			continue;
		if (b->peers[i].q == req->pqp)
			c->from_peer = i;
		if (phca_pqp_ready(b->peers[i].q))
			c->peers_ready |= UINT64_C(1) << i;
	}
}

void ctx_fill(struct run *r, uint32_t words, uint64_t now_ns, uint32_t calls)
{
	const struct phca_offload_req *req = r->req;
	struct phca_offload_ctx *c = &r->ctx;
	int n;

	*c = (struct phca_offload_ctx){
		.direction = req->dir == PHCA_DIR_SEND ? PHCA_CTX_SEND : PHCA_CTX_INBOUND,
		.transport = req->transport, .opcode = req->op, .qpn = req->qpn, .peer_qpn = req->peer_qpn,
		.len = req->len, .imm = req->imm, .now_ns = now_ns, .calls = calls,
		.children_free = r->b->nb_children - r->b->children_out, .from_peer = PHCA_SELF,
	};
	if (req->dir == PHCA_DIR_SEND)
		fill_posted(c, req);
	else
		fill_inbound(c, req);
	if (req->dir == PHCA_DIR_RECV && (words & WORDS_GIDS) != 0)
		phca_pkt_gids(rte_pktmbuf_mtod(req->m, const void *), &req->pkt, c->sgid, c->dgid);
	if (r->b->nb_peers > 0)
		fill_peers(c, r->b, req);
	if ((words & (WORDS_PAYLOAD | WORDS(payload_len, payload_len))) != 0) {
		n = phca_offload_read(req, 0, c->payload, PHCA_CTX_PAYLOAD);
		c->payload_len = n > 0 ? (uint32_t)n : 0;
		if (n < 0)
			memset(c->payload, 0, sizeof(c->payload));
	}
}
