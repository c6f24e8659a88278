/* SPDX-License-Identifier: BSD-3-Clause */
/* The rig of the proxy's tests: what rig.h says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_mbuf.h>

#include "rig.h"

#define POOL_SIZE 8191
#define PEER_QPN 0x123456

void rig_init(struct rig *r, uint32_t ring_size)
{
	rig_init_mem(r, ring_size, NULL);
}

void rig_init_mem(struct rig *r, uint32_t ring_size, const struct phca_mem *mem)
{
	static unsigned int count;
	struct phca_proxy_conf conf = { .name = "test", .ring_size = ring_size };
	char name[32];

	memset(r, 0, sizeof(*r));
	snprintf(name, sizeof(name), "rig%u", count++);
	r->pool = rte_pktmbuf_pool_create(name, POOL_SIZE, 0, 0, 512 + RTE_PKTMBUF_HEADROOM, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->pool);
	r->loop = phca_loop_create("proxy", NULL, 0, PHCA_IDLE_SLEEP);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->loop);
	conf.loop = r->loop;
	conf.mem = mem;
	if (mem != NULL)
		conf.pool = r->pool;
	r->p = phca_proxy_create(&conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->p);
	r->chan = phca_proxy_chan_create(r->p, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->chan);
	CU_ASSERT_PTR_EQUAL(phca_proxy_chan_proxy(r->chan), r->p);
	CU_ASSERT_PTR_EQUAL(phca_proxy_loop(r->p), r->loop);
	CU_ASSERT_EQUAL(phca_loop_add(r->loop, "proxy", phca_proxy_turn, r->p), 0);
	r->now_ns = 1000;
}

void rig_fini(struct rig *r)
{
	struct phca_proxy_stats st;

	rig_settle(r);
	st = rig_stats(r);
	CU_ASSERT_EQUAL(st.pqps, 0);
	CU_ASSERT_EQUAL(st.in_flight, 0);
	phca_proxy_destroy(r->p);
	phca_loop_destroy(r->loop);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r->pool), POOL_SIZE);
	rte_mempool_free(r->pool);
}

void rig_cq_init(struct rig_cq *c, uint32_t cqe, uint32_t noop_room)
{
	size_t len = phca_ring_bytes(cqe + noop_room, sizeof(struct phca_cqe));

	memset(c, 0, sizeof(*c));
	CU_ASSERT_NOT_EQUAL_FATAL(len, 0);
	c->mem = aligned_alloc(PHCA_CACHE_LINE, len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->mem);
	CU_ASSERT_EQUAL_FATAL(phca_ring_format(c->mem, PHCA_RING_CQ, cqe + noop_room, sizeof(struct phca_cqe)), 0);
	CU_ASSERT_EQUAL_FATAL(phca_ring_attach(&c->w.ring, c->mem, len, PHCA_RING_CQ), 0);
	CU_ASSERT_EQUAL_FATAL(phca_ring_attach(&c->app, c->mem, len, PHCA_RING_CQ), 0);
	c->w.noop_room = noop_room;
}

void rig_cq_fini(struct rig_cq *c)
{
	free(c->mem);
	c->mem = NULL;
}

bool rig_cq_poll(struct rig_cq *c, struct phca_wc *wc)
{
	int n = phca_cq_poll(&c->app, wc, 1);

	if (n < 0)
		CU_FAIL("the CQ is corrupt");
	return n == 1;
}

void rig_cq_expect(struct rig_cq *c, uint64_t wr_id, enum phca_wc_status status)
{
	struct phca_wc wc = { 0 };

	if (!rig_cq_poll(c, &wc)) {
		printf("  no completion, expected wr_id %lu\n", (unsigned long)wr_id);
		CU_FAIL("no completion");
		return;
	}
	if (wc.wr_id != wr_id || wc.status != (uint32_t)status)
		printf("  completion %lu %s, expected %lu %s\n", (unsigned long)wc.wr_id,
			phca_wc_status_str(wc.status), (unsigned long)wr_id, phca_wc_status_str(status));
	CU_ASSERT_EQUAL(wc.wr_id, wr_id);
	CU_ASSERT_EQUAL(wc.status, (uint32_t)status);
}

void rig_cq_expect_empty(struct rig_cq *c)
{
	struct phca_wc wc;

	CU_ASSERT_FALSE(rig_cq_poll(c, &wc));
}

static struct phca_pqp *pqp_attach(struct rig *r, struct phca_pqp_conf *conf,
		struct phca_offload *const *offloads, uint32_t seq)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH, .seq = seq };

	for (unsigned int i = 0; i < conf->nb_rules; i++)
		conf->offloads[i] = offloads[i];
	m.pqp = phca_pqp_create(r->p, conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m.pqp);
	rig_send(r, &m);
	return m.pqp;
}

struct phca_pqp *rig_pqp(struct rig *r, uint32_t qpn, uint32_t window, struct rig_cq *send,
		struct rig_cq *recv, struct phca_offload *const *offloads, unsigned int nb_rules,
		uint32_t seq)
{
	struct phca_pqp_conf conf = {
		.qpn = qpn, .transport = PHCA_TRANSPORT_UD, .cookie = (void *)(uintptr_t)qpn,
		.chan = r->chan,
		.window = { window, window }, .cq = { &send->w, &recv->w }, .nb_rules = nb_rules,
	};

	return pqp_attach(r, &conf, offloads, seq);
}

struct phca_pqp *rig_pqp_rc(struct rig *r, uint32_t qpn, uint32_t window, struct rig_cq *cq,
		struct phca_offload *const *offloads, unsigned int nb_rules, uint32_t pd)
{
	struct phca_pqp_conf conf = {
		.qpn = qpn, .transport = PHCA_TRANSPORT_RC, .cookie = (void *)(uintptr_t)qpn,
		.chan = r->chan, .pd = pd, .nb_tags = 16,
		.window = { window, window }, .cq = { &cq->w, &cq->w }, .nb_rules = nb_rules,
	};

	return pqp_attach(r, &conf, offloads, 0);
}

void rig_pqp_end(struct rig *r, struct phca_pqp *q)
{
	unsigned int at = r->nb_replies, found = 0;

	rig_kind(r, PHCA_PMSG_DETACH, q);
	for (int i = 0; i < 1000 && found == 0; i++) {
		r->now_ns += 1000000; /* drivers that cannot cancel need time */
		rig_turn(r);
		for (unsigned int k = at; k < r->nb_replies; k++)
			found += r->replies[k].kind == PHCA_PREPLY_DETACHED;
	}
	CU_ASSERT_EQUAL(found, 1);
	phca_pqp_destroy(q);
}

void rig_send(struct rig *r, const struct phca_pmsg *m)
{
	struct rte_ring *to = phca_proxy_chan_ring(r->chan);

	CU_ASSERT_EQUAL_FATAL(rte_ring_sp_enqueue_elem(to, (void *)(uintptr_t)m, sizeof(*m)), 0);
}

void rig_complete(struct rig *r, struct phca_pqp *q, enum phca_dir dir, uint32_t seq, uint64_t wr_id,
		enum phca_wc_status status, uint8_t flags)
{
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_COMPLETE, .dir = (uint8_t)dir, .flags = flags, .seq = seq, .pqp = q,
		.wc = { .wr_id = wr_id, .status = status },
	};

	rig_send(r, &m);
}

static struct rte_mbuf *ud_packet(struct rig *r, uint32_t len, struct phca_pkt *pkt)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(r->pool);
	uint8_t *d;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	*pkt = (struct phca_pkt){
		.opcode = PHCA_UD_SEND_ONLY, .l3_off = 14, .bth_off = 42, .payload_off = 62,
		.payload_len = (uint16_t)len,
	};
	d = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(62 + len));
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	memset(d, 0, 62);
	phca_put24(&d[42 + 12 + 5], PEER_QPN); /* DETH: source QP */
	for (uint32_t i = 0; i < len; i++)
		d[62 + i] = (uint8_t)i;
	return m;
}

void rig_offload_in(struct rig *r, struct phca_pqp *q, uint32_t seq, uint8_t rule, uint32_t len)
{
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_OFFLOAD, .dir = PHCA_DIR_RECV, .rule = rule, .seq = seq, .pqp = q,
	};

	m.in.m = ud_packet(r, len, &m.in.pkt);
	m.in.msg_len = len;
	m.in.last_opcode = m.in.pkt.opcode;
	rig_send(r, &m);
}

#define FRAME_BTH 42 /* Ethernet, IPv4, UDP */

/* Headers of the first packet; only what the proxy reads. */
static uint8_t *packet_head(uint8_t *d, const struct rig_in *in, struct phca_pkt *pkt)
{
	const struct phca_opcode_info *info = &phca_opcode_table[in->opcode];
	struct phca_reth *reth = (struct phca_reth *)(d + FRAME_BTH + info->off[PHCA_HDR_RETH]);

	memset(d, 0, FRAME_BTH + info->hdr_len);
	*pkt = (struct phca_pkt){
		.opcode = in->opcode, .l3_off = 14, .bth_off = FRAME_BTH,
		.payload_off = (uint16_t)(FRAME_BTH + info->hdr_len),
	};
	if (info->off[PHCA_HDR_RETH] != 0) {
		phca_put64(reth->va, in->va);
		phca_put32(reth->rkey, in->rkey);
		phca_put32(reth->len, in->len);
	}
	if (info->off[PHCA_HDR_IMMDT] != 0)
		memcpy(d + FRAME_BTH + info->off[PHCA_HDR_IMMDT], "\1\2\3\4", 4);
	return d + pkt->payload_off;
}

void rig_message_in(struct rig *r, struct phca_pqp *q, const struct rig_in *in)
{
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_OFFLOAD, .dir = PHCA_DIR_RECV, .rule = in->rule, .flags = in->flags,
		.seq = in->seq, .pqp = q,
	};
	uint32_t mtu = in->mtu != 0 ? in->mtu : in->len, at = 0;
	struct rte_mbuf **to = &m.in.m, *first = NULL;

	do {
		struct rte_mbuf *b = rte_pktmbuf_alloc(r->pool);
		uint32_t n = RTE_MIN(mtu, in->len - at);
		uint8_t *d;

		CU_ASSERT_PTR_NOT_NULL_FATAL(b);
		d = rte_pktmbuf_mtod(b, uint8_t *);
		if (first == NULL) {
			first = b;
			d = packet_head(d, in, &m.in.pkt);
			m.in.pkt.payload_len = (uint16_t)n;
			b->data_len = m.in.pkt.payload_off;
		} else {
			first->nb_segs++;
		}
		CU_ASSERT_TRUE_FATAL(b->data_len + n <= (uint32_t)(b->buf_len - b->data_off));
		if (n > 0)
			memcpy(d, (const uint8_t *)in->data + at, n);
		b->data_len = (uint16_t)(b->data_len + n);
		at += n;
		*to = b;
		to = &b->next;
	} while (at < in->len);
	first->pkt_len = m.in.pkt.payload_off + in->len;
	if (phca_opcode_table[in->opcode].op == PHCA_OP_READ_REQ ||
	    phca_opcode_table[in->opcode].off[PHCA_HDR_ATOMICETH] != 0)
		m.in.tag = in->tag;
	else
		m.in.msg_len = in->len;
	m.in.last_opcode = in->opcode;
	if (first->nb_segs > 1)
		m.in.last_opcode = phca_opcode_table[in->opcode].op == PHCA_OP_SEND ? PHCA_RC_SEND_LAST :
			PHCA_RC_WRITE_LAST;
	rig_send(r, &m);
}

struct phca_child *rig_child(struct rig *r)
{
	while (r->child_at < r->nb_replies) {
		const struct phca_preply *p = &r->replies[r->child_at++];

		if (p->kind != PHCA_PREPLY_CHILD)
			continue;
		if (p->wr != &p->child->wr) /* shared: tests look at the child's, which is the HCA's now */
			p->child->wr = *p->wr;
		return p->child;
	}
	return NULL;
}

void rig_child_over(struct rig *r, struct phca_child *c, enum phca_wc_status status)
{
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_CHILD, .pqp = c->pqp, .child = { .child = { c }, .nb = 1, .status = status },
	};

	rig_send(r, &m);
}

void rig_offload_out(struct rig *r, struct phca_pqp *q, uint32_t seq, uint8_t rule,
		struct phca_offload_wr *wr, uint64_t wr_id, uint8_t flags)
{
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_OFFLOAD, .dir = PHCA_DIR_SEND, .rule = rule, .flags = flags,
		.seq = seq, .pqp = q, .wr = wr,
	};

	wr->wqe.wr_id = wr_id;
	wr->wqe.opcode = PHCA_WR_SEND;
	rig_send(r, &m);
}

void rig_kind(struct rig *r, enum phca_pmsg_kind kind, void *arg)
{
	struct phca_pmsg m = { .kind = (uint8_t)kind, .cookie = arg };

	rig_send(r, &m);
}

unsigned int rig_turn(struct rig *r)
{
	unsigned int did = phca_loop_turn(r->loop, r->now_ns);
	unsigned int room = RIG_REPLIES - r->nb_replies;

	CU_ASSERT_TRUE_FATAL(room > 0);
	r->nb_replies += rte_ring_sc_dequeue_burst_elem(phca_proxy_chan_replies(r->chan), &r->replies[r->nb_replies],
			sizeof(r->replies[0]), room, NULL);
	return did;
}

void rig_settle(struct rig *r)
{
	while (rig_turn(r) > 0)
		;
	rig_turn(r);
}

uint32_t rig_credit(const struct rig *r, const void *cookie, enum phca_dir dir, uint32_t def)
{
	for (unsigned int i = 0; i < r->nb_replies; i++)
		if (r->replies[i].kind == PHCA_PREPLY_CREDIT && r->replies[i].cookie == cookie &&
				r->replies[i].dir == (uint8_t)dir)
			def = r->replies[i].seq;
	return def;
}

unsigned int rig_count(const struct rig *r, enum phca_preply_kind kind, const void *cookie)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->nb_replies; i++)
		n += r->replies[i].kind == (uint8_t)kind && r->replies[i].cookie == cookie;
	return n;
}

struct phca_proxy_stats rig_stats(const struct rig *r)
{
	struct phca_proxy_stats st;

	phca_proxy_stats_get(r->p, &st);
	return st;
}

/* --- the manual driver */

static int manual_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct manual *s = phca_offload_priv(o);

	(void)now_ns;
	if (s->refuse != 0)
		return -s->refuse;
	if (s->on_submit != NULL)
		return s->on_submit(o, req);
	if (s->pass_all)
		return phca_offload_pass(req);
	if (s->deliver_all)
		return phca_offload_deliver(req, "other bytes", 11);
	CU_ASSERT_TRUE_FATAL(s->nb_held < MANUAL_MAX);
	s->held[s->nb_held++] = req;
	return 0;
}

static void manual_remove(struct manual *s, const struct phca_offload_req *req)
{
	unsigned int i = 0;

	while (i < s->nb_held && s->held[i] != req)
		i++;
	CU_ASSERT_TRUE_FATAL(i < s->nb_held);
	memmove(&s->held[i], &s->held[i + 1], (--s->nb_held - i) * sizeof(s->held[0]));
}

static int manual_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct manual *s = phca_offload_priv(o);

	s->cancels++;
	if (s->on_cancel != NULL)
		s->on_cancel(o, req);
	if (s->cancel == MANUAL_BUSY)
		return -EBUSY;
	manual_remove(s, req);
	if (s->cancel == MANUAL_FORGET)
		return 0;
	phca_offload_done(req, PHCA_WC_SUCCESS);
	return -EBUSY;
}

static int manual_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	(void)v, (void)err, (void)err_len;
	return phca_child_pool(o, MANUAL_POOL);
}

static int manual_ordered_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	phca_offload_ordered_set(o, 1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV);
	return manual_init(o, v, err, err_len);
}

static void manual_child_done(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status,
		uint64_t now_ns)
{
	struct manual *s = phca_offload_priv(o);

	(void)now_ns;
	CU_ASSERT_TRUE_FATAL(s->nb_children < RTE_DIM(s->child));
	s->orphan[s->nb_children] = c->parent == NULL;
	s->child_status[s->nb_children] = (uint8_t)status;
	s->child[s->nb_children++] = c->drv[0];
	if (s->on_child != NULL)
		s->on_child(o, c, status);
}

static void manual_event(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns)
{
	struct manual *s = phca_offload_priv(o);
	size_t n = strlen(s->events);

	(void)now_ns;
	s->event_qp = q;
	if (n + 1 < sizeof(s->events))
		s->events[n] = ev == PHCA_PQP_ERROR ? 'E' : ev == PHCA_PQP_GONE ? 'G' : 'R';
}

static int manual_peer(struct phca_offload *o, struct phca_pqp *q, const char *name)
{
	struct manual *s = phca_offload_priv(o);

	if (s->nb_peers == RTE_DIM(s->peers))
		return -ENOSPC;
	s->peers[s->nb_peers++] = q;
	snprintf(s->peer_name, sizeof(s->peer_name), "%s", name);
	return 0;
}

static const struct phca_offload_ops manual_ops = {
	.name = "manual", .help = "does what the test says", .priv_size = sizeof(struct manual),
	.submit = manual_submit, .cancel = manual_cancel, .init = manual_init,
	.child_done = manual_child_done, .qp_event = manual_event, .peer = manual_peer,
};
static const struct phca_offload_ops manual_ordered_ops = {
	.name = "manual_ordered", .help = "the same, ordered", .priv_size = sizeof(struct manual),
	.submit = manual_submit, .cancel = manual_cancel, .init = manual_ordered_init,
	.child_done = manual_child_done, .qp_event = manual_event,
};
static const struct phca_offload_ops manual_no_cancel_ops = {
	.name = "manual_no_cancel", .help = "cannot cancel", .priv_size = sizeof(struct manual),
	.submit = manual_submit,
};

static struct phca_offload *manual_new(struct rig *r, const char *name, uint64_t limit_ns,
		const struct phca_offload_ops *ops)
{
	struct phca_offload_conf conf = { .name = name, .ops = ops, .time_limit_ns = limit_ns };
	char err[128] = "";
	struct phca_offload *o = phca_offload_create(r->p, &conf, err, sizeof(err));

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	return o;
}

struct phca_offload *rig_manual(struct rig *r, const char *name, uint64_t limit_ns, bool no_cancel)
{
	return manual_new(r, name, limit_ns, no_cancel ? &manual_no_cancel_ops : &manual_ops);
}

struct phca_offload *rig_manual_ordered(struct rig *r, const char *name, uint64_t limit_ns)
{
	return manual_new(r, name, limit_ns, &manual_ordered_ops);
}

struct phca_offload_req *rig_manual_req(struct phca_offload *o, enum phca_dir dir, uint32_t seq)
{
	struct manual *s = phca_offload_priv(o);

	for (unsigned int i = 0; i < s->nb_held; i++)
		if (s->held[i]->dir == (uint8_t)dir && s->held[i]->seq == seq)
			return s->held[i];
	CU_FAIL_FATAL("the driver holds no such request");
	return NULL;
}

void rig_manual_forget(struct phca_offload *o, const struct phca_offload_req *req)
{
	manual_remove(phca_offload_priv(o), req);
}

int rig_manual_child(struct phca_offload *o, struct phca_pqp *q, struct phca_offload_req *parent, uint64_t id)
{
	struct phca_child *c = phca_child_get(o);
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	memcpy(c->data, &id, sizeof(id));
	c->wr.inline_data = c->data;
	c->wr.len = sizeof(id);
	c->drv[0] = id;
	rc = phca_child_post(q, c, parent);
	if (rc != 0)
		phca_child_put(c);
	return rc;
}

struct manual *rig_manual_state(struct phca_offload *o)
{
	return phca_offload_priv(o);
}

void rig_manual_done(struct phca_offload *o, enum phca_dir dir, uint32_t seq, enum phca_wc_status status)
{
	struct phca_offload_req *req = rig_manual_req(o, dir, seq);

	rig_manual_forget(o, req);
	phca_offload_done(req, status);
}

struct phca_offload *rig_offload(struct rig *r, const char *driver, const char *name, uint64_t limit_ns,
		const struct phca_setting_arg *args, unsigned int nb_args)
{
	struct phca_offload_conf conf = {
		.name = name, .ops = phca_offload_driver_find(driver), .args = args, .nb_args = nb_args,
		.time_limit_ns = limit_ns,
	};
	char err[128] = "";
	struct phca_offload *o;

	o = phca_offload_create(r->p, &conf, err, sizeof(err));
	if (o == NULL)
		printf("  %s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	return o;
}
