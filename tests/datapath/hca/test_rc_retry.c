/* SPDX-License-Identifier: BSD-3-Clause */
/* The requester of RC when answers are late, missing, out of order, or bad news (9.7.5, 9.9). */
#include <string.h>

#include "req_peer.h"

static struct phca_send_wr nth(struct peer *p, enum phca_wr_opcode op, uint32_t n, uint64_t id)
{
	struct phca_send_wr w = peer_wr(p, op, n);

	w.wr_id = id;
	return w;
}

/* Post n SENDs of 8 bytes, ids 1..n, and look at their packets. */
static void sends(struct peer *p, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct phca_send_wr w = nth(p, PHCA_WR_SEND, 8, i + 1);

		CU_ASSERT_EQUAL(phca_post_send(p->q.qp, &w, 1), 1);
	}
	lab_turn(p->l, 3);
	for (unsigned int i = 0; i < n; i++)
		peer_expect(p, PHCA_RC_SEND_ONLY, PEER_PSN + i);
	peer_expect_none(p);
}

PHCA_TEST(rc_retry, timeout_sends_again_and_then_gives_up)
{
	struct peer_opts o = { .retry_cnt = 2 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);

	sends(&p, 2);
	peer_wait(&p, PEER_TIMEOUT_NS - 100000);
	peer_expect_none(&p);
	for (unsigned int i = 0; i < 2; i++) {
		peer_wait(&p, PEER_TIMEOUT_NS);
		peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
		peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
		peer_expect_none(&p);
	}
	peer_no_wc(&p);
	peer_wait(&p, PEER_TIMEOUT_NS);
	peer_wc(&p, 1, PHCA_WC_RETRY_EXC_ERR);
	peer_wc(&p, 2, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 3);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.tx_resent, 4);
	peer_close(&p);
}

PHCA_TEST(rc_retry, after_a_timeout_the_window_opens_slowly)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	unsigned int i, done = 0;

	for (i = 1; i <= 60; i++) {
		struct phca_send_wr w = nth(&p, PHCA_WR_SEND, 8, i);

		CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	}
	lab_turn(p.l, 10);
	CU_ASSERT_EQUAL(peer_drain(&p), 60);
	for (i = 4; i < 32; i *= 2) {
		if (i == 4)
			peer_wait(&p, PEER_TIMEOUT_NS);
		CU_ASSERT_EQUAL(peer_drain(&p), i);
		CU_ASSERT(p.p.flags & PHCA_PKT_ACKREQ);
		done += i;
		peer_ack(&p, PEER_PSN + done - 1, PEER_ACK);
		lab_turn(p.l, 4);
	}
	CU_ASSERT_EQUAL(peer_drain(&p), 60 - done); /* 32 that are left of 60 */
	peer_ack(&p, PEER_PSN + 59, PEER_ACK);
	for (i = 1; i <= 60; i++)
		peer_wc(&p, i, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 1);
	peer_close(&p);
}

PHCA_TEST(rc_retry, progress_restores_the_count)
{
	struct peer_opts o = { .retry_cnt = 1 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);

	sends(&p, 3);
	for (unsigned int i = 0; i < 3; i++) {
		peer_wait(&p, PEER_TIMEOUT_NS);
		CU_ASSERT_EQUAL(peer_drain(&p), 3 - i);
		peer_ack(&p, PEER_PSN + i, PEER_ACK);
		peer_wc(&p, i + 1, PHCA_WC_SUCCESS);
	}
	peer_wait(&p, 10 * PEER_TIMEOUT_NS); /* nothing is outstanding */
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 3);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_RTS);
	peer_close(&p);
}

PHCA_TEST(rc_retry, acknowledgement_starts_the_time_again)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);

	sends(&p, 2);
	peer_wait(&p, PEER_TIMEOUT_NS - 100000);
	peer_ack(&p, PEER_PSN, PEER_ACK);
	peer_wait(&p, PEER_TIMEOUT_NS - 100000);
	peer_expect_none(&p);
	peer_wait(&p, 200000);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	peer_close(&p);
}

PHCA_TEST(rc_retry, no_timeout_never_expires)
{
	struct peer_opts o = { .no_timeout = true };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);

	sends(&p, 1);
	peer_wait(&p, 3600ull * 1000000000);
	peer_expect_none(&p);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 0);
	peer_ack(&p, PEER_PSN, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_retry, longest_timeout)
{
	struct peer_opts o = { .timeout = 31 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);

	sends(&p, 1);
	peer_wait(&p, (4096ull << 31) - 1000000);
	peer_expect_none(&p);
	peer_wait(&p, 1000000);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	peer_close(&p);
}

PHCA_TEST(rc_retry, sequence_nak_goes_back_at_once)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);

	sends(&p, 5);
	peer_ack(&p, PEER_PSN + 2, PEER_NAK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_SUCCESS);
	peer_no_wc(&p);
	for (unsigned int i = 2; i < 5; i++)
		peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + i);
	CU_ASSERT(p.p.flags & PHCA_PKT_ACKREQ);
	peer_expect_none(&p);
	peer_ack(&p, PEER_PSN + 2, PEER_NAK); /* the same again, by the network */
	peer_expect_none(&p);
	peer_ack(&p, PEER_PSN + 4, PEER_ACK);
	for (unsigned int i = 3; i <= 5; i++)
		peer_wc(&p, i, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 0);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.tx_resent, 3);
	peer_close(&p);
}

PHCA_TEST(rc_retry, sequence_nak_starts_the_time_again)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);

	sends(&p, 2);
	peer_wait(&p, PEER_TIMEOUT_NS - 100000);
	peer_ack(&p, PEER_PSN, PEER_NAK);
	CU_ASSERT_EQUAL(peer_drain(&p), 2);
	peer_wait(&p, PEER_TIMEOUT_NS - 100000);
	peer_expect_none(&p);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 0);
	peer_wait(&p, 200000);
	CU_ASSERT_EQUAL(peer_drain(&p), 2);
	peer_close(&p);
}

PHCA_TEST(rc_retry, goes_back_into_the_middle_of_a_message)
{
	struct peer_opts o = { .mtu = 256, .psn = 0xfffffe };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 4 * 256);

	peer_post(&p, &w);
	CU_ASSERT_EQUAL(peer_drain(&p), 4);
	peer_ack(&p, 0, PEER_NAK);
	peer_expect(&p, PHCA_RC_WRITE_MIDDLE, 0);
	CU_ASSERT(lab_is(p.frame + p.p.payload_off, 256, 0));
	peer_expect(&p, PHCA_RC_WRITE_LAST, 1);
	peer_expect_none(&p);
	peer_ack(&p, 1, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_retry, late_acknowledgement_while_sending_again)
{
	struct peer_opts o = { .mtu = 256 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_WRITE, 100 * 256);
	struct phca_wire_hdr h = lab_hdr(p.l, PHCA_RC_ACK, p.q.qpn, PEER_PSN);

	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 20);
	CU_ASSERT_EQUAL(peer_drain(&p), 100);
	h.syndrome = PEER_NAK;
	lab_send(p.l, &h, 0, 0);
	h.psn = phca_psn(PEER_PSN + 59);
	h.syndrome = PEER_ACK;
	lab_turn(p.l, 1); /* 16 packets of them */
	lab_send(p.l, &h, 0, 0);
	lab_turn(p.l, 20);
	for (unsigned int i = 0; i < 16; i++)
		peer_expect(&p, i == 0 ? PHCA_RC_WRITE_FIRST : PHCA_RC_WRITE_MIDDLE, PEER_PSN + i);
	for (unsigned int i = 60; i < 100; i++)
		peer_expect(&p, i == 99 ? PHCA_RC_WRITE_LAST : PHCA_RC_WRITE_MIDDLE, PEER_PSN + i);
	peer_expect_none(&p);
	peer_ack(&p, PEER_PSN + 99, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_retry, application_that_scribbles_changes_nothing_that_is_sent_again)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 0);
	char text[7] = "before";

	w.flags |= PHCA_SEND_INLINE;
	w.inline_data = text;
	w.inline_len = 6;
	peer_post(&p, &w);
	CU_ASSERT_EQUAL(peer_drain(&p), 1);
	memcpy(text, "after!", 6);
	for (unsigned int i = 1; i < LAB_DEPTH; i++) /* the whole ring, but not its slot */
		CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 10);
	peer_drain(&p);
	peer_wait(&p, PEER_TIMEOUT_NS);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	CU_ASSERT_EQUAL(memcmp(p.frame + p.p.payload_off, "before", 6), 0);
	peer_close(&p);
}

PHCA_TEST(rc_retry, rnr_waits_as_long_as_the_code_says)
{
	static const struct { uint8_t code; uint64_t ns; } t[] = {
		{ 1, 10000 }, { 4, 40000 }, { 14, 1280000 }, { 31, 491520000 }, { 0, 655360000 },
	};
	struct peer_opts o = { .rnr_retry = 7, .timeout = 20 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);

	sends(&p, 2);
	for (unsigned int i = 0; i < RTE_DIM(t); i++) {
		uint64_t start = p.l->now_ns;

		peer_ack(&p, PEER_PSN, PEER_RNR | t[i].code);
		peer_ack(&p, PEER_PSN, PEER_RNR | t[i].code); /* a duplicate is none more */
		peer_expect_none(&p);
		p.l->now_ns = start + t[i].ns - 1000;
		lab_turn(p.l, 1);
		peer_expect_none(&p);
		lab_turn(p.l, 5);
		peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
		peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
		peer_expect_none(&p);
	}
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_SUCCESS);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.timeouts, 0);
	CU_ASSERT_EQUAL(lab_info(&p.q).stats.rx_rnr_naks, 2 * RTE_DIM(t));
	peer_close(&p);
}

PHCA_TEST(rc_retry, rnr_gives_up_after_its_own_count)
{
	struct peer_opts o = { .rnr_retry = 2, .retry_cnt = 1 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);

	sends(&p, 2);
	for (unsigned int i = 0; i < 2; i++) {
		peer_ack(&p, PEER_PSN, PEER_RNR | 1);
		peer_wait(&p, 20000);
		CU_ASSERT_EQUAL(peer_drain(&p), 2);
	}
	peer_ack(&p, PEER_PSN, PEER_RNR | 1);
	peer_wc(&p, 1, PHCA_WC_RNR_RETRY_EXC_ERR);
	peer_wc(&p, 2, PHCA_WC_WR_FLUSH_ERR);
	peer_close(&p);
}

PHCA_TEST(rc_retry, doorbells_do_not_end_an_rnr_wait)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 8);

	sends(&p, 1);
	peer_ack(&p, PEER_PSN, PEER_RNR | 20);
	peer_post(&p, &w);
	peer_expect_none(&p);
	peer_wait(&p, 10300000);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN + 1);
	peer_close(&p);
}

static void fatal_nak(uint8_t code, uint32_t status)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_event ev[2];

	sends(&p, 4);
	peer_ack(&p, PEER_PSN + 2, (uint8_t)(PEER_NAK | code));
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_SUCCESS);
	peer_wc(&p, 3, status);
	peer_wc(&p, 4, PHCA_WC_WR_FLUSH_ERR);
	peer_no_wc(&p);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(phca_hca_events(p.l->hca, ev, 2), 1);
	CU_ASSERT_EQUAL(ev[0].status, status);
	peer_wait(&p, 10 * PEER_TIMEOUT_NS);
	peer_expect_none(&p);
	peer_close(&p);
}

PHCA_TEST(rc_retry, invalid_request) { fatal_nak(1, PHCA_WC_REM_INV_REQ_ERR); }
PHCA_TEST(rc_retry, remote_access_error) { fatal_nak(2, PHCA_WC_REM_ACCESS_ERR); }
PHCA_TEST(rc_retry, remote_operational_error) { fatal_nak(3, PHCA_WC_REM_OP_ERR); }

PHCA_TEST(rc_retry, duplicates_and_ghosts_change_nothing)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);

	sends(&p, 2);
	peer_ack(&p, PEER_PSN + 2, PEER_ACK);  /* not sent yet */
	peer_ack(&p, PEER_PSN - 1, PEER_ACK);  /* before the first */
	peer_ack(&p, PEER_PSN - 1, PEER_NAK | 2);
	peer_ack(&p, PEER_PSN + 0x800000, PEER_ACK);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN + 7, 8, 0);
	CU_ASSERT_EQUAL(lab_verdict(p.l, PHCA_V_STALE), 5);
	peer_ack(&p, PEER_PSN, 0x40); /* reserved syndromes */
	peer_ack(&p, PEER_PSN, PEER_NAK | 7);
	CU_ASSERT_EQUAL(lab_verdict(p.l, PHCA_V_BAD_RESPONSE), 2);
	peer_no_wc(&p);
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_SUCCESS);
	peer_no_wc(&p);
	CU_ASSERT_EQUAL(lab_verdict(p.l, PHCA_V_STALE), 6);
	peer_close(&p);
}

PHCA_TEST(rc_retry, acknowledgement_past_a_read_says_that_its_answer_was_lost)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = nth(&p, PHCA_WR_RDMA_READ, 8, 1);

	peer_post(&p, &w);
	for (unsigned int i = 2; i < 5; i++) {
		w = nth(&p, PHCA_WR_SEND, 8, i);
		peer_post(&p, &w);
	}
	CU_ASSERT_EQUAL(peer_drain(&p), 4);
	peer_ack(&p, PEER_PSN + 1, PEER_ACK);
	peer_no_wc(&p);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	CU_ASSERT_EQUAL(peer_drain(&p), 3);
	peer_ack(&p, PEER_PSN + 2, PEER_ACK);
	peer_expect_none(&p); /* it is being asked for already */
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, 8, 0);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_ack(&p, PEER_PSN + 3, PEER_ACK);
	for (unsigned int i = 2; i < 5; i++)
		peer_wc(&p, i, PHCA_WC_SUCCESS);
	peer_close(&p);
}

PHCA_TEST(rc_retry, read_goes_on_where_it_stopped)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 3 * LAB_MTU + 5);

	peer_post(&p, &w);
	CU_ASSERT_EQUAL(peer_drain(&p), 1);
	peer_read_resp(&p, PHCA_RC_READ_RESP_FIRST, PEER_PSN, LAB_MTU, 1);
	peer_read_resp(&p, PHCA_RC_READ_RESP_MIDDLE, PEER_PSN + 2, LAB_MTU, 3); /* one is missing */
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 1);
	CU_ASSERT_EQUAL(phca_get64(peer_reth(&p)->va), 0x10000 + LAB_MTU);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), 2 * LAB_MTU + 5);
	peer_read_resp(&p, PHCA_RC_READ_RESP_LAST, PEER_PSN + 3, 5, 4); /* of the first try */
	peer_expect_none(&p);
	peer_read_resp(&p, PHCA_RC_READ_RESP_FIRST, PEER_PSN + 1, LAB_MTU, 2);
	peer_wait(&p, PEER_TIMEOUT_NS);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN + 2);
	CU_ASSERT_EQUAL(phca_get32(peer_reth(&p)->len), LAB_MTU + 5);
	peer_read_resp(&p, PHCA_RC_READ_RESP_FIRST, PEER_PSN + 2, LAB_MTU, 3);
	peer_read_resp(&p, PHCA_RC_READ_RESP_FIRST, PEER_PSN + 2, LAB_MTU, 9); /* a duplicate */
	peer_read_resp(&p, PHCA_RC_READ_RESP_LAST, PEER_PSN + 3, 5, 4);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	for (unsigned int i = 0; i < 4; i++)
		CU_ASSERT(lab_is(p.mem + i * LAB_MTU, i < 3 ? LAB_MTU : 5, (uint8_t)(i + 1)));
	peer_close(&p);
}

static void bad_read(enum phca_opcode op, uint32_t n)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 2 * LAB_MTU + 5);

	peer_post(&p, &w);
	w = nth(&p, PHCA_WR_SEND, 8, 2);
	peer_post(&p, &w);
	peer_read_resp(&p, op, PEER_PSN, n, 1);
	peer_wc(&p, 1, PHCA_WC_BAD_RESP_ERR);
	peer_wc(&p, 2, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(lab_verdict(p.l, PHCA_V_BAD_RESPONSE), 1);
	CU_ASSERT_EQUAL(p.mem[0], 0); /* nothing was written */
	peer_close(&p);
}

PHCA_TEST(rc_retry, read_answered_by_only) { bad_read(PHCA_RC_READ_RESP_ONLY, 9); }
PHCA_TEST(rc_retry, read_answered_by_middle_first) { bad_read(PHCA_RC_READ_RESP_MIDDLE, LAB_MTU); }
PHCA_TEST(rc_retry, read_answered_by_last_first) { bad_read(PHCA_RC_READ_RESP_LAST, 5); }
PHCA_TEST(rc_retry, read_answered_by_a_short_first) { bad_read(PHCA_RC_READ_RESP_FIRST, LAB_MTU - 4); }

PHCA_TEST(rc_retry, answer_of_another_kind)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);

	sends(&p, 1);
	peer_atomic_ack(&p, PEER_PSN, 5);
	peer_wc(&p, 1, PHCA_WC_BAD_RESP_ERR);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_ERR);
	peer_close(&p);
}

PHCA_TEST(rc_retry, atomic_is_asked_for_again_with_the_same_psn)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_ATOMIC_FETCH_AND_ADD, 8);
	uint64_t v;

	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_FETCH_ADD, PEER_PSN);
	peer_wait(&p, PEER_TIMEOUT_NS);
	peer_expect(&p, PHCA_RC_FETCH_ADD, PEER_PSN);
	peer_atomic_ack(&p, PEER_PSN, 5);
	peer_atomic_ack(&p, PEER_PSN, 6); /* the second answer is none any more */
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_no_wc(&p);
	memcpy(&v, p.mem, 8);
	CU_ASSERT_EQUAL(v, 5);
	peer_close(&p);
}

PHCA_TEST(rc_retry, memory_that_refuses_the_answer)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 8);

	peer_post(&p, &w);
	CU_ASSERT_EQUAL(phca_mr_dereg(p.l->mem, p.key), 0);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, 8, 0);
	peer_wc(&p, 1, PHCA_WC_LOC_PROT_ERR);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(phca_mr_reg(p.l->mem, p.l->pd, p.mem, PEER_MEM, (uintptr_t)p.mem, PHCA_ACCESS_ALL, &p.key), 0);
	peer_close(&p);
}

PHCA_TEST(rc_retry, invalid_request_waits_for_those_before_it)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = nth(&p, PHCA_WR_SEND, 8, 1), bad = nth(&p, PHCA_WR_SEND, 8, 2);
	struct phca_sge sge = { (uintptr_t)p.mem, 8, p.key ^ 1 };

	bad.sge = &sge;
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &bad, 1), 1);
	w.wr_id = 3;
	CU_ASSERT_EQUAL(phca_post_send(p.q.qp, &w, 1), 1);
	lab_turn(p.l, 3);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	/* more was queued when it went, so it did not ask; now that nothing follows, it does */
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	CU_ASSERT(p.p.flags & PHCA_PKT_ACKREQ);
	peer_expect_none(&p);
	peer_no_wc(&p);
	peer_ack(&p, PEER_PSN, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_LOC_PROT_ERR);
	peer_wc(&p, 3, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_ERR);
	peer_close(&p);
}

PHCA_TEST(rc_retry, reset_forgets_what_is_outstanding)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_qp_attr a = { .state = PHCA_QPS_RESET };

	sends(&p, 3);
	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_STATE), 0);
	peer_wait(&p, 10 * PEER_TIMEOUT_NS);
	peer_expect_none(&p);
	peer_no_wc(&p);
	peer_close(&p);
}

PHCA_TEST(rc_retry, nobody_there_is_as_a_network_that_drops)
{
	struct peer_opts o = { .retry_cnt = 1 };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_SEND, 8);
	struct phca_qp_attr a = { .state = PHCA_QPS_SQD };

	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_STATE), 0);
	CU_ASSERT_EQUAL(phca_qp_query(p.q.qp, &a), 0);
	a.av.dgid[15] = 200;
	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_AV), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(p.q.qp, &a, PHCA_QP_STATE), 0);
	peer_post(&p, &w);
	for (unsigned int i = 0; i < 100; i++)
		peer_wait(&p, 100000000);
	peer_wc(&p, 1, PHCA_WC_RETRY_EXC_ERR);
	peer_close(&p);
}

/* Its memory goes between the first try and the second, with others outstanding before and behind it. */
PHCA_TEST(rc_retry, memory_that_is_gone_when_it_is_sent_again)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = nth(&p, PHCA_WR_SEND, 8, 2), in = {
		.opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED | PHCA_SEND_INLINE, .inline_data = "12345678",
		.inline_len = 8, .wr_id = 1,
	};

	peer_post(&p, &in);
	peer_post(&p, &w);
	in.wr_id = 3;
	peer_post(&p, &in);
	CU_ASSERT_EQUAL(peer_drain(&p), 3);
	CU_ASSERT_EQUAL(phca_mr_dereg(p.l->mem, p.key), 0);
	peer_wait(&p, PEER_TIMEOUT_NS);
	while (peer_next(&p))
		CU_ASSERT_EQUAL(p.p.psn.v, PEER_PSN); /* what came before it is still sent */
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_RTS);
	peer_ack(&p, PEER_PSN, PEER_ACK);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	peer_wc(&p, 2, PHCA_WC_LOC_PROT_ERR);
	peer_wc(&p, 3, PHCA_WC_WR_FLUSH_ERR);
	CU_ASSERT_EQUAL(lab_info(&p.q).state, PHCA_QPS_ERR);
	CU_ASSERT_EQUAL(phca_mr_reg(p.l->mem, p.l->pd, p.mem, PEER_MEM, (uintptr_t)p.mem, PHCA_ACCESS_ALL, &p.key), 0);
	peer_close(&p);
}

/* Through SQD with one attribute changed. */
static void change(struct peer *p, const struct phca_qp_attr *with, unsigned int mask)
{
	struct phca_qp_attr a = { .state = PHCA_QPS_SQD };

	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE), 0);
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, with, mask), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(p->q.qp, &a, PHCA_QP_STATE), 0);
	lab_turn(p->l, 2);
}

PHCA_TEST(rc_retry, a_timeout_set_in_sqd_is_for_what_is_outstanding)
{
	struct peer_opts o = { .no_timeout = true };
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, &o);
	struct phca_qp_attr a = { .timeout = PEER_TIMEOUT };

	sends(&p, 1);
	change(&p, &a, PHCA_QP_TIMEOUT);
	peer_expect_none(&p);
	peer_wait(&p, PEER_TIMEOUT_NS);
	peer_expect(&p, PHCA_RC_SEND_ONLY, PEER_PSN);
	peer_close(&p);
}

PHCA_TEST(rc_retry, max_rd_atomic_0_set_in_sqd_is_not_for_what_was_taken)
{
	struct peer p = peer_open(lab_open(NULL), PHCA_QPT_RC, NULL);
	struct phca_send_wr w = peer_wr(&p, PHCA_WR_RDMA_READ, 8);
	struct phca_qp_attr a = { .max_rd_atomic = 0 };

	peer_post(&p, &w);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	change(&p, &a, PHCA_QP_MAX_RD_ATOMIC);
	peer_wait(&p, PEER_TIMEOUT_NS);
	peer_expect(&p, PHCA_RC_READ_REQ, PEER_PSN);
	peer_read_resp(&p, PHCA_RC_READ_RESP_ONLY, PEER_PSN, 8, 0);
	peer_wc(&p, 1, PHCA_WC_SUCCESS);
	w.wr_id = 2; /* a new one is refused */
	peer_post(&p, &w);
	peer_wc(&p, 2, PHCA_WC_LOC_QP_OP_ERR);
	peer_close(&p);
}

/* A port whose driver takes nothing is a network that answers nothing: the tries end. */
PHCA_TEST(rc_retry, port_that_takes_nothing_ends_the_tries)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q[4];
	struct phca_wc wc;

	lab_turn(l, 2);
	while (rte_ring_free_count(l->out) > 0)
		CU_ASSERT_FATAL(rte_ring_enqueue(l->out, rte_pktmbuf_alloc(l->pool)) == 0);
	for (unsigned int i = 0; i < RTE_DIM(q); i++) {
		struct phca_sge sge = { 0, LAB_BUF, 0 };
		struct phca_send_wr wr = {
			.opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED, .sge = &sge, .num_sge = 1,
		};

		q[i] = lab_qp(l, PHCA_QPT_RC, 0);
		sge.addr = (uintptr_t)q[i].buf;
		sge.lkey = q[i].lkey;
		for (wr.wr_id = 0; wr.wr_id < LAB_DEPTH; wr.wr_id++)
			CU_ASSERT_EQUAL(phca_post_send(q[i].qp, &wr, 1), 1);
	}
	for (unsigned int t = 0; t < 200; t++) {
		lab_turn(l, 4);
		l->now_ns += UINT64_C(4096) << LAB_TIMEOUT;
	}
	for (unsigned int i = 0; i < RTE_DIM(q); i++) {
		for (uint64_t id = 0; id < LAB_DEPTH; id++) {
			CU_ASSERT_FATAL(lab_poll(&q[i], &wc));
			CU_ASSERT_EQUAL(wc.wr_id, id);
			CU_ASSERT_EQUAL(wc.status, id == 0 ? PHCA_WC_RETRY_EXC_ERR : PHCA_WC_WR_FLUSH_ERR);
		}
		CU_ASSERT_EQUAL(lab_info(&q[i]).state, PHCA_QPS_ERR);
		lab_qp_free(l, &q[i]);
	}
	lab_close(l);
}
