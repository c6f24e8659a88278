/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What programs call. The check of programs has seen to pointers and their lengths; what
 * a program names by number (offsets, addresses and keys, peers) is checked here, each time.
 * Each call and each byte is taken from the budget of the run; beyond it nothing is done.
 */
#include <errno.h>
#include <string.h>

#include "bpf_impl.h"

#define STACK_SIZE 512 /* of a program */

static struct run *run_of(uint64_t ctx)
{
	return (struct run *)(uintptr_t)ctx; /* the context is its first member */
}

static uint64_t result(int rc)
{
	return (uint64_t)(int64_t)rc;
}

/* Take from the budget. @return whether there was so much left */
static bool spend(struct run *r, uint64_t bytes)
{
	PHCA_STAT_ADD(r->b->c.helper_calls, 1);
	if (unlikely(r->calls_left == 0 || bytes > r->bytes_left)) {
		r->over = true;
		r->calls_left = 0;
		return false;
	}
	r->calls_left--;
	r->bytes_left -= bytes;
	PHCA_STAT_ADD(r->b->c.helper_bytes, bytes);
	return true;
}

/*
 * A helper that failed leaves zeros. Beyond the budget only where the stack may be, which
 * the check takes for written: the request fails anyway, and this shall cost little.
 */
static void zero(const struct run *r, void *dst, uint64_t len)
{
	memset(dst, 0, r->over ? RTE_MIN(len, (uint64_t)STACK_SIZE) : len);
}

static int refused(struct run *r)
{
	PHCA_STAT_ADD(r->b->c.refused_access, 1);
	return -EACCES;
}

/* --- memory of the application */

/* As the peer of an inbound request, or as an SGE of a posted one. @return 0 or negative errno */
static int app_read(struct run *r, uint64_t va, uint32_t key, void *dst, uint32_t len)
{
	const struct phca_offload_req *req = r->req;
	const struct phca_sge sge = { .addr = va, .length = len, .lkey = key };
	enum phca_mem_err err;

	if (r->mem == NULL)
		return -EACCES;
	if (req->dir == PHCA_DIR_RECV)
		err = phca_mem_read(r->mem, key, req->pd, req->qpn, va, dst, len);
	else
		err = phca_sg_gather(r->mem, req->pd, &sge, 1, 0, dst, len);
	/* what is read next was written behind what was read now: versions of records rely on it */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return err == PHCA_MEM_OK ? 0 : refused(r);
}

static int app_write(struct run *r, uint64_t va, uint32_t key, const void *src, uint32_t len)
{
	const struct phca_offload_req *req = r->req;
	const struct phca_sge sge = { .addr = va, .length = len, .lkey = key };
	enum phca_mem_err err;

	if (r->mem == NULL)
		return -EACCES;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (req->dir == PHCA_DIR_RECV)
		err = phca_mem_write(r->mem, key, req->pd, req->qpn, va, src, len);
	else
		err = phca_sg_scatter(r->mem, req->pd, &sge, 1, 0, src, len);
	return err == PHCA_MEM_OK ? 0 : refused(r);
}

static PHCA_HELPER_FN uint64_t help_payload_read(uint64_t ctx, uint64_t offset, uint64_t buf, uint64_t len,
		uint64_t a5)
{
	void *dst = (void *)(uintptr_t)buf;
	struct run *r = run_of(ctx);
	int n = 0;

	RTE_SET_USED(a5);
	if (!spend(r, len)) {
		zero(r, dst, len);
		return result(-E2BIG);
	}
	if (offset <= UINT32_MAX)
		n = phca_offload_read(r->req, (uint32_t)offset, dst, (uint32_t)len);
	if (n < 0) {
		zero(r, dst, len);
		return result(refused(r));
	}
	if ((uint64_t)n < len)
		memset((uint8_t *)dst + n, 0, len - (uint64_t)n);
	return (uint64_t)n;
}

static PHCA_HELPER_FN uint64_t help_sge_write(uint64_t ctx, uint64_t offset, uint64_t buf, uint64_t len,
		uint64_t a5)
{
	struct run *r = run_of(ctx);
	const struct phca_offload_wr *wr = r->req->wr;

	RTE_SET_USED(a5);
	if (!spend(r, len))
		return result(-E2BIG);
	if (wr == NULL || wr->sge == NULL || r->mem == NULL || (r->req->op != PHCA_OP_READ_REQ &&
			r->req->op != PHCA_OP_CMP_SWAP && r->req->op != PHCA_OP_FETCH_ADD))
		return result(-EINVAL);
	if (phca_sg_scatter(r->mem, wr->pd, wr->sge, wr->wqe.num_sge, offset, (const void *)(uintptr_t)buf,
			(uint32_t)len) != PHCA_MEM_OK)
		return result(refused(r));
	return 0;
}

static PHCA_HELPER_FN uint64_t help_mem_read(uint64_t ctx, uint64_t va, uint64_t key, uint64_t buf, uint64_t len)
{
	void *dst = (void *)(uintptr_t)buf;
	struct run *r = run_of(ctx);
	int rc = spend(r, len) ? app_read(r, va, (uint32_t)key, dst, (uint32_t)len) : -E2BIG;

	if (rc != 0)
		zero(r, dst, len);
	return result(rc);
}

static PHCA_HELPER_FN uint64_t help_mem_write(uint64_t ctx, uint64_t va, uint64_t key, uint64_t buf, uint64_t len)
{
	struct run *r = run_of(ctx);

	if (!spend(r, len))
		return result(-E2BIG);
	return result(app_write(r, va, (uint32_t)key, (const void *)(uintptr_t)buf, (uint32_t)len));
}

/* --- answers of inbound READs and atomics */

static PHCA_HELPER_FN uint64_t help_answer(uint64_t ctx, uint64_t offset, uint64_t buf, uint64_t len, uint64_t a5)
{
	struct run *r = run_of(ctx);

	RTE_SET_USED(a5);
	if (!spend(r, len))
		return result(-E2BIG);
	if (offset > UINT32_MAX)
		return result(-EINVAL);
	return result(phca_offload_answer(r->req, (uint32_t)offset, (const void *)(uintptr_t)buf, (uint32_t)len));
}

static PHCA_HELPER_FN uint64_t help_answer_mem(uint64_t ctx, uint64_t offset, uint64_t va, uint64_t key,
		uint64_t len)
{
	struct run *r = run_of(ctx);
	uint64_t at = 0;
	int rc = 0;

	if (!spend(r, len))
		return result(-E2BIG);
	if (offset > UINT32_MAX || len > UINT32_MAX || r->req->op != PHCA_OP_READ_REQ)
		return result(-EINVAL);
	for (; rc == 0 && at < len; at += BPF_SCRATCH) {
		uint32_t n = (uint32_t)RTE_MIN(len - at, (uint64_t)BPF_SCRATCH);

		rc = app_read(r, va + at, (uint32_t)key, r->b->scratch, n);
		if (rc == 0)
			rc = phca_offload_answer(r->req, (uint32_t)(offset + at), r->b->scratch, n);
	}
	return result(rc);
}

/* --- the outgoing message */

static struct message *message_get(struct bpf *b)
{
	struct message *m = b->free;

	if (unlikely(m == NULL)) {
		PHCA_STAT_ADD(b->c.no_message, 1);
		return NULL;
	}
	b->free = m->next;
	m->len = 0;
	m->users = 1;
	return m;
}

void message_put(struct bpf *b, struct message *m)
{
	if (--m->users > 0)
		return;
	m->next = b->free;
	b->free = m;
}

/* Room for bytes of the outgoing message. @return 0, or negative errno */
static int out_room(struct run *r, uint64_t offset, uint64_t len)
{
	if (!spend(r, len))
		return -E2BIG;
	if (r->out != NULL && r->sealed) {
		message_put(r->b, r->out);
		r->out = NULL;
	}
	r->sealed = false;
	if (offset > (r->out != NULL ? r->out->len : 0))
		return -EINVAL;
	if (len > r->b->message_bytes || offset + len > r->b->message_bytes)
		return -E2BIG;
	if (r->out == NULL)
		r->out = message_get(r->b);
	return r->out != NULL ? 0 : -ENOMEM;
}

static void out_wrote(struct run *r, uint64_t offset, uint64_t len)
{
	r->out->len = RTE_MAX(r->out->len, (uint32_t)(offset + len));
}

static PHCA_HELPER_FN uint64_t help_out(uint64_t ctx, uint64_t offset, uint64_t buf, uint64_t len, uint64_t a5)
{
	struct run *r = run_of(ctx);
	int rc = out_room(r, offset, len);

	RTE_SET_USED(a5);
	if (rc != 0)
		return result(rc);
	memcpy(r->out->data + offset, (const void *)(uintptr_t)buf, len);
	out_wrote(r, offset, len);
	return 0;
}

static PHCA_HELPER_FN uint64_t help_out_mem(uint64_t ctx, uint64_t offset, uint64_t va, uint64_t key, uint64_t len)
{
	struct run *r = run_of(ctx);
	int rc = out_room(r, offset, len);

	if (rc != 0)
		return result(rc);
	rc = app_read(r, va, (uint32_t)key, r->out->data + offset, (uint32_t)len);
	if (rc == 0)
		out_wrote(r, offset, len);
	return result(rc);
}

static PHCA_HELPER_FN uint64_t help_out_payload(uint64_t ctx, uint64_t offset, uint64_t from, uint64_t len,
		uint64_t a5)
{
	struct run *r = run_of(ctx);
	int rc = out_room(r, offset, len);

	RTE_SET_USED(a5);
	if (rc != 0)
		return result(rc);
	if (from > r->req->len || len > r->req->len - from)
		return result(-EINVAL);
	rc = phca_offload_read(r->req, (uint32_t)from, r->out->data + offset, (uint32_t)len);
	if (rc < 0)
		return result(refused(r));
	if ((uint32_t)rc != len)
		return result(-EINVAL);
	out_wrote(r, offset, len);
	return 0;
}

/* --- children */

static struct phca_pqp *place(const struct run *r, uint64_t where)
{
	if ((uint32_t)where == PHCA_SELF)
		return r->req->pqp;
	return where < r->b->nb_peers ? r->b->peers[where].q : NULL;
}

static struct phca_child *child_get(struct run *r)
{
	struct phca_child *c = phca_child_get(r->o);

	if (c == NULL) {
		PHCA_STAT_ADD(r->b->c.no_child, 1);
		return NULL;
	}
	c->drv[0] = 0;
	return c;
}

/* Issue it, or give all of it back. */
static int child_post(struct run *r, struct phca_pqp *q, struct phca_child *c)
{
	int rc = phca_child_post(q, c, r->req);

	if (likely(rc == 0)) {
		r->b->children_out++;
		return 0;
	}
	if (c->drv[0] != 0)
		message_put(r->b, (struct message *)(uintptr_t)c->drv[0]);
	phca_child_put(c);
	return rc;
}

/* The bytes of a message, which it shares. */
static void child_message(struct phca_child *c, struct message *m)
{
	m->users++;
	c->drv[0] = (uintptr_t)m;
	c->wr.inline_data = m->data;
	c->wr.len = m->len;
}

/* The request's own payload: nothing is copied, but of inbound messages in several pieces. */
static int child_payload(struct run *r, struct phca_child *c)
{
	const struct phca_offload_req *req = r->req;
	struct message *m;
	int rc;

	if (req->op != PHCA_OP_SEND && req->op != PHCA_OP_WRITE)
		return -EINVAL;
	if (req->wr != NULL) {
		c->wr.sge = req->wr->sge;
		c->wr.inline_data = req->wr->inline_data;
		c->wr.wqe.num_sge = req->wr->wqe.num_sge;
		c->wr.pd = req->pd;
		c->wr.len = req->len;
		return 0;
	}
	if (req->m->next == NULL) {
		c->wr.inline_data = rte_pktmbuf_mtod_offset(req->m, const uint8_t *, req->pkt.payload_off);
		c->wr.len = req->len;
		return 0;
	}
	if (req->len > r->b->message_bytes || !spend(r, req->len))
		return -E2BIG;
	m = message_get(r->b);
	if (m == NULL)
		return -ENOMEM;
	m->len = req->len;
	rc = phca_offload_read(req, 0, m->data, req->len);
	if (rc >= 0)
		child_message(c, m);
	message_put(r->b, m);
	return rc < 0 ? rc : 0;
}

static int child_fill(struct run *r, struct phca_child *c, uint64_t flags)
{
	c->wr.wqe.flags = (uint16_t)(((flags & PHCA_C_SOLICITED) != 0 ? PHCA_SEND_SOLICITED : 0) |
		((flags & PHCA_C_FENCE) != 0 ? PHCA_SEND_FENCE : 0));
	c->wr.wqe.imm = (uint32_t)(flags >> 32);
	c->tolerant = (flags & PHCA_C_TOLERANT) != 0;
	if ((flags & PHCA_C_OUT) == 0)
		return child_payload(r, c);
	if (r->out == NULL)
		return -EINVAL;
	child_message(c, r->out);
	r->sealed = true;
	return 0;
}

static int child_issue(struct run *r, uint64_t where, uint64_t flags, const struct phca_send_wqe *wqe)
{
	struct phca_pqp *q = place(r, where);
	struct phca_child *c;
	int rc;

	if (!spend(r, 0))
		return -E2BIG;
	if (q == NULL)
		return -ENOENT;
	if (q == r->req->pqp && r->req->transport == PHCA_TRANSPORT_UD)
		return -EINVAL; /* where to is not known */
	c = child_get(r);
	if (c == NULL)
		return -ENOMEM;
	c->wr.wqe = *wqe;
	rc = child_fill(r, c, flags);
	if (rc == 0)
		return child_post(r, q, c);
	phca_child_put(c);
	return rc;
}

static PHCA_HELPER_FN uint64_t help_reply(uint64_t ctx, uint64_t buf, uint64_t len, uint64_t flags, uint64_t a5)
{
	struct run *r = run_of(ctx);
	struct phca_child *c;

	RTE_SET_USED(a5);
	if (!spend(r, len) || len > PHCA_CHILD_INLINE)
		return result(-E2BIG);
	if ((flags & PHCA_C_OUT) != 0 || r->req->transport == PHCA_TRANSPORT_UD)
		return result(-EINVAL);
	c = child_get(r);
	if (c == NULL)
		return result(-ENOMEM);
	memcpy(c->data, (const void *)(uintptr_t)buf, len);
	c->wr.wqe.opcode = (flags & PHCA_C_IMM_FLAG) != 0 ? PHCA_WR_SEND_WITH_IMM : PHCA_WR_SEND;
	c->wr.wqe.flags = (uint16_t)(((flags & PHCA_C_SOLICITED) != 0 ? PHCA_SEND_SOLICITED : 0) |
		((flags & PHCA_C_FENCE) != 0 ? PHCA_SEND_FENCE : 0));
	c->wr.wqe.imm = (uint32_t)(flags >> 32);
	c->tolerant = (flags & PHCA_C_TOLERANT) != 0;
	c->wr.inline_data = c->data;
	c->wr.len = (uint32_t)len;
	return result(child_post(r, r->req->pqp, c));
}

static PHCA_HELPER_FN uint64_t help_child_send(uint64_t ctx, uint64_t where, uint64_t flags, uint64_t a4,
		uint64_t a5)
{
	const struct phca_send_wqe wqe = {
		.opcode = (flags & PHCA_C_IMM_FLAG) != 0 ? PHCA_WR_SEND_WITH_IMM : PHCA_WR_SEND,
	};

	RTE_SET_USED(a4);
	RTE_SET_USED(a5);
	return result(child_issue(run_of(ctx), where, flags, &wqe));
}

static PHCA_HELPER_FN uint64_t help_child_write(uint64_t ctx, uint64_t where, uint64_t va, uint64_t rkey,
		uint64_t flags)
{
	const struct phca_send_wqe wqe = {
		.opcode = (flags & PHCA_C_IMM_FLAG) != 0 ? PHCA_WR_RDMA_WRITE_WITH_IMM : PHCA_WR_RDMA_WRITE,
		.u.rdma = { .remote_addr = va, .rkey = (uint32_t)rkey },
	};

	return result(child_issue(run_of(ctx), where, flags, &wqe));
}

static PHCA_HELPER_FN uint64_t help_child_same(uint64_t ctx, uint64_t where, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct run *r = run_of(ctx);
	const struct phca_offload_wr *wr = r->req->wr;
	struct phca_pqp *q = place(r, where);
	struct phca_child *c;

	RTE_SET_USED(a3);
	RTE_SET_USED(a4);
	RTE_SET_USED(a5);
	if (!spend(r, 0))
		return result(-E2BIG);
	if (q == NULL)
		return result(-ENOENT);
	if (wr == NULL)
		return result(-EINVAL);
	c = child_get(r);
	if (c == NULL)
		return result(-ENOMEM);
	c->wr = *wr;
	c->wr.wqe.wr_id = 0;
	c->wr.wqe.flags &= PHCA_SEND_FENCE | PHCA_SEND_SOLICITED;
	return result(child_post(r, q, c));
}

static const struct phca_filter_helper helpers[] = {
	PHCA_OFFLOAD_HELPERS(PHCA_OFFLOAD_HELPER_ROW)
	{ .number = 0 }
};

const struct phca_filter_kind bpf_kind = {
	.noun = "offload", .section = "phca/offload", .mark = "PHCA_OFFLOAD_PROGRAM",
	.ctx_size = sizeof(struct phca_offload_ctx), .helpers = helpers,
};
