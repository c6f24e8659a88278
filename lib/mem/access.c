/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path's side: key lookup, checked copies. It keeps: no byte is
 * touched that was not found to lie in a published region of the right domain
 * with the right access; nothing here writes to the tables.
 *
 * The allowed case is one chain of comparisons. Which of them refused is found
 * out afterwards, off the hot path.
 */
#include <string.h>

#include "mem_impl.h"

static const char *const err_str[] = {
#define ERR_STR(e, text) [PHCA_MEM_##e] = text,
	PHCA_MEM_ERRS(ERR_STR)
#undef ERR_STR
};

const char *phca_mem_err_str(enum phca_mem_err e)
{
	return (unsigned int)e < PHCA_MEM_ERR_COUNT ? err_str[e] : "?";
}

/* In the order of 10.6.3: key, domain, bounds, rights; none refused: it has no pointer. */
__attribute__((noinline, cold))
static enum phca_mem_err refusal(const struct phca_mr *mr, uint32_t key, uint32_t pd,
		uint64_t va, uint64_t len, uint32_t access)
{
	uint64_t off;

	if (mr == NULL || __atomic_load_n(&mr->key, __ATOMIC_ACQUIRE) != key)
		return PHCA_MEM_KEY;
	if (mr->pd != pd)
		return PHCA_MEM_PD;
	off = va - mr->iova;
	if (off > mr->length || len > mr->length - off)
		return PHCA_MEM_BOUNDS;
	return (access & ~MR_PTR & ~mr->access) != 0 ? PHCA_MEM_ACCESS : PHCA_MEM_IO;
}

/*
 * va below iova makes off larger than any length: iova + length does not wrap. NULL with
 * PHCA_MEM_IO: all is right, but there is no pointer.
 */
static inline uint8_t *find(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint64_t va,
		uint64_t len, uint32_t access, enum phca_mem_err *err)
{
	uint32_t i = key >> KEY_TAG_BITS;
	const struct phca_mr *mr = NULL;

	access |= MR_PTR;
	if (likely(i <= mem->max_mr)) {
		mr = &mem->entries[i].mr;
		if (likely(__atomic_load_n(&mr->key, __ATOMIC_ACQUIRE) == key)) {
			uint64_t off = va - mr->iova;

			if (likely(mr->pd == pd && off <= mr->length && len <= mr->length - off &&
					(access & ~mr->access) == 0))
				return mr->base + off;
		}
	}
	*err = refusal(mr, key, pd, va, len, access);
	return NULL;
}

void *phca_mem_ptr(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint64_t va,
		uint64_t len, uint32_t access, enum phca_mem_err *err)
{
	if (unlikely(len == 0)) {
		*err = PHCA_MEM_OK;
		return NULL;
	}
	return find(mem, key, pd, va, len, access, err);
}

/* As find, in windows too. */
static inline uint8_t *find_remote(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, uint64_t len, uint32_t access, enum phca_mem_err *err)
{
	uint32_t i = key >> KEY_TAG_BITS;

	if (unlikely(len == 0)) {
		*err = PHCA_MEM_OK;
		return NULL;
	}
	if (likely(i <= mem->max_mr)) {
		const struct mr_entry *e = &mem->entries[i];
		uint64_t w = __atomic_load_n(&e->window, __ATOMIC_ACQUIRE);

		if (unlikely((uint32_t)w == key)) {
			uintptr_t at = 0;
			uint32_t region;

			*err = window_find(e, w, pd, qpn, va, len, access, &at, &region);
			return likely(*err == PHCA_MEM_OK) ? (uint8_t *)at : NULL;
		}
	}
	return find(mem, key, pd, va, len, access, err);
}

void *phca_mem_remote(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, uint64_t len, uint32_t access, enum phca_mem_err *err)
{
	return find_remote(mem, key, pd, qpn, va, len, access, err);
}

enum phca_mem_err phca_mem_check(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, uint64_t len, uint32_t access)
{
	enum phca_mem_err err = PHCA_MEM_OK;

	if (likely(find_remote(mem, key, pd, qpn, va, len, access, &err) != NULL))
		return PHCA_MEM_OK;
	/* without a pointer bytes can be copied, not changed by one instruction */
	if (err == PHCA_MEM_IO && !(access & PHCA_ACCESS_REMOTE_ATOMIC))
		return PHCA_MEM_OK;
	return err;
}

enum phca_mem_err phca_mem_read(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, void *dst, uint32_t len)
{
	enum phca_mem_err err = PHCA_MEM_OK;
	const uint8_t *p = find_remote(mem, key, pd, qpn, va, len, PHCA_ACCESS_REMOTE_READ, &err);

	if (unlikely(p == NULL))
		return err == PHCA_MEM_IO ? io_remote(mem, key, pd, qpn, va, dst, len, false) : err;
	memcpy(dst, p, len);
	return PHCA_MEM_OK;
}

enum phca_mem_err phca_mem_write(const struct phca_mem *mem, uint32_t key, uint32_t pd, uint32_t qpn,
		uint64_t va, const void *src, uint32_t len)
{
	enum phca_mem_err err = PHCA_MEM_OK;
	uint8_t *p = find_remote(mem, key, pd, qpn, va, len, PHCA_ACCESS_REMOTE_WRITE, &err);

	if (unlikely(p == NULL)) /* io_remote only reads from buf when it writes to the region */
		return err == PHCA_MEM_IO ?
			io_remote(mem, key, pd, qpn, va, (uint8_t *)(uintptr_t)src, len, true) : err;
	memcpy(p, src, len);
	return PHCA_MEM_OK;
}

uint64_t phca_sg_len(const struct phca_sge *sge, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += sge[i].length;
	return sum;
}

/* len > 0 bytes of one element, from offset on; to_list is a constant where it is inlined. */
static inline enum phca_mem_err part(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint64_t offset, uint8_t *buf, uint32_t len, bool to_list)
{
	const uint32_t access = to_list ? PHCA_ACCESS_LOCAL_WRITE : 0;
	const uint64_t va = sge->addr + offset;
	enum phca_mem_err err = PHCA_MEM_OK;
	uint8_t *p = find(mem, sge->lkey, pd, va, len, access, &err);

	if (unlikely(p == NULL && err != PHCA_MEM_IO))
		return err;
	if (unlikely(va < offset)) /* the element wraps around the address space */
		return PHCA_MEM_BOUNDS;
	if (unlikely(p == NULL))
		return io_local(mem, sge->lkey, va, buf, len, to_list);
	if (to_list)
		memcpy(p, buf, len);
	else
		memcpy(buf, p, len);
	return PHCA_MEM_OK;
}

/* One walk for both directions. Most packets lie in the first element: they do not walk. */
static inline enum phca_mem_err walk(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint32_t n, uint64_t offset, uint8_t *buf,
		uint32_t len, bool to_list)
{
	if (unlikely(len == 0))
		return PHCA_MEM_OK;
	if (likely(n > 0 && offset < sge->length && len <= sge->length - offset))
		return part(mem, pd, sge, offset, buf, len, to_list);
	for (; n > 0 && offset >= sge->length; n--, sge++) /* empty elements too */
		offset -= sge->length;
	for (; len > 0; n--, sge++) {
		enum phca_mem_err err;
		uint32_t l;

		if (unlikely(n == 0))
			return PHCA_MEM_BOUNDS;
		l = sge->length - (uint32_t)offset;
		if (unlikely(l == 0))
			continue;
		if (l > len)
			l = len;
		err = part(mem, pd, sge, offset, buf, l, to_list);
		if (unlikely(err != PHCA_MEM_OK))
			return err;
		buf += l;
		len -= l;
		offset = 0;
	}
	return PHCA_MEM_OK;
}

enum phca_mem_err phca_sg_scatter(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint32_t n, uint64_t offset, const void *src, uint32_t len)
{
	/* walk() only reads from buf when it writes to the list */
	return walk(mem, pd, sge, n, offset, (uint8_t *)(uintptr_t)src, len, true);
}

enum phca_mem_err phca_sg_gather(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint32_t n, uint64_t offset, void *dst, uint32_t len)
{
	return walk(mem, pd, sge, n, offset, dst, len, false);
}

enum phca_mem_err phca_sg_check(const struct phca_mem *mem, uint32_t pd,
		const struct phca_sge *sge, uint32_t n, uint32_t access)
{
	for (uint32_t i = 0; i < n; i++) {
		enum phca_mem_err err = PHCA_MEM_OK;

		if (sge[i].length > 0 && unlikely(find(mem, sge[i].lkey, pd, sge[i].addr,
				sge[i].length, access, &err) == NULL) && err != PHCA_MEM_IO)
			return err;
	}
	return PHCA_MEM_OK;
}
