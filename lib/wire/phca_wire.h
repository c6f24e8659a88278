/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * RoCEv2 on the wire: opcodes, headers, PSN arithmetic, iCRC, parse and build.
 *
 * A RoCEv2 packet is
 *
 *   Ethernet [VLAN] IPv4|IPv6 UDP:4791 BTH [extended headers] payload pad iCRC
 *
 * BTH is the Base Transport Header; its opcode says which extended headers
 * follow, and one row of phca_opcode_table holds everything the opcode implies.
 * The parser reads a frame once into a 32-byte record, struct phca_pkt; all
 * later stages use the record and the opcode's row, never the raw bytes of a
 * header that was not checked.
 *
 * All functions are pure: no state, no allocation, any thread, no EAL needed.
 * Sources: IBTA Architecture Specification volume 1 (chapter 9, "Transport
 * layer") and its annexes A16 (RoCE) and A17 (RoCEv2).
 */
#ifndef PHCA_WIRE_H
#define PHCA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_UDP_PORT 4791     /**< RoCEv2's UDP destination port (A17) */
#define PHCA_ICRC_LEN 4        /**< bytes of the invariant CRC */
#define PHCA_CNPRES_LEN 16     /**< reserved bytes that follow BTH in a CNP (A17) */
#define PHCA_GRH_LEN 40        /**< bytes before the payload of a UD receive */
#define PHCA_QPN_MAX 0xffffffu /**< queue pair numbers have 24 bits */
#define PHCA_QPN_MULTICAST 0xffffffu /**< destination QP of multicast (9.2.6) */
#define PHCA_PKEY_DEFAULT 0xffffu    /**< default partition, full member (10.9) */
#define PHCA_MTU_MIN 256             /**< smallest path MTU, bytes of payload */
#define PHCA_MTU_MAX 4096            /**< largest path MTU, bytes of payload */
#define PHCA_MSG_MAX (1u << 31)      /**< longest message, bytes (9.7.7) */

/**
 * What became of a received packet. Every packet ends with exactly one; the
 * counters "verdict.<name>" of a port add up to the packets it received.
 * X(ENUM, name, what it means). PHCA_V_OK is never a final verdict: the parser
 * returns it for a packet that goes on.
 */
#define PHCA_VERDICTS(X) \
	/* the end of a packet that was used */ \
	X(OK, "ok", "parsed, on its way") \
	X(DIRECT, "direct", "executed by the HCA lcore") \
	X(OFFLOADED, "offloaded", "part of a request handed to the proxy lcore") \
	X(ACK, "ack", "RC: acknowledgement or response to a request that is outstanding (9.7.5)") \
	X(DUPLICATE, "duplicate", "RC: request received before; acknowledged or answered again (9.7.5.1.2)") \
	X(CNP, "cnp", "congestion notification for a queue pair (A17.9.3)") \
	X(ARP, "arp", "ARP, answered or learnt from") \
	X(NDP, "ndp", "IPv6 neighbour discovery, answered or learnt from") \
	X(ICMP_ECHO, "icmp_echo", "ICMP or ICMPv6 echo request, answered") \
	X(GROUP_QUERY, "group_query", "IGMP or MLD query; the port's multicast groups are reported") \
	/* not RoCEv2, or not for this port */ \
	X(NOT_ROCE, "not_roce", "some other traffic; ignored") \
	X(NOT_OURS, "not_ours", "destination MAC, VLAN or IP address is not the port's") \
	/* the frame */ \
	X(ETH_SHORT, "eth_short", "frame shorter than its Ethernet or VLAN header") \
	X(SEGMENTED, "segmented", "frame in several buffers that could not be made one") \
	/* IPv4 */ \
	X(IP4_SHORT, "ip4_short", "frame shorter than an IPv4 header") \
	X(IP4_VERSION, "ip4_version", "EtherType IPv4, but version is not 4") \
	X(IP4_OPTIONS, "ip4_options", "IPv4 options; RoCEv2 forbids them (A17)") \
	X(IP4_FRAGMENT, "ip4_fragment", "IPv4 fragment") \
	X(IP4_LENGTH, "ip4_length", "IPv4 header or total length disagrees with the frame") \
	X(IP4_CHECKSUM, "ip4_checksum", "IPv4 header checksum is wrong") \
	/* IPv6 */ \
	X(IP6_SHORT, "ip6_short", "frame shorter than an IPv6 header") \
	X(IP6_VERSION, "ip6_version", "EtherType IPv6, but version is not 6") \
	X(IP6_LENGTH, "ip6_length", "IPv6 payload length disagrees with the frame") \
	X(IP6_EXT, "ip6_ext", "IPv6 extension header before UDP; not supported") \
	/* UDP */ \
	X(UDP_LENGTH, "udp_length", "UDP length disagrees with the IP length") \
	X(UDP_CHECKSUM, "udp_checksum", "UDP checksum is wrong") \
	/* BTH and what follows */ \
	X(BTH_SHORT, "bth_short", "no room for BTH and iCRC") \
	X(BTH_VERSION, "bth_version", "transport header version is not 0 (9.2.4)") \
	X(OPCODE, "opcode", "reserved opcode (9.2.1)") \
	X(TRANSPORT, "transport", "opcode of a transport that is not supported (RD, XRC)") \
	X(EXT_SHORT, "ext_short", "no room for the opcode's extended headers") \
	X(PAD, "pad", "pad count larger than the payload, not making it a multiple of 4, or not 0 where it must be") \
	X(ICRC, "icrc", "invariant CRC is wrong (9.3, A17)") \
	/* the responder's checks, in their order (9.6) */ \
	X(QPN, "qpn", "no such queue pair (9.6.1.1)") \
	X(QP_TRANSPORT, "qp_transport", "opcode is not of the queue pair's transport (9.6.1.1.3)") \
	X(QP_STATE, "qp_state", "queue pair is not ready to receive (10.3.1)") \
	X(PKEY, "pkey", "partition key does not match (9.6.1.1.3)") \
	X(QKEY, "qkey", "queue key does not match (9.6.1.4)") \
	X(PEER, "peer", "addresses are not those of the connection: its peer's, and its own here (9.6.1.2)") \
	X(MCAST, "mcast", "multicast packet without a member here, or QP and address disagree (9.6.1.1)") \
	X(HANDOFF_FULL, "handoff_full", "ring to the HCA lcore of the queue pair is full") \
	X(PSN, "psn", "UC: packet of a message with a gap in its PSNs (9.8.2.2); RC: ahead of the expected one") \
	X(STALE, "stale", "RC: acknowledgement or response to nothing that is outstanding (9.7.7.2)") \
	X(BAD_RESPONSE, "bad_response", "RC: response that does not fit its request (9.9.2.4)") \
	X(RD_ATOMIC, "rd_atomic", "RC: more READs and atomics than max_dest_rd_atomic (9.7.4.1.5)") \
	X(ALIGN, "align", "RC: atomic to an address that is no multiple of 8 (9.7.4.1.4)") \
	X(RNR, "rnr", "RC: not ready to receive; RNR NAK sent, or owed to the sender's next try (9.7.5.2.8)") \
	X(SEQUENCE, "sequence", "opcode does not continue the message before it (9.8.2.2.2)") \
	X(LENGTH, "length", "length does not fit opcode, MTU, message or buffer (9.8.2.2.4)") \
	X(RKEY, "rkey", "rkey, bounds or access rights refuse the request (9.8.2.2.5)") \
	X(NO_RECV, "no_recv", "receive queue empty; message dropped (9.8.2.2.6)") \
	X(RECV_WQE, "recv_wqe", "the receive work request is invalid") \
	X(CQ_FULL, "cq_full", "completion queue overrun; queue pair to error") \
	/* proxy queue pairs */ \
	X(PROXY_RING_FULL, "proxy_ring_full", \
		"ring to the proxy lcore is full; UC, UD: message dropped, RC: not accepted") \
	X(PROXY_WINDOW_FULL, "proxy_window_full", \
		"completion window of the QP is full; UC, UD: message dropped, RC: not accepted") \
	X(PROXY_TOO_LONG, "proxy_too_long", \
		"offloaded message, or all of them, or those that wait for receives, hold more packets " \
		"than allowed; dropped, RC: not accepted, or refused") \
	X(PROXY_ORDER, "proxy_order", \
		"has to stay behind requests that the proxy has, and cannot go there; UC, UD: message dropped, " \
		"RC: not accepted") \
	X(ABORTED, "aborted", "held for a message that did not finish (gap, reset or destroy)")

/** Verdicts; see PHCA_VERDICTS. */
enum phca_verdict {
#define PHCA_V_ENUM(e, n, h) PHCA_V_##e,
	PHCA_VERDICTS(PHCA_V_ENUM)
#undef PHCA_V_ENUM
	PHCA_V_COUNT /**< how many verdicts there are */
};

/** @return the verdict's counter name, "?" when out of range. */
const char *phca_verdict_str(enum phca_verdict v);
/** @return one line that says what the verdict means, "?" when out of range. */
const char *phca_verdict_help(enum phca_verdict v);

/** Transport services: bits 7-5 of the opcode (9.2.1). */
enum phca_transport {
	PHCA_TRANSPORT_RC = 0,  /**< reliable connection */
	PHCA_TRANSPORT_UC = 1,  /**< unreliable connection */
	PHCA_TRANSPORT_RD = 2,  /**< reliable datagram; not supported */
	PHCA_TRANSPORT_UD = 3,  /**< unreliable datagram */
	PHCA_TRANSPORT_CNP = 4, /**< congestion notification packet (A17) */
	PHCA_TRANSPORT_XRC = 5, /**< extended RC; not supported */
};
/** @return "RC", "UC", ..., "?" when out of range. */
const char *phca_transport_str(enum phca_transport t);

/** Operations: what an opcode does, whichever packet of a message it is. */
enum phca_op {
	PHCA_OP_SEND, PHCA_OP_WRITE, PHCA_OP_READ_REQ, PHCA_OP_READ_RESP,
	PHCA_OP_ACK, PHCA_OP_ATOMIC_ACK, PHCA_OP_CMP_SWAP, PHCA_OP_FETCH_ADD,
	PHCA_OP_CNP,
	PHCA_OP_COUNT
};
/** @return "SEND", "WRITE", ..., "?" when out of range. */
const char *phca_op_str(enum phca_op op);

/** BTH opcodes (9.2.1, table 38). */
enum phca_opcode {
	PHCA_RC_SEND_FIRST = 0x00, PHCA_RC_SEND_MIDDLE, PHCA_RC_SEND_LAST,
	PHCA_RC_SEND_LAST_IMM, PHCA_RC_SEND_ONLY, PHCA_RC_SEND_ONLY_IMM,
	PHCA_RC_WRITE_FIRST, PHCA_RC_WRITE_MIDDLE, PHCA_RC_WRITE_LAST,
	PHCA_RC_WRITE_LAST_IMM, PHCA_RC_WRITE_ONLY, PHCA_RC_WRITE_ONLY_IMM,
	PHCA_RC_READ_REQ, PHCA_RC_READ_RESP_FIRST, PHCA_RC_READ_RESP_MIDDLE,
	PHCA_RC_READ_RESP_LAST, PHCA_RC_READ_RESP_ONLY, PHCA_RC_ACK,
	PHCA_RC_ATOMIC_ACK, PHCA_RC_CMP_SWAP, PHCA_RC_FETCH_ADD,
	PHCA_RC_SEND_LAST_INV = 0x16, PHCA_RC_SEND_ONLY_INV = 0x17,
	PHCA_UC_SEND_FIRST = 0x20, PHCA_UC_SEND_MIDDLE, PHCA_UC_SEND_LAST,
	PHCA_UC_SEND_LAST_IMM, PHCA_UC_SEND_ONLY, PHCA_UC_SEND_ONLY_IMM,
	PHCA_UC_WRITE_FIRST, PHCA_UC_WRITE_MIDDLE, PHCA_UC_WRITE_LAST,
	PHCA_UC_WRITE_LAST_IMM, PHCA_UC_WRITE_ONLY, PHCA_UC_WRITE_ONLY_IMM,
	PHCA_UD_SEND_ONLY = 0x64, PHCA_UD_SEND_ONLY_IMM = 0x65,
	PHCA_CNP = 0x81,
};

/** Extended headers, in the order in which they follow BTH. */
enum phca_hdr {
	PHCA_HDR_DETH, PHCA_HDR_RETH, PHCA_HDR_ATOMICETH, PHCA_HDR_AETH,
	PHCA_HDR_ATOMICACKETH, PHCA_HDR_IMMDT, PHCA_HDR_IETH, PHCA_HDR_CNPRES,
	PHCA_HDR_COUNT
};

/** Flags of an opcode's row. */
#define PHCA_OPF_FIRST   0x01 /**< starts a message */
#define PHCA_OPF_LAST    0x02 /**< ends a message; ONLY has FIRST and LAST */
#define PHCA_OPF_REQUEST 0x04 /**< goes to the responder */
#define PHCA_OPF_ACK     0x08 /**< goes to the requester */
#define PHCA_OPF_PAYLOAD 0x10 /**< may carry payload */
#define PHCA_OPF_IMM     0x20 /**< carries immediate data */
#define PHCA_OPF_INV     0x40 /**< carries an rkey to invalidate */
#define PHCA_OPF_RECV    0x80 /**< consumes a receive work request when it ends */

/** Everything that an opcode implies. One row an opcode, const. */
struct phca_opcode_info {
	const char *name;   /**< "UC_SEND_ONLY_IMM"; NULL: reserved opcode */
	uint8_t transport;  /**< enum phca_transport */
	uint8_t op;         /**< enum phca_op */
	uint8_t flags;      /**< PHCA_OPF_* */
	uint8_t hdrs;       /**< bit (1 << enum phca_hdr) for each extended header */
	uint8_t hdr_len;    /**< bytes of BTH and all extended headers */
	uint8_t off[PHCA_HDR_COUNT]; /**< offset from BTH, 0 when absent */
};
/** The table, indexed by BTH opcode. */
extern const struct phca_opcode_info phca_opcode_table[256];

/** A packet sequence number: 24 bits. A struct, so that it does not mix. */
struct phca_psn { uint32_t v; };
#define PHCA_PSN_MASK 0xffffffu
/** @return the PSN of the low 24 bits of @p v. */
static inline struct phca_psn phca_psn(uint32_t v)
{
	return (struct phca_psn){ v & PHCA_PSN_MASK };
}
/** @return @p p advanced by @p n packets, modulo 2^24. */
static inline struct phca_psn phca_psn_add(struct phca_psn p, uint32_t n)
{
	return phca_psn(p.v + n);
}
/**
 * Distance from @p b to @p a on the circle of 2^24 (9.7.1).
 * @return -2^23 .. 2^23-1: negative when a is before b, 0 when equal.
 */
static inline int32_t phca_psn_diff(struct phca_psn a, struct phca_psn b)
{
	return (int32_t)((a.v - b.v) << 8) >> 8;
}

/** Wire layouts: byte arrays only, so that nothing is read unswapped. */
struct phca_bth { uint8_t opcode, flags, pkey[2], fecn_becn, dqpn[3], ackreq, psn[3]; };
struct phca_deth { uint8_t qkey[4], rsvd, sqpn[3]; };
struct phca_reth { uint8_t va[8], rkey[4], len[4]; };
struct phca_aeth { uint8_t syndrome, msn[3]; };
struct phca_atomiceth { uint8_t va[8], rkey[4], swap_add[8], cmp[8]; };
struct phca_atomicacketh { uint8_t orig[8]; };
struct phca_immdt { uint8_t imm[4]; };
struct phca_ieth { uint8_t rkey[4]; };
_Static_assert(sizeof(struct phca_bth) == 12, "BTH");
_Static_assert(sizeof(struct phca_atomiceth) == 28, "AtomicETH");

/** AETH syndromes (9.3.3.1, tables 45 to 47): what kind in the upper bits, its value in the lower five. */
#define PHCA_AETH_KIND      0xe0 /**< mask of the kind */
#define PHCA_AETH_VALUE     0x1f /**< mask of the value */
#define PHCA_AETH_ACK       0x00 /**< ACK; value: credits */
#define PHCA_AETH_RNR       0x20 /**< RNR NAK; value: code of the timer (9.7.5.2.8) */
#define PHCA_AETH_NAK       0x60 /**< NAK; value: why */
#define PHCA_AETH_NO_CREDIT 0x1f /**< ACK: no end-to-end flow control (9.7.7.2.2) */
#define PHCA_NAK_SEQ        (PHCA_AETH_NAK | 0) /**< PSN sequence error */
#define PHCA_NAK_INV_REQ    (PHCA_AETH_NAK | 1) /**< invalid request */
#define PHCA_NAK_REM_ACCESS (PHCA_AETH_NAK | 2) /**< remote access error */
#define PHCA_NAK_REM_OP     (PHCA_AETH_NAK | 3) /**< remote operational error */

/** Read and write big-endian numbers of 2, 3, 4 and 8 bytes. */
static inline uint16_t phca_get16(const uint8_t p[2]) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t phca_get24(const uint8_t p[3]) { return (uint32_t)p[0] << 16 | p[1] << 8 | p[2]; }
static inline uint32_t phca_get32(const uint8_t p[4]) { return (uint32_t)p[0] << 24 | phca_get24(p + 1); }
static inline uint64_t phca_get64(const uint8_t p[8]) { return (uint64_t)phca_get32(p) << 32 | phca_get32(p + 4); }
static inline void phca_put16(uint8_t p[2], uint16_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }
static inline void phca_put24(uint8_t p[3], uint32_t v) { p[0] = (uint8_t)(v >> 16); phca_put16(p + 1, (uint16_t)v); }
static inline void phca_put32(uint8_t p[4], uint32_t v) { p[0] = (uint8_t)(v >> 24); phca_put24(p + 1, v); }
static inline void phca_put64(uint8_t p[8], uint64_t v)
{
	phca_put32(p, (uint32_t)(v >> 32));
	phca_put32(p + 4, (uint32_t)v);
}

/** Flags of struct phca_pkt. */
#define PHCA_PKT_IP6       0x01 /**< IPv6; else IPv4 */
#define PHCA_PKT_VLAN      0x02 /**< vlan_tci is valid */
#define PHCA_PKT_SOLICITED 0x04 /**< BTH SE */
#define PHCA_PKT_MIGREQ    0x08 /**< BTH MigReq */
#define PHCA_PKT_ACKREQ    0x10 /**< BTH AckReq */
#define PHCA_PKT_FECN      0x20 /**< BTH FECN */
#define PHCA_PKT_BECN      0x40 /**< BTH BECN */
#define PHCA_PKT_MULTICAST 0x80 /**< destination IP address is multicast */

/** ECN field, the lower two bits of struct phca_pkt.tclass (RFC 3168). */
#define PHCA_ECN_MASK 0x03
#define PHCA_ECN_ECT0 0x02 /**< the sender takes part in congestion control */
#define PHCA_ECN_CE   0x03 /**< a switch on the way was congested */

/** A parsed RoCEv2 packet: half a cache line, host byte order. */
struct phca_pkt {
	uint32_t dqpn;        /**< destination queue pair, 24 bits */
	struct phca_psn psn;  /**< packet sequence number */
	uint8_t opcode;       /**< BTH opcode; its row exists and is supported */
	uint8_t flags;        /**< PHCA_PKT_* */
	uint16_t pkey;        /**< partition key */
	uint16_t l3_off;      /**< offset of the IP header in the frame, bytes */
	uint16_t bth_off;     /**< offset of BTH in the frame, bytes */
	uint16_t payload_off; /**< offset of the payload in the frame, bytes */
	uint16_t payload_len; /**< payload without pad and iCRC, bytes */
	uint16_t vlan_tci;    /**< VLAN tag, when PHCA_PKT_VLAN */
	uint8_t tclass;       /**< IPv4 TOS or IPv6 traffic class: DSCP << 2 | ECN */
	uint8_t pad;          /**< pad bytes, 0..3 */
	uint16_t udp_sport;   /**< UDP source port */
	uint16_t rsvd[3];      /**< zero */
};
_Static_assert(sizeof(struct phca_pkt) == 32, "half a cache line");

#define PHCA_PARSE_ICRC     0x01 /**< check the iCRC */
#define PHCA_PARSE_UDP_CSUM 0x02 /**< check a UDP checksum that is not zero */

/**
 * Parse one frame, checking everything that needs no queue pair.
 *
 * IP length may be shorter than the frame (Ethernet padding), never longer.
 * Non-RoCE frames (other EtherType, protocol, UDP port) give NOT_ROCE with
 * flags, l3_off and vlan_tci of @p pkt set as far as they were read. One 802.1Q
 * tag is read, VID 0 (a priority tag) too; frames with more are NOT_ROCE.
 * Payload behind an opcode that carries none is LENGTH. A reserved opcode is
 * OPCODE; since RC answers it (9.7.4.1.3), @p pkt is valid then when its opcode has
 * no row, but for payload and pad, which are 0.
 *
 * @param frame  the frame from its destination MAC address, without FCS
 * @param len    its length, 0..65535 bytes
 * @param opts   PHCA_PARSE_*
 * @param pkt    written; valid when PHCA_V_OK is returned
 * @return PHCA_V_OK, NOT_ROCE, or the verdict that names what is wrong
 */
enum phca_verdict phca_wire_parse(const void *frame, uint32_t len,
		unsigned int opts, struct phca_pkt *pkt);

/** @return the packet's extended header @p h; NULL when its opcode has none. */
static inline const void *phca_pkt_hdr(const void *frame, const struct phca_pkt *pkt, enum phca_hdr h)
{
	uint8_t off = phca_opcode_table[pkt->opcode].off[h];

	return off ? (const uint8_t *)frame + pkt->bth_off + off : NULL;
}

/**
 * The invariant CRC of a RoCEv2 packet (9.3.1, A17.3.3): all fields that
 * routers may change count as ones, seeded with eight bytes of ones.
 *
 * @param l3      the IP header; UDP and BTH follow it without options
 * @param l3_len  bytes from the IP header up to, not including, the iCRC
 * @param ip6     whether it is IPv6
 * @return the CRC as a number; on the wire least significant byte first
 */
uint32_t phca_wire_icrc(const void *l3, uint32_t l3_len, bool ip6);

/** What payload adds to the invariant CRC of a packet, whatever the headers are. */
struct phca_wire_crc {
	uint32_t crc;   /**< of the bytes and their pad */
	uint32_t shift; /**< what so many bytes make of the CRC of those before; 0: nothing is known */
};
/**
 * Know the CRC of payload that goes into several packets: it is computed once.
 * @param len  bytes, without pad; the whole payload of a packet
 */
struct phca_wire_crc phca_wire_payload_crc(const void *payload, uint32_t len);
/**
 * phca_wire_icrc without looking at the payload.
 * @param hdr_len  bytes from the IP header up to the payload
 * @param known    of the payload
 */
uint32_t phca_wire_icrc_known(const void *l3, uint32_t hdr_len, bool ip6, struct phca_wire_crc known);

/** @return whether a GID is an IPv4 address, ::ffff:a.b.c.d (A17.4.5.2). */
static inline bool phca_gid_is_ip4(const uint8_t gid[16])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	return memcmp(gid, mapped, sizeof(mapped)) == 0;
}
/** Make the GID of an IPv4 address of 4 bytes, network order: ::ffff:a.b.c.d. */
static inline void phca_gid_from_ip4(uint8_t gid[16], const void *ip4)
{
	memset(gid, 0, 10);
	gid[10] = gid[11] = 0xff;
	memcpy(gid + 12, ip4, 4);
}
/** The addresses of a parsed packet: source and destination as GIDs. */
static inline void phca_pkt_gids(const void *frame, const struct phca_pkt *pkt, uint8_t sgid[16], uint8_t dgid[16])
{
	const uint8_t *ip = (const uint8_t *)frame + pkt->l3_off;

	if (pkt->flags & PHCA_PKT_IP6) {
		memcpy(sgid, ip + 8, 16);
		memcpy(dgid, ip + 24, 16);
	} else {
		phca_gid_from_ip4(sgid, ip + 12);
		phca_gid_from_ip4(dgid, ip + 16);
	}
}
/** @return whether a GID is a group's: IPv4 224.0.0.0/4, IPv6 ff00::/8. */
static inline bool phca_gid_is_multicast(const uint8_t gid[16])
{
	return phca_gid_is_ip4(gid) ? (gid[12] & 0xf0) == 0xe0 : gid[0] == 0xff;
}

/** What phca_wire_build needs to know. Addresses in network byte order. */
struct phca_wire_hdr {
	uint8_t dmac[6], smac[6];  /**< Ethernet addresses */
	bool vlan;                 /**< whether to put a VLAN tag */
	bool ip6;                  /**< IPv6; else IPv4, addresses as ::ffff:a.b.c.d */
	uint16_t vlan_tci;         /**< tag: PCP, DEI, VID */
	uint8_t sgid[16], dgid[16];/**< source and destination GID */
	uint8_t tclass, hop_limit; /**< TOS or traffic class; TTL or hop limit */
	uint32_t flow_label;       /**< IPv6 only, 20 bits */
	uint16_t udp_sport;        /**< UDP source port, 0xc000..0xffff by A17 */
	uint16_t pkey;             /**< partition key */
	uint8_t opcode;            /**< enum phca_opcode */
	bool solicited, ackreq, migreq; /**< BTH SE, AckReq, MigReq */
	uint32_t dqpn;             /**< destination queue pair */
	struct phca_psn psn;       /**< packet sequence number */
	/* extended headers: those of the opcode are used */
	uint32_t qkey, sqpn;       /**< DETH */
	uint64_t va;               /**< RETH, AtomicETH */
	uint32_t rkey, dma_len;    /**< RETH (rkey also AtomicETH) */
	uint64_t swap_add, cmp;    /**< AtomicETH; cmp is AtomicAckETH's original */
	uint8_t syndrome;          /**< AETH */
	uint32_t msn;              /**< AETH */
	uint32_t imm;              /**< ImmDt, network byte order as verbs has it */
	uint32_t inv_rkey;         /**< IETH */
};

/** Longest header phca_wire_build writes: Ethernet, VLAN, IPv6, UDP, BTH, AtomicETH. */
#define PHCA_WIRE_HDR_MAX (14 + 4 + 40 + 8 + 12 + 28)

/** @return bytes of all headers before the payload for @p h. */
uint32_t phca_wire_hdr_len(const struct phca_wire_hdr *h);

/**
 * Write all headers of a packet. The caller puts the payload behind them and
 * then calls phca_wire_finish.
 *
 * IPv4: do not fragment, identification 0, checksum set. UDP checksum 0, over
 * IPv6 too (RFC 6936 lets a protocol that checks its own packets). BECN is set
 * in a CNP, FECN never.
 *
 * @param frame        room for phca_wire_hdr_len(h) bytes
 * @param h            what to write; its opcode must have a row
 * @param payload_len  bytes of payload, 0..PHCA_MTU_MAX
 * @return bytes written
 */
uint32_t phca_wire_build(void *frame, const struct phca_wire_hdr *h, uint32_t payload_len);

/**
 * Pad the payload with zeros and append the iCRC.
 *
 * @param frame        what phca_wire_build wrote, payload in place; room for
 *                     3 bytes of pad and PHCA_ICRC_LEN behind the payload
 * @param h            as given to phca_wire_build
 * @param payload_len  as given to phca_wire_build
 * @return length of the whole frame
 */
uint32_t phca_wire_finish(void *frame, const struct phca_wire_hdr *h, uint32_t payload_len);

/** As phca_wire_finish, of payload for which phca_wire_payload_crc gave @p known. */
uint32_t phca_wire_finish_known(void *frame, const struct phca_wire_hdr *h, uint32_t payload_len,
		struct phca_wire_crc known);

/**
 * @return RFC 1071 checksum of @p len bytes, folded, not complemented, @p sum
 * (any 32-bit number) added; as a host number: of the bytes 12 34 it is 0x1234.
 */
uint16_t phca_wire_csum(const void *data, uint32_t len, uint32_t sum);

#ifdef __cplusplus
}
#endif
#endif
