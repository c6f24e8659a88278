/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forward pass: walks every path of a loop-free program and refuses what
 * rte_bpf does not know about. Paths are followed one by one (nothing is merged
 * where they join, so nothing is lost there); a path ends early where an earlier
 * one came by knowing as little or less, for what was proven there covers it.
 * Where many states came by that differ in numbers only, the next forgets the
 * numbers. The number of steps is limited, a program beyond is refused.
 *
 * Invariant: a state describes every value that its registers and stack can hold
 * at its instruction on the real run, whichever context and map contents.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_impl.h"

#define STEPS_MAX 200000  /* instructions walked, over all paths */
#define SEEN_WIDEN 16     /* states of one instruction that differ in numbers only */
#define SEEN_MAX 64       /* states kept for one instruction */

struct walk {
	struct check c;
	struct state *todo;   /* where branches are still to be walked */
	struct state **seen;  /* states that passed an instruction that is jumped to */
	uint16_t *nb_seen;
	uint8_t *target;      /* whether an instruction is jumped to */
};

static const char *const helper_names[] = {
	[1] = "bpf_map_lookup_elem", [2] = "bpf_map_update_elem", [3] = "bpf_map_delete_elem",
	[4] = "bpf_probe_read", [5] = "bpf_ktime_get_ns", [6] = "bpf_trace_printk",
	[7] = "bpf_get_prandom_u32", [8] = "bpf_get_smp_processor_id", [9] = "bpf_skb_store_bytes",
	[12] = "bpf_tail_call", [14] = "bpf_get_current_pid_tgid", [23] = "bpf_redirect",
	[25] = "bpf_perf_event_output", [26] = "bpf_skb_load_bytes", [28] = "bpf_csum_diff",
	[51] = "bpf_redirect_map", [87] = "bpf_map_push_elem", [88] = "bpf_map_pop_elem",
	[89] = "bpf_map_peek_elem", [93] = "bpf_spin_lock", [113] = "bpf_probe_read_kernel",
	[125] = "bpf_ktime_get_boot_ns", [130] = "bpf_ringbuf_output", [131] = "bpf_ringbuf_reserve",
	[164] = "bpf_for_each_map_elem", [181] = "bpf_loop",
};

const char *filter_helper_name(uint32_t helper)
{
	return helper < RTE_DIM(helper_names) && helper_names[helper] != NULL ? helper_names[helper] :
		"unknown";
}

/* Whether everything that @p now can hold was covered by @p old. */
static bool reg_covered(const struct reg *old, const struct reg *now)
{
	if (old->type == REG_NONE)
		return true;
	if (old->type != now->type || old->lo > now->lo || old->hi < now->hi || old->zeros > now->zeros)
		return false;
	return old->type == REG_SCALAR ||
		(old->idx == now->idx && old->off == now->off && old->id == now->id);
}

static bool state_covered(const struct state *old, const struct state *now)
{
	unsigned int i;

	for (i = 0; i < CHECK_REGS; i++)
		if (!reg_covered(&old->r[i], &now->r[i]))
			return false;
	for (i = 0; i < RTE_DIM(old->init); i++)
		if ((old->init[i] & ~now->init[i]) != 0)
			return false;
	for (i = 0; i < CHECK_SLOTS; i++) {
		if (old->spill[i].type == REG_NONE) {
			/* Plain bytes were known; a pointer now would be news. */
			if (reg_is_pointer(&now->spill[i]) && (old->init[i / 8] >> (i % 8 * 8) & 0xff) != 0)
				return false;
		} else if (!reg_covered(&old->spill[i], &now->spill[i])) {
			return false;
		}
	}
	return true;
}

/* Forget what numbers can be: covers every state that differs in numbers only. */
static void widen(struct state *s)
{
	unsigned int i;

	for (i = 0; i < CHECK_REGS; i++)
		if (s->r[i].type == REG_SCALAR)
			s->r[i] = reg_range(0, UINT64_MAX);
	for (i = 0; i < CHECK_SLOTS; i++)
		if (s->spill[i].type == REG_SCALAR)
			s->spill[i] = reg_range(0, UINT64_MAX);
}

/* Note that @p s comes by. @return 1: nothing new here, 0, or -ENOMEM. */
static int visit(struct walk *w, struct state *s)
{
	struct state *old;

	if (w->nb_seen[s->pc] >= SEEN_WIDEN)
		widen(s);
	for (old = w->seen[s->pc]; old != NULL; old = old->next)
		if (state_covered(old, s))
			return 1;
	if (w->nb_seen[s->pc] == SEEN_MAX)
		return 0;
	old = malloc(sizeof(*old));
	if (old == NULL)
		return filter_err(w->c.e, -ENOMEM, "no memory for the check");
	*old = *s;
	old->next = w->seen[s->pc];
	w->seen[s->pc] = old;
	w->nb_seen[s->pc]++;
	return 0;
}

/* A look-up was compared with NULL: all its copies are a value, or the number 0. */
static void settle(struct state *s, uint32_t id, bool is_null)
{
	unsigned int i;

	for (i = 0; i < CHECK_REGS + CHECK_SLOTS; i++) {
		struct reg *r = i < CHECK_REGS ? &s->r[i] : &s->spill[i - CHECK_REGS];

		if (r->type != REG_MAYBE || r->id != id)
			continue;
		if (is_null) {
			*r = reg_const(0);
		} else {
			r->type = REG_VALUE;
			r->id = 0;
		}
	}
}

/* Narrow @p d knowing that "d op v" is true, v being k..k. Too wide is right, too narrow is not. */
static void narrow(struct reg *d, unsigned int op, const struct reg *v)
{
	uint64_t lo = d->lo, hi = d->hi;

	switch (op) {
	case BPF_JEQ: lo = RTE_MAX(lo, v->lo); hi = RTE_MIN(hi, v->hi); break;
	case BPF_JGT: lo = v->lo == UINT64_MAX ? lo : RTE_MAX(lo, v->lo + 1); break;
	case BPF_JGE: lo = RTE_MAX(lo, v->lo); break;
	case EBPF_JLT: hi = v->hi == 0 ? hi : RTE_MIN(hi, v->hi - 1); break;
	case EBPF_JLE: hi = RTE_MIN(hi, v->hi); break;
	default: return;
	}
	if (lo > hi)
		return; /* this way is never taken: whatever is known stays true */
	d->lo = lo;
	d->hi = hi;
	if (lo == hi)
		*d = reg_const(lo);
}

static unsigned int opposite(unsigned int op)
{
	switch (op) {
	case BPF_JEQ: return EBPF_JNE;
	case EBPF_JNE: return BPF_JEQ;
	case BPF_JGT: return EBPF_JLE;
	case EBPF_JLE: return BPF_JGT;
	case BPF_JGE: return EBPF_JLT;
	case EBPF_JLT: return BPF_JGE;
	}
	return BPF_JSET; /* tells nothing */
}

/* What a taken (or not taken) branch tells. */
static void learn(struct state *s, const struct ebpf_insn *ins, const struct reg *v, bool taken)
{
	unsigned int op = BPF_OP(ins->code);
	struct reg *d = &s->r[ins->dst_reg];

	if (d->type == REG_MAYBE)
		settle(s, d->id, (op == BPF_JEQ) == taken);
	else if (d->type == REG_SCALAR)
		narrow(d, taken ? op : opposite(op), v);
}

/* A conditional jump: go on behind it, leave the other way for later. */
static int jump(struct walk *w, struct state *s)
{
	const struct check *c = &w->c;
	const struct ebpf_insn *ins = &c->ins[s->pc];
	unsigned int op = BPF_OP(ins->code);
	const struct reg *d = &s->r[ins->dst_reg];
	struct reg v = BPF_SRC(ins->code) == BPF_X ? s->r[ins->src_reg] :
		reg_const((uint64_t)(int64_t)ins->imm);
	struct state *other;

	if (d->type == REG_NONE || v.type == REG_NONE)
		return filter_err_at(c->e, -EINVAL, s->pc, "r%u is compared but was never set",
			d->type == REG_NONE ? ins->dst_reg : ins->src_reg);
	if (reg_is_pointer(&v) || (reg_is_pointer(d) &&
			((op != BPF_JEQ && op != EBPF_JNE) || v.lo != 0 || v.hi != 0)))
		return filter_err_at(c->e, -EINVAL, s->pc, "%s is compared with something other than NULL",
			reg_str(c, reg_is_pointer(d) ? d : &v));
	other = malloc(sizeof(*other));
	if (other == NULL)
		return filter_err(c->e, -ENOMEM, "no memory for the check");
	*other = *s;
	other->pc = (unsigned int)((int)s->pc + 1 + ins->off);
	learn(other, ins, &v, true);
	other->next = w->todo;
	w->todo = other;
	learn(s, ins, &v, false);
	s->pc++;
	return 0;
}

/* Pointer argument of a helper. */
static int argument(const struct check *c, const struct state *s, unsigned int reg, uint32_t size,
		const char *what)
{
	char text[64];

	snprintf(text, sizeof(text), "%s (r%u)", what, reg);
	return check_region(c, s, &s->r[reg], 0, size, false, true, text);
}

static int map_call(const struct check *c, struct state *s, uint32_t helper)
{
	const struct reg *r = &s->r[EBPF_REG_1];
	struct filter_call *call = &c->calls[s->pc];
	const struct filter_map *m;
	int rc;

	if (r->type != REG_MAP)
		return filter_err_at(c->e, -EINVAL, s->pc, "%s: the first argument is %s, not a map",
			filter_helper_name(helper), reg_str(c, r));
	m = c->f->maps[r->idx];
	rc = argument(c, s, EBPF_REG_2, m->key_size, "key");
	if (rc == 0 && helper == FILTER_HELPER_UPDATE) {
		rc = argument(c, s, EBPF_REG_3, m->value_size, "value");
		if (rc == 0 && s->r[EBPF_REG_4].type != REG_SCALAR)
			rc = filter_err_at(c->e, -EINVAL, s->pc, "flags (r4): %s", reg_str(c, &s->r[EBPF_REG_4]));
	}
	if (rc != 0)
		return rc;
	if (call->helper == 0 || m->key_size < call->key_size)
		call->key_size = m->key_size;
	if (call->helper == 0 || (helper == FILTER_HELPER_LOOKUP) == (m->value_size > call->value_size))
		call->value_size = m->value_size;
	call->helper = helper;
	s->r[EBPF_REG_0] = helper == FILTER_HELPER_UPDATE ? reg_range(0, UINT64_MAX) :
		(struct reg){ .type = REG_MAYBE, .idx = r->idx, .id = s->pc + 1 };
	return 0;
}

static int call(const struct check *c, struct state *s)
{
	const struct ebpf_insn *ins = &c->ins[s->pc];
	uint32_t helper = (uint32_t)ins->imm;
	const struct phca_filter_helper *own = filter_kind_helper(c->f->kind, helper);
	unsigned int i;
	int rc = 0;

	if (own != NULL) {
		rc = check_own_call(c, s, own);
		s->r[EBPF_REG_0] = reg_range(0, UINT64_MAX);
	} else if (helper == FILTER_HELPER_LOOKUP || helper == FILTER_HELPER_UPDATE) {
		rc = map_call(c, s, helper);
	} else {
		c->calls[s->pc].helper = helper;
		s->r[EBPF_REG_0] = reg_range(0, helper == FILTER_HELPER_PRANDOM ? UINT32_MAX : UINT64_MAX);
	}
	for (i = EBPF_REG_1; i <= EBPF_REG_5; i++)
		s->r[i].type = REG_NONE;
	s->pc++;
	return rc;
}

static int load_imm64(const struct check *c, struct state *s)
{
	const struct ebpf_insn *ins = &c->ins[s->pc];
	struct reg *d = &s->r[ins->dst_reg];

	if (ins->src_reg == 0) {
		*d = reg_const((uint32_t)ins[0].imm | (uint64_t)(uint32_t)ins[1].imm << 32);
	} else {
		const struct filter_ref *ref = &c->f->refs[ins->imm]; /* check_syntax saw to its range */

		*d = (struct reg){ .type = ref->is_global ? REG_GLOBAL : REG_MAP, .zeros = 64,
			.idx = ref->idx };
		if (ins->src_reg == FILTER_SRC_MAP_VALUE)
			d->off = (uint32_t)ins[1].imm;
	}
	s->pc += 2;
	return 0;
}

/* The program may return lo..hi. */
static void note_return(const struct check *c, uint64_t lo, uint64_t hi)
{
	struct phca_filter *f = c->f;
	unsigned int i;

	for (i = 0; i < RTE_MIN(f->nb_ret, (unsigned int)FILTER_RETURNS); i++)
		if (f->ret[i].lo <= lo && f->ret[i].hi >= hi)
			return;
	if (f->nb_ret < FILTER_RETURNS)
		f->ret[f->nb_ret] = (struct filter_range){ lo, hi };
	if (f->nb_ret <= FILTER_RETURNS)
		f->nb_ret++;
}

/* One instruction. @return 1: the path ends here, 0, or negative errno. */
static int step(struct walk *w, struct state *s)
{
	const struct check *c = &w->c;
	const struct ebpf_insn *ins = &c->ins[s->pc];
	int rc;

	switch (BPF_CLASS(ins->code)) {
	case BPF_ALU: case EBPF_ALU64:
		if (BPF_SRC(ins->code) == BPF_X && (BPF_OP(ins->code) == BPF_DIV || BPF_OP(ins->code) == BPF_MOD))
			note_return(c, 0, 0); /* by 0 it ends there */
		rc = check_alu(c, s);
		break;
	case BPF_LDX: rc = check_load(c, s); break;
	case BPF_ST: case BPF_STX: rc = check_store(c, s); break;
	case BPF_LD: return load_imm64(c, s);
	default:
		if (ins->code == (BPF_JMP | EBPF_CALL))
			return call(c, s);
		if (ins->code == (BPF_JMP | BPF_JA)) {
			s->pc = (unsigned int)((int)s->pc + 1 + ins->off);
			return 0;
		}
		if (ins->code != (BPF_JMP | EBPF_EXIT))
			return jump(w, s);
		if (s->r[EBPF_REG_0].type != REG_SCALAR)
			return filter_err_at(c->e, -EINVAL, s->pc, "the return value is %s",
				reg_str(c, &s->r[EBPF_REG_0]));
		note_return(c, s->r[EBPF_REG_0].lo, s->r[EBPF_REG_0].hi);
		return 1;
	}
	s->pc++;
	return rc;
}

static int walk_paths(struct walk *w)
{
	struct state *s = calloc(1, sizeof(*s));
	unsigned int steps = 0;
	int rc = 0;

	if (s == NULL)
		return filter_err(w->c.e, -ENOMEM, "no memory for the check");
	s->r[EBPF_REG_1] = (struct reg){ .type = REG_CTX, .zeros = 64 };
	s->r[EBPF_REG_10] = (struct reg){ .type = REG_STACK, .zeros = 64 };
	w->todo = s;
	while (rc >= 0 && w->todo != NULL) {
		s = w->todo;
		w->todo = s->next;
		do {
			rc = w->target[s->pc] ? visit(w, s) : 0;
			if (rc == 0 && ++steps > STEPS_MAX)
				rc = filter_err_at(w->c.e, -EINVAL, s->pc, "too many paths, over %u steps; fewer "
					"branches in a row, or two filters", STEPS_MAX);
			if (rc == 0)
				rc = step(w, s);
		} while (rc == 0);
		free(s);
	}
	return rc < 0 ? rc : 0;
}

int filter_check(struct phca_filter *f, const struct ebpf_insn *ins, unsigned int nb,
		struct filter_call *calls, const struct filter_err *e)
{
	struct walk w = { .c = { .f = f, .ins = ins, .nb = nb, .calls = calls,
		.ctx_words = &f->ctx_words, .e = e } };
	struct state *s;
	unsigned int i;
	int rc = -ENOMEM;

	w.seen = calloc(nb, sizeof(*w.seen));
	w.nb_seen = calloc(nb, sizeof(*w.nb_seen));
	w.target = calloc(nb, sizeof(*w.target));
	if (w.seen == NULL || w.nb_seen == NULL || w.target == NULL) {
		filter_err(e, rc, "no memory for the check of %u instructions", nb);
	} else {
		rc = check_syntax(&w.c, w.target);
		if (rc == 0)
			rc = walk_paths(&w);
	}
	while ((s = w.todo) != NULL) {
		w.todo = s->next;
		free(s);
	}
	for (i = 0; w.seen != NULL && i < nb; i++)
		while ((s = w.seen[i]) != NULL) {
			w.seen[i] = s->next;
			free(s);
		}
	free(w.seen);
	free(w.nb_seen);
	free(w.target);
	return rc;
}
