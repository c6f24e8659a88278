/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of clients, which are other processes: what they name is opened, checked and
 * mapped here, so that lib/mem can use it; what cannot be mapped is read and written
 * through the kernel.
 *
 * Nothing that a client says or does, then or later, lets this process touch memory
 * that is not the client's, or crash: region.c, region_open.c, region_guard.c.
 *
 * Threads: control threads, one at a time, but for what says otherwise. Clients of an
 * unprivileged appliance are those of its own user.
 */
#ifndef REGION_H
#define REGION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "phca_admin.h"
#include "phca_mem.h"

struct regions; /* of one client */
struct region;  /* one that is registered */

/* What a client may use. */
struct region_limits {
	uint64_t bytes; /* of all its regions, in whole pages */
	uint32_t count; /* regions */
	bool remote;    /* PHCA_ADMIN_SEG_REMOTE: such a client can delay the lcore that copies */
};

/* How lib/mem reaches a region: mapped at base; or, when base is NULL, by calls of io with arg. */
struct region_view {
	void *base;     /* of addr */
	const struct phca_mr_io *io;
	void *arg;
};

/*
 * @param who  SO_PEERCRED of the client's socket
 * @return NULL with rte_errno: ESRCH it is gone, ENOMEM, others of pidfd_open(2)
 */
struct regions *regions_create(const struct ucred *who, const struct region_limits *max);
/* @return a descriptor of its process, readable once that has ended */
int regions_process(const struct regions *rs);
/* All its regions are closed. NULL is allowed. */
void regions_destroy(struct regions *rs);
/*
 * MEM_SHARE: take over descriptors in the order of the bits of @p which, as many as it
 * has, and put -1 in place of those that are kept.
 * @return 0; otherwise none is kept: -EINVAL unknown bits, or not such an object; -EEXIST
 *         was shared before; -EPERM not sealed against shrinking
 */
int regions_share(struct regions *rs, uint32_t which, int *fds);
/*
 * Make available what a MR_REG names. Its pages come by region_touch.
 * @param q     the private copy: addr, length, access, nb_segs
 * @param segs  the private copy; that they follow each other and cover the region, and all
 *              of their members, are checked here
 * @param fds   one for each SEG_FILE, in their order; they stay the caller's
 * @param view  written; valid until region_close
 * @return 0; -EINVAL the list makes no sense, sizes or alignment are wrong; -EACCES, -EPERM
 *         the client may not do that with this memory, or this process may not reach it;
 *         -EOPNOTSUPP a kind of memory that is not shared, or REMOTE is not allowed; -ENOMEM
 *         limits, or no memory; -EFAULT the memory is gone; -ESRCH the client is
 */
int region_open(struct regions *rs, const struct phca_admin_mr_reg *q, const struct phca_admin_seg *segs,
		const int *fds, struct region **out, struct region_view *view);
/*
 * Have the next pages of it there, so that an lcore does not wait for them; of the first GiB.
 * @param bytes  so many at most
 * @return 1 there are more; 0 it can be used; -ENOMEM, -EFAULT it is to be closed
 */
int region_touch(struct region *r, uint64_t bytes);
/* No lcore uses it any more: after phca_mr_dereg. */
void region_close(struct region *r);

/*
 * Whether some of it was found to be gone: truncated, most likely. It reads as zero since,
 * and what is written there is lost. Any thread.
 */
bool region_broken(const struct region *r);

/* Since the start of the process. Any thread. */
struct region_stats {
	uint64_t client_memory_lost;   /* pages that were gone when they were touched */
	uint64_t client_copies_failed; /* copies through the kernel that did not work */
};
void region_stats_get(struct region_stats *st);

/*
 * Take SIGBUS for clients' memory; who had it before gets all others. Before the first
 * region, and after whoever else wants SIGBUS. No thread that uses regions may block it.
 * Calls are counted. @return 0; negative errno
 */
int region_guard_init(void);
/* As often, after the last region. The handler before is the handler again. */
void region_guard_fini(void);

#endif
