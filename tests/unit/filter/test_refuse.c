/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that must be refused is, with its reason, instruction and line. What
 * is expected stands in the sources of bad/, beside what is wrong. llvm-objdump
 * is the second source for which instruction a line is.
 */
#include <ctype.h>

#include "filter_test.h"
#include "offload_kind.h"

/* Load program @p program (NULL: the only one) of bad object @p object. Expects a refusal. */
static int refuse(const char *object, const char *program, const struct phca_filter_kind *kind)
{
	const struct phca_filter_spec spec = {
		.name = "bad", .object = ft_path("PHCA_BAD_FILTERS", object), .program = program, .kind = kind,
	};
	struct phca_filter *f;

	rte_errno = 0;
	f = phca_filter_load(&spec, ft_err, sizeof(ft_err));
	CU_ASSERT_PTR_NULL(f);
	if (f == NULL)
		return rte_errno;
	fprintf(stderr, "%s %s: loaded, should be refused\n", object, program != NULL ? program : "");
	phca_filter_free(f);
	return 0;
}

static bool says(const char *what)
{
	if (strstr(ft_err, what) != NULL)
		return true;
	fprintf(stderr, "expected \"%s\"\n     got \"%s\"\n", what, ft_err);
	return false;
}

/*
 * Whether llvm-objdump's listing, made by the build, says that instruction @p insn
 * of @p program came from @p line of the source. -1: it does not say.
 */
static int objdump_agrees(const char *object, const char *program, unsigned int insn, unsigned int line)
{
	char path[4096], text[512], want[80];
	unsigned int at, first = 0, cur_line = 0;
	bool inside = false, begun = false;
	const char *colon;
	int result = -1;
	FILE *p;

	snprintf(path, sizeof(path), "%s/%s.dis", getenv("PHCA_BAD_FILTERS"), object);
	snprintf(want, sizeof(want), "<%s>:", program);
	p = fopen(path, "r");
	while (p != NULL && fgets(text, sizeof(text), p) != NULL) {
		if (strstr(text, "<LBB") != NULL && strstr(text, ">:") != NULL) {
			continue; /* a label inside of the program */
		} else if (strstr(text, ">:") != NULL) {
			inside = strstr(text, want) != NULL;
			begun = false;
		} else if (text[0] == ';' && (colon = strrchr(text, ':')) != NULL &&
				isdigit((unsigned char)colon[1])) {
			cur_line = (unsigned int)strtoul(colon + 1, NULL, 10);
		} else if (inside && sscanf(text, " %u:", &at) == 1) {
			if (!begun)
				first = at;
			begun = true;
			if (at - first == insn)
				result = cur_line == line;
		}
	}
	if (p != NULL)
		fclose(p);
	return result;
}

/* Every REFUSED comment of a source, against the object compiled from it. */
static unsigned int check_source(const char *object, const struct phca_filter_kind *kind)
{
	const char *mark = kind != NULL ? kind->mark : "PHCA_FILTER";
	char path[4096], text[1024], program[64] = "", want[512], place[64], *p, *end;
	unsigned int line = 0, nb = 0, insn, checked = 0;
	bool next = false;
	FILE *f;
	int rc;

	snprintf(path, sizeof(path), "%s/%s.bpf.c", getenv("PHCA_BAD_SOURCES"), object);
	f = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (fgets(text, sizeof(text), f) != NULL) {
		line++;
		p = strchr(text, '(');
		if (next && p != NULL) {
			for (end = p; p > text && (isalnum((unsigned char)p[-1]) || p[-1] == '_'); p--)
				;
			snprintf(program, sizeof(program), "%.*s", (int)(end - p), p);
		}
		next = strncmp(text, mark, strlen(mark)) == 0;
		p = strstr(text, "/* REFUSED: ");
		if (p == NULL)
			continue;
		end = strstr(p, " */");
		CU_ASSERT_PTR_NOT_NULL_FATAL(end);
		p += strlen("/* REFUSED: ");
		snprintf(want, sizeof(want), "%.*s", (int)(end - p), p);
		CU_ASSERT_EQUAL(refuse(object, program, kind) == 0, 0);
		snprintf(place, sizeof(place), "%s bad: program %s, instruction ",
			kind != NULL ? kind->noun : "filter", program);
		CU_ASSERT(says(place));
		snprintf(place, sizeof(place), " (%s.bpf.c:%u): ", object, line);
		CU_ASSERT(says(place));
		CU_ASSERT(says(want));
		nb++;
		p = strstr(ft_err, ", instruction ");
		if (p == NULL || sscanf(p, ", instruction %u", &insn) != 1)
			continue;
		rc = objdump_agrees(object, program, insn, line);
		CU_ASSERT(rc != 0);
		checked += rc == 1;
		if (rc != 1)
			fprintf(stderr, "llvm-objdump %s: %s\n", rc == 0 ? "disagrees" : "is silent", ft_err);
	}
	fclose(f);
	CU_ASSERT(checked == nb);
	return nb;
}

PHCA_TEST(refuse, programs)
{
	CU_ASSERT(check_source("programs", NULL) > 50);
}

PHCA_TEST(refuse, offload_programs)
{
	CU_ASSERT(check_source("offload", &offload_kind) == 16);
	/* a filter is no offload, nor the other way round */
	CU_ASSERT_EQUAL(refuse("offload", "unbounded", NULL), EINVAL);
	CU_ASSERT(says("unbounded is in section \"phca/offload\", not \"phca/filter\"; mark the function PHCA_FILTER"));
	CU_ASSERT_EQUAL(refuse("programs", "no_null_check", &offload_kind), EINVAL);
	CU_ASSERT(says("offload bad: no_null_check is in section \"phca/filter\", not \"phca/offload\""));
	CU_ASSERT_EQUAL(refuse("params", NULL, &offload_kind), EINVAL);
	CU_ASSERT(says("mark the function PHCA_OFFLOAD_PROGRAM"));
}

PHCA_TEST(refuse, newer_cpu)
{
	CU_ASSERT(check_source("cpu", NULL) == 2);
}

PHCA_TEST(refuse, objects)
{
	static const struct { const char *object; int err; const char *text; } t[] = {
		{ "map_type", ENOTSUP, "map m: type 22; proxyhca has" },
		{ "map_huge", EINVAL, "map m: 100000000 entries take" },
		{ "map_together", EINVAL, "map m2: 20000000 entries take 160000000 bytes" },
		{ "map_empty", EINVAL, "map m: max_entries is 0" },
		{ "array_key", EINVAL, "map m: key size 8, the key of an array" },
		{ "lpm_key", EINVAL, "map m: key size 12, the key of an LPM trie" },
		{ "key_size", EINVAL, "map m: key size 300, allowed 1..256" },
		{ "value_size", EINVAL, "map m: value size 5000, allowed 1..4096" },
		{ "section", EINVAL, "section \"xdp\", not \"phca/filter\"" },
		{ "no_program", EINVAL, "in section \".text\", not \"phca/filter\"; mark the function PHCA_FILTER" },
		{ "two_programs", EINVAL, "two programs, first and second; say which" },
		{ "no_btf", EINVAL, "BTF" },
		{ "extern", EINVAL, "elsewhere" },
		{ "not_there", ENOENT, "No such file" },
	};
	unsigned int i;
	int rc;

	for (i = 0; i < RTE_DIM(t); i++) {
		rc = refuse(t[i].object, NULL, NULL);
		if (rc != t[i].err)
			fprintf(stderr, "%s: errno %d: %s\n", t[i].object, rc, ft_err);
		CU_ASSERT_EQUAL(rc, t[i].err);
		CU_ASSERT(says(t[i].text));
		CU_ASSERT(says("filter bad: "));
	}
	CU_ASSERT_EQUAL(refuse("programs", "too_many_paths", NULL), EINVAL);
	CU_ASSERT(says("program too_many_paths: too many paths, over 2000000 steps"));
	CU_ASSERT_EQUAL(refuse("two_programs", "third", NULL), ENOENT);
	CU_ASSERT(says("no program third in the object"));
}

PHCA_TEST(refuse, damaged_files)
{
	struct phca_filter_spec spec = { .name = "cut", .object = "memory" };
	uint8_t *image = malloc(1 << 20), *copy = malloc(1 << 20);
	FILE *f = fopen(ft_path("PHCA_BAD_FILTERS", "params"), "r");
	size_t len, i;
	struct phca_filter *loaded;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	len = fread(image, 1, 1 << 20, f);
	fclose(f);
	CU_ASSERT_FATAL(len > 1000 && len < 1 << 20);
	spec.image = copy;
	for (i = 0; i < len; i += i < 100 ? 1 : 97) {
		memcpy(copy, image, len);
		spec.image_len = i; /* cut short */
		CU_ASSERT_PTR_NULL(phca_filter_load(&spec, ft_err, sizeof(ft_err)));
		CU_ASSERT(strlen(ft_err) > 10);
	}
	memset(copy, 0x5a, len);
	spec.image_len = len;
	CU_ASSERT_PTR_NULL(phca_filter_load(&spec, ft_err, sizeof(ft_err)));
	CU_ASSERT(says("not an ELF file"));
	memcpy(copy + 1, image, len); /* unaligned in memory: no difference */
	spec.image = copy + 1;
	loaded = phca_filter_load(&spec, ft_err, sizeof(ft_err));
	CU_ASSERT_PTR_NOT_NULL(loaded);
	phca_filter_free(loaded);
	memcpy(copy, image, len);
	copy[18] = 62; /* EM_X86_64 */
	spec.image = copy;
	CU_ASSERT_PTR_NULL(phca_filter_load(&spec, ft_err, sizeof(ft_err)));
	CU_ASSERT(says("not a little-endian eBPF object file"));
	free(image);
	free(copy);
}
