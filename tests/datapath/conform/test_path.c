/* SPDX-License-Identifier: BSD-3-Clause */
/* Ladders: the path of a connection: each path MTU, IPv6, addresses, congestion marks (9.6.1.2, 9.7.3, A17). */
#include <string.h>

#include "conform.h"

/* A message of two path MTUs and a byte, either way. */
static void sends(uint16_t mtu)
{
	c.attr.path_mtu = mtu;
	post(SEND, .n = 2u * mtu + 1, .seed = 3);
	expect_pkt(RC_SEND_FIRST, .psn = 0, .n = mtu, .seed = 3);
	expect_pkt(RC_SEND_MIDDLE, .psn = 1, .n = mtu, .seed = 3);
	expect_pkt(RC_SEND_LAST, .psn = 2, .n = 1, .seed = 3, .ackreq = true);
	give(RC_ACK, .psn = 2, .syndrome = ACK);
	expect_sent(SUCCESS);
	post(RDMA_READ, .n = mtu + 1u, .off = 64);
	expect_pkt(RC_READ_REQ, .psn = 3, .off = 64, .len = mtu + 1u);
	give(RC_READ_RESP_FIRST, .psn = 3, .n = mtu, .seed = 5, .syndrome = ACK);
	give(RC_READ_RESP_LAST, .psn = 4, .n = 1, .seed = 5, .syndrome = ACK);
	expect_local(64, mtu + 1u, 5);
	expect_sent(SUCCESS);
}

static void receives(uint16_t mtu)
{
	c.attr.path_mtu = mtu;
	c.recv_len = 3u * mtu;
	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = mtu, .seed = 3);
	give(RC_SEND_MIDDLE, .psn = 1, .n = mtu, .seed = 3);
	give(RC_SEND_LAST, .psn = 2, .n = 1, .seed = 3);
	expect_ack(2, 1);
	expect_recv(RECV, .n = 2u * mtu + 1, .seed = 3);
	for (uint32_t i = 0; i < 2u * mtu; i++)
		c.region[i] = (uint8_t)i;
	give(RC_READ_REQ, .psn = 3, .len = mtu + 1u);
	expect_pkt(RC_READ_RESP_FIRST, .psn = 3, .n = mtu, .msn = 2, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_LAST, .psn = 4, .n = 1, .seed = (uint8_t)mtu, .msn = 2, .syndrome = ACK);
	give(RC_SEND_ONLY, .psn = 5, .n = mtu + 4u);
	expect_nak(NAK_INVALID, 5, 2);
}

#define PATH_MTU(n_) \
	LADDER("9.7.3", rc_req, path_mtu_##n_, "path MTU " #n_ ": messages are cut at it") \
	{ \
		sends(n_); \
	} \
	LADDER("C9-92", rc_resp, path_mtu_##n_, "path MTU " #n_ ": packets are as long as it says") \
	{ \
		receives(n_); \
	}

PATH_MTU(256)
PATH_MTU(512)
PATH_MTU(1024)
PATH_MTU(2048)

LADDER("9.7.3", rc_req, path_mtu_4096, "path MTU 4096: messages are cut at it")
{
	sends(4096);
}

LADDER("C9-92", rc_resp, path_mtu_4096, "path MTU 4096: FIRST and LAST are as long as it says")
{
	c.attr.path_mtu = 4096;
	c.recv_len = 8192;
	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = 4096, .seed = 3);
	give(RC_SEND_LAST, .psn = 1, .n = 4096, .seed = 3);
	expect_ack(1, 1);
	expect_recv(RECV, .n = 8192, .seed = 3);
}

/* ----------------------------------------------------------------- IPv6 */

static const uint8_t peer6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };
static const uint8_t own6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static void over_ipv6(void)
{
	c.ip6 = true;
	memcpy(c.attr.av.dgid, peer6, 16);
	memcpy(c.attr.av.dmac, (const uint8_t[]){ 2, 0, 0, 0, 0, 2 }, 6);
	c.attr.av.sgid_index = (uint8_t)phca_net_gid_find(c.l->net, own6);
}

LADDER("A17.4.5", rc_resp, ipv6, "a connection over IPv6: requests are answered")
{
	over_ipv6();
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 33, .seed = 3);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 33, .seed = 3);
	give(RC_SEND_ONLY, .psn = 2, .n = 33);
	expect_nak(NAK_PSN, 1, 1);
}

LADDER("A17.4.5", rc_req, ipv6, "a connection over IPv6: requests are sent, acknowledgements taken")
{
	over_ipv6();
	post(SEND, .n = MTU + 3, .seed = 3);
	expect_pkt(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 3);
	expect_pkt(RC_SEND_LAST, .psn = 1, .n = 3, .seed = 3);
	give(RC_ACK, .psn = 1, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.6.1.2", rc_resp, ipv4_to_an_ipv6_connection,
	"a packet over IPv4 is not from the peer of a connection over IPv6")
{
	over_ipv6();
	recvs(1);
	begin();
	c.ip6 = false;
	give(RC_SEND_ONLY, .psn = 0, .n = 33);
	expect_nothing();
	expect_verdict(PEER, 1);
}

LADDER("9.6.1.2", rc_resp, another_own_address,
	"a packet of the peer to an own address that is not the connection's is dropped")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 33, .to = lab_gid2);
	expect_nothing();
	expect_verdict(PEER, 1);
	give(RC_SEND_ONLY, .psn = 0, .n = 33);
	expect_ack(0, 1);
}

LADDER("9.6.1.2", uc_resp, another_own_address,
	"a packet of the peer to an own address that is not the connection's is dropped")
{
	recvs(1);
	give(UC_SEND_ONLY, .psn = 0, .n = 33, .to = lab_gid2);
	expect_nothing();
	expect_verdict(PEER, 1);
}

LADDER("9.6.1.2", ud_resp, any_own_address, "a datagram may come to any own address")
{
	recvs(1);
	give(UD_SEND_ONLY, .n = 33, .to = lab_gid2);
	expect_recv(RECV, .n = 33);
}

/* ----------------------------------------------------------- congestion */

LADDER("A17.9.3", rc_resp, marked_packet,
	"a packet with a congestion mark is executed, and a CNP goes to its sender")
{
	recvs(2);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .ecn = 3);
	expect_int(cnps(), 1);
	expect_recv(RECV, .n = 8);
	give(RC_SEND_ONLY, .psn = 1, .n = 8, .ecn = 2);
	expect_int(cnps(), 0);
	expect_recv(RECV, .n = 8);
}

LADDER("A17.9.3", rc_resp, cnps_are_bounded,
	"marks that come together are told once in an interval")
{
	recvs(8);
	for (int32_t i = 0; i < 8; i++)
		give(RC_SEND_ONLY, .psn = i, .n = 8, .ecn = 3);
	expect_int(cnps(), 1);
	pass_us(1000);
	recvs(1);
	give(RC_SEND_ONLY, .psn = 8, .n = 8, .ecn = 3);
	expect_int(cnps(), 1);
}

LADDER("A17.9.3", rc_req, cnp_received, "a CNP is no acknowledgement and no error")
{
	post(SEND, .n = 8);
	ignore_sent();
	give(CNP, .psn = 0);
	expect_nothing();
	expect_verdict(CNP, 1);
	expect_state(RTS);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("A17.9.3", uc_resp, marked_packet,
	"a UC packet with a congestion mark is executed, and a CNP goes to its sender")
{
	recvs(1);
	give(UC_SEND_ONLY, .psn = 0, .n = 8, .ecn = 3);
	expect_int(cnps(), 1);
	expect_recv(RECV, .n = 8);
}

LADDER("A17.9.3", rc_resp, cnp_of_another_host, "a CNP that is not from the peer is dropped")
{
	begin();
	give(CNP, .psn = 0, .from = 99);
	expect_nothing();
	expect_verdict(PEER, 1);
}
