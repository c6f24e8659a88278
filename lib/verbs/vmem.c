/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registration of memory: ask the kernel what is mapped, make a plan, carry it out. It
 * keeps: a page is in the memfd from its first registration to its last deregistration,
 * and whatever stands in the tables is compared with what is mapped before it is touched,
 * because the application unmaps, moves and maps anew as it likes.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "vmem_impl.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Of earlier deregistrations that failed, at most so many are tried again at a time. */
#define LIMBO_TRIES 16

/*
 * The lock is in the arena: forked processes share registered pages for a moment. With all
 * signals blocked, as a handler in this thread could write to what is guarded and wait for
 * ever.
 */
int vmem_lock(sigset_t *old)
{
	int rc = vmem_arena_make();
	sigset_t all;

	if (rc != 0)
		return rc;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
	pthread_mutex_lock(&vmem->lock);
	return 0;
}

void vmem_unlock(const sigset_t *old)
{
	pthread_mutex_unlock(&vmem->lock);
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* ------------------------------------------------------------ the memfds */

/* RLIMIT_FSIZE would not only refuse, it would kill: SIGXFSZ. */
static int size_allowed(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_FSIZE, &r) == 0 && r.rlim_cur < VMEM_SPAN ? -EFBIG : 0;
}

static int memfd_make(struct vmem_own *own, unsigned int flags)
{
	int fd, rc;

	if (own->fd >= 0)
		return vmem_own_good(own) ? 0 : -EBADF;
	flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
	fd = memfd_create("proxyhca-memory", flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* Linux before 6.3 */
		fd = memfd_create("proxyhca-memory", flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)VMEM_SPAN) != 0 ||
			fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		rc = -errno;
	else
		rc = vmem_own_set(own, fd);
	if (rc != 0)
		close(fd);
	return rc;
}

static int ready(void)
{
	int rc;

	if (sysconf(_SC_PAGESIZE) != (long)VMEM_PAGE)
		return -ENOTSUP;
	rc = vmem_maps_open();
	if (rc == 0)
		rc = size_allowed();
	if (rc == 0)
		rc = memfd_make(&vmem->mem, 0);
	if (rc == 0)
		vmem_guard_init();
	return rc;
}

/* --------------------------------------------------------------- the plan */

/* [heap], [stack] and [anon:...] are memory as any; others are of the kernel. */
static bool special(const struct vmem_vma *vma)
{
	return vma->ino == 0 && vma->name[0] == '[' && strncmp(vma->name, "[heap", 5) != 0 &&
		strncmp(vma->name, "[stack", 6) != 0 && strncmp(vma->name, "[anon", 5) != 0;
}

static void classify(const struct vmem_vma *vma, struct vmem_plan *p)
{
	p->kind = VMEM_REMOTE;
	if (vma->prot == PROT_NONE || special(vma) || vmem_arena_has(p->start, p->end))
		return;
	if (vmem_vma_is(vma, &vmem->mem)) {
		p->kind = VMEM_SWAP;
		p->ours = vma->offset == vma->start;
	} else if (vmem_vma_is(vma, &vmem->huge)) {
		p->kind = VMEM_HUGE;
		p->ours = vma->offset == vma->start;
	} else if (vmem_vma_device(vma)) {
		return;
	} else if (vma->shared) {
		vmem_vma_file(vma, (vma->prot & PROT_WRITE) != 0, p);
	} else if (vma->page_size == VMEM_PAGE) {
		p->kind = VMEM_SWAP;
	} else if (vma->page_size == VMEM_HUGE_PAGE &&
			memfd_make(&vmem->huge, MFD_HUGETLB | 21U << MAP_HUGE_SHIFT) == 0) {
		p->kind = VMEM_HUGE;
	}
}

/* The part of vma that covers [at, end), as an entry of the plan. */
static int plan_vma(const struct vmem_vma *vma, uint64_t at, uint64_t end, bool need_write)
{
	struct vmem_plan *p;
	int rc = vmem_plan_reserve(vmem->n_plan + 1);

	if (rc != 0)
		return rc;
	if (need_write && (vma->prot & PROT_WRITE) == 0)
		return -EACCES;
	p = &vmem->plan[vmem->n_plan++];
	*p = (struct vmem_plan){
		.start = at, .end = end < vma->end ? end : vma->end, .vma_start = vma->start,
		.vma_end = vma->end, .offset = vma->offset + (at - vma->start), .prot = vma->prot,
		.fd = -1, .shmid = -1, .guard = (vma->prot & PROT_WRITE) != 0,
	};
	classify(vma, p);
	if (p->kind == VMEM_HUGE) {
		p->start = vmem_floor(p->start, VMEM_HUGE_PAGE);
		p->end = vmem_ceil(p->end, VMEM_HUGE_PAGE);
	}
	if (p->kind == VMEM_SWAP || p->kind == VMEM_HUGE)
		p->offset = p->start;
	return 0;
}

static int plan_range(uint64_t start, uint64_t end, bool need_write)
{
	struct vmem_vma vma;
	uint64_t at = start;
	int rc;

	vmem->n_plan = 0;
	if (start >= end)
		return 0;
	for (rc = vmem_vma_first(start, &vma); rc == 1; rc = vmem_vma_next(&vma)) {
		if (vma.start > at)
			return -EFAULT;
		rc = plan_vma(&vma, at, end, need_write);
		if (rc != 0)
			return rc;
		at = vma.end;
		if (at >= end)
			return 0;
	}
	return rc != 0 ? rc : -EFAULT;
}

static void plan_close(void)
{
	for (unsigned int i = 0; i < vmem->n_plan; i++)
		if (vmem->plan[i].fd >= 0)
			close(vmem->plan[i].fd);
}

/* The plan as segments. Neighbours in a memfd are one. */
static int plan_segs(struct vmem_seg *segs, unsigned int max, unsigned int *n)
{
	for (unsigned int i = 0; i < vmem->n_plan; i++) {
		const struct vmem_plan *p = &vmem->plan[i];
		struct vmem_seg *last = *n > 0 ? &segs[*n - 1] : NULL;
		bool writable = (p->prot & PROT_WRITE) != 0;

		if (last != NULL && last->kind == p->kind && last->writable == writable &&
				(p->kind == VMEM_SWAP || p->kind == VMEM_HUGE)) {
			last->len = p->end - last->va;
			continue;
		}
		if (*n == max)
			return -E2BIG;
		segs[(*n)++] = (struct vmem_seg){
			.va = p->start, .len = p->end - p->start, .kind = p->kind, .fd = p->fd,
			.offset = p->offset, .shmid = p->shmid, .vma_start = p->vma_start,
			.vma_end = p->vma_end, .writable = writable,
		};
	}
	return 0;
}

/* ------------------------------------------------------------ registration */

/*
 * The lowest mapping of a stack grows by itself; one of a memfd does not. Have the kernel
 * look below it: that makes another page of stack where it may, and is an error elsewhere.
 */
static void grow_stack(const struct vmem_plan *p)
{
	struct vmem_vma below;

	if (p->start != p->vma_start || p->kind != VMEM_SWAP)
		return;
	if (vmem_vma_first(p->start - 1, &below) == 1 && below.start < p->start)
		return;
	vmem_sys(SYS_faccessat, (uint64_t)AT_FDCWD, p->start - 8, 0, 0, 0, 0);
}

static int swap_in(struct vmem_plan *p, uint64_t addr, uint64_t len, uint64_t seq)
{
	bool huge = p->kind == VMEM_HUGE;
	uint64_t gen = vmem->next_gen++;
	int rc;

	vmem_range_cut(p->start, p->end); /* of mappings that are gone */
	if (vmem_has_data(p->start, p->end, huge))
		vmem_reclaim(p->start, p->end, huge);
	grow_stack(p);
	rc = vmem_run(vmem_swap, p);
	if (rc != 0)
		return rc;
	vmem_range_add(p->start, p->end, gen, 1, huge);
	vmem_hold_add(addr, len, seq, p->start, p->end, gen);
	vmem_join_note(p->start, p->end);
	return 0;
}

/* Count in what is swapped already. */
static void join(const struct vmem_plan *p, uint64_t addr, uint64_t len, uint64_t seq)
{
	uint64_t at = p->start;

	while (at < p->end) {
		unsigned int i = vmem_range_find(at);
		const struct vmem_range *r = i < vmem->n_ranges ? &vmem->ranges[i] : NULL;
		uint64_t end = p->end, gen;

		if (r != NULL && r->start <= at) {
			end = r->end < end ? r->end : end;
			gen = r->gen;
			vmem_range_count(at, end, gen, 1);
		} else { /* in a memfd, but in no range: the mapping grew */
			end = r != NULL && r->start < end ? r->start : end;
			gen = vmem->next_gen++;
			vmem_range_add(at, end, gen, 1, p->kind == VMEM_HUGE);
		}
		vmem_hold_add(addr, len, seq, at, end, gen);
		at = end;
	}
}

static void release(unsigned int at);

/* Room in the tables for all that can come of the plan, also when it is undone. */
static int reserve(uint64_t start, uint64_t end)
{
	unsigned int holds = 2 * vmem->n_plan + 2, i = vmem_range_find(start);

	for (; i < vmem->n_ranges && vmem->ranges[i].start < end; i++)
		holds += 2;
	return vmem_table_reserve(2 * (vmem->n_holds + holds) + 16, holds);
}

static int carry_out(uint64_t addr, uint64_t len)
{
	uint64_t seq = vmem->next_seq++;
	int rc = 0;

	/* one that counts nowhere: a registration is known though nothing of it is swapped */
	vmem_hold_add(addr, len, seq, 0, 0, 0);
	for (unsigned int i = 0; i < vmem->n_plan && rc == 0; i++) {
		struct vmem_plan *p = &vmem->plan[i];

		if (p->kind != VMEM_SWAP && p->kind != VMEM_HUGE)
			continue;
		if (p->ours)
			join(p, addr, len, seq);
		else
			rc = swap_in(p, addr, len, seq);
	}
	if (rc == 0)
		return 0;
	plan_close(); /* the plan is used anew */
	for (unsigned int at = vmem_hold_find(addr, len); at < vmem->n_holds; at++)
		if (vmem->holds[at].seq == seq) {
			release(at);
			break;
		}
	return rc;
}

static int reg(uint64_t addr, uint64_t len, bool need_write, struct vmem_seg *segs,
		unsigned int max, unsigned int *n)
{
	uint64_t start = vmem_floor(addr, VMEM_PAGE), end;
	int rc;

	if (addr >= VMEM_SPAN || len > VMEM_SPAN - addr)
		return -EFAULT;
	end = vmem_ceil(addr + len, VMEM_PAGE);
	if (len == 0)
		end = start;
	rc = ready();
	if (rc != 0)
		return rc;
	rc = plan_range(start, end, need_write);
	if (rc == 0)
		rc = plan_segs(segs, max, n);
	if (rc == 0)
		rc = reserve(start, end);
	if (rc != 0) {
		plan_close();
		return rc;
	}
	return carry_out(addr, len);
}

int vmem_reg(const void *addr, size_t len, bool need_write, struct vmem_seg *segs,
		unsigned int max, unsigned int *n)
{
	int cancel, rc, saved = errno;
	sigset_t old;

	*n = 0;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	rc = vmem_lock(&old);
	if (rc == 0) {
		rc = reg((uintptr_t)addr, len, need_write, segs, max, n);
		vmem_unlock(&old);
	}
	pthread_setcancelstate(cancel, NULL);
	if (rc != 0)
		*n = 0;
	errno = saved;
	return rc;
}

/* ---------------------------------------------------------- deregistration */

int vmem_plan_restore(uint64_t start, uint64_t end, bool huge)
{
	const struct vmem_own *own = huge ? &vmem->huge : &vmem->mem;
	struct vmem_vma vma;
	int rc;

	vmem->n_plan = 0;
	for (rc = vmem_vma_first(start, &vma); rc == 1 && vma.start < end;
			rc = vmem_vma_next(&vma)) {
		if (!vmem_vma_is(&vma, own) || vma.offset != vma.start)
			continue;
		rc = vmem_plan_reserve(vmem->n_plan + 1);
		if (rc != 0)
			return rc;
		vmem->plan[vmem->n_plan] = (struct vmem_plan){
			.start = vma.start > start ? vma.start : start,
			.end = vma.end < end ? vma.end : end, .prot = vma.prot, .fd = -1,
			.kind = huge ? VMEM_HUGE : VMEM_SWAP, .guard = (vma.prot & PROT_WRITE) != 0,
		};
		vmem->plan[vmem->n_plan].offset = vmem->plan[vmem->n_plan].start;
		vmem->n_plan++;
	}
	return rc < 0 ? rc : 0;
}

/* Take range i, which nobody needs, out of the memfd; what cannot be stays, counted 0. */
static void unswap(unsigned int i)
{
	struct vmem_range r = vmem->ranges[i];
	uint64_t at = r.start;
	bool huge = r.huge != 0;

	if (vmem_maps_open() != 0 || vmem_plan_restore(r.start, r.end, huge) != 0)
		return;
	vmem_range_cut(r.start, r.end);
	for (unsigned int k = 0; k < vmem->n_plan; k++) {
		struct vmem_plan *p = &vmem->plan[k];

		vmem_run(vmem_restore, p);
		if (p->done > 0) {
			vmem_join_wake(p->start, p->start + p->done);
			vmem_punch(p->start, p->start + p->done, huge);
		}
		if (p->start + p->done < p->end)
			vmem_range_add(p->start + p->done, p->end, vmem->next_gen++, 0, huge);
	}
	/* the rest was unmapped, or moved */
	for (unsigned int k = 0; k <= vmem->n_plan; k++) {
		uint64_t gap = k < vmem->n_plan ? vmem->plan[k].start : r.end;

		if (at < gap)
			vmem_reclaim(at, gap, huge);
		at = k < vmem->n_plan ? vmem->plan[k].end : r.end;
	}
}

/* Ranges of [start, end) that nobody counts in. @return how many were tried */
static unsigned int unswap_idle(uint64_t start, uint64_t end, unsigned int most)
{
	unsigned int tried = 0;

	while (start < end && tried < most && vmem->n_limbo > 0) {
		unsigned int i = vmem_range_find(start);

		while (i < vmem->n_ranges && vmem->ranges[i].count != 0)
			i++;
		if (i == vmem->n_ranges || vmem->ranges[i].start >= end)
			break;
		start = vmem->ranges[i].end;
		unswap(i);
		tried++;
	}
	return tried;
}

/* End the registration whose first hold is at. */
static void release(unsigned int at)
{
	uint64_t seq = vmem->holds[at].seq, start = UINT64_MAX, end = 0;
	unsigned int n = 0, before = vmem->n_limbo;

	for (; at + n < vmem->n_holds && vmem->holds[at + n].seq == seq; n++) {
		const struct vmem_hold *h = &vmem->holds[at + n];

		if (h->start == h->end)
			continue;
		vmem_range_count(h->start, h->end, h->gen, -1);
		start = h->start < start ? h->start : start;
		end = h->end > end ? h->end : end;
	}
	vmem_hold_del(at, n);
	unswap_idle(start, end, UINT32_MAX);
	if (before > 0)
		unswap_idle(0, VMEM_SPAN, LIMBO_TRIES);
}

void vmem_dereg(const void *addr, size_t len)
{
	int cancel, saved = errno;
	unsigned int at;
	sigset_t old;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (vmem_lock(&old) == 0) {
		at = vmem_hold_find((uintptr_t)addr, len);
		if (at < vmem->n_holds) {
			vmem_guard_init();
			release(at);
		}
		vmem_unlock(&old);
	}
	pthread_setcancelstate(cancel, NULL);
	errno = saved;
}

/* ------------------------------------------------------------ what there is */

int vmem_fd(void)
{
	sigset_t old;
	int fd;

	if (vmem_lock(&old) != 0)
		return -1;
	fd = vmem->mem.fd;
	vmem_unlock(&old);
	return fd;
}

int vmem_huge_fd(void)
{
	sigset_t old;
	int fd;

	if (vmem_lock(&old) != 0)
		return -1;
	fd = vmem->huge.fd;
	vmem_unlock(&old);
	return fd;
}

enum vmem_guard vmem_guard_mode(void)
{
	enum vmem_guard mode;
	sigset_t old;

	if (vmem_lock(&old) != 0)
		return VMEM_GUARD_SEGV;
	vmem_guard_init();
	mode = vmem->mode;
	vmem_unlock(&old);
	return mode;
}

void vmem_guard_limit(enum vmem_guard best)
{
	sigset_t old;

	if (vmem_lock(&old) != 0)
		return;
	vmem->limit = best;
	vmem_own_close(&vmem->uffd);
	vmem_unlock(&old);
}

void vmem_maps_text(bool text)
{
	sigset_t old;

	if (vmem_lock(&old) != 0)
		return;
	vmem->no_query = text;
	vmem_unlock(&old);
}

void vmem_stat(struct vmem_stat *s)
{
	sigset_t old;

	*s = (struct vmem_stat){ 0 };
	if (vmem_lock(&old) != 0)
		return;
	for (unsigned int i = 0; i < vmem->n_ranges; i++) {
		s->ranges++;
		s->bytes += vmem->ranges[i].end - vmem->ranges[i].start;
	}
	for (unsigned int i = 0; i < vmem->n_holds; i++)
		s->regs += vmem->holds[i].start == vmem->holds[i].end;
	vmem_unlock(&old);
}

/*
 * As early as can be: handlers of fork() that others install later run in the child after
 * ours, with memory of their own.
 */
__attribute__((constructor)) static void at_load(void)
{
	vmem_fork_init();
}
