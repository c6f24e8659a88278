/* SPDX-License-Identifier: BSD-3-Clause */
/* Multicast groups: who receives, who does not, own sends, and what is refused (10.5). */
#include <string.h>

#include "lab.h"

static const uint8_t group[16] = { [10] = 0xff, 0xff, 239, 1, 2, 3 };
static const uint8_t group6[16] = { 0xff, 0x0e, [15] = 0x42 };

static struct phca_wire_hdr mcast_hdr(struct lab *l, const uint8_t mgid[16])
{
	static const uint8_t peer6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, PHCA_QPN_MULTICAST, 0);

	memcpy(h.dgid, mgid, 16);
	if (phca_gid_is_ip4(mgid)) {
		memcpy(h.dmac, (uint8_t[]){ 1, 0, 0x5e, mgid[13] & 0x7f, mgid[14], mgid[15] }, 6);
	} else {
		h.ip6 = true;
		memcpy(h.sgid, peer6, 16);
		memcpy(h.dmac, (uint8_t[]){ 0x33, 0x33, mgid[12], mgid[13], mgid[14], mgid[15] }, 6);
	}
	return h;
}

static unsigned int received(struct lab_qp *q, uint8_t seed)
{
	struct phca_wc wc;
	unsigned int n = 0;

	while (lab_poll(q, &wc)) {
		if (wc.opcode != PHCA_WC_RECV)
			continue;
		CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
		CU_ASSERT_EQUAL(wc.byte_len, PHCA_GRH_LEN + 48);
		CU_ASSERT(lab_is(lab_buf(q, wc.wr_id) + PHCA_GRH_LEN, 48, seed));
		n++;
	}
	return n;
}

static void members_of(const uint8_t mgid[16], unsigned int nb_shards)
{
	struct lab_opts o = { .nb_shards = nb_shards };
	struct lab *l = lab_open(&o);
	struct lab_qp q[4];
	struct phca_wire_hdr h = mcast_hdr(l, mgid);
	struct phca_port_stats st;

	for (unsigned int i = 0; i < 4; i++) {
		q[i] = lab_qp(l, PHCA_QPT_UD, 0);
		lab_post(&q[i], 4);
	}
	lab_send(l, &h, 48, 1); /* nobody */
	lab_turn(l, 3);
	CU_ASSERT_EQUAL(lab_verdict(l, PHCA_V_MCAST), 1);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(phca_qp_mcast_attach(q[i].qp, mgid), 0);
	CU_ASSERT_EQUAL(phca_qp_mcast_attach(q[0].qp, mgid), 0); /* it is one already */
	lab_send(l, &h, 48, 2);
	lab_turn(l, 3);
	for (unsigned int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(received(&q[i], 2), i < 3);
	phca_port_stats_get(l->hca, 0, &st);
	CU_ASSERT_EQUAL(st.mcast_copies, 2);
	CU_ASSERT_EQUAL(st.verdict[PHCA_V_DIRECT], 3);
	CU_ASSERT_EQUAL(phca_qp_mcast_detach(q[1].qp, mgid), 0);
	CU_ASSERT_EQUAL(phca_qp_mcast_detach(q[1].qp, mgid), -EINVAL);
	lab_send(l, &h, 48, 3);
	lab_turn(l, 3);
	for (unsigned int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(received(&q[i], 3), i == 0 || i == 2);
	for (unsigned int i = 0; i < 4; i++) /* members leave when they go */
		lab_qp_free(l, &q[i]);
	lab_send(l, &h, 48, 4);
	lab_turn(l, 3);
	CU_ASSERT_EQUAL(lab_verdict(l, PHCA_V_MCAST), 2);
	lab_close(l);
}

PHCA_TEST(mcast, members_receive_ipv4)
{
	members_of(group, 1);
}

PHCA_TEST(mcast, members_receive_ipv6)
{
	members_of(group6, 1);
}

PHCA_TEST(mcast, members_on_several_shards)
{
	members_of(group, 3);
}

/* What is sent to a group goes out and to the members here. */
PHCA_TEST(mcast, own_sends_reach_own_members)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp to = lab_qp(l, PHCA_QPT_UD, 0), from = lab_qp(l, PHCA_QPT_UD, 0);
	struct phca_send_wr wr = {
		.opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED, .remote_qpn = PHCA_QPN_MULTICAST,
		.remote_qkey = LAB_QKEY, .num_sge = 1,
	};
	struct phca_sge sge = { (uintptr_t)from.buf, 48, from.lkey };
	const uint8_t *f;
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < 48; i++)
		from.buf[i] = (uint8_t)(9 + i);
	wr.sge = &sge;
	memcpy(wr.av.dgid, group, 16);
	wr.av.sgid_index = (uint8_t)phca_net_gid_for(l->net, group);
	lab_post(&to, 4);
	CU_ASSERT_EQUAL(phca_qp_mcast_attach(to.qp, group), 0);
	CU_ASSERT_EQUAL(phca_post_send(from.qp, &wr, 1), 1);
	lab_turn(l, 4);
	CU_ASSERT_EQUAL(received(&to, 9), 1);
	m = lab_capture(l);
	CU_ASSERT_FATAL(m != NULL);
	f = rte_pktmbuf_mtod(m, const uint8_t *);
	CU_ASSERT_EQUAL(memcmp(f, "\x01\x00\x5e\x01\x02\x03", 6), 0);
	rte_pktmbuf_free(m);
	lab_qp_free(l, &to);
	lab_qp_free(l, &from);
	lab_close(l);
}

/* Group address and QP 0xffffff belong together (9.6.1.1). */
PHCA_TEST(mcast, address_and_qp_must_agree)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0), uc = lab_qp(l, PHCA_QPT_UC, 0);
	struct phca_wire_hdr h = mcast_hdr(l, group);
	const uint8_t own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

	lab_post(&q, 4);
	CU_ASSERT_EQUAL(phca_qp_mcast_attach(q.qp, group), 0);
	h.dqpn = q.qpn;
	lab_send(l, &h, 48, 1);
	h = lab_hdr(l, PHCA_UD_SEND_ONLY, PHCA_QPN_MULTICAST, 0);
	lab_send(l, &h, 48, 1);
	lab_turn(l, 3);
	CU_ASSERT_EQUAL(received(&q, 1), 0);
	CU_ASSERT_EQUAL(lab_verdict(l, PHCA_V_MCAST), 2);
	CU_ASSERT_EQUAL(phca_qp_mcast_attach(q.qp, own), -EINVAL);
	CU_ASSERT_EQUAL(phca_qp_mcast_attach(uc.qp, group), -EINVAL);
	lab_qp_free(l, &q);
	lab_qp_free(l, &uc);
	lab_close(l);
}
