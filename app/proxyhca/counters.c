/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every counter by name: tables made of the libraries' own lists, so that
 * prompt, telemetry, --list-counters and doc/counters.md follow from one place.
 */
#include <stddef.h>
#include <string.h>

#include <rte_common.h>

#include "phca_impair.h"

#include "figures.h"

/* Structs of libraries whose header has no list. */
#define CQ_COUNTERS(X) \
	X(written, "CQEs", "completions written for the application") \
	X(noops, "CQEs", "no-ops written, which the consumer skips") \
	X(noops_elided, "CQEs", "no-ops left out: the CQ had no spare room") \
	X(lost, "CQEs", "completions after the CQ overran") \
	X(notes, "notes", "consumers in other processes told, who had armed the CQ")
#define FILTER_COUNTERS(X) \
	X(runs, "calls", "times that the filter ran") \
	X(pass, "calls", "said pass: the next rule, in the end direct") \
	X(offload, "calls", "said offload") \
	X(bad_return, "calls", "said something else; taken as pass")
#define LCORE_COUNTERS(X) \
	X(turns, "turns", "turns made") \
	X(busy_turns, "turns", "turns in which something was done") \
	X(busy_cycles, "cycles", "TSC cycles of those turns") \
	X(sleeps, "times", "went to sleep, with --idle=sleep") \
	X(wakes, "times", "woken before the time was over") \
	X(carried, "turns", "made by another lcore while it slept") \
	X(commands, "commands", "executed for control threads")
#define PROXY_GAUGES(X) \
	X(in_flight, "requests", "gauge: requests that drivers hold now") \
	X(pqps, "QPs", "gauge: proxy QPs attached")
#define OFFLOAD_GAUGES(X) \
	X(in_flight, "requests", "gauge: requests that the driver holds now")

#define IS_MAXIMUM(h) (__builtin_strncmp(h, "longest", 7) == 0)
#define ROW(type, field, u, h) { #field, u, h, offsetof(struct type, field), \
		__builtin_strncmp(h, "gauge:", 6) == 0 || IS_MAXIMUM(h), IS_MAXIMUM(h) },
#define PORT_ROW(f, u, h) ROW(phca_port_stats, f, u, h)
#define QP_ROW(f, u, h) ROW(phca_qp_stats, f, u, h)
#define PQP_ROW(f, u, h) ROW(phca_pqp_stats, f, u, h)
#define CQ_ROW(f, u, h) ROW(phca_cq_info, f, u, h)
#define PROXY_ROW(f, u, h) ROW(phca_proxy_stats, f, u, h)
#define OFFLOAD_ROW(f, u, h) ROW(phca_offload_stats, f, u, h)
#define FILTER_ROW(f, u, h) ROW(phca_filter_stats, f, u, h)
#define IMPAIR_ROW(f, u, h) ROW(phca_impair_counters, f, u, h)
#define LCORE_ROW(f, u, h) ROW(phca_loop_stats, f, u, h)

static const struct counter port_rows[] = { PHCA_PORT_COUNTERS(PORT_ROW) };
static const struct counter qp_rows[] = { PHCA_QP_COUNTERS(QP_ROW) };
static const struct counter pqp_rows[] = {
	PHCA_PQP_COUNTERS(PQP_ROW)
	{ "waiting_send", "requests", "gauge: places of the send window that are occupied",
		offsetof(struct phca_pqp_stats, waiting[PHCA_DIR_SEND]), true, false },
	{ "waiting_inbound", "requests", "gauge: places of the inbound window that are occupied",
		offsetof(struct phca_pqp_stats, waiting[PHCA_DIR_RECV]), true, false },
};
static const struct counter cq_rows[] = { CQ_COUNTERS(CQ_ROW) };
static const struct counter proxy_rows[] = {
	PHCA_PROXY_COUNTERS(PROXY_ROW) PROXY_GAUGES(PROXY_ROW)
};
static const struct counter offload_rows[] = {
	PHCA_OFFLOAD_COUNTERS(OFFLOAD_ROW) OFFLOAD_GAUGES(OFFLOAD_ROW)
};
static const struct counter filter_rows[] = { FILTER_COUNTERS(FILTER_ROW) };
static const struct counter impair_rows[] = { PHCA_IMPAIR_COUNTERS(IMPAIR_ROW) };
#define HOST_ROW(f, u, h) ROW(phca_host_stats, f, u, h)
static const struct counter host_rows[] = { PHCA_HOST_COUNTERS(HOST_ROW) };
static const struct counter lcore_rows[] = { LCORE_COUNTERS(LCORE_ROW) };

#define GROUP(name) \
	const struct counter_group counters_##name = { #name, name##_rows, RTE_DIM(name##_rows) };
GROUP(port)
GROUP(qp)
GROUP(pqp)
GROUP(cq)
GROUP(proxy)
GROUP(offload)
GROUP(filter)
GROUP(lcore)
GROUP(impair)
GROUP(host)

const struct counter_group *counters_group(unsigned int i)
{
	static const struct counter_group *const all[] = {
		&counters_port, &counters_qp, &counters_pqp, &counters_cq, &counters_proxy,
		&counters_offload, &counters_filter, &counters_lcore, &counters_impair, &counters_host,
	};

	return i < RTE_DIM(all) ? all[i] : NULL;
}

void counters_list(FILE *out)
{
	const struct counter_group *g;

	for (unsigned int i = 0; (g = counters_group(i)) != NULL; i++)
		for (unsigned int j = 0; j < g->nb_rows; j++)
			fprintf(out, "%s\t%s\t%s\t%s\n", g->name, g->rows[j].name, g->rows[j].unit,
				g->rows[j].help);
	for (unsigned int v = PHCA_V_OK + 1; v < PHCA_V_COUNT; v++)
		fprintf(out, "verdict\t%s\tpackets\t%s\n", phca_verdict_str(v), phca_verdict_help(v));
}
