/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of connected queue pairs as text: the peer, sequence numbers, what RC waits for. */
#include <inttypes.h>

#include "figures.h"
#include "text.h"

static const char *access_str(uint32_t access, char buf[64])
{
	static const struct { uint32_t bit; const char *name; } words[] = {
		{ PHCA_ACCESS_REMOTE_WRITE, " remote_write" }, { PHCA_ACCESS_REMOTE_READ, " remote_read" },
		{ PHCA_ACCESS_REMOTE_ATOMIC, " remote_atomic" },
	};
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (access & words[i].bit && n < 64)
			n += (size_t)snprintf(buf + n, 64 - n, "%s", words[i].name);
	return n > 0 ? buf : " none";
}

/* 4.096 us x 2^n */
static void timeout_str(uint8_t timeout, char *buf, size_t len)
{
	if (timeout == 0)
		snprintf(buf, len, "none");
	else
		snprintf(buf, len, "%u (%.3f ms)", timeout, 4.096e-3 * (double)(1ull << timeout));
}

void text_qp_attr(const struct qp_obj *q, enum phca_qp_type type, FILE *out)
{
	struct phca_qp_attr attr;
	char text[64];

	if (phca_qp_query(q->qp, &attr) < 0 || type == PHCA_QPT_UD)
		return;
	fprintf(out, "  peer %s QP 0x%x, path MTU %u, access%s\n",
		phca_gid_str(attr.av.dgid, text), attr.dest_qpn, attr.path_mtu,
		access_str(attr.access, (char[64]){ 0 }));
	fprintf(out, "  PSN: next sent 0x%06x, next expected 0x%06x\n", attr.sq_psn.v, attr.rq_psn.v);
	if (type != PHCA_QPT_RC)
		return;
	timeout_str(attr.timeout, text, sizeof(text));
	fprintf(out, "  timeout %s, tries %u, RNR tries %u%s, RNR timer code %u, READs and atomics: %u own, "
		"%u of the peer\n", text, attr.retry_cnt, attr.rnr_retry, attr.rnr_retry == 7 ? " (for ever)" : "",
		attr.min_rnr_timer, attr.max_rd_atomic, attr.max_dest_rd_atomic);
}

static int srq_line(void *arg, struct phca_srq *srq)
{
	struct phca_srq_info i;

	phca_srq_info_get(srq, &i);
	fprintf(arg, "  %-6u %-16s %6u %10u %8u %8u %14" PRIu64 "\n", i.srqn, i.client, i.nb_qps, i.max_wr,
		i.max_sge, phca_srq_limit(srq), i.taken);
	return 0;
}

void text_srqs(struct appliance *a, FILE *out)
{
	text_title(out, "Shared receive queues");
	fprintf(out, "  %-6s %-16s %6s %10s %8s %8s %14s\n", "SRQ", "client", "QPs", "capacity", "max_sge",
		"limit", "taken");
	phca_srq_each(a->hca, srq_line, out);
	fprintf(out, "  limit: below so many receives an event comes; 0: not armed. taken: receives\n");
	text_end(out);
}
