/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The port's GID table. The appliance is asked each time: addresses come and go.
 *
 * Invariant: an index of the table without an entry is an all-zero GID, or ENODATA where
 * verbs can say so; an index behind the table is EINVAL.
 */
#include <string.h>

#include "control.h"

/* Numbers of ibv_query_gid_type, which is private and has an enum of its own. */
enum sysfs_gid_type { SYSFS_IB_ROCE_V1 = 0, SYSFS_ROCE_V2 = 1 };
#pragma GCC visibility push(default)
int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index,
	unsigned int *type);
#pragma GCC visibility pop

/* @return 0 and *found; negative errno */
static int find_gid(struct ibv_context *c, uint32_t port, uint32_t index, struct phca_admin_gid *gid,
	bool *found)
{
	struct phca_admin_gid gids[PHCA_ADMIN_GIDS_MAX];
	int n;

	*found = false;
	if (port != 1 || index >= PHCA_ADMIN_GIDS_MAX)
		return -EINVAL;
	n = admin_gids(to_vctx(c), gids);
	for (int i = 0; i < n; i++) {
		if (gids[i].index == index) {
			*gid = gids[i];
			*found = true;
		}
	}
	if (n >= 0 && !*found) { /* an empty entry, or none? */
		struct ibv_port_attr a;
		int rc = verbs_query_port(c, 1, &a, sizeof(a));

		if (rc != 0)
			return -rc;
		if (index >= (uint32_t)a.gid_tbl_len)
			return -EINVAL;
	}
	return n < 0 ? n : 0;
}

int ibv_query_gid(struct ibv_context *context, uint8_t port_num, int index, union ibv_gid *gid)
{
	struct phca_admin_gid g;
	bool found;
	int rc = find_gid(context, port_num, (uint32_t)index, &g, &found);

	if (rc != 0) {
		errno = -rc;
		return -1;
	}
	memset(gid, 0, sizeof(*gid));
	if (found)
		memcpy(gid, g.gid, sizeof(*gid));
	return 0;
}

int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index,
	unsigned int *type)
{
	struct phca_admin_gid g;
	bool found;
	int rc = find_gid(context, port_num, index, &g, &found);

	if (rc != 0) {
		errno = -rc;
		return -1;
	}
	*type = found ? SYSFS_ROCE_V2 : SYSFS_IB_ROCE_V1;
	return 0;
}

/* Entries of callers are older and newer than ours: copy what both have, clear the rest. */
static void put_entry(void *entry, size_t size, const struct phca_admin_gid *g)
{
	struct ibv_gid_entry e = { .gid_index = g->index, .port_num = 1,
		.gid_type = IBV_GID_TYPE_ROCE_V2 };

	memcpy(&e.gid, g->gid, sizeof(e.gid));
	memset(entry, 0, size);
	memcpy(entry, &e, size < sizeof(e) ? size : sizeof(e));
}

int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port_num, uint32_t gid_index,
	struct ibv_gid_entry *entry, uint32_t flags, size_t entry_size)
{
	struct phca_admin_gid g;
	bool found;
	int rc;

	if (flags != 0)
		return EOPNOTSUPP;
	rc = find_gid(context, port_num, gid_index, &g, &found);
	if (rc != 0)
		return -rc;
	if (!found)
		return ENODATA;
	put_entry(entry, entry_size, &g);
	return 0;
}

ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries,
	size_t max_entries, uint32_t flags, size_t entry_size)
{
	struct phca_admin_gid gids[PHCA_ADMIN_GIDS_MAX];
	int n;

	if (flags != 0)
		return -EOPNOTSUPP;
	n = admin_gids(to_vctx(context), gids);
	if (n < 0)
		return n;
	if ((size_t)n > max_entries)
		return -EINVAL;
	for (int i = 0; i < n; i++)
		put_entry((uint8_t *)entries + (size_t)i * entry_size, entry_size, &gids[i]);
	return n;
}
