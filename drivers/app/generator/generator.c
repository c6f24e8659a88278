/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generator: sends on its queue pairs as its settings say, measures, and checks
 * end to end: messages carry a pattern that a sink with "verify" knows, echoes,
 * READs and atomics are compared here.
 *
 * Each turn takes completions first, so that places are free, then goes on with
 * some queue pairs, in turn.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "phca_drivers.h"
#include "phca_wire.h"

#include "generator_impl.h"

#define BURST 64
#define QPS_A_TURN 64

static void consume(struct generator *g, const struct phca_wc *wc)
{
	int i = app_rx_find(&g->rx, wc->qp_num);
	struct app_rxq *rq;

	if (i < 0) {
		PHCA_STAT_ADD(g->strays, 1);
		return;
	}
	if (wc->wr_id & APP_ID_SEND) {
		gen_sent(g, &g->qps[i], wc);
		return;
	}
	rq = app_rx_of(&g->rx, (unsigned int)i);
	gen_received(g, &g->qps[i], wc, app_rxq_buf(rq, wc->wr_id));
	app_rxq_put(rq, wc->wr_id);
	app_rxq_fill(rq);
}

static unsigned int go_on(struct generator *g, struct gen_qp *q)
{
	const struct gen_conf *c = &g->conf;

	if (unlikely(q->held))
		return 0;
	if (q->state == GEN_ASK || q->state == GEN_ASKED)
		return g->enabled ? gen_ask(g, q) : 0;
	if (q->state != GEN_RUN)
		return 0;
	gen_overdue(g, q);
	if (c->messages != 0 && q->count == c->messages && q->tail == q->head && !q->finished) {
		q->finished = true;
		PHCA_STAT_ADD(g->finished, 1);
	}
	return gen_send(g, q);
}

static unsigned int poll_cqs(struct generator *g)
{
	struct phca_wc wc[BURST];
	unsigned int done = 0;

	for (unsigned int c = 0; c < g->rx.nb_cqs; c++) {
		int n = phca_poll_cq(g->rx.cqs[c], BURST, wc);

		for (int i = 0; i < n; i++)
			consume(g, &wc[i]);
		if (n > 0)
			done += (unsigned int)n;
	}
	return done;
}

static unsigned int gen_turn(struct phca_app *a, uint64_t now_ns)
{
	struct generator *g = phca_app_priv(a);
	unsigned int done;

	g->now_ns = now_ns;
	done = poll_cqs(g);
	for (unsigned int n = RTE_MIN(g->nb_qps, (unsigned int)QPS_A_TURN); n > 0; n--) {
		done += go_on(g, &g->qps[g->turn_at]);
		g->turn_at = g->turn_at + 1 < g->nb_qps ? g->turn_at + 1 : 0;
	}
	gen_window(g);
	return done;
}

static void gen_enable(struct phca_app *a, bool on)
{
	struct generator *g = phca_app_priv(a);

	if (on && !g->enabled) {
		g->due_from_ns = g->now_ns;
		g->due_sent = 0;
	}
	g->enabled = on;
}

/* Sends that nothing signaled covers end with the next ones: nobody waits for them. */
static uint64_t gen_in_flight(const struct phca_app *a)
{
	const struct generator *g = phca_app_priv(a);
	uint64_t all = PHCA_STAT_GET(g->under_way), uncovered = PHCA_STAT_GET(g->uncovered);

	return all > uncovered ? all - uncovered : 0;
}

static void begin(struct generator *g, struct gen_qp *q)
{
	q->random = g->conf.seed ^ q->qpn;
	q->state = !gen_needs_memory(&g->conf) ? GEN_RUN : GEN_ASK;
	if (q->state == GEN_ASK && g->conf.remote_len > 0)
		gen_remote_given(g, q);
}

static void gen_qp_hold(struct phca_app *a, uint32_t qpn)
{
	struct generator *g = phca_app_priv(a);
	int i = app_rx_find(&g->rx, qpn);

	if (i < 0)
		return;
	g->qps[i].held = true;
	app_rxq_hold(app_rx_of(&g->rx, (unsigned int)i));
}

static int gen_qp_reset(struct phca_app *a, uint32_t qpn)
{
	struct generator *g = phca_app_priv(a);
	int i = app_rx_find(&g->rx, qpn);
	struct gen_qp *q;

	if (i < 0)
		return -ENOENT;
	q = &g->qps[i];
	q->held = false;
	while (poll_cqs(g) > 0)
		;
	gen_stop(g, q, GEN_STOPPED);
	PHCA_STAT_ADD(g->stopped, (uint64_t)-1);
	if (q->finished)
		PHCA_STAT_ADD(g->finished, (uint64_t)-1);
	q->finished = false;
	memset(q->seq, 0, sizeof(q->seq));
	q->count = 0;
	begin(g, q);
	app_rxq_restart(app_rx_of(&g->rx, (unsigned int)i));
	return 0;
}

static void gen_fini(struct phca_app *a)
{
	struct generator *g = phca_app_priv(a);

	if (g->lkey != 0)
		phca_mr_dereg(g->tables, g->lkey);
	for (unsigned int i = 0; g->qps != NULL && i < g->nb_qps; i++) {
		free(g->qps[i].slot);
		free(g->qps[i].echoes);
	}
	app_rx_fini(&g->rx);
	free(g->qps);
	free(g->mem);
}

/* What needs the queue pairs to be known. */
static int check_qp(const struct generator *g, struct gen_qp *q, const char *name, char *err, size_t err_len)
{
	const struct gen_conf *c = &g->conf;
	struct phca_qp_info info;
	struct phca_qp_attr attr;
	const char *why = NULL;

	phca_qp_info_get(q->qp, &info);
	if (phca_qp_query(q->qp, &attr) != 0)
		return -EINVAL;
	q->qpn = info.qpn;
	q->type = info.type;
	q->own_rq = info.srqn == 0;
	if (q->type != PHCA_QPT_RC && c->weight[GEN_READ] + c->weight[GEN_CAS] + c->weight[GEN_FETCH_ADD] > 0)
		why = "only RC has READ and atomics; change operation";
	else if (q->type == PHCA_QPT_UD && gen_needs_memory(c))
		why = "UD has SEND only; change operation";
	else if (q->type == PHCA_QPT_UD && (!c->has_peer || (c->peer_qpn == 0 && !phca_gid_is_multicast(c->peer))))
		why = "UD needs to know where to; give peer and peer_qpn";
	else if (q->type == PHCA_QPT_UD && phca_av_to(q->qp, c->peer, &q->av) != 0)
		why = "the port has no address of the family of peer";
	else if (q->type == PHCA_QPT_UD && c->max_size > attr.path_mtu)
		why = "a datagram is one packet of the port's mtu at most; lower size";
	else if (q->type != PHCA_QPT_UD && attr.dest_qpn == 0)
		why = "it has no peer to send to; give peer and dest_qpn";
	if (why == NULL)
		return 0;
	snprintf(err, err_len, "app %s: qp 0x%x (%s): %s", name, q->qpn, phca_qp_type_str(q->type), why);
	return -EINVAL;
}

static int make_buffers(struct generator *g, const struct phca_app_conf *c)
{
	uint32_t places = rte_align32pow2(g->conf.depth);
	uint64_t each, total;

	g->mask = places - 1;
	g->stride = RTE_ALIGN(RTE_MAX(g->conf.max_size, (uint32_t)APP_ANSWER_LEN), 64u);
	each = (uint64_t)places * g->stride;
	total = 2 * each * g->nb_qps;
	g->mem = aligned_alloc(4096, RTE_ALIGN(total, (uint64_t)4096));
	if (g->mem == NULL)
		return -ENOMEM;
	memset(g->mem, 0, total);
	for (unsigned int i = 0; i < g->nb_qps; i++) {
		struct gen_qp *q = &g->qps[i];

		q->tx = g->mem + 2 * i * each;
		q->rx = q->tx + each;
		q->slot = calloc(places, sizeof(*q->slot));
		q->echoes = calloc(places, sizeof(*q->echoes));
		if (q->slot == NULL || q->echoes == NULL)
			return -ENOMEM;
	}
	return phca_mr_reg(c->mem, c->pd, g->mem, total, (uintptr_t)g->mem, PHCA_ACCESS_LOCAL_WRITE, &g->lkey);
}

static int gen_memory(struct generator *g, const struct phca_app_conf *c)
{
	uint32_t rx_len = RTE_MAX(g->conf.echo ? g->conf.max_size : 0, (uint32_t)APP_ANSWER_LEN) + PHCA_GRH_LEN;
	int ret = app_rx_init(&g->rx, c, rx_len, false);

	g->tables = c->mem;
	return ret != 0 ? ret : make_buffers(g, c);
}

static int gen_init(struct phca_app *a, const struct phca_setting_value *v, char *err, size_t err_len)
{
	const struct phca_app_conf *c = phca_app_conf(a);
	struct generator *g = phca_app_priv(a);
	int ret = gen_options(&g->conf, v, err, err_len);

	if (ret == 0 && c->nb_qps == 0) {
		snprintf(err, err_len, "app %s: no QPs; name it in \"app\" of at least one", c->name);
		ret = -EINVAL;
	}
	if (ret != 0)
		return ret;
	g->nb_qps = c->nb_qps;
	g->qps = calloc(c->nb_qps, sizeof(*g->qps));
	ret = g->qps != NULL ? gen_memory(g, c) : -ENOMEM;
	if (ret != 0)
		snprintf(err, err_len, "app %s: buffers of %u QPs, %u messages of %u bytes each: %s", c->name,
			c->nb_qps, g->conf.depth, g->conf.max_size, strerror(-ret));
	for (unsigned int i = 0; i < c->nb_qps && ret == 0; i++) {
		g->qps[i].qp = c->qps[i];
		ret = check_qp(g, &g->qps[i], c->name, err, err_len);
	}
	if (ret != 0) {
		gen_fini(a);
		return ret;
	}
	for (unsigned int i = 0; i < c->nb_qps; i++)
		begin(g, &g->qps[i]);
	for (unsigned int i = 0; i < g->rx.nb_q; i++)
		app_rxq_fill(&g->rx.q[i]);
	return 0;
}

static int gen_qp_out_of_order(const struct phca_app *a, uint32_t qpn, uint64_t *n)
{
	const struct generator *g = phca_app_priv(a);
	int i = app_rx_find(&g->rx, qpn);

	if (i < 0)
		return -ENOENT;
	*n = PHCA_STAT_GET(g->qps[i].out_of_order);
	return 0;
}

const struct phca_app_ops phca_app_generator = {
	.name = "generator",
	.help = "sends what its settings say, measures, checks what comes back",
	.settings = gen_settings,
	.priv_size = sizeof(struct generator),
	.init = gen_init,
	.fini = gen_fini,
	.turn = gen_turn,
	.show = gen_show,
	.gauges = gen_gauges,
	.enable = gen_enable,
	.in_flight = gen_in_flight,
	.clear = gen_clear,
	.qp_out_of_order = gen_qp_out_of_order,
	.qp_hold = gen_qp_hold,
	.qp_reset = gen_qp_reset,
};
