/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An offload, ordered for inbound requests, whose test decides on each: at once by a
 * policy, or later, in any order.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "lab.h"

#define JUDGE_MAX 256
#define JUDGE_MARK 0xa0 /* messages whose first byte is JUDGE_MARK .. + 15, of 8 bytes at least, match */

enum judge_verdict { JUDGE_WAIT, JUDGE_PASS, JUDGE_DONE };

struct judge {
	struct phca_offload_req *req[JUDGE_MAX]; /* undecided, in the order of their arrival */
	unsigned int n;
	unsigned int submitted;
	/* what to do with a new one; NULL: JUDGE_WAIT */
	enum judge_verdict (*policy)(const struct phca_offload_req *req);
	struct phca_offload *o;
	struct phca_rule rule[2];  /* marked messages; READs and atomics */
};

/* Rules of a queue pair: marked messages; with answers, READs and atomics, too. There is one judge at a time. */
struct judge *judge_open(struct lab *l, bool answers);
/* Nothing uses it any more. */
void judge_close(struct judge *j);
/* Policies. */
enum judge_verdict judge_pass_all(const struct phca_offload_req *req);
enum judge_verdict judge_done_all(const struct phca_offload_req *req);
/* Decide on undecided request i; those behind it move up. Turns follow. */
void judge_pass(struct lab *l, struct judge *j, unsigned int i);
void judge_done(struct lab *l, struct judge *j, unsigned int i);
/* The application receives n bytes seed, seed + 1, .. instead. */
void judge_deliver(struct lab *l, struct judge *j, unsigned int i, uint32_t n, uint8_t seed);

#endif
