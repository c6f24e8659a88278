/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holding off writers while pages are copied and their mapping is replaced; without it,
 * what they write between the two is lost. Readers never wait. A guard covers one range at
 * a time, under the lock.
 *
 * Best is userfaultfd's write protection: a writer sleeps in the page fault, also one in a
 * system call. It needs privilege or access to /dev/userfaultfd; for anybody it may be had
 * for user mode only, where a system call that writes there fails with EFAULT. Private
 * mappings of files cannot have it. There, and where the kernel has none: mprotect(), and a
 * handler of SIGSEGV that waits; it passes on what is not its own as if it were not there.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmem_impl.h"

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define UFFD_NEEDED (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

/* In which turn of the guard this thread tried again last. */
static __thread uint32_t seen_turn __attribute__((tls_model("initial-exec")));
/*
 * The signal that the application's handler has in this thread, and where ours has its
 * frame: had again with another frame, the application's handler called ours, which would
 * never end. It may leave by siglongjmp(), so nothing can be counted.
 */
static __thread const void *chained_si __attribute__((tls_model("initial-exec")));
static __thread const void *chained_frame __attribute__((tls_model("initial-exec")));

static int uffd_new(enum vmem_guard mode)
{
	int dev, fd;

	if (mode == VMEM_GUARD_UFFD_USER)
		return (int)vmem_sys(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY, 0, 0, 0, 0, 0);
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (dev >= 0) {
		fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC);
		close(dev);
		if (fd >= 0)
			return fd;
	}
	return (int)vmem_sys(SYS_userfaultfd, O_CLOEXEC, 0, 0, 0, 0, 0);
}

/* The kernel refuses what it does not know, and a descriptor is asked once: hence two. */
static int uffd_open(enum vmem_guard mode)
{
	struct uffdio_api api = { .api = UFFD_API };
	uint64_t features;
	int fd = uffd_new(mode), rc = -ENOSYS;

	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api) == 0)
		rc = (api.features & UFFD_NEEDED) == UFFD_NEEDED ? 0 : -ENOSYS;
	close(fd);
	if (rc != 0)
		return rc;
	features = api.features & (UFFD_NEEDED | UFFD_FEATURE_WP_UNPOPULATED);
	fd = uffd_new(mode);
	if (fd < 0)
		return fd;
	api = (struct uffdio_api){ .api = UFFD_API, .features = features };
	if (ioctl(fd, UFFDIO_API, &api) != 0 || vmem_own_set(&vmem->uffd, fd) != 0) {
		close(fd);
		return -ENOSYS;
	}
	vmem->uffd_features = features;
	return 0;
}

/* Find the best guard; again after a fork, or when the descriptor was closed. */
void vmem_guard_init(void)
{
	if (vmem->mode != VMEM_GUARD_SEGV && vmem->mode >= vmem->limit && vmem_own_good(&vmem->uffd))
		return;
	if (vmem->mode == VMEM_GUARD_SEGV && vmem->uffd.fd == -2)
		return;
	if (vmem->uffd.fd >= 0)
		vmem_own_close(&vmem->uffd);
	for (vmem->mode = vmem->limit; vmem->mode < VMEM_GUARD_SEGV; vmem->mode++)
		if (uffd_open(vmem->mode) == 0)
			return;
	vmem->uffd.fd = -2; /* do not try again */
}

/* ------------------------------------------------------- the signal handler */

/* What would have happened without this handler. */
static void chain(int sig, siginfo_t *si, void *uc, const void *frame)
{
	const struct sigaction *sa = &vmem->chain[atomic_load(&vmem->chain_at) & 1];
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	bool sent = si->si_code <= 0; /* by a process: ignoring is possible, and no retry */
	sigset_t mask, old;

	if ((sa->sa_flags & SA_SIGINFO) == 0 && sa->sa_handler == SIG_IGN && sent)
		return;
	if ((chained_si == si && chained_frame != frame) || ((sa->sa_flags & SA_SIGINFO) == 0 &&
			(sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN))) {
		sigaction(sig, &dfl, NULL);
		if (sent)
			vmem_sys(SYS_tgkill, getpid(), vmem_sys(SYS_gettid, 0, 0, 0, 0, 0, 0), sig,
				0, 0, 0);
		return; /* to the fault, or the pending signal, which ends the process */
	}
	mask = sa->sa_mask;
	if ((sa->sa_flags & SA_NODEFER) == 0)
		sigaddset(&mask, sig);
	pthread_sigmask(SIG_BLOCK, &mask, &old);
	if ((sa->sa_flags & SA_NODEFER) != 0) {
		sigemptyset(&mask);
		sigaddset(&mask, sig);
		pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	}
	chained_si = si;
	chained_frame = frame;
	if (sa->sa_flags & SA_RESETHAND)
		sigaction(sig, &dfl, NULL);
	if (sa->sa_flags & SA_SIGINFO)
		sa->sa_sigaction(sig, si, uc);
	else
		sa->sa_handler(sig);
	chained_si = NULL;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/*
 * A fault that the guard made waits for the end of its turn. One that it made, but that
 * comes here when the turn is over, is tried again: once in each turn.
 */
static void on_segv(int sig, siginfo_t *si, void *uc)
{
	uint32_t turn = atomic_load(&vmem->guard_turn);
	uint64_t addr = (uint64_t)(uintptr_t)si->si_addr;
	int saved = errno;

	/* SI_KERNEL: the kernel itself could not write where it has to in this thread */
	if (si->si_code == SEGV_ACCERR || si->si_code == SI_KERNEL) {
		bool in = si->si_code == SI_KERNEL ||
			(addr >= atomic_load(&vmem->guard_start) && addr < atomic_load(&vmem->guard_end));

		if ((turn & 1) != 0 && in) {
			while (atomic_load(&vmem->guard_turn) == turn)
				vmem_sys(SYS_futex, (uintptr_t)&vmem->guard_turn,
					FUTEX_WAIT_PRIVATE, turn, 0, 0, 0);
			errno = saved;
			return;
		}
		if (turn != seen_turn) {
			seen_turn = turn;
			errno = saved;
			return;
		}
	}
	chain(sig, si, uc, __builtin_frame_address(0));
	errno = saved;
}

/* The handler stays: a fault may be on its way to it when the guard is over. */
static int segv_handler(void)
{
	struct sigaction cur, sa = { .sa_sigaction = on_segv };
	uint32_t at = atomic_load(&vmem->chain_at);

	if (sigaction(SIGSEGV, NULL, &cur) != 0)
		return -errno;
	if ((cur.sa_flags & SA_SIGINFO) != 0 && cur.sa_sigaction == on_segv)
		return 0;
	vmem->chain[(at + 1) & 1] = cur;
	atomic_store(&vmem->chain_at, at + 1);
	/* sa_mask is empty: the application's is applied when it is its turn */
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | (cur.sa_flags & SA_RESTART);
	return sigaction(SIGSEGV, &sa, NULL) != 0 ? -errno : 0;
}

/* ------------------------------------------------------------------- guards */

VMEM_BARE static int uffd_on(uint64_t va, uint64_t len)
{
	struct uffdio_register reg = {
		.range = { .start = va, .len = len }, .mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = { .start = va, .len = len }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	long rc;

	/* Before Linux 6.4 the protection of anonymous pages needs that there are some. */
	if ((vmem->uffd_features & UFFD_FEATURE_WP_UNPOPULATED) == 0) {
		rc = vmem_sys(SYS_madvise, va, len, MADV_POPULATE_READ, 0, 0, 0);
		if (rc != 0)
			return (int)rc;
	}
	rc = vmem_sys(SYS_ioctl, vmem->uffd.fd, UFFDIO_REGISTER, (uintptr_t)&reg, 0, 0, 0);
	if (rc != 0)
		return (int)rc;
	do {
		rc = vmem_sys(SYS_ioctl, vmem->uffd.fd, UFFDIO_WRITEPROTECT, (uintptr_t)&wp, 0, 0, 0);
	} while (rc == -EAGAIN || rc == -EINTR);
	if (rc != 0)
		vmem_sys(SYS_ioctl, vmem->uffd.fd, UFFDIO_UNREGISTER, (uintptr_t)&reg.range, 0, 0, 0);
	return (int)rc;
}

VMEM_BARE int vmem_guard_on(uint64_t va, uint64_t len, int prot)
{
	long rc;

	if (vmem->mode != VMEM_GUARD_SEGV && uffd_on(va, len) == 0)
		return (int)vmem->mode;
	rc = segv_handler();
	if (rc != 0)
		return (int)rc;
	atomic_store(&vmem->guard_start, va);
	atomic_store(&vmem->guard_end, va + len);
	atomic_fetch_add(&vmem->guard_turn, 1);
	rc = vmem_sys(SYS_mprotect, va, len, (uint64_t)(PROT_READ | (prot & PROT_EXEC)), 0, 0, 0);
	if (rc != 0)
		vmem_guard_off(va, len, 0, VMEM_GUARD_SEGV, true);
	return rc != 0 ? (int)rc : VMEM_GUARD_SEGV;
}

VMEM_BARE void vmem_guard_off(uint64_t va, uint64_t len, int prot, int how, bool replaced)
{
	struct uffdio_range range = { .start = va, .len = len };

	if (how == VMEM_GUARD_SEGV) {
		if (!replaced)
			vmem_sys(SYS_mprotect, va, len, (uint64_t)prot, 0, 0, 0);
		atomic_fetch_add(&vmem->guard_turn, 1);
		vmem_sys(SYS_futex, (uintptr_t)&vmem->guard_turn, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0);
		return;
	}
	if (!replaced) /* else its registration went with the mapping */
		vmem_sys(SYS_ioctl, vmem->uffd.fd, UFFDIO_UNREGISTER, (uintptr_t)&range, 0, 0, 0);
	vmem_sys(SYS_ioctl, vmem->uffd.fd, UFFDIO_WAKE, (uintptr_t)&range, 0, 0, 0);
}
