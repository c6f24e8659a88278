/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a packet costs each lcore: bursts of UC SENDs through the laboratory of
 * tests/datapath/hca, the turns of the HCA, the proxy and the sink timed apart,
 * all on one thread. The lowest of many rounds counts, so the figures hold on a
 * busy machine; what they leave out is the way of cache lines between cores.
 *
 *   bench-turns            nanoseconds a packet, one row a kind of QP
 */
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>

#include "../datapath/hca/lab.h"
#include "phca_drivers.h"

#define BATCH 64
#define ROUNDS 20000
#define QPS 16

struct cost {
	uint64_t hca, proxy, sink;
};

static struct rte_mbuf *packet(struct lab *l, unsigned int i, uint32_t len)
{
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UC_SEND_ONLY, 0x40 + i % QPS, i);
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);
	uint8_t frame[PHCA_MTU_MAX + 256];
	uint32_t n = phca_wire_build(frame, &h, len);

	memset(frame + n, (int)i, len);
	n = phca_wire_finish(frame, &h, len);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	return m;
}

static struct cost measure(struct lab *l, struct phca_app *sink, uint32_t len)
{
	struct cost best = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

	for (unsigned int r = 0; r < ROUNDS; r++) {
		uint64_t t0, t1, t2, t3;

		for (unsigned int i = 0; i < BATCH; i++) {
			rte_ring_enqueue(l->in, packet(l, i, len));
			l->injected++;
		}
		t0 = rte_rdtsc_precise();
		phca_hca_turn(phca_hca_shard(l->hca, 0), l->now_ns++);
		t1 = rte_rdtsc_precise();
		phca_proxy_turn(l->proxy, l->now_ns++);
		t2 = rte_rdtsc_precise();
		phca_app_turn(sink, l->now_ns++);
		t3 = rte_rdtsc_precise();
		best.hca = RTE_MIN(best.hca, t1 - t0);
		best.proxy = RTE_MIN(best.proxy, t2 - t1);
		best.sink = RTE_MIN(best.sink, t3 - t2);
		phca_app_turn(sink, l->now_ns++); /* nothing left: refills */
	}
	return best;
}

static void row(const char *name, const char *filter, unsigned int n, uint32_t len)
{
	struct lab *l = lab_open(&(struct lab_opts){ .ring_size = 1024, .mtu = 4096 });
	struct phca_filter_param p = { .name = "n", .kind = PHCA_FV_UINT, .u = n };
	struct phca_qp_init init = {
		.type = PHCA_QPT_UC, .pd = l->pd, .max_recv_wr = 256, .max_recv_sge = 1,
	};
	struct phca_qp_attr a = { .pkey = 0xffff, .path_mtu = 4096 };
	struct phca_setting_arg shared = { .name = "shared_buffer", .kind = PHCA_SETTING_BOOL, .u = 1 };
	struct phca_app_conf ac = {
		.name = "sink", .ops = phca_app_driver_find("sink"), .client = l->client, .pd = l->pd,
		.mem = l->mem, .nb_qps = QPS, .args = &shared, .nb_args = getenv("COLD") ? 0 : 1,
	};
	struct phca_rule rule = { .name = "r", .inbound = true };
	struct phca_qp *qps[QPS];
	struct phca_cq *cqs[QPS], *cq;
	uint32_t depths[QPS];
	struct phca_app *sink;
	struct cost c;
	double ns = 1e9 / (double)rte_get_tsc_hz() / BATCH;
	char err[256];

	if (filter != NULL) {
		rule.filter = lab_filter(l, filter, &p, n ? 1 : 0);
		rule.offload = lab_offload(l, "null", phca_offload_driver_find("null"), NULL, 0, 0);
	}
	CU_ASSERT_FATAL(phca_cq_create(l->client, QPS * 256, &cq) == 0);
	for (unsigned int i = 0; i < QPS; i++) {
		init.qpn = 0x40 + i;
		init.send_cq = init.recv_cq = cqs[i] = cq;
		depths[i] = 256;
		CU_ASSERT_FATAL(phca_qp_create(l->client, &init, &qps[i]) == 0);
		a.state = PHCA_QPS_INIT;
		phca_qp_modify(qps[i], &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS);
		a.state = PHCA_QPS_RTR;
		phca_qp_modify(qps[i], &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN);
		if (filter != NULL)
			CU_ASSERT_FATAL(phca_qp_proxy_attach(qps[i], &rule, 1, 0) == 0);
	}
	ac.qps = qps, ac.cqs = cqs, ac.depths = depths;
	CU_ASSERT_FATAL((sink = phca_app_create(&ac, err, sizeof(err))) != NULL);
	c = measure(l, sink, len);
	printf("%6u  %-6s %8.1f %8.1f %8.1f\n", len, name, (double)c.hca * ns, (double)c.proxy * ns,
		(double)c.sink * ns);
	phca_app_destroy(sink);
	for (unsigned int i = 0; i < QPS; i++)
		phca_qp_destroy(qps[i]);
	phca_cq_destroy(cq);
	if (rule.offload != NULL)
		phca_offload_destroy(rule.offload);
	lab_close(l);
}

static void rows(void)
{
	static const uint32_t lens[] = { 64, 1024, 4096 };

	printf("%6s  %-6s %8s %8s %8s   ns a packet\n", "bytes", "QPs", "hca", "proxy", "sink");
	for (unsigned int i = 0; i < RTE_DIM(lens); i++) {
		row("plain", NULL, 0, lens[i]);
		row("none", "none", 0, lens[i]);
		row("size", "by_size", 0, lens[i]);
		row("half", "one_in_n", 2, lens[i]);
		row("all", "all", 0, lens[i]);
	}
}

int main(void)
{
	char *eal[] = {
		(char[]){ "bench" }, (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "256" },
		(char[]){ "--no-pci" }, (char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" },
		(char[]){ "--lcores" }, (char[]){ "0@0" }, (char[]){ "--log-level=4" }, NULL,
	};
	CU_pSuite suite;

	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0 || CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite("turns", NULL, NULL);
	CU_add_test(suite, "rows", rows);
	CU_run_suite(suite);
	return CU_get_number_of_failures() != 0;
}
