/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration as JSON again, every default filled in, by the same tables
 * that read it: what is printed loads to the same configuration. And joining an
 * addition to the configuration that it was loaded on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"

int phca_config_print(const struct phca_config *c, FILE *out)
{
	json_t *root = NULL;
	int rc = cfg_table_print(c, &cfg_root, c, &root);

	if (rc == 0 && (json_dumpf(root, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF || fflush(out) != 0))
		rc = -EIO;
	json_decref(root);
	return rc;
}

/* Room for n more elements behind those of a list; its new place, or NULL. */
static void *grow(struct cfg_priv *priv, const void *list, unsigned int have, const void *add,
		unsigned int n, size_t size)
{
	struct loader l = { .priv = priv };
	char *all = cfg_alloc(&l, (have + n) * size);

	if (all == NULL)
		return NULL;
	if (have > 0)
		memcpy(all, list, have * size);
	if (n > 0)
		memcpy(all + have * size, add, n * size);
	return all;
}

#define JOIN(f, nb) \
	do { \
		joined.f = grow(priv, base->f, base->nb, add->f, add->nb, sizeof(*base->f)); \
		if (joined.f == NULL) \
			return -ENOMEM; \
		joined.nb = base->nb + add->nb; \
	} while (0)

int phca_config_merge(struct phca_config *base, struct phca_config *add)
{
	struct cfg_priv *priv = base->priv, *more = add->priv;
	struct phca_config joined = *base;
	struct chunk **end = &priv->chunks;

	if (!more->is_addition || priv->is_addition)
		return -EINVAL;
	for (int s = 0; s < SEC_COUNT; s++) {
		unsigned int n;
		size_t size;

		cfg_section(base, s, &n, &size);
		if (more->nb_base[s] != n)
			return -EINVAL; /* base is not what it was loaded on */
	}
	JOIN(ports, nb_ports);
	JOIN(filters, nb_filters);
	JOIN(offloads, nb_offloads);
	JOIN(srqs, nb_srqs);
	JOIN(qps, nb_qps);
	JOIN(proxy_qps, nb_proxy_qps);
	JOIN(app_proxy, nb_app_proxy);
	JOIN(apps, nb_apps);
	while (*end != NULL)
		end = &(*end)->next;
	*end = more->chunks;
	more->chunks = NULL;
	phca_config_free(add);
	*base = joined;
	return 0;
}
