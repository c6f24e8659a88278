/* SPDX-License-Identifier: BSD-3-Clause */
/* Two RC queue pairs of one HCA, joined by its own address: requester and responder meet. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_random.h>

#include "lab.h"

#define MEM (1u << 20)
#define DEPTH 16

struct end {
	struct phca_qp *qp;
	struct phca_cq *cq;
	uint8_t *mem;
	uint32_t key;
};

struct pair {
	struct lab *l;
	struct end e[2];
	uint16_t mtu;
};

static void end_open(struct pair *p, struct end *e, uint32_t qpn)
{
	struct phca_qp_init i = {
		.type = PHCA_QPT_RC, .qpn = qpn, .pd = p->l->pd, .max_send_wr = DEPTH, .max_recv_wr = DEPTH,
		.max_send_sge = 32, .max_recv_sge = 32, .max_inline = 64,
	};

	CU_ASSERT_FATAL(phca_cq_create(p->l->client, 4 * DEPTH, &e->cq) == 0);
	i.send_cq = i.recv_cq = e->cq;
	CU_ASSERT_FATAL(phca_qp_create(p->l->client, &i, &e->qp) == 0);
	e->mem = calloc(1, MEM);
	CU_ASSERT_FATAL(e->mem != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(p->l->mem, p->l->pd, e->mem, MEM, (uintptr_t)e->mem, PHCA_ACCESS_ALL,
		&e->key) == 0);
}

static void connect(struct pair *p, struct end *e, uint32_t dest)
{
	static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .dest_qpn = dest, .path_mtu = p->mtu,
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC,
		.sq_psn = phca_psn(0xffff00), .rq_psn = phca_psn(0xffff00), .timeout = 14, .retry_cnt = 7,
		.rnr_retry = 7, .max_rd_atomic = 4, .max_dest_rd_atomic = 4, .min_rnr_timer = 1,
	};

	memcpy(a.av.dgid, own, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_find(p->l->net, own);
	CU_ASSERT_EQUAL(phca_qp_modify(e->qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(e->qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN |
		PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(e->qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC), 0);
}

static struct pair pair_open(uint16_t mtu)
{
	struct pair p = { .l = lab_open(NULL), .mtu = mtu };

	end_open(&p, &p.e[0], 0x55);
	end_open(&p, &p.e[1], 0x66);
	connect(&p, &p.e[0], 0x66);
	connect(&p, &p.e[1], 0x55);
	return p;
}

static void pair_close(struct pair *p)
{
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(phca_qp_destroy(p->e[i].qp), 0);
		CU_ASSERT_EQUAL(phca_cq_destroy(p->e[i].cq), 0);
		CU_ASSERT_EQUAL(phca_mr_dereg(p->l->mem, p->e[i].key), 0);
		free(p->e[i].mem);
	}
	lab_turn(p->l, 2); /* what is still on its way finds no queue pair */
	lab_close(p->l);
}

/* Turn until there is a completion. */
static struct phca_wc wait_wc(struct pair *p, struct end *e)
{
	struct phca_wc wc = { .status = PHCA_WC_GENERAL_ERR };
	int n = 0;

	for (unsigned int i = 0; i < 100000 && n == 0; i++) {
		n = phca_poll_cq(e->cq, 1, &wc);
		if (n == 0)
			lab_turn(p->l, 1);
	}
	CU_ASSERT_EQUAL_FATAL(n, 1);
	if (wc.status != PHCA_WC_SUCCESS)
		printf("  completion %lu: %s\n", wc.wr_id, phca_wc_status_str(wc.status));
	CU_ASSERT_EQUAL_FATAL(wc.status, PHCA_WC_SUCCESS);
	return wc;
}

static void one_of_each(uint16_t mtu, uint32_t len)
{
	struct pair p = pair_open(mtu);
	struct end *a = &p.e[0], *b = &p.e[1];
	struct phca_sge sa = { (uintptr_t)a->mem, len, a->key }, sb = { (uintptr_t)b->mem, len, b->key };
	struct phca_recv_wr r = { 7, &sb, 1 };
	struct phca_send_wr w = { .wr_id = 1, .sge = &sa, .num_sge = 1, .opcode = PHCA_WR_SEND_WITH_IMM,
		.flags = PHCA_SEND_SIGNALED, .imm = 0x12345678, .remote_addr = (uintptr_t)b->mem, .rkey = b->key };
	struct phca_wc wc;

	for (uint32_t i = 0; i < len; i++)
		a->mem[i] = (uint8_t)rte_rand();
	CU_ASSERT_EQUAL(phca_post_recv(b->qp, &r, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
	wc = wait_wc(&p, b);
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_RECV);
	CU_ASSERT_EQUAL(wc.byte_len, len);
	CU_ASSERT_EQUAL(wc.imm, 0x12345678);
	CU_ASSERT_EQUAL(wait_wc(&p, a).opcode, PHCA_WC_SEND);
	CU_ASSERT_EQUAL(memcmp(a->mem, b->mem, len), 0);
	memset(b->mem, 0, len);
	w.opcode = PHCA_WR_RDMA_WRITE;
	CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
	CU_ASSERT_EQUAL(wait_wc(&p, a).opcode, PHCA_WC_RDMA_WRITE);
	CU_ASSERT_EQUAL(memcmp(a->mem, b->mem, len), 0);
	memset(a->mem, 0, len);
	w.opcode = PHCA_WR_RDMA_READ;
	CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
	CU_ASSERT_EQUAL(wait_wc(&p, a).byte_len, len);
	CU_ASSERT_EQUAL(memcmp(a->mem, b->mem, len), 0);
	pair_close(&p);
}

PHCA_TEST(rc_loop, one_packet) { one_of_each(1024, 100); }
PHCA_TEST(rc_loop, empty) { one_of_each(1024, 0); }
PHCA_TEST(rc_loop, many_packets) { one_of_each(256, 300 * 256 + 17); }
PHCA_TEST(rc_loop, a_megabyte) { one_of_each(1024, MEM); }

PHCA_TEST(rc_loop, atomics_add_up)
{
	struct pair p = pair_open(1024);
	struct end *a = &p.e[0], *b = &p.e[1];
	struct phca_sge s = { (uintptr_t)a->mem, 8, a->key };
	struct phca_send_wr w = { .sge = &s, .num_sge = 1, .opcode = PHCA_WR_ATOMIC_FETCH_AND_ADD,
		.flags = PHCA_SEND_SIGNALED, .compare_add = 3, .remote_addr = (uintptr_t)b->mem, .rkey = b->key };
	uint64_t v;

	for (unsigned int i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
		wait_wc(&p, a);
		memcpy(&v, a->mem, 8);
		CU_ASSERT_EQUAL(v, 3 * i);
	}
	w.opcode = PHCA_WR_ATOMIC_CMP_AND_SWP;
	w.compare_add = 300;
	w.swap = 42;
	CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
	wait_wc(&p, a);
	memcpy(&v, b->mem, 8);
	CU_ASSERT_EQUAL(v, 42);
	pair_close(&p);
}

/* Memory windows: bind, use, invalidate by the owner and by the peer (10.6.7, 10.8.2). */
PHCA_TEST(rc_loop, memory_windows)
{
	struct pair p = pair_open(1024);
	struct end *a = &p.e[0], *b = &p.e[1];
	struct phca_sge s = { (uintptr_t)a->mem, 64, a->key };
	struct phca_send_wr bind = { .wr_id = 1, .opcode = PHCA_WR_BIND_MW, .flags = PHCA_SEND_SIGNALED };
	struct phca_send_wr w = { .wr_id = 2, .sge = &s, .num_sge = 1, .opcode = PHCA_WR_RDMA_WRITE,
		.flags = PHCA_SEND_SIGNALED };
	struct phca_send_wr inv = { .wr_id = 3, .opcode = PHCA_WR_LOCAL_INV, .flags = PHCA_SEND_SIGNALED };
	struct phca_wc wc;
	uint32_t rkey;

	CU_ASSERT_EQUAL(phca_mw_alloc(p.l->mem, p.l->pd, PHCA_MW_TYPE_2, &rkey), 0);
	bind.bind.addr = (uintptr_t)b->mem + 4096;
	bind.bind.length = 64;
	bind.bind.rkey = rkey;
	bind.bind.new_rkey = inv.rkey = w.rkey = (rkey & ~0xffu) | 0x5a;
	bind.bind.lkey = b->key;
	bind.bind.access = PHCA_ACCESS_REMOTE_WRITE;
	CU_ASSERT_EQUAL(phca_post_send(b->qp, &bind, 1), 1);
	CU_ASSERT_EQUAL(wait_wc(&p, b).opcode, PHCA_WC_BIND_MW);
	memset(a->mem, 0x77, 64);
	w.remote_addr = bind.bind.addr;
	CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
	wait_wc(&p, a);
	CU_ASSERT_EQUAL(memcmp(b->mem + 4096, a->mem, 64), 0);
	CU_ASSERT_EQUAL(phca_post_send(b->qp, &inv, 1), 1);
	CU_ASSERT_EQUAL(wait_wc(&p, b).opcode, PHCA_WC_LOCAL_INV);
	CU_ASSERT_EQUAL(phca_post_send(b->qp, &inv, 1), 1); /* it is not bound any more */
	for (unsigned int i = 0; i < 5; i++)
		lab_turn(p.l, 1);
	CU_ASSERT_EQUAL_FATAL(phca_poll_cq(b->cq, 1, &wc), 1);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_LOC_PROT_ERR);
	CU_ASSERT_EQUAL(phca_mw_dealloc(p.l->mem, rkey), 0);
	pair_close(&p);
}

/* The longest message; to ThreadSanitizer its million packets are one thread's work like any. */
#ifdef PHCA_TSAN
#define LONG_LEN (96u << 20)
#else
#define LONG_LEN (1u << 30)
#endif

/* A window of that length on 2 MiB of memory, so that the test fits into small machines. */
static uint8_t *window(void)
{
	const size_t part = 2u << 20, all = LONG_LEN;
	int fd = memfd_create("window", MFD_CLOEXEC);
	uint8_t *p = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CU_ASSERT_FATAL(fd >= 0 && p != MAP_FAILED && ftruncate(fd, (off_t)part) == 0);
	for (size_t off = 0; off < all; off += part)
		CU_ASSERT_FATAL(mmap(p + off, part, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == p + off);
	close(fd);
	return p;
}

static void long_message(enum phca_wr_opcode op)
{
	struct pair p = pair_open(1024);
	struct end *a = &p.e[0];
	uint8_t *from = window(), *to = window();
	struct phca_send_wr w = { .opcode = op, .flags = PHCA_SEND_SIGNALED, .num_sge = 1 };
	struct phca_sge s;
	uint32_t kf, kt;

	for (unsigned int i = 0; i < 2u << 20; i++)
		from[i] = (uint8_t)rte_rand();
	CU_ASSERT_FATAL(phca_mr_reg(p.l->mem, p.l->pd, from, LONG_LEN, 0, PHCA_ACCESS_ALL, &kf) == 0);
	CU_ASSERT_FATAL(phca_mr_reg(p.l->mem, p.l->pd, to, LONG_LEN, 0, PHCA_ACCESS_ALL, &kt) == 0);
	s = (struct phca_sge){ 0, LONG_LEN, op == PHCA_WR_RDMA_READ ? kt : kf };
	w.sge = &s;
	w.rkey = op == PHCA_WR_RDMA_READ ? kf : kt;
	CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
	for (unsigned int i = 0; i < 100 &&
	     lab_verdict(p.l, PHCA_V_DIRECT) + lab_verdict(p.l, PHCA_V_ACK) < LONG_LEN / 1024; i++)
		lab_turn(p.l, 10000);
	wait_wc(&p, a);
	CU_ASSERT_EQUAL(memcmp(from, to, 2u << 20), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(p.l->mem, kf), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(p.l->mem, kt), 0);
	munmap(from, LONG_LEN);
	munmap(to, LONG_LEN);
	pair_close(&p);
}

PHCA_TEST(rc_loop, longest_write) { long_message(PHCA_WR_RDMA_WRITE); }
PHCA_TEST(rc_loop, longest_read) { long_message(PHCA_WR_RDMA_READ); }

/* Receives that come late: RNR NAKs, and nothing is lost or comes twice. */
PHCA_TEST(rc_loop, receives_that_come_late)
{
	struct pair p = pair_open(1024);
	struct end *a = &p.e[0], *b = &p.e[1];
	struct phca_sge sa = { (uintptr_t)a->mem, 3000, a->key }, sb = { (uintptr_t)b->mem, 3000, b->key };
	struct phca_send_wr w = { .sge = &sa, .num_sge = 1, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED };
	struct phca_qp_info info;

	for (w.wr_id = 0; w.wr_id < 8; w.wr_id++)
		CU_ASSERT_EQUAL(phca_post_send(a->qp, &w, 1), 1);
	for (uint64_t i = 0; i < 8; i++) {
		struct phca_recv_wr r = { i, &sb, 1 };

		lab_turn(p.l, 30);
		CU_ASSERT_EQUAL(phca_post_recv(b->qp, &r, 1), 1);
		CU_ASSERT_EQUAL(wait_wc(&p, b).wr_id, i);
		CU_ASSERT_EQUAL(wait_wc(&p, a).wr_id, i);
	}
	phca_qp_info_get(a->qp, &info);
	CU_ASSERT(info.stats.rx_rnr_naks >= 8);
	CU_ASSERT_EQUAL(info.stats.timeouts, 0);
	pair_close(&p);
}
