/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events of objects: from the HCA lcore on which something happens to the control
 * thread that asks.
 *
 * What happened is kept at the object, a bit for each kind; a shard's list only says at
 * which objects to look. So no event is lost, whoever has how many: there is no room to
 * run out of. One of a kind that is due already is that one.
 *
 * Invariant: an object is on a list, its shard's or then the control thread's, exactly
 * while one of its bits is set. The HCA lcore sets bits, and puts the object on the list
 * with the first; the control thread clears them, and takes it off before the last.
 */
#include <rte_common.h>

#include "hca_impl.h"

_Static_assert(PHCA_EVENT_COUNT <= 32, "bits of event_due.kinds");

/* Of one object: as they follow each other in its life. */
static const uint8_t order[] = {
	PHCA_EVENT_COMM_EST, PHCA_EVENT_SQ_DRAINED, PHCA_EVENT_SQ_ERR, PHCA_EVENT_QP_REQ_ERR, PHCA_EVENT_QP_ACCESS_ERR,
	PHCA_EVENT_OFFLOAD_FAILED, PHCA_EVENT_QP_FATAL, PHCA_EVENT_LAST_WQE, PHCA_EVENT_CQ_ERR, PHCA_EVENT_SRQ_LIMIT,
	PHCA_EVENT_SRQ_ERR, PHCA_EVENT_CLIENT_FATAL,
};

/* HCA lcore, the object's. */
void hca_event(struct shard *h, struct event_due *d, enum phca_event_type type, uint32_t status)
{
	uint32_t bit = 1u << type;

	if (__atomic_load_n(&d->kinds, __ATOMIC_ACQUIRE) & bit) {
		PHCA_STAT_ADD(h->events_merged, 1);
		return;
	}
	d->status[type] = (uint8_t)status;
	if (__atomic_fetch_or(&d->kinds, bit, __ATOMIC_ACQ_REL) != 0)
		return;
	d->below = __atomic_load_n(&h->due, __ATOMIC_RELAXED);
	/* who takes them takes all, so what was on top is there or nothing is */
	while (!__atomic_compare_exchange_n(&h->due, &d->below, d, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

/* Control thread: what is on the shards' lists, oldest first, behind what is on its own. */
static void collect(struct phca_hca *hca)
{
	for (unsigned int i = 0; i < hca->nb_shards; i++) {
		struct event_due *top = __atomic_exchange_n(&hca->shards[i]->due, NULL, __ATOMIC_ACQUIRE);
		struct event_due *newest = TAILQ_LAST(&hca->due, event_list);

		for (; top != NULL; top = top->below) {
			if (newest != NULL)
				TAILQ_INSERT_AFTER(&hca->due, newest, top, listed);
			else
				TAILQ_INSERT_HEAD(&hca->due, top, listed);
		}
	}
}

/* Control thread: the first event of the first object. */
static void take(struct phca_hca *hca, struct event_due *d, struct phca_event *ev)
{
	uint32_t kinds = __atomic_load_n(&d->kinds, __ATOMIC_ACQUIRE), bit;
	unsigned int i = 0;

	while (i < RTE_DIM(order) - 1 && !(kinds & 1u << order[i]))
		i++;
	*ev = (struct phca_event){ .type = order[i], .status = d->status[order[i]], .num = d->num,
		.client = d->client };
	bit = 1u << order[i];
	TAILQ_REMOVE(&hca->due, d, listed); /* with the last bit it is the lcore's to list again */
	if (__atomic_fetch_and(&d->kinds, ~bit, __ATOMIC_ACQ_REL) != bit)
		TAILQ_INSERT_HEAD(&hca->due, d, listed);
}

unsigned int phca_hca_events(struct phca_hca *hca, struct phca_event *ev, unsigned int n)
{
	unsigned int got = 0;

	collect(hca);
	while (got < n && !TAILQ_EMPTY(&hca->due))
		take(hca, TAILQ_FIRST(&hca->due), &ev[got++]);
	return got;
}

/* Control thread: no lcore has the object any more. */
void hca_events_drop(struct phca_hca *hca, struct event_due *d)
{
	if (__atomic_load_n(&d->kinds, __ATOMIC_ACQUIRE) == 0)
		return;
	collect(hca);
	TAILQ_REMOVE(&hca->due, d, listed);
	d->kinds = 0;
}

uint64_t phca_hca_events_merged(const struct phca_hca *hca)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < hca->nb_shards; i++)
		n += PHCA_STAT_GET(hca->shards[i]->events_merged);
	return n;
}

const char *phca_event_str(enum phca_event_type t)
{
	static const char *const str[PHCA_EVENT_COUNT] = {
		[PHCA_EVENT_QP_FATAL] = "QP fatal",
		[PHCA_EVENT_QP_ACCESS_ERR] = "QP access error",
		[PHCA_EVENT_CQ_ERR] = "CQ error",
		[PHCA_EVENT_OFFLOAD_FAILED] = "offload failed",
		[PHCA_EVENT_SQ_ERR] = "send queue error",
		[PHCA_EVENT_QP_REQ_ERR] = "QP request error",
		[PHCA_EVENT_COMM_EST] = "communication established",
		[PHCA_EVENT_SQ_DRAINED] = "send queue drained",
		[PHCA_EVENT_LAST_WQE] = "last WQE reached",
		[PHCA_EVENT_SRQ_LIMIT] = "SRQ limit reached",
		[PHCA_EVENT_PORT_ACTIVE] = "port active",
		[PHCA_EVENT_PORT_ERR] = "port error",
		[PHCA_EVENT_SRQ_ERR] = "SRQ error",
		[PHCA_EVENT_CLIENT_FATAL] = "client fatal",
	};

	return (unsigned int)t < RTE_DIM(str) ? str[t] : "?";
}
