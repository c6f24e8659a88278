/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which entry of app_proxy a queue pair of an application gets: the first of which
 * everything fits. One that may yet fit, when the peer is known, is not passed over.
 */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "phca_config.h"

static bool peer_fits(const struct phca_net_addr *p, const uint8_t gid[16])
{
	unsigned int bits = p->prefix_len + (p->ip6 ? 0 : 96u), bytes = bits / 8;

	if (p->ip6 == phca_gid_is_ip4(gid) || memcmp(p->gid, gid, bytes) != 0)
		return false;
	return bits % 8 == 0 || ((p->gid[bytes] ^ gid[bytes]) >> (8 - bits % 8)) == 0;
}

/* All but the peer. */
static bool fits(const struct phca_config_match *m, const struct phca_config_app_qp *q)
{
	return (m->exe == NULL || fnmatch(m->exe, q->exe, 0) == 0) && (!m->has_user || m->uid == q->uid) &&
		(m->transport == 0 || m->transport == q->type) &&
		q->cq_depth >= m->cq_depth.min && q->cq_depth <= m->cq_depth.max;
}

int phca_config_app_proxy_find(const struct phca_config *c, const struct phca_config_app_qp *q)
{
	for (unsigned int i = 0; i < c->nb_app_proxy; i++) {
		const struct phca_config_match *m = &c->app_proxy[i].match;

		if (!fits(m, q) || (m->has_peer && q->type == PHCA_QPT_UD))
			continue;
		if (!m->has_peer)
			return (int)i;
		if (q->dgid == NULL)
			return -EAGAIN;
		if (peer_fits(&m->peer, q->dgid))
			return (int)i;
	}
	return -ENOENT;
}
