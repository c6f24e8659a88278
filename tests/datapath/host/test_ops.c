/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports, addresses, memory, queue pairs, multicast: each with good and bad values; limits. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

PHCA_TEST(ops, port_gids_clock)
{
	struct rig *r = rig_open(NULL);
	struct peer p;
	uint64_t before;

	peer_open(r, &p);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PORT_QUERY, NULL, 0), 0);
	CU_ASSERT_EQUAL(p.ans.u.port.active_mtu, LAB_MTU);
	CU_ASSERT_EQUAL(p.ans.u.port.state, 4);
	CU_ASSERT_EQUAL(p.ans.u.port.gid_tbl_len, phca_net_nb_gids(r->lab->net));
	CU_ASSERT_EQUAL(memcmp(p.ans.u.port.mac, phca_net_mac(r->lab->net), 6), 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_GIDS_QUERY, NULL, 0), 0);
	CU_ASSERT_EQUAL_FATAL(p.ans.u.nb_gids, phca_net_nb_gids(r->lab->net));
	for (unsigned int i = 0; i < p.ans.u.nb_gids; i++) {
		CU_ASSERT_EQUAL(p.gids[i].index, i);
		CU_ASSERT_EQUAL(memcmp(p.gids[i].gid, phca_net_gid(r->lab->net, i), 16), 0);
	}
	before = phca_loop_now_ns();
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CLOCK, NULL, 0), 0);
	CU_ASSERT(p.ans.u.now_ns >= before && p.ans.u.now_ns <= phca_loop_now_ns());
	peer_close(&p);
	rig_close(r);
}

PHCA_TEST(ops, resolve)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_resolve q = { .sgid_index = 1 };
	static const uint8_t group[16] = { [10] = 0xff, 0xff, 239, 1, 1, 1 };
	struct peer p;

	peer_open(r, &p);
	memcpy(q.dgid, phca_net_gid(r->lab->net, 1), 16);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_RESOLVE, &q, sizeof(q)), 0);
	CU_ASSERT_EQUAL(memcmp(p.ans.u.mac, phca_net_mac(r->lab->net), 6), 0);
	q.dgid[15] ^= 0x55; /* on the link, nobody knows where */
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_RESOLVE, &q, sizeof(q)), -EAGAIN);
	memcpy(q.dgid, group, 16);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_RESOLVE, &q, sizeof(q)), 0);
	CU_ASSERT_EQUAL(p.ans.u.mac[0], 1);
	q.dgid[12] = 8; /* no gateway */
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_RESOLVE, &q, sizeof(q)), -EHOSTUNREACH);
	q.sgid_index = 0; /* of the other family */
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_RESOLVE, &q, sizeof(q)), -EINVAL);
	q.sgid_index = 99;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_RESOLVE, &q, sizeof(q)), -EINVAL);
	q = (struct phca_admin_resolve){ .sgid_index = 1, .rsvd = 1 };
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_RESOLVE, &q, sizeof(q)), -EINVAL);
	peer_close(&p);
	rig_close(r);
}

PHCA_TEST(ops, memory)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_mw_alloc mw = { .type = 1 };
	uint32_t handle[2] = { 0, 1 };
	struct peer p;

	peer_open(r, &p);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 4096, 1), -EINVAL); /* nothing shared */
	CU_ASSERT_EQUAL(peer_share(&p), 0);
	CU_ASSERT_EQUAL(peer_share(&p), -EEXIST);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 4096, 1), 0);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 4096, 1), 0); /* again */
	CU_ASSERT_EQUAL(phca_mem_nb_mr(r->lab->mem), 2);
	CU_ASSERT_EQUAL(peer_reg(&p, 7, RIG_VA, 4096, 1), -EINVAL);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 4096, 2), -EINVAL); /* remote write without local */
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 4096, 0x100), -EINVAL);
	CU_ASSERT_NOT_EQUAL(peer_reg(&p, 0, UINT64_C(1) << 47, 4096, 1), 0); /* behind its end */
	CU_ASSERT_NOT_EQUAL(peer_reg(&p, 0, UINT64_MAX - 4095, 8192, 1), 0);
	CU_ASSERT_NOT_EQUAL(peer_reg(&p, 0, 4096, UINT64_MAX - 8191, 1), 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(r->lab->mem), 2);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MW_ALLOC, &mw, sizeof(mw)), 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mw(r->lab->mem), 1);
	mw.type = 3;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MW_ALLOC, &mw, sizeof(mw)), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_MW_DEALLOC, 1), -EINVAL);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MR_DEREG, handle, sizeof(handle)), -EINVAL); /* reserved */
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_MR_DEREG, 0), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_MR_DEREG, 0), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_PD_FREE, 0), -EBUSY);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_MW_DEALLOC, 0), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_MR_DEREG, 1), 0);
	CU_ASSERT_EQUAL(rig_stats(r).mem_bytes, 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_PD_FREE, 0), 0);
	peer_close(&p);
	rig_close(r);
}

/* A peer with domain 0 and CQ 0. */
static void open_with_cq(struct rig *r, struct peer *p)
{
	const struct phca_admin_cq_create cc = { .cqe = 16, .channel = PHCA_ADMIN_NONE };

	peer_open(r, p);
	CU_ASSERT_EQUAL(peer_call(p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	CU_ASSERT_EQUAL(peer_call(p, PHCA_ADMIN_CQ_CREATE, &cc, sizeof(cc)), 0);
}

PHCA_TEST(ops, qp_create)
{
	struct rig *r = rig_open(NULL);
	const struct phca_admin_qp_create good = {
		.type = 2, .srq = PHCA_ADMIN_NONE, .max_send_wr = 10, .max_recv_wr = 3, .max_send_sge = 1,
		.max_recv_sge = 1,
	};
	struct phca_admin_qp_create bad[12];
	struct peer p;

	for (unsigned int i = 0; i < RTE_DIM(bad); i++)
		bad[i] = good;
	bad[0].type = 1;
	bad[1].type = 9;
	bad[2].pd = 1;
	bad[3].send_cq = 1;
	bad[4].recv_cq = PHCA_ADMIN_NONE;
	bad[5].srq = 0;
	bad[6].max_send_wr = PHCA_QP_DEPTH_MAX + 1;
	bad[7].max_recv_sge = PHCA_SGE_MAX + 1;
	bad[8].max_inline = PHCA_INLINE_MAX + 1;
	bad[9].sq_sig_all = 2;
	bad[10].rsvd = 1;
	bad[11].max_send_sge = UINT32_MAX;
	open_with_cq(r, &p);
	for (unsigned int i = 0; i < RTE_DIM(bad); i++)
		CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_QP_CREATE, &bad[i], sizeof(bad[i])), -EINVAL);
	CU_ASSERT_EQUAL(r->created, 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_QP_CREATE, &good, sizeof(good)), 0);
	CU_ASSERT_EQUAL(p.ans.u.qp.max_send_wr, 16);
	CU_ASSERT_EQUAL(p.ans.u.qp.max_recv_wr, 4);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_DESTROY, 0), -EBUSY);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_QP_DESTROY, 0), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_QP_DESTROY, 0), -EINVAL);
	CU_ASSERT_EQUAL(r->qps_gone, 1);
	peer_close(&p);
	rig_close(r);
}

PHCA_TEST(ops, qp_modify_as_verbs_have_it)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_qp_attr a = { .state = 1, .port_num = 1 };
	const uint32_t to_init = 0x1 | 0x8 | 0x10 | 0x20;
	struct peer p;
	uint32_t qp;

	open_with_cq(r, &p);
	qp = peer_qp(&p, 0, 0);
	CU_ASSERT_EQUAL(peer_modify(&p, qp + 1, to_init, &a), -EINVAL);
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init & ~0x20u, &a), -EINVAL); /* no port */
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init & ~0x10u, &a), -EINVAL); /* no partition */
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init | 1u << 30, &a), -EINVAL);
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init | 0x4000, &a), -EOPNOTSUPP); /* alternate path */
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init | 0x80000, &a), -EOPNOTSUPP); /* capabilities */
	a.port_num = 2;
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init, &a), -EINVAL);
	a = (struct phca_admin_qp_attr){ .state = 1, .port_num = 1, .pkey_index = 1 };
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init, &a), -EINVAL);
	a = (struct phca_admin_qp_attr){ .state = 7, .port_num = 1 };
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init, &a), -EINVAL);
	a = (struct phca_admin_qp_attr){ .state = 1, .port_num = 1, .rsvd = { 1 } };
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init, &a), -EINVAL);
	a = (struct phca_admin_qp_attr){ .state = 1, .port_num = 1, .access = 0x100007 }; /* relaxed order: ignored */
	CU_ASSERT_EQUAL(peer_modify(&p, qp, to_init, &a), 0);
	CU_ASSERT_EQUAL(p.ans.u.attr.state, 1);
	CU_ASSERT_EQUAL(p.ans.u.attr.access, 7);
	CU_ASSERT_EQUAL(peer_modify(&p, qp, 0x20, &a), 0); /* INIT to INIT */
	a.state = 0;
	CU_ASSERT_EQUAL(peer_modify(&p, qp, 1, &a), 0);
	CU_ASSERT_EQUAL(peer_to_rts(&p, qp, 1), 0);
	CU_ASSERT_EQUAL(r->connected, 1);
	CU_ASSERT_EQUAL(peer_modify(&p, qp, 0x20, &a), -EINVAL); /* a port in RTS */
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_QP_QUERY, qp), 0);
	CU_ASSERT_EQUAL(p.ans.u.attr.state, 3);
	CU_ASSERT_EQUAL(p.ans.u.attr.path_mtu, LAB_MTU);
	CU_ASSERT_EQUAL(p.ans.u.attr.sq_psn, 5);
	CU_ASSERT_EQUAL(p.ans.u.attr.timeout, 14);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_QP_QUERY, qp + 1), -EINVAL);
	a.state = 6;
	CU_ASSERT_EQUAL(peer_modify(&p, qp, 1, &a), 0);
	a.state = 0;
	CU_ASSERT_EQUAL(peer_modify(&p, qp, 1, &a), 0);
	CU_ASSERT_EQUAL(peer_to_rts(&p, qp, 1), 0);
	CU_ASSERT_EQUAL(r->connected, 2);
	peer_close(&p);
	rig_close(r);
}

PHCA_TEST(ops, multicast)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_qp_create u = { .type = 4, .srq = PHCA_ADMIN_NONE };
	struct phca_admin_mcast g = { .mgid = { [10] = 0xff, 0xff, 239, 1, 1, 1 } };
	struct peer p;

	open_with_cq(r, &p);
	(void)peer_qp(&p, 0, 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_ATTACH, &g, sizeof(g)), -EINVAL); /* RC */
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_QP_CREATE, &u, sizeof(u)), 0);
	g.qp = 1;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_DETACH, &g, sizeof(g)), -EINVAL);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_ATTACH, &g, sizeof(g)), 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_DETACH, &g, sizeof(g)), 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_ATTACH, &g, sizeof(g)), 0); /* and ends so */
	g.mgid[12] = 10;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_ATTACH, &g, sizeof(g)), -EINVAL);
	g = (struct phca_admin_mcast){ .qp = 1, .rsvd = 1 };
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_ATTACH, &g, sizeof(g)), -EINVAL);
	g = (struct phca_admin_mcast){ .qp = 2 };
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_MCAST_ATTACH, &g, sizeof(g)), -EINVAL);
	peer_close(&p);
	rig_close(r);
}

/* -------------------------------------------------------------- limits */

/* Make as many as can be; @return how many. */
static unsigned int fill(struct peer *p, enum phca_admin_op op, const void *u, size_t len)
{
	unsigned int n = 0;

	while (n < 100 && peer_call(p, op, u, len) == 0)
		n++;
	CU_ASSERT_EQUAL(p->ans.status, -ENOMEM);
	return n;
}

PHCA_TEST(limits, of_objects)
{
	struct phca_host_limits l = {
		.clients = 2, .objects = { 2, 3, 4, 5, 6, 7, 8 }, .mem_bytes = 1 << 20, .arena_bytes = 8 << 20,
	};
	struct rig *r = rig_open(&l);
	const struct phca_admin_cq_create cc = { .cqe = 16, .channel = PHCA_ADMIN_NONE };
	const struct phca_admin_srq_create sc = { .max_wr = 16 };
	const struct phca_admin_qp_create qc = { .type = 4, .srq = PHCA_ADMIN_NONE };
	const struct phca_admin_mw_alloc mw = { .type = 2 };
	struct peer p;

	peer_open(r, &p);
	CU_ASSERT_EQUAL(p.ans.u.hello.device.max_qp, 8);
	CU_ASSERT_EQUAL(p.ans.u.hello.device.max_mr_size, 1 << 20);
	CU_ASSERT_EQUAL(fill(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 2);
	CU_ASSERT_EQUAL(peer_share(&p), 0);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, (1 << 20) + 1, 1), -ENOMEM);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 1 << 20, 1), 0);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 1, 1), -ENOMEM);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_MR_DEREG, 0), 0);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 1, 1), 0);
	CU_ASSERT_EQUAL(peer_reg(&p, 0, RIG_VA, 1, 1), -ENOMEM);
	CU_ASSERT_EQUAL(fill(&p, PHCA_ADMIN_MW_ALLOC, &mw, sizeof(mw)), 4);
	CU_ASSERT_EQUAL(fill(&p, PHCA_ADMIN_CHANNEL_CREATE, NULL, 0), 5);
	CU_ASSERT_EQUAL(fill(&p, PHCA_ADMIN_CQ_CREATE, &cc, sizeof(cc)), 6);
	CU_ASSERT_EQUAL(fill(&p, PHCA_ADMIN_SRQ_CREATE, &sc, sizeof(sc)), 7);
	CU_ASSERT_EQUAL(fill(&p, PHCA_ADMIN_QP_CREATE, &qc, sizeof(qc)), 8);
	/* a handle that is free is given again */
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_QP_DESTROY, 3), 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_QP_CREATE, &qc, sizeof(qc)), 0);
	CU_ASSERT_EQUAL(p.ans.u.qp.handle, 3);
	peer_close(&p);
	rig_close(r);
}

PHCA_TEST(limits, of_clients)
{
	struct phca_host_limits l;
	struct rig *r;
	const struct phca_admin_hello h = { .version = PHCA_ADMIN_VERSION, .queue_abi = PHCA_QUEUE_ABI };
	struct peer p[3], many[80];
	unsigned int closed = 0;
	char c;

	phca_host_limits_default(&l);
	l.clients = 2;
	l.arena_bytes = 1 << 20;
	r = rig_open(&l);
	peer_open(r, &p[0]);
	peer_open(r, &p[1]);
	CU_ASSERT(peer_connect(r, &p[2]));
	CU_ASSERT_EQUAL(peer_call(&p[2], PHCA_ADMIN_HELLO, &h, sizeof(h)), -EUSERS);
	peer_close(&p[0]);
	CU_ASSERT_EQUAL(peer_call(&p[2], PHCA_ADMIN_HELLO, &h, sizeof(h)), 0);
	/* connections that say nothing are limited, too */
	for (unsigned int i = 0; i < RTE_DIM(many); i++) {
		CU_ASSERT(peer_connect(r, &many[i]));
		rig_poll(r);
	}
	for (unsigned int i = 0; i < RTE_DIM(many); i++)
		closed += recv(many[i].fd, &c, 1, MSG_DONTWAIT) == 0;
	CU_ASSERT(closed > 0 && closed < RTE_DIM(many));
	CU_ASSERT_EQUAL(rig_stats(r).refused_limit, closed + 1);
	CU_ASSERT_EQUAL(peer_call(&p[1], PHCA_ADMIN_CLOCK, NULL, 0), 0);
	for (unsigned int i = 0; i < RTE_DIM(many); i++)
		peer_close(&many[i]);
	peer_close(&p[1]);
	peer_close(&p[2]);
	rig_close(r);
}

/* No descriptor is left: connections are closed, not left to wait, and the server goes on. */
PHCA_TEST(limits, of_descriptors)
{
	struct rig *r = rig_open(NULL);
	struct rlimit was, low;
	struct peer p, more[3];
	char c;
	int fd;

	peer_open(r, &p);
	for (unsigned int i = 0; i < RTE_DIM(more); i++)
		CU_ASSERT(peer_connect(r, &more[i]));
	fd = dup(0);
	close(fd);
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = (rlim_t)fd; /* all numbers below are taken */
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &low), 0);
	rig_poll(r);
	CU_ASSERT_EQUAL(rig_stats(r).refused_limit, RTE_DIM(more));
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CHANNEL_CREATE, NULL, 0), -EMFILE);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CLOCK, NULL, 0), 0);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &was), 0);
	for (unsigned int i = 0; i < RTE_DIM(more); i++) {
		CU_ASSERT_EQUAL(recv(more[i].fd, &c, 1, MSG_DONTWAIT), 0);
		peer_close(&more[i]);
	}
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CHANNEL_CREATE, NULL, 0), 0);
	peer_close(&p);
	rig_close(r);
}
