/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the HCA lcore tells of requests of a traced queue pair: which they are, and
 * what the filters of its rules said. The rest is told by the proxy lcore, of the
 * requests that are marked here.
 *
 * Invariant: a request is marked exactly when its TAKEN record was written (or
 * counted as lost), so that of each traced request all is told or nothing. A queue
 * pair that is not traced pays a branch on a flag in its first cache line.
 */
#include <rte_string_fns.h>

#include "hca_impl.h"

void trace_said(struct phca_qp *qp, bool inbound, uint32_t said, unsigned int by, unsigned int tried)
{
	qp->why[inbound ? PHCA_DIR_RECV : PHCA_DIR_SEND] = (struct trace_why){
		.said = said, .by = (uint8_t)by, .tried = (uint8_t)tried,
	};
}

static void rule_tell(const struct phca_qp *qp, enum phca_dir dir, uint32_t rule, struct phca_trace_rec *r)
{
	r->rule = PHCA_TRACE_RULE_NONE;
	if (qp->nb_rules > 0) {
		r->said = qp->why[dir].said;
		r->tried = qp->why[dir].tried;
		r->by = qp->why[dir].by;
	}
	if (rule == PHCA_PMSG_RULE_PASS)
		r->flags |= PHCA_TRACE_F_ORDERED;
	if (rule == RULE_NONE || rule == PHCA_PMSG_RULE_PASS)
		return;
	r->rule = (uint8_t)rule;
	if (qp->rules[rule].ordered & 1u << dir)
		r->flags |= PHCA_TRACE_F_ORDERED;
	rte_strscpy(r->name, qp->rules[rule].name, sizeof(r->name));
}

/* One of those that were asked for. */
static uint8_t put(struct shard *h, struct phca_qp *qp, const struct phca_trace_rec *r)
{
	if (h->trace == NULL)
		return 0;
	phca_trace_put(h->trace, r);
	if (qp->trace_left != PHCA_QP_TRACE_ALL && --qp->trace_left == 0)
		qp->trace = false;
	return PHCA_PMSG_F_TRACED;
}

void trace_posted(struct shard *h, struct phca_qp *qp, struct sq_wr *e, uint8_t flags)
{
	struct phca_trace_rec r = {
		.ns = h->now_ns, .qpn = qp->qpn, .seq = e->place, .kind = PHCA_TRACE_TAKEN, .dir = PHCA_DIR_SEND,
		.id = e->wr->wqe.wr_id, .opcode = e->wr->wqe.opcode, .len = e->wr->len, .flags = flags,
	};

	if (flags & PHCA_TRACE_F_FLUSHED)
		r.rule = PHCA_TRACE_RULE_NONE;
	else
		rule_tell(qp, PHCA_DIR_SEND, e->rule, &r);
	if (e->traced != 0) { /* again: other rules */
		if (h->trace != NULL)
			phca_trace_put(h->trace, &r);
		return;
	}
	e->traced = put(h, qp, &r);
}

void trace_offloaded(struct shard *h, struct phca_qp *qp, struct phca_pmsg *pm, uint32_t len)
{
	struct phca_trace_rec r = {
		.ns = h->now_ns, .qpn = qp->qpn, .seq = pm->seq, .kind = PHCA_TRACE_TAKEN, .dir = PHCA_DIR_RECV,
		.id = pm->in.pkt.psn.v, .opcode = pm->in.pkt.opcode, .len = len,
	};

	rule_tell(qp, PHCA_DIR_RECV, pm->rule, &r);
	pm->flags |= put(h, qp, &r);
}

void trace_direct(struct shard *h, struct phca_qp *qp, const struct phca_pkt *pkt, uint32_t len, bool placed)
{
	struct phca_trace_rec r = {
		.ns = h->now_ns, .qpn = qp->qpn, .kind = PHCA_TRACE_TAKEN, .dir = PHCA_DIR_RECV,
		.opcode = pkt->opcode, .len = len,
	};
	uint32_t before = 0;

	if (!(phca_opcode_table[pkt->opcode].flags & PHCA_OPF_FIRST)) /* packets before the last one are full */
		before = (len - 1) / RTE_MAX(qp->path_mtu, (uint16_t)1);
	r.id = phca_psn_add(pkt->psn, 0 - before).v;
	if (placed)
		r.seq = qp->pseq[PHCA_DIR_RECV].next - 1;
	else
		r.flags = PHCA_TRACE_F_NO_PLACE;
	rule_tell(qp, PHCA_DIR_RECV, RULE_NONE, &r);
	put(h, qp, &r);
}

/* What is traced of it, if anything, will not be told of any more. */
void trace_reset(struct shard *h, const struct phca_qp *qp)
{
	const struct phca_trace_rec r = { .ns = h->now_ns, .qpn = qp->qpn, .kind = PHCA_TRACE_RESET };

	if (h->trace != NULL && qp->proxy)
		phca_trace_put(h->trace, &r);
}

struct trace_arg {
	struct phca_qp *qp;
	uint32_t count;
};

static int trace_on(void *arg)
{
	struct trace_arg *a = arg;

	a->qp->trace_left = a->count;
	a->qp->why[0] = a->qp->why[1] = (struct trace_why){ 0 };
	a->qp->trace = a->count > 0;
	return 0;
}

int phca_qp_trace_set(struct phca_qp *qp, uint32_t count)
{
	struct trace_arg a = { qp, count };

	if (qp->dead)
		return -EBUSY;
	if (count > 0 && !qp->proxy)
		return -EINVAL;
	return qp_call(qp, trace_on, &a);
}

struct shard_arg {
	struct shard *h;
	struct phca_trace *t;
};

static int shard_trace(void *arg)
{
	struct shard_arg *a = arg;

	a->h->trace = a->t;
	return 0;
}

int phca_hca_trace_set(struct phca_hca *h, unsigned int shard, struct phca_trace *t)
{
	struct shard_arg a;

	if (shard >= h->nb_shards)
		return -EINVAL;
	a = (struct shard_arg){ h->shards[shard], t };
	return phca_loop_call(h->shards[shard]->loops[shard], shard_trace, &a);
}
