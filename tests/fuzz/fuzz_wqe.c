/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HCA takes any bytes for work requests, receives, ring indices and doorbells.
 * An input is a script: a queue pair's kind, then steps that fill a slot of its
 * send queue or receive queue with bytes of the input, write a word of a ring's
 * header, ring the doorbell, or let time pass. Whatever it was: every completion is
 * one that verbs know, the queue pair can be destroyed, and a neighbour, of another
 * client of the same HCA, sends itself a message that arrives.
 */
#include <string.h>

#include <rte_eal.h>

#include "fuzz_check.h"
#include "lab.h"

#define SLOT_MAX 256 /* bytes of an input that fill a slot, at most */
#define STEPS_MAX 200

static struct lab *lab;
static struct lab_qp neighbour;

static char *eal[] = {
	(char[]){ "fuzz" }, (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "256" }, (char[]){ "--no-pci" },
	(char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" }, (char[]){ "--lcores" }, (char[]){ "0@0" },
	(char[]){ "--log-level=critical" }, NULL,
};

static void begin(void)
{
	FUZZ_CHECK(rte_eal_init(RTE_DIM(eal) - 1, eal) >= 0);
	lab = lab_open(NULL);
	neighbour = lab_qp(lab, PHCA_QPT_UD, 0);
}

static const uint8_t own_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

/* A datagram to itself. */
static void neighbour_works(void)
{
	struct phca_sge sge = { (uintptr_t)neighbour.buf + (LAB_DEPTH - 1) * LAB_BUF, 64, neighbour.lkey };
	struct phca_send_wr wr = {
		.wr_id = 77, .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED,
		.remote_qpn = neighbour.qpn, .remote_qkey = LAB_QKEY,
	};
	struct phca_wc wc;

	FUZZ_CHECK(phca_av_to(neighbour.qp, own_gid, &wr.av) == 0);
	neighbour.next_id = 0;
	lab_post(&neighbour, 1);
	FUZZ_CHECK(phca_post_send(neighbour.qp, &wr, 1) == 1);
	for (unsigned int turns = 0, n = 0; n < 2; turns++) {
		FUZZ_CHECK(turns < 1000);
		lab_turn(lab, 1);
		if (!lab_poll(&neighbour, &wc))
			continue;
		FUZZ_CHECK(wc.status == PHCA_WC_SUCCESS);
		n++;
	}
}

/* The client of an input. */
struct victim {
	struct phca_client *client;
	struct lab_qp q;
	struct phca_ring sq, rq, db;
	struct phca_ring_hdr *hdr[4]; /* SQ, RQ, CQ, doorbells */
};

static void connect_to_itself(struct victim *v, enum phca_qp_type type)
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY,
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC,
		.dest_qpn = v->q.qpn, .path_mtu = LAB_MTU, .timeout = 1, .retry_cnt = 1, .rnr_retry = 1,
		.max_rd_atomic = LAB_RD_ATOMIC, .max_dest_rd_atomic = LAB_RD_ATOMIC,
	};
	bool ud = type == PHCA_QPT_UD, rc = type == PHCA_QPT_RC;

	FUZZ_CHECK(phca_av_to(v->q.qp, own_gid, &a.av) == 0);
	FUZZ_CHECK(phca_qp_modify(v->q.qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY |
		(ud ? PHCA_QP_QKEY : PHCA_QP_ACCESS)) == 0);
	a.state = PHCA_QPS_RTR;
	FUZZ_CHECK(phca_qp_modify(v->q.qp, &a, PHCA_QP_STATE |
		(ud ? 0 : PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN | PHCA_QP_AV) |
		(rc ? PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER : 0)) == 0);
	a.state = PHCA_QPS_RTS;
	FUZZ_CHECK(phca_qp_modify(v->q.qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | (rc ? PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC : 0)) == 0);
}

static void ring_view(struct phca_ring *r, const struct phca_ring_mem *m, enum phca_ring_type type)
{
	FUZZ_CHECK(phca_ring_attach(r, m->mem, m->bytes, type) == 0);
}

static struct victim victim_open(uint8_t kind)
{
	static const enum phca_qp_type types[] = { PHCA_QPT_RC, PHCA_QPT_UC, PHCA_QPT_UD };
	struct phca_qp_init i = {
		.type = types[kind % 3], .pd = lab->pd, .max_send_wr = 8, .max_recv_wr = 8, .max_send_sge = 4,
		.max_recv_sge = 2, .max_inline = 64, .sq_sig_all = kind & 0x10,
	};
	struct phca_ring_mem sq, rq, cq, db;
	struct victim v = { 0 };

	v.client = phca_client_open(lab->hca, "victim", 4);
	FUZZ_CHECK(v.client != NULL && phca_cq_create(v.client, 64, &v.q.cq) == 0);
	i.send_cq = i.recv_cq = v.q.cq;
	FUZZ_CHECK(phca_qp_create(v.client, &i, &v.q.qp) == 0);
	v.q.qpn = phca_qp_num(v.q.qp);
	v.q.buf = calloc(1, LAB_BUF);
	FUZZ_CHECK(v.q.buf != NULL &&
		phca_mr_reg(lab->mem, lab->pd, v.q.buf, LAB_BUF, 0, PHCA_ACCESS_ALL, &v.q.lkey) == 0);
	if (kind & 0x20)
		FUZZ_CHECK(phca_qp_proxy_attach(v.q.qp, NULL, 0, 0) == 0);
	connect_to_itself(&v, i.type);
	phca_qp_rings(v.q.qp, &sq, &rq);
	phca_cq_ring(v.q.cq, &cq);
	phca_client_db(v.client, 0, &db);
	ring_view(&v.sq, &sq, PHCA_RING_SQ);
	ring_view(&v.rq, &rq, PHCA_RING_RQ);
	ring_view(&v.db, &db, PHCA_RING_DB);
	v.hdr[0] = sq.mem;
	v.hdr[1] = rq.mem;
	v.hdr[2] = cq.mem;
	v.hdr[3] = db.mem;
	return v;
}

static void victim_close(struct victim *v)
{
	struct phca_wc wc;

	for (unsigned int i = 0; i < 256 && lab_poll(&v->q, &wc); i++)
		FUZZ_CHECK(wc.status < PHCA_WC_STATUS_COUNT);
	FUZZ_CHECK(phca_qp_destroy(v->q.qp) == 0);
	FUZZ_CHECK(phca_cq_destroy(v->q.cq) == 0);
	FUZZ_CHECK(phca_mr_dereg(lab->mem, v->q.lkey) == 0);
	phca_client_close(v->client);
	free(v->q.buf);
}

/* What is left of an input. */
struct script { const uint8_t *at; size_t left; };

static uint8_t byte(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->at++;
}

/*
 * Bytes of the input into a slot. The key and the address of the region are what no
 * mutation finds: four bytes "KEY!" stand for the key; addresses begin at 0.
 */
static void fill(struct script *s, uint8_t *slot, uint32_t stride, uint32_t key)
{
	size_t n = byte(s);

	n = n < s->left ? n : s->left;
	n = n < stride ? n : stride;
	memset(slot, 0, stride);
	memcpy(slot, s->at, n);
	s->at += n;
	s->left -= n;
	for (uint32_t i = 0; i + 4 <= stride; i += 4)
		if (memcmp(slot + i, "KEY!", 4) == 0)
			memcpy(slot + i, &key, 4);
}

static void step(struct victim *v, struct script *s)
{
	uint8_t what = byte(s), i;
	struct phca_ring *r;
	uint32_t word;

	switch (what % 8) {
	case 0: case 1: case 2:
		r = what % 8 == 2 ? &v->rq : &v->sq;
		fill(s, phca_ring_next(r), r->stride, v->q.lkey);
		phca_ring_publish(r);
		if (r == &v->sq)
			phca_db_ring(&v->db, r, v->q.qpn);
		break;
	case 3: /* a word behind the first line, which both sides have taken when they attached */
		i = byte(s);
		word = (uint32_t)byte(s) << (what >> 3);
		__atomic_store_n((uint32_t *)v->hdr[i % 4] + i / 4 % (sizeof(*v->hdr[0]) / 4), word, __ATOMIC_RELAXED);
		break;
	case 4:
		phca_db_ring(&v->db, &v->sq, byte(s));
		break;
	default:
		lab_turn(lab, what >> 3);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size };
	struct victim v;

	if (lab == NULL)
		begin();
	v = victim_open(byte(&s));
	for (unsigned int i = 0; i < STEPS_MAX && s.left > 0; i++)
		step(&v, &s);
	lab_turn(lab, 50);
	neighbour_works();
	victim_close(&v);
	return 0;
}
