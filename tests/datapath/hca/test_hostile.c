/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile application: it writes nonsense over all memory that it shares with
 * the HCA, between turns and as its queue pairs come and go, while another
 * client's queue pair must go on undisturbed and no memory outside its own
 * region may change. In a build with AddressSanitizer no access may stray.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hca_impl.h"
#include "lab.h"
#include "phca_drivers.h"

#define ROUNDS 20000
#define LIVES 100     /* rounds before it starts anew */
#define NB_BAD 6      /* its queue pairs: see bad[] */
#define OWN 8192      /* its region, between guards of the same size */

static const struct {
	enum phca_qp_type type;
	bool proxy, srq;
} bad[NB_BAD] = {
	{ PHCA_QPT_UD, false, false }, { PHCA_QPT_UC, false, false }, { PHCA_QPT_UD, true, false },
	/* each connected to itself, so that what it sends is answered */
	{ PHCA_QPT_RC, false, false }, { PHCA_QPT_RC, true, false },
	{ PHCA_QPT_UD, false, true },
};

struct hostile {
	struct lab *l;
	uint64_t rnd;
	struct phca_client *c;
	struct phca_cq *cq[NB_BAD];
	struct phca_qp *qp[NB_BAD];
	struct phca_srq *srq;
	int fd[2];           /* notes: its end, the HCA's */
	uint64_t notes, seen[PHCA_EVENT_CLIENT_FATAL + 1];
	struct phca_offload *o;
	struct phca_filter_slot *filter, *big;
	uint32_t pd, key;
	uint8_t *mem;        /* guard, own, guard */
	struct lab_qp good;
	uint64_t good_sent, good_got;
};

static uint32_t rnd(struct hostile *x, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&x->rnd) >> 16) % n;
}

static void born(struct hostile *x)
{
	struct phca_rule r = { .name = "all", .offload = x->o, .send = true, .inbound = true };
	struct phca_srq_init si = { .pd = x->pd, .max_wr = 16, .max_sge = 4, .limit = 4 };

	x->c = phca_client_open(x->l->hca, "hostile", 8);
	CU_ASSERT_FATAL(x->c != NULL);
	CU_ASSERT_FATAL(phca_srq_create(x->c, &si, &x->srq) == 0);
	for (unsigned int i = 0; i < NB_BAD; i++) {
		struct phca_qp_init in = {
			.type = bad[i].type, .pd = x->pd, .max_send_wr = 16, .max_recv_wr = 16,
			.max_send_sge = 4, .max_recv_sge = 4, .max_inline = 64,
		};

		CU_ASSERT_FATAL(phca_cq_create(x->c, 16, &x->cq[i]) == 0);
		CU_ASSERT_FATAL(phca_cq_notify_set(x->cq[i], x->fd[1]) == 0);
		in.send_cq = in.recv_cq = x->cq[i];
		in.srq = bad[i].srq ? x->srq : NULL;
		CU_ASSERT_FATAL(phca_qp_create(x->c, &in, &x->qp[i]) == 0);
		r.filter = bad[i].type == PHCA_QPT_RC ? x->big : x->filter; /* of RC some are direct */
		if (bad[i].proxy)
			CU_ASSERT_FATAL(phca_qp_proxy_attach(x->qp[i], &r, 1, 16) == 0);
	}
}

/* To RTS again, however far the last attempt came. */
static void revive(struct hostile *x, unsigned int i)
{
	static const uint8_t gid[2][16] = {
		{ [10] = 0xff, 0xff, 192, 0, 2, 1 }, { [10] = 0xff, 0xff, 192, 0, 2, 2 },
	};
	struct phca_qp_attr a = {
		.state = PHCA_QPS_RESET, .pkey = 0xffff, .qkey = LAB_QKEY, .path_mtu = LAB_MTU,
		.access = PHCA_ACCESS_ALL & ~(uint32_t)PHCA_ACCESS_MW_BIND, .dest_qpn = x->qp[i]->qpn,
		.timeout = 3, .retry_cnt = 2, .rnr_retry = 2, .max_rd_atomic = 2, .max_dest_rd_atomic = 2,
		.min_rnr_timer = 1,
	};
	bool ud = bad[i].type == PHCA_QPT_UD, rc = bad[i].type == PHCA_QPT_RC;

	memcpy(a.av.dgid, gid[!rc], 16);
	a.av.sgid_index = (uint8_t)phca_net_gid_find(x->l->net, gid[0]);
	CU_ASSERT_EQUAL(phca_qp_modify(x->qp[i], &a, PHCA_QP_STATE), 0);
	a.state = PHCA_QPS_INIT;
	CU_ASSERT_EQUAL(phca_qp_modify(x->qp[i], &a, PHCA_QP_STATE | PHCA_QP_PKEY |
		(ud ? PHCA_QP_QKEY : PHCA_QP_ACCESS)), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(x->qp[i], &a, PHCA_QP_STATE |
		(ud ? 0 : PHCA_QP_DEST_QPN | PHCA_QP_PATH_MTU | PHCA_QP_RQ_PSN | PHCA_QP_AV) |
		(rc ? PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER : 0)), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(x->qp[i], &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN | (rc ? PHCA_QP_TIMEOUT |
		PHCA_QP_RETRY_CNT | PHCA_QP_RNR_RETRY | PHCA_QP_MAX_RD_ATOMIC : 0)), 0);
}

/* An element that looks right, nearly right, or not at all: its own key, the victim's, none. */
static struct phca_sge sge_any(struct hostile *x)
{
	const uint64_t own = (uintptr_t)x->mem + OWN;
	const uint64_t addr[] = {
		own, own + rnd(x, OWN), own - OWN, own + OWN - 4, (uintptr_t)x->good.buf,
		UINT64_MAX - rnd(x, 100), phca_test_rand(&x->rnd),
	};
	const uint32_t len[] = { 4, 40, 200, 2000, OWN, UINT32_MAX, 0, rnd(x, 3000) };
	const uint32_t key[] = { x->key, x->key, x->key, x->good.lkey, 0, rnd(x, UINT32_MAX) };

	return (struct phca_sge){ addr[rnd(x, 7)], len[rnd(x, 8)], key[rnd(x, 6)] };
}

/* Words of a header: sometimes what would be right, mostly not. */
static void scribble_hdr(struct hostile *x, struct phca_ring_hdr *h)
{
	uint32_t *word[] = { &h->prod, &h->cons, &h->db_pending, &h->armed, &h->magic, &h->size, &h->stride };
	uint32_t base = rnd(x, 2) ? h->cons : h->prod;
	const uint32_t val[] = { base, base + 1, base + rnd(x, 20), base - 1, 0, UINT32_MAX, rnd(x, UINT32_MAX) };

	*word[rnd(x, 7)] = val[rnd(x, 7)];
}

static void scribble_sq(struct hostile *x, struct phca_qp *qp)
{
	struct phca_ring *r = &qp->sq;
	struct phca_send_wqe *w = phca_ring_slot(r, rnd(x, 16));

	for (unsigned int i = 0; i < 4; i++)
		phca_send_sge(w)[i] = sge_any(x);
	if (rnd(x, 4) == 0)
		((uint8_t *)w)[rnd(x, r->stride)] ^= (uint8_t)rnd(x, 256);
	w->opcode = (uint8_t)(rnd(x, 3) ? PHCA_WR_SEND : rnd(x, rnd(x, 4) ? 10 : 256));
	w->flags = (uint16_t)rnd(x, rnd(x, 2) ? 16 : 65536);
	w->num_sge = rnd(x, 3) ? rnd(x, 5) : rnd(x, UINT32_MAX);
	w->inline_len = rnd(x, 3) ? rnd(x, 65) : rnd(x, UINT32_MAX);
	if (qp->transport != PHCA_TRANSPORT_UD) { /* WRITE, READ; what the others get of it is nonsense */
		struct phca_sge to = sge_any(x);

		w->u.rdma.remote_addr = to.addr;
		w->u.rdma.rkey = to.lkey;
		return;
	}
	w->u.ud.av.sgid_index = (uint8_t)rnd(x, rnd(x, 2) ? 3 : 256);
	memset(&w->u.ud.av.dgid, 0, 16);
	if (rnd(x, 4))
		memcpy(w->u.ud.av.dgid + 10, "\xff\xff\xc0\x00\x02\x02", 6);
}

static struct phca_ring *rq_of(struct phca_qp *qp)
{
	return qp->srq != NULL ? &qp->srq->rq : &qp->rq;
}

static void scribble_rq(struct hostile *x, struct phca_qp *qp)
{
	struct phca_recv_wqe *w = phca_ring_slot(rq_of(qp), rnd(x, 16));

	w->num_sge = rnd(x, 4) ? rnd(x, 5) : rnd(x, UINT32_MAX);
	for (unsigned int i = 0; i < 4; i++)
		phca_recv_sge(w)[i] = sge_any(x);
}

static void scribble(struct hostile *x)
{
	unsigned int i = rnd(x, NB_BAD);
	struct phca_qp *qp = x->qp[i];
	struct phca_ring *db = &x->c->sh[0].db;
	const uint32_t qpn[] = { qp->qpn, qp->qpn, x->good.qpn, 0, UINT32_MAX, rnd(x, 1 << 24) };

	scribble_sq(x, qp);
	scribble_rq(x, qp);
	switch (rnd(x, 6)) {
	case 0:
		scribble_hdr(x, qp->sq.hdr);
		break;
	case 1:
		scribble_hdr(x, rq_of(qp)->hdr);
		break;
	case 2:
		scribble_hdr(x, x->cq[i]->w.ring.hdr);
		((uint8_t *)phca_ring_slot(&x->cq[i]->w.ring, rnd(x, 32)))[rnd(x, 64)] = (uint8_t)rnd(x, 256);
		break;
	case 3:
		if (rnd(x, 16) == 0) /* mostly its last word */
			scribble_hdr(x, db->hdr);
		phca_cq_arm(&x->cq[i]->user, rnd(x, 2));
		break;
	default: /* a post that is right in form, so that its content is looked at */
		rq_of(qp)->hdr->prod = rq_of(qp)->own + 1 + rnd(x, 8);
		qp->sq.hdr->prod = qp->sq.own + 1 + rnd(x, 8);
	}
	*(uint32_t *)phca_ring_slot(db, db->own) = qpn[rnd(x, 6)];
	if (rnd(x, 8))
		db->hdr->prod = db->own + 1;
}

/* Packets to its queue pairs, so that its receives are used. */
static void traffic(struct hostile *x)
{
	unsigned int i = rnd(x, NB_BAD);
	static const enum phca_opcode first[] = {
		[PHCA_QPT_RC] = PHCA_RC_SEND_FIRST, [PHCA_QPT_UC] = PHCA_UC_SEND_FIRST,
		[PHCA_QPT_UD] = PHCA_UD_SEND_ONLY,
	};
	unsigned int ops = bad[i].type == PHCA_QPT_RC ? PHCA_RC_FETCH_ADD + 1 : bad[i].type == PHCA_QPT_UC ? 12 : 1;
	struct phca_wire_hdr h = lab_hdr(x->l, first[bad[i].type] + (enum phca_opcode)rnd(x, ops), x->qp[i]->qpn,
		rnd(x, 3));

	if (bad[i].type == PHCA_QPT_RC)
		memcpy(h.sgid, h.dgid, 16); /* its peer is itself */
	h.va = (uintptr_t)x->mem + rnd(x, 3 * OWN);
	h.rkey = x->key;
	h.dma_len = rnd(x, 2000);
	lab_send(x->l, &h, rnd(x, 4) ? 4 * rnd(x, 40) : LAB_MTU, 7);
}

/* The victim: receives a datagram and sends one, each round; both as if it were alone. */
static void victim(struct hostile *x)
{
	struct phca_wire_hdr h = lab_hdr(x->l, PHCA_UD_SEND_ONLY, x->good.qpn, 0);
	uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct phca_send_wr w = {
		.wr_id = 1ull << 32, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED | PHCA_SEND_INLINE,
		.inline_data = "victim", .inline_len = 6, .remote_qpn = 5,
		.av.dgid = { [10] = 0xff, 0xff, 192, 0, 2, 2 },
	};

	w.av.sgid_index = (uint8_t)phca_net_gid_find(x->l->net, own);
	lab_post(&x->good, 1);
	lab_send(x->l, &h, 64, (uint8_t)x->good_sent);
	if (phca_post_send(x->good.qp, &w, 1) != 1)
		CU_FAIL_FATAL("the victim cannot post");
	x->good_sent++;
}

/* @return whether its packet went out, and its two completions came. */
static bool undisturbed(struct hostile *x)
{
	unsigned int sent = 0, recv = 0, out = 0;
	struct rte_mbuf *m;
	struct phca_wc wc;

	while (lab_poll(&x->good, &wc)) {
		if (wc.status != PHCA_WC_SUCCESS)
			return false;
		if (wc.opcode == PHCA_WC_SEND) {
			sent++;
			continue;
		}
		recv++;
		if (wc.wr_id != x->good_got || wc.byte_len != PHCA_GRH_LEN + 64 ||
		    !lab_is(lab_buf(&x->good, wc.wr_id) + PHCA_GRH_LEN, 64, (uint8_t)x->good_got))
			return false;
		x->good_got++;
	}
	while ((m = lab_capture(x->l)) != NULL) {
		const uint8_t *end = rte_pktmbuf_mtod_offset(m, const uint8_t *, m->data_len);

		out += memcmp(end - PHCA_ICRC_LEN - 8, "victim\0\0", 8) == 0;
		rte_pktmbuf_free(m);
	}
	return sent == 1 && recv == 1 && out == 1;
}

static void hostile_open(struct hostile *x)
{
	struct phca_filter_param min = { .name = "min_len", .kind = PHCA_FV_UINT, .u = 100 };

	memset(x, 0, sizeof(*x));
	x->rnd = 3;
	x->l = lab_open(NULL);
	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, x->fd) == 0);
	x->good = lab_qp(x->l, PHCA_QPT_UD, 0x99);
	x->o = lab_offload(x->l, "o", phca_offload_driver_find("delay"), NULL, 0, 0);
	x->filter = lab_filter(x->l, "all", NULL, 0);
	x->big = lab_filter(x->l, "by_size", &min, 1);
	x->pd = phca_pd_alloc(x->l->mem);
	x->mem = malloc(3 * OWN);
	CU_ASSERT_FATAL(x->pd != 0 && x->mem != NULL);
	memset(x->mem, 0x5a, 3 * OWN);
	CU_ASSERT_FATAL(phca_mr_reg(x->l->mem, x->pd, x->mem + OWN, OWN, (uintptr_t)x->mem + OWN,
		PHCA_ACCESS_ALL, &x->key) == 0);
}

static void hostile_close(struct hostile *x)
{
	unsigned int spoilt = 0;

	for (unsigned int i = 0; i < OWN; i++)
		spoilt += x->mem[i] != 0x5a || x->mem[2 * OWN + i] != 0x5a;
	CU_ASSERT_EQUAL(spoilt, 0);
	CU_ASSERT_EQUAL(x->good_got, x->good_sent);
	CU_ASSERT_EQUAL(phca_mr_dereg(x->l->mem, x->key), 0);
	CU_ASSERT_EQUAL(phca_pd_free(x->l->mem, x->pd), 0);
	lab_qp_free(x->l, &x->good);
	CU_ASSERT_EQUAL(phca_offload_destroy(x->o), 0);
	free(x->mem);
	close(x->fd[0]);
	close(x->fd[1]);
	lab_close(x->l);
}

/* What it was told. @return events */
static unsigned int told(struct hostile *x)
{
	struct phca_event ev[64];
	unsigned int n = phca_hca_events(x->l->hca, ev, 64);
	struct phca_cq_note note;

	for (unsigned int i = 0; i < n; i++)
		x->seen[ev[i].type]++;
	while (recv(x->fd[0], &note, sizeof(note), MSG_DONTWAIT) == (ssize_t)sizeof(note))
		x->notes++;
	return n;
}

PHCA_TEST(hostile, scribbling_application_harms_only_itself)
{
	static struct hostile x;
	uint64_t errors = 0;
	bool fine = true;

	hostile_open(&x);
	for (unsigned int round = 0; round < ROUNDS && fine; round++) {
		if (round % LIVES == 0) {
			born(&x);
			for (unsigned int i = 0; i < NB_BAD; i++)
				revive(&x, i);
		}
		for (unsigned int i = 0; i < NB_BAD; i++)
			if (lab_info(&(struct lab_qp){ .qp = x.qp[i] }).state >= PHCA_QPS_SQE && rnd(&x, 4) == 0)
				revive(&x, i);
		scribble(&x);
		traffic(&x);
		victim(&x);
		lab_turn(x.l, 4);
		fine = undisturbed(&x);
		errors += told(&x);
		if (round % LIVES == LIVES - 1)
			phca_client_close(x.c);
	}
	CU_ASSERT_TRUE(fine);
	CU_ASSERT(errors > ROUNDS / 20); /* it did do harm to itself */
	CU_ASSERT(x.notes > 0 && x.seen[PHCA_EVENT_QP_FATAL] > 0 && x.seen[PHCA_EVENT_CQ_ERR] > 0);
	CU_ASSERT(x.seen[PHCA_EVENT_SRQ_ERR] > 0 && x.seen[PHCA_EVENT_CLIENT_FATAL] > 0);
	hostile_close(&x);
}
