/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules of a proxy QP, and how they are replaced while it runs.
 *
 * The HCA lcore puts the new list in the place of the old one between two turns and
 * tells the proxy in the channel, behind the last message that names a rule of the
 * old list. A request begins under one list whole; what the proxy has keeps its
 * offload. Of an inbound message that is half received, the offload goes on as the
 * rule behind the last one of the new list, which no filter can name.
 *
 * Invariant: the offloads of a list are counted as used until the proxy can find it
 * no more: for the old list, until the FENCE behind the new one is answered.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "hca_impl.h"

/* A list on its way to the proxy, then the old one on its way back. */
struct rules_change {
	uint32_t fenced;              /* the proxy has taken it; written by the HCA lcore */
	struct phca_pqp_rules offloads;
};

struct change_arg {
	struct phca_qp *qp;
	struct rule *rules;           /* new; then old */
	unsigned int n;
};

int rules_make(const struct phca_rule *rules, unsigned int n, struct rule **out)
{
	size_t bytes = RTE_ALIGN((n + 1) * sizeof(struct rule), (size_t)RTE_CACHE_LINE_SIZE); /* one more: see above */
	struct rule *to = aligned_alloc(RTE_CACHE_LINE_SIZE, bytes); /* read for every request: on lines of its own */

	*out = to;
	if (to == NULL)
		return -ENOMEM;
	memset(to, 0, bytes);
	for (unsigned int i = 0; i < n; i++) {
		if (rules[i].offload == NULL)
			return -EINVAL;
		to[i].filter = rules[i].filter;
		to[i].offload = rules[i].offload;
		to[i].send = rules[i].send;
		to[i].inbound = rules[i].inbound;
		to[i].ordered = (uint8_t)phca_offload_ordered(rules[i].offload);
		if (to[i].filter == NULL) /* an offload's own queue pair: nobody is there to receive what is passed */
			to[i].ordered &= (uint8_t)~(1u << PHCA_DIR_RECV);
		snprintf(to[i].name, sizeof(to[i].name), "%s", rules[i].name ? rules[i].name : "");
	}
	return 0;
}

/* A rule that stays goes on counting. */
static void counts_keep(const struct change_arg *a)
{
	const struct phca_qp *qp = a->qp;

	for (unsigned int i = 0; i < a->n; i++) {
		struct rule *to = &a->rules[i];

		for (unsigned int k = 0; k < qp->nb_rules; k++)
			if (qp->rules[k].filter == to->filter && qp->rules[k].offload == to->offload &&
			    strcmp(qp->rules[k].name, to->name) == 0)
				to->matched = qp->rules[k].matched;
	}
}

/* The decision on a message holds for all of it. */
static void message_keep(const struct change_arg *a, struct phca_pqp_rules *offloads)
{
	struct responder *r = &a->qp->resp;
	struct rule *kept = &a->rules[a->n];

	if (!r->offload || r->held == 0) {
		r->offload = false;
		return;
	}
	if (r->rule == PHCA_PMSG_RULE_PASS)
		return;
	kept->offload = offloads->offloads[a->n] = a->qp->rules[r->rule].offload;
	kept->ordered = a->qp->rules[r->rule].ordered;
	phca_offload_get(kept->offload);
	r->rule = (uint8_t)a->n;
}

/* HCA lcore. @return 0; -EAGAIN no room */
static int change(void *arg)
{
	struct change_arg *a = arg;
	struct phca_qp *qp = a->qp;
	struct rule *old = qp->rules;
	struct phca_pmsg *pm;

	px_begin(qp->px);
	if (qp->px->pm_room < 2)
		return -EAGAIN;
	counts_keep(a);
	message_keep(a, &qp->change->offloads);
	qp->rules = a->rules;
	qp->nb_rules = (uint8_t)a->n;
	a->rules = old;
	sq_classify_again(shard_of(qp), qp);
	pm = proxy_msg(qp->px);
	*pm = (struct phca_pmsg){ .kind = PHCA_PMSG_RULES, .pqp = qp->pqp, .rules = &qp->change->offloads };
	pm = proxy_msg(qp->px);
	*pm = (struct phca_pmsg){ .kind = PHCA_PMSG_FENCE, .cookie = &qp->change->fenced };
	px_flush(qp->px);
	return 0;
}

static bool changed(struct phca_qp *qp)
{
	return __atomic_load_n(&qp->change->fenced, __ATOMIC_ACQUIRE);
}

/* Control thread, when the proxy has taken the change, or has let go of the queue pair. */
void rules_change_end(struct phca_qp *qp)
{
	if (qp->change == NULL)
		return;
	phca_pqp_rules_put(&qp->change->offloads);
	free(qp->change);
	qp->change = NULL;
}

/* Wait for the change that is on its way. @return 0; -EBUSY: it still is */
static int change_wait(struct phca_qp *qp)
{
	int ret = qp->change != NULL ? qp_wait_until(qp, changed) : 0;

	if (ret == 0)
		rules_change_end(qp);
	return ret;
}

static int check(const struct phca_qp *qp, const struct phca_rule *rules, unsigned int n)
{
	if (!qp->proxy || n > PHCA_PROXY_RULE_MAX)
		return -EINVAL;
	if (qp->dead || qp->leaving)
		return -EBUSY;
	for (unsigned int i = 0; i < n; i++) {
		if (rules[i].offload == NULL)
			return -EINVAL;
		if (phca_offload_proxy(rules[i].offload) != qp->px->proxy)
			return -EXDEV;
	}
	return 0;
}

int phca_qp_proxy_rules_set(struct phca_qp *qp, const struct phca_rule *rules, unsigned int n)
{
	struct change_arg a = { .qp = qp, .n = n };
	int ret = check(qp, rules, n);

	if (ret == 0)
		ret = change_wait(qp);
	if (ret != 0)
		return ret;
	qp->change = calloc(1, sizeof(*qp->change));
	ret = rules_make(rules, n, &a.rules);
	if (ret != 0 || qp->change == NULL) {
		free(a.rules);
		free(qp->change);
		qp->change = NULL;
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < n; i++)
		qp->change->offloads.offloads[i] = rules[i].offload;
	phca_pqp_rules_get(&qp->change->offloads);
	qp_call_until_room(qp, change, &a);
	free(a.rules);
	change_wait(qp); /* else it ends with the next one, or with the queue pair */
	return 0;
}
