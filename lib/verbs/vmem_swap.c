/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moving pages between private memory and the memfds, in place. Both ways the same four
 * steps: hold writers off, copy, replace the mapping by one mmap(MAP_FIXED) or mremap(),
 * let writers go on. At each moment the addresses are mapped, with the same contents.
 *
 * Between the first and the last step this thread writes nothing but its own frames, which
 * are not in the range: where they would be, the whole runs elsewhere (vmem_off_stack).
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "vmem_impl.h"

/* ThreadSanitizer takes clone() for fork(). */
#ifdef PHCA_TSAN
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

/* Around a frame, what may be written while its function runs. */
#define STACK_BELOW (UINT64_C(128) << 10)
#define STACK_ABOVE (UINT64_C(16) << 10)

struct off_stack {
	int (*fn)(void *arg);
	void *arg;
	int rc;
};

static int off_stack_main(void *arg)
{
	struct off_stack *o = arg;

	o->rc = o->fn(o->arg);
	return 0;
}

/*
 * As vfork() does: a child that shares everything, on a stack of its own, while this thread
 * sleeps in the kernel, where nothing of it writes to its stack or its thread's data. The
 * child has no exit signal, so that no wait() of the application sees it.
 */
int vmem_off_stack(int (*fn)(void *), void *arg)
{
	struct off_stack o = { fn, arg, -EAGAIN };
	int pid = clone(off_stack_main, vmem->stack_top, CLONE_VM | CLONE_VFORK | CLONE_FILES, &o);

	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
		;
	return o.rc;
}

struct run {
	int (*fn)(struct vmem_plan *p);
	struct vmem_plan *p;
};

static int run_fn(void *arg)
{
	struct run *r = arg;

	return r->fn(r->p);
}

/*
 * Around this frame are those of our callers, whose locals are written, and of what we
 * call. At pthread_self() the kernel keeps data of the thread (rseq) up to date.
 */
int vmem_run(int (*fn)(struct vmem_plan *p), struct vmem_plan *p)
{
	uint64_t frame = (uintptr_t)__builtin_frame_address(0), tcb = (uintptr_t)pthread_self();
	struct run r = { fn, p };

	if ((p->start < frame + STACK_ABOVE && p->end > frame - STACK_BELOW) ||
			(p->start < tcb + VMEM_PAGE && p->end > vmem_floor(tcb, VMEM_PAGE)))
		return vmem_off_stack(run_fn, &r);
	return fn(p);
}

/* The copies are the kernel's: what the application unmaps meanwhile is an error, no signal. */
VMEM_BARE static long copy_out(int fd, uint64_t va, uint64_t len)
{
	for (uint64_t done = 0; done < len;) {
		long n = vmem_sys(SYS_pwrite64, (uint64_t)fd, va + done, len - done, va + done, 0, 0);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EIO : n;
		done += (uint64_t)n;
	}
	return 0;
}

VMEM_BARE static long copy_in(int fd, uint64_t to, uint64_t len, uint64_t offset)
{
	for (uint64_t done = 0; done < len;) {
		long n = vmem_sys(SYS_pread64, (uint64_t)fd, to + done, len - done, offset + done, 0, 0);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EIO : n;
		done += (uint64_t)n;
	}
	return 0;
}

/* hugetlbfs has no write(): through a mapping of it. */
VMEM_BARE static long copy_self(uint64_t va, uint64_t len, char *window)
{
	long n;

	for (uint64_t done = 0; done < len; done += (uint64_t)n) {
		uint64_t local[2] = { (uintptr_t)window + done, len - done };
		uint64_t remote[2] = { va + done, len - done };

		n = vmem_sys(SYS_process_vm_readv, (uint64_t)vmem_sys(SYS_getpid, 0, 0, 0, 0, 0, 0),
			(uintptr_t)local, 1, (uintptr_t)remote, 1, 0);
		if (n <= 0)
			return n == 0 ? -EFAULT : n;
	}
	return 0;
}

VMEM_BARE static int swap_step(const struct vmem_plan *p, uint64_t va, uint64_t len, int fd,
		char *window)
{
	int how = 0;
	long rc;

	if (p->guard) {
		how = vmem_guard_on(va, len, p->prot);
		if (how < 0)
			return how;
	}
	rc = window != NULL ? copy_self(va, len, window) : copy_out(fd, va, len);
	if (rc == 0) {
		rc = vmem_sys(SYS_mmap, va, len, (uint64_t)p->prot, MAP_SHARED | MAP_FIXED,
			(uint64_t)fd, va);
		if (rc > 0)
			rc = 0;
	}
	if (p->guard)
		vmem_guard_off(va, len, p->prot, how, rc == 0);
	return (int)rc;
}

int vmem_swap(struct vmem_plan *p)
{
	bool huge = p->kind == VMEM_HUGE;
	int fd = huge ? vmem->huge.fd : vmem->mem.fd, rc = 0;
	uint64_t va = p->start;

	while (rc == 0 && va < p->end) {
		uint64_t len = p->end - va < VMEM_STEP ? p->end - va : VMEM_STEP;
		char *window = NULL;

		if (huge) {
			window = vmem_mmap(len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, va);
			if (window == NULL)
				rc = -ENOMEM;
		}
		if (rc == 0)
			rc = swap_step(p, va, len, fd, window);
		if (window != NULL)
			vmem_munmap(window, len);
		if (rc == 0)
			va += len;
	}
	if (rc != 0 && va > p->start) { /* what is done must be undone */
		struct vmem_plan back = *p;

		back.end = va;
		back.offset = p->start;
		vmem_restore(&back);
	}
	/* out of huge pages is not out of memory: there are other ways */
	return huge && rc == -ENOMEM ? -ENOSPC : rc;
}

/* Into private memory at "to", and that to va. */
VMEM_BARE static int restore_step(const struct vmem_plan *p, uint64_t va, uint64_t len, int fd,
		uint64_t to)
{
	int how = 0;
	long rc;

	if (p->guard) {
		how = vmem_guard_on(va, len, p->prot);
		if (how < 0)
			return how;
	}
	rc = fd >= 0 ? copy_in(fd, to, len, va - p->start + p->offset) :
		copy_self(va, len, (char *)to);
	if (rc == 0 && p->base != NULL)
		rc = copy_self(to, len, p->base + (va - p->start));
	if (rc == 0 && p->prot != (PROT_READ | PROT_WRITE))
		rc = vmem_sys(SYS_mprotect, to, len, (uint64_t)p->prot, 0, 0, 0);
	if (rc == 0) {
		rc = vmem_sys(SYS_mremap, to, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, va, 0);
		if (rc > 0)
			rc = 0;
	}
	if (p->guard)
		vmem_guard_off(va, len, p->prot, how, rc == 0);
	return (int)rc;
}

/*
 * p->start and end, offset, prot, guard and kind of one mapping of a memfd of ours. The
 * private copy is one mapping from which the steps take, so that they grow together again.
 */
int vmem_restore(struct vmem_plan *p)
{
	uint64_t len = p->end - p->start, done = 0;
	int rc = 0;
	const struct vmem_own *own = p->kind == VMEM_HUGE ? &vmem->huge : &vmem->mem;
	int fd = vmem_own_good(own) ? own->fd : -1; /* else read the mapping itself */
	char *to = vmem_mmap(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		(p->kind == VMEM_HUGE ? MAP_HUGETLB | 21 << MAP_HUGE_SHIFT : 0), -1, 0);

	p->done = 0;
	if (to == NULL)
		return -ENOMEM;
	while (done < len) {
		uint64_t step = len - done < VMEM_STEP ? len - done : VMEM_STEP;

		rc = restore_step(p, p->start + done, step, fd, (uintptr_t)to + done);
		if (rc != 0)
			break;
		done += step;
	}
	if (done < len)
		vmem_munmap(to + done, len - done);
	p->done = done;
	return rc;
}

/* Where two copies differ in [at, len): from there to where they are alike again. */
VMEM_BARE static uint64_t differ(const volatile char *a, const volatile char *b, uint64_t at,
		uint64_t len, uint64_t *end)
{
	while (at < len && a[at] == b[at])
		at++;
	for (*end = at; *end < len && a[*end] != b[*end];)
		++*end;
	return at;
}

VMEM_BARE int vmem_rejoin(struct vmem_plan *p)
{
	uint64_t len = p->end - p->start, end = 0, at;
	char *now = (char *)(uintptr_t)p->start;
	int how = 0;
	long rc = 0;

	if (p->guard) {
		how = vmem_guard_on(p->start, len, p->prot);
		if (how < 0)
			return how;
	}
	while (rc == 0 && (at = differ(now, p->base, end, len, &end)) < len)
		rc = copy_out(vmem->mem.fd, p->start + at, end - at);
	if (rc == 0) {
		rc = vmem_sys(SYS_mmap, p->start, len, (uint64_t)p->prot, MAP_SHARED | MAP_FIXED,
			(uint64_t)vmem->mem.fd, p->start);
		if (rc > 0)
			rc = 0;
	}
	if (p->guard)
		vmem_guard_off(p->start, len, p->prot, how, rc == 0);
	return (int)rc;
}

bool vmem_has_data(uint64_t start, uint64_t end, bool huge)
{
	const struct vmem_own *own = huge ? &vmem->huge : &vmem->mem;
	off_t at = vmem_own_good(own) ? lseek(own->fd, (off_t)start, SEEK_DATA) : -1;

	return at >= 0 && (uint64_t)at < end;
}

void vmem_punch(uint64_t start, uint64_t end, bool huge)
{
	const struct vmem_own *own = huge ? &vmem->huge : &vmem->mem;

	if (vmem_own_good(own))
		fallocate(own->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
			(off_t)(end - start));
}

/* The part of a mapping of a memfd that shows [start, end) of it. @return whether any */
static bool shown(const struct vmem_vma *vma, uint64_t start, uint64_t end, struct vmem_plan *p)
{
	uint64_t first = vma->offset, last = vma->offset + (vma->end - vma->start);

	if (first >= end || last <= start)
		return false;
	first = first > start ? first : start;
	last = last < end ? last : end;
	*p = (struct vmem_plan){
		.start = vma->start + (first - vma->offset), .end = vma->start + (last - vma->offset),
		.offset = first, .prot = vma->prot, .guard = (vma->prot & PROT_WRITE) != 0,
		.fd = -1,
	};
	return true;
}

/*
 * Normally nobody shows these pages by now. The application may have moved their mapping
 * (realloc() of a large block does), and must keep what is in it.
 */
void vmem_reclaim(uint64_t start, uint64_t end, bool huge)
{
	const struct vmem_own *own = huge ? &vmem->huge : &vmem->mem;
	uint64_t from = 0;
	struct vmem_vma vma;
	struct vmem_plan p;
	int rc;

	if (!vmem_has_data(start, end, huge))
		return;
	for (rc = vmem_vma_first(from, &vma); rc == 1;) {
		from = vma.end;
		if (!vmem_vma_is(&vma, own) || !shown(&vma, start, end, &p)) {
			rc = vmem_vma_next(&vma);
			continue;
		}
		p.kind = huge ? VMEM_HUGE : VMEM_SWAP;
		if (vmem_run(vmem_restore, &p) != 0)
			return; /* it still needs them */
		rc = vmem_vma_first(from, &vma);
	}
	if (rc == 0)
		vmem_punch(start, end, huge);
}
