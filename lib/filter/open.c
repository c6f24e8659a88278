/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loading: from an ELF object to a filter that can run. libbpf opens the object
 * and relocates it in memory (bpf_object__gen_loader keeps it away from the
 * kernel); maps and globals become plain memory here; then parameters, the
 * forward pass, and rte_bpf. Whatever fails leaves nothing behind but the text
 * of the error, and libbpf never prints.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <rte_errno.h>

#include "elf_impl.h"

#define SECTIONS "phca/" /* programs of all kinds */
#define OBJECT_NAME "f" /* what libbpf puts before the names of sections */
#define OBJECT_MAX (16u << 20)

/* The last warning of libbpf in this thread, while it loads. */
static __thread char libbpf_said[256];

static int on_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char text[256], *nl;

	vsnprintf(text, sizeof(text), fmt, ap);
	nl = strchr(text, '\n');
	if (nl != NULL)
		*nl = '\0';
	if (level == LIBBPF_WARN && libbpf_said[0] == '\0')
		filter_copy(libbpf_said, sizeof(libbpf_said),
			strncmp(text, "libbpf: ", 8) == 0 ? text + 8 : text);
	rte_log(RTE_LOG_DEBUG, (uint32_t)phca_filter_logtype, "filter: %s\n", text);
	return 0;
}

static void once_init(void)
{
	libbpf_set_print(on_print);
	libbpf_register_prog_handler(SECTIONS, BPF_PROG_TYPE_SOCKET_FILTER, 0, NULL);
}

/* Say what libbpf said. */
static int libbpf_err(const struct filter_err *e, int rc, const char *what)
{
	if (libbpf_said[0] != '\0')
		return filter_err(e, rc, "%s: %s", what, libbpf_said);
	return filter_err(e, rc, "%s: %s", what, strerror(rc < 0 ? -rc : rc));
}

static int read_file(const char *path, void **image, size_t *len, const struct filter_err *e)
{
	struct stat st;
	size_t got = 0;
	ssize_t n;
	int fd, rc = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = filter_err(e, -errno, "object %s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > OBJECT_MAX) {
		rc = filter_err(e, -EINVAL, "object %s: not a regular file of at most %u bytes", path,
			OBJECT_MAX);
		goto out;
	}
	*len = (size_t)st.st_size;
	*image = malloc(*len + 1);
	if (*image == NULL) {
		rc = filter_err(e, -ENOMEM, "object %s: no memory for %zu bytes", path, *len);
		goto out;
	}
	while (got < *len && (n = read(fd, (char *)*image + got, *len - got)) > 0)
		got += (size_t)n;
	*len = got;
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

/* A section of globals becomes memory of ours. */
static int add_globals(struct phca_filter *f, struct bpf_map *map, const char *section,
		const struct filter_err *e)
{
	struct filter_globals *g = &f->globals[f->nb_globals];
	const struct btf_type *t;
	size_t size = 0;
	const void *init = bpf_map__initial_value(map, &size);
	int id, i;

	if (strncmp(section, ".rodata", 7) != 0 && strncmp(section, ".data", 5) != 0 &&
			strncmp(section, ".bss", 4) != 0)
		return filter_err(e, -ENOTSUP, "section %s: extern variables are for kernels; proxyhca has "
			".rodata, .data and .bss", section);
	if (init == NULL || size == 0 || size > FILTER_GLOBALS_MAX)
		return filter_err(e, -EINVAL, "section %s: %zu bytes of globals, allowed 1..%u", section,
			size, FILTER_GLOBALS_MAX);
	g->mem = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, (size_t)RTE_CACHE_LINE_SIZE));
	if (g->mem == NULL)
		return filter_err(e, -ENOMEM, "section %s: no memory for %zu bytes", section, size);
	f->nb_globals++;
	memcpy(g->mem, init, size);
	filter_copy(g->name, sizeof(g->name), section);
	g->size = (uint32_t)size;
	g->read_only = strncmp(section, ".rodata", 7) == 0;
	id = btf__find_by_name_kind(f->btf, section, BTF_KIND_DATASEC);
	if (id <= 0)
		return 0;
	t = btf__type_by_id(f->btf, (uint32_t)id);
	for (i = 0; i < btf_vlen(t); i++) {
		const struct btf_type *v = btf__type_by_id(f->btf, btf_var_secinfos(t)[i].type);

		if (v == NULL || !btf_is_var(v) || btf__name_by_offset(f->btf, v->name_off) == NULL)
			return filter_err(e, -EINVAL, "section %s: broken BTF", section);
	}
	g->datasec = (uint32_t)id;
	return 0;
}

/* The map of the program that this one replaces, when it is the same. */
static struct filter_map *share_map(const struct phca_filter *of, const struct filter_map_def *def)
{
	unsigned int i;

	for (i = 0; of != NULL && i < of->nb_maps; i++) {
		if (!filter_map_fits(of->maps[i], def))
			continue;
		of->maps[i]->users++;
		return of->maps[i];
	}
	return NULL;
}

static int add_map(struct phca_filter *f, const struct bpf_map *map, const struct phca_filter *of,
		size_t *mem_left, const struct filter_err *e)
{
	const struct filter_map_def def = {
		.name = bpf_map__name(map),
		.type = bpf_map__type(map),
		.key_size = bpf_map__key_size(map),
		.value_size = bpf_map__value_size(map),
		.max_entries = bpf_map__max_entries(map),
	};
	struct filter_map *m = share_map(of, &def);
	int rc = 0;

	if (m != NULL)
		f->shared |= UINT64_C(1) << f->nb_maps;
	else
		m = filter_map_create(&def, mem_left, e, &rc);
	if (m == NULL)
		return rc;
	f->key_type[f->nb_maps] = bpf_map__btf_key_type_id(map);
	f->value_type[f->nb_maps] = bpf_map__btf_value_type_id(map);
	f->maps[f->nb_maps++] = m;
	return 0;
}

static int add_maps(struct phca_filter *f, struct bpf_object *obj, const struct phca_filter *of,
		const struct filter_err *e)
{
	size_t mem_left = FILTER_MEM_MAX;
	struct bpf_map *map;
	struct filter_ref *r;
	const char *name;
	int rc;

	bpf_object__for_each_map(map, obj) {
		if (f->nb_refs == FILTER_MAPS_MAX)
			return filter_err(e, -EINVAL, "more than %d maps and sections of globals",
				FILTER_MAPS_MAX);
		r = &f->refs[f->nb_refs++];
		name = bpf_map__name(map);
		r->is_global = bpf_map__is_internal(map);
		r->idx = (uint16_t)(r->is_global ? f->nb_globals : f->nb_maps);
		if (r->is_global) {
			if (strncmp(name, OBJECT_NAME ".", sizeof(OBJECT_NAME)) == 0)
				name += sizeof(OBJECT_NAME) - 1;
			rc = add_globals(f, map, name, e);
		} else {
			rc = add_map(f, map, of, &mem_left, e);
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Find the program, and keep libbpf from touching the others. */
static struct bpf_program *choose_program(struct bpf_object *obj, const char *want,
		const struct phca_filter_kind *kind, const struct filter_err *e, int *rc)
{
	struct bpf_program *p, *found = NULL;
	const char *sec, *other = NULL;

	bpf_object__for_each_program(p, obj) {
		bpf_program__set_autoload(p, false);
		sec = bpf_program__section_name(p);
		if (want != NULL && strcmp(bpf_program__name(p), want) != 0)
			continue;
		if (sec == NULL || strcmp(sec, kind->section) != 0) {
			other = sec;
			continue;
		}
		if (found != NULL) {
			*rc = filter_err(e, -EINVAL, "two programs, %s and %s; say which with \"program\"",
				bpf_program__name(found), bpf_program__name(p));
			return NULL;
		}
		found = p;
	}
	if (found != NULL) {
		bpf_program__set_autoload(found, true);
		bpf_program__set_type(found, BPF_PROG_TYPE_SOCKET_FILTER);
		return found;
	}
	if (other != NULL)
		*rc = filter_err(e, -EINVAL, "%s%sis in section \"%s\", not \"%s\"; mark the function "
			"%s", want != NULL ? want : "the program", " ", other, kind->section, kind->mark);
	else if (want != NULL)
		*rc = filter_err(e, -ENOENT, "no program %s in the object", want);
	else
		*rc = filter_err(e, -ENOENT, "no program in the object; mark the function %s", kind->mark);
	return NULL;
}

/* From an open object to a filter that runs. */
static int build(struct phca_filter *f, struct bpf_object *obj, const struct phca_filter_spec *spec,
		const struct filter_elf *elf, struct filter_err *e)
{
	struct filter_lines lines = { .elf = elf, .section = f->kind->section };
	LIBBPF_OPTS(gen_loader_opts, gen);
	const struct ebpf_insn *ins;
	struct filter_call *calls;
	struct bpf_program *prog;
	const void *raw;
	uint32_t raw_len;
	int rc = 0;

	prog = choose_program(obj, spec->program, f->kind, e, &rc);
	if (prog == NULL)
		return rc;
	filter_copy(f->program, sizeof(f->program), bpf_program__name(prog));
	e->program = f->program;
	if (bpf_object__btf(obj) == NULL)
		return filter_err(e, -EINVAL, "the object has no BTF; compile with -g");
	rc = bpf_object__gen_loader(obj, &gen);
	if (rc == 0)
		rc = bpf_object__load(obj);
	if (rc != 0)
		return libbpf_err(e, rc == -ENOMEM ? rc : -EINVAL, "relocation");
	raw = btf__raw_data(bpf_object__btf(obj), &raw_len);
	f->btf = raw != NULL ? btf__new(raw, raw_len) : NULL;
	if (f->btf == NULL)
		return libbpf_err(e, -EINVAL, "BTF");
	rc = add_maps(f, obj, spec->maps_of, e);
	if (rc == 0)
		rc = filter_params_set(f, spec->params, spec->nb_params, e);
	if (rc != 0)
		return rc;

	f->nb_insns = (unsigned int)bpf_program__insn_cnt(prog);
	ins = (const struct ebpf_insn *)bpf_program__insns(prog);
	if (ins == NULL || f->nb_insns == 0 || f->nb_insns > FILTER_INSNS_MAX)
		return filter_err(e, -EINVAL, "%u instructions, allowed 1..%u", f->nb_insns,
			FILTER_INSNS_MAX);
	calls = calloc(f->nb_insns, sizeof(*calls));
	if (calls == NULL)
		return filter_err(e, -ENOMEM, "no memory for %u instructions", f->nb_insns);
	lines.btf = f->btf;
	e->lines = &lines;
	rc = filter_check(f, ins, f->nb_insns, calls, e);
	if (rc == 0)
		rc = filter_compile(f, ins, f->nb_insns, calls, !spec->no_jit, e);
	e->lines = NULL;
	free(calls);
	return rc;
}

static int open_and_build(struct phca_filter *f, const struct phca_filter_spec *spec,
		struct filter_err *e)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = OBJECT_NAME);
	const void *image = spec->image;
	size_t len = spec->image_len;
	struct filter_elf elf = { 0 };
	struct bpf_object *obj;
	void *file = NULL;
	int rc;

	libbpf_said[0] = '\0';
	if (image == NULL) {
		rc = read_file(spec->object, &file, &len, e);
		if (rc != 0)
			goto out;
		image = file;
	} else if ((uintptr_t)image % 8 != 0) { /* symbols are read in place */
		file = malloc(len + 1);
		if (file == NULL) {
			rc = filter_err(e, -ENOMEM, "object: no memory for %zu bytes", len);
			goto out;
		}
		image = memcpy(file, image, len);
	}
	rc = filter_elf_open(image, len, &elf, e);
	if (rc != 0)
		goto out;
	obj = bpf_object__open_mem(image, len, &opts);
	if (obj == NULL) {
		rc = errno == ENOMEM ? -ENOMEM : -EINVAL;
		libbpf_err(e, rc, "object");
		goto out;
	}
	rc = build(f, obj, spec, &elf, e);
	bpf_object__close(obj);
out:
	filter_elf_close(&elf);
	free(file);
	return rc;
}

struct phca_filter *phca_filter_load(const struct phca_filter_spec *spec, char *err, size_t err_len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct phca_filter_kind *kind = spec->kind != NULL ? spec->kind : &filter_kind_filter;
	struct filter_err e = { .buf = err, .len = err_len, .noun = kind->noun, .filter = spec->name };
	struct phca_filter *f;
	int rc;

	pthread_once(&once, once_init);
	filter_grace_init();
	if (err != NULL && err_len > 0)
		err[0] = '\0';
	f = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*f));
	if (f == NULL) {
		rte_errno = -filter_err(&e, -ENOMEM, "no memory");
		return NULL;
	}
	memset(f, 0, sizeof(*f));
	f->kind = kind;
	pthread_mutex_init(&f->control, NULL);
	filter_copy(f->name, sizeof(f->name), spec->name);
	f->object = strdup(spec->object != NULL ? spec->object : "(memory)");
	if (strlen(spec->name) >= sizeof(f->name))
		rc = filter_err(&e, -EINVAL, "name longer than %zu characters", sizeof(f->name) - 1);
	else if (f->object == NULL)
		rc = filter_err(&e, -ENOMEM, "no memory");
	else if (spec->image == NULL && spec->object == NULL)
		rc = filter_err(&e, -EINVAL, "no object");
	else
		rc = open_and_build(f, spec, &e);
	if (rc != 0) {
		phca_filter_free(f);
		rte_errno = -rc;
		return NULL;
	}
	return f;
}

void phca_filter_free(struct phca_filter *f)
{
	unsigned int i;

	if (f == NULL)
		return;
	if (f->bpf != NULL)
		rte_bpf_destroy(f->bpf);
	for (i = 0; i < f->nb_maps; i++)
		filter_map_destroy(f->maps[i]);
	for (i = 0; i < f->nb_globals; i++)
		free(f->globals[i].mem);
	btf__free(f->btf);
	pthread_mutex_destroy(&f->control);
	free(f->object);
	free(f);
}
