/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders: the state table of 11.2.5.2 (table 91 in release 1.2.1), as rows that
 * this file states by itself: what each transition needs, what it allows besides,
 * and all others, which must not be.
 */
#include <errno.h>

#include "conform.h"

#define AV PHCA_QP_AV
#define MTU_ PHCA_QP_PATH_MTU
#define DEST PHCA_QP_DEST_QPN
#define RQPSN PHCA_QP_RQ_PSN
#define SQPSN PHCA_QP_SQ_PSN
#define DRD PHCA_QP_MAX_DEST_RD_ATOMIC
#define RD PHCA_QP_MAX_RD_ATOMIC
#define RNRT PHCA_QP_MIN_RNR_TIMER
#define PKEY PHCA_QP_PKEY
#define QKEY PHCA_QP_QKEY
#define ACC PHCA_QP_ACCESS
#define TMO PHCA_QP_TIMEOUT
#define RTRY PHCA_QP_RETRY_CNT
#define RNRTRY PHCA_QP_RNR_RETRY
#define CUR PHCA_QP_CUR_STATE
#define NOTIFY PHCA_QP_EN_SQD_NOTIFY

#define NB_ATTRS 21 /* bits of masks */
static const unsigned int all = AV | MTU_ | DEST | RQPSN | SQPSN | DRD | RD | RNRT | PKEY | QKEY | ACC | TMO | RTRY |
	RNRTRY | CUR | NOTIFY;

/* Bring the queue pair of this type to a state. */
static void bring(enum phca_qp_type type, enum phca_qp_state s)
{
	c.type = type;
	c.attr.state = s > PHCA_QPS_RTS ? PHCA_QPS_RTS : s;
	c.attr.cur_state = s;
	begin();
	if (s == PHCA_QPS_SQE) {
		post(SEND, .n = 4, .lkey = 0xdead00);
		expect_sent(LOC_PROT_ERR);
	} else if (s > PHCA_QPS_RTS) {
		expect_int(modify(s, 0), 0);
	}
	expect_int(phca_poll_cq(c.scq, 1, &(struct phca_wc){ 0 }), 0);
}

static enum phca_qp_state now(void)
{
	struct phca_qp_attr a;

	expect_int(phca_qp_query(c.qp, &a), 0);
	return a.state;
}

/*
 * One row: without each of what it needs, and with each of what it has not, the
 * transition is refused and the state stays; with all it is done.
 */
static void row(enum phca_qp_type type, enum phca_qp_state from, enum phca_qp_state to, unsigned int need,
		unsigned int may)
{
	bring(type, from);
	for (unsigned int i = 0; i < NB_ATTRS; i++) {
		unsigned int bit = 1u << i & all;

		if (bit & need)
			expect_int(modify(to, (need | may) & ~bit), -EINVAL);
		else if (bit & ~may)
			expect_int(modify(to, need | bit), -EINVAL);
		expect_int(now(), from);
	}
	expect_int(modify(to, need | may), 0);
	expect_int(now(), to);
}

#define ROW(type_, name_, from_, to_, need_, may_, what_) \
	LADDER("11.2.5.2", state, name_, what_) \
	{ \
		row(PHCA_QPT_##type_, PHCA_QPS_##from_, PHCA_QPS_##to_, need_, may_); \
	}

ROW(RC, rc_reset_to_init, RESET, INIT, PKEY | ACC, 0, "RC, RESET to INIT: P_Key and access")
ROW(RC, rc_init_to_rtr, INIT, RTR, AV | MTU_ | DEST | RQPSN | DRD | RNRT, PKEY | ACC,
	"RC, INIT to RTR: the peer, the PSN expected, responder resources, RNR timer")
ROW(RC, rc_rtr_to_rts, RTR, RTS, SQPSN | TMO | RTRY | RNRTRY | RD, CUR | ACC | RNRT,
	"RC, RTR to RTS: the first PSN, timeout, retries, READs and atomics outstanding")
ROW(RC, rc_rts_to_sqd, RTS, SQD, 0, NOTIFY, "RC, RTS to SQD: nothing needed")
ROW(RC, rc_sqd_to_rts, SQD, RTS, 0, CUR | ACC | RNRT, "RC, SQD to RTS: nothing needed")
ROW(RC, rc_in_init, INIT, INIT, 0, PKEY | ACC, "RC in INIT: P_Key and access may change")
ROW(RC, rc_in_rts, RTS, RTS, 0, CUR | ACC | RNRT, "RC in RTS: access and RNR timer may change")
ROW(RC, rc_in_sqd, SQD, SQD, 0, AV | TMO | RTRY | RNRTRY | RD | DRD | ACC | PKEY | RNRT,
	"RC in SQD: path, timers, retries, resources may change")
ROW(UC, uc_reset_to_init, RESET, INIT, PKEY | ACC, 0, "UC, RESET to INIT: P_Key and access")
ROW(UC, uc_rtr_to_rts, RTR, RTS, SQPSN, CUR | ACC, "UC, RTR to RTS: the first PSN")
ROW(UC, uc_rts_to_sqd, RTS, SQD, 0, NOTIFY, "UC, RTS to SQD: nothing needed")
ROW(UC, uc_sqd_to_rts, SQD, RTS, 0, CUR | ACC, "UC, SQD to RTS: nothing needed")
ROW(UC, uc_in_init, INIT, INIT, 0, PKEY | ACC, "UC in INIT: P_Key and access may change")
ROW(UC, uc_in_rts, RTS, RTS, 0, CUR | ACC, "UC in RTS: access may change")
ROW(UD, ud_reset_to_init, RESET, INIT, PKEY | QKEY, 0, "UD, RESET to INIT: P_Key and Q_Key")
ROW(UD, ud_init_to_rtr, INIT, RTR, 0, PKEY | QKEY, "UD, INIT to RTR: nothing needed")
ROW(UD, ud_rtr_to_rts, RTR, RTS, SQPSN, CUR | QKEY, "UD, RTR to RTS: the first PSN")
ROW(UD, ud_rts_to_sqd, RTS, SQD, 0, NOTIFY, "UD, RTS to SQD: nothing needed")
ROW(UD, ud_sqd_to_rts, SQD, RTS, 0, CUR | QKEY, "UD, SQD to RTS: nothing needed")
ROW(UD, ud_sqe_to_rts, SQE, RTS, 0, CUR | QKEY, "UD, SQE to RTS: nothing needed")
ROW(UD, ud_in_init, INIT, INIT, 0, PKEY | QKEY, "UD in INIT: P_Key and Q_Key may change")
ROW(UD, ud_in_rts, RTS, RTS, 0, CUR | QKEY, "UD in RTS: the Q_Key may change")
ROW(UD, ud_in_sqd, SQD, SQD, 0, PKEY | QKEY, "UD in SQD: P_Key and Q_Key may change")

/* A UC queue pair may do without an address: then any peer's packets are its peer's. */
LADDER("11.2.5.2", state, uc_init_to_rtr, "UC, INIT to RTR: path MTU, peer's QPN, PSN expected")
{
	bring(PHCA_QPT_UC, PHCA_QPS_INIT);
	expect_int(modify(PHCA_QPS_RTR, AV | DEST | RQPSN), -EINVAL);
	expect_int(modify(PHCA_QPS_RTR, AV | MTU_ | RQPSN), -EINVAL);
	expect_int(modify(PHCA_QPS_RTR, AV | MTU_ | DEST), -EINVAL);
	expect_int(modify(PHCA_QPS_RTR, AV | MTU_ | DEST | RQPSN | DRD), -EINVAL);
	expect_int(modify(PHCA_QPS_RTR, AV | MTU_ | DEST | RQPSN | RNRT), -EINVAL);
	expect_int(now(), PHCA_QPS_INIT);
	expect_int(modify(PHCA_QPS_RTR, AV | MTU_ | DEST | RQPSN | PKEY | ACC), 0);
	expect_int(now(), PHCA_QPS_RTR);
}

/* Transitions that the table has, besides to RESET and ERR: bit to of row from. */
static bool allowed(enum phca_qp_state from, enum phca_qp_state to)
{
	static const uint8_t to_bits[] = {
		[PHCA_QPS_RESET] = 1 << PHCA_QPS_INIT,
		[PHCA_QPS_INIT] = 1 << PHCA_QPS_INIT | 1 << PHCA_QPS_RTR,
		[PHCA_QPS_RTR] = 1 << PHCA_QPS_RTS,
		[PHCA_QPS_RTS] = 1 << PHCA_QPS_RTS | 1 << PHCA_QPS_SQD,
		[PHCA_QPS_SQD] = 1 << PHCA_QPS_SQD | 1 << PHCA_QPS_RTS,
		[PHCA_QPS_SQE] = 1 << PHCA_QPS_RTS,
		[PHCA_QPS_ERR] = 0,
	};

	return to_bits[from] >> to & 1;
}

static void all_others(enum phca_qp_type type, enum phca_qp_state from)
{
	bring(type, from);
	for (enum phca_qp_state to = PHCA_QPS_INIT; to < PHCA_QPS_ERR; to++) {
		if (allowed(from, to))
			continue;
		expect_int(modify(to, 0), -EINVAL);
		expect_int(modify(to, all), -EINVAL);
		expect_int(modify(to, PKEY | ACC | AV | MTU_ | DEST | RQPSN | DRD | RNRT), -EINVAL);
		expect_int(modify(to, SQPSN | TMO | RTRY | RNRTRY | RD), -EINVAL);
		expect_int(modify(to, PKEY | QKEY), -EINVAL);
		expect_int(now(), from);
	}
}

#define OTHERS(from_, name_) \
	LADDER("10.3.1", state, name_##_rc, "RC: " #from_ " goes only where the state diagram has an arrow") \
	{ \
		all_others(PHCA_QPT_RC, PHCA_QPS_##from_); \
	} \
	LADDER("10.3.1", state, name_##_uc, "UC: " #from_ " goes only where the state diagram has an arrow") \
	{ \
		all_others(PHCA_QPT_UC, PHCA_QPS_##from_); \
	} \
	LADDER("10.3.1", state, name_##_ud, "UD: " #from_ " goes only where the state diagram has an arrow") \
	{ \
		all_others(PHCA_QPT_UD, PHCA_QPS_##from_); \
	}

OTHERS(RESET, from_reset)
OTHERS(INIT, from_init)
OTHERS(RTR, from_rtr)
OTHERS(RTS, from_rts)
OTHERS(SQD, from_sqd)
OTHERS(ERR, from_err)

static void to_reset_and_err(enum phca_qp_type type)
{
	bring(type, PHCA_QPS_RTS);
	expect_int(modify(PHCA_QPS_RESET, ACC), -EINVAL);
	expect_int(modify(PHCA_QPS_ERR, ACC), -EINVAL);
	expect_int(now(), PHCA_QPS_RTS);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_int(now(), PHCA_QPS_ERR);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_int(modify(PHCA_QPS_RESET, 0), 0);
	expect_int(now(), PHCA_QPS_RESET);
	expect_int(modify(PHCA_QPS_ERR, 0), -EINVAL);
	expect_int(modify(PHCA_QPS_RESET, 0), 0);
}

LADDER("10.3.1", state, to_reset_and_err_rc,
	"RC: RESET and ERR are reached from every state, with nothing given")
{
	to_reset_and_err(PHCA_QPT_RC);
}

LADDER("10.3.1", state, to_reset_and_err_uc,
	"UC: RESET and ERR are reached from every state, with nothing given")
{
	to_reset_and_err(PHCA_QPT_UC);
}

LADDER("10.3.1", state, to_reset_and_err_ud,
	"UD: RESET and ERR are reached from every state, with nothing given")
{
	to_reset_and_err(PHCA_QPT_UD);
}

LADDER("11.2.5.2", state, query_returns_what_was_set,
	"query gives the attributes as modify set them")
{
	struct phca_qp_attr a;

	c.attr.timeout = 17;
	c.attr.retry_cnt = 5;
	c.attr.rnr_retry = 7;
	c.attr.max_rd_atomic = 3;
	c.attr.max_dest_rd_atomic = 9;
	c.attr.min_rnr_timer = 31;
	c.attr.rq_psn = phca_psn(0xabcdef);
	c.attr.sq_psn = phca_psn(0xfedcba);
	c.attr.dest_qpn = 0x123456;
	bring(PHCA_QPT_RC, PHCA_QPS_RTS);
	expect_int(phca_qp_query(c.qp, &a), 0);
	expect_int(a.timeout, 17);
	expect_int(a.retry_cnt, 5);
	expect_int(a.rnr_retry, 7);
	expect_int(a.max_rd_atomic, 3);
	expect_int(a.max_dest_rd_atomic, 9);
	expect_int(a.min_rnr_timer, 31);
	expect_int(a.rq_psn.v, 0xabcdef);
	expect_int(a.sq_psn.v, 0xfedcba);
	expect_int(a.dest_qpn, 0x123456);
	expect_int(a.path_mtu, MTU);
	expect_int(a.pkey, PHCA_PKEY_DEFAULT);
	expect_int(a.access, c.attr.access);
	expect_int(memcmp(a.av.dgid, c.attr.av.dgid, 16), 0);
}

LADDER("11.2.5.3", state, query_shows_what_moved, "query gives PSNs as they are now")
{
	struct phca_qp_attr a;

	c.type = PHCA_QPT_UC;
	recvs(1);
	give(UC_SEND_ONLY, .psn = 0, .n = 4);
	expect_int(phca_qp_query(c.qp, &a), 0);
	expect_int(a.rq_psn.v, 0x1001);
}

LADDER("11.2.5.2", state, current_state_must_be_right,
	"a current state that is not the state refuses the transition")
{
	bring(PHCA_QPT_UD, PHCA_QPS_RTR);
	c.attr.cur_state = PHCA_QPS_INIT;
	expect_int(modify(PHCA_QPS_RTS, SQPSN | CUR), -EINVAL);
	expect_int(now(), PHCA_QPS_RTR);
	c.attr.cur_state = PHCA_QPS_RTR;
	expect_int(modify(PHCA_QPS_RTS, SQPSN | CUR), 0);
}

/* Values of one attribute that are refused, in the transition that sets it. */
#define REFUSED(name_, from_, to_, need_, set_, what_) \
	LADDER("11.2.5.2", state, name_, what_) \
	{ \
		struct phca_qp_attr right; \
\
		bring(PHCA_QPT_RC, PHCA_QPS_##from_); \
		right = c.attr; \
		c.attr.set_; \
		expect_int(modify(PHCA_QPS_##to_, need_), -EINVAL); \
		expect_int(now(), PHCA_QPS_##from_); \
		c.attr = right; \
		expect_int(modify(PHCA_QPS_##to_, need_), 0); \
	}

#define TO_RTR (AV | MTU_ | DEST | RQPSN | DRD | RNRT)
#define TO_RTS (SQPSN | TMO | RTRY | RNRTRY | RD)
REFUSED(mtu_no_power_of_two, INIT, RTR, TO_RTR, path_mtu = 1500, "path MTU 1500: the path MTUs are 256 to 4096")
REFUSED(mtu_too_small, INIT, RTR, TO_RTR, path_mtu = 128, "path MTU 128: the path MTUs are 256 to 4096")
REFUSED(mtu_over_the_ports, INIT, RTR, TO_RTR, path_mtu = 8192, "a path MTU over the port's")
REFUSED(dest_qpn_of_25_bits, INIT, RTR, TO_RTR, dest_qpn = 0x1000000, "a QPN has 24 bits")
REFUSED(rnr_timer_of_6_bits, INIT, RTR, TO_RTR, min_rnr_timer = 32, "an RNR timer code has 5 bits")
REFUSED(responder_resources, INIT, RTR, TO_RTR, max_dest_rd_atomic = PHCA_RD_ATOMIC_MAX + 1,
	"more responder resources than the HCA has")
REFUSED(gid_index, INIT, RTR, TO_RTR, av.sgid_index = 200, "an index behind the GID table")
REFUSED(multicast_peer, INIT, RTR, TO_RTR, av.dgid[12] = 0xe0, "a connected peer has no multicast address")
REFUSED(timeout_of_6_bits, RTR, RTS, TO_RTS, timeout = 32, "a local ACK timeout has 5 bits")
REFUSED(retry_cnt_of_4_bits, RTR, RTS, TO_RTS, retry_cnt = 8, "a retry count has 3 bits")
REFUSED(rnr_retry_of_4_bits, RTR, RTS, TO_RTS, rnr_retry = 8, "an RNR retry count has 3 bits")
REFUSED(initiator_depth, RTR, RTS, TO_RTS, max_rd_atomic = PHCA_RD_ATOMIC_MAX + 1,
	"more READs and atomics outstanding than the HCA has room for")
REFUSED(access_rights_unknown, RESET, INIT, PKEY | ACC, access = 0x8000, "access rights that do not exist")

LADDER("11.6.3.1", state, error_event,
	"going to ERR by itself raises one event; a second error none")
{
	bring(PHCA_QPT_UD, PHCA_QPS_RTS);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_event(QP_FATAL);
	expect_int(modify(PHCA_QPS_ERR, 0), 0);
	expect_no_event();
}
