/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forward pass over memory: every access lies inside of what its pointer
 * points to, is aligned, reads only what was written, and no pointer gets into
 * memory other than the program's own stack.
 */
#include <stdio.h>

#include "check_impl.h"

static uint32_t access_size(uint8_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_B: return 1;
	case BPF_H: return 2;
	case BPF_W: return 4;
	}
	return 8;
}

const char *reg_str(const struct check *c, const struct reg *r)
{
	static __thread char text[PHCA_FILTER_NAME_MAX + 48];
	const char *map = r->type == REG_VALUE || r->type == REG_MAYBE || r->type == REG_MAP ?
		c->f->maps[r->idx]->name : "";

	switch (r->type) {
	case REG_NONE: return "a register that was never set";
	case REG_SCALAR: return "a number";
	case REG_CTX: return "the context";
	case REG_STACK: return "the stack";
	case REG_MAP: snprintf(text, sizeof(text), "map %s", map); break;
	case REG_VALUE: snprintf(text, sizeof(text), "a value of map %s", map); break;
	case REG_MAYBE: snprintf(text, sizeof(text), "a look-up in map %s", map); break;
	default: snprintf(text, sizeof(text), "globals in %s", c->f->globals[r->idx].name); break;
	}
	return text;
}

static bool byte_written(const struct state *s, int64_t off)
{
	unsigned int i = (unsigned int)(off + FILTER_STACK);

	return (s->init[i / 64] >> (i % 64) & 1) != 0;
}

void check_stack_written(struct state *s, int64_t off, uint32_t size, const struct reg *spill)
{
	unsigned int i = (unsigned int)(off + FILTER_STACK), k;

	for (k = i; k < i + size; k++) {
		s->init[k / 64] |= UINT64_C(1) << (k % 64);
		s->spill[k / 8].type = REG_NONE;
	}
	if (spill != NULL && size == 8)
		s->spill[i / 8] = *spill;
}

/* Stack that is read: every byte written; @p data: and no pointer among it. */
static int stack_read(const struct check *c, const struct state *s, int64_t off, uint32_t size,
		bool data, const char *what)
{
	int64_t i;

	for (i = off; i < off + (int64_t)size; i++) {
		if (!byte_written(s, i))
			return filter_err_at(c->e, -EINVAL, s->pc, "%s: byte %lld of %u was never written (stack "
				"r10%+lld); set all of it first, padding too", what, (long long)(i - off), size,
				(long long)i);
		if (data && reg_is_pointer(&s->spill[(i + FILTER_STACK) / 8]))
			return filter_err_at(c->e, -EINVAL, s->pc, "%s: holds a pointer (stack r10%+lld)", what,
				(long long)i);
	}
	return 0;
}

int check_region(const struct check *c, const struct state *s, const struct reg *r, int64_t off,
		uint32_t size, bool write, bool data, const char *what)
{
	int64_t lo = r->off + off + (int64_t)r->lo, hi = r->off + off + (int64_t)r->hi, end, begin = 0;

	switch (r->type) {
	case REG_CTX: end = (int64_t)c->f->kind->ctx_size; break;
	case REG_STACK: begin = -FILTER_STACK; end = 0; break;
	case REG_VALUE: end = c->f->maps[r->idx]->value_size; break;
	case REG_GLOBAL: end = c->f->globals[r->idx].size; break;
	case REG_MAYBE:
		return filter_err_at(c->e, -EINVAL, s->pc, "%s: the result of %s is used without a check for "
			"NULL; write if (!value) return PHCA_PASS;", what, reg_str(c, r));
	default:
		return filter_err_at(c->e, -EINVAL, s->pc, "%s: %s is not a pointer to memory", what,
			reg_str(c, r));
	}
	if (lo < begin || hi + (int64_t)size > end) {
		if (lo == hi)
			return filter_err_at(c->e, -EINVAL, s->pc, "%s: %u bytes at offset %lld of %s, which is "
				"%lld..%lld", what, size, (long long)lo, reg_str(c, r), (long long)begin,
				(long long)end - 1);
		return filter_err_at(c->e, -EINVAL, s->pc, "%s: %u bytes at offset %lld..%lld of %s, which is "
			"%lld..%lld; bound the index with a mask (x & 63)", what, size, (long long)lo,
			(long long)hi, reg_str(c, r), (long long)begin, (long long)end - 1);
	}
	if (write && r->type == REG_CTX)
		return filter_err_at(c->e, -EINVAL, s->pc, "%s: the context is read only", what);
	if (write && r->type == REG_GLOBAL && c->f->globals[r->idx].read_only)
		return filter_err_at(c->e, -EINVAL, s->pc, "%s: %s is read only", what,
			c->f->globals[r->idx].name);
	if (r->type == REG_STACK && !write)
		return stack_read(c, s, lo, size, data, what);
	if (r->type == REG_CTX)
		for (int64_t w = lo / 8; w <= (hi + (int64_t)size - 1) / 8; w++)
			*c->ctx_words |= UINT32_C(1) << w;
	return 0;
}

/* Natural alignment, from the start of the region. */
static int aligned(const struct check *c, const struct state *s, const struct reg *r, int64_t off,
		uint32_t size)
{
	uint64_t fixed = (uint64_t)(r->off + off);

	if (r->lo == r->hi)
		fixed += r->lo;
	if (fixed % size == 0 && (r->lo == r->hi || r->zeros >= 6 || size <= UINT64_C(1) << r->zeros))
		return 0;
	return filter_err_at(c->e, -EINVAL, s->pc, "%u bytes at offset %lld of %s are not aligned; read "
		"single bytes, or use memcpy", size, (long long)(int64_t)fixed, reg_str(c, r));
}

int check_load(const struct check *c, struct state *s)
{
	const struct ebpf_insn *ins = &c->ins[s->pc];
	uint32_t size = access_size(ins->code);
	const struct reg r = s->r[ins->src_reg];
	const struct reg *spill;
	struct reg *d = &s->r[ins->dst_reg];
	int rc;

	if (BPF_MODE(ins->code) != BPF_MEM)
		return filter_err_at(c->e, -ENOTSUP, s->pc, "load opcode 0x%02x is not in rte_bpf", ins->code);
	if (ins->dst_reg == EBPF_REG_10)
		return filter_err_at(c->e, -EINVAL, s->pc, "r10, the frame pointer, is read only");
	rc = check_region(c, s, &r, ins->off, size, false, size != 8, "load");
	if (rc == 0)
		rc = aligned(c, s, &r, ins->off, size);
	if (rc != 0)
		return rc;
	*d = reg_range(0, UINT64_MAX >> (64 - 8 * size));
	if (r.type == REG_STACK && size == 8) {
		spill = &s->spill[(r.off + ins->off + FILTER_STACK) / 8];
		if (spill->type != REG_NONE)
			*d = *spill;
	}
	return 0;
}

static int check_add(const struct check *c, const struct state *s, const struct reg *src,
		uint32_t size)
{
	const struct ebpf_insn *ins = &c->ins[s->pc];

	if (ins->imm != 0 || size < 4)
		return filter_err_at(c->e, -ENOTSUP, s->pc, "atomic operation 0x%02x; rte_bpf has atomic add "
			"of 4 and 8 bytes only, with its result unused", ins->imm);
	if (src->type != REG_SCALAR)
		return filter_err_at(c->e, -EINVAL, s->pc, "atomic add of %s", reg_str(c, src));
	return check_region(c, s, &s->r[ins->dst_reg], ins->off, size, false, true, "atomic add");
}

int check_store(const struct check *c, struct state *s)
{
	const struct ebpf_insn *ins = &c->ins[s->pc];
	bool is_reg = BPF_CLASS(ins->code) == BPF_STX;
	uint32_t size = access_size(ins->code);
	const struct reg *d = &s->r[ins->dst_reg];
	struct reg src = is_reg ? s->r[ins->src_reg] : reg_const((uint64_t)(int64_t)ins->imm);
	bool atomic = is_reg && BPF_MODE(ins->code) == EBPF_XADD;
	int rc = 0;

	if (BPF_MODE(ins->code) != BPF_MEM && !atomic)
		return filter_err_at(c->e, -ENOTSUP, s->pc, "store opcode 0x%02x is not in rte_bpf", ins->code);
	if (src.type == REG_NONE)
		return filter_err_at(c->e, -EINVAL, s->pc, "r%u is stored but was never set", ins->src_reg);
	if (atomic)
		rc = check_add(c, s, &src, size);
	if (rc == 0)
		rc = check_region(c, s, d, ins->off, size, true, true, "store");
	if (rc == 0)
		rc = aligned(c, s, d, ins->off, size);
	if (rc != 0)
		return rc;
	if (reg_is_pointer(&src)) {
		if (d->type != REG_STACK)
			return filter_err_at(c->e, -EINVAL, s->pc, "a pointer is stored into %s; pointers may only "
				"be kept on the stack", reg_str(c, d));
		if (size != 8)
			return filter_err_at(c->e, -EINVAL, s->pc, "part of a pointer is stored");
	}
	if (d->type == REG_STACK)
		check_stack_written(s, d->off + ins->off, size, atomic ? NULL : &src);
	return 0;
}
