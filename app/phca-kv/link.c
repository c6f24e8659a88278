/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs and TCP as any program uses them: a device, one CQ, RC queue pairs that meet over TCP. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tool.h"

static void must(bool ok, const char *what)
{
	if (!ok)
		fail("%s: %s", what, strerror(errno));
}

void device_open(struct device *d, const struct options *o, uint32_t connections)
{
	size_t bytes = (size_t)connections * 2 * DEPTH * MESSAGE_MAX;
	struct ibv_device **list;
	struct ibv_port_attr port;
	int n = 0;

	memset(d, 0, sizeof(*d));
	list = ibv_get_device_list(&n);
	for (int i = 0; list != NULL && i < n && d->ctx == NULL; i++)
		if (o->device == NULL || strcmp(o->device, ibv_get_device_name(list[i])) == 0)
			d->ctx = ibv_open_device(list[i]);
	if (list != NULL)
		ibv_free_device_list(list);
	if (d->ctx == NULL)
		fail("no RDMA device %s; ibv_devices lists them", o->device != NULL ? o->device : "");
	errno = ibv_query_port(d->ctx, 1, &port);
	must(errno == 0, "ibv_query_port");
	d->mtu = port.active_mtu;
	d->gid_index = o->gid_index;
	must(ibv_query_gid(d->ctx, 1, o->gid_index, &d->gid) == 0, "ibv_query_gid");
	d->pd = ibv_alloc_pd(d->ctx);
	must(d->pd != NULL, "ibv_alloc_pd");
	d->events = ibv_create_comp_channel(d->ctx);
	must(d->events != NULL, "ibv_create_comp_channel");
	d->cq = ibv_create_cq(d->ctx, (int)(connections * 2 * DEPTH), NULL, d->events, 0);
	must(d->cq != NULL, "ibv_create_cq");
	d->buf = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
	must(d->buf != NULL, "memory");
	memset(d->buf, 0, bytes);
	d->mr = ibv_reg_mr(d->pd, d->buf, bytes, IBV_ACCESS_LOCAL_WRITE);
	must(d->mr != NULL, "ibv_reg_mr");
}

struct ibv_qp *link_make(struct device *d)
{
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC, .send_cq = d->cq, .recv_cq = d->cq, .sq_sig_all = 1,
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1 } };
	struct ibv_qp_attr init = { .qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_READ };
	struct ibv_qp *qp = ibv_create_qp(d->pd, &a);

	int rc;

	if (qp == NULL)
		return NULL;
	rc = ibv_modify_qp(qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	if (rc == 0)
		return qp;
	ibv_destroy_qp(qp);
	errno = rc;
	return NULL;
}

/* @return 0 or errno */
static int to_rts(struct device *d, struct ibv_qp *qp, const struct hello *mine, const struct hello *peer)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_RTR, .dest_qp_num = peer->qpn, .rq_psn = peer->psn,
		.path_mtu = (enum ibv_mtu)(peer->mtu < mine->mtu ? peer->mtu : mine->mtu),
		.max_dest_rd_atomic = 1, .min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1,
			.grh = { .sgid_index = (uint8_t)d->gid_index, .hop_limit = 64 } } };
	int rc;

	memcpy(a.ah_attr.grh.dgid.raw, peer->gid, 16);
	rc = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	if (rc != 0)
		return rc;
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTS, .sq_psn = mine->psn, .timeout = 14, .retry_cnt = 7,
		.rnr_retry = 7, .max_rd_atomic = 1 };
	return ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
		IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

const char *link_connect(struct device *d, struct ibv_qp *qp, int fd, const struct hello *about, struct hello *peer)
{
	struct hello mine = *about;
	char word = 'r';
	int rc;

	mine.magic = KV_MAGIC;
	mine.qpn = qp->qp_num;
	mine.psn = (uint32_t)getpid() & 0xffffff;
	mine.mtu = d->mtu;
	memcpy(mine.gid, d->gid.raw, 16);
	if (send(fd, &mine, sizeof(mine), MSG_NOSIGNAL) != sizeof(mine))
		return "the other side is gone";
	if (recv(fd, peer, sizeof(*peer), MSG_WAITALL) != sizeof(*peer) || peer->magic != KV_MAGIC)
		return "the other side is no phca-kv, or gone";
	rc = to_rts(d, qp, &mine, peer);
	if (rc != 0)
		return strerror(rc);
	/* neither sends before both can receive */
	if (send(fd, &word, 1, MSG_NOSIGNAL) != 1 || recv(fd, &word, 1, MSG_WAITALL) != 1)
		return "the other side is gone";
	return NULL;
}

uint8_t *link_message(const struct device *d, uint32_t connection, uint32_t i, bool send)
{
	return d->buf + ((size_t)connection * 2 * DEPTH + (send ? DEPTH : 0) + i) * MESSAGE_MAX;
}

/* wr_id: connection, direction, message */
int link_recv(const struct device *d, struct ibv_qp *qp, uint32_t connection, uint32_t i)
{
	struct ibv_sge s = { (uintptr_t)link_message(d, connection, i, false), MESSAGE_MAX, d->mr->lkey };
	struct ibv_recv_wr w = { .wr_id = connection << 16 | i, .sg_list = &s, .num_sge = 1 }, *bad;

	return ibv_post_recv(qp, &w, &bad);
}

int link_send(const struct device *d, struct ibv_qp *qp, uint32_t connection, uint32_t i, uint32_t len)
{
	struct ibv_sge s = { (uintptr_t)link_message(d, connection, i, true), len, d->mr->lkey };
	struct ibv_send_wr w = { .wr_id = connection << 16 | 0x8000 | i, .sg_list = &s, .num_sge = 1,
		.opcode = IBV_WR_SEND }, *bad;

	return ibv_post_send(qp, &w, &bad);
}

int tcp_listen(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, CLIENTS_MAX) != 0)
		fail("TCP port %u: %s; choose another one with -p", port, strerror(errno));
	return fd;
}

int tcp_connect(const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *list;
	char service[8];
	int fd = -1;

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		fail("%s: no such host", host);
	for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		fail("%s port %u: %s; is 'phca-kv server' there?", host, port, strerror(errno));
	return fd;
}
