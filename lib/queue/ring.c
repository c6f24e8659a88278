/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Formatting and attaching rings, and the application's side of completion
 * queues and doorbells.
 *
 * Invariant: after phca_ring_attach a view never indexes outside the memory it
 * was given, whatever the other side writes into the shared header.
 */
#include <string.h>

#include "phca_queue.h"

#define STRIDE_MAX 65536u

static bool shape_ok(uint32_t size, uint32_t stride)
{
	return size >= 1 && size <= PHCA_QUEUE_SIZE_MAX && (size & (size - 1)) == 0 &&
		stride >= 4 && stride <= STRIDE_MAX && stride % 4 == 0;
}

size_t phca_ring_bytes(uint32_t size, uint32_t stride)
{
	if (!shape_ok(size, stride))
		return 0;
	return sizeof(struct phca_ring_hdr) + (size_t)size * stride;
}

int phca_ring_format(void *mem, enum phca_ring_type type, uint32_t size, uint32_t stride)
{
	struct phca_ring_hdr *h = mem;

	if (!shape_ok(size, stride) || (uintptr_t)mem % PHCA_CACHE_LINE != 0)
		return -EINVAL;
	memset(h, 0, sizeof(*h));
	h->abi = PHCA_QUEUE_ABI;
	h->type = type;
	h->size = size;
	h->stride = stride;
	__atomic_store_n(&h->magic, PHCA_QUEUE_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

int phca_ring_init(struct phca_ring *r, void *mem, enum phca_ring_type type, uint32_t size, uint32_t stride)
{
	struct phca_ring_hdr *h = mem;
	int ret = phca_ring_format(mem, type, size, stride);

	if (ret == 0)
		*r = (struct phca_ring){
			.hdr = h, .slots = (uint8_t *)(h + 1), .mask = size - 1, .stride = stride,
		};
	return ret;
}

int phca_ring_attach(struct phca_ring *r, void *mem, size_t mem_len, enum phca_ring_type type)
{
	struct phca_ring_hdr *h = mem;
	uint32_t size, stride;

	if (mem_len < sizeof(*h) || (uintptr_t)mem % PHCA_CACHE_LINE != 0)
		return -EINVAL;
	if (__atomic_load_n(&h->magic, __ATOMIC_ACQUIRE) != PHCA_QUEUE_MAGIC ||
	    h->abi != PHCA_QUEUE_ABI)
		return -EPROTO;
	size = __atomic_load_n(&h->size, __ATOMIC_RELAXED);
	stride = __atomic_load_n(&h->stride, __ATOMIC_RELAXED);
	if (h->type != (uint32_t)type || !shape_ok(size, stride) ||
	    phca_ring_bytes(size, stride) > mem_len)
		return -EINVAL;
	*r = (struct phca_ring){
		.hdr = h, .slots = (uint8_t *)(h + 1), .mask = size - 1, .stride = stride,
	};
	return 0;
}

int phca_cq_poll(struct phca_ring *cq, struct phca_wc *wc, unsigned int n)
{
	unsigned int got = 0;
	bool took = false;

	while (got < n) {
		int32_t avail = phca_ring_avail(cq);
		const struct phca_cqe *e;

		if (avail < 0 && got == 0)
			return avail;
		if (avail <= 0)
			break; /* corrupt now: the next call says so */
		e = phca_ring_head(cq);
		if (!(e->flags & PHCA_CQE_NOOP))
			wc[got++] = e->wc;
		phca_ring_take(cq, 1);
		took = true;
	}
	if (took)
		phca_ring_release(cq);
	return (int)got;
}

void phca_cq_arm(struct phca_ring *cq, bool solicited_only)
{
	uint32_t was = __atomic_load_n(&cq->hdr->armed, __ATOMIC_RELAXED), want;

	/* Written in any case: what comes after it comes after the producer's last look. */
	do {
		want = solicited_only && was != PHCA_CQ_ARMED_NEXT ? PHCA_CQ_ARMED_SOLICITED : PHCA_CQ_ARMED_NEXT;
	} while (!__atomic_compare_exchange_n(&cq->hdr->armed, &was, want, false, __ATOMIC_SEQ_CST,
			__ATOMIC_RELAXED));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool phca_db_ring(struct phca_ring *db, struct phca_ring *sq, uint32_t qpn)
{
	/* Ordered after the publishing of the WQEs, before the consumer's clear. */
	if (__atomic_exchange_n(&sq->hdr->db_pending, 1, __ATOMIC_SEQ_CST) != 0)
		return false; /* whoever put it there looked whether the consumer sleeps */
	if (phca_ring_free(db, 1) == 0)
		return false; /* the consumer lost its place; phca_ring_avail will say so */
	*(uint32_t *)phca_ring_next(db) = qpn;
	phca_ring_publish(db);
	/* The consumer says that it will sleep, then looks once more. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&db->hdr->armed, __ATOMIC_RELAXED) == 0)
		return false;
	return __atomic_exchange_n(&db->hdr->armed, 0, __ATOMIC_SEQ_CST) != 0;
}
