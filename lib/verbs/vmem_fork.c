/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fork(): swapped pages are shared memory, so a child would write to its parent's. It gets
 * private copies before fork() returns in it, as newer kernels give it of pages that a
 * device holds; nothing is taken out of the child (MADV_DONTFORK), since the pages hold more
 * than the registered bytes: neighbours on the heap, the stack. The child has no registration,
 * and makes a memfd of its own at need.
 *
 * The parent's fork() returns when the copies are made. What its other threads, and the
 * appliance, write in that time, the child may see or not. vfork() and posix_spawn() share
 * everything on purpose, and cost nothing here.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "vmem_impl.h"

static void prepare(void)
{
	sigset_t old;

	vmem_lock(&old);
	vmem->fork_mask = old;
	if (vmem->n_ranges == 0 || pipe2(vmem->fork_pipe, O_CLOEXEC) != 0)
		vmem->fork_pipe[0] = vmem->fork_pipe[1] = -1;
}

static void parent(void)
{
	sigset_t old = vmem->fork_mask;
	char c;

	if (vmem->fork_pipe[0] >= 0) {
		close(vmem->fork_pipe[1]);
		/* the end: the child has closed it, or is no more, or was never made */
		while (vmem_sys(SYS_read, (uint64_t)vmem->fork_pipe[0], (uintptr_t)&c, 1, 0, 0, 0) == -EINTR)
			;
		close(vmem->fork_pipe[0]);
	}
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
static int make_all_private(void *arg)
{
	struct vmem_vma vma;
	uint64_t from = 0;

	(void)arg;
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
	return 0;
}

static void child(void)
{
	sigset_t old = vmem->fork_mask;

	vmem_relock_in_child();
	vmem_own_close(&vmem->maps); /* they are the parent's */
	vmem_own_close(&vmem->uffd);
	if (vmem->n_ranges > 0 && vmem_maps_open() == 0)
		vmem_off_stack(make_all_private, NULL);
	vmem_own_close(&vmem->mem);
	vmem_own_close(&vmem->huge);
	vmem_own_close(&vmem->maps);
	vmem->n_ranges = vmem->n_holds = vmem->n_limbo = 0;
	if (vmem->fork_pipe[0] >= 0) {
		close(vmem->fork_pipe[0]);
		close(vmem->fork_pipe[1]);
	}
	vmem_unlock(&old);
}

int vmem_fork_init(void)
{
	return -pthread_atfork(prepare, parent, child);
}
