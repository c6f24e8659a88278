/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of a client that found something wrong. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "torture.h"

void die(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "torture: ");
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	_exit(status);
}
