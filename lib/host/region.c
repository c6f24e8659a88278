/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of clients that lies in the sparse object of their process, in which
 * file offset is virtual address: a region is one mapping of its pages.
 *
 * Invariant: objects are sealed against shrinking and regions lie within them, so
 * an access to a mapped region finds a page, whatever the client does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_common.h>

#include "region.h"

#define PAGE ((uint64_t)4096)

struct regions {
	pid_t pid;
	int fd;                 /* PHCA_ADMIN_MEM_SWAP; -1: not shared */
	uint64_t bytes;
};
struct region {
	void *map;
	size_t bytes;
};

struct regions *regions_create(pid_t pid)
{
	struct regions *rs = calloc(1, sizeof(*rs));

	if (rs != NULL) {
		rs->pid = pid;
		rs->fd = -1;
	}
	return rs;
}

void regions_destroy(struct regions *rs)
{
	if (rs == NULL)
		return;
	if (rs->fd >= 0)
		close(rs->fd);
	free(rs);
}

int regions_share(struct regions *rs, uint32_t which, int *fds)
{
	struct stat st;
	int seals;

	if (which != PHCA_ADMIN_MEM_SWAP)
		return -EOPNOTSUPP;
	if (rs->fd >= 0)
		return -EEXIST;
	seals = fcntl(fds[0], F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fds[0], &st) != 0 || st.st_size <= 0)
		return -EINVAL;
	rs->bytes = (uint64_t)st.st_size;
	rs->fd = fds[0];
	fds[0] = -1;
	return 0;
}

/* Parts follow each other, are whole pages, and cover the region. */
static int segs_check(const struct regions *rs, const struct phca_admin_mr_reg *r,
		const struct phca_admin_seg *segs)
{
	uint64_t first = r->addr & ~(PAGE - 1), end, at;

	if (r->nb_segs == 0 || r->length == 0 || r->addr + r->length < r->addr ||
	    r->addr + r->length > UINT64_MAX - PAGE)
		return -EINVAL;
	end = RTE_ALIGN(r->addr + r->length, PAGE);
	at = first;
	for (uint32_t i = 0; i < r->nb_segs; i++) {
		const struct phca_admin_seg *s = &segs[i];

		if (s->va != at || s->length == 0 || s->length % PAGE != 0 || s->length > end - at ||
		    s->rsvd != 0 || s->writable > 1)
			return -EINVAL;
		if (s->kind != PHCA_ADMIN_SEG_SWAP)
			return -EOPNOTSUPP;
		if (!s->writable && r->access & (PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE |
						 PHCA_ACCESS_REMOTE_ATOMIC))
			return -EACCES;
		at += s->length;
	}
	return at == end && rs->fd >= 0 && end <= rs->bytes ? 0 : -EINVAL;
}

int region_open(struct regions *rs, const struct phca_admin_mr_reg *r, const struct phca_admin_seg *segs,
		int *fds, struct region **out, struct region_view *view)
{
	uint64_t first = r->addr & ~(PAGE - 1);
	int ret = segs_check(rs, r, segs), prot = PROT_READ | PROT_WRITE;
	struct region *g;

	(void)fds;
	if (ret != 0)
		return ret;
	g = malloc(sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	g->bytes = RTE_ALIGN(r->addr + r->length, PAGE) - first;
	for (uint32_t i = 0; i < r->nb_segs; i++)
		if (!segs[i].writable)
			prot = PROT_READ;
	g->map = mmap(NULL, g->bytes, prot, MAP_SHARED | MAP_POPULATE, rs->fd, (off_t)first);
	if (g->map == MAP_FAILED) {
		ret = -errno;
		free(g);
		return ret;
	}
	*out = g;
	*view = (struct region_view){ .base = (uint8_t *)g->map + (r->addr - first) };
	return 0;
}

void region_close(struct region *g)
{
	munmap(g->map, g->bytes);
	free(g);
}
