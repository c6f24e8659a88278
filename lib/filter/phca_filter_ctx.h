/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a proxyhca filter sees: the header that filter authors include.
 *
 * A filter is one C function in section PHCA_FILTER over a read-only context:
 *
 *   #include "phca_filter_ctx.h"
 *
 *   const volatile uint32_t min_len = 4096;       // set from JSON by name
 *
 *   PHCA_FILTER
 *   int by_size(const struct phca_filter_ctx *ctx)
 *   {
 *           return ctx->msg_len >= min_len ? PHCA_OFFLOAD : PHCA_PASS;
 *   }
 *
 * Compile with: clang -O2 -g -mcpu=v2 -target bpf -ffreestanding -c
 * It is called once for each work request: for a posted one when the HCA
 * fetches it, for an inbound one on the first packet of its message. All
 * fields are in host byte order unless they say otherwise.
 * doc/filters.md is the author's guide.
 */
#ifndef PHCA_FILTER_CTX_H
#define PHCA_FILTER_CTX_H

#include <stdint.h>

/** Return values of a filter. Any other counts as PHCA_PASS and "bad_return". */
#define PHCA_PASS    0 /**< not this rule: the next one, in the end direct */
#define PHCA_OFFLOAD 1 /**< to the proxy CPU, by this rule's offload */
/** To the proxy CPU, by the offload of rule @p n (0..15) of the proxy QP. */
#define PHCA_OFFLOAD_RULE(n) (0x100 | (n))

/** ctx->direction */
#define PHCA_CTX_SEND    0 /**< a posted send work request */
#define PHCA_CTX_INBOUND 1 /**< a request from the network */

/** ctx->transport */
#define PHCA_CTX_RC 0
#define PHCA_CTX_UC 1
#define PHCA_CTX_UD 3

/** ctx->opcode: the operation, whichever packet carries it */
#define PHCA_CTX_OP_SEND      0
#define PHCA_CTX_OP_WRITE     1
#define PHCA_CTX_OP_READ      2
#define PHCA_CTX_OP_CMP_SWAP  6
#define PHCA_CTX_OP_FETCH_ADD 7

/** ctx->flags */
#define PHCA_CTX_F_IMM       0x01 /**< imm is valid */
#define PHCA_CTX_F_INV       0x02 /**< imm is an rkey to invalidate */
#define PHCA_CTX_F_SOLICITED 0x04 /**< solicited event asked for */
#define PHCA_CTX_F_SIGNALED  0x08 /**< send WR: a completion is asked for */
#define PHCA_CTX_F_FENCE     0x10 /**< send WR: fence */
#define PHCA_CTX_F_INLINE    0x20 /**< send WR: data was inline */
#define PHCA_CTX_F_IP6       0x40 /**< addresses are IPv6, else IPv4-mapped */
#define PHCA_CTX_F_LEN_PART  0x80 /**< inbound multi-packet SEND: msg_len is
                                   *   that of the first packet; the total is
                                   *   not known yet */
#define PHCA_CTX_F_MULTICAST 0x100 /**< destination is a multicast address */

#define PHCA_CTX_PAYLOAD 64 /**< bytes of payload that a filter can see */

/** The context of one work request. 192 bytes; read only. */
struct phca_filter_ctx {
	uint8_t direction;    /**< PHCA_CTX_SEND or PHCA_CTX_INBOUND */
	uint8_t transport;    /**< PHCA_CTX_RC, _UC, _UD */
	uint8_t opcode;       /**< PHCA_CTX_OP_* */
	uint8_t bth_opcode;   /**< inbound: BTH opcode of the first packet; else 0 */
	uint16_t flags;       /**< PHCA_CTX_F_* */
	uint16_t port;        /**< DPDK port it came from or goes to */
	uint32_t qpn;         /**< this queue pair's number */
	uint32_t peer_qpn;    /**< the peer's queue pair number; inbound UD: source QP */
	uint32_t msg_len;     /**< bytes of the message; see PHCA_CTX_F_LEN_PART */
	uint32_t imm;         /**< immediate data, network byte order */
	uint64_t remote_addr; /**< RDMA and atomics: remote virtual address */
	uint32_t rkey;        /**< RDMA and atomics: remote key */
	uint32_t qkey;        /**< UD: queue key */
	uint16_t pkey;        /**< partition key */
	uint8_t dscp;         /**< differentiated services code point, 0..63 */
	uint8_t num_sge;      /**< send WR: scatter/gather elements; else 0 */
	uint32_t payload_len; /**< bytes valid in payload, 0..PHCA_CTX_PAYLOAD */
	uint64_t wr_id;       /**< send WR: the application's id; else 0 */
	uint64_t compare;     /**< compare-and-swap: compare operand */
	uint64_t swap_add;    /**< atomics: swap or add operand */
	uint8_t sgid[16];     /**< source address as GID (::ffff:a.b.c.d for IPv4) */
	uint8_t dgid[16];     /**< destination address as GID */
	uint64_t rsvd[3];     /**< zero */
	uint8_t payload[PHCA_CTX_PAYLOAD]; /**< first bytes of payload, zero behind payload_len */
};
_Static_assert(sizeof(struct phca_filter_ctx) == 192, "filter context is ABI");

#ifdef __bpf__
/** What libbpf's bpf_helpers.h has, for the helpers that proxyhca offers. */
#define SEC(name) __attribute__((section(name), used))
#define PHCA_FILTER SEC("phca/filter")
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __always_inline inline __attribute__((always_inline))

enum { /* map types, numbered as in <linux/bpf.h> */
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LPM_TRIE = 11,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
#define BPF_F_NO_PREALLOC 1U

/** Key of an LPM trie map: prefix length in bits, then the address. */
struct phca_lpm_key { uint32_t prefixlen; uint8_t addr[16]; };

/** @return pointer to the value of @p key in @p map, or NULL: check it. */
static void *(*bpf_map_lookup_elem)(void *map, const void *key) __attribute__((unused)) = (void *)1;
/** @return 0, or negative errno (full, exists, does not exist). */
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, uint64_t flags)
		__attribute__((unused)) = (void *)2;
/** @return nanoseconds of the HCA lcore's clock, one value a turn. */
static uint64_t (*bpf_ktime_get_ns)(void) __attribute__((unused)) = (void *)5;
/** @return a pseudo-random number, seeded per lcore. */
static uint32_t (*bpf_get_prandom_u32)(void) __attribute__((unused)) = (void *)7;
#endif

#endif
