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

#define POOL 4095
#define CABLE 1024

static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t own_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t peer_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
static const uint8_t own_gid6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static void pump(void *arg)
{
	lab_turn(arg, 1);
}

/* The port outlives the lab: ethdevs are made once and used again. */
static void cable(struct lab *l)
{
	static struct rte_ring *in, *out;
	static int port = -1;

	if (port < 0) {
		in = rte_ring_create("lab_in", CABLE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
		out = rte_ring_create("lab_out", CABLE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
		port = rte_eth_from_rings("lab", &in, 1, &out, 1, 0);
	}
	CU_ASSERT_FATAL(port >= 0);
	l->in = in;
	l->out = out;
	l->port = (uint16_t)port;
}

static void net_open(struct lab *l, const struct lab_opts *o)
{
	struct phca_net_addr addrs[2] = { { .prefix_len = 24 }, { .prefix_len = 64, .ip6 = true } };
	struct phca_net_neigh neigh = { .gid = { 0 } };
	struct phca_net_conf nc = {
		.port_id = l->port, .mtu = o->mtu ? o->mtu : LAB_MTU, .set_mac = true, .pool = l->pool,
		.addrs = addrs, .nb_addrs = 2, .neighs = &neigh, .nb_neighs = 1,
		.vlan = o->vlan, .vlan_id = 7,
	};
	char err[256] = "";

	memcpy(addrs[0].gid, own_gid, 16);
	memcpy(addrs[1].gid, own_gid6, 16);
	memcpy(neigh.gid, peer_gid, 16);
	memcpy(neigh.mac, peer_mac, 6);
	memcpy(nc.mac, own_mac, 6);
	l->net = phca_net_create(&nc, err, sizeof(err));
	if (l->net == NULL)
		printf("lab: %s\n", err);
	CU_ASSERT_FATAL(l->net != NULL);
	CU_ASSERT_FATAL(phca_net_start(l->net) == 0);
}

struct lab *lab_open(const struct lab_opts *opts)
{
	static const struct lab_opts none;
	const struct lab_opts *o = opts ? opts : &none;
	struct lab *l = calloc(1, sizeof(*l));
	struct phca_proxy_conf pc = { .name = "lab" };
	struct phca_hca_conf hc = { .name = "lab", .max_qp = 4096, .seed = 1 };

	CU_ASSERT_FATAL(l != NULL);
	l->now_ns = 1000000;
	l->pool = rte_pktmbuf_pool_create("lab", POOL, 0, 0, 5120, SOCKET_ID_ANY);
	CU_ASSERT_FATAL(l->pool != NULL);
	l->qsbr = aligned_alloc(64, RTE_ALIGN(rte_rcu_qsbr_get_memsize(4), (size_t)64));
	CU_ASSERT_FATAL(l->qsbr != NULL && rte_rcu_qsbr_init(l->qsbr, 4) == 0);
	l->mem = phca_mem_create(1024, l->qsbr);
	l->hca_loop = phca_loop_create("lab-hca", l->qsbr, 0, PHCA_IDLE_POLL);
	l->proxy_loop = phca_loop_create("lab-proxy", l->qsbr, 1, PHCA_IDLE_POLL);
	CU_ASSERT_FATAL(l->mem && l->hca_loop && l->proxy_loop);
	if (!o->no_proxy) {
		pc.loop = l->proxy_loop;
		pc.mem = l->mem;
		pc.ring_size = o->ring_size ? o->ring_size : 256;
		l->proxy = phca_proxy_create(&pc);
		CU_ASSERT_FATAL(l->proxy != NULL);
		phca_loop_add(l->proxy_loop, "proxy", phca_proxy_turn, l->proxy);
	}
	cable(l);
	net_open(l, o);
	hc.loops[0] = l->hca_loop;
	hc.nb_shards = 1;
	hc.proxies[0] = l->proxy;
	hc.nb_proxies = l->proxy != NULL;
	hc.mem = l->mem;
	hc.qsbr = l->qsbr;
	hc.pool = l->pool;
	hc.offload_max_packets = o->max_held;
	l->hca = phca_hca_create(&hc);
	CU_ASSERT_FATAL(l->hca != NULL);
	CU_ASSERT_FATAL(phca_hca_port_add(l->hca, l->net) == 0);
	phca_hca_pump_set(l->hca, pump, l);
	phca_loop_add(l->hca_loop, "hca", phca_hca_turn, phca_hca_shard(l->hca, 0));
	l->client = phca_client_open(l->hca, "lab", 4096);
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
	CU_ASSERT_EQUAL(st.rx_packets + rte_ring_count(l->in), l->injected);
	drain(l->in);
	drain(l->out);
	phca_hca_destroy(l->hca);
	phca_proxy_destroy(l->proxy);
	phca_net_destroy(l->net);
	phca_loop_destroy(l->hca_loop);
	phca_loop_destroy(l->proxy_loop);
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
	while (n-- > 0)
		phca_loop_turn(l->hca_loop, l->now_ns += 1000);
}

void lab_turn_proxy(struct lab *l, unsigned int n)
{
	while (n-- > 0)
		phca_loop_turn(l->proxy_loop, l->now_ns += 1000);
}

void lab_turn(struct lab *l, unsigned int n)
{
	while (n-- > 0) {
		phca_loop_turn(l->hca_loop, l->now_ns);
		phca_loop_turn(l->proxy_loop, l->now_ns);
		l->now_ns += 1000;
	}
}

static void to_rts(struct phca_qp *qp, enum phca_qp_type type)
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY,
		.access = PHCA_ACCESS_REMOTE_WRITE, .dest_qpn = LAB_PEER_QPN, .path_mtu = LAB_MTU,
	};
	bool ud = type == PHCA_QPT_UD;

	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | (ud ? PHCA_QP_QKEY : PHCA_QP_ACCESS)), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE |
		(ud ? 0 : PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN)), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN), 0);
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
	to_rts(q.qp, type);
	q.buf = calloc(LAB_DEPTH, LAB_BUF);
	CU_ASSERT_FATAL(q.buf != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(l->mem, l->pd, q.buf, LAB_DEPTH * LAB_BUF, (uintptr_t)q.buf,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &q.lkey) == 0);
	return q;
}

struct lab_qp lab_qp(struct lab *l, enum phca_qp_type type, uint32_t qpn)
{
	return lab_qp_cqe(l, type, qpn, 2 * LAB_DEPTH);
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

struct phca_filter_slot *lab_filter(struct lab *l, const char *name, const struct phca_filter_param *p, unsigned int n)
{
	struct phca_filter_slot *s = &l->slots[l->nb_slots];
	char path[512], err[PHCA_FILTER_ERR_MAX] = "";
	struct phca_filter_spec spec = { .name = name, .object = path, .params = p, .nb_params = n };

	snprintf(path, sizeof(path), "%s/%s.bpf.o", getenv("PHCA_FILTERS"), name);
	s->cur = phca_filter_load(&spec, err, sizeof(err));
	if (s->cur == NULL)
		printf("lab: %s\n", err);
	CU_ASSERT_FATAL(s->cur != NULL);
	l->nb_slots++;
	return s;
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
