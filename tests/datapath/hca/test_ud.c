/* SPDX-License-Identifier: BSD-3-Clause */
/* Inbound UD: one check of the responder a test, in the order of 9.6.1 and 9.8.3. */
#include <string.h>

#include "lab.h"

#define ONE(l, q, verdict_) \
	do { \
		struct phca_wc wc_; \
		lab_turn(l, 3); \
		CU_ASSERT_EQUAL(lab_verdict(l, verdict_), 1); \
		CU_ASSERT_FALSE(lab_poll(q, &wc_)); \
	} while (0)

/* A QP with one receive posted, and a packet to it that is right in all respects. */
struct ud {
	struct lab *l;
	struct lab_qp q;
	struct phca_wire_hdr h;
};

static struct ud ud_open(void)
{
	struct ud u = { .l = lab_open(NULL) };

	u.q = lab_qp(u.l, PHCA_QPT_UD, 0x20);
	lab_post(&u.q, 1);
	u.h = lab_hdr(u.l, PHCA_UD_SEND_ONLY, u.q.qpn, 0);
	return u;
}

/* Send it with len bytes: it gets that verdict, and nothing completes. The end of the test. */
static void ud_drop(struct ud *u, uint32_t len, enum phca_verdict v)
{
	lab_send(u->l, &u->h, len, 0);
	ONE(u->l, &u->q, v);
	CU_ASSERT_EQUAL(lab_info(&u->q).stats.rx_direct, 0);
	lab_qp_free(u->l, &u->q);
	lab_close(u->l);
}

PHCA_TEST(ud, send_lands_behind_40_bytes_of_grh)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0x20);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, 0x20, 5);
	struct phca_wc wc;

	lab_post(&q, 1);
	h.solicited = true;
	lab_send(l, &h, 100, 3);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.opcode, PHCA_WC_RECV);
	CU_ASSERT_EQUAL(wc.wr_id, 0);
	CU_ASSERT_EQUAL(wc.byte_len, 140);
	CU_ASSERT_EQUAL(wc.qp_num, 0x20);
	CU_ASSERT_EQUAL(wc.src_qp, LAB_PEER_QPN);
	CU_ASSERT_EQUAL(wc.wc_flags, PHCA_WC_F_GRH);
	CU_ASSERT(lab_is(lab_buf(&q, 0) + 40, 100, 3));
	/* 20 bytes of zero, then the IPv4 header with its addresses */
	CU_ASSERT_EQUAL(memcmp(lab_buf(&q, 0), (uint8_t[20]){ 0 }, 20), 0);
	CU_ASSERT_EQUAL(lab_buf(&q, 0)[20], 0x45);
	CU_ASSERT_EQUAL(memcmp(lab_buf(&q, 0) + 32, "\xc0\0\x02\x02\xc0\0\x02\x01", 8), 0);
	CU_ASSERT_EQUAL(lab_verdict(l, PHCA_V_DIRECT), 1);
	CU_ASSERT_EQUAL(lab_info(&q).stats.rx_direct, 1);
	CU_ASSERT_EQUAL(lab_info(&q).stats.rx_bytes, 100);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, immediate_data_is_in_network_order)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY_IMM, q.qpn, 0);
	struct phca_wc wc;

	lab_post(&q, 1);
	memcpy(&h.imm, "\1\2\3\4", 4);
	lab_send(l, &h, 0, 0);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.wc_flags, PHCA_WC_F_GRH | PHCA_WC_F_WITH_IMM);
	CU_ASSERT_EQUAL(memcmp(&wc.imm, "\1\2\3\4", 4), 0);
	CU_ASSERT_EQUAL(wc.byte_len, 40);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, ipv6_header_is_the_grh)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_av av;
	struct phca_wc wc;

	lab_post(&q, 1);
	h.ip6 = true;
	memcpy(h.sgid, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	memcpy(h.dgid, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	lab_send(l, &h, 8, 1);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(lab_buf(&q, 0)[0] >> 4, 6);
	CU_ASSERT_EQUAL(memcmp(lab_buf(&q, 0) + 8, h.sgid, 16), 0);
	CU_ASSERT_EQUAL(phca_av_from_wc(q.qp, &wc, lab_buf(&q, 0), &av), 0);
	CU_ASSERT_EQUAL(memcmp(av.dgid, h.sgid, 16), 0);
	CU_ASSERT_EQUAL(memcmp(phca_net_gid(l->net, av.sgid_index), h.dgid, 16), 0);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, scatter_list_is_filled_in_order)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_sge sge[3] = {
		{ (uintptr_t)q.buf, 45, q.lkey }, { (uintptr_t)q.buf + 100, 0, q.lkey },
		{ (uintptr_t)q.buf + 200, 95, q.lkey },
	};
	struct phca_recv_wr wr = { 9, sge, 3 };
	struct phca_wc wc;

	CU_ASSERT_EQUAL(phca_post_recv(q.qp, &wr, 1), 1);
	lab_send(l, &h, 100, 0);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 9);
	CU_ASSERT(lab_is(q.buf + 40, 5, 0));
	CU_ASSERT(lab_is(q.buf + 200, 95, 5));
	CU_ASSERT_EQUAL(q.buf[45], 0);
	CU_ASSERT_EQUAL(q.buf[295], 0);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, unknown_qp)
{
	struct ud u = ud_open();

	u.h.dqpn = 0x21;
	ud_drop(&u, 8, PHCA_V_QPN);
}

PHCA_TEST(ud, opcode_of_another_transport)
{
	struct ud u = ud_open();

	u.h.opcode = PHCA_UC_SEND_ONLY;
	ud_drop(&u, 8, PHCA_V_QP_TRANSPORT);
}

PHCA_TEST(ud, state_before_rtr)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_qp_attr a = { .state = PHCA_QPS_RESET, .pkey = 0xffff, .qkey = LAB_QKEY };

	CU_ASSERT_EQUAL(phca_qp_modify(q.qp, &a, PHCA_QP_STATE), 0);
	a.state = PHCA_QPS_INIT;
	CU_ASSERT_EQUAL(phca_qp_modify(q.qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_QKEY), 0);
	lab_post(&q, 1);
	lab_send(l, &h, 8, 0);
	ONE(l, &q, PHCA_V_QP_STATE);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, pkey_of_another_partition)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_wc wc;

	lab_post(&q, 2);
	h.pkey = 0x8001;
	lab_send(l, &h, 8, 0);
	ONE(l, &q, PHCA_V_PKEY);
	h.pkey = 0x7fff; /* a limited member may talk to a full one */
	lab_send(l, &h, 8, 0);
	lab_turn(l, 3);
	CU_ASSERT(lab_poll(&q, &wc));
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, wrong_qkey)
{
	struct ud u = ud_open();

	u.h.qkey++;
	lab_send(u.l, &u.h, 8, 0);
	ONE(u.l, &u.q, PHCA_V_QKEY);
	CU_ASSERT_EQUAL(lab_info(&u.q).stats.rx_dropped, 1);
	lab_qp_free(u.l, &u.q);
	lab_close(u.l);
}

PHCA_TEST(ud, no_receive_posted)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);

	lab_send(l, &h, 8, 0);
	ONE(l, &q, PHCA_V_NO_RECV);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, longer_than_the_mtu)
{
	struct ud u = ud_open();

	ud_drop(&u, LAB_MTU + 1, PHCA_V_LENGTH);
}

PHCA_TEST(ud, longer_than_the_buffer_keeps_the_receive)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_sge sge = { (uintptr_t)q.buf, 49, q.lkey };
	struct phca_recv_wr wr = { 1, &sge, 1 };
	struct phca_wc wc;

	CU_ASSERT_EQUAL(phca_post_recv(q.qp, &wr, 1), 1);
	lab_send(l, &h, 10, 0);
	ONE(l, &q, PHCA_V_LENGTH);
	lab_send(l, &h, 9, 7);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 1);
	CU_ASSERT(lab_is(q.buf + 40, 9, 7));
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, bad_lkey_is_the_applications_error)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_sge sge = { (uintptr_t)q.buf, 4096, q.lkey ^ 1 };
	struct phca_recv_wr wr = { 1, &sge, 1 };
	struct phca_event ev;
	struct phca_wc wc;

	CU_ASSERT_EQUAL(phca_post_recv(q.qp, &wr, 1), 1);
	lab_post(&q, 2);
	lab_send(l, &h, 10, 0);
	lab_turn(l, 3);
	CU_ASSERT_EQUAL(lab_verdict(l, PHCA_V_RECV_WQE), 1);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.wr_id, 1);
	CU_ASSERT_EQUAL(wc.status, PHCA_WC_LOC_PROT_ERR);
	for (unsigned int i = 0; i < 2; i++) { /* the others flush, in order */
		CU_ASSERT_FATAL(lab_poll(&q, &wc));
		CU_ASSERT_EQUAL(wc.wr_id, i);
		CU_ASSERT_EQUAL(wc.status, PHCA_WC_WR_FLUSH_ERR);
	}
	CU_ASSERT_EQUAL(lab_info(&q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, &ev, 1), 1);
	CU_ASSERT_EQUAL(ev.type, PHCA_EVENT_QP_ACCESS_ERR);
	CU_ASSERT_EQUAL(ev.num, q.qpn);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, not_for_us)
{
	struct ud u = ud_open();

	u.h.dgid[15] = 9;
	ud_drop(&u, 8, PHCA_V_NOT_OURS);
}

PHCA_TEST(ud, vlan_is_required_and_gives_the_sl)
{
	struct lab *l = lab_open(&(struct lab_opts){ .vlan = true });
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_wc wc;

	lab_post(&q, 1);
	h.vlan = false;
	lab_send(l, &h, 8, 0);
	ONE(l, &q, PHCA_V_NOT_OURS);
	h.vlan = true;
	h.vlan_tci = 5 << 13 | 7;
	lab_send(l, &h, 8, 0);
	lab_turn(l, 3);
	CU_ASSERT_FATAL(lab_poll(&q, &wc));
	CU_ASSERT_EQUAL(wc.sl, 5);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, wrong_icrc_touches_no_qp)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	uint8_t f[256];
	uint32_t n;

	lab_post(&q, 1);
	n = phca_wire_build(f, &h, 0);
	n = phca_wire_finish(f, &h, 0);
	f[n - 1] ^= 1;
	lab_raw(l, f, n);
	ONE(l, &q, PHCA_V_ICRC);
	CU_ASSERT_EQUAL(lab_info(&q).stats.rx_packets, 0);
	lab_qp_free(l, &q);
	lab_close(l);
}

PHCA_TEST(ud, cq_overrun_is_an_event_and_nothing_is_overwritten)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp_cqe(l, PHCA_QPT_UD, 0, 2);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, q.qpn, 0);
	struct phca_cq_info ci;
	struct phca_event ev;
	struct phca_wc wc;
	unsigned int n = 0;

	lab_post(&q, 20);
	for (int i = 0; i < 10; i++)
		lab_send(l, &h, 8, 0);
	lab_turn(l, 5);
	phca_cq_info_get(q.cq, &ci);
	CU_ASSERT(ci.overrun);
	CU_ASSERT_EQUAL(lab_info(&q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(phca_hca_events(l->hca, &ev, 1), 1);
	CU_ASSERT_EQUAL(ev.type, PHCA_EVENT_CQ_ERR);
	for (; lab_poll(&q, &wc); n++) {
		CU_ASSERT_EQUAL(wc.wr_id, n);
		CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
	}
	CU_ASSERT(n >= 2); /* what it was created for, at least */
	CU_ASSERT_EQUAL(ci.written, n);
	lab_qp_free(l, &q);
	lab_close(l);
}
