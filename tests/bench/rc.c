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
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "lat.h"
#include "phca_hca.h"
#include "phca_impair.h"

#define POOL 32767
#define CABLE 4096
#define BUFFERS (64u << 20)  /* of each end; messages go round in them */

struct opts {
	enum phca_wr_opcode op;
	uint32_t len, mtu, qps, depth, ms, loss, timeout;
};

struct conn {
	struct phca_qp *qp;
	uint32_t posted, done;
	uint64_t *t0;        /* of each outstanding request */
};

struct end {
	struct phca_loop *loop;
	struct phca_mem *mem;
	struct phca_net *net;
	struct phca_hca *hca;
	struct phca_client *client;
	struct phca_cq *cq;
	struct phca_srq *srq;
	struct conn *conn;
	uint16_t port;
	uint32_t pd, key;
	uint8_t *buf;
	uint8_t gid[16];
};

static struct opts o = { PHCA_WR_SEND, 64, 4096, 1, 64, 1000, 0, 14 };
static struct rte_mempool *pool;
static struct rte_rcu_qsbr *qsbr;
static struct end ends[2];

static void die(const char *what, int err)
{
	fprintf(stderr, "bench-rc: %s: %s\n", what, rte_strerror(err < 0 ? -err : err));
	exit(1);
}

static void ok(const char *what, int rc)
{
	if (rc < 0)
		die(what, rc);
}

static void *have(const char *what, void *p)
{
	if (p == NULL)
		die(what, rte_errno);
	return p;
}

static void args(int argc, char **argv)
{
	static const struct { const char *name; uint32_t *at; } n[] = {
		{ "LEN", &o.len }, { "MTU", &o.mtu }, { "QPS", &o.qps }, { "DEPTH", &o.depth }, { "MS", &o.ms },
		{ "LOSS", &o.loss }, { "TIMEOUT", &o.timeout },
	};

	for (int i = 1; i < argc; i++) {
		char *eq = strchr(argv[i], '=');
		bool known = false;

		if (eq != NULL && strncmp(argv[i], "OP=", 3) == 0) {
			o.op = strcmp(eq + 1, "write") == 0 ? PHCA_WR_RDMA_WRITE :
				strcmp(eq + 1, "read") == 0 ? PHCA_WR_RDMA_READ : PHCA_WR_SEND;
			continue;
		}
		for (unsigned int k = 0; eq != NULL && k < RTE_DIM(n); k++) {
			if (strncmp(argv[i], n[k].name, strlen(n[k].name)) != 0 || eq != argv[i] + strlen(n[k].name))
				continue;
			*n[k].at = (uint32_t)strtoul(eq + 1, NULL, 0);
			known = true;
		}
		if (!known)
			die(argv[i], EINVAL);
	}
	if (o.qps == 0 || o.depth == 0 || o.depth > 4096 || o.len > BUFFERS)
		die("QPS, DEPTH or LEN out of range", EINVAL);
}

/* -------------------------------------------------------------- ports */

static void ports_rings(void)
{
	struct rte_ring *r[2];

	for (unsigned int i = 0; i < 2; i++)
		r[i] = have("ring", rte_ring_create(i ? "ba" : "ab", CABLE, SOCKET_ID_ANY,
			RING_F_SP_ENQ | RING_F_SC_DEQ));
	for (unsigned int i = 0; i < 2; i++) {
		int p = rte_eth_from_rings(i ? "b" : "a", &r[i], 1, &r[!i], 1, SOCKET_ID_ANY);

		ok("port", p);
		ends[i].port = (uint16_t)p;
	}
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

static void net_open(unsigned int i)
{
	struct end *e = &ends[i];
	struct phca_net_addr addr = { .prefix_len = 24 };
	struct phca_net_neigh neigh = { .mac = { 2, 0, 0, 0, 0, (uint8_t)(2 - i) } };
	struct phca_net_conf nc = {
		.port_id = e->port, .mtu = 4096, .set_mac = true, .mac = { 2, 0, 0, 0, 0, (uint8_t)(1 + i) },
		.pool = pool, .addrs = &addr, .nb_addrs = 1, .neighs = &neigh, .nb_neighs = 1,
	};
	char err[256] = "";

	memcpy(e->gid, (uint8_t[16]){ [10] = 0xff, 0xff, 192, 0, 2, (uint8_t)(1 + i) }, 16);
	memcpy(addr.gid, e->gid, 16);
	memcpy(neigh.gid, e->gid, 16);
	neigh.gid[15] = (uint8_t)(2 - i);
	e->net = phca_net_create(&nc, err, sizeof(err));
	if (e->net == NULL)
		die(err, rte_errno);
	ok("port start", phca_net_start(e->net));
}

/* ------------------------------------------------------------ queue pairs */

static void end_open(unsigned int i)
{
	struct end *e = &ends[i];
	struct phca_hca_conf hc = {
		.name = i ? "b" : "a", .max_qp = 1u << 20, .seed = 1, .qsbr = qsbr, .pool = pool, .nb_shards = 1,
	};
	struct phca_srq_init si = { .max_wr = 32768, .max_sge = 1 };
	uint32_t cqe = RTE_MIN(o.qps * o.depth, PHCA_CQE_MAX / 4);
	uint64_t *t0;

	e->loop = have("loop", phca_loop_create("hca", qsbr, i, PHCA_IDLE_POLL));
	e->mem = have("mem", phca_mem_create(1024, qsbr));
	net_open(i);
	hc.loops[0] = e->loop;
	hc.mem = e->mem;
	e->hca = have("hca", phca_hca_create(&hc));
	ok("port", phca_hca_port_add(e->hca, e->net));
	ok("loop", phca_loop_add(e->loop, "hca", phca_hca_turn, phca_hca_shard(e->hca, 0)));
	e->client = have("client", phca_client_open(e->hca, "bench", 1u << 16));
	e->pd = phca_pd_alloc(e->mem);
	e->buf = have("buffers", aligned_alloc(4096, BUFFERS));
	memset(e->buf, (int)i + 1, BUFFERS);
	ok("region", phca_mr_reg(e->mem, e->pd, e->buf, BUFFERS, (uintptr_t)e->buf, PHCA_ACCESS_LOCAL_WRITE |
		PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ, &e->key));
	ok("cq", phca_cq_create(e->client, RTE_MAX(cqe, si.max_wr), &e->cq));
	si.pd = e->pd;
	ok("srq", phca_srq_create(e->client, &si, &e->srq));
	e->conn = have("connections", calloc(o.qps, sizeof(*e->conn)));
	t0 = have("times", calloc((size_t)o.qps * o.depth, sizeof(*t0)));
	for (uint32_t k = 0; k < o.qps; k++)
		e->conn[k].t0 = t0 + (size_t)k * o.depth;
}

static void qp_open(struct end *e, struct conn *c)
{
	struct phca_qp_init qi = {
		.type = PHCA_QPT_RC, .pd = e->pd, .send_cq = e->cq, .recv_cq = e->cq, .srq = e->srq,
		.max_send_wr = o.depth, .max_send_sge = 1,
	};

	ok("qp", phca_qp_create(e->client, &qi, &c->qp));
}

static void qp_connect(struct end *e, struct conn *c, const struct end *peer, const struct conn *pc)
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .path_mtu = (uint16_t)o.mtu,
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ, .dest_qpn = phca_qp_num(pc->qp),
		.max_rd_atomic = 16, .max_dest_rd_atomic = 16, .timeout = (uint8_t)o.timeout,
		.retry_cnt = 7, .rnr_retry = 7,
		.min_rnr_timer = 1,
	};

	memcpy(a.av.dgid, peer->gid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_for(e->net, a.av.dgid);
	ok("to INIT", phca_qp_modify(c->qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS));
	a.state = PHCA_QPS_RTR;
	ok("to RTR", phca_qp_modify(c->qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN |
		PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER));
	a.state = PHCA_QPS_RTS;
	ok("to RTS", phca_qp_modify(c->qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT |
		PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC));
}

/* --------------------------------------------------------------- traffic */

static void recv_fill(struct end *e, unsigned int n)
{
	struct phca_sge sge = { (uintptr_t)e->buf, RTE_MAX(o.len, 1u), e->key };
	struct phca_recv_wr wr[64];

	for (unsigned int i = 0; i < RTE_DIM(wr); i++)
		wr[i] = (struct phca_recv_wr){ i, &sge, 1 };
	while (n > 0) {
		int k = phca_post_srq_recv(e->srq, wr, RTE_MIN(n, (unsigned int)RTE_DIM(wr)));

		ok("post_srq_recv", k);
		if (k == 0)
			return;
		n -= (unsigned int)k;
	}
}

static void post(struct end *e, const struct end *peer, uint32_t i)
{
	struct conn *c = &e->conn[i];
	struct phca_sge sge = { .length = o.len, .lkey = e->key };
	struct phca_send_wr wr = {
		.wr_id = i, .sge = &sge, .num_sge = 1, .opcode = o.op, .flags = PHCA_SEND_SIGNALED, .rkey = peer->key,
	};
	uint32_t room = BUFFERS / RTE_MAX(o.len, 64u), at;

	while (c->posted - c->done < o.depth) {
		/* as perftest has it: a large message is always the same buffer */
		at = c->posted % RTE_MIN(room, o.len >= 65536 ? 1u : 64u) * RTE_MAX(o.len, 64u);
		sge.addr = (uintptr_t)e->buf + at;
		wr.remote_addr = (uintptr_t)peer->buf + at;
		if (phca_post_send(c->qp, &wr, 1) != 1)
			return;
		c->t0[c->posted % o.depth] = rte_rdtsc();
		c->posted++;
	}
}

/* Requests that ended; the connection has room again. @return how many */
static unsigned int reap(struct end *e, const struct end *peer)
{
	struct phca_wc wc[32];
	int n = phca_poll_cq(e->cq, RTE_DIM(wc), wc);

	ok("poll", n);
	for (int i = 0; i < n; i++) {
		struct conn *c = &e->conn[wc[i].wr_id];

		if (wc[i].status != PHCA_WC_SUCCESS)
			die(phca_wc_status_str(wc[i].status), EIO);
		lat_add(rte_rdtsc() - c->t0[c->done++ % o.depth]);
		post(e, peer, (uint32_t)wc[i].wr_id);
	}
	return (unsigned int)n;
}

static unsigned int receives(struct end *e)
{
	struct phca_wc wc[64];
	int n = phca_poll_cq(e->cq, RTE_DIM(wc), wc);

	ok("poll", n);
	if (n > 0)
		recv_fill(e, (unsigned int)n);
	return (unsigned int)n;
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
			n += reap(&ends[0], &ends[1]);
			receives(&ends[1]);
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

		phca_qp_info_get(ends[0].conn[i].qp, &info);
		resent += info.stats.tx_resent;
	}
	phca_port_stats_get(ends[0].hca, 0, &st);
	printf("{\"op\": \"%s\", \"len\": %u, \"mtu\": %u, \"qps\": %u, \"depth\": %u, \"loss_ppm\": %u, "
		"\"messages\": %lu, \"mps\": %.0f, \"gbps\": %.3f, \"p50_ns\": %lu, \"p99_ns\": %lu, \"p999_ns\": %lu, "
		"\"tx_packets\": %lu, \"rx_packets\": %lu, \"resent\": %lu}\n",
		o.op == PHCA_WR_SEND ? "send" : o.op == PHCA_WR_RDMA_WRITE ? "write" : "read",
		o.len, o.mtu, o.qps, o.depth, o.loss, (unsigned long)n, (double)n * 1e9 / (double)ns,
		(double)n * o.len * 8 / (double)ns, (unsigned long)lat_ns(0.5), (unsigned long)lat_ns(0.99),
		(unsigned long)lat_ns(0.999), (unsigned long)st.tx_packets, (unsigned long)st.rx_packets,
		(unsigned long)resent);
}

int main(int argc, char **argv)
{
	char *eal[] = {
		(char[]){ "bench-rc" }, (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "512" },
		(char[]){ "--no-pci" }, (char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" },
		(char[]){ "--lcores" }, (char[]){ "0@1" }, (char[]){ "--log-level=4" }, NULL,
	};
	uint64_t t0, n;

	args(argc, argv);
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		die("EAL", rte_errno);
	pool = have("pool", rte_pktmbuf_pool_create("bench", POOL, 256, 0, 4096 + 512, SOCKET_ID_ANY));
	qsbr = have("qsbr", aligned_alloc(64, RTE_ALIGN(rte_rcu_qsbr_get_memsize(4), (size_t)64)));
	rte_rcu_qsbr_init(qsbr, 4);
	if (o.loss > 0)
		ports_impair();
	else
		ports_rings();
	end_open(0);
	end_open(1);
	for (uint32_t i = 0; i < o.qps; i++) {
		qp_open(&ends[0], &ends[0].conn[i]);
		qp_open(&ends[1], &ends[1].conn[i]);
		qp_connect(&ends[0], &ends[0].conn[i], &ends[1], &ends[1].conn[i]);
		qp_connect(&ends[1], &ends[1].conn[i], &ends[0], &ends[0].conn[i]);
	}
	recv_fill(&ends[1], 32768);
	for (uint32_t i = 0; i < o.qps; i++)
		post(&ends[0], &ends[1], i);
	run(100000000);
	lat_clear();
	t0 = cpu_ns();
	n = run((uint64_t)o.ms * 1000000u);
	report(n, cpu_ns() - t0);
	return 0;
}
