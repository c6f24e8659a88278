/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions about device and port: HELLO, port and GID table, clock, resolution
 * of destinations. They change nothing but the connection's own state.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "host_impl.h"

/* EUI-64 of the port's MAC address (RFC 4291, appendix A). */
static void guid_make(const uint8_t mac[6], uint8_t guid[8])
{
	memcpy(guid, mac, 3);
	guid[0] ^= 2;
	guid[3] = 0xff;
	guid[4] = 0xfe;
	memcpy(guid + 5, mac + 3, 3);
}

static void device_fill(const struct phca_host *h, unsigned int port, struct phca_admin_device *d)
{
	const struct phca_host_limits *l = &h->conf.limits;

	*d = (struct phca_admin_device){
		.max_mr_size = l->mem_bytes, .vendor_id = PHCA_HOST_VENDOR_ID,
		.vendor_part_id = PHCA_HOST_VENDOR_PART_ID, .hw_ver = PHCA_QUEUE_ABI,
		.nb_ports = phca_hca_nb_ports(h->conf.hca),
		.max_qp = RTE_MIN(l->objects[PHCA_HOST_QP], h->conf.max_qp),
		.max_qp_wr = PHCA_QP_DEPTH_MAX, .max_sge = PHCA_SGE_MAX, .max_inline = PHCA_INLINE_MAX,
		.max_cq = l->objects[PHCA_HOST_CQ], .max_cqe = PHCA_CQE_MAX,
		.max_mr = RTE_MIN(l->objects[PHCA_HOST_MR], h->conf.max_mr),
		.max_mw = RTE_MIN(l->objects[PHCA_HOST_MW], h->conf.max_mr),
		.max_pd = l->objects[PHCA_HOST_PD], .max_rd_atomic = PHCA_RD_ATOMIC_MAX,
		.max_srq = l->objects[PHCA_HOST_SRQ], .max_srq_wr = PHCA_QP_DEPTH_MAX,
		.max_srq_sge = PHCA_SGE_MAX, .max_mcast_grp = PHCA_MCAST_GROUP_MAX,
		.max_mcast_qp_attach = RTE_MIN(l->objects[PHCA_HOST_QP], h->conf.max_qp),
		.max_channel = l->objects[PHCA_HOST_CHANNEL],
	};
	phca_host_device(h, port, d->name);
	snprintf(d->fw_ver, sizeof(d->fw_ver), "%s", h->version);
	guid_make(phca_net_mac(phca_hca_port(h->conf.hca, port)), d->node_guid);
}

static void rings_fill(struct client *c, struct msg *m)
{
	struct phca_admin_hello_ans *a = &m->out.ans.u.hello;

	a->arena_bytes = c->arena.bytes;
	a->nb_shards = phca_hca_nb_shards(c->host->conf.hca);
	a->sleeps = c->host->conf.sleeps;
	m->out_fds[m->nb_out_fds++] = c->arena.fd;
	m->out_fds[m->nb_out_fds++] = c->events.theirs;
	for (unsigned int i = 0; i < a->nb_shards; i++) {
		struct phca_ring_mem ring;

		phca_client_db(c->hca, i, &ring);
		arena_ring(&c->arena, &ring, &a->db[i]);
		m->out_fds[m->nb_out_fds++] = c->wake_fds[i];
	}
}

int op_hello(struct client *c, struct msg *m)
{
	const struct phca_admin_hello *q = &m->in.req.u.hello;
	struct phca_admin_hello_ans *a = &m->out.ans.u.hello;
	bool probe = q->flags & PHCA_ADMIN_HELLO_PROBE;
	int ret;

	a->version = PHCA_ADMIN_VERSION;
	a->queue_abi = PHCA_QUEUE_ABI;
	if (q->version != PHCA_ADMIN_VERSION || q->queue_abi != PHCA_QUEUE_ABI) {
		c->host->st.refused_version++;
		return -EPROTO;
	}
	if (q->flags & ~PHCA_ADMIN_HELLO_PROBE)
		return -EINVAL;
	if (c->state == CLIENT_PROBED && !probe)
		return BAD_MESSAGE;
	if (q->port >= phca_hca_nb_ports(c->host->conf.hca))
		return -ENODEV;
	ret = probe ? 0 : client_open(c, q->port);
	if (ret != 0)
		return ret;
	device_fill(c->host, q->port, &a->device);
	if (probe)
		c->state = CLIENT_PROBED;
	else
		rings_fill(c, m);
	return 0;
}

static struct phca_net *client_net(const struct client *c)
{
	return phca_hca_port(c->host->conf.hca, c->info.port);
}

int op_port_query(struct client *c, struct msg *m)
{
	struct phca_net *net = client_net(c);
	struct phca_admin_port *p = &m->out.ans.u.port;
	struct rte_eth_link link;
	bool up = phca_net_link(net);

	p->state = up ? 4 : 1; /* IBV_PORT_ACTIVE, IBV_PORT_DOWN */
	p->max_mtu = 4096;
	p->active_mtu = phca_net_mtu(net);
	p->gid_tbl_len = phca_net_nb_gids(net);
	p->max_msg_sz = 1u << 31;
	if (rte_eth_link_get_nowait(phca_net_port_id(net), &link) == 0 &&
	    link.link_speed != RTE_ETH_SPEED_NUM_NONE && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
		p->speed_bps = (uint64_t)link.link_speed * 1000000;
	memcpy(p->mac, phca_net_mac(net), sizeof(p->mac));
	if (rte_eth_dev_is_valid_port(phca_net_port_id(net))) {
		char name[RTE_ETH_NAME_MAX_LEN];

		if (rte_eth_dev_get_name_by_port(phca_net_port_id(net), name) == 0)
			snprintf(p->netdev, sizeof(p->netdev), "%.31s", name);
	}
	return 0;
}

int op_gids_query(struct client *c, struct msg *m)
{
	struct phca_net *net = client_net(c);
	unsigned int n = RTE_MIN(phca_net_nb_gids(net), (unsigned int)PHCA_ADMIN_GIDS_MAX);

	for (unsigned int i = 0; i < n; i++) {
		struct phca_admin_gid g = { .index = i };

		memcpy(g.gid, phca_net_gid(net, i), sizeof(g.gid));
		memcpy(m->out.bytes + PHCA_ADMIN_ANS_HDR + 8 + i * sizeof(g), &g, sizeof(g));
	}
	m->out.ans.u.nb_gids = n;
	m->out_more = n * (uint32_t)sizeof(struct phca_admin_gid);
	return 0;
}

int op_clock(struct client *c, struct msg *m)
{
	(void)c;
	m->out.ans.u.now_ns = phca_loop_now_ns();
	return 0;
}

/* What resolve is told and tells. */
struct resolve_arg {
	struct phca_net *net;
	const struct phca_admin_resolve *q;
	uint8_t *mac;
};

/* Shard 0's lcore owns the neighbour tables. */
static int resolve(void *arg)
{
	struct resolve_arg *r = arg;

	return (int)phca_net_resolve(r->net, r->q->sgid_index, r->q->dgid, r->mac, phca_loop_now_ns());
}

int op_resolve(struct client *c, struct msg *m)
{
	const struct phca_admin_resolve *q = &m->in.req.u.resolve;
	struct resolve_arg r = { client_net(c), q, m->out.ans.u.mac };
	const uint8_t *sgid = phca_net_gid(r.net, q->sgid_index);
	enum phca_neigh_state state;

	if (q->rsvd != 0 || sgid == NULL || phca_gid_is_ip4(sgid) != phca_gid_is_ip4(q->dgid))
		return -EINVAL;
	state = phca_net_lookup(r.net, q->sgid_index, q->dgid, r.mac);
	if (state != PHCA_NEIGH_READY)
		state = (enum phca_neigh_state)phca_loop_call(c->host->conf.loop, resolve, &r);
	if (state == PHCA_NEIGH_READY)
		return 0;
	return state == PHCA_NEIGH_PENDING ? -EAGAIN : -EHOSTUNREACH;
}
