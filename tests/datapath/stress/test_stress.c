/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order promise under stress: HCA and proxy on threads of their own, 64 proxy
 * QPs with two rules and delayed offloads that finish out of order and sometimes
 * fail, rings that run full, filters replaced and QPs destroyed and made again
 * while traffic runs.
 *
 * What must hold: the receives of a QP complete in the order in which they were
 * posted, each once; the numbers in the payloads rise; every request that the HCA
 * took is in the end completed, carried out, or cancelled with its QP; received
 * packets are the sum of the verdicts; no buffer is missing (lab_close).
 *
 * PHCA_STRESS_REQUESTS says how many requests; 10 million by default.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "../hca/lab.h"
#include "phca_drivers.h"
#include "pool.h"

#define QPS 64
#define QPN0 0x100
#define GEN_BURST 32
#define LIMIT_S 240

/* What the consumer knows of one QP's life. */
struct life {
	struct lab_qp q;
	bool active;          /* the proxy lcore's */
	uint64_t expect;      /* id of the next completion */
	uint64_t ok, flushed, failed;
	uint32_t last_seq;
};

struct stress {
	struct lab *l;
	struct life life[QPS];
	uint32_t seq[QPS];    /* generator's */
	uint64_t rnd_gen, rnd_cons, rnd_ctl;
	bool gen_stop;
	uint64_t made;        /* packets put on the cable; relaxed */
	uint64_t order_violations, seq_violations, strays;
	uint64_t requests, direct, offloaded, completed, carried_out, cancelled, discarded; /* of lives that ended */
	uint64_t episodes, replaced, destroyed, errors;
	struct phca_rule rules[2];
};

/* HCA lcore, before the HCA's turn: packets for random QPs. */
static unsigned int generate(void *arg, uint64_t now_ns)
{
	struct stress *s = arg;
	uint8_t frame[512];

	(void)now_ns;
	if (__atomic_load_n(&s->gen_stop, __ATOMIC_RELAXED) || rte_ring_count(s->l->in) > 256)
		return 0;
	for (unsigned int i = 0; i < GEN_BURST; i++) {
		uint64_t r = phca_test_rand(&s->rnd_gen);
		unsigned int qi = r % QPS;
		uint32_t len = 4 + (uint32_t)(r >> 8) % 200;
		struct phca_wire_hdr h = lab_hdr(s->l, PHCA_UC_SEND_ONLY, QPN0 + qi, s->seq[qi]);
		struct rte_mbuf *m = rte_pktmbuf_alloc(s->l->pool);
		uint32_t off, n;

		if (m == NULL)
			return i;
		off = phca_wire_build(frame, &h, len);
		phca_put32(frame + off, ++s->seq[qi]);
		memset(frame + off + 4, (int)len, len - 4);
		n = phca_wire_finish(frame, &h, len);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
		if (rte_ring_enqueue(s->l->in, m) != 0) {
			rte_pktmbuf_free(m);
			return i;
		}
		PHCA_STAT_ADD(s->made, 1);
	}
	return GEN_BURST;
}

static void consume(struct stress *s, struct life *f, const struct phca_wc *wc)
{
	uint32_t seq;

	if (wc->wr_id != f->expect)
		PHCA_STAT_ADD(s->order_violations, 1);
	f->expect = wc->wr_id + 1;
	if (wc->status == PHCA_WC_WR_FLUSH_ERR) {
		PHCA_STAT_ADD(f->flushed, 1);
		return;
	}
	if (wc->status != PHCA_WC_SUCCESS) {
		PHCA_STAT_ADD(f->failed, 1);
		return;
	}
	PHCA_STAT_ADD(f->ok, 1);
	seq = phca_get32(lab_buf(&f->q, wc->wr_id));
	if (seq <= f->last_seq)
		PHCA_STAT_ADD(s->seq_violations, 1);
	f->last_seq = seq;
}

/* Proxy lcore: the application. */
static unsigned int consumer(void *arg, uint64_t now_ns)
{
	static const struct timespec away = { .tv_nsec = 200000 };
	struct stress *s = arg;
	unsigned int done = 0;
	struct phca_wc wc[32];

	(void)now_ns;
	for (unsigned int i = 0; i < QPS; i++) {
		struct life *f = &s->life[i];
		int n;

		if (!f->active)
			continue;
		n = phca_poll_cq(f->q.cq, 32, wc);
		for (int j = 0; j < n; j++)
			consume(s, f, &wc[j]);
		for (int j = 0; j < n; j++)
			if (wc[j].status == PHCA_WC_SUCCESS)
				lab_post(&f->q, 1);
		done += n > 0 ? (unsigned int)n : 0;
	}
	if (phca_test_rand(&s->rnd_cons) % 5000 == 0) { /* the proxy CPU is away: rings fill */
		nanosleep(&away, NULL);
		PHCA_STAT_ADD(s->episodes, 1);
	}
	return done;
}

static void *loop_main(void *arg)
{
	cpu_set_t all;

	/* not on the CPU that EAL pinned the main thread to */
	CPU_ZERO(&all);
	for (int i = 0; i < CPU_SETSIZE; i++)
		CPU_SET(i, &all);
	pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
	rte_thread_register();
	phca_loop_run(arg);
	rte_thread_unregister();
	return NULL;
}

struct call {
	struct life *f;
	struct life now;
};

static int life_set(void *arg)
{
	struct call *c = arg;

	*c->f = c->now;
	return 0;
}

static int life_pause(void *arg)
{
	struct life *f = arg;

	f->active = false;
	return 0;
}

static void life_begin(struct stress *s, unsigned int i)
{
	struct call c = { .f = &s->life[i], .now = { .active = true } };

	c.now.q = lab_qp(s->l, PHCA_QPT_UC, QPN0 + i);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(c.now.q.qp, s->rules, 2, 0) == 0);
	lab_post(&c.now.q, LAB_DEPTH);
	phca_loop_call(s->l->proxy_loop, life_set, &c);
}

/* Wait until nothing of the QP is under way. The generator has stopped. */
static void life_settle(struct life *f)
{
	struct phca_qp_info qi;
	uint64_t end = rte_get_tsc_cycles() + 20 * rte_get_tsc_hz();

	do {
		static const struct timespec nap = { .tv_nsec = 100000 };

		nanosleep(&nap, NULL);
		qi = lab_info(&f->q);
	} while (qi.state != PHCA_QPS_ERR && rte_get_tsc_cycles() < end &&
		(PHCA_STAT_GET(f->ok) != qi.stats.rx_direct || qi.pqp.offload_ok != qi.stats.rx_offloaded));
}

/* settled: nothing may be missing; else what was under way went with the QP. */
static void life_end(struct stress *s, unsigned int i, bool settled)
{
	struct life *f = &s->life[i];
	struct phca_qp_info qi;
	struct phca_wc wc;
	uint64_t consumed;

	phca_loop_call(s->l->proxy_loop, life_pause, f);
	qi = lab_info(&f->q);
	settled = settled && qi.state != PHCA_QPS_ERR;
	if (settled) {
		CU_ASSERT_EQUAL(f->ok, qi.stats.rx_direct);
		CU_ASSERT_EQUAL(qi.pqp.offload_ok, qi.stats.rx_offloaded);
		CU_ASSERT_EQUAL(qi.pqp.released, qi.stats.rx_messages);
		CU_ASSERT_EQUAL(f->flushed + f->failed, 0);
	}
	CU_ASSERT_EQUAL(phca_qp_destroy(f->q.qp), 0);
	while (lab_poll(&f->q, &wc))
		consume(s, f, &wc);
	consumed = f->ok + f->failed;
	CU_ASSERT(qi.stats.rx_direct + qi.stats.rx_flushed >= consumed - RTE_MIN(consumed, (uint64_t)LAB_DEPTH));
	s->direct += qi.stats.rx_direct;
	s->offloaded += qi.stats.rx_offloaded;
	s->completed += f->ok;
	s->carried_out += qi.pqp.offload_ok;
	CU_ASSERT_EQUAL(phca_cq_destroy(f->q.cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(s->l->mem, f->q.lkey), 0);
	free(f->q.buf);
}

/* Another filter into a slot; the old one goes when nobody runs it. */
static void replace(struct stress *s)
{
	static const char *const names[] = { "one_in_n", "by_size", "all", "none" };
	uint64_t r = phca_test_rand(&s->rnd_ctl);
	const char *name = names[r % 4];
	struct phca_filter_param p = { .kind = PHCA_FV_UINT, .u = 2 + (r >> 8) % 5 };
	struct phca_filter_spec spec = { .name = "live", .params = &p };
	char path[512], err[PHCA_FILTER_ERR_MAX] = "";
	struct phca_filter *f;

	if (r % 4 < 2) {
		spec.nb_params = 1;
		p.name = r % 4 == 0 ? "n" : "min_len";
		if (r % 4 == 1)
			p.u = 100;
	}
	snprintf(path, sizeof(path), "%s/%s.bpf.o", getenv("PHCA_FILTERS"), name);
	spec.object = path;
	f = phca_filter_load(&spec, err, sizeof(err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	f = phca_filter_slot_swap(s->rules[(r >> 4) % 2].filter, f);
	/* not rte_rcu_qsbr_synchronize: ThreadSanitizer does not see into the library */
	rte_rcu_qsbr_check(s->l->qsbr, rte_rcu_qsbr_start(s->l->qsbr), true);
	phca_filter_free(f);
	s->replaced++;
}

static uint64_t requests_now(struct stress *s)
{
	uint64_t n = s->direct + s->offloaded;

	for (unsigned int i = 0; i < QPS; i++) {
		struct phca_qp_info qi = lab_info(&s->life[i].q);

		n += qi.stats.rx_direct + qi.stats.rx_offloaded;
	}
	return n;
}

static void renew_failed(struct stress *s)
{
	struct phca_event ev[64];

	while (phca_hca_events(s->l->hca, ev, 64) > 0)
		;
	for (unsigned int i = 0; i < QPS; i++) {
		if (lab_info(&s->life[i].q).state != PHCA_QPS_ERR)
			continue;
		life_end(s, i, false);
		life_begin(s, i);
		s->errors++;
	}
}

static void stress_rules(struct stress *s)
{
	static const struct phca_setting_arg slow[] = {
		{ .name = "delay_max_us", .kind = PHCA_SETTING_UINT, .u = 200 },
		{ .name = "seed", .kind = PHCA_SETTING_UINT, .u = 11 },
	}, fast[] = {
		{ .name = "delay_max_us", .kind = PHCA_SETTING_UINT, .u = 20 },
		{ .name = "seed", .kind = PHCA_SETTING_UINT, .u = 12 },
		{ .name = "fail_ppm", .kind = PHCA_SETTING_UINT, .u = 20 },
	};
	struct phca_filter_param big = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 150 };
	struct phca_filter_param n = { .name = "n", .kind = PHCA_FV_UINT, .u = 3 };
	const struct phca_offload_ops *delay = phca_offload_driver_find("delay");

	s->rules[0] = (struct phca_rule){ "big", lab_filter(s->l, "by_size", &big, 1),
		lab_offload(s->l, "slow", delay, slow, 2, 0), false, true };
	s->rules[1] = (struct phca_rule){ "third", lab_filter(s->l, "one_in_n", &n, 1),
		lab_offload(s->l, "fast", delay, fast, 3, 0), false, true };
}

PHCA_TEST(stress, order_holds_whatever_happens)
{
	const char *env = getenv("PHCA_STRESS_REQUESTS");
	uint64_t target = env ? strtoull(env, NULL, 0) : 10000000;
	uint64_t end = rte_get_tsc_cycles() + LIMIT_S * rte_get_tsc_hz();
	struct stress *s = calloc(1, sizeof(*s));
	pthread_t hca, proxy;
	uint64_t total = 0;

	CU_ASSERT_FATAL(s != NULL);
	s->rnd_gen = 1, s->rnd_cons = 2, s->rnd_ctl = 3;
	CU_ASSERT_FATAL(pool_seen() == 0);
	s->l = lab_open(&(struct lab_opts){ .ring_size = 128 });
	phca_hca_pump_set(s->l->hca, NULL, NULL);
	CU_ASSERT_EQUAL(phca_loop_remove(s->l->hca_loop, phca_hca_turn, phca_hca_shard(s->l->hca, 0)), 0);
	phca_loop_add(s->l->hca_loop, "generate", generate, s);
	phca_loop_add(s->l->hca_loop, "hca", phca_hca_turn, phca_hca_shard(s->l->hca, 0));
	phca_loop_add(s->l->proxy_loop, "consumer", consumer, s);
	stress_rules(s);
	CU_ASSERT_FATAL(pthread_create(&hca, NULL, loop_main, s->l->hca_loop) == 0);
	CU_ASSERT_FATAL(pthread_create(&proxy, NULL, loop_main, s->l->proxy_loop) == 0);
	for (unsigned int i = 0; i < QPS; i++)
		life_begin(s, i);
	while (total < target && rte_get_tsc_cycles() < end) {
		static const struct timespec nap = { .tv_nsec = 2000000 };
		unsigned int i = phca_test_rand(&s->rnd_ctl) % QPS;

		nanosleep(&nap, NULL);
		replace(s);
		life_end(s, i, false);
		life_begin(s, i);
		s->destroyed++;
		renew_failed(s);
		total = requests_now(s);
	}
	CU_ASSERT(total >= target);
	__atomic_store_n(&s->gen_stop, true, __ATOMIC_RELAXED);
	while (rte_ring_count(s->l->in) > 0 && rte_get_tsc_cycles() < end)
		rte_pause();
	for (unsigned int i = 0; i < QPS; i++) {
		life_settle(&s->life[i]);
		life_end(s, i, true);
	}
	phca_loop_stop(s->l->hca_loop);
	phca_loop_stop(s->l->proxy_loop);
	pthread_join(hca, NULL);
	pthread_join(proxy, NULL);
	CU_ASSERT_EQUAL(s->order_violations, 0);
	CU_ASSERT_EQUAL(s->seq_violations, 0);
	CU_ASSERT(s->replaced > 0 && s->destroyed > 0);
	printf("  stress: %" PRIu64 " requests (%" PRIu64 " direct, %" PRIu64 " offloaded) of %" PRIu64
		" packets; %" PRIu64 " times away, %" PRIu64 " filters replaced, %" PRIu64 " QPs destroyed, %" PRIu64
		" failed; ring full %" PRIu64 "\n",
		s->direct + s->offloaded, s->direct, s->offloaded, s->made, s->episodes, s->replaced, s->destroyed,
		s->errors, lab_verdict(s->l, PHCA_V_PROXY_RING_FULL));
	CU_ASSERT_EQUAL(phca_offload_destroy(s->rules[0].offload), 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(s->rules[1].offload), 0);
	s->l->injected = s->made;
	lab_close(s->l);
	free(s);
}
