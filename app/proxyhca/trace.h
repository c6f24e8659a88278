/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traces: what happened to each request of some queue pairs, from the records of
 * HCA and proxy lcores. All functions: control mutex held.
 */
#ifndef TRACE_H
#define TRACE_H

#include "appliance.h"

#define TRACE_QPS 16     /* queue pairs that have a trace */
#define TRACE_LINES 256  /* newest requests kept of each */
#define TRACE_RECS 20    /* records kept of a request */

/** A request. */
struct trace_line {
	uint32_t seq;
	uint8_t dir;         /* enum phca_dir */
	bool placed;         /* seq is its place */
	bool over;           /* released, or the application hears nothing of it, ever */
	bool forgotten;      /* as its queue pair was reset or is gone */
	unsigned int n, left_out; /* records; those for which there was no room */
	struct phca_trace_rec rec[TRACE_RECS]; /* in the order of HCA lcore, then proxy lcore */
};
/** A queue pair. */
struct trace_qp {
	uint32_t qpn;
	char name[64];
	bool on;
	uint32_t count;      /* requests asked for, or PHCA_QP_TRACE_ALL */
	uint64_t taken;      /* requests heard of; line i is lines[i % TRACE_LINES] */
	uint64_t lost;       /* records of all queue pairs that found no room, while it was on */
	uint64_t lost_base;
	uint16_t last[PHCA_DIR_COUNT][TRACE_LINES]; /* line of a place, by its low bits */
	struct trace_line lines[TRACE_LINES];
};
/** What became of a request, in figures. */
struct trace_told {
	const struct phca_trace_rec *taken, *submitted, *ended, *released; /* NULL: not heard of */
	uint64_t ring_ns;    /* from HCA lcore to driver */
	uint64_t latency_ns; /* from driver to its end */
	uint64_t waited_ns;  /* for an earlier one */
	unsigned int children, child_errors;
};

/**
 * Trace requests of a queue pair that are taken from now on; what was kept of it is forgotten.
 * @return 0; negative errno with err written
 */
int trace_start(struct appliance *a, struct qp_obj *q, uint32_t count, char *err, size_t err_len);
/** No more. What is kept stays. @return -ENOENT: it was not traced */
int trace_stop(struct appliance *a, uint32_t qpn);
/** The queue pair is about to be destroyed. */
void trace_gone(struct appliance *a, uint32_t qpn);
/** Take what the lcores wrote. */
void trace_take(struct appliance *a);
/** @return trace @p i, NULL past the last. */
struct trace_qp *trace_at(const struct appliance *a, unsigned int i);
/** @return the trace of a queue pair, NULL: there is none. */
struct trace_qp *trace_find(const struct appliance *a, uint32_t qpn);
/** @return kept request @p i, the oldest first; NULL past the last. */
const struct trace_line *trace_line(const struct trace_qp *t, unsigned int i);
/** How many are kept. */
unsigned int trace_nb_lines(const struct trace_qp *t);
/** Forget all; nothing is traced any more. */
void trace_free(struct appliance *a);

/* text_trace.c */
void trace_tell(const struct trace_line *l, struct trace_told *t);
/** A request in words, cut to @p len. */
void trace_text(const struct trace_line *l, char *buf, size_t len);
/** Name of a request's operation. */
const char *trace_opcode_str(const struct phca_trace_rec *r);

#endif
