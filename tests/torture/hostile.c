/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client that means harm. It speaks the admin protocol itself, makes objects as
 * anyone would, connects queue pairs to each other, and then
 *
 *   - writes at random into the memory that it shares with the appliance: indices,
 *     sizes, work requests, doorbells, while the HCA works on them;
 *   - posts work requests with random opcodes, lengths, keys and addresses;
 *   - takes away the memory that it registered: truncates files, punches holes;
 *   - sends requests with random contents, lengths and descriptors.
 *
 *   hostile SOCKET SEED SECONDS
 *
 * Exit status 0: it did that for so long, whatever was refused to it; or the
 * appliance closed the connection, after which it connected anew. 2: the
 * appliance is not there (any more).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "phca_admin.h"
#include "torture.h"

#define MEM_LEN (64 * 4096u)
#define QPS 4
#define NUMBERS 12 /* what a request says at random comes from so many numbers that are nearly right */

static struct {
	uint64_t s;
	const char *path;
	int sock;
	uint32_t seq;
	uint8_t *arena;
	size_t arena_bytes;
	int fds[PHCA_ADMIN_FDS_MAX]; /* of the last answer */
	unsigned int nb_fds;
	int wake;
	struct phca_admin_hello_ans hello;
	int file;                    /* what is registered; it shrinks and grows */
	uint8_t *mem;
	uint32_t key, pd, cq;
	struct phca_admin_qp_ans qp[QPS];
	struct phca_ring sq[QPS], rq[QPS];
	uint64_t sent, refused, closed, posted;
} h;

static void give_up(const char *what)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	exit(EXIT_CALL);
}

/* ------------------------------------------------------------ messages */

static bool send_raw(const void *msg, size_t len, const int *fds, unsigned int nb_fds)
{
	union { struct cmsghdr align; char buf[CMSG_SPACE(sizeof(int) * PHCA_ADMIN_FDS_MAX)]; } c;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)msg, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&c, 0, sizeof(c));
	if (nb_fds > 0) {
		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nb_fds);
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof(int) * nb_fds);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, sizeof(int) * nb_fds);
	}
	return sendmsg(h.sock, &m, MSG_NOSIGNAL) == (ssize_t)len;
}

static ssize_t receive(void *msg, size_t len)
{
	union { struct cmsghdr align; char buf[CMSG_SPACE(sizeof(int) * PHCA_ADMIN_FDS_MAX)]; } c;
	struct iovec iov = { .iov_base = msg, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf) };
	ssize_t n = recvmsg(h.sock, &m, MSG_CMSG_CLOEXEC);

	h.nb_fds = 0;
	for (struct cmsghdr *p = CMSG_FIRSTHDR(&m); n > 0 && p != NULL; p = CMSG_NXTHDR(&m, p)) {
		h.nb_fds = (unsigned int)((p->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(h.fds, CMSG_DATA(p), h.nb_fds * sizeof(int));
	}
	return n;
}

static void fds_close(unsigned int from)
{
	for (unsigned int i = from; i < h.nb_fds; i++)
		close(h.fds[i]);
	h.nb_fds = 0;
}

/* A request as it should be. @return status; -EPIPE: the appliance closed */
static int ask(struct phca_admin_req *q, uint32_t op, const struct phca_admin_seg *seg, const int *fd,
		struct phca_admin_ans *a)
{
	uint8_t msg[sizeof(*q) + sizeof(*seg)];
	uint32_t len = phca_admin_req_len(op);

	q->magic = PHCA_ADMIN_MAGIC;
	q->op = (uint16_t)op;
	q->seq = h.seq++;
	q->nb_fds = fd != NULL;
	q->len = (uint16_t)(len + (seg != NULL ? sizeof(*seg) : 0));
	memcpy(msg, q, len);
	if (seg != NULL)
		memcpy(msg + len, seg, sizeof(*seg));
	memset(a, 0, sizeof(*a));
	if (!send_raw(msg, q->len, fd, fd != NULL) || receive(a, sizeof(*a)) <= 0)
		return -EPIPE;
	h.sent++;
	h.refused += a->status != 0;
	return a->status;
}

static int ask_handle(uint32_t op, uint32_t handle, struct phca_admin_ans *a)
{
	struct phca_admin_req q = { .u.handle = { handle } };

	return ask(&q, op, NULL, NULL, a);
}

/* --------------------------------------------------------- as it should be */

static int dial(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", h.path);
	h.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return h.sock >= 0 ? connect(h.sock, (struct sockaddr *)&addr, sizeof(addr)) : -1;
}

static int hello(void)
{
	struct phca_admin_req q = { .u.hello = { .version = PHCA_ADMIN_VERSION, .queue_abi = PHCA_QUEUE_ABI } };
	struct phca_admin_ans a;
	int rc = ask(&q, PHCA_ADMIN_HELLO, NULL, NULL, &a);

	if (rc != 0)
		return rc;
	h.hello = a.u.hello;
	h.arena_bytes = h.hello.arena_bytes;
	h.arena = mmap(NULL, h.arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, h.fds[0], 0);
	if (h.arena == MAP_FAILED)
		give_up("arena");
	/* it is sealed: nobody takes it away under the appliance */
	if (ftruncate(h.fds[0], 0) == 0)
		die(EXIT_MEMORY, "arena: it could be truncated\n");
	h.wake = h.fds[2];
	close(h.fds[0]);
	close(h.fds[1]);
	h.fds[2] = h.fds[h.nb_fds - 1];
	h.nb_fds = 0;
	return 0;
}

static int memory(void)
{
	struct phca_admin_req q = { 0 };
	struct phca_admin_ans a;
	struct phca_admin_seg seg = { .length = MEM_LEN, .kind = PHCA_ADMIN_SEG_FILE, .writable = 1 };
	int rc;

	h.file = memfd_create("hostile", MFD_CLOEXEC);
	if (h.file < 0 || ftruncate(h.file, MEM_LEN) != 0)
		give_up("memfd");
	h.mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, h.file, 0);
	rc = ask(&q, PHCA_ADMIN_PD_ALLOC, NULL, NULL, &a);
	h.pd = a.u.handle[0];
	if (rc != 0)
		return rc;
	memset(&q, 0, sizeof(q));
	seg.va = (uintptr_t)h.mem;
	q.u.mr_reg = (struct phca_admin_mr_reg){
		.addr = seg.va, .length = MEM_LEN, .iova = seg.va, .pd = h.pd, .access = 0x0f, .nb_segs = 1,
	};
	rc = ask(&q, PHCA_ADMIN_MR_REG, &seg, &h.file, &a);
	h.key = a.u.handle[1];
	return rc;
}

static int modify(unsigned int i, uint32_t state, uint32_t mask)
{
	struct phca_admin_req q = { 0 };
	struct phca_admin_ans a;
	struct phca_admin_qp_attr *t = &q.u.qp_modify.attr;

	q.u.qp_modify.handle = h.qp[i].handle;
	q.u.qp_modify.mask = mask;
	t->state = state;
	t->path_mtu = 1024;
	t->port_num = 1;
	t->access = 0x0f;
	t->dest_qpn = h.qp[i ^ 1].qpn;
	t->timeout = 10;
	t->retry_cnt = t->rnr_retry = 7;
	t->max_rd_atomic = t->max_dest_rd_atomic = 4;
	t->min_rnr_timer = 1;
	t->av.sgid_index = 1; /* the IPv4 address of the tests' appliance */
	memcpy(t->av.dgid, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x07\0\x01", 16);
	return ask(&q, PHCA_ADMIN_QP_MODIFY, NULL, NULL, &a);
}

static int queue_pair(unsigned int i)
{
	struct phca_admin_req q = { 0 };
	struct phca_admin_ans a;
	int rc;

	q.u.qp_create = (struct phca_admin_qp_create){
		.type = 2, .pd = h.pd, .send_cq = h.cq, .recv_cq = h.cq, .srq = PHCA_ADMIN_NONE, .max_send_wr = 64,
		.max_recv_wr = 64, .max_send_sge = 4, .max_recv_sge = 4, .max_inline = 64,
	};
	rc = ask(&q, PHCA_ADMIN_QP_CREATE, NULL, NULL, &a);
	if (rc != 0)
		return rc;
	h.qp[i] = a.u.qp;
	if (phca_ring_attach(&h.sq[i], h.arena + a.u.qp.sq.offset, a.u.qp.sq.bytes, PHCA_RING_SQ) != 0 ||
	    phca_ring_attach(&h.rq[i], h.arena + a.u.qp.rq.offset, a.u.qp.rq.bytes, PHCA_RING_RQ) != 0)
		die(EXIT_CALL, "rings of a queue pair: not attached\n");
	return 0;
}

static void undo(void)
{
	if (h.sock > 0)
		close(h.sock);
	if (h.arena != NULL)
		munmap(h.arena, h.arena_bytes);
	if (h.mem != NULL) {
		munmap(h.mem, MEM_LEN);
		close(h.file);
	}
	h.arena = h.mem = NULL;
	h.sock = 0;
}

/* Everything anew. @return 0: queue pairs are connected; -EPIPE */
static int begin(void)
{
	struct phca_admin_req q = { .u.cq_create = { .cqe = 512, .channel = PHCA_ADMIN_NONE } };
	struct phca_admin_ans a;
	int rc;

	undo();
	if (dial() != 0)
		give_up(h.path);
	rc = hello();
	if (rc == 0)
		rc = memory();
	if (rc == 0)
		rc = ask(&q, PHCA_ADMIN_CQ_CREATE, NULL, NULL, &a);
	h.cq = a.u.cq.handle;
	for (unsigned int i = 0; i < QPS && rc == 0; i++)
		rc = queue_pair(i);
	for (unsigned int i = 0; i < QPS && rc == 0; i++) {
		rc = modify(i, 1, 0x01 | 0x10 | 0x20 | 0x08);
		if (rc == 0)
			rc = modify(i, 2, 0x01 | 0x80 | 0x100 | 0x100000 | 0x1000 | 0x20000 | 0x8000);
		if (rc == 0)
			rc = modify(i, 3, 0x01 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x2000);
	}
	return rc;
}

/* ------------------------------------------------------------- mischief */

static uint64_t nearly(void)
{
	const uint64_t some[NUMBERS] = {
		0, 1, h.key, h.key + 1, (uintptr_t)h.mem, (uintptr_t)h.mem + MEM_LEN - 1, UINT64_MAX, UINT32_MAX,
		0x80000000u, 4096, h.qp[0].qpn, rnd(&h.s),
	};

	return some[rnd(&h.s) % NUMBERS];
}

/* A work request of which any field may be wrong. */
static void post(void)
{
	unsigned int i = rnd(&h.s) % QPS;
	struct phca_ring *r = &h.sq[i], db;
	struct phca_send_wqe *w;

	if (phca_ring_free(r, 1) == 0)
		return;
	w = phca_ring_next(r);
	memset(w, 0, r->stride);
	w->wr_id = h.posted++;
	w->opcode = (uint8_t)(rnd(&h.s) % 16 == 0 ? rnd(&h.s) : rnd(&h.s) % 10);
	w->flags = (uint16_t)(rnd(&h.s) % 16 == 0 ? rnd(&h.s) : rnd(&h.s) % 8);
	w->num_sge = rnd(&h.s) % 8 == 0 ? (uint32_t)nearly() : rnd(&h.s) % 4;
	w->inline_len = rnd(&h.s) % 8 == 0 ? (uint32_t)nearly() : 0;
	w->u.rdma.remote_addr = rnd(&h.s) % 4 == 0 ? nearly() : (uintptr_t)h.mem + rnd(&h.s) % MEM_LEN;
	w->u.rdma.rkey = rnd(&h.s) % 8 == 0 ? (uint32_t)nearly() : h.key;
	for (unsigned int k = 0; k < 4; k++)
		phca_send_sge(w)[k] = (struct phca_sge){
			.addr = rnd(&h.s) % 8 == 0 ? nearly() : (uintptr_t)h.mem + rnd(&h.s) % MEM_LEN,
			.length = rnd(&h.s) % 8 == 0 ? (uint32_t)nearly() : rnd(&h.s) % 8192,
			.lkey = rnd(&h.s) % 8 == 0 ? (uint32_t)nearly() : h.key,
		};
	phca_ring_publish(r);
	if (phca_ring_attach(&db, h.arena + h.hello.db[h.qp[i].shard].offset, h.hello.db[h.qp[i].shard].bytes,
			PHCA_RING_DB) != 0)
		return;
	db.own = __atomic_load_n(&db.hdr->prod, __ATOMIC_RELAXED);
	phca_db_ring(&db, r, rnd(&h.s) % 32 == 0 ? (uint32_t)nearly() : h.qp[i].qpn);
}

static void receive_post(void)
{
	struct phca_ring *r = &h.rq[rnd(&h.s) % QPS];
	struct phca_recv_wqe *w;

	if (phca_ring_free(r, 1) == 0)
		return;
	w = phca_ring_next(r);
	*w = (struct phca_recv_wqe){ .num_sge = rnd(&h.s) % 16 == 0 ? (uint32_t)nearly() : 1 };
	phca_recv_sge(w)[0] = (struct phca_sge){
		.addr = rnd(&h.s) % 8 == 0 ? nearly() : (uintptr_t)h.mem, .length = MEM_LEN,
		.lkey = rnd(&h.s) % 8 == 0 ? (uint32_t)nearly() : h.key,
	};
	phca_ring_publish(r);
}

/* The rings' first pages are the appliance's and ours at once. */
static void scribble(void)
{
	uint64_t rings[3 + QPS];
	volatile uint32_t *at;
	unsigned int n = 0;

	rings[n++] = h.hello.db[0].offset;
	for (unsigned int i = 0; i < QPS; i++)
		rings[n++] = i % 2 ? h.qp[i].sq.offset : h.qp[i].rq.offset;
	at = (volatile uint32_t *)(void *)(h.arena + rings[rnd(&h.s) % n] + rnd(&h.s) % 512 / 4 * 4);
	*at = rnd(&h.s) % 2 ? rnd(&h.s) : (uint32_t)nearly();
}

/* What is registered goes away, in part or in whole, and comes back. */
static void shrink(void)
{
	if (ftruncate(h.file, rnd(&h.s) % MEM_LEN) != 0)
		give_up("memory: not truncated");
	usleep(rnd(&h.s) % 2000);
	if (fallocate(h.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, rnd(&h.s) % MEM_LEN + 1) != 0)
		give_up("memory: no hole");
	if (ftruncate(h.file, MEM_LEN) != 0)
		give_up("memory: not grown");
}

/* @return -EPIPE: the appliance closed, as it may */
static int talk(void)
{
	static const uint16_t ops[] = {
#define OP(e, n, s) PHCA_ADMIN_##e,
		PHCA_ADMIN_OPS(OP)
#undef OP
	};
	uint32_t msg[1024], answer[1024];
	struct phca_admin_req *q = (void *)msg;
	uint32_t op = ops[rnd(&h.s) % (sizeof(ops) / sizeof(ops[0]))], len = phca_admin_req_len(op);
	int fds[4] = { h.file, h.sock, 0, 1 };
	unsigned int nb_fds = rnd(&h.s) % 8 == 0 ? rnd(&h.s) % 5 : 0;

	for (unsigned int i = 0; i < sizeof(msg) / 4; i++)
		msg[i] = rnd(&h.s) % 2 ? (uint32_t)nearly() : rnd(&h.s) % 8;
	q->magic = PHCA_ADMIN_MAGIC;
	q->op = (uint16_t)op;
	q->nb_fds = nb_fds;
	if (rnd(&h.s) % 16 == 0)
		len = rnd(&h.s) % sizeof(msg) + 1;
	q->len = (uint16_t)len;
	if (rnd(&h.s) % 64 == 0)
		msg[rnd(&h.s) % 4] = rnd(&h.s);
	h.sent++;
	if (!send_raw(msg, len, fds, nb_fds) || receive(answer, sizeof(answer)) <= 0)
		return -EPIPE;
	fds_close(0);
	return 0;
}

int main(int argc, char **argv)
{
	struct phca_admin_ans a;
	time_t end;

	if (argc != 4)
		die(1, "usage: hostile SOCKET SEED SECONDS\n");
	h.path = argv[1];
	h.s = strtoull(argv[2], NULL, 0) * 0x9e3779b97f4a7c15ull + 1;
	end = time(NULL) + strtol(argv[3], NULL, 0);
	if (begin() != 0)
		die(EXIT_CALL, "the first objects: refused\n");
	while (time(NULL) < end) {
		unsigned int what = rnd(&h.s) % 1000;
		int rc = 0;

		if (what < 500)
			post();
		else if (what < 800)
			receive_post();
		else if (what < 960)
			scribble();
		else if (what < 965)
			shrink();
		else if (what < 990)
			rc = talk();
		else if (what < 991)
			rc = ask_handle(PHCA_ADMIN_QP_DESTROY, h.qp[rnd(&h.s) % QPS].handle, &a) == -EPIPE ? -EPIPE : 0;
		else if (what < 992 || rnd(&h.s) % 64 == 0)
			rc = -EPIPE; /* enough of this one: all anew */
		if (rc != 0) {
			h.closed++;
			while (begin() == -EPIPE && time(NULL) < end)
				usleep(1000);
		}
	}
	printf("%llu requests, %llu refused, %llu connections, %llu posted\n", (unsigned long long)h.sent,
		(unsigned long long)h.refused, (unsigned long long)h.closed + 1, (unsigned long long)h.posted);
	return 0;
}
