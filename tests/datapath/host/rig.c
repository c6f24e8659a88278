/* SPDX-License-Identifier: BSD-3-Clause */
/* The server and its clients by hand: see rig.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_errno.h>

#include "rig.h"

unsigned int rig_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

unsigned int rig_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned int n = 0;

	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

static void on_created(void *arg, const struct phca_host_qp *q)
{
	struct rig *r = arg;

	r->created++;
	r->last = *q;
	r->who = *q->client;
}

static void on_connected(void *arg, const struct phca_host_qp *q)
{
	struct rig *r = arg;

	r->connected++;
	r->last = *q;
}

static void on_qp_gone(void *arg, struct phca_qp *qp)
{
	(void)qp;
	((struct rig *)arg)->qps_gone++;
}

static void on_gone(void *arg, const struct phca_host_info *info)
{
	struct rig *r = arg;

	r->gone++;
	r->who = *info;
}

static struct rig *open_with(const struct phca_host_limits *limits, bool proxy)
{
	const struct lab_opts o = { .no_proxy = !proxy };
	struct rig *r = calloc(1, sizeof(*r));
	struct phca_host_conf conf = {
		.device = "phcatest", .path = r->path, .version = "1.2.3", .mode = 0600, .max_qp = 4096,
		.max_mr = 4096, .cb = { on_created, on_connected, on_qp_gone, on_gone, r },
	};
	char err[512] = "";

	r->lab = lab_open(&o);
	r->fds = rig_fds();
	r->maps = rig_maps();
	snprintf(r->dir, sizeof(r->dir), "/tmp/phca-host-XXXXXX");
	CU_ASSERT_FATAL(mkdtemp(r->dir) != NULL);
	snprintf(r->path, sizeof(r->path), "%s/sub/s.sock", r->dir);
	phca_host_limits_default(&conf.limits);
	conf.limits.arena_bytes = 64 << 20;
	if (limits != NULL)
		conf.limits = *limits;
	conf.hca = r->lab->hca;
	conf.mem = r->lab->mem;
	conf.loop = r->lab->hca_loop;
	r->host = phca_host_create(&conf, err, sizeof(err));
	if (r->host == NULL)
		fprintf(stderr, "%s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->host);
	return r;
}

struct rig *rig_open(const struct phca_host_limits *limits)
{
	return open_with(limits, false);
}

struct rig *rig_open_proxy(void)
{
	return open_with(NULL, true);
}

void rig_close(struct rig *r)
{
	char sub[96];

	CU_ASSERT_EQUAL(phca_mem_nb_mr(r->lab->mem), 0);
	CU_ASSERT_EQUAL(phca_mem_nb_mw(r->lab->mem), 0);
	phca_host_destroy(r->host);
	CU_ASSERT_EQUAL(r->created, r->qps_gone);
	CU_ASSERT_EQUAL(rig_fds(), r->fds);
	CU_ASSERT_EQUAL(rig_maps(), r->maps);
	snprintf(sub, sizeof(sub), "%s/sub", r->dir);
	CU_ASSERT_EQUAL(rmdir(sub), 0); /* the socket is gone */
	CU_ASSERT_EQUAL(rmdir(r->dir), 0);
	lab_close(r->lab);
	free(r);
}

void rig_poll(struct rig *r)
{
	while (phca_host_poll(r->host) > 0)
		;
}

struct phca_host_stats rig_stats(const struct rig *r)
{
	struct phca_host_stats st;

	phca_host_stats_get(r->host, &st);
	return st;
}

bool peer_connect(struct rig *r, struct peer *p)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	*p = (struct peer){ .r = r, .mem = -1, .arena = -1, .events = -1, .wake = -1 };
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", r->path);
	p->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return connect(p->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

static void close_all(struct peer *p)
{
	for (unsigned int i = 0; i < p->nb_fds; i++)
		close(p->fds[i]);
	p->nb_fds = 0;
}

void peer_open(struct rig *r, struct peer *p)
{
	const struct phca_admin_hello h = { .version = PHCA_ADMIN_VERSION, .queue_abi = PHCA_QUEUE_ABI };
	int ret;

	CU_ASSERT_FATAL(peer_connect(r, p));
	ret = peer_call(p, PHCA_ADMIN_HELLO, &h, sizeof(h));
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	CU_ASSERT_EQUAL_FATAL(p->nb_fds, 3);
	p->arena = p->fds[0];
	p->events = p->fds[1];
	p->wake = p->fds[2];
	p->nb_fds = 0;
	p->arena_bytes = p->ans.u.hello.arena_bytes;
	p->rings = mmap(NULL, p->arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->arena, 0);
	CU_ASSERT_FATAL(p->rings != MAP_FAILED);
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void peer_close(struct peer *p)
{
	close_all(p);
	fd_close(&p->fd);
	fd_close(&p->mem);
	fd_close(&p->arena);
	fd_close(&p->events);
	fd_close(&p->wake);
	if (p->rings != NULL)
		munmap(p->rings, p->arena_bytes);
	p->rings = NULL;
	rig_poll(p->r);
}

int peer_answer(struct peer *p)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(p->fds))];
	} control;
	uint8_t buf[PHCA_ADMIN_MSG_MAX];
	struct iovec io = { buf, sizeof(buf) };
	struct msghdr h = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(p->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *k = CMSG_FIRSTHDR(&h);

	p->ans_len = 0;
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? -EAGAIN : -EPIPE;
	if (k != NULL) {
		p->nb_fds = (unsigned int)((k->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(p->fds, CMSG_DATA(k), p->nb_fds * sizeof(int));
	}
	p->ans_len = (uint32_t)n;
	memset(&p->ans, 0, sizeof(p->ans));
	memcpy(&p->ans, buf, RTE_MIN((size_t)n, sizeof(p->ans)));
	if ((size_t)n > PHCA_ADMIN_ANS_HDR + 8 && p->ans.op == PHCA_ADMIN_GIDS_QUERY)
		memcpy(p->gids, buf + PHCA_ADMIN_ANS_HDR + 8, (size_t)n - PHCA_ADMIN_ANS_HDR - 8);
	CU_ASSERT_EQUAL(p->ans.magic, PHCA_ADMIN_MAGIC);
	CU_ASSERT_EQUAL(p->ans.len, n);
	return p->ans.status;
}

int peer_send(struct peer *p, const void *msg, size_t len, const int *fds, unsigned int nb_fds)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(2 * sizeof(p->fds))];
	} control = { .bytes = { 0 } };
	struct iovec io = { (void *)(uintptr_t)msg, len };
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };

	close_all(p);
	if (nb_fds > 0) {
		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(nb_fds * sizeof(int));
		control.align = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(nb_fds * sizeof(int)),
		};
		memcpy(CMSG_DATA(&control.align), fds, nb_fds * sizeof(int));
	}
	if (sendmsg(p->fd, &h, MSG_NOSIGNAL) != (ssize_t)len)
		return -EPIPE;
	rig_poll(p->r);
	return peer_answer(p);
}

/* A request in m; @return its length. */
static uint32_t request(struct peer *p, union rig_msg *m, enum phca_admin_op op, const void *u, size_t len)
{
	m->req = (struct phca_admin_req){
		.magic = PHCA_ADMIN_MAGIC, .op = (uint16_t)op, .seq = ++p->seq,
		.len = (uint16_t)(PHCA_ADMIN_REQ_HDR + len),
	};
	if (len > 0)
		memcpy(m->bytes + PHCA_ADMIN_REQ_HDR, u, len);
	return m->req.len;
}

int peer_call(struct peer *p, enum phca_admin_op op, const void *u, size_t len)
{
	union rig_msg m;
	uint32_t n = request(p, &m, op, u, len);
	int ret = peer_send(p, &m, n, NULL, 0);

	if (p->ans_len > 0) {
		CU_ASSERT_EQUAL(p->ans.op, op);
		CU_ASSERT_EQUAL(p->ans.seq, p->seq);
		if (op != PHCA_ADMIN_GIDS_QUERY)
			CU_ASSERT_EQUAL(p->ans_len, ret == 0 || op == PHCA_ADMIN_HELLO ?
				phca_admin_ans_len(op) : PHCA_ADMIN_ANS_HDR);
	}
	return ret;
}

void peer_ask(struct peer *p, enum phca_admin_op op, const void *u, size_t len)
{
	union rig_msg m;
	uint32_t n = request(p, &m, op, u, len);

	CU_ASSERT_EQUAL(send(p->fd, &m, n, MSG_NOSIGNAL), (ssize_t)n);
}

int peer_handle(struct peer *p, enum phca_admin_op op, uint32_t handle)
{
	const uint32_t u[2] = { handle, 0 };

	return peer_call(p, op, u, sizeof(u));
}

int peer_share(struct peer *p)
{
	const struct phca_admin_mem_share u = { .which = PHCA_ADMIN_MEM_SWAP };
	union rig_msg m;
	uint32_t n = request(p, &m, PHCA_ADMIN_MEM_SHARE, &u, sizeof(u));

	if (p->mem < 0) {
		p->mem = memfd_create("phca-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		CU_ASSERT_EQUAL_FATAL(ftruncate(p->mem, INT64_C(1) << 47), 0);
		CU_ASSERT_EQUAL_FATAL(fcntl(p->mem, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	}
	m.req.nb_fds = 1;
	return peer_send(p, &m, n, &p->mem, 1);
}

int peer_reg(struct peer *p, uint32_t pd, uint64_t addr, uint64_t length, uint32_t access)
{
	uint64_t first = addr & ~UINT64_C(4095), end = (addr + length + 4095) & ~UINT64_C(4095);
	struct {
		struct phca_admin_mr_reg r;
		struct phca_admin_seg s;
	} u = {
		{ .addr = addr, .length = length, .iova = addr, .pd = pd, .access = access, .nb_segs = 1 },
		{ .va = first, .length = end - first, .kind = PHCA_ADMIN_SEG_SWAP, .writable = 1 },
	};

	return peer_call(p, PHCA_ADMIN_MR_REG, &u, sizeof(u));
}

uint32_t peer_qp(struct peer *p, uint32_t pd, uint32_t cq)
{
	const struct phca_admin_qp_create u = {
		.type = 2, .pd = pd, .send_cq = cq, .recv_cq = cq, .srq = PHCA_ADMIN_NONE,
		.max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 2, .max_recv_sge = 2, .max_inline = 64,
	};

	CU_ASSERT_EQUAL_FATAL(peer_call(p, PHCA_ADMIN_QP_CREATE, &u, sizeof(u)), 0);
	return p->ans.u.qp.handle;
}

int peer_modify(struct peer *p, uint32_t qp, uint32_t mask, const struct phca_admin_qp_attr *a)
{
	const struct phca_admin_qp_modify u = { .handle = qp, .mask = mask, .attr = *a };

	return peer_call(p, PHCA_ADMIN_QP_MODIFY, &u, sizeof(u));
}

int peer_to_rts(struct peer *p, uint32_t qp, uint32_t dest)
{
	struct phca_admin_qp_attr a = {
		.state = 1, .port_num = 1, .access = 0xf, .path_mtu = LAB_MTU, .dest_qpn = dest, .rq_psn = 5,
		.sq_psn = 5, .max_rd_atomic = 1, .max_dest_rd_atomic = 1, .min_rnr_timer = 12, .timeout = 14,
		.retry_cnt = 7, .rnr_retry = 7, .av = { .sgid_index = 1, .hop_limit = 64 },
	};
	int ret;

	memcpy(a.av.dgid, phca_net_gid(p->r->lab->net, 1), 16);
	ret = peer_modify(p, qp, 0x1 | 0x8 | 0x10 | 0x20, &a);
	a.state = 2;
	if (ret == 0)
		ret = peer_modify(p, qp, 0x1 | 0x80 | 0x100 | 0x1000 | 0x8000 | 0x20000 | 0x100000, &a);
	a.state = 3;
	if (ret == 0)
		ret = peer_modify(p, qp, 0x1 | 0x200 | 0x400 | 0x800 | 0x2000 | 0x10000, &a);
	return ret;
}
