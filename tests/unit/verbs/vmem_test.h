/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of vmem share. A scenario is a function that returns 0, or the line where
 * it failed, so that it can also run in a child: as another user, or with its own limits.
 */
#ifndef VMEM_TEST_H
#define VMEM_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "phca_test.h"
#include "vmem.h"

#define NEED(cond) do { if (!(cond)) return __LINE__; } while (0)
/* In a test: run a scenario, say where it failed. */
#define VMEM_SCENARIO(expr) do { \
	int line_ = (expr); \
	if (line_ != 0) \
		printf("  %s: line %d\n", #expr, line_); \
	CU_ASSERT_EQUAL(line_, 0); \
} while (0)
#define PAGE ((uint64_t)4096)
#define SEGS 64

#if defined(__SANITIZE_ADDRESS__)
#define VMEM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VMEM_ASAN 1
#endif
#endif
#ifndef VMEM_ASAN
#define VMEM_ASAN 0
#endif
#ifdef PHCA_TSAN
#define VMEM_TSAN 1
#else
#define VMEM_TSAN 0
#endif

/* Private anonymous pages. */
static inline char *vmem_test_pages(unsigned int n)
{
	char *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * As the appliance sees an address, through the memfd. Not by a mapping: one in this
 * process would be taken for memory that the application moved.
 */
static inline char vmem_test_peek(const volatile void *p)
{
	char c = 0x55;

	return pread(vmem_fd(), &c, 1, (off_t)(uintptr_t)p) == 1 ? c : 0x55;
}

static inline bool vmem_test_poke(const volatile void *p, char c)
{
	return pwrite(vmem_fd(), &c, 1, (off_t)(uintptr_t)p) == 1;
}

/* Is what the process has at p what the appliance has there? */
static inline bool vmem_test_same(const void *p, size_t len)
{
	char buf[4096];

	for (size_t at = 0; at < len; at += sizeof(buf)) {
		size_t n = len - at < sizeof(buf) ? len - at : sizeof(buf);

		if (pread(vmem_fd(), buf, n, (off_t)(uintptr_t)p + (off_t)at) != (ssize_t)n ||
				memcmp(buf, (const char *)p + at, n) != 0)
			return false;
	}
	return true;
}

/* Nothing registered, nothing swapped. */
static inline bool vmem_test_idle(void)
{
	struct vmem_stat s;

	vmem_stat(&s);
	return s.regs == 0 && s.ranges == 0 && s.bytes == 0;
}

/* Run a scenario in a child, after before() in it. @return what it returns, or -1 */
static inline int vmem_test_child(int (*scenario)(void), int (*before)(void))
{
	int st = 0, rc = 0, p[2];
	pid_t pid;

	if (pipe(p) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		rc = before != NULL ? before() : 0;
		if (rc == 0)
			rc = scenario();
		_exit(write(p[1], &rc, sizeof(rc)) != sizeof(rc));
	}
	close(p[1]);
	if (pid < 0 || read(p[0], &rc, sizeof(rc)) != sizeof(rc))
		rc = -1;
	close(p[0]);
	if (pid < 0 || waitpid(pid, &st, 0) != pid || st != 0)
		rc = -1;
	return rc;
}

/* Become nobody. */
static inline int vmem_test_nobody(void)
{
	if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		return __LINE__;
	return 0;
}

#endif
