/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders: the responder of reliable connection, second part: WRITE, READ,
 * atomics, keys, resources, states (9.4, 9.7.4, 9.7.5).
 */
#include <string.h>

#include "conform.h"

static void goes_on(int32_t psn, uint32_t msn)
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = psn, .n = 7, .seed = 77);
	expect_ack(psn, msn);
	expect_recv(RECV, .n = 7, .seed = 77);
	expect_nothing();
}

static void fill_region(uint32_t n, uint8_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		c.region[i] = (uint8_t)(seed + i);
}

/* The peer's fault: NAK, event, ERR. */
static void refused_at(struct at at, uint8_t code, int32_t psn, uint32_t msn)
{
	const struct wanted w = { .psn = psn, .msn = msn, .syndrome = code };

	expect_pkt_at(at, PHCA_RC_ACK, &w);
	expect_state_at(at, PHCA_QPS_ERR);
	expect_event_at(at, code == NAK_ACCESS ? PHCA_EVENT_QP_ACCESS_ERR : PHCA_EVENT_QP_REQ_ERR);
	expect_silence_at(at);
}
#define refused(code_, psn_, msn_) refused_at(HERE, code_, psn_, msn_)

/* ---------------------------------------------------------------- WRITE */

LADDER("9.4.3", rc_resp, write_only,
	"a WRITE puts its bytes where RETH says, and completes nothing")
{
	begin();
	give(RC_WRITE_ONLY, .psn = 0, .n = 101, .off = 500, .seed = 6);
	expect_ack(0, 1);
	expect_region(500, 101, 6);
	expect_untouched(499, 1);
	expect_untouched(601, 1);
	expect_nothing();
	goes_on(1, 2);
}

LADDER("9.4.3", rc_resp, write_of_three,
	"a WRITE of three packets goes on where the one before ended")
{
	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = 2 * MTU + 1, .off = 8, .seed = 6);
	give(RC_WRITE_MIDDLE, .psn = 1, .n = MTU, .seed = 6);
	give(RC_WRITE_LAST, .psn = 2, .n = 1, .seed = 6);
	expect_ack(2, 1);
	expect_region(8, 2 * MTU + 1, 6);
	expect_untouched(8 + 2 * MTU + 1, 8);
	goes_on(3, 2);
}

LADDER("9.4.3", rc_resp, write_with_immediate,
	"a WRITE with immediate completes a receive with the WRITE's length")
{
	recvs(2);
	give(RC_WRITE_ONLY_IMM, .psn = 0, .n = 10, .imm = 7, .seed = 1);
	expect_ack(0, 1);
	expect_recv(RECV_RDMA_WITH_IMM, .n = 10, .imm = 7);
	expect_region(0, 10, 1);
	give(RC_WRITE_FIRST, .psn = 1, .n = MTU, .len = MTU + 10);
	give(RC_WRITE_LAST_IMM, .psn = 2, .n = 10, .imm = 8);
	expect_ack(2, 2);
	expect_recv(RECV_RDMA_WITH_IMM, .n = MTU + 10, .imm = 8);
	goes_on(3, 3);
}

LADDER("9.7.5.2.8", rc_resp, write_with_immediate_not_ready,
	"a WRITE with immediate that finds no receive gets an RNR NAK")
{
	begin();
	give(RC_WRITE_ONLY_IMM, .psn = 0, .n = 10, .imm = 7);
	expect_rnr(12, 0, 0);
	recvs(1);
	give(RC_WRITE_ONLY_IMM, .psn = 0, .n = 10, .imm = 7, .seed = 2);
	expect_ack(0, 1);
	expect_recv(RECV_RDMA_WITH_IMM, .n = 10, .imm = 7);
	expect_region(0, 10, 2);
}

LADDER("9.7.5.2.8", rc_resp, write_last_not_ready,
	"of a long WRITE with immediate it is the LAST that gets the RNR NAK, and is tried again")
{
	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = MTU + 8, .seed = 2);
	give(RC_WRITE_LAST_IMM, .psn = 1, .n = 8, .imm = 7, .seed = 2);
	expect_rnr(12, 1, 0);
	recvs(1);
	give(RC_WRITE_LAST_IMM, .psn = 1, .n = 8, .imm = 7, .seed = 2);
	expect_ack(1, 1);
	expect_recv(RECV_RDMA_WITH_IMM, .n = MTU + 8, .imm = 7);
	expect_region(0, MTU + 8, 2);
}

LADDER("C9-88", rc_resp, write_of_length_zero,
	"a WRITE of length zero needs no rkey and writes nothing")
{
	recvs(1);
	give(RC_WRITE_ONLY, .psn = 0, .n = 0, .rkey = 0xdead, .va = 1);
	expect_ack(0, 1);
	give(RC_WRITE_ONLY_IMM, .psn = 1, .n = 0, .rkey = 0xdead, .va = 1, .imm = 3);
	expect_ack(1, 2);
	expect_recv(RECV_RDMA_WITH_IMM, .n = 0, .imm = 3);
	expect_untouched(0, 64);
	goes_on(2, 3);
}

LADDER("C9-94", rc_resp, write_longer_than_2_31,
	"a WRITE with a RETH length over 2^31: NAK invalid request")
{
	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = 0x80000001u);
	refused(NAK_INVALID, 0, 0);
}

LADDER("C9-94", rc_resp, write_of_2_31,
	"a RETH length of 2^31 is allowed: only the region refuses it")
{
	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = 0x80000000u);
	refused(NAK_ACCESS, 0, 0);
	expect_untouched(0, MTU);
}

LADDER("9.7.4.1.6", rc_resp, write_only_len0,
	"a WRITE ONLY with payload and a RETH length of 0: NAK invalid request")
{
	begin();
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .len0 = true);
	refused(NAK_INVALID, 0, 0);
	expect_untouched(0, 8);
}

LADDER("9.7.4.1.6", rc_resp, write_last_too_long,
	"a WRITE that goes over RETH's length: NAK invalid request, the rest is not written")
{
	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = MTU + 8);
	give(RC_WRITE_LAST, .psn = 1, .n = 9);
	refused(NAK_INVALID, 1, 0);
	expect_untouched(MTU, 16);
}

LADDER("9.7.4.1.6", rc_resp, write_middle_too_long,
	"a MIDDLE that leaves nothing for the LAST: NAK invalid request")
{
	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = MTU + 8);
	give(RC_WRITE_MIDDLE, .psn = 1, .n = MTU, .seed = 1);
	refused(NAK_INVALID, 1, 0);
	expect_untouched(MTU + 8, 16);
}

/* ----------------------------------------------------------------- keys */

/* One request that its key or address must refuse, for WRITE, READ and atomics alike. */
#define REFUSED(name_, what_, ...) \
	LADDER("9.7.4.1.5", rc_resp, write_##name_, "WRITE, " what_ ": NAK remote access error") \
	{ \
		begin(); \
		give(RC_WRITE_ONLY, .psn = 0, .n = 8, __VA_ARGS__); \
		refused(NAK_ACCESS, 0, 0); \
		expect_untouched(0, REGION); \
	} \
	LADDER("9.7.4.1.5", rc_resp, read_##name_, "READ, " what_ ": NAK remote access error") \
	{ \
		begin(); \
		give(RC_READ_REQ, .psn = 0, .len = 8, __VA_ARGS__); \
		refused(NAK_ACCESS, 0, 0); \
	} \
	LADDER("9.7.4.1.5", rc_resp, atomic_##name_, "atomic, " what_ ": NAK remote access error") \
	{ \
		begin(); \
		give(RC_FETCH_ADD, .psn = 0, .add = 1, __VA_ARGS__); \
		refused(NAK_ACCESS, 0, 0); \
		expect_untouched(0, REGION); \
	}

REFUSED(unknown_rkey, "an rkey that does not exist", .rkey = c.rkey ^ 0x4000)
REFUSED(stale_rkey, "an rkey with another tag", .rkey = c.rkey ^ 1)
REFUSED(local_key, "the key of a region without remote rights", .rkey = c.lkey, .va = (uintptr_t)c.local & ~7ull)
REFUSED(before_the_region, "8 bytes before the region", .va = (uintptr_t)c.region - 8)
REFUSED(behind_the_region, "8 bytes behind the region", .va = (uintptr_t)c.region + REGION)
REFUSED(at_the_end_of_addresses, "the last 8 bytes before 2^64", .va = UINT64_MAX - 7)

LADDER("9.7.4.1.5", rc_resp, write_wraps,
	"a WRITE whose address wraps at 2^64: NAK remote access error")
{
	begin();
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .va = UINT64_MAX - 3);
	refused(NAK_ACCESS, 0, 0);
}

LADDER("9.7.4.1.5", rc_resp, read_wraps,
	"a READ whose address wraps at 2^64: NAK remote access error")
{
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 64, .va = UINT64_MAX - 3);
	refused(NAK_ACCESS, 0, 0);
}

LADDER("9.7.4.1.5", rc_resp, write_over_the_end,
	"a WRITE is checked as a whole with its FIRST: nothing of one that ends outside is written")
{
	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = 2 * MTU, .off = REGION - 2 * MTU + 1, .seed = 1);
	refused(NAK_ACCESS, 0, 0);
	expect_untouched(0, REGION);
}

LADDER("9.7.4.1.5", rc_resp, read_over_the_end,
	"of a READ that ends outside the region nothing is returned")
{
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 2 * MTU, .off = REGION - 2 * MTU + 1);
	refused(NAK_ACCESS, 0, 0);
}

/* A region of the same memory with only some rights. */
static uint32_t region_with(uint32_t access, uint32_t pd)
{
	uint32_t key = 0;

	expect_int(phca_mr_reg(c.l->mem, pd, c.region, REGION, (uintptr_t)c.region, access, &key), 0);
	return key;
}

#define RIGHT(name_, op_, access_, what_, ...) \
	LADDER("9.7.4.1.5", rc_resp, name_, what_ ": NAK remote access error") \
	{ \
		uint32_t key = region_with(access_, c.l->pd); \
\
		begin(); \
		give(op_, .psn = 0, .rkey = key, __VA_ARGS__); \
		refused(NAK_ACCESS, 0, 0); \
		expect_untouched(0, 64); \
		expect_int(phca_mr_dereg(c.l->mem, key), 0); \
	}

RIGHT(write_right, RC_WRITE_ONLY, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC,
	"WRITE to memory that may be read and have atomics", .n = 8)
RIGHT(read_right, RC_READ_REQ, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_ATOMIC,
	"READ of memory that may be written and have atomics", .len = 8)
RIGHT(atomic_right, RC_CMP_SWAP, PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ,
	"atomic on memory that may be written and read", .add = 1)

LADDER("9.7.4.1.5", rc_resp, other_domain,
	"the rkey of another protection domain: NAK remote access error")
{
	uint32_t pd = phca_pd_alloc(c.l->mem);
	uint32_t key = region_with(PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, pd);

	begin();
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .rkey = key);
	refused(NAK_ACCESS, 0, 0);
	expect_untouched(0, 8);
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
	expect_int(phca_pd_free(c.l->mem, pd), 0);
}

LADDER("9.7.4.1.5", rc_resp, region_gone_within_a_write,
	"a region that goes away within a WRITE: NAK remote access error, nothing more is written")
{
	uint32_t key = region_with(PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE, c.l->pd);

	begin();
	give(RC_WRITE_FIRST, .psn = 0, .n = MTU, .len = 2 * MTU, .rkey = key, .seed = 1);
	expect_region(0, MTU, 1);
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
	give(RC_WRITE_LAST, .psn = 1, .n = MTU, .seed = 1);
	refused(NAK_ACCESS, 1, 0);
	expect_untouched(MTU, MTU);
}

/* What the queue pair does not allow is not supported by it, whatever the key allows. */
#define DISABLED(name_, access_, op_, what_, ...) \
	LADDER("9.7.4.1.4", rc_resp, name_, what_ " to a QP that does not allow it: NAK invalid request") \
	{ \
		c.attr.access = access_; \
		begin(); \
		give(op_, .psn = 0, __VA_ARGS__); \
		refused(NAK_INVALID, 0, 0); \
		expect_untouched(0, 64); \
	}

DISABLED(write_disabled, PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_ATOMIC, RC_WRITE_ONLY, "WRITE", .n = 8)
DISABLED(read_disabled, PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_ATOMIC, RC_READ_REQ, "READ", .len = 8)
DISABLED(atomic_disabled, PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ, RC_FETCH_ADD, "atomic", .add = 1)

/* ----------------------------------------------------------------- READ */

LADDER("9.4.4", rc_resp, read_only,
	"a READ of at most a path MTU is one response with AETH, PSN of the request")
{
	fill_region(REGION, 3);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 101, .off = 10);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 0, .n = 101, .seed = 13, .msn = 1, .syndrome = ACK);
	expect_nothing();
	give(RC_READ_REQ, .psn = 1, .len = MTU);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 1, .n = MTU, .seed = 3, .msn = 2, .syndrome = ACK);
	goes_on(2, 3);
}

LADDER("9.7.5.1.1", rc_resp, read_of_three,
	"a READ of three packets takes three PSNs: FIRST, MIDDLE, LAST")
{
	fill_region(REGION, 3);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 2 * MTU + 5);
	expect_pkt(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 3, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_MIDDLE, .psn = 1, .n = MTU, .seed = 3);
	expect_pkt(RC_READ_RESP_LAST, .psn = 2, .n = 5, .seed = 3, .msn = 1, .syndrome = ACK);
	expect_nothing();
	goes_on(3, 2);
}

LADDER("9.7.5.1.1", rc_resp, read_of_two, "a READ of a path MTU and a byte is FIRST and LAST")
{
	fill_region(REGION, 3);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = MTU + 1);
	expect_pkt(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 3, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_LAST, .psn = 1, .n = 1, .seed = 3, .msn = 1, .syndrome = ACK);
	goes_on(2, 2);
}

LADDER("C9-88", rc_resp, read_of_length_zero,
	"a READ of length zero needs no rkey: a response without payload")
{
	begin();
	give(RC_READ_REQ, .psn = 0, .rkey = 0xdead, .va = 1, .len0 = true);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 0, .n = 0, .msn = 1, .syndrome = ACK);
	goes_on(1, 2);
}

LADDER("C9-94", rc_resp, read_longer_than_2_31,
	"a READ of more than 2^31 bytes: NAK invalid request")
{
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 0x80000001u);
	refused(NAK_INVALID, 0, 0);
}

LADDER("9.7.1", rc_resp, read_across_the_wrap, "PSNs of a READ's responses wrap")
{
	fill_region(REGION, 1);
	c.attr.rq_psn = phca_psn(0xfffffe);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 3 * MTU);
	expect_pkt(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_MIDDLE, .psn = 1, .n = MTU, .seed = 1);
	expect_pkt(RC_READ_RESP_LAST, .psn = 2, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	goes_on(3, 2);
}

LADDER("9.5", rc_resp, order_of_responses,
	"responses and acknowledgements leave in the order of the requests")
{
	fill_region(REGION, 1);
	recvs(1);
	c.hold = true;
	give(RC_READ_REQ, .psn = 0, .len = 2 * MTU);
	give(RC_FETCH_ADD, .psn = 2, .off = 8192, .add = 1);
	give(RC_READ_REQ, .psn = 3, .len = MTU);
	give(RC_SEND_ONLY, .psn = 4, .n = 8);
	c.hold = false;
	expect_order(0, 1, 2, 3, 4);
}

LADDER("9.7.5.1.2", rc_resp, read_acknowledges, "a READ's response counts the SENDs before it")
{
	fill_region(REGION, 1);
	recvs(2);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .noack = true);
	give(RC_SEND_ONLY, .psn = 1, .n = 8, .noack = true);
	give(RC_READ_REQ, .psn = 2, .len = 8);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 2, .n = 8, .seed = 1, .msn = 3, .syndrome = ACK);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_read,
	"a duplicate READ is executed again, with the same PSNs; MSN and expected PSN stay")
{
	fill_region(REGION, 1);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = MTU + 8);
	ignore_sent();
	give(RC_SEND_FIRST, .psn = 2, .n = 0, .noack = true, .qpn = 0x999999); /* to nobody */
	fill_region(REGION, 50);
	give(RC_READ_REQ, .psn = 0, .len = MTU + 8);
	expect_pkt(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 50, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_LAST, .psn = 1, .n = 8, .seed = 50, .msn = 1, .syndrome = ACK);
	goes_on(2, 2);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_read_of_the_rest,
	"a duplicate READ may ask for the rest, from where responses were lost")
{
	fill_region(REGION, 1);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 3 * MTU);
	ignore_sent();
	give(RC_READ_REQ, .psn = 1, .len = 2 * MTU, .off = MTU);
	expect_pkt(RC_READ_RESP_FIRST, .psn = 1, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	expect_pkt(RC_READ_RESP_LAST, .psn = 2, .n = MTU, .seed = 1, .msn = 1, .syndrome = ACK);
	goes_on(3, 2);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_read_of_more,
	"a duplicate READ that asks for more than the first one did is not answered")
{
	fill_region(REGION, 1);
	begin();
	give(RC_READ_REQ, .psn = 0, .len = MTU);
	ignore_sent();
	give(RC_READ_REQ, .psn = 0, .len = 3 * MTU);
	expect_no_payload();
	goes_on(1, 2);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_read_elsewhere,
	"a duplicate READ of memory that the key does not cover returns nothing of it")
{
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 64);
	ignore_sent();
	give(RC_READ_REQ, .psn = 0, .len = 64, .va = (uintptr_t)c.region + REGION);
	expect_no_payload();
}

LADDER("9.7.4.1.5", rc_resp, no_responder_resources,
	"a READ to a QP without responder resources: NAK invalid request")
{
	c.attr.max_dest_rd_atomic = 0;
	begin();
	give(RC_READ_REQ, .psn = 0, .len = 8);
	refused(NAK_INVALID, 0, 0);
}

LADDER("9.7.4.1.5", rc_resp, no_responder_resources_for_atomics,
	"an atomic to a QP without responder resources: NAK invalid request")
{
	c.attr.max_dest_rd_atomic = 0;
	begin();
	give(RC_FETCH_ADD, .psn = 0, .add = 1);
	refused(NAK_INVALID, 0, 0);
	expect_untouched(0, 8);
}

LADDER("9.7.4.1.5", rc_resp, as_many_reads_as_resources,
	"as many READs as there are responder resources are answered when they come at once")
{
	fill_region(REGION, 1);
	c.attr.max_dest_rd_atomic = 4;
	begin();
	c.hold = true;
	for (int32_t i = 0; i < 4; i++)
		give(RC_READ_REQ, .psn = i, .len = MTU);
	c.hold = false;
	for (int32_t i = 0; i < 4; i++)
		expect_pkt(RC_READ_RESP_ONLY, .psn = i, .n = MTU, .seed = 1, .msn = (uint32_t)i + 1, .syndrome = ACK);
	goes_on(4, 5);
}

LADDER("9.7.4.1.5", rc_resp, resources_are_used_again,
	"resources of READs that were answered are free again")
{
	fill_region(REGION, 1);
	c.attr.max_dest_rd_atomic = 1;
	begin();
	for (int32_t i = 0; i < 5; i++) {
		give(RC_READ_REQ, .psn = i, .len = 8);
		expect_pkt(RC_READ_RESP_ONLY, .psn = i, .n = 8, .seed = 1, .msn = (uint32_t)i + 1, .syndrome = ACK);
	}
}

/* -------------------------------------------------------------- atomics */

LADDER("9.4.5", rc_resp, fetch_add, "FETCH_ADD returns the value before and adds modulo 2^64")
{
	value_set(64, UINT64_MAX);
	begin();
	give(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 3);
	expect_pkt(RC_ATOMIC_ACK, .psn = 0, .cmp = UINT64_MAX, .msn = 1, .syndrome = ACK);
	expect_value(64, 2);
	expect_nothing();
	goes_on(1, 2);
}

LADDER("9.4.5", rc_resp, cmp_swap_equal, "CMP_SWAP writes when the value is the one compared with")
{
	value_set(64, 0x1122334455667788);
	begin();
	give(RC_CMP_SWAP, .psn = 0, .off = 64, .cmp = 0x1122334455667788, .add = 9);
	expect_pkt(RC_ATOMIC_ACK, .psn = 0, .cmp = 0x1122334455667788, .msn = 1, .syndrome = ACK);
	expect_value(64, 9);
}

LADDER("9.4.5", rc_resp, cmp_swap_different,
	"CMP_SWAP of another value writes nothing and returns it")
{
	value_set(64, 0x1122334455667788);
	begin();
	give(RC_CMP_SWAP, .psn = 0, .off = 64, .cmp = 0x1122334455667789, .add = 9);
	expect_pkt(RC_ATOMIC_ACK, .psn = 0, .cmp = 0x1122334455667788, .msn = 1, .syndrome = ACK);
	expect_value(64, 0x1122334455667788);
}

LADDER("9.4.5", rc_resp, atomic_unaligned,
	"an atomic to an address that is no multiple of 8: NAK invalid request")
{
	begin();
	give(RC_FETCH_ADD, .psn = 0, .off = 4, .add = 1);
	refused(NAK_INVALID, 0, 0);
	expect_untouched(0, 16);
}

LADDER("9.4.5", rc_resp, atomic_on_unaligned_memory,
	"an atomic whose address is right, but not its memory, is refused: NAK invalid request")
{
	uint32_t key;

	begin();
	expect_int(phca_mr_reg(c.l->mem, c.l->pd, c.region + 4, 64, 0x1000,
		PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_ATOMIC, &key), 0);
	give(RC_FETCH_ADD, .psn = 0, .va = 0x1000, .rkey = key, .add = 1);
	refused(NAK_INVALID, 0, 0);
	expect_untouched(0, 16);
	expect_int(phca_mr_dereg(c.l->mem, key), 0);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_atomic,
	"a duplicate atomic is answered from the record, and not executed again")
{
	value_set(64, 100);
	begin();
	give(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 1);
	expect_pkt(RC_ATOMIC_ACK, .psn = 0, .cmp = 100, .msn = 1, .syndrome = ACK);
	give(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 1);
	expect_pkt(RC_ATOMIC_ACK, .psn = 0, .cmp = 100, .msn = 1, .syndrome = ACK);
	expect_value(64, 101);
	goes_on(1, 2);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_atomics_in_order,
	"as many atomics are on record as there are responder resources")
{
	begin();
	for (int32_t i = 0; i < 4; i++) {
		give(RC_FETCH_ADD, .psn = i, .off = 64, .add = 10);
		expect_pkt(RC_ATOMIC_ACK, .psn = i, .cmp = 10 * (uint64_t)i, .msn = (uint32_t)i + 1, .syndrome = ACK);
	}
	for (int32_t i = 0; i < 4; i++) {
		give(RC_FETCH_ADD, .psn = i, .off = 64, .add = 10);
		expect_pkt(RC_ATOMIC_ACK, .psn = i, .cmp = 10 * (uint64_t)i, .any_msn = true, .syndrome = ACK);
	}
	expect_value(64, 40);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_atomic_forgotten,
	"a duplicate atomic older than the record is dropped, and not executed")
{
	c.attr.max_dest_rd_atomic = 1;
	begin();
	for (int32_t i = 0; i < 3; i++)
		give(RC_FETCH_ADD, .psn = i, .off = 64, .add = 1);
	ignore_sent();
	give(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 1);
	expect_silence();
	expect_value(64, 3);
	goes_on(3, 4);
}

LADDER("9.7.5.1.3", rc_resp, duplicate_atomic_that_was_none,
	"an atomic with the PSN of another request is dropped, and not executed")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	give(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 1);
	expect_no_payload();
	expect_value(64, 0);
	expect_recv(RECV, .n = 8);
	goes_on(1, 2);
}

LADDER("9.4.5", rc_resp, atomic_ahead, "an atomic ahead is not executed")
{
	begin();
	give(RC_FETCH_ADD, .psn = 1, .off = 64, .add = 1);
	expect_nak(NAK_PSN, 0, 0);
	expect_value(64, 0);
}

/* ---------------------------------------------------- other validation */

LADDER("9.7.6.1", rc_resp, ghost_acknowledgements,
	"acknowledgements and responses to nothing are dropped")
{
	begin();
	give(RC_ACK, .psn = 0, .syndrome = ACK, .msn = 1);
	give(RC_ACK, .psn = -1, .syndrome = NAK_PSN);
	give(RC_ACK, .psn = 5, .syndrome = NAK_ACCESS);
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .syndrome = ACK);
	give(RC_ATOMIC_ACK, .psn = 0, .syndrome = ACK);
	expect_nothing();
	expect_state(RTS);
	goes_on(0, 1);
}

LADDER("9.6.1.1", rc_resp, p_key, "a P_Key of another partition drops the packet, without NAK")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .pkey = 0x8123);
	expect_nothing();
	expect_verdict(PKEY, 1);
	goes_on(0, 1);
}

LADDER("9.6.1.2", rc_resp, packet_of_another_host,
	"a packet that is not from the connected peer is dropped, without NAK")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 5, .n = 8, .from = 99);
	expect_nothing();
	expect_verdict(PEER, 1);
	goes_on(0, 1);
}

LADDER("9.6.1.1", rc_resp, opcodes_of_other_transports,
	"UC and UD packets for an RC QP are dropped, without NAK")
{
	recvs(1);
	give(UC_SEND_ONLY, .psn = 0, .n = 8);
	give(UD_SEND_ONLY, .psn = 0, .n = 8);
	expect_nothing();
	expect_verdict(QP_TRANSPORT, 2);
	goes_on(0, 1);
}

LADDER("A17.3.3", rc_resp, wrong_icrc, "a wrong invariant CRC drops the packet, without NAK")
{
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .bad_icrc = true);
	expect_nothing();
	expect_verdict(ICRC, 1);
	goes_on(0, 1);
}

LADDER("9.2.3", rc_resp, migreq_either_way, "MigReq 0 and 1 are accepted")
{
	recvs(2);
	give(RC_SEND_ONLY, .psn = 0, .n = 8, .migreq0 = true);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8);
	give(RC_SEND_ONLY, .psn = 1, .n = 8);
	expect_ack(1, 2);
	expect_recv(RECV, .n = 8);
}

/* --------------------------------------------------------------- states */

LADDER("10.3.1.2", rc_resp, init_drops, "in INIT requests are dropped, without NAK")
{
	c.attr.state = PHCA_QPS_INIT;
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_nothing();
	expect_verdict(QP_STATE, 1);
}

LADDER("10.3.1.3", rc_resp, rtr_answers,
	"in RTR requests are executed and answered; the event says that the peer talks")
{
	fill_region(16, 1);
	c.attr.state = PHCA_QPS_RTR;
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8);
	expect_event(COMM_EST);
	give(RC_READ_REQ, .psn = 1, .len = 8);
	expect_pkt(RC_READ_RESP_ONLY, .psn = 1, .n = 8, .seed = 1, .msn = 2, .syndrome = ACK);
	expect_no_event();
}

LADDER("10.3.1.5", rc_resp, sqd_answers, "in SQD requests are executed and answered")
{
	recvs(1);
	expect_int(modify(PHCA_QPS_SQD, 0), 0);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8);
}

LADDER("10.3.1.7", rc_resp, error_is_silent,
	"in ERR receives are flushed in order and requests dropped, without NAK")
{
	recvs(3);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_flushed(3, 0);
	give(RC_SEND_LAST, .psn = 1, .n = 8);
	give(RC_READ_REQ, .psn = 2, .len = 8);
	expect_nothing();
}

LADDER("10.3.1.1", rc_resp, reset_forgets,
	"RESET forgets PSN, MSN, records and the message in progress")
{
	recvs(1);
	give(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 1);
	give(RC_SEND_FIRST, .psn = 1, .n = MTU);
	ignore_sent();
	expect_int(modify(PHCA_QPS_RESET, 0), 0);
	c.nb_recv = c.nb_recv_done = 0;
	c.attr.rq_psn = phca_psn(0x777777);
	expect_int(modify(PHCA_QPS_INIT, PHCA_QP_PKEY | PHCA_QP_ACCESS), 0);
	expect_int(modify(PHCA_QPS_RTR, PHCA_QP_AV | PHCA_QP_PATH_MTU | PHCA_QP_DEST_QPN | PHCA_QP_RQ_PSN |
		PHCA_QP_MAX_DEST_RD_ATOMIC | PHCA_QP_MIN_RNR_TIMER), 0);
	goes_on(0, 1);
	give(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 1);
	expect_no_payload();
	expect_value(64, 1);
}

LADDER("11.6.3.5", rc_resp, cq_overrun,
	"a SEND whose completion finds no room is not acknowledged; CQ and QP are in error")
{
	struct phca_wc wc[8];
	int done;

	c.one_cq_entry = true; /* at least */
	recvs(8);
	for (int32_t i = 0; i < 8; i++)
		give(RC_SEND_ONLY, .psn = i, .n = 8);
	expect_event(CQ_ERR);
	expect_state(ERR);
	done = phca_poll_cq(c.rcq, 8, wc);
	expect_int(done > 0 && done < 8, 1);
	expect_no_ack_of(done);
}

LADDER("10.2.9.5", rc_resp, srq_limit, "the SRQ's limit event comes with RC messages too")
{
	c.with_srq = true;
	c.srq_limit = 1;
	recvs(1);
	give(RC_SEND_ONLY, .psn = 0, .n = 8);
	expect_ack(0, 1);
	expect_event(SRQ_LIMIT);
}

LADDER("11.6.3.2", rc_resp, last_wqe_reached,
	"a QP with an SRQ in ERR says that it takes no more receives")
{
	c.with_srq = true;
	recvs(2);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_event(QP_FATAL);
	expect_event(LAST_WQE);
	expect_no_event();
	expect_no_completion();
}

/* ------------------------------------------------------------ invalidate */

LADDER("9.4.1.1", rc_resp, invalidate_a_region,
	"SEND with invalidate of what is no window of the QP: not completed with success, ERR")
{
	struct phca_wc wc = { .status = PHCA_WC_WR_FLUSH_ERR };

	recvs(1);
	give(RC_SEND_ONLY_INV, .psn = 0, .n = 8, .inv = c.rkey);
	turns(3);
	ignore_sent();
	expect_state(ERR);
	expect_int(phca_poll_cq(c.rcq, 1, &wc), 1);
	expect_int(wc.status != PHCA_WC_SUCCESS, 1);
}
