/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two ends of world.h and the network between them.
 *
 * Invariant: nothing reads a real clock; with the same seed every turn does the same.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>

#include "phca_drivers.h"
#include "phca_impair.h"
#include "world.h"

#define POOL 8191
#define STEP_MAX_NS 50000

static uint64_t clock_of(void *arg)
{
	return ((const struct world *)arg)->now_ns;
}

static void pump(void *arg)
{
	world_turn(arg);
}

uint32_t world_rnd(struct world *w, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&w->rnd) % n);
}

static int rules_text(const struct weather *we, char *buf, size_t len)
{
	return snprintf(buf, len,
		"drop op roce p %g;dup op roce p %g late 3us;reorder op roce by 3 timeout 200us p %g;"
		"corrupt op roce bits 2 p %g;delay op roce time 20us jitter 15us p %g;ecn op roce p %g",
		we->drop / 1e3, we->dup / 1e3, we->reorder / 1e3, we->corrupt / 1e3, we->delay / 1e3, we->ecn / 1e3);
}

/* Each end's device spoils what that end receives. */
static void impair_open(struct world *w, unsigned int i, const struct weather *we)
{
	static unsigned int count;
	struct end *e = &w->end[i];
	char args[256], rules[512], err[PHCA_IMPAIR_ERR_MAX];
	/* a name of its own each time: ethdevs are numbered as they come */
	unsigned int n = count++;

	snprintf(e->impair, sizeof(e->impair), "net_impair%u", n);
	snprintf(args, sizeof(args), "rx_ring=w%u,tx_ring=w%u,ring_size=4096,seed=%lu,dir=rx",
		n, n ^ 1, (unsigned long)(w->seed * 2 + i) + 1);
	CU_ASSERT_FATAL(rte_vdev_init(e->impair, args) == 0);
	CU_ASSERT_FATAL(rte_eth_dev_get_port_by_name(e->impair, &e->port) == 0);
	CU_ASSERT_FATAL(phca_impair_clock_set(e->port, clock_of, w) == 0);
	rules_text(we, rules, sizeof(rules));
	if (phca_impair_rules_set(e->port, rules, err, sizeof(err)) != 0)
		printf("  %s: %s\n", rules, err);
}

static void net_open(struct world *w, unsigned int i)
{
	static const uint8_t gid4[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct end *e = &w->end[i];
	struct phca_net_addr addr = { .prefix_len = 24 };
	struct phca_net_neigh neigh = { .mac = { 2, 0, 0, 0, 0, (uint8_t)(2 - i) } };
	struct phca_net_conf nc = {
		.port_id = e->port, .mtu = w->mtu, .set_mac = true, .mac = { 2, 0, 0, 0, 0, (uint8_t)(1 + i) },
		.pool = w->pool, .addrs = &addr, .nb_addrs = 1, .neighs = &neigh, .nb_neighs = 1,
	};
	char err[256] = "";

	memcpy(e->gid, gid4, 16);
	e->gid[15] = (uint8_t)(1 + i);
	memcpy(addr.gid, e->gid, 16);
	memcpy(neigh.gid, gid4, 16);
	neigh.gid[15] = (uint8_t)(2 - i);
	e->net = phca_net_create(&nc, err, sizeof(err));
	if (e->net == NULL)
		printf("  %s\n", err);
	CU_ASSERT_FATAL(e->net != NULL && phca_net_start(e->net) == 0);
}

static struct phca_offload *offload_open(struct end *e, const struct phca_offload_ops *ops,
		const struct phca_setting_arg *args, unsigned int n)
{
	struct phca_offload_conf c = { .name = ops->name, .ops = ops, .args = args, .nb_args = n };
	char err[256] = "";
	struct phca_offload *o = phca_offload_create(e->proxy, &c, err, sizeof(err));

	CU_ASSERT_FATAL(o != NULL);
	return o;
}

/* A line on which packets take time, and rates at which they take some tens of microseconds. */
static struct phca_congestion_conf congestion(const struct weather *we)
{
	struct phca_congestion_conf c;

	phca_congestion_default(&c);
	c.enabled = we->ecn > 0;
	c.line_rate_bps = 10000000000;
	c.params.min_rate_bps = 200000000;
	return c;
}

static void end_open(struct world *w, unsigned int i, const struct weather *we)
{
	struct phca_congestion_conf cong = congestion(we);
	struct phca_setting_arg delay[] = {
		{ .name = "delay_min_us", .kind = PHCA_SETTING_UINT, .u = 1 },
		{ .name = "delay_max_us", .kind = PHCA_SETTING_UINT, .u = 300 },
		{ .name = "seed", .kind = PHCA_SETTING_UINT, .u = w->seed & 0xffff },
	};
	struct phca_setting_arg seed = { .name = "seed", .kind = PHCA_SETTING_UINT, .u = w->seed * 2 + i };
	struct end *e = &w->end[i];
	struct phca_proxy_conf pc = { .name = i ? "b" : "a", .ring_size = 256 };
	struct phca_hca_conf hc = {
		.name = i ? "b" : "a", .max_qp = 4096, .seed = w->seed + i + 1, .qsbr = w->qsbr, .pool = w->pool,
		.nb_shards = 1, .nb_proxies = 1, .congestion = &cong,
	};

	e->loop = phca_loop_create("hca", w->qsbr, 2 * i, PHCA_IDLE_POLL);
	e->proxy_loop = phca_loop_create("proxy", w->qsbr, 2 * i + 1, PHCA_IDLE_POLL);
	e->mem = phca_mem_create(1024, w->qsbr);
	CU_ASSERT_FATAL(e->loop && e->proxy_loop && e->mem);
	pc.loop = e->proxy_loop;
	pc.mem = e->mem;
	pc.pool = w->pool;
	e->proxy = phca_proxy_create(&pc);
	CU_ASSERT_FATAL(e->proxy != NULL);
	phca_loop_add(e->proxy_loop, "proxy", phca_proxy_turn, e->proxy);
	impair_open(w, i, we);
	net_open(w, i);
	hc.loops[0] = e->loop;
	hc.proxies[0] = e->proxy;
	hc.mem = e->mem;
	e->hca = phca_hca_create(&hc);
	CU_ASSERT_FATAL(e->hca != NULL && phca_hca_port_add(e->hca, e->net) == 0);
	phca_hca_pump_set(e->hca, pump, w);
	phca_loop_add(e->loop, "hca", phca_hca_turn, phca_hca_shard(e->hca, 0));
	e->client = phca_client_open(e->hca, "chaos", 4096);
	e->pd = phca_pd_alloc(e->mem);
	CU_ASSERT_FATAL(e->client != NULL && e->pd != 0);
	e->null = offload_open(e, phca_offload_driver_find("null"), NULL, 0);
	e->delay = offload_open(e, phca_offload_driver_find("delay"), delay, RTE_DIM(delay));
	e->mimic = offload_open(e, mimic_ops(), &seed, 1);
}

struct world *world_open(uint64_t seed, const struct weather *we)
{
	struct world *w = calloc(1, sizeof(*w));

	CU_ASSERT_FATAL(w != NULL);
	w->seed = seed;
	w->rnd = seed;
	w->now_ns = 1000000;
	w->mtu = (uint16_t)(256 << world_rnd(w, 5));
	w->pool = rte_pktmbuf_pool_create("world", POOL, 0, 0, 4096 + 512 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	w->qsbr = aligned_alloc(64, RTE_ALIGN(rte_rcu_qsbr_get_memsize(4), (size_t)64));
	CU_ASSERT_FATAL(w->pool != NULL && w->qsbr != NULL && rte_rcu_qsbr_init(w->qsbr, 4) == 0);
	for (unsigned int i = 0; i < 2; i++)
		end_open(w, i, we);
	return w;
}

static unsigned int ends_turn(struct world *w)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < 2; i++) {
		done += phca_loop_turn(w->end[i].loop, w->now_ns);
		done += phca_loop_turn(w->end[i].proxy_loop, w->now_ns);
	}
	return done;
}

bool world_turn(struct world *w)
{
	unsigned int done = ends_turn(w);

	/* the longer nothing happens, the longer the steps */
	w->step_ns = done > 0 ? 1000 : RTE_MIN(w->step_ns * 2, (uint64_t)STEP_MAX_NS);
	w->idle_ns = done > 0 ? 0 : w->idle_ns + w->step_ns;
	w->now_ns += w->step_ns;
	return done > 0;
}

struct phca_rule world_rule(struct end *e, const char *filter, const struct phca_filter_param *params,
		unsigned int nb_params, struct phca_offload *offload, bool send, bool inbound)
{
	struct phca_filter_slot *s = &e->slot[e->nb_slots];
	char path[512], err[PHCA_FILTER_ERR_MAX] = "";
	struct phca_filter_spec spec = { .name = filter, .object = path, .params = params, .nb_params = nb_params };
	struct phca_rule r = {
		.name = filter, .filter = s, .offload = offload, .send = send, .inbound = inbound,
	};

	CU_ASSERT_FATAL(e->nb_slots < RTE_DIM(e->slot));
	snprintf(path, sizeof(path), "%s/%s.bpf.o", getenv("PHCA_FILTERS"), filter);
	s->cur = phca_filter_load(&spec, err, sizeof(err));
	if (s->cur == NULL)
		printf("  %s\n", err);
	CU_ASSERT_FATAL(s->cur != NULL);
	e->nb_slots++;
	return r;
}

uint64_t world_spoiled(const struct world *w)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < 2; i++) {
		struct phca_impair_counters c;

		CU_ASSERT_EQUAL(phca_impair_stats_get(w->end[i].port, PHCA_IMPAIR_RX, &c), 0);
		n += c.dropped + c.duplicated + c.reordered + c.corrupted + c.delayed + c.ce_marked;
	}
	return n;
}

uint64_t world_cnps(const struct world *w)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < 2; i++) {
		struct phca_port_stats st;

		CU_ASSERT_EQUAL(phca_port_stats_get(w->end[i].hca, 0, &st), 0);
		n += st.verdict[PHCA_V_CNP];
	}
	return n;
}

static void end_close(struct end *e)
{
	struct phca_port_stats st;
	uint64_t sum;

	phca_client_close(e->client);
	CU_ASSERT_EQUAL(phca_port_stats_get(e->hca, 0, &st), 0);
	sum = st.rx_held;
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
		sum += st.verdict[v];
	CU_ASSERT_EQUAL(st.rx_packets, sum);
	CU_ASSERT_EQUAL(st.rx_held, 0);
	phca_hca_destroy(e->hca);
	phca_proxy_destroy(e->proxy);
	phca_net_destroy(e->net);
	phca_loop_destroy(e->loop);
	phca_loop_destroy(e->proxy_loop);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(e->mem), 0);
	phca_mem_destroy(e->mem);
	for (unsigned int i = 0; i < e->nb_slots; i++)
		phca_filter_free(e->slot[i].cur);
}

void world_tell(const struct world *w)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct phca_port_stats st;

		phca_port_stats_get(w->end[i].hca, 0, &st);
		printf("  end %u received %lu:", i, (unsigned long)st.rx_packets);
		for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
			if (st.verdict[v] > 0)
				printf(" %s %lu", phca_verdict_str(v), (unsigned long)st.verdict[v]);
		printf("\n");
	}
}

void world_close(struct world *w)
{
	for (unsigned int i = 0; i < 2; i++)
		end_close(&w->end[i]);
	for (unsigned int i = 0; i < 2; i++) /* the rings go with the second of them */
		CU_ASSERT_EQUAL(rte_vdev_uninit(w->end[i].impair), 0);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(w->pool), POOL);
	rte_mempool_free(w->pool);
	free(w->qsbr);
	free(w);
}
