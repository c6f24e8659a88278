/* SPDX-License-Identifier: BSD-3-Clause */
/* Queue pairs and completion queues as text. */
#include <inttypes.h>
#include <string.h>

#include "figures.h"
#include "text.h"

static void order(char *text, size_t len, const struct qp_figures *f)
{
	if (f->has_order)
		snprintf(text, len, "%" PRIu64, f->out_of_order);
	else
		snprintf(text, len, "-");
}

void text_qps(struct appliance *a, FILE *out)
{
	const struct qp_obj *q;

	text_title(out, "QP statistics, %u queue pairs", a->nb_qps + a->nb_app_qps);
	fprintf(out, "  %-8s %-10s %-2s %-5s %-5s %10s %10s %10s %10s %9s %9s %9s %9s %7s  %s\n", "QPN", "name",
		"", "state", "proxy", "messages", "direct", "offloaded", "completed", "waited", "no-ops",
		"dropped", "out-of-ord", "process", "rules");
	for (unsigned int i = 0; (q = appliance_qp(a, i)) != NULL; i++) {
		const struct phca_qp_stats *st;
		struct qp_figures f;
		char ooo[24], pid[16] = "-";

		figures_qp(a, q, &f);
		st = &f.info.stats;
		order(ooo, sizeof(ooo), &f);
		if (q->owner)
			snprintf(pid, sizeof(pid), "%d", (int)q->owner->pid);
		fprintf(out, "  0x%-6x %-10.10s %-2s %-5s %-5s %10" PRIu64 " %10" PRIu64 " %10" PRIu64
			" %10" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9s %7s  %s\n", f.info.qpn,
			qp_obj_name(a, q), phca_qp_type_str(f.info.type), phca_qp_state_str(f.info.state),
			f.info.proxy ? "yes" : "no", st->rx_messages + st->tx_wrs,
			st->rx_direct + st->tx_direct, st->rx_offloaded + st->tx_offloaded, f.cq.written,
			f.info.pqp.waited, f.cq.noops + f.cq.noops_elided, f.dropped, ooo, pid,
			q->rules.from[0] ? q->rules.from : "-");
	}
	text_end(out);
}

static void rules(const struct qp_obj *q, FILE *out)
{
	struct phca_rule_info r;

	for (unsigned int i = 0; phca_qp_rule_info(q->qp, i, &r) == 0; i++)
		fprintf(out, "  rule %u: %s: filter %s, offload %s, direction %s, matched %" PRIu64 "\n", i,
			r.name, r.filter[0] ? r.filter : "-", r.offload,
			r.send && r.inbound ? "both" : r.send ? "send" : "inbound", r.matched);
}

void text_qp(struct appliance *a, const struct qp_obj *q, FILE *out)
{
	int app = q->owner ? -1 : a->cfg->qps[q->conf].app;
	struct phca_hist stall;
	struct qp_figures f;
	char ooo[24];

	figures_qp(a, q, &f);
	text_title(out, "QP 0x%x (%s)", f.info.qpn, qp_obj_name(a, q));
	fprintf(out, "  type %s, state %s, port %u, %s, CQ %u, application %s\n",
		phca_qp_type_str(f.info.type), phca_qp_state_str(f.info.state), f.info.port,
		f.info.proxy ? "proxy QP" : "plain QP", f.info.recv_cqn,
		app >= 0 ? a->cfg->apps[app].name : "none");
	if (qp_obj_offload(a, q))
		fprintf(out, "  peer of offload %s\n", qp_obj_offload(a, q)->name);
	if (q->owner)
		fprintf(out, "  process %d (%s), user %s\n", (int)q->owner->pid, q->owner->exe, q->owner->user);
	if (f.info.proxy)
		fprintf(out, "  proxy QP by %s\n", q->rules.from);
	if (f.info.srqn != 0)
		fprintf(out, "  shared receive queue %u\n", f.info.srqn);
	text_qp_attr(q, f.info.type, out);
	text_qp_rate(q, out);
	text_counters(out, &counters_qp, &f.info.stats, true);
	fprintf(out, "  %-18s %20" PRIu64 " CQEs\n", "completed", f.cq.written);
	fprintf(out, "  %-18s %20" PRIu64 " packets\n", "dropped", f.dropped);
	order(ooo, sizeof(ooo), &f);
	fprintf(out, "  %-18s %20s completions\n", "out_of_order", ooo);
	if (f.info.proxy) {
		fprintf(out, "  -- in the proxy:\n");
		text_counters(out, &counters_pqp, &f.info.pqp, true);
		figures_stall(q, &stall);
		text_times(out, "stall", &stall, f.info.pqp.stall_ns_max);
		rules(q, out);
	}
	fprintf(out, "  -- verdicts of its packets:\n");
	text_verdicts(out, f.info.stats.verdict);
	text_end(out);
}

void text_cqs(struct appliance *a, FILE *out)
{
	text_title(out, "CQ statistics, %u completion queues", a->nb_qps);
	fprintf(out, "  %-6s %-8s %-6s %-8s %12s %12s %12s %10s %s\n", "CQ", "QPN", "owner", "capacity",
		"written", "no-ops", "elided", "lost", "state");
	for (unsigned int i = 0; i < a->nb_qps; i++) {
		struct qp_figures f;

		figures_qp(a, a->qps[i], &f);
		fprintf(out, "  %-6u 0x%-6x %-6s %-8u %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64
			" %s\n", f.cq.cqn, f.info.qpn, f.cq.proxy_owned ? "proxy" : "hca", f.cq.cqe,
			f.cq.written, f.cq.noops, f.cq.noops_elided, f.cq.lost,
			f.cq.overrun ? "OVERRUN" : "ok");
	}
	text_end(out);
}

void text_cq(struct appliance *a, const struct qp_obj *q, FILE *out)
{
	struct qp_figures f;

	figures_qp(a, q, &f);
	text_title(out, "CQ %u", f.cq.cqn);
	fprintf(out, "  QP 0x%x, client %s, capacity %u, written by the %s lcore, %s\n", f.info.qpn,
		f.cq.client, f.cq.cqe, f.cq.proxy_owned ? "proxy" : "HCA",
		f.cq.overrun ? "OVERRUN" : "ok");
	text_counters(out, &counters_cq, &f.cq, true);
	text_end(out);
}
