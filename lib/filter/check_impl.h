/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forward pass: what it knows about registers and stack on one path.
 */
#ifndef CHECK_IMPL_H
#define CHECK_IMPL_H

#include "filter_impl.h"

#define CHECK_REGS 11
#define CHECK_SLOTS (FILTER_STACK / 8)

enum reg_type {
	REG_NONE,   /* never written on this path; using it is refused */
	REG_SCALAR, /* a number, lo..hi unsigned */
	REG_CTX,    /* pointer to the context, off + lo..hi bytes in */
	REG_STACK,  /* pointer to the stack, off bytes from its end (negative) */
	REG_MAP,    /* a map, as bpf_map_lookup_elem wants it */
	REG_VALUE,  /* pointer to a value of map idx */
	REG_MAYBE,  /* the same or NULL: not checked yet */
	REG_GLOBAL, /* pointer to globals section idx */
};

/* What is known of one register. */
struct reg {
	uint8_t type;   /* enum reg_type */
	uint8_t zeros;  /* the number (pointers: lo..hi part) ends with so many 0 bits */
	uint16_t idx;   /* map or section */
	uint32_t id;    /* REG_MAYBE: the call that made it + 1 */
	int64_t off;    /* pointers: constant part of the offset */
	uint64_t lo;    /* number, or variable part of the offset: least */
	uint64_t hi;    /* and greatest value */
};

/* What is known at one instruction on one path. */
struct state {
	unsigned int pc;
	struct reg r[CHECK_REGS];
	struct reg spill[CHECK_SLOTS];  /* what an 8-byte store left; REG_NONE: bytes */
	uint64_t init[CHECK_SLOTS / 8]; /* bit set: that stack byte was written */
	struct state *next;
};

struct check {
	struct phca_filter *f;
	const struct ebpf_insn *ins;
	unsigned int nb;
	struct filter_call *calls;
	uint32_t *ctx_words; /* bit i: word i of the context may be read */
	const struct filter_err *e;
};

struct reg reg_const(uint64_t v);
struct reg reg_range(uint64_t lo, uint64_t hi);
bool reg_is_pointer(const struct reg *r);
const char *reg_str(const struct check *c, const struct reg *r);

/* check_syntax.c; @p target: set to 1 where a jump lands */
int check_syntax(const struct check *c, uint8_t *target);

/* check_alu.c */
int check_alu(const struct check *c, struct state *s);

/* check_mem.c */
int check_load(const struct check *c, struct state *s);
int check_store(const struct check *c, struct state *s);
int check_region(const struct check *c, const struct state *s, const struct reg *r, int64_t off,
		uint32_t size, bool write, bool data, const char *what);
/* check_call.c */
int check_own_call(const struct check *c, struct state *s, const struct phca_filter_helper *h);
void check_stack_written(struct state *s, int64_t off, uint32_t size, const struct reg *spill);

#endif
