/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look at the ELF file before libbpf gets it: libbpf 1.1 trusts section
 * headers, symbols and relocations more than a damaged file deserves. Everything
 * it follows (offsets, names, links, indexes) is checked here with libelf, so
 * that a truncated or mangled object is an error with a reason. The line numbers
 * in .BTF.ext are read here too, for the text of refusals.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <gelf.h>

#include "elf_impl.h"

#define SECTIONS_MAX 1024

/* One object under inspection. */
struct object {
	Elf *elf;
	size_t len;      /* of the image */
	size_t nb;       /* sections */
	size_t names;    /* section of section names */
	Elf_Scn *symtab;
	size_t nb_syms;
	const struct filter_err *e;
};

static int broken(const struct object *o, const char *what)
{
	return filter_err(o->e, -EINVAL, "object: broken ELF file, %s", what);
}

static int check_header(struct object *o, const void *image)
{
	GElf_Ehdr eh;

	if (o->len < sizeof(Elf64_Ehdr) || memcmp(image, ELFMAG, SELFMAG) != 0)
		return filter_err(o->e, -EINVAL, "object: not an ELF file");
	if (gelf_getehdr(o->elf, &eh) == NULL || gelf_getclass(o->elf) != ELFCLASS64 ||
			eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_type != ET_REL || eh.e_machine != EM_BPF)
		return filter_err(o->e, -EINVAL, "object: not a little-endian eBPF object file; compile with "
			"clang -target bpf -c");
	if (eh.e_shentsize != sizeof(Elf64_Shdr) || eh.e_shoff > o->len || eh.e_shoff % 8 != 0 ||
			elf_getshdrnum(o->elf, &o->nb) != 0 || o->nb < 2 || o->nb > SECTIONS_MAX ||
			o->nb * sizeof(Elf64_Shdr) > o->len - eh.e_shoff)
		return broken(o, "section table is outside of the file");
	if (elf_getshdrstrndx(o->elf, &o->names) != 0 || o->names == 0 || o->names >= o->nb)
		return broken(o, "no section names");
	return 0;
}

/* A string table ends with a NUL, so every offset inside of it is a string. */
static bool is_strtab(const struct object *o, size_t idx)
{
	Elf_Scn *scn = idx < o->nb ? elf_getscn(o->elf, idx) : NULL;
	Elf_Data *d;
	GElf_Shdr sh;

	if (scn == NULL || gelf_getshdr(scn, &sh) == NULL || sh.sh_type != SHT_STRTAB)
		return false;
	d = elf_rawdata(scn, NULL);
	return d != NULL && d->d_buf != NULL && d->d_size > 0 &&
		((const char *)d->d_buf)[d->d_size - 1] == '\0';
}

/* Kinds of section that libbpf would treat as something that proxyhca lacks. */
static const char *const lacking[] = { "maps", ".kconfig", ".ksyms", ".struct_ops", "struct_ops" };

static int check_section(struct object *o, size_t i)
{
	Elf_Scn *scn = elf_getscn(o->elf, i);
	const char *name;
	Elf_Data *d;
	GElf_Shdr sh;
	size_t k;

	if (scn == NULL || gelf_getshdr(scn, &sh) == NULL)
		return broken(o, "no section header");
	if (sh.sh_type != SHT_NOBITS && (sh.sh_offset > o->len || sh.sh_size > o->len - sh.sh_offset))
		return broken(o, "a section ends outside of the file (cut short?)");
	if (sh.sh_type == SHT_NOBITS && sh.sh_size > FILTER_GLOBALS_MAX)
		return broken(o, "a section without bytes is too large");
	name = elf_strptr(o->elf, o->names, sh.sh_name);
	if (name == NULL || sh.sh_link >= o->nb)
		return broken(o, "a section's name or link");
	for (k = 0; k < RTE_DIM(lacking); k++)
		if (strcmp(name, lacking[k]) == 0)
			return filter_err(o->e, -ENOTSUP, "object: section \"%s\"; proxyhca has .maps, .rodata, "
				".data, .bss", name);
	d = elf_rawdata(scn, NULL);
	if (d == NULL || (sh.sh_type != SHT_NOBITS && sh.sh_size > 0 && d->d_buf == NULL))
		return broken(o, "a section cannot be read");
	if (sh.sh_type == SHT_SYMTAB) {
		if (o->symtab != NULL || sh.sh_entsize != sizeof(Elf64_Sym) || sh.sh_size == 0 ||
				sh.sh_size % sizeof(Elf64_Sym) != 0 || sh.sh_offset % 8 != 0 ||
				!is_strtab(o, sh.sh_link))
			return broken(o, "its symbol table");
		o->symtab = scn;
		o->nb_syms = sh.sh_size / sizeof(Elf64_Sym);
	}
	if ((sh.sh_flags & (SHF_COMPRESSED | SHF_GROUP)) != 0 || sh.sh_type == SHT_RELA)
		return broken(o, "a kind of section that clang does not write for eBPF");
	if ((sh.sh_flags & SHF_EXECINSTR) != 0 && (sh.sh_size % 8 != 0 || sh.sh_type != SHT_PROGBITS))
		return broken(o, "a section of instructions that is no multiple of 8 bytes");
	return 0;
}

static int check_symbols(const struct object *o)
{
	Elf_Data *d = elf_rawdata(o->symtab, NULL);
	GElf_Shdr sh, target;
	const Elf64_Sym *s = d->d_buf;
	size_t i;

	gelf_getshdr(o->symtab, &sh);
	for (i = 0; i < o->nb_syms; i++, s++) {
		if (elf_strptr(o->elf, sh.sh_link, s->st_name) == NULL)
			return broken(o, "a symbol's name");
		if (s->st_shndx == SHN_UNDEF && i > 0)
			return filter_err(o->e, -EINVAL, "object: extern symbol %s; a filter has nothing to be "
				"linked with", elf_strptr(o->elf, sh.sh_link, s->st_name));
		if (s->st_shndx == SHN_UNDEF || s->st_shndx >= SHN_LORESERVE)
			continue;
		if (s->st_shndx >= o->nb || gelf_getshdr(elf_getscn(o->elf, s->st_shndx), &target) == NULL)
			return broken(o, "a symbol's section");
		if (s->st_value > target.sh_size || s->st_size > target.sh_size - s->st_value)
			return broken(o, "a symbol lies outside of its section");
		if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && (s->st_value % 8 != 0 || s->st_size % 8 != 0))
			return broken(o, "a function that is not made of instructions");
	}
	return 0;
}

static int check_relocs(const struct object *o, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *d = elf_rawdata(scn, NULL);
	const Elf64_Rel *r = d->d_buf;
	GElf_Shdr target;
	size_t i;

	if (sh->sh_entsize != sizeof(Elf64_Rel) || sh->sh_size % sizeof(Elf64_Rel) != 0 ||
			sh->sh_offset % 8 != 0 || sh->sh_info == 0 || sh->sh_info >= o->nb ||
			o->symtab == NULL || sh->sh_link != elf_ndxscn(o->symtab) ||
			gelf_getshdr(elf_getscn(o->elf, sh->sh_info), &target) == NULL)
		return broken(o, "a table of relocations");
	for (i = 0; i < sh->sh_size / sizeof(Elf64_Rel); i++, r++)
		if (ELF64_R_SYM(r->r_info) >= o->nb_syms || r->r_offset >= target.sh_size)
			return broken(o, "a relocation");
	return 0;
}

/* Keep what the text of refusals needs: lines, and where the program begins. */
static void keep(const struct object *o, struct filter_elf *out)
{
	Elf_Scn *scn = NULL;
	const char *name;
	GElf_Shdr sh;
	Elf_Data *d;

	while ((scn = elf_nextscn(o->elf, scn)) != NULL) {
		gelf_getshdr(scn, &sh);
		name = elf_strptr(o->elf, o->names, sh.sh_name);
		d = elf_rawdata(scn, NULL);
		if (strcmp(name, ".BTF") == 0 && sh.sh_type == SHT_PROGBITS) {
			out->btf = d->d_buf;
			out->btf_len = d->d_size;
		}
		if (strcmp(name, ".BTF.ext") == 0 && sh.sh_type == SHT_PROGBITS) {
			out->ext = d->d_buf;
			out->ext_len = d->d_size;
		}
		if (scn == o->symtab) {
			out->syms = d->d_buf;
			out->nb_syms = o->nb_syms;
			out->strings = elf_rawdata(elf_getscn(o->elf, sh.sh_link), NULL)->d_buf;
		}
	}
}

int filter_elf_open(const void *image, size_t len, struct filter_elf *out, const struct filter_err *e)
{
	struct object o = { .len = len, .e = e };
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t i;
	int rc;

	memset(out, 0, sizeof(*out));
	elf_version(EV_CURRENT);
	/* libelf does not write to it: nothing is opened for writing. */
	o.elf = elf_memory((char *)(uintptr_t)image, len);
	out->elf = o.elf;
	if (o.elf == NULL)
		return filter_err(e, -EINVAL, "object: not an ELF file");
	rc = check_header(&o, image);
	for (i = 1; i < o.nb && rc == 0; i++)
		rc = check_section(&o, i);
	if (rc == 0 && !is_strtab(&o, o.names))
		rc = broken(&o, "its section names");
	if (rc == 0)
		rc = o.symtab != NULL ? check_symbols(&o) : broken(&o, "no symbol table");
	while (rc == 0 && (scn = elf_nextscn(o.elf, scn)) != NULL) {
		gelf_getshdr(scn, &sh);
		if (sh.sh_type == SHT_REL)
			rc = check_relocs(&o, scn, &sh);
	}
	if (rc == 0)
		keep(&o, out);
	if (rc == 0 && out->btf == NULL)
		rc = filter_err(e, -EINVAL, "object: no BTF; compile with -g");
	if (rc == 0)
		rc = filter_btf_check(out->btf, out->btf_len, e);
	return rc;
}

void filter_elf_close(struct filter_elf *elf)
{
	if (elf->elf != NULL)
		elf_end(elf->elf);
	elf->elf = NULL;
}

/* Layout of .BTF.ext, as the kernel's documentation of BTF has it. */
struct ext_header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, func_off, func_len, line_off, line_len;
};
struct ext_section { uint32_t name_off, nb; };
struct ext_line { uint32_t insn_off, file_off, line_off, line_col; };

/* Where the program begins in its section, in bytes. */
static uint32_t program_offset(const struct filter_elf *elf, const char *program)
{
	const Elf64_Sym *s = elf->syms;
	size_t i;

	for (i = 0; i < elf->nb_syms; i++)
		if (ELF64_ST_TYPE(s[i].st_info) == STT_FUNC &&
				strcmp(elf->strings + s[i].st_name, program) == 0)
			return (uint32_t)s[i].st_value;
	return 0;
}

/* The last line that begins at or before @p off, among the records of one section. */
static void best_line(const struct btf *btf, const uint8_t *rec, uint32_t size, uint32_t nb, uint32_t off,
		char *out, size_t len)
{
	const char *file, *slash;
	struct ext_line l, best = { 0 };
	bool found = false;
	uint32_t i;

	for (i = 0; i < nb; i++) {
		memcpy(&l, rec + (size_t)i * size, sizeof(l));
		if (l.insn_off <= off && (!found || l.insn_off >= best.insn_off)) {
			best = l;
			found = true;
		}
	}
	file = found ? btf__name_by_offset(btf, best.file_off) : NULL;
	if (file == NULL)
		return;
	slash = strrchr(file, '/');
	snprintf(out, len, " (%s:%u)", slash != NULL ? slash + 1 : file, best.line_col >> 10);
}

void filter_elf_line(const struct filter_elf *elf, const struct btf *btf, const char *section,
		const char *program, unsigned int insn, char *out, size_t len)
{
	uint32_t off = program_offset(elf, program) + insn * 8, size, left;
	struct ext_header h;
	struct ext_section s;
	const uint8_t *p;
	const char *name;

	out[0] = '\0';
	if (elf->ext_len < sizeof(h) || btf == NULL)
		return;
	memcpy(&h, elf->ext, sizeof(h));
	if (h.magic != 0xeb9f || h.hdr_len > elf->ext_len || h.line_off > elf->ext_len - h.hdr_len ||
			h.line_len > elf->ext_len - h.hdr_len - h.line_off || h.line_len < 4)
		return;
	p = elf->ext + h.hdr_len + h.line_off;
	memcpy(&size, p, 4);
	if (size < sizeof(struct ext_line))
		return;
	p += 4;
	for (left = h.line_len - 4; left >= sizeof(s); left -= s.nb * size, p += (size_t)s.nb * size) {
		memcpy(&s, p, sizeof(s));
		p += sizeof(s);
		left -= (uint32_t)sizeof(s);
		if (s.nb > left / size)
			return;
		name = btf__name_by_offset(btf, s.name_off);
		if (name != NULL && strcmp(name, section) == 0)
			best_line(btf, p, size, s.nb, off, out, len);
	}
}
