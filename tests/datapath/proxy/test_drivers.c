/* SPDX-License-Identifier: BSD-3-Clause */
/* Instances, the null and delay drivers, and what a driver is shown of a request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_mbuf.h>

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define SEND PHCA_DIR_SEND
#define RECV PHCA_DIR_RECV
#define LONG_NAME "a name of 64 bytes, one byte more than any name of them may have"
#define NUM(n, v) { n, PHCA_SETTING_UINT, v, NULL }
#define BOOL(n, v) { n, PHCA_SETTING_BOOL, v, NULL }

static struct rig r;
static struct rig_cq cq;
static struct phca_offload_wr wr[64];

static void setup(void)
{
	memset(wr, 0, sizeof(wr));
	rig_init(&r, 1024);
	rig_cq_init(&cq, 192, 64);
}

static void teardown(struct phca_pqp *q)
{
	if (q != NULL)
		rig_pqp_end(&r, q);
	rig_fini(&r);
	rig_cq_fini(&cq);
}

static struct phca_offload_stats stats(const struct phca_offload *o)
{
	struct phca_offload_stats st;

	phca_offload_stats_get(o, &st);
	return st;
}

static int create(const char *driver, const char *name, const struct phca_setting_arg *args, unsigned int n,
		char *err, size_t err_len)
{
	struct phca_offload_conf conf = {
		.name = name, .ops = phca_offload_driver_find(driver), .args = args, .nb_args = n,
	};

	rte_errno = 0;
	err[0] = '\0';
	return phca_offload_create(r.p, &conf, err, err_len) != NULL ? 0 : -rte_errno;
}

PHCA_TEST(instances, errors_say_what_is_wrong)
{
	const struct phca_setting_arg inverted[] = { NUM("delay_min_us", 9), NUM("delay_max_us", 8) };
	const struct phca_setting_arg far[] = { NUM("fail_ppm", 1000001) };
	const struct phca_setting_arg unknown[] = { NUM("delay_us", 1) };
	char err[256];

	setup();
	CU_ASSERT_PTR_NULL(phca_offload_driver_find("nil"));
	CU_ASSERT_EQUAL(create("nil", "a", NULL, 0, err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "offload a: needs a driver"));
	CU_ASSERT_EQUAL(create("null", LONG_NAME, NULL, 0, err, sizeof(err)), -EINVAL);
	CU_ASSERT_EQUAL(create("delay", "a", inverted, 2, err, sizeof(err)), -ERANGE);
	CU_ASSERT_STRING_EQUAL(err, "setting delay_max_us: 8 is less than delay_min_us, 9");
	CU_ASSERT_EQUAL(create("delay", "a", far, 1, err, sizeof(err)), -ERANGE);
	CU_ASSERT_EQUAL(create("delay", "a", unknown, 1, err, sizeof(err)), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "delay_min_us"));
	CU_ASSERT_EQUAL(create("null", "a", unknown, 1, err, sizeof(err)), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err, "setting delay_us: unknown; the driver has: none");
	CU_ASSERT_EQUAL(create("null", "a", NULL, 0, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(create("delay", "a", NULL, 0, err, sizeof(err)), -EEXIST);
	for (unsigned int i = 1; i < PHCA_PROXY_OFFLOAD_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		CU_ASSERT_EQUAL(create("null", name, NULL, 0, err, sizeof(err)), 0);
	}
	CU_ASSERT_EQUAL(create("null", "one too many", NULL, 0, err, sizeof(err)), -ENOSPC);
	teardown(NULL);
}

PHCA_TEST(instances, destroy_refuses_while_in_use)
{
	struct phca_offload *o;
	struct phca_pqp *q;

	setup();
	o = rig_offload(&r, "null", "n", 0, NULL, 0);
	CU_ASSERT_STRING_EQUAL(phca_offload_name(o), "n");
	CU_ASSERT_PTR_EQUAL(phca_offload_ops(o), phca_offload_driver_find("null"));
	CU_ASSERT_PTR_NULL(phca_offload_mem(o));
	CU_ASSERT_PTR_EQUAL(phca_offload_proxy(o), r.p);
	q = rig_pqp(&r, 1, 16, &cq, &cq, &o, 1, 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), -EBUSY);
	rig_pqp_end(&r, q);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), 0);
	teardown(NULL);
}

PHCA_TEST(instances, list_of_drivers_has_each_once)
{
	unsigned int n = 0;

	for (const struct phca_offload_ops *d; (d = phca_offload_driver_at(n)) != NULL; n++) {
		CU_ASSERT_PTR_EQUAL(phca_offload_driver_find(d->name), d);
		CU_ASSERT_PTR_NOT_NULL(d->submit);
		CU_ASSERT_TRUE(strlen(d->help) > 10);
	}
	CU_ASSERT_TRUE(n >= 2);
}

PHCA_TEST(null, finishes_within_the_turn_and_frees_the_message)
{
	unsigned int before;
	struct phca_offload *o;
	struct phca_pqp *q;

	setup();
	before = rte_mempool_avail_count(r.pool);
	o = rig_offload(&r, "null", "n", 0, NULL, 0);
	q = rig_pqp(&r, 1, 128, &cq, &cq, &o, 1, 0);
	for (uint32_t i = 0; i < 100; i++)
		rig_offload_in(&r, q, i, 0, 10);
	rig_offload_out(&r, q, 0, 0, &wr[0], 5, 0);
	rig_settle(&r);
	rig_cq_expect(&cq, 5, OK);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r.pool), before);
	CU_ASSERT_EQUAL(stats(o).submitted, 101);
	CU_ASSERT_EQUAL(stats(o).succeeded, 101);
	CU_ASSERT_EQUAL(stats(o).bytes, 1000);
	CU_ASSERT_EQUAL(stats(o).in_flight, 0);
	CU_ASSERT_EQUAL(rig_stats(&r).noops, 100);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)(uintptr_t)1, RECV, 0), 100);
	teardown(q);
}

/* Run n posted requests through delay; note the order and time of finishing. */
static uint64_t delay_run(uint64_t seed, uint32_t n, uint64_t *waited)
{
	const struct phca_setting_arg args[] = {
		NUM("delay_min_us", 5), NUM("delay_max_us", 30), NUM("seed", seed),
	};
	struct phca_offload *o;
	struct phca_offload_stats st;
	struct phca_pqp *q;
	uint64_t print = 0, last = 0;

	setup();
	o = rig_offload(&r, "delay", "d", 0, args, 3);
	q = rig_pqp(&r, 1, 64, &cq, &cq, &o, 1, 0);
	for (uint32_t i = 0; i < n; i++)
		rig_offload_out(&r, q, i, 0, &wr[i], i, 0);
	for (uint64_t us = 0; us <= 31; us++) {
		rig_turn(&r);
		st = stats(o);
		if (us < 5)
			CU_ASSERT_EQUAL(st.succeeded, 0);
		print = print * 31 + (st.succeeded - last) * us;
		last = st.succeeded;
		r.now_ns += 1000;
	}
	CU_ASSERT_EQUAL(last, n);
	CU_ASSERT_TRUE(st.latency_ns_max <= 31000 && st.latency_ns_max > 5000);
	CU_ASSERT_TRUE(st.latency_ns_sum >= 5000 * n && st.latency_ns_sum <= 31000 * n);
	for (uint32_t i = 0; i < n; i++)
		rig_cq_expect(&cq, i, OK);
	*waited = rig_stats(&r).waited;
	teardown(q);
	return print;
}

PHCA_TEST(delay, same_seed_same_times_within_the_bounds)
{
	uint64_t waited, a = delay_run(1, 48, &waited);

	CU_ASSERT_TRUE(waited > 20); /* out of order it was */
	CU_ASSERT_EQUAL(delay_run(1, 48, &waited), a);
	CU_ASSERT_NOT_EQUAL(delay_run(2, 48, &waited), a);
}

PHCA_TEST(delay, fails_as_many_as_it_is_told)
{
	const struct phca_setting_arg args[] = { NUM("delay_max_us", 0), NUM("fail_ppm", 250000) };
	struct phca_offload *o;
	struct phca_pqp *q;

	setup();
	o = rig_offload(&r, "delay", "d", 0, args, 2);
	for (uint32_t i = 0; i < 400; i++) { /* each on a fresh QP */
		q = rig_pqp(&r, 1, 16, &cq, &cq, &o, 1, 0);
		rig_offload_in(&r, q, 0, 0, 8);
		rig_turn(&r);
		rig_pqp_end(&r, q);
	}
	CU_ASSERT_EQUAL(stats(o).failed + stats(o).succeeded, 400);
	CU_ASSERT_TRUE(stats(o).failed > 60 && stats(o).failed < 140);
	teardown(NULL);
}

PHCA_TEST(delay, refuses_beyond_its_capacity)
{
	const struct phca_setting_arg args[] = { NUM("delay_min_us", 10), NUM("capacity", 3) };
	struct phca_offload *o;
	struct phca_pqp *q;

	setup();
	o = rig_offload(&r, "delay", "d", 0, args, 2);
	q = rig_pqp(&r, 1, 16, &cq, &cq, &o, 1, 0);
	for (uint32_t i = 0; i < 4; i++)
		rig_offload_out(&r, q, i, 0, &wr[i], i, 0);
	rig_turn(&r);
	CU_ASSERT_EQUAL(stats(o).refused, 1);
	CU_ASSERT_EQUAL(stats(o).in_flight, 3);
	r.now_ns += 200000;
	rig_turn(&r);
	for (uint64_t i = 0; i < 3; i++)
		rig_cq_expect(&cq, i, OK);
	rig_cq_expect(&cq, 3, PHCA_WC_LOC_QP_OP_ERR);
	teardown(q);
}

struct shown {
	uint64_t held, held_max;
};

static int emit(void *arg, const char *name, uint64_t value)
{
	struct shown *s = arg;

	if (strcmp(name, "held") == 0)
		s->held = value;
	else if (strcmp(name, "held_max") == 0)
		s->held_max = value;
	else
		return -1;
	return 0;
}

static void cancel_many(bool can)
{
	const struct phca_setting_arg args[] = {
		NUM("delay_min_us", 1), NUM("delay_max_us", 5000), BOOL("cancel", can),
	};
	struct phca_offload *o;
	struct phca_pqp *a, *b;
	struct shown s = { 0 };

	setup();
	o = rig_offload(&r, "delay", "d", 0, args, 3);
	a = rig_pqp(&r, 1, 64, &cq, &cq, &o, 1, 0);
	b = rig_pqp(&r, 2, 64, &cq, &cq, &o, 1, 0);
	for (uint32_t i = 0; i < 64; i++) {
		rig_offload_in(&r, a, i, 0, 8);
		rig_offload_out(&r, b, i, 0, &wr[i], i, 0);
	}
	rig_settle(&r);
	CU_ASSERT_EQUAL(phca_offload_ops(o)->show(o, emit, &s), 0);
	CU_ASSERT_EQUAL(s.held, 128);
	CU_ASSERT_EQUAL(s.held_max, 128);
	rig_kind(&r, PHCA_PMSG_DETACH, a);
	rig_turn(&r);
	CU_ASSERT_EQUAL(stats(o).in_flight, can ? 64 : 128);
	CU_ASSERT_EQUAL(stats(o).cancelled, 64);
	/* those of b are untouched, and all come in order */
	for (unsigned int i = 0; i < 6000 && stats(o).in_flight > 0; i++) {
		r.now_ns += 1000;
		rig_turn(&r);
	}
	for (uint32_t i = 0; i < 64; i++)
		rig_cq_expect(&cq, i, OK);
	CU_ASSERT_EQUAL(stats(o).succeeded, 64);
	CU_ASSERT_EQUAL(stats(o).late, can ? 0 : 64);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, (void *)(uintptr_t)1), 1);
	phca_pqp_destroy(a);
	teardown(b);
}

PHCA_TEST(delay, cancelled_requests_leave_and_the_others_stay)
{
	cancel_many(true);
}

PHCA_TEST(delay, without_cancel_it_finishes_them_in_their_time)
{
	cancel_many(false);
}

/* --- what a driver sees */

static struct phca_offload_req *held(struct phca_offload *o)
{
	struct manual *s = rig_manual_state(o);

	CU_ASSERT_EQUAL_FATAL(s->nb_held, 1);
	return s->held[0];
}

PHCA_TEST(request, inbound_shows_headers_and_payload)
{
	struct phca_offload *o;
	struct phca_offload_req *req;
	struct phca_pqp *q;
	uint8_t buf[64];

	setup();
	o = rig_manual(&r, "m", 0, false);
	q = rig_pqp(&r, 0x77, 16, &cq, &cq, &o, 1, 0);
	rig_offload_in(&r, q, 0, 0, 40);
	rig_turn(&r);
	req = held(o);
	CU_ASSERT_EQUAL(req->dir, RECV);
	CU_ASSERT_EQUAL(req->qpn, 0x77);
	CU_ASSERT_EQUAL(req->peer_qpn, 0x123456);
	CU_ASSERT_EQUAL(req->transport, PHCA_TRANSPORT_UD);
	CU_ASSERT_EQUAL(req->op, PHCA_OP_SEND);
	CU_ASSERT_EQUAL(req->opcode, PHCA_UD_SEND_ONLY);
	CU_ASSERT_EQUAL(req->len, 40);
	CU_ASSERT_FALSE(req->has_imm);
	CU_ASSERT_PTR_NULL(req->wr);
	CU_ASSERT_EQUAL(phca_offload_read(req, 0, buf, sizeof(buf)), 40);
	CU_ASSERT_TRUE(buf[0] == 0 && buf[39] == 39);
	CU_ASSERT_EQUAL(phca_offload_read(req, 10, buf, 4), 4);
	CU_ASSERT_TRUE(buf[0] == 10 && buf[3] == 13);
	CU_ASSERT_EQUAL(phca_offload_read(req, 38, buf, 64), 2);
	CU_ASSERT_EQUAL(phca_offload_read(req, 40, buf, 1), 0);
	CU_ASSERT_EQUAL(phca_offload_read(req, UINT32_MAX, buf, UINT32_MAX), 0);
	rig_manual_done(o, RECV, 0, OK);
	teardown(q);
}

/* One packet: headers of hdr_len bytes, then len bytes counting from first. */
static struct rte_mbuf *packet(uint32_t hdr_len, uint32_t len, uint8_t first)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(r.pool);
	uint8_t *d;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	d = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(hdr_len + len));
	memset(d, 0xee, hdr_len);
	for (uint32_t i = 0; i < len; i++)
		d[hdr_len + i] = (uint8_t)(first + i);
	return m;
}

PHCA_TEST(request, inbound_of_several_packets_is_one_payload_with_immediate)
{
	const uint32_t uc_hdr = 42 + 12;
	struct phca_pmsg m = { .kind = PHCA_PMSG_OFFLOAD, .dir = RECV };
	struct phca_offload *o;
	struct phca_offload_req *req;
	struct phca_pqp *q;
	struct rte_mbuf *last;
	uint8_t buf[120];
	uint32_t imm = 0;

	setup();
	o = rig_manual(&r, "m", 0, false);
	q = m.pqp = rig_pqp(&r, 0x77, 16, &cq, &cq, &o, 1, 0);
	m.in.m = packet(uc_hdr, 50, 0);
	m.in.pkt = (struct phca_pkt){
		.opcode = PHCA_UC_SEND_FIRST, .bth_off = 42, .payload_off = (uint16_t)uc_hdr, .payload_len = 50,
	};
	last = packet(uc_hdr, 50, 50);
	rte_pktmbuf_adj(last, (uint16_t)uc_hdr);
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m.in.m, last), 0);
	last = packet(uc_hdr + 4, 10, 100);
	memcpy(rte_pktmbuf_mtod_offset(last, void *, uc_hdr), "\x01\x02\x03\x04", 4);
	rte_pktmbuf_adj(last, (uint16_t)(uc_hdr + 4));
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m.in.m, last), 0);
	m.in.msg_len = 110;
	m.in.last_opcode = PHCA_UC_SEND_LAST_IMM;
	rig_send(&r, &m);
	rig_turn(&r);
	req = held(o);
	CU_ASSERT_EQUAL(req->transport, PHCA_TRANSPORT_UC);
	CU_ASSERT_EQUAL(req->peer_qpn, 0);
	CU_ASSERT_TRUE(req->has_imm);
	memcpy(&imm, "\x01\x02\x03\x04", 4);
	CU_ASSERT_EQUAL(req->imm, imm);
	CU_ASSERT_EQUAL(phca_offload_read(req, 0, buf, sizeof(buf)), 110);
	for (uint32_t i = 0; i < 110; i++)
		CU_ASSERT_EQUAL(buf[i], (uint8_t)i);
	CU_ASSERT_EQUAL(phca_offload_read(req, 45, buf, 60), 60); /* across both seams */
	CU_ASSERT_TRUE(buf[0] == 45 && buf[59] == 104);
	rig_manual_done(o, RECV, 0, OK);
	teardown(q);
}

PHCA_TEST(request, inbound_of_one_packet_with_immediate)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_OFFLOAD, .dir = RECV };
	struct phca_offload *o;
	struct phca_pqp *q;
	uint32_t imm = 0;

	setup();
	o = rig_manual(&r, "m", 0, false);
	q = m.pqp = rig_pqp(&r, 0x77, 16, &cq, &cq, &o, 1, 0);
	m.in.m = packet(42 + 12 + 8 + 4, 0, 0);
	memcpy(rte_pktmbuf_mtod_offset(m.in.m, void *, 62), "\xaa\xbb\xcc\xdd", 4);
	m.in.pkt = (struct phca_pkt){ .opcode = PHCA_UD_SEND_ONLY_IMM, .bth_off = 42, .payload_off = 66 };
	m.in.last_opcode = PHCA_UD_SEND_ONLY_IMM;
	rig_send(&r, &m);
	rig_turn(&r);
	memcpy(&imm, "\xaa\xbb\xcc\xdd", 4);
	CU_ASSERT_TRUE(held(o)->has_imm);
	CU_ASSERT_EQUAL(held(o)->imm, imm);
	rig_manual_done(o, RECV, 0, OK);
	teardown(q);
}

PHCA_TEST(request, posted_shows_its_wr_and_inline_payload)
{
	static const uint8_t data[] = "inline data";
	struct phca_offload *o;
	struct phca_offload_req *req;
	struct phca_pqp *q;
	uint8_t buf[16];

	setup();
	o = rig_manual(&r, "m", 0, false);
	q = rig_pqp(&r, 0x77, 16, &cq, &cq, &o, 1, 0);
	wr[0].inline_data = data;
	wr[0].len = sizeof(data);
	wr[0].pd = 9;
	wr[0].wqe.u.ud.remote_qpn = 0x99;
	rig_offload_out(&r, q, 0, 0, &wr[0], 1, 0);
	rig_turn(&r);
	req = held(o);
	CU_ASSERT_EQUAL(req->dir, SEND);
	CU_ASSERT_PTR_EQUAL(req->wr, &wr[0]);
	CU_ASSERT_EQUAL(req->peer_qpn, 0x99);
	CU_ASSERT_EQUAL(req->pd, 9);
	CU_ASSERT_EQUAL(req->op, PHCA_OP_SEND);
	CU_ASSERT_EQUAL(phca_offload_read(req, 7, buf, 16), 5);
	CU_ASSERT_STRING_EQUAL(buf, "data");
	wr[0].inline_data = NULL; /* SGEs, but this proxy has no tables */
	CU_ASSERT_EQUAL(phca_offload_read(req, 0, buf, 4), -EFAULT);
	rig_manual_done(o, SEND, 0, OK);
	teardown(q);
}

PHCA_TEST(request, posted_sges_are_gathered_and_checked)
{
	static uint8_t a[8] = "abcdefg", b[8] = "hijklmn";
	size_t len = rte_rcu_qsbr_get_memsize(1);
	struct rte_rcu_qsbr *v = aligned_alloc(64, RTE_CACHE_LINE_ROUNDUP(len));
	struct phca_proxy_conf conf = { .name = "mem", .ring_size = 64 };
	struct phca_offload_wr posted = { .len = 12 };
	struct phca_offload_req req = { .dir = SEND, .len = 12, .wr = &posted };
	struct phca_offload_conf oc = { .name = "n", .ops = &phca_offload_null };
	struct phca_mem *mem;
	struct phca_sge sge[2];
	uint8_t buf[16];
	uint32_t key;

	CU_ASSERT_PTR_NOT_NULL_FATAL(v);
	rte_rcu_qsbr_init(v, 1);
	mem = phca_mem_create(16, v);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
	posted.pd = phca_pd_alloc(mem);
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, posted.pd, a, 8, (uintptr_t)a, 0, &key), 0);
	sge[0] = (struct phca_sge){ (uintptr_t)a, 7, key };
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, posted.pd, b, 8, (uintptr_t)b, 0, &key), 0);
	sge[1] = (struct phca_sge){ (uintptr_t)b, 5, key };
	conf.loop = phca_loop_create("mem", NULL, 0, PHCA_IDLE_POLL);
	conf.mem = mem;
	r.p = phca_proxy_create(&conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r.p);
	req.offload = phca_offload_create(r.p, &oc, NULL, 0);
	CU_ASSERT_PTR_EQUAL(phca_offload_mem(req.offload), mem);
	posted.sge = sge;
	posted.wqe.num_sge = 2;
	CU_ASSERT_EQUAL(phca_offload_read(&req, 5, buf, sizeof(buf)), 7);
	CU_ASSERT_EQUAL(memcmp(buf, "fghijkl", 7), 0);
	sge[1].lkey ^= 0x100;
	CU_ASSERT_EQUAL(phca_offload_read(&req, 5, buf, sizeof(buf)), -EFAULT);
	phca_proxy_destroy(r.p);
	phca_loop_destroy(conf.loop);
	phca_mem_destroy(mem);
	free(v);
}
