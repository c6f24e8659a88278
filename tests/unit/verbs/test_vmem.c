/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmem, one thread: what is registered is shared with who maps the memfd, keeps address,
 * contents and protection, and is private again afterwards, in any order of calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "vmem_test.h"

static void put(char *to, const char *text)
{
	memcpy(to, text, strlen(text) + 1);
}

/* Registered as one segment of the memfd, both ways visible, private afterwards. */
static int share(char *p, size_t len)
{
	uint64_t base = (uintptr_t)p & ~(PAGE - 1), off = (uintptr_t)p - base;
	struct vmem_seg s[SEGS];
	unsigned int n = 0;
	char was = p[len - 1];

	NEED(vmem_reg(p, len, true, s, SEGS, &n) == 0);
	NEED(n == 1 && s[0].kind == VMEM_SWAP && s[0].va == base && s[0].offset == base);
	NEED(s[0].len == ((off + len + PAGE - 1) & ~(PAGE - 1)) && s[0].writable);
	NEED(vmem_test_same(p, len));
	p[0] = 'A';
	NEED(vmem_test_poke(p + len - 1, 'D'));
	NEED(vmem_test_peek(p) == 'A' && p[len - 1] == 'D');
	vmem_dereg(p, len);
	NEED(p[0] == 'A' && p[len - 1] == 'D');
	/* apart from now on, and the pages are given back */
	p[0] = 'P';
	NEED(vmem_test_peek(p) == 0 && vmem_test_peek(p + len - 1) == 0);
	NEED(vmem_test_poke(p + len - 1, 'X') && p[len - 1] == 'D');
	p[len - 1] = was;
	return vmem_test_idle() ? 0 : __LINE__;
}

static int share_heap(void)
{
	for (size_t len = 16; len <= 200000; len = len * 3 + 5) {
		char *p = malloc(len), *q;
		int line;

		memset(p, 'h', len);
		line = share(p, len);
		if (line != 0)
			return line;
		q = malloc(len);
		NEED(q != NULL && p[len / 2] == 'h');
		free(q);
		free(p);
	}
	return 0;
}

static char data[10000] = "initialized";
static char bss[10000];
static const char rodata[10000] = "constant";

static int share_static(void)
{
	struct vmem_seg s[SEGS];
	unsigned int n = 0;
	int line = share(data + 13, sizeof(data) - 13);

	if (line == 0)
		line = share(bss, sizeof(bss));
	if (line != 0)
		return line;
	NEED(strcmp(data, "initialized") == 0);
	NEED(vmem_reg(rodata, sizeof(rodata), true, s, SEGS, &n) == -EACCES && n == 0);
	NEED(vmem_reg(rodata, sizeof(rodata), false, s, SEGS, &n) == 0);
	NEED(n == 1 && s[0].kind == VMEM_SWAP && !s[0].writable);
	NEED(strcmp(rodata, "constant") == 0);
	NEED(vmem_test_same(rodata, sizeof(rodata)));
	/* a system call may not write there either */
	int zero = open("/dev/zero", O_RDONLY);
	ssize_t got = read(zero, (void *)(uintptr_t)rodata, 1);
	NEED(got < 0 && errno == EFAULT);
	close(zero);
	vmem_dereg(rodata, sizeof(rodata));
	NEED(strcmp(rodata, "constant") == 0);
	return vmem_test_idle() ? 0 : __LINE__;
}

static int __attribute__((noinline)) deeper(unsigned int n)
{
	volatile char here[4000];

	here[0] = here[3999] = (char)n;
	return (n > 0 ? deeper(n - 1) : 0) + here[0] - here[3999];
}

static int share_stack(void)
{
	char buf[9000];
	int line;

	memset(buf, 's', sizeof(buf));
	line = share(buf, sizeof(buf));
	if (line != 0)
		return line;
	for (size_t i = 1; i < sizeof(buf) - 1; i++)
		NEED(buf[i] == 's');
	/* the stack grows below what is swapped */
	struct vmem_seg s[SEGS];
	unsigned int n = 0;
	NEED(vmem_reg(buf, sizeof(buf), true, s, SEGS, &n) == 0);
	NEED(deeper(100) == 0);
	vmem_dereg(buf, sizeof(buf));
	NEED(deeper(200) == 0);
	return 0;
}

static int refusals(void)
{
	char *p = vmem_test_pages(4);
	struct vmem_seg s[SEGS];
	unsigned int n = 7;

	NEED(p != NULL);
	memset(p, 1, 4 * PAGE);
	/* a hole, in any place */
	munmap(p + 2 * PAGE, PAGE);
	NEED(vmem_reg(p, 4 * PAGE, true, s, SEGS, &n) == -EFAULT && n == 0);
	NEED(vmem_reg(p + 2 * PAGE, 1, true, s, SEGS, &n) == -EFAULT);
	NEED(vmem_reg((void *)(UINTPTR_MAX - 5), 10, true, s, SEGS, &n) == -EFAULT);
	NEED(vmem_reg(p, SIZE_MAX, true, s, SEGS, &n) == -EFAULT);
	NEED(vmem_test_idle());
	/* read-only in the middle */
	NEED(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	NEED(vmem_reg(p, 2 * PAGE, true, s, SEGS, &n) == -EACCES);
	NEED(vmem_test_idle());
	NEED(vmem_reg(p, 2 * PAGE, false, s, 1, &n) == -E2BIG);
	NEED(vmem_reg(p, 2 * PAGE, false, s, 2, &n) == 0 && n == 2);
	NEED(s[0].writable && !s[1].writable && s[1].va == (uintptr_t)p + PAGE);
	vmem_dereg(p, 2 * PAGE);
	/* nothing */
	NEED(vmem_reg(p, 0, true, s, SEGS, &n) == 0 && n == 0);
	vmem_dereg(p, 0);
	/* not registered: nothing happens */
	vmem_dereg(p, PAGE);
	vmem_dereg(NULL, 1);
	NEED(p[0] == 1 && vmem_test_idle());
	/* no access */
	NEED(mprotect(p, PAGE, PROT_NONE) == 0);
	NEED(vmem_reg(p, PAGE, true, s, SEGS, &n) == -EACCES);
	NEED(vmem_reg(p, PAGE, false, s, SEGS, &n) == 0 && n == 1 && s[0].kind == VMEM_REMOTE);
	vmem_dereg(p, PAGE);
	NEED(vmem_test_idle());
	munmap(p, 2 * PAGE);
	munmap(p + 3 * PAGE, PAGE);
	return 0;
}

/* mprotect() while it is registered counts at the end. */
static int protection(void)
{
	char *p = vmem_test_pages(2);
	struct vmem_seg s[SEGS];
	unsigned int n;
	int zero = open("/dev/zero", O_RDONLY);

	NEED(p != NULL);
	memset(p, 7, 2 * PAGE);
	NEED(vmem_reg(p, 2 * PAGE, true, s, SEGS, &n) == 0);
	NEED(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	vmem_dereg(p, 2 * PAGE);
	NEED(read(zero, p, 1) == 1 && p[0] == 0);
	NEED(read(zero, p + PAGE, 1) == -1 && errno == EFAULT && p[PAGE] == 7);
	NEED(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	p[PAGE] = 8;
	/* an allocator gives pages back: zeros again */
	NEED(madvise(p, PAGE, MADV_DONTNEED) == 0 && p[1] == 0);
	close(zero);
	munmap(p, 2 * PAGE);
	return vmem_test_idle() ? 0 : __LINE__;
}

/* What the application does with the addresses meanwhile is its own. */
static int unmapped(void)
{
	char *p = vmem_test_pages(4), *q;
	struct vmem_seg s[SEGS];
	unsigned int n;

	NEED(p != NULL);
	put(p, "old");
	NEED(vmem_reg(p, 4 * PAGE, true, s, SEGS, &n) == 0);
	munmap(p, 4 * PAGE);
	NEED(vmem_test_peek(p) == 'o'); /* the appliance is safe */
	q = mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	NEED(q == p);
	NEED(q[0] == 0);
	put(q, "new");
	/* registered again before the old one goes: that must not count for it */
	NEED(vmem_reg(q, 2 * PAGE, true, s, SEGS, &n) == 0);
	NEED(vmem_test_same(q, 2 * PAGE));
	vmem_dereg(p, 4 * PAGE);
	put(q, "now");
	NEED(vmem_test_same(q, 2 * PAGE)); /* still shared */
	vmem_dereg(q, 2 * PAGE);
	NEED(strcmp(q, "now") == 0 && vmem_test_peek(q) == 0);
	NEED(vmem_test_idle());
	/* the other way: gone without a new registration */
	NEED(vmem_reg(q, 4 * PAGE, true, s, SEGS, &n) == 0);
	munmap(q, 4 * PAGE);
	q = mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	NEED(q == p);
	put(q, "fresh");
	vmem_dereg(q, 4 * PAGE);
	NEED(strcmp(q, "fresh") == 0 && vmem_test_peek(q) == 0);
	munmap(q, 4 * PAGE);
	return vmem_test_idle() ? 0 : __LINE__;
}

/* realloc() moves large blocks with mremap(). */
static int moved(void)
{
	char *p = vmem_test_pages(4), *to = vmem_test_pages(4), *q;
	struct vmem_seg s[SEGS];
	unsigned int n;

	NEED(p != NULL && to != NULL);
	put(p + PAGE, "kept");
	NEED(vmem_reg(p, 4 * PAGE, true, s, SEGS, &n) == 0);
	q = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	NEED(q == to && strcmp(q + PAGE, "kept") == 0);
	/* registered where it is now, too */
	NEED(vmem_reg(q, PAGE, true, s, SEGS, &n) == 0 && n == 1 && s[0].kind == VMEM_SWAP);
	vmem_dereg(p, 4 * PAGE);
	NEED(strcmp(q + PAGE, "kept") == 0);
	put(q + PAGE, "mine");
	NEED(vmem_test_peek(p + PAGE) == 0);
	vmem_dereg(q, PAGE);
	NEED(vmem_test_idle());
	/* memory at the old place, registered while the moved one still shows its pages */
	NEED(vmem_reg(q, 4 * PAGE, true, s, SEGS, &n) == 0);
	p = vmem_test_pages(4);
	NEED(mremap(q, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
	NEED(mmap(q, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
		== q);
	put(q + PAGE, "other");
	NEED(vmem_reg(q, 4 * PAGE, true, s, SEGS, &n) == 0);
	NEED(strcmp(p + PAGE, "mine") == 0 && strcmp(q + PAGE, "other") == 0);
	vmem_dereg(q, 4 * PAGE);
	vmem_dereg(q, 4 * PAGE);
	NEED(strcmp(p + PAGE, "mine") == 0 && strcmp(q + PAGE, "other") == 0);
	munmap(p, 4 * PAGE);
	munmap(q, 4 * PAGE);
	return vmem_test_idle() ? 0 : __LINE__;
}

/* Any overlap, any order, against a count of each page. */
static int torture(uint64_t seed, unsigned int rounds)
{
	enum { PAGES = 48, REGS = 40 };
	struct { char *p; size_t len; bool on; } r[REGS] = { 0 };
	unsigned int count[PAGES] = { 0 }, n;
	char *base = vmem_test_pages(PAGES);
	struct vmem_seg s[SEGS];

	NEED(base != NULL);
	for (unsigned int i = 0; i < PAGES; i++)
		base[i * PAGE] = (char)i;
	for (unsigned int k = 0; k < rounds; k++) {
		unsigned int i = (unsigned int)(phca_test_rand(&seed) % REGS);
		unsigned int first, last;

		if (!r[i].on) {
			r[i].p = base + phca_test_rand(&seed) % (PAGES * PAGE - 1);
			r[i].len = 1 + phca_test_rand(&seed) % (size_t)(base + PAGES * PAGE - r[i].p);
			if (r[i].len > 9 * PAGE)
				r[i].len %= 9 * PAGE;
			if (phca_test_rand(&seed) % 8 == 0 && r[(i + 1) % REGS].on) {
				r[i].p = r[(i + 1) % REGS].p; /* a duplicate */
				r[i].len = r[(i + 1) % REGS].len;
			}
			NEED(vmem_reg(r[i].p, r[i].len, true, s, SEGS, &n) == 0);
		} else {
			vmem_dereg(r[i].p, r[i].len);
		}
		first = (unsigned int)((size_t)(r[i].p - base) / PAGE);
		last = r[i].len == 0 ? first :
			(unsigned int)(((size_t)(r[i].p - base) + r[i].len + PAGE - 1) / PAGE);
		r[i].on = !r[i].on;
		for (unsigned int g = first; g < last; g++)
			count[g] += r[i].on ? 1u : -1u;
		for (unsigned int g = 0; g < PAGES; g++) {
			NEED(base[g * PAGE] == (char)g);
			base[g * PAGE + 1] = (char)(1 + (k + g) % 100);
		}
		/* what is counted is shared; what is not is no more in the memfd */
		for (unsigned int g = k % 5; g < PAGES; g += 5) {
			char c = vmem_test_peek(base + g * PAGE + 1);

			NEED(c == (count[g] > 0 ? base[g * PAGE + 1] : 0));
		}
	}
	for (unsigned int i = 0; i < REGS; i++)
		if (r[i].on)
			vmem_dereg(r[i].p, r[i].len);
	munmap(base, PAGES * PAGE);
	return vmem_test_idle() ? 0 : __LINE__;
}

static int torture_short(void)
{
	return torture(20261122, 400);
}

/* Each in turn; the line of the first that fails. */
static int all(void)
{
	static int (*const fn[])(void) = { share_heap, share_static, share_stack, refusals,
		protection, unmapped, moved, torture_short };

	for (unsigned int i = 0; i < sizeof(fn) / sizeof(fn[0]); i++) {
		int line = fn[i]();

		if (line != 0)
			return line;
	}
	return 0;
}

PHCA_TEST(vmem, heap)
{
	VMEM_SCENARIO(share_heap());
}

PHCA_TEST(vmem, data_bss_and_constants)
{
	VMEM_SCENARIO(share_static());
}

PHCA_TEST(vmem, the_stack_that_runs)
{
	VMEM_SCENARIO(share_stack());
}

PHCA_TEST(vmem, what_cannot_be_registered)
{
	VMEM_SCENARIO(refusals());
}

PHCA_TEST(vmem, protection_changes_while_registered)
{
	VMEM_SCENARIO(protection());
}

PHCA_TEST(vmem, unmapped_while_registered)
{
	VMEM_SCENARIO(unmapped());
}

PHCA_TEST(vmem, moved_while_registered)
{
	VMEM_SCENARIO(moved());
}

PHCA_TEST(vmem, overlapping_registrations_against_a_model)
{
	VMEM_SCENARIO(torture(1, phca_test_long() ? 200000 : 3000));
}

PHCA_TEST(vmem, all_of_it_as_nobody)
{
	VMEM_SCENARIO(vmem_test_child(all, vmem_test_nobody));
}

PHCA_TEST(vmem, all_of_it_without_userfaultfd)
{
	vmem_guard_limit(VMEM_GUARD_SEGV);
	CU_ASSERT_EQUAL(vmem_guard_mode(), VMEM_GUARD_SEGV);
	VMEM_SCENARIO(all());
	vmem_guard_limit(VMEM_GUARD_UFFD);
}

PHCA_TEST(vmem, all_of_it_from_the_text_of_maps)
{
	vmem_maps_text(true);
	VMEM_SCENARIO(all());
	vmem_maps_text(false);
}

static int file_size_limit(void)
{
	struct rlimit r = { 1 << 20, 1 << 20 };

	return setrlimit(RLIMIT_FSIZE, &r) == 0 ? 0 : __LINE__;
}

static int too_small(void)
{
	char *p = vmem_test_pages(1);
	struct vmem_seg s[SEGS];
	unsigned int n = 1;

	NEED(vmem_reg(p, PAGE, true, s, SEGS, &n) == -EFBIG && n == 0);
	return 0;
}

PHCA_TEST(vmem, a_limit_on_file_sizes_is_told_and_kills_nobody)
{
	VMEM_SCENARIO(vmem_test_child(too_small, file_size_limit));
}

/* Daemons close whatever is open. */
static int closed_behind(void)
{
	char *p = vmem_test_pages(2);
	struct vmem_seg s[SEGS];
	unsigned int n;

	put(p, "there");
	NEED(vmem_reg(p, 2 * PAGE, true, s, SEGS, &n) == 0);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	int other = open("/dev/null", O_RDWR);
	NEED(vmem_reg(p, PAGE, true, s, SEGS, &n) == -EBADF);
	NEED(fcntl(other, F_GETFD) >= 0);
	vmem_dereg(p, 2 * PAGE);
	NEED(strcmp(p, "there") == 0);
	put(p, "still");
	return vmem_test_idle() ? 0 : __LINE__;
}

PHCA_TEST(vmem, descriptors_closed_behind_its_back)
{
	/* the pipe to the parent is among those that are closed: the exit status tells */
	pid_t pid = fork();
	int st = -1;

	if (pid == 0)
		_exit(closed_behind() != 0);
	CU_ASSERT_EQUAL(waitpid(pid, &st, 0), pid);
	CU_ASSERT_EQUAL(st, 0);
}
