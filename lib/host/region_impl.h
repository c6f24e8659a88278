/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of clients' memory regions share. */
#ifndef REGION_IMPL_H
#define REGION_IMPL_H

#include "region.h"

#define GRANULE (1ull << 21) /* of addresses: each belongs to one region at most; and a huge page */

/* A part of a region that is mapped: from where the last one ended. */
struct region_part {
	uint64_t end;  /* bytes from base */
	uint64_t page; /* bytes: what can be replaced by something else */
	bool populate_write; /* how it is touched first */
};

struct region {
	/* the signal handler reads these; constant while it is guarded */
	uint8_t *base;     /* of the mapping, page aligned as in the client; NULL: REMOTE */
	uint64_t len;      /* of the mapping */
	struct region_part *parts;
	uint32_t nb_parts;
	uint32_t broken;   /* the signal handler writes it, atomic */

	struct regions *of;
	uint64_t touched;  /* bytes from base */
	uint64_t delta;    /* what is to be added to the client's addresses; modulo 2^64 */
	uint64_t counted;  /* bytes in of->bytes */
	int mem_fd;        /* REMOTE: the client's */
	uint64_t va;       /* REMOTE: of the first byte that was asked for, in the client */
};

struct regions {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int pidfd;            /* says whether pid is still it */
	int mem_fd;           /* its address space, of the program it was then; -1: not opened yet */
	int swap_fd, huge_fd; /* what it shared; -1: nothing */
	struct region_limits max;
	uint64_t bytes;       /* in use */
	uint32_t count;       /* in use */
	uint32_t maps;        /* mappings of this process, in use */
};

/* An object that is mapped, opened and checked. */
struct region_object {
	int fd;
	uint64_t page; /* bytes; a huge page's, or the system's */
	bool memory;   /* its pages live in memory, not in a file system */
};

/* Where a segment goes. */
struct region_place {
	uint64_t delta;   /* see struct region */
	bool first, last; /* of its region */
};

/*
 * region.c: a client knows nothing of the size of pages of what it has mapped. Widen the
 * first and the last segment to whole ones; others lie between mappings of the client, so
 * they are whole. -EINVAL they are not; -EOPNOTSUPP pages larger than a granule
 */
int region_widen(struct phca_admin_seg *s, uint64_t *offset, uint64_t page, const struct region_place *at);

uint64_t region_page(void); /* the system's */
static inline bool region_aligned(uint64_t v, uint64_t to)
{
	return (v & (to - 1)) == 0;
}

/* region_open.c. All: 0 or negative errno as region_open. */
/* Look at a descriptor of the client's without asking a file system that could keep us waiting. */
int region_fd_check(int fd, struct region_object *o);
/* Open what a segment MAPPED names; write: to be written to. The descriptor is the caller's. */
int region_open_mapped(const struct regions *c, const struct phca_admin_seg *s, bool write, int *fd);
/* Map part of a SYSV segment, widened (region_widen). *page: see struct region_part. */
int region_map_sysv(const struct regions *c, struct phca_admin_seg *s, const struct region_place *at,
		bool write, uint64_t *page);
/* The address space of the client, kept in c->mem_fd. */
int region_open_mem(struct regions *c);

/*
 * region_guard.c. The region gets base and len: room for len bytes from va on, with all of
 * the granules that they touch, and delta, which is 0 modulo align. -ENOMEM
 */
int region_room(struct region *r, uint64_t va, uint64_t align);
/* Give back what is not from..to-1, addresses in this process. */
void region_trim(struct region *r, uint64_t from, uint64_t to);
/* Guarded from here on. -ENOMEM */
int region_guard(struct region *r);
/* Not guarded any more, and not mapped. */
void region_room_free(struct region *r);

/* region_remote.c: how REMOTE is reached; arg is the region. */
extern const struct phca_mr_io region_remote_io;
uint64_t region_remote_failed(void);
uint64_t region_guard_lost(void);

#endif
