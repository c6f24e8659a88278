/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels, completion queues, shared receive queues: what may be asked for, and what may not. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

static uint32_t pd_alloc(struct peer *p)
{
	CU_ASSERT_EQUAL_FATAL(peer_call(p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	return p->ans.u.handle[0];
}

static int cq_create(struct peer *p, uint32_t cqe, uint32_t channel)
{
	const struct phca_admin_cq_create u = { cqe, channel };

	return peer_call(p, PHCA_ADMIN_CQ_CREATE, &u, sizeof(u));
}

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* What was armed and then completed is in the channel once. */
PHCA_TEST(queues, channel_tells_of_completions)
{
	struct rig *r = rig_open(NULL);
	struct phca_ring sq, cq, bell;
	struct phca_admin_qp_ans qp;
	struct phca_admin_ring cqr, db;
	struct phca_send_wqe *w;
	struct phca_admin_note note;
	struct peer p;
	uint32_t channel, cqh, cqn, pd;
	int fd;

	peer_open(r, &p);
	db = p.ans.u.hello.db[0];
	pd = pd_alloc(&p);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CHANNEL_CREATE, NULL, 0), 0);
	CU_ASSERT_EQUAL_FATAL(p.nb_fds, 1);
	channel = p.ans.u.handle[0];
	fd = p.fds[0];
	p.nb_fds = 0;
	CU_ASSERT_EQUAL(cq_create(&p, 8, channel), 0);
	cqh = p.ans.u.cq.handle;
	cqn = p.ans.u.cq.cqn;
	cqr = p.ans.u.cq.ring;
	(void)peer_qp(&p, pd, cqh);
	qp = p.ans.u.qp;
	CU_ASSERT_EQUAL(peer_to_rts(&p, qp.handle, qp.qpn), 0);
	CU_ASSERT_EQUAL(phca_ring_attach(&sq, p.rings + qp.sq.offset, qp.sq.bytes, PHCA_RING_SQ), 0);
	CU_ASSERT_EQUAL(phca_ring_attach(&cq, p.rings + cqr.offset, cqr.bytes, PHCA_RING_CQ), 0);
	CU_ASSERT_EQUAL(phca_ring_attach(&bell, p.rings + db.offset, db.bytes, PHCA_RING_DB), 0);
	phca_cq_arm(&cq, false);
	CU_ASSERT(!readable(fd));
	w = phca_ring_next(&sq); /* an empty WRITE to itself */
	*w = (struct phca_send_wqe){ .wr_id = 2, .opcode = PHCA_WR_RDMA_WRITE, .flags = PHCA_SEND_SIGNALED };
	phca_ring_publish(&sq);
	phca_db_ring(&bell, &sq, qp.qpn);
	lab_turn(r->lab, 50);
	CU_ASSERT_FATAL(readable(fd));
	CU_ASSERT_EQUAL(read(fd, &note, sizeof(note)), sizeof(note));
	CU_ASSERT_EQUAL(note.cqn, cqn);
	CU_ASSERT(!readable(fd));
	/* the channel outlives its queues */
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CHANNEL_DESTROY, channel), -EBUSY);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_DESTROY, cqh), -EBUSY);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_QP_DESTROY, qp.handle), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_DESTROY, cqh), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CHANNEL_DESTROY, channel), 0);
	CU_ASSERT_EQUAL(read(fd, &note, sizeof(note)), 0);
	close(fd);
	peer_close(&p);
	rig_close(r);
}

/* Rings are pages of the arena that nobody else has, zero but for their header. */
PHCA_TEST(queues, rings_are_fresh_pages)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_cq_ans a, b;
	struct phca_host_stats st;
	struct peer p;
	uint64_t used;

	peer_open(r, &p);
	used = rig_stats(r).arena_used;
	memset(p.rings + p.ans.u.hello.db[0].bytes + 4096, 0xff, 1 << 20); /* what is free */
	CU_ASSERT_EQUAL(cq_create(&p, 100, PHCA_ADMIN_NONE), 0);
	a = p.ans.u.cq;
	CU_ASSERT_EQUAL(cq_create(&p, 100, PHCA_ADMIN_NONE), 0);
	b = p.ans.u.cq;
	CU_ASSERT(a.cqe >= 100);
	CU_ASSERT(a.ring.offset % PHCA_CACHE_LINE == 0);
	CU_ASSERT(b.ring.offset >= a.ring.offset + a.ring.bytes || a.ring.offset >= b.ring.offset + b.ring.bytes);
	for (uint64_t i = sizeof(struct phca_ring_hdr); i < a.ring.bytes; i++)
		if (p.rings[a.ring.offset + i] != 0)
			CU_FAIL_FATAL("what the client wrote before is in the ring");
	memset(p.rings + a.ring.offset, 0xee, a.ring.bytes);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_DESTROY, a.handle), 0);
	CU_ASSERT_EQUAL(p.rings[a.ring.offset + 100], 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_DESTROY, b.handle), 0);
	st = rig_stats(r);
	CU_ASSERT_EQUAL(st.arena_used, used);
	peer_close(&p);
	rig_close(r);
}

PHCA_TEST(queues, bad_values_are_refused)
{
	struct rig *r = rig_open(NULL);
	const struct phca_admin_srq_create bad[] = {
		{ .pd = 9, .max_wr = 8 }, { .pd = 0, .max_wr = 0 }, { .pd = 0, .max_wr = 8, .max_sge = 99 },
		{ .pd = 0, .max_wr = 8, .limit = 9 },
	};
	struct phca_admin_srq_create good = { .max_wr = 10, .max_sge = 3, .limit = 2 };
	struct phca_admin_srq_arm arm = { .limit = 5 };
	struct peer p;
	uint32_t srq;

	peer_open(r, &p);
	CU_ASSERT_EQUAL(pd_alloc(&p), 0);
	CU_ASSERT_EQUAL(cq_create(&p, 0, PHCA_ADMIN_NONE), -EINVAL);
	CU_ASSERT_EQUAL(cq_create(&p, PHCA_CQE_MAX + 1, PHCA_ADMIN_NONE), -EINVAL);
	CU_ASSERT_EQUAL(cq_create(&p, 8, 3), -EINVAL);
	CU_ASSERT_EQUAL(cq_create(&p, PHCA_CQE_MAX, PHCA_ADMIN_NONE), -ENOMEM); /* of this arena */
	for (unsigned int i = 0; i < RTE_DIM(bad); i++)
		CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_SRQ_CREATE, &bad[i], sizeof(bad[i])), -EINVAL);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_SRQ_CREATE, &good, sizeof(good)), 0);
	srq = p.ans.u.srq.handle;
	CU_ASSERT_EQUAL(p.ans.u.srq.max_wr, 16);
	arm.handle = srq;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_SRQ_ARM, &arm, sizeof(arm)), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_SRQ_QUERY, srq), 0);
	CU_ASSERT_EQUAL(p.ans.u.srq.limit, 5);
	CU_ASSERT_EQUAL(p.ans.u.srq.max_sge, 3);
	arm.limit = 1000;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_SRQ_ARM, &arm, sizeof(arm)), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_PD_FREE, 0), -EBUSY);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_SRQ_DESTROY, srq), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_SRQ_DESTROY, srq), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_SRQ_QUERY, srq), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_DESTROY, PHCA_ADMIN_NONE), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CHANNEL_DESTROY, 0), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_PD_FREE, 0), 0);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_PD_FREE, 0), -EINVAL);
	peer_close(&p);
	rig_close(r);
}

/* The old ring stays until the client says that it has read it. */
PHCA_TEST(queues, resize_gives_another_ring)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_cq_resize rs = { .cqe = 500 };
	struct phca_admin_cq_ans a, b;
	uint64_t used;
	struct peer p;

	peer_open(r, &p);
	CU_ASSERT_EQUAL(cq_create(&p, 100, PHCA_ADMIN_NONE), 0);
	a = p.ans.u.cq;
	used = rig_stats(r).arena_used;
	rs.handle = a.handle;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CQ_RESIZE, &rs, sizeof(rs)), 0);
	b = p.ans.u.cq;
	CU_ASSERT_EQUAL(b.cqn, a.cqn);
	CU_ASSERT(b.cqe >= 500);
	CU_ASSERT(b.ring.offset != a.ring.offset && b.ring.bytes > a.ring.bytes);
	CU_ASSERT_EQUAL(rig_stats(r).arena_used, used + RTE_ALIGN(b.ring.bytes, 4096u));
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_RESIZE_DONE, a.handle), 0);
	CU_ASSERT(rig_stats(r).arena_used < used + RTE_ALIGN(b.ring.bytes, 4096u));
	rs.cqe = 0;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CQ_RESIZE, &rs, sizeof(rs)), -EINVAL);
	rs.handle = 5;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CQ_RESIZE, &rs, sizeof(rs)), -EINVAL);
	CU_ASSERT_EQUAL(peer_handle(&p, PHCA_ADMIN_CQ_RESIZE_DONE, 5), -EINVAL);
	rs = (struct phca_admin_cq_resize){ a.handle, 50 };
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CQ_RESIZE, &rs, sizeof(rs)), 0);
	peer_close(&p); /* with two rings */
	rig_close(r);
}
