/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two ends of pair.h.
 *
 * Invariant: everything is made before the lcores run; whatever cannot be made ends the program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_launch.h>

#include "pair.h"
#include "phca_drivers.h"

#define POOL 32767

struct rte_rcu_qsbr *qsbr;
struct phca_loop *proxy_loop;
struct end ends[2];
static struct rte_mempool *pool;
static struct pair_opts opts;

void die(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, rte_strerror(err < 0 ? -err : err));
	exit(1);
}

void ok(const char *what, int rc)
{
	if (rc < 0)
		die(what, rc);
}

void *have(const char *what, void *p)
{
	if (p == NULL)
		die(what, rte_errno);
	return p;
}

static bool arg_take(const struct pair_arg *a, const char *value)
{
	char *end;
	unsigned long v = strtoul(value, &end, 0);

	if (a->words == NULL) {
		*a->at = (uint32_t)v;
		return *end == '\0' && end != value && v >= a->least && v <= a->most;
	}
	for (*a->at = 0; *a->at <= a->most; ++*a->at)
		if (strcmp(value, a->words[*a->at]) == 0)
			return true;
	return false;
}

void pair_args(int argc, char **argv, const struct pair_arg *a, unsigned int n)
{
	for (int i = 1; i < argc; i++) {
		unsigned int k = 0;

		while (k < n && strncmp(argv[i], a[k].name, strlen(a[k].name)) != 0)
			k++;
		if (k == n || !arg_take(&a[k], argv[i] + strlen(a[k].name)))
			die(argv[i], EINVAL);
	}
}

void pair_eal(const char *name, bool proxy)
{
	char program[32];
	char *eal[] = {
		program, (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "512" }, (char[]){ "--no-pci" },
		(char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" }, (char[]){ "--lcores" },
		proxy ? (char[]){ "0@0,1@1" } : (char[]){ "0@1" }, (char[]){ "--log-level=4" }, NULL,
	};

	snprintf(program, sizeof(program), "%s", name);
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		die("EAL", rte_errno);
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

static void proxy_open(struct end *e)
{
	struct phca_proxy_conf pc = { .name = "bench", .mem = e->mem, .pool = pool, .ring_size = 4096 };

	proxy_loop = pc.loop = have("loop", phca_loop_create("proxy", qsbr, 2, PHCA_IDLE_POLL));
	e->proxy = have("proxy", phca_proxy_create(&pc));
	ok("loop", phca_loop_add(pc.loop, "proxy", phca_proxy_turn, e->proxy));
}

static void end_open(unsigned int i, bool proxy)
{
	struct end *e = &ends[i];
	struct phca_hca_conf hc = {
		.name = i ? "b" : "a", .max_qp = opts.max_qp, .seed = 1, .qsbr = qsbr, .pool = pool, .nb_shards = 1,
	};

	e->loop = have("loop", phca_loop_create("hca", qsbr, i, PHCA_IDLE_POLL));
	e->mem = have("mem", phca_mem_create(1024, qsbr));
	net_open(i);
	if (proxy) {
		proxy_open(e);
		hc.proxies[0] = e->proxy;
		hc.nb_proxies = 1;
	}
	hc.loops[0] = e->loop;
	hc.mem = e->mem;
	e->hca = have("hca", phca_hca_create(&hc));
	ok("port", phca_hca_port_add(e->hca, e->net));
	ok("loop", phca_loop_add(e->loop, "hca", phca_hca_turn, phca_hca_shard(e->hca, 0)));
	e->client = have("client", phca_client_open(e->hca, "bench", opts.max_qp));
	e->pd = phca_pd_alloc(e->mem);
	e->buf = have("buffer", aligned_alloc(4096, opts.buffer));
	memset(e->buf, (int)i + 1, opts.buffer);
	ok("region", phca_mr_reg(e->mem, e->pd, e->buf, opts.buffer, (uintptr_t)e->buf, PHCA_ACCESS_ALL, &e->key));
	ok("cq", phca_cq_create(e->client, opts.cqe, &e->cq));
}

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

void pair_open(const struct pair_opts *o)
{
	opts = (struct pair_opts){
		.buffer = o->buffer ? o->buffer : BUFFER, .cqe = o->cqe ? o->cqe : 2 * WINDOW,
		.max_qp = o->max_qp ? o->max_qp : 64, .mtu = o->mtu ? o->mtu : 4096,
		.timeout = o->timeout ? o->timeout : 18,
	};
	pool = have("pool", rte_pktmbuf_pool_create("bench", POOL, 256, 0, 4096 + 512, SOCKET_ID_ANY));
	qsbr = have("qsbr", aligned_alloc(64, RTE_ALIGN(rte_rcu_qsbr_get_memsize(4), (size_t)64)));
	rte_rcu_qsbr_init(qsbr, 4);
	if (o->ports != NULL)
		o->ports();
	else
		ports_rings();
	for (unsigned int i = 0; i < 2; i++)
		end_open(i, !o->no_proxy && i == o->proxy_side);
}

struct phca_qp *pair_qp(struct end *e, uint32_t depth, struct phca_srq *srq)
{
	struct phca_qp_init qi = {
		.type = PHCA_QPT_RC, .pd = e->pd, .max_send_wr = depth, .max_send_sge = 1, .srq = srq,
		.max_recv_wr = srq == NULL ? RECEIVES : 0, .max_recv_sge = 1, .send_cq = e->cq, .recv_cq = e->cq,
	};
	struct phca_qp *qp;

	ok("qp", phca_qp_create(e->client, &qi, &qp));
	return qp;
}

static struct end *end_of(const struct phca_qp *qp)
{
	return phca_qp_client(qp) == ends[0].client ? &ends[0] : &ends[1];
}

static void connect_to(struct end *e, struct phca_qp *qp, const struct end *peer, uint32_t dest_qpn)
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .path_mtu = opts.mtu,
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC,
		.dest_qpn = dest_qpn, .max_rd_atomic = 16, .max_dest_rd_atomic = 16,
		.timeout = opts.timeout, .retry_cnt = 7, .rnr_retry = 7, .min_rnr_timer = 1,
	};

	memcpy(a.av.dgid, peer->gid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_for(e->net, a.av.dgid);
	ok("to INIT", phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS));
	a.state = PHCA_QPS_RTR;
	ok("to RTR", phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN |
		PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER));
	a.state = PHCA_QPS_RTS;
	ok("to RTS", phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT |
		PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC));
}

void pair_connect(struct phca_qp *a, struct phca_qp *b)
{
	connect_to(end_of(a), a, end_of(b), phca_qp_num(b));
	connect_to(end_of(b), b, end_of(a), phca_qp_num(a));
}

void pair_receives(struct end *e, struct phca_srq *srq, uint32_t len, unsigned int n)
{
	struct phca_sge sge = { (uintptr_t)e->buf, RTE_MAX(len, 1u), e->key };
	struct phca_recv_wr wr[64];

	for (unsigned int i = 0; i < RTE_MIN(n, (unsigned int)RTE_DIM(wr)); i++)
		wr[i] = (struct phca_recv_wr){ i, &sge, 1 };
	while (n > 0) {
		unsigned int want = RTE_MIN(n, (unsigned int)RTE_DIM(wr));
		int k = srq != NULL ? phca_post_srq_recv(srq, wr, want) : phca_post_recv(e->qp, wr, want);

		ok("receives", k);
		if (k == 0)
			return;
		n -= (unsigned int)k;
	}
}

static struct phca_filter *object_load(const char *variable, struct phca_filter_spec *spec)
{
	char path[512], err[PHCA_FILTER_ERR_MAX] = "";
	const char *folder = getenv(variable);
	struct phca_filter *f;

	if (folder == NULL)
		die(variable, ENOENT);
	snprintf(path, sizeof(path), "%s/%s.bpf.o", folder, spec->name);
	spec->object = path;
	f = phca_filter_load(spec, err, sizeof(err));
	if (f == NULL)
		die(err, rte_errno);
	return f;
}

void pair_filter(struct phca_filter_slot *slot, const char *name, const struct phca_filter_param *p, unsigned int n)
{
	struct phca_filter_spec spec = { .name = name, .params = p, .nb_params = n };

	slot->cur = object_load("PHCA_FILTERS", &spec);
}

struct phca_offload *pair_offload(struct end *e, const struct phca_offload_ops *ops, const char *program,
		const struct phca_setting_arg *args, unsigned int n)
{
	static struct phca_filter_slot slot;
	struct phca_filter_spec spec = { .name = program, .kind = phca_offload_bpf.program };
	struct phca_offload_conf oc = { .name = "bench", .ops = ops, .args = args, .nb_args = n };
	struct phca_offload *o;
	char err[256] = "";

	if (program != NULL) {
		slot.cur = object_load("PHCA_OFFLOADS", &spec);
		oc.program = &slot;
	}
	o = phca_offload_create(e->proxy, &oc, err, sizeof(err));
	if (o == NULL)
		die(err, rte_errno);
	return o;
}

static int proxy_main(void *loop)
{
	return phca_loop_run(loop);
}

void pair_start(phca_turn_fn app)
{
	if (app != NULL)
		ok("loop", phca_loop_add(proxy_loop, "app", app, NULL));
	ok("lcore", rte_eal_remote_launch(proxy_main, proxy_loop, 1));
}

void pair_stop(void)
{
	phca_loop_stop(proxy_loop);
	rte_eal_mp_wait_lcore();
}

uint64_t pair_run(uint64_t ns, const uint64_t *done, phca_turn_fn app)
{
	uint64_t end = phca_loop_now_ns() + ns, from = __atomic_load_n(done, __ATOMIC_RELAXED), now;

	do {
		for (unsigned int k = 0; k < 256; k++) {
			now = phca_loop_now_ns();
			phca_loop_turn(ends[0].loop, now);
			phca_loop_turn(ends[1].loop, now);
			if (app != NULL)
				app(NULL, now);
		}
	} while (now < end);
	return __atomic_load_n(done, __ATOMIC_RELAXED) - from;
}
