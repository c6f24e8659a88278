/* SPDX-License-Identifier: BSD-3-Clause */
/* Ladders: multicast of unreliable datagram (10.5.2, 9.6.1.1). */
#include <errno.h>
#include <string.h>

#include "conform.h"

static const uint8_t group[16] = { [10] = 0xff, 0xff, 224, 1, 2, 3 };
static const uint8_t other[16] = { [10] = 0xff, 0xff, 224, 1, 2, 4 };

LADDER("10.5.2", ud_resp, member_receives,
	"a member receives what is sent to its group, at QP 0xFFFFFF")
{
	recvs(1);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .seed = 1, .to = group, .qpn = PHCA_QPN_MULTICAST);
	expect_recv(RECV, .n = 8, .seed = 1);
	expect_nothing();
}

LADDER("10.5.2", ud_resp, each_member_receives, "each member receives once")
{
	struct lab_qp q;
	struct phca_wc wc;

	recvs(2);
	q = lab_qp(c.l, PHCA_QPT_UD, 0);
	lab_post(&q, 2);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	expect_int(phca_qp_mcast_attach(q.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .seed = 1, .to = group, .qpn = PHCA_QPN_MULTICAST);
	expect_recv(RECV, .n = 8, .seed = 1);
	expect_nothing();
	expect_int(lab_poll(&q, &wc), true);
	expect_int(lab_is(lab_buf(&q, 0) + PHCA_GRH_LEN, 8, 1), true);
	expect_int(lab_poll(&q, &wc), false);
	expect_int(phca_qp_mcast_detach(q.qp, group), 0);
	lab_qp_free(c.l, &q);
}

LADDER("9.6.1.1", ud_resp, group_without_members,
	"a packet to a group that nobody joined is dropped")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 8, .to = group, .qpn = PHCA_QPN_MULTICAST);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .to = other, .qpn = PHCA_QPN_MULTICAST);
	expect_nothing();
}

LADDER("9.6.1.1", ud_resp, group_with_unicast_qpn,
	"a packet to a group with a QP's own number is dropped")
{
	recvs(1);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .to = group);
	expect_nothing();
	expect_verdict(MCAST, 1);
}

LADDER("9.6.1.4", ud_resp, group_with_wrong_q_key,
	"the Q_Key of multicast is checked against each member's")
{
	recvs(1);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .to = group, .qpn = PHCA_QPN_MULTICAST, .qkey = 5);
	expect_nothing();
	expect_verdict(QKEY, 1);
}

LADDER("9.6.1.1", ud_resp, group_with_rc_opcode, "multicast is for unreliable datagrams only")
{
	recvs(1);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	give(RC_SEND_ONLY, .n = 8, .to = group, .qpn = PHCA_QPN_MULTICAST);
	give(UC_SEND_ONLY, .n = 8, .to = group, .qpn = PHCA_QPN_MULTICAST);
	expect_nothing();
	expect_verdict(QP_TRANSPORT, 2);
}

LADDER("10.5.2.3", ud_resp, detached, "who has left receives no more")
{
	recvs(2);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .to = group, .qpn = PHCA_QPN_MULTICAST);
	expect_recv(RECV, .n = 8);
	expect_int(phca_qp_mcast_detach(c.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .to = group, .qpn = PHCA_QPN_MULTICAST);
	expect_nothing();
}

LADDER("10.5.2", ud_resp, full_receive_queue_of_a_member,
	"a member without receives drops its copy; others have theirs")
{
	struct lab_qp q;
	struct phca_wc wc;

	turns(1);
	q = lab_qp(c.l, PHCA_QPT_UD, 0);
	lab_post(&q, 1);
	expect_int(phca_qp_mcast_attach(c.qp, group), 0);
	expect_int(phca_qp_mcast_attach(q.qp, group), 0);
	give(UD_SEND_ONLY, .n = 8, .to = group, .qpn = PHCA_QPN_MULTICAST);
	expect_nothing();
	expect_int(lab_poll(&q, &wc), true);
	expect_verdict(NO_RECV, 1);
	lab_qp_free(c.l, &q);
}

LADDER("10.5.2", state, members_are_datagram_queue_pairs,
	"only UD queue pairs join, only multicast addresses are groups")
{
	c.type = PHCA_QPT_RC;
	begin();
	expect_int(phca_qp_mcast_attach(c.qp, group), -EINVAL);
	expect_int(phca_qp_mcast_detach(c.qp, group), -EINVAL);
}

LADDER("10.5.2", ud_resp, unicast_address_is_no_group, "attaching to a unicast address is refused")
{
	begin();
	expect_int(phca_qp_mcast_attach(c.qp, c.attr.av.dgid), -EINVAL);
}
