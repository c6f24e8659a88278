/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that cannot be shared: read and written through the client's /proc/PID/mem,
 * a system call each. It keeps: only the address space that was opened is touched,
 * never one of another process that got the number, nor that of a program the client
 * has become since (process_vm_writev(2) would).
 */
#include <errno.h>
#include <unistd.h>

#include "region_impl.h"

static uint64_t failed; /* atomic */

uint64_t region_remote_failed(void)
{
	return __atomic_load_n(&failed, __ATOMIC_RELAXED);
}

static int fail(void)
{
	__atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
	return -EFAULT;
}

static int remote_read(void *arg, uint64_t off, void *dst, uint32_t len)
{
	const struct region *r = arg;
	uint32_t done = 0;

	while (done < len) {
		ssize_t n = pread(r->mem_fd, (uint8_t *)dst + done, len - done, (off_t)(r->va + off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* 0: there is no process any more */
			return fail();
		done += (uint32_t)n;
	}
	return 0;
}

static int remote_write(void *arg, uint64_t off, const void *src, uint32_t len)
{
	const struct region *r = arg;
	uint32_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(r->mem_fd, (const uint8_t *)src + done, len - done, (off_t)(r->va + off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail();
		done += (uint32_t)n;
	}
	return 0;
}

const struct phca_mr_io region_remote_io = { remote_read, remote_write };
