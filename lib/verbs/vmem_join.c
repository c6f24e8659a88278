/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pthread_join() and registered stacks. It waits on a word at the top of the thread's stack,
 * which the kernel clears and wakes when the thread ends. As that is no private futex, the
 * kernel names the word by what is mapped there: who began to wait while the page was
 * swapped is not found when it is private again, and the other way round.
 *
 * So who waits by the name in the memfd is woken when the page becomes private, to wait
 * anew; and a thread makes the page private when it ends, whatever is still registered.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include "vmem_impl.h"

/* The word is so far from pthread_self() at most. */
#define JOIN_AREA UINT64_C(1024)

static bool overlaps(uint64_t tcb, uint64_t start, uint64_t end)
{
	return tcb < end && tcb + JOIN_AREA > start;
}

/* The thread ends: as the last deregistration of this page would. */
static void thread_ends(void *arg)
{
	uint64_t tcb = (uintptr_t)arg, start = vmem_floor(tcb, VMEM_PAGE);
	uint64_t end = vmem_ceil(tcb + JOIN_AREA, VMEM_PAGE);
	sigset_t old;

	if (vmem_lock(&old) != 0)
		return;
	vmem_guard_init();
	if (vmem_maps_open() == 0 && vmem_plan_restore(start, end, false) == 0) {
		vmem_range_cut(start, end);
		for (unsigned int i = 0; i < vmem->n_plan; i++) {
			struct vmem_plan *p = &vmem->plan[i];

			if (vmem_run(vmem_restore, p) != 0)
				continue;
			vmem_join_wake(p->start, p->end);
			vmem_punch(p->start, p->end, false);
		}
	}
	vmem_unlock(&old);
}

/* [start, end) has been swapped by this thread. */
void vmem_join_note(uint64_t start, uint64_t end)
{
	uint64_t tcb = (uintptr_t)pthread_self();

	if (!overlaps(tcb, start, end) || vmem->n_tcbs == VMEM_TCBS_MAX)
		return;
	if (!vmem->has_key)
		vmem->has_key = pthread_key_create(&vmem->key, thread_ends) == 0;
	if (vmem->has_key)
		pthread_setspecific(vmem->key, (void *)(uintptr_t)tcb);
	for (unsigned int i = 0; i < vmem->n_tcbs; i++)
		if (vmem->tcbs[i] == tcb)
			return;
	vmem->tcbs[vmem->n_tcbs++] = tcb;
}

static void wake(uint64_t tcb, uint64_t start, uint64_t end)
{
	uint64_t first = tcb > start ? tcb : start;
	uint64_t last = tcb + JOIN_AREA < end ? tcb + JOIN_AREA : end;
	uint64_t from = vmem_floor(first, VMEM_PAGE);
	char *view = vmem_mmap(last - from, PROT_READ | PROT_WRITE, MAP_SHARED, vmem->mem.fd, from);

	if (view == NULL)
		return;
	for (uint64_t at = first - from; at < last - from; at += sizeof(uint32_t))
		vmem_sys(SYS_futex, (uintptr_t)view + at, FUTEX_WAKE, INT_MAX, 0, 0, 0);
	vmem_munmap(view, last - from);
}

/* [start, end) is private again; its pages are still in the memfd. */
void vmem_join_wake(uint64_t start, uint64_t end)
{
	for (unsigned int i = 0; i < vmem->n_tcbs;) {
		uint64_t tcb = vmem->tcbs[i];

		if (!overlaps(tcb, start, end)) {
			i++;
			continue;
		}
		if (vmem_own_good(&vmem->mem))
			wake(tcb, start, end);
		vmem->tcbs[i] = vmem->tcbs[--vmem->n_tcbs];
	}
}
