/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions without a pointer: memory of others that cannot be mapped. A look-up that
 * wants a pointer refuses them with PHCA_MEM_IO when all else is right; then the
 * callbacks of the region copy. It keeps: a callback is called for bytes inside
 * of the region only, and not after an lcore's next quiescent point when the region
 * was deregistered, as a pointer would be used.
 */
#include "mem_impl.h"

static enum phca_mem_err copy(const struct mr_io *io, uint64_t off, uint8_t *buf, uint32_t len,
		bool to_region)
{
	int rc = to_region ? io->ops->write(io->arg, off, buf, len) : io->ops->read(io->arg, off, buf, len);

	return rc == 0 ? PHCA_MEM_OK : PHCA_MEM_FAULT;
}

/* The key was looked up; what is published does not change until this lcore is quiescent. */
__attribute__((cold))
enum phca_mem_err io_local(const struct phca_mem *mem, uint32_t key, uint64_t va, uint8_t *buf,
		uint32_t len, bool to_region)
{
	uint32_t i = key >> KEY_TAG_BITS;

	return copy(&mem->io[i], va - mem->entries[i].mr.iova, buf, len, to_region);
}

/* A window may have been bound anew since it was looked up: once more, with all checks. */
__attribute__((cold))
enum phca_mem_err io_remote(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, uint8_t *buf, uint32_t len, bool to_region)
{
	const uint32_t access = to_region ? PHCA_ACCESS_REMOTE_WRITE : PHCA_ACCESS_REMOTE_READ;
	const struct mr_entry *e = &mem->entries[key >> KEY_TAG_BITS];
	uint64_t w = __atomic_load_n(&e->window, __ATOMIC_ACQUIRE);
	enum phca_mem_err err;
	uintptr_t off = 0;
	uint32_t region;

	if (__atomic_load_n(&e->mr.key, __ATOMIC_ACQUIRE) == key)
		return io_local(mem, key, va, buf, len, to_region);
	if ((uint32_t)w != key)
		return PHCA_MEM_KEY;
	err = window_find(e, w, pd, qpn, va, len, access, &off, &region);
	if (err != PHCA_MEM_IO) /* bound to a region with a pointer meanwhile: as if refused before */
		return err == PHCA_MEM_OK ? PHCA_MEM_KEY : err;
	return copy(&mem->io[region], off, buf, len, to_region);
}
