/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * System calls that touch nothing but registers: no errno, no cancellation point. While a
 * range is guarded, a thread that writes to it waits for the guard; the one that guards it
 * must not, and errno may be in the range.
 */
#ifndef VMEM_SYS_H
#define VMEM_SYS_H

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Code that runs while a range is guarded: a sanitizer would write to thread-local data. The range
 * may be a stack, of which AddressSanitizer thinks that only some bytes may be read.
 */
#define VMEM_BARE __attribute__((no_sanitize("thread", "address")))

/* @return what the kernel does: negative errno on error */
VMEM_BARE static inline long vmem_sys(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		uint64_t e, uint64_t f)
{
#if defined(__x86_64__)
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	long rc;

	__asm__ volatile("syscall" : "=a"(rc)
		: "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		: "rcx", "r11", "memory");
	return rc;
#elif defined(__aarch64__)
	register uint64_t x0 __asm__("x0") = a;
	register uint64_t x1 __asm__("x1") = b;
	register uint64_t x2 __asm__("x2") = c;
	register uint64_t x3 __asm__("x3") = d;
	register uint64_t x4 __asm__("x4") = e;
	register uint64_t x5 __asm__("x5") = f;
	register long x8 __asm__("x8") = nr;

	__asm__ volatile("svc 0" : "+r"(x0)
		: "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8) : "memory");
	return (long)x0;
#else
	long rc = syscall(nr, a, b, c, d, e, f);

	return rc < 0 ? -errno : rc;
#endif
}

/*
 * mmap() and munmap() without whoever put itself between the application and libc (UCX
 * does, to deregister what is unmapped: it would come back here). @return NULL on error
 */
static inline void *vmem_mmap(uint64_t len, int prot, int flags, int fd, uint64_t offset)
{
	long p = vmem_sys(SYS_mmap, 0, len, (uint64_t)prot, (uint64_t)flags, (uint64_t)fd, offset);

	return p < 0 && p > -4096 ? NULL : (void *)p;
}

static inline void vmem_munmap(void *p, uint64_t len)
{
	vmem_sys(SYS_munmap, (uintptr_t)p, len, 0, 0, 0, 0);
}

#endif
