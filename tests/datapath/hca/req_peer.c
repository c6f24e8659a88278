/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer of req_peer.h: it answers only when told, so that each test decides
 * what arrives and when.
 */
#include <stdlib.h>
#include <string.h>

#include "req_peer.h"

static void to_rts(struct peer *p, enum phca_qp_type type, const struct peer_opts *o)
{
	static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .dest_qpn = LAB_PEER_QPN,
		.path_mtu = o->mtu ? o->mtu : LAB_MTU, .max_dest_rd_atomic = 4, .min_rnr_timer = 1,
		.av = { .dgid = { [10] = 0xff, 0xff, 192, 0, 2, 2 } },
		.sq_psn = phca_psn(o->psn ? o->psn : PEER_PSN),
		.timeout = o->no_timeout ? 0 : o->timeout ? o->timeout : PEER_TIMEOUT,
		.retry_cnt = o->retry_cnt ? o->retry_cnt : 3, .rnr_retry = o->rnr_retry ? o->rnr_retry : 2,
		.max_rd_atomic = o->max_rd_atomic ? o->max_rd_atomic : 4,
	};
	bool rc = type == PHCA_QPT_RC;

	a.av.sgid_index = (uint8_t)phca_net_gid_find(p->l->net, own);
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU |
		PHCA_QP_RQ_PSN | PHCA_QP_AV | (rc ? PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER : 0)), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | (rc ? PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC : 0)), 0);
}

struct peer peer_open(struct lab *l, enum phca_qp_type type, const struct peer_opts *opts)
{
	static const struct peer_opts none;
	const struct peer_opts *o = opts ? opts : &none;
	struct peer p = { .l = l };
	struct phca_qp_init i = {
		.type = type, .qpn = 0x55, .pd = l->pd, .max_send_wr = o->depth ? o->depth : LAB_DEPTH,
		.max_recv_wr = 1, .max_send_sge = o->sges ? o->sges : 4, .max_recv_sge = 1, .max_inline = 64,
	};

	CU_ASSERT_FATAL(phca_cq_create(l->client, 1024, &p.q.cq) == 0);
	i.send_cq = i.recv_cq = p.q.cq;
	CU_ASSERT_FATAL(phca_qp_create(l->client, &i, &p.q.qp) == 0);
	p.q.qpn = phca_qp_num(p.q.qp);
	to_rts(&p, type, o);
	p.mem = calloc(1, PEER_MEM);
	CU_ASSERT_FATAL(p.mem != NULL);
	for (uint32_t k = 0; k < PEER_MEM; k++)
		p.mem[k] = (uint8_t)k;
	CU_ASSERT_FATAL(phca_mr_reg(l->mem, l->pd, p.mem, PEER_MEM, (uintptr_t)p.mem,
		PHCA_ACCESS_ALL, &p.key) == 0);
	return p;
}

void peer_close(struct peer *p)
{
	peer_drain(p);
	CU_ASSERT_EQUAL(phca_qp_destroy(p->q.qp), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(p->q.cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(p->l->mem, p->key), 0);
	free(p->mem);
	lab_close(p->l);
}

struct phca_send_wr peer_wr(struct peer *p, enum phca_wr_opcode op, uint32_t n)
{
	static struct phca_sge sge;

	sge = (struct phca_sge){ (uintptr_t)p->mem, n, p->key };
	return (struct phca_send_wr){
		.wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = op, .flags = PHCA_SEND_SIGNALED,
		.remote_addr = 0x10000, .rkey = 0xabcd,
	};
}

void peer_post(struct peer *p, const struct phca_send_wr *wr)
{
	CU_ASSERT_EQUAL(phca_post_send(p->q.qp, wr, 1), 1);
	lab_turn(p->l, 2);
}

bool peer_next(struct peer *p)
{
	rte_pktmbuf_free(p->m);
	p->m = lab_capture(p->l);
	if (p->m == NULL)
		return false;
	p->frame = rte_pktmbuf_mtod(p->m, const uint8_t *);
	CU_ASSERT_EQUAL(phca_wire_parse(p->frame, p->m->data_len, PHCA_PARSE_ICRC, &p->p), PHCA_V_OK);
	CU_ASSERT_EQUAL(p->p.dqpn, LAB_PEER_QPN);
	CU_ASSERT(p->p.opcode >= PHCA_UD_SEND_ONLY || (p->p.flags & PHCA_PKT_MIGREQ)); /* connected */
	return true;
}

void peer_expect(struct peer *p, enum phca_opcode op, uint32_t psn)
{
	CU_ASSERT_FATAL(peer_next(p));
	CU_ASSERT_EQUAL(p->p.opcode, op);
	CU_ASSERT_EQUAL(p->p.psn.v, psn & PHCA_PSN_MASK);
	if (p->p.opcode != op || p->p.psn.v != (psn & PHCA_PSN_MASK))
		printf("  %s psn 0x%x, not %s 0x%x\n", phca_opcode_table[p->p.opcode].name, p->p.psn.v,
			phca_opcode_table[op].name, psn & PHCA_PSN_MASK);
}

void peer_expect_none(struct peer *p)
{
	CU_ASSERT_FALSE(peer_next(p));
}

unsigned int peer_drain(struct peer *p)
{
	unsigned int n = 0;

	while (peer_next(p))
		n++;
	return n;
}

const struct phca_reth *peer_reth(const struct peer *p)
{
	const struct phca_reth *r = phca_pkt_hdr(p->frame, &p->p, PHCA_HDR_RETH);

	CU_ASSERT_FATAL(r != NULL);
	return r;
}

static void answer(struct peer *p, const struct phca_wire_hdr *h, uint32_t n, uint8_t seed)
{
	lab_send(p->l, h, n, seed);
	lab_turn(p->l, 2);
}

void peer_ack(struct peer *p, uint32_t psn, uint8_t syndrome)
{
	struct phca_wire_hdr h = lab_hdr(p->l, PHCA_RC_ACK, p->q.qpn, psn);

	h.syndrome = syndrome;
	answer(p, &h, 0, 0);
}

void peer_read_resp(struct peer *p, enum phca_opcode op, uint32_t psn, uint32_t n, uint8_t seed)
{
	struct phca_wire_hdr h = lab_hdr(p->l, op, p->q.qpn, psn);

	h.syndrome = PEER_ACK;
	answer(p, &h, n, seed);
}

void peer_atomic_ack(struct peer *p, uint32_t psn, uint64_t orig)
{
	struct phca_wire_hdr h = lab_hdr(p->l, PHCA_RC_ATOMIC_ACK, p->q.qpn, psn);

	h.syndrome = PEER_ACK;
	h.cmp = orig;
	answer(p, &h, 0, 0);
}

void peer_wc(struct peer *p, uint64_t wr_id, uint32_t status)
{
	struct phca_wc wc = { .wr_id = 0 };

	CU_ASSERT_FATAL(lab_poll(&p->q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, wr_id);
	CU_ASSERT_EQUAL(wc.status, status);
	if (wc.wr_id != wr_id || wc.status != status)
		printf("  completion %lu %s, not %lu %s\n", wc.wr_id, phca_wc_status_str(wc.status), wr_id,
			phca_wc_status_str(status));
}

void peer_no_wc(struct peer *p)
{
	struct phca_wc wc;

	CU_ASSERT_FALSE(lab_poll(&p->q, &wc));
}

void peer_wait(struct peer *p, uint64_t ns)
{
	p->l->now_ns += ns;
	lab_turn(p->l, 2);
}
