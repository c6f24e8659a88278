/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of clients, as this process has it: what their processes share as a
 * whole (MEM_SHARE), and parts of it that are registered.
 */
#ifndef REGION_H
#define REGION_H

#include <stdint.h>
#include <sys/types.h>

#include "phca_admin.h"
#include "phca_mem.h"

struct regions; /* of one client */
struct region;  /* one that is registered */

/* How lib/mem reaches a region: mapped at base; or, when base is NULL, by calls of io with arg. */
struct region_view {
	void *base;             /* of addr */
	const struct phca_mr_io *io;
	void *arg;
};

/* @return NULL: no memory */
struct regions *regions_create(pid_t pid);
/* All its regions are closed. */
void regions_destroy(struct regions *rs);
/*
 * MEM_SHARE: take over descriptors in the order of the bits of @p which, and put
 * -1 in place of those that are kept.
 * @return 0; -EEXIST was shared before; -EINVAL not sealed against shrinking, or no memory object; -ENOMEM
 */
int regions_share(struct regions *rs, uint32_t which, int *fds);
/*
 * Map what a MR_REG names. The request's members, and that segments follow each
 * other and cover the region, are checked here.
 * @param fds     of SEG_FILE segments, in their order; kept ones become -1
 * @param view    written
 * @return 0; -EINVAL; -EOPNOTSUPP a kind of memory that is not supported; -EACCES
 *         it has to be written and cannot; -ENOMEM
 */
int region_open(struct regions *rs, const struct phca_admin_mr_reg *r, const struct phca_admin_seg *segs,
		int *fds, struct region **out, struct region_view *view);
/* No lcore uses it any more. */
void region_close(struct region *r);

#endif
