/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text of keys, values and globals, by their BTF types: "12", "0x1f", "10.0.0.1",
 * "de:ad:be:ef", "{a=1,b=2}", "[1,2]". What is printed can be read back.
 * Nothing is written outside of the size that the caller gave, whatever the BTF says.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>

#include "filter_impl.h"

#define DEPTH_MAX 16  /* structs in structs */
#define TOKEN_MAX 1024 /* longest single number, address or string */

struct parse {
	const struct btf *btf;
	const char *p; /* what is left of the text */
	char *why;
	size_t why_len;
	int depth;
};

static int fail(struct parse *ps, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct parse *ps, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ps->why, ps->why_len, fmt, ap);
	va_end(ap);
	return rc;
}

uint32_t filter_type_skip(const struct btf *btf, uint32_t type)
{
	const struct btf_type *t;
	int i;

	for (i = 0; i < 32; i++) {
		t = btf__type_by_id(btf, type);
		if (t == NULL || !(btf_is_mod(t) || btf_is_typedef(t)))
			return type;
		type = t->type;
	}
	return 0;
}

int filter_int_range(const struct btf *btf, uint32_t type, int64_t *min, uint64_t *max, char *name,
		size_t name_len)
{
	const struct btf_type *t = btf__type_by_id(btf, filter_type_skip(btf, type));
	const char *n;
	bool is_signed;
	unsigned int bits;

	if (t == NULL || !(btf_is_int(t) || btf_is_any_enum(t)))
		return -EINVAL;
	n = btf__name_by_offset(btf, t->name_off);
	bits = t->size * 8;
	if (bits == 0 || bits > 64)
		return -ENOTSUP;
	if (btf_is_int(t)) {
		if (btf_int_offset(t) != 0 || btf_int_bits(t) != bits)
			return -ENOTSUP;
		is_signed = (btf_int_encoding(t) & BTF_INT_SIGNED) != 0;
		if ((btf_int_encoding(t) & BTF_INT_BOOL) != 0) {
			is_signed = false;
			bits = 1;
		}
		snprintf(name, name_len, "%s", n != NULL ? n : "?");
	} else {
		is_signed = btf_kflag(t);
		snprintf(name, name_len, "enum %s", n != NULL ? n : "");
	}
	*min = is_signed ? (int64_t)(UINT64_MAX << (bits - 1)) : 0;
	*max = UINT64_MAX >> (64 - bits + (is_signed ? 1 : 0));
	return 0;
}

int filter_int_store(void *buf, size_t size, uint64_t v)
{
	uint8_t v8 = (uint8_t)v;
	uint16_t v16 = (uint16_t)v;
	uint32_t v32 = (uint32_t)v;

	switch (size) {
	case 1: memcpy(buf, &v8, 1); return 0;
	case 2: memcpy(buf, &v16, 2); return 0;
	case 4: memcpy(buf, &v32, 4); return 0;
	case 8: memcpy(buf, &v, 8); return 0;
	}
	return -ENOTSUP;
}

static uint64_t int_load(const void *buf, size_t size, bool is_signed)
{
	int8_t v8;
	int16_t v16;
	int32_t v32;
	uint64_t v = 0;

	memcpy(&v, buf, size); /* hosts of proxyhca are little-endian */
	if (!is_signed)
		return v;
	v8 = (int8_t)v;
	v16 = (int16_t)v;
	v32 = (int32_t)v;
	return size == 1 ? (uint64_t)v8 : size == 2 ? (uint64_t)v16 : size == 4 ? (uint64_t)v32 : v;
}

/* Take the text up to the next , } ] (inside of braces) or the end. */
static int token(struct parse *ps, char *tok)
{
	size_t n = ps->depth > 0 ? strcspn(ps->p, ",}]") : strlen(ps->p), len = n;
	const char *s = ps->p;

	while (len > 0 && isspace((unsigned char)*s)) {
		s++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)s[len - 1]))
		len--;
	if (len >= TOKEN_MAX)
		return fail(ps, -EINVAL, "longer than %d characters", TOKEN_MAX - 1);
	memcpy(tok, s, len);
	tok[len] = '\0';
	ps->p += n;
	return 0;
}

/* The value of an enumerator by name. */
static bool enum_value(const struct btf *btf, const struct btf_type *t, const char *name, uint64_t *v)
{
	const struct btf_enum64 *e64 = btf_enum64(t);
	const struct btf_enum *e = btf_enum(t);
	const char *n;
	int i;

	for (i = 0; i < btf_vlen(t); i++) {
		n = btf__name_by_offset(btf, btf_is_enum64(t) ? e64[i].name_off : e[i].name_off);
		if (n != NULL && strcmp(n, name) == 0) {
			*v = btf_is_enum64(t) ? btf_enum64_value(&e64[i]) : (uint64_t)(int64_t)e[i].val;
			return true;
		}
	}
	return false;
}

static int parse_int(struct parse *ps, uint32_t id, const struct btf_type *t, uint8_t *buf)
{
	char tok[TOKEN_MAX], name[64], *end;
	uint64_t max, v;
	int64_t min;
	bool neg;
	int rc;

	rc = filter_int_range(ps->btf, id, &min, &max, name, sizeof(name));
	if (rc != 0)
		return fail(ps, -ENOTSUP, "bit field or integer of %u bytes", t->size);
	rc = token(ps, tok);
	if (rc != 0)
		return rc;
	if (btf_is_any_enum(t) && enum_value(ps->btf, t, tok, &v))
		return filter_int_store(buf, t->size, v);
	if (max == 1 && (strcmp(tok, "true") == 0 || strcmp(tok, "false") == 0))
		return filter_int_store(buf, t->size, tok[0] == 't');
	neg = tok[0] == '-';
	if (!isdigit((unsigned char)tok[neg ? 1 : 0]))
		return fail(ps, -EINVAL, "\"%s\" is not a number (%s)", tok, name);
	errno = 0;
	v = strtoull(tok + (neg ? 1 : 0), &end, 0);
	if (*end != '\0')
		return fail(ps, -EINVAL, "\"%s\" is not a number (%s)", tok, name);
	if (errno == ERANGE || (neg ? v > 0 - (uint64_t)min : v > max))
		return fail(ps, -EINVAL, "%s out of range, %s takes %" PRId64 "..%" PRIu64, tok, name, min,
			max);
	return filter_int_store(buf, t->size, neg ? 0 - v : v);
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* An array of bytes: an address, or hex with or without colons. */
static int parse_bytes(struct parse *ps, uint8_t *buf, uint32_t n)
{
	char tok[TOKEN_MAX];
	const char *p = tok;
	uint32_t i;
	int rc;

	rc = token(ps, tok);
	if (rc != 0)
		return rc;
	if (n == 4 && inet_pton(AF_INET, tok, buf) == 1)
		return 0;
	if (n == 16 && inet_pton(AF_INET6, tok, buf) == 1)
		return 0;
	if (n == 16 && inet_pton(AF_INET, tok, buf + 12) == 1) {
		memset(buf, 0, 10);
		memset(buf + 10, 0xff, 2);
		return 0;
	}
	for (i = 0; i < n; i++) {
		if (i > 0 && *p == ':')
			p++;
		if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]))
			break;
		buf[i] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
		p += 2;
	}
	if (i < n || *p != '\0')
		return fail(ps, -EINVAL, "\"%s\" is not %u bytes%s; write hex like de:ad", tok, n,
			n == 4 ? " nor an IPv4 address" : n == 16 ? " nor an IP address" : "");
	return 0;
}

static int parse_string(struct parse *ps, char *buf, uint32_t n)
{
	char tok[TOKEN_MAX];
	int rc = token(ps, tok);

	if (rc != 0)
		return rc;
	if (strlen(tok) > n)
		return fail(ps, -EINVAL, "\"%s\" has %zu characters, char[%u] takes 0..%u", tok, strlen(tok),
			n, n);
	memcpy(buf, tok, strlen(tok));
	return 0;
}

static int parse_type(struct parse *ps, uint32_t id, uint8_t *buf, size_t size);

static void skip_space(struct parse *ps)
{
	while (isspace((unsigned char)*ps->p))
		ps->p++;
}

static bool take(struct parse *ps, char c)
{
	skip_space(ps);
	if (*ps->p != c)
		return false;
	ps->p++;
	return true;
}

/* Element kinds that have their own text. */
enum { EL_OTHER, EL_CHAR, EL_BYTE };
static int element_kind(const struct btf *btf, uint32_t type)
{
	const struct btf_type *t = btf__type_by_id(btf, filter_type_skip(btf, type));
	const char *n;

	if (t == NULL || !btf_is_int(t) || t->size != 1 || (btf_int_encoding(t) & BTF_INT_BOOL))
		return EL_OTHER;
	n = btf__name_by_offset(btf, t->name_off);
	return n != NULL && strcmp(n, "char") == 0 ? EL_CHAR : EL_BYTE;
}

static int parse_array(struct parse *ps, const struct btf_type *t, uint8_t *buf, size_t size)
{
	const struct btf_array *a = btf_array(t);
	int64_t el = btf__resolve_size(ps->btf, a->type);
	uint32_t i;
	int rc;

	if (el <= 0 || (uint64_t)el * a->nelems > size)
		return fail(ps, -ENOTSUP, "array of an unknown type");
	skip_space(ps);
	if (*ps->p != '[') {
		switch (element_kind(ps->btf, a->type)) {
		case EL_CHAR: return parse_string(ps, (char *)buf, a->nelems);
		case EL_BYTE: return parse_bytes(ps, buf, a->nelems);
		}
	}
	if (!take(ps, '['))
		return fail(ps, -EINVAL, "an array is written [1,2,...]");
	for (i = 0; ; i++) {
		if (i == a->nelems)
			return fail(ps, -EINVAL, "more than %u elements", a->nelems);
		rc = parse_type(ps, a->type, buf + (size_t)i * (size_t)el, (size_t)el);
		if (rc != 0)
			return rc;
		if (take(ps, ']'))
			return 0;
		if (!take(ps, ','))
			return fail(ps, -EINVAL, "expected , or ] at \"%s\"", ps->p);
	}
}

static int parse_member(struct parse *ps, const struct btf_type *t, uint8_t *buf, size_t size)
{
	const struct btf_member *m = btf_members(t);
	size_t n;
	uint32_t off;
	int i;

	skip_space(ps);
	n = strcspn(ps->p, "=,} ");
	for (i = 0; i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(ps->btf, m[i].name_off);

		if (name != NULL && strlen(name) == n && strncmp(name, ps->p, n) == 0)
			break;
	}
	if (i == btf_vlen(t))
		return fail(ps, -EINVAL, "no member \"%.*s\"", (int)n, ps->p);
	off = btf_member_bit_offset(t, (uint32_t)i);
	if (btf_member_bitfield_size(t, (uint32_t)i) != 0 || off % 8 != 0 || off / 8 > size)
		return fail(ps, -ENOTSUP, "member \"%.*s\" is a bit field", (int)n, ps->p);
	ps->p += n;
	if (!take(ps, '='))
		return fail(ps, -EINVAL, "expected = at \"%s\"", ps->p);
	return parse_type(ps, m[i].type, buf + off / 8, size - off / 8);
}

static int parse_struct(struct parse *ps, const struct btf_type *t, uint8_t *buf, size_t size)
{
	int rc;

	if (!take(ps, '{'))
		return fail(ps, -EINVAL, "a struct is written {a=1,b=2}");
	if (take(ps, '}'))
		return 0;
	for (;;) {
		rc = parse_member(ps, t, buf, size);
		if (rc != 0)
			return rc;
		if (take(ps, '}'))
			return 0;
		if (!take(ps, ','))
			return fail(ps, -EINVAL, "expected , or } at \"%s\"", ps->p);
	}
}

static int parse_type(struct parse *ps, uint32_t id, uint8_t *buf, size_t size)
{
	const struct btf_type *t;
	int rc;

	id = filter_type_skip(ps->btf, id);
	t = btf__type_by_id(ps->btf, id);
	if (t == NULL || id == 0)
		return ps->depth == 0 ? parse_bytes(ps, buf, (uint32_t)size) :
			fail(ps, -ENOTSUP, "unknown type");
	if ((btf_is_int(t) || btf_is_any_enum(t)) && t->size <= size)
		return parse_int(ps, id, t, buf);
	if (ps->depth == DEPTH_MAX)
		return fail(ps, -ENOTSUP, "more than %d levels of structs and arrays", DEPTH_MAX);
	/* A top-level string or address may hold commas and braces: the depth tells. */
	if (btf_is_array(t) && element_kind(ps->btf, btf_array(t)->type) != EL_OTHER && *ps->p != '[')
		return parse_array(ps, t, buf, size);
	ps->depth++;
	if (btf_is_array(t))
		rc = parse_array(ps, t, buf, size);
	else if (btf_is_composite(t) && t->size <= size)
		rc = parse_struct(ps, t, buf, size);
	else
		rc = fail(ps, -ENOTSUP, "a type that has no text form");
	ps->depth--;
	return rc;
}

int filter_text_parse(const struct btf *btf, uint32_t type, const char *text, void *buf, size_t size,
		char *why, size_t why_len)
{
	struct parse ps = { .btf = btf, .p = text, .why = why, .why_len = why_len };
	int rc;

	memset(buf, 0, size);
	rc = parse_type(&ps, type, buf, size);
	if (rc != 0)
		return rc;
	skip_space(&ps);
	if (*ps.p != '\0')
		return fail(&ps, -EINVAL, "\"%s\" behind the value", ps.p);
	return 0;
}

int filter_text_parse_prefix(const char *text, uint32_t key_size, void *key, char *why, size_t why_len)
{
	struct parse ps = { .p = text, .why = why, .why_len = why_len };
	uint32_t bytes = key_size - 4, len, max;
	uint8_t *addr = (uint8_t *)key + 4;
	const char *slash = strchr(text, '/');
	char a[64], *end;
	unsigned long n;
	bool v4;

	memset(key, 0, key_size);
	if (slash != NULL && (size_t)(slash - text) >= sizeof(a))
		return fail(&ps, -EINVAL, "not a prefix");
	snprintf(a, sizeof(a), "%.*s", slash != NULL ? (int)(slash - text) : 63, text);
	v4 = inet_pton(AF_INET, a, bytes == 16 ? addr + 12 : addr) == 1;
	if (!v4 && bytes == 4)
		return fail(&ps, -EINVAL, "not an IPv4 prefix; write 10.0.0.0/8");
	if (!v4 && inet_pton(AF_INET6, a, addr) != 1)
		return fail(&ps, -EINVAL, "not a prefix; write 10.0.0.0/8 or 2001:db8::/32");
	if (v4 && bytes == 16)
		memset(addr + 10, 0xff, 2);
	max = v4 ? 32 : 128;
	n = max;
	if (slash != NULL) {
		n = strtoul(slash + 1, &end, 10);
		if (!isdigit((unsigned char)slash[1]) || *end != '\0' || n > max)
			return fail(&ps, -EINVAL, "prefix length %s, allowed 0..%u", slash + 1, max);
	}
	len = (uint32_t)n + (v4 && bytes == 16 ? 96 : 0);
	memcpy(key, &len, 4);
	return 0;
}

void filter_text_print_prefix(const void *key, uint32_t key_size, char *out, size_t out_len)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *addr = (const uint8_t *)key + 4;
	char a[INET6_ADDRSTRLEN];
	uint32_t len;

	memcpy(&len, key, 4);
	if (key_size == 20 && len >= 96 && memcmp(addr, mapped, 12) == 0) {
		addr += 12;
		len -= 96;
		key_size = 8;
	}
	inet_ntop(key_size == 8 ? AF_INET : AF_INET6, addr, a, sizeof(a));
	snprintf(out, out_len, "%s/%u", a, len);
}

struct print {
	const struct btf *btf;
	char *out;
	size_t len, used;
	int depth;
};

static void add(struct print *pr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct print *pr, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(pr->out + pr->used, pr->len - pr->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		pr->used = RTE_MIN(pr->used + (size_t)n, pr->len - 1);
}

static void print_bytes(struct print *pr, const uint8_t *b, uint32_t n)
{
	char a[INET6_ADDRSTRLEN];
	uint32_t i;

	if (n == 4 || n == 16) {
		inet_ntop(n == 4 ? AF_INET : AF_INET6, b, a, sizeof(a));
		add(pr, "%s", a);
		return;
	}
	for (i = 0; i < n; i++)
		add(pr, "%s%02x", i > 0 ? ":" : "", b[i]);
}

static void print_type(struct print *pr, uint32_t id, const uint8_t *buf, size_t size);

static void print_array(struct print *pr, const struct btf_type *t, const uint8_t *buf, size_t size)
{
	const struct btf_array *a = btf_array(t);
	int64_t el = btf__resolve_size(pr->btf, a->type);
	uint32_t i;

	if (el <= 0 || (uint64_t)el * a->nelems > size) {
		add(pr, "?");
		return;
	}
	switch (element_kind(pr->btf, a->type)) {
	case EL_CHAR: add(pr, "%.*s", (int)a->nelems, (const char *)buf); return;
	case EL_BYTE: print_bytes(pr, buf, a->nelems); return;
	}
	add(pr, "[");
	for (i = 0; i < a->nelems; i++) {
		add(pr, "%s", i > 0 ? "," : "");
		print_type(pr, a->type, buf + (size_t)i * (size_t)el, (size_t)el);
	}
	add(pr, "]");
}

static void print_struct(struct print *pr, const struct btf_type *t, const uint8_t *buf, size_t size)
{
	const struct btf_member *m = btf_members(t);
	const char *name;
	bool first = true;
	uint32_t off;
	int i;

	add(pr, "{");
	for (i = 0; i < btf_vlen(t); i++) {
		off = btf_member_bit_offset(t, (uint32_t)i);
		name = btf__name_by_offset(pr->btf, m[i].name_off);
		if (name == NULL || name[0] == '\0' || off % 8 != 0 || off / 8 >= size ||
				btf_member_bitfield_size(t, (uint32_t)i) != 0)
			continue;
		add(pr, "%s%s=", first ? "" : ",", name);
		first = false;
		print_type(pr, m[i].type, buf + off / 8, size - off / 8);
	}
	add(pr, "}");
}

static void print_int(struct print *pr, uint32_t id, const struct btf_type *t, const uint8_t *buf)
{
	char name[64];
	uint64_t max;
	int64_t min;

	if (filter_int_range(pr->btf, id, &min, &max, name, sizeof(name)) != 0)
		add(pr, "?");
	else if (min < 0)
		add(pr, "%" PRId64, (int64_t)int_load(buf, t->size, true));
	else
		add(pr, "%" PRIu64, int_load(buf, t->size, false));
}

static void print_type(struct print *pr, uint32_t id, const uint8_t *buf, size_t size)
{
	const struct btf_type *t;

	id = filter_type_skip(pr->btf, id);
	t = btf__type_by_id(pr->btf, id);
	if (id == 0 || t == NULL)
		print_bytes(pr, buf, (uint32_t)size);
	else if ((btf_is_int(t) || btf_is_any_enum(t)) && t->size <= size)
		print_int(pr, id, t, buf);
	else if (pr->depth++ < DEPTH_MAX && btf_is_array(t))
		print_array(pr, t, buf, size);
	else if (pr->depth <= DEPTH_MAX && btf_is_composite(t) && t->size <= size)
		print_struct(pr, t, buf, size);
	else
		add(pr, "?");
	if (id != 0 && t != NULL && !btf_is_int(t) && !btf_is_any_enum(t))
		pr->depth--;
}

int filter_text_print(const struct btf *btf, uint32_t type, const void *buf, size_t size, char *out,
		size_t out_len)
{
	struct print pr = { .btf = btf, .out = out, .len = out_len };

	out[0] = '\0';
	print_type(&pr, type, buf, size);
	return 0;
}
