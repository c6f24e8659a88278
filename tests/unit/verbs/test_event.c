/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completion channels and asynchronous events: each event once, none of an object that
 * is gone, destroying waits for acknowledgements, a dead appliance wakes who waits.
 */
#include <fcntl.h>
#include <sys/poll.h>
#include <sys/socket.h>

#include "verbs_fixture.h"

#define QPN 0x51u

static struct fix *f;
static struct fix_cq *cq[3];
static struct fix_qp *qp;
static struct vchan chan;
static int notes_fd; /* the appliance's end of the channel */

static void open_all(void)
{
	int p[2];

	f = fix_open();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p), 0);
	memset(&chan, 0, sizeof(chan));
	chan.channel.context = &f->ctx.v.context;
	chan.channel.fd = p[0];
	notes_fd = p[1];
	CU_ASSERT_EQUAL_FATAL(pipe2(p, O_CLOEXEC), 0);
	f->ctx.v.context.async_fd = p[0];
	f->ctx.async_wr_fd = p[1];
	for (unsigned int i = 0; i < 3; i++) {
		cq[i] = fix_cq(f, 100 + i, 16);
		cq[i]->v.cq.channel = &chan.channel;
		cq[i]->v.cq.cq_context = &cq[i];
		chan.channel.refcnt++;
	}
	qp = fix_qp(f, QPN, IBV_QPT_RC, cq[0], cq[1], 8);
}

static void shut(void)
{
	fix_qp_free(f, qp);
	for (unsigned int i = 0; i < 3; i++)
		if (cq[i] != NULL)
			fix_cq_free(f, cq[i]);
	close(chan.channel.fd);
	if (notes_fd >= 0)
		close(notes_fd);
	close(f->ctx.v.context.async_fd);
	close(f->ctx.async_wr_fd);
	fix_close(f);
}

/* The appliance is gone, and its descriptors with it. */
static void hang_up(void)
{
	close(notes_fd);
	notes_fd = -1;
}

static void note(uint32_t cqn)
{
	const struct phca_admin_note n = { .cqn = cqn };

	CU_ASSERT_EQUAL(write(notes_fd, &n, sizeof(n)), sizeof(n));
}

static void event(uint32_t type, uint32_t num)
{
	const struct phca_admin_event e = { .type = type, .num = num };

	CU_ASSERT_EQUAL(write(f->ctx.async_wr_fd, &e, sizeof(e)), sizeof(e));
}

static void nonblock(int fd)
{
	CU_ASSERT_EQUAL(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

/* @return the next CQ event's CQ, NULL with errno */
static struct fix_cq *next_note(void)
{
	struct ibv_cq *got = NULL;
	void *arg = NULL;

	if (ibv_get_cq_event(&chan.channel, &got, &arg) != 0)
		return NULL;
	CU_ASSERT_PTR_EQUAL(&(*(struct fix_cq **)arg)->v.cq, got);
	return *(struct fix_cq **)arg;
}

PHCA_TEST(event, completion_events_in_order)
{
	open_all();
	nonblock(chan.channel.fd);
	CU_ASSERT(!readable(chan.channel.fd));
	CU_ASSERT_PTR_NULL(next_note());
	CU_ASSERT_EQUAL(errno, EAGAIN);
	note(101);
	note(100);
	note(101);
	CU_ASSERT(readable(chan.channel.fd));
	CU_ASSERT_PTR_EQUAL(next_note(), cq[1]);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[0]);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[1]);
	CU_ASSERT(!readable(chan.channel.fd));
	CU_ASSERT_EQUAL(cq[1]->v.comp_events, 2);
	CU_ASSERT_EQUAL(cq[0]->v.comp_events, 1);
	ibv_ack_cq_events(&cq[1]->v.cq, 2);
	CU_ASSERT_EQUAL(cq[1]->v.cq.comp_events_completed, 2);
	shut();
}

PHCA_TEST(event, cq_of_another_channel_or_none)
{
	open_all();
	nonblock(chan.channel.fd);
	cq[1]->v.cq.channel = NULL;
	note(101);
	note(7777);
	note(UINT32_MAX);
	note(102);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[2]);
	CU_ASSERT_PTR_NULL(next_note());
	CU_ASSERT_EQUAL(cq[1]->v.comp_events, 0);
	shut();
}

PHCA_TEST(event, armed_as_asked)
{
	open_all();
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[0]->v.cq, 1), 0);
	CU_ASSERT_EQUAL(cq[0]->ring.hdr->armed, PHCA_CQ_ARMED_SOLICITED);
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[0]->v.cq, 0), 0);
	CU_ASSERT_EQUAL(cq[0]->ring.hdr->armed, PHCA_CQ_ARMED_NEXT);
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[0]->v.cq, 1), 0);
	CU_ASSERT_EQUAL(cq[0]->ring.hdr->armed, PHCA_CQ_ARMED_NEXT);
	shut();
}

/* As ibv_destroy_cq does it. */
static void destroy_cq(struct fix_cq *c)
{
	struct vcq *v = &c->v;

	pthread_mutex_lock(&f->ctx.objs_lock);
	vtable_set(&f->ctx.cqs, v->cqn, NULL);
	LIST_REMOVE(v, entry);
	pthread_mutex_unlock(&f->ctx.objs_lock);
	vcq_wait_acked(v);
	free(v->ring.hdr);
	free(c);
}

static void destroy_acked(unsigned int i, unsigned int events)
{
	ibv_ack_cq_events(&cq[i]->v.cq, events);
	destroy_cq(cq[i]);
	cq[i] = NULL;
}

/* Unread events of a destroyed CQ are none, and poll(2) tells the truth; the others stay in order. */
PHCA_TEST(event, destroyed_cq_leaves_no_event)
{
	open_all();
	nonblock(chan.channel.fd);
	for (unsigned int i = 0; i < 3; i++) {
		note(101);
		note(102);
		note(101);
		note(100);
	}
	event(IBV_EVENT_CQ_ERR, 101);
	event(IBV_EVENT_CQ_ERR, 100);
	event(IBV_EVENT_QP_FATAL, 101); /* a QP of the same number */
	destroy_acked(1, 0);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_PTR_EQUAL(next_note(), cq[2]);
		CU_ASSERT_PTR_EQUAL(next_note(), cq[0]);
	}
	CU_ASSERT(!readable(chan.channel.fd));
	note(101); /* of the last moment: skipped */
	note(100);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[0]);
	CU_ASSERT_PTR_NULL(next_note());
	ibv_ack_cq_events(&cq[0]->v.cq, 4);
	destroy_acked(2, 3);
	CU_ASSERT(!readable(chan.channel.fd));
	shut();
}

struct waiter {
	pthread_t thread;
	unsigned int i;
	_Atomic bool done;
};

static void *destroy_run(void *arg)
{
	struct waiter *w = arg;

	destroy_acked(w->i, 0);
	atomic_store(&w->done, true);
	return NULL;
}

PHCA_TEST(event, destroying_waits_for_acknowledgements)
{
	struct waiter w = { .i = 1 };
	struct ibv_async_event e;
	struct vcq *v;

	open_all();
	v = &cq[1]->v;
	note(101);
	note(101);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[1]);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[1]);
	event(IBV_EVENT_CQ_ERR, 101);
	CU_ASSERT_EQUAL(ibv_get_async_event(&f->ctx.v.context, &e), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&w.thread, NULL, destroy_run, &w), 0);
	ibv_ack_cq_events(&v->cq, 1);
	usleep(2000);
	CU_ASSERT(!atomic_load(&w.done));
	ibv_ack_cq_events(&v->cq, 1);
	usleep(2000);
	CU_ASSERT(!atomic_load(&w.done));
	ibv_ack_async_event(&e);
	pthread_join(w.thread, NULL);
	CU_ASSERT(atomic_load(&w.done));
	shut();
}

/* One that a thread had to read for another is handed out before the next is read. */
PHCA_TEST(event, kept_event_comes_first)
{
	open_all();
	nonblock(chan.channel.fd);
	note(100);
	cq[2]->v.owed = 2;
	chan.owed = 2;
	CU_ASSERT_PTR_EQUAL(next_note(), cq[2]);
	destroy_acked(2, 1);
	CU_ASSERT_EQUAL(atomic_load(&chan.owed), 0);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[0]);
	CU_ASSERT_PTR_NULL(next_note());
	shut();
}

/* Threads wait on one channel, while CQs of which there are notes are destroyed: none of the others is lost. */
#define STORM 400

static void *storm_run(void *arg)
{
	unsigned int *n = arg;

	while (*n < 2 * STORM) {
		struct ibv_cq *c;
		void *ctx;

		if (ibv_get_cq_event(&chan.channel, &c, &ctx) != 0)
			break; /* the end */
		if (c == &cq[0]->v.cq)
			++*n;
		ibv_ack_cq_events(c, 1);
	}
	return NULL;
}

PHCA_TEST(event, threads_on_one_channel)
{
	unsigned int n[2] = { 0 };
	pthread_t t[2];

	open_all();
	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, storm_run, &n[i]), 0);
	for (unsigned int i = 0; i < STORM; i++) {
		struct fix_cq *gone = fix_cq(f, 200 + i, 16);

		pthread_mutex_lock(&f->ctx.objs_lock);
		gone->v.cq.channel = &chan.channel;
		pthread_mutex_unlock(&f->ctx.objs_lock);
		note(200 + i);
		note(100);
		note(200 + i);
		note(100);
		destroy_cq(gone);
	}
	while (readable(chan.channel.fd) || atomic_load(&chan.owed) > 0)
		sched_yield();
	hang_up();
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CU_ASSERT_EQUAL(n[0] + n[1], 2 * STORM);
	shut();
}

/* ---------------------------------------------------------------- the appliance dies */

PHCA_TEST(event, dead_appliance_wakes_each_armed_cq_once)
{
	struct ibv_recv_wr *bad, wr = { .wr_id = 9 };
	unsigned int seen = 0;
	struct ibv_wc wc;

	open_all();
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[0]->v.cq, 0), 0);
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[1]->v.cq, 1), 0);
	CU_ASSERT_EQUAL(vqp_post_recv(&qp->v.qp, &wr, &bad), 0);
	note(102); /* written before it went */
	hang_up();
	CU_ASSERT_PTR_EQUAL(next_note(), cq[2]);
	for (unsigned int i = 0; i < 2; i++) {
		struct fix_cq *c = next_note();

		CU_ASSERT_FATAL(c == cq[0] || c == cq[1]);
		seen |= c == cq[0] ? 1 : 2;
	}
	CU_ASSERT_EQUAL(seen, 3);
	CU_ASSERT(vctx_dead(&f->ctx));
	CU_ASSERT_PTR_NULL(next_note());
	CU_ASSERT_EQUAL(errno, EIO);
	/* armed again: there is something to poll, then nothing */
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[1]->v.cq, 0), 0);
	CU_ASSERT_PTR_EQUAL(next_note(), cq[1]);
	CU_ASSERT_EQUAL(vcq_poll(&cq[1]->v.cq, 1, &wc), 1);
	CU_ASSERT_EQUAL(wc.wr_id, 9);
	CU_ASSERT_EQUAL(wc.status, IBV_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[1]->v.cq, 0), 0);
	CU_ASSERT_PTR_NULL(next_note());
	CU_ASSERT_EQUAL(errno, EIO);
	shut();
}

static void *wait_run(void *arg)
{
	struct waiter *w = arg;

	w->i = next_note() == cq[0];
	atomic_store(&w->done, true);
	return NULL;
}

PHCA_TEST(event, dead_appliance_wakes_who_waits)
{
	struct waiter w = { 0 };

	open_all();
	CU_ASSERT_EQUAL(vcq_req_notify(&cq[0]->v.cq, 0), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&w.thread, NULL, wait_run, &w), 0);
	usleep(2000);
	CU_ASSERT(!atomic_load(&w.done));
	hang_up();
	pthread_join(w.thread, NULL);
	CU_ASSERT_EQUAL(w.i, 1);
	shut();
}

PHCA_TEST(event, device_fatal_once)
{
	struct ibv_async_event e;

	open_all();
	nonblock(f->ctx.v.context.async_fd);
	vctx_set_dead(&f->ctx);
	vctx_set_dead(&f->ctx);
	CU_ASSERT_EQUAL(ibv_get_async_event(&f->ctx.v.context, &e), 0);
	CU_ASSERT_EQUAL(e.event_type, IBV_EVENT_DEVICE_FATAL);
	ibv_ack_async_event(&e);
	CU_ASSERT_EQUAL(ibv_get_async_event(&f->ctx.v.context, &e), -1);
	CU_ASSERT_EQUAL(errno, EAGAIN);
	shut();
}

/* --------------------------------------------------------------- asynchronous events */

PHCA_TEST(event, asynchronous_events_name_their_objects)
{
	static const enum ibv_event_type of_qp[] = {
		IBV_EVENT_QP_FATAL, IBV_EVENT_QP_REQ_ERR, IBV_EVENT_QP_ACCESS_ERR, IBV_EVENT_COMM_EST,
		IBV_EVENT_SQ_DRAINED, IBV_EVENT_QP_LAST_WQE_REACHED,
	};
	struct ibv_async_event e;
	struct vsrq srq = { .srqn = 5 };

	open_all();
	pthread_mutex_init(&srq.srq.mutex, NULL);
	pthread_cond_init(&srq.srq.cond, NULL);
	srq.srq.context = &f->ctx.v.context;
	CU_ASSERT_EQUAL(vtable_set(&f->ctx.srqs, 5, &srq), 0);
	for (unsigned int i = 0; i < 6; i++) {
		event(of_qp[i], QPN + 1); /* none */
		event(of_qp[i], QPN);
		CU_ASSERT_EQUAL(ibv_get_async_event(&f->ctx.v.context, &e), 0);
		CU_ASSERT_EQUAL(e.event_type, of_qp[i]);
		CU_ASSERT_PTR_EQUAL(e.element.qp, &qp->v.qp);
		CU_ASSERT_EQUAL(qp->v.async_events, i + 1);
		ibv_ack_async_event(&e);
		CU_ASSERT_EQUAL(qp->v.qp.events_completed, i + 1);
	}
	event(IBV_EVENT_SRQ_LIMIT_REACHED, 5);
	CU_ASSERT_EQUAL(ibv_get_async_event(&f->ctx.v.context, &e), 0);
	CU_ASSERT_PTR_EQUAL(e.element.srq, &srq.srq);
	ibv_ack_async_event(&e);
	CU_ASSERT_EQUAL(srq.srq.events_completed, 1);
	event(IBV_EVENT_SRQ_LIMIT_REACHED, 5);
	vtable_set(&f->ctx.srqs, 5, NULL);
	vsrq_wait_acked(&srq);
	CU_ASSERT(!readable(f->ctx.v.context.async_fd));
	event(IBV_EVENT_CQ_ERR, 102);
	CU_ASSERT_EQUAL(ibv_get_async_event(&f->ctx.v.context, &e), 0);
	CU_ASSERT_PTR_EQUAL(e.element.cq, &cq[2]->v.cq);
	ibv_ack_async_event(&e);
	CU_ASSERT_EQUAL(cq[2]->v.cq.async_events_completed, 1);
	event(IBV_EVENT_PORT_ERR, 1);
	CU_ASSERT_EQUAL(ibv_get_async_event(&f->ctx.v.context, &e), 0);
	CU_ASSERT_EQUAL(e.event_type, IBV_EVENT_PORT_ERR);
	CU_ASSERT_EQUAL(e.element.port_num, 1);
	ibv_ack_async_event(&e);
	event(IBV_EVENT_QP_FATAL, QPN);
	vtable_set(&f->ctx.qps, QPN, NULL);
	vqp_wait_acked(&qp->v);
	CU_ASSERT(!readable(f->ctx.v.context.async_fd));
	shut();
}

/* ----------------------------------------------------------------- channels */

struct server {
	pthread_t thread;
	int sock, fd; /* fd goes along with answers to CHANNEL_CREATE; -1: none does */
	int32_t status;
	unsigned int destroyed;
};

static void answer(struct server *s, const struct phca_admin_req *req)
{
	struct phca_admin_ans ans = { .magic = PHCA_ADMIN_MAGIC, .op = req->op, .seq = req->seq, .status = s->status };
	bool with_fd = req->op == PHCA_ADMIN_CHANNEL_CREATE && s->fd >= 0;
	union { char b[CMSG_SPACE(sizeof(int))]; struct cmsghdr h; } c = { .h = {
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { .iov_base = &ans };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	ans.len = (uint16_t)(s->status != 0 ? PHCA_ADMIN_ANS_HDR : phca_admin_ans_len(req->op));
	ans.u.handle[0] = 77;
	iov.iov_len = ans.len;
	if (with_fd) {
		memcpy(CMSG_DATA(&c.h), &s->fd, sizeof(int));
		m.msg_control = &c;
		m.msg_controllen = sizeof(c);
	}
	if (req->op == PHCA_ADMIN_CHANNEL_DESTROY && req->u.handle[0] == 77)
		s->destroyed++;
	(void)!sendmsg(s->sock, &m, 0);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct phca_admin_req req;

	while (recv(s->sock, &req, sizeof(req), 0) > 0)
		answer(s, &req);
	return NULL;
}

PHCA_TEST(event, channels_are_made_and_destroyed)
{
	struct ibv_comp_channel *ch;
	struct server s = { 0 };
	int sock[2], p[2];

	open_all();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
	CU_ASSERT_EQUAL_FATAL(pipe2(p, O_CLOEXEC), 0);
	f->ctx.sock = sock[0];
	s.sock = sock[1];
	s.fd = p[0];
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s.thread, NULL, serve, &s), 0);
	ch = ibv_create_comp_channel(&f->ctx.v.context);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ch);
	CU_ASSERT_PTR_EQUAL(ch->context, &f->ctx.v.context);
	CU_ASSERT_EQUAL(ch->refcnt, 0);
	CU_ASSERT_EQUAL(write(p[1], "12345678", 8), 8);
	CU_ASSERT(readable(ch->fd));
	ch->refcnt = 1;
	CU_ASSERT_EQUAL(ibv_destroy_comp_channel(ch), EBUSY);
	ch->refcnt = 0;
	CU_ASSERT_EQUAL(ibv_destroy_comp_channel(ch), 0);
	s.fd = -1; /* no descriptor came: of no use */
	CU_ASSERT_PTR_NULL(ibv_create_comp_channel(&f->ctx.v.context));
	CU_ASSERT_EQUAL(errno, EPROTO);
	s.status = -ENOSPC;
	CU_ASSERT_PTR_NULL(ibv_create_comp_channel(&f->ctx.v.context));
	CU_ASSERT_EQUAL(errno, ENOSPC);
	shutdown(sock[0], SHUT_RDWR);
	pthread_join(s.thread, NULL);
	CU_ASSERT_EQUAL(s.destroyed, 1);
	close(sock[0]);
	close(sock[1]);
	close(p[0]);
	close(p[1]);
	shut();
}
