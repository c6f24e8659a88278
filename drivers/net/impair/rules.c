/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The language of rules: "ACTION [KEY VALUE]...", a rule a line or between ';'.
 * One table says which key belongs to which action, what it takes and how it is
 * set. A rule that is accepted prints to a text that gives the same rule again,
 * and the hash of that text seeds its random sequence: what a rule chooses
 * depends on no other rule.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rules.h"

#define SEPARATORS " \t\r=:"
#define TIME_MAX_NS 60e9
#define RATE_MAX 1e12
#define DIM(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(e) (1u << ACTION_##e)
#define ANY ((1u << ACTION_COUNT) - 1)

static const char *const action_names[] = {
#define ACTION_NAME(e, w) w,
	ACTIONS(ACTION_NAME)
#undef ACTION_NAME
};
static const char *const region_names[] = { "any", "headers", "payload" };

/* A decimal or 0x hexadecimal number up to max; *end is left at what follows. */
static bool number(const char *v, uint64_t max, uint64_t *out, char **end)
{
	bool hex = v[0] == '0' && (v[1] == 'x' || v[1] == 'X');

	if (!isdigit((unsigned char)v[0]) || (hex && !isxdigit((unsigned char)v[2])))
		return false;
	errno = 0;
	*out = strtoull(v, end, hex ? 16 : 10);
	return errno == 0 && *out <= max;
}

static bool whole(const char *v, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	return number(v, max, out, &end) && *end == '\0' && *out >= min;
}

/* "A" or "A-B". */
static bool range(const char *v, uint32_t max, struct range *r)
{
	uint64_t lo, hi;
	char *end;

	if (!number(v, max, &lo, &end))
		return false;
	hi = lo;
	if (*end == '-' && !number(end + 1, max, &hi, &end))
		return false;
	if (*end != '\0')
		return false;
	*r = (struct range){ (uint32_t)lo, (uint32_t)hi, true };
	return true;
}

static bool ordered(const char *v, uint32_t min, uint32_t max, struct range *r)
{
	return range(v, max, r) && r->lo <= r->hi && r->lo >= min;
}

/* A decimal fraction; *end is left at what follows. */
static bool fraction(const char *v, double *out, char **end)
{
	if (strspn(v, "0123456789.") == 0)
		return false;
	if (v[0] == '0' && (v[1] == 'x' || v[1] == 'X'))
		return false;
	*out = strtod(v, end);
	return *end != v && isfinite(*out);
}

struct unit { const char *name; double factor; };

/* A fraction with one of the units; the first of them has the name "" or must be given. */
static bool scaled(const char *v, const struct unit *units, unsigned int nb, double max, uint64_t *out)
{
	double x;
	char *end;

	if (!fraction(v, &x, &end))
		return false;
	for (unsigned int i = 0; i < nb; i++) {
		if (strcasecmp(end, units[i].name) != 0)
			continue;
		x *= units[i].factor;
		if (x > max)
			return false;
		*out = (uint64_t)llround(x);
		return true;
	}
	return false;
}

static bool duration(const char *v, uint64_t *out)
{
	static const struct unit units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };

	if (strcmp(v, "0") == 0) {
		*out = 0;
		return true;
	}
	return scaled(v, units, DIM(units), TIME_MAX_NS, out);
}

static bool decimal(const char *v, double max, uint64_t *out)
{
	static const struct unit units[] = { { "", 1 }, { "k", 1e3 }, { "M", 1e6 }, { "G", 1e9 } };

	return scaled(v, units, DIM(units), max, out);
}

static bool set_u32(const char *v, uint64_t min, uint32_t *out)
{
	uint64_t x;

	if (!whole(v, min, UINT32_MAX, &x))
		return false;
	*out = (uint32_t)x;
	return true;
}

static bool set_u16(const char *v, uint64_t min, uint64_t max, uint16_t *out)
{
	uint64_t x;

	if (!whole(v, min, max, &x))
		return false;
	*out = (uint16_t)x;
	return true;
}

static bool set_bytes(const char *v, uint32_t *out)
{
	uint64_t x;

	if (!decimal(v, 1e9, &x) || x == 0)
		return false;
	*out = (uint32_t)x;
	return true;
}

static bool set_dir(struct rule *r, const char *v)
{
	r->dir[PHCA_IMPAIR_RX] = strcmp(v, "tx") != 0;
	r->dir[PHCA_IMPAIR_TX] = strcmp(v, "rx") != 0;
	return strcmp(v, "rx") == 0 || strcmp(v, "tx") == 0 || strcmp(v, "both") == 0;
}

/* Does the word name this opcode, or a kind of opcodes that it is of? */
static bool op_is(const struct phca_opcode_info *info, const char *word)
{
	if (strcmp(word, "roce") == 0)
		return true;
	if (strcmp(word, "request") == 0)
		return (info->flags & PHCA_OPF_REQUEST) != 0;
	if (strcmp(word, "response") == 0)
		return (info->flags & PHCA_OPF_ACK) != 0;
	if (strcmp(word, "atomic") == 0)
		return info->op == PHCA_OP_CMP_SWAP || info->op == PHCA_OP_FETCH_ADD;
	return strcasecmp(word, info->name) == 0 ||
		strcasecmp(word, phca_op_str((enum phca_op)info->op)) == 0 ||
		strcasecmp(word, phca_transport_str((enum phca_transport)info->transport)) == 0;
}

static bool op_word(struct rule *r, const char *word)
{
	bool any = false;

	if (strcmp(word, "other") == 0) {
		r->op_other = true;
		return true;
	}
	for (unsigned int i = 0; i < 256; i++) {
		if (phca_opcode_table[i].name == NULL || !op_is(&phca_opcode_table[i], word))
			continue;
		r->op[i / 64] |= UINT64_C(1) << (i % 64);
		any = true;
	}
	return any;
}

static bool set_op(struct rule *r, const char *v)
{
	char *save = NULL, copy[sizeof(r->op_text)];

	if ((size_t)snprintf(r->op_text, sizeof(r->op_text), "%s", v) >= sizeof(r->op_text))
		return false;
	for (char *p = r->op_text; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	memcpy(copy, r->op_text, sizeof(copy));
	if (copy[0] == '\0' || copy[0] == '+' || copy[strlen(copy) - 1] == '+' || strstr(copy, "++"))
		return false;
	for (char *w = strtok_r(copy, "+", &save); w; w = strtok_r(NULL, "+", &save))
		if (!op_word(r, w))
			return false;
	r->has_op = true;
	return true;
}

static bool set_qpn(struct rule *r, const char *v) { return ordered(v, 0, PHCA_QPN_MAX, &r->qpn); }
static bool set_psn(struct rule *r, const char *v) { return range(v, PHCA_PSN_MASK, &r->psn); }
static bool set_xmit(struct rule *r, const char *v) { return ordered(v, 1, 32767, &r->xmit); }
static bool set_len(struct rule *r, const char *v) { return ordered(v, 0, 65535, &r->len); }
static bool set_nth(struct rule *r, const char *v) { return set_u32(v, 1, &r->nth); }
static bool set_skip(struct rule *r, const char *v) { return set_u32(v, 1, &r->skip); }
static bool set_max(struct rule *r, const char *v) { return set_u32(v, 1, &r->max); }

static bool set_p(struct rule *r, const char *v)
{
	char *end;

	if (!fraction(v, &r->p, &end))
		return false;
	if (strcmp(end, "%") == 0)
		r->p /= 100;
	else if (*end != '\0')
		return false;
	r->has_p = true;
	return r->p >= 0 && r->p <= 1;
}

static bool set_copies(struct rule *r, const char *v)
{
	uint64_t x;

	if (!whole(v, 1, 8, &x))
		return false;
	r->copies = (uint8_t)x;
	return true;
}

static bool set_late(struct rule *r, const char *v) { return duration(v, &r->late_ns); }
static bool set_time(struct rule *r, const char *v) { return duration(v, &r->time_ns); }
static bool set_jitter(struct rule *r, const char *v) { return duration(v, &r->jitter_ns); }
static bool set_by(struct rule *r, const char *v) { return set_u16(v, 1, 1024, &r->by); }
static bool set_bits(struct rule *r, const char *v) { return set_u16(v, 1, 64, &r->bits); }

static bool set_timeout(struct rule *r, const char *v)
{
	return duration(v, &r->timeout_ns) && r->timeout_ns > 0;
}

static bool set_icrc(struct rule *r, const char *v)
{
	r->forge = strcmp(v, "right") == 0;
	return r->forge || strcmp(v, "wrong") == 0;
}

static bool set_at(struct rule *r, const char *v)
{
	for (unsigned int i = 0; i < DIM(region_names); i++) {
		r->region = (uint8_t)i;
		if (strcmp(v, region_names[i]) == 0)
			return true;
	}
	return false;
}

static bool set_force(struct rule *r, const char *v)
{
	r->force = strcmp(v, "yes") == 0;
	return r->force || strcmp(v, "no") == 0;
}

static bool set_bps(struct rule *r, const char *v)
{
	return decimal(v, RATE_MAX, &r->bps) && r->bps >= 1000;
}

static bool set_burst(struct rule *r, const char *v) { return set_bytes(v, &r->burst_bytes); }
static bool set_queue(struct rule *r, const char *v) { return set_bytes(v, &r->queue_bytes); }

/* Every key: of which actions, how it is set, what it takes. */
static const struct key {
	const char *name;
	unsigned int actions;
	bool (*set)(struct rule *r, const char *v);
	const char *form;
} keys[] = {
	{ "dir", ANY, set_dir, "rx, tx or both" },
	{ "op", ANY, set_op, "opcodes or kinds of them, joined by '+' (rc_send_only, write, request, "
		"response, atomic, roce, other, ...)" },
	{ "qpn", ANY, set_qpn, "a QP number 0..0xffffff, or A-B" },
	{ "psn", ANY, set_psn, "a PSN 0..0xffffff, or A-B, which may go over the end" },
	{ "xmit", ANY, set_xmit, "which transmission of a PSN, 1..32767, or A-B" },
	{ "len", ANY, set_len, "bytes of the frame 0..65535, or A-B" },
	{ "p", ANY, set_p, "a probability 0..1, or 0%..100%" },
	{ "nth", ANY, set_nth, "a number from 1: every how many packets" },
	{ "skip", ANY, set_skip, "a number of packets from 1" },
	{ "max", ANY, set_max, "a number of packets from 1" },
	{ "copies", BIT(DUP), set_copies, "1..8" },
	{ "late", BIT(DUP), set_late, "a time with its unit (ns, us, ms, s), up to 60s" },
	{ "time", BIT(DELAY), set_time, "a time with its unit (ns, us, ms, s), up to 60s" },
	{ "jitter", BIT(DELAY), set_jitter, "a time with its unit (ns, us, ms, s), up to 60s" },
	{ "by", BIT(REORDER), set_by, "a number of packets 1..1024" },
	{ "timeout", BIT(REORDER), set_timeout, "a time above 0 with its unit (ns, us, ms, s), up to 60s" },
	{ "bits", BIT(CORRUPT), set_bits, "1..64" },
	{ "icrc", BIT(CORRUPT), set_icrc, "wrong or right" },
	{ "at", BIT(CORRUPT), set_at, "any, headers or payload" },
	{ "force", BIT(ECN), set_force, "yes or no" },
	{ "bps", BIT(RATE), set_bps, "bits a second 1000..1000G (k, M, G)" },
	{ "burst", BIT(RATE), set_burst, "bytes 1..1G (k, M, G)" },
	{ "queue", BIT(RATE), set_queue, "bytes 1..1G (k, M, G)" },
};

/* Where an error is told. */
struct place { const char *where; unsigned int line; char *err; size_t len; };

__attribute__((format(printf, 2, 3)))
static int fault(const struct place *at, const char *fmt, ...)
{
	int n = snprintf(at->err, at->len, "%s:%u: ", at->where, at->line);
	va_list ap;

	if (n >= 0 && (size_t)n < at->len) {
		va_start(ap, fmt);
		vsnprintf(at->err + n, at->len - (size_t)n, fmt, ap);
		va_end(ap);
	}
	return -EINVAL;
}

/* The keys of an action, or all actions, for an error. */
static const char *choices(int action, char *buf, size_t len)
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; action < 0 && i < ACTION_COUNT; i++)
		n += (size_t)snprintf(buf + n, len - n, "%s%s", i ? ", " : "", action_names[i]);
	for (unsigned int i = 0; action >= 0 && i < DIM(keys); i++)
		if (keys[i].actions & 1u << action)
			n += (size_t)snprintf(buf + n, len - n, "%s%s", n ? ", " : "", keys[i].name);
	return buf;
}

static int find_action(const char *word)
{
	for (int i = 0; i < ACTION_COUNT; i++)
		if (strcmp(word, action_names[i]) == 0)
			return i;
	return -1;
}

static int parse_key(const struct place *at, struct rule *r, const char *word, const char *value,
		uint32_t *seen)
{
	const char *action = action_names[r->action];
	char list[192];

	for (unsigned int i = 0; i < DIM(keys); i++) {
		if (strcmp(keys[i].name, word) != 0 || !(keys[i].actions & 1u << r->action))
			continue;
		if (*seen & 1u << i)
			return fault(at, "%s: '%s' is there twice", action, word);
		*seen |= 1u << i;
		if (value == NULL)
			return fault(at, "%s: '%s' needs a value: %s", action, word, keys[i].form);
		if (!keys[i].set(r, value))
			return fault(at, "%s: %s '%.40s': expected %s", action, word, value, keys[i].form);
		return 0;
	}
	return fault(at, "%s: it has no key '%.40s'; there are %s", action, word,
		choices(r->action, list, sizeof(list)));
}

/* What keys say together. */
static int check(const struct place *at, struct rule *r)
{
	bool roce = r->op[0] || r->op[1] || r->op[2] || r->op[3];

	if (r->action == ACTION_DELAY && r->time_ns == 0 && r->jitter_ns == 0)
		return fault(at, "delay: give it a time, 'time 100us'");
	if (r->action == ACTION_RATE && r->bps == 0)
		return fault(at, "rate: give it a rate, 'bps 10G'");
	r->roce_only = r->qpn.set || r->psn.set || r->xmit.set || (r->has_op && !r->op_other) ||
		(r->action == ACTION_CORRUPT && (r->forge || r->region != REGION_ANY));
	if (r->roce_only && r->has_op && !roce)
		return fault(at, "%s: 'op other' is what is not RoCEv2: it has no QPN, PSN or iCRC",
			action_names[r->action]);
	return 0;
}

static int parse_rule(const struct place *at, char *line, const bool dir[PHCA_IMPAIR_DIRS],
		struct rules *out)
{
	char *save = NULL, *word = strtok_r(line, SEPARATORS, &save), list[192];
	struct rule *r = &out->rule[out->nb];
	int action, rc = 0;
	uint32_t seen = 0;

	if (word == NULL)
		return 0;
	if (strcmp(word, "none") == 0 && strtok_r(NULL, SEPARATORS, &save) == NULL)
		return 0;
	action = find_action(word);
	if (action < 0)
		return fault(at, "there is no action '%.40s'; there are %s", word,
			choices(-1, list, sizeof(list)));
	if (out->nb == PHCA_IMPAIR_RULES_MAX)
		return fault(at, "too many rules: at most %u", PHCA_IMPAIR_RULES_MAX);
	*r = (struct rule){ .action = (uint8_t)action, .copies = 1, .by = 1, .bits = 1,
		.timeout_ns = 10000000, .dir = { dir[0], dir[1] } };
	while (rc == 0 && (word = strtok_r(NULL, SEPARATORS, &save)) != NULL)
		rc = parse_key(at, r, word, strtok_r(NULL, SEPARATORS, &save), &seen);
	if (rc == 0)
		rc = check(at, r);
	out->nb += rc == 0;
	return rc;
}

/* FNV-1a of the text, and which rule of that text it is. */
static void seed_ids(struct rules *r)
{
	char text[PHCA_IMPAIR_RULE_LEN];

	for (unsigned int i = 0; i < r->nb; i++) {
		uint64_t h = UINT64_C(0xcbf29ce484222325);

		rule_print(&r->rule[i], text, sizeof(text));
		for (const char *p = text; *p; p++)
			h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
		for (unsigned int j = 0; j < i; j++)
			if (r->rule[j].id == h)
				h = (h ^ 0xff) * UINT64_C(0x100000001b3);
		r->rule[i].id = h;
	}
}

/* A packet becomes as many as all rules 'dup' of its direction say. */
static int check_copies(const struct place *at, const struct rules *r)
{
	for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		unsigned int n = 0;

		for (unsigned int i = 0; i < r->nb; i++)
			n += r->rule[i].action == ACTION_DUP && r->rule[i].dir[dir] ? r->rule[i].copies : 0;
		if (n > RULES_COPIES_MAX)
			return fault(at, "dup: %u copies of a packet by all rules together, at most %u", n,
				RULES_COPIES_MAX);
	}
	return 0;
}

int rules_parse(const char *text, const char *where, const bool dir[PHCA_IMPAIR_DIRS],
		struct rules *r, char *err, size_t err_len)
{
	struct place at = { where, 1, err, err_len };
	char line[1024];
	int rc = 0;

	r->nb = 0;
	while (rc == 0 && *text != '\0') {
		size_t all = strcspn(text, "\n"), n = strcspn(text, ";#\n");

		if (text[n] == ';')
			all = n;
		if (n >= sizeof(line))
			return fault(&at, "rule too long: %zu bytes, at most %zu", n, sizeof(line) - 1);
		memcpy(line, text, n);
		line[n] = '\0';
		rc = parse_rule(&at, line, dir, r);
		text += all;
		at.line += *text == '\n';
		text += *text != '\0';
	}
	if (rc == 0)
		rc = check_copies(&at, r);
	if (rc == 0)
		seed_ids(r);
	return rc;
}

int rules_append(struct rules *r, const struct rules *more, const char *where, char *err, size_t err_len)
{
	const struct place at = { where, 1, err, err_len };
	int rc;

	if (r->nb + more->nb > PHCA_IMPAIR_RULES_MAX)
		return fault(&at, "too many rules: at most %u", PHCA_IMPAIR_RULES_MAX);
	memcpy(&r->rule[r->nb], more->rule, more->nb * sizeof(more->rule[0]));
	r->nb += more->nb;
	rc = check_copies(&at, r);
	if (rc == 0)
		seed_ids(r);
	return rc;
}

/* A text that grows, and is cut at its end. */
struct text { char *buf; size_t n, len; };

__attribute__((format(printf, 2, 3)))
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->n, t->len - t->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->n = t->n + (size_t)n < t->len ? t->n + (size_t)n : t->len - 1;
}

static void add_range(struct text *t, const char *key, const char *fmt, const struct range *r)
{
	if (!r->set)
		return;
	add(t, " %s ", key);
	for (int i = 0; i < 2; i++) {
		if (i && r->lo == r->hi)
			break;
		if (i)
			add(t, "-");
		add(t, strcmp(fmt, "x") == 0 ? "0x%x" : "%u", i ? r->hi : r->lo);
	}
}

static void add_time(struct text *t, const char *key, uint64_t ns)
{
	static const struct { const char *name; uint64_t ns; } units[] = {
		{ "s", 1000000000 }, { "ms", 1000000 }, { "us", 1000 }, { "ns", 1 },
	};

	for (unsigned int i = 0; ns > 0 && i < DIM(units); i++) {
		if (ns % units[i].ns != 0)
			continue;
		add(t, " %s %llu%s", key, (unsigned long long)(ns / units[i].ns), units[i].name);
		return;
	}
}

static void add_number(struct text *t, const char *key, uint64_t v)
{
	if (v > 0)
		add(t, " %s %llu", key, (unsigned long long)v);
}

static void add_action(struct text *t, const struct rule *r)
{
	switch ((enum action)r->action) {
	case ACTION_DUP:
		add_number(t, "copies", r->copies);
		add_time(t, "late", r->late_ns);
		break;
	case ACTION_DELAY:
		add_time(t, "time", r->time_ns);
		add_time(t, "jitter", r->jitter_ns);
		break;
	case ACTION_REORDER:
		add_number(t, "by", r->by);
		add_time(t, "timeout", r->timeout_ns);
		break;
	case ACTION_CORRUPT:
		add_number(t, "bits", r->bits);
		add(t, " icrc %s at %s", r->forge ? "right" : "wrong", region_names[r->region]);
		break;
	case ACTION_ECN:
		add(t, "%s", r->force ? " force yes" : "");
		break;
	case ACTION_RATE:
		add_number(t, "bps", r->bps);
		add_number(t, "burst", r->burst_bytes);
		add_number(t, "queue", r->queue_bytes);
		break;
	case ACTION_DROP:
	case ACTION_COUNT:
		break;
	}
}

void rule_print(const struct rule *r, char *buf, size_t len)
{
	bool rx = r->dir[PHCA_IMPAIR_RX], tx = r->dir[PHCA_IMPAIR_TX];
	struct text t = { buf, 0, len };
	char p[32];

	add(&t, "%s", action_names[r->action]);
	add_action(&t, r);
	add(&t, " dir %s", rx && tx ? "both" : rx ? "rx" : "tx");
	if (r->has_op)
		add(&t, " op %s", r->op_text);
	add_range(&t, "qpn", "x", &r->qpn);
	add_range(&t, "psn", "u", &r->psn);
	add_range(&t, "xmit", "u", &r->xmit);
	add_range(&t, "len", "u", &r->len);
	if (r->has_p) {
		for (int digits = 6; digits <= 17; digits++) { /* as few as say it exactly */
			snprintf(p, sizeof(p), "%.*g", digits, r->p);
			if (strtod(p, NULL) == r->p)
				break;
		}
		add(&t, " p %s", p);
	}
	add_number(&t, "nth", r->nth);
	add_number(&t, "skip", r->skip);
	add_number(&t, "max", r->max);
}
