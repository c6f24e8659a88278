/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs of work requests and their model; see work.h.
 *
 * Invariant: the model moves when a request is posted (memory, counters) and
 * when something is seen (completions, receives), never by looking into the HCA.
 */
#include <stdlib.h>
#include <string.h>

#include "work.h"

#define RECVS 64
#define QUIET_NS 1000000 /* longer than anything is under way: a delayed offload, a reordered packet */
#define LOCAL ((DEPTH + DEPTH + RECVS) * MSG_MAX)

/* What message n of a side consists of; its number in front, if it is long enough. */
static void content(const struct side *s, uint32_t n, uint8_t *buf, uint32_t len)
{
	uint64_t state = (uint64_t)s->qpn << 32 | n, z = 0, number = n;

	for (uint32_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			z = phca_test_rand(&state);
		buf[i] = (uint8_t)(z >> i % 8 * 8);
	}
	if (len >= sizeof(number))
		memcpy(buf, &number, sizeof(number));
}

static void *region(struct side *s, size_t len, uint32_t access, uint32_t *key)
{
	void *p = calloc(1, len);

	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(s->e->mem, s->e->pd, p, len, (uintptr_t)p, access, key) == 0);
	return p;
}

static void side_memory(struct world *w, struct side *s)
{
	s->fixed = region(s, REGION, PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_MW_BIND, &s->k_fixed);
	CU_ASSERT_FATAL(phca_mw_alloc(s->e->mem, s->e->pd, PHCA_MW_TYPE_2, &s->mw.rkey) == 0);
	for (uint32_t i = 0; i < REGION; i++)
		s->fixed[i] = (uint8_t)world_rnd(w, 256);
	s->written = region(s, REGION, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &s->k_written);
	s->counter = region(s, COUNTERS * 8, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_ATOMIC, &s->k_counter);
	s->local = region(s, LOCAL, PHCA_ACCESS_LOCAL_WRITE, &s->k_local);
	s->send = s->local;
	s->land = s->send + DEPTH * MSG_MAX;
	s->recv = s->land + DEPTH * MSG_MAX;
	s->written_model = calloc(1, REGION);
	s->wr = calloc(s->nb_wr + 1, sizeof(*s->wr));
	CU_ASSERT_FATAL(s->written_model != NULL && s->wr != NULL);
}

static void side_open(struct link *l, struct side *s)
{
	struct phca_qp_init qi = {
		.type = l->type, .pd = s->e->pd, .max_send_wr = DEPTH, .max_recv_wr = RECVS,
		.max_send_sge = SGES, .max_recv_sge = SGES, .max_inline = 128,
	};

	side_memory(l->w, s);
	CU_ASSERT_FATAL(phca_cq_create(s->e->client, DEPTH, &s->scq) == 0);
	CU_ASSERT_FATAL(phca_cq_create(s->e->client, RECVS, &s->rcq) == 0);
	qi.send_cq = s->scq;
	qi.recv_cq = s->rcq;
	CU_ASSERT_FATAL(phca_qp_create(s->e->client, &qi, &s->qp) == 0);
	s->qpn = phca_qp_num(s->qp);
}

static void side_connect(struct link *l, struct side *s, const struct side *peer, uint32_t psn, uint32_t peer_psn)
{
	struct phca_qp_attr a = {
		.pkey = PHCA_PKEY_DEFAULT, .qkey = 1, .dest_qpn = peer->qpn, .path_mtu = l->w->mtu,
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC,
		.rq_psn = phca_psn(peer_psn), .sq_psn = phca_psn(psn), .max_rd_atomic = 4, .max_dest_rd_atomic = 4,
		.timeout = 8, .retry_cnt = 7, .rnr_retry = 7, .min_rnr_timer = 1,
	};
	static const unsigned int mask[][3] = {
		[PHCA_QPT_RC] = {
			PHCA_QP_PKEY | PHCA_QP_ACCESS,
			PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN | PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC |
				PHCA_QP_MIN_RNR_TIMER,
			PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY |
				PHCA_QP_MAX_RD_ATOMIC,
		},
		[PHCA_QPT_UC] = {
			PHCA_QP_PKEY | PHCA_QP_ACCESS,
			PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN | PHCA_QP_AV, PHCA_QP_SQ_PSN,
		},
		[PHCA_QPT_UD] = { PHCA_QP_PKEY | PHCA_QP_QKEY, 0, PHCA_QP_SQ_PSN },
	};

	memcpy(a.av.dgid, peer->e->gid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_for(s->e->net, a.av.dgid);
	for (unsigned int i = 0; i < 3; i++) {
		a.state = PHCA_QPS_INIT + i;
		CU_ASSERT_FATAL(phca_qp_modify(s->qp, &a, PHCA_QP_STATE | mask[l->type][i]) == 0);
	}
}

static void side_proxy(struct side *s)
{
	struct phca_filter_param send = { .name = "min_len", .kind = PHCA_FV_UINT, .u = OFFLOAD_SEND };
	struct phca_filter_param in = { .name = "min_len", .kind = PHCA_FV_UINT, .u = OFFLOAD_IN };
	struct phca_rule r[2] = {
		world_rule(s->e, "by_size", &send, 1, s->e->delay, true, false),
		world_rule(s->e, "by_size", &in, 1, s->e->delay, false, true),
	};

	CU_ASSERT_FATAL(phca_qp_proxy_attach(s->qp, r, 2, 0) == 0);
}

/* What is taken is as random as the rest; on UC all of what arrives. */
static void side_mimic(struct link *l, struct side *s)
{
	struct phca_filter_param send = {
		.name = "min_len", .kind = PHCA_FV_UINT, .u = world_rnd(l->w, 2) ? 0 : world_rnd(l->w, 4096),
	};
	struct phca_filter_param in = {
		.name = "min_len", .kind = PHCA_FV_UINT,
		.u = l->type == PHCA_QPT_UC || world_rnd(l->w, 2) ? 0 : world_rnd(l->w, 2048),
	};

	s->rule[0] = world_rule(s->e, "by_size", &send, 1, s->e->mimic, true, false);
	s->rule[1] = world_rule(s->e, "by_size", &in, 1, s->e->mimic, false, true);
	s->ruled = true;
	CU_ASSERT_FATAL(phca_qp_proxy_attach(s->qp, s->rule, 2, 0) == 0);
}

/* Rules come and go, which nobody may notice. Of UC only those of what is posted. */
static void rules_change(struct link *l, struct side *s)
{
	bool uc = l->type == PHCA_QPT_UC;

	if (world_rnd(l->w, 50) != 0)
		return;
	s->ruled = !s->ruled;
	l->rule_changes++;
	CU_ASSERT_EQUAL(phca_qp_proxy_rules_set(s->qp, s->ruled ? s->rule : s->rule + 1, s->ruled ? 2 : uc), 0);
}

struct link *link_open(struct world *w, enum phca_qp_type type, enum link_proxy proxy,
		uint32_t n, const struct weather *we)
{
	struct link *l = calloc(1, sizeof(*l));
	uint32_t psn[2];

	CU_ASSERT_FATAL(l != NULL);
	l->w = w;
	l->type = type;
	l->proxy = proxy;
	l->lossy = we->drop || we->corrupt || we->reorder || we->delay || we->dup;
	l->fails = proxy == LINK_MIMIC && mimic_fails(w->end[0].mimic);
	l->hopeless = we->drop + we->corrupt >= 100;
	for (unsigned int i = 0; i < 2; i++) {
		l->side[i].e = &w->end[i];
		l->side[i].nb_wr = n;
		psn[i] = PHCA_PSN_MASK - world_rnd(w, 200); /* over the end soon */
		side_open(l, &l->side[i]);
	}
	for (unsigned int i = 0; i < 2; i++) {
		side_connect(l, &l->side[i], &l->side[!i], psn[i], psn[!i]);
		if (proxy == LINK_SWALLOW)
			side_proxy(&l->side[i]);
		else if (proxy == LINK_MIMIC)
			side_mimic(l, &l->side[i]);
	}
	return l;
}

/* -------------------------------------------------------------- posting */

static uint8_t pick_opcode(struct link *l, const struct side *s, const struct side *peer)
{
	static const uint8_t rc[] = {
		PHCA_WR_SEND, PHCA_WR_SEND_WITH_IMM, PHCA_WR_RDMA_WRITE, PHCA_WR_RDMA_WRITE_WITH_IMM,
		PHCA_WR_RDMA_READ, PHCA_WR_ATOMIC_CMP_AND_SWP, PHCA_WR_ATOMIC_FETCH_AND_ADD,
	};

	switch (l->type) {
	case PHCA_QPT_RC:
		if (s->mw.state == MW_UNBOUND && world_rnd(l->w, 4) == 0)
			return PHCA_WR_BIND_MW;
		if (s->mw.state == MW_BOUND && s->mw.reads == 0 && world_rnd(l->w, 6) == 0)
			return PHCA_WR_LOCAL_INV;
		if (peer->mw.state == MW_BOUND && world_rnd(l->w, 6) == 0)
			return PHCA_WR_SEND_WITH_INV; /* behind the READs through it */
		return rc[world_rnd(l->w, RTE_DIM(rc))];
	case PHCA_QPT_UC:
		return rc[world_rnd(l->w, 4)];
	default:
		return rc[world_rnd(l->w, 2)];
	}
}

static uint32_t pick_len(struct link *l)
{
	uint32_t least = l->type == PHCA_QPT_RC ? 0 : 8;

	if (l->type == PHCA_QPT_UD)
		return least + world_rnd(l->w, l->w->mtu - least + 1);
	switch (world_rnd(l->w, 4)) {
	case 0:
		return least + world_rnd(l->w, 64);
	case 1:
		return l->w->mtu * (1 + world_rnd(l->w, RTE_MIN(8, MSG_MAX / l->w->mtu))); /* full packets only */
	default:
		return least + world_rnd(l->w, MSG_MAX - least + 1);
	}
}

/* Cut a piece of local memory into elements: few, or as many as there may be. */
static uint32_t cut(struct world *w, const struct side *s, const uint8_t *p, uint32_t len, struct phca_sge sge[SGES])
{
	uint32_t n = 1 + world_rnd(w, world_rnd(w, 8) == 0 ? SGES : 4);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t part = i + 1 == n ? len : world_rnd(w, len + 1);

		sge[i] = (struct phca_sge){ (uintptr_t)p, part, s->k_local };
		p += part;
		len -= part;
	}
	return n;
}

/* READ and atomics: what they name, and what must come back. */
static void fill_remote(struct link *l, struct side *s, struct side *peer, struct wrec *r,
		struct phca_send_wr *wr)
{
	uint32_t c = world_rnd(l->w, COUNTERS);

	switch (r->opcode) {
	case PHCA_WR_RDMA_READ:
		r->roff = world_rnd(l->w, REGION - r->len + 1);
		wr->remote_addr = (uintptr_t)peer->fixed + r->roff;
		wr->rkey = peer->k_fixed;
		if (peer->mw.state == MW_BOUND) {
			wr->rkey = peer->mw.rkey;
			r->via_mw = true;
			peer->mw.reads++;
		}
		return;
	case PHCA_WR_ATOMIC_FETCH_AND_ADD:
		wr->compare_add = world_rnd(l->w, 1000);
		r->value = s->counter_model[c];
		s->counter_model[c] += wr->compare_add;
		break;
	default:
		wr->compare_add = s->counter_model[c] + world_rnd(l->w, 2);
		wr->swap = world_rnd(l->w, UINT32_MAX);
		r->value = s->counter_model[c];
		if (wr->compare_add == r->value)
			s->counter_model[c] = wr->swap;
	}
	r->len = 8;
	wr->remote_addr = (uintptr_t)&peer->counter[c];
	wr->rkey = peer->k_counter;
}

static bool is_write(uint8_t opcode)
{
	return opcode == PHCA_WR_RDMA_WRITE || opcode == PHCA_WR_RDMA_WRITE_WITH_IMM;
}

static bool is_atomic(uint8_t opcode)
{
	return opcode == PHCA_WR_ATOMIC_CMP_AND_SWP || opcode == PHCA_WR_ATOMIC_FETCH_AND_ADD;
}

static bool is_local(uint8_t opcode)
{
	return opcode == PHCA_WR_BIND_MW || opcode == PHCA_WR_LOCAL_INV;
}

static bool brings_back(uint8_t opcode)
{
	return opcode == PHCA_WR_RDMA_READ || is_atomic(opcode);
}

/* Whether the peer's application sees it as a receive. */
static bool is_received(const struct wrec *r)
{
	return !r->swallowed && !r->taken && !brings_back(r->opcode) && !is_local(r->opcode) &&
		r->opcode != PHCA_WR_RDMA_WRITE;
}

/* The rules of side_proxy. */
static void judge(const struct link *l, struct wrec *r)
{
	if (l->proxy != LINK_SWALLOW)
		return;
	r->swallowed = r->len >= OFFLOAD_SEND && !brings_back(r->opcode);
	r->taken = !brings_back(r->opcode) &&
		(is_write(r->opcode) ? r->len : RTE_MIN(r->len, (uint32_t)l->w->mtu)) >= OFFLOAD_IN;
}

/* Operations on the own window. */
static void fill_local(struct side *s, struct wrec *r, struct phca_send_wr *wr)
{
	struct mw *mw = &s->mw;

	r->len = 0;
	wr->rkey = mw->rkey;
	if (r->opcode == PHCA_WR_LOCAL_INV) {
		mw->state = MW_GOING;
		return;
	}
	mw->next_rkey = (mw->rkey & ~0xffu) | ((mw->rkey + 1) & 0xff);
	wr->bind.addr = (uintptr_t)s->fixed;
	wr->bind.length = REGION;
	wr->bind.rkey = mw->rkey;
	wr->bind.new_rkey = mw->next_rkey;
	wr->bind.lkey = s->k_fixed;
	wr->bind.access = PHCA_ACCESS_REMOTE_READ;
	mw->state = MW_BINDING;
}

static void fill_wr(struct link *l, struct side *s, struct side *peer, struct wrec *r, struct phca_send_wr *wr,
		struct phca_sge sge[SGES])
{
	uint32_t slot = s->posted % DEPTH;
	uint8_t *data = s->send + slot * MSG_MAX;

	if (is_local(r->opcode)) {
		fill_local(s, r, wr);
		return;
	}
	if (r->opcode == PHCA_WR_SEND_WITH_INV) {
		r->len %= RTE_MIN((uint32_t)OFFLOAD_IN, l->w->mtu); /* no proxy takes it */
		wr->rkey = peer->mw.rkey;
		wr->flags |= PHCA_SEND_FENCE; /* the window is the peer's READs' until they are done */
		peer->mw.state = MW_GOING;
	}
	if (brings_back(r->opcode)) {
		if (r->opcode == PHCA_WR_RDMA_READ && l->proxy == LINK_SWALLOW)
			r->len = r->len % OFFLOAD_SEND; /* not swallowed: it brings something back */
		fill_remote(l, s, peer, r, wr);
		data = s->land + slot * MSG_MAX;
		memset(data, 0xee, r->len);
	} else {
		content(s, s->posted, data, r->len);
		judge(l, r);
	}
	if (is_write(r->opcode)) {
		uint32_t roff = world_rnd(l->w, REGION - r->len + 1);

		wr->remote_addr = (uintptr_t)peer->written + roff;
		wr->rkey = peer->k_written;
		if (!r->swallowed && !r->taken)
			memcpy(s->written_model + roff, data, r->len);
	}
	if (r->len <= 128 && !brings_back(r->opcode) && world_rnd(l->w, 2) == 0) {
		wr->flags |= PHCA_SEND_INLINE;
		wr->inline_data = data;
		wr->inline_len = r->len;
	} else {
		wr->num_sge = cut(l->w, s, data, r->len, sge);
		wr->sge = sge;
	}
}

static void post_one(struct link *l, struct side *s, struct side *peer)
{
	struct wrec *r = &s->wr[s->posted];
	struct phca_send_wr wr = { .wr_id = s->posted, .imm = s->posted * 7 };
	struct phca_sge sge[SGES];

	r->opcode = pick_opcode(l, s, peer);
	r->len = pick_len(l);
	r->imm = wr.imm;
	wr.opcode = r->opcode;
	/* the last of a queue full must tell when it is over */
	r->signaled = world_rnd(l->w, 3) > 0 || s->posted % (DEPTH / 2) == 0 || s->posted + 1 == s->nb_wr;
	wr.flags = r->signaled ? PHCA_SEND_SIGNALED : 0;
	if (world_rnd(l->w, 10) == 0)
		wr.flags |= PHCA_SEND_FENCE;
	if (l->type == PHCA_QPT_UD) {
		memcpy(wr.av.dgid, peer->e->gid, 16);
		wr.av.sgid_index = (uint8_t)phca_net_gid_for(s->e->net, wr.av.dgid);
		wr.remote_qpn = peer->qpn;
		wr.remote_qkey = 1;
	}
	fill_wr(l, s, peer, r, &wr, sge);
	CU_ASSERT_EQUAL_FATAL(phca_post_send(s->qp, &wr, 1), 1);
	s->posted++;
}

static void post_recvs(struct link *l, struct side *s)
{
	/* not always all there is room for, so that the peer meets RNR */
	uint32_t n = l->type == PHCA_QPT_RC ? world_rnd(l->w, 3) : RECVS;

	while (s->next_recv - s->got < RECVS && n-- > 0) {
		struct phca_sge sge[SGES];
		struct phca_recv_wr wr = { .wr_id = s->next_recv, .sge = sge };
		uint32_t room = MSG_MAX;

		wr.num_sge = cut(l->w, s, s->recv + s->next_recv % RECVS * MSG_MAX, room, sge);
		CU_ASSERT_EQUAL_FATAL(phca_post_recv(s->qp, &wr, 1), 1);
		s->next_recv++;
	}
}

/* -------------------------------------------------------------- seeing */

static bool check(struct link *l, bool ok, const char *what, uint32_t n)
{
	static const char *const proxy[] = { "", " proxy", " mimic" };

	if (!ok) {
		printf("  seed %lu, %s%s, request %u: %s\n", (unsigned long)l->w->seed, phca_qp_type_str(l->type),
			proxy[l->proxy], n, what);
		CU_FAIL("the applications saw what they must not");
	}
	return ok;
}

static uint32_t wc_opcode(uint8_t opcode)
{
	switch (opcode) {
	case PHCA_WR_RDMA_WRITE:
	case PHCA_WR_RDMA_WRITE_WITH_IMM:
		return PHCA_WC_RDMA_WRITE;
	case PHCA_WR_RDMA_READ:
		return PHCA_WC_RDMA_READ;
	case PHCA_WR_ATOMIC_CMP_AND_SWP:
		return PHCA_WC_COMP_SWAP;
	case PHCA_WR_ATOMIC_FETCH_AND_ADD:
		return PHCA_WC_FETCH_ADD;
	case PHCA_WR_BIND_MW:
		return PHCA_WC_BIND_MW;
	case PHCA_WR_LOCAL_INV:
		return PHCA_WC_LOCAL_INV;
	default:
		return PHCA_WC_SEND;
	}
}

static void mw_free(struct mw *mw)
{
	mw->state = MW_UNBOUND;
	mw->rounds++;
}

/* What a request that is over has brought back, or done to a window. */
static void check_back(struct link *l, struct side *s, struct side *peer, uint32_t n)
{
	const struct wrec *r = &s->wr[n];
	const uint8_t *land = s->land + n % DEPTH * MSG_MAX;

	peer->mw.reads -= r->via_mw;
	if (r->opcode == PHCA_WR_BIND_MW) {
		s->mw.rkey = s->mw.next_rkey;
		s->mw.state = MW_BOUND;
	} else if (r->opcode == PHCA_WR_LOCAL_INV) {
		mw_free(&s->mw);
	}
	if (r->opcode == PHCA_WR_RDMA_READ)
		check(l, memcmp(land, peer->fixed + r->roff, r->len) == 0, "READ returned other data", n);
	else if (is_atomic(r->opcode))
		check(l, memcmp(land, &r->value, 8) == 0, "atomic returned another value", n);
}

/*
 * From the first error on each request completes, signaled or not, in order. An offload
 * that fails is told of its own request, unless one in front of it was flushed before.
 */
static bool take_error(struct link *l, struct side *s, const struct phca_wc *wc)
{
	uint32_t n = s->completed;

	while (!s->gave_up && n < s->posted && n != wc->wr_id && !s->wr[n].signaled)
		n++;
	if (!check(l, n < s->posted && wc->wr_id == n, "error out of order, or twice", (uint32_t)wc->wr_id))
		return false;
	s->completed = n + 1;
	if (wc->status == MIMIC_FAILS && l->fails && !s->failed) {
		s->gave_up = s->failed = true;
		return true;
	}
	if (s->gave_up)
		return check(l, wc->status == PHCA_WC_WR_FLUSH_ERR, "not flushed after an error", n);
	s->gave_up = true;
	/* a peer whose queue pair has failed refuses what its offloads had, and answers nothing else */
	return check(l, ((l->hopeless || l->fails) && (wc->status == PHCA_WC_RETRY_EXC_ERR ||
		wc->status == PHCA_WC_WR_FLUSH_ERR)) || (l->fails && wc->status == PHCA_WC_REM_OP_ERR),
		phca_wc_status_str(wc->status), n);
}

static bool take_completion(struct link *l, struct side *s, struct side *peer, const struct phca_wc *wc)
{
	uint32_t n = s->completed;

	if (wc->status != PHCA_WC_SUCCESS)
		return take_error(l, s, wc);
	if (!check(l, !s->gave_up, "success behind an error", n))
		return false;
	while (n < s->posted && !s->wr[n].signaled)
		n++;
	if (!check(l, n < s->posted && wc->wr_id == n, "completion out of order, or twice", (uint32_t)wc->wr_id) ||
	    !check(l, wc->opcode == wc_opcode(s->wr[n].opcode), "opcode of the completion", n))
		return false;
	for (uint32_t i = s->completed; i <= n; i++)
		check_back(l, s, peer, i);
	s->completed = n + 1;
	return true;
}

/* Which of the sender's requests was received: RC, the next one; else, by its number. */
static bool find_sent(struct link *l, struct side *from, const struct phca_wc *wc, const uint8_t *buf, uint32_t *n)
{
	uint64_t number;

	if (l->type == PHCA_QPT_RC || !l->lossy || wc->opcode == PHCA_WC_RECV_RDMA_WITH_IMM) {
		*n = from->received;
		if (l->type != PHCA_QPT_RC && l->lossy)
			*n = wc->imm / 7;
		while (*n < from->posted && !is_received(&from->wr[*n]))
			++*n;
		return check(l, *n < from->posted, "received what was not sent", *n);
	}
	memcpy(&number, buf, sizeof(number));
	*n = (uint32_t)number;
	return check(l, number < from->posted && is_received(&from->wr[*n]), "received what was not sent", *n);
}

static bool take_receive(struct link *l, struct side *s, struct side *from, const struct phca_wc *wc)
{
	const uint8_t *buf = s->recv + wc->wr_id % RECVS * MSG_MAX;
	uint32_t grh = l->type == PHCA_QPT_UD ? PHCA_GRH_LEN : 0, n, len;
	uint8_t want[MSG_MAX];
	const struct wrec *r;
	bool imm;

	if (wc->status != PHCA_WC_SUCCESS)
		return check(l, (l->hopeless || l->fails) && wc->status == PHCA_WC_WR_FLUSH_ERR, "receive failed",
			(uint32_t)wc->wr_id);
	if (!check(l, wc->wr_id == s->got, "receives out of order", (uint32_t)wc->wr_id))
		return false;
	s->got++;
	if (!find_sent(l, from, wc, buf + grh, &n))
		return false;
	r = &from->wr[n];
	from->received = n + 1;
	if (r->opcode == PHCA_WR_SEND_WITH_INV) {
		check(l, (wc->wc_flags & PHCA_WC_F_WITH_INV) && wc->imm == s->mw.rkey, "invalidated rkey", n);
		mw_free(&s->mw);
	}
	imm = r->opcode == PHCA_WR_SEND_WITH_IMM || r->opcode == PHCA_WR_RDMA_WRITE_WITH_IMM;
	check(l, !imm == !(wc->wc_flags & PHCA_WC_F_WITH_IMM) && (!imm || wc->imm == r->imm), "immediate data", n);
	check(l, wc->byte_len == r->len + grh, "length", n);
	len = r->opcode == PHCA_WR_RDMA_WRITE_WITH_IMM ? 0 : r->len;
	content(from, n, want, len);
	return check(l, memcmp(buf + grh, want, len) == 0, "data of the message", n);
}

static bool side_over(const struct link *l, const struct side *s)
{
	return (s->gave_up && s->completed == s->posted) ||
		(s->posted == s->nb_wr && s->completed == s->posted && l->w->idle_ns > QUIET_NS);
}

bool link_step(struct link *l)
{
	struct phca_wc wc[8];
	bool over = true;

	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &l->side[i], *peer = &l->side[!i];
		bool stop = s->gave_up || peer->gave_up;
		int n;

		if (!stop)
			post_recvs(l, s);
		if (!stop && l->proxy == LINK_MIMIC)
			rules_change(l, s);
		for (n = 0; n < 4 && !stop && s->posted < s->nb_wr && s->posted - s->completed < DEPTH; n++)
			post_one(l, s, peer);
		n = phca_poll_cq(s->scq, RTE_DIM(wc), wc);
		CU_ASSERT_FATAL(n >= 0);
		for (int k = 0; k < n; k++)
			if (!take_completion(l, s, peer, &wc[k]))
				return true;
		n = phca_poll_cq(s->rcq, RTE_DIM(wc), wc);
		CU_ASSERT_FATAL(n >= 0);
		for (int k = 0; k < n; k++)
			if (!take_receive(l, s, peer, &wc[k]))
				return true;
		over = over && (side_over(l, s) || (peer->gave_up && !s->gave_up));
	}
	return over;
}

/* -------------------------------------------------------------- the end */

/* All that must have arrived has. */
static void side_final(struct link *l, struct side *s, struct side *peer)
{
	bool exact = l->type == PHCA_QPT_RC || !l->lossy;

	check(l, s->posted == s->nb_wr && s->completed == s->posted, "requests without an end", s->completed);
	if (!exact)
		return;
	while (s->received < s->posted && !is_received(&s->wr[s->received]))
		s->received++;
	check(l, s->received == s->posted, "messages were not received", s->received);
	check(l, memcmp(s->written_model, peer->written, REGION) == 0, "memory after WRITEs", 0);
	for (uint32_t c = 0; c < COUNTERS; c++)
		check(l, s->counter_model[c] == peer->counter[c], "sum of atomics, counter", c);
}

static void side_close(struct side *s)
{
	CU_ASSERT_EQUAL(phca_qp_destroy(s->qp), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(s->scq), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(s->rcq), 0);
	/* bound, perhaps, though nothing was seen of it any more */
	CU_ASSERT(phca_mw_dealloc(s->e->mem, s->mw.rkey) == 0 ||
		(s->mw.state == MW_BINDING && phca_mw_dealloc(s->e->mem, s->mw.next_rkey) == 0));
	phca_mr_dereg(s->e->mem, s->k_fixed);
	phca_mr_dereg(s->e->mem, s->k_written);
	phca_mr_dereg(s->e->mem, s->k_counter);
	phca_mr_dereg(s->e->mem, s->k_local);
	free(s->fixed);
	free(s->written);
	free(s->counter);
	free(s->local);
	free(s->written_model);
	free(s->wr);
}

void link_close(struct link *l, bool whole)
{
	whole = whole && !l->side[0].gave_up && !l->side[1].gave_up;
	for (unsigned int i = 0; i < 2 && whole; i++)
		side_final(l, &l->side[i], &l->side[!i]);
	for (unsigned int i = 0; i < 2; i++)
		side_close(&l->side[i]);
	free(l);
}
