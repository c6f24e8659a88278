/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Summaries: what --stats-period prints, with rates since the last one, and
 * what is printed when forwarding stops and at the end.
 */
#include <inttypes.h>

#include <rte_common.h>

#include "figures.h"
#include "text.h"

/* Sums over all QPs. */
struct qp_sums {
	uint64_t messages, direct, offloaded, completed, waited, noops, dropped, out_of_order;
	unsigned int checked; /* QPs whose application checks the order */
};

static void qp_sums(struct appliance *a, struct qp_sums *s)
{
	*s = (struct qp_sums){ 0 };
	for (unsigned int i = 0; i < a->nb_qps; i++) {
		struct qp_figures f;

		figures_qp(a, a->qps[i], &f);
		s->messages += f.info.stats.rx_messages + f.info.stats.tx_wrs;
		s->direct += f.info.stats.rx_direct + f.info.stats.tx_direct;
		s->offloaded += f.info.stats.rx_offloaded + f.info.stats.tx_offloaded;
		s->completed += f.cq.written;
		s->waited += f.info.pqp.waited;
		s->noops += f.cq.noops + f.cq.noops_elided;
		s->dropped += f.dropped;
		s->checked += f.has_order;
		s->out_of_order += f.out_of_order;
	}
}

static void qp_sums_text(struct appliance *a, const struct qp_sums *s, FILE *out)
{
	text_title(out, "Accumulated statistics for all %u QPs", a->nb_qps);
	fprintf(out, "  messages:  %-14" PRIu64 " direct: %-14" PRIu64 " offloaded: %-14" PRIu64 "\n",
		s->messages, s->direct, s->offloaded);
	fprintf(out, "  completed: %-14" PRIu64 " waited: %-14" PRIu64 " no-ops:    %-14" PRIu64 "\n",
		s->completed, s->waited, s->noops);
	fprintf(out, "  dropped:   %-14" PRIu64 " out of order: ", s->dropped);
	if (s->checked > 0)
		fprintf(out, "%" PRIu64 " (checked on %u QPs)\n", s->out_of_order, s->checked);
	else
		fprintf(out, "not checked by an application\n");
	text_end(out);
}

/* Events a second; a counter that was cleared meanwhile begins anew. */
static uint64_t rate(uint64_t now, uint64_t *last, double seconds)
{
	uint64_t n = now >= *last ? now - *last : now;

	*last = now;
	return seconds > 0 ? (uint64_t)((double)n / seconds + 0.5) : 0;
}

void summary_period(struct appliance *a, uint64_t now_ns, FILE *out)
{
	struct rate_base *r = &a->rates;
	double seconds = (double)(now_ns - r->now_ns) / 1e9;
	struct phca_proxy_stats proxy;
	struct qp_sums s;
	uint64_t direct, offloaded, completed, released;

	for (unsigned int i = 0; i < RTE_MIN(a->nb_ports, (unsigned int)PHCA_PORT_MAX); i++) {
		struct phca_port_stats st;
		uint64_t rx, tx;

		text_port_stats(a, i, out);
		figures_port(a, i, &st);
		rx = rate(st.rx_packets, &r->rx[i], seconds);
		tx = rate(st.tx_packets, &r->tx[i], seconds);
		fprintf(out, "  Throughput (since last show)\n  Rx-pps: %12" PRIu64 "   Tx-pps: %12" PRIu64
			"\n", rx, tx);
	}
	qp_sums(a, &s);
	qp_sums_text(a, &s, out);
	direct = rate(s.direct, &r->direct, seconds);
	offloaded = rate(s.offloaded, &r->offloaded, seconds);
	completed = rate(s.completed, &r->completed, seconds);
	figures_proxy(a, &proxy);
	released = rate(proxy.released, &r->released, seconds);
	fprintf(out, "  direct/s: %" PRIu64 "  offloaded/s: %" PRIu64 "  completed/s: %" PRIu64
		"  released by the proxy/s: %" PRIu64 "  in flight: %" PRIu64 "\n", direct, offloaded,
		completed, released, proxy.in_flight);
	fflush(out);
	r->now_ns = now_ns;
}

void summary_final(struct appliance *a, FILE *out)
{
	struct qp_sums s;

	for (unsigned int i = 0; i < a->nb_ports; i++)
		text_port_stats(a, i, out);
	text_totals(a, out);
	text_qps(a, out);
	qp_sums(a, &s);
	qp_sums_text(a, &s, out);
	text_proxy_stats(a, out);
	for (unsigned int i = 0; i < a->nb_apps; i++)
		text_app(a, a->apps[i], out);
	fflush(out);
}
