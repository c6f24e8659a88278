/* SPDX-License-Identifier: BSD-3-Clause */
/* Ladders: memory windows as a peer sees them, and the WRs that bind and invalidate them (10.6.7, 9.4.1.1). */
#include <errno.h>

#include "conform.h"

#define WRITE PHCA_ACCESS_REMOTE_WRITE
#define READ PHCA_ACCESS_REMOTE_READ

/* A window onto the region's bytes 256..511, bound by the queue pair. Its new rkey has the tag 0x55. */
static uint32_t window(enum phca_mw_type type, uint32_t access)
{
	uint32_t first;

	begin();
	expect_int(phca_mw_alloc(c.l->mem, c.l->pd, type, &first), 0);
	post(BIND_MW, .off = 256, .n = 256, .rkey = first, .swap = (first & ~0xffu) | 0x55, .add = access);
	expect_sent(SUCCESS);
	expect_silence();
	return (first & ~0xffu) | 0x55;
}

static void gone(uint32_t rkey)
{
	expect_int(phca_mw_dealloc(c.l->mem, rkey), 0);
}

static void reconnected_is_not_needed(uint32_t rkey)
{
	expect_state(RTS);
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .off = 256, .rkey = rkey, .seed = 1);
	expect_ack(0, 1);
	expect_region(256, 8, 1);
}

#define WINDOW(name_, type_, what_) \
	LADDER("10.6.7.2", rc_resp, name_, what_) \
	{ \
		uint32_t rkey = window(type_, WRITE | READ); \
\
		reconnected_is_not_needed(rkey); \
		give(RC_READ_REQ, .psn = 1, .len = 8, .off = 256, .rkey = rkey); \
		expect_pkt(RC_READ_RESP_ONLY, .psn = 1, .n = 8, .seed = 1, .msn = 2, .syndrome = ACK); \
		gone(rkey); \
	}

WINDOW(type_1_window, PHCA_MW_TYPE_1, "a window of type 1 that was bound lets the peer write and read")
WINDOW(type_2_window, PHCA_MW_TYPE_2, "a window of type 2 that was bound lets the peer write and read")

/* What a window does not show. */
#define HIDDEN(name_, access_, op_, what_, ...) \
	LADDER("10.6.7.2", rc_resp, name_, what_ ": NAK remote access error") \
	{ \
		uint32_t rkey = window(PHCA_MW_TYPE_2, access_); \
\
		give(op_, .psn = 0, .rkey = rkey, __VA_ARGS__); \
		expect_nak(NAK_ACCESS, 0, 0); \
		expect_untouched(0, 1024); \
		expect_state(ERR); \
		gone(rkey); \
	}

HIDDEN(window_begins_later, WRITE, RC_WRITE_ONLY, "a WRITE that begins in front of the window", .off = 255, .n = 8)
HIDDEN(window_ends_earlier, WRITE, RC_WRITE_ONLY, "a WRITE that ends behind the window", .off = 505, .n = 8)
HIDDEN(window_not_writable, READ, RC_WRITE_ONLY, "a WRITE through a window for READs", .off = 256, .n = 8)
HIDDEN(window_not_readable, WRITE, RC_READ_REQ, "a READ through a window for WRITEs", .off = 256, .len = 8)
HIDDEN(window_not_atomic, WRITE | READ, RC_FETCH_ADD,
	"an atomic through a window for WRITEs and READs", .off = 256, .add = 1)

LADDER("10.6.7.2", rc_resp, window_not_bound,
	"the first rkey of a window gives no access: NAK remote access error")
{
	uint32_t first;

	begin();
	expect_int(phca_mw_alloc(c.l->mem, c.l->pd, PHCA_MW_TYPE_1, &first), 0);
	give(RC_WRITE_ONLY, .psn = 0, .rkey = first, .off = 256, .n = 8);
	expect_nak(NAK_ACCESS, 0, 0);
	expect_untouched(0, 1024);
	gone(first);
}

LADDER("10.6.7.2.3", rc_resp, window_of_another_queue_pair,
	"a type 2 window is only for the queue pair that bound it")
{
	struct phca_mw_bind b = { .length = 256, .access = WRITE };

	begin();
	expect_int(phca_mw_alloc(c.l->mem, c.l->pd, PHCA_MW_TYPE_2, &b.rkey), 0);
	b.addr = (uintptr_t)c.region;
	b.new_rkey = b.rkey ^ 1;
	b.mr_key = c.rkey;
	b.pd = c.l->pd;
	b.qpn = c.qpn + 1;
	expect_int(phca_mw_bind(c.l->mem, &b), PHCA_MEM_OK);
	give(RC_WRITE_ONLY, .psn = 0, .rkey = b.new_rkey, .n = 8);
	expect_nak(NAK_ACCESS, 0, 0);
	expect_untouched(0, 256);
	gone(b.new_rkey);
}

LADDER("10.6.7.2", rc_resp, window_bound_again,
	"a type 1 window that is bound again: the old rkey gives no access")
{
	uint32_t rkey = window(PHCA_MW_TYPE_1, WRITE);

	post(BIND_MW, .off = 512, .n = 256, .rkey = rkey, .swap = rkey ^ 0xff, .add = WRITE);
	expect_sent(SUCCESS);
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .off = 512, .rkey = rkey ^ 0xff, .seed = 1);
	expect_ack(0, 1);
	expect_region(512, 8, 1);
	give(RC_WRITE_ONLY, .psn = 1, .n = 8, .off = 256, .rkey = rkey);
	expect_nak(NAK_ACCESS, 1, 1);
	expect_untouched(256, 8);
	gone(rkey ^ 0xff);
}

LADDER("9.4.1.1", rc_resp, send_with_invalidate,
	"SEND with invalidate: the completion names the rkey, which gives no access any more")
{
	uint32_t rkey = window(PHCA_MW_TYPE_2, WRITE);

	recvs(1);
	reconnected_is_not_needed(rkey);
	give(RC_SEND_ONLY_INV, .psn = 1, .n = 8, .inv = rkey, .seed = 3);
	expect_ack(1, 2);
	expect_recv(RECV, .n = 8, .inv = rkey, .seed = 3);
	give(RC_WRITE_ONLY, .psn = 2, .n = 8, .off = 264, .rkey = rkey);
	expect_nak(NAK_ACCESS, 2, 2);
	expect_untouched(264, 8);
	gone(rkey);
}

LADDER("9.4.1.1", rc_resp, long_send_with_invalidate,
	"of a long SEND it is the LAST that invalidates")
{
	uint32_t rkey = window(PHCA_MW_TYPE_2, WRITE);

	recvs(1);
	give(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 3);
	give(RC_SEND_LAST_INV, .psn = 1, .n = 8, .inv = rkey, .seed = 3);
	expect_ack(1, 1);
	expect_recv(RECV, .n = MTU + 8, .inv = rkey, .seed = 3);
	give(RC_READ_REQ, .psn = 2, .len = 8, .off = 256, .rkey = rkey);
	expect_nak(NAK_ACCESS, 2, 1);
	gone(rkey);
}

LADDER("9.4.1.1", rc_resp, duplicate_send_with_invalidate,
	"a duplicate SEND with invalidate is acknowledged, and invalidates nothing")
{
	uint32_t rkey = window(PHCA_MW_TYPE_2, WRITE);

	recvs(1);
	give(RC_SEND_ONLY_INV, .psn = 0, .n = 8, .inv = rkey);
	expect_ack(0, 1);
	expect_recv(RECV, .n = 8, .inv = rkey);
	give(RC_SEND_ONLY_INV, .psn = 0, .n = 8, .inv = rkey);
	expect_ack(0, 1);
	expect_nothing();
	expect_state(RTS);
	gone(rkey);
}

LADDER("9.4.1.1", rc_resp, invalidate_a_type_1_window,
	"SEND with invalidate of a type 1 window is refused: it stays bound, ERR")
{
	uint32_t rkey = window(PHCA_MW_TYPE_1, WRITE);
	struct phca_wc wc = { .status = PHCA_WC_SUCCESS };

	recvs(1);
	give(RC_SEND_ONLY_INV, .psn = 0, .n = 8, .inv = rkey);
	ignore_sent();
	expect_state(ERR);
	expect_int(phca_poll_cq(c.rcq, 1, &wc), 1);
	expect_int(wc.status != PHCA_WC_SUCCESS, 1);
	gone(rkey);
}

LADDER("10.6.7.3", rc_req, local_invalidate,
	"LOCAL_INV: from its completion on the rkey gives no access")
{
	uint32_t rkey = window(PHCA_MW_TYPE_2, WRITE);

	post(LOCAL_INV, .inv = rkey);
	expect_sent(SUCCESS);
	expect_silence();
	give(RC_WRITE_ONLY, .psn = 0, .n = 8, .off = 256, .rkey = rkey);
	expect_nak(NAK_ACCESS, 0, 0);
	expect_untouched(256, 8);
	gone(rkey);
}

LADDER("10.6.7.3", rc_req, local_invalidate_of_a_region,
	"LOCAL_INV of a region's key fails; what is behind it is flushed")
{
	post(LOCAL_INV, .inv = c.rkey);
	post(SEND, .n = 4);
	expect_sent_in_error();
	expect_flushed(0, 1);
	expect_silence();
	expect_state(ERR);
}

LADDER("10.8.3.3", rc_req, bind_is_in_order, "a bind behind a SEND completes behind it")
{
	uint32_t first;

	begin();
	expect_int(phca_mw_alloc(c.l->mem, c.l->pd, PHCA_MW_TYPE_2, &first), 0);
	post(SEND, .n = 4);
	post(BIND_MW, .n = 256, .rkey = first, .swap = first ^ 1, .add = WRITE);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	expect_no_completion();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	gone(first ^ 1);
}

/* A bind that must be refused. */
static void bind_refused(uint32_t lkey, uint64_t off, uint32_t n, uint32_t access)
{
	uint32_t first;

	begin();
	expect_int(phca_mw_alloc(c.l->mem, c.l->pd, PHCA_MW_TYPE_2, &first), 0);
	post(BIND_MW, .off = off, .n = n, .rkey = first, .swap = first ^ 1, .add = access, .lkey = lkey);
	post(SEND, .n = 4);
	expect_sent(MW_BIND_ERR);
	expect_flushed(0, 1);
	expect_silence();
	expect_state(ERR);
	gone(first);
}

LADDER("10.6.7.2", rc_req, bind_refused_behind_a_send,
	"what is posted behind a bind that fails is not sent, also while a SEND before it is waited for")
{
	post(SEND, .n = 4);
	post(BIND_MW, .n = 64, .rkey = 0xdead00, .swap = 0xdead01, .add = WRITE);
	post(SEND, .n = 5);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	expect_nothing();
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(MW_BIND_ERR);
	expect_flushed(0, 1);
	expect_silence();
}

LADDER("10.6.7.2", rc_req, bind_over_the_end, "a bind of more than the region has: MW_BIND_ERR")
{
	bind_refused(0, REGION - 8, 9, WRITE);
}

LADDER("10.6.7.2", rc_req, bind_of_unknown_region,
	"a bind to a region that does not exist: MW_BIND_ERR")
{
	bind_refused(c.rkey ^ 0x4000, 0, 64, WRITE);
}

LADDER("10.6.7.2", rc_req, bind_not_allowed,
	"a bind to a region that allows no windows: MW_BIND_ERR")
{
	bind_refused(c.lkey, 0, 64, READ);
}

LADDER("10.6.7.2", rc_req, bind_of_a_bound_window,
	"a type 2 window that is bound cannot be bound again: MW_BIND_ERR")
{
	uint32_t rkey = window(PHCA_MW_TYPE_2, WRITE);

	post(BIND_MW, .n = 64, .rkey = rkey, .swap = rkey ^ 0xff, .add = WRITE);
	expect_sent(MW_BIND_ERR);
	expect_state(ERR);
	gone(rkey);
}

LADDER("10.6.7.2", rc_req, bind_to_another_index,
	"a bind whose new rkey is another window's: MW_BIND_ERR")
{
	uint32_t first;

	begin();
	expect_int(phca_mw_alloc(c.l->mem, c.l->pd, PHCA_MW_TYPE_2, &first), 0);
	post(BIND_MW, .n = 64, .rkey = first, .swap = first ^ 0x100, .add = WRITE);
	expect_sent(MW_BIND_ERR);
	gone(first);
}

LADDER("10.6.7.2.5", rc_req, region_with_windows,
	"a region with windows bound to it is not deregistered")
{
	uint32_t rkey = window(PHCA_MW_TYPE_2, WRITE);

	expect_int(phca_mr_dereg(c.l->mem, c.rkey), -EBUSY);
	reconnected_is_not_needed(rkey);
	gone(rkey);
}

LADDER("10.6.7.2", uc_resp, window, "a window of type 1 lets a UC peer write, inside of it")
{
	struct phca_mw_bind b = { .length = 256, .access = WRITE };

	begin();
	expect_int(phca_mw_alloc(c.l->mem, c.l->pd, PHCA_MW_TYPE_1, &b.rkey), 0);
	b.addr = (uintptr_t)c.region + 256;
	b.new_rkey = b.rkey ^ 1;
	b.mr_key = c.rkey;
	b.pd = c.l->pd;
	expect_int(phca_mw_bind(c.l->mem, &b), PHCA_MEM_OK);
	give(UC_WRITE_ONLY, .psn = 1, .n = 8, .off = 256, .rkey = b.new_rkey, .seed = 1);
	expect_region(256, 8, 1);
	give(UC_WRITE_ONLY, .psn = 2, .n = 8, .off = 512, .rkey = b.new_rkey, .seed = 1);
	expect_untouched(512, 8);
	expect_verdict(RKEY, 1);
	gone(b.new_rkey);
}
