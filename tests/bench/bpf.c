/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the proxy lcore spends on a request of the driver bpf: nanoseconds of phca_proxy_turn,
 * with the HCA's side of the rings played between the turns. 64 inbound RC SENDs a turn over 64
 * QPs; what they issue and give back is over in the turn after, which counts, too. Prints a table
 * of the median and of the quickest tenth, which other processes disturb least.
 *
 *   bench-bpf FOLDER-OF-OBJECTS [turns]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "kv.h"
#include "phca_drivers.h"
#include "phca_filter.h"
#include "phca_proxy.h"

#define QPS 64
#define WINDOW 1024
#define CQE 1024u
#define PER_TURN 64
#define BTH 42
#define PAYLOAD (BTH + 12)

struct bench_qp {
	struct phca_pqp *q;
	struct phca_cqw cq;
	struct phca_ring app;
	uint32_t seq;
};

static struct bench_qp qps[QPS];
static struct phca_proxy *p;
static struct phca_proxy_chan *chan;
static struct rte_mempool *pool;
static struct phca_mem *mem;
static struct kv_slot *table; /* one bucket */
static uint32_t pd, rkey;
static struct kv_request request;

static void die(const char *what)
{
	fprintf(stderr, "bench-bpf: %s\n", what);
	exit(1);
}

static void push(const struct phca_pmsg *m)
{
	if (rte_ring_sp_enqueue_elem(phca_proxy_chan_ring(chan), (void *)(uintptr_t)m, sizeof(*m)) != 0)
		die("the ring is full");
}

static void memory_make(void)
{
	struct rte_rcu_qsbr *qsbr = rte_zmalloc(NULL, rte_rcu_qsbr_get_memsize(1), 64);

	rte_rcu_qsbr_init(qsbr, 1);
	mem = phca_mem_create(16, qsbr);
	pd = phca_pd_alloc(mem);
	table = rte_zmalloc(NULL, KV_WAYS * sizeof(*table), 4096);
	if (table == NULL || phca_mr_reg(mem, pd, table, KV_WAYS * sizeof(*table), (uintptr_t)table,
			PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ, &rkey) != 0)
		die("no memory");
	request = (struct kv_request){ .magic = KV_MAGIC, .op = KV_GET, .key = 1, .table = (uintptr_t)table,
		.rkey = rkey, .buckets = 1 };
}

static void qps_make(struct phca_offload *o)
{
	size_t len = phca_ring_bytes(CQE, sizeof(struct phca_cqe));

	for (uint32_t i = 0; i < QPS; i++) {
		struct bench_qp *b = &qps[i];
		void *ring = rte_zmalloc(NULL, len, 64);
		struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };
		struct phca_pqp_conf conf = {
			.qpn = i, .cookie = b, .chan = chan, .window = { WINDOW, WINDOW }, .cq = { &b->cq, &b->cq },
			.nb_rules = 1, .offloads = { o }, .transport = PHCA_TRANSPORT_RC, .pd = pd,
		};

		if (ring == NULL || phca_ring_format(ring, PHCA_RING_CQ, CQE, sizeof(struct phca_cqe)) != 0)
			die("no memory");
		*b = (struct bench_qp){ 0 };
		phca_ring_attach(&b->cq.ring, ring, len, PHCA_RING_CQ);
		phca_ring_attach(&b->app, ring, len, PHCA_RING_CQ);
		b->cq.noop_room = CQE / 2;
		b->q = m.pqp = phca_pqp_create(p, &conf);
		if (b->q == NULL)
			die("no queue pair");
		push(&m);
	}
	phca_proxy_turn(p, 1);
}

/* The HCA's part of what the proxy said. */
static void replies(void)
{
	struct rte_ring *back = phca_proxy_chan_replies(chan);
	struct phca_preply r;

	while (rte_ring_sc_dequeue_elem(back, &r, sizeof(r)) == 0) {
		struct phca_pmsg m = { .dir = PHCA_DIR_RECV, .seq = r.seq };

		if (r.kind == PHCA_PREPLY_CHILD) {
			m.kind = PHCA_PMSG_CHILD;
			m.pqp = r.child->pqp;
			m.child.child[0] = r.child;
			m.child.nb = 1;
			m.child.status = PHCA_WC_SUCCESS;
			push(&m);
		} else if (r.kind == PHCA_PREPLY_PASS) {
			m.kind = PHCA_PMSG_COMPLETE;
			m.pqp = ((struct bench_qp *)r.cookie)->q;
			push(&m);
		}
	}
}

static void qps_free(void)
{
	for (uint32_t i = 0; i < QPS; i++)
		push(&(struct phca_pmsg){ .kind = PHCA_PMSG_DETACH, .pqp = qps[i].q });
	for (int i = 0; i < 10; i++) {
		phca_proxy_turn(p, UINT64_MAX / 2);
		replies();
	}
	for (uint32_t i = 0; i < QPS; i++) {
		phca_pqp_destroy(qps[i].q);
		rte_free(qps[i].app.hdr);
	}
}

static void produce(uint8_t flags)
{
	struct rte_mbuf *mb[PER_TURN];

	if (rte_pktmbuf_alloc_bulk(pool, mb, PER_TURN) != 0)
		die("no mbufs");
	for (unsigned int i = 0; i < PER_TURN; i++) {
		struct bench_qp *b = &qps[i % QPS];
		struct phca_pmsg m = { .kind = PHCA_PMSG_OFFLOAD, .dir = PHCA_DIR_RECV, .flags = flags, .pqp = b->q,
			.seq = b->seq++ };

		memset(rte_pktmbuf_mtod(mb[i], void *), 0, PAYLOAD);
		memcpy(rte_pktmbuf_mtod_offset(mb[i], void *, PAYLOAD), &request, sizeof(request));
		mb[i]->data_len = PAYLOAD + sizeof(request);
		mb[i]->pkt_len = mb[i]->data_len;
		m.in.m = mb[i];
		m.in.pkt = (struct phca_pkt){ .opcode = PHCA_RC_SEND_ONLY, .l3_off = 14, .bth_off = BTH,
			.payload_off = PAYLOAD, .payload_len = sizeof(request) };
		m.in.msg_len = sizeof(request);
		m.in.last_opcode = PHCA_RC_SEND_ONLY;
		push(&m);
	}
}

static int cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t turn(uint64_t now_ns)
{
	uint64_t t0 = rte_rdtsc();

	phca_proxy_turn(p, now_ns);
	return (uint32_t)(rte_rdtsc() - t0);
}

static void measure(const char *what, struct phca_offload *o, uint64_t turns)
{
	uint8_t flags = phca_offload_ordered(o) != 0 ? PHCA_PMSG_F_ORDERED : 0;
	double ns = 1e9 / (double)rte_get_tsc_hz() / PER_TURN;
	uint32_t *cycles = calloc(turns, sizeof(*cycles));
	uint64_t now_ns = 1000;
	struct phca_wc wc[64];

	qps_make(o);
	for (uint64_t n = 0; n < turns; n++) {
		produce(flags);
		cycles[n] = turn(now_ns += 1000);
		replies();
		cycles[n] += turn(now_ns += 1000);
		replies();
		for (int i = 0; n % 64 == 63 && i < QPS; i++)
			while (phca_cq_poll(&qps[i].app, wc, 64) > 0)
				;
	}
	qps_free();
	qsort(cycles, turns, sizeof(*cycles), cmp);
	printf("%-40s %8.1f %8.1f\n", what, cycles[turns / 2] * ns, cycles[turns / 10] * ns);
	free(cycles);
}

static void program(const char *what, const char *dir, const char *name, uint64_t turns)
{
	static struct phca_filter_slot slots[8];
	static unsigned int nb;
	struct phca_filter_slot *slot = &slots[nb++];
	char path[4096], err[PHCA_FILTER_ERR_MAX];
	const struct phca_filter_spec spec = { .name = what, .object = path, .kind = phca_offload_bpf.program };
	const struct phca_offload_conf conf = { .name = what, .ops = &phca_offload_bpf, .program = slot };
	struct phca_offload *o;

	snprintf(path, sizeof(path), "%s/%s.bpf.o", dir, name);
	slot->cur = phca_filter_load(&spec, err, sizeof(err));
	o = slot->cur != NULL ? phca_offload_create(p, &conf, err, sizeof(err)) : NULL;
	if (o == NULL)
		die(err);
	measure(what, o, turns);
}

static void value_set(uint32_t len)
{
	table[0].head = (struct kv_slot_head){ .version = 2, .len = len, .key = 1 };
}

int main(int argc, char **argv)
{
	char *eal[] = { argv[0], (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "256" },
		(char[]){ "--no-pci" }, (char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" },
		(char[]){ "--log-level" }, (char[]){ "error" }, (char[]){ "--lcores" }, (char[]){ "0" }, NULL };
	uint64_t turns = argc > 2 ? strtoull(argv[2], NULL, 0) : 20000;
	const struct phca_offload_conf conf = { .name = "null", .ops = &phca_offload_null };
	struct phca_proxy_conf pc = { .name = "bench", .ring_size = 4096 };
	struct phca_offload *null;
	char err[128] = "";

	if (argc < 2 || turns == 0)
		die("usage: bench-bpf FOLDER-OF-OBJECTS [turns]");
	if (rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0)
		die("no EAL");
	memory_make();
	pool = rte_pktmbuf_pool_create("bench", 8191, 256, 0, 2048, 0);
	pc.loop = phca_loop_create("bench", NULL, 0, PHCA_IDLE_POLL);
	pc.mem = mem;
	pc.pool = pool;
	p = phca_proxy_create(&pc);
	chan = p != NULL ? phca_proxy_chan_create(p, NULL) : NULL;
	null = chan != NULL ? phca_offload_create(p, &conf, err, sizeof(err)) : NULL;
	if (null == NULL || pool == NULL)
		die("cannot set up");
	printf("%-40s %8s %8s\n", "ns a request, 64 a turn, over 64 QPs", "median", "best 10%");
	measure("null, for comparison", null, turns);
	value_set(16);
	program("kv_get, 16 bytes", argv[1], "kv_get", turns);
	value_set(1000);
	program("kv_get, 1000 bytes", argv[1], "kv_get", turns);
	table[0].head.version = 3;
	program("kv_get, left to the application", argv[1], "kv_get", turns);
	program("access_log", argv[1], "access_log", turns);
	return 0;
}
