/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An offload written in eBPF: the program decides what becomes of each request.
 *
 * One run is one call of the program; what it returns is carried out when it is back, in
 * submit. Invariant: a request that the driver holds is in the list `again`, or its
 * program said done and children of it run. Outgoing messages are free when no run
 * and no child has them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "bpf_impl.h"
#include "phca_drivers.h"

enum { SET_BYTES, SET_CALLS, SET_INSNS, SET_CHILDREN, SET_MESSAGES, SET_MESSAGE_BYTES, SET_ORDERED };

static const struct phca_setting bpf_settings[] = {
	[SET_BYTES] = { "budget_bytes", PHCA_SETTING_UINT, 0, 1u << 26, 1u << 16, NULL,
		"bytes that the helpers may copy for one request" },
	[SET_CALLS] = { "budget_calls", PHCA_SETTING_UINT, 1, 1u << 16, 256, NULL,
		"calls of helpers for one request" },
	[SET_INSNS] = { "budget_instructions", PHCA_SETTING_UINT, 1, 1u << 16, 4096, NULL,
		"instructions of the program at most; it has no loops" },
	[SET_CHILDREN] = { "children", PHCA_SETTING_UINT, 1, 1u << 20, 1024, NULL,
		"work requests of its own under way at once" },
	[SET_MESSAGES] = { "messages", PHCA_SETTING_UINT, 0, 1u << 20, 256, NULL,
		"outgoing messages under way at once" },
	[SET_MESSAGE_BYTES] = { "message_bytes", PHCA_SETTING_UINT, 64, 1u << 20, 8192, NULL,
		"bytes of an outgoing message at most" },
	[SET_ORDERED] = { "ordered", PHCA_SETTING_BOOL, 0, 1, 0, NULL,
		"keep requests in order even if the program does not need it, so that one that does can replace it" },
	{ .name = NULL },
};

/* --- what a program needs */

/* Directions whose requests must be ordered: it may pass them on, or emit on their queue pair. */
static unsigned int order_needed(const struct phca_filter *f)
{
	static const uint32_t emits[] = {
		PHCA_OFFLOAD_HELPER_reply, PHCA_OFFLOAD_HELPER_child_send, PHCA_OFFLOAD_HELPER_child_write,
		PHCA_OFFLOAD_HELPER_child_same,
	};
	unsigned int dirs = 0;

	if (phca_filter_may_return(f, PHCA_PASS_ON))
		dirs |= 1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV;
	if (phca_filter_may_return(f, PHCA_DELIVER))
		dirs |= 1u << PHCA_DIR_RECV;
	for (unsigned int i = 0; i < RTE_DIM(emits); i++)
		if (phca_filter_may_call(f, emits[i]))
			dirs |= 1u << PHCA_DIR_SEND;
	return dirs;
}

static int size_check(const struct bpf *b, const struct phca_filter *f, char *err, size_t err_len)
{
	if (phca_filter_nb_insns(f) <= b->insns_max)
		return 0;
	snprintf(err, err_len, "program %s has %u instructions, setting budget_instructions allows %u; raise it",
		phca_filter_program(f), phca_filter_nb_insns(f), b->insns_max);
	return -E2BIG;
}

static int bpf_program_check(const struct phca_offload *o, const struct phca_filter *f, char *err, size_t err_len)
{
	const struct bpf *b = phca_offload_priv(o);

	if ((order_needed(f) & ~phca_offload_ordered(o)) != 0) {
		snprintf(err, err_len, "program %s passes requests on or issues work requests on their queue pair, "
			"the one that the offload began with does not; begin with setting ordered true",
			phca_filter_program(f));
		return -EINVAL;
	}
	return size_check(b, f, err, err_len);
}

/* --- an instance */

static int messages_make(struct bpf *b, unsigned int n)
{
	size_t stride = RTE_CACHE_LINE_ROUNDUP(sizeof(struct message) + b->message_bytes);

	if (n == 0)
		return 0;
	b->messages = rte_malloc(NULL, n * stride, RTE_CACHE_LINE_SIZE);
	if (b->messages == NULL)
		return -ENOMEM;
	while (n-- > 0) {
		struct message *m = RTE_PTR_ADD(b->messages, n * stride);

		m->next = b->free;
		b->free = m;
	}
	return 0;
}

static int bpf_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	struct bpf *b = phca_offload_priv(o);
	const struct phca_filter *f;
	int rc;

	b->slot = phca_offload_program(o);
	if (b->slot == NULL) {
		snprintf(err, err_len, "it has no program; add \"program\": {\"object\": FILE}");
		return -EINVAL;
	}
	f = phca_filter_slot_get(b->slot);
	b->budget_bytes = v[SET_BYTES].u;
	b->budget_calls = (uint32_t)v[SET_CALLS].u;
	b->insns_max = (uint32_t)v[SET_INSNS].u;
	b->nb_children = (uint32_t)v[SET_CHILDREN].u;
	b->message_bytes = (uint32_t)v[SET_MESSAGE_BYTES].u;
	b->env.prandom = rte_rdtsc() | 1;
	rc = size_check(b, f, err, err_len);
	if (rc != 0)
		return rc;
	phca_offload_ordered_set(o, order_needed(f) |
		(v[SET_ORDERED].u != 0 ? 1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV : 0));
	if (phca_child_pool(o, b->nb_children) != 0) {
		snprintf(err, err_len, "setting children: no memory for %u; make it smaller", b->nb_children);
		return -ENOMEM;
	}
	if (messages_make(b, (unsigned int)v[SET_MESSAGES].u) != 0) {
		snprintf(err, err_len, "setting messages: no memory for %" PRIu64 " of %u bytes; make it smaller",
			v[SET_MESSAGES].u, b->message_bytes);
		return -ENOMEM;
	}
	return 0;
}

static void bpf_fini(struct phca_offload *o)
{
	struct bpf *b = phca_offload_priv(o);

	rte_free(b->messages);
}

/* --- requests */

static void again(struct bpf *b, struct phca_offload_req *req)
{
	PHCA_STAT_ADD(b->c.again, 1);
	*req_next(req) = NULL;
	if (b->again == NULL)
		b->again = req;
	else
		*req_next(b->again_last) = req;
	b->again_last = req;
	b->nb_again++;
}

/* Said what cannot be done: told by a counter and the request's status. */
static void fail(struct phca_offload_req *req, uint64_t *counter)
{
	PHCA_STAT_ADD(*counter, 1);
	phca_offload_done(req, PHCA_WC_LOC_QP_OP_ERR);
}

/* Whether it came to a queue pair of the offload's own and asks for a receive, which nobody posts there. */
static bool for_nobody(const struct bpf *b, const struct phca_offload_req *req)
{
	if (req->dir == PHCA_DIR_SEND || (req->op != PHCA_OP_SEND && !req->has_imm))
		return false;
	for (unsigned int i = 0; i < b->nb_peers; i++)
		if (b->peers[i].q == req->pqp)
			return true;
	return false;
}

static void pass_on(struct run *r, uint32_t said)
{
	struct phca_offload_req *req = r->req;
	int rc;

	if (unlikely(for_nobody(r->b, req))) {
		PHCA_STAT_ADD(r->b->c.passed_on, 1);
		phca_offload_done(req, PHCA_WC_SUCCESS);
		return;
	}
	if (said == PHCA_DELIVER && r->out == NULL)
		rc = -EINVAL;
	else if (said == PHCA_DELIVER)
		rc = phca_offload_deliver(req, r->out->data, r->out->len);
	else
		rc = phca_offload_pass(req);
	if (rc == -ENOMEM)
		again(r->b, req);
	else if (rc != 0)
		fail(req, &r->b->c.bad_return);
	else
		PHCA_STAT_ADD(r->b->c.passed_on, 1);
}

/* What the program said is carried out. */
static void finish(struct run *r, uint32_t said)
{
	struct phca_offload_req *req = r->req;
	struct bpf *b = r->b;

	if (unlikely(r->over)) {
		fail(req, &b->c.over_budget);
	} else if (said == PHCA_DONE) {
		PHCA_STAT_ADD(b->c.done, 1);
		phca_offload_done(req, PHCA_WC_SUCCESS);
	} else if (said == PHCA_PASS_ON || said == PHCA_DELIVER) {
		pass_on(r, said);
	} else if (said == PHCA_AGAIN && req->children == 0) {
		again(b, req);
	} else if (said > PHCA_DONE_STATUS(PHCA_WC_SUCCESS) && said < PHCA_DONE_STATUS(PHCA_WC_STATUS_COUNT)) {
		PHCA_STAT_ADD(b->c.errors, 1);
		phca_offload_done(req, (enum phca_wc_status)(said - PHCA_DONE_STATUS(0)));
	} else {
		fail(req, &b->c.bad_return);
	}
}

static void run(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct bpf *b = phca_offload_priv(o);
	struct phca_filter *f = phca_filter_slot_get(b->slot);
	struct run r;

	r.b = b;
	r.o = o;
	r.req = req;
	r.mem = phca_offload_mem(o);
	r.out = NULL;
	r.sealed = r.over = false;
	r.calls_left = b->budget_calls;
	r.bytes_left = b->budget_bytes;
	ctx_fill(&r, phca_filter_ctx_words(f), now_ns, (uint32_t)req->drv[1]++);
	b->env.now_ns = now_ns;
	PHCA_STAT_ADD(b->c.runs, 1);
	finish(&r, phca_filter_call(f, &r.ctx, &b->env));
	if (r.out != NULL)
		message_put(b, r.out);
}

static int bpf_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	req->drv[1] = 0;
	run(o, req, now_ns);
	return 0;
}

/* Those that said again, once each. */
static unsigned int bpf_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct bpf *b = phca_offload_priv(o);
	unsigned int n = b->nb_again, i;

	for (i = 0; i < n && b->again != NULL; i++) {
		struct phca_offload_req *req = b->again;

		b->again = *req_next(req);
		b->nb_again--;
		run(o, req, now_ns);
	}
	return i;
}

/* Asked only for what waits to be run again; the rest said done. */
static int bpf_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct bpf *b = phca_offload_priv(o);
	struct phca_offload_req **at = &b->again, *last = NULL;

	while (*at != NULL && *at != req) {
		last = *at;
		at = req_next(*at);
	}
	if (*at == NULL)
		return -EBUSY;
	*at = *req_next(req);
	if (b->again_last == req)
		b->again_last = last;
	b->nb_again--;
	return 0;
}

static void bpf_child_done(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status,
		uint64_t now_ns)
{
	struct bpf *b = phca_offload_priv(o);

	RTE_SET_USED(status);
	RTE_SET_USED(now_ns);
	b->children_out--;
	if (c->drv[0] != 0)
		message_put(b, (struct message *)(uintptr_t)c->drv[0]);
}

/* --- peers */

static int bpf_peer(struct phca_offload *o, struct phca_pqp *q, const char *name)
{
	struct bpf *b = phca_offload_priv(o);
	unsigned int i = 0;

	while (i < b->nb_peers && b->peers[i].q != NULL)
		i++;
	if (i == PHCA_OFFLOAD_PEERS_MAX)
		return -ENOSPC;
	b->peers[i].q = q;
	snprintf(b->peers[i].name, sizeof(b->peers[i].name), "%s", name);
	if (i == b->nb_peers)
		PHCA_STAT_ADD(b->nb_peers, 1);
	return 0;
}

static void bpf_qp_event(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns)
{
	struct bpf *b = phca_offload_priv(o);

	RTE_SET_USED(now_ns);
	for (unsigned int i = 0; ev == PHCA_PQP_GONE && i < b->nb_peers; i++)
		if (b->peers[i].q == q)
			b->peers[i].q = NULL;
}

static int bpf_show(const struct phca_offload *o, int (*emit)(void *arg, const char *name, uint64_t value),
		void *arg)
{
	const struct bpf *b = phca_offload_priv(o);
	int rc = 0;

#define SHOW(name, what) if (rc == 0) rc = emit(arg, #name, PHCA_STAT_GET(b->c.name));
	BPF_COUNTERS(SHOW)
#undef SHOW
	return rc != 0 ? rc : emit(arg, "peers", PHCA_STAT_GET(b->nb_peers));
}

const struct phca_offload_ops phca_offload_bpf = {
	.name = "bpf",
	.help = "runs a program in eBPF that decides what becomes of each request",
	.settings = bpf_settings,
	.priv_size = sizeof(struct bpf),
	.init = bpf_init,
	.fini = bpf_fini,
	.submit = bpf_submit,
	.cancel = bpf_cancel,
	.poll = bpf_poll,
	.child_done = bpf_child_done,
	.qp_event = bpf_qp_event,
	.peer = bpf_peer,
	.program = &bpf_kind,
	.program_check = bpf_program_check,
	.show = bpf_show,
};
