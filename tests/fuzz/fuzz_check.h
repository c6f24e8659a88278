/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fuzz targets share: the entry point and an assertion that stays. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/**
 * One input. Called by libFuzzer (build with -Dfuzz=true) and by smoke_main.c.
 * @return 0, or -1 when the input is not worth keeping
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Abort with a message unless @p cond: also in release builds. */
#define FUZZ_CHECK(cond) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond); \
		abort(); \
	} \
} while (0)

#endif
