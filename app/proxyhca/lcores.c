/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which lcore does what: roles to loops, one loop an lcore.
 *
 * Defaults: the HCA runs on the first worker lcore, the proxy CPU on the
 * second, resident applications on the main lcore; with one worker the proxy
 * shares the main lcore, with none all share it. Several lcores of the HCA or
 * the proxy CPU are configured. Loops run before the first
 * object is built and until the last is destroyed, so that control functions
 * always find the lcores that answer them.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "appliance.h"

static_assert(PHCA_CONFIG_LCORES_MAX <= PHCA_SHARD_MAX && PHCA_CONFIG_LCORES_MAX <= PHCA_HCA_PROXY_MAX,
	"every list of lcores has room");

const char *lcores_roles_str(const struct lcore_obj *l)
{
	static const char *const text[] = {
		"none", "hca", "proxy", "hca+proxy", "app", "hca+app", "proxy+app", "hca+proxy+app",
	};

	return text[l->roles & 7];
}

/* The lcore of a role: the configured one, or the default. */
static int pick(struct appliance *a, const char *role, int configured, unsigned int def,
		unsigned int *lcore, char *err, size_t err_len)
{
	*lcore = configured < 0 ? def : (unsigned int)configured;
	if (*lcore < RTE_MAX_LCORE && rte_lcore_is_enabled(*lcore))
		return 0;
	if (a->opt.check_config) {
		printf("note: lcores.%s: lcore %u is not one of EAL's now\n", role, *lcore);
		*lcore = def;
		return 0;
	}
	snprintf(err, err_len, "lcores.%s: lcore %u is not one of EAL's; give it with -l, or change the "
		"configuration", role, *lcore);
	return -EINVAL;
}

static int add_role(struct appliance *a, unsigned int lcore, enum role role, struct lcore_obj **obj,
		char *err, size_t err_len)
{
	struct lcore_obj *l = a->lcores;
	char name[32];

	while (l < a->lcores + a->nb_lcores && l->lcore != lcore)
		l++;
	*obj = l;
	l->roles |= role;
	if (l < a->lcores + a->nb_lcores)
		return 0;
	snprintf(name, sizeof(name), "lcore%u", lcore);
	l->lcore = lcore;
	l->loop = phca_loop_create(name, a->qsbr, a->nb_lcores, a->opt.idle);
	if (!l->loop) {
		snprintf(err, err_len, "lcore %u: its loop was not created: %s", lcore,
			rte_strerror(rte_errno));
		return -rte_errno;
	}
	a->nb_lcores++;
	return 0;
}

/* All lcores of a role, in their order; none are configured: the default one. */
static int add_roles(struct appliance *a, enum role role, const char *name, unsigned int def,
		const struct phca_config_lcore_list *conf, struct lcore_obj **obj, char *err, size_t err_len)
{
	int rc = 0;

	for (unsigned int i = 0; i < RTE_MAX(conf->n, 1u) && rc == 0; i++) {
		unsigned int lcore;

		rc = pick(a, name, conf->n > 0 ? conf->id[i] : -1, def, &lcore, err, err_len);
		if (rc == 0)
			rc = add_role(a, lcore, role, &obj[i], err, err_len);
	}
	return rc;
}

int lcores_create(struct appliance *a, char *err, size_t err_len)
{
	const struct phca_config_lcores *c = &a->cfg->lcores;
	unsigned int main_lcore = rte_get_main_lcore(), app;
	unsigned int first = rte_get_next_lcore(-1, 1, 0), second = main_lcore;
	struct lcore_obj *proxies[PHCA_CONFIG_LCORES_MAX];
	int rc;

	if (first >= RTE_MAX_LCORE)
		first = main_lcore;
	else if (rte_get_next_lcore(first, 1, 0) < RTE_MAX_LCORE)
		second = rte_get_next_lcore(first, 1, 0);
	if ((rc = add_roles(a, ROLE_HCA, "hca", first, &c->hca, a->hca_lcores, err, err_len)) < 0 ||
			(rc = add_roles(a, ROLE_PROXY, "proxy", second, &c->proxy, proxies, err, err_len)) < 0 ||
			(rc = pick(a, "app", c->app, main_lcore, &app, err, err_len)) < 0)
		return rc;
	a->nb_shards = RTE_MAX(c->hca.n, 1u);
	a->nb_proxies = RTE_MAX(c->proxy.n, 1u);
	for (unsigned int i = 0; i < a->nb_proxies; i++)
		a->proxies[i].lcore = proxies[i];
	return add_role(a, app, ROLE_APP, &a->app_lcore, err, err_len);
}

void lcores_destroy(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_lcores; i++)
		phca_loop_destroy(a->lcores[i].loop);
	a->nb_lcores = 0;
}

static int lcore_main(void *arg)
{
	struct lcore_obj *l = arg;
	int rc = phca_loop_run(l->loop);

	__atomic_store_n(&l->ended, true, __ATOMIC_RELEASE);
	return rc;
}

/* What the lcore did happens before what the caller does next. */
static void join(struct lcore_obj *l)
{
	rte_eal_wait_lcore(l->lcore);
	while (!__atomic_load_n(&l->ended, __ATOMIC_ACQUIRE))
		usleep(100);
}

/* Main's loop does not run yet: end those that were launched before the failure. */
void lcores_abort(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_lcores; i++) {
		struct lcore_obj *l = &a->lcores[i];

		if (!l->launched || l->lcore == rte_get_main_lcore())
			continue;
		while (!phca_loop_is_running(l->loop))
			usleep(100);
		phca_loop_stop(l->loop);
		join(l);
	}
}

int lcores_launch(struct appliance *a, char *err, size_t err_len)
{
	for (unsigned int i = 0; i < a->nb_lcores; i++) {
		struct lcore_obj *l = &a->lcores[i];
		int rc = 0;

		if (l->lcore != rte_get_main_lcore())
			rc = rte_eal_remote_launch(lcore_main, l, l->lcore);
		if (rc < 0) {
			snprintf(err, err_len, "lcore %u: not launched: %s", l->lcore, rte_strerror(-rc));
			lcores_abort(a);
			return rc;
		}
		l->launched = true;
		l->base_tsc = rte_rdtsc();
	}
	return 0;
}

void lcores_run_main(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_lcores; i++)
		if (a->lcores[i].lcore == rte_get_main_lcore())
			phca_loop_run(a->lcores[i].loop);
}

void lcores_wait_running(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_lcores; i++)
		while (!phca_loop_is_running(a->lcores[i].loop))
			usleep(100);
}

void lcores_stop(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_lcores; i++)
		phca_loop_stop(a->lcores[i].loop);
}

void lcores_join(struct appliance *a)
{
	for (unsigned int i = 0; i < a->nb_lcores; i++)
		if (a->lcores[i].launched && a->lcores[i].lcore != rte_get_main_lcore())
			join(&a->lcores[i]);
}
