/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What an offload written in eBPF sees and may do: the header that its authors include.
 *
 * An offload of the driver bpf is one C function in section PHCA_OFFLOAD_PROGRAM. It is
 * called on the proxy lcore, once for each request that a rule gave to the offload:
 *
 *   #include "phca_offload_ctx.h"
 *
 *   PHCA_OFFLOAD_PROGRAM
 *   int pong(struct phca_offload_ctx *ctx)
 *   {
 *           if (ctx->opcode != PHCA_CTX_OP_SEND || ctx->len > 8)
 *                   return PHCA_PASS_ON;                 // the application gets it
 *           phca_reply(ctx, "pong", 4, 0);               // a SEND back to the peer
 *           return PHCA_DONE;                            // the application never knows
 *   }
 *
 * Compile with: clang -O2 -g -mcpu=v2 -target bpf -ffreestanding -c
 * doc/offload-bpf.md is the author's guide.
 */
#ifndef PHCA_OFFLOAD_CTX_H
#define PHCA_OFFLOAD_CTX_H

#include "phca_filter_ctx.h"

/*
 * What a program returns. With children issued for the request, done takes effect when all
 * of them are over; the first one that fails gives the request its status.
 */
#define PHCA_PASS_ON 0 /**< carry it out as if no rule had matched; not after children were issued */
#define PHCA_DONE    1 /**< over, with success: an inbound one is consumed, a posted one completes */
#define PHCA_DELIVER 2 /**< inbound SEND: the application receives the outgoing message in its place */
#define PHCA_AGAIN   3 /**< call me again for it in the next turn; not after children were issued */
/** Over, with an error: PHCA_STATUS_*; the queue pair goes to the error state. */
#define PHCA_DONE_STATUS(status) (0x100 | (status))

/** Statuses for PHCA_DONE_STATUS, numbered as enum ibv_wc_status. */
#define PHCA_STATUS_LOC_LEN_ERR     1  /**< local length error */
#define PHCA_STATUS_LOC_QP_OP_ERR   2  /**< local QP operation error */
#define PHCA_STATUS_LOC_PROT_ERR    4  /**< local protection error */
#define PHCA_STATUS_LOC_ACCESS_ERR  8  /**< local access error */
#define PHCA_STATUS_REM_INV_REQ_ERR 9  /**< remote invalid request */
#define PHCA_STATUS_REM_ACCESS_ERR  10 /**< remote access error */
#define PHCA_STATUS_REM_OP_ERR      11 /**< remote operation error */
#define PHCA_STATUS_REM_ABORT_ERR   16 /**< remote aborted */

#define PHCA_SELF UINT32_MAX /**< as a place to issue children: the queue pair of the request */
#define PHCA_OFFLOAD_PEERS_MAX 64 /**< queue pairs of its own that an offload may have */

/* Flags of children, 64 bits. */
#define PHCA_C_OUT       1 /**< payload: the outgoing message; else the request's own payload */
#define PHCA_C_SOLICITED 2 /**< solicited event */
#define PHCA_C_FENCE     4 /**< behind earlier READs and atomics of that queue pair */
#define PHCA_C_IMM_FLAG  8 /**< with immediate data: see PHCA_C_IMM */
#define PHCA_C_TOLERANT  16 /**< the request does not fail when this child does */
/** With immediate data, network byte order as ctx->imm. */
#define PHCA_C_IMM(imm) (PHCA_C_IMM_FLAG | (uint64_t)(imm) << 32)

/** One request. 192 bytes; read only. Numbers are in host byte order but imm and what is in payload. */
struct phca_offload_ctx {
	uint8_t direction;      /**< PHCA_CTX_SEND or PHCA_CTX_INBOUND */
	uint8_t transport;      /**< PHCA_CTX_RC, _UC, _UD */
	uint8_t opcode;         /**< PHCA_CTX_OP_* */
	uint8_t bth_opcode;     /**< inbound: BTH opcode of the first packet; else 0 */
	uint16_t flags;         /**< PHCA_CTX_F_IMM, _INV, _SOLICITED, _SIGNALED, _FENCE, _INLINE, _IP6 */
	uint8_t num_sge;        /**< posted: scatter/gather elements; else 0 */
	uint8_t nb_peers;       /**< queue pairs of its own that the offload has */
	uint32_t qpn;           /**< this queue pair's number */
	uint32_t peer_qpn;      /**< UD: the peer's queue pair number; else 0 */
	uint32_t len;           /**< bytes of the whole message; inbound READ, atomics: of the answer */
	uint32_t imm;           /**< immediate data, network byte order */
	uint64_t va;            /**< RDMA and atomics: remote address */
	uint32_t rkey;          /**< RDMA and atomics: remote key */
	uint32_t payload_len;   /**< bytes valid in payload, 0..PHCA_CTX_PAYLOAD */
	uint64_t wr_id;         /**< posted: the application's id; else 0 */
	uint64_t compare;       /**< inbound compare-and-swap: compare operand */
	uint64_t swap_add;      /**< inbound atomics: swap or add operand */
	uint64_t now_ns;        /**< the proxy lcore's clock, one value a turn */
	uint32_t from_peer;     /**< it came to a queue pair of the offload's own: which; else PHCA_SELF */
	uint32_t children_free; /**< children that can be issued now, when none fails */
	uint64_t peers_ready;   /**< bit i: children can be issued on peer i */
	uint32_t calls;         /**< 0; 1, 2, ... when it returned PHCA_AGAIN before */
	uint32_t rsvd;          /**< zero */
	uint8_t sgid[16];       /**< inbound: source address as GID (::ffff:a.b.c.d for IPv4); else 0 */
	uint8_t dgid[16];       /**< inbound: destination address as GID; else 0 */
	uint8_t payload[PHCA_CTX_PAYLOAD]; /**< first bytes of payload, zero behind payload_len */
};
_Static_assert(sizeof(struct phca_offload_ctx) == 192, "offload context is ABI");

#ifdef __bpf__
#define PHCA_OFFLOAD_PROGRAM SEC("phca/offload") /**< marks the function that is the program */
/** How a helper is declared: a call of it becomes a call of this number. */
#define PHCA_HELPER(number) __attribute__((unused)) = (void *)(number)

/*
 * Helpers give 0, or more where it says so; or a negative errno: -22 an argument, or this is no
 * such request; -13 the key, its rights or the bounds refuse; -12 nothing free now; -7 too long,
 * or the budget is used up, and then the request fails whatever the program returns; -107 the
 * queue pair is not connected or in error; -2 no such peer.
 */

/** Copy payload of the request from @p offset; what is behind its end is zero. @return bytes copied */
static long (*phca_payload_read)(void *ctx, uint32_t offset, void *buf, uint64_t len) PHCA_HELPER(1001);
/** Posted READs and atomics: write to the buffers that the application gave, from @p offset on. */
static long (*phca_sge_write)(void *ctx, uint32_t offset, const void *buf, uint64_t len) PHCA_HELPER(1002);
/**
 * Read the application's memory. @p key: of an inbound request as if the peer had sent an RDMA READ
 * with this rkey; of a posted one as if it stood in an SGE of the request (lkey). @p buf is zero on error.
 */
static long (*phca_mem_read)(void *ctx, uint64_t va, uint32_t key, void *buf, uint64_t len) PHCA_HELPER(1003);
/** Write to it, as phca_mem_read; the rights are those of an RDMA WRITE, or local write. */
static long (*phca_mem_write)(void *ctx, uint64_t va, uint32_t key, const void *buf, uint64_t len)
		PHCA_HELPER(1004);
/**
 * Inbound READ: part of its answer, without a gap, all of it before PHCA_DONE. Atomic: the value
 * before, 8 bytes; the memory is left alone. Nothing said: PHCA_DONE executes it.
 */
static long (*phca_answer)(void *ctx, uint32_t offset, const void *buf, uint64_t len) PHCA_HELPER(1005);
/** Inbound READ: as phca_answer, bytes of the application's memory, as phca_mem_read. */
static long (*phca_answer_mem)(void *ctx, uint32_t offset, uint64_t va, uint32_t key, uint32_t len)
		PHCA_HELPER(1006);
/**
 * Write to the outgoing message, which is as long as what was written, without gaps, up to the
 * setting message_bytes. Children with PHCA_C_OUT and PHCA_DELIVER have it as payload. After a child
 * took it, the next write begins another one.
 */
static long (*phca_out)(void *ctx, uint32_t offset, const void *buf, uint64_t len) PHCA_HELPER(1007);
/** The same with bytes of the application's memory, as phca_mem_read. */
static long (*phca_out_mem)(void *ctx, uint32_t offset, uint64_t va, uint32_t key, uint32_t len)
		PHCA_HELPER(1008);
/** The same with payload of the request, from @p from on; all of @p len must be there. */
static long (*phca_out_payload)(void *ctx, uint32_t offset, uint32_t from, uint32_t len) PHCA_HELPER(1009);
/** SEND up to 256 bytes to the peer of this queue pair. @p flags: PHCA_C_* but PHCA_C_OUT */
static long (*phca_reply)(void *ctx, const void *buf, uint64_t len, uint64_t flags) PHCA_HELPER(1010);
/** SEND the request's own payload, or with PHCA_C_OUT the outgoing message. @p where: a peer, or PHCA_SELF */
static long (*phca_child_send)(void *ctx, uint32_t where, uint64_t flags) PHCA_HELPER(1011);
/** RDMA WRITE it to the peer's memory. Otherwise as phca_child_send. */
static long (*phca_child_write)(void *ctx, uint32_t where, uint64_t va, uint32_t rkey, uint64_t flags)
		PHCA_HELPER(1012);
/** Issue a posted request as it is: its operation, remote address, immediate data, payload. */
static long (*phca_child_same)(void *ctx, uint32_t where) PHCA_HELPER(1013);

/** SEND bytes of the application's memory to the peer of this queue pair. */
static __always_inline long phca_reply_mem(void *ctx, uint64_t va, uint32_t key, uint32_t len, uint64_t flags)
{
	long rc = phca_out_mem(ctx, 0, va, key, len);

	return rc < 0 ? rc : phca_child_send(ctx, PHCA_SELF, flags | PHCA_C_OUT);
}
#endif

#endif
