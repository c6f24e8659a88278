/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a refusal: "filter NAME: program P, instruction N: reason".
 * Every error of this library goes through here, so that all begin alike.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "elf_impl.h"

/* In an object that is always linked, so that the log type is registered. */
RTE_LOG_REGISTER_DEFAULT(phca_filter_logtype, NOTICE);

void filter_copy(char *dst, size_t size, const char *src)
{
	snprintf(dst, size, "%s", src);
}

static void put(const struct filter_err *e, const char *where, const char *fmt, va_list ap)
{
	int n;

	if (e->buf == NULL || e->len == 0)
		return;
	n = snprintf(e->buf, e->len, "%s %s: %s", e->noun != NULL ? e->noun : "filter",
		e->filter, where);
	if (n >= 0 && (size_t)n < e->len)
		vsnprintf(e->buf + n, e->len - (size_t)n, fmt, ap);
}

int filter_err(const struct filter_err *e, int rc, const char *fmt, ...)
{
	char where[PHCA_FILTER_NAME_MAX + 16] = "";
	va_list ap;

	if (e->program != NULL)
		snprintf(where, sizeof(where), "program %s: ", e->program);
	va_start(ap, fmt);
	put(e, where, fmt, ap);
	va_end(ap);
	return rc;
}

int filter_err_at(const struct filter_err *e, int rc, unsigned int insn, const char *fmt, ...)
{
	const char *program = e->program != NULL ? e->program : "?";
	char where[2 * PHCA_FILTER_NAME_MAX + 64], line[PHCA_FILTER_NAME_MAX] = "";
	va_list ap;

	if (e->lines != NULL)
		filter_elf_line(e->lines->elf, e->lines->btf, e->lines->section, program, insn, line,
			sizeof(line));
	snprintf(where, sizeof(where), "program %s, instruction %u%s: ", program, insn, line);
	va_start(ap, fmt);
	put(e, where, fmt, ap);
	va_end(ap);
	return rc;
}
