/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From libbpf's instructions to rte_bpf's: references to maps and globals become
 * addresses, calls become indexes of external symbols, one symbol for each call
 * with the sizes of the maps used there, so that rte_bpf checks the same bounds
 * again. rte_bpf tells why it refuses only in its log: the log of this thread is
 * read for the time of the load.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "filter_impl.h"

/*
 * Helpers as native code calls them. rte_bpf's JIT does not align the stack as
 * the ABI asks.
 */
#define HELPER PHCA_HELPER_FN

static HELPER uint64_t help_lookup(uint64_t map, uint64_t key, uint64_t a3, uint64_t a4, uint64_t a5)
{
	RTE_SET_USED(a3);
	RTE_SET_USED(a4);
	RTE_SET_USED(a5);
	return (uintptr_t)filter_map_lookup((struct filter_map *)(uintptr_t)map,
		(const void *)(uintptr_t)key);
}

static HELPER uint64_t help_update(uint64_t map, uint64_t key, uint64_t value, uint64_t flags,
		uint64_t a5)
{
	RTE_SET_USED(a5);
	return (uint64_t)(int64_t)filter_map_update((struct filter_map *)(uintptr_t)map,
		(const void *)(uintptr_t)key, (const void *)(uintptr_t)value, flags);
}

static HELPER uint64_t help_ktime(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	RTE_SET_USED(a1);
	RTE_SET_USED(a2);
	RTE_SET_USED(a3);
	RTE_SET_USED(a4);
	RTE_SET_USED(a5);
	return filter_env()->now_ns;
}

/* xorshift64*: 64 bits of state, the upper half of the product. */
static HELPER uint64_t help_prandom(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct phca_filter_env *env = filter_env();
	uint64_t x = env->prandom;

	RTE_SET_USED(a1);
	RTE_SET_USED(a2);
	RTE_SET_USED(a3);
	RTE_SET_USED(a4);
	RTE_SET_USED(a5);
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	env->prandom = x;
	return x * UINT64_C(0x2545f4914f6cdd1d) >> 32;
}

/* A helper of the kind: pointers with the greatest sizes of this call, the rest numbers. */
static void declare_own(struct rte_bpf_xsym *x, const struct filter_call *c, size_t ctx_size)
{
	unsigned int i;

	x->name = c->own->name;
	x->func.val = c->own->fn;
	for (i = 0; i < PHCA_HELPER_ARGS && c->own->arg[i] != PHCA_HELPER_END; i++) {
		x->func.args[i] = (struct rte_bpf_arg){ .type = RTE_BPF_ARG_RAW, .size = sizeof(uint64_t) };
		if (c->own->arg[i] == PHCA_HELPER_CTX)
			x->func.args[i] = (struct rte_bpf_arg){ .type = RTE_BPF_ARG_PTR, .size = ctx_size };
		else if (c->size[i] > 0)
			x->func.args[i] = (struct rte_bpf_arg){ .type = RTE_BPF_ARG_PTR, .size = c->size[i] };
	}
	x->func.nb_args = i;
}

/* Declare what the call at an instruction takes and returns. */
static void declare(struct rte_bpf_xsym *x, const struct filter_call *c, size_t ctx_size)
{
	const struct rte_bpf_arg num = { .type = RTE_BPF_ARG_RAW, .size = sizeof(uint64_t) };

	x->name = filter_helper_name(c->helper);
	x->type = RTE_BPF_XTYPE_FUNC;
	x->func.ret = num;
	if (c->own != NULL) {
		declare_own(x, c, ctx_size);
		return;
	}
	switch (c->helper) {
	case FILTER_HELPER_UPDATE:
		x->func.val = help_update;
		x->func.nb_args = 4;
		x->func.args[2] = (struct rte_bpf_arg){ .type = RTE_BPF_ARG_PTR, .size = c->value_size };
		x->func.args[3] = num;
		break;
	case FILTER_HELPER_LOOKUP:
		x->func.val = help_lookup;
		x->func.nb_args = 2;
		x->func.ret = (struct rte_bpf_arg){ .type = RTE_BPF_ARG_PTR, .size = c->value_size };
		break;
	case FILTER_HELPER_KTIME:
		x->func.val = help_ktime;
		return;
	default:
		x->func.val = help_prandom;
		x->func.ret.size = sizeof(uint32_t);
		return;
	}
	x->func.args[0] = num;
	x->func.args[1] = (struct rte_bpf_arg){ .type = RTE_BPF_ARG_PTR, .size = c->key_size };
}

/* One LD_IMM64 that names a map or a global. */
static void resolve(const struct phca_filter *f, struct ebpf_insn *ins, struct rte_bpf_xsym *x,
		unsigned int *nb)
{
	const struct filter_ref *r = &f->refs[ins[0].imm];
	const struct filter_globals *g;
	uint64_t addr;
	uint32_t off;

	if (r->is_global) {
		g = &f->globals[r->idx];
		off = ins[0].src_reg == FILTER_SRC_MAP_VALUE ? (uint32_t)ins[1].imm : 0;
		addr = (uintptr_t)g->mem + off;
		x[*nb].name = g->name;
		x[*nb].type = RTE_BPF_XTYPE_VAR;
		x[*nb].var.val = (void *)(uintptr_t)addr;
		x[*nb].var.desc = (struct rte_bpf_arg){ .type = RTE_BPF_ARG_PTR, .size = g->size - off };
		++*nb;
	} else {
		addr = (uintptr_t)f->maps[r->idx];
	}
	ins[0].src_reg = 0;
	ins[0].imm = (int32_t)(uint32_t)addr;
	ins[1].imm = (int32_t)(uint32_t)(addr >> 32);
}

#define RTE_BPF_LOG "lib.bpf" /* rte_bpf's log type */

/* The log lines of rte_bpf while this thread loads a program. */
static __thread char *said;
static __thread size_t said_len;
static FILE *log_before;

static ssize_t log_write(void *cookie, const char *buf, size_t len)
{
	size_t used;

	RTE_SET_USED(cookie);
	if (said == NULL)
		return log_before != NULL ? (ssize_t)fwrite(buf, 1, len, log_before) : (ssize_t)len;
	used = strlen(said);
	snprintf(said + used, said_len - used, "%.*s", (int)len, buf);
	return (ssize_t)len;
}

/*
 * rte_bpf_load with its log in @p text. The stream that stands in for the log is
 * never closed and passes on what other threads write, so nothing is lost and
 * nobody is left with a closed stream.
 */
static struct rte_bpf *load_and_listen(const struct rte_bpf_prm *prm, char *text, size_t len)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static FILE *listener;
	struct rte_bpf *bpf;

	pthread_mutex_lock(&lock);
	if (listener == NULL) {
		listener = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = log_write });
		if (listener != NULL)
			setvbuf(listener, NULL, _IONBF, 0);
	}
	text[0] = '\0';
	if (listener != NULL) {
		log_before = rte_log_get_stream();
		rte_openlog_stream(listener);
		rte_log_set_level_pattern(RTE_BPF_LOG, RTE_LOG_ERR);
		said_len = len;
		said = text;
	}
	bpf = rte_bpf_load(prm);
	if (listener != NULL) {
		said = NULL;
		rte_openlog_stream(log_before);
		/* The interpreter would log every division by zero, on the data path. */
		rte_log_set_level_pattern(RTE_BPF_LOG, RTE_LOG_CRIT);
	}
	pthread_mutex_unlock(&lock);
	return bpf;
}

/* Turn "evaluate: memory boundary violation at pc: 7" into an error of ours. */
static int refused(const struct filter_err *e, char *text)
{
	const char *colon, *advice = "";
	char *pc, *nl;
	unsigned int insn;

	nl = strchr(text, '\n');
	if (nl != NULL)
		*nl = '\0';
	pc = strstr(text, " at pc: ");
	if (pc == NULL || sscanf(pc, " at pc: %u", &insn) != 1)
		return filter_err(e, -EINVAL, "rte_bpf refused it: %s",
			text[0] != '\0' ? text : strerror(rte_errno));
	*pc = '\0';
	colon = strstr(text, ": ");
	if (strstr(text, "boundary violation") != NULL)
		advice = "; bound an offset with a mask (x & 63), a comparison is not enough";
	return filter_err_at(e, -EINVAL, insn, "rte_bpf refused it: %s%s",
		colon != NULL ? colon + 2 : text, advice);
}

/*
 * Whether rte_bpf 22.11 compiles the instruction right. Its x86 code for "jump if
 * any of these bits is set" is broken when the constant fits one byte: it writes
 * an operand of one byte where the processor reads four. (clang 14 writes no such
 * instruction.) test_equivalence.c looks for more of the kind.
 */
static bool compiles_right(const struct ebpf_insn *ins)
{
#ifdef RTE_ARCH_X86
	return ins->code != (BPF_JMP | BPF_JSET | BPF_K) || ins->imm < INT8_MIN || ins->imm > INT8_MAX;
#else
	RTE_SET_USED(ins);
	return true;
#endif
}

int filter_compile(struct phca_filter *f, const struct ebpf_insn *ins, unsigned int nb,
		const struct filter_call *calls, bool jit, const struct filter_err *e)
{
	struct rte_bpf_prm prm = {
		.nb_ins = nb,
		.prog_arg = { .type = RTE_BPF_ARG_PTR, .size = f->kind->ctx_size },
	};
	struct rte_bpf_xsym *xsym = calloc(nb, sizeof(*xsym));
	struct ebpf_insn *copy = calloc(nb, sizeof(*copy));
	struct rte_bpf_jit native = { 0 };
	unsigned int i, nb_xsym = 0;
	char text[512];
	int rc = 0;

	if (xsym == NULL || copy == NULL) {
		rc = filter_err(e, -ENOMEM, "no memory for %u instructions", nb);
		goto out;
	}
	memcpy(copy, ins, nb * sizeof(*copy));
	for (i = 0; i < nb; i++) {
		if (jit && !compiles_right(&copy[i])) {
			rte_log(RTE_LOG_NOTICE, (uint32_t)phca_filter_logtype, "filter %s: interpreted: "
				"rte_bpf compiles instruction %u (jump on bits) wrong\n", f->name, i);
			jit = false;
		}
		if (copy[i].code == (BPF_LD | BPF_IMM | EBPF_DW)) {
			if (copy[i].src_reg != 0)
				resolve(f, &copy[i], xsym, &nb_xsym);
			i++;
		} else if (calls[i].helper != 0) {
			declare(&xsym[nb_xsym], &calls[i], f->kind->ctx_size);
			copy[i].imm = (int32_t)nb_xsym++;
		}
	}
	prm.ins = copy;
	prm.xsym = xsym;
	prm.nb_xsym = nb_xsym;
	f->bpf = load_and_listen(&prm, text, sizeof(text));
	if (f->bpf == NULL) {
		rc = rte_errno == ENOMEM ? filter_err(e, -ENOMEM, "no memory for rte_bpf") :
			refused(e, text);
		goto out;
	}
	if (jit && rte_bpf_get_jit(f->bpf, &native) == 0)
		f->func = native.func;
out:
	free(xsym);
	free(copy);
	return rc;
}
