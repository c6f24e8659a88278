/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Figures and objects as text, in the layout of dpdk-testpmd. Every function
 * writes to @p out; control mutex held.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdio.h>

#include "appliance.h"

/* text.c: what the others share */
void text_title(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_end(FILE *out);
struct counter_group;
/* Counters with unit, one a line; zeros too when @p all. */
void text_counters(FILE *out, const struct counter_group *g, const void *st, bool all);
/* A line: percentiles, and the longest, of how many. */
void text_times(FILE *out, const char *name, const struct phca_hist *h, uint64_t max_ns);
/* Verdicts that are not zero, one a line. */
void text_verdicts(FILE *out, const uint64_t *verdict);

/* text_port.c */
void text_port_info(struct appliance *a, unsigned int i, FILE *out);
void text_port_stats(struct appliance *a, unsigned int i, FILE *out);
void text_port_verdicts(struct appliance *a, unsigned int i, FILE *out);
void text_totals(struct appliance *a, FILE *out);
void text_neighbours(struct appliance *a, FILE *out);

/* text_qp.c */
void text_qps(struct appliance *a, FILE *out);
/* text_attr.c */
void text_qp_attr(const struct qp_obj *q, enum phca_qp_type type, FILE *out);
void text_srqs(struct appliance *a, FILE *out);
void text_qp(struct appliance *a, const struct qp_obj *q, FILE *out);
void text_cqs(struct appliance *a, FILE *out);
void text_cq(struct appliance *a, const struct qp_obj *q, FILE *out);

/* text_congestion.c */
void text_qp_rate(const struct qp_obj *q, FILE *out); /* a line; nothing for a QP without a rate */
void text_congestion(struct appliance *a, FILE *out);

/* text_clients.c */
void text_clients(struct appliance *a, FILE *out);

/* text_proxy.c */
void text_proxy(struct appliance *a, FILE *out);
void text_rules(struct appliance *a, FILE *out);
void text_proxy_stats(struct appliance *a, FILE *out);
void text_filter(struct appliance *a, const struct filter_obj *f, FILE *out);
void text_filters(struct appliance *a, FILE *out);
/* @return -ENOENT: no such map */
int text_map(const struct filter_obj *f, const char *map, FILE *out);
void text_offload(struct appliance *a, const struct offload_obj *o, FILE *out);
void text_app(struct appliance *a, const struct app_obj *app, FILE *out);
void text_lcores(struct appliance *a, FILE *out);
void text_events(struct appliance *a, FILE *out);

/* text_trace.c */
struct trace_qp;
void text_trace(const struct trace_qp *t, FILE *out);

/* summary.c: what is printed each period and at the end */
void summary_period(struct appliance *a, uint64_t now_ns, FILE *out);
void summary_final(struct appliance *a, FILE *out);

#endif
