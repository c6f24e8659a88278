/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region: from the list of segments that a client sent to memory that lib/mem can
 * use. The segments are mapped one behind the other, as they lie in the client, with
 * addresses equal modulo the size of huge pages; one that cannot be mapped makes the
 * whole region one without a pointer.
 *
 * It keeps: the list was checked as a whole before anything of it is used; what is
 * mapped is of the size that the list says; what a client uses never exceeds its
 * limits; a region whose creation fails leaves nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_errno.h>

#include "region_impl.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define ADDR_MAX  (1ull << 56) /* no address of a process is that large, and no sum wraps */
#define WRITES    (PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_ATOMIC)
#define ALIGN_MAX (1ull << 30) /* the largest page */
#define TOUCH_MAX (1ull << 30) /* bytes of a region that are touched */
#define MAPS_KEPT 8192u        /* mappings of this process that are not for clients */

static uint32_t maps_used;     /* by all clients */

/* ---------------------------------------------------------------- clients */

struct regions *regions_create(const struct ucred *who, const struct region_limits *max)
{
	struct regions *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	*c = (struct regions){ .pid = who->pid, .uid = who->uid, .gid = who->gid, .mem_fd = -1, .swap_fd = -1,
		.huge_fd = -1, .max = *max };
	c->pidfd = (int)syscall(SYS_pidfd_open, who->pid, 0);
	if (c->pidfd < 0) {
		rte_errno = errno == EINVAL ? ESRCH : errno;
		free(c);
		return NULL;
	}
	return c;
}

int regions_process(const struct regions *c)
{
	return c->pidfd;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void regions_destroy(struct regions *c)
{
	if (c == NULL)
		return;
	close_fd(c->pidfd);
	close_fd(c->mem_fd);
	close_fd(c->swap_fd);
	close_fd(c->huge_fd);
	free(c);
}

/* An object of offset == address: memory that cannot get smaller. */
static int share_check(int fd, bool huge)
{
	struct region_object o;
	int rc = region_fd_check(fd, &o);

	if (rc < 0 || !o.memory || (o.page == region_page()) == huge)
		return -EINVAL;
	return fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK ? 0 : -EPERM;
}

int regions_share(struct regions *c, uint32_t which, int *fds)
{
	bool swap = which & PHCA_ADMIN_MEM_SWAP, huge = which & PHCA_ADMIN_MEM_HUGE;
	int rc = 0;

	if (which == 0 || (which & ~(PHCA_ADMIN_MEM_SWAP | PHCA_ADMIN_MEM_HUGE)) != 0)
		return -EINVAL;
	if ((swap && c->swap_fd >= 0) || (huge && c->huge_fd >= 0))
		return -EEXIST;
	if (swap)
		rc = share_check(fds[0], false);
	if (rc == 0 && huge)
		rc = share_check(fds[swap], true);
	if (rc < 0)
		return rc;
	if (swap)
		c->swap_fd = fds[0];
	if (huge)
		c->huge_fd = fds[swap];
	fds[0] = -1;
	fds[swap && huge] = -1;
	return 0;
}

/* --------------------------------------------------------------- the list */

/*
 * Mappings are few (vm.max_map_count, 65530 by default) and all clients' together: a client
 * may have as many as are left after it, so that it leaves some for the others.
 */
static bool maps_left(const struct regions *c, uint32_t need)
{
	static uint32_t budget;
	unsigned int max = 65530;
	FILE *f;

	if (budget == 0) {
		f = fopen("/proc/sys/vm/max_map_count", "re");
		if (f != NULL) {
			if (fscanf(f, "%u", &max) != 1)
				max = 65530;
			fclose(f);
		}
		budget = max > 2 * MAPS_KEPT ? max - MAPS_KEPT : max / 2;
	}
	return maps_used <= budget && need <= budget - maps_used && c->maps + need <= budget - maps_used - need;
}

/* What the list comes to. */
struct plan {
	uint64_t len;   /* bytes of all segments */
	bool remote, write;
};

static int segment_check(const struct phca_admin_seg *s, struct plan *p)
{
	const uint64_t page = region_page();

	if (s->length == 0 || s->va >= ADDR_MAX || s->length >= ADDR_MAX || s->offset >= ADDR_MAX ||
			!region_aligned(s->va | s->length | s->offset, page) || s->writable > 1 || s->rsvd != 0)
		return -EINVAL;
	switch (s->kind) {
	case PHCA_ADMIN_SEG_REMOTE:
		p->remote = true;
		break;
	case PHCA_ADMIN_SEG_SWAP:
	case PHCA_ADMIN_SEG_HUGE:
	case PHCA_ADMIN_SEG_FILE:
	case PHCA_ADMIN_SEG_MAPPED:
	case PHCA_ADMIN_SEG_SYSV:
		break;
	default:
		return -EINVAL;
	}
	return p->write && !s->writable ? -EACCES : 0;
}

static int list_check(const struct regions *c, const struct phca_admin_mr_reg *rq,
		const struct phca_admin_seg *segs, struct plan *p)
{
	uint64_t end;

	*p = (struct plan){ .write = (rq->access & WRITES) != 0 };
	if (rq->nb_segs < 1 || rq->nb_segs > PHCA_ADMIN_SEGS_MAX || rq->length == 0 || rq->addr >= ADDR_MAX ||
			rq->length >= ADDR_MAX)
		return -EINVAL;
	end = segs[0].va;
	for (uint32_t i = 0; i < rq->nb_segs; i++) {
		int rc = segment_check(&segs[i], p);

		if (rc < 0)
			return rc;
		if (segs[i].va != end) /* a gap, an overlap, another order */
			return -EINVAL;
		end += segs[i].length;
	}
	/* they cover what is asked for, and not a page more; pages may be huge */
	p->len = end - segs[0].va;
	if (segs[0].va > rq->addr || rq->addr - segs[0].va >= segs[0].length || end < rq->addr + rq->length ||
			end - (rq->addr + rq->length) >= segs[rq->nb_segs - 1].length)
		return -EINVAL;
	if (p->len > c->max.bytes || c->bytes > c->max.bytes - p->len || c->count >= c->max.count)
		return -ENOMEM;
	if (p->remote)
		return c->max.remote ? 0 : -EOPNOTSUPP;
	return maps_left(c, rq->nb_segs) ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------- map */

int region_widen(struct phca_admin_seg *s, uint64_t *offset, uint64_t page, const struct region_place *at)
{
	uint64_t from = s->va & ~(page - 1), to = (s->va + s->length + page - 1) & ~(page - 1);

	if (page > GRANULE && !region_aligned(s->va | s->length, page))
		return -EOPNOTSUPP;
	if ((from != s->va && !at->first) || (to != s->va + s->length && !at->last) || s->va - from > *offset)
		return -EINVAL;
	*offset -= s->va - from;
	s->va = from;
	s->length = to - from;
	return region_aligned(*offset, page) ? 0 : -EINVAL;
}

/* Map an object at its place. */
static int map_object(const struct region_object *o, struct phca_admin_seg *s, uint64_t offset, bool write,
		const struct region_place *at)
{
	int rc = region_widen(s, &offset, o->page, at);
	uint64_t size;
	struct stat st;

	if (rc < 0)
		return rc;
	if (fstat(o->fd, &st) < 0)
		return -errno;
	size = ((uint64_t)st.st_size + o->page - 1) & ~(o->page - 1);
	if (!S_ISREG(st.st_mode) || offset > size || s->length > size - offset)
		return -EINVAL;
	if (mmap((void *)(at->delta + s->va), s->length, write ? PROT_READ | PROT_WRITE : PROT_READ,
			MAP_SHARED | MAP_FIXED, o->fd, (off_t)offset) == MAP_FAILED)
		return -errno;
	return 0;
}

static int map_fd(int fd, struct phca_admin_seg *s, uint64_t offset, bool write, const struct region_place *at,
		struct region_object *o)
{
	int rc = fd < 0 ? -EINVAL : region_fd_check(fd, o);

	return rc < 0 ? rc : map_object(o, s, offset, write, at);
}

static int map_segment(const struct regions *c, struct phca_admin_seg *s, int file, bool write,
		const struct region_place *at, struct region_object *o)
{
	int rc, fd;

	switch (s->kind) {
	case PHCA_ADMIN_SEG_SWAP:
		return map_fd(c->swap_fd, s, s->va, write, at, o);
	case PHCA_ADMIN_SEG_HUGE:
		return map_fd(c->huge_fd, s, s->va, write, at, o);
	case PHCA_ADMIN_SEG_FILE:
		return map_fd(file, s, s->offset, write, at, o);
	case PHCA_ADMIN_SEG_MAPPED:
		rc = region_open_mapped(c, s, write, &fd);
		if (rc == 0) {
			rc = map_fd(fd, s, s->offset, write, at, o);
			close(fd);
		}
		return rc;
	default:
		*o = (struct region_object){ .fd = -1, .memory = true };
		return region_map_sysv(c, s, at, write, &o->page);
	}
}

/*
 * Have all pages there, so that an lcore does not wait for them. Files are not written
 * to for that. Where the kernel cannot, each is read; what is gone then is for the guard.
 */
static int touch(uint8_t *at, uint64_t len, bool write, uint64_t page)
{
	while (madvise(at, len, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) < 0) {
		if (errno == EINTR || errno == EAGAIN)
			continue;
		if (errno != EINVAL)
			return errno == ENOMEM ? -ENOMEM : -EFAULT;
		for (uint64_t i = 0; i < len; i += page)
			(void)*(volatile uint8_t *)(at + i);
		break;
	}
	return 0;
}

/* Map all segments; *r gets the size that they have then. */
static int map_all(struct region *r, const struct phca_admin_seg *segs, uint32_t nb, const int *fds, bool write)
{
	uint64_t from = segs[0].va, to = from;
	struct region_object o;
	uint32_t file = 0;

	for (uint32_t i = 0; i < nb; i++) {
		const struct region_place at = { .delta = r->delta, .first = i == 0, .last = i == nb - 1 };
		bool is_file = segs[i].kind == PHCA_ADMIN_SEG_FILE;
		struct phca_admin_seg s = segs[i];
		void *p;
		int rc = map_segment(r->of, &s, is_file ? fds[file] : -1, write, &at, &o);

		if (rc < 0)
			return rc;
		file += is_file;
		if (i == 0)
			from = s.va;
		to = s.va + s.length;
		/* a write would change times and blocks of a file */
		r->parts[i] = (struct region_part){ .end = to - from, .page = o.page,
			.populate_write = write && o.memory };
		/* neither in core files nor in children; as a wish */
		p = (void *)(r->delta + s.va);
		(void)madvise(p, s.length, MADV_DONTDUMP);
		(void)madvise(p, s.length, MADV_DONTFORK);
	}
	region_trim(r, r->delta + from, r->delta + to);
	return 0;
}

int region_touch(struct region *r, uint64_t bytes)
{
	uint64_t all = r->base == NULL ? 0 : r->len < TOUCH_MAX ? r->len : TOUCH_MAX;
	uint64_t to = all - r->touched < bytes ? all : r->touched + bytes;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < r->nb_parts && r->touched < to; i++) {
		const struct region_part *p = &r->parts[i];
		uint64_t end = p->end < to ? p->end : to;

		if (p->end <= r->touched)
			continue;
		rc = touch(r->base + r->touched, end - r->touched, p->populate_write, p->page);
		r->touched = end;
	}
	if (rc == 0 && region_broken(r))
		rc = -EFAULT;
	return rc < 0 ? rc : r->touched < all;
}

/* Of a region that is mapped: one that lies in huge pages needs as much alignment. */
static uint64_t align_of(const struct phca_admin_seg *segs, uint32_t nb)
{
	for (uint64_t align = ALIGN_MAX; align > GRANULE; align >>= 9)
		for (uint32_t i = 0; i < nb; i++)
			if (segs[i].length >= align && region_aligned(segs[i].va | segs[i].length, align))
				return align;
	return GRANULE;
}

static int open_mapped(struct region *r, const struct phca_admin_mr_reg *rq, const struct phca_admin_seg *segs,
		const int *fds, bool write)
{
	int rc;

	r->parts = calloc(rq->nb_segs, sizeof(*r->parts));
	if (r->parts == NULL)
		return -ENOMEM;
	r->nb_parts = rq->nb_segs;
	r->of->maps += r->nb_parts;
	maps_used += r->nb_parts;
	rc = region_room(r, segs[0].va, align_of(segs, rq->nb_segs));
	if (rc == 0)
		rc = map_all(r, segs, rq->nb_segs, fds, write);
	return rc == 0 ? region_guard(r) : rc;
}

int region_open(struct regions *c, const struct phca_admin_mr_reg *rq, const struct phca_admin_seg *segs,
		const int *fds, struct region **out, struct region_view *view)
{
	struct region *r;
	struct plan p;
	int rc = list_check(c, rq, segs, &p);

	if (rc < 0)
		return rc;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	*r = (struct region){ .of = c, .len = p.len, .va = rq->addr, .counted = p.len };
	c->bytes += r->counted;
	c->count++;
	if (p.remote) {
		rc = region_open_mem(c);
		r->mem_fd = c->mem_fd;
		*view = (struct region_view){ .io = &region_remote_io, .arg = r };
	} else {
		rc = open_mapped(r, rq, segs, fds, p.write);
		if (rc == 0)
			*view = (struct region_view){ .base = (void *)(r->delta + rq->addr) };
	}
	if (rc < 0) {
		region_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

void region_close(struct region *r)
{
	r->of->bytes -= r->counted;
	r->of->count--;
	r->of->maps -= r->nb_parts;
	maps_used -= r->nb_parts;
	if (r->base != NULL)
		region_room_free(r);
	free(r->parts);
	free(r);
}

bool region_broken(const struct region *r)
{
	return __atomic_load_n(&r->broken, __ATOMIC_ACQUIRE) != 0;
}

void region_stats_get(struct region_stats *st)
{
	st->client_memory_lost = region_guard_lost();
	st->client_copies_failed = region_remote_failed();
}
