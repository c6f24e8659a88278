/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an offload costs: two HCAs in one thread, joined by two rings, a reliable connection
 * between them, and a proxy on another core; one end of the connection is a plain QP, or a proxy
 * QP whose filter matches nothing, all, or one in N. The application that posts and polls at both
 * ends runs on the proxy's core, as those in the appliance do, or on the HCAs'.
 *
 *   bench-offload ring [MS=200]
 *   bench-offload [KIND=plain] [SIDE=send] [APP=proxy] [OP=send] [LEN=64] [DEPTH=128] [MS=1000]
 *                 [N=1000] [DELAY=20] [LEAST=DELAY]
 *
 *   ring   a bare rte_ring round trip between the same two cores, alone and in bursts of 32
 *   KIND   plain, none (its filter matches nothing), null, pass (given back to the HCA),
 *          delay (one in N waits for LEAST to DELAY microseconds), log (all through access_log)
 *   SIDE   send: the QP that posts; recv: its peer
 *   APP    proxy, hca: whose core the application runs on
 *   OP     send, write, read, atomic
 *   LEN    bytes of a message; DEPTH requests outstanding, 1 gives latencies
 *
 * prints one line of JSON: requests a second of wall-clock time and of CPU time that the HCA's
 * thread had, and the distribution of the time from post to completion. PHCA_FILTERS and
 * PHCA_OFFLOADS are the folders of the compiled filters and offloads. offload.py runs the rows and compares them.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "lat.h"
#include "pair.h"
#include "phca_drivers.h"

#define BURST 32

enum kind { PLAIN, NONE, NULL_, PASS, DELAY, LOG, KINDS };
static const char *const kinds[] = { "plain", "none", "null", "pass", "delay", "log" };
static const char *const sides[] = { "send", "recv" };
static const char *const apps[] = { "proxy", "hca" };
static const char *const op_names[] = { "send", "write", "read", "atomic" };
static const enum phca_wr_opcode ops[] = {
	PHCA_WR_SEND, PHCA_WR_RDMA_WRITE, PHCA_WR_RDMA_READ, PHCA_WR_ATOMIC_FETCH_AND_ADD,
};

static struct {
	uint32_t kind, side, app, op, len, depth, ms, n, delay, least;
} o = { .len = 64, .depth = 128, .ms = 1000, .n = 1000, .delay = 20, .least = UINT32_MAX };

static uint64_t *t0;         /* of each outstanding request */
static uint64_t posted, done; /* both the application's; others read done */
static bool warm;            /* latencies count */

static void args(int argc, char **argv)
{
	const struct pair_arg a[] = {
		{ "KIND=", &o.kind, 0, KINDS - 1, kinds }, { "SIDE=", &o.side, 0, 1, sides },
		{ "APP=", &o.app, 0, 1, apps }, { "OP=", &o.op, 0, RTE_DIM(ops) - 1, op_names },
		{ "LEN=", &o.len, 0, BUFFER, NULL }, { "DEPTH=", &o.depth, 1, WINDOW / 2, NULL },
		{ "MS=", &o.ms, 1, 3600000, NULL }, { "N=", &o.n, 1, UINT32_MAX, NULL },
		{ "DELAY=", &o.delay, 1, 1000000, NULL }, { "LEAST=", &o.least, 0, 1000000, NULL },
	};
	int skip = argc > 1 && strcmp(argv[1], "ring") == 0;

	pair_args(argc - skip, argv + skip, a, RTE_DIM(a));
	if (ops[o.op] == PHCA_WR_ATOMIC_FETCH_AND_ADD)
		o.len = 8;
	o.least = RTE_MIN(o.least, o.delay);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ------------------------------------------------------------ bare rings */

static struct rte_ring *there, *back;
static uint32_t stop;

static int echo(void *arg)
{
	void *obj[BURST];

	RTE_SET_USED(arg);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned int n = rte_ring_sc_dequeue_burst(there, obj, BURST, NULL);

		if (n > 0)
			rte_ring_sp_enqueue_bulk(back, obj, n, NULL);
	}
	return 0;
}

/* @return objects that went round; at most `outstanding` at a time, in bursts of n */
static uint64_t rounds(uint64_t ns, unsigned int n, unsigned int outstanding)
{
	uint64_t end = rte_rdtsc() + ns * rte_get_tsc_hz() / 1000000000u, sent = 0, came = 0, begun;
	void *obj[BURST] = { NULL };

	while (rte_rdtsc() < end) {
		begun = rte_rdtsc();
		if (sent - came + n <= outstanding)
			sent += rte_ring_sp_enqueue_bulk(there, obj, n, NULL);
		do
			came += rte_ring_sc_dequeue_burst(back, obj, BURST, NULL);
		while (outstanding == 1 && came < sent);
		if (outstanding == 1)
			lat_add(rte_rdtsc() - begun);
	}
	while (came < sent)
		came += rte_ring_sc_dequeue_burst(back, obj, BURST, NULL);
	return came;
}

static int bare_rings(void)
{
	uint64_t begun, n;
	double alone, p99, ns;

	there = have("ring", rte_ring_create("there", 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
	back = have("ring", rte_ring_create("back", 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
	ok("lcore", rte_eal_remote_launch(echo, NULL, 1));
	rounds(20000000, 1, 1);
	lat_clear();
	rounds(o.ms * 500000ull, 1, 1);
	alone = lat_ns(0.5);
	p99 = lat_ns(0.99);
	begun = rte_rdtsc();
	n = rounds(o.ms * 500000ull, BURST, 512);
	ns = (double)(rte_rdtsc() - begun) * 1e9 / (double)rte_get_tsc_hz() / (double)n;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	printf("{\"alone_p50_ns\": %.0f, \"alone_p99_ns\": %.0f, \"burst_ns\": %.2f}\n", alone, p99, ns);
	return 0;
}

/* -------------------------------------------------------------- two ends */

static int pass_submit(struct phca_offload *off, struct phca_offload_req *req, uint64_t now_ns)
{
	RTE_SET_USED(off);
	RTE_SET_USED(now_ns);
	return phca_offload_pass(req);
}

static const struct phca_offload_ops pass_ops = {
	.name = "pass", .help = "gives every request back", .submit = pass_submit,
	.ordered = 1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV,
};

/* The QP of the side that was asked for becomes a proxy QP. */
static void attach(struct end *e)
{
	static const char *const filters[] = { NULL, "none", "all", "all", "one_in_n", "all" };
	static struct {
		struct phca_filter_slot slot;
	} __rte_cache_aligned at; /* the HCA reads it for every request: not beside what the application counts */
	static const struct phca_offload_ops *const drivers[] = {
		NULL, &phca_offload_null, &phca_offload_null, &pass_ops, &phca_offload_delay, &phca_offload_bpf,
	};
	const struct phca_filter_param n = { .name = "n", .kind = PHCA_FV_UINT, .u = o.n };
	const struct phca_setting_arg delay[] = {
		{ "delay_min_us", PHCA_SETTING_UINT, o.least, NULL },
		{ "delay_max_us", PHCA_SETTING_UINT, o.delay, NULL },
	};
	struct phca_rule rule = { .name = "bench", .filter = &at.slot, .send = o.side == 0, .inbound = o.side == 1 };

	pair_filter(&at.slot, filters[o.kind], &n, o.kind == DELAY);
	rule.offload = pair_offload(e, drivers[o.kind], o.kind == LOG ? "access_log" : NULL, delay,
		o.kind == DELAY ? RTE_DIM(delay) : 0);
	ok("attach", phca_qp_proxy_attach(e->qp, &rule, 1, WINDOW));
}

/* --------------------------------------------------------------- traffic */

static void post(void)
{
	struct phca_sge sge = { (uintptr_t)ends[0].buf, o.len, ends[0].key };
	struct phca_send_wr wr = {
		.sge = &sge, .num_sge = 1, .opcode = ops[o.op], .flags = PHCA_SEND_SIGNALED, .rkey = ends[1].key,
		.remote_addr = (uintptr_t)ends[1].buf,
	};

	while (posted - done < o.depth && phca_post_send(ends[0].qp, &wr, 1) == 1)
		t0[posted++ % o.depth] = rte_rdtsc();
}

static unsigned int reap(void)
{
	struct phca_wc wc[BURST];
	int n = phca_poll_cq(ends[0].cq, RTE_DIM(wc), wc);
	uint64_t now = rte_rdtsc();

	ok("poll", n);
	for (int i = 0; i < n; i++) {
		if (wc[i].status != PHCA_WC_SUCCESS)
			die(phca_wc_status_str(wc[i].status), EIO);
		if (__atomic_load_n(&warm, __ATOMIC_RELAXED))
			lat_add(now - t0[(done + (unsigned int)i) % o.depth]);
	}
	if (n > 0) {
		__atomic_store_n(&done, done + (unsigned int)n, __ATOMIC_RELAXED);
		post();
	}
	return (unsigned int)n;
}

static unsigned int receives(void)
{
	struct phca_wc wc[64];
	int n = phca_poll_cq(ends[1].cq, RTE_DIM(wc), wc);

	ok("poll", n);
	for (int i = 0; i < n; i++)
		if (wc[i].status != PHCA_WC_SUCCESS)
			die(phca_wc_status_str(wc[i].status), EIO);
	if (n > 0)
		pair_receives(&ends[1], NULL, o.len, (unsigned int)n);
	return (unsigned int)n;
}

/* The application's turn. */
static unsigned int app_turn(void *arg, uint64_t now_ns)
{
	RTE_SET_USED(arg);
	RTE_SET_USED(now_ns);
	return reap() + receives();
}

static void report(uint64_t n, uint64_t ns, uint64_t cpu)
{
	struct phca_qp_info info = { 0 };
	uint64_t off;

	phca_qp_info_get(ends[o.side].qp, &info);
	off = o.side == 0 ? info.stats.tx_offloaded : info.stats.rx_offloaded;
	printf("{\"kind\": \"%s\", \"side\": \"%s\", \"app\": \"%s\", \"op\": \"%s\", \"len\": %u, "
		"\"depth\": %u, \"requests\": %lu, "
		"\"mps\": %.0f, \"cpu_mps\": %.0f, \"cpu\": %.3f, \"offloaded\": %.6f, \"p50_ns\": %.0f, "
		"\"p99_ns\": %.0f, \"p999_ns\": %.0f}\n", kinds[o.kind], sides[o.side], apps[o.app],
		op_names[o.op], o.len, o.depth,
		(unsigned long)n, (double)n * 1e9 / (double)ns, (double)n * 1e9 / (double)cpu,
		(double)cpu / (double)ns, (double)off / (double)RTE_MAX(done, 1u), lat_ns(0.5), lat_ns(0.99),
		lat_ns(0.999));
}

int main(int argc, char **argv)
{
	phca_turn_fn hca_app;
	uint64_t begun, cpu, n;

	args(argc, argv);
	pair_eal("bench-offload", true);
	if (argc > 1 && strcmp(argv[1], "ring") == 0)
		return bare_rings();
	hca_app = o.app == 1 ? app_turn : NULL;
	t0 = have("times", calloc(o.depth, sizeof(*t0)));
	pair_open(&(struct pair_opts){ .proxy_side = o.side });
	for (unsigned int i = 0; i < 2; i++)
		ends[i].qp = pair_qp(&ends[i], o.depth, NULL);
	pair_connect(ends[0].qp, ends[1].qp);
	if (o.kind != PLAIN)
		attach(&ends[o.side]);
	pair_receives(&ends[1], NULL, o.len, RECEIVES);
	post();
	pair_start(o.app == 0 ? app_turn : NULL);
	pair_run(100000000, &done, hca_app);
	__atomic_store_n(&warm, true, __ATOMIC_RELAXED);
	begun = phca_loop_now_ns();
	cpu = cpu_ns();
	n = pair_run(o.ms * 1000000ull, &done, hca_app);
	begun = phca_loop_now_ns() - begun;
	cpu = cpu_ns() - cpu;
	pair_stop();
	report(n, begun, cpu);
	return 0;
}
