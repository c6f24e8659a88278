/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules: from text to struct and back. No EAL, no state.
 */
#ifndef RULES_H
#define RULES_H

#include "phca_impair.h"
#include "phca_wire.h"

#define RULES_COPIES_MAX 31 /* copies of a packet, by all rules of a direction */

/* What a rule does. X(ENUM, word) */
#define ACTIONS(X) \
	X(DROP, "drop") X(DUP, "dup") X(DELAY, "delay") X(REORDER, "reorder") \
	X(CORRUPT, "corrupt") X(ECN, "ecn") X(RATE, "rate")

enum action {
#define ACTION_ENUM(e, w) ACTION_##e,
	ACTIONS(ACTION_ENUM)
#undef ACTION_ENUM
	ACTION_COUNT
};

/* Which bits 'corrupt' flips. */
enum region {
	REGION_ANY,     /* BTH to the end; of other packets all behind the MAC addresses */
	REGION_HEADERS, /* BTH and extended headers */
	REGION_PAYLOAD,
};

struct range { uint32_t lo, hi; bool set; };

/* One rule: conditions, choice, action. */
struct rule {
	uint8_t action;              /* enum action */
	bool dir[PHCA_IMPAIR_DIRS];
	/* conditions, all of them */
	struct range qpn, psn;       /* psn.lo > psn.hi: over 2^24 */
	struct range xmit, len;
	bool roce_only;              /* a condition or action that needs BTH */
	bool has_op, op_other;       /* op_other: what is no RoCEv2 */
	uint64_t op[4];              /* a bit for each opcode */
	char op_text[96];
	/* choice among the packets that meet them */
	bool has_p;
	double p;
	uint32_t nth, skip, max;     /* 0: not given */
	/* action */
	uint8_t copies;
	uint16_t by, bits;
	uint8_t region;              /* enum region */
	bool forge, force;
	uint64_t time_ns, jitter_ns, timeout_ns, late_ns;
	uint64_t bps;
	uint32_t burst_bytes, queue_bytes;
	uint64_t id;                 /* of its text: what seeds its random sequence */
};

struct rules {
	unsigned int nb;
	struct rule rule[PHCA_IMPAIR_RULES_MAX];
};

/*
 * Parse rules, one a line or separated by ';'.
 * dir[]: the directions of a rule that names none. where: what err begins with.
 * 0, or -EINVAL with err: "WHERE:LINE: ..."
 */
int rules_parse(const char *text, const char *where, const bool dir[PHCA_IMPAIR_DIRS],
	struct rules *r, char *err, size_t err_len);

/* Put the rules of `more` behind those of `r`. 0, or -EINVAL with err. */
int rules_append(struct rules *r, const struct rules *more, const char *where, char *err, size_t err_len);

/* Write a rule in full; what it writes parses to the same rule. */
void rule_print(const struct rule *r, char *buf, size_t len);

#endif
