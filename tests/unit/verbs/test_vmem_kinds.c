/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmem with memory that is shared already, of huge pages, or not to be shared: it is named
 * so that another process can map the same bytes, and left as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include "vmem_test.h"

/* Does what the segment names hold what the process has there? */
static bool maps_same(const struct vmem_seg *s, int fd)
{
	char *v = mmap(NULL, s->len, PROT_READ, MAP_SHARED, fd, (off_t)s->offset);
	bool same = v != MAP_FAILED && memcmp(v, (void *)(uintptr_t)s->va, s->len) == 0;

	if (v != MAP_FAILED)
		munmap(v, s->len);
	return same;
}

/* Pages 1 and 2 of three of a shared mapping of fd from its page 4 on. Then fd is closed. */
static int file_of(int fd, bool keep, bool fd_expected)
{
	struct vmem_seg s[SEGS];
	unsigned int n;
	char *p;

	NEED(fd >= 0 && ftruncate(fd, 16 * PAGE) == 0);
	p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4 * PAGE);
	NEED(p != MAP_FAILED);
	for (unsigned int i = 0; i < 3; i++)
		memset(p + i * PAGE, 'a' + (int)i, PAGE);
	if (!keep)
		close(fd);
	NEED(vmem_reg(p + PAGE + 10, PAGE, true, s, SEGS, &n) == 0 && n == 1);
	NEED(s[0].kind == VMEM_FILE && s[0].va == (uintptr_t)p + PAGE && s[0].len == 2 * PAGE);
	NEED(s[0].offset == 5 * PAGE && s[0].vma_start == (uintptr_t)p && s[0].writable);
	NEED(s[0].vma_end == (uintptr_t)p + 3 * PAGE);
	NEED((s[0].fd >= 0) == fd_expected);
	if (s[0].fd >= 0) {
		NEED(s[0].fd != fd || !keep);
		NEED(maps_same(&s[0], s[0].fd));
		NEED((fcntl(s[0].fd, F_GETFD) & FD_CLOEXEC) != 0);
		close(s[0].fd);
	}
	vmem_dereg(p + PAGE + 10, PAGE);
	NEED(p[PAGE] == 'b');
	munmap(p, 3 * PAGE);
	if (keep)
		close(fd);
	return vmem_test_idle() ? 0 : __LINE__;
}

static bool privileged(void)
{
	return geteuid() == 0;
}

static int files(void)
{
	char name[] = "/tmp/vmem-test-XXXXXX";
	int fd = mkstemp(name), line;

	line = file_of(fd, true, true);
	NEED(line == 0);
	fd = open(name, O_RDWR);
	line = file_of(fd, false, true); /* by its path */
	if (line == 0) {
		fd = open(name, O_RDWR);
		unlink(name); /* no path: root goes by the mapping */
		line = file_of(fd, false, privileged());
	}
	unlink(name);
	if (line == 0)
		line = file_of(memfd_create("test", 0), true, true);
	if (line == 0)
		line = file_of(memfd_create("test", 0), false, privileged());
	return line;
}

PHCA_TEST(vmem_kinds, shared_files)
{
	VMEM_SCENARIO(files());
	VMEM_SCENARIO(vmem_test_child(files, vmem_test_nobody));
}

/* A mapping for reading is not given away for writing, nor found by a descriptor for writing only. */
static int read_only_file(void)
{
	int fd = memfd_create("test", 0);
	struct vmem_seg s[SEGS];
	unsigned int n;
	char *p;

	NEED(fd >= 0 && ftruncate(fd, (off_t)PAGE) == 0);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	NEED(p != MAP_FAILED);
	NEED(vmem_reg(p, PAGE, true, s, SEGS, &n) == -EACCES);
	NEED(vmem_reg(p, PAGE, false, s, SEGS, &n) == 0 && n == 1 && s[0].kind == VMEM_FILE);
	NEED(!s[0].writable && s[0].fd >= 0);
	close(s[0].fd);
	vmem_dereg(p, PAGE);
	munmap(p, PAGE);
	close(fd);
	return 0;
}

PHCA_TEST(vmem_kinds, a_file_mapped_for_reading)
{
	VMEM_SCENARIO(read_only_file());
}

static int anonymous_shared(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vmem_seg s[SEGS];
	unsigned int n;

	NEED(p != MAP_FAILED);
	memset(p, 's', 2 * PAGE);
	NEED(vmem_reg(p, 2 * PAGE, true, s, SEGS, &n) == 0 && n == 1 && s[0].kind == VMEM_FILE);
	NEED((s[0].fd >= 0) == privileged());
	if (s[0].fd >= 0) {
		NEED(maps_same(&s[0], s[0].fd));
		close(s[0].fd);
	}
	vmem_dereg(p, 2 * PAGE);
	NEED(p[PAGE] == 's');
	munmap(p, 2 * PAGE);
	return vmem_test_idle() ? 0 : __LINE__;
}

PHCA_TEST(vmem_kinds, shared_anonymous_memory)
{
	VMEM_SCENARIO(anonymous_shared());
	VMEM_SCENARIO(vmem_test_child(anonymous_shared, vmem_test_nobody));
}

static int sysv(void)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600), rc;
	struct vmem_seg s[SEGS];
	unsigned int n;
	char *p, *q;

	NEED(id >= 0);
	p = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	NEED(p != (void *)-1);
	memset(p, 'v', 4 * PAGE);
	rc = vmem_reg(p + 2 * PAGE + 1, 100, true, s, SEGS, &n);
	NEED(rc == 0 && n == 1 && s[0].kind == VMEM_SYSV && s[0].shmid == id);
	NEED(s[0].offset == 2 * PAGE && s[0].len == PAGE && s[0].fd == -1);
	q = shmat(s[0].shmid, NULL, SHM_RDONLY);
	NEED(q != (void *)-1 && q[s[0].offset] == 'v');
	p[2 * PAGE] = 'w';
	NEED(q[s[0].offset] == 'w');
	vmem_dereg(p + 2 * PAGE + 1, 100);
	NEED(shmdt(q) == 0 && shmdt(p) == 0);
	return vmem_test_idle() ? 0 : __LINE__;
}

PHCA_TEST(vmem_kinds, system_v_segments)
{
	VMEM_SCENARIO(sysv());
	VMEM_SCENARIO(vmem_test_child(sysv, vmem_test_nobody));
}

/* Several in one range, in order; of the kernel's own there is only a copy to be had. */
static int mixed(void)
{
	char *p = vmem_test_pages(5), *q;
	int fd = memfd_create("test", 0);
	struct vmem_seg s[SEGS];
	unsigned int n;

	NEED(p != NULL && fd >= 0 && ftruncate(fd, (off_t)PAGE) == 0);
	q = mmap(p + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	NEED(q == p + 2 * PAGE);
	q = mmap(p + 4 * PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	NEED(q == p + 4 * PAGE);
	NEED(vmem_reg(p, 5 * PAGE, false, s, SEGS, &n) == 0 && n == 4);
	NEED(s[0].kind == VMEM_SWAP && s[0].len == 2 * PAGE && s[1].kind == VMEM_FILE);
	NEED(s[2].kind == VMEM_SWAP && s[2].len == PAGE && s[3].kind == VMEM_REMOTE);
	for (unsigned int i = 1; i < n; i++)
		NEED(s[i].va == s[i - 1].va + s[i - 1].len);
	close(s[1].fd);
	vmem_dereg(p, 5 * PAGE);
	NEED(vmem_test_idle());
	/* too small an answer leaves nothing behind, also no descriptor */
	int next = dup(0);
	close(next);
	NEED(vmem_reg(p, 5 * PAGE, false, s, 3, &n) == -E2BIG && vmem_test_idle());
	int again = dup(0);
	close(again);
	NEED(again == next);
	munmap(p, 5 * PAGE);
	close(fd);
	return 0;
}

PHCA_TEST(vmem_kinds, several_in_one_range)
{
	VMEM_SCENARIO(mixed());
}

/* A private mapping of a file: its pages come over, the file stays as it is. */
static int private_file(void)
{
	char name[] = "/tmp/vmem-test-XXXXXX", c = 0;
	int fd = mkstemp(name);
	struct vmem_seg s[SEGS];
	unsigned int n;
	char *p;

	NEED(fd >= 0 && unlink(name) == 0 && ftruncate(fd, 2 * PAGE) == 0);
	NEED(pwrite(fd, "f", 1, PAGE) == 1);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	NEED(p != MAP_FAILED);
	p[1] = 'm';
	NEED(vmem_reg(p, 2 * PAGE, true, s, SEGS, &n) == 0 && n == 1 && s[0].kind == VMEM_SWAP);
	NEED(vmem_test_peek(p + 1) == 'm' && vmem_test_peek(p + PAGE) == 'f');
	p[PAGE] = 'n';
	vmem_dereg(p, 2 * PAGE);
	NEED(p[1] == 'm' && p[PAGE] == 'n' && pread(fd, &c, 1, PAGE) == 1 && c == 'f');
	/* beyond the end of the file there is nothing to be had */
	NEED(ftruncate(fd, PAGE) == 0);
	munmap(p, 2 * PAGE);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	NEED(vmem_reg(p, 2 * PAGE, true, s, SEGS, &n) == -EFAULT && n == 0);
	NEED(vmem_test_idle() && p[0] == 0);
	munmap(p, 2 * PAGE);
	close(fd);
	return 0;
}

PHCA_TEST(vmem_kinds, private_mappings_of_files)
{
	VMEM_SCENARIO(private_file());
	VMEM_SCENARIO(vmem_test_child(private_file, vmem_test_nobody));
}

/* -------------------------------------------------------------- huge pages */

#define HUGE VMEM_HUGE_PAGE

static char *huge_pages(unsigned int n)
{
	char *p = mmap(NULL, n * HUGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int huge(void)
{
	char *p = huge_pages(2), c = 0;
	struct vmem_seg s[SEGS];
	unsigned int n;

	NEED(p != NULL);
	memset(p, 'h', 2 * HUGE);
	NEED(vmem_reg(p + 5000, 100, true, s, SEGS, &n) == 0 && n == 1 && s[0].kind == VMEM_HUGE);
	NEED(s[0].va == (uintptr_t)p && s[0].len == HUGE && s[0].offset == s[0].va);
	NEED(maps_same(&s[0], vmem_huge_fd()));
	p[5000] = 'i';
	NEED(pread(vmem_huge_fd(), &c, 1, (off_t)(uintptr_t)p + 5000) == 1 && c == 'i');
	/* the other page joins, one after the other goes */
	NEED(vmem_reg(p, 2 * HUGE, true, s, SEGS, &n) == 0 && n == 1 && s[0].len == 2 * HUGE);
	vmem_dereg(p + 5000, 100);
	p[HUGE] = 'j';
	NEED(pread(vmem_huge_fd(), &c, 1, (off_t)(uintptr_t)p + (off_t)HUGE) == 1 && c == 'j');
	vmem_dereg(p, 2 * HUGE);
	NEED(p[5000] == 'i' && p[HUGE] == 'j' && p[2 * HUGE - 1] == 'h');
	p[5000] = 'k';
	NEED(pread(vmem_huge_fd(), &c, 1, (off_t)(uintptr_t)p + 5000) == 1 && c == 0);
	munmap(p, 2 * HUGE);
	return vmem_test_idle() ? 0 : __LINE__;
}

/* Pages that the pool has free now, for a test that needs n. */
static bool huge_free(unsigned int n)
{
	char *p = huge_pages(n);

	if (p == NULL)
		return false;
	munmap(p, n * HUGE);
	return true;
}

PHCA_TEST(vmem_kinds, huge_pages)
{
	if (!huge_free(5))
		PHCA_SKIP("needs 5 free huge pages of 2 MiB (vm.nr_hugepages)");
	VMEM_SCENARIO(huge());
	vmem_maps_text(true);
	VMEM_SCENARIO(huge());
	vmem_maps_text(false);
	VMEM_SCENARIO(vmem_test_child(huge, vmem_test_nobody));
}

/* None left: the range is not shared, and as it was. */
static int huge_exhausted(void)
{
	struct vmem_seg s[SEGS];
	unsigned int n = 1;
	char *p, *all[64];
	unsigned int k = 0;

	while (k < 64 && (all[k] = huge_pages(1)) != NULL)
		memset(all[k++], 'e', HUGE);
	NEED(k > 0);
	p = all[0];
	if (k < 64) {
		NEED(vmem_reg(p, HUGE, true, s, SEGS, &n) == -ENOSPC && n == 0);
		NEED(vmem_test_idle() && p[0] == 'e' && p[HUGE - 1] == 'e');
		p[0] = 'f';
		NEED(p[0] == 'f');
	}
	while (k > 0)
		munmap(all[--k], HUGE);
	return 0;
}

PHCA_TEST(vmem_kinds, no_huge_page_left)
{
	if (!huge_free(1))
		PHCA_SKIP("needs a free huge page of 2 MiB (vm.nr_hugepages)");
	VMEM_SCENARIO(huge_exhausted());
}
