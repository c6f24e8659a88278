/* SPDX-License-Identifier: BSD-3-Clause */
/* Instances of resident applications: settings resolved, arrays copied, one turn function. */
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "hca_impl.h"

#define SETTINGS_MAX 32

struct phca_app {
	struct phca_app_conf conf;
	const struct phca_app_ops *ops;
	void *priv;
};

static void *copy(const void *src, size_t n)
{
	void *p = malloc(n ? n : 1);

	if (p != NULL)
		memcpy(p, src, n);
	return p;
}

static void app_free(struct phca_app *a)
{
	free((void *)(uintptr_t)a->conf.name);
	free((void *)(uintptr_t)a->conf.qps);
	free((void *)(uintptr_t)a->conf.cqs);
	free((void *)(uintptr_t)a->conf.depths);
	free((void *)(uintptr_t)a->conf.srqs);
	free(a->priv);
	free(a);
}

static int conf_copy(struct phca_app *a, const struct phca_app_conf *conf)
{
	unsigned int n = conf->nb_qps;
	size_t priv = RTE_ALIGN(conf->ops->priv_size + 1, (size_t)RTE_CACHE_LINE_SIZE);

	a->conf = *conf;
	a->ops = conf->ops;
	a->conf.name = strdup(conf->name);
	a->conf.qps = copy(conf->qps, n * sizeof(conf->qps[0]));
	a->conf.cqs = copy(conf->cqs, n * sizeof(conf->cqs[0]));
	a->conf.depths = copy(conf->depths, n * sizeof(conf->depths[0]));
	a->conf.srqs = conf->srqs != NULL ? copy(conf->srqs, n * sizeof(conf->srqs[0])) : NULL;
	a->conf.args = NULL;
	a->conf.nb_args = 0;
	a->priv = aligned_alloc(RTE_CACHE_LINE_SIZE, priv);
	if (a->priv != NULL)
		memset(a->priv, 0, priv);
	return a->conf.name && a->conf.qps && a->conf.cqs && a->conf.depths && a->priv &&
		(a->conf.srqs || conf->srqs == NULL) ? 0 : -ENOMEM;
}

struct phca_app *phca_app_create(const struct phca_app_conf *conf, char *err, size_t err_len)
{
	struct phca_setting_value v[SETTINGS_MAX];
	struct phca_app *a;
	int ret;

	ret = phca_settings_resolve(conf->ops->settings, conf->args, conf->nb_args, v, err, err_len);
	if (ret != 0) {
		rte_errno = -ret;
		return NULL;
	}
	a = calloc(1, sizeof(*a));
	ret = a != NULL ? conf_copy(a, conf) : -ENOMEM;
	if (ret == 0)
		ret = conf->ops->init(a, v, err, err_len);
	else
		snprintf(err, err_len, "app %s: out of memory", conf->name);
	if (ret != 0) {
		if (a != NULL)
			app_free(a);
		rte_errno = -ret;
		return NULL;
	}
	return a;
}

void phca_app_destroy(struct phca_app *a)
{
	if (a == NULL)
		return;
	if (a->ops->fini != NULL)
		a->ops->fini(a);
	app_free(a);
}

unsigned int phca_app_turn(void *app, uint64_t now_ns)
{
	struct phca_app *a = app;

	return a->ops->turn(a, now_ns);
}

void *phca_app_priv(const struct phca_app *a)
{
	return a->priv;
}

const struct phca_app_conf *phca_app_conf(const struct phca_app *a)
{
	return &a->conf;
}

const struct phca_app_ops *phca_app_ops(const struct phca_app *a)
{
	return a->ops;
}
