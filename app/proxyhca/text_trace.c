/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces as text: a line for each request, in the order in which things happened to it. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include <rte_common.h>

#include "text.h"
#include "trace.h"

#define LINE_MAX_LEN 1024

/* Text that grows, cut at its end. */
struct words {
	char *buf;
	size_t len, used;
};

static void __attribute__((format(printf, 2, 3))) say(struct words *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(w->buf + w->used, w->len - w->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		w->used = RTE_MIN(w->used + (size_t)n, w->len - 1);
}

const char *trace_opcode_str(const struct phca_trace_rec *r)
{
	static const char *const posted[] = {
		[PHCA_WR_RDMA_WRITE] = "WRITE", [PHCA_WR_RDMA_WRITE_WITH_IMM] = "WRITE_IMM",
		[PHCA_WR_SEND] = "SEND", [PHCA_WR_SEND_WITH_IMM] = "SEND_IMM", [PHCA_WR_RDMA_READ] = "READ",
		[PHCA_WR_ATOMIC_CMP_AND_SWP] = "CMP_SWAP", [PHCA_WR_ATOMIC_FETCH_AND_ADD] = "FETCH_ADD",
		[PHCA_WR_LOCAL_INV] = "LOCAL_INV", [PHCA_WR_BIND_MW] = "BIND_MW", [PHCA_WR_SEND_WITH_INV] = "SEND_INV",
	};

	if (r->kind == PHCA_TRACE_CHILD || r->dir == PHCA_DIR_SEND)
		return r->opcode < RTE_DIM(posted) ? posted[r->opcode] : "?";
	return phca_op_str(phca_opcode_table[r->opcode].op);
}

/* A place has its outcome with one of these. */
static bool is_end(unsigned int kind)
{
	return kind == PHCA_TRACE_DONE || kind == PHCA_TRACE_REFUSED || kind == PHCA_TRACE_TIMED_OUT ||
		kind == PHCA_TRACE_CANCELLED || kind == PHCA_TRACE_COMPLETED || kind == PHCA_TRACE_FLUSHED;
}

/* Two lcores wrote: the later turn may have begun first. */
static uint64_t between(const struct phca_trace_rec *from, const struct phca_trace_rec *to)
{
	return from && to && to->ns > from->ns ? to->ns - from->ns : 0;
}

void trace_tell(const struct trace_line *l, struct trace_told *t)
{
	*t = (struct trace_told){ 0 };
	for (unsigned int i = 0; i < l->n; i++) {
		const struct phca_trace_rec *r = &l->rec[i];

		if (r->kind == PHCA_TRACE_TAKEN)
			t->taken = r;
		else if (r->kind == PHCA_TRACE_SUBMITTED)
			t->submitted = r;
		else if (r->kind == PHCA_TRACE_RELEASED)
			t->released = r;
		else if (is_end(r->kind) && !t->released)
			t->ended = r;
		t->children += r->kind == PHCA_TRACE_CHILD;
		t->child_errors += r->kind == PHCA_TRACE_CHILD_DONE && r->status != PHCA_WC_SUCCESS;
	}
	t->ring_ns = between(t->taken, t->submitted);
	t->latency_ns = between(t->submitted, t->ended);
	if (t->released && (t->released->flags & PHCA_TRACE_F_WAITED))
		t->waited_ns = between(t->ended, t->released);
}

static double us(uint64_t ns)
{
	return (double)ns / 1000.0;
}

static void say_taken(struct words *w, const struct phca_trace_rec *r)
{
	if (r->dir == PHCA_DIR_SEND)
		say(w, "WR 0x%" PRIx64 " %s %u bytes", r->id, trace_opcode_str(r), r->len);
	else
		say(w, "PSN 0x%" PRIx64 " %s %u bytes", r->id, trace_opcode_str(r), r->len);
	if (r->flags & PHCA_TRACE_F_FLUSHED)
		say(w, ": flushed, the queue pair is in error");
	else if (r->rule != PHCA_TRACE_RULE_NONE && r->by == r->rule)
		say(w, ": rule %u \"%s\"", r->rule, r->name);
	else if (r->rule != PHCA_TRACE_RULE_NONE)
		say(w, ": rule %u \"%s\", named by the filter of rule %u", r->rule, r->name, r->by);
	else if (r->tried > 0)
		say(w, ": no rule of %u matched: direct", r->tried);
	else
		say(w, ": no rule: direct");
	if (r->flags & PHCA_TRACE_F_ORDERED)
		say(w, r->rule != PHCA_TRACE_RULE_NONE ? ", ordered" : ", behind an ordered one");
	if (r->flags & PHCA_TRACE_F_NO_PLACE)
		say(w, "; executed, nothing for the application");
}

static void say_released(struct words *w, const struct phca_trace_rec *r, uint64_t waited_ns)
{
	static const char *const results[] = {
		[PHCA_TRACE_NOTHING] = "no completion", [PHCA_TRACE_CQE] = "completion", [PHCA_TRACE_NOOP] = "no-op",
	};

	if (r->flags & PHCA_TRACE_F_WAITED)
		say(w, "; waited %.1f us for %" PRIu64, us(waited_ns), r->id);
	say(w, "; %s", r->result < RTE_DIM(results) ? results[r->result] : "?");
	if (r->status != PHCA_WC_SUCCESS)
		say(w, " (%s)", phca_wc_status_str(r->status));
}

static void say_record(struct words *w, const struct phca_trace_rec *r, const struct trace_told *t)
{
	const char *status = phca_wc_status_str(r->status);
	double after = us(between(t->submitted, r));

	switch ((enum phca_trace_kind)r->kind) {
	case PHCA_TRACE_TAKEN:
		if (r == t->taken)
			say_taken(w, r);
		break;
	case PHCA_TRACE_SUBMITTED:
		say(w, " -> offload \"%s\" after %.1f us", r->name, us(t->ring_ns));
		break;
	case PHCA_TRACE_DONE:
		say(w, "; done, %s, after %.1f us", status, after);
		break;
	case PHCA_TRACE_REFUSED:
		say(w, "; refused, %s", status);
		break;
	case PHCA_TRACE_TIMED_OUT:
	case PHCA_TRACE_CANCELLED:
	case PHCA_TRACE_PASSED:
		say(w, "; %s after %.1f us", phca_trace_kind_str(r->kind), after);
		break;
	case PHCA_TRACE_LATE:
		say(w, "; its driver let go after %.1f us", after);
		break;
	case PHCA_TRACE_CHILD:
		say(w, "; child %s %u bytes on qp 0x%" PRIx64, trace_opcode_str(r), r->len, r->id);
		break;
	case PHCA_TRACE_CHILD_DONE:
		say(w, "; child done, %s", status);
		break;
	case PHCA_TRACE_COMPLETED:
		say(w, "; HCA: %s after %.1f us", status, us(between(t->taken, r)));
		break;
	case PHCA_TRACE_FLUSHED:
		say(w, "; behind a failure, no driver got it");
		break;
	case PHCA_TRACE_RELEASED:
		say_released(w, r, t->waited_ns);
		break;
	case PHCA_TRACE_RESET:
	case PHCA_TRACE_KIND_COUNT:
		break;
	}
}

void trace_text(const struct trace_line *l, char *buf, size_t len)
{
	struct words w = { buf, len, 0 };
	struct trace_told t;

	trace_tell(l, &t);
	say(&w, "%s ", l->dir == PHCA_DIR_SEND ? "send" : "inbound");
	if (l->placed)
		say(&w, "%u ", l->seq);
	for (unsigned int i = 0; i < l->n; i++)
		say_record(&w, &l->rec[i], &t);
	if (l->left_out > 0)
		say(&w, "; %u records left out", l->left_out);
	if (l->forgotten)
		say(&w, "; forgotten, the queue pair was reset or is gone");
	else if (!l->over)
		say(&w, "; under way");
}

void text_trace(const struct trace_qp *t, FILE *out)
{
	const struct trace_line *l;
	char text[LINE_MAX_LEN];

	text_title(out, "Trace of QP 0x%x (%s), %s", t->qpn, t->name, t->on ? "on" : "off");
	fprintf(out, "  requests %" PRIu64, t->taken);
	if (t->count != PHCA_QP_TRACE_ALL)
		fprintf(out, " of %u", t->count);
	fprintf(out, ", shown %u, records lost %" PRIu64 "\n", trace_nb_lines(t), t->lost);
	for (unsigned int i = 0; (l = trace_line(t, i)) != NULL; i++) {
		trace_text(l, text, sizeof(text));
		fprintf(out, "  %s\n", text);
	}
	text_end(out);
}
