/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events (11.6.3): what happened to objects, told to the client that
 * owns them in the numbers of verbs.h.
 *
 * Invariant: nothing waits for a reader. Events that find no room in a client's socket
 * are kept for it, in their order, up to a number; those beyond are lost and counted.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host_impl.h"

#define BACKLOG_MIN 64u
#define BACKLOG_MAX 65536u /* more than a client has objects by default; 512 KiB */

/* enum ibv_event_type */
enum {
	IBV_CQ_ERR = 0, IBV_QP_FATAL = 1, IBV_QP_REQ_ERR = 2, IBV_QP_ACCESS_ERR = 3, IBV_COMM_EST = 4,
	IBV_SQ_DRAINED = 5, IBV_DEVICE_FATAL = 8, IBV_PORT_ACTIVE = 9, IBV_PORT_ERR = 10, IBV_SRQ_ERR = 14,
	IBV_SRQ_LIMIT_REACHED = 15,
	IBV_QP_LAST_WQE_REACHED = 16,
};

/*
 * @return enum ibv_event_type; -1: none. A queue pair that goes to ERROR because
 * a work request failed, or because it was told to, is no event: completions say so.
 */
static int verbs_event(const struct phca_event *ev)
{
	switch ((enum phca_event_type)ev->type) {
	case PHCA_EVENT_QP_FATAL:
		return ev->status == PHCA_WC_GENERAL_ERR || ev->status == PHCA_WC_FATAL_ERR ||
			ev->status == PHCA_WC_LOC_QP_OP_ERR ? IBV_QP_FATAL : -1;
	case PHCA_EVENT_QP_ACCESS_ERR: return IBV_QP_ACCESS_ERR;
	case PHCA_EVENT_CQ_ERR: return IBV_CQ_ERR;
	case PHCA_EVENT_OFFLOAD_FAILED: return IBV_QP_FATAL;
	case PHCA_EVENT_SQ_ERR: return -1; /* its completion says so */
	case PHCA_EVENT_QP_REQ_ERR: return IBV_QP_REQ_ERR;
	case PHCA_EVENT_COMM_EST: return IBV_COMM_EST;
	case PHCA_EVENT_SQ_DRAINED: return IBV_SQ_DRAINED;
	case PHCA_EVENT_LAST_WQE: return IBV_QP_LAST_WQE_REACHED;
	case PHCA_EVENT_SRQ_LIMIT: return IBV_SRQ_LIMIT_REACHED;
	case PHCA_EVENT_SRQ_ERR: return IBV_SRQ_ERR;
	case PHCA_EVENT_CLIENT_FATAL: return IBV_DEVICE_FATAL; /* a device of its own is all that it has */
	case PHCA_EVENT_PORT_ACTIVE: return IBV_PORT_ACTIVE;
	case PHCA_EVENT_PORT_ERR: return IBV_PORT_ERR;
	}
	return -1;
}

static bool sent(struct client *c, const struct phca_admin_event *e)
{
	if (send(c->events.ours, e, sizeof(*e), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(*e))
		return false;
	c->info.events++;
	c->host->st.events++;
	return true;
}

/* Room for one more behind the others. */
static bool backlog_room(struct backlog *b)
{
	struct phca_admin_event *ev;
	uint32_t size;

	if (b->first + b->nb < b->size)
		return true;
	if (b->first > 0) {
		memmove(b->ev, b->ev + b->first, b->nb * sizeof(*ev));
		b->first = 0;
		return true;
	}
	size = RTE_MIN(RTE_MAX(2 * b->size, BACKLOG_MIN), BACKLOG_MAX);
	ev = b->nb < size ? realloc(b->ev, size * sizeof(*ev)) : NULL;
	if (ev == NULL)
		return false;
	b->ev = ev;
	b->size = size;
	return true;
}

static void event_send(struct client *c, int type, uint32_t num)
{
	const struct phca_admin_event e = { .type = (uint32_t)type, .num = num };
	struct backlog *b = &c->backlog;

	if (b->nb == 0 && sent(c, &e))
		return;
	if (!backlog_room(b)) {
		c->info.events_lost++;
		c->host->st.events_lost++;
		return;
	}
	c->host->nb_backlogs += b->nb == 0;
	b->ev[b->first + b->nb++] = e;
}

void events_end(struct client *c)
{
	c->host->nb_backlogs -= c->backlog.nb > 0;
	free(c->backlog.ev);
	c->backlog = (struct backlog){ .ev = NULL };
}

void events_flush(struct phca_host *h)
{
	struct client *c;

	if (h->nb_backlogs == 0)
		return;
	TAILQ_FOREACH(c, &h->clients, listed) {
		struct backlog *b = &c->backlog;

		while (b->nb > 0 && !c->dead && sent(c, &b->ev[b->first])) {
			b->first++;
			b->nb--;
			h->nb_backlogs -= b->nb == 0;
		}
	}
}

void phca_host_event(struct phca_host *h, const struct phca_event *ev)
{
	bool port = ev->type == PHCA_EVENT_PORT_ACTIVE || ev->type == PHCA_EVENT_PORT_ERR;
	int type = verbs_event(ev);
	struct client *c;

	if (type < 0)
		return;
	if (!port) {
		c = ev->client != NULL ? phca_client_priv(ev->client) : NULL;
		if (c != NULL && c->state == CLIENT_OPEN && !c->dead)
			event_send(c, type, type == IBV_DEVICE_FATAL ? 0 : ev->num);
		return;
	}
	TAILQ_FOREACH(c, &h->clients, listed)
		if (c->state == CLIENT_OPEN && !c->dead && c->info.port == ev->num)
			event_send(c, type, 1);
}
