/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of a configuration. All of it is one list of chunks that hangs off
 * priv, so that freeing is one loop, wherever loading stopped, and so that an
 * addition can be merged into its base by joining the lists.
 */
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"

void *cfg_alloc(struct loader *l, size_t size)
{
	struct chunk *ch = calloc(1, sizeof(*ch) + size);

	if (ch == NULL)
		return NULL;
	ch->next = l->priv->chunks;
	l->priv->chunks = ch;
	return ch->data;
}

char *cfg_strdup(struct loader *l, const char *s)
{
	size_t size = strlen(s) + 1;
	char *d = cfg_alloc(l, size);

	if (d != NULL)
		memcpy(d, s, size);
	return d;
}

void phca_config_free(struct phca_config *c)
{
	struct cfg_priv *priv;

	if (c == NULL)
		return;
	priv = c->priv;
	while (priv != NULL && priv->chunks != NULL) {
		struct chunk *next = priv->chunks->next;

		free(priv->chunks);
		priv->chunks = next;
	}
	free(priv);
	free(c);
}

/* Keep what a base's indices mean: it may be gone when this one is printed. */
int cfg_base_names(struct loader *l)
{
	struct cfg_priv *priv = l->priv;

	for (int s = 0; l->base != NULL && s < SEC_COUNT; s++) {
		unsigned int n, own;
		size_t size;

		cfg_section(l->base, s, &own, &size);
		n = own + ((const struct cfg_priv *)l->base->priv)->nb_base[s];
		priv->base_names[s] = cfg_alloc(l, n * sizeof(char *));
		if (priv->base_names[s] == NULL)
			return cfg_fail_mem(l);
		for (unsigned int i = 0; i < n; i++) {
			priv->base_names[s][i] = cfg_strdup(l, cfg_section_name(l->base, s, i));
			if (priv->base_names[s][i] == NULL)
				return cfg_fail_mem(l);
		}
		priv->nb_base[s] = n;
	}
	return 0;
}
