/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver and the queue pair of child_lab.h. */
#include <stdlib.h>
#include <string.h>

#include "child_lab.h"

struct child_driver child_driver;
static struct child_driver *const d = &child_driver;

static int init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t n)
{
	(void)v, (void)err, (void)n;
	memset(d, 0, sizeof(*d));
	return phca_child_pool(o, CHILD_POOL);
}

static int submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)now_ns;
	if (d->nb_held == RTE_DIM(d->held))
		return -ENOSPC;
	if (d->watch && phca_pqp_watched(req->pqp, o) == NULL)
		CU_ASSERT_EQUAL(phca_pqp_watch(req->pqp, o, d), 0);
	memset(req->drv, 0, sizeof(req->drv));
	d->held[d->nb_held++] = req;
	return 0;
}

static int cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	(void)o;
	for (unsigned int i = 0; i < d->nb_held; i++)
		if (d->held[i] == req)
			d->held[i] = d->held[--d->nb_held];
	return 0;
}

static void child_done(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status, uint64_t now_ns)
{
	(void)now_ns;
	if (status != PHCA_WC_SUCCESS && c->parent != NULL)
		cancel(o, c->parent); /* it has failed with its child */
	d->ends[d->nb_ends++ % CHILD_ENDS] = (struct child_end){ c->drv[0], status };
	d->nb_failed += status != PHCA_WC_SUCCESS;
}

static void qp_event(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns)
{
	(void)o, (void)q, (void)now_ns;
	d->nb_errors += ev == PHCA_PQP_ERROR;
	d->nb_gone += ev == PHCA_PQP_GONE;
}

static unsigned int poll(struct phca_offload *o, uint64_t now_ns)
{
	(void)o;
	return d->poll ? d->poll(now_ns) : 0;
}

static const struct phca_offload_ops free_ops = {
	.name = "issue", .init = init, .submit = submit, .cancel = cancel, .child_done = child_done,
	.qp_event = qp_event, .poll = poll,
};
static const struct phca_offload_ops ordered_ops = {
	.name = "issue_ordered", .init = init, .submit = submit, .cancel = cancel, .child_done = child_done,
	.qp_event = qp_event, .poll = poll, .ordered = 1u << PHCA_DIR_SEND,
};

struct child_lab child_open(enum phca_qp_type type, bool ordered, const struct lab_opts *lo,
		const struct peer_opts *po)
{
	struct phca_filter_param min = { .name = "min_len", .kind = PHCA_FV_UINT, .u = BIG };
	struct child_lab x = { .p = peer_open(lab_open(lo), type, po), .r = { .name = "big", .send = true } };

	x.o = lab_offload(x.p.l, "o", ordered ? &ordered_ops : &free_ops, NULL, 0, 0);
	x.r.filter = lab_filter(x.p.l, "by_size", &min, 1);
	x.r.offload = x.o;
	return x;
}

void child_attach(struct child_lab *x, uint32_t window)
{
	CU_ASSERT_EQUAL_FATAL(phca_qp_proxy_attach(x->p.q.qp, &x->r, 1, window), 0);
}

void child_close(struct child_lab *x)
{
	struct phca_child *c[CHILD_POOL + 1];
	unsigned int n = 0;

	peer_drain(&x->p);
	CU_ASSERT_EQUAL(phca_qp_destroy(x->p.q.qp), 0);
	lab_turn(x->p.l, 2);
	CU_ASSERT_EQUAL(d->nb_ends, d->nb_posted);
	CU_ASSERT_EQUAL(d->nb_gone, d->watch && d->nb_posted > 0);
	while (n < CHILD_POOL + 1 && (c[n] = phca_child_get(x->o)) != NULL)
		n++;
	CU_ASSERT_EQUAL(n, CHILD_POOL);
	while (n > 0)
		phca_child_put(c[--n]);
	CU_ASSERT_EQUAL(phca_cq_destroy(x->p.q.cq), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(x->o), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(x->p.l->mem, x->p.key), 0);
	free(x->p.mem);
	lab_close(x->p.l);
}

void child_app_post(struct child_lab *x, enum phca_wr_opcode op, uint32_t n, uint64_t id, uint32_t flags)
{
	struct phca_send_wr w = peer_wr(&x->p, op, n);

	w.wr_id = id;
	w.flags = flags;
	CU_ASSERT_EQUAL(phca_post_send(x->p.q.qp, &w, 1), 1);
}

struct phca_offload_req *child_parent(struct child_lab *x, uint64_t id)
{
	unsigned int n = d->nb_held;

	child_app_post(x, PHCA_WR_SEND, BIG, id, PHCA_SEND_SIGNALED);
	lab_turn(x->p.l, 4);
	CU_ASSERT_EQUAL_FATAL(d->nb_held, n + 1);
	x->q = d->held[n]->pqp;
	return d->held[n];
}

struct phca_child *child_make(struct child_lab *x, enum phca_wr_opcode op, uint32_t n, uint8_t tag)
{
	struct phca_child *c = phca_child_get(x->o);

	CU_ASSERT_FATAL(c != NULL && n <= PHCA_CHILD_INLINE);
	c->wr.wqe.opcode = (uint8_t)op;
	c->wr.len = n;
	for (uint32_t i = 0; i < n; i++)
		c->data[i] = (uint8_t)(tag + i);
	c->wr.inline_data = n > 0 ? c->data : NULL;
	c->wr.wqe.u.rdma.remote_addr = 0x10000;
	c->wr.wqe.u.rdma.rkey = 0xabcd;
	c->drv[0] = tag;
	return c;
}

struct phca_child *child_make_sge(struct child_lab *x, enum phca_wr_opcode op, uint32_t n, uint8_t tag)
{
	struct phca_child *c = child_make(x, op, 0, tag);

	c->sge[0] = (struct phca_sge){ (uintptr_t)x->p.mem + tag, n, x->p.key };
	c->wr.sge = c->sge;
	c->wr.wqe.num_sge = 1;
	c->wr.len = n;
	c->wr.pd = x->p.l->pd;
	return c;
}

void child_issue(struct child_lab *x, struct phca_child *c, struct phca_offload_req *parent)
{
	CU_ASSERT_EQUAL(phca_child_post(x->q, c, parent), 0);
	d->nb_posted++;
}

void child_send(struct child_lab *x, uint8_t tag, struct phca_offload_req *parent)
{
	child_issue(x, child_make(x, PHCA_WR_SEND, 8, tag), parent);
}

void child_ended(uint8_t tag, uint32_t status)
{
	const struct child_end *e = &d->ends[d->next_end % CHILD_ENDS];

	CU_ASSERT_FATAL(d->next_end < d->nb_ends);
	d->next_end++;
	CU_ASSERT_EQUAL(e->tag, tag);
	CU_ASSERT_EQUAL(e->status, status);
	if (e->tag != tag || e->status != status)
		printf("  child %lu %s, not %u %s\n", e->tag, phca_wc_status_str(e->status), tag,
			phca_wc_status_str(status));
}

void child_none_ended(void)
{
	CU_ASSERT_EQUAL(d->next_end, d->nb_ends);
}

void child_expect(struct child_lab *x, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t tag)
{
	peer_expect(&x->p, op, psn);
	CU_ASSERT_EQUAL(x->p.p.payload_len, n);
	CU_ASSERT(lab_is(x->p.frame + x->p.p.payload_off, n, tag));
}
