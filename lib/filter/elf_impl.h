/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An ELF object that was found sound, for as long as its image is in memory.
 */
#ifndef ELF_IMPL_H
#define ELF_IMPL_H

#include <libelf.h>

#include "filter_impl.h"

struct btf;

/* What is kept of it; all of it points into the image or belongs to libelf. */
struct filter_elf {
	Elf *elf;
	const uint8_t *btf;    /* .BTF, NULL: none */
	size_t btf_len;
	const uint8_t *ext;    /* .BTF.ext, NULL: none */
	size_t ext_len;
	const Elf64_Sym *syms;
	size_t nb_syms;
	const char *strings;   /* names of symbols */
};

/* Where refusals find the source line of an instruction. */
struct filter_lines {
	const struct filter_elf *elf;
	const struct btf *btf;
	const char *section;
};

/* Check the image and open it; filter_elf_close afterwards, also on error. */
int filter_elf_open(const void *image, size_t len, struct filter_elf *out, const struct filter_err *e);
/* Check the types that it describes. */
int filter_btf_check(const void *raw, size_t len, const struct filter_err *e);
void filter_elf_close(struct filter_elf *elf);
/* " (file.bpf.c:12)" for an instruction, or "". */
void filter_elf_line(const struct filter_elf *elf, const struct btf *btf, const char *section,
		const char *program, unsigned int insn, char *out, size_t len);

#endif
