/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forward pass at calls of a kind's own helpers: every pointer leads to as
 * many bytes as the length behind it can be, those that the helper reads were
 * written, those that it writes count as written. A length that is not bounded is
 * refused, whatever it will be.
 */
#include <stdio.h>

#include "check_impl.h"

/* rte_bpf counts sizes of pointers in 32 bits; values and globals are no longer than this. */
#define LEN_MAX FILTER_GLOBALS_MAX

static int refuse(const struct check *c, const struct state *s, const struct phca_filter_helper *h,
		unsigned int i, const char *want)
{
	return filter_err_at(c->e, -EINVAL, s->pc, "%s: argument %u (r%u) is %s, not %s", h->name, i + 1,
		i + 1, reg_str(c, &s->r[EBPF_REG_1 + i]), want);
}

/* What a helper wrote to the stack: lo bytes for sure, up to hi perhaps. */
static void stack_out(struct state *s, int64_t off, uint32_t lo, uint32_t hi)
{
	unsigned int at = (unsigned int)(off + FILTER_STACK), k;

	check_stack_written(s, off, lo, NULL);
	for (k = at + lo; k < at + hi; k++) {
		if (reg_is_pointer(&s->spill[k / 8])) /* what is left of it is no pointer, nor anything else */
			s->init[k / 64] &= ~(UINT64_C(0xff) << (k / 8 * 8 % 64));
		s->spill[k / 8].type = REG_NONE;
	}
}

static int pointer(const struct check *c, struct state *s, const struct phca_filter_helper *h, unsigned int i)
{
	const struct reg *r = &s->r[EBPF_REG_1 + i], *len = r + 1;
	bool out = h->arg[i] == PHCA_HELPER_OUT;
	char text[96];
	int rc;

	if (len->type != REG_SCALAR)
		return refuse(c, s, h, i + 1, "a number of bytes");
	if (len->hi > LEN_MAX)
		return filter_err_at(c->e, -EINVAL, s->pc, "%s: the length, argument %u (r%u), may be any number; "
			"compare it with a constant before the call, as a uint64_t", h->name, i + 2, i + 2);
	if (len->hi == 0)
		return 0; /* the pointer is not followed */
	if (r->type == REG_CTX && out)
		return refuse(c, s, h, i, "memory that can be written");
	snprintf(text, sizeof(text), "%s: argument %u (r%u)", h->name, i + 1, i + 1);
	rc = check_region(c, s, r, 0, (uint32_t)len->hi, out, true, text);
	if (rc == 0 && out && r->type == REG_STACK)
		stack_out(s, r->off + (int64_t)r->lo, (uint32_t)len->lo, (uint32_t)len->hi);
	if (rc == 0 && len->hi > c->calls[s->pc].size[i])
		c->calls[s->pc].size[i] = (uint32_t)len->hi;
	return rc;
}

int check_own_call(const struct check *c, struct state *s, const struct phca_filter_helper *h)
{
	const struct reg *r = &s->r[EBPF_REG_1];
	unsigned int i;
	int rc = 0;

	for (i = 0; i < PHCA_HELPER_ARGS && rc == 0; i++, r++) {
		switch (h->arg[i]) {
		case PHCA_HELPER_END:
			i = PHCA_HELPER_ARGS;
			break;
		case PHCA_HELPER_CTX:
			if (r->type != REG_CTX || r->off != 0 || r->lo != 0 || r->hi != 0)
				rc = refuse(c, s, h, i, "the context as the program got it");
			break;
		case PHCA_HELPER_IN: case PHCA_HELPER_OUT:
			rc = pointer(c, s, h, i);
			break;
		default: /* a length was looked at with its pointer */
			if (r->type != REG_SCALAR)
				rc = refuse(c, s, h, i, "a number");
		}
	}
	c->calls[s->pc].helper = h->number;
	c->calls[s->pc].own = h;
	c->f->calls |= UINT64_C(1) << (h - c->f->kind->helpers);
	return rc;
}
