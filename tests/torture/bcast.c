/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both sides of a broadcast as verbs programs, on a device's own address:
 *
 *   bcast member QPN BYTES      connects a queue pair to QPN, says "qpn N", and receives.
 *                               Told by lines on standard input: "announce" a window of so
 *                               many BYTES, say "count", say the 8 bytes of "window OFFSET"
 *   bcast post TYPE OP COUNT SIZE REMOTE
 *                               posts numbered messages on a queue pair of type rc, uc or ud:
 *                               send, send_imm, write, write_imm; WRITEs to eight places from
 *                               REMOTE on, in turn. Says "done N", or "failed at N: why"
 *
 * Message n is its number, then bytes of it. Completions must come in the order of the work requests.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../drivers/offload/bcast/phca_bcast.h"
#include "pair.h"
#include "torture.h"

#define DEPTH 64
#define MESSAGE 32768 /* bytes at most */
#define PLACES 8

static struct ibv_context *ctx;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_qp *qp;
static struct ibv_mr *mr;
static uint8_t *buf; /* DEPTH messages */

static void must(bool ok, const char *what)
{
	if (!ok)
		die(EXIT_CALL, "%s: failed: %s\n", what, strerror(errno));
}

static void objects_make(enum ibv_qp_type type)
{
	struct ibv_qp_init_attr a = { .qp_type = type, .sq_sig_all = 1,
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1,
			.max_inline_data = 32 } };

	ctx = device_open(NULL);
	must(ctx != NULL, "a device");
	pd = ibv_alloc_pd(ctx);
	must(pd != NULL, "ibv_alloc_pd");
	cq = ibv_create_cq(ctx, 2 * DEPTH, NULL, NULL, 0);
	must(cq != NULL, "ibv_create_cq");
	buf = aligned_alloc(4096, (size_t)DEPTH * MESSAGE);
	must(buf != NULL, "memory");
	mr = ibv_reg_mr(pd, buf, (size_t)DEPTH * MESSAGE, IBV_ACCESS_LOCAL_WRITE);
	must(mr != NULL, "ibv_reg_mr");
	a.send_cq = a.recv_cq = cq;
	qp = ibv_create_qp(pd, &a);
	must(qp != NULL, "ibv_create_qp");
}

static struct ibv_sge slot(uint64_t n, uint32_t len)
{
	return (struct ibv_sge){ .addr = (uintptr_t)buf + n % DEPTH * MESSAGE, .length = len, .lkey = mr->lkey };
}

/* --- member */

static void recv_post(uint64_t n)
{
	struct ibv_sge sge = slot(n, MESSAGE);
	struct ibv_recv_wr wr = { .wr_id = n, .sg_list = &sge, .num_sge = 1 }, *bad;

	errno = ibv_post_recv(qp, &wr, &bad);
	must(errno == 0, "ibv_post_recv");
}

static void announce(const struct ibv_mr *window)
{
	struct phca_bcast_announce a;
	struct ibv_sge sge = { .addr = (uintptr_t)&a, .length = sizeof(a) };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_INLINE }, *bad;

	phca_bcast_announce_fill(&a, window->rkey, (uintptr_t)window->addr, window->length);
	errno = ibv_post_send(qp, &wr, &bad);
	must(errno == 0, "ibv_post_send");
}

/* Numbers count up; another program begins with 0. */
static bool good(const uint8_t *m, uint32_t len)
{
	static uint64_t next;
	uint64_t n;

	memcpy(&n, m, sizeof(n));
	if (n != next && n != 0)
		return false;
	next = n + 1;
	for (uint32_t i = sizeof(n); i < len; i++)
		if (m[i] != (uint8_t)n)
			return false;
	return true;
}

static struct { uint64_t received, bad, imm; } got;

static void member_poll(void)
{
	struct ibv_wc wc;

	while (ibv_poll_cq(cq, 1, &wc) > 0) {
		if (wc.status != IBV_WC_SUCCESS)
			printf("completion: %s\n", ibv_wc_status_str(wc.status));
		else if (wc.opcode == IBV_WC_SEND)
			puts("announced");
		if (wc.status == IBV_WC_SUCCESS && wc.opcode != IBV_WC_SEND) {
			if (wc.opcode == IBV_WC_RECV)
				got.bad += !good(buf + wc.wr_id % DEPTH * MESSAGE, wc.byte_len);
			got.imm += (wc.wc_flags & IBV_WC_WITH_IMM) != 0;
			got.received++;
			recv_post(wc.wr_id + DEPTH);
		}
		fflush(stdout);
	}
}

static void member_told(const char *line, const struct ibv_mr *window)
{
	uint64_t at, value;

	if (strncmp(line, "announce", 8) == 0)
		announce(window);
	else if (sscanf(line, "window %" SCNu64, &at) == 1 && at + 8 <= window->length) {
		memcpy(&value, (uint8_t *)window->addr + at, sizeof(value));
		printf("window %" PRIu64 ": %" PRIu64 "\n", at, value);
	} else
		printf("received %" PRIu64 " bad %" PRIu64 " imm %" PRIu64 "\n", got.received, got.bad, got.imm);
	fflush(stdout);
}

static void member(uint32_t peer, size_t bytes)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	struct ibv_mr *window;
	union ibv_gid gid;
	char line[64];
	int index;

	objects_make(IBV_QPT_RC);
	index = device_gid(ctx, &gid);
	window = ibv_reg_mr(pd, calloc(1, bytes), bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	must(window != NULL, "ibv_reg_mr");
	qp_connect(qp, peer, &gid, index);
	for (uint64_t i = 0; i < DEPTH; i++)
		recv_post(i);
	printf("qpn %u\n", qp->qp_num);
	fflush(stdout);
	for (;;) {
		member_poll();
		if (poll(&in, 1, 1) <= 0)
			continue;
		ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

		if (n <= 0)
			return;
		line[n] = '\0';
		member_told(line, window);
	}
}

/* --- post */

static const char *const op_name[] = { "send", "send_imm", "write", "write_imm" };
static const enum ibv_wr_opcode op_code[] = { IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_WRITE,
	IBV_WR_RDMA_WRITE_WITH_IMM };

static struct ibv_ah *ud_ready(const union ibv_gid *gid, int index)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = 1 };
	struct ibv_ah_attr ah = { .is_global = 1, .port_num = 1,
		.grh = { .dgid = *gid, .sgid_index = (uint8_t)index, .hop_limit = 64 } };

	errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
	must(errno == 0, "to INIT");
	a.qp_state = IBV_QPS_RTR;
	must((errno = ibv_modify_qp(qp, &a, IBV_QP_STATE)) == 0, "to RTR");
	a.qp_state = IBV_QPS_RTS;
	must((errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_SQ_PSN)) == 0, "to RTS");
	return ibv_create_ah(pd, &ah);
}

static void uc_ready(const union ibv_gid *gid, int index)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1 };

	must((errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
		IBV_QP_ACCESS_FLAGS)) == 0, "to INIT");
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = qp->qp_num,
		.ah_attr = { .is_global = 1, .port_num = 1,
			.grh = { .dgid = *gid, .sgid_index = (uint8_t)index, .hop_limit = 64 } } };
	must((errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
		IBV_QP_RQ_PSN)) == 0, "to RTR");
	a.qp_state = IBV_QPS_RTS;
	must((errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_SQ_PSN)) == 0, "to RTS");
}

static struct ibv_ah *post_ready(enum ibv_qp_type type)
{
	union ibv_gid gid;
	int index;

	objects_make(type);
	index = device_gid(ctx, &gid);
	if (type == IBV_QPT_UD)
		return ud_ready(&gid, index);
	if (type == IBV_QPT_UC)
		uc_ready(&gid, index);
	else
		qp_connect(qp, qp->qp_num, &gid, index);
	return NULL;
}

struct job { enum ibv_wr_opcode op; struct ibv_ah *ah; uint64_t remote; uint32_t size; };

static void post_one(const struct job *j, uint64_t n)
{
	struct ibv_sge sge = slot(n, j->size);
	struct ibv_send_wr wr = { .wr_id = n, .sg_list = &sge, .num_sge = 1, .opcode = j->op }, *bad;
	uint8_t *m = (uint8_t *)(uintptr_t)sge.addr;

	memset(m, (uint8_t)n, j->size);
	memcpy(m, &n, sizeof(n));
	if (j->ah != NULL) {
		wr.wr.ud.ah = j->ah;
		wr.wr.ud.remote_qpn = qp->qp_num;
		wr.wr.ud.remote_qkey = 1;
	} else if (j->op == IBV_WR_RDMA_WRITE || j->op == IBV_WR_RDMA_WRITE_WITH_IMM) {
		wr.wr.rdma.remote_addr = j->remote + n % PLACES * j->size;
	}
	errno = ibv_post_send(qp, &wr, &bad);
	must(errno == 0, "ibv_post_send");
}

static void post(const struct job *j, uint64_t count)
{
	uint64_t posted = 0, done = 0, ok = 0;
	struct ibv_wc wc;

	puts("ready");
	fflush(stdout);
	while (done < count) {
		while (posted < count && posted - done < DEPTH && ok == done)
			post_one(j, posted++);
		if (ok != done && posted == done)
			return;
		if (ibv_poll_cq(cq, 1, &wc) <= 0)
			continue;
		if (wc.wr_id != done)
			die(EXIT_MEMORY, "completion %" PRIu64 " came as number %" PRIu64 "\n", wc.wr_id, done);
		if (wc.status != IBV_WC_SUCCESS && ok == done)
			printf("failed at %" PRIu64 ": %s\n", done, ibv_wc_status_str(wc.status));
		ok += wc.status == IBV_WC_SUCCESS;
		done++;
	}
	if (ok == done)
		printf("done %" PRIu64 "\n", done);
}

int main(int argc, char **argv)
{
	static const char *const type_name[] = { "rc", "uc", "ud" };
	static const enum ibv_qp_type type_of[] = { IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD };
	unsigned int type = 0, op = 0;

	if (argc == 4 && strcmp(argv[1], "member") == 0) {
		member((uint32_t)strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
		return 0;
	}
	if (argc == 7 && strcmp(argv[1], "post") == 0) {
		while (type < 3 && strcmp(argv[2], type_name[type]) != 0)
			type++;
		while (op < 4 && strcmp(argv[3], op_name[op]) != 0)
			op++;
	}
	if (argc != 7 || type == 3 || op == 4 || strtoul(argv[5], NULL, 0) > MESSAGE || strtoul(argv[5], NULL, 0) < 8)
		die(EXIT_CALL, "usage: bcast member QPN BYTES | bcast post TYPE OP COUNT SIZE REMOTE\n");
	struct job j = { .op = op_code[op], .ah = post_ready(type_of[type]), .remote = strtoul(argv[6], NULL, 0),
		.size = (uint32_t)strtoul(argv[5], NULL, 0) };

	post(&j, strtoul(argv[4], NULL, 0));
	return 0;
}
