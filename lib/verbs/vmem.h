/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The application's side of memory registration: memory of this process that the
 * appliance, another process, shall read and write. Private to lib/verbs; needs libc only.
 *
 * There is one sparse memfd per process whose offsets are virtual addresses. Registering
 * private memory moves the pages it touches there, in place: the address, the contents and
 * the protection stay, no write of another thread is lost. Pages are counted, so that
 * registrations may overlap in any way; the last deregistration makes the page private and
 * anonymous again. Memory that is shared already is named instead (file, SysV segment), and
 * what cannot be shared the appliance reaches by /proc/PID/mem.
 *
 * Any thread may call anything here, but not from a signal handler. Nothing is allocated
 * with malloc(), so that an allocator's hooks may call, too.
 */
#ifndef VMEM_H
#define VMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses, so offsets too, are below this: the size of the memfds. */
#define VMEM_SPAN (UINT64_C(1) << 47)
/* Of the pages of the second memfd. */
#define VMEM_HUGE_PAGE (UINT64_C(2) << 20)

enum vmem_kind {
	VMEM_SWAP,   /* pages of vmem_fd(), offset == va */
	VMEM_HUGE,   /* pages of vmem_huge_fd(), offset == va; whole 2 MiB pages */
	VMEM_FILE,   /* a MAP_SHARED mapping of a file: fd and offset. fd -1: this process cannot
		      * open it; /proc/PID/map_files/START-END of the VMA is the way for root */
	VMEM_SYSV,   /* a SysV segment: shmid and offset */
	VMEM_REMOTE, /* cannot be shared: the appliance uses /proc/PID/mem */
};

/* A part of a registered range. */
struct vmem_seg {
	uint64_t va, len;            /* page-aligned; of VMEM_HUGE to 2 MiB */
	enum vmem_kind kind;
	int fd;                      /* VMEM_FILE: the caller's to close, or -1. Else -1 */
	uint64_t offset;             /* of va in the memfd, file or segment */
	int shmid;                   /* VMEM_SYSV; else -1 */
	uint64_t vma_start, vma_end; /* the mapping that it is in; VMEM_FILE, VMEM_SYSV, VMEM_REMOTE */
	bool writable;               /* the process may write there now */
};

/*
 * Register [addr, addr + len). The segments cover it rounded out to pages (to 2 MiB in
 * VMEM_HUGE), ascend and leave no gap. All or nothing.
 *
 * @param need_write  the appliance will write there: every byte has to be writable
 * @param segs, max   room for the segments
 * @param n           how many there are; 0 when len is 0
 * @return 0, and a vmem_dereg() with the same addr and len is owed, or
 *   -EFAULT  nothing is mapped in some page, or it cannot be read
 *   -EACCES  need_write, and some page is read-only
 *   -E2BIG   more segments than max
 *   -ENOMEM  no memory, or too many mappings (vm.max_map_count)
 *   -ENOSPC  no huge page left for a copy
 *   -EFBIG   RLIMIT_FSIZE does not allow the memfd
 *   -EBADF   the application closed the memfd behind our back
 *   other    of memfd_create(2), ftruncate(2), open(2) of /proc/self/maps, pwrite(2), clone(2)
 *   After all but -EFAULT, -EACCES and -ENOMEM the range can still be one VMEM_REMOTE.
 */
int vmem_reg(const void *addr, size_t len, bool need_write, struct vmem_seg *segs,
		unsigned int max, unsigned int *n);

/*
 * Undo one vmem_reg() with the same arguments; the appliance must have stopped using the
 * range before. Nothing happens to memory that the application unmapped, moved or mapped
 * anew in the meantime; what it moved with mremap(2) becomes private where it is now.
 */
void vmem_dereg(const void *addr, size_t len);

/* The memfds; -1 when there is none yet. The first registration that needs one makes it. */
int vmem_fd(void);
int vmem_huge_fd(void);

/* How writers are held off while pages move; tests force the lesser ones. */
enum vmem_guard {
	VMEM_GUARD_UFFD,      /* userfaultfd write protection: writers, also system calls, wait */
	VMEM_GUARD_UFFD_USER, /* the same for user mode only: system calls may see EFAULT */
	VMEM_GUARD_SEGV,      /* mprotect() and a SIGSEGV handler that waits; system calls as above */
};

/* The best guard that this process has (it tries), and for tests: use no better than this. */
enum vmem_guard vmem_guard_mode(void);
void vmem_guard_limit(enum vmem_guard best);

/* For tests: ask no PROCMAP_QUERY, but read /proc/self/maps as on kernels before 6.11. */
void vmem_maps_text(bool text);

/* What is held, for tests and for debugging output. */
struct vmem_stat {
	unsigned int regs;   /* registrations */
	unsigned int ranges; /* ranges of swapped pages of equal count */
	uint64_t bytes;      /* in them */
};
void vmem_stat(struct vmem_stat *s);

#endif
