/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The helpers of programs in section phca/offload, once: their numbers and what the
 * check of programs asks of each argument. phca_offload_ctx.h declares the same to
 * authors; drivers/offload/bpf has the functions.
 */
#ifndef PHCA_OFFLOAD_HELPERS_H
#define PHCA_OFFLOAD_HELPERS_H

#include "phca_filter.h"
#include "phca_offload_ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/** X(number, name, arguments) with the arguments in parentheses, PHCA_HELPER_ left out. */
#define PHCA_OFFLOAD_HELPERS(X) \
	X(1001, payload_read, (A_CTX, A_NUM, A_OUT, A_LEN, A_END)) \
	X(1002, sge_write, (A_CTX, A_NUM, A_IN, A_LEN, A_END)) \
	X(1003, mem_read, (A_CTX, A_NUM, A_NUM, A_OUT, A_LEN)) \
	X(1004, mem_write, (A_CTX, A_NUM, A_NUM, A_IN, A_LEN)) \
	X(1005, answer, (A_CTX, A_NUM, A_IN, A_LEN, A_END)) \
	X(1006, answer_mem, (A_CTX, A_NUM, A_NUM, A_NUM, A_NUM)) \
	X(1007, out, (A_CTX, A_NUM, A_IN, A_LEN, A_END)) \
	X(1008, out_mem, (A_CTX, A_NUM, A_NUM, A_NUM, A_NUM)) \
	X(1009, out_payload, (A_CTX, A_NUM, A_NUM, A_NUM, A_END)) \
	X(1010, reply, (A_CTX, A_IN, A_LEN, A_NUM, A_END)) \
	X(1011, child_send, (A_CTX, A_NUM, A_NUM, A_END, A_END)) \
	X(1012, child_write, (A_CTX, A_NUM, A_NUM, A_NUM, A_NUM)) \
	X(1013, child_same, (A_CTX, A_NUM, A_END, A_END, A_END))

/** Numbers of the helpers: PHCA_OFFLOAD_HELPER_payload_read, ... */
enum phca_offload_helper {
#define PHCA_OFFLOAD_ENUM(number, name, args) PHCA_OFFLOAD_HELPER_##name = number,
	PHCA_OFFLOAD_HELPERS(PHCA_OFFLOAD_ENUM)
#undef PHCA_OFFLOAD_ENUM
};

/** The arguments of a row, as struct phca_filter_helper has them. */
#define PHCA_OFFLOAD_ARGS(a, b, c, d, e) { PHCA_OFFLOAD_##a, PHCA_OFFLOAD_##b, PHCA_OFFLOAD_##c, \
	PHCA_OFFLOAD_##d, PHCA_OFFLOAD_##e }
#define PHCA_OFFLOAD_A_CTX PHCA_HELPER_CTX
#define PHCA_OFFLOAD_A_NUM PHCA_HELPER_NUM
#define PHCA_OFFLOAD_A_IN PHCA_HELPER_IN
#define PHCA_OFFLOAD_A_OUT PHCA_HELPER_OUT
#define PHCA_OFFLOAD_A_LEN PHCA_HELPER_LEN
#define PHCA_OFFLOAD_A_END PHCA_HELPER_END
/** A row of a table of struct phca_filter_helper; the function is help_NAME. */
#define PHCA_OFFLOAD_HELPER_ROW(number, name, args) \
	{ number, "phca_" #name, PHCA_OFFLOAD_ARGS args, help_##name },

#ifdef __cplusplus
}
#endif
#endif
