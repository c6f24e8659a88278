/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders that scapy made (golden.py): each packet has its verdict, each message
 * its completion and its bytes. So the responder is not tested against our own
 * encoder alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "lab.h"

#define UD 0x55
#define UC 0x66
#define IOVA 0x100000
#define REGION 8192
#define RKEY 0x301u      /* third region of a fresh table */
#define NO_CQE 0xffff

/* STEP of golden.py. */
struct step {
	uint8_t ip6, vlan;
	uint16_t frame_len;
	uint16_t opcode;     /* of the completion; NO_CQE: none */
	uint32_t msg_len;
	uint32_t qpn, imm, sqpn;
	uint32_t done;       /* a message ends here */
	char verdict[24];
} __attribute__((packed));

struct ladder {
	struct lab *l;
	struct lab_qp ud, uc;
	uint8_t *region;
	uint32_t rkey;
};

static struct ladder ladder_open(bool vlan)
{
	struct ladder d = { .l = lab_open(&(struct lab_opts){ .vlan = vlan }) };

	d.ud = lab_qp(d.l, PHCA_QPT_UD, UD);
	d.uc = lab_qp(d.l, PHCA_QPT_UC, UC);
	d.region = calloc(1, REGION);
	CU_ASSERT_FATAL(d.region != NULL);
	CU_ASSERT_EQUAL(phca_mr_reg(d.l->mem, d.l->pd, d.region, REGION, IOVA,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, &d.rkey), 0);
	CU_ASSERT_EQUAL_FATAL(d.rkey, RKEY);
	lab_post(&d.ud, LAB_DEPTH);
	lab_post(&d.uc, LAB_DEPTH);
	return d;
}

static void ladder_close(struct ladder *d)
{
	CU_ASSERT_EQUAL(phca_mr_dereg(d->l->mem, d->rkey), 0);
	lab_qp_free(d->l, &d->ud);
	lab_qp_free(d->l, &d->uc);
	free(d->region);
	lab_close(d->l);
}

static enum phca_verdict verdict_named(const char *name)
{
	unsigned int v = 0;

	while (v < PHCA_V_COUNT && strcmp(phca_verdict_str(v), name) != 0)
		v++;
	CU_ASSERT_FATAL(v < PHCA_V_COUNT);
	return v;
}

/* What came with the message: its completion, or the bytes of a WRITE. */
static bool message_ok(struct ladder *d, const struct step *s, const uint8_t *msg)
{
	struct lab_qp *q = s->qpn == UD ? &d->ud : &d->uc;
	uint32_t grh = s->qpn == UD ? PHCA_GRH_LEN : 0;
	bool imm = s->imm != 0;
	const uint8_t *buf;
	struct phca_wc wc;

	if (s->opcode == NO_CQE)
		return memcmp(d->region + s->imm, msg, s->msg_len) == 0;
	if (!lab_poll(q, &wc))
		return false;
	buf = lab_buf(q, wc.wr_id);
	lab_post(q, 1);
	if (s->opcode == PHCA_WC_RECV_RDMA_WITH_IMM ? memcmp(d->region + 100, msg, s->msg_len) != 0 :
	    memcmp(buf + grh, msg, s->msg_len) != 0)
		return false;
	if (grh != 0 && (s->ip6 ? buf[0] >> 4 != 6 || buf[1] != 0x81 : buf[20] != 0x45 || buf[21] != 0x68))
		return false; /* traffic class 0x68 */
	return wc.status == PHCA_WC_SUCCESS && wc.opcode == s->opcode && wc.byte_len == s->msg_len + grh &&
		wc.qp_num == s->qpn && wc.src_qp == (grh != 0 ? s->sqpn : LAB_PEER_QPN) &&
		wc.wc_flags == ((imm ? PHCA_WC_F_WITH_IMM : 0u) | (grh != 0 ? PHCA_WC_F_GRH : 0u)) &&
		(!imm || wc.imm == rte_cpu_to_be_32(s->imm)) && wc.sl == (s->vlan ? 5 : 0);
}

static void run(struct ladder *d, const struct step *s, unsigned int no, const uint8_t *frame, const uint8_t *msg)
{
	enum phca_verdict v = verdict_named(s->verdict);
	uint64_t before = lab_verdict(d->l, v);
	struct phca_wc wc;
	bool fine;

	lab_raw(d->l, frame, s->frame_len);
	lab_turn(d->l, 2);
	fine = lab_verdict(d->l, v) == before + 1 && (!s->done || message_ok(d, s, msg)) &&
		!lab_poll(&d->ud, &wc) && !lab_poll(&d->uc, &wc);
	if (!fine) {
		printf("  step %u (IPv%d, %s, qp 0x%x, frame of %u bytes): not %s, or its message differs\n", no,
			s->ip6 ? 6 : 4, s->vlan ? "VLAN" : "untagged", s->qpn, s->frame_len, s->verdict);
		CU_FAIL("not what scapy's packet must lead to");
	}
}

PHCA_TEST(golden, responder_climbs_scapys_ladders)
{
	const char *name = getenv("PHCA_HCA_GOLDEN");
	FILE *f = fopen(name != NULL ? name : "tests/datapath/hca/hca_golden.bin", "rb");
	static uint8_t frame[2048], msg[8192];
	struct ladder d = { .l = NULL };
	unsigned int no = 0;
	struct step s;
	int vlan = -1;

	if (f == NULL)
		CU_FAIL_FATAL("no golden packets: run in the build folder, or set PHCA_HCA_GOLDEN");
	while (fread(&s, sizeof(s), 1, f) == 1) {
		CU_ASSERT_FATAL(s.frame_len <= sizeof(frame) && s.msg_len <= sizeof(msg));
		CU_ASSERT_EQUAL_FATAL(fread(frame, 1, s.frame_len, f), s.frame_len);
		CU_ASSERT_EQUAL_FATAL(fread(msg, 1, s.msg_len, f), s.msg_len);
		if (s.vlan != vlan) {
			if (d.l != NULL)
				ladder_close(&d);
			d = ladder_open(s.vlan);
			vlan = s.vlan;
		}
		run(&d, &s, no++, frame, msg);
	}
	CU_ASSERT_EQUAL(no % 4, 0); /* the same ladders four times */
	CU_ASSERT(no > 4 * 50);
	if (d.l != NULL)
		ladder_close(&d);
	fclose(f);
}
