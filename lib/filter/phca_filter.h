/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * eBPF programs: open, relocate, verify, JIT, run; maps and parameters. Filters are one
 * kind of program, offloads of the driver bpf another.
 *
 * libbpf opens the object and does all relocations in memory (no kernel, no
 * privileges); a forward pass of ours checks what rte_bpf does not know (map
 * values used without a NULL check, which map a call uses, keys and values on
 * the stack); rte_bpf verifies and JIT-compiles. A filter that loads is safe to
 * run on any context; a bad one is refused here with the program, the
 * instruction and the reason.
 *
 * Threads: load, free, map and show functions belong to control threads.
 * phca_filter_run belongs to data-path lcores; many may run one filter. A
 * filter is replaced by storing another pointer in a phca_filter_slot; the old
 * one may be freed when every lcore has passed a quiescent point.
 */
#ifndef PHCA_FILTER_H
#define PHCA_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "phca_filter_ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_FILTER_NAME_MAX 64    /**< longest name of filter, map, parameter, NUL included */
#define PHCA_FILTER_ERR_MAX 512    /**< room that every error text fits, bytes */
#define PHCA_FILTER_RULE_MAX 16    /**< rules of one proxy QP */

struct phca_filter; /**< a loaded filter: instructions, globals, maps, counters */

/** How a parameter's value is given. */
enum phca_filter_value_kind {
	PHCA_FV_INT,    /**< i: integers, bool and enum parameters; range checked */
	PHCA_FV_UINT,   /**< u: the same, above INT64_MAX too */
	PHCA_FV_BOOL,   /**< u: 0 or 1; only for bool parameters */
	PHCA_FV_STRING, /**< s: char arrays; longer than the array is an error */
};
/** One parameter: a `const volatile` global set by name. */
struct phca_filter_param {
	const char *name;                 /**< the global's name */
	enum phca_filter_value_kind kind; /**< which member is valid */
	int64_t i;
	uint64_t u;
	const char *s;
};

/** What an argument of a helper must be, for the check of programs. */
enum phca_helper_arg {
	PHCA_HELPER_END, /**< no argument, nor any behind it */
	PHCA_HELPER_CTX, /**< the program's context, from its first byte */
	PHCA_HELPER_NUM, /**< a number */
	PHCA_HELPER_IN,  /**< pointer to bytes that are read; the next argument is their LEN */
	PHCA_HELPER_OUT, /**< pointer to bytes, all of which are written; the next argument is their LEN */
	PHCA_HELPER_LEN, /**< a number of bytes; the check must be able to bound it */
};
/** Attribute of a helper's function: native code of rte_bpf does not align the stack as the ABI asks. */
#ifdef __x86_64__
#define PHCA_HELPER_FN __attribute__((force_align_arg_pointer))
#else
#define PHCA_HELPER_FN
#endif
#define PHCA_HELPER_ARGS 5    /**< arguments of a helper at most */
#define PHCA_HELPERS_MAX 64   /**< helpers of one kind of program */
#define PHCA_CTX_SIZE_MAX 256 /**< bytes of a context at most */
/** A function that programs of a kind may call. A table of them ends with number 0. */
struct phca_filter_helper {
	uint32_t number;               /**< as programs call it; not one of <linux/bpf.h> */
	const char *name;
	uint8_t arg[PHCA_HELPER_ARGS]; /**< enum phca_helper_arg */
	/** PHCA_HELPER_FN; whoever calls phca_filter_call gave the context. */
	uint64_t (*fn)(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
};
/** A kind of program. Constant, outlives the programs. */
struct phca_filter_kind {
	const char *noun;     /**< what errors call it: "filter", "offload" */
	const char *section;  /**< ELF section that its programs are in: "phca/..." */
	const char *mark;     /**< how authors say so: "PHCA_FILTER" */
	size_t ctx_size;      /**< bytes of the context, a multiple of 8 up to PHCA_CTX_SIZE_MAX */
	const struct phca_filter_helper *helpers; /**< besides maps, clock and random numbers; NULL: none */
};

/** What to load. The strings are copied as far as they are kept. */
struct phca_filter_spec {
	const char *name;    /**< the filter's name in configuration and messages */
	const char *object;  /**< path of the ELF object */
	const void *image;   /**< or the object in memory (object is then only a name) */
	size_t image_len;    /**< bytes of image */
	const char *program; /**< function name; NULL: the object's only program */
	const struct phca_filter_param *params; /**< parameters to set */
	unsigned int nb_params;
	bool no_jit;         /**< interpret instead (tests and comparisons) */
	uint64_t seed;       /**< not used by the filter itself; see phca_filter_env */
	const struct phca_filter_kind *kind; /**< NULL: a filter */
	/**
	 * NULL; or a program that the new one replaces: maps of the same name, type, sizes and
	 * number of entries are shared with it, contents and all, as long as either is there.
	 */
	struct phca_filter *maps_of;
};

/**
 * Load a filter.
 *
 * @param spec     what to load
 * @param err      written when NULL is returned: "filter NAME: program P,
 *                 instruction N (FILE:LINE): reason", NUL terminated;
 *                 without program and instruction where there is none
 * @param err_len  its size; PHCA_FILTER_ERR_MAX is enough
 * @return the filter, owned by the caller; NULL with rte_errno:
 *         ENOENT no such file, program, parameter;  EINVAL wrong type, range,
 *         or refused program;  ENOTSUP something that proxyhca lacks;  ENOMEM
 */
struct phca_filter *phca_filter_load(const struct phca_filter_spec *spec, char *err, size_t err_len);

/** Free a filter that no lcore runs any more. NULL is allowed. */
void phca_filter_free(struct phca_filter *f);

/** What one lcore gives its filters: clock and random numbers. */
struct phca_filter_env {
	uint64_t now_ns;  /**< set once a turn by the lcore's loop */
	uint64_t prandom; /**< state of bpf_get_prandom_u32, seeded at start, not 0 */
};
/**
 * Make @p env this thread's; it must outlive the thread's calls of
 * phca_filter_run. NULL: the thread runs no filters any more. Lcores, and up to 64
 * other threads at a time, can run filters; in a thread beyond that, and in one
 * that never called this, every filter passes and nothing is counted.
 */
void phca_filter_env_set(struct phca_filter_env *env);

/** Counters of one filter, written by the lcores that run it. */
struct phca_filter_stats {
	uint64_t runs;       /**< calls that returned: the sum of the others */
	uint64_t pass;       /**< said PHCA_PASS */
	uint64_t offload;    /**< said PHCA_OFFLOAD or PHCA_OFFLOAD_RULE */
	uint64_t bad_return; /**< said something else; taken as pass */
};

/**
 * Run a filter on one context, and count. Data-path lcore; the thread has
 * called phca_filter_env_set. Never blocks or allocates.
 * @return PHCA_PASS, PHCA_OFFLOAD, or PHCA_OFFLOAD_RULE(n)
 */
uint32_t phca_filter_run(struct phca_filter *f, const struct phca_filter_ctx *ctx);

/**
 * Run a program of any kind. It counts as pass when it returns 0, as offload else.
 * Data-path lcore; phca_filter_env_set need not have been called, or by whom it likes:
 * @p env is this thread's for the time of the call. Otherwise as phca_filter_run.
 * @param ctx  as many bytes as its kind says; helpers get its address
 * @return what the program returned; 0 when a thread beyond those allowed calls
 */
uint32_t phca_filter_call(struct phca_filter *f, void *ctx, struct phca_filter_env *env);

/** @return whether the program may call helper @p number of its kind on some path. */
bool phca_filter_may_call(const struct phca_filter *f, uint32_t number);
/** @return whether the program may return @p value: false only if the check proved that it does not. */
bool phca_filter_may_return(const struct phca_filter *f, uint32_t value);
/** @return its kind, as it was loaded. */
const struct phca_filter_kind *phca_filter_kind_of(const struct phca_filter *f);
/** @return whether map @p idx is shared with the program that this one replaced. */
bool phca_filter_map_is_shared(const struct phca_filter *f, unsigned int idx);

/** Read the counters; any thread, values may be a turn old. */
void phca_filter_stats_get(const struct phca_filter *f, struct phca_filter_stats *st);
/** Set the counters to zero as seen by phca_filter_stats_get; control thread. */
void phca_filter_stats_reset(struct phca_filter *f);

/** @return the filter's name. */
const char *phca_filter_name(const struct phca_filter *f);
/** @return the program's (function's) name. */
const char *phca_filter_program(const struct phca_filter *f);
/** @return path of the object. */
const char *phca_filter_object(const struct phca_filter *f);
/** @return whether it runs as native code. */
bool phca_filter_is_jit(const struct phca_filter *f);
/**
 * What a filter may read of its context, so that the caller need not fill in the
 * rest. @return bit i: bytes 8i..8i+7 of struct phca_filter_ctx
 */
uint32_t phca_filter_ctx_words(const struct phca_filter *f);
/** @return how many eBPF instructions it has. */
unsigned int phca_filter_nb_insns(const struct phca_filter *f);

/** Kinds of map. */
enum phca_map_type { PHCA_MAP_ARRAY, PHCA_MAP_HASH, PHCA_MAP_LPM };
/** What a map is like. */
struct phca_map_info {
	const char *name;        /**< as in the C source */
	enum phca_map_type type;
	uint32_t key_size;       /**< bytes; LPM: 4 of prefix length and the address */
	uint32_t value_size;     /**< bytes */
	uint32_t max_entries;
	uint32_t nb_entries;     /**< in use now; array: max_entries */
};
/** @return how many maps the filter has. */
unsigned int phca_filter_nb_maps(const struct phca_filter *f);
/** @return 0, or -ENOENT: @p idx out of range. */
int phca_filter_map_info(const struct phca_filter *f, unsigned int idx, struct phca_map_info *info);
/** @return the index of map @p name, or -ENOENT. */
int phca_filter_map_find(const struct phca_filter *f, const char *name);

/*
 * Map access from control threads, while traffic runs. Text forms, as JSON and
 * the CLI have them, follow the BTF types of key and value:
 *   an integer "12", "0x1f", "-3";  an array of bytes of 4 or 16 "10.0.0.1" or
 *   "fe80::1", else hex "de:ad:be:ef";  a struct "{a=1,b=2}" by member name;
 *   an LPM key "10.0.0.0/8" (IPv4 prefixes become ::ffff:a.b.c.d/96+n for a
 *   16-byte address) or "2001:db8::/32".
 */
/**
 * Set one entry from text.
 * @return 0, or negative errno with @p err written: -ENOENT no such map,
 *         -EINVAL text does not fit the type, -E2BIG array index, -ENOSPC full
 */
int phca_filter_map_set(struct phca_filter *f, const char *map, const char *key,
		const char *value, char *err, size_t err_len);
/** Remove an entry (array: set it to zero). Errors as phca_filter_map_set, and -ENOENT: no such key. */
int phca_filter_map_del(struct phca_filter *f, const char *map, const char *key, char *err, size_t err_len);
/**
 * Call @p cb for every entry, key and value as text. @p cb must not call map
 * functions or phca_filter_stats_* of the same filter. Entries that filters insert
 * meanwhile may be missed.
 * @return 0, -ENOENT no such map, or what @p cb returned if not 0 (stops)
 */
int phca_filter_map_each(const struct phca_filter *f, const char *map,
		int (*cb)(void *arg, const char *key, const char *value), void *arg);
/**
 * Call @p cb for every parameter and other global: name, value as text and
 * whether it is a `const volatile` parameter. @return as phca_filter_map_each
 */
int phca_filter_global_each(const struct phca_filter *f,
		int (*cb)(void *arg, const char *name, const char *value, bool is_param), void *arg);

/** A named place that holds the current filter; rules point here. */
struct phca_filter_slot {
	struct phca_filter *cur; /**< read with phca_filter_slot_get */
};
/** @return the current filter; data path: valid until the next quiescent point. */
static inline struct phca_filter *phca_filter_slot_get(const struct phca_filter_slot *s)
{
	return __atomic_load_n(&s->cur, __ATOMIC_ACQUIRE);
}
/** Put @p f in place whole. @return the old one, to be freed after a quiescent point. */
static inline struct phca_filter *phca_filter_slot_swap(struct phca_filter_slot *s, struct phca_filter *f)
{
	return __atomic_exchange_n(&s->cur, f, __ATOMIC_ACQ_REL);
}

#ifdef __cplusplus
}
#endif
#endif
