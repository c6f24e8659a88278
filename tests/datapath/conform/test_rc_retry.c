/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders: the requester of reliable connection, second part: timers and retries
 * (9.7.5.2.8, 9.7.6.1), READ, atomics, fence (9.4, 9.7.6).
 */
#include "conform.h"

static void goes_on(int32_t psn)
{
	post(SEND, .n = 7, .seed = 77);
	expect_pkt(RC_SEND_ONLY, .psn = psn, .n = 7, .seed = 77);
	give(RC_ACK, .psn = psn, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_nothing();
}

/* ------------------------------------------------------ local ACK timeout */

/* The shortest time after which a requester may take a packet for lost, us (C9-140). */
static uint64_t ttr_us(unsigned int timeout)
{
	return (4096ull << timeout) / 1000;
}

/* Set the clock, if it is not so late yet. */
static void until(uint64_t ns)
{
	c.l->now_ns = RTE_MAX(c.l->now_ns, ns);
}

/* Not sent again before T; sent again at 4 T at the latest. */
static void timeout_between_t_and_4t(uint8_t timeout)
{
	uint64_t posted_ns;

	c.attr.timeout = timeout;
	begin();
	posted_ns = c.l->now_ns;
	post(SEND, .n = 4, .seed = 1);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4, .seed = 1);
	until(posted_ns + (4096ull << timeout) - 4000); /* a rung takes 3 turns */
	expect_silence();
	until(posted_ns + (4ull * 4096 << timeout));
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4, .seed = 1, .ackreq = true);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

#define TIMEOUT(n_) \
	LADDER("C9-140", rc_req, timeout_##n_, "timeout " #n_ ": T = 4.096 us * 2^" #n_ \
		"; what has no answer is sent again between T and 4 T") \
	{ \
		timeout_between_t_and_4t(n_); \
	}

TIMEOUT(1)
TIMEOUT(8)
TIMEOUT(14)
TIMEOUT(20)
TIMEOUT(31)

LADDER("C9-140", rc_req, timeout_0, "timeout 0: the timer is off, nothing is sent again")
{
	c.attr.timeout = 0;
	post(SEND, .n = 4);
	ignore_sent();
	pass_us(86400ull * 1000000);
	expect_nothing();
	expect_state(RTS);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.7.6.1.3", rc_req, answered_in_time, "an ACK stops the timer; an idle QP sends nothing")
{
	post(SEND, .n = 4);
	ignore_sent();
	pass_us(ttr_us(14) / 2);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	pass_us(100 * ttr_us(14));
	expect_nothing();
	goes_on(1);
}

LADDER("9.7.6.1.3", rc_req, progress_restarts_the_timer,
	"an ACK of some restarts the timer for the rest")
{
	post(SEND, .n = 4);
	post(SEND, .n = 4);
	ignore_sent();
	pass_us(ttr_us(14) - 100);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	pass_us(ttr_us(14) - 100);
	expect_nothing();
	pass_us(3 * ttr_us(14) + 200);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 4);
}

LADDER("9.7.6.1.3", rc_req, all_is_sent_again,
	"after the timeout all without acknowledgement is sent again, in order")
{
	post(SEND, .n = 2 * MTU, .seed = 1);
	post(SEND, .n = 8, .seed = 2);
	ignore_sent();
	pass_us(4 * ttr_us(14));
	expect_pkt(RC_SEND_FIRST, .psn = 0, .n = MTU, .seed = 1);
	expect_pkt(RC_SEND_LAST, .psn = 1, .n = MTU, .seed = 1);
	expect_pkt(RC_SEND_ONLY, .psn = 2, .n = 8, .seed = 2);
	give(RC_ACK, .psn = 2, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
}

/* retry_cnt more tries, then the end. */
static void tries(uint8_t retry_cnt)
{
	c.attr.retry_cnt = retry_cnt;
	c.attr.timeout = 10;
	post(SEND, .n = 4);
	post(SEND, .n = 4);
	ignore_sent();
	for (unsigned int i = 0; i < retry_cnt; i++) {
		pass_us(4 * ttr_us(10));
		expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
		ignore_sent();
		expect_no_completion();
	}
	pass_us(4 * ttr_us(10));
	expect_silence();
	expect_sent(RETRY_EXC_ERR);
	expect_flushed(0, 1);
	expect_state(ERR);
	pass_us(100 * ttr_us(10));
	expect_nothing();
}

#define TRIES(n_) \
	LADDER("9.7.6.1.3", rc_req, retry_cnt_##n_, \
		"retry_cnt " #n_ ": so many tries after the first, then RETRY_EXC_ERR and ERR") \
	{ \
		tries(n_); \
	}

TRIES(0)
TRIES(1)
TRIES(2)
TRIES(3)
TRIES(4)
TRIES(5)
TRIES(6)
TRIES(7)

LADDER("9.7.6.1.3", rc_req, progress_resets_the_tries,
	"an acknowledgement of something new starts the count of tries again")
{
	c.attr.retry_cnt = 1;
	for (int32_t i = 0; i < 4; i++) {
		post(SEND, .n = 4);
		expect_pkt(RC_SEND_ONLY, .psn = i, .n = 4);
		pass_us(4 * ttr_us(14));
		expect_pkt(RC_SEND_ONLY, .psn = i, .n = 4);
		give(RC_ACK, .psn = i, .syndrome = ACK);
		expect_sent(SUCCESS);
	}
}

LADDER("9.7.6.1.3", rc_req, old_acks_are_no_progress,
	"acknowledgements of nothing new do not start the count of tries again")
{
	c.attr.retry_cnt = 1;
	goes_on(0);
	post(SEND, .n = 4);
	ignore_sent();
	pass_us(4 * ttr_us(14));
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 4);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	pass_us(4 * ttr_us(14));
	expect_sent(RETRY_EXC_ERR);
}

/* -------------------------------------------------------------- RNR NAK */

static const uint32_t rnr_us[32] = {
	655360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840, 5120, 7680,
	10240, 15360, 20480, 30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520,
};

LADDER("9.7.5.2.8", rc_req, rnr_waits,
	"after an RNR NAK the message is sent again, not before the time that its code stands for")
{
	c.attr.timeout = 0;
	c.attr.rnr_retry = 7;
	post(SEND, .n = 4);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	for (uint8_t t = 0; t < 32; t++) {
		uint64_t came_ns = c.l->now_ns;

		give(RC_ACK, .psn = 0, .syndrome = (uint8_t)(RNR + t));
		until(came_ns + rnr_us[t] * 1000ull - 5000); /* a rung takes 3 turns */
		expect_silence();
		/* a wheel may be late by a part of the time, not by all of it */
		until(came_ns + 2000ull * rnr_us[t]);
		expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4, .ackreq = true);
	}
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.7.5.2.8", rc_req, rnr_acknowledges,
	"an RNR NAK acknowledges what is before it; all from its PSN on is sent again")
{
	for (int32_t i = 0; i < 3; i++)
		post(SEND, .n = 4, .seed = (uint8_t)i);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = RNR + 1, .msn = 1);
	expect_sent(SUCCESS);
	pass_us(100);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 4, .seed = 1);
	expect_pkt(RC_SEND_ONLY, .psn = 2, .n = 4, .seed = 2);
	give(RC_ACK, .psn = 2, .syndrome = ACK);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
}

LADDER("9.7.5.2.8", rc_req, rnr_holds_the_queue,
	"while it waits nothing is sent, also not what is posted then")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = RNR + 20); /* 10.24 ms */
	post(SEND, .n = 5);
	pass_us(5000);
	expect_nothing();
	pass_us(11000);
	expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 5);
}

/* rnr_retry more tries, then the end. */
static void rnr_tries(uint8_t rnr_retry)
{
	c.attr.rnr_retry = rnr_retry;
	post(SEND, .n = 4);
	post(SEND, .n = 4);
	ignore_sent();
	for (unsigned int i = 0; i < rnr_retry; i++) {
		give(RC_ACK, .psn = 0, .syndrome = RNR + 1);
		pass_us(100);
		expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
		ignore_sent();
	}
	give(RC_ACK, .psn = 0, .syndrome = RNR + 1);
	pass_us(1000);
	expect_silence();
	expect_sent(RNR_RETRY_EXC_ERR);
	expect_flushed(0, 1);
	expect_state(ERR);
}

#define RNR_TRIES(n_) \
	LADDER("9.7.6.1.2", rc_req, rnr_retry_##n_, \
		"rnr_retry " #n_ ": so many tries after RNR NAKs, then RNR_RETRY_EXC_ERR and ERR") \
	{ \
		rnr_tries(n_); \
	}

RNR_TRIES(0)
RNR_TRIES(1)
RNR_TRIES(3)
RNR_TRIES(6)

LADDER("9.7.6.1.2", rc_req, rnr_retry_7, "rnr_retry 7 tries for ever")
{
	c.attr.rnr_retry = 7;
	post(SEND, .n = 4);
	ignore_sent();
	for (unsigned int i = 0; i < 50; i++) {
		give(RC_ACK, .psn = 0, .syndrome = RNR + 1);
		pass_us(100);
		expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
		expect_no_completion();
	}
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.7.6.1.2", rc_req, rnr_is_no_retry, "RNR NAKs do not count as tries of retry_cnt")
{
	c.attr.retry_cnt = 0;
	c.attr.rnr_retry = 6;
	post(SEND, .n = 4);
	ignore_sent();
	for (unsigned int i = 0; i < 6; i++) {
		give(RC_ACK, .psn = 0, .syndrome = RNR + 1);
		pass_us(100);
		expect_pkt(RC_SEND_ONLY, .psn = 0, .n = 4);
	}
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
}

LADDER("9.7.6.1.2", rc_req, rnr_progress, "progress starts the count of RNR tries again")
{
	c.attr.rnr_retry = 1;
	for (int32_t i = 0; i < 3; i++) {
		post(SEND, .n = 4);
		ignore_sent();
		give(RC_ACK, .psn = i, .syndrome = RNR + 1);
		pass_us(100);
		expect_pkt(RC_SEND_ONLY, .psn = i, .n = 4);
		give(RC_ACK, .psn = i, .syndrome = ACK);
		expect_sent(SUCCESS);
	}
}

/* ----------------------------------------------------------------- READ */

LADDER("9.4.4", rc_req, read_only, "a READ asks with one packet and completes with its response")
{
	post(RDMA_READ, .n = 100, .off = 40);
	expect_pkt(RC_READ_REQ, .psn = 0, .off = 40, .len = 100);
	expect_nothing();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 100, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_local(40, 100, 9);
	expect_sent(SUCCESS);
	goes_on(1);
}

LADDER("9.7.3.1", rc_req, read_of_three, "a READ takes as many PSNs as it will have responses")
{
	post(RDMA_READ, .n = 2 * MTU + 5);
	expect_pkt(RC_READ_REQ, .psn = 0, .len = 2 * MTU + 5);
	post(SEND, .n = 4);
	expect_pkt(RC_SEND_ONLY, .psn = 3, .n = 4);
	give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	give(RC_READ_RESP_MIDDLE, .psn = 1, .n = MTU, .seed = 9);
	expect_no_completion();
	give(RC_READ_RESP_LAST, .psn = 2, .n = 5, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_local(0, 2 * MTU + 5, 9);
	expect_sent(SUCCESS);
	give(RC_ACK, .psn = 3, .syndrome = ACK, .msn = 2);
	expect_sent(SUCCESS);
	expect_nothing();
}

LADDER("9.4.4", rc_req, read_of_length_zero,
	"a READ of length zero has one response without payload")
{
	post(RDMA_READ, .n = 0);
	expect_pkt(RC_READ_REQ, .psn = 0, .len = 0, .any_key = true);
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 0, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	goes_on(1);
}

LADDER("9.7.6.1", rc_req, response_acknowledges,
	"a READ's response acknowledges the requests before it")
{
	post(SEND, .n = 4);
	post(RDMA_READ, .n = 4);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 1, .n = 4, .syndrome = ACK, .msn = 2);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	goes_on(2);
}

LADDER("9.7.6.1", rc_req, implied_nak,
	"an ACK behind a READ without its response is a NAK of the READ: it is asked for again")
{
	post(RDMA_READ, .n = 8);
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = ACK, .msn = 2);
	expect_no_completion();
	expect_pkt(RC_READ_REQ, .psn = 0, .len = 8);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .seed = 4, .syndrome = ACK, .msn = 2);
	give(RC_ACK, .psn = 1, .syndrome = ACK, .msn = 2);
	expect_sent(SUCCESS);
	expect_sent(SUCCESS);
	expect_local(0, 8, 4);
}

LADDER("9.7.6.1", rc_req, response_lost_within,
	"a READ with a response missing is asked for again from there, for the rest")
{
	post(RDMA_READ, .n = 3 * MTU, .off = 64);
	ignore_sent();
	give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	give(RC_READ_RESP_LAST, .psn = 2, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_pkt(RC_READ_REQ, .psn = 1, .off = 64 + MTU, .len = 2 * MTU);
	expect_nothing();
	give(RC_READ_RESP_FIRST, .psn = 1, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	give(RC_READ_RESP_LAST, .psn = 2, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_local(64, 3 * MTU, 9);
	expect_sent(SUCCESS);
	goes_on(3);
}

LADDER("9.7.6.1.3", rc_req, response_lost_at_the_end,
	"after the timeout a READ is asked for again from where it stopped")
{
	post(RDMA_READ, .n = 3 * MTU);
	ignore_sent();
	give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	give(RC_READ_RESP_MIDDLE, .psn = 1, .n = MTU, .seed = 9);
	expect_nothing();
	pass_us(4 * ttr_us(14));
	expect_pkt(RC_READ_REQ, .psn = 2, .off = 2 * MTU, .len = MTU);
	give(RC_READ_RESP_ONLY, .psn = 2, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_local(0, 3 * MTU, 9);
	expect_sent(SUCCESS);
}

LADDER("9.7.6.1", rc_req, duplicate_response, "a response received before is dropped")
{
	post(RDMA_READ, .n = 2 * MTU);
	ignore_sent();
	give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 99, .syndrome = ACK, .msn = 1);
	give(RC_READ_RESP_LAST, .psn = 1, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1);
	expect_local(0, 2 * MTU, 9);
	expect_sent(SUCCESS);
	give(RC_READ_RESP_LAST, .psn = 1, .n = MTU, .seed = 99, .syndrome = ACK, .msn = 1);
	expect_local(0, 2 * MTU, 9);
	goes_on(2);
}

LADDER("9.7.6.1", rc_req, ghost_response, "a response to what was never asked for is dropped")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 7, .n = 8, .seed = 1, .syndrome = ACK, .msn = 1);
	expect_nothing();
	expect_state(RTS);
	give(RC_ACK, .psn = 0, .syndrome = ACK);
	expect_sent(SUCCESS);
	goes_on(1);
}

/* A response that does not fit its READ: 3 * MTU asked for, what_ comes in place of the packet with PSN at_. */
#define BAD_RESPONSE(name_, at_, op_, n_, what_) \
	LADDER("9.9.2.4", rc_req, name_, "READ: " what_ " ends the WR with an error, nothing of it is stored, ERR") \
	{ \
		post(RDMA_READ, .n = 3 * MTU); \
		ignore_sent(); \
		if (at_ > 0) \
			give(RC_READ_RESP_FIRST, .psn = 0, .n = MTU, .seed = 9, .syndrome = ACK, .msn = 1); \
		if (at_ > 1) \
			give(RC_READ_RESP_MIDDLE, .psn = 1, .n = MTU, .seed = 9); \
		give(op_, .psn = at_, .n = n_, .seed = 9, .syndrome = ACK, .msn = 1); \
		expect_sent_in_error(); \
		expect_state(ERR); \
		expect_int(c.local[at_ * MTU + 1], 0); \
	}

BAD_RESPONSE(only_for_first, 0, RC_READ_RESP_ONLY, MTU, "ONLY in place of FIRST")
BAD_RESPONSE(last_for_first, 0, RC_READ_RESP_LAST, MTU, "LAST in place of FIRST")
BAD_RESPONSE(middle_for_first, 0, RC_READ_RESP_MIDDLE, MTU, "MIDDLE in place of FIRST")
BAD_RESPONSE(first_for_middle, 1, RC_READ_RESP_FIRST, MTU, "a second FIRST")
BAD_RESPONSE(last_for_middle, 1, RC_READ_RESP_LAST, MTU, "LAST before its time")
BAD_RESPONSE(middle_for_last, 2, RC_READ_RESP_MIDDLE, MTU, "MIDDLE in place of LAST")
BAD_RESPONSE(atomic_for_read, 0, RC_ATOMIC_ACK, 0, "an atomic response")
BAD_RESPONSE(first_too_short, 0, RC_READ_RESP_FIRST, MTU - 4, "a FIRST shorter than the path MTU")
BAD_RESPONSE(middle_too_short, 1, RC_READ_RESP_MIDDLE, MTU - 4, "a MIDDLE shorter than the path MTU")
BAD_RESPONSE(middle_too_long, 1, RC_READ_RESP_MIDDLE, MTU + 4, "a MIDDLE longer than the path MTU")
BAD_RESPONSE(last_too_short, 2, RC_READ_RESP_LAST, MTU - 4, "a LAST with bytes missing")
BAD_RESPONSE(last_too_long, 2, RC_READ_RESP_LAST, MTU + 4, "a LAST with more than was asked for")
BAD_RESPONSE(last_empty, 2, RC_READ_RESP_LAST, 0, "a LAST of length zero")

LADDER("9.9.2.4", rc_req, read_refused, "a NAK of a READ ends it")
{
	post(RDMA_READ, .n = 8);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = NAK_ACCESS);
	expect_sent(REM_ACCESS_ERR);
	expect_state(ERR);
}

LADDER("9.7.3.1", rc_req, initiator_depth,
	"no more READs and atomics are outstanding than max_rd_atomic")
{
	c.attr.max_rd_atomic = 2;
	post(RDMA_READ, .n = 8);
	post(ATOMIC_FETCH_AND_ADD, .n = 8, .add = 1, .off = 64);
	post(RDMA_READ, .n = 8, .off = 128);
	expect_pkt(RC_READ_REQ, .psn = 0, .len = 8);
	expect_pkt(RC_FETCH_ADD, .psn = 1, .add = 1, .off = 64);
	expect_nothing();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	expect_pkt(RC_READ_REQ, .psn = 2, .len = 8, .off = 128);
}

LADDER("10.8.3.3", rc_req, fence,
	"a fenced WR is not begun before the READs before it are done; others are")
{
	post(RDMA_READ, .n = 8);
	expect_pkt(RC_READ_REQ, .psn = 0, .len = 8);
	post(SEND, .n = 4);
	expect_pkt(RC_SEND_ONLY, .psn = 1, .n = 4);
	post(SEND, .n = 5, .flags = PHCA_SEND_FENCE);
	post(SEND, .n = 6);
	expect_nothing();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	expect_pkt(RC_SEND_ONLY, .psn = 2, .n = 5);
	expect_pkt(RC_SEND_ONLY, .psn = 3, .n = 6);
}

/* -------------------------------------------------------------- atomics */

static uint64_t local_value(uint64_t off)
{
	uint64_t v;

	memcpy(&v, c.local + off, 8);
	return v;
}

LADDER("9.4.5", rc_req, fetch_add,
	"FETCH_ADD: AtomicETH with the number to add; the response's value is stored in host order")
{
	post(ATOMIC_FETCH_AND_ADD, .n = 8, .off = 64, .add = 0x1122334455667788);
	expect_pkt(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 0x1122334455667788);
	give(RC_ATOMIC_ACK, .psn = 0, .cmp = 0x0102030405060708, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	expect_int(local_value(64), 0x0102030405060708);
	goes_on(1);
}

LADDER("9.4.5", rc_req, cmp_swap, "CMP_SWAP: AtomicETH with both numbers")
{
	post(ATOMIC_CMP_AND_SWP, .n = 8, .off = 64, .add = 5, .swap = 6);
	expect_pkt(RC_CMP_SWAP, .psn = 0, .off = 64, .cmp = 5, .add = 6);
	give(RC_ATOMIC_ACK, .psn = 0, .cmp = 5, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	expect_int(local_value(64), 5);
}

LADDER("9.7.6.1.3", rc_req, atomic_lost,
	"an atomic without response is asked for again with the same PSN and numbers")
{
	post(ATOMIC_FETCH_AND_ADD, .n = 8, .off = 64, .add = 3);
	expect_pkt(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 3);
	pass_us(4 * ttr_us(14));
	expect_pkt(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 3);
	give(RC_ATOMIC_ACK, .psn = 0, .cmp = 1, .syndrome = ACK, .msn = 1);
	expect_sent(SUCCESS);
	give(RC_ATOMIC_ACK, .psn = 0, .cmp = 2, .syndrome = ACK, .msn = 1);
	expect_nothing();
	expect_int(local_value(64), 1);
}

LADDER("9.7.6.1", rc_req, atomic_implied_nak,
	"an ACK behind an atomic without its response is a NAK of the atomic")
{
	post(ATOMIC_FETCH_AND_ADD, .n = 8, .off = 64, .add = 3);
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_ACK, .psn = 1, .syndrome = ACK, .msn = 2);
	expect_no_completion();
	expect_pkt(RC_FETCH_ADD, .psn = 0, .off = 64, .add = 3);
}

LADDER("9.9.2.4", rc_req, read_for_atomic,
	"a READ response to an atomic ends the WR with an error, ERR")
{
	post(ATOMIC_FETCH_AND_ADD, .n = 8, .off = 64, .add = 3);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .seed = 1, .syndrome = ACK, .msn = 1);
	expect_sent_in_error();
	expect_int(local_value(64), 0);
	expect_state(ERR);
}

LADDER("9.9.2.4", rc_req, response_for_send,
	"a READ response to a SEND ends the WR with an error, or is dropped; it never completes it")
{
	post(SEND, .n = 4);
	ignore_sent();
	give(RC_READ_RESP_ONLY, .psn = 0, .n = 8, .seed = 1, .syndrome = ACK, .msn = 1);
	expect_no_success();
}

LADDER("9.9.2.4", rc_req, ack_for_read, "a plain ACK of a READ's PSN does not complete the READ")
{
	post(RDMA_READ, .n = 8);
	ignore_sent();
	give(RC_ACK, .psn = 0, .syndrome = ACK, .msn = 1);
	expect_no_success();
}
