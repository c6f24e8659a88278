/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client that does everything at random: objects of all kinds are made and
 * destroyed, memory of all kinds registered, overlapping and unaligned, while
 * other threads write to it; traffic between queue pairs of its own, by the
 * device's own GID, is compared byte by byte; children are forked; bad calls are
 * made, which must fail. It ends in the middle, without cleaning up.
 *
 *   torture SEED OPERATIONS [DEVICE]
 *
 * Plain verbs: it runs on any device. Exit status: 0; 2 a call failed that must
 * not; 3 memory is not what it must be; 77 there is no device.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <infiniband/verbs.h>

#include "torture.h"

#define PIECES 16
#define PDS 4
#define CQS 8
#define SRQS 4
#define MRS 48
#define PAIRS 6
#define MWS 4
#define CHANNELS 3
#define DEPTH 16
#define MSG_MAX 4096

/* Two queue pairs that are connected to each other, and a region of each. */
struct pair {
	struct ibv_qp *qp[2];
	struct ibv_cq *cq;
	struct ibv_mr *mr[2];
	uint8_t *buf[2];
	struct ibv_pd *pd;
	bool dead;
};

static struct {
	uint64_t s;
	struct ibv_context *ctx;
	union ibv_gid gid;
	int gid_index;
	struct piece pieces[PIECES];
	unsigned int nb_pieces;
	struct ibv_pd *pd[PDS];
	struct ibv_cq *cq[CQS];
	struct ibv_srq *srq[SRQS];
	struct ibv_mr *mr[MRS];
	struct ibv_mw *mw[MWS];
	struct ibv_comp_channel *ch[CHANNELS];
	struct pair pair[PAIRS];
	unsigned long done[16], messages;
} t;

static void must(bool ok, const char *what)
{
	if (!ok)
		die(EXIT_CALL, "%s: failed: %s\n", what, strerror(errno));
}

/* @return a member of the array at random: i; the slot may be empty */
#define ANY(a) ((unsigned int)(rnd(&t.s) % (sizeof(a) / sizeof((a)[0]))))

static void open_device(const char *name)
{
	int n;
	struct ibv_device **list = ibv_get_device_list(&n);

	for (int i = 0; list != NULL && i < n; i++)
		if (t.ctx == NULL && (name == NULL || strcmp(name, ibv_get_device_name(list[i])) == 0))
			t.ctx = ibv_open_device(list[i]);
	if (t.ctx == NULL)
		exit(77);
	ibv_free_device_list(list);
	/* the last one that is no link-local address */
	for (int i = 0; i < 16; i++) {
		union ibv_gid g;

		if (ibv_query_gid(t.ctx, 1, i, &g) != 0)
			break;
		if (g.raw[0] != 0xfe && g.global.interface_id != 0) {
			t.gid = g;
			t.gid_index = i;
		}
	}
	must(t.gid.global.interface_id != 0, "a GID");
}

/* ------------------------------------------------------ single objects */

static void pd_flip(void)
{
	unsigned int i = ANY(t.pd);

	if (t.pd[i] == NULL) {
		t.pd[i] = ibv_alloc_pd(t.ctx);
		must(t.pd[i] != NULL, "ibv_alloc_pd");
	} else if (ibv_dealloc_pd(t.pd[i]) == 0) {
		t.pd[i] = NULL; /* else something uses it */
	}
}

static void channel_flip(void)
{
	unsigned int i = ANY(t.ch);

	if (t.ch[i] == NULL) {
		t.ch[i] = ibv_create_comp_channel(t.ctx);
		must(t.ch[i] != NULL && fcntl(t.ch[i]->fd, F_SETFL, O_NONBLOCK) == 0, "ibv_create_comp_channel");
	} else if (ibv_destroy_comp_channel(t.ch[i]) == 0) {
		t.ch[i] = NULL;
	}
}

static void cq_flip(void)
{
	unsigned int i = ANY(t.cq), c = ANY(t.ch);

	if (t.cq[i] == NULL) {
		t.cq[i] = ibv_create_cq(t.ctx, 1 + (int)(rnd(&t.s) % 1000), NULL, t.ch[c], 0);
		must(t.cq[i] != NULL, "ibv_create_cq");
	} else if (rnd(&t.s) % 3 == 0) {
		must(ibv_resize_cq(t.cq[i], 1 + (int)(rnd(&t.s) % 1000)) == 0, "ibv_resize_cq");
	} else if (rnd(&t.s) % 2 == 0) {
		must(ibv_req_notify_cq(t.cq[i], (int)(rnd(&t.s) % 2)) == 0, "ibv_req_notify_cq");
	} else {
		must(ibv_destroy_cq(t.cq[i]) == 0, "ibv_destroy_cq");
		t.cq[i] = NULL;
	}
}

static void srq_flip(void)
{
	unsigned int i = ANY(t.srq), p = ANY(t.pd);
	struct ibv_srq_init_attr a = { .attr = { .max_wr = 1 + rnd(&t.s) % 300, .max_sge = 1 + rnd(&t.s) % 4 } };

	if (t.srq[i] != NULL) {
		must(ibv_destroy_srq(t.srq[i]) == 0, "ibv_destroy_srq");
		t.srq[i] = NULL;
	} else if (t.pd[p] != NULL) {
		t.srq[i] = ibv_create_srq(t.pd[p], &a);
		must(t.srq[i] != NULL, "ibv_create_srq");
	}
}

static void mw_flip(void)
{
	unsigned int i = ANY(t.mw), p = ANY(t.pd);

	if (t.mw[i] != NULL) {
		must(ibv_dealloc_mw(t.mw[i]) == 0, "ibv_dealloc_mw");
		t.mw[i] = NULL;
	} else if (t.pd[p] != NULL) {
		t.mw[i] = ibv_alloc_mw(t.pd[p], rnd(&t.s) % 2 ? IBV_MW_TYPE_1 : IBV_MW_TYPE_2);
		must(t.mw[i] != NULL, "ibv_alloc_mw");
	}
}

/* Any part of any piece, overlapping what is registered already. */
static void mr_flip(void)
{
	unsigned int i = ANY(t.mr), p = ANY(t.pd);
	const struct piece *m = &t.pieces[rnd(&t.s) % t.nb_pieces];
	size_t from = rnd(&t.s) % m->len, len = 1 + rnd(&t.s) % (m->len - from);
	int access = m->readonly ? IBV_ACCESS_REMOTE_READ : IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;

	if (t.mr[i] != NULL) {
		must(ibv_dereg_mr(t.mr[i]) == 0, "ibv_dereg_mr");
		t.mr[i] = NULL;
	} else if (t.pd[p] != NULL) {
		t.mr[i] = ibv_reg_mr(t.pd[p], m->base + from, len, access);
		if (t.mr[i] == NULL)
			die(EXIT_CALL, "ibv_reg_mr: %s, %zu bytes at %zu: %s\n", m->kind, len, from, strerror(errno));
	}
}

/* ------------------------------------------------------------- traffic */

static void to_rts(struct ibv_qp *qp, uint32_t peer)
{
	struct ibv_qp_attr a = {
		.qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
	};

	must(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) == 0,
		"ibv_modify_qp to INIT");
	a = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = peer, .rq_psn = 5,
		.max_dest_rd_atomic = 1, .min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1,
			.grh = { .dgid = t.gid, .sgid_index = (uint8_t)t.gid_index, .hop_limit = 1 } },
	};
	must(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) == 0, "ibv_modify_qp to RTR");
	a = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .sq_psn = 5, .max_rd_atomic = 1,
	};
	must(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC) == 0, "ibv_modify_qp to RTS");
}

static void pair_make(struct pair *p)
{
	struct ibv_qp_init_attr a = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 2, .max_recv_sge = 2,
			.max_inline_data = 64 },
	};

	p->pd = ibv_alloc_pd(t.ctx);
	p->cq = ibv_create_cq(t.ctx, 4 * DEPTH, NULL, NULL, 0);
	must(p->pd != NULL && p->cq != NULL, "PD and CQ of a pair");
	a.send_cq = a.recv_cq = p->cq;
	for (unsigned int i = 0; i < 2; i++) {
		p->buf[i] = malloc(2 * MSG_MAX);
		p->mr[i] = ibv_reg_mr(p->pd, p->buf[i], 2 * MSG_MAX, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
			IBV_ACCESS_REMOTE_READ);
		p->qp[i] = ibv_create_qp(p->pd, &a);
		must(p->mr[i] != NULL && p->qp[i] != NULL, "QP and region of a pair");
	}
	to_rts(p->qp[0], p->qp[1]->qp_num);
	to_rts(p->qp[1], p->qp[0]->qp_num);
	p->dead = false;
}

static void pair_free(struct pair *p)
{
	for (unsigned int i = 0; i < 2; i++) {
		must(ibv_destroy_qp(p->qp[i]) == 0, "ibv_destroy_qp");
		must(ibv_dereg_mr(p->mr[i]) == 0, "ibv_dereg_mr of a pair");
		free(p->buf[i]);
	}
	must(ibv_destroy_cq(p->cq) == 0, "ibv_destroy_cq of a pair");
	must(ibv_dealloc_pd(p->pd) == 0, "ibv_dealloc_pd of a pair");
	memset(p, 0, sizeof(*p));
}

static void wait_for(struct pair *p, int want)
{
	struct timespec now;
	struct ibv_wc wc[4];
	time_t end;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + 60;
	while (want > 0) {
		int n = ibv_poll_cq(p->cq, 4, wc);

		must(n >= 0, "ibv_poll_cq");
		for (int i = 0; i < n; i++)
			if (wc[i].status != IBV_WC_SUCCESS)
				die(EXIT_CALL, "completion: %s\n", ibv_wc_status_str(wc[i].status));
		want -= n;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end)
			die(EXIT_CALL, "completions: %d did not come in 60 s\n", want);
	}
}

/* One request of a kind, its bytes compared at the other end. */
static void message(struct pair *p, unsigned int kind, uint32_t len)
{
	uint32_t from_at = rnd(&t.s) % MSG_MAX, to_at = rnd(&t.s) % MSG_MAX;
	struct ibv_sge from = { .addr = (uintptr_t)p->buf[0] + from_at, .length = len, .lkey = p->mr[0]->lkey };
	struct ibv_sge to = { .addr = (uintptr_t)p->buf[1] + to_at, .length = len, .lkey = p->mr[1]->lkey };
	struct ibv_recv_wr rwr = { .wr_id = 1, .sg_list = &to, .num_sge = 1 }, *bad_r;
	struct ibv_send_wr swr = { .wr_id = 2, .sg_list = &from, .num_sge = 1 }, *bad_s;

	for (uint32_t i = 0; i < 2 * MSG_MAX; i++) {
		p->buf[0][i] = (uint8_t)rnd(&t.s);
		p->buf[1][i] = (uint8_t)rnd(&t.s);
	}
	swr.send_flags = IBV_SEND_SIGNALED;
	swr.wr.rdma.remote_addr = to.addr;
	swr.wr.rdma.rkey = p->mr[1]->rkey;
	if (kind == 0) {
		swr.opcode = IBV_WR_SEND;
		if (len <= 64)
			swr.send_flags |= IBV_SEND_INLINE;
		must(ibv_post_recv(p->qp[1], &rwr, &bad_r) == 0, "ibv_post_recv");
	} else {
		swr.opcode = kind == 1 ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ;
	}
	must(ibv_post_send(p->qp[0], &swr, &bad_s) == 0, "ibv_post_send");
	wait_for(p, kind == 0 ? 2 : 1);
	if (memcmp(p->buf[0] + from_at, p->buf[1] + to_at, len) != 0)
		die(EXIT_MEMORY, "message: kind %u, %u bytes from %u to %u: differs\n", kind, len, from_at, to_at);
	t.messages++;
}

static void pair_use(void)
{
	struct pair *p = &t.pair[ANY(t.pair)];
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_ERR };

	if (p->pd == NULL) {
		pair_make(p);
	} else if (rnd(&t.s) % 8 == 0) {
		pair_free(p);
	} else if (!p->dead && rnd(&t.s) % 16 == 0) {
		must(ibv_modify_qp(p->qp[rnd(&t.s) % 2], &a, IBV_QP_STATE) == 0, "ibv_modify_qp to ERR");
		p->dead = true;
	} else if (!p->dead) {
		message(p, rnd(&t.s) % 3, 1 + rnd(&t.s) % MSG_MAX);
	}
}

/* ---------------------------------------------------- bad calls, forks */

static void bad_calls(void)
{
	unsigned int p = ANY(t.pd);
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC, .cap = { .max_send_wr = 1u << 30 } };
	struct ibv_cq *cq;

	if (t.pd[p] == NULL)
		return;
	must(ibv_create_cq(t.ctx, 0x7fffffff, NULL, NULL, 0) == NULL, "ibv_create_cq of too many, which must fail,");
	must(ibv_reg_mr(t.pd[p], (void *)8, 4096, IBV_ACCESS_LOCAL_WRITE) == NULL,
		"ibv_reg_mr of nothing, which must fail,");
	must(ibv_reg_mr(t.pd[p], t.pieces[0].base, 10, IBV_ACCESS_REMOTE_WRITE) == NULL,
		"ibv_reg_mr without local write, which must fail,");
	must(ibv_create_qp(t.pd[p], &a) == NULL, "ibv_create_qp without CQs, which must fail,");
	cq = ibv_create_cq(t.ctx, 1, NULL, NULL, 0);
	must(cq != NULL, "ibv_create_cq");
	a.send_cq = a.recv_cq = cq;
	must(ibv_create_qp(t.pd[p], &a) == NULL, "ibv_create_qp of too many WRs, which must fail,");
	must(ibv_destroy_cq(cq) == 0, "ibv_destroy_cq");
}

/* A child's writes stay with the child. */
static void fork_one(void)
{
	const struct piece *m = &t.pieces[3]; /* private */
	volatile uint8_t *at = m->base + m->len - 1;
	uint8_t before = *at;
	int status;
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (pid == 0) {
		*at = (uint8_t)(before + 1);
		_exit(*at == (uint8_t)(before + 1) ? 0 : 1);
	}
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	if (status != 0)
		die(EXIT_MEMORY, "child: status 0x%x\n", status);
	if (*at != before)
		die(EXIT_MEMORY, "fork: the child wrote to its parent's memory\n");
}

static void events(void)
{
	struct ibv_async_event ev;
	struct ibv_cq *cq;
	void *arg;

	for (unsigned int i = 0; i < CHANNELS; i++)
		while (t.ch[i] != NULL && ibv_get_cq_event(t.ch[i], &cq, &arg) == 0)
			ibv_ack_cq_events(cq, 1);
	while (ibv_get_async_event(t.ctx, &ev) == 0)
		ibv_ack_async_event(&ev);
}

int main(int argc, char **argv)
{
	static void (*const what[])(void) = {
		pd_flip, channel_flip, cq_flip, srq_flip, mw_flip, mr_flip, mr_flip, mr_flip, pair_use, pair_use,
		pair_use, events, bad_calls,
	};
	uint8_t stack[40000];
	unsigned long n;

	if (argc < 3)
		die(1, "usage: torture SEED OPERATIONS [DEVICE]\n");
	t.s = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15ull + 1;
	n = strtoul(argv[2], NULL, 0);
	open_device(argc > 3 ? argv[3] : NULL);
	must(fcntl(t.ctx->async_fd, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK of async_fd");
	t.nb_pieces = pieces_make(t.pieces, PIECES, stack, sizeof(stack));
	writers_start(t.pieces, t.nb_pieces, t.s);
	for (unsigned long i = 0; i < n; i++) {
		unsigned int k = rnd(&t.s) % (sizeof(what) / sizeof(what[0]));

		if (rnd(&t.s) % 200 == 0)
			fork_one();
		what[k]();
		t.done[k]++;
	}
	writers_stop();
	pieces_check(t.pieces, t.nb_pieces);
	printf("%lu operations, %lu messages\n", n, t.messages);
	fflush(stdout);
	_exit(0); /* as a crash would, with everything open */
}
