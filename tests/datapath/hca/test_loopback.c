/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loopback: a packet from a queue pair to one of the same HCA meets the checks that
 * one from the network meets. Each fault is made both ways, and has one verdict.
 */
#include <string.h>

#include "lab.h"

#define DEST 0x66u
#define BAD_RKEY 0xdead01u

static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t peer[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };

/* What one side says, right unless a test changes it. */
struct fault {
	enum phca_qp_type from, to;      /* types of the two */
	enum phca_qp_state to_state;     /* of the receiver */
	enum phca_wr_opcode op;
	enum phca_opcode wire;           /* the same on the wire */
	uint16_t pkey;
	uint32_t qkey, dqpn, rkey;       /* rkey 0: the right one */
	uint32_t len;
	uint64_t va_off;                 /* from the start of the receiver's region */
	const uint8_t *dest_peer;        /* whom a connected receiver takes for its peer; NULL: the sender */
};

static struct fault right(enum phca_qp_type type, enum phca_wr_opcode op, enum phca_opcode wire)
{
	return (struct fault){
		.from = type, .to = type, .to_state = PHCA_QPS_RTS, .op = op, .wire = wire, .pkey = PHCA_PKEY_DEFAULT,
		.qkey = LAB_QKEY, .dqpn = DEST, .len = 64,
	};
}

static void connect(struct lab *l, struct phca_qp *qp, enum phca_qp_type type, enum phca_qp_state to, uint16_t pkey,
		uint32_t dest, const uint8_t dgid[16])
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = pkey, .qkey = LAB_QKEY, .access = PHCA_ACCESS_REMOTE_WRITE,
		.dest_qpn = dest, .path_mtu = LAB_MTU, .timeout = LAB_TIMEOUT,
		.max_rd_atomic = 1, .max_dest_rd_atomic = 1,
	};
	bool ud = type == PHCA_QPT_UD, rc = type == PHCA_QPT_RC;

	memcpy(a.av.dgid, dgid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_find(l->net, own);
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | (ud ? PHCA_QP_QKEY : PHCA_QP_ACCESS)), 0);
	if (to == PHCA_QPS_INIT)
		return;
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | (ud ? 0 : PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU |
		PHCA_QP_RQ_PSN | PHCA_QP_AV) | (rc ? PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER : 0)), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | (rc ? PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC : 0)), 0);
	a.state = PHCA_QPS_ERR;
	if (to == PHCA_QPS_ERR)
		CU_ASSERT_EQUAL(phca_qp_modify(qp, &a, PHCA_QP_STATE), 0);
}

static struct lab_qp receiver(struct lab *l, const struct fault *f, const uint8_t sender[16])
{
	struct lab_qp q = lab_qp(l, f->to, DEST);
	const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET };

	CU_ASSERT_EQUAL(phca_qp_modify(q.qp, &reset, PHCA_QP_STATE), 0);
	connect(l, q.qp, f->to, f->to_state, PHCA_PKEY_DEFAULT, LAB_PEER_QPN, f->dest_peer ? f->dest_peer : sender);
	if (f->to_state == PHCA_QPS_RTS)
		lab_post(&q, 4);
	return q;
}

static void by_loopback(struct lab *l, const struct fault *f, const struct lab_qp *q)
{
	const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET };
	struct lab_qp s = lab_qp(l, f->from, LAB_PEER_QPN);
	struct phca_sge sge = { (uintptr_t)s.buf, f->len, s.lkey };
	struct phca_send_wr wr = {
		.sge = &sge, .num_sge = 1, .opcode = f->op, .flags = PHCA_SEND_SIGNALED, .remote_qpn = f->dqpn,
		.remote_qkey = f->qkey, .remote_addr = (uintptr_t)q->buf + f->va_off,
		.rkey = f->rkey ? f->rkey : q->lkey,
	};

	CU_ASSERT_EQUAL(phca_qp_modify(s.qp, &reset, PHCA_QP_STATE), 0);
	connect(l, s.qp, f->from, PHCA_QPS_RTS, f->pkey, f->dqpn, own);
	memcpy(wr.av.dgid, own, 16);
	wr.av.sgid_index = (uint8_t)phca_net_gid_find(l->net, own);
	CU_ASSERT_EQUAL(phca_post_send(s.qp, &wr, 1), 1);
	lab_turn(l, 2);
	CU_ASSERT_PTR_NULL(lab_capture(l)); /* nothing of it meets the port */
	lab_qp_free(l, &s);
}

static void by_wire(struct lab *l, const struct fault *f, const struct lab_qp *q)
{
	struct phca_wire_hdr h = lab_hdr(l, f->wire, f->dqpn, 0);

	h.pkey = f->pkey;
	h.qkey = f->qkey;
	h.va = (uintptr_t)q->buf + f->va_off;
	h.rkey = f->rkey ? f->rkey : q->lkey;
	h.dma_len = f->len;
	h.ackreq = true;
	lab_send(l, &h, f->len, 0);
	lab_turn(l, 2);
}

static void verdict_of(const struct fault *f, bool loopback, uint64_t verdict[PHCA_V_COUNT], enum phca_qp_state *state)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = receiver(l, f, loopback ? own : peer);
	struct phca_port_stats st;

	if (loopback)
		by_loopback(l, f, &q);
	else
		by_wire(l, f, &q);
	CU_ASSERT_EQUAL(phca_port_stats_get(l->hca, 0, &st), 0);
	CU_ASSERT_EQUAL(st.looped > 0, loopback);
	memcpy(verdict, st.verdict, sizeof(st.verdict));
	*state = lab_info(&q).state;
	lab_qp_free(l, &q);
	lab_turn(l, 2);
	lab_close(l);
}

/* The same verdict from the network and from the HCA itself, and the same state after it. */
static void expect(const struct fault *f, enum phca_verdict v)
{
	uint64_t wire[PHCA_V_COUNT], loop[PHCA_V_COUNT];
	enum phca_qp_state wire_state, loop_state;

	verdict_of(f, false, wire, &wire_state);
	verdict_of(f, true, loop, &loop_state);
	CU_ASSERT_EQUAL(wire[v], 1);
	CU_ASSERT_EQUAL(loop[v], 1);
	CU_ASSERT_EQUAL(wire[PHCA_V_DIRECT], v == PHCA_V_DIRECT);
	CU_ASSERT_EQUAL(loop[PHCA_V_DIRECT], v == PHCA_V_DIRECT);
	CU_ASSERT_EQUAL(wire_state, loop_state);
}

#define UD_SEND right(PHCA_QPT_UD, PHCA_WR_SEND, PHCA_UD_SEND_ONLY)
#define UC_WRITE right(PHCA_QPT_UC, PHCA_WR_RDMA_WRITE, PHCA_UC_WRITE_ONLY)
#define RC_WRITE right(PHCA_QPT_RC, PHCA_WR_RDMA_WRITE, PHCA_RC_WRITE_ONLY)
#define RC_SEND right(PHCA_QPT_RC, PHCA_WR_SEND, PHCA_RC_SEND_ONLY)

PHCA_TEST(loopback, what_is_right_is_executed)
{
	struct fault f[] = { UD_SEND, UC_WRITE, RC_WRITE, RC_SEND };

	for (unsigned int i = 0; i < RTE_DIM(f); i++)
		expect(&f[i], PHCA_V_DIRECT);
}

PHCA_TEST(loopback, p_key)
{
	struct fault f[] = { UD_SEND, UC_WRITE, RC_WRITE };

	for (unsigned int i = 0; i < RTE_DIM(f); i++) {
		f[i].pkey = 0x8001;
		expect(&f[i], PHCA_V_PKEY);
	}
}

PHCA_TEST(loopback, q_key)
{
	struct fault f = UD_SEND;

	f.qkey = LAB_QKEY + 1;
	expect(&f, PHCA_V_QKEY);
}

PHCA_TEST(loopback, queue_pair_that_is_not_there)
{
	struct fault f[] = { UD_SEND, UC_WRITE, RC_WRITE };

	for (unsigned int i = 0; i < RTE_DIM(f); i++) {
		f[i].dqpn = DEST + 1;
		expect(&f[i], PHCA_V_QPN);
	}
}

PHCA_TEST(loopback, rkey)
{
	struct fault f[] = { UC_WRITE, RC_WRITE };

	for (unsigned int i = 0; i < RTE_DIM(f); i++) {
		f[i].rkey = BAD_RKEY;
		expect(&f[i], PHCA_V_RKEY);
	}
}

PHCA_TEST(loopback, bounds)
{
	struct fault f[] = { UC_WRITE, RC_WRITE };

	for (unsigned int i = 0; i < RTE_DIM(f); i++) {
		f[i].va_off = LAB_DEPTH * LAB_BUF - 63;
		expect(&f[i], PHCA_V_RKEY);
	}
}

PHCA_TEST(loopback, state_of_the_receiver)
{
	struct fault f[] = { UD_SEND, UC_WRITE, RC_WRITE };

	for (unsigned int i = 0; i < RTE_DIM(f); i++) {
		f[i].to_state = PHCA_QPS_INIT;
		expect(&f[i], PHCA_V_QP_STATE);
		f[i].to_state = PHCA_QPS_ERR;
		expect(&f[i], PHCA_V_QP_STATE);
	}
}

PHCA_TEST(loopback, wrong_transport)
{
	struct fault f[] = { UD_SEND, UC_WRITE, RC_WRITE };

	f[0].to = PHCA_QPT_UC;
	f[1].to = PHCA_QPT_RC;
	f[2].to = PHCA_QPT_UD;
	for (unsigned int i = 0; i < RTE_DIM(f); i++)
		expect(&f[i], PHCA_V_QP_TRANSPORT);
}

PHCA_TEST(loopback, somebody_else_than_the_peer)
{
	static const uint8_t other[16] = { [10] = 0xff, 0xff, 192, 0, 2, 77 };
	struct fault f[] = { UC_WRITE, RC_WRITE };

	for (unsigned int i = 0; i < RTE_DIM(f); i++) {
		f[i].dest_peer = other;
		expect(&f[i], PHCA_V_PEER);
	}
}
