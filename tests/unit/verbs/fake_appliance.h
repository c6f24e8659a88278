/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An appliance of one thread that serves one client at a time: it answers every request of
 * lib/admin with what is easiest, and remembers the last request of each op. A test makes
 * it refuse, misbehave or vanish.
 */
#ifndef FAKE_APPLIANCE_H
#define FAKE_APPLIANCE_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "phca_admin.h"
#include "phca_test.h"

#define FAKE_ARENA (1u << 22)
#define FAKE_OPS 64
#define FAKE_INLINE 64 /* bytes inline that it takes */
#define FAKE_GIDS 3    /* entries 0, 1 and 4 of 8 */

struct fake {
	char dir[64], path[96];
	int listener, client, events_wr, arena_fd;
	uint8_t *arena;
	uint64_t used;          /* bytes of the arena */
	uint32_t next;          /* handle, number */
	pthread_t thread;
	int stop_fd;
	_Atomic bool stopped;
	const char *name;       /* of the device */
	uint8_t guid;

	/* What a test sets. */
	_Atomic int refuse[FAKE_OPS];     /* negative errno of the next answer */
	_Atomic uint32_t refuse_n[FAKE_OPS]; /* how often; 0: once */
	_Atomic bool babble;              /* answers make no sense */
	_Atomic uint32_t version;         /* 0: ours */

	/* What a test looks at. */
	_Atomic uint32_t count[FAKE_OPS];
	struct phca_admin_req last[FAKE_OPS];
	struct phca_admin_seg seg[PHCA_ADMIN_SEGS_MAX]; /* of the last MR_REG */
	_Atomic uint32_t fds_got;
	struct phca_admin_qp_attr attr;   /* of the QP */
};

static inline void fake_ring(struct fake *f, struct phca_admin_ring *r, enum phca_ring_type type,
		uint32_t want, uint32_t stride)
{
	uint32_t size = 1;

	while (size < want)
		size <<= 1;
	r->offset = f->used;
	r->bytes = phca_ring_bytes(size, stride);
	f->used += (r->bytes + 63) & ~UINT64_C(63);
	CU_ASSERT_FATAL(f->used <= FAKE_ARENA);
	CU_ASSERT_EQUAL_FATAL(phca_ring_format(f->arena + r->offset, type, size, stride), 0);
}

static inline void fake_device(const struct fake *f, struct phca_admin_device *d)
{
	snprintf(d->name, sizeof(d->name), "%s", f->name);
	snprintf(d->fw_ver, sizeof(d->fw_ver), "1.2.3");
	d->node_guid[0] = 2;
	d->node_guid[7] = f->guid;
	d->max_mr_size = UINT64_C(1) << 40;
	d->vendor_id = 0x1234;
	d->vendor_part_id = 7;
	d->nb_ports = 1;
	d->max_qp = 100;
	d->max_qp_wr = 1000;
	d->max_sge = 4;
	d->max_inline = FAKE_INLINE;
	d->max_cq = 100;
	d->max_cqe = 4096;
	d->max_mr = 100;
	d->max_mw = 100;
	d->max_pd = 100;
	d->max_rd_atomic = 16;
	d->max_srq = 10;
	d->max_srq_wr = 1000;
	d->max_srq_sge = 4;
	d->max_mcast_grp = 5;
	d->max_mcast_qp_attach = 6;
	d->max_channel = 10;
}

static inline void fake_hello(struct fake *f, const struct phca_admin_hello *h, struct phca_admin_ans *a,
		int *fds, uint32_t *nb)
{
	struct phca_admin_hello_ans *w = &a->u.hello;
	int p[2];

	w->version = f->version != 0 ? f->version : PHCA_ADMIN_VERSION;
	w->queue_abi = PHCA_QUEUE_ABI;
	if (w->version != h->version) {
		a->status = -EPROTO;
		return;
	}
	fake_device(f, &w->device);
	w->arena_bytes = FAKE_ARENA;
	w->nb_shards = 1;
	f->used = 0;
	fake_ring(f, &w->db[0], PHCA_RING_DB, 256, 4);
	if (h->flags & PHCA_ADMIN_HELLO_PROBE)
		return;
	CU_ASSERT_EQUAL_FATAL(pipe2(p, O_CLOEXEC), 0);
	f->events_wr = p[1];
	fds[0] = dup(f->arena_fd);
	fds[1] = p[0];
	fds[2] = eventfd(0, EFD_CLOEXEC);
	*nb = 3;
}

static inline uint32_t fake_gids(uint8_t *to)
{
	static const uint32_t index[FAKE_GIDS] = { 0, 1, 4 };
	struct phca_admin_gid g[FAKE_GIDS];

	memset(g, 0, sizeof(g));
	for (unsigned int i = 0; i < FAKE_GIDS; i++)
		g[i].index = index[i];
	g[0].gid[0] = 0xfe, g[0].gid[1] = 0x80, g[0].gid[15] = 1;
	for (unsigned int i = 1; i < FAKE_GIDS; i++) {
		g[i].gid[10] = g[i].gid[11] = 0xff;
		g[i].gid[12] = 10, g[i].gid[15] = (uint8_t)i;
	}
	memcpy(to, g, sizeof(g));
	return FAKE_GIDS;
}

static inline void fake_qp(struct fake *f, const struct phca_admin_qp_create *c, struct phca_admin_qp_ans *q)
{
	q->handle = ++f->next;
	q->qpn = 0x1000 + q->handle;
	q->max_send_wr = c->max_send_wr;
	q->max_recv_wr = c->max_recv_wr;
	q->max_send_sge = c->max_send_sge;
	q->max_recv_sge = c->max_recv_sge;
	q->max_inline = FAKE_INLINE;
	fake_ring(f, &q->sq, PHCA_RING_SQ, c->max_send_wr, phca_send_stride(c->max_send_sge, FAKE_INLINE));
	if (c->srq == PHCA_ADMIN_NONE)
		fake_ring(f, &q->rq, PHCA_RING_RQ, c->max_recv_wr, phca_recv_stride(c->max_recv_sge));
}

static inline void fake_op(struct fake *f, const struct phca_admin_req *q, struct phca_admin_ans *a, int *fds,
		uint32_t *nb)
{
	switch (q->op) {
	case PHCA_ADMIN_HELLO:
		fake_hello(f, &q->u.hello, a, fds, nb);
		break;
	case PHCA_ADMIN_PORT_QUERY:
		a->u.port = (struct phca_admin_port){ .state = 4, .max_mtu = 4096, .active_mtu = 1024,
			.gid_tbl_len = 8, .max_msg_sz = 1u << 31, .speed_bps = UINT64_C(100000000000) };
		break;
	case PHCA_ADMIN_CLOCK:
		a->u.now_ns = 123456789;
		break;
	case PHCA_ADMIN_RESOLVE:
		memcpy(a->u.mac, "\2\0\0\0\0\7", 6);
		break;
	case PHCA_ADMIN_CQ_CREATE:
	case PHCA_ADMIN_CQ_RESIZE:
		a->u.cq.handle = q->op == PHCA_ADMIN_CQ_CREATE ? ++f->next : q->u.cq_resize.handle;
		a->u.cq.cqn = a->u.cq.handle;
		a->u.cq.cqe = q->op == PHCA_ADMIN_CQ_CREATE ? q->u.cq_create.cqe : q->u.cq_resize.cqe;
		fake_ring(f, &a->u.cq.ring, PHCA_RING_CQ, a->u.cq.cqe, sizeof(struct phca_cqe));
		break;
	case PHCA_ADMIN_SRQ_CREATE:
		a->u.srq = (struct phca_admin_srq_ans){ .handle = ++f->next, .srqn = 77,
			.max_wr = q->u.srq_create.max_wr, .max_sge = q->u.srq_create.max_sge };
		fake_ring(f, &a->u.srq.ring, PHCA_RING_RQ, a->u.srq.max_wr, phca_recv_stride(a->u.srq.max_sge));
		break;
	case PHCA_ADMIN_SRQ_QUERY:
		a->u.srq = (struct phca_admin_srq_ans){ .max_wr = 16, .max_sge = 2, .limit = 5 };
		break;
	case PHCA_ADMIN_QP_CREATE:
		fake_qp(f, &q->u.qp_create, &a->u.qp);
		break;
	case PHCA_ADMIN_QP_MODIFY:
		f->attr = q->u.qp_modify.attr;
		a->u.attr = f->attr;
		break;
	case PHCA_ADMIN_QP_QUERY:
		a->u.attr = f->attr;
		break;
	default: /* a handle, and what may be a key */
		a->u.handle[0] = ++f->next;
		a->u.handle[1] = 0x4400 + f->next;
	}
}

/* An answer, with descriptors that are closed here. */
static inline void fake_send(struct fake *f, const void *a, size_t len, const int *fds, uint32_t nb)
{
	char c[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec v = { .iov_base = (void *)(uintptr_t)a, .iov_len = len };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (nb > 0) {
		m.msg_control = c;
		m.msg_controllen = CMSG_SPACE(nb * sizeof(int));
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(nb * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, nb * sizeof(int));
	}
	sendmsg(f->client, &m, MSG_NOSIGNAL);
	for (uint32_t i = 0; i < nb; i++)
		close(fds[i]);
}

static inline void fake_answer(struct fake *f, const struct phca_admin_req *q)
{
	union {
		struct phca_admin_ans a;
		uint8_t b[PHCA_ADMIN_MSG_MAX];
	} m;
	uint32_t nb = 0, len = phca_admin_ans_len(q->op);
	int fds[8], no = atomic_load(&f->refuse[q->op]);

	memset(&m, 0, sizeof(m));
	m.a.magic = PHCA_ADMIN_MAGIC;
	m.a.op = q->op;
	m.a.seq = atomic_load(&f->babble) ? q->seq + 1 : q->seq;
	m.a.status = no;
	if (no != 0 && (f->refuse_n[q->op] == 0 || --f->refuse_n[q->op] == 0))
		f->refuse[q->op] = 0;
	if (no == 0) {
		fake_op(f, q, &m.a, fds, &nb);
		if (q->op == PHCA_ADMIN_GIDS_QUERY) {
			m.a.u.nb_gids = fake_gids(m.b + len);
			len += m.a.u.nb_gids * (uint32_t)sizeof(struct phca_admin_gid);
		}
	} else {
		len = PHCA_ADMIN_ANS_HDR;
	}
	m.a.len = (uint16_t)len;
	fake_send(f, &m, len, fds, nb);
}

/* Take a request. @return false: the client is gone */
static inline bool fake_serve(struct fake *f)
{
	static union {
		struct phca_admin_req q;
		uint8_t b[PHCA_ADMIN_MSG_MAX];
	} m;
	char c[CMSG_SPACE(PHCA_ADMIN_FDS_MAX * sizeof(int))];
	struct iovec v = { .iov_base = &m, .iov_len = sizeof(m) };
	struct msghdr h = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof(c) };
	ssize_t n = recvmsg(f->client, &h, MSG_CMSG_CLOEXEC);
	struct cmsghdr *cm;

	if (n < PHCA_ADMIN_REQ_HDR || m.q.op >= FAKE_OPS)
		return false;
	cm = CMSG_FIRSTHDR(&h);
	for (size_t i = 0; cm != NULL && i < (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
		close(fd);
		f->fds_got++;
	}
	memset(&f->last[m.q.op], 0, sizeof(m.q));
	memcpy(&f->last[m.q.op], &m.q, phca_admin_req_len(m.q.op));
	if (m.q.op == PHCA_ADMIN_MR_REG)
		memcpy(f->seg, m.b + phca_admin_req_len(m.q.op), (size_t)n - phca_admin_req_len(m.q.op));
	f->count[m.q.op]++;
	fake_answer(f, &m.q);
	return true;
}

static inline void *fake_run(void *arg)
{
	struct fake *f = arg;
	struct pollfd p[3] = { { .fd = f->stop_fd, .events = POLLIN }, { .fd = f->listener, .events = POLLIN },
		{ .fd = -1, .events = POLLIN } };

	while (poll(p, 3, -1) >= 0 && p[0].revents == 0) {
		if (p[1].revents) { /* the newest client is the one that is served */
			if (f->client >= 0)
				close(f->client);
			f->client = p[2].fd = accept(f->listener, NULL, NULL);
		} else if (p[2].revents && !fake_serve(f)) {
			close(f->client);
			f->client = p[2].fd = -1;
		}
	}
	if (f->client >= 0)
		close(f->client);
	return NULL;
}

static inline struct fake *fake_start(const char *dir, const char *file, const char *name)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	snprintf(f->dir, sizeof(f->dir), "%s", dir);
	snprintf(f->path, sizeof(f->path), "%s/%s", dir, file);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", f->path);
	f->name = name;
	f->guid = (uint8_t)file[0];
	f->client = f->events_wr = -1;
	f->arena_fd = memfd_create("fake", MFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(ftruncate(f->arena_fd, FAKE_ARENA), 0);
	f->arena = mmap(NULL, FAKE_ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, f->arena_fd, 0);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(f->listener, 4), 0);
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&f->thread, NULL, fake_run, f), 0);
	return f;
}

/* As when its process ends. */
static inline void fake_die(struct fake *f)
{
	const uint64_t one = 1;

	if (atomic_exchange(&f->stopped, true))
		return;
	CU_ASSERT_EQUAL(write(f->stop_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(f->thread, NULL);
	close(f->listener);
	if (f->events_wr >= 0)
		close(f->events_wr);
	unlink(f->path);
}

static inline void fake_stop(struct fake *f)
{
	fake_die(f);
	munmap(f->arena, FAKE_ARENA);
	close(f->arena_fd);
	close(f->stop_fd);
	free(f);
}

#endif
