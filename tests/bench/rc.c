/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two HCAs in one thread, joined by two rings (net_ring) or by net_impair, and
 * reliable connections between them: what both ends of a message cost one core.
 *
 *   bench-rc [OP=send] [LEN=64] [MTU=4096] [QPS=1] [DEPTH=64] [MS=1000] [LOSS=0] [TIMEOUT=14]
 *
 *   OP    send, write, read
 *   LEN   bytes of a message
 *   QPS   connections that exist; all of them are used in turn
 *   DEPTH requests outstanding of a connection; 1 gives latencies
 *   LOSS  packets dropped of a million, each way
 *   TIMEOUT  local ACK timeout, 4.096 us x 2^n; 14 as perftest has it
 *
 * prints one line of JSON: messages and bits of payload a second of CPU time that
 * the thread had, and the distribution of the time from post to completion (of
 * wall-clock time). rc.py runs the rows and compares them with dpdk-testpmd.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>

#include "lat.h"
#include "pair.h"
#include "phca_impair.h"

#define BUFFERS (64u << 20)  /* of each end; messages go round in them */
#define CONNECTIONS (1u << 16)
#define SRQ 32768u           /* receives of each end */

struct conn {
	struct phca_qp *qp;
	uint32_t posted, done;
	uint64_t *t0;        /* of each outstanding request */
};

enum op { SEND, WRITE, READ };
static const char *const op_names[] = { "send", "write", "read" };
static const enum phca_wr_opcode ops[] = { PHCA_WR_SEND, PHCA_WR_RDMA_WRITE, PHCA_WR_RDMA_READ };

static struct {
	uint32_t op, len, mtu, qps, depth, ms, loss, timeout;
} o = { SEND, 64, 4096, 1, 64, 1000, 0, 14 };
static struct conn *conns;      /* of ends[0] */
static struct phca_srq *srq[2]; /* of each end */

static void args(int argc, char **argv)
{
	const struct pair_arg a[] = {
		{ "OP=", &o.op, 0, READ, op_names }, { "LEN=", &o.len, 0, BUFFERS, NULL },
		{ "MTU=", &o.mtu, 256, 4096, NULL }, { "QPS=", &o.qps, 1, CONNECTIONS, NULL },
		{ "DEPTH=", &o.depth, 1, 4096, NULL }, { "MS=", &o.ms, 1, 3600000, NULL },
		{ "LOSS=", &o.loss, 0, 1000000, NULL }, { "TIMEOUT=", &o.timeout, 1, 31, NULL },
	};

	pair_args(argc, argv, a, RTE_DIM(a));
}

static void ports_impair(void)
{
	char name[32], conf[128], rule[64], err[PHCA_IMPAIR_ERR_MAX];

	for (unsigned int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "net_impair%u", i);
		snprintf(conf, sizeof(conf), "rx_ring=r%u,tx_ring=r%u,ring_size=%u,dir=rx,seed=%u", i, !i,
			CABLE, i + 1);
		snprintf(rule, sizeof(rule), "drop op roce p %g", o.loss / 1e6);
		ok(name, rte_vdev_init(name, conf));
		ok(name, rte_eth_dev_get_port_by_name(name, &ends[i].port));
		if (phca_impair_rules_set(ends[i].port, rule, err, sizeof(err)) < 0)
			die(err, EINVAL);
	}
}

static void open_all(void)
{
	struct phca_srq_init si = { .max_wr = SRQ, .max_sge = 1 };
	uint64_t *t0 = have("times", calloc((size_t)o.qps * o.depth, sizeof(*t0)));

	pair_open(&(struct pair_opts){
		.no_proxy = true, .buffer = BUFFERS, .max_qp = CONNECTIONS, .mtu = (uint16_t)o.mtu,
		.cqe = RTE_MAX(RTE_MIN(o.qps * o.depth, PHCA_CQE_MAX / 4), SRQ), .timeout = (uint8_t)o.timeout,
		.ports = o.loss > 0 ? ports_impair : NULL,
	});
	for (unsigned int i = 0; i < 2; i++) {
		si.pd = ends[i].pd;
		ok("srq", phca_srq_create(ends[i].client, &si, &srq[i]));
	}
	conns = have("connections", calloc(o.qps, sizeof(*conns)));
	for (uint32_t i = 0; i < o.qps; i++) {
		conns[i].t0 = t0 + (size_t)i * o.depth;
		conns[i].qp = pair_qp(&ends[0], o.depth, srq[0]);
		pair_connect(conns[i].qp, pair_qp(&ends[1], o.depth, srq[1]));
	}
}

static void post(uint32_t i)
{
	struct conn *c = &conns[i];
	struct phca_sge sge = { .length = o.len, .lkey = ends[0].key };
	struct phca_send_wr wr = {
		.wr_id = i, .sge = &sge, .num_sge = 1, .opcode = ops[o.op], .flags = PHCA_SEND_SIGNALED,
		.rkey = ends[1].key,
	};
	uint32_t room = BUFFERS / RTE_MAX(o.len, 64u), at;

	while (c->posted - c->done < o.depth) {
		/* as perftest has it: a large message is always the same buffer */
		at = c->posted % RTE_MIN(room, o.len >= 65536 ? 1u : 64u) * RTE_MAX(o.len, 64u);
		sge.addr = (uintptr_t)ends[0].buf + at;
		wr.remote_addr = (uintptr_t)ends[1].buf + at;
		if (phca_post_send(c->qp, &wr, 1) != 1)
			return;
		c->t0[c->posted % o.depth] = rte_rdtsc();
		c->posted++;
	}
}

/* Requests that ended; the connection has room again. @return how many */
static unsigned int reap(void)
{
	struct phca_wc wc[32];
	int n = phca_poll_cq(ends[0].cq, RTE_DIM(wc), wc);

	ok("poll", n);
	for (int i = 0; i < n; i++) {
		struct conn *c = &conns[wc[i].wr_id];

		if (wc[i].status != PHCA_WC_SUCCESS)
			die(phca_wc_status_str(wc[i].status), EIO);
		lat_add(rte_rdtsc() - c->t0[c->done++ % o.depth]);
		post((uint32_t)wc[i].wr_id);
	}
	return (unsigned int)n;
}

static void receives(void)
{
	struct phca_wc wc[64];
	int n = phca_poll_cq(ends[1].cq, RTE_DIM(wc), wc);

	ok("poll", n);
	pair_receives(&ends[1], srq[1], o.len, (unsigned int)n);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* @return messages ended */
static uint64_t run(uint64_t ns)
{
	uint64_t end = cpu_ns() + ns, n = 0;

	for (;;) {
		for (unsigned int k = 0; k < 256; k++) {
			uint64_t now = phca_loop_now_ns();

			phca_loop_turn(ends[0].loop, now);
			phca_loop_turn(ends[1].loop, now);
			n += reap();
			receives();
		}
		if (cpu_ns() >= end)
			return n;
	}
}

static void report(uint64_t n, uint64_t ns)
{
	struct phca_port_stats st;
	uint64_t resent = 0;

	for (uint32_t i = 0; i < o.qps; i++) {
		struct phca_qp_info info;

		phca_qp_info_get(conns[i].qp, &info);
		resent += info.stats.tx_resent;
	}
	phca_port_stats_get(ends[0].hca, 0, &st);
	printf("{\"op\": \"%s\", \"len\": %u, \"mtu\": %u, \"qps\": %u, \"depth\": %u, \"loss_ppm\": %u, "
		"\"messages\": %lu, \"mps\": %.0f, \"gbps\": %.3f, \"p50_ns\": %lu, \"p99_ns\": %lu, \"p999_ns\": %lu, "
		"\"tx_packets\": %lu, \"rx_packets\": %lu, \"resent\": %lu}\n",
		op_names[o.op], o.len, o.mtu, o.qps, o.depth, o.loss, (unsigned long)n, (double)n * 1e9 / (double)ns,
		(double)n * o.len * 8 / (double)ns, (unsigned long)lat_ns(0.5), (unsigned long)lat_ns(0.99),
		(unsigned long)lat_ns(0.999), (unsigned long)st.tx_packets, (unsigned long)st.rx_packets,
		(unsigned long)resent);
}

int main(int argc, char **argv)
{
	uint64_t t0, n;

	args(argc, argv);
	pair_eal("bench-rc", false);
	open_all();
	pair_receives(&ends[1], srq[1], o.len, SRQ);
	for (uint32_t i = 0; i < o.qps; i++)
		post(i);
	run(100000000);
	lat_clear();
	t0 = cpu_ns();
	n = run((uint64_t)o.ms * 1000000u);
	report(n, cpu_ns() - t0);
	return 0;
}
