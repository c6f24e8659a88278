/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the configuration is described, and the loader's state.
 *
 * A JSON object is a const table of keys. A key says all there is to know: its
 * name, kind, range, default, where its value goes, and a line of help. Loading,
 * printing, the JSON schema and the rows of doc/configuration.md all walk the
 * tables, so they cannot disagree.
 */
#ifndef CONFIG_IMPL_H
#define CONFIG_IMPL_H

#include <jansson.h>

#include "phca_config.h"

extern int phca_config_logtype;

#define CFG_FILE_MAX (16u << 20) /* bytes of a configuration at most */
#define CFG_DEPTH_MAX 12         /* steps of a path; the tables nest 3 objects */
#define CFG_NAME_MAX 64          /* a name, NUL included */
#define CFG_RULE_NAME_MAX 128    /* "FILTER-OFFLOAD" */

struct loader;
struct key;

/* A kind of value: how it is read, printed and described. */
struct kind {
	/* Read v into obj. 0, or negative errno with the error written. */
	int (*parse)(struct loader *l, const struct key *k, const json_t *v, void *obj);
	/* Set *out; left NULL when the key is not to be printed. 0 or -ENOMEM. */
	int (*print)(const struct phca_config *c, const struct key *k, const void *obj, json_t **out);
	/* Its JSON schema, without description and default. NULL: no memory. */
	json_t *(*schema)(const struct key *k);
	/* The word for the type column of the documentation. */
	const char *doc;
};

/* A word and the number that it stands for. The list ends with name NULL. */
struct word {
	const char *name;
	uint64_t value;
	const char *refuse; /* known, but refused for this reason */
};

#define KEY_REQUIRED 0x1 /* must be given */
#define KEY_ABSENT   0x2 /* not given: stays def and is not printed */
#define KEY_POW2     0x4 /* powers of two only */
#define KEY_HEX      0x8 /* number, or text "0x..." */
#define KEY_ZERO     0x10 /* 0 is allowed besides the range */
#define KEY_SINGLE   0x20 /* section that only a whole configuration has, no addition */

/* One key of an object. */
struct key {
	const char *name;
	const struct kind *kind;
	size_t off, size;        /* the member */
	size_t aux;              /* second member: "given" flag, or count of an array; 0: none */
	uint64_t min, max, def;  /* numbers: range and default; arrays: length */
	uint64_t scale;          /* stored value is number times this; 0: 1 */
	unsigned int flags;      /* KEY_* */
	unsigned int only;       /* bits 1 << enum phca_qp_type: only these QPs; 0: all */
	const struct word *words;
	const struct table *sub; /* objects */
	const char *pattern;     /* text: what the schema says; checked by kind->parse too */
	int section;             /* references: enum section */
	const char *unit;        /* or NULL */
	const char *def_doc;     /* default in words, when it is not def */
	const char *help;        /* one line */
};

/* One object. Ends with a key whose name is NULL. */
struct table {
	const char *name; /* "port" */
	const struct key *keys;
	size_t size;      /* of the struct */
	bool named;       /* begins with its name, which is unique */
	int section;      /* enum section, or SEC_NONE */
	/* After all keys: what needs several of them. */
	int (*finish)(struct loader *l, void *obj, const json_t *v);
	/* Whether a key belongs to this object; NULL: all do. */
	bool (*applies)(const struct key *k, const void *obj);
};

/* Sections that others refer to by name. */
enum section { SEC_NONE = -1, SEC_PORT, SEC_FILTER, SEC_OFFLOAD, SEC_APP, SEC_SRQ, SEC_QP, SEC_COUNT };

/* Memory that lives as long as the configuration. */
struct chunk {
	struct chunk *next;
	max_align_t data[];
};

/* What phca_config.priv points to. */
struct cfg_priv {
	struct chunk *chunks;
	const char **base_names[SEC_COUNT]; /* names that indices below nb_base mean */
	unsigned int nb_base[SEC_COUNT];
	bool is_addition;                   /* was loaded with a base */
};

/* One step of a path: into an object or into an array. */
struct step {
	const char *key; /* NULL: an index */
	size_t idx;
};

struct loader {
	const char *file;
	const char *text;
	size_t len;
	struct phca_config *c;
	struct cfg_priv *priv;
	const struct phca_config *base;
	const struct phca_config_lookup *lookup;
	char *err;
	size_t err_len;
	struct step path[CFG_DEPTH_MAX];
	unsigned int depth;
};

/* What texts look like, for the schema; kinds.c has the same as sets of characters. */
#define CFG_SET_ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define CFG_SET_ALNUM CFG_SET_ALPHA "0123456789"
#define CFG_PAT_NAME "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$"
#define CFG_PAT_RULE "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}$"
#define CFG_PAT_IDENT "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
#define CFG_PAT_DRIVER "^[A-Za-z][A-Za-z0-9_-]{0,62}$"
#define CFG_SET_PUNCT "!\"#$%&'()*+,-.:;<=>?@[\\]^_`{|}~" /* without / */
#define CFG_PAT_GLOB "^[!-.0-~]{1,63}$"
#define CFG_PAT_RDMA "^[A-Za-z][A-Za-z0-9_-]{0,22}$"
#define CFG_PAT_DEVICE "^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$"

#define CFG_DIR_SEND    0x1u
#define CFG_DIR_INBOUND 0x2u

/* tables.c */
extern const struct table cfg_root;

/* kinds.c: numbers, words and text; addr.c: addresses; lists.c: objects and dictionaries;
 * refs.c: names of elements; lcores.c: one number or several; user.c: users of the machine;
 * host.c: permissions, groups */
extern const struct kind kind_uint, kind_bool, kind_word, kind_words, kind_text, kind_note;
extern const struct kind kind_addrs, kind_prefix, kind_gw4, kind_gw6, kind_mac, kind_peer, kind_gid, kind_mcast;
extern const struct kind kind_object, kind_array, kind_settings, kind_params, kind_maps;
extern const struct kind kind_ref, kind_qp_refs, kind_direction, kind_lcores, kind_user, kind_mode, kind_group;

/* check.c: the finish functions of tables */
int cfg_port_finish(struct loader *l, void *obj, const json_t *v);
int cfg_filter_finish(struct loader *l, void *obj, const json_t *v);
int cfg_offload_finish(struct loader *l, void *obj, const json_t *v);
int cfg_app_finish(struct loader *l, void *obj, const json_t *v);
int cfg_srq_finish(struct loader *l, void *obj, const json_t *v);
int cfg_qp_finish(struct loader *l, void *obj, const json_t *v);
bool cfg_qp_applies(const struct key *k, const void *obj);
/* The QP types of a key's "only", as 'UC, RC'; between each two sep. */
const char *cfg_qp_types(unsigned int only, const char *sep, char *buf, size_t size);
int cfg_rule_finish(struct loader *l, void *obj, const json_t *v);
int cfg_proxy_qp_finish(struct loader *l, void *obj, const json_t *v);
int cfg_depths_finish(struct loader *l, void *obj, const json_t *v);
int cfg_app_proxy_finish(struct loader *l, void *obj, const json_t *v);
int cfg_host_finish(struct loader *l, void *obj, const json_t *v);
int cfg_root_finish(struct loader *l, void *obj, const json_t *v);

/* kinds.c */
void cfg_store(void *dst, size_t size, uint64_t v);
uint64_t cfg_fetch(const void *src, size_t size);
/* A whole number, also when it is written 1.0 or 1e3. */
bool cfg_integer(const json_t *v, int64_t *out);
/* Whether s has 1..max characters and is as the pattern says. */
bool cfg_text_fits(const char *pattern, size_t max, const char *s);
json_t *cfg_schema_text(const char *pattern);

/* lists.c */
int cfg_table_parse(struct loader *l, const struct table *t, const json_t *v, void *obj);
int cfg_table_print(const struct phca_config *c, const struct table *t, const void *obj, json_t **out);
/* The section's elements of a configuration: first element; count and element size are written. */
const void *cfg_section(const struct phca_config *c, int section, unsigned int *n, size_t *size);
/* Name of element idx, those of the base counted first. */
const char *cfg_section_name(const struct phca_config *c, int section, unsigned int idx);
/* Index of a name, base first; -1: none. */
int cfg_section_find(const struct phca_config *c, int section, const char *name);

/* error.c */
int cfg_fail(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cfg_fail_key(struct loader *l, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int cfg_fail_mem(struct loader *l);
void cfg_push_key(struct loader *l, const char *key);
void cfg_push_idx(struct loader *l, size_t idx);
void cfg_pop(struct loader *l);
const char *cfg_type_str(const json_t *v);
/* The nearest of some names, when one is near. next returns NULL at the end. */
const char *cfg_nearest(const char *word, const char *(*next)(void *arg, unsigned int i), void *arg);
/* Make bytes of a hostile file fit for a terminal; dst is returned. */
const char *cfg_clean(char *dst, size_t size, const char *src);

/* place.c: line of the value that a path leads to, or of what is left of it. */
unsigned int cfg_line(const char *text, size_t len, const struct step *path, unsigned int depth);

/* memory.c */
void *cfg_alloc(struct loader *l, size_t size);
char *cfg_strdup(struct loader *l, const char *s);
int cfg_base_names(struct loader *l);

/* object.c: find a filter's object. */
int cfg_object_find(struct loader *l, const char *object, const char **found);

/* schema.c: the JSON schema of an object; one row of the documentation for each key. */
json_t *cfg_table_schema(const struct table *t);
int cfg_doc_rows(FILE *out);

static inline void *cfg_member(void *obj, const struct key *k) { return (char *)obj + k->off; }
static inline const void *cfg_cmember(const void *obj, const struct key *k)
{
	return (const char *)obj + k->off;
}

#endif
