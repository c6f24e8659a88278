/* SPDX-License-Identifier: BSD-3-Clause */
/* Applications of other processes as text: who they are, what they have, what the server counted. */
#include <inttypes.h>

#include "figures.h"
#include "text.h"

static int client(void *arg, const struct phca_host_info *i)
{
	FILE *out = arg;
	char user[PHCA_HOST_USER_MAX + 12];

	snprintf(user, sizeof(user), "%s", i->user);
	fprintf(out, "  %-5" PRIu32 " %-8d %-12s %-20s port %u%s\n", i->id, (int)i->pid, user, i->exe, i->port,
		i->leaving ? "  gone; a driver holds a request of it" : "");
	fprintf(out, "        qps %" PRIu32 "  cqs %" PRIu32 "  srqs %" PRIu32 "  mrs %" PRIu32 "  mws %" PRIu32
		"  pds %" PRIu32 "  channels %" PRIu32 "\n", i->objects[PHCA_HOST_QP], i->objects[PHCA_HOST_CQ],
		i->objects[PHCA_HOST_SRQ], i->objects[PHCA_HOST_MR], i->objects[PHCA_HOST_MW],
		i->objects[PHCA_HOST_PD], i->objects[PHCA_HOST_CHANNEL]);
	fprintf(out, "        registered %" PRIu64 " KiB  queues %" PRIu64 " KiB  requests %" PRIu64 "  failed %"
		PRIu64 "  events %" PRIu64 "\n", i->mem_bytes >> 10, i->arena_used >> 10, i->requests, i->failed,
		i->events);
	if (i->events_waiting > 0 || i->events_lost > 0)
		fprintf(out, "        does not read its events: %" PRIu64 " wait, %" PRIu64 " lost\n",
			i->events_waiting, i->events_lost);
	return 0;
}

void text_clients(struct appliance *a, FILE *out)
{
	struct phca_host_stats st;

	if (!a->host) {
		fprintf(out, "No socket: there is no \"host\" in the configuration, and no --socket\n");
		return;
	}
	figures_host(a, &st);
	text_title(out, "Clients of %s", phca_host_path(a->host));
	if (st.clients > 0)
		fprintf(out, "  id    pid      user         executable\n");
	phca_host_each(a->host, client, out);
	text_counters(out, &counters_host, &st, true);
	text_end(out);
}
