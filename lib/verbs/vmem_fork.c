/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fork(): swapped pages are shared memory, so a child would write to its parent's. It gets
 * private copies before fork() returns in it, as newer kernels give it of pages that a
 * device holds; nothing is taken out of the child (MADV_DONTFORK), since the pages hold more
 * than the registered bytes: neighbours on the heap, the stack. The child has no registration,
 * and makes a memfd of its own at need.
 *
 * Until then, parent and child must not run on the same page: what of the stack is swapped
 * where the thread runs, and its thread-local data, are made private before and joined again
 * in the parent; there, what the thread wrote goes to the memfd byte by byte, so that what
 * the appliance wrote beside it in the meantime is kept.
 *
 * The parent's fork() returns when the copies are made. What its other threads, and the
 * appliance, write in that time, the child may see or not. vfork() and posix_spawn() share
 * everything on purpose, and cost nothing here.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <time.h>

#include "vmem_impl.h"

/* Around the frame of a handler, and below pthread_self(), what fork() writes. */
#define STACK_BELOW (UINT64_C(64) << 10)
#define STACK_ABOVE (UINT64_C(4) << 10)
#define TLS_BELOW (UINT64_C(16) << 10)

/* How long a parent waits for its child's copies at most, in s. */
#define FORK_LIMIT_S 60

/* Whether prepare() of this thread got the lock. */
static __thread bool locked __attribute__((tls_model("initial-exec")));

static void park_one(const struct vmem_plan *plan)
{
	struct vmem_plan *p = &vmem->parked[vmem->n_parked];

	if (vmem->n_parked == VMEM_PARKED_MAX)
		return;
	*p = *plan;
	p->base = vmem_mmap(p->end - p->start, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (p->base == NULL)
		return;
	if (vmem_run(vmem_restore, p) == 0)
		vmem->n_parked++;
	else
		vmem_munmap(p->base, p->end - p->start);
}

/* Make private what is swapped of [start, end); the counts stay. */
static void park(uint64_t start, uint64_t end)
{
	unsigned int i;

	start = vmem_floor(start, VMEM_PAGE);
	end = vmem_ceil(end, VMEM_PAGE);
	for (i = vmem_range_find(start); i < vmem->n_ranges && vmem->ranges[i].start < end; i++) {
		const struct vmem_range *r = &vmem->ranges[i];

		if (r->huge != 0 || vmem_plan_restore(r->start > start ? r->start : start,
				r->end < end ? r->end : end, false) != 0)
			continue;
		for (unsigned int k = 0; k < vmem->n_plan; k++)
			park_one(&vmem->plan[k]);
	}
}

static void unpark(bool rejoin)
{
	for (unsigned int i = 0; i < vmem->n_parked; i++) {
		struct vmem_plan *p = &vmem->parked[i];

		if (rejoin)
			vmem_run(vmem_rejoin, p);
		vmem_munmap(p->base, p->end - p->start);
	}
	vmem->n_parked = 0;
}

static void prepare(void)
{
	uint64_t frame = (uintptr_t)__builtin_frame_address(0), tcb = (uintptr_t)pthread_self();
	sigset_t old;

	locked = vmem_lock(&old) == 0;
	if (!locked)
		return;
	vmem->fork_mask = old;
	vmem->fork_pipe[0] = vmem->fork_pipe[1] = -1;
	if (vmem->n_ranges == 0)
		return;
	if (pipe2(vmem->fork_pipe, O_CLOEXEC) != 0)
		vmem->fork_pipe[0] = vmem->fork_pipe[1] = -1;
	if (vmem_maps_open() != 0)
		return;
	vmem_guard_init();
	park(frame - STACK_BELOW, frame + STACK_ABOVE);
	park(tcb - TLS_BELOW, tcb + VMEM_PAGE);
}

static void parent(void)
{
	struct pollfd end = { .events = 0 };
	struct timespec limit = { .tv_sec = FORK_LIMIT_S };
	sigset_t old;

	if (!locked)
		return;
	if (vmem->fork_pipe[0] >= 0) {
		end.fd = vmem->fork_pipe[0];
		close(vmem->fork_pipe[1]);
		/* the end: the child has closed it, or is no more, or was never made. A limit, as
		 * somebody may have a copy of the pipe who was made without these handlers */
		vmem_sys(SYS_ppoll, (uintptr_t)&end, 1, (uintptr_t)&limit, 0, 0, 0);
		close(vmem->fork_pipe[0]);
	}
	unpark(true);
	old = vmem->fork_mask;
	vmem_unlock(&old);
}

/* One mapping. Without memory for a copy: one that is copied when it is written to. */
static void make_private(struct vmem_plan *p, int fd)
{
	uint64_t at;

	if (vmem_restore(p) == 0)
		return;
	at = p->start + p->done;
	vmem_sys(SYS_mmap, at, p->end - at, (uint64_t)p->prot, MAP_PRIVATE | MAP_FIXED, (uint64_t)fd,
		p->offset + p->done);
}

/* All mappings of the memfds, also those that the application moved. */
static void make_all_private(void)
{
	struct vmem_vma vma;
	uint64_t from = 0;

	while (vmem_vma_first(from, &vma) == 1) {
		bool huge = vmem_vma_is(&vma, &vmem->huge);
		struct vmem_plan p = {
			.start = vma.start, .end = vma.end, .offset = vma.offset, .prot = vma.prot,
			.kind = huge ? VMEM_HUGE : VMEM_SWAP, .fd = -1,
		};

		from = vma.end;
		if (huge || vmem_vma_is(&vma, &vmem->mem))
			make_private(&p, huge ? vmem->huge.fd : vmem->mem.fd);
	}
}

static void child(void)
{
	sigset_t old;

	if (!locked)
		return;
	pthread_mutex_init(&vmem->lock, NULL); /* its threads are gone */
	pthread_mutex_lock(&vmem->lock);
	vmem_own_close(&vmem->maps); /* they are the parent's */
	vmem_own_close(&vmem->uffd);
	if (vmem->n_ranges > 0 && vmem_maps_open() == 0)
		make_all_private();
	unpark(false);
	vmem_own_close(&vmem->mem);
	vmem_own_close(&vmem->huge);
	vmem_own_close(&vmem->maps);
	vmem->n_ranges = vmem->n_holds = vmem->n_limbo = vmem->n_tcbs = 0;
	if (vmem->fork_pipe[0] >= 0) {
		close(vmem->fork_pipe[0]);
		close(vmem->fork_pipe[1]);
	}
	old = vmem->fork_mask;
	vmem_unlock(&old);
}

void vmem_fork_init(void)
{
	pthread_atfork(prepare, parent, child);
}
