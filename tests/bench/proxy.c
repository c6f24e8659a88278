/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the proxy lcore spends on a message: nanoseconds of phca_proxy_turn alone,
 * with the HCA's side of the rings played between the turns. 64 QPs, 64-byte
 * UD messages. Prints a table of the median turn and of the quickest tenth, which
 * other processes disturb least.
 */
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "phca_drivers.h"
#include "phca_proxy.h"

#define QPS 64
#define WINDOW 1024
#define CQE 1024u /* slots of each QP's CQ */
#define PER_TURN 64

struct bench_qp {
	struct phca_pqp *q;
	struct phca_cqw cq;
	struct phca_ring app;
	uint32_t seq;
};

static struct bench_qp qps[QPS];
static struct phca_proxy *p;
static struct phca_proxy_chan *chan;
static struct phca_offload *null, *delay;
static struct rte_mempool *pool;
static struct phca_preply replies[256];

static void qps_make(struct phca_offload *o)
{
	size_t len = phca_ring_bytes(CQE, sizeof(struct phca_cqe));

	for (uint32_t i = 0; i < QPS; i++) {
		struct bench_qp *b = &qps[i];
		void *mem = rte_zmalloc(NULL, len, 64);
		struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };
		struct phca_pqp_conf conf = {
			.qpn = i, .cookie = b, .chan = chan, .window = { WINDOW, WINDOW }, .cq = { &b->cq, &b->cq },
			.nb_rules = 1, .offloads = { o }, .transport = PHCA_TRANSPORT_UD,
		};

		if (mem == NULL || phca_ring_format(mem, PHCA_RING_CQ, CQE, sizeof(struct phca_cqe)) != 0)
			exit(1);
		*b = (struct bench_qp){ 0 };
		phca_ring_attach(&b->cq.ring, mem, len, PHCA_RING_CQ);
		phca_ring_attach(&b->app, mem, len, PHCA_RING_CQ);
		b->cq.noop_room = CQE / 2;
		b->q = m.pqp = phca_pqp_create(p, &conf);
		if (b->q == NULL)
			exit(1);
		rte_ring_sp_enqueue_elem(phca_proxy_chan_ring(chan), &m, sizeof(m));
	}
	phca_proxy_turn(p, 1);
}

static void replies_drop(void)
{
	struct rte_ring *back = phca_proxy_chan_replies(chan);

	while (rte_ring_sc_dequeue_burst_elem(back, replies, sizeof(replies[0]), RTE_DIM(replies), NULL))
		;
}

static void qps_free(void)
{
	for (uint32_t i = 0; i < QPS; i++) {
		struct phca_pmsg m = { .kind = PHCA_PMSG_DETACH, .pqp = qps[i].q };

		rte_ring_sp_enqueue_elem(phca_proxy_chan_ring(chan), &m, sizeof(m));
	}
	for (int i = 0; i < 10; i++) {
		phca_proxy_turn(p, UINT64_MAX / 2);
		replies_drop();
	}
	for (uint32_t i = 0; i < QPS; i++) {
		phca_pqp_destroy(qps[i].q);
		rte_free(qps[i].app.hdr);
	}
}

static void in_make(struct phca_pmsg *m, struct rte_mbuf *mb)
{
	mb->data_len = 140;
	mb->pkt_len = 140;
	m->kind = PHCA_PMSG_OFFLOAD;
	m->in.m = mb;
	m->in.pkt = (struct phca_pkt){
		.opcode = PHCA_UD_SEND_ONLY, .bth_off = 42, .payload_off = 62, .payload_len = 64,
	};
	m->in.msg_len = 64;
	m->in.last_opcode = PHCA_UD_SEND_ONLY;
}

/* One turn's worth of messages; of 4, `offloads` are offloaded, spread over the QPs. */
static void produce(uint64_t n, unsigned int offloads)
{
	struct phca_pmsg m[PER_TURN] = { 0 };
	struct rte_mbuf *mb[PER_TURN];

	if (rte_pktmbuf_alloc_bulk(pool, mb, PER_TURN) != 0)
		exit(1);
	for (unsigned int i = 0; i < PER_TURN; i++) {
		struct bench_qp *b = &qps[(n * PER_TURN + i) * 7 % QPS];

		m[i].pqp = b->q;
		m[i].dir = PHCA_DIR_RECV;
		m[i].seq = b->seq++;
		if (i % 4 < offloads) {
			in_make(&m[i], mb[i]);
		} else {
			m[i].kind = PHCA_PMSG_COMPLETE;
			m[i].wc = (struct phca_wc){ .wr_id = i };
			rte_pktmbuf_free(mb[i]);
		}
	}
	if (rte_ring_sp_enqueue_bulk_elem(phca_proxy_chan_ring(chan), m, sizeof(m[0]), PER_TURN, NULL) == 0)
		exit(1);
}

static int cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Print nanoseconds of a message. */
static void measure(const char *what, struct phca_offload *o, unsigned int offloads, uint64_t turns, uint64_t step_ns)
{
	struct phca_wc wc[64];
	uint32_t *cycles = calloc(turns, sizeof(*cycles));
	uint64_t t0, now_ns = 1000;
	double ns = 1e9 / (double)rte_get_tsc_hz() / PER_TURN;

	qps_make(o);
	for (uint64_t n = 0; n < turns; n++) {
		produce(n, offloads);
		t0 = rte_rdtsc();
		phca_proxy_turn(p, now_ns += step_ns);
		cycles[n] = (uint32_t)(rte_rdtsc() - t0);
		if (n % 64 == 63) {
			for (int i = 0; i < QPS; i++)
				while (phca_cq_poll(&qps[i].app, wc, 64) > 0)
					;
		}
		replies_drop();
	}
	qps_free();
	qsort(cycles, turns, sizeof(*cycles), cmp);
	if (what != NULL)
		printf("%-40s %8.1f %8.1f\n", what, cycles[turns / 2] * ns, cycles[turns / 10] * ns);
	free(cycles);
}

int main(int argc, char **argv)
{
	char *eal[] = { argv[0], (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "256" },
		(char[]){ "--no-pci" }, (char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" },
		(char[]){ "--log-level" }, (char[]){ "error" }, (char[]){ "--lcores" }, (char[]){ "0" }, NULL };
	uint64_t turns = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000;
	struct phca_offload_conf conf = { .name = "null", .ops = &phca_offload_null };
	struct phca_proxy_conf pc = { .name = "bench", .ring_size = 4096 };
	struct phca_setting_arg args[] = {
		{ "delay_min_us", PHCA_SETTING_UINT, 1, NULL }, { "delay_max_us", PHCA_SETTING_UINT, 50, NULL },
	};
	char err[128] = "";

	if (rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("bench", 32767, 256, 0, 512, 0);
	pc.loop = phca_loop_create("bench", NULL, 0, PHCA_IDLE_POLL);
	p = phca_proxy_create(&pc);
	chan = p != NULL ? phca_proxy_chan_create(p, NULL) : NULL;
	if (chan == NULL)
		return 1;
	null = phca_offload_create(p, &conf, err, sizeof(err));
	conf = (struct phca_offload_conf){
		.name = "delay", .ops = &phca_offload_delay, .args = args, .nb_args = RTE_DIM(args),
	};
	delay = phca_offload_create(p, &conf, err, sizeof(err));
	if (pool == NULL || null == NULL || delay == NULL) {
		fprintf(stderr, "cannot set up: %s\n", err);
		return 1;
	}
	printf("%-40s %8s %8s\n", "ns a message, 64 a turn, over 64 QPs", "median", "best 10%");
	measure(NULL, null, 2, turns / 4, 2000);
	measure("COMPLETE", null, 0, turns, 2000);
	measure("OFFLOAD to null, mbuf freed", null, 4, turns, 2000);
	measure("half and half", null, 2, turns, 2000);
	measure("OFFLOAD to delay, 1..50 us", delay, 4, turns, 2000);
	measure("half and half, delay", delay, 2, turns, 2000);
	phca_proxy_destroy(p);
	phca_loop_destroy(pc.loop);
	rte_mempool_free(pool);
	rte_eal_cleanup();
	return 0;
}
