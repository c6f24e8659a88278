/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's life: HELLO, objects, data through its rings, its end; and what the server shows of it. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_errno.h>

#include "rig.h"

static int keep(void *arg, const struct phca_host_info *info)
{
	*(struct phca_host_info *)arg = *info;
	return 7;
}

PHCA_TEST(life, hello_tells_device_and_is_shown)
{
	struct rig *r = rig_open(NULL);
	struct phca_host_info info = { .id = 0 };
	const struct phca_admin_device *d;
	struct peer p;
	char name[32];

	CU_ASSERT_STRING_EQUAL(phca_host_path(r->host), r->path);
	CU_ASSERT_STRING_EQUAL(phca_host_device(r->host, 0, name), "phcatest");
	CU_ASSERT_STRING_EQUAL(phca_host_device(r->host, 2, name), "phcatest_2");
	CU_ASSERT(phca_host_fd(r->host) >= 0);
	CU_ASSERT_EQUAL(phca_host_limits_get(r->host)->clients, 64);
	CU_ASSERT_EQUAL(phca_host_each(r->host, keep, &info), 0);
	peer_open(r, &p);
	d = &p.ans.u.hello.device;
	CU_ASSERT_STRING_EQUAL(d->name, "phcatest");
	CU_ASSERT_STRING_EQUAL(d->fw_ver, "1.2.3");
	CU_ASSERT_EQUAL(d->nb_ports, 1);
	CU_ASSERT_EQUAL(d->max_qp, 4096);
	CU_ASSERT_EQUAL(d->max_sge, PHCA_SGE_MAX);
	CU_ASSERT_EQUAL(d->node_guid[3], 0xff);
	CU_ASSERT_EQUAL(p.ans.u.hello.nb_shards, 1);
	CU_ASSERT_EQUAL(phca_host_each(r->host, keep, &info), 7);
	CU_ASSERT_EQUAL(info.id, 1);
	CU_ASSERT_EQUAL(info.pid, getpid());
	CU_ASSERT_EQUAL(info.uid, getuid());
	CU_ASSERT_STRING_EQUAL(info.exe, "datapath-host");
	CU_ASSERT(info.user[0] != '\0');
	peer_close(&p);
	CU_ASSERT_EQUAL(r->gone, 1);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 0);
	CU_ASSERT_EQUAL(rig_stats(r).clients_closed, 1);
	rig_close(r);
}

/* A work request posted by hand in the client's mapping is carried out and completed there. */
PHCA_TEST(life, data_through_the_rings)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_qp_ans qp;
	struct phca_admin_ring db, cqr;
	struct phca_ring sq, rq, cq, bell;
	struct phca_host_info info;
	struct phca_send_wqe *w;
	struct phca_recv_wqe *rw;
	struct phca_wc wc[4];
	struct peer p;
	uint32_t pd, cqh, key;
	uint8_t *mem;
	const struct phca_admin_cq_create cc = { .cqe = 32, .channel = PHCA_ADMIN_NONE };

	peer_open(r, &p);
	db = p.ans.u.hello.db[0];
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	pd = p.ans.u.handle[0];
	CU_ASSERT_EQUAL(peer_share(&p), 0);
	CU_ASSERT_EQUAL(peer_reg(&p, pd, RIG_VA + 10, 5000, 0xf), 0);
	key = p.ans.u.handle[1];
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CQ_CREATE, &cc, sizeof(cc)), 0);
	cqh = p.ans.u.cq.handle;
	cqr = p.ans.u.cq.ring;
	(void)peer_qp(&p, pd, cqh);
	qp = p.ans.u.qp;
	CU_ASSERT_EQUAL(r->created, 1);
	CU_ASSERT_EQUAL(r->last.recv_cqe, 32);
	CU_ASSERT_EQUAL(r->who.pid, getpid());
	CU_ASSERT_EQUAL(phca_host_qp_owner(r->host, r->last.qp, &info), 0);
	CU_ASSERT_EQUAL(info.objects[PHCA_HOST_QP], 1);
	CU_ASSERT_EQUAL(info.mem_bytes, 8192);
	CU_ASSERT_EQUAL(peer_to_rts(&p, qp.handle, qp.qpn), 0);
	CU_ASSERT_EQUAL(r->connected, 1);
	CU_ASSERT_EQUAL(memcmp(r->last.dgid, phca_net_gid(r->lab->net, 1), 16), 0);

	mem = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, p.mem, (off_t)RIG_VA);
	memset(mem + 10, 0x5a, 1000);
	CU_ASSERT_EQUAL(phca_ring_attach(&sq, p.rings + qp.sq.offset, qp.sq.bytes, PHCA_RING_SQ), 0);
	CU_ASSERT_EQUAL(phca_ring_attach(&rq, p.rings + qp.rq.offset, qp.rq.bytes, PHCA_RING_RQ), 0);
	CU_ASSERT_EQUAL(phca_ring_attach(&cq, p.rings + cqr.offset, cqr.bytes, PHCA_RING_CQ), 0);
	CU_ASSERT_EQUAL(phca_ring_attach(&bell, p.rings + db.offset, db.bytes, PHCA_RING_DB), 0);
	rw = phca_ring_next(&rq);
	*rw = (struct phca_recv_wqe){ .wr_id = 1, .num_sge = 1 };
	phca_recv_sge(rw)[0] = (struct phca_sge){ RIG_VA + 3000, 1000, key };
	phca_ring_publish(&rq);
	w = phca_ring_next(&sq);
	*w = (struct phca_send_wqe){ .wr_id = 2, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED, .num_sge = 1 };
	phca_send_sge(w)[0] = (struct phca_sge){ RIG_VA + 10, 1000, key };
	phca_ring_publish(&sq);
	phca_db_ring(&bell, &sq, qp.qpn);
	lab_turn(r->lab, 50);
	CU_ASSERT_EQUAL(phca_cq_poll(&cq, wc, 4), 2);
	CU_ASSERT_EQUAL(wc[0].status, 0);
	CU_ASSERT_EQUAL(wc[1].status, 0);
	CU_ASSERT_EQUAL(memcmp(mem + 3000, mem + 10, 1000), 0);
	CU_ASSERT_EQUAL(mem[3999], 0x5a);
	munmap(mem, 8192);
	peer_close(&p); /* without taking anything back */
	CU_ASSERT_EQUAL(phca_qp_find(r->lab->hca, qp.qpn), NULL);
	rig_close(r);
}

static int srq_keep(void *arg, struct phca_srq *srq)
{
	*(struct phca_srq **)arg = srq;
	return 0;
}

PHCA_TEST(life, events_reach_their_owner)
{
	struct rig *r = rig_open(NULL);
	struct phca_event ev = { .type = PHCA_EVENT_PORT_ERR, .num = 0 };
	const struct phca_admin_srq_create sc = { .max_wr = 8, .max_sge = 1, .limit = 4 };
	struct phca_admin_event e;
	struct phca_srq *srq = NULL;
	struct peer p, q;
	struct pollfd pfd;

	peer_open(r, &p);
	peer_open(r, &q);
	phca_host_event(r->host, &ev);
	CU_ASSERT_EQUAL(read(p.events, &e, sizeof(e)), 8);
	CU_ASSERT_EQUAL(e.type, 10);
	CU_ASSERT_EQUAL(e.num, 1);
	CU_ASSERT_EQUAL(read(q.events, &e, sizeof(e)), 8);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_SRQ_CREATE, &sc, sizeof(sc)), 0);
	phca_srq_each(r->lab->hca, srq_keep, &srq);
	CU_ASSERT_PTR_NOT_NULL_FATAL(srq);
	ev = (struct phca_event){ .type = PHCA_EVENT_SRQ_LIMIT, .num = p.ans.u.srq.srqn,
		.client = phca_srq_client(srq) };
	phca_host_event(r->host, &ev);
	CU_ASSERT_EQUAL(read(p.events, &e, sizeof(e)), 8);
	CU_ASSERT_EQUAL(e.type, 15);
	CU_ASSERT_EQUAL(e.num, p.ans.u.srq.srqn);
	pfd = (struct pollfd){ .fd = q.events, .events = POLLIN };
	CU_ASSERT_EQUAL(poll(&pfd, 1, 0), 0); /* none of its business */
	ev.client = r->lab->client; /* no client of the server */
	phca_host_event(r->host, &ev);
	CU_ASSERT_EQUAL(rig_stats(r).events, 3);
	peer_close(&q);
	peer_close(&p);
	rig_close(r);
}

static unsigned int events_read(struct peer *p, uint32_t *last)
{
	struct phca_admin_event e;
	unsigned int n = 0;

	while (recv(p->events, &e, sizeof(e), MSG_DONTWAIT) == (ssize_t)sizeof(e)) {
		CU_ASSERT_NOT_EQUAL(e.type, *last); /* they alternate: none is missing, all are in order */
		*last = e.type;
		n++;
	}
	return n;
}

/* What the socket of a client does not take waits for it, up to a number; who reads has all. */
PHCA_TEST(life, events_of_who_does_not_read_are_kept)
{
	struct rig *r = rig_open(NULL);
	struct phca_event ev = { .num = 0 };
	struct phca_host_info info = { .id = 0 };
	uint32_t last[2] = { 0, 0 };
	unsigned int n = 0, read = 0;
	struct peer p, q;

	peer_open(r, &p);
	peer_open(r, &q);
	for (; n < 20000; n++) {
		ev.type = n % 2 ? PHCA_EVENT_PORT_ACTIVE : PHCA_EVENT_PORT_ERR;
		phca_host_event(r->host, &ev);
		if (n % 100 == 99)
			read += events_read(&q, &last[1]);
	}
	CU_ASSERT_EQUAL(read, n);
	CU_ASSERT_EQUAL(phca_host_each(r->host, keep, &info), 7);
	CU_ASSERT(info.events_waiting > 0);
	CU_ASSERT_EQUAL(info.events_waiting + info.events, n);
	for (read = 0; read < n;) {
		unsigned int got = events_read(&p, &last[0]);

		CU_ASSERT_FATAL(got > 0);
		read += got;
		rig_poll(r);
	}
	CU_ASSERT_EQUAL(read, n);
	CU_ASSERT_EQUAL(rig_stats(r).events_lost, 0);
	while (rig_stats(r).events_lost == 0 && n++ < 200000)
		phca_host_event(r->host, &ev);
	CU_ASSERT_EQUAL(phca_host_each(r->host, keep, &info), 7);
	CU_ASSERT_EQUAL(info.events_waiting, 65536);
	CU_ASSERT_EQUAL(info.events_lost, 1);
	peer_close(&q);
	peer_close(&p);
	rig_close(r);
}

PHCA_TEST(life, socket_of_a_dead_server_is_replaced)
{
	struct rig *r = rig_open(NULL);
	struct phca_host_conf conf = {
		.device = "phcatest", .path = r->path, .version = "", .hca = r->lab->hca, .mem = r->lab->mem,
		.loop = r->lab->hca_loop, .max_qp = 1, .max_mr = 1, .mode = 0640,
	};
	char err[512] = "", old[120];
	struct phca_host *h;
	struct stat st;

	phca_host_limits_default(&conf.limits);
	CU_ASSERT_PTR_NULL(phca_host_create(&conf, err, sizeof(err)));
	CU_ASSERT_EQUAL(rte_errno, EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "another appliance"));
	/* a dead one: its file stays, nobody listens */
	snprintf(old, sizeof(old), "%s.old", r->path);
	CU_ASSERT_EQUAL(link(r->path, old), 0);
	phca_host_destroy(r->host);
	r->host = NULL;
	CU_ASSERT_EQUAL(rename(old, r->path), 0);
	h = phca_host_create(&conf, err, sizeof(err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	CU_ASSERT_EQUAL(stat(r->path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0640);
	phca_host_destroy(h);
	conf.device = "a/b";
	CU_ASSERT_PTR_NULL(phca_host_create(&conf, err, sizeof(err)));
	conf.device = "phcatest";
	conf.path = r->dir;
	CU_ASSERT_PTR_NULL(phca_host_create(&conf, err, sizeof(err)));
	CU_ASSERT_EQUAL(rte_errno, EEXIST);
	rig_close(r);
}
