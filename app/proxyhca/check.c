/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --check-config: a rehearsal. The whole appliance is built as at start, with
 * filters, offloads, queue pairs and applications, only on null devices in the
 * place of its ports, on lcores that are there, with few buffers, and it never
 * receives. What fails at start fails here with the same words.
 */
#include <errno.h>
#include <stdio.h>

#include <rte_dev.h>
#include <rte_errno.h>

#include "appliance.h"

#define CHECK_MBUFS 1024

int check_device(struct appliance *a, unsigned int port, char *name, size_t len, char *err, size_t err_len)
{
	int rc;

	snprintf(name, len, "net_null_check%u", port);
	rc = rte_eal_hotplug_add("vdev", name, "");
	if (rc < 0)
		snprintf(err, err_len, "port %s: null device for the check: %s", a->cfg->ports[port].name,
			rte_strerror(-rc));
	return rc;
}

uint32_t check_mbufs(const struct appliance *a)
{
	return a->opt.check_config && a->cfg->memory.mbufs > CHECK_MBUFS ? CHECK_MBUFS :
		a->cfg->memory.mbufs;
}

void check_report(const struct appliance *a)
{
	unsigned int nb_rules = 0;

	for (unsigned int i = 0; i < a->cfg->nb_proxy_qps; i++)
		nb_rules += a->cfg->proxy_qps[i].nb_rules;
	printf("%s: ok: %u ports, %u queue pairs, %u filters, %u offloads, %u rules, %u apps\n",
		a->cfg->path, a->nb_ports, a->nb_qps, a->nb_filters, a->nb_offloads, nb_rules,
		a->nb_apps);
}
