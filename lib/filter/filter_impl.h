/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of lib/filter share: the loaded filter, its maps and globals,
 * and the text of a refusal.
 */
#ifndef FILTER_IMPL_H
#define FILTER_IMPL_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf_def.h>
#include <rte_bpf.h>
#include <rte_common.h>
#include <rte_config.h>
#include <rte_log.h>

#include "phca_filter.h"

extern int phca_filter_logtype;

#define FILTER_STACK 512            /* bytes of eBPF stack */
#define FILTER_MAPS_MAX 64          /* maps of one object, sections of globals included */
#define FILTER_INSNS_MAX 65536      /* instructions of one program */
#define FILTER_KEY_MAX 256          /* bytes of a map key */
#define FILTER_VALUE_MAX 4096       /* bytes of a map value */
#define FILTER_MEM_MAX (256u << 20) /* bytes of all maps of one filter */
#define FILTER_GLOBALS_MAX (1u << 20) /* bytes of one section of globals */

/* Helpers, numbered as in <linux/bpf.h>. */
enum {
	FILTER_HELPER_LOOKUP = 1,
	FILTER_HELPER_UPDATE = 2,
	FILTER_HELPER_KTIME = 5,
	FILTER_HELPER_PRANDOM = 7,
};

/* How LD_IMM64 names a map after bpf_object__gen_loader: index, or index and offset. */
enum { FILTER_SRC_MAP_IDX = 5, FILTER_SRC_MAP_VALUE = 6 };

/* Where an error is told, and the names that every text starts with. */
struct filter_err {
	char *buf;
	size_t len;
	const char *noun;    /* NULL: filter */
	const char *filter;
	const char *program; /* NULL until it is known */
	const struct filter_lines *lines;
};

/* One map: a fixed set of value slots, allocated when the filter loads. */
struct filter_map {
	char name[PHCA_FILTER_NAME_MAX];
	enum phca_map_type type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	unsigned int users;  /* programs that have it; control threads */
	size_t key_stride;   /* bytes from key to key, a multiple of 8 */
	size_t value_stride;
	uint8_t *values;     /* max_entries values */
	/* hash and LPM only */
	uint8_t *keys;
	uint32_t *next;      /* chain and free list; slot number + 1, 0 ends */
	uint32_t *heads;     /* buckets */
	uint32_t mask;       /* buckets - 1 */
	uint32_t seed;
	uint64_t free __rte_cache_aligned; /* tag << 32 | first free slot + 1 */
	uint32_t nb_entries;
	uint64_t lens[3];    /* LPM: bit set: a prefix of that length was added */
};

/* One section of globals: .rodata, .data, .bss. */
struct filter_globals {
	char name[PHCA_FILTER_NAME_MAX]; /* of the section */
	uint8_t *mem;
	uint32_t size;
	bool read_only;
	uint32_t datasec; /* BTF type id, 0: none */
};

#define FILTER_RETURNS 16 /* ranges of return values that are kept */

/* Values that a program may return, or part of one. */
struct filter_range { uint64_t lo, hi; };

/* What a map index of the object stands for. */
struct filter_ref {
	bool is_global;
	uint16_t idx; /* of maps[] or globals[] */
};

/* Counters of one thread; runs > pass + offload + bad_return: it is inside. */
struct filter_counts {
	struct phca_filter_stats st;
} __rte_cache_aligned;

#define FILTER_EXTRA_THREADS 64 /* threads without an lcore id that can run filters */
#define FILTER_SLOTS (RTE_MAX_LCORE + FILTER_EXTRA_THREADS)

struct phca_filter {
	uint64_t (*func)(void *ctx); /* native code, NULL: interpret */
	struct rte_bpf *bpf;
	char name[PHCA_FILTER_NAME_MAX];
	char program[PHCA_FILTER_NAME_MAX];
	char *object;
	struct btf *btf;
	unsigned int nb_insns;
	uint32_t ctx_words;          /* bit i: bytes 8i..8i+7 of the context may be read */
	unsigned int nb_maps;
	struct filter_map *maps[FILTER_MAPS_MAX];
	uint32_t key_type[FILTER_MAPS_MAX], value_type[FILTER_MAPS_MAX]; /* BTF type ids, of maps */
	uint64_t shared;             /* bit i: map i was another program's, too */
	const struct phca_filter_kind *kind;
	uint64_t calls;              /* bit i: helper i of the kind may be called */
	struct filter_range ret[FILTER_RETURNS];
	unsigned int nb_ret;         /* more than FILTER_RETURNS: it may return anything */
	unsigned int nb_globals;
	struct filter_globals globals[FILTER_MAPS_MAX];
	struct filter_ref refs[FILTER_MAPS_MAX]; /* by map index of the object */
	unsigned int nb_refs;
	pthread_mutex_t control;        /* control threads that use maps, one at a time */
	struct phca_filter_stats base;  /* what reset subtracts; under control */
	struct filter_counts counts[FILTER_SLOTS];
};

/* What the forward pass found at a call, for the declarations that rte_bpf gets. */
struct filter_call {
	uint32_t helper;     /* FILTER_HELPER_*, 0: not a call */
	uint32_t key_size;   /* least of the maps used there */
	uint32_t value_size; /* greatest of them */
	const struct phca_filter_helper *own;  /* a helper of the kind; NULL: none */
	uint32_t size[PHCA_HELPER_ARGS];       /* greatest number of bytes of each pointer */
};

/* text.c */
int filter_err(const struct filter_err *e, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int filter_err_at(const struct filter_err *e, int rc, unsigned int insn, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void filter_copy(char *dst, size_t size, const char *src);

/* kind.c */
extern const struct phca_filter_kind filter_kind_filter;
const struct phca_filter_helper *filter_kind_helper(const struct phca_filter_kind *k, uint32_t number);

/* check.c */
int filter_check(struct phca_filter *f, const struct ebpf_insn *ins, unsigned int nb,
		struct filter_call *calls, const struct filter_err *e);
const char *filter_helper_name(uint32_t helper);

/* rewrite.c */
int filter_compile(struct phca_filter *f, const struct ebpf_insn *ins, unsigned int nb,
		const struct filter_call *calls, bool jit, const struct filter_err *e);

/* maps.c */
struct filter_map_def {
	const char *name;
	uint32_t type; /* BPF_MAP_TYPE_* */
	uint32_t key_size, value_size, max_entries;
};
struct filter_map *filter_map_create(const struct filter_map_def *def, size_t *mem_left,
		const struct filter_err *e, int *rc);
/* Whether a map is what @p def asks for. */
bool filter_map_fits(const struct filter_map *m, const struct filter_map_def *def);
void filter_map_destroy(struct filter_map *m); /* when nobody else has it */
void *filter_map_lookup(struct filter_map *m, const void *key);
int filter_map_update(struct filter_map *m, const void *key, const void *value, uint64_t flags);
int filter_map_delete(struct phca_filter *f, struct filter_map *m, const void *key);
void filter_map_read(const struct filter_map *m, const void *slot, void *value);

/* counts.c */
void filter_grace_init(void);
void filter_grace_wait(const struct phca_filter *f);
struct phca_filter_env *filter_env(void);

/* params.c */
struct btf;
int filter_params_set(struct phca_filter *f, const struct phca_filter_param *params, unsigned int nb,
		const struct filter_err *e);
bool filter_var_is_param(const struct btf *btf, uint32_t var_type);

/* maptext.c: text to bytes and back by BTF type; 0, -EINVAL, -ENOTSUP and why */
int filter_text_parse(const struct btf *btf, uint32_t type, const char *text, void *buf, size_t size,
		char *why, size_t why_len);
int filter_text_print(const struct btf *btf, uint32_t type, const void *buf, size_t size,
		char *out, size_t out_len);
int filter_text_parse_prefix(const char *text, uint32_t key_size, void *key, char *why, size_t why_len);
void filter_text_print_prefix(const void *key, uint32_t key_size, char *out, size_t out_len);
uint32_t filter_type_skip(const struct btf *btf, uint32_t type);
int filter_int_range(const struct btf *btf, uint32_t type, int64_t *min, uint64_t *max, char *name,
		size_t name_len);
int filter_int_store(void *buf, size_t size, uint64_t v);

#endif
