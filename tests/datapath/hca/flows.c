/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue pairs of flows.h and their peer. */
#include <stdlib.h>
#include <string.h>

#include "flows.h"

#define ACK_SYNDROME 0x1f

static const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t peer[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };

static void to_rts(struct flows *s, struct flow *f, const uint8_t dgid[16])
{
	struct phca_qp_attr a = {
		.state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .dest_qpn = f->dest, .path_mtu = LAB_MTU,
		.access = PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ, .timeout = LAB_TIMEOUT, .retry_cnt = 7,
		.rnr_retry = 7, .max_rd_atomic = 4, .max_dest_rd_atomic = 4, .min_rnr_timer = 1,
	};

	memcpy(a.av.dgid, dgid, 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_find(s->l->net, own);
	CU_ASSERT_EQUAL(phca_qp_modify(f->qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(f->qp, &a, PHCA_QP_STATE | PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN |
		PHCA_QP_AV | PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(f->qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC), 0);
}

struct flows flows_open(unsigned int n, uint32_t depth)
{
	const struct lab_opts o = { .no_proxy = true, .max_qp = n };
	struct flows s = { .l = lab_open(&o), .n = n };
	struct phca_qp_init i = {
		.type = PHCA_QPT_RC, .pd = s.l->pd, .max_send_wr = depth, .max_send_sge = 1,
	};

	CU_ASSERT_FATAL(phca_cq_create(s.l->client, 2 * n * depth, &s.cq) == 0);
	s.mem = calloc(1, FLOWS_MEM);
	s.f = calloc(n, sizeof(*s.f));
	CU_ASSERT_FATAL(s.mem != NULL && s.f != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(s.l->mem, s.l->pd, s.mem, FLOWS_MEM, (uintptr_t)s.mem, PHCA_ACCESS_ALL,
		&s.key) == 0);
	i.send_cq = i.recv_cq = s.cq;
	for (unsigned int k = 0; k < n; k++) {
		CU_ASSERT_FATAL(phca_qp_create(s.l->client, &i, &s.f[k].qp) == 0);
		s.f[k].qpn = phca_qp_num(s.f[k].qp);
		s.f[k].dest = FLOWS_PEER + k;
		to_rts(&s, &s.f[k], peer);
	}
	return s;
}

void flows_close(struct flows *s)
{
	for (unsigned int k = 0; k < s->n; k++)
		CU_ASSERT_EQUAL(phca_qp_destroy(s->f[k].qp), 0);
	lab_turn_hca(s->l, 4); /* what is still on its way finds no queue pair */
	CU_ASSERT_EQUAL(phca_cq_destroy(s->cq), 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(s->l->mem, s->key), 0);
	free(s->mem);
	free(s->f);
	lab_close(s->l);
}

void flows_pair(struct flows *s, unsigned int a, unsigned int b)
{
	const struct phca_qp_attr reset = { .state = PHCA_QPS_RESET };

	s->f[a].dest = s->f[b].qpn;
	s->f[b].dest = s->f[a].qpn;
	CU_ASSERT_EQUAL(phca_qp_modify(s->f[a].qp, &reset, PHCA_QP_STATE), 0);
	CU_ASSERT_EQUAL(phca_qp_modify(s->f[b].qp, &reset, PHCA_QP_STATE), 0);
	to_rts(s, &s->f[a], own);
	to_rts(s, &s->f[b], own);
}

void flows_post(struct flows *s, unsigned int i, enum phca_wr_opcode op, uint32_t len)
{
	struct phca_sge sge = { (uintptr_t)s->mem, len, s->key };
	struct phca_send_wr wr = {
		.wr_id = i, .sge = &sge, .num_sge = 1, .opcode = op, .flags = PHCA_SEND_SIGNALED,
		.remote_addr = (uintptr_t)s->mem, .rkey = s->key,
	};

	CU_ASSERT_EQUAL(phca_post_send(s->f[i].qp, &wr, 1), 1);
	s->f[i].wr = wr;
	s->f[i].wr.inline_len = len; /* kept for the next */
}

void flows_bulk(struct flows *s, unsigned int i, enum phca_wr_opcode op, uint32_t len, unsigned int n)
{
	s->f[i].refill = true;
	while (n-- > 0)
		flows_post(s, i, op, len);
}

void flows_read(struct flows *s, unsigned int i, uint32_t psn, uint32_t len)
{
	struct phca_wire_hdr h = lab_hdr(s->l, PHCA_RC_READ_REQ, s->f[i].qpn, psn);

	h.va = (uintptr_t)s->mem;
	h.rkey = s->key;
	h.dma_len = len;
	lab_send(s->l, &h, 0, 0);
}

static void peer_gets(struct flows *s)
{
	struct rte_mbuf *m;

	for (unsigned int n = 0; (s->takes == 0 || n < s->takes) && (m = lab_capture(s->l)) != NULL; n++) {
		struct phca_pkt p;

		CU_ASSERT_EQUAL(phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len, PHCA_PARSE_ICRC, &p),
			PHCA_V_OK);
		if (!s->mute && (p.flags & PHCA_PKT_ACKREQ)) {
			struct phca_wire_hdr h = lab_hdr(s->l, PHCA_RC_ACK, s->f[p.dqpn - FLOWS_PEER].qpn, p.psn.v);

			h.syndrome = ACK_SYNDROME;
			lab_send(s->l, &h, 0, 0);
		}
		rte_pktmbuf_free(m);
	}
}

static void reap(struct flows *s)
{
	struct phca_wc wc[32];
	int n;

	while ((n = phca_poll_cq(s->cq, RTE_DIM(wc), wc)) > 0) {
		for (int k = 0; k < n; k++) {
			const struct flow *f = &s->f[wc[k].wr_id];

			CU_ASSERT_EQUAL(wc[k].status, PHCA_WC_SUCCESS);
			if (f->refill)
				flows_post(s, (unsigned int)wc[k].wr_id, f->wr.opcode, f->wr.inline_len);
		}
	}
}

void flows_turn(struct flows *s, unsigned int n)
{
	while (n-- > 0) {
		lab_turn_hca(s->l, 1);
		peer_gets(s);
		reap(s);
	}
}

void flows_jam(struct flows *s)
{
	for (unsigned int n = 0; n < 200; n++)
		lab_turn_hca(s->l, 1);
	CU_ASSERT_EQUAL(rte_ring_count(s->l->out), FLOWS_CABLE);
}

uint64_t flows_sent(const struct flows *s, unsigned int i)
{
	struct phca_qp_info info;

	phca_qp_info_get(s->f[i].qp, &info);
	return info.stats.tx_packets;
}

uint64_t flows_sent_all(const struct flows *s, unsigned int from, unsigned int to)
{
	uint64_t sum = 0;

	for (unsigned int i = from; i < to; i++)
		sum += flows_sent(s, i);
	return sum;
}
