/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reduce offload: contributions of n peers are combined and one result comes out.
 *
 * submit only decides whether a message is a contribution, and to which reduction it
 * belongs; all that follows is done by poll (finish.c). Invariant: a contribution that is
 * refused changes nothing but counters: whatever a peer sends, reductions that it is not
 * a rank of go on as they would without it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "phca_drivers.h"
#include "reduce.h"

enum { SET_REDUCTIONS, SET_BYTES, SET_RANKS, SET_PER_QP, SET_QPS, SET_CHILDREN, SET_WAIT, SET_MISSING,
	SET_DELIVER };
#define BUDGET (1u << 20) /* bytes combined and delivered in a turn, about */

static const struct phca_setting reduce_settings[] = {
	[SET_REDUCTIONS] = { "max_reductions", PHCA_SETTING_UINT, 1, 65536, 64, NULL, "reductions at once" },
	[SET_BYTES] = { "max_bytes", PHCA_SETTING_UINT, 8, 1u << 26, 1u << 18, NULL, "longest vector, bytes" },
	[SET_RANKS] = { "max_ranks", PHCA_SETTING_UINT, 1, 1024, 64, NULL, "ranks of a reduction at most" },
	[SET_PER_QP] = { "max_per_qp", PHCA_SETTING_UINT, 1, 65536, 16, NULL,
		"contributions of one queue pair at once" },
	[SET_QPS] = { "max_qps", PHCA_SETTING_UINT, 1, 65536, 1024, NULL, "queue pairs that contribute" },
	[SET_CHILDREN] = { "children", PHCA_SETTING_UINT, 1, 1u << 16, 1024, NULL, "results on their way at once" },
	[SET_WAIT] = { "wait_ms", PHCA_SETTING_UINT, 0, 3600000, 1000, NULL,
		"how long a reduction waits for its ranks, ms; 0: for ever" },
	[SET_MISSING] = { "on_missing", PHCA_SETTING_STRING, 0, 0, 0, "fail",
		"contributions when one is missing: fail or drop" },
	[SET_DELIVER] = { "deliver", PHCA_SETTING_BOOL, 0, 1, 1, NULL,
		"whether results may go to the application, and other messages pass" },
	{ .name = NULL },
};

static int reduce_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	struct reduce *d = phca_offload_priv(o);

	if (strcmp(v[SET_MISSING].s, "fail") != 0 && strcmp(v[SET_MISSING].s, "drop") != 0) {
		snprintf(err, err_len, "setting on_missing: %s is none of fail, drop", v[SET_MISSING].s);
		return -EINVAL;
	}
	d->max_reductions = (uint32_t)v[SET_REDUCTIONS].u;
	d->max_bytes = (uint32_t)v[SET_BYTES].u;
	d->max_ranks = (uint32_t)v[SET_RANKS].u;
	d->per_qp = (uint32_t)v[SET_PER_QP].u;
	d->max_qps = (uint32_t)v[SET_QPS].u;
	d->strange_max = RTE_MIN((uint32_t)v[SET_CHILDREN].u / 4, 16u);
	d->wait_ns = v[SET_WAIT].u * 1000000;
	d->drop = v[SET_MISSING].s[0] == 'd';
	d->deliver = v[SET_DELIVER].u != 0;
	d->wide = reduce_kernel_wide();
	if (d->deliver)
		phca_offload_ordered_set(o, 1u << PHCA_DIR_RECV);
	if (phca_child_pool(o, (unsigned int)v[SET_CHILDREN].u) != 0) {
		snprintf(err, err_len, "setting children: no memory for %lu; make it smaller",
			(unsigned long)v[SET_CHILDREN].u);
		return -ENOMEM;
	}
	return reduce_table_init(d, err, err_len);
}

static void reduce_fini(struct phca_offload *o)
{
	reduce_table_fini(phca_offload_priv(o));
}

/* Whether it is a contribution at all, right or wrong. */
static bool contribution_read(const struct phca_offload_req *req, struct phca_reduce_hdr *h)
{
	if (req->transport != PHCA_TRANSPORT_RC || req->op != PHCA_OP_SEND)
		return false;
	return phca_offload_read(req, 0, h, sizeof(*h)) == sizeof(*h) &&
		memcmp(h->magic, PHCA_REDUCE_MAGIC, sizeof(h->magic)) == 0 && !(h->flags & PHCA_REDUCE_F_RESULT);
}

static bool well_formed(const struct reduce *d, const struct phca_reduce_hdr *h, uint32_t len)
{
	const uint8_t whom = h->flags & PHCA_REDUCE_F_WHOM;

	if (h->version != PHCA_REDUCE_VERSION || reduce_kernel_find(h->op, h->type, d->wide) == NULL)
		return false;
	if (whom == 0 || h->flags != whom || h->status != 0 || h->rsvd != 0)
		return false;
	if ((whom & PHCA_REDUCE_F_DELIVER) && !d->deliver)
		return false;
	if (h->nb_ranks == PHCA_REDUCE_NOBODY || h->rank >= h->nb_ranks)
		return false;
	if (h->count == 0 || h->count > UINT32_MAX - h->offset)
		return false;
	return len == PHCA_REDUCE_HDR_LEN + (uint64_t)h->count * phca_reduce_size(h->type);
}

static bool matches(const struct reduction *r, const struct phca_reduce_hdr *h)
{
	const struct phca_reduce_hdr *a = r->result;

	return a->op == h->op && a->type == h->type && a->nb_ranks == h->nb_ranks && a->count == h->count &&
		a->flags == (h->flags | PHCA_REDUCE_F_RESULT);
}

static bool has_contributed(const struct reduction *r, const struct member *m, uint32_t rank)
{
	if (r->slots[rank].req != NULL)
		return true;
	for (uint32_t i = 0; i < r->result->nb_ranks; i++)
		if (r->slots[i].member == m)
			return true;
	return false;
}

/* @return OK with the reduction in *to, or what is wrong */
static enum phca_reduce_status admit(struct reduce *d, const struct phca_offload_req *req,
		const struct phca_reduce_hdr *h, const struct member *m, uint64_t now_ns, struct reduction **to)
{
	struct reduction *r;

	if (!well_formed(d, h, req->len))
		return PHCA_REDUCE_MALFORMED;
	if (h->nb_ranks > d->max_ranks || req->len - PHCA_REDUCE_HDR_LEN > d->max_bytes)
		return PHCA_REDUCE_TOO_LARGE;
	if (m == NULL || m->open >= d->per_qp || m->answers >= 2 * d->per_qp)
		return PHCA_REDUCE_BUSY;
	r = reduce_table_find(d, req->pd, h);
	if (r != NULL && !matches(r, h))
		return PHCA_REDUCE_MISMATCH;
	if (r != NULL && has_contributed(r, m, h->rank))
		return PHCA_REDUCE_DUPLICATE;
	if (r == NULL)
		r = reduce_table_open(d, req->pd, h, now_ns);
	*to = r;
	return r != NULL ? PHCA_REDUCE_OK : PHCA_REDUCE_BUSY;
}

static void count_refused(struct reduce *d, enum phca_reduce_status status)
{
	switch (status) {
	case PHCA_REDUCE_MISMATCH: REDUCE_ADD(d, mismatches, 1); break;
	case PHCA_REDUCE_DUPLICATE: REDUCE_ADD(d, duplicates, 1); break;
	case PHCA_REDUCE_TOO_LARGE: REDUCE_ADD(d, too_large, 1); break;
	case PHCA_REDUCE_BUSY: REDUCE_ADD(d, busy, 1); break;
	default: REDUCE_ADD(d, malformed, 1);
	}
}

static int reduce_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct reduce *d = phca_offload_priv(o);
	enum phca_reduce_status status;
	struct phca_reduce_hdr h;
	struct reduction *r = NULL;
	struct member *m;

	if (req->dir != PHCA_DIR_RECV)
		return -ENOTSUP;
	if (!contribution_read(req, &h)) {
		REDUCE_ADD(d, foreign, 1);
		return phca_offload_pass(req);
	}
	m = reduce_member_get(d, o, req->pqp);
	status = admit(d, req, &h, m, now_ns, &r);
	if (status != PHCA_REDUCE_OK) {
		count_refused(d, status);
		reduce_error_answer(d, o, req->pqp, m, &h, status);
		phca_offload_done(req, PHCA_WC_SUCCESS);
		return 0;
	}
	REDUCE_ADD(d, contributions, 1);
	m->open++;
	r->slots[h.rank] = (struct slot){ .req = req, .member = m };
	req->drv[0] = (uintptr_t)r;
	req->drv[1] = h.rank;
	if (h.rank == r->turn)
		reduce_table_work(d, r);
	return 0;
}

static int reduce_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct reduction *r = (struct reduction *)(uintptr_t)req->drv[0];
	struct reduce *d = phca_offload_priv(o);

	reduce_slot_clear(&r->slots[req->drv[1]]);
	if (r->state == REDUCE_GATHERING)
		reduce_fail(d, r, PHCA_REDUCE_PEER_LOST);
	else if (r->state == REDUCE_FINISHING && req->drv[1] == 0 && (r->result->flags & PHCA_REDUCE_F_DELIVER))
		REDUCE_ADD(d, undelivered, 1);
	return 0;
}

static unsigned int reduce_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct reduce *d = phca_offload_priv(o);
	struct reduction *r;

	while (d->wait_ns != 0 && (r = TAILQ_FIRST(&d->gathering)) != NULL && now_ns - r->since_ns >= d->wait_ns)
		reduce_fail(d, r, PHCA_REDUCE_TIMEOUT);
	return TAILQ_EMPTY(&d->work) ? 0 : reduce_work_run(d, o, now_ns, BUDGET);
}

static void reduce_child_done(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status,
		uint64_t now_ns)
{
	(void)now_ns;
	reduce_answer_over(phca_offload_priv(o), c, status);
}

/* A queue pair in error contributes nothing more: what it is a rank of cannot be completed. */
static void member_error(struct reduce *d, const struct member *m)
{
	struct reduction *r, *next;

	for (r = TAILQ_FIRST(&d->gathering); r != NULL && m->open > 0; r = next) {
		next = TAILQ_NEXT(r, by_age);
		for (uint32_t i = 0; i < r->result->nb_ranks; i++) {
			if (r->slots[i].member != m)
				continue;
			reduce_fail(d, r, PHCA_REDUCE_PEER_LOST);
			break;
		}
	}
}

static void reduce_qp_event(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns)
{
	struct member *m = phca_pqp_watched(q, o);
	struct reduce *d = phca_offload_priv(o);

	(void)now_ns;
	if (m == NULL)
		return;
	if (ev == PHCA_PQP_ERROR)
		member_error(d, m);
	else if (ev == PHCA_PQP_GONE)
		reduce_member_gone(d, m);
}

static int reduce_show(const struct phca_offload *o, int (*emit)(void *arg, const char *name, uint64_t value),
		void *arg)
{
	const struct reduce *d = phca_offload_priv(o);
	int rc;

#define EMIT(n) rc = emit(arg, #n, PHCA_STAT_GET(d->c.n)); if (rc != 0) return rc;
	REDUCE_COUNTERS(EMIT)
#undef EMIT
	return emit(arg, "waiting", PHCA_STAT_GET(d->c.waiting));
}

const struct phca_offload_ops phca_offload_reduce = {
	.name = "reduce",
	.help = "combines vectors that peers SEND: sum, min, max, and, or",
	.settings = reduce_settings,
	.priv_size = sizeof(struct reduce),
	.init = reduce_init,
	.fini = reduce_fini,
	.submit = reduce_submit,
	.cancel = reduce_cancel,
	.poll = reduce_poll,
	.child_done = reduce_child_done,
	.qp_event = reduce_qp_event,
	.show = reduce_show,
};
