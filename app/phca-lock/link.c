/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices, queue pairs, and how two programs meet: over TCP each tells the other a line
 * with its queue pair, as the pingpongs of rdma-core do, and the server its table.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tool.h"

#define LINE_MAX_BYTES 160
#define GIDS 64
#define HELLO_NS 2000000000 /* a peer has that long to say its line; a server waits meanwhile */

/* ---------------------------------------------------------------- devices */

static int find_gid(struct ibv_context *ctx, int wanted, union ibv_gid *gid)
{
	int found = -1;

	for (int i = 0; i < GIDS; i++) {
		union ibv_gid g;

		if (ibv_query_gid(ctx, 1, i, &g) != 0)
			break;
		if (wanted >= 0 ? i == wanted : g.raw[0] != 0xfe && g.global.interface_id != 0) {
			*gid = g;
			found = i;
		}
	}
	return found;
}

void device_open(struct device *d, const struct options *o)
{
	struct ibv_device **list;
	int n;

	errno = 0;
	d->qp_timeout = o->qp_timeout;
	list = ibv_get_device_list(&n);
	d->ctx = NULL;
	for (int i = 0; list != NULL && i < n && d->ctx == NULL; i++)
		if (o->device == NULL || strcmp(o->device, ibv_get_device_name(list[i])) == 0)
			d->ctx = ibv_open_device(list[i]);
	if (list != NULL)
		ibv_free_device_list(list);
	if (d->ctx == NULL)
		fail("device %s: not found, or it cannot be opened (%s); ibv_devices lists them",
			o->device != NULL ? o->device : "of any name", strerror(errno));
	d->gid_index = find_gid(d->ctx, o->gid_index, &d->gid);
	if (d->gid_index < 0)
		fail("device %s: no GID %d; ibv_devinfo -v lists them", ibv_get_device_name(d->ctx->device),
			o->gid_index);
	d->pd = ibv_alloc_pd(d->ctx);
	if (d->pd == NULL)
		fail("ibv_alloc_pd: %s", strerror(errno));
}

void device_close(struct device *d)
{
	ibv_dealloc_pd(d->pd);
	ibv_close_device(d->ctx);
}

/* ---------------------------------------------------------------- queue pairs */

struct ibv_qp *qp_make(struct device *d, struct ibv_cq *cq, uint32_t send, uint32_t recv)
{
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC, .send_cq = cq, .recv_cq = cq,
		.cap = { .max_send_wr = send, .max_recv_wr = recv, .max_send_sge = 1, .max_recv_sge = 1 } };

	return ibv_create_qp(d->pd, &a);
}

int qp_init(struct ibv_qp *qp)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC };

	return ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

int qp_connect(struct ibv_qp *qp, const struct device *d, const struct hello *mine, const struct hello *peer)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = peer->qpn,
		.rq_psn = peer->psn, .max_dest_rd_atomic = 1, .min_rnr_timer = 1,
		.ah_attr = { .is_global = 1, .port_num = 1,
			.grh = { .dgid = peer->gid, .sgid_index = (uint8_t)d->gid_index, .hop_limit = 64 } } };
	int rc = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);

	if (rc != 0)
		return rc;
	/* A peer that is gone is noticed after 8 of them: with 14, 0.5 s or a little more. */
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTS, .timeout = d->qp_timeout, .retry_cnt = 7, .rnr_retry = 7,
		.sq_psn = mine->psn, .max_rd_atomic = 1 };
	return ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
		IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

/* ---------------------------------------------------------------- TCP */

int hello_write(int fd, const struct hello *h)
{
	char line[LINE_MAX_BYTES], gid[33];
	int n;

	for (unsigned int i = 0; i < 16; i++)
		snprintf(gid + 2 * i, 3, "%02x", h->gid.raw[i]);
	n = snprintf(line, sizeof(line), "phca-lock-1 %06x %06x %s %016" PRIx64 " %08x %08x\n", h->qpn, h->psn, gid,
		h->va, h->rkey, h->nb_locks);
	return write(fd, line, (size_t)n) == n ? 0 : -1;
}

static uint64_t hex(const char *s, unsigned int digits, bool *ok)
{
	static const char known[] = "0123456789abcdef";
	uint64_t v = 0;

	for (unsigned int i = 0; i < digits; i++) {
		const char *at = memchr(known, s[i], 16);

		if (at == NULL)
			*ok = false;
		else
			v = v << 4 | (uint64_t)(at - known);
	}
	return v;
}

int hello_read(int fd, struct hello *h)
{
	static const char head[] = "phca-lock-1 ";
	const size_t want = strlen(head) + 6 + 1 + 6 + 1 + 32 + 1 + 16 + 1 + 8 + 1 + 8 + 1;
	char line[LINE_MAX_BYTES];
	const char *s = line + strlen(head);
	const uint64_t end = now_ns() + HELLO_NS;
	size_t n = 0;
	bool ok = true;

	while (n < want) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		const uint64_t now = now_ns();
		ssize_t got = now < end && poll(&p, 1, (int)((end - now) / 1000000)) == 1 ?
			read(fd, line + n, want - n) : 0;

		if (got <= 0)
			return -1;
		n += (size_t)got;
	}
	if (memcmp(line, head, strlen(head)) != 0)
		return -1;
	h->qpn = (uint32_t)hex(s, 6, &ok);
	h->psn = (uint32_t)hex(s + 7, 6, &ok);
	for (unsigned int i = 0; i < 16; i++)
		h->gid.raw[i] = (uint8_t)hex(s + 14 + 2 * i, 2, &ok);
	h->va = hex(s + 47, 16, &ok);
	h->rkey = (uint32_t)hex(s + 64, 8, &ok);
	h->nb_locks = (uint32_t)hex(s + 73, 8, &ok);
	return ok ? 0 : -1;
}

static struct addrinfo *resolve(const struct options *o, bool passive)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		.ai_flags = passive ? AI_PASSIVE : 0 }, *list;
	int rc;

	if (passive)
		hints.ai_family = AF_INET6; /* takes IPv4, too */
	rc = getaddrinfo(o->host, o->port, &hints, &list);
	if (rc != 0 && passive) {
		hints.ai_family = AF_INET;
		rc = getaddrinfo(o->host, o->port, &hints, &list);
	}
	if (rc != 0)
		fail("%s port %s: %s", o->host != NULL ? o->host : "any address", o->port, gai_strerror(rc));
	return list;
}

int tcp_listen(const struct options *o)
{
	struct addrinfo *a = resolve(o, true);
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 && a->ai_family == AF_INET6) { /* no IPv6 here */
		struct options any = *o;

		freeaddrinfo(a);
		any.host = "0.0.0.0";
		a = resolve(&any, false);
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0)
		fail("socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 64) != 0)
		fail("TCP port %s: %s; choose another with -p", o->port, strerror(errno));
	freeaddrinfo(a);
	return fd;
}

int tcp_connect(const struct options *o)
{
	struct addrinfo *list = resolve(o, false);
	int fd = -1;

	for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		fail("%s port %s: %s; is phca-lock serve running there?", o->host, o->port, strerror(errno));
	freeaddrinfo(list);
	return fd;
}
