/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forward pass over arithmetic: what a register may hold afterwards. Numbers
 * are unsigned ranges; whatever is not followed exactly becomes "any number", so
 * a range never claims too much. A pointer may only be moved, and have a number
 * that is small and bounded added.
 */
#include "check_impl.h"

#define OFF_MAX (INT64_C(1) << 29) /* no region is larger; keeps sums from wrapping */

static uint8_t ctz64(uint64_t v)
{
	return v == 0 ? 64 : (uint8_t)__builtin_ctzll(v);
}

struct reg reg_const(uint64_t v)
{
	return (struct reg){ .type = REG_SCALAR, .zeros = ctz64(v), .lo = v, .hi = v };
}

struct reg reg_range(uint64_t lo, uint64_t hi)
{
	return lo == hi ? reg_const(lo) : (struct reg){ .type = REG_SCALAR, .lo = lo, .hi = hi };
}

bool reg_is_pointer(const struct reg *r)
{
	return r->type != REG_NONE && r->type != REG_SCALAR;
}

/* The least 2^n - 1 that is not below @p v. */
static uint64_t ones(uint64_t v)
{
	return v == 0 ? 0 : UINT64_MAX >> __builtin_clzll(v);
}

static struct reg shift(unsigned int op, const struct reg *d, const struct reg *s, unsigned int bits)
{
	struct reg r = reg_range(0, UINT64_MAX);
	unsigned int n;

	if (s->lo != s->hi || s->lo >= bits)
		return r;
	n = (unsigned int)s->lo;
	if (op == BPF_RSH)
		return reg_range(d->lo >> n, d->hi >> n);
	if (op == EBPF_ARSH)
		return d->hi <= INT64_MAX && bits == 64 ? reg_range(d->lo >> n, d->hi >> n) : r;
	if (d->hi <= UINT64_MAX >> n)
		r = reg_range(d->lo << n, d->hi << n);
	r.zeros = RTE_MAX(r.zeros, (uint8_t)(d->zeros + n > 64 ? 64 : d->zeros + n));
	return r;
}

static struct reg both_const(unsigned int op, uint64_t a, uint64_t b)
{
	switch (op) {
	case BPF_ADD: return reg_const(a + b);
	case BPF_SUB: return reg_const(a - b);
	case BPF_MUL: return reg_const(a * b);
	case BPF_AND: return reg_const(a & b);
	case BPF_OR: return reg_const(a | b);
	default: return reg_const(a ^ b);
	}
}

/* Numbers only. */
static struct reg compute(unsigned int op, const struct reg *d, const struct reg *s, unsigned int bits)
{
	struct reg r = reg_range(0, UINT64_MAX);
	uint64_t hi;

	switch (op) {
	case EBPF_MOV:
		return *s;
	case BPF_LSH: case BPF_RSH: case EBPF_ARSH:
		return shift(op, d, s, bits);
	case BPF_DIV: /* by 0: rte_bpf ends the program, so 0 is no result */
		return reg_range(0, d->hi);
	case BPF_MOD:
		return reg_range(0, s->hi == 0 ? d->hi : RTE_MIN(d->hi, s->hi - 1));
	case BPF_ADD: case BPF_SUB: case BPF_MUL: case BPF_AND: case BPF_OR: case BPF_XOR:
		break;
	default:
		return r;
	}
	if (d->lo == d->hi && s->lo == s->hi)
		return both_const(op, d->lo, s->lo);
	switch (op) {
	case BPF_ADD:
		if (!__builtin_add_overflow(d->hi, s->hi, &hi))
			r = reg_range(d->lo + s->lo, hi);
		r.zeros = RTE_MIN(d->zeros, s->zeros);
		break;
	case BPF_SUB:
		if (d->lo >= s->hi)
			r = reg_range(d->lo - s->hi, d->hi - s->lo);
		r.zeros = RTE_MIN(d->zeros, s->zeros);
		break;
	case BPF_MUL:
		if (!__builtin_mul_overflow(d->hi, s->hi, &hi))
			r = reg_range(d->lo * s->lo, hi);
		r.zeros = (uint8_t)(d->zeros + s->zeros > 64 ? 64 : d->zeros + s->zeros);
		break;
	case BPF_AND:
		r = reg_range(0, RTE_MIN(d->hi, s->hi));
		r.zeros = RTE_MAX(d->zeros, s->zeros);
		break;
	default: /* OR, XOR */
		r = reg_range(0, ones(d->hi | s->hi));
		r.zeros = RTE_MIN(d->zeros, s->zeros);
		break;
	}
	return r;
}

/* Pointer plus or minus number. */
static int pointer_alu(const struct check *c, const struct state *s, unsigned int op, struct reg *d,
		const struct reg *src)
{
	struct reg *p = d, num = *src;
	struct reg ptr;
	int64_t k;

	if (op == BPF_ADD && reg_is_pointer(src) && d->type == REG_SCALAR) {
		num = *d;
		*d = *src;
	}
	ptr = *p;
	if (ptr.type == REG_MAYBE)
		return filter_err_at(c->e, -EINVAL, s->pc, "arithmetic on %s before it was compared with NULL",
			reg_str(c, &ptr));
	if (ptr.type == REG_MAP || (op != BPF_ADD && op != BPF_SUB) || num.type != REG_SCALAR)
		return filter_err_at(c->e, -EINVAL, s->pc, "this arithmetic on %s is not allowed; only adding "
			"a number is", reg_str(c, &ptr));
	if (num.lo == num.hi) {
		k = (int64_t)(op == BPF_ADD ? num.lo : 0 - num.lo);
		if (k <= -OFF_MAX || k >= OFF_MAX || p->off + k <= -OFF_MAX || p->off + k >= OFF_MAX)
			return filter_err_at(c->e, -EINVAL, s->pc, "offset %lld is outside of %s", (long long)k,
				reg_str(c, &ptr));
		p->off += k;
		return 0;
	}
	if (op == BPF_SUB || num.hi >= (uint64_t)OFF_MAX || p->hi + num.hi >= (uint64_t)OFF_MAX)
		return filter_err_at(c->e, -EINVAL, s->pc, "a number that may be up to %llu is added to %s; "
			"bound it with a mask first (x & 63)", (unsigned long long)num.hi, reg_str(c, &ptr));
	if (ptr.type == REG_STACK)
		return filter_err_at(c->e, -EINVAL, s->pc, "a variable index into the stack; put the array "
			"into a global or a map, or unroll the loop");
	p->zeros = p->lo == 0 && p->hi == 0 ? num.zeros : RTE_MIN(p->zeros, num.zeros);
	p->lo += num.lo;
	p->hi += num.hi;
	return 0;
}

static int swap_bytes(const struct check *c, struct state *s, const struct ebpf_insn *ins)
{
	struct reg *d = &s->r[ins->dst_reg];

	if (d->type != REG_SCALAR)
		return filter_err_at(c->e, -EINVAL, s->pc, "byte swap of %s", reg_str(c, d));
	if (ins->imm != 16 && ins->imm != 32 && ins->imm != 64)
		return filter_err_at(c->e, -EINVAL, s->pc, "byte swap of %d bits", ins->imm);
	*d = reg_range(0, UINT64_MAX >> (64 - ins->imm));
	return 0;
}

int check_alu(const struct check *c, struct state *s)
{
	const struct ebpf_insn *ins = &c->ins[s->pc];
	unsigned int op = BPF_OP(ins->code), bits = BPF_CLASS(ins->code) == BPF_ALU ? 32 : 64;
	struct reg *d = &s->r[ins->dst_reg], src;
	uint64_t mask = UINT64_MAX >> (64 - bits);
	struct reg a;

	if (op > EBPF_END || (bits == 64 && op == EBPF_END) || (bits == 32 && op == EBPF_ARSH))
		return filter_err_at(c->e, -ENOTSUP, s->pc, "opcode 0x%02x is not in rte_bpf; compile with "
			"-mcpu=v2", ins->code);
	if (ins->dst_reg == EBPF_REG_10)
		return filter_err_at(c->e, -EINVAL, s->pc, "r10, the frame pointer, is read only");
	if (op == EBPF_END)
		return swap_bytes(c, s, ins);
	src = BPF_SRC(ins->code) == BPF_X ? s->r[ins->src_reg] : reg_const((uint64_t)(int64_t)ins->imm);
	if (op == BPF_NEG)
		src = reg_const(0);
	if (src.type == REG_NONE || (op != EBPF_MOV && d->type == REG_NONE))
		return filter_err_at(c->e, -EINVAL, s->pc, "r%u is used but was never set",
			src.type == REG_NONE ? ins->src_reg : ins->dst_reg);
	if ((op == BPF_DIV || op == BPF_MOD) && BPF_SRC(ins->code) == BPF_K && ins->imm == 0)
		return filter_err_at(c->e, -EINVAL, s->pc, "division by zero");
	/* rte_bpf's JIT would write bytes that are no instruction for such a shift. */
	if ((op == BPF_LSH || op == BPF_RSH || op == EBPF_ARSH) && BPF_SRC(ins->code) == BPF_K &&
			(uint32_t)ins->imm >= bits)
		return filter_err_at(c->e, -EINVAL, s->pc, "shift by %u, allowed 0..%u", (uint32_t)ins->imm,
			bits - 1);
	if (op == EBPF_MOV && bits == 64) {
		*d = src;
		return 0;
	}
	if (reg_is_pointer(&src) || (op != EBPF_MOV && reg_is_pointer(d))) {
		if (bits == 32)
			return filter_err_at(c->e, -EINVAL, s->pc, "32-bit arithmetic on a pointer; compile with "
				"-mcpu=v2");
		return pointer_alu(c, s, op, d, &src);
	}
	a = *d;
	if (bits == 32) {
		if (src.hi > mask)
			src = src.lo == src.hi ? reg_const(src.lo & mask) : reg_range(0, mask);
		if (a.type == REG_SCALAR && a.hi > mask)
			a = a.lo == a.hi ? reg_const(a.lo & mask) : reg_range(0, mask);
	}
	*d = compute(op, &a, &src, bits);
	if (d->hi > mask)
		*d = d->lo == d->hi ? reg_const(d->lo & mask) : reg_range(0, mask);
	return 0;
}
