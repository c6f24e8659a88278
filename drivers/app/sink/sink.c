/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sink: keeps the receive queues of its QPs filled and throws away what arrives.
 *
 * It is the witness of the order promise. A receive work request's id is its
 * number in the QP's sequence, and the HCA takes them in the order of the
 * packets, so each completion must carry the id that follows the one before;
 * anything else is a violation. With seq_offset it also reads a number from the
 * payload, as the packet maker puts it there: it must rise within a QP. An
 * offloaded request leaves a gap there, never a step back; a step back to the
 * first number seen is a generator that started over.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "phca_hca.h"
#include "phca_drivers.h"

#define BURST 64
#define REPOST 16 /* receives posted together */
#define NO_SEQ UINT64_MAX

enum { SET_BUFFER_BYTES, SET_SHARED_BUFFER, SET_SEQ_OFFSET };

static const struct phca_setting settings[] = {
	{ "buffer_bytes", PHCA_SETTING_UINT, 0, 1u << 20, 0, NULL,
	  "bytes of each receive buffer; 0: 4136, the largest path MTU and the 40 bytes of GRH" },
	{ "shared_buffer", PHCA_SETTING_BOOL, 0, 1, 0, NULL,
	  "all receives of a QP use one buffer (for benchmarks: the payload is not looked at)" },
	{ "seq_offset", PHCA_SETTING_UINT, 0, NO_SEQ, NO_SEQ, NULL,
	  "offset in the payload, bytes, of a 32-bit big-endian number that must rise within a QP; "
	  "absent: not checked" },
	{ .name = NULL },
};

#define SINK_COUNTERS(X) \
	X(completions) X(bytes) X(errors) X(flushed) X(strays) X(violations) X(seq_violations) X(restarts)

struct sink_qp {
	struct phca_qp *qp;
	uint8_t *buf;
	uint32_t qpn, depth;
	uint32_t pending;     /* receives to post */
	uint32_t first_seq, last_seq;
	bool have_seq, stopped;
	uint64_t posted, expect; /* ids */
	uint64_t out_of_order;   /* of violations and seq_violations, its own */
};

struct sink {
	struct sink_qp *qps;
	unsigned int nb_qps, nb_cqs;
	struct phca_cq **cqs; /* each once */
	uint32_t *by_qpn;     /* index of a QP, by its number less base */
	uint32_t base, span;
	uint32_t buf_len, lkey;
	uint8_t *mem;
	bool shared;
	uint64_t seq_offset;
#define FIELD(f) uint64_t f;
	SINK_COUNTERS(FIELD)
#undef FIELD
};

static uint8_t *buf_of(const struct sink *s, const struct sink_qp *q, uint64_t id)
{
	return q->buf + (s->shared ? 0 : (id & (q->depth - 1)) * s->buf_len);
}

static void fill(struct sink *s, struct sink_qp *q)
{
	struct phca_sge sge[REPOST];
	struct phca_recv_wr wr[REPOST];

	while (q->pending > 0 && !q->stopped) {
		unsigned int n = RTE_MIN(q->pending, (uint32_t)REPOST);
		int got;

		for (unsigned int i = 0; i < n; i++) {
			sge[i].addr = (uintptr_t)buf_of(s, q, q->posted + i);
			sge[i].length = s->buf_len;
			sge[i].lkey = s->lkey;
			wr[i].wr_id = q->posted + i;
			wr[i].sge = &sge[i];
			wr[i].num_sge = 1;
		}
		got = phca_post_recv(q->qp, wr, n);
		if (got <= 0)
			break;
		q->posted += (unsigned int)got;
		q->pending -= (unsigned int)got;
	}
}

/* The numbers in the payload rise; they may skip, and start over at the first. */
static void check_seq(struct sink *s, struct sink_qp *q, const struct phca_wc *wc)
{
	uint64_t off = s->seq_offset + (wc->wc_flags & PHCA_WC_F_GRH ? PHCA_GRH_LEN : 0);
	uint32_t seq;

	if (wc->opcode != PHCA_WC_RECV || off + sizeof(seq) > wc->byte_len)
		return;
	seq = phca_get32(buf_of(s, q, wc->wr_id) + off);
	if (!q->have_seq) {
		q->have_seq = true;
		q->first_seq = seq;
	} else if (seq <= q->last_seq) {
		if (seq <= q->first_seq) {
			q->first_seq = seq;
			PHCA_STAT_ADD(s->restarts, 1);
		} else {
			PHCA_STAT_ADD(s->seq_violations, 1);
			PHCA_STAT_ADD(q->out_of_order, 1);
		}
	}
	q->last_seq = seq;
}

static void consume(struct sink *s, const struct phca_wc *wc)
{
	uint32_t i = wc->qp_num - s->base;
	struct sink_qp *q;

	if (i >= s->span || s->by_qpn[i] == UINT32_MAX) {
		PHCA_STAT_ADD(s->strays, 1); /* a completion that is nobody's */
		return;
	}
	q = &s->qps[s->by_qpn[i]];
	if (unlikely(wc->wr_id != q->expect)) {
		PHCA_STAT_ADD(s->violations, 1);
		PHCA_STAT_ADD(q->out_of_order, 1);
	}
	q->expect = wc->wr_id + 1;
	q->pending++;
	if (unlikely(wc->status != PHCA_WC_SUCCESS)) {
		if (wc->status == PHCA_WC_WR_FLUSH_ERR)
			PHCA_STAT_ADD(s->flushed, 1);
		else
			PHCA_STAT_ADD(s->errors, 1);
		q->stopped = true; /* the QP is in error: what is posted would only flush */
		return;
	}
	if (s->seq_offset != NO_SEQ)
		check_seq(s, q, wc);
	PHCA_STAT_ADD(s->bytes, wc->byte_len);
	if (q->pending >= REPOST)
		fill(s, q);
}

static unsigned int sink_turn(struct phca_app *a, uint64_t now_ns)
{
	struct sink *s = phca_app_priv(a);
	unsigned int done = 0;
	struct phca_wc wc[BURST];

	(void)now_ns;
	for (unsigned int c = 0; c < s->nb_cqs; c++) {
		int n = phca_poll_cq(s->cqs[c], BURST, wc);

		for (int i = 0; i < n; i++)
			consume(s, &wc[i]);
		if (n > 0)
			done += (unsigned int)n;
	}
	if (done > 0) {
		PHCA_STAT_ADD(s->completions, done);
	} else {
		for (unsigned int i = 0; i < s->nb_qps; i++)
			if (s->qps[i].pending > 0)
				fill(s, &s->qps[i]);
	}
	return done;
}

static int index_qps(struct sink *s, const struct phca_app_conf *c)
{
	uint32_t lo = UINT32_MAX, hi = 0;

	for (unsigned int i = 0; i < c->nb_qps; i++) {
		lo = RTE_MIN(lo, phca_qp_num(c->qps[i]));
		hi = RTE_MAX(hi, phca_qp_num(c->qps[i]));
	}
	s->base = lo;
	s->span = hi - lo + 1;
	s->by_qpn = malloc(s->span * sizeof(*s->by_qpn));
	s->cqs = calloc(c->nb_qps, sizeof(*s->cqs));
	if (s->by_qpn == NULL || s->cqs == NULL)
		return -ENOMEM;
	memset(s->by_qpn, 0xff, s->span * sizeof(*s->by_qpn));
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		unsigned int j = 0;

		s->by_qpn[phca_qp_num(c->qps[i]) - lo] = i;
		while (j < s->nb_cqs && s->cqs[j] != c->cqs[i])
			j++;
		if (j == s->nb_cqs)
			s->cqs[s->nb_cqs++] = c->cqs[i];
	}
	return 0;
}

static void sink_fini(struct phca_app *a)
{
	struct sink *s = phca_app_priv(a);

	if (s->lkey != 0)
		phca_mr_dereg(phca_app_conf(a)->mem, s->lkey);
	free(s->by_qpn);
	free(s->cqs);
	free(s->qps);
	free(s->mem);
}

static int sink_memory(struct sink *s, const struct phca_app_conf *c)
{
	uint64_t total = 0;
	uint8_t *p;

	for (unsigned int i = 0; i < c->nb_qps; i++)
		total += (uint64_t)s->buf_len * (s->shared ? 1 : rte_align32pow2(c->depths[i]));
	s->mem = aligned_alloc(4096, RTE_ALIGN(total, (uint64_t)4096));
	s->qps = calloc(c->nb_qps, sizeof(*s->qps));
	if (s->mem == NULL || s->qps == NULL)
		return -ENOMEM;
	memset(s->mem, 0, total);
	p = s->mem;
	for (unsigned int i = 0; i < c->nb_qps; i++) {
		struct sink_qp *q = &s->qps[i];

		*q = (struct sink_qp){
			.qp = c->qps[i], .qpn = phca_qp_num(c->qps[i]), .buf = p,
			.depth = rte_align32pow2(c->depths[i]), .pending = c->depths[i],
		};
		p += (uint64_t)s->buf_len * (s->shared ? 1 : q->depth);
	}
	return phca_mr_reg(c->mem, c->pd, s->mem, total, (uintptr_t)s->mem, PHCA_ACCESS_LOCAL_WRITE, &s->lkey);
}

static int sink_init(struct phca_app *a, const struct phca_setting_value *v, char *err, size_t err_len)
{
	const struct phca_app_conf *c = phca_app_conf(a);
	struct sink *s = phca_app_priv(a);
	int ret;

	if (c->nb_qps == 0) {
		snprintf(err, err_len, "app %s: no QPs; name it in \"app\" of at least one", c->name);
		return -EINVAL;
	}
	s->nb_qps = c->nb_qps;
	s->buf_len = v[SET_BUFFER_BYTES].u ? (uint32_t)v[SET_BUFFER_BYTES].u : PHCA_MTU_MAX + PHCA_GRH_LEN;
	s->shared = v[SET_SHARED_BUFFER].u;
	s->seq_offset = v[SET_SEQ_OFFSET].u;
	if (s->shared && s->seq_offset != NO_SEQ) {
		snprintf(err, err_len, "app %s: seq_offset reads buffers, which shared_buffer "
			"overwrites; drop one", c->name);
		return -EINVAL;
	}
	ret = index_qps(s, c);
	if (ret == 0)
		ret = sink_memory(s, c);
	if (ret != 0) {
		snprintf(err, err_len, "app %s: %u QPs with buffers of %u bytes: %s", c->name, c->nb_qps,
			s->buf_len, strerror(-ret));
		sink_fini(a);
		return ret;
	}
	for (unsigned int i = 0; i < s->nb_qps; i++)
		fill(s, &s->qps[i]);
	return 0;
}

static int sink_show(const struct phca_app *a, int (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct sink *s = phca_app_priv(a);
	int ret;

#define EMIT(f) \
	ret = emit(arg, #f, PHCA_STAT_GET(s->f)); \
	if (ret != 0) \
		return ret;
	SINK_COUNTERS(EMIT)
#undef EMIT
	return 0;
}

static int sink_qp_out_of_order(const struct phca_app *a, uint32_t qpn, uint64_t *n)
{
	const struct sink *s = phca_app_priv(a);
	uint32_t i = qpn - s->base;

	if (i >= s->span || s->by_qpn[i] == UINT32_MAX)
		return -ENOENT;
	*n = PHCA_STAT_GET(s->qps[s->by_qpn[i]].out_of_order);
	return 0;
}

const struct phca_app_ops phca_app_sink = {
	.name = "sink",
	.help = "receives and discards; counts completions out of order",
	.settings = settings,
	.priv_size = sizeof(struct sink),
	.init = sink_init,
	.fini = sink_fini,
	.turn = sink_turn,
	.show = sink_show,
	.qp_out_of_order = sink_qp_out_of_order,
};
