/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ladders of conformance: one clause of the IBTA specification, volume 1, a
 * test. Packets go in and come out, the clock is a variable, and each rung says
 * what is given and what must follow:
 *
 *   LADDER("9.7.5.1.2", rc_resp, one_ack_for_two, "an ACK acknowledges all before it")
 *   {
 *           recvs(2);
 *           give(RC_SEND_ONLY, .psn = 0, .n = 8, .noack = true);
 *           give(RC_SEND_ONLY, .psn = 1, .n = 8);
 *           expect_ack(1, 2);
 *           expect_recv(RECV, .n = 8);
 *           expect_recv(RECV, .n = 8);
 *           expect_nothing();
 *   }
 *
 * The suite names the side: ud, uc, rc, and resp or req. PSNs count from the first
 * one of their direction: 0 is the next expected, -1 past, 1 ahead, whatever the
 * PSN on the wire is. The queue pair is created by the first step; until then a
 * ladder may change what it will be (struct conform).
 *
 * A failed rung is reported and the ladder goes on, so that the laboratory is
 * always closed, which checks that every packet had one verdict and no buffer leaks.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include "../hca/lab.h"

#define MTU 256           /* path MTU, unless a ladder says otherwise */
#define PORT_MTU 4096
#define REGION 262144     /* bytes of memory of each side */
#define RECV_LEN 1024     /* bytes of a receive, unless a ladder says otherwise */
#define PEER_RKEY 0x5501u /* what WRs name; the peer is this file */
#define PEER_VA 0x7000000ull

/* AETH syndromes (9.7.5.2). */
#define ACK 0x1f          /* no credits given */
#define RNR 0x20          /* + timer code */
#define NAK_PSN 0x60
#define NAK_INVALID 0x61
#define NAK_ACCESS 0x62
#define NAK_OPERATION 0x63

/* A ladder: what it is made of, and where it is. */
struct conform {
	/* set before the first step */
	enum phca_qp_type type;
	struct phca_qp_attr attr;  /* state is where it begins; RTS */
	bool with_srq;
	uint32_t srq_limit;
	bool sig_all;
	uint32_t recv_len;         /* of each receive; UD: with PHCA_GRH_LEN */
	uint32_t depth;            /* of all queues */
	uint16_t port_mtu;
	bool ip6;                  /* packets are given over IPv6 */
	bool one_cq_entry;         /* CQs hold one completion */

	struct lab *l;
	bool begun;
	bool hold;                 /* what is given waits in the port until it is false and turns are taken */
	struct phca_qp *qp;
	uint32_t qpn;
	struct phca_cq *scq, *rcq;
	struct phca_srq *srq;
	uint8_t *region;           /* what the peer may read and write: rkey, address region */
	uint8_t *local;            /* what work requests send and receive: lkey */
	uint32_t rkey, lkey;
	uint8_t sent_op[256];      /* enum phca_wr_opcode, by wr_id */
	uint32_t sent_len[256];
	uint32_t nb_recv, nb_recv_done, nb_sent, nb_sent_done; /* wr_ids: posted, completed */
};
extern struct conform c;

void conform_run(const char *suite, void (*ladder)(void));
#define LADDER(clause_, suite_, name_, what_) \
	static void ladder_##suite_##_##name_(void); \
	PHCA_CLAUSE(clause_, suite_, name_, what_) \
	{ \
		conform_run(#suite_, ladder_##suite_##_##name_); \
	} \
	static void ladder_##suite_##_##name_(void)

/* Write a packet down that was given ('g') or sent ('s') to PHCA_CONFORM_FRAMES, for check_scapy.py. */
void record(char way, const void *frame, uint32_t len);

/* Create the queue pair, unless it is there. Steps do it. */
void begin(void);
/* Modify it; the attributes are those of c.attr but for the state. 0 or -errno */
int modify(enum phca_qp_state state, unsigned int mask);

/* Post n receives. */
void recvs(unsigned int n);
/* Turns of the data path, 1 us each. */
void turns(unsigned int n);
/* Whether query says that the send queue drains. */
bool draining(void);
/* All that it has sent so far: how many, PSNs of first and last, how many with AckReq. */
struct sent {
	unsigned int n, ackreqs;
	int32_t first, last;
};
struct sent collect(void);
/* Of all that it has sent so far, how many were CNPs to the peer's QP. */
unsigned int cnps(void);
/* Packets that it has sent so far and no rung asked for are let go. */
void ignore_sent(void);
/* Let time pass, then take turns. */
void pass_us(uint64_t us);

/* A packet for the queue pair. Zero members are what a right packet of this kind has. */
struct given {
	int dummy;
	int32_t psn;              /* see above */
	uint32_t n;               /* payload, bytes */
	uint8_t seed;             /* payload is seed, seed + 1, ... */
	uint64_t off;             /* RETH, AtomicETH: address, from the region's start */
	uint64_t va;              /* absolute, when not 0 */
	uint32_t rkey;
	uint32_t len;             /* RETH: DMA length; 0: n */
	uint64_t add, cmp;        /* AtomicETH: swap or add, compare; AtomicAckETH: cmp is original */
	uint8_t syndrome;         /* AETH */
	uint32_t msn;
	uint32_t imm, inv;
	uint16_t pkey;
	uint32_t qkey, sqpn, qpn;
	uint8_t from;             /* last byte of the source address */
	const uint8_t *to;        /* destination address; NULL: that of the connection */
	uint8_t ecn;              /* of the IP header */
	uint8_t xor_at, xor_with; /* change the byte so far behind BTH's start, before the iCRC is made */
	bool ack, noack;          /* AckReq other than: only in the packet that ends a message */
	bool solicited, migreq0, len0, bad_icrc;
};
void give_pkt(enum phca_opcode op, const struct given *g);
#define give(op_, ...) give_pkt(PHCA_##op_, &(struct given){ .dummy = 0, __VA_ARGS__ })

/* A packet that the queue pair must send next. Members that the opcode has not are not looked at. */
struct wanted {
	int dummy;
	int32_t psn;
	uint32_t n;
	uint8_t seed;
	uint64_t off;             /* RETH, AtomicETH: address, from PEER_VA */
	uint32_t len;
	uint64_t add, cmp;
	uint8_t syndrome;         /* of an ACK only its kind is compared */
	uint32_t msn;
	uint32_t imm, inv;
	uint32_t qkey, dqpn;
	uint16_t pkey;
	bool solicited, ackreq;   /* ackreq: it must be set; else it may be */
	bool any_msn;
	bool any_key;             /* zero-length: rkey and address are not looked at */
};
struct at { const char *file; unsigned int line; };
#define HERE ((struct at){ __FILE__, __LINE__ })
void expect_pkt_at(struct at at, enum phca_opcode op, const struct wanted *w);
#define expect_pkt(op_, ...) expect_pkt_at(HERE, PHCA_##op_, &(struct wanted){ .dummy = 0, __VA_ARGS__ })
#define expect_ack(psn_, msn_) expect_pkt(RC_ACK, .psn = (psn_), .msn = (msn_), .syndrome = ACK)
#define expect_nak(code_, psn_, msn_) expect_pkt(RC_ACK, .psn = (psn_), .msn = (msn_), .syndrome = (code_))
#define expect_rnr(timer_, psn_, msn_) \
	expect_pkt(RC_ACK, .psn = (psn_), .msn = (msn_), .syndrome = (uint8_t)(RNR + (timer_)))
/* The next packets have these PSNs (of responses), in this order; an ACK may stand for those before it. */
void expect_order_at(struct at at, const int32_t *psn, unsigned int n);
#define expect_order(...) \
	expect_order_at(HERE, (const int32_t[]){ __VA_ARGS__ }, sizeof((const int32_t[]){ __VA_ARGS__ }) / 4)
/* Nothing of memory is sent, and nothing executed: at most an acknowledgement comes. */
void expect_no_payload_at(struct at at);
#define expect_no_payload() expect_no_payload_at(HERE)
/* No positive acknowledgement of this PSN or a later one comes. */
void expect_no_ack_of_at(struct at at, int32_t psn);
#define expect_no_ack_of(psn_) expect_no_ack_of_at(HERE, psn_)
/* No packet; and also no completion. */
void expect_silence_at(struct at at);
#define expect_silence() expect_silence_at(HERE)
void expect_nothing_at(struct at at);
#define expect_nothing() expect_nothing_at(HERE)

/* A completion of a receive: the next one, with this content. */
struct received {
	int dummy;
	uint32_t n;
	uint8_t seed;
	uint32_t imm, inv, sqpn;
	uint32_t status;
};
void expect_recv_at(struct at at, enum phca_wc_opcode op, const struct received *r);
#define expect_recv(op_, ...) expect_recv_at(HERE, PHCA_WC_##op_, &(struct received){ .dummy = 0, __VA_ARGS__ })
/* A completion of a send: the next one posted that is signaled. */
void expect_sent_at(struct at at, enum phca_wc_status status);
#define expect_sent(status_) expect_sent_at(HERE, PHCA_WC_##status_)
/* The next send has failed, by its own fault. */
void expect_sent_in_error_at(struct at at);
#define expect_sent_in_error() expect_sent_in_error_at(HERE)
/* No send has succeeded. */
void expect_no_success_at(struct at at);
#define expect_no_success() expect_no_success_at(HERE)
/* As many completions of receives and sends, in order, flushed. */
void expect_flushed_at(struct at at, unsigned int recvs, unsigned int sends);
#define expect_flushed(recvs_, sends_) expect_flushed_at(HERE, recvs_, sends_)
/* No completion was there. */
void expect_no_completion_at(struct at at);
#define expect_no_completion() expect_no_completion_at(HERE)

/* What the peer wrote; what a READ brought (local). */
void expect_region_at(struct at at, uint64_t off, uint32_t n, uint8_t seed);
#define expect_region(off_, n_, seed_) expect_region_at(HERE, off_, n_, seed_)
void expect_local_at(struct at at, uint64_t off, uint32_t n, uint8_t seed);
#define expect_local(off_, n_, seed_) expect_local_at(HERE, off_, n_, seed_)
/* The region is as it was: nothing has been written to these bytes. */
void expect_untouched_at(struct at at, uint64_t off, uint32_t n);
#define expect_untouched(off_, n_) expect_untouched_at(HERE, off_, n_)
/* 8 bytes of the region, host order, that atomics see. */
uint64_t value(uint64_t off);
void value_set(uint64_t off, uint64_t v);
void expect_value_at(struct at at, uint64_t off, uint64_t v);
#define expect_value(off_, v_) expect_value_at(HERE, off_, v_)

void expect_verdict_at(struct at at, enum phca_verdict v, uint64_t n);
#define expect_verdict(v_, n_) expect_verdict_at(HERE, PHCA_V_##v_, n_)
void expect_state_at(struct at at, enum phca_qp_state s);
#define expect_state(s_) expect_state_at(HERE, PHCA_QPS_##s_)
/* The next event is this one, of this queue pair; there is none. */
void expect_event_at(struct at at, enum phca_event_type t);
#define expect_event(t_) expect_event_at(HERE, PHCA_EVENT_##t_)
void expect_no_event_at(struct at at);
#define expect_no_event() expect_no_event_at(HERE)
void expect_int_at(struct at at, const char *what, int64_t got, int64_t want);
#define expect_int(got_, want_) expect_int_at(HERE, #got_, (int64_t)(got_), (int64_t)(want_))

/* A send work request. Its data is seed, seed + 1, ...; atomics and READs land at c.local. */
struct posted {
	int dummy;
	uint32_t n;
	uint8_t seed;
	uint32_t flags;           /* PHCA_SEND_* besides SIGNALED */
	bool unsignaled;
	uint32_t nb_sge;          /* n is spread over so many elements; 0: one, none when n is 0 */
	uint64_t off;             /* remote address, from PEER_VA; where in c.local for READ and atomics */
	uint32_t imm, inv, lkey, rkey;
	uint64_t add, swap;       /* compare_add, swap; BIND_MW: rights, new rkey */
	uint32_t dqpn, qkey;      /* UD */
};
void post_wr(enum phca_wr_opcode op, const struct posted *p);
#define post(op_, ...) post_wr(PHCA_WR_##op_, &(struct posted){ .dummy = 0, __VA_ARGS__ })

#endif
