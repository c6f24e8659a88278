/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A proxy QP's memory, made and freed by control threads.
 *
 * Invariant: there are as many requests as places, so that a request whose
 * place is free always finds one.
 */
#include <errno.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "proxy_impl.h"

static int conf_check(const struct phca_proxy *p, const struct phca_pqp_conf *conf)
{
	if (conf->nb_rules > PHCA_PROXY_RULE_MAX || conf->nb_tags > PHCA_PROXY_TAG_MAX)
		return -EINVAL;
	if (conf->chan == NULL || conf->chan->proxy != p)
		return -EINVAL;
	for (unsigned int i = 0; i < conf->nb_rules; i++)
		if (conf->offloads[i] == NULL)
			return -EINVAL;
	for (int d = 0; d < PHCA_DIR_COUNT; d++)
		if (!rte_is_power_of_2(conf->window[d]) || conf->window[d] < PHCA_WINDOW_MIN ||
				conf->window[d] > PHCA_WINDOW_MAX || conf->cq[d] == NULL)
			return -EINVAL;
	return 0;
}

static void windows_init(struct phca_pqp *q, const struct phca_pqp_conf *conf,
		struct place *places, struct phca_offload_req *reqs, uint64_t *ready)
{
	uint32_t nb_reqs = conf->window[0] + conf->window[1];

	for (uint8_t d = 0; d < PHCA_DIR_COUNT; d++) {
		q->win[d].dir = d;
		q->win[d].mask = conf->window[d] - 1;
		q->win[d].cq = conf->cq[d];
		q->win[d].places = places;
		q->win[d].ready_ns = ready;
		places += conf->window[d];
		ready += conf->window[d];
	}
	for (uint32_t i = 0; i < nb_reqs; i++) {
		reqs[i].pqp = q;
		reqs[i].qpn = q->qpn;
		reqs[i].next = i + 1 < nb_reqs ? &reqs[i + 1] : NULL;
	}
	q->free_reqs = reqs;
}

void phca_pqp_rules_get(const struct phca_pqp_rules *r)
{
	for (unsigned int i = 0; i < RTE_DIM(r->offloads); i++)
		if (r->offloads[i] != NULL)
			phca_offload_get(r->offloads[i]);
}

void phca_pqp_rules_put(const struct phca_pqp_rules *r)
{
	for (unsigned int i = 0; i < RTE_DIM(r->offloads); i++)
		if (r->offloads[i] != NULL)
			__atomic_fetch_sub(&r->offloads[i]->users, 1, __ATOMIC_ACQ_REL);
}

struct phca_pqp *phca_pqp_create(struct phca_proxy *p, const struct phca_pqp_conf *conf)
{
	size_t places, ready, len;
	struct phca_pqp *q;

	if (conf_check(p, conf) != 0) {
		rte_errno = EINVAL;
		return NULL;
	}
	places = (size_t)conf->window[0] + conf->window[1];
	ready = sizeof(*q) + places * (sizeof(struct place) + sizeof(struct phca_offload_req));
	len = ready + places * sizeof(uint64_t) + conf->nb_tags * sizeof(struct answer);
	q = rte_zmalloc(NULL, len, RTE_CACHE_LINE_SIZE);
	if (q == NULL) {
		LOG(ERR, "qp 0x%x: no memory for windows of %u and %u places (%zu bytes)\n",
			conf->qpn, conf->window[0], conf->window[1], len);
		rte_errno = ENOMEM;
		return NULL;
	}
	q->proxy = p;
	q->chan = conf->chan;
	q->cookie = conf->cookie;
	q->qpn = conf->qpn;
	q->pd = conf->pd;
	q->nb_tags = conf->nb_tags;
	q->transport = conf->transport;
	windows_init(q, conf, RTE_PTR_ADD(q, sizeof(*q)),
		RTE_PTR_ADD(q, sizeof(*q) + places * sizeof(struct place)), RTE_PTR_ADD(q, ready));
	q->answers = RTE_PTR_ADD(q, len - conf->nb_tags * sizeof(struct answer));
	for (unsigned int i = 0; i < conf->nb_rules; i++)
		q->rules.offloads[i] = conf->offloads[i];
	phca_pqp_rules_get(&q->rules);
	return q;
}

void phca_pqp_destroy(struct phca_pqp *q)
{
	if (q == NULL)
		return;
	peer_forget(q);
	phca_pqp_rules_put(&q->rules);
	rte_free(q);
}

void phca_pqp_stats_get(const struct phca_pqp *q, struct phca_pqp_stats *st)
{
#define GET(f, u, h) st->f = PHCA_STAT_GET(q->c.f);
	PHCA_PQP_COUNTERS(GET)
#undef GET
	for (int d = 0; d < PHCA_DIR_COUNT; d++)
		st->waiting[d] = PHCA_STAT_GET(q->win[d].busy);
}

void phca_pqp_stall_get(const struct phca_pqp *q, struct phca_hist *sum)
{
	phca_hist_merge(sum, &q->stall);
}
