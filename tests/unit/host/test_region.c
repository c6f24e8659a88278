/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of clients: what is mapped is what they have, what is refused, and what
 * becomes of memory that goes. This process is its own client where another is not needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "region_rig.h"

PHCA_TEST(region, swap_is_one_mapping_of_its_pages)
{
	struct rig g;
	uint8_t *mine = rig_swap(&g, 4);
	struct phca_admin_seg s[2] = { rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA, PAGE),
		rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA + PAGE, 3 * PAGE) };

	memcpy(mine + PAGE + 5, "hello", 6);
	/* not whole pages: bytes 7 .. 2 pages + 9 */
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, SWAP_VA + 7, 3 * PAGE + 2, RW, s, 2, NULL), 0);
	CU_ASSERT_EQUAL(((uintptr_t)g.view.base - 7) % (2u << 20), SWAP_VA % (2u << 20));
	CU_ASSERT_STRING_EQUAL((char *)g.view.base - 7 + PAGE + 5, "hello");
	((uint8_t *)g.view.base)[2 * PAGE] = 0x5a;
	CU_ASSERT_EQUAL(mine[7 + 2 * PAGE], 0x5a);
	CU_ASSERT_FALSE(region_broken(g.r));
	rig_close(&g);
}

PHCA_TEST(region, serves_lib_mem)
{
	struct rig g;
	uint8_t *mine = rig_swap(&g, 2), buf[64];
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA, 2 * PAGE);
	uint32_t key;

	CU_ASSERT_EQUAL_FATAL(rig_open(&g, SWAP_VA + 100, 5000, RW, &s, 1, NULL), 0);
	key = rig_reg(&g, RW);
	memset(mine + 100, 0x77, 5000);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, SWAP_VA + 100 + 4936, buf, 64), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(buf[63], 0x77);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, SWAP_VA + 100 + 4937, buf, 64), PHCA_MEM_BOUNDS);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, SWAP_VA + 99, buf, 64), PHCA_MEM_BOUNDS);
	rig_close(&g);
}

PHCA_TEST(region, shared_objects_are_memory_that_cannot_shrink)
{
	struct rig g;
	int plain, sealed, file, small;

	rig_init(&g);
	plain = rig_memfd(PAGE, 0);
	sealed = rig_memfd(PAGE, F_SEAL_SHRINK);
	file = rig_file(PAGE);
	small = rig_memfd(PAGE, F_SEAL_SHRINK | F_SEAL_GROW);
	int fds[2] = { plain, sealed };

	CU_ASSERT_EQUAL(regions_share(g.rs, 0, fds), -EINVAL);
	CU_ASSERT_EQUAL(regions_share(g.rs, 4, fds), -EINVAL);
	CU_ASSERT_EQUAL(regions_share(g.rs, PHCA_ADMIN_MEM_SWAP, fds), -EPERM); /* could be truncated */
	CU_ASSERT_EQUAL(fds[0], plain);
	fds[0] = file;
	CU_ASSERT_EQUAL(regions_share(g.rs, PHCA_ADMIN_MEM_SWAP, fds), -EINVAL);
	fds[0] = sealed;
	CU_ASSERT_EQUAL(regions_share(g.rs, PHCA_ADMIN_MEM_HUGE, fds), -EINVAL); /* no huge pages */
	fds[1] = small;
	CU_ASSERT_EQUAL(regions_share(g.rs, PHCA_ADMIN_MEM_SWAP | PHCA_ADMIN_MEM_HUGE, fds), -EINVAL);
	CU_ASSERT(fds[0] == sealed && fds[1] == small); /* all or nothing */
	CU_ASSERT_EQUAL(regions_share(g.rs, PHCA_ADMIN_MEM_SWAP, fds), 0);
	CU_ASSERT(fds[0] == -1 && fds[1] == small);
	CU_ASSERT_EQUAL(regions_share(g.rs, PHCA_ADMIN_MEM_SWAP, fds + 1), -EEXIST);
	close(plain);
	close(file);
	close(small);
	rig_close(&g);
}

PHCA_TEST(region, lists_that_make_no_sense)
{
	struct rig g;
	struct phca_admin_seg s[3];

	(void)rig_swap(&g, 8);
#define LIST() do { \
	s[0] = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA, PAGE); \
	s[1] = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA + PAGE, PAGE); \
	s[2] = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA + 2 * PAGE, PAGE); \
} while (0)
#define BAD(change, why) do { \
	LIST(); \
	change; \
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, 3 * PAGE, RW, s, 3, NULL), why); \
} while (0)
	BAD(s[1].va += PAGE, -EINVAL);                      /* a gap */
	BAD(s[1].length += PAGE, -EINVAL);                  /* an overlap */
	BAD((s[0].va = s[2].va, s[2].va = SWAP_VA), -EINVAL); /* another order */
	BAD(s[1].length = 0, -EINVAL);
	BAD(s[2].length -= 1, -EINVAL);
	BAD(s[0].va += 8, -EINVAL);
	BAD(s[0].va -= PAGE, -EINVAL);                      /* then there is a gap behind */
	BAD(s[2].length = UINT64_MAX & ~(PAGE - 1), -EINVAL);
	BAD(s[2].length = (1ull << 63), -EINVAL);
	BAD(s[1].kind = 0, -EINVAL);
	BAD(s[1].kind = 7, -EINVAL);
	BAD(s[1].rsvd = 1, -EINVAL);
	BAD(s[1].writable = 2, -EINVAL);
	BAD(s[1].offset = 5, -EINVAL);
	BAD(s[1].kind = PHCA_ADMIN_SEG_HUGE, -EINVAL);      /* was not shared */
	LIST();
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, 3 * PAGE + 1, RW, s, 3, NULL), -EINVAL); /* not covered */
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA - 1, PAGE, RW, s, 3, NULL), -EINVAL);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA + PAGE, PAGE, RW, s, 3, NULL), -EINVAL);  /* more than that */
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, PAGE, RW, s, 3, NULL), -EINVAL);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, 0, RW, s, 3, NULL), -EINVAL);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, UINT64_MAX, RW, s, 3, NULL), -EINVAL);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, PAGE, RW, s, 0, NULL), -EINVAL);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, PAGE, RW, s, PHCA_ADMIN_SEGS_MAX + 1, NULL), -EINVAL);
	/* beyond the object */
	s[0] = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA + 8 * PAGE, PAGE);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA + 8 * PAGE, PAGE, RW, s, 1, NULL), -EINVAL);
	s[0] = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA + 7 * PAGE, 2 * PAGE);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA + 7 * PAGE, 2 * PAGE, RW, s, 1, NULL), -EINVAL);
	LIST();
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, 3 * PAGE, RW, s, 3, NULL), 0);
	rig_close(&g);
}

PHCA_TEST(region, what_may_not_be_written_is_not)
{
	struct rig g;
	int fd, ro;
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_FILE, 0x10000, PAGE);
	char path[64];

	rig_init(&g);
	fd = rig_memfd(PAGE, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(ro >= 0);
	/* whatever it says, the descriptor is for reading only */
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, RW, &s, 1, &ro), -EACCES);
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, PHCA_ACCESS_LOCAL_WRITE, &s, 1, &ro), -EACCES);
	s.writable = 0; /* and the descriptor is not asked when the client says that it does not write there */
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, RW, &s, 1, &fd), -EACCES);
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, 0x10000, PAGE, PHCA_ACCESS_REMOTE_READ, &s, 1, &ro), 0);
	CU_ASSERT_EQUAL(pwrite(fd, "x", 1, 9), 1);
	CU_ASSERT_EQUAL(((char *)g.view.base)[9], 'x');
	rig_free(&g);
	/* no more writing from now on */
	CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	s.writable = 1;
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, RW, &s, 1, &fd), -EPERM);
	close(fd);
	close(ro);
	rig_close(&g);
}

PHCA_TEST(region, files_are_memory_or_lie_on_a_disk)
{
	struct rig g;
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_FILE, 0x10000, PAGE);
	int fd[6] = { open("/dev/zero", O_RDWR), open("/proc/self/maps", O_RDONLY), open("/tmp", O_RDONLY),
		socket(AF_UNIX, SOCK_STREAM, 0), -1, open("/dev/null", O_RDWR) };

	rig_init(&g);
	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		int rc = rig_open(&g, 0x10000, PAGE, PHCA_ACCESS_REMOTE_READ, &s, 1, &fd[i]);

		CU_ASSERT(rc == -EOPNOTSUPP || (fd[i] < 0 && rc == -EINVAL));
		if (fd[i] >= 0)
			close(fd[i]);
	}
	fd[0] = rig_memfd(3 * PAGE - 10, 0); /* the last page is there */
	s = rig_seg(PHCA_ADMIN_SEG_FILE, 0x10000, 2 * PAGE);
	s.offset = PAGE;
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, 0x10000, 2 * PAGE, RW, &s, 1, fd), 0);
	((char *)g.view.base)[1] = 'y';
	rig_free(&g);
	s.offset = 2 * PAGE;
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, 2 * PAGE, RW, &s, 1, fd), -EINVAL);
	s.offset = 1ull << 55;
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, 2 * PAGE, RW, &s, 1, fd), -EINVAL);
	s.offset = UINT64_MAX & ~(PAGE - 1);
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, 2 * PAGE, RW, &s, 1, fd), -EINVAL);
	close(fd[0]);
	rig_close(&g);
}

PHCA_TEST(region, file_on_a_disk)
{
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_FILE, 0x10000, 2 * PAGE);
	struct rig g;
	char c;
	int fd = rig_file(2 * PAGE), rc;

	rig_init(&g);
	rc = rig_open(&g, 0x10000, 2 * PAGE, RW, &s, 1, &fd);
	if (rc == -EOPNOTSUPP) {
		close(fd);
		rig_close(&g);
		PHCA_SKIP("the directory of temporary files lies on no disk that is known");
	}
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	((char *)g.view.base)[PAGE] = 'z';
	CU_ASSERT_EQUAL(pread(fd, &c, 1, (off_t)PAGE), 1);
	CU_ASSERT_EQUAL(c, 'z');
	close(fd);
	rig_close(&g);
}

PHCA_TEST(region, segments_of_several_kinds_are_one_piece)
{
	struct rig g;
	uint8_t *mine = rig_swap(&g, 1);
	int fd[2] = { rig_memfd(4 * PAGE, 0), rig_memfd(PAGE, 0) }, id = shmget(IPC_PRIVATE, 2 * PAGE, 0600);
	struct phca_admin_seg s[4] = { rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA, PAGE),
		rig_seg(PHCA_ADMIN_SEG_FILE, SWAP_VA + PAGE, 2 * PAGE),
		rig_seg(PHCA_ADMIN_SEG_SYSV, SWAP_VA + 3 * PAGE, PAGE),
		rig_seg(PHCA_ADMIN_SEG_FILE, SWAP_VA + 4 * PAGE, PAGE) };
	char *shm = shmat(id, NULL, 0), buf[4] = "";
	uint8_t *b;

	CU_ASSERT_FATAL(shm != (void *)-1);
	s[1].offset = 2 * PAGE;
	s[2].offset = PAGE;
	s[2].shmid = (uint32_t)id;
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, SWAP_VA, 5 * PAGE, RW, s, 4, fd), 0);
	b = g.view.base;
	for (unsigned int i = 0; i < 5; i++) {
		b[i * PAGE] = (uint8_t)('0' + i);
		b[i * PAGE + 1] = 0;
	}
	memcpy(b + 2 * PAGE - 2, "abcd", 4); /* over a seam */
	memcpy(b + 3 * PAGE - 2, "ABCD", 4);
	CU_ASSERT_STRING_EQUAL(mine, "0");
	CU_ASSERT(pread(fd[0], buf, 1, (off_t)(2 * PAGE)) == 1 && buf[0] == '1');
	CU_ASSERT(pread(fd[0], buf, 4, (off_t)(3 * PAGE - 2)) == 4 && memcmp(buf, "abcd", 4) == 0);
	CU_ASSERT(memcmp(shm + PAGE, "CD", 2) == 0 && shm[0] == 0);
	CU_ASSERT(pread(fd[1], buf, 1, 0) == 1 && buf[0] == '4');
	shmdt(shm);
	shmctl(id, IPC_RMID, NULL);
	memcpy(b + 3 * PAGE, "still", 5); /* removed is not gone: it is attached here */
	CU_ASSERT_EQUAL(memcmp(b + 3 * PAGE, "still", 5), 0);
	rig_free(&g);
	CU_ASSERT(shmctl(id, IPC_STAT, &(struct shmid_ds){ .shm_nattch = 0 }) < 0); /* now it is */
	close(fd[0]);
	close(fd[1]);
	rig_close(&g);
}

PHCA_TEST(region, system_v_segments_are_as_large_as_they_are)
{
	struct rig g;
	int id = shmget(IPC_PRIVATE, 2 * PAGE + 5, 0600);
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_SYSV, 0x10000, 3 * PAGE);
	struct shmid_ds ds;

	rig_init(&g);
	s.shmid = (uint32_t)id;
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, 3 * PAGE, RW, &s, 1, NULL), 0);
	rig_free(&g);
	s.length = 4 * PAGE;
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, 4 * PAGE, RW, &s, 1, NULL), -EINVAL);
	s.length = PAGE;
	s.offset = 3 * PAGE;
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, RW, &s, 1, NULL), -EINVAL);
	s.shmid = 0x7ffffff0;
	CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, RW, &s, 1, NULL), -EINVAL);
	CU_ASSERT_EQUAL(shmctl(id, IPC_STAT, &ds), 0);
	CU_ASSERT_EQUAL(ds.shm_nattch, 0); /* nothing stays attached */
	shmctl(id, IPC_RMID, NULL);
	rig_close(&g);
}

PHCA_TEST(region, limits_are_kept)
{
	struct rig g;
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA, 4 * PAGE);
	struct region *keep[RIG_COUNT];
	unsigned int n;

	(void)rig_swap(&g, 4);
	for (n = 0; n < RIG_COUNT; n++) {
		CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, 4 * PAGE, RW, &s, 1, NULL), 0);
		keep[n] = g.r;
	}
	g.r = NULL;
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, 4 * PAGE, RW, &s, 1, NULL), -ENOMEM);
	while (n-- > 0)
		region_close(keep[n]);
	CU_ASSERT_EQUAL(rig_open(&g, SWAP_VA, 4 * PAGE, RW, &s, 1, NULL), 0);
	rig_free(&g);
	s = rig_seg(PHCA_ADMIN_SEG_REMOTE, 1ull << 30, RIG_BYTES + PAGE);
	CU_ASSERT_EQUAL(rig_open(&g, 1ull << 30, RIG_BYTES + 1, RW, &s, 1, NULL), -ENOMEM);
	s.length = RIG_BYTES;
	CU_ASSERT_EQUAL(rig_open(&g, 1ull << 30, RIG_BYTES, RW, &s, 1, NULL), 0);
	keep[0] = g.r;
	s.length = PAGE;
	CU_ASSERT_EQUAL(rig_open(&g, 1ull << 30, 1, RW, &s, 1, NULL), -ENOMEM);
	region_close(keep[0]);
	g.r = NULL;
	rig_close(&g);
}

PHCA_TEST(region, huge_pages)
{
	const uint64_t size = 4ull << 20, va = 64ull << 20;
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_HUGE, va, size);
	struct rig g;
	int fd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING | MFD_CLOEXEC);

	rig_init(&g);
	if (fd < 0 || ftruncate(fd, (off_t)(va + size)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ||
			fallocate(fd, 0, (off_t)va, (off_t)size) < 0) {
		if (fd >= 0)
			close(fd);
		rig_close(&g);
		PHCA_SKIP("this machine has no two huge pages");
	}
	CU_ASSERT_EQUAL(regions_share(g.rs, PHCA_ADMIN_MEM_SWAP, &fd), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(regions_share(g.rs, PHCA_ADMIN_MEM_HUGE, &fd), 0);
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, va + 3, 3ull << 20, RW, &s, 1, NULL), 0);
	CU_ASSERT_EQUAL((uintptr_t)g.view.base % (2u << 20), 3);
	((char *)g.view.base)[(2u << 20) + 1] = 1;
	rig_free(&g);
	s.va += size - PAGE; /* its last page ends with the object */
	CU_ASSERT_EQUAL(rig_open(&g, va + size - PAGE, 8, RW, &s, 1, NULL), -EINVAL);
	s = rig_seg(PHCA_ADMIN_SEG_HUGE, va, PAGE);
	CU_ASSERT_EQUAL(rig_open(&g, va, 8, RW, &s, 1, NULL), 0);
	CU_ASSERT_EQUAL(((char *)g.view.base)[5], 0);
	rig_free(&g);
	rig_close(&g);
}

PHCA_TEST(region, system_v_segment_of_huge_pages)
{
	const uint64_t huge = 2ull << 20;
	int id = shmget(IPC_PRIVATE, 2 * huge, 0600 | SHM_HUGETLB);
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_SYSV, 8 * huge, huge);
	struct rig g;

	if (id < 0)
		PHCA_SKIP("this machine has no two huge pages");
	rig_init(&g);
	s.shmid = (uint32_t)id;
	s.offset = huge;
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, 8 * huge + 1, huge - 1, RW, &s, 1, NULL), 0);
	memset(g.view.base, 1, huge - 1);
	rig_free(&g);
	/* a client names base pages of it; there is more behind and before them */
	s = rig_seg(PHCA_ADMIN_SEG_SYSV, 9 * huge - PAGE, 3 * PAGE);
	s.shmid = (uint32_t)id;
	s.offset = huge - PAGE;
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, 9 * huge - 5, PAGE, RW, &s, 1, NULL), 0);
	memcpy(g.view.base, "over the seam", 14);
	CU_ASSERT_EQUAL((uintptr_t)g.view.base % huge, huge - 5);
	rig_free(&g);
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, 9 * huge - 5, PAGE, PHCA_ACCESS_REMOTE_READ, &s, 1, NULL), 0);
	CU_ASSERT_STRING_EQUAL((char *)g.view.base, "over the seam");
	rig_free(&g);
	s.offset = huge; /* and the client's addresses are not those of a mapping of it */
	CU_ASSERT_EQUAL(rig_open(&g, 9 * huge - 5, PAGE, RW, &s, 1, NULL), -EINVAL);
	s = rig_seg(PHCA_ADMIN_SEG_SYSV, 8 * huge, huge);
	s.shmid = (uint32_t)id;
	s.offset = 2 * huge;
	CU_ASSERT_EQUAL(rig_open(&g, 8 * huge, huge, RW, &s, 1, NULL), -EINVAL);
	shmctl(id, IPC_RMID, NULL);
	rig_close(&g);
}

#define DICE ((uint32_t)phca_test_rand(&seed))

/* Random lists, most of them wrong: nothing happens but errors, and nothing stays. */
PHCA_TEST(region, random_lists)
{
	static const uint64_t odd[] = { 0, 1, 4095, 4096, 8192, 1ull << 21, 1ull << 47, 1ull << 63, UINT64_MAX,
		UINT64_MAX & ~4095ull, SWAP_VA, SWAP_VA + PAGE };
	struct phca_admin_seg s[8];
	int fd[8], id, made = 0;
	uint64_t seed = 1;
	struct rig g;
	uint64_t maps;

	(void)rig_swap(&g, 8);
	for (int i = 0; i < 8; i++)
		fd[i] = rig_memfd((uint64_t)i * PAGE, 0);
	id = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
	maps = rig_maps();
	for (int round = 0; round < 20000; round++) {
		uint32_t n = DICE % 8 + 1;
		uint64_t va = SWAP_VA + (uint64_t)(DICE % 4) * PAGE, at = va;
		uint32_t access = DICE & PHCA_ACCESS_ALL;

		for (uint32_t i = 0; i < n; i++) {
			s[i] = rig_seg(DICE % 7, at, (uint64_t)(DICE % 3 + 1) * PAGE);
			if (DICE % 2)
				s[i].kind = PHCA_ADMIN_SEG_SWAP;
			at += s[i].length;
			s[i].shmid = DICE % 4 ? (uint32_t)id : DICE;
			s[i].offset = DICE % 4 ? 0 : (uint64_t)(DICE % 3) * PAGE;
			s[i].writable = DICE % 8 != 0;
			s[i].vma_start = s[i].va;
			s[i].vma_end = at;
		}
		if (DICE % 2) { /* one word of it is another */
			uint64_t *w = (uint64_t *)&s[DICE % n] + DICE % (sizeof(s[0]) / 8);

			*w = odd[DICE % (sizeof(odd) / sizeof(odd[0]))];
		}
		if (rig_open(&g, va + DICE % 2, at - va - DICE % 3, access, s, n, fd) == 0) {
			if (g.view.base != NULL) {
				made++;
				if (access & PHCA_ACCESS_LOCAL_WRITE)
					memset(g.view.base, 1, PAGE - 1);
				else
					(void)*(volatile char *)g.view.base;
			}
			rig_free(&g);
		}
	}
	CU_ASSERT(made > 100);
	CU_ASSERT(rig_maps() <= maps + 4); /* libraries may map something of theirs */
	for (int i = 0; i < 8; i++)
		close(fd[i]);
	shmctl(id, IPC_RMID, NULL);
	rig_close(&g);
}
