/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of lib/filter share. */
#ifndef FILTER_TEST_H
#define FILTER_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "phca_filter.h"
#include "phca_test.h"

/* Text of the last error of ft_load. */
extern char ft_err[PHCA_FILTER_ERR_MAX];
/* This thread's clock and random state, after ft_load. */
extern struct phca_filter_env ft_env;

/* The object @p name in directory $env, "by_size" -> .../by_size.bpf.o */
const char *ft_path(const char *env, const char *name);
/* Load example @p name with parameters. */
struct phca_filter *ft_load(const char *name, const struct phca_filter_param *params, unsigned int nb,
		bool no_jit);

#define FT_UINT(n, v) { .name = n, .kind = PHCA_FV_UINT, .u = v }
#define FT_INT(n, v) { .name = n, .kind = PHCA_FV_INT, .i = v }
#define FT_BOOL(n, v) { .name = n, .kind = PHCA_FV_BOOL, .u = v }
#define FT_STR(n, v) { .name = n, .kind = PHCA_FV_STRING, .s = v }

#endif
