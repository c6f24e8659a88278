/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that die, become others, or name what is not theirs; memory that is not shared. */
#include <errno.h>
#include <fcntl.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <rte_errno.h>

#include "region_kid.h"
#include "region_rig.h"

#define AT ((void *)0x7ea000000000) /* where clients have what they lend */

/* ----------------------------------------------------------------- REMOTE */

static void lend_run(struct kid *k, void *arg)
{
	char *p = mmap(AT, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	(void)arg;
	if (p == MAP_FAILED)
		_exit(1);
	memcpy(p + 100, "the client's", 13);
	kid_ready(k);
	if (strcmp(p + PAGE - 4, "the peer's") != 0)
		_exit(2);
	munmap(p, PAGE);
	kid_ready(k);
	for (;;)
		pause();
}

static int open_remote(struct rig *g)
{
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_REMOTE, (uintptr_t)AT, 4 * PAGE);

	return rig_open(g, (uintptr_t)AT + 8, 3 * PAGE, RW, &s, 1, NULL);
}

PHCA_TEST(remote, is_read_and_written_until_it_is_gone)
{
	struct kid k = kid_start(lend_run, NULL);
	struct region_stats st0, st;
	struct phca_sge sge;
	char buf[32] = "";
	uint32_t key;
	struct rig g;
	char c;

	rig_init_of(&g, k.pid, k.uid, k.uid);
	CU_ASSERT_EQUAL_FATAL(open_remote(&g), 0);
	CU_ASSERT_PTR_NULL(g.view.base);
	key = rig_reg(&g, RW);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, (uintptr_t)AT + 100, buf, 13), PHCA_MEM_OK);
	CU_ASSERT_STRING_EQUAL(buf, "the client's");
	CU_ASSERT_EQUAL(phca_mem_write(g.mem, key, g.pd, 1, (uintptr_t)AT + PAGE - 4, "the peer's", 11), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, (uintptr_t)AT + 7, buf, 1), PHCA_MEM_BOUNDS);
	region_stats_get(&st0);
	kid_go(&k); /* the first page is unmapped */
	CU_ASSERT_EQUAL_FATAL(read(k.from, &c, 1), 1);
	sge = (struct phca_sge){ (uintptr_t)AT + PAGE - 2, 8, key };
	CU_ASSERT_EQUAL(phca_sg_gather(g.mem, g.pd, &sge, 1, 0, buf, 8), PHCA_MEM_FAULT);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, (uintptr_t)AT + PAGE, buf, 7), PHCA_MEM_OK);
	CU_ASSERT_STRING_EQUAL(buf, "peer's");
	CU_ASSERT_EQUAL(kid_end(&k, SIGKILL), SIGKILL);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, (uintptr_t)AT + PAGE, buf, 7), PHCA_MEM_FAULT);
	CU_ASSERT_EQUAL(phca_mem_write(g.mem, key, g.pd, 1, (uintptr_t)AT + PAGE, buf, 7), PHCA_MEM_FAULT);
	region_stats_get(&st);
	CU_ASSERT_EQUAL(st.client_copies_failed - st0.client_copies_failed, 3);
	CU_ASSERT_FALSE(region_broken(g.r));
	rig_close(&g);
}

static void wait_run(struct kid *k, void *arg)
{
	(void)arg;
	kid_ready(k);
}

PHCA_TEST(remote, of_a_process_that_is_gone)
{
	struct kid k = kid_start(wait_run, NULL);
	const struct region_limits max = { .bytes = RIG_BYTES, .count = RIG_COUNT };
	struct ucred who = { .pid = k.pid, .uid = k.uid, .gid = k.uid };
	struct rig g;

	rig_init_of(&g, k.pid, k.uid, k.uid);
	kid_end(&k, SIGKILL);
	CU_ASSERT_EQUAL(open_remote(&g), -ESRCH);
	CU_ASSERT_PTR_NULL(regions_create(&who, &max));
	CU_ASSERT_EQUAL(rte_errno, ESRCH);
	rig_close(&g);
}

PHCA_TEST(remote, is_refused_when_it_is_not_allowed)
{
	const struct region_limits max = { .bytes = RIG_BYTES, .count = RIG_COUNT };
	const struct ucred who = { .pid = getpid(), .uid = geteuid(), .gid = getegid() };
	struct rig g;

	rig_init(&g);
	regions_destroy(g.rs);
	g.rs = regions_create(&who, &max);
	CU_ASSERT_PTR_NOT_NULL_FATAL(g.rs);
	CU_ASSERT_EQUAL(open_remote(&g), -EOPNOTSUPP);
	rig_close(&g);
}

/* As a program with more rights is, which the client has become by exec. */
static void hidden_run(struct kid *k, void *arg)
{
	(void)arg;
	prctl(PR_SET_DUMPABLE, 0);
	kid_ready(k);
}

PHCA_TEST(remote, program_that_is_not_the_users_is_refused)
{
	struct kid k = kid_start(hidden_run, NULL);
	struct rig g;
	int rc;

	rig_init_of(&g, k.pid, k.uid, k.uid);
	rc = open_remote(&g);
	CU_ASSERT(rc == -EACCES || rc == -EPERM);
	rig_free(&g);
	kid_end(&k, SIGKILL);
	rig_close(&g);
}

static void exec_run(struct kid *k, void *arg)
{
	(void)arg;
	if (mmap(AT, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		_exit(1);
	kid_ready(k);
	fcntl(k->to, F_SETFD, FD_CLOEXEC); /* its end says that it is another program */
	execl("/bin/sleep", "sleep", "60", (char *)NULL);
	_exit(1);
}

PHCA_TEST(remote, does_not_follow_into_another_program)
{
	struct kid k = kid_start(exec_run, NULL);
	uint32_t key;
	struct rig g;
	char c;

	rig_init_of(&g, k.pid, k.uid, k.uid);
	CU_ASSERT_EQUAL_FATAL(open_remote(&g), 0);
	key = rig_reg(&g, RW);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, (uintptr_t)AT + PAGE, &c, 1), PHCA_MEM_OK);
	kid_go(&k);
	CU_ASSERT_EQUAL(read(k.from, &c, 1), 0);
	CU_ASSERT_EQUAL(phca_mem_write(g.mem, key, g.pd, 1, (uintptr_t)AT + PAGE, &c, 1), PHCA_MEM_FAULT);
	kid_end(&k, SIGKILL);
	rig_close(&g);
}

/* ----------------------------------------------------------------- MAPPED */

struct lend {
	int fd;        /* -1: shared anonymous memory */
	bool write;
};

static void map_run(struct kid *k, void *arg)
{
	const struct lend *l = arg;
	char *p = mmap(AT, 2 * PAGE, l->write ? PROT_READ | PROT_WRITE : PROT_READ,
		MAP_SHARED | MAP_FIXED | (l->fd < 0 ? MAP_ANONYMOUS : 0), l->fd, 0);

	if (p == MAP_FAILED)
		_exit(1);
	if (l->write)
		memcpy(p + PAGE, "shared", 7);
	kid_ready(k);
	_exit(l->write && strcmp(p, "answer") == 0 ? 0 : 3);
}

static int open_mapped(struct rig *g, uint32_t access)
{
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_MAPPED, (uintptr_t)AT, 2 * PAGE);

	s.vma_start = s.va;
	s.vma_end = s.va + s.length;
	return rig_open(g, s.va, s.length, access, &s, 1, NULL);
}

PHCA_TEST(mapped, shared_memory_of_another_process)
{
	struct lend l = { .fd = -1, .write = true };
	struct kid k = kid_start(map_run, &l);
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_MAPPED, (uintptr_t)AT + PAGE, 2 * PAGE);
	struct rig g;
	int rc, st;

	rig_init_of(&g, k.pid, k.uid, k.uid);
	rc = open_mapped(&g, RW);
	if (rc == -EPERM) { /* asks for CAP_CHECKPOINT_RESTORE */
		kid_end(&k, SIGKILL);
		rig_close(&g);
		PHCA_SKIP("this process may not open the mappings of others");
	}
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	CU_ASSERT_STRING_EQUAL((char *)g.view.base + PAGE, "shared");
	memcpy(g.view.base, "answer", 7);
	rig_free(&g);
	s.vma_start = (uintptr_t)AT;
	s.vma_end = s.vma_start + 2 * PAGE;
	CU_ASSERT_EQUAL(rig_open(&g, s.va, s.length, RW, &s, 1, NULL), -EINVAL); /* more than the mapping */
	s.vma_end += PAGE;
	CU_ASSERT_EQUAL(rig_open(&g, s.va, s.length, RW, &s, 1, NULL), -EFAULT); /* there is none such */
	kid_go(&k);
	st = kid_end(&k, 0);
	CU_ASSERT(WIFEXITED(st) && WEXITSTATUS(st) == 0);
	CU_ASSERT(open_mapped(&g, RW) < 0);
	rig_close(&g);
}

/* What a client has open for reading only stays so, however much this process may. */
PHCA_TEST(mapped, what_the_client_may_not_write_is_not_written)
{
	static const mode_t modes[] = { 0644, 0666, 0600 };

	if (geteuid() != 0)
		PHCA_SKIP("has to be root, as a client's rights are not its own");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		int fd = rig_memfd(2 * PAGE, 0), rc;
		char path[64];
		struct lend l;
		struct kid k;
		struct rig g;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		CU_ASSERT_EQUAL(fchmod(fd, modes[i]), 0);
		l = (struct lend){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
		k = kid_start(map_run, &l);
		rig_init_of(&g, k.pid, k.uid, k.uid);
		CU_ASSERT_EQUAL(open_mapped(&g, RW), -EACCES);
		rc = open_mapped(&g, PHCA_ACCESS_REMOTE_READ);
		CU_ASSERT_EQUAL(rc, modes[i] == 0600 ? -EACCES : 0);
		rig_free(&g);
		kid_end(&k, SIGKILL);
		rig_close(&g);
		close(fd);
		close(l.fd);
		/* this thread has its own rights again */
		fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
		CU_ASSERT(fd >= 0 || errno == ENOENT);
		close(fd);
	}
}

/* ---------------------------------------------------------- System V, others */

PHCA_TEST(mapped, system_v_segment_of_another_user)
{
	static const mode_t modes[] = { 0600, 0660, 0604, 0606 };
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_SYSV, 0x10000, PAGE);
	struct shmid_ds ds;
	struct kid k;
	struct rig g;

	if (geteuid() != 0)
		PHCA_SKIP("has to be root, as a client's rights are not its own");
	k = kid_start(wait_run, NULL);
	rig_init_of(&g, k.pid, k.uid, k.uid);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		int id = shmget(IPC_PRIVATE, PAGE, (int)modes[i]);

		s.shmid = (uint32_t)id;
		CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, RW, &s, 1, NULL), modes[i] & 2 ? 0 : -EACCES);
		rig_free(&g);
		CU_ASSERT_EQUAL(rig_open(&g, 0x10000, PAGE, PHCA_ACCESS_REMOTE_READ, &s, 1, NULL),
			modes[i] & 4 ? 0 : -EACCES);
		rig_free(&g);
		CU_ASSERT(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 0);
		shmctl(id, IPC_RMID, NULL);
	}
	kid_end(&k, SIGKILL);
	rig_close(&g);
}

/* A client is killed while its memory is used: it stays until the region is closed. */
PHCA_TEST(mapped, swap_of_a_client_that_is_killed)
{
	int fd = rig_memfd(SWAP_VA + 2 * PAGE, F_SEAL_SHRINK);
	struct phca_admin_seg s = rig_seg(PHCA_ADMIN_SEG_SWAP, SWAP_VA, 2 * PAGE);
	struct kid k = kid_start(wait_run, NULL);
	uint32_t key;
	struct rig g;
	char c = 0;

	rig_init_of(&g, k.pid, k.uid, k.uid);
	CU_ASSERT_EQUAL_FATAL(regions_share(g.rs, PHCA_ADMIN_MEM_SWAP, &fd), 0);
	CU_ASSERT_EQUAL_FATAL(rig_open(&g, SWAP_VA, 2 * PAGE, RW, &s, 1, NULL), 0);
	key = rig_reg(&g, RW);
	CU_ASSERT_EQUAL(phca_mem_write(g.mem, key, g.pd, 1, SWAP_VA + PAGE, "k", 1), PHCA_MEM_OK);
	kid_end(&k, SIGKILL);
	CU_ASSERT_EQUAL(phca_mem_read(g.mem, key, g.pd, 1, SWAP_VA + PAGE, &c, 1), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(c, 'k');
	CU_ASSERT_FALSE(region_broken(g.r));
	rig_close(&g);
}
