/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shipped offload wal_mirror in front of a requester whose WRITEs go to a log at its peer: they
 * are in the copy at the mirror, too, and complete when both have acknowledged. One of the two is
 * another queue pair of this HCA, the other is played by hand and acknowledges when told.
 */
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "phca_drivers.h"

#define BYTES 65536u     /* of the application's memory, of the log and of the copy */
#define N 40             /* WRITEs */
#define ACK 0x1f

struct memory {
	uint8_t *at;
	uint32_t key;
};
static struct {
	struct lab *l;
	struct phca_offload *o;
	struct lab_qp app, mirror, end;   /* end: the peer of one of them */
	struct memory src, log, copy;
	uint32_t len[N], at[N];           /* of the WRITEs, in the log */
	uint8_t expected[BYTES];          /* the log when all of them are there */
} x;

static struct memory memory_make(uint32_t access)
{
	struct memory m = { .at = calloc(1, BYTES) };

	CU_ASSERT_FATAL(m.at != NULL);
	CU_ASSERT_FATAL(phca_mr_reg(x.l->mem, x.l->pd, m.at, BYTES, (uintptr_t)m.at, access, &m.key) == 0);
	return m;
}

static void memory_free(struct memory *m)
{
	CU_ASSERT_EQUAL(phca_mr_dereg(x.l->mem, m->key), 0);
	free(m->at);
}

/* The log, at the peer of app, or the copy, at that of mirror, is behind the queue pair `end`. */
static void wal_open(bool log_is_real, uint32_t access_copy)
{
	struct phca_offload_conf c = { .name = "wal", .ops = &phca_offload_bpf };
	struct phca_rule rule = { .name = "wal", .send = true }, peer = { .name = "mirror", .inbound = true };
	char key[16], log[128], err[PHCA_FILTER_ERR_MAX] = "";

	memset(&x, 0, sizeof(x));
	x.l = lab_open(NULL);
	x.app = lab_qp(x.l, PHCA_QPT_RC, 0x301);
	x.mirror = lab_qp(x.l, PHCA_QPT_RC, 0x302);
	x.end = lab_qp(x.l, PHCA_QPT_RC, 0x303);
	lab_connect(x.l, log_is_real ? &x.app : &x.mirror, &x.end);
	x.src = memory_make(0);
	x.log = memory_make(PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE);
	x.copy = memory_make(access_copy);
	c.program = lab_program(x.l, "wal_mirror");
	snprintf(key, sizeof(key), "%u", x.log.key);
	snprintf(log, sizeof(log), "{va=%p,mirror=%p,rkey=%u,rsvd=0}", (void *)x.log.at, (void *)x.copy.at, x.copy.key);
	CU_ASSERT_EQUAL(phca_filter_map_set(c.program->cur, "logs", key, log, err, sizeof(err)), 0);
	x.o = phca_offload_create(x.l->proxy, &c, err, sizeof(err));
	CU_ASSERT_FATAL(x.o != NULL);
	rule.filter = lab_filter(x.l, "all", NULL, 0);
	rule.offload = peer.offload = x.o;
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.app.qp, &rule, 1, 0) == 0);
	CU_ASSERT_FATAL(phca_qp_proxy_attach(x.mirror.qp, &peer, 1, 0) == 0);
	CU_ASSERT_FATAL(phca_offload_peer_add(x.o, phca_qp_pqp(x.mirror.qp), "mirror") == 0);
	lab_turn(x.l, 4);
}

static void wal_close(void)
{
	lab_qp_free(x.l, &x.app);
	lab_qp_free(x.l, &x.mirror);
	lab_qp_free(x.l, &x.end);
	lab_turn(x.l, 4);
	memory_free(&x.src);
	memory_free(&x.log);
	memory_free(&x.copy);
	lab_close(x.l);
}

/* Post the i-th: up to five packets from somewhere in the application's memory to somewhere in the log. */
static void post(uint32_t i)
{
	uint32_t from = i % 2 * BYTES / 2 + i * 1237 % (BYTES / 2 - 5 * LAB_MTU); /* not where i - 1 is sent from */
	struct phca_sge sge[2];
	struct phca_send_wr wr = {
		.wr_id = i, .sge = sge, .num_sge = 2, .opcode = PHCA_WR_RDMA_WRITE, .flags = PHCA_SEND_SIGNALED,
		.rkey = x.log.key,
	};

	x.len[i] = 8 + i * 977 % (5 * LAB_MTU - 8);
	x.at[i] = i * 3001 % (BYTES - 5 * LAB_MTU);
	wr.remote_addr = (uintptr_t)x.log.at + x.at[i];
	sge[0] = (struct phca_sge){ (uintptr_t)x.src.at + from, 5, x.src.key };
	sge[1] = (struct phca_sge){ (uintptr_t)x.src.at + from + 5, x.len[i] - 5, x.src.key };
	for (uint32_t k = 0; k < x.len[i]; k++)
		x.src.at[from + k] = (uint8_t)(k + 7 * i + 1);
	CU_ASSERT_EQUAL(phca_post_send(x.app.qp, &wr, 1), 1);
}

/* What the one that is played by hand was sent is written to its memory. @return PSN of the last packet */
static uint32_t take(const struct memory *m, uint32_t want_at, uint32_t want_len)
{
	static uint64_t at;
	uint32_t len = 0, psn = 0;
	struct rte_mbuf *b;
	bool over = false;

	while (!over && (b = lab_capture(x.l)) != NULL) {
		const uint8_t *frame = rte_pktmbuf_mtod(b, const uint8_t *);
		const struct phca_reth *reth;
		struct phca_pkt p;

		CU_ASSERT_EQUAL(phca_wire_parse(frame, b->data_len, PHCA_PARSE_ICRC, &p), PHCA_V_OK);
		reth = phca_pkt_hdr(frame, &p, PHCA_HDR_RETH);
		if (reth != NULL) {
			rte_be64_t va;
			rte_be32_t word;

			memcpy(&va, reth->va, sizeof(va));
			at = rte_be_to_cpu_64(va) - (uintptr_t)m->at;
			CU_ASSERT_EQUAL(at, want_at);
			memcpy(&word, reth->rkey, sizeof(word));
			CU_ASSERT_EQUAL(rte_be_to_cpu_32(word), m->key);
			memcpy(&word, reth->len, sizeof(word));
			CU_ASSERT_EQUAL(rte_be_to_cpu_32(word), want_len);
		}
		CU_ASSERT_FATAL(at + p.payload_len <= BYTES);
		memcpy(m->at + at, frame + p.payload_off, p.payload_len);
		at += p.payload_len;
		len += p.payload_len;
		psn = p.psn.v;
		over = p.opcode == PHCA_RC_WRITE_ONLY || p.opcode == PHCA_RC_WRITE_LAST;
		rte_pktmbuf_free(b);
	}
	CU_ASSERT(over);
	CU_ASSERT_EQUAL(len, want_len);
	return psn;
}

static void acknowledge(uint32_t qpn, uint32_t psn)
{
	struct phca_wire_hdr h = lab_hdr(x.l, PHCA_RC_ACK, qpn, psn);

	h.syndrome = ACK;
	lab_send(x.l, &h, 0, 0);
	lab_turn(x.l, 8);
}

static void one_acknowledges_late(bool log_is_real)
{
	struct memory *real, *hand;
	struct lab_qp *to;
	struct phca_wc wc;

	wal_open(log_is_real, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE);
	real = log_is_real ? &x.log : &x.copy;
	hand = log_is_real ? &x.copy : &x.log;
	to = log_is_real ? &x.mirror : &x.app;
	for (uint32_t i = 0; i < N; i += 2) { /* two at a time: the second is not told with the first */
		uint32_t psn[2];

		post(i);
		post(i + 1);
		for (uint32_t k = i; k < i + 2; k++)
			for (uint32_t n = 0; n < x.len[k]; n++)
				x.expected[x.at[k] + n] = (uint8_t)(n + 7 * k + 1);
		lab_turn(x.l, 16);
		CU_ASSERT_EQUAL(memcmp(real->at, x.expected, BYTES), 0); /* there, and acknowledged */
		for (uint32_t k = 0; k < 2; k++)
			psn[k] = take(hand, x.at[i + k], x.len[i + k]);
		CU_ASSERT_EQUAL(memcmp(hand->at, x.expected, BYTES), 0);
		lab_turn(x.l, 50);
		CU_ASSERT_FALSE(lab_poll(&x.app, &wc)); /* not before both have */
		for (uint32_t k = 0; k < 2; k++) {
			acknowledge(to->qpn, psn[k]);
			CU_ASSERT_FATAL(lab_poll(&x.app, &wc));
			CU_ASSERT_EQUAL(wc.wr_id, i + k);
			CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
			CU_ASSERT_FALSE(lab_poll(&x.app, &wc));
		}
	}
	CU_ASSERT_EQUAL(lab_info(&x.app).stats.tx_offloaded, N);
	CU_ASSERT_PTR_NULL(lab_capture(x.l));
	wal_close();
}

PHCA_TEST(wal, completes_when_the_mirror_has_acknowledged)
{
	one_acknowledges_late(true);
}

PHCA_TEST(wal, completes_when_the_peer_has_acknowledged)
{
	one_acknowledges_late(false);
}

PHCA_TEST(wal, a_mirror_that_refuses_fails_the_write)
{
	struct phca_wc wc;

	wal_open(false, PHCA_ACCESS_LOCAL_WRITE); /* the mirror's key allows no WRITE */
	post(0);
	post(1);
	lab_turn(x.l, 16);
	acknowledge(x.app.qpn, take(&x.log, x.at[0], x.len[0])); /* the peer has the first */
	CU_ASSERT_FATAL(lab_poll(&x.app, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 0);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_REM_ACCESS_ERR);
	CU_ASSERT_FATAL(lab_poll(&x.app, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 1);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(memcmp(x.copy.at, x.expected, BYTES), 0); /* nothing was written */
	wal_close();
}
