/* SPDX-License-Identifier: BSD-3-Clause */
/* One client's memory and the tables of lib/mem, for tests of regions. */
#ifndef REGION_RIG_H
#define REGION_RIG_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "phca_test.h"
#include "region.h"

#define PAGE 4096ull
#define SWAP_VA (1ull << 32)      /* where swapped pages are in the client */
#define RW (PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ)
#define RIG_COUNT 16              /* limits */
#define RIG_BYTES (64ull << 20)

struct rig {
	struct regions *rs;
	struct region *r;         /* the last one opened, NULL: none */
	struct region_view view;
	uint64_t addr, length;    /* it is of */
	void *swap;               /* what rig_swap mapped */
	uint64_t swap_len;
	struct rte_rcu_qsbr *qsbr;
	struct phca_mem *mem;
	uint32_t pd, key;         /* key 0: not registered */
};

/* A segment that may be written to. */
static inline struct phca_admin_seg rig_seg(uint32_t kind, uint64_t va, uint64_t length)
{
	return (struct phca_admin_seg){ .va = va, .length = length, .kind = kind, .writable = 1 };
}

static inline int rig_memfd(uint64_t size, unsigned int seals)
{
	int fd = memfd_create("phca-test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	if (seals != 0)
		CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static inline int rig_file(uint64_t size)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir != NULL ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

/* Mappings of this process. */
static inline uint64_t rig_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uint64_t n = 0;
	int c;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Another process is the client. */
static inline void rig_init_of(struct rig *g, pid_t pid, uid_t uid, gid_t gid)
{
	const struct region_limits max = { .bytes = RIG_BYTES, .count = RIG_COUNT, .remote = true };
	const struct ucred who = { .pid = pid, .uid = uid, .gid = gid };
	size_t len = (rte_rcu_qsbr_get_memsize(1) + 63) & ~(size_t)63;

	memset(g, 0, sizeof(*g));
	CU_ASSERT_EQUAL_FATAL(region_guard_init(), 0);
	g->rs = regions_create(&who, &max);
	CU_ASSERT_PTR_NOT_NULL_FATAL(g->rs);
	g->qsbr = aligned_alloc(64, len);
	CU_ASSERT_EQUAL_FATAL(rte_rcu_qsbr_init(g->qsbr, 1), 0);
	g->mem = phca_mem_create(8, g->qsbr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(g->mem);
	g->pd = phca_pd_alloc(g->mem);
}

/* This process is the client of itself. */
static inline void rig_init(struct rig *g)
{
	rig_init_of(g, getpid(), geteuid(), getegid());
}

/* rig_init, with a shared object whose pages from SWAP_VA on are the result's. */
static inline uint8_t *rig_swap(struct rig *g, uint64_t pages)
{
	int fd = rig_memfd(SWAP_VA + pages * PAGE, F_SEAL_SHRINK);

	rig_init(g);
	g->swap_len = pages * PAGE;
	g->swap = mmap(NULL, g->swap_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)SWAP_VA);
	CU_ASSERT_FATAL(g->swap != MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(regions_share(g->rs, PHCA_ADMIN_MEM_SWAP, &fd), 0);
	return g->swap;
}

static inline int rig_open(struct rig *g, uint64_t addr, uint64_t length, uint32_t access,
		const struct phca_admin_seg *s, uint32_t n, const int *fds)
{
	const struct phca_admin_mr_reg q = { .addr = addr, .length = length, .iova = addr, .access = access,
		.nb_segs = n };
	int rc = region_open(g->rs, &q, s, fds, &g->r, &g->view);
	bool opened = rc == 0;

	while (opened && (rc = region_touch(g->r, 64 * PAGE)) > 0)
		;
	if (opened && rc < 0)
		region_close(g->r);
	if (rc < 0)
		g->r = NULL;
	g->addr = addr;
	g->length = length;
	return rc;
}

/* Register the region; peers name its bytes as the client does. */
static inline uint32_t rig_reg(struct rig *g, uint32_t access)
{
	int rc = g->view.base != NULL ?
		phca_mr_reg(g->mem, g->pd, g->view.base, g->length, g->addr, access, &g->key) :
		phca_mr_reg_io(g->mem, g->pd, g->view.io, g->view.arg, g->length, g->addr, access, &g->key);

	CU_ASSERT_EQUAL_FATAL(rc, 0);
	return g->key;
}

/* Deregister and close the region. */
static inline void rig_free(struct rig *g)
{
	if (g->key != 0)
		CU_ASSERT_EQUAL(phca_mr_dereg(g->mem, g->key), 0);
	if (g->r != NULL)
		region_close(g->r);
	g->r = NULL;
	g->key = 0;
}

/* All. */
static inline void rig_close(struct rig *g)
{
	rig_free(g);
	regions_destroy(g->rs);
	phca_mem_destroy(g->mem);
	free(g->qsbr);
	if (g->swap != NULL)
		munmap(g->swap, g->swap_len);
	region_guard_fini();
}

#endif
