/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is mapped where: asked of the kernel each time, as the application may have changed
 * it since. PROCMAP_QUERY (Linux 6.11) answers in half a microsecond; before it, the text
 * of /proc/self/maps has to be read, tens of microseconds.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vmem_impl.h"

/* Of linux/fs.h, which older distributions do not have. */
struct procmap_question {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};

#define PROCMAP_QUESTION _IOWR('f', 17, struct procmap_question)
#define PROCMAP_READABLE 0x1u
#define PROCMAP_WRITABLE 0x2u
#define PROCMAP_EXECUTABLE 0x4u
#define PROCMAP_SHARED 0x8u
#define PROCMAP_OR_NEXT 0x10u

struct dirent64_head {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Still the descriptor that we opened, not closed or another file by now? */
bool vmem_own_good(const struct vmem_own *own)
{
	struct stat st;

	return own->fd >= 0 && fstat(own->fd, &st) == 0 && st.st_dev == own->dev &&
		st.st_ino == own->ino;
}

int vmem_own_set(struct vmem_own *own, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	*own = (struct vmem_own){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

void vmem_own_close(struct vmem_own *own)
{
	if (vmem_own_good(own))
		close(own->fd);
	own->fd = -1;
}

int vmem_maps_open(void)
{
	int fd;

	if (vmem_own_good(&vmem->maps))
		return 0;
	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return vmem_own_set(&vmem->maps, fd);
}

static int query(uint64_t addr, struct vmem_vma *vma)
{
	struct procmap_question q = {
		.size = sizeof(q), .query_flags = PROCMAP_OR_NEXT, .query_addr = addr,
		.vma_name_size = sizeof(vmem->path), .vma_name_addr = (uintptr_t)vmem->path,
	};
	long rc;

	vmem->path[0] = '\0';
	rc = vmem_sys(SYS_ioctl, vmem->maps.fd, PROCMAP_QUESTION, (uintptr_t)&q, 0, 0, 0);
	if (rc == -ENAMETOOLONG) { /* a path that nobody can open by its name, anyway */
		q.vma_name_size = 0;
		q.vma_name_addr = 0;
		rc = vmem_sys(SYS_ioctl, vmem->maps.fd, PROCMAP_QUESTION, (uintptr_t)&q, 0, 0, 0);
	}
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return (int)rc;
	*vma = (struct vmem_vma){
		.start = q.vma_start, .end = q.vma_end, .offset = q.vma_offset, .ino = q.inode,
		.page_size = q.vma_page_size, .dev = makedev(q.dev_major, q.dev_minor),
		.shared = (q.vma_flags & PROCMAP_SHARED) != 0, .name = vmem->path,
		.prot = (q.vma_flags & PROCMAP_READABLE ? PROT_READ : 0) |
			(q.vma_flags & PROCMAP_WRITABLE ? PROT_WRITE : 0) |
			(q.vma_flags & PROCMAP_EXECUTABLE ? PROT_EXEC : 0),
	};
	return 1;
}

/* One line of the text, without its end. @return NULL at the end of the text */
static char *text_line(void)
{
	for (;;) {
		char *at = vmem->text + vmem->text_at;
		char *nl = memchr(at, '\n', vmem->text_len - vmem->text_at);
		long n;

		if (nl != NULL) {
			*nl = '\0';
			vmem->text_at = (uint32_t)(nl + 1 - vmem->text);
			return at;
		}
		vmem->text_len -= vmem->text_at;
		memmove(vmem->text, at, vmem->text_len);
		vmem->text_at = 0;
		if (vmem->text_len == sizeof(vmem->text))
			vmem->text_len = 0; /* no such line; start again */
		n = vmem_sys(SYS_read, vmem->maps.fd, (uintptr_t)vmem->text + vmem->text_len,
			sizeof(vmem->text) - vmem->text_len, 0, 0, 0);
		if (n <= 0)
			return NULL;
		vmem->text_len += (uint32_t)n;
	}
}

static uint64_t number(char **s, unsigned int base)
{
	uint64_t v = 0;

	for (;; (*s)++) {
		unsigned int d = **s >= '0' && **s <= '9' ? (unsigned int)(**s - '0') :
			**s >= 'a' && **s <= 'f' ? (unsigned int)(**s - 'a') + 10 : 16;

		if (d >= base)
			return v;
		v = v * base + d;
	}
}

/* The page size of a mapping is not in the text: that of its filesystem. */
static uint64_t text_page_size(const char *name)
{
	struct stat st;

	if (strncmp(name, "/anon_hugepage", 14) == 0)
		return VMEM_HUGE_PAGE;
	/* hugetlbfs tells its page size as the block size */
	if (name[0] == '/' && stat(name, &st) == 0 && S_ISREG(st.st_mode) &&
			st.st_blksize >= (blksize_t)VMEM_HUGE_PAGE)
		return (uint64_t)st.st_blksize;
	return VMEM_PAGE;
}

/* "start-end rwxp offset major:minor inode   name" */
static bool parse(char *s, struct vmem_vma *vma)
{
	unsigned int major, minor;

	vma->start = number(&s, 16);
	if (*s++ != '-')
		return false;
	vma->end = number(&s, 16);
	if (*s++ != ' ' || strlen(s) < 5)
		return false;
	vma->prot = (s[0] == 'r' ? PROT_READ : 0) | (s[1] == 'w' ? PROT_WRITE : 0) |
		(s[2] == 'x' ? PROT_EXEC : 0);
	vma->shared = s[3] == 's';
	s += 5;
	vma->offset = number(&s, 16);
	s += *s == ' ';
	major = (unsigned int)number(&s, 16);
	s += *s == ':';
	minor = (unsigned int)number(&s, 16);
	s += *s == ' ';
	vma->ino = number(&s, 10);
	while (*s == ' ')
		s++;
	vma->dev = makedev(major, minor);
	vma->name = s;
	vma->page_size = VMEM_PAGE;
	return true;
}

static int text_next(uint64_t addr, struct vmem_vma *vma)
{
	char *line;

	while ((line = text_line()) != NULL) {
		if (!parse(line, vma))
			return -EIO;
		if (vma->end <= addr)
			continue;
		vma->page_size = text_page_size(vma->name);
		return 1;
	}
	return 0;
}

int vmem_vma_first(uint64_t addr, struct vmem_vma *vma)
{
	if (!vmem->no_query) {
		int rc = query(addr, vma);

		if (rc != -ENOTTY && rc != -EINVAL)
			return rc;
		vmem->no_query = true;
	}
	vmem->text_len = vmem->text_at = 0;
	if (lseek(vmem->maps.fd, 0, SEEK_SET) != 0)
		return -errno;
	return text_next(addr, vma);
}

/* What comes after *vma. */
int vmem_vma_next(struct vmem_vma *vma)
{
	if (!vmem->no_query)
		return query(vma->end, vma);
	return text_next(vma->end, vma);
}

bool vmem_vma_is(const struct vmem_vma *vma, const struct vmem_own *own)
{
	return own->fd >= 0 && vma->shared && vma->ino == own->ino && vma->dev == own->dev;
}

/* A private mapping of a device: its pages are not memory to be copied. */
bool vmem_vma_device(const struct vmem_vma *vma)
{
	struct stat st;

	return vma->ino != 0 && vma->name[0] == '/' && stat(vma->name, &st) == 0 &&
		!S_ISREG(st.st_mode) && strcmp(vma->name, "/dev/zero") != 0;
}

/* May fd be mapped as the mapping is, and is it its file? */
static bool fd_serves(int fd, const struct vmem_vma *vma, bool write)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) != 0 || st.st_ino != vma->ino || st.st_dev != vma->dev)
		return false;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH) != 0)
		return false;
	return (flags & O_ACCMODE) == O_RDWR || (!write && (flags & O_ACCMODE) == O_RDONLY);
}

/* Among the descriptors that the process has open. @return a copy, or -1 */
static int fd_among_open(const struct vmem_vma *vma, bool write)
{
	int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = -1;
	char buf[1024] __attribute__((aligned(8)));
	long n;

	while (dir >= 0 && found < 0 &&
			(n = vmem_sys(SYS_getdents64, dir, (uintptr_t)buf, sizeof(buf), 0, 0, 0)) > 0) {
		for (long at = 0; at < n && found < 0;) {
			struct dirent64_head *e = (struct dirent64_head *)(buf + at);
			char *s = e->name;

			at += e->reclen;
			if (*s < '0' || *s > '9')
				continue;
			found = (int)number(&s, 10);
			if (fd_serves(found, vma, write))
				found = fcntl(found, F_DUPFD_CLOEXEC, 3);
			else
				found = -1;
		}
	}
	if (dir >= 0)
		close(dir);
	return found;
}

static int fd_by_path(const char *path, const struct vmem_vma *vma, bool write)
{
	int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0 && !fd_serves(fd, vma, write)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Hexadecimal, as /proc names mappings. @return behind it */
static char *hex(char *to, uint64_t v)
{
	unsigned int digits = 1;

	while (digits < 16 && v >> 4 * digits != 0)
		digits++;
	while (digits-- > 0)
		*to++ = "0123456789abcdef"[v >> 4 * digits & 15];
	return to;
}

/* How somebody else can map what this shared mapping maps: kind, and fd or shmid. */
void vmem_vma_file(const struct vmem_vma *vma, bool write, struct vmem_plan *p)
{
	char link[64] = "/proc/self/map_files/", *end;
	struct shmid_ds ds;
	struct stat st;

	p->kind = VMEM_FILE;
	if (strncmp(vma->name, "/SYSV", 5) == 0 && shmctl((int)vma->ino, IPC_STAT, &ds) == 0) {
		p->kind = VMEM_SYSV;
		p->shmid = (int)vma->ino;
		return;
	}
	if (vma->ino == 0) { /* no file: of the kernel */
		p->kind = VMEM_REMOTE;
		return;
	}
	p->fd = fd_among_open(vma, write);
	/* not a device: opening one may do something */
	if (p->fd < 0 && vma->name[0] == '/' && stat(vma->name, &st) == 0 && S_ISREG(st.st_mode))
		p->fd = fd_by_path(vma->name, vma, write);
	if (p->fd >= 0)
		return;
	end = hex(link + strlen(link), vma->start);
	*end++ = '-';
	*hex(end, vma->end) = '\0';
	p->fd = fd_by_path(link, vma, write);
}
