/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wal_mirror: the write-ahead log of a database goes to two machines.
 *
 * Posted WRITEs and SENDs are sent to the peer of their queue pair, as the application
 * meant it, and to peer 0 of the offload. They complete when both have acknowledged; when
 * either fails, the request fails. READs, atomics and WRITEs to memory that is not in map
 * logs go on unchanged.
 *
 * Parameters:
 *   alone    bool: while the mirror is not there, go on without it (default false: fail).
 *            `unmirrored` counts those
 *
 * Maps:
 *   logs     hash, rkey of the log at the peer -> {va=..., mirror=..., rkey=..., rsvd=0}: its
 *            address there; address and rkey of the copy at the mirror
 *
 * Globals: mirrored, unmirrored.
 */
#include <stdbool.h>

#include "phca_offload_ctx.h"

const volatile bool alone = false;

uint64_t mirrored, unmirrored;

struct log { uint64_t va, mirror; uint32_t rkey, rsvd; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, uint32_t);
	__type(value, struct log);
} logs SEC(".maps");

PHCA_OFFLOAD_PROGRAM
int wal_mirror(struct phca_offload_ctx *ctx)
{
	uint32_t rkey = ctx->rkey, to_key = 0;
	uint64_t to = 0, flags = 0;
	struct log *l;
	long rc;

	if (ctx->direction != PHCA_CTX_SEND || ctx->opcode > PHCA_CTX_OP_WRITE)
		return PHCA_PASS_ON;
	if (ctx->opcode == PHCA_CTX_OP_WRITE) {
		l = bpf_map_lookup_elem(&logs, &rkey);
		if (!l)
			return PHCA_PASS_ON;
		to = l->mirror + (ctx->va - l->va);
		to_key = l->rkey;
	}
	if (!(ctx->peers_ready & 1)) {
		if (!alone)
			return PHCA_DONE_STATUS(PHCA_STATUS_REM_ABORT_ERR);
		unmirrored++;
		return PHCA_PASS_ON;
	}
	if (ctx->children_free < 2)
		return PHCA_AGAIN;
	if (phca_child_same(ctx, PHCA_SELF) < 0)
		return PHCA_DONE_STATUS(PHCA_STATUS_LOC_QP_OP_ERR);
	if (ctx->flags & PHCA_CTX_F_IMM)
		flags = PHCA_C_IMM(ctx->imm);
	if (ctx->opcode == PHCA_CTX_OP_WRITE)
		rc = phca_child_write(ctx, 0, to, to_key, flags);
	else
		rc = phca_child_send(ctx, 0, flags);
	if (rc < 0)
		return PHCA_DONE_STATUS(PHCA_STATUS_REM_ABORT_ERR);
	mirrored++;
	return PHCA_DONE;
}
