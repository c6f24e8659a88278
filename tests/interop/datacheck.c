/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two of these, one at each end, check every byte that RDMA moves between them: SENDs,
 * WRITEs, READs and atomics of random lengths, first from the client, then from the server.
 *
 * All that is random comes from numbers that both ends know, so the one that is written to
 * works out for itself what has to be there. Nothing is taken from the wire to check the
 * wire. TCP carries what connects the two, and keeps them in step.
 *
 * It uses libibverbs and nothing else: one binary runs over the kernel's drivers and over
 * the drop-in library.
 */
#include "datacheck.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void
dc_fail(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "datacheck: ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

uint64_t
dc_random(uint64_t key, uint64_t index)
{
	uint64_t z = key + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
dc_fill(uint8_t *p, uint32_t length, uint64_t key)
{
	uint64_t word;
	uint32_t i, n;

	for (i = 0; i < length; i += n) {
		word = dc_random(key, i / 8);
		n = length - i < 8 ? length - i : 8;
		memcpy(p + i, &word, n);
	}
}

void
dc_same(const char *what, uint32_t number, const uint8_t *is, const uint8_t *wanted,
	uint32_t length)
{
	uint32_t i;

	for (i = 0; i < length; i++)
		if (is[i] != wanted[i])
			dc_fail("%s %u: byte %u of %u is 0x%02x, should be 0x%02x", what, number,
				i, length, is[i], wanted[i]);
}

uint64_t
dc_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ TCP */

static void
tcp_write(const struct dc *d, const void *p, size_t length)
{
	if (send(d->tcp, p, length, MSG_NOSIGNAL) != (ssize_t)length)
		dc_fail("TCP: cannot write: %m");
}

static void
tcp_read(const struct dc *d, void *p, size_t length)
{
	if (recv(d->tcp, p, length, MSG_WAITALL) != (ssize_t)length)
		dc_fail("the other end is gone");
}

void
dc_meet(const struct dc *d, const char *where)
{
	char theirs[16] = "", ours[16] = "";

	snprintf(ours, sizeof(ours), "%s", where);
	tcp_write(d, ours, sizeof(ours));
	tcp_read(d, theirs, sizeof(theirs));
	if (memcmp(ours, theirs, sizeof(ours)) != 0)
		dc_fail("out of step: at %s, the other end at %.15s", ours, theirs);
}

static int
tcp_open(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET,
				 .ai_flags = host ? 0 : AI_PASSIVE}, *ai;
	struct timeval patience = {.tv_sec = 60};
	int s, l, one = 1, rc;

	rc = getaddrinfo(host, port, &hints, &ai);
	if (rc != 0)
		dc_fail("%s port %s: %s", host ? host : "server", port, gai_strerror(rc));
	s = socket(ai->ai_family, ai->ai_socktype, 0);
	if (s < 0)
		dc_fail("socket: %m");
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (host) {
		if (connect(s, ai->ai_addr, ai->ai_addrlen) < 0)
			dc_fail("%s port %s: %m", host, port);
	} else {
		l = s;
		if (bind(l, ai->ai_addr, ai->ai_addrlen) < 0 || listen(l, 1) < 0)
			dc_fail("port %s: %m", port);
		s = accept(l, NULL, NULL);
		if (s < 0)
			dc_fail("accept: %m");
		close(l);
	}
	freeaddrinfo(ai);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return s;
}

/* -------------------------------------------------------------- objects */

static void
open_device(struct dc *d, const char *name, uint32_t gid_index)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	int i;

	for (i = 0; list && list[i]; i++)
		if (!name || strcmp(ibv_get_device_name(list[i]), name) == 0)
			break;
	if (!list || !list[i])
		dc_fail("no device%s%s", name ? " " : "", name ? name : "");
	d->context = ibv_open_device(list[i]);
	if (!d->context)
		dc_fail("%s: cannot open: %m", ibv_get_device_name(list[i]));
	ibv_free_device_list(list);
	if (ibv_query_device(d->context, &d->attr))
		dc_fail("query device: %m");
	if (ibv_query_gid(d->context, 1, (int)gid_index, &d->ours.gid))
		dc_fail("query GID %u: %m", gid_index);
}

static struct ibv_mr *
region(struct dc *d, uint8_t **p, size_t bytes)
{
	int access = IBV_ACCESS_LOCAL_WRITE;
	struct ibv_mr *mr;

	if (d->type != IBV_QPT_UD)
		access |= IBV_ACCESS_REMOTE_WRITE;
	if (d->type == IBV_QPT_RC)
		access |= IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
	/* not at the beginning of a page: queues must not mind */
	if (posix_memalign((void **)p, 4096, bytes + 64))
		dc_fail("no memory");
	memset(*p, 0, bytes + 64);
	*p += 64;
	mr = ibv_reg_mr(d->pd, *p, bytes, access);
	if (!mr)
		dc_fail("register %zu bytes: %m", bytes);
	return mr;
}

static void
create(struct dc *d)
{
	struct ibv_qp_init_attr init = {.qp_type = d->type, .cap = {.max_send_wr = DC_DEPTH,
		.max_recv_wr = DC_RECEIVES, .max_send_sge = 2, .max_recv_sge = 2}};
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = DC_QKEY};
	int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;

	d->pd = ibv_alloc_pd(d->context);
	if (!d->pd)
		dc_fail("allocate a PD: %m");
	d->room = (d->max_bytes + DC_GRH + 63) / 64 * 64;
	d->send_mr = region(d, &d->send, (size_t)d->room * DC_DEPTH);
	d->recv_mr = region(d, &d->recv, (size_t)d->room * DC_RECEIVES);
	d->target_mr = region(d, &d->target, DC_TARGET);
	d->wanted = calloc(1, DC_TARGET);
	d->cq = ibv_create_cq(d->context, DC_DEPTH + DC_RECEIVES, NULL, NULL, 0);
	if (!d->cq || !d->wanted)
		dc_fail("create a CQ: %m");
	init.send_cq = init.recv_cq = d->cq;
	d->qp = ibv_create_qp(d->pd, &init);
	if (!d->qp)
		dc_fail("create a QP: %m");
	if (d->type == IBV_QPT_UD) {
		mask |= IBV_QP_QKEY;
	} else {
		mask |= IBV_QP_ACCESS_FLAGS;
		attr.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
		if (d->type == IBV_QPT_RC)
			attr.qp_access_flags |= IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
	}
	if (ibv_modify_qp(d->qp, &attr, mask))
		dc_fail("to INIT: %m");
}

static void
to_rtr(struct dc *d, uint32_t gid_index)
{
	struct ibv_ah_attr ah = {.is_global = 1, .port_num = 1,
		.grh = {.dgid = d->theirs.gid, .sgid_index = (uint8_t)gid_index, .hop_limit = 64}};
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTR, .path_mtu = d->mtu,
		.dest_qp_num = d->theirs.qpn, .rq_psn = d->theirs.psn, .ah_attr = ah,
		.max_dest_rd_atomic = DC_READS, .min_rnr_timer = 12};
	int mask = IBV_QP_STATE;

	if (d->type != IBV_QPT_UD)
		mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
	if (d->type == IBV_QPT_RC)
		mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	if (ibv_modify_qp(d->qp, &attr, mask))
		dc_fail("to RTR: %m");
	if (d->type == IBV_QPT_UD) {
		d->ah = ibv_create_ah(d->pd, &ah);
		if (!d->ah)
			dc_fail("create an AH: %m");
	}
}

static void
to_rts(struct dc *d)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS, .sq_psn = d->ours.psn, .timeout = 16,
		.retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = DC_READS};
	int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;

	if (d->type == IBV_QPT_RC)
		mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_MAX_QP_RD_ATOMIC;
	if (ibv_modify_qp(d->qp, &attr, mask))
		dc_fail("to RTS: %m");
}

static void
connect_qps(struct dc *d, uint32_t gid_index)
{
	d->ours.qpn = d->qp->qp_num;
	d->ours.psn = (uint32_t)dc_random((uint64_t)dc_now_ms(), 0) & 0xffffff;
	d->ours.rkey = d->target_mr->rkey;
	d->ours.addr = (uintptr_t)d->target;
	tcp_write(d, &d->ours, sizeof(d->ours));
	tcp_read(d, &d->theirs, sizeof(d->theirs));
	to_rtr(d, gid_index);
	to_rts(d);
	dc_receives(d, DC_RECEIVES);
	dc_meet(d, "connected");
}

static void
destroy(struct dc *d)
{
	if (d->ah && ibv_destroy_ah(d->ah))
		dc_fail("destroy the AH: %m");
	if (ibv_destroy_qp(d->qp) || ibv_destroy_cq(d->cq))
		dc_fail("destroy QP and CQ: %m");
	if (ibv_dereg_mr(d->send_mr) || ibv_dereg_mr(d->recv_mr) || ibv_dereg_mr(d->target_mr))
		dc_fail("deregister: %m");
	if (ibv_dealloc_pd(d->pd) || ibv_close_device(d->context))
		dc_fail("close: %m");
}

/* ----------------------------------------------------------------- main */

static void
usage(void)
{
	fprintf(stderr, "usage: datacheck [-d DEVICE] [-g GID] [-p PORT] [-c RC|UC|UD] [-m MTU]\n"
		"                 [-n MESSAGES] [-s BYTES] [-S SEED] [HOST]\n");
	exit(2);
}

static enum ibv_qp_type
type_of(const char *text)
{
	if (strcmp(text, "RC") == 0)
		return IBV_QPT_RC;
	if (strcmp(text, "UC") == 0)
		return IBV_QPT_UC;
	if (strcmp(text, "UD") == 0)
		return IBV_QPT_UD;
	usage();
	return IBV_QPT_RC;
}

static enum ibv_mtu
mtu_of(uint32_t bytes)
{
	enum ibv_mtu mtu;

	for (mtu = IBV_MTU_256; mtu <= IBV_MTU_4096; mtu++)
		if (bytes == 128U << mtu)
			return mtu;
	usage();
	return IBV_MTU_256;
}

static uint32_t
number(const char *text)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 0);
	if (errno || *end || end == text || v > UINT32_MAX)
		usage();
	return (uint32_t)v;
}

int
main(int argc, char **argv)
{
	struct dc d = {.type = IBV_QPT_RC, .messages = 200, .max_bytes = 20000, .mtu_bytes = 1024,
		       .seed = 1};
	const char *device = NULL, *port = "18700";
	uint32_t gid_index = 0;
	int o;

	while ((o = getopt(argc, argv, "d:g:p:c:m:n:s:S:")) != -1) {
		switch (o) {
		case 'd': device = optarg; break;
		case 'g': gid_index = number(optarg); break;
		case 'p': port = optarg; break;
		case 'c': d.type = type_of(optarg); break;
		case 'm': d.mtu_bytes = number(optarg); break;
		case 'n': d.messages = number(optarg); break;
		case 's': d.max_bytes = number(optarg); break;
		case 'S': d.seed = number(optarg); break;
		default: usage();
		}
	}
	if (argc - optind > 1 || d.max_bytes > DC_TARGET / 4)
		usage();
	d.mtu = mtu_of(d.mtu_bytes);
	if (d.type == IBV_QPT_UD && d.max_bytes > d.mtu_bytes)
		d.max_bytes = d.mtu_bytes;
	d.messages = (d.messages + 3) / 4 * 4;	/* so that the last has an immediate */
	open_device(&d, device, gid_index);
	create(&d);
	d.client = optind < argc;
	d.tcp = tcp_open(d.client ? argv[optind] : NULL, port);
	connect_qps(&d, gid_index);
	dc_phases(&d, d.client);
	dc_phases(&d, !d.client);
	dc_meet(&d, "end");
	destroy(&d);
	printf("datacheck: %u messages and %" PRIu64 " bytes are right\n", d.checked,
	       d.checked_bytes);
	return 0;
}
