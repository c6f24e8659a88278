/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Native code and the interpreter give the same answers: the examples on random
 * contexts, and programs with random instructions changed, as far as those load.
 * A changed program that loads must also run without harm, so this tests the
 * forward pass too.
 */
#include <gelf.h>

#include "filter_test.h"

#define IMAGE_MAX (1 << 18)

static void random_ctx(struct phca_filter_ctx *ctx, uint64_t *seed)
{
	uint64_t *words = (uint64_t *)(void *)ctx;
	unsigned int i;

	for (i = 0; i < sizeof(*ctx) / 8; i++)
		words[i] = phca_test_rand(seed);
	if (*seed % 2 == 0) { /* likelier values */
		ctx->direction &= 1;
		ctx->opcode &= 7;
		ctx->msg_len &= 0x3fff;
		ctx->payload_len &= 63;
	}
}

/* Run both on the same contexts. @return how often they differ. */
static unsigned int compare(struct phca_filter *jit, struct phca_filter *interp, unsigned int n,
		uint64_t seed)
{
	struct phca_filter_env a = { .now_ns = 5, .prandom = 3 }, b = a;
	struct phca_filter_ctx ctx;
	unsigned int differ = 0;
	uint32_t x, y;

	while (n-- > 0) {
		random_ctx(&ctx, &seed);
		phca_filter_env_set(&a);
		x = phca_filter_run(jit, &ctx);
		phca_filter_env_set(&b);
		y = phca_filter_run(interp, &ctx);
		differ += x != y;
	}
	phca_filter_env_set(&ft_env);
	return differ;
}

PHCA_TEST(equivalence, examples)
{
	static const char *const names[] = {
		"all", "none", "by_opcode", "by_size", "by_payload_key", "by_source", "one_in_n",
		"lock", "reduce",
	};
	unsigned int i;

	for (i = 0; i < RTE_DIM(names); i++) {
		struct phca_filter *f = ft_load(names[i], NULL, 0, false), *g = ft_load(names[i], NULL, 0, true);

		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_PTR_NOT_NULL_FATAL(g);
		CU_ASSERT(phca_filter_is_jit(f) && !phca_filter_is_jit(g));
		CU_ASSERT_EQUAL(compare(f, g, phca_test_long() ? 1000000 : 20000, i), 0);
		phca_filter_free(f);
		phca_filter_free(g);
	}
}

/* Where the instructions lie in the image. */
static bool code_of(uint8_t *image, size_t len, size_t *off, size_t *size)
{
	Elf *elf;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t names;
	bool found = false;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)image, len);
	elf_getshdrstrndx(elf, &names);
	while (!found && (scn = elf_nextscn(elf, scn)) != NULL) {
		gelf_getshdr(scn, &sh);
		found = strcmp(elf_strptr(elf, names, sh.sh_name), "phca/filter") == 0;
	}
	elf_end(elf);
	*off = sh.sh_offset;
	*size = sh.sh_size;
	return found;
}

/* Change one field of a random instruction. */
static void mutate(uint8_t *code, size_t size, uint64_t *seed)
{
	static const int32_t imms[] = { 0, 1, -1, 7, 31, 32, 63, 64, 127, 128, 255, 65535, INT32_MAX, INT32_MIN };
	uint8_t *ins = code + phca_test_rand(seed) % (size / 8) * 8;
	uint8_t *other = code + phca_test_rand(seed) % (size / 8) * 8;
	int32_t imm = imms[phca_test_rand(seed) % RTE_DIM(imms)];
	uint64_t r = phca_test_rand(seed);

	switch (r % 6) {
	case 0: ins[0] = (uint8_t)((ins[0] & 0x0f) | (r >> 8 & 0xf0)); break;   /* operation */
	case 1: ins[1] = (uint8_t)((ins[1] & 0xf0) | r >> 8 % 11); break;       /* destination */
	case 2: ins[1] = (uint8_t)((ins[1] & 0x0f) | (r >> 8) % 11 << 4); break; /* source */
	case 3: ins[2] = (uint8_t)(r >> 8); break;                              /* offset */
	case 4: memcpy(ins + 4, &imm, 4); break;
	default: memcpy(ins, other, 8); break;
	}
}

/* Load a changed program both ways and compare. @return 1: it loaded. */
static unsigned int try_one(const uint8_t *image, size_t len, uint64_t seed)
{
	struct phca_filter_spec spec = { .name = "changed", .image = image, .image_len = len };
	struct phca_filter *f, *g;
	unsigned int differ;

	f = phca_filter_load(&spec, ft_err, sizeof(ft_err));
	if (f == NULL)
		return 0;
	spec.no_jit = true;
	g = phca_filter_load(&spec, ft_err, sizeof(ft_err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	differ = compare(f, g, 20, seed);
	if (differ != 0)
		fprintf(stderr, "seed %" PRIu64 ": %u of 20 answers differ\n", seed, differ);
	CU_ASSERT_EQUAL(differ, 0);
	phca_filter_free(f);
	phca_filter_free(g);
	return 1;
}

PHCA_TEST(equivalence, changed_programs)
{
	static const struct { const char *dir, *name; } objects[] = {
		{ "PHCA_FILTERS", "by_opcode" }, { "PHCA_FILTERS", "by_payload_key" },
		{ "PHCA_FILTERS", "by_source" }, { "PHCA_FILTERS", "one_in_n" },
		{ "PHCA_BAD_FILTERS", "params" }, { "PHCA_BAD_FILTERS", "insert" },
		{ "PHCA_BAD_FILTERS", "arith" },
	};
	unsigned int i, n, k, loaded = 0, rounds = phca_test_long() ? 200000 : 400;
	uint8_t *image = malloc(IMAGE_MAX), *copy = malloc(IMAGE_MAX);
	const char *first = getenv("PHCA_SEED");
	uint64_t seed;
	size_t len, off, size;
	FILE *f;

	for (i = 0; i < RTE_DIM(objects); i++) {
		f = fopen(ft_path(objects[i].dir, objects[i].name), "r");
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		len = fread(image, 1, IMAGE_MAX, f);
		fclose(f);
		CU_ASSERT_FATAL(code_of(image, len, &off, &size));
		CU_ASSERT_EQUAL(try_one(image, len, 1), 1);
		for (n = 0; n < rounds; n++) {
			uint64_t s = seed = (first != NULL ? strtoull(first, NULL, 0) : 1) + n;

			memcpy(copy, image, len);
			for (k = 0; k <= seed % 3; k++)
				mutate(copy + off, size, &s);
			loaded += try_one(copy, len, seed);
		}
	}
	CU_ASSERT(loaded > rounds / 4);
	free(image);
	free(copy);
}
