/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of vmem share. All mutable state is in one arena, mapped apart from
 * everything else (struct vmem), so that no page that is being swapped holds it.
 */
#ifndef VMEM_IMPL_H
#define VMEM_IMPL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmem.h"
#include "vmem_sys.h"

#define VMEM_PAGE UINT64_C(4096)
#define VMEM_PATH 4096
/* Pages move in steps of this many bytes: how long a writer may have to wait. */
/* Parts of the stack that may be registered in a thread that forks. */
#define VMEM_PARKED_MAX 16
/* Threads that may have the top of their stacks registered at a time. */
#define VMEM_TCBS_MAX 1024
#define VMEM_STEP (UINT64_C(4) << 20)

#define vmem_floor(x, a) ((x) & ~((a) - 1))
#define vmem_ceil(x, a) vmem_floor((x) + (a) - 1, a)

/* A descriptor of ours, and how to see that the application did not close it. */
struct vmem_own {
	int fd;
	dev_t dev;
	ino_t ino;
};

/* Swapped pages, in order of addresses; they do not overlap. */
struct vmem_range {
	uint64_t start, end;
	uint64_t gen;   /* of the swap that made it; never used twice */
	uint32_t count; /* registrations; 0: could not be made private again yet */
	uint32_t huge;  /* in the second memfd */
};

/* A piece of a registration that counts, in order of addr, len, seq. */
struct vmem_hold {
	uint64_t addr, len;       /* as given */
	uint64_t seq;             /* of the registration, which may have several pieces */
	uint64_t start, end, gen; /* of the ranges it counts in; empty: none */
};

/* A mapping, as the kernel tells. */
struct vmem_vma {
	uint64_t start, end, offset, ino, page_size;
	dev_t dev;
	int prot;
	bool shared;
	const char *name; /* good until the next question */
};

/* What is to be done with a part of a range, or with a mapping. */
struct vmem_plan {
	uint64_t start, end, offset, vma_start, vma_end;
	enum vmem_kind kind;
	int prot, fd, shmid;
	bool ours;   /* swapped already */
	bool guard;  /* somebody may write to it meanwhile */
	uint64_t done; /* bytes that vmem_restore() made private */
	char *base;    /* not NULL: it also leaves a copy here */
};

/* An array that grows inside its reserved part of the arena. */
struct vmem_array {
	char *base;
	size_t room, used_max; /* bytes: that may be touched; that are reserved */
};

struct vmem {
	pthread_mutex_t lock;
	struct vmem_own mem, huge, maps, uffd;
	bool no_query;          /* the kernel has no PROCMAP_QUERY */
	enum vmem_guard limit;
	enum vmem_guard mode;
	uint64_t uffd_features;
	uint64_t next_gen, next_seq;

	/* The guard that waits in a signal handler. */
	_Atomic uint64_t guard_start, guard_end;
	_Atomic uint32_t guard_turn; /* odd: on. A futex */
	struct sigaction chain[2];   /* what the application had; two, as handlers read them */
	_Atomic uint32_t chain_at;

	struct vmem_range *ranges;
	struct vmem_hold *holds;
	struct vmem_plan *plan;
	unsigned int n_ranges, n_holds, n_plan, n_limbo;
	struct vmem_array ranges_mem, holds_mem, plan_mem;

	/* Text of /proc/self/maps, where there is no PROCMAP_QUERY. */
	uint32_t text_len, text_at;
	char text[2 * VMEM_PATH];
	char path[VMEM_PATH];
	char *stack_top; /* of functions that run off the caller's stack */

	/* Threads whose pthread_self() is on a swapped page, and the hook on their ends. */
	uint64_t tcbs[VMEM_TCBS_MAX];
	unsigned int n_tcbs;
	bool has_key;
	pthread_key_t key;

	/* Of a fork under way. */
	sigset_t fork_mask;
	int fork_pipe[2];
	unsigned int n_parked;
	struct vmem_plan parked[VMEM_PARKED_MAX];
};

/* NULL until vmem_lock() was called; the lock is held where it is used. */
extern struct vmem *vmem;

/* vmem_table.c */
int vmem_arena_make(void);
bool vmem_arena_has(uint64_t start, uint64_t end);
int vmem_table_reserve(unsigned int ranges, unsigned int holds);
int vmem_plan_reserve(unsigned int n);
unsigned int vmem_range_find(uint64_t addr);
void vmem_range_add(uint64_t start, uint64_t end, uint64_t gen, uint32_t count, uint32_t huge);
void vmem_range_cut(uint64_t start, uint64_t end);
void vmem_range_count(uint64_t start, uint64_t end, uint64_t gen, int add);
unsigned int vmem_hold_find(uint64_t addr, uint64_t len);
void vmem_hold_add(uint64_t addr, uint64_t len, uint64_t seq, uint64_t start, uint64_t end,
		uint64_t gen);
void vmem_hold_del(unsigned int at, unsigned int n);

/* vmem_maps.c */
bool vmem_own_good(const struct vmem_own *own);
int vmem_own_set(struct vmem_own *own, int fd);
void vmem_own_close(struct vmem_own *own);
int vmem_maps_open(void);
/* The mapping that covers addr, or the next above it. @return 1, 0 when there is none, -errno */
int vmem_vma_first(uint64_t addr, struct vmem_vma *vma);
int vmem_vma_next(struct vmem_vma *vma);
bool vmem_vma_is(const struct vmem_vma *vma, const struct vmem_own *own);
void vmem_vma_file(const struct vmem_vma *vma, bool write, struct vmem_plan *p);
bool vmem_vma_device(const struct vmem_vma *vma);

/* vmem_guard.c */
void vmem_guard_init(void);
/* Hold off writers of [va, va + len). @return enum vmem_guard that is on, or -errno */
int vmem_guard_on(uint64_t va, uint64_t len, int prot);
/* And let them go on. replaced: the mapping is another one now; else it is as it was */
void vmem_guard_off(uint64_t va, uint64_t len, int prot, int how, bool replaced);

/* vmem_swap.c */
/* Move a part of a plan to its memfd. @return 0 or -errno, with nothing moved */
int vmem_swap(struct vmem_plan *p);
/* Make a mapping of a memfd of ours private and anonymous: p->done bytes of it. @return 0 or -errno */
int vmem_restore(struct vmem_plan *p);
/* Either, where this thread's own stack may be in the range. */
int vmem_run(int (*fn)(struct vmem_plan *p), struct vmem_plan *p);
/* The pages of [start, end) of the memfd are needed no more. */
void vmem_punch(uint64_t start, uint64_t end, bool huge);
/* Is there anything in [start, end) of the memfd? */
bool vmem_has_data(uint64_t start, uint64_t end, bool huge);
/* The same for mappings of [start, end) of a memfd, wherever they are; then forget the pages. */
void vmem_reclaim(uint64_t start, uint64_t end, bool huge);
/* Run fn(arg) on a stack apart while this thread does not run. */
int vmem_off_stack(int (*fn)(void *), void *arg);

/* What of [start, end) of a memfd is mapped where it belongs, as a plan. @return 0 or -errno */
int vmem_plan_restore(uint64_t start, uint64_t end, bool huge);
/* Undo a vmem_restore() with p->base: what was written since goes to the memfd, no more. */
int vmem_rejoin(struct vmem_plan *p);

/* vmem_join.c */
void vmem_join_note(uint64_t start, uint64_t end);
void vmem_join_wake(uint64_t start, uint64_t end);

/* vmem_fork.c */
void vmem_fork_init(void);

/* vmem.c */
/* Take the lock, with all signals of this thread blocked. @return 0, or -ENOMEM: not taken */
int vmem_lock(sigset_t *old);
void vmem_unlock(const sigset_t *old);

#endif
