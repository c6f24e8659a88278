/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's side of the admin protocol: one request, one answer, under one lock.
 *
 * Invariant: what comes from the socket is checked for its length, op and number before
 * it is believed; descriptors that nobody asked for are closed. A context whose appliance
 * is gone, or that a fork's child inherited, asks nothing any more.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "verbs_impl.h"
#include "phca_verbs.h"

#define HELLO_TIMEOUT_SEC 5 /* an appliance that is stopped does not stop who looks for devices */

union fds_buf {
	struct cmsghdr align;
	char buf[CMSG_SPACE(PHCA_ADMIN_FDS_MAX * sizeof(int))];
};

static void say(const char *fmt, va_list ap)
{
	char line[256];
	int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);

	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n + 1) < 0)
		return; /* nowhere to say it */
}

static void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void verbs_debug(const char *fmt, ...)
{
	const char *v = getenv(PHCA_VERBS_ENV_DEBUG);
	int saved = errno;
	va_list ap;

	if (v == NULL || v[0] == '\0' || strcmp(v, "0") == 0)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	errno = saved;
}

/* ------------------------------------------------------------------ messages */

static int send_msg(int sock, const void *req, size_t req_len, const void *extra, size_t extra_len,
	const int *fds, uint32_t nb_fds)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)(uintptr_t)req, .iov_len = req_len },
		{ .iov_base = (void *)(uintptr_t)extra, .iov_len = extra_len },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = extra_len != 0 ? 2 : 1 };
	union fds_buf c;
	ssize_t n;

	if (nb_fds > 0) {
		struct cmsghdr *h;

		memset(&c, 0, sizeof(c));
		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE(nb_fds * sizeof(int));
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(nb_fds * sizeof(int));
		memcpy(CMSG_DATA(h), fds, nb_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Descriptors of a message: the first max to fds, the rest closed. @return how many are in fds */
static uint32_t take_fds(struct msghdr *m, int *fds, uint32_t max)
{
	uint32_t got = 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
		size_t n;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (got < max)
				fds[got++] = fd;
			else
				close(fd);
		}
	}
	return got;
}

/* @return bytes; 0: hung up; negative errno */
static ssize_t recv_msg(int sock, void *buf, size_t len, int *fds, uint32_t max, uint32_t *got)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	union fds_buf c;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf,
		.msg_controllen = sizeof(c.buf) };
	ssize_t n;

	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*got = 0;
	if (n < 0)
		return -errno;
	*got = take_fds(&m, fds, max);
	return (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ? -EPROTO : n;
}

static void close_all(const int *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		close(fds[i]);
}

void admin_req(struct phca_admin_req *req, uint32_t op)
{
	memset(req, 0, sizeof(*req));
	req->magic = PHCA_ADMIN_MAGIC;
	req->op = (uint16_t)op;
	req->len = (uint16_t)phca_admin_req_len(op);
}

/* ------------------------------------------------------------------- requests */

/* What came is the answer to that request: magic, op, number, length. */
static bool answers(const struct phca_admin_req *req, const struct phca_admin_ans *a, size_t n)
{
	size_t want;

	if (n < PHCA_ADMIN_ANS_HDR || a->magic != PHCA_ADMIN_MAGIC || a->op != req->op ||
	    a->seq != req->seq || a->len != n || a->status > 0)
		return false;
	want = a->status == 0 || req->op == PHCA_ADMIN_HELLO ? phca_admin_ans_len(req->op)
		: PHCA_ADMIN_ANS_HDR;
	if (req->op == PHCA_ADMIN_GIDS_QUERY && a->status == 0)
		return n >= want && a->u.nb_gids <= PHCA_ADMIN_GIDS_MAX &&
			n == want + a->u.nb_gids * sizeof(struct phca_admin_gid);
	return n == want;
}

/* Send and receive; ctx->admin_lock is held. */
static int transact(struct vctx *ctx, struct phca_admin_req *req, const void *extra, uint32_t extra_len,
	const int *fds, uint32_t nb_fds, void *ans, size_t ans_len, int *got, uint32_t max)
{
	struct phca_admin_ans *a = ans;
	uint32_t n_got;
	ssize_t n;
	int rc;

	if (vctx_dead(ctx))
		return -EIO;
	req->seq = ++ctx->seq;
	req->len = (uint16_t)(req->len + extra_len);
	req->nb_fds = nb_fds;
	rc = send_msg(ctx->sock, req, req->len - extra_len, extra, extra_len, fds, nb_fds);
	if (rc == -ETOOMANYREFS || rc == -EMFILE || rc == -EBADF)
		return rc; /* the descriptors' fault; nothing was sent */
	n = rc < 0 ? rc : recv_msg(ctx->sock, ans, ans_len, got, max, &n_got);
	if (n > 0 && answers(req, a, (size_t)n)) {
		for (uint32_t i = n_got; i < max; i++)
			got[i] = -1;
		if (a->status != 0) {
			close_all(got, n_got);
			verbs_debug("phca: %s refused: %s", phca_admin_op_str(req->op),
				strerror(-a->status));
		}
		return a->status;
	}
	if (n > 0) {
		close_all(got, n_got);
		verbs_debug("phca: %s: the appliance's answer of %zd bytes makes no sense",
			phca_admin_op_str(req->op), n);
	}
	vctx_set_dead(ctx);
	return -EIO;
}

static int locked_transact(struct vctx *ctx, struct phca_admin_req *req, const void *extra,
	uint32_t extra_len, const int *fds, uint32_t nb_fds, void *ans, size_t ans_len, int *got,
	uint32_t max)
{
	int cancel, rc;

	if (ctx->pid != getpid() || vctx_dead(ctx))
		return -EIO;
	if ((size_t)req->len + extra_len > PHCA_ADMIN_MSG_MAX || nb_fds > PHCA_ADMIN_FDS_MAX)
		return -E2BIG;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&ctx->admin_lock);
	rc = transact(ctx, req, extra, extra_len, fds, nb_fds, ans, ans_len, got, max);
	pthread_mutex_unlock(&ctx->admin_lock);
	pthread_setcancelstate(cancel, NULL);
	return rc;
}

int admin_call_fds(struct vctx *ctx, struct phca_admin_req *req, const void *extra, uint32_t extra_len,
	const int *fds, uint32_t nb_fds, struct phca_admin_ans *ans, int *got, uint32_t nb_got)
{
	struct phca_admin_ans mine;

	if (ans == NULL)
		ans = &mine;
	return locked_transact(ctx, req, extra, extra_len, fds, nb_fds, ans, sizeof(*ans), got, nb_got);
}

int admin_call(struct vctx *ctx, struct phca_admin_req *req, struct phca_admin_ans *ans)
{
	return admin_call_fds(ctx, req, NULL, 0, NULL, 0, ans, NULL, 0);
}

int admin_free(struct vctx *ctx, uint32_t op, uint32_t handle)
{
	struct phca_admin_req req;
	int rc;

	admin_req(&req, op);
	req.u.handle[0] = handle;
	rc = admin_call(ctx, &req, NULL);
	return rc == -EIO && (vctx_dead(ctx) || ctx->pid != getpid()) ? 0 : rc;
}

int admin_gids(struct vctx *ctx, struct phca_admin_gid *gids)
{
	const size_t at = PHCA_ADMIN_ANS_HDR + 8;
	union {
		struct phca_admin_ans ans;
		uint8_t b[PHCA_ADMIN_ANS_HDR + 8 + PHCA_ADMIN_GIDS_MAX * sizeof(*gids)];
	} buf;
	struct phca_admin_req req;
	int rc;

	admin_req(&req, PHCA_ADMIN_GIDS_QUERY);
	rc = locked_transact(ctx, &req, NULL, 0, NULL, 0, &buf, sizeof(buf), NULL, 0);
	if (rc < 0)
		return rc;
	memcpy(gids, buf.b + at, buf.ans.u.nb_gids * sizeof(*gids));
	return (int)buf.ans.u.nb_gids;
}

/* ---------------------------------------------------------------------- hello */

static int dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = HELLO_TIMEOUT_SEC };
	size_t len = strlen(path);
	int s, rc;

	if (len >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, len);
	s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s < 0)
		return -errno;
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	do
		rc = connect(s, (struct sockaddr *)&sa, sizeof(sa));
	while (rc < 0 && errno == EINTR);
	if (rc < 0) {
		rc = -errno;
		close(s);
		return rc;
	}
	return s;
}

/* One HELLO over s. */
static int greet(int s, const char *path, uint32_t port, uint32_t flags, struct phca_admin_ans *ans,
	int *fds, uint32_t max, uint32_t *got)
{
	struct phca_admin_req req;
	ssize_t n;
	int rc;

	admin_req(&req, PHCA_ADMIN_HELLO);
	req.u.hello = (struct phca_admin_hello){ .version = PHCA_ADMIN_VERSION,
		.queue_abi = PHCA_QUEUE_ABI, .flags = flags, .port = port };
	rc = send_msg(s, &req, req.len, NULL, 0, NULL, 0);
	if (rc < 0)
		return rc;
	n = recv_msg(s, ans, sizeof(*ans), fds, max, got);
	if (n < 0)
		return (int)n == -EAGAIN ? -ETIMEDOUT : (int)n;
	if (n == 0)
		return -ECONNRESET;
	if (!answers(&req, ans, (size_t)n) || ans->status == -EPROTO) {
		/* The first fields are what every version has. */
		bool told = (size_t)n >= PHCA_ADMIN_ANS_HDR + 8 && ans->magic == PHCA_ADMIN_MAGIC;

		complain("phca: the appliance at %s speaks admin protocol %u with queues %u, this "
			"libibverbs %u with %u: install both from the same version of proxyhca", path,
			told ? ans->u.hello.version : 0, told ? ans->u.hello.queue_abi : 0,
			PHCA_ADMIN_VERSION, PHCA_QUEUE_ABI);
		return -EPROTO;
	}
	return ans->status;
}

int admin_hello(const char *path, uint32_t port, uint32_t flags, int *sock,
	struct phca_admin_hello_ans *hello, int *fds, uint32_t max_fds, uint32_t *nb_fds)
{
	const struct timeval forever = { 0 };
	struct phca_admin_ans ans;
	int cancel, s, rc;

	*nb_fds = 0;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	s = dial(path);
	rc = s < 0 ? s : greet(s, path, port, flags, &ans, fds, max_fds, nb_fds);
	pthread_setcancelstate(cancel, NULL);
	if (rc < 0) {
		close_all(fds, *nb_fds);
		*nb_fds = 0;
		if (s >= 0)
			close(s);
		return rc;
	}
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof(forever));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
	*hello = ans.u.hello;
	hello->device.name[sizeof(hello->device.name) - 1] = '\0';
	hello->device.fw_ver[sizeof(hello->device.fw_ver) - 1] = '\0';
	*sock = s;
	return 0;
}

int admin_ring(struct vctx *ctx, const struct phca_admin_ring *where, enum phca_ring_type type,
	struct phca_ring *r)
{
	if (where->offset > ctx->arena_bytes || where->bytes > ctx->arena_bytes - where->offset ||
	    phca_ring_attach(r, ctx->arena + where->offset, where->bytes, type) != 0) {
		verbs_debug("phca: a ring at %llu of %llu bytes is not in the arena, or not formatted",
			(unsigned long long)where->offset, (unsigned long long)where->bytes);
		return -EPROTO;
	}
	return 0;
}
