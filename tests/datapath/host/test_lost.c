/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that lend memory of their own kinds, and take it away. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

#define PAGE UINT64_C(4096)
#define VA UINT64_C(0x10000000)
#define ACCESS (PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_WRITE | PHCA_ACCESS_REMOTE_READ)

/* Register pages of a descriptor, or of this process when there is none. */
static int reg(struct peer *p, uint32_t pd, enum phca_admin_seg_kind kind, uint64_t va, uint64_t pages, int fd)
{
	union rig_msg m = { .req = { .magic = PHCA_ADMIN_MAGIC, .op = PHCA_ADMIN_MR_REG, .seq = ++p->seq,
		.nb_fds = fd >= 0 } };
	struct phca_admin_seg s = { .va = va, .length = pages * PAGE, .kind = kind, .writable = 1 };
	uint32_t len = phca_admin_req_len(PHCA_ADMIN_MR_REG);

	m.req.u.mr_reg = (struct phca_admin_mr_reg){ .addr = va, .length = pages * PAGE, .iova = va, .pd = pd,
		.access = ACCESS, .nb_segs = 1 };
	memcpy(m.bytes + len, &s, sizeof(s));
	m.req.len = (uint16_t)(len + sizeof(s));
	return peer_send(p, &m, m.req.len, &fd, fd >= 0);
}

static int pd_alloc(struct peer *p, uint32_t *pd)
{
	int ret = peer_call(p, PHCA_ADMIN_PD_ALLOC, NULL, 0);

	*pd = p->ans.u.handle[0];
	return ret;
}

/* What lib/mem calls the client's domain. */
static uint32_t domain(const struct rig *r, uint32_t key, uint64_t va)
{
	for (uint32_t pd = 1; pd < 1000; pd++)
		if (phca_mem_check(r->lab->mem, key, pd, 1, va, 1, PHCA_ACCESS_REMOTE_READ) == PHCA_MEM_OK)
			return pd;
	return 0;
}

PHCA_TEST(lost, client_whose_file_is_cut_is_disconnected_and_no_other)
{
	struct rig *r = rig_open(NULL);
	int fd = memfd_create("phca-test", MFD_CLOEXEC);
	struct peer p, other;
	uint32_t pd, key, own;
	char c[8];

	CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0);
	peer_open(r, &p);
	peer_open(r, &other);
	CU_ASSERT_EQUAL(pd_alloc(&p, &pd), 0);
	CU_ASSERT_EQUAL_FATAL(reg(&p, pd, PHCA_ADMIN_SEG_FILE, VA, 2, fd), 0);
	key = p.ans.u.handle[1];
	own = domain(r, key, VA);
	CU_ASSERT_EQUAL(phca_mem_write(r->lab->mem, key, own, 1, VA + PAGE, "written", 8), PHCA_MEM_OK);
	CU_ASSERT(pread(fd, c, 8, PAGE) == 8 && memcmp(c, "written", 8) == 0);
	CU_ASSERT_EQUAL(ftruncate(fd, PAGE), 0);
	rig_poll(r);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CLOCK, NULL, 0), 0); /* nobody was hurt */
	CU_ASSERT_EQUAL(phca_mem_read(r->lab->mem, key, own, 1, VA + PAGE, c, 8), PHCA_MEM_OK);
	CU_ASSERT_EQUAL(c[0], 0);
	CU_ASSERT_EQUAL(peer_call(&other, PHCA_ADMIN_CLOCK, NULL, 0), 0); /* and a poll */
	CU_ASSERT_EQUAL(recv(p.fd, c, 1, MSG_DONTWAIT), 0); /* its connection has ended */
	CU_ASSERT_EQUAL(peer_call(&other, PHCA_ADMIN_CLOCK, NULL, 0), 0);
	CU_ASSERT_EQUAL(rig_stats(r).broken, 1);
	CU_ASSERT(rig_stats(r).client_memory_lost >= 1);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 1);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(r->lab->mem), 0);
	peer_close(&p);
	peer_close(&other);
	close(fd);
	rig_close(r);
}

PHCA_TEST(lost, memory_that_is_not_shared_is_reached_through_the_kernel)
{
	static char mine[2 * PAGE] __attribute__((aligned(4096))) = "private";
	struct rig *r = rig_open(NULL);
	uint64_t va = (uintptr_t)mine;
	uint32_t pd, key, own;
	struct peer p;
	char c[8];

	peer_open(r, &p);
	CU_ASSERT_EQUAL(pd_alloc(&p, &pd), 0);
	CU_ASSERT_EQUAL_FATAL(reg(&p, pd, PHCA_ADMIN_SEG_REMOTE, va, 2, -1), 0);
	key = p.ans.u.handle[1];
	own = domain(r, key, va);
	CU_ASSERT_EQUAL(phca_mem_read(r->lab->mem, key, own, 1, va, c, 8), PHCA_MEM_OK);
	CU_ASSERT_STRING_EQUAL(c, "private");
	CU_ASSERT_EQUAL(phca_mem_write(r->lab->mem, key, own, 1, va + PAGE - 4, "peer's", 7), PHCA_MEM_OK);
	CU_ASSERT_STRING_EQUAL(mine + PAGE - 4, "peer's");
	peer_close(&p);
	rig_poll(r);
	CU_ASSERT_EQUAL(phca_mem_nb_mr(r->lab->mem), 0);
	rig_close(r);
}

PHCA_TEST(lost, limits_say_whether_there_is_such_memory)
{
	struct phca_host_limits l;
	struct peer p;
	struct rig *r;
	uint32_t pd;

	phca_host_limits_default(&l);
	l.remote = false;
	r = rig_open(&l);
	peer_open(r, &p);
	CU_ASSERT_EQUAL(pd_alloc(&p, &pd), 0);
	CU_ASSERT_EQUAL(reg(&p, pd, PHCA_ADMIN_SEG_REMOTE, VA, 2, -1), -EOPNOTSUPP);
	peer_close(&p);
	rig_close(r);
}
