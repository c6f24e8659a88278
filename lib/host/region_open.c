/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening what a client says its memory is. This process may be root and the client
 * is not. It keeps: nothing is opened that the client could not open or has not opened
 * itself, whatever it changes meanwhile; and no file system whose server may be the
 * client is asked for anything, as it need not answer.
 *
 * A process is not its number: that may be another's by now, and a program may have
 * become a privileged one by exec. So each time something was opened by the number,
 * it is asked afterwards whether the process still is the client, and open files are
 * kept instead of the number.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <poll.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "region_impl.h"

#ifndef F2FS_SUPER_MAGIC
#define F2FS_SUPER_MAGIC 0xf2f52010
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

uint64_t region_page(void)
{
	static uint64_t page;

	if (page == 0)
		page = (uint64_t)sysconf(_SC_PAGESIZE);
	return page;
}

/* ------------------------------------------------------------ descriptors */

/*
 * Not memory: a regular file of a file system on a block device. statx without
 * synchronization answers from what the kernel knows, other than fstat and fstatfs,
 * which ask the server of a FUSE file system.
 */
static bool on_disk(int fd)
{
	struct statfs fs;
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &x) < 0 || !S_ISREG(x.stx_mode) ||
			x.stx_dev_major == 0 || fstatfs(fd, &fs) < 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC || fs.f_type == F2FS_SUPER_MAGIC;
}

int region_fd_check(int fd, struct region_object *o)
{
	struct statfs fs;

	*o = (struct region_object){ .fd = fd, .page = region_page() };
	/* Only objects of memory have seals; the kernel says so without asking anybody. */
	o->memory = fcntl(fd, F_GET_SEALS) >= 0;
	if (!o->memory)
		return on_disk(fd) ? 0 : -EOPNOTSUPP;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type == HUGETLBFS_MAGIC)
		o->page = (uint64_t)fs.f_bsize;
	return 0;
}

/* ------------------------------------------------------- in the client's name */

struct rights {
	uid_t uid;
	gid_t gid;
	gid_t groups[NGROUPS_MAX > 256 ? 256 : NGROUPS_MAX];
	int nb_groups; /* -1: nothing was changed */
	int dumpable;  /* the kernel clears it when rights change */
};

static void rights_restore(const struct rights *old)
{
	if (old->nb_groups < 0)
		return;
	setfsuid(old->uid);
	setfsgid(old->gid);
	syscall(SYS_setgroups, old->nb_groups, old->groups);
	if (old->dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1);
}

/*
 * This thread's files are opened with the rights of the client, without its supplementary groups.
 * The system calls themselves: the C library changes all threads.
 */
static int rights_of(const struct regions *c, struct rights *old)
{
	old->nb_groups = -1;
	if (c->uid == geteuid())
		return 0;
	old->dumpable = prctl(PR_GET_DUMPABLE);
	old->uid = (uid_t)setfsuid((uid_t)-1);
	old->gid = (gid_t)setfsgid((gid_t)-1);
	old->nb_groups = getgroups(sizeof(old->groups) / sizeof(old->groups[0]), old->groups);
	if (old->nb_groups < 0 || syscall(SYS_setgroups, 0, NULL) < 0) {
		old->nb_groups = -1;
		return -EPERM;
	}
	setfsgid(c->gid);
	setfsuid(c->uid);
	if ((gid_t)setfsgid((gid_t)-1) != c->gid || (uid_t)setfsuid((uid_t)-1) != c->uid) {
		rights_restore(old);
		return -EPERM;
	}
	return 0;
}

/* Whether the number is the client's: what was opened by it before is the client's. */
static bool alive(const struct regions *c)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, 0);
	while (n < 0 && errno == EINTR);
	return n == 0;
}

/* ----------------------------------------------------------------- mappings */

/* Devices of memory objects in this kernel: of memfds, of POSIX shared memory, of huge pages. */
static bool memory_device(uint32_t major, uint32_t minor)
{
	static const char *const paths[] = { "/dev/shm", "/dev/hugepages" };
	static const unsigned int flags[] = { 0, MFD_HUGETLB | MFD_HUGE_2MB, MFD_HUGETLB | MFD_HUGE_1GB };
	struct statx x;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (statx(AT_FDCWD, paths[i], AT_STATX_DONT_SYNC, 0, &x) == 0 && x.stx_dev_major == major &&
				x.stx_dev_minor == minor)
			return true;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		int fd = memfd_create("phca-device", MFD_CLOEXEC | flags[i]), rc = -1;

		if (fd >= 0) {
			rc = statx(fd, "", AT_EMPTY_PATH, 0, &x);
			close(fd);
		}
		if (rc == 0 && x.stx_dev_major == major && x.stx_dev_minor == minor)
			return true;
	}
	return false;
}

/* `path` is only named, not opened, until it is known what it is. */
static int reopen(int named, bool write)
{
	char path[64];
	struct statx x;
	int fd;

	if (statx(named, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &x) < 0)
		return -errno;
	if (!S_ISREG(x.stx_mode) || (x.stx_dev_major == 0 && !memory_device(x.stx_dev_major, x.stx_dev_minor)))
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", named);
	fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int region_open_mapped(const struct regions *c, const struct phca_admin_seg *s, bool write, int *fd)
{
	struct rights old;
	struct stat st;
	char path[96];
	int named, rc;

	if (!region_aligned(s->vma_start | s->vma_end, region_page()) || s->va < s->vma_start ||
			s->va >= s->vma_end || s->length > s->vma_end - s->va)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)c->pid, (unsigned long long)s->vma_start,
		(unsigned long long)s->vma_end);
	rc = rights_of(c, &old);
	if (rc < 0)
		return rc;
	/* The link tells how the client itself has opened the file. */
	if (lstat(path, &st) < 0)
		rc = errno == ENOENT ? -EFAULT : -errno;
	else if (write && !(st.st_mode & S_IWUSR))
		rc = -EACCES;
	if (rc == 0) {
		named = open(path, O_PATH | O_CLOEXEC);
		rc = named < 0 ? -errno : reopen(named, write);
		if (named >= 0)
			close(named);
	}
	rights_restore(&old);
	if (rc < 0)
		return rc;
	if (!alive(c)) {
		close(rc);
		return -ESRCH;
	}
	*fd = rc;
	return 0;
}

/* ----------------------------------------------------------------- System V */

static bool ipc_allows(const struct regions *c, const struct ipc_perm *p, bool write)
{
	uint32_t m = p->mode, want = write ? 6 : 4;

	if (c->uid == 0)
		return true;
	if (c->uid == p->uid || c->uid == p->cuid)
		m >>= 6;
	else if (c->gid == p->gid || c->gid == p->cgid)
		m >>= 3;
	return (m & want) == want;
}

/* Identifiers are of a namespace; the client's may be another. */
static int ipc_shared(const struct regions *c)
{
	struct stat own, its;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", (int)c->pid);
	if (stat(path, &its) < 0 || stat("/proc/self/ns/ipc", &own) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return its.st_ino == own.st_ino && its.st_dev == own.st_dev ? 0 : -EOPNOTSUPP;
}

/* The size of a segment's pages, tried out on an attachment of its own; 0: cannot be attached. */
static uint64_t page_of(int shmid)
{
	uint8_t *p = shmat(shmid, NULL, SHM_RDONLY);
	uint64_t page = 1ull << 30;

	if (p == (void *)-1)
		return 0;
	/* rights change of whole pages only */
	if (mprotect(p, region_page(), PROT_NONE) == 0)
		page = region_page();
	else if (mprotect(p, GRANULE, PROT_NONE) == 0)
		page = GRANULE;
	shmdt(p);
	return page;
}

/* Move the part that is wanted out of the segment, which is at p, to its place. */
static int take_part(struct phca_admin_seg *s, uint8_t *p, uint64_t size, const struct region_place *at, uint64_t page)
{
	int rc = region_widen(s, &s->offset, page, at);
	uint64_t end = s->offset + s->length;

	size = (size + page - 1) & ~(page - 1);
	if (rc < 0 || end > size) {
		munmap(p, size);
		return rc < 0 ? rc : -EINVAL;
	}
	if (mremap(p + s->offset, s->length, s->length, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(at->delta + s->va)) ==
			MAP_FAILED) {
		munmap(p, size);
		return -ENOMEM;
	}
	if (s->offset > 0)
		munmap(p, s->offset);
	if (end < size)
		munmap(p + end, size - end);
	return 0;
}

int region_map_sysv(const struct regions *c, struct phca_admin_seg *s, const struct region_place *at,
		bool write, uint64_t *page)
{
	int rc = ipc_shared(c);
	struct shmid_ds ds;
	uint8_t *p;

	if (rc < 0)
		return rc;
	/* looked at before, as an identifier of somebody else's should not even be attached for a moment */
	if (shmctl((int)s->shmid, IPC_STAT, &ds) < 0)
		return errno == EINVAL || errno == EIDRM ? -EINVAL : -EACCES;
	if (!ipc_allows(c, &ds.shm_perm, write))
		return -EACCES;
	p = shmat((int)s->shmid, NULL, write ? 0 : SHM_RDONLY);
	if (p == (void *)-1)
		return -errno;
	/* and after: while it is attached its identifier is not another's */
	*page = page_of((int)s->shmid);
	if (*page == 0 || shmctl((int)s->shmid, IPC_STAT, &ds) < 0 || !ipc_allows(c, &ds.shm_perm, write)) {
		shmdt(p);
		return *page == 0 ? -ENOMEM : -EACCES;
	}
	return take_part(s, p, ds.shm_segsz, at, *page);
}

/* ------------------------------------------------------------ address space */

int region_open_mem(struct regions *c)
{
	struct stat st;
	char path[48];
	int fd;

	if (c->mem_fd >= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)c->pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	/*
	 * The descriptor is of the address space that the process had at this moment and dies
	 * with it. It belongs to the client if the process does, after it was opened: a program
	 * with more rights than the user's is not owned by the user here.
	 */
	if (stat(path, &st) < 0 || !alive(c)) {
		close(fd);
		return -ESRCH;
	}
	if (c->uid != 0 && st.st_uid != c->uid) {
		close(fd);
		return -EACCES;
	}
	c->mem_fd = fd;
	return 0;
}
