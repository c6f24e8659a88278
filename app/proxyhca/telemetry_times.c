/* SPDX-License-Identifier: BSD-3-Clause */
/* Times of offloads and proxy QPs, and what waits for offloads, by telemetry. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "figures.h"
#include "telemetry.h"

static void times(struct rte_tel_data *d, const char *name, const struct phca_hist *h)
{
	char key[64];

#define ADD(p, ppm) \
	snprintf(key, sizeof(key), "%s_" #p "_ns", name); \
	rte_tel_data_add_dict_u64(d, key, phca_hist_percentile(h, ppm));
	FIGURES_PERCENTILES(ADD)
#undef ADD
	snprintf(key, sizeof(key), "%s_count", name);
	rte_tel_data_add_dict_u64(d, key, phca_hist_count(h));
}

/* By status; telemetry takes letters, digits, '_' and '/' in names. */
static void failed_with(struct rte_tel_data *d, const struct phca_offload_detail *o)
{
	struct rte_tel_data *in = telemetry_dict();
	char key[64];

	if (!in)
		return;
	for (uint32_t s = 0; s < PHCA_WC_STATUS_COUNT; s++) {
		if (o->failed[s] == 0)
			continue;
		snprintf(key, sizeof(key), "%s", phca_wc_status_str(s));
		for (char *c = key; *c; c++)
			*c = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '_';
		rte_tel_data_add_dict_u64(in, key, o->failed[s]);
	}
	telemetry_add(d, "failed_with", in);
}

void telemetry_offload_detail(struct request *r, const struct offload_obj *o)
{
	struct phca_offload_detail d;
	struct queue_figures q;

	figures_offload_detail(o, &d);
	figures_queue(r->a, o, &q);
	times(r->d, "latency", &d.latency);
	times(r->d, "stall", &d.stall);
	failed_with(r->d, &d);
	rte_tel_data_add_dict_u64(r->d, "rings_used", q.rings);
	rte_tel_data_add_dict_u64(r->d, "rings_room", q.rings_room);
	rte_tel_data_add_dict_u64(r->d, "qps", q.qps);
	rte_tel_data_add_dict_u64(r->d, "window_send", q.window[PHCA_DIR_SEND]);
	rte_tel_data_add_dict_u64(r->d, "window_inbound", q.window[PHCA_DIR_RECV]);
}

void telemetry_qp_stall(struct request *r, const struct qp_obj *q)
{
	struct rte_tel_data *in = telemetry_dict();
	struct phca_hist h;

	if (!in)
		return;
	figures_stall(q, &h);
	times(in, "stall", &h);
	telemetry_add(r->d, "times", in);
}
