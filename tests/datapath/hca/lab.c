/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The laboratory of lab.h: an HCA, a proxy and a port made of rings, turned by
 * hand. lab_close holds every test to what must be true at a teardown.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "lab.h"
#include "phca_drivers.h"

#define POOL 4095
#define CABLE 1024

static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t own_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t peer_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
const uint8_t lab_gid2[16] = { [10] = 0xff, 0xff, 192, 0, 2, 11 };
static const uint8_t own_gid6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static void pump(void *arg)
{
	lab_turn(arg, 1);
}

/* The port outlives the lab: ethdevs are made once and used again. */
static void cable(struct lab *l, unsigned int queues)
{
	static struct rte_ring *in[2], *out[2];
	static int port[2] = { -1, -1 };
	unsigned int two = queues > 1;

	if (in[0] == NULL) {
		in[0] = rte_ring_create("lab_in", CABLE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
		out[0] = rte_ring_create("lab_out", CABLE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
		in[1] = rte_ring_create("lab_in2", CABLE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
		out[1] = rte_ring_create("lab_out2", CABLE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	}
	if (port[two] < 0)
		port[two] = rte_eth_from_rings(two ? "lab2" : "lab", in, two + 1, out, two + 1, 0);
	CU_ASSERT_FATAL(port[two] >= 0);
	l->in = in[0];
	l->out = out[0];
	l->in2 = in[1];
	l->out2 = out[1];
	l->port = (uint16_t)port[two];
}

static void net_open(struct lab *l, const struct lab_opts *o)
{
	struct phca_net_addr addrs[3] = {
		{ .prefix_len = 24 }, { .prefix_len = 64, .ip6 = true }, { .prefix_len = 24 },
	};
	struct phca_net_neigh neigh = { .gid = { 0 } };
	struct phca_net_conf nc = {
		.port_id = l->port, .mtu = o->mtu ? o->mtu : LAB_MTU, .set_mac = true, .pool = l->pool,
		.addrs = addrs, .nb_addrs = o->two_ip4 ? 3 : 2, .neighs = &neigh, .nb_neighs = 1,
		.vlan = o->vlan, .vlan_id = 7, .nb_queues = (uint16_t)o->nb_queues,
	};
	char err[256] = "";

	memcpy(addrs[0].gid, own_gid, 16);
	memcpy(addrs[1].gid, own_gid6, 16);
	memcpy(addrs[2].gid, lab_gid2, 16);
	memcpy(neigh.gid, peer_gid, 16);
	memcpy(neigh.mac, peer_mac, 6);
	memcpy(nc.mac, own_mac, 6);
	l->net = phca_net_create(&nc, err, sizeof(err));
	if (l->net == NULL)
		printf("lab: %s\n", err);
	CU_ASSERT_FATAL(l->net != NULL);
	CU_ASSERT_FATAL(phca_net_start(l->net) == 0);
}

/* Loops of HCA and proxy, and the proxies. */
static void lcores(struct lab *l, const struct lab_opts *o)
{
	struct phca_proxy_conf pc = {
		.name = "lab", .mem = l->mem, .pool = l->pool, .ring_size = o->ring_size ? o->ring_size : 256,
	};

	l->nb_shards = o->nb_shards ? o->nb_shards : 1;
	l->nb_proxies = o->no_proxy ? 0 : o->nb_proxies ? o->nb_proxies : 1;
	CU_ASSERT_FATAL(l->mem && l->nb_shards <= LAB_LCORES && l->nb_proxies <= LAB_LCORES);
	for (unsigned int i = 0; i < l->nb_shards; i++) {
		l->hca_loops[i] = phca_loop_create("lab-hca", l->qsbr, i, o->sleeps ? PHCA_IDLE_SLEEP : PHCA_IDLE_POLL);
		CU_ASSERT_FATAL(l->hca_loops[i] != NULL);
	}
	for (unsigned int i = 0; i < RTE_MAX(l->nb_proxies, 1u); i++) {
		l->proxy_loops[i] = phca_loop_create("lab-proxy", l->qsbr, LAB_LCORES + i,
			o->sleeps ? PHCA_IDLE_SLEEP : PHCA_IDLE_POLL);
		CU_ASSERT_FATAL(l->proxy_loops[i] != NULL);
		if (l->nb_proxies == 0)
			continue;
		pc.loop = l->proxy_loops[i];
		l->proxies[i] = phca_proxy_create(&pc);
		CU_ASSERT_FATAL(l->proxies[i] != NULL);
		phca_loop_add(pc.loop, "proxy", phca_proxy_turn, l->proxies[i]);
	}
	l->hca_loop = l->hca_loops[0];
	l->proxy_loop = l->proxy_loops[0];
	l->proxy = l->proxies[0];
}

struct lab *lab_open(const struct lab_opts *opts)
{
	static const struct lab_opts none;
	const struct lab_opts *o = opts ? opts : &none;
	struct lab *l = calloc(1, sizeof(*l));
	struct phca_hca_conf hc = { .name = "lab", .max_qp = o->max_qp ? o->max_qp : 4096, .seed = 1 };

	CU_ASSERT_FATAL(l != NULL);
	l->now_ns = 1000000;
	l->pool = rte_pktmbuf_pool_create("lab", POOL, 0, 0, 5120, SOCKET_ID_ANY);
	CU_ASSERT_FATAL(l->pool != NULL);
	l->qsbr = aligned_alloc(64, RTE_ALIGN(rte_rcu_qsbr_get_memsize(2 * LAB_LCORES), (size_t)64));
	CU_ASSERT_FATAL(l->qsbr != NULL && rte_rcu_qsbr_init(l->qsbr, 2 * LAB_LCORES) == 0);
	l->mem = phca_mem_create(1024, l->qsbr);
	lcores(l, o);
	cable(l, o->nb_queues);
	net_open(l, o);
	memcpy(hc.loops, l->hca_loops, sizeof(l->hca_loops));
	hc.nb_shards = l->nb_shards;
	memcpy(hc.proxies, l->proxies, sizeof(l->proxies));
	hc.nb_proxies = l->nb_proxies;
	hc.mem = l->mem;
	hc.qsbr = l->qsbr;
	hc.pool = l->pool;
	hc.offload_max_packets = o->max_held;
	hc.congestion = o->congestion;
	l->hca = phca_hca_create(&hc);
	CU_ASSERT_FATAL(l->hca != NULL);
	CU_ASSERT_FATAL(phca_hca_port_add(l->hca, l->net) == 0);
	phca_hca_pump_set(l->hca, pump, l);
	for (unsigned int i = 0; i < l->nb_shards; i++)
		phca_loop_add(l->hca_loops[i], "hca", phca_hca_turn, phca_hca_shard(l->hca, i));
	l->client = phca_client_open(l->hca, "lab", hc.max_qp);
	l->pd = phca_pd_alloc(l->mem);
	CU_ASSERT_FATAL(l->client != NULL && l->pd != 0);
	return l;
}

/* What the appliance sent and nobody looked at. */
static void drain(struct rte_ring *r)
{
	void *m;

	while (rte_ring_dequeue(r, &m) == 0)
		rte_pktmbuf_free(m);
}

void lab_close(struct lab *l)
{
	struct phca_port_stats st;
	uint64_t sum;

	phca_client_close(l->client);
	CU_ASSERT_EQUAL(phca_port_stats_get(l->hca, 0, &st), 0);
	sum = st.rx_held;
	for (unsigned int v = 0; v < PHCA_V_COUNT; v++)
		sum += st.verdict[v];
	CU_ASSERT_EQUAL(st.rx_packets, sum);
	CU_ASSERT_EQUAL(st.rx_held, 0);
	CU_ASSERT_EQUAL(st.verdict[PHCA_V_OK], 0);
	CU_ASSERT_EQUAL(st.rx_packets - st.looped - st.mcast_copies + rte_ring_count(l->in) +
		rte_ring_count(l->in2), l->injected);
	drain(l->in);
	drain(l->out);
	drain(l->in2);
	drain(l->out2);
	phca_hca_destroy(l->hca);
	for (unsigned int i = 0; i < LAB_LCORES; i++)
		phca_proxy_destroy(l->proxies[i]);
	phca_net_destroy(l->net);
	for (unsigned int i = 0; i < LAB_LCORES; i++) {
		phca_loop_destroy(l->hca_loops[i]);
		phca_loop_destroy(l->proxy_loops[i]);
	}
	CU_ASSERT_EQUAL(phca_mem_nb_mr(l->mem), 0);
	phca_mem_destroy(l->mem);
	for (unsigned int i = 0; i < l->nb_slots; i++)
		phca_filter_free(l->slots[i].cur);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(l->pool), POOL);
	rte_mempool_free(l->pool);
	free(l->qsbr);
	free(l);
}

void lab_turn_hca(struct lab *l, unsigned int n)
{
	while (n-- > 0) {
		l->now_ns += 1000;
		for (unsigned int i = 0; i < l->nb_shards; i++)
			phca_loop_turn(l->hca_loops[i], l->now_ns);
	}
}

void lab_turn_proxy(struct lab *l, unsigned int n)
{
	while (n-- > 0) {
		l->now_ns += 1000;
		for (unsigned int i = 0; i < RTE_MAX(l->nb_proxies, 1u); i++)
			phca_loop_turn(l->proxy_loops[i], l->now_ns);
	}
}

void lab_turn(struct lab *l, unsigned int n)
{
	while (n-- > 0) {
		for (unsigned int i = 0; i < l->nb_shards; i++)
			phca_loop_turn(l->hca_loops[i], l->now_ns);
		for (unsigned int i = 0; i < RTE_MAX(l->nb_proxies, 1u); i++)
			phca_loop_turn(l->proxy_loops[i], l->now_ns);
		l->now_ns += 1000;
	}
}

#define RC_RTR (PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER)
#define RC_RTS (PHCA_QP_TIMEOUT | PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC)

/* Connected to the other one; NULL: to the peer at the end of the cable. */
static void bring_up(const struct lab *l, struct phca_qp *qp, enum phca_qp_type type,
		enum phca_qp_state to, uint32_t rq_psn, const struct lab_qp *other)
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY,
		.access = PHCA_ACCESS_REMOTE_WRITE, .dest_qpn = other != NULL ? other->qpn : LAB_PEER_QPN,
		.path_mtu = LAB_MTU, .timeout = LAB_TIMEOUT, .retry_cnt = 7, .rnr_retry = 7,
		.min_rnr_timer = LAB_RNR_TIMER, .max_rd_atomic = LAB_RD_ATOMIC,
		.max_dest_rd_atomic = LAB_RD_ATOMIC, .rq_psn = phca_psn(rq_psn),
	};
	bool ud = type == PHCA_QPT_UD, rc = type == PHCA_QPT_RC;

	memcpy(a.av.dgid, other != NULL ? own_gid : peer_gid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_find(l->net, own_gid);
	if (rc)
		a.access |= PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | (ud ? PHCA_QP_QKEY : PHCA_QP_ACCESS)), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE |
		(ud ? 0 : PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN) | (rc ? RC_RTR : 0)), 0);
	if (to == PHCA_QPS_RTR)
		return;
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | (rc ? RC_RTS : 0)), 0);
}

void lab_qp_up(const struct lab *l, struct phca_qp *qp, enum phca_qp_type type, enum phca_qp_state to,
		uint32_t rq_psn)
{
	bring_up(l, qp, type, to, rq_psn, NULL);
}

struct lab_qp lab_qp_cqe(struct lab *l, enum phca_qp_type type, uint32_t qpn, uint32_t cqe)
{
	struct lab_qp q = { .qp = NULL };
	struct phca_qp_init i = {
		.type = type, .qpn = qpn, .pd = l->pd, .max_send_wr = LAB_DEPTH, .max_recv_wr = LAB_DEPTH,
		.max_send_sge = 4, .max_recv_sge = 4, .max_inline = 64,
	};

	CU_ASSERT_FATAL(phca_cq_create(l->client, cqe, &q.cq) == 0);
	i.send_cq = i.recv_cq = q.cq;
	CU_ASSERT_FATAL(phca_qp_create(l->client, &i, &q.qp) == 0);
	q.qpn = phca_qp_num(q.qp);
	bring_up(l, q.qp, type, PHCA_QPS_RTS, 0, NULL);
	q.buf = calloc(LAB_DEPTH, LAB_BUF);
	CU_ASSERT_FATAL(q.buf != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(l->mem, l->pd, q.buf, LAB_DEPTH * LAB_BUF, (uintptr_t)q.buf,
		PHCA_ACCESS_ALL, &q.lkey) == 0);
	return q;
}

struct lab_qp lab_qp(struct lab *l, enum phca_qp_type type, uint32_t qpn)
{
	return lab_qp_cqe(l, type, qpn, 2 * LAB_DEPTH);
}

static void restart(struct lab *l, struct lab_qp *q, enum phca_qp_state to, uint32_t rq_psn, const struct lab_qp *other)
{
	const struct phca_qp_attr a = { .state = PHCA_QPS_RESET };

	CU_ASSERT_EQUAL(phca_qp_modify(q->qp, &a, PHCA_QP_STATE), 0);
	bring_up(l, q->qp, lab_info(q).type, to, rq_psn, other);
}

void lab_qp_restart(struct lab *l, struct lab_qp *q, enum phca_qp_state to, uint32_t rq_psn)
{
	restart(l, q, to, rq_psn, NULL);
}

void lab_connect(struct lab *l, struct lab_qp *a, struct lab_qp *b)
{
	restart(l, a, PHCA_QPS_RTS, 0, b);
	restart(l, b, PHCA_QPS_RTS, 0, a);
}

void lab_qp_free(struct lab *l, struct lab_qp *q)
{
	CU_ASSERT_EQUAL(phca_qp_destroy(q->qp), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(q->cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(l->mem, q->lkey), 0);
	free(q->buf);
}

uint8_t *lab_buf(const struct lab_qp *q, uint64_t id)
{
	return q->buf + id % LAB_DEPTH * LAB_BUF;
}

void lab_post(struct lab_qp *q, unsigned int n)
{
	while (n-- > 0) {
		struct phca_sge sge = { (uintptr_t)lab_buf(q, q->next_id), LAB_BUF, q->lkey };
		struct phca_recv_wr wr = { q->next_id, &sge, 1 };

		CU_ASSERT_EQUAL(phca_post_recv(q->qp, &wr, 1), 1);
		q->next_id++;
	}
}

bool lab_poll(struct lab_qp *q, struct phca_wc *wc)
{
	return phca_poll_cq(q->cq, 1, wc) == 1;
}

static struct phca_filter_slot *load(struct lab *l, const char *folder, struct phca_filter_spec *spec)
{
	struct phca_filter_slot *s = &l->slots[l->nb_slots];
	char path[512], err[PHCA_FILTER_ERR_MAX] = "";

	snprintf(path, sizeof(path), "%s/%s.bpf.o", getenv(folder), spec->name);
	spec->object = path;
	s->cur = phca_filter_load(spec, err, sizeof(err));
	if (s->cur == NULL)
		printf("lab: %s\n", err);
	CU_ASSERT_FATAL(s->cur != NULL);
	l->nb_slots++;
	return s;
}

struct phca_filter_slot *lab_filter(struct lab *l, const char *name, const struct phca_filter_param *p, unsigned int n)
{
	struct phca_filter_spec spec = { .name = name, .params = p, .nb_params = n };

	return load(l, "PHCA_FILTERS", &spec);
}

struct phca_filter_slot *lab_program(struct lab *l, const char *name)
{
	struct phca_filter_spec spec = { .name = name, .kind = phca_offload_bpf.program };

	return load(l, "PHCA_OFFLOADS", &spec);
}

struct phca_offload *lab_offload(struct lab *l, const char *name, const struct phca_offload_ops *ops,
		const struct phca_setting_arg *args, unsigned int n, uint64_t limit_ns)
{
	struct phca_offload_conf c = {
		.name = name, .ops = ops, .args = args, .nb_args = n, .time_limit_ns = limit_ns,
	};
	char err[256] = "";
	struct phca_offload *o = phca_offload_create(l->proxy, &c, err, sizeof(err));

	if (o == NULL)
		printf("lab: %s\n", err);
	CU_ASSERT_FATAL(o != NULL);
	return o;
}

struct phca_wire_hdr lab_hdr(const struct lab *l, enum phca_opcode op, uint32_t qpn, uint32_t psn)
{
	struct phca_wire_hdr h = {
		.opcode = (uint8_t)op, .dqpn = qpn, .psn = phca_psn(psn), .pkey = PHCA_PKEY_DEFAULT,
		.hop_limit = 64, .udp_sport = 0xc123, .qkey = LAB_QKEY, .sqpn = LAB_PEER_QPN,
	};

	memcpy(h.dmac, phca_net_mac(l->net), 6);
	memcpy(h.smac, peer_mac, 6);
	memcpy(h.dgid, own_gid, 16);
	memcpy(h.sgid, peer_gid, 16);
	h.vlan = phca_net_vlan(l->net, &h.vlan_tci);
	return h;
}

void lab_raw(struct lab *l, const void *frame, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);

	CU_ASSERT_FATAL(m != NULL);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	CU_ASSERT_FATAL(rte_ring_enqueue(l->in, m) == 0);
	l->injected++;
}

void lab_send(struct lab *l, const struct phca_wire_hdr *h, uint32_t n, uint8_t seed)
{
	uint8_t frame[PHCA_WIRE_HDR_MAX + PHCA_MTU_MAX + 64];
	uint32_t off = phca_wire_build(frame, h, n);

	for (uint32_t i = 0; i < n; i++)
		frame[off + i] = (uint8_t)(seed + i);
	lab_raw(l, frame, phca_wire_finish(frame, h, n));
}

struct rte_mbuf *lab_capture(struct lab *l)
{
	struct phca_pkt pkt;
	void *m;

	while (rte_ring_dequeue(l->out, &m) == 0) {
		if (phca_wire_parse(rte_pktmbuf_mtod((struct rte_mbuf *)m, void *),
				((struct rte_mbuf *)m)->data_len, PHCA_PARSE_ICRC, &pkt) != PHCA_V_NOT_ROCE)
			return m;
		rte_pktmbuf_free(m); /* the port's own: ARP, NDP */
	}
	return NULL;
}

bool lab_is(const uint8_t *p, uint32_t n, uint8_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i] != (uint8_t)(seed + i))
			return false;
	return true;
}

uint64_t lab_verdict(const struct lab *l, enum phca_verdict v)
{
	struct phca_port_stats st;

	phca_port_stats_get(l->hca, 0, &st);
	return st.verdict[v];
}

struct phca_qp_info lab_info(const struct lab_qp *q)
{
	struct phca_qp_info i;

	phca_qp_info_get(q->qp, &i);
	return i;
}
