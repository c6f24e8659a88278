/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Figures: every counter by name, and its value since the last "clear".
 *
 * Counters have one writer, an lcore, and only grow. "clear" keeps their
 * values of now as a base, and every reader (prompt, telemetry, statistics
 * printed each period) gets the difference. Gauges and maxima have no base.
 * All functions: control mutex held.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "appliance.h"

/** One counter of a struct. */
struct counter {
	const char *name, *unit, *help;
	size_t offset;   /* of a uint64_t */
	bool gauge;      /* a value of now, or the longest, not a count */
	bool maximum;    /* the longest */
};
/** The counters of one struct. */
struct counter_group {
	const char *name;
	const struct counter *rows;
	unsigned int nb_rows;
};
extern const struct counter_group counters_port, counters_qp, counters_pqp, counters_cq,
	counters_proxy, counters_offload, counters_filter, counters_lcore, counters_impair, counters_host;

/** @return the counter's value in the struct at @p st. */
static inline uint64_t counter_get(const struct counter *c, const void *st)
{
	return *(const uint64_t *)((const char *)st + c->offset);
}
/** @return group @p i of all, NULL past the last. */
const struct counter_group *counters_group(unsigned int i);
/** Print group, name, unit, meaning of every counter, separated by tabs. */
void counters_list(FILE *out);

/** Figures of a QP and its CQ. */
struct qp_figures {
	struct phca_qp_info info;
	struct phca_cq_info cq;
	uint64_t dropped;     /* packets whose verdict is a drop */
	bool has_order;       /* the QP's application checks the order */
	uint64_t out_of_order;/* completions that it saw out of order */
};
/** Totals over all ports. */
struct port_totals {
	uint64_t rx, held, verdicts, verdict[PHCA_V_COUNT];
	bool balanced;        /* received == verdicts + held, since start */
};

/** Read port @p i between two turns of its lcore. */
void figures_port(struct appliance *a, unsigned int i, struct phca_port_stats *st);
/** Sum of all ports. */
void figures_totals(struct appliance *a, struct port_totals *t);
void figures_qp(struct appliance *a, const struct qp_obj *q, struct qp_figures *f);
/** One proxy lcore, and the sum of all. */
void figures_proxy_one(const struct proxy_obj *p, struct phca_proxy_stats *st);
void figures_proxy(struct appliance *a, struct phca_proxy_stats *st);
void figures_offload(const struct offload_obj *o, struct phca_offload_stats *st);
void figures_offload_detail(const struct offload_obj *o, struct phca_offload_detail *d);
/** What waits for an offload now. */
struct queue_figures {
	unsigned int rings, rings_room; /* messages in the rings to its proxies, and room for them */
	unsigned int qps;               /* queue pairs with a rule for it */
	uint64_t window[PHCA_DIR_COUNT];/* requests in their windows */
};
void figures_queue(struct appliance *a, const struct offload_obj *o, struct queue_figures *f);
/** How long completions of a proxy QP waited for an earlier one. */
void figures_stall(const struct qp_obj *q, struct phca_hist *h);
/** Percentiles that are shown: name of the field, parts of a million. */
#define FIGURES_PERCENTILES(X) X(p50, 500000) X(p99, 990000) X(p99_9, 999000)
void figures_filter(const struct filter_obj *f, struct phca_filter_stats *st);
void figures_lcore(const struct lcore_obj *l, struct phca_loop_stats *st);
/** The admin server; there is one. */
void figures_host(struct appliance *a, struct phca_host_stats *st);
/** Call @p emit with each counter of an application. @return what emit returned if not 0 */
int figures_app(const struct app_obj *app, int (*emit)(void *arg, const char *name, uint64_t value),
		void *arg);
/** The same with what is of now and no count. */
int figures_app_gauges(const struct app_obj *app, int (*emit)(void *arg, const char *name, uint64_t value),
		void *arg);
/** @return whether the packet was used: its verdict is no drop. */
bool figures_verdict_used(enum phca_verdict v);

void figures_clear_port(struct appliance *a, unsigned int i);
void figures_clear_qp(struct appliance *a, struct qp_obj *q);
void figures_clear_cq(struct qp_obj *q);
void figures_clear_proxy(struct appliance *a);
void figures_clear_offload(struct offload_obj *o);
void figures_clear_filter(struct filter_obj *f);
void figures_clear_app(struct appliance *a, struct app_obj *app);
void figures_clear_all(struct appliance *a);

#endif
