/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases of events, of queues that are resized, of calls that build requests, of threads and of lives. */
#include <dirent.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

/* -------------------------------------------------------------------- events */

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void completion_events(void)
{
	struct pair_opts o = { .channel = true };
	struct ibv_cq *cq;
	struct ibv_wc wc;
	struct pair p;
	void *arg = &p;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	CHECK(works(&p, 0, 10) && !readable(p.ch->fd, 0)); /* not armed: no event */
	CHECK(ibv_req_notify_cq(p.cq[1], 0) == 0 && works(&p, 0, 10));
	CHECK(readable(p.ch->fd, 5000) && ibv_get_cq_event(p.ch, &cq, &arg) == 0 && cq == p.cq[1] && arg == NULL);
	CHECK(works(&p, 0, 10) && !readable(p.ch->fd, 0)); /* once */
	CHECK(ibv_req_notify_cq(p.cq[1], 1) == 0 && works(&p, 0, 10) && !readable(p.ch->fd, 0));
	CHECK(to_state(p.qp[1], IBV_QPS_ERR) && recv_one(&p, 1, 10, 1) == 0); /* what fails is as good as solicited */
	CHECK(readable(p.ch->fd, 5000) && ibv_get_cq_event(p.ch, &cq, &arg) == 0);
	CHECK(wait_wc(p.cq[1], &wc) == 1);
	ibv_ack_cq_events(p.cq[1], 2);
	CHECK(pair_free(&p));
}

static void srq_events(void)
{
	struct pair_opts o = { .srq = true };
	struct ibv_srq_attr a = { .srq_limit = 3 };
	struct ibv_async_event ev;
	struct ibv_wc wc;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	for (unsigned int i = 0; i < 4; i++)
		CHECK(recv_one(&p, 1, 10, i) == 0);
	CHECK(ibv_modify_srq(p.srq, &a, IBV_SRQ_LIMIT) == 0);
	for (unsigned int i = 0; i < 2; i++)
		CHECK(send_one(&p, 0, IBV_WR_SEND, 10, i) == 0 && wait_wc(p.cq[0], &wc) == 1 &&
			wait_wc(p.cq[1], &wc) == 1);
	CHECK(wait_async(ctx, IBV_EVENT_SRQ_LIMIT_REACHED, &ev) && ev.element.srq == p.srq);
	ibv_ack_async_event(&ev);
	CHECK(ibv_query_srq(p.srq, &a) == 0 && a.srq_limit == 0); /* armed no more */
	CHECK(to_state(p.qp[1], IBV_QPS_ERR));
	CHECK(wait_async(ctx, IBV_EVENT_QP_LAST_WQE_REACHED, &ev) && ev.element.qp == p.qp[1]);
	ibv_ack_async_event(&ev);
	CHECK(pair_free(&p));
}

static void drained(void)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_SQD, .en_sqd_async_notify = 1 };
	struct ibv_async_event ev;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	CHECK(ibv_modify_qp(p.qp[0], &a, IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY) == 0);
	CHECK(wait_async(ctx, IBV_EVENT_SQ_DRAINED, &ev) && ev.element.qp == p.qp[0]);
	ibv_ack_async_event(&ev);
	CHECK(p.qp[0]->state == IBV_QPS_SQD && to_state(p.qp[0], IBV_QPS_RTS) && works(&p, 0, 10));
	CHECK(pair_free(&p));
}

/* More completions than a queue has room for: an event, and its queue pair is of no use. */
static void overrun(void)
{
	struct pair_opts o = { .depth = 64, .cqe = 16 };
	struct ibv_async_event ev;
	struct pair p;
	int n;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	for (n = 0; n < 64; n++) /* the device may have room for some more */
		if (send_one(&p, 0, IBV_WR_RDMA_WRITE, 8, 1) != 0)
			break;
	CHECK(n > 3 * p.cq[0]->cqe);
	CHECK(wait_async(ctx, IBV_EVENT_CQ_ERR, &ev) && ev.element.cq == p.cq[0]);
	ibv_ack_async_event(&ev);
	CHECK(pair_free(&p));
}

static _Atomic int destroyed;

static void *destroy(void *qp)
{
	int rc = ibv_destroy_qp(qp);

	atomic_store(&destroyed, rc == 0 ? 1 : -1);
	return NULL;
}

/* Who destroys waits for the acknowledgement of what was handed out. */
static void destroy_waits(void)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_SQD, .en_sqd_async_notify = 1 };
	struct ibv_async_event ev;
	struct ibv_qp_init_attr ia;
	pthread_t t;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	CHECK(ibv_modify_qp(p.qp[0], &a, IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY) == 0);
	CHECK(wait_async(ctx, IBV_EVENT_SQ_DRAINED, &ev));
	ia = (struct ibv_qp_init_attr){ .send_cq = p.cq[0], .recv_cq = p.cq[0], .qp_type = IBV_QPT_RC };
	atomic_store(&destroyed, 0);
	CHECK(pthread_create(&t, NULL, destroy, p.qp[0]) == 0);
	usleep(50000);
	CHECK(atomic_load(&destroyed) == 0);
	ibv_ack_async_event(&ev);
	pthread_join(t, NULL);
	CHECK(atomic_load(&destroyed) == 1);
	p.qp[0] = ibv_create_qp(p.pd[0], &ia);
	CHECK(p.qp[0] != NULL && pair_free(&p));
}

/* ------------------------------------------------------------- many threads */

#define MANY 3000

struct crowd {
	struct pair p;
	_Atomic unsigned int sent, done, bad;
	_Atomic bool stop;
};

static void *post(void *arg)
{
	struct crowd *c = arg;

	while (atomic_fetch_add(&c->sent, 1) < MANY) {
		int rc;

		do {
			rc = send_one(&c->p, 0, IBV_WR_RDMA_WRITE, 64, 5);
			if (rc == ENOMEM)
				sched_yield();
		} while (rc == ENOMEM && !atomic_load(&c->stop));
		if (rc != 0)
			atomic_fetch_add(&c->bad, 1);
	}
	return NULL;
}

static void *drain(void *arg)
{
	struct crowd *c = arg;
	struct ibv_wc wc[8];

	while (atomic_load(&c->done) < MANY && !atomic_load(&c->stop)) {
		int n = ibv_poll_cq(c->p.cq[0], 8, wc);

		for (int i = 0; i < n; i++)
			if (wc[i].status != IBV_WC_SUCCESS || wc[i].wr_id != 5)
				atomic_fetch_add(&c->bad, 1);
		if (n < 0)
			atomic_store(&c->stop, true);
		else
			atomic_fetch_add(&c->done, (unsigned int)n);
		if (n == 0)
			sched_yield();
	}
	return NULL;
}

/* Two post to one queue, two poll it, the queue is resized all the time. */
static void crowded(struct crowd *c, bool resize)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, i < 2 ? post : drain, c) == 0);
	for (unsigned int i = 0; resize && atomic_load(&c->done) < MANY && !atomic_load(&c->stop); i++) {
		int cqe = i % 2 == 0 ? 300 : 70;

		if (ibv_resize_cq(c->p.cq[0], cqe) != 0 || c->p.cq[0]->cqe < cqe) {
			atomic_fetch_add(&c->bad, 1);
			atomic_store(&c->stop, true);
		}
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	CHECK(atomic_load(&c->done) == MANY && atomic_load(&c->bad) == 0);
}

static void threads(void)
{
	static struct crowd c[2];

	for (int i = 0; i < 2; i++) {
		CHECK(pair_make(&c[i].p, IBV_QPT_RC, NULL));
		crowded(&c[i], i == 1);
		CHECK(works(&c[i].p, 0, 100) && pair_free(&c[i].p));
	}
}

/* ------------------------------------------------------------------ resizing */

static void resize_keeps(void)
{
	struct pair_opts o = { .channel = true };
	struct ibv_cq *cq;
	struct ibv_wc wc;
	struct pair p;
	void *arg;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	CHECK(ibv_resize_cq(p.cq[0], dev.max_cqe + 1) == EINVAL && ibv_resize_cq(p.cq[0], 0) == EINVAL);
	for (unsigned int i = 0; i < 6; i++) /* stay unpolled over two resizes */
		CHECK(recv_one(&p, 1, 10, i) == 0 && send_one(&p, 0, IBV_WR_SEND, 10, i) == 0 &&
			wait_wc(p.cq[0], &wc) == 1);
	CHECK(ibv_resize_cq(p.cq[1], 1000) == 0 && p.cq[1]->cqe >= 1000 && ibv_resize_cq(p.cq[1], 40) == 0);
	CHECK(recv_one(&p, 1, 10, 6) == 0 && send_one(&p, 0, IBV_WR_SEND, 10, 6) == 0);
	for (unsigned int i = 0; i < 7; i++)
		CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.wr_id == i && wc.status == IBV_WC_SUCCESS);
	CHECK(ibv_poll_cq(p.cq[1], 1, &wc) == 0);
	CHECK(ibv_req_notify_cq(p.cq[1], 0) == 0 && ibv_resize_cq(p.cq[1], 77) == 0); /* armed it stays */
	CHECK(recv_one(&p, 1, 10, 7) == 0 && send_one(&p, 0, IBV_WR_SEND, 10, 7) == 0);
	CHECK(readable(p.ch->fd, 5000) && ibv_get_cq_event(p.ch, &cq, &arg) == 0);
	ibv_ack_cq_events(cq, 1);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.wr_id == 7);
	CHECK(pair_free(&p));
}

/* ------------------------------------------------------- building, reading one by one */

static void wr_calls(void)
{
	struct pair_opts o = { .inline_bytes = 64, .ops = IBV_QP_EX_WITH_RDMA_WRITE |
		IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM | IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM |
		IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP | IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD };
	const enum ibv_wc_opcode expected[] = { IBV_WC_RDMA_WRITE, IBV_WC_RDMA_WRITE, IBV_WC_SEND, IBV_WC_SEND,
		IBV_WC_RDMA_READ, IBV_WC_COMP_SWAP, IBV_WC_FETCH_ADD };
	struct ibv_data_buf two[2] = { { (void *)(uintptr_t)"ab", 2 }, { (void *)(uintptr_t)"cdef", 4 } };
	struct ibv_qp_ex *q;
	struct ibv_wc wc;
	struct pair p;
	uint64_t at, *word, *got;
	uint32_t key;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	q = ibv_qp_to_qp_ex(p.qp[0]);
	CHECK(q != NULL);
	at = (uintptr_t)p.buf[1];
	word = (uint64_t *)(void *)(p.buf[1] + 4096);
	got = (uint64_t *)(void *)(p.buf[0] + 4096);
	key = p.mr[1]->rkey;
	memcpy(p.buf[0], "0123456789", 10);
	word[0] = 41;
	for (unsigned int i = 0; i < 3; i++)
		CHECK(recv_one(&p, 1, 64, 100 + i) == 0);
	ibv_wr_start(q);
#define NEXT(n) (q->wr_id = (n), q->wr_flags = IBV_SEND_SIGNALED)
	NEXT(0), ibv_wr_rdma_write(q, key, at + 1000), ibv_wr_set_sge(q, p.mr[0]->lkey, (uintptr_t)p.buf[0], 10);
	NEXT(1), ibv_wr_rdma_write_imm(q, key, at + 2000, 7), ibv_wr_set_inline_data_list(q, 2, two);
	NEXT(2), ibv_wr_send(q), ibv_wr_set_inline_data(q, p.buf[0], 5);
	NEXT(3), ibv_wr_send_imm(q, 8), ibv_wr_set_sge(q, p.mr[0]->lkey, (uintptr_t)p.buf[0], 6);
	NEXT(4), ibv_wr_rdma_read(q, key, at + 2000), ibv_wr_set_sge(q, p.mr[0]->lkey, (uintptr_t)p.buf[0] + 100, 6);
	NEXT(5), ibv_wr_atomic_cmp_swp(q, key, (uintptr_t)word, 41, 50);
	ibv_wr_set_sge(q, p.mr[0]->lkey, (uintptr_t)got, 8);
	NEXT(6), ibv_wr_atomic_fetch_add(q, key, (uintptr_t)word, 3);
	ibv_wr_set_sge(q, p.mr[0]->lkey, (uintptr_t)(got + 1), 8);
	CHECK(ibv_wr_complete(q) == 0);
	for (unsigned int i = 0; i < 7; i++)
		CHECK(wait_wc(p.cq[0], &wc) == 1 && wc.wr_id == i && wc.status == IBV_WC_SUCCESS &&
			wc.opcode == expected[i]);
	CHECK(memcmp(p.buf[1] + 1000, "0123456789", 10) == 0 && memcmp(p.buf[0] + 100, "abcdef", 6) == 0);
	CHECK(got[0] == 41 && got[1] == 50 && word[0] == 53);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.opcode == IBV_WC_RECV_RDMA_WITH_IMM);
	CHECK(wc.imm_data == 7 && wc.byte_len == 6);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.opcode == IBV_WC_RECV && wc.byte_len == 5 && wc.wc_flags == 0);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.imm_data == 8 && (wc.wc_flags & IBV_WC_WITH_IMM) && wc.byte_len == 6);
	/* what is refused, and what is aborted, leaves nothing */
	ibv_wr_start(q);
	NEXT(7), ibv_wr_send(q), ibv_wr_set_sge(q, p.mr[0]->lkey, (uintptr_t)p.buf[0], 5);
	ibv_wr_abort(q);
	ibv_wr_start(q);
	NEXT(8), ibv_wr_send(q), ibv_wr_set_inline_data(q, p.buf[0], 1 << 20);
	NEXT(9), ibv_wr_send(q), ibv_wr_set_inline_data(q, p.buf[0], 1);
	CHECK(ibv_wr_complete(q) == EINVAL);
	CHECK(works(&p, 0, 30) && pair_free(&p));
}

/* Windows of type 2, bound and invalidated call by call. */
static void wr_windows(void)
{
	struct pair_opts o = { .ops = IBV_QP_EX_WITH_BIND_MW | IBV_QP_EX_WITH_LOCAL_INV |
		IBV_QP_EX_WITH_SEND_WITH_INV };
	struct ibv_mw_bind_info b = { .length = 64, .mw_access_flags = IBV_ACCESS_REMOTE_WRITE };
	struct ibv_qp_ex *q[2];
	struct ibv_mw *mw;
	struct ibv_wc wc;
	struct pair p;
	uint32_t key;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	q[0] = ibv_qp_to_qp_ex(p.qp[0]);
	q[1] = ibv_qp_to_qp_ex(p.qp[1]);
	mw = ibv_alloc_mw(p.pd[1], IBV_MW_TYPE_2);
	CHECK(mw != NULL && q[0] != NULL && q[1] != NULL && recv_one(&p, 1, 64, 9) == 0);
	b.mr = p.mr[1];
	b.addr = (uintptr_t)p.buf[1];
	key = ibv_inc_rkey(mw->rkey);
	ibv_wr_start(q[1]);
	q[1]->wr_id = 1, q[1]->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_bind_mw(q[1], mw, key, &b);
	CHECK(ibv_wr_complete(q[1]) == 0 && wait_wc(p.cq[1], &wc) == 1 && wc.status == IBV_WC_SUCCESS);
	CHECK(wc.opcode == IBV_WC_BIND_MW);
	ibv_wr_start(q[0]);
	q[0]->wr_id = 2, q[0]->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_send_inv(q[0], key);
	CHECK(ibv_wr_complete(q[0]) == 0 && wait_wc(p.cq[0], &wc) == 1 && wc.status == IBV_WC_SUCCESS);
	CHECK(wait_wc(p.cq[1], &wc) == 1 && (wc.wc_flags & IBV_WC_WITH_INV) && wc.invalidated_rkey == key);
	mw->rkey = key; /* of type 2: the program's to keep */
	ibv_wr_start(q[1]); /* bound anew, then invalidated at home */
	q[1]->wr_id = 3;
	ibv_wr_bind_mw(q[1], mw, ibv_inc_rkey(key), &b);
	q[1]->wr_id = 4;
	ibv_wr_local_inv(q[1], ibv_inc_rkey(key));
	CHECK(ibv_wr_complete(q[1]) == 0);
	for (unsigned int i = 3; i < 5; i++)
		CHECK(wait_wc(p.cq[1], &wc) == 1 && wc.wr_id == i && wc.status == IBV_WC_SUCCESS);
	CHECK(wc.opcode == IBV_WC_LOCAL_INV);
	CHECK(ibv_dealloc_mw(mw) == 0 && pair_free(&p));
}

static void cq_calls(void)
{
	struct ibv_cq_init_attr_ex ia = { .cqe = 64, .wc_flags = IBV_WC_STANDARD_FLAGS |
		IBV_WC_EX_WITH_COMPLETION_TIMESTAMP | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK };
	struct ibv_poll_cq_attr pa = { .comp_mask = 0 };
	struct ibv_qp_init_attr qa = { .qp_type = IBV_QPT_RC, .cap = { 16, 16, 1, 1, 0 }, .sq_sig_all = 1 };
	struct ibv_values_ex v = { .comp_mask = IBV_VALUES_MASK_RAW_CLOCK };
	struct ibv_cq_ex *cq = ibv_create_cq_ex(ctx, &ia);
	uint64_t before = 0, wall_before = 0;
	struct ibv_wc wc;
	struct ibv_qp *own;
	struct pair p;
	unsigned int n = 0;
	int rc;

	CHECK(cq != NULL && pair_make(&p, IBV_QPT_RC, NULL));
	qa.send_cq = qa.recv_cq = ibv_cq_ex_to_cq(cq);
	own = p.qp[0];
	p.qp[0] = ibv_create_qp(p.pd[0], &qa);
	CHECK(p.qp[0] != NULL && ibv_destroy_qp(own) == 0 && to_state(p.qp[1], IBV_QPS_RESET));
	for (int i = 0; i < 2; i++)
		CHECK(to_init(p.qp[i]) && to_rtr(p.qp[i], p.qp[1 - i]->qp_num) && to_rts(p.qp[i]));
	CHECK(ibv_start_poll(cq, &pa) == ENOENT);
	for (unsigned int i = 0; i < 8; i++)
		CHECK(recv_one(&p, 1, 10, i) == 0 && send_one(&p, 0, IBV_WR_SEND, 10, i) == 0 &&
			wait_wc(p.cq[1], &wc) == 1);
	while (n < 8) {
		rc = ibv_start_poll(cq, &pa);
		for (; rc == 0; n++, rc = ibv_next_poll(cq)) {
			uint64_t ts = ibv_wc_read_completion_ts(cq), wall = ibv_wc_read_completion_wallclock_ns(cq);

			CHECK(cq->wr_id == n && cq->status == IBV_WC_SUCCESS && ibv_wc_read_opcode(cq) == IBV_WC_SEND);
			CHECK(ibv_wc_read_qp_num(cq) == p.qp[0]->qp_num && ts >= before && wall >= wall_before);
			before = ts;
			wall_before = wall;
			CHECK(ibv_req_notify_cq(ibv_cq_ex_to_cq(cq), 0) == 0); /* in the middle */
		}
		CHECK(rc == ENOENT);
		if (n > 0)
			ibv_end_poll(cq);
	}
	CHECK(ibv_query_rt_values_ex(ctx, &v) == 0 && v.comp_mask == IBV_VALUES_MASK_RAW_CLOCK);
	CHECK((uint64_t)v.raw_clock.tv_nsec >= before);
	CHECK(pair_free(&p) && ibv_destroy_cq(ibv_cq_ex_to_cq(cq)) == 0);
}

/* ------------------------------------------------------------------ lives */

static unsigned int entries(const char *dir)
{
	unsigned int n = 0;
	DIR *d = opendir(dir);

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

static unsigned int lines(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned int n = 0;
	int c;

	while (f != NULL && (c = getc(f)) != EOF)
		n += c == '\n';
	if (f != NULL)
		fclose(f);
	return n;
}

static void two_contexts(void)
{
	struct ibv_context *c = open_again();
	struct pair_opts o = { .other = c };
	struct pair p;

	CHECK(c != NULL && c != ctx && c->device == ctx->device && pair_make(&p, IBV_QPT_RC, &o));
	CHECK(works(&p, 0, 3000) && works(&p, 1, 3000) && pair_free(&p) && ibv_close_device(c) == 0);
}

static void open_close(void)
{
	unsigned int fds, maps = 0, tasks, times = getenv("PHCA_TEST_LONG") != NULL ? 1000 : 100;
	struct ibv_context *c;
	struct ibv_pd *pd;

	fds = entries("/proc/self/fd");
	tasks = entries("/proc/self/task");
	for (unsigned int i = 0; i < times; i++) {
		c = open_again();
		CHECK(c != NULL);
		pd = ibv_alloc_pd(c);
		CHECK(pd != NULL && ibv_dealloc_pd(pd) == 0 && ibv_close_device(c) == 0);
		if (i == 20)
			maps = lines("/proc/self/maps");
	}
	for (unsigned int i = 0; i < 5000 && entries("/proc/self/task") != tasks; i++)
		usleep(1000); /* who has been joined is there for a moment more */
	CHECK(entries("/proc/self/fd") == fds && entries("/proc/self/task") == tasks);
	CHECK(lines("/proc/self/maps") <= maps + 2); /* malloc's may split */
}

static void child_of_fork(void)
{
	struct pair p;
	int status;
	pid_t pid;

	CHECK(ibv_fork_init() == 0 && pair_make(&p, IBV_QPT_RC, NULL) && works(&p, 0, 100));
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) { /* nothing of the parent's is the child's, to whom it may open the device again */
		struct ibv_context *c;
		bool refused = ibv_alloc_pd(ctx) == NULL;

		memset(p.buf[0], 0xee, BUF);
		c = open_again();
		_exit(refused && c != NULL && ibv_close_device(c) == 0 ? 0 : 1);
	}
	CHECK(works(&p, 0, 1000));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(works(&p, 1, 1000) && p.buf[0][2000] != 0xee && pair_free(&p));
}

static bool constructed;

__attribute__((constructor)) static void early(void)
{
	struct ibv_context *c = open_again();

	constructed = c != NULL && ibv_close_device(c) == 0;
}

static void before_main(void)
{
	CHECK(constructed);
}

/* ----------------------------------------------------------- since rdma-core 45 */

struct new_mr_attr { /* struct ibv_mr_init_attr */
	size_t length;
	int access;
	uint64_t comp_mask, iova;
	void *addr;
	int fd;
	uint64_t fd_offset;
	void *dmah, *buf;
};

#define SYMBOL(type, name, node, ...) \
	type (*name)(__VA_ARGS__) = \
		(type (*)(__VA_ARGS__))(uintptr_t)dlvsym(RTLD_DEFAULT, "ibv_" #name, "IBVERBS_" node)

static void newer(void)
{
	SYMBOL(struct ibv_mr *, reg_mr_ex, "1.15", struct ibv_pd *, struct new_mr_attr *);
	SYMBOL(void *, alloc_dmah, "1.15", struct ibv_context *, void *);
	SYMBOL(int, query_port_speed, "1.16", struct ibv_context *, uint32_t, uint64_t *);
	SYMBOL(void *, alloc_buf, "1.17", struct ibv_pd *, size_t, void **);
	SYMBOL(void, free_buf, "1.17", void *);
	SYMBOL(struct ibv_mr *, reg_buf_mr, "1.17", struct ibv_pd *, void *, void *, size_t, int);
	SYMBOL(void *, create_comp_cntr, "1.18", struct ibv_context *, void *);
	struct new_mr_attr a = { .length = 1000, .access = ALL_ACCESS, .comp_mask = 3, .iova = 1 << 20 };
	uint64_t speed = 0;
	struct ibv_mr *mr;
	struct pair p;
	uint8_t *mem;
	void *buf;

	CHECK(reg_mr_ex && alloc_dmah && query_port_speed && alloc_buf && free_buf && reg_buf_mr && create_comp_cntr);
	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	a.addr = p.buf[1];
	mr = reg_mr_ex(p.pd[1], &a);
	CHECK(mr != NULL && mr->addr == p.buf[1] && mr->length == 1000 && mr->pd == p.pd[1]);
	CHECK(ibv_dereg_mr(mr) == 0);
	a.comp_mask = 1;
	CHECK(reg_mr_ex(p.pd[1], &a) == NULL && errno == EINVAL); /* of no memory */
	a.comp_mask = 1 << 2 | 1 << 3 | 1;
	CHECK(reg_mr_ex(p.pd[1], &a) == NULL && errno == EOPNOTSUPP); /* dma-buf */
	mem = alloc_buf(p.pd[1], 10000, &buf);
	CHECK(mem != NULL && (uintptr_t)mem % 4096 == 0);
	memset(mem, 1, 10000);
	CHECK(reg_buf_mr(p.pd[1], buf, mem + 1, 10000, ALL_ACCESS) == NULL && errno == EINVAL); /* a byte too far */
	mr = reg_buf_mr(p.pd[1], buf, mem, 10000, ALL_ACCESS);
	CHECK(mr != NULL && ibv_dereg_mr(mr) == 0);
	free_buf(buf);
	CHECK(query_port_speed(ctx, 1, &speed) == 0 && speed >= 10 && query_port_speed(ctx, 2, &speed) == EINVAL);
	CHECK(alloc_dmah(ctx, &a) == NULL && errno == EOPNOTSUPP);
	CHECK(create_comp_cntr(ctx, &a) == NULL && errno == EOPNOTSUPP);
	CHECK(pair_free(&p));
}

const struct conform_case more_cases[] = {
	CASE(completion_events), CASE(srq_events), CASE(drained), CASE(overrun), CASE(destroy_waits), CASE(threads),
	CASE(resize_keeps), CASE(wr_calls), CASE(wr_windows), CASE(cq_calls), CASE(two_contexts),
	CASE(open_close), CASE(child_of_fork), CASE(before_main), CASE(newer), { NULL, NULL },
};
