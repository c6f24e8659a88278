/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first look at a program, before any path is walked: only instructions that
 * proxyhca runs, jumps that land on instructions, no loops, references that name
 * maps and globals, nothing unreachable. What passes can be walked without asking
 * again, and every walk of it ends.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "check_impl.h"

static bool is_jump(uint8_t code)
{
	return BPF_CLASS(code) == BPF_JMP && BPF_OP(code) != EBPF_CALL && BPF_OP(code) != EBPF_EXIT;
}

static int syntax_call(const struct check *c, unsigned int i)
{
	const struct ebpf_insn *ins = &c->ins[i];

	if (ins->src_reg == EBPF_PSEUDO_CALL)
		return filter_err_at(c->e, -ENOTSUP, i, "call of another eBPF function; rte_bpf has none, mark "
			"it static __always_inline");
	if (ins->src_reg != 0 || ins->code != (BPF_JMP | EBPF_CALL))
		return filter_err_at(c->e, -ENOTSUP, i, "call of a kernel function");
	switch (ins->imm) {
	case FILTER_HELPER_LOOKUP: case FILTER_HELPER_UPDATE:
	case FILTER_HELPER_KTIME: case FILTER_HELPER_PRANDOM:
		return 0;
	}
	if (filter_kind_helper(c->f->kind, (uint32_t)ins->imm) != NULL)
		return 0;
	return filter_err_at(c->e, -ENOTSUP, i, "helper %d (%s); proxyhca has bpf_map_lookup_elem, "
		"bpf_map_update_elem, bpf_ktime_get_ns, bpf_get_prandom_u32%s", ins->imm,
		filter_helper_name((uint32_t)ins->imm),
		c->f->kind->helpers != NULL ? " and those of the program's header" : "");
}

static int syntax_imm64(const struct check *c, unsigned int i)
{
	const struct ebpf_insn *ins = &c->ins[i];
	const struct filter_ref *r;

	if (ins->code != (BPF_LD | BPF_IMM | EBPF_DW))
		return filter_err_at(c->e, -ENOTSUP, i, "packet load 0x%02x; read ctx->payload", ins->code);
	if (i + 1 >= c->nb || ins[1].code != 0 || ins[1].dst_reg != 0 || ins[1].src_reg != 0 ||
			ins[0].off != 0 || ins[1].off != 0)
		return filter_err_at(c->e, -EINVAL, i, "half of a 64-bit load");
	if (ins->src_reg == 0)
		return 0;
	if (ins->src_reg != FILTER_SRC_MAP_IDX && ins->src_reg != FILTER_SRC_MAP_VALUE)
		return filter_err_at(c->e, -ENOTSUP, i, "64-bit load of kind %u (an extern variable or the "
			"address of a function?)", ins->src_reg);
	if ((uint32_t)ins->imm >= c->f->nb_refs)
		return filter_err_at(c->e, -EINVAL, i, "map %d of %u", ins->imm, c->f->nb_refs);
	r = &c->f->refs[ins->imm];
	if (r->is_global != (ins->src_reg == FILTER_SRC_MAP_VALUE))
		return filter_err_at(c->e, -EINVAL, i, "%s", r->is_global ? "globals used as a map" :
			"a map used as memory; call bpf_map_lookup_elem");
	if (r->is_global && (uint32_t)ins[1].imm >= c->f->globals[r->idx].size)
		return filter_err_at(c->e, -EINVAL, i, "byte %u of %s, which has %u", (uint32_t)ins[1].imm,
			c->f->globals[r->idx].name, c->f->globals[r->idx].size);
	return 0;
}

static int syntax_jump(const struct check *c, unsigned int i)
{
	const struct ebpf_insn *ins = &c->ins[i];
	unsigned int op = BPF_OP(ins->code);

	if (op > EBPF_JSLE || (op == BPF_JA && ins->code != (BPF_JMP | BPF_JA)))
		return filter_err_at(c->e, -ENOTSUP, i, "jump opcode 0x%02x", ins->code);
	if ((int)i + 1 + ins->off < 0 || i + 1 + (unsigned int)(int)ins->off >= c->nb)
		return filter_err_at(c->e, -EINVAL, i, "jumps to instruction %d, allowed 0..%u",
			(int)i + 1 + ins->off, c->nb - 1);
	return 0;
}

static int syntax_one(const struct check *c, unsigned int i)
{
	const struct ebpf_insn *ins = &c->ins[i];

	if (ins->dst_reg > EBPF_REG_10 || ins->src_reg > EBPF_REG_10)
		return filter_err_at(c->e, -EINVAL, i, "register r%u",
			RTE_MAX((unsigned int)ins->dst_reg, (unsigned int)ins->src_reg));
	switch (BPF_CLASS(ins->code)) {
	case 6: /* BPF_JMP32 */
		return filter_err_at(c->e, -ENOTSUP, i, "32-bit jump; compile with -mcpu=v2");
	case BPF_LD:
		return syntax_imm64(c, i);
	case BPF_JMP:
		if (BPF_OP(ins->code) == EBPF_CALL)
			return syntax_call(c, i);
		return is_jump(ins->code) ? syntax_jump(c, i) :
			ins->code == (BPF_JMP | EBPF_EXIT) ? 0 :
			filter_err_at(c->e, -ENOTSUP, i, "opcode 0x%02x", ins->code);
	}
	return 0;
}

/* Instructions that @p i leads to. @return how many, 0..2; negative: out of the program. */
static int successors(const struct check *c, unsigned int i, unsigned int next[2])
{
	const struct ebpf_insn *ins = &c->ins[i];
	int n = 0;

	if (ins->code == (BPF_JMP | EBPF_EXIT))
		return 0;
	if (is_jump(ins->code))
		next[n++] = i + 1 + (unsigned int)(int)ins->off;
	if (ins->code == (BPF_JMP | BPF_JA))
		return n;
	next[n] = i + (ins->code == (BPF_LD | BPF_IMM | EBPF_DW) ? 2 : 1);
	if (next[n] >= c->nb)
		return filter_err_at(c->e, -EINVAL, i, "the program runs past its end");
	return n + 1;
}

/* Marks of an instruction while the graph is walked. */
enum { JUMPED_TO = 1, ON_PATH = 2, DONE = 4, SECOND_HALF = 8 };

/*
 * rte_bpf 22.11 walks every path to its end and would take for ever over many
 * branches in a row: the instructions on all paths together are limited, to about
 * a second of its time.
 */
#define STEPS_MAX UINT64_C(2000000)

/*
 * Depth first over the graph: an edge to an instruction that is still on the
 * path closes a loop. (A jump back that closes none is fine: compilers share
 * the end of a function that way.)
 */
static int find_loops(const struct check *c, uint8_t *mark, unsigned int *path, uint8_t *edge,
		uint64_t *steps)
{
	unsigned int depth = 1, i, next[2];
	int n, k;

	path[0] = 0;
	edge[0] = 0;
	mark[0] |= ON_PATH;
	while (depth > 0) {
		i = path[depth - 1];
		n = successors(c, i, next);
		if (n < 0)
			return n;
		if (edge[depth - 1] == n) {
			mark[i] = (uint8_t)((mark[i] & ~ON_PATH) | DONE);
			for (steps[i] = 1, k = 0; k < n; k++)
				steps[i] = RTE_MIN(steps[i] + steps[next[k]], STEPS_MAX + 1);
			depth--;
			continue;
		}
		n = (int)next[edge[depth - 1]++];
		if (is_jump(c->ins[i].code))
			mark[n] |= JUMPED_TO;
		if ((mark[n] & SECOND_HALF) != 0)
			return filter_err_at(c->e, -EINVAL, i, "a jump into the middle of a 64-bit load");
		if ((mark[n] & ON_PATH) != 0)
			return filter_err_at(c->e, -EINVAL, i, "a loop, back to instruction %d; unroll it "
				"(#pragma unroll), with a constant number of turns", n);
		if ((mark[n] & DONE) != 0)
			continue;
		mark[n] |= ON_PATH;
		path[depth] = (unsigned int)n;
		edge[depth++] = 0;
	}
	return 0;
}

int check_syntax(const struct check *c, uint8_t *target)
{
	unsigned int i, *path;
	uint64_t *steps;
	uint8_t *edge;
	int rc = 0;

	for (i = 0; i < c->nb; i++) {
		rc = syntax_one(c, i);
		if (rc != 0)
			return rc;
		if (c->ins[i].code == (BPF_LD | BPF_IMM | EBPF_DW))
			target[++i] = SECOND_HALF;
	}
	path = calloc(c->nb, sizeof(*path));
	edge = calloc(c->nb, sizeof(*edge));
	steps = calloc(c->nb, sizeof(*steps));
	if (path == NULL || edge == NULL || steps == NULL)
		rc = filter_err(c->e, -ENOMEM, "no memory for the check of %u instructions", c->nb);
	else
		rc = find_loops(c, target, path, edge, steps);
	if (rc == 0 && steps[0] > STEPS_MAX)
		rc = filter_err(c->e, -EINVAL, "too many paths, over %" PRIu64 " steps to check them; "
			"fewer branches in a row, or two filters", STEPS_MAX);
	free(steps);
	free(path);
	free(edge);
	for (i = 0; i < c->nb && rc == 0; i++) {
		if ((target[i] & (DONE | SECOND_HALF)) == 0)
			rc = filter_err_at(c->e, -EINVAL, i, "unreachable code");
		target[i] &= JUMPED_TO;
	}
	return rc;
}
