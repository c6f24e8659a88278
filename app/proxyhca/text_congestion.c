/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion control as text: what it is set to, which queue pairs it touched. */
#include <inttypes.h>

#include "figures.h"
#include "text.h"

static double mbps(uint64_t bps)
{
	return (double)bps / 1e6;
}

void text_qp_rate(const struct qp_obj *q, FILE *out)
{
	struct phca_qp_rate r;

	phca_qp_rate_get(q->qp, &r);
	if (!r.controlled)
		return;
	fprintf(out, "  rate %.3f of %.3f Mb/s, %s", mbps(r.rate_bps), mbps(r.line_bps),
		r.limited ? "paced" : "not limited");
	if (r.limited)
		fprintf(out, ", target %.3f Mb/s, alpha %.6f", mbps(r.target_bps), r.alpha_ppm / 1e6);
	fputc('\n', out);
}

/* A line for a queue pair that is limited, or was told of congestion. @return whether it is limited */
static bool one(struct appliance *a, const struct qp_obj *q, FILE *out)
{
	struct phca_qp_rate r;
	struct qp_figures f;

	phca_qp_rate_get(q->qp, &r);
	figures_qp(a, q, &f);
	if (!r.limited && f.info.stats.rx_ecn_marked == 0 && f.info.stats.rx_cnps == 0)
		return false;
	fprintf(out, "  0x%-6x %-10.10s %-2s %-5s", f.info.qpn, qp_obj_name(a, q),
		phca_qp_type_str(f.info.type), r.limited ? "paced" : "free");
	if (r.controlled)
		fprintf(out, " %13.3f %13.3f %13.3f %8.6f", mbps(r.rate_bps), mbps(r.target_bps),
			mbps(r.line_bps), r.alpha_ppm / 1e6);
	else
		fprintf(out, " %13s %13s %13s %8s", "-", "-", "-", "-");
	fprintf(out, " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", f.info.stats.rx_ecn_marked,
		f.info.stats.tx_cnps, f.info.stats.rx_cnps);
	return r.limited;
}

void text_congestion(struct appliance *a, FILE *out)
{
	const struct phca_congestion_conf *c = phca_hca_congestion(a->hca);
	unsigned int limited = 0;

	text_title(out, "Congestion control");
	if (c)
		fprintf(out, "  on, connected QPs send %s, CNPs have DSCP %u, at most one of a QP in %" PRIu64 " us\n",
			c->ecn ? "ECT(0)" : "the ECN of their traffic class", c->cnp_dscp, c->params.cnp_interval_us);
	else
		fprintf(out, "  off: marks and CNPs are counted only\n");
	fprintf(out, "  %-8s %-10s %-2s %-5s %13s %13s %13s %8s %10s %10s %10s\n", "QPN", "name", "", "state",
		"rate Mb/s", "target Mb/s", "line Mb/s", "alpha", "marked", "CNPs sent", "CNPs rcvd");
	for (unsigned int i = 0; appliance_qp(a, i); i++)
		limited += one(a, appliance_qp(a, i), out);
	fprintf(out, "  %u of %u queue pairs are limited\n", limited, a->nb_qps + a->nb_app_qps);
	text_end(out);
}
