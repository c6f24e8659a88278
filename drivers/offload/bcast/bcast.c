/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bcast offload: what an application posts once goes to every member of a group.
 *
 * A request gets a job, or waits for one, first come first served; so each member gets
 * the messages in the order in which they were posted. A job sends a copy to each
 * member that is ready, and counts what comes back. Short payload is copied into the
 * job, so that the request may complete, or its application go, while a member
 * still has to be sent it again. Longer payload is sent from the application's
 * memory: the copies are children of the request then, which keeps that in place until
 * the last one is over.
 *
 * Invariant: job->req is the request while the driver has it; a job is free again when
 * its last child is over, and then job->req is NULL.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_malloc.h>

#include "bcast_impl.h"

enum { SET_QUORUM, SET_FAILURE, SET_OWN, SET_MEMBERS, SET_OUTSTANDING, SET_COPY, SET_ONLY, SET_BASE };
#define MEMBERS_MAX 255
#define COPY_MAX (1u << 24)

static const struct phca_setting bcast_settings[] = {
	[SET_QUORUM] = { "quorum", PHCA_SETTING_UINT, 0, MEMBERS_MAX, 0, NULL,
		"members whose acknowledgement completes a request; 0: all" },
	[SET_FAILURE] = { "on_failure", PHCA_SETTING_STRING, 0, 0, 0, "drop",
		"drop: a member that fails is left out from then on; fail: the request fails" },
	[SET_OWN] = { "own_peer", PHCA_SETTING_BOOL, 0, 1, 0, NULL, "whether the application's own peer gets it, too" },
	[SET_MEMBERS] = { "max_members", PHCA_SETTING_UINT, 1, MEMBERS_MAX, 16, NULL, "members at most" },
	[SET_OUTSTANDING] = { "outstanding", PHCA_SETTING_UINT, 1, 4096, 256, NULL,
		"requests under way at once; others wait" },
	[SET_COPY] = { "copy_max_bytes", PHCA_SETTING_UINT, 0, COPY_MAX, 16384, NULL,
		"payload up to this is copied, longer is sent from the application's memory, bytes" },
	[SET_ONLY] = { "copy_only", PHCA_SETTING_BOOL, 0, 1, 0, NULL,
		"longer payload is refused: members never depend on memory of an application" },
	[SET_BASE] = { "write_base", PHCA_SETTING_UINT, 0, UINT64_MAX, 0, NULL,
		"remote address of a WRITE that means the first byte of each member's window" },
	{ .name = NULL },
};

/* DRV_STATE of a request. */
enum { WAITS = 1, RUNS };

static struct phca_offload_req *req_next(const struct phca_offload_req *req)
{
	return (struct phca_offload_req *)(uintptr_t)req->drv[DRV_NEXT];
}

static struct phca_offload_req *req_prev(const struct phca_offload_req *req)
{
	return (struct phca_offload_req *)(uintptr_t)req->drv[DRV_PREV];
}

static void wait_add(struct bcast *b, struct phca_offload_req *req)
{
	req->drv[DRV_STATE] = WAITS;
	req->drv[DRV_NEXT] = 0;
	req->drv[DRV_PREV] = (uintptr_t)b->last;
	if (b->last != NULL)
		b->last->drv[DRV_NEXT] = (uintptr_t)req;
	else
		b->first = req;
	b->last = req;
	__atomic_store_n(&b->waiting, b->waiting + 1, __ATOMIC_RELAXED);
}

static void wait_remove(struct bcast *b, struct phca_offload_req *req)
{
	struct phca_offload_req *next = req_next(req), *prev = req_prev(req);

	if (prev != NULL)
		prev->drv[DRV_NEXT] = (uintptr_t)next;
	else
		b->first = next;
	if (next != NULL)
		next->drv[DRV_PREV] = (uintptr_t)prev;
	else
		b->last = prev;
	__atomic_store_n(&b->waiting, b->waiting - 1, __ATOMIC_RELAXED);
}

/* --- jobs */

static void job_done(struct job *j, enum phca_wc_status status)
{
	struct phca_offload_req *req = j->req;

	j->req = NULL;
	phca_offload_done(req, status);
}

static void job_put(struct bcast *b, struct job *j)
{
	if (--j->refs > 0)
		return;
	j->next = b->free_jobs;
	b->free_jobs = j;
	__atomic_store_n(&b->under_way, b->under_way - 1, __ATOMIC_RELAXED);
}

/* Completes the request if it is decided now. */
static void job_settle(struct bcast *b, struct job *j)
{
	uint32_t open = j->total - j->over;

	if (j->req == NULL)
		return;
	if (j->error != PHCA_WC_SUCCESS && (b->fail || j->acked + open < j->need)) {
		job_done(j, j->error);
	} else if (b->quorum != 0 ? j->acked >= j->need : open == 0) {
		if (open > 0)
			PHCA_STAT_ADD(b->stragglers, open);
		job_done(j, PHCA_WC_SUCCESS);
	}
}

/* A copy did not get to a member. */
static void job_failed(struct job *j, enum phca_wc_status status)
{
	j->over++;
	if (j->error == PHCA_WC_SUCCESS)
		j->error = status;
}

static void bcast_child_done(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status,
		uint64_t now_ns)
{
	struct bcast *b = phca_offload_priv(o);
	struct job *j = (struct job *)(uintptr_t)c->drv[0];
	struct member *m = (struct member *)(uintptr_t)c->drv[1];

	(void)now_ns;
	if (m == NULL) { /* the application's own peer: the request is its parent, and fails with it */
		if (status != PHCA_WC_SUCCESS)
			j->req = NULL;
	} else if (status == PHCA_WC_SUCCESS) {
		PHCA_STAT_ADD(m->acked, 1);
		j->over++;
		j->acked++;
		job_settle(b, j);
	} else {
		PHCA_STAT_ADD(m->failed, 1);
		bcast_member_drop(b, m);
		job_failed(j, status);
		job_settle(b, j);
	}
	job_put(b, j);
}

/* --- copies */

static bool is_write(const struct phca_offload_wr *wr)
{
	return wr->wqe.opcode == PHCA_WR_RDMA_WRITE || wr->wqe.opcode == PHCA_WR_RDMA_WRITE_WITH_IMM;
}

/* Where a WRITE goes in the member's window. @return false: it has none there */
static bool write_target(const struct bcast *b, const struct member *m, const struct phca_offload_req *req,
		struct phca_send_wqe *w)
{
	uint64_t at = req->wr->wqe.u.rdma.remote_addr - b->write_base;

	if (at > m->window_len || req->len > m->window_len - at || m->window_len == 0)
		return false;
	w->u.rdma.remote_addr = m->window_va + at;
	w->u.rdma.rkey = m->window_rkey;
	return true;
}

/* What copies are made of. */
static void job_wr(struct job *j)
{
	const struct phca_offload_req *req = j->req;
	const struct phca_send_wqe *w = &req->wr->wqe;
	struct phca_offload_wr *wr = &j->wr;

	*wr = (struct phca_offload_wr){
		.wqe = { .opcode = w->opcode, .flags = w->flags & PHCA_SEND_SOLICITED, .imm = w->imm },
		.pd = req->pd, .len = req->len,
	};
	if (j->copied) {
		wr->inline_data = req->len > 0 ? j->buf : NULL;
		if (req->len > 0 && req->len <= PHCA_MTU_MAX) /* one packet, unless the path is narrower */
			wr->crc = phca_wire_payload_crc(j->buf, req->len);
	} else {
		wr->sge = req->wr->sge;
		wr->wqe.num_sge = w->num_sge;
		wr->inline_data = req->wr->inline_data;
	}
	wr->wqe.inline_len = wr->inline_data != NULL ? req->len : 0;
}

/* A child with the payload, for nobody yet. NULL cannot be: the pool has one for each member of each job. */
static struct phca_child *copy_make(struct phca_offload *o, struct job *j, struct member *m, bool shared)
{
	struct phca_child *c = shared ? phca_child_get_shared(o, &j->wr) : phca_child_get(o);

	if (c == NULL)
		return NULL;
	if (!shared)
		c->wr = j->wr;
	c->tolerant = m != NULL;
	c->drv[0] = (uintptr_t)j;
	c->drv[1] = (uintptr_t)m;
	return c;
}

static int copy_post(struct bcast *b, struct job *j, struct phca_child *c, struct phca_pqp *q, bool child)
{
	int rc = phca_child_post(q, c, child ? j->req : NULL);

	if (rc != 0) {
		phca_child_put(c);
		return rc;
	}
	j->refs++;
	PHCA_STAT_ADD(b->copies, 1);
	return 0;
}

/* To the peer of the application's queue pair, as it was posted. */
static int copy_own(struct phca_offload *o, struct bcast *b, struct job *j)
{
	struct phca_child *c = copy_make(o, j, NULL, false);
	int rc = -ENOMEM;

	if (c != NULL) {
		c->wr.wqe.u = j->req->wr->wqe.u;
		rc = copy_post(b, j, c, j->req->pqp, true);
	}
	phca_offload_emitted(j->req);
	return rc;
}

static void copy_member(struct phca_offload *o, struct bcast *b, struct job *j, struct member *m)
{
	bool write = is_write(&j->wr); /* then each has its own target */
	struct phca_child *c = copy_make(o, j, m, !write);

	if (c != NULL && write && !write_target(b, m, j->req, &c->wr.wqe)) {
		phca_child_put(c);
		PHCA_STAT_ADD(m->missed, 1);
		PHCA_STAT_ADD(b->missed, 1);
		job_failed(j, PHCA_WC_REM_ACCESS_ERR);
		return;
	}
	if (c == NULL || copy_post(b, j, c, m->pqp, !j->copied) != 0) {
		PHCA_STAT_ADD(m->failed, 1);
		bcast_member_drop(b, m);
		job_failed(j, PHCA_WC_RETRY_EXC_ERR);
	}
}

/* Copies the payload, or looks at its keys, so that a bad one fails the request and no member. */
static bool job_payload(struct phca_offload *o, struct bcast *b, struct job *j)
{
	const struct phca_offload_req *req = j->req;

	j->copied = req->len <= b->copy_max;
	if (j->copied)
		return phca_offload_read(req, 0, j->buf, req->len) == (int)req->len;
	return req->wr->inline_data != NULL || phca_sg_check(phca_offload_mem(o), req->pd, req->wr->sge,
		req->wr->wqe.num_sge, 0) == PHCA_MEM_OK;
}

/* How many copies there will be, and how many must arrive. @return whether that can be */
static bool job_plan(struct bcast *b, struct job *j)
{
	uint32_t ready = 0, members = 0;

	for (unsigned int i = 0; i < b->nb_members; i++) {
		members += b->members[i].pqp != NULL;
		ready += b->members[i].ready;
	}
	j->total = ready;
	j->need = b->quorum != 0 ? b->quorum : b->own_peer ? 0 : 1;
	return ready >= j->need && !(b->fail && ready < members);
}

static void job_send(struct phca_offload *o, struct bcast *b, struct job *j)
{
	uint32_t left = j->total;

	job_wr(j);
	if (j->own && copy_own(o, b, j) != 0) {
		job_done(j, PHCA_WC_WR_FLUSH_ERR);
		return;
	}
	for (unsigned int i = 0; left > 0; i++) {
		if (b->members[i].ready) {
			left--;
			copy_member(o, b, j, &b->members[i]);
		}
	}
	job_settle(b, j);
}

static void job_start(struct phca_offload *o, struct bcast *b, struct phca_offload_req *req)
{
	struct job *j = b->free_jobs;

	b->free_jobs = j->next;
	*j = (struct job){ .req = req, .buf = j->buf, .refs = 1, .error = PHCA_WC_SUCCESS, .own = b->own_peer };
	req->drv[DRV_STATE] = RUNS;
	req->drv[DRV_JOB] = (uintptr_t)j;
	__atomic_store_n(&b->under_way, b->under_way + 1, __ATOMIC_RELAXED);
	if (!job_payload(o, b, j)) {
		job_done(j, PHCA_WC_LOC_PROT_ERR);
	} else if (!job_plan(b, j)) {
		job_done(j, PHCA_WC_RETRY_EXC_ERR);
	} else {
		job_send(o, b, j);
	}
	job_put(b, j);
}
/* --- callbacks */

static bool wanted(const struct phca_offload_req *req)
{
	switch (req->wr->wqe.opcode) {
	case PHCA_WR_SEND:
	case PHCA_WR_SEND_WITH_IMM:
	case PHCA_WR_RDMA_WRITE:
	case PHCA_WR_RDMA_WRITE_WITH_IMM:
		return true;
	default:
		return false;
	}
}

static int bcast_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct bcast *b = phca_offload_priv(o);

	(void)now_ns;
	if (req->dir == PHCA_DIR_RECV) {
		if (req->op != PHCA_OP_SEND || bcast_member(b, req->pqp) == NULL)
			return -ENOTSUP;
		bcast_announced(b, req);
		phca_offload_done(req, PHCA_WC_SUCCESS);
		return 0;
	}
	if (!wanted(req))
		return -ENOTSUP;
	if (b->copy_only && req->len > b->copy_max) {
		phca_offload_done(req, PHCA_WC_LOC_LEN_ERR);
		return 0;
	}
	if (b->free_jobs != NULL && b->first == NULL)
		job_start(o, b, req);
	else
		wait_add(b, req);
	return 0;
}

static unsigned int bcast_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct bcast *b = phca_offload_priv(o);
	unsigned int n = 0;

	(void)now_ns;
	while (b->first != NULL && b->free_jobs != NULL) {
		struct phca_offload_req *req = b->first;

		wait_remove(b, req);
		job_start(o, b, req);
		n++;
	}
	return n;
}

/* What its children refer to stays as long as they do; copied payload is the job's. */
static int bcast_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct bcast *b = phca_offload_priv(o);

	if (req->drv[DRV_STATE] == WAITS)
		wait_remove(b, req);
	else
		((struct job *)(uintptr_t)req->drv[DRV_JOB])->req = NULL;
	return 0;
}

static void bcast_fini(struct phca_offload *o)
{
	struct bcast *b = phca_offload_priv(o);

	rte_free(b->members);
	rte_free(b->jobs);
	rte_free(b->bufs);
}

static int settings_take(struct bcast *b, const struct phca_setting_value *v, char *err, size_t err_len)
{
	b->fail = strcmp(v[SET_FAILURE].s, "fail") == 0;
	if (!b->fail && strcmp(v[SET_FAILURE].s, "drop") != 0) {
		snprintf(err, err_len, "setting on_failure: \"%s\" is neither \"drop\" nor \"fail\"", v[SET_FAILURE].s);
		return -EINVAL;
	}
	b->quorum = (uint32_t)v[SET_QUORUM].u;
	b->own_peer = v[SET_OWN].u != 0;
	b->max_members = (uint32_t)v[SET_MEMBERS].u;
	b->outstanding = (uint32_t)v[SET_OUTSTANDING].u;
	b->copy_max = (uint32_t)v[SET_COPY].u;
	b->copy_only = v[SET_ONLY].u != 0;
	b->write_base = v[SET_BASE].u;
	if (b->quorum > b->max_members) {
		snprintf(err, err_len, "setting quorum: %u is more than max_members, %u", b->quorum, b->max_members);
		return -ERANGE;
	}
	return 0;
}

static int bcast_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	struct bcast *b = phca_offload_priv(o);
	size_t room = RTE_CACHE_LINE_ROUNDUP((size_t)v[SET_COPY].u);
	int rc = settings_take(b, v, err, err_len);

	if (rc != 0)
		return rc;
	b->members = rte_zmalloc(NULL, b->max_members * sizeof(b->members[0]), 0);
	b->jobs = rte_zmalloc(NULL, b->outstanding * sizeof(b->jobs[0]), RTE_CACHE_LINE_SIZE);
	b->bufs = room > 0 ? rte_malloc(NULL, b->outstanding * room, RTE_CACHE_LINE_SIZE) : NULL;
	if (b->members == NULL || b->jobs == NULL || (b->bufs == NULL && room > 0) ||
			phca_child_pool(o, b->outstanding * (b->max_members + b->own_peer)) != 0) {
		bcast_fini(o);
		snprintf(err, err_len, "setting outstanding: no memory for %u requests to %u members with %zu bytes; "
			"make one of them smaller", b->outstanding, b->max_members, room);
		return -ENOMEM;
	}
	for (unsigned int i = b->outstanding; i-- > 0;) {
		b->jobs[i].buf = room > 0 ? b->bufs + i * room : NULL;
		b->jobs[i].next = b->free_jobs;
		b->free_jobs = &b->jobs[i];
	}
	if (b->own_peer)
		phca_offload_ordered_set(o, 1u << PHCA_DIR_SEND);
	return 0;
}

const struct phca_offload_ops phca_offload_bcast = {
	.name = "bcast",
	.help = "sends what is posted to every member of a group",
	.settings = bcast_settings,
	.priv_size = sizeof(struct bcast),
	.init = bcast_init,
	.fini = bcast_fini,
	.submit = bcast_submit,
	.cancel = bcast_cancel,
	.poll = bcast_poll,
	.child_done = bcast_child_done,
	.qp_event = bcast_qp_event,
	.peer = bcast_peer,
	.show = bcast_show,
};
