/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --check-config: everything that can be said of a configuration without its
 * devices. Filters are loaded with parameters and map entries, offloads are
 * created on a proxy that does not run, applications' settings are resolved.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "appliance.h"

#define SETTINGS_MAX 64

static int check_filters(const struct phca_config *c, char *err, size_t err_len)
{
	for (unsigned int i = 0; i < c->nb_filters; i++) {
		struct phca_filter *f = filter_load(&c->filters[i], err, err_len);

		if (!f)
			return -1;
		phca_filter_free(f);
	}
	return 0;
}

static int check_offloads(const struct phca_config *c, const struct phca_config_lookup *lookup,
		struct phca_proxy *p, char *err, size_t err_len)
{
	for (unsigned int i = 0; i < c->nb_offloads; i++) {
		const struct phca_offload_conf conf = {
			.name = c->offloads[i].name, .ops = lookup->offload(c->offloads[i].driver),
			.args = c->offloads[i].args, .nb_args = c->offloads[i].nb_args,
			.time_limit_ns = c->offloads[i].time_limit_ns,
		};
		char why[ERR_MAX] = "no such driver";
		struct phca_offload *o = conf.ops ? phca_offload_create(p, &conf, why, sizeof(why)) : NULL;

		if (!o) {
			snprintf(err, err_len, "offload %s: driver %s: %.800s", conf.name,
				c->offloads[i].driver, why);
			return -1;
		}
		phca_offload_destroy(o);
	}
	return 0;
}

static int check_apps(const struct phca_config *c, const struct phca_config_lookup *lookup,
		char *err, size_t err_len)
{
	struct phca_setting_value values[SETTINGS_MAX];

	for (unsigned int i = 0; i < c->nb_apps; i++) {
		const struct phca_app_ops *ops = lookup->app(c->apps[i].driver);
		char why[ERR_MAX] = "no such driver";
		unsigned int n = 0;

		while (ops && ops->settings && ops->settings[n].name)
			n++;
		if (!ops || n > SETTINGS_MAX || (ops->settings && phca_settings_resolve(ops->settings,
				c->apps[i].args, c->apps[i].nb_args, values, why, sizeof(why)) < 0)) {
			snprintf(err, err_len, "app %s: driver %s: %.800s", c->apps[i].name,
				c->apps[i].driver, why);
			return -1;
		}
	}
	return 0;
}

/* Lcores are EAL's matter, so they are only remarked on. */
static void check_lcores(const struct phca_config *c)
{
	const struct { const char *role; int lcore; } roles[] = {
		{ "hca", c->lcores.hca }, { "proxy", c->lcores.proxy }, { "app", c->lcores.app },
	};

	for (unsigned int i = 0; i < RTE_DIM(roles); i++)
		if (roles[i].lcore >= 0 && (roles[i].lcore >= RTE_MAX_LCORE ||
				!rte_lcore_is_enabled((unsigned int)roles[i].lcore)))
			printf("note: lcores.%s: lcore %d is not one of EAL's now\n", roles[i].role,
				roles[i].lcore);
}

static unsigned int count_qps(const struct phca_config *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->nb_qps; i++)
		n += c->qps[i].count;
	return n;
}

/* A proxy to create offloads on; nothing runs it. */
static int check_on_proxy(struct appliance *a, const struct phca_config *c, char *err, size_t err_len)
{
	struct phca_proxy_conf conf = { .name = "check", .ring_size = c->proxy.ring_size };
	struct rte_rcu_qsbr *qsbr = rte_zmalloc("phca_check", rte_rcu_qsbr_get_memsize(1),
		RTE_CACHE_LINE_SIZE);
	struct phca_mem *mem = NULL;
	struct phca_proxy *p = NULL;
	int rc = -1;

	snprintf(err, err_len, "no memory for the proxy; give EAL more (-m)");
	if (qsbr && rte_rcu_qsbr_init(qsbr, 1) == 0) {
		conf.mem = mem = phca_mem_create(16, qsbr);
		conf.loop = conf.hca_loop = phca_loop_create("check", qsbr, 0, PHCA_IDLE_POLL);
	}
	if (mem && conf.loop)
		p = phca_proxy_create(&conf);
	if (p)
		rc = check_offloads(c, &a->lookup, p, err, err_len);
	phca_proxy_destroy(p);
	phca_loop_destroy(conf.loop);
	phca_mem_destroy(mem);
	rte_free(qsbr);
	return rc;
}

int check_config(struct appliance *a)
{
	char err[ERR_MAX] = "";
	struct phca_config *c = appliance_config(a, err, sizeof(err));
	int status = EXIT_FAILURE;

	if (c && check_filters(c, err, sizeof(err)) == 0 &&
			check_on_proxy(a, c, err, sizeof(err)) == 0 &&
			check_apps(c, &a->lookup, err, sizeof(err)) == 0) {
		check_lcores(c);
		printf("%s: ok: %u ports, %u queue pairs, %u filters, %u offloads, %u proxy QP groups, "
			"%u apps\n", c->path, c->nb_ports, count_qps(c), c->nb_filters, c->nb_offloads,
			c->nb_proxy_qps, c->nb_apps);
		status = EXIT_SUCCESS;
	} else {
		fprintf(stderr, "dpdk-proxyhca: %s\n", err);
	}
	phca_config_free(c);
	return status;
}
