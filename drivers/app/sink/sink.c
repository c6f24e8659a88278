/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sink: keeps the receive queues of its QPs filled and throws away what arrives.
 *
 * It is the witness of the order promise. A receive work request has a number in
 * its queue, and the HCA takes them in the order of the packets, so each
 * completion must carry the number that follows the one before (of a shared
 * receive queue: a greater one than the QP's last); anything else is a
 * violation. With verify it also checks every byte of a generator's messages,
 * and their numbers. With seq_offset it reads a number from the payload, as the
 * packet maker puts it there: it must rise within a QP. An offloaded request
 * leaves a gap there, never a step back; a step back to the first number seen is
 * a generator that started over.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "phca_drivers.h"
#include "phca_wire.h"
#include "target.h"

#define BURST 64
#define REPOST 16 /* receives posted together */
#define NO_SEQ UINT64_MAX
#define SOURCES 8 /* generators that one UD QP can tell apart */

enum { SET_BUFFER_BYTES, SET_SHARED_BUFFER, SET_SEQ_OFFSET, SET_VERIFY, SET_SEED, SET_MEMORY_BYTES,
	SET_MEMORY_IOVA };

static const struct phca_setting settings[] = {
	{ "buffer_bytes", PHCA_SETTING_UINT, 0, 1u << 30, 0, NULL,
	  "bytes of each receive buffer; 0: 4136, the largest path MTU and the 40 bytes of GRH" },
	{ "shared_buffer", PHCA_SETTING_BOOL, 0, 1, 0, NULL,
	  "all receives of a QP use one buffer (for benchmarks: the payload is not looked at)" },
	{ "seq_offset", PHCA_SETTING_UINT, 0, NO_SEQ, NO_SEQ, NULL,
	  "offset in the payload, bytes, of a 32-bit big-endian number that must rise within a QP; "
	  "absent: not checked" },
	{ "verify", PHCA_SETTING_BOOL, 0, 1, 0, NULL, "check every byte of a generator's messages, and their order" },
	{ "seed", PHCA_SETTING_UINT, 0, INT64_MAX, 1, NULL, "seed of the generator" },
	{ "memory_bytes", PHCA_SETTING_UINT, 0, 1ull << 34, 0, NULL,
	  "memory for WRITE, READ and atomics of the peer, bytes for each QP; 0: none" },
	{ "memory_iova", PHCA_SETTING_UINT, 0, INT64_MAX, 0, NULL,
	  "address of that memory as peers name it; 0: where it is" },
	{ .name = NULL },
};

#define SINK_COUNTERS(X) \
	X(completions) X(bytes) X(errors) X(flushed) X(strays) X(violations) X(seq_violations) X(restarts) \
	X(verified) X(mismatches) X(missing) X(out_of_order)

/* Whose messages arrive, and what the next ones are. */
struct source {
	uint32_t stream; /* the generator's QP number; 0: not used */
	uint64_t next[APP_KIND_COUNT];
};

struct sink_qp {
	uint32_t first_seq, last_seq;
	bool have_seq;
	uint64_t expect;         /* number of the next completion's receive */
	uint64_t out_of_order;   /* of violations and seq_violations, its own */
	uint32_t dest_qpn;       /* RC, UC: the peer */
	struct source source[SOURCES];
};

struct sink {
	struct app_rx rx;
	struct app_target target;
	struct sink_qp *qps;
	bool verify;
	uint64_t seed, seq_offset;
#define FIELD(f) uint64_t f;
	SINK_COUNTERS(FIELD)
#undef FIELD
};

/* The numbers in the payload rise; they may skip, and start over at the first. */
static void check_seq(struct sink *s, struct sink_qp *q, const uint8_t *payload, uint32_t len)
{
	uint32_t seq;

	if (s->seq_offset > len || len - s->seq_offset < sizeof(seq))
		return;
	seq = phca_get32(payload + s->seq_offset);
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

static struct source *source_of(struct sink_qp *q, uint32_t stream)
{
	for (unsigned int i = 0; i < SOURCES; i++) {
		if (q->source[i].stream == stream)
			return &q->source[i];
		if (q->source[i].stream == 0) {
			q->source[i].stream = stream;
			return &q->source[i];
		}
	}
	return NULL;
}

/* A generator's message: its number, and all its bytes. */
static void verify(struct sink *s, struct sink_qp *q, uint32_t stream, enum app_kind kind, const uint8_t *payload,
		uint32_t len)
{
	struct source *from = source_of(q, stream);
	uint64_t seq;

	if (from == NULL)
		return; /* one too many to follow; counted neither as verified nor as wrong */
	seq = app_message_seq(payload, len, from->next[kind]);
	PHCA_STAT_ADD(s->verified, 1);
	if (unlikely(!app_message_is(payload, len, s->seed, stream, kind, seq)))
		PHCA_STAT_ADD(s->mismatches, 1);
	if (seq == from->next[kind]) {
		from->next[kind]++;
	} else if (seq > from->next[kind]) {
		PHCA_STAT_ADD(s->missing, seq - from->next[kind]);
		from->next[kind] = seq + 1;
	} else if (seq == 0 && len >= 8) {
		PHCA_STAT_ADD(s->restarts, 1);
		from->next[kind] = 1;
	} else {
		PHCA_STAT_ADD(s->out_of_order, 1);
		PHCA_STAT_ADD(q->out_of_order, 1);
	}
}

static void received(struct sink *s, unsigned int i, const struct phca_wc *wc, const uint8_t *buf)
{
	struct sink_qp *q = &s->qps[i];
	bool grh = wc->wc_flags & PHCA_WC_F_GRH;
	const uint8_t *payload = buf + (grh ? PHCA_GRH_LEN : 0);
	uint32_t len = wc->byte_len - (grh ? PHCA_GRH_LEN : 0);

	if (app_target_asked(payload, len)) {
		app_target_answer(&s->target, i, payload);
		return;
	}
	if (s->seq_offset != NO_SEQ)
		check_seq(s, q, payload, len);
	if (s->verify)
		verify(s, q, grh ? wc->src_qp : q->dest_qpn, APP_KIND_SEND, payload, len);
}

/* WRITE with immediate: the data is in the write area, at the unit that the immediate says. */
static void written(struct sink *s, unsigned int i, const struct phca_wc *wc)
{
	uint64_t len, at = (uint64_t)rte_be_to_cpu_32(wc->imm) * APP_MEM_UNIT;
	const uint8_t *area = app_target_written(&s->target, i, &len);

	if (!s->verify)
		return;
	if (at > len || wc->byte_len > len - at)
		PHCA_STAT_ADD(s->mismatches, 1);
	else
		verify(s, &s->qps[i], s->qps[i].dest_qpn, APP_KIND_WRITE_IMM, area + at, wc->byte_len);
}

static void consume(struct sink *s, const struct phca_wc *wc)
{
	int i = app_rx_find(&s->rx, wc->qp_num);
	struct app_rxq *rq;
	struct sink_qp *q;
	uint64_t number = app_rxq_number(wc->wr_id);

	if (i < 0 || wc->wr_id & APP_ID_SEND) {
		/* of somebody else, or an answer that failed: its QP is in error */
		PHCA_STAT_ADD(s->strays, i < 0);
		PHCA_STAT_ADD(s->errors, i >= 0 && wc->status != PHCA_WC_WR_FLUSH_ERR);
		return;
	}
	q = &s->qps[i];
	rq = app_rx_of(&s->rx, (unsigned int)i);
	if (unlikely(rq->srq != NULL ? number < q->expect : number != q->expect)) {
		PHCA_STAT_ADD(s->violations, 1);
		PHCA_STAT_ADD(q->out_of_order, 1);
	}
	q->expect = number + 1;
	if (unlikely(wc->status != PHCA_WC_SUCCESS)) {
		if (wc->status == PHCA_WC_WR_FLUSH_ERR)
			PHCA_STAT_ADD(s->flushed, 1);
		else
			PHCA_STAT_ADD(s->errors, 1);
		rq->stopped |= rq->srq == NULL; /* the QP is in error: what is posted would only flush */
	} else {
		if (wc->opcode == PHCA_WC_RECV)
			received(s, (unsigned int)i, wc, app_rxq_buf(rq, wc->wr_id));
		else
			written(s, (unsigned int)i, wc);
		PHCA_STAT_ADD(s->bytes, wc->byte_len);
	}
	app_rxq_put(rq, wc->wr_id);
	if (rq->nb_free >= REPOST)
		app_rxq_fill(rq);
}

static unsigned int sink_turn(struct phca_app *a, uint64_t now_ns)
{
	struct sink *s = phca_app_priv(a);
	unsigned int done = 0;
	struct phca_wc wc[BURST];

	(void)now_ns;
	for (unsigned int c = 0; c < s->rx.nb_cqs; c++) {
		int n = phca_poll_cq(s->rx.cqs[c], BURST, wc);

		for (int i = 0; i < n; i++)
			consume(s, &wc[i]);
		if (n > 0)
			done += (unsigned int)n;
	}
	if (done > 0) {
		PHCA_STAT_ADD(s->completions, done);
	} else {
		for (unsigned int i = 0; i < s->rx.nb_q; i++)
			if (s->rx.q[i].nb_free > 0)
				app_rxq_fill(&s->rx.q[i]);
	}
	return done + app_target_turn(&s->target);
}

static void sink_qp_hold(struct phca_app *a, uint32_t qpn)
{
	struct sink *s = phca_app_priv(a);
	int i = app_rx_find(&s->rx, qpn);

	if (i >= 0)
		app_rxq_hold(app_rx_of(&s->rx, (unsigned int)i));
}

/* Its old completions are taken: none of another QP are in its CQ, or they are consumed here. */
static int sink_qp_reset(struct phca_app *a, uint32_t qpn)
{
	struct sink *s = phca_app_priv(a);
	int i = app_rx_find(&s->rx, qpn);
	struct app_rxq *rq;

	if (i < 0)
		return -ENOENT;
	while (sink_turn(a, 0) > 0)
		;
	rq = app_rx_of(&s->rx, (unsigned int)i);
	s->qps[i].expect = rq->next;
	s->qps[i].have_seq = false;
	memset(s->qps[i].source, 0, sizeof(s->qps[i].source));
	app_rxq_restart(rq);
	return 0;
}

static void sink_fini(struct phca_app *a)
{
	struct sink *s = phca_app_priv(a);

	app_target_fini(&s->target);
	app_rx_fini(&s->rx);
	free(s->qps);
}

static int sink_memory(struct sink *s, const struct phca_app_conf *c, const struct phca_setting_value *v)
{
	uint32_t buf_len = v[SET_BUFFER_BYTES].u ? (uint32_t)v[SET_BUFFER_BYTES].u : PHCA_MTU_MAX + PHCA_GRH_LEN;
	int ret = app_rx_init(&s->rx, c, buf_len, v[SET_SHARED_BUFFER].u);

	s->qps = calloc(c->nb_qps, sizeof(*s->qps));
	if (s->qps == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->nb_qps && ret == 0; i++) {
		struct phca_qp_attr attr;

		ret = phca_qp_query(c->qps[i], &attr);
		s->qps[i].dest_qpn = attr.dest_qpn;
		s->qps[i].expect = app_rx_of(&s->rx, i)->next;
	}
	return ret != 0 ? ret : app_target_init(&s->target, c, &s->rx, v[SET_MEMORY_BYTES].u, v[SET_MEMORY_IOVA].u,
		s->seed);
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
	s->seq_offset = v[SET_SEQ_OFFSET].u;
	s->verify = v[SET_VERIFY].u;
	s->seed = v[SET_SEED].u;
	if (v[SET_SHARED_BUFFER].u && (s->verify || s->seq_offset != NO_SEQ)) {
		snprintf(err, err_len, "app %s: %s reads buffers, which shared_buffer "
			"overwrites; drop one", c->name, s->verify ? "verify" : "seq_offset");
		return -EINVAL;
	}
	ret = sink_memory(s, c, v);
	if (ret != 0) {
		snprintf(err, err_len, "app %s: buffers and memory of %u QPs: %s", c->name, c->nb_qps,
			strerror(-ret));
		sink_fini(a);
		return ret;
	}
	for (unsigned int i = 0; i < s->rx.nb_q; i++)
		app_rxq_fill(&s->rx.q[i]);
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
	return emit(arg, "memory_answers", PHCA_STAT_GET(s->target.answered));
}

static int sink_qp_out_of_order(const struct phca_app *a, uint32_t qpn, uint64_t *n)
{
	const struct sink *s = phca_app_priv(a);
	int i = app_rx_find(&s->rx, qpn);

	if (i < 0)
		return -ENOENT;
	*n = PHCA_STAT_GET(s->qps[i].out_of_order);
	return 0;
}

const struct phca_app_ops phca_app_sink = {
	.name = "sink",
	.help = "receives and discards; counts completions out of order, checks a generator's messages",
	.settings = settings,
	.priv_size = sizeof(struct sink),
	.init = sink_init,
	.fini = sink_fini,
	.turn = sink_turn,
	.show = sink_show,
	.qp_out_of_order = sink_qp_out_of_order,
	.qp_hold = sink_qp_hold,
	.qp_reset = sink_qp_reset,
};
