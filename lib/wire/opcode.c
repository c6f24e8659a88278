/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The opcode table: one row an opcode, from which parser, builder, requester and
 * responder all read. A row names the extended headers once, as a set; lengths
 * and offsets are computed from the set by the compiler, so they cannot disagree.
 * A reserved opcode's row is all zero: it has no name.
 */
#include "phca_wire.h"

/* Sets of extended headers. */
#define NONE      0
#define DETH      (1 << PHCA_HDR_DETH)
#define RETH      (1 << PHCA_HDR_RETH)
#define ATOMICETH (1 << PHCA_HDR_ATOMICETH)
#define AETH      (1 << PHCA_HDR_AETH)
#define ATOMICACK (1 << PHCA_HDR_ATOMICACKETH)
#define IMMDT     (1 << PHCA_HDR_IMMDT)
#define IETH      (1 << PHCA_HDR_IETH)
#define CNPRES    (1 << PHCA_HDR_CNPRES)

/* Offset from BTH of the header that would follow those of set h up to one. */
#define AT_DETH(h)      ((int)sizeof(struct phca_bth))
#define AT_RETH(h)      (AT_DETH(h) + ((h) & DETH ? (int)sizeof(struct phca_deth) : 0))
#define AT_ATOMICETH(h) (AT_RETH(h) + ((h) & RETH ? (int)sizeof(struct phca_reth) : 0))
#define AT_AETH(h) \
	(AT_ATOMICETH(h) + ((h) & ATOMICETH ? (int)sizeof(struct phca_atomiceth) : 0))
#define AT_ATOMICACK(h) (AT_AETH(h) + ((h) & AETH ? (int)sizeof(struct phca_aeth) : 0))
#define AT_IMMDT(h) \
	(AT_ATOMICACK(h) + ((h) & ATOMICACK ? (int)sizeof(struct phca_atomicacketh) : 0))
#define AT_IETH(h)      (AT_IMMDT(h) + ((h) & IMMDT ? (int)sizeof(struct phca_immdt) : 0))
#define AT_CNPRES(h)    (AT_IETH(h) + ((h) & IETH ? (int)sizeof(struct phca_ieth) : 0))
#define AT_END(h)       (AT_CNPRES(h) + ((h) & CNPRES ? PHCA_CNPRES_LEN : 0))

#define OFF(h, H) ((h) & H ? AT_##H(h) : 0)

#define ROW(opcode, t, o, f, h) \
	[PHCA_##opcode] = { \
		.name = #opcode, .transport = PHCA_TRANSPORT_##t, .op = PHCA_OP_##o, \
		.flags = (f), .hdrs = (h), .hdr_len = AT_END(h), \
		.off = { \
			[PHCA_HDR_DETH] = OFF(h, DETH), \
			[PHCA_HDR_RETH] = OFF(h, RETH), \
			[PHCA_HDR_ATOMICETH] = OFF(h, ATOMICETH), \
			[PHCA_HDR_AETH] = OFF(h, AETH), \
			[PHCA_HDR_ATOMICACKETH] = OFF(h, ATOMICACK), \
			[PHCA_HDR_IMMDT] = OFF(h, IMMDT), \
			[PHCA_HDR_IETH] = OFF(h, IETH), \
			[PHCA_HDR_CNPRES] = OFF(h, CNPRES), \
		}, \
	}

/* Sets of flags: part of a message, request or acknowledge, with payload. */
#define FIRST PHCA_OPF_FIRST
#define LAST  PHCA_OPF_LAST
#define ONLY  (FIRST | LAST)
#define REQ   PHCA_OPF_REQUEST
#define REQP  (REQ | PHCA_OPF_PAYLOAD)
#define ACK   PHCA_OPF_ACK
#define ACKP  (ACK | PHCA_OPF_PAYLOAD)
#define IMM   PHCA_OPF_IMM
#define INV   PHCA_OPF_INV
#define RECV  PHCA_OPF_RECV

/* SEND and RDMA WRITE are the same in RC and UC. */
#define SEND_WRITE_ROWS(T) \
	ROW(T##_SEND_FIRST,     T, SEND,  REQP | FIRST,             NONE), \
	ROW(T##_SEND_MIDDLE,    T, SEND,  REQP,                     NONE), \
	ROW(T##_SEND_LAST,      T, SEND,  REQP | LAST | RECV,       NONE), \
	ROW(T##_SEND_LAST_IMM,  T, SEND,  REQP | LAST | RECV | IMM, IMMDT), \
	ROW(T##_SEND_ONLY,      T, SEND,  REQP | ONLY | RECV,       NONE), \
	ROW(T##_SEND_ONLY_IMM,  T, SEND,  REQP | ONLY | RECV | IMM, IMMDT), \
	ROW(T##_WRITE_FIRST,    T, WRITE, REQP | FIRST,             RETH), \
	ROW(T##_WRITE_MIDDLE,   T, WRITE, REQP,                     NONE), \
	ROW(T##_WRITE_LAST,     T, WRITE, REQP | LAST,              NONE), \
	ROW(T##_WRITE_LAST_IMM, T, WRITE, REQP | LAST | RECV | IMM, IMMDT), \
	ROW(T##_WRITE_ONLY,     T, WRITE, REQP | ONLY,              RETH), \
	ROW(T##_WRITE_ONLY_IMM, T, WRITE, REQP | ONLY | RECV | IMM, RETH | IMMDT)

const struct phca_opcode_info phca_opcode_table[256] = {
	SEND_WRITE_ROWS(RC),
	ROW(RC_READ_REQ,         RC, READ_REQ,   REQ | ONLY,   RETH),
	ROW(RC_READ_RESP_FIRST,  RC, READ_RESP,  ACKP | FIRST, AETH),
	ROW(RC_READ_RESP_MIDDLE, RC, READ_RESP,  ACKP,         NONE),
	ROW(RC_READ_RESP_LAST,   RC, READ_RESP,  ACKP | LAST,  AETH),
	ROW(RC_READ_RESP_ONLY,   RC, READ_RESP,  ACKP | ONLY,  AETH),
	ROW(RC_ACK,              RC, ACK,        ACK | ONLY,   AETH),
	ROW(RC_ATOMIC_ACK,       RC, ATOMIC_ACK, ACK | ONLY,   AETH | ATOMICACK),
	ROW(RC_CMP_SWAP,         RC, CMP_SWAP,   REQ | ONLY,   ATOMICETH),
	ROW(RC_FETCH_ADD,        RC, FETCH_ADD,  REQ | ONLY,   ATOMICETH),
	ROW(RC_SEND_LAST_INV,    RC, SEND,       REQP | LAST | RECV | INV, IETH),
	ROW(RC_SEND_ONLY_INV,    RC, SEND,       REQP | ONLY | RECV | INV, IETH),
	SEND_WRITE_ROWS(UC),
	ROW(UD_SEND_ONLY,        UD, SEND,       REQP | ONLY | RECV,       DETH),
	ROW(UD_SEND_ONLY_IMM,    UD, SEND,       REQP | ONLY | RECV | IMM, DETH | IMMDT),
	/* neither a request nor an acknowledge: to the sender's rate control */
	ROW(CNP,                 CNP, CNP,       ONLY,         CNPRES),
};

const char *phca_transport_str(enum phca_transport t)
{
	static const char *const names[] = {
		[PHCA_TRANSPORT_RC] = "RC", [PHCA_TRANSPORT_UC] = "UC",
		[PHCA_TRANSPORT_RD] = "RD", [PHCA_TRANSPORT_UD] = "UD",
		[PHCA_TRANSPORT_CNP] = "CNP", [PHCA_TRANSPORT_XRC] = "XRC",
	};

	return (unsigned int)t < sizeof(names) / sizeof(names[0]) ? names[t] : "?";
}

const char *phca_op_str(enum phca_op op)
{
	static const char *const names[PHCA_OP_COUNT] = {
		[PHCA_OP_SEND] = "SEND", [PHCA_OP_WRITE] = "WRITE",
		[PHCA_OP_READ_REQ] = "READ_REQ", [PHCA_OP_READ_RESP] = "READ_RESP",
		[PHCA_OP_ACK] = "ACK", [PHCA_OP_ATOMIC_ACK] = "ATOMIC_ACK",
		[PHCA_OP_CMP_SWAP] = "CMP_SWAP", [PHCA_OP_FETCH_ADD] = "FETCH_ADD",
		[PHCA_OP_CNP] = "CNP",
	};

	return (unsigned int)op < PHCA_OP_COUNT ? names[op] : "?";
}
