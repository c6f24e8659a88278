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

struct phca_pqp *rig_pqp(struct rig *r, uint32_t qpn, uint32_t window, struct rig_cq *send,
		struct rig_cq *recv, struct phca_offload *const *offloads, unsigned int nb_rules,
		uint32_t seq)
{
	struct phca_pqp_conf conf = {
		.qpn = qpn, .transport = PHCA_TRANSPORT_UD, .cookie = (void *)(uintptr_t)qpn,
		.chan = r->chan,
		.window = { window, window }, .cq = { &send->w, &recv->w }, .nb_rules = nb_rules,
	};
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH, .seq = seq };

	for (unsigned int i = 0; i < nb_rules; i++)
		conf.offloads[i] = offloads[i];
	m.pqp = phca_pqp_create(r->p, &conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m.pqp);
	rig_send(r, &m);
	return m.pqp;
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
	if (s->cancel == MANUAL_BUSY)
		return -EBUSY;
	manual_remove(s, req);
	if (s->cancel == MANUAL_FORGET)
		return 0;
	phca_offload_done(req, PHCA_WC_SUCCESS);
	return -EBUSY;
}

static const struct phca_offload_ops manual_ops = {
	.name = "manual", .help = "does what the test says", .priv_size = sizeof(struct manual),
	.submit = manual_submit, .cancel = manual_cancel,
};
static const struct phca_offload_ops manual_no_cancel_ops = {
	.name = "manual_no_cancel", .help = "cannot cancel", .priv_size = sizeof(struct manual),
	.submit = manual_submit,
};

struct phca_offload *rig_manual(struct rig *r, const char *name, uint64_t limit_ns, bool no_cancel)
{
	struct phca_offload_conf conf = {
		.name = name, .ops = no_cancel ? &manual_no_cancel_ops : &manual_ops,
		.time_limit_ns = limit_ns,
	};
	char err[128] = "";
	struct phca_offload *o = phca_offload_create(r->p, &conf, err, sizeof(err));

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	return o;
}

struct manual *rig_manual_state(struct phca_offload *o)
{
	return phca_offload_priv(o);
}

void rig_manual_done(struct phca_offload *o, enum phca_dir dir, uint32_t seq, enum phca_wc_status status)
{
	struct manual *s = phca_offload_priv(o);

	for (unsigned int i = 0; i < s->nb_held; i++) {
		struct phca_offload_req *req = s->held[i];

		if (req->dir != (uint8_t)dir || req->seq != seq)
			continue;
		manual_remove(s, req);
		phca_offload_done(req, status);
		return;
	}
	CU_FAIL_FATAL("the driver holds no such request");
}

struct phca_offload *rig_offload(struct rig *r, const char *driver, const char *name, uint64_t limit_ns,
		const struct phca_setting_arg *args, unsigned int nb_args)
{
	struct phca_offload_conf conf = {
		.name = name, .args = args, .nb_args = nb_args, .time_limit_ns = limit_ns,
	};
	char err[128] = "";
	struct phca_offload *o;

	if (strcmp(driver, "null") == 0)
		conf.ops = &phca_offload_null;
	else
		conf.ops = &phca_offload_delay;
	o = phca_offload_create(r->p, &conf, err, sizeof(err));
	if (o == NULL)
		printf("  %s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	return o;
}
