/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RC between the shards of one HCA, under stress: three HCA lcores and two with a
 * proxy and an application each, on threads of their own. Connections through the
 * port's own address carry SENDs, WRITEs, READs and atomics, some of proxy QPs, some
 * into SRQs; a control thread meanwhile moves queue pairs to ERR and RESET,
 * destroys them and makes them again, makes proxy QPs of them and changes their rules,
 * attaches and detaches multicast groups, queries and reads counters.
 *
 * What must hold: completions come once and in order, with success as long as
 * nobody disturbs the connection, and after an error of every posted request;
 * messages, READs and atomics bring what they must; received packets are the sum of
 * the verdicts, and no buffer is missing (lab_close).
 *
 * PHCA_STRESS_COMPLETIONS says how many; 300,000 by default.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "mesh.h"
#include "phca_drivers.h"
#include "pool.h"

#define LIMIT_S 240
#define FLUSH_LIMIT_S 60
#define LOOPS (MESH_SHARDS + MESH_APPS)
#define GROUP_QPS 3

static const uint8_t own_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

/* An application: its lcore's turn. */
struct mesh_app {
	struct mesh *m;
	struct phca_client *client;
	struct pond pond;
	struct link *links[MESH_LINKS];
	unsigned int nb_links;
};

struct mesh {
	struct lab *l;
	struct mesh_app app[MESH_APPS];
	struct link link[MESH_LINKS];
	struct phca_rule rule[MESH_APPS][2]; /* of the proxy of each application */
	uint64_t wrong, rnd;
	/* datagrams to a group, from the first to all members */
	struct lab_qp group[GROUP_QPS];
	bool member[GROUP_QPS];
	uint32_t group_sent, group_last[GROUP_QPS];
	uint64_t group_got;
	uint64_t errors, resets, destroyed, crossing, mcast, looks, offloaded, send_offloaded, changes, attached;
};

static uint32_t below(struct mesh *m, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&m->rnd) >> 20) % n;
}

static void nap(long us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

/* ------------------------------------------------------ application lcores */

static void group_turn(struct mesh *m)
{
	uint32_t n = m->group_sent + 1;
	struct phca_send_wr w = {
		.wr_id = ~0ull, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED | PHCA_SEND_INLINE,
		.inline_data = &n, .inline_len = 4, .remote_qpn = PHCA_QPN_MULTICAST, .remote_qkey = LAB_QKEY,
		.av.dgid = { [10] = 0xff, 0xff, 239, 1, 2, 3 },
	};
	struct phca_wc wc;

	w.av.sgid_index = (uint8_t)phca_net_gid_find(m->l->net, own_gid);
	if (phca_test_rand(&m->app[0].links[0]->rnd) % 16 == 0 && phca_post_send(m->group[0].qp, &w, 1) == 1)
		m->group_sent++;
	for (unsigned int i = 0; i < GROUP_QPS; i++) {
		while (lab_poll(&m->group[i], &wc)) {
			uint32_t seq;

			if (wc.status != PHCA_WC_SUCCESS)
				mesh_wrong(&m->link[0], "a datagram failed", wc.status, wc.wr_id);
			if (wc.wr_id == ~0ull)
				continue;
			memcpy(&seq, lab_buf(&m->group[i], wc.wr_id) + PHCA_GRH_LEN, 4);
			if (seq <= m->group_last[i] || seq > m->group_sent)
				mesh_wrong(&m->link[0], "a datagram twice, or late", seq, m->group_last[i]);
			m->group_last[i] = seq;
			PHCA_STAT_ADD(m->group_got, 1);
			lab_post(&m->group[i], 1);
		}
	}
}

static unsigned int app_turn(void *arg, uint64_t now_ns)
{
	struct mesh_app *a = arg;
	unsigned int done = 0;

	(void)now_ns;
	for (unsigned int i = 0; i < a->nb_links; i++)
		done += mesh_turn(a->links[i]);
	if (a == &a->m->app[0])
		group_turn(a->m);
	return done;
}

/* Fewer CPUs than lcores: let the others run. */
static unsigned int yield_turn(void *arg, uint64_t now_ns)
{
	(void)arg;
	(void)now_ns;
	sched_yield();
	return 0;
}

/* Shard 0, which transmits for all: the end of the cable. */
static unsigned int cable_turn(void *arg, uint64_t now_ns)
{
	struct lab *l = arg;
	void *m;

	(void)now_ns;
	while (rte_ring_sc_dequeue(l->out, &m) == 0)
		rte_pktmbuf_free(m);
	return 0;
}

static void *loop_main(void *arg)
{
	cpu_set_t all;

	CPU_ZERO(&all);
	for (int i = 0; i < CPU_SETSIZE; i++)
		CPU_SET(i, &all);
	pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
	rte_thread_register();
	phca_loop_run(arg);
	rte_thread_unregister();
	return NULL;
}

struct phase {
	struct link *l;
	enum link_phase to;
};

static int phase_set(void *arg)
{
	struct phase *p = arg;

	p->l->phase = p->to;
	p->l->ends = p->to != LINK_RUNS;
	return 0;
}

static struct mesh_app *app_of(struct mesh *m, const struct link *l)
{
	return &m->app[(l - m->link) % MESH_APPS];
}

static void to_phase(struct mesh *m, struct link *l, enum link_phase to)
{
	phca_loop_call(m->l->proxy_loops[app_of(m, l) - m->app], phase_set, &(struct phase){ l, to });
}

/* --------------------------------------------------------------- control */

static void side_create(struct mesh *m, struct link *l, unsigned int i)
{
	struct mesh_app *a = app_of(m, l);
	struct side *s = &l->side[i];
	struct phca_qp_init in = {
		.type = PHCA_QPT_RC, .pd = m->l->pd, .max_send_wr = MESH_DEPTH, .max_recv_wr = MESH_RECVS,
		.max_send_sge = 1, .max_recv_sge = 1,
	};

	CU_ASSERT_FATAL(phca_cq_create(a->client, MESH_DEPTH, &s->scq) == 0);
	CU_ASSERT_FATAL(phca_cq_create(a->client, RTE_MAX(MESH_RECVS, MESH_SRQ_DEPTH), &s->rcq) == 0);
	in.send_cq = s->scq;
	in.recv_cq = s->rcq;
	in.srq = s->pond != NULL ? s->pond->srq : NULL;
	CU_ASSERT_FATAL(phca_qp_create(a->client, &in, &s->qp) == 0);
	if (l->proxied)
		CU_ASSERT_FATAL(phca_qp_proxy_attach(s->qp, m->rule[a - m->app], 2, 0) == 0);
}

static unsigned int shard_of_side(const struct side *s)
{
	struct phca_qp_info qi;

	phca_qp_info_get(s->qp, &qi);
	return qi.shard;
}

static void link_create(struct mesh *m, struct link *l)
{
	side_create(m, l, 0);
	side_create(m, l, 1);
	m->crossing += shard_of_side(&l->side[0]) != shard_of_side(&l->side[1]);
}

static void side_up(struct mesh *m, struct side *s, const struct side *peer, uint32_t sq_psn, uint32_t rq_psn)
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .dest_qpn = phca_qp_num(peer->qp),
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC,
		.path_mtu = LAB_MTU, .sq_psn = phca_psn(sq_psn), .rq_psn = phca_psn(rq_psn), .timeout = 16,
		.retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 4, .max_dest_rd_atomic = 4, .min_rnr_timer = 1,
	};

	memcpy(a.av.dgid, own_gid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_find(m->l->net, own_gid);
	CU_ASSERT_EQUAL(phca_qp_modify(s->qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(s->qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN |
		PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(s->qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC), 0);
}

/* Connect the queue pairs, which are in RESET, and go. */
static void link_start(struct mesh *m, struct link *l)
{
	uint32_t psn[2] = { below(m, PHCA_PSN_MASK), below(m, PHCA_PSN_MASK) };

	mesh_begin(l);
	side_up(m, &l->side[0], &l->side[1], psn[0], psn[1]);
	side_up(m, &l->side[1], &l->side[0], psn[1], psn[0]);
	to_phase(m, l, LINK_RUNS);
}

static void set_state(struct side *s, enum phca_qp_state to)
{
	struct phca_qp_attr a = { .state = to };

	CU_ASSERT_EQUAL(phca_qp_modify(s->qp, &a, PHCA_QP_STATE), 0);
}

static bool all_told(const struct side *s)
{
	return PHCA_STAT_GET(s->completed) == PHCA_STAT_GET(s->posted) &&
		(s->pond != NULL || PHCA_STAT_GET(s->rgot) == PHCA_STAT_GET(s->rposted));
}

/* To ERR, one side after the other: everything that was posted must complete. */
static void link_error(struct mesh *m, struct link *l)
{
	uint64_t end = rte_get_tsc_cycles() + FLUSH_LIMIT_S * rte_get_tsc_hz();
	unsigned int first = below(m, 2);

	to_phase(m, l, LINK_ENDS);
	set_state(&l->side[first], PHCA_QPS_ERR);
	nap(below(m, 300));
	set_state(&l->side[!first], PHCA_QPS_ERR);
	while (!(all_told(&l->side[0]) && all_told(&l->side[1])) && rte_get_tsc_cycles() < end)
		nap(100);
	for (unsigned int i = 0; i < 2; i++)
		if (!all_told(&l->side[i]))
			mesh_wrong(l, "requests of a queue pair in ERR did not complete",
				l->side[i].posted - l->side[i].completed, l->side[i].rposted - l->side[i].rgot);
	m->errors++;
}

/* Application: what was not polled. */
static int drain_call(void *arg)
{
	for (unsigned int i = 0; i < 2; i++)
		while (mesh_poll(arg, i) > 0)
			;
	return 0;
}

static void drain(struct mesh *m, struct link *l)
{
	phca_loop_call(m->l->proxy_loops[app_of(m, l) - m->app], drain_call, l);
}

static void count(struct mesh *m, const struct link *l)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct phca_qp_info qi;

		phca_qp_info_get(l->side[i].qp, &qi);
		m->offloaded += qi.stats.rx_offloaded;
		m->send_offloaded += qi.stats.tx_offloaded;
	}
}

static void link_destroy(struct mesh *m, struct link *l)
{
	count(m, l);
	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(phca_qp_destroy(l->side[i].qp), 0);
	drain(m, l);
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(phca_cq_destroy(l->side[i].scq), 0);
		CU_ASSERT_EQUAL(phca_cq_destroy(l->side[i].rcq), 0);
	}
	m->destroyed++;
}

/* Something happens to a connection, at any time in its life. */
static void disturb(struct mesh *m)
{
	struct link *l = &m->link[below(m, MESH_LINKS)];
	uint32_t what = below(m, 4);

	if (what & 1)
		link_error(m, l);
	to_phase(m, l, LINK_PAUSED);
	if (what & 2) {
		unsigned int first = below(m, 2);

		set_state(&l->side[first], PHCA_QPS_RESET);
		set_state(&l->side[!first], PHCA_QPS_RESET);
		drain(m, l);
		m->resets++;
	} else {
		link_destroy(m, l);
		link_create(m, l);
	}
	link_start(m, l);
}

/*
 * A connection that runs gets other rules that say the same in another order, or
 * becomes one of proxy QPs without any.
 */
static void rules_change(struct mesh *m)
{
	struct link *l = &m->link[below(m, MESH_LINKS)];
	const struct phca_rule *r = m->rule[app_of(m, l) - m->app];
	const struct phca_rule list[3] = { r[below(m, 2)], r[0], r[1] };
	unsigned int from = below(m, 2);

	for (unsigned int i = 0; i < 2; i++) {
		struct phca_qp_info qi;
		int ret;

		phca_qp_info_get(l->side[i].qp, &qi);
		if (qi.proxy)
			ret = phca_qp_proxy_rules_set(l->side[i].qp, list + from, l->proxied ? 3 - from : 0);
		else
			ret = phca_qp_proxy_attach(l->side[i].qp, NULL, 0, 0);
		CU_ASSERT_EQUAL(ret, 0);
		m->changes += qi.proxy;
		m->attached += !qi.proxy;
	}
}

static void groups(struct mesh *m)
{
	static const uint8_t mgid[16] = { [10] = 0xff, 0xff, 239, 1, 2, 3 };
	unsigned int i = below(m, GROUP_QPS);

	int (*change)(struct phca_qp *, const uint8_t *) = m->member[i] ? phca_qp_mcast_detach : phca_qp_mcast_attach;

	CU_ASSERT_EQUAL(change(m->group[i].qp, mgid), 0);
	m->member[i] = !m->member[i];
	m->mcast++;
}

static int look_qp(void *arg, struct phca_qp *qp)
{
	struct mesh *m = arg;
	struct phca_qp_info qi;
	struct phca_qp_rate rate;
	struct phca_qp_attr a;

	phca_qp_info_get(qp, &qi);
	phca_qp_rate_get(qp, &rate);
	CU_ASSERT_EQUAL(phca_qp_query(qp, &a), 0);
	CU_ASSERT(a.state <= PHCA_QPS_ERR);
	m->looks++;
	return 0;
}

static int look_cq(void *arg, struct phca_cq *cq)
{
	struct phca_cq_info ci;

	(void)arg;
	phca_cq_info_get(cq, &ci);
	CU_ASSERT_FALSE(ci.overrun);
	return 0;
}

static int look_srq(void *arg, struct phca_srq *srq)
{
	struct phca_srq_info si;

	(void)arg;
	phca_srq_info_get(srq, &si);
	CU_ASSERT_EQUAL(phca_srq_arm(srq, MESH_SRQ_DEPTH / 2), 0);
	return 0;
}

static void look(struct mesh *m)
{
	struct phca_port_stats st;
	struct phca_event ev[64];

	phca_qp_each(m->l->hca, look_qp, m);
	phca_cq_each(m->l->hca, look_cq, m);
	phca_srq_each(m->l->hca, look_srq, m);
	phca_port_stats_get(m->l->hca, 0, &st);
	while (phca_hca_events(m->l->hca, ev, 64) > 0)
		;
}

/* ------------------------------------------------------------ begin, end */

static void rules(struct mesh *m, unsigned int app)
{
	static const struct phca_setting_arg delay[] = {
		{ .name = "delay_max_us", .kind = PHCA_SETTING_UINT, .u = 100 },
		{ .name = "seed", .kind = PHCA_SETTING_UINT, .u = 5 },
	};
	struct phca_filter_param send = { .name = "min_len", .kind = PHCA_FV_UINT, .u = MESH_SEND_BIG };
	struct phca_filter_param in = { .name = "min_len", .kind = PHCA_FV_UINT, .u = MESH_IN_BIG };
	struct lab own = { .proxy = m->l->proxies[app] };

	m->rule[app][0] = (struct phca_rule){ "send", lab_filter(m->l, "by_size", &send, 1),
		lab_offload(&own, "slow", phca_offload_driver_find("delay"), delay, 2, 0), true, false };
	m->rule[app][1] = (struct phca_rule){ "in", lab_filter(m->l, "by_size", &in, 1),
		lab_offload(&own, "null", phca_offload_driver_find("null"), NULL, 0, 0), false, true };
}

static uint8_t *memory(struct mesh *m, size_t bytes, uint32_t *key)
{
	uint8_t *p = calloc(1, bytes);

	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(m->l->mem, m->l->pd, p, bytes, (uintptr_t)p, PHCA_ACCESS_ALL, key) == 0);
	return p;
}

static void app_open(struct mesh *m, unsigned int i)
{
	struct phca_srq_init in = { .pd = m->l->pd, .max_wr = MESH_SRQ_DEPTH, .max_sge = 1 };
	struct mesh_app *a = &m->app[i];

	a->m = m;
	a->client = phca_client_open(m->l->hca, i == 0 ? "app0" : "app1", 64);
	CU_ASSERT_FATAL(a->client != NULL);
	CU_ASSERT_FATAL(phca_srq_create(a->client, &in, &a->pond.srq) == 0);
	a->pond.mem = memory(m, (size_t)MESH_SRQ_SLOTS * MESH_MSG, &a->pond.key);
	for (unsigned int k = 0; k < MESH_SRQ_SLOTS; k++)
		a->pond.free[a->pond.nb_free++] = (uint16_t)k;
	rules(m, i);
}

static void link_open(struct mesh *m, unsigned int i)
{
	struct link *l = &m->link[i];
	struct mesh_app *a = app_of(m, l);

	l->proxied = i % 3 == 0;
	l->rnd = i + 100;
	l->wrong = &m->wrong;
	for (unsigned int k = 0; k < 2; k++) {
		l->side[k].mem = memory(m, mesh_bytes(), &l->side[k].key);
		l->side[k].seed = 2 * i + k + 1;
		mesh_fill(&l->side[k]);
	}
	if (i % 4 < 2)
		l->side[1].pond = &a->pond;
	a->links[a->nb_links++] = l;
	link_create(m, l);
}

static struct mesh *mesh_open(void)
{
	struct mesh *m = calloc(1, sizeof(*m));

	CU_ASSERT_FATAL(m != NULL);
	CU_ASSERT_FATAL(pool_seen() == 0);
	m->rnd = 7;
	m->l = lab_open(&(struct lab_opts){ .nb_shards = MESH_SHARDS, .nb_proxies = MESH_APPS });
	for (unsigned int i = 0; i < MESH_APPS; i++)
		app_open(m, i);
	for (unsigned int i = 0; i < MESH_LINKS; i++)
		link_open(m, i);
	for (unsigned int i = 0; i < GROUP_QPS; i++) {
		m->group[i] = lab_qp(m->l, PHCA_QPT_UD, 0);
		lab_post(&m->group[i], LAB_DEPTH / 2);
	}
	phca_hca_pump_set(m->l->hca, NULL, NULL);
	phca_loop_add(m->l->hca_loop, "cable", cable_turn, m->l);
	for (unsigned int i = 0; i < MESH_APPS; i++)
		phca_loop_add(m->l->proxy_loops[i], "app", app_turn, &m->app[i]);
	return m;
}

static void mesh_close(struct mesh *m)
{
	for (unsigned int i = 0; i < MESH_LINKS; i++) {
		for (unsigned int k = 0; k < 2; k++) {
			CU_ASSERT_EQUAL(phca_mr_dereg(m->l->mem, m->link[i].side[k].key), 0);
			free(m->link[i].side[k].mem);
		}
	}
	m->l->now_ns = 1ull << 60; /* later than the loops' clock */
	lab_turn(m->l, 8); /* what is still on its way finds no queue pair */
	for (unsigned int i = 0; i < MESH_APPS; i++) {
		CU_ASSERT_EQUAL(phca_srq_destroy(m->app[i].pond.srq), 0);
		CU_ASSERT_EQUAL(phca_mr_dereg(m->l->mem, m->app[i].pond.key), 0);
		free(m->app[i].pond.mem);
		phca_client_close(m->app[i].client);
		CU_ASSERT_EQUAL(phca_offload_destroy(m->rule[i][0].offload), 0);
		CU_ASSERT_EQUAL(phca_offload_destroy(m->rule[i][1].offload), 0);
	}
	cable_turn(m->l, 0);
	lab_close(m->l);
}

static uint64_t completions(const struct mesh *m)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < MESH_LINKS; i++)
		n += PHCA_STAT_GET(m->link[i].done);
	return n;
}

static int app_stop(void *arg)
{
	struct mesh *m = arg;

	return phca_loop_remove(m->l->proxy_loop, app_turn, &m->app[0]);
}

/* Control thread, until so many completions were seen. */
static void control(struct mesh *m, uint64_t target)
{
	uint64_t end = rte_get_tsc_cycles() + LIMIT_S * rte_get_tsc_hz();

	for (unsigned int i = 0; i < MESH_LINKS; i++)
		link_start(m, &m->link[i]);
	while (completions(m) < target && rte_get_tsc_cycles() < end && PHCA_STAT_GET(m->wrong) == 0) {
		nap(2000);
		disturb(m);
		groups(m);
		rules_change(m);
		if (below(m, 4) == 0)
			look(m);
	}
	CU_ASSERT(completions(m) >= target);
	for (unsigned int i = 0; i < MESH_LINKS; i++) { /* the last ones end in order, too */
		link_error(m, &m->link[i]);
		to_phase(m, &m->link[i], LINK_PAUSED);
		link_destroy(m, &m->link[i]);
	}
	phca_loop_call(m->l->proxy_loop, app_stop, m);
	for (unsigned int i = 0; i < GROUP_QPS; i++)
		lab_qp_free(m->l, &m->group[i]);
}

PHCA_TEST(mesh, rc_between_shards)
{
	const char *env = getenv("PHCA_STRESS_COMPLETIONS");
	struct mesh *m = mesh_open();
	pthread_t thread[LOOPS];
	struct phca_loop *loop[LOOPS];

	for (unsigned int i = 0; i < LOOPS; i++) {
		loop[i] = i < MESH_SHARDS ? m->l->hca_loops[i] : m->l->proxy_loops[i - MESH_SHARDS];
		phca_loop_add(loop[i], "yield", yield_turn, NULL);
		CU_ASSERT_FATAL(pthread_create(&thread[i], NULL, loop_main, loop[i]) == 0);
	}
	control(m, env != NULL ? strtoull(env, NULL, 0) : 300000);
	for (unsigned int i = 0; i < LOOPS; i++)
		phca_loop_stop(loop[i]);
	for (unsigned int i = 0; i < LOOPS; i++)
		pthread_join(thread[i], NULL);
	CU_ASSERT_EQUAL(m->wrong, 0);
	CU_ASSERT(m->crossing > 0 && m->errors > 0 && m->resets > 0 && m->destroyed > 0 && m->looks > 0);
	CU_ASSERT(m->group_got > 0);
	printf("  mesh: %" PRIu64 " completions; %" PRIu64 " errors, %" PRIu64 " resets, %" PRIu64 " connections, ",
		completions(m), m->errors, m->resets, m->destroyed);
	printf("%" PRIu64 " between shards; %" PRIu64 " changes of groups, %" PRIu64 " datagrams; ", m->crossing,
		m->mcast, m->group_got);
	printf("%" PRIu64 " changes of rules, %" PRIu64 " proxy QPs made while they ran; ", m->changes, m->attached);
	mesh_close(m);
	CU_ASSERT(m->changes > 0 && m->attached > 0);
	CU_ASSERT(m->send_offloaded > 0 && m->offloaded > 0);
	printf("offloaded %" PRIu64 " outbound, %" PRIu64 " inbound\n", m->send_offloaded, m->offloaded);
	free(m);
}
